//! What a peer may ask by a text frame.

use std::collections::BTreeMap;

use brain_core::{
    brain::{Listener, TurnRequest},
    ids::{IdempotencyKey, TurnId},
};
use futures_util::{FutureExt, StreamExt, stream};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Peer,
    frame::{self, About, Frames},
};
use crate::{body, chat::request::ChatBody, error::ApiError};

/// What a peer asks by one frame, and how it tells the answers apart.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) about: About,
    pub(super) command: Result<Command, ApiError>,
}

/// One thing that a peer asks.
#[derive(Debug)]
pub(super) enum Command {
    /// To answer a message.
    Chat(Box<TurnRequest>),
    /// To stop a turn.
    Cancel(TurnId),
    /// To hear of a turn again.
    Listen { turn: TurnId, after: u64 },
}

type Fields<'a> = BTreeMap<String, &'a RawValue>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CancelBody {
    turn_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListenBody {
    turn_id: String,
    after: Option<u64>,
}

impl Asked {
    /// Reads a frame. Whatever is wrong with it, the names that it gives come back.
    pub(super) fn parse(text: &str) -> Self {
        let mut about = About::default();
        let command = body::parse(text.as_bytes()).and_then(|fields| read(fields, &mut about));
        Self { about, command }
    }
}

fn read(mut fields: Fields<'_>, about: &mut About) -> Result<Command, ApiError> {
    about.reference = take(&mut fields, "ref")?;
    let kind: Option<String> = take(&mut fields, "type")?;
    match kind.as_deref() {
        Some("chat") => {
            let idempotency_key: Option<IdempotencyKey> = take(&mut fields, "idempotency_key")?;
            let body: ChatBody = rest(&fields)?;
            let request = TurnRequest { idempotency_key, ..body.into_turn()? };
            Ok(Command::Chat(Box::new(request)))
        }
        Some("cancel") => {
            about.turn_id = named_turn(&fields);
            let CancelBody { turn_id } = rest(&fields)?;
            Ok(Command::Cancel(turn(&turn_id)?))
        }
        Some("listen") => {
            about.turn_id = named_turn(&fields);
            let ListenBody { turn_id, after } = rest(&fields)?;
            Ok(Command::Listen { turn: turn(&turn_id)?, after: after.unwrap_or(0) })
        }
        Some(_) | None => Err(ApiError::invalid("`type` must be `chat`, `cancel` or `listen`")),
    }
}

fn take<T: for<'de> Deserialize<'de>>(
    fields: &mut Fields<'_>,
    name: &'static str,
) -> Result<Option<T>, ApiError> {
    let Some(value) = fields.remove(name) else { return Ok(None) };
    serde_json::from_str(value.get())
        .map_err(|error| ApiError::invalid(format!("`{name}`: {error}")))
}

/// The fields that are left, as the body that they are.
fn rest<T: for<'de> Deserialize<'de>>(fields: &Fields<'_>) -> Result<T, ApiError> {
    body::parse(&serde_json::to_vec(fields).map_err(|_| ApiError::internal())?)
}

/// The turn that a frame names, as it is written there.
fn named_turn(fields: &Fields<'_>) -> Option<String> {
    fields.get("turn_id").and_then(|it| serde_json::from_str(it.get()).ok())
}

fn turn(text: &str) -> Result<TurnId, ApiError> {
    TurnId::parse(text).ok_or_else(ApiError::turn_not_found)
}

impl Command {
    /// Does it; errors are frames too.
    pub(super) fn run(self, peer: &Peer, about: About) -> Frames {
        let peer = peer.clone();
        async move {
            match self.answer(&peer, about.clone()).await {
                Ok(frames) => frames,
                Err(error) => frame::one(frame::of_error(&error, &peer.id, &about)),
            }
        }
        .flatten_stream()
        .boxed()
    }

    async fn answer(self, peer: &Peer, mut about: About) -> Result<Frames, ApiError> {
        let (brain, owner) = (&peer.app.brain, &peer.caller.0);
        match self {
            Self::Chat(request) => {
                let started = brain.chat(owner, *request).await?;
                about.turn_id = Some(started.turn.to_string());
                Ok(follow(peer.clone(), started.turn, started.events, about))
            }
            Self::Cancel(turn) => {
                let view = brain.cancel(owner, turn).await?.ok_or_else(ApiError::turn_not_found)?;
                Ok(frame::one(frame::of_view(&view, &about)))
            }
            Self::Listen { turn, after } => {
                let events = brain.listen(owner, turn, after).await?;
                let events = events.ok_or_else(ApiError::turn_not_found)?;
                Ok(follow(peer.clone(), turn, events, about))
            }
        }
    }
}

/// The events of a turn. If they end without a last one, there is none left to tell or the turn was
/// lost from sight: the turn as it stands says which.
fn follow(peer: Peer, turn: TurnId, events: Listener, about: About) -> Frames {
    stream::unfold(Some((peer, events, about)), move |following| async move {
        let (peer, mut events, about) = following?;
        match events.next().await {
            Some(event) => {
                let text = frame::of_event(&event, &about);
                let goes_on = event.kind.end().is_none();
                Some((text, goes_on.then_some((peer, events, about))))
            }
            None => Some((standing(&peer, turn, &about).await, None)),
        }
    })
    .boxed()
}

async fn standing(peer: &Peer, turn: TurnId, about: &About) -> String {
    let view = peer.app.brain.turn(&peer.caller.0, turn).await;
    let view = view.map_err(ApiError::from).and_then(|it| it.ok_or_else(ApiError::turn_not_found));
    match view {
        Ok(view) => frame::of_view(&view, about),
        Err(error) => frame::of_error(&error, &peer.id, about),
    }
}
