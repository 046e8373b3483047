//! What every connection pool on a live handle has in common.
//!
//! Connections are dialled with the credential in force at that moment. When another one is put in force, idle
//! connections of older publications are closed at once, those at work finish what they do, and none of them is handed
//! out again. A dial that began before the swap does not join the pool.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{self, Metrics, RecycleError, RecycleResult, TimeoutType};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tracing::debug;

use crate::credential::Credential;
use crate::live::Live;

/// How often a dial is repeated because another publication was put in force meanwhile.
const DIALS_MAX: usize = 4;

/// Why there is no connection. It never contains a driver's own text.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// No connection, no TLS, or no answer in time.
    #[error("the database cannot be reached")]
    Unreachable,
    /// The server refused the login.
    #[error("the database refused the login (publication {publication})")]
    Refused {
        /// What it was tried with.
        publication: u64,
    },
    /// The server answered with another error.
    #[error("the database answered with SQLSTATE {sqlstate}")]
    Answered {
        /// Its code.
        sqlstate: String,
    },
    /// The server, or whoever answered in its place, did not ask for SCRAM-SHA-256 with the binding that is required, and
    /// got no answer.
    #[error("the database did not ask for SCRAM-SHA-256 as required")]
    NotScram,
    /// The publication in force names no user.
    #[error("the credential names no user")]
    NoUser,
    /// Publications changed faster than connections could be made.
    #[error("the credential changed again and again while dialling")]
    Superseded,
    /// All connections stayed at work.
    #[error("no connection became free in time")]
    Exhausted,
}

/// How one kind of connection is made.
pub(crate) trait Dial: Send + Sync + 'static {
    type Connection: Send + 'static;

    fn dial(&self, credential: &Credential) -> impl Future<Output = Result<Self::Connection, DialError>> + Send;

    fn is_closed(connection: &Self::Connection) -> bool;
}

/// Limits of a pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) connections_max: usize,
    pub(crate) wait_max: Duration,
    pub(crate) newer_for: Duration,
    pub(crate) sweep: Duration,
}

/// A connection, and what it was dialled with.
pub(crate) struct Dialled<C> {
    pub(crate) connection: C,
    pub(crate) publication: u64,
}

/// Dials with the publication in force, and gives back no connection of another one.
///
/// A refused login is tried once more if a newer publication is there, or comes within `newer_for`: the one at hand may
/// have been retired on the way.
pub(crate) async fn dial_in_force<D: Dial>(
    live: &Live<Credential>,
    dial: &D,
    newer_for: Duration,
) -> Result<Dialled<D::Connection>, DialError> {
    let mut refused_before = false;
    for _ in 0..DIALS_MAX {
        let credential = live.current();
        let publication = credential.publication();
        match dial.dial(&credential).await {
            // A swap that happened during the dial: this connection must not be used (nor count as use).
            Ok(_) if live.current().publication() != publication => debug!(publication, "dialled too late"),
            Ok(connection) => {
                live.used(publication);
                return Ok(Dialled { connection, publication });
            }
            // One look for something newer and one more try; more would help to lock the account.
            Err(DialError::Refused { .. }) if !refused_before && !newer_for.is_zero() => {
                refused_before = true;
                if !live.refused(publication, newer_for).await {
                    return Err(DialError::Refused { publication });
                }
            }
            Err(error) => return Err(error),
        }
    }
    Err(DialError::Superseded)
}

pub(crate) struct Manager<D> {
    live: Live<Credential>,
    dial: D,
    newer_for: Duration,
}

impl<D: Dial> managed::Manager for Manager<D> {
    type Type = Dialled<D::Connection>;
    type Error = DialError;

    async fn create(&self) -> Result<Self::Type, DialError> {
        dial_in_force(&self.live, &self.dial, self.newer_for).await
    }

    async fn recycle(&self, dialled: &mut Self::Type, _: &Metrics) -> RecycleResult<DialError> {
        if dialled.publication != self.live.current().publication() {
            return Err(RecycleError::message("dialled with an older publication"));
        }
        if D::is_closed(&dialled.connection) {
            return Err(RecycleError::message("closed"));
        }
        Ok(())
    }
}

