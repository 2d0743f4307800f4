//! What the hot tier held alone is moved to the durable one before its owner uses it.

use std::{sync::Arc, time::Duration};

use brain_core::memory::{
    Append, Catalog, Expect, Forget, InMemoryStore, ListOptions, MemoryClass, MemoryErrorKind,
    NewSession, ReadOptions, SessionLog, Summary, Upkeep,
};
use brain_core::{ids::Seq, time::Timestamp};
use brain_testkit::Operation;

use super::{
    chaos::Mood,
    fixture::{Fixture, HOUR, ann, append, brief, key, texts},
};

async fn say(store: &InMemoryStore, id: &str, texts: &[&str]) {
    let drafts = texts.iter().flat_map(|it| append(None, Expect::Absent, it).drafts).collect();
    let append = Append { drafts, ..append(None, Expect::Absent, "") };
    store.append(&key(id), append).await.unwrap();
}

fn all() -> ListOptions {
    ListOptions { before: None, limit: 999 }
}

#[tokio::test]
async fn sessions_move_whole_before_the_first_use() {
    let it = Fixture::new();
    for n in 0..250 {
        say(&it.inner, &n.to_string(), &["a", "b"]).await;
    }
    let summary =
        Summary { at: Seq(1), text: "s".into(), model: None, created_at: Timestamp::default() };
    let before = it.inner.session(&key("7")).await.unwrap().unwrap();
    it.inner.keep_summary(&key("7"), before.edition, summary.clone()).await.unwrap();

    let branch = it.unverified(&key("7")).await;
    assert_eq!((texts(&branch), branch.summary), (vec!["a".into(), "b".into()], Some(summary)));
    assert_eq!(branch.session.created_at, before.created_at);
    assert_eq!(it.durable.list(&ann(), all()).await.unwrap().len(), 250);
    assert_eq!(it.inner.list(&ann(), all()).await.unwrap(), []);
    it.clock.advance(HOUR);
    assert_eq!(texts(&it.unverified(&key("9")).await), ["a", "b"], "it does not expire any more");
}

#[tokio::test]
async fn an_owner_is_adopted_once() {
    let it = Fixture::new();
    say(&it.inner, "s", &["a"]).await;
    for _ in 0..5 {
        it.store.list(&ann(), all()).await.unwrap();
    }
    let lists = it.hot.store.calls(Operation::List);
    assert_eq!(it.durable.calls(Operation::MoveIn), 1);
    it.store.session(&key("s")).await.unwrap();
    assert_eq!(it.hot.store.calls(Operation::List), lists);
}

#[tokio::test]
async fn another_content_stays_where_it_is() {
    let it = Fixture::new();
    say(&it.inner, "both", &["hot"]).await;
    say(&it.inner, "hot", &["hot"]).await;
    it.clock.advance(Duration::from_secs(1));
    it.durable.append(&key("both"), append(None, Expect::Absent, "durable")).await.unwrap();
    assert_eq!(texts(&it.unverified(&key("both")).await), ["durable"]);
    assert_eq!(texts(&it.unverified(&key("hot")).await), ["hot"]);
    let left = it.inner.read(&key("both"), ReadOptions::newest(9)).await.unwrap().unwrap();
    assert_eq!(texts(&left), ["hot"]);
}

#[tokio::test]
async fn what_cannot_be_moved_now_is_moved_later() {
    let it = Fixture::new();
    say(&it.inner, "s", &["a"]).await;
    it.hot.turns(Mood::Dead);
    assert_eq!(it.store.session(&key("s")).await.unwrap(), None);
    it.say(&key("other"), "goes on").await;
    it.hot.turns(Mood::Well);
    it.clock.advance(Duration::from_secs(2));
    assert_eq!(texts(&it.unverified(&key("s")).await), ["a"]);
}

