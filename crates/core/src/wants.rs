//! What to do now, whom it waits for, and when to look again.
//!
//! Effects are derived from the durable row, not emitted by the transition: nothing is lost between commit and act,
//! and a restart is the normal path.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::approval::{Gate, approvals};
use crate::effect::{Effect, Role, Tally};
use crate::fault::FaultKind;
use crate::id::{ConsumerId, StoreId};
use crate::mint::{Label, Minter};
use crate::model::{Doubt, Hold, Mark, Occupant, Phase, Pointer, Pointers, Roll, Rotation, Row, Undo};
use crate::plan::{OnDeadline, Plan, Stretch};
use crate::time::{Timestamp, Waited};
use crate::waves::Opened;

/// Whom or what a phase waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Blocker {
    /// The record may not be what the world is at.
    Doubted(Doubt),
    /// It is held.
    Held(Hold),
    /// The last try failed with this.
    Trouble(FaultKind),
    /// Rounds of verification have to pass.
    Verification {
        /// Passed in a row.
        passes: u32,
        /// Needed in a row.
        needed: u32,
    },
    /// This consumer has not acknowledged.
    Consumer {
        /// Who.
        consumer: ConsumerId,
        /// In which role.
        role: Role,
    },
    /// The roll was not called yet, or nobody knows everybody who should be on it.
    RollIncomplete(Role),
    /// This store does not point to the generation yet.
    Store(StoreId),
    /// This store does not hold the staged copy yet.
    Staging(StoreId),
    /// The generations that retire are in use.
    InUse {
        /// How many uses were seen.
        uses: u32,
    },
    /// Nobody could look whether they are in use.
    UseUnknown,
    /// They must be seen unused for longer.
    Quiet {
        /// This much longer.
        remaining: Duration,
    },
    /// Both generations must stay valid for longer.
    Overlap {
        /// This much longer.
        remaining: Duration,
    },
    /// All has to be well in the open waves for longer.
    Soak {
        /// The wave that opened last.
        number: u32,
        /// This much longer.
        remaining: Duration,
    },
    /// Nobody is left in the wave that opened last: it would show nothing.
    WaveEmpty {
        /// Its number.
        number: u32,
    },
    /// The target has to do this.
    Target(&'static str),
    /// The brake must be held for longer.
    Brake {
        /// This much longer.
        remaining: Duration,
    },
    /// People have to approve before it goes on.
    Approval {
        /// Before what.
        gate: Gate,
        /// How many have.
        given: u32,
        /// How many have to.
        needed: u32,
    },
    /// A window has to open before a valid generation is taken away.
    Window {
        /// When it does, if that is known.
        opens_at: Option<Timestamp>,
    },
}

/// What a row wants.
#[must_use = "an unread answer cannot be acted on, nor explained"]
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wants {
    /// To do now, in this order.
    pub effects: Vec<Effect>,
    /// Whom or what it waits for.
    pub waiting_for: Vec<Blocker>,
    /// When to look again at the latest, if nothing else happens.
    pub wake_at: Option<Timestamp>,
}

/// Derives from a row what to do at `now`.
pub fn wants(row: &Row, plan: &Plan, now: Timestamp) -> Wants {
    if let Some(doubt) = &row.doubt {
        return Wants { waiting_for: vec![Blocker::Doubted(doubt.clone())], ..Wants::default() };
    }
    let Some(rotation) = row.live() else { return Wants::default() };
    let mark = Mark { generation: rotation.to.generation, version: row.version };
    let mut draft = Draft { row, rotation, plan, mark, wants: Wants::default() };
    let missing = approvals(rotation, plan, now).into_iter().filter(|approvals| approvals.missing() > 0);
    draft.wants.waiting_for.extend(missing.map(|approvals| Blocker::Approval {
        gate: approvals.gate,
        given: approvals.count(),
        needed: approvals.rule.quorum,
    }));
    // What may not start does nothing. What may not leave a later phase goes on with what it does there.
    let may_start = rotation.phase != Phase::Stage || draft.wants.waiting_for.is_empty();
    if may_start {
        draft.phase();
    }
    draft.wants.waiting_for.extend(rotation.trouble.map(Blocker::Trouble));
    if let Some(hold) = &rotation.hold {
        // A hold takes effects away, not the reasons: a deadline that holds still names whom it waited for.
        draft.wants.waiting_for.insert(0, Blocker::Held(hold.clone()));
        return Wants { waiting_for: draft.wants.waiting_for, ..Wants::default() };
    }
    draft.wants.wake_at = Some(now.after(plan.poll));
    draft.wants
}

struct Draft<'a> {
    row: &'a Row,
    rotation: &'a Rotation,
    plan: &'a Plan,
    mark: Mark,
    wants: Wants,
}

