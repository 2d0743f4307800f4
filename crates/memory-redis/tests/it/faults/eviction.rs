//! Redis takes the room of sessions that nobody has used for long.

use brain_core::memory::{MemoryErrorKind, ReadOptions, SessionLog};
use brain_testkit::redis::{Server, Settings};

use crate::harness::{begin, fails, key, next, store};

/// No key of a session may stay for ever.
fn nothing_stays(server: &Server) {
    for kind in ["s", "c", "x", "v"] {
        for session in server.ask(&["KEYS", &format!("*:{kind}:*")]).array() {
            // One that was evicted since has -2.
            assert_ne!(server.ask(&["PTTL", &session.text()]).integer(), -1, "{session:?}");
        }
    }
}

#[tokio::test]
async fn an_evicted_session_is_gone_as_a_whole() {
    let server = Settings::new().set("maxmemory-policy", "allkeys-lru").start();
    let store = store(&server.url());
    let text = "x".repeat(20_000);
    let used = server.ask(&["INFO", "memory"]).text();
    let used = used.lines().find_map(|it| it.strip_prefix("used_memory:")).unwrap();
    let room = used.trim().parse::<u64>().unwrap() + 3_000_000;
    server.ask(&["CONFIG", "SET", "maxmemory", &room.to_string()]);
    let mut last = Vec::new();
    for id in 0..150 {
        let mut after = begin(&store, &id.to_string()).await;
        let mut count = 1;
        // Redis picks by chance: it may be this one.
        while count < 4
            && let Ok(appended) = store.append(&key(&id.to_string()), next(after, &text)).await
        {
            (after, count) = (appended, count + 1);
        }
        last.push((after, count));
    }
    let stats = server.ask(&["INFO", "stats"]).text();
    assert!(!stats.contains("evicted_keys:0\r"), "nothing was evicted");
    let mut gone = 0;
    for (id, (after, count)) in last.into_iter().enumerate() {
        let id = id.to_string();
        if let Some(branch) = store.read(&key(&id), ReadOptions::newest(9)).await.unwrap() {
            assert_eq!(branch.entries.len(), count, "session {id} is there as a whole");
            assert_eq!(branch.session.token, after.token);
            continue;
        }
        gone += 1;
        let kind = fails(store.append(&key(&id), next(after, "late"))).await;
        // Redis may have evicted the owner's index too: then nobody knows of the session.
        assert!(matches!(kind, MemoryErrorKind::Expired | MemoryErrorKind::Conflict), "{kind:?}");
    }
    assert!(gone > 0);
    nothing_stays(&server);
}
