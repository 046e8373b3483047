use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use handover_core::port::{Commit, REQUEST_KEPT_MS_MIN, Request};
use handover_core::{Candidate, Epoch, FaultKind, Generation, Row, RowVersion, Timestamp, Touched};

use super::{Harness, World, canary, entry, group, minted, sample};

cases! {
    empty_at_first,
    rows_and_plans_come_back_as_they_were,
    a_plan_stays_until_another_comes,
    of_two_writers_one_wins,
    a_stale_version_changes_nothing,
    a_version_must_rise,
    the_lease_is_one_for_a_process,
    the_lease_is_held_against_another,
    an_earlier_epoch_loses,
    without_the_lease_nothing_is_committed,
    a_fenced_one_drops_out_alone,
    candidates_open_by_their_names_only,
    candidates_are_erased_with_the_commit,
    a_candidate_is_minted_once,
    no_value_is_at_rest_in_clear,
    history_has_no_gaps_and_no_lines_of_refused_commits,
    history_is_read_in_pages,
    history_of_a_group_is_read_backwards,
    history_that_belongs_to_no_row_is_appended,
    text_from_outside_stays_one_line,
    a_request_is_carried_out_once,
    requests_are_forgotten_after_a_day,
    due_lists_the_most_overdue_first_and_the_next,
    due_follows_each_commit,
    cursors_only_rise,
    a_restart_changes_nothing,
    cut_off_a_commit_is_all_or_nothing,
}

async fn empty_at_first(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    assert!(world.epoch > Epoch(0));
    assert!(world.state.load(&group("a")).await.expect("a load").is_none());
    assert!(world.state.groups().await.expect("groups").is_empty());
    assert_eq!(world.state.due(Timestamp(i64::MAX), 10).await.expect("due"), (Vec::new(), None));
    assert!(world.records().await.is_empty());
    assert_eq!(world.state.cursor("file").await.expect("cursor"), 0);
    assert!(world.value(&group("a"), 1, 1).await.is_none());
}

async fn rows_and_plans_come_back_as_they_were(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    let plans = sample::plans();
    let doubted = sample::doubted_rows().into_iter().enumerate();
    let doubted = doubted.map(|(number, row)| Row { group: group(&format!("doubted-{number}")), ..row });
    let rows: Vec<Row> = sample::rows().into_iter().chain(doubted).collect();
    for (number, row) in rows.iter().enumerate() {
        let plan = &plans[number % plans.len()];
        let commit = Commit { row: row.clone(), plan: Some(plan.clone()), ..world.step(&row.group, None) };
        let committed = world.commit(commit).await.expect("the first of its group");
        assert_eq!(&*committed, row);
    }
    let world = world.reopened().await;
    for (number, row) in rows.iter().enumerate() {
        let loaded = world.loaded(&row.group).await;
        assert_eq!((&*loaded.row, loaded.plan.as_ref()), (row, Some(&plans[number % plans.len()])));
    }
    let names: BTreeSet<_> = rows.iter().map(|row| row.group.clone()).collect();
    assert_eq!(world.state.groups().await.expect("groups").into_iter().collect::<BTreeSet<_>>(), names);
}

async fn a_plan_stays_until_another_comes(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    let (a, plans) = (group("a"), sample::plans());
    world.commit(world.step(&a, None)).await.expect("first");
    assert_eq!(world.loaded(&a).await.plan, None);
    world.commit(Commit { plan: Some(plans[0].clone()), ..world.step(&a, Some(1)) }).await.expect("with a plan");
    world.commit(world.step(&a, Some(2))).await.expect("without");
    assert_eq!(world.loaded(&a).await.plan.as_ref(), Some(&plans[0]));
    world.commit(Commit { plan: Some(plans[1].clone()), ..world.step(&a, Some(3)) }).await.expect("with another");
    assert_eq!(world.loaded(&a).await.plan.as_ref(), Some(&plans[1]));
}

async fn of_two_writers_one_wins(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    let a = group("a");
    world.commit(world.step(&a, None)).await.expect("first");
    for version in 1..50 {
        let (one, other) =
            tokio::join!(world.commit(world.step(&a, Some(version))), world.commit(world.step(&a, Some(version))),);
        assert!(one.is_ok() != other.is_ok(), "exactly one wins: {one:?}, {other:?}");
        let fault = one.err().or(other.err()).expect("one lost");
        assert_eq!((fault.kind, fault.touched), (FaultKind::Fenced, Touched::Nothing));
    }
    assert_eq!(world.records().await.len(), 50);
    assert_eq!(world.loaded(&a).await.row.version, RowVersion(50));
}

