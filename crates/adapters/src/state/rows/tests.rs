use handover_core::schedule::Cadence;
use handover_core::{Doubt, Moments, Opened, Phase, Roll, Timestamp};
use handover_testkit::conformance::state::{asking_plans, campaigns, doubted_rows, plans, rows};

use super::*;

#[test]
fn every_variant_is_read_as_it_was_written() {
    for row in rows().into_iter().chain(doubted_rows()) {
        assert_eq!(read_row(&write_row(&row)).unwrap(), row);
    }
    for plan in plans().into_iter().chain(asking_plans()) {
        assert_eq!(read_plan(&write_plan(&plan)).unwrap(), plan);
    }
    for campaign in campaigns() {
        assert_eq!(read_campaign(&write_campaign(&campaign)).unwrap(), campaign);
    }
}

/// What came later than the first rows of this version is written where it says something, and nothing else.
#[test]
fn checks_are_read_as_they_were_written() {
    let phase = |passes| Phase::Propagate { presenters: Roll::Uncalled, passes, opened: Opened::All };
    let mut row = rows().into_iter().find(|row| row.rotation.is_some()).unwrap();
    for (passes, is_written) in [(0, false), (2, true)] {
        row.rotation.as_mut().unwrap().phase = phase(passes);
        let stored = write_row(&row);
        assert_eq!(stored.contains("\"passes\""), is_written, "{stored}");
        assert_eq!(read_row(&stored).unwrap(), row);
    }
    let mut plan = plans().remove(0);
    for (before_publish, after_publish) in [(false, false), (true, false), (false, true)] {
        plan.checks = Moments { before_publish, after_publish };
        let stored = write_plan(&plan);
        assert_eq!(stored.contains("\"checks\""), before_publish || after_publish, "{stored}");
        assert_eq!(read_plan(&stored).unwrap(), plan);
    }
}

#[test]
fn another_version_is_refused_with_a_next_step() {
    let newer = write_row(&rows()[1]).replacen("\"v\":1", "\"v\":2", 1);
    let fault = read_row(&newer).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Misconfigured);
    assert!(fault.detail.contains("version 2") && fault.detail.contains("run the program that wrote it"), "{fault}");
    let unreadable = r#"{"v":9,"shape":"unknown to this program"}"#;
    assert_eq!(read_plan(unreadable).unwrap_err().kind, FaultKind::Misconfigured, "only the version is looked at");
}

#[test]
fn what_makes_no_sense_is_corrupt_and_not_quoted() {
    let good = write_row(&rows()[3]);
    for (what, bad) in [
        ("cut", good[..good.len() / 2].to_owned()),
        ("empty", String::new()),
        ("unknown field", good.replacen("\"v\":1", "\"v\":1,\"later\":true", 1)),
        ("missing field", good.replacen("\"publication\":2,", "", 1)),
        ("bad name", good.replacen("group-2.a_b", "Group 2", 1)),
        ("unknown variant", good.replacen("\"verify\"", "\"verifies\"", 1)),
        ("negative counter", good.replacen("\"publication\":2", "\"publication\":-2", 1)),
    ] {
        assert_ne!(bad, good, "{what}: the edit did not take");
        let fault = read_row(&bad).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Corrupt, "{what}");
        assert!(!fault.detail.contains("Group 2") && !fault.detail.contains("verifies"), "{fault}");
    }
}

/// What a row of this version looks like. If this test fails, stored rows changed: raise the version.
#[test]
fn the_stored_form_is_fixed() {
    let row = rows().into_iter().nth(8).unwrap();
    let stored = concat!(
        r#"{"v":1,"group":"group-7.a_b","version":8,"current":null,"last_generation":9223372036854775807,"#,
        r#""publication":7,"heads":{"empty":"","vault":"v\"1\n"},"rotation":{"from":null,"#,
        r#""to":{"generation":9,"slot":1,"candidate":4294967295},"#,
        r#""owed":[{"generation":0,"slot":0,"candidate":4294967295}],"#,
        r#""phase":{"disable":{"refused":[1,4],"held":{"total":{"secs":4,"nanos":999999999},"seen_at":2},"#,
        r#""presenters":{"behind":{"who":["job-1","web"],"complete":true}}}},"#,
        r#""elapsed":{"total":{"secs":7,"nanos":999999999},"seen_at":null},"entered_at":-1,"hold":null,"#,
        r#""trouble":"HO0108","cause":"unfit"}}"#
    );
    // Rows of before there were doubts have no such field, and are read.
    assert_eq!(write_row(&row), stored);
    assert_eq!(read_row(stored).unwrap(), row);
    let row = Row { doubt: Some(Doubt::Restored), ..row };
    let doubted = format!("{},\"doubt\":\"restored\"}}", stored.strip_suffix('}').unwrap());
    assert_eq!(write_row(&row), doubted);
    // Nor is there one of what was never scheduled.
    let cadence = Cadence { since: Some(Timestamp(-5)), paused: true, retries: 0 };
    let row = Row { doubt: None, cadence, ..row };
    let paused = format!("{},\"cadence\":{{\"since\":-5,\"paused\":true}}}}", stored.strip_suffix('}').unwrap());
    assert_eq!(write_row(&row), paused);
    assert_eq!(read_row(&paused).unwrap(), row);
}

/// S44: whatever stands in a row, reading it ends in a row that is written as it was read, or in a fault.
#[test]
fn hostile_rows_are_read_or_refused() {
    let examples: Vec<String> = rows()
        .iter()
        .chain(&doubted_rows())
        .map(write_row)
        .chain(plans().iter().chain(&asking_plans()).map(write_plan))
        .collect();
    handover_testkit::mutate::texts(11, 20_000, &examples, |text| {
        if let Ok(row) = read_row(text) {
            assert_eq!(read_row(&write_row(&row)).unwrap(), row, "{text}");
        }
        if let Ok(plan) = read_plan(text) {
            assert_eq!(read_plan(&write_plan(&plan)).unwrap(), plan, "{text}");
        }
    });
}
