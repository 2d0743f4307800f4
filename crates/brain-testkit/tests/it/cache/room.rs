//! Budgets and ends of the stores in the process.

use std::{sync::Arc, time::Duration};

use brain_core::{
    chat::Message,
    ids::{AppendId, Owner, Seq, SessionId, SessionKey, Token},
    memory::{
        Append, Branch, Catalog, Draft, EntryBody, Expect, Forget, InMemoryStore, ListOptions,
        LocalCache, MemoryErrorKind, NewSession, ReadOptions, Session, SessionCache, SessionLog,
        SessionPatch, Upkeep,
    },
    time::{Clock, Timestamp},
};
use brain_testkit::ManualClock;

const TTL: Duration = Duration::from_secs(60);

fn key(id: impl std::fmt::Display) -> SessionKey {
    SessionKey::new(Owner::local(), SessionId::new(id.to_string()).unwrap())
}

fn text(length: usize) -> Append {
    let body = EntryBody::complete(Message::user("x".repeat(length)), Timestamp::from_millis(0));
    Append {
        parent: None,
        expect: Expect::Attach,
        append_id: AppendId::new(Token::random().to_string()).unwrap(),
        fence: None,
        drafts: vec![Draft::new(body).unwrap()],
    }
}

/// A copy of a session with one entry of this length.
fn copy(clock: &ManualClock, key: &SessionKey, length: usize) -> Branch {
    let body = Arc::clone(text(length).drafts.first().unwrap().body());
    let session = Session::new(key.id.clone(), NewSession::default(), clock.now());
    let session = Session { head: Some(Seq(1)), entries: 1, ..session };
    let entries = vec![brain_core::memory::Entry { seq: Seq(1), parent: None, body }];
    Branch { session, entries, summary: None }
}

async fn say(store: &InMemoryStore, id: usize, length: usize) -> Result<(), MemoryErrorKind> {
    let append = Append { expect: Expect::Absent, ..text(length) };
    store.append(&key(id), append).await.map(|_| ()).map_err(|it| it.kind())
}

async fn has(cache: &dyn SessionCache, id: usize) -> bool {
    cache.cached(&key(id), ReadOptions::newest(1)).await.unwrap().is_some()
}

#[tokio::test]
async fn the_least_recently_used_copy_goes_first() {
    let clock = Arc::new(ManualClock::new());
    let cache = LocalCache::new(clock.clone(), 100_000);
    for id in 0..8 {
        cache.fill(&key(id), &copy(&clock, &key(id), 10_000)).await.unwrap();
    }
    assert!(has(&cache, 0).await);
    for id in 8..11 {
        cache.fill(&key(id), &copy(&clock, &key(id), 10_000)).await.unwrap();
    }
    let mut kept = Vec::new();
    for id in 0..11 {
        if has(&cache, id).await {
            kept.push(id);
        }
    }
    assert_eq!(kept, [0, 3, 4, 5, 6, 7, 8, 9, 10]);
    cache.fill(&key(99), &copy(&clock, &key(99), 200_000)).await.unwrap();
    assert!(!has(&cache, 99).await, "it does not fit at all");
}

#[tokio::test]
async fn a_full_store_says_so_and_loses_nothing() {
    let store = InMemoryStore::new(Arc::new(ManualClock::new())).with_budget(100_000);
    let mut kept = 0;
    while say(&store, kept, 10_000).await.is_ok() {
        kept += 1;
    }
    assert!((7..=9).contains(&kept), "{kept}");
    let full = MemoryErrorKind::Full;
    assert_eq!(say(&store, 99, 10_000).await, Err(full));
    assert_eq!(store.append(&key(0), text(20_000)).await.unwrap_err().kind(), full);
    let title = Some(Some("t".repeat(20_000)));
    let patch = SessionPatch { title, ..SessionPatch::default() };
    assert_eq!(store.patch(&key(0), patch).await.unwrap_err().kind(), full);
    let options = ListOptions { before: None, limit: 99 };
    let listed = store.list(&Owner::local(), options).await.unwrap();
    assert_eq!(listed.len(), kept);
    assert!(listed.iter().all(|it| it.entries == 1));
}

