//! Moving a session with its turns from one store to another: what a request that is sent again
//! finds, and that nobody finds half of it.

use std::time::Duration;

use brain_core::{
    ids::{IdempotencyKey, Owner, Seq, SessionKey, TurnId},
    memory::{
        CloseTurn, ExportedSession, Forget, Idempotency, MemoryErrorKind, OpenTurn, Opened,
        Restored, TurnError, TurnRecord, TurnState,
    },
    time::Clock,
};

use super::{
    portable::exported,
    subject::{Subject, ann, closing, drop_after, idempotency, key, kind},
};

/// A question with this key, and its answer.
async fn talk(it: &Subject, key: &SessionKey, known: &str) -> TurnRecord {
    let open = it.turn(key, "question").await;
    let open = OpenTurn { idempotency: Some(idempotency(known, "hash")), ..open };
    let turn = it.started(open).await;
    let error = Some(TurnError {
        code: "cut".to_owned(),
        message: "short".to_owned(),
        retry_after: Some(Duration::from_secs(9)),
    });
    let close = CloseTurn { state: TurnState::Interrupted, error, ..closing(&turn, "answer") };
    it.store.close(close).await.unwrap()
}

/// A session with its turns, as it leaves a store.
async fn contents(it: &Subject, key: &SessionKey) -> (ExportedSession, Vec<TurnRecord>) {
    let all = exported(it, ann()).await;
    let session = all.into_iter().find(|it| it.id == key.id).unwrap();
    (session, it.store.turns_of(key).await.unwrap())
}

/// The same, and it has left.
async fn taken_out(it: &Subject, key: &SessionKey) -> (ExportedSession, Vec<TurnRecord>) {
    let contents = contents(it, key).await;
    it.store.forget(key, Forget::Always).await.unwrap();
    assert_eq!(it.store.turns_of(key).await.unwrap(), []);
    contents
}

async fn by_key(it: &Subject, owner: &Owner, known: &str) -> Option<TurnId> {
    let known = IdempotencyKey::new(known).unwrap();
    it.store.turn_by_key(owner, &known).await.unwrap().map(|it| it.id)
}

/// The turns of a session are told by when they were opened, and nobody else's.
pub async fn the_turns_of_a_session_are_told(it: Subject) {
    let (ours, other) = (key("ours"), key("other"));
    let mut expected = Vec::new();
    for known in ["one", "two", "three"] {
        expected.push(talk(&it, &ours, known).await);
        talk(&it, &other, &format!("other {known}")).await;
        it.clock.advance(Duration::from_secs(1));
    }
    let open = it.start(&ours, "more").await;
    expected.push(it.record(&open).await);
    assert_eq!(it.store.turns_of(&ours).await.unwrap(), expected);
    assert_eq!(it.store.turns_of(&other).await.unwrap().len(), 3);
    assert_eq!(it.store.turns_of(&key("unknown")).await.unwrap(), []);
}

/// What was asked before the move is answered after it as it was, and is not asked twice.
pub async fn a_moved_session_brings_its_turns(it: Subject) {
    let key = key("moved");
    let turn = talk(&it, &key, "k").await;
    let (session, turns) = taken_out(&it, &key).await;
    assert_eq!(it.store.turn(&ann(), turn.id).await.unwrap(), None);
    assert_eq!(it.store.move_in(&key, &session, &turns).await.unwrap(), Restored::Created);

    assert_eq!(it.record(&turn).await, turn);
    assert_eq!(by_key(&it, &ann(), "k").await, Some(turn.id));
    assert_eq!(it.store.turns_of(&key).await.unwrap(), turns);
    assert_eq!(exported(&it, ann()).await, [session]);
    let again = it.turn(&key, "question").await;
    let same = OpenTurn { idempotency: Some(idempotency("k", "hash")), ..again.clone() };
    assert_eq!(it.store.open(same).await.unwrap(), Opened::Known(turn.clone()));
    let another = OpenTurn { idempotency: Some(idempotency("k", "another")), ..again };
    assert_eq!(kind(it.store.open(another).await), MemoryErrorKind::KeyReused);
    assert_eq!(it.texts(&key).await, ["question", "answer"]);
    it.start(&key, "next").await;
    assert_eq!(it.texts(&key).await, ["question", "answer", "next"]);
}

