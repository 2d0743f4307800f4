//! What a peer may ask by a text frame.

use std::collections::BTreeMap;

use brain_core::{
    brain::TurnRequest,
    ids::{IdempotencyKey, TurnId},
};
use futures_util::{FutureExt, StreamExt};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Peer,
    frame::{self, Frames},
};
use crate::{body, chat::request::ChatBody, error::ApiError};

/// One thing that a peer asks.
#[derive(Debug)]
pub(super) enum Command {
    /// To answer a message.
    Chat {
        request: Box<TurnRequest>,
        /// The peer's name for this request; comes back in every frame about it.
        reference: Option<String>,
    },
    /// To stop a turn.
    Cancel(TurnId),
    /// To hear of a turn again.
    Listen { turn: TurnId, after: u64 },
}

/// The fields of a frame that a body of `POST /chat` has not.
#[derive(Debug, Deserialize)]
struct Head {
    r#type: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CancelBody {
    #[serde(rename = "type")]
    _type: String,
    turn_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListenBody {
    #[serde(rename = "type")]
    _type: String,
    turn_id: String,
    #[serde(default)]
    after: u64,
}

impl Command {
    pub(super) fn parse(text: &str) -> Result<Self, ApiError> {
        let Head { r#type } = body::parse(text.as_bytes())?;
        match r#type.as_str() {
            "chat" => parse_chat(text),
            "cancel" => {
                let CancelBody { turn_id, .. } = body::parse(text.as_bytes())?;
                Ok(Self::Cancel(turn(&turn_id)?))
            }
            "listen" => {
                let ListenBody { turn_id, after, .. } = body::parse(text.as_bytes())?;
                Ok(Self::Listen { turn: turn(&turn_id)?, after })
            }
            _ => Err(ApiError::invalid("`type` must be `chat`, `cancel` or `listen`")),
        }
    }

    /// Does it; errors are frames too.
    pub(super) fn run(self, peer: &Peer) -> Frames {
        let Peer { app, caller, id } = peer.clone();
        match self {
            Self::Chat { request, reference } => async move {
                match app.brain.chat(&caller.0, *request).await {
                    Ok(started) => frame::of_events(started.turn, started.events, reference),
                    Err(error) => frame::of_error(&error.into(), &id, reference.as_deref()),
                }
            }
            .flatten_stream()
            .boxed(),
            Self::Cancel(turn) => async move {
                match app.brain.cancel(&caller.0, turn).await {
                    Ok(Some(view)) => frame::of_view(&view),
                    Ok(None) => frame::of_error(&ApiError::turn_not_found(), &id, None),
                    Err(error) => frame::of_error(&error.into(), &id, None),
                }
            }
            .flatten_stream()
            .boxed(),
            Self::Listen { turn, after } => async move {
                match app.brain.listen(&caller.0, turn, after).await {
                    Ok(Some(events)) => frame::of_events(turn, events, None),
                    Ok(None) => frame::of_error(&ApiError::turn_not_found(), &id, None),
                    Err(error) => frame::of_error(&error.into(), &id, None),
                }
            }
            .flatten_stream()
            .boxed(),
        }
    }
}

fn turn(text: &str) -> Result<TurnId, ApiError> {
    TurnId::parse(text).ok_or_else(ApiError::turn_not_found)
}

/// A body of `POST /chat`, with `type`, `idempotency_key` and `ref` beside its fields.
fn parse_chat(text: &str) -> Result<Command, ApiError> {
    let mut fields: BTreeMap<String, &RawValue> =
        serde_json::from_str(text).map_err(|error| ApiError::invalid_json(error.to_string()))?;
    fields.remove("type");
    let idempotency_key: Option<IdempotencyKey> = take(&mut fields, "idempotency_key")?;
    let reference = take(&mut fields, "ref")?;
    let body = serde_json::to_vec(&fields).map_err(|_| ApiError::internal())?;
    let body: ChatBody = body::parse(&body)?;
    let request = TurnRequest { idempotency_key, ..body.into_turn()? };
    Ok(Command::Chat { request: Box::new(request), reference })
}

fn take<T: for<'de> Deserialize<'de>>(
    fields: &mut BTreeMap<String, &RawValue>,
    name: &'static str,
) -> Result<Option<T>, ApiError> {
    let Some(value) = fields.remove(name) else { return Ok(None) };
    serde_json::from_str(value.get())
        .map_err(|error| ApiError::invalid(format!("`{name}`: {error}")))
}
