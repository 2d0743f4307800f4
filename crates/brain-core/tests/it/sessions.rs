//! What is kept with a session, and forgetting it.

use std::sync::Arc;

use brain_core::{
    brain::TurnRequest,
    ids::Owner,
    memory::{Catalog, TurnState},
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
}
