//! The task that keeps a live handle up to date: watch, fetch, validate, swap; the acker tells the controller.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use handover_api::{Published, Reach, WatchEvent};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tracing::{debug, info, warn};

use crate::acker::{Acker, Progress};
use crate::backoff::{Backoff, jittered};
use crate::client::{Client, Watch};
use crate::credential::Credential;
use crate::error::Error;
use crate::live::{Cell, Live, Offer};

type Verdict = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// A hook that each new publication must pass before it is put in force: a login, say. Its words on failure are
/// logged, so they must not contain the value.
#[derive(Clone)]
pub struct Validate(Arc<dyn Fn(Arc<Credential>) -> Verdict + Send + Sync>);

impl Validate {
    /// Makes a hook of an async function.
    pub fn new<F, R>(hook: F) -> Self
    where
        F: Fn(Arc<Credential>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self(Arc::new(move |credential| Box::pin(hook(credential))))
    }
}

impl fmt::Debug for Validate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Validate")
    }
}

/// Gets a first value, puts it in force and starts the tasks.
pub(crate) async fn start(client: Client, group: &str, validate: Option<Validate>) -> Result<Live<Credential>, Error> {
    let first = first(&client, group).await?;
    if let Some(Validate(hook)) = &validate {
        // There is no older value to stay with: a first value that does not validate is still the best there is.
        if let Err(words) = hook(first.clone()).await {
            warn!(group, publication = first.publication(), words, "the first value does not validate");
        }
    }
    let cell = Arc::new(Cell::new(first.clone()));
    let progress = watch::Sender::new(Progress { credential: first, reach: Reach::Loaded });
    let deliver_again = Arc::new(Notify::new());
    let acker = Acker {
        client: client.clone(),
        progress: progress.subscribe(),
        used: cell.used.subscribe(),
        deliver_again: deliver_again.clone(),
    };
    let backoff = Backoff::new(client.options.backoff_min, client.options.backoff_max);
    let follower =
        Follower { client, group: group.to_owned(), cell: cell.clone(), validate, progress, deliver_again, backoff };
    let tasks = vec![tokio::spawn(follower.run()).abort_handle(), tokio::spawn(acker.run()).abort_handle()];
    Ok(Live::with_tasks(cell, tasks))
}

async fn first(client: &Client, group: &str) -> Result<Arc<Credential>, Error> {
    let deadline = Instant::now() + client.options.start_for;
    let mut backoff = Backoff::new(client.options.backoff_min, client.options.backoff_max);
    loop {
        match client.fetch(group).await {
            Ok(credential) => return Ok(Arc::new(credential)),
            Err(error) => {
                let again_at = Instant::now() + backoff.wait();
                if !error.is_passing() || again_at > deadline {
                    return Err(error);
                }
                debug!(group, %error, "no first value yet");
                sleep_until(again_at).await;
            }
        }
    }
}

struct Follower {
    client: Client,
    group: String,
    cell: Arc<Cell<Credential>>,
    validate: Option<Validate>,
    progress: watch::Sender<Progress>,
    /// The acker was refused: the delivery that it answers is unknown to the controller.
    deliver_again: Arc<Notify>,
    backoff: Backoff,
}

impl Follower {
    async fn run(mut self) {
        loop {
            match self.client.watch(&self.group).await {
                Ok(stream) => {
                    debug!(group = self.group, "watching");
                    self.listen(stream).await;
                }
                Err(error) => debug!(group = self.group, %error, "cannot watch"),
            }
            // The stream is only a hint: whether it can be had or not, look at what is published.
            let _ = self.look(false).await;
            let wait = self.backoff.wait();
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.cell.suspect.notified() => { let _ = self.look(false).await; }
            }
        }
    }

    /// Returns when the stream has ended or fell silent.
    async fn listen(&mut self, mut stream: Watch) {
        let silence_max = self.client.options.silence_max;
        let mut heard_at = Instant::now();
        // Whatever happened before the stream was open is in no event that one could rely on.
        let mut look_at = self.look_and_plan(false).await;
        loop {
            tokio::select! {
                heard = timeout_at(heard_at + silence_max, stream.next()) => match heard {
                    Ok(Some(Ok(events))) => {
                        heard_at = Instant::now();
                        if events.iter().any(|event| self.is_news(event)) {
                            look_at = self.look_and_plan(false).await;
                        }
                    }
                    Ok(Some(Err(error))) => return debug!(group = self.group, %error, "the watch ended"),
                    Ok(None) => return debug!(group = self.group, "the watch ended"),
                    Err(_) => return info!(group = self.group, "the watch fell silent"),
                },
                () = sleep_until(look_at) => look_at = self.look_and_plan(false).await,
                () = self.cell.suspect.notified() => look_at = self.look_and_plan(false).await,
                () = self.deliver_again.notified() => look_at = self.look_and_plan(true).await,
            }
        }
    }

    fn is_news(&self, event: &WatchEvent) -> bool {
        let held = self.cell.current().publication();
        let higher = |published: &Published| published.group == self.group && published.publication > held;
        match event {
            WatchEvent::Snapshot { groups } => groups.iter().any(higher),
            WatchEvent::Publication(published) => higher(published),
            WatchEvent::Reset => true,
            WatchEvent::Phase { .. } => false,
        }
    }

    /// Looks, and says when to look again at the latest.
    async fn look_and_plan(&mut self, again: bool) -> Instant {
        let wait = match self.look(again).await {
            Ok(()) => {
                self.backoff.reset();
                jittered(self.client.options.poll)
            }
            Err(()) => self.backoff.wait(),
        };
        Instant::now() + wait
    }

    /// Fetches what is higher than what is in force (`again`: also the same, for a new nonce), and puts it in force.
    async fn look(&mut self, again: bool) -> Result<(), ()> {
        let held = self.cell.current();
        let after = if again { held.publication().checked_sub(1) } else { Some(held.publication()) };
        let fetched = match self.client.fetch_after(&self.group, after).await {
            Ok(Some(fetched)) => Arc::new(fetched),
            Ok(None) => return Ok(()),
            Err(error) => {
                warn!(group = self.group, %error, held = held.publication(), "staying with the last good value");
                return Err(());
            }
        };
        if fetched.publication() < held.publication() {
            warn!(
                group = self.group,
                held = held.publication(),
                offered = fetched.publication(),
                "refused a lower publication"
            );
            return Ok(());
        }
        if fetched.publication() == held.publication() {
            // Only the nonce is new. What was delivered now must also be what is in force.
            if fetched.value().matches(held.value()) {
                self.progress.send_replace(Progress { credential: fetched, reach: Reach::Loaded });
            }
            return Ok(());
        }
        self.progress.send_replace(Progress { credential: fetched.clone(), reach: Reach::Delivered });
        self.validate(&fetched).await?;
        match self.cell.offer(fetched.clone()) {
            Offer::Taken => {
                info!(
                    group = self.group,
                    publication = fetched.publication(),
                    generation = fetched.generation(),
                    "swapped"
                );
                self.progress.send_replace(Progress { credential: fetched, reach: Reach::Loaded });
            }
            Offer::Same | Offer::Lower { .. } => {}
        }
        Ok(())
    }

    async fn validate(&self, fetched: &Arc<Credential>) -> Result<(), ()> {
        let Some(Validate(hook)) = &self.validate else { return Ok(()) };
        let words = match timeout(self.client.options.request_max, hook(fetched.clone())).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(words)) => words,
            Err(_) => "no verdict in time".to_owned(),
        };
        warn!(group = self.group, publication = fetched.publication(), words, "a new publication does not validate");
        Err(())
    }
}
