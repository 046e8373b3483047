//! Campaigns: rotations of groups that depend on one another, in order.

use serde::{Deserialize, Serialize};

use crate::status::ObstacleView;

/// Which groups rotate, and how.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct CampaignRequest {
    /// These groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Every group that the token covers.
    pub all: bool,
    /// Also those that depend on the chosen ones, over however many others.
    pub with_dependants: bool,
    /// Which end of a dependency rotates first.
    pub first: First,
    /// How many rotations may be on their way at once; 4 unless it is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallel_max: Option<u32>,
    /// From when on a group counts as through, so that those after it begin.
    pub until: Until,
    /// What happens when a rotation fails.
    pub on_failure: OnFailure,
    /// Why; audited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$variant_doc])* $variant),+
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word on the wire.
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }
    };
}

words! {
    /// Which end of a dependency rotates first.
    #[derive(Default)]
    First {
        /// What others depend on.
        #[default]
        Dependencies = "dependencies",
        /// Those that depend on others.
        Dependants = "dependants",
    }
}
words! {
    /// From when on a group counts as through.
    #[derive(Default)]
    Until {
        /// All presenters have the new generation; the old one is still valid.
        #[default]
        Adopted = "adopted",
        /// The rotation has ended.
        Ended = "ended",
    }
}
words! {
    /// What happens when a rotation fails.
    #[derive(Default)]
    OnFailure {
        /// Nothing else is started until a person decides.
        #[default]
        Hold = "hold",
        /// What can be undone is undone.
        Undo = "undo",
        /// What does not depend on it goes on.
        GoOn = "go_on",
    }
}
words! {
    /// What a campaign does as a whole.
    CampaignState {
        /// It starts what may start.
        Running = "running",
        /// It starts nothing.
        Held = "held",
        /// What can be undone is undone.
        Undoing = "undoing",
        /// It ends with what is on its way.
        Cancelling = "cancelling",
        /// Every group has its new generation.
        Success = "success",
        /// It has ended, and not every group came to where it was to come.
        Partly = "partly",
        /// Nothing that it started is in force.
        Undone = "undone",
        /// A person ended it early.
        Cancelled = "cancelled",
    }
}
words! {
    /// Where a group stands in a campaign.
    LegState {
        /// It has not begun.
        Waiting = "waiting",
        /// Its rotation is asked for.
        Starting = "starting",
        /// Its rotation is on its way.
        Started = "started",
        /// All presenters have the new generation.
        Through = "through",
        /// Its rotation has ended with success.
        Succeeded = "succeeded",
        /// Its rotation goes back, and the campaign did not ask for it.
        Returning = "returning",
        /// It has no new generation.
        Failed = "failed",
        /// It was left out.
        Skipped = "skipped",
        /// Its rotation is asked to go back.
        Undoing = "undoing",
        /// Its rotation goes back.
        GoingBack = "going_back",
        /// The generation before is in force again.
        Undone = "undone",
        /// It was to be undone, and stays.
        Kept = "kept",
    }
}

impl CampaignState {
    /// Whether nothing follows any more.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Success | Self::Partly | Self::Undone | Self::Cancelled => true,
            Self::Running | Self::Held | Self::Undoing | Self::Cancelling => false,
        }
    }
}

/// What a campaign would do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CampaignPlan {
    /// Its groups: those of one layer may begin together, after all of the layer before.
    pub layers: Vec<Vec<LegPlan>>,
    /// How many rotations may be on their way at once.
    pub parallel_max: u32,
    /// From when on a group counts as through.
    pub until: Until,
    /// What happens when a rotation fails.
    pub on_failure: OnFailure,
    /// Groups that are in another campaign that has not ended, with its number: this one would be refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken: Vec<TakenBy>,
}

/// A group that is in a campaign that has not ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TakenBy {
    /// Which group.
    pub group: String,
    /// Which campaign.
    pub campaign: u64,
}

/// What a campaign would do with a group.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LegPlan {
    /// Which group.
    pub group: String,
    /// Groups of the campaign that must be through before it begins.
    pub after: Vec<String>,
    /// The generation that its rotation would lead to.
    pub generation: u64,
    /// What stands in the way of that rotation now. A campaign starts it all the same when its turn comes, and finds out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub obstacles: Vec<ObstacleView>,
}

/// A campaign that began.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CampaignBegun {
    /// Its number.
    pub campaign: u64,
}

/// Campaigns, the newest first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Campaigns {
    /// Those whose groups the token covers.
    pub campaigns: Vec<CampaignView>,
    /// `before` of the request for the next page; none: this was the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// Where a campaign stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CampaignView {
    /// Its number.
    pub campaign: u64,
    /// What it does as a whole.
    pub state: CampaignState,
    /// The same for people.
    pub text: String,
    /// Who asked for it.
    pub asked_by: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When: RFC 3339, UTC.
    pub asked_at: String,
    /// How many rotations may be on their way at once.
    pub parallel_max: u32,
    /// From when on a group counts as through.
    pub until: Until,
    /// What happens when a rotation fails.
    pub on_failure: OnFailure,
    /// Its groups: those of one layer may begin together, after all of the layer before.
    pub layers: Vec<Vec<LegView>>,
    /// What can be done now: `hold`, `resume`, `undo`, `cancel`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<String>,
}

/// Where a group stands in a campaign.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LegView {
    /// Which group.
    pub group: String,
    /// Groups of the campaign that must be through before it begins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// Where it stands.
    pub state: LegState,
    /// The same for people.
    pub text: String,
    /// The generation that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Why it failed: `rolled_back`, `abandoned`, `superseded`, `refused`, `gone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setback: Option<String>,
}

/// Lets a held campaign go on.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct CampaignResume {
    /// Leave what failed, and all that comes after it, instead of trying it again. From then on the same goes for what fails
    /// later.
    pub skip_failed: bool,
    /// Why; audited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_on_the_wire() {
        fn all<T: Copy + Serialize>(all: &[T], word: fn(T) -> &'static str) {
            for one in all {
                assert_eq!(serde_json::to_value(one).unwrap(), word(*one));
            }
        }
        all(First::ALL, First::word);
        all(Until::ALL, Until::word);
        all(OnFailure::ALL, OnFailure::word);
        all(CampaignState::ALL, CampaignState::word);
        all(LegState::ALL, LegState::word);
    }

    #[test]
    fn an_empty_request_has_the_defaults() {
        let request: CampaignRequest = serde_json::from_str("{}").unwrap();
        assert_eq!(request, CampaignRequest::default());
        assert_eq!((request.first, request.until), (First::Dependencies, Until::Adopted));
        assert!(serde_json::from_str::<CampaignRequest>(r#"{"group":"a"}"#).is_err());
    }
}
