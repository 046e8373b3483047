//! The pure core of Handover.
//!
//! Every rotation is the same dance: those who accept a credential learn the new one first, those who present it move
//! second, the old one is forgotten last, and only on proof. This crate holds the decisions and nothing else: no I/O,
//! no clock, no randomness, no async, no logging. Time comes in as data, and so does everything that was learnt.
//!
//! * [`plan()`] says whether a rotation may start, and fixes what it will go by;
//! * [`start`] makes its first row, [`advance`] the next row from a fact;
//! * [`compare`] says whether the record is what the world is at, and [`recover`] what to do if not;
//! * [`approve`] adds the word of a person, [`approvals`] says whose is missing;
//! * [`preempt`] has a live rotation go on in an emergency, [`breakage`] says who would be left behind;
//! * [`adopt`] makes the row of a credential that is in use already;
//! * [`wants`] derives from a row what to do now, whom it waits for, and when to look again;
//! * [`campaign`] says in which order groups rotate that depend on one another;
//! * [`check`] lists the invariants that a row breaks;
//! * [`schedule`] says when a group is due, and when it may start.
//!
//! The traits in [`port`] are what the engine asks of the world.

mod adopt;
mod advance;
mod approval;
pub mod campaign;
mod check;
mod effect;
mod emergency;
mod fault;
mod id;
mod mint;
mod model;
mod plan;
pub mod port;
mod recover;
mod retry;
pub mod schedule;
mod time;
mod wants;
mod waves;

pub use adopt::{Adoption, AdoptionRefusal, adopt, adopted, adoption};
pub use advance::{Refusal, Seen, advance, start};
pub use approval::{ApprovalRule, Approvals, Gate, Given, approvals, approve, replan};
pub use check::{Violation, check};
pub use effect::{Effect, EffectId, Fact, Member, Order, Reach, Role, RollCall, Tally};
pub use emergency::{Breakage, Taint, Terms, Urgency, Wish, breakage, preempt};
pub use fault::{Advice, Fault, FaultKind, Touched};
pub use id::{
    BadName, CampaignId, Candidate, ConsumerId, Epoch, Generation, GroupId, NAME_BYTES_MAX, Publication, RowVersion,
    Slot, StoreId, StoreVersion,
};
pub use mint::{Label, Minted, Minter, Swept, sweep};
pub use model::{Cause, Doubt, Hold, Mark, Occupant, Outcome, Phase, Pointer, Pointers, Roll, Rotation, Row, Undo};
pub use plan::{
    Census, Deadline, Moments, Obstacle, OnDeadline, Plan, Policy, SeesUse, Slots, StoreCapability, Strategy, Stretch,
    TargetCapability, plan,
};
pub use recover::{Course, Recovery, Survey, Unrecoverable, compare, plan_of, recover, sought};
pub use retry::{RETRIES_MAX, RETRY_AFTER_MAX, retry_at};
pub use time::{Timestamp, Waited};
pub use wants::{Blocker, Wants, wants};
pub use waves::{Opened, Picked, WAVES_MAX, Wave, Withheld};
