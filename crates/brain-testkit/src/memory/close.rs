//! Ending turns: the answer and the end are one step, by whoever has the right to it.

use std::time::Duration;

use brain_core::{
    chat::{Message, Usage},
    ids::{HolderId, Seq, SessionId, TurnId},
    memory::{
        Append, Authority, Checkpoint, CloseTurn, Expect, Fence, MemoryErrorKind, OpenTurn,
        TurnError, TurnRecord, TurnState,
    },
    time::Clock,
    window::{Accuracy, Citation, ContextReport, PassedOver, RecallState},
};

use super::subject::{
    LEASE, Subject, append, calls, closing, draft_of, drop_after, fence, key, kind,
};

/// A report that says all that one can.
fn report() -> ContextReport {
    let session_id = SessionId::new("\u{0}, \"else\"").unwrap();
    let (model, code) = ("a/b".to_owned(), "provider_unavailable".to_owned());
    ContextReport {
        used_entries: 3,
        dropped_entries: 2,
        summarised_entries: 1,
        older_entries: true,
        summary: Some(Seq(1)),
        recalled: vec![Citation { session_id, seq: Seq(9) }],
        recall: Some(RecallState::WordsOnly),
        pictures_left_out: 1,
        fallback: vec![PassedOver { model, code }],
        used_tokens: 30,
        budget_tokens: 4_000,
        until_summary_tokens: 20,
        counting: Accuracy::Estimated,
    }
}

/// The end of a turn by whoever finds it, without an answer.
fn ending(turn: &TurnRecord, authority: Authority) -> CloseTurn {
    let close = closing(turn, "");
    let append = Append { drafts: Vec::new(), ..close.append };
    let error = TurnError {
        code: "restarted".to_owned(),
        message: "gone".to_owned(),
        retry_after: Some(Duration::from_millis(1_500)),
    };
    CloseTurn { authority, state: TurnState::Interrupted, append, error: Some(error), ..close }
}

/// The answer is appended and the turn is over; what the answer holds leaves the checkpoint.
pub async fn closing_appends_the_answer(it: Subject) {
    let turn = it.start(&key("close"), "q").await;
    let partial = Checkpoint {
        text: "ans".to_owned(),
        reasoning: "hm".to_owned(),
        last_event: 3,
        ..turn.checkpoint.clone()
    };
    it.store.checkpoint(fence(&turn), partial).await.unwrap();
    it.clock.advance(LEASE / 2);
    let usage = Some(Usage { input_tokens: 1, output_tokens: 2, ..Usage::default() });
    let context = Some(report());
    let close = CloseTurn { usage, context: context.clone(), ..closing(&turn, "answer") };
    let ended = it.store.close(close).await.unwrap();
    let expected = TurnRecord {
        state: TurnState::Completed,
        lease_until: None,
        checkpoint: Checkpoint { last_event: 7, tail: Some(Seq(2)), ..Checkpoint::default() },
        answer: Some(Seq(2)),
        usage,
        context,
        ended_at: Some(it.clock.now()),
        ..turn.clone()
    };
    assert_eq!(ended, expected);
    assert_eq!(it.record(&turn).await, expected);
    assert_eq!(it.at(1).record(&turn).await, expected);
    assert_eq!(it.texts(&turn.session).await, ["q", "answer"]);
    assert_eq!(it.store.unfinished().await.unwrap(), []);
    it.start(&turn.session, "next").await;
}

/// Ending again by the same append id gives the first result; by another one it is too late.
pub async fn closing_again_answers_as_before(it: Subject) {
    let turn = it.start(&key("twice"), "q").await;
    let close = closing(&turn, "answer");
    let ended = it.store.close(close.clone()).await.unwrap();
    it.clock.advance(LEASE);
    let changed = CloseTurn { state: TurnState::Failed, last_event: 99, ..close.clone() };
    for again in [close, changed] {
        assert_eq!(it.store.close(again).await.unwrap(), ended);
    }
    let late = it.store.close(closing(&turn, "another")).await;
    assert_eq!(kind(late), MemoryErrorKind::Superseded);
    assert_eq!(it.texts(&turn.session).await, ["q", "answer"]);
}

