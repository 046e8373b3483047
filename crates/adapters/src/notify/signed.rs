//! Verifying what others sign after the convention of Standard Webhooks, as [`super::webhook`] signs.
//!
//! Strict, because both ends are ours to configure: one scheme, whole signatures, a few at the most. A list in which
//! anything else stands is refused whole, so that nobody can put a weaker scheme in front.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use handover_core::Fault;
use handover_secret::Secret;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::webhook;

/// The one scheme: HMAC-SHA-256.
const SCHEME: &str = "v1";

/// How many signatures a message may bear: a sender that replaces its key signs with both.
const SIGNATURES_MAX: usize = 4;

/// The bytes of a signature.
const SIGNATURE_BYTES: usize = 32;

/// A key that verifies.
pub struct Verifier {
    key: zeroize::Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier")
    }
}

impl Verifier {
    /// The key as its file has it: `whsec_` and base64, or the bytes as they are, 24 at least. `name`: whose it is, for words.
    pub fn new(name: &str, key: &Secret) -> Result<Self, Fault> {
        Ok(Self { key: webhook::bytes(name, key)? })
    }

    /// Whether one of `signatures`, the value of the header `webhook-signature`, is ours over `ID.TIMESTAMP.BODY`. Compared
    /// in constant time.
    pub fn accepts(&self, id: &str, timestamp: &str, body: &[u8], signatures: &str) -> bool {
        let Some(given) = parsed(signatures) else { return false };
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of any length");
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        // Each is compared: how long it takes does not tell which one is ours.
        given.iter().fold(false, |found, one| mac.clone().verify_slice(one).is_ok() | found)
    }
}

/// The signatures of a header; `None` if anything in it is not one.
fn parsed(text: &str) -> Option<Vec<[u8; SIGNATURE_BYTES]>> {
    let all: Vec<&str> = text.split(' ').collect();
    if all.len() > SIGNATURES_MAX {
        return None;
    }
    let one = |entry: &&str| {
        let (scheme, signature) = entry.split_once(',')?;
        let bytes = STANDARD.decode(signature).ok().filter(|_| scheme == SCHEME)?;
        bytes.try_into().ok()
    };
    all.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const AT: &str = "1614265330";
    const BODY: &[u8] = b"{\"test\": 2432232314}";
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn verifier(key: &str) -> Verifier {
        Verifier::new("siem", &Secret::from_text(key.to_owned())).unwrap()
    }

    #[test]
    fn what_the_specification_signs_is_accepted() {
        let ours = verifier(KEY);
        assert!(ours.accepts(ID, AT, BODY, SIGNATURE));
        let other = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        assert!(ours.accepts(ID, AT, BODY, &format!("{other} {SIGNATURE}")), "a sender that replaces its key");
        assert!(!verifier("another key, of more than 24 bytes").accepts(ID, AT, BODY, SIGNATURE));
    }

    /// S26: of everything that a signature is over, and of the signature itself, nothing may differ.
    #[test]
    fn a_signature_that_is_not_whole_or_not_of_this_is_refused() {
        let ours = verifier(KEY);
        let bare = &SIGNATURE[3..];
        for (id, at, body, signatures, why) in [
            ("msg_other", AT, BODY, SIGNATURE.to_owned(), "another id"),
            (ID, "1614265331", BODY, SIGNATURE.to_owned(), "another time"),
            (ID, AT, &b"{}"[..], SIGNATURE.to_owned(), "another body"),
            ("msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330", "", BODY, SIGNATURE.to_owned(), "parts shifted"),
            (ID, AT, BODY, String::new(), "missing"),
            (ID, AT, BODY, "v1,".to_owned(), "empty"),
            (ID, AT, BODY, SIGNATURE[..20].to_owned(), "truncated"),
            (ID, AT, BODY, format!("v1,{}", &bare[..40]), "truncated to whole base64"),
            (ID, AT, BODY, bare.to_owned(), "without a scheme"),
            (ID, AT, BODY, format!("v0,{bare}"), "another scheme"),
            (ID, AT, BODY, format!("none, {SIGNATURE}"), "no scheme in front"),
            (ID, AT, BODY, format!("v0,{bare} {SIGNATURE}"), "a weaker scheme in front"),
            (ID, AT, BODY, format!("{SIGNATURE} v1a,{bare}"), "a scheme of public keys behind"),
            (ID, AT, BODY, [SIGNATURE; 5].join(" "), "too many"),
            (ID, AT, BODY, format!("{SIGNATURE}  "), "spaces"),
        ] {
            assert!(!ours.accepts(id, at, body, &signatures), "{why}");
        }
    }
}
