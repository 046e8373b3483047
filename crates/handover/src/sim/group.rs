//! One group in its world: the executor, the clock, and what each line of a scenario does to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use handover_core::schedule::Cadence;
use handover_core::{
    Census, ConsumerId, Effect, Fact, Fault, FaultKind, Gate, Generation, Minter, Opened, Order, Phase, Plan, Policy,
    Publication, Refusal, Role, Roll, Row, RowVersion, Seen, StoreCapability, StoreVersion, TargetCapability,
    Timestamp, Touched, Undo, Waited, Wants, Wish, Withheld, advance, approve, breakage, check, plan, preempt, start,
    wants,
};
use handover_engine::history::{gate_word, order_word, outcome_word, phase_word};

use super::perform::{lost_reply, subject};
use super::script::{Command, Expectation, How, Line, Setting, policy};
use super::world::{Harm, Value, World, first_occupant};
use super::{Failed, Mistake, Stop};
use crate::config::duration::Span;
use crate::words;

/// How many polls a line may last: a slip of the keyboard should not keep a machine busy.
const POLLS_MAX: u128 = 100_000;

/// How many polls `run until` goes on for, before it says that the phase is not reached.
const POLLS_UNTIL_MAX: usize = 1_000;

/// A group in its world.
pub(super) struct Group {
    pub(super) row: Row,
    pub(super) world: World,
    /// Whether commits that only count waiting are shown.
    pub(super) trace: bool,
    /// Codes of why the last order was refused; empty if it was taken.
    pub(super) denied: Vec<String>,
    /// Harm that was ever seen, and whether a line expected it.
    pub(super) harms: BTreeMap<Harm, bool>,
    setting: Setting,
    policy: Policy,
    plan: Option<Plan>,
    now: Timestamp,
    /// Harm that stands now.
    standing: BTreeSet<Harm>,
    executor: Executor,
    traps: Vec<Trap>,
    paused: Vec<Effect>,
    output: String,
}

/// What a process has in memory: all of it is lost when it dies.
#[derive(Default)]
struct Executor {
    /// A minted value that no commit holds yet.
    minted: Option<Value>,
    /// Acts whose outcome nobody knows: it looks before it does them again.
    doubtful: BTreeSet<String>,
    /// What was done in this round, each once.
    done: BTreeSet<(&'static str, String, Option<StoreVersion>)>,
}

/// What befalls the next effect of a kind, and the line that says so.
struct Trap {
    line: usize,
    text: String,
    kind: &'static str,
    how: How,
}

impl Group {
    pub(super) fn new(setting: &Setting, trace: bool) -> Self {
        let mut row = Row::new(setting.name.clone());
        if !setting.empty {
            let first = first_occupant(setting.slots);
            row.version = RowVersion(1);
            row.current = Some(first);
            row.last_generation = first.generation;
            row.publication = Publication(1);
        }
        let world = World::new(setting);
        row.heads = world.shelves.iter().filter_map(|(store, shelf)| Some((store.clone(), shelf.version()?))).collect();
        Self {
            row,
            world,
            trace,
            denied: Vec::new(),
            harms: BTreeMap::new(),
            setting: setting.clone(),
            policy: policy(!setting.verifiers.is_empty()),
            plan: None,
            now: Timestamp(0),
            standing: BTreeSet::new(),
            executor: Executor::default(),
            traps: Vec::new(),
            paused: Vec::new(),
            output: String::new(),
        }
    }

    /// What was said since the last time.
    pub(super) fn take_output(&mut self) -> String {
        std::mem::take(&mut self.output)
    }

