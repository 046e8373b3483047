use handover_core::{Fault, FaultKind};
use hkdf::Hkdf;
use hmac::Hmac;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::frame::{framed, framed_mac};
use super::key::{derived, keyed};
use super::message::MessageKeys;

/// Length of a row's checksum.
pub const MAC_BYTES: usize = 32;

/// Keyed checksums for the rows of a file: whoever edits a row without the master key is noticed.
///
/// A checksum proves that a row was written by us, not that it is still there, nor that it is the newest. For that, a
/// file keeps one [`Integrity::member`] of each row in a sum, sealed by [`Integrity::seal`].
pub struct Integrity {
    rows: Hmac<Sha256>,
    members: Hmac<Sha256>,
    sums: MessageKeys,
}

impl Integrity {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        let root = Hkdf::<Sha256>::new(Some(b"handover integrity"), key);
        Self {
            rows: keyed(&derived(&root, "rows")),
            members: keyed(&derived(&root, "members")),
            sums: MessageKeys::new(derived(&root, "sums")),
        }
    }

    /// The checksum of a row: `parts` are its table's name and its columns in a fixed order.
    pub fn mac(&self, parts: &[&[u8]]) -> [u8; MAC_BYTES] {
        framed_mac(self.rows.clone(), parts)
    }

    /// Whether a stored checksum is that of the row.
    pub fn holds(&self, parts: &[&[u8]], stored: &[u8]) -> bool {
        self.mac(parts).as_slice().ct_eq(stored).into()
    }

    /// What a row adds to its file's sum. Made from the row's name and checksum under a key of its own, and never
    /// stored, so that nobody can choose rows whose sums agree.
    pub fn member(&self, table: &str, mac: &[u8]) -> [u8; MAC_BYTES] {
        framed_mac(self.members.clone(), &[table.as_bytes(), mac])
    }

    /// Seals a sum together with the columns of its row, which stay readable.
    pub fn seal(&self, columns: &[&[u8]], sum: &[u8]) -> Result<Vec<u8>, Fault> {
        self.sums.seal(&framed(columns), sum)
    }

    /// Opens a sum. `Corrupt` if it or one of the columns was edited.
    pub fn open(&self, columns: &[&[u8]], sealed: &[u8]) -> Result<Vec<u8>, Fault> {
        self.sums
            .open(&framed(columns), sealed)
            .ok_or_else(|| Fault::untouched(FaultKind::Corrupt, "the sealed sum of the file's rows was edited"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cannot_be_shifted() {
        let integrity = Integrity::new(&[7; 32]);
        let mac = integrity.mac(&[b"ab", b"c"]);
        assert!(integrity.holds(&[b"ab", b"c"], &mac));
        assert!(!integrity.holds(&[b"a", b"bc"], &mac));
        assert!(!integrity.holds(&[b"abc"], &mac));
        assert!(!integrity.holds(&[b"ab", b"c"], &mac[..31]));
        assert!(!Integrity::new(&[8; 32]).holds(&[b"ab", b"c"], &mac));
    }

    #[test]
    fn a_sum_is_bound_to_its_columns() {
        let integrity = Integrity::new(&[7; 32]);
        let sealed = integrity.seal(&[b"1"], b"sum").unwrap();
        assert_eq!(integrity.open(&[b"1"], &sealed).unwrap(), b"sum");
        assert_eq!(integrity.open(&[b"2"], &sealed).unwrap_err().kind, FaultKind::Corrupt);
    }
}
