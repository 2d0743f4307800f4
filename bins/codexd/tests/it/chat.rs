//! `codexd chat` from a pipe, and the command line around it.

use std::{fs::OpenOptions, os::unix::fs::FileExt as _};

use crate::daemon::{Ended, Home};

#[test]
fn each_line_of_a_pipe_is_a_message_of_one_session() {
    let home = Home::new();
    let ended = home.run_with_input(&["chat", "--session", "s"], "One\n\n/two\n");
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    assert_eq!(ended.out, "So you say: One\nSo you say: /two\n");
    let texts: Vec<_> = home.model.last_messages().into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["One", "So you say: One", "/two"]);
}

#[test]
fn a_new_session_goes_on_without_being_named() {
    let home = Home::new();
    home.run_with_input(&["chat"], "One\nTwo\n");
    assert_eq!(home.model.last_messages().len(), 3);
}

#[test]
fn a_failure_ends_a_script() {
    let home = Home::new();
    let ended = home.run_with_input(&["chat"], "fail\nOne\n");
    assert_eq!((ended.code, ended.out.as_str()), (69, ""));
}

#[test]
fn without_a_command_there_is_help() {
    let home = Home::new();
    let ended = home.run(&[]);
    assert_eq!(ended.code, 0);
    assert!(ended.out.contains("Usage: codexd") && ended.out.contains("Examples:"));
    assert_eq!(home.run(&["nonsense"]).code, 64);
    assert!(home.run(&["completions", "bash"]).out.contains("_codexd"));
    assert!(home.run(&["--version"]).out.starts_with("codexd "));
}

#[test]
fn stored_text_moves_no_terminal() {
    let home = Home::new();
    home.run_with_input(&["chat", "--session", "s"], "gone \u{1b}[2J\u{1b}]0;title\u{7}\n");
    for arguments in
        [&["sessions"][..], &["sessions", "show", "s"], &["sessions", "search", "gone"]]
    {
        let ended = home.run(arguments);
        assert!(ended.out.contains("gone"), "{arguments:?}: {}", ended.out);
        assert!(!ended.out.contains(['\u{1b}', '\u{7}']), "{arguments:?}: {:?}", ended.out);
    }
}

#[test]
fn what_is_missing_or_wrong_is_said_in_words_of_the_command_line() {
    let home = Home::new();
    let ended = home.run(&["sessions", "show", "nope"]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.ends_with(" [session_not_found]\n"), "{}", ended.err);
    assert!(ended.err.contains("`codexd sessions`") && !ended.err.contains("GET"), "{}", ended.err);
    let ended = home.run(&["models", "pull", "--url", "http://127.0.0.1:1", "a.gguf"]);
    assert_eq!(ended.code, 64);
    assert!(ended.err.contains("--url"), "{}", ended.err);
    let ended = Ended::of(
        &home
            .codexd(&["models"])
            .env_remove("OPENAI_BASE_URL")
            .env_remove("MODEL")
            .output()
            .unwrap(),
    );
    assert_eq!((ended.code, ended.out.as_str()), (0, "local  ok           models: 0\n"));
    assert!(ended.err.contains("scripts/get-model"), "{}", ended.err);
}

#[test]
fn ids_break_no_line_and_turn_none_around() {
    let home = Home::new();
    home.run(&["ask", "--session", "a\nb \u{202e}cba", "Hello"]);
    let list = home.run(&["sessions"]);
    assert_eq!(list.out.lines().count(), 1, "{}", list.out);
    assert!(list.out.starts_with("\"a\\nb \\u{202e}cba\"  "), "{}", list.out);
    let found = home.run(&["sessions", "search", "Hello"]).out;
    assert!(found.starts_with("\"a\\nb ") && !found.contains('\u{202e}'), "{found}");
}

#[test]
fn metadata_that_no_number_holds_is_no_hindrance() {
    let home = Home::new();
    home.run(&["ask", "--session", "s", "Hello"]);
    let database = rusqlite::Connection::open(home.database()).unwrap();
    let sql = "UPDATE sessions SET metadata = '{\"n\":1e400}'";
    assert_eq!(database.execute(sql, []).unwrap(), 1);
    drop(database);
    let list = home.run(&["sessions"]);
    assert!(list.out.starts_with("s  "), "{}", list.err);
    assert_eq!(home.run(&["sessions", "show", "s"]).out.lines().count(), 2);
}

#[test]
fn exit_codes_are_told() {
    let home = Home::new();
    let table = home.run(&["exit-codes"]).out;
    assert!(table.contains("| `address_in_use` | 69 | "), "{table}");
    assert!(home.run(&["help", "exit-codes"]).out.contains("`not_a_database`"));
    let help = home.run(&["--help"]).out;
    assert!(help.contains("Exit codes:\n") && help.contains("\n   69  "), "{help}");
}

#[test]
fn a_damaged_database_is_called_so_once() {
    let home = Home::new();
    home.run(&["sessions"]);
    let file = OpenOptions::new().write(true).open(home.database()).unwrap();
    file.write_all_at(&[0xa5; 4000], 100).unwrap();
    let ended = home.run(&["sessions"]);
    assert_eq!(ended.code, 65);
    assert!(ended.err.ends_with(" [damaged_database]\n"), "{}", ended.err);
    assert_eq!(ended.err.matches("is damaged").count(), 1, "{}", ended.err);
    assert!(!ended.err.contains("malformed"), "{}", ended.err);
}
