//! What of the configuration is looked at in the course of serving, and may change meanwhile.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use handover_core::GroupId;

use crate::config::{AlertsConfig, Config, Group, HookConfig};

/// The groups by name.
pub(crate) type Groups = BTreeMap<GroupId, Arc<Group>>;

/// What is configured now. It is replaced as a whole: whoever took a part of it keeps that part.
#[derive(Clone)]
pub(crate) struct Configured(Arc<RwLock<Taken>>);

struct Taken {
    groups: Arc<Groups>,
    leave_after: Duration,
    alerts: AlertsConfig,
    hooks: Vec<Arc<HookConfig>>,
}

impl Configured {
    pub(crate) fn new(config: &Config) -> Self {
        Self(Arc::new(RwLock::new(Taken::of(config))))
    }

    /// All groups.
    pub(crate) fn groups(&self) -> Arc<Groups> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner).groups)
    }

    /// One of them.
    pub(crate) fn get(&self, group: &GroupId) -> Option<Arc<Group>> {
        self.groups().get(group).cloned()
    }

    /// How long the server says that it is not ready before it refuses connections.
    pub(crate) fn leave_after(&self) -> Duration {
        self.0.read().unwrap_or_else(PoisonError::into_inner).leave_after
    }

    /// When the server alerts.
    pub(crate) fn alerts(&self) -> AlertsConfig {
        self.0.read().unwrap_or_else(PoisonError::into_inner).alerts
    }

    /// The hook of this name.
    pub(crate) fn hook(&self, name: &str) -> Option<Arc<HookConfig>> {
        let taken = self.0.read().unwrap_or_else(PoisonError::into_inner);
        taken.hooks.iter().find(|hook| hook.name == name).cloned()
    }

    /// From now on it is this.
    pub(crate) fn take(&self, config: &Config) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Taken::of(config);
    }
}

impl Taken {
    fn of(config: &Config) -> Self {
        let groups = config.groups.iter().map(|group| (group.name.clone(), Arc::clone(group)));
        Self {
            groups: Arc::new(groups.collect()),
            leave_after: config.leave_after.0,
            alerts: config.alerts,
            hooks: config.hooks.iter().cloned().map(Arc::new).collect(),
        }
    }
}
