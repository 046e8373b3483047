use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use handover_core::{Fault, FaultKind};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::seal::beside;

/// How often the lock is taken again when its file was replaced in between.
const TRIES_MAX: u32 = 8;

/// Held for as long as the state is open. The kernel frees it however the process ends.
pub(super) struct Lock {
    /// The lock belongs to this open file, and the descriptor is closed on exec, so helpers do not inherit it.
    _file: File,
}

impl Lock {
    pub(super) fn take(path: &Path) -> Result<Self, Fault> {
        let name = beside(path, "lock");
        let shown = path.display();
        let storage = || {
            Fault::untouched(
                FaultKind::Storage,
                format!(
                    "the lock file of {shown} could not be opened; check that the folder exists and may be written"
                ),
            )
        };
        for _ in 0..TRIES_MAX {
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&name)
                .map_err(|_| storage())?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(error) if error == Errno::WOULDBLOCK => {
                    return Err(Fault::untouched(
                        FaultKind::Fenced,
                        format!(
                            "another process has the state {shown} open; stop it first, or wait until it has ended: its \
                             lock is freed by the kernel then, so the lock file need not be removed"
                        ),
                    ));
                }
                Err(_) => {
                    return Err(Fault::untouched(
                        FaultKind::Storage,
                        format!("the file system of {shown} takes no locks; keep the state on a local disk"),
                    ));
                }
            }
            // If somebody removed the name in between, the next process would lock another file than ours.
            let ours = file.metadata().map_err(|_| storage())?;
            if std::fs::metadata(&name).is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
                return Ok(Self { _file: file });
            }
        }
        Err(storage())
    }
}
