//! Titles: given once, to sessions that nobody named.

use std::{sync::Arc, time::Duration};

use brain_core::{
    brain::{Brain, BrainConfig, Limits, TurnRequest},
    chat::Message,
    ids::Seq,
    llm::{Capabilities, LlmErrorKind, ModelInfo, Router},
    memory::{
        Catalog, EntryBody, ExportedEntry, ExportedSession, MemoryClass, MemoryStore, Portable,
        SessionPatch, TurnState,
    },
    time::Timestamp,
};
use brain_testkit::{Answer, Gate, ScriptedLlm};

use super::{config, router};
use crate::fixture::{id, in_memory, key, owner, ports, say};

fn titling(store: Arc<dyn MemoryStore>, model: Option<&ScriptedLlm>) -> Brain {
    let summary_model = model.map(|_| "other/scripted".to_owned());
    let other = model.cloned().unwrap_or_else(|| ScriptedLlm::new([]));
    let config = BrainConfig { titles: true, summary_model, ..config() };
    Brain::new(ports(store, router(Arc::new(other))), config)
}

async fn title(store: &dyn MemoryStore) -> Option<String> {
    store.session(&key("s")).await.unwrap().unwrap().title
}

#[tokio::test]
async fn an_untitled_session_is_named_after_what_was_said_first() {
    let store = in_memory();
    let brain = titling(store.clone(), None);
    say(&brain, "s", "How far is the moon? I want to go there.").await;
    brain.drain(Duration::from_secs(5)).await;
    assert_eq!(title(&*store).await.as_deref(), Some("How far is the moon?"));
    let brain = titling(store.clone(), None);
    say(&brain, "s", "And the sun?").await;
    brain.drain(Duration::from_secs(5)).await;
    assert_eq!(title(&*store).await.as_deref(), Some("How far is the moon?"));
}

#[tokio::test]
async fn a_model_names_it_and_a_model_that_fails_does_not_matter() {
    for (answer, expected) in [
        (Answer::text("\"Going to the moon\"\n"), "Going to the moon"),
        (Answer::refused(LlmErrorKind::Unavailable, "away"), "How far is the moon?"),
        (Answer::text("  "), "How far is the moon?"),
    ] {
        let (store, other) = (in_memory(), ScriptedLlm::new([answer]));
        let brain = titling(store.clone(), Some(&other));
        say(&brain, "s", "How far is the moon? I want to go there.").await;
        brain.drain(Duration::from_secs(5)).await;
        assert_eq!(title(&*store).await.as_deref(), Some(expected));
    }
}

#[tokio::test]
async fn a_session_is_named_though_its_turn_fails() {
    let away = || Answer::refused(LlmErrorKind::Unavailable, "away");
    let (store, other) = (in_memory(), ScriptedLlm::new([]));
    let summary_model = Some("other/scripted".to_owned());
    let llm = Router::new("test", Arc::new(ScriptedLlm::new([away()])))
        .with("other", Arc::new(other.clone()));
    let config = BrainConfig { titles: true, summary_model, ..config() };
    let brain = Brain::new(ports(store.clone(), Arc::new(llm)), config);
    let asked = TurnRequest::text(Some(id("s")), "How far is the moon? I want to go there.");
    let end = brain.chat(&owner(), asked).await.unwrap().events.end().await.unwrap();
    assert_eq!(end.status, TurnState::Failed);
    brain.drain(Duration::from_secs(5)).await;
    assert_eq!(title(&*store).await.as_deref(), Some("How far is the moon?"));
    assert!(other.requests().is_empty(), "nobody is asked where nobody could answer");
}

#[tokio::test]
async fn a_session_is_named_though_its_daemon_died() {
    let (store, gate) = (in_memory(), Gate::new());
    let llm = Arc::new(ScriptedLlm::new([Answer::text("far").after(&gate)]));
    let dead = Brain::new(ports(store.clone(), llm), config());
    let asked = TurnRequest::text(Some(id("s")), "How far is the moon?");
    let _started = dead.chat(&owner(), asked).await.unwrap();
    gate.reached_by(1).await;
    let next = titling(store.clone(), None);
    assert_eq!(next.recover().await.unwrap(), 1);
    next.drain(Duration::from_secs(5)).await;
    assert_eq!(title(&*store).await.as_deref(), Some("How far is the moon?"));
}

#[tokio::test]
async fn a_session_is_named_the_same_whatever_happened() {
    for dies in [false, true] {
        let (store, gate) = (in_memory(), Gate::new());
        let limits = Limits { window_entries: 2, ..Limits::default() };
        let untitled = BrainConfig { limits: limits.clone(), ..config() };
        let answer = |n: u32| Answer::text(format!("answer {n}"));
        let llm = ScriptedLlm::new([answer(1), answer(2), answer(3).after(&gate)]);
        let before = Brain::new(ports(store.clone(), Arc::new(llm)), untitled);
        say(&before, "s", "How far is the moon?").await;
        say(&before, "s", "And the sun?").await;
        let titles = BrainConfig { limits, titles: true, ..config() };
        let next = Brain::new(ports(store.clone(), router(Arc::new(ScriptedLlm::new([])))), titles);
        if dies {
            let asked = TurnRequest::text(Some(id("s")), "And Mars?");
            let _started = before.chat(&owner(), asked).await.unwrap();
            gate.reached_by(1).await;
            assert_eq!(next.recover().await.unwrap(), 1);
        } else {
            say(&next, "s", "And Mars?").await;
        }
        next.drain(Duration::from_secs(5)).await;
        assert_eq!(title(&*store).await.as_deref(), Some("How far is the moon?"), "{dies}");
    }
}

