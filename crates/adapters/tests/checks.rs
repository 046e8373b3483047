//! Checks against providers as their documents describe them, against servers that fail, and against programs.
#![cfg(feature = "check")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use handover_adapters::check::{CheckConfig, PACKS, Parts};
use handover_adapters::target::TargetConfig;
use handover_core::port::{Check, Finding, Subject};
use handover_core::{Candidate, Fault, FaultKind, Generation, GroupId, Occupant, Slot};
use handover_secret::Secret;
use handover_testkit::servers::{Answer, CONTRACTS, Certificates, Contract, Provider, Redis};
use tokio::time::timeout;

const KEY: &str = "canary-key-3141592653";

/// Nothing of this kind of target is contacted here.
const TARGET: &str = r#"
kind = "redis"
endpoints = [{ name = "first", host = "cache.internal" }]
ca_file = "ca.pem"
twins = ["a", "b"]
admin = { user = "admin", password_file = "admin.password" }
"#;

fn made(options: &str, ca_pem: Option<&[u8]>) -> Arc<dyn Check> {
    let config: CheckConfig = toml::from_str(&format!("name = 'one'\n{options}")).unwrap();
    let target: TargetConfig = toml::from_str(TARGET).unwrap();
    config.check(&target).unwrap();
    let certificates = Certificates::generate().unwrap();
    let target_ca_pem = certificates.ca_pem.as_bytes();
    let (group, password) = (GroupId::parse("orders").unwrap(), Arc::new(Secret::from_text("x".to_owned())));
    let built = target.clone().build(group.clone(), Arc::clone(&password), target_ca_pem).unwrap();
    let parts = Parts {
        group: &group,
        target_config: &target,
        admin_password: &password,
        target_ca_pem,
        target: &built,
        ca_pem,
    };
    config.build(&parts).unwrap()
}

async fn run(check: &dyn Check, key: &str) -> Result<Finding, Fault> {
    let (value, fields) = (Secret::from_text(key.to_owned()), [("user".to_owned(), "orders_a".to_owned())]);
    let who = Occupant { generation: Generation(7), slot: Slot(0), candidate: Candidate(1) };
    let subject = Subject { who, value: &value, fields: &fields, control: None };
    let found = check.run(subject).await;
    let told = format!("{found:?}");
    assert!(!told.contains("canary"), "{told}");
    found
}

fn is_failed(found: &Result<Finding, Fault>) -> bool {
    matches!(found, Ok(Finding::Failed(_)))
}

/// A check of this pack that asks the provider here.
fn packed(contract: &Contract, provider: &Provider, more: &str) -> Arc<dyn Check> {
    let path = contract.request.split(' ').nth(1).unwrap();
    let url = provider.url(path);
    made(&format!("kind = 'http'\npack = '{}'\nurl = '{url}'\nallow_private = true\n{more}", contract.name), None)
}

#[tokio::test]
async fn every_pack_fits_what_its_provider_documents() {
    assert_eq!(CONTRACTS.iter().map(|contract| contract.name).collect::<Vec<_>>(), PACKS);
    for contract in CONTRACTS {
        let name = contract.name;
        let provider = Provider::start(*contract, KEY).unwrap();
        let check = packed(contract, &provider, "");
        assert_eq!(run(&*check, KEY).await, Ok(Finding::Passed), "{name}");
        let wrong = run(&*check, "canary-other").await;
        assert!(is_failed(&wrong), "{name}: {wrong:?}");
        let (status, body, is_of_the_key) = contract.forbidden;
        provider.order([Answer::Status(status, body)]);
        let forbidden = run(&*check, KEY).await;
        assert_eq!(is_failed(&forbidden), is_of_the_key, "{name}: {forbidden:?}");
        assert_ne!(forbidden, Ok(Finding::Passed), "{name}");
        for (status, body) in [contract.limited, contract.broken, (500, ""), (302, ""), (418, "")] {
            provider.order([Answer::Status(status, body)]);
            let unknown = run(&*check, KEY).await;
            assert!(unknown.is_err(), "{name}: {status} says nothing of the key: {unknown:?}");
        }
    }
}

