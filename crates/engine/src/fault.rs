//! Fault points: named places at which a test stops or kills the process.
//!
//! Without the feature `fault-points` a point is nothing at all. With it, the variables in [`crate::environment`]
//! decide. Names are `before:` or `after:` and then the kind of an effect, the name of a port's method, or
//! `commit:` and the phase that is being committed.

/// Passes a point. Blocks or kills where the environment says so.
#[cfg(not(feature = "fault-points"))]
#[inline]
pub fn point(_edge: &str, _name: &str) {}

/// Passes a point. Blocks or kills where the environment says so.
#[cfg(feature = "fault-points")]
pub fn point(edge: &str, name: &str) {
    armed::point(&format!("{edge}:{name}"));
}

/// What is about to happen.
pub const BEFORE: &str = "before";
/// What has just happened.
pub const AFTER: &str = "after";

#[cfg(feature = "fault-points")]
mod armed {
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use rustix::process::{Signal, getpid, kill_process};

    use crate::environment::{FAULT_POINT, FAULT_TRACE};

    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(super) enum Then {
        Kill,
        Pause,
        Stop,
    }

    #[derive(PartialEq, Eq, Debug)]
    pub(super) struct Order {
        pub(super) name: String,
        pub(super) nth: u64,
        pub(super) then: Then,
    }

    /// How long the process takes to settle, and then to stand still.
    const SETTLE: Duration = Duration::from_millis(300);

    static ORDER: OnceLock<Option<Order>> = OnceLock::new();
    static REACHED: AtomicU64 = AtomicU64::new(0);

    pub(super) fn point(name: &str) {
        trace(name);
        let Some(order) = ORDER.get_or_init(|| std::env::var(FAULT_POINT).ok().map(|text| parse_or_exit(&text))) else {
            return;
        };
        if order.name == name && REACHED.fetch_add(1, Ordering::SeqCst) + 1 == order.nth {
            obey(name, order.then);
        }
    }

    pub(super) fn parse(text: &str) -> Option<Order> {
        let (place, then) = text.rsplit_once('=')?;
        let then = match then {
            "kill" => Then::Kill,
            "pause" => Then::Pause,
            "stop" => Then::Stop,
            _ => return None,
        };
        let (name, nth) = match place.rsplit_once('#') {
            Some((name, nth)) => (name, nth.parse().ok()?),
            None => (place, 1),
        };
        Some(Order { name: name.to_owned(), nth, then })
    }

    /// An order that does not parse must not turn a crash test into a test without a crash.
    fn parse_or_exit(text: &str) -> Order {
        parse(text).unwrap_or_else(|| {
            drop(writeln!(std::io::stderr(), "{FAULT_POINT} is not NAME#N=kill, NAME#N=pause or NAME#N=stop"));
            std::process::exit(2);
        })
    }

    fn obey(name: &str, then: Then) {
        // The line goes out whole or not at all; a closed standard error must not turn the order into nothing.
        let mut stderr = std::io::stderr().lock();
        drop(writeln!(stderr, "fault point reached: {name}"));
        drop(stderr.flush());
        drop(stderr);
        if then == Then::Stop {
            // What else is under way comes to its end: one that stands still in a transaction keeps its files locked.
            std::thread::sleep(SETTLE);
        }
        let signal = match then {
            Then::Kill => Some(Signal::KILL),
            Then::Pause => None,
            Then::Stop => Some(Signal::STOP),
        };
        // If a signal could not be sent, the thread blocks below and the test that waits for its effect says so.
        let sent = signal.is_some_and(|signal| kill_process(getpid(), signal).is_ok());
        if sent && then == Then::Stop {
            // Another thread may take the signal, and this one stand still a moment later. It goes on when it is told to.
            std::thread::sleep(SETTLE);
            return;
        }
        loop {
            std::thread::park();
        }
    }

    fn trace(name: &str) {
        static PATH: OnceLock<Option<std::ffi::OsString>> = OnceLock::new();
        let Some(path) = PATH.get_or_init(|| std::env::var_os(FAULT_TRACE)) else { return };
        if let Ok(mut file) = OpenOptions::new().create(true).append(true).open(path) {
            drop(file.write_all(format!("{name}\n").as_bytes()));
        }
    }
}

#[cfg(all(test, feature = "fault-points"))]
mod tests {
    use super::armed::{Order, Then, parse};

    #[test]
    fn orders_are_parsed() {
        let order = |name: &str, nth, then| Some(Order { name: name.to_owned(), nth, then });
        assert_eq!(parse("after:accept#2=kill"), order("after:accept", 2, Then::Kill));
        assert_eq!(parse("before:commit:apply=pause"), order("before:commit:apply", 1, Then::Pause));
        assert_eq!(parse("before:refuse#1=stop"), order("before:refuse", 1, Then::Stop));
        assert_eq!(parse("after:accept#x=kill"), None);
        assert_eq!(parse("after:accept=sleep"), None);
    }
}
