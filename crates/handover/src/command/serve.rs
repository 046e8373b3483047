//! `handover serve`: the engine and its HTTP server, until a signal asks them to drain.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::check;
use crate::assembly::{Assembly, assemble};
use crate::cli::ConfigFile;
use crate::config::Config;
use crate::failure::Failure;
use crate::metrics::{self, Meter};
use crate::reload::{Parts, Reloader};
use crate::server::access;
use crate::server::bootstrap::Bootstrap;
use crate::server::configured::Configured;
use crate::server::tls::Tls;
use crate::server::{self, Announcer, App, Limits, News};
use crate::statistics::Statistics;
use crate::tokens::Tokens;
use crate::{notify, process, trace};

pub(crate) async fn run(arguments: &ConfigFile) -> Result<(), Failure> {
    let config = Config::load(&arguments.config)?;
    check::look(&config)?;
    process::raise_descriptors();
    let mut signals = Signals::new()?;
    // From now on a hang-up is not an end any more; one that comes before the server serves is answered then.
    let hangups = Signals::hangups()?;
    // Before the lease is taken: a second server on one address must not make the first one lose its lease.
    let listener = listen(config.listen, "listen").await?;
    let metrics_listener = match config.metrics_listen {
        Some(address) => Some(listen(address, "metrics_listen").await?),
        None => None,
    };
    let Assembly { service, engine, store, state, wired } = assemble(&config).await?;
    let configured = Configured::new(&config);
    let (drain, leaving) = (watch::Sender::new(false), watch::Sender::new(false));
    let news = News::start(&engine).await?;
    let announcer = Announcer {
        events: engine.events(),
        engine: engine.clone(),
        store: store.clone(),
        configured: configured.clone(),
        news: news.clone(),
    };
    let tls = config.tls.as_ref().map(Tls::open).transpose()?.map(Arc::new);
    let tokens = Tokens::open(&config.tokens)?;
    // After the lease was taken: a server that does not come to serve must not replace the code of the one that does.
    let bootstrap = Bootstrap::open(&config.tokens, &tokens)?;
    let (listening, encrypted, groups) = (config.listen, config.tls.is_some(), config.groups.len());
    let batches = state.batches();
    let parts = Parts { engine: engine.clone(), store: store.clone(), state, configured: configured.clone() };
    let reloader = Arc::new(Reloader::new(&arguments.config, config, wired, parts));
    let app = Arc::new(App {
        engine,
        store,
        tokens,
        bootstrap,
        configured: configured.clone(),
        reloader: Arc::clone(&reloader),
        statistics: Statistics::default(),
        news,
        drain: drain.subscribe(),
        leaving: leaving.subscribe(),
        meter: Meter::new(trace::exports(), batches),
    });
    let served = server::serve(listener, tls.clone(), server::router(&app), Limits::default(), drain.subscribe());
    let groups_at_start = configured.groups().keys().cloned().collect();
    let mut running = Running {
        announcing: tokio::spawn(announcer.run()),
        working: tokio::spawn(service.run(drain.subscribe())),
        serving: tokio::spawn(served),
        measuring: metrics_listener.map(|listener| tokio::spawn(serve_metrics(listener, &app, &drain))),
        watched: tokio::spawn(notify::watchdog(app.engine.clone())),
        recalled: tokio::spawn(metrics::recall(app.engine.clone(), groups_at_start)),
        reloading: tokio::spawn(reloader.follow(hangups)),
    };
    look_around(app, tls, &drain);
    notify::ready();
    tracing::info!(listen = %listening, tls = encrypted, groups, "ready");

    let end = running.end(&mut signals).await;
    notify::stopping();
    leaving.send_replace(true);
    let leave_after = configured.leave_after();
    if end == End::Asked && !leave_after.is_zero() {
        tokio::select! {
            () = tokio::time::sleep(leave_after) => {}
            name = signals.next() => tracing::info!(signal = name, "draining at once"),
        }
    }
    drain.send_replace(true);
    let panicked = running.drained(end).await;
    end.judged(panicked)
}

