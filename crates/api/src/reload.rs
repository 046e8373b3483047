//! Having the server read its configuration again.

use serde::{Deserialize, Serialize};

/// Body of a request to read the configuration again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ReloadRequest {
    /// Only say what would change.
    #[serde(default)]
    pub check: bool,
}

/// What is another than before, or would be.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reloaded {
    /// Groups, by name.
    pub groups: Changes,
    /// Sinks, by name.
    pub sinks: Changes,
    /// Keys of the configuration that take effect with a restart only. Never any where it was done: with one of them
    /// changed it is refused.
    pub restart_needed: Vec<String>,
}

/// What came, changed and went.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Changes {
    /// New.
    pub added: Vec<String>,
    /// The same name, and something else behind it: in the configuration or in a file that it names.
    pub changed: Vec<String>,
    /// Gone.
    pub removed: Vec<String>,
}

impl Reloaded {
    /// Whether nothing is another than before.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}
