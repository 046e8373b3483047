//! Pages of history over real connections.

use handover_api::{History, RecordView};
use handover_core::port::{Entry, StateStore as _};
use handover_core::{Epoch, Timestamp};

use super::*;
use crate::tokens::Which;

impl Rig {
    async fn record(&self, group: &str, number: u64) {
        let fields = vec![("number", number.to_string())];
        let entry = Entry { at: Timestamp(1_700_000_000_000), event: "read", actor: "worker".to_owned(), fields };
        self.state.append(&GroupId::parse(group).unwrap(), Epoch(1), entry).await.unwrap();
    }

    async fn history(&self, path: &str, token: &str) -> History {
        let answer = self.ask(Method::GET, path, Some(token)).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.json().await.unwrap()
    }
}

fn positions(history: &History) -> Vec<u64> {
    history.records.iter().map(|record| record.position).collect()
}

#[tokio::test]
async fn a_group_has_its_own_history_page_by_page() {
    let rig = Rig::start().await;
    let token = rig.token("person", Grant::Operator, &["orders"]);
    for number in 1..=5 {
        rig.record("orders", number).await;
        rig.record("others", number).await;
    }
    let path = "/v1/groups/orders/history";
    let all = rig.history(path, &token).await;
    assert_eq!((positions(&all), all.next), (vec![9, 7, 5, 3, 1], None));
    let first = RecordView {
        position: 1,
        at: "2023-11-14T22:13:20Z".to_owned(),
        group: "orders".to_owned(),
        event: "read".to_owned(),
        actor: "worker".to_owned(),
        fields: BTreeMap::from([("number".to_owned(), "1".to_owned())]),
    };
    assert_eq!(all.records[4], first);
    let page = rig.history(&format!("{path}?limit=2"), &token).await;
    assert_eq!((positions(&page), page.next), (vec![9, 7], Some(7)));
    let page = rig.history(&format!("{path}?limit=3&before=7"), &token).await;
    assert_eq!((positions(&page), page.next), (vec![5, 3, 1], None), "nothing is left");
    for bad in ["?limit=0", "?limit=x", "?before=-1", "?canary=1", "?after=1"] {
        let answer = rig.ask(Method::GET, &format!("{path}{bad}"), Some(&token)).await;
        assert_eq!(answer.json::<Problem>().await.unwrap().code, "bad_request", "{bad}");
    }
}

#[tokio::test]
async fn all_history_is_that_of_the_groups_that_the_token_covers() {
    let rig = Rig::start().await;
    let (one, every) = (rig.token("person", Grant::Operator, &["orders"]), rig.token("chief", Grant::Operator, &["*"]));
    for number in 1..=5 {
        rig.record("orders", number).await;
        rig.record("others", number).await;
    }
    rig.record("removed", 6).await;
    for (path, token, expected, next) in [
        ("/v1/audit", &one, vec![9, 7, 5, 3, 1], None),
        ("/v1/audit?limit=3", &every, vec![11, 10, 9], Some(9)),
        ("/v1/audit?limit=3&before=9", &every, vec![8, 7, 6], Some(6)),
        ("/v1/audit?before=3&limit=2", &every, vec![2, 1], None),
        ("/v1/audit?after=0&limit=2", &one, vec![1, 3], Some(3)),
        ("/v1/audit?after=4&limit=2", &one, vec![5, 7], Some(7)),
        ("/v1/audit?after=9", &every, vec![10, 11], None),
        ("/v1/audit?after=11", &every, vec![], None),
    ] {
        let page = rig.history(path, token).await;
        assert_eq!((positions(&page), page.next), (expected, next), "{path}");
    }
    let both = rig.ask(Method::GET, "/v1/audit?before=3&after=1", Some(&every)).await;
    assert_eq!(both.json::<Problem>().await.unwrap().code, "bad_request");
}

