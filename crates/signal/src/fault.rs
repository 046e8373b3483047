//! Why a value cannot be had, and why a run failed.

use std::error::Error;
use std::sync::Arc;

/// An error of whoever uses this crate. Its text is theirs: nothing here prints it.
pub(crate) type BoxError = Arc<dyn Error + Send + Sync>;

/// Why a computed value cannot be had.
///
/// It is kept and shown to every reader until something upstream changes, or a reader is retried.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Values need each other. The names go once around.
    #[error("values need each other: {}", path.join(" → "))]
    Cycle {
        /// From one reader along what it reads, back to itself.
        path: Vec<String>,
    },
    /// Its computation panicked. What the panic said is not kept: it may hold a value.
    #[error("the computation of {name} panicked")]
    Panicked {
        /// The computed value.
        name: String,
    },
    /// Its computation gave an error.
    #[error("{name} could not be computed")]
    Failed {
        /// The computed value.
        name: String,
        /// The error.
        source: BoxError,
    },
    /// A task has not had its first result yet.
    #[error("{name} has no value yet")]
    Pending {
        /// The computed value.
        name: String,
    },
    /// The evaluations inside each other need another stack, and there is no thread for it.
    #[error("the computation is nested too deeply for this process's threads")]
    TooDeep,
}

impl Fault {
    pub(crate) fn cycle(path: Vec<String>) -> Self {
        Self::Cycle { path }
    }

    /// The fault that an error is, or is the source of.
    pub(crate) fn of(name: &str, error: Box<dyn Error + Send + Sync>) -> Self {
        match error.downcast::<Self>() {
            Ok(fault) => *fault,
            Err(error) => Self::Failed { name: name.to_owned(), source: Arc::from(error) },
        }
    }
}

/// Why a run of an effect failed.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    Error(BoxError),
    Panicked,
    Deadline,
    /// Something newer came before it ended: not a failure of its own.
    Superseded,
}
