//! Real servers, and groups on them; here: PostgreSQL.
#![expect(clippy::expect_used, reason = "a test that cannot be prepared fails")]

#[cfg(feature = "target-redis")]
pub(crate) mod redis;

use std::any::Any;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use handover_adapters::target::postgres::{Admin, ChannelBinding, Config, Endpoint, Postgres, close_idle_sessions};
use handover_core::port::Target;
use handover_core::{GroupId, Slot};
use handover_secret::Secret;
use handover_testkit::conformance::target::{Bench, Harness, Wait};
use handover_testkit::servers::{self, postgres::Roles};

/// Runs a test on the server that tests of this process share.
pub(crate) fn with_server<F: Future<Output = ()>>(test: impl FnOnce(PostgresHarness) -> F) {
    let server = servers::Postgres::shared().unwrap_or_else(|error| panic!("{error}"));
    block_on(test(PostgresHarness::on(&server)));
}

/// Runs a test within its limit.
pub(crate) fn block_on<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let limited = async {
        tokio::time::timeout(Duration::from_secs(240), test).await.expect("the test must end within four minutes");
    };
    runtime.expect("a runtime").block_on(limited);
}

/// Makes groups on one server.
pub(crate) struct PostgresHarness {
    pub(crate) server: Arc<servers::Postgres>,
    versioned: bool,
}

/// A group with roles and a database of its own.
pub(crate) struct Group {
    pub(crate) server: Arc<servers::Postgres>,
    pub(crate) roles: Roles,
    versioned: bool,
    pub(crate) database: String,
    pub(crate) id: GroupId,
    pub(crate) target: Postgres,
}

impl PostgresHarness {
    /// For groups with twins.
    pub(crate) fn on(server: &Arc<servers::Postgres>) -> Self {
        Self { server: Arc::clone(server), versioned: false }
    }

    /// The server's major version.
    pub(crate) async fn version(&self) -> u32 {
        let superuser = self.server.superuser("postgres").await.expect("the superuser's login");
        let row = superuser.query_one("SELECT current_setting('server_version_num')::int / 10000", &[]).await;
        u32::try_from(row.expect("an answer").get::<_, i32>(0)).expect("a version")
    }

    /// The same server, for groups with versioned users.
    pub(crate) fn versioned(&self) -> Self {
        Self { server: Arc::clone(&self.server), versioned: true }
    }

    /// A group that is prepared with the script on the connector's page.
    pub(crate) async fn group(&self) -> Group {
        let name = format!("g{}", servers::random_hex(10).expect("random bytes"));
        let (server, versioned) = (Arc::clone(&self.server), self.versioned);
        let prefix = name.clone();
        let create =
            move || if versioned { server.create_versioned_roles(&prefix) } else { server.create_roles(&prefix) };
        let roles = tokio::task::spawn_blocking(create).await.expect("a thread");
        let roles = roles.unwrap_or_else(|error| panic!("{error}"));
        let superuser = self.server.superuser("postgres").await.expect("the superuser's login");
        superuser.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("a database");
        let id = GroupId::parse(&name).expect("a group's name");
        let config = config(&roles, &name, &[self.server.port()]);
        let config = if versioned { with_versions(config) } else { config };
        let target = build(&self.server, &id, &roles, config);
        Group { server: Arc::clone(&self.server), roles, versioned, database: name, id, target }
    }
}

impl Group {
    /// The same group, reached by other ports; the first is where changes are made.
    pub(crate) fn target_at(&self, ports: &[u16]) -> Postgres {
        let config = config(&self.roles, &self.database, ports);
        let config = if self.versioned { with_versions(config) } else { config };
        build(&self.server, &self.id, &self.roles, config)
    }

    /// Runs statements as the superuser, in the group's database.
    pub(crate) async fn sql(&self, statements: &str) {
        let superuser = self.server.superuser(&self.database).await.expect("the superuser's login");
        if let Err(error) = superuser.batch_execute(statements).await {
            panic!("{statements}: {:?}", error.as_db_error());
        }
    }

    /// One value, asked as the superuser.
    pub(crate) async fn ask(&self, question: &str) -> String {
        let superuser = self.server.superuser(&self.database).await.expect("the superuser's login");
        let row = superuser.query_one(question, &[]).await.expect("an answer");
        row.get::<_, Option<String>>(0).unwrap_or_default()
    }

    /// The name of a slot's role.
    pub(crate) fn role(&self, slot: Slot) -> &str {
        &self.roles.twins[usize::try_from(slot.0).expect("a slot")]
    }

    /// A session of a consumer.
    pub(crate) async fn consumer(&self, slot: Slot, value: &Secret) -> Option<tokio_postgres::Client> {
        #[expect(clippy::disallowed_methods, reason = "a consumer presents the value")]
        let password = value.expose_text().expect("a password");
        self.server.connect(self.role(slot), password, &self.database).await.ok()
    }
}

