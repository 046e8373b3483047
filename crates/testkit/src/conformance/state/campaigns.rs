use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use handover_core::campaign::{Campaign, End, Leg, LegState, Motion, OnFailure, Pause, Setback, Terms, Until};
use handover_core::port::{CAMPAIGNS_ENDED_MAX, CampaignCommit, Request};
use handover_core::{CampaignId, ConsumerId, Epoch, FaultKind, Generation, RowVersion, Timestamp, Touched};

use super::{Harness, World, entry, group};

cases! {
    a_campaign_is_kept_with_its_history,
    a_campaign_that_moved_on_is_not_written_over,
    campaigns_are_listed_the_newest_first,
    a_request_for_a_campaign_is_carried_out_once,
    the_oldest_that_have_ended_are_forgotten,
}

/// One campaign in every shape that a row has.
pub fn campaigns() -> Vec<Campaign> {
    let generation = Generation(7);
    let states = [
        LegState::Waiting,
        LegState::Starting { generation, refused: 2 },
        LegState::Started { generation },
        LegState::Through { generation },
        LegState::Succeeded { generation },
        LegState::Returning { generation },
        LegState::Skipped,
        LegState::Undoing { generation, refused: 1 },
        LegState::GoingBack { generation },
        LegState::Undone { generation },
        LegState::Kept { generation },
    ];
    let setbacks = [Setback::RolledBack, Setback::Abandoned, Setback::Superseded, Setback::Refused, Setback::Gone];
    let states = states.into_iter().chain(setbacks.map(|setback| LegState::Failed { setback }));
    let leg = |(number, state)| {
        let after = if number == 0 { BTreeSet::new() } else { BTreeSet::from([group("g-0")]) };
        (group(&format!("g-{number}")), Leg { after, state })
    };
    let legs: BTreeMap<_, _> = states.enumerate().map(leg).collect();
    let motions = [
        Motion::Running,
        Motion::Held(Pause::Ordered),
        Motion::Held(Pause::Failed),
        Motion::Held(Pause::Restored),
        Motion::Undoing,
        Motion::Cancelling,
        Motion::Ended(End::Success),
        Motion::Ended(End::Partly),
        Motion::Ended(End::Undone),
        Motion::Ended(End::Cancelled),
    ];
    let all = (1..).zip(motions).map(|(number, motion)| Campaign {
        reason: (number % 2 == 0).then(|| "yearly".to_owned()),
        terms: Terms {
            parallel_max: 4,
            until: if number % 2 == 0 { Until::Adopted } else { Until::Ended },
            on_failure: [OnFailure::Hold, OnFailure::Undo, OnFailure::GoOn][number % 3],
        },
        legs: legs.clone(),
        ..campaign(number as u64, motion)
    });
    all.collect()
}

fn campaign(id: u64, motion: Motion) -> Campaign {
    Campaign {
        id: CampaignId(id),
        version: RowVersion(1),
        asked_by: ConsumerId::parse("anna").expect("a good name"),
        reason: None,
        asked_at: Timestamp(1_000),
        terms: Terms { parallel_max: 1, until: Until::Adopted, on_failure: OnFailure::Hold },
        legs: BTreeMap::from([(group("a"), Leg { after: BTreeSet::new(), state: LegState::Waiting })]),
        motion,
    }
}

impl World {
    fn of(&self, campaign: Campaign, expect: Option<u64>) -> CampaignCommit {
        CampaignCommit {
            campaign,
            expect: expect.map(RowVersion),
            epoch: self.epoch,
            under: group("handover.campaigns"),
            entries: vec![entry("campaign_begun", 1)],
            request: None,
        }
    }
}

async fn a_campaign_is_kept_with_its_history(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    for campaign in campaigns() {
        let committed = world.state.commit_campaign(world.of(campaign.clone(), None)).await.expect("a commit");
        assert_eq!(*committed, campaign);
    }
    let world = world.reopened().await;
    for campaign in campaigns() {
        let loaded = world.state.campaign(campaign.id).await.expect("a load").expect("there is a row");
        assert_eq!(*loaded, campaign);
    }
    assert!(world.state.campaign(CampaignId(99)).await.expect("a load").is_none());
    let records = world.records().await;
    assert_eq!(records.len(), campaigns().len());
    assert!(records.iter().all(|record| record.group.as_str() == "handover.campaigns"));
}