impl Draft<'_> {
    fn phase(&mut self) {
        let (to, mark) = (self.rotation.to, self.mark);
        match &self.rotation.phase {
            Phase::Stage => match self.plan.minter {
                Minter::Us => self.act(Effect::Seal { to }),
                Minter::Provider => self.sweep("delete what serves nobody", Label::of(to), self.rotation.retiring()),
            },
            Phase::Apply { staged } if self.put_staged(staged) => {}
            Phase::Apply { .. } => match self.plan.minter {
                Minter::Us => self.ask_target("accept the candidate", Effect::EnsureAccepted { who: to, mark }),
                Minter::Provider => self.ask_target("mint the candidate", Effect::Mint { who: to, mark }),
            },
            Phase::Verify { passes, reapply, verifiers } => self.verify(*passes, *reapply, verifiers),
            Phase::Publish { pointers } => self.point(pointers, to),
            Phase::Propagate { presenters, passes, opened } => {
                self.call_presenters(presenters);
                self.wait_for_wave(presenters, opened);
                self.check_again(*passes, opened);
            }
            Phase::Drain { quiet, tally, overlap, presenters } => {
                self.call_presenters(presenters);
                if self.plan.waits_for_use() {
                    self.watch_use(self.rotation.leaving(), *tally, *quiet);
                } else if self.plan.has_target() {
                    self.act(Effect::CountUse { of: self.rotation.leaving() });
                }
                let remaining = self.plan.overlap_min.saturating_sub(overlap.total);
                if !remaining.is_zero() {
                    self.wait(Blocker::Overlap { remaining });
                }
                self.end_sessions();
            }
            Phase::Disable { refused, held, presenters } => {
                let leaving = self.rotation.leaving();
                self.each(self.rotation.retiring(), refused, "refuse the old generation", |who| {
                    if leaving.contains(&who) {
                        Effect::EnsureRefused { who, mark }
                    } else {
                        Effect::ProveRefused { who }
                    }
                });
                if leaving.is_empty() {
                    return self.call_presenters(presenters);
                }
                let proved = self.wants.effects.is_empty();
                // Not before it is refused: who is ended would log in again.
                if proved && self.plan.urgency.is_some_and(|urgency| urgency.end_sessions) {
                    self.act(Effect::EndSessions { of: leaving.clone() });
                }
                // A brake that is held for no time is looked at in the round of its proof: no commit lies in between.
                if proved || self.plan.brake_for.is_zero() {
                    self.call_presenters(presenters);
                    self.act(Effect::CountUse { of: leaving });
                    self.wait(Blocker::Brake { remaining: self.plan.brake_for.saturating_sub(held.total) });
                }
            }
            Phase::Destroy { gone } => {
                let (what, leaving) = ("forget the old generation", self.rotation.leaving());
                match self.plan.minter {
                    Minter::Us => self.each(self.rotation.retiring(), gone, what, |who| {
                        if leaving.contains(&who) && self.plan.has_target() {
                            Effect::Destroy { who, mark }
                        } else {
                            Effect::Discard { who }
                        }
                    }),
                    Minter::Provider => self.sweep(what, Label::of(to), [to]),
                }
            }
            Phase::Rollback(undo) => self.undo(undo),
            Phase::Done(_) => {}
        }
    }

    fn undo(&mut self, undo: &Undo) {
        let mark = self.mark;
        match undo {
            Undo::Release => {
                if let Some(who) = self.rotation.from {
                    self.ask_target("accept the old generation again", Effect::Release { who, mark });
                }
            }
            Undo::PutBack { .. } => {
                if let Some(who) = self.rotation.from {
                    self.ask_target("take the old generation back", Effect::PutBack { who, mark });
                }
            }
            Undo::Unpublish { pointers } => {
                if let Some(from) = self.rotation.from {
                    self.point(pointers, from);
                }
            }
            Undo::Return { presenters } => self.call_presenters(presenters),
            Undo::Quiet { quiet, tally, presenters } => {
                self.call_presenters(presenters);
                self.watch_use(self.rotation.withdrawing(), *tally, *quiet);
            }
            Undo::Revoke { gone } => {
                let (what, withdrawing) = ("forget the candidate", self.rotation.withdrawing());
                match self.plan.minter {
                    Minter::Us => self.each(self.rotation.revoking(), gone, what, |who| {
                        if withdrawing.contains(&who) && self.plan.has_target() {
                            Effect::Revoke { who, mark }
                        } else {
                            Effect::Discard { who }
                        }
                    }),
                    Minter::Provider => self.sweep(what, Label::of(self.rotation.to).next(), self.rotation.from),
                }
            }
        }
    }

    /// All that a provider minted for us below `to` goes, but for what is kept.
    fn sweep(&mut self, what: &'static str, to: Label, keep: impl IntoIterator<Item = Occupant>) {
        let keep = keep.into_iter().map(Label::of).collect();
        self.ask_target(what, Effect::Sweep { to, keep });
    }

    fn act(&mut self, effect: Effect) {
        self.wants.effects.push(effect);
    }

    fn wait(&mut self, blocker: Blocker) {
        self.wants.waiting_for.push(blocker);
    }

    fn ask_target(&mut self, what: &'static str, effect: Effect) {
        self.act(effect);
        self.wait(Blocker::Target(what));
    }

    fn each(
        &mut self,
        all: Vec<Occupant>,
        done: &std::collections::BTreeSet<crate::id::Generation>,
        what: &'static str,
        effect: impl Fn(Occupant) -> Effect,
    ) {
        for who in all.into_iter().filter(|who| !done.contains(&who.generation)) {
            self.ask_target(what, effect(who));
        }
    }

    /// Has the stores hold the candidate apart, before the target learns of it; whether one is still missing.
    fn put_staged(&mut self, staged: &BTreeSet<StoreId>) -> bool {
        let missing: Vec<StoreId> = self.plan.unstaged(staged).cloned().collect();
        for store in &missing {
            self.wait(Blocker::Staging(store.clone()));
            self.act(Effect::PutStaged { store: store.clone(), who: self.rotation.to });
        }
        !missing.is_empty()
    }

    fn point(&mut self, pointers: &Pointers, value: Occupant) {
        for (store, pointer) in pointers.missing() {
            self.wait(Blocker::Store(store.clone()));
            self.act(match pointer {
                Pointer::Expect(expect) => Effect::Point {
                    store: store.clone(),
                    value,
                    publication: self.row.publication,
                    expect: expect.clone(),
                },
                Pointer::Unread | Pointer::Reassert | Pointer::Landed(_) => Effect::Head { store: store.clone() },
            });
        }
    }

    fn verify(&mut self, passes: u32, reapply: bool, verifiers: &Roll) {
        let (who, needed) = (self.rotation.to, self.plan.passes_min);
        if reapply {
            self.ask_target("accept the candidate", Effect::EnsureAccepted { who, mark: self.mark });
        }
        if passes < needed {
            self.wait(Blocker::Verification { passes, needed });
            self.act(Effect::Login { who });
        }
        if *verifiers != Roll::All {
            let publication = self.row.publication.next();
            self.act(Effect::CountAdoption { publication, role: Role::Verifier });
            self.wait_for_roll(verifiers, Role::Verifier);
        }
    }

    /// While a wave is watched it is checked as long: an error that shows under load shows then.
    fn check_again(&mut self, passes: u32, opened: &Opened) {
        let needed = self.plan.passes_after_publish();
        if passes < needed {
            self.wait(Blocker::Verification { passes, needed });
        }
        if passes < needed || (needed > 0 && matches!(opened, Opened::Wave { .. })) {
            self.act(Effect::Check { who: self.rotation.to });
        }
    }

    fn wait_for_wave(&mut self, presenters: &Roll, opened: &Opened) {
        let Opened::Wave { number, soaked, .. } = opened else { return };
        if matches!(presenters, Roll::Behind { who, complete: true } if who.is_empty()) {
            self.wait(Blocker::WaveEmpty { number: *number });
        }
        let remaining = opened.soak(self.plan).saturating_sub(soaked.total);
        if !remaining.is_zero() {
            self.wait(Blocker::Soak { number: *number, remaining });
        }
    }

    fn call_presenters(&mut self, presenters: &Roll) {
        if self.plan.presenters {
            self.act(Effect::CountAdoption { publication: self.row.publication, role: Role::Presenter });
            self.wait_for_roll(presenters, Role::Presenter);
        }
    }

    fn wait_for_roll(&mut self, roll: &Roll, role: Role) {
        match roll {
            Roll::All => {}
            Roll::Uncalled => self.wait(Blocker::RollIncomplete(role)),
            Roll::Behind { who, complete } => {
                for consumer in who {
                    self.wait(Blocker::Consumer { consumer: consumer.clone(), role });
                }
                if !complete {
                    self.wait(Blocker::RollIncomplete(role));
                }
            }
        }
    }

    fn watch_use(&mut self, of: Vec<Occupant>, tally: Tally, quiet: Waited) {
        if !self.plan.has_target() {
            return;
        }
        self.act(Effect::CountUse { of });
        let remaining = self.plan.quiet_min.saturating_sub(quiet.total);
        match tally {
            Tally::Some(uses) => self.wait(Blocker::InUse { uses }),
            Tally::Unknown => self.wait(Blocker::UseUnknown),
            Tally::None if remaining.is_zero() => {}
            Tally::None => self.wait(Blocker::Quiet { remaining }),
        }
    }

    /// Sessions are ended only where the plan said so, and only once its deadline passed.
    fn end_sessions(&mut self) {
        let deadline = self.plan.deadlines.get(&Stretch::Drain);
        if self.plan.has_target()
            && deadline.is_some_and(|deadline| {
                deadline.then == OnDeadline::TerminateSessions && self.rotation.elapsed.reached(deadline.after)
            })
        {
            self.act(Effect::EndSessions { of: self.rotation.leaving() });
        }
    }
}
