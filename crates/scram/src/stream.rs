//! Reads the server's side of a login before the driver does.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsStream};

use crate::{Binding, Refusal};

/// A connection that hands on the server's messages of a SCRAM exchange, one by one and in order, and from then on all.
pub struct ScramOnly<S> {
    inner: S,
    binding: Binding,
    awaits: Awaits,
    /// What the server sent during the login.
    sent: Vec<u8>,
    /// How much of it was judged and may be read.
    judged: usize,
    /// How much of it was read.
    read: usize,
}

/// What the server may say next about the login.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Awaits {
    /// Which ways to log in it offers.
    Offer,
    /// Its challenge.
    Challenge,
    /// Its proof that it knows the password's verifier. The driver checks it.
    Proof,
    /// That we are let in.
    Welcome,
    /// Anything: the login is over.
    Anything,
}

/// No message of a login is longer. Whoever announces one would have us keep it all.
const MESSAGE_BYTES_MAX: usize = 32_768;

/// A message's kind, and its length without the kind.
const HEAD_BYTES: usize = 5;

impl<S> ScramOnly<S> {
    pub(crate) const fn new(inner: S, binding: Binding) -> Self {
        Self { inner, binding, awaits: Awaits::Offer, sent: Vec::new(), judged: 0, read: 0 }
    }

    /// Judges what has come in whole, up to the end of the login.
    fn judge(&mut self) -> io::Result<()> {
        while self.awaits != Awaits::Anything {
            let Some(message) = first(self.sent.get(self.judged..).unwrap_or_default())? else {
                return Ok(());
            };
            self.awaits = self.awaits.after(message, self.binding).map_err(io::Error::other)?;
            self.judged += message.len();
        }
        self.judged = self.sent.len();
        Ok(())
    }
}

/// The first message, if it is there in whole.
fn first(bytes: &[u8]) -> io::Result<Option<&[u8]>> {
    let Some([_, length @ ..]) = bytes.first_chunk::<HEAD_BYTES>() else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    if !(HEAD_BYTES - 1..=MESSAGE_BYTES_MAX).contains(&length) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message of a login has an impossible length"));
    }
    Ok(bytes.get(..=length))
}

impl Awaits {
    fn after(self, message: &[u8], binding: Binding) -> Result<Self, Refusal> {
        match message.first() {
            Some(b'R') => {}
            // Errors end the login, and the driver knows what they mean. Notices and the version mean nothing for it.
            Some(b'E' | b'N' | b'v') => return Ok(self),
            _ => return Err(Refusal::NotScram),
        }
        let body = message.get(HEAD_BYTES..).unwrap_or_default();
        let Some((code, rest)) = body.split_first_chunk() else { return Err(Refusal::NotScram) };
        match (u32::from_be_bytes(*code), self) {
            (10, Self::Offer) => offered(rest, binding).map(|()| Self::Challenge),
            (11, Self::Challenge) => Ok(Self::Proof),
            (12, Self::Proof) => Ok(Self::Welcome),
            (0, Self::Welcome) => Ok(Self::Anything),
            (0 | 12, _) => Err(Refusal::NoProof),
            (3, _) => Err(Refusal::ClearText),
            (5, _) => Err(Refusal::Md5),
            _ => Err(Refusal::NotScram),
        }
    }
}

fn offered(names: &[u8], binding: Binding) -> Result<(), Refusal> {
    let offers = |wanted: &[u8]| names.split(|byte| *byte == 0).any(|name| name == wanted);
    match (offers(b"SCRAM-SHA-256-PLUS"), offers(b"SCRAM-SHA-256"), binding) {
        (true, _, _) | (false, true, Binding::Prefer) => Ok(()),
        (false, true, Binding::Require) => Err(Refusal::NoBinding),
        (false, false, _) => Err(Refusal::NotScram),
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ScramOnly<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.read < this.judged {
                let ready = this.sent.get(this.read..this.judged).unwrap_or_default();
                let part = ready.get(..into.remaining()).unwrap_or(ready);
                into.put_slice(part);
                this.read += part.len();
                return Poll::Ready(Ok(()));
            }
            if this.awaits == Awaits::Anything {
                this.sent = Vec::new();
                (this.judged, this.read) = (0, 0);
                return Pin::new(&mut this.inner).poll_read(context, into);
            }
            let mut chunk = [0; 4096];
            let mut chunk = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.inner).poll_read(context, &mut chunk))?;
            if chunk.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.sent.extend_from_slice(chunk.filled());
            this.judge()?;
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ScramOnly<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }
}

