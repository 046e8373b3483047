//! Minting values. Randomness comes from the operating system alone; if that fails, so does the rotation.

mod forms;

use std::fmt;
use std::future;

use handover_core::port::{Answer, Generate};
use handover_core::{Fault, FaultKind, Generation, GroupId};
use handover_secret::Secret;
use rand::TryRngCore;
use rand::rngs::OsRng;

pub use forms::{Hex, Passphrase, Uuid, WORDS_MAX, WORDS_MIN};

/// The alphabet that needs no quoting in URLs, connection strings and shells: `A-Z a-z 0-9 - . _ ~`.
pub const ALPHABET_SAFE: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
/// The shortest value, in characters.
pub const LENGTH_MIN: usize = 16;
/// The longest value, in characters: what targets take at the most.
pub const LENGTH_MAX: usize = 128;
/// The least entropy of a value, in bits. Below it, a rule is refused.
pub const ENTROPY_BITS_MIN: f64 = 80.0;

/// How often a value that lacks a required class is drawn again. With 16 characters, even a class that is one
/// character of 94 is missed less often than nine times in ten, so that this limit is passed in fewer than one of
/// 10^40 cases.
const DRAWS_MAX: usize = 1_000;

/// A class of characters that a value must contain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// `a-z`
    Lower,
    /// `A-Z`
    Upper,
    /// `0-9`
    Digit,
    /// Anything else.
    Symbol,
}

/// What [`Random`] mints.
#[derive(Clone, Debug)]
pub struct RandomRule {
    /// Length in characters, [`LENGTH_MIN`] to [`LENGTH_MAX`]. Default 32.
    pub length: usize,
    /// Printable ASCII characters to draw from, each once. Default [`ALPHABET_SAFE`].
    pub alphabet: String,
    /// Classes of which at least one character must occur. Default none.
    pub required: Vec<Class>,
    /// Classes of which the first character must be one. Default: any.
    pub first: Vec<Class>,
}

impl Default for RandomRule {
    fn default() -> Self {
        Self { length: 32, alphabet: ALPHABET_SAFE.to_owned(), required: Vec::new(), first: Vec::new() }
    }
}

/// Why a rule is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadRule {
    /// What is wrong with it, in words that a user can act on.
    pub why: &'static str,
}

impl fmt::Display for BadRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why)
    }
}

impl std::error::Error for BadRule {}

/// Mints characters drawn evenly from an alphabet.
#[derive(Clone, Debug)]
pub struct Random {
    length: usize,
    alphabet: Vec<u8>,
    /// What the first character is drawn from.
    first: Vec<u8>,
    required: Vec<Class>,
}

impl Random {
    /// Takes a rule, or says what is wrong with it.
    pub fn new(rule: &RandomRule) -> Result<Self, BadRule> {
        let alphabet = rule.alphabet.as_bytes().to_vec();
        let bad = |why| Err(BadRule { why });
        if !(LENGTH_MIN..=LENGTH_MAX).contains(&rule.length) {
            return bad("length must be 16 to 128");
        }
        if !alphabet.iter().all(u8::is_ascii_graphic) {
            return bad("the alphabet may have only printable ASCII characters, and no space");
        }
        let distinct: std::collections::BTreeSet<u8> = alphabet.iter().copied().collect();
        if distinct.len() != alphabet.len() {
            return bad("a character occurs twice in the alphabet: it would be drawn more often than others");
        }
        let may_begin = |byte: &u8| rule.first.is_empty() || rule.first.iter().any(|class| class.has(*byte));
        let first: Vec<u8> = alphabet.iter().copied().filter(may_begin).collect();
        if first.is_empty() && !alphabet.is_empty() {
            return bad("the alphabet has no character that may be the first one");
        }
        #[expect(clippy::cast_precision_loss, reason = "at most 94 and 128: exact")]
        let (each, begin, others) =
            (alphabet.len().max(1) as f64, first.len().max(1) as f64, rule.length.saturating_sub(1) as f64);
        if begin.log2() + each.log2() * others < ENTROPY_BITS_MIN {
            return bad("length and alphabet give less than 80 bits of entropy: use more of either");
        }
        if rule.required.iter().any(|class| !alphabet.iter().any(|byte| class.has(*byte))) {
            return bad("a required class has no character in the alphabet");
        }
        Ok(Self { length: rule.length, alphabet, first, required: rule.required.clone() })
    }

    /// A fresh value.
    ///
    /// # Errors
    /// `Bug` where the operating system gives no randomness; `Misconfigured` where no value has all required classes.
    pub fn mint(&self) -> Result<Secret, Fault> {
        // Whole values are drawn again: putting a character of the class somewhere would make some values likelier.
        for _ in 0..DRAWS_MAX {
            let value = self.draw(&mut randomness)?;
            if self.fits(&value) {
                return Ok(value);
            }
        }
        Err(Fault::untouched(FaultKind::Misconfigured, "no drawn value had all required classes; use a longer one"))
    }

    fn draw(&self, random: &mut dyn FnMut(&mut [u8]) -> Result<(), Fault>) -> Result<Secret, Fault> {
        let mut pool = Pool::new(random);
        let mut value = Vec::with_capacity(self.length);
        value.push(self.first[pool.below(self.first.len())?]);
        while value.len() < self.length {
            value.push(self.alphabet[pool.below(self.alphabet.len())?]);
        }
        // The buffer never grows, so nothing of the value stays behind in memory that was given back.
        Ok(Secret::from_bytes(value))
    }

    fn fits(&self, value: &Secret) -> bool {
        #[expect(clippy::disallowed_methods, reason = "looks for the required classes in the value")]
        let bytes = value.expose();
        self.required.iter().all(|class| bytes.iter().any(|byte| class.has(*byte)))
    }
}

