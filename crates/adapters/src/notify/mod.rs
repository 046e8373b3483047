//! Notifiers: sinks that are told some of the history, in words for people or for a program that acts on it.
//!
//! A notifier has a cursor of its own, like any sink: what is not delivered waits in the state, and is delivered at least
//! once, each time under the same id. It is told from the moment on when it was configured, not what was before.

mod email;
mod event;
mod post;
mod process;
mod signed;
mod slack;
mod webhook;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use handover_core::port::{Answer, Record, Sink};
use handover_core::{Fault, FaultKind, GroupId};
use handover_secret::Secret;
use serde::Deserialize;

pub use event::{Event, EventKind};
pub use signed::Verifier;

/// What the cursor of a notifier begins with, before its name: a sink may bear the same name.
const CURSOR: &str = "notify.";

/// How long one message may take, until the receiver has taken it.
const SEND_MAX: std::time::Duration = std::time::Duration::from_secs(10);

/// Every notifier there is. The tests of all of them match on it without a wildcard, so that one without does not compile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotifyKind {
    /// Signed JSON over HTTP.
    Webhook,
    /// A Slack-compatible incoming webhook.
    Slack,
    /// E-mail over SMTP.
    Email,
    /// A program.
    Process,
}

impl NotifyKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Webhook, Self::Slack, Self::Email, Self::Process];
}

/// A notifier as configured: `kind`, and that kind's options.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum NotifyConfig {
    /// Signed JSON over HTTP.
    Webhook(webhook::Config),
    /// A Slack-compatible incoming webhook.
    Slack(slack::Config),
    /// E-mail over SMTP.
    Email(email::Config),
    /// A program.
    Process(process::Config),
}

/// What all kinds have.
struct Common<'a> {
    name: &'a str,
    events: Option<&'a [EventKind]>,
    groups: &'a [String],
}

impl NotifyConfig {
    /// Which kind it is.
    pub const fn kind(&self) -> NotifyKind {
        match self {
            Self::Webhook(_) => NotifyKind::Webhook,
            Self::Slack(_) => NotifyKind::Slack,
            Self::Email(_) => NotifyKind::Email,
            Self::Process(_) => NotifyKind::Process,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.common().name
    }

    /// The key of its cursor.
    pub fn cursor_name(&self) -> String {
        format!("{CURSOR}{}", self.name())
    }

    fn common(&self) -> Common<'_> {
        let (name, events, groups) = match self {
            Self::Webhook(config) => (&config.name, &config.events, &config.groups),
            Self::Slack(config) => (&config.name, &config.events, &config.groups),
            Self::Email(config) => (&config.name, &config.events, &config.groups),
            Self::Process(config) => (&config.name, &config.events, &config.groups),
        };
        Common { name, events: events.as_deref(), groups }
    }

    /// The file with the CA to trust, if it names one.
    pub fn ca_file(&self) -> Option<&Path> {
        match self {
            Self::Webhook(config) => config.ca_file.as_deref(),
            Self::Slack(config) => config.ca_file.as_deref(),
            Self::Email(config) => config.ca_file.as_deref(),
            Self::Process(_) => None,
        }
    }

    /// The files with secrets that it names, in the order in which [`NotifyConfig::build`] takes their contents.
    pub fn secret_files(&self) -> Vec<&Path> {
        match self {
            Self::Webhook(config) => [Some(&config.key_file), config.previous_key_file.as_ref()]
                .into_iter()
                .flatten()
                .map(PathBuf::as_path)
                .collect(),
            Self::Slack(config) => vec![&config.url_file],
            Self::Email(config) => config.password_file.as_deref().into_iter().collect(),
            Self::Process(_) => Vec::new(),
        }
    }

    /// Has relative paths start at `directory`.
    pub fn resolve(&mut self, directory: &Path) {
        let resolve = |path: &mut PathBuf| *path = directory.join(&*path);
        match self {
            Self::Webhook(config) => {
                resolve(&mut config.key_file);
                config.previous_key_file.iter_mut().chain(&mut config.ca_file).for_each(resolve);
            }
            Self::Slack(config) => {
                resolve(&mut config.url_file);
                config.ca_file.iter_mut().for_each(resolve);
            }
            Self::Email(config) => config.password_file.iter_mut().chain(&mut config.ca_file).for_each(resolve),
            Self::Process(_) => {}
        }
    }

    /// Looks for what cannot be meant, without opening anything.
    ///
    /// # Errors
    /// `Misconfigured`, in words for whoever wrote it.
    pub fn check(&self) -> Result<(), Fault> {
        let Common { name, groups, .. } = self.common();
        if let Err(bad) = GroupId::parse(name).and_then(|_| GroupId::parse(&self.cursor_name())) {
            return Err(Fault::untouched(FaultKind::Misconfigured, format!("the name of a notifier: {bad}")));
        }
        for pattern in groups {
            let stem = pattern.strip_suffix('*').unwrap_or(pattern);
            if !(stem.is_empty() && pattern == "*") && GroupId::parse(stem).is_err() {
                return Err(misconfigured(name, "groups are names, or the beginnings of names with `*` after them"));
            }
        }
        match self {
            Self::Webhook(config) => config.check(),
            Self::Slack(_) => Ok(()),
            Self::Email(config) => config.check(),
            Self::Process(config) => config.check(),
        }
    }

