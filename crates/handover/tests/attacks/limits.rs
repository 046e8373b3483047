//! Requests that try to use the server up: what they get, and what they cost.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::http::{ask, connect, send};
use crate::installation::Installation;

/// How much more memory the server may have after an attack than before, in KiB.
const GROWTH_KIB_MAX: u64 = 64 * 1024;

struct Target {
    installed: Installation,
    token: String,
}

impl Target {
    fn start() -> Self {
        let installed = Installation::new("");
        let file = installed.token("anna", &["--role", "operator"]);
        let token = std::fs::read_to_string(file).unwrap().trim().to_owned();
        installed.start(&[]);
        let target = Self { installed, token };
        target.serves("at the start");
        target
    }

    fn serves(&self, when: &str) {
        let (status, body) = ask(self.installed.port, "GET", "/v1/groups", &self.token, "");
        assert_eq!(status, 200, "{when}: {body}");
    }

    /// Resident memory, in KiB.
    fn memory(&self) -> u64 {
        let pid = self.pid();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Found by the folder that it works in, which no other process has.
    fn pid(&self) -> u32 {
        let here = self.installed.path(".").canonicalize().unwrap();
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .find(|pid: &u32| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == here))
            .unwrap()
    }

    fn judge(&self, before: u64) {
        self.serves("after the attack");
        let after = self.memory();
        assert!(after < before + GROWTH_KIB_MAX, "{before} KiB before, {after} KiB after");
    }
}

/// S42: bodies that are too long, that never come, or that nest without end.
#[test]
fn hostile_bodies_are_refused_and_cost_no_memory() {
    let target = Target::start();
    let (port, token) = (target.installed.port, target.token.clone());
    let before = target.memory();
    let head = |length: usize| {
        format!(
            "POST /v1/groups/app/rotate HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
             content-length: {length}\r\n\r\n"
        )
    };
    // Without a token nothing of a body is read at all.
    let nobody = head(32 << 20).replace(&token, "hnd_none");
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (whole, nobody) = (head(32 << 20) + &" ".repeat(32 << 20), nobody.clone() + &" ".repeat(32 << 20));
            std::thread::spawn(move || (send(port, whole.as_bytes()).0, send(port, nobody.as_bytes()).0))
        })
        .collect();
    for thread in threads {
        let (whole, nobody) = thread.join().unwrap();
        // 0: the answer was lost, because the server hung up on what it did not read.
        assert!([0, 400, 404, 413].contains(&whole), "{whole}");
        assert!([0, 401].contains(&nobody), "{nobody}");
    }
    // One that is sent to its end is answered in full.
    let read = head(1 << 20).replace("/v1/groups/app/rotate", "/v1/bootstrap");
    let (status, answer) = send(port, (read + &" ".repeat(1 << 20)).as_bytes());
    assert!(status == 413 && answer.contains("\"too_long\""), "{answer}");
    let unread = head(1 << 20).replace(&token, "hnd_none");
    let (status, answer) = send(port, (unread + &" ".repeat(1 << 20)).as_bytes());
    assert!(status == 401 && answer.contains("\"unauthenticated\""), "{answer}");
    assert_eq!(send(port, head(usize::MAX).as_bytes()).0 / 100, 4, "a length that no body has");
    for nested in ["[".repeat(60_000), "{\"a\":".repeat(10_000), format!("{{\"reason\":{}", "[".repeat(60_000))] {
        let (status, _) = ask(port, "POST", "/v1/groups/app/hold", &token, &nested);
        assert!([400, 404].contains(&status), "{status}");
    }
    target.judge(before);
}

/// S42: heads that are too long, or no heads at all. The former are answered before the connection ends.
#[test]
fn hostile_heads_are_refused_and_cost_no_memory() {
    let target = Target::start();
    let port = target.installed.port;
    let before = target.memory();
    let long = format!("GET /v1/groups HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(4 << 20));
    let many = format!("GET /v1/groups HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(2_000));
    let path = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "z".repeat(1 << 20));
    for request in [&long, &many, &path] {
        let (status, _) = send(port, request.as_bytes());
        assert!([414, 431].contains(&status), "{status}");
    }
    for bytes in [&b"\0\0\0\0\r\n\r\n"[..], b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n"]
    {
        assert!([0, 400, 505].contains(&send(port, bytes).0));
    }
    for path in ["/v1/groups/%2e%2e", "/v1/groups/..%2f..%2fetc", "//v1/groups", "/v1/groups/a%00b", "/v1/groups/%ff"] {
        let (status, body) = ask(port, "GET", path, &target.token, "");
        assert_eq!(status, 404, "{path}: {body}");
    }
    target.judge(before);
}

/// S42: a thousand connections that send a letter now and then. Others are served meanwhile, and the slow ones end.
#[test]
fn slow_heads_neither_block_others_nor_stay() {
    let target = Target::start();
    let before = target.memory();
    let mut slow: Vec<TcpStream> = (0..1_000).map(|_| connect(target.installed.port)).collect();
    for stream in &mut slow {
        stream.write_all(b"GET /v1/groups HTTP/1.1\r\nhost:").unwrap();
    }
    let begun = Instant::now();
    target.serves("beside a thousand slow connections");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let limit = begun + Duration::from_secs(40);
    for mut stream in slow {
        // A letter does not buy more time. It may fail: the connection is closed by then.
        let _ = stream.write_all(b"x");
        let left = limit.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        stream.set_read_timeout(Some(left)).unwrap();
        let mut answer = Vec::new();
        let ended = stream.read_to_end(&mut answer);
        let open = ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        assert!(!open, "a connection without a head stays open");
    }
    target.judge(before);
}

/// S42: watch streams of one identity above its share are refused, in words, while another's are not.
#[test]
fn streams_above_the_share_of_an_identity_are_refused() {
    let target = Target::start();
    let before = target.memory();
    let open = |token: &str| {
        let mut stream = connect(target.installed.port);
        let request = format!("GET /v1/watch HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        (String::from_utf8_lossy(&head[9..]).into_owned(), stream)
    };
    let mut streams = Vec::new();
    let refused = loop {
        let (status, stream) = open(&target.token);
        if status != "200" {
            break status;
        }
        streams.push(stream);
        assert!(streams.len() <= 64, "there is a limit");
    };
    assert_eq!((refused.as_str(), streams.len()), ("429", 64));
    let other = target.installed.token("other", &["--role", "viewer"]);
    assert_eq!(open(std::fs::read_to_string(other).unwrap().trim()).0, "200");
    target.judge(before);
}