/// A pool, and the task that closes idle connections of older publications.
pub(crate) struct Pool<D: Dial> {
    pool: managed::Pool<Manager<D>>,
    sweeper: Arc<Sweeper>,
}

impl<D: Dial> Clone for Pool<D> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), sweeper: self.sweeper.clone() }
    }
}

impl<D: Dial> Pool<D> {
    /// `None` if the limits make no pool.
    pub(crate) fn new(live: Live<Credential>, dial: D, limits: Limits) -> Option<Self> {
        let swaps = live.swaps();
        let manager = Manager { live, dial, newer_for: limits.newer_for };
        let pool = managed::Pool::builder(manager)
            .max_size(limits.connections_max.max(1))
            .wait_timeout(Some(limits.wait_max))
            .runtime(Runtime::Tokio1)
            .build()
            .ok()?;
        let sweeper = Sweeper(tokio::spawn(sweep(pool.weak(), swaps, limits.sweep)).abort_handle());
        Some(Self { pool, sweeper: Arc::new(sweeper) })
    }

    pub(crate) async fn take(&self) -> Result<managed::Object<Manager<D>>, DialError> {
        self.pool.get().await.map_err(|error| match error {
            managed::PoolError::Backend(error) => error,
            managed::PoolError::Timeout(TimeoutType::Wait) | managed::PoolError::Closed => DialError::Exhausted,
            managed::PoolError::Timeout(TimeoutType::Create | TimeoutType::Recycle)
            | managed::PoolError::NoRuntimeSpecified
            | managed::PoolError::PostCreateHook(_) => DialError::Unreachable,
        })
    }

    /// Open connections, idle or at work.
    pub(crate) fn open(&self) -> usize {
        self.pool.status().size
    }
}

/// Closes idle connections of older publications at each swap, and now and then those that came back later.
///
/// Without it, a pool without traffic would keep old sessions open for ever, and the target's evidence would show the
/// old generation in use for ever.
async fn sweep<D: Dial>(pool: managed::WeakPool<Manager<D>>, mut swaps: watch::Receiver<u64>, every: Duration) {
    loop {
        if let Ok(Err(_)) = tokio::time::timeout(every, swaps.changed()).await {
            return;
        }
        let Some(pool) = pool.upgrade() else { return };
        let now = *swaps.borrow_and_update();
        let closed = pool.retain(|dialled, _| dialled.publication >= now).removed;
        if !closed.is_empty() {
            debug!(publication = now, closed = closed.len(), "closed idle connections of older publications");
        }
    }
}