    /// Does what a line says.
    pub(super) fn carry_out(&mut self, line: &Line) -> Result<(), Stop> {
        let number = line.number;
        match &line.command {
            // One level up.
            Command::Group(_) | Command::Trace(_) => {}
            Command::Policy(changes) => changes.iter().for_each(|change| change.apply(&mut self.policy)),
            Command::Rotate(by) => self.rotate(number, by.as_ref())?,
            Command::Emergency(wish) => self.emergency(number, *wish)?,
            Command::Approve(gate, by) => self.approve(number, *gate, by)?,
            Command::Order(order) => self.order(number, *order)?,
            Command::Run => {
                self.executor.done.clear();
                self.settle(number, None)?;
            }
            Command::RunUntil(phase) => self.run_until(number, phase)?,
            Command::Step => self.step(number)?,
            Command::Wait(duration) => self.wait(number, *duration)?,
            Command::Jump { milliseconds } => self.now = Timestamp(self.now.0.saturating_add(*milliseconds)),
            Command::Status => {
                for line in self.status() {
                    self.write(&line);
                }
            }
            Command::Consumer(name, change) => {
                let verify = self.acknowledged_ahead();
                let withheld = self.withheld();
                let happened = self.world.change_consumer(name, *change, verify, withheld.as_ref());
                self.happened(number, happened.map_err(|known| (format!("there is no consumer {name}"), known)))?;
            }
            Command::Target(change) => {
                let happened = self.world.change_target(*change);
                self.happened(number, Ok(happened))?;
            }
            Command::Store(name, change) => {
                let happened = self.world.change_store(name, *change);
                self.happened(number, happened.map_err(|known| (format!("there is no store {name}"), known)))?;
            }
            Command::Evidence { known } => self.world.evidence_known = *known,
            Command::Roll { complete } => self.world.roll_complete = *complete,
            Command::Trap { kind, how } => {
                self.traps.push(Trap { line: number, text: line.text.clone(), kind, how: *how });
            }
            Command::Arrive => self.arrive(number)?,
            Command::Expect(expectation) => self.expect(number, &line.text, expectation)?,
        }
        // A round ends with its line; `step` goes through one round in many lines.
        if !matches!(line.command, Command::Step | Command::Expect(_) | Command::Status) {
            self.executor.done.clear();
        }
        Ok(())
    }

    /// Ends the group's part of the scenario: what was never expected, and what never came, fails it.
    pub(super) fn finish(&mut self, line: usize) -> Result<(), Stop> {
        for line in self.status() {
            self.write(&line);
        }
        if let Some(trap) = self.traps.first() {
            let text = format!("`{}`: it never came to that effect", trap.text);
            return Err(Stop::Failed(Failed { line: trap.line, text }));
        }
        match self.harms.iter().find(|(_, expected)| !**expected) {
            Some((harm, _)) => Err(failed(line, format!("harm that no line expected: {harm}"))),
            None => Ok(()),
        }
    }

    /// What the row wants now.
    pub(super) fn wants(&self) -> Wants {
        self.plan.as_ref().map_or_else(Wants::default, |plan| wants(&self.row, plan, self.now))
    }

    /// Where it stands, and for whom it waits.
    pub(super) fn status(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let (row, current) = (&self.row, self.row.current.map(|current| current.generation));
        let current = current.map_or_else(|| "no generation is".to_owned(), |number| format!("generation {number} is"));
        match &row.rotation {
            None => lines.push(format!("= {current} current, publication {}", row.publication)),
            Some(rotation) => {
                let status = words::status(&rotation.phase).word();
                let to = rotation.to;
                lines.push(format!(
                    "= {status} ({}); {current} current, publication {}; to generation {} in slot {}, candidate {}",
                    phase_word(&rotation.phase),
                    row.publication,
                    to.generation,
                    to.slot,
                    to.candidate
                ));
            }
        }
        if let Some(rotation) = row.live() {
            lines.extend(rotation.cause.map(|cause| format!("    on the way back: {}", words::cause(cause))));
            for owed in &rotation.owed {
                lines.push(format!("    owes generation {} in slot {}", owed.generation, owed.slot));
            }
        }
        lines.extend(self.wants().waiting_for.iter().map(|blocker| format!("    {}", words::blocker(blocker))));
        lines
    }

