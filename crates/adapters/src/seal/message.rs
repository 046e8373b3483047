//! One message, one key.

use aes_gcm::aead::AeadInPlace;
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use handover_core::{Fault, FaultKind};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::key::{KEY_BYTES, fill};

/// A key that seals no message itself: each is sealed under a key derived from it, a random salt and the associated data.
///
/// AES-GCM under one key bears 2³² messages with random nonces, and then a nonce that repeats lays values open. The sum of
/// a file's rows is sealed anew with each transaction, so that a busy file would get there within months. Here, salt and
/// nonce must repeat together, 224 random bits, and for one place.
pub(super) struct MessageKeys(Zeroizing<[u8; KEY_BYTES]>);

impl MessageKeys {
    pub(super) const fn new(key: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        Self(key)
    }

    /// Layout ‖ salt ‖ nonce ‖ ciphertext ‖ tag.
    pub(super) fn seal(&self, associated: &[u8], value: &[u8]) -> Result<Vec<u8>, Fault> {
        let (mut salt, mut nonce) = ([0; SALT_BYTES], [0; NONCE_BYTES]);
        fill(&mut salt)?;
        fill(&mut nonce)?;
        self.seal_under(&salt, &nonce, associated, value)
    }

    /// The value, or `None` if it does not authenticate.
    pub(super) fn open(&self, associated: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (&layout, rest) = sealed.split_first()?;
        match layout {
            LAYOUT_DIRECT => decrypt(&Aes256Gcm::new((&*self.0).into()), associated, rest),
            LAYOUT_DERIVED => {
                let (salt, rest) = rest.split_at_checked(SALT_BYTES)?;
                decrypt(&self.cipher(salt, associated), associated, rest)
            }
            _ => None,
        }
    }

    fn seal_under(
        &self,
        salt: &[u8; SALT_BYTES],
        nonce: &[u8; NONCE_BYTES],
        associated: &[u8],
        value: &[u8],
    ) -> Result<Vec<u8>, Fault> {
        // The plaintext is encrypted where the result stands, so that no copy of it is left in freed memory.
        let start = 1 + SALT_BYTES + NONCE_BYTES;
        let mut out = Vec::with_capacity(start + value.len() + TAG_BYTES);
        out.push(LAYOUT_DERIVED);
        out.extend_from_slice(salt);
        out.extend_from_slice(nonce);
        out.extend_from_slice(value);
        let cipher = self.cipher(salt, associated);
        match cipher.encrypt_in_place_detached(Nonce::from_slice(nonce), associated, &mut out[start..]) {
            Ok(tag) => {
                out.extend_from_slice(&tag);
                Ok(out)
            }
            Err(_) => {
                drop(Zeroizing::new(out));
                Err(Fault::untouched(FaultKind::Unsupported, "a value longer than AES-GCM allows cannot be sealed"))
            }
        }
    }

    /// The message's own key. The associated data are in it as well, so that even a salt that repeats gives another key
    /// at another place.
    fn cipher(&self, salt: &[u8], associated: &[u8]) -> Aes256Gcm {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        let root = Hkdf::<Sha256>::new(Some(b"handover message"), self.0.as_slice());
        #[expect(clippy::expect_used, reason = "HKDF-SHA-256 gives up to 8160 bytes, and this asks for 32")]
        root.expand_multi_info(&[salt, associated], key.as_mut_slice()).expect("32 bytes can be derived");
        Aes256Gcm::new((&*key).into())
    }
}

/// First byte of everything sealed. This one was sealed under the key itself, by earlier versions.
const LAYOUT_DIRECT: u8 = 1;

/// Sealed under a derived key.
const LAYOUT_DERIVED: u8 = 2;

const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// Of nonce ‖ ciphertext ‖ tag.
fn decrypt(cipher: &Aes256Gcm, associated: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, rest) = sealed.split_at_checked(NONCE_BYTES)?;
    let (ciphertext, tag) = rest.split_at_checked(rest.len().checked_sub(TAG_BYTES)?)?;
    // The tag is checked before anything is decrypted, so a failure leaves ciphertext in the buffer.
    let mut value = ciphertext.to_vec();
    cipher.decrypt_in_place_detached(Nonce::from_slice(nonce), associated, &mut value, tag.into()).ok()?;
    Some(value)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn keys() -> MessageKeys {
        MessageKeys::new(Zeroizing::new([7; KEY_BYTES]))
    }

    fn key_stream(sealed: &[u8], value: &[u8]) -> Vec<u8> {
        sealed[1 + SALT_BYTES + NONCE_BYTES..].iter().zip(value).map(|(sealed, plain)| sealed ^ plain).collect()
    }

    /// S11: with nonces that always repeat, which is worse than any that are random, no two messages of different salts
    /// or places share their key stream.
    #[test]
    fn a_nonce_that_repeats_repeats_no_key_stream() {
        let (keys, nonce, value) = (keys(), [9; NONCE_BYTES], [0x5a_u8; 32]);
        let mut streams = BTreeSet::new();
        for number in 0..2_000_u128 {
            for place in [&b"here"[..], b"there"] {
                let sealed = keys.seal_under(&number.to_be_bytes(), &nonce, place, &value).unwrap();
                assert_eq!(keys.open(place, &sealed).unwrap(), value);
                assert!(streams.insert(key_stream(&sealed, &value)), "salt {number}");
            }
        }
    }

    /// S11: of many messages under one key, no two have the same salt, nor the same nonce.
    #[test]
    fn of_many_messages_no_two_share_a_salt_or_a_nonce() {
        const MESSAGES: usize = 20_000;
        let keys = keys();
        let (mut salts, mut nonces) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..MESSAGES {
            let sealed = keys.seal(b"here", b"value").unwrap();
            salts.insert(sealed[1..=SALT_BYTES].to_vec());
            nonces.insert(sealed[1 + SALT_BYTES..][..NONCE_BYTES].to_vec());
        }
        assert_eq!((salts.len(), nonces.len()), (MESSAGES, MESSAGES));
    }

    #[test]
    fn what_an_earlier_version_sealed_still_opens() {
        let keys = keys();
        let nonce = [3; NONCE_BYTES];
        let mut sealed = [&[LAYOUT_DIRECT][..], &nonce, b"value"].concat();
        let direct = Aes256Gcm::new((&*keys.0).into());
        let tag = direct
            .encrypt_in_place_detached(Nonce::from_slice(&nonce), b"here", &mut sealed[1 + NONCE_BYTES..])
            .unwrap();
        sealed.extend_from_slice(&tag);
        assert_eq!(keys.open(b"here", &sealed).unwrap(), b"value");
        assert!(keys.open(b"there", &sealed).is_none());
        for layout in [0, LAYOUT_DERIVED, 3] {
            sealed[0] = layout;
            assert!(keys.open(b"here", &sealed).is_none(), "layout {layout}");
        }
    }
}
