//! What is stored, as rows; each is checked before it is believed.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use handover_core::{Candidate, Fault, FaultKind, Generation, GroupId, Publication, StoreVersion, Touched};
use handover_secret::Secret;
use rand::TryRngCore;
use rand::rngs::OsRng;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::fault::{corrupt, fault};
use super::wire;
use super::{Current, Kept, Label, Move};
use crate::fences::{Fence, is_on};
use crate::seal::{DataKey, Integrity, Place, Purpose, Sealer};

/// How many pointer moves are remembered for each group. Older ones are in the history of the state.
const MOVES_MAX: u32 = 100;

/// All that is needed to read and check the file's rows.
pub(super) struct Rows {
    pub(super) path: PathBuf,
    pub(super) sealer: Arc<Sealer>,
    pub(super) integrity: Integrity,
}

/// A group's head, checked.
pub(super) struct Standing {
    pub(super) version: StoreVersion,
    pub(super) publication: Publication,
    pub(super) generation: Generation,
    candidate: Candidate,
    value: i64,
    sealed: Vec<u8>,
}

/// A current value as it rests, with the key that it is sealed with as that rests.
pub(super) struct Sealed {
    standing: Standing,
    wrapped: Vec<u8>,
}

impl Sealed {
    /// How long it is.
    pub(super) fn bytes(&self) -> usize {
        self.standing.sealed.len() + self.wrapped.len()
    }
}

