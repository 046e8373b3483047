//! A target in memory: slots with labels, marks compared with every change.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use handover_core::port::{Answer, Intent, Probe, Standing, State, Target, Verdict};
use handover_core::{
    Fault, FaultKind, Generation, Mark, Minter, Occupant, RowVersion, SeesUse, Slot, Slots, Tally, TargetCapability,
};
use handover_secret::Secret;

use super::{Script, locked};

/// A target in memory.
#[derive(Clone, Debug)]
pub struct FakeTarget {
    inner: Arc<Mutex<Inner>>,
    script: Script,
    slots: Slots,
}

#[derive(Debug, Default)]
struct Inner {
    places: BTreeMap<Slot, Place>,
    sessions: BTreeMap<Generation, u32>,
    findings: Vec<Fault>,
    missing: Vec<String>,
    rejections: u32,
    logins_refused: u32,
    blind: bool,
    writes: Vec<(&'static str, Occupant, Mark)>,
}

#[derive(Debug, Default)]
struct Place {
    generation: Option<Generation>,
    value: Option<Secret>,
    enabled: bool,
    mark: Option<Mark>,
}

impl FakeTarget {
    /// An empty target.
    pub fn new(script: &Script, slots: Slots) -> Self {
        Self { inner: Arc::default(), script: script.clone(), slots }
    }

    /// A copy of everything, as a snapshot would be: writing to one leaves the other as it is.
    #[must_use]
    pub fn backup(&self) -> Self {
        let inner = locked(&self.inner);
        let place = |place: &Place| Place {
            generation: place.generation,
            value: place.value.as_ref().map(Secret::duplicate),
            enabled: place.enabled,
            mark: place.mark,
        };
        let places = inner.places.iter().map(|(slot, standing)| (*slot, place(standing))).collect();
        let copy = Inner { places, ..Inner::default() };
        Self { inner: Arc::new(Mutex::new(copy)), ..self.clone() }
    }

    /// The same target, as another process sees it.
    #[must_use]
    pub fn seen_by(&self, script: &Script) -> Self {
        Self { script: script.clone(), ..self.clone() }
    }

    /// Whether a login with this value passes, at any slot.
    pub fn accepts(&self, value: &Secret) -> bool {
        locked(&self.inner).places.values().any(|place| place.lets_in(value))
    }

    /// How many slots accept logins.
    pub fn accepting(&self) -> usize {
        locked(&self.inner).places.values().filter(|place| place.enabled && place.value.is_some()).count()
    }

    /// How many logins were refused.
    pub fn logins_refused(&self) -> u32 {
        locked(&self.inner).logins_refused
    }

    /// Every change that passed the fence: the method, whom, and the mark.
    pub fn writes(&self) -> Vec<(&'static str, Occupant, Mark)> {
        locked(&self.inner).writes.clone()
    }

    /// This many sessions of a generation are open.
    pub fn set_sessions(&self, generation: Generation, sessions: u32) {
        locked(&self.inner).sessions.insert(generation, sessions);
    }

    /// Uses cannot be seen, or can again.
    pub fn set_blind(&self, blind: bool) {
        locked(&self.inner).blind = blind;
    }

    /// This is wrong with it, as preflight finds.
    pub fn set_findings(&self, findings: Vec<Fault>) {
        locked(&self.inner).findings = findings;
    }

    /// The next values are rejected by policy.
    pub fn reject_next(&self, values: u32) {
        locked(&self.inner).rejections = values;
    }

    /// Whoever logs in lacks this.
    pub fn set_missing(&self, missing: Vec<String>) {
        locked(&self.inner).missing = missing;
    }

    /// Somebody changed the password of a slot by hand; the label stays.
    pub fn tamper(&self, slot: Slot, value: Secret) {
        locked(&self.inner).places.entry(slot).or_default().value = Some(value);
    }

    /// Somebody disabled a slot by hand, or forgot its value as well. The label names `generation`, and its mark is the
    /// one that this generation's own rotation left.
    pub fn set_as_by_other(&self, slot: Slot, generation: Generation, keeps_value: bool) {
        let mut inner = locked(&self.inner);
        let place = inner.places.entry(slot).or_default();
        place.enabled = false;
        place.generation = Some(generation);
        place.mark = Some(Mark { generation, version: RowVersion(1) });
        if !keeps_value {
            place.value = None;
        }
    }

    fn write(
        &self,
        name: &'static str,
        intent: &Intent,
        change: impl FnOnce(&mut Inner) -> Result<(), Fault> + Send + 'static,
    ) -> Answer<'_, ()> {
        let (inner, who, mark) = (Arc::clone(&self.inner), intent.who, intent.mark);
        Box::pin(self.script.pass(name, move || {
            let mut inner = locked(&inner);
            if inner.places.get(&who.slot).and_then(|place| place.mark).is_some_and(|stands| stands > mark) {
                return Err(Fault::untouched(FaultKind::Fenced, "a higher mark stands"));
            }
            change(&mut inner)?;
            let place = inner.places.entry(who.slot).or_default();
            place.generation = Some(who.generation);
            place.mark = Some(mark);
            inner.writes.push((name, who, mark));
            Ok(())
        }))
    }
}

