//! Who asks for a rotation.

use handover_core::port::Entry;
use handover_core::{CampaignId, ConsumerId, Generation, Policy, Row, Timestamp, retry_at};

use crate::asker::Asker;

/// Who asks for a rotation, as far as approvals go.
#[derive(Clone, Copy)]
pub(crate) enum Requester {
    /// Whoever gives the order.
    Person,
    /// Nobody.
    Schedule,
    /// Whoever asked for the one that failed.
    Retry,
    /// Whoever asked for the campaign.
    Campaign {
        /// Which campaign.
        campaign: CampaignId,
        /// The one generation that the rotation may lead to.
        generation: Generation,
    },
}

impl Requester {
    /// The row of a start, with the person who asked for it.
    pub(crate) fn named(self, before: &Row, row: Row, asker: Asker<'_>) -> Row {
        match self {
            Self::Person | Self::Campaign { .. } => match ConsumerId::parse(asker.actor) {
                Ok(who) => row.asked_by(who),
                Err(_) => row,
            },
            Self::Schedule => row,
            Self::Retry => row.as_retry_of(before),
        }
    }

    /// Whether what failed is not to be tried again, or not yet.
    pub(crate) fn is_early(self, before: &Row, policy: &Policy, now: Timestamp) -> bool {
        match self {
            Self::Person | Self::Schedule | Self::Campaign { .. } => false,
            Self::Retry => retry_at(before, policy).is_none_or(|at| at > now),
        }
    }

    /// Whether a rotation to this generation is what is asked for.
    pub(crate) fn means(self, next: Generation) -> bool {
        match self {
            Self::Person | Self::Schedule | Self::Retry => true,
            Self::Campaign { generation, .. } => generation == next,
        }
    }

    /// Says in the lines of a start which campaign it belongs to.
    pub(crate) fn marked(self, mut entries: Vec<Entry>) -> Vec<Entry> {
        match self {
            Self::Person | Self::Schedule | Self::Retry => {}
            Self::Campaign { campaign, .. } => {
                for entry in &mut entries {
                    entry.fields.push(("campaign", campaign.to_string()));
                }
            }
        }
        entries
    }
}
