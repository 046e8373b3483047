//! How a consumer proves what it loaded.
//!
//! ```text
//! key     = HKDF-SHA-256(input key = the value's bytes, no salt, info = "handover ack", 32 bytes)
//! message = part(identity) part(group) part(publication) part(generation) part(item) part(reach) part(nonce)
//! part(x) = the length of x in bytes, 4 bytes big-endian, then x
//! proof   = HMAC-SHA-256(key, message), in lower-case hexadecimal
//! ```
//!
//! *identity*, *group* and *item* are UTF-8 text; *publication* and *generation* are 8 bytes big-endian; *reach* is one
//! of the words `delivered`, `loaded`, `used`; *nonce* is the delivery's 32 bytes, not their hexadecimal form. Without
//! a salt means a salt of 32 zero bytes, as RFC 5869 says.
//!
//! The proof shows that its maker holds the value. For a value that is public (a CA bundle, a key set) it shows
//! receipt only. It is bound to one delivery by the nonce, so that it cannot be used for another consumer, publication
//! or reach.

use std::fmt;

use handover_secret::Secret;
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::delivery::{Nonce, Reach};

/// What a proof is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim<'a> {
    /// Who claims.
    pub identity: &'a str,
    /// Of which group.
    pub group: &'a str,
    /// Under which number it was delivered.
    pub publication: u64,
    /// Which generation it was.
    pub generation: u64,
    /// Which of the group's items.
    pub item: &'a str,
    /// How far it got.
    pub reach: Reach,
    /// The delivery's nonce.
    pub nonce: &'a Nonce,
}

impl Claim<'_> {
    /// The proof of this claim by a holder of `value`.
    pub fn prove(&self, value: &Secret) -> Proof {
        Proof(self.mac(value).finalize().into_bytes().into())
    }

    /// Whether `proof` is that of a holder of `value`, in time that does not depend on where it differs.
    #[must_use]
    pub fn verify(&self, value: &Secret, proof: &Proof) -> bool {
        self.mac(value).verify_slice(&proof.0).is_ok()
    }

    fn mac(&self, value: &Secret) -> Hmac<Sha256> {
        #[expect(
            clippy::disallowed_methods,
            reason = "derives the key of the proof; nothing else leaves this function"
        )]
        let expanded = Hkdf::<Sha256>::new(None, value.expose());
        let mut key = Zeroizing::new([0; 32]);
        #[expect(clippy::expect_used, reason = "32 bytes are one block of the 255 that HKDF can give")]
        expanded.expand(b"handover ack", key.as_mut()).expect("32 bytes are within HKDF's limit");
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key.as_ref()).expect("HMAC takes keys of any length");
        let parts: [&[u8]; 7] = [
            self.identity.as_bytes(),
            self.group.as_bytes(),
            &self.publication.to_be_bytes(),
            &self.generation.to_be_bytes(),
            self.item.as_bytes(),
            self.reach.word().as_bytes(),
            &self.nonce.0,
        ];
        for part in parts {
            // Parts are names and numbers; one that does not fit 32 bits cannot be allocated by a request of 64 KiB.
            mac.update(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            mac.update(part);
        }
        mac
    }
}

/// A proof: 32 bytes, in lower-case hexadecimal on the wire.
///
/// Not comparable with `==`: that would take a time that depends on the content.
#[derive(Clone)]
pub struct Proof([u8; 32]);

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Serialize for Proof {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Proof {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(&text, &mut bytes)
            .map_err(|_| serde::de::Error::custom("a proof is 64 hexadecimal digits"))?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(nonce: &Nonce) -> Claim<'_> {
        Claim {
            identity: "worker",
            group: "orders-db",
            publication: 3,
            generation: 2,
            item: "value",
            reach: Reach::Loaded,
            nonce,
        }
    }

    fn value() -> Secret {
        Secret::from_text("correct horse battery staple".to_owned())
    }

    /// Computed with the Python of `docs/http-api.md`, not with this code.
    #[test]
    fn known_answer() {
        let nonce = Nonce(std::array::from_fn(|index| u8::try_from(index).unwrap()));
        let proof = claim(&nonce).prove(&value());
        assert_eq!(format!("{proof:?}"), "92e73fcb355201ca19e0ee310f3a3053cea18713c8b9e7b01b111fc6e21c919a");
        assert!(include_str!("../../../docs/http-api.md").contains(&format!("{proof:?}")));
    }

    #[test]
    fn a_proof_fits_its_claim_and_no_other() {
        let (nonce, other_nonce) = (Nonce([1; 32]), Nonce([2; 32]));
        let right = claim(&nonce);
        let proof = right.prove(&value());
        assert!(right.verify(&value(), &proof));
        let others = [
            Claim { identity: "worker2", ..right },
            Claim { group: "orders", ..right },
            Claim { publication: 4, ..right },
            Claim { generation: 3, ..right },
            Claim { item: "key", ..right },
            Claim { reach: Reach::Used, ..right },
            Claim { nonce: &other_nonce, ..right },
            // The same bytes, cut differently: what the length prefixes are for.
            Claim { identity: "workero", group: "rders-db", ..right },
        ];
        for other in others {
            assert!(!other.verify(&value(), &proof), "{other:?}");
        }
        assert!(!right.verify(&Secret::from_text("wrong".to_owned()), &proof));
    }

    #[test]
    fn a_proof_crosses_the_wire() {
        let nonce = Nonce([1; 32]);
        let proof = claim(&nonce).prove(&value());
        let json = serde_json::to_string(&proof).unwrap();
        assert!(claim(&nonce).verify(&value(), &serde_json::from_str(&json).unwrap()));
        assert!(serde_json::from_str::<Proof>("\"00\"").is_err());
    }
}