/// Whoever does not know whether it was done does it again.
pub async fn moving_again_changes_nothing(it: Subject) {
    let key = key("again");
    talk(&it, &key, "k").await;
    let (session, turns) = taken_out(&it, &key).await;
    it.store.move_in(&key, &session, &turns).await.unwrap();
    let before = it.session(&key).await;
    it.clock.advance(Duration::from_secs(1));
    assert_eq!(it.store.move_in(&key, &session, &turns).await.unwrap(), Restored::Unchanged);
    assert_eq!(it.session(&key).await, before);
    assert_eq!(it.store.turns_of(&key).await.unwrap(), turns);
}

/// A session that is there without its turns gets them, and one that is there in part gets the rest.
pub async fn turns_that_are_missing_are_added(it: Subject) {
    let key = key("missing");
    talk(&it, &key, "one").await;
    let (short, first) = contents(&it, &key).await;
    it.clock.advance(Duration::from_secs(1));
    talk(&it, &key, "two").await;
    let (session, turns) = taken_out(&it, &key).await;
    it.store.restore(&key, &short).await.unwrap();
    assert_eq!(it.store.move_in(&key, &short, &first).await.unwrap(), Restored::Unchanged);
    assert_eq!(it.store.turns_of(&key).await.unwrap(), first);
    assert_eq!(it.store.move_in(&key, &session, &turns).await.unwrap(), Restored::Extended(2));
    assert_eq!(it.store.turns_of(&key).await.unwrap(), turns);
    assert_eq!(by_key(&it, &ann(), "two").await, Some(turns[1].id));
}

/// A turn that is not over cannot be moved, and nothing is then.
pub async fn an_open_turn_is_not_moved(it: Subject) {
    let key = key("open");
    talk(&it, &key, "over").await;
    it.start(&key, "more").await;
    let (session, turns) = taken_out(&it, &key).await;
    let refused = it.store.move_in(&key, &session, &turns).await;
    assert_eq!(kind(refused), MemoryErrorKind::Conflict);
    assert_eq!(it.store.session(&key).await.unwrap(), None);
    assert_eq!(by_key(&it, &ann(), "over").await, None);
}

/// Where the session is refused, so are its turns.
pub async fn a_refused_session_brings_no_turns(it: Subject) {
    let key = key("refused");
    let turn = talk(&it, &key, "k").await;
    let (session, turns) = taken_out(&it, &key).await;
    it.say(&key, "another").await;
    let refused = it.store.move_in(&key, &session, &turns).await;
    assert_eq!(kind(refused), MemoryErrorKind::Conflict);
    assert_eq!(it.store.turn(&ann(), turn.id).await.unwrap(), None);
    let mut broken = session;
    broken.head = Some(Seq(99));
    let refused = it.store.move_in(&super::subject::key("broken"), &broken, &turns).await;
    assert_eq!(kind(refused), MemoryErrorKind::UnknownParent);
    assert_eq!(it.store.turns_of(&key).await.unwrap(), []);
}

/// A file brings no turns, though it is of a session that had some.
pub async fn a_restored_session_has_no_turns(it: Subject) {
    let key = key("restored");
    let turn = talk(&it, &key, "k").await;
    let (session, _) = taken_out(&it, &key).await;
    it.store.restore(&key, &session).await.unwrap();
    assert_eq!(it.store.turns_of(&key).await.unwrap(), []);
    assert_eq!(it.store.turn(&ann(), turn.id).await.unwrap(), None);
    assert_eq!(by_key(&it, &ann(), "k").await, None);
}

