//! One fault for all ports, and what to do about each kind.

use std::fmt;

/// Whether the act that failed may have changed anything outside.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Touched {
    /// Certainly nothing was changed: trying again is safe.
    Nothing,
    /// Nobody knows: ask the target or the store before anything else.
    Unknown,
}

/// What went wrong. Each kind has one stable code and one page in `docs/errors/`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FaultKind {
    /// No connection could be made, or it broke.
    Unreachable,
    /// No answer within the deadline.
    TimedOut,
    /// The other side is up and refuses work for now (too many connections, concurrent DDL, rate limit).
    Busy,
    /// Our own credential was refused.
    Unauthenticated,
    /// Our own credential may not do this; `detail` names the grant that is missing.
    NotPermitted,
    /// The endpoint cannot write: a read-only replica.
    ReadOnly,
    /// The target's policy rejects this value: only a new candidate can help.
    Rejected,
    /// The candidate is accepted but cannot do what the current one can; `detail` says what is missing.
    Unfit,
    /// A higher mark stands at the target, or the row moved on: we are not in charge any more.
    Fenced,
    /// The store's head is not the version that the intent was made for.
    Conflict,
    /// What we found there is not ours.
    Foreign,
    /// What should be there is not.
    Missing,
    /// The configuration asks for something that cannot be.
    Misconfigured,
    /// The other side cannot do this at all.
    Unsupported,
    /// Data that we wrote does not check out: torn, edited, or sealed with another key.
    Corrupt,
    /// No space, or the disk failed.
    Storage,
    /// A broken invariant of ours.
    Bug,
}

/// What the engine does about a kind of fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Advice {
    /// Try the same again after a back-off (after a probe, if something may have been touched).
    Again,
    /// The candidate is void: mint a new one, a bounded number of times.
    NewCandidate,
    /// The candidate will not do: roll back if the policy says so, else hold.
    GiveUp,
    /// Read the row again: somebody else acts.
    Reload,
    /// A person must look; try again slowly, and say so loudly.
    Page,
}

impl FaultKind {
    /// All kinds, in order of their codes.
    pub const ALL: [Self; 17] = [
        Self::Unreachable,
        Self::TimedOut,
        Self::Busy,
        Self::Unauthenticated,
        Self::NotPermitted,
        Self::ReadOnly,
        Self::Rejected,
        Self::Unfit,
        Self::Fenced,
        Self::Conflict,
        Self::Foreign,
        Self::Missing,
        Self::Misconfigured,
        Self::Unsupported,
        Self::Corrupt,
        Self::Storage,
        Self::Bug,
    ];

    /// The stable code: the name of its page in `docs/errors/`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unreachable => "HO0101",
            Self::TimedOut => "HO0102",
            Self::Busy => "HO0103",
            Self::Unauthenticated => "HO0104",
            Self::NotPermitted => "HO0105",
            Self::ReadOnly => "HO0106",
            Self::Rejected => "HO0107",
            Self::Unfit => "HO0108",
            Self::Fenced => "HO0109",
            Self::Conflict => "HO0110",
            Self::Foreign => "HO0111",
            Self::Missing => "HO0112",
            Self::Misconfigured => "HO0113",
            Self::Unsupported => "HO0114",
            Self::Corrupt => "HO0115",
            Self::Storage => "HO0116",
            Self::Bug => "HO0199",
        }
    }

    /// What to do about it. One place decides.
    pub const fn advice(self) -> Advice {
        match self {
            Self::Unreachable | Self::TimedOut | Self::Busy | Self::Conflict | Self::Missing => Advice::Again,
            Self::Rejected => Advice::NewCandidate,
            Self::Unfit => Advice::GiveUp,
            Self::Fenced => Advice::Reload,
            Self::Unauthenticated
            | Self::NotPermitted
            | Self::ReadOnly
            | Self::Foreign
            | Self::Misconfigured
            | Self::Unsupported
            | Self::Corrupt
            | Self::Storage
            | Self::Bug => Advice::Page,
        }
    }
}

/// A fault at a port. A driver's own text never becomes part of it: connection strings and statements leak that way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// What went wrong.
    pub kind: FaultKind,
    /// Whether anything outside may have changed.
    pub touched: Touched,
    /// Our own words: what we were doing, with which named thing, and what helps.
    pub detail: String,
}

impl Fault {
    /// A fault before which nothing was changed.
    pub fn untouched(kind: FaultKind, detail: impl Into<String>) -> Self {
        Self { kind, touched: Touched::Nothing, detail: detail.into() }
    }

    /// A fault after which nobody knows whether the act took place.
    pub fn unknown(kind: FaultKind, detail: impl Into<String>) -> Self {
        Self { kind, touched: Touched::Unknown, detail: detail.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.detail, self.kind.code())
    }
}

impl std::error::Error for Fault {}
