//! A receiver of HTTP requests on loopback that answers as it is told to: the failures of a real one, at will.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ServerError;
use super::process::free_port;

/// How a request is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// With this status and body; what it carried is kept if the status is 200.
    Status(u16, &'static str),
    /// Not at all: the connection stays open and silent.
    Hang,
    /// By closing the connection, after the request was read and kept.
    Close,
}

/// A request that was taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// Its first line and headers, in lower case.
    pub head: String,
    /// Its body; bytes that are no text are replaced.
    pub body: String,
}

/// The receiver.
pub struct Receiver {
    port: u16,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    script: VecDeque<Reply>,
    taken: Vec<Request>,
    asked: usize,
    hanging: Vec<TcpStream>,
}

impl Receiver {
    /// Starts to listen. Where nothing else is ordered it answers 200 with an empty body.
    pub fn start() -> Result<Self, ServerError> {
        let port = free_port()?;
        let listener = TcpListener::bind(("127.0.0.1", port))
            .map_err(|error| ServerError::because("the receiver could not listen", &error))?;
        let shared = Arc::new(Mutex::new(Shared::default()));
        let ours = Arc::downgrade(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Some(shared) = ours.upgrade() else { return };
                std::thread::spawn(move || answer(stream, &shared));
            }
        });
        Ok(Self { port, shared })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/in", self.port)
    }

    /// The next requests are answered like this, one each.
    pub fn order(&self, replies: impl IntoIterator<Item = Reply>) {
        lock(&self.shared).script.extend(replies);
    }

    /// Forgets the orders that were not carried out: from now on it answers 200.
    pub fn recover(&self) {
        lock(&self.shared).script.clear();
    }

    /// The requests that were taken.
    pub fn taken(&self) -> Vec<Request> {
        lock(&self.shared).taken.clone()
    }

    /// How many requests came.
    pub fn asked(&self) -> usize {
        lock(&self.shared).asked
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(stream: TcpStream, shared: &Mutex<Shared>) {
    let Some(request) = read(&stream) else { return };
    let reply = {
        let mut shared = lock(shared);
        shared.asked += 1;
        let reply = shared.script.pop_front().unwrap_or(Reply::Status(200, ""));
        if matches!(reply, Reply::Status(200, _) | Reply::Close) {
            shared.taken.push(request);
        }
        reply
    };
    match reply {
        Reply::Status(status, body) => {
            let length = body.len();
            let text = format!(
                "HTTP/1.1 {status} X\r\nlocation: /elsewhere\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            // Whoever asked may be gone.
            let _ = (&stream).write_all(text.as_bytes());
        }
        Reply::Hang => lock(shared).hanging.push(stream),
        Reply::Close => {}
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.trim().parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { head, body: String::from_utf8_lossy(&body).into_owned() })
}
