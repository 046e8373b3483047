use handover_core::{Candidate, Fault, FaultKind, Generation, GroupId};
use handover_secret::Secret;
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use rand::TryRngCore;
use rand::rngs::OsRng;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::frame::{framed, framed_mac};
use super::integrity::Integrity;
use super::master::MasterKey;
use super::message::MessageKeys;
use super::sign::Signer;

pub(super) const KEY_BYTES: usize = 32;
const ID_BYTES: usize = 8;

/// Wraps keys and makes digests. It holds what is derived from the master key, never the master key itself.
pub struct Sealer {
    wrapping: MessageKeys,
    digests: Hmac<Sha256>,
    signer: Signer,
    id: [u8; ID_BYTES],
}

impl Sealer {
    /// Derives what is needed and forgets the master key.
    pub fn new(master: MasterKey) -> Self {
        let root = master.root();
        let mut id = [0; ID_BYTES];
        id.copy_from_slice(&derived(&root, "handover master key id")[..ID_BYTES]);
        Self {
            wrapping: MessageKeys::new(derived(&root, "handover key wrapping")),
            digests: keyed(&derived(&root, "handover value digest")),
            signer: Signer::new(&root),
            id,
        }
    }

    /// A short public name of the master key, to tell one from another. It says nothing about the key.
    pub fn id(&self) -> String {
        hex::encode(self.id)
    }

    /// Signs checkpoints of the history.
    pub const fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Mints a data key for a group. The second part is the wrapped key, to be kept beside the values; without it they
    /// cannot be opened.
    pub fn mint_key(&self, group: &GroupId) -> Result<(DataKey, Vec<u8>), Fault> {
        let (key, wrapped) = self.mint("data key", group.as_str())?;
        Ok((DataKey { messages: MessageKeys::new(key) }, wrapped))
    }

    /// Opens a group's wrapped data key. `Corrupt` if it was wrapped by another master key, edited, or belongs to
    /// another group.
    pub fn open_key(&self, group: &GroupId, wrapped: &[u8]) -> Result<DataKey, Fault> {
        Ok(DataKey { messages: MessageKeys::new(self.unwrap("data key", group.as_str(), wrapped)?) })
    }

    /// Mints the key by which a file's rows are protected against edits. `file` names the kind of file.
    pub fn mint_integrity(&self, file: &str) -> Result<(Integrity, Vec<u8>), Fault> {
        let (key, wrapped) = self.mint("integrity key", file)?;
        Ok((Integrity::new(&key), wrapped))
    }

    /// Opens a file's wrapped integrity key. Errors as [`Sealer::open_key`].
    pub fn open_integrity(&self, file: &str, wrapped: &[u8]) -> Result<Integrity, Fault> {
        Ok(Integrity::new(&*self.unwrap("integrity key", file, wrapped)?))
    }

    /// A keyed digest of a group's value: what a store's head may show. Without the master key it can be neither
    /// computed nor searched for by guessing values.
    pub fn digest(&self, group: &GroupId, value: &Secret) -> [u8; 32] {
        #[expect(clippy::disallowed_methods, reason = "the digest is made from the value")]
        let value = value.expose();
        framed_mac(self.digests.clone(), &[group.as_str().as_bytes(), value])
    }

