//! E-mail over SMTP, with TLS from the start or by STARTTLS, and a login where the server wants one.

use std::path::PathBuf;

use handover_core::{Fault, FaultKind};
use handover_secret::Secret;
use lettre::address::Envelope;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Deserialize;

use super::event::{Event, EventKind};
use super::misconfigured;
use crate::address::{Allowed, Unreached};
use crate::http::is_untrusted;
use crate::sink::time::{rfc2822, rfc3339};

/// The most recipients of one notifier.
const TO_MAX: usize = 50;

/// Options of e-mail.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The notifier's name: the key of its cursor.
    pub name: String,
    /// The server, as in its certificate.
    pub host: String,
    /// Its port.
    #[serde(default = "port")]
    pub port: u16,
    /// How the connection is encrypted.
    #[serde(default)]
    pub security: Security,
    /// CA certificates in PEM that the server's certificate must chain to.
    pub ca_file: Option<PathBuf>,
    /// Who logs in; absent: nobody.
    pub user: Option<String>,
    /// A file with that user's password, readable by its owner only.
    pub password_file: Option<PathBuf>,
    /// The sender.
    pub from: String,
    /// The recipients.
    pub to: Vec<String>,
    /// Whether the server may be on this machine or in a private network.
    #[serde(default)]
    pub allow_private: bool,
    /// What is told; absent: what somebody may have to act on.
    pub events: Option<Vec<EventKind>>,
    /// Of which groups; empty: of all.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// How a connection is encrypted. It always is.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// After a greeting in clear, which must offer it.
    #[default]
    Starttls,
    /// From the first byte.
    Tls,
}

const fn port() -> u16 {
    587
}

impl Config {
    pub(super) fn check(&self) -> Result<(), Fault> {
        let bad = |why: &str| Err(misconfigured(&self.name, why));
        if self.ca_file.is_none() {
            return bad("ca_file names the CA that its server's certificate chains to");
        }
        if self.user.is_some() != self.password_file.is_some() {
            return bad("user and password_file belong together");
        }
        if self.to.is_empty() || self.to.len() > TO_MAX {
            return bad("to lists 1 to 50 addresses");
        }
        if address(&self.from).is_none() || self.to.iter().any(|text| address(text).is_none()) {
            return bad("from and to are addresses, such as ops@example.org, of ASCII characters");
        }
        let literal = self.host.trim_matches(['[', ']']).parse();
        let allowed = Allowed { private: self.allow_private };
        if literal.is_ok_and(|address| !allowed.allows(address)) {
            return bad(&format!("host is such an address: {}", Unreached::Forbidden));
        }
        Ok(())
    }
}

fn address(text: &str) -> Option<Address> {
    text.parse().ok().filter(|_| text.is_ascii())
}

pub(super) struct Email {
    config: Config,
    tls: TlsParameters,
    credentials: Option<Credentials>,
    envelope: Envelope,
}

impl Email {
    pub(super) fn new(config: Config, ca_pem: Option<&[u8]>, password: Option<Secret>) -> Result<Self, Fault> {
        let no_ca = || misconfigured(&config.name, "its ca_file holds no usable CA certificate in PEM");
        let mut tls = TlsParameters::builder(config.host.clone()).certificate_store(CertificateStore::None);
        let mut found = false;
        for certificate in CertificateDer::pem_slice_iter(ca_pem.unwrap_or_default()) {
            let certificate = certificate.map_err(|_| no_ca())?;
            tls = tls.add_root_certificate(Certificate::from_der(certificate.to_vec()).map_err(|_| no_ca())?);
            found = true;
        }
        if !found {
            return Err(no_ca());
        }
        let to = config.to.iter().filter_map(|text| address(text)).collect();
        let envelope =
            Envelope::new(address(&config.from), to).map_err(|_| misconfigured(&config.name, "to lists no address"))?;
        Ok(Self {
            tls: tls.build_rustls().map_err(|_| no_ca())?,
            credentials: credentials(&config, password)?,
            envelope,
            config,
        })
    }

