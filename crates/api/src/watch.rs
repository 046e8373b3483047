//! What a watch stream carries.
//!
//! A watch stream is a stream of server-sent events: `event: <kind>`, `id: <record position>`, `data: <JSON>`. It
//! begins with a snapshot, so that a client that was away needs no history: it compares publications and fetches what
//! is higher. Comment lines arrive every [`HEARTBEAT_S`] seconds; a client that hears nothing for twice that long
//! connects anew.

use serde::{Deserialize, Serialize};

use crate::status::Status;

/// Seconds between heartbeats.
pub const HEARTBEAT_S: u64 = 15;

/// The request header in which a client names the last event that it saw.
pub const LAST_EVENT_ID: &str = "last-event-id";

/// An event. It never carries a value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum WatchEvent {
    /// All groups that the stream covers: always the first event.
    Snapshot {
        /// What each publishes now.
        groups: Vec<Published>,
    },
    /// The position that the client named is unknown here (the state was restored): forget it. A snapshot follows.
    Reset,
    /// A pointer moved.
    Publication(Published),
    /// A rotation moved on.
    Phase {
        /// Which group.
        group: String,
        /// The generation that the rotation leads to.
        generation: u64,
        /// Where it stands now, as in [`crate::RotationView::phase`].
        phase: String,
        /// The same in six words.
        status: Status,
        /// Why nothing happens now, if it is held, as in [`crate::RotationView::hold`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hold: Option<String>,
    },
}

/// What a group publishes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Published {
    /// Which group.
    pub group: String,
    /// Under which number; 0: nothing yet.
    pub publication: u64,
}

impl WatchEvent {
    /// The event's name on the stream, the same word as `kind` in its data.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Snapshot { .. } => "snapshot",
            Self::Reset => "reset",
            Self::Publication(_) => "publication",
            Self::Phase { .. } => "phase",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_kind() {
        let published = || Published { group: "orders".to_owned(), publication: 3 };
        let all = [
            WatchEvent::Snapshot { groups: vec![published()] },
            WatchEvent::Reset,
            WatchEvent::Publication(published()),
            WatchEvent::Phase {
                group: "orders".to_owned(),
                generation: 2,
                phase: "drain".to_owned(),
                status: Status::InProgress,
                hold: None,
            },
        ];
        for event in all {
            let json = serde_json::to_value(&event).unwrap();
            assert_eq!(json["kind"], event.name());
            assert_eq!(serde_json::from_value::<WatchEvent>(json).unwrap(), event);
        }
    }
}
