//! Requests that were carried out: what a repeat is answered.

use rusqlite::Row;

use super::guard::RequestColumns;

pub(super) fn request_columns(row: &Row<'_>) -> rusqlite::Result<(RequestColumns, Vec<u8>)> {
    let columns = RequestColumns {
        caller: row.get(0)?,
        key: row.get(1)?,
        digest: row.get(2)?,
        at: row.get(3)?,
        answer: row.get(4)?,
    };
    Ok((columns, row.get(5)?))
}
