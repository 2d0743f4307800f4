//! An entry as its field keeps it: parent, mark and canonical JSON.
//!
//! The mark says as much of the message as a script needs to know where tool rounds end.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use brain_core::{
    chat::{Message, Role},
    ids::Seq,
    memory::{Draft, Entry, inside_tool_round},
};

use crate::state::{parse_seq, word};

/// A call's id: never empty, without spaces and commas.
fn call(id: &str) -> String {
    format!(".{}", URL_SAFE_NO_PAD.encode(id))
}

/// `t` and the call that a tool answers, `c` and the calls that a message makes, else `-`.
fn mark(message: &Message) -> String {
    match message.role {
        Role::Tool => format!("t{}", message.tool_call_id.as_deref().map(call).unwrap_or_default()),
        Role::System | Role::User | Role::Assistant if message.tool_calls.is_empty() => "-".into(),
        Role::System | Role::User | Role::Assistant => {
            let calls: Vec<String> = message.tool_calls.iter().map(|it| call(&it.id)).collect();
            format!("c{}", calls.join(","))
        }
    }
}

/// Mark and JSON; the parent goes before them.
pub(crate) fn marked(message: &Message, json: &str) -> Vec<u8> {
    format!("{} {json}", mark(message)).into_bytes()
}

/// The whole value.
pub(crate) fn value(parent: Option<Seq>, draft: &Draft) -> Vec<u8> {
    let marked = marked(&draft.body().message, draft.json());
    [word(parent).as_bytes(), b" ", &marked].concat()
}

/// What a value turned out to be.
pub(crate) enum Read {
    Entry(Entry),
    /// It has its place in the tree, but its body does not decode; that was reported.
    Unreadable,
    /// Not an entry at all.
    Nothing,
}

/// Reads a value.
pub(crate) fn read(seq: Seq, value: &[u8]) -> Read {
    let mut parts = value.splitn(3, |byte| *byte == b' ').map(std::str::from_utf8);
    let (Some(Ok(parent)), Some(Ok(_mark)), Some(json)) =
        (parts.next(), parts.next(), parts.next())
    else {
        return Read::Nothing;
    };
    let Some(parent) = parse_seq(parent) else { return Read::Nothing };
    let Ok(json) = json else { return Read::Unreadable };
    match Entry::decode(seq, parent, json) {
        Ok(entry) => Read::Entry(entry),
        Err(error) => {
            tracing::warn!(%seq, error = &error as &dyn std::error::Error, "left out an entry");
            Read::Unreadable
        }
    }
}

/// What a script must know of new entries to say whether a branch ends inside a tool round with
/// them: whether it does, or which calls they answer.
pub(crate) fn round(drafts: &[Draft]) -> String {
    let newest_first = || drafts.iter().rev().map(|it| &*it.body().message);
    if newest_first().any(|it| it.role != Role::Tool) {
        let inside = inside_tool_round(newest_first());
        return if inside { "inside" } else { "clear" }.to_owned();
    }
    let answered = newest_first().filter_map(|it| it.tool_call_id.as_deref().map(call));
    answered.fold("after".to_owned(), |round, call| format!("{round} {call}"))
}

#[cfg(test)]
mod tests {
    use brain_core::{
        chat::{Message, ToolCall},
        ids::Seq,
        memory::{Draft, EntryBody},
        time::Timestamp,
    };

    use super::{Read, read, round, value};

    fn draft(message: Message) -> Draft {
        Draft::new(EntryBody::complete(message, Timestamp::from_millis(0))).unwrap()
    }

    fn calls(ids: &[&str]) -> Message {
        let call = |id: &&str| ToolCall {
            id: (*id).to_owned(),
            name: "t".into(),
            arguments: "{}".into(),
            provider_id: None,
        };
        Message { tool_calls: ids.iter().map(call).collect(), ..Message::assistant("a b c") }
    }

    #[test]
    fn a_value_reads_back() {
        for message in [Message::user("a b\0"), calls(&["x y", ""]), Message::tool("x,y", "1")] {
            for parent in [None, Some(Seq(7))] {
                let draft = draft(message.clone());
                let Read::Entry(entry) = read(Seq(8), &value(parent, &draft)) else {
                    panic!("no entry")
                };
                assert_eq!((entry.seq, entry.parent), (Seq(8), parent));
                assert_eq!(entry.body, *draft.body());
            }
        }
        assert!(matches!(read(Seq(1), b"- - {"), Read::Unreadable));
        assert!(matches!(read(Seq(1), b"- - \xff"), Read::Unreadable));
        assert!(matches!(read(Seq(1), b"x"), Read::Nothing));
    }

    #[test]
    fn what_new_entries_say_of_rounds() {
        let of = |messages: &[Message]| {
            round(&messages.iter().cloned().map(draft).collect::<Vec<Draft>>())
        };
        assert_eq!(of(&[]), "after");
        assert_eq!(of(&[Message::user("a")]), "clear");
        assert_eq!(of(&[calls(&["a"])]), "inside");
        assert_eq!(of(&[calls(&["a"]), Message::tool("a", "1")]), "clear");
        assert_eq!(of(&[Message::tool("a", "1"), Message::tool("b", "1")]), "after .Yg .YQ");
    }
}
