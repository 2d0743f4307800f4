//! Holding turns: fences, leases, checkpoints, and taking over.

use std::time::Duration;

use brain_core::{
    chat::{Message, ToolCall},
    ids::{HolderId, Seq, TurnId},
    memory::{
        Append, Authority, CallRecord, CallState, Checkpoint, CloseTurn, Expect, Fence,
        MemoryErrorKind, Opened, TurnRecord, TurnState,
    },
    time::Clock,
};

use super::subject::{LEASE, Subject, append, calls, closing, draft_of, fence, key, kind};

const SECOND: Duration = Duration::from_secs(1);

fn other(turn: &TurnRecord) -> Fence {
    Fence { turn: turn.id, holder: HolderId::random() }
}

fn partial(tail: Option<Seq>) -> Checkpoint {
    let call = ToolCall {
        id: "c1".to_owned(),
        name: "lookup".to_owned(),
        arguments: "{\"q\":\"\\u0000\"}".to_owned(),
        provider_id: None,
    };
    let result = Some("r \u{0}".to_owned());
    Checkpoint {
        text: "half an ans\u{0}\u{1f600}".to_owned(),
        reasoning: "hm".to_owned(),
        calls: vec![CallRecord { call, state: CallState::Started, result }],
        last_event: 42,
        tail,
        waiting: false,
    }
}

/// Everything a holder may do fails with `Superseded` for this fence, and changes nothing.
async fn is_shut_out(it: &Subject, turn: &TurnRecord, fence: Fence) {
    let before = (it.record(turn).await, it.session(&turn.session).await);
    let late =
        Append { fence: Some(fence), ..append(turn.checkpoint.tail, Expect::Attach, "late") };
    let appended = it.store.append(&turn.session, late).await;
    assert_eq!(kind(appended), MemoryErrorKind::Superseded);
    assert_eq!(kind(it.store.renew(fence, LEASE).await), MemoryErrorKind::Superseded);
    let kept = it.store.checkpoint(fence, partial(None)).await;
    assert_eq!(kind(kept), MemoryErrorKind::Superseded);
    let as_holder = TurnRecord { holder: fence.holder, ..turn.clone() };
    let closed = it.store.close(closing(&as_holder, "late")).await;
    assert_eq!(kind(closed), MemoryErrorKind::Superseded);
    assert_eq!((it.record(turn).await, it.session(&turn.session).await), before);
}

/// The holder appends tool rounds as it goes.
pub async fn the_holder_appends(it: Subject) {
    let turn = it.start(&key("holder"), "q").await;
    it.say_in(&turn, "a").await.unwrap();
    it.say_in(&turn, "b").await.unwrap();
    assert_eq!(it.texts(&turn.session).await, ["q", "a", "b"]);
}

/// Whoever is not the holder can do nothing.
pub async fn others_are_shut_out(it: Subject) {
    let turn = it.start(&key("fence"), "q").await;
    is_shut_out(&it, &turn, other(&turn)).await;
    let nobody = Fence { turn: TurnId::generate(it.clock.now()), ..fence(&turn) };
    let late = Append { fence: Some(nobody), ..append(Some(Seq(1)), Expect::Attach, "late") };
    let appended = it.store.append(&turn.session, late).await;
    assert_eq!(kind(appended), MemoryErrorKind::Superseded);
    assert_eq!(it.texts(&turn.session).await, ["q"]);
}

/// A turn of one session is no fence for another.
pub async fn a_fence_holds_for_its_session_only(it: Subject) {
    let turn = it.start(&key("one"), "q").await;
    it.say(&key("two"), "a").await;
    for session in ["two", "missing"] {
        let (parent, expect) = it.state(&key(session)).await;
        let wrong = Append { fence: Some(fence(&turn)), ..append(parent, expect, "b") };
        let appended = it.store.append(&key(session), wrong).await;
        assert_eq!(kind(appended), MemoryErrorKind::Superseded, "{session}");
    }
    assert_eq!(it.texts(&key("two")).await, ["a"]);
    assert_eq!(it.store.session(&key("missing")).await.unwrap(), None);
}

