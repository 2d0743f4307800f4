//! What is read, what is refused, and where it says so.

use std::io::{self, Read};

use serde_json::json;

use super::super::{Document, ExportedEntry, ExportedSession, ImportItem, LastLine};
use super::{ImportErrorKind, ImportReader};
use crate::{chat::Message, ids::Seq, memory::EntryBody, time::Timestamp};

mod cuts;

const MAX: usize = 4096;

fn session(id: &str, text: &str) -> ExportedSession {
    let time = Timestamp::from_millis(1);
    let entry = EntryBody::complete(Message::user(text), time);
    let entries = vec![ExportedEntry { seq: Seq(1), parent: None, entry }];
    let session = json!({"id": id, "created_at": time, "updated_at": time, "head": 1,
        "entries": entries});
    serde_json::from_value(session).unwrap()
}

/// The ids that come in, those that are refused as `!id code`, and the error.
fn read(bytes: impl Read) -> Vec<String> {
    let items = ImportReader::new(bytes, MAX).map(|item| match item {
        Ok(ImportItem::Session(session, _)) => session.id.to_string(),
        Ok(ImportItem::Nothing(_)) => "nothing".to_owned(),
        Ok(ImportItem::Refused(refused)) => format!("!{} {}", refused.id, refused.code),
        Err(error) => {
            let place = error.place();
            format!("{:?} at {}:{}: {}", error.kind(), place.line, place.column, error.what())
        }
    });
    items.collect()
}

fn document(sessions: Vec<ExportedSession>) -> String {
    serde_json::to_string(&Document::new(sessions)).unwrap()
}

/// The lines before the last one.
fn open_lines(sessions: &[ExportedSession]) -> String {
    let header = r#"{"format":"codexd-memory","v":1}"#.to_owned();
    let sessions = sessions.iter().map(|it| serde_json::to_string(it).unwrap());
    [header].into_iter().chain(sessions).map(|line| line + "\n").collect()
}

fn last_line(sessions: u64) -> String {
    serde_json::to_string(&LastLine::End { sessions }).unwrap() + "\n"
}

fn lines(sessions: &[ExportedSession]) -> String {
    open_lines(sessions) + &last_line(sessions.len() as u64)
}

#[test]
fn documents_and_lines_are_told_apart_by_what_is_in_them() {
    let sessions = vec![session("a", "\u{1F600}\0\"]}"), session("b", "x")];
    let pretty = serde_json::to_string_pretty(&Document::new(sessions.clone())).unwrap();
    let marked = format!("\u{FEFF}{}", document(sessions.clone()));
    for text in [document(sessions.clone()), pretty, lines(&sessions), marked] {
        assert_eq!(read(text.as_bytes()), ["a", "b"]);
    }
    let sorted = r#"{"format":"codexd-memory","sessions":[],"v":1}"#;
    for empty in [document(Vec::new()), lines(&[]), "[]".into(), " [ ] ".into(), sorted.into()] {
        assert_eq!(read(empty.as_bytes()), [""; 0], "{empty}");
    }
}

