//! Listeners come, go and come back.

use std::{sync::Arc, time::Duration};

use brain_core::{
    brain::{Brain, BrainConfig, Limits, OnDisconnect, TurnEventKind, TurnRequest},
    memory::TurnState,
};
use brain_testkit::{Answer, Gate, ScriptedLlm};
use futures_util::StreamExt;

use crate::fixture::{brain, id, in_memory, owner, ports, transcript, until};

fn request(on_disconnect: OnDisconnect) -> TurnRequest {
    TurnRequest { on_disconnect, ..TurnRequest::text(Some(id("s")), "hi") }
}

#[tokio::test]
async fn a_turn_goes_on_when_nobody_listens() {
    let (store, gate) = (in_memory(), Gate::new());
    let answer = Answer::new().say("a").wait(&gate).say("b").finish();
    let brain = brain(store.clone(), Arc::new(ScriptedLlm::new([answer])));
    let mut started = brain.chat(&owner(), request(OnDisconnect::Continue)).await.unwrap();
    until(&mut started.events, "text.delta").await;
    drop(started.events);
    let back = brain.listen(&owner(), started.turn, 2).await.unwrap().unwrap();
    gate.open();
    let rest: Vec<_> = back.collect().await;
    let numbers: Vec<u64> = rest.iter().map(|it| it.number).collect();
    assert_eq!(numbers, [3, 4], "only what came after event 2");
    assert_eq!(transcript(&*store, "s").await[1], "assistant:complete:ab");
}

#[tokio::test]
async fn a_turn_stops_when_its_last_listener_leaves_if_it_should() {
    let store = in_memory();
    let llm = Arc::new(ScriptedLlm::new([Answer::new().say("a").wait(&Gate::new())]));
    let brain = brain(store.clone(), llm.clone());
    let mut started = brain.chat(&owner(), request(OnDisconnect::Cancel)).await.unwrap();
    let second = brain.listen(&owner(), started.turn, 0).await.unwrap();
    until(&mut started.events, "text.delta").await;
    drop(second);
    assert_eq!(llm.cancelled(), 0, "somebody still listens");
    drop(started.events);
    // It has resumed before, so it has some grace; then the stream is dropped.
    tokio::time::timeout(Duration::from_secs(8), llm.dropped(1)).await.unwrap();
    let end = brain.listen(&owner(), started.turn, 0).await.unwrap().unwrap().end().await.unwrap();
    assert_eq!(end.status, TurnState::Interrupted);
}

#[tokio::test]
async fn leaving_without_having_come_back_stops_at_once() {
    let llm = Arc::new(ScriptedLlm::new([Answer::new().say("a").wait(&Gate::new())]));
    let brain = brain(in_memory(), llm.clone());
    let mut started = brain.chat(&owner(), request(OnDisconnect::Cancel)).await.unwrap();
    until(&mut started.events, "text.delta").await;
    drop(started);
    tokio::time::timeout(Duration::from_millis(200), llm.dropped(1)).await.unwrap();
}

#[tokio::test]
async fn one_that_missed_too_much_gets_a_snapshot_and_the_rest() {
    let (store, gate) = (in_memory(), Gate::new());
    let words = (0..100).fold(Answer::new(), |answer, _| answer.say("word "));
    let answer = words.wait(&gate).say("end").finish();
    let limits = Limits { log_bytes: 500, ..Limits::default() };
    let config = BrainConfig { limits, ..BrainConfig::default() };
    let brain = Brain::new(ports(store, Arc::new(ScriptedLlm::new([answer]))), config);
    let started = brain.chat(&owner(), request(OnDisconnect::Continue)).await.unwrap();
    gate.reached_by(1).await;
    let mut late = brain.listen(&owner(), started.turn, 3).await.unwrap().unwrap();
    let first = late.next().await.unwrap();
    let TurnEventKind::Snapshot(snapshot) = &first.kind else { panic!("{first:?}") };
    assert_eq!(snapshot.text, "word ".repeat(100));
    gate.open();
    let rest: Vec<_> = late.collect().await;
    assert_eq!(rest[0].kind, TurnEventKind::TextDelta("end".into()));
    assert!(first.number < rest[0].number);
    assert_eq!(rest[1].kind.name(), "turn.completed");
}

#[tokio::test]
async fn a_turn_that_ended_elsewhere_is_told_from_its_record() {
    let store = in_memory();
    let there = brain(store.clone(), Arc::new(ScriptedLlm::echo()));
    let started = there.chat(&owner(), request(OnDisconnect::Continue)).await.unwrap();
    let end = started.events.end().await.unwrap();

    let here = brain(store, Arc::new(ScriptedLlm::echo()));
    let events: Vec<_> =
        here.listen(&owner(), started.turn, 2).await.unwrap().unwrap().collect().await;
    assert_eq!(events.len(), 1);
    assert!(2 < events[0].number);
    assert_eq!(events[0].kind.end().unwrap().answer, end.answer);
    let seen = events[0].number;
    for after in [seen, seen + 7] {
        let again = here.listen(&owner(), started.turn, after).await.unwrap().unwrap();
        assert_eq!(again.collect::<Vec<_>>().await, [], "nothing is told twice");
    }
}
