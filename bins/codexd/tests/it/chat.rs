//! `codexd chat` from a pipe, and the command line around it.

use crate::daemon::Home;

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
    assert_eq!((ended.code, ended.out.as_str()), (1, ""));
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
