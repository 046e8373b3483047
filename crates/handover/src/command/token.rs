//! `handover token`: works on the token file itself; a running server sees the change at once.

use std::collections::BTreeSet;

use handover_api::Bootstrapped;
use handover_core::{ConsumerId, GroupId};
use handover_secret::Secret;
use jiff::{Timestamp, ToSpan as _};
use serde::Serialize;

use crate::cli::{ConfigFile, Output, Token, TokenCreate, TokenRevoke};
use crate::config::Config;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::tokens::{self, EVERY_GROUP, Entry, Grant, Proof, San, Terms, Verb, Which};

pub(crate) fn run(arguments: &Token, printer: &Printer) -> Result<(), Failure> {
    match arguments {
        Token::Create(arguments) => create(arguments, printer),
        Token::List(arguments) => list(arguments, printer),
        Token::Revoke(arguments) => revoke(arguments, printer),
    }
}

/// What is shown of an entry: all but what its holder is known by, if that is a token.
#[derive(Serialize)]
struct Listed {
    id: String,
    identity: String,
    role: Grant,
    #[serde(skip_serializing_if = "Option::is_none")]
    verbs: Option<BTreeSet<Verb>>,
    groups: BTreeSet<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_san: Option<String>,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    expired: bool,
}

#[derive(Serialize)]
struct List {
    tokens: Vec<Listed>,
}

impl Listed {
    fn of(entry: Entry, now: Timestamp) -> Self {
        Self {
            expired: entry.is_over(now),
            certificate_san: match entry.proof {
                Proof::Token(_) => None,
                Proof::Certificate(san) => Some(san.to_string()),
            },
            id: entry.id,
            identity: entry.identity.to_string(),
            role: entry.grant,
            verbs: entry.verbs,
            groups: entry.groups,
            created_at: entry.created_at,
            expires_at: entry.expires_at,
        }
    }

    /// Identifier, identity, role, what it covers, how long.
    fn cells(&self) -> [String; 5] {
        let verbs = self.verbs.as_ref().map(|verbs| {
            let words: Vec<&str> = verbs.iter().map(|verb| verb.word()).collect();
            format!("({})", words.join(" "))
        });
        let groups: Vec<&str> = self.groups.iter().map(String::as_str).collect();
        let until = match self.expires_at {
            Some(end) if self.expired => format!("expired {}", date(end)),
            Some(end) => format!("until {}", date(end)),
            None => "no expiry".to_owned(),
        };
        let by = self.certificate_san.as_deref().map(|san| format!(", by {san}")).unwrap_or_default();
        [
            self.id.clone(),
            self.identity.clone(),
            format!("{}{}", self.role, verbs.unwrap_or_default()),
            groups.join(" "),
            format!("since {}, {until}{by}", date(self.created_at)),
        ]
    }
}

fn create(arguments: &TokenCreate, printer: &Printer) -> Result<(), Failure> {
    let config = Config::load(&arguments.config.config)?;
    let terms = terms(arguments, &config)?;
    let Some(name) = &arguments.certificate_san else {
        let token = tokens::create(&config.tokens, &terms)?;
        return show(Bootstrapped { identity: terms.identity.to_string(), token }, printer);
    };
    let san = San::parse(name).map_err(|why| Failure::error(format!("--certificate-san: {why}")))?;
    let words = format!("Whoever presents a client certificate with the name {san} is {} now.", terms.identity);
    let id = tokens::admit(&config.tokens, &terms, san)?;
    printer.data(&Admitted { id }, |admitted| admitted.id.clone())?;
    printer.say(&words);
    Ok(())
}

/// Prints a token, this once.
pub(super) fn show(made: Bootstrapped, printer: &Printer) -> Result<(), Failure> {
    let shown = match printer.output() {
        Output::Text => made.token,
        Output::Json => Secret::from_bytes(
            serde_json::to_vec(&made).map_err(|_| Failure::error("the token could not be written as JSON"))?,
        ),
    };
    printer.secret(&shown)?;
    printer.say("The token is on standard output, this once. Keep it in a file with mode 0600.");
    Ok(())
}

