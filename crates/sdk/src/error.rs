//! What can go wrong between a client and its controller.

use handover_api::Problem;

/// Why a request to the controller failed. It never contains a value or a driver's own text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The options cannot work.
    #[error("{0}")]
    Options(String),
    /// The controller could not be reached, gave no answer in time, or is in trouble itself. Trying again may help.
    #[error("the controller is not available: {0}")]
    Unavailable(&'static str),
    /// The controller refused.
    #[error("the controller refused: {} [{}]", .0.detail, .0.code)]
    Refused(Box<Problem>),
    /// The answer is not one of this API.
    #[error("the controller's answer makes no sense: {0}")]
    Protocol(&'static str),
    /// The token belongs to somebody else than the options say; acknowledgements would be refused.
    #[error("the token belongs to {token_of}, the options say {identity}")]
    Identity {
        /// Whose token it is.
        token_of: String,
        /// What the options say.
        identity: String,
    },
}

impl Error {
    /// Whether trying again without a change may help: the controller was away, or has nothing published yet.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Refused(problem) => problem.code == NOT_PUBLISHED,
            Self::Options(_) | Self::Protocol(_) | Self::Identity { .. } => false,
        }
    }
}

/// The code of the refusal to hand out a value while nothing is published.
const NOT_PUBLISHED: &str = "not_published";