    pub(super) async fn send(&self, event: &Event) -> Result<(), Fault> {
        let Config { name, host, port, .. } = &self.config;
        let allowed = Allowed { private: self.config.allow_private };
        let found = allowed.resolve(host.trim_matches(['[', ']']), *port).await.map_err(|unreached| {
            let kind = match unreached {
                Unreached::NoAddress => FaultKind::Unreachable,
                Unreached::Forbidden => FaultKind::Misconfigured,
            };
            Fault::untouched(kind, format!("notify {name}: {host}:{port}: {unreached}"))
        })?;
        let Some(server) = found.first() else {
            return Err(Fault::untouched(FaultKind::Unreachable, format!("notify {name}: {host} has no address")));
        };
        // To the address that was looked at; the certificate is that of the name.
        let tls = match self.config.security {
            Security::Starttls => Tls::Required(self.tls.clone()),
            Security::Tls => Tls::Wrapper(self.tls.clone()),
        };
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(server.ip().to_string())
            .port(*port)
            .tls(tls)
            .hello_name(ClientId::Domain("handover.invalid".to_owned()))
            .timeout(Some(super::SEND_MAX));
        if let Some(credentials) = &self.credentials {
            transport = transport.credentials(credentials.clone());
        }
        let sent = transport.build().send_raw(&self.envelope, self.message(event).as_bytes()).await;
        sent.map(drop).map_err(|error| self.trouble(&error))
    }

    /// The message as it is sent: plain ASCII, no line longer than what SMTP takes, no line of others' making.
    fn message(&self, event: &Event) -> String {
        let Config { from, to, .. } = &self.config;
        let id = event.id();
        let mut subject: String = event.summary().chars().take(200).collect();
        subject.insert_str(0, "[handover] ");
        let mut text = format!(
            "From: <{from}>\r\nTo: {}\r\nSubject: {subject}\r\nDate: {}\r\nMessage-ID: <{id}@handover.invalid>\r\n\
             Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\
             Content-Transfer-Encoding: 7bit\r\n\r\n",
            to.iter().map(|to| format!("<{to}>")).collect::<Vec<_>>().join(",\r\n "),
            rfc2822(event.at()),
        );
        for line in wrapped(&event.summary()) {
            text.push_str(&format!("{line}\r\n"));
        }
        text.push_str(&format!("\r\nevent: {}\r\nat: {}\r\nid: {id}\r\n", event.kind().word(), rfc3339(event.at())));
        for (name, value) in event.details() {
            for line in wrapped(&format!("{name}: {value}")) {
                text.push_str(&format!("{line}\r\n"));
            }
        }
        text
    }

    /// The server's own words stay out of it: they may repeat what was sent.
    fn trouble(&self, error: &lettre::transport::smtp::Error) -> Fault {
        let Config { name, host, port, .. } = &self.config;
        let code = error.status().map(u16::from);
        let (kind, why) = match code {
            Some(530 | 534 | 535 | 538) => {
                (FaultKind::Unauthenticated, "it does not accept the login: set user and password_file".to_owned())
            }
            Some(code @ 500..=599) => (
                FaultKind::Unsupported,
                format!(
                    "it refuses the message with {code}, for its sender or a recipient: see its log; it is sent again"
                ),
            ),
            Some(code) => (FaultKind::Busy, format!("it takes no message now ({code}); it is sent again")),
            None if error.is_timeout() => {
                (FaultKind::TimedOut, "it did not answer in time; it is sent again".to_owned())
            }
            None if is_untrusted(error) => (
                FaultKind::Misconfigured,
                "its certificate does not chain to ca_file, has expired, or bears another name".to_owned(),
            ),
            None if error.is_client() => {
                (FaultKind::Misconfigured, "it offers no STARTTLS, or no login that is known: set security".to_owned())
            }
            None => (FaultKind::Unreachable, "no connection, or it broke off; the message is sent again".to_owned()),
        };
        Fault::unknown(kind, format!("notify {name}: {host}:{port}: {why}"))
    }
}

