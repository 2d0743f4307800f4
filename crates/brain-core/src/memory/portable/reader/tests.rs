//! What is read, what is refused, and where it says so.

use std::io::{self, Read};

use super::super::{Document, ExportedEntry, ExportedSession, ImportItem};
use super::{ImportErrorKind, ImportReader};
use crate::{
    chat::Message,
    ids::{Seq, SessionId},
    memory::{EntryBody, MemoryClass},
    time::Timestamp,
};

const MAX: usize = 4096;

fn session(id: &str, text: &str) -> ExportedSession {
    let entry = EntryBody::complete(Message::user(text), Timestamp::from_millis(1));
    ExportedSession {
        id: SessionId::new(id).unwrap(),
        title: None,
        metadata: None,
        system: None,
        recall: false,
        class: MemoryClass::Durable,
        created_at: Timestamp::from_millis(1),
        updated_at: Timestamp::from_millis(1),
        head: Some(Seq(1)),
        summaries: Vec::new(),
        entries: vec![ExportedEntry { seq: Seq(1), parent: None, entry }],
    }
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

fn lines(sessions: &[ExportedSession]) -> String {
    let header = r#"{"format":"codexd-memory","v":1}"#.to_owned();
    let sessions = sessions.iter().map(|it| serde_json::to_string(it).unwrap());
    [header].into_iter().chain(sessions).map(|line| line + "\n").collect()
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
    check("", "Syntax at 1:1: there is nothing");
    check("PK\u{3}\u{4}", "Syntax at 1:1: this is a ZIP");
    check("hello", "Syntax at 1:6");
    check("7", "Format at 1:2: this is no export");
    check("{}", "Format at 1:3: this is no export");
    check("[7]", "Format at 1:2: this is no export");
    check("[{\"a\":1}]", "Format at 1:2: this is no export");
    check(r#"{"format":"other","v":1}"#, "Format at 1:18: this is no export");
    check(r#"{"format":"codexd-memory","v":2,"new":"#, "Version at 1:31: format version 2");
    check(r#"{"format":"codexd-memory","v":1,"new":0}"#, "Format at 1:33: the document has");
    check("{\n\n\"format\":", "Syntax at 3:10: it ends in the middle");
    check("{\"format\":\"codexd-memory\"}", "Format at 1:27");
    let good = lines(&[session("a", "x")]);
    check(&format!("{good}{{\"id\":"), "Syntax at 3:7: it ends in the middle");
    check(&format!("{good}{{\"id\":7}}"), "Format at 3:7: invalid type");
    check(&good.replace("\"entry\":{\"v\":1", "\"entry\":{\"v\":9"), "Version at 2:");
    check(&good.replace("\"head\":1", "\"head\":9"), "Format at 2:1: session `a`: the session has");
    check(&good.replace("\"seq\":1", "\"seq\":1,\"parent\":1"), "Format at 2:1: session `a`");
    check(&good.replace("\"x\"", "\"\\ud800\""), "Format at 2:");
    check(&good.replace("\"x\"", "\"\0\""), "Syntax at 2:");
    let document = document(vec![session("a", "x")]);
    check(&document[..document.len() - 1], "Syntax at 1:");
    check(&format!("{document}x"), "Syntax at 1:");
    check(&document.replace("}]}", "},]}"), "Syntax at 1:");
    check(
        &document.replace("\"v\":1,\"sessions\"", "\"v\":1 \"sessions\""),
        "Syntax at 1:33: a comma",
    );
    let deep = format!(r#"[{{"mapping":{}{}}}]"#, "[".repeat(300), "]".repeat(300));
    check(&deep, "Format at 1:");
    for encoded in [&b"\xFE\xFF\0["[..], b"\xFF\xFE[\0", b"\x1F\x8B\x08\0"] {
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
fn every_end_of_a_file_is_an_error_or_the_end() {
    let whole = document(vec![session("a", "x"), session("b", "\\\"y")]);
    for end in 0..whole.len() {
        let found = read(&whole.as_bytes()[..end]);
        assert!(found.last().unwrap().starts_with("Syntax"), "{end}: {found:?}");
    }
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
        assert_eq!(error.kind(), ImportErrorKind::Syntax);
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
