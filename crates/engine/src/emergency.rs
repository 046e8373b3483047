//! Emergencies: what is compromised is taken out of force, over whatever is on its way.

use std::sync::Arc;

use handover_core::port::{Commit, Loaded, Source};
use handover_core::{
    Breakage, ConsumerId, Fault, FaultKind, Generation, GroupId, Obstacle, Plan, Role, Row, Timestamp, Wish, breakage,
    check, preempt, start, wants,
};

use crate::approve::plan_digest;
use crate::asker::Asker;
use crate::call::{Call, Whom};
use crate::drive;
use crate::handle::{Handle, REASON_CHARS_MAX, StartRefused, TRIES_MAX};
use crate::history;
use crate::queue::Wake;
use crate::service::Binding;

/// What an emergency would do to a group.
#[derive(Clone, Debug)]
pub struct Foreseen {
    /// What would be taken out of force; `None`: nothing is in force.
    pub compromised: Option<Generation>,
    /// Since when it is said to be compromised, if it is.
    pub tainted_at: Option<Timestamp>,
    /// Whether it starts a rotation, or takes over one that is on its way.
    pub way: Way,
    /// The plan, or what stands in its way.
    pub plan: Result<Plan, Vec<Obstacle>>,
    /// Who would be left behind, as far as is known now.
    pub breakage: Breakage,
    /// From where it is used now, as far as the target tells. Asked only where not everybody is known.
    pub sources: Vec<Source>,
}

/// How an emergency begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// A rotation starts.
    Starts,
    /// The live rotation goes on, with its waits cut.
    Preempts,
    /// A rotation starts over a rollback that waits.
    Supersedes,
}

impl Way {
    /// In one word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Starts => "starts",
            Self::Preempts => "preempts",
            Self::Supersedes => "supersedes",
        }
    }
}

impl Handle {
    /// What an emergency would do, and who would be left behind. Looks at the world, changes nothing.
    pub async fn emergency_plan(&self, group: &GroupId, wish: Wish) -> Result<Foreseen, Fault> {
        let unknown = || Fault::untouched(FaultKind::Misconfigured, format!("group {group} is not configured"));
        let binding = self.binding(group).ok_or_else(unknown)?;
        let (row, own) = self.stands(group).await?;
        let way = way(&binding, &row);
        let plan = match (way, own) {
            (Way::Preempts, Some(own)) => Ok(own),
            (Way::Preempts | Way::Starts | Way::Supersedes, _) => self.planned(&binding, &row).await?,
        };
        let breakage = self.breakage(&binding, &row).await?;
        let mut sources = Vec::new();
        if let Some(current) = row.current.filter(|_| breakage.unknown) {
            let call = Call::look(Whom::Target(&binding.target_name), "sources");
            let (target, of) = (&binding.target, [current]);
            // Where it cannot be told, that somebody may break is said all the same.
            sources = self.shared.calls.make(call, || target.sources(&of)).await.unwrap_or_default();
        }
        Ok(Foreseen {
            compromised: row.current.map(|current| current.generation),
            tainted_at: row.taint.filter(|taint| row.current.is_some_and(|is| is.generation <= taint.to)).map(|t| t.at),
            way,
            plan: plan.map(|plan| plan.in_emergency(&binding.policy.emergency, wish)),
            breakage,
            sources,
        })
    }

