use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use handover_core::schedule::Cadence;
use handover_core::{
    Candidate, Cause, ConsumerId, Doubt, FaultKind, Generation, Given, GroupId, Hold, Occupant, Outcome, Phase,
    Pointer, Pointers, Publication, Roll, Rotation, Row, RowVersion, Slot, StoreId, StoreVersion, Taint, Tally,
    Timestamp, Undo, Waited,
};
use serde::{Deserialize, Serialize};

use super::plan::StoredGate;
use super::waves::StoredOpened;
use super::{Unreadable, VERSION};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredRow {
    v: u32,
    group: String,
    version: u64,
    current: Option<StoredOccupant>,
    last_generation: u64,
    publication: u64,
    heads: BTreeMap<String, String>,
    rotation: Option<StoredRotation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    doubt: Option<StoredDoubt>,
    #[serde(default, skip_serializing_if = "StoredCadence::is_default")]
    cadence: StoredCadence,
    /// Rows from before there were emergencies have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    taint: Option<StoredTaint>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredTaint {
    to: u64,
    at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused_at: Option<i64>,
}

impl From<Taint> for StoredTaint {
    fn from(Taint { to, at, refused_at }: Taint) -> Self {
        Self { to: to.0, at: at.0, refused_at: refused_at.map(|at| at.0) }
    }
}

