//! Providers of APIs as their documents describe them: what they answer to a key that is good, to one that is not, and
//! where they cannot tell. On loopback, and the failures of a server at will.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ServerError;
use super::process::free_port;

/// What a provider documents of the request that tells whether a key is good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Contract {
    /// The provider's name.
    pub name: &'static str,
    /// The request's first line without the version.
    pub request: &'static str,
    /// The header before the key.
    pub header: &'static str,
    /// A good key.
    pub accepted: (u16, &'static str),
    /// A bad one.
    pub refused: (u16, &'static str),
    /// A key that may not ask this, and whether that is the key's.
    pub forbidden: (u16, &'static str, bool),
    /// Too many requests.
    pub limited: (u16, &'static str),
    /// Trouble of the provider's own.
    pub broken: (u16, &'static str),
}

/// The contracts that there are.
pub const CONTRACTS: &[Contract] = &[
    // https://docs.anthropic.com/en/api/errors
    Contract {
        name: "anthropic",
        request: "GET /v1/models",
        header: "x-api-key: ",
        accepted: (200, r#"{"data":[{"type":"model","id":"claude-x"}],"has_more":false}"#),
        refused: (401, r#"{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}"#),
        forbidden: (403, r#"{"type":"error","error":{"type":"permission_error","message":"no"}}"#, true),
        limited: (429, r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}"#),
        broken: (529, r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#),
    },
    // https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api
    Contract {
        name: "github",
        request: "GET /user",
        header: "authorization: Bearer ",
        accepted: (200, r#"{"login":"octocat","id":1}"#),
        refused: (401, r#"{"message":"Bad credentials","documentation_url":"https://docs.github.com/rest"}"#),
        forbidden: (403, r#"{"message":"API rate limit exceeded"}"#, false),
        limited: (429, r#"{"message":"You have exceeded a secondary rate limit"}"#),
        broken: (500, ""),
    },
    // https://platform.openai.com/docs/guides/error-codes
    Contract {
        name: "openai",
        request: "GET /v1/models",
        header: "authorization: Bearer ",
        accepted: (200, r#"{"object":"list","data":[{"id":"gpt-x","object":"model"}]}"#),
        refused: (401, r#"{"error":{"message":"Incorrect API key provided","type":"invalid_request_error"}}"#),
        forbidden: (403, r#"{"error":{"message":"Country, region, or territory not supported"}}"#, false),
        limited: (429, r#"{"error":{"message":"Rate limit reached for requests"}}"#),
        broken: (503, r#"{"error":{"message":"The engine is currently overloaded"}}"#),
    },
    // https://docs.slack.dev/reference/methods/auth.test
    Contract {
        name: "slack",
        request: "POST /api/auth.test",
        header: "authorization: Bearer ",
        accepted: (200, r#"{"ok":true,"team":"Subarachnoid Workspace","user":"grace"}"#),
        refused: (200, r#"{"ok":false,"error":"invalid_auth"}"#),
        forbidden: (200, r#"{"ok":false,"error":"token_revoked"}"#, true),
        limited: (429, r#"{"ok":false,"error":"ratelimited"}"#),
        broken: (200, r#"{"ok":false,"error":"internal_error"}"#),
    },
    // https://docs.stripe.com/api/errors
    Contract {
        name: "stripe",
        request: "GET /v1/balance",
        header: "authorization: Bearer ",
        accepted: (200, r#"{"object":"balance","available":[],"livemode":false,"pending":[]}"#),
        refused: (401, r#"{"error":{"message":"Invalid API Key provided","type":"invalid_request_error"}}"#),
        forbidden: (403, r#"{"error":{"message":"The provided key does not have access"}}"#, true),
        limited: (429, r#"{"error":{"code":"rate_limit","type":"invalid_request_error"}}"#),
        broken: (500, r#"{"error":{"type":"api_error"}}"#),
    },
];

/// How a request is answered instead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// With this status and body.
    Status(u16, &'static str),
    /// With 200 and the promise of a body that never comes.
    Nothing,
    /// Not at all: the connection stays open and silent.
    Hang,
    /// With 302 and this place.
    Redirect(String),
    /// With 200 and a body without an end.
    Endless,
}

/// A provider.
pub struct Provider {
    port: u16,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    orders: VecDeque<Answer>,
    always: Option<Answer>,
    heads: Vec<String>,
    hanging: Vec<TcpStream>,
}

impl Provider {
    /// Starts to listen. It knows one good key.
    pub fn start(contract: Contract, key: &str) -> Result<Self, ServerError> {
        let port = free_port()?;
        let listener = TcpListener::bind(("127.0.0.1", port))
            .map_err(|error| ServerError::because("the provider could not listen", &error))?;
        let shared = Arc::new(Mutex::new(Shared::default()));
        let (ours, key) = (Arc::downgrade(&shared), key.to_owned());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (Some(shared), key) = (ours.upgrade(), key.clone()) else { return };
                std::thread::spawn(move || serve(stream, &shared, contract, &key));
            }
        });
        Ok(Self { port, shared })
    }

    /// Its URL with this path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The next requests are answered like this, one each.
    pub fn order(&self, answers: impl IntoIterator<Item = Answer>) {
        lock(&self.shared).orders.extend(answers);
    }

    /// From now on everything else is answered like this.
    pub fn always(&self, answer: Answer) {
        lock(&self.shared).always = Some(answer);
    }

    /// First lines and headers of what came.
    pub fn heads(&self) -> Vec<String> {
        lock(&self.shared).heads.clone()
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(mut stream: TcpStream, shared: &Mutex<Shared>, contract: Contract, key: &str) {
    let mut reader = BufReader::new(&stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if !reader.read_line(&mut head).is_ok_and(|read| read > 0) {
            return;
        }
    }
    let asked = head.starts_with(&format!("{} HTTP/1.1\r\n", contract.request));
    let is_good = asked && head.contains(&format!("\r\n{}{key}\r\n", contract.header));
    let order = {
        let mut shared = lock(shared);
        shared.heads.push(head);
        shared.orders.pop_front().or_else(|| shared.always.clone())
    };
    let (status, body) = if is_good { contract.accepted } else { contract.refused };
    let text = |status: u16, body: &str| {
        format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    };
    // Whoever asked may be gone.
    let mut write = |text: &str| stream.write_all(text.as_bytes()).is_ok();
    match order {
        None => _ = write(&text(status, body)),
        Some(Answer::Status(status, body)) => _ = write(&text(status, body)),
        Some(Answer::Redirect(to)) => {
            let _ =
                write(&format!("HTTP/1.1 302 X\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"));
        }
        Some(Answer::Nothing) => {
            let _ = write("HTTP/1.1 200 X\r\ncontent-length: 100\r\n\r\n");
            lock(shared).hanging.push(stream);
        }
        Some(Answer::Hang) => lock(shared).hanging.push(stream),
        Some(Answer::Endless) => {
            let piece = "x".repeat(64 * 1024);
            let mut open = write("HTTP/1.1 200 X\r\nconnection: close\r\n\r\n");
            while open {
                open = write(&piece);
            }
        }
    }
}
