//! Checks: what was configured to be asked of a credential beside the target's own verification.

use handover_core::port::{Check, Finding, Subject};
use handover_core::{Effect, Fact, Fault, FaultKind, Moments, Occupant, Touched};
use tokio::time::Instant;

use super::{Executor, Learnt, as_control};
use crate::call::{Call, Whom};
use crate::history::{self, Made};

/// The longest reason that is recorded, in characters.
const REASON_CHARS_MAX: usize = 300;

impl Executor<'_> {
    /// Those that belong to a round of logins which the target let pass.
    pub(super) async fn check_before(&self, effect: &Effect, who: Occupant) -> Learnt {
        let wanted = self.current.plan.checks.before_publish;
        self.checks(effect, who, wanted, |moments| moments.before_publish, Fact::LoggedIn(who.generation)).await
    }

    /// Those that are made where the stores point to the generation.
    pub(super) async fn check(&self, effect: &Effect, who: Occupant) -> Learnt {
        let is_due = |moments: Moments| moments.after_publish;
        self.checks(effect, who, true, is_due, Fact::Checked(who.generation)).await
    }

    /// All that are due, up to the first that does not pass.
    async fn checks(
        &self,
        effect: &Effect,
        who: Occupant,
        wanted: bool,
        is_due: fn(Moments) -> bool,
        passed: Fact,
    ) -> Learnt {
        let due: Vec<_> = self.current.binding.checks.iter().filter(|check| is_due(check.moments())).collect();
        if due.is_empty() && wanted {
            let detail = "the plan of this rotation asks for checks, and the configuration has none any more: put them \
                          back and reload, or roll back";
            return Learnt::fault(effect, Fault::untouched(FaultKind::Misconfigured, detail));
        }
        let mut entries = Vec::new();
        for check in due {
            let started = Instant::now();
            let found = self.ask(&**check, who).await;
            entries.extend(self.evidence(&**check, &found, started));
            let name = check.name();
            match found {
                Ok(Finding::Passed) => {}
                Ok(Finding::Failed(reason)) => {
                    let fault = Fault::untouched(FaultKind::Unfit, format!("check {name} failed: {}", cut(&reason)));
                    return Learnt { entries, ..Learnt::fault(effect, fault) };
                }
                Err(fault) => {
                    let detail = format!("check {name} came to nothing: {}", cut(&fault.detail));
                    let fault = Fault { kind: no_verdict(fault.kind), touched: Touched::Nothing, detail };
                    return Learnt { entries, ..Learnt::fault(effect, fault) };
                }
            }
        }
        Learnt { entries, ..Learnt::fact(passed) }
    }

    async fn ask(&self, check: &dyn Check, who: Occupant) -> Result<Finding, Fault> {
        let (value, control) = (self.value(who).await?, self.control(who).await?);
        let fields = (self.current.binding.publish_fields)(who.slot);
        let subject = Subject { who, value: &value, fields: &fields, control: as_control(control.as_ref()) };
        let call = Call::look(Whom::Check(check.name(), check.patience()), "check");
        self.shared.calls.make(call, || check.run(subject)).await
    }

    /// What is unknown for the same kind of reason as before is told once, and so is what passes while a wave is watched.
    fn evidence(
        &self,
        check: &dyn Check,
        found: &Result<Finding, Fault>,
        started: Instant,
    ) -> Option<handover_core::port::Entry> {
        let rotation = self.current.row.live()?;
        let (result, reason) = match found {
            Ok(Finding::Passed) if rotation.phase.soaks() => return None,
            Ok(Finding::Passed) => ("passed", None),
            Ok(Finding::Failed(reason)) => ("failed", Some(cut(reason))),
            Err(fault) if rotation.trouble == Some(no_verdict(fault.kind)) => return None,
            Err(fault) => ("unknown", Some(cut(&fault.detail))),
        };
        let (name, kind, took) = (check.name(), check.kind(), started.elapsed());
        let made = Made { name, kind, result, reason: reason.as_deref(), took };
        Some(history::checked(rotation, &made, self.shared.now()))
    }
}

/// A check that could not tell says nothing of the candidate, nor of who is in charge.
const fn no_verdict(kind: FaultKind) -> FaultKind {
    match kind {
        FaultKind::Rejected | FaultKind::Unfit | FaultKind::Fenced => FaultKind::Bug,
        FaultKind::Unreachable
        | FaultKind::TimedOut
        | FaultKind::Busy
        | FaultKind::Unauthenticated
        | FaultKind::NotPermitted
        | FaultKind::ReadOnly
        | FaultKind::Conflict
        | FaultKind::Foreign
        | FaultKind::Missing
        | FaultKind::Misconfigured
        | FaultKind::Unsupported
        | FaultKind::Corrupt
        | FaultKind::Storage
        | FaultKind::Bug => kind,
    }
}

fn cut(reason: &str) -> String {
    reason.chars().take(REASON_CHARS_MAX).collect()
}
