use std::sync::Arc;

use handover_core::port::Delivery;
use handover_core::{ConsumerId, Generation, Member, Publication, Reach, Role};

use super::{Harness, World, group};

cases! {
    nobody_is_expected_and_the_list_is_not_complete,
    who_fetched_is_expected_in_that_role,
    acknowledgements_only_rise,
    one_that_was_never_delivered_is_put_on_the_roll,
    nonces_of_one_publication_stay_good,
    a_nonce_is_of_one_consumer_and_one_group,
    who_is_excused_is_gone_until_it_fetches_again,
    the_roll_outlives_a_restart,
}

const PRESENTER: Role = Role::Presenter;

fn consumer(name: &str) -> ConsumerId {
    ConsumerId::parse(name).expect("a good name")
}

fn delivery(publication: u64, nonce: &[u8]) -> Delivery {
    Delivery { publication: Publication(publication), generation: Generation(publication), nonce: nonce.to_vec() }
}

impl World {
    async fn deliver(&self, name: &str, who: &str, publication: u64, nonce: &[u8]) {
        let delivery = delivery(publication, nonce);
        self.state.delivered(&group(name), &consumer(who), PRESENTER, &delivery).await.expect("recorded");
    }

    async fn delivery(&self, name: &str, who: &str, nonce: &[u8]) -> Option<Delivery> {
        self.state.delivery(&group(name), &consumer(who), nonce).await.expect("looked up")
    }

    async fn ack(&self, who: &str, publication: u64, reach: Reach) {
        self.state
            .acknowledged(&group("a"), &consumer(who), PRESENTER, Publication(publication), reach)
            .await
            .expect("recorded");
    }

    async fn roll(&self, role: Role) -> Vec<Member> {
        let call = self.state.roll_call(&group("a"), role).await.expect("called");
        assert!(!call.complete, "nobody said that the list is complete");
        call.members
    }
}

fn member(name: &str, acked: Option<(u64, Reach)>) -> Member {
    Member { consumer: consumer(name), acked: acked.map(|(publication, reach)| (Publication(publication), reach)) }
}

async fn nobody_is_expected_and_the_list_is_not_complete(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    assert!(world.roll(Role::Verifier).await.is_empty() && world.roll(PRESENTER).await.is_empty());
}

async fn who_fetched_is_expected_in_that_role(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    world.deliver("a", "web", 1, b"n1").await;
    world.deliver("b", "other", 1, b"n1").await;
    assert_eq!(world.roll(PRESENTER).await, [member("web", None)], "a delivery is no acknowledgement");
    assert!(world.roll(Role::Verifier).await.is_empty());
    let both = delivery(1, b"n2");
    world.state.delivered(&group("a"), &consumer("web"), Role::Verifier, &both).await.expect("in both roles");
    world.ack("web", 1, Reach::Loaded).await;
    assert_eq!(world.roll(Role::Verifier).await, [member("web", None)], "an acknowledgement names its role");
    assert_eq!(world.roll(PRESENTER).await, [member("web", Some((1, Reach::Loaded)))]);
}

/// F27: repeated, out of order, or for an older publication, they take nothing back.
async fn acknowledgements_only_rise(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    world.deliver("a", "web", 1, b"n").await;
    for (publication, reach, stands) in [
        (2, Reach::Loaded, (2, Reach::Loaded)),
        (1, Reach::Used, (2, Reach::Loaded)),
        (2, Reach::Delivered, (2, Reach::Loaded)),
        (2, Reach::Used, (2, Reach::Used)),
        (2, Reach::Used, (2, Reach::Used)),
        (2, Reach::Loaded, (2, Reach::Used)),
        (3, Reach::Loaded, (3, Reach::Loaded)),
        (2, Reach::Used, (3, Reach::Loaded)),
    ] {
        world.ack("web", publication, reach).await;
        assert_eq!(world.roll(PRESENTER).await, [member("web", Some(stands))], "after {publication} {reach:?}");
    }
    world.deliver("a", "web", 4, b"m").await;
    assert_eq!(world.roll(PRESENTER).await, [member("web", Some((3, Reach::Loaded)))], "a delivery takes nothing back");
}

async fn one_that_was_never_delivered_is_put_on_the_roll(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    world.ack("web", 3, Reach::Used).await;
    assert_eq!(world.roll(PRESENTER).await, [member("web", Some((3, Reach::Used)))]);
}

async fn nonces_of_one_publication_stay_good(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    for nonce in [b"one", b"two", b"two"] {
        world.deliver("a", "web", 7, nonce).await;
    }
    assert_eq!(world.delivery("a", "web", b"one").await, Some(delivery(7, b"one")));
    assert_eq!(world.delivery("a", "web", b"two").await, Some(delivery(7, b"two")));
    world.deliver("a", "web", 8, b"three").await;
    assert_eq!(world.delivery("a", "web", b"three").await, Some(delivery(8, b"three")));
    world.deliver("a", "web", 7, b"late").await;
    assert_eq!(world.delivery("a", "web", b"three").await, Some(delivery(8, b"three")), "a late one takes none away");
}

async fn a_nonce_is_of_one_consumer_and_one_group(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    world.deliver("a", "web", 1, b"nonce").await;
    assert_eq!(world.delivery("a", "job", b"nonce").await, None);
    assert_eq!(world.delivery("b", "web", b"nonce").await, None);
    assert_eq!(world.delivery("a", "web", b"nonc").await, None);
    assert_eq!(world.delivery("a", "web", b"").await, None);
}

async fn who_is_excused_is_gone_until_it_fetches_again(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    world.deliver("a", "web", 1, b"n1").await;
    world.deliver("a", "job", 1, b"n2").await;
    world.ack("web", 1, Reach::Used).await;
    for _ in 0..2 {
        world.state.excuse(&group("a"), &consumer("web")).await.expect("absent is done");
        assert_eq!(world.roll(PRESENTER).await, [member("job", None)]);
        assert_eq!(world.delivery("a", "web", b"n1").await, None, "its nonce answers nothing any more");
    }
    world.deliver("a", "web", 2, b"n3").await;
    assert_eq!(world.roll(PRESENTER).await, [member("job", None), member("web", None)], "what it was is forgotten");
}

async fn the_roll_outlives_a_restart(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    world.deliver("a", "web", 1, b"n1").await;
    world.ack("web", 1, Reach::Loaded).await;
    let world = world.reopened().await;
    assert_eq!(world.roll(PRESENTER).await, [member("web", Some((1, Reach::Loaded)))]);
    assert_eq!(world.delivery("a", "web", b"n1").await, Some(delivery(1, b"n1")));
}
