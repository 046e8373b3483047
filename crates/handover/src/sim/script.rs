//! The commands of a scenario, and the text that they are read from.

use std::time::Duration;

use handover_core::{
    ApprovalRule, ConsumerId, Deadline, Gate, GroupId, Moments, OnDeadline, Order, Policy, Reach, SeesUse, Slots,
    StoreId, Strategy, Stretch, Wave, Wish,
};

use super::wave::wave;
use crate::config::duration::Span;
use crate::near::nearest;

/// One line with a command.
#[derive(Debug)]
pub(super) struct Line {
    /// Its number in the file, from 1.
    pub(super) number: usize,
    /// The command as it was written.
    pub(super) text: String,
    /// What it says.
    pub(super) command: Command,
}

/// A line that cannot be carried out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Mistake {
    /// Its number in the file, from 1.
    pub(crate) line: usize,
    /// What is wrong with it.
    pub(crate) text: String,
    /// What would be right.
    pub(crate) hint: String,
}

/// What a line says.
#[derive(Debug)]
pub(super) enum Command {
    Group(Setting),
    Policy(Vec<PolicyChange>),
    /// Who asks; `None`: a schedule.
    Rotate(Option<ConsumerId>),
    Emergency(Wish),
    Approve(Gate, ConsumerId),
    Order(Order),
    Run,
    RunUntil(String),
    Step,
    Wait(Duration),
    Jump {
        milliseconds: i64,
    },
    Status,
    Trace(bool),
    Consumer(ConsumerId, ConsumerChange),
    Target(TargetChange),
    Store(StoreId, StoreChange),
    Evidence {
        known: bool,
    },
    Roll {
        complete: bool,
    },
    Trap {
        kind: &'static str,
        how: How,
    },
    Arrive,
    Expect(Expectation),
}

/// A group and the world around it.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) name: GroupId,
    pub(super) slots: Slots,
    pub(super) stores: Vec<StoreId>,
    /// Each with the store that it reads.
    pub(super) consumers: Vec<(ConsumerId, StoreId)>,
    pub(super) verifiers: Vec<ConsumerId>,
    pub(super) autoload: bool,
    pub(super) empty: bool,
    pub(super) fences: bool,
    pub(super) sees_use: SeesUse,
}

