//! Texts with `{field}` in them: what is published beside the value, and in headers `{value}` itself.

use handover_core::port::Subject;
use handover_core::{Fault, FaultKind};
use zeroize::Zeroizing;

use super::unknown;

/// The name that stands for the value itself.
const VALUE: &str = "value";

/// The names in braces.
pub(super) fn names(text: &str) -> Vec<&str> {
    text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect()
}

/// Whether the value itself stands in it.
pub(super) fn holds_the_value(text: &str) -> bool {
    names(text).contains(&VALUE)
}

/// Puts in what the names stand for. `encode` is what is done to each.
pub(super) fn fill(text: &str, subject: Subject<'_>, encode: fn(&str) -> String) -> Result<Zeroizing<String>, Fault> {
    let mut filled = Zeroizing::new(String::with_capacity(text.len() + 256));
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            return Err(unknown(FaultKind::Misconfigured, "a brace is not closed"));
        };
        if name == VALUE {
            #[expect(clippy::disallowed_methods, reason = "it is what the check presents")]
            let value = subject.value.expose_text();
            let Some(value) = value else {
                return Err(unknown(FaultKind::Unsupported, "a value that is no text cannot stand in a header"));
            };
            filled.push_str(&Zeroizing::new(encode(value)));
        } else if let Some((_, field)) = subject.fields.iter().find(|(field, _)| field == name) {
            filled.push_str(&encode(field));
        } else if name == "generation" {
            filled.push_str(&subject.who.generation.to_string());
        } else {
            let there: Vec<&str> = subject.fields.iter().map(|(field, _)| field.as_str()).collect();
            let why = format!("there is no field {{{name}}}; there are: generation, {}", there.join(", "));
            return Err(unknown(FaultKind::Misconfigured, why));
        }
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// As it is.
pub(super) fn plain(text: &str) -> String {
    text.to_owned()
}

/// As part of a URL, which it cannot change.
pub(super) fn percent(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use handover_core::{Candidate, Generation, Occupant, Slot};
    use handover_secret::Secret;

    use super::*;

    #[test]
    fn fields_are_put_in_and_strangers_are_refused() {
        let (value, fields) = (Secret::from_text("s3/cret".to_owned()), [("user".to_owned(), "a b/../c".to_owned())]);
        let who = Occupant { generation: Generation(7), slot: Slot(0), candidate: Candidate(1) };
        let subject = Subject { who, value: &value, fields: &fields, control: None };
        assert_eq!(fill("Bearer {value}", subject, plain).unwrap().as_str(), "Bearer s3/cret");
        assert_eq!(fill("/u/{user}?g={generation}", subject, percent).unwrap().as_str(), "/u/a%20b%2F..%2Fc?g=7");
        for bad in ["{nobody}", "{user"] {
            let fault = fill(bad, subject, plain).unwrap_err();
            assert_eq!(fault.kind, FaultKind::Misconfigured);
            assert!(!fault.detail.contains("s3/cret"));
        }
        assert!(holds_the_value("x {value}") && !holds_the_value("{user}"));
    }
}
