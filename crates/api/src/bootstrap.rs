//! The first operator: a one-time code is exchanged for a token.

use handover_secret::Secret;
use serde::{Deserialize, Serialize};

/// What the first operator's token is asked with. The code is sent as a bearer token.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BootstrapRequest {
    /// Whose token it is to be.
    pub identity: String,
}

/// The first operator's token. It is answered once and kept nowhere.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Bootstrapped {
    /// Whose it is.
    pub identity: String,
    /// The token.
    #[serde(with = "wire_token")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub token: Secret,
}

mod wire_token {
    use handover_secret::Secret;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(token: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
        #[expect(clippy::disallowed_methods, reason = "the one answer that hands a token to its holder")]
        let text = token.expose_text().unwrap_or_default();
        serializer.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret::from_text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_crosses_the_wire_and_is_not_shown() {
        let sent = Bootstrapped { identity: "me".to_owned(), token: Secret::from_text("hnd_canary".to_owned()) };
        let json = serde_json::to_string(&sent).unwrap();
        assert_eq!(json, r#"{"identity":"me","token":"hnd_canary"}"#);
        let got: Bootstrapped = serde_json::from_str(&json).unwrap();
        assert!(got.token.matches(&sent.token));
        assert!(!format!("{got:?}").contains("canary"));
    }
}
