//! A response body that holds something until it is sent or dropped, and that does not look whole
//! where it is not.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

/// How a connection is to end, shared between it and the answers on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Breaker(Arc<AtomicBool>);

impl Breaker {
    /// Has the connection reset instead of closed.
    fn trip(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether the connection is to be reset.
    pub(crate) fn is_tripped(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// A body, the permit that it is sent under, and the connection where closing that is the body's
/// end.
#[derive(Debug)]
pub(super) struct Guarded {
    body: Body,
    breaker: Option<Breaker>,
    _permit: OwnedSemaphorePermit,
}

impl Guarded {
    pub(super) fn new(body: Body, breaker: Option<Breaker>, permit: OwnedSemaphorePermit) -> Self {
        Self { body, breaker, _permit: permit }
    }
}

impl HttpBody for Guarded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let (Poll::Ready(Some(Err(_))), Some(breaker)) = (&frame, &self.breaker) {
            breaker.trip();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