async fn a_stale_version_changes_nothing(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    let a = group("a");
    let first = Commit { candidate: minted(&a, 1, 1), due_at: Some(Timestamp(5)), ..world.step(&a, None) };
    world.commit(first).await.expect("first");
    world.commit(Commit { due_at: Some(Timestamp(5)), ..world.step(&a, Some(1)) }).await.expect("second");
    for expect in [None, Some(1), Some(3), Some(0)] {
        let late = Commit {
            row: Row { version: RowVersion(9), last_generation: Generation(7), ..Row::new(a.clone()) },
            candidate: minted(&a, 2, 1),
            erase: vec![Generation(1)],
            due_at: Some(Timestamp(1)),
            plan: Some(sample::plans()[0].clone()),
            ..world.step(&a, expect)
        };
        let fault = world.commit(late).await.expect_err("the stored version is another");
        assert_eq!((fault.kind, fault.touched), (FaultKind::Fenced, Touched::Nothing), "expecting {expect:?}");
        let loaded = world.loaded(&a).await;
        assert_eq!((loaded.row.version, loaded.row.last_generation), (RowVersion(2), Generation(0)));
        assert_eq!(loaded.plan, None);
        assert!(world.value(&a, 1, 1).await.is_some(), "a refused commit erased a value");
        assert!(world.value(&a, 2, 1).await.is_none(), "a refused commit left a value");
        assert_eq!(world.records().await.len(), 2);
        assert_eq!(world.state.due(Timestamp(4), 9).await.expect("due"), (Vec::new(), Some(Timestamp(5))));
    }
    let fault = world.commit(world.step(&group("b"), Some(1))).await.expect_err("there is no such row");
    assert_eq!((fault.kind, fault.touched), (FaultKind::Fenced, Touched::Nothing));
}

async fn a_version_must_rise(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    let a = group("a");
    world.commit(world.step(&a, None)).await.expect("first");
    let same = Commit { row: Row { version: RowVersion(1), ..Row::new(a.clone()) }, ..world.step(&a, Some(1)) };
    let fault = world.commit(same).await.expect_err("its version is not higher");
    assert_eq!((fault.kind, fault.touched), (FaultKind::Bug, Touched::Nothing));
    assert_eq!(world.records().await.len(), 1);
}

async fn the_lease_is_one_for_a_process(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    assert_eq!(world.state.lease().await.expect("held already"), world.epoch);
    world.commit(world.step(&group("a"), None)).await.expect("the first epoch is still the latest");
}

async fn the_lease_is_held_against_another(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    for _ in 0..3 {
        let fault = match world.harness.open().await {
            Err(fault) => fault,
            Ok(second) => second.lease().await.expect_err("somebody else holds it"),
        };
        assert_eq!((fault.kind, fault.touched), (FaultKind::Fenced, Touched::Nothing));
    }
    world.commit(world.step(&group("a"), None)).await.expect("the holder is not disturbed");
}

async fn an_earlier_epoch_loses(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    let (a, first) = (group("a"), world.epoch);
    world.commit(world.step(&a, None)).await.expect("first");
    let world = world.reopened().await;
    assert!(world.epoch > first, "each holder has a higher epoch");
    for epoch in [first, Epoch(world.epoch.0 + 1), Epoch(0)] {
        let fault = world.commit(Commit { epoch, ..world.step(&a, Some(1)) }).await.expect_err("not the latest epoch");
        assert_eq!((fault.kind, fault.touched), (FaultKind::Fenced, Touched::Nothing), "epoch {epoch}");
        let fault = world.state.append(&a, epoch, entry("denied", 0)).await.expect_err("not the latest epoch");
        assert_eq!((fault.kind, fault.touched), (FaultKind::Fenced, Touched::Nothing), "epoch {epoch}");
    }
    assert_eq!(world.records().await.len(), 1);
    world.commit(world.step(&a, Some(1))).await.expect("the latest goes on");
}