#[tokio::test]
async fn an_untitled_session_that_was_imported_is_named_when_it_is_used() {
    let store = in_memory();
    let brain = titling(store.clone(), None);
    let time = Timestamp::from_millis(1);
    let entry = EntryBody::complete(Message::user("What is a moon made of?"), time);
    let import = ExportedSession {
        id: id("s"),
        title: None,
        has_default_title: false,
        metadata: None,
        system: None,
        model: None,
        recall: false,
        class: MemoryClass::Durable,
        created_at: time,
        updated_at: time,
        head: Some(Seq(1)),
        summaries: Vec::new(),
        entries: vec![ExportedEntry { seq: Seq(1), parent: None, entry }],
    };
    store.restore(&key("s"), &import).await.unwrap();
    assert_eq!(title(&*store).await, None);
    say(&brain, "s", "And the sun?").await;
    brain.drain(Duration::from_secs(5)).await;
    assert_eq!(title(&*store).await.as_deref(), Some("What is a moon made of?"));
}

#[tokio::test]
async fn a_name_that_a_client_gave_stays() {
    let (store, gate) = (in_memory(), Gate::new());
    let other = ScriptedLlm::new([Answer::text("The model's").after(&gate)]);
    let brain = titling(store.clone(), Some(&other));
    say(&brain, "s", "hello").await;
    gate.reached_by(1).await;
    let patch = SessionPatch { title: Some(Some("Mine".to_owned())), ..SessionPatch::default() };
    store.patch(&key("s"), patch).await.unwrap();
    gate.open();
    brain.drain(Duration::from_secs(5)).await;
    assert_eq!(title(&*store).await.as_deref(), Some("Mine"));

    let brain = titling(store.clone(), Some(&other));
    let request =
        TurnRequest { title: Some("Named".to_owned()), ..TurnRequest::text(Some(id("t")), "hi") };
    let started = brain.chat(&owner(), request).await.unwrap();
    started.events.end().await.unwrap();
    brain.drain(Duration::from_secs(5)).await;
    let named = store.session(&key("t")).await.unwrap().unwrap();
    assert_eq!(named.title.as_deref(), Some("Named"));
    assert_eq!(other.requests().len(), 1, "nobody is asked for what is there");
}

#[tokio::test]
async fn nobody_is_named_unasked() {
    let store = in_memory();
    let brain = Brain::new(ports(store.clone(), router(Arc::new(ScriptedLlm::new([])))), config());
    say(&brain, "s", "hello").await;
    brain.drain(Duration::from_secs(5)).await;
    assert_eq!(title(&*store).await, None);
}

#[tokio::test]
async fn the_model_that_answers_names_it_unless_it_computes_here() {
    for (in_process, expected) in [(false, "The model's"), (true, "How far is the moon?")] {
        let capabilities = Capabilities { chat: true, in_process, ..Capabilities::default() };
        let model = ModelInfo { id: "m".to_owned(), capabilities };
        let answers = [Answer::text("far"), Answer::text("The model's")];
        let answering = ScriptedLlm::new(answers).with_models([model]);
        let never = ScriptedLlm::new([]);
        let llm = Router::new("default", Arc::new(never.clone()))
            .with("named", Arc::new(answering.clone()));
        let summary_model = Some(String::new());
        let config = BrainConfig { titles: true, summary_model, ..config() };
        let store = in_memory();
        let brain = Brain::new(ports(store.clone(), Arc::new(llm)), config);
        let asked = TurnRequest {
            model: Some("named/m".to_owned()),
            ..TurnRequest::text(Some(id("s")), "How far is the moon?")
        };
        brain.chat(&owner(), asked).await.unwrap().events.end().await.unwrap();
        brain.drain(Duration::from_secs(5)).await;
        assert_eq!(title(&*store).await.as_deref(), Some(expected));
        assert!(never.requests().is_empty(), "what is said goes to nobody else");
    }
}

#[tokio::test]
async fn nothing_is_named_after_what_was_forgotten_meanwhile() {
    let (store, gate) = (in_memory(), Gate::new());
    let other = ScriptedLlm::new([Answer::text("A canary").after(&gate)]);
    let brain = titling(store.clone(), Some(&other));
    say(&brain, "s", "a canary").await;
    gate.reached_by(1).await;
    assert_eq!(title(&*store).await.as_deref(), Some("a canary"));
    brain.forget_entry(&key("s"), Seq(1)).await.unwrap();
    assert_eq!(title(&*store).await, None);
    gate.open();
    brain.drain(Duration::from_secs(5)).await;
    assert_eq!(title(&*store).await, None);
}
