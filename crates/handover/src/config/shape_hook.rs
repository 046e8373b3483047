//! What `[[hook]]` looks like.

use super::shape::{Key, Shape, U32_MAX, may, must};

pub(super) const HOOK: &[Key] = &[
    must("name", Shape::Text("siem"), "The name that the sender sends with each message."),
    must("key", Shape::List(&Shape::Table(KEY)), "The keys that it signs with."),
    must("groups", Shape::List(&Shape::Text("pay-*")), "Which groups it may name: names, or their beginnings with *."),
    may("labels", Shape::List(&Shape::Text("env=prod")), "Only groups that have all of these labels."),
    may("ceiling", Shape::Number(u64::MAX, 10), "How many groups one message may take."),
    may("tolerance", Shape::Duration("5m"), "How old a message may be, and how far ahead its clock."),
    may(
        "accept_breakage",
        Shape::Flag,
        "Whether presenters that do not load the new value within the policy's ceiling may break.",
    ),
    may("end_sessions", Shape::Flag, "Whether open sessions of what is compromised are ended."),
];

const KEY: &[Key] = &[
    must("version", Shape::Number(U32_MAX, 2), "Which one: a higher number is later."),
    must("file", Shape::Text("hook-2.key"), "A file with the key, mode 0600."),
    may("until", Shape::Text("2026-01-31T08:00:00Z"), "Until when it counts; needed for all but the latest."),
];
