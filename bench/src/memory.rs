//! P10: what an idle controller holds in memory, with one group and with many, against an idle OpenBao.

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use handover_testkit::rig::{Options, Rig};

use crate::openbao::OpenBao;
use crate::report::{Budget, Findings};
use crate::{Setting, Trouble};

/// As many as a configuration may have.
const MANY: usize = 100_000;
/// It is idle once this long nothing changed.
const STEADY: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs it.
pub(crate) fn run(setting: &Setting) -> Result<Findings, Trouble> {
    let mut found = Findings::default();
    let many = if setting.smoke { 20 } else { MANY };
    let one = controller(setting, 1)?.idle;
    let Held { idle: more, start, reloaded } = controller(setting, many)?;
    let (what, whats) = ("idle controller, 1 group", format!("idle controller, {many} groups"));
    if setting.smoke {
        found.figure("P10", (what, one, "MiB"), Some(30.0));
        found.figure("P10", (&whats, more, "MiB"), Some(150.0));
        found.figure("P10", ("the same after a reload", reloaded, "MiB"), None);
        found.note("OpenBao was not started: a smoke run downloads nothing");
        return Ok(found);
    }
    let bao = OpenBao::start(setting)?;
    let peer = settled(|| bao.resident_mib())?;
    found.compare("P10", (what, one, "MiB"), ("an idle OpenBao", peer), Budget::Max(30.0));
    found.compare("P10", (&whats, more, "MiB"), ("an idle OpenBao", peer), Budget::Max(150.0));
    found.figure("P10", ("the same after a reload", reloaded, "MiB"), None);
    found.figure("P10", (&format!("first start with {many} groups"), start.as_secs_f64(), "s"), None);
    found.note(format!(
        "{:.2} KiB for each group, none of which has rotated",
        (more - one) * 1024.0 / (many - 1) as f64
    ));
    Ok(found)
}

/// What a controller came to.
struct Held {
    /// In MiB, once it was idle.
    idle: f64,
    /// How long it took until it was ready.
    start: Duration,
    /// In MiB, after a reload in which one group changed.
    reloaded: f64,
}

/// Starts the real program with so many groups, and looks at it once it is idle.
fn controller(setting: &Setting, groups: usize) -> Result<Held, Trouble> {
    let options = Options { consumers: vec!["app"], policy: String::new(), fsync: false };
    let rig = Rig::new(&setting.handover, &options).map_err(|error| error.to_string())?;
    let path = rig.path("handover.toml");
    let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
    let (head, group) = text.split_once("[[group]]").ok_or("the configuration has no group")?;
    let mut many = head.to_owned();
    for number in 0..groups {
        let another = group
            .replace("name = \"app\"", &format!("name = \"app-{number:05}\""))
            .replace("app_a\"", &format!("app_{number:05}_a\""))
            .replace("app_b\"", &format!("app_{number:05}_b\""))
            .replace("app_owner\"", &format!("app_{number:05}_owner\""));
        // Writing to a string does not fail.
        let _ = writeln!(many, "[[group]]{another}");
    }
    fs::write(&path, &many).map_err(|error| error.to_string())?;
    let begun = Instant::now();
    rig.start(&[]).map_err(|error| error.to_string())?;
    let start = begun.elapsed();
    let process = rig.pid().ok_or("the controller is not there")?;
    let idle = settled(|| resident_mib(process))?;
    let another = many.replacen("app_00000_a\"", "app_00000_c\"", 1);
    fs::write(&path, another).map_err(|error| error.to_string())?;
    if !rig.hang_up() || !rig.says_within("configuration taken", PATIENCE) {
        return Err(format!("the configuration was not taken again; the controller said:\n{}", rig.said()));
    }
    Ok(Held { idle, start, reloaded: settled(|| resident_mib(process))? })
}

/// What a process holds in memory.
pub(crate) fn resident_mib(process: u32) -> Result<f64, Trouble> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).map_err(|error| error.to_string())?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: Option<f64> = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse().ok());
    kib.map(|kib| kib / 1024.0).ok_or_else(|| format!("process {process} does not say what it holds"))
}

/// The value once it stays the same, to a hundredth.
fn settled(look: impl Fn() -> Result<f64, Trouble>) -> Result<f64, Trouble> {
    let limit = Instant::now() + PATIENCE;
    let (mut since, mut last) = (Instant::now(), look()?);
    while since.elapsed() < STEADY {
        if Instant::now() > limit {
            return Err(format!("it does not come to rest; last {last:.1} MiB"));
        }
        std::thread::sleep(Duration::from_millis(100));
        let now = look()?;
        if (now - last).abs() > last / 100.0 {
            (since, last) = (Instant::now(), now);
        }
    }
    Ok(last)
}
