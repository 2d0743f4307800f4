//! Two daemons on the same memory: at once on one Redis, with databases of their own behind it too,
//! and one after the other on one database, which belongs to one daemon at a time.

use std::{fs, thread};

use brain_testkit::redis::Server;
use serde_json::{Value, json};
use ureq::Agent;

use super::rig::{messages, say, serve};
use crate::daemon::{Daemon, Ended, Home};

/// Writers of a daemon.
const WRITERS: usize = 4;
/// What each says; the model is shown all that all of them said.
const EACH: usize = 4;
/// What is said in turn before that.
const IN_TURN: usize = 4;

/// A message that tells who said it.
fn message(daemon: usize, writer: usize, number: usize) -> String {
    format!("{daemon} {writer} {number}")
}

/// Checks that every message is there once and answered, in the order in which its writer said it,
/// and that whoever answered it was shown all before it; returns how many there are.
fn check(daemon: &Daemon, homes: &[Home; 2]) -> usize {
    let stored = messages(daemon, "s");
    let history: Vec<(String, String)> = stored
        .into_iter()
        .map(|(role, status, text)| {
            assert_eq!(status, "complete", "{text}");
            (role, text)
        })
        .collect();
    let mut said: Vec<&str> = Vec::new();
    for (at, round) in history.chunks(2).enumerate() {
        let [(user, text), (assistant, answer)] = round else { panic!("{round:?}") };
        assert_eq!((&**user, &**assistant), ("user", "assistant"));
        assert_eq!(*answer, format!("So you say: {text}"));
        let home = &homes[usize::from(!text.starts_with('0'))];
        let shown = home.model.messages_before(text);
        assert_eq!(shown, history[..2 * at], "an old history was shown before {text}");
        said.push(text);
    }
    for writer in said.iter().filter_map(|it| it.rsplit_once(' ').map(|it| it.0)) {
        let own = said.iter().filter_map(|it| it.strip_prefix(writer)?.strip_prefix(' '));
        let numbers: Vec<usize> = own.map(|it| it.parse().unwrap()).collect();
        assert_eq!(numbers, (0..numbers.len()).collect::<Vec<_>>(), "what {writer} said");
    }
    said.len()
}

#[test]
fn daemons_on_one_redis_lose_and_double_nothing() {
    let redis = Server::start();
    let homes = [Home::new(), Home::new()];
    let daemons = homes.each_ref().map(|home| {
        let mut command = serve(home, &redis.url());
        command.env("SQLITE_DB_PATH", "");
        Daemon::start(command)
    });
    for number in 0..IN_TURN {
        for (at, daemon) in daemons.iter().enumerate() {
            say(&daemon.url, "s", &message(at, 9, number));
            assert_eq!(daemons.each_ref().map(|it| check(it, &homes)), [2 * number + at + 1; 2]);
        }
    }
    thread::scope(|scope| {
        for (at, daemon) in daemons.iter().enumerate() {
            for writer in 0..WRITERS {
                scope.spawn(move || {
                    (0..EACH).for_each(|it| say(&daemon.url, "s", &message(at, writer, it)));
                });
            }
        }
    });
    let all = 2 * (IN_TURN + WRITERS * EACH);
    assert_eq!(daemons.each_ref().map(|it| check(it, &homes)), [all; 2]);
}

#[test]
fn daemons_that_take_turns_on_one_database_are_shown_nothing_old() {
    let redis = Server::start();
    let homes = [Home::new(), Home::new()];
    let database = homes[0].database();
    let command = |home| {
        let mut command = serve(home, &redis.url());
        command.env("SQLITE_DB_PATH", &database);
        command
    };
    let mut copies = 0; // a slow moment may cost one, hardly all
    for number in 0..IN_TURN {
        for (at, home) in homes.iter().enumerate() {
            let daemon = Daemon::start(command(home));
            // Each finds the copy that the other has left, at the state that it left it.
            for step in 0..3 {
                say(&daemon.url, "s", &message(at, 0, 3 * number + step));
            }
            assert_eq!(check(&daemon, &homes), 6 * number + 3 * (at + 1));
            let second = Ended::of(&command(&homes[1 - at]).output().unwrap());
            assert_eq!(second.code, 75, "{}", second.err);
            if number % 2 == 0 {
                daemon.kill();
            } else {
                assert_eq!(daemon.stop().0, 0);
            }
            copies += redis.ask(&["DBSIZE"]).integer();
        }
    }
    assert_ne!(copies, 0, "no daemon ever left a copy");
    assert!(fs::exists(&database).unwrap() && !fs::exists(homes[1].database()).unwrap());
}

