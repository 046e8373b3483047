//! Values of a fixed form, for what takes no other: UUIDs, hexadecimal digits, words.

use std::fmt::Write as _;
use std::future;

use diceware_wordlists::EFF_LONG_WORDLIST;
use handover_core::port::{Answer, Generate};
use handover_core::{Fault, Generation, GroupId};
use handover_secret::Secret;

use super::{BadRule, ENTROPY_BITS_MIN, LENGTH_MAX, Pool, randomness};

/// The fewest words of a passphrase: below, there are less than 80 bits.
pub const WORDS_MIN: usize = 7;
/// The most words: with the longest ones, it is no longer than targets take.
pub const WORDS_MAX: usize = 12;

/// The longest word and a separator, in bytes.
const WORD_BYTES_MAX: usize = 10;

/// Mints random UUIDs: version 4, 122 bits.
#[derive(Clone, Copy, Default, Debug)]
pub struct Uuid;

/// Mints hexadecimal digits.
#[derive(Clone, Copy, Debug)]
pub struct Hex {
    digits: usize,
}

/// Mints words of the EFF's long list, drawn evenly, some 12.9 bits each.
#[derive(Clone, Debug)]
pub struct Passphrase {
    words: usize,
    separator: char,
    list: Vec<&'static str>,
}

impl Uuid {
    /// A fresh one.
    ///
    /// # Errors
    /// `Bug` where the operating system gives no randomness.
    pub fn mint(self) -> Result<Secret, Fault> {
        let mut bytes = [0; 16];
        randomness(&mut bytes)?;
        let mut text = vec![0; uuid::fmt::Hyphenated::LENGTH];
        uuid::Builder::from_random_bytes(bytes).as_uuid().hyphenated().encode_lower(&mut text);
        Ok(Secret::from_bytes(text))
    }
}

impl Hex {
    /// Takes the number of digits, or says what is wrong with it.
    ///
    /// # Errors
    /// An odd number of digits is no number of bytes; less than 80 bits; longer than targets take.
    pub fn new(digits: usize) -> Result<Self, BadRule> {
        let bad = |why| Err(BadRule { why });
        #[expect(clippy::cast_precision_loss, reason = "compared with a small number")]
        match digits {
            odd if odd % 2 != 0 => bad("hexadecimal digits come in pairs: length must be even"),
            long if long > LENGTH_MAX => bad("length must be 20 to 128 hexadecimal digits"),
            short if (short as f64) * 4.0 < ENTROPY_BITS_MIN => bad("length must be 20 to 128 hexadecimal digits"),
            digits => Ok(Self { digits }),
        }
    }

    /// A fresh value.
    ///
    /// # Errors
    /// `Bug` where the operating system gives no randomness.
    pub fn mint(self) -> Result<Secret, Fault> {
        let mut random = randomness;
        let mut pool = Pool::new(&mut random);
        let mut value = Vec::with_capacity(self.digits);
        while value.len() < self.digits {
            value.push(b"0123456789abcdef"[pool.below(16)?]);
        }
        Ok(Secret::from_bytes(value))
    }
}

impl Passphrase {
    /// Takes how many words, and what stands between them, or says what is wrong with it.
    ///
    /// # Errors
    /// Less than 80 bits; longer than targets take; a separator that occurs in words.
    pub fn new(words: usize, separator: char) -> Result<Self, BadRule> {
        if !(WORDS_MIN..=WORDS_MAX).contains(&words) {
            return Err(BadRule { why: "words must be 7 to 12" });
        }
        if !matches!(separator, '-' | '.' | '_' | '~') {
            return Err(BadRule { why: "separator must be one of - . _ ~, which need no quoting" });
        }
        // Words with a hyphen could be two words: without them, every passphrase is drawn in one way only.
        let list = EFF_LONG_WORDLIST.iter().copied().filter(|word| word.bytes().all(|byte| byte.is_ascii_lowercase()));
        Ok(Self { words, separator, list: list.collect() })
    }

    /// A fresh value.
    ///
    /// # Errors
    /// `Bug` where the operating system gives no randomness.
    pub fn mint(&self) -> Result<Secret, Fault> {
        let mut random = randomness;
        let mut pool = Pool::new(&mut random);
        let mut value = String::with_capacity(self.words * WORD_BYTES_MAX);
        for number in 0..self.words {
            if number > 0 {
                value.push(self.separator);
            }
            // Writing to a string does not fail.
            let _ = value.write_str(self.list[pool.below(self.list.len())?]);
        }
        Ok(Secret::from_text(value))
    }
}