    /// The plan of a rotation that would start now; `None`: it is refused, and said why.
    fn planned(&mut self, what: &str) -> Option<Plan> {
        let stores = self.world.shelves.keys().cloned();
        let capability = StoreCapability { stages: true, fences: true, versions_max: None, shared: false };
        let census = Census {
            row: &self.row,
            target: TargetCapability {
                slots: self.setting.slots,
                sees_use: self.setting.sees_use,
                fences: self.setting.fences,
                verifies_rights: true,
                minter: Minter::Us,
            },
            foreign: 0,
            findings: self.findings(),
            stores: stores.map(|store| (store, capability)).collect(),
            policy_digest: String::new(),
        };
        self.denied.clear();
        match plan(&self.policy, &census) {
            Err(obstacles) => {
                for obstacle in &obstacles {
                    self.denied.push(words::obstacle_kind(obstacle).to_owned());
                    self.say(&format!("refused: {what}: {}", words::obstacle(obstacle)));
                }
                None
            }
            Ok(plan) => Some(plan),
        }
    }

    fn rotate(&mut self, line: usize, by: Option<&ConsumerId>) -> Result<(), Stop> {
        let Some(plan) = self.planned("rotate") else { return Ok(()) };
        match start(&self.row, &plan, self.now) {
            Err(refusal) => self.deny("rotate", refusal),
            Ok(row) => {
                let row = match by {
                    Some(by) => row.asked_by(by.clone()),
                    None => row,
                };
                self.plan = Some(plan);
                let why = self.starts(&row);
                self.commit(line, row, &why, None)?;
            }
        }
        Ok(())
    }

    fn starts(&self, row: &Row) -> String {
        let what = if self.row.live().is_some() { "a superseding rotation" } else { "a rotation" };
        let slot = row.live().map_or_else(String::new, |live| format!(" in slot {}", live.to.slot));
        format!("{what} to generation {}{slot} starts", row.last_generation)
    }

    /// What is in force is compromised: the live rotation goes on with its waits cut, or one starts.
    fn emergency(&mut self, line: usize, wish: Wish) -> Result<(), Stop> {
        const WHAT: &str = "rotate compromised";
        self.denied.clear();
        let call = self.policy.presenters.then(|| self.world.roll(Role::Presenter));
        let breakage = breakage(&self.row, call.as_ref());
        let own = self.plan.clone().filter(|_| self.row.live().is_some());
        let accepted = own.as_ref().and_then(|own| own.urgency).is_some_and(|urgency| urgency.accept_breakage);
        if !breakage.is_none() && !wish.accept_breakage && !accepted {
            self.denied.push("would_break".to_owned());
            self.say(&format!("refused: {WHAT}: {}", words::breakage(&breakage)));
            return Ok(());
        }
        let strategy = self.policy.strategy_on(self.setting.slots, true);
        let preempts = own.filter(|own| {
            own.strategy == strategy
                && self.row.live().is_some_and(|live| !live.can_be_superseded_by(strategy, self.setting.slots))
        });
        let (plan, next, why) = match preempts {
            Some(own) => (own, preempt(&self.row, self.now), "the live rotation goes on".to_owned()),
            None => {
                let Some(plan) = self.planned(WHAT) else { return Ok(()) };
                let next = start(&self.row, &plan, self.now).map(|next| next.tainted(self.now));
                let why = next.as_ref().map(|next| self.starts(next)).unwrap_or_default();
                (plan, next, why)
            }
        };
        match next {
            Err(refusal) => self.deny(WHAT, refusal),
            Ok(row) => {
                self.plan = Some(plan.in_emergency(&self.policy.emergency, wish));
                let to = row.taint.map_or_else(|| "nothing".to_owned(), |taint| format!("generation {}", taint.to));
                self.commit(line, row, &format!("{to} is compromised: {why}, with its waits cut"), None)?;
            }
        }
        Ok(())
    }

    fn findings(&self) -> Vec<Fault> {
        let down = self.world.shelves.iter().filter(|(_, shelf)| !shelf.up).map(|(store, _)| format!("store {store}"));
        let target = (!self.world.target.up).then(|| "the target".to_owned());
        target
            .into_iter()
            .chain(down)
            .map(|whom| Fault::untouched(FaultKind::Unreachable, format!("{whom} cannot be reached")))
            .collect()
    }

    fn approve(&mut self, line: usize, gate: Gate, by: &ConsumerId) -> Result<(), Stop> {
        self.denied.clear();
        let next = match &self.plan {
            None => Err(Refusal::NotLive),
            Some(plan) => approve(&self.row, plan, gate, by, self.now),
        };
        match next {
            Err(refusal) => self.deny("approve", refusal),
            Ok(row) => self.commit(line, row, &format!("{by} approves before {}", gate_word(gate)), None)?,
        }
        Ok(())
    }

