//! What crosses the wire between Handover's server, its clients and its command line.
//!
//! * [`path`]: where everything is served;
//! * [`Delivered`]: a published value, the one type through which a value crosses the wire;
//! * [`proof`]: how a consumer proves what it loaded, described so that any language can do it;
//! * [`GroupStatus`], [`RotationView`]: where a group stands, and for whom it waits;
//! * [`Explanation`]: what is happening to a group, why, and what can be done about it;
//! * [`Schedules`], [`Calendar`]: when groups are rotated without anybody asking;
//! * [`CampaignView`]: rotations of groups that depend on one another;
//! * [`Approvals`]: for whose word rotations wait;
//! * [`Ready`], [`Sinks`]: how the server itself is doing;
//! * [`Statistics`], [`Report`]: what rotations came to, and how old what is in force is;
//! * [`WatchEvent`]: what a watch stream carries; publications, never values; [`EventReader`] reads it;
//! * [`Problem`]: the body of every refusal.
//!
//! These are wire types only. They share nothing with the core's types: conversions are written where both are known.

mod alerts;
mod approval;
mod bootstrap;
mod campaign;
mod code;
mod delivery;
mod emergency;
mod events;
mod explain;
mod history;
mod operation;
mod order;
pub mod path;
mod problem;
pub mod proof;
mod recover;
mod reload;
mod schedule;
mod statistics;
mod status;
mod watch;

pub use alerts::{AlertView, Alerts};
pub use approval::{ApprovalView, Approvals, ApproveRequest, Gate, GivenView};
pub use bootstrap::{BootstrapRequest, Bootstrapped};
pub use campaign::{
    CampaignBegun, CampaignPlan, CampaignRequest, CampaignResume, CampaignState, CampaignView, Campaigns, First,
    LegPlan, LegState, LegView, OnFailure, TakenBy, Until,
};
pub use code::{CODES, Code};
pub use delivery::{Ack, BadNonce, Delivered, ITEM_VALUE, NONCE_BYTES, Nonce, Reach, Role};
pub use emergency::{
    EmergencyPlan, EmergencyPlans, EmergencyRequest, EmergencySelect, EmergencyView, HookOrder, HookOrders,
    HookRequest, UsedFrom,
};
pub use events::{EventReader, NotEvents};
pub use explain::{ActionView, Awaited, EvidenceView, Explanation, FaultView, HoldView, NextView};
pub use history::{History, PAGE_DEFAULT, PAGE_MAX, RecordView};
pub use operation::{Ready, SinkFailing, SinkView, Sinks};
pub use order::{IDEMPOTENCY_KEY, OrderRequest, REASON_CHARS_MAX, RotateRequest, Started};
pub use problem::{MEDIA_TYPE, Problem};
pub use recover::{RecoverRequest, Recovered};
pub use reload::{Changes, ReloadRequest, Reloaded};
pub use schedule::{Calendar, PlannedRotation, ScheduleState, ScheduleView, Schedules};
pub use statistics::{AgeStanding, Ages, Ended, LastRotation, Percentiles, Report, ReportLine, Statistics};
pub use status::{
    GroupStatus, GroupSummary, Groups, Health, MemberView, ObstacleView, OccupantView, PlanStep, PlanView,
    RotationView, Status, UnreadableGroup, WaitingFor, WaveView,
};
pub use watch::{HEARTBEAT_S, LAST_EVENT_ID, Published, WatchEvent};