impl Generate for Uuid {
    fn generate<'a>(&'a self, _group: &'a GroupId, _generation: Generation) -> Answer<'a, Secret> {
        Box::pin(future::ready(self.mint()))
    }

    fn may_repeat(&self) -> bool {
        false
    }
}

impl Generate for Hex {
    fn generate<'a>(&'a self, _group: &'a GroupId, _generation: Generation) -> Answer<'a, Secret> {
        Box::pin(future::ready(self.mint()))
    }

    fn may_repeat(&self) -> bool {
        false
    }
}

impl Generate for Passphrase {
    fn generate<'a>(&'a self, _group: &'a GroupId, _generation: Generation) -> Answer<'a, Secret> {
        Box::pin(future::ready(self.mint()))
    }

    fn may_repeat(&self) -> bool {
        false
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests look at what was minted")]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::generate::ALPHABET_SAFE;

    fn text(value: &Secret) -> String {
        value.expose_text().unwrap().to_owned()
    }

    #[test]
    fn uuids_are_of_version_4_and_differ() {
        let mut seen = BTreeSet::new();
        for _ in 0..2_000 {
            let made = text(&Uuid.mint().unwrap());
            let parsed = uuid::Uuid::parse_str(&made).unwrap();
            assert_eq!((parsed.get_version_num(), parsed.get_variant()), (4, uuid::Variant::RFC4122), "{made}");
            assert_eq!(made, parsed.to_string());
            assert!(seen.insert(made));
        }
    }

    #[test]
    fn hexadecimal_digits_come_in_pairs_and_are_even() {
        for (digits, part) in [(33, "even"), (18, "20 to 128"), (0, "20 to 128"), (130, "20 to 128")] {
            assert!(Hex::new(digits).unwrap_err().why.contains(part), "{digits}");
        }
        let hex = Hex::new(128).unwrap();
        let mut seen = BTreeMap::<char, u32>::new();
        for _ in 0..2_000 {
            let made = text(&hex.mint().unwrap());
            assert_eq!(made.len(), 128);
            made.chars().for_each(|digit| *seen.entry(digit).or_default() += 1);
        }
        let expected = f64::from(2_000 * 128) / 16.0;
        let chi: f64 = seen.values().map(|seen| (f64::from(*seen) - expected).powi(2) / expected).sum();
        // 15 degrees of freedom: 56 is passed by chance once in 10^6 runs.
        assert!(seen.len() == 16 && chi < 56.0, "chi square {chi}: {seen:?}");
    }

    #[test]
    fn words_are_drawn_evenly_and_need_no_quoting() {
        for (words, separator, part) in
            [(6, '-', "7 to 12"), (13, '-', "7 to 12"), (7, ' ', "quoting"), (7, 'a', "quoting")]
        {
            assert!(Passphrase::new(words, separator).unwrap_err().why.contains(part), "{words} {separator}");
        }
        let passphrase = Passphrase::new(WORDS_MAX, '-').unwrap();
        let size = passphrase.list.len();
        assert!(size > 7_700 && f64::from(u32::try_from(size).unwrap()).log2() * 7.0 >= ENTROPY_BITS_MIN);
        assert!(passphrase.list.iter().all(|word| word.len() < WORD_BYTES_MAX), "the buffer never grows");
        let mut seen = BTreeMap::<String, u32>::new();
        let values = 20_000;
        for _ in 0..values {
            let made = text(&passphrase.mint().unwrap());
            assert!(made.len() <= LENGTH_MAX && made.chars().all(|c| ALPHABET_SAFE.contains(c)), "{made}");
            let words: Vec<&str> = made.split('-').collect();
            assert_eq!(words.len(), WORDS_MAX);
            words.into_iter().for_each(|word| *seen.entry(word.to_owned()).or_default() += 1);
        }
        let size = f64::from(u32::try_from(size).unwrap());
        let expected = f64::from(values * 12) / size;
        let never = size - f64::from(u32::try_from(seen.len()).unwrap());
        let chi: f64 =
            seen.values().map(|seen| (f64::from(*seen) - expected).powi(2) / expected).sum::<f64>() + never * expected;
        let deviation = (chi - (size - 1.0)) / (2.0 * (size - 1.0)).sqrt();
        assert!(deviation.abs() < 6.0, "{deviation} standard deviations from even");
    }
}