/// One setting of the policy.
#[derive(Clone, Debug)]
pub(super) enum PolicyChange {
    Passes(u32),
    Quiet(Duration),
    Overlap(Duration),
    Brake(Duration),
    Poll(Duration),
    Candidates(u32),
    AutoRollback(bool),
    Presenters(bool),
    FetchToLoad(Duration),
    Strategy(Strategy),
    AcceptOutage(bool),
    CheckAfter(bool),
    Wave(Wave),
    Deadline(Stretch, Deadline),
    Approval(Gate, ApprovalRule),
    /// A time of an emergency: its name, and how long.
    Emergency(&'static str, Duration),
}

impl PolicyChange {
    /// Makes the change.
    pub(super) fn apply(&self, policy: &mut Policy) {
        match self {
            Self::Passes(passes) => policy.passes_min = *passes,
            Self::Quiet(quiet) => policy.quiet_min = *quiet,
            Self::Overlap(overlap) => policy.overlap_min = *overlap,
            Self::Brake(brake) => policy.brake_for = *brake,
            Self::Poll(poll) => policy.poll = *poll,
            Self::Candidates(candidates) => policy.candidates_max = *candidates,
            Self::AutoRollback(auto_rollback) => policy.auto_rollback = *auto_rollback,
            Self::Presenters(presenters) => policy.presenters = *presenters,
            Self::FetchToLoad(longest) => policy.fetch_to_load_max = *longest,
            Self::Strategy(strategy) => policy.strategy = Some(*strategy),
            Self::AcceptOutage(accept_outage) => policy.accept_outage = *accept_outage,
            Self::CheckAfter(after) => policy.checks.after_publish = *after,
            Self::Wave(wave) => policy.waves.push(wave.clone()),
            Self::Deadline(stretch, deadline) => {
                policy.deadlines.insert(*stretch, *deadline);
            }
            Self::Emergency("overlap", time) => policy.emergency.overlap_min = *time,
            Self::Emergency("quiet", time) => policy.emergency.quiet_min = *time,
            Self::Emergency(_, time) => policy.emergency.ceiling = *time,
            Self::Approval(gate, rule) => {
                policy.approvals.insert(*gate, rule.clone());
            }
        }
    }
}

/// The policy before any line changed it. Short waits: a scenario shows order, not patience.
pub(super) fn policy(verifiers: bool) -> Policy {
    Policy {
        strategy: None,
        accept_outage: false,
        passes_min: 1,
        quiet_min: Duration::from_secs(10),
        overlap_min: Duration::ZERO,
        brake_for: Duration::from_secs(10),
        poll: Duration::from_secs(5),
        reach_min: Reach::Loaded,
        auto_rollback: true,
        candidates_max: 3,
        deadlines: std::collections::BTreeMap::new(),
        approvals: std::collections::BTreeMap::new(),
        verifiers,
        presenters: true,
        fetch_to_load_max: Duration::ZERO,
        max_retries: 0,
        retry_after: Duration::from_secs(60),
        checks: Moments::default(),
        emergency: handover_core::Terms::default(),
        waves: Vec::new(),
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum ConsumerChange {
    Loads,
    StopsLoading,
    StartsLoading,
    Lies,
    Dies,
    Restarts,
    IsExcused,
    Joins,
    KeepsOldSession,
    EndsOldSession,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum TargetChange {
    Up(bool),
    Rejects(u32),
    LosesCandidate,
    RefusesLogin(bool),
    LacksGrant(bool),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum StoreChange {
    Up(bool),
    GarblesStaged,
    WrittenByOther,
    DeletedByOther,
}

/// What befalls the next effect of a kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum How {
    /// The process dies before it acts.
    DiesBefore,
    /// It acts, and the process dies before the answer is recorded.
    DiesAfter,
    /// It acts, and the answer is lost.
    LosesReply,
    /// The executor is paused before it acts, and another takes over.
    Pauses,
}

/// What should be so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Expectation {
    Phase(String),
    Status(String),
    Done(String),
    Waiting { what: String, is: bool },
    Hold(String),
    Refusal(String),
    Trouble(String),
    Target { generation: u64, accepts: bool },
    Store(StoreId, Published),
    Staged(StoreId, Option<u64>),
    Consumer(ConsumerId, u64),
    Candidate(u32),
    Minted(u32),
    Current(u64),
    Owed(u64),
    Harm(String),
    NoHarm,
}

/// What a store should publish.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Published {
    Generation(u64),
    Foreign,
    Nothing,
}

/// Every form of a line, as hints and the page show it.
pub(super) const FORMS: &[&str] = &[
    "group NAME [slots=N|fresh|nowhere] [stores=A,B] [consumers=C,D@B] [verifiers=V] [autoload=on|off] [empty=on|off] \
     [fences=on|off] [sees_use=sampled|counted|no]",
    "policy [passes=N] [quiet=TIME] [overlap=TIME] [brake=TIME] [poll=TIME] [candidates=N] [auto_rollback=true|false] \
     [presenters=true|false] [fetch_to_load=TIME] [strategy=NAME] [accept_outage=true|false] \
     [check_after=true|false] [wave=N%|N|NAME+NAME:TIME] [deadline.STRETCH=TIME:ACTION] [approval.GATE=N:TIME] \
     [emergency.WAIT=TIME]",
    "rotate",
    "rotate by NAME",
    "rotate compromised [accept] [sessions]",
    "approve GATE by NAME",
    "rollback",
    "hold",
    "resume",
    "abandon",
    "force",
    "run",
    "run until PHASE",
    "step",
    "wait TIME",
    "jump [-]TIME",
    "status",
    "trace on|off",
    "consumer NAME loads",
    "consumer NAME stops loading",
    "consumer NAME starts loading",
    "consumer NAME lies",
    "consumer NAME dies",
    "consumer NAME restarts",
    "consumer NAME is excused",
    "consumer NAME joins",
    "session NAME keeps old",
    "session NAME ends old",
    "target down|up",
    "target rejects next [N]",
    "target loses candidate",
    "target refuses login",
    "target admits login",
    "target lacks grant",
    "target has grant",
    "store NAME down|up",
    "store NAME garbles staged",
    "store NAME written by other",
    "store NAME deleted by other",
    "evidence unknown|known",
    "roll incomplete|complete",
    "crash before EFFECT",
    "crash after EFFECT",
    "lose reply EFFECT",
    "pause before EFFECT",
    "arrive",
    "expect phase PHASE",
    "expect status STATUS",
    "expect done OUTCOME",
    "expect waiting WHAT",
    "expect not waiting WHAT",
    "expect hold HOLD|none",
    "expect refusal CODE",
    "expect trouble KIND|none",
    "expect accepted N",
    "expect refused N",
    "expect store NAME generation N",
    "expect store NAME foreign|nothing",
    "expect store NAME staged N|nothing",
    "expect consumer NAME generation N",
    "expect candidate N",
    "expect minted N",
    "expect current N",
    "expect owed N",
    "expect harm NAME",
    "expect no harm",
];

/// Effects by name, as [`handover_core::Effect::kind`] gives them.
pub(super) const EFFECTS: &[&str] = &[
    "seal",
    "put_staged",
    "accept",
    "login",
    "check",
    "head",
    "point",
    "adoption",
    "use",
    "end_sessions",
    "refuse",
    "prove",
    "put_back",
    "discard",
    "release",
    "destroy",
    "revoke",
];

/// Phases by name, as the history gives them; `rollback` is any of the way back.
pub(super) const PHASES: &[&str] = &[
    "stage",
    "apply",
    "verify",
    "publish",
    "propagate",
    "drain",
    "disable",
    "destroy",
    "release",
    "put_back",
    "unpublish",
    "return",
    "quiet",
    "revoke",
    "rollback",
    "done",
];

/// Reads a scenario.
pub(super) fn parse(text: &str) -> Result<Vec<Line>, Mistake> {
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let written = line.split('#').next().unwrap_or_default().trim();
        let words: Vec<&str> = written.split_whitespace().collect();
        if words.is_empty() {
            continue;
        }
        let number = index + 1;
        let command = command(&words).map_err(|Wrong { text, hint }| Mistake { line: number, text, hint })?;
        lines.push(Line { number, text: words.join(" "), command });
    }
    let hint = "begin with `group NAME`".to_owned();
    match lines.iter().find(|line| !matches!(line.command, Command::Trace(_))) {
        None => Err(Mistake { line: 1, text: "the scenario has no command".to_owned(), hint }),
        Some(Line { command: Command::Group(_), .. }) => Ok(lines),
        Some(line) => Err(Mistake { line: line.number, text: format!("`{}` comes before any group", line.text), hint }),
    }
}

/// What is wrong with a line, and what would be right.
pub(super) struct Wrong {
    text: String,
    hint: String,
}

pub(super) fn wrong(text: impl Into<String>, hint: impl Into<String>) -> Wrong {
    Wrong { text: text.into(), hint: hint.into() }
}

fn command(words: &[&str]) -> Result<Command, Wrong> {
    Ok(match words {
        ["group", name, settings @ ..] => Command::Group(setting(name, settings)?),
        ["policy", settings @ ..] if !settings.is_empty() => {
            Command::Policy(settings.iter().map(|setting| policy_change(setting)).collect::<Result<_, _>>()?)
        }
        ["rotate"] => Command::Rotate(None),
        ["rotate", "by", name] => Command::Rotate(Some(consumer(name)?)),
        ["rotate", "compromised", also @ ..] if also.iter().all(|word| ["accept", "sessions"].contains(word)) => {
            let says = |word| also.contains(&word);
            Command::Emergency(Wish { accept_breakage: says("accept"), end_sessions: says("sessions") })
        }
        ["approve", name, "by", who] => Command::Approve(gate(name)?, consumer(who)?),
        ["rollback"] => Command::Order(Order::Rollback),
        ["hold"] => Command::Order(Order::Hold),
        ["resume"] => Command::Order(Order::Resume),
        ["abandon"] => Command::Order(Order::Abandon),
        ["force"] => Command::Order(Order::Force),
        ["run"] => Command::Run,
        ["run", "until", phase] => Command::RunUntil(one_of(phase, PHASES, "phase")?),
        ["step"] => Command::Step,
        ["wait", time] => Command::Wait(duration(time)?),
        ["jump", time] => jump(time)?,
        ["status"] => Command::Status,
        ["trace", state @ ("on" | "off")] => Command::Trace(*state == "on"),
        ["consumer", name, change @ ..] => Command::Consumer(consumer(name)?, consumer_change(words, change)?),
        ["session", name, "keeps", "old"] => Command::Consumer(consumer(name)?, ConsumerChange::KeepsOldSession),
        ["session", name, "ends", "old"] => Command::Consumer(consumer(name)?, ConsumerChange::EndsOldSession),
        ["target", change @ ..] => Command::Target(target_change(words, change)?),
        ["store", name, change @ ..] => Command::Store(store(name)?, store_change(words, change)?),
        ["evidence", state @ ("known" | "unknown")] => Command::Evidence { known: *state == "known" },
        ["roll", state @ ("complete" | "incomplete")] => Command::Roll { complete: *state == "complete" },
        ["crash", "before", effect] => trap(effect, How::DiesBefore)?,
        ["crash", "after", effect] => trap(effect, How::DiesAfter)?,
        ["lose", "reply", effect] => trap(effect, How::LosesReply)?,
        ["pause", "before", effect] => trap(effect, How::Pauses)?,
        ["arrive"] => Command::Arrive,
        ["expect", what @ ..] => Command::Expect(expectation(words, what)?),
        other => return Err(no_such(other)),
    })
}

/// A line of no known form: the forms that begin alike, or the nearest one.
fn no_such(words: &[&str]) -> Wrong {
    let text = words.join(" ");
    let first = words.first().copied().unwrap_or_default();
    let starts = |form: &str| form.split_whitespace().next().unwrap_or_default().to_owned();
    let alike: Vec<&str> = FORMS.iter().copied().filter(|form| starts(form) == first).collect();
    if alike.is_empty() {
        let near = nearest(first, FORMS.iter().map(|form| starts(form)));
        return wrong(format!("`{first}` is no command"), format!("did you mean `{near}`?"));
    }
    let near = nearest(&text, alike.iter().map(|form| (*form).to_owned()));
    wrong(format!("`{text}` is not understood"), format!("did you mean `{near}`?"))
}

fn setting(name: &str, settings: &[&str]) -> Result<Setting, Wrong> {
    let mut made = Setting {
        name: GroupId::parse(name).map_err(|bad| wrong(format!("`{name}`: {bad}"), "group orders slots=2"))?,
        slots: Slots::Fixed(2),
        stores: vec![store("a")?],
        consumers: Vec::new(),
        verifiers: Vec::new(),
        autoload: true,
        empty: false,
        fences: true,
        sees_use: SeesUse::Sampled,
    };
    let mut consumers = "web";
    for setting in settings {
        match setting.split_once('=') {
            Some(("slots", "fresh")) => made.slots = Slots::Fresh,
            Some(("slots", "nowhere")) => made.slots = Slots::Nowhere,
            Some(("slots", slots)) => made.slots = Slots::Fixed(number(slots, 1..=16)?),
            Some(("stores", names)) => made.stores = names_of(names, store)?,
            Some(("consumers", names)) => consumers = names,
            Some(("verifiers", names)) => made.verifiers = names_of(names, consumer)?,
            Some(("autoload", state)) => made.autoload = on_off(state)?,
            Some(("empty", state)) => made.empty = on_off(state)?,
            Some(("fences", state)) => made.fences = on_off(state)?,
            Some(("sees_use", "sampled")) => made.sees_use = SeesUse::Sampled,
            Some(("sees_use", "counted")) => made.sees_use = SeesUse::Counted,
            Some(("sees_use", "no")) => made.sees_use = SeesUse::No,
            Some(_) | None => return Err(unknown_setting(setting, FORMS[0])),
        }
    }
    for (index, entry) in consumers.split(',').filter(|entry| !entry.is_empty()).enumerate() {
        let (name, reads) = match entry.split_once('@') {
            Some((name, reads)) => (name, Some(store(reads)?)),
            None => (entry, made.stores.get(index % made.stores.len().max(1)).cloned()),
        };
        let Some(reads) = reads.filter(|reads| made.stores.contains(reads)) else {
            return Err(wrong(format!("`{entry}` reads no store of the group"), "consumers=web@a reads store a"));
        };
        made.consumers.push((consumer(name)?, reads));
    }
    Ok(made)
}

fn policy_change(setting: &str) -> Result<PolicyChange, Wrong> {
    let Some((name, value)) = setting.split_once('=') else { return Err(unknown_setting(setting, FORMS[1])) };
    Ok(match name {
        "passes" => PolicyChange::Passes(number(value, 0..=1_000)?),
        "quiet" => PolicyChange::Quiet(duration(value)?),
        "overlap" => PolicyChange::Overlap(duration(value)?),
        "brake" => PolicyChange::Brake(duration(value)?),
        "poll" => PolicyChange::Poll(duration(value)?),
        "candidates" => PolicyChange::Candidates(number(value, 0..=1_000)?),
        "auto_rollback" => PolicyChange::AutoRollback(true_false(value)?),
        "presenters" => PolicyChange::Presenters(true_false(value)?),
        "fetch_to_load" => PolicyChange::FetchToLoad(duration(value)?),
        "accept_outage" => PolicyChange::AcceptOutage(true_false(value)?),
        "check_after" => PolicyChange::CheckAfter(true_false(value)?),
        "wave" => PolicyChange::Wave(wave(value)?),
        "strategy" => PolicyChange::Strategy(match value {
            "immediate" => Strategy::Immediate,
            "staged" => Strategy::Staged,
            "dual_write" => Strategy::DualWrite,
            "blue_green" => Strategy::BlueGreen,
            _ => return Err(wrong(format!("`{value}` is no strategy"), "strategy=dual_write")),
        }),
        _ => match name.split_once('.') {
            Some(("deadline", stretch)) => deadline(stretch, value)?,
            Some(("approval", name)) => approval(name, value)?,
            Some(("emergency", name @ ("overlap" | "quiet" | "ceiling"))) => {
                let name = ["overlap", "quiet"].into_iter().find(|known| *known == name).unwrap_or("ceiling");
                PolicyChange::Emergency(name, duration(value)?)
            }
            Some(_) | None => return Err(unknown_setting(setting, FORMS[1])),
        },
    })
}

fn gate(name: &str) -> Result<Gate, Wrong> {
    Ok(match name {
        "start" => Gate::Start,
        "disable" => Gate::Disable,
        "destroy" => Gate::Destroy,
        _ => return Err(wrong(format!("`{name}` is no gate"), "start, disable or destroy")),
    })
}

fn approval(name: &str, value: &str) -> Result<PolicyChange, Wrong> {
    let Some((quorum, expires)) = value.split_once(':') else {
        return Err(wrong(format!("`{value}` is no approval"), "approval.disable=2:1h"));
    };
    let (quorum, expires) = (number(quorum, 0..=20)?, duration(expires)?);
    Ok(PolicyChange::Approval(gate(name)?, ApprovalRule { quorum, expires, approvers: Default::default() }))
}

fn deadline(stretch: &str, value: &str) -> Result<PolicyChange, Wrong> {
    let stretch = match stretch {
        "apply" => Stretch::Apply,
        "verify" => Stretch::Verify,
        "publish" => Stretch::Publish,
        "propagate" => Stretch::Propagate,
        "drain" => Stretch::Drain,
        "disable" => Stretch::Disable,
        "rollback" => Stretch::Rollback,
        _ => {
            return Err(wrong(
                format!("`{stretch}` has no deadline"),
                "one of apply, verify, publish, propagate, drain, disable, rollback",
            ));
        }
    };
    let hint = "deadline.verify=60s:rollback; or hold, terminate_sessions, request_force";
    let (after, then) = value.split_once(':').unwrap_or((value, "hold"));
    let then = match then {
        "hold" => OnDeadline::Hold,
        "rollback" => OnDeadline::Rollback,
        "terminate_sessions" => OnDeadline::TerminateSessions,
        "request_force" => OnDeadline::RequestForce,
        _ => return Err(wrong(format!("`{then}` is nothing that a deadline does"), hint)),
    };
    Ok(PolicyChange::Deadline(stretch, Deadline { after: duration(after)?, then }))
}

fn consumer_change(words: &[&str], change: &[&str]) -> Result<ConsumerChange, Wrong> {
    Ok(match change {
        ["loads"] => ConsumerChange::Loads,
        ["stops", "loading"] => ConsumerChange::StopsLoading,
        ["starts", "loading"] => ConsumerChange::StartsLoading,
        ["lies"] => ConsumerChange::Lies,
        ["dies"] => ConsumerChange::Dies,
        ["restarts"] => ConsumerChange::Restarts,
        ["is", "excused"] => ConsumerChange::IsExcused,
        ["joins"] => ConsumerChange::Joins,
        _ => return Err(no_such(words)),
    })
}

fn target_change(words: &[&str], change: &[&str]) -> Result<TargetChange, Wrong> {
    Ok(match change {
        ["down"] => TargetChange::Up(false),
        ["up"] => TargetChange::Up(true),
        ["rejects", "next"] => TargetChange::Rejects(1),
        ["rejects", "next", count] => TargetChange::Rejects(number(count, 1..=1_000)?),
        ["loses", "candidate"] => TargetChange::LosesCandidate,
        ["refuses", "login"] => TargetChange::RefusesLogin(true),
        ["admits", "login"] => TargetChange::RefusesLogin(false),
        ["lacks", "grant"] => TargetChange::LacksGrant(true),
        ["has", "grant"] => TargetChange::LacksGrant(false),
        _ => return Err(no_such(words)),
    })
}

fn store_change(words: &[&str], change: &[&str]) -> Result<StoreChange, Wrong> {
    Ok(match change {
        ["down"] => StoreChange::Up(false),
        ["up"] => StoreChange::Up(true),
        ["garbles", "staged"] => StoreChange::GarblesStaged,
        ["written", "by", "other"] => StoreChange::WrittenByOther,
        ["deleted", "by", "other"] => StoreChange::DeletedByOther,
        _ => return Err(no_such(words)),
    })
}

fn trap(effect: &str, how: How) -> Result<Command, Wrong> {
    let kind = EFFECTS.iter().find(|kind| **kind == effect).ok_or_else(|| {
        let near = nearest(effect, EFFECTS.iter().map(|kind| (*kind).to_owned()));
        wrong(format!("`{effect}` is no effect"), format!("did you mean `{near}`?"))
    })?;
    Ok(Command::Trap { kind, how })
}

fn expectation(words: &[&str], what: &[&str]) -> Result<Expectation, Wrong> {
    let counted = |text: &str| number(text, 0..=u32::MAX);
    Ok(match what {
        ["phase", phase] => Expectation::Phase(one_of(phase, PHASES, "phase")?),
        ["status", status] => Expectation::Status(one_of(
            status,
            &["pending", "in_progress", "verifying", "success", "failed", "rolled_back"],
            "status",
        )?),
        ["done", outcome] => Expectation::Done(one_of(outcome, &["success", "rolled_back", "abandoned"], "outcome")?),
        ["waiting", what] => Expectation::Waiting { what: (*what).to_owned(), is: true },
        ["not", "waiting", what] => Expectation::Waiting { what: (*what).to_owned(), is: false },
        ["hold", hold] => Expectation::Hold(one_of(
            hold,
            &["none", "ordered", "drift", "candidates_spent", "unfit", "deadline", "force_wanted"],
            "hold",
        )?),
        ["refusal", code] => Expectation::Refusal((*code).to_owned()),
        ["trouble", kind] => Expectation::Trouble((*kind).to_owned()),
        ["accepted", generation] => Expectation::Target { generation: counted(generation)?.into(), accepts: true },
        ["refused", generation] => Expectation::Target { generation: counted(generation)?.into(), accepts: false },
        ["store", name, "generation", generation] => {
            Expectation::Store(store(name)?, Published::Generation(counted(generation)?.into()))
        }
        ["store", name, "staged", "nothing"] => Expectation::Staged(store(name)?, None),
        ["store", name, "staged", generation] => Expectation::Staged(store(name)?, Some(counted(generation)?.into())),
        ["store", name, "foreign"] => Expectation::Store(store(name)?, Published::Foreign),
        ["store", name, "nothing"] => Expectation::Store(store(name)?, Published::Nothing),
        ["consumer", name, "generation", generation] => {
            Expectation::Consumer(consumer(name)?, counted(generation)?.into())
        }
        ["candidate", candidate] => Expectation::Candidate(counted(candidate)?),
        ["minted", minted] => Expectation::Minted(counted(minted)?),
        ["current", generation] => Expectation::Current(counted(generation)?.into()),
        ["owed", generation] => Expectation::Owed(counted(generation)?.into()),
        ["harm", name] => Expectation::Harm((*name).to_owned()),
        ["no", "harm"] => Expectation::NoHarm,
        _ => return Err(no_such(words)),
    })
}

fn one_of(text: &str, all: &[&str], noun: &str) -> Result<String, Wrong> {
    let lower = text.to_lowercase();
    if all.contains(&lower.as_str()) {
        return Ok(lower);
    }
    let near = nearest(&lower, all.iter().map(|word| (*word).to_owned()));
    Err(wrong(format!("`{text}` is no {noun}"), format!("did you mean `{near}`? All are: {}", all.join(", "))))
}

fn unknown_setting(setting: &str, form: &str) -> Wrong {
    wrong(format!("`{setting}` is not understood"), form)
}

pub(super) fn names_of<T>(names: &str, one: impl Fn(&str) -> Result<T, Wrong>) -> Result<Vec<T>, Wrong> {
    names.split(',').filter(|name| !name.is_empty()).map(one).collect()
}

fn store(name: &str) -> Result<StoreId, Wrong> {
    StoreId::parse(name).map_err(|bad| wrong(format!("`{name}` is no store's name: {bad}"), "stores=a,b"))
}

pub(super) fn consumer(name: &str) -> Result<ConsumerId, Wrong> {
    ConsumerId::parse(name).map_err(|bad| wrong(format!("`{name}` is no consumer's name: {bad}"), "consumers=web,job"))
}

pub(super) fn number(text: &str, range: std::ops::RangeInclusive<u32>) -> Result<u32, Wrong> {
    text.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
        wrong(format!("`{text}` is no number that fits"), format!("from {} to {}", range.start(), range.end()))
    })
}

