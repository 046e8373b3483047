//! The manager inside a program: what it reports, what it waits for, and that nothing is lost with its process.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use handover_manager::check::Moments;
use handover_manager::schedule::{Missed, Repeats, Schedule};
use handover_manager::target::Slots;
use handover_manager::{
    Builder, ConsumerId, Ending, Fault, FaultKind, Group, GroupId, Manager, MasterKey, NoTarget, Picked, Reach,
    RotateError, Wave,
};
use handover_testkit::fake::{FakeCheck, FakeFinding, FakeTarget, Injection, Script};
use tempfile::TempDir;
use tokio::time::timeout;

#[allow(dead_code, reason = "its main is run by hand")]
#[path = "../examples/embedded.rs"]
mod embedded;

const PATIENCE: Duration = Duration::from_secs(60);

fn group(name: &str, target: &FakeTarget) -> Group {
    Group::new(GroupId::parse(name).unwrap(), Arc::new(target.clone())).policy(|policy| {
        policy.passes_min = 1;
        policy.quiet_min = Duration::from_millis(20);
        policy.brake_for = Duration::from_millis(20);
        policy.poll = Duration::from_millis(10);
    })
}

fn every(every: Duration) -> Schedule {
    Schedule {
        repeats: Repeats::Every(every),
        openings: None,
        spread: Duration::ZERO,
        jitter: Duration::ZERO,
        missed: Missed::RunOnce,
    }
}

fn key(folder: &Path) -> MasterKey {
    let path = folder.join("master.key");
    if path.exists() { MasterKey::read(&path).unwrap() } else { MasterKey::create(&path).unwrap() }
}

async fn start(folder: &TempDir, groups: Vec<Group>) -> Result<Manager, Fault> {
    let builder = Builder::new(folder.path(), key(folder.path()));
    groups.into_iter().fold(builder, Builder::group).start().await
}

