//! Our label on a user: an entry in its list of password hashes, which carries the mark that fences (R6).
//!
//! An entry is 32 bytes, the SHA-256 of a password. A label is 32 bytes that we lay out: nobody has a password with such a
//! hash, nor can find one.
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | `hndo` |
//! | 1 | the version of this layout |
//! | 1 | the state: 0 for a claim |
//! | 1 | the slot |
//! | 9 | the group: the beginning of a digest of its name |
//! | 5 | the generation; of a claim, with all that follows: random bytes |
//! | 5, 6 | the mark: the rotation's generation, the row's version |

use handover_core::port::State;
use handover_core::{Generation, GroupId, Mark, RowVersion};
use sha2::{Digest as _, Sha256};

/// Before the group's name in what is digested.
const DOMAIN: &[u8] = b"handover redis label\0";
const PREFIX: &[u8] = b"hndo";
const VERSION: u8 = 1;
const CLAIM: u8 = 0;

/// The largest number of 5 bytes.
const FIVE_BYTES: u64 = (1 << 40) - 1;
/// The largest number of 6 bytes.
const SIX_BYTES: u64 = (1 << 48) - 1;

/// A group's name, as far as a label holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Owner([u8; 9]);

/// What our entry says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Label {
    /// Whose user it is.
    pub(super) owner: Owner,
    /// Which slot it is.
    pub(super) slot: u8,
    /// Whose value it has, or had.
    pub(super) generation: Generation,
    /// The mark of the last change.
    pub(super) mark: Mark,
    /// What the last change made it do.
    pub(super) state: State,
}

/// An entry in a user's list of hashes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Entry {
    /// The hash of a password.
    Hash,
    /// A label.
    Label(Label),
    /// Left by whoever is about to make the first change: only they know it, and a change of theirs takes it out.
    Claim(Owner),
}

/// An entry begins as ours do and cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Unreadable;

/// The label would need a number that it has no room for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TooLarge;

impl Owner {
    pub(super) fn of(group: &GroupId) -> Self {
        let digest = Sha256::new().chain_update(DOMAIN).chain_update(group.as_str()).finalize();
        let mut owner = [0; 9];
        owner.copy_from_slice(&digest[..9]);
        Self(owner)
    }
}

impl Entry {
    /// Reads an entry as the server shows it: 64 hexadecimal digits.
    pub(super) fn parse(text: &str) -> Result<Self, Unreadable> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| Unreadable)?;
        Self::of(&bytes)
    }

    fn of(bytes: &[u8; 32]) -> Result<Self, Unreadable> {
        let Some([version, state, slot, rest @ ..]) = bytes.strip_prefix(PREFIX) else {
            return Ok(Self::Hash);
        };
        let (owner, rest) = rest.split_first_chunk().ok_or(Unreadable)?;
        let owner = Owner(*owner);
        let state = match (*version, *state) {
            (VERSION, CLAIM) => return Ok(Self::Claim(owner)),
            (VERSION, 1) => State::Accepting,
            (VERSION, 2) => State::Disabled,
            (VERSION, 3) => State::Forgotten,
            _ => return Err(Unreadable),
        };
        let (generation, rest) = rest.split_at(5);
        let (mark_generation, mark_version) = rest.split_at(5);
        let mark = Mark { generation: Generation(number(mark_generation)), version: RowVersion(number(mark_version)) };
        Ok(Self::Label(Label { owner, slot: *slot, generation: Generation(number(generation)), mark, state }))
    }
}

impl Label {
    /// The entry, as the server takes it.
    pub(super) fn render(&self) -> Result<String, TooLarge> {
        let state = match self.state {
            State::Accepting => 1,
            State::Disabled => 2,
            // A user that is not there has no entries; one that is there and has no value has forgotten it.
            State::Forgotten | State::Absent => 3,
        };
        let mut bytes = head(state, self.slot, self.owner);
        for (number, most, length) in [
            (self.generation.0, FIVE_BYTES, 5),
            (self.mark.generation.0, FIVE_BYTES, 5),
            (self.mark.version.0, SIX_BYTES, 6),
        ] {
            if number > most {
                return Err(TooLarge);
            }
            bytes.extend_from_slice(&number.to_be_bytes()[8 - length..]);
        }
        Ok(hex::encode(bytes))
    }
}

/// An entry that no other change will ever take out.
pub(super) fn claim(owner: Owner, slot: u8, random: [u8; 16]) -> String {
    let mut bytes = head(CLAIM, slot, owner);
    bytes.extend_from_slice(&random);
    hex::encode(bytes)
}

/// What the server keeps of a value.
pub(super) fn hash(value: &[u8]) -> [u8; 32] {
    Sha256::digest(value).into()
}

/// Whether the hash of a value would be taken for an entry of ours.
pub(super) fn looks_like_ours(hash: &[u8; 32]) -> bool {
    hash.starts_with(PREFIX)
}

fn head(state: u8, slot: u8, owner: Owner) -> Vec<u8> {
    [PREFIX, &[VERSION, state, slot], &owner.0].concat()
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(name: &str) -> Owner {
        Owner::of(&GroupId::parse(name).unwrap())
    }

    fn label() -> Label {
        Label {
            owner: owner("orders"),
            slot: 1,
            generation: Generation(3),
            mark: Mark { generation: Generation(4), version: RowVersion(70_000) },
            state: State::Disabled,
        }
    }

    #[test]
    fn a_label_is_read_back() {
        for state in [State::Accepting, State::Disabled, State::Forgotten] {
            let label = Label { state, ..label() };
            let text = label.render().unwrap();
            assert_eq!(text.len(), 64);
            assert_eq!(Entry::parse(&text), Ok(Entry::Label(label)), "{text}");
        }
        let largest = Label {
            generation: Generation(FIVE_BYTES),
            mark: Mark { generation: Generation(FIVE_BYTES), version: RowVersion(SIX_BYTES) },
            ..label()
        };
        assert_eq!(Entry::parse(&largest.render().unwrap()), Ok(Entry::Label(largest)));
        let larger = Label { generation: Generation(FIVE_BYTES + 1), ..label() };
        assert_eq!(larger.render(), Err(TooLarge), "a number is never cut");
    }

    #[test]
    fn a_claim_is_no_label_and_a_hash_is_neither() {
        let text = claim(owner("orders"), 1, [7; 16]);
        assert_eq!(Entry::parse(&text), Ok(Entry::Claim(owner("orders"))));
        assert_eq!(Entry::parse(&hex::encode(hash(b"value"))), Ok(Entry::Hash));
        assert_ne!(owner("orders"), owner("order"));
    }

    /// S44: whatever stands in a user's list, reading it ends; what is taken for a label is one.
    #[test]
    fn hostile_entries_are_read_or_refused() {
        let examples = [label().render().unwrap(), claim(owner("orders"), 0, [9; 16]), hex::encode(hash(b"value"))];
        handover_testkit::mutate::texts(17, 50_000, &examples, |text| {
            if let Ok(Entry::Label(label)) = Entry::parse(text) {
                assert_eq!(Entry::parse(&label.render().unwrap()), Ok(Entry::Label(label)), "{text:?}");
            }
        });
        for bad in
            ["", "hndo", "zz", &label().render().unwrap()[2..], &label().render().unwrap().replace("6f01", "6f02")]
        {
            assert_eq!(Entry::parse(bad), Err(Unreadable), "{bad}");
        }
    }
}