    fn order(&mut self, line: usize, order: Order) -> Result<(), Stop> {
        self.denied.clear();
        let fact = Fact::Order(order);
        let next = match &self.plan {
            None => Err(Refusal::NotLive),
            Some(plan) => advance(&self.row, plan, &Seen { now: self.now, fact: fact.clone() }),
        };
        match next {
            Err(refusal) => self.deny(order_word(order), refusal),
            Ok(row) if row.version == self.row.version => self.say(&format!("{}: nothing changes", order_word(order))),
            Ok(row) => self.commit(line, row, &words::fact(&fact), None)?,
        }
        Ok(())
    }

    fn deny(&mut self, what: &str, refusal: Refusal) {
        let denial = words::refusal(refusal);
        self.denied.push(denial.code.to_owned());
        self.say(&format!("refused: {what}: {}", denial.detail));
    }

    /// Does what is wanted, each once, until nothing is left to do without time or consumers. Whether `until` was
    /// reached.
    fn settle(&mut self, line: usize, until: Option<&str>) -> Result<bool, Stop> {
        loop {
            if until.is_some_and(|phase| self.is_in(phase)) {
                return Ok(true);
            }
            let Some(effect) = self.next_effect() else { return Ok(false) };
            self.perform(line, &effect)?;
        }
    }

    /// Whether the rotation stands in a phase, by name.
    pub(super) fn is_in(&self, phase: &str) -> bool {
        self.row.rotation.as_ref().is_some_and(|rotation| {
            phase_word(&rotation.phase) == phase
                || (phase == "rollback" && matches!(rotation.phase, Phase::Rollback(_)))
        })
    }

    fn next_effect(&self) -> Option<Effect> {
        self.wants().effects.into_iter().find(|effect| !self.executor.done.contains(&self.once(effect)))
    }

    /// What makes an effect the same one within a round.
    fn once(&self, effect: &Effect) -> (&'static str, String, Option<StoreVersion>) {
        let phase = self.row.rotation.as_ref().map_or("rest", |rotation| phase_word(&rotation.phase));
        let expect = if let Effect::Point { expect, .. } = effect { expect.clone() } else { None };
        (phase, self.id(effect), expect)
    }

    fn id(&self, effect: &Effect) -> String {
        self.row
            .rotation
            .as_ref()
            .map_or_else(String::new, |rotation| effect.id(&self.row.group, rotation.to).as_str().to_owned())
    }

    fn step(&mut self, line: usize) -> Result<(), Stop> {
        if self.next_effect().is_none() {
            self.executor.done.clear();
        }
        match self.next_effect() {
            Some(effect) => self.perform(line, &effect),
            None => {
                self.say("there is nothing to do");
                Ok(())
            }
        }
    }

    fn wait(&mut self, line: usize, duration: Duration) -> Result<(), Stop> {
        let poll = self.poll();
        if duration.as_millis() / poll.as_millis().max(1) > POLLS_MAX {
            return Err(mistaken(
                line,
                format!("{} are more than {POLLS_MAX} polls of {}", Span(duration), Span(poll)),
                "wait for less, or set `policy poll=TIME` higher; `jump` moves the clock alone",
            ));
        }
        let mut left = duration;
        while !left.is_zero() {
            let pause = left.min(poll);
            left -= pause;
            self.look_after(line, pause, None)?;
        }
        Ok(())
    }

    fn poll(&self) -> Duration {
        let poll = self.plan.as_ref().filter(|_| self.row.live().is_some()).map_or(self.policy.poll, |plan| plan.poll);
        if poll.is_zero() { Duration::from_secs(1) } else { poll }
    }

    fn run_until(&mut self, line: usize, phase: &str) -> Result<(), Stop> {
        self.executor.done.clear();
        let mut reached = self.settle(line, Some(phase))?;
        let mut polls = 0;
        while !reached && polls < POLLS_UNTIL_MAX && self.row.live().is_some_and(|live| live.hold.is_none()) {
            reached = self.look_after(line, self.poll(), Some(phase))?;
            polls += 1;
        }
        if reached {
            return Ok(());
        }
        Err(failed(line, format!("{phase} is not reached: {}", self.status().join(";"))))
    }

