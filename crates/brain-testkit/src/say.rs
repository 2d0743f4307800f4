//! Short ways to append to a store in a test of one; no fake, and nothing of the suites.

use brain_core::{
    chat::Message,
    ids::{AppendId, Owner, Seq, SessionId, SessionKey},
    memory::{Append, Draft, EntryBody, Expect},
    time::Timestamp,
};

/// A session of the local owner.
#[must_use]
pub fn key(id: &str) -> SessionKey {
    SessionKey::new(Owner::local(), SessionId::new(id).unwrap())
}

/// What a person says at time 0, ready to append.
#[must_use]
pub fn draft(text: &str) -> Draft {
    Draft::new(EntryBody::complete(Message::user(text), Timestamp::from_millis(0))).unwrap()
}

/// An append of one message, with its text as its append id.
#[must_use]
pub fn say(text: &str, parent: Option<Seq>, expect: Expect) -> Append {
    Append {
        parent,
        expect,
        append_id: AppendId::new(text).unwrap(),
        fence: None,
        drafts: vec![draft(text)],
    }
}
