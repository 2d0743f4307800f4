//! Exports of every kind, cut at every byte: an error each time, and never half of a session.

use super::super::super::{ExportedSession, ImportItem};
use super::super::{ImportErrorKind, ImportReader};
use super::{document, lines, session};

const LIMIT: usize = 1 << 16;

const CHATGPT: &str = r#"[{"title":"A \u00e9 \"b\"","create_time":1762989084.391352,"mapping":{
"r":{"id":"r","message":null,"parent":null,"children":["q"]},
"q":{"id":"q","parent":"r","children":["a"],"message":{"author":{"role":"user"},"weight":1.0,
"content":{"content_type":"text","parts":["When?"]},"create_time":1762989084}},
"a":{"id":"a","parent":"q","children":[],"message":{"author":{"role":"assistant"},
"content":{"content_type":"text","parts":["\ud83d\ude86 {[\\"]},"end_turn":true}}},
"current_node":"a","conversation_id":"c-1"},
{"mapping":{"x":{"message":{"author":{"role":"user"},"content":{"parts":["x"],
"content_type":"text"}}}},"id":"c-2"}]"#;

const OPEN_WEBUI: &str = r#"[{"id":"w-1","title":"Greeting","chat":{"history":{"currentId":"2",
"messages":{"1":{"parentId":null,"role":"user","content":"Hello","timestamp":1787938846},
"2":{"parentId":"1","role":"assistant","content":"Hi.","model":"m","done":true}}}},
"created_at":1787938845},
{"id":"w-2","chat":{"messages":[{"role":"user","content":"x"}]},"updated_at":1787938848}]"#;

/// What comes out of an import, and the kind of its error.
fn read(bytes: &[u8]) -> (Vec<ExportedSession>, Option<(ImportErrorKind, u64)>) {
    let (mut sessions, mut error) = (Vec::new(), None);
    for item in ImportReader::new(bytes, LIMIT) {
        assert!(error.is_none(), "something follows the error");
        match item {
            Ok(ImportItem::Session(session, _)) => sessions.push(*session),
            Ok(item @ (ImportItem::Nothing(_) | ImportItem::Refused(_))) => panic!("{item:?}"),
            Err(found) => error = Some((found.kind(), found.sessions())),
        }
    }
    (sessions, error)
}

fn check(whole: &str, count: usize) {
    let whole = whole.trim_end().as_bytes();
    let (all, error) = read(whole);
    assert_eq!((all.len(), error), (count, None));
    for end in 0..whole.len() {
        let (sessions, error) = read(&whole[..end]);
        let cut = (ImportErrorKind::Truncated, sessions.len() as u64);
        assert_eq!(error, Some(cut), "cut at {end}");
        assert!(all.starts_with(&sessions), "cut at {end}");
    }
}

#[test]
fn our_document_and_our_lines() {
    let sessions = vec![session("a", "\u{1F600}\0\"]}"), session("b", "\\\"y"), session("c", "")];
    check(&document(sessions.clone()), 3);
    check(&lines(&sessions), 3);
    check(&document(Vec::new()), 0);
    check(&lines(&[]), 0);
}

#[test]
fn lists_and_single_conversations_of_other_programs() {
    check(CHATGPT, 2);
    check(OPEN_WEBUI, 2);
    let lone = |list: &str| {
        let items: Vec<&serde_json::value::RawValue> = serde_json::from_str(list).unwrap();
        items[0].get().to_owned()
    };
    check(&lone(CHATGPT), 1);
    check(&lone(OPEN_WEBUI), 1);
}