/// Of two turns of one key, which two stores opened, the later one has it.
pub async fn a_key_belongs_to_the_later_turn(it: Subject) {
    let (early, late) = (key("early"), key("late"));
    let first = talk(&it, &early, "k").await;
    let (session, turns) = taken_out(&it, &early).await;
    it.clock.advance(Duration::from_secs(1));
    let second = talk(&it, &late, "k").await;
    it.store.move_in(&early, &session, &turns).await.unwrap();
    assert_eq!(by_key(&it, &ann(), "k").await, Some(second.id));
    assert_eq!(it.record(&first).await, first);

    let (session, turns) = taken_out(&it, &late).await;
    let (other, others) = taken_out(&it, &early).await;
    it.store.move_in(&early, &other, &others).await.unwrap();
    assert_eq!(by_key(&it, &ann(), "k").await, Some(first.id));
    it.store.move_in(&late, &session, &turns).await.unwrap();
    assert_eq!(by_key(&it, &ann(), "k").await, Some(second.id));
}

/// Turns that came with a session go with it, or by age.
pub async fn moved_turns_are_forgotten(it: Subject) {
    let (gone, old) = (key("gone"), key("old"));
    for at in [&gone, &old] {
        talk(&it, at, at.id.as_str()).await;
        let (session, turns) = taken_out(&it, at).await;
        it.store.move_in(at, &session, &turns).await.unwrap();
    }
    let turns = it.store.turns_of(&gone).await.unwrap();
    it.store.forget(&gone, Forget::Always).await.unwrap();
    assert_eq!(it.store.turn(&ann(), turns[0].id).await.unwrap(), None);
    assert_eq!(by_key(&it, &ann(), "gone").await, None);
    it.clock.advance(Duration::from_secs(1));
    assert_eq!(it.store.prune_turns(it.clock.now()).await.unwrap(), 1);
    assert_eq!(it.store.turns_of(&old).await.unwrap(), []);
    assert_eq!(by_key(&it, &ann(), "old").await, None);
}

/// A key is known for a day from when its turn was opened, wherever that was.
pub async fn a_moved_key_lives_no_longer(it: Subject) {
    let key = key("day");
    talk(&it, &key, "k").await;
    let (session, turns) = taken_out(&it, &key).await;
    it.clock.advance(Idempotency::LIFE - Duration::from_secs(1));
    it.store.move_in(&key, &session, &turns).await.unwrap();
    assert_eq!(by_key(&it, &ann(), "k").await, Some(turns[0].id));
    it.clock.advance(Duration::from_secs(1));
    assert_eq!(by_key(&it, &ann(), "k").await, None);
    let open = it.turn(&key, "question").await;
    it.started(OpenTurn { idempotency: Some(idempotency("k", "hash")), ..open }).await;
}

/// Many turns with large requests come in one step too.
pub async fn many_turns_are_moved(it: Subject) {
    let key = key("many");
    talk(&it, &key, "k").await;
    let (session, turns) = taken_out(&it, &key).await;
    let many: Vec<TurnRecord> = (0..1_200)
        .map(|at| {
            let idempotency = Some(idempotency(&format!("k{at}"), "hash"));
            TurnRecord { id: TurnId::generate(it.clock.now()), idempotency, ..turns[0].clone() }
        })
        .collect();
    assert_eq!(it.store.move_in(&key, &session, &many).await.unwrap(), Restored::Created);
    assert_eq!(it.store.turns_of(&key).await.unwrap().len(), 1_200);
    for at in [0, 600, 1_199] {
        assert_eq!(by_key(&it, &ann(), &format!("k{at}")).await, Some(many[at].id));
    }
    assert_eq!(it.texts(&key).await, ["question", "answer"]);
}

/// Whoever goes away while a session is moved finds all of it or nothing, and does it again.
pub async fn a_dropped_move_is_all_or_nothing(it: Subject) {
    for polls in 0..16 {
        let key = key(&format!("dropped {polls}"));
        let turn = talk(&it, &key, &format!("k{polls}")).await;
        let (session, turns) = taken_out(&it, &key).await;
        drop_after(polls, it.store.move_in(&key, &session, &turns)).await;
        if it.store.session(&key).await.unwrap().is_some() {
            assert_eq!(it.store.turns_of(&key).await.unwrap(), turns);
        }
        it.store.move_in(&key, &session, &turns).await.unwrap();
        assert_eq!(it.record(&turn).await, turn);
        assert_eq!(by_key(&it, &ann(), &format!("k{polls}")).await, Some(turn.id));
        assert_eq!(it.texts(&key).await, ["question", "answer"]);
    }
}
