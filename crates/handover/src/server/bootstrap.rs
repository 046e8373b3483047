//! The first operator: a one-time code in a file of ours is exchanged for a token.
//!
//! Whoever can read the file could as well make a token with `handover token create`, so the code gives no right that
//! its reader has not. It is for those who reach the file and the server, and not the command line beside it.
//!
//! The token is in the token file before the code is removed, and the code is removed before the token is answered.
//! What decides that there is no second token is not the code but the token file, under its lock: with an operator in
//! it, nobody gets one here. So a process that dies in between grants nothing twice; at worst an operator's token
//! exists that nobody has seen, which `handover token list` shows and `handover token revoke` takes back.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, HeaderName};
use axum::http::{HeaderMap, StatusCode};
use handover_api::{BootstrapRequest, Bootstrapped};
use handover_core::ConsumerId;
use handover_engine::history::BOOTSTRAPPED;
use handover_secret::Secret;
use subtle::ConstantTimeEq as _;
use tokio::sync::watch;

use super::App;
use super::auth::bearer;
use super::body::Body;
use super::refusal::Refused;
use crate::failure::Failure;
use crate::tokens::{self, Tokens};

/// The file's name, beside the token file.
pub(crate) const FILE: &str = "bootstrap.code";

/// How long a code counts.
const VALID_FOR: Duration = Duration::from_secs(3_600);

/// How every code begins.
const PREFIX: &str = "hnb_";

/// How often is looked whether the code is over.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The answer holds a token: nobody on the way may keep it.
const NO_STORE: [(HeaderName, &str); 1] = [(CACHE_CONTROL, "no-store")];

/// The code of a running server, if there is one.
pub(crate) struct Bootstrap {
    tokens: PathBuf,
    file: PathBuf,
    open: Mutex<Option<Code>>,
}

#[derive(Clone, Copy)]
struct Code {
    digest: [u8; 32],
    until: Instant,
}

/// Why there is no token for a code.
#[derive(Debug)]
enum Denied {
    /// It is not the code.
    Wrong,
    /// There is no code: it was used, it is too old, or there is an operator.
    Over,
    /// Something failed.
    Failed(Failure),
}

impl Bootstrap {
    /// Writes a code where there is no operator yet, and takes away what an earlier server left where there is one.
    pub(crate) fn open(tokens_file: &Path, tokens: &Tokens) -> Result<Self, Failure> {
        Self::open_for(tokens_file, tokens, VALID_FOR)
    }

    fn open_for(tokens_file: &Path, tokens: &Tokens, valid_for: Duration) -> Result<Self, Failure> {
        let file = tokens_file.with_file_name(FILE);
        let bootstrap = Self { tokens: tokens_file.to_owned(), file, open: Mutex::new(None) };
        if tokens.has_operator() {
            bootstrap.remove();
            return Ok(bootstrap);
        }
        let code = tokens::mint(PREFIX)?;
        bootstrap.write(&code)?;
        let code = Code { digest: tokens::digest(&code), until: Instant::now() + valid_for };
        *bootstrap.lock() = Some(code);
        tracing::warn!(
            file = %bootstrap.file.display(),
            "there is no operator yet: for one hour, `handover bootstrap NAME --code-file FILE` makes the first one"
        );
        Ok(bootstrap)
    }

