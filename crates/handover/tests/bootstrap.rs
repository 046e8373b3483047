//! The first operator, tokens on the command line, and what the environment cannot do.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod installation;

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use installation::{Installation, ran, text};
use serde_json::Value;

fn url(installed: &Installation) -> String {
    format!("http://127.0.0.1:{}", installed.port)
}

#[test]
fn the_first_operator_gets_a_token_once() {
    let installed = Installation::new("");
    installed.start(&[]);
    let (url, code) = (url(&installed), installed.path("bootstrap.code"));
    assert!(installed.said().contains("bootstrap.code"), "the log says where: {}", installed.said());
    assert!(!installed.said().contains(text(&code).trim()), "and not what");
    assert_eq!(std::fs::metadata(&code).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::copy(&code, installed.path("copy.code")).unwrap();

    installed.write("wrong.code", "hnb_wrong");
    let wrong = installed.run(&["bootstrap", "anna", "--code-file", "wrong.code", "--url", &url]);
    assert_eq!(
        (wrong.exit, wrong.out.as_str(), wrong.said.as_str()),
        (
            2,
            "",
            "error: this needs the one-time code that the server wrote when it started [wrong_code]\n\
             hint: send it as a bearer token; the server's log says which file it is in\n"
        )
    );
    let made = installed.run(&["bootstrap", "anna", "--code-file", "bootstrap.code", "--url", &url]);
    assert_eq!(made.exit, 0, "{}", made.said);
    assert_eq!(made.said, "The token is on standard output, this once. Keep it in a file with mode 0600.\n");
    installed.write("anna.token", &made.out);
    assert!(!code.exists());
    let status = installed.run(&["status", "--url", &url, "--token-file", "anna.token"]);
    assert_eq!(status.exit, 0, "{}", status.said);

    let again = installed.run(&["bootstrap", "anna", "--code-file", "copy.code", "--url", &url]);
    assert_eq!((again.exit, again.out.as_str()), (1, ""));
    assert!(again.said.contains("[bootstrap_over]"), "{}", again.said);
    installed.kill();
    installed.start(&[]);
    assert!(!code.exists(), "another start does not write another code");
    let again = installed.run(&["bootstrap", "anna", "--code-file", "copy.code", "--url", &url]);
    assert!(again.said.contains("[bootstrap_over]"), "{}", again.said);
    for secret in [text(&installed.path("copy.code")), made.out] {
        assert!(!installed.said().contains(secret.trim()));
    }
}

#[test]
fn of_two_requests_for_the_first_token_one_gets_it() {
    let installed = Installation::new("");
    installed.start(&[]);
    let url = url(&installed);
    installed.write("copy.code", &text(&installed.path("bootstrap.code")));
    let run = |name: &'static str| {
        let (installed, url) = (&installed, &url);
        move || installed.run(&["bootstrap", name, "--code-file", "copy.code", "--url", url]).exit
    };
    let mut exits = std::thread::scope(|scope| {
        let threads = ["a", "b", "c", "d"].map(|name| scope.spawn(run(name)));
        threads.map(|thread| thread.join().unwrap())
    });
    exits.sort_unstable();
    assert_eq!(exits, [0, 1, 1, 1]);
    let list: Value = serde_json::from_str(&installed.run(&["token", "list", "--output", "json"]).out).unwrap();
    assert_eq!(list["tokens"].as_array().unwrap().len(), 1);
}

#[test]
fn a_code_is_gone_once_there_is_an_operator() {
    let installed = Installation::new("");
    installed.start(&[]);
    let code = installed.path("bootstrap.code");
    installed.token("viewer", &["--role", "viewer"]);
    assert!(code.exists(), "a viewer is no operator");
    installed.token("anna", &["--role", "operator"]);
    installed.wait("the code is taken away", || !code.exists());
}

#[test]
fn tokens_are_made_listed_and_revoked_in_these_words() {
    let installed = Installation::new("");
    let run = |arguments: &[&str]| installed.run(arguments);
    assert_eq!(run(&["token", "list"]).out, "no token\n");
    installed.token("anna", &["--role", "operator"]);
    installed.token("deploy", &["--role", "operator", "--verb", "rotate", "--verb", "hold", "--expires-in", "30d"]);
    let admitted =
        run(&["token", "create", "mesh", "--group", "*", "--role", "viewer", "--certificate-san", "A.internal"]);
    assert_eq!(admitted.said, "Whoever presents a client certificate with the name dns:a.internal is mesh now.\n");
    let json: Value = serde_json::from_str(&run(&["token", "list", "--output", "json"]).out).unwrap();
    let tokens = json["tokens"].as_array().unwrap();
    let field = |index: usize, name: &str| tokens[index][name].as_str().unwrap_or_default().to_owned();
    assert_eq!(tokens[1]["verbs"], serde_json::json!(["rotate", "hold"]));
    assert_eq!(
        (field(2, "id"), field(2, "certificate_san")),
        (admitted.out.trim().to_owned(), "dns:a.internal".into())
    );
    // The list tells time to the second.
    let day = |index, name| field(index, name).split('.').next().unwrap().trim_end_matches('Z').to_owned() + "Z";
    let listed = run(&["token", "list"]).out;
    assert_eq!(
        listed,
        format!(
            "{}  anna    operator               *  since {}, no expiry\n\
             {}  deploy  operator(rotate hold)  *  since {}, until {}\n\
             {}  mesh    viewer                 *  since {}, no expiry, by dns:a.internal\n",
            field(0, "id"),
            day(0, "created_at"),
            field(1, "id"),
            day(1, "created_at"),
            day(1, "expires_at"),
            field(2, "id"),
            day(2, "created_at"),
        )
    );
    for name in ["anna", "deploy"] {
        assert!(!listed.contains(text(&installed.path(&format!("{name}.token"))).trim()));
    }
    let made = run(&["token", "create", "json", "--group", "*", "--role", "viewer", "--output", "json"]);
    let made: Value = serde_json::from_str(&made.out).unwrap();
    assert!(made["identity"] == "json" && made["token"].as_str().unwrap().starts_with("hnd_"));
    assert_eq!(run(&["token", "revoke", "--identity", "json"]).exit, 0);
    let revoked = run(&["token", "revoke", &field(0, "id")]);
    assert_eq!((revoked.exit, revoked.said.as_str()), (0, "Revoked. A running server refuses it from now on.\n"));
    let again = run(&["token", "revoke", &field(0, "id")]);
    assert_eq!(
        (again.exit, again.out.as_str(), again.said.as_str()),
        (
            1,
            "",
            "error: there is no such token; nothing was changed\n\
             hint: `handover token list` shows those that there are\n"
        )
    );
    assert_eq!(run(&["token", "revoke", "--identity", "mesh"]).exit, 0);
    assert_eq!(run(&["token", "list"]).out.lines().count(), 1);
}

