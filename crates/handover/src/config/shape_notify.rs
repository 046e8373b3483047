//! What `[[notify]]` looks like.

use handover_adapters::notify::EventKind;

use super::shape::{Key, Shape, may, must};

const NAME: Key = must("name", Shape::Name("ops"), "The notifier's name.");
const CA_FILE: Key = may("ca_file", Shape::Text("ca.pem"), "CA certificates of the receiver, PEM.");
const PRIVATE: Key =
    may("allow_private", Shape::Flag, "Whether the receiver may be on this machine or in a private network.");
const EVENTS: Key = may(
    "events",
    Shape::List(&Shape::Choice(EventKind::WORDS)),
    "What is told. Absent: what somebody may have to act on.",
);
const GROUPS: Key = may(
    "groups",
    Shape::List(&Shape::Text("pay-*")),
    "Of which groups: names, or their beginnings with *. Absent: all.",
);

pub(super) const NOTIFY: &[(&str, &[Key])] = &[
    (
        "webhook",
        &[
            NAME,
            must("url", Shape::Text("https://hooks.example.org/handover"), "Where to POST."),
            must("key_file", Shape::Text("hook.key"), "A file with the key that signs."),
            may("previous_key_file", Shape::Text("hook-old.key"), "The key before it: both sign."),
            CA_FILE,
            PRIVATE,
            EVENTS,
            GROUPS,
        ],
    ),
    (
        "slack",
        &[
            NAME,
            must("url_file", Shape::Text("slack.url"), "A file with the URL of the incoming webhook."),
            CA_FILE,
            PRIVATE,
            EVENTS,
            GROUPS,
        ],
    ),
    (
        "email",
        &[
            NAME,
            must("host", Shape::Text("mail.example.org"), "The SMTP server, as in its certificate."),
            may("port", Shape::Number(65_535, 587), "Its port."),
            may("security", Shape::Choice(&["starttls", "tls"]), "How the connection is encrypted."),
            CA_FILE,
            may("user", Shape::Text("handover"), "Who logs in."),
            may("password_file", Shape::Text("mail.password"), "A file with that user's password."),
            must("from", Shape::Text("handover@example.org"), "The sender."),
            must("to", Shape::List(&Shape::Text("ops@example.org")), "The recipients."),
            PRIVATE,
            EVENTS,
            GROUPS,
        ],
    ),
    (
        "process",
        &[
            NAME,
            must(
                "command",
                Shape::List(&Shape::Text("/usr/local/bin/page-somebody")),
                "The program and its arguments.",
            ),
            EVENTS,
            GROUPS,
        ],
    ),
];
