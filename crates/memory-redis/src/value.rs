//! An entry as its field keeps it: parent, mark and canonical JSON.
//!
//! The mark says as much of the message as a script needs to know where tool rounds end.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use brain_core::{
    chat::{Message, Role},
    ids::Seq,
    memory::{Draft, Entry, MemoryError, MemoryErrorKind, inside_tool_round},
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

/// Reads a value.
///
/// # Errors
///
/// [`MemoryErrorKind::Corrupt`] when it is none, or its body is none that we know.
pub(crate) fn read(seq: Seq, value: &[u8]) -> Result<Entry, MemoryError> {
    let corrupt = || MemoryError::new("read an entry", MemoryErrorKind::Corrupt);
    let text = std::str::from_utf8(value).map_err(|error| corrupt().with_source(error))?;
    let mut parts = text.splitn(3, ' ');
    let parent = parts.next().and_then(parse_seq).ok_or_else(corrupt)?;
    let json = parts.nth(1).ok_or_else(corrupt)?;
    Entry::decode(seq, parent, json)
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
        memory::{Draft, EntryBody, MemoryErrorKind},
        time::Timestamp,
    };

    use super::{read, round, value};

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
                let entry = read(Seq(8), &value(parent, &draft)).unwrap();
                assert_eq!((entry.seq, entry.parent), (Seq(8), parent));
                assert_eq!(entry.body, *draft.body());
            }
        }
        for bad in [&b"- - {"[..], b"- - \xff", b"x", b"", b"- {}"] {
            assert_eq!(read(Seq(1), bad).unwrap_err().kind(), MemoryErrorKind::Corrupt);
        }
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
