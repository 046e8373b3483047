//! The body of every refusal: problem details after RFC 9457.

use serde::{Deserialize, Serialize};

/// The media type of a problem body.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Why a request was refused, and what helps.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// A reference that names the kind of problem, and leads to its page: `/v1/errors/{code}`.
    #[serde(rename = "type", default = "about_blank")]
    pub kind: String,
    /// What kind of problem it is, in a few words that never vary.
    pub title: String,
    /// The HTTP status, again.
    pub status: u16,
    /// What happened here, in our own words. Never a driver's text, never a value.
    pub detail: String,
    /// The stable code: a constant word, or the code of a fault (`HO0101`, …).
    pub code: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Where it is explained how the group stands, if it is about a group: a path of this API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explain: Option<String>,
}

fn about_blank() -> String {
    "about:blank".to_owned()
}

impl Problem {
    /// A problem without a hint.
    pub fn new(status: u16, code: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: crate::path::ERROR.replace("{code}", code),
            title: title.to_owned(),
            status,
            detail: detail.into(),
            code: code.to_owned(),
            hint: None,
            explain: None,
        }
    }

    /// The same with a next step.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_has_the_names_of_rfc_9457() {
        let problem = Problem::new(409, "live", "A rotation is live", "orders is rotating").hint("wait for it");
        let json = serde_json::to_value(&problem).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "type": "/v1/errors/live", "title": "A rotation is live", "status": 409,
                "detail": "orders is rotating", "code": "live", "hint": "wait for it",
            })
        );
        let foreign = r#"{"title":"t","status":500,"detail":"d","code":"c","more":1}"#;
        assert_eq!(serde_json::from_str::<Problem>(foreign).unwrap().kind, "about:blank", "members may be missing");
    }
}
