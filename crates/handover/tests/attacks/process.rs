//! What another process on the same machine can learn from the server's process.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use handover_testkit::rig::{GROUP, Options, Rig};
use handover_testkit::servers::free_port;
use rustix::process::{Pid, Signal, kill_process};

/// An account without rights, for when the tests run as root.
const NOBODY: u32 = 65_534;

/// A command as an unprivileged user: as we are, or as nobody where we are root.
fn unprivileged(program: &Path) -> Command {
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--pdeathsig", "KILL", "--"])
            .arg(program);
        command
    } else {
        Command::new(program)
    };
    command.stdin(Stdio::null()).current_dir("/");
    command
}

/// A server without groups that runs as an unprivileged user.
struct Server {
    directory: tempfile::TempDir,
    child: Child,
}

impl Server {
    fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("handover-process-").tempdir().unwrap();
        // The build's folder may be closed to others.
        let binary = directory.path().join("handover");
        fs::copy(env!("CARGO_BIN_EXE_handover"), &binary).unwrap();
        let path = |name: &str| directory.path().join(name);
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(directory.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let run = |arguments: &[&str]| {
            let mut command = unprivileged(&binary);
            command.args(arguments).current_dir(directory.path());
            command
        };
        assert!(run(&["init"]).output().unwrap().status.success());
        let port = free_port().unwrap();
        fs::write(path("handover.toml"), format!("listen = \"127.0.0.1:{port}\"\n")).unwrap();
        let child = run(&["serve"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let limit = Instant::now() + Duration::from_secs(60);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < limit, "the server did not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { directory, child }
    }

    fn proc(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.child.id()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn reads(path: &Path) -> bool {
    let head = ["-c", "1", path.to_str().unwrap()];
    unprivileged(Path::new("/usr/bin/head")).args(head).output().unwrap().status.success()
}

/// S06, S07: the limit on core dumps is zero, and another process of the same user may read neither its memory nor its
/// environment, nor follow its descriptors.
#[test]
fn the_same_user_cannot_read_the_servers_memory() {
    let server = Server::start();
    let limits = fs::read_to_string(server.proc("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    // The control: a process that did nothing about it.
    let mut sleeper = unprivileged(Path::new("/bin/sleep"));
    let mut sleeper = sleeper.arg("60").spawn().unwrap();
    let sleeps = PathBuf::from(format!("/proc/{}/environ", sleeper.id()));
    let limit = Instant::now() + Duration::from_secs(20);
    while !reads(&sleeps) {
        assert!(Instant::now() < limit, "the same user may read any other process");
        std::thread::sleep(Duration::from_millis(20));
    }
    for name in ["environ", "maps", "auxv", "stack"] {
        assert!(!reads(&server.proc(name)), "{name} can be read");
    }
    let listed = unprivileged(Path::new("/bin/ls")).arg(server.proc("fd")).output().unwrap();
    assert!(!listed.status.success(), "its descriptors can be listed");
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
}

/// S06: a server that is killed by the signal that dumps leaves none.
#[test]
fn a_crash_leaves_no_core_dump() {
    let mut server = Server::start();
    let pid = Pid::from_raw(i32::try_from(server.child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::ABORT).unwrap();
    let status = server.child.wait().unwrap();
    assert_eq!(status.signal(), Some(Signal::ABORT.as_raw()));
    assert!(!status.core_dumped(), "memory was dumped");
    let left: Vec<_> =
        fs::read_dir(server.directory.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with("core")), "{left:?}");
}

/// S07: no secret in what the process was started with, and no descriptor that a child would inherit.
#[test]
fn nothing_secret_is_in_arguments_environment_or_inheritable_descriptors() {
    let policy = "poll = \"100ms\"\nquiet_min = \"100ms\"\nbrake_for = \"0s\"\npasses_min = 1".to_owned();
    let rig =
        Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &Options { consumers: Vec::new(), policy, fsync: false })
            .unwrap();
    rig.start(&[]).unwrap();
    rig.succeed(&["rotate", GROUP, "--wait"]).unwrap();
    let proc = PathBuf::from(format!("/proc/{}", rig.pid().unwrap()));
    let token = fs::read_to_string(rig.path("operator.token")).unwrap();
    let key = fs::read(rig.path("master.key")).unwrap();
    let started: Vec<u8> = [fs::read(proc.join("cmdline")).unwrap(), fs::read(proc.join("environ")).unwrap()].concat();
    assert!(started.windows(5).any(|part| part == b"serve"), "this is what it was started with");
    for secret in [token.trim().as_bytes(), rig.roles.admin_password.as_bytes(), key.trim_ascii()] {
        assert!(!started.windows(secret.len()).any(|part| part == secret));
    }
    let mut looked_at = 0;
    for entry in fs::read_dir(proc.join("fdinfo")).unwrap().flatten() {
        let number: u32 = entry.file_name().to_string_lossy().parse().unwrap();
        let Ok(info) = fs::read_to_string(entry.path()) else { continue };
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim().to_owned();
        let kept_over_exec = u64::from_str_radix(&flags, 8).unwrap() & 0o2_000_000 == 0;
        let link = fs::read_link(proc.join("fd").join(number.to_string())).unwrap_or_default();
        // What we were ourselves started with, a job server's pipes say, is not the server's.
        let ours = fs::read_link(format!("/proc/self/fd/{number}")).is_ok_and(|ours| ours == link);
        assert!(number <= 2 || ours || !kept_over_exec, "descriptor {number}, {}, is inherited", link.display());
        looked_at += 1;
    }
    assert!(looked_at > 5, "a server has descriptors");
}