async fn without_the_lease_nothing_is_committed(harness: Arc<dyn Harness>) {
    let (world, a) = (World::open(harness).await, group("a"));
    let (commit, epoch) = (world.step(&a, None), world.epoch);
    let World { harness, state, .. } = world;
    drop(state);
    let state = harness.open().await.expect("it is free");
    for epoch in [epoch, Epoch(epoch.0 + 1)] {
        let fault = state.append(&a, epoch, entry("denied", 0)).await.expect_err("no lease was taken");
        assert_eq!((fault.kind, fault.touched), (FaultKind::Fenced, Touched::Nothing));
    }
    let fault = state.commit(commit).await.expect_err("no lease was taken");
    assert_eq!((fault.kind, fault.touched), (FaultKind::Fenced, Touched::Nothing));
}

async fn a_fenced_one_drops_out_alone(harness: Arc<dyn Harness>) {
    const MANY: u64 = 512;
    let world = World::open(harness).await;
    let stale = |number: u64| number % 7 == 3;
    let old = |number: u64| number % 11 == 5;
    let mut all = Vec::new();
    for number in 0..MANY {
        let name = group(&format!("g{number}"));
        let mut commit = Commit { candidate: minted(&name, 1, 1), ..world.step(&name, None) };
        if stale(number) {
            commit.expect = Some(RowVersion(0));
        }
        if old(number) {
            commit.epoch = Epoch(0);
        }
        let state = Arc::clone(&world.state);
        all.push((number, name, tokio::spawn(async move { state.commit(commit).await })));
    }
    let mut refused = BTreeSet::new();
    for (number, name, task) in all {
        let answer = task.await.expect("it was answered");
        assert_eq!(answer.is_ok(), !stale(number) && !old(number), "{number}: {answer:?}");
        if let Err(fault) = answer {
            assert_eq!((fault.kind, fault.touched), (FaultKind::Fenced, Touched::Nothing));
            assert!(world.value(&name, 1, 1).await.is_none());
            refused.insert(name);
        }
    }
    let records = world.records().await;
    assert_eq!(records.len() + refused.len(), 512);
    assert!(records.iter().all(|record| !refused.contains(&record.group)));
    assert_eq!(world.state.groups().await.expect("groups").len(), records.len());
}

async fn candidates_open_by_their_names_only(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    let (a, b) = (group("a"), group("b"));
    world.commit(Commit { candidate: minted(&a, 1, 1), ..world.step(&a, None) }).await.expect("a 1.1");
    world.commit(Commit { candidate: minted(&a, 1, 2), ..world.step(&a, Some(1)) }).await.expect("a 1.2");
    world.commit(Commit { candidate: minted(&b, 1, 1), ..world.step(&b, None) }).await.expect("b 1.1");
    let world = world.reopened().await;
    let sealed = world.state.candidates(&a).await.expect("a list");
    assert_eq!(
        sealed,
        [(Generation(1), Candidate(1)), (Generation(1), Candidate(2))],
        "another group's are not listed"
    );
    for (name, candidate) in [(&a, 1), (&a, 2), (&b, 1)] {
        let (_, _, minted) = minted(name, 1, candidate).expect("minted");
        assert!(world.value(name, 1, candidate).await.is_some_and(|value| value.matches(&minted)));
    }
    for (name, generation, candidate) in [(&a, 2, 1), (&a, 1, 3), (&b, 1, 2)] {
        assert!(world.value(name, generation, candidate).await.is_none());
    }
}

async fn candidates_are_erased_with_the_commit(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    let a = group("a");
    world.commit(Commit { candidate: minted(&a, 1, 1), ..world.step(&a, None) }).await.expect("1.1");
    world.commit(Commit { candidate: minted(&a, 1, 2), ..world.step(&a, Some(1)) }).await.expect("1.2");
    world.commit(Commit { candidate: minted(&a, 2, 1), ..world.step(&a, Some(2)) }).await.expect("2.1");
    let erase = vec![Generation(1), Generation(9)];
    world.commit(Commit { erase, ..world.step(&a, Some(3)) }).await.expect("absent is done");
    assert_eq!(world.state.candidates(&a).await.expect("a list"), [(Generation(2), Candidate(1))]);
    for (generation, candidate, there) in [(1, 1, false), (1, 2, false), (2, 1, true)] {
        assert_eq!(world.value(&a, generation, candidate).await.is_some(), there, "{generation}.{candidate}");
    }
}

