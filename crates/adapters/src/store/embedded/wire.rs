//! How a value and its fields are laid out before they are sealed: both together, so that neither can be exchanged.

use handover_core::port::Value;
use handover_secret::Secret;

/// Layout: number of fields, then name and text of each, then the value; every part with its length before it.
pub(super) fn encode(value: &Value<'_>) -> Secret {
    #[expect(clippy::disallowed_methods, reason = "the value is laid out to be sealed; the buffer is zeroised")]
    let secret = value.secret.expose();
    let parts = || value.fields.iter().flat_map(|(name, text)| [name.as_bytes(), text.as_bytes()]).chain([secret]);
    // The exact size, so that the buffer never moves and leaves a copy behind.
    let mut bytes = Vec::with_capacity(8 + parts().map(|part| 8 + part.len()).sum::<usize>());
    bytes.extend_from_slice(&(value.fields.len() as u64).to_be_bytes());
    for part in parts() {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    Secret::from_bytes(bytes)
}

/// The reverse of [`encode`]; `None` if it is no such layout.
pub(super) fn decode(opened: &Secret) -> Option<(Vec<(String, String)>, Secret)> {
    #[expect(clippy::disallowed_methods, reason = "the value is taken out of its layout, into a secret of its own")]
    let mut rest = opened.expose();
    let count = length(&mut rest)?;
    let mut fields = Vec::new();
    for _ in 0..count {
        let name = String::from_utf8(part(&mut rest)?.to_vec()).ok()?;
        let text = String::from_utf8(part(&mut rest)?.to_vec()).ok()?;
        fields.push((name, text));
    }
    let secret = Secret::from_bytes(part(&mut rest)?.to_vec());
    rest.is_empty().then_some((fields, secret))
}

fn part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = length(rest)?;
    let (part, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(part)
}

fn length(rest: &mut &[u8]) -> Option<usize> {
    let (length, after) = rest.split_first_chunk::<8>()?;
    *rest = after;
    usize::try_from(u64::from_be_bytes(*length)).ok()
}

#[cfg(test)]
mod tests {
    use handover_core::{Candidate, Effect, Generation, GroupId, Occupant, Slot};

    use super::*;

    #[test]
    fn what_goes_in_comes_out_and_nothing_else_is_taken() {
        let who = Occupant { generation: Generation(1), slot: Slot(0), candidate: Candidate(1) };
        let id = Effect::Seal { to: who }.id(&GroupId::parse("g").unwrap(), who);
        let secret = Secret::from_bytes(vec![0, 255, 10]);
        let cases: [&[(String, String)]; 3] = [
            &[],
            &[("user".into(), "a\"b'\\ \n\0é".into())],
            &[("user".into(), String::new()), (String::new(), "x".into())],
        ];
        for fields in cases {
            let encoded = encode(&Value { id: &id, who, fields, secret: &secret });
            let (read, value) = decode(&encoded).unwrap();
            assert_eq!(read, fields);
            assert!(value.matches(&secret));
            #[expect(clippy::disallowed_methods, reason = "a test cuts the layout anywhere")]
            let bytes = encoded.expose();
            for cut in 0..bytes.len() {
                assert!(decode(&Secret::from_bytes(bytes[..cut].to_vec())).is_none(), "cut to {cut}");
            }
            let longer = [bytes, &[0]].concat();
            assert!(decode(&Secret::from_bytes(longer)).is_none());
        }
        let endless = [u64::MAX.to_be_bytes(), u64::MAX.to_be_bytes()].concat();
        assert!(decode(&Secret::from_bytes(endless)).is_none());
    }
}
