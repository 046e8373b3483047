//! Handshakes are bounded, and counted as connections.

use std::os::unix::fs::PermissionsExt as _;

use handover_testkit::servers::Certificates;

use super::*;
use crate::config::TlsConfig;
use crate::server::tls::Tls;

#[tokio::test]
async fn those_who_never_finish_a_handshake_do_not_keep_others_out() {
    use tokio::io::AsyncReadExt as _;
    let rig = Rig::start().await;
    let (certificates, directory) = (Certificates::generate().unwrap(), rig.directory.path());
    let write = |name: &str, text: &str| {
        let file = directory.join(name);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        file
    };
    let files = TlsConfig {
        certificate_file: write("tls.pem", &certificates.certificate_pem),
        key_file: write("tls.key", &certificates.key_pem),
        client_ca_file: None,
        client_auth: None,
    };
    let tls = Arc::new(Tls::open(&files).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = Limits { connections_max: 2, handshake_max: Duration::from_millis(200), ..Limits::default() };
    let drain = watch::Sender::new(false);
    let serving = tokio::spawn(serve(listener, Some(tls), router(&rig.app), limits, drain.subscribe()));

    let mut silent = Vec::new();
    for _ in 0..6 {
        silent.push(tokio::net::TcpStream::connect(address).await.unwrap());
    }
    let trusting = crate::remote::trusting(true, Some(&write("ca.pem", &certificates.ca_pem))).unwrap();
    let http = reqwest::Client::builder()
        .use_preconfigured_tls(trusting.with_no_client_auth())
        .no_proxy()
        .pool_max_idle_per_host(0)
        .build()
        .unwrap();
    let asking = http.get(format!("https://{address}{}", path::HEALTH)).send();
    let answer = tokio::time::timeout(Duration::from_secs(30), asking).await.expect("a place becomes free").unwrap();
    assert_eq!((answer.status(), answer.version()), (StatusCode::OK, reqwest::Version::HTTP_11));
    for stream in &mut silent {
        let mut rest = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut rest)).await;
        assert!(read.is_ok(), "the server gives up on a handshake that does not end");
    }
    // One that is in its handshake does not hold up the end.
    let _late = tokio::net::TcpStream::connect(address).await.unwrap();
    drain.send_replace(true);
    tokio::time::timeout(Duration::from_secs(30), serving).await.expect("the server drains").unwrap();
}