fn fake() -> (Script, FakeTarget) {
    let script = Script::default();
    (script.clone(), FakeTarget::new(&script, Slots::Fixed(2)))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_runs() {
    let folder = tempfile::tempdir().unwrap();
    timeout(PATIENCE, embedded::run(folder.path())).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_tells_generations_phases_and_the_end() {
    let (folder, (_, target)) = (tempfile::tempdir().unwrap(), fake());
    let manager = start(&folder, vec![group("app", &target)]).await.unwrap();
    let app = GroupId::parse("app").unwrap();
    assert!(manager.look(&app).await.unwrap().is_none());
    let first = manager.rotate(&app).await.unwrap();
    assert_eq!((first.from, first.to.0, first.is_success()), (None, 1, true));
    let second = manager.rotate(&app).await.unwrap();
    assert_eq!((second.from, second.to.0, &second.ending), (Some(first.to), 2, &Ending::Success));
    let phases: Vec<&str> = second.phases.iter().map(|(phase, _)| phase.as_str()).collect();
    // Nobody presents it here, so nobody is waited for in Propagate.
    assert_eq!(phases, ["stage", "apply", "verify", "publish", "drain", "disable", "destroy"]);
    assert!(second.took >= Duration::from_millis(40), "quiet and brake are waited for: {second:?}");
    assert_eq!(second.error, None);
    let published = manager.look(&app).await.unwrap().unwrap();
    assert_eq!(published.generation, second.to);
    assert!(target.accepts(&published.value));
    assert_eq!(target.accepting(), 1);
    let statistics = manager.statistics();
    assert_eq!((statistics.started, statistics.succeeded, statistics.success_rate()), (2, 2, Some(1.0)));
    assert_eq!(statistics.phases["drain"].0, 1);
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_verification_is_rolled_back_and_told() {
    let (folder, (_, target)) = (tempfile::tempdir().unwrap(), fake());
    let manager = start(&folder, vec![group("app", &target)]).await.unwrap();
    let app = GroupId::parse("app").unwrap();
    let first = manager.rotate(&app).await.unwrap();
    target.set_missing(vec!["SELECT on orders".to_owned()]);
    let report = manager.rotate(&app).await.unwrap();
    assert_eq!(report.ending, Ending::RolledBack);
    assert!(report.error.as_deref().is_some_and(|error| error.contains("SELECT on orders")), "{report:?}");
    assert_eq!(manager.look(&app).await.unwrap().unwrap().generation, first.to);
    assert_eq!(manager.statistics().success_rate(), Some(0.5));
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_of_ones_own_is_asked_and_believed() {
    let (folder, (_, target)) = (tempfile::tempdir().unwrap(), fake());
    let app = GroupId::parse("app").unwrap();
    let check = FakeCheck::new("mine", Moments { before_publish: false, after_publish: true });
    let manager = start(&folder, vec![group("app", &target).check(Arc::new(check.clone()))]).await.unwrap();
    assert_eq!(manager.rotate(&app).await.unwrap().ending, Ending::Success);
    check.order([FakeFinding::Failed("it reads nothing")]);
    let report = manager.rotate(&app).await.unwrap();
    assert_eq!(report.ending, Ending::RolledBack);
    assert!(report.error.as_deref().is_some_and(|error| error.contains("check mine failed")), "{report:?}");
    assert_eq!(manager.look(&app).await.unwrap().unwrap().generation.0, 1);
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_wave_reads_the_old_one_until_its_turn() {
    let (folder, (_, target)) = (tempfile::tempdir().unwrap(), fake());
    let app = GroupId::parse("app").unwrap();
    let check = FakeCheck::new("mine", Moments { before_publish: false, after_publish: true });
    let canary = Wave {
        members: Picked::Named([ConsumerId::parse("canary").unwrap()].into()),
        soak: Duration::from_secs(3_600),
    };
    let managed = group("app", &target).check(Arc::new(check.clone())).presented_by("canary").unwrap();
    let managed = managed.presented_by("web").unwrap().policy(|policy| policy.waves = vec![canary]);
    let manager = start(&folder, vec![managed]).await.unwrap();
    let (canary, web) = (manager.presenter(&app, "canary").unwrap(), manager.presenter(&app, "web").unwrap());
    let load = async |presenter: &handover_manager::Presenter, after| {
        let published = timeout(PATIENCE, presenter.next(after)).await.unwrap().unwrap();
        presenter.acknowledge(&published, Reach::Loaded).await.unwrap();
        published
    };
    let first = async { tokio::join!(load(&canary, 0), load(&web, 0)) };
    let (report, (first, _)) = tokio::join!(manager.rotate(&app), first);
    assert!(report.unwrap().is_success(), "a first generation is everybody's");

    let back = async {
        let second = load(&canary, first.publication).await;
        assert_eq!(second.generation.0, 2);
        let (seen, looked) = (web.fetch().await.unwrap().unwrap(), manager.look(&app).await.unwrap().unwrap());
        assert_eq!((seen.generation.0, seen.publication), (1, first.publication), "it is not its turn");
        assert_eq!(looked.generation.0, 1, "nor that of one without a name");
        let early = timeout(Duration::from_millis(200), web.next(first.publication)).await;
        assert!(early.is_err(), "nothing new is told");
        check.order([FakeFinding::Failed("it reads nothing")]);
        tokio::join!(load(&canary, second.publication), load(&web, first.publication))
    };
    let (report, (canary, web)) = tokio::join!(manager.rotate(&app), back);
    assert_eq!(report.unwrap().ending, Ending::RolledBack);
    assert_eq!((canary.generation.0, web.generation.0), (1, 1));
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_outlives_its_manager() {
    let (folder, (_, target)) = (tempfile::tempdir().unwrap(), fake());
    let app = GroupId::parse("app").unwrap();
    let presented = || group("app", &target).presented_by("web").unwrap();
    let manager = start(&folder, vec![presented()]).await.unwrap();
    // Nobody acknowledges: it waits in Propagate, and whoever waits for it gives up.
    assert!(timeout(Duration::from_millis(300), manager.rotate(&app)).await.is_err());
    assert!(matches!(manager.rotate(&app).await, Err(RotateError::Refused(_))), "one is live");
    let second = Builder::new(folder.path(), key(folder.path())).start().await.unwrap_err();
    assert_eq!(second.kind, FaultKind::Fenced, "one process at a time");
    manager.stop().await;

    let manager = start(&folder, vec![presented()]).await.unwrap();
    let web = manager.presenter(&app, "web").unwrap();
    let consumer = async {
        let published = web.next(0).await.unwrap();
        assert!(target.accepts(&published.value));
        web.acknowledge(&published, Reach::Loaded).await.unwrap();
        let other = manager.presenter(&app, "other").unwrap();
        let refused = other.acknowledge(&published, Reach::Loaded).await.unwrap_err();
        assert_eq!(refused.kind, FaultKind::Conflict);
    };
    let (processed, ()) = timeout(PATIENCE, async { tokio::join!(manager.process_due(), consumer) }).await.unwrap();
    let processed = processed.unwrap();
    assert_eq!(processed.reports.len(), 1);
    assert_eq!((processed.reports[0].to.0, &processed.reports[0].ending), (1, &Ending::Success));
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_is_waited_for_and_a_start_rotates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let fakes: Vec<FakeTarget> = (0..5).map(|_| fake().1).collect();
    let names: Vec<GroupId> = (0..5).map(|number| GroupId::parse(&format!("g{number}")).unwrap()).collect();
    let groups = |schedule: Option<Schedule>| -> Vec<Group> {
        let all = names.iter().zip(&fakes);
        all.map(|(name, target)| {
            let group = group(name.as_str(), target);
            match &schedule {
                Some(schedule) => group.schedule(schedule.clone()),
                None => group,
            }
        })
        .collect()
    };
    let manager = start(&folder, groups(None)).await.unwrap();
    for name in &names {
        manager.rotate(name).await.unwrap();
    }
    assert_eq!(manager.process_due().await.unwrap().reports, [], "nothing is due without a schedule");
    for name in &names[..3] {
        manager.schedule(name, Some(every(Duration::from_secs(86_400)))).await.unwrap();
    }
    let unknown = manager.schedule(&GroupId::parse("other").unwrap(), None).await.unwrap_err();
    assert_eq!(unknown.kind, FaultKind::Missing);
    manager.stop().await;

    let counted = |manager: &Manager| manager.statistics().started;
    let manager = start(&folder, groups(Some(every(Duration::from_secs(86_400))))).await.unwrap();
    assert_eq!(manager.process_due().await.unwrap().reports.len(), 0, "a day has not passed");
    assert_eq!(counted(&manager), 0);
    manager.stop().await;

    let manager = start(&folder, groups(Some(every(Duration::from_millis(1))))).await.unwrap();
    let processed = timeout(PATIENCE, manager.process_due()).await.unwrap().unwrap();
    assert_eq!(processed.refused, []);
    assert!(processed.reports.iter().all(handover_manager::Report::is_success), "{processed:?}");
    let done: Vec<&GroupId> = processed.reports.iter().map(|report| &report.group).collect();
    assert_eq!(done, names.iter().collect::<Vec<_>>(), "each was due");
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_start_and_a_hold_are_told() {
    let (folder, (script, target)) = (tempfile::tempdir().unwrap(), fake());
    let app = GroupId::parse("app").unwrap();
    let hook = GroupId::parse("hook").unwrap();
    let alone = Group::new(hook.clone(), Arc::new(NoTarget));
    let manager = start(&folder, vec![group("app", &target), alone]).await.unwrap();
    let refused = manager.rotate(&hook).await.unwrap_err();
    assert!(matches!(&refused, RotateError::Refused(_)), "no consumer and no target: no evidence: {refused:?}");
    manager.rotate(&app).await.unwrap();
    let rejected = Fault::untouched(FaultKind::Rejected, "too much like the last one");
    for _ in 0..3 {
        script.once("target.create", Injection::Refuse(rejected.clone()));
    }
    let report = manager.rotate(&app).await.unwrap();
    assert_eq!(report.ending, Ending::Held { why: "candidates spent".to_owned() });
    assert!(report.error.as_deref().is_some_and(|error| error.contains("too much like")), "{report:?}");
    let report = manager.roll_back(&app, "not today").await.unwrap();
    assert_eq!(report.ending, Ending::RolledBack);
    let none = manager.roll_back(&app, "again").await.unwrap_err();
    assert_eq!(none.kind, FaultKind::Conflict);
    manager.stop().await;
}
