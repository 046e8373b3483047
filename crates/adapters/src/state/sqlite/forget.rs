//! Forgetting a group. Its history stays.

use handover_core::port::Entry;
use handover_core::{Epoch, GroupId, RowVersion};
use rusqlite::params;

use super::batch::{Batch, fenced};
use super::guard::{Table, candidate_mac, key_mac};
use super::trouble::{Stop, stored_int};

impl Batch<'_> {
    /// Deletes all that is known of a group, if its row is at `expect`.
    pub(super) fn forget(
        &mut self,
        group: &GroupId,
        expect: RowVersion,
        epoch: Epoch,
        entry: &Entry,
    ) -> Result<(), Stop> {
        self.fence(epoch)?;
        let stored = self.stored(group, Some(expect))?.filter(|stored| stored_int(expect.0) == Ok(stored.version));
        let Some(stored) = stored else {
            return Err(fenced(format!("the row of {group} has moved on; look at it again")).into());
        };
        // Nothing was written until here, and nothing is refused after.
        self.connection.prepare_cached("DELETE FROM groups WHERE name = ?1")?.execute([group.as_str()])?;
        self.replaced(Table::Groups, Some(&stored.mac), None);
        self.forget_values(group.as_str())?;
        for (table, sql) in [
            (Table::Plans, "DELETE FROM plans WHERE group_name = ?1 RETURNING mac"),
            (Table::Rolls, "DELETE FROM rolls WHERE group_name = ?1 RETURNING mac"),
            (Table::Members, "DELETE FROM members WHERE group_name = ?1 RETURNING mac"),
            (Table::Deliveries, "DELETE FROM deliveries WHERE group_name = ?1 RETURNING mac"),
        ] {
            let gone: Vec<Vec<u8>> = self
                .connection
                .prepare_cached(sql)?
                .query_map([group.as_str()], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            for mac in gone {
                self.replaced(table, Some(&mac), None);
            }
        }
        // Its history is found without its row from here on.
        let position = self.record(group, entry, epoch, None, stored.last_record)?;
        self.set_last_record_of_rowless(group.as_str(), position)?;
        Ok(())
    }

    /// The sealed values, and the key that they are sealed with.
    fn forget_values(&mut self, group: &str) -> Result<(), Stop> {
        let values: Vec<(i64, i64, Vec<u8>)> = self
            .connection
            .prepare_cached("DELETE FROM candidates WHERE group_name = ?1 RETURNING generation, candidate, sealed")?
            .query_map([group], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_, _>>()?;
        for (generation, candidate, sealed) in values {
            let mac = candidate_mac(self.integrity, group, generation, candidate, &sealed);
            self.replaced(Table::Candidates, Some(&mac), None);
        }
        let keys: Vec<Vec<u8>> = self
            .connection
            .prepare_cached("DELETE FROM keys WHERE group_name = ?1 RETURNING wrapped")?
            .query_map(params![group], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for wrapped in keys {
            let mac = key_mac(self.integrity, group, &wrapped);
            self.replaced(Table::Keys, Some(&mac), None);
        }
        Ok(())
    }
}