    /// Makes the notifier, and contacts nobody. `ca_pem` and `secrets` are the contents of the files.
    ///
    /// # Errors
    /// As [`NotifyConfig::check`]; `Misconfigured` where a file does not hold what it should.
    pub fn build(self, ca_pem: Option<&[u8]>, secrets: Vec<Secret>) -> Result<Arc<Notifier>, Fault> {
        self.check()?;
        let (cursor_name, Common { events, groups, .. }) = (self.cursor_name(), self.common());
        let filter = Filter {
            events: events.map_or_else(|| EventKind::ALARMING.to_vec(), <[_]>::to_vec),
            groups: groups.to_vec(),
        };
        let mut secrets = secrets.into_iter();
        let name = self.name().to_owned();
        let missing = || misconfigured(&name, "a file that it names was not read");
        let channel = match self {
            Self::Webhook(config) => {
                let keys = (secrets.next().ok_or_else(missing)?, secrets.next());
                Channel::Webhook(webhook::Webhook::new(&config, ca_pem, &keys.0, keys.1.as_ref())?)
            }
            Self::Slack(config) => {
                Channel::Slack(slack::Slack::new(&config, ca_pem, &secrets.next().ok_or_else(missing)?)?)
            }
            Self::Email(config) => Channel::Email(Box::new(email::Email::new(config, ca_pem, secrets.next())?)),
            Self::Process(config) => Channel::Process(process::Process::new(config)),
        };
        Ok(Arc::new(Notifier { cursor_name, filter, channel, told: AtomicU64::new(0) }))
    }
}

/// Tells some of the history to a receiver.
pub struct Notifier {
    cursor_name: String,
    filter: Filter,
    channel: Channel,
    /// Up to where this process told it. Within a batch that fails in its middle, nothing is told twice because of that.
    told: AtomicU64,
}

impl Notifier {
    /// Tells one event, whatever is chosen.
    ///
    /// # Errors
    /// As for any connection.
    pub async fn tell(&self, event: &Event) -> Result<(), Fault> {
        let sending = async {
            match &self.channel {
                Channel::Webhook(webhook) => webhook.send(event).await,
                Channel::Slack(slack) => slack.send(event).await,
                Channel::Email(email) => email.send(event).await,
                Channel::Process(process) => process.send(event).await,
            }
        };
        tokio::time::timeout(SEND_MAX, sending).await.unwrap_or_else(|_| {
            let words = format!(
                "{}: the receiver did not take the message within {} s; it is sent again",
                self.cursor_name,
                SEND_MAX.as_secs()
            );
            Err(Fault::unknown(FaultKind::TimedOut, words))
        })
    }
}

impl Sink for Notifier {
    fn name(&self) -> &str {
        &self.cursor_name
    }

    fn deliver<'a>(&'a self, records: &'a [Record]) -> Answer<'a, ()> {
        Box::pin(async move {
            for record in records {
                if record.position <= self.told.load(Ordering::SeqCst) {
                    continue;
                }
                if let Some(event) = Event::of(record).filter(|event| self.filter.wants(event)) {
                    self.tell(&event).await?;
                }
                self.told.store(record.position, Ordering::SeqCst);
            }
            Ok(())
        })
    }
}

enum Channel {
    Webhook(webhook::Webhook),
    Slack(slack::Slack),
    Email(Box<email::Email>),
    Process(process::Process),
}

/// Which events are told.
struct Filter {
    events: Vec<EventKind>,
    /// Names, or the beginnings of names with `*`; empty: all groups.
    groups: Vec<String>,
}

impl Filter {
    fn wants(&self, event: &Event) -> bool {
        let fits = |pattern: &String| match pattern.strip_suffix('*') {
            Some(stem) => event.group().starts_with(stem),
            None => event.group() == pattern,
        };
        self.events.contains(&event.kind()) && (self.groups.is_empty() || self.groups.iter().any(fits))
    }
}

fn misconfigured(name: &str, why: &str) -> Fault {
    Fault::untouched(FaultKind::Misconfigured, format!("notify {name}: {why}"))
}

#[cfg(test)]
mod tests {
    use handover_core::Timestamp;

    use super::*;

    fn event(group: &str, body: &str) -> Event {
        Event::of(&Record {
            position: 1,
            group: GroupId::parse(group).unwrap(),
            at: Timestamp(0),
            body: body.to_owned(),
            hash: "ab".repeat(32),
        })
        .unwrap()
    }

    #[test]
    fn only_what_was_chosen_is_told() {
        let ended = |outcome: &str| {
            format!("{{\"event\":\"ended\",\"actor\":\"engine\",\"fields\":{{\"outcome\":\"{outcome}\"}}}}")
        };
        let filter =
            Filter { events: EventKind::ALARMING.to_vec(), groups: vec!["orders".to_owned(), "pay-*".to_owned()] };
        assert!(filter.wants(&event("orders", &ended("rolled_back"))));
        assert!(filter.wants(&event("pay-out", &ended("abandoned"))));
        assert!(!filter.wants(&event("orders", &ended("success"))), "a success alarms nobody");
        assert!(!filter.wants(&event("orders-2", &ended("rolled_back"))));
        let all = Filter { events: vec![EventKind::Done], groups: Vec::new() };
        assert!(all.wants(&event("other", &ended("success"))));
    }
}
