//! Copies are read where the reader's append checks them, and nowhere else.

use std::{sync::Arc, time::Duration};

use brain_core::{
    ids::Seq,
    memory::{
        Append, Catalog, Expect, Fence, MemoryErrorKind, ReadOptions, SessionCache, SessionLog,
        SessionPatch, Turns,
    },
};
use brain_testkit::Operation;
use futures_util::poll;
use tokio::task::JoinSet;

use super::{
    chaos::Mood,
    fixture::{Fixture, append, closing, key, opening, started, texts, until},
};

fn titled(title: &str) -> SessionPatch {
    SessionPatch { title: Some(Some(title.to_owned())), ..SessionPatch::default() }
}

#[tokio::test]
async fn an_unverified_read_costs_the_durable_tier_nothing() {
    let it = Fixture::new();
    it.say(&key("s"), "hello").await;
    it.warm(&key("s")).await;
    let (reads, looks) = (it.durable.calls(Operation::Read), it.durable.calls(Operation::Session));
    assert_eq!(texts(&it.unverified(&key("s")).await), ["hello"]);
    assert_eq!(it.durable.calls(Operation::Read), reads);
    assert_eq!(it.durable.calls(Operation::Session), looks);
    it.store.read(&key("s"), ReadOptions::newest(9)).await.unwrap();
    assert_eq!(it.durable.calls(Operation::Read), reads + 1, "any other read is verified");
}

#[tokio::test]
async fn a_copy_never_stands_in_for_a_durable_tier_that_is_down() {
    let it = Fixture::new();
    it.say(&key("s"), "hello").await;
    it.warm(&key("s")).await;
    for operation in [Operation::Read, Operation::Session, Operation::Health] {
        it.durable.break_down(operation, MemoryErrorKind::Unavailable);
    }
    use brain_core::memory::MemoryStore;
    let read = it.store.read(&key("s"), ReadOptions::newest(9)).await;
    assert_eq!(read.unwrap_err().kind(), MemoryErrorKind::Unavailable);
    let session = it.store.session(&key("s")).await;
    assert_eq!(session.unwrap_err().kind(), MemoryErrorKind::Unavailable);
    assert_eq!(it.store.health().await.unwrap_err().kind(), MemoryErrorKind::Unavailable);
}

#[tokio::test]
async fn a_copy_follows_a_turn() {
    let it = Fixture::new();
    let first = it.say(&key("s"), "one").await;
    it.warm(&key("s")).await;
    let open = opening(&key("s"), Expect::At(first.token), first.head, "two");
    let (turn, appended) = started(&it.store, open).await;
    let fence = Some(Fence { turn: turn.id, holder: turn.holder });
    let tail = append(appended.last, Expect::Attach, "three");
    let step = it.store.append(&key("s"), Append { fence, ..tail }).await.unwrap();
    let mut close = closing(&turn, "four");
    close.append.parent = step.last;
    it.store.close(close).await.unwrap();
    // It was brought along, not dropped and filled: nobody has read meanwhile.
    until(async || it.has_copy(&key("s")).await).await;
    assert_eq!(texts(&it.unverified(&key("s")).await), ["one", "two", "three", "four"]);
}

#[tokio::test]
async fn a_copy_that_another_process_left_behind_costs_one_conflict() {
    let it = Fixture::new();
    it.say(&key("s"), "one").await;
    it.warm(&key("s")).await;
    let other = it.restarted();
    other.say(&key("s"), "two").await;

    let old = it.unverified(&key("s")).await;
    assert_eq!(texts(&old), ["one"]);
    let late = append(old.session.head, Expect::At(old.session.token), "late");
    let refused = it.store.append(&key("s"), late).await;
    assert_eq!(refused.unwrap_err().kind(), MemoryErrorKind::Conflict);
    let new = it.unverified(&key("s")).await;
    assert_eq!(texts(&new), ["one", "two"]);
    let next = append(new.session.head, Expect::At(new.session.token), "three");
    it.store.append(&key("s"), next).await.unwrap();
}

