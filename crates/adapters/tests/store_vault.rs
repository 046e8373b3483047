//! The store on a real OpenBao, with what goes wrong there.
#![cfg(feature = "store-vault")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod vault;

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use handover_adapters::store::vault::{Auth, Config, Retired, Vault};
use handover_core::port::{SecretStore as _, Value};
use handover_core::{
    Candidate, Effect, Fault, FaultKind, Generation, GroupId, Occupant, Publication, Slot, StoreId, StoreVersion,
    Touched,
};
use handover_secret::Secret;
use handover_testkit::servers::{Certificates, Fate, Front, OpenBao};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::json;

use crate::vault::VaultHarness;

const PATIENCE: Duration = Duration::from_secs(20);

fn group(name: &str) -> GroupId {
    GroupId::parse(name).unwrap()
}

async fn point(
    store: &Vault,
    group: &GroupId,
    generation: u64,
    publication: u64,
    expect: Option<&StoreVersion>,
) -> Result<StoreVersion, Fault> {
    let who = Occupant { generation: Generation(generation), slot: Slot(0), candidate: Candidate(1) };
    let (name, publication) = (StoreId::parse("bao").unwrap(), Publication(publication));
    let id = Effect::Point { store: name, value: who, publication, expect: None }.id(group, who);
    let secret = Secret::from_text(format!("value-{generation}"));
    let fields = [("user".to_owned(), "orders_a".to_owned())];
    store.point(group, &Value { id: &id, who, fields: &fields, secret: &secret }, publication, expect).await
}