/// F92: 200 is not done where the answer says no, or never comes; a redirect is not followed; a hang is cut off by whoever
/// keeps the time.
#[tokio::test]
async fn an_answer_that_is_none_passes_nothing() {
    let contract = CONTRACTS.iter().find(|contract| contract.name == "stripe").unwrap();
    let (provider, elsewhere) = (Provider::start(*contract, KEY).unwrap(), Provider::start(*contract, KEY).unwrap());
    let check = packed(contract, &provider, "");
    for hangs in [Answer::Nothing, Answer::Hang] {
        provider.order([hangs.clone()]);
        let waited = timeout(Duration::from_millis(400), run(&*check, KEY)).await;
        assert!(waited.is_err(), "{hangs:?}: {waited:?}");
    }
    provider.order([Answer::Redirect(elsewhere.url("/v1/balance"))]);
    let redirected = run(&*check, KEY).await.unwrap_err();
    assert_eq!(redirected.kind, FaultKind::Misconfigured);
    assert!(elsewhere.heads().is_empty(), "the key went where it was not sent");
    drop(provider);
}

/// S24: what an answer says is told to nobody, however long it is.
#[tokio::test]
async fn nothing_of_an_answer_is_told() {
    let contract = CONTRACTS.iter().find(|contract| contract.name == "slack").unwrap();
    let provider = Provider::start(*contract, KEY).unwrap();
    let check = packed(contract, &provider, "");
    for body in ["canary-body", r#"{"ok":"canary-value"}"#, r#"{"ok":false,"error":"canary-reason"}"#] {
        for status in [200, 400, 401, 403, 500] {
            provider.order([Answer::Status(status, body)]);
            let found = run(&*check, KEY).await;
            assert_ne!(found, Ok(Finding::Passed), "{status} {body}");
        }
    }
    provider.order([Answer::Endless]);
    let endless = timeout(Duration::from_secs(20), run(&*check, KEY)).await.unwrap();
    assert!(endless.is_err(), "{endless:?}");
}

/// S23: a name that leads to this machine, and addresses of a cloud's metadata, are not gone to.
#[tokio::test]
async fn a_check_goes_nowhere_that_is_not_allowed() {
    let contract = CONTRACTS.iter().find(|contract| contract.name == "stripe").unwrap();
    let provider = Provider::start(*contract, KEY).unwrap();
    let port = provider.url("").rsplit(':').next().unwrap().to_owned();
    let pem = Certificates::generate().unwrap().ca_pem;
    let url = format!("https://localhost:{port}/v1/balance");
    let options = format!("kind = 'http'\npack = 'stripe'\nurl = '{url}'\nca_file = 'x'");
    let fault = run(&*made(&options, Some(pem.as_bytes())), KEY).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Misconfigured);
    assert!(fault.detail.contains("allow_private"), "{fault}");
    assert!(provider.heads().is_empty());
    let tcp = made("kind = 'tcp'\nhost = '169.254.169.254'\nport = 80", None);
    assert_eq!(run(&*tcp, KEY).await.unwrap_err().kind, FaultKind::Misconfigured);
}

#[tokio::test]
async fn fields_are_put_into_what_is_asked_and_cannot_change_where() {
    let contract = Contract { request: "GET /users/orders_a?g=7", ..CONTRACTS[0] };
    let provider = Provider::start(contract, KEY).unwrap();
    let url = provider.url("/users/{user}?g={generation}");
    let options = |pointer: &str| {
        format!(
            "kind = 'http'\nurl = '{url}'\nallow_private = true\nheaders = ['x-api-key: {{value}}']\n\
             pointer = '{pointer}'\nexpected = 'claude-x'"
        )
    };
    assert_eq!(run(&*made(&options("/data/0/id"), None), KEY).await, Ok(Finding::Passed));
    let other = run(&*made(&options("/data/1/id"), None), KEY).await;
    assert!(is_failed(&other), "{other:?}");
    let stranger = url.replace("{user}", "{nobody}");
    let check = made(&options("/data/0/id").replace(&url, &stranger), None);
    assert_eq!(run(&*check, KEY).await.unwrap_err().kind, FaultKind::Misconfigured);
}