#[tokio::test]
async fn a_durable_tier_that_is_down_loses_nothing() {
    let it = Fixture::new();
    say(&it.inner, "s", &["a"]).await;
    it.durable.fail(Operation::MoveIn, 1, MemoryErrorKind::Unavailable);
    let found = it.store.session(&key("s")).await;
    assert_eq!(found.unwrap_err().kind(), MemoryErrorKind::Unavailable, "it is no unknown one");
    it.clock.advance(Duration::from_secs(2));
    assert_eq!(texts(&it.unverified(&key("s")).await), ["a"]);
}

#[tokio::test]
async fn what_was_forgotten_before_its_adoption_is_not_adopted() {
    let it = Fixture::new();
    say(&it.inner, "s", &["canary"]).await;
    it.hot.turns(Mood::Dead);
    assert!(0 < it.store.forget(&key("s"), Forget::Always).await.unwrap().pending);
    assert_eq!(it.durable.unsettled(9).await.unwrap(), [key("s")]);
    let next = it.restarted();
    assert_eq!(next.store.session(&key("s")).await.unwrap(), None);
    assert_eq!(next.inner.session(&key("s")).await.unwrap(), None);
    assert_eq!(next.durable.unsettled(9).await.unwrap(), []);
}

#[tokio::test]
async fn a_forgotten_ephemeral_session_does_not_come_back() {
    let it = Fixture::new();
    it.ephemeral(&key("e")).await;
    it.say(&key("e"), "canary").await;
    it.hot.turns(Mood::Dead);
    assert_eq!(it.store.forget(&key("e"), Forget::Always).await.unwrap().pending, 1);
    let next = it.restarted();
    assert_eq!(next.store.session(&key("e")).await.unwrap(), None);
    assert_eq!(next.inner.session(&key("e")).await.unwrap(), None);
    assert_eq!(next.durable.unsettled(9).await.unwrap(), []);
}

#[tokio::test]
async fn a_name_that_is_taken_again_spares_nothing_of_what_was_forgotten() {
    let it = Fixture::new();
    it.ephemeral(&key("e")).await;
    it.say(&key("e"), "canary").await;
    it.hot.turns(Mood::Dead);
    assert_eq!(it.store.forget(&key("e"), Forget::Always).await.unwrap().pending, 1);
    it.say(&key("e"), "new").await;
    let next = it.restarted();
    assert_eq!(texts(&next.unverified(&key("e")).await), ["new"]);
    assert_eq!(next.inner.session(&key("e")).await.unwrap(), None);
}

#[tokio::test]
async fn an_ephemeral_session_keeps_its_place() {
    let it = Fixture::new();
    it.inner.create(&key("e"), brief()).await.unwrap();
    let session = it.inner.session(&key("e")).await.unwrap().unwrap();
    let say = append(None, Expect::At(session.token), "a");
    it.inner.append(&key("e"), say).await.unwrap();
    assert_eq!(texts(&it.unverified(&key("e")).await), ["a"]);
    let row = it.durable.session(&key("e")).await.unwrap().unwrap();
    assert_eq!((row.class, row.entries), (MemoryClass::Ephemeral, 0));
    it.clock.advance(HOUR);
    let read = it.store.read(&key("e"), ReadOptions::newest(9)).await;
    assert_eq!(read.unwrap_err().kind(), MemoryErrorKind::Expired);
}

#[tokio::test]
async fn many_at_once_wait_for_one_adoption() {
    let it = Arc::new(Fixture::new());
    for n in 0..50 {
        say(&it.inner, &n.to_string(), &["a"]).await;
    }
    let mut users = tokio::task::JoinSet::new();
    for n in 0..50 {
        let it = Arc::clone(&it);
        users.spawn(async move { it.say(&key(&n.to_string()), "b").await });
    }
    while let Some(done) = users.join_next().await {
        done.unwrap();
    }
    assert_eq!(it.durable.calls(Operation::MoveIn), 50);
    for n in 0..50 {
        assert_eq!(texts(&it.unverified(&key(&n.to_string())).await), ["a", "b"]);
    }
    let new = it.store.create(&key("new"), NewSession::default()).await;
    assert!(new.is_ok());
}
