//! Our label: a field of what is stored, so that it moves with the value in one write.
//!
//! It names the version that it was written as, and bears a keyed checksum over itself, the fields and the value. What a
//! tool of somebody else patches, copies or rolls back therefore does not pass for ours, though the label came with it.

use std::collections::BTreeMap;

use handover_core::{Candidate, Generation, GroupId, Publication};
use handover_secret::Secret;

use super::config::LABEL_FIELD;
use crate::seal::Sealer;
use crate::seal::framed;

/// What it says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Label {
    pub(super) publication: Publication,
    pub(super) generation: Generation,
    pub(super) candidate: Candidate,
}

/// Where it stands: what is staged does not pass for what is current, whoever copies it there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shelf {
    /// Where consumers read.
    Current,
    /// Where candidates are staged.
    Staging,
}

impl Shelf {
    const fn purpose(self) -> &'static [u8] {
        match self {
            Self::Current => b"kv label 1",
            Self::Staging => b"kv staged 1",
        }
    }
}

/// All texts of a version but the label, by name.
pub(super) type Texts = BTreeMap<String, Secret>;

impl Label {
    /// The text of the label of what is written as version `number`.
    pub(super) fn text(&self, sealer: &Sealer, group: &GroupId, on: Shelf, number: u64, texts: &Texts) -> String {
        format!("{} mac={}", self.head(group, number), self.mac(sealer, group, on, number, texts))
    }

    /// The label of version `number`; `None` if it is not ours, or not of exactly this.
    pub(super) fn of(sealer: &Sealer, group: &GroupId, on: Shelf, number: u64, texts: &mut Texts) -> Option<Self> {
        let text = texts.remove(LABEL_FIELD)?;
        #[expect(clippy::disallowed_methods, reason = "a label is no secret; it came among secrets")]
        let text = text.expose_text()?;
        let mut words = text.split(' ').map(|word| word.split_once('='));
        let mut next = |wanted: &str| words.next()?.filter(|(name, _)| *name == wanted).map(|(_, text)| text);
        let group_named = next("group")?;
        let publication = Publication(next("publication")?.parse().ok()?);
        let generation = Generation(next("generation")?.parse().ok()?);
        let candidate = Candidate(next("candidate")?.parse().ok()?);
        let number_named: u64 = next("version")?.parse().ok()?;
        let label = Self { publication, generation, candidate };
        let same = group_named == group.as_str() && number_named == number;
        (same && text == label.text(sealer, group, on, number, texts)).then_some(label)
    }

    fn head(&self, group: &GroupId, number: u64) -> String {
        let Self { publication, generation, candidate } = self;
        format!(
            "group={group} publication={publication} generation={generation} candidate={candidate} version={number}"
        )
    }

    fn mac(&self, sealer: &Sealer, group: &GroupId, on: Shelf, number: u64, texts: &Texts) -> String {
        let head = self.head(group, number);
        let mut parts: Vec<&[u8]> = vec![on.purpose(), head.as_bytes()];
        for (name, text) in texts {
            #[expect(clippy::disallowed_methods, reason = "the checksum is made from the value")]
            parts.extend([name.as_bytes(), text.expose()]);
        }
        hex::encode(sealer.digest(group, &Secret::from_bytes(framed(&parts))))
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::seal::MasterKey;

    fn sealer(byte: u8) -> Sealer {
        Sealer::new(MasterKey::from_bytes(Zeroizing::new([byte; 32])))
    }

    fn texts(value: &str) -> Texts {
        let text = |text: &str| Secret::from_text(text.to_owned());
        Texts::from([("user".to_owned(), text("a")), ("password".to_owned(), text(value))])
    }

    const LABEL: Label = Label { publication: Publication(7), generation: Generation(3), candidate: Candidate(1) };

    fn read(sealer: &Sealer, group: &str, number: u64, mut texts: Texts, label: String) -> Option<Label> {
        texts.insert(LABEL_FIELD.to_owned(), Secret::from_text(label));
        Label::of(sealer, &GroupId::parse(group).unwrap(), Shelf::Current, number, &mut texts)
    }

    #[test]
    fn a_label_is_read_where_it_was_written_and_nowhere_else() {
        let orders = GroupId::parse("orders").unwrap();
        let text = LABEL.text(&sealer(1), &orders, Shelf::Current, 4, &texts("pw"));
        assert_eq!(read(&sealer(1), "orders", 4, texts("pw"), text.clone()), Some(LABEL));
        let staged = LABEL.text(&sealer(1), &orders, Shelf::Staging, 4, &texts("pw"));
        assert_eq!(
            read(&sealer(1), "orders", 4, texts("pw"), staged),
            None,
            "staged, and copied to where consumers read"
        );
        let read = |sealer: &Sealer, group, number, texts, text| read(sealer, group, number, texts, text);
        assert_eq!(read(&sealer(1), "orders", 5, texts("pw"), text.clone()), None, "copied to another version");
        assert_eq!(read(&sealer(1), "orders", 4, texts("other"), text.clone()), None, "beside another value");
        assert_eq!(read(&sealer(1), "other", 4, texts("pw"), text.clone()), None, "of another group");
        assert_eq!(read(&sealer(2), "orders", 4, texts("pw"), text.clone()), None, "of another installation");
        let mut more = texts("pw");
        more.insert("note".to_owned(), Secret::from_text("x".to_owned()));
        assert_eq!(read(&sealer(1), "orders", 4, more, text.clone()), None, "a field was added");
        for edited in [text.replace("generation=3", "generation=2"), format!("{text} "), text[..40].to_owned()] {
            assert_eq!(read(&sealer(1), "orders", 4, texts("pw"), edited), None);
        }
    }

    #[test]
    fn hostile_labels_are_refused_without_a_panic() {
        let orders = GroupId::parse("orders").unwrap();
        let text = LABEL.text(&sealer(1), &orders, Shelf::Current, 4, &texts("pw"));
        let examples = [text.as_str(), "", "group= publication=x", "a=b c"];
        handover_testkit::mutate::texts(7, 2_000, &examples, |changed| {
            let label = read(&sealer(1), "orders", 4, texts("pw"), changed.to_owned());
            assert!(label.is_none() || changed == text, "{changed:?}");
        });
    }
}