/// A turn that failed has its error, and no answer if there was none.
pub async fn a_turn_may_end_without_an_answer(it: Subject) {
    let turn = it.start(&key("failed"), "q").await;
    let authority = Authority::Holder(turn.holder);
    let close = CloseTurn { state: TurnState::Failed, ..ending(&turn, authority) };
    let ended = it.store.close(close.clone()).await.unwrap();
    assert_eq!((ended.state, ended.answer, &ended.error), (TurnState::Failed, None, &close.error));
    assert_eq!(ended.checkpoint.tail, Some(Seq(1)));
    assert_eq!(it.store.close(close).await.unwrap(), ended);
    assert_eq!(it.texts(&turn.session).await, ["q"]);
    assert_eq!(it.session(&turn.session).await.head, Some(Seq(1)));
}

/// An answer whose parent is no longer the head is never refused: it becomes a sibling.
pub async fn a_finished_answer_is_never_refused(it: Subject) {
    let turn = it.start(&key("sibling"), "q").await;
    let close = closing(&turn, "answer");
    it.say_in(&turn, "a round meanwhile").await.unwrap();
    let ended = it.store.close(close).await.unwrap();
    assert_eq!(ended.answer, Some(Seq(3)));
    assert_eq!(it.texts(&turn.session).await, ["q", "a round meanwhile"]);
    assert_eq!(it.texts_from(&turn.session, Seq(3)).await, ["q", "answer"]);
}

/// A close whose answer cannot be appended ends nothing.
pub async fn a_refused_answer_ends_nothing(it: Subject) {
    let turn = it.start(&key("refused"), "q").await;
    let close = closing(&turn, "answer");
    let unknown = Append { parent: Some(Seq(9)), ..close.append.clone() };
    let half = Append { drafts: vec![draft_of(calls(&["a"]))], ..close.append.clone() };
    for (append, expected) in
        [(unknown, MemoryErrorKind::UnknownParent), (half, MemoryErrorKind::InsideToolRound)]
    {
        let refused = it.store.close(CloseTurn { append, ..close.clone() }).await;
        assert_eq!(kind(refused), expected);
        assert_eq!(it.record(&turn).await, turn);
    }
    it.store.close(close).await.unwrap();
}

/// A turn does not end in a state that is not an end.
pub async fn an_open_state_is_no_end(it: Subject) {
    let turn = it.start(&key("open"), "q").await;
    for state in [TurnState::Running, TurnState::Waiting] {
        let refused = it.store.close(CloseTurn { state, ..closing(&turn, "a") }).await;
        assert_eq!(kind(refused), MemoryErrorKind::Superseded);
    }
    assert_eq!(it.record(&turn).await, turn);
    assert_eq!(it.texts(&turn.session).await, ["q"]);
}

/// Only its holder ends a turn as its holder.
pub async fn another_holder_ends_nothing(it: Subject) {
    let turn = it.start(&key("holder"), "q").await;
    let late = ending(&turn, Authority::Holder(HolderId::random()));
    assert_eq!(kind(it.store.close(late).await), MemoryErrorKind::Superseded);
    let nobody = TurnRecord { id: TurnId::generate(it.clock.now()), ..turn.clone() };
    for authority in [Authority::Holder(turn.holder), Authority::Lapsed, Authority::Exclusive] {
        let unknown = it.store.close(ending(&nobody, authority)).await;
        assert_eq!(kind(unknown), MemoryErrorKind::Superseded);
    }
    assert_eq!(it.record(&turn).await, turn);
}

