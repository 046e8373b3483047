//! TLS and client certificates, through real handshakes with the real server.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[expect(dead_code, reason = "shared with other tests")]
mod installation;

use handover_testkit::servers::Certificates;
use installation::{Installation, Ran};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};

const TLS: &str = "[tls]\ncertificate_file = \"tls.pem\"\nkey_file = \"tls.key\"\n";
const WORKER: &str = "spiffe://example.org/worker";

fn with_tls(more: &str) -> Installation {
    let installed = Installation::new(&format!("{TLS}{more}"));
    serve_as(&installed, &Certificates::generate().unwrap());
    installed
}

fn serve_as(installed: &Installation, certificates: &Certificates) {
    installed.write("tls.key", &certificates.key_pem);
    installed.write("tls.pem", &certificates.certificate_pem);
    installed.write("ca.pem", &certificates.ca_pem);
}

fn status(installed: &Installation, more: &[&str]) -> Ran {
    let url = format!("https://127.0.0.1:{}", installed.port);
    installed.run(&[&["status", "--url", &url, "--ca-file", "ca.pem"], more].concat())
}

struct ClientCa(CertifiedIssuer<'static, KeyPair>);

impl ClientCa {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "clients");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Writes `NAME.pem` and `NAME.key`, and says how a client is told of them.
    fn issue(&self, installed: &Installation, name: &str, sans: &[&str], expired: bool) -> [String; 4] {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "worker");
        params.subject_alt_names = sans
            .iter()
            .map(|san| match san.strip_prefix("dns:") {
                Some(dns) => SanType::DnsName(dns.try_into().unwrap()),
                None => SanType::URI((*san).try_into().unwrap()),
            })
            .collect();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if expired {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2020, 1, 2);
        }
        let key = KeyPair::generate().unwrap();
        installed.write(&format!("{name}.pem"), &params.signed_by(&key, &self.0).unwrap().pem());
        installed.write(&format!("{name}.key"), &key.serialize_pem());
        let [pem, key] = ["pem", "key"].map(|ending| format!("{name}.{ending}"));
        ["--client-certificate-file".to_owned(), pem, "--client-key-file".to_owned(), key]
    }
}

