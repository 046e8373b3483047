//! Propagate: the presenters load the candidate, all at once or wave by wave.

use super::{Draft, Refusal};
use crate::effect::{Fact, Role, RollCall};
use crate::model::{Phase, Roll};
use crate::time::Waited;
use crate::waves::Opened;

impl Draft<'_> {
    pub(super) fn propagate(
        &mut self,
        fact: &Fact,
        presenters: Roll,
        passes: u32,
        opened: Opened,
    ) -> Result<(), Refusal> {
        let needed = self.plan.passes_after_publish();
        let (presenters, passes, opened) = match fact {
            Fact::Checked(generation) if *generation == self.rotation.to.generation => {
                (presenters, (passes + 1).min(needed), opened)
            }
            // The last round may have been long ago by then: one more has to pass after the presenters moved.
            Fact::Adoption { role: Role::Presenter, call } => {
                let (now, opened) = self.called(call, opened);
                let moved = now == Roll::All && presenters != Roll::All;
                let last = if moved { needed.saturating_sub(1) } else { passes };
                (now, passes.min(last), opened)
            }
            _ => return Err(Refusal::Stale),
        };
        let opened = self.soaked(opened, &presenters, passes >= needed);
        self.rotation.phase = Phase::Propagate { presenters, passes, opened };
        self.propagated();
        Ok(())
    }

    /// How far those are who may read the candidate. The first call cuts the waves.
    fn called(&self, call: &RollCall, opened: Opened) -> (Roll, Opened) {
        let (plan, group, to) = (self.plan, &self.row.group, self.rotation.to.generation);
        // Of a roll without anybody nothing can be cut, and who comes next would be let in unwatched.
        let known = call.complete || !call.members.is_empty();
        let opened = if opened == Opened::Nobody && known { Opened::cut(plan, group, to, call) } else { opened };
        let called = opened.called(plan, group, to, call);
        let presenters = match self.roll(&called, self.row.publication) {
            Roll::All if !opened.is_shown(plan, group, to, &called) => {
                Roll::Behind { who: std::collections::BTreeSet::new(), complete: true }
            }
            presenters => presenters,
        };
        (presenters, opened)
    }

    /// Time in which all was well in the open waves. Whoever is behind stops it, and it goes on from there.
    fn soaked(&self, opened: Opened, presenters: &Roll, passed: bool) -> Opened {
        let goal = opened.soak(self.plan);
        match opened {
            Opened::Wave { number, cuts, soaked } => {
                let soaked = match presenters {
                    Roll::All if passed => soaked.observed(self.now, self.plan.poll, goal),
                    Roll::All => soaked,
                    Roll::Behind { .. } | Roll::Uncalled => soaked.interrupted(),
                };
                Opened::Wave { number, cuts, soaked }
            }
            Opened::All | Opened::Nobody => opened,
        }
    }

    pub(super) fn propagated(&mut self) {
        let Phase::Propagate { presenters: Roll::All, passes, opened } = &self.rotation.phase else { return };
        if *passes < self.plan.passes_after_publish() {
            return;
        }
        match opened {
            Opened::All => self.enter_drain(Roll::All),
            Opened::Wave { soaked, .. } if soaked.reached(opened.soak(self.plan)) => self.open_next(),
            Opened::Wave { .. } | Opened::Nobody => {}
        }
    }

    /// Lets the next wave read the candidate. The deadline is of each wave; so is what people read as the beginning.
    pub(super) fn open_next(&mut self) {
        let Phase::Propagate { opened, .. } = &self.rotation.phase else { return };
        let opened = opened.next(self.plan);
        self.rotation.phase = Phase::Propagate { presenters: Roll::Uncalled, passes: 0, opened };
        self.rotation.elapsed = Waited::default();
        self.rotation.entered_at = self.now;
        self.rotation.trouble = None;
    }

    /// Whether nothing but time is waited for in the open waves: that is no waiting of the phase.
    pub(super) fn soaks_alone(&self) -> bool {
        let Phase::Propagate { presenters: Roll::All, passes, opened } = &self.rotation.phase else { return false };
        let passed = *passes >= self.plan.passes_after_publish();
        matches!(opened, Opened::Wave { soaked, .. } if !soaked.reached(opened.soak(self.plan))) && passed
    }

    /// What was seen well so far counts no more, or the time until the next look does not.
    pub(super) fn stop_soaking(&mut self, from_anew: bool) {
        if let Phase::Propagate { opened: Opened::Wave { soaked, .. }, .. } = &mut self.rotation.phase {
            *soaked = if from_anew { Waited::default() } else { soaked.interrupted() };
        }
    }
}