/// What runs until the server ends.
struct Running {
    announcing: JoinHandle<()>,
    working: JoinHandle<()>,
    serving: JoinHandle<()>,
    measuring: Option<JoinHandle<()>>,
    watched: JoinHandle<()>,
    recalled: JoinHandle<()>,
    reloading: JoinHandle<()>,
}

impl Running {
    /// Waits for a signal. Whatever ends by itself takes the server with it: half a server looks alive, and a new start
    /// mends it.
    async fn end(&mut self, signals: &mut Signals) -> End {
        tokio::select! {
            name = signals.next() => {
                tracing::info!(signal = name, "draining");
                End::Asked
            }
            ended = &mut self.working => End::Engine { panicked: ended.is_err() },
            ended = &mut self.serving => End::Http { panicked: ended.is_err() },
            _ = &mut self.announcing => End::Announcer,
        }
    }

    /// Waits until all is drained. What panicked meanwhile.
    async fn drained(self, end: End) -> Option<&'static str> {
        self.reloading.abort();
        self.recalled.abort();
        let mut panicked = None;
        if !matches!(end, End::Http { .. }) && self.serving.await.is_err() {
            panicked = Some("the HTTP server");
        }
        if let Some(measuring) = self.measuring {
            measuring.abort();
        }
        if !matches!(end, End::Engine { .. }) && self.working.await.is_err() {
            panicked = Some("the engine");
        }
        // For as long as work is finished, the service manager hears that all is well.
        self.watched.abort();
        self.announcing.abort();
        panicked
    }
}

/// Takes a port.
async fn listen(address: SocketAddr, key: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::error(format!("cannot listen on {address}: {}", error.kind()))
            .hint(format!("another server may run there; set `{key}` in the configuration"))
    })
}

/// Metrics on a port of their own.
fn serve_metrics(
    listener: TcpListener,
    app: &Arc<App>,
    drain: &watch::Sender<bool>,
) -> impl Future<Output = ()> + use<> {
    let limits = Limits { connections_max: METRICS_CONNECTIONS_MAX, ..Limits::default() };
    server::serve(listener, None, server::metrics::alone(app), limits, drain.subscribe())
}

/// The most connections at a time to the port for metrics.
const METRICS_CONNECTIONS_MAX: usize = 16;

/// Why the server ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// A signal asked for it.
    Asked,
    /// The engine ended by itself.
    Engine { panicked: bool },
    /// The HTTP server ended by itself.
    Http { panicked: bool },
    /// What tells the watch streams ended by itself.
    Announcer,
}

impl End {
    fn judged(self, panicked: Option<&str>) -> Result<(), Failure> {
        let (what, panicked) = match (self, panicked) {
            (Self::Asked, None) => {
                tracing::info!("drained");
                return Ok(());
            }
            (Self::Asked, Some(what)) => (what, true),
            (Self::Engine { panicked }, _) => ("the engine", panicked),
            (Self::Http { panicked }, _) => ("the HTTP server", panicked),
            (Self::Announcer, _) => ("what tells the watch streams", true),
        };
        tracing::error!(panicked, "{what} has stopped by itself");
        Err(Failure::error(format!("{what} has stopped by itself")).hint("the log says why; start it again"))
    }
}

/// Sees to it that changed files are noticed while nobody asks for anything. Ends with the server.
fn look_around(app: Arc<App>, tls: Option<Arc<Tls>>, drain: &watch::Sender<bool>) {
    let (draining, bootstrapping, recording) = (drain.subscribe(), drain.subscribe(), drain.subscribe());
    let counting = drain.subscribe();
    tokio::spawn(async move {
        tokio::join!(
            app.tokens.follow(draining),
            app.bootstrap.follow(&app.tokens, bootstrapping),
            access::follow(&app, recording),
            app.statistics.follow(&app.engine, &app.configured, counting),
        );
    });
    if let Some(tls) = tls {
        let draining = drain.subscribe();
        tokio::spawn(async move { tls.follow(draining).await });
    }
}

/// The signals that ask for an end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|_| Failure::error("signals cannot be listened for"));
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// The signal that asks for another look at the configuration.
    fn hangups() -> Result<Signal, Failure> {
        signal(SignalKind::hangup()).map_err(|_| Failure::error("signals cannot be listened for"))
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
