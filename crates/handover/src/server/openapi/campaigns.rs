//! The routes of campaigns.

use axum::http::Method;
use handover_api::path;

use super::{Answer, BEFORE, LIMIT, Operation, look};

const REFUSALS: &[&str] = &["idempotency_mismatch", "campaign_state", "reason_too_long"];

pub(super) fn operation(method: &Method, path: &str) -> Option<Operation> {
    let order = |id, summary| Operation {
        id,
        summary,
        query: &[],
        body: Some("OrderRequest"),
        answer: (204, Answer::Nothing),
        refusals: REFUSALS,
    };
    Some(match (method.as_str(), path) {
        ("GET", path::CAMPAIGNS) => Operation {
            query: &[
                ("live", "boolean", "Only those that have not ended"),
                (BEFORE.0, BEFORE.1, "Only older ones"),
                LIMIT,
            ],
            ..look(
                "campaigns",
                "Lists campaigns whose groups the token covers, the newest first",
                Answer::Json("Campaigns"),
            )
        },
        ("POST", path::CAMPAIGNS) => Operation {
            id: "begin_campaign",
            summary: "Has groups rotate that depend on one another, in order",
            query: &[],
            body: Some("CampaignRequest"),
            answer: (202, Answer::Json("CampaignBegun")),
            refusals: &["idempotency_mismatch", "no_such_group", "in_campaign", "reason_too_long"],
        },
        ("GET", path::CAMPAIGN_PLAN) => Operation {
            query: &[
                ("groups", "string", "Names of groups, with commas between them"),
                ("all", "boolean", "Every group that the token covers"),
                ("with_dependants", "boolean", "Also those that depend on the chosen ones"),
                ("first", "string", "`dependencies` or `dependants`"),
                ("parallel_max", "integer", "How many rotations may be on their way at once"),
                ("until", "string", "`adopted` or `ended`"),
                ("on_failure", "string", "`hold`, `undo` or `go_on`"),
            ],
            refusals: &["no_such_group"],
            ..look(
                "campaign_plan",
                "What a campaign would do, and what stands in the way of its groups",
                Answer::Json("CampaignPlan"),
            )
        },
        ("GET", path::CAMPAIGN) => look("campaign", "Where a campaign stands", Answer::Json("CampaignView")),
        ("POST", path::CAMPAIGN_HOLD) => order("hold_campaign", "Has a campaign start nothing for now"),
        ("POST", path::CAMPAIGN_RESUME) => Operation {
            body: Some("CampaignResume"),
            ..order("resume_campaign", "Lets a held campaign go on; what failed is tried again, or left")
        },
        ("POST", path::CAMPAIGN_UNDO) => order("undo_campaign", "Undoes what can be undone, in the reverse order"),
        ("POST", path::CAMPAIGN_CANCEL) => order("cancel_campaign", "Has a campaign start nothing more"),
        _ => return None,
    })
}
