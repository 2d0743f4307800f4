//! A turn as Server-Sent Events: numbered, with heartbeats while nothing happens.

use std::convert::Infallible;

use axum::response::{IntoResponse, Response, sse::Event};
use brain_core::brain::{Listener, StartedTurn, TurnEvent};
use futures_util::{
    FutureExt, StreamExt,
    stream::{self, BoxStream},
};
use http::StatusCode;
use tokio::time::timeout;

use super::{answer::EventData, request::AskedTurn};
use crate::{
    api::App,
    edge::RequestId,
    error::{ApiError, REPLAYED},
    extract::Caller,
    sse::{self, PING, respond},
};

type Frames = BoxStream<'static, Result<Event, Infallible>>;

/// Opens a turn and streams it.
///
/// What is refused within the time of a heartbeat is refused with a status. A turn that waits
/// longer for another one of its session streams heartbeats meanwhile, and what is refused then is
/// told by an event `error`.
pub(super) async fn open(
    app: &App,
    caller: Caller,
    id: RequestId,
    asked: AskedTurn,
) -> Result<Response, ApiError> {
    let opener = app.clone();
    let mut opening = Box::pin(async move { asked.start(&opener, &caller).await });
    if let Ok(opened) = timeout(app.config.heartbeat, &mut opening).await {
        let StartedTurn { events, replayed, .. } = opened?;
        let mut response = respond(app.config.heartbeat, frames(events));
        if replayed {
            response.headers_mut().extend([REPLAYED]);
        }
        return Ok(response);
    }
    let late = opening.map(move |opened| match opened {
        Ok(started) => frames(started.events),
        Err(error) => refusal(&error, &id),
    });
    let first = stream::iter([Ok(Event::default().comment(PING))]);
    Ok(respond(app.config.heartbeat, first.chain(late.flatten_stream()).boxed()))
}

/// Streams the rest of a turn; nothing is left of one whose last event the client has seen.
pub(super) fn resume(app: &App, mut events: Listener) -> Response {
    let first = events.next().now_or_never();
    match first {
        Some(None) => StatusCode::NO_CONTENT.into_response(),
        Some(Some(event)) => {
            let rest = stream::iter([frame(&event)]).chain(frames(events));
            respond(app.config.heartbeat, rest.boxed())
        }
        None => respond(app.config.heartbeat, frames(events)),
    }
}

fn frames(events: Listener) -> Frames {
    events.map(|event| frame(&event)).boxed()
}

fn frame(event: &TurnEvent) -> Result<Event, Infallible> {
    Ok(sse::event(Some(event.number), event.kind.name(), &EventData(&event.kind)))
}

fn refusal(error: &ApiError, id: &RequestId) -> Frames {
    error.log();
    let problem = serde_json::to_string(&error.problem(id.as_str())).unwrap_or_default();
    stream::iter([Ok(Event::default().event("error").data(problem))]).boxed()
}
