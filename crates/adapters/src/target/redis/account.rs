//! A user as a node has it.

use handover_core::{Fault, FaultKind};
use redis::Value;

use super::Redis;
use super::connect::Session;
use super::label::{Entry, Label, Owner};

/// What a node says of a user.
pub(super) struct Account {
    /// Whether it lets the user in: it is on, and has a password or needs none.
    pub(super) accepts: bool,
    /// Whether it needs no password.
    pub(super) is_open: bool,
    /// The hashes of its passwords.
    pub(super) hashes: Vec<String>,
    /// Our label, and claims: their text, to be taken out by the next change.
    pub(super) ours: Vec<String>,
    /// The highest label.
    pub(super) label: Option<Label>,
    /// Whether an entry is another group's.
    pub(super) is_foreign: bool,
    /// What it may do.
    pub(super) rules: Rules,
}

/// What a user may do, as the server shows it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Rules {
    /// Of commands, in order: the later one wins.
    pub(super) commands: Vec<String>,
    /// Patterns of keys.
    pub(super) keys: Vec<String>,
    /// Patterns of channels.
    pub(super) channels: Vec<String>,
    /// Further sets of rules, of which any may allow a command.
    pub(super) selectors: Vec<String>,
}

/// Reads a user; `None` if there is none.
pub(super) async fn read(session: &mut Session, user: &str, owner: Owner) -> Result<Option<Account>, Fault> {
    let answer = session.look(&["ACL", "GETUSER", user], &format!("reading user {user}")).await;
    let answer = answer.map_err(|mut fault| {
        if fault.kind == FaultKind::NotPermitted {
            fault.detail = format!(
                "our user may not read users at endpoint {}; give it the rights on the connector's page",
                session.endpoint()
            );
        }
        fault
    })?;
    if answer == Value::Nil {
        return Ok(None);
    }
    let unreadable = |what: &str| {
        let detail = format!("endpoint {} answered with no {what} of user {user}", session.endpoint());
        Fault::untouched(FaultKind::Unsupported, detail)
    };
    let fields = pairs(&answer).ok_or_else(|| unreadable("description"))?;
    let field = |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, value)| *value);
    let flags = field("flags").and_then(texts).ok_or_else(|| unreadable("flags"))?;
    let entries = field("passwords").and_then(texts).ok_or_else(|| unreadable("passwords"))?;
    let words = |name: &str| -> Result<Vec<String>, Fault> {
        let text = field(name).and_then(text).ok_or_else(|| unreadable(name))?;
        Ok(text.split_ascii_whitespace().map(str::to_owned).collect())
    };
    let rules = Rules {
        commands: words("commands")?,
        keys: words("keys")?,
        channels: words("channels")?,
        selectors: field("selectors").map(selectors).unwrap_or_default(),
    };
    let has = |flag: &str| flags.iter().any(|found| found == flag);
    let mut account = Account {
        accepts: has("on"),
        is_open: has("nopass"),
        hashes: Vec::new(),
        ours: Vec::new(),
        label: None,
        is_foreign: false,
        rules,
    };
    for entry in entries {
        let found = Entry::parse(&entry).map_err(|_| corrupt(user, session.endpoint()))?;
        match found {
            Entry::Hash => account.hashes.push(entry),
            Entry::Claim(theirs) => {
                account.is_foreign |= theirs != owner;
                account.ours.push(entry);
            }
            Entry::Label(label) => {
                account.is_foreign |= label.owner != owner;
                if account.label.is_none_or(|known| known.mark < label.mark) {
                    account.label = Some(label);
                }
                account.ours.push(entry);
            }
        }
    }
    account.accepts &= account.is_open || !account.hashes.is_empty();
    Ok(Some(account))
}

impl Redis {
    /// A twin as a node has it.
    pub(super) async fn read(&self, session: &mut Session, user: &str) -> Result<Option<Account>, Fault> {
        read(session, user, self.owner).await
    }
}

fn corrupt(user: &str, endpoint: &str) -> Fault {
    let detail = format!(
        "user {user} at endpoint {endpoint} has an entry among its passwords that begins as our labels do (686e646f) and \
         cannot be read: somebody edited it, or a newer version wrote it"
    );
    Fault::untouched(FaultKind::Corrupt, detail)
}

/// A reply of names and values, in either version of the protocol.
pub(super) fn pairs(value: &Value) -> Option<Vec<(String, &Value)>> {
    if let Value::Map(items) = value {
        return items.iter().map(|(name, value)| Some((text(name)?, value))).collect();
    }
    let Value::Array(items) = value else { return None };
    items.chunks_exact(2).map(|pair| Some((text(&pair[0])?, &pair[1]))).collect()
}

/// A reply that is text.
pub(super) fn text(value: &Value) -> Option<String> {
    if let Value::BulkString(bytes) = value {
        return String::from_utf8(bytes.clone()).ok();
    }
    if matches!(value, Value::Okay) {
        return Some("OK".to_owned());
    }
    let (Value::SimpleString(text) | Value::VerbatimString { text, .. }) = value else { return None };
    Some(text.clone())
}

fn texts(value: &Value) -> Option<Vec<String>> {
    let (Value::Array(items) | Value::Set(items)) = value else { return None };
    items.iter().map(text).collect()
}

/// Each selector as one line.
fn selectors(value: &Value) -> Vec<String> {
    let Value::Array(all) = value else { return Vec::new() };
    let line = |selector: &Value| {
        let fields = pairs(selector).unwrap_or_default();
        let words = fields.iter().map(|(name, value)| format!("{name}={}", text(value).unwrap_or_default()));
        words.collect::<Vec<_>>().join(" ")
    };
    all.iter().map(line).collect()
}
