//! A program that rotates a credential of its own: a target, a generator and a schedule by trait, no server.
//!
//! `cargo run -p handover-manager --example embedded`
//!
//! The target here is a relay in memory with two accounts. One of yours would talk to the system that accepts the
//! credential; what each method must keep is written at [`handover_manager::port::Target`].
#![expect(clippy::print_stdout, reason = "a program whose account is its output")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use handover_manager::port::{Answer, Generate, Intent, Probe, Standing, State, Target, Verdict};
use handover_manager::schedule::{Missed, Repeats, Schedule};
use handover_manager::target::{Mark, Minter, Occupant, SeesUse, Slots, Tally, TargetCapability};
use handover_manager::{Builder, Ending, Fault, FaultKind, Generation, Group, GroupId, MasterKey, Reach, Secret, Slot};

type Trouble = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Trouble> {
    let folder = tempfile::tempdir()?;
    run(folder.path()).await
}

/// The whole program: rotate by order, then by schedule, and show what came of it.
pub(crate) async fn run(folder: &std::path::Path) -> Result<(), Trouble> {
    let relay = Relay::default();
    let name = GroupId::parse("relay").map_err(|bad| bad.why)?;
    let group = Group::new(name.clone(), Arc::new(relay.clone()))
        .presented_by("sender")
        .map_err(|bad| bad.why)?
        .generator(Arc::new(Numbered::default()))
        .fields(|slot| vec![("account".to_owned(), format!("relay-{}", if slot.0 == 0 { "a" } else { "b" }))])
        .policy(|policy| {
            policy.passes_min = 1;
            policy.quiet_min = Duration::from_millis(200);
            policy.brake_for = Duration::from_millis(200);
            policy.poll = Duration::from_millis(50);
        });
    let manager = Builder::new(folder, MasterKey::create(&folder.join("master.key"))?).group(group).start().await?;

    // The consumer: it uses what is published, and says so.
    let sender = manager.presenter(&name, "sender")?;
    let (used, watched) = (relay.clone(), sender.clone());
    let consumer = tokio::spawn(async move {
        let mut publication = 0;
        while let Ok(published) = watched.next(publication).await {
            publication = published.publication;
            println!("sender: publication {publication}, let in: {}", used.lets_in(&published.value));
            if watched.acknowledge(&published, Reach::Loaded).await.is_err() {
                break;
            }
        }
    });

    for _ in 0..2 {
        let report = manager.rotate(&name).await?;
        let phases: Vec<String> =
            report.phases.iter().map(|(phase, time)| format!("{phase} {} ms", time.as_millis())).collect();
        println!("generation {}: {:?} in {:?} ({})", report.to, report.ending, report.took, phases.join(", "));
        assert_eq!(report.ending, Ending::Success);
    }

    let soon = Schedule {
        repeats: Repeats::Every(Duration::from_secs(1)),
        openings: None,
        spread: Duration::ZERO,
        jitter: Duration::ZERO,
        missed: Missed::RunOnce,
    };
    manager.schedule(&name, Some(soon)).await?;
    let mut scheduled = Vec::new();
    while scheduled.is_empty() {
        tokio::time::sleep(Duration::from_millis(100)).await;
        scheduled = manager.process_due().await?.reports;
    }
    println!("by schedule: generation {}: {:?}", scheduled[0].to, scheduled[0].ending);

    let statistics = manager.statistics();
    println!(
        "{} of {} rotations succeeded; accounts that let anybody in: {}",
        statistics.succeeded,
        statistics.started,
        relay.accepting()
    );
    consumer.abort();
    manager.stop().await;
    Ok(())
}

/// Mints values that can be told apart, as an example; they are random all the same.
#[derive(Default)]
struct Numbered(AtomicU64);

impl Generate for Numbered {
    fn generate<'a>(&'a self, _group: &'a GroupId, _generation: Generation) -> Answer<'a, Secret> {
        Box::pin(std::future::ready(self.numbered()))
    }
}

impl Numbered {
    fn numbered(&self) -> Result<Secret, Fault> {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        let random = handover_manager::Random::new(&handover_manager::RandomRule::default())
            .map_err(|bad| Fault::untouched(FaultKind::Misconfigured, bad.to_string()))?
            .mint()?;
        #[expect(clippy::disallowed_methods, reason = "the value is made here")]
        let value = [format!("{number}-").as_bytes(), random.expose()].concat();
        Ok(Secret::from_bytes(value))
    }
}

