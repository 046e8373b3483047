//! What is wrong with a configuration's text, all of it at once.
//!
//! It never repeats a value: somebody may have put a password there.

use std::fmt;
use std::net::SocketAddr;

use handover_core::GroupId;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::duration::Span;
use super::shape::{KIND, Key, ROOT, Shape};
use crate::near::close;

/// Something that is wrong, and where.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Wrong {
    /// The line, from 1, if it is known.
    pub(crate) line: Option<usize>,
    /// What is wrong with it, and what would be right.
    pub(crate) words: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.words),
            None => f.write_str(&self.words),
        }
    }
}

/// Where something is wrong that the parser took.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum At {
    /// At a key of the outermost table.
    Key(&'static str),
    /// In the sink with this index.
    Sink(usize),
    /// In the remote store with this index.
    RemoteStore(usize),
    /// In the notifier with this index.
    Notify(usize),
    /// In the group with this index.
    Group(usize),
}

/// More than this is not told: a file of another kind has as many mistakes as lines.
const TOLD_MAX: usize = 20;

/// What the parser refused, in our words. `error` is what it said.
pub(super) fn look(text: &str, error: &toml::de::Error) -> Vec<Wrong> {
    let (root, grammar) = DeTable::parse_recoverable(text);
    let mut walk = Walk { text, found: grammar.iter().map(|error| of_parser(text, error)).collect() };
    if walk.found.is_empty() {
        walk.table(root.get_ref(), ROOT, root.span().start, "");
    }
    if walk.found.is_empty() {
        walk.found.push(of_parser(text, error));
    }
    bounded(walk.found)
}

/// In the order of lines, and not without end.
fn bounded(mut found: Vec<Wrong>) -> Vec<Wrong> {
    found.sort();
    found.dedup();
    let all = found.len();
    if all > TOLD_MAX {
        found.truncate(TOLD_MAX);
        found.push(Wrong { line: None, words: format!("and {} more", all - TOLD_MAX) });
    }
    found
}

/// The same with lines. The text is one that the parser takes.
pub(super) fn place(text: &str, wrong: Vec<(At, String)>) -> Vec<Wrong> {
    let root = DeTable::parse_recoverable(text).0;
    let item = |key: &str, index: usize| root.get_ref().get(key)?.get_ref().as_array()?.get(index).map(Spanned::span);
    let span = |at| match at {
        At::Key(key) => root.get_ref().get(key).map(Spanned::span),
        At::Sink(index) => item("sink", index),
        At::RemoteStore(index) => item("remote_store", index),
        At::Notify(index) => item("notify", index),
        At::Group(index) => item("group", index),
    };
    let line = |at| span(at).map(|span| line(text, span.start));
    bounded(wrong.into_iter().map(|(at, words)| Wrong { line: line(at), words }).collect())
}

/// The parser's message, with the line, but without the line's text and without quoted values.
fn of_parser(text: &str, error: &toml::de::Error) -> Wrong {
    let mut words = String::new();
    // A quotation mark that is missing is named, and is no value.
    for (index, part) in error.message().replace("`\"`", "a quotation mark").split('"').enumerate() {
        words.push_str(if index % 2 == 0 { part } else { "(a value)" });
    }
    Wrong { line: error.span().map(|span| line(text, span.start)), words: words.replace('\n', " ") }
}

fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

struct Walk<'a> {
    text: &'a str,
    found: Vec<Wrong>,
}