#[tokio::test]
async fn a_key_must_be_in_the_key_set() {
    let set = r#"{"keys":[{"kty":"OKP","kid":"orders-6"},{"kty":"OKP","kid":"orders-7"}]}"#;
    let contract = Contract { accepted: (200, set), refused: (200, set), ..CONTRACTS[0] };
    let provider = Provider::start(contract, KEY).unwrap();
    let check = |kid: &str| {
        made(&format!("kind = 'jwks'\nurl = '{}'\nkid = '{kid}'\nallow_private = true", provider.url("/jwks")), None)
    };
    assert_eq!(run(&*check("orders-{generation}"), KEY).await, Ok(Finding::Passed));
    assert!(is_failed(&run(&*check("orders-8"), KEY).await));
    for answer in [Answer::Status(200, "{}"), Answer::Status(404, ""), Answer::Status(200, "no json")] {
        provider.order([answer.clone()]);
        assert!(run(&*check("orders-7"), KEY).await.is_err(), "{answer:?}");
    }
    assert!(provider.heads().iter().all(|head| !head.contains("canary")), "the value is none of its business");
}

#[tokio::test]
async fn a_port_a_certificate_and_a_name_are_what_they_should_be() {
    let redis = Redis::start().unwrap();
    let port = redis.port();
    let tcp = |port| made(&format!("kind = 'tcp'\nhost = '127.0.0.1'\nport = {port}"), None);
    assert_eq!(run(&*tcp(port), KEY).await, Ok(Finding::Passed));
    assert!(run(&*tcp(1), KEY).await.is_err(), "nothing listens there");
    let pem = redis.ca_pem().as_bytes().to_vec();
    let tls = |host: &str, pem: &[u8]| {
        made(
            &format!("kind = 'tls'\nhost = '127.0.0.1'\nserver_name = '{host}'\nport = {port}\nca_file = 'x'"),
            Some(pem),
        )
    };
    assert_eq!(run(&*tls("127.0.0.1", &pem), KEY).await, Ok(Finding::Passed));
    assert!(is_failed(&run(&*tls("elsewhere.example", &pem), KEY).await), "another name");
    let stranger = Certificates::generate().unwrap().ca_pem;
    assert!(is_failed(&run(&*tls("127.0.0.1", stranger.as_bytes()), KEY).await), "another CA");
    let dns = |host: &str, address: &str| {
        made(&format!("kind = 'dns'\nhost = '{host}'\nfamily = 'a'\nexpected = ['{address}']"), None)
    };
    assert_eq!(run(&*dns("localhost", "127.0.0.1"), KEY).await, Ok(Finding::Passed));
    assert!(is_failed(&run(&*dns("localhost", "10.0.0.1"), KEY).await));
    assert!(run(&*dns("nowhere.invalid", "10.0.0.1"), KEY).await.is_err());
}

