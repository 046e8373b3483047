//! Client of Handover, for processes that consume credentials.
//!
//! ```no_run
//! # async fn example() -> Result<(), handover_sdk::Error> {
//! use handover_sdk::{Client, Options};
//!
//! let client = Client::new(Options::new("http://127.0.0.1:8300", "worker", "/run/worker/handover.token"))?;
//! let credential = client.live("orders-db").await?;
//! let now = credential.current(); // resolve at use, every time; never keep it
//! assert!(now.user().is_some());
//! # Ok(())
//! # }
//! ```
//!
//! * A [`Live`] handle resolves at use. It swaps a publication whole (user *and* password), and refuses a lower
//!   publication, never a lower generation: a rollback has a lower generation and a higher publication.
//! * Behind it, a task watches, fetches, asks the optional [`Validate`] hook, swaps, and acknowledges with proof, in
//!   this order. While the controller is away the last good value stays. Dropping the last handle ends the task.
//! * [`postgres::Pool`] is a connection pool on a live handle.

mod acker;
mod backoff;
mod client;
mod credential;
mod error;
mod follower;
mod live;
mod pool;
pub mod postgres;
mod tls;

pub use client::{Client, Options};
pub use credential::Credential;
pub use error::Error;
pub use follower::Validate;
pub use live::{Live, Offer, Versioned};
