//! Hostile variations of well-formed input, for tests of what reads it.
//!
//! The same seed gives the same variations, so that what a test found is found again; the time is bounded by their
//! number. Each is made from one of the examples by a few edits that parsers are known to stumble over: cut, doubled,
//! swapped and overwritten pieces, numbers at their limits, nesting, characters that are long, invisible or no text.

/// What such an edit may put in.
const PIECES: &[&str] = &[
    "",
    "\0",
    "\n",
    "\r\n",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "'",
    "$$",
    "=",
    ":",
    "{",
    "}",
    "[",
    "]",
    "[[",
    "#",
    "-",
    "-1",
    "0",
    "00",
    "1e400",
    "0x1",
    "18446744073709551615",
    "18446744073709551616",
    "9223372036854775808",
    "4294967296",
    "null",
    "true",
    "NaN",
    "\u{feff}",
    "\u{202e}",
    "\u{2028}",
    "\u{1f9ff}",
    "\u{1b}[2J",
    "é",
    "../",
    "data:",
    "id:",
];

/// The most copies of a piece that is repeated: deeper than parsers go.
const COPIES_MAX: usize = 600;

/// Calls `read` with each example and with `count` variations of them.
pub fn variations(seed: u64, count: usize, examples: &[impl AsRef<[u8]>], mut read: impl FnMut(&[u8])) {
    let mut random = Random(seed | 1);
    for example in examples {
        read(example.as_ref());
    }
    for _ in 0..count {
        let mut bytes = examples[random.below(examples.len())].as_ref().to_vec();
        for _ in 0..=random.below(4) {
            edit(&mut bytes, &mut random, examples);
        }
        read(&bytes);
    }
}

/// The same for what reads text. Variations that are no text are mended as a lossy decoder would.
pub fn texts(seed: u64, count: usize, examples: &[impl AsRef<[u8]>], mut read: impl FnMut(&str)) {
    variations(seed, count, examples, |bytes| read(&String::from_utf8_lossy(bytes)));
}

fn edit(bytes: &mut Vec<u8>, random: &mut Random, examples: &[impl AsRef<[u8]>]) {
    let start = random.below(bytes.len() + 1);
    let end = start + random.below((bytes.len() - start).min(40) + 1);
    let piece = PIECES[random.below(PIECES.len())].as_bytes();
    match random.below(8) {
        0 => bytes.truncate(start),
        1 => drop(bytes.drain(start..end)),
        2 => drop(bytes.splice(start..end, piece.iter().copied())),
        3 => drop(bytes.splice(start..start, piece.iter().copied())),
        4 => {
            let copy = bytes[start..end].to_vec();
            let place = random.below(bytes.len() + 1);
            drop(bytes.splice(place..place, copy));
        }
        5 => {
            let copies = random.below(COPIES_MAX);
            drop(bytes.splice(start..start, piece.repeat(copies)));
        }
        6 => {
            if let Some(byte) = bytes.get_mut(start) {
                *byte = random.next().to_le_bytes()[0];
            }
        }
        _ => {
            let other = examples[random.below(examples.len())].as_ref();
            let cut = random.below(other.len() + 1);
            bytes.truncate(start);
            bytes.extend_from_slice(&other[cut..]);
        }
    }
}

/// xorshift64*: enough to vary tests, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or(0) % limit.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_variations_and_many_of_them() {
        let of = |seed| {
            let mut all = Vec::new();
            variations(seed, 500, &[r#"{"a":1}"#, "b = [2]"], |bytes| all.push(bytes.to_vec()));
            all
        };
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(7));
        let distinct: std::collections::BTreeSet<_> = of(1).into_iter().collect();
        assert!(distinct.len() > 300, "{}", distinct.len());
    }
}