impl Walk<'_> {
    fn tell(&mut self, at: usize, words: String) {
        self.found.push(Wrong { line: Some(line(self.text, at)), words });
    }

    fn table(&mut self, table: &DeTable<'_>, keys: &[Key], at: usize, path: &str) {
        for (name, value) in table {
            match keys.iter().find(|key| key.name == name.get_ref().as_ref()) {
                Some(key) => self.value(value, &key.shape, &below(path, key.name)),
                None => self.unknown(name, keys, path),
            }
        }
        for key in keys.iter().filter(|key| key.needed && !table.contains_key(key.name)) {
            let place = if path.is_empty() { String::new() } else { format!("{path}: ") };
            self.tell(at, format!("{place}`{}` is missing, such as {} = {}", key.name, key.name, example(&key.shape)));
        }
    }

    fn unknown(&mut self, name: &Spanned<toml::de::DeString<'_>>, keys: &[Key], path: &str) {
        let (text, at) = (name.get_ref().as_ref(), name.span().start);
        let place = if path.is_empty() { String::new() } else { format!(" in {path}") };
        let known = || keys.iter().map(|key| key.name.to_owned());
        let help = match close(text, known()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => match place_of(text, ROOT, "") {
                Some(there) => format!("it belongs in {there}"),
                None => format!("known here: {}", known().collect::<Vec<_>>().join(", ")),
            },
        };
        self.tell(at, format!("{}{place}: {help}", shown(text)));
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, shape: &Shape, path: &str) {
        let at = value.span().start;
        match (shape, value.get_ref()) {
            (Shape::Table(keys), DeValue::Table(table)) => self.table(table, keys, at, path),
            (Shape::Kinds(kinds), DeValue::Table(table)) => self.kinds(table, kinds, at, path),
            (Shape::List(of), DeValue::Array(items)) => items.iter().for_each(|item| self.value(item, of, path)),
            (Shape::Pair(of), DeValue::Array(items)) if items.len() == 2 => {
                items.iter().for_each(|item| self.value(item, of, path));
            }
            (shape, value) => {
                if let Some(words) = mismatch(shape, value) {
                    self.tell(at, format!("{path} {words}"));
                }
            }
        }
    }

    fn kinds(&mut self, table: &DeTable<'_>, kinds: &[(&str, &[Key])], at: usize, path: &str) {
        let names: Vec<String> = kinds.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let wanted = names.join(" or ");
        let Some(kind) = table.get(KIND) else {
            return self.tell(at, format!("{path}: `{KIND}` is missing: {KIND} = {wanted}"));
        };
        let chosen = kind.get_ref().as_str();
        let Some((_, keys)) = kinds.iter().find(|(name, _)| Some(*name) == chosen) else {
            return self.tell(kind.span().start, format!("{path}: `{KIND}` must be {wanted}"));
        };
        for (name, value) in table {
            match keys.iter().find(|key| key.name == name.get_ref().as_ref()) {
                Some(key) => self.value(value, &key.shape, &below(path, key.name)),
                None if name.get_ref() == KIND => {}
                None => self.unknown(name, keys, path),
            }
        }
        for key in keys.iter().filter(|key| key.needed && !table.contains_key(key.name)) {
            self.tell(at, format!("{path}: `{}` is missing, such as {} = {}", key.name, key.name, example(&key.shape)));
        }
    }
}

/// Why a value is not what the shape wants; `None` if it is.
fn mismatch(shape: &Shape, value: &DeValue<'_>) -> Option<String> {
    let text = value.as_str();
    let fits = match shape {
        Shape::Text(_) => text.is_some(),
        Shape::Name(_) => match text.map(GroupId::parse) {
            Some(Ok(_)) => true,
            Some(Err(bad)) => return Some(format!("is no name: {bad}")),
            None => false,
        },
        Shape::Address(_) => text.is_some_and(|text| text.parse::<SocketAddr>().is_ok()),
        Shape::Duration(_) => text.is_some_and(|text| Span::parse(text).is_some()),
        Shape::Number(most, _) => value
            .as_integer()
            .and_then(|number| u64::from_str_radix(number.as_str(), number.radix()).ok())
            .is_some_and(|number| number <= *most),
        Shape::Flag => value.is_bool(),
        Shape::Choice(words) => text.is_some_and(|text| words.contains(&text)),
        Shape::List(_) | Shape::Pair(_) | Shape::Table(_) | Shape::Kinds(_) => false,
    };
    (!fits).then(|| format!("must be {}{}", wanted(shape), instead(shape, value)))
}