#[tokio::test]
async fn a_title_is_never_an_old_one_though_no_token_tells() {
    let it = Fixture::new();
    it.say(&key("s"), "hello").await;
    it.warm(&key("s")).await;
    for (mood, title) in [(Mood::Well, "a"), (Mood::Dead, "b"), (Mood::Well, "c")] {
        it.hot.turns(mood);
        it.store.patch(&key("s"), titled(title)).await.unwrap();
        it.hot.turns(Mood::Well);
        let read = async || it.unverified(&key("s")).await.session.title;
        until(async || {
            assert_eq!(read().await.as_deref(), Some(title), "{mood:?}");
            it.has_copy(&key("s")).await
        })
        .await;
        assert_eq!(read().await.as_deref(), Some(title), "{mood:?}, by the copy");
    }
}

#[tokio::test]
async fn a_patch_that_nobody_waits_for_leaves_no_old_copy() {
    let it = Fixture::new();
    it.say(&key("s"), "hello").await;
    it.warm(&key("s")).await;
    let gate = it.durable.hold(Operation::Patch, 1);
    let name = key("s");
    let mut patch = it.store.patch(&name, titled("new"));
    while poll!(&mut patch).is_pending() && it.durable.calls(Operation::Patch) == 0 {
        tokio::task::yield_now().await;
    }
    drop(patch);
    it.unverified(&key("s")).await;
    gate.open();
    until(async || it.unverified(&key("s")).await.session.title.is_some()).await;
    assert_eq!(it.unverified(&key("s")).await.session.title.as_deref(), Some("new"));
}

