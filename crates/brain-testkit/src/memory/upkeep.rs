//! What background work asks of a store, across owners.

use std::time::Duration;

use brain_core::{
    ids::{IdempotencyKey, SessionId, SessionKey, TurnId},
    memory::{CloseTurn, Forget, OpenTurn, TurnRecord, TurnState},
    time::{Clock, Timestamp},
};

use super::subject::{Subject, ann, bob, closing, idempotency, key, texts};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn bobs(id: &str) -> SessionKey {
    SessionKey::new(bob(), SessionId::new(id).unwrap())
}

fn in_an_hour(it: &Subject) -> Timestamp {
    it.clock.now().plus(Duration::from_secs(3600))
}

/// Sessions that nobody changed for long are found, oldest first, whoever they belong to.
pub async fn idle_sessions_are_found_oldest_first(it: Subject) {
    let keys = [key("b"), bobs("a"), key("a")];
    for key in &keys {
        it.say(key, "hi").await;
        it.clock.advance(Duration::from_secs(60));
    }
    let border = it.clock.now();
    it.clock.advance(Duration::from_secs(60));
    it.say(&key("fresh"), "hi").await;
    for limit in [0, 1, 2, 3, 99] {
        let idle = it.store.idle_since(border, limit).await.unwrap();
        assert_eq!(idle, keys[..limit.min(3)], "limit {limit}");
    }
    let early = Timestamp::from_millis(0);
    assert_eq!(it.store.idle_since(early, 9).await.unwrap(), []);
}

/// Any change makes a session fresh again; forgetting takes it away.
pub async fn a_change_makes_a_session_fresh(it: Subject) {
    for id in ["appended", "moved", "forgotten", "idle"] {
        it.say(&key(id), "hi").await;
    }
    it.clock.advance(Duration::from_secs(60));
    let border = it.clock.now();
    it.clock.advance(Duration::from_secs(60));
    it.say(&key("appended"), "again").await;
    let token = it.session(&key("moved")).await.token;
    it.store.move_head(&key("moved"), token, None).await.unwrap();
    it.store.forget(&key("forgotten"), Forget::Always).await.unwrap();
    assert_eq!(it.store.idle_since(border, 9).await.unwrap(), [key("idle")]);
}

/// A session with an open turn is not idle, however long ago it changed.
pub async fn a_session_with_an_open_turn_is_not_idle(it: Subject) {
    let turn = it.start(&key("open"), "q").await;
    it.clock.advance(Duration::from_secs(60));
    assert_eq!(it.store.idle_since(in_an_hour(&it), 9).await.unwrap(), []);
    it.store.close(closing(&turn, "a")).await.unwrap();
    assert_eq!(it.store.idle_since(in_an_hour(&it), 9).await.unwrap(), [key("open")]);
}

async fn ended(it: &Subject, id: &str, key_of: &str) -> TurnRecord {
    let open = it.turn(&key(id), "q").await;
    let turn = it.started(OpenTurn { idempotency: Some(idempotency(key_of, "h")), ..open }).await;
    it.store.close(closing(&turn, "a")).await.unwrap();
    turn
}

async fn is_known(it: &Subject, turn: TurnId) -> bool {
    it.store.turn(&ann(), turn).await.unwrap().is_some()
}

/// Ended turns are dropped by when they ended; their entries and open turns stay.
pub async fn ended_turns_are_pruned_by_age(it: Subject) {
    let old = ended(&it, "s", "old").await;
    it.clock.advance(DAY);
    let border = it.clock.now();
    it.clock.advance(Duration::from_secs(60));
    let new = ended(&it, "s", "new").await;
    let open = it.start(&key("s"), "q").await;
    assert_eq!(it.store.prune_turns(border).await.unwrap(), 1);
    assert_eq!(it.store.prune_turns(border).await.unwrap(), 0);
    assert!(!is_known(&it, old.id).await);
    assert!(is_known(&it, new.id).await && is_known(&it, open.id).await);
    let known = IdempotencyKey::new("new").unwrap();
    assert_eq!(it.store.turn_by_key(&ann(), &known).await.unwrap().map(|it| it.id), Some(new.id));
    assert_eq!(texts(&it.read(&key("s")).await.entries), ["q", "a", "q", "a", "q"]);
    assert_eq!(it.record(&open).await, open);
}

/// A turn that runs is never pruned, however old; once it has ended it is as old as its end.
pub async fn an_open_turn_is_never_pruned(it: Subject) {
    let turn = it.start(&key("s"), "q").await;
    it.clock.advance(DAY);
    assert_eq!(it.store.prune_turns(in_an_hour(&it)).await.unwrap(), 0);
    let border = it.clock.now();
    it.clock.advance(Duration::from_secs(60));
    let close = CloseTurn { state: TurnState::Interrupted, ..closing(&turn, "a") };
    it.store.close(close).await.unwrap();
    assert_eq!(it.store.prune_turns(border).await.unwrap(), 0);
    assert_eq!(it.store.prune_turns(in_an_hour(&it)).await.unwrap(), 1);
    assert_eq!(it.texts(&key("s")).await, ["q", "a"]);
}

/// What was forgotten is remembered until its copies are known to be erased.
pub async fn the_forgotten_is_unsettled_until_it_is_settled(it: Subject) {
    for key in [key("a"), bobs("a"), key("kept")] {
        it.say(&key, "canary").await;
    }
    assert_eq!(it.store.unsettled(9).await.unwrap(), []);
    it.store.forget(&key("a"), Forget::Always).await.unwrap();
    it.store.forget(&bobs("a"), Forget::Always).await.unwrap();
    assert_eq!(it.store.unsettled(1).await.unwrap().len(), 1);
    let unsettled = it.store.unsettled(9).await.unwrap();
    assert_eq!(unsettled.len(), 2);
    assert!(unsettled.contains(&key("a")) && unsettled.contains(&bobs("a")), "{unsettled:?}");
    for _ in 0..2 {
        it.store.settle(&key("a")).await.unwrap();
    }
    assert_eq!(it.store.unsettled(9).await.unwrap(), [bobs("a")]);
    it.store.settle(&key("never")).await.unwrap();
    it.store.settle(&bobs("a")).await.unwrap();
    assert_eq!(it.store.unsettled(9).await.unwrap(), []);
}

/// Whether traces of the forgotten are left can be asked without harm to a session that has its
/// name by now.
pub async fn asking_what_is_pending_changes_nothing(it: Subject) {
    let s = key("s");
    assert_eq!(it.store.pending(&s).await.unwrap(), 0);
    it.say(&s, "canary").await;
    assert_eq!(it.store.pending(&s).await.unwrap(), 0);
    let forgotten = it.store.forget(&s, Forget::Always).await.unwrap();
    it.say(&s, "another").await;
    let pending = it.store.pending(&s).await.unwrap();
    assert!(pending <= forgotten.pending, "{pending} after {forgotten:?}");
    assert_eq!(it.store.pending(&bobs("s")).await.unwrap(), 0);
    assert_eq!(it.texts(&s).await, ["another"]);
}

/// A store that works says so, tier by tier.
pub async fn a_working_store_is_healthy(it: Subject) {
    let health = it.store.health().await.unwrap();
    assert!(!health.is_degraded(), "{health:?}");
    assert!(!health.tiers.is_empty());
    for tier in &health.tiers {
        assert!(["process", "redis", "sqlite", "postgres"].contains(&tier.name), "{tier:?}");
        assert_eq!(tier.problem, None);
    }
    assert_eq!(it.store.capabilities(), it.store.capabilities());
}
