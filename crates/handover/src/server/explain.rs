//! What is happening to a group, why, and what can be done about it: put together from the row, its plan, the roll and
//! the last faults. What can be done is what the core accepts when asked; nothing is guessed.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use handover_api as api;
use handover_core::{
    Blocker, Fact, Gate, GroupId, Obstacle, Order, Phase, Plan, Publication, Reach, Role, RollCall, Rotation, Row,
    Seen, Stretch, Timestamp, advance, approvals, check,
};
use handover_engine::history::{gate_word, order_word, phase_word};
use handover_engine::{FaultSeen, View, sighting};

use super::App;
use super::auth::Covered;
use super::refusal::Refused;
use super::{schedule, since, view};
use crate::words;

pub(crate) async fn explain(
    State(app): State<Arc<App>>,
    Covered { caller, group }: Covered,
) -> Result<Json<api::Explanation>, Refused> {
    let found = app.engine.view(&group).await?;
    let called = found
        .row
        .live()
        .zip(found.plan.as_ref())
        .and_then(|(live, plan)| live.phase.called().map(|(_, role)| role).filter(|role| calls(plan, *role)));
    let roll = match called {
        Some(role) => Some((role, app.engine.roll_call(&group, role).await?)),
        None => None,
    };
    // At rest the next step is a rotation: look whether one would be let start.
    let next = match found.row.live() {
        Some(_) => None,
        None => Some(app.engine.plan(&group).await.unwrap_or_else(|fault| Err(vec![Obstacle::Found(fault)]))),
    };
    let litter = match found.row.live() {
        Some(_) => Vec::new(),
        None => litter(&app, &group).await,
    };
    let current_since = since::in_force(&app.engine, &found.row, since::ALONE).await;
    let schedule = app.engine.bound_schedule(&group).map(|schedule| app.engine.schedule_of(schedule, &found.row));
    let schedule = schedule.map(|seen| schedule::text(&seen, app.engine.now()));
    let retry = app.engine.retry(&found.row);
    let standing = Standing { found: &found, current_since, roll, litter, next: next.as_ref(), retry, schedule };
    let campaign = app.engine.campaign_of(&group).await?;
    // Whoever does not cover all of its groups is told that there is one, and no more: the words name others.
    let campaign = campaign.and_then(|campaign| match campaign.legs.keys().all(|leg| caller.covers(leg)) {
        true => words::campaign::of_group(&campaign, &group),
        false => Some(format!("campaign {}, which the token does not cover", campaign.id)),
    });
    Ok(Json(api::Explanation { campaign, ..standing.explanation(&group, now()) }))
}

/// That nobody could look is told as well.
async fn litter(app: &App, group: &GroupId) -> Vec<String> {
    let mut litter = match app.engine.remains(group).await {
        Ok(remains) => {
            remains.into_iter().map(|one| format!("of generation {}: {}", one.generation, one.fault.detail)).collect()
        }
        Err(fault) => vec![format!("nobody could look whether anything stays behind at the target: {}", fault.detail)],
    };
    for (store, retained) in app.engine.retained(group).await.unwrap_or_default() {
        match retained {
            Ok(generations) => litter.extend(generations.into_iter().map(|generation| {
                format!("of generation {generation}: store {store} keeps a value that is not current; it is cleared away by the next rotation at the latest")
            })),
            Err(fault) => {
                litter.push(format!("nobody could look whether anything stays behind in store {store}: {}", fault.detail));
            }
        }
    }
    litter
}

const fn calls(plan: &Plan, role: Role) -> bool {
    match role {
        Role::Verifier => plan.verifiers,
        Role::Presenter => plan.presenters,
    }
}

fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}

