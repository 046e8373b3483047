//! A real Redis, and groups on it.

use std::any::Any;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use handover_adapters::target::redis::{Admin, Config, Endpoint, Redis};
use handover_core::port::Target;
use handover_core::{GroupId, Slot};
use handover_secret::Secret;
use handover_testkit::conformance::target::{Bench, Harness, Wait};
use handover_testkit::servers::redis::{Session, Twins};
use handover_testkit::servers::{self};
use redis::Value;

/// Runs a test on the server that tests of this process share.
pub(crate) fn with_redis<F: Future<Output = ()>>(test: impl FnOnce(RedisHarness) -> F) {
    let server = servers::Redis::shared().unwrap_or_else(|error| panic!("{error}"));
    super::block_on(test(RedisHarness { server }));
}

/// Makes groups on one server.
pub(crate) struct RedisHarness {
    pub(crate) server: Arc<servers::Redis>,
}

/// A group with users of its own.
pub(crate) struct RedisGroup {
    pub(crate) server: Arc<servers::Redis>,
    pub(crate) users: Twins,
    pub(crate) id: GroupId,
    pub(crate) target: Redis,
}

impl RedisHarness {
    /// A group that is prepared with the commands on the connector's page.
    pub(crate) async fn group(&self) -> RedisGroup {
        let name = format!("g{}", servers::random_hex(10).expect("random bytes"));
        let server = Arc::clone(&self.server);
        let prefix = name.clone();
        let users = tokio::task::spawn_blocking(move || server.create_users(&prefix)).await.expect("a thread");
        let users = users.unwrap_or_else(|error| panic!("{error}"));
        let id = GroupId::parse(&name).expect("a group's name");
        let target = build(&self.server, &id, &users, &[self.server.port()]);
        RedisGroup { server: Arc::clone(&self.server), users, id, target }
    }
}

impl RedisGroup {
    /// The name of a slot's user.
    pub(crate) fn user(&self, slot: Slot) -> &str {
        &self.users.twins[usize::try_from(slot.0).expect("a slot")]
    }

    /// One command of the superuser.
    pub(crate) async fn ask(&self, words: &[&str]) -> Value {
        let superuser = self.server.superuser().await.expect("the superuser's login");
        superuser.ask(words).await.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// A session of a consumer.
    pub(crate) async fn consumer(&self, slot: Slot, value: &Secret) -> Option<Session> {
        #[expect(clippy::disallowed_methods, reason = "a consumer presents the value")]
        let password = value.expose_text().expect("a password");
        self.server.connect(self.user(slot), password).await.ok()
    }

    /// The line of a user in the list of users.
    pub(crate) async fn line(&self, user: &str) -> String {
        let Value::Array(lines) = self.ask(&["ACL", "LIST"]).await else { panic!("a list of users") };
        let prefix = format!("user {user} ");
        let mut lines = lines.iter().filter_map(|line| {
            let Value::BulkString(line) = line else { return None };
            Some(String::from_utf8_lossy(line).into_owned())
        });
        lines.find(|line| line.starts_with(&prefix)).unwrap_or_default()
    }
}

pub(crate) fn config(users: &Twins, ports: &[u16]) -> Config {
    let endpoint = |(index, port): (usize, &u16)| Endpoint {
        name: format!("node-{index}"),
        host: "localhost".to_owned(),
        port: *port,
    };
    Config {
        endpoints: ports.iter().enumerate().map(endpoint).collect::<Vec<_>>().into(),
        admin: Admin { user: users.admin.clone(), password_file: "admin.password".into() }.into(),
        ca_file: PathBuf::from("ca.pem").into(),
        twins: users.twins.clone().map(Into::into),
        connect_timeout_ms: 3_000,
        command_timeout_ms: 10_000,
    }
}

pub(crate) fn build(server: &servers::Redis, id: &GroupId, users: &Twins, ports: &[u16]) -> Redis {
    let password = Secret::from_text(users.admin_password.clone());
    let built = Redis::new(config(users, ports), id.clone(), password, server.ca_pem().as_bytes());
    built.unwrap_or_else(|fault| panic!("{fault}"))
}

impl Harness for RedisHarness {
    fn fresh(&self) -> Wait<'_, Box<dyn Bench>> {
        Box::pin(async { Box::new(self.group().await) as Box<dyn Bench> })
    }
}

impl Bench for RedisGroup {
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
        Box::new(build(&self.server, &self.id, &self.users, &[port]))
    }

    fn session<'a>(&'a self, slot: Slot, value: &'a Secret) -> Wait<'a, Option<Box<dyn Any + Send + Sync>>> {
        Box::pin(async move {
            let session = self.consumer(slot, value).await?;
            Some(Box::new(session) as Box<dyn Any + Send + Sync>)
        })
    }

    fn is_open<'a>(&'a self, session: &'a (dyn Any + Send + Sync)) -> Wait<'a, bool> {
        Box::pin(async move {
            let session = session.downcast_ref::<Session>().expect("a session of ours");
            session.ask(&["PING"]).await.is_ok()
        })
    }

    fn blind(&self) -> Wait<'_, ()> {
        Box::pin(async move {
            self.ask(&["ACL", "SETUSER", &self.users.admin, "-client|list"]).await;
        })
    }

    fn give_away(&self, slot: Slot) -> Wait<'_, ()> {
        Box::pin(async move {
            let user = self.user(slot);
            let line = self.line(user).await;
            let label = line.split(' ').find(|word| word.starts_with("#686e646f")).expect("a label");
            let label = &label[1..];
            // The group's digest begins after 14 digits.
            let mut foreign = label.to_owned();
            foreign.replace_range(14..16, if &label[14..16] == "00" { "01" } else { "00" });
            self.ask(&["ACL", "SETUSER", user, &format!("!{label}"), &format!("#{foreign}")]).await;
        })
    }

    fn describe(&self, slot: Slot) -> Wait<'_, String> {
        Box::pin(async move { self.line(self.user(slot)).await })
    }

    fn settled(&self) -> Wait<'_, ()> {
        Box::pin(async move {
            let limit = Instant::now() + Duration::from_secs(20);
            let ours = format!(" user={} ", self.users.admin);
            loop {
                let clients = format!("{:?}", self.ask(&["CLIENT", "LIST"]).await);
                if !clients.contains(&ours) {
                    return;
                }
                assert!(Instant::now() < limit, "sessions of our user are still there: {clients}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
    }

    fn log(&self) -> String {
        self.server.log().unwrap_or_else(|error| panic!("{error}"))
    }

    fn unacceptable(&self) -> Option<Secret> {
        Some(Secret::from_text("control\u{7}character".to_owned()))
    }
}
