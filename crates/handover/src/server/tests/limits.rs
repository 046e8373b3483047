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

/// S42: whoever sends all of a body that is too long still gets the answer, which is a problem with its page.
#[tokio::test]
async fn a_body_that_is_too_long_is_answered_before_the_connection_ends() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let rig = Rig::start().await;
    let token = rig.token("person", Grant::Operator, &["orders"]);
    let length = 8 << 20;
    let head = format!(
        "POST /v1/groups/orders/hold HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: {length}\r\n\r\n"
    );
    let mut stream = tokio::net::TcpStream::connect(rig.base.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b' '; length]).await.expect("all of it is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("no reset");
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let problem: Problem = serde_json::from_str(body).unwrap();
    assert_eq!(problem.code, "too_long");
    assert_eq!(rig.ask(Method::GET, &problem.kind, None).await.status(), StatusCode::OK);
}

/// S42: one who asks for much and reads nothing gives its place back.
#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_off() {
    use tokio::io::AsyncWriteExt as _;
    let limits = Limits { connections_max: 1, stall_max: Duration::from_millis(200), ..Limits::default() };
    let rig = Rig::start_with(limits).await;
    let mut deaf = tokio::net::TcpStream::connect(rig.base.strip_prefix("http://").unwrap()).await.unwrap();
    // More than the buffers of both ends hold.
    let asked = format!("GET {} HTTP/1.1\r\nhost: x\r\n\r\n", path::OPENAPI).repeat(400);
    deaf.write_all(asked.as_bytes()).await.unwrap();
    let asking = rig.ask(Method::GET, path::HEALTH, None);
    let answer = tokio::time::timeout(Duration::from_secs(60), asking).await.expect("the place becomes free");
    assert_eq!(answer.status(), StatusCode::OK);
    drop(deaf);
}

/// What is begun and changes something goes on without its client: who waits for what was committed is woken.
#[tokio::test]
async fn a_change_goes_on_to_its_end_without_its_client() {
    use hyper::service::Service as _;
    use tokio::sync::Notify;
    let (begun, go_on, done) = (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (began, goes_on, ended) = (begun.clone(), go_on.clone(), done.clone());
    let change = move || {
        let (began, goes_on, ended) = (began.clone(), goes_on.clone(), ended.clone());
        async move {
            began.notify_one();
            goes_on.notified().await;
            ended.notify_one();
        }
    };
    let router = Router::new().route("/change", post(change)).layer(middleware::from_fn(to_its_end));
    let request = hyper::Request::post("/change").body(axum::body::Body::empty()).unwrap();
    let answer = hyper_util::service::TowerToHyperService::new(router).call(request);
    tokio::select! {
        _ = answer => panic!("it waits"),
        () = begun.notified() => {}
    }
    // The request is dropped by now, as it is when the connection of its client ends.
    go_on.notify_one();
    tokio::time::timeout(Duration::from_secs(30), done.notified()).await.expect("it went on");
}
