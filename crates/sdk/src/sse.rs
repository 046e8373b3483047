//! Reads server-sent events from chunks of bytes.

/// The longest event, in bytes. A snapshot of one group takes a few hundred.
const EVENT_BYTES_MAX: usize = 256 * 1024;

/// Collects bytes until an event is whole.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    line: Vec<u8>,
    data: String,
}

/// The stream is no stream of events, or one event is too long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotEvents;

impl Reader {
    /// The data of the events that `chunk` completes. Names and ids are left out: the data says what kind it is.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Result<Vec<String>, NotEvents> {
        let mut events = Vec::new();
        for byte in chunk {
            if *byte != b'\n' {
                self.line.push(*byte);
                if self.line.len() + self.data.len() > EVENT_BYTES_MAX {
                    return Err(NotEvents);
                }
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = std::str::from_utf8(&line).map_err(|_| NotEvents)?.trim_end_matches('\r');
            if line.is_empty() {
                if !self.data.is_empty() {
                    events.push(std::mem::take(&mut self.data));
                }
            } else if let Some(data) = line.strip_prefix("data:") {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
            }
        }
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = ": heartbeat\n\nevent: a\nid: 7\ndata: {\"x\":1}\n\ndata: one\r\ndata:two\r\n\r\n";

    #[test]
    fn events_are_the_same_however_the_bytes_are_cut() {
        let whole = Reader::default().push(STREAM.as_bytes()).unwrap();
        assert_eq!(whole, ["{\"x\":1}", "one\ntwo"]);
        for size in 1..STREAM.len() {
            let mut reader = Reader::default();
            let cut: Vec<String> =
                STREAM.as_bytes().chunks(size).flat_map(|chunk| reader.push(chunk).unwrap()).collect();
            assert_eq!(cut, whole, "chunks of {size}");
        }
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut reader = Reader::default();
        let endless = vec![b'x'; EVENT_BYTES_MAX + 1];
        assert_eq!(reader.push(&endless), Err(NotEvents));
    }

    #[test]
    fn half_an_event_is_none() {
        assert!(Reader::default().push(b"data: {}\n").unwrap().is_empty());
    }
}
