//! Pages of history over real connections.

use handover_api::{History, RecordView};
use handover_core::port::{Entry, StateStore as _};
use handover_core::{Epoch, Timestamp};

use super::*;

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
