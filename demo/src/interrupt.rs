//! Ctrl-C: the first ends the demonstration in order, so that nothing that it started is left; the second at once.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Failure, screen};

/// What a shell calls a program that was interrupted.
pub(crate) const EXIT_CODE: u8 = 130;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Listens for it from here on.
pub(crate) fn listen() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let mut interrupts = {
        let _entered = runtime.enter();
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            while interrupts.recv().await.is_some() {
                if INTERRUPTED.swap(true, Ordering::SeqCst) {
                    screen::restore();
                    std::process::exit(i32::from(EXIT_CODE));
                }
            }
        });
    });
    Ok(())
}

/// Whether somebody pressed it.
pub(crate) fn is_asked() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// An error once somebody pressed it.
pub(crate) fn check() -> Result<(), Failure> {
    if is_asked() { Err("interrupted".into()) } else { Ok(()) }
}