pub(super) fn duration(text: &str) -> Result<Duration, Wrong> {
    let Some(Span(duration)) = Span::parse(text) else {
        return Err(wrong(format!("`{text}` is no duration"), "500ms, 10s, 5m, 2h, 1d, or a sum such as 1h30m"));
    };
    Ok(duration)
}

fn jump(text: &str) -> Result<Command, Wrong> {
    let (sign, rest) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let milliseconds = i64::try_from(duration(rest)?.as_millis()).unwrap_or(i64::MAX);
    Ok(Command::Jump { milliseconds: sign * milliseconds })
}

fn on_off(text: &str) -> Result<bool, Wrong> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(wrong(format!("`{text}` is neither on nor off"), "autoload=off")),
    }
}

fn true_false(text: &str) -> Result<bool, Wrong> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(wrong(format!("`{text}` is neither true nor false"), "auto_rollback=false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(text: &str) -> Mistake {
        parse(text).expect_err(text)
    }

    #[test]
    fn a_mistake_names_its_line_and_the_nearest_command() {
        let found = mistake("# a comment\ngroup g\n\nrotat\n");
        assert_eq!((found.line, found.text.as_str()), (4, "`rotat` is no command"));
        assert_eq!(found.hint, "did you mean `rotate`?");
        let found = mistake("group g\nconsumer web stops lodaing\n");
        assert_eq!((found.line, found.hint.as_str()), (2, "did you mean `consumer NAME stops loading`?"));
        let found = mistake("group g\nexpect phase Drian\n");
        assert!(found.hint.starts_with("did you mean `drain`?"), "{}", found.hint);
        let found = mistake("group g\ncrash after acept\n");
        assert_eq!(found.hint, "did you mean `accept`?");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for text in [
            "",
            "rotate\n",
            "trace on\nrotate\n",
            "group Orders\n",
            "group g slots=0\n",
            "group g consumers=web@b\n",
            "group g\npolicy\n",
            "group g\npolicy quiet=10\n",
            "group g\npolicy deadline.verify=10s:panic\n",
            "group g\npolicy deadline.done=10s\n",
            "group g\nwait -1s\n",
            "group g\ntarget explodes\n",
            "group g\nexpect accepted x\n",
        ] {
            let found = mistake(text);
            assert!(found.line > 0 && !found.hint.is_empty(), "{text:?}: {found:?}");
        }
    }

    #[test]
    fn the_page_shows_every_form() {
        let page = include_str!("../../../../docs/scenarios.md");
        for form in FORMS {
            assert!(page.contains(form), "docs/scenarios.md lacks `{form}`");
        }
        for effect in EFFECTS {
            assert!(page.contains(&format!("`{effect}`")), "docs/scenarios.md lacks `{effect}`");
        }
    }

    /// S44: whatever stands in a scenario, reading it ends in commands, or in words that say where it is wrong.
    #[test]
    fn hostile_scenarios_are_read_or_refused() {
        let forms = format!("group g\n{}\n", FORMS.join("\n"));
        let whole = "group g consumers=web stores=s slots=2\npolicy quiet=10s\nrotate\nwait 10s\nexpect phase done\n";
        handover_testkit::mutate::texts(23, 10_000, &[forms.as_str(), whole], |text| {
            if let Err(found) = parse(text) {
                assert!(found.line > 0 && !found.text.is_empty() && !found.hint.is_empty(), "{text:?}: {found:?}");
            }
        });
    }
}
