//! Programs that somebody configured: run by their whole path with fixed arguments, without a shell, in `/`, with nothing in
//! their environment but `PATH`. One that is given up is killed with all that it started.

use std::io;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

/// What a program finds of the environment.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Whether a command begins with the whole path of a program.
pub(crate) fn is_whole(command: &[String]) -> bool {
    command.first().is_some_and(|program| program.starts_with('/'))
}

/// A program that runs. Dropped before it ended, it is killed with all that it started.
pub(crate) struct Running {
    child: Child,
    is_over: bool,
}

impl Running {
    /// Starts it. What it prints is not read.
    pub(crate) fn start(command: &[String]) -> io::Result<Self> {
        Self::spawn(command, Stdio::null())
    }

    fn spawn(command: &[String], stdout: Stdio) -> io::Result<Self> {
        let [program, arguments @ ..] = command else { return Err(io::ErrorKind::InvalidInput.into()) };
        let mut command = Command::new(program);
        command.args(arguments).env_clear().env("PATH", PATH).current_dir("/").process_group(0);
        command.stdin(Stdio::piped()).stdout(stdout).stderr(Stdio::null()).kill_on_drop(true);
        Ok(Self { child: command.spawn()?, is_over: false })
    }

    /// Writes to its standard input, closes that, and waits for its end.
    pub(crate) async fn feed(mut self, input: &[u8]) -> io::Result<ExitStatus> {
        if let Some(mut stdin) = self.child.stdin.take() {
            // One that does not read is judged by how it ends.
            let _ = stdin.write_all(input).await;
        }
        let status = self.child.wait().await?;
        self.is_over = true;
        Ok(status)
    }
}

/// Runs a program, and gives how it ended with what it printed: at most `limit` bytes, and one more where it printed more.
pub(crate) async fn printed(
    command: &[String],
    input: &[u8],
    limit: usize,
) -> io::Result<(ExitStatus, Zeroizing<Vec<u8>>)> {
    let mut running = Running::spawn(command, Stdio::piped())?;
    let stdout = running.child.stdout.take();
    // Room for all of it: a buffer that grows leaves copies behind.
    let mut output = Zeroizing::new(Vec::with_capacity(limit + 1));
    let read = async {
        let Some(stdout) = stdout else { return Ok(0) };
        let mut stdout = stdout.take(limit as u64 + 1);
        let mut count = 0;
        while output.len() < output.capacity() {
            match stdout.read_buf(&mut *output).await? {
                0 => break,
                read => count += read,
            }
        }
        Ok::<_, io::Error>(count)
    };
    let (status, read) = tokio::join!(running.feed(input), read);
    read?;
    Ok((status?, output))
}

impl Drop for Running {
    fn drop(&mut self) {
        let group = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(group) = group.filter(|_| !self.is_over) {
            // It may have ended by itself meanwhile.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
