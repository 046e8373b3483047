//! What a target does when it is cut off, when replies are lost, and when two act at once.

use std::future::Future;
use std::net::TcpListener;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use handover_core::port::{Probe, State};
use handover_core::{Fault, FaultKind, Mark, Touched};
use handover_secret::Secret;

use super::{Bench, FIRST, Harness, SECOND, Verb, eventually, mark, standing, value};
use crate::servers::Proxy;

/// More awaits or replies than any act has.
const STEPS_MAX: u64 = 200;

/// How far is gone back where the reply to a finished act was not among those that were lost.
const REPLIES_BACK: usize = 3;

/// Each act is dropped after its first poll, its second, and so on. What the census says then is true, and the act can
/// be done again.
pub async fn cut_off_at_each_await(harness: &dyn Harness) {
    let bench = harness.fresh().await;
    let control = value();
    Verb::Create.must(&*bench, FIRST, mark(1, 2), &control).await;
    let mut version = 10;
    let mut held = value();
    Verb::Create.must(&*bench, SECOND, mark(2, version), &held).await;
    for verb in [Verb::Create, Verb::Disable, Verb::Enable, Verb::Destroy] {
        let mut done = false;
        for polls in 1..STEPS_MAX {
            version += 1;
            let before = standing(&*bench, SECOND.slot).await;
            let candidate = value();
            let intent = verb.intent(&*bench, SECOND, mark(2, version));
            let outcome = CutAfter { polls, act: pin!(verb.ask(bench.target(), &intent, &candidate)) }.await;
            bench.settled().await;
            let after = standing(&*bench, SECOND.slot).await;
            let landed = after.mark == Some(intent.mark);
            assert!(landed || after == before, "{verb:?} cut off after {polls} polls left half: {after:?}");
            if landed {
                assert_eq!(after.state, verb.leads_to());
                if verb == Verb::Create {
                    held = candidate;
                }
            }
            login_agrees(&*bench, &held, after.state, &control).await;
            match outcome {
                Some(Ok(())) => {
                    assert!(landed, "{verb:?} said that it was done");
                    done = true;
                    break;
                }
                Some(Err(fault)) => panic!("{verb:?} failed after an earlier one was cut off: {fault}"),
                None => {}
            }
        }
        assert!(done, "{verb:?} never finished within {STEPS_MAX} polls");
    }
}

/// The server's replies are lost from the first on, from the second on, and so on. *Nothing* is claimed only where
/// nothing was done; and at least once the act was done and its reply lost.
pub async fn a_reply_is_lost_at_each_step(harness: &dyn Harness) {
    let bench = harness.fresh().await;
    let control = value();
    Verb::Create.must(&*bench, FIRST, mark(1, 2), &control).await;
    let proxy = Proxy::start(bench.port()).expect("a proxy");
    let target = bench.detour(proxy.port());
    let mut version = 10;
    let mut held = value();
    Verb::Create.must(&*bench, SECOND, mark(2, version), &held).await;
    for verb in [Verb::Create, Verb::Disable, Verb::Enable, Verb::Destroy] {
        let (mut done, mut done_unheard, mut replies) = (false, false, 0_usize);
        for _ in 0..STEPS_MAX {
            version += 1;
            let before = standing(&*bench, SECOND.slot).await;
            proxy.lose_replies_after(replies);
            let candidate = value();
            let intent = verb.intent(&*bench, SECOND, mark(2, version));
            let outcome = verb.ask(&*target, &intent, &candidate).await;
            bench.settled().await;
            let after = standing(&*bench, SECOND.slot).await;
            let landed = after.mark == Some(intent.mark);
            assert!(landed || after == before, "{verb:?} without reply {replies} left half: {after:?}");
            if landed && verb == Verb::Create {
                held = candidate;
            }
            login_agrees(&*bench, &held, after.state, &control).await;
            match outcome {
                Ok(()) => {
                    assert!(landed, "{verb:?} said that it was done");
                    done = true;
                    if done_unheard {
                        break;
                    }
                    // What replies come in is not the same each time, so that the last one may have been stepped over.
                    replies = replies.saturating_sub(REPLIES_BACK);
                }
                Err(Fault { touched: Touched::Nothing, detail, .. }) => {
                    replies += 1;
                    assert!(!landed, "{verb:?} without reply {replies} claims that nothing was touched: {detail}");
                }
                Err(Fault { touched: Touched::Unknown, .. }) => {
                    replies += 1;
                    done_unheard |= landed;
                }
            }
        }
        assert!(done, "{verb:?} never finished within {STEPS_MAX} replies");
        assert!(done_unheard, "{verb:?}: no reply to a finished act was lost, so the case proves nothing");
    }
    assert!(proxy.cuts() > 0);
}

