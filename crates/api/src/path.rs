//! Where everything is served. Paths with `{group}` are templates; [`group`] fills them in.

/// Whether the server is up. The only path that needs no token.
pub const HEALTH: &str = "/v1/health";
/// Exchange the one-time code for the first operator's token.
pub const BOOTSTRAP: &str = "/v1/bootstrap";
/// Whether the server is ready: it holds the lease, can write its state, works, and is not about to end.
pub const READY: &str = "/v1/ready";
/// Metrics, as text that Prometheus scrapes.
pub const METRICS: &str = "/metrics";
/// How far each sink of the history got.
pub const SINKS: &str = "/v1/sinks";
/// The alerts that stand: `?group=G`.
pub const ALERTS: &str = "/v1/alerts";
/// What rotations came to: `?since=30d` and `?group=G`.
pub const STATISTICS: &str = "/v1/stats";
/// Who owns what, how old it is, and what shows its last rotation, page by page.
pub const REPORT: &str = "/v1/stats/report";
/// Have the counters begin anew. The history stays.
pub const STATISTICS_RESET: &str = "/v1/stats/reset";
/// Have the server read its configuration again.
pub const RELOAD: &str = "/v1/reload";
/// What an error code means, and what to do: where a problem's `type` points to.
pub const ERROR: &str = "/v1/errors/{code}";
/// This API, described by an OpenAPI document.
pub const OPENAPI: &str = "/v1/openapi.json";
/// All groups that the token may see.
pub const GROUPS: &str = "/v1/groups";
/// One group.
pub const GROUP: &str = "/v1/groups/{group}";
/// What is happening to the group, why, and what can be done about it.
pub const EXPLAIN: &str = "/v1/groups/{group}/explain";
/// What a rotation of the group would do, or what stands in its way.
pub const PLAN: &str = "/v1/groups/{group}/plan";
/// Start a rotation.
pub const ROTATE: &str = "/v1/groups/{group}/rotate";
/// Go back.
pub const ROLLBACK: &str = "/v1/groups/{group}/rollback";
/// Stay where it is.
pub const HOLD: &str = "/v1/groups/{group}/hold";
/// Go on.
pub const RESUME: &str = "/v1/groups/{group}/resume";
/// Give up, while nothing was touched.
pub const ABANDON: &str = "/v1/groups/{group}/abandon";
/// Stop waiting in the present phase.
pub const FORCE: &str = "/v1/groups/{group}/force";
/// Start a rotation over a rollback that waits.
pub const SUPERSEDE: &str = "/v1/groups/{group}/supersede";
/// Take what is in force out of force, because somebody else may hold it.
pub const EMERGENCY: &str = "/v1/groups/{group}/emergency";
/// What an emergency of selected groups would do, and who would be left behind.
pub const EMERGENCY_PLAN: &str = "/v1/emergency/plan";
/// Take groups out of force by a signed message.
pub const HOOK: &str = "/v1/hooks/emergency";
/// How the schedules of groups stand, page by page: `?after=GROUP&limit=N`.
pub const SCHEDULES: &str = "/v1/schedules";
/// What is coming: `?days=N&limit=N`, and `&group=G` of that group only.
pub const CALENDAR: &str = "/v1/calendar";
/// Have nothing started by the group's schedule.
pub const SCHEDULE_PAUSE: &str = "/v1/groups/{group}/schedule/pause";
/// Let the group's schedule start rotations again.
pub const SCHEDULE_RESUME: &str = "/v1/groups/{group}/schedule/resume";
/// For whose word rotations wait, page by page: `?after=GROUP&limit=N`, and `?group=G` of that group only.
pub const APPROVALS: &str = "/v1/approvals";
/// Approve what the group's rotation waits to do.
pub const APPROVE: &str = "/v1/groups/{group}/approve";
/// Campaigns: list them, `?live=true&before=N&limit=N`, or begin one.
pub const CAMPAIGNS: &str = "/v1/campaigns";
/// What a campaign would do: `?groups=A,B`, `&all=true`, `&with_dependants=true`, `&first=dependants`.
pub const CAMPAIGN_PLAN: &str = "/v1/campaigns/plan";
/// One campaign.
pub const CAMPAIGN: &str = "/v1/campaigns/{campaign}";
/// Have a campaign start nothing for now.
pub const CAMPAIGN_HOLD: &str = "/v1/campaigns/{campaign}/hold";
/// Let a held campaign go on.
pub const CAMPAIGN_RESUME: &str = "/v1/campaigns/{campaign}/resume";
/// Undo what can be undone of a campaign.
pub const CAMPAIGN_UNDO: &str = "/v1/campaigns/{campaign}/undo";
/// Have a campaign start nothing more.
pub const CAMPAIGN_CANCEL: &str = "/v1/campaigns/{campaign}/cancel";
/// Compare the record with the world, and make them be of one time.
pub const RECOVER: &str = "/v1/groups/{group}/recover";
/// What happened to the group, the newest first, page by page: `?before=POSITION&limit=N`.
pub const HISTORY: &str = "/v1/groups/{group}/history";
/// What happened to all groups that the token covers: `?before=`, or `?after=` for the oldest first, and `&limit=`.
pub const AUDIT: &str = "/v1/audit";
/// The published value, for a consumer. With `?after=N`: only if a publication above N stands, else *204*.
pub const SECRET: &str = "/v1/groups/{group}/secret";
/// Acknowledge a delivery, with proof.
pub const ACK: &str = "/v1/groups/{group}/ack";
/// The watch stream: server-sent events. With `?group=G`: of that group only.
pub const WATCH: &str = "/v1/watch";

/// A template with the group filled in. Group names need no escaping: they consist of `a-z 0-9 - _ .` only.
pub fn group(template: &str, group: &str) -> String {
    template.replace("{group}", group)
}

/// A template with the campaign's number filled in.
pub fn campaign(template: &str, campaign: u64) -> String {
    template.replace("{campaign}", &campaign.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled_in() {
        assert_eq!(group(SECRET, "orders-db"), "/v1/groups/orders-db/secret");
        assert_eq!(group(HEALTH, "orders-db"), HEALTH);
        assert_eq!(campaign(CAMPAIGN_UNDO, 7), "/v1/campaigns/7/undo");
    }
}
