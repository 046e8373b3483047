use handover_core::{Fault, FaultKind};
use hkdf::Hkdf;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use sha2::Sha256;

use super::frame::framed;
use super::key::derived;

/// Signs checkpoints of the history, with an Ed25519 key that is derived from the master key.
pub struct Signer {
    pair: Ed25519KeyPair,
}

impl Signer {
    pub(super) fn new(root: &Hkdf<Sha256>) -> Self {
        let seed = derived(root, "handover checkpoint signing");
        #[expect(clippy::expect_used, reason = "every 32 bytes are the seed of an Ed25519 key")]
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice()).expect("32 bytes are a seed");
        Self { pair }
    }

    /// What others check signatures with. It may be given to everybody.
    pub fn verifier(&self) -> Verifier {
        let mut key = [0; KEY_BYTES];
        key.copy_from_slice(self.pair.public_key().as_ref());
        Verifier(key)
    }

    /// Signs these parts, in hexadecimal.
    pub fn sign(&self, parts: &[&[u8]]) -> String {
        hex::encode(self.pair.sign(&framed(parts)).as_ref())
    }
}

/// The public key that checks what a [`Signer`] signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verifier([u8; KEY_BYTES]);

impl Verifier {
    /// Reads a key in hexadecimal.
    ///
    /// # Errors
    /// `Misconfigured` if it is none.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let mut key = [0; KEY_BYTES];
        hex::decode_to_slice(text.trim(), &mut key)
            .map_err(|_| Fault::untouched(FaultKind::Misconfigured, "a checkpoint's key is 64 hexadecimal digits"))?;
        Ok(Self(key))
    }

    /// The key in hexadecimal.
    pub fn text(&self) -> String {
        hex::encode(self.0)
    }

    /// Whether `signature`, in hexadecimal, is that of these parts.
    pub fn holds(&self, parts: &[&[u8]], signature: &str) -> bool {
        hex::decode(signature)
            .is_ok_and(|signature| UnparsedPublicKey::new(&ED25519, self.0).verify(&framed(parts), &signature).is_ok())
    }
}

const KEY_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::super::{MasterKey, Sealer};
    use super::*;

    #[test]
    fn a_signature_holds_for_its_parts_and_its_key_alone() {
        let signer = |byte| Sealer::new(MasterKey::from_bytes(Zeroizing::new([byte; 32])));
        let (ours, other) = (signer(1), signer(2));
        let signature = ours.signer().sign(&[b"ab", b"c"]);
        let verifier = Verifier::parse(&ours.signer().verifier().text()).unwrap();
        assert!(verifier.holds(&[b"ab", b"c"], &signature));
        assert!(!verifier.holds(&[b"a", b"bc"], &signature));
        assert!(!verifier.holds(&[b"ab", b"c"], &signature[2..]));
        assert!(!verifier.holds(&[b"ab", b"c"], "not hexadecimal"));
        assert!(!other.signer().verifier().holds(&[b"ab", b"c"], &signature));
        assert_eq!(signer(1).signer().verifier(), verifier, "the key is the same at each start");
        assert_eq!(Verifier::parse("abc").unwrap_err().kind, FaultKind::Misconfigured);
    }
}
