//! The rotation manager inside your own program, without a server.
//!
//! It is the engine that `handover serve` runs, with the same durable state, the same history and the same rules: a
//! rotation that is cut off resumes at the next start, and nothing is forgotten but on proof. What is yours comes in by
//! trait: what accepts a credential ([`port::Target`]), where it is published beside the embedded store
//! ([`port::SecretStore`]), what mints values ([`port::Generate`]), what is asked of
//! them before and after publishing ([`port::Check`]), where history goes ([`port::Sink`]).
//!
//! * [`Builder`] names groups, each by a [`Group`]; [`Builder::start`] opens the state and resumes what is unfinished;
//! * [`Manager::rotate`] starts a rotation and gives its [`Report`] once it ended, or is held;
//! * [`Manager::schedule`] says when a group rotates by itself; [`Manager::process_due`] waits until all that is due is
//!   done, for programs that run now and then;
//! * [`Presenter`] fetches what is published, and acknowledges it: rotations wait for that;
//! * [`Manager::statistics`] counts, [`Manager::engine`] has all the rest.
//!
//! One process at a time manages a state: it is locked, and a second one is refused.
//!
//! ```
//! # fn main() { tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap() }
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! use std::sync::Arc;
//! use handover_manager::{Builder, Ending, Group, GroupId, MasterKey, NoTarget, Policy, Reach};
//!
//! let key = MasterKey::create(&directory.path().join("master.key"))?;
//! let hook = GroupId::parse("shop-webhook")?;
//! let group = Group::new(hook.clone(), Arc::new(NoTarget)).presented_by("shop")?;
//! let manager = Builder::new(directory.path(), key).group(group).start().await?;
//!
//! let shop = manager.presenter(&hook, "shop")?;
//! let rotation = manager.rotate(&hook);
//! let consumer = async {
//!     let published = shop.next(0).await?;
//!     // … sign with `published.value` from here on …
//!     shop.acknowledge(&published, Reach::Loaded).await
//! };
//! let (report, acknowledged) = tokio::join!(rotation, consumer);
//! acknowledged?;
//! assert_eq!(report?.ending, Ending::Success);
//! manager.stop().await;
//! # Ok(())
//! # }
//! ```

mod builder;
mod manager;
mod presenter;
mod report;
mod statistics;

/// What a target of your own needs, beside [`port::Target`].
pub mod target {
    pub use handover_core::{Mark, Minter, Occupant, SeesUse, Slots, Tally, TargetCapability, Touched};
}

/// What a store of your own needs, beside [`port::SecretStore`].
pub mod store {
    pub use handover_core::{Candidate, Publication, StoreCapability, StoreVersion};
}

/// What a check of your own needs, beside [`port::Check`].
pub mod check {
    pub use handover_core::Moments;
    pub use handover_core::port::{Finding, Subject};
}

pub use builder::{Builder, Group};
pub use handover_adapters::calendar::{BadCalendar, CronTimes, Windows, Zone};
pub use handover_adapters::seal::MasterKey;
pub use handover_adapters::target::none::Nowhere as NoTarget;
pub use handover_core::{
    BadName, ConsumerId, Deadline, Fault, FaultKind, Generation, GroupId, OnDeadline, Picked, Policy, Reach, Slot,
    StoreId, Strategy, Stretch, Timestamp, Wave, port, schedule,
};
pub use handover_engine::{
    ALPHABET_SAFE, Class, Handle, Hex, Options, Passphrase, Random, RandomRule, StartRefused, Uuid,
};
pub use handover_secret::Secret;
pub use manager::{Manager, Processed};
pub use presenter::{Presenter, Published};
pub use report::{Ending, Report, RotateError};
pub use statistics::Statistics;
