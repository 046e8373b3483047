//! A client that reads one thing over TLS again and again, the same for us and for the peer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::Trouble;
use crate::report::percentile;

/// What a load came to.
pub(crate) struct Load {
    /// Answers in a second.
    pub(crate) rate: f64,
    /// The 99th percentile of a request, in milliseconds.
    pub(crate) p99_ms: f64,
}

/// Whom to ask, and for what.
#[derive(Clone)]
pub(crate) struct Query {
    /// The port on 127.0.0.1.
    pub(crate) port: u16,
    /// Who signed the server's certificate.
    pub(crate) ca_pem: String,
    /// The path.
    pub(crate) path: String,
    /// A header line that says who asks.
    pub(crate) credential: String,
}

/// So many connections, each with one request at a time.
pub(crate) fn run(query: &Query, connections: usize, seconds: f64) -> Result<Load, Trouble> {
    run_each(&vec![query.clone(); connections], "GET", seconds)
}

/// A connection for each of these, with one request at a time.
pub(crate) fn run_each(queries: &[Query], method: &'static str, seconds: f64) -> Result<Load, Trouble> {
    let barrier = Arc::new(Barrier::new(queries.len()));
    let workers: Vec<_> = queries
        .iter()
        .map(|query| {
            let (query, barrier) = (query.clone(), Arc::clone(&barrier));
            std::thread::spawn(move || {
                // All wait for each other, also for one that could not connect.
                let connection = Connection::open(&query);
                barrier.wait();
                let mut connection = connection?;
                let (start, mut times) = (Instant::now(), Vec::new());
                while start.elapsed().as_secs_f64() < seconds {
                    let begun = Instant::now();
                    connection.ask(method, "")?;
                    times.push(begun.elapsed().as_secs_f64() * 1e3);
                }
                Ok::<_, Trouble>((times, start.elapsed()))
            })
        })
        .collect();
    let (mut times, mut rate) = (Vec::new(), 0.0);
    for worker in workers {
        let (took, elapsed) = worker.join().map_err(|_| "a connection panicked".to_owned())??;
        rate += took.len() as f64 / elapsed.as_secs_f64();
        times.extend(took);
    }
    Ok(Load { rate, p99_ms: percentile(&mut times, 0.99) })
}

/// Asks once; the body.
pub(crate) fn once(query: &Query, method: &str, body: &str) -> Result<String, Trouble> {
    Connection::open(query)?.ask(method, body)
}

struct Connection {
    stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
    query: Query,
}

impl Connection {
    fn open(query: &Query) -> Result<Self, Trouble> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(query.ca_pem.as_bytes()).filter_map(Result::ok));
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").map_err(|error| error.to_string())?;
        let session = ClientConnection::new(Arc::new(config), name).map_err(|error| error.to_string())?;
        let socket = TcpStream::connect(("127.0.0.1", query.port)).map_err(|error| error.to_string())?;
        socket.set_nodelay(true).map_err(|error| error.to_string())?;
        socket.set_read_timeout(Some(Duration::from_secs(30))).map_err(|error| error.to_string())?;
        Ok(Self { stream: BufReader::new(StreamOwned::new(session, socket)), query: query.clone() })
    }

    /// One request and its answer, which must be a success with a length.
    fn ask(&mut self, method: &str, body: &str) -> Result<String, Trouble> {
        let Query { path, credential, .. } = &self.query;
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\n{credential}\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let stream = self.stream.get_mut();
        stream.write_all(request.as_bytes()).and_then(|()| stream.flush()).map_err(|error| error.to_string())?;
        let (mut line, mut length) = (String::new(), 0_usize);
        self.stream.read_line(&mut line).map_err(|error| error.to_string())?;
        let status = line.trim().to_owned();
        loop {
            line.clear();
            self.stream.read_line(&mut line).map_err(|error| error.to_string())?;
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().map_err(|_| "a length is no number".to_owned())?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).map_err(|error| error.to_string())?;
        let body = String::from_utf8_lossy(&body).into_owned();
        // Not the body: it may hold a value.
        if status.starts_with("HTTP/1.1 2") { Ok(body) } else { Err(format!("{path} was answered with {status}")) }
    }
}
