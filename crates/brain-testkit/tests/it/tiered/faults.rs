//! A hot tier that fails costs latency, is left alone, and is found again.

use std::time::Duration;

use brain_core::{
    memory::{Catalog, ListOptions, MemoryStore, ReadOptions, SessionLog, Upkeep},
    time::Clock,
};
use brain_testkit::Operation;

use super::{
    chaos::Mood,
    fixture::{Fixture, ann, key, texts, until},
};

/// Reads until the hot tier is left alone.
async fn give_up(it: &Fixture) {
    until(async || {
        let asked = it.hot.asked();
        it.unverified(&key("s")).await;
        for _ in 0..9 {
            tokio::task::yield_now().await; // what a reading leads to
        }
        it.hot.asked() == asked
    })
    .await;
    it.clock.sleepers(1).await;
}

#[tokio::test]
async fn a_dead_tier_is_left_alone() {
    let it = Fixture::new();
    it.say(&key("s"), "hello").await;
    it.warm(&key("s")).await;
    it.hot.turns(Mood::Dead);
    give_up(&it).await;
    let asked = it.hot.asked();
    for n in 0..50 {
        it.say(&key("s"), &n.to_string()).await;
        assert_eq!(it.unverified(&key("s")).await.entries.len(), n + 2);
    }
    assert_eq!(it.hot.asked(), asked);
}

#[tokio::test]
async fn copies_that_cannot_be_read_concern_nobody_else() {
    let it = Fixture::new();
    let keys = ["a", "b", "c", "d"].map(key);
    for key in &keys {
        it.say(key, "hello").await;
        it.warm(key).await;
    }
    it.hot.turns(Mood::Garbled);
    for key in &keys {
        let asked = it.hot.asked();
        assert_eq!(texts(&it.unverified(key).await), ["hello"]);
        assert!(asked < it.hot.asked());
    }
    it.hot.turns(Mood::Well);
    it.say(&key("other"), "hello").await;
    it.warm(&key("other")).await;
}

#[tokio::test]
async fn a_listing_notices_a_dead_tier() {
    let it = Fixture::new();
    it.say(&key("d"), "lasting").await;
    it.ephemeral(&key("e")).await;
    it.hot.turns(Mood::Dead);
    let all = || ListOptions { before: None, limit: 9 };
    for _ in 0..3 {
        assert_eq!(it.store.list(&ann(), all()).await.unwrap().len(), 1);
    }
    let asked = it.hot.asked();
    assert_eq!(it.store.list(&ann(), all()).await.unwrap().len(), 1);
    assert_eq!(it.store.named(&ann(), all()).await.unwrap().len(), 2);
    assert_eq!(it.hot.asked(), asked);
}

#[tokio::test]
async fn a_listing_waits_a_moment_for_a_silent_tier() {
    let it = Fixture::new();
    it.say(&key("d"), "lasting").await;
    it.ephemeral(&key("e")).await;
    it.hot.turns(Mood::Silent);
    let store = it.store.clone();
    let all = ListOptions { before: None, limit: 9 };
    let listing = tokio::spawn(async move { store.list(&ann(), all).await.unwrap() });
    it.clock.sleepers(1).await;
    it.clock.advance(Duration::from_secs(1));
    let listed = listing.await.unwrap();
    assert_eq!(listed.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["d"]);
}

#[tokio::test]
async fn a_tier_that_is_back_is_used_within_two_seconds() {
    let it = Fixture::new();
    it.say(&key("s"), "hello").await;
    it.warm(&key("s")).await;
    it.hot.turns(Mood::Dead);
    give_up(&it).await;
    let health = it.store.health().await.unwrap();
    assert!(health.is_degraded());
    let problem = health.tiers[1].problem.clone().unwrap();
    assert!(problem.contains("hot does not work") && problem.contains("go on"), "{problem}");
    it.clock.advance(Duration::from_secs(60));
    it.clock.sleepers(1).await;

    it.hot.turns(Mood::Well);
    let since = it.clock.elapsed();
    while !it.has_copy(&key("s")).await || it.store.health().await.unwrap().is_degraded() {
        assert!(it.clock.elapsed() - since < Duration::from_secs(2), "it did not heal");
        it.clock.advance(Duration::from_millis(100));
        tokio::time::sleep(Duration::from_millis(5)).await;
        it.unverified(&key("s")).await;
    }
}

#[tokio::test]
async fn a_silent_tier_is_waited_for_a_moment() {
    let it = Fixture::new();
    it.say(&key("s"), "hello").await;
    it.warm(&key("s")).await;
    it.hot.turns(Mood::Silent);
    let store = it.store.clone();
    let reading = tokio::spawn(async move {
        store.read(&key("s"), ReadOptions::newest(9).unverified()).await.unwrap().unwrap()
    });
    it.clock.sleepers(1).await;
    assert!(!reading.is_finished());
    it.clock.advance(Duration::from_millis(100));
    assert_eq!(texts(&reading.await.unwrap()), ["hello"]);
    it.say(&key("s"), "a write waits for nothing").await;
}

#[tokio::test]
async fn health_tells_of_both_tiers() {
    let it = Fixture::new();
    let health = it.store.health().await.unwrap();
    assert_eq!(health.tiers.len(), 2);
    assert!(!health.is_degraded());
    it.hot.turns(Mood::Dead);
    let health = it.store.health().await.unwrap();
    assert_eq!((health.tiers[1].name, health.is_degraded()), ("hot", true));
    it.hot.turns(Mood::Silent);
    let store = it.store.clone();
    let asking = tokio::spawn(async move { store.health().await.unwrap() });
    it.clock.sleepers(1).await;
    it.clock.advance(Duration::from_millis(250));
    assert!(asking.await.unwrap().is_degraded());
}

#[tokio::test]
async fn capabilities_are_those_of_both() {
    let it = Fixture::new();
    let (both, durable) = (it.store.capabilities(), it.durable.capabilities());
    assert_eq!((both.durable, both.shared, both.ephemeral), (durable.durable, false, true));
}

#[tokio::test]
async fn looking_after_the_tier_ends_with_the_store() {
    let it = Fixture::new();
    it.say(&key("s"), "hello").await;
    it.warm(&key("s")).await;
    it.hot.turns(Mood::Dead);
    give_up(&it).await;
    let Fixture { clock, hot, store, .. } = it;
    drop(store);
    clock.advance(Duration::from_secs(1));
    let asked = hot.asked();
    until(async || std::sync::Arc::strong_count(&hot) == 1).await;
    assert!(hot.asked() <= asked + 1);
}

#[tokio::test]
async fn a_session_is_looked_for_once_where_nobody_else_writes() {
    let it = Fixture::new();
    it.say(&key("s"), "hello").await;
    it.store.session(&key("s")).await.unwrap();
    let looks = it.durable.calls(Operation::Session);
    for _ in 0..5 {
        it.store.scan(&key("s"), brain_core::ids::Seq(0), 9).await.unwrap();
    }
    assert_eq!(it.durable.calls(Operation::Session), looks);
}
