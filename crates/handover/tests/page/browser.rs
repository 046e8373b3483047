//! A real Chromium without a window, driven over WebDriver. Each has a profile of its own, and ends with its handle.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

const DRIVER: &str = "/usr/bin/chromedriver";
const CHROMIUM: &str = "/usr/bin/chromium";
const PATIENCE: Duration = Duration::from_secs(30);
const ARGUMENTS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    // Over a pipe: it opens no port, and ends when its driver does.
    "--remote-debugging-pipe",
    "--force-device-scale-factor=1",
];

pub(crate) struct Browser {
    driver: Child,
    port: u16,
    session: String,
    profile: tempfile::TempDir,
}

impl Browser {
    pub(crate) fn start() -> Self {
        for program in [CHROMIUM, DRIVER] {
            assert!(
                Path::new(program).exists(),
                "{program} is missing, and the page is tested in the real one; run: cargo xtask setup, or: \
                 apt-get install -y --no-install-recommends chromium chromium-driver"
            );
        }
        let profile = tempfile::Builder::new().prefix("handover-chromium-").tempdir().unwrap();
        let port = free_port();
        let driver = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", DRIVER, &format!("--port={port}")])
            .env("HOME", profile.path())
            .env("TMPDIR", profile.path())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut browser = Self { driver, port, session: String::new(), profile };
        browser.begin();
        browser
    }

    fn begin(&mut self) {
        wait(
            "the driver",
            || self.try_ask("GET", "/status", None).is_some().then_some(()),
            || String::from("no answer"),
        );
        let profile = format!("--user-data-dir={}", self.profile.path().join("profile").display());
        let mut arguments: Vec<&str> = ARGUMENTS.to_vec();
        arguments.push(&profile);
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "binary": CHROMIUM, "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        }}});
        let session = self.ask("POST", "/session", Some(&wanted));
        session["sessionId"].as_str().unwrap().clone_into(&mut self.session);
        self.size(1280, 900);
        // The empty page that a browser begins with is not ours.
        let _ = self.requested();
    }

    pub(crate) fn open(&self, url: &str) {
        self.in_session("POST", "/url", &json!({ "url": url }));
    }

    /// Runs the body of a function in the page.
    pub(crate) fn script(&self, body: &str, arguments: &Value) -> Value {
        self.in_session("POST", "/execute/sync", &json!({ "script": body, "args": arguments }))
    }

    /// What `expression` comes to in the page.
    pub(crate) fn value(&self, expression: &str) -> Value {
        self.script(&format!("return {expression};"), &json!([]))
    }

    /// What a person reads of the content.
    pub(crate) fn text(&self) -> String {
        self.value("document.getElementById('main').innerText").as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the page shows `text`.
    pub(crate) fn shows(&self, text: &str) {
        let reached = || self.text().contains(text).then_some(());
        wait(&format!("the page to show {text:?}"), reached, || self.text());
    }

    /// Waits until `expression` holds in the page.
    pub(crate) fn holds(&self, expression: &str) {
        let reached = || (self.value(expression) == Value::Bool(true)).then_some(());
        wait(expression, reached, || self.text());
    }

    /// Presses and releases keys, one after another.
    pub(crate) fn press(&self, keys: &str) {
        let each = |key: char| [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })];
        let actions: Vec<Value> = keys.chars().flat_map(each).collect();
        let keyboard = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] });
        self.in_session("POST", "/actions", &keyboard);
    }

    /// A command of the DevTools protocol.
    pub(crate) fn devtools(&self, command: &str, parameters: &Value) {
        self.in_session("POST", "/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }));
    }

    pub(crate) fn size(&self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics);
    }

    pub(crate) fn scheme(&self, scheme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", &features);
    }

    /// The messages of a log since the last look.
    pub(crate) fn log(&self, kind: &str) -> Vec<String> {
        let entries = self.in_session("POST", "/se/log", &json!({ "type": kind }));
        let messages = entries.as_array().unwrap().iter();
        messages.map(|entry| format!("{} {}", entry["level"], entry["message"].as_str().unwrap_or_default())).collect()
    }

    /// All URLs that were asked for since the last look.
    pub(crate) fn requested(&self) -> Vec<String> {
        let entries = self.in_session("POST", "/se/log", &json!({ "type": "performance" }));
        let messages = entries.as_array().unwrap().iter().filter_map(|entry| entry["message"].as_str());
        let events = messages.map(|message| serde_json::from_str::<Value>(message).unwrap()["message"].take());
        let sent = events.filter(|event| event["method"] == "Network.requestWillBeSent");
        sent.map(|event| event["params"]["request"]["url"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Keeps a picture of the whole page under `target/page/`, for people.
    pub(crate) fn picture(&self, name: &str) {
        let height = self.value("Math.min(document.documentElement.scrollHeight, 4000)").as_u64().unwrap();
        let width = self.value("document.documentElement.clientWidth").as_u64().unwrap();
        self.size(u32::try_from(width).unwrap(), u32::try_from(height).unwrap());
        let picture = self.ask("GET", &format!("/session/{}/screenshot", self.session), None);
        self.size(u32::try_from(width).unwrap(), 900);
        let bytes = base64::engine::general_purpose::STANDARD.decode(picture.as_str().unwrap()).unwrap();
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("page");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(format!("{name}.png")), bytes).unwrap();
    }

    fn in_session(&self, method: &str, path: &str, body: &Value) -> Value {
        self.ask(method, &format!("/session/{}{path}", self.session), Some(body))
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let mut answer = self.try_ask(method, path, body).unwrap_or_else(|| panic!("the driver is gone at {path}"));
        assert!(answer["value"]["error"].is_null(), "{method} {path}: {}", answer["value"]["message"]);
        answer["value"].take()
    }

    /// One request to the driver, on a connection of its own; `None` if there was no answer.
    fn try_ask(&self, method: &str, path: &str, body: Option<&Value>) -> Option<Value> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n",
            self.port,
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).ok()?;
        // The driver keeps connections open, so the answer ends where its head says.
        let mut answer = BufReader::new(stream);
        let (mut line, mut length) = (String::new(), 0);
        while answer.read_line(&mut line).ok()? > 2 {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            line.clear();
        }
        let mut body = vec![0; length];
        answer.read_exact(&mut body).ok()?;
        serde_json::from_slice(&body).ok()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends the browser in order; whatever is left of both is one group of processes.
        let _ = self.try_ask("DELETE", &format!("/session/{}", self.session), None);
        if let Some(group) = i32::try_from(self.driver.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.driver.wait();
    }
}

/// Waits until `reached` gives something; what was last seen is said where it does not.
pub(crate) fn wait<T>(what: &str, mut reached: impl FnMut() -> Option<T>, last_seen: impl Fn() -> String) -> T {
    let limit = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = reached() {
            return found;
        }
        assert!(Instant::now() < limit, "waited for {what}; last seen:\n{}", last_seen());
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// Below the range of ports that clients get, where a client that polls a dead port can connect to itself. Tests side
/// by side get different ones.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 20_000 + u16::try_from(std::process::id() % 12_000).unwrap();
    let port = || start + NEXT.fetch_add(1, Ordering::Relaxed);
    std::iter::repeat_with(port).take(700).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}
