//! What a peer may ask by a text frame.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
};

use brain_core::{
    brain::Listener,
    ids::{IdempotencyKey, TurnId},
};
use futures_util::{FutureExt, StreamExt, stream};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    Peer,
    frame::{self, About, Frames},
};
use crate::{
    body,
    chat::request::{AskedTurn, ChatBody},
    error::ApiError,
};

/// Most bytes of a name that comes back in every frame.
const MAX_NAME_BYTES: usize = 512;

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
    Chat(Box<AskedTurn>),
    /// To stop a turn.
    Cancel(TurnId),
    /// To hear of a turn again.
    Listen { turn: TurnId, after: u64 },
}

/// The fields of a frame, as far as they are needed before it is clear what the others mean.
struct Fields<'a> {
    values: BTreeMap<String, &'a RawValue>,
    /// A field that is there more than once.
    twice: Option<String>,
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields { values: BTreeMap::new(), twice: None };
        while let Some((name, value)) = members.next_entry::<String, &RawValue>()? {
            match fields.values.entry(name) {
                Entry::Vacant(place) => drop(place.insert(value)),
                Entry::Occupied(place) => {
                    fields.twice.get_or_insert_with(|| place.key().clone());
                }
            }
        }
        Ok(fields)
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

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
        let fields = body::parse(text.as_bytes());
        let command = fields.and_then(|fields| read(text, &fields, &mut about));
        Self { about, command }
    }
}

fn read(text: &str, fields: &Fields<'_>, about: &mut About) -> Result<Command, ApiError> {
    about.reference = reference(fields)?;
    let kind: Option<String> = field(fields, "type")?;
    if matches!(kind.as_deref(), Some("cancel" | "listen")) {
        about.turn_id = named_turn(fields);
    }
    if let Some(name) = &fields.twice {
        return Err(ApiError::invalid(format!("duplicate field `{name}`")));
    }
    match kind.as_deref() {
        Some("chat") => {
            let key: Option<IdempotencyKey> = field(fields, "idempotency_key")?;
            let body: ChatBody = rest(text, &["type", "ref", "idempotency_key"])?;
            Ok(Command::Chat(Box::new(body.into_turn(key)?)))
        }
        Some("cancel") => {
            let CancelBody { turn_id } = rest(text, &["type", "ref"])?;
            Ok(Command::Cancel(turn(&turn_id)?))
        }
        Some("listen") => {
            let ListenBody { turn_id, after } = rest(text, &["type", "ref"])?;
            Ok(Command::Listen { turn: turn(&turn_id)?, after: after.unwrap_or(0) })
        }
        Some(_) | None => Err(ApiError::invalid("`type` must be `chat`, `cancel` or `listen`")),
    }
}

/// The peer's name for what it asks.
fn reference(fields: &Fields<'_>) -> Result<Option<String>, ApiError> {
    let reference: Option<String> = field(fields, "ref")?;
    if reference.as_ref().is_some_and(|it| MAX_NAME_BYTES < it.len()) {
        let detail = format!("`ref` must have at most {MAX_NAME_BYTES} bytes");
        return Err(ApiError::invalid(detail));
    }
    Ok(reference)
}

fn field<T: for<'de> Deserialize<'de>>(
    fields: &Fields<'_>,
    name: &'static str,
) -> Result<Option<T>, ApiError> {
    let Some(value) = fields.values.get(name) else { return Ok(None) };
    serde_json::from_str(value.get())
        .map_err(|error| ApiError::invalid(format!("`{name}`: {}", body::without_place(&error))))
}

/// The frame as a body, whose fields are all but `others`.
fn rest<T: for<'de> Deserialize<'de>>(text: &str, others: &[&str]) -> Result<T, ApiError> {
    body::parse_without(text.as_bytes(), others)
}

/// The turn that a frame names, as it is written there.
fn named_turn(fields: &Fields<'_>) -> Option<String> {
    let value = fields.values.get("turn_id")?.get();
    let name: Option<String> = serde_json::from_str(value).ok()?;
    name.filter(|it| it.len() <= MAX_NAME_BYTES)
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
            Self::Chat(asked) => {
                let started = asked.start(&peer.app, &peer.caller).await?;
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
