//! A brain on fakes, and short ways to say what a test needs.

use std::sync::Arc;

use brain_core::{
    brain::{Brain, BrainConfig, Listener, Ports, TurnEnd, TurnEvent, TurnRequest},
    ids::{Owner, SessionId, SessionKey},
    llm::{ChatEvent, LlmGateway},
    memory::{Entry, InMemoryStore, MemoryStore, ReadOptions},
    settings::InMemorySettings,
    tool::ToolBox,
};
use brain_tokio::{TokioClock, TokioSpawner};
use futures_util::StreamExt;

pub(crate) fn owner() -> Owner {
    Owner::local()
}

pub(crate) fn id(name: &str) -> SessionId {
    SessionId::new(name).unwrap()
}

pub(crate) fn key(name: &str) -> SessionKey {
    SessionKey::new(owner(), id(name))
}

pub(crate) fn text(text: &str) -> ChatEvent {
    ChatEvent::Text(text.to_owned())
}

pub(crate) fn in_memory() -> Arc<InMemoryStore> {
    Arc::new(InMemoryStore::new(Arc::new(TokioClock::new())))
}

pub(crate) fn ports(store: Arc<dyn MemoryStore>, llm: Arc<dyn LlmGateway>) -> Ports {
    let clock = Arc::new(TokioClock::new());
    let spawner = Arc::new(TokioSpawner::current());
    let settings = Arc::new(InMemorySettings::new(clock.clone()));
    Ports { store, llm, tools: ToolBox::default(), settings, clock, spawner }
}

pub(crate) fn brain(store: Arc<dyn MemoryStore>, llm: Arc<dyn LlmGateway>) -> Brain {
    Brain::new(ports(store, llm), BrainConfig::default())
}

/// Says something in a session and waits for the end.
pub(crate) async fn say(brain: &Brain, session: &str, message: &str) -> TurnEnd {
    let request = TurnRequest::text(Some(id(session)), message);
    let started = brain.chat(&owner(), request).await.unwrap();
    started.events.end().await.expect("the turn was lost")
}

/// Reads events up to and including the first one with this name.
pub(crate) async fn until(events: &mut Listener, name: &str) -> Vec<Arc<TurnEvent>> {
    let mut seen = Vec::new();
    while let Some(event) = events.next().await {
        let found = event.kind.name() == name;
        seen.push(event);
        if found {
            return seen;
        }
    }
    panic!("no {name} among {seen:?}");
}

/// The branch at the head.
pub(crate) async fn history(store: &dyn MemoryStore, session: &str) -> Vec<Entry> {
    let branch = store.read(&key(session), ReadOptions::newest(1_000)).await.unwrap();
    branch.map(|it| it.entries).unwrap_or_default()
}

/// The branch at the head as `role:status:text` lines.
pub(crate) async fn transcript(store: &dyn MemoryStore, session: &str) -> Vec<String> {
    let line = |entry: &Entry| {
        let (role, status) = (entry.body.message.role.as_str(), entry.body.status.as_str());
        format!("{role}:{status}:{}", entry.body.message.joined_text())
    };
    history(store, session).await.iter().map(line).collect()
}
