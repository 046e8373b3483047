//! A connection that ends well: a client that does not read is cut off, and one that is still sending gets its answer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use tokio::sync::watch;
use tokio::time::{Sleep, sleep};

/// A stream between a client and hyper.
pub(super) struct Connection<I> {
    stream: I,
    /// For how long a client may leave all that was sent unread.
    stall_max: Duration,
    /// Runs while nothing can be sent.
    stalled: Option<Pin<Box<Sleep>>>,
    /// For how long what a client goes on sending is read and thrown away at the end.
    linger_max: Duration,
    drain: watch::Receiver<bool>,
    ending: Ending,
}

/// How far the end is.
enum Ending {
    /// It has not begun.
    No,
    /// Nothing more is sent. The client reads that the answer is whole, and ends as well.
    ///
    /// Closed at once, with something of the request unread, the kernel would send a reset, and the client could lose an
    /// answer that it has not read: of a body that is too long, it would never learn so.
    Lingering(Pin<Box<dyn Future<Output = ()> + Send>>),
}

impl<I> Connection<I> {
    pub(super) const fn new(
        stream: I,
        stall_max: Duration,
        linger_max: Duration,
        drain: watch::Receiver<bool>,
    ) -> Self {
        Self { stream, stall_max, stalled: None, linger_max, drain, ending: Ending::No }
    }

    /// Judges an attempt to send: progress ends the wait, and a wait that is too long ends the connection.
    fn sent<T>(&mut self, context: &mut Context<'_>, sent: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if sent.is_ready() {
            self.stalled = None;
            return sent;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(self.stall_max)));
        ready!(stalled.as_mut().poll(context));
        tracing::debug!("a client that reads nothing was cut off");
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<I: Read + Unpin> Read for Connection<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<I: Read + Write + Unpin> Write for Connection<I> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.sent(context, sent)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = Pin::new(&mut self.stream).poll_flush(context);
        self.sent(context, sent)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            match &mut this.ending {
                Ending::No => {
                    let shut = Pin::new(&mut this.stream).poll_shutdown(context);
                    ready!(this.sent(context, shut))?;
                    let (mut drain, linger_max) = (this.drain.clone(), this.linger_max);
                    this.ending = Ending::Lingering(Box::pin(async move {
                        // A server that ends waits for nobody here.
                        let drained = drain.wait_for(|drain| *drain);
                        drop(tokio::time::timeout(linger_max, drained).await);
                    }));
                }
                Ending::Lingering(over) => {
                    if over.as_mut().poll(context).is_ready() {
                        return Poll::Ready(Ok(()));
                    }
                    let mut thrown_away = [0; 4_096];
                    let mut buffer = ReadBuf::new(&mut thrown_away);
                    let read = ready!(Pin::new(&mut this.stream).poll_read(context, buffer.unfilled()));
                    if read.is_err() || buffer.filled().is_empty() {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.sent(context, sent)
    }
}
