//! `codexd serve`: who may start, and how it ends.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

use crate::{
    daemon::{Daemon, Ended, Home},
    fake::LONG,
};

#[test]
fn a_second_daemon_on_the_folder_leaves_and_names_the_first() {
    let home = Home::new();
    let first = home.serve();
    let second = home.run(&["serve", "--port", "0"]);
    assert_eq!((second.code, second.out.as_str()), (75, ""));
    assert!(second.err.trim_end().ends_with(" [data_folder_in_use]"), "{}", second.err);
    let pid = format!("pid {}", first.pid());
    assert!(second.err.contains(&pid) && second.err.contains(&first.url), "{}", second.err);
    let card = fs::read(home.path().join("daemon.json")).unwrap();
    let card: Value = serde_json::from_slice(&card).unwrap();
    assert_eq!(card["pid"], first.pid());
    // The lock ends with its process, and nobody believes the card without it.
    first.kill();
    assert!(home.path().join("daemon.json").exists());
    assert_eq!(home.serve().stop().0, 0);
}

#[test]
fn a_port_in_use_is_one_sentence() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ended = home.run(&["serve", "--port", &port]);
    assert_eq!(ended.code, 69);
    assert!(ended.err.trim_end().ends_with(" [address_in_use]"), "{}", ended.err);
    let sentence = format!("codexd: port {port} of 127.0.0.1 is in use; set PORT to another one");
    assert!(ended.err.contains(&sentence), "{}", ended.err);
}

#[test]
fn what_is_not_our_database_is_refused_untouched() {
    let home = Home::new();
    fs::write(home.database(), "Dear diary,\n").unwrap();
    for command in [vec!["serve", "--port", "0"], vec!["ask", "Hello"]] {
        let ended = home.run(&command);
        assert_eq!(ended.code, 65);
        assert!(ended.err.contains("memory.db` is not a database"), "{}", ended.err);
        assert!(ended.err.trim_end().ends_with(" [not_a_database]"), "{}", ended.err);
        assert!(ended.err.contains("set SQLITE_DB_PATH"), "{}", ended.err);
    }
    assert_eq!(fs::read_to_string(home.database()).unwrap(), "Dear diary,\n");
    assert!(!home.path().join("memory.db-wal").exists());
}

#[test]
fn sigterm_lets_answers_end() {
    let home = Home::new();
    let mut daemon = home.serve();
    let mut events = daemon.chat("s", "hold");
    events.until("text.delta");
    daemon.signal(Signal::SIGTERM);
    // Whoever comes now is refused: that the daemon drains can be seen.
    while ureq::get(format!("{}/health/live", daemon.url)).call().is_ok() {}
    home.model.release();
    let answer = events.until("turn.completed");
    let text = answer["message"]["content"][0]["text"].as_str().unwrap();
    assert!(text.ends_with("So you say: hold"));
    assert_eq!(daemon.wait().0, 0);
    assert_eq!(home.serve().messages("s")[1].1, "complete");
}

#[test]
fn what_does_not_end_in_time_is_stopped_and_kept() {
    let home = Home::new();
    let mut command = home.codexd(&["serve", "--port", "0"]);
    let mut daemon = Daemon::start({
        command.env("DRAIN_SECONDS", "0");
        command
    });
    daemon.chat("s", "hang").until("text.delta");
    daemon.signal(Signal::SIGTERM);
    let (code, log) = daemon.wait();
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("stopped turns"), "{log}");
    let answer = &home.serve().messages("s")[1];
    assert_eq!((answer.1.as_str(), answer.2.len()), ("interrupted", LONG));
}

#[test]
fn a_second_signal_stops_at_once() {
    let home = Home::new();
    let mut daemon = home.serve();
    let mut events = daemon.chat("s", "hang");
    events.until("text.delta");
    daemon.signal(Signal::SIGINT);
    while ureq::get(format!("{}/health/live", daemon.url)).call().is_ok() {}
    daemon.signal(Signal::SIGTERM);
    events.until("turn.interrupted");
    assert_eq!(daemon.wait().0, 0);
}

#[test]
fn production_logs_json_and_no_banner() {
    let home = Home::new();
    let mut command = home.codexd(&["serve", "--port", "0"]);
    command.env("ENV", "production").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let log = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut messages = log.map(|line| {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        line["message"].as_str().unwrap().to_owned()
    });
    assert!(messages.any(|it| it == "ready"));
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(messages.last().unwrap(), "stopped");
    let ended = Ended::of(&child.wait_with_output().unwrap());
    assert_eq!((ended.code, ended.out.as_str()), (0, ""));
}

#[test]
fn the_model_in_the_process_answers() {
    let home = Home::new();
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/models");
    let models = env::var_os("CODEXD_TEST_MODELS").map_or(checkout, PathBuf::from);
    if !models.join("SmolLM2-135M-Instruct.Q4_1.gguf").exists() {
        assert!(env::var_os("CODEXD_REQUIRE_BACKENDS").is_none(), "run scripts/get-model");
        return;
    }
    symlink(models, home.path().join("models")).unwrap();
    let mut command = home.codexd(&["serve", "--port", "0"]);
    let daemon = Daemon::start({
        command.env("MODEL_PROVIDER", "local").env("MODEL", "");
        command
    });
    assert_eq!(daemon.get("/health/ready")["status"], "ok");
    let request = json!({"message": "What is the capital of France? Answer with the name of the city only.",
        "options": {"max_tokens": 16, "temperature": 0}});
    let answer = daemon.post("/chat", &request);
    let text = answer["message"]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("Paris"), "{answer}");
}

#[test]
fn a_database_belongs_to_one_daemon_whatever_its_folder() {
    use std::os::unix::fs::PermissionsExt as _;

    let (home, other) = (Home::new(), Home::new());
    let daemon = home.serve();
    let mut second = other.codexd(&["serve", "--port", "0"]);
    let ended = Ended::of(&second.env("SQLITE_DB_PATH", home.database()).output().unwrap());
    assert_eq!(ended.code, 75, "{}", ended.err);
    assert!(ended.err.contains("memory.db is in use"), "{}", ended.err);
    assert!(ended.err.contains(&format!("kill {}", daemon.pid())), "{}", ended.err);
    // A command speaks to the one that has it.
    let mut ask = other.codexd(&["ask", "--session", "s", "Hello"]);
    assert!(ask.env("SQLITE_DB_PATH", home.database()).output().unwrap().status.success());
    assert_eq!(daemon.messages("s").len(), 2);
    for file in ["memory.db", "memory.db.lock", "daemon.lock", "daemon.json"] {
        let mode = fs::metadata(home.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file}");
    }
}
