//! What background work asks of a store, across owners.

use std::time::Duration;

use brain_core::{
    ids::{IdempotencyKey, Seq, SessionId, SessionKey, TurnId},
    memory::{
        CloseTurn, Expect, Forget, Forgotten, MemoryError, MemoryErrorKind, OpenTurn, ReadOptions,
        SessionPatch, TurnRecord, TurnState,
    },
    time::{Clock, Timestamp},
};

use super::subject::{Subject, ann, append, bob, closing, idempotency, key, kind, texts};

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

async fn forget_idle(
    it: &Subject,
    key: &SessionKey,
    before: Timestamp,
) -> Result<Forgotten, MemoryError> {
    it.store.forget(key, Forget::IfIdleSince(before)).await
}

/// Forgetting by age is refused where a turn is open or something changed at that time or later,
/// and touches nothing then.
pub async fn what_is_used_is_not_forgotten_by_age(it: Subject) {
    for id in ["fresh", "patched", "gone"] {
        it.say(&key(id), "hi").await;
    }
    let turn = it.start(&key("open"), "q").await;
    it.clock.advance(Duration::from_secs(60));
    let border = it.clock.now();
    let patch = SessionPatch { title: Some(Some("t".to_owned())), ..SessionPatch::default() };
    it.store.patch(&key("patched"), patch).await.unwrap();
    it.say(&key("fresh"), "again").await;
    for id in ["open", "patched", "fresh"] {
        let refused = forget_idle(&it, &key(id), border).await;
        assert_eq!(kind(refused), MemoryErrorKind::Conflict, "{id}");
    }
    assert_eq!(it.texts(&key("fresh")).await, ["hi", "again"]);
    assert_eq!(it.session(&key("patched")).await.title.as_deref(), Some("t"));
    assert_eq!(it.record(&turn).await, turn);
    assert_eq!(it.store.unsettled(9).await.unwrap(), []);
    it.store.close(closing(&turn, "a")).await.unwrap();
    assert_eq!(it.texts(&key("open")).await, ["q", "a"]);
    assert_eq!(forget_idle(&it, &key("gone"), border).await.unwrap().erased, 1);
    assert_eq!(it.store.session(&key("gone")).await.unwrap(), None);
    assert_eq!(forget_idle(&it, &key("gone"), border).await.unwrap().erased, 0);
}

/// Whoever comes back to a session while it is forgotten by age is either told so or keeps it.
pub async fn forgetting_by_age_loses_nothing_that_was_acknowledged(it: Subject) {
    let keys: Vec<_> = (0..40).map(|n| key(&format!("old {n}"))).collect();
    for key in &keys {
        it.say(key, "1").await;
    }
    it.clock.advance(Duration::from_secs(60));
    let border = it.clock.now();
    let (writer, sweeper) = (it.at(0), it.at(1));
    for key in &keys {
        let token = it.session(key).await.token;
        let say = writer.store.append(key, append(Some(Seq(1)), Expect::At(token), "2"));
        let (said, forgotten) = futures_util::join!(say, forget_idle(&sweeper, key, border));
        let found = it.store.read(key, ReadOptions::newest(9)).await.unwrap();
        let found = found.map(|it| texts(&it.entries));
        match said {
            Ok(_) => {
                assert_eq!(kind(forgotten), MemoryErrorKind::Conflict);
                assert_eq!(found, Some(vec!["1".to_owned(), "2".to_owned()]));
            }
            Err(error) => {
                assert_eq!(error.kind(), MemoryErrorKind::Conflict);
                assert_eq!((forgotten.unwrap().erased, found), (1, None));
            }
        }
    }
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
