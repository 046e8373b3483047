use std::sync::Arc;

use handover_core::port::{Commit, Delivery};
use handover_core::{ConsumerId, Epoch, FaultKind, Generation, Publication, Role, RowVersion, Touched};

use super::{Harness, World, canary, entry, group, minted};

cases! {
    a_forgotten_group_leaves_its_history_only,
    a_group_that_moved_on_is_not_forgotten,
    a_forgotten_group_may_begin_anew,
}

async fn a_forgotten_group_leaves_its_history_only(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    let (a, b) = (group("a"), group("b"));
    let worker = ConsumerId::parse("worker").expect("a good name");
    for name in [&a, &b] {
        world.commit(Commit { candidate: minted(name, 1, 1), ..world.step(name, None) }).await.expect("first");
        world.commit(Commit { candidate: minted(name, 2, 1), ..world.step(name, Some(1)) }).await.expect("second");
        let delivery = Delivery { publication: Publication(1), generation: Generation(1), nonce: vec![7; 32] };
        world.state.delivered(name, &worker, Role::Presenter, &delivery).await.expect("delivered");
    }
    world.state.forget(&a, RowVersion(2), world.epoch, entry("removed", 9)).await.expect("forgotten");

    let world = world.reopened().await;
    assert!(world.state.load(&a).await.expect("a load").is_none());
    assert_eq!(world.state.groups().await.expect("groups"), std::slice::from_ref(&b));
    for generation in [1, 2] {
        assert!(world.value(&a, generation, 1).await.is_none());
        assert!(world.value(&b, generation, 1).await.is_some(), "others are left alone");
    }
    assert!(world.state.roll_call(&a, Role::Presenter).await.expect("a roll").members.is_empty());
    assert_eq!(world.state.roll_call(&b, Role::Presenter).await.expect("a roll").members.len(), 1);
    assert!(world.state.delivery(&a, &worker, &[7; 32]).await.expect("a look").is_none());
    assert!(world.state.delivery(&b, &worker, &[7; 32]).await.expect("a look").is_some());
    let of_a = world.records().await.iter().filter(|record| record.group == a).count();
    assert_eq!(of_a, 3, "its history stays, with the line that says that it was forgotten");
    let at_rest = world.harness.at_rest();
    let value = canary(&a, 1, 1);
    assert!(!at_rest.windows(value.len()).any(|window| window == value.as_bytes()));
}

async fn a_group_that_moved_on_is_not_forgotten(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    let a = group("a");
    let forget = |expect, epoch| world.state.forget(&a, RowVersion(expect), epoch, entry("removed", 0));
    let refused =
        |fault: handover_core::Fault| assert_eq!((fault.kind, fault.touched), (FaultKind::Fenced, Touched::Nothing));
    refused(forget(1, world.epoch).await.expect_err("there is no row"));
    world.commit(Commit { candidate: minted(&a, 1, 1), ..world.step(&a, None) }).await.expect("first");
    for (expect, epoch) in [(2, world.epoch), (0, world.epoch), (1, Epoch(0)), (1, Epoch(world.epoch.0 + 1))] {
        refused(forget(expect, epoch).await.expect_err("another version, or another epoch"));
    }
    assert_eq!(world.records().await.len(), 1);
    assert!(world.value(&a, 1, 1).await.is_some());
    forget(1, world.epoch).await.expect("forgotten");
    refused(forget(1, world.epoch).await.expect_err("twice"));
}

async fn a_forgotten_group_may_begin_anew(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    let a = group("a");
    for _ in 0..2 {
        world.commit(Commit { candidate: minted(&a, 1, 1), ..world.step(&a, None) }).await.expect("first");
        assert!(world.value(&a, 1, 1).await.is_some());
        world.state.forget(&a, RowVersion(1), world.epoch, entry("removed", 0)).await.expect("forgotten");
    }
    let world = world.reopened().await;
    assert_eq!(world.records().await.len(), 4);
}