async fn a_campaign_that_moved_on_is_not_written_over(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    let first = campaign(1, Motion::Running);
    world.state.commit_campaign(world.of(first.clone(), None)).await.expect("first");
    let next = Campaign { version: RowVersion(2), motion: Motion::Undoing, ..first.clone() };
    for (expect, epoch) in [(None, 0), (Some(2), 0), (Some(1), 1)] {
        let commit = CampaignCommit { epoch: Epoch(world.epoch.0 + epoch), ..world.of(next.clone(), expect) };
        let fault = world.state.commit_campaign(commit).await.expect_err("another version, or another epoch");
        assert_eq!((fault.kind, fault.touched), (FaultKind::Fenced, Touched::Nothing));
    }
    assert_eq!(world.records().await.len(), 1, "what is fenced leaves no history");
    world.state.commit_campaign(world.of(next.clone(), Some(1))).await.expect("second");
    let fault = world.state.commit_campaign(world.of(next.clone(), Some(1))).await.expect_err("twice");
    assert_eq!(fault.kind, FaultKind::Fenced);
    assert_eq!(world.state.campaign(first.id).await.expect("a load").as_deref(), Some(&next));
}

async fn campaigns_are_listed_the_newest_first(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    for id in 1..=5 {
        let motion = if id % 2 == 0 { Motion::Ended(End::Success) } else { Motion::Running };
        world.state.commit_campaign(world.of(campaign(id, motion), None)).await.expect("a commit");
    }
    let ids = async |live, before: Option<u64>, limit| -> Vec<u64> {
        let found = world.state.campaigns(live, before.map(CampaignId), limit).await.expect("a list");
        found.iter().map(|campaign| campaign.id.0).collect()
    };
    assert_eq!(ids(false, None, 10).await, [5, 4, 3, 2, 1]);
    assert_eq!(ids(false, Some(4), 2).await, [3, 2]);
    assert_eq!(ids(true, None, 10).await, [5, 3, 1]);
    assert_eq!(ids(true, Some(5), 1).await, [3]);
    let ended = Campaign { version: RowVersion(2), ..campaign(3, Motion::Ended(End::Undone)) };
    world.state.commit_campaign(world.of(ended, Some(1))).await.expect("an end");
    assert_eq!(ids(true, None, 10).await, [5, 1]);
}

async fn a_request_for_a_campaign_is_carried_out_once(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    let request = Request {
        caller: "anna".to_owned(),
        key: "k1".to_owned(),
        digest: [7; 32],
        at: Timestamp(1_000),
        answer: "1".to_owned(),
    };
    let with = |id| CampaignCommit { request: Some(request.clone()), ..world.of(campaign(id, Motion::Running), None) };
    world.state.commit_campaign(with(1)).await.expect("first");
    let fault = world.state.commit_campaign(with(2)).await.expect_err("the same request");
    assert_eq!((fault.kind, fault.touched), (FaultKind::Fenced, Touched::Nothing));
    let world = world.reopened().await;
    assert_eq!(world.state.request("anna", "k1").await.expect("a look"), Some(request));
    assert!(world.state.campaign(CampaignId(2)).await.expect("a load").is_none());
}

async fn the_oldest_that_have_ended_are_forgotten(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    for (id, motion) in [(1, Motion::Running), (2, Motion::Ended(End::Success)), (3, Motion::Ended(End::Success))] {
        world.state.commit_campaign(world.of(campaign(id, motion), None)).await.expect("a commit");
    }
    let newest = CAMPAIGNS_ENDED_MAX + 2;
    world.state.commit_campaign(world.of(campaign(newest, Motion::Running), None)).await.expect("a commit");
    let world = world.reopened().await;
    let found = world.state.campaigns(false, None, 10).await.expect("a list");
    let ids: Vec<u64> = found.iter().map(|campaign| campaign.id.0).collect();
    assert_eq!(ids, [newest, 3, 1], "what is live stays, however old");
}