    /// Time passes, consumers load, and the executor looks again.
    fn look_after(&mut self, line: usize, pause: Duration, until: Option<&str>) -> Result<bool, Stop> {
        self.now = self.now.after(pause);
        if self.setting.autoload {
            let verify = self.acknowledged_ahead();
            let withheld = self.withheld();
            for happened in self.world.load_all(verify, withheld.as_ref()) {
                self.say(&happened);
            }
            self.note_harm();
        }
        self.executor.done.clear();
        if self.row.live().is_some() {
            self.learn(line, &Fact::Tick)?;
        }
        self.settle(line, until)
    }

    /// From whom the candidate is withheld now.
    fn withheld(&self) -> Option<Withheld> {
        Withheld::of(&self.row, self.plan.as_ref()?)
    }

    /// The publication that verifiers acknowledge ahead, while it is verified.
    fn acknowledged_ahead(&self) -> Option<Publication> {
        let verifying = self.row.live().is_some_and(|live| matches!(live.phase, Phase::Verify { .. }));
        verifying.then(|| self.row.publication.next())
    }

    fn perform(&mut self, line: usize, effect: &Effect) -> Result<(), Stop> {
        let id = self.id(effect);
        self.executor.done.insert(self.once(effect));
        let trap = self.traps.iter().position(|trap| trap.kind == effect.kind()).map(|index| self.traps.remove(index));
        let how = trap.map(|trap| trap.how);
        match how {
            Some(How::DiesBefore) => {
                self.say(&format!("the process dies before {} {}", effect.kind(), subject(effect)));
                self.start_again();
                return Ok(());
            }
            Some(How::Pauses) => {
                self.say(&format!(
                    "the executor is paused before {} {}; another takes over",
                    effect.kind(),
                    subject(effect)
                ));
                self.paused.push(effect.clone());
                self.start_again();
                return Ok(());
            }
            Some(How::DiesAfter | How::LosesReply) | None => {}
        }
        let probed = if self.executor.doubtful.contains(&id) { self.world.probe(effect) } else { None };
        if probed.is_some() {
            self.say(&format!("a probe answers for {} {}", effect.kind(), subject(effect)));
        }
        let fact = probed.unwrap_or_else(|| self.world.perform(effect, &mut self.executor.minted));
        self.note_harm();
        match how {
            Some(How::DiesAfter) => {
                self.say(&format!("the process dies after {} {}, before the record", effect.kind(), subject(effect)));
                self.start_again();
                Ok(())
            }
            Some(How::LosesReply) => self.learn_of(line, id, &lost_reply(effect)),
            Some(How::DiesBefore | How::Pauses) | None => self.learn_of(line, id, &fact),
        }
    }

    /// Notes whether the outcome is known, and records it.
    fn learn_of(&mut self, line: usize, id: String, fact: &Fact) -> Result<(), Stop> {
        match fact {
            Fact::Fault { fault: Fault { touched: Touched::Unknown, .. }, .. } => {
                self.executor.doubtful.insert(id);
            }
            Fact::Fault { effect, fault: Fault { kind: FaultKind::Fenced, .. } } => {
                self.say(&format!("{effect} is fenced: a later change stands there"));
                return Ok(());
            }
            Fact::Fault { .. }
            | Fact::Sealed
            | Fact::Swept
            | Fact::Minted(_)
            | Fact::Staged { .. }
            | Fact::Lost
            | Fact::Accepted(_)
            | Fact::LoggedIn(_)
            | Fact::Checked(_)
            | Fact::Refused(_)
            | Fact::Head { .. }
            | Fact::Pointed { .. }
            | Fact::Adoption { .. }
            | Fact::Use(_)
            | Fact::Released(_)
            | Fact::PutBack(_)
            | Fact::Discarded(_)
            | Fact::Destroyed(_)
            | Fact::Revoked(_)
            | Fact::SessionsEnded
            | Fact::Tick
            | Fact::Order(_) => {
                self.executor.doubtful.remove(&id);
            }
        }
        self.learn(line, fact)
    }

