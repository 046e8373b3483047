//! The executor: one for all connectors. The first try of an effect acts without probing; in doubt it looks first.

mod check;
mod mint;
mod staging;
mod store;
mod target;

use handover_core::port::{Entry, Intent};
use handover_core::{
    Candidate, Effect, EffectId, Fact, Fault, FaultKind, Generation, Mark, Occupant, Role, Tally, Touched,
};
use handover_secret::Secret;

use crate::call::{Call, Whom};
use crate::drive::Current;
use crate::history;
use crate::shared::Shared;
use crate::sighting::Sighting;

/// What came of an effect.
#[derive(Default)]
pub(crate) struct Learnt {
    /// What was learnt, if anything: a fault is a fact as well.
    pub(crate) fact: Option<Fact>,
    /// A freshly minted value, to be sealed by the commit that records the fact.
    pub(crate) sealed: Option<(Generation, Candidate, Secret)>,
    /// History beside the fact.
    pub(crate) entries: Vec<Entry>,
    /// What went wrong.
    pub(crate) fault: Option<Fault>,
    /// Whether to wait longer before the next round.
    pub(crate) setback: bool,
    /// Whether nobody knows if the effect took place.
    pub(crate) doubtful: bool,
}

impl Learnt {
    fn fact(fact: Fact) -> Self {
        Self { fact: Some(fact), ..Self::default() }
    }

    fn fault(effect: &Effect, fault: Fault) -> Self {
        Self {
            doubtful: fault.touched == Touched::Unknown,
            setback: true,
            fact: Some(Fact::Fault { effect: effect.kind(), fault: fault.clone() }),
            fault: Some(fault),
            ..Self::default()
        }
    }
}

/// Performs effects of one committed row.
pub(crate) struct Executor<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) current: &'a Current,
    pub(crate) to: Occupant,
}