async fn a_candidate_is_minted_once(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    let a = group("a");
    world.commit(Commit { candidate: minted(&a, 1, 1), ..world.step(&a, None) }).await.expect("1.1");
    let other = minted(&a, 7, 7).map(|(_, _, value)| (Generation(1), Candidate(1), value));
    let fault = world.commit(Commit { candidate: other, ..world.step(&a, Some(1)) }).await.expect_err("it is there");
    assert_eq!((fault.kind, fault.touched), (FaultKind::Bug, Touched::Nothing));
    let (_, _, first) = minted(&a, 1, 1).expect("minted");
    assert!(world.value(&a, 1, 1).await.is_some_and(|value| value.matches(&first)), "a value was replaced");
    assert_eq!(world.records().await.len(), 1);
}

async fn no_value_is_at_rest_in_clear(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    let a = group("a");
    for version in 0..20 {
        let expect = (version > 0).then_some(version);
        let commit = Commit { candidate: minted(&a, version + 1, 1), ..world.step(&a, expect) };
        world.commit(commit).await.expect("a step");
    }
    let found = |bytes: &[u8]| (1..=20).any(|generation| contains(bytes, &canary(&a, generation, 1)));
    let at_rest = world.harness.at_rest();
    assert!(contains(&at_rest, "<20>"), "the harness must show what is at rest");
    assert!(!found(&at_rest), "a value is at rest in clear while open");
    let world = world.reopened().await;
    assert!(!found(&world.harness.at_rest()), "a value is at rest in clear after a restart");
}

async fn history_has_no_gaps_and_no_lines_of_refused_commits(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    let a = group("a");
    for version in 0..10 {
        let expect = (version > 0).then_some(version);
        let commit = Commit { entries: vec![entry("one", version), entry("two", version)], ..world.step(&a, expect) };
        world.commit(commit).await.expect("a step");
        world.commit(world.step(&a, Some(99))).await.expect_err("refused");
    }
    let world = world.reopened().await;
    world.state.append(&a, world.epoch, entry("started", 77)).await.expect("appended");
    let records = world.records().await;
    assert_eq!(records.iter().map(|record| record.position).collect::<Vec<_>>(), (1..=21).collect::<Vec<_>>());
    let hashes: BTreeSet<_> = records.iter().map(|record| record.hash.clone()).collect();
    assert!(hashes.len() == 21 && hashes.iter().all(|hash| hash.len() == 64));
    for (record, number) in records.iter().zip((0..10).flat_map(|version| [version, version]).chain([77])) {
        assert!(record.body.contains(&format!("<{number}>")), "{}", record.body);
        assert_eq!((record.group.as_str(), record.at), ("a", Timestamp(1_000)));
    }
}

async fn history_is_read_in_pages(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    let a = group("a");
    let entries = (0..25).map(|number| entry("line", number)).collect();
    world.commit(Commit { entries, ..world.step(&a, None) }).await.expect("first");
    let all = world.records().await;
    let (mut read, mut after) = (Vec::new(), 0);
    loop {
        let page = world.state.records(after, 10).await.expect("a page");
        assert!(page.len() <= 10);
        let Some(last) = page.last() else { break };
        after = last.position;
        read.extend(page);
    }
    assert_eq!(read, all);
    assert!(world.state.records(u64::MAX, 10).await.expect("a page").is_empty());
    assert!(world.state.records(0, 0).await.expect("a page").is_empty());
}