    /// Takes the code away once it is over, until `drain` turns true.
    pub(crate) async fn follow(&self, tokens: &Tokens, mut drain: watch::Receiver<bool>) {
        while self.is_open(tokens) {
            tokio::select! {
                _ = drain.wait_for(|drain| *drain) => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Whether there is a code that counts. One that does not is forgotten.
    fn is_open(&self, tokens: &Tokens) -> bool {
        let mut open = self.lock();
        let counts = open.is_some_and(|code| Instant::now() < code.until) && !tokens.has_operator();
        if !counts && open.take().is_some() {
            self.remove();
        }
        counts
    }

    /// The first operator's token, for the code. Two at a time: the second finds it over.
    fn redeem(&self, presented: &Secret, identity: &ConsumerId) -> Result<Secret, Denied> {
        let mut open = self.lock();
        let code = open.filter(|code| Instant::now() < code.until).ok_or(Denied::Over)?;
        if !bool::from(code.digest.ct_eq(&tokens::digest(presented))) {
            return Err(Denied::Wrong);
        }
        // A failure here leaves the code as it is: it may be tried again.
        let made = tokens::create_first(&self.tokens, identity).map_err(Denied::Failed)?;
        *open = None;
        self.remove();
        made.ok_or(Denied::Over)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Code>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A code of an earlier server is written over: only the newest one counts.
    fn write(&self, code: &Secret) -> Result<(), Failure> {
        let fresh = self.file.with_extension("new");
        let write = || -> std::io::Result<()> {
            match std::fs::remove_file(&fresh) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
            #[expect(clippy::disallowed_methods, reason = "the code is for whoever may read this file")]
            out.write_all(code.expose())?;
            out.write_all(b"\n")?;
            out.sync_all()?;
            std::fs::rename(&fresh, &self.file)
        };
        write().map_err(|error| {
            Failure::error(format!("the one-time code cannot be written to {}: {}", self.file.display(), error.kind()))
        })
    }

    fn remove(&self) {
        let removed = std::fs::remove_file(&self.file).and_then(|()| {
            let directory = self.file.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
        });
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let file = self.file.display();
                tracing::warn!(%file, kind = %error.kind(), "the one-time code is over, and its file cannot be removed");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

/// Exchanges the code, sent as a bearer token, for the first operator's token.
pub(crate) async fn redeem(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Body(BootstrapRequest { identity }): Body<BootstrapRequest>,
) -> Result<(StatusCode, [(HeaderName, &'static str); 1], Json<Bootstrapped>), Refused> {
    let code = bearer(&headers).ok_or_else(wrong)?;
    let identity =
        ConsumerId::parse(&identity).map_err(|bad| Refused::bad_request(format!("this is no identity: {bad}")))?;
    let name = identity.to_string();
    let engine = app.engine.clone();
    let redeemed = tokio::task::spawn_blocking(move || app.bootstrap.redeem(&code, &identity)).await;
    match redeemed {
        Ok(Ok(token)) => {
            tracing::warn!(identity = name, "the one-time code was used: the first operator has a token");
            if let Err(fault) = engine.access_changed(BOOTSTRAPPED, &name, Vec::new()).await {
                tracing::error!(code = fault.kind.code(), detail = %fault.detail, "the bootstrap is not in the history");
            }
            Ok((StatusCode::CREATED, NO_STORE, Json(Bootstrapped { identity: name, token })))
        }
        Ok(Err(Denied::Wrong)) => Err(wrong()),
        Ok(Err(Denied::Over)) => Err(Refused::new(
            409,
            "bootstrap_over",
            "There is no code",
            "the one-time code was used, is more than an hour old, or there is an operator already",
            "ask an operator for a token; without any operator, start the server again for another code",
        )),
        Ok(Err(Denied::Failed(failure))) => {
            tracing::error!(failure = failure.message(), "the first operator's token could not be made");
            Err(no_token())
        }
        Err(_) => Err(no_token()),
    }
}

fn wrong() -> Refused {
    Refused::new(
        401,
        "wrong_code",
        "Not the one-time code",
        "this needs the one-time code that the server wrote when it started",
        "send it as a bearer token; the server's log says which file it is in",
    )
}

fn no_token() -> Refused {
    Refused::new(
        500,
        "bootstrap_failed",
        "No token could be made",
        "the token file could not be written; the code still counts",
        "the server's log says why; try again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file;

    fn identity(name: &str) -> ConsumerId {
        ConsumerId::parse(name).unwrap()
    }

    fn code(directory: &Path) -> Secret {
        file::secret(&directory.join(FILE), "the code").unwrap()
    }

    fn start(directory: &Path, valid_for: Duration) -> (Bootstrap, Tokens) {
        let file = directory.join("tokens.json");
        let tokens = Tokens::open(&file).unwrap();
        (Bootstrap::open_for(&file, &tokens, valid_for).unwrap(), tokens)
    }

    #[test]
    fn a_code_is_good_for_one_token() {
        let directory = tempfile::tempdir().unwrap();
        let (bootstrap, tokens) = start(directory.path(), VALID_FOR);
        let code = code(directory.path());
        let wrong = Secret::from_text("hnb_wrong".to_owned());
        assert!(matches!(bootstrap.redeem(&wrong, &identity("me")), Err(Denied::Wrong)));
        let token = bootstrap.redeem(&code, &identity("me")).unwrap();
        assert_eq!(tokens.caller(&token).unwrap().identity, identity("me"));
        assert!(!directory.path().join(FILE).exists());
        assert!(matches!(bootstrap.redeem(&code, &identity("me")), Err(Denied::Over)));
        assert!(tokens.caller(&code).is_none(), "the code itself is no token");
        let (again, _) = start(directory.path(), VALID_FOR);
        assert!(!directory.path().join(FILE).exists(), "with an operator, a start writes no code");
        assert!(matches!(again.redeem(&code, &identity("me")), Err(Denied::Over)));
    }

    #[test]
    fn of_many_at_a_time_one_gets_a_token() {
        let directory = tempfile::tempdir().unwrap();
        let (bootstrap, _) = start(directory.path(), VALID_FOR);
        let code = code(directory.path());
        let got: usize = std::thread::scope(|scope| {
            let redeem = |number| {
                let (bootstrap, code) = (&bootstrap, &code);
                scope.spawn(move || bootstrap.redeem(code, &identity(&format!("op{number}"))).is_ok())
            };
            let threads: Vec<_> = (0..8).map(redeem).collect();
            threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum()
        });
        assert_eq!((got, tokens::list(&directory.path().join("tokens.json")).unwrap().len()), (1, 1));
    }

    #[test]
    fn a_code_ends_with_its_hour_with_its_server_and_with_the_first_operator() {
        let directory = tempfile::tempdir().unwrap();
        let (bootstrap, tokens) = start(directory.path(), Duration::ZERO);
        let old = code(directory.path());
        assert!(matches!(bootstrap.redeem(&old, &identity("me")), Err(Denied::Over)));
        assert!(!bootstrap.is_open(&tokens) && !directory.path().join(FILE).exists(), "its file goes with it");

        let (bootstrap, tokens) = start(directory.path(), VALID_FOR);
        let newer = code(directory.path());
        assert!(matches!(bootstrap.redeem(&old, &identity("me")), Err(Denied::Wrong)), "another start, another code");
        assert!(bootstrap.is_open(&tokens));
        assert!(tokens::create_first(&directory.path().join("tokens.json"), &identity("other")).unwrap().is_some());
        assert!(matches!(bootstrap.redeem(&newer, &identity("me")), Err(Denied::Over)), "somebody was faster");
        assert!(!bootstrap.is_open(&tokens) && !directory.path().join(FILE).exists());
    }

    #[test]
    fn a_failure_leaves_the_code_for_another_try() {
        let directory = tempfile::tempdir().unwrap();
        let (bootstrap, _) = start(directory.path(), VALID_FOR);
        let (code, file) = (code(directory.path()), directory.path().join("tokens.json"));
        std::fs::create_dir(&file).unwrap();
        assert!(matches!(bootstrap.redeem(&code, &identity("me")), Err(Denied::Failed(_))));
        std::fs::remove_dir(&file).unwrap();
        assert!(bootstrap.redeem(&code, &identity("me")).is_ok());
    }
}
