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

/// The most connections at a time. Those above wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 2_048;

/// How long the head of a request may take: slow clients must not fill the connections.
const HEAD_MAX: Duration = Duration::from_secs(10);

/// The longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// How long connections may finish what they do when the server drains.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// How long to wait after a connection could not be taken: out of descriptors, say.
const AFTER_FAILURE: Duration = Duration::from_millis(200);

/// Serves until `drain` turns true, then lets open requests finish.
pub(crate) async fn serve(listener: TcpListener, router: Router, mut drain: watch::Receiver<bool>) {
    let (open, graceful) = (Arc::new(Semaphore::new(CONNECTIONS_MAX)), GracefulShutdown::new());
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
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD_MAX).max_buf_size(HEAD_BYTES_MAX);
        let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        let watched = graceful.watch(connection);
        tokio::spawn(async move {
            // A connection that breaks is the client's affair.
            drop(watched.await);
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_MAX, graceful.shutdown()).await.is_err() {
        tracing::warn!("connections were cut off at the end of the time for draining");
    }
}