/// The library keeps a copy of the password for as long as there is a notifier; it writes it nowhere.
fn credentials(config: &Config, password: Option<Secret>) -> Result<Option<Credentials>, Fault> {
    let (Some(user), Some(password)) = (&config.user, password) else { return Ok(None) };
    #[expect(clippy::disallowed_methods, reason = "the server wants the password")]
    let text = password.expose_text().ok_or_else(|| misconfigured(&config.name, "its password_file holds no text"))?;
    Ok(Some(Credentials::new(user.clone(), text.to_owned())))
}

/// A text of plain ASCII in lines of at most 200 characters.
fn wrapped(text: &str) -> impl Iterator<Item = &str> {
    let cut = |at: usize| text.get(at * LINE_CHARS..text.len().min((at + 1) * LINE_CHARS));
    (0..text.len().div_ceil(LINE_CHARS)).filter_map(cut)
}

const LINE_CHARS: usize = 200;

#[cfg(test)]
mod tests {
    use handover_core::port::Record;
    use handover_core::{GroupId, Timestamp};

    use super::*;

    fn config(options: &str) -> Config {
        toml::from_str(&format!(
            "name = 'ops'\nhost = 'mail.example'\nca_file = 'ca.pem'\nfrom = 'handover@example.org'\n\
             to = ['ops@example.org', 'two@example.org']\n{options}"
        ))
        .unwrap()
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        assert_eq!(config("").check(), Ok(()));
        for (options, words) in [("user = 'x'", "belong together"), ("password_file = 'x'", "belong together")] {
            assert!(config(options).check().unwrap_err().to_string().contains(words), "{options}");
        }
        let refused = |config: Config| config.check().unwrap_err().to_string();
        assert!(refused(Config { to: Vec::new(), ..config("") }).contains("1 to 50"));
        assert!(refused(Config { from: "x\r\nBcc: y@z".to_owned(), ..config("") }).contains("addresses"));
        assert!(refused(Config { host: "127.0.0.1".to_owned(), ..config("") }).contains("allow_private"));
        assert!(refused(Config { ca_file: None, ..config("") }).contains("ca_file"));
    }

    /// S35: no name and no reason makes a header.
    #[test]
    fn a_message_has_the_headers_that_we_gave_it() {
        let ca = handover_testkit::servers::Certificates::generate().unwrap().ca_pem;
        let email = Email::new(config(""), Some(ca.as_bytes()), None).unwrap();
        let reason = "x".repeat(700);
        let body = format!(
            "{{\"event\":\"ordered\",\"actor\":\"a\\r\\nX-Forged: 1\",\"fields\":{{\"order\":\"hold\",\"reason\":\"\\r\\n.\\r\\n{reason}\"}}}}"
        );
        let record = Record {
            position: 1,
            group: GroupId::parse("orders").unwrap(),
            at: Timestamp(1_700_000_000_000),
            body,
            hash: "9f".repeat(32),
        };
        let text = email.message(&Event::of(&record).unwrap());
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let names: Vec<&str> = head
            .split("\r\n")
            .filter(|line| !line.starts_with(' '))
            .map(|line| line.split(':').next().unwrap())
            .collect();
        let expected = [
            "From",
            "To",
            "Subject",
            "Date",
            "Message-ID",
            "Auto-Submitted",
            "MIME-Version",
            "Content-Type",
            "Content-Transfer-Encoding",
        ];
        assert_eq!(names, expected);
        assert!(head.contains("Date: Tue, 14 Nov 2023 22:13:20 +0000"), "{head}");
        assert!(text.is_ascii() && text.split("\r\n").all(|line| line.len() < 998 && !line.contains(['\r', '\n'])));
        assert!(body.split("\r\n").all(|line| line != "." && !line.starts_with("X-Forged")), "{body}");
    }
}