#[derive(Serialize)]
struct Admitted {
    id: String,
}

fn terms(arguments: &TokenCreate, config: &Config) -> Result<Terms, Failure> {
    let identity = identity(&arguments.identity)?;
    let grant = arguments.role;
    let mut groups = BTreeSet::new();
    for group in &arguments.groups {
        let every = group == EVERY_GROUP;
        if every && grant == Grant::Consumer {
            return Err(Failure::error("a consumer's token names its groups").hint("repeat --group for each of them"));
        }
        if !every {
            check(config, group)?;
        }
        groups.insert(group.clone());
    }
    let verbs: BTreeSet<Verb> = arguments.verbs.iter().copied().collect();
    if !verbs.is_empty() && grant != Grant::Operator {
        return Err(Failure::error(format!("--verb narrows an operator's token, and this is a {grant}'s"))
            .hint("leave --verb out, or say --role operator"));
    }
    if let Some(verb) = verbs.iter().find(|verb| !grant.includes(**verb)) {
        return Err(
            Failure::error(format!("`{verb}` is not for an operator")).hint("say --role approver, without --verb")
        );
    }
    let expires_at = match arguments.expires_in {
        Some(span) => {
            let ms = i64::try_from(span.0.as_millis()).ok().filter(|ms| *ms > 0);
            let end = ms.and_then(|ms| Timestamp::now().checked_add(ms.milliseconds()).ok());
            Some(end.ok_or_else(|| Failure::error("--expires-in is longer than time can be told, or nothing at all"))?)
        }
        None => None,
    };
    Ok(Terms { identity, grant, verbs: (!verbs.is_empty()).then_some(verbs), groups, expires_at })
}

fn list(arguments: &ConfigFile, printer: &Printer) -> Result<(), Failure> {
    let config = Config::load(&arguments.config)?;
    let now = Timestamp::now();
    let tokens = tokens::list(&config.tokens)?.into_iter().map(|entry| Listed::of(entry, now)).collect();
    printer.data(&List { tokens }, |list| text(&list.tokens))
}

fn revoke(arguments: &TokenRevoke, printer: &Printer) -> Result<(), Failure> {
    let config = Config::load(&arguments.config.config)?;
    let which = match (&arguments.id, &arguments.identity) {
        (Some(id), _) => Which::Id(id.clone()),
        (None, Some(name)) => Which::Identity(identity(name)?),
        (None, None) => return Err(Failure::error("name what is to be revoked").hint("an ID, or --identity NAME")),
    };
    let gone = tokens::revoke(&config.tokens, &which)?;
    if gone.is_empty() {
        return Err(Failure::refused("there is no such token; nothing was changed")
            .hint("`handover token list` shows those that there are"));
    }
    let now = Timestamp::now();
    let tokens = gone.into_iter().map(|entry| Listed::of(entry, now)).collect();
    printer.data(&List { tokens }, |list| text(&list.tokens))?;
    printer.say("Revoked. A running server refuses it from now on.");
    Ok(())
}

fn text(tokens: &[Listed]) -> String {
    if tokens.is_empty() {
        return "no token".to_owned();
    }
    let rows: Vec<[String; 5]> = tokens.iter().map(Listed::cells).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths = [width(0), width(1), width(2), width(3)];
    let line = |[id, identity, role, groups, time]: &[String; 5]| {
        let [a, b, c, d] = widths;
        format!("{id:<a$}  {identity:<b$}  {role:<c$}  {groups:<d$}  {time}")
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// To the second: more tells a person nothing.
fn date(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

pub(super) fn identity(text: &str) -> Result<ConsumerId, Failure> {
    ConsumerId::parse(text).map_err(|bad| Failure::error(format!("this is no identity: {bad}")))
}

fn check(config: &Config, group: &str) -> Result<(), Failure> {
    let name = GroupId::parse(group).map_err(|bad| Failure::error(format!("this is no group's name: {bad}")))?;
    if config.groups.iter().any(|group| group.name == name) {
        return Ok(());
    }
    Err(Failure::refused(format!("the configuration has no group {name}")).hint("describe the group first"))
}
