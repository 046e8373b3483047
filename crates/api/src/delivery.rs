//! A published value on its way to a consumer, and the consumer's acknowledgement.

use std::collections::BTreeMap;
use std::fmt;

use handover_secret::Secret;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many random bytes a nonce has.
pub const NONCE_BYTES: usize = 32;

/// The item of a group that has one value only.
pub const ITEM_VALUE: &str = "value";

/// A published value, as handed to one consumer.
///
/// The one type through which a value crosses the wire. It cannot be cloned, and `Debug` redacts the value.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Delivered {
    /// Whose value.
    pub group: String,
    /// To whom it is handed; the proof of an acknowledgement is bound to this name.
    pub consumer: String,
    /// In which roles this consumer is expected to acknowledge.
    pub roles: Vec<Role>,
    /// Under which number it is published. Rises with every pointer move, rollback included: a client refuses a lower
    /// one.
    pub publication: u64,
    /// Which generation it is. Falls in a rollback.
    pub generation: u64,
    /// What is needed beside the value, such as `user`.
    pub fields: BTreeMap<String, String>,
    /// The value.
    #[serde(with = "wire_value")]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub value: Secret,
    /// Fresh for this delivery; the proof of an acknowledgement contains it.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub nonce: Nonce,
}

/// What a consumer says about a delivery.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Ack {
    /// In which role.
    pub role: Role,
    /// Under which number the value was delivered.
    pub publication: u64,
    /// Which generation it was.
    pub generation: u64,
    /// Which of the group's items; [`ITEM_VALUE`] where there is one only.
    pub item: String,
    /// How far it got.
    pub reach: Reach,
    /// The delivery's nonce.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub nonce: Nonce,
    /// The proof, see [`crate::proof`].
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub proof: crate::proof::Proof,
}

/// How far a publication got at a consumer. A higher one includes the lower ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// It should get there. Shown, never acknowledged.
    Expected,
    /// It arrived.
    Delivered,
    /// It is loaded: everything new uses it.
    Loaded,
    /// It was used with success.
    Used,
}

impl Reach {
    /// The word on the wire, which is also what the proof contains.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Expected => "expected",
            Self::Delivered => "delivered",
            Self::Loaded => "loaded",
            Self::Used => "used",
        }
    }
}

/// In which role a consumer is called.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It accepts what others present.
    Verifier,
    /// It presents the credential.
    Presenter,
}

impl Role {
    /// The word on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Verifier => "verifier",
            Self::Presenter => "presenter",
        }
    }
}

/// A delivery's nonce: [`NONCE_BYTES`] random bytes, in lower-case hexadecimal on the wire. Not secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce(pub [u8; NONCE_BYTES]);

/// Text that is no nonce.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadNonce;

impl fmt::Display for BadNonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a nonce is 64 hexadecimal digits")
    }
}

impl std::error::Error for BadNonce {}

