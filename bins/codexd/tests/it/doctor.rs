//! `codexd doctor`: what it finds, and its exit code.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    process::Command,
    thread,
};

use brain_testkit::redis::Settings;

use crate::daemon::{Daemon, Ended, Home};

fn ended(command: &mut Command) -> Ended {
    Ended::of(&command.env("PORT", "0").output().unwrap())
}

/// Something that speaks HTTP to everybody.
fn web_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // Whoever left does not want to know.
            drop(stream.read(&mut [0; 1024]));
            drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
            open.push(stream);
        }
    });
    address
}

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
    assert!(model["detail"].as_str().unwrap().contains(".gguf is not there"), "{health}");
    // What is there and is no model is not called missing.
    fs::create_dir(home.path().join("models")).unwrap();
    fs::write(home.path().join("models/SmolLM2-135M-Instruct.Q4_1.gguf"), "").unwrap();
    let health = daemon.get("/health/ready");
    let detail = health["checks"].as_array().unwrap().iter().find(|it| it["name"] == "model");
    let detail = detail.unwrap()["detail"].as_str().unwrap();
    assert!(detail.contains("is no GGUF file") && detail.contains("get-model"), "{detail}");
}

#[test]
fn a_redis_that_refuses_is_told_from_one_that_is_away() {
    let home = Home::new();
    let redis = Settings::new().password("right-one").start();
    let port = redis.port();
    let doctor = |url: &str| ended(home.codexd(&["doctor"]).env("REDIS_URL", url));
    let right = doctor(&redis.url());
    assert_eq!(right.code, 0, "{}", right.out);
    assert!(right.out.contains("ok    redis"), "{}", right.out);
    for url in [format!("redis://:hunter2@127.0.0.1:{port}"), format!("redis://127.0.0.1:{port}")] {
        let wrong = doctor(&url);
        assert_eq!(wrong.code, 1, "{}", wrong.out);
        assert!(wrong.out.contains("BAD   redis"), "{}", wrong.out);
        assert!(wrong.out.contains("does not heal by itself: change REDIS_URL"), "{}", wrong.out);
        assert!(!(wrong.out.contains("hunter2") || wrong.err.contains("hunter2")));
    }
    let web = doctor(&format!("redis://{}", web_server()));
    assert!(web.out.contains("what answers there is no Redis"), "{}", web.out);
    redis.stop();
    let away = doctor(&redis.url());
    assert_eq!(away.code, 0, "{}", away.out);
    assert!(away.out.contains("note  redis"), "{}", away.out);
    assert!(away.out.contains("it heals by itself once Redis answers"), "{}", away.out);
    let mut alone = home.codexd(&["doctor"]);
    let alone = ended(alone.env("REDIS_URL", redis.url()).env("SQLITE_DB_PATH", ""));
    assert_eq!(alone.code, 1, "{}", alone.out);
    assert!(alone.out.contains("BAD   redis"), "{}", alone.out);
}

#[test]
fn models_that_settings_name_are_looked_for() {
    let home = Home::new();
    let mut doctor = home.codexd(&["doctor"]);
    let models = [("SUMMARY_MODEL", "openai/fake"), ("EMBEDDING_MODEL", "openai/missing")];
    let found = ended(doctor.envs(models));
    assert_eq!(found.code, 0, "{}", found.out);
    for row in ["ok    model     openai/fake", "ok    summary   openai/fake"] {
        assert!(found.out.contains(row), "{}", found.out);
    }
    assert!(found.out.contains("note  meaning   openai/missing"), "{}", found.out);
    assert!(found.out.contains("EMBEDDING_MODEL chooses"), "{}", found.out);
}

#[test]
fn a_damaged_model_is_found_by_asking_it() {
    let home = Home::new();
    let model = home.path().join("damaged.gguf");
    fs::write(&model, [b"GGUF".as_slice(), &[7; 4096]].concat()).unwrap();
    let mut doctor = home.codexd(&["doctor"]);
    doctor.env("MODEL", "damaged");
    let found = ended(doctor.env("MODEL_PROVIDER", "local").env("LOCAL_MODEL_PATH", &model));
    assert_eq!(found.code, 1, "{}", found.out);
    assert!(found.out.contains("BAD   local     the model file"), "{}", found.out);
    assert!(found.out.contains("damaged.gguf is damaged"), "{}", found.out);
    assert!(found.out.contains("BAD   model     local/damaged"), "{}", found.out);
}
