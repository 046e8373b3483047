//! P3: whole `dual_write` rotations on a real PostgreSQL, against a bare client that does the same logins and
//! statements, which are taken from the server's own log.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use handover_adapters::target::postgres::{Admin, ChannelBinding, Config, Endpoint, Postgres as Target};
use handover_core::GroupId;
use handover_engine::{Binding, Options};
use handover_secret::Secret;
use handover_testkit::servers::postgres::{Options as ServerOptions, Postgres, Roles};
use handover_testkit::servers::random_hex;

use crate::report::{Budget, Findings};
use crate::rotations::scratch;
use crate::world::{Fakes, World, groups, prompt, state, words};
use crate::{Setting, Trouble};

const FLIGHT: usize = 8;

/// Runs it.
pub(crate) fn run(setting: &Setting) -> Result<Findings, Trouble> {
    let settings = [("log_line_prefix", "%p|%u|"), ("log_disconnections", "on"), ("max_connections", "200")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let server = Postgres::start(&ServerOptions { fsync: true, settings }).map_err(|error| error.to_string())?;
    let roles = (0..FLIGHT).map(|number| server.create_roles(&format!("g{number}")));
    let roles: Vec<Roles> = roles.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| format!("no runtime: {error}"))?.block_on(measure(setting, server, &roles))
}

async fn measure(setting: &Setting, server: Postgres, roles: &[Roles]) -> Result<Findings, Trouble> {
    let each = if setting.smoke { 1 } else { 10 };
    let directory = scratch(setting)?;
    let groups = groups(FLIGHT)?;
    let fakes = Fakes::of(&groups);
    let mut bindings = fakes.bindings()?;
    for binding in &mut bindings {
        let place = groups.iter().position(|group| *group == binding.group).and_then(|place| roles.get(place));
        bind(binding, &server, place.ok_or("a group without roles")?)?;
    }
    let state = state(&directory.path().join("state.db"))?;
    let consumers = prompt(&fakes)?;
    let options = Options { calls_each_max: FLIGHT, ..Options::default() };
    let mut world = World::start(state, consumers, bindings, options).await?;
    // Both twins of each have had a password.
    world.rotate_all(&groups, 2).await?;
    let first: Vec<GroupId> = groups.iter().take(1).cloned().collect();
    let before = server.log().len();
    world.rotate_all(&first, 1).await?;
    let tape = Tape::of(server.log().get(before..).unwrap_or_default(), random_hex(32).map_err(|e| e.to_string())?);
    let ours = world.rotate_all(&groups, each).await?;
    world.stop().await?;

    let (server, tape) = (Arc::new(server), Arc::new(tape));
    let admins = roles.iter().map(|roles| (roles.admin.clone(), roles.admin_password.clone()));
    let admins: Arc<HashMap<String, String>> = Arc::new(admins.collect());
    let start = Instant::now();
    let mut players = tokio::task::JoinSet::new();
    for number in 0..FLIGHT {
        let (server, tape, admins) = (Arc::clone(&server), Arc::clone(&tape), Arc::clone(&admins));
        players.spawn(async move {
            for _ in 0..each {
                tape.play(&server, number, &admins).await?;
            }
            Ok::<_, Trouble>(())
        });
    }
    while let Some(played) = players.join_next().await {
        played.map_err(|error| error.to_string())??;
    }
    let bare = start.elapsed();

    let mut found = Findings::default();
    let rate = |took: Duration| (FLIGHT * each) as f64 / took.as_secs_f64();
    found.compare(
        "P3",
        ("whole rotations on PostgreSQL, 8 in flight", rate(ours), "/s"),
        ("the same logins and statements from a bare client", rate(bare)),
        Budget::RatioMin(0.9),
    );
    let (logins, statements) = tape.counted();
    found.note(format!(
        "a rotation has {logins} logins and {statements} statements, the checks before its start among them; the bare client \
         has its SCRAM verifier ready, and keeps no record"
    ));
    Ok(found)
}