/// A repeated append of the turn needs no fence: its first result stands.
pub async fn a_known_append_needs_no_fence(it: Subject) {
    let turn = it.start(&key("known"), "q").await;
    let held = Append { fence: Some(fence(&turn)), ..append(Some(Seq(1)), Expect::Attach, "a") };
    let done = it.store.append(&turn.session, held.clone()).await.unwrap();
    it.store.close(closing(&it.record(&turn).await, "b")).await.unwrap();
    for fence in [held.fence, Some(other(&turn)), None] {
        let again = Append { fence, ..held.clone() };
        assert_eq!(it.store.append(&turn.session, again).await.unwrap(), done);
    }
    assert_eq!(it.texts(&turn.session).await, ["q", "a", "b"]);
}

/// A checkpoint is kept whole.
pub async fn a_checkpoint_is_kept(it: Subject) {
    let turn = it.start(&key("checkpoint"), "q").await;
    for checkpoint in [partial(Some(Seq(1))), Checkpoint::default()] {
        it.store.checkpoint(fence(&turn), checkpoint.clone()).await.unwrap();
        assert_eq!(it.record(&turn).await, TurnRecord { checkpoint, ..turn.clone() });
    }
}

/// What a turn appends leaves its checkpoint in the same step, so that nothing is told twice.
pub async fn an_append_empties_the_checkpoint(it: Subject) {
    let turn = it.start(&key("empties"), "q").await;
    it.store.checkpoint(fence(&turn), partial(Some(Seq(1)))).await.unwrap();
    let round = [calls(&["c1"]), Message::tool("c1", "r")];
    let append = Append {
        fence: Some(fence(&turn)),
        drafts: round.map(draft_of).into(),
        ..append(Some(Seq(1)), Expect::Attach, "")
    };
    it.store.append(&turn.session, append).await.unwrap();
    let checkpoint = Checkpoint { last_event: 42, tail: Some(Seq(3)), ..Checkpoint::default() };
    assert_eq!(it.record(&turn).await.checkpoint, checkpoint);
}

/// A renewal moves the end of the lease; a lapsed lease that nobody took still holds.
pub async fn a_renewal_moves_the_lease(it: Subject) {
    let turn = it.start(&key("renew"), "q").await;
    for passed in [3, 9, 11, 60] {
        it.clock.advance(passed * SECOND);
        it.store.renew(fence(&turn), LEASE).await.unwrap();
        assert_eq!(it.record(&turn).await.lease_until, Some(it.clock.now().plus(LEASE)));
    }
    it.clock.advance(2 * LEASE);
    it.say_in(&turn, "late but held").await.unwrap();
    it.store.checkpoint(fence(&turn), partial(Some(Seq(2)))).await.unwrap();
    it.store.close(closing(&it.record(&turn).await, "end")).await.unwrap();
    assert_eq!(it.texts(&turn.session).await, ["q", "late but held", "end"]);
}

/// A lease lives to its last moment and not beyond.
pub async fn a_lease_is_taken_only_when_it_has_lapsed(it: Subject) {
    let turn = it.start(&key("take"), "q").await;
    it.clock.advance(LEASE - Duration::from_millis(1));
    let taker = other(&turn);
    assert_eq!(kind(it.store.take(taker, LEASE).await), MemoryErrorKind::Superseded);
    it.clock.advance(Duration::from_millis(1));
    let taken = it.store.take(taker, 2 * LEASE).await.unwrap();
    let lease_until = Some(it.clock.now().plus(2 * LEASE));
    assert_eq!(taken, TurnRecord { holder: taker.holder, lease_until, ..turn.clone() });
    assert_eq!(it.record(&turn).await, taken);
}

/// A holder that has lost its lease can do nothing any more; the new one can.
pub async fn the_superseded_are_shut_out(it: Subject) {
    let turn = it.start(&key("lost"), "q").await;
    it.clock.advance(3 * LEASE);
    let taken = it.store.take(other(&turn), LEASE).await.unwrap();
    is_shut_out(&it, &turn, fence(&turn)).await;
    it.say_in(&taken, "a").await.unwrap();
    assert_eq!(it.texts(&turn.session).await, ["q", "a"]);
}