#[test]
fn what_is_no_export_is_refused_with_its_place() {
    let check = |text: &str, expected: &str| {
        let found = read(text.as_bytes());
        assert!(found.last().unwrap().starts_with(expected), "{text}: {found:?}");
    };
    check("", "Truncated at 1:1: there is nothing");
    check("PK\u{3}\u{4}", "Syntax at 1:1: this is a ZIP");
    check("hello", "Syntax at 1:6");
    check("7", "Format at 1:2: this is no export");
    check("{}", "Format at 1:3: this is no export");
    check("[7]", "Format at 1:2: this is no export");
    check("[{\"a\":1}]", "Format at 1:2: this is no export");
    check(" {\"a\":1}", "Format at 1:2: this is no export");
    check(r#"{"format":"other","v":1}"#, "Format at 1:18: this is no export");
    check(r#"{"format":"codexd-memory","v":2,"new":"#, "Version at 1:31: format version 2");
    check(r#"{"format":"codexd-memory","v":1,"new":0}"#, "Format at 1:33: the document has");
    check(r#"{"format":"codexd-memory","format":0"#, "Format at 1:27: the document has");
    check(r#"{"format":"codexd-memory","v":1,"v":1}"#, "Format at 1:33: the document has");
    check("{\n\n\"format\":", "Truncated at 3:10: it ends in the middle");
    check("{\"format\":\"codexd-memory\"}", "Format at 1:27");
    let good = lines(&[session("a", "x")]);
    let open = open_lines(&[session("a", "x")]);
    check(&format!("{open}{{\"id\":"), "Truncated at 3:7: it ends in the middle");
    check(&format!("{open}{{\"id\":7}}"), "Format at 3:7: invalid type");
    check(&good.replace("\"entry\":{\"v\":1", "\"entry\":{\"v\":9"), "Version at 2:");
    check(&good.replace("\"x\"", "\"\\ud800\""), "Format at 2:");
    check(&good.replace("\"x\"", "\"\0\""), "Syntax at 2:");
    let document = document(vec![session("a", "x")]);
    check(&format!("{document}x"), "Syntax at 1:");
    check(&document.replace("}]}", "},]}"), "Syntax at 1:");
    check(
        &document.replace("\"v\":1,\"sessions\"", "\"v\":1 \"sessions\""),
        "Syntax at 1:33: a comma",
    );
    let deep = format!(r#"[{{"mapping":{}{}}}]"#, "[".repeat(300), "]".repeat(300));
    check(&deep, "Format at 1:");
    for encoded in [
        &b"\xFE\xFF\0["[..],
        b"\xFF\xFE[\0",
        b"[\0{\0",
        b"\0[\0{",
        b"\x1F\x8B\x08\0",
        b"BZh9",
        b"\x28\xB5\x2F\xFD",
    ] {
        assert!(read(encoded)[0].starts_with("Syntax at 1:1: this is"));
    }
}

#[test]
fn a_session_that_is_too_large_is_named_and_the_rest_comes_in() {
    let large = session("large", &"x".repeat(MAX));
    let text = document(vec![session("a", "x"), large.clone(), session("b", "x")]);
    assert_eq!(read(text.as_bytes()), ["a", "!large session_too_large", "b"]);
    let text = lines(&[large, session("b", "x")]);
    assert_eq!(read(text.as_bytes()), ["!large session_too_large", "b"]);
    let foreign = format!(r#"[{{"title":"T","mapping":{{"a":"{}"}}}},{{"x":1}}]"#, "x".repeat(MAX));
    assert_eq!(read(foreign.as_bytes()), ["!T session_too_large", "!session 2 unknown_format"]);
}

#[test]
fn metadata_that_is_too_large_is_refused_before_it_is_read() {
    let plain = document(vec![session("a", "x"), session("b", "x")]);
    let hostile = "\"a\":1,".repeat(1 << 20) + "\"z\":0";
    let refused = |text: &str| {
        let items = ImportReader::new(text.as_bytes(), 64 << 20).map(Result::unwrap);
        let of = |item| match item {
            ImportItem::Refused(it) => format!("{} {} {}", it.id, it.code, it.why),
            ImportItem::Session(it, _) => it.id.to_string(),
            ImportItem::Nothing(_) => "nothing".to_owned(),
        };
        items.map(of).collect::<Vec<_>>()
    };
    let large = plain.replacen("\"head\"", &format!("\"metadata\":{{{hostile}}},\"head\""), 1);
    let bytes = hostile.len() + 2;
    let why = format!("`metadata` has {bytes} bytes, and may have 1048576");
    assert_eq!(refused(&large), [format!("a metadata_too_large {why}"), "b".to_owned()]);
    let extra = format!("\"role\":\"user\",\"extra\":{{{hostile}}}");
    let large = plain.replacen("\"role\":\"user\"", &extra, 1);
    let why = format!("`extra` of entry 1 has {bytes} bytes, and may have 4194304");
    assert_eq!(refused(&large), [format!("a extra_too_large {why}"), "b".to_owned()]);
}

#[test]
fn the_last_line_tells_whether_all_is_there() {
    let sessions = [session("a", "x"), session("b", "x")];
    let open = open_lines(&sessions);
    let check = |last: &str, expected: &str| {
        assert_eq!(read(format!("{open}{last}").as_bytes()), ["a", "b", expected], "{last}");
    };
    check("", "Truncated at 4:1: the export is truncated: its last line is missing");
    check("\n \n", "Truncated at 6:1: the export is truncated: its last line is missing");
    let three = last_line(3);
    check(&three, "Truncated at 4:1: the export is truncated: its last line tells of 3 sessions");
    check(&last_line(1), "Format at 4:1: its last line tells of 1 sessions, and 2 stand before it");
    let twice = last_line(2).repeat(2);
    check(&twice, "Syntax at 5:1: something follows where the export has ended");
    check(
        "{ \"end\": 2}",
        "Format at 4:10: invalid type: integer `2`, expected struct variant LastLine::End",
    );
    let error = ImportReader::new(open.as_bytes(), MAX).find_map(Result::err).unwrap();
    assert_eq!((error.kind(), error.sessions()), (ImportErrorKind::Truncated, 2));
    assert!(error.to_string().ends_with("its last line is missing (2 whole sessions before it)"));
    let spaced = open + &last_line(2).replace("{\"end\"", "{ \"end\"") + "\n\n";
    assert_eq!(read(spaced.as_bytes()), ["a", "b"]);
}

#[test]
fn what_is_no_tree_is_named_to_the_entry() {
    let said = |seq, parent: Option<u64>| ExportedEntry {
        seq: Seq(seq),
        parent: parent.map(Seq),
        ..session("a", "x").entries.remove(0)
    };
    let entries = vec![said(1, None), said(2, Some(1)), said(4, Some(2))];
    let good = ExportedSession { entries, ..session("a", "x") };
    let check = |bad: &ExportedSession, seq: u64, expected: &str| {
        let sessions = vec![session("before", "x"), bad.clone()];
        let pretty = serde_json::to_string_pretty(&Document::new(sessions.clone())).unwrap();
        for text in [lines(&sessions), pretty, document(sessions)] {
            let reader = ImportReader::new(text.as_bytes(), MAX);
            let error = reader.filter_map(Result::err).next().unwrap();
            assert_eq!(error.what(), format!("session `a`: {expected}"));
            assert_eq!((error.kind(), error.sessions()), (ImportErrorKind::Format, 1));
            let (session, fault) = error.tree_error().unwrap();
            assert_eq!((session.as_str(), fault.seq()), ("a", Seq(seq)));
            let (before, at) = text.split_at(usize::try_from(error.place().byte).unwrap());
            let at: String = at.split_whitespace().collect();
            let of_entry = expected.starts_with("entry") || expected.starts_with("position");
            let begin = if of_entry { &format!("{{\"seq\":{seq},") } else { r#"{"id":"a","# };
            assert!(at.starts_with(begin), "{begin} {at}");
            assert_eq!(error.place().line, before.matches('\n').count() as u64 + 1);
        }
    };
    let with = |change: fn(&mut ExportedSession)| {
        let mut bad = good.clone();
        change(&mut bad);
        bad
    };
    let max = 9_007_199_254_740_991_u64;
    check(
        &with(|it| it.entries[1].seq = Seq(1)),
        1,
        &format!("position 1 comes after 1; positions rise from 1 to {max}"),
    );
    check(
        &with(|it| it.entries[2].parent = Some(Seq(3))),
        4,
        "entry 4 follows entry 3, which does not stand before it",
    );
    check(&with(|it| it.head = Some(Seq(9))), 9, "the head is entry 9, which is not there");
}

#[test]
fn the_only_conversation_of_another_program_may_stand_alone() {
    let chat = |id: &str| {
        format!(r#"{{"id":"{id}","chat":{{"messages":[{{"role":"user","content":"hi"}}]}}}}"#)
    };
    assert_eq!(read(chat("w").as_bytes()), ["w"]);
    assert_eq!(read(format!(" \n{}\n", chat("w")).as_bytes()), ["w"]);
    let tree = r#"{"title":"T","mapping":{"a":{"message":{"author":{"role":"user"},
        "content":{"content_type":"text","parts":["hi"]}}}},"conversation_id":"g"}"#;
    assert_eq!(read(tree.as_bytes()), ["g"]);
    let inner = r#"{"history":{"messages":{}},"title":"empty"}"#;
    assert_eq!(read(inner.as_bytes()), ["nothing"]);
    let large = chat(&"x".repeat(MAX));
    assert_eq!(read(large.as_bytes()), ["!session 1 session_too_large"]);
    let check = |text: &str, expected: &str| {
        let found = read(text.as_bytes());
        assert!(found.last().unwrap().starts_with(expected), "{text}: {found:?}");
    };
    check(&format!("{}{}", chat("w"), chat("x")), "Syntax at 1:64: something follows");
    check("\n  {\"chat\":\n tru}", "Syntax at 3:5: expected ident");
    check("{\"chat\":tru}", "Syntax at 1:12: expected ident");
    check("{\"chat\"", "Truncated at 1:8");
}

#[test]
fn a_conversation_of_too_many_messages_is_named() {
    let read = |text: &str| {
        let items = ImportReader::new(text.as_bytes(), 16 << 20).map(|item| match item.unwrap() {
            ImportItem::Session(session, _) => session.id.to_string(),
            ImportItem::Nothing(_) => "nothing".to_owned(),
            ImportItem::Refused(it) => format!("!{} {} {}", it.id, it.code, it.why),
        });
        items.collect::<Vec<_>>()
    };
    let (nodes, items) = ("\"\":0,".repeat(200_000), "0,".repeat(200_000));
    let why = "too_many_messages the session has more than 200000 messages";
    let text = format!(
        r#"[{{"id":"a","mapping":{{{nodes}"":0}}}},{{"id":"b","chat":{{"history":{{"messages":{{{nodes}"":0}}}}}}}},
        {{"id":"c","messages":[{items}0]}},{{"id":"d","mapping":{{{nodes}}}}},{{"id":"e","mapping":{{}}}}]"#
    )
    .replace(",}", "}");
    let refused = ["a", "b", "c"].map(|id| format!("!{id} {why}"));
    let all = [&refused[..], &["nothing".to_owned(), "nothing".to_owned()]].concat();
    assert_eq!(read(&text), all);
}

/// A document of endless length, of which nothing may be kept.
struct Endless {
    begin: &'static [u8],
    left: usize,
    byte: u8,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.begin.is_empty() {
            return self.begin.read(buffer);
        }
        let count = buffer.len().min(self.left);
        buffer[..count].fill(self.byte);
        self.left -= count;
        Ok(count)
    }
}

#[test]
fn what_has_no_end_is_not_kept() {
    let endless = |begin, byte| Endless { begin, left: 16 << 20, byte };
    let header = b"{\"format\":\"codexd-memory\",\"v\":1}\n{\"id\":\"";
    let name = b"{\"format\":\"codexd-memory\",\"v\":1}\n{\"id\":\"a\",\"title\":\"";
    for (begin, byte) in
        [(&header[..], b'x'), (name, b'x'), (b"[[", b' '), (b"[\"", b'\\'), (b"{\"", b'a')]
    {
        let mut reader = ImportReader::new(endless(begin, byte), MAX);
        let error = reader.find_map(Result::err).unwrap();
        assert_eq!(error.kind(), ImportErrorKind::Truncated);
        assert!(reader.text.capacity() <= 2 * MAX, "{}", reader.text.capacity());
        assert!(reader.next().is_none());
    }
}

#[test]
fn a_reader_that_fails_is_an_error_of_its_own() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("gone"))
        }
    }
    let error = ImportReader::new(b"[{\"a\"".chain(Broken), MAX).next().unwrap().unwrap_err();
    assert_eq!(error.kind(), ImportErrorKind::Io);
    assert!(std::error::Error::source(&error).is_some());
}