impl Executor<'_> {
    /// Performs one effect, and looks first if its last outcome is in doubt.
    pub(crate) async fn perform(&self, effect: &Effect, id: &EffectId, probe_first: bool) -> Learnt {
        let answer = match effect {
            Effect::Seal { to } => return self.seal(effect, *to).await,
            Effect::Sweep { to, keep } => return self.sweep(effect, *to, keep).await,
            Effect::Mint { who, mark } => return self.mint(effect, &self.intent(id, *who, *mark), probe_first).await,
            Effect::CountUse { of } => return self.count_use(of).await,
            Effect::PutStaged { store, who } => self.put_staged(id, store, *who).await,
            Effect::EnsureAccepted { who, mark } => self.accept(id, *who, *mark, probe_first).await,
            Effect::Login { who } => return self.login(effect, *who).await,
            Effect::Check { who } => return self.check(effect, *who).await,
            Effect::Head { store } => self.head_fact(store).await,
            Effect::Point { store, value, publication, expect } => {
                let pointing = store::Pointing { store, value: *value, publication: *publication, expect };
                return self.point(effect, id, &pointing, probe_first).await;
            }
            Effect::CountAdoption { role, .. } => self.count_adoption(*role).await,
            Effect::EndSessions { of } => return self.end_sessions(effect, of).await,
            Effect::EnsureRefused { who, mark } => return self.refuse(effect, id, *who, *mark, probe_first).await,
            Effect::ProveRefused { who } => return self.prove(effect, *who).await,
            Effect::PutBack { who, mark } => self.put_back(id, *who, *mark).await,
            Effect::Discard { who } => return self.forgotten(Fact::Discarded(who.generation), *who).await,
            Effect::Release { who, mark } => self.release(id, *who, *mark).await,
            Effect::Destroy { who, mark } => return self.destroy(effect, id, *who, *mark, probe_first).await,
            // Never concluded from a probe (R5): the mark that it leaves is what refuses a late write.
            Effect::Revoke { who, mark } => return self.revoke(effect, id, *who, *mark).await,
        };
        answer.map_or_else(|fault| Learnt::fault(effect, fault), Learnt::fact)
    }

    /// Nothing outside is touched: the value exists once the commit that records the fact holds it sealed.
    async fn seal(&self, effect: &Effect, to: Occupant) -> Learnt {
        let (group, generator) = (&self.current.row.group, &self.current.binding.generator);
        let call = Call::look(Whom::Generator, effect.kind());
        let minted = self.shared.calls.make(call, || generator.generate(group, to.generation)).await;
        let minted = match minted {
            Ok(value) => self.fresh(&value).await.map(|()| value),
            Err(fault) => Err(fault),
        };
        match minted {
            Ok(value) => Learnt { sealed: Some((to.generation, to.candidate, value)), ..Learnt::fact(Fact::Sealed) },
            Err(fault) => Learnt::fault(effect, fault),
        }
    }

    /// What a generator of somebody else's may get wrong: a rotation to nothing, or to what is in force.
    async fn fresh(&self, value: &Secret) -> Result<(), Fault> {
        let wrong = |why: &str| Err(Fault::untouched(FaultKind::Misconfigured, format!("the generator gave {why}")));
        if value.is_empty() {
            return wrong("an empty value");
        }
        let from = self.current.row.live().and_then(|live| live.from);
        let Some(from) = from.filter(|_| self.current.binding.generator.may_repeat()) else { return Ok(()) };
        if self.value(from).await?.matches(value) {
            return wrong("the value that is in force: a new one must be another");
        }
        Ok(())
    }

    async fn count_adoption(&self, role: Role) -> Result<Fact, Fault> {
        let consumers = &self.shared.ports.consumers;
        let call = Call::look(Whom::Consumers, "adoption");
        let group = &self.current.row.group;
        let roll = self.shared.calls.make(call, || consumers.roll_call(group, role)).await?;
        Ok(Fact::Adoption { role, call: roll })
    }

    /// Who cannot look does not know: a fault is *unknown*, never *none*.
    async fn count_use(&self, of: &[Occupant]) -> Learnt {
        let target = &self.current.binding.target;
        match self.shared.calls.make(self.target_look("use"), || target.observe(of)).await {
            Ok(tally) => {
                let entries = match tally {
                    Tally::Some(uses) => self.whence(of, uses).await.into_iter().collect(),
                    Tally::None => {
                        self.shared.sightings.unseen(&self.current.row.group);
                        Vec::new()
                    }
                    Tally::Unknown => Vec::new(),
                };
                Learnt { entries, ..Learnt::fact(Fact::Use(tally)) }
            }
            Err(fault) => Learnt { fault: Some(fault), setback: true, ..Learnt::fact(Fact::Use(Tally::Unknown)) },
        }
    }

    /// From where it is used, if that is news. Where it cannot be told the count stands all the same.
    async fn whence(&self, of: &[Occupant], uses: u32) -> Option<Entry> {
        let (group, to) = (&self.current.row.group, self.to.generation);
        if !self.shared.sightings.is_news(group, to, uses) {
            return None;
        }
        let target = &self.current.binding.target;
        let sources = self.shared.calls.make(self.target_look("sources"), || target.sources(of)).await.ok()?;
        let at = self.shared.now();
        let from = self.shared.sightings.seen(group, to, Sighting { at, uses, sources })?;
        let rotation = self.current.row.live()?;
        Some(history::in_use(rotation, uses, from, at))
    }

    /// What is open is counted before it is ended, so that the history says how many were.
    async fn end_sessions(&self, effect: &Effect, of: &[Occupant]) -> Learnt {
        let target = &self.current.binding.target;
        let open = self.shared.calls.make(self.target_look("use"), || target.observe(of)).await;
        match self.shared.calls.make(self.target_act("end_sessions"), || target.end_sessions(of)).await {
            Ok(()) => {
                let ended = match (open, self.current.row.live()) {
                    (Ok(Tally::Some(uses)), Some(live)) => Some(history::sessions_ended(live, uses, self.shared.now())),
                    (Ok(Tally::None | Tally::Unknown) | Err(_), _) | (Ok(Tally::Some(_)), None) => None,
                };
                Learnt { entries: ended.into_iter().collect(), ..Learnt::fact(Fact::SessionsEnded) }
            }
            Err(fault) => Learnt::fault(effect, fault),
        }
    }

    /// The sealed value of an occupant, exactly the one that the row names.
    async fn value(&self, who: Occupant) -> Result<Secret, Fault> {
        let group = &self.current.row.group;
        self.sealed(who).await?.ok_or_else(|| {
            Fault::untouched(
                FaultKind::Corrupt,
                format!(
                    "the value of generation {} of {group}, candidate {}, is not in the state store: restore it from a \
                     backup, or roll back",
                    who.generation, who.candidate
                ),
            )
        })
    }

    async fn sealed(&self, who: Occupant) -> Result<Option<Secret>, Fault> {
        let state = &self.shared.ports.state;
        let group = &self.current.row.group;
        let call = Call::look(Whom::State, "candidate");
        self.shared.calls.make(call, || state.candidate(group, who.generation, who.candidate)).await
    }

    /// The positive control for a look at `who`: what is sure to be accepted beside it.
    async fn control(&self, who: Occupant) -> Result<Option<(Occupant, Secret)>, Fault> {
        let from = self.current.row.live().and_then(|live| live.from);
        let other = if who == self.to { from } else { Some(self.to) };
        match other {
            Some(other) => Ok(Some((other, self.value(other).await?))),
            None => Ok(None),
        }
    }

    fn intent(&self, id: &EffectId, who: Occupant, mark: Mark) -> Intent {
        Intent { id: id.clone(), who, mark }
    }

    fn target_look(&self, name: &'static str) -> Call<'_> {
        Call::look(Whom::Target(&self.current.binding.target_name), name)
    }

    fn target_act(&self, name: &'static str) -> Call<'_> {
        Call::act(Whom::Target(&self.current.binding.target_name), name)
    }
}

fn as_control(control: Option<&(Occupant, Secret)>) -> Option<(Occupant, &Secret)> {
    control.map(|(who, value)| (*who, value))
}