impl Generate for Random {
    fn generate<'a>(&'a self, _group: &'a GroupId, _generation: Generation) -> Answer<'a, Secret> {
        Box::pin(future::ready(self.mint()))
    }

    fn may_repeat(&self) -> bool {
        false
    }
}

/// Fills a buffer from the operating system.
fn randomness(buffer: &mut [u8]) -> Result<(), Fault> {
    OsRng
        .try_fill_bytes(buffer)
        .map_err(|_| Fault::untouched(FaultKind::Bug, "the operating system gave no randomness; nothing was minted"))
}

/// Random bytes, taken in bulk and forgotten with the value.
struct Pool<'a> {
    random: &'a mut dyn FnMut(&mut [u8]) -> Result<(), Fault>,
    bytes: Secret,
    next: usize,
}

impl<'a> Pool<'a> {
    fn new(random: &'a mut dyn FnMut(&mut [u8]) -> Result<(), Fault>) -> Self {
        Self { random, bytes: Secret::from_bytes(Vec::new()), next: 0 }
    }

    /// A number below `size`, each equally likely. Rejection sampling: what is at or above the largest multiple of `size`
    /// is thrown away. `size` is 1 to 65,536; up to 256 it takes one byte, else two.
    fn below(&mut self, size: usize) -> Result<usize, Fault> {
        let (width, range) = if size <= 256 { (1, 256) } else { (2, 65_536) };
        let limit = range - range % size;
        loop {
            let drawn = (0..width).try_fold(0, |drawn, _| Ok((drawn << 8) | usize::from(self.byte()?)))?;
            if drawn < limit {
                return Ok(drawn % size);
            }
        }
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        if self.next == self.bytes.len() {
            let mut fresh = vec![0; LENGTH_MAX];
            (self.random)(&mut fresh)?;
            (self.bytes, self.next) = (Secret::from_bytes(fresh), 0);
        }
        #[expect(clippy::disallowed_methods, reason = "the bytes become characters of the value")]
        let byte = self.bytes.expose()[self.next];
        self.next += 1;
        Ok(byte)
    }
}

impl Class {
    const fn has(self, byte: u8) -> bool {
        match self {
            Self::Lower => byte.is_ascii_lowercase(),
            Self::Upper => byte.is_ascii_uppercase(),
            Self::Digit => byte.is_ascii_digit(),
            Self::Symbol => byte.is_ascii_punctuation(),
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests look at what was minted")]
mod tests {
    use super::*;

    fn rule(length: usize, alphabet: &str, required: &[Class]) -> RandomRule {
        RandomRule { length, alphabet: alphabet.to_owned(), required: required.to_vec(), first: Vec::new() }
    }

    #[test]
    fn values_have_the_length_the_alphabet_and_the_classes() {
        let required = [Class::Lower, Class::Upper, Class::Digit, Class::Symbol];
        let random = Random::new(&rule(16, ALPHABET_SAFE, &required)).unwrap();
        for _ in 0..500 {
            let value = random.mint().unwrap();
            let text = value.expose_text().unwrap();
            assert_eq!(text.len(), 16);
            assert!(text.chars().all(|c| ALPHABET_SAFE.contains(c)));
            assert!(required.iter().all(|class| text.bytes().any(|byte| class.has(byte))), "{text}");
        }
    }

    #[test]
    fn weak_rules_are_refused() {
        for (bad, part) in [
            (rule(15, ALPHABET_SAFE, &[]), "length"),
            (rule(129, ALPHABET_SAFE, &[]), "length"),
            (rule(16, "0123456789abcdef", &[]), "entropy"),
            (rule(128, "", &[]), "entropy"),
            (rule(128, "a", &[]), "entropy"),
            (rule(128, "aab", &[]), "twice"),
            (rule(32, "abc\u{7f}", &[]), "printable"),
            (rule(32, "abcé", &[]), "printable"),
            (rule(32, "0123456789abcdef", &[Class::Upper]), "class"),
        ] {
            assert!(Random::new(&bad).unwrap_err().why.contains(part), "{bad:?}");
        }
    }

    #[test]
    fn a_value_begins_as_it_must() {
        let rule = RandomRule { first: vec![Class::Lower, Class::Upper], ..RandomRule::default() };
        let random = Random::new(&rule).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..2_000 {
            let value = random.mint().unwrap();
            assert!(value.expose()[0].is_ascii_alphabetic());
            seen.insert(value.expose()[0]);
        }
        assert_eq!(seen.len(), 52, "each letter begins some");
        let none = RandomRule { alphabet: "0123456789".to_owned(), first: vec![Class::Upper], ..RandomRule::default() };
        assert!(Random::new(&none).unwrap_err().why.contains("first"));
    }

    #[test]
    fn each_character_is_equally_likely() {
        let random = Random::new(&RandomRule { length: 128, ..RandomRule::default() }).unwrap();
        let mut seen = [0_u32; 256];
        let values = 4_000;
        for _ in 0..values {
            random.mint().unwrap().expose().iter().for_each(|byte| seen[usize::from(*byte)] += 1);
        }
        let expected = f64::from(values * 128) / 66.0;
        let chi: f64 =
            ALPHABET_SAFE.bytes().map(|byte| (f64::from(seen[usize::from(byte)]) - expected).powi(2) / expected).sum();
        // 65 degrees of freedom: 137 is passed by chance once in 10^6 runs. Modulo bias gives far more than 1,000.
        assert!(chi < 137.0, "chi square {chi}");
    }

    #[test]
    fn no_randomness_means_no_value() {
        let random = Random::new(&RandomRule::default()).unwrap();
        let mut broken = |_: &mut [u8]| Err(Fault::untouched(FaultKind::Bug, "none"));
        random.draw(&mut broken).unwrap_err();
    }
}