/// Has a group rotate these roles of the server.
pub(crate) fn bind(binding: &mut Binding, server: &Postgres, roles: &Roles) -> Result<(), Trouble> {
    let config = Config {
        endpoints: vec![Endpoint {
            name: "primary".to_owned(),
            host: "127.0.0.1".to_owned(),
            port: server.port(),
            required: true,
            kind: None,
            channel_binding: ChannelBinding::Require,
        }]
        .into(),
        database: "postgres".into(),
        admin: Admin { user: roles.admin.clone(), password_file: "unused".into() }.into(),
        ca_file: server.ca_path().into(),
        owner: roles.owner.as_str().into(),
        twins: Some(roles.twins.clone().map(Into::into)),
        versioned: None,
        connect_timeout_ms: 10_000,
        statement_timeout_ms: 10_000,
    };
    let password = Secret::from_text(roles.admin_password.clone());
    let target = Target::new(config, binding.group.clone(), password, server.ca_pem().as_bytes()).map_err(words)?;
    binding.target = Arc::new(target);
    binding.target_name = "postgres".into();
    Ok(())
}

/// What a server was asked during one rotation.
struct Tape {
    events: Vec<(u32, Asked)>,
    password: String,
}

enum Asked {
    /// A login, and whether the server refused it in the end.
    Login {
        user: String,
        refused: bool,
    },
    Statement(String),
    End,
}

impl Tape {
    /// Reads a log, and puts a known password where one was set.
    fn of(log: &str, password: String) -> Self {
        let verifier = postgres_protocol::password::scram_sha_256(password.as_bytes());
        let mut events: Vec<(u32, Asked)> = Vec::new();
        for entry in entries(log) {
            let mut parts = entry.splitn(3, '|');
            let (Some(Ok(process)), Some(user), Some(said)) =
                (parts.next().map(str::parse), parts.next(), parts.next())
            else {
                continue;
            };
            if said.starts_with("LOG:  connection authorized: ") {
                events.push((process, Asked::Login { user: user.to_owned(), refused: false }));
            } else if let Some(statement) = said.strip_prefix("LOG:  statement: ") {
                events.push((process, Asked::Statement(with_verifier(statement, &verifier))));
            } else if let Some((_, statement)) =
                said.strip_prefix("LOG:  execute ").and_then(|said| said.split_once(": "))
            {
                events.push((process, Asked::Statement(statement.to_owned())));
            } else if let Some(given) = said.strip_prefix("DETAIL:  parameters: ") {
                let last = events.iter_mut().rev().find(|(of, _)| *of == process);
                if let Some((_, Asked::Statement(statement))) = last {
                    *statement = with_parameters(statement, given);
                }
            } else if said.starts_with("FATAL:") {
                let last = events.iter_mut().rev().find(|(of, _)| *of == process);
                match last {
                    Some((_, Asked::Login { refused, .. })) => *refused = true,
                    Some((_, Asked::Statement(_) | Asked::End)) => {}
                    None => events.push((process, Asked::Login { user: user.to_owned(), refused: true })),
                }
            } else if said.starts_with("LOG:  disconnection: ") {
                events.push((process, Asked::End));
            }
        }
        // A session that began before the tape did is not of this rotation.
        let begun: HashSet<u32> = events
            .iter()
            .filter(|(_, asked)| matches!(asked, Asked::Login { .. }))
            .map(|(process, _)| *process)
            .collect();
        events.retain(|(process, _)| begun.contains(process));
        Self { events, password }
    }

    fn counted(&self) -> (usize, usize) {
        let logins = self.events.iter().filter(|(_, asked)| matches!(asked, Asked::Login { .. })).count();
        let statements = self.events.iter().filter(|(_, asked)| matches!(asked, Asked::Statement(_))).count();
        (logins, statements)
    }

