//! Every store there is, put through the suite of its port.
#![cfg(all(feature = "store-embedded", feature = "store-vault"))]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod vault;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use handover_adapters::seal::{MasterKey, Sealer};
use handover_adapters::store::StoreKind;
use handover_adapters::store::embedded::Embedded;
use handover_core::port::{Answer, Head, SecretStore, Value};
use handover_core::{Generation, GroupId, Publication, StoreCapability, StoreVersion};
use handover_testkit::conformance::store::{Harness, Intrusion, Seen, failures, run};
use handover_testkit::servers::OpenBao;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_store_keeps_the_promises_of_its_port() {
    for kind in StoreKind::ALL {
        // No wildcard: a store without a harness does not compile.
        let harness: Arc<dyn Harness> = match kind {
            StoreKind::Embedded => Arc::new(EmbeddedHarness::new()),
            StoreKind::Vault => {
                let server = Arc::new(OpenBao::start().unwrap_or_else(|error| panic!("{error}")));
                Arc::new(vault::VaultHarness::on(server, "conformance", 3_600))
            }
        };
        run(harness).await;
    }
}

/// The suite itself is tested: each of these mistakes must be found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_finds_every_mistake() {
    let expected: [(Mistake, &[&str]); 7] = [
        (
            Mistake::FencesByReadingFirst,
            &[
                "stale_expectation_is_refused",
                "late_write_is_refused_after_a_confirmation",
                "lost_reply_is_told_by_the_publication",
                "of_writers_at_once_exactly_one_wins",
            ],
        ),
        (Mistake::SkipsConfirming, &["confirming_moves_the_version", "late_write_is_refused_after_a_confirmation"]),
        (Mistake::ForgetsThePublication, &["lost_reply_is_told_by_the_publication"]),
        (Mistake::NeverDiscards, &["discarding_makes_reading_fail", "discarding_the_current_one_is_refused"]),
        (Mistake::PutsAndPointsAtOnce, &["what_is_staged_is_not_seen"]),
        (Mistake::ReadsNothingBack, &["what_is_staged_is_read_back_as_it_was_given"]),
        (Mistake::KeepsWhatWasStaged, &["unstaging_takes_the_copy_and_nothing_else"]),
    ];
    for (mistake, cases) in expected {
        let harness = Mistaken { right: EmbeddedHarness::new(), mistake };
        let failed = failures(Arc::new(harness)).await;
        for case in cases {
            assert!(failed.contains(case), "{mistake:?} got past {case}; found by {failed:?}");
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Mistake {
    /// Reads the version just before it writes: last writer wins, with extra steps.
    FencesByReadingFirst,
    /// Does nothing if the value is current already.
    SkipsConfirming,
    /// Has no label at its head.
    ForgetsThePublication,
    /// Says that it discarded.
    NeverDiscards,
    /// Makes current what was only put.
    PutsAndPointsAtOnce,
    /// Says that what is staged is as it was given.
    ReadsNothingBack,
    /// Says that it took away what was staged.
    KeepsWhatWasStaged,
}

struct Mistaken {
    right: EmbeddedHarness,
    mistake: Mistake,
}

struct MistakenStore {
    right: Arc<dyn SecretStore>,
    mistake: Mistake,
}

impl SecretStore for MistakenStore {
    fn capability(&self) -> StoreCapability {
        self.right.capability()
    }

    fn head<'a>(&'a self, group: &'a GroupId) -> Answer<'a, Option<Head>> {
        Box::pin(async move {
            let head = self.right.head(group).await?;
            match self.mistake {
                Mistake::ForgetsThePublication => Ok(head.map(|head| Head { publication: None, ..head })),
                Mistake::FencesByReadingFirst
                | Mistake::SkipsConfirming
                | Mistake::NeverDiscards
                | Mistake::PutsAndPointsAtOnce
                | Mistake::ReadsNothingBack
                | Mistake::KeepsWhatWasStaged => Ok(head),
            }
        })
    }

    fn put<'a>(&'a self, group: &'a GroupId, value: &'a Value<'a>) -> Answer<'a, ()> {
        self.right.put(group, value)
    }

    fn stage<'a>(&'a self, group: &'a GroupId, value: &'a Value<'a>) -> Answer<'a, ()> {
        Box::pin(async move {
            if matches!(self.mistake, Mistake::PutsAndPointsAtOnce) {
                let head = self.right.head(group).await?;
                let expect = head.map(|head| head.version);
                self.right.point(group, value, Publication(0), expect.as_ref()).await?;
            }
            self.right.stage(group, value).await
        })
    }

    fn is_staged<'a>(&'a self, group: &'a GroupId, value: &'a Value<'a>) -> Answer<'a, bool> {
        Box::pin(async move {
            Ok(matches!(self.mistake, Mistake::ReadsNothingBack) || self.right.is_staged(group, value).await?)
        })
    }

    fn unstage<'a>(&'a self, group: &'a GroupId, generation: Generation) -> Answer<'a, ()> {
        Box::pin(async move {
            if matches!(self.mistake, Mistake::KeepsWhatWasStaged) {
                return Ok(());
            }
            self.right.unstage(group, generation).await
        })
    }

    fn retained<'a>(&'a self, group: &'a GroupId) -> Answer<'a, BTreeSet<Generation>> {
        self.right.retained(group)
    }

    fn point<'a>(
        &'a self,
        group: &'a GroupId,
        value: &'a Value<'a>,
        publication: Publication,
        expect: Option<&'a StoreVersion>,
    ) -> Answer<'a, StoreVersion> {
        Box::pin(async move {
            let head = self.right.head(group).await?;
            match (self.mistake, head) {
                (Mistake::FencesByReadingFirst, head) => {
                    let just_read = head.map(|head| head.version);
                    self.right.point(group, value, publication, just_read.as_ref()).await
                }
                (Mistake::SkipsConfirming, Some(head)) if head.generation == Some(value.who.generation) => {
                    Ok(head.version)
                }
                _ => self.right.point(group, value, publication, expect).await,
            }
        })
    }

    fn discard<'a>(&'a self, group: &'a GroupId, generation: Generation) -> Answer<'a, ()> {
        Box::pin(async move {
            match self.mistake {
                Mistake::NeverDiscards => Ok(()),
                Mistake::FencesByReadingFirst
                | Mistake::SkipsConfirming
                | Mistake::ForgetsThePublication
                | Mistake::PutsAndPointsAtOnce
                | Mistake::ReadsNothingBack
                | Mistake::KeepsWhatWasStaged => self.right.discard(group, generation).await,
            }
        })
    }
}