    /// A process starts with an empty memory, and does not know which of the wanted acts was begun.
    fn start_again(&mut self) {
        let acts = self.wants().effects.into_iter().filter(|effect| !effect.is_look());
        let doubtful = acts.map(|effect| self.id(&effect)).collect();
        self.executor = Executor { doubtful, ..Executor::default() };
        self.say("a process starts: it looks before it acts");
    }

    /// What a paused executor was about to do is done now. Its answer is of no use to anybody: the row moved on.
    fn arrive(&mut self, line: usize) -> Result<(), Stop> {
        if self.paused.is_empty() {
            return Err(mistaken(line, "no executor is paused", "`pause before EFFECT` comes first"));
        }
        for effect in std::mem::take(&mut self.paused) {
            let fact = self.world.perform(&effect, &mut None);
            self.say(&format!("late: {} {}: {}", effect.kind(), subject(&effect), words::fact(&fact)));
            self.note_harm();
        }
        Ok(())
    }

    fn learn(&mut self, line: usize, fact: &Fact) -> Result<(), Stop> {
        let Some(plan) = &self.plan else { return Ok(()) };
        match advance(&self.row, plan, &Seen { now: self.now, fact: fact.clone() }) {
            Err(refusal) => {
                self.say(&format!("not recorded: {}: {}", words::fact(fact), words::refusal(refusal).detail));
                Ok(())
            }
            Ok(row) if row.version == self.row.version => Ok(()),
            Ok(row) => {
                let sealed = matches!(fact, Fact::Sealed).then(|| self.executor.minted.take()).flatten();
                self.commit(line, row, &words::fact(fact), sealed)
            }
        }
    }

    /// Stores the next row, with a value if one was sealed.
    fn commit(&mut self, line: usize, row: Row, why: &str, sealed: Option<Value>) -> Result<(), Stop> {
        let before = std::mem::replace(&mut self.row, row);
        if let (Some(value), Some(rotation)) = (sealed, &self.row.rotation) {
            self.world.sealed.insert((rotation.to.generation, rotation.to.candidate), value);
        }
        if self.trace || told(&before) != told(&self.row) {
            self.say(&entry(&before, &self.row, why));
        }
        let broken = self.plan.as_ref().map(|plan| check(&self.row, plan)).unwrap_or_default();
        if !broken.is_empty() {
            return Err(failed(line, format!("the row breaks invariants: {broken:?}")));
        }
        self.note_harm();
        Ok(())
    }

    /// Says what harm came and what went.
    fn note_harm(&mut self) {
        let rest = if self.row.live().is_none() { self.row.current } else { None };
        let now = self.world.harms(rest);
        let before = std::mem::replace(&mut self.standing, now.clone());
        for harm in now.difference(&before) {
            self.say(&format!("HARM: {harm}"));
            self.harms.entry(harm.clone()).or_insert(false);
        }
        for harm in before.difference(&now) {
            self.say(&format!("over: {harm}"));
        }
    }

    /// Says what a line did to the world.
    fn happened(&mut self, line: usize, happened: Result<Option<String>, (String, String)>) -> Result<(), Stop> {
        match happened {
            Ok(happened) => {
                if let Some(happened) = happened {
                    self.say(&happened);
                }
                self.note_harm();
                Ok(())
            }
            Err((text, known)) => Err(mistaken(line, text, format!("known are: {known}"))),
        }
    }

    fn expect(&mut self, line: usize, text: &str, expectation: &Expectation) -> Result<(), Stop> {
        if let Err((text, known)) = self.names_what_is_there(expectation) {
            return Err(mistaken(line, text, format!("known are: {known}")));
        }
        if let Expectation::Harm(subject) = expectation {
            for (_, expected) in self.harms.iter_mut().filter(|(harm, _)| harm.subject() == subject) {
                *expected = true;
            }
        }
        self.judge(expectation)
            .map_err(|seen| failed(line, format!("expected {}, saw {seen}", text.replacen("expect ", "", 1))))
    }

    /// Whether the rotation owes a generation, of one that it superseded.
    pub(super) fn owes(&self, generation: Generation) -> bool {
        self.row.live().is_some_and(|live| live.owed.iter().any(|owed| owed.generation == generation))
    }

