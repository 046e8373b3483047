//! `handover serve`: the engine and its HTTP server, until a signal asks them to drain.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::check;
use crate::assembly::{Assembly, assemble};
use crate::cli::ConfigFile;
use crate::config::Config;
use crate::failure::Failure;
use crate::process;
use crate::server::bootstrap::Bootstrap;
use crate::server::tls::Tls;
use crate::server::{self, Announcer, App, Limits, News};
use crate::tokens::Tokens;

pub(crate) async fn run(arguments: &ConfigFile) -> Result<(), Failure> {
    let config = Config::load(&arguments.config)?;
    check::look(&config)?;
    process::raise_descriptors();
    let mut signals = Signals::new()?;
    // Before the lease is taken: a second server on one address must not make the first one lose its lease.
    let listener = TcpListener::bind(config.listen).await.map_err(|error| {
        Failure::error(format!("cannot listen on {}: {}", config.listen, error.kind()))
            .hint("another server may run there; set `listen` in the configuration")
    })?;
    let Assembly { service, engine, store } = assemble(&config).await?;
    let drain = watch::Sender::new(false);
    let news = News::start(&engine).await?;
    let announcer = Announcer {
        events: engine.events(),
        engine: engine.clone(),
        store: store.clone(),
        groups: config.groups.iter().map(|group| group.name.clone()).collect(),
        news: news.clone(),
    };
    let tls = config.tls.as_ref().map(Tls::open).transpose()?.map(Arc::new);
    let tokens = Tokens::open(&config.tokens)?;
    // After the lease was taken: a server that does not come to serve must not replace the code of the one that does.
    let bootstrap = Bootstrap::open(&config.tokens, &tokens)?;
    let app = Arc::new(App {
        engine,
        store,
        tokens,
        bootstrap,
        groups: config.groups.iter().map(|group| (group.name.clone(), group.clone())).collect(),
        news,
        drain: drain.subscribe(),
    });
    let announcing = tokio::spawn(announcer.run());
    let mut working = tokio::spawn(service.run(drain.subscribe()));
    let served = server::serve(listener, tls.clone(), server::router(&app), Limits::default(), drain.subscribe());
    let serving = tokio::spawn(served);
    look_around(app, tls, &drain);
    tracing::info!(listen = %config.listen, tls = config.tls.is_some(), groups = config.groups.len(), "ready");

    let asked = tokio::select! {
        name = signals.next() => {
            tracing::info!(signal = name, "draining");
            true
        }
        ended = &mut working => {
            tracing::error!(panicked = ended.is_err(), "the engine has stopped by itself");
            false
        }
    };
    drain.send_replace(true);
    if serving.await.is_err() {
        tracing::error!("the HTTP server ended in a panic");
    }
    if asked && working.await.is_err() {
        return Err(Failure::error("the engine ended in a panic").hint("the log says where; start it again"));
    }
    announcing.abort();
    if !asked {
        return Err(Failure::error("the engine has stopped by itself").hint("the log says why; start it again"));
    }
    tracing::info!("drained");
    Ok(())
}

/// Sees to it that changed files are noticed while nobody asks for anything. Ends with the server.
fn look_around(app: Arc<App>, tls: Option<Arc<Tls>>, drain: &watch::Sender<bool>) {
    let (draining, bootstrapping) = (drain.subscribe(), drain.subscribe());
    tokio::spawn(async move {
        tokio::join!(app.tokens.follow(draining), app.bootstrap.follow(&app.tokens, bootstrapping));
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

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