    /// Does the same with the roles of another group.
    async fn play(&self, server: &Postgres, number: usize, admins: &HashMap<String, String>) -> Result<(), Trouble> {
        let ours = |text: &str| text.replace("g0_", &format!("g{number}_"));
        let (mut sessions, mut refusals) = (HashMap::new(), HashSet::new());
        for (process, asked) in &self.events {
            match asked {
                Asked::Login { user, refused } => {
                    let user = ours(user);
                    let password = admins.get(&user).unwrap_or(&self.password);
                    match server.connect(&user, password, "postgres").await {
                        Ok(session) => drop(sessions.insert(*process, session)),
                        Err(_) if *refused => {}
                        // The look at what is in force before the start: here it retired with the play before this one. The
                        // server was asked all the same; what its session asked is left out.
                        Err(_) if !admins.contains_key(&user) => drop(refusals.insert(*process)),
                        Err(error) => return Err(format!("the bare login of {user} failed: {error}")),
                    }
                }
                Asked::Statement(_) if refusals.contains(process) => {}
                Asked::Statement(statement) => {
                    let session = sessions.get(process).ok_or("a statement without a session")?;
                    let statement = ours(statement);
                    session.batch_execute(&statement).await.map_err(|error| match error.as_db_error() {
                        Some(said) => format!("a bare statement failed: {} in {statement}", said.message()),
                        None => "a bare statement got no answer".to_owned(),
                    })?;
                }
                Asked::End => drop(sessions.remove(process)),
            }
        }
        Ok(())
    }
}

/// Lines of the log, with those that go on put together.
fn entries(log: &str) -> Vec<String> {
    let mut entries: Vec<String> = Vec::new();
    for line in log.lines() {
        match (line.strip_prefix('\t'), entries.last_mut()) {
            (Some(more), Some(last)) => {
                last.push('\n');
                last.push_str(more);
            }
            (Some(_) | None, _) => entries.push(line.to_owned()),
        }
    }
    entries
}

/// The statement with another verifier, if it sets one.
fn with_verifier(statement: &str, verifier: &str) -> String {
    let Some((before, rest)) = statement.split_once("'SCRAM-SHA-256$") else { return statement.to_owned() };
    // Preflight rehearses with a verifier of nothing, and rolls it back.
    if rest.starts_with("4096:AAAAAAAAAAAAAAAA") {
        return statement.to_owned();
    }
    let after = rest.split_once('\'').map_or("", |(_, after)| after);
    format!("{before}'{verifier}'{after}")
}

/// The statement with its parameters in place: `$1 = 'a', $2 = 'b'`.
fn with_parameters(statement: &str, given: &str) -> String {
    let mut statement = statement.to_owned();
    for number in (1..=9).rev() {
        let name = format!("${number} = ");
        if let Some((_, value)) = given.split_once(&name) {
            let end = value.find(&format!(", ${} = ", number + 1)).unwrap_or(value.len());
            statement = statement.replace(&format!("${number}"), value.get(..end).unwrap_or(value));
        }
    }
    statement
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_becomes_what_was_asked() {
        let log = "7|g0_admin|LOG:  connection authorized: user=g0_admin database=postgres\n\
                   7|g0_admin|LOG:  execute <unnamed>: SELECT 1\n\tWHERE $1 = $2\n\
                   7|g0_admin|DETAIL:  parameters: $1 = 'a, $', $2 = 'b'\n\
                   7|g0_admin|LOG:  statement: ALTER ROLE g0_a PASSWORD 'SCRAM-SHA-256$4096:x$y:z' LOGIN\n\
                   7|g0_admin|LOG:  disconnection: session time: 0:00:00\n\
                   8|g0_a|LOG:  connection authorized: user=g0_a\n8|g0_a|FATAL:  role \"g0_a\" is not permitted to log in\n";
        let tape = Tape::of(log, "password".to_owned());
        assert_eq!(tape.counted(), (2, 2));
        let statements: Vec<_> = tape
            .events
            .iter()
            .filter_map(|(_, asked)| match asked {
                Asked::Statement(text) => Some(text.as_str()),
                Asked::Login { .. } | Asked::End => None,
            })
            .collect();
        assert_eq!(statements[0], "SELECT 1\nWHERE 'a, $' = 'b'");
        assert!(statements[1].starts_with("ALTER ROLE g0_a PASSWORD 'SCRAM-SHA-256$4096:"), "{}", statements[1]);
        assert!(statements[1].ends_with("' LOGIN") && !statements[1].contains("x$y:z"), "{}", statements[1]);
        assert!(matches!(&tape.events[4], (8, Asked::Login { refused: true, .. })));
    }
}
