//! Turns over HTTP: asking, listening again, looking, stopping.
//!
//! What a turn does is the brain's business; here it gets its shape on the wire.

mod answer;
mod request;
mod socket;
mod stream;

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use brain_core::brain::StartedTurn;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;

pub(crate) use self::{answer::EntryView, socket::socket};
use self::{
    answer::{Answer, ViewOfTurn},
    request::ChatBody,
};
use crate::{
    api::App,
    body,
    edge::RequestId,
    error::{ApiError, REPLAYED},
    extract::{Caller, Params, TurnName, accepts, idempotency_key},
};

/// Stores a message and answers it, as JSON or as events.
pub(crate) async fn post(
    State(app): State<App>,
    caller: Caller,
    id: RequestId,
    request: Request,
) -> Result<Response, ApiError> {
    let key = idempotency_key(request.headers())?;
    let wants_events = accepts(request.headers(), "text/event-stream");
    let body: ChatBody = body::json(&app, request).await?;
    let streams = body.stream.unwrap_or(wants_events);
    let asked = body.into_turn(key)?;
    if streams {
        return stream::open(&app, caller, id, asked).await;
    }
    answer_whole(asked.start(&app, &caller).await?).await
}

/// Waits for the end of a turn. Whoever leaves meanwhile drops this, and with it the listener.
async fn answer_whole(started: StartedTurn) -> Result<Response, ApiError> {
    let StartedTurn { turn, session, replayed, events } = started;
    let last = answer::last_event(events).await.ok_or_else(|| {
        let detail = "the turn was lost from sight; GET /chat/turns/{turn_id} tells how it went on";
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "turn_lost", detail)
            .with_member("turn_id", turn.to_string())
            .with_member("session_id", session.as_str())
    })?;
    let answer = Answer::whole(&last.kind).map_err(|error| error.replayed(replayed))?;
    let mut response = Json(answer.ok_or_else(ApiError::internal)?).into_response();
    if replayed {
        response.headers_mut().extend([REPLAYED]);
    }
    Ok(response)
}

/// A turn as it stands.
pub(crate) async fn turn(
    State(app): State<App>,
    caller: Caller,
    TurnName(turn): TurnName,
) -> Result<Response, ApiError> {
    let view = app.brain.turn(&caller.0, turn).await?.ok_or_else(ApiError::turn_not_found)?;
    Ok(Json(ViewOfTurn::of(&view)).into_response())
}

/// Stops a turn, and tells how it stands.
pub(crate) async fn cancel(
    State(app): State<App>,
    caller: Caller,
    TurnName(turn): TurnName,
) -> Result<Response, ApiError> {
    let view = app.brain.cancel(&caller.0, turn).await?.ok_or_else(ApiError::turn_not_found)?;
    Ok(Json(ViewOfTurn::of(&view)).into_response())
}

#[derive(Debug, Deserialize)]
pub(crate) struct EventsQuery {
    after: Option<u64>,
}

/// The events of a turn after the last one that the client has seen.
pub(crate) async fn events(
    State(app): State<App>,
    caller: Caller,
    TurnName(turn): TurnName,
    Params(query): Params<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let after = match headers.get("last-event-id") {
        Some(id) => last_event_id(id)?,
        None => query.after.unwrap_or(0),
    };
    let events = app.brain.listen(&caller.0, turn, after).await?;
    Ok(stream::resume(&app, events.ok_or_else(ApiError::turn_not_found)?))
}

fn last_event_id(value: &HeaderValue) -> Result<u64, ApiError> {
    let number = value.to_str().ok().and_then(|it| it.trim().parse().ok());
    number.ok_or_else(|| ApiError::invalid("Last-Event-ID must be the number of an event"))
}