/// Whoever finds a lapsed lease ends the turn, and nobody before; the holder is too late then.
pub async fn a_lapsed_turn_is_ended_by_whoever_finds_it(it: Subject) {
    let turn = it.start(&key("lapsed"), "q").await;
    it.clock.advance(LEASE - Duration::from_millis(1));
    let early = it.store.close(ending(&turn, Authority::Lapsed)).await;
    assert_eq!(kind(early), MemoryErrorKind::Superseded);
    it.clock.advance(Duration::from_millis(1));
    let ended = it.store.close(ending(&turn, Authority::Lapsed)).await.unwrap();
    assert_eq!(ended.state, TurnState::Interrupted);
    let late = it.store.close(closing(&turn, "late")).await;
    assert_eq!(kind(late), MemoryErrorKind::Superseded);
    assert_eq!(it.texts(&turn.session).await, ["q"]);
}

/// A turn that waits does not lapse; only exclusive authority or a taker ends it.
pub async fn a_waiting_turn_does_not_lapse(it: Subject) {
    let turn = it.start(&key("waits"), "q").await;
    let waiting = Checkpoint { waiting: true, ..turn.checkpoint.clone() };
    it.store.checkpoint(fence(&turn), waiting).await.unwrap();
    it.clock.advance(100 * LEASE);
    for authority in [Authority::Lapsed, Authority::Holder(turn.holder)] {
        let refused = it.store.close(ending(&turn, authority)).await;
        assert_eq!(kind(refused), MemoryErrorKind::Superseded);
    }
    let ended = it.store.close(ending(&turn, Authority::Exclusive)).await.unwrap();
    assert_eq!((ended.state, ended.checkpoint.waiting), (TurnState::Interrupted, false));
}

/// Exclusive authority ends what a predecessor left, whatever its lease says.
pub async fn exclusive_authority_ends_any_open_turn(it: Subject) {
    let turn = it.start(&key("left"), "q").await;
    let ended = it.store.close(ending(&turn, Authority::Exclusive)).await.unwrap();
    assert_eq!(ended.state, TurnState::Interrupted);
    let again = it.store.close(ending(&turn, Authority::Exclusive)).await;
    assert_eq!(kind(again), MemoryErrorKind::Superseded);
    assert_eq!(kind(it.say_in(&turn, "late").await), MemoryErrorKind::Superseded);
}

/// The answer needs no fence, and one that is there is ignored.
pub async fn the_fence_of_an_answer_is_ignored(it: Subject) {
    let turn = it.start(&key("ignored"), "q").await;
    let close = closing(&turn, "a");
    let nobody = Fence { turn: TurnId::generate(it.clock.now()), holder: HolderId::random() };
    let append = Append { fence: Some(nobody), ..close.append.clone() };
    it.store.close(CloseTurn { append, ..close }).await.unwrap();
    let answer = draft_of(Message::assistant("b"));
    let open = it.turn(&turn.session, "q2").await;
    let fenced = Append { fence: Some(nobody), ..open.append.clone() };
    let next = it.started(OpenTurn { append: fenced, ..open }).await;
    let append = Append { drafts: vec![answer], ..append_after(&next) };
    it.store.close(CloseTurn { append, ..closing(&next, "") }).await.unwrap();
    assert_eq!(it.texts(&turn.session).await, ["q", "a", "q2", "b"]);
}

fn append_after(turn: &TurnRecord) -> Append {
    append(turn.checkpoint.tail, Expect::Attach, "")
}

/// A caller that goes away while it ends a turn learns by asking again what became of it.
pub async fn a_dropped_end_is_asked_for_again(it: Subject) {
    for polls in 0..12 {
        let turn = it.start(&key(&format!("dropped {polls}")), "q").await;
        let close = closing(&turn, "a");
        drop_after(polls, it.store.close(close.clone())).await;
        assert_eq!(it.store.close(close).await.unwrap().answer, Some(Seq(2)));
        assert_eq!(it.texts(&turn.session).await, ["q", "a"], "after {polls} polls");
    }
}
