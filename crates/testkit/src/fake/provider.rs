//! A provider that mints: it shows a value once, compares no marks, and holds what others made as well.

use std::sync::{Arc, Mutex};

use handover_core::port::{Answer, Intent, Probe, Standing, Target, Verdict};
use handover_core::{
    Fault, FaultKind, GroupId, Label, Minted, Minter, Occupant, SeesUse, Slots, Tally, TargetCapability,
};
use handover_secret::Secret;

use super::{Script, locked};

/// What a connector may get wrong; the suite must find each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mistake {
    /// What is minted bears no label.
    LeavesNoLabel,
    /// What others made is not shown.
    HidesForeign,
    /// Whatever begins with the label is deleted.
    DeletesByPrefix,
    /// Where no place is free, the oldest gives way.
    ReplacesWhenFull,
    /// A second try under one label gives the first one's value.
    ShowsAgain,
}

impl Mistake {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::LeavesNoLabel, Self::HidesForeign, Self::DeletesByPrefix, Self::ReplacesWhenFull, Self::ShowsAgain];
}

/// A provider in memory, for one group.
#[derive(Clone, Debug)]
pub struct FakeProvider {
    inner: Arc<Mutex<Inner>>,
    script: Script,
    group: GroupId,
    places: u32,
}

#[derive(Debug, Default)]
struct Inner {
    keys: Vec<Key>,
    minted: u64,
    /// How many more lists show what was deleted as well.
    stale_lists: u32,
    deleted: Vec<Key>,
    mistake: Option<Mistake>,
}

#[derive(Debug)]
struct Key {
    /// The label as text: the provider does not know whose it is.
    label: String,
    value: Secret,
}

impl FakeProvider {
    /// A provider with this many places, all free.
    pub fn new(script: &Script, group: &GroupId, places: u32) -> Self {
        Self { inner: Arc::default(), script: script.clone(), group: group.clone(), places }
    }

    /// The same provider, as another process sees it.
    #[must_use]
    pub fn seen_by(&self, script: &Script) -> Self {
        Self { script: script.clone(), ..self.clone() }
    }

    /// Whether it lets this value in.
    pub fn accepts(&self, value: &Secret) -> bool {
        locked(&self.inner).accepts(value)
    }

    /// All labels there, in the order in which they were made.
    pub fn labels(&self) -> Vec<String> {
        locked(&self.inner).keys.iter().map(|key| key.label.clone()).collect()
    }

    /// How many credentials it ever minted for us.
    pub fn minted_ever(&self) -> u64 {
        locked(&self.inner).minted
    }

    /// Somebody else makes a credential, labelled like this.
    pub fn add_foreign(&self, label: &str) {
        let key = Key { label: label.to_owned(), value: Secret::from_text(format!("foreign-{label}")) };
        locked(&self.inner).keys.push(key);
    }

    /// From now on it gets this wrong.
    pub fn make(&self, mistake: Mistake) {
        locked(&self.inner).mistake = Some(mistake);
    }

    /// Somebody deletes whatever bears this label.
    pub fn remove(&self, label: &str) {
        locked(&self.inner).keys.retain(|key| key.label != label);
    }

    /// The next lists are from a copy that lags: they show what was deleted as well.
    pub fn lag(&self, lists: u32) {
        locked(&self.inner).stale_lists = lists;
    }

    fn write<T: Send + 'static>(
        &self,
        name: &'static str,
        change: impl FnOnce(&mut Inner) -> Result<T, Fault> + Send + 'static,
    ) -> Answer<'_, T> {
        let inner = Arc::clone(&self.inner);
        Box::pin(self.script.pass(name, move || change(&mut locked(&inner))))
    }
}

impl Inner {
    fn gets_wrong(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    fn accepts(&self, value: &Secret) -> bool {
        self.keys.iter().any(|key| key.value.matches(value))
    }
}

/// What only targets do that compare marks.
fn unsupported<'a, T: Send + 'static>() -> Answer<'a, T> {
    Box::pin(std::future::ready(Err(Fault::untouched(FaultKind::Unsupported, "the provider compares no marks"))))
}

impl Target for FakeProvider {
    fn capability(&self) -> TargetCapability {
        TargetCapability {
            slots: Slots::Fixed(self.places),
            sees_use: SeesUse::Sampled,
            fences: false,
            verifies_rights: false,
            minter: Minter::Provider,
        }
    }

