//! What becomes of ChatGPT's conversations.

use super::super::{
    ExportedSession, ImportItem, ImportReader,
    note::{Notes, Skipped},
};
use crate::{
    chat::Role,
    ids::Seq,
    memory::{EntryStatus, MemoryClass},
};

/// The sessions of an export, and the counts of what is not as it was.
fn import(json: &str) -> (Vec<ExportedSession>, Vec<(&'static str, u64)>) {
    let (mut sessions, mut all) = (Vec::new(), Notes::default());
    for item in ImportReader::new(json.as_bytes(), 1 << 20) {
        match item.unwrap() {
            ImportItem::Session(session, notes) => {
                session.check_tree().unwrap();
                sessions.push(*session);
                all.merge(&notes);
            }
            ImportItem::Nothing(notes) => all.merge(&notes),
            ImportItem::Refused(refused) => panic!("{refused:?}"),
        }
    }
    let counted = all.counted().into_iter().map(|Skipped { code, count, .. }| (code, count));
    (sessions, counted.collect())
}

/// A node as the export writes them.
fn node(id: &str, parent: Option<&str>, role: &str, content: &str, more: &str) -> String {
    let parent = parent.map_or("null".to_owned(), |it| format!("\"{it}\""));
    format!(
        r#""{id}":{{"id":"{id}","parent":{parent},"children":[],"message":{{"id":"{id}",
        "author":{{"role":"{role}","name":null,"metadata":{{}}}},"create_time":null,
        "content":{content},"status":"finished_successfully","end_turn":true,"weight":1.0,
        "recipient":"all","metadata":{{{more}}}}}}}"#
    )
}

fn text(text: &str) -> String {
    format!(r#"{{"content_type":"text","parts":["{text}"]}}"#)
}

fn conversation(nodes: &[String], current: &str) -> String {
    let root = r#""root":{"id":"root","message":null,"parent":null,"children":[]}"#.to_owned();
    let nodes = [&[root][..], nodes].concat().join(",");
    format!(
        r#"[{{"title":"T","create_time":1762989084.391352,"update_time":1762989171.03061,
        "mapping":{{{nodes}}},"moderation_results":[],"current_node":"{current}",
        "conversation_id":"c-1","id":"c-1","default_model_slug":"gpt-5-thinking"}}]"#
    )
}

/// The texts of the branch that ends at the head.
fn branch(session: &ExportedSession) -> Vec<String> {
    let mut texts = Vec::new();
    let mut at = session.head;
    while let Some(seq) = at {
        let entry = session.entries.iter().find(|it| it.seq == seq).unwrap();
        texts.insert(0, entry.entry.message.joined_text());
        at = entry.parent;
    }
    texts
}

#[test]
fn a_conversation_becomes_a_session_with_its_branches() {
    let hidden = r#""is_visually_hidden_from_conversation":true"#;
    let model = r#""model_slug":"gpt-5""#;
    let json = conversation(
        &[
            node("s", Some("root"), "system", &text(""), hidden),
            node("u", Some("s"), "user", &text("hi"), ""),
            node("a", Some("u"), "assistant", &text("first"), model),
            node("a2", Some("u"), "assistant", &text("again"), model),
            node("u2", Some("s"), "user", &text("edited"), ""),
        ],
        "a2",
    );
    let (sessions, counts) = import(&json);
    let [session] = &sessions[..] else { panic!("{sessions:?}") };
    assert_eq!((session.id.as_str(), session.title.as_deref()), ("c-1", Some("T")));
    assert_eq!(session.created_at.to_string(), "2025-11-12T23:11:24.391Z");
    assert_eq!(session.updated_at.to_string(), "2025-11-12T23:12:51.031Z");
    assert_eq!(session.class, MemoryClass::Durable);
    assert_eq!(branch(session), ["hi", "again"]);
    let parents: Vec<_> = session.entries.iter().map(|it| it.parent).collect();
    assert_eq!(parents.iter().filter(|it| it.is_none()).count(), 2);
    assert_eq!(session.entries.len(), 4);
    let answer = session.entries.iter().find(|it| Some(it.seq) == session.head).unwrap();
    assert_eq!(answer.entry.model.as_deref(), Some("gpt-5"));
    assert_eq!(counts, [("hidden", 1)]);
}

