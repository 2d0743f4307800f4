//! Answers as Server-Sent Events, with heartbeats while nothing happens.

use std::{convert::Infallible, time::Duration};

use axum::response::{
    IntoResponse, Response, Sse,
    sse::{Event, KeepAlive},
};
use futures_util::Stream;
use http::{HeaderName, HeaderValue};
use serde::Serialize;

/// What a heartbeat says, as a comment.
pub(crate) const PING: &str = "ping";
/// Tells proxies to hold nothing back.
const BUFFERING: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));

/// Answers with these events.
pub(crate) fn respond(
    heartbeat: Duration,
    frames: impl Stream<Item = Result<Event, Infallible>> + Send + 'static,
) -> Response {
    let beat = KeepAlive::new().interval(heartbeat).text(PING);
    ([BUFFERING], Sse::new(frames).keep_alive(beat)).into_response()
}

/// An event of this name; with a number, where it can be resumed after.
pub(crate) fn event(number: Option<u64>, name: &str, data: &impl Serialize) -> Event {
    let data = serde_json::to_string(data).unwrap_or_else(|error| {
        tracing::error!(%error, "an event does not serialise");
        "null".to_owned()
    });
    let event = match number {
        Some(number) => Event::default().id(number.to_string()),
        None => Event::default(),
    };
    event.event(name).data(data)
}
