//! What becomes of Open WebUI's chats.

use super::super::{ExportedSession, ImportItem, ImportReader, note::Notes};
use crate::{ids::Seq, memory::EntryStatus};

fn import(json: &str) -> (Vec<ExportedSession>, Vec<(&'static str, u64)>) {
    let (mut sessions, mut all) = (Vec::new(), Notes::default());
    for item in ImportReader::new(json.as_bytes(), 1 << 20) {
        let ImportItem::Session(session, notes) = item.unwrap() else { panic!("{json}") };
        session.check_tree().unwrap();
        sessions.push(*session);
        all.merge(&notes);
    }
    (sessions, all.counted().into_iter().map(|it| (it.code, it.count)).collect())
}

const CHAT: &str = r#"[{"id":"7c6f0038","user_id":"u","title":"Greeting","chat":{"id":"",
"title":"Greeting","models":["llama3"],"params":{"system":"Be brief."},"history":{
"currentId":"a2","messages":{
"a1":{"id":"a1","parentId":"u1","childrenIds":[],"role":"assistant","content":"one",
"model":"llama3","timestamp":1787938847,"done":true},
"u1":{"id":"u1","parentId":null,"childrenIds":["a1","a2"],"role":"user","content":"hi",
"timestamp":1787938846,"files":[{"type":"image","url":"data:image/png;base64,AA"},{"type":"file"}]},
"a2":{"id":"a2","parentId":"u1","childrenIds":[],"role":"assistant","model":"qwen",
"content":"<details type=\"reasoning\" done=\"true\" duration=\"3\">\n<summary>Thought for 3 seconds</summary>\n&gt; if a &lt; b\n&gt; then\n</details>\ntwo",
"timestamp":1787938850,"done":false}}},"messages":[],"tags":[],"timestamp":1787938845123},
"updated_at":1787938848,"created_at":1787938845,"archived":false,"pinned":null,"meta":{}}]"#;

#[test]
fn a_chat_becomes_a_session_with_its_branches() {
    let (sessions, counts) = import(CHAT);
    let [session] = &sessions[..] else { panic!("{sessions:?}") };
    assert_eq!((session.id.as_str(), session.title.as_deref()), ("7c6f0038", Some("Greeting")));
    assert_eq!(session.system.as_deref(), Some("Be brief."));
    assert_eq!(session.created_at.to_string(), "2026-08-28T17:40:45.000Z");
    assert_eq!(session.updated_at.to_string(), "2026-08-28T17:40:48.000Z");
    let shape = session.entries.iter().map(|it| {
        let body = &it.entry;
        (it.parent, body.message.joined_text(), body.model.clone(), body.status)
    });
    let whole = EntryStatus::Complete;
    let expected = [
        (None, "hi".to_owned(), None, whole),
        (Some(Seq(1)), "one".to_owned(), Some("llama3".to_owned()), whole),
        (Some(Seq(1)), "two".to_owned(), Some("qwen".to_owned()), EntryStatus::Interrupted),
    ];
    assert_eq!(shape.collect::<Vec<_>>(), expected);
    assert_eq!(session.head, Some(Seq(3)));
    let reasoning = session.entries[2].entry.message.reasoning.as_deref();
    assert_eq!(reasoning, Some("if a < b\nthen"));
    assert_eq!(counts, [("image", 1), ("attachment", 1)]);
}

#[test]
fn an_old_chat_is_a_chain() {
    let (sessions, counts) = import(
        r#"[{"id":"old","title":"","chat":{"messages":[{"role":"user","content":"a"},
        {"role":"assistant","content":""},{"role":"assistant","content":[{"type":"text",
        "text":"b"},{"type":"image_url"}]},{"role":"user","content":"c"}]},"created_at":1787938845}]"#,
    );
    let entries = sessions[0].entries.iter();
    let shape: Vec<_> = entries.map(|it| (it.parent, it.entry.message.joined_text())).collect();
    let expected =
        [(None, "a"), (Some(Seq(1)), "b"), (Some(Seq(2)), "c")].map(|(p, it)| (p, it.to_owned()));
    assert_eq!(shape, expected);
    assert_eq!((sessions[0].head, sessions[0].title.as_deref()), (Some(Seq(3)), None));
    assert_eq!(counts, [("image", 1), ("empty", 1)]);
}

#[test]
fn a_fold_that_does_not_end_stays_text() {
    let text = r#"x <details type=\"reasoning\" y"#;
    let json = format!(
        r#"[{{"id":"f","chat":{{"messages":[{{"role":"assistant","content":"{text}"}}]}}}}]"#
    );
    let message = &import(&json).0[0].entries[0].entry.message;
    assert_eq!((message.joined_text(), &message.reasoning), (text.replace('\\', ""), &None));
}
