//! What is told of every re-run: who, by which keys, in which versions, and how it ended. Never a value.

/// One run of an effect or of a computed value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rerun {
    /// Who ran.
    pub name: String,
    /// What it had read and had changed since its last run; empty for the first.
    pub causes: Vec<Cause>,
    /// How often it failed since it last went well.
    pub attempt: u32,
    /// How it ended.
    pub outcome: Outcome,
}

/// A change that made something run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The signal or computed value.
    pub name: String,
    /// Its version after the change. Versions grow across all of a graph.
    pub version: u64,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It ran to its end.
    Finished,
    /// It gave an error.
    Failed,
    /// It panicked.
    Panicked,
    /// It took longer than its deadline, and was dropped.
    Deadline,
    /// Something that it had read changed: it was dropped, and run anew.
    Superseded,
    /// It kept causing itself, and is not run until something else changes. The names go once around.
    Circle(Vec<String>),
}

/// Whom to tell.
pub(crate) type Audit = dyn Fn(&Rerun) + Send + Sync;
