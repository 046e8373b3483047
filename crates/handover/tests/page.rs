//! The web page in a real Chromium: what it shows of a real rotation, and that it can be read and used by everybody.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "page/browser.rs"]
mod browser;
#[path = "page/pretend.rs"]
mod pretend;

use std::path::Path;
use std::time::Duration;

use browser::{Browser, wait};
use handover_api::Status;
use handover_sdk::{Client, Options as ClientOptions};
use handover_testkit::rig::{GROUP, OPERATOR, Options, Rig};
use pretend::{CUT_STREAM, pretend};
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
    browser.shows("Token of a viewer or operator");
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

    browser.shows("nothing until somebody starts a rotation");
    browser.shows("handover rotate app --wait");

    rig.succeed(&["rotate", GROUP]).unwrap();
    browser.shows("presenter worker has not acknowledged, expected, since");
    browser.holds("document.querySelector('.step.present').dataset.phase === 'propagate'");
    browser.holds("document.querySelectorAll('.step.ahead').length === 3");
    browser.holds("document.querySelector('.waiting time') !== null");
    browser.holds("/worker\\s+presenter\\s+expected\\s+none/.test(document.querySelector('main table').innerText)");
    browser.shows("handover hold app");
    let past = "[...document.querySelectorAll('.step.past')].map((step) => step.dataset.phase).join(' ')";
    assert_eq!(browser.value(past), "stage apply verify publish");
    browser.holds("[...document.querySelectorAll('.step.past')].every((step) => /took \\d/.test(step.innerText))");
    browser.holds("[...document.querySelectorAll('.step.past')].every((step) => step.querySelector('.evidence'))");
    browser.holds("/started by operator/.test(document.querySelector('.step').innerText)");

    rig.succeed(&["hold", GROUP, "--reason", HOSTILE]).unwrap();
    browser.shows("Held: a person asked for it");
    browser.shows("handover resume app");
    browser.shows(&format!("ordered by operator: order hold, reason {HOSTILE}"));
    browser.script("location.hash = '#/'", &json!([]));
    browser.shows("held: ordered");
    browser.script("location.hash = '#/groups/app'", &json!([]));
    browser.shows("Held: a person asked for it");
    rig.succeed(&["resume", GROUP]).unwrap();
    wait("the hold to go", || (!browser.text().contains("Held:")).then_some(()), || browser.text());

    let token = rig.token_file("worker", "consumer").unwrap();
    let mut options = ClientOptions::new(rig.url(), "worker", token);
    options.poll = Duration::from_millis(200);
    let _live = Client::new(options).unwrap().live(GROUP).await.unwrap();
    browser.shows("Last rotation");
    browser.shows("generation 1 in slot 0");
    browser.holds("document.querySelector('#announce').textContent === 'app: ended: success'");
    browser.holds("/worker\\s+presenter\\s+loaded\\s+1/.test(document.querySelector('main table').innerText)");
    browser.holds("document.querySelector('.step:last-child').dataset.phase === 'done'");
    browser.holds("document.querySelectorAll('.waiting').length === 0");
    audited(&browser);

    browser.devtools("Page.reload", &json!({}));
    browser.shows("generation 1 in slot 0");
    browser.holds("document.getElementById('link').textContent === 'Live'");
    rig.stop().unwrap();
    browser.shows("the server cannot be reached");
    assert!(browser.text().contains("generation 1 in slot 0"), "what was last seen stays");
    rig.start(&[]).unwrap();
    browser.holds("document.getElementById('link').textContent === 'Live' && !document.querySelector('.notice')");
    judge(&browser, &rig);
}

/// The audit of the group and of all, narrowed, and where it is delivered.
fn audited(browser: &Browser) {
    browser.script("[...document.querySelectorAll('main a')].at(-1).click()", &json!([]));
    browser.shows("Audit of app");
    browser.shows(&format!("order hold, reason {HOSTILE}"));
    browser.shows("These are all records.");
    let events = "[...document.querySelector('tbody').children].map((row) => row.children[3].innerText)";
    browser.holds(&format!("{events}.at(-1) === 'started' && {events}.includes('ended') && {events}.includes('read')"));
    browser.script("location.hash = '#/audit'", &json!([]));
    browser.shows("Sinks");
    browser.shows("takes records");
    browser.script(
        "const choice = document.getElementById('event'); choice.value = 'ordered'; \
         choice.dispatchEvent(new Event('input', { bubbles: true }));",
        &json!([]),
    );
    browser.holds(&format!("{events}.join() === 'ordered,ordered'"));
    browser.script("location.hash = '#/groups/app'", &json!([]));
    browser.shows("generation 1 in slot 0");
}

