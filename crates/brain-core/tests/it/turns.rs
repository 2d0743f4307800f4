//! Turns that go well.

use std::{sync::Arc, time::Duration};

use brain_core::{
    brain::{ChatError, OnBusy, TurnEventKind, TurnInput, TurnRequest},
    ids::IdempotencyKey,
    memory::{EntryStatus, InMemoryStore, MemoryErrorKind, TurnState},
};
use brain_testkit::{Answer, Gate, ScriptedLlm};
use brain_tokio::TokioClock;
use futures_util::StreamExt;

use crate::fixture::{brain, history, id, in_memory, owner, say, transcript, until};

#[tokio::test]
async fn an_answer_is_streamed_in_numbered_events_and_stored() {
    let answer = Answer::new().say("good ").say("day").usage(7, 2).finish();
    let store = in_memory();
    let brain = brain(store.clone(), Arc::new(ScriptedLlm::new([answer])));
    let request = TurnRequest::text(Some(id("s")), "hi");
    let started = brain.chat(&owner(), request).await.unwrap();
    let events: Vec<_> = started.events.collect().await;

    let names: Vec<&str> = events.iter().map(|it| it.kind.name()).collect();
    assert_eq!(names, ["turn.started", "text.delta", "text.delta", "turn.completed"]);
    let numbers: Vec<u64> = events.iter().map(|it| it.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    let end = events[3].kind.end().unwrap();
    assert_eq!(end.status, TurnState::Completed);
    assert_eq!(end.usage.unwrap().input_tokens, 7);
    let stored = history(&*store, "s").await;
    assert_eq!(end.answer.as_ref(), stored.last());
    assert_eq!(stored[1].body.model.as_deref(), Some("scripted"));
    assert_eq!(transcript(&*store, "s").await, ["user:complete:hi", "assistant:complete:good day"]);
}

#[tokio::test]
async fn the_model_sees_what_was_said_before() {
    let (store, llm) = (in_memory(), Arc::new(ScriptedLlm::echo()));
    let brain = brain(store, llm.clone());
    say(&brain, "s", "one").await;
    say(&brain, "other", "elsewhere").await;
    let end = say(&brain, "s", "two").await;
    let request = llm.requests().pop().unwrap();
    let seen: Vec<String> = request.messages.iter().map(|it| it.joined_text()).collect();
    assert_eq!(seen, ["one", "one", "two"]);
    assert_eq!(end.context.unwrap().used_entries, 3);
}

#[tokio::test]
async fn what_the_user_said_is_stored_before_a_model_is_asked() {
    let (store, gate) = (in_memory(), Gate::new());
    let llm = ScriptedLlm::new([Answer::new().wait(&gate).finish()]);
    let brain = brain(store.clone(), Arc::new(llm));
    let request = TurnRequest::text(Some(id("s")), "keep me");
    let started = brain.chat(&owner(), request).await.unwrap();
    assert_eq!(transcript(&*store, "s").await, ["user:complete:keep me"]);
    gate.open();
    assert_eq!(started.events.end().await.unwrap().status, TurnState::Completed);
}

#[tokio::test]
async fn a_second_turn_waits_or_is_refused() {
    let (store, gate) = (in_memory(), Gate::new());
    let answers = [Answer::new().say("a").wait(&gate).finish(), Answer::new().say("b").finish()];
    let brain = brain(store.clone(), Arc::new(ScriptedLlm::new(answers)));
    let request = |text: &str| TurnRequest::text(Some(id("s")), text);
    let mut first = brain.chat(&owner(), request("1")).await.unwrap();
    until(&mut first.events, "text.delta").await;

    let reject = TurnRequest { on_busy: OnBusy::Reject, ..request("2") };
    let error = brain.chat(&owner(), reject).await.unwrap_err();
    let ChatError::TurnInProgress { turn, lease_left } = error else { panic!("{error}") };
    assert_eq!(turn, first.turn);
    assert!(lease_left.is_some());

    let me = owner();
    let (second, ()) = tokio::join!(brain.chat(&me, request("2")), async {
        tokio::task::yield_now().await;
        gate.open();
    });
    assert_eq!(second.unwrap().events.end().await.unwrap().status, TurnState::Completed);
    let lines = transcript(&*store, "s").await;
    assert_eq!(
        lines,
        ["user:complete:1", "assistant:complete:a", "user:complete:2", "assistant:complete:b"]
    );
}

#[tokio::test]
async fn a_request_with_a_known_key_is_the_same_turn() {
    let (store, gate) = (in_memory(), Gate::new());
    let llm = Arc::new(ScriptedLlm::new([Answer::new().say("once").wait(&gate).finish()]));
    let brain = brain(store.clone(), llm.clone());
    let key = Some(IdempotencyKey::new("k").unwrap());
    let request = TurnRequest { idempotency_key: key, ..TurnRequest::text(None, "hi") };
    let me = owner();
    let both = tokio::join!(brain.chat(&me, request.clone()), brain.chat(&me, request.clone()));
    let (first, second) = (both.0.unwrap(), both.1.unwrap());
    assert_eq!((first.turn, &first.session), (second.turn, &second.session));
    assert_ne!(first.replayed, second.replayed);
    gate.open();
    let ends = (first.events.end().await.unwrap(), second.events.end().await.unwrap());
    assert_eq!(ends.0, ends.1);

    let later = brain.chat(&owner(), request.clone()).await.unwrap();
    assert_eq!(later.events.end().await.unwrap().answer, ends.0.answer);
    assert_eq!(llm.requests().len(), 1);
    let session = first.session.as_str();
    assert_eq!(transcript(&*store, session).await.len(), 2);

    let other =
        TurnRequest { idempotency_key: request.idempotency_key, ..TurnRequest::text(None, "no") };
    let error = brain.chat(&owner(), other).await.unwrap_err();
    assert_eq!(error.memory_kind(), Some(MemoryErrorKind::KeyReused));
}

#[tokio::test]
async fn regenerating_makes_a_sibling_and_loses_nothing() {
    let store = in_memory();
    let answers = [Answer::new().say("a").finish(), Answer::new().say("b").finish()];
    let brain = brain(store.clone(), Arc::new(ScriptedLlm::new(answers)));
    let first = say(&brain, "s", "1").await.answer.unwrap();
    let input = TurnInput::Regenerate(first.seq);
    let request = TurnRequest { session: Some(id("s")), input, ..TurnRequest::default() };
    let again = brain.chat(&owner(), request).await.unwrap().events.end().await.unwrap();
    assert_eq!(again.answer.unwrap().parent, first.parent);
    assert_eq!(transcript(&*store, "s").await, ["user:complete:1", "assistant:complete:b"]);
}

#[tokio::test]
async fn an_answer_that_was_cut_short_says_so() {
    use brain_core::llm::FinishReason;
    let store = in_memory();
    let answers =
        [Answer::new().say("and then").finish_for(FinishReason::Length), Answer::text("a")];
    let brain = brain(store.clone(), Arc::new(ScriptedLlm::new(answers)));
    let end = say(&brain, "s", "go on").await;
    assert_eq!(end.status, TurnState::Completed);
    assert_eq!(end.answer.unwrap().body.finish_reason, Some(FinishReason::Length));
    let end = say(&brain, "s", "again").await;
    assert_eq!(end.answer.unwrap().body.finish_reason, Some(FinishReason::Stop));
}

#[tokio::test]
async fn reasoning_is_shown_and_kept_beside_the_answer() {
    let store = in_memory();
    let llm = ScriptedLlm::new([Answer::new().think("hm").say("yes").finish()]);
    let brain = brain(store.clone(), Arc::new(llm));
    let request = TurnRequest::text(Some(id("s")), "?");
    let mut started = brain.chat(&owner(), request).await.unwrap();
    let seen = until(&mut started.events, "turn.completed").await;
    assert_eq!(seen[1].kind, TurnEventKind::ReasoningDelta("hm".to_owned()));
    let entry = history(&*store, "s").await.pop().unwrap();
    assert_eq!(entry.body.message.reasoning.as_deref(), Some("hm"));
    assert_eq!(entry.body.message.joined_text(), "yes");
    assert_eq!(entry.body.status, EntryStatus::Complete);
}

#[tokio::test]
async fn senseless_requests_are_refused_and_store_nothing() {
    let store = in_memory();
    let brain = brain(store.clone(), Arc::new(ScriptedLlm::echo()));
    let session = || TurnRequest::text(Some(id("s")), "hi");
    let cases = [
        (TurnRequest::text(Some(id("s")), " \n"), "invalid_request"),
        (TurnRequest::text(Some(id("s")), "x".repeat(1024 * 1024 + 1)), "message_too_large"),
        (TurnRequest { tools: Some(vec!["nope".into()]), ..session() }, "unknown_tool"),
        (
            TurnRequest {
                metadata: Some(brain_core::json::RawJson::parse("[1]").unwrap()),
                ..session()
            },
            "invalid_request",
        ),
        (TurnRequest { parent: Some(brain_core::ids::Seq(7)), ..session() }, "session_not_found"),
    ];
    for (request, code) in cases {
        assert_eq!(brain.chat(&owner(), request).await.unwrap_err().code(), code);
    }
    assert_eq!(history(&*store, "s").await, []);
}

#[tokio::test(start_paused = true)]
async fn a_turn_keeps_its_session_alive() {
    let (minute, gate) = (Duration::from_secs(60), Gate::new());
    let store = InMemoryStore::new(Arc::new(TokioClock::new())).with_ttl(Some(minute / 3));
    let store = Arc::new(store);
    let llm = ScriptedLlm::new([Answer::new().say("yes").wait(&gate).finish()]);
    let brain = brain(store.clone(), Arc::new(llm));
    let request = TurnRequest::text(Some(id("s")), "hi");
    let started = brain.chat(&owner(), request).await.unwrap();
    tokio::time::sleep(minute).await;
    gate.open();
    assert_eq!(started.events.end().await.unwrap().status, TurnState::Completed);
    assert_eq!(transcript(&*store, "s").await, ["user:complete:hi", "assistant:complete:yes"]);
    tokio::time::sleep(minute).await;
    assert!(transcript(&*store, "s").await.is_empty(), "it ends once nobody goes on with it");
}