pub(crate) fn config(roles: &Roles, database: &str, ports: &[u16]) -> Config {
    let endpoint = |(index, port): (usize, &u16)| Endpoint {
        name: if index == 0 { "primary".to_owned() } else { format!("replica-{index}") },
        host: "localhost".to_owned(),
        port: *port,
        required: true,
        kind: None,
        channel_binding: ChannelBinding::Require,
    };
    Config {
        endpoints: ports.iter().enumerate().map(endpoint).collect::<Vec<_>>().into(),
        database: database.into(),
        admin: Admin { user: roles.admin.clone(), password_file: "admin.password".into() }.into(),
        ca_file: PathBuf::from("ca.pem").into(),
        owner: roles.owner.as_str().into(),
        twins: Some(roles.twins.clone().map(Into::into)),
        versioned: None,
        connect_timeout_ms: 3_000,
        statement_timeout_ms: 10_000,
    }
}

/// The same with a user for each generation.
fn with_versions(config: Config) -> Config {
    let stem = config.owner.replace("_owner", "_v");
    Config { twins: None, versioned: Some(stem.into()), ..config }
}

pub(crate) fn build(server: &servers::Postgres, id: &GroupId, roles: &Roles, config: Config) -> Postgres {
    let password = Secret::from_text(roles.admin_password.clone());
    Postgres::new(config, id.clone(), password, server.ca_pem().as_bytes()).unwrap_or_else(|fault| panic!("{fault}"))
}

impl Harness for PostgresHarness {
    fn fresh(&self) -> Wait<'_, Box<dyn Bench>> {
        Box::pin(async { Box::new(self.group().await) as Box<dyn Bench> })
    }
}

impl Bench for Group {
    fn target(&self) -> &dyn Target {
        &self.target
    }

    fn group(&self) -> &GroupId {
        &self.id
    }

    fn port(&self) -> u16 {
        self.server.port()
    }

    fn detour(&self, port: u16) -> Box<dyn Target> {
        Box::new(self.target_at(&[port]))
    }

    fn session<'a>(&'a self, slot: Slot, value: &'a Secret) -> Wait<'a, Option<Box<dyn Any + Send + Sync>>> {
        Box::pin(async move {
            let client = self.consumer(slot, value).await?;
            Some(Box::new(client) as Box<dyn Any + Send + Sync>)
        })
    }

    fn is_open<'a>(&'a self, session: &'a (dyn Any + Send + Sync)) -> Wait<'a, bool> {
        Box::pin(async move {
            let client = session.downcast_ref::<tokio_postgres::Client>().expect("a session of ours");
            client.simple_query("SELECT 1").await.is_ok()
        })
    }

    fn blind(&self) -> Wait<'_, ()> {
        Box::pin(self.sql("REVOKE SELECT ON pg_stat_activity FROM PUBLIC"))
    }

    fn give_away(&self, slot: Slot) -> Wait<'_, ()> {
        Box::pin(async move {
            let role = self.role(slot);
            let comment = self.ask(&format!("SELECT shobj_description('{role}'::regrole, 'pg_authid')")).await;
            let foreign = comment.replace(&format!("group={} ", self.id), "group=somebody-else ");
            assert_ne!(foreign, comment, "the label must name the group");
            self.sql(&format!("COMMENT ON ROLE {role} IS '{foreign}'")).await;
        })
    }

    fn describe(&self, slot: Slot) -> Wait<'_, String> {
        Box::pin(async move {
            let role = self.role(slot);
            self.ask(&format!(
                "SELECT (SELECT concat_ws('|', a::text, shobj_description(a.oid, 'pg_authid'),
                    (SELECT string_agg(s::text, ',') FROM pg_db_role_setting s WHERE s.setrole = a.oid),
                    (SELECT string_agg(m.roleid::text, ',') FROM pg_auth_members m WHERE m.member = a.oid))
                 FROM pg_authid a WHERE a.rolname = '{role}')"
            ))
            .await
        })
    }

    fn settled(&self) -> Wait<'_, ()> {
        Box::pin(async move {
            // What is left then was cut off.
            close_idle_sessions();
            let limit = Instant::now() + Duration::from_secs(20);
            let sessions =
                format!("SELECT count(*)::text FROM pg_stat_activity WHERE usename = '{}'", self.roles.admin);
            loop {
                let left = self.ask(&sessions).await;
                if left == "0" {
                    return;
                }
                assert!(Instant::now() < limit, "{left} sessions of our user are still there");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
    }

    fn log(&self) -> String {
        self.server.log()
    }

    fn unacceptable(&self) -> Option<Secret> {
        Some(Secret::from_text("control\u{7}character".to_owned()))
    }
}