/// Two executors both believe that they are in charge. Whatever the order, the higher mark wins.
pub async fn two_executors_at_once(harness: &dyn Harness) {
    let bench = harness.fresh().await;
    let control = value();
    Verb::Create.must(&*bench, FIRST, mark(1, 2), &control).await;
    for round in 0..12 {
        let low = mark(2, 10 + 2 * round);
        let high = mark(2, 11 + 2 * round);
        let held = value();
        Verb::Create.must(&*bench, SECOND, low, &held).await;
        let (stale, newest) =
            tokio::join!(insist(&*bench, Verb::Disable, low, &held), insist(&*bench, Verb::Enable, high, &held));
        newest.unwrap_or_else(|fault| panic!("the higher mark must win: {fault}"));
        if let Err(fault) = stale {
            assert_eq!((fault.kind, fault.touched), (FaultKind::Fenced, Touched::Nothing), "{fault}");
        }
        let found = standing(&*bench, SECOND.slot).await;
        assert_eq!((found.mark, found.state), (Some(high), State::Accepting), "round {round}");
        assert!(bench.session(SECOND.slot, &held).await.is_some());
    }
}

/// A server that takes the connection and never answers is unreachable, within the connector's own limit.
pub async fn a_black_hole_is_unreachable(harness: &dyn Harness) {
    let bench = harness.fresh().await;
    let (first, second) = (value(), value());
    Verb::Create.must(&*bench, FIRST, mark(1, 2), &first).await;
    Verb::Create.must(&*bench, SECOND, mark(2, 8), &second).await;
    let hole = TcpListener::bind(("127.0.0.1", 0)).expect("a listener");
    let target = bench.detour(hole.local_addr().expect("an address").port());
    let begun = Instant::now();
    let fault = target.census().await.expect_err("nobody answers");
    assert_eq!((fault.kind, fault.touched), (FaultKind::Unreachable, Touched::Nothing), "{fault}");
    let fault =
        target.create(&Verb::Create.intent(&*bench, SECOND, mark(2, 9)), &second).await.expect_err("nobody answers");
    assert_eq!((fault.kind, fault.touched), (FaultKind::Unreachable, Touched::Nothing), "{fault}");
    assert_eq!(target.probe(FIRST, &first, Some((SECOND, &second))).await, Ok(Probe::Unknown));
    let verdict = target.verify(SECOND, &second, Some((FIRST, &first))).await;
    assert_eq!(verdict.map_err(|fault| fault.kind), Err(FaultKind::Unreachable), "never a pass");
    let tally = target.observe(&[FIRST]).await;
    assert!(matches!(tally, Ok(handover_core::Tally::Unknown) | Err(_)), "never none: {tally:?}");
    assert!(begun.elapsed() < Duration::from_secs(60), "bounded by the connector");
}

/// Repeats while the target is busy, as the engine does.
async fn insist(bench: &dyn Bench, verb: Verb, mark: Mark, value: &Secret) -> Result<(), Fault> {
    let intent = verb.intent(bench, SECOND, mark);
    let target = bench.target();
    eventually(
        "the target not to be busy",
        || verb.ask(target, &intent, value),
        |outcome| !matches!(outcome, Err(Fault { kind: FaultKind::Busy, .. })),
    )
    .await
}

async fn login_agrees(bench: &dyn Bench, held: &Secret, state: State, control: &Secret) {
    let probe = bench.target().probe(SECOND, held, Some((FIRST, control))).await;
    let expected = if state == State::Accepting { Probe::Accepted } else { Probe::Refused };
    assert_eq!(probe, Ok(expected), "the census says {state:?}");
}

/// Polls an act so many times and then gives up; `None` if it was not ready by then.
struct CutAfter<'a, F> {
    polls: u64,
    act: Pin<&'a mut F>,
}

impl<F: Future> Future for CutAfter<'_, F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            return Poll::Ready(None);
        }
        self.polls -= 1;
        match self.act.as_mut().poll(context) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            // The last poll was made: what it started is under way, and nobody comes back for it.
            Poll::Pending if self.polls == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}