/// The kind, and whether anything may have been touched.
fn of(fault: &Fault) -> (FaultKind, Touched) {
    (fault.kind, fault.touched)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_wrong_at_a_real_openbao() {
    let server = Arc::new(OpenBao::start().unwrap());
    what_somebody_else_did_shows_and_is_not_written_over(&server).await;
    retired_versions_are_deleted_where_that_is_asked_for(&server).await;
    a_login_that_ended_is_replaced(&server).await;
    a_signed_token_of_a_third_party_lets_in(&server).await;
    a_namespace_is_kept_to(&server).await;
    what_is_missing_is_named(&server).await;
    answers_are_told_apart(&server).await;
    a_lost_answer_is_read_back(&server).await;
    only_the_right_server_gets_anything(&server).await;
    a_sealed_server_is_waited_for(&server).await;
    // Last: once the second node is gone, the first has no quorum.
    a_standby_gives_nothing_old(&server).await;
}

/// F20: whatever a person or a tool does to a path shows as theirs, also where our label came along.
async fn what_somebody_else_did_shows_and_is_not_written_over(server: &Arc<OpenBao>) {
    let harness = VaultHarness::on(Arc::clone(server), "drift", 3_600);
    let (store, group) = (harness.store(), group("drift"));
    let path = |operation: &str| format!("kv/{operation}/handover/{group}");
    let one = point(&store, &group, 1, 1, None).await.unwrap();
    let mut ours = point(&store, &group, 2, 2, Some(&one)).await.unwrap();
    let old = harness.data(&group, 1).unwrap();
    let mut patched = harness.data(&group, 2).unwrap();
    patched["password"] = json!("of somebody else");
    let same = harness.data(&group, 2).unwrap();
    for (number, data) in (3..).zip([old, patched, same, json!({ "n": 1 })]) {
        server.done("POST", &path("data"), &json!({ "data": data })).unwrap();
        let head = store.head(&group).await.unwrap().unwrap();
        assert_eq!((head.publication, head.generation), (None, None), "{data}");
        let fault = point(&store, &group, 3, number, Some(&ours)).await.unwrap_err();
        assert_eq!(of(&fault), (FaultKind::Conflict, Touched::Nothing));
        assert_eq!(harness.data(&group, 0).unwrap(), data, "what they wrote stays");
        // A person says that it may be written over.
        ours = point(&store, &group, 2, number, Some(&head.version)).await.unwrap();
        assert_eq!(store.head(&group).await.unwrap().unwrap().publication, Some(Publication(number)));
    }
    server.done("DELETE", &path("data"), &serde_json::Value::Null).unwrap();
    let head = store.head(&group).await.unwrap().unwrap();
    assert_eq!(head.publication, None, "deleted: nobody reads it any more");
    let again = point(&store, &group, 2, 20, Some(&head.version)).await.unwrap();
    // The path is made anew, up to the number that stood before: the number recurs, the version does not.
    let versions = harness.versions(&group).len();
    server.done("DELETE", &path("metadata"), &serde_json::Value::Null).unwrap();
    assert_eq!(store.head(&group).await.unwrap(), None);
    for _ in 0..versions {
        server.done("POST", &path("data"), &json!({ "data": { "n": "1" } })).unwrap();
    }
    let fault = point(&store, &group, 2, 21, Some(&again)).await.unwrap_err();
    assert_eq!(of(&fault), (FaultKind::Conflict, Touched::Nothing));
}

async fn retired_versions_are_deleted_where_that_is_asked_for(server: &Arc<OpenBao>) {
    let harness = VaultHarness::on(Arc::clone(server), "retired", 3_600);
    for (retired, undeleted) in [(Retired::Delete, true), (Retired::Destroy, false)] {
        let store = harness.store_with(Config { retired, ..harness.config.clone() });
        let group = group(if undeleted { "deleted" } else { "destroyed" });
        let one = point(&store, &group, 1, 1, None).await.unwrap();
        point(&store, &group, 2, 2, Some(&one)).await.unwrap();
        store.discard(&group, Generation(1)).await.unwrap();
        assert_eq!(harness.data(&group, 1), None);
        assert!(harness.data(&group, 2).is_some());
        let (_, _) = server.ask("POST", &format!("kv/undelete/handover/{group}"), &json!({ "versions": [1] })).unwrap();
        assert_eq!(harness.data(&group, 1).is_some(), undeleted, "{retired:?}");
    }
}

/// F19: our token expires or is revoked between two calls: the next call logs in again, and does what it was asked to.
async fn a_login_that_ended_is_replaced(server: &Arc<OpenBao>) {
    let harness = VaultHarness::on(Arc::clone(server), "ended", 3_600);
    let (store, group) = (harness.store(), group("ended"));
    let one = point(&store, &group, 1, 1, None).await.unwrap();
    let revoke = || server.done("PUT", "sys/leases/revoke-prefix/auth/approle/login", &json!({})).unwrap();
    revoke();
    let two = point(&store, &group, 2, 2, Some(&one)).await.unwrap();
    assert_eq!(harness.versions(&group), [1, 2]);
    // Its life is over before the next use.
    let short = VaultHarness::on(Arc::clone(server), "short", 1);
    let brief = short.store();
    brief.head(&group).await.unwrap();
    let logins = || String::from_utf8(server.audit_log().unwrap()).unwrap().matches("auth/approle/login").count();
    let (before, limit) = (logins(), Instant::now() + PATIENCE);
    while logins() == before {
        assert!(Instant::now() < limit, "it goes on with a token that has expired");
        brief.head(&group).await.unwrap();
    }
    // What we log in with is gone as well: nothing was touched, and the words say what to look at.
    let secret_id = harness.role.lock().unwrap().secret_id.clone();
    server.done("POST", "auth/approle/role/ended/secret-id/destroy", &json!({ "secret_id": secret_id })).unwrap();
    revoke();
    let fault = point(&store, &group, 3, 3, Some(&two)).await.unwrap_err();
    assert_eq!(of(&fault), (FaultKind::Unauthenticated, Touched::Nothing), "{fault}");
    // Another one is in the file: it is read again.
    let fresh = server.done("POST", "auth/approle/role/ended/secret-id", &json!({})).unwrap();
    harness.role.lock().unwrap().secret_id = fresh["data"]["secret_id"].as_str().unwrap().to_owned();
    point(&store, &group, 3, 3, Some(&two)).await.unwrap();
    // The same with a token that somebody else makes.
    let auth = Auth::Token { token_file: "not read by the store itself".into() };
    let by_token = harness.store_with(Config { auth, ..harness.config.clone() });
    let fault = by_token.head(&group).await.unwrap_err();
    assert_eq!(of(&fault), (FaultKind::Unauthenticated, Touched::Nothing), "{fault}");
    harness.role.lock().unwrap().secret_id = server.root_token().to_owned();
    assert_eq!(by_token.head(&group).await.unwrap().unwrap().generation, Some(Generation(3)));
}

async fn a_signed_token_of_a_third_party_lets_in(server: &Arc<OpenBao>) {
    let harness = VaultHarness::on(Arc::clone(server), "signed", 3_600);
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.as_ref(), &random).unwrap();
    // What stands before the point of a P-256 key in its DER form.
    let prefix = "3059301306072a8648ce3d020106082a8648ce3d030107034200";
    let der: Vec<u8> = [hex::decode(prefix).unwrap(), key.public_key().as_ref().to_vec()].concat();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", BASE64_STANDARD.encode(der));
    server.done("POST", "sys/auth/jwt", &json!({ "type": "jwt" })).unwrap();
    server.done("POST", "auth/jwt/config", &json!({ "jwt_validation_pubkeys": [pem] })).unwrap();
    let role = json!({
        "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["bao"], "token_policies": ["signed"], "token_ttl": 600,
    });
    server.done("POST", "auth/jwt/role/handover", &role).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let part = |json: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    let said = format!(
        "{}.{}",
        part(json!({ "alg": "ES256", "typ": "JWT" })),
        part(json!({ "sub": "handover", "aud": "bao", "iat": now, "nbf": now, "exp": now + 600 }))
    );
    let signature = BASE64_URL_SAFE_NO_PAD.encode(key.sign(&random, said.as_bytes()).unwrap());
    let auth = Auth::Jwt {
        mount: "jwt".to_owned(),
        role: "handover".to_owned(),
        jwt_file: "not read by the store itself".into(),
    };
    harness.role.lock().unwrap().secret_id = format!("{said}.{signature}");
    let store = harness.store_with(Config { auth, ..harness.config.clone() });
    point(&store, &group("signed"), 1, 1, None).await.unwrap();
}

