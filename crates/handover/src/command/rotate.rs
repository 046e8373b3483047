//! `handover rotate`: starts a rotation, and shows how it goes if asked to wait.

use std::time::Duration;

use handover_api::{GroupStatus, RotateRequest, RotationView, Started, Status, path};
use handover_core::GroupId;
use tokio::time::Instant;

use super::{group, status};
use crate::cli::Rotate;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::remote::Remote;

/// How often is asked while waiting.
const POLL: Duration = Duration::from_millis(500);

/// How many times in a row the server may be away while waiting: a restart must not end the wait.
const AWAY_MAX: u32 = 120;

pub(crate) async fn run(arguments: &Rotate, printer: &Printer) -> Result<(), Failure> {
    let group = group(&arguments.group)?;
    let remote = Remote::new(&arguments.server)?;
    let started: Started = remote.post(&path::group(path::ROTATE, group.as_str()), &RotateRequest {}).await?;
    if !arguments.wait {
        printer.say(&format!("`handover status {group}` shows how it goes."));
        return printer.data(&started, |started| {
            format!("{}: rotation to generation {} started", started.group, started.generation)
        });
    }
    let deadline = arguments.wait_max.map(|wait| Instant::now() + wait.0);
    let ended = follow(&remote, &group, started.generation, deadline, printer).await?;
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
async fn follow(
    remote: &Remote,
    group: &GroupId,
    generation: u64,
    deadline: Option<Instant>,
    printer: &Printer,
) -> Result<GroupStatus, Failure> {
    let (mut shown, mut away) = (String::new(), 0);
    loop {
        match remote.get::<GroupStatus>(&path::group(path::GROUP, group.as_str())).await {
            Ok(now) => {
                away = 0;
                let rotation = now.rotation.as_ref().filter(|rotation| rotation.to.generation == generation);
                let Some(rotation) = rotation else {
                    return Err(Failure::refused("another rotation has taken its place")
                        .hint(format!("`handover status {group}` shows it")));
                };
                let line = line(group, rotation);
                if line != shown {
                    printer.say(&line);
                    shown = line;
                }
                if rotation.status.is_final() {
                    return Ok(now);
                }
            }
            Err(failure) if away >= AWAY_MAX => return Err(failure),
            Err(_) => away += 1,
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(Failure::refused("the rotation has not ended in the time given; it goes on")
                .hint(format!("`handover status {group}` shows for whom it waits")));
        }
        tokio::time::sleep(POLL).await;
    }
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
