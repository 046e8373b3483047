//! What `[[group.check]]` looks like.

use handover_adapters::check::PACKS;

use super::shape::{Key, Shape, may, must};

const NAME: Key = must("name", Shape::Text("orders-read"), "The check's name within the group.");
const WHEN: Key = may(
    "when",
    Shape::List(&Shape::Choice(&["before_publish", "after_publish"])),
    "When it is made. Absent: before publishing and after.",
);
const TIMEOUT_MS: Key = may("timeout_ms", Shape::Number(u64::MAX, 10_000), "How long it may take, at most 300000.");
const HOST: Key = must("host", Shape::Text("db.internal"), "A DNS name or an address.");
const PORT: Key = must("port", Shape::Number(65_535, 5_432), "The port.");
const CA_FILE: Key = may("ca_file", Shape::Text("ca.pem"), "CA certificates of the server, PEM.");
const PRIVATE: Key =
    may("allow_private", Shape::Flag, "Whether the server may be on this machine or in a private network.");

const TARGET: &[Key] = &[NAME, WHEN, TIMEOUT_MS];

pub(super) const CHECK: &[(&str, &[Key])] = &[
    ("login", TARGET),
    ("permission_diff", TARGET),
    (
        "sql",
        &[
            NAME,
            WHEN,
            TIMEOUT_MS,
            must("statement", Shape::Text("SELECT count(*) >= 0 FROM orders"), "A statement that gives one value."),
            must("expected", Shape::Text("t"), "That value, as text."),
        ],
    ),
    (
        "http",
        &[
            NAME,
            WHEN,
            TIMEOUT_MS,
            may("pack", Shape::Choice(PACKS), "A provider: what is absent below is known of it."),
            may("url", Shape::Text("https://api.example.org/v1/me"), "Where. {field} stands for a published field."),
            may("method", Shape::Choice(&["GET", "HEAD", "POST"]), "How; POST without a body."),
            may(
                "headers",
                Shape::List(&Shape::Text("authorization: Bearer {value}")),
                "Headers; {value} stands for the credential.",
            ),
            may("status", Shape::List(&Shape::Number(599, 200)), "The statuses that pass. Absent: 200."),
            may(
                "failed_status",
                Shape::List(&Shape::Number(599, 401)),
                "The statuses by which the credential is known to be refused. Absent: 401 and 403.",
            ),
            may("pointer", Shape::Text("/ok"), "Where in the answer's JSON something must stand."),
            may("expected", Shape::Text("true"), "What must stand there, as text."),
            may("failed_pointer", Shape::Text("/error"), "Where it stands why something else is there."),
            may(
                "failed_values",
                Shape::List(&Shape::Text("invalid_auth")),
                "What there means that the credential is known to be refused.",
            ),
            CA_FILE,
            PRIVATE,
        ],
    ),
    ("tcp", &[NAME, WHEN, TIMEOUT_MS, HOST, PORT]),
    (
        "tls",
        &[
            NAME,
            WHEN,
            TIMEOUT_MS,
            HOST,
            PORT,
            may("server_name", Shape::Text("db.example.org"), "The certificate's name, if it is another than host."),
            must("ca_file", Shape::Text("ca.pem"), "CA certificates of the server, PEM."),
        ],
    ),
    (
        "dns",
        &[
            NAME,
            WHEN,
            TIMEOUT_MS,
            HOST,
            must("family", Shape::Choice(&["a", "aaaa"]), "The family of the addresses."),
            must("expected", Shape::List(&Shape::Text("10.0.0.5")), "All addresses of the family that it leads to."),
        ],
    ),
    (
        "jwks",
        &[
            NAME,
            WHEN,
            TIMEOUT_MS,
            must("url", Shape::Text("https://id.example.org/jwks.json"), "Where the key set is."),
            must("kid", Shape::Text("orders-{generation}"), "The key that must be in it."),
            CA_FILE,
            PRIVATE,
        ],
    ),
    (
        "metric",
        &[
            NAME,
            may(
                "when",
                Shape::List(&Shape::Choice(&["before_publish", "after_publish"])),
                "When it is made. Absent: after publishing.",
            ),
            TIMEOUT_MS,
            must("url", Shape::Text("https://prometheus.internal:9090"), "Where Prometheus is."),
            must(
                "query",
                Shape::Text("sum(increase(login_failures{generation=\"$generation\"}[5m])) or vector(0)"),
                "A query that gives one number.",
            ),
            may(
                "baseline",
                Shape::Text("sum(increase(login_failures[5m] offset 1h)) or vector(0)"),
                "A query that gives the number to compare with. Absent: 0.",
            ),
            may("baseline_percent", Shape::Number(u64::MAX, 100), "How many percent of the baseline are allowed."),
            may("above_max", Shape::Number(u64::MAX, 5), "How much is allowed beside that."),
            CA_FILE,
            PRIVATE,
        ],
    ),
    (
        "process",
        &[
            NAME,
            WHEN,
            TIMEOUT_MS,
            must("command", Shape::List(&Shape::Text("/usr/local/bin/look")), "The program and its arguments."),
        ],
    ),
];
