//! Waves of presenters, as they are configured.

use std::collections::BTreeSet;

use handover_core::{ConsumerId, Picked, WAVES_MAX, Wave};
use serde::{Deserialize, Serialize};

use super::approval::{names, people};
use super::duration::Span;
use super::{Group, RoleName};

/// Some presenters, who may read the candidate before others. Exactly one of the first three keys is there.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WaveConfig {
    /// This share of those on the roll, picked by hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) percent: Option<u32>,
    /// So many of those on the roll, picked by hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) count: Option<u32>,
    /// These.
    #[serde(default, skip_serializing_if = "Vec::is_empty", serialize_with = "names", deserialize_with = "people")]
    pub(crate) consumers: Vec<ConsumerId>,
    /// How long all has to be well with them before the next wave opens.
    #[serde(default = "none")]
    pub(crate) soak: Span,
}

const fn none() -> Span {
    Span::seconds(0)
}

impl WaveConfig {
    /// As the core knows it.
    pub(crate) fn wave(&self) -> Wave {
        let members = match (self.percent, self.count) {
            (Some(percent), _) => Picked::Percent(percent),
            (None, Some(count)) => Picked::Count(count),
            (None, None) => Picked::Named(self.consumers.iter().cloned().collect()),
        };
        Wave { members, soak: self.soak.0 }
    }

    fn wrong(&self) -> Option<String> {
        let keys = [self.percent.is_some(), self.count.is_some(), !self.consumers.is_empty()];
        let different: BTreeSet<&ConsumerId> = self.consumers.iter().collect();
        if keys.into_iter().filter(|is_there| *is_there).count() != 1 {
            Some("say who is in it by one of percent, count and consumers".to_owned())
        } else if self.percent.is_some_and(|percent| !(1..=99).contains(&percent)) {
            Some("percent is from 1 to 99: the rest comes last by itself".to_owned())
        } else if self.count == Some(0) {
            Some("count is at least 1".to_owned())
        } else if different.len() < self.consumers.len() {
            Some("consumers names somebody twice".to_owned())
        } else {
            None
        }
    }
}

/// What nobody can mean in the waves of a group's policy.
pub(super) fn wrong(group: &Group) -> Vec<String> {
    let waves = &group.policy.wave;
    let mut wrong: Vec<String> = waves
        .iter()
        .zip(1..)
        .filter_map(|(wave, number)| Some(format!("policy.wave {number}: {}", wave.wrong()?)))
        .collect();
    if waves.len() > WAVES_MAX {
        wrong.push(format!("policy.wave: there are at most {WAVES_MAX} waves"));
    }
    if waves.iter().filter_map(|wave| wave.percent).fold(0, u32::saturating_add) > 99 {
        wrong.push("policy.wave: the shares come to 99 percent at most: the rest comes last by itself".to_owned());
    }
    let mut named = BTreeSet::new();
    for name in waves.iter().flat_map(|wave| wave.consumers.iter().collect::<BTreeSet<_>>()) {
        let presents = group.consumers.iter().any(|one| one.name == *name && one.role == RoleName::Presenter);
        if !presents {
            wrong.push(format!("policy.wave: consumer {name} is not declared in the group's consumers"));
        }
        if !named.insert(name) {
            wrong.push(format!("policy.wave: consumer {name} is in two waves"));
        }
    }
    if !waves.is_empty() && group.consumers.is_empty() {
        wrong.push("policy.wave: waves are of the group's consumers, and none is declared".to_owned());
    }
    if !waves.is_empty() && !group.is_embedded_alone() {
        wrong.push(
            "policy.wave: whoever reads a remote store reads what it publishes, in any wave: leave the waves out, or \
             publish the group in the embedded store alone"
                .to_owned(),
        );
    }
    wrong
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::Config;

    fn parse(policy: &str) -> Result<Config, String> {
        let text = format!(
            "[[remote_store]]\nkind = \"vault\"\nname = \"bao\"\nurl = \"https://bao.internal:8200\"\n\
             ca_file = \"bao-ca.pem\"\nauth = {{ kind = \"approle\", role_id = \"h\", secret_id_file = \"s\" }}\n\
             [[group]]\nname = \"orders-db\"\nstores = [\"embedded\"]\n\
             consumers = [{{ name = \"web\" }}, {{ name = \"job\" }}]\n{policy}\n\
             [group.target]\nkind = \"postgres\"\nendpoints = [{{ name = \"primary\", host = \"db.internal\" }}]\n\
             database = \"orders\"\nca_file = \"ca.pem\"\nowner = \"orders\"\ntwins = [\"orders_a\", \"orders_b\"]\n\
             admin = {{ user = \"handover_admin\", password_file = \"admin.password\" }}\n"
        );
        let text = match policy.contains("# remote") {
            true => text.replace("stores = [\"embedded\"]", "stores = [\"embedded\", \"bao\"]"),
            false => text,
        };
        Config::parse(&text, Path::new("/etc/handover")).map_err(|wrong| {
            let told: Vec<String> = wrong.iter().map(ToString::to_string).collect();
            told.join("\n")
        })
    }

    #[test]
    fn waves_arrive_in_their_order() {
        use handover_core::Picked;
        let text = "[[group.policy.wave]]\nconsumers = [\"web\"]\nsoak = \"10m\"\n\
                    [[group.policy.wave]]\npercent = 25\n[[group.policy.wave]]\ncount = 2";
        let config = parse(text).unwrap();
        let group = &config.groups[0];
        let waves = group.policy.policy(group.called()).waves;
        let kinds: Vec<&Picked> = waves.iter().map(|wave| &wave.members).collect();
        assert!(matches!(kinds[..], [Picked::Named(_), Picked::Percent(25), Picked::Count(2)]), "{kinds:?}");
        let soaks = waves.iter().map(|wave| wave.soak.as_secs());
        assert_eq!(soaks.collect::<Vec<_>>(), [600, 0, 0]);
    }

    #[test]
    fn what_nobody_can_mean_is_refused() {
        for (wave, words) in [
            ("soak = \"1m\"", "one of percent, count and consumers"),
            ("percent = 5\ncount = 1", "one of percent, count and consumers"),
            ("percent = 0", "percent is from 1 to 99"),
            ("percent = 100", "percent"),
            ("count = 0", "count is at least 1"),
            ("consumers = [\"nobody\"]", "consumer nobody is not declared"),
            ("consumers = [\"web\", \"web\"]", "somebody twice"),
            ("consumers = [\"web\"]\n[[group.policy.wave]]\nconsumers = [\"web\"]", "consumer web is in two waves"),
            ("percent = 60\n[[group.policy.wave]]\npercent = 40", "99 percent at most"),
            ("count = 1 # remote", "whoever reads a remote store"),
        ] {
            let told = parse(&format!("[[group.policy.wave]]\n{wave}")).err().unwrap_or_default();
            assert!(told.contains(words), "{wave}: {told}");
        }
        let many = "[[group.policy.wave]]\ncount = 1\n".repeat(11);
        assert!(parse(&many).err().unwrap_or_default().contains("at most 10"));
    }
}
