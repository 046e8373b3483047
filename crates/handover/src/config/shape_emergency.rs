//! What the configuration of emergencies looks like.

use super::shape::{Key, Shape, may};

pub(super) const EMERGENCY: &[Key] = &[
    may("overlap_min", Shape::Duration("10s"), "How long both generations stay valid after all presenters moved."),
    may(
        "quiet_min",
        Shape::Duration("5s"),
        "How long the old generation must be seen unused where no presenter is declared.",
    ),
    may("ceiling", Shape::Duration("2m"), "How long presenters are waited for, where it was accepted that they break."),
    may(
        "terminate_sessions",
        Shape::Flag,
        "Whether open sessions of the old generation are ended once it is refused, also where nobody asks.",
    ),
    may(
        "approvals",
        Shape::Flag,
        "Whether the policy's approvals are asked for in an emergency. true unless it is said.",
    ),
];
