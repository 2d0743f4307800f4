//! Turns that break: what there was is kept, and nothing looks like success.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use brain_core::{
    brain::{CANCELLED, TurnRequest},
    ids::TurnId,
    llm::{
        Capabilities, ChatRequest, ChatStream, CompletionRequest, EmbedRequest, Embeddings,
        Estimate, LlmError, LlmErrorKind, LlmGateway, ModelList, TokenCounter,
    },
    memory::TurnState,
    time::Timestamp,
};
use brain_testkit::{Answer, Gate, ScriptedLlm};
use futures_util::{StreamExt, stream};

use crate::fixture::{brain, history, id, in_memory, owner, say, text, transcript, until};

/// One turn with this answer: its last event, its status, its error's code, the stored answer.
async fn broken(answer: Answer) -> (String, TurnState, String, String) {
    let store = in_memory();
    let answers = [answer, Answer::new().say("better").finish()];
    let brain = brain(store.clone(), Arc::new(ScriptedLlm::new(answers)));
    let request = TurnRequest::text(Some(id("s")), "hi");
    let mut started = brain.chat(&owner(), request).await.unwrap();
    let seen = until(&mut started.events, "turn.failed").await;
    let last = seen.last().unwrap();
    let end = last.kind.end().unwrap().clone();
    let line = transcript(&*store, "s").await.pop().unwrap();

    assert_eq!(say(&brain, "s", "again").await.status, TurnState::Completed, "the next turn works");
    (last.kind.name().to_owned(), end.status, end.error.unwrap().code, line)
}

#[tokio::test]
async fn a_model_that_cannot_be_asked_leaves_a_failed_answer() {
    let (event, status, code, line) =
        broken(Answer::new().fail(LlmErrorKind::Unavailable, "as scripted")).await;
    assert_eq!((event.as_str(), status), ("turn.failed", TurnState::Failed));
    assert_eq!((code.as_str(), line.as_str()), ("provider_unavailable", "assistant:failed:"));
}

#[tokio::test]
async fn a_stream_that_breaks_keeps_what_had_arrived() {
    let answer = Answer::new().say("half ").fail(LlmErrorKind::Protocol, "as scripted");
    let (_, status, code, line) = broken(answer).await;
    assert_eq!(status, TurnState::Interrupted);
    assert_eq!(
        (code.as_str(), line.as_str()),
        ("provider_protocol", "assistant:interrupted:half ")
    );
}

#[tokio::test]
async fn a_stream_that_just_ends_is_no_success() {
    let (_, status, code, line) = broken(Answer::new().say("half")).await;
    assert_eq!(status, TurnState::Interrupted);
    assert_eq!(
        (code.as_str(), line.as_str()),
        ("provider_interrupted", "assistant:interrupted:half")
    );
}

#[tokio::test]
async fn only_what_a_model_took_has_a_cost() {
    let cut = Answer::new().say("half");
    let brain = brain(in_memory(), Arc::new(ScriptedLlm::new([cut])));
    for (model, costs) in [(Some("no such model"), false), (None, true)] {
        let mut request = TurnRequest::text(None, "hi");
        request.model = model.map(str::to_owned);
        let mut started = brain.chat(&owner(), request).await.unwrap();
        let seen = until(&mut started.events, "turn.failed").await;
        let end = seen.last().unwrap().kind.end().unwrap();
        assert_eq!(end.usage.is_some_and(|it| it.estimated), costs, "{end:?}");
    }
}

/// An adapter that is broken beyond errors.
#[derive(Debug)]
struct Panics;

#[async_trait]
impl LlmGateway for Panics {
    async fn stream(&self, _request: ChatRequest) -> Result<ChatStream, LlmError> {
        let events = stream::iter(0..2).map(|it| match it {
            0 => Ok(text("half")),
            _ => panic!("as scripted"),
        });
        Ok(events.boxed())
    }

    async fn complete_text(&self, request: CompletionRequest) -> Result<ChatStream, LlmError> {
        Err(LlmError::fills_no_gaps(&request.model))
    }

    async fn embed(&self, _request: EmbedRequest) -> Result<Embeddings, LlmError> {
        panic!("not asked here")
    }

    async fn models(&self) -> Result<ModelList, LlmError> {
        panic!("not asked here")
    }