    fn say(&mut self, text: &str) {
        let line = format!("{:>9}  {text}", clock(self.now));
        self.write(&line);
    }

    fn write(&mut self, line: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.output, "{}", line.trim_end());
    }
}

fn failed(line: usize, text: String) -> Stop {
    Stop::Failed(Failed { line, text })
}

fn mistaken(line: usize, text: impl Into<String>, hint: impl Into<String>) -> Stop {
    Stop::Mistaken(Mistake { line, text: text.into(), hint: hint.into() })
}

/// What our clock shows, from the start of the group.
fn clock(now: Timestamp) -> String {
    let sign = if now.0 < 0 { "-" } else { "" };
    format!("{sign}{}", Span(Duration::from_millis(now.0.unsigned_abs())))
}

/// A commit in words: the phase, or how it changed, and why.
fn entry(before: &Row, after: &Row, why: &str) -> String {
    let word = |row: &Row| row.live().map_or("rest", |live| phase_word(&live.phase));
    let (from, mut to) = (word(before), word(after));
    let mut more = String::new();
    if let Some(rotation) = &after.rotation {
        let old = before.live();
        if let Phase::Done(outcome) = rotation.phase {
            to = "done";
            let _ = write!(more, ": {}", outcome_word(outcome));
        }
        if let Some(hold) = rotation.hold.as_ref().filter(|_| old.is_some_and(|old| old.hold.is_none())) {
            let _ = write!(more, "; held: {}", words::hold(hold));
        }
        if let Some(opened) = opened_anew(old.map(|old| &old.phase), &rotation.phase) {
            let _ = write!(more, "; {}", words::waves::opened(opened));
        }
        let goes_back = matches!(rotation.phase, Phase::Rollback(_)) && old.is_some_and(|old| old.cause.is_none());
        if let Some(cause) = rotation.cause.filter(|_| goes_back) {
            let _ = write!(more, "; on the way back: {}", words::cause(cause));
        }
        if old.is_some_and(|old| old.to.generation == rotation.to.generation && old.to != rotation.to) {
            let _ = write!(more, "; next is candidate {}", rotation.to.candidate);
        }
    }
    let phases = if from == to { from.to_owned() } else { format!("{from} → {to}") };
    format!("{phases:<22} {why}{more}")
}

/// Which waves are open, if others were before.
fn opened_anew<'a>(before: Option<&Phase>, after: &'a Phase) -> Option<&'a Opened> {
    let number = |opened: &Opened| match opened {
        Opened::Nobody => 0,
        Opened::Wave { number, .. } => *number,
        Opened::All => u32::MAX,
    };
    match (before, after) {
        (Some(Phase::Propagate { opened: before, .. }), Phase::Propagate { opened, .. })
            if number(before) != number(opened) =>
        {
            Some(opened)
        }
        _ => None,
    }
}

/// A row without what only counts waiting.
fn told(row: &Row) -> Row {
    let mut row = row.clone();
    row.version = RowVersion(0);
    row.cadence = Cadence::default();
    if let Some(rotation) = &mut row.rotation {
        rotation.elapsed = Waited::default();
        rotation.entered_at = Timestamp(0);
        match &mut rotation.phase {
            Phase::Drain { quiet, overlap, .. } => {
                *quiet = Waited::default();
                *overlap = Waited::default();
            }
            Phase::Disable { held, .. } => *held = Waited::default(),
            Phase::Rollback(Undo::Quiet { quiet, .. }) => *quiet = Waited::default(),
            Phase::Propagate { opened: Opened::Wave { soaked, .. }, .. } => *soaked = Waited::default(),
            Phase::Stage
            | Phase::Apply { .. }
            | Phase::Verify { .. }
            | Phase::Publish { .. }
            | Phase::Propagate { opened: Opened::All | Opened::Nobody, .. }
            | Phase::Destroy { .. }
            | Phase::Rollback(
                Undo::Release
                | Undo::PutBack { .. }
                | Undo::Unpublish { .. }
                | Undo::Return { presenters: Roll::Uncalled | Roll::Behind { .. } | Roll::All }
                | Undo::Revoke { .. },
            )
            | Phase::Done(_) => {}
        }
    }
    row
}