/// The holder may take its own turn at any time.
pub async fn a_holder_takes_its_own_turn(it: Subject) {
    let turn = it.start(&key("own"), "q").await;
    it.clock.advance(SECOND);
    let taken = it.store.take(fence(&turn), LEASE).await.unwrap();
    assert_eq!(taken.lease_until, Some(it.clock.now().plus(LEASE)));
}

/// A turn that waits has no lease and no holder, however long it waits, until it is taken.
pub async fn a_waiting_turn_is_held_by_nobody(it: Subject) {
    let turn = it.start(&key("waiting"), "q").await;
    let checkpoint = Checkpoint { waiting: true, ..partial(Some(Seq(1))) };
    it.store.checkpoint(fence(&turn), checkpoint.clone()).await.unwrap();
    let waiting = it.record(&turn).await;
    let expected = TurnRecord {
        state: TurnState::Waiting,
        lease_until: None,
        checkpoint: checkpoint.clone(),
        ..turn.clone()
    };
    assert_eq!(waiting, expected);
    is_shut_out(&it, &turn, fence(&turn)).await;
    let busy = it.store.open(it.turn(&turn.session, "b").await).await.unwrap();
    assert_eq!(busy, Opened::Busy { turn: waiting, lease_left: None });
    let taken = it.store.take(other(&turn), LEASE).await.unwrap();
    assert_eq!(taken.state, TurnState::Running);
    assert_eq!(taken.checkpoint, Checkpoint { waiting: false, ..checkpoint });
    it.say_in(&taken, "approved").await.unwrap();
}

/// A turn that is over, or that never was, is not taken.
pub async fn a_turn_that_is_over_is_not_taken(it: Subject) {
    let turn = it.start(&key("over"), "q").await;
    it.store.close(closing(&turn, "a")).await.unwrap();
    it.clock.advance(2 * LEASE);
    let nobody = Fence { turn: TurnId::generate(it.clock.now()), ..fence(&turn) };
    for fence in [fence(&turn), other(&turn), nobody] {
        assert_eq!(kind(it.store.take(fence, LEASE).await), MemoryErrorKind::Superseded);
    }
    is_shut_out(&it, &turn, fence(&turn)).await;
}

/// Running turns are found once their leases have lapsed, by every daemon, and no other turns are.
pub async fn lapsed_turns_are_found(it: Subject) {
    let over = it.start(&key("over"), "q").await;
    it.store.close(closing(&over, "a")).await.unwrap();
    let waiting = it.start(&key("waiting"), "q").await;
    let wait = Checkpoint { waiting: true, ..waiting.checkpoint.clone() };
    it.store.checkpoint(fence(&waiting), wait).await.unwrap();
    let (left, more) = (it.start(&key("left"), "q").await, it.start(&key("more"), "q").await);
    let held = it.start(&key("held"), "q").await;
    it.clock.advance(LEASE - Duration::from_millis(1));
    it.store.renew(fence(&held), LEASE).await.unwrap();
    assert_eq!(it.store.lapsed(9).await.unwrap(), []);

    it.clock.advance(Duration::from_millis(1));
    let mut expected = [it.record(&left).await, it.record(&more).await];
    expected.sort_by_key(|it| it.id.to_string());
    for daemon in [it.at(0), it.at(1)] {
        let mut found = daemon.store.lapsed(9).await.unwrap();
        found.sort_by_key(|it| it.id.to_string());
        assert_eq!(found, expected);
        assert_eq!(daemon.store.lapsed(1).await.unwrap().len(), 1);
    }
    let end = CloseTurn { authority: Authority::Lapsed, ..closing(&left, "kept") };
    it.store.close(end).await.unwrap();
    assert_eq!(it.store.lapsed(9).await.unwrap(), [it.record(&more).await]);
}
