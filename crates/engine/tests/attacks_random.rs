//! Whether minted values can be guessed from how they are drawn.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(clippy::disallowed_methods, reason = "the tests look at what was minted")]

use std::collections::HashSet;

use handover_engine::{ALPHABET_SAFE, Random, RandomRule};

const LENGTH: usize = 128;

/// What was counted of many values, and how far that is from even.
struct Counts {
    seen: Vec<u64>,
    total: u64,
}

impl Counts {
    fn new(kinds: usize) -> Self {
        Self { seen: vec![0; kinds], total: 0 }
    }

    fn add(&mut self, kind: usize) {
        self.seen[kind] += 1;
        self.total += 1;
    }

    /// How many standard deviations chi square is above what an even draw gives. Above 6: once in 10^9 runs.
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    fn deviation(&self) -> f64 {
        let expected = self.total as f64 / self.seen.len() as f64;
        let chi: f64 = self.seen.iter().map(|seen| (*seen as f64 - expected).powi(2) / expected).sum();
        let freedom = (self.seen.len() - 1) as f64;
        (chi - freedom) / (2.0 * freedom).sqrt()
    }
}

fn alphabet(size: usize) -> String {
    (b'!'..=b'~').take(size).map(char::from).collect()
}

fn count(alphabet: &str, values: usize) -> (Counts, Counts) {
    let place = |byte: u8| alphabet.bytes().position(|each| each == byte).unwrap();
    let places: Vec<usize> =
        (0..=u8::MAX).map(|byte| if alphabet.as_bytes().contains(&byte) { place(byte) } else { usize::MAX }).collect();
    let rule = RandomRule { length: LENGTH, alphabet: alphabet.to_owned(), ..RandomRule::default() };
    let random = Random::new(&rule).unwrap();
    let size = alphabet.len();
    let (mut single, mut pairs) = (Counts::new(size), Counts::new(size * size));
    for _ in 0..values {
        let value = random.mint().unwrap();
        let mut before = None;
        for byte in value.expose() {
            let at = places[usize::from(*byte)];
            single.add(at);
            if let Some(before) = before.take() {
                pairs.add(before * size + at);
            } else {
                before = Some(at);
            }
        }
    }
    (single, pairs)
}

/// S12: ten million characters, and the pairs of neighbours among them, are even.
#[test]
fn ten_million_characters_are_even() {
    let (single, pairs) = count(ALPHABET_SAFE, 80_000);
    assert!(single.total >= 10_000_000);
    assert!(single.deviation().abs() < 6.0, "characters: {}", single.deviation());
    assert!(pairs.deviation().abs() < 6.0, "pairs: {}", pairs.deviation());
}

/// S12: sizes at which a remainder would favour the first characters most, or least.
#[test]
fn no_size_of_an_alphabet_has_a_bias() {
    for size in [2, 3, 10, 26, 62, 64, 65, 85, 94] {
        let (single, pairs) = count(&alphabet(size), 4_000);
        assert!(single.deviation().abs() < 6.0, "{size} characters: {}", single.deviation());
        assert!(pairs.deviation().abs() < 6.0, "pairs of {size} characters: {}", pairs.deviation());
    }
}

/// The measure finds what it is there for: characters drawn by a remainder.
#[test]
fn a_remainder_would_be_found() {
    let mut biased = Counts::new(66);
    for byte in (0..=u8::MAX).cycle().take(500_000) {
        biased.add(usize::from(byte) % 66);
    }
    assert!(biased.deviation() > 100.0, "{}", biased.deviation());
}

/// S12: no value comes twice.
#[test]
fn no_value_comes_twice() {
    let random = Random::new(&RandomRule { length: 16, ..RandomRule::default() }).unwrap();
    let mut seen = HashSet::new();
    for _ in 0..100_000 {
        assert!(seen.insert(random.mint().unwrap().expose().to_vec()));
    }
}
