//! A store that fails while a turn runs: what was acknowledged stays, nothing is written twice.

use std::{sync::Arc, time::Duration};

use brain_core::{
    brain::{Brain, BrainConfig, CANCELLED, Limits, OnBusy, SUPERSEDED, TurnRequest},
    memory::{MemoryErrorKind, TurnIndex, TurnState},
};
use brain_testkit::{Answer, FaultyStore, Gate, Operation, ScriptedLlm};

use crate::fixture::{id, in_memory, owner, ports, say, transcript, until};

fn faulty_brain(
    answers: impl IntoIterator<Item = Answer>,
) -> (Brain, Arc<FaultyStore>, Arc<ScriptedLlm>) {
    let store = Arc::new(FaultyStore::new(in_memory()));
    let llm = Arc::new(ScriptedLlm::new(answers));
    let limits = Limits { checkpoint_bytes: 1, ..Limits::default() };
    let config = BrainConfig { limits, ..BrainConfig::default() };
    (Brain::new(ports(store.clone(), llm.clone()), config), store, llm)
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_cannot_renew_stops_before_its_lease_ends() {
    let (brain, store, llm) = faulty_brain([Answer::new().say("half").wait(&Gate::new())]);
    let clock = brain.ports().clock.clone();
    let began = clock.elapsed();
    let request = TurnRequest::text(Some(id("s")), "hi");
    let started = brain.chat(&owner(), request).await.unwrap();
    store.break_down(Operation::Renew, MemoryErrorKind::Unavailable);
    llm.dropped(1).await;
    assert!(clock.elapsed() - began <= Duration::from_secs(10));
    assert_eq!(started.events.end().await.unwrap().error.unwrap().code, SUPERSEDED);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_stored_once_the_store_is_back() {
    let (brain, store, _) = faulty_brain([Answer::text("yes")]);
    store.fail(Operation::Close, 1, MemoryErrorKind::Unavailable);
    store.fail(Operation::Close, 2, MemoryErrorKind::Unavailable);
    assert_eq!(say(&brain, "s", "hi").await.status, TurnState::Completed);
    assert_eq!(transcript(&*store, "s").await, ["user:complete:hi", "assistant:complete:yes"]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_doubles_nothing() {
    let (brain, store, _) = faulty_brain([Answer::text("yes")]);
    store.lose_reply(Operation::Open, 1);
    store.lose_reply(Operation::Close, 1);
    assert_eq!(say(&brain, "s", "hi").await.status, TurnState::Completed);
    assert_eq!(transcript(&*store, "s").await, ["user:complete:hi", "assistant:complete:yes"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_stored_is_no_success() {
    let (brain, store, _) = faulty_brain([Answer::text("yes")]);
    store.break_down(Operation::Close, MemoryErrorKind::Unavailable);
    let end = say(&brain, "s", "hi").await;
    assert_eq!(end.error.unwrap().code, "memory_unavailable");
    assert_eq!((end.status, end.answer), (TurnState::Interrupted, None));
}

#[tokio::test]
async fn checkpoints_that_fail_do_not_stop_an_answer() {
    let (brain, store, _) = faulty_brain([Answer::new().say("a").say("b").say("c").finish()]);
    store.break_down(Operation::Checkpoint, MemoryErrorKind::Unavailable);
    assert_eq!(say(&brain, "s", "hi").await.status, TurnState::Completed);
}

#[tokio::test]
async fn a_message_that_cannot_be_stored_is_refused() {
    let (brain, store, llm) = faulty_brain([Answer::text("yes")]);
    store.fail(Operation::Open, 1, MemoryErrorKind::Unavailable);
    let request = TurnRequest::text(Some(id("s")), "hi");
    let error = brain.chat(&owner(), request).await.unwrap_err();
    assert_eq!(error.code(), "memory_unavailable");
    assert_eq!(llm.requests().len(), 0, "no model is asked");
    assert!(transcript(&*store, "s").await.is_empty());
}

#[tokio::test]
async fn a_store_that_goes_away_without_saying_whether_it_opened_leaves_it_unknown() {
    let (brain, store, _) = faulty_brain([Answer::text("yes")]);
    store.lose_reply(Operation::Open, 1);
    store.fail(Operation::Open, 2, MemoryErrorKind::Unavailable);
    let request = TurnRequest::text(Some(id("s")), "hi");
    let error = brain.chat(&owner(), request).await.unwrap_err();
    assert_eq!(error.code(), "outcome_unknown");
    assert_eq!(transcript(&*store, "s").await, ["user:complete:hi"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_said_before_a_silence_is_stored_in_time() {
    let store = in_memory();
    let llm = ScriptedLlm::new([Answer::new().say("half").wait(&Gate::new())]);
    let brain = Brain::new(ports(store.clone(), Arc::new(llm)), BrainConfig::default());
    let request = TurnRequest::text(Some(id("s")), "hi");
    let mut started = brain.chat(&owner(), request).await.unwrap();
    until(&mut started.events, "text.delta").await;
    brain.ports().clock.sleep(Duration::from_millis(2_100)).await;
    let record = store.turn(&owner(), started.turn).await.unwrap().unwrap();
    assert_eq!(record.checkpoint.text, "half");
}

#[tokio::test]
async fn draining_waits_for_a_turn_that_is_being_opened_and_stops_it() {
    let store = Arc::new(FaultyStore::new(in_memory()));
    let opening = store.hold(Operation::Open, 1);
    let llm = Arc::new(ScriptedLlm::new([Answer::new().wait(&Gate::new())]));
    let limits = Limits { turns: 1, ..Limits::default() };
    let config = BrainConfig { limits, ..BrainConfig::default() };
    let brain = Brain::new(ports(store.clone(), llm), config);
    let (me, request) = (owner(), || TurnRequest::text(Some(id("s")), "hi"));
    let (started, (), ()) = tokio::join!(
        brain.chat(&me, request()),
        async {
            opening.reached_by(1).await;
            let error = brain.chat(&me, request()).await.unwrap_err();
            assert_eq!(error.code(), "too_many_turns", "the one that is being opened counts");
            brain.drain(Duration::from_millis(5)).await;
            assert_eq!(transcript(&*store, "s").await.len(), 2, "the turn has ended");
        },
        async {
            opening.reached_by(1).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            opening.open();
        },
    );
    let end = started.unwrap().events.end().await.unwrap();
    assert_eq!(end.error.unwrap().code, CANCELLED);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_changes_all_the_time_is_waited_for() {
    let (brain, store, _) = faulty_brain([Answer::text("yes")]);
    for call in 1..=40 {
        store.fail(Operation::Open, call, MemoryErrorKind::Conflict);
    }
    let request = |on_busy| TurnRequest { on_busy, ..TurnRequest::text(Some(id("s")), "hi") };
    let refused = brain.chat(&owner(), request(OnBusy::Reject)).await.unwrap_err();
    assert_eq!(refused.code(), "session_conflict");
    assert!(store.calls(Operation::Open) < 40);
    let started = brain.chat(&owner(), request(OnBusy::Wait)).await.unwrap();
    assert_eq!(started.events.end().await.unwrap().status, TurnState::Completed);
    assert_eq!(transcript(&*store, "s").await, ["user:complete:hi", "assistant:complete:yes"]);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever_for_a_session_that_changes_all_the_time() {
    let (brain, store, _) = faulty_brain([]);
    store.break_down(Operation::Open, MemoryErrorKind::Conflict);
    let began = brain.ports().clock.elapsed();
    let request = TurnRequest::text(Some(id("s")), "hi");
    assert_eq!(brain.chat(&owner(), request).await.unwrap_err().code(), "session_conflict");
    let waited = brain.ports().clock.elapsed() - began;
    assert!(waited <= Duration::from_secs(31), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_a_changing_session_ends_when_the_brain_does() {
    let (brain, store, _) = faulty_brain([]);
    store.break_down(Operation::Open, MemoryErrorKind::Conflict);
    let clock = brain.ports().clock.clone();
    let (me, request) = (owner(), TurnRequest::text(Some(id("s")), "hi"));
    let (refused, ()) = tokio::join!(brain.chat(&me, request), async {
        clock.sleep(Duration::from_secs(1)).await;
        brain.drain(Duration::from_secs(1)).await;
    });
    assert_eq!(refused.unwrap_err().code(), "shutting_down");
    assert!(clock.elapsed() < Duration::from_secs(5), "{:?}", clock.elapsed());
}