impl Harness for Mistaken {
    fn client(&self) -> Arc<dyn SecretStore> {
        Arc::new(MistakenStore { right: self.right.client(), mistake: self.mistake })
    }

    fn consumer_sees<'a>(&'a self, group: &'a GroupId) -> Answer<'a, Option<Seen>> {
        self.right.consumer_sees(group)
    }

    fn readable<'a>(&'a self, group: &'a GroupId, generation: Generation) -> Answer<'a, usize> {
        self.right.readable(group, generation)
    }

    fn intrude<'a>(&'a self, group: &'a GroupId) -> Answer<'a, Intrusion> {
        self.right.intrude(group)
    }

    fn at_rest(&self) -> Vec<u8> {
        self.right.at_rest()
    }
}

struct EmbeddedHarness {
    dir: tempfile::TempDir,
    sealer: Arc<Sealer>,
    store: Embedded,
}

impl EmbeddedHarness {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sealer = Arc::new(Sealer::new(MasterKey::create(&dir.path().join("master.key")).unwrap()));
        let store = Embedded::open(dir.path().join("store.db"), Arc::clone(&sealer)).unwrap();
        Self { dir, sealer, store }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("store.db")
    }
}

impl Harness for EmbeddedHarness {
    fn client(&self) -> Arc<dyn SecretStore> {
        Arc::new(Embedded::open(self.path(), Arc::clone(&self.sealer)).unwrap())
    }

    fn consumer_sees<'a>(&'a self, group: &'a GroupId) -> Answer<'a, Option<Seen>> {
        Box::pin(async move {
            let current = self.store.read(group).await?;
            Ok(current.map(|current| Seen { fields: current.fields, secret: current.secret }))
        })
    }

    fn readable<'a>(&'a self, group: &'a GroupId, generation: Generation) -> Answer<'a, usize> {
        Box::pin(async move {
            let labels = self.store.labels(group).await?;
            let count = labels.iter().filter(|label| label.generation == generation).count();
            assert_eq!(self.store.read_generation(group, generation).await?.is_some(), count > 0);
            Ok(count)
        })
    }

    fn intrude<'a>(&'a self, group: &'a GroupId) -> Answer<'a, Intrusion> {
        Box::pin(async move {
            let file = rusqlite::Connection::open(self.path()).unwrap();
            let edited = file.execute("UPDATE head SET publication = 0 WHERE group_name = ?1", [group.as_str()]);
            assert_eq!(edited.unwrap(), 1);
            Ok(Intrusion::Corrupt)
        })
    }

    fn at_rest(&self) -> Vec<u8> {
        let entries = std::fs::read_dir(self.dir.path()).unwrap();
        let files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        assert!(files.iter().any(|file| file.extension().is_some_and(|extension| extension == "db-wal")));
        files.iter().flat_map(|file| std::fs::read(file).unwrap()).collect()
    }
}
