//! The store with faults.

use std::sync::Arc;

use brain_core::{
    chat::Message,
    ids::{AppendId, Owner, SessionId, SessionKey},
    memory::{
        Append, Catalog, Draft, EntryBody, Expect, InMemoryStore, MemoryErrorKind, MemoryStore,
        ReadOptions, SessionLog,
    },
    time::Timestamp,
};
use brain_testkit::{FaultyStore, ManualClock, Operation};
use futures_util::poll;

fn store() -> FaultyStore {
    FaultyStore::new(Arc::new(InMemoryStore::new(Arc::new(ManualClock::new()))))
}

fn key() -> SessionKey {
    SessionKey::new(Owner::local(), SessionId::new("s").unwrap())
}

fn first() -> Append {
    let body = EntryBody::complete(Message::user("hi"), Timestamp::from_millis(0));
    Append {
        parent: None,
        expect: Expect::Absent,
        append_id: AppendId::new("first").unwrap(),
        fence: None,
        drafts: vec![Draft::new(body).unwrap()],
    }
}

#[tokio::test]
async fn only_the_planned_calls_fail() {
    let store = store();
    store.fail(Operation::Session, 2, MemoryErrorKind::Unavailable);
    store.fail(Operation::Session, 3, MemoryErrorKind::Full);
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(store.session(&key()).await.err().map(|it| it.kind()));
    }
    let (down, full) = (MemoryErrorKind::Unavailable, MemoryErrorKind::Full);
    assert_eq!(seen, [None, Some(down), Some(full), None]);
    assert_eq!((store.calls(Operation::Session), store.calls(Operation::Read)), (4, 0));
}

#[tokio::test]
async fn a_breakdown_lasts_until_it_is_healed() {
    let store = store();
    store.break_down(Operation::Health, MemoryErrorKind::Unavailable);
    for _ in 0..3 {
        assert_eq!(store.health().await.unwrap_err().kind(), MemoryErrorKind::Unavailable);
    }
    store.heal();
    store.health().await.unwrap();
}

#[tokio::test]
async fn a_failed_call_does_nothing() {
    let store = store();
    store.fail(Operation::Append, 1, MemoryErrorKind::Unavailable);
    store.append(&key(), first()).await.unwrap_err();
    assert_eq!(store.session(&key()).await.unwrap(), None);
}

#[tokio::test]
async fn a_lost_reply_is_found_by_asking_again() {
    let store = store();
    store.lose_reply(Operation::Append, 1);
    let lost = store.append(&key(), first()).await.unwrap_err();
    assert_eq!(lost.kind(), MemoryErrorKind::OutcomeUnknown);
    assert!(lost.is_transient());
    store.append(&key(), first()).await.unwrap();
    let branch = store.read(&key(), ReadOptions::newest(9)).await.unwrap().unwrap();
    assert_eq!(branch.entries.len(), 1);
}

#[tokio::test]
async fn a_held_call_waits_and_may_be_dropped() {
    let (store, key) = (store(), key());
    let gate = store.hold(Operation::Append, 1);
    let mut append = store.append(&key, first());
    assert!(poll!(&mut append).is_pending());
    gate.reached_by(1).await;
    drop(append);
    assert_eq!(store.session(&key).await.unwrap(), None);
    let gate = store.hold(Operation::Append, 1);
    let mut append = store.append(&key, first());
    assert!(poll!(&mut append).is_pending());
    gate.open();
    append.await.unwrap();
}
