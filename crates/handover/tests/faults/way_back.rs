//! Rollbacks, and what is too late for one.

use handover_testkit::rig::GROUP;

use crate::stage::{POLICY, Stage, alone, both};

/// F50: the candidate stays valid until nobody uses it.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_with_consumers_on_both_generations_refuses_neither() {
    let stage = Stage::set(POLICY, both()).await;
    let old = stage.consumer.live.current();
    stage.order("rotate");
    stage.comes_to("propagate").await;
    let new = stage.consumer.holds(2).await;
    let busy = stage.session(&new).await;
    stage.order("rollback");
    stage.consumer.holds(1).await;
    // It may be waited for whoever never moved, too: the pointer went back under a publication of its own.
    stage.wait("the way back", |status| status["rotation"]["phase"] == "return").await;
    stage.slow_moves();
    let status = stage.waits_for("in_use").await;
    assert_eq!(status["rotation"]["phase"], "quiet", "{status:#}");
    assert!(stage.lets_in(&old).await && stage.lets_in(&new).await, "both are valid while one is in use");
    assert!(busy.simple_query("SELECT 1").await.is_ok(), "its work goes on");
    drop(busy);
    stage.ends_as("rolled_back").await;
    assert!(stage.lets_in(&old).await && !stage.lets_in(&new).await, "and then it is revoked");
}

/// F51: in Destroy, and after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_past_the_point_of_no_return_is_refused_with_the_way_forward() {
    let stage = Stage::set(POLICY, alone()).await;
    stage.rig.stop().unwrap();
    stage.rig.start(&[("HANDOVER_FAULT_POINT", "before:destroy#1=pause")]).unwrap();
    stage.order("rotate");
    stage.comes_to("destroy").await;
    let refused = || {
        let output = stage.rig.run(&["rollback", GROUP]).unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("\nhint: "), "{said}");
        said
    };
    let said = refused();
    assert!(said.contains("rotate"), "it offers a new rotation: {said}");
    stage.rig.kill();
    stage.rig.start(&[]).unwrap();
    stage.ends_as("success").await;
    refused();
    stage.order("rotate");
    stage.ends_as("success").await;
}
