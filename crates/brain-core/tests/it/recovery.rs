//! Processes end in the middle of turns; the next one goes on.

use std::{sync::Arc, time::Duration};

use brain_core::{
    brain::{Brain, BrainConfig, ChangeError, Limits, Ports, RESTARTED, SUPERSEDED, TurnRequest},
    ids::Seq,
    memory::{Catalog, InMemoryStore, MemoryErrorKind, MemoryStore, TurnIndex, TurnState},
};
use brain_testkit::{Answer, Gate, ManualClock, ScriptedLlm};
use futures_util::StreamExt;

use crate::fixture::{brain, id, in_memory, key, owner, ports, say, transcript, until};

/// A brain that stores every byte of an answer at once, and hangs after the first.
async fn half_an_answer(
    store: Arc<dyn MemoryStore>,
) -> (Brain, brain_core::brain::StartedTurn, Gate) {
    let gate = Gate::new();
    let answer = Answer::new().say("half").wait(&gate).say(" more").finish();
    let limits = Limits { checkpoint_bytes: 1, ..Limits::default() };
    let config = BrainConfig { limits, ..BrainConfig::default() };
    let brain = Brain::new(ports(store.clone(), Arc::new(ScriptedLlm::new([answer]))), config);
    let request = TurnRequest::text(Some(id("s")), "hi");
    let mut started = brain.chat(&owner(), request).await.unwrap();
    until(&mut started.events, "text.delta").await;
    while store.turn(&owner(), started.turn).await.unwrap().unwrap().checkpoint.text.is_empty() {
        tokio::task::yield_now().await;
    }
    (brain, started, gate)
}

#[tokio::test]
async fn a_successor_keeps_what_was_checkpointed_and_supersedes_the_old_holder() {
    let store = in_memory();
    let (_old, mut started, gate) = half_an_answer(store.clone()).await;

    let new = brain(store.clone(), Arc::new(ScriptedLlm::echo()));
    assert_eq!(new.recover().await.unwrap(), 1);
    assert_eq!(new.recover().await.unwrap(), 0);
    let lines = transcript(&*store, "s").await;
    assert_eq!(lines, ["user:complete:hi", "assistant:interrupted:half"]);
    assert_eq!(say(&new, "s", "next").await.status, TurnState::Completed);

    // Whatever a client had seen of it, the end is news, once.
    let mut events = new.listen(&owner(), started.turn, 999).await.unwrap().unwrap();
    let last = events.next().await.unwrap();
    let end = last.kind.end().unwrap().clone();
    let events = new.listen(&owner(), started.turn, last.number).await.unwrap().unwrap();
    assert_eq!(events.collect::<Vec<_>>().await, []);
    assert_eq!(end.error.unwrap().code, RESTARTED);
    assert_eq!(end.answer.unwrap().body.message.joined_text(), "half");

    gate.open();
    let last = until(&mut started.events, "turn.interrupted").await.pop().unwrap();
    assert_eq!(last.kind.end().unwrap().error.as_ref().unwrap().code, SUPERSEDED);
    assert_eq!(transcript(&*store, "s").await.len(), 4, "the old holder wrote nothing more");
}

#[tokio::test]
async fn a_lapsed_turn_is_ended_by_whoever_finds_it() {
    let clock = Arc::new(ManualClock::new());
    let store = Arc::new(InMemoryStore::new(clock.clone()));
    let (_old, _started, _gate) = half_an_answer(store.clone()).await;

    let new = brain(store.clone(), Arc::new(ScriptedLlm::echo()));
    clock.advance(Duration::from_secs(11));
    assert_eq!(say(&new, "s", "next").await.status, TurnState::Completed);
    let lines = transcript(&*store, "s").await;
    assert_eq!(lines[..2], ["user:complete:hi", "assistant:interrupted:half"]);
}

