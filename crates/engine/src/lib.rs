//! The engine of Handover: the only caller of ports.
//!
//! It takes the lease, keeps a queue of groups by the time when they are due, derives from each committed row what to
//! do, does it once for all connectors (act, or probe first where the last outcome is in doubt), folds what was learnt
//! into the next row, and commits that with its history. Whatever the core decides, it decides here for nobody else.
//!
//! * [`Service::new`] takes the lease; [`Service::run`] works until it is told to drain;
//! * [`Handle`] starts rotations, adopts what is in use, passes on orders, shows a group, and wakes it;
//! * [`Handle::approve`] takes the word of a person that a rotation waits for;
//! * [`Handle::begin_campaign`] has groups rotated that depend on one another, in order;
//! * what is due by schedule is started by itself, [`Handle::pause`] stops that;
//! * [`Handle::rebind`] follows another configuration while the engine runs;
//! * [`Random`], [`Uuid`], [`Hex`] and [`Passphrase`] make values;
//! * [`environment`] names the variables that the fault points read;
//! * [`telemetry`] names spans, fields and events.

mod adopt;
mod approve;
mod asker;
mod call;
mod campaign;
mod checkpoint;
mod clock;
mod drift;
mod drive;
mod emergency;
pub mod environment;
mod execute;
pub mod fault;
mod generate;
mod handle;
pub mod history;
mod jump;
mod litter;
mod memory;
mod numbers;
mod options;
mod outbox;
mod pause;
mod queue;
mod rebind;
mod recover;
mod remains;
mod remove;
mod requester;
mod schedules;
mod service;
mod shared;
pub mod sighting;
pub mod telemetry;
mod watchful;
mod withheld;

pub use adopt::AdoptRefused;
pub use approve::{ApproveRequest, plan_digest};
pub use asker::{Asker, REQUEST_KEY_CHARS_MAX, RequestKey};
pub use campaign::{CampaignRefused, CampaignRequest};
pub use clock::{Clock, SystemClock};
pub use emergency::{Foreseen, Way};
pub use generate::{
    ALPHABET_SAFE, BadRule, Class, ENTROPY_BITS_MIN, Hex, LENGTH_MAX, LENGTH_MIN, Passphrase, Random, RandomRule, Uuid,
    WORDS_MAX, WORDS_MIN,
};
pub use handle::{FaultSeen, Handle, OrderRefused, REASON_CHARS_MAX, SinkSeen, StartRefused, View};
pub use numbers::{
    CALL_BOUNDS_S, Counters, EffectResult, GroupNumbers, LiveNumbers, PHASE_BOUNDS_S, Recalled, Spread, StateTrouble,
};
pub use options::Options;
pub use rebind::{Rebind, RebindRefused};
pub use recover::{LOGINS_EACH_MAX, RecoverRefused, RecoverRequest, Recovered};
pub use remove::{Removal, RemoveRefused};
pub use schedules::{Refused, ScheduleSeen, SchedulesSeen};
pub use service::{Binding, Ports, PublishFields, Service};
pub use shared::{Event, Happening};
pub use watchful::{SinkProgress, Standing};