/// A relay with two accounts.
#[derive(Clone, Default)]
struct Relay(Arc<Mutex<BTreeMap<Slot, Account>>>);

#[derive(Default)]
struct Account {
    generation: Option<Generation>,
    password: Option<Secret>,
    locked: bool,
    mark: Option<Mark>,
}

impl Relay {
    fn accounts(&self) -> MutexGuard<'_, BTreeMap<Slot, Account>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lets_in(&self, value: &Secret) -> bool {
        let accounts = self.accounts();
        accounts
            .values()
            .any(|account| !account.locked && account.password.as_ref().is_some_and(|own| own.matches(value)))
    }

    fn accepting(&self) -> usize {
        self.accounts().values().filter(|account| !account.locked && account.password.is_some()).count()
    }

    /// Compares the mark and leaves it, in the same step as the change: what comes late from a process that was replaced
    /// changes nothing.
    fn change(&self, intent: &Intent, change: impl FnOnce(&mut Account)) -> Result<(), Fault> {
        let mut accounts = self.accounts();
        let account = accounts.entry(intent.who.slot).or_default();
        if account.mark.is_some_and(|stands| stands > intent.mark) {
            return Err(Fault::untouched(FaultKind::Fenced, "a higher mark stands at this account"));
        }
        account.mark = Some(intent.mark);
        account.generation = Some(intent.who.generation);
        change(account);
        Ok(())
    }
}

fn answer<T: Send + 'static>(answer: Result<T, Fault>) -> Answer<'static, T> {
    Box::pin(std::future::ready(answer))
}

impl Target for Relay {
    fn capability(&self) -> TargetCapability {
        TargetCapability {
            slots: Slots::Fixed(2),
            sees_use: SeesUse::Counted,
            fences: true,
            verifies_rights: false,
            minter: Minter::Us,
        }
    }

    fn preflight(&self) -> Answer<'_, Vec<Fault>> {
        answer(Ok(Vec::new()))
    }

    fn create<'a>(&'a self, intent: &'a Intent, value: &'a Secret) -> Answer<'a, ()> {
        answer(self.change(intent, |account| {
            account.password = Some(value.duplicate());
            account.locked = false;
        }))
    }

    fn probe<'a>(
        &'a self,
        _: Occupant,
        value: &'a Secret,
        control: Option<(Occupant, &'a Secret)>,
    ) -> Answer<'a, Probe> {
        answer(Ok(match (self.lets_in(value), control) {
            (true, _) => Probe::Accepted,
            // Refused is believed only where another login passes in the same round.
            (false, Some((_, control))) if self.lets_in(control) => Probe::Refused,
            (false, _) => Probe::Unknown,
        }))
    }

    fn verify<'a>(&'a self, _: Occupant, value: &'a Secret, _: Option<(Occupant, &'a Secret)>) -> Answer<'a, Verdict> {
        let refused = Verdict::Refused { endpoint: "relay".to_owned() };
        answer(Ok(if self.lets_in(value) { Verdict::Passed } else { refused }))
    }

    fn observe<'a>(&'a self, _: &'a [Occupant]) -> Answer<'a, Tally> {
        // Nobody keeps a session at this relay.
        answer(Ok(Tally::None))
    }

    fn end_sessions<'a>(&'a self, _: &'a [Occupant]) -> Answer<'a, ()> {
        answer(Ok(()))
    }

    fn disable<'a>(&'a self, intent: &'a Intent) -> Answer<'a, ()> {
        answer(self.change(intent, |account| account.locked = true))
    }

    fn enable<'a>(&'a self, intent: &'a Intent) -> Answer<'a, ()> {
        answer(self.change(intent, |account| account.locked = false))
    }

    fn destroy<'a>(&'a self, intent: &'a Intent) -> Answer<'a, ()> {
        answer(self.change(intent, |account| account.password = None))
    }

    fn census(&self) -> Answer<'_, Vec<Standing>> {
        let accounts = self.accounts();
        let standing = |slot: Slot| {
            let none = Standing { slot, generation: None, mark: None, state: State::Absent };
            accounts.get(&slot).map_or(none, |account| Standing {
                slot,
                generation: account.generation,
                mark: account.mark,
                state: match (&account.password, account.locked) {
                    (None, _) => State::Forgotten,
                    (Some(_), true) => State::Disabled,
                    (Some(_), false) => State::Accepting,
                },
            })
        };
        answer(Ok([Slot(0), Slot(1)].map(standing).to_vec()))
    }
}