fn wanted(shape: &Shape) -> String {
    let such = |what: &str| format!("{what}, such as {}", example(shape));
    match shape {
        Shape::Text(_) => such("a text"),
        Shape::Name(_) => such("a name"),
        Shape::Address(_) => such("an address with a port"),
        Shape::Duration(_) => such("a duration: a whole number with a unit (ms, s, m, h, d)"),
        Shape::Number(u64::MAX, _) => such("a whole number"),
        Shape::Number(most, _) => such(&format!("a whole number up to {most}")),
        Shape::Flag => "true or false".to_owned(),
        Shape::Choice(words) => words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or "),
        Shape::List(_) => such("a list"),
        Shape::Pair(_) => such("a list of two"),
        Shape::Table(_) | Shape::Kinds(_) => such("a table"),
    }
}

/// What stands there, where its kind is what is wrong.
fn instead(shape: &Shape, value: &DeValue<'_>) -> String {
    let is = match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    let alike = match shape {
        Shape::Number(..) => value.is_integer(),
        Shape::Flag => value.is_bool(),
        Shape::List(_) | Shape::Pair(_) => value.is_array(),
        Shape::Table(_) | Shape::Kinds(_) => value.is_table(),
        Shape::Text(_) | Shape::Name(_) | Shape::Address(_) | Shape::Duration(_) | Shape::Choice(_) => value.is_str(),
    };
    if alike { String::new() } else { format!(", not {is}") }
}

/// An example as it is written in the file.
fn example(shape: &Shape) -> String {
    let needed = |keys: &[Key]| {
        let pairs = keys.iter().filter(|key| key.needed);
        pairs.map(|key| format!("{} = {}", key.name, example(&key.shape))).collect::<Vec<_>>().join(", ")
    };
    match shape {
        Shape::Text(text) | Shape::Name(text) | Shape::Address(text) | Shape::Duration(text) => format!("\"{text}\""),
        Shape::Number(_, number) => number.to_string(),
        Shape::Flag => "true".to_owned(),
        Shape::Choice(words) => format!("\"{}\"", words.first().copied().unwrap_or_default()),
        Shape::List(of) => format!("[{}]", example(of)),
        Shape::Pair(of) => format!("[{}, {}]", example(of), example(of).replace("_a", "_b")),
        Shape::Table(keys) => format!("{{ {} }}", needed(keys)),
        Shape::Kinds(kinds) => {
            let (name, keys) = kinds.first().copied().unwrap_or_default();
            format!("{{ {KIND} = \"{name}\", {} }}", needed(keys))
        }
    }
}

/// Where else a key is known: a table that was left too early is the usual mistake.
fn place_of(name: &str, keys: &[Key], path: &str) -> Option<String> {
    keys.iter().find_map(|key| {
        let mut shape = &key.shape;
        while let Shape::List(of) | Shape::Pair(of) = shape {
            shape = of;
        }
        let tables: Vec<&[Key]> = match shape {
            Shape::Table(keys) => vec![keys],
            Shape::Kinds(kinds) => kinds.iter().map(|(_, keys)| *keys).collect(),
            Shape::Text(_)
            | Shape::Name(_)
            | Shape::Address(_)
            | Shape::Duration(_)
            | Shape::Number(..)
            | Shape::Flag
            | Shape::Choice(_)
            | Shape::List(_)
            | Shape::Pair(_) => Vec::new(),
        };
        let inside = below(path, key.name);
        tables.iter().find_map(|keys| {
            if keys.iter().any(|key| key.name == name) {
                return Some(format!("[{}]", inside.trim_matches('`')));
            }
            place_of(name, keys, &inside)
        })
    })
}

/// The dotted path of a key, as it is shown.
fn below(path: &str, name: &str) -> String {
    let path = path.trim_matches('`');
    if path.is_empty() { format!("`{name}`") } else { format!("`{path}.{name}`") }
}

/// A key is shown only if it looks like one.
fn shown(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !name.is_empty() && name.len() <= 40 && name.chars().all(plain) {
        format!("unknown key `{name}`")
    } else {
        "an unknown key".to_owned()
    }
}