#[tokio::test]
async fn what_is_forgotten_makes_room_to_the_last_byte() {
    let store = InMemoryStore::new(Arc::new(ManualClock::new())).with_budget(100_000);
    for round in 0..50 {
        for id in 0..7 {
            say(&store, id, 10_000).await.unwrap_or_else(|it| panic!("{it} in round {round}"));
            store.forget_entry(&key(id), Seq(1)).await.unwrap();
            store.append(&key(id), text(9_000)).await.unwrap();
        }
        for id in 0..7 {
            store.forget(&key(id), Forget::Always).await.unwrap();
            store.settle(&key(id)).await.unwrap();
        }
    }
}

#[tokio::test]
async fn copies_make_room_for_sessions() {
    let clock = Arc::new(ManualClock::new());
    let store = InMemoryStore::new(clock.clone()).with_budget(100_000);
    for id in 100..120 {
        store.fill(&key(id), &copy(&clock, &key(id), 10_000)).await.unwrap();
    }
    assert!(has(&store, 119).await && !has(&store, 105).await);
    for id in 0..7 {
        say(&store, id, 10_000).await.unwrap();
    }
    store.fill(&key(200), &copy(&clock, &key(200), 10_000)).await.unwrap();
    let mut copies = 0;
    for id in 100..=200 {
        copies += usize::from(has(&store, id).await);
    }
    assert!((1..=2).contains(&copies), "{copies} beside seven sessions");
    for id in 0..7 {
        assert!(store.session(&key(id)).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_session_ends_as_a_whole_when_it_was_not_appended_to() {
    let clock = Arc::new(ManualClock::new());
    let store = InMemoryStore::new(clock.clone()).with_ttl(Some(TTL));
    for id in 0..2 {
        say(&store, id, 10).await.unwrap();
    }
    for _ in 0..3 {
        clock.advance(TTL / 2);
        store.append(&key(0), text(10)).await.unwrap();
    }
    let options = ListOptions { before: None, limit: 9 };
    let listed = store.list(&Owner::local(), options.clone()).await.unwrap();
    assert_eq!(listed.iter().map(|it| (&it.id, it.entries)).collect::<Vec<_>>(), [(&key(0).id, 4)]);
    assert_eq!(store.read(&key(1), ReadOptions::newest(9)).await.unwrap(), None);
    // Reading is no use of it, and the hour does not matter.
    clock.advance(TTL / 2);
    assert_eq!(store.scan(&key(0), Seq(0), 9).await.unwrap().len(), 4);
    clock.set_hour(Timestamp::from_millis(0));
    clock.advance(TTL / 2);
    assert_eq!(store.scan(&key(0), Seq(0), 9).await.unwrap(), []);
    assert_eq!(store.list(&Owner::local(), options).await.unwrap(), []);
    let late = store.append(&key(0), text(10)).await;
    assert_eq!(late.unwrap_err().kind(), MemoryErrorKind::Conflict);
}

#[tokio::test]
async fn what_has_ended_makes_room() {
    let clock = Arc::new(ManualClock::new());
    let store = InMemoryStore::new(clock.clone()).with_budget(100_000).with_ttl(Some(TTL));
    for round in 0..20 {
        for id in 0..7 {
            say(&store, 10 * round + id, 10_000).await.unwrap();
        }
        clock.advance(TTL);
    }
}

#[tokio::test]
async fn what_is_not_settled_is_noted_for_a_day() {
    let clock = Arc::new(ManualClock::new());
    let store = InMemoryStore::new(clock.clone());
    say(&store, 1, 10).await.unwrap();
    store.forget(&key(1), Forget::Always).await.unwrap();
    clock.advance(Duration::from_secs(24 * 60 * 60 - 1));
    assert_eq!(store.unsettled(9).await.unwrap(), [key(1)]);
    clock.advance(Duration::from_secs(1));
    assert_eq!(store.unsettled(9).await.unwrap(), []);
}