async fn history_of_a_group_is_read_backwards(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    let (a, b) = (group("a"), group("b"));
    for version in 0..6 {
        let expect = (version > 0).then_some(version);
        let entries = vec![entry("one", version), entry("two", version)];
        world.commit(Commit { entries, ..world.step(&a, expect) }).await.expect("a step");
        world.commit(world.step(&b, expect)).await.expect("a step of another group");
    }
    let world = world.reopened().await;
    let mut all = world.records().await;
    all.reverse();
    let of_a: Vec<_> = all.iter().filter(|record| record.group == a).cloned().collect();
    for (of, expected) in [(Some(&a), &of_a), (None, &all)] {
        let (mut read, mut before) = (Vec::new(), None);
        loop {
            let page = world.state.history(of, before, 5).await.expect("a page");
            assert!(page.len() <= 5);
            let Some(last) = page.last() else { break };
            before = Some(last.position);
            read.extend(page);
        }
        assert_eq!(read, *expected);
        for nothing in [Some(0), Some(1)] {
            assert!(world.state.history(of, nothing, 5).await.expect("a page").is_empty(), "before {nothing:?}");
        }
        let beyond = world.state.history(of, Some(u64::MAX), 100).await.expect("a page");
        assert_eq!(beyond, *expected, "a position that is not there yet");
        assert!(world.state.history(of, None, 0).await.expect("a page").is_empty());
    }
    assert!(world.state.history(Some(&group("c")), None, 5).await.expect("a page").is_empty());
}

async fn history_that_belongs_to_no_row_is_appended(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    let a = group("a");
    world.state.append(&a, world.epoch, entry("denied", 1)).await.expect("the group need not exist");
    world.state.append(&a, world.epoch, entry("denied", 1)).await.expect("twice is twice");
    assert_eq!(world.records().await.len(), 2);
    assert!(world.state.load(&a).await.expect("a load").is_none());
}

async fn text_from_outside_stays_one_line(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    let mut line = entry("ordered", 1);
    line.actor = "mallory\n{\"event\":\"forged\"}\u{1b}[2J\0\r".to_owned();
    world.commit(Commit { entries: vec![line], ..world.step(&group("a"), None) }).await.expect("first");
    let body = world.records().await.remove(0).body;
    assert!(body.contains("mallory") && !body.chars().any(char::is_control), "{body:?}");
}

async fn a_request_is_carried_out_once(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    let a = group("a");
    let mine = request("anna", "k1", 1_000);
    world.state.carry_out(world.step(&a, None), mine.clone()).await.expect("first");
    let again = world.state.carry_out(world.step(&a, Some(1)), mine.clone()).await.expect_err("it was done");
    assert_eq!((again.kind, again.touched), (FaultKind::Fenced, Touched::Nothing));
    let late = world.state.carry_out(world.step(&a, None), request("anna", "k2", 1_000)).await.expect_err("fenced");
    assert_eq!((late.kind, late.touched), (FaultKind::Fenced, Touched::Nothing));
    let (one, other) = tokio::join!(
        world.state.carry_out(world.step(&a, Some(1)), request("bert", "k1", 1_000)),
        world.state.carry_out(world.step(&a, Some(1)), request("bert", "k1", 1_000)),
    );
    assert!(one.is_ok() != other.is_ok(), "exactly one is done: {one:?}, {other:?}");
    let world = world.reopened().await;
    assert_eq!(world.loaded(&a).await.row.version, RowVersion(2));
    assert_eq!(world.records().await.len(), 2, "a refused one left a line");
    for (caller, key, found) in
        [("anna", "k1", Some(mine)), ("bert", "k1", Some(request("bert", "k1", 1_000))), ("anna", "k2", None)]
    {
        assert_eq!(world.state.request(caller, key).await.expect("a look"), found, "{caller} {key}");
    }
}

async fn requests_are_forgotten_after_a_day(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    let a = group("a");
    let (early, late) = (request("anna", "early", 0), request("anna", "late", 1));
    world.state.carry_out(world.step(&a, None), early).await.expect("first");
    world.state.carry_out(world.step(&a, Some(1)), late.clone()).await.expect("second");
    let next = request("anna", "next", REQUEST_KEPT_MS_MIN + 1);
    world.state.carry_out(world.step(&a, Some(2)), next).await.expect("a day later");
    assert_eq!(world.state.request("anna", "early").await.expect("a look"), None);
    assert_eq!(world.state.request("anna", "late").await.expect("a look"), Some(late), "a day is not over");
    let world = world.reopened().await;
    let early = request("anna", "early", REQUEST_KEPT_MS_MIN + 2);
    world.state.carry_out(world.step(&a, Some(3)), early).await.expect("the key is free again");
}

fn request(caller: &str, key: &str, at: i64) -> Request {
    let (caller, key) = (caller.to_owned(), key.to_owned());
    Request { caller, key, digest: [7; 32], at: Timestamp(at), answer: "2".to_owned() }
}