    fn capabilities(&self, _model: &str) -> Capabilities {
        Capabilities::default()
    }

    fn tokens(&self, _model: &str) -> Arc<dyn TokenCounter> {
        Estimate::counter()
    }
}

#[tokio::test]
async fn a_panic_ends_the_turn_and_nothing_else() {
    let store = in_memory();
    let end = say(&brain(store.clone(), Arc::new(Panics)), "s", "hi").await;
    assert_eq!(end.error.unwrap().code, "internal_error");
    assert_eq!(transcript(&*store, "s").await[1], "assistant:interrupted:half");
    let next = brain(store, Arc::new(ScriptedLlm::echo()));
    assert_eq!(say(&next, "s", "again").await.status, TurnState::Completed);
}

#[tokio::test]
async fn an_answer_without_end_is_cut() {
    let piece = "x".repeat(1024 * 1024);
    let endless = (0..8).fold(Answer::new(), |answer, _| answer.say(piece.as_str())).finish();
    let (_, status, code, line) = broken(endless).await;
    assert_eq!((status, code.as_str()), (TurnState::Interrupted, "answer_too_long"));
    assert!(line.len() < 6 * 1024 * 1024);
}

#[tokio::test]
async fn failed_answers_are_not_shown_to_the_model() {
    let answers =
        [Answer::new().fail(LlmErrorKind::Unavailable, "as scripted"), Answer::new().finish()];
    let llm = Arc::new(ScriptedLlm::new(answers));
    let brain = brain(in_memory(), llm.clone());
    say(&brain, "s", "one").await;
    say(&brain, "s", "two").await;
    let request = llm.requests().pop().unwrap();
    let seen: Vec<String> = request.messages.iter().map(|it| it.joined_text()).collect();
    assert_eq!(seen, ["one\ntwo"]);
}

#[tokio::test]
async fn a_stopped_turn_keeps_what_had_arrived_and_drops_the_stream() {
    let (store, gate) = (in_memory(), Gate::new());
    let llm = Arc::new(ScriptedLlm::new([Answer::new().say("half").wait(&gate)]));
    let brain = brain(store.clone(), llm.clone());
    let request = TurnRequest::text(Some(id("s")), "hi");
    let mut started = brain.chat(&owner(), request).await.unwrap();
    until(&mut started.events, "text.delta").await;

    let view = brain.cancel(&owner(), started.turn).await.unwrap().unwrap();
    assert_eq!(view.record.state, TurnState::Interrupted);
    assert_eq!(view.record.error.unwrap().code, CANCELLED);
    assert_eq!(view.answer, history(&*store, "s").await.pop());
    assert_eq!(llm.cancelled(), 1);
    assert_eq!(transcript(&*store, "s").await[1], "assistant:interrupted:half");
    until(&mut started.events, "turn.interrupted").await;

    let again = brain.cancel(&owner(), started.turn).await.unwrap().unwrap();
    assert_eq!(again.record.state, TurnState::Interrupted, "stopping twice changes nothing");
    let nobody = TurnId::generate(Timestamp::default());
    assert!(brain.cancel(&owner(), nobody).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_takes_too_long_ends() {
    let store = in_memory();
    let llm = ScriptedLlm::new([Answer::new().say("half").wait(&Gate::new())]);
    let brain = brain(store.clone(), Arc::new(llm));
    let end = say(&brain, "s", "hi").await;
    assert_eq!(end.error.unwrap().code, "turn_timeout");
    assert_eq!(transcript(&*store, "s").await[1], "assistant:interrupted:half");
}

#[tokio::test]
async fn draining_refuses_new_turns_and_stops_late_ones() {
    let store = in_memory();
    let llm = ScriptedLlm::new([Answer::new().say("half").wait(&Gate::new())]);
    let brain = brain(store.clone(), Arc::new(llm));
    let request = || TurnRequest::text(Some(id("s")), "hi");
    let mut started = brain.chat(&owner(), request()).await.unwrap();
    until(&mut started.events, "text.delta").await;
    assert_eq!(brain.drain(Duration::from_millis(5)).await, 1);
    assert_eq!(brain.running_turns(), 0);
    assert_eq!(transcript(&*store, "s").await[1], "assistant:interrupted:half");
    let error = brain.chat(&owner(), request()).await.unwrap_err();
    assert_eq!(error.code(), "shutting_down");
}