    /// Takes what is in force out of force, as fast as the policy allows: by a rotation that starts, or by the one that is on
    /// its way. Refused where somebody would be left behind and nobody accepted that. It is durable when this returns, with
    /// who ordered it and why, and goes on by itself.
    pub async fn emergency<'a>(
        &self,
        group: &GroupId,
        wish: Wish,
        reason: &str,
        asker: impl Into<Asker<'a>>,
    ) -> Result<Generation, StartRefused> {
        let asker = asker.into();
        let reason = reason.trim();
        if reason.is_empty() {
            return Err(StartRefused::ReasonMissing);
        }
        if reason.chars().count() > REASON_CHARS_MAX {
            return Err(StartRefused::ReasonTooLong);
        }
        for _ in 0..TRIES_MAX {
            if let Some(done) = asker.done(&self.shared).await? {
                return Ok(done);
            }
            match self.emergency_once(group, wish, reason, asker).await {
                // Somebody else was faster: what they did decides how it begins.
                Err(StartRefused::Fault(fault)) if fault.kind == FaultKind::Fenced => {}
                Err(refused) => {
                    // What the first one did may be what a repeat is refused for.
                    if let Ok(Some(done)) = asker.done(&self.shared).await {
                        return Ok(done);
                    }
                    self.emergency_denied(group, &refused, asker.actor).await;
                    return Err(refused);
                }
                Ok(generation) => return Ok(generation),
            }
        }
        Err(StartRefused::Fault(self.contended(group)))
    }

    /// Whether this request was carried out already.
    pub async fn is_carried_out(&self, asker: Asker<'_>) -> Result<bool, StartRefused> {
        Ok(asker.done(&self.shared).await?.is_some())
    }

    async fn emergency_once(
        &self,
        group: &GroupId,
        wish: Wish,
        reason: &str,
        asker: Asker<'_>,
    ) -> Result<Generation, StartRefused> {
        let binding = self.binding(group).ok_or_else(|| StartRefused::UnknownGroup(group.clone()))?;
        let (row, own) = self.stands(group).await.map_err(StartRefused::Fault)?;
        let way = way(&binding, &row);
        let accepted = own.as_ref().and_then(|own| own.urgency).is_some_and(|urgency| urgency.accept_breakage);
        let breakage = self.breakage(&binding, &row).await.map_err(StartRefused::Fault)?;
        let accepted = wish.accept_breakage || (way == Way::Preempts && accepted);
        if !breakage.is_none() && !accepted {
            return Err(StartRefused::Breaks(breakage));
        }
        let terms = &binding.policy.emergency;
        let plan = match (way, own) {
            (Way::Preempts, Some(own)) => {
                self.shared.compare_first(&binding, &row).await.map_err(StartRefused::Fault)?;
                own
            }
            (Way::Preempts | Way::Starts | Way::Supersedes, _) => {
                let planned = self.planned(&binding, &row).await.map_err(StartRefused::Fault)?;
                planned.map_err(StartRefused::Obstacles)?
            }
        };
        let plan = plan.in_emergency(terms, wish);
        let _held = self.shared.rebinding.read().await;
        if !self.shared.is_bound(&binding) {
            // What was looked at is not configured any more.
            return Err(StartRefused::Fault(Fault::untouched(FaultKind::Fenced, "the group was bound anew meanwhile")));
        }
        let now = self.shared.now();
        let next = match way {
            Way::Preempts => preempt(&row, now),
            Way::Starts | Way::Supersedes => start(&row, &plan, now).map(|next| next.tainted(now)),
        };
        let next = next.map_err(StartRefused::Refused)?;
        let next = match ConsumerId::parse(asker.actor) {
            Ok(who) => next.asked_by(who),
            Err(_) => next,
        };
        let ordered = Ordered { way, wish, breakage: &breakage, reason };
        let entries = entries(&row, &next, &plan, &ordered, asker.actor, now);
        self.commit_emergency(&row, next, plan, entries, asker).await
    }

    async fn commit_emergency(
        &self,
        row: &Row,
        next: Row,
        plan: Plan,
        entries: Vec<handover_core::port::Entry>,
        asker: Asker<'_>,
    ) -> Result<Generation, StartRefused> {
        let (group, now) = (&row.group, self.shared.now());
        let broken = check(&next, &plan);
        if !broken.is_empty() {
            self.shared.violated(group, broken);
            return Err(StartRefused::Fault(drive::bug(group)));
        }
        let generation = next.last_generation;
        let commit = Commit {
            expect: (row.version.0 > 0).then_some(row.version),
            epoch: self.shared.epoch(),
            candidate: None,
            erase: Vec::new(),
            due_at: wants(&next, &plan, now).wake_at.map(|_| now),
            plan: Some(plan),
            entries,
            row: next,
        };
        let request = asker.request(&commit, &self.shared);
        self.shared.commit_for(request, Some(row), commit).await.map_err(StartRefused::Fault)?;
        self.shared.wake(group, Wake::Changed);
        Ok(generation)
    }

    /// The group's row, and the plan of its live rotation.
    async fn stands(&self, group: &GroupId) -> Result<(Row, Option<Plan>), Fault> {
        Ok(match self.shared.load(group).await? {
            Some(Loaded { row, plan }) => {
                let row = row.into_inner();
                let plan = plan.filter(|_| row.live().is_some());
                (row, plan)
            }
            None => (Row::new(group.clone()), None),
        })
    }

    async fn breakage(&self, binding: &Arc<Binding>, row: &Row) -> Result<Breakage, Fault> {
        let call = match binding.policy.presenters {
            true => Some(self.roll_call(&row.group, Role::Presenter).await?),
            false => None,
        };
        Ok(breakage(row, call.as_ref()))
    }

    async fn emergency_denied(&self, group: &GroupId, refused: &StartRefused, actor: &str) {
        if let StartRefused::Refused(_) | StartRefused::Breaks(_) | StartRefused::Obstacles(_) = refused {
            let entry = history::emergency_denied(&refused.to_string(), actor, self.shared.now());
            self.shared.append(group, entry).await;
        }
    }
}

