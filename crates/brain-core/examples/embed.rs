//! A brain in another service: memory, a model, and a conversation that goes on.
//!
//! `cargo run -p brain-core --example embed`. Exchange the store for `memory_sqlite::SqliteStore`
//! and the model for `llm_openai::OpenAiGateway` or `llm_local::LocalGateway`; nothing else changes.
#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::{error::Error, sync::Arc};

use brain_core::brain::{Brain, BrainConfig, Ports, TurnEventKind, TurnRequest};
use brain_core::{ids::Owner, memory::InMemoryStore, settings::InMemorySettings, tool::ToolBox};
use brain_testkit::ScriptedLlm;
use brain_tokio::{TokioClock, TokioSpawner};
use futures_util::StreamExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let clock = Arc::new(TokioClock::new());
    let ports = Ports {
        store: Arc::new(InMemoryStore::new(clock.clone())),
        llm: Arc::new(ScriptedLlm::echo()),
        tools: ToolBox::default(),
        settings: Arc::new(InMemorySettings::new(clock.clone())),
        clock,
        spawner: Arc::new(TokioSpawner::current()),
    };
    let brain = Brain::new(ports, BrainConfig::default());
    let first = brain.chat(&Owner::local(), TurnRequest::text(None, "Hello!")).await?;
    let session = first.session.clone();
    first.events.end().await.ok_or("the first turn was lost")?;

    let mut next =
        brain.chat(&Owner::local(), TurnRequest::text(Some(session), "And now?")).await?;
    while let Some(event) = next.events.next().await {
        if let TurnEventKind::TextDelta(text) = &event.kind {
            print!("{text}");
        }
    }
    Ok(())
}
