//! Every kind of target against the suite that all targets pass, on real servers.
#![cfg(all(feature = "target-postgres", feature = "target-redis"))]

#[allow(dead_code, reason = "each test file uses a part of it")]
mod support;

use handover_adapters::target::TargetKind;
use handover_testkit::conformance::target::Case;

/// Each kind with its cases as tests of their own, so that one that fails is named.
macro_rules! kind {
    ($($name:ident is $kind:expr),+) => {
        $(
            mod $name {
                use super::TargetKind;

                handover_testkit::target_conformance!(run);

                fn run(case: super::Case) {
                    super::run($kind, case);
                }
            }
        )+

        #[test]
        fn every_kind_is_run() {
            // Where there is no target, there is nothing to ask.
            assert_eq!(TargetKind::ALL, [$($kind,)+ TargetKind::None]);
        }
    };
}

kind!(postgres is TargetKind::Postgres, redis is TargetKind::Redis);

fn run(kind: TargetKind, case: Case) {
    // No wildcard: a kind without a harness does not compile.
    match kind {
        TargetKind::Postgres => support::with_server(|harness| async move { case(&harness).await }),
        TargetKind::Redis => support::redis::with_redis(|harness| async move { case(&harness).await }),
        TargetKind::None => panic!("there is no server to run {kind:?} on"),
    }
}

/// Users that come and go, and their marks outlive them.
mod versioned_users_of_postgresql {
    use handover_testkit::conformance::target::Case;

    handover_testkit::target_conformance!(run);

    fn run(case: Case) {
        super::support::with_server(|harness| async move { case(&harness.versioned()).await });
    }
}
