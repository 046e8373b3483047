//! Our label on a role: a line of the role's comment. It carries the mark that fences (R6).
//!
//! `handover:v1 group=orders slot=0 generation=3 mark=3.17 state=accepting effect=orders/3.1/accept/…`
//!
//! Other lines of the comment are somebody else's and stay. The comment of an owner may have a line for each group, with
//! the mark of a versioned user that is gone.

use handover_core::port::State;
use handover_core::{Generation, Mark, RowVersion};

const PREFIX: &str = "handover:v";
const VERSION: &str = "1";

/// A role's comment, read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Comment {
    /// The lines that are not ours.
    pub(super) others: String,
    /// Our line.
    pub(super) label: Option<Label>,
}

/// What our line says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Label {
    /// Whose role it is.
    pub(super) group: String,
    /// Which slot it is.
    pub(super) slot: u32,
    /// Whose value it has, or had.
    pub(super) generation: Generation,
    /// The mark of the last change.
    pub(super) mark: Mark,
    /// What the last change made it do.
    pub(super) state: State,
    /// The last change.
    pub(super) effect: String,
}

/// There is a line of ours that cannot be read, or more than one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Unreadable;

impl Comment {
    pub(super) fn parse(text: Option<&str>) -> Result<Self, Unreadable> {
        let (ours, others): (Vec<&str>, Vec<&str>) =
            text.unwrap_or_default().split('\n').partition(|line| line.starts_with(PREFIX));
        let label = match ours.as_slice() {
            [] => None,
            [line] => Some(Label::parse(line)?),
            [_, _, ..] => return Err(Unreadable),
        };
        Ok(Self { others: others.join("\n"), label })
    }

    /// The comment of a role that groups may share: the lines of others are others' lines.
    pub(super) fn of_group(text: Option<&str>, group: &str) -> Result<Self, Unreadable> {
        let (mut label, mut others) = (None, Vec::new());
        for line in text.into_iter().flat_map(|text| text.split('\n')) {
            match line.starts_with(PREFIX).then(|| Label::parse(line)).transpose()? {
                Some(ours) if ours.group == group => {
                    if label.replace(ours).is_some() {
                        return Err(Unreadable);
                    }
                }
                Some(_) | None => others.push(line),
            }
        }
        Ok(Self { others: others.join("\n"), label })
    }

    pub(super) fn with(&self, label: &Label) -> String {
        if self.others.is_empty() { label.render() } else { format!("{}\n{}", self.others, label.render()) }
    }
}

impl Label {
    fn parse(line: &str) -> Result<Self, Unreadable> {
        let mut words = line.strip_prefix(PREFIX).ok_or(Unreadable)?.split(' ');
        if words.next() != Some(VERSION) {
            return Err(Unreadable);
        }
        let mut next = |name: &str| -> Result<&str, Unreadable> {
            let (found, value) = words.next().and_then(|word| word.split_once('=')).ok_or(Unreadable)?;
            if found == name { Ok(value) } else { Err(Unreadable) }
        };
        let group = next("group")?.to_owned();
        let slot = number(next("slot")?)?;
        let generation = Generation(number(next("generation")?)?);
        let (mark_generation, mark_version) = next("mark")?.split_once('.').ok_or(Unreadable)?;
        let mark =
            Mark { generation: Generation(number(mark_generation)?), version: RowVersion(number(mark_version)?) };
        let state = match next("state")? {
            "accepting" => State::Accepting,
            "disabled" => State::Disabled,
            "forgotten" => State::Forgotten,
            _ => return Err(Unreadable),
        };
        let effect = next("effect")?.to_owned();
        if words.next().is_some() {
            return Err(Unreadable);
        }
        Ok(Self { group, slot, generation, mark, state, effect })
    }