#[tokio::test]
async fn a_reader_that_is_late_fills_nothing_old() {
    let it = Fixture::new();
    it.say(&key("s"), "hello").await;
    // Known, but not read as a copy yet.
    it.store.session(&key("s")).await.unwrap();
    for title in ["a", "b", "c"] {
        let store = it.store.clone();
        let reading = tokio::spawn(async move {
            store.read(&key("s"), ReadOptions::newest(9).unverified()).await.unwrap()
        });
        tokio::task::yield_now().await;
        it.store.patch(&key("s"), titled(title)).await.unwrap();
        reading.await.unwrap();
        for _ in 0..3 {
            assert_eq!(it.unverified(&key("s")).await.session.title.as_deref(), Some(title));
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn changes_that_find_no_room_cost_a_copy() {
    let it = Fixture::new();
    it.say(&key("s"), "hello").await;
    it.warm(&key("s")).await;
    // The deadline stands still with the clock: whatever comes now waits.
    it.hot.turns(Mood::Silent);
    for n in 0..1_200 {
        it.say(&key(&format!("{n}")), "x").await;
        it.store.patch(&key(&format!("{n}")), titled("t")).await.unwrap();
    }
    it.store.patch(&key("s"), titled("t")).await.unwrap();
    assert_eq!(it.unverified(&key("s")).await.session.title.as_deref(), Some("t"));
}

#[tokio::test]
async fn bytes_that_find_no_room_cost_a_copy_and_no_write() {
    let it = Fixture::new();
    let mut last = it.say(&key("s"), "0").await;
    it.warm(&key("s")).await;
    // The deadline stands still with the clock: whatever comes now waits.
    it.hot.turns(Mood::Silent);
    let long = "x".repeat(1 << 20);
    for n in 1..40 {
        let next = append(last.head, Expect::At(last.token), &format!("{n} {long}"));
        last = it.store.append(&key("s"), next).await.unwrap();
    }
    it.hot.turns(Mood::Well);
    let branch = it.unverified(&key("s")).await;
    assert_eq!((branch.entries.len(), branch.session.token), (40, last.token));
    it.clock.advance(Duration::from_secs(1)); // what never answered is given up
    let next = append(last.head, Expect::At(last.token), "end");
    last = it.store.append(&key("s"), next).await.unwrap();
    let newest = ReadOptions::newest(3).unverified();
    until(async || {
        let branch = it.store.read(&key("s"), newest).await.unwrap().unwrap();
        assert_eq!(branch.session.token, last.token);
        let copy = it.inner.cached(&key("s"), newest).await.unwrap();
        copy.is_some_and(|it| it.session.token == last.token)
    })
    .await;
}

#[tokio::test]
async fn a_slow_durable_tier_holds_up_no_other_copy() {
    let it = Fixture::new();
    let last = it.say(&key("s"), "hello").await;
    it.say(&key("t"), "canary").await;
    it.warm(&key("s")).await;
    it.warm(&key("t")).await;
    // What the session has become is asked before its copy is brought up to date.
    let gate = it.durable.hold(Operation::Session, 1);
    let next = append(last.head, Expect::At(last.token), "more");
    it.store.append(&key("s"), next).await.unwrap();
    gate.reached_by(1).await;
    let forgetting = it.store.forget_entry(&key("t"), Seq(1)).await.unwrap();
    assert_eq!((forgetting.erased, forgetting.pending), (1, 0));
    assert_eq!(it.inner.cached(&key("t"), ReadOptions::newest(0)).await.unwrap(), None);
    gate.open();
    until(async || it.has_copy(&key("s")).await).await;
}

#[tokio::test]
async fn a_change_that_waits_for_a_slow_tier_brings_nothing_forgotten_back() {
    let it = Fixture::new();
    let last = it.say(&key("s"), "canary").await;
    it.warm(&key("s")).await;
    let gate = it.durable.hold(Operation::Session, 1);
    let next = append(last.head, Expect::At(last.token), "more");
    it.store.append(&key("s"), next).await.unwrap();
    gate.reached_by(1).await;
    assert_eq!(it.store.forget_entry(&key("s"), Seq(1)).await.unwrap().pending, 0);
    gate.open();
    it.warm(&key("s")).await;
    assert_eq!(texts(&it.unverified(&key("s")).await), ["", "more"]);
}

/// What many writers by token have appended is all there, in the order of its acknowledgement, and
/// no read was of a history that never was.
async fn writers_lose_nothing(mood: Mood, seed: u64) {
    let it = Arc::new(Fixture::of_seed(seed));
    it.say(&key("s"), "first").await;
    it.hot.turns(mood);
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let it = Arc::clone(&it);
        writers.spawn(async move {
            for n in 0..50 {
                let text = format!("{writer} {n}");
                let seq = say_hastily(&it, &text).await;
                let sure = it.store.read(&key("s"), ReadOptions::newest(9_999)).await;
                let sure = sure.unwrap().unwrap();
                assert!(sure.entries.iter().any(|it| it.seq == seq), "{mood:?} {seed} {text}");
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let sure = it.store.read(&key("s"), ReadOptions::newest(9_999)).await.unwrap().unwrap();
    let said = texts(&sure);
    assert_eq!(said.len(), 201, "{mood:?} {seed}");
    for writer in 0..4 {
        let own: Vec<&String> =
            said.iter().filter(|it| it.starts_with(&format!("{writer} "))).collect();
        let expected: Vec<String> = (0..50).map(|n| format!("{writer} {n}")).collect();
        assert_eq!(own, expected.iter().collect::<Vec<_>>(), "{mood:?} {seed}");
    }
}

/// Appends after an unverified read, as often as it conflicts.
async fn say_hastily(it: &Fixture, text: &str) -> Seq {
    for _ in 0..10_000 {
        let hasty = it.unverified(&key("s")).await;
        let said = texts(&hasty);
        let sure = it.durable.read(&key("s"), ReadOptions::newest(9_999)).await.unwrap().unwrap();
        let known = texts(&sure);
        let from = known.iter().position(|it| Some(it) == said.first()).unwrap();
        assert_eq!(known.get(from..from + said.len()), Some(&said[..]), "a history that never was");
        let append = append(hasty.session.head, Expect::At(hasty.session.token), text);
        match it.store.append(&key("s"), append).await {
            Ok(appended) => return appended.last.unwrap(),
            Err(error) => assert_eq!(error.kind(), MemoryErrorKind::Conflict),
        }
        tokio::task::yield_now().await;
    }
    panic!("{text} was refused ten thousand times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hasty_writers_lose_nothing_in_any_mood() {
    let moods = [
        Mood::Well,
        Mood::Dead,
        Mood::Fails(40),
        Mood::Loses(40),
        Mood::Forgets(40),
        Mood::Lags(30),
    ];
    for seed in 0..3 {
        for mood in moods {
            writers_lose_nothing(mood, seed).await;
        }
    }
}

#[tokio::test]
async fn a_forgotten_copy_of_the_hot_tier_is_filled_again() {
    let it = Fixture::new();
    it.say(&key("s"), "hello").await;
    it.warm(&key("s")).await;
    it.inner.evict(&key("s")).await.unwrap();
    assert_eq!(texts(&it.unverified(&key("s")).await), ["hello"]);
    until(async || it.has_copy(&key("s")).await).await;
}
