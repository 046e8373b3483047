//! Effects at the target, and the probes that may stand in for them.

use handover_core::port::{Probe, Standing, State, Verdict};
use handover_core::{Effect, EffectId, Fact, Fault, FaultKind, Mark, Occupant};

use super::{Executor, Learnt, as_control};
use crate::call::{Call, Whom};
use crate::history;

impl Executor<'_> {
    pub(super) async fn accept(
        &self,
        id: &EffectId,
        who: Occupant,
        mark: Mark,
        probe_first: bool,
    ) -> Result<Fact, Fault> {
        let value = self.value(who).await?;
        let target = &self.current.binding.target;
        if probe_first
            && let Some(standing) = self.label(who, mark).await?
            && standing.state == State::Accepting
        {
            // The same mark is the same act: the value was fixed before the row with this version was committed.
            if standing.mark == Some(mark) {
                return Ok(Fact::Accepted(who.generation));
            }
            // An earlier mark may be that of another candidate, which the label does not tell.
            let control = self.control(who).await?;
            let call = self.target_look("probe");
            let probe =
                self.shared.calls.make(call, || target.probe(who, &value, as_control(control.as_ref()))).await?;
            if probe == Probe::Accepted {
                return Ok(Fact::Accepted(who.generation));
            }
        }
        let intent = self.intent(id, who, mark);
        self.shared.calls.make(self.target_act("accept"), || target.create(&intent, &value)).await?;
        Ok(Fact::Accepted(who.generation))
    }

    pub(super) async fn login(&self, effect: &Effect, who: Occupant) -> Learnt {
        let verdict = async {
            let value = self.value(who).await?;
            let control = self.control(who).await?;
            let target = &self.current.binding.target;
            let call = self.target_look("login");
            self.shared.calls.make(call, || target.verify(who, &value, as_control(control.as_ref()))).await
        };
        match verdict.await {
            Ok(Verdict::Passed) => self.check_before(effect, who).await,
            // A refused login counts against the account: the next one waits.
            Ok(Verdict::Refused { endpoint }) => {
                let detail = format!("endpoint {endpoint} refused generation {}", who.generation);
                let fault = Some(Fault::untouched(FaultKind::Missing, detail));
                Learnt { setback: true, fault, ..Learnt::fact(Fact::Refused(who.generation)) }
            }
            Ok(Verdict::Unfit { missing }) => {
                Learnt::fault(effect, Fault::untouched(FaultKind::Unfit, missing.join("; ")))
            }
            Err(fault) => Learnt::fault(effect, fault),
        }
    }

    /// Disables, and then proves it.
    pub(super) async fn refuse(
        &self,
        effect: &Effect,
        id: &EffectId,
        who: Occupant,
        mark: Mark,
        probe_first: bool,
    ) -> Learnt {
        if let Err(fault) = self.disable(id, who, mark, probe_first).await {
            return Learnt::fault(effect, fault);
        }
        self.prove(effect, who).await
    }

    /// One login that must be refused while the new generation's is accepted.
    pub(super) async fn prove(&self, effect: &Effect, who: Occupant) -> Learnt {
        match self.proof(who).await {
            Ok(()) => Learnt::fact(Fact::Refused(who.generation)),
            // What was to be done before is done; the next round asks the label and goes on with the proof.
            Err(fault) => Learnt { doubtful: true, ..Learnt::fault(effect, fault) },
        }
    }

    async fn disable(&self, id: &EffectId, who: Occupant, mark: Mark, probe_first: bool) -> Result<(), Fault> {
        if probe_first
            && let Some(standing) = self.label(who, mark).await?
            && standing.state != State::Accepting
        {
            return Ok(());
        }
        let target = &self.current.binding.target;
        let intent = self.intent(id, who, mark);
        self.shared.calls.make(self.target_act("refuse"), || target.disable(&intent)).await
    }

    async fn proof(&self, who: Occupant) -> Result<(), Fault> {
        let owed = self.current.row.live().is_some_and(|live| live.owed.contains(&who));
        let value = match self.sealed(who).await? {
            // Given up before a value was minted: there is nothing to log in with, and the mark is written.
            None if owed => return Ok(()),
            Some(value) => value,
            None => self.value(who).await?,
        };
        let control = self.control(who).await?;
        let target = &self.current.binding.target;
        let call = self.target_look("probe");
        match self.shared.calls.make(call, || target.probe(who, &value, as_control(control.as_ref()))).await? {
            Probe::Refused => Ok(()),
            Probe::Accepted => Err(Fault::untouched(
                FaultKind::Conflict,
                format!(
                    "generation {} is still let in, and should not be any more: look for another way in, such as a pooler \
                     or a replica that lags",
                    who.generation
                ),
            )),
            Probe::Unknown => Err(Fault::untouched(
                FaultKind::Missing,
                format!(
                    "it could not be proved that generation {} is refused: the login of the control did not pass, or \
                     nothing answered",
                    who.generation
                ),
            )),
        }
    }

    /// Always writes: what a probe finds may be the old value before a late write of the new one (R5).
    pub(super) async fn put_back(&self, id: &EffectId, who: Occupant, mark: Mark) -> Result<Fact, Fault> {
        let value = self.value(who).await?;
        let target = &self.current.binding.target;
        let intent = self.intent(id, who, mark);
        self.shared.calls.make(self.target_act("put_back"), || target.create(&intent, &value)).await?;
        Ok(Fact::PutBack(who.generation))
    }

    /// Always writes: a probe never concludes that a brake was released (R5).
    pub(super) async fn release(&self, id: &EffectId, who: Occupant, mark: Mark) -> Result<Fact, Fault> {
        let target = &self.current.binding.target;
        let intent = self.intent(id, who, mark);
        self.shared.calls.make(self.target_act("release"), || target.enable(&intent)).await?;
        Ok(Fact::Released(who.generation))
    }

    pub(super) async fn destroy(
        &self,
        effect: &Effect,
        id: &EffectId,
        who: Occupant,
        mark: Mark,
        probe_first: bool,
    ) -> Learnt {
        if probe_first {
            match self.label(who, mark).await {
                Ok(Some(standing)) if matches!(standing.state, State::Forgotten | State::Absent) => {
                    return self.forgotten(Fact::Destroyed(who.generation), who).await;
                }
                Ok(_) => {}
                Err(fault) => return Learnt::fault(effect, fault),
            }
        }
        match self.forget(effect, id, who, mark).await {
            Ok(()) => self.forgotten(Fact::Destroyed(who.generation), who).await,
            Err(fault) => Learnt::fault(effect, fault),
        }
    }

    pub(super) async fn revoke(&self, effect: &Effect, id: &EffectId, who: Occupant, mark: Mark) -> Learnt {
        match self.forget(effect, id, who, mark).await {
            Ok(()) => self.forgotten(Fact::Revoked(who.generation), who).await,
            Err(fault) => Learnt::fault(effect, fault),
        }
    }

    async fn forget(&self, effect: &Effect, id: &EffectId, who: Occupant, mark: Mark) -> Result<(), Fault> {
        let target = &self.current.binding.target;
        let intent = self.intent(id, who, mark);
        self.shared.calls.make(self.target_act(effect.kind()), || target.destroy(&intent)).await
    }

    /// The target has forgotten it; the stores forget it too. What stays behind there is refused by the target, so it
    /// is litter to report, not a failed rotation.
    pub(super) async fn forgotten(&self, fact: Fact, who: Occupant) -> Learnt {
        let mut learnt = Learnt::fact(fact);
        let row = &self.current.row;
        learnt.entries.extend(self.swept_stores().await);
        for (store, port) in self.current.binding.stores.iter() {
            let call = Call::act(Whom::Store(store), "discard");
            let answer = self.shared.calls.make(call, || port.discard(&row.group, who.generation)).await;
            learnt.entries.extend(answer.err().and_then(|fault| self.litter(store, "discard", &fault)));
        }
        let target = &self.current.binding.target;
        let remains = self.shared.calls.make(self.target_look("remains"), || target.remains()).await;
        let remains: Vec<Fault> = match remains {
            Ok(all) => all.into_iter().filter(|one| one.generation == who.generation).map(|one| one.fault).collect(),
            // Nobody could look: that is told as well.
            Err(fault) => vec![fault],
        };
        for (fault, rotation) in remains.iter().filter_map(|fault| Some((fault, row.live()?))) {
            self.shared.note(&row.group, "remains", fault);
            learnt.entries.push(history::litter(rotation, "target", fault, self.shared.now()));
        }
        learnt
    }

    /// What the label says of `who`'s slot, if it tells anything: the slot bears that generation, and a mark of this
    /// rotation, not later than ours. Without a mark of this rotation nothing fences a write that is still on its way,
    /// so nothing may be concluded. A target that has no labels tells nothing.
    async fn label(&self, who: Occupant, mark: Mark) -> Result<Option<Standing>, Fault> {
        let target = &self.current.binding.target;
        let standings = match self.shared.calls.make(self.target_look("census"), || target.census()).await {
            Ok(standings) => standings,
            Err(fault) if fault.kind == FaultKind::Unsupported => return Ok(None),
            Err(fault) => return Err(fault),
        };
        Ok(standings.into_iter().find(|standing| {
            standing.slot == who.slot
                && standing.generation == Some(who.generation)
                && standing.mark.is_some_and(|stands| stands.generation == mark.generation && stands <= mark)
        }))
    }
}