/// What was said is seen soon, though nobody writes to the session.
#[tokio::test]
async fn a_lapsed_turn_is_ended_though_nobody_asks() {
    let clock = Arc::new(ManualClock::new());
    let store = Arc::new(InMemoryStore::new(clock.clone()));
    let (old, started, _gate) = half_an_answer(store.clone()).await;
    let ports =
        Ports { clock: clock.clone(), ..ports(store.clone(), Arc::new(ScriptedLlm::echo())) };
    let new = Brain::new(ports, BrainConfig::default());
    new.start_upkeep();
    clock.sleepers(2).await;
    clock.advance(Duration::from_secs(9));
    assert_eq!(transcript(&*store, "s").await, ["user:complete:hi"]);
    clock.advance(Duration::from_secs(1));
    let ended = async {
        while store.turn(&owner(), started.turn).await.unwrap().unwrap().state.is_open() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ended).await.unwrap();
    let lines = transcript(&*store, "s").await;
    assert_eq!(lines, ["user:complete:hi", "assistant:interrupted:half"]);
    drop((old, started));
    new.drain(Duration::ZERO).await;
}

#[tokio::test]
async fn a_turn_in_the_way_of_a_change_is_named_and_a_lapsed_one_is_ended() {
    let clock = Arc::new(ManualClock::new());
    let store = Arc::new(InMemoryStore::new(clock.clone()));
    let (_old, started, _gate) = half_an_answer(store.clone()).await;
    let new = brain(store.clone(), Arc::new(ScriptedLlm::echo()));
    let token = store.session(&key("s")).await.unwrap().unwrap().token;
    let in_the_way = |refused: ChangeError| match refused {
        ChangeError::TurnInProgress { turn, .. } => assert_eq!(turn, started.turn),
        ChangeError::Memory(error) => panic!("{error}"),
    };
    in_the_way(new.forget_entry(&key("s"), Seq(1)).await.unwrap_err());
    in_the_way(new.move_head(&key("s"), token, None).await.unwrap_err());
    let lines = transcript(&*store, "s").await;
    assert_eq!(lines, ["user:complete:hi"]);

    clock.advance(Duration::from_secs(11));
    assert_eq!(new.forget_entry(&key("s"), Seq(1)).await.unwrap().erased, 1);
    let lines = transcript(&*store, "s").await;
    assert_eq!(lines, ["user:forgotten:", "assistant:interrupted:half"]);
    let stale = new.move_head(&key("s"), token, None).await.unwrap_err();
    assert!(matches!(stale, ChangeError::Memory(it) if it.kind() == MemoryErrorKind::Conflict));
}

#[tokio::test]
async fn a_turn_that_never_said_anything_is_failed_after_a_restart() {
    let store = in_memory();
    let llm = ScriptedLlm::new([Answer::new().wait(&Gate::new())]);
    let old = brain(store.clone(), Arc::new(llm));
    let request = TurnRequest::text(Some(id("s")), "hi");
    let _started = old.chat(&owner(), request).await.unwrap();
    let new = brain(store.clone(), Arc::new(ScriptedLlm::echo()));
    assert_eq!(new.recover().await.unwrap(), 1);
    assert_eq!(transcript(&*store, "s").await, ["user:complete:hi", "assistant:failed:"]);
}

#[tokio::test]
async fn another_process_can_follow_and_stop_a_turn_through_its_record() {
    let store = in_memory();
    let (old, started, gate) = half_an_answer(store.clone()).await;
    let new = brain(store.clone(), Arc::new(ScriptedLlm::echo()));
    let mut events = new.listen(&owner(), started.turn, 0).await.unwrap().unwrap();
    assert_eq!(events.next().await.unwrap().kind.name(), "turn.snapshot");
    let view = new.cancel(&owner(), started.turn).await.unwrap().unwrap();
    assert!(view.record.cancel_requested);
    drop(started.events);
    // The holder hears it with its next renewal.
    let end = tokio::time::timeout(Duration::from_secs(5), events.end()).await.unwrap().unwrap();
    assert_eq!(end.error.unwrap().code, "cancelled");
    assert_eq!(old.running_turns(), 0);
    gate.open();
}
