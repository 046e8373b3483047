//! A man in the middle of PostgreSQL's protocol, against the connector, the client library, and the real server.

use std::collections::BTreeMap;

use handover_adapters::target::postgres::{Config, Postgres as Connector};
use handover_api::{Delivered, Nonce, Role};
use handover_core::{GroupId, port::Target as _};
use handover_sdk::Credential;
use handover_sdk::postgres::{DialError, Dialler, Options};
use handover_secret::Secret;
use handover_testkit::servers::postgres::Postgres;
use handover_testkit::servers::{Certificates, Interceptor, Trick};

const USER: &str = "intercepted";
const PASSWORD: &str = "canary-intercepted";

const ALL: [Trick; 6] = [
    Trick::NoTls,
    Trick::OwnCertificate,
    Trick::NoBinding,
    Trick::AskForClearText,
    Trick::AskForMd5,
    Trick::AskForNothing,
];

/// Which certificates of the man in the middle the client trusts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Trusts {
    /// None: the CA is the server's alone.
    TheServerAlone,
    /// The CA has also given a certificate to him: it was stolen, or it gives them to everybody.
    HimAsWell,
}

fn server() -> std::sync::Arc<Postgres> {
    let server = Postgres::shared().unwrap();
    let sql = format!(
        "DO $$ BEGIN CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
    );
    server.execute("postgres", &sql).unwrap();
    server
}

fn trusted(server: &Postgres, own: &Certificates, trusts: Trusts) -> String {
    match trusts {
        Trusts::TheServerAlone => server.ca_pem().to_owned(),
        Trusts::HimAsWell => format!("{}{}", server.ca_pem(), own.ca_pem),
    }
}

fn credential() -> Credential {
    Credential::from(Delivered {
        group: "app".to_owned(),
        consumer: "worker".to_owned(),
        roles: vec![Role::Presenter],
        publication: 1,
        generation: 1,
        fields: BTreeMap::from([("user".to_owned(), USER.to_owned())]),
        value: Secret::from_text(PASSWORD.to_owned()),
        nonce: Nonce([0; 32]),
    })
}

fn connector(ca_pem: &str, port: u16) -> Connector {
    let config: Config = serde_json::from_value(serde_json::json!({
        "endpoints": [{ "name": "primary", "host": "127.0.0.1", "port": port }],
        "database": "postgres", "admin": { "user": USER, "password_file": "unused" }, "ca_file": "unused",
        "owner": "an_owner", "twins": ["twin_a", "twin_b"], "connect_timeout_ms": 5_000
    }))
    .unwrap();
    let group = GroupId::parse("app").unwrap();
    Connector::new(config, group, Secret::from_text(PASSWORD.to_owned()), ca_pem.as_bytes()).unwrap()
}

fn judge(heard: &[u8], what: &str) {
    let text = String::from_utf8_lossy(heard);
    assert!(!text.contains(PASSWORD) && !text.contains("md5"), "{what}: {text}");
}

/// S37, S38, S39: whatever he tries, the connector gets no session from him and he no password.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connector_gives_a_man_in_the_middle_nothing() {
    let (server, own) = (server(), Certificates::generate().unwrap());
    connector(server.ca_pem(), server.port()).census().await.expect("straight to the server it works");
    for trusts in [Trusts::TheServerAlone, Trusts::HimAsWell] {
        for trick in ALL {
            let what = format!("{trick:?}, {trusts:?}");
            let middle = Interceptor::start(server.port(), server.ca_pem(), &own, trick).unwrap();
            let fault = connector(&trusted(&server, &own, trusts), middle.port()).census().await.expect_err(&what);
            judge(&middle.heard(), &what);
            assert!(!format!("{fault:?}").contains(PASSWORD), "{what}");
        }
    }
}

/// S37, S38, S39: nor does the client library's dialler.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dialler_gives_a_man_in_the_middle_nothing() {
    let (server, own) = (server(), Certificates::generate().unwrap());
    let dial = async |port: u16, ca_pem: &str, bind_channel: bool| {
        let mut options = Options::new("127.0.0.1", port, "postgres", ca_pem);
        options.bind_channel = bind_channel;
        Dialler::new(&options).unwrap().dial(&credential()).await
    };
    drop(dial(server.port(), server.ca_pem(), true).await.expect("straight to the server it works"));
    for trusts in [Trusts::TheServerAlone, Trusts::HimAsWell] {
        for trick in ALL {
            let what = format!("{trick:?}, {trusts:?}");
            let middle = Interceptor::start(server.port(), server.ca_pem(), &own, trick).unwrap();
            let error = dial(middle.port(), &trusted(&server, &own, trusts), true).await.expect_err(&what);
            judge(&middle.heard(), &what);
            let words = format!("{error} {error:?}");
            assert!(!words.contains(PASSWORD), "{what}: {words}");
        }
    }
}

/// S37, S38, S39: nor where no binding is required, as through a pooler. Taking the binding out of a server's offer is
/// noticed also there: the client says that it could have bound, and the server knows what it offered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_without_the_binding_is_noticed_even_where_none_is_required() {
    let (server, own) = (server(), Certificates::generate().unwrap());
    for trick in ALL {
        let middle = Interceptor::start(server.port(), server.ca_pem(), &own, trick).unwrap();
        let ca_pem = trusted(&server, &own, Trusts::HimAsWell);
        let mut options = Options::new("127.0.0.1", middle.port(), "postgres", ca_pem);
        options.bind_channel = false;
        let refused = Dialler::new(&options).unwrap().dial(&credential()).await.expect_err(&format!("{trick:?}"));
        let asked = [Trick::AskForClearText, Trick::AskForMd5, Trick::AskForNothing].contains(&trick);
        assert_eq!(refused == DialError::NotScram, asked, "{trick:?}: {refused:?}");
        let heard = middle.heard();
        let between = heard.windows(USER.len()).any(|part| part == USER.as_bytes());
        assert_eq!(between, trick != Trick::NoTls, "{trick:?}: he was in between");
        judge(&heard, "without a binding");
    }
}

/// The man in the middle is a real one: a client that cannot bind, and trusts his certificate, has him in its session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_binds_has_him_in_its_session() {
    let (server, own) = (server(), Certificates::generate().unwrap());
    let middle = Interceptor::start(server.port(), server.ca_pem(), &own, Trick::NoBinding).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, &own.ca_pem).unwrap();
    let port = middle.port();
    let asked = tokio::task::spawn_blocking(move || {
        let service = format!(
            "host=127.0.0.1 port={port} user={USER} dbname=postgres sslmode=verify-ca sslrootcert={} \
             channel_binding=disable connect_timeout=30",
            ca_file.display()
        );
        std::process::Command::new("psql")
            .args(["--no-psqlrc", "-d", &service, "-c", "SELECT 'in the middle'"])
            .env("PGPASSWORD", PASSWORD)
            .output()
            .unwrap()
    });
    let asked = asked.await.unwrap();
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    assert!(String::from_utf8_lossy(&middle.heard()).contains("in the middle"), "he hears statements");
}
