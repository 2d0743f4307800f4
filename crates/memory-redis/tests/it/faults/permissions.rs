//! A Redis whose ACL does not let the user of its URL do everything.

use brain_core::memory::{
    Catalog, Expect, Forget, ListOptions, MemoryErrorKind, MemoryStore, ReadOptions, SessionLog,
    Upkeep,
};
use brain_testkit::redis::Server;
use memory_redis::RedisStore;

use crate::{
    commands::table::needed,
    harness::{ann, append, begin, fails_saying, key, next, store},
};

/// A store on this server as a user of these rights.
pub(crate) fn store_as(server: &Server, rights: &[&str]) -> RedisStore {
    let user = [&["ACL", "SETUSER", "limited", "reset", "on", ">pw"], rights].concat();
    assert_eq!(server.ask(&user).text(), "OK");
    store(&server.url().replacen("://", "://limited:pw@", 1))
}

/// Whoever may run no script can take no turn, and health says so.
#[tokio::test]
async fn a_user_who_may_not_do_what_turns_need_is_told_so_by_health_too() {
    let server = Server::start();
    let a = key("a");
    for rights in [
        &["~*", "+@all", "-@scripting"][..],
        &["~other:*", "+@all"],
        &["~*", "+@all", "-hset"],
        &["~*", "+@all", "-@sortedset"],
        &["~*", "+@read", "+@connection", "+@scripting", "+info"],
    ] {
        let store = store_as(&server, rights);
        let kind = fails_saying(store.health(), "its ACL keeps the user").await;
        assert_eq!(kind, MemoryErrorKind::Unavailable, "{rights:?}");
        let first = store.append(&a, append(None, Expect::Absent, "no"));
        let kind = fails_saying(first, "its ACL keeps the user").await;
        assert_eq!(kind, MemoryErrorKind::Unavailable, "{rights:?}");
    }
    let sessions = server.ask(&["KEYS", "*:s:*"]).array();
    assert!(sessions.is_empty(), "{sessions:?}");
}

/// No command is found missing only when somebody needs it.
#[tokio::test]
async fn each_command_that_is_refused_is_named_by_health() {
    let server = Server::start();
    let mut commands = 0;
    for command in needed() {
        let denied = format!("-{}", command.to_lowercase());
        let store = store_as(&server, &["~*", "+@all", &denied]);
        let says = format!("; it refused {command}");
        let kind = fails_saying(store.health(), &says).await;
        assert_eq!(kind, MemoryErrorKind::Unavailable, "{command}");
        commands += 1;
    }
    assert!(20 < commands, "{commands}");
    leaves_nothing(&server);
}

/// As servers that others manage have it: no `INFO`, and everything works.
#[tokio::test]
async fn a_user_who_may_not_ask_how_redis_is_is_no_problem() {
    let a = key("a");
    for rights in [
        &["~codexd:*", "+@all", "-@dangerous", "-@admin"][..],
        // What the documentation says is enough.
        &["~codexd:*", "+@read", "+@write", "+@connection", "+@scripting", "+time", "-@dangerous"],
    ] {
        let server = Server::start();
        let store = store_as(&server, rights);
        let after = begin(&store, "a").await;
        store.append(&a, next(after, "more")).await.unwrap();
        store.read(&a, ReadOptions::newest(9)).await.unwrap().unwrap();
        let all = ListOptions { before: None, limit: 9 };
        assert_eq!(store.list(&ann(), all).await.unwrap().len(), 1);
        let health = store.health().await.unwrap();
        assert!(!health.is_degraded(), "{health:?}");
        let note = health.tiers[0].note.as_deref().unwrap();
        assert!(note.contains("cannot be read") && note.contains("INFO"), "{note}");
        assert_eq!(store.forget(&a, Forget::Always).await.unwrap().erased, 2);
        assert_eq!(store.pending(&a).await.unwrap(), 0);
    }
}

/// Health says what is wrong, and not that it was slow.
#[tokio::test]
async fn a_wrong_password_is_called_one() {
    let server = Server::start();
    let _right = store_as(&server, &["~*", "+@all"]);
    let wrong = store(&server.url().replacen("://", "://limited:no@", 1));
    let error = wrong.health().await.unwrap_err();
    let said = crate::harness::said(&error);
    assert!(said.contains("the name or the password"), "{said}");
    assert!(!said.contains("time"), "{said}");
}

/// What a check of health has tried is gone a moment later.
#[tokio::test]
async fn a_check_of_health_leaves_nothing() {
    let server = Server::start();
    store(&server.url()).health().await.unwrap();
    leaves_nothing(&server);
}

fn leaves_nothing(server: &Server) {
    for probe in server.ask(&["KEYS", "*"]).array() {
        let left = server.ask(&["PTTL", &probe.text()]).integer();
        assert!((0..=1000).contains(&left), "{}: {left}", probe.text());
    }
}
