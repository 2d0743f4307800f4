//! A client's connection, which can be reset.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// Resets a connection.
#[derive(Debug, Default)]
pub(super) struct Breaker(AtomicBool);

impl Breaker {
    /// The connection ends with a reset as soon as it is used again.
    pub(super) fn reset(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn is_broken(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// A connection.
pub(super) struct Link {
    stream: TcpStream,
    breaker: Arc<Breaker>,
}

impl Link {
    pub(super) fn new(stream: TcpStream, breaker: Arc<Breaker>) -> Self {
        Self { stream, breaker }
    }

    fn check(&self) -> io::Result<()> {
        if self.breaker.is_broken() { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if self.breaker.is_broken() {
            // It fails only on a socket that is gone, which is what is wanted.
            self.stream.set_zero_linger().ok();
        }
    }
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
