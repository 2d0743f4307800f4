//! What becomes of turns where a session is moved from the hot tier to the durable one: no request is
//! done twice, no answer is lost, and nobody who works in a session is disturbed.

use std::time::Duration;

use brain_core::memory::{
    Catalog, Checkpoint, Expect, Fence, Forget, Idempotency, MemoryError, MemoryErrorKind,
    OpenTurn, Opened, Portable, ReadOptions, SessionLog, TurnIndex, TurnRecord, TurnState, Turns,
};
use brain_core::{
    brain::RESTARTED,
    ids::{IdempotencyKey, Seq, SessionKey, TurnId},
    time::Timestamp,
};
use brain_testkit::Operation;

use super::{
    chaos::Mood,
    fixture::{Fixture, ann, append, closing, key, opening, texts},
};

const LEASE: Duration = Duration::from_secs(10);

fn request(key: &SessionKey, expect: Expect, parent: Option<Seq>) -> OpenTurn {
    let known = IdempotencyKey::new("once").unwrap();
    let idempotency = Some(Idempotency { key: known, request_hash: "hash".to_owned() });
    OpenTurn { idempotency, ..opening(key, expect, parent, "question") }
}

/// A turn with a key in the hot tier alone, under way.
async fn begun(it: &Fixture, key: &SessionKey) -> TurnRecord {
    match it.inner.open(request(key, Expect::Absent, None)).await.unwrap() {
        Opened::Started { turn, .. } => turn,
        other @ (Opened::Known(_) | Opened::Busy { .. }) => panic!("not started: {other:?}"),
    }
}

/// The same with its answer.
async fn answered(it: &Fixture, key: &SessionKey) -> TurnRecord {
    let turn = begun(it, key).await;
    it.inner.close(closing(&turn, "answer")).await.unwrap()
}

/// The same with half of it, and a holder that has gone.
async fn abandoned(it: &Fixture, key: &SessionKey) -> TurnRecord {
    let turn = begun(it, key).await;
    let checkpoint =
        Checkpoint { text: "half an".to_owned(), last_event: 7, ..turn.checkpoint.clone() };
    let fence = Fence { turn: turn.id, holder: turn.holder };
    it.inner.checkpoint(fence, checkpoint).await.unwrap();
    it.clock.advance(LEASE);
    turn
}

/// Sends the request again.
async fn again(it: &Fixture, key: &SessionKey) -> Result<Opened, MemoryError> {
    let session = it.store.session(key).await?;
    let expect = session.as_ref().map_or(Expect::Absent, |it| Expect::At(it.token));
    it.store.open(request(key, expect, session.and_then(|it| it.head))).await
}

async fn said(it: &Fixture, key: &SessionKey) -> Vec<String> {
    texts(&it.unverified(key).await)
}

fn kind<T: std::fmt::Debug>(result: Result<T, MemoryError>) -> MemoryErrorKind {
    result.unwrap_err().kind()
}

#[tokio::test]
async fn a_request_is_known_after_the_move() {
    let it = Fixture::new();
    let turn = answered(&it, &key("s")).await;
    assert_eq!(again(&it, &key("s")).await.unwrap(), Opened::Known(turn.clone()));
    assert_eq!(it.store.turn(&ann(), turn.id).await.unwrap(), Some(turn.clone()));
    let turns = it.store.turns_of(&key("s")).await.unwrap();
    assert_eq!(turns, std::slice::from_ref(&turn));
    assert_eq!(said(&it, &key("s")).await, ["question", "answer"]);
    assert_eq!(it.inner.turns_of(&key("s")).await.unwrap(), []);
    assert_eq!(it.inner.turn(&ann(), turn.id).await.unwrap(), None);
}

#[tokio::test]
async fn a_request_without_its_session_is_known_too() {
    let it = Fixture::new();
    let turn = answered(&it, &key("s")).await;
    let known = IdempotencyKey::new("once").unwrap();
    assert_eq!(it.store.turn_by_key(&ann(), &known).await.unwrap(), Some(turn));
}

#[tokio::test]
async fn half_an_answer_moves() {
    let it = Fixture::new();
    let turn = abandoned(&it, &key("s")).await;
    let found = it.store.turn(&ann(), turn.id).await.unwrap().unwrap();
    assert_eq!((found.state, found.answer), (TurnState::Interrupted, Some(Seq(2))));
    assert_eq!(found.error.as_ref().unwrap().code, RESTARTED);
    assert!(7 < found.checkpoint.last_event);
    assert_eq!(said(&it, &key("s")).await, ["question", "half an"]);
    assert_eq!(again(&it, &key("s")).await.unwrap(), Opened::Known(found));
    assert_eq!(it.inner.session(&key("s")).await.unwrap(), None);
}

#[tokio::test]
async fn a_turn_that_waits_for_nobody_here_is_ended() {
    let it = Fixture::new();
    let turn = begun(&it, &key("s")).await;
    let checkpoint = Checkpoint { waiting: true, ..turn.checkpoint.clone() };
    let fence = Fence { turn: turn.id, holder: turn.holder };
    it.inner.checkpoint(fence, checkpoint).await.unwrap();
    let found = it.store.turn(&ann(), turn.id).await.unwrap().unwrap();
    assert_eq!(found.state, TurnState::Failed);
    it.say(&key("s"), "goes on").await;
}

#[tokio::test]
async fn what_was_found_unfinished_is_found_after_the_move() {
    let it = Fixture::new();
    let turn = abandoned(&it, &key("s")).await;
    assert_eq!(it.store.unfinished().await.unwrap().len(), 1);
    assert_eq!(it.store.lapsed(9).await.unwrap().len(), 1);
    assert_eq!(said(&it, &key("s")).await, ["question", "half an"]);
    let found = it.store.turn(&ann(), turn.id).await.unwrap().unwrap();
    assert_eq!(found.state, TurnState::Interrupted);
    assert_eq!(it.store.lapsed(9).await.unwrap(), []);
}

