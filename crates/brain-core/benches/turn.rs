//! What a turn costs with a scripted model and the in-memory store, by the history's length.
#![expect(clippy::unwrap_used, reason = "a bench that cannot run fails loudly")]

use std::sync::Arc;

use brain_core::{
    brain::{Brain, BrainConfig, Limits, Ports, TurnRequest},
    chat::Message,
    ids::{AppendId, Owner, SessionId, SessionKey},
    memory::{Append, Draft, EntryBody, Expect, InMemoryStore, SessionLog},
    settings::InMemorySettings,
    time::Timestamp,
    tool::ToolBox,
};
use brain_testkit::ScriptedLlm;
use brain_tokio::{TokioClock, TokioSpawner};
use divan::{AllocProfiler, Bencher};
use tokio::runtime::{Builder, Runtime};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

fn session() -> SessionId {
    SessionId::new("s").unwrap()
}

async fn brain_with_history(entries: usize) -> Brain {
    let clock = Arc::new(TokioClock::new());
    let store = InMemoryStore::new(clock.clone());
    let body = |n| EntryBody::complete(Message::user(format!("entry {n}")), Timestamp::default());
    let drafts = (0..entries).map(|n| Draft::new(body(n)).unwrap()).collect();
    let append_id = AppendId::new("fill").unwrap();
    let append = Append { parent: None, expect: Expect::Absent, append_id, fence: None, drafts };
    store.append(&SessionKey::new(Owner::local(), session()), append).await.unwrap();
    let ports = Ports {
        store: Arc::new(store),
        llm: Arc::new(ScriptedLlm::echo()),
        tools: ToolBox::default(),
        settings: Arc::new(InMemorySettings::new(clock.clone())),
        clock,
        spawner: Arc::new(TokioSpawner::current()),
    };
    let limits = Limits { window_entries: 20, ..Limits::default() };
    Brain::new(ports, BrainConfig { limits, ..BrainConfig::default() })
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[divan::bench(args = [20, 1_000, 20_000])]
fn turn(bencher: Bencher<'_, '_>, entries: usize) {
    let runtime = runtime();
    let brain = runtime.block_on(brain_with_history(entries));
    bencher.bench_local(|| {
        runtime.block_on(async {
            let request = TurnRequest::text(Some(session()), "good day to you");
            let started = brain.chat(&Owner::local(), request).await.unwrap();
            started.events.end().await.unwrap()
        })
    });
}
