//! Child processes that end with us.

use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{ServerError, random_hex};

type Order = (Command, Sender<io::Result<Child>>);

/// Spawns from a thread that lives as long as the process.
///
/// The kernel sends the parent-death signal when the *thread* that forked ends, and tests run on short-lived threads.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, queue) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in queue {
                // Nobody waits any more if the receiver is gone; the child then ends with this process.
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let gone = || io::Error::other("the thread that starts servers has ended");
    let (answer, result) = channel();
    let sent = spawner.lock().unwrap_or_else(PoisonError::into_inner).send((command, answer));
    sent.map_err(|_| gone())?;
    result.recv().map_err(|_| gone())?
}

/// Sends `signal` and waits up to `patience` for the end; says whether it came.
pub(crate) fn end(child: &mut Child, signal: Signal, patience: Duration) -> bool {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // An error means that it has ended already, which the wait finds.
        let _ = kill_process(pid, signal);
    }
    let limit = Instant::now() + patience;
    loop {
        match child.try_wait() {
            Ok(Some(_)) => return true,
            Ok(None) if Instant::now() < limit => std::thread::sleep(Duration::from_millis(5)),
            Ok(None) | Err(_) => return false,
        }
    }
}

/// Where a program that tests run others under is, or the line that installs it.
pub fn tool(name: &str) -> Result<PathBuf, ServerError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.exists());
    found.ok_or_else(|| {
        ServerError::new(format!(
            "{name} is missing; run: cargo xtask setup, or: apt-get install -y --no-install-recommends {name}"
        ))
    })
}

/// A port on loopback that was free a moment ago, between 20000 and 32767.
pub fn free_port() -> Result<u16, ServerError> {
    for _ in 0..200 {
        let drawn = u16::from_str_radix(&random_hex(4)?, 16)
            .map_err(|error| ServerError::because("a random number did not parse", &error))?;
        let port = 20_000 + drawn % 12_768;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err(ServerError::new("no free loopback port between 20000 and 32767 was found in 200 tries"))
}
