//! Keeping everybody else away from a state without opening it.

use std::path::Path;

use handover_core::Fault;

use super::lock::Lock;

/// Nobody opens the state at a path for as long as this lives, whether or not there is one.
pub struct Alone {
    _lock: Lock,
}

impl Alone {
    /// Takes the lock of the state at `path`. Blocks for a moment at most.
    ///
    /// # Errors
    /// `Fenced` while somebody has that state open; `Storage` if the folder cannot be written.
    pub fn at(path: &Path) -> Result<Self, Fault> {
        Ok(Self { _lock: Lock::take(path)? })
    }
}
