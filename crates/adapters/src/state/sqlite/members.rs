//! Who is expected, what was delivered, and how far each got.

use handover_core::port::Delivery;
use handover_core::{ConsumerId, Fault, GroupId, Member, Publication, Reach, Role, RollCall};
use rusqlite::{OptionalExtension, Row, params};

use super::batch::Batch;
use super::guard::{DeliveryColumns, MemberColumns, Table, roll_mac};
use super::reader::Reader;
use super::trouble::{Stop, corrupt, read_int, stored_int};

/// How many unanswered deliveries of one consumer are kept. A consumer may be many processes under one name; the oldest
/// nonce goes first, and its holder fetches again.
const DELIVERIES_MAX: u32 = 1024;

impl Batch<'_> {
    /// Puts a consumer on the roll because the configuration names it.
    pub(super) fn declare(&mut self, group: &GroupId, consumer: &ConsumerId, role: Role) -> Result<(), Stop> {
        let old = self.member(group, consumer, role)?;
        if old.as_ref().is_some_and(|(member, _)| member.declared) {
            return Ok(());
        }
        self.put_member(fresh(group, consumer, role), old, |member| member.declared = true)
    }

    /// Says whether the list of a group's consumers is complete.
    pub(super) fn set_complete(&mut self, group: &GroupId, complete: bool) -> Result<(), Stop> {
        let old: Option<(bool, Vec<u8>)> = self
            .connection
            .prepare_cached("SELECT complete, mac FROM rolls WHERE group_name = ?1")?
            .query_row([group.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if old.as_ref().is_some_and(|(stored, _)| *stored == complete) {
            return Ok(());
        }
        let mac = roll_mac(self.integrity, group.as_str(), complete);
        self.connection
            .prepare_cached(
                "INSERT INTO rolls (group_name, complete, mac) VALUES (?1, ?2, ?3)
                 ON CONFLICT (group_name) DO UPDATE SET complete = excluded.complete, mac = excluded.mac",
            )?
            .execute(params![group.as_str(), complete, mac])?;
        self.replaced(Table::Rolls, old.as_ref().map(|(_, mac)| mac.as_slice()), Some(&mac));
        Ok(())
    }

    pub(super) fn delivered(
        &mut self,
        group: &GroupId,
        consumer: &ConsumerId,
        role: Role,
        delivery: Delivery,
    ) -> Result<(), Stop> {
        let columns = DeliveryColumns {
            group: group.to_string(),
            consumer: consumer.to_string(),
            nonce: delivery.nonce,
            publication: stored_int(delivery.publication.0)?,
            generation: stored_int(delivery.generation.0)?,
        };
        let member = self.member(group, consumer, role)?;
        if member.is_none() {
            self.put_member(fresh(group, consumer, role), None, |_| {})?;
        }
        self.put_delivery(&columns)?;
        self.forget_deliveries(&columns)?;
        Ok(())
    }

    pub(super) fn acknowledged(
        &mut self,
        group: &GroupId,
        consumer: &ConsumerId,
        role: Role,
        publication: Publication,
        reach: Reach,
    ) -> Result<(), Stop> {
        let stored = stored_int(publication.0)?;
        let old = self.member(group, consumer, role)?;
        if let Some((MemberColumns { acked: Some((acked, got)), .. }, _)) = &old
            && (*acked, read_reach(got)?) >= (stored, reach)
        {
            return Ok(());
        }
        self.put_member(fresh(group, consumer, role), old, |member| {
            member.acked = Some((stored, reach_word(reach).to_owned()));
        })
    }

    /// Takes a consumer off the roll in every role, with its deliveries.
    pub(super) fn excuse(&mut self, group: &GroupId, consumer: &ConsumerId) -> Result<(), Stop> {
        let both = params![group.as_str(), consumer.as_str()];
        for (table, sql) in [
            (Table::Members, "DELETE FROM members WHERE group_name = ?1 AND consumer = ?2 RETURNING mac"),
            (Table::Deliveries, "DELETE FROM deliveries WHERE group_name = ?1 AND consumer = ?2 RETURNING mac"),
        ] {
            let gone: Vec<Vec<u8>> =
                self.connection.prepare_cached(sql)?.query_map(both, |row| row.get(0))?.collect::<Result<_, _>>()?;
            for mac in gone {
                self.replaced(table, Some(&mac), None);
            }
        }
        Ok(())
    }

    /// Takes a consumer off the roll in one role; its other role and its deliveries stay.
    pub(super) fn withdraw(&mut self, group: &GroupId, consumer: &ConsumerId, role: Role) -> Result<(), Stop> {
        let gone: Vec<Vec<u8>> = self
            .connection
            .prepare_cached(
                "DELETE FROM members WHERE group_name = ?1 AND role = ?2 AND consumer = ?3 AND declared RETURNING mac",
            )?
            .query_map(params![group.as_str(), role_word(role), consumer.as_str()], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for mac in gone {
            self.replaced(Table::Members, Some(&mac), None);
        }
        Ok(())
    }

    fn member(
        &self,
        group: &GroupId,
        consumer: &ConsumerId,
        role: Role,
    ) -> Result<Option<(MemberColumns, Vec<u8>)>, Stop> {
        let found = self
            .connection
            .prepare_cached(
                "SELECT group_name, role, consumer, declared, acked_publication, acked_reach, mac FROM members
                 WHERE group_name = ?1 AND role = ?2 AND consumer = ?3",
            )?
            .query_row(params![group.as_str(), role_word(role), consumer.as_str()], member_columns)
            .optional()?;
        // A change keeps the other columns, and must not sign an edit of them.
        if found.as_ref().is_some_and(|(member, mac)| !member.mac(self.integrity).matches(mac)) {
            return Err(corrupt(format!("what is stored of consumer {consumer} of {group} was edited")).into());
        }
        Ok(found)
    }

    fn put_member(
        &mut self,
        fresh: MemberColumns,
        old: Option<(MemberColumns, Vec<u8>)>,
        change: impl FnOnce(&mut MemberColumns),
    ) -> Result<(), Stop> {
        let (mut member, old_mac) = match old {
            Some((member, mac)) => (member, Some(mac)),
            None => (fresh, None),
        };
        change(&mut member);
        let mac = member.mac(self.integrity);
        let (publication, reach) = member.acked.as_ref().map(|(publication, reach)| (*publication, reach)).unzip();
        self.connection
            .prepare_cached(
                "INSERT INTO members (group_name, role, consumer, declared, acked_publication, acked_reach, mac)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT (group_name, role, consumer) DO UPDATE SET declared = excluded.declared,
                     acked_publication = excluded.acked_publication, acked_reach = excluded.acked_reach,
                     mac = excluded.mac",
            )?
            .execute(params![member.group, member.role, member.consumer, member.declared, publication, reach, mac])?;
        self.replaced(Table::Members, old_mac.as_deref(), Some(&mac));
        Ok(())
    }

    fn put_delivery(&mut self, columns: &DeliveryColumns) -> Result<(), Stop> {
        let mac = columns.mac(self.integrity);
        let old: Option<Vec<u8>> = self
            .connection
            .prepare_cached(
                "DELETE FROM deliveries WHERE group_name = ?1 AND consumer = ?2 AND nonce = ?3 RETURNING mac",
            )?
            .query_row(params![columns.group, columns.consumer, columns.nonce], |row| row.get(0))
            .optional()?;
        self.connection
            .prepare_cached(
                "INSERT INTO deliveries (group_name, consumer, nonce, publication, generation, mac)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                columns.group,
                columns.consumer,
                columns.nonce,
                columns.publication,
                columns.generation,
                mac
            ])?;
        self.replaced(Table::Deliveries, old.as_deref(), Some(&mac));
        Ok(())
    }

    /// Nonces of earlier publications answer nothing any more, and there is a limit for those of this one.
    fn forget_deliveries(&mut self, columns: &DeliveryColumns) -> Result<(), Stop> {
        let gone: Vec<Vec<u8>> = self
            .connection
            .prepare_cached(
                "DELETE FROM deliveries WHERE group_name = ?1 AND consumer = ?2 AND (publication < ?3 OR sequence <= (
                     SELECT sequence FROM deliveries WHERE group_name = ?1 AND consumer = ?2
                     ORDER BY sequence DESC LIMIT 1 OFFSET ?4)) RETURNING mac",
            )?
            .query_map(params![columns.group, columns.consumer, columns.publication, DELIVERIES_MAX], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for mac in gone {
            self.replaced(Table::Deliveries, Some(&mac), None);
        }
        Ok(())
    }
}

