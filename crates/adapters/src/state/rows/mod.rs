//! What rows look like when stored: types of their own, with a version, and conversions written out. The core's types
//! can change without a stored row changing its meaning by accident.

mod campaign;
mod plan;
mod rotation;
mod waves;

use handover_core::campaign::Campaign;
use handover_core::{BadName, Fault, FaultKind, Plan, Row};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The version that is written.
const VERSION: u32 = 1;

/// A row as text.
pub(super) fn write_row(row: &Row) -> String {
    text(&rotation::StoredRow::from(row))
}

/// A plan as text.
pub(super) fn write_plan(plan: &Plan) -> String {
    text(&plan::StoredPlan::from(plan))
}

/// The row that was written. `Misconfigured` if a newer program wrote it, `Corrupt` if it makes no sense.
pub(super) fn read_row(stored: &str) -> Result<Row, Fault> {
    let row: rotation::StoredRow = parse("row", stored)?;
    row.into_core().map_err(|Unreadable(what)| corrupt("row", what))
}

/// The plan that was written. Errors as [`read_row`].
pub(super) fn read_plan(stored: &str) -> Result<Plan, Fault> {
    let plan: plan::StoredPlan = parse("plan", stored)?;
    plan.into_core().map_err(|Unreadable(what)| corrupt("plan", what))
}

/// A campaign's row as text.
pub(super) fn write_campaign(row: &Campaign) -> String {
    text(&campaign::StoredCampaign::from(row))
}

/// The campaign's row that was written. Errors as [`read_row`].
pub(super) fn read_campaign(stored: &str) -> Result<Campaign, Fault> {
    let row: campaign::StoredCampaign = parse("campaign", stored)?;
    row.into_core().map_err(|Unreadable(what)| corrupt("campaign", what))
}

/// A stored part that the core has no value for.
struct Unreadable(&'static str);

impl From<BadName> for Unreadable {
    fn from(bad: BadName) -> Self {
        Self(bad.why)
    }
}

/// The one field that every version has.
#[derive(Deserialize)]
struct Version {
    v: u32,
}

fn parse<T: DeserializeOwned>(what: &str, stored: &str) -> Result<T, Fault> {
    let Version { v } =
        serde_json::from_str(stored).map_err(|_| corrupt(what, "it is not what this program writes"))?;
    if v != VERSION {
        return Err(Fault::untouched(
            FaultKind::Misconfigured,
            format!(
                "a stored {what} has version {v}, and this program reads version {VERSION}; run the program that wrote it, or a \
                 newer one"
            ),
        ));
    }
    serde_json::from_str(stored).map_err(|_| corrupt(what, "a part of it is missing or unknown"))
}

fn text<T: serde::Serialize>(value: &T) -> String {
    #[expect(clippy::expect_used, reason = "maps have string keys, and the writer is memory")]
    let text = serde_json::to_string(value).expect("a stored row serialises");
    text
}

fn corrupt(what: &str, why: &str) -> Fault {
    Fault::untouched(
        FaultKind::Corrupt,
        format!("a stored {what} cannot be read: {why}; restore the state file from a backup"),
    )
}

#[cfg(test)]
mod tests;
