//! A list of consumers in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use handover_core::port::{Answer, Consumers, Delivery};
use handover_core::{ConsumerId, GroupId, Member, Publication, Reach, Role, RollCall};

use super::{FakeStore, Script, locked};

/// Consumers in memory.
#[derive(Clone, Debug)]
pub struct FakeConsumers {
    inner: Arc<Mutex<Inner>>,
    script: Script,
}

#[derive(Debug)]
struct Inner {
    members: BTreeMap<(GroupId, Role, ConsumerId), Option<(Publication, Reach)>>,
    deliveries: BTreeMap<(GroupId, ConsumerId, Vec<u8>), Delivery>,
    complete: bool,
    follow: Option<FakeStore>,
}

impl FakeConsumers {
    /// Nobody, and the list is complete.
    pub fn new(script: &Script) -> Self {
        let inner = Inner { members: BTreeMap::new(), deliveries: BTreeMap::new(), complete: true, follow: None };
        Self { inner: Arc::new(Mutex::new(inner)), script: script.clone() }
    }

    /// The same consumers, as another process sees them.
    #[must_use]
    pub fn seen_by(&self, script: &Script) -> Self {
        Self { script: script.clone(), ..self.clone() }
    }

    /// From now on this one is expected.
    pub fn expect(&self, group: &GroupId, consumer: &ConsumerId, role: Role) {
        locked(&self.inner).members.entry((group.clone(), role, consumer.clone())).or_insert(None);
    }

    /// Presenters load whatever this store publishes as soon as they are asked.
    pub fn follow(&self, store: &FakeStore) {
        locked(&self.inner).follow = Some(store.clone());
    }

    /// Presenters load nothing by themselves any more.
    pub fn stop(&self) {
        locked(&self.inner).follow = None;
    }

    /// Whether everybody is known.
    pub fn set_complete(&self, complete: bool) {
        locked(&self.inner).complete = complete;
    }
}

impl Inner {
    fn call(&mut self, group: &GroupId, role: Role) -> RollCall {
        let published = self.follow.as_ref().and_then(|store| store.published(group)).map(|(number, ..)| number);
        let mut members = Vec::new();
        for ((of, as_role, consumer), acked) in &mut self.members {
            if of == group && *as_role == role {
                if let Some(publication) = published {
                    *acked = Some((publication, Reach::Loaded)).max(*acked);
                }
                members.push(Member { consumer: consumer.clone(), acked: *acked });
            }
        }
        RollCall { members, complete: self.complete }
    }
}

impl Consumers for FakeConsumers {
    fn roll_call<'a>(&'a self, group: &'a GroupId, role: Role) -> Answer<'a, RollCall> {
        let (inner, group) = (Arc::clone(&self.inner), group.clone());
        Box::pin(self.script.pass("consumers.roll_call", move || Ok(locked(&inner).call(&group, role))))
    }

    fn delivered<'a>(
        &'a self,
        group: &'a GroupId,
        consumer: &'a ConsumerId,
        role: Role,
        delivery: &'a Delivery,
    ) -> Answer<'a, ()> {
        let (inner, group, consumer) = (Arc::clone(&self.inner), group.clone(), consumer.clone());
        let delivery = delivery.clone();
        Box::pin(self.script.pass("consumers.delivered", move || {
            let mut inner = locked(&inner);
            inner.members.entry((group.clone(), role, consumer.clone())).or_insert(None);
            inner.deliveries.insert((group, consumer, delivery.nonce.clone()), delivery);
            Ok(())
        }))
    }

    fn delivery<'a>(
        &'a self,
        group: &'a GroupId,
        consumer: &'a ConsumerId,
        nonce: &'a [u8],
    ) -> Answer<'a, Option<Delivery>> {
        let (inner, key) = (Arc::clone(&self.inner), (group.clone(), consumer.clone(), nonce.to_vec()));
        Box::pin(self.script.pass("consumers.delivery", move || Ok(locked(&inner).deliveries.get(&key).cloned())))
    }

    fn acknowledged<'a>(
        &'a self,
        group: &'a GroupId,
        consumer: &'a ConsumerId,
        role: Role,
        publication: Publication,
        reach: Reach,
    ) -> Answer<'a, ()> {
        let (inner, key) = (Arc::clone(&self.inner), (group.clone(), role, consumer.clone()));
        Box::pin(self.script.pass("consumers.acknowledged", move || {
            let mut inner = locked(&inner);
            let acked = inner.members.entry(key).or_insert(None);
            *acked = Some((publication, reach)).max(*acked);
            Ok(())
        }))
    }

    fn excuse<'a>(&'a self, group: &'a GroupId, consumer: &'a ConsumerId) -> Answer<'a, ()> {
        let (inner, group, consumer) = (Arc::clone(&self.inner), group.clone(), consumer.clone());
        Box::pin(self.script.pass("consumers.excuse", move || {
            locked(&inner).members.retain(|(of, _, who), _| of != &group || who != &consumer);
            Ok(())
        }))
    }
}
