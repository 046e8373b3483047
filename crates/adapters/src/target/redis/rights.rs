//! What one twin lacks that the other has.

use super::account::Rules;

/// What `candidate` lacks, in words.
pub(super) fn missing(candidate: (&str, &Rules), control: (&str, &Rules)) -> Vec<String> {
    let ((candidate, has), (control, had)) = (candidate, control);
    let mut missing = commands(candidate, &has.commands, control, &had.commands);
    for (what, has, had) in [
        ("the keys", &has.keys, &had.keys),
        ("the channels", &has.channels, &had.channels),
        ("the selector", &has.selectors, &had.selectors),
    ] {
        let lacks = had.iter().filter(|word| !has.contains(word) && !covers(has, word));
        missing.extend(lacks.map(|word| format!("{candidate} lacks {what} {word}, which {control} has")));
    }
    missing
}

/// `~*` and `&*` are all there is.
fn covers(has: &[String], word: &str) -> bool {
    let all = if word.starts_with('&') { "&*" } else { "~*" };
    (word.starts_with(['&', '~', '%'])) && has.iter().any(|has| has == all)
}

fn commands(candidate: &str, has: &[String], control: &str, had: &[String]) -> Vec<String> {
    if has == had {
        return Vec::new();
    }
    let lacks = had.iter().filter(|rule| rule.starts_with('+') && !has.contains(rule));
    let mut missing: Vec<String> =
        lacks.map(|rule| format!("{candidate} lacks the rule {rule}, which {control} has")).collect();
    let denied = has.iter().filter(|rule| rule.starts_with('-') && !had.contains(rule));
    missing.extend(denied.map(|rule| format!("{candidate} has the rule {rule}, which {control} has not")));
    let same = has.len() == had.len();
    if missing.is_empty() && same {
        missing.push(format!(
            "{candidate} and {control} have the same rules in another order, and the later one wins: {} and {}",
            has.join(" "),
            had.join(" ")
        ));
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(commands: &str, keys: &str) -> Rules {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        Rules { commands: words(commands), keys: words(keys), ..Rules::default() }
    }

    #[test]
    fn what_is_lacking_is_named_and_what_is_more_is_not() {
        let compare = |candidate: &Rules, control: &Rules| missing(("a", candidate), ("b", control));
        let control = rules("-@all +get +set", "~x:*");
        assert_eq!(compare(&control, &control), Vec::<String>::new());
        assert_eq!(compare(&rules("-@all +get +set +del", "~x:* ~y:*"), &control), Vec::<String>::new());
        assert_eq!(compare(&rules("-@all +get +set", "~*"), &control), Vec::<String>::new());
        assert_eq!(compare(&rules("-@all +get", "~x:*"), &control), ["a lacks the rule +set, which b has"]);
        assert_eq!(compare(&rules("-@all +get +set", ""), &control), ["a lacks the keys ~x:*, which b has"]);
        let denied = compare(&rules("-@all +get +set -get", "~x:*"), &control);
        assert_eq!(denied, ["a has the rule -get, which b has not"]);
        let order = compare(&rules("-@all +set +get", "~x:*"), &control);
        assert!(order.len() == 1 && order[0].contains("another order"), "{order:?}");
    }
}
