//! The rows of campaigns.

use handover_core::campaign::Campaign;
use handover_core::port::{CAMPAIGNS_ENDED_MAX, CampaignCommit, Committed};
use handover_core::{CampaignId, RowVersion};
use rusqlite::{OptionalExtension as _, params};

use super::batch::{Batch, fenced};
use super::guard::{CampaignColumns, Table};
use super::reader::Reader;
use super::trouble::{Stop, corrupt, stored_int};
use crate::seal::Integrity;
use crate::state::rows;

/// The most that one call lists, whatever it asks for.
const LIST_MAX: usize = 10_000;

impl Batch<'_> {
    /// Commits a campaign with all that belongs to it.
    pub(super) fn commit_campaign(&mut self, commit: CampaignCommit) -> Result<Committed<Campaign>, Stop> {
        let CampaignCommit { campaign, expect, epoch, under, entries, request } = commit;
        self.fence(epoch)?;
        if let Some(request) = &request {
            self.not_carried_out(request)?;
        }
        let id = stored_int(campaign.id.0)?;
        let stored = self.stored_campaign(id)?;
        let expected = expect.map(|RowVersion(version)| stored_int(version)).transpose()?;
        if stored.as_ref().map(|(version, _)| *version) != expected {
            let words = format!("campaign {id} is not at the version that this commit was made for; load it again");
            return Err(fenced(words).into());
        }
        let columns = CampaignColumns {
            id,
            version: stored_int(campaign.version.0)?,
            live: campaign.is_live(),
            body: rows::write_campaign(&campaign),
        };
        // Nothing was written until here, and nothing is refused after.
        for entry in &entries {
            self.record_alone(&under, entry, epoch)?;
        }
        let mac = columns.mac(self.integrity);
        self.connection
            .prepare_cached(
                "INSERT INTO campaigns (id, version, live, body, mac) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (id) DO UPDATE SET version = ?2, live = ?3, body = ?4, mac = ?5",
            )?
            .execute(params![columns.id, columns.version, columns.live, columns.body, mac])?;
        self.replaced(Table::Campaigns, stored.as_ref().map(|(_, mac)| mac.as_slice()), Some(&mac));
        if expect.is_none() {
            self.forget_campaigns(id)?;
        }
        if let Some(request) = request {
            self.forget_requests(request.at)?;
            self.keep_request(request)?;
        }
        Ok(Committed::vouch(campaign))
    }

    /// The version and checksum of what stands, checked: what was edited is not written over before anybody noticed.
    fn stored_campaign(&self, id: i64) -> Result<Option<(i64, Vec<u8>)>, Stop> {
        let found = self
            .connection
            .prepare_cached("SELECT id, version, live, body, mac FROM campaigns WHERE id = ?1")?
            .query_row([id], campaign_columns)
            .optional()?;
        let Some((columns, mac)) = found else { return Ok(None) };
        unedited(&columns, &mac, self.integrity)?;
        Ok(Some((columns.version, mac)))
    }

    fn forget_campaigns(&mut self, newest: i64) -> Result<(), Stop> {
        let oldest = newest.saturating_sub(stored_int(CAMPAIGNS_ENDED_MAX)?);
        let gone: Vec<Vec<u8>> = self
            .connection
            .prepare_cached("DELETE FROM campaigns WHERE id <= ?1 AND live = 0 RETURNING mac")?
            .query_map([oldest], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for mac in gone {
            self.replaced(Table::Campaigns, Some(&mac), None);
        }
        Ok(())
    }
}

impl Reader {
    pub(super) fn campaign(&self, id: CampaignId) -> Result<Option<Committed<Campaign>>, Stop> {
        let found = self
            .connection
            .prepare_cached("SELECT id, version, live, body, mac FROM campaigns WHERE id = ?1")?
            .query_row([stored_int(id.0)?], campaign_columns)
            .optional()?;
        found.map(|(columns, mac)| self.read_campaign(&columns, &mac)).transpose()
    }

    pub(super) fn campaigns(
        &self,
        live: bool,
        before: Option<CampaignId>,
        limit: usize,
    ) -> Result<Vec<Committed<Campaign>>, Stop> {
        let sql = if live {
            "SELECT id, version, live, body, mac FROM campaigns WHERE live = 1 AND id < ?1 ORDER BY id DESC LIMIT ?2"
        } else {
            "SELECT id, version, live, body, mac FROM campaigns WHERE id < ?1 ORDER BY id DESC LIMIT ?2"
        };
        let before = before.map_or(Ok(i64::MAX), |CampaignId(before)| stored_int(before))?;
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![before, limit.min(LIST_MAX)])?;
        let mut campaigns = Vec::new();
        while let Some(row) = rows.next()? {
            let (columns, mac) = campaign_columns(row)?;
            campaigns.push(self.read_campaign(&columns, &mac)?);
        }
        Ok(campaigns)
    }

    fn read_campaign(&self, columns: &CampaignColumns, mac: &[u8]) -> Result<Committed<Campaign>, Stop> {
        unedited(columns, mac, &self.integrity)?;
        Ok(Committed::vouch(rows::read_campaign(&columns.body)?))
    }
}

fn unedited(columns: &CampaignColumns, mac: &[u8], integrity: &Integrity) -> Result<(), Stop> {
    if columns.mac(integrity).matches(mac) {
        return Ok(());
    }
    Err(corrupt(format!("the row of campaign {} was edited", columns.id)).into())
}

pub(super) fn campaign_columns(row: &rusqlite::Row<'_>) -> rusqlite::Result<(CampaignColumns, Vec<u8>)> {
    let columns = CampaignColumns { id: row.get(0)?, version: row.get(1)?, live: row.get(2)?, body: row.get(3)? };
    Ok((columns, row.get(4)?))
}