impl Inner {
    fn login(&mut self, who: Occupant, value: &Secret) -> bool {
        let passes = self.places.get(&who.slot).is_some_and(|place| place.lets_in(value));
        self.logins_refused += u32::from(!passes);
        passes
    }
}

impl Place {
    fn lets_in(&self, value: &Secret) -> bool {
        self.enabled && self.value.as_ref().is_some_and(|stored| stored.matches(value))
    }
}

impl Target for FakeTarget {
    fn capability(&self) -> TargetCapability {
        TargetCapability {
            slots: self.slots,
            sees_use: SeesUse::Sampled,
            fences: true,
            verifies_rights: true,
            minter: Minter::Us,
        }
    }

    fn preflight(&self) -> Answer<'_, Vec<Fault>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(self.script.pass("target.preflight", move || Ok(locked(&inner).findings.clone())))
    }

    fn create<'a>(&'a self, intent: &'a Intent, value: &'a Secret) -> Answer<'a, ()> {
        let (who, value) = (intent.who, value.duplicate());
        self.write("target.create", intent, move |inner| {
            if inner.rejections > 0 {
                inner.rejections -= 1;
                return Err(Fault::untouched(FaultKind::Rejected, "the target's policy rejects the value"));
            }
            let place = inner.places.entry(who.slot).or_default();
            place.value = Some(value);
            place.enabled = true;
            Ok(())
        })
    }

    fn probe<'a>(
        &'a self,
        who: Occupant,
        value: &'a Secret,
        control: Option<(Occupant, &'a Secret)>,
    ) -> Answer<'a, Probe> {
        let (inner, value) = (Arc::clone(&self.inner), value.duplicate());
        let control = control.map(|(who, value)| (who, value.duplicate()));
        Box::pin(self.script.pass("target.probe", move || {
            let mut inner = locked(&inner);
            if inner.login(who, &value) {
                return Ok(Probe::Accepted);
            }
            let controlled = control.is_some_and(|(who, value)| inner.login(who, &value));
            Ok(if controlled { Probe::Refused } else { Probe::Unknown })
        }))
    }

    fn verify<'a>(
        &'a self,
        who: Occupant,
        value: &'a Secret,
        _control: Option<(Occupant, &'a Secret)>,
    ) -> Answer<'a, Verdict> {
        let (inner, value) = (Arc::clone(&self.inner), value.duplicate());
        Box::pin(self.script.pass("target.verify", move || {
            let mut inner = locked(&inner);
            if !inner.login(who, &value) {
                return Ok(Verdict::Refused { endpoint: "main".to_owned() });
            }
            let missing = inner.missing.clone();
            Ok(if missing.is_empty() { Verdict::Passed } else { Verdict::Unfit { missing } })
        }))
    }

    fn observe<'a>(&'a self, of: &'a [Occupant]) -> Answer<'a, Tally> {
        let (inner, of) = (Arc::clone(&self.inner), of.to_vec());
        Box::pin(self.script.pass("target.observe", move || {
            let inner = locked(&inner);
            if inner.blind {
                return Ok(Tally::Unknown);
            }
            let uses = of.iter().filter_map(|who| inner.sessions.get(&who.generation)).sum();
            Ok(if uses == 0 { Tally::None } else { Tally::Some(uses) })
        }))
    }

    fn end_sessions<'a>(&'a self, of: &'a [Occupant]) -> Answer<'a, ()> {
        let (inner, of) = (Arc::clone(&self.inner), of.to_vec());
        Box::pin(self.script.pass("target.end_sessions", move || {
            let mut inner = locked(&inner);
            for who in of {
                inner.sessions.remove(&who.generation);
            }
            Ok(())
        }))
    }

    fn disable<'a>(&'a self, intent: &'a Intent) -> Answer<'a, ()> {
        let slot = intent.who.slot;
        self.write("target.disable", intent, move |inner| {
            inner.places.entry(slot).or_default().enabled = false;
            Ok(())
        })
    }

    fn enable<'a>(&'a self, intent: &'a Intent) -> Answer<'a, ()> {
        let slot = intent.who.slot;
        self.write("target.enable", intent, move |inner| {
            inner.places.entry(slot).or_default().enabled = true;
            Ok(())
        })
    }

    fn destroy<'a>(&'a self, intent: &'a Intent) -> Answer<'a, ()> {
        let slot = intent.who.slot;
        self.write("target.destroy", intent, move |inner| {
            let place = inner.places.entry(slot).or_default();
            place.enabled = false;
            place.value = None;
            Ok(())
        })
    }

    fn census(&self) -> Answer<'_, Vec<Standing>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(self.script.pass("target.census", move || {
            let standing = |(slot, place): (&Slot, &Place)| Standing {
                slot: *slot,
                generation: place.generation,
                mark: place.mark,
                state: match (&place.value, place.enabled) {
                    (Some(_), true) => State::Accepting,
                    (Some(_), false) => State::Disabled,
                    (None, _) => State::Forgotten,
                },
            };
            Ok(locked(&inner).places.iter().map(standing).collect())
        }))
    }
}