struct Sweeper(AbortHandle);

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;
    use crate::credential::tests::credential;

    /// Dials wait for a permit of `gate`; a connection is the generation it was dialled with.
    #[derive(Clone)]
    struct Gated {
        gate: Arc<Semaphore>,
        begun: Arc<watch::Sender<usize>>,
        refuse_generation: u64,
        open: Arc<AtomicUsize>,
    }

    struct Connection {
        generation: u64,
        open: Arc<AtomicUsize>,
    }

    impl Drop for Connection {
        fn drop(&mut self) {
            self.open.fetch_sub(1, Ordering::SeqCst);
        }
    }

    impl Dial for Gated {
        type Connection = Connection;

        async fn dial(&self, credential: &Credential) -> Result<Connection, DialError> {
            self.begun.send_modify(|begun| *begun += 1);
            self.gate.acquire().await.unwrap().forget();
            if credential.generation() == self.refuse_generation {
                return Err(DialError::Refused { publication: credential.publication() });
            }
            self.open.fetch_add(1, Ordering::SeqCst);
            Ok(Connection { generation: credential.generation(), open: self.open.clone() })
        }

        fn is_closed(_: &Connection) -> bool {
            false
        }
    }

    fn gated(permits: usize, refuse_generation: u64) -> Gated {
        Gated {
            gate: Arc::new(Semaphore::new(permits)),
            begun: Arc::new(watch::Sender::new(0)),
            refuse_generation,
            open: Arc::default(),
        }
    }

    fn pool(live: &Live<Credential>, dial: &Gated) -> Pool<Gated> {
        let limits = Limits {
            connections_max: 4,
            wait_max: Duration::from_secs(20),
            newer_for: Duration::from_secs(20),
            sweep: Duration::from_millis(5),
        };
        Pool::new(live.clone(), dial.clone(), limits).unwrap()
    }

    async fn until(what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while !holds() {
            assert!(tokio::time::Instant::now() < deadline, "never: {what}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn a_dial_begun_before_the_swap_does_not_join_the_pool() {
        let (live, dial) = (Live::new(credential(1, 1)), gated(0, 0));
        let pool = pool(&live, &dial);
        let taking = tokio::spawn({
            let pool = pool.clone();
            async move { pool.take().await.map(|taken| taken.connection.generation) }
        });
        let mut begun = dial.begun.subscribe();
        begun.wait_for(|begun| *begun == 1).await.unwrap();
        let _ = live.offer(Arc::new(credential(2, 2)));
        dial.gate.add_permits(2);
        assert_eq!(taking.await.unwrap().unwrap(), 2, "the late one is thrown away and dialled again");
        assert_eq!(dial.open.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn idle_connections_go_at_the_swap_and_busy_ones_when_they_come_back() {
        let (live, dial) = (Live::new(credential(1, 1)), gated(100, 0));
        let pool = pool(&live, &dial);
        let (idle, busy) = (pool.take().await.unwrap(), pool.take().await.unwrap());
        drop(idle);
        let _ = live.offer(Arc::new(credential(2, 2)));
        until("the idle one is closed", || dial.open.load(Ordering::SeqCst) == 1).await;
        assert_eq!(busy.connection.generation, 1, "work under way goes on");
        drop(busy);
        until("the busy one is closed without anybody asking for it", || dial.open.load(Ordering::SeqCst) == 0).await;
        assert_eq!(pool.take().await.unwrap().connection.generation, 2);
    }

    #[tokio::test]
    async fn a_returned_connection_of_an_older_publication_is_not_handed_out() {
        let (live, dial) = (Live::new(credential(1, 1)), gated(100, 0));
        let pool = pool(&live, &dial);
        let taken = pool.take().await.unwrap();
        let _ = live.offer(Arc::new(credential(2, 1)));
        drop(taken);
        assert_eq!(pool.take().await.unwrap().publication, 2, "even where the generation is the same");
        until("one is open", || pool.open() == 1).await;
    }

    #[tokio::test]
    async fn a_refused_login_waits_for_a_newer_publication_and_tries_once_more() {
        let (live, dial) = (Live::new(credential(1, 1)), gated(100, 1));
        let pool = pool(&live, &dial);
        let taking = tokio::spawn({
            let pool = pool.clone();
            async move { pool.take().await.map(|taken| taken.connection.generation) }
        });
        let mut begun = dial.begun.subscribe();
        begun.wait_for(|begun| *begun == 1).await.unwrap();
        let _ = live.offer(Arc::new(credential(2, 2)));
        assert_eq!(taking.await.unwrap().unwrap(), 2);
    }

    #[tokio::test]
    async fn a_login_refused_twice_is_an_error_after_two_tries() {
        let (live, dial) = (Live::new(credential(1, 1)), gated(100, 1));
        let pool = pool(&live, &dial);
        let taking = tokio::spawn({
            let pool = pool.clone();
            async move { pool.take().await.map(|_| ()) }
        });
        let mut begun = dial.begun.subscribe();
        begun.wait_for(|begun| *begun == 1).await.unwrap();
        let _ = live.offer(Arc::new(credential(2, 1)));
        assert_eq!(taking.await.unwrap(), Err(DialError::Refused { publication: 2 }));
        assert_eq!(*begun.borrow(), 2);
    }

    #[tokio::test]
    async fn the_first_success_counts_as_use() {
        let (live, dial) = (Live::new(credential(7, 1)), gated(100, 0));
        assert_eq!(live.highest_used(), 0);
        let _taken = pool(&live, &dial).take().await.unwrap();
        assert_eq!(live.highest_used(), 7);
    }
}
