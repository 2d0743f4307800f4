//! `codexd doctor`: what it finds, and its exit code.

use std::fs;

use crate::daemon::{Daemon, Home};

#[test]
fn all_is_well_with_a_provider_and_a_database() {
    let home = Home::new();
    home.run(&["ask", "Hello"]);
    let ended = home.codexd(&["doctor"]).env("PORT", "0").output().unwrap();
    let text = String::from_utf8(ended.stdout).unwrap();
    assert_eq!(ended.status.code(), Some(0), "{text}");
    assert!(text.contains("sessions: 1"), "{text}");
    assert!(text.contains("openai    fake (the default)"), "{text}");
    // A provider that nobody chose may lack its model.
    assert!(text.contains("note  local"), "{text}");
}

#[test]
fn what_is_broken_is_named_with_what_to_do() {
    let home = Home::new();
    fs::write(home.database(), "Dear diary,\n").unwrap();
    let mut command = home.codexd(&["doctor"]);
    let ended = command.env("PORT", "0").env("MODEL_PROVIDER", "local").output().unwrap();
    let text = String::from_utf8(ended.stdout).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{text}");
    assert!(text.contains("BAD   memory"), "{text}");
    assert!(text.contains("BAD   local"), "{text}");
    assert!(text.contains("scripts/get-model"), "{text}");
}

#[test]
fn a_running_daemon_is_asked() {
    let home = Home::new();
    let daemon = home.serve();
    let ended = home.run(&["doctor"]);
    assert_eq!(ended.code, 0, "{}", ended.out);
    assert!(ended.out.contains(&format!("(pid {}): ok; sqlite", daemon.pid())), "{}", ended.out);
    assert!(ended.out.contains("openai    fake (the default)"), "{}", ended.out);
    daemon.stop();
    let mut command = home.codexd(&["serve", "--port", "0"]);
    command.env("MODEL_PROVIDER", "local");
    let daemon = Daemon::start(command);
    let health = daemon.get("/health/ready");
    assert_eq!(health["status"], "degraded");
    let checks = health["checks"].as_array().unwrap();
    let model = checks.iter().find(|it| it["name"] == "model").unwrap();
    assert_eq!(model["status"], "failed", "{health}");
}
