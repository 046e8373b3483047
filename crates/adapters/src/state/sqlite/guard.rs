//! Which columns each row's checksum covers.

use std::ops::Deref;

use handover_core::{Candidate, Fault, Generation};
use rusqlite::ToSql;
use rusqlite::types::ToSqlOutput;
use subtle::ConstantTimeEq as _;

use super::trouble::{corrupt, stored_int};
use crate::seal::{Integrity, MAC_BYTES};

/// The checksum that a row should have. It has no `==`, so that the one way to compare it is [`Mac::matches`].
#[derive(Clone, Copy)]
pub(super) struct Mac([u8; MAC_BYTES]);

impl Mac {
    /// Whether what is stored is this one, in time that does not depend on where they differ.
    pub(super) fn matches(&self, stored: &[u8]) -> bool {
        self.0.as_slice().ct_eq(stored).into()
    }
}

impl Deref for Mac {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl ToSql for Mac {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.as_slice().to_sql()
    }
}

/// A table whose rows are guarded: each by its checksum, all together by the sealed sum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Table {
    Groups,
    Plans,
    Keys,
    Candidates,
    Cursors,
    Rolls,
    Members,
    Deliveries,
    Requests,
    Campaigns,
}

impl Table {
    pub(super) const ALL: [Self; 10] = [
        Self::Groups,
        Self::Plans,
        Self::Keys,
        Self::Candidates,
        Self::Cursors,
        Self::Rolls,
        Self::Members,
        Self::Deliveries,
        Self::Requests,
        Self::Campaigns,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Groups => "groups",
            Self::Plans => "plans",
            Self::Keys => "keys",
            Self::Candidates => "candidates",
            Self::Cursors => "cursors",
            Self::Rolls => "rolls",
            Self::Members => "members",
            Self::Deliveries => "deliveries",
            Self::Requests => "requests",
            Self::Campaigns => "campaigns",
        }
    }
}

/// The sum of all guarded rows: what each adds is combined by exclusive or, so that a change costs the same however
/// many rows there are. It is secret, or else somebody could look for rows that cancel out.
#[derive(Clone, Copy)]
pub(super) struct Sum([u8; MAC_BYTES]);

impl Sum {
    pub(super) const EMPTY: Self = Self([0; MAC_BYTES]);

    /// Whether both are of the same rows, in time that does not depend on where they differ.
    pub(super) fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// Adds a row that is not in the sum, or takes away one that is.
    pub(super) fn toggle(&mut self, integrity: &Integrity, table: Table, mac: &[u8]) {
        for (byte, other) in self.0.iter_mut().zip(integrity.member(table.name(), mac)) {
            *byte ^= other;
        }
    }
}

/// The head: what the one row of `state` says.
#[derive(Clone)]
pub(super) struct Head {
    pub(super) epoch: i64,
    pub(super) position: i64,
    pub(super) hash: [u8; 32],
    pub(super) sum: Sum,
}

impl Head {
    pub(super) const SELECT: &'static str = "SELECT epoch, position, hash, sum FROM state WHERE id = 1";

    pub(super) fn read(row: &rusqlite::Row<'_>, integrity: &Integrity) -> rusqlite::Result<Result<Self, Fault>> {
        let (epoch, position): (i64, i64) = (row.get(0)?, row.get(1)?);
        let (hash, sealed): (Vec<u8>, Vec<u8>) = (row.get(2)?, row.get(3)?);
        let edited = |_| corrupt("the head of the state was edited".to_owned());
        Ok((|| {
            let hash: [u8; 32] = hash.try_into().map_err(|_| corrupt("the head of the chain is torn".to_owned()))?;
            let sum = integrity
                .open(&[&epoch.to_be_bytes(), &position.to_be_bytes(), &hash], &sealed)
                .map_err(edited)?
                .try_into()
                .map_err(|_| corrupt("the head of the state is torn".to_owned()))?;
            Ok(Self { epoch, position, hash, sum: Sum(sum) })
        })())
    }

    pub(super) fn sealed(&self, integrity: &Integrity) -> Result<Vec<u8>, Fault> {
        integrity.seal(&[&self.epoch.to_be_bytes(), &self.position.to_be_bytes(), &self.hash], &self.sum.0)
    }
}

pub(super) struct GroupColumns<'a> {
    pub(super) name: &'a str,
    pub(super) version: i64,
    pub(super) due_at: Option<i64>,
    pub(super) body: &'a str,
}