async fn a_namespace_is_kept_to(server: &Arc<OpenBao>) {
    let harness = VaultHarness::on(Arc::clone(server), "namespace", 3_600);
    server.done("POST", "sys/namespaces/team", &json!({})).unwrap();
    let engine = json!({ "type": "kv", "options": { "version": "2" } });
    server.done("POST", "team/sys/mounts/kv", &engine).unwrap();
    let policy = json!({ "policy": "path \"*\" { capabilities = [\"create\", \"read\", \"update\"] }" });
    server.done("PUT", "team/sys/policies/acl/all", &policy).unwrap();
    let token = server.done("POST", "team/auth/token/create", &json!({ "policies": ["all"] })).unwrap();
    let auth = Auth::Token { token_file: "not read by the store itself".into() };
    harness.role.lock().unwrap().secret_id = token["auth"]["client_token"].as_str().unwrap().to_owned();
    let config = Config { auth, namespace: Some("team".to_owned()), ..harness.config.clone() };
    let (store, group) = (harness.store_with(config), group("namespace"));
    point(&store, &group, 1, 1, None).await.unwrap();
    let (status, _) = server.ask("GET", "team/kv/data/handover/namespace", &json!({})).unwrap();
    assert_eq!((status, harness.versions(&group)), (200, vec![]), "there, and not outside");
}

async fn what_is_missing_is_named(server: &Arc<OpenBao>) {
    let harness = VaultHarness::on(Arc::clone(server), "least", 3_600);
    assert_eq!(harness.store().preflight(&group("least"), true).await.unwrap(), [], "the documented policy suffices");
    let elsewhere = harness.store_with(Config { path: "other/{group}".to_owned(), ..harness.config.clone() });
    let found = elsewhere.preflight(&group("least"), false).await.unwrap();
    assert!(found.len() >= 3 && found.iter().all(|fault| fault.kind == FaultKind::NotPermitted), "{found:?}");
    assert!(found[0].detail.contains("lacks create, read, update on kv/data/other/least"), "{found:?}");
    server.done("POST", "sys/mounts/one", &json!({ "type": "kv", "options": { "version": "1" } })).unwrap();
    let mut first = VaultHarness::on(Arc::clone(server), "first", 3_600);
    let role = server.role("first", "one", 3_600).unwrap();
    *first.role.lock().unwrap() = role;
    first.config.mount = "one".to_owned();
    let fault = point(&first.store(), &group("least"), 1, 1, None).await.unwrap_err();
    assert_eq!(of(&fault), (FaultKind::Misconfigured, Touched::Nothing), "{fault}");
    assert_eq!(server.ask("LIST", "one", &json!({})).unwrap().0, 404, "nothing was written to a KV version 1");
}

