//! A TCP proxy on loopback that loses replies.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::ServerError;
use super::process::free_port;

/// Forwards connections to a port on loopback, and cuts them when told to.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: u16,
    replies_max: AtomicUsize,
    cuts: AtomicUsize,
    stopped: AtomicBool,
}

impl Proxy {
    /// Starts to forward to `upstream`.
    pub fn start(upstream: u16) -> Result<Self, ServerError> {
        let shared = Arc::new(Shared {
            upstream,
            replies_max: AtomicUsize::new(usize::MAX),
            cuts: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
        });
        let port = free_port()?;
        let listener = TcpListener::bind(("127.0.0.1", port))
            .map_err(|error| ServerError::because("the proxy could not listen", &error))?;
        let ours = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if ours.stopped.load(Ordering::SeqCst) {
                    return;
                }
                ours.forward(client);
            }
        });
        Ok(Self { port, shared })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on each new connection gets `replies_max` pieces of what the server sends. The next piece is taken
    /// from the server, so that what was asked is done, and the connection is cut instead of passing it on.
    pub fn lose_replies_after(&self, replies_max: usize) {
        self.shared.replies_max.store(replies_max, Ordering::SeqCst);
    }

    /// How many connections were cut.
    pub fn cuts(&self) -> usize {
        self.shared.cuts.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the listener, which sees that it has been stopped.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn forward(self: &Arc<Self>, client: TcpStream) {
        let Ok(server) = TcpStream::connect(("127.0.0.1", self.upstream)) else {
            return;
        };
        let (Ok(from_client), Ok(to_server)) = (client.try_clone(), server.try_clone()) else {
            return;
        };
        std::thread::spawn(move || copy(from_client, to_server, usize::MAX));
        let shared = Arc::clone(self);
        std::thread::spawn(move || {
            if copy(server, client, shared.replies_max.load(Ordering::SeqCst)) {
                shared.cuts.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
}

/// Copies up to `pieces_max` pieces, then ends both sides; says whether there was a piece too many.
fn copy(mut from: TcpStream, mut to: TcpStream, pieces_max: usize) -> bool {
    let mut buffer = [0_u8; 65_536];
    let mut pieces = 0_usize;
    let cut = loop {
        match from.read(&mut buffer) {
            Ok(0) | Err(_) => break false,
            Ok(_) if pieces >= pieces_max => break true,
            Ok(length) => {
                pieces += 1;
                if to.write_all(&buffer[..length]).is_err() {
                    break false;
                }
            }
        }
    };
    // Either side may be gone already.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
    cut
}
