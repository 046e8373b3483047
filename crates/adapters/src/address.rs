//! Where a notifier or a check may connect to.
//!
//! A name leads where its owner wants, from one moment to the next. So it is resolved here, every address that comes of it
//! is looked at, and the connection goes to one of these addresses and nowhere else.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Url};

use crate::http::is_loopback;

/// How far away an address is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Place {
    /// Anywhere in the world.
    Public,
    /// This machine, or a network of our own: only where the configuration allows it.
    Private,
    /// A neighbour on the link, such as the metadata service of a cloud, or no place at all: never.
    Never,
}

/// Whether private places are among them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Allowed {
    pub(crate) private: bool,
}

impl Allowed {
    pub(crate) fn allows(self, address: IpAddr) -> bool {
        match place(address) {
            Place::Public => true,
            Place::Private => self.private,
            Place::Never => false,
        }
    }

    /// The addresses that a name leads to, all of them allowed.
    pub(crate) async fn resolve(self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Unreached> {
        let found: Vec<SocketAddr> =
            tokio::net::lookup_host((host, port)).await.map_err(|_| Unreached::NoAddress)?.collect();
        if found.is_empty() {
            return Err(Unreached::NoAddress);
        }
        if found.iter().any(|address| !self.allows(address.ip())) {
            return Err(Unreached::Forbidden);
        }
        Ok(found)
    }

    /// Whether a URL names an address outright that is not allowed: nothing resolves it later.
    pub(crate) fn forbids(self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        host.parse::<IpAddr>().is_ok_and(|address| !self.allows(address))
    }

    /// A URL as it is configured, if it may be gone to. Its text is not repeated: it may be secret.
    pub(crate) fn url(self, text: &str, has_ca: bool) -> Result<Url, &'static str> {
        let url = Url::parse(text).map_err(|_| "its URL is none")?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("its URL holds a user or a password, which is not sent");
        }
        match url.scheme() {
            "https" if !has_ca => {
                return Err(
                    "for https, ca_file names the CA that the server's certificate chains to; the public ones are in \
                            /etc/ssl/certs/ca-certificates.crt on many systems",
                );
            }
            "http" if !(is_loopback(&url) && self.private) => {
                return Err(
                    "its URL must be https: over http, whoever is on the way reads what is sent; on loopback http is \
                            taken with allow_private",
                );
            }
            "https" | "http" => {}
            _ => return Err("its URL begins with https://"),
        }
        if self.forbids(&url) {
            return Err(
                "its URL names such an address: one of this machine, a private network or a link: where that is meant, set \
                        allow_private (link-local addresses, where clouds have their metadata, are never gone to)",
            );
        }
        Ok(url)
    }

    /// A client that connects to allowed addresses only.
    pub(crate) fn client(self, tls: rustls::ClientConfig) -> reqwest::Result<Client> {
        Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(0)
            .dns_resolver(std::sync::Arc::new(self))
            .use_preconfigured_tls(tls)
            .build()
    }
}

impl Resolve for Allowed {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = *self;
        Box::pin(async move {
            let found = allowed.resolve(name.as_str(), 0).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Why there is no address to connect to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unreached {
    /// The name leads nowhere.
    NoAddress,
    /// It leads where we do not go.
    Forbidden,
}

impl Unreached {
    /// Why, wherever in the chain of causes it stands.
    pub(crate) fn among(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref::<Self>() {
                return Some(*found);
            }
            cause = error.source();
        }
        None
    }
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoAddress => "its name cannot be resolved",
            Self::Forbidden => {
                "its name leads to an address of this machine, a private network or a link: where that is meant, set \
                 allow_private (link-local addresses, where clouds have their metadata, are never gone to)"
            }
        })
    }
}

impl Error for Unreached {}