/// F18, and the rest of what a server may answer. What it says stays with it.
async fn answers_are_told_apart(server: &Arc<OpenBao>) {
    let harness = VaultHarness::on(Arc::clone(server), "answers", 3_600);
    let front = Front::start(server).unwrap();
    let store = harness.store_with(Config { url: front.url(), ca_file: None, ..harness.config.clone() });
    let group = group("answers");
    let mut expect = point(&store, &group, 1, 1, None).await.unwrap();
    let sealed = r#"{"errors":["Vault is sealed"]}"#;
    let cases = [
        (503, sealed, FaultKind::Busy, Touched::Nothing),
        (503, "", FaultKind::Busy, Touched::Unknown),
        (500, r#"{"errors":["canary-4711"]}"#, FaultKind::Busy, Touched::Unknown),
        (502, "canary-4711", FaultKind::Busy, Touched::Unknown),
        (429, "", FaultKind::Busy, Touched::Nothing),
        (473, "", FaultKind::Busy, Touched::Nothing),
        (412, "", FaultKind::Busy, Touched::Nothing),
        (307, "canary-4711", FaultKind::Misconfigured, Touched::Nothing),
        (400, r#"{"errors":["canary-4711"]}"#, FaultKind::Unsupported, Touched::Nothing),
        (200, "canary-4711", FaultKind::Unsupported, Touched::Unknown),
        (204, "", FaultKind::Unsupported, Touched::Unknown),
    ];
    for (publication, (status, body, kind, touched)) in (2..).zip(cases) {
        front.order("POST /v1/kv/data", 1, &Fate::Answer(status, body));
        let fault = point(&store, &group, 2, publication, Some(&expect)).await.unwrap_err();
        assert_eq!(of(&fault), (kind, touched), "{status} {fault}");
        assert!(!fault.to_string().contains("canary"), "{fault}");
        front.order("GET /v1/kv/data", 1, &Fate::Answer(status, body));
        let fault = store.head(&group).await.unwrap_err();
        assert_eq!(fault.touched, Touched::Nothing, "{status} {fault}");
        expect = point(&store, &group, 2, publication, Some(&expect)).await.unwrap();
    }
    assert_eq!(front.asked("GET /elsewhere"), 0);
}

/// F17: the answer to a write is lost, and the write landed: there is one version, and it is ours.
async fn a_lost_answer_is_read_back(server: &Arc<OpenBao>) {
    let harness = VaultHarness::on(Arc::clone(server), "lost", 3_600);
    let front = Front::start(server).unwrap();
    let store = harness.store_with(Config { url: front.url(), ca_file: None, ..harness.config.clone() });
    let group = group("lost");
    let one = point(&store, &group, 1, 1, None).await.unwrap();
    front.order("POST /v1/kv/data", 1, &Fate::LoseAnswer);
    let fault = point(&store, &group, 2, 2, Some(&one)).await.unwrap_err();
    assert_eq!(of(&fault), (FaultKind::Unreachable, Touched::Unknown));
    let head = store.head(&group).await.unwrap().unwrap();
    assert_eq!((head.publication, head.generation), (Some(Publication(2)), Some(Generation(2))));
    let fault = point(&store, &group, 2, 2, Some(&one)).await.unwrap_err();
    assert_eq!(of(&fault), (FaultKind::Conflict, Touched::Nothing), "it is not written twice");
    assert_eq!(harness.versions(&group), [1, 2]);
}

async fn only_the_right_server_gets_anything(server: &Arc<OpenBao>) {
    let harness = VaultHarness::on(Arc::clone(server), "tls", 3_600);
    let other = Certificates::generate().unwrap();
    let store = harness.store_trusting(harness.config.clone(), Some(other.ca_pem.as_bytes()));
    let fault = store.head(&group("tls")).await.unwrap_err();
    assert_eq!(of(&fault), (FaultKind::Misconfigured, Touched::Nothing), "{fault}");
    let url = format!("https://127.0.0.1:{}", handover_testkit::servers::free_port().unwrap());
    let store = harness.store_with(Config { url, ..harness.config.clone() });
    let fault = point(&store, &group("tls"), 1, 1, None).await.unwrap_err();
    assert_eq!(of(&fault), (FaultKind::Unreachable, Touched::Nothing), "{fault}");
}

/// A standby answers reads from what it has, which is some milliseconds old. Through the store nothing is.
async fn a_standby_gives_nothing_old(server: &Arc<OpenBao>) {
    let harness = VaultHarness::on(Arc::clone(server), "standby", 3_600);
    let standby = server.standby().unwrap();
    let store = harness.store_with(Config { url: standby.url(), ..harness.config.clone() });
    let (direct, group) = (harness.store(), group("standby"));
    let mut expect = None;
    for number in 1..=40 {
        // Written at the active node, and read at once through the other; then the other way.
        let (writer, reader) = if number % 2 == 0 { (&store, &direct) } else { (&direct, &store) };
        let version = point(writer, &group, number, number, expect.as_ref()).await.unwrap();
        let head = reader.head(&group).await.unwrap().unwrap();
        assert_eq!((&head.version, head.publication), (&version, Some(Publication(number))));
        expect = Some(version);
    }
}

/// F18: sealed in the middle of everything.
async fn a_sealed_server_is_waited_for(server: &Arc<OpenBao>) {
    let harness = VaultHarness::on(Arc::clone(server), "sealed", 3_600);
    let (store, group) = (harness.store(), group("sealed"));
    let one = point(&store, &group, 1, 1, None).await.unwrap();
    server.done("PUT", "sys/seal", &json!({})).unwrap();
    let fault = point(&store, &group, 2, 2, Some(&one)).await.unwrap_err();
    assert_eq!(of(&fault), (FaultKind::Busy, Touched::Nothing), "{fault}");
    assert!(fault.detail.contains("it is sealed"), "{fault}");
    server.start_again().unwrap();
    point(&store, &group, 2, 2, Some(&one)).await.unwrap();
    assert_eq!(harness.versions(&group), [1, 2]);
}
