//! Forgetting reaches both tiers, at once or when it can.

use std::time::Duration;

use brain_core::{
    ids::Seq,
    memory::{
        Catalog, Forget, MemoryErrorKind, ReadOptions, SessionCache, SessionLog, SessionPatch,
        Upkeep,
    },
    time::Clock,
};
use brain_testkit::Operation;
use futures_util::poll;

use super::{
    chaos::Mood,
    fixture::{Fixture, HOUR, key, texts, until},
};

/// Lets time pass until it has come about.
async fn healed(it: &Fixture, done: impl AsyncFn() -> bool) {
    for _ in 0..200 {
        if done().await {
            return;
        }
        it.clock.advance(Duration::from_millis(100));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it did not heal");
}

#[tokio::test]
async fn nothing_is_pending_where_both_tiers_work() {
    let it = Fixture::new();
    it.say(&key("s"), "canary").await;
    it.warm(&key("s")).await;
    let old = it.unverified(&key("s")).await;
    let forgotten = it.store.forget(&key("s"), Forget::Always).await.unwrap();
    assert_eq!((forgotten.erased, forgotten.pending), (1, 0));
    assert_eq!(it.durable.unsettled(9).await.unwrap(), []);
    it.inner.fill(&key("s"), &old).await.unwrap();
    assert_eq!(it.inner.cached(&key("s"), ReadOptions::newest(0)).await.unwrap(), None);
    assert_eq!(it.store.read(&key("s"), ReadOptions::newest(9).unverified()).await.unwrap(), None);
}

#[tokio::test]
async fn what_is_used_keeps_its_copy() {
    let it = Fixture::new();
    it.say(&key("s"), "hi").await;
    it.warm(&key("s")).await;
    let used = Forget::IfIdleSince(it.clock.now());
    let refused = it.store.forget(&key("s"), used).await.unwrap_err();
    assert_eq!(refused.kind(), MemoryErrorKind::Conflict);
    assert!(it.has_copy(&key("s")).await, "no copy and no tombstone was touched");
    assert_eq!(it.durable.unsettled(9).await.unwrap(), []);
    assert_eq!(it.store.pending(&key("s")).await.unwrap(), 0);
}

#[tokio::test]
async fn of_an_ephemeral_session_the_hot_tier_says_whether_it_is_used() {
    let it = Fixture::new();
    it.ephemeral(&key("e")).await;
    it.clock.advance(Duration::from_secs(60));
    let idle = Forget::IfIdleSince(it.clock.now());
    it.say(&key("e"), "hi").await;
    let refused = it.store.forget(&key("e"), idle).await.unwrap_err();
    assert_eq!(refused.kind(), MemoryErrorKind::Conflict);
    assert_eq!(it.unverified(&key("e")).await.entries.len(), 1);
    let said_at = it.clock.now();
    until(async || it.durable.session(&key("e")).await.unwrap().unwrap().updated_at == said_at)
        .await;
    it.clock.advance(Duration::from_secs(60));
    let idle = Forget::IfIdleSince(it.clock.now());
    it.hot.turns(Mood::Dead);
    let away = it.store.forget(&key("e"), idle).await.unwrap_err();
    assert_eq!(away.kind(), MemoryErrorKind::Unavailable);
    it.hot.turns(Mood::Well);
    assert_eq!(it.store.forget(&key("e"), idle).await.unwrap().erased, 1);
    assert_eq!(it.store.session(&key("e")).await.unwrap(), None);
}

#[tokio::test]
async fn what_a_stub_says_keeps_no_session_whose_content_is_gone() {
    let it = Fixture::new();
    it.ephemeral(&key("e")).await;
    it.clock.advance(Duration::from_secs(60));
    let idle = Forget::IfIdleSince(it.clock.now());
    it.clock.advance(Duration::from_secs(1));
    let patch = SessionPatch { title: Some(Some("t".to_owned())), ..SessionPatch::default() };
    it.durable.patch(&key("e"), patch).await.unwrap();
    it.store.forget(&key("e"), idle).await.unwrap();
    assert_eq!(it.durable.session(&key("e")).await.unwrap(), None);
}

#[tokio::test]
async fn what_has_expired_is_forgotten_by_age() {
    let it = Fixture::new();
    it.ephemeral(&key("e")).await;
    it.clock.advance(HOUR * 2);
    let idle = Forget::IfIdleSince(it.clock.now());
    it.store.forget(&key("e"), idle).await.unwrap();
    assert_eq!(it.store.session(&key("e")).await.unwrap(), None);
}

#[tokio::test]
async fn what_is_pending_is_buried_once_the_tier_is_back() {
    for mood in [Mood::Dead, Mood::Silent] {
        let it = Fixture::new();
        it.say(&key("s"), "canary").await;
        it.warm(&key("s")).await;
        it.hot.turns(mood);
        let store = it.store.clone();
        let forgetting =
            tokio::spawn(async move { store.forget(&key("s"), Forget::Always).await.unwrap() });
        healed(&it, async || forgetting.is_finished()).await;
        let forgotten = forgetting.await.unwrap();
        assert_eq!((forgotten.erased, forgotten.pending), (1, 1));
        assert_eq!(it.durable.unsettled(9).await.unwrap(), [key("s")]);
        assert_eq!(it.store.pending(&key("s")).await.unwrap(), 1);
        let again = it.store.read(&key("s"), ReadOptions::newest(9).unverified()).await;
        assert_eq!(again.unwrap(), None);
        it.hot.turns(Mood::Well);
        healed(&it, async || it.durable.unsettled(9).await.unwrap().is_empty()).await;
        assert_eq!(it.inner.cached(&key("s"), ReadOptions::newest(0)).await.unwrap(), None);
        assert_eq!(it.store.pending(&key("s")).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn what_is_pending_is_buried_by_the_next_process() {
    let it = Fixture::new();
    it.say(&key("s"), "canary").await;
    it.warm(&key("s")).await;
    it.durable.forget(&key("s"), Forget::Always).await.unwrap();
    assert!(it.inner.cached(&key("s"), ReadOptions::newest(0)).await.unwrap().is_some());
    let next = it.restarted();
    until(async || next.durable.unsettled(9).await.unwrap().is_empty()).await;
    assert_eq!(next.inner.cached(&key("s"), ReadOptions::newest(0)).await.unwrap(), None);
}

#[tokio::test]
async fn a_session_made_meanwhile_is_spared() {
    let it = Fixture::new();
    it.ephemeral(&key("e")).await;
    it.say(&key("e"), "canary").await;
    it.hot.turns(Mood::Dead);
    assert_eq!(it.store.forget(&key("e"), Forget::Always).await.unwrap().pending, 1);
    it.clock.advance(Duration::from_millis(1));
    it.say(&key("e"), "new").await;
    it.hot.turns(Mood::Well);
    healed(&it, async || it.durable.unsettled(9).await.unwrap().is_empty()).await;
    assert_eq!(texts(&it.unverified(&key("e")).await), ["new"]);
}

#[tokio::test]
async fn a_forget_of_unknown_outcome_leaves_no_copy() {
    let it = Fixture::new();
    it.say(&key("s"), "canary").await;
    it.warm(&key("s")).await;
    it.durable.lose_reply(Operation::Forget, 1);
    let error = it.store.forget(&key("s"), Forget::Always).await.unwrap_err();
    assert_eq!(error.kind(), MemoryErrorKind::OutcomeUnknown);
    assert_eq!(it.store.read(&key("s"), ReadOptions::newest(9).unverified()).await.unwrap(), None);
    healed(&it, async || it.durable.unsettled(9).await.unwrap().is_empty()).await;
    assert_eq!(it.inner.cached(&key("s"), ReadOptions::newest(0)).await.unwrap(), None);
}

#[tokio::test]
async fn a_forget_that_nobody_waits_for_is_whole() {
    let it = Fixture::new();
    it.say(&key("s"), "canary").await;
    it.warm(&key("s")).await;
    let gate = it.durable.hold(Operation::Forget, 1);
    let name = key("s");
    let mut forget = it.store.forget(&name, Forget::Always);
    while poll!(&mut forget).is_pending() && it.durable.calls(Operation::Forget) == 0 {
        tokio::task::yield_now().await;
    }
    drop(forget);
    gate.open();
    until(async || it.durable.session(&key("s")).await.unwrap().is_none()).await;
    until(async || it.durable.unsettled(9).await.unwrap().is_empty()).await;
    assert_eq!(it.inner.cached(&key("s"), ReadOptions::newest(0)).await.unwrap(), None);
}

#[tokio::test]
async fn one_entry_leaves_the_copy_too() {
    let it = Fixture::new();
    it.say(&key("s"), "canary").await;
    it.say(&key("s"), "kept").await;
    it.warm(&key("s")).await;
    let forgotten = it.store.forget_entry(&key("s"), Seq(1)).await.unwrap();
    assert_eq!((forgotten.erased, forgotten.pending), (1, 0));
    assert_eq!(it.inner.cached(&key("s"), ReadOptions::newest(0)).await.unwrap(), None);
    assert_eq!(texts(&it.unverified(&key("s")).await), ["", "kept"]);
}

#[tokio::test]
async fn one_entry_that_is_pending_leaves_the_copy_once_the_tier_is_back() {
    let it = Fixture::new();
    it.say(&key("s"), "canary").await;
    it.warm(&key("s")).await;
    it.hot.turns(Mood::Dead);
    let forgotten = it.store.forget_entry(&key("s"), Seq(1)).await.unwrap();
    assert_eq!((forgotten.erased, forgotten.pending), (1, 1));
    assert_eq!(texts(&it.unverified(&key("s")).await), [""]);
    it.hot.turns(Mood::Well);
    healed(&it, async || {
        it.inner.cached(&key("s"), ReadOptions::newest(0)).await.unwrap().is_none()
    })
    .await;
}

#[tokio::test]
async fn an_entry_that_cannot_be_noted_as_pending_is_not_forgotten() {
    /// As many sessions can be noted.
    const NOTED: usize = 10_000;
    let it = Fixture::new();
    it.say(&key("s"), "canary").await;
    it.warm(&key("s")).await;
    it.hot.turns(Mood::Dead);
    for n in 0..NOTED {
        let key = key(&format!("{n}"));
        it.say(&key, "x").await;
        assert_eq!(it.store.forget_entry(&key, Seq(1)).await.unwrap().pending, 1);
    }
    let refused = it.store.forget_entry(&key("s"), Seq(1)).await.unwrap_err();
    assert!(matches!(refused.kind(), MemoryErrorKind::Overloaded { .. }), "{refused}");
    assert_eq!(texts(&it.unverified(&key("s")).await), ["canary"], "it is not half forgotten");
    assert_eq!(it.store.pending(&key("s")).await.unwrap(), 0);
    let noted = it.store.forget_entry(&key("7"), Seq(1)).await.unwrap();
    assert_eq!((noted.erased, noted.pending), (0, 1), "what is noted stays noted");

    it.hot.turns(Mood::Well);
    healed(&it, async || it.store.pending(&key("7")).await.unwrap() == 0).await;
    healed(&it, async || it.store.forget_entry(&key("s"), Seq(1)).await.is_ok()).await;
    healed(&it, async || it.store.pending(&key("s")).await.unwrap() == 0).await;
    assert_eq!(texts(&it.unverified(&key("s")).await), [""]);
}

#[tokio::test]
async fn an_entry_whose_forgetting_has_an_unknown_outcome_leaves_the_copy() {
    let it = Fixture::new();
    it.say(&key("s"), "canary").await;
    it.warm(&key("s")).await;
    it.hot.turns(Mood::Dead);
    it.durable.lose_reply(Operation::ForgetEntry, 1);
    let error = it.store.forget_entry(&key("s"), Seq(1)).await.unwrap_err();
    assert_eq!(error.kind(), MemoryErrorKind::OutcomeUnknown);
    assert_eq!(it.store.pending(&key("s")).await.unwrap(), 1);
    it.hot.turns(Mood::Well);
    healed(&it, async || it.store.pending(&key("s")).await.unwrap() == 0).await;
    assert_eq!(it.inner.cached(&key("s"), ReadOptions::newest(0)).await.unwrap(), None);
    assert_eq!(texts(&it.unverified(&key("s")).await), [""]);
}
