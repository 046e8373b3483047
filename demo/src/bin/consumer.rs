//! A consumer of the demonstration: it queries a database with the credential that Handover hands out, counts every
//! failure at the first error, and says what it did when it is told to end.
#![expect(clippy::print_stdout, reason = "its account is its output")]

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use handover_demo::{Account, OldLogins, Progress, Said};
use handover_sdk::postgres::{DialError, Dialler, Options as PostgresOptions, Pool};
use handover_sdk::{Client, Credential, Live, Options};
use tokio::sync::watch;

/// How a consumer lives.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Habit {
    /// A pool of connections on a live handle, many queries.
    Pool,
    /// A connection for each job.
    Job,
    /// A session that lasts five seconds for each job.
    Session,
}

#[derive(Parser, Debug)]
struct Arguments {
    #[arg(long)]
    habit: Habit,
    #[arg(long)]
    url: String,
    #[arg(long)]
    identity: String,
    #[arg(long)]
    token_file: PathBuf,
    #[arg(long)]
    group: String,
    #[arg(long)]
    port: u16,
    #[arg(long)]
    ca_file: PathBuf,
    /// At the end, try the credentials of earlier generations.
    #[arg(long)]
    prove: bool,
}

const POOL_TASKS: usize = 8;
const POOL_PAUSE: Duration = Duration::from_millis(11);
const JOB_PAUSE: Duration = Duration::from_millis(100);
const SESSION_FOR: Duration = Duration::from_secs(5);
const SESSION_PAUSE: Duration = Duration::from_millis(20);
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
const QUERY: &str = "INSERT INTO app.orders (note) VALUES ('demo') RETURNING id";

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let live = Client::new(Options::new(&arguments.url, &arguments.identity, &arguments.token_file))?
        .live(&arguments.group)
        .await?;
    let ca = std::fs::read(&arguments.ca_file)?;
    let mut options = PostgresOptions::new("127.0.0.1", arguments.port, "app", ca);
    options.application_name = Some(arguments.identity.clone());
    // A refused login is a failure here, whatever newer credential may be on its way.
    options.newer_for = Duration::ZERO;
    let shop = Shop {
        live: live.clone(),
        dialler: Dialler::new(&options)?,
        account: Arc::new(Mutex::new(Account { identity: arguments.identity.clone(), ..Account::default() })),
    };
    let seen = shop.remember();
    let (end, ending) = watch::channel(false);
    let mut work = tokio::task::JoinSet::new();
    match arguments.habit {
        Habit::Pool => {
            let pool = Pool::new(live, &options)?;
            for _ in 0..POOL_TASKS {
                work.spawn(shop.clone().pool(pool.clone(), ending.clone()));
            }
        }
        Habit::Job => {
            work.spawn(shop.clone().jobs(ending));
        }
        Habit::Session => {
            work.spawn(shop.clone().sessions(ending));
        }
    }
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut look = tokio::time::interval(PROGRESS_EVERY);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = look.tick() => println!("{}", serde_json::to_string(&Said::Progress(shop.progress()))?),
        }
    }
    end.send_replace(true);
    while work.join_next().await.is_some() {}
    let mut account = shop.account.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if arguments.prove {
        account.old = Some(shop.try_old(seen).await);
    }
    println!("{}", serde_json::to_string(&Said::Account(account))?);
    Ok(())
}

type Seen = Arc<Mutex<Vec<Arc<Credential>>>>;

#[derive(Clone)]
struct Shop {
    live: Live<Credential>,
    dialler: Dialler,
    account: Arc<Mutex<Account>>,
}

impl Shop {
    /// Keeps every generation's credential, so that at the end each can be shown to be refused.
    fn remember(&self) -> Seen {
        let seen: Seen = Arc::new(Mutex::new(vec![self.live.current()]));
        let (live, keep) = (self.live.clone(), Arc::clone(&seen));
        tokio::spawn(async move {
            let mut swaps = live.swaps();
            while swaps.changed().await.is_ok() {
                keep.lock().unwrap_or_else(PoisonError::into_inner).push(live.current());
            }
        });
        seen
    }

    fn progress(&self) -> Progress {
        let account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        Progress { queries: account.queries, failed: account.failed }
    }

    fn answered(&self, generation: u64) {
        let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        account.queries += 1;
        *account.by_generation.entry(generation).or_default() += 1;
    }

    fn failed(&self, failure: &dyn std::fmt::Display) {
        let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        account.failed += 1;
        account.first_failure.get_or_insert_with(|| failure.to_string());
    }

    fn connected(&self) {
        self.account.lock().unwrap_or_else(PoisonError::into_inner).connects += 1;
    }

    async fn query(&self, client: &tokio_postgres::Client, generation: u64) -> bool {
        match client.query_one(QUERY, &[]).await {
            Ok(_) => {
                self.answered(generation);
                true
            }
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }

    async fn pool(self, pool: Pool, ending: watch::Receiver<bool>) {
        while !*ending.borrow() {
            let generation = self.live.current().generation();
            match pool.take().await {
                Ok(connection) => {
                    self.query(&connection, generation).await;
                }
                Err(error) => self.failed(&error),
            }
            tokio::time::sleep(POOL_PAUSE).await;
        }
    }

    async fn dial(&self) -> Option<(tokio_postgres::Client, u64)> {
        let credential = self.live.current();
        match self.dialler.dial(&credential).await {
            Ok(client) => {
                self.live.used(credential.publication());
                self.connected();
                Some((client, credential.generation()))
            }
            Err(error) => {
                self.failed(&error);
                None
            }
        }
    }

    async fn jobs(self, ending: watch::Receiver<bool>) {
        while !*ending.borrow() {
            if let Some((client, generation)) = self.dial().await {
                for _ in 0..3 {
                    self.query(&client, generation).await;
                }
            }
            tokio::time::sleep(JOB_PAUSE).await;
        }
    }

    async fn sessions(self, ending: watch::Receiver<bool>) {
        while !*ending.borrow() {
            let Some((client, generation)) = self.dial().await else {
                tokio::time::sleep(SESSION_PAUSE).await;
                continue;
            };
            let until = Instant::now() + SESSION_FOR;
            while Instant::now() < until && !*ending.borrow() {
                if !self.query(&client, generation).await {
                    break;
                }
                tokio::time::sleep(SESSION_PAUSE).await;
            }
        }
    }

    /// Each earlier generation once, and the current one as the control.
    async fn try_old(&self, seen: Seen) -> OldLogins {
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let current = self.live.current();
        let mut old = OldLogins::default();
        for credential in &seen {
            let generation = credential.generation();
            let tried = old.refused.contains(&generation) || old.not_refused.contains(&generation);
            if generation == current.generation() || tried {
                continue;
            }
            match self.dialler.dial(credential).await {
                Err(DialError::Refused { .. }) => old.refused.push(generation),
                Ok(_) | Err(_) => old.not_refused.push(generation),
            }
        }
        old.control_accepted = self.dialler.dial(&current).await.is_ok();
        old
    }
}
