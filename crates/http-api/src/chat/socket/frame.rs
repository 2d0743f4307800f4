//! What a peer is sent, as text frames.

use brain_core::{
    brain::{Listener, TurnView},
    ids::TurnId,
};
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use serde::Serialize;

use crate::{
    chat::answer::{EventData, ViewOfTurn},
    edge::RequestId,
    error::ApiError,
};

/// Text frames that come of one request.
pub(super) type Frames = BoxStream<'static, String>;

#[derive(Serialize)]
struct Frame<'a, T> {
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    turn_id: Option<TurnId>,
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    reference: Option<&'a str>,
    data: T,
}

impl<T: Serialize> Frame<'_, T> {
    fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|error| {
            tracing::error!(%error, "a frame does not serialise");
            "{}".to_owned()
        })
    }
}

/// The events of a turn.
pub(super) fn of_events(turn: TurnId, events: Listener, reference: Option<String>) -> Frames {
    let frame = move |event: std::sync::Arc<brain_core::brain::TurnEvent>| {
        Frame {
            event: event.kind.name(),
            id: Some(event.number),
            turn_id: Some(turn),
            reference: reference.as_deref(),
            data: EventData(&event.kind),
        }
        .to_text()
    };
    events.map(frame).boxed()
}

/// A turn as it stands.
pub(super) fn of_view(view: &TurnView) -> Frames {
    let turn_id = Some(view.record.id);
    let data = ViewOfTurn::of(view);
    one(Frame { event: "turn.state", id: None, turn_id, reference: None, data }.to_text())
}

/// An error.
pub(super) fn of_error(error: &ApiError, id: &RequestId, reference: Option<&str>) -> Frames {
    error.log();
    let data = error.problem(id.as_str());
    one(Frame { event: "error", id: None, turn_id: None, reference, data }.to_text())
}

fn one(text: String) -> Frames {
    stream::iter([text]).boxed()
}