impl Rows {
    pub(super) fn head(&self, connection: &Connection, group: &GroupId) -> Result<Option<Standing>, Fault> {
        // A left join, so that a head whose value was taken away is noticed.
        let sql = "SELECT head.version, head.publication, head.generation, head.candidate, head.value, value.sealed,
                   head.mac FROM head LEFT JOIN value ON value.id = head.value WHERE head.group_name = ?1";
        let standing = |row: &Row<'_>| {
            let standing = Standing {
                version: StoreVersion(Arc::from(row.get::<_, String>(0)?)),
                publication: Publication(row.get::<_, i64>(1)?.cast_unsigned()),
                generation: Generation(row.get::<_, i64>(2)?.cast_unsigned()),
                candidate: Candidate(row.get(3)?),
                value: row.get(4)?,
                sealed: row.get(5)?,
            };
            Ok((standing, row.get::<_, Vec<u8>>(6)?))
        };
        let found = self.sql(
            connection
                .prepare_cached(sql)
                .and_then(|mut statement| statement.query_row(params![group.as_str()], standing).optional()),
        )?;
        let Some((standing, mac)) = found else {
            let sql = "SELECT EXISTS (SELECT 1 FROM move WHERE group_name = ?1)";
            let moved: bool = self.sql(
                connection
                    .prepare_cached(sql)
                    .and_then(|mut statement| statement.query_row(params![group.as_str()], |row| row.get(0))),
            )?;
            return if moved { Err(self.corrupt(group, "the head")) } else { Ok(None) };
        };
        let holds = standing.with_parts(group, |parts| self.integrity.holds(parts, &mac));
        if holds { Ok(Some(standing)) } else { Err(self.corrupt(group, "the head")) }
    }

    /// Keeps the value, unless it is there; returns its row.
    pub(super) fn keep(&self, connection: &Connection, group: &GroupId, put: &Put) -> Result<i64, Fault> {
        let key = match self.key(connection, group)? {
            Some(key) => key,
            None => self.mint_key(connection, group)?,
        };
        if let Some(there) = self.find(connection, &key, group, put)? {
            return Ok(there);
        }
        let sealed = key.seal(put.label.place(group), &put.plain)?;
        let sql = "INSERT INTO value (group_name, generation, candidate, effect, sealed) VALUES (?1, ?2, ?3, ?4, ?5)";
        let columns = params![
            group.as_str(),
            put.label.generation.0.cast_signed(),
            put.label.candidate.0,
            put.label.effect,
            sealed
        ];
        self.sql(connection.prepare_cached(sql).and_then(|mut statement| statement.insert(columns)))
    }

    /// Whether exactly this value is kept, read as a consumer's would be.
    pub(super) fn is_kept(&self, connection: &Connection, group: &GroupId, put: &Put) -> Result<bool, Fault> {
        let Some(key) = self.key(connection, group)? else { return Ok(false) };
        Ok(self.find(connection, &key, group, put)?.is_some())
    }

    /// Generations of which a value is kept that is not current.
    pub(super) fn retained(&self, connection: &Connection, group: &GroupId) -> Result<BTreeSet<Generation>, Fault> {
        let current = self.head(connection, group)?.map(|standing| standing.value);
        let sql = "SELECT DISTINCT generation FROM value WHERE group_name = ?1 AND id IS NOT ?2";
        let mut statement = self.sql(connection.prepare_cached(sql))?;
        let generation = |row: &Row<'_>| Ok(Generation(row.get::<_, i64>(0)?.cast_unsigned()));
        self.sql(statement.query_map(params![group.as_str(), current], generation).and_then(Iterator::collect))
    }

    /// Forgets the values of a generation that are not current, and were never: those of its other candidates too.
    pub(super) fn unstage(&self, connection: &Connection, group: &GroupId, of: Generation) -> Result<(), Fault> {
        let current = self.head(connection, group)?.map(|standing| standing.value);
        let sql = "DELETE FROM value WHERE group_name = ?1 AND generation = ?2 AND id IS NOT ?3";
        self.sql(connection.execute(sql, params![group.as_str(), of.0.cast_signed(), current]))?;
        Ok(())
    }

    /// The row of exactly this value, if it is there.
    fn find(&self, connection: &Connection, key: &DataKey, group: &GroupId, put: &Put) -> Result<Option<i64>, Fault> {
        let place = put.label.place(group);
        let sql = "SELECT id, sealed FROM value WHERE group_name = ?1 AND generation = ?2 AND candidate = ?3";
        let mut statement = self.sql(connection.prepare_cached(sql))?;
        let key_columns = params![group.as_str(), put.label.generation.0.cast_signed(), put.label.candidate.0];
        let mut rows = self.sql(statement.query(key_columns))?;
        while let Some(row) = self.sql(rows.next())? {
            let sealed: Vec<u8> = self.sql(row.get(1))?;
            if key.open(place, &sealed)?.matches(&put.plain) {
                return self.sql(row.get(0)).map(Some);
            }
        }
        Ok(None)
    }

    pub(super) fn point(
        &self,
        connection: &Connection,
        group: &GroupId,
        put: &Put,
        publication: Publication,
        expect: Option<&StoreVersion>,
    ) -> Result<StoreVersion, Fault> {
        let found = self.head(connection, group)?.map(|standing| standing.version);
        if found.as_ref() != expect && is_on(Fence::Store) {
            let words = |version: Option<&StoreVersion>| match version {
                Some(version) => format!("at version {version}"),
                None => "empty".to_owned(),
            };
            let detail = format!(
                "the embedded store is {} for {group}, and was expected to be {}: read its head",
                words(found.as_ref()),
                words(expect)
            );
            return Err(Fault::untouched(FaultKind::Conflict, detail));
        }
        let value = self.keep(connection, group, put)?;
        let version = self.moved(connection, group, put, publication)?;
        let sql = "SELECT sealed FROM value WHERE id = ?1";
        let sealed = self.sql(connection.query_row(sql, params![value], |row| row.get(0)))?;
        let Label { generation, candidate, .. } = put.label;
        let standing = Standing { version, publication, generation, candidate, value, sealed };
        let mac = standing.with_parts(group, |parts| self.integrity.mac(parts));
        let sql = "INSERT INTO head (group_name, version, publication, generation, candidate, value, mac)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                   ON CONFLICT (group_name) DO UPDATE SET version = ?2, publication = ?3, generation = ?4,
                   candidate = ?5, value = ?6, mac = ?7";
        let columns = params![
            group.as_str(),
            &*standing.version.0,
            publication.0.cast_signed(),
            generation.0.cast_signed(),
            candidate.0,
            value,
            mac
        ];
        self.sql(connection.prepare_cached(sql).and_then(|mut statement| statement.execute(columns)))?;
        Ok(standing.version)
    }

    pub(super) fn discard(&self, connection: &Connection, group: &GroupId, of: Generation) -> Result<(), Fault> {
        if self.head(connection, group)?.is_some_and(|standing| standing.generation == of) {
            let words = format!("generation {of} of {group} is current in the embedded store: point elsewhere first");
            return Err(Fault::untouched(FaultKind::Conflict, words));
        }
        let sql = "DELETE FROM value WHERE group_name = ?1 AND generation = ?2";
        self.sql(connection.execute(sql, params![group.as_str(), of.0.cast_signed()]))?;
        Ok(())
    }

    /// The head first: it refers to a value. One that was edited goes as well.
    pub(super) fn forget(&self, connection: &Connection, group: &GroupId) -> Result<(), Fault> {
        for table in ["head", "value", "data_key", "move"] {
            let sql = format!("DELETE FROM {table} WHERE group_name = ?1");
            self.sql(connection.execute(&sql, params![group.as_str()]))?;
        }
        Ok(())
    }

    /// What is current, still sealed.
    pub(super) fn sealed(&self, connection: &Connection, group: &GroupId) -> Result<Option<Sealed>, Fault> {
        let Some(standing) = self.head(connection, group)? else { return Ok(None) };
        let wrapped = self.wrapped(connection, group)?.ok_or_else(|| self.corrupt(group, "the data key"))?;
        Ok(Some(Sealed { standing, wrapped }))
    }

    /// Opens it. It was checked against the head's checksum when it was read.
    pub(super) fn unsealed(&self, group: &GroupId, sealed: &Sealed) -> Result<Current, Fault> {
        let Sealed { standing: Standing { version, publication, generation, candidate, sealed, .. }, wrapped } = sealed;
        let key = self.sealer.open_key(group, wrapped)?;
        let (fields, secret) = self.open_with(&key, group, *generation, *candidate, sealed)?;
        Ok(Current { version: version.clone(), publication: *publication, generation: *generation, fields, secret })
    }

    pub(super) fn kept(
        &self,
        connection: &Connection,
        group: &GroupId,
        generation: Generation,
    ) -> Result<Option<Kept>, Fault> {
        if let Some(standing) = self.head(connection, group)?.filter(|standing| standing.generation == generation) {
            let (fields, secret) = self.open(connection, group, generation, standing.candidate, &standing.sealed)?;
            return Ok(Some(Kept { generation, candidate: standing.candidate, fields, secret }));
        }
        let sql = "SELECT candidate, sealed FROM value WHERE group_name = ?1 AND generation = ?2
                   ORDER BY candidate DESC, id DESC LIMIT 1";
        let columns = params![group.as_str(), generation.0.cast_signed()];
        let read = |row: &Row<'_>| Ok((Candidate(row.get(0)?), row.get::<_, Vec<u8>>(1)?));
        let found = self.sql(connection.query_row(sql, columns, read).optional())?;
        let Some((candidate, sealed)) = found else { return Ok(None) };
        let (fields, secret) = self.open(connection, group, generation, candidate, &sealed)?;
        Ok(Some(Kept { generation, candidate, fields, secret }))
    }

    pub(super) fn labels(&self, connection: &Connection, group: &GroupId) -> Result<Vec<Label>, Fault> {
        let sql = "SELECT generation, candidate, effect FROM value WHERE group_name = ?1 ORDER BY id";
        let label = |row: &Row<'_>| {
            let generation = Generation(row.get::<_, i64>(0)?.cast_unsigned());
            Ok(Label { generation, candidate: Candidate(row.get(1)?), effect: row.get(2)? })
        };
        let mut statement = self.sql(connection.prepare_cached(sql))?;
        self.sql(statement.query_map(params![group.as_str()], label).and_then(Iterator::collect))
    }

    pub(super) fn moves(&self, connection: &Connection, group: &GroupId) -> Result<Vec<Move>, Fault> {
        let sql = "SELECT id, nonce, publication, generation, candidate FROM move WHERE group_name = ?1 ORDER BY id";
        let moved = |row: &Row<'_>| {
            Ok(Move {
                version: version(row.get(0)?, &row.get::<_, String>(1)?),
                publication: Publication(row.get::<_, i64>(2)?.cast_unsigned()),
                generation: Generation(row.get::<_, i64>(3)?.cast_unsigned()),
                candidate: Candidate(row.get(4)?),
            })
        };
        let mut statement = self.sql(connection.prepare_cached(sql))?;
        self.sql(statement.query_map(params![group.as_str()], moved).and_then(Iterator::collect))
    }

    /// Records a move, and makes the version that it leads to.
    fn moved(
        &self,
        connection: &Connection,
        group: &GroupId,
        put: &Put,
        publication: Publication,
    ) -> Result<StoreVersion, Fault> {
        let mut nonce = [0; 8];
        OsRng
            .try_fill_bytes(&mut nonce)
            .map_err(|_| Fault::untouched(FaultKind::Storage, "the operating system gives no random bytes"))?;
        let nonce = hex::encode(nonce);
        let sql =
            "INSERT INTO move (group_name, nonce, publication, generation, candidate) VALUES (?1, ?2, ?3, ?4, ?5)";
        let columns = params![
            group.as_str(),
            nonce,
            publication.0.cast_signed(),
            put.label.generation.0.cast_signed(),
            put.label.candidate.0
        ];
        let id = self.sql(connection.prepare_cached(sql).and_then(|mut statement| statement.insert(columns)))?;
        let sql = "DELETE FROM move WHERE group_name = ?1 AND id <=
                   (SELECT id FROM move WHERE group_name = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)";
        let pruned = params![group.as_str(), MOVES_MAX];
        self.sql(connection.prepare_cached(sql).and_then(|mut statement| statement.execute(pruned)))?;
        Ok(version(id, &nonce))
    }

    fn key(&self, connection: &Connection, group: &GroupId) -> Result<Option<DataKey>, Fault> {
        let wrapped = self.wrapped(connection, group)?;
        wrapped.map(|wrapped| self.sealer.open_key(group, &wrapped)).transpose()
    }

    fn wrapped(&self, connection: &Connection, group: &GroupId) -> Result<Option<Vec<u8>>, Fault> {
        let sql = "SELECT wrapped FROM data_key WHERE group_name = ?1";
        self.sql(
            connection
                .prepare_cached(sql)
                .and_then(|mut statement| statement.query_row(params![group.as_str()], |row| row.get(0)).optional()),
        )
    }

    fn mint_key(&self, connection: &Connection, group: &GroupId) -> Result<DataKey, Fault> {
        let (key, wrapped) = self.sealer.mint_key(group)?;
        let sql = "INSERT INTO data_key (group_name, wrapped) VALUES (?1, ?2)";
        self.sql(connection.execute(sql, params![group.as_str(), wrapped]))?;
        Ok(key)
    }

    fn open(
        &self,
        connection: &Connection,
        group: &GroupId,
        generation: Generation,
        candidate: Candidate,
        sealed: &[u8],
    ) -> Result<(Vec<(String, String)>, Secret), Fault> {
        let key = self.key(connection, group)?.ok_or_else(|| self.corrupt(group, "the data key"))?;
        self.open_with(&key, group, generation, candidate, sealed)
    }

    fn open_with(
        &self,
        key: &DataKey,
        group: &GroupId,
        generation: Generation,
        candidate: Candidate,
        sealed: &[u8],
    ) -> Result<(Vec<(String, String)>, Secret), Fault> {
        let opened = key.open(Place { group, generation, candidate, purpose: Purpose::StoreValue }, sealed)?;
        wire::decode(&opened).ok_or_else(|| self.corrupt(group, "a value"))
    }

    fn sql<T>(&self, result: rusqlite::Result<T>) -> Result<T, Fault> {
        // Within a transaction, before its commit: whatever failed, nothing of it stays.
        result.map_err(|error| fault(&self.path, Touched::Nothing, &error))
    }

    fn corrupt(&self, group: &GroupId, what: &str) -> Fault {
        corrupt(&self.path, &format!("{what} of {group}"))
    }
}

/// A value on its way into the file, in its layout.
pub(super) struct Put {
    pub(super) label: Label,
    pub(super) plain: Secret,
}

impl Label {
    fn place<'a>(&self, group: &'a GroupId) -> Place<'a> {
        Place { group, generation: self.generation, candidate: self.candidate, purpose: Purpose::StoreValue }
    }
}

impl Standing {
    /// What the head's checksum covers: all of it, and the sealed bytes that it points to.
    fn with_parts<T>(&self, group: &GroupId, then: impl FnOnce(&[&[u8]]) -> T) -> T {
        then(&[
            b"head",
            group.as_str().as_bytes(),
            self.version.0.as_bytes(),
            &self.publication.0.to_be_bytes(),
            &self.generation.0.to_be_bytes(),
            &self.candidate.0.to_be_bytes(),
            &self.value.to_be_bytes(),
            &self.sealed,
        ])
    }
}

/// A number that rises with every move in the file, so that people can compare, and a nonce, so that a version does not
/// recur even after the file was restored from a backup and the number is used again.
fn version(id: i64, nonce: &str) -> StoreVersion {
    StoreVersion(Arc::from(format!("{id}-{nonce}")))
}