#[test]
fn every_kind_of_content_is_read_or_counted() {
    let image = r#"{"content_type":"image_asset_pointer","asset_pointer":"file-service://x"}"#;
    let audio = r#"{"content_type":"audio_asset_pointer","asset_pointer":"sediment://x"}"#;
    let spoken = r#"{"content_type":"audio_transcription","text":"spoken"}"#;
    let contents = [
        (
            "user",
            format!(
                r#"{{"content_type":"multimodal_text","parts":[{image},"look",{audio},{spoken}]}}"#
            ),
        ),
        ("assistant", r#"{"content_type":"code","language":"python","text":"1+1"}"#.to_owned()),
        ("tool", r#"{"content_type":"execution_output","text":"2"}"#.to_owned()),
        ("user", r#"{"content_type":"user_editable_context","user_profile":"me"}"#.to_owned()),
        (
            "assistant",
            r#"{"content_type":"thoughts","thoughts":[{"summary":"S","content":"C"}]}"#.to_owned(),
        ),
        (
            "assistant",
            r#"{"content_type":"reasoning_recap","content":"Thought for 3s"}"#.to_owned(),
        ),
        ("assistant", text("so")),
        ("tool", r#"{"content_type":"tether_quote","url":"u","title":"t","text":"q"}"#.to_owned()),
        ("assistant", r#"{"content_type":"hologram","shape":7}"#.to_owned()),
        ("critic", text("hm")),
        ("assistant", r#"{"content_type":"text","parts":["cut \ud83d"]}"#.to_owned()),
    ];
    let nodes: Vec<_> = contents
        .iter()
        .enumerate()
        .map(|(index, (role, content))| {
            let parent = index.checked_sub(1).map_or("root".to_owned(), |it| it.to_string());
            let more = if index == 0 { r#""attachments":[{"id":"f"},{"id":"g"}]"# } else { "" };
            node(&index.to_string(), Some(&parent), role, content, more)
        })
        .collect();
    let (sessions, counts) = import(&conversation(&nodes, "10"));
    let expected = ["look\nspoken", "```python\n1+1\n```", "2", "so", "t\nu\nq", "cut \u{FFFD}"];
    assert_eq!(branch(&sessions[0]), expected);
    let so = &sessions[0].entries[3].entry.message;
    assert_eq!((so.role, so.reasoning.as_deref()), (Role::Assistant, Some("S\n\nC")));
    assert_eq!(sessions[0].entries[2].entry.message.role, Role::Tool);
    let all = [
        ("image", 1),
        ("audio", 1),
        ("attachment", 2),
        ("unknown_content", 1),
        ("unknown_role", 1),
        ("hidden", 2),
        ("empty", 1),
        ("surrogate", 1),
    ];
    assert_eq!(counts, all);
}

#[test]
fn what_is_missing_or_of_another_type_is_no_fault() {
    let (sessions, counts) = import(
        r#"[{"mapping":{"a":{"message":{"author":{"role":"user"},"content":{"content_type":"text",
        "parts":["hi\u0000"]},"create_time":"soon","status":"in_progress","weight":"x","metadata":[]}},
        "b":7,"c":{"parent":["a"],"message":{"author":7}}}},
        {"id":"e","mapping":{}},{"id":"f","mapping":[1]}]"#,
    );
    let [session] = &sessions[..] else { panic!("{sessions:?}") };
    assert!(session.id.as_str().starts_with("imported-"), "{session:?}");
    assert_eq!((branch(session), session.head), (vec!["hi\0".to_owned()], Some(Seq(1))));
    assert_eq!(session.entries[0].entry.status, EntryStatus::Interrupted);
    assert_eq!(counts, [("unknown_role", 1), ("empty_session", 2), ("missing_head", 1)]);
}
