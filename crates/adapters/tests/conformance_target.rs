//! Every kind of target against the suite that all targets pass, on real servers.
#![cfg(feature = "target-postgres")]

#[allow(dead_code, reason = "each test file uses a part of it")]
mod support;

use handover_adapters::target::TargetKind;
use handover_testkit::conformance::target::Case;

handover_testkit::target_conformance!(run);

fn run(case: Case) {
    for kind in TargetKind::ALL {
        // No wildcard: a kind without a harness does not compile.
        match kind {
            TargetKind::Postgres => {
                support::with_server(|harness| async move { case(&harness).await });
            }
        }
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
