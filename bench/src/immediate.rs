//! P2: one password written over another on a real PostgreSQL, without verification, against OpenBao's static roles on the
//! same server and against bare statements.

use std::sync::Arc;
use std::time::{Duration, Instant};

use handover_core::{GroupId, Policy, Strategy};
use handover_engine::Options;
use handover_testkit::servers::postgres::{Options as ServerOptions, Postgres, Roles};
use handover_testkit::servers::random_hex;

use crate::load;
use crate::openbao::OpenBao;
use crate::postgres::bind;
use crate::report::{Budget, Findings};
use crate::rotations::scratch;
use crate::world::{Fakes, World, groups, policy, prompt, state};
use crate::{Setting, Trouble};

const FLIGHT: usize = 8;

/// Runs it.
pub(crate) fn run(setting: &Setting) -> Result<Findings, Trouble> {
    let settings = vec![("max_connections".to_owned(), "200".to_owned())];
    let server = Postgres::start(&ServerOptions { fsync: true, settings }).map_err(|error| error.to_string())?;
    // One in flight has roles of its own: what eight leave bears their marks.
    let roles = (0..=FLIGHT).map(|number| server.create_roles(&format!("g{number}")));
    let roles: Vec<Roles> = roles.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    let mut found = Findings::default();
    let peer = if setting.smoke { None } else { Some(peer(setting, &server)?) };
    let (eight, one) = roles.split_at(FLIGHT);
    for roles in [one, eight] {
        let flight = roles.len();
        let ours = runtime.block_on(ours(setting, &server, roles))?;
        let bare = runtime.block_on(bare(setting, &server, roles))?;
        let what = format!("rotations by immediate, {flight} in flight");
        if let Some(peer) = &peer {
            let queries: Vec<load::Query> = (0..flight).map(|number| peer.rotation_of(&role(number))).collect();
            let theirs = load::run_each(&queries, "POST", 5.0)?.rate;
            let budget = Budget::RatioMin(if flight == 1 { 1.7 } else { 2.5 });
            found.compare("P2", (&what, ours, "/s"), ("OpenBao, database/rotate-role", theirs), budget);
        }
        found.compare(
            "P2",
            (&what, ours, "/s"),
            ("bare ALTER ROLE with a ready verifier", bare),
            Budget::RatioMin(0.9),
        );
    }
    if peer.is_none() {
        found.note("OpenBao was not started: a smoke run downloads nothing");
    }
    found.note(
        "one of ours is whole: checks before the start, a login of our own user for them and one for the change, and its \
         commits; no round of verification and no proof. The budget of one in flight counts the commits to the floor, this \
         floor does not",
    );
    Ok(found)
}

fn role(number: usize) -> String {
    format!("static{number}")
}

async fn ours(setting: &Setting, server: &Postgres, roles: &[Roles]) -> Result<f64, Trouble> {
    let each = if setting.smoke { 2 } else { 50 };
    let directory = scratch(setting)?;
    let groups: Vec<GroupId> = groups(roles.len())?;
    let fakes = Fakes::of(&groups);
    let mut bindings = fakes.bindings()?;
    for binding in &mut bindings {
        let place = groups.iter().position(|group| *group == binding.group).and_then(|place| roles.get(place));
        bind(binding, server, place.ok_or("a group without roles")?)?;
        let strategy = Some(Strategy::Immediate);
        binding.policy = Arc::new(Policy { strategy, accept_outage: true, passes_min: 0, ..policy() });
    }
    let state = state(&directory.path().join("state.db"))?;
    let options = Options { calls_each_max: FLIGHT, ..Options::default() };
    let mut world = World::start(state, prompt(&fakes)?, bindings, options).await?;
    // The first of each replaces nothing.
    world.rotate_all(&groups, 1).await?;
    let took = world.rotate_all(&groups, each).await?;
    world.stop().await?;
    Ok((groups.len() * each) as f64 / took.as_secs_f64())
}

/// The same change by statements alone: connections stay, verifiers are ready.
async fn bare(setting: &Setting, server: &Postgres, roles: &[Roles]) -> Result<f64, Trouble> {
    let each = if setting.smoke { 2 } else { 200 };
    let mut sessions = Vec::new();
    for roles in roles {
        let session = server.connect(&roles.admin, &roles.admin_password, "postgres").await;
        sessions.push((session.map_err(|error| error.to_string())?, roles.twins[1].clone()));
    }
    let password = random_hex(32).map_err(|error| error.to_string())?;
    let verifier = postgres_protocol::password::scram_sha_256(password.as_bytes());
    let start = Instant::now();
    let mut working = tokio::task::JoinSet::new();
    for (session, role) in sessions {
        let statement = format!("ALTER ROLE {role} PASSWORD '{verifier}'");
        working.spawn(async move {
            for _ in 0..each {
                session.batch_execute(&statement).await.map_err(|error| error.to_string())?;
            }
            Ok::<_, Trouble>(())
        });
    }
    while let Some(worked) = working.join_next().await {
        worked.map_err(|error| error.to_string())??;
    }
    Ok((roles.len() * each) as f64 / start.elapsed().as_secs_f64())
}

/// OpenBao with a static role for each group, on roles of its own on the same server.
fn peer(setting: &Setting, server: &Postgres) -> Result<OpenBao, Trouble> {
    let roles: Vec<String> = (0..FLIGHT).map(role).collect();
    for role in &roles {
        server.execute("postgres", &format!("CREATE ROLE {role} LOGIN")).map_err(|error| error.to_string())?;
    }
    let bao = OpenBao::start(setting)?;
    let day = Duration::from_secs(86_400);
    bao.rotates(server, &roles, day)?;
    Ok(bao)
}
