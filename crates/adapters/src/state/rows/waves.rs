//! Waves as they are stored: with the plan who is in them, with the row which are open.

use std::collections::BTreeSet;
use std::time::Duration;

use handover_core::{ConsumerId, Opened, Picked, Wave};
use serde::{Deserialize, Serialize};

use super::Unreadable;
use super::rotation::StoredWaited;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredWave {
    members: StoredPicked,
    soak: Duration,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredPicked {
    Percent(u32),
    Count(u32),
    Named(BTreeSet<String>),
}

/// Rows from before there were waves say nothing of them, and so do those without any.
#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub(super) enum StoredOpened {
    #[default]
    All,
    Nobody,
    Wave {
        number: u32,
        cuts: Vec<Option<u64>>,
        soaked: StoredWaited,
    },
}

impl From<&Wave> for StoredWave {
    fn from(Wave { members, soak }: &Wave) -> Self {
        let members = match members {
            Picked::Percent(percent) => StoredPicked::Percent(*percent),
            Picked::Count(count) => StoredPicked::Count(*count),
            Picked::Named(names) => StoredPicked::Named(names.iter().map(ToString::to_string).collect()),
        };
        Self { members, soak: *soak }
    }
}

impl StoredWave {
    pub(super) fn into_core(self) -> Result<Wave, Unreadable> {
        let members = match self.members {
            StoredPicked::Percent(percent) => Picked::Percent(percent),
            StoredPicked::Count(count) => Picked::Count(count),
            StoredPicked::Named(names) => {
                Picked::Named(names.iter().map(|name| ConsumerId::parse(name)).collect::<Result<_, _>>()?)
            }
        };
        Ok(Wave { members, soak: self.soak })
    }
}

impl StoredOpened {
    pub(super) const fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }
}

impl From<&Opened> for StoredOpened {
    fn from(opened: &Opened) -> Self {
        match opened {
            Opened::All => Self::All,
            Opened::Nobody => Self::Nobody,
            Opened::Wave { number, cuts, soaked } => {
                Self::Wave { number: *number, cuts: cuts.clone(), soaked: (*soaked).into() }
            }
        }
    }
}

impl From<StoredOpened> for Opened {
    fn from(opened: StoredOpened) -> Self {
        match opened {
            StoredOpened::All => Self::All,
            StoredOpened::Nobody => Self::Nobody,
            StoredOpened::Wave { number, cuts, soaked } => Self::Wave { number, cuts, soaked: soaked.into() },
        }
    }
}