impl From<StoredTaint> for Taint {
    fn from(StoredTaint { to, at, refused_at }: StoredTaint) -> Self {
        Self { to: Generation(to), at: Timestamp(at), refused_at: refused_at.map(Timestamp) }
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredCadence {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<i64>,
    #[serde(default)]
    paused: bool,
    #[serde(default, skip_serializing_if = "is_none")]
    retries: u32,
}

impl StoredCadence {
    const fn is_default(&self) -> bool {
        self.since.is_none() && !self.paused && self.retries == 0
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum StoredDoubt {
    Restored,
    TargetAhead,
    StoreAhead(String),
    TargetBehind,
    StoreBehind(String),
    TargetChanged,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredOccupant {
    generation: u64,
    slot: u32,
    candidate: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredRotation {
    from: Option<StoredOccupant>,
    to: StoredOccupant,
    owed: Vec<StoredOccupant>,
    phase: StoredPhase,
    elapsed: StoredWaited,
    entered_at: i64,
    hold: Option<StoredHold>,
    /// The stable code of the fault's kind.
    trouble: Option<String>,
    cause: Option<StoredCause>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asked_by: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    approvals: Vec<StoredApproval>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredApproval {
    gate: StoredGate,
    by: String,
    at: i64,
    expires_at: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum StoredPhase {
    Stage,
    Apply,
    /// As Apply, where stores hold a staged copy.
    Staged {
        staged: BTreeSet<String>,
    },
    Verify {
        passes: u32,
        reapply: bool,
        verifiers: StoredRoll,
    },
    Publish {
        pointers: BTreeMap<String, StoredPointer>,
    },
    Propagate {
        presenters: StoredRoll,
        #[serde(default, skip_serializing_if = "is_none")]
        passes: u32,
        #[serde(default, skip_serializing_if = "StoredOpened::is_all")]
        opened: StoredOpened,
    },
    Drain {
        quiet: StoredWaited,
        tally: StoredTally,
        overlap: StoredWaited,
        presenters: StoredRoll,
    },
    Disable {
        refused: BTreeSet<u64>,
        held: StoredWaited,
        presenters: StoredRoll,
    },
    Destroy {
        gone: BTreeSet<u64>,
    },
    Release,
    PutBack {
        pointers: Option<BTreeMap<String, StoredPointer>>,
    },
    Unpublish {
        pointers: BTreeMap<String, StoredPointer>,
    },
    Return {
        presenters: StoredRoll,
    },
    Quiet {
        quiet: StoredWaited,
        tally: StoredTally,
        presenters: StoredRoll,
    },
    Revoke {
        gone: BTreeSet<u64>,
    },
    Done(StoredOutcome),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredOutcome {
    Success,
    RolledBack,
    Abandoned,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredPointer {
    Unread,
    Reassert,
    Expect(Option<String>),
    Landed(String),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum StoredRoll {
    Uncalled,
    Behind { who: BTreeSet<String>, complete: bool },
    All,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredTally {
    None,
    Some(u32),
    Unknown,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredWaited {
    total: Duration,
    seen_at: Option<i64>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredHold {
    Ordered,
    Drift(String),
    CandidatesSpent,
    Unfit,
    Deadline,
    ForceWanted,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredCause {
    Ordered,
    Unfit,
    Deadline,
    Abandoned,
}

impl From<&Row> for StoredRow {
    fn from(row: &Row) -> Self {
        let Row { group, version, current, last_generation, publication, heads, rotation, doubt, cadence, taint } = row;
        Self {
            v: VERSION,
            group: group.to_string(),
            version: version.0,
            current: current.map(Into::into),
            last_generation: last_generation.0,
            publication: publication.0,
            heads: heads.iter().map(|(store, version)| (store.to_string(), version.to_string())).collect(),
            rotation: rotation.as_ref().map(Into::into),
            doubt: doubt.as_ref().map(Into::into),
            taint: taint.map(Into::into),
            cadence: StoredCadence {
                since: cadence.since.map(|since| since.0),
                paused: cadence.paused,
                retries: cadence.retries,
            },
        }
    }
}

impl StoredRow {
    pub(super) fn into_core(self) -> Result<Row, Unreadable> {
        Ok(Row {
            group: GroupId::parse(&self.group)?,
            version: RowVersion(self.version),
            current: self.current.map(Into::into),
            last_generation: Generation(self.last_generation),
            publication: Publication(self.publication),
            heads: self
                .heads
                .into_iter()
                .map(|(store, version)| Ok((StoreId::parse(&store)?, store_version(version))))
                .collect::<Result<_, Unreadable>>()?,
            rotation: self.rotation.map(StoredRotation::into_core).transpose()?,
            doubt: self.doubt.map(StoredDoubt::into_core).transpose()?,
            taint: self.taint.map(Into::into),
            cadence: Cadence {
                since: self.cadence.since.map(Timestamp),
                paused: self.cadence.paused,
                retries: self.cadence.retries,
            },
        })
    }
}

impl From<Occupant> for StoredOccupant {
    fn from(Occupant { generation, slot, candidate }: Occupant) -> Self {
        Self { generation: generation.0, slot: slot.0, candidate: candidate.0 }
    }
}

impl From<StoredOccupant> for Occupant {
    fn from(stored: StoredOccupant) -> Self {
        Self {
            generation: Generation(stored.generation),
            slot: Slot(stored.slot),
            candidate: Candidate(stored.candidate),
        }
    }
}

impl From<&Rotation> for StoredRotation {
    fn from(rotation: &Rotation) -> Self {
        let Rotation { from, to, owed, phase, elapsed, entered_at, hold, trouble, cause, asked_by, approvals } =
            rotation;
        Self {
            from: from.map(Into::into),
            to: (*to).into(),
            owed: owed.iter().copied().map(Into::into).collect(),
            phase: phase.into(),
            elapsed: (*elapsed).into(),
            entered_at: entered_at.0,
            hold: hold.as_ref().map(Into::into),
            trouble: trouble.map(|kind| kind.code().to_owned()),
            cause: cause.map(Into::into),
            asked_by: asked_by.as_ref().map(ToString::to_string),
            approvals: approvals
                .iter()
                .map(|((gate, by), given)| StoredApproval {
                    gate: (*gate).into(),
                    by: by.to_string(),
                    at: given.at.0,
                    expires_at: given.expires_at.0,
                })
                .collect(),
        }
    }
}

impl StoredRotation {
    fn into_core(self) -> Result<Rotation, Unreadable> {
        Ok(Rotation {
            from: self.from.map(Into::into),
            to: self.to.into(),
            owed: self.owed.into_iter().map(Into::into).collect(),
            phase: self.phase.into_core()?,
            elapsed: self.elapsed.into(),
            entered_at: Timestamp(self.entered_at),
            hold: self.hold.map(StoredHold::into_core).transpose()?,
            trouble: self.trouble.map(|code| kind(&code)).transpose()?,
            cause: self.cause.map(Into::into),
            asked_by: self.asked_by.as_deref().map(ConsumerId::parse).transpose()?,
            approvals: self
                .approvals
                .into_iter()
                .map(|StoredApproval { gate, by, at, expires_at }| {
                    let given = Given { at: Timestamp(at), expires_at: Timestamp(expires_at) };
                    Ok(((gate.into(), ConsumerId::parse(&by)?), given))
                })
                .collect::<Result<_, Unreadable>>()?,
        })
    }
}

impl From<&Phase> for StoredPhase {
    fn from(phase: &Phase) -> Self {
        match phase {
            Phase::Stage => Self::Stage,
            Phase::Apply { staged } if staged.is_empty() => Self::Apply,
            Phase::Apply { staged } => Self::Staged { staged: staged.iter().map(ToString::to_string).collect() },
            Phase::Verify { passes, reapply, verifiers } => {
                Self::Verify { passes: *passes, reapply: *reapply, verifiers: verifiers.into() }
            }
            Phase::Publish { pointers } => Self::Publish { pointers: stored_pointers(pointers) },
            Phase::Propagate { presenters, passes, opened } => {
                Self::Propagate { presenters: presenters.into(), passes: *passes, opened: opened.into() }
            }
            Phase::Drain { quiet, tally, overlap, presenters } => Self::Drain {
                quiet: (*quiet).into(),
                tally: (*tally).into(),
                overlap: (*overlap).into(),
                presenters: presenters.into(),
            },
            Phase::Disable { refused, held, presenters } => Self::Disable {
                refused: stored_generations(refused),
                held: (*held).into(),
                presenters: presenters.into(),
            },
            Phase::Destroy { gone } => Self::Destroy { gone: stored_generations(gone) },
            Phase::Rollback(undo) => undo.into(),
            Phase::Done(outcome) => Self::Done((*outcome).into()),
        }
    }
}

impl From<&Undo> for StoredPhase {
    fn from(undo: &Undo) -> Self {
        match undo {
            Undo::Release => Self::Release,
            Undo::PutBack { pointers } => Self::PutBack { pointers: pointers.as_ref().map(stored_pointers) },
            Undo::Unpublish { pointers } => Self::Unpublish { pointers: stored_pointers(pointers) },
            Undo::Return { presenters } => Self::Return { presenters: presenters.into() },
            Undo::Quiet { quiet, tally, presenters } => {
                Self::Quiet { quiet: (*quiet).into(), tally: (*tally).into(), presenters: presenters.into() }
            }
            Undo::Revoke { gone } => Self::Revoke { gone: stored_generations(gone) },
        }
    }
}

impl StoredPhase {
    fn into_core(self) -> Result<Phase, Unreadable> {
        Ok(match self {
            Self::Stage => Phase::Stage,
            Self::Apply => Phase::Apply { staged: BTreeSet::new() },
            Self::Staged { staged } => {
                let staged = staged.iter().map(|store| StoreId::parse(store)).collect::<Result<_, _>>()?;
                Phase::Apply { staged }
            }
            Self::Verify { passes, reapply, verifiers } => {
                Phase::Verify { passes, reapply, verifiers: verifiers.into_core()? }
            }
            Self::Publish { pointers } => Phase::Publish { pointers: core_pointers(pointers)? },
            Self::Propagate { presenters, passes, opened } => {
                Phase::Propagate { presenters: presenters.into_core()?, passes, opened: opened.into() }
            }
            Self::Drain { quiet, tally, overlap, presenters } => Phase::Drain {
                quiet: quiet.into(),
                tally: tally.into(),
                overlap: overlap.into(),
                presenters: presenters.into_core()?,
            },
            Self::Disable { refused, held, presenters } => Phase::Disable {
                refused: core_generations(&refused),
                held: held.into(),
                presenters: presenters.into_core()?,
            },
            Self::Destroy { gone } => Phase::Destroy { gone: core_generations(&gone) },
            Self::Release => Phase::Rollback(Undo::Release),
            Self::PutBack { pointers } => {
                Phase::Rollback(Undo::PutBack { pointers: pointers.map(core_pointers).transpose()? })
            }
            Self::Unpublish { pointers } => Phase::Rollback(Undo::Unpublish { pointers: core_pointers(pointers)? }),
            Self::Return { presenters } => Phase::Rollback(Undo::Return { presenters: presenters.into_core()? }),
            Self::Quiet { quiet, tally, presenters } => Phase::Rollback(Undo::Quiet {
                quiet: quiet.into(),
                tally: tally.into(),
                presenters: presenters.into_core()?,
            }),
            Self::Revoke { gone } => Phase::Rollback(Undo::Revoke { gone: core_generations(&gone) }),
            Self::Done(outcome) => Phase::Done(outcome.into()),
        })
    }
}

/// Rows from before there was something to count say nothing of it, and so do those without any.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_none(passes: &u32) -> bool {
    *passes == 0
}

fn stored_generations(generations: &BTreeSet<Generation>) -> BTreeSet<u64> {
    generations.iter().map(|generation| generation.0).collect()
}

fn core_generations(generations: &BTreeSet<u64>) -> BTreeSet<Generation> {
    generations.iter().copied().map(Generation).collect()
}

fn store_version(text: String) -> StoreVersion {
    StoreVersion(Arc::from(text))
}

fn kind(code: &str) -> Result<FaultKind, Unreadable> {
    FaultKind::ALL.into_iter().find(|kind| kind.code() == code).ok_or(Unreadable("it names an unknown kind of fault"))
}

fn stored_pointers(Pointers(pointers): &Pointers) -> BTreeMap<String, StoredPointer> {
    let stored = |pointer: &Pointer| match pointer {
        Pointer::Unread => StoredPointer::Unread,
        Pointer::Reassert => StoredPointer::Reassert,
        Pointer::Expect(version) => StoredPointer::Expect(version.as_ref().map(ToString::to_string)),
        Pointer::Landed(version) => StoredPointer::Landed(version.to_string()),
    };
    pointers.iter().map(|(store, pointer)| (store.to_string(), stored(pointer))).collect()
}

fn core_pointers(stored: BTreeMap<String, StoredPointer>) -> Result<Pointers, Unreadable> {
    let core = |pointer| match pointer {
        StoredPointer::Unread => Pointer::Unread,
        StoredPointer::Reassert => Pointer::Reassert,
        StoredPointer::Expect(version) => Pointer::Expect(version.map(store_version)),
        StoredPointer::Landed(version) => Pointer::Landed(store_version(version)),
    };
    let pointers = stored.into_iter().map(|(store, pointer)| Ok((StoreId::parse(&store)?, core(pointer))));
    Ok(Pointers(pointers.collect::<Result<_, Unreadable>>()?))
}

impl From<&Roll> for StoredRoll {
    fn from(roll: &Roll) -> Self {
        match roll {
            Roll::Uncalled => Self::Uncalled,
            Roll::Behind { who, complete } => {
                Self::Behind { who: who.iter().map(ToString::to_string).collect(), complete: *complete }
            }
            Roll::All => Self::All,
        }
    }
}

impl StoredRoll {
    fn into_core(self) -> Result<Roll, Unreadable> {
        Ok(match self {
            Self::Uncalled => Roll::Uncalled,
            Self::Behind { who, complete } => Roll::Behind {
                who: who.iter().map(|consumer| ConsumerId::parse(consumer)).collect::<Result<_, _>>()?,
                complete,
            },
            Self::All => Roll::All,
        })
    }
}

impl From<Tally> for StoredTally {
    fn from(tally: Tally) -> Self {
        match tally {
            Tally::None => Self::None,
            Tally::Some(count) => Self::Some(count),
            Tally::Unknown => Self::Unknown,
        }
    }
}

impl From<StoredTally> for Tally {
    fn from(stored: StoredTally) -> Self {
        match stored {
            StoredTally::None => Self::None,
            StoredTally::Some(count) => Self::Some(count),
            StoredTally::Unknown => Self::Unknown,
        }
    }
}

impl From<Waited> for StoredWaited {
    fn from(Waited { total, seen_at }: Waited) -> Self {
        Self { total, seen_at: seen_at.map(|at| at.0) }
    }
}

impl From<StoredWaited> for Waited {
    fn from(stored: StoredWaited) -> Self {
        Self { total: stored.total, seen_at: stored.seen_at.map(Timestamp) }
    }
}

impl From<&Doubt> for StoredDoubt {
    fn from(doubt: &Doubt) -> Self {
        match doubt {
            Doubt::Restored => Self::Restored,
            Doubt::TargetAhead => Self::TargetAhead,
            Doubt::StoreAhead(store) => Self::StoreAhead(store.to_string()),
            Doubt::TargetBehind => Self::TargetBehind,
            Doubt::StoreBehind(store) => Self::StoreBehind(store.to_string()),
            Doubt::TargetChanged => Self::TargetChanged,
        }
    }
}

impl StoredDoubt {
    fn into_core(self) -> Result<Doubt, Unreadable> {
        Ok(match self {
            Self::Restored => Doubt::Restored,
            Self::TargetAhead => Doubt::TargetAhead,
            Self::StoreAhead(store) => Doubt::StoreAhead(StoreId::parse(&store)?),
            Self::TargetBehind => Doubt::TargetBehind,
            Self::StoreBehind(store) => Doubt::StoreBehind(StoreId::parse(&store)?),
            Self::TargetChanged => Doubt::TargetChanged,
        })
    }
}

impl From<&Hold> for StoredHold {
    fn from(hold: &Hold) -> Self {
        match hold {
            Hold::Ordered => Self::Ordered,
            Hold::Drift(store) => Self::Drift(store.to_string()),
            Hold::CandidatesSpent => Self::CandidatesSpent,
            Hold::Unfit => Self::Unfit,
            Hold::Deadline => Self::Deadline,
            Hold::ForceWanted => Self::ForceWanted,
        }
    }
}

impl StoredHold {
    fn into_core(self) -> Result<Hold, Unreadable> {
        Ok(match self {
            Self::Ordered => Hold::Ordered,
            Self::Drift(store) => Hold::Drift(StoreId::parse(&store)?),
            Self::CandidatesSpent => Hold::CandidatesSpent,
            Self::Unfit => Hold::Unfit,
            Self::Deadline => Hold::Deadline,
            Self::ForceWanted => Hold::ForceWanted,
        })
    }
}

impl From<Cause> for StoredCause {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Ordered => Self::Ordered,
            Cause::Unfit => Self::Unfit,
            Cause::Deadline => Self::Deadline,
            Cause::Abandoned => Self::Abandoned,
        }
    }
}

impl From<StoredCause> for Cause {
    fn from(stored: StoredCause) -> Self {
        match stored {
            StoredCause::Ordered => Self::Ordered,
            StoredCause::Unfit => Self::Unfit,
            StoredCause::Deadline => Self::Deadline,
            StoredCause::Abandoned => Self::Abandoned,
        }
    }
}

impl From<Outcome> for StoredOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Success => Self::Success,
            Outcome::RolledBack => Self::RolledBack,
            Outcome::Abandoned => Self::Abandoned,
        }
    }
}

impl From<StoredOutcome> for Outcome {
    fn from(stored: StoredOutcome) -> Self {
        match stored {
            StoredOutcome::Success => Self::Success,
            StoredOutcome::RolledBack => Self::RolledBack,
            StoredOutcome::Abandoned => Self::Abandoned,
        }
    }
}