#[tokio::test]
async fn nobody_who_works_is_disturbed() {
    let it = Fixture::new();
    let turn = begun(&it, &key("busy")).await;
    it.inner.append(&key("free"), append(None, Expect::Absent, "free")).await.unwrap();

    for _ in 0..3 {
        it.clock.advance(Duration::from_secs(2));
        assert_eq!(kind(it.store.session(&key("busy")).await), MemoryErrorKind::Unavailable);
        assert_eq!(kind(again(&it, &key("busy")).await), MemoryErrorKind::Unavailable);
        let new = it.store.append(&key("busy"), append(None, Expect::Absent, "new")).await;
        assert_eq!(kind(new), MemoryErrorKind::Unavailable);
        let read = it.store.read(&key("busy"), ReadOptions::newest(9)).await;
        assert_eq!(kind(read), MemoryErrorKind::Unavailable);
        assert_eq!(kind(it.store.export(&ann()).await.map(|_| ())), MemoryErrorKind::Unavailable);
        let found = it.store.turn(&ann(), turn.id).await.unwrap().unwrap();
        assert_eq!(found.state, TurnState::Running);
        let unknown = it.store.turn(&ann(), TurnId::generate(Timestamp::from_millis(1))).await;
        assert_eq!(kind(unknown), MemoryErrorKind::Unavailable, "the session may have it");
        assert_eq!(said(&it, &key("free")).await, ["free"], "others are not held up");
        it.inner.renew(Fence { turn: turn.id, holder: turn.holder }, LEASE).await.unwrap();
    }
    let over = it.inner.close(closing(&turn, "answer")).await.unwrap();
    it.clock.advance(Duration::from_secs(2));
    assert_eq!(again(&it, &key("busy")).await.unwrap(), Opened::Known(over));
    assert_eq!(said(&it, &key("busy")).await, ["question", "answer"]);
}

#[tokio::test]
async fn a_session_in_which_somebody_works_may_be_forgotten() {
    let it = Fixture::new();
    begun(&it, &key("busy")).await;
    assert_eq!(kind(it.store.session(&key("busy")).await), MemoryErrorKind::Unavailable);
    it.store.forget(&key("busy"), Forget::Always).await.unwrap();
    assert_eq!(it.inner.session(&key("busy")).await.unwrap(), None);
    assert_eq!(it.store.session(&key("busy")).await.unwrap(), None);
    it.say(&key("busy"), "new").await;
    assert_eq!(said(&it, &key("busy")).await, ["new"]);
}

/// The process ends where these calls are made or their replies are due: the next one finds all of
/// it, once.
#[tokio::test]
async fn a_move_that_breaks_off_is_done_again() {
    type Break = fn(&Fixture);
    let breaks: [(&str, Break); 7] = [
        ("before its turn is ended", |it| fails(&it.hot.store, Operation::Close)),
        ("after that", |it| it.hot.store.lose_reply(Operation::Close, 1)),
        ("while it is read", |it| fails(&it.hot.store, Operation::Scan)),
        ("before it is put", |it| fails(&it.durable, Operation::MoveIn)),
        ("after that", |it| it.durable.lose_reply(Operation::MoveIn, 1)),
        ("before it leaves", |it| fails(&it.hot.store, Operation::Forget)),
        ("after that", |it| it.hot.store.lose_reply(Operation::Forget, 1)),
    ];
    for (when, breaks) in breaks {
        let it = Fixture::new();
        let turn = abandoned(&it, &key("s")).await;
        breaks(&it);
        // Before it is known to be in its place nobody makes another one of its name.
        let first = it.store.session(&key("s")).await;
        assert!(
            first.as_ref().is_ok_and(Option::is_some)
                || kind(first) == MemoryErrorKind::Unavailable
        );
        let next = it.restarted();
        let found = next.store.turn(&ann(), turn.id).await.unwrap().unwrap();
        assert_eq!(found.state, TurnState::Interrupted, "{when}");
        assert_eq!(again(&next, &key("s")).await.unwrap(), Opened::Known(found), "{when}");
        assert_eq!(said(&next, &key("s")).await, ["question", "half an"], "{when}");
        assert_eq!(next.inner.session(&key("s")).await.unwrap(), None, "{when}");
        assert_eq!(next.durable.turns_of(&key("s")).await.unwrap().len(), 1, "{when}");
    }
}

fn fails(store: &brain_testkit::FaultyStore, operation: Operation) {
    store.fail(operation, 1, MemoryErrorKind::Unavailable);
}

/// What could not leave the hot tier leaves it later, though its session has gone on since, and
/// though something of it was forgotten.
#[tokio::test]
async fn what_has_gone_on_since_is_not_moved_again() {
    let it = Fixture::new();
    let turn = answered(&it, &key("s")).await;
    fails(&it.hot.store, Operation::Forget);
    assert_eq!(said(&it, &key("s")).await, ["question", "answer"]);
    it.hot.turns(Mood::Dead);
    it.say(&key("s"), "more").await;
    it.store.forget_entry(&key("s"), Seq(2)).await.unwrap();
    assert!(it.inner.session(&key("s")).await.unwrap().is_some());
    it.hot.turns(Mood::Well);

    let next = it.restarted();
    assert_eq!(said(&next, &key("s")).await, ["question", "", "more"]);
    assert_eq!(next.inner.session(&key("s")).await.unwrap(), None);
    let found = next.store.turn(&ann(), turn.id).await.unwrap();
    assert_eq!(found, Some(turn));
}
