//! Which of the known words was meant.

/// The nearest of `known` to `text`; the first of those equally near.
pub(crate) fn nearest(text: &str, known: impl Iterator<Item = String>) -> String {
    known.min_by_key(|word| distance(text, word)).unwrap_or_default()
}

/// The same, unless it is so far that nobody can have meant it.
pub(crate) fn close(text: &str, known: impl Iterator<Item = String>) -> Option<String> {
    let near = nearest(text, known);
    let letters = text.chars().count().max(near.chars().count());
    (distance(text, &near) * 2 <= letters).then_some(near)
}

/// How many letters must be changed, put in or left out to get from one word to the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (at, against) in other.iter().enumerate() {
            let change = diagonal + usize::from(letter != *against);
            diagonal = row[at + 1];
            row[at + 1] = change.min(diagonal + 1).min(row[at] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_far_is_not_proposed() {
        let known = || ["listen", "state", "master_key"].iter().map(|word| (*word).to_owned());
        assert_eq!(close("lisen", known()).as_deref(), Some("listen"));
        assert_eq!(close("masterkey", known()).as_deref(), Some("master_key"));
        assert_eq!(close("quiet_min", known()), None);
        assert_eq!(close("x", [].into_iter()), None);
    }

    #[test]
    fn distances_are_those_of_the_textbook() {
        for (one, other, far) in [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("rotat", "rotate", 1)] {
            assert_eq!(distance(one, other), far, "{one} {other}");
            assert_eq!(distance(other, one), far, "{other} {one}");
        }
    }
}
