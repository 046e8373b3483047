//! S54: what answers tell those who were not asked in. Times are not measured, which would say little about a busy machine:
//! the work is counted that an answer's time could depend on.

use super::*;

/// All that is asked of ports so far.
fn work(rig: &Rig) -> u64 {
    rig.app.engine.counters().calls.values().map(handover_engine::Spread::count).sum()
}

/// All of an answer but its date, with the group's name taken out.
async fn answer(rig: &Rig, method: &Method, path: &str, group: &str, token: &str) -> (StatusCode, String, String) {
    let answer = rig.ask(method.clone(), &handover_api::path::group(path, group), Some(token)).await;
    let mut headers: Vec<String> = answer
        .headers()
        .iter()
        .filter(|(name, _)| *name != reqwest::header::DATE)
        .map(|(name, value)| format!("{name}: {value:?}"))
        .collect();
    headers.sort();
    (answer.status(), headers.join("\n"), answer.text().await.unwrap().replace(group, "GROUP"))
}

/// S54: for no route and no role does an answer about a group that the token does not cover depend on whether there is
/// one, on what it publishes, or on anything that had to be looked up.
#[tokio::test]
async fn a_foreign_group_is_answered_like_none_after_the_same_work() {
    let rig = Rig::start().await;
    let _ = rig.publish(3, 2, None).await;
    // Covered once, so that what is counted is known to count.
    let own = rig.token("own", Grant::Viewer, &["orders"]);
    let before = work(&rig);
    assert_eq!(rig.ask(Method::GET, "/v1/groups/orders/history", Some(&own)).await.status(), StatusCode::OK);
    assert!(work(&rig) > before);

    for grant in [Grant::Consumer, Grant::Viewer, Grant::Operator] {
        let token = rig.token("eve", grant, &["others"]);
        for route in table().iter().filter(|route| route.path.contains("{group}")) {
            let before = work(&rig);
            let foreign = answer(&rig, &route.method, route.path, "orders", &token).await;
            let none = answer(&rig, &route.method, route.path, "absent", &token).await;
            assert_eq!(foreign, none, "{grant} at {} {}", route.method, route.path);
            assert!([403, 404].contains(&foreign.0.as_u16()), "{foreign:?}");
            assert_eq!(work(&rig), before, "{grant} at {} {} made somebody look", route.method, route.path);
        }
        let before = work(&rig);
        let watched = |group| answer(&rig, &Method::GET, group, "orders", &token);
        let (foreign, none) = (watched("/v1/watch?group=orders").await, watched("/v1/watch?group=absent").await);
        assert_eq!((&foreign, foreign.0, work(&rig)), (&none, StatusCode::NOT_FOUND, before), "{grant}");
    }
}

/// S54: which generation comes, and in which phase the one before it still is valid, is told to those who look after the
/// group. A consumer is told that there is something to fetch.
#[tokio::test]
async fn a_consumers_stream_tells_nothing_of_generations() {
    let rig = Rig::start().await;
    let tokens = [Grant::Consumer, Grant::Viewer].map(|grant| rig.token("worker", grant, &["orders"]));
    let mut streams = Vec::new();
    for token in &tokens {
        let mut stream = rig.ask(Method::GET, path::WATCH, Some(token)).await.bytes_stream();
        assert!(matches!(next_event(&mut stream).await, Some(WatchEvent::Snapshot { .. })));
        streams.push(stream);
    }
    let phase = WatchEvent::Phase {
        group: "orders".to_owned(),
        generation: 8,
        phase: "drain".to_owned(),
        status: handover_api::Status::InProgress,
        hold: None,
    };
    let published = WatchEvent::Publication(Published { group: "orders".to_owned(), publication: 5 });
    rig.app.news.tell(&orders(), phase.clone());
    rig.app.news.tell(&orders(), published.clone());
    assert_eq!(next_event(&mut streams[0]).await, Some(published.clone()), "a consumer");
    assert_eq!(next_event(&mut streams[1]).await, Some(phase), "a viewer");
    assert_eq!(next_event(&mut streams[1]).await, Some(published), "a viewer");
}
