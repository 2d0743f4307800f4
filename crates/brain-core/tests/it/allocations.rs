//! A turn costs the same whatever the history's length: a ceiling that only goes down.

use std::sync::Arc;

use brain_core::{
    brain::{Brain, BrainConfig, Limits},
    chat::Message,
    ids::AppendId,
    memory::{Append, Draft, EntryBody, Expect, SessionLog},
    time::Timestamp,
};
use brain_testkit::ScriptedLlm;
use tokio::runtime::{Builder, Runtime};

use crate::fixture::{in_memory, key, ports, say};

/// Most allocations of one turn with a window of 16 entries, one-word answer, scripted model, and a
/// store that takes the words of both entries apart.
const CEILING: u64 = 240;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Allocations of one more turn in a session of `entries` entries.
fn allocations(entries: usize) -> u64 {
    let runtime = runtime();
    let brain = runtime.block_on(async {
        let store = in_memory();
        let body =
            |n| EntryBody::complete(Message::user(format!("entry {n}")), Timestamp::default());
        let drafts = (0..entries).map(|n| Draft::new(body(n)).unwrap()).collect();
        let append_id = AppendId::new("fill").unwrap();
        let append =
            Append { parent: None, expect: Expect::Absent, append_id, fence: None, drafts };
        store.append(&key("s"), append).await.unwrap();
        let limits = Limits { window_entries: 16, ..Limits::default() };
        let config = BrainConfig { limits, ..BrainConfig::default() };
        let brain = Brain::new(ports(store, Arc::new(ScriptedLlm::echo())), config);
        say(&brain, "s", "warm").await;
        brain
    });
    let counted = allocation_counter::measure(|| {
        runtime.block_on(say(&brain, "s", "one"));
    });
    counted.count_total
}

#[test]
fn a_turn_allocates_the_same_whatever_the_history() {
    let (short, long) = (allocations(100), allocations(20_000));
    println!("allocations of a turn: {short} after 100 entries, {long} after 20,000");
    assert!(long <= short + 10, "{short} allocations grew to {long}");
    assert!(long <= CEILING, "{long} allocations; the ceiling is {CEILING}");
}
