//! What is kept with a session, and forgetting it.

use std::sync::Arc;

use brain_core::{
    brain::{OnBusy, TurnRequest},
    ids::{IdempotencyKey, Owner},
    memory::{Catalog, SessionPatch, TurnState},
};
use brain_testkit::{Answer, Gate, ScriptedLlm};

use crate::fixture::{brain, history, id, in_memory, key, owner, say, until};

#[tokio::test]
async fn system_prompt_and_title_stay_with_the_session() {
    let (store, llm) = (in_memory(), Arc::new(ScriptedLlm::echo()));
    let brain = brain(store.clone(), llm.clone());
    let first = TurnRequest {
        system: Some("be brief".into()),
        title: Some("t".into()),
        ..TurnRequest::text(Some(id("s")), "one")
    };
    brain.chat(&owner(), first).await.unwrap().events.end().await.unwrap();
    say(&brain, "s", "two").await;
    assert_eq!(llm.requests()[1].messages[0].joined_text(), "be brief");
    let other =
        TurnRequest { system: Some("be long".into()), ..TurnRequest::text(Some(id("s")), "three") };
    brain.chat(&owner(), other).await.unwrap().events.end().await.unwrap();
    assert_eq!(llm.requests()[2].messages[0].joined_text(), "be long");
    let session = store.session(&key("s")).await.unwrap().unwrap();
    assert_eq!((session.title.as_deref(), session.system.as_deref()), (Some("t"), Some("be long")));
}

#[tokio::test]
async fn a_request_that_is_refused_or_made_again_changes_nothing() {
    let (store, gate) = (in_memory(), Gate::new());
    let answers = [Answer::text("a"), Answer::new().say("b").wait(&gate).finish()];
    let brain = brain(store.clone(), Arc::new(ScriptedLlm::new(answers)));
    let titled = |title: &str| TurnRequest {
        title: Some(title.into()),
        ..TurnRequest::text(Some(id("s")), "hi")
    };
    let key_of_first = Some(IdempotencyKey::new("k").unwrap());
    let first = TurnRequest { idempotency_key: key_of_first, ..titled("first") };
    brain.chat(&owner(), first.clone()).await.unwrap().events.end().await.unwrap();
    let renamed = SessionPatch { title: Some(Some("mine".into())), ..SessionPatch::default() };
    store.patch(&key("s"), renamed).await.unwrap();
    let title = async || store.session(&key("s")).await.unwrap().unwrap().title.unwrap();

    assert!(brain.chat(&owner(), first.clone()).await.unwrap().replayed);
    assert_eq!(title().await, "mine");
    let reused = TurnRequest { title: Some("other".into()), ..first };
    brain.chat(&owner(), reused).await.unwrap_err();
    assert_eq!(title().await, "mine");

    let running = brain.chat(&owner(), titled("second")).await.unwrap();
    assert_eq!(title().await, "second");
    let late = TurnRequest { on_busy: OnBusy::Reject, ..titled("late") };
    brain.chat(&owner(), late).await.unwrap_err();
    assert_eq!(title().await, "second");
    gate.open();
    running.events.end().await.unwrap();
}

#[tokio::test]
async fn owners_never_meet() {
    let store = in_memory();
    let brain = brain(store.clone(), Arc::new(ScriptedLlm::echo()));
    say(&brain, "s", "mine").await;
    let other = Owner::new("other").unwrap();
    let started = brain.chat(&other, TurnRequest::text(Some(id("s")), "theirs")).await.unwrap();
    assert!(brain.listen(&owner(), started.turn, 0).await.unwrap().is_none());
    assert!(brain.turn(&owner(), started.turn).await.unwrap().is_none());
    assert!(brain.cancel(&owner(), started.turn).await.unwrap().is_none());
    assert_eq!(started.events.end().await.unwrap().status, TurnState::Completed);
    assert_eq!(history(&*store, "s").await.len(), 2);
}

#[tokio::test]
async fn forgetting_stops_the_turn_and_nothing_comes_back() {
    let (store, gate) = (in_memory(), Gate::new());
    let llm = ScriptedLlm::new([Answer::new().say("half").wait(&gate).finish()]);
    let brain = brain(store.clone(), Arc::new(llm));
    let request = TurnRequest::text(Some(id("s")), "hi");
    let mut started = brain.chat(&owner(), request).await.unwrap();
    until(&mut started.events, "text.delta").await;
    let forgotten = brain.forget(&key("s")).await.unwrap();
    assert_eq!((forgotten.erased, forgotten.pending), (2, 0));
    gate.open();
    until(&mut started.events, "turn.interrupted").await;
    assert!(store.session(&key("s")).await.unwrap().is_none());
    assert!(brain.turn(&owner(), started.turn).await.unwrap().is_none());
    assert!(brain.listen(&owner(), started.turn, 0).await.unwrap().is_none(), "its log is gone");
}
