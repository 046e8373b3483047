//! What a terminal must not be told. Text of others (reasons, a server's words, names in files) may hold characters that
//! move the cursor, clear the screen or turn the order of letters around; they are shown as escapes instead, in the form
//! that JSON has for them, so that JSON stays the JSON that it is.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The text with all such characters escaped, but for line feeds and tabs.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    escaped(text, |character| commands(character) && !matches!(character, '\n' | '\t'))
}

/// The same, on one line.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    escaped(text, commands)
}

/// Control characters, what ends a line without being one, and what changes the direction of writing.
pub(crate) const fn commands(character: char) -> bool {
    matches!(
        character,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
    )
}

fn escaped(text: &str, what: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&what) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if what(character) {
            // Writing to a string cannot fail, and all of them have four digits.
            let _ = write!(out, "\\u{:04x}", u32::from(character));
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S35: nothing that others wrote gives the terminal an order.
    #[test]
    fn orders_to_a_terminal_are_escaped() {
        let hostile = "a\u{1b}[2J\rb\u{9b}1mc\u{202e}d\ne\tf\0";
        assert_eq!(text(hostile), "a\\u001b[2J\\u000db\\u009b1mc\\u202ed\ne\tf\\u0000");
        assert_eq!(line("a\nb\u{2028}c"), "a\\u000ab\\u2028c");
        assert!(matches!(text("ordinary – text\n"), Cow::Borrowed(_)));
        let json = serde_json::to_string(hostile).unwrap();
        assert_eq!(serde_json::from_str::<String>(&text(&json)).unwrap(), hostile, "JSON stays what it is");
    }
}