impl Reader {
    /// Those that a configuration has put on the roll.
    pub(super) fn declared(&self, group: &GroupId) -> Result<Vec<(ConsumerId, Role)>, Stop> {
        let found: Vec<(MemberColumns, Vec<u8>)> = self
            .connection
            .prepare_cached(
                "SELECT group_name, role, consumer, declared, acked_publication, acked_reach, mac FROM members
                 WHERE group_name = ?1 ORDER BY role, consumer",
            )?
            .query_map([group.as_str()], member_columns)?
            .collect::<Result<_, _>>()?;
        let mut declared = Vec::new();
        for (member, mac) in found {
            if !member.mac(&self.integrity).matches(&mac) {
                return Err(corrupt(format!("what is stored of a consumer of {group} was edited")).into());
            }
            if member.declared {
                let consumer = ConsumerId::parse(&member.consumer)
                    .map_err(|_| corrupt(format!("a consumer of {group} has no valid name")))?;
                declared.push((consumer, read_role(&member.role)?));
            }
        }
        Ok(declared)
    }

    pub(super) fn roll_call(&self, group: &GroupId, role: Role) -> Result<RollCall, Stop> {
        // One transaction: the list and whether it is complete belong together.
        let transaction = self.connection.unchecked_transaction()?;
        let members: Vec<(MemberColumns, Vec<u8>)> = transaction
            .prepare_cached(
                "SELECT group_name, role, consumer, declared, acked_publication, acked_reach, mac FROM members
                 WHERE group_name = ?1 AND role = ?2 ORDER BY consumer",
            )?
            .query_map(params![group.as_str(), role_word(role)], member_columns)?
            .collect::<Result<_, _>>()?;
        let roll: Option<(bool, Vec<u8>)> = transaction
            .prepare_cached("SELECT complete, mac FROM rolls WHERE group_name = ?1")?
            .query_row([group.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let complete = match roll {
            Some((complete, mac)) if roll_mac(&self.integrity, group.as_str(), complete).matches(&mac) => complete,
            Some(_) => return Err(corrupt(format!("the roll of {group} was edited")).into()),
            None => false,
        };
        let members = members.into_iter().map(|(member, mac)| {
            if !member.mac(&self.integrity).matches(&mac) {
                return Err(corrupt(format!("what is stored of a consumer of {group} was edited")));
            }
            Ok(Member {
                consumer: ConsumerId::parse(&member.consumer)
                    .map_err(|_| corrupt(format!("a consumer of {group} has no valid name")))?,
                acked: member
                    .acked
                    .map(|(publication, reach)| Ok((Publication(read_int(publication)?), read_reach(&reach)?)))
                    .transpose()?,
            })
        });
        Ok(RollCall { members: members.collect::<Result<_, Fault>>()?, complete })
    }

    pub(super) fn delivery(
        &self,
        group: &GroupId,
        consumer: &ConsumerId,
        nonce: &[u8],
    ) -> Result<Option<Delivery>, Stop> {
        let found = self
            .connection
            .prepare_cached(
                "SELECT group_name, consumer, nonce, publication, generation, mac FROM deliveries
                 WHERE group_name = ?1 AND consumer = ?2 AND nonce = ?3",
            )?
            .query_row(params![group.as_str(), consumer.as_str(), nonce], delivery_columns)
            .optional()?;
        let Some((columns, mac)) = found else { return Ok(None) };
        if !columns.mac(&self.integrity).matches(&mac) {
            return Err(corrupt(format!("a delivery to {consumer} was edited")).into());
        }
        Ok(Some(Delivery {
            publication: Publication(read_int(columns.publication)?),
            generation: handover_core::Generation(read_int(columns.generation)?),
            nonce: columns.nonce,
        }))
    }
}

pub(super) fn member_columns(row: &Row<'_>) -> rusqlite::Result<(MemberColumns, Vec<u8>)> {
    let publication: Option<i64> = row.get(4)?;
    let reach: Option<String> = row.get(5)?;
    let member = MemberColumns {
        group: row.get(0)?,
        role: row.get(1)?,
        consumer: row.get(2)?,
        declared: row.get(3)?,
        acked: publication.zip(reach),
    };
    Ok((member, row.get(6)?))
}

pub(super) fn delivery_columns(row: &Row<'_>) -> rusqlite::Result<(DeliveryColumns, Vec<u8>)> {
    let delivery = DeliveryColumns {
        group: row.get(0)?,
        consumer: row.get(1)?,
        nonce: row.get(2)?,
        publication: row.get(3)?,
        generation: row.get(4)?,
    };
    Ok((delivery, row.get(5)?))
}

fn fresh(group: &GroupId, consumer: &ConsumerId, role: Role) -> MemberColumns {
    MemberColumns {
        group: group.to_string(),
        role: role_word(role).to_owned(),
        consumer: consumer.to_string(),
        declared: false,
        acked: None,
    }
}

const fn role_word(role: Role) -> &'static str {
    match role {
        Role::Verifier => "verifier",
        Role::Presenter => "presenter",
    }
}

fn read_role(word: &str) -> Result<Role, Fault> {
    [Role::Verifier, Role::Presenter]
        .into_iter()
        .find(|role| role_word(*role) == word)
        .ok_or_else(|| corrupt("a consumer has an unknown role".to_owned()))
}

const fn reach_word(reach: Reach) -> &'static str {
    match reach {
        Reach::Expected => "expected",
        Reach::Delivered => "delivered",
        Reach::Loaded => "loaded",
        Reach::Used => "used",
    }
}

fn read_reach(word: &str) -> Result<Reach, Fault> {
    [Reach::Expected, Reach::Delivered, Reach::Loaded, Reach::Used]
        .into_iter()
        .find(|reach| reach_word(*reach) == word)
        .ok_or_else(|| corrupt("an acknowledgement has an unknown reach".to_owned()))
}