impl Rig {
    /// What is recorded of access, the oldest first: event and entry.
    async fn accesses(&self) -> Vec<(String, String)> {
        let records = self.app.engine.history(Some(&handover_engine::history::access()), None, 100).await.unwrap();
        let views = records.iter().rev().map(crate::server::history::view);
        views.map(|view| (view.event, view.fields.get("token").cloned().unwrap_or_default())).collect()
    }

    /// Waits for so many of these records.
    async fn accessed(&self, many: usize) -> Vec<(String, String)> {
        let limit = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            let found = self.accesses().await;
            if found.len() >= many {
                return found;
            }
            assert!(tokio::time::Instant::now() < limit, "{many} did not come: {found:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What a server does beside its requests, until it is dropped.
    fn following(&self) -> tokio::task::JoinHandle<()> {
        let (app, drain) = (self.app.clone(), self.drain.clone());
        tokio::spawn(async move {
            tokio::join!(app.tokens.follow(drain.subscribe()), access::follow(&app, drain.subscribe()));
        })
    }
}

/// What is made, edited and revoked is recorded once, while the server runs and while it does not; a file that cannot be read
/// takes nobody's token away.
#[tokio::test]
async fn tokens_that_come_change_and_go_are_in_the_history() {
    let rig = Rig::start().await;
    let file = rig.token_file().join("tokens.json");
    rig.token("before", Grant::Viewer, &["orders"]);
    let following = rig.following();
    let first = rig.accessed(1).await;
    rig.token("later", Grant::Operator, &["*"]);
    let ids: Vec<String> = tokens::list(&file).unwrap().into_iter().map(|entry| entry.id).collect();
    let added = |id: &String| ("token_added".to_owned(), id.clone());
    assert_eq!(first, [added(&ids[0])]);
    assert_eq!(rig.accessed(2).await, [added(&ids[0]), added(&ids[1])]);

    let kept = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, "torn").unwrap();
    let mut changes = rig.app.tokens.changes();
    tokio::time::timeout(Duration::from_secs(30), changes.changed()).await.unwrap().unwrap();
    std::fs::write(&file, kept.replace("\"before\"", "\"another\"")).unwrap();
    assert_eq!(rig.accessed(3).await[2..], [("token_changed".to_owned(), ids[0].clone())]);
    following.abort();

    // While nobody looked.
    tokens::revoke(&file, &Which::Id(ids[1].clone())).unwrap();
    let following = rig.following();
    assert_eq!(rig.accessed(4).await[3..], [("token_removed".to_owned(), ids[1].clone())]);
    following.abort();
    // Another start finds nothing to record; what comes after it shows that it has looked.
    rig.token("last", Grant::Viewer, &["orders"]);
    let _following = rig.following();
    let all = rig.accessed(5).await;
    assert_eq!((all.len(), all[4].0.as_str()), (5, "token_added"), "{all:?}");

    // Of no group: only who covers all is shown it.
    let [narrow, every] = [&["orders"][..], &["*"]].map(|groups| rig.token("reader", Grant::Viewer, groups));
    assert_eq!(rig.history(path::AUDIT, &narrow).await.records, []);
    assert!(rig.history(path::AUDIT, &every).await.records.len() >= 5);
}

/// A reload that is refused is in the history, with who asked.
#[tokio::test]
async fn a_refused_reload_is_in_the_history() {
    let rig = Rig::start().await;
    let token = rig.token("anna", Grant::Operator, &["*"]);
    std::fs::write(rig.directory.path().join("handover.toml"), "torn").unwrap();
    assert!(rig.ask(Method::POST, path::RELOAD, Some(&token)).await.status().is_server_error());
    let records = rig.app.engine.history(None, None, 1).await.unwrap();
    let shown = crate::server::history::view(&records[0]);
    assert_eq!((shown.event.as_str(), shown.actor.as_str()), ("reload_refused", "anna"));
    assert_eq!(shown.fields["code"], "configuration");
}