/// What was ordered, for the history.
struct Ordered<'a> {
    way: Way,
    wish: Wish,
    breakage: &'a Breakage,
    reason: &'a str,
}

fn entries(
    before: &Row,
    next: &Row,
    plan: &Plan,
    ordered: &Ordered<'_>,
    actor: &str,
    now: Timestamp,
) -> Vec<handover_core::port::Entry> {
    let Ordered { way, wish, breakage, reason } = *ordered;
    let mut entries = Vec::new();
    if let Some(over) = before.live().filter(|_| way == Way::Supersedes) {
        entries.push(history::superseded(over, actor, reason, now));
    }
    if way != Way::Preempts {
        entries.extend(history::started(next, plan, way == Way::Supersedes, actor, now));
    }
    entries.extend(next.live().map(|live| {
        let compromised = next.current.map(|current| current.generation);
        let mut fields = vec![
            ("compromised", compromised.map_or_else(|| "none".to_owned(), |generation| generation.to_string())),
            ("way", way.word().to_owned()),
            ("accept_breakage", wish.accept_breakage.to_string()),
            ("end_sessions", plan.urgency.is_some_and(|urgency| urgency.end_sessions).to_string()),
        ];
        if !breakage.is_none() {
            fields.push(("behind", behind_words(breakage)));
        }
        fields.push(("reason", reason.to_owned()));
        history::emergency(live, fields, actor, now)
    }));
    let of = before.live().filter(|_| way == Way::Preempts && plan.approvals.is_empty()).map(|_| before);
    entries.extend(history::approvals_wanted(of, next, plan, &plan_digest(plan), now));
    entries
}

/// Who would be left behind, by name.
pub(crate) fn behind_words(breakage: &Breakage) -> String {
    let names = breakage.who.iter().map(ToString::to_string);
    names.chain(breakage.unknown.then(|| "unknown".to_owned())).collect::<Vec<_>>().join(" ")
}

/// How an emergency would begin.
fn way(binding: &Binding, row: &Row) -> Way {
    let (strategy, slots) = (binding.strategy(), binding.target.capability().slots);
    match row.live() {
        None => Way::Starts,
        Some(live) if live.can_be_superseded_by(strategy, slots) => Way::Supersedes,
        Some(_) => Way::Preempts,
    }
}
