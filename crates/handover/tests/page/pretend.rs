//! Answers in front of the server's API, in the API's own types, so that each state can be shown at will.

use handover_api::{
    ActionView, ApprovalView, Approvals, Awaited, Calendar, CampaignState, CampaignView, Campaigns, EvidenceView,
    Explanation, FaultView, Gate, GivenView, GroupStatus, GroupSummary, Groups, History, HoldView, LegState, LegView,
    MemberView, NextView, ObstacleView, OccupantView, OnFailure, PlannedRotation, Reach, RecordView, Role,
    RotationView, ScheduleState, ScheduleView, Schedules, SinkFailing, SinkView, Sinks, Status, UnreadableGroup, Until,
};
use serde_json::{Value, json};

use crate::browser::Browser;

/// Ends the watch stream that the page holds.
pub(crate) const CUT_STREAM: &str = "window.cut();";

/// From the next page that is opened on. `text` is in every place that holds a text. In the page, `answers` holds what
/// is answered, `tell` sends an event, and `cut` ends the stream.
pub(crate) fn pretend(browser: &Browser, text: &str) {
    let answers = json!({
        "/v1/groups": groups(text),
        "/v1/groups/alpha": group(text),
        "/v1/groups/alpha/explain": explanation(text),
        "/v1/groups/alpha/history": records(text),
        "/v1/audit": records(text),
        "/v1/sinks": sinks(text),
        "/v1/stats": statistics(text),
        "/v1/alerts": alerts(text),
        "/v1/calendar": calendar(text),
        "/v1/schedules": schedules(text),
        "/v1/approvals": approvals(text),
        "/v1/campaigns": campaigns(text),
    });
    let script = format!(
        "window.answers = {answers};
         window.fetch = async (asked) => {{
             const {{ pathname, searchParams }} = new URL(asked, location.href);
             if (pathname === '/v1/watch') {{
                 const body = new ReadableStream({{ start(stream) {{
                     window.tell = (event) => stream.enqueue(
                         new TextEncoder().encode('data: ' + JSON.stringify(event) + '\\n\\n'));
                     window.cut = () => stream.close();
                     window.tell({{ kind: 'snapshot', groups: [] }});
                 }} }});
                 return new Response(body);
             }}
             let found = answers[pathname];
             if (found?.records) {{
                 const before = Number(searchParams.get('before') ?? Infinity);
                 const rest = found.records.filter((each) => each.position < before);
                 const records = rest.slice(0, Number(searchParams.get('limit')));
                 found = records.length < rest.length ? {{ records, next: records.at(-1).position }} : {{ records }};
             }}
             const problem = {{ status: 404, code: 'no_such_path', detail: 'nothing is served here' }};
             return new Response(JSON.stringify(found ?? problem), {{ status: found ? 200 : 404 }});
         }};"
    );
    browser.devtools("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": script }));
}

fn records(text: &str) -> History {
    let record = |position: u64, event: &str, phase: &str, evidence: &str| RecordView {
        position,
        at: format!("2026-01-02T03:04:{position:02}Z"),
        group: "alpha".to_owned(),
        event: event.to_owned(),
        actor: text.to_owned(),
        fields: [("generation", "5"), ("evidence", evidence), ("phase", phase)]
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    };
    let records = vec![
        record(5, "advanced", "propagate", "store points, at 7"),
        record(3, "learnt", "apply", text),
        record(2, "advanced", "apply", "candidate sealed"),
        record(1, "started", "", "asked for"),
    ];
    History { records, next: None }
}

fn alerts(text: &str) -> Value {
    let at = "2026-01-02T03:04:05Z";
    json!({ "alerts": [{ "group": "alpha", "alert": "stuck", "since": at, "text": text, "hint": text }] })
}

fn approvals(text: &str) -> Approvals {
    let given = |by: &str| GivenView {
        by: by.to_owned(),
        at: "2026-01-02T03:04:05Z".to_owned(),
        expires_at: "2026-01-03T03:04:05Z".to_owned(),
    };
    let waits = ApprovalView {
        group: "alpha".to_owned(),
        generation: 5,
        gate: Gate::Disable,
        text: text.to_owned(),
        plan: "0123456789abcdef".repeat(4),
        asked_by: Some(text.to_owned()),
        since: "2026-01-02T03:04:05Z".to_owned(),
        quorum: 2,
        missing: 1,
        expires_ms: 86_400_000,
        approvers: vec![text.to_owned()],
        given: vec![given(text)],
        may_approve: true,
    };
    let there = ApprovalView { asked_by: None, missing: 0, approvers: Vec::new(), given: Vec::new(), ..waits.clone() };
    Approvals { approvals: vec![waits, there], next: Some("alpha".to_owned()) }
}

fn statistics(text: &str) -> Value {
    json!({
        "ended": { "success": 31, "rolled_back": 2, "failed": 0, "superseded": 1 },
        "success_rate": 0.939,
        "overdue": 1,
        "overdue_groups": [text],
    })
}

fn campaigns(text: &str) -> Campaigns {
    let leg = |group: &str, after: &[&str], state| LegView {
        group: group.to_owned(),
        after: after.iter().map(|name| (*name).to_owned()).collect(),
        state,
        text: text.to_owned(),
        generation: Some(5),
        setback: None,
    };
    let held = CampaignView {
        campaign: 3,
        state: CampaignState::Held,
        text: text.to_owned(),
        asked_by: text.to_owned(),
        reason: Some(text.to_owned()),
        asked_at: "2026-01-02T03:04:05Z".to_owned(),
        parallel_max: 4,
        until: Until::Adopted,
        on_failure: OnFailure::Hold,
        layers: vec![
            vec![leg("alpha", &[], LegState::Through)],
            vec![leg("beta", &["alpha"], LegState::Failed), leg("gamma", &["alpha"], LegState::Waiting)],
        ],
        actions: vec!["resume".to_owned(), "undo".to_owned()],
    };
    Campaigns { campaigns: vec![held], next: Some(3) }
}

