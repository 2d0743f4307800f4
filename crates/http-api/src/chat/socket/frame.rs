//! What a peer is sent, as text frames.

use brain_core::brain::{TurnEvent, TurnView};
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

/// What a frame is about, in the words of the peer.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct About {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) turn_id: Option<String>,
    /// The peer's name for what it asked.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub(super) reference: Option<String>,
}

#[derive(Serialize)]
struct Frame<'a, T> {
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    #[serde(flatten)]
    about: &'a About,
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

/// An event of a turn.
pub(super) fn of_event(event: &TurnEvent, about: &About) -> String {
    let data = EventData(&event.kind);
    Frame { event: event.kind.name(), id: Some(event.number), about, data }.to_text()
}

/// A turn as it stands.
pub(super) fn of_view(view: &TurnView, about: &About) -> String {
    Frame { event: "turn.state", id: None, about, data: ViewOfTurn::of(view) }.to_text()
}

/// An error, which is logged.
pub(super) fn of_error(error: &ApiError, id: &RequestId, about: &About) -> String {
    error.log();
    Frame { event: "error", id: None, about, data: error.problem(id.as_str()) }.to_text()
}

/// One frame, and no more.
pub(super) fn one(text: String) -> Frames {
    stream::iter([text]).boxed()
}