#[test]
fn what_a_token_may_not_see_is_refused_in_words() {
    let (rig, browser) = (rig(vec![]), Browser::start());
    let token = |identity: &str, terms: &[&str]| {
        let all = [&["token", "create", identity], terms, &["--group", "*"]].concat();
        rig.succeed(&all).unwrap().trim().to_owned()
    };
    browser.open(&rig.url());
    sign_in(&browser, &token("looker", &["--role", "viewer"]));
    browser.shows("1 of 1 groups");
    for (view, text) in [("#/groups/app", "It was never rotated."), ("#/audit", "token added")] {
        browser.script("location.hash = arguments[0]", &json!([view]));
        browser.shows(text);
    }
    browser.script("location.hash = '#/groups/nobody'", &json!([]));
    browser.shows("no such group");
    assert!(!browser.text().contains("No record"), "nothing of another view is left");
    rig.succeed(&["token", "revoke", "--identity", "looker"]).unwrap();
    browser.shows("this needs a token that the server knows");
    assert_eq!(browser.value("sessionStorage.length"), 0);

    browser.script("location.hash = '#/'", &json!([]));
    sign_in(&browser, std::fs::read_to_string(rig.token_file("worker", "consumer").unwrap()).unwrap().trim());
    browser.holds("document.querySelector('.notice') !== null");
    assert!(!browser.text().contains("1 of 1 groups"), "{}", browser.text());
}

#[test]
fn a_stream_that_breaks_is_said_and_taken_up_again() {
    let (rig, browser) = (rig(vec![]), Browser::start());
    pretend(&browser, "worker");
    browser.open(&rig.url());
    sign_in(&browser, "hnd_x");
    browser.holds("document.getElementById('link').textContent === 'Live'");
    // Each word that the page says of its connection is kept, as it may pass before anybody looks.
    browser.script(
        "window.words = []; new MutationObserver(() => words.push(document.getElementById('link').textContent)) \
         .observe(document.getElementById('link'), { childList: true });",
        &json!([]),
    );
    for _ in 0..2 {
        browser.script("window.words.length = 0;", &json!([]));
        browser.script(CUT_STREAM, &json!([]));
        browser.holds("window.words.join('; ') === 'Connection lost, trying again; Live'");
    }
    assert!(browser.text().contains("alpha"), "what was last seen stays");
}

#[test]
fn the_fleet_is_counted_narrowed_and_sorted() {
    let (rig, browser) = (rig(vec![]), Browser::start());
    pretend(&browser, "somebody asked");
    browser.open(&rig.url());
    sign_in(&browser, "hnd_x");
    browser.shows("4 of 4 groups");
    let names = || browser.value("[...document.querySelectorAll('tbody a')].map((each) => each.textContent).join(' ')");
    assert_eq!(names(), "delta alpha beta gamma", "the oldest in force first, what nobody knows last");
    let counted = "[...document.querySelectorAll('.counts button')].map((each) => each.textContent).join(', ')";
    assert_eq!(
        browser.value(counted),
        "in progress 1, never rotated 1, rolled back 1, success 1, held 1, doubted 1, failing 1"
    );
    for sign in ["held: somebody asked", "doubted: store ahead", "failing: HO0101", "Not configured any more: old-one"]
    {
        browser.shows(sign);
    }
    browser.shows("Sink siem takes no records: somebody asked (HO0105). 12 wait, since 2026-01-02");

    let press = |selector: &str| browser.script("document.querySelector(arguments[0]).click()", &json!([selector]));
    press("[data-sort=age]");
    assert_eq!(names(), "beta alpha delta gamma", "and the other way round, the unknown still last");
    press("[data-sort=signs]");
    assert_eq!(names(), "beta alpha delta gamma");
    for (only, expected) in [("held", "alpha"), ("doubted", "beta"), ("failing", "beta"), ("never rotated", "gamma")] {
        press(&format!("[data-only='{only}']"));
        assert_eq!(names(), expected, "only {only}");
        assert_eq!(browser.value("document.querySelectorAll('[aria-pressed=true]').length"), 1);
    }
    press("[data-only='never rotated']");
    assert_eq!(names().as_str().unwrap().split(' ').count(), 4, "a second press shows all again");
}

#[test]
fn older_records_are_loaded_on_demand_and_newer_ones_join_them() {
    let (rig, browser) = (rig(vec![]), Browser::start());
    pretend(&browser, "worker");
    browser.open(&rig.url());
    sign_in(&browser, "hnd_x");
    browser.shows("4 of 4 groups");
    // The fleet's history is longer than a page.
    browser.script(
        "for (let position = 6; position <= 250; position += 1) \
             answers['/v1/audit'].records.unshift({ ...answers['/v1/audit'].records[0], position }); \
         location.hash = '#/audit';",
        &json!([]),
    );
    browser.shows("100 of 100 loaded records");
    for loaded in [200, 249] {
        browser.script("document.getElementById('older').click()", &json!([]));
        browser.shows(&format!("{loaded} of {loaded} loaded records"));
    }
    browser.shows("These are all records.");
    browser.script(
        "for (let position = 251; position <= 400; position += 1) \
             answers['/v1/audit'].records.unshift({ ...answers['/v1/audit'].records[0], position, actor: 'anna' }); \
         tell({ kind: 'reset' });",
        &json!([]),
    );
    browser.shows("399 of 399 loaded records");
    let positions = "[...document.querySelectorAll('tbody')].at(0).querySelectorAll('tr')";
    browser.holds(&format!("{positions}.length === 399 && {positions}[0].firstChild.textContent === '400'"));
    browser.script("document.getElementById('actor').focus()", &json!([]));
    browser.press("anna");
    browser.shows("150 of 399 loaded records");
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
    browser.shows("Token of a viewer or operator");
    assert_eq!(browser.value("sessionStorage.length"), 0);
}