/// Asks a daemon for something; returns the status and the body of the answer.
fn ask(daemon: &Daemon, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let agent = Agent::config_builder().http_status_as_error(false).build().new_agent();
    let request =
        ureq::http::Request::builder().method(method).uri(format!("{}{path}", daemon.url));
    let request = request.header("content-type", "application/json");
    let body = if *body == Value::Null { String::new() } else { body.to_string() };
    let mut response = agent.run(request.body(body).unwrap()).unwrap();
    (response.status().as_u16(), response.body_mut().read_json().unwrap())
}

/// What a daemon lists, by name.
fn listed(daemon: &Daemon) -> Vec<String> {
    let page = daemon.get("/memory/sessions");
    let sessions = page["sessions"].as_array().unwrap().iter();
    let mut ids: Vec<String> = sessions.map(|it| it["id"].as_str().unwrap().to_owned()).collect();
    ids.sort_unstable();
    ids
}

fn make_ephemeral(daemon: &Daemon, id: &str) {
    let made = ask(daemon, "POST", "/memory/sessions", &json!({"id": id, "memory": "ephemeral"}));
    assert_eq!(made.0, 201, "{}", made.1);
}

/// What was said in a session.
fn said(daemon: &Daemon, id: &str) -> Vec<String> {
    let texts = messages(daemon, id).into_iter().filter(|it| it.0 == "user");
    texts.map(|it| it.2).collect()
}

#[test]
fn daemons_with_databases_of_their_own_share_nothing_of_one_redis() {
    let redis = Server::start();
    let homes = [Home::new(), Home::new()];
    let [a, b] = homes.each_ref().map(|it| Daemon::start(serve(it, &redis.url())));
    for (daemon, own) in [(&a, "a"), (&b, "b")] {
        make_ephemeral(daemon, "both");
        make_ephemeral(daemon, own);
        for id in ["both", own, "durable"] {
            say(&daemon.url, id, &format!("{own} in {id}"));
        }
    }
    assert_eq!(listed(&a), ["a", "both", "durable"]);
    assert_eq!(listed(&b), ["b", "both", "durable"]);
    assert_eq!(
        (said(&a, "both"), said(&b, "both")),
        (vec!["a in both".into()], vec!["b in both".into()])
    );

    // A turn of A goes on while B starts again, finds what is its own, and ends what it left.
    let mut turn = a.chat("a", "hold");
    turn.until("text.delta");
    b.kill();
    let b = Daemon::start(serve(&homes[1], &redis.url()));
    assert_eq!(
        (listed(&b), said(&b, "b")),
        (vec!["b".into(), "both".into(), "durable".into()], vec!["b in b".into()])
    );

    let (status, forgotten) = ask(&b, "DELETE", "/memory", &Value::Null);
    assert_eq!(
        (status, &forgotten["sessions"], &forgotten["pending"]),
        (200, &json!(3), &json!(0))
    );
    assert_eq!(listed(&b), [""; 0]);
    homes[0].model.release();
    turn.until("turn.completed");
    assert_eq!(listed(&a), ["a", "both", "durable"]);
    assert_eq!(said(&a, "a"), ["a in a", "hold"]);
    assert_eq!(
        (said(&a, "both"), said(&a, "durable")),
        (vec!["a in both".into()], vec!["a in durable".into()])
    );
}

#[test]
fn what_a_redis_alone_kept_goes_to_the_first_database() {
    let redis = Server::start();
    let homes = [Home::new(), Home::new()];
    let mut command = serve(&homes[0], &redis.url());
    command.env("SQLITE_DB_PATH", "");
    let alone = Daemon::start(command);
    make_ephemeral(&alone, "brief");
    for id in ["brief", "kept", "other"] {
        say(&alone.url, id, id);
    }
    assert_eq!(alone.stop().0, 0);
    let [a, b] = homes.each_ref().map(|it| Daemon::start(serve(it, &redis.url())));
    // Both look at once, and each session is moved once.
    let both = thread::scope(|scope| {
        [&a, &b].map(|it| scope.spawn(|| listed(it))).map(|it| it.join().unwrap())
    });
    let mut all = both.concat();
    all.sort_unstable();
    assert_eq!(all, ["brief", "kept", "other"], "{both:?}");
    for (daemon, own) in [&a, &b].into_iter().zip(&both) {
        for id in own {
            assert_eq!(said(daemon, id), std::slice::from_ref(id));
            say(&daemon.url, id, "more");
            assert_eq!(said(daemon, id), [id.clone(), "more".to_owned()]);
        }
        let (status, forgotten) = ask(daemon, "DELETE", "/memory", &Value::Null);
        assert_eq!((status, &forgotten["sessions"]), (200, &json!(own.len())));
        assert_eq!(forgotten["pending"], json!(0), "{forgotten}");
    }
    let keys = redis.ask(&["KEYS", "*:[sct]:*"]).array();
    assert!(keys.is_empty(), "{keys:?}");
}
