//! The clock of the real controller jumps, or stands still. libfaketime moves it for this process alone; the clock that
//! only goes forward is left as it is, as the kernel leaves it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::stage::{SLOW, Stage, both};

/// Long enough to tell a wait from none, on a slow machine too.
const WAIT: Duration = Duration::from_secs(3);
/// What a jump may add: twice the poll interval. And what passes between a phase and its being seen.
const SLACK: Duration = Duration::from_secs(1);
const POLICY: &str = "passes_min = 1\nquiet_min = \"3s\"\noverlap_min = \"0s\"\nbrake_for = \"3s\"\npoll = \"100ms\"";
const HOUR: i64 = 3_600;

fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap().flatten();
    let mut libraries = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    let found = libraries.find(|library| library.exists());
    found.unwrap_or_else(|| {
        panic!(
            "libfaketime is missing; run: cargo xtask setup, or: apt-get install -y --no-install-recommends libfaketime"
        )
    })
}

/// A controller whose clock is moved by what is written into a file.
struct Clock<'a>(&'a Stage);

impl<'a> Clock<'a> {
    fn start(stage: &'a Stage) -> Self {
        let clock = Self(stage);
        clock.moved_by(0);
        stage.rig.stop().unwrap();
        let (library, file) = (library(), stage.rig.path("clock"));
        let environment = [
            ("LD_PRELOAD", library.to_str().unwrap()),
            ("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap()),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("NO_FAKE_STAT", "1"),
        ];
        stage.rig.start(&environment).unwrap();
        clock
    }

    fn moved_by(&self, seconds: i64) {
        self.write(&format!("{seconds:+}"));
    }

    fn stands_still(&self) {
        self.write("2030-01-01 00:00:00");
    }

    /// Whole at once: the file is read again at each look at the clock.
    fn write(&self, text: &str) {
        let path = |name| self.0.rig.path(name);
        std::fs::write(path("clock.new"), text).unwrap();
        std::fs::rename(path("clock.new"), path("clock")).unwrap();
    }

    /// By how many seconds the clock jumped, as history tells, the oldest first.
    fn told(&self) -> Vec<i64> {
        let history = self.0.rig.succeed(&["audit", "export"]).unwrap().replace('\\', "");
        let records = history.lines().filter(|line| line.contains("clock_jumped"));
        let milliseconds = records.map(|line| {
            let from = line.split("by_ms\":\"").nth(1).unwrap_or_else(|| panic!("{line}"));
            from.split('"').next().unwrap().parse::<i64>().unwrap()
        });
        milliseconds.map(|by_ms| (by_ms + by_ms.signum() * 500) / 1000).collect()
    }
}

/// F62: +1 h, -1 h and +1 d, in each phase that waits; nothing is retired early, and each jump is in history.
#[tokio::test(flavor = "multi_thread")]
async fn jumps_in_each_phase_retire_nothing_early_and_are_told() {
    let stage = Stage::set(POLICY, both()).await;
    let clock = Clock::start(&stage);
    let mut moved = 0;
    let mut jumps = vec![];
    for jump in [HOUR, -HOUR, 24 * HOUR] {
        let old = stage.consumer.live.current();
        let mut leap = async || {
            moved += jump;
            jumps.push(jump);
            clock.moved_by(moved);
            let told = || stage.rig.said().matches("clock jumped").count();
            stage.wait("the jump to be noticed", |_| told() >= jumps.len()).await;
        };
        stage.order("rotate");
        stage.comes_to("propagate").await;
        leap().await;
        assert!(stage.lets_in(&old).await, "{SLOW} has not moved");
        stage.slow_moves();
        stage.waits_for("quiet").await;
        let quiet_since = Instant::now();
        leap().await;
        stage.comes_to("disable").await;
        assert!(
            quiet_since.elapsed() + SLACK >= WAIT,
            "quiet for {:?} after a jump by {jump} s",
            quiet_since.elapsed()
        );
        stage.waits_for("brake").await;
        let held_since = Instant::now();
        leap().await;
        stage.ends_as("success").await;
        assert!(held_since.elapsed() + SLACK >= WAIT, "held for {:?} after a jump by {jump} s", held_since.elapsed());
        assert!(!stage.lets_in(&old).await, "it is retired in the end");
    }
    let told = clock.told();
    assert_eq!(told, jumps, "each jump is told once");
}

/// F62: a clock that stands still lengthens waits, and stops nothing for good.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_stands_still_retires_nothing_and_ends_what_it_began_when_it_goes() {
    let stage = Stage::set(POLICY, both()).await;
    let clock = Clock::start(&stage);
    let old = stage.consumer.live.current();
    stage.order("rotate");
    stage.comes_to("propagate").await;
    stage.slow_moves();
    stage.waits_for("quiet").await;
    clock.stands_still();
    // Every statement is in the server's log: looks go on, by the clock that only goes forward.
    let looks = || stage.rig.postgres.log().matches("FROM pg_stat_activity WHERE usename").count();
    let before = looks();
    let since = Instant::now();
    stage.wait("more looks than a quiet time takes", |_| looks() > before + 40 && since.elapsed() > 2 * WAIT).await;
    assert_eq!(stage.status()["rotation"]["phase"], "drain", "nothing was waited for while the clock stood still");
    assert!(stage.lets_in(&old).await);
    clock.moved_by(0);
    stage.ends_as("success").await;
    let told = clock.told();
    assert!(told.iter().any(|by| *by > HOUR) && told.iter().any(|by| *by < -HOUR), "to the moment and back: {told:?}");
    assert!(told.len() <= 5, "and not at each look: {told:?}");
}