impl<S: TlsStream + Unpin> TlsStream for ScramOnly<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.inner.channel_binding()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[kind][..], &length, body].concat()
    }

    fn asks(code: u32, rest: &[u8]) -> Vec<u8> {
        message(b'R', &[&code.to_be_bytes()[..], rest].concat())
    }

    fn offer(names: &[&str]) -> Vec<u8> {
        asks(10, [names.join("\0").as_bytes(), b"\0\0"].concat().as_slice())
    }

    /// What is read of `sent`, which comes in parts of `part` bytes, and how it ends.
    async fn read(sent: &[u8], binding: Binding, part: usize) -> (Vec<u8>, Result<(), Refusal>) {
        let (mut server, client) = tokio::io::duplex(part);
        let sent = sent.to_vec();
        let serving = tokio::spawn(async move { server.write_all(&sent).await.is_ok() });
        let mut read = Vec::new();
        let end = ScramOnly::new(client, binding).read_to_end(&mut read).await;
        drop(serving.await);
        let end = end.map(drop).map_err(|error| *error.get_ref().unwrap().downcast_ref::<Refusal>().unwrap());
        (read, end)
    }

    fn exchange(names: &[&str]) -> Vec<u8> {
        let after = [message(b'S', b"a\0b\0"), message(b'Z', b"I"), vec![b'D'; 100_000]].concat();
        let notice = message(b'N', b"hello");
        [offer(names), notice, asks(11, b"r=..."), asks(12, b"v=..."), asks(0, b""), after].concat()
    }

    #[tokio::test]
    async fn a_scram_exchange_passes_in_whatever_parts_it_comes() {
        for part in [1, 2, 7, 4096, 1 << 20] {
            let bound = exchange(&["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]);
            assert_eq!(read(&bound, Binding::Require, part).await, (bound.clone(), Ok(())));
            let unbound = exchange(&["SCRAM-SHA-256"]);
            assert_eq!(read(&unbound, Binding::Prefer, part).await, (unbound.clone(), Ok(())));
        }
    }

    #[tokio::test]
    async fn nothing_else_reaches_the_driver() {
        let (plain, begun) = (offer(&["SCRAM-SHA-256"]), [offer(&["SCRAM-SHA-256"]), asks(11, b"r=")].concat());
        let cases = [
            (asks(0, b""), Refusal::NoProof),
            (asks(3, b""), Refusal::ClearText),
            (asks(5, b"salt"), Refusal::Md5),
            (asks(7, b""), Refusal::NotScram),
            (asks(11, b"r="), Refusal::NotScram),
            (asks(12, b"v="), Refusal::NoProof),
            (offer(&["SCRAM-SHA-1"]), Refusal::NotScram),
            (message(b'R', b""), Refusal::NotScram),
            (message(b'Z', b"I"), Refusal::NotScram),
            ([plain.clone(), asks(0, b"")].concat(), Refusal::NoProof),
            ([plain, asks(3, b"")].concat(), Refusal::ClearText),
            ([begun.clone(), asks(0, b"")].concat(), Refusal::NoProof),
            ([begun, asks(5, b"salt")].concat(), Refusal::Md5),
        ];
        for (sent, refusal) in cases {
            assert_eq!(read(&sent, Binding::Prefer, 4096).await.1, Err(refusal), "{sent:?}");
            let (given, _) = read(&sent, Binding::Prefer, 1).await;
            assert!(sent.len() > given.len(), "the last message is kept back: {sent:?}");
        }
        assert_eq!(read(&exchange(&["SCRAM-SHA-256"]), Binding::Require, 64).await, (vec![], Err(Refusal::NoBinding)));
    }

    #[tokio::test]
    async fn an_error_and_an_end_are_the_drivers_business() {
        let refused = message(b'E', b"SFATAL\0C28P01\0\0");
        assert_eq!(read(&refused, Binding::Require, 4096).await, (refused.clone(), Ok(())));
        assert_eq!(read(b"R\0\0", Binding::Require, 4096).await, (vec![], Ok(())), "half a message is none");
    }

    #[tokio::test]
    async fn a_message_without_end_is_not_waited_for() {
        for length in [0, 3, 1 << 20, u32::MAX] {
            let head = [&b"R"[..], &length.to_be_bytes()].concat();
            let (mut server, client) = tokio::io::duplex(64);
            server.write_all(&head).await.unwrap();
            let error = ScramOnly::new(client, Binding::Prefer).read_u8().await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{length}");
        }
    }
}
