//! `codexd export`, `codexd import` and what `codexd sessions` tells, with a daemon and without.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    path::Path,
    process::Stdio,
    thread,
};

use rusqlite::Connection;
use serde_json::json;

use crate::daemon::{Ended, Home};

/// A data folder with two conversations.
fn filled() -> Home {
    let home = Home::new();
    assert_eq!(home.run(&["ask", "--session", "a", "Trains to Lisbon?"]).code, 0);
    assert_eq!(home.run(&["ask", "--session", "b", "Hello"]).code, 0);
    home
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn what_is_exported_imports_and_exports_again_to_the_byte() {
    let from = filled();
    for (format, name) in [("json", "m.json"), ("ndjson", "m.ndjson")] {
        let file = from.path().join(name);
        let name = file.to_str().unwrap();
        let ended = from.run(&["export", "--output", name, "--format", format]);
        assert_eq!((ended.code, ended.out.as_str()), (0, ""), "{}", ended.err);
        assert!(ended.err.contains(" bytes"), "{}", ended.err);
        let to = Home::new();
        let ended = to.run(&["import", name]);
        assert_eq!(ended.code, 0, "{}", ended.err);
        assert_eq!(ended.out, "       2  new\n");
        assert_eq!(to.run(&["import", name]).out, "       0  new\n       2  there already\n");
        assert_eq!(to.run(&["export", "--format", format]).out, read(&file));
        let daemon = to.serve();
        let ended = to.run(&["export", "--format", format, "--url", &daemon.url]);
        assert_eq!(ended.out, read(&file));
    }
}

#[test]
fn what_was_left_out_is_told_and_is_a_failure() {
    let (from, to) = (filled(), Home::new());
    let file = from.path().join("m.json");
    let name = file.to_str().unwrap();
    assert_eq!(from.run(&["export", "--output", name]).code, 0);
    to.run(&["ask", "--session", "a", "Something else"]);
    let ended = to.run(&["import", name]);
    assert_eq!(ended.code, 1, "{}", ended.err);
    assert!(ended.err.ends_with(" [sessions_refused]\n"), "{}", ended.err);
    assert!(ended.out.starts_with("       1  new\n       1  refused\n"), "{}", ended.out);
    assert!(ended.out.contains("refused   a: the session exists here"), "{}", ended.out);
    let ended = to.run(&["import", "--on-conflict", "rename", name]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.out.contains("renamed   a -> a (imported 2)"), "{}", ended.out);
}

#[test]
fn conversations_of_chatgpt_come_in() {
    let home = Home::new();
    let file = home.path().join("conversations.json");
    let said = |parent: &str, role: &str, parts: serde_json::Value| {
        json!({"parent": parent, "message": {"author": {"role": role}, "content":
            {"content_type": "multimodal_text", "parts": parts}}})
    };
    let image = json!({"content_type": "image_asset_pointer"});
    let mapping = json!({"r": {"message": null}, "q": said("r", "user", json!(["Who?", image])),
        "a": said("q", "assistant", json!(["Nobody."]))});
    let export = json!([{"id": "c", "title": "Who", "current_node": "a", "mapping": mapping}]);
    fs::write(&file, export.to_string()).unwrap();
    let ended = home.run(&["import", file.to_str().unwrap()]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.out.contains("       1  pictures were left out"), "{}", ended.out);
    let shown = home.run(&["sessions", "show", "c"]);
    assert_eq!(shown.out, "user: Who?\nassistant: Nobody.\n");
    let list = home.run(&["sessions"]);
    assert!(list.out.contains("c  ") && list.out.ends_with("  Who\n"), "{}", list.out);
}

#[test]
fn a_file_that_cannot_be_read_changes_nothing() {
    let (from, to) = (filled(), Home::new());
    let whole = from.run(&["export"]).out;
    let file = to.path().join("cut.json");
    fs::write(&file, &whole[..whole.len() - 9]).unwrap();
    let ended = to.run(&["import", file.to_str().unwrap()]);
    assert_eq!(ended.code, 65);
    assert!(ended.err.contains("at line 1, column"), "{}", ended.err);
    let lines = from.run(&["export", "--format", "ndjson"]).out;
    fs::write(&file, lines.lines().take(3).collect::<Vec<_>>().join("\n")).unwrap();
    let ended = to.run(&["import", file.to_str().unwrap()]);
    assert_eq!(ended.code, 65);
    assert!(ended.err.ends_with(" [truncated_import]\n"), "{}", ended.err);
    assert!(ended.err.contains("its last line is missing (2 whole sessions"), "{}", ended.err);
    assert_eq!(to.run(&["sessions"]).out, "");
    let ended = to.run(&["import", "nowhere.json"]);
    assert!(ended.err.contains("cannot read nowhere.json"), "{}", ended.err);
    // Nor does an export that cannot be written leave half of one.
    let ended = from.run(&["export", "--output", "/nowhere/m.json"]);
    assert_eq!(ended.code, 73);
    assert!(ended.err.ends_with(" [cannot_write]\n"), "{}", ended.err);
    assert!(ended.err.contains("cannot write /nowhere/m.json"), "{}", ended.err);
}

#[test]
fn sessions_are_searched_and_erased() {
    let home = filled();
    let _daemon = home.serve();
    let ended = home.run(&["sessions", "search", "--limit", "1", "lisbon"]);
    assert!(ended.out.starts_with("a  ") && ended.out.contains("Lisbon?"), "{}", ended.out);
    assert_eq!(ended.out.lines().count(), 1);
    let ended = home.run(&["sessions", "delete", "--wait", "a"]);
    assert_eq!(ended.out, "erased 2 messages of a\nno copy is left\n", "{}", ended.err);
    assert_eq!(home.run(&["sessions", "search", "Lisbon"]).out, "");
    let ended = home.run(&["sessions", "delete", "a"]);
    assert!(ended.out.starts_with("erased 0 messages of a\n"), "{}", ended.out);
}

#[test]
fn what_is_piped_in_is_imported() {
    let whole = filled().run(&["export"]).out;
    for file in ["-", "/dev/stdin"] {
        let to = Home::new();
        let ended = to.run_with_input(&["import", file], &whole);
        assert_eq!((ended.code, ended.out.as_str()), (0, "       2  new\n"), "{}", ended.err);
        assert_eq!(to.run(&["export"]).out, whole);
    }
}

#[test]
fn what_is_too_large_or_no_file_is_told_as_such() {
    let home = Home::new();
    let file = home.path().join("large.json");
    File::create(&file).unwrap().set_len(64 << 20).unwrap();
    let mut import = home.codexd(&["import", "large.json"]);
    let ended = Ended::of(&import.env("MAX_IMPORT_BYTES", "1MiB").output().unwrap());
    assert_eq!(ended.code, 65);
    assert!(ended.err.contains("MAX_IMPORT_BYTES") && ended.err.contains("body_too_large"));
    assert!(!ended.err.contains("codexd serve"), "{}", ended.err);
    let ended = home.run(&["import", "."]);
    assert_eq!(ended.err, "codexd: cannot read .: Is a directory (os error 21) [cannot_read]\n");
}

#[test]
fn an_export_that_breaks_off_is_no_fault_of_the_disk_and_leaves_nothing() {
    const DAEMON: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 17\r\n\r\n\
                          {\"name\":\"codexd\"}";
    const BROKEN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{";
    let home = Home::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        // Each command looks first whether a daemon is there.
        for answer in [DAEMON, BROKEN, DAEMON, BROKEN] {
            let mut stream = listener.accept().unwrap().0;
            let lines = BufReader::new(&stream).lines().map(Result::unwrap);
            assert_ne!(lines.take_while(|it| !it.is_empty()).count(), 0);
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let ended = home.run(&["export", "--url", &url, "--output", "m.json"]);
    assert_eq!((ended.code, ended.out.as_str()), (75, ""));
    assert!(ended.err.starts_with("codexd: the export broke off"), "{}", ended.err);
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    let ended = home.run(&["export", "--url", &url]);
    assert_eq!((ended.code, ended.out.as_str()), (75, "{"));
    assert!(ended.err.starts_with("codexd: the export broke off"), "{}", ended.err);
    server.join().unwrap();
}

#[test]
fn an_export_replaces_neither_a_link_nor_a_device() {
    let home = filled();
    let whole = home.run(&["export"]).out;
    assert_eq!(home.run(&["export", "--output", "/dev/fd/1"]).out, whole);
    let (file, link) = (home.path().join("m.json"), home.path().join("link.json"));
    std::os::unix::fs::symlink(&file, &link).unwrap();
    fs::write(&file, "old").unwrap();
    assert_eq!(home.run(&["export", "--output", "link.json"]).code, 0);
    assert!(link.is_symlink() && read(&file) == whole);
}

#[test]
fn a_session_made_anew_while_copies_are_erased_stays() {
    let home = filled();
    let daemon = home.serve();
    // Who reads an older state keeps its bytes from being erased.
    let reader = Connection::open(home.database()).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM sessions;").unwrap();
    let mut delete = home.codexd(&["sessions", "delete", "--wait", "a"]);
    let mut child = delete.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut out, mut line) = (BufReader::new(child.stdout.take().unwrap()), String::new());
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "erased 2 messages of a\n");
    daemon.chat("a", "Anew").until("turn.completed");
    drop(reader);
    out.read_to_string(&mut line).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(line, "erased 2 messages of a\nno copy is left\n");
    let texts: Vec<_> = daemon.messages("a").into_iter().map(|it| it.2).collect();
    assert_eq!(texts, ["Anew", "So you say: Anew"]);
}