/// All that an explanation is made of.
struct Standing<'a> {
    found: &'a View,
    current_since: Option<String>,
    roll: Option<(Role, RollCall)>,
    litter: Vec<String>,
    /// When what failed is tried once more: the how manyth of how many attempts.
    retry: Option<(Timestamp, u32, u32)>,
    /// How its schedule stands, for people.
    schedule: Option<String>,
    /// Of a group at rest: what its next rotation would go by, or what stands in its way.
    next: Option<&'a Result<Plan, Vec<Obstacle>>>,
}

impl Standing<'_> {
    fn explanation(&self, group: &GroupId, now: Timestamp) -> api::Explanation {
        let row = &self.found.row;
        let rotation = row.rotation.as_ref();
        let broken = self.broken();
        api::Explanation {
            group: group.to_string(),
            summary: if broken {
                "its row breaks an invariant: nothing is done on it. This is a mistake of the program or an edit of \
                 the state"
                    .to_owned()
            } else if self.asks_to_start() {
                let to = rotation.map_or(0, |rotation| rotation.to.generation.0);
                format!("a rotation to generation {to} is asked for; nothing is done before it is approved")
            } else {
                words::explain::summary(row)
            },
            since: rotation.map(|rotation| view::time(rotation.entered_at)),
            current: row.current.map(view::occupant),
            current_since: self.current_since.clone(),
            generation: rotation.map(|rotation| rotation.to.generation.0),
            phase: rotation.map(|rotation| phase_word(&rotation.phase).to_owned()),
            status: rotation.map(|rotation| words::status(&rotation.phase)),
            evidence: self.evidence(),
            waiting_for: self.waiting_for(),
            hold: hold(row),
            last_fault: self.last_fault(),
            litter: self.litter.clone(),
            campaign: None,
            next: self.next(broken),
            actions: if broken { Vec::new() } else { self.actions(now) },
        }
    }

    fn live(&self) -> Option<(&Row, &Rotation, &Plan)> {
        let row = &self.found.row;
        row.live().zip(self.found.plan.as_ref()).map(|(rotation, plan)| (row, rotation, plan))
    }

    /// Whether its rotation waits for the word of people before it does anything.
    fn asks_to_start(&self) -> bool {
        let waits = |blocker: &Blocker| matches!(blocker, Blocker::Approval { gate: Gate::Start, .. });
        self.found.wants.waiting_for.iter().any(waits) && self.found.row.live().is_some_and(|live| live.hold.is_none())
    }

    fn broken(&self) -> bool {
        self.live().is_some_and(|(row, _, plan)| !check(row, plan).is_empty())
    }

    fn evidence(&self) -> Vec<api::EvidenceView> {
        let Some((row, rotation, plan)) = self.live() else { return Vec::new() };
        let mut found = words::explain::evidence(row, plan);
        if let Some((role, call)) = &self.roll {
            let publication = wanted(row, &rotation.phase);
            let there = call.members.iter().filter(|member| adopted(member.acked, publication, plan.reach_min)).count();
            let (kind, called) = match role {
                Role::Verifier => ("verifiers", "verifier"),
                Role::Presenter => ("presenters", "presenter"),
            };
            let reach = view::reach(plan.reach_min).word();
            let text = words::explain::roll(called, there, call.members.len(), publication.0, reach, call.complete);
            found.push((kind, text));
        }
        found.into_iter().map(|(kind, text)| api::EvidenceView { kind: kind.to_owned(), text }).collect()
    }

    fn waiting_for(&self) -> Vec<api::Awaited> {
        let Some((_, rotation, _)) = self.live() else { return Vec::new() };
        let since = view::time(rotation.entered_at);
        let waiting = self.found.wants.waiting_for.iter();
        // A hold and a fault have places of their own.
        let waiting =
            waiting.filter(|blocker| !matches!(blocker, Blocker::Doubted(_) | Blocker::Held(_) | Blocker::Trouble(_)));
        waiting.map(|blocker| self.awaited(blocker, &since)).collect()
    }

    fn awaited(&self, blocker: &Blocker, since: &str) -> api::Awaited {
        let api::WaitingFor { kind, mut text, subject, remaining_ms } = view::blocker(blocker);
        if let Blocker::Approval { gate, .. } = blocker {
            text = format!("{text}{}", self.approved_by(*gate));
        }
        if let (Blocker::InUse { .. }, Some(seen)) = (blocker, &self.found.sighting)
            && !seen.sources.is_empty()
        {
            text = format!("{text}, from {}", sighting::words(&seen.sources));
        }
        let member = subject
            .as_ref()
            .zip(self.roll.as_ref())
            .and_then(|(subject, (_, call))| call.members.iter().find(|member| member.consumer.as_str() == subject));
        let acked = member.and_then(|member| member.acked);
        api::Awaited {
            kind,
            text,
            subject,
            since: since.to_owned(),
            publication: acked.map(|(publication, _)| publication.0),
            reach: member.map(|member| member.acked.map_or(api::Reach::Expected, |(_, got)| view::reach(got))),
            remaining_ms,
        }
    }

    /// Who approved, and who may not.
    fn approved_by(&self, gate: Gate) -> String {
        let Some((_, rotation, plan)) = self.live() else { return String::new() };
        let given = approvals(rotation, plan, now()).into_iter().filter(|approvals| approvals.gate == gate);
        let given: Vec<String> = given.flat_map(|approvals| approvals.given).map(|(by, _)| by.to_string()).collect();
        let given = if given.is_empty() { String::new() } else { format!(" ({})", given.join(", ")) };
        let asked = rotation.asked_by.as_ref().map(|by| format!("; {by} asked for it, and does not approve it"));
        format!("{given}{}", asked.unwrap_or_default())
    }

    /// What the row still calls trouble, in the words that this process heard; at least its kind. At rest, drift.
    fn last_fault(&self) -> Option<api::FaultView> {
        if let Some(seen) = &self.found.drift {
            let code = seen.fault.kind.code();
            return Some(api::FaultView {
                code: code.to_owned(),
                text: seen.fault.detail.clone(),
                page: format!("docs/errors/{code}.md"),
                at: Some(view::time(seen.at)),
            });
        }
        let trouble = self.found.row.live().and_then(|live| live.trouble)?;
        let heard: Option<&FaultSeen> = self.found.faults.iter().rev().find(|seen| seen.fault.kind == trouble);
        let code = trouble.code();
        Some(api::FaultView {
            code: code.to_owned(),
            text: heard.map_or_else(|| words::fault_kind(trouble).to_owned(), |seen| seen.fault.detail.clone()),
            page: format!("docs/errors/{code}.md"),
            at: heard.map(|seen| view::time(seen.at)),
        })
    }

    fn next(&self, broken: bool) -> api::NextView {
        let plain =
            |text: &str| api::NextView { text: text.to_owned(), deadline_ms: None, then: None, obstacles: Vec::new() };
        if broken {
            return plain("nothing, until the row is put right");
        }
        if self.found.row.doubt.is_some() {
            return plain("nothing until a person has compared state and world");
        }
        let Some((_, rotation, plan)) = self.live() else { return self.next_at_rest() };
        let stretch = Stretch::of(&rotation.phase).filter(|_| rotation.hold.is_none());
        let deadline = stretch.and_then(|stretch| plan.deadlines.get(&stretch).map(|deadline| (stretch, deadline)));
        api::NextView {
            deadline_ms: deadline
                .map(|(_, deadline)| view::milliseconds(deadline.after.saturating_sub(rotation.elapsed.total))),
            then: deadline.map(|(stretch, deadline)| words::explain::on_deadline(stretch, deadline.then).to_owned()),
            ..plain(&words::explain::next(rotation))
        }
    }

    fn next_at_rest(&self) -> api::NextView {
        let retried = self.retry.as_ref().map(|(at, which, of)| {
            format!("it is tried once more, attempt {which} of {of} after the failure, from {} on", view::time(*at))
        });
        let scheduled = retried.or_else(|| self.schedule.as_ref().map(|text| format!("by schedule: {text}")));
        let text = scheduled.unwrap_or_else(|| "nothing until somebody starts a rotation".to_owned());
        let (text, obstacles) = match self.next {
            Some(Err(obstacles)) => {
                (format!("{text}, and one would be refused now"), obstacles.iter().map(view::obstacle).collect())
            }
            Some(Ok(_)) | None => (text, Vec::new()),
        };
        api::NextView { text, deadline_ms: None, then: None, obstacles }
    }

    fn actions(&self, now: Timestamp) -> Vec<api::ActionView> {
        let group = &self.found.row.group;
        let action = |command: String, text: String| api::ActionView { command, text };
        if self.found.row.doubt.is_some() {
            let text = "compares state and world, and says what would put them right".to_owned();
            return vec![action(format!("handover recover {group}"), text)];
        }
        let Some((row, rotation, plan)) = self.live() else {
            return match self.next {
                Some(Ok(_)) => vec![
                    action(
                        format!("handover plan {group}"),
                        "shows what a rotation would do, phase by phase".to_owned(),
                    ),
                    action(format!("handover rotate {group} --wait"), "starts a rotation".to_owned()),
                ],
                Some(Err(_)) | None => Vec::new(),
            };
        };
        let accepted = |order: &Order| {
            let again = *order == Order::Hold && rotation.hold.is_some();
            !again && advance(row, plan, &Seen { now, fact: Fact::Order(*order) }).is_ok()
        };
        let mut actions: Vec<_> = [Order::Resume, Order::Hold, Order::Abandon, Order::Rollback, Order::Force]
            .into_iter()
            .filter(accepted)
            .map(|order| {
                let reason = if order == Order::Force { " --reason '…'" } else { "" };
                action(
                    format!("handover {} {group}{reason}", order_word(order)),
                    words::explain::order(order, rotation),
                )
            })
            .collect();
        for asked in approvals(rotation, plan, now).into_iter().filter(|asked| asked.missing() > 0) {
            actions.push(action(
                format!("handover approve {group} --gate {}", gate_word(asked.gate)),
                format!("for an approver: {}", words::explain::gate(asked.gate, rotation)),
            ));
        }
        if can_be_superseded(row, rotation, plan) {
            actions.push(action(
                format!("handover supersede {group} --reason '…'"),
                format!("starts a new rotation, which also retires generation {}", rotation.to.generation),
            ));
        }
        actions
    }
}