    /// The line itself.
    pub(super) fn render(&self) -> String {
        let state = match self.state {
            State::Accepting => "accepting",
            State::Disabled => "disabled",
            // An absent role has no comment; a role that is there and has no value has forgotten it.
            State::Forgotten | State::Absent => "forgotten",
        };
        format!(
            "{PREFIX}{VERSION} group={} slot={} generation={} mark={}.{} state={state} effect={}",
            self.group, self.slot, self.generation, self.mark.generation, self.mark.version, self.effect
        )
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, Unreadable> {
    text.parse().map_err(|_| Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label() -> Label {
        Label {
            group: "orders".to_owned(),
            slot: 1,
            generation: Generation(3),
            mark: Mark { generation: Generation(4), version: RowVersion(17) },
            state: State::Disabled,
            effect: "orders/4.1/refuse/3".to_owned(),
        }
    }

    #[test]
    fn a_label_is_read_back() {
        for others in ["", "the orders application", "two\nlines", "trailing\n", "\n"] {
            let comment = Comment { others: others.to_owned(), label: None };
            let text = comment.with(&label());
            let read = Comment::parse(Some(&text)).unwrap();
            assert_eq!(read, Comment { others: others.to_owned(), label: Some(label()) }, "{text:?}");
            assert_eq!(read.with(&label()), text, "writing it again changes nothing");
        }
    }

    #[test]
    fn what_others_wrote_below_stays() {
        let text = format!("above\n{}\nbelow", label().render());
        let read = Comment::parse(Some(&text)).unwrap();
        assert_eq!(read.others, "above\nbelow");
        assert_eq!(read.label, Some(label()));
    }

    #[test]
    fn groups_share_a_comment() {
        let theirs = Label { group: "reports".to_owned(), ..label() };
        let text = format!("above\n{}\n{}", label().render(), theirs.render());
        let read = Comment::of_group(Some(&text), "orders").unwrap();
        assert_eq!((read.label.clone(), read.others.clone()), (Some(label()), format!("above\n{}", theirs.render())));
        let fresh = Comment::of_group(Some(&read.with(&label())), "reports").unwrap();
        assert_eq!(fresh.label, Some(theirs), "and neither loses its line");
        assert_eq!(Comment::of_group(None, "orders"), Ok(Comment::default()));
        let twice = format!("{}\n{}", label().render(), label().render());
        assert_eq!(Comment::of_group(Some(&twice), "orders"), Err(Unreadable));
        assert_eq!(Comment::of_group(Some("handover:v1"), "orders"), Err(Unreadable), "whosever it is");
    }

    #[test]
    fn a_label_that_cannot_be_read_is_never_taken_for_none() {
        let good = label().render();
        let bad = [
            good.replace("v1", "v2"),
            good.replace("mark=4.17", "mark=4"),
            good.replace("slot=1", "slot=-1"),
            good.replace("disabled", "asleep"),
            good.replace(" effect=orders/4.1/refuse/3", ""),
            format!("{good} more=1"),
            format!("{good}\n{good}"),
            "handover:v1".to_owned(),
        ];
        for text in bad {
            assert_eq!(Comment::parse(Some(&text)), Err(Unreadable), "{text}");
        }
        assert_eq!(Comment::parse(None), Ok(Comment::default()));
        assert_eq!(Comment::parse(Some("handover: see the wiki")).unwrap().label, None);
    }

    /// S44: whatever stands in a role's comment, reading it ends; what is taken for a label is one.
    #[test]
    fn hostile_comments_are_read_or_refused() {
        let examples = [label().render(), format!("above\n{}\nbelow", label().render()), "handover:v1".to_owned()];
        handover_testkit::mutate::texts(13, 50_000, &examples, |text| {
            let Ok(Comment { others, label }) = Comment::parse(Some(text)) else { return };
            assert!(!others.lines().any(|line| line.starts_with(PREFIX)), "{text:?}");
            if let Some(label) = label {
                let again = Comment::parse(Some(&label.render())).unwrap();
                assert_eq!(again.label, Some(label), "{text:?}");
            }
        });
    }
}