/// F92: what gives no number is unknown, and never zero.
#[tokio::test]
async fn a_figure_is_compared_with_its_baseline() {
    let provider = Provider::start(CONTRACTS[0], KEY).unwrap();
    let vector = |value: &'static str| Answer::Status(200, value);
    let zero = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1.5,"0"]}]}}"#;
    let nine = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1.5,"9"]}]}}"#;
    let three = r#"{"status":"success","data":{"resultType":"scalar","result":[1.5,"3"]}}"#;
    let check = made(
        &format!(
            "kind = 'metric'\nurl = '{}'\nallow_private = true\nbaseline = 'b'\nbaseline_percent = 200\nabove_max = 3\n\
             query = 'sum(failures{{user=\"$user\",g=\"$generation\"}})'",
            provider.url("")
        ),
        None,
    );
    for (baseline, value, passes) in [(three, nine, true), (zero, three, true), (zero, nine, false)] {
        provider.order([vector(baseline), vector(value)]);
        let found = run(&*check, KEY).await;
        assert_eq!(found == Ok(Finding::Passed), passes, "{found:?}");
        assert!(passes || is_failed(&found), "{found:?}");
    }
    let asked = provider.heads().last().unwrap().clone();
    assert!(asked.contains("query=sum%28failures%7Buser%3D%22orders_a%22%2Cg%3D%227%22%7D%29 "), "{asked}");
    for nothing in [
        r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#,
        r#"{"data":{"resultType":"vector","result":[{"value":[1,"1"]},{"value":[1,"2"]}]}}"#,
        r#"{"data":{"resultType":"scalar","result":[1,"NaN"]}}"#,
        r#"{"status":"error"}"#,
        "",
    ] {
        provider.always(vector(nothing));
        assert!(run(&*check, KEY).await.is_err(), "as baseline: {nothing}");
        provider.order([vector(zero)]);
        assert!(run(&*check, KEY).await.is_err(), "as figure: {nothing}");
    }
}

fn program(directory: &Path, text: &str) -> Arc<dyn Check> {
    let path = directory.join(format!("look-{}", text.len()));
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    made(&format!("kind = 'process'\ncommand = ['{}', 'argument']", path.display()), None)
}

#[tokio::test]
async fn a_program_says_so_by_how_it_ends() {
    let directory = tempfile::tempdir().unwrap();
    let at = |text: &str| program(directory.path(), text);
    // The value comes on standard input and nowhere else.
    let input = directory.path().join("input");
    let all = format!("{{ cat; echo; tr '\\0' ' ' < /proc/$$/cmdline; echo; env; }} > {}", input.display());
    assert_eq!(run(&*at(&all), KEY).await, Ok(Finding::Passed));
    let seen = fs::read_to_string(input).unwrap();
    let (line, rest) = seen.split_once('\n').unwrap();
    let expected =
        format!("{{\"group\":\"orders\",\"generation\":7,\"fields\":{{\"user\":\"orders_a\"}},\"value\":\"{KEY}\"}}");
    assert_eq!(line, expected);
    assert!(rest.contains("argument") && !rest.contains("canary"), "{rest}");
    assert!(is_failed(&run(&*at("exit 1"), KEY).await));
    for says_nothing in ["exit 2", "exit 127", "kill -9 $$"] {
        assert!(run(&*at(says_nothing), KEY).await.is_err(), "{says_nothing}");
    }
    let missing = made("kind = 'process'\ncommand = ['/nowhere/at/all']", None);
    assert_eq!(run(&*missing, KEY).await.unwrap_err().kind, FaultKind::Misconfigured);
}

/// F92: one that hangs is killed with all that it started.
#[tokio::test]
async fn a_program_that_is_given_up_is_killed_with_its_children() {
    let directory = tempfile::tempdir().unwrap();
    let pid_file = directory.path().join("pid");
    let check = program(directory.path(), &format!("sleep 600 &\necho $! > {}\nwait", pid_file.display()));
    let mut running = Box::pin(run(&*check, KEY));
    let limit = tokio::time::Instant::now() + Duration::from_secs(20);
    let child = loop {
        assert!(timeout(Duration::from_millis(20), &mut running).await.is_err(), "it ended by itself");
        if let Some(pid) = fs::read_to_string(&pid_file).ok().filter(|text| text.ends_with('\n')) {
            break pid.trim().to_owned();
        }
        assert!(tokio::time::Instant::now() < limit, "it never started");
    };
    let state = || fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
    let is_alive = || !state().is_empty() && !state().contains(") Z ");
    assert!(is_alive());
    drop(running);
    while is_alive() {
        assert!(tokio::time::Instant::now() < limit, "its child outlives it");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