#[test]
fn commands_beside_the_views_are_those_of_the_program() {
    let (rig, browser) = (rig(vec![]), Browser::start());
    browser.open(&rig.url());
    browser.shows("Token of a viewer or operator");
    let commands = || -> Vec<String> {
        let found = browser.value("[...document.querySelectorAll('code.command')].map((each) => each.textContent)");
        serde_json::from_value(found).unwrap()
    };
    let mut all = commands();
    sign_in(&browser, &operator(&rig));
    for (view, title) in [
        ("#/", "Groups"),
        ("#/groups/app", "app"),
        ("#/calendar", "Calendar"),
        ("#/approvals", "Approvals"),
        ("#/campaigns", "Campaigns"),
        ("#/audit", "Audit"),
        ("#/audit/app", "Audit of app"),
    ] {
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
    browser.shows("Token of a viewer or operator");
    assert_eq!(walk(&browser, 3), ["Skip to content", "#token", "Sign in"]);
    browser.press(&TAB.repeat(2));
    assert_eq!(browser.value("document.activeElement.id"), "skip", "it goes round");
    browser.press(TAB);
    browser.press(&format!("hnd_x{ENTER}"));
    browser.shows("4 of 4 groups");
    browser.holds("document.activeElement.id === 'main'");
    let heads = ["Group", "State", "Signs", "Generation", "In force since", "Stands since"];
    let counts = ["in progress 1", "never rotated 1", "rolled back 1", "success 1", "held 1", "doubted 1", "failing 1"];
    let stops = [&["HO0105", "alpha"][..], &counts, &["#filter"], &heads, &["delta", "alpha", "beta"]].concat();
    assert_eq!(walk(&browser, stops.len()), stops);

    browser.script("document.getElementById('skip').focus()", &json!([]));
    assert_eq!(walk(&browser, 6), ["Groups", "Calendar", "Approvals", "Campaigns", "Audit", "Sign out"]);
    browser.press(&TAB.repeat(7));
    browser.press(ENTER);
    browser.shows("1 of 4 groups");
    assert_eq!(browser.value("document.activeElement.textContent"), "held 1", "the focus stays through a redrawing");
    browser.press(ENTER);
    browser.shows("4 of 4 groups");
    browser.press(&TAB.repeat(3));
    browser.press(&format!("alp{TAB}"));
    browser.shows("1 of 4 groups");
    assert_eq!(browser.value("document.activeElement.textContent"), "Group", "the focus stays through a redrawing");
    browser.press(ENTER);
    browser.holds("document.querySelector('th').getAttribute('aria-sort') === 'ascending'");
    browser.press(&TAB.repeat(6));
    browser.press(ENTER);
    browser.shows("Timeline");
    browser.holds("document.activeElement.id === 'main' && document.title === 'alpha · Handover'");
    let phases = browser.value("[...document.querySelectorAll('.step')].map((step) => step.dataset.phase).join(' ')");
    assert_eq!(phases, "stage apply propagate drain disable destroy");
    browser.shows("03:04:03 learnt by worker: worker");
    browser.shows("took 3 s");
    assert_eq!(walk(&browser, 3), ["Groups", "HO0101", "Audit of this group"]);
    browser.press(ENTER);
    browser.shows("Audit of alpha");
    browser.holds("document.activeElement.id === 'main'");
    assert_eq!(walk(&browser, 4), ["Audit of all groups", "#event", "#actor", "alpha"]);
    browser.press(ENTER);
    browser.shows("Timeline");

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
             return [at.matches('input, select') ? '#' + at.id : at.textContent, style.outlineStyle, parseFloat(style.outlineWidth)]; })()",
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
        if view != "sign-in" {
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
    assert_eq!(browser.value("document.getAnimations().length"), 0, "nothing moves by itself");
    let grounds = ["light", "dark"].map(|scheme| {
        browser.scheme(scheme);
        browser.value("getComputedStyle(document.body).backgroundColor")
    });
    assert_ne!(grounds[0], grounds[1], "the modes differ");
}

const VIEWS: [(&str, &str, &str); 7] = [
    ("sign-in", "", "Token of a viewer or operator"),
    ("fleet", "#/", "4 of 4 groups"),
    ("group", "#/groups/alpha", "Timeline"),
    ("calendar", "#/calendar", "2026-01-03 UTC"),
    ("approvals", "#/approvals", "1 missing of 2"),
    ("campaigns", "#/campaigns", "Campaign 3"),
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
