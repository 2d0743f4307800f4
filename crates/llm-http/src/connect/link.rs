//! One open connection, which knows whether a proxy reads the requests on it.
//!
//! It hands all bytes through.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::client::legacy::connect::{Connected, Connection};

use super::route::Hop;

/// An open connection, to the server or to a proxy.
#[derive(Debug)]
pub(crate) struct Link {
    stream: MaybeHttpsStream<Hop>,
    forwarded: bool,
}

impl Link {
    /// `forwarded` when a proxy reads the requests, so that they must name the whole address.
    pub(super) fn new(stream: MaybeHttpsStream<Hop>, forwarded: bool) -> Self {
        Self { stream, forwarded }
    }

    /// Whether the server chose HTTP/2.
    pub(crate) fn chose_http2(&self) -> bool {
        self.stream.connected().is_negotiated_h2()
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut MaybeHttpsStream<Hop>> {
        Pin::new(&mut self.get_mut().stream)
    }
}

impl Connection for Link {
    fn connected(&self) -> Connected {
        self.stream.connected().proxy(self.forwarded)
    }
}

impl Read for Link {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(context, buffer)
    }
}

impl Write for Link {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(context, slices)
    }
}
