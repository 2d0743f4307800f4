//! Two daemons on the same memory: at once on one Redis, and one after the other on one database
//! behind it, which belongs to one daemon at a time.

use std::{fs, thread};

use brain_testkit::redis::Server;

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