impl GroupColumns<'_> {
    pub(super) fn mac(&self, integrity: &Integrity) -> Mac {
        Mac(integrity.mac(&[
            b"groups",
            self.name.as_bytes(),
            &self.version.to_be_bytes(),
            there(self.due_at.is_some()),
            &self.due_at.unwrap_or_default().to_be_bytes(),
            self.body.as_bytes(),
        ]))
    }
}

/// Tells a missing column from an empty one.
const fn there(there: bool) -> &'static [u8] {
    if there { &[1] } else { &[0] }
}

pub(super) fn plan_mac(integrity: &Integrity, group: &str, body: &str) -> Mac {
    Mac(integrity.mac(&[b"plans", group.as_bytes(), body.as_bytes()]))
}

pub(super) fn key_mac(integrity: &Integrity, group: &str, wrapped: &[u8]) -> Mac {
    Mac(integrity.mac(&[b"keys", group.as_bytes(), wrapped]))
}

pub(super) fn candidate_mac(integrity: &Integrity, group: &str, generation: i64, candidate: i64, sealed: &[u8]) -> Mac {
    Mac(integrity.mac(&[b"candidates", group.as_bytes(), &generation.to_be_bytes(), &candidate.to_be_bytes(), sealed]))
}

/// Both numbers of a candidate as stored.
pub(super) fn candidate_key(generation: Generation, candidate: Candidate) -> Result<(i64, i64), Fault> {
    Ok((stored_int(generation.0)?, i64::from(candidate.0)))
}

pub(super) fn cursor_mac(integrity: &Integrity, sink: &str, position: i64) -> Mac {
    Mac(integrity.mac(&[b"cursors", sink.as_bytes(), &position.to_be_bytes()]))
}

pub(super) fn roll_mac(integrity: &Integrity, group: &str, complete: bool) -> Mac {
    Mac(integrity.mac(&[b"rolls", group.as_bytes(), &[u8::from(complete)]]))
}

pub(super) struct MemberColumns {
    pub(super) group: String,
    pub(super) role: String,
    pub(super) consumer: String,
    pub(super) declared: bool,
    pub(super) acked: Option<(i64, String)>,
}

impl MemberColumns {
    pub(super) fn mac(&self, integrity: &Integrity) -> Mac {
        let (publication, reach) = match &self.acked {
            Some((publication, reach)) => (publication.to_be_bytes().to_vec(), reach.as_bytes()),
            None => (Vec::new(), &b""[..]),
        };
        Mac(integrity.mac(&[
            b"members",
            self.group.as_bytes(),
            self.role.as_bytes(),
            self.consumer.as_bytes(),
            &[u8::from(self.declared)],
            &publication,
            reach,
        ]))
    }
}

pub(super) struct DeliveryColumns {
    pub(super) group: String,
    pub(super) consumer: String,
    pub(super) nonce: Vec<u8>,
    pub(super) publication: i64,
    pub(super) generation: i64,
}

impl DeliveryColumns {
    pub(super) fn mac(&self, integrity: &Integrity) -> Mac {
        Mac(integrity.mac(&[
            b"deliveries",
            self.group.as_bytes(),
            self.consumer.as_bytes(),
            &self.nonce,
            &self.publication.to_be_bytes(),
            &self.generation.to_be_bytes(),
        ]))
    }
}

pub(super) struct RequestColumns {
    pub(super) caller: String,
    pub(super) key: String,
    pub(super) digest: Vec<u8>,
    pub(super) at: i64,
    pub(super) answer: String,
}

impl RequestColumns {
    pub(super) fn mac(&self, integrity: &Integrity) -> Mac {
        Mac(integrity.mac(&[
            b"requests",
            self.caller.as_bytes(),
            self.key.as_bytes(),
            &self.digest,
            &self.at.to_be_bytes(),
            self.answer.as_bytes(),
        ]))
    }
}

pub(super) struct CampaignColumns {
    pub(super) id: i64,
    pub(super) version: i64,
    pub(super) live: bool,
    pub(super) body: String,
}

impl CampaignColumns {
    pub(super) fn mac(&self, integrity: &Integrity) -> Mac {
        Mac(integrity.mac(&[
            b"campaigns",
            &self.id.to_be_bytes(),
            &self.version.to_be_bytes(),
            &[u8::from(self.live)],
            self.body.as_bytes(),
        ]))
    }
}
