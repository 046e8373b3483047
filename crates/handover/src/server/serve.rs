//! Taking connections: bounded in number, in the time for a request's head, and at the end.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use super::auth::Peer;
use super::connection::Connection;
use super::tls::{self, Tls};

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The most connections at a time. Those above wait in the kernel's queue.
    pub(crate) connections_max: usize,
    /// How long a TLS handshake may take.
    pub(crate) handshake_max: Duration,
    /// How long the head of a request may take: slow clients must not fill the connections.
    pub(crate) head_max: Duration,
    /// The longest head of a request, in bytes.
    pub(crate) head_bytes_max: usize,
    /// For how long a client may leave all that was sent unread.
    pub(crate) stall_max: Duration,
    /// For how long what a client goes on sending after its answer is read and thrown away.
    pub(crate) linger_max: Duration,
    /// How long connections may finish what they do when the server drains.
    pub(crate) drain_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 2_048,
            handshake_max: Duration::from_secs(10),
            head_max: Duration::from_secs(10),
            head_bytes_max: 32 * 1024,
            stall_max: Duration::from_secs(30),
            linger_max: Duration::from_secs(2),
            drain_max: Duration::from_secs(10),
        }
    }
}

/// How long to wait after a connection could not be taken: out of descriptors, say.
const AFTER_FAILURE: Duration = Duration::from_millis(200);

/// Serves until `drain` turns true, then lets open requests finish.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    router: Router,
    limits: Limits,
    mut drain: watch::Receiver<bool>,
) {
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
        let acceptor = tls.as_ref().map(|tls| tls.acceptor());
        let (router, watcher, mut drain) = (router.clone(), graceful.watcher(), drain.clone());
        tokio::spawn(async move {
            match acceptor {
                None => {
                    let stream = connection(stream, limits, drain);
                    converse(stream, Peer::default(), router, limits, watcher).await;
                }
                Some(acceptor) => {
                    let shaken = tokio::select! {
                        _ = drain.wait_for(|drain| *drain) => return,
                        shaken = tokio::time::timeout(limits.handshake_max, acceptor.accept(stream)) => shaken,
                    };
                    match shaken {
                        Ok(Ok(stream)) => {
                            let peer = tls::peer(&stream);
                            converse(connection(stream, limits, drain), peer, router, limits, watcher).await;
                        }
                        // The client was told by an alert. Its own log is where the reason is looked for.
                        Ok(Err(error)) => tracing::debug!(kind = %error.kind(), "a TLS handshake failed"),
                        Err(_) => tracing::debug!("a TLS handshake did not end in time"),
                    }
                }
            }
            // A place is taken from before the handshake until the connection has ended.
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.drain_max, graceful.shutdown()).await.is_err() {
        tracing::warn!("connections were cut off at the end of the time for draining");
    }
}

fn connection<S>(stream: S, limits: Limits, drain: watch::Receiver<bool>) -> Connection<TokioIo<S>> {
    Connection::new(TokioIo::new(stream), limits.stall_max, limits.linger_max, drain)
}

/// Answers the requests of one connection. Each is told who is at its other end.
async fn converse<I>(io: I, peer: Peer, router: Router, limits: Limits, watcher: Watcher)
where
    I: Read + Write + Unpin + Send + 'static,
{
    let answer = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        answer.call(request)
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.head_max).max_buf_size(limits.head_bytes_max);
    // A connection that breaks is the client's affair.
    drop(watcher.watch(builder.serve_connection(io, service)).await);
}
