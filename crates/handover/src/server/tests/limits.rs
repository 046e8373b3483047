//! How many streams one identity may have.

use super::*;

#[tokio::test]
async fn one_identity_does_not_take_the_streams_of_all() {
    let rig = Rig::start().await;
    let (worker, other) =
        (rig.token("worker", Grant::Consumer, &["orders"]), rig.token("other", Grant::Consumer, &["orders"]));
    let mut streams = Vec::new();
    loop {
        let answer = rig.ask(Method::GET, path::WATCH, Some(&worker)).await;
        if answer.status() != StatusCode::OK {
            assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(answer.json::<Problem>().await.unwrap().code, "too_many_streams");
            break;
        }
        streams.push(answer);
        assert!(streams.len() <= 64, "there is a limit");
    }
    assert_eq!(streams.len(), 64);
    assert_eq!(rig.ask(Method::GET, path::WATCH, Some(&other)).await.status(), StatusCode::OK, "others are let in");
    streams.pop();
    let limit = tokio::time::Instant::now() + Duration::from_secs(30);
    while rig.ask(Method::GET, path::WATCH, Some(&worker)).await.status() != StatusCode::OK {
        assert!(tokio::time::Instant::now() < limit, "a closed stream gives its place back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