#[test]
fn tokens_that_nobody_can_mean_are_refused_in_these_words() {
    let installed = Installation::new("");
    for (arguments, said) in [
        (
            &["--role", "viewer", "--verb", "rotate"][..],
            "error: --verb narrows an operator's token, and this is a viewer's\n\
             hint: leave --verb out, or say --role operator\n",
        ),
        (
            &["--role", "consumer"],
            "error: a consumer's token names its groups\nhint: repeat --group for each of them\n",
        ),
        (
            &["--role", "viewer", "--certificate-san", "*.internal"],
            "error: --certificate-san: a certificate's name is compared exactly: no `*`\n",
        ),
    ] {
        let refused = installed.run(&[&["token", "create", "x", "--group", "*"], arguments].concat());
        assert_eq!((refused.exit, refused.out.as_str(), refused.said.as_str()), (2, "", said));
    }
}

#[test]
fn a_running_server_refuses_a_revoked_token_at_once_and_ends_its_stream() {
    let installed = Installation::new("");
    let token = text(&installed.token("anna", &["--role", "operator"]));
    installed.start(&[]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let http = reqwest::Client::builder().use_preconfigured_tls(no_tls()).no_proxy().build().unwrap();
        let watch = http.get(format!("{}/v1/watch", url(&installed))).bearer_auth(token.trim());
        let mut stream = watch.send().await.unwrap();
        assert!(stream.chunk().await.unwrap().is_some(), "the snapshot");
        assert_eq!(installed.run(&["token", "revoke", "--identity", "anna"]).exit, 0);
        let asked = http.get(format!("{}/v1/groups", url(&installed))).bearer_auth(token.trim());
        assert_eq!(asked.send().await.unwrap().status(), 401);
        // Sooner than a heartbeat would make it look.
        let ended = tokio::time::timeout(Duration::from_secs(10), stream.chunk()).await.expect("the stream ends");
        assert_eq!(ended.unwrap_or_default(), None);
    });
}

/// S53: addresses and paths come from the configuration alone.
#[test]
fn no_variable_of_the_environment_moves_what_the_server_uses() {
    let installed = Installation::new("");
    let elsewhere = tempfile::tempdir().unwrap();
    let at = |name: &str| elsewhere.path().join(name).display().to_string();
    let names = [
        "CONFIG",
        "LISTEN",
        "STATE",
        "STORE",
        "MASTER_KEY",
        "TOKENS",
        "AUDIT_FILE",
        "CHECKPOINT_EVERY",
        "SINK",
        "GROUP",
        "TLS_CERTIFICATE_FILE",
        "TLS_KEY_FILE",
        "TLS_CLIENT_CA_FILE",
        "CERTIFICATE_FILE",
        "KEY_FILE",
        "CLIENT_CA_FILE",
        "URL",
        "TOKEN_FILE",
        "CA_FILE",
        "CLIENT_CERTIFICATE_FILE",
        "CLIENT_KEY_FILE",
        "OUTPUT",
        "DIRECTORY",
        "HOME",
        "METRICS_LISTEN",
        "TRACE_URL",
        "BOOTSTRAP",
    ];
    let mut environment: Vec<(String, String)> =
        names.iter().map(|name| (format!("HANDOVER_{name}"), at(&name.to_lowercase()))).collect();
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "OTEL_EXPORTER_OTLP_ENDPOINT"] {
        environment.push((name.to_owned(), "http://127.0.0.1:9".to_owned()));
    }
    for name in ["SSL_CERT_FILE", "SSL_CERT_DIR", "XDG_CONFIG_HOME", "HOME"] {
        environment.push((name.to_owned(), at(name)));
    }
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (&**name, &**value)).collect();
    let mut checked = installed.command(&["check"]);
    let checked = ran(&checked.envs(environment.iter().copied()).output().unwrap());
    assert_eq!(checked.exit, 0, "{}", checked.said);
    installed.start(&environment);
    let token = installed.token("anna", &["--role", "viewer"]);
    let asked = installed.run(&["status", "--url", &url(&installed), "--token-file", token.to_str().unwrap()]);
    assert_eq!(asked.exit, 0, "{}", asked.said);
    for name in ["state.db", "store.db", "bootstrap.code"] {
        assert!(installed.path(name).exists(), "{name} is where the configuration says");
    }
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0, "and nothing is anywhere else");
}

fn no_tls() -> rustls::ClientConfig {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
}
