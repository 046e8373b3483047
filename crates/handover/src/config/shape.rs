//! What a configuration looks like: each key with its kind and an example.
//!
//! The parser stops at its first error. Where it stopped, this is walked to say all that is wrong, each with its line,
//! and it is what the JSON Schema is made from. A test holds it against what the parser takes.

/// What stands behind a key.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Any text, such as this one.
    Text(&'static str),
    /// The name of a group, a sink or a consumer, such as this one.
    Name(&'static str),
    /// An address and a port, such as this one.
    Address(&'static str),
    /// A duration, such as this one.
    Duration(&'static str),
    /// A whole number from 0 to the first, such as the second.
    Number(u64, u64),
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Any number of these.
    List(&'static Shape),
    /// Exactly two of these.
    Pair(&'static Shape),
    /// A table with these keys.
    Table(&'static [Key]),
    /// A table whose `kind` says which further keys it has.
    Kinds(&'static [(&'static str, &'static [Key])]),
}

/// A key of a table.
#[derive(Debug)]
pub(crate) struct Key {
    /// Its name.
    pub(crate) name: &'static str,
    /// What stands behind it.
    pub(crate) shape: Shape,
    /// Whether it must be there.
    pub(crate) needed: bool,
    /// What it is for.
    pub(crate) about: &'static str,
}

/// The key that chooses among [`Shape::Kinds`].
pub(crate) const KIND: &str = "kind";

const TELEMETRY: &[Key] = &[
    may("otlp_endpoint", Shape::Text("http://127.0.0.1:4318"), "The receiver of OTLP over HTTP."),
    may("otlp_ca_file", Shape::Text("ca.pem"), "CA certificates, PEM, that an https receiver's must chain to."),
];

/// The whole file.
pub(crate) const ROOT: &[Key] = &[
    may("listen", Shape::Address("127.0.0.1:8300"), "Address and port to listen on."),
    may("tls", Shape::Table(TLS), "TLS on that port. Needed on any other address than loopback."),
    may(
        "metrics_listen",
        Shape::Address("127.0.0.1:9187"),
        "Address and port on loopback where metrics need no token.",
    ),
    may("leave_after", Shape::Duration("5s"), "How long /v1/ready says no before connections are refused at an end."),
    may("telemetry", Shape::Table(TELEMETRY), "Where traces go."),
    may("state", Shape::Text("state.db"), "The state: rows, sealed candidates, history."),
    may("store", Shape::Text("store.db"), "The embedded store: published values, sealed."),
    may("master_key", Shape::Text("master.key"), "The master key, mode 0600."),
    may("tokens", Shape::Text("tokens.json"), "The tokens of consumers and operators, as hashes."),
    may("audit_file", Shape::Text("audit.jsonl"), "A file to which the audit records are appended as well."),
    may("checkpoint_every", Shape::Duration("1m"), "How long after a change the history gets a signed checkpoint."),
    may("drift_every", Shape::Duration("1m"), "How often remote stores are looked at while nothing rotates."),
    may(
        "login_every",
        Shape::Duration("15m"),
        "How often it is tried whether a target still accepts what is in force, while nothing rotates; 0s: never.",
    ),
    may("alerts", Shape::Table(ALERTS), "When the server alerts."),
    may(
        "scheduled_max",
        Shape::Number(u64::MAX, 16),
        "How many rotations may be live for the schedule to start another one; held ones do not count.",
    ),
    may("sink", Shape::List(&Shape::Kinds(SINKS)), "Where the audit records are delivered besides."),
    may("remote_store", Shape::List(&Shape::Kinds(REMOTE_STORES)), "Stores of others in which values are published."),
    may("notify", Shape::List(&Shape::Kinds(super::shape_notify::NOTIFY)), "Who is told what happens."),
    may("hook", Shape::List(&Shape::Table(super::shape_hook::HOOK)), "Who may order an emergency by a signed message."),
    may("group", Shape::List(&Shape::Table(GROUP)), "What rotates together."),
];

const ALERTS: &[Key] = &[
    may("propagate_max", Shape::Duration("30m"), "How long a rotation may wait for its consumers."),
    may("unknown_max", Shape::Duration("15m"), "How long it may be unknown whether an act took place."),
    may("approval_max", Shape::Duration("4h"), "How long a rotation may wait for an approval."),
];

const TLS: &[Key] = &[
    must("certificate_file", Shape::Text("tls.pem"), "The server's certificate chain, PEM."),
    must("key_file", Shape::Text("tls.key"), "Its private key, PEM, mode 0600."),
    may("client_ca_file", Shape::Text("clients-ca.pem"), "The CA that clients' certificates must chain to, PEM."),
    may("client_auth", Shape::Choice(&["optional", "required"]), "Whether a client must have a certificate."),
];

const GROUP: &[Key] = &[
    must("name", Shape::Name("orders-db"), "The group's name: 1 to 63 of a-z 0-9 - _ ."),
    may("policy", Shape::Table(POLICY), "How the group rotates."),
    may("schedule", Shape::Table(SCHEDULE), "When the group is rotated without anybody asking, and when that may be."),
    must("target", Shape::Kinds(TARGETS), "What accepts the credential."),
    may("stores", Shape::List(&Shape::Name("embedded")), "Where values are published: `embedded`, and remote stores."),
    may("consumers", Shape::List(&Shape::Table(CONSUMER)), "Who presents the credential. The list counts as complete."),
    may(
        "check",
        Shape::List(&Shape::Kinds(super::shape_check::CHECK)),
        "What is asked of the credential beside the target's own verification.",
    ),
    may("generate", Shape::Table(GENERATE), "How values are made."),
    may(
        "audit_reads",
        Shape::Choice(&["open", "closed"]),
        "What happens when a value is fetched and the record of it cannot be written.",
    ),
    may(
        "depends_on",
        Shape::List(&Shape::Name("orders-admin")),
        "Groups whose rotation comes before this one's in a campaign.",
    ),
    may("owner", Shape::Text("payments"), "Who answers for it: a name for reports and notifications."),
    may("labels", Shape::List(&Shape::Text("env=prod")), "By what the group is selected: `key=value`."),
    may("age_max", Shape::Duration("90d"), "The oldest that what is in force may become."),
];

const SCHEDULE: &[Key] = &[
    may("every", Shape::Duration("90d"), "So long after the last rotation started. \"0\": people start."),
    may(
        "cron",
        Shape::Text("30 2 * * sun"),
        "Instead of every: minute, hour, day of the month, month, day of the week.",
    ),
    may("zone", Shape::Text("Europe/Berlin"), "The time zone of cron, windows and blackout, by its IANA name."),
    may(
        "windows",
        Shape::List(&Shape::Text("sat,sun 02:00-05:00")),
        "When rotations may start, and old generations may be refused. Absent: at any time.",
    ),
    may("blackout", Shape::List(&Shape::Text("2026-12-20..2027-01-05")), "Dates on which they may not, both included."),
    may("jitter", Shape::Duration("10m"), "How much later each start is at the most, by chance."),
    may("spread", Shape::Duration("6h"), "Over how long groups that are due at one time are spread."),
    may(
        "missed",
        Shape::Choice(&["run_once", "skip"]),
        "Whether what was missed starts once as soon as it may, or is left out when it is over an hour late.",
    ),
];

const CONSUMER: &[Key] = &[
    must("name", Shape::Name("orders-api"), "The name that the consumer's token is made for."),
    may("role", Shape::Choice(&["presenter", "verifier"]), "Whether it presents or verifies the credential."),
];

const GENERATE: &[Key] = &[
    may(
        "kind",
        Shape::Choice(&["random", "uuid", "hex", "passphrase", "process"]),
        "What is made. Each kind takes its own keys.",
    ),
    may("length", Shape::Number(u64::MAX, 40), "random, hex: length in characters."),
    may(
        "alphabet",
        Shape::Text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"),
        "random: characters to draw from.",
    ),
    may(
        "required",
        Shape::List(&Shape::Choice(&["lower", "upper", "digit", "symbol"])),
        "random: classes of which at least one character must occur.",
    ),
    may(
        "first",
        Shape::List(&Shape::Choice(&["lower", "upper", "digit", "symbol"])),
        "random: classes of which the first character must be one.",
    ),
    may("words", Shape::Number(u64::MAX, 8), "passphrase: how many words of the EFF's long list."),
    may("separator", Shape::Text("-"), "passphrase: what stands between words: - . _ or ~."),
    may(
        "command",
        Shape::List(&Shape::Text("/usr/local/bin/make-a-value")),
        "process: a program by its whole path, and its arguments; what it prints is the value.",
    ),
];

const POLICY: &[Key] = &[
    may(
        "strategy",
        Shape::Choice(&["immediate", "staged", "dual_write", "blue_green"]),
        "How a credential is handed over. Absent: what target and stores allow.",
    ),
    may(
        "accept_outage",
        Shape::Flag,
        "Whether consumers may fail until they have loaded the new value. immediate needs it, and staged with one slot.",
    ),
    may(
        "passes_min",
        Shape::Number(U32_MAX, 3),
        "Rounds of verification that must pass in a row. 0, only with immediate: none is made.",
    ),
    may("quiet_min", Shape::Duration("1m"), "How long the old generation must be seen unused."),
    may("overlap_min", Shape::Duration("1h"), "How long both generations stay valid after all presenters moved."),
    may(
        "brake_for",
        Shape::Duration("5m"),
        "How long the old generation is refused, reversibly, before it is forgotten.",
    ),
    may("poll", Shape::Duration("5s"), "How often is looked while waiting."),
    may("reach_min", Shape::Choice(&["loaded", "used"]), "How far consumers must get."),
    may("auto_rollback", Shape::Flag, "Whether a failed verification is rolled back without asking."),
    may("candidates_max", Shape::Number(U32_MAX, 3), "How many candidates the target may reject."),
    may(
        "max_retries",
        Shape::Number(10, 3),
        "How often a rotation that failed verification or a check is tried once more.",
    ),
    may(
        "retry_after",
        Shape::Duration("1m"),
        "How long after its end, the first time; each wait is twice the one before.",
    ),
    may(
        "max_old_lifetime",
        Shape::Duration("7d"),
        "How long the old generation may stay valid once every store publishes its successor; longer is alerted.",
    ),
    may(
        "fetch_to_load_max",
        Shape::Duration("30s"),
        "The longest way from fetch to load of consumers that nobody declared.",
    ),
    may("deadlines", Shape::Table(DEADLINES), "Deadlines of phases, and what happens then."),
    may("approvals", Shape::Table(APPROVALS), "Who has to approve before a rotation goes on."),
    may("emergency", Shape::Table(super::shape_emergency::EMERGENCY), "What is different in an emergency."),
    may("wave", Shape::List(&Shape::Table(WAVE)), "Who may read the new value before others, in order."),
];

const WAVE: &[Key] = &[
    may("percent", Shape::Number(99, 5), "This share of the consumers, picked by hash and rounded up."),
    may("count", Shape::Number(U32_MAX, 1), "So many of the consumers, picked by hash."),
    may("consumers", Shape::List(&Shape::Name("web-1")), "These. One of percent, count and consumers is there."),
    may("soak", Shape::Duration("10m"), "How long all has to be well with them before the next wave may read it."),
];

const APPROVALS: &[Key] = &[
    may("start", Shape::Table(APPROVAL), "Before anything is minted."),
    may("disable", Shape::Table(APPROVAL), "Before the old generation is refused."),
    may("destroy", Shape::Table(APPROVAL), "Before the old generation is forgotten, for good."),
];

const APPROVAL: &[Key] = &[
    may("quorum", Shape::Number(U32_MAX, 1), "How many people. Who asked for the rotation is not one of them."),
    may("expires", Shape::Duration("24h"), "How long an approval counts after it was given."),
    may(
        "approvers",
        Shape::List(&Shape::Name("anna")),
        "Who may, by the identity of their tokens. Absent: every approver whose token covers the group.",
    ),
];

const DEADLINES: &[Key] = &[
    may("apply", Shape::Table(DEADLINE), "The deadline of Apply."),
    may("verify", Shape::Table(DEADLINE), "The deadline of Verify."),
    may("publish", Shape::Table(DEADLINE), "The deadline of Publish."),
    may("propagate", Shape::Table(DEADLINE), "The deadline of Propagate."),
    may("drain", Shape::Table(DEADLINE), "The deadline of Drain."),
    may("disable", Shape::Table(DEADLINE), "The deadline of Disable."),
    may("rollback", Shape::Table(DEADLINE), "The deadline of the way back."),
];

const DEADLINE: &[Key] = &[
    must("after", Shape::Duration("30m"), "Observed time in the phase."),
    must(
        "then",
        Shape::Choice(&["hold", "rollback", "terminate_sessions", "request_force"]),
        "What happens then; terminate_sessions in drain only.",
    ),
];

const TARGETS: &[(&str, &[Key])] = &[("postgres", POSTGRES), ("redis", REDIS), ("none", &[])];

const POSTGRES: &[Key] = &[
    must(
        "endpoints",
        Shape::List(&Shape::Table(ENDPOINT)),
        "Where the cluster is reached. Changes are made at the first; uses are counted at all of them.",
    ),
    must("database", Shape::Text("orders"), "The database to log in to."),
    must("admin", Shape::Table(ADMIN), "The user that Handover logs in as."),
    must("ca_file", Shape::Text("db-ca.pem"), "The certificates to trust, PEM."),
    must("owner", Shape::Text("orders"), "The role that owns the objects and never logs in."),
    may("twins", Shape::Pair(&Shape::Text("orders_a")), "The two users that consumers log in as."),
    may(
        "versioned",
        Shape::Text("orders_v"),
        "Instead of twins: each generation has a user of its own, whose name is this and a number.",
    ),
    may("connect_timeout_ms", Shape::Number(u64::MAX, 5_000), "How long a login may take, TLS included."),
    may(
        "statement_timeout_ms",
        Shape::Number(u64::MAX, 10_000),
        "How long one statement, a wait for a lock, and an idle moment inside a transaction may take.",
    ),
];

const REDIS: &[Key] = &[
    must(
        "endpoints",
        Shape::List(&Shape::Table(REDIS_ENDPOINT)),
        "Every node: users are not replicated. Consumers are told the first.",
    ),
    must("admin", Shape::Table(ADMIN), "The user that Handover logs in as."),
    must("ca_file", Shape::Text("cache-ca.pem"), "The certificates to trust, PEM."),
    must("twins", Shape::Pair(&Shape::Text("orders_a")), "The two users that consumers log in as."),
    may("connect_timeout_ms", Shape::Number(u64::MAX, 5_000), "How long a login may take, TLS included."),
    may("command_timeout_ms", Shape::Number(u64::MAX, 10_000), "How long one command may take."),
];

const REDIS_ENDPOINT: &[Key] = &[
    must("name", Shape::Text("first"), "A name for messages."),
    must("host", Shape::Text("cache.internal"), "A DNS name or an address, as it stands in the server's certificate."),
    may("port", Shape::Number(65_535, 6_379), "The port, where TLS is spoken."),
];

const ENDPOINT: &[Key] = &[
    must("name", Shape::Text("primary"), "A name for messages."),
    must("host", Shape::Text("db.internal"), "A DNS name or an address, as it stands in the server's certificate."),
    may("port", Shape::Number(65_535, 5_432), "The port."),
    may("required", Shape::Flag, "Whether a candidate must be let in here before it is published."),
    may(
        "kind",
        Shape::Choice(&["primary", "replica", "pooler"]),
        "What answers there. Absent: the first is the primary, every other one a replica.",
    ),
    may(
        "channel_binding",
        Shape::Choice(&["require", "prefer"]),
        "Whether a login must be bound to the TLS channel. A pooler alone may do without.",
    ),
];

const ADMIN: &[Key] = &[
    must("user", Shape::Text("handover_admin"), "Its name."),
    must("password_file", Shape::Text("handover_admin.password"), "The file that holds its password, mode 0600."),
];

const REMOTE_STORES: &[(&str, &[Key])] = &[(
    "vault",
    &[
        must("name", Shape::Name("bao"), "The store's name, by which groups name it."),
        must("url", Shape::Text("https://bao.internal:8200"), "Scheme, host and port; http only on loopback."),
        may("namespace", Shape::Text("team"), "The namespace that the engine and the login are in."),
        may("mount", Shape::Text("secret"), "Where the KV version 2 engine is mounted."),
        may("path", Shape::Text("handover/{group}"), "Where in it a group's values are; `{group}` is its name."),
        may("value_field", Shape::Text("password"), "The field that holds the value."),
        may("ca_file", Shape::Text("bao-ca.pem"), "CA certificates of the server, PEM. For https."),
        must("auth", Shape::Kinds(AUTH), "How Handover logs in."),
        may(
            "retired",
            Shape::Choice(&["destroy", "delete"]),
            "What becomes of versions of retired generations; what is deleted can be undeleted there.",
        ),
    ],
)];

const AUTH: &[(&str, &[Key])] = &[
    (
        "approle",
        &[
            may("mount", Shape::Text("approle"), "Where the method is mounted."),
            must("role_id", Shape::Text("handover"), "The role's id."),
            must("secret_id_file", Shape::Text("bao.secret"), "The file that holds its secret id, mode 0600."),
        ],
    ),
    (
        "jwt",
        &[
            may("mount", Shape::Text("jwt"), "Where the method is mounted; `kubernetes` is one too."),
            must("role", Shape::Text("handover"), "The role."),
            must("jwt_file", Shape::Text("token"), "The file that holds the signed token."),
        ],
    ),
    ("token", &[must("token_file", Shape::Text("bao.token"), "The file that holds the token, mode 0600.")]),
];

const SINKS: &[(&str, &[Key])] = &[
    (
        "file",
        &[
            must("name", Shape::Name("copy"), "The sink's name."),
            must("path", Shape::Text("copy.jsonl"), "The file; made with mode 0600 if it is not there."),
        ],
    ),
    (
        "syslog",
        &[
            must("name", Shape::Name("siem"), "The sink's name."),
            must("address", Shape::Text("siem.internal:6514"), "`host:port`, or the path of a socket."),
            may("transport", Shape::Choice(&["tls", "tcp", "udp", "unix"]), "How to get there."),
            may("ca_file", Shape::Text("siem-ca.pem"), "CA certificates of the receiver, PEM. For tls."),
            may("server_name", Shape::Text("siem.internal"), "The name in the receiver's certificate."),
            may("confirm", Shape::Choice(&["closed", "sent"]), "When a batch counts as delivered, over tls and tcp."),
            may("facility", Shape::Number(255, 13), "The facility, 0 to 23."),
            may("host_name", Shape::Text("controller"), "The host's name in the header."),
            may("app_name", Shape::Text("handover"), "The program's name in the header."),
        ],
    ),
    (
        "http",
        &[
            must("name", Shape::Name("collector"), "The sink's name."),
            must("url", Shape::Text("https://siem.internal/ingest"), "Where to POST."),
            may("format", Shape::Choice(&["lines", "splunk", "elastic"]), "What the receiver understands."),
            may("ca_file", Shape::Text("siem-ca.pem"), "CA certificates of the receiver, PEM. For https."),
            may("token_file", Shape::Text("siem.token"), "A file with the token to present."),
            may("token_scheme", Shape::Text("Bearer"), "The scheme of the token, if it is not the format's usual one."),
        ],
    ),
];

/// The largest number of 32 bits.
pub(super) const U32_MAX: u64 = 4_294_967_295;

pub(super) const fn must(name: &'static str, shape: Shape, about: &'static str) -> Key {
    Key { name, shape, needed: true, about }
}

pub(super) const fn may(name: &'static str, shape: Shape, about: &'static str) -> Key {
    Key { name, shape, needed: false, about }
}

#[cfg(test)]
mod tests {
    use toml::Value;

    use super::*;
    use crate::config::Config;

    /// A value with every key.
    fn sample(shape: &Shape, kind: usize) -> Value {
        match shape {
            Shape::Text(text) | Shape::Name(text) | Shape::Address(text) | Shape::Duration(text) => {
                Value::String((*text).to_owned())
            }
            Shape::Number(_, number) => Value::Integer(i64::try_from(*number).unwrap()),
            Shape::Flag => Value::Boolean(true),
            Shape::Choice(words) => Value::String(words[0].to_owned()),
            Shape::List(of) => Value::Array(vec![sample(of, kind)]),
            Shape::Pair(of) => Value::Array(vec![sample(of, kind), sample(of, kind)]),
            Shape::Table(keys) => Value::Table(table(keys, kind)),
            Shape::Kinds(kinds) => {
                let (name, keys) = kinds[kind.min(kinds.len() - 1)];
                let mut table = table(keys, kind);
                table.insert(KIND.to_owned(), Value::String(name.to_owned()));
                Value::Table(table)
            }
        }
    }

    fn table(keys: &[Key], kind: usize) -> toml::Table {
        keys.iter().map(|key| (key.name.to_owned(), sample(&key.shape, kind))).collect()
    }

    /// Puts a key that nobody knows into each table in turn, and calls `there` with the whole and the table's keys.
    fn visit(whole: &Value, path: &mut Vec<String>, shape: &Shape, kind: usize, there: &mut dyn FnMut(Value, &[Key])) {
        let keys = match shape {
            Shape::List(of) | Shape::Pair(of) => {
                path.push("0".to_owned());
                visit(whole, path, of, kind, there);
                path.pop();
                return;
            }
            Shape::Table(keys) => *keys,
            Shape::Kinds(kinds) => kinds[kind.min(kinds.len() - 1)].1,
            Shape::Text(_)
            | Shape::Name(_)
            | Shape::Address(_)
            | Shape::Duration(_)
            | Shape::Number(..)
            | Shape::Flag
            | Shape::Choice(_) => return,
        };
        let mut changed = whole.clone();
        let mut at = &mut changed;
        for step in path.iter() {
            at = match step.parse::<usize>() {
                Ok(index) => at.get_mut(index).unwrap(),
                Err(_) => at.get_mut(step.as_str()).unwrap(),
            };
        }
        at.as_table_mut().unwrap().insert("zzz".to_owned(), Value::Boolean(true));
        there(changed, keys);
        for key in keys {
            path.push(key.name.to_owned());
            visit(whole, path, &key.shape, kind, there);
            path.pop();
        }
    }

    #[test]
    fn the_parser_takes_what_is_described_here_and_nothing_else() {
        let mut tables = 0;
        for kind in 0..SINKS.len().max(crate::config::shape_notify::NOTIFY.len()) {
            let whole = sample(&Shape::Table(ROOT), kind);
            Config::deserialize_value(whole.clone()).unwrap();
            visit(&whole, &mut Vec::new(), &Shape::Table(ROOT), kind, &mut |changed, keys| {
                tables += 1;
                let error = Config::deserialize_value(changed).unwrap_err();
                let known: Vec<&str> = error.split('`').skip(1).step_by(2).collect();
                assert_eq!(known.first(), Some(&"zzz"), "{error}");
                let mut known: Vec<&str> = known[1..].to_vec();
                let mut described: Vec<&str> = keys.iter().map(|key| key.name).collect();
                known.sort_unstable();
                described.sort_unstable();
                assert_eq!(known, described, "config/shape.rs describes other keys than the parser takes");
            });
        }
        assert!(tables > 20, "{tables} tables were visited");
    }

    #[test]
    fn what_must_be_there_must_be_there() {
        fn needed(shape: &Shape, path: &str, found: &mut Vec<String>) {
            match shape {
                Shape::List(of) | Shape::Pair(of) => needed(of, path, found),
                Shape::Table(keys) => keys.iter().for_each(|key| each(key, path, found)),
                Shape::Kinds(kinds) => kinds[0].1.iter().for_each(|key| each(key, path, found)),
                Shape::Text(_)
                | Shape::Name(_)
                | Shape::Address(_)
                | Shape::Duration(_)
                | Shape::Number(..)
                | Shape::Flag
                | Shape::Choice(_) => {}
            }
        }
        fn each(key: &Key, path: &str, found: &mut Vec<String>) {
            let path = format!("{path}/{}", key.name);
            if key.needed {
                found.push(path.clone());
            }
            needed(&key.shape, &path, found);
        }
        let mut paths = Vec::new();
        needed(&Shape::Table(ROOT), "", &mut paths);
        for path in paths {
            let mut whole = sample(&Shape::Table(ROOT), 0);
            let steps: Vec<&str> = path.split('/').skip(1).collect();
            let (last, before) = steps.split_last().unwrap();
            let mut at = &mut whole;
            for step in before {
                at = at.get_mut(*step).unwrap();
                if let Value::Array(items) = at {
                    at = &mut items[0];
                }
            }
            at.as_table_mut().unwrap().remove(*last);
            let error = Config::deserialize_value(whole).unwrap_err();
            assert!(error.contains(&format!("missing field `{last}`")), "{path}: {error}");
        }
    }
}
