//! From where sessions come: for people, who have to find the one that goes on with an old password.

use std::collections::BTreeMap;

use handover_core::port::Source;
use handover_core::{Fault, Occupant, Touched};
use tokio_postgres::types::Type;

use super::Postgres;
use super::fault::fault;

/// Users are found by what their label says, and no more addresses than people read. Without `pg_read_all_stats` the
/// address and the port of other users' sessions are null.
const SOURCES: &str = "SELECT CASE WHEN client_port = -1 THEN 'a local socket' ELSE host(client_addr) END, count(*) \
                       FROM pg_stat_activity WHERE EXISTS (SELECT 1 FROM unnest($1) label \
                       WHERE strpos(shobj_description(usesysid, 'pg_authid'), label) > 0) \
                       GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 16";

/// Each address once, over all servers.
pub(super) async fn sources(target: &Postgres, of: &[Occupant]) -> Result<Vec<Source>, Fault> {
    let label = |who: &Occupant| {
        format!("handover:v1 group={} slot={} generation={} ", target.group.as_str(), who.slot, who.generation)
    };
    let labels: Vec<String> = of.iter().map(label).collect();
    let mut found: BTreeMap<Option<String>, u32> = BTreeMap::new();
    for endpoint in target.config.servers() {
        let session = target.admin(endpoint).await?;
        let rows = session.query_typed(SOURCES, &[(&labels, Type::TEXT_ARRAY)]).await;
        let failed = |error| {
            let doing = format!("asking endpoint {} from where sessions come", endpoint.name);
            fault(&error, Touched::Nothing, &doing)
        };
        for row in rows.map_err(failed)? {
            let columns = row.try_get(0).and_then(|address| Ok((address, row.try_get::<_, i64>(1)?)));
            let (address, uses): (Option<String>, i64) = columns.map_err(failed)?;
            let sum = found.entry(address).or_default();
            *sum = sum.saturating_add(u32::try_from(uses).unwrap_or(u32::MAX));
        }
        session.keep();
    }
    Ok(found.into_iter().map(|(address, uses)| Source { address, uses }).collect())
}
