//! The web page in a real Chromium: what it shows of a real rotation, and that it can be read and used by everybody.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "page/browser.rs"]
mod browser;

use std::path::Path;
use std::time::Duration;

use browser::{Browser, wait};
use handover_api::{
    GroupStatus, GroupSummary, Groups, MemberView, OccupantView, Reach, Role, RotationView, Status, WaitingFor,
};
use handover_sdk::{Client, Options as ClientOptions};
use handover_testkit::rig::{GROUP, OPERATOR, Options, Rig};
use serde_json::{Value, json};

const POLICY: &str = "poll = \"100ms\"\nquiet_min = \"300ms\"\nbrake_for = \"300ms\"\npasses_min = 2";
const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const HOSTILE: &str = "<img src=x onerror=\"window.hit=1\"><script>window.hit=1</script>&lt;b&gt;";

fn rig(consumers: Vec<&'static str>) -> Rig {
    let options = Options { consumers, policy: POLICY.to_owned(), fsync: false };
    let rig = Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap();
    rig.start(&[]).unwrap();
    rig
}

fn operator(rig: &Rig) -> String {
    std::fs::read_to_string(rig.path(&format!("{OPERATOR}.token"))).unwrap().trim().to_owned()
}

fn sign_in(browser: &Browser, token: &str) {
    browser.shows("Operator token");
    let body =
        "const field = document.getElementById('token'); field.value = arguments[0]; field.form.requestSubmit();";
    browser.script(body, &json!([token]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_is_seen_as_it_goes() {
    let (rig, browser) = (rig(vec!["worker"]), Browser::start());
    browser.open(&rig.url());
    sign_in(&browser, "hnd_wrong");
    browser.shows("this needs a token that the server knows");
    sign_in(&browser, &operator(&rig));
    browser.shows("never rotated");
    browser.holds("document.getElementById('link').textContent === 'Live'");
    browser.script("document.querySelector('main td a').click()", &json!([]));
    browser.shows("It was never rotated.");

    rig.succeed(&["rotate", GROUP]).unwrap();
    browser.shows("presenter worker has not acknowledged");
    browser.holds("document.querySelector('.step.present').dataset.phase === 'propagate'");
    browser.holds("document.querySelectorAll('.step.ahead').length === 3");
    browser.holds("document.querySelector('.waiting time') !== null");
    browser.holds("/worker\\s+presenter\\s+expected\\s+none/.test(document.querySelector('main table').innerText)");

    rig.succeed(&["hold", GROUP, "--reason", HOSTILE]).unwrap();
    browser.shows("it is held: a person asked for it");
    rig.succeed(&["resume", GROUP]).unwrap();
    wait("the hold to go", || (!browser.text().contains("it is held")).then_some(()), || browser.text());

    let token = rig.token_file("worker", "consumer").unwrap();
    let mut options = ClientOptions::new(rig.url(), "worker", token);
    options.poll = Duration::from_millis(200);
    let _live = Client::new(options).unwrap().live(GROUP).await.unwrap();
    browser.shows("Last rotation");
    browser.shows("generation 1 in slot 0");
    browser.holds("document.querySelector('#announce').textContent === 'app: ended: success'");
    browser.holds("/worker\\s+presenter\\s+loaded\\s+1/.test(document.querySelector('main table').innerText)");
    browser.holds("document.querySelector('.step:last-child').dataset.phase === 'done'");

    rig.stop().unwrap();
    browser.shows("the server cannot be reached");
    assert!(browser.text().contains("generation 1 in slot 0"), "what was last seen stays");
    rig.start(&[]).unwrap();
    browser.holds("document.getElementById('link').textContent === 'Live' && !document.querySelector('.notice')");
    judge(&browser, &rig);
}

/// Nothing went anywhere but to our origin, the browser's policy was never broken, and the token stayed where it was.
fn judge(browser: &Browser, rig: &Rig) {
    let requested = browser.requested();
    assert!(requested.len() > 5, "{requested:?}");
    for url in requested {
        assert!(url.starts_with(&rig.url()), "asked for {url}");
        assert!(!url.contains("hnd_"), "a token is in {url}");
    }
    for line in browser.log("browser") {
        assert!(line.contains("Failed to load resource"), "{line}");
    }
    let token = operator(rig);
    let kept = browser.value("JSON.stringify([localStorage, document.cookie, document.documentElement.outerHTML])");
    assert!(!kept.as_str().unwrap().contains(&token), "the token is kept where it must not be");
    assert_eq!(browser.value("sessionStorage.length"), 1);
    browser.script("document.getElementById('sign-out').click()", &json!([]));
    browser.shows("Operator token");
    assert_eq!(browser.value("sessionStorage.length"), 0);
}

#[test]
fn commands_beside_the_views_are_those_of_the_program() {
    let (rig, browser) = (rig(vec![]), Browser::start());
    browser.open(&rig.url());
    browser.shows("Operator token");
    let commands = || -> Vec<String> {
        let found = browser.value("[...document.querySelectorAll('code.command')].map((each) => each.textContent)");
        serde_json::from_value(found).unwrap()
    };
    let mut all = commands();
    sign_in(&browser, &operator(&rig));
    for (view, title) in
        [("#/", "Groups"), ("#/groups/app", "app"), ("#/audit", "Audit"), ("#/audit/app", "Audit of app")]
    {
        browser.script("location.hash = arguments[0]", &json!([view]));
        browser.holds(&format!("document.querySelector('h1')?.textContent === '{title}'"));
        let here = commands();
        assert!(!here.is_empty(), "{view}");
        all.extend(here);
    }
    for command in all {
        let words = command.split(' ').skip(1).take_while(|word| word.chars().all(|c| c.is_ascii_lowercase()));
        let mut arguments: Vec<&str> = words.filter(|word| *word != GROUP).collect();
        assert!(command.starts_with("handover ") && !arguments.is_empty(), "{command}");
        arguments.push("--help");
        rig.succeed(&arguments).unwrap();
    }
}

#[test]
fn everything_is_reached_by_the_keyboard_alone() {
    let (rig, browser) = (rig(vec![]), Browser::start());
    pretend(&browser, "worker");
    browser.open(&rig.url());
    browser.shows("Operator token");
    assert_eq!(walk(&browser, 3), ["Skip to content", "#token", "Sign in"]);
    browser.press(&TAB.repeat(2));
    assert_eq!(browser.value("document.activeElement.id"), "skip", "it goes round");
    browser.press(TAB);
    browser.press(&format!("hnd_x{ENTER}"));
    browser.shows("3 of 3 groups");
    browser.holds("document.activeElement.id === 'main'");
    let stops = ["#filter", "Group", "State", "Held", "Generation", "Publication", "Since", "alpha", "beta"];
    assert_eq!(walk(&browser, stops.len()), stops);

    browser.script("document.getElementById('skip').focus()", &json!([]));
    assert_eq!(walk(&browser, 4), ["Groups", "Audit", "Sign out", "#filter"]);
    browser.press(&format!("alp{TAB}"));
    browser.shows("1 of 3 groups");
    assert_eq!(browser.value("document.activeElement.textContent"), "Group", "the focus stays through a redrawing");
    browser.press(ENTER);
    browser.holds("document.querySelector('th').getAttribute('aria-sort') === 'descending'");
    browser.script("document.querySelector('main td a').focus()", &json!([]));
    browser.press(ENTER);
    browser.shows("Timeline");
    browser.holds("document.activeElement.id === 'main' && document.title === 'alpha · Handover'");
    let phases = browser.value("[...document.querySelectorAll('.step')].map((step) => step.dataset.phase).join(' ')");
    assert_eq!(phases, "stage apply propagate drain disable destroy");
    browser.shows("03:04:03 learnt: worker");
    browser.shows("took 3 s");
    assert_eq!(walk(&browser, 2), ["Groups", "Audit of this group"]);

    browser.script("document.getElementById('skip').focus()", &json!([]));
    browser.press(ENTER);
    browser.holds("document.activeElement.id === 'main' && location.hash === '#/groups/alpha'");
    browser.script("tell(arguments[0])", &json!([phase_event()]));
    browser
        .holds("document.querySelector('[aria-live=polite]').textContent === 'alpha: phase drain, held: force wanted'");
}

fn phase_event() -> handover_api::WatchEvent {
    handover_api::WatchEvent::Phase {
        group: "alpha".to_owned(),
        generation: 5,
        phase: "drain".to_owned(),
        status: Status::InProgress,
        hold: Some("force_wanted".to_owned()),
    }
}

/// Where so many presses of Tab lead. Each place must show that it has the focus.
fn walk(browser: &Browser, steps: usize) -> Vec<String> {
    let step = |_| {
        browser.press(TAB);
        let here = browser.value(
            "(() => { const at = document.activeElement, style = getComputedStyle(at); \
             return [at.textContent || '#' + at.id, style.outlineStyle, parseFloat(style.outlineWidth)]; })()",
        );
        assert!(here[1] == "solid" && here[2].as_f64().unwrap() >= 2.0, "no visible focus: {here}");
        here[0].as_str().unwrap().to_owned()
    };
    (0..steps).map(step).collect()
}

#[test]
fn every_text_has_contrast_in_both_modes_and_fits_a_small_screen() {
    let (rig, browser) = (rig(vec![]), Browser::start());
    pretend(&browser, &"w".repeat(63));
    browser.open(&rig.url());
    for (view, hash, text) in VIEWS {
        if view == "group" || view == "audit" || view == "fleet" {
            browser.script("location.hash = arguments[0]", &json!([hash]));
        }
        if view == "fleet" {
            sign_in(&browser, "hnd_x");
        }
        browser.shows(text);
        for scheme in ["light", "dark"] {
            browser.scheme(scheme);
            let checked = browser.script(CONTRAST, &json!([]));
            assert!(checked["texts"].as_u64().unwrap() >= 8, "{view}, {scheme}: {checked}");
            assert_eq!(checked["weak"], json!([]), "{view}, {scheme}");
            browser.picture(&format!("{view}-{scheme}"));
        }
        for width in [360, 768, 1280] {
            browser.size(width, 640);
            let wide = browser.value("document.documentElement.scrollWidth");
            assert!(wide.as_u64().unwrap() <= u64::from(width), "{view} is {wide} wide on a screen of {width}");
            if width == 360 {
                browser.picture(&format!("{view}-small"));
            }
        }
    }
    let grounds = ["light", "dark"].map(|scheme| {
        browser.scheme(scheme);
        browser.value("getComputedStyle(document.body).backgroundColor")
    });
    assert_ne!(grounds[0], grounds[1], "the modes differ");
}

const VIEWS: [(&str, &str, &str); 4] = [
    ("sign-in", "", "Operator token"),
    ("fleet", "#/", "3 of 3 groups"),
    ("group", "#/groups/alpha", "Timeline"),
    ("audit", "#/audit", "store points, at 7"),
];

/// The contrast of each visible text with what is behind it, after WCAG 2.
const CONTRAST: &str = r"
    const parts = (colour) => { const [r, g, b, a = 1] = colour.match(/[\d.]+/g).map(Number); return { r, g, b, a }; };
    const over = (top, under) => ['r', 'g', 'b'].reduce((sum, c) =>
        ({ ...sum, [c]: top[c] * top.a + under[c] * (1 - top.a) }), { a: 1 });
    const ground = (at) => {
        const own = parts(getComputedStyle(at).backgroundColor);
        return own.a === 1 || !at.parentElement ? own : over(own, ground(at.parentElement));
    };
    const light = ({ r, g, b }) => [r, g, b].map((c) => c / 255)
        .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
        .reduce((sum, c, index) => sum + c * [0.2126, 0.7152, 0.0722][index], 0);
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const weak = [];
    let count = 0;
    while (texts.nextNode()) {
        const at = texts.currentNode.parentElement;
        if (!texts.currentNode.data.trim() || !at.checkVisibility() || at.closest('.announce')) continue;
        const behind = ground(at);
        const [a, b] = [light(over(parts(getComputedStyle(at).color), behind)), light(behind)];
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        count += 1;
        if (contrast < 4.5) weak.push([texts.currentNode.data, contrast]);
    }
    return { texts: count, weak };
";

#[test]
fn hostile_text_stays_text() {
    let (rig, browser) = (rig(vec![]), Browser::start());
    pretend(&browser, HOSTILE);
    browser.open(&rig.url());
    sign_in(&browser, "hnd_x");
    for (_, hash, text) in &VIEWS[1..] {
        browser.script("location.hash = arguments[0]", &json!([hash]));
        browser.shows(text);
        browser.shows(HOSTILE);
        assert_eq!(browser.value("document.querySelectorAll('main :is(img, script, b, iframe)').length"), 0, "{hash}");
        assert_eq!(browser.value("window.hit ?? null"), Value::Null, "{hash}");
    }
    let message =
        browser.value("(() => { try { document.body.innerHTML = '<p>'; } catch (error) { return error.name; } })()");
    assert_eq!(message, "TypeError", "and the browser would not let it be anything else");
}

/// Puts answers in front of the server's API, in the API's own types, so that each state can be shown at will. `text`
/// is in every place that holds a text. `tell` in the page sends an event.
fn pretend(browser: &Browser, text: &str) {
    let answers = json!({
        "/v1/groups": groups(text),
        "/v1/groups/alpha": group(text),
        "/v1/groups/alpha/history": { "records": records(text) },
    });
    let script = format!(
        "const answers = {answers};
         window.fetch = async (path) => {{
             if (path === '/v1/watch') {{
                 const body = new ReadableStream({{ start(stream) {{
                     window.tell = (event) => stream.enqueue(
                         new TextEncoder().encode('data: ' + JSON.stringify(event) + '\\n\\n'));
                     window.tell({{ kind: 'snapshot', groups: [] }});
                 }} }});
                 return new Response(body);
             }}
             const found = answers[path];
             const problem = {{ status: 404, code: 'no_such_path', detail: 'nothing is served here' }};
             return new Response(JSON.stringify(found ?? problem), {{ status: found ? 200 : 404 }});
         }};"
    );
    browser.devtools("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": script }));
}

fn records(text: &str) -> Value {
    let record = |position: u64, event: &str, phase: &str, evidence: &str| {
        let mut fields = json!({ "generation": "5", "evidence": evidence });
        if !phase.is_empty() {
            fields["phase"] = phase.into();
        }
        json!({ "position": position, "at": format!("2026-01-02T03:04:{position:02}Z"), "event": event,
                "actor": text, "fields": fields })
    };
    json!([
        record(1, "started", "", "asked for"),
        record(2, "advanced", "apply", "candidate sealed"),
        record(3, "learnt", "apply", text),
        record(5, "advanced", "propagate", "store points, at 7"),
    ])
}

fn groups(text: &str) -> Groups {
    let group = |name: &str, status: Option<Status>, hold: Option<&str>| GroupSummary {
        group: name.to_owned(),
        generation: status.map(|_| 4),
        current_since: None,
        publication: 5,
        status,
        phase: status.map(|_| "drain".to_owned()),
        hold: hold.map(str::to_owned),
        entered_at: status.map(|_| "2026-01-02T03:04:05Z".to_owned()),
    };
    Groups {
        groups: vec![
            group("alpha", Some(Status::InProgress), Some(text)),
            group("beta", Some(Status::RolledBack), None),
            group("gamma", None, None),
        ],
        unconfigured: Vec::new(),
        next: None,
    }
}

fn group(text: &str) -> GroupStatus {
    let occupant = |generation, slot| OccupantView { generation, slot, candidate: 1 };
    let rotation = RotationView {
        from: Some(occupant(4, 1)),
        to: occupant(5, 0),
        owed: vec![occupant(3, 2)],
        phase: "propagate".to_owned(),
        status: Status::InProgress,
        hold: Some("force_wanted".to_owned()),
        trouble: Some("HO0101".to_owned()),
        cause: Some(text.to_owned()),
        waiting_for: vec![WaitingFor {
            kind: "consumer".to_owned(),
            text: text.to_owned(),
            subject: None,
            remaining_ms: Some(61_000),
        }],
        entered_at: "2026-01-02T03:04:05Z".to_owned(),
        elapsed_ms: 61_000,
    };
    let member = |reach| MemberView { consumer: text.to_owned(), role: Role::Presenter, publication: None, reach };
    GroupStatus {
        group: "alpha".to_owned(),
        target: text.to_owned(),
        current: Some(occupant(4, 1)),
        current_since: None,
        publication: 5,
        rotation: Some(rotation),
        consumers: vec![member(Reach::Expected), member(Reach::Used)],
    }
}