impl Nonce {
    /// Parses what is on the wire.
    pub fn parse(text: &str) -> Result<Self, BadNonce> {
        let mut bytes = [0; NONCE_BYTES];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| BadNonce)?;
        Ok(Self(bytes))
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Serialize for Nonce {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Nonce {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A value on the wire: `{"encoding": "utf8", "data": "…"}`, or `base64` (standard alphabet, padded) where it is not
/// UTF-8.
mod wire_value {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use handover_secret::Secret;
    use serde::ser::SerializeStruct as _;
    use serde::{Deserialize, Deserializer, Serializer};

    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Encoding {
        Utf8,
        Base64,
    }

    /// No `Debug`: it holds the value in clear until it becomes a [`Secret`].
    #[derive(Deserialize)]
    struct Wire {
        encoding: Encoding,
        data: String,
    }

    pub(super) fn serialize<S: Serializer>(value: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
        let mut wire = serializer.serialize_struct("Value", 2)?;
        #[expect(clippy::disallowed_methods, reason = "the one place where a value is handed to its consumer")]
        match value.expose_text() {
            Some(text) => {
                wire.serialize_field("encoding", "utf8")?;
                wire.serialize_field("data", text)?;
            }
            None => {
                let encoded = Secret::from_text(STANDARD.encode(value.expose()));
                wire.serialize_field("encoding", "base64")?;
                wire.serialize_field("data", encoded.expose_text().unwrap_or_default())?;
            }
        }
        wire.end()
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        let Wire { encoding, data } = Wire::deserialize(deserializer)?;
        let data = Secret::from_text(data);
        match encoding {
            Encoding::Utf8 => Ok(data),
            Encoding::Base64 => {
                #[expect(clippy::disallowed_methods, reason = "decodes what crossed the wire, into a secret again")]
                let decoded = STANDARD.decode(data.expose());
                // The decoder's own error names the offending byte of the value.
                decoded.map(Secret::from_bytes).map_err(|_| serde::de::Error::custom("the value is not base64"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivered(value: Secret) -> Delivered {
        Delivered {
            group: "orders".to_owned(),
            consumer: "worker".to_owned(),
            roles: vec![Role::Presenter],
            publication: 3,
            generation: 2,
            fields: BTreeMap::from([("user".to_owned(), "orders_a".to_owned())]),
            value,
            nonce: Nonce([7; NONCE_BYTES]),
        }
    }

    #[test]
    fn a_value_crosses_the_wire_whole_whatever_its_bytes() {
        for bytes in [b"plain".to_vec(), "pässword\"\n".as_bytes().to_vec(), vec![0xff, 0x00, 0xfe], Vec::new()] {
            let sent = delivered(Secret::from_bytes(bytes.clone()));
            let json = serde_json::to_string(&sent).unwrap();
            let got: Delivered = serde_json::from_str(&json).unwrap();
            assert!(got.value.matches(&Secret::from_bytes(bytes)), "{json}");
            assert_eq!((got.publication, got.generation, got.nonce), (3, 2, sent.nonce));
        }
    }

    #[test]
    fn the_shape_on_the_wire_is_what_the_documentation_says() {
        let json = serde_json::to_value(delivered(Secret::from_text("pw".to_owned()))).unwrap();
        assert_eq!(json["value"], serde_json::json!({"encoding": "utf8", "data": "pw"}));
        assert_eq!(json["nonce"], "07".repeat(32));
        assert_eq!(json["roles"], serde_json::json!(["presenter"]));
    }

    #[test]
    fn debug_shows_nothing_of_the_value() {
        let text = format!("{:?}", delivered(Secret::from_text("canary-4711".to_owned())));
        assert!(!text.contains("canary") && text.contains("[redacted]"), "{text}");
    }

    #[test]
    fn errors_of_the_parser_show_nothing_of_the_value() {
        let json = serde_json::to_string(&delivered(Secret::from_text("canary-4711".to_owned()))).unwrap();
        let broken = json.replace("utf8", "base64");
        let error = serde_json::from_str::<Delivered>(&broken).unwrap_err().to_string();
        assert!(!error.contains("canary"), "{error}");
    }

    #[test]
    fn a_nonce_has_one_spelling_length() {
        assert!(Nonce::parse("00").is_err() && Nonce::parse(&"0g".repeat(32)).is_err());
        assert_eq!(Nonce::parse(&"0a".repeat(32)).unwrap(), Nonce([10; 32]));
    }

    #[test]
    fn words_on_the_wire_and_in_the_proof_are_the_same() {
        for reach in [Reach::Expected, Reach::Delivered, Reach::Loaded, Reach::Used] {
            assert_eq!(serde_json::to_value(reach).unwrap(), reach.word());
        }
        for role in [Role::Verifier, Role::Presenter] {
            assert_eq!(serde_json::to_value(role).unwrap(), role.word());
        }
    }
}
