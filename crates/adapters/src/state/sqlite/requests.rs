//! Requests that were carried out: what a repeat is answered.

use handover_core::port::{Commit, Committed, REQUEST_KEPT_MS_MIN, Request};
use handover_core::{Fault, FaultKind, Row, Timestamp};
use rusqlite::{OptionalExtension, params};

use super::batch::Batch;
use super::guard::{RequestColumns, Table};
use super::reader::Reader;
use super::trouble::{Stop, corrupt};

/// How many old requests each new one has forgotten: more than one, so that they do not pile up.
const FORGOTTEN_MAX: usize = 64;

impl Batch<'_> {
    /// Commits a row, and keeps the request that ordered it.
    pub(super) fn carry_out(&mut self, commit: Commit, request: Request) -> Result<Committed<Row>, Stop> {
        self.not_carried_out(&request)?;
        let row = self.commit(commit)?;
        // What the commit refused has written nothing; nothing is refused after it.
        self.forget_requests(request.at)?;
        self.keep_request(request)?;
        Ok(row)
    }

    /// Refuses a request that was carried out.
    pub(super) fn not_carried_out(&self, request: &Request) -> Result<(), Stop> {
        let kept: bool = self
            .connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM requests WHERE caller = ?1 AND key = ?2)")?
            .query_row([&request.caller, &request.key], |row| row.get(0))?;
        if kept {
            return Err(Fault::untouched(FaultKind::Fenced, "this request was carried out already").into());
        }
        Ok(())
    }

    pub(super) fn keep_request(&mut self, request: Request) -> Result<(), rusqlite::Error> {
        let Request { caller, key, digest, at, answer } = request;
        let columns = RequestColumns { caller, key, digest: digest.to_vec(), at: at.0, answer };
        let mac = columns.mac(self.integrity);
        self.connection
            .prepare_cached(
                "INSERT INTO requests (caller, key, digest, at, answer, mac) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![columns.caller, columns.key, columns.digest, columns.at, columns.answer, mac])?;
        self.replaced(Table::Requests, None, Some(&mac));
        Ok(())
    }

    pub(super) fn forget_requests(&mut self, now: Timestamp) -> Result<(), rusqlite::Error> {
        let gone: Vec<Vec<u8>> = self
            .connection
            .prepare_cached(
                "DELETE FROM requests WHERE (caller, key) IN
                     (SELECT caller, key FROM requests WHERE at < ?1 ORDER BY at LIMIT ?2) RETURNING mac",
            )?
            .query_map(params![now.0.saturating_sub(REQUEST_KEPT_MS_MIN), FORGOTTEN_MAX], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for mac in gone {
            self.replaced(Table::Requests, Some(&mac), None);
        }
        Ok(())
    }
}

impl Reader {
    pub(super) fn request(&self, caller: &str, key: &str) -> Result<Option<Request>, Stop> {
        let found = self
            .connection
            .prepare_cached("SELECT caller, key, digest, at, answer, mac FROM requests WHERE caller = ?1 AND key = ?2")?
            .query_row([caller, key], request_columns)
            .optional()?;
        let Some((columns, mac)) = found else { return Ok(None) };
        let edited = || corrupt(format!("a request of {caller} was edited"));
        if !columns.mac(&self.integrity).matches(&mac) {
            return Err(edited().into());
        }
        let RequestColumns { caller, key, digest, at, answer } = columns;
        let digest = digest.try_into().map_err(|_| edited())?;
        Ok(Some(Request { caller, key, digest, at: Timestamp(at), answer }))
    }
}

pub(super) fn request_columns(row: &rusqlite::Row<'_>) -> rusqlite::Result<(RequestColumns, Vec<u8>)> {
    let columns = RequestColumns {
        caller: row.get(0)?,
        key: row.get(1)?,
        digest: row.get(2)?,
        at: row.get(3)?,
        answer: row.get(4)?,
    };
    Ok((columns, row.get(5)?))
}
