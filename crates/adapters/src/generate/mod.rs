//! Values that somebody else makes.

mod process;

pub use process::{Process, VALUE_BYTES_MAX};
