//! A TCP proxy on loopback that loses replies, falls silent, slows down and cuts connections.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::ServerError;
use super::process::free_port;

/// Forwards connections to a port on loopback, and cuts them when told to.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: AtomicU16,
    replies_max: AtomicUsize,
    cuts: AtomicUsize,
    delay_ms: AtomicU64,
    silent: Mutex<bool>,
    held: AtomicUsize,
    speaks: Condvar,
    open: Mutex<Vec<TcpStream>>,
    stopped: AtomicBool,
}

impl Proxy {
    /// Starts to forward to `upstream`.
    pub fn start(upstream: u16) -> Result<Self, ServerError> {
        let shared = Arc::new(Shared {
            upstream: AtomicU16::new(upstream),
            replies_max: AtomicUsize::new(usize::MAX),
            cuts: AtomicUsize::new(0),
            delay_ms: AtomicU64::new(0),
            silent: Mutex::new(false),
            held: AtomicUsize::new(0),
            speaks: Condvar::new(),
            open: Mutex::new(Vec::new()),
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

    /// From now on new connections lead to another port; those that are open stay where they are.
    pub fn lead_to(&self, upstream: u16) {
        self.shared.upstream.store(upstream, Ordering::SeqCst);
    }

    /// From now on each new connection gets `replies_max` pieces of what the server sends. The next piece is taken
    /// from the server, so that what was asked is done, and the connection is cut instead of passing it on.
    pub fn lose_replies_after(&self, replies_max: usize) {
        self.shared.replies_max.store(replies_max, Ordering::SeqCst);
    }

    /// A black hole, or its end: connections are taken and nothing is passed on in either direction. What was sent
    /// meanwhile is passed on afterwards, late, as long as both sides are there.
    pub fn fall_silent(&self, silent: bool) {
        *self.shared.silent.lock().unwrap_or_else(PoisonError::into_inner) = silent;
        self.shared.speaks.notify_all();
    }

    /// How many pieces were held back by silence so far.
    pub fn held(&self) -> usize {
        self.shared.held.load(Ordering::SeqCst)
    }

    /// From now on each piece, in either direction, is passed on this much later. Zero: at once.
    pub fn slow_down(&self, each: Duration) {
        self.shared.delay_ms.store(u64::try_from(each.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// Cuts all connections that are open, and says how many those were. New ones are taken.
    pub fn cut(&self) -> usize {
        let mut open = self.shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        // A connection that ended by itself has no peer any more.
        let live = open.iter().filter(|client| client.peer_addr().is_ok()).count();
        for stream in open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.shared.cuts.fetch_add(live, Ordering::SeqCst);
        live
    }

    /// How many connections were cut.
    pub fn cuts(&self) -> usize {
        self.shared.cuts.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.fall_silent(false);
        self.cut();
        // Wakes the listener, which sees that it has been stopped.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn forward(self: &Arc<Self>, client: TcpStream) {
        let Ok(server) = TcpStream::connect(("127.0.0.1", self.upstream.load(Ordering::SeqCst))) else {
            return;
        };
        let (Ok(from_client), Ok(to_server)) = (client.try_clone(), server.try_clone()) else {
            return;
        };
        self.remember(&client);
        let shared = Arc::clone(self);
        std::thread::spawn(move || shared.copy(from_client, to_server, usize::MAX));
        let shared = Arc::clone(self);
        std::thread::spawn(move || {
            let replies_max = shared.replies_max.load(Ordering::SeqCst);
            if shared.copy(server, client, replies_max) {
                shared.cuts.fetch_add(1, Ordering::SeqCst);
            }
        });
    }

    fn remember(&self, client: &TcpStream) {
        if let Ok(client) = client.try_clone() {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.retain(|client| client.peer_addr().is_ok());
            open.push(client);
        }
    }

    /// Copies up to `pieces_max` pieces, then ends both sides; says whether there was a piece too many.
    fn copy(&self, mut from: TcpStream, mut to: TcpStream, pieces_max: usize) -> bool {
        let mut buffer = [0_u8; 65_536];
        let mut pieces = 0_usize;
        let cut = loop {
            let read = from.read(&mut buffer);
            self.wait_to_speak();
            match read {
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

    fn wait_to_speak(&self) {
        let delay_ms = self.delay_ms.load(Ordering::SeqCst);
        if delay_ms > 0 {
            std::thread::sleep(Duration::from_millis(delay_ms));
        }
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        if *silent {
            self.held.fetch_add(1, Ordering::SeqCst);
        }
        while *silent {
            silent = self.speaks.wait(silent).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_holds_back_and_a_cut_ends() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap().port()).unwrap();
        let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let mut one = [0_u8; 1];
        client.write_all(b"a").unwrap();
        server.read_exact(&mut one).unwrap();

        proxy.fall_silent(true);
        client.write_all(b"b").unwrap();
        server.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        assert!(server.read_exact(&mut one).is_err(), "nothing is passed on");
        assert_eq!(proxy.held(), 1);
        proxy.fall_silent(false);
        server.set_read_timeout(None).unwrap();
        server.read_exact(&mut one).unwrap();
        assert_eq!(&one, b"b", "and then it is, late");

        assert_eq!(proxy.cut(), 1);
        assert!(matches!(client.read(&mut one), Ok(0) | Err(_)));
        assert_eq!(proxy.cut(), 0, "it is gone");

        let elsewhere = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        proxy.lead_to(elsewhere.local_addr().unwrap().port());
        let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        let (mut server, _) = elsewhere.accept().unwrap();
        client.write_all(b"c").unwrap();
        server.read_exact(&mut one).unwrap();
        assert_eq!(&one, b"c", "new connections lead elsewhere");
    }
}
