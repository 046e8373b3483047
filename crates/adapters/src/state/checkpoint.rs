//! Checkpoints: records of history that vouch, by a signature, for everything before them.
//!
//! A chain proves that its records belong together; it does not prove that its end is still there. Whoever restores an
//! old copy of the whole state has a chain that holds. A checkpoint that was shipped elsewhere shows it: it names a
//! position and a hash that the restored state does not have, and only a holder of the master key can have signed it.
//!
//! A checkpoint is an ordinary record with the event `checkpoint`, of the group [`GROUP`]. Its fields are `position` and
//! `hash` of the record before it, `key` (the public key) and `signature`. Signed are, each with its length in eight
//! bytes before it: `handover checkpoint 1`, the position and the time of the checkpoint (eight bytes each,
//! big-endian), and the hash.

use handover_core::port::{Entry, Record};
use handover_core::{GroupId, Timestamp};
use serde::Deserialize;

use super::chain::{Hash, START};
use crate::seal::{Signer, Verifier};

/// The event of a checkpoint.
pub const EVENT: &str = "checkpoint";

/// The name that stands where other records name their group.
pub const GROUP: &str = "handover";

/// What a checkpoint says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// The position of the record before it.
    pub position: u64,
    /// The hash of the record before it, in hexadecimal.
    pub hash: String,
    /// The key that it names, in hexadecimal.
    pub key: String,
    at: Timestamp,
    signature: String,
}

impl Checkpoint {
    /// Reads a record; `None` if it is no checkpoint, or one that does not say what checkpoints say.
    pub fn of(record: &Record) -> Option<Self> {
        let body: Body = serde_json::from_str(&record.body).ok()?;
        (body.event == EVENT).then_some(Self {
            position: body.fields.position.parse().ok()?,
            hash: body.fields.hash,
            key: body.fields.key,
            at: record.at,
            signature: body.fields.signature,
        })
    }

    /// Whether this key signed it.
    pub fn holds(&self, verifier: &Verifier) -> bool {
        let mut hash = START;
        hex::decode_to_slice(&self.hash, &mut hash).is_ok()
            && verifier.holds(&parts(&self.position.to_be_bytes(), &self.at.0.to_be_bytes(), &hash), &self.signature)
    }
}

/// The group of checkpoints.
pub(crate) fn group() -> GroupId {
    #[expect(clippy::expect_used, reason = "a constant that fits the rule of names")]
    let group = GroupId::parse(GROUP).expect("the constant is a name");
    group
}

/// The checkpoint that follows the record at `position`.
pub(crate) fn entry(signer: &Signer, position: u64, hash: &Hash, at: Timestamp) -> Entry {
    let signature = signer.sign(&parts(&position.to_be_bytes(), &at.0.to_be_bytes(), hash));
    Entry {
        at,
        event: EVENT,
        actor: "engine".to_owned(),
        fields: vec![
            ("position", position.to_string()),
            ("hash", hex::encode(hash)),
            ("key", signer.verifier().text()),
            ("signature", signature),
        ],
    }
}

/// Whether the body of a record is that of a checkpoint.
pub(crate) fn is_body(body: &str) -> bool {
    serde_json::from_str::<Body>(body).is_ok_and(|body| body.event == EVENT)
}

fn parts<'a>(position: &'a [u8; 8], at: &'a [u8; 8], hash: &'a Hash) -> [&'a [u8]; 4] {
    [b"handover checkpoint 1", position, at, hash]
}

#[derive(Deserialize)]
struct Body {
    event: String,
    fields: Fields,
}

#[derive(Deserialize)]
struct Fields {
    position: String,
    hash: String,
    key: String,
    signature: String,
}

#[cfg(test)]
mod tests {
    use handover_core::Epoch;
    use zeroize::Zeroizing;

    use super::super::chain;
    use super::*;
    use crate::seal::{MasterKey, Sealer};

    #[test]
    fn a_checkpoint_holds_until_any_part_of_it_is_edited() {
        let sealer = Sealer::new(MasterKey::from_bytes(Zeroizing::new([5; 32])));
        let verifier = sealer.signer().verifier();
        let entry = entry(sealer.signer(), 7, &[9; 32], Timestamp(1_000));
        let body = chain::body(&entry, Epoch(1), None);
        assert!(is_body(&body));
        let (record, _) = chain::record(&[9; 32], 8, &group(), Timestamp(1_000), body);
        let checkpoint = Checkpoint::of(&record).unwrap();
        assert_eq!((checkpoint.position, checkpoint.key.clone()), (7, verifier.text()));
        assert!(checkpoint.holds(&verifier));
        for edited in [
            Checkpoint { position: 6, ..checkpoint.clone() },
            Checkpoint { hash: hex::encode([8; 32]), ..checkpoint.clone() },
            Checkpoint { hash: "short".to_owned(), ..checkpoint.clone() },
            Checkpoint { at: Timestamp(999), ..checkpoint.clone() },
        ] {
            assert!(!edited.holds(&verifier), "{edited:?}");
        }
        let other = Record { body: r#"{"event":"started","fields":{}}"#.to_owned(), ..record };
        assert_eq!(Checkpoint::of(&other), None);
    }

    /// S44: whatever stands in a record, no variation of a checkpoint is taken for one that was signed.
    #[test]
    fn hostile_checkpoints_are_no_checkpoints() {
        let sealer = Sealer::new(MasterKey::from_bytes(Zeroizing::new([5; 32])));
        let verifier = sealer.signer().verifier();
        let entry = entry(sealer.signer(), 7, &[9; 32], Timestamp(1_000));
        let (record, _) = chain::record(&[9; 32], 8, &group(), Timestamp(1_000), chain::body(&entry, Epoch(1), None));
        let signed = Checkpoint::of(&record).unwrap();
        handover_testkit::mutate::texts(19, 5_000, std::slice::from_ref(&record.body), |text| {
            let Some(found) = Checkpoint::of(&Record { body: text.to_owned(), ..record.clone() }) else { return };
            let same = (found.position, found.hash.to_lowercase()) == (signed.position, signed.hash.clone());
            assert!(same || !found.holds(&verifier), "{text:?}");
        });
    }
}
