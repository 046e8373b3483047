//! The suite of providers that mint, on the fake one; and that it finds mistakes.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;

use handover_core::GroupId;
use handover_core::port::Target;
use handover_testkit::conformance::provider::{Bench, run};
use handover_testkit::conformance::target::Wait;
use handover_testkit::fake::{FakeProvider, Mistake, Script};

struct Fake {
    group: GroupId,
    provider: FakeProvider,
}

impl Fake {
    fn fresh(mistake: Option<Mistake>) -> Box<dyn Bench> {
        let group = GroupId::parse("app").unwrap();
        let provider = FakeProvider::new(&Script::default(), &group, 2);
        if let Some(mistake) = mistake {
            provider.make(mistake);
        }
        Box::new(Self { group, provider })
    }
}

impl Bench for Fake {
    fn target(&self) -> &dyn Target {
        &self.provider
    }

    fn group(&self) -> &GroupId {
        &self.group
    }

    fn add_foreign(&self, label: &str) -> Wait<'_, ()> {
        self.provider.add_foreign(label);
        Box::pin(std::future::ready(()))
    }

    fn labels(&self) -> Wait<'_, Vec<String>> {
        let mut labels = self.provider.labels();
        labels.sort();
        Box::pin(std::future::ready(labels))
    }
}

#[tokio::test]
async fn the_fake_provider_conforms() {
    run(|| Fake::fresh(None)).await;
}

#[tokio::test]
async fn mistakes_are_found() {
    for mistake in Mistake::ALL {
        let broken = Arc::new(move || Fake::fresh(Some(mistake)));
        let ended = tokio::spawn(async move { run(&*broken).await }).await;
        assert!(ended.is_err_and(|error| error.is_panic()), "{mistake:?} was not found");
    }
}
