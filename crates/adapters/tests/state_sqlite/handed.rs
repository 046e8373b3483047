//! Deliveries that are known to stand without a look at the file.

use handover_core::port::{Consumers as _, Delivery, StateStore as _};
use handover_core::{Generation, Publication, Role};

use super::{consumer, group, open};

const PRESENTER: Role = Role::Presenter;

/// I4: whoever was taken off the roll, in whichever way, is put on it anew before another value leaves.
#[tokio::test]
async fn a_delivery_that_was_taken_back_does_not_stand() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let state = open(&path).unwrap();
    let (a, b, web) = (group("a"), group("b"), consumer("web"));
    assert_eq!(state.handed(&a, &web, PRESENTER), None);
    let one = Delivery { publication: Publication(1), generation: Generation(1), nonce: b"one".to_vec() };
    for group in [&a, &b] {
        state.delivered(group, &web, PRESENTER, &one).await.unwrap();
    }
    assert_eq!(state.handed(&a, &web, PRESENTER), Some(one.clone()));
    assert_eq!(state.handed(&a, &web, Role::Verifier), None, "in this role it is not on the roll");
    assert_eq!(state.delivery(&a, &web, b"one").await.unwrap(), Some(one.clone()), "it can be acknowledged");

    state.excuse(&a, &web).await.unwrap();
    assert_eq!(state.handed(&a, &web, PRESENTER), None);
    assert_eq!(state.handed(&b, &web, PRESENTER), Some(one.clone()), "another group is not touched");

    state.delivered(&a, &web, PRESENTER, &one).await.unwrap();
    state.withdraw(&a, &web, PRESENTER).await.unwrap();
    assert_eq!(state.handed(&a, &web, PRESENTER), None);

    let two = Delivery { publication: Publication(2), generation: Generation(2), nonce: b"two".to_vec() };
    state.delivered(&a, &web, PRESENTER, &two).await.unwrap();
    assert_eq!(state.handed(&a, &web, PRESENTER), Some(two.clone()), "the newest");
    assert!(state.lease().await.is_ok());
    drop(state);
    let state = open(&path).unwrap();
    assert_eq!(state.handed(&a, &web, PRESENTER), None, "another process looks for itself");
    assert_eq!(state.delivery(&a, &web, b"two").await.unwrap(), Some(two));
}

#[tokio::test]
async fn rolls_of_many_groups_are_declared_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(&folder.path().join("state.db")).unwrap();
    let (web, job) = (consumer("web"), consumer("job"));
    let names: Vec<_> = (0..50).map(|number| group(&format!("g{number}"))).collect();
    let both = vec![(job.clone(), PRESENTER), (web.clone(), PRESENTER)];
    for _ in 0..2 {
        let (before, _) = state.batches().counted();
        state.declare_all(names.iter().map(|name| (name.clone(), both.clone())).collect()).await.unwrap();
        assert_eq!(state.batches().counted().0 - before, 1, "one transaction");
    }
    let declared = state.declared_in(names.clone()).await.unwrap();
    assert_eq!(declared, vec![both; names.len()]);
    for name in &names {
        assert!(state.roll_call(name, PRESENTER).await.unwrap().complete);
    }
}
