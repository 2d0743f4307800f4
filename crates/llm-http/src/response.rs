//! The body of an answer: a stream of bytes, timed; or all of it, bounded.

use std::{sync::Arc, time::Duration};

use brain_core::llm::LlmError;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use http_body_util::{BodyDataStream, BodyExt};
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::{
    Endpoint, Timeouts,
    transport::{Answer, Lease},
};

/// The body of an answer as it arrives. The first `Err` is the last item; dropping the stream
/// closes the connection unless the body has been read to its end.
pub type ByteStream = BoxStream<'static, Result<Bytes, LlmError>>;

/// How long the end of a body may take after its last event.
const LAST_BYTES_WAIT: Duration = Duration::from_millis(250);

struct Reading {
    body: BodyDataStream<Incoming>,
    /// Kept until the body is done with, so that its place on the connection is not given away.
    _lease: Option<Lease>,
    endpoint: Arc<Endpoint>,
    patience: Duration,
    idle: Duration,
    begun: bool,
}

impl Reading {
    async fn next(&mut self) -> Option<Result<Bytes, LlmError>> {
        let item = match timeout(self.patience, self.body.next()).await {
            Ok(item) => item?.map_err(|error| self.endpoint.cut(self.begun, error)),
            Err(_) => Err(self.endpoint.silent(self.patience, self.begun)),
        };
        self.begun = true;
        self.patience = self.idle;
        Some(item)
    }
}

/// The body as a stream that fails when it is silent for too long: `first_byte` at its beginning,
/// since servers send headers before they think, and `idle` later.
pub(crate) fn stream(answer: Answer, endpoint: Arc<Endpoint>, timeouts: Timeouts) -> ByteStream {
    let (patience, idle) = (timeouts.first_byte, timeouts.idle);
    let body = answer.response.into_body().into_data_stream();
    let reading = Reading { body, _lease: answer.lease, endpoint, patience, idle, begun: false };
    let items = stream::unfold(Some(reading), |reading| async move {
        let mut reading = reading?;
        let item = reading.next().await?;
        let rest = item.is_ok().then_some(reading);
        Some((item, rest))
    });
    items.boxed()
}

/// All of the body, or `None` if it has more than `limit` bytes.
pub(crate) async fn collect(
    mut body: ByteStream,
    limit: usize,
) -> Result<Option<Vec<u8>>, LlmError> {
    let mut whole = Vec::new();
    while let Some(bytes) = body.try_next().await? {
        if limit < whole.len() + bytes.len() {
            return Ok(None);
        }
        whole.extend_from_slice(&bytes);
    }
    Ok(Some(whole))
}

/// Lets go of a body of which everything that matters has been read: takes its last bytes if they
/// come at once, so that the connection serves the next request, and closes it otherwise.
pub async fn let_go(mut body: ByteStream) {
    let rest = async { while let Some(Ok(_)) = body.next().await {} };
    if timeout(LAST_BYTES_WAIT, rest).await.is_err() {
        tracing::debug!("the body did not end after its last event; the connection is closed");
    }
}

/// The first bytes of the body, at most `limit`; a body that fails ends there.
pub(crate) async fn beginning(mut body: ByteStream, limit: usize) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(Ok(bytes)) = body.next().await {
        whole.extend_from_slice(&bytes);
        if limit <= whole.len() {
            whole.truncate(limit);
            break;
        }
    }
    whole
}
