//! Reads server-sent events from chunks of bytes, without I/O.

use crate::watch::WatchEvent;

/// The longest event, in bytes. A snapshot of one group takes a few hundred.
const EVENT_BYTES_MAX: usize = 256 * 1024;

/// Collects bytes of a watch stream until an event is whole.
#[derive(Debug, Default)]
pub struct EventReader {
    line: Vec<u8>,
    data: String,
    last_id: Option<u64>,
}

/// The stream is no stream of events, or one event is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotEvents;

impl std::fmt::Display for NotEvents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("this is no stream of events, or one of them is too long")
    }
}

impl std::error::Error for NotEvents {}

impl EventReader {
    /// The events that `chunk` completes. A kind of event that a newer server sends and this version does not know is
    /// passed over.
    pub fn push(&mut self, chunk: &[u8]) -> Result<Vec<WatchEvent>, NotEvents> {
        Ok(self.data(chunk)?.iter().filter_map(|data| serde_json::from_str(data).ok()).collect())
    }

    /// The position of the last event, for [`crate::LAST_EVENT_ID`] of the next stream. After a `reset` it is one of the
    /// server's present history.
    pub const fn last_id(&self) -> Option<u64> {
        self.last_id
    }

    fn data(&mut self, chunk: &[u8]) -> Result<Vec<String>, NotEvents> {
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
            } else if let Some(id) = line.strip_prefix("id:") {
                self.last_id = id.trim().parse().ok().or(self.last_id);
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
        let whole = EventReader::default().data(STREAM.as_bytes()).unwrap();
        assert_eq!(whole, ["{\"x\":1}", "one\ntwo"]);
        for size in 1..STREAM.len() {
            let mut reader = EventReader::default();
            let cut: Vec<String> =
                STREAM.as_bytes().chunks(size).flat_map(|chunk| reader.data(chunk).unwrap()).collect();
            assert_eq!(cut, whole, "chunks of {size}");
            assert_eq!(reader.last_id(), Some(7));
        }
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut reader = EventReader::default();
        let endless = vec![b'x'; EVENT_BYTES_MAX + 1];
        assert_eq!(reader.data(&endless), Err(NotEvents));
    }

    #[test]
    fn an_unknown_kind_is_passed_over() {
        let stream = b"data: {\"kind\":\"eclipse\"}\n\ndata: {\"kind\":\"reset\"}\n\n";
        assert_eq!(EventReader::default().push(stream).unwrap(), [WatchEvent::Reset]);
    }

    #[test]
    fn half_an_event_is_none() {
        assert!(EventReader::default().data(b"data: {}\n").unwrap().is_empty());
    }
}
