//! `handover rotate`: starts a rotation, and shows how it goes if asked to wait.

use std::time::Duration;

use handover_api::{Explanation, GroupStatus, RotateRequest, Started, Status, WatchEvent, path};
use handover_core::GroupId;
use tokio::time::{Instant, timeout_at};

use super::{emergency, group, status};
use crate::cli::Rotate;
use crate::config::duration::Span;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::remote::{Remote, Watch};

/// How often is asked while waiting.
const POLL: Duration = Duration::from_millis(500);

/// How many times in a row the server may be away while waiting: a restart must not end the wait.
const AWAY_MAX: u32 = 120;

/// Evidence that changes with every look, and says nothing new by that.
const EVER_CHANGING: [&str; 3] = ["quiet", "overlap", "brake"];

pub(crate) async fn run(arguments: &Rotate, printer: &Printer) -> Result<(), Failure> {
    let group = group(&arguments.group)?;
    let remote = Remote::new(&arguments.server)?;
    // Opened before the start, so that no phase is missed.
    let stream = if arguments.wait { remote.watch(Some(&group), None).await.ok() } else { None };
    let started: Started = if arguments.compromised {
        emergency::order(arguments, &remote).await?
    } else {
        remote.post(&path::group(path::ROTATE, group.as_str()), &RotateRequest {}).await?
    };
    if !arguments.wait {
        printer.say(&format!("`handover explain {group}` shows how it goes."));
        return printer.data(&started, |started| {
            let Started { group, generation, approval_wanted } = started;
            let how = if *approval_wanted { "asked for: it starts once it is approved" } else { "started" };
            format!("{group}: rotation to generation {generation} {how}")
        });
    }
    let deadline = arguments.wait_max.map(|wait| Instant::now() + wait.0);
    let progress = Progress::new(&group, printer);
    let mut follower = Follower { remote: &remote, group: &group, generation: started.generation, stream, progress };
    follower.follow(deadline).await?;
    let ended: GroupStatus = remote.get(&path::group(path::GROUP, group.as_str())).await?;
    printer.data(&ended, status::text)?;
    match ended.rotation.map(|rotation| rotation.status) {
        Some(Status::Success) => Ok(()),
        Some(Status::RolledBack) => {
            Err(Failure::refused("the rotation was rolled back; the old generation is in force")
                .hint(format!("`handover history {group}` says why")))
        }
        Some(Status::Failed | Status::Pending | Status::InProgress | Status::Verifying) | None => {
            Err(Failure::refused("the rotation was given up; nothing was changed")
                .hint(format!("`handover history {group}` says by whom")))
        }
    }
}

/// Shows each change until the rotation has ended.
///
/// The stream says each phase, also those that pass between two looks; the looks bring the evidence and for whom it
/// waits, and are enough where there is no stream.
struct Follower<'a> {
    remote: &'a Remote,
    group: &'a GroupId,
    generation: u64,
    stream: Option<Watch>,
    progress: Progress<'a>,
}

impl Follower<'_> {
    async fn follow(&mut self, deadline: Option<Instant>) -> Result<(), Failure> {
        let mut away = 0;
        loop {
            match self.look().await {
                Ok(true) => return Ok(()),
                Ok(false) => away = 0,
                Err(Look::Failed(_)) if away < AWAY_MAX => away += 1,
                Err(Look::Failed(failure) | Look::Gone(failure)) => {
                    self.progress.interrupt();
                    return Err(failure);
                }
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                self.progress.interrupt();
                return Err(Failure::refused("the rotation has not ended in the time given; it goes on")
                    .hint(format!("`handover explain {}` shows for whom it waits, and what can be done", self.group)));
            }
            self.listen(Instant::now() + POLL).await;
        }
    }

    /// Whether the rotation has ended.
    async fn look(&mut self) -> Result<bool, Look> {
        let path = path::group(path::EXPLAIN, self.group.as_str());
        let now: Explanation = self.remote.get(&path).await.map_err(Look::Failed)?;
        if now.generation != Some(self.generation) {
            return Err(Look::Gone(
                Failure::refused("another rotation has taken its place")
                    .hint(format!("`handover explain {}` shows it", self.group)),
            ));
        }
        let phase = now.phase.clone().unwrap_or_default();
        let ended = now.status.is_some_and(Status::is_final);
        self.progress.enter(&phase);
        if ended {
            self.progress.end(&now.summary);
        } else {
            self.progress.learn(&now);
        }
        Ok(ended)
    }

    /// Shows what the stream says, until `until`, or until it says that the rotation has ended.
    async fn listen(&mut self, until: Instant) {
        while let Ok(heard) = timeout_at(until, async { self.stream.as_mut()?.next().await }).await {
            let Some(events) = heard else {
                let seen = self.stream.take().and_then(|stream| stream.last_id());
                tokio::time::sleep_until(until).await;
                self.stream = self.remote.watch(Some(self.group), seen).await.ok();
                return;
            };
            for event in events {
                if let WatchEvent::Phase { generation, phase, status, .. } = event
                    && generation == self.generation
                {
                    self.progress.enter(&phase);
                    if status.is_final() {
                        return;
                    }
                }
            }
        }
    }
}

