//! What a person may ask for.

use serde::{Deserialize, Serialize};

/// The longest reason, in characters: it is audited as it is.
pub const REASON_CHARS_MAX: usize = 1_000;

/// The request header in which a client names an order, so that a repeat of it is not another one: 1 to 128 visible ASCII
/// characters, a fresh one for each order. It is remembered for a day at least.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Body of a request to start a rotation.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RotateRequest {}

/// Body of an order: roll back, hold, resume, abandon, force. Only *force* needs a reason.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OrderRequest {
    /// Why; audited. At most [`REASON_CHARS_MAX`] characters, on one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The answer to a started rotation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Started {
    /// Which group.
    pub group: String,
    /// The generation that it leads to.
    pub generation: u64,
    /// Whether it waits for the word of people before it does anything.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub approval_wanted: bool,
}
