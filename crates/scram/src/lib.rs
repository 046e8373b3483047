//! TLS to PostgreSQL and its poolers over which nothing but SCRAM-SHA-256 is answered.
//!
//! The driver answers whoever asks for the password in clear text or as MD5, and takes a server that asks for nothing,
//! unless a channel binding is required. A pooler that ends TLS itself offers none. Here the server's side of the login
//! is read before the driver reads it, and the driver gets only what belongs to a SCRAM exchange: what else is asked for
//! ends the connection, and nothing was answered.

mod stream;

use std::error::Error as _;
use std::future::Future;
use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::config::ChannelBinding;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;

pub use stream::ScramOnly;

/// Whether a login must be bound to the TLS channel (SCRAM-SHA-256-PLUS), which nobody in the middle can pass on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Binding {
    /// It must be.
    Require,
    /// It is, where it is offered. Whoever has a certificate that is trusted may be in the middle of the session, and
    /// does not learn the password.
    Prefer,
}

/// Why a login was not gone on with. Nothing that depends on the password was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// The password was asked for in clear text.
    #[error("it asked for the password in clear text")]
    ClearText,
    /// An MD5 of the password was asked for.
    #[error("it asked for an MD5 of the password")]
    Md5,
    /// Nothing was asked for, or not proved that the password is known there.
    #[error("it let us in without a proof that it knows the password")]
    NoProof,
    /// SCRAM-SHA-256 was offered without a channel binding, which is required.
    #[error("it offered SCRAM-SHA-256 without a channel binding")]
    NoBinding,
    /// Something else than SCRAM-SHA-256 was asked for, or no login at all.
    #[error("it did not ask for SCRAM-SHA-256")]
    NotScram,
}

impl Refusal {
    /// The refusal that ended a driver's login, if one did.
    pub fn of(error: &tokio_postgres::Error) -> Option<Self> {
        let io: &io::Error = error.source()?.downcast_ref()?;
        io.get_ref()?.downcast_ref().copied()
    }
}

/// TLS for the driver.
#[derive(Clone)]
pub struct MakeScramOnly {
    tls: MakeRustlsConnect,
    binding: Binding,
}

impl MakeScramOnly {
    /// Over this TLS. The driver must be told the same: see [`MakeScramOnly::channel_binding`].
    pub const fn new(tls: MakeRustlsConnect, binding: Binding) -> Self {
        Self { tls, binding }
    }

    /// What the driver's configuration has to say.
    pub const fn channel_binding(&self) -> ChannelBinding {
        match self.binding {
            Binding::Require => ChannelBinding::Require,
            Binding::Prefer => ChannelBinding::Prefer,
        }
    }
}

impl<S> MakeTlsConnect<S> for MakeScramOnly
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = ScramOnly<<MakeRustlsConnect as MakeTlsConnect<S>>::Stream>;
    type TlsConnect = ScramOnlyConnect<<MakeRustlsConnect as MakeTlsConnect<S>>::TlsConnect>;
    type Error = <MakeRustlsConnect as MakeTlsConnect<S>>::Error;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Self::TlsConnect, Self::Error> {
        let inner = MakeTlsConnect::<S>::make_tls_connect(&mut self.tls, domain)?;
        Ok(ScramOnlyConnect { inner, binding: self.binding })
    }
}

/// One connection that is being made.
pub struct ScramOnlyConnect<C> {
    inner: C,
    binding: Binding,
}

impl<S, C> TlsConnect<S> for ScramOnlyConnect<C>
where
    C: TlsConnect<S>,
    C::Stream: Unpin + Send + 'static,
    C::Future: Send + 'static,
{
    type Stream = ScramOnly<C::Stream>;
    type Error = C::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, Self::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let (connecting, binding) = (self.inner.connect(stream), self.binding);
        Box::pin(async move { connecting.await.map(|stream| ScramOnly::new(stream, binding)) })
    }
}