async fn due_lists_the_most_overdue_first_and_the_next(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    for (name, due_at) in [("c", Some(30)), ("a", Some(10)), ("d", Some(40)), ("b", Some(20)), ("e", None)] {
        let name = group(name);
        world.commit(Commit { due_at: due_at.map(Timestamp), ..world.step(&name, None) }).await.expect("first");
    }
    let due = async |now, limit| {
        let (due, next) = world.state.due(Timestamp(now), limit).await.expect("due");
        (due.iter().map(ToString::to_string).collect::<Vec<_>>().join(""), next.map(|next| next.0))
    };
    assert_eq!(due(9, 10).await, (String::new(), Some(10)));
    assert_eq!(due(10, 10).await, ("a".to_owned(), Some(20)), "due at the very moment");
    assert_eq!(due(35, 10).await, ("abc".to_owned(), Some(40)));
    assert_eq!(due(99, 10).await, ("abcd".to_owned(), None));
    assert_eq!(due(35, 2).await, ("ab".to_owned(), Some(30)), "the next one is due already");
    assert_eq!(due(99, 4).await, ("abcd".to_owned(), None));
}

async fn due_follows_each_commit(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    let a = group("a");
    world.commit(Commit { due_at: Some(Timestamp(10)), ..world.step(&a, None) }).await.expect("first");
    world.commit(Commit { due_at: Some(Timestamp(50)), ..world.step(&a, Some(1)) }).await.expect("later");
    assert_eq!(world.state.due(Timestamp(10), 9).await.expect("due"), (Vec::new(), Some(Timestamp(50))));
    world.commit(world.step(&a, Some(2))).await.expect("not before somebody asks");
    assert_eq!(world.state.due(Timestamp(99), 9).await.expect("due"), (Vec::new(), None));
}

async fn cursors_only_rise(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    for (position, stands) in [(5, 5), (3, 5), (5, 5), (8, 8), (0, 8)] {
        world.state.move_cursor("file", position).await.expect("moved or left");
        assert_eq!(world.state.cursor("file").await.expect("cursor"), stands);
    }
    assert_eq!(world.state.cursor("syslog").await.expect("cursor"), 0, "each sink has its own");
    let world = world.reopened().await;
    assert_eq!(world.state.cursor("file").await.expect("cursor"), 8);
}

async fn a_restart_changes_nothing(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    let a = group("a");
    let first = Commit { candidate: minted(&a, 1, 1), due_at: Some(Timestamp(7)), ..world.step(&a, None) };
    world.commit(first).await.expect("first");
    let (row, records) = (world.loaded(&a).await.row, world.records().await);
    let mut world = world;
    for _ in 0..3 {
        world = world.reopened().await;
        assert_eq!(world.loaded(&a).await.row, row);
        assert_eq!(world.records().await, records, "a restart writes no history of its own");
        assert!(world.value(&a, 1, 1).await.is_some());
        assert_eq!(world.state.due(Timestamp(7), 9).await.expect("due"), (vec![a.clone()], None));
    }
}

async fn cut_off_a_commit_is_all_or_nothing(harness: Arc<dyn Harness>) {
    let world = World::open(harness).await;
    let a = group("a");
    world.commit(world.step(&a, None)).await.expect("first");
    for round in 0..60 {
        let version = world.loaded(&a).await.row.version.0;
        let commit = Commit { candidate: minted(&a, version + 1, 1), ..world.step(&a, Some(version)) };
        if round % 3 == 0 {
            // Polled once, then dropped: it may or may not be under way.
            let mut cut = world.state.commit(commit);
            let _ = cut.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        } else {
            let limit = Duration::from_micros(round * 20);
            let _ = tokio::time::timeout(limit, world.state.commit(commit)).await;
        }
        // A commit that is answered comes after whatever was cut off before it.
        world.state.append(&group("other"), world.epoch, entry("after", round)).await.expect("appended");
        let row = world.loaded(&a).await.row;
        let lines = world.records().await.iter().filter(|record| record.group == a).count();
        assert_eq!(lines as u64, row.version.0, "row and history disagree");
        let sealed = world.value(&a, version + 1, 1).await.is_some();
        assert_eq!(sealed, row.version.0 == version + 1, "row and candidate disagree");
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
