//! Campaigns on fakes: their order, what a failure leads to, the way back, and a death at every edge.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::*;
use handover_core::campaign::graph::Graph;
use handover_core::campaign::{
    Campaign, Change, End, LegState, Motion, OnFailure, Pause, Refusal, Setback, Terms, Until,
};
use handover_core::{CampaignId, FaultKind, Generation, GroupId, Outcome, Phase, Role, Slots};
use handover_engine::{Asker, CampaignRefused, CampaignRequest, RequestKey, history};
use handover_testkit::fake::{FakeTarget, Script};
use tokio::time::Instant;

/// Far more edges than any run here has.
const EDGES_MAX: u64 = 5_000;

const TERMS: Terms = Terms { parallel_max: 2, until: Until::Adopted, on_failure: OnFailure::Hold };

/// Groups with a target of their own each, beside one another.
struct Fleet {
    world: World,
    targets: BTreeMap<GroupId, FakeTarget>,
    after: Graph,
}

impl Fleet {
    /// `b:a` reads: b comes after a.
    fn new(after: &str) -> Self {
        let world = World::new();
        let entry = |part: &str| {
            let (name, after) = part.split_once(':').unwrap();
            (group(name), after.split(',').filter(|after| !after.is_empty()).map(group).collect::<BTreeSet<_>>())
        };
        let after: Graph = after.split_whitespace().map(entry).collect();
        for name in after.keys() {
            world.consumers.expect(name, &consumer("app"), Role::Presenter);
        }
        let target = |name: &GroupId| (name.clone(), FakeTarget::new(&Script::default(), Slots::Fixed(2)));
        Self { world, targets: after.keys().map(target).collect(), after }
    }

    async fn start(&self, script: &Script) -> Process {
        self.world.state.free_lease();
        let binding = |(name, target): (&GroupId, &FakeTarget)| self.world.binding(name, name.as_str(), target, script);
        self.world.start_bound(script, self.targets.iter().map(binding).collect()).await
    }

    fn request(&self, terms: Terms) -> CampaignRequest {
        CampaignRequest { after: self.after.clone(), terms, reason: Some("a test".to_owned()) }
    }

    async fn begin(&self, process: &Process, terms: Terms) -> CampaignId {
        process.handle.begin_campaign(&self.request(terms), "anna").await.unwrap()
    }

    /// How often a rotation of each group was started.
    fn generations(&self) -> Vec<u64> {
        let row = |name: &GroupId| self.world.state.row(name);
        self.targets.keys().map(|name| row(name).map_or(0, |row| row.last_generation.0)).collect()
    }

    /// The groups of the lines of this event, in order.
    fn told(&self, event: &str) -> Vec<String> {
        let records = self.world.state.history();
        records.iter().filter(|record| record.body.starts_with(event)).map(|record| record.group.to_string()).collect()
    }
}

