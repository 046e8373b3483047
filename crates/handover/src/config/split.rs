//! Reading a file of many groups.
//!
//! The parser builds a tree of the whole text, many times as large as what is kept of it, and what is freed of that stays
//! with the process. So the text is cut in front of its groups and read in pieces. Only success comes of that: whatever
//! does not fit is left to the parser of the whole, which says what is wrong and where.

use std::sync::Arc;

use handover_adapters::target::Common;
use serde::{Deserialize, Deserializer};

use super::{Config, Group};

/// How many groups are read at once.
const PIECE_GROUPS: usize = 64;

/// How a group begins, on a line of its own.
const GROUP: &str = "[[group]]";

/// Reads a text whose groups are tables below `[[group]]`; `None` if it is not usable, or nobody can say where to cut it.
pub(super) fn parse(text: &str) -> Option<Config> {
    let Cut { head, groups } = cut(text)?;
    let mut config: Config = toml::from_str(&head).ok()?;
    if groups.is_empty() {
        return Some(config);
    }
    // An array of values and tables by the same name exclude each other.
    if !config.groups.is_empty() {
        return None;
    }
    config.groups.reserve_exact(groups.len());
    let mut kept = Kept::default();
    for piece in groups.chunks(PIECE_GROUPS) {
        let Piece { group } = toml::from_str(&piece.concat()).ok()?;
        if group.len() != piece.len() {
            return None;
        }
        config.groups.extend(group.into_iter().map(|group| Arc::new(kept.sharing(group))));
    }
    Some(config)
}

/// What a text says beside its groups; `None` if nobody can say where to cut it.
pub(super) fn head(text: &str) -> Option<String> {
    cut(text).map(|cut| cut.head)
}

/// A value that several may hold.
pub(super) fn shared<'de, D, T>(deserializer: D) -> Result<Arc<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Arc::new)
}

/// The same for one that may be absent.
pub(super) fn shared_if_any<'de, D, T>(deserializer: D) -> Result<Option<Arc<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(|found| found.map(Arc::new))
}

/// The same for each of a list.
pub(super) fn each_shared<'de, D, T>(deserializer: D) -> Result<Vec<Arc<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Vec::<T>::deserialize(deserializer)?.into_iter().map(Arc::new).collect())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Piece {
    group: Vec<Group>,
}

/// A text that was cut: what is of no group, and each group.
struct Cut<'a> {
    head: String,
    groups: Vec<&'a str>,
}

/// Cuts in front of lines that begin a table. A line in a text of several lines may look like one: then it is not cut.
fn cut(text: &str) -> Option<Cut<'_>> {
    if text.contains("\"\"\"") || text.contains("'''") {
        return None;
    }
    let (mut head, mut groups) = (String::new(), Vec::new());
    let (mut begin, mut in_group, mut at) = (0, false, 0);
    let mut end_piece = |begin: usize, end: usize, in_group: bool| {
        let piece = &text[begin..end];
        if in_group {
            groups.push(piece);
        } else {
            head.push_str(piece);
        }
    };
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_start();
        let is_group = trimmed.strip_prefix(GROUP).is_some_and(|rest| rest.trim_start().is_empty());
        let is_below = trimmed.starts_with("[group.") || trimmed.starts_with("[[group.");
        if is_group || (trimmed.starts_with('[') && !is_below) {
            end_piece(begin, at, in_group);
            (begin, in_group) = (at, is_group);
        }
        at += line.len();
    }
    end_piece(begin, at, in_group);
    // `group = …` in front of tables by this name is a mistake that the parser of the whole has words for.
    let names_groups =
        head.lines().any(|line| line.trim_start_matches([' ', '\t', '[', '"', '\'']).starts_with("group"));
    if names_groups && !groups.is_empty() { None } else { Some(Cut { head, groups }) }
}

/// What the groups before had: the next one mostly has the same, and then shares it.
#[derive(Default)]
struct Kept {
    before: Option<Group>,
    common: Common,
}

impl Kept {
    fn sharing(&mut self, mut group: Group) -> Group {
        if let Some(before) = &self.before {
            share(&before.policy, &mut group.policy);
            share(&before.stores, &mut group.stores);
            share(&before.consumers, &mut group.consumers);
            share(&before.generate, &mut group.generate);
            share(&before.checks, &mut group.checks);
            share(&before.labels, &mut group.labels);
            if let (Some(before), Some(now)) = (&before.schedule, &mut group.schedule) {
                share(before, now);
            }
        }
        group.target.share(&mut self.common);
        self.before = Some(group.clone());
        group
    }
}

fn share<T: PartialEq>(before: &Arc<T>, now: &mut Arc<T>) {
    if before == now {
        *now = Arc::clone(before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "listen = \"127.0.0.1:1\"\n";

    fn group(name: &str) -> String {
        format!(
            "[[group]] \nname = \"{name}\"\nconsumers = [\n  {{ name = \"app\" }},\n]\n[group.target]\nkind = \"postgres\"\n\
             endpoints = [{{ name = \"p\", host = \"db\" }}]\ndatabase = \"d\"\nca_file = \"ca\"\nowner = \"o\"\n\
             twins = [\"{name}_a\", \"{name}_b\"]\nadmin = {{ user = \"u\", password_file = \"p\" }}\n"
        )
    }

    #[test]
    fn pieces_make_the_same_as_the_whole() {
        let many: String = (0..200).map(|number| group(&format!("g{number}"))).collect();
        let below = "[group.policy]\npasses_min = 1\n[[sink]]\nkind = \"file\"\nname = \"s\"\npath = \"x\"\n";
        for text in [
            String::new(),
            HEAD.to_owned(),
            format!("{HEAD}{many}"),
            format!("# groups\n{}{below}{}", group("a"), group("b")),
            format!("{many}{below}"),
            group("a"),
            format!("{HEAD}{}\n\n# the end", group("a")),
        ] {
            let whole: Config = toml::from_str(&text).unwrap();
            assert_eq!(parse(&text).unwrap(), whole, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_wrong_in_pieces_too() {
        let one = group("a");
        for text in [
            format!("{one}{HEAD}"),
            format!("group = []\n{one}"),
            format!("[group]\nname = \"x\"\n{one}"),
            format!("{one}[group.target]\nkind = \"postgres\"\n"),
            format!("[tls]\n{one}[tls]\n"),
            format!("{one}listen = 3\n"),
            format!("{HEAD}[[group]\n{one}"),
            format!("{HEAD}{HEAD}{one}"),
            format!("{one}x = [\n[[group]]\n]\n"),
            format!("[group.target]\n{one}"),
        ] {
            assert!(toml::from_str::<Config>(&text).is_err(), "the whole is wrong: {text}");
            assert!(parse(&text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_text_that_cannot_be_cut_is_read_as_a_whole() {
        let text = format!("state = \"\"\"\n[[group]]\n\"\"\"\n{}", group("a"));
        assert!(toml::from_str::<Config>(&text).is_ok() && parse(&text).is_none());
    }

    #[test]
    fn what_is_the_same_in_groups_is_there_once() {
        let config = parse(&format!("{}{}", group("a"), group("b"))).unwrap();
        let [one, two] = config.groups.as_slice() else { panic!("two groups") };
        assert!(Arc::ptr_eq(&one.policy, &two.policy) && Arc::ptr_eq(&one.generate, &two.generate));
        assert!(Arc::ptr_eq(&one.stores, &two.stores) && Arc::ptr_eq(&one.consumers, &two.consumers));
    }
}
