//! Taking connections: bounded in number, in the time for a request's head, and at the end.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The most connections at a time. Those above wait in the kernel's queue.
    pub(crate) connections_max: usize,
    /// How long the head of a request may take: slow clients must not fill the connections.
    pub(crate) head_max: Duration,
    /// The longest head of a request, in bytes.
    pub(crate) head_bytes_max: usize,
    /// How long connections may finish what they do when the server drains.
    pub(crate) drain_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 2_048,
            head_max: Duration::from_secs(10),
            head_bytes_max: 32 * 1024,
            drain_max: Duration::from_secs(10),
        }
    }
}

/// How long to wait after a connection could not be taken: out of descriptors, say.
const AFTER_FAILURE: Duration = Duration::from_millis(200);

/// Serves until `drain` turns true, then lets open requests finish.
pub(crate) async fn serve(listener: TcpListener, router: Router, limits: Limits, mut drain: watch::Receiver<bool>) {
    let (open, graceful) = (Arc::new(Semaphore::new(limits.connections_max)), GracefulShutdown::new());
    loop {
        let taken = tokio::select! {
            _ = drain.wait_for(|drain| *drain) => break,
            taken = async {
                let permit = open.clone().acquire_owned().await.ok();
                (listener.accept().await, permit)
            } => taken,
        };
        let (Ok((stream, _)), permit) = taken else {
            tokio::time::sleep(AFTER_FAILURE).await;
            continue;
        };
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(limits.head_max).max_buf_size(limits.head_bytes_max);
        let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        let watched = graceful.watch(connection);
        tokio::spawn(async move {
            // A connection that breaks is the client's affair.
            drop(watched.await);
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.drain_max, graceful.shutdown()).await.is_err() {
        tracing::warn!("connections were cut off at the end of the time for draining");
    }
}