async fn until(process: &Process, id: CampaignId, what: &str, fits: impl Fn(&Campaign) -> bool) -> Campaign {
    let limit = Instant::now() + LIMIT;
    loop {
        let campaign = process.handle.campaign(id).await.unwrap().unwrap().into_inner();
        if fits(&campaign) {
            return campaign;
        }
        assert!(Instant::now() < limit, "never saw {what}: {campaign:#?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn until_ended(process: &Process, id: CampaignId) -> (End, Campaign) {
    let campaign = until(process, id, "an end", |campaign| !campaign.is_live()).await;
    let Motion::Ended(end) = campaign.motion else { panic!("it is live") };
    (end, campaign)
}

fn state(campaign: &Campaign, name: &str) -> LegState {
    campaign.legs[&group(name)].state
}

#[tokio::test(start_paused = true)]
async fn groups_rotate_in_the_order_of_what_depends_on_what() {
    let fleet = Fleet::new("admin: orders:admin reports:admin sums:orders,reports");
    let process = fleet.start(&Script::default()).await;
    let id = fleet.begin(&process, TERMS).await;
    let (end, _) = until_ended(&process, id).await;
    assert_eq!(end, End::Success);
    assert_eq!(fleet.generations(), [1, 1, 1, 1]);
    let started = fleet.told(history::STARTED);
    assert_eq!((started[0].as_str(), started[3].as_str()), ("admin", "sums"), "{started:?}");
    let lines = fleet.world.events();
    assert!(lines.iter().any(|line| line.starts_with("started by anna") && line.contains("(\"campaign\", \"1\")")));
    for event in [history::CAMPAIGN_BEGUN, history::CAMPAIGN_ADVANCED, history::CAMPAIGN_ENDED] {
        assert!(fleet.told(event).iter().all(|name| name == history::CAMPAIGNS) && !fleet.told(event).is_empty());
    }
    assert_eq!(process.handle.campaign_of(&group("admin")).await.unwrap(), None, "it has ended");
    // Another one begins anew.
    let id = fleet.begin(&process, Terms { parallel_max: 1, until: Until::Ended, ..TERMS }).await;
    assert_eq!(until_ended(&process, id).await.0, End::Success);
    assert_eq!((id, fleet.generations()), (CampaignId(2), vec![2, 2, 2, 2]));
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_begins_while_the_old_one_is_still_valid() {
    let fleet = Fleet::new("ca: leaf:ca");
    let process = fleet.start(&Script::default()).await;
    let id = fleet.begin(&process, TERMS).await;
    until_ended(&process, id).await;
    // The old one is in use: its rotation stays in Drain.
    fleet.targets[&group("ca")].set_sessions(Generation(1), 1);
    let id = fleet.begin(&process, TERMS).await;
    until(&process, id, "the leaf's end", |campaign| {
        matches!(state(campaign, "leaf"), LegState::Succeeded { generation: Generation(2) })
            && matches!(state(campaign, "ca"), LegState::Through { generation: Generation(2) })
    })
    .await;
    fleet.targets[&group("ca")].set_sessions(Generation(1), 0);
    assert_eq!(until_ended(&process, id).await.0, End::Success);
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_started_holds_the_campaign_until_it_is_tried_again() {
    let fleet = Fleet::new("admin: orders:admin other:");
    let process = fleet.start(&Script::default()).await;
    fleet.targets[&group("admin")].set_findings(vec![untouched(FaultKind::Misconfigured)]);
    let id = fleet.begin(&process, TERMS).await;
    let held = until(&process, id, "a hold", |campaign| campaign.motion == Motion::Held(Pause::Failed)).await;
    assert_eq!(state(&held, "admin"), LegState::Failed { setback: Setback::Refused });
    assert_eq!(state(&held, "orders"), LegState::Waiting);
    assert_eq!(fleet.told(history::CAMPAIGN_REFUSED).len(), 3);
    let of = process.handle.campaign_of(&group("orders")).await.unwrap().unwrap();
    assert_eq!(of.id, id);

    fleet.targets[&group("admin")].set_findings(Vec::new());
    process.handle.change_campaign(id, Change::Resume { skip_failed: false }, "anna", None).await.unwrap();
    assert_eq!(until_ended(&process, id).await.0, End::Success);
    assert_eq!(fleet.generations(), [1, 1, 1]);
    let refused = process.handle.change_campaign(id, Change::Undo, "anna", None).await;
    assert_eq!(refused, Err(CampaignRefused::Refused(Refusal::Ended)));
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_failed_can_be_left_with_all_that_comes_after_it() {
    for by_hand in [true, false] {
        let fleet = Fleet::new("admin: orders:admin other:");
        let process = fleet.start(&Script::default()).await;
        fleet.targets[&group("admin")].set_findings(vec![untouched(FaultKind::Misconfigured)]);
        let on_failure = if by_hand { OnFailure::Hold } else { OnFailure::GoOn };
        let id = fleet.begin(&process, Terms { on_failure, ..TERMS }).await;
        if by_hand {
            until(&process, id, "a hold", |campaign| campaign.motion == Motion::Held(Pause::Failed)).await;
            process.handle.change_campaign(id, Change::Resume { skip_failed: true }, "anna", None).await.unwrap();
        }
        let (end, ended) = until_ended(&process, id).await;
        assert_eq!((end, state(&ended, "orders")), (End::Partly, LegState::Skipped));
        assert_eq!(state(&ended, "other"), LegState::Succeeded { generation: Generation(1) });
        assert_eq!(fleet.generations(), [0, 0, 1]);
        process.stop().await;
    }
}

/// The admin's rotation waits in Drain, that of its dependant does not verify: both go back, the dependant first.
#[tokio::test(start_paused = true)]
async fn a_failure_is_undone_in_the_reverse_order() {
    let fleet = Fleet::new("admin: orders:admin sums:orders");
    let process = fleet.start(&Script::default()).await;
    let id = fleet.begin(&process, TERMS).await;
    until_ended(&process, id).await;
    for name in ["admin", "orders"] {
        fleet.targets[&group(name)].set_sessions(Generation(1), 1);
    }
    fleet.targets[&group("sums")].set_missing(vec!["SELECT".to_owned()]);
    let id = fleet.begin(&process, Terms { on_failure: OnFailure::Undo, ..TERMS }).await;
    let (end, ended) = until_ended(&process, id).await;
    assert_eq!(end, End::Undone, "{ended:#?}");
    for name in ["admin", "orders"] {
        assert_eq!(state(&ended, name), LegState::Undone { generation: Generation(2) });
    }
    assert_eq!(state(&ended, "sums"), LegState::Failed { setback: Setback::RolledBack });
    assert_eq!(fleet.told(history::ORDERED), ["orders", "admin"], "what comes later goes back first");
    for name in fleet.targets.keys() {
        let row = fleet.world.state.row(name).unwrap();
        assert_eq!(row.current.unwrap().generation, Generation(1), "{name}");
        assert_eq!(row.rotation.unwrap().phase, Phase::Done(Outcome::RolledBack), "{name}");
    }
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_past_its_return_stays_and_so_does_what_it_stands_on() {
    let fleet = Fleet::new("admin: orders:admin");
    let process = fleet.start(&Script::default()).await;
    let id = fleet.begin(&process, TERMS).await;
    until_ended(&process, id).await;
    fleet.targets[&group("admin")].set_sessions(Generation(1), 1);
    let id = fleet.begin(&process, TERMS).await;
    until(&process, id, "its success", |campaign| matches!(state(campaign, "orders"), LegState::Succeeded { .. }))
        .await;
    process.handle.change_campaign(id, Change::Undo, "anna", Some("wrong day".to_owned())).await.unwrap();
    let (end, ended) = until_ended(&process, id).await;
    assert_eq!(end, End::Partly);
    for name in ["admin", "orders"] {
        assert_eq!(state(&ended, name), LegState::Kept { generation: Generation(2) });
    }
    assert!(fleet.told(history::ORDERED).is_empty(), "nothing was taken back");
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn people_hold_go_on_and_cancel() {
    let fleet = Fleet::new("admin: orders:admin");
    let process = fleet.start(&Script::default()).await;
    let id = fleet.begin(&process, TERMS).await;
    until_ended(&process, id).await;
    fleet.targets[&group("admin")].set_sessions(Generation(1), 1);
    let id = fleet.begin(&process, Terms { until: Until::Ended, ..TERMS }).await;
    let change = |change| process.handle.change_campaign(id, change, "anna", None);
    until(&process, id, "its Drain", |campaign| matches!(state(campaign, "admin"), LegState::Through { .. })).await;
    change(Change::Hold).await.unwrap();
    assert_eq!(
        change(Change::Resume { skip_failed: false }).await.err().or(change(Change::Hold).await.err()),
        None,
        "it goes on, and is held again"
    );
    fleet.targets[&group("admin")].set_sessions(Generation(1), 0);
    let held =
        until(&process, id, "its end", |campaign| matches!(state(campaign, "admin"), LegState::Succeeded { .. })).await;
    assert_eq!((held.motion, state(&held, "orders")), (Motion::Held(Pause::Ordered), LegState::Waiting));
    change(Change::Cancel).await.unwrap();
    let (end, ended) = until_ended(&process, id).await;
    assert_eq!((end, state(&ended, "orders")), (End::Cancelled, LegState::Skipped));
    assert_eq!(fleet.generations(), [2, 1]);
    assert_eq!(change(Change::Hold).await, Err(CampaignRefused::Refused(Refusal::Ended)));
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_is_carried_out_once_and_no_group_is_in_two() {
    let fleet = Fleet::new("admin: orders:admin");
    let process = fleet.start(&Script::default()).await;
    let key = RequestKey::parse("k1", [1; 32]).unwrap();
    let request = fleet.request(TERMS);
    let send = || process.handle.begin_campaign(&request, Asker { actor: "anna", key: Some(&key) });
    let both = tokio::join!(send(), send());
    assert_eq!(both, (Ok(CampaignId(1)), Ok(CampaignId(1))));
    assert_eq!(
        process.handle.begin_campaign(&request, "anna").await,
        Err(CampaignRefused::Taken { group: group("admin"), campaign: CampaignId(1) })
    );
    let empty = CampaignRequest { after: Graph::new(), ..request.clone() };
    assert_eq!(process.handle.begin_campaign(&empty, "anna").await, Err(CampaignRefused::Empty));
    let unknown = CampaignRequest { after: Graph::from([(group("who"), BTreeSet::new())]), ..request.clone() };
    let refused = process.handle.begin_campaign(&unknown, "anna").await;
    assert_eq!(refused, Err(CampaignRefused::UnknownGroup(group("who"))));
    let circle = Graph::from([
        (group("admin"), BTreeSet::from([group("orders")])),
        (group("orders"), BTreeSet::from([group("admin")])),
    ]);
    until_ended(&process, CampaignId(1)).await;
    let refused = process.handle.begin_campaign(&CampaignRequest { after: circle, ..request.clone() }, "anna").await;
    assert!(matches!(refused, Err(CampaignRefused::Cycle(_))), "{refused:?}");
    assert_eq!(send().await, Ok(CampaignId(1)), "also when it has ended");
    assert_eq!(fleet.generations(), [1, 1]);
    process.stop().await;
}

/// A group that somebody else rotates is waited for, and then rotates for the campaign.
#[tokio::test(start_paused = true)]
async fn a_group_that_rotates_already_is_waited_for() {
    let fleet = Fleet::new("admin:");
    let process = fleet.start(&Script::default()).await;
    process.handle.rotate(&group("admin"), "ben").await.unwrap();
    let id = fleet.begin(&process, TERMS).await;
    assert_eq!(until_ended(&process, id).await.0, End::Success);
    assert_eq!(fleet.generations(), [2]);
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn after_a_restore_a_campaign_waits_for_a_person() {
    let fleet = Fleet::new("admin: orders:admin");
    let process = fleet.start(&Script::default()).await;
    let id = fleet.begin(&process, Terms { until: Until::Ended, ..TERMS }).await;
    until(&process, id, "a start", |campaign| state(campaign, "admin") != LegState::Waiting).await;
    process.handle.doubt_all("restore", None).await.unwrap();
    let held = process.handle.campaign(id).await.unwrap().unwrap();
    assert_eq!(held.motion, Motion::Held(Pause::Restored));
    assert_eq!(state(&held, "orders"), LegState::Waiting);
    process.stop().await;
}

/// Whatever died where: the campaign goes on, every group rotates once, and a start of the process starts nothing by itself.
#[tokio::test(start_paused = true)]
async fn a_campaign_survives_a_death_at_every_edge() {
    let mut reached = 0;
    for edge in 1..EDGES_MAX {
        let fleet = Fleet::new("admin: orders:admin");
        let script = Script::default();
        script.die_at(edge);
        let begun = async {
            let process = fleet.start(&script).await;
            if let Ok(id) = process.handle.begin_campaign(&fleet.request(TERMS), "anna").await {
                until_ended(&process, id).await;
            }
            process
        };
        let ended = tokio::select! {
            () = script.died() => None,
            process = begun => Some(process),
        };
        if let Some(process) = ended {
            process.kill().await;
            break;
        }
        let process = fleet.start(&Script::default()).await;
        if process.handle.campaign(CampaignId(1)).await.unwrap().is_some() {
            let (end, ended) = until_ended(&process, CampaignId(1)).await;
            assert_eq!(end, End::Success, "edge {edge}: {ended:#?}");
            assert_eq!(fleet.generations(), [1, 1], "edge {edge}");
            assert_eq!(fleet.told(history::STARTED), ["admin", "orders"], "edge {edge}");
        } else {
            assert_eq!(fleet.generations(), [0, 0], "edge {edge}: nobody was promised anything");
        }
        process.kill().await;
        reached = edge;
    }
    assert!((50..EDGES_MAX - 1).contains(&reached), "{reached} edges");
}

/// The same on the way back.
#[tokio::test(start_paused = true)]
async fn an_undone_campaign_survives_a_death_at_every_edge() {
    let mut reached = 0;
    for edge in 1..EDGES_MAX {
        let fleet = Fleet::new("admin: orders:admin");
        let first = fleet.start(&Script::default()).await;
        let id = fleet.begin(&first, TERMS).await;
        until_ended(&first, id).await;
        for target in fleet.targets.values() {
            target.set_sessions(Generation(1), 1);
        }
        let id = fleet.begin(&first, TERMS).await;
        let through =
            |campaign: &Campaign| campaign.legs.values().all(|leg| matches!(leg.state, LegState::Through { .. }));
        until(&first, id, "both in Drain", through).await;
        first.handle.change_campaign(id, Change::Hold, "anna", None).await.unwrap();
        first.stop().await;

        let script = Script::default();
        script.die_at(edge);
        let begun = async {
            let process = fleet.start(&script).await;
            if process.handle.change_campaign(id, Change::Undo, "anna", None).await.is_ok() {
                until_ended(&process, id).await;
            }
            process
        };
        let ended = tokio::select! {
            () = script.died() => None,
            process = begun => Some(process),
        };
        if let Some(process) = ended {
            process.kill().await;
            break;
        }
        let process = fleet.start(&Script::default()).await;
        if process.handle.campaign(id).await.unwrap().unwrap().motion == Motion::Held(Pause::Ordered) {
            process.handle.change_campaign(id, Change::Undo, "anna", None).await.unwrap();
        }
        let (end, ended) = until_ended(&process, id).await;
        assert_eq!(end, End::Undone, "edge {edge}: {ended:#?}");
        assert_eq!(fleet.generations(), [2, 2], "edge {edge}");
        for name in fleet.targets.keys() {
            let row = fleet.world.state.row(name).unwrap();
            assert_eq!(row.current.unwrap().generation, Generation(1), "edge {edge}: {name}");
        }
        process.kill().await;
        reached = edge;
    }
    assert!((30..EDGES_MAX - 1).contains(&reached), "{reached} edges");
}