/// Why nothing happens now: a doubt takes more away than a hold.
fn hold(row: &Row) -> Option<api::HoldView> {
    let doubt = row.doubt.as_ref().map(|doubt| (words::doubt_kind(doubt), words::doubt(doubt)));
    let held = || row.live()?.hold.as_ref().map(|hold| (words::hold_kind(hold), words::hold(hold)));
    let (kind, text) = doubt.or_else(held)?;
    Some(api::HoldView { kind: kind.to_owned(), text })
}

/// Whether a new rotation may start over this one, as far as its own plan tells: the target's slots are in it.
fn can_be_superseded(row: &Row, rotation: &Rotation, plan: &Plan) -> bool {
    let fresh = row.last_generation.0.saturating_add(1);
    rotation.can_be_superseded_by(plan.strategy, plan.slots)
        && plan.slot(row.current, &rotation.revoking(), fresh).is_some()
}

/// The publication that is called: verifiers are asked before it is published.
fn wanted(row: &Row, phase: &Phase) -> Publication {
    if matches!(phase, Phase::Verify { .. }) { row.publication.next() } else { row.publication }
}

fn adopted(acked: Option<(Publication, Reach)>, publication: Publication, reach_min: Reach) -> bool {
    acked.is_some_and(|(acked, reach)| acked > publication || (acked == publication && reach >= reach_min))
}