fn calendar(text: &str) -> Calendar {
    let planned = |start_at: &str, group: &str| PlannedRotation {
        start_at: start_at.to_owned(),
        group: group.to_owned(),
        planned_at: start_at.to_owned(),
    };
    Calendar {
        from: "2026-01-02T00:00:00Z".to_owned(),
        until: "2026-02-01T00:00:00Z".to_owned(),
        rotations: vec![planned("2026-01-03T02:30:00Z", text), planned("2026-01-04T02:30:00Z", "alpha")],
        more: true,
    }
}

fn schedules(text: &str) -> Schedules {
    let schedule = ScheduleView {
        group: "alpha".to_owned(),
        repeats: text.to_owned(),
        state: ScheduleState::Refused,
        text: text.to_owned(),
        planned_at: None,
        start_at: None,
        windows: vec![text.to_owned()],
        blackout: vec![text.to_owned()],
        open: false,
        open_changes_at: None,
    };
    Schedules { schedules: vec![schedule], next: Some("alpha".to_owned()) }
}

fn groups(text: &str) -> Groups {
    let group = |name: &str, status: Option<Status>, since: Option<&str>| GroupSummary {
        group: name.to_owned(),
        generation: status.map(|_| 4),
        current_since: since.map(str::to_owned),
        publication: 5,
        status,
        phase: status.map(|_| "drain".to_owned()),
        hold: None,
        doubt: None,
        trouble: None,
        entered_at: status.map(|_| "2026-01-02T03:04:05Z".to_owned()),
    };
    let alpha = group("alpha", Some(Status::InProgress), Some("2026-01-01T00:00:00Z"));
    let beta = group("beta", Some(Status::RolledBack), Some("2026-01-02T00:00:00Z"));
    let doubted = (Some("store_ahead".to_owned()), Some("HO0101".to_owned()));
    Groups {
        groups: vec![
            GroupSummary { hold: Some(text.to_owned()), ..alpha },
            GroupSummary { doubt: doubted.0, trouble: doubted.1, ..beta },
            group("delta", Some(Status::Success), Some("2025-06-01T00:00:00Z")),
            group("gamma", None, None),
        ],
        unreadable: vec![UnreadableGroup {
            group: "epsilon".to_owned(),
            code: "HO0115".to_owned(),
            detail: text.to_owned(),
        }],
        unconfigured: vec!["old-one".to_owned()],
        next: None,
    }
}

const fn occupant(generation: u64, slot: u32) -> OccupantView {
    OccupantView { generation, slot, candidate: 1 }
}

fn group(text: &str) -> GroupStatus {
    let rotation = RotationView {
        from: Some(occupant(4, 1)),
        to: occupant(5, 0),
        owed: vec![occupant(3, 2)],
        phase: "propagate".to_owned(),
        status: Status::InProgress,
        hold: Some("force_wanted".to_owned()),
        trouble: Some("HO0101".to_owned()),
        cause: Some(text.to_owned()),
        wave: None,
        waiting_for: Vec::new(),
        entered_at: "2026-01-02T03:04:05Z".to_owned(),
        elapsed_ms: 61_000,
    };
    let member = |reach| MemberView { consumer: text.to_owned(), role: Role::Presenter, publication: None, reach };
    GroupStatus {
        group: "alpha".to_owned(),
        target: text.to_owned(),
        current: Some(occupant(4, 1)),
        current_since: None,
        publication: 5,
        rotation: Some(rotation),
        consumers: vec![member(Reach::Expected), member(Reach::Used)],
        schedule: None,
        emergency: None,
    }
}

fn explanation(text: &str) -> Explanation {
    let text = || text.to_owned();
    let at = || "2026-01-02T03:04:05Z".to_owned();
    Explanation {
        group: "alpha".to_owned(),
        summary: text(),
        since: Some(at()),
        current: Some(occupant(4, 1)),
        current_since: None,
        generation: Some(5),
        phase: Some("propagate".to_owned()),
        status: Some(Status::InProgress),
        evidence: vec![EvidenceView { kind: "presenters".to_owned(), text: text() }],
        waiting_for: vec![Awaited {
            kind: "consumer".to_owned(),
            text: text(),
            subject: Some(text()),
            since: at(),
            publication: Some(4),
            reach: Some(Reach::Loaded),
            remaining_ms: Some(61_000),
        }],
        hold: Some(HoldView { kind: "force_wanted".to_owned(), text: text() }),
        last_fault: Some(FaultView {
            code: "HO0101".to_owned(),
            text: text(),
            page: "docs/errors/HO0101.md".to_owned(),
            at: Some(at()),
        }),
        litter: Vec::new(),
        campaign: None,
        next: NextView {
            text: text(),
            deadline_ms: Some(90_000),
            then: Some(text()),
            obstacles: vec![ObstacleView { kind: "found".to_owned(), text: text(), hint: text() }],
        },
        actions: vec![ActionView { command: format!("handover hold {}", text()), text: text() }],
    }
}

fn sinks(text: &str) -> Value {
    let sink = |name: &str, failing: Option<SinkFailing>| SinkView {
        sink: name.to_owned(),
        position: 9,
        waiting: 12,
        failing,
    };
    let failing =
        SinkFailing { since: "2026-01-02T03:04:05Z".to_owned(), code: "HO0105".to_owned(), detail: text.to_owned() };
    json!(Sinks { sinks: vec![sink("audit_file", None), sink("siem", Some(failing))] })
}