    fn preflight(&self) -> Answer<'_, Vec<Fault>> {
        self.write("target.preflight", |_| Ok(Vec::new()))
    }

    fn create<'a>(&'a self, _intent: &'a Intent, _value: &'a Secret) -> Answer<'a, ()> {
        unsupported()
    }

    fn mint<'a>(&'a self, intent: &'a Intent) -> Answer<'a, Secret> {
        let (label, places) = (Label::of(intent.who).text(&self.group), self.places);
        self.write("target.mint", move |inner| {
            if inner.gets_wrong(Mistake::ShowsAgain)
                && let Some(key) = inner.keys.iter().find(|key| key.label == label)
            {
                return Ok(key.value.duplicate());
            }
            if inner.keys.len() >= places as usize && inner.gets_wrong(Mistake::ReplacesWhenFull) {
                inner.keys.remove(0);
            }
            if inner.keys.len() >= places as usize {
                return Err(Fault::untouched(FaultKind::Foreign, "no place is free"));
            }
            inner.minted += 1;
            let value = Secret::from_text(format!("minted-{}-{label}", inner.minted));
            let label = if inner.gets_wrong(Mistake::LeavesNoLabel) { String::new() } else { label };
            inner.keys.push(Key { label, value: value.duplicate() });
            Ok(value)
        })
    }

    fn minted(&self) -> Answer<'_, Vec<Minted>> {
        let group = self.group.clone();
        self.write("target.minted", move |inner| {
            let lagging = inner.stale_lists > 0;
            inner.stale_lists = inner.stale_lists.saturating_sub(1);
            let gone = inner.deleted.iter().filter(|_| lagging);
            let shown = inner.keys.iter().chain(gone).map(|key| Minted { label: Label::parse(&group, &key.label) });
            let hides = inner.gets_wrong(Mistake::HidesForeign);
            Ok(shown.filter(|minted| !hides || minted.label.is_some()).collect())
        })
    }

    fn unmint(&self, label: Label) -> Answer<'_, ()> {
        let label = label.text(&self.group);
        self.write("target.unmint", move |inner| {
            let by_prefix = inner.gets_wrong(Mistake::DeletesByPrefix);
            let goes = |key: &Key| key.label == label || (by_prefix && key.label.starts_with(&label));
            let (gone, kept) = std::mem::take(&mut inner.keys).into_iter().partition(goes);
            inner.keys = kept;
            inner.deleted.extend::<Vec<Key>>(gone);
            Ok(())
        })
    }

    fn probe<'a>(
        &'a self,
        _who: Occupant,
        value: &'a Secret,
        control: Option<(Occupant, &'a Secret)>,
    ) -> Answer<'a, Probe> {
        let (value, control) = (value.duplicate(), control.map(|(_, value)| value.duplicate()));
        self.write("target.probe", move |inner| {
            Ok(match control {
                _ if inner.accepts(&value) => Probe::Accepted,
                Some(control) if inner.accepts(&control) => Probe::Refused,
                Some(_) | None => Probe::Unknown,
            })
        })
    }

    fn verify<'a>(
        &'a self,
        _who: Occupant,
        value: &'a Secret,
        _control: Option<(Occupant, &'a Secret)>,
    ) -> Answer<'a, Verdict> {
        let value = value.duplicate();
        self.write("target.verify", move |inner| {
            let refused = Verdict::Refused { endpoint: "main".to_owned() };
            Ok(if inner.accepts(&value) { Verdict::Passed } else { refused })
        })
    }

    fn observe<'a>(&'a self, _of: &'a [Occupant]) -> Answer<'a, Tally> {
        self.write("target.observe", |_| Ok(Tally::None))
    }

    fn end_sessions<'a>(&'a self, _of: &'a [Occupant]) -> Answer<'a, ()> {
        self.write("target.end_sessions", |_| Ok(()))
    }

    fn disable<'a>(&'a self, _intent: &'a Intent) -> Answer<'a, ()> {
        unsupported()
    }

    fn enable<'a>(&'a self, _intent: &'a Intent) -> Answer<'a, ()> {
        unsupported()
    }

    fn destroy<'a>(&'a self, _intent: &'a Intent) -> Answer<'a, ()> {
        unsupported()
    }

    fn census(&self) -> Answer<'_, Vec<Standing>> {
        unsupported()
    }
}