fn as_client<'a>(certificate: &'a [String; 4], more: &[&'a str]) -> Vec<&'a str> {
    certificate.iter().map(String::as_str).chain(more.iter().copied()).collect()
}

#[test]
fn the_port_speaks_tls_and_nothing_else() {
    let installed = with_tls("");
    let token = installed.token("anna", &["--role", "operator"]);
    let token = ["--token-file", token.to_str().unwrap()];
    installed.start(&[]);
    let asked = status(&installed, &token);
    assert_eq!(asked.exit, 0, "{}", asked.said);
    let plain =
        installed.run(&[&["status", "--url", &format!("http://127.0.0.1:{}", installed.port)], &token[..]].concat());
    assert_eq!(plain.exit, 2, "plain HTTP gets no answer");
    installed.write("ca.pem", &Certificates::generate().unwrap().ca_pem);
    assert_eq!(status(&installed, &token).exit, 2, "another CA than the server's");
}

#[test]
fn another_address_than_loopback_wants_tls() {
    let installed = Installation::new("");
    installed.write("handover.toml", &format!("listen = \"0.0.0.0:{}\"\n", installed.port));
    let refused = installed.run(&["serve"]);
    assert_eq!(refused.exit, 2);
    assert!(refused.said.contains("add [tls] with certificate_file and key_file"), "{}", refused.said);
}

#[test]
fn files_that_are_not_usable_are_refused_at_the_start() {
    use std::os::unix::fs::PermissionsExt as _;
    let installed = with_tls("");
    std::fs::set_permissions(installed.path("tls.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = installed.run(&["serve"]);
    assert!(refused.exit == 2 && refused.said.contains("chmod 600"), "{}", refused.said);
    installed.write("tls.key", &Certificates::generate().unwrap().key_pem);
    let refused = installed.run(&["serve"]);
    assert!(refused.exit == 2 && refused.said.contains("not usable together"), "{}", refused.said);
    installed.write("tls.pem", "nothing");
    let refused = installed.run(&["serve"]);
    assert!(refused.exit == 2 && refused.said.contains("holds no usable certificate"), "{}", refused.said);
}

#[test]
fn a_certificate_is_read_anew_and_a_bad_one_changes_nothing() {
    let installed = with_tls("");
    let token = installed.token("anna", &["--role", "operator"]);
    let token = ["--token-file", token.to_str().unwrap()];
    installed.start(&[]);
    let second = Certificates::generate().unwrap();
    installed.write("tls.pem", &second.certificate_pem);
    installed.wait("a pair that does not fit is said", || installed.said().contains("stays in use"));
    assert_eq!(status(&installed, &token).exit, 0, "the first certificate still serves");
    installed.write("tls.key", &second.key_pem);
    installed.wait("the new pair is read", || installed.said().contains("read anew"));
    assert_eq!(status(&installed, &token).exit, 2, "the first CA is no longer the server's");
    installed.write("ca.pem", &second.ca_pem);
    assert_eq!(status(&installed, &token).exit, 0);
}

#[test]
fn a_client_certificate_is_who_its_entry_says() {
    let installed = with_tls("client_ca_file = \"clients.pem\"\n");
    let (ca, other_ca) = (ClientCa::new(), ClientCa::new());
    installed.write("clients.pem", &ca.0.pem());
    let token = installed.token("anna", &["--role", "operator"]);
    let token = ["--token-file", token.to_str().unwrap()];
    installed.start(&[]);
    let worker = ca.issue(&installed, "worker", &[WORKER, "dns:worker.internal"], false);
    let no_entry = status(&installed, &as_client(&worker, &[]));
    assert!(no_entry.exit == 2 && no_entry.said.contains("[unauthenticated]"), "{}", no_entry.said);
    assert_eq!(status(&installed, &as_client(&worker, &token)).exit, 0, "it decides nothing beside a token");

    let admit = ["token", "create", "mesh", "--group", "*", "--role", "viewer", "--certificate-san", WORKER];
    assert_eq!(installed.run(&admit).exit, 0);
    let known = status(&installed, &as_client(&worker, &[]));
    assert_eq!(known.exit, 0, "{}", known.said);
    let two = status(&installed, &as_client(&worker, &token));
    assert!(two.exit == 2 && two.said.contains("[two_identities]"), "{}", two.said);
    let same = installed.token("mesh", &["--role", "operator"]);
    assert_eq!(status(&installed, &as_client(&worker, &["--token-file", same.to_str().unwrap()])).exit, 0);
    installed.write("dead.token", "hnd_dead");
    let dead = status(&installed, &as_client(&worker, &["--token-file", "dead.token"]));
    assert!(dead.said.contains("[unauthenticated]"), "a certificate does not make up for a token: {}", dead.said);

    for (name, certificate) in [
        ("another name", ca.issue(&installed, "other", &["spiffe://example.org/worker2"], false)),
        ("no name but the common one", ca.issue(&installed, "nameless", &[], false)),
        ("another CA", other_ca.issue(&installed, "stranger", &[WORKER], false)),
        ("expired", ca.issue(&installed, "expired", &[WORKER], true)),
    ] {
        let refused = status(&installed, &as_client(&certificate, &[]));
        assert_eq!((refused.exit, refused.out.as_str()), (2, ""), "{name}: {}", refused.said);
    }
    assert_eq!(status(&installed, &token).exit, 0, "without a certificate a token is enough");

    assert_eq!(installed.run(&["token", "revoke", "--identity", "mesh"]).exit, 0);
    let revoked = status(&installed, &as_client(&worker, &[]));
    assert!(revoked.exit == 2 && revoked.said.contains("[unauthenticated]"), "{}", revoked.said);
}

#[test]
fn where_certificates_are_required_there_is_no_connection_without_one() {
    let installed = with_tls("client_ca_file = \"clients.pem\"\nclient_auth = \"required\"\n");
    let ca = ClientCa::new();
    installed.write("clients.pem", &ca.0.pem());
    let token = installed.token("anna", &["--role", "operator"]);
    let token = ["--token-file", token.to_str().unwrap()];
    installed.start(&[]);
    let without = status(&installed, &token);
    assert!(without.exit == 2 && without.said.contains("cannot be reached"), "{}", without.said);
    let with = status(&installed, &as_client(&ca.issue(&installed, "any", &[WORKER], false), &token));
    assert_eq!(with.exit, 0, "{}", with.said);
}
