//! A session's header as it is stored: the state that each append rewrites, and the description
//! that only a patch does.

use std::fmt;

use brain_core::{
    ids::{HolderId, Seq, SessionKey, Token, TurnId},
    json::RawJson,
    memory::{Appended, Edition, MemoryClass, MemoryError, Session},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::reply::Reply;

/// Who holds the session's open turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) turn: TurnId,
    pub(crate) holder: HolderId,
    pub(crate) waiting: bool,
}

/// What `lua/state.lua` reads and writes: words on one line, `-` for nothing.
///
/// Two equal lines are the same state of the same session: `born` is the first token it had, and
/// `rev` counts its changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) born: Token,
    pub(crate) rev: u64,
    pub(crate) token: Token,
    pub(crate) head: Option<Seq>,
    pub(crate) last: Seq,
    pub(crate) entries: u64,
    pub(crate) created_at: Timestamp,
    pub(crate) held: Option<Held>,
}

/// A word, or `-` for nothing.
pub(crate) fn word(value: Option<impl fmt::Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |it| it.to_string())
}

/// A position, or nothing for `-`.
pub(crate) fn parse_seq(word: &str) -> Option<Option<Seq>> {
    if word == "-" { Some(None) } else { word.parse().ok().map(|it| Some(Seq(it))) }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { born, rev, token, last, entries, .. } = self;
        let (head, created) = (word(self.head), self.created_at.as_millis());
        write!(f, "{born} {rev} {token} {head} {last} {entries} {created} ")?;
        match self.held {
            None => f.write_str("- - -"),
            Some(Held { turn, holder, waiting }) => {
                let mode = if waiting { "waiting" } else { "running" };
                write!(f, "{turn} {holder} {mode}")
            }
        }
    }
}

impl State {
    /// The state of an empty session.
    pub(crate) fn of(session: &Session) -> Self {
        Self {
            born: session.token,
            rev: 0,
            token: session.token,
            head: session.head,
            last: Seq(session.entries),
            entries: session.entries,
            created_at: session.created_at,
            held: None,
        }
    }

    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let mut next = || words.next();
        Some(Self {
            born: Token::parse(next()?)?,
            rev: next()?.parse().ok()?,
            token: Token::parse(next()?)?,
            head: parse_seq(next()?)?,
            last: Seq(next()?.parse().ok()?),
            entries: next()?.parse().ok()?,
            created_at: Timestamp::from_millis(next()?.parse().ok()?),
            held: Held::parse([next()?, next()?, next()?])?,
        })
    }
}

impl Held {
    fn parse([turn, holder, mode]: [&str; 3]) -> Option<Option<Self>> {
        if turn == "-" {
            return Some(None);
        }
        let (turn, holder) = (TurnId::parse(turn)?, HolderId::parse(holder)?);
        Some(Some(Self { turn, holder, waiting: mode == "waiting" }))
    }
}

/// What a patch changes, and what never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Description {
    /// The first token that the session had: no two sessions have the same description.
    born: Token,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    default_title: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata: Option<RawJson>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    system: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(default)]
    recall: bool,
    #[serde(default)]
    class: MemoryClass,
    #[serde(default)]
    edition: Edition,
}

impl Description {
    /// The JSON of a session's description.
    pub(crate) fn of(
        operation: &'static str,
        born: Token,
        session: &Session,
    ) -> Result<Vec<u8>, MemoryError> {
        let Session { title, metadata, system, model, recall, class, edition, .. } =
            session.clone();
        let default_title = session.has_default_title;
        let description =
            Self { born, title, default_title, metadata, system, model, recall, class, edition };
        serde_json::to_vec(&description)
            .map_err(|error| Reply(operation).corrupt().with_source(error))
    }
}

/// A session as it is stored, and the very bytes of it.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) state: State,
    pub(crate) session: Session,
    pub(crate) line: Vec<u8>,
    pub(crate) description: Vec<u8>,
}

impl Stored {
    /// The session of `key` by its three fields; `None` without a state.
    pub(crate) fn parse(
        reply: Reply,
        key: &SessionKey,
        fields: [Option<Vec<u8>>; 3],
    ) -> Result<Option<Self>, MemoryError> {
        let [line, description, updated] = fields;
        let Some(line) = line else { return Ok(None) };
        let (Some(description), Some(updated)) = (description, updated) else {
            return Err(reply.corrupt());
        };
        let state = reply.parsed(&line, State::parse)?;
        let updated = reply.parsed(&updated, |it| it.parse().ok())?;
        let described: Description = reply.json(&description)?;
        let Description { title, metadata, system, model, recall, class, edition, .. } = described;
        let session = Session {
            id: key.id.clone(),
            title,
            has_default_title: described.default_title,
            metadata,
            system,
            model,
            recall,
            class,
            head: state.head,
            token: state.token,
            edition,
            entries: state.entries,
            created_at: state.created_at,
            updated_at: Timestamp::from_millis(updated),
        };
        Ok(Some(Self { state, session, line, description }))
    }
}

/// What an append did, as its field keeps it.
pub(crate) fn appended_line(did: Appended) -> Vec<u8> {
    format!("{} {} {}", word(did.last), word(did.head), did.token).into_bytes()
}

/// Reads such a field.
pub(crate) fn parse_appended(line: &str) -> Option<Appended> {
    let mut words = line.split(' ');
    let last = parse_seq(words.next()?)?;
    let head = parse_seq(words.next()?)?;
    Some(Appended { last, head, token: Token::parse(words.next()?)? })
}

#[cfg(test)]
mod tests {
    use brain_core::{
        ids::{HolderId, Seq, Token, TurnId},
        time::Timestamp,
    };

    use super::{Held, State};

    #[test]
    fn a_state_reads_back() {
        let now = Timestamp::from_millis(1_767_225_600_123);
        let token = Token::random();
        let idle = State {
            born: Token::random(),
            rev: 7,
            token,
            head: None,
            last: Seq(9_007_199_254_740_991),
            entries: 3,
            created_at: now,
            held: None,
        };
        let held = Held { turn: TurnId::generate(now), holder: HolderId::random(), waiting: true };
        let busy = State { head: Some(Seq(3)), held: Some(held), ..idle };
        for state in [idle, busy] {
            assert_eq!(State::parse(&state.to_string()), Some(state));
        }
        assert_eq!(State::parse("nonsense"), None);
    }
}