    fn mint(&self, kind: &str, of: &str) -> Result<(Zeroizing<[u8; KEY_BYTES]>, Vec<u8>), Fault> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        fill(key.as_mut_slice())?;
        let sealed = self.wrapping.seal(&framed(&[kind.as_bytes(), of.as_bytes()]), key.as_slice())?;
        let mut wrapped = Vec::with_capacity(ID_BYTES + sealed.len());
        wrapped.extend_from_slice(&self.id);
        wrapped.extend_from_slice(&sealed);
        Ok((key, wrapped))
    }

    fn unwrap(&self, kind: &str, of: &str, wrapped: &[u8]) -> Result<Zeroizing<[u8; KEY_BYTES]>, Fault> {
        let edited = || {
            corrupt(format!(
                "the wrapped {kind} of {of} was edited or belongs elsewhere; restore the file from a backup"
            ))
        };
        let (id, sealed) = wrapped.split_at_checked(ID_BYTES).ok_or_else(edited)?;
        if id != self.id {
            return Err(corrupt(format!(
                "the {kind} of {of} was wrapped by the master key {}, and the configured master key is {}; point the \
                 configuration to the key file that belongs to this state, or restore that key from its backup",
                hex::encode(id),
                self.id()
            )));
        }
        let opened = self.wrapping.open(&framed(&[kind.as_bytes(), of.as_bytes()]), sealed).ok_or_else(edited)?;
        let opened = Zeroizing::new(opened);
        <[u8; KEY_BYTES]>::try_from(opened.as_slice()).map(Zeroizing::new).map_err(|_| edited())
    }
}

/// Where a sealed value belongs. It opens nowhere else.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Whose value.
    pub group: &'a GroupId,
    /// Which generation.
    pub generation: Generation,
    /// Which of its minted values.
    pub candidate: Candidate,
    /// What it is kept for.
    pub purpose: Purpose,
}

/// What a sealed value is kept for. One that was sealed for one purpose does not open for another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// A candidate in the state.
    Candidate,
    /// A value that the embedded store publishes.
    StoreValue,
}

impl Purpose {
    const fn word(self) -> &'static str {
        match self {
            Self::Candidate => "candidate",
            Self::StoreValue => "store value",
        }
    }
}

/// A group's key. It seals and opens values, and lives in memory only while that is done.
pub struct DataKey {
    messages: MessageKeys,
}

impl DataKey {
    /// Seals a value for its place. Two calls give different bytes, under different keys.
    pub fn seal(&self, place: Place<'_>, value: &Secret) -> Result<Vec<u8>, Fault> {
        #[expect(clippy::disallowed_methods, reason = "the value is encrypted here")]
        let value = value.expose();
        self.messages.seal(&place.bytes(), value)
    }

    /// Opens a value. `Corrupt` if it was edited, sealed with another key, or for another place.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Secret, Fault> {
        self.messages.open(&place.bytes(), sealed).map(Secret::from_bytes).ok_or_else(|| {
            corrupt(format!(
                "the sealed {} {}.{} of {} does not open: it was edited, or moved here from another place; restore the \
                 file from a backup",
                place.purpose.word(),
                place.generation,
                place.candidate,
                place.group
            ))
        })
    }
}

impl Place<'_> {
    fn bytes(&self) -> Vec<u8> {
        framed(&[
            self.group.as_str().as_bytes(),
            &self.generation.0.to_be_bytes(),
            &self.candidate.0.to_be_bytes(),
            self.purpose.word().as_bytes(),
        ])
    }
}

pub(super) fn derived(root: &Hkdf<Sha256>, label: &str) -> Zeroizing<[u8; KEY_BYTES]> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    #[expect(clippy::expect_used, reason = "HKDF-SHA-256 gives up to 8160 bytes, and this asks for 32")]
    root.expand(label.as_bytes(), key.as_mut_slice()).expect("32 bytes can be derived");
    key
}

pub(super) fn keyed(key: &[u8; KEY_BYTES]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    <Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes any key")
}

pub(super) fn fill(bytes: &mut [u8]) -> Result<(), Fault> {
    OsRng
        .try_fill_bytes(bytes)
        .map_err(|_| Fault::untouched(FaultKind::Storage, "the operating system gave no random bytes"))
}

