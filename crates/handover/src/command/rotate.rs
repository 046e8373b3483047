//! `handover rotate`: starts a rotation, and shows how it goes if asked to wait.

use std::time::Duration;

use handover_api::{GroupStatus, RotateRequest, RotationView, Started, Status, WatchEvent, path};
use handover_core::GroupId;
use tokio::time::{Instant, timeout_at};

use super::{group, status};
use crate::cli::Rotate;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::remote::{Remote, Watch};

/// How often is asked while waiting.
const POLL: Duration = Duration::from_millis(500);

/// How many times in a row the server may be away while waiting: a restart must not end the wait.
const AWAY_MAX: u32 = 120;

pub(crate) async fn run(arguments: &Rotate, printer: &Printer) -> Result<(), Failure> {
    let group = group(&arguments.group)?;
    let remote = Remote::new(&arguments.server)?;
    // Opened before the start, so that no phase is missed.
    let stream = if arguments.wait { remote.watch(&group).await.ok() } else { None };
    let started: Started = remote.post(&path::group(path::ROTATE, group.as_str()), &RotateRequest {}).await?;
    if !arguments.wait {
        printer.say(&format!("`handover status {group}` shows how it goes."));
        return printer.data(&started, |started| {
            format!("{}: rotation to generation {} started", started.group, started.generation)
        });
    }
    let deadline = arguments.wait_max.map(|wait| Instant::now() + wait.0);
    let (remote, group, generation) = (&remote, &group, started.generation);
    let mut follower = Follower { remote, group, generation, printer, stream, shown: String::new() };
    let ended = follower.follow(deadline).await?;
    printer.data(&ended, status::text)?;
    match ended.rotation.map(|rotation| rotation.status) {
        Some(Status::Success) => Ok(()),
        Some(Status::RolledBack) => {
            Err(Failure::refused("the rotation was rolled back; the old generation is in force")
                .hint("`handover status` and the audit records say why"))
        }
        Some(Status::Failed | Status::Pending | Status::InProgress | Status::Verifying) | None => {
            Err(Failure::refused("the rotation was given up; nothing was changed"))
        }
    }
}

/// Shows each change until the rotation has ended.
///
/// The stream says each phase, also those that pass between two looks; the looks say for whom it waits, and are enough
/// where there is no stream.
struct Follower<'a> {
    remote: &'a Remote,
    group: &'a GroupId,
    generation: u64,
    printer: &'a Printer,
    stream: Option<Watch>,
    shown: String,
}

impl Follower<'_> {
    async fn follow(&mut self, deadline: Option<Instant>) -> Result<GroupStatus, Failure> {
        let mut away = 0;
        loop {
            match self.look().await {
                Ok(Some(ended)) => return Ok(ended),
                Ok(None) => away = 0,
                Err(Look::Failed(_)) if away < AWAY_MAX => away += 1,
                Err(Look::Failed(failure) | Look::Gone(failure)) => return Err(failure),
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(Failure::refused("the rotation has not ended in the time given; it goes on")
                    .hint(format!("`handover status {}` shows for whom it waits", self.group)));
            }
            self.listen(Instant::now() + POLL).await;
        }
    }

    /// The group's status if the rotation has ended.
    async fn look(&mut self) -> Result<Option<GroupStatus>, Look> {
        let path = path::group(path::GROUP, self.group.as_str());
        let now: GroupStatus = self.remote.get(&path).await.map_err(Look::Failed)?;
        let rotation = now.rotation.as_ref().filter(|rotation| rotation.to.generation == self.generation);
        let Some(rotation) = rotation else {
            return Err(Look::Gone(
                Failure::refused("another rotation has taken its place")
                    .hint(format!("`handover status {}` shows it", self.group)),
            ));
        };
        let ended = rotation.status.is_final();
        self.show(line(self.group, rotation));
        Ok(ended.then_some(now))
    }

    /// Shows what the stream says, until `until`, or until it says that the rotation has ended.
    async fn listen(&mut self, until: Instant) {
        while let Ok(heard) = timeout_at(until, async { self.stream.as_mut()?.next().await }).await {
            let Some(events) = heard else {
                self.stream = None;
                tokio::time::sleep_until(until).await;
                self.stream = self.remote.watch(self.group).await.ok();
                return;
            };
            for event in events {
                if let WatchEvent::Phase { generation, phase, status, hold, .. } = event
                    && generation == self.generation
                {
                    if !self.shown.starts_with(&format!("{}: {phase}", self.group)) {
                        let hold = hold.map(|hold| format!(", held: {hold}")).unwrap_or_default();
                        self.show(format!("{}: {phase}{hold}", self.group));
                    }
                    if status.is_final() {
                        return;
                    }
                }
            }
        }
    }

    fn show(&mut self, line: String) {
        if line != self.shown {
            self.printer.say(&line);
            self.shown = line;
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

/// A line that changes when there is something to say; remaining times, which always change, are left out.
fn line(group: &GroupId, rotation: &RotationView) -> String {
    let waiting: Vec<&str> = rotation
        .waiting_for
        .iter()
        .filter(|waiting| waiting.remaining_ms.is_none())
        .map(|waiting| waiting.text.as_str())
        .collect();
    let hold = rotation.hold.as_ref().map(|hold| format!(", held: {hold}")).unwrap_or_default();
    let waiting = if waiting.is_empty() { String::new() } else { format!(": {}", waiting.join("; ")) };
    format!("{group}: {}{hold}{waiting}", rotation.phase)
}
