//! Who gets through to what, asked of the real router for every route of its table.

use std::fmt::Write as _;

use clap::ValueEnum as _;
use jiff::{Timestamp, ToSpan as _};

use super::*;
use crate::tokens::Which;

/// What comes of a request, as far as this is about authorisation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    Unauthenticated,
    NotPermitted,
    NoSuchGroup,
    Let,
}

async fn outcome(rig: &Rig, route: &Route, token: Option<&str>) -> Outcome {
    let path = handover_api::path::group(route.path, "orders");
    let answer = rig.ask(route.method.clone(), &path, token).await;
    if answer.status().is_success() {
        return Outcome::Let;
    }
    let problem: Problem = answer.json().await.unwrap();
    match (problem.status, problem.code.as_str()) {
        (401, "unauthenticated") => Outcome::Unauthenticated,
        (403, "not_permitted") => Outcome::NotPermitted,
        (404, "no_such_group") => Outcome::NoSuchGroup,
        (401 | 403, code) => panic!("{} {path}: {code}", route.method),
        (_, _) => Outcome::Let,
    }
}

/// What the rule means, written a second time.
fn expected(route: &Route, terms: &Terms) -> Outcome {
    let narrowed = |verb| terms.verbs.as_ref().is_some_and(|verbs| verb != Verb::Look && !verbs.contains(&verb));
    let permitted = match (route.rule, terms.grant) {
        (Rule::Public | Rule::Code | Rule::Signed | Rule::Anyone, _) | (Rule::Consumer, Grant::Consumer) => true,
        (Rule::Consumer, Grant::Viewer | Grant::Operator | Grant::Approver)
        | (Rule::May(_) | Rule::MayAll(_), Grant::Consumer) => false,
        // Who gives orders approves nothing, and who approves gives no other order.
        (Rule::May(Verb::Approve), grant) => grant == Grant::Approver,
        (Rule::MayAll(verb), Grant::Operator) => !narrowed(verb) && terms.groups.contains("*"),
        (Rule::May(verb) | Rule::MayAll(verb), Grant::Viewer | Grant::Approver) => {
            [Verb::Look, Verb::Plan, Verb::Audit, Verb::Metrics].contains(&verb)
        }
        (Rule::May(verb), Grant::Operator) => !narrowed(verb),
    };
    let every = terms.grant != Grant::Consumer && terms.groups.contains("*");
    if !permitted {
        Outcome::NotPermitted
    } else if every || terms.groups.contains("orders") || !route.path.contains("{group}") {
        Outcome::Let
    } else {
        Outcome::NoSuchGroup
    }
}

fn terms(identity: &str, grant: Grant, groups: &[&str]) -> Terms {
    Terms {
        identity: ConsumerId::parse(identity).unwrap(),
        grant,
        verbs: None,
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        expires_at: None,
    }
}

fn is_open(route: &Route) -> bool {
    match route.rule {
        Rule::Public | Rule::Code | Rule::Signed => true,
        Rule::Consumer | Rule::May(_) | Rule::MayAll(_) | Rule::Anyone => false,
    }
}

#[tokio::test]
async fn every_route_lets_in_whom_its_rule_names_and_nobody_else() {
    let rig = Rig::start().await;
    let mut callers = Vec::new();
    for grant in Grant::value_variants() {
        // `gone` is not configured: a token covers it, and it is not there.
        for groups in [&["orders"][..], &["others"], &["gone"], &["*"], &[]] {
            callers.push(terms("x", *grant, groups));
        }
    }
    for verb in Verb::value_variants() {
        callers.push(Terms { verbs: Some(BTreeSet::from([*verb])), ..terms("x", Grant::Operator, &["orders"]) });
    }
    for terms in callers {
        let token = rig.token_of(&terms);
        for route in table().iter().filter(|route| !is_open(route)) {
            let got = outcome(&rig, route, Some(&token)).await;
            assert_eq!(got, expected(route, &terms), "{} {} for {terms:?}", route.method, route.path);
        }
    }
}

#[tokio::test]
async fn without_a_token_that_counts_nobody_gets_through_whatever_the_role() {
    let rig = Rig::start().await;
    let file = rig.token_file().join("tokens.json");
    let mut dead = vec![None, Some(String::new()), Some("nonsense".to_owned()), Some("hnd_".to_owned())];
    for grant in Grant::value_variants() {
        let expires_at = Some(Timestamp::now() - 1.second());
        dead.push(Some(rig.token_of(&Terms { expires_at, ..terms("expired", *grant, &["orders", "*"]) })));
        let revoked = terms("revoked", *grant, &["orders", "*"]);
        dead.push(Some(rig.token_of(&revoked)));
        assert_eq!(tokens::revoke(&file, &Which::Identity(revoked.identity)).unwrap().len(), 1);
    }
    for route in table().iter().filter(|route| !is_open(route)) {
        for token in &dead {
            let got = outcome(&rig, route, token.as_deref()).await;
            assert_eq!(got, Outcome::Unauthenticated, "{} {} with {token:?}", route.method, route.path);
        }
    }
}