/// How far away an address is. One that stands for another inside of it is as far as that one.
pub(crate) fn place(address: IpAddr) -> Place {
    match address {
        IpAddr::V4(address) => place_v4(address),
        IpAddr::V6(address) => match inner(address) {
            Some(inner) => place_v4(inner),
            None => place_v6(address),
        },
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, translated (64:ff9b::/96) or 6to4.
fn inner(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let parts = address.segments();
    let of = |high: u16, low: u16| Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match parts {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            of(high, low)
        }
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => of(high, low),
        _ => None,
    }
}

fn place_v4(address: Ipv4Addr) -> Place {
    match address.octets() {
        // This network, the link, what providers of clouds have as metadata elsewhere, multicast, reserved.
        [0 | 224..=255, ..] | [169, 254, ..] | [192, 0, 0, _] | [100, 100, 100, 200] | [168, 63, 129, 16] => {
            Place::Never
        }
        [10 | 127, ..]
        | [172, 16..=31, ..]
        | [192, 168, ..]
        | [100, 64..=127, ..]
        | [198, 18..=19, ..]
        | [192, 0, 2, _]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => Place::Private,
        _ => Place::Public,
    }
}

fn place_v6(address: Ipv6Addr) -> Place {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Place::Private,
        // Amazon's metadata, in what is else a private range.
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] => Place::Never,
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] | [0x2001, 0xdb8, ..] => Place::Private,
        // Global unicast without Teredo, which holds another address inside.
        [0x2001, 0, ..] => Place::Never,
        [0x2000..=0x3fff, ..] => Place::Public,
        _ => Place::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S23: whichever way an address is written.
    #[test]
    fn an_address_is_as_far_as_what_it_stands_for() {
        for (text, expected) in [
            ("8.8.8.8", Place::Public),
            ("2606:4700::1111", Place::Public),
            ("::ffff:8.8.8.8", Place::Public),
            ("127.0.0.1", Place::Private),
            ("127.255.0.9", Place::Private),
            ("10.1.2.3", Place::Private),
            ("172.31.0.1", Place::Private),
            ("192.168.1.1", Place::Private),
            ("100.64.0.1", Place::Private),
            ("::1", Place::Private),
            ("fd12::1", Place::Private),
            ("::ffff:10.0.0.1", Place::Private),
            ("64:ff9b::a00:1", Place::Private),
            ("2002:a00:1::", Place::Private),
            ("::7f00:1", Place::Private),
            ("169.254.169.254", Place::Never),
            ("::ffff:169.254.169.254", Place::Never),
            ("64:ff9b::a9fe:a9fe", Place::Never),
            ("2002:a9fe:a9fe::1", Place::Never),
            ("fd00:ec2::254", Place::Never),
            ("fe80::1", Place::Never),
            ("0.0.0.0", Place::Never),
            ("::", Place::Never),
            ("255.255.255.255", Place::Never),
            ("224.0.0.1", Place::Never),
            ("ff02::1", Place::Never),
            ("100.100.100.200", Place::Never),
            ("2001:0:4136:e378::1", Place::Never),
        ] {
            assert_eq!(place(text.parse().unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn an_address_in_a_url_is_looked_at_however_it_is_written() {
        let (closed, open) = (Allowed { private: false }, Allowed { private: true });
        for text in ["https://127.0.0.1/", "https://2130706433/", "https://0x7f.1/", "https://[::ffff:127.0.0.1]/"] {
            let url = Url::parse(text).unwrap();
            assert!(closed.forbids(&url) && !open.forbids(&url), "{text}");
        }
        let metadata = Url::parse("https://169.254.169.254/latest").unwrap();
        assert!(closed.forbids(&metadata) && open.forbids(&metadata));
        assert!(!closed.forbids(&Url::parse("https://hooks.example/").unwrap()));
    }

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_is_not_followed() {
        assert_eq!(Allowed { private: false }.resolve("localhost", 1).await, Err(Unreached::Forbidden));
        assert!(Allowed { private: true }.resolve("localhost", 1).await.is_ok());
    }
}
