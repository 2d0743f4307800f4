//! Opening turns: one at a time, one for each idempotency key, with the user's entry or not at
//! all.

use std::time::Duration;

use brain_core::{
    ids::{AppendId, IdempotencyKey, Seq, SessionKey, TurnId},
    json::RawJson,
    memory::{
        Append, Checkpoint, Expect, MemoryErrorKind, NewSession, OpenTurn, Opened, SessionPatch,
        TurnRecord, TurnState,
    },
    time::Clock,
};

use super::subject::{
    LEASE, Subject, ann, append, bob, closing, drop_after, fence, idempotency, key, kind, texts,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A turn is opened with the user's entry, which is stored, and holds a lease.
pub async fn a_turn_opens_with_its_input(it: Subject) {
    let key = key("open");
    let open = it.turn(&key, "hello").await;
    let expected = TurnRecord {
        id: open.id,
        session: key.clone(),
        idempotency: Some(idempotency("k", "h")),
        request: RawJson::parse(r#"{"model":"m"}"#).unwrap(),
        state: TurnState::Running,
        holder: open.holder,
        lease_until: Some(it.clock.now().plus(LEASE)),
        checkpoint: Checkpoint { tail: Some(Seq(1)), ..Checkpoint::default() },
        cancel_requested: false,
        input: Some(Seq(1)),
        answer: None,
        error: None,
        usage: None,
        context: None,
        opened_at: it.clock.now(),
        ended_at: None,
    };
    let open = OpenTurn { idempotency: Some(idempotency("k", "h")), ..open };
    let Opened::Started { turn, appended } = it.store.open(open).await.unwrap() else {
        panic!("not started")
    };
    assert_eq!(turn, expected);
    assert_eq!(it.record(&turn).await, expected);
    assert_eq!((appended.last, appended.token), (Some(Seq(1)), it.session(&key).await.token));
    assert_eq!(it.texts(&key).await, ["hello"]);
}

/// A turn that answers an earlier entry again has no input of its own.
pub async fn a_turn_may_answer_an_earlier_entry(it: Subject) {
    let key = key("again");
    it.say(&key, "question").await;
    it.say(&key, "answer").await;
    let open = it.turn(&key, "").await;
    let append = Append { parent: Some(Seq(1)), drafts: Vec::new(), ..open.append };
    let turn = it.started(OpenTurn { append, ..open }).await;
    assert_eq!((turn.input, turn.checkpoint.tail), (None, Some(Seq(1))));
    assert_eq!(it.texts(&key).await, ["question"]);
}

/// Opening makes the session if it is told with what, and only where none is expected.
pub async fn opening_makes_the_session_if_told(it: Subject) {
    let new = NewSession { title: Some("t".to_owned()), recall: true, ..NewSession::default() };
    let open = OpenTurn { create: Some(new), ..it.turn(&key("told"), "hi").await };
    it.started(open).await;
    let made = it.session(&key("told")).await;
    assert_eq!((made.title.as_deref(), made.recall, made.entries), (Some("t"), true, 1));

    let untold = OpenTurn { create: None, ..it.turn(&key("untold"), "hi").await };
    let known = OpenTurn {
        append: append(None, Expect::At(made.token), "hi"),
        ..it.turn(&key("untold"), "hi").await
    };
    for open in [untold, known] {
        assert_eq!(kind(it.store.open(open).await), MemoryErrorKind::Conflict);
    }
    assert_eq!(it.store.session(&key("untold")).await.unwrap(), None);
}

/// A session that exists stays as it was made.
pub async fn opening_leaves_a_made_session_as_it_is(it: Subject) {
    let key = key("made");
    let new = NewSession { title: Some("mine".to_owned()), ..NewSession::default() };
    it.store.create(&key, new).await.unwrap();
    let open = it.turn(&key, "hi").await;
    it.started(OpenTurn { append: append(None, Expect::Absent, "hi"), ..open }).await;
    assert_eq!(it.session(&key).await.title.as_deref(), Some("mine"));
}

/// A turn whose input cannot be appended is not opened, and its key stays free.
pub async fn a_refused_input_opens_nothing(it: Subject) {
    let key = key("refused");
    let stale = it.say(&key, "a").await;
    it.say(&key, "b").await;
    let good = it.turn(&key, "c").await;
    let idempotency = Some(idempotency("k", "h"));
    for (append, expected) in [
        (append(stale.head, Expect::At(stale.token), "c"), MemoryErrorKind::Conflict),
        (append(Some(Seq(9)), Expect::Attach, "c"), MemoryErrorKind::UnknownParent),
    ] {
        let bad = OpenTurn { append, idempotency: idempotency.clone(), ..good.clone() };
        assert_eq!(kind(it.store.open(bad).await), expected);
        assert_eq!(it.store.turn(&ann(), good.id).await.unwrap(), None);
    }
    it.started(OpenTurn { idempotency, ..good }).await;
    assert_eq!(it.texts(&key).await, ["a", "b", "c"]);
}

/// A session has one open turn; a second one learns which, and how long its lease lasts.
pub async fn a_second_turn_finds_the_session_busy(it: Subject) {
    let (key, another) = (key("busy"), key("another"));
    let first = it.start(&key, "a").await;
    for (passed, left) in [(0, 10), (4, 6), (5, 1)] {
        it.clock.advance(Duration::from_secs(passed));
        let expected = Some(Duration::from_secs(left));
        assert_eq!(busy(&it, &key).await, (first.clone(), expected));
    }
    it.clock.advance(Duration::from_secs(1));
    assert_eq!(busy(&it, &key).await, (first, None));
    assert_eq!(it.texts(&key).await, ["a"]);
    it.start(&another, "free").await;
}

async fn busy(it: &Subject, key: &SessionKey) -> (TurnRecord, Option<Duration>) {
    match it.store.open(it.turn(key, "b").await).await.unwrap() {
        Opened::Busy { turn, lease_left } => (turn, lease_left),
        other @ (Opened::Started { .. } | Opened::Known(_)) => panic!("not busy: {other:?}"),
    }
}

/// A lost reply is resolved by asking again: the same turn, started once.
pub async fn a_lost_reply_is_asked_for_again(it: Subject) {
    let open = it.turn(&key("lost"), "a").await;
    let open = OpenTurn { idempotency: Some(idempotency("k", "h")), ..open };
    let first = it.store.open(open.clone()).await.unwrap();
    assert_eq!(it.store.open(open.clone()).await.unwrap(), first);
    assert_eq!(it.texts(&key("lost")).await, ["a"]);
    let elsewhere = OpenTurn { idempotency: None, session: key("other"), ..open };
    assert_eq!(kind(it.store.open(elsewhere).await), MemoryErrorKind::Conflict);
}

/// A known key finds its turn, running or over, and writes nothing.
pub async fn a_known_key_finds_its_turn(it: Subject) {
    let key = key("known");
    let k = IdempotencyKey::new("k").unwrap();
    assert_eq!(it.store.turn_by_key(&ann(), &k).await.unwrap(), None);
    let keyed = async |text| {
        let open = it.turn(&key, text).await;
        OpenTurn { idempotency: Some(idempotency("k", "h")), ..open }
    };
    let turn = it.started(keyed("a").await).await;
    assert_eq!(it.store.open(keyed("a").await).await.unwrap(), Opened::Known(turn.clone()));
    let ended = it.store.close(closing(&turn, "b")).await.unwrap();
    assert_eq!(it.store.open(keyed("a").await).await.unwrap(), Opened::Known(ended.clone()));
    let found = it.store.turn_by_key(&ann(), &k).await.unwrap();
    assert_eq!(found, Some(ended));
    assert_eq!(it.texts(&key).await, ["a", "b"]);
}

/// A known key with another request is refused, even while the session is busy, and even for
/// another session.
pub async fn a_key_is_not_used_for_another_request(it: Subject) {
    let open = it.turn(&key("one"), "a").await;
    it.started(OpenTurn { idempotency: Some(idempotency("k", "h")), ..open }).await;
    for session in ["one", "two"] {
        let open = it.turn(&key(session), "b").await;
        let open = OpenTurn { idempotency: Some(idempotency("k", "other")), ..open };
        assert_eq!(kind(it.store.open(open).await), MemoryErrorKind::KeyReused);
    }
    assert_eq!(it.store.session(&key("two")).await.unwrap(), None);
}

/// A key belongs to its owner.
pub async fn keys_are_scoped_to_the_owner(it: Subject) {
    let mine = key("s");
    let theirs = SessionKey::new(bob(), mine.id.clone());
    for (session, hash) in [(&mine, "h1"), (&theirs, "h2")] {
        let open = it.turn(session, "a").await;
        it.started(OpenTurn { idempotency: Some(idempotency("k", hash)), ..open }).await;
    }
    let k = IdempotencyKey::new("k").unwrap();
    for (owner, hash) in [(ann(), "h1"), (bob(), "h2")] {
        let turn = it.store.turn_by_key(&owner, &k).await.unwrap().unwrap();
        assert_eq!(
            (turn.session.owner, turn.idempotency.unwrap().request_hash),
            (owner, hash.into())
        );
    }
}

/// A key is known for a day from the opening, and then free.
pub async fn a_key_lives_for_a_day(it: Subject) {
    let k = IdempotencyKey::new("k").unwrap();
    let open = it.turn(&key("s"), "a").await;
    let first = it.started(OpenTurn { idempotency: Some(idempotency("k", "h")), ..open }).await;
    it.store.close(closing(&first, "b")).await.unwrap();
    it.clock.advance(DAY - Duration::from_millis(1));
    let found = it.store.turn_by_key(&ann(), &k).await.unwrap();
    assert_eq!(found.map(|it| it.id), Some(first.id));
    it.clock.advance(Duration::from_millis(1));
    assert_eq!(it.store.turn_by_key(&ann(), &k).await.unwrap(), None);
    let open = it.turn(&key("s"), "c").await;
    let second =
        it.started(OpenTurn { idempotency: Some(idempotency("k", "other")), ..open }).await;
    let found = it.store.turn_by_key(&ann(), &k).await.unwrap();
    assert_eq!(found.map(|it| it.id), Some(second.id));
    assert!(it.store.turn(&ann(), first.id).await.unwrap().is_some());
}

/// An input that had been appended before is not appended again.
pub async fn a_known_input_is_not_stored_twice(it: Subject) {
    let key = key("input");
    let input = append(None, Expect::Absent, "a");
    let done = it.store.append(&key, input.clone()).await.unwrap();
    let open = it.turn(&key, "").await;
    let Opened::Started { turn, appended } =
        it.store.open(OpenTurn { append: input, ..open }).await.unwrap()
    else {
        panic!("not started")
    };
    assert_eq!((appended, turn.input), (done, done.last));
    assert_eq!(it.texts(&key).await, ["a"]);
}

/// While a turn is open nobody else appends, moves the head or restores; renaming is fine.
pub async fn an_open_turn_shuts_others_out(it: Subject) {
    let key = key("shut");
    it.say(&key, "a").await;
    let turn = it.start(&key, "b").await;
    let session = it.session(&key).await;
    let at = append(session.head, Expect::At(session.token), "c");
    let attach = append(session.head, Expect::Attach, "c");
    for other in [at, attach] {
        assert_eq!(kind(it.store.append(&key, other).await), MemoryErrorKind::Conflict);
    }
    let moved = it.store.move_head(&key, session.token, Some(Seq(1))).await;
    assert_eq!(kind(moved), MemoryErrorKind::Conflict);
    let patch = SessionPatch { recall: Some(true), ..SessionPatch::default() };
    it.store.patch(&key, patch).await.unwrap();
    it.store.close(closing(&turn, "answer")).await.unwrap();
    it.say(&key, "c").await;
    assert_eq!(it.texts(&key).await, ["a", "b", "answer", "c"]);
}

/// Asking for a stop reaches the holder with its next renewal.
pub async fn a_cancel_reaches_the_holder(it: Subject) {
    let turn = it.start(&key("cancel"), "a").await;
    assert!(!it.store.renew(fence(&turn), LEASE).await.unwrap().cancel);
    let asked = it.store.request_cancel(&ann(), turn.id).await.unwrap().unwrap();
    assert!(asked.cancel_requested);
    assert_eq!(asked, it.record(&turn).await);
    assert!(it.store.renew(fence(&turn), LEASE).await.unwrap().cancel);
}

/// Asking a turn that is over, or that never was, changes nothing.
pub async fn a_cancel_after_the_end_changes_nothing(it: Subject) {
    let turn = it.start(&key("over"), "a").await;
    let ended = it.store.close(closing(&turn, "b")).await.unwrap();
    let asked = it.store.request_cancel(&ann(), turn.id).await.unwrap();
    assert_eq!(asked, Some(ended));
    let nobody = TurnId::generate(it.clock.now());
    assert_eq!(it.store.request_cancel(&ann(), nobody).await.unwrap(), None);
}

/// Recovery sees the open turns of all owners, running and waiting, and no others.
pub async fn unfinished_turns_are_found(it: Subject) {
    assert_eq!(it.store.unfinished().await.unwrap(), []);
    let over = it.start(&key("over"), "a").await;
    it.store.close(closing(&over, "b")).await.unwrap();
    let running = it.start(&SessionKey::new(bob(), key("over").id), "a").await;
    let waiting = it.start(&key("waiting"), "a").await;
    let wait = Checkpoint { waiting: true, ..waiting.checkpoint.clone() };
    it.store.checkpoint(fence(&waiting), wait).await.unwrap();
    it.clock.advance(Duration::from_secs(60));
    let mut found = it.store.unfinished().await.unwrap();
    let mut expected = vec![it.record(&running).await, it.record(&waiting).await];
    found.sort_by_key(|it| it.id.to_string());
    expected.sort_by_key(|it| it.id.to_string());
    assert_eq!(found, expected);
}

/// Append ids of turns are ids like any other.
pub async fn a_turns_input_is_known_by_its_append_id(it: Subject) {
    let key = key("ids");
    let open = it.turn(&key, "a").await;
    let append_id = AppendId::of_turn(open.id, 0);
    let open = OpenTurn { append: Append { append_id, ..open.append }, ..open };
    let input = open.append.clone();
    let Opened::Started { appended, .. } = it.store.open(open).await.unwrap() else {
        panic!("not started")
    };
    assert_eq!(it.store.append(&key, input).await.unwrap(), appended);
    assert_eq!(texts(&it.all(&key).await), ["a"]);
}

/// A caller that goes away while it opens a turn learns by asking again what became of it.
pub async fn a_dropped_opening_is_asked_for_again(it: Subject) {
    for polls in 0..12 {
        let key = key(&format!("dropped {polls}"));
        let open = it.turn(&key, "a").await;
        drop_after(polls, it.store.open(open.clone())).await;
        let turn = it.started(open.clone()).await;
        assert_eq!((turn.id, turn.holder), (open.id, open.holder));
        assert_eq!(it.texts(&key).await, ["a"], "after {polls} polls");
    }
}