#[tokio::test]
async fn two_tokens_in_one_request_are_none() {
    let rig = Rig::start().await;
    let token = rig.token("person", Grant::Operator, &["*"]);
    let asked = rig.http.get(format!("{}{}", rig.base, path::GROUPS)).bearer_auth(&token).bearer_auth("other");
    assert_eq!(asked.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[test]
fn only_these_are_open_and_only_consumers_touch_values() {
    let open: Vec<&str> = table().iter().filter(|route| is_open(route)).map(|route| route.path).collect();
    let mut wanted = OPEN.to_vec();
    wanted.sort_unstable();
    let mut got = open.clone();
    got.sort_unstable();
    assert_eq!(got, wanted, "a route without a token is a decision: name it here as well");
    for route in table().iter().filter(|route| [path::SECRET, path::ACK].contains(&route.path)) {
        assert_eq!(route.rule, Rule::Consumer, "{}", route.path);
    }
}

const OPEN: &[&str] = &[
    page::INDEX,
    page::STYLE,
    page::SCRIPT,
    page::ICON,
    path::HEALTH,
    path::ERROR,
    path::OPENAPI,
    path::READY,
    path::BOOTSTRAP,
    path::HOOK,
];

const GOLDEN: &str = "../../docs/authorisation.md";
const UPDATE: &str = "UPDATE_GOLDEN";
const BEGIN: &str = "<!-- The table is what the server was seen to do: UPDATE_GOLDEN=1 cargo test -p handover -->\n";

/// The committed table is what the real router was seen to do, so that a changed rule is seen in review.
#[tokio::test]
async fn the_committed_table_is_what_the_server_does() {
    let rig = Rig::start().await;
    let roles = Grant::value_variants();
    let tokens: Vec<String> = roles.iter().map(|grant| rig.token("x", *grant, &["orders", "*"])).collect();
    let mut seen = String::from(
        "\n| method | path | verb | no token | consumer | viewer | operator | approver |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for route in table() {
        let verb = match route.rule {
            Rule::May(verb) | Rule::MayAll(verb) => format!("`{verb}`"),
            Rule::Code => "one-time code".to_owned(),
            Rule::Signed => "signature".to_owned(),
            Rule::Public | Rule::Consumer | Rule::Anyone => "—".to_owned(),
        };
        write!(seen, "| {} | `{}` | {verb} |", route.method, route.path).unwrap();
        for token in std::iter::once(None).chain(tokens.iter().map(Some)) {
            let word = if route.rule == Rule::Code {
                "with the code"
            } else if route.rule == Rule::Signed {
                "with a signature"
            } else {
                match outcome(&rig, &route, token.map(String::as_str)).await {
                    Outcome::Let => "yes",
                    Outcome::Unauthenticated => "401",
                    Outcome::NotPermitted => "403",
                    Outcome::NoSuchGroup => "404",
                }
            };
            write!(seen, " {word} |").unwrap();
        }
        seen.push('\n');
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    let committed = std::fs::read_to_string(&file).unwrap();
    let (words, table) = committed.split_once(BEGIN).expect("the line above the table");
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&file, format!("{words}{BEGIN}{seen}")).unwrap();
    } else {
        assert_eq!(
            table, seen,
            "the rules changed: if that is meant, run the test with {UPDATE}=1 and commit the page"
        );
    }
}

#[test]
fn the_page_lists_every_route_with_its_rule_and_no_other() {
    let documented = include_str!("../../../../../docs/http-api.md");
    for Route { method, path, rule, .. } in table() {
        let whom = match rule {
            Rule::Public => "everybody",
            Rule::Code => "one-time code",
            Rule::Signed => "signed message",
            Rule::Consumer => "consumer",
            Rule::May(verb) if Grant::Viewer.includes(verb) => "viewer, operator, approver",
            Rule::May(verb) if Grant::Approver.includes(verb) => "approver",
            Rule::May(_) => "operator",
            Rule::MayAll(_) => "operator of every group",
            Rule::Anyone => "consumer, viewer, operator, approver",
        };
        let row = format!("| {method} | `{path}` | {whom} |");
        assert!(documented.contains(&row), "docs/http-api.md lacks {row}");
    }
    let rows = documented.lines().filter(|line| line.contains("| `/") && !line.contains("application/")).count();
    assert_eq!(rows, table().len());
}
