//! Figures and the report over real connections.

use handover_api::{Report, Statistics as Figures};
use handover_core::port::{Entry, StateStore as _};
use handover_core::{Epoch, Timestamp};

use super::*;

impl Rig {
    async fn entry(&self, group: &str, at: jiff::Timestamp, event: &'static str, fields: &[(&'static str, &str)]) {
        let fields = fields.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
        let entry = Entry { at: Timestamp(at.as_millisecond()), event, actor: "engine".to_owned(), fields };
        self.state.append(&GroupId::parse(group).unwrap(), Epoch(1), entry).await.unwrap();
    }

    async fn rotated(&self, group: &str, at: jiff::Timestamp, outcome: &str) {
        self.entry(group, at, "started", &[("from", "1"), ("strategy", "dual_write")]).await;
        self.entry(group, at, "ended", &[("outcome", outcome), ("evidence", "seen")]).await;
    }

    async fn figures(&self, path: &str, token: &str) -> Figures {
        let answer = self.ask(Method::GET, path, Some(token)).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.json().await.unwrap()
    }
}

fn ago(hours: i64) -> jiff::Timestamp {
    jiff::Timestamp::now() - jiff::SignedDuration::from_hours(hours)
}

/// S54: no total tells of groups that the token does not cover.
#[tokio::test]
async fn figures_are_those_of_the_groups_that_the_token_covers() {
    let rig = Rig::start().await;
    let (one, every) = (rig.token("person", Grant::Viewer, &["orders"]), rig.token("chief", Grant::Operator, &["*"]));
    rig.rotated("orders", ago(72), "success").await;
    rig.rotated("orders", ago(1), "rolled_back").await;
    rig.rotated("others", ago(1), "success").await;
    rig.entry("others", ago(1), "denied", &[("order", "rotate"), ("refusal", "Live")]).await;
    let counted = |figures: &Figures| (figures.ended.success, figures.ended.rolled_back, figures.refused_concurrent);
    assert_eq!(counted(&rig.figures("/v1/stats", &every).await), (2, 1, 1));
    let narrow = rig.figures("/v1/stats", &one).await;
    assert_eq!((counted(&narrow), narrow.groups), ((1, 1, 0), 1));
    assert_eq!(counted(&rig.figures("/v1/stats?since=2h", &one).await), (0, 1, 0));
    assert_eq!(counted(&rig.figures("/v1/stats?since=2h&group=others", &every).await), (1, 0, 1));
    for path in ["/v1/stats?group=others", "/v1/stats?group=nowhere"] {
        let refused = rig.ask(Method::GET, path, Some(&one)).await;
        assert_eq!(refused.json::<Problem>().await.unwrap().code, "no_such_group", "{path}");
    }
    for path in ["/v1/stats?since=soon", "/v1/stats?canary=1"] {
        let refused = rig.ask(Method::GET, path, Some(&one)).await;
        assert_eq!(refused.json::<Problem>().await.unwrap().code, "bad_request", "{path}");
    }
}

#[tokio::test]
async fn a_reset_begins_anew_and_the_history_stays() {
    let rig = Rig::start().await;
    let every = rig.token("chief", Grant::Operator, &["*"]);
    rig.rotated("orders", ago(1), "success").await;
    let before = rig.figures("/v1/stats", &every).await;
    assert_eq!((before.ended.success, before.reset_at), (1, None));
    let answer = rig.ask(Method::POST, "/v1/stats/reset", Some(&every)).await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    let after = rig.figures("/v1/stats", &every).await;
    assert_eq!((after.ended.success, after.success_rate), (0, None));
    assert_eq!(after.since, after.reset_at, "they begin there");
    let one = rig.token("person", Grant::Operator, &["orders"]);
    let refused = rig.ask(Method::POST, "/v1/stats/reset", Some(&one)).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN, "the counters are everybody's");
    let told = rig.ask(Method::GET, "/v1/audit", Some(&every)).await.text().await.unwrap();
    assert!(told.contains("\"outcome\":\"success\"") && told.contains("\"event\":\"reset\""), "{told}");
}

#[tokio::test]
async fn a_report_lists_the_groups_that_the_token_covers() {
    let rig = Rig::start().await;
    let one = rig.token("person", Grant::Viewer, &["orders"]);
    // The engine of this rig is bound to no group: what cannot be looked at is an error, and no empty line.
    let answer = rig.ask(Method::GET, "/v1/stats/report", Some(&one)).await;
    assert_eq!(answer.json::<Problem>().await.unwrap().code, FaultKind::Misconfigured.code());
    let nobody = rig.token("nobody", Grant::Viewer, &[]);
    let report: Report = rig.ask(Method::GET, "/v1/stats/report", Some(&nobody)).await.json().await.unwrap();
    assert_eq!((report.groups, report.next), (Vec::new(), None));
}
