//! A front of a server that speaks HTTP: it passes requests on, and fails them as it is told to.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::process::free_port;
use super::{OpenBao, ServerError};

/// What becomes of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is answered with this status and body, and passed on to nobody.
    Answer(u16, &'static str),
    /// It is passed on, and the answer is lost: the connection closes.
    LoseAnswer,
    /// It is passed on, and the connection stays open and silent.
    HoldAnswer,
}

/// A front on loopback, without TLS. Ends with the process.
pub struct Front {
    port: u16,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    /// What the line of a request begins with, and what becomes of requests like that.
    orders: VecDeque<(String, Fate)>,
    asked: Vec<String>,
    held: Vec<TcpStream>,
}

impl Front {
    /// Starts to pass requests on.
    pub fn start(server: &OpenBao) -> Result<Self, ServerError> {
        let port = free_port()?;
        let listener = TcpListener::bind(("127.0.0.1", port))
            .map_err(|error| ServerError::because("the front could not listen", &error))?;
        let shared = Arc::new(Mutex::new(Shared::default()));
        let (ours, upstream) = (Arc::downgrade(&shared), server.upstream());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Some(shared) = ours.upgrade() else { return };
                let upstream = upstream.clone();
                std::thread::spawn(move || serve(stream, &shared, &upstream));
            }
        });
        Ok(Self { port, shared })
    }

    /// Where it is reached.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// So many of the next requests whose first line begins with `what`, such as `POST /v1/kv/data`, end like this.
    pub fn order(&self, what: &str, times: usize, fate: &Fate) {
        lock(&self.shared).orders.extend(std::iter::repeat_n((what.to_owned(), fate.clone()), times));
    }

    /// How many requests came whose first line begins with `what`.
    pub fn asked(&self, what: &str) -> usize {
        lock(&self.shared).asked.iter().filter(|line| line.starts_with(what)).count()
    }

    /// How many orders were not carried out yet.
    pub fn pending(&self) -> usize {
        lock(&self.shared).orders.len()
    }

    /// Forgets the orders that were not carried out.
    pub fn recover(&self) {
        lock(&self.shared).orders.clear();
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: TcpStream, shared: &Mutex<Shared>, upstream: &super::openbao::Upstream) {
    let Some((head, body)) = read(&stream) else { return };
    let fate = {
        let mut shared = lock(shared);
        let line = head.lines().next().unwrap_or_default().to_owned();
        let position = shared.orders.iter().position(|(what, _)| line.starts_with(what.as_str()));
        shared.asked.push(line);
        position.and_then(|position| shared.orders.remove(position)).map(|(_, fate)| fate)
    };
    // Whoever asked may be gone.
    match fate {
        Some(Fate::Answer(status, text)) => {
            let length = text.len();
            let _ = write!(
                &stream,
                "HTTP/1.1 {status} X\r\nlocation: /elsewhere\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{text}"
            );
        }
        Some(Fate::LoseAnswer) => drop(upstream.pass(&head, &body)),
        Some(Fate::HoldAnswer) => {
            drop(upstream.pass(&head, &body));
            lock(shared).held.push(stream);
        }
        None => {
            if let Ok(answer) = upstream.pass(&head, &body) {
                let _ = (&stream).write_all(&answer);
            }
        }
    }
}

/// A request's head, with the connection to be closed behind it, and its body.
fn read(stream: &TcpStream) -> Option<(String, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        if !line.to_lowercase().starts_with("connection:") {
            head.push_str(&line);
        }
    }
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ").map(str::to_owned));
    let mut body = vec![0; length.and_then(|length| length.trim().parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    head.push_str("connection: close\r\n\r\n");
    Some((head, body))
}
