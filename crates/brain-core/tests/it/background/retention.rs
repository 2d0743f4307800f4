//! Forgetting by age, on a clock that the test moves.

use std::{sync::Arc, time::Duration};

use brain_core::{
    brain::{Brain, BrainConfig, Ports},
    memory::{Catalog, InMemoryStore, TurnIndex, TurnState},
    settings::InMemorySettings,
    tool::ToolBox,
};
use brain_testkit::{FaultyStore, ManualClock, Operation, ScriptedLlm};
use brain_tokio::TokioSpawner;

use super::{config, eventually};
use crate::fixture::{key, owner, say};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How many loops sleep by the clock: this one, and the one that ends lapsed turns.
const LOOPS: usize = 2;

struct Fixture {
    brain: Brain,
    store: Arc<FaultyStore>,
    clock: Arc<ManualClock>,
}

fn fixture(retention: Option<Duration>) -> Fixture {
    let clock = Arc::new(ManualClock::new());
    let store = Arc::new(FaultyStore::new(Arc::new(InMemoryStore::new(clock.clone()))));
    let ports = Ports {
        store: store.clone(),
        llm: Arc::new(ScriptedLlm::echo()),
        tools: ToolBox::default(),
        settings: Arc::new(InMemorySettings::new(clock.clone())),
        clock: clock.clone(),
        spawner: Arc::new(TokioSpawner::current()),
    };
    let brain = Brain::new(ports, BrainConfig { retention, ..config() });
    Fixture { brain, store, clock }
}

impl Fixture {
    /// Lets time pass and the loop look once more.
    async fn pass(&self, time: Duration) {
        self.clock.sleepers(LOOPS).await;
        let looked = self.store.calls(Operation::PruneTurns);
        self.clock.advance(time);
        eventually("the next look", || async { looked < self.store.calls(Operation::PruneTurns) })
            .await;
        self.clock.sleepers(LOOPS).await;
    }

    async fn is_there(&self, session: &str) -> bool {
        self.store.session(&key(session)).await.unwrap().is_some()
    }

    async fn stop(self) {
        self.brain.drain(Duration::ZERO).await;
    }
}

#[tokio::test]
async fn sessions_are_forgotten_by_age_and_used_ones_stay() {
    let fixture = fixture(Some(DAY * 30));
    say(&fixture.brain, "old", "hello").await;
    say(&fixture.brain, "used", "hello").await;
    fixture.brain.start_upkeep();
    fixture.pass(DAY * 20).await;
    assert!(fixture.is_there("old").await);
    say(&fixture.brain, "used", "again").await;
    fixture.pass(DAY * 15).await;
    assert!(!fixture.is_there("old").await);
    assert!(fixture.is_there("used").await);
    fixture.pass(DAY * 31).await;
    assert!(!fixture.is_there("used").await);
    fixture.stop().await;
}

#[tokio::test]
async fn without_a_setting_only_records_of_turns_go() {
    let fixture = fixture(None);
    let end = say(&fixture.brain, "s", "hello").await;
    fixture.brain.start_upkeep();
    fixture.pass(DAY * 6).await;
    let record = fixture.store.turn(&owner(), end.turn_id).await.unwrap();
    assert_eq!(record.unwrap().state, TurnState::Completed);
    fixture.pass(DAY * 1000).await;
    assert!(fixture.store.turn(&owner(), end.turn_id).await.unwrap().is_none());
    assert!(fixture.is_there("s").await);
    fixture.stop().await;
}

#[tokio::test]
async fn a_store_that_fails_is_asked_again_later() {
    let fixture = fixture(Some(DAY));
    say(&fixture.brain, "s", "hello").await;
    let away = brain_core::memory::MemoryErrorKind::Unavailable;
    fixture.store.break_down(Operation::IdleSince, away);
    fixture.brain.start_upkeep();
    fixture.pass(DAY * 2).await;
    assert!(fixture.is_there("s").await);
    fixture.store.heal();
    fixture.pass(DAY).await;
    assert!(!fixture.is_there("s").await);
    fixture.stop().await;
}

#[tokio::test]
async fn more_than_one_batch_is_forgotten() {
    let fixture = fixture(Some(DAY));
    for number in 0..150 {
        say(&fixture.brain, &format!("s{number}"), "hello").await;
    }
    fixture.brain.start_upkeep();
    fixture.pass(DAY * 2).await;
    assert_eq!(fixture.store.calls(Operation::Forget), 150);
    fixture.stop().await;
}

#[tokio::test]
async fn whoever_comes_back_at_the_last_moment_is_not_forgotten() {
    let fixture = fixture(Some(DAY));
    say(&fixture.brain, "s", "hello").await;
    let gate = fixture.store.hold(Operation::Forget, 1);
    fixture.brain.start_upkeep();
    fixture.clock.sleepers(LOOPS).await;
    fixture.clock.advance(DAY * 2);
    gate.reached_by(1).await;
    say(&fixture.brain, "s", "again").await;
    gate.open();
    fixture.clock.sleepers(LOOPS).await;
    let session = fixture.store.session(&key("s")).await.unwrap();
    assert_eq!(session.map(|it| it.entries), Some(4));
    fixture.stop().await;
}

#[tokio::test]
async fn what_fails_does_not_keep_the_others() {
    let fixture = fixture(Some(DAY));
    for session in ["failing", "other"] {
        say(&fixture.brain, session, "hello").await;
        fixture.clock.advance(Duration::from_secs(1));
    }
    let away = brain_core::memory::MemoryErrorKind::Unavailable;
    fixture.store.fail(Operation::Forget, 1, away);
    fixture.brain.start_upkeep();
    fixture.pass(DAY * 2).await;
    assert!(fixture.is_there("failing").await);
    assert!(!fixture.is_there("other").await);
    fixture.pass(DAY).await;
    assert!(!fixture.is_there("failing").await);
    fixture.stop().await;
}