/// Why a look showed nothing.
enum Look {
    /// The server is away; it may come back.
    Failed(Failure),
    /// There is nothing to wait for any more.
    Gone(Failure),
}

/// What is shown of a rotation on its way: a line for each phase with what was learnt, and how long it took. On a
/// terminal the present phase has one line, which changes.
struct Progress<'a> {
    group: &'a GroupId,
    printer: &'a Printer,
    live: bool,
    began: Instant,
    phase: String,
    entered: Instant,
    shown: String,
    took: Vec<(String, Duration)>,
}

impl<'a> Progress<'a> {
    fn new(group: &'a GroupId, printer: &'a Printer) -> Self {
        let now = Instant::now();
        Self {
            group,
            printer,
            live: printer.is_live(),
            began: now,
            phase: String::new(),
            entered: now,
            shown: String::new(),
            took: Vec::new(),
        }
    }

    /// The rotation stands in this phase now.
    fn enter(&mut self, phase: &str) {
        if self.phase == phase {
            return;
        }
        let now = Instant::now();
        if !self.phase.is_empty() {
            let took = now - self.entered;
            self.interrupt();
            self.printer.say(&format!("{}: {} took {}", self.group, self.phase, short(took)));
            self.took.push((std::mem::take(&mut self.phase), took));
        }
        phase.clone_into(&mut self.phase);
        self.entered = now;
        self.show(phase.to_owned());
    }

    /// What is known of the phase.
    fn learn(&mut self, now: &Explanation) {
        self.show(line(&self.phase, now, self.live));
    }

    fn end(&mut self, summary: &str) {
        self.interrupt();
        let took: Vec<String> = self.took.iter().map(|(phase, took)| format!("{phase} {}", short(*took))).collect();
        let all = short(self.began.elapsed());
        self.printer.say(&format!("{}: {summary}; it took {all} ({})", self.group, took.join(", ")));
    }

    /// Makes room for a line that stays.
    fn interrupt(&mut self) {
        if self.live && !self.shown.is_empty() {
            self.printer.say_for_now("");
        }
        self.shown.clear();
    }

    fn show(&mut self, line: String) {
        if line != self.shown {
            let words = format!("{}: {line}", self.group);
            if self.live {
                self.printer.say_for_now(&words);
            } else {
                self.printer.say(&words);
            }
            self.shown = line;
        }
    }
}

/// What is known of a phase in one line. What changes all the time is shown only where the line is replaced.
fn line(phase: &str, now: &Explanation, live: bool) -> String {
    let evidence = now.evidence.iter().filter(|evidence| live || !EVER_CHANGING.contains(&evidence.kind.as_str()));
    let evidence = evidence.map(|evidence| evidence.text.as_str());
    let waiting =
        now.waiting_for.iter().filter(|waiting| waiting.kind == "consumer").map(|waiting| waiting.text.as_str());
    let hold = now.hold.as_ref().map(|hold| format!("held: {}", hold.text));
    let trouble = now.last_fault.as_ref().map(|fault| format!("{} [{}]", fault.text, fault.code));
    let known: Vec<&str> =
        hold.as_deref().into_iter().chain(trouble.as_deref()).chain(evidence).chain(waiting).collect();
    if known.is_empty() { phase.to_owned() } else { format!("{phase}: {}", known.join("; ")) }
}

/// Tenths of a second below a minute, whole seconds above.
fn short(duration: Duration) -> String {
    if duration.as_secs() < 60 {
        return format!("{:.1}s", duration.as_secs_f64());
    }
    Span(Duration::from_secs(duration.as_secs())).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_it_took_is_told_briefly() {
        assert_eq!(short(Duration::from_millis(1_249)), "1.2s");
        assert_eq!(short(Duration::from_millis(61_999)), "1m1s");
    }
}