fn corrupt(detail: String) -> Fault {
    Fault::untouched(FaultKind::Corrupt, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(byte: u8) -> Sealer {
        Sealer::new(MasterKey::from_bytes(Zeroizing::new([byte; 32])))
    }

    fn group(name: &str) -> GroupId {
        GroupId::parse(name).unwrap()
    }

    fn place(group: &GroupId) -> Place<'_> {
        Place { group, generation: Generation(3), candidate: Candidate(1), purpose: Purpose::Candidate }
    }

    #[test]
    fn a_value_opens_in_its_place_and_nowhere_else() {
        let (orders, other) = (group("orders"), group("other"));
        let (key, _) = sealer(1).mint_key(&orders).unwrap();
        let value = Secret::from_text("correct horse".to_owned());
        let sealed = key.seal(place(&orders), &value).unwrap();
        assert!(key.open(place(&orders), &sealed).unwrap().matches(&value));
        let here = place(&orders);
        for elsewhere in [
            Place { group: &other, ..here },
            Place { generation: Generation(4), ..here },
            Place { candidate: Candidate(2), ..here },
            Place { purpose: Purpose::StoreValue, ..here },
        ] {
            assert_eq!(key.open(elsewhere, &sealed).unwrap_err().kind, FaultKind::Corrupt, "{elsewhere:?}");
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let orders = group("orders");
        let (key, _) = sealer(1).mint_key(&orders).unwrap();
        let sealed = key.seal(place(&orders), &Secret::from_text("v".to_owned())).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut edited = sealed.clone();
            edited[bit / 8] ^= 1 << (bit % 8);
            assert!(key.open(place(&orders), &edited).is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(key.open(place(&orders), &sealed[..length]).is_err(), "cut to {length}");
        }
    }

    #[test]
    fn nonces_differ_and_the_plaintext_is_not_in_the_result() {
        let orders = group("orders");
        let (key, wrapped) = sealer(1).mint_key(&orders).unwrap();
        let value = Secret::from_text("correct horse".to_owned());
        let sealed: std::collections::BTreeSet<_> =
            (0..200).map(|_| key.seal(place(&orders), &value).unwrap()).collect();
        assert_eq!(sealed.len(), 200);
        assert!(sealed.iter().all(|bytes| !bytes.windows(7).any(|window| window == b"correct")));
        let again = sealer(1).open_key(&orders, &wrapped).unwrap();
        assert!(sealed.iter().all(|bytes| again.open(place(&orders), bytes).unwrap().matches(&value)));
    }

    #[test]
    fn another_master_key_is_named_with_a_next_step() {
        let orders = group("orders");
        let (_, wrapped) = sealer(1).mint_key(&orders).unwrap();
        let fault = sealer(2).open_key(&orders, &wrapped).err().unwrap();
        assert_eq!(fault.kind, FaultKind::Corrupt);
        assert!(fault.detail.contains(&sealer(1).id()) && fault.detail.contains(&sealer(2).id()), "{fault}");
        assert!(fault.detail.contains("point the configuration to the key file"), "{fault}");
    }

    /// S10, S11: a key is bound to its group and its kind of file.
    #[test]
    fn a_wrapped_key_of_another_group_or_kind_does_not_open() {
        let (orders, other) = (group("orders"), group("other"));
        let sealer = sealer(1);
        let (_, wrapped) = sealer.mint_key(&orders).unwrap();
        assert!(sealer.open_key(&other, &wrapped).is_err());
        assert!(sealer.open_integrity("orders", &wrapped).is_err());
        assert!(sealer.open_key(&orders, &[]).is_err());
    }

    #[test]
    fn digests_depend_on_master_key_group_and_value() {
        let (orders, other) = (group("orders"), group("other"));
        let value = Secret::from_text("v".to_owned());
        let digest = sealer(1).digest(&orders, &value);
        assert_eq!(digest, sealer(1).digest(&orders, &value));
        assert_ne!(digest, sealer(2).digest(&orders, &value));
        assert_ne!(digest, sealer(1).digest(&other, &value));
        assert_ne!(digest, sealer(1).digest(&orders, &Secret::from_text("w".to_owned())));
    }
}
