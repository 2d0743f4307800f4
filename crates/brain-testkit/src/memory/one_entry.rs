//! Forgetting one entry: its words go everywhere, its place in the tree stays.

use brain_core::{
    chat::Message,
    ids::{IdempotencyKey, Seq},
    memory::{
        DefaultTitle, Edition, EntryStatus, Expect, Forget, Forgotten, MemoryErrorKind, OpenTurn,
        ReadOptions, Search, SessionPatch,
    },
};

use super::{
    portable::exported,
    subject::{
        Subject, ann, append, calls, closing, draft, draft_of, idempotency, key, kind, positions,
        texts,
    },
    summaries::summary,
};

/// The entry keeps position, parent and children, and says nothing any more; all others stay.
pub async fn a_forgotten_entry_keeps_its_place(it: Subject) {
    let key = key("place");
    it.add(&key, ["1", "canary", "3", "4"].map(draft).into()).await;
    let before = it.read(&key).await;
    assert_eq!(it.store.forget_entry(&key, Seq(2)).await.unwrap().erased, 1);
    let after = it.read(&key).await;
    assert_eq!(positions(&after.entries), [1, 2, 3, 4]);
    assert_eq!(texts(&after.entries), ["1", "", "3", "4"]);
    let (old, new) = (&before.entries[1], &after.entries[1]);
    assert_eq!((new.seq, new.parent), (old.seq, old.parent));
    assert_eq!(*new.body, old.body.forgotten());
    assert_eq!(new.body.status, EntryStatus::Forgotten);
    for n in [0, 2, 3] {
        assert_eq!(after.entries[n], before.entries[n]);
    }
    assert_eq!((after.session.head, after.session.entries), (Some(Seq(4)), 4));
    assert_eq!(texts(&it.all(&key).await), ["1", "", "3", "4"]);
    it.say(&key, "5").await;
    assert_eq!(it.texts(&key).await, ["1", "", "3", "4", "5"]);
}

/// A title that was made of what was said goes too, one that somebody chose stays; exports and
/// imports keep them apart.
pub async fn a_default_title_goes_with_any_entry(it: Subject) {
    let (made, chosen) = (key("made"), key("chosen"));
    for key in [&made, &chosen] {
        it.add(key, ["a canary", "2"].map(draft).into()).await;
        let edition = it.session(key).await.edition;
        let patch = titled("a canary", edition);
        let titled = it.store.patch(key, patch).await.unwrap().unwrap();
        assert_eq!((titled.title.as_deref(), titled.has_default_title), (Some("a canary"), true));
        assert_eq!(it.session(key).await, titled);
    }
    let title = Some(Some("mine".to_owned()));
    let patch = SessionPatch { title, ..SessionPatch::default() };
    it.store.patch(&chosen, patch).await.unwrap();
    let copies = exported(&it, ann()).await;
    for (from, to) in [(&made, key("made 2")), (&chosen, key("chosen 2"))] {
        let session = copies.iter().find(|it| it.id == from.id).unwrap();
        it.store.restore(&to, session).await.unwrap();
        for key in [from, &to] {
            it.store.forget_entry(key, Seq(1)).await.unwrap();
        }
        assert_eq!(it.session(from).await.title, it.session(&to).await.title);
    }
    let made = it.session(&made).await;
    assert_eq!((made.title, made.has_default_title), (None, false));
    assert_eq!(it.session(&chosen).await.title.as_deref(), Some("mine"));
}

fn titled(title: &str, edition: Edition) -> SessionPatch {
    let default_title = Some(DefaultTitle { text: title.to_owned(), edition });
    SessionPatch { default_title, ..SessionPatch::default() }
}

/// A title that was made before an entry was forgotten is not taken after it: it may repeat that. No
/// more is one that was made of an earlier session of the name.
pub async fn a_default_title_from_before_forgetting_is_not_taken(it: Subject) {
    let key = key("late title");
    it.add(&key, ["a canary", "2", "3"].map(draft).into()).await;
    let mut stale = it.session(&key).await.edition;
    for forgotten in [Some(Seq(1)), Some(Seq(2)), None] {
        if let Some(seq) = forgotten {
            it.store.forget_entry(&key, seq).await.unwrap();
        } else {
            it.store.forget(&key, Forget::Always).await.unwrap();
            it.add(&key, ["another"].map(draft).into()).await;
        }
        let patched = it.store.patch(&key, titled("a canary", stale)).await.unwrap().unwrap();
        assert_eq!((patched.title, patched.has_default_title), (None, false));
        assert_eq!(it.session(&key).await.title, None);
        let fresh = it.session(&key).await.edition;
        let patched = it.store.patch(&key, titled("anew", fresh)).await.unwrap().unwrap();
        assert_eq!((patched.title.as_deref(), patched.has_default_title), (Some("anew"), true));
        stale = fresh;
    }
}

/// Whoever read the words before cannot append as if they were still there.
pub async fn forgetting_an_entry_outdates_tokens(it: Subject) {
    let key = key("token");
    let old = it.add(&key, ["1", "2"].map(draft).into()).await;
    it.store.forget_entry(&key, Seq(1)).await.unwrap();
    assert_ne!(it.session(&key).await.token, old.token);
    let late = it.store.append(&key, append(old.head, Expect::At(old.token), "3")).await;
    assert_eq!(kind(late), MemoryErrorKind::Conflict);
}

/// Its words are found no more, and are not embedded again.
pub async fn a_forgotten_entry_is_not_found(it: Subject) {
    let key = key("found");
    it.add(&key, ["a canary", "another canary"].map(draft).into()).await;
    it.store.forget_entry(&key, Seq(1)).await.unwrap();
    let hits = it.store.search(&ann(), &Search::words("canary", 9)).await.unwrap();
    assert_eq!(hits.iter().map(|it| it.entry.seq).collect::<Vec<_>>(), [Seq(2)]);
    let waiting = it.store.unembedded("m", 9).await.unwrap();
    assert!(waiting.iter().all(|it| it.seq == Seq(2)), "{waiting:?}");
}

/// A tool round stays whole: calls keep ids and names, results the call that they answer.
pub async fn a_forgotten_tool_round_stays_whole(it: Subject) {
    let key = key("round");
    let round = [
        Message::user("q"),
        calls(&["a", "b"]),
        Message::tool("a", "canary"),
        Message::tool("b", "canary"),
        Message::assistant("done"),
    ];
    it.add(&key, round.map(draft_of).into()).await;
    for seq in 1..=5 {
        it.store.forget_entry(&key, Seq(seq)).await.unwrap();
    }
    let entries = it.read(&key).await.entries;
    let called = &entries[1].body.message.tool_calls;
    let of = |n: usize| (called[n].id.as_str(), called[n].name.as_str());
    assert_eq!([of(0), of(1)], [("a", "lookup"), ("b", "lookup")]);
    let answered: Vec<_> =
        entries[2..4].iter().map(|it| it.body.message.tool_call_id.as_deref()).collect();
    assert_eq!(answered, [Some("a"), Some("b")]);
    for inside in [2, 3] {
        let token = it.session(&key).await.token;
        let moved = it.store.move_head(&key, token, Some(Seq(inside))).await;
        assert_eq!(kind(moved), MemoryErrorKind::InsideToolRound, "at {inside}");
    }
}

/// Summaries that may hold its words go with it: all that were made at it or later.
pub async fn summaries_of_a_forgotten_entry_go(it: Subject) {
    let key = key("summaries");
    it.add(&key, ["1", "2", "3"].map(draft).into()).await;
    it.store.append(&key, append(Some(Seq(1)), Expect::Attach, "aside")).await.unwrap();
    for at in 1..=4 {
        it.summarise(&key, summary(at, &format!("to {at}"))).await.unwrap();
    }
    it.store.forget_entry(&key, Seq(2)).await.unwrap();
    assert_eq!(it.store.summaries(&key).await.unwrap(), [summary(1, "to 1")]);
    let options = ReadOptions::of_branch(Seq(3), 9);
    let branch = it.store.read(&key, options).await.unwrap().unwrap();
    assert_eq!(branch.summary, Some(summary(1, "to 1")));
}

/// While a turn is open nothing of its session is forgotten in part.
pub async fn an_open_turn_keeps_its_entries(it: Subject) {
    let key = key("open");
    it.say(&key, "1").await;
    let turn = it.start(&key, "2").await;
    let before = it.read(&key).await;
    let refused = it.store.forget_entry(&key, Seq(1)).await;
    assert_eq!(kind(refused), MemoryErrorKind::Conflict);
    assert_eq!(it.read(&key).await, before);
    it.store.close(closing(&turn, "3")).await.unwrap();
    assert_eq!(it.store.forget_entry(&key, Seq(1)).await.unwrap().erased, 1);
    assert_eq!(it.texts(&key).await, ["", "2", "3"]);
}

/// The record of the turn that it was the input of goes too: it holds the same words.
pub async fn a_forgotten_input_takes_its_turn_along(it: Subject) {
    let key = key("input");
    let open = it.turn(&key, "canary").await;
    let turn = it.started(OpenTurn { idempotency: Some(idempotency("k", "h")), ..open }).await;
    it.store.close(closing(&turn, "a")).await.unwrap();
    let other = it.start(&key, "q").await;
    it.store.close(closing(&other, "b")).await.unwrap();
    it.store.forget_entry(&key, turn.input.unwrap()).await.unwrap();
    assert_eq!(it.store.turn(&ann(), turn.id).await.unwrap(), None);
    let known = IdempotencyKey::new("k").unwrap();
    assert_eq!(it.store.turn_by_key(&ann(), &known).await.unwrap(), None);
    assert_eq!(it.record(&other).await.id, other.id);
    assert_eq!(it.texts(&key).await, ["", "a", "q", "b"]);
}

/// Forgetting an entry that there is not succeeds and changes nothing.
pub async fn forgetting_no_entry_succeeds(it: Subject) {
    assert_eq!(it.store.forget_entry(&key("nobody"), Seq(1)).await.unwrap(), Forgotten::default());
    assert_eq!(it.store.session(&key("nobody")).await.unwrap(), None);
    let key = key("none");
    it.say(&key, "a").await;
    let before = it.read(&key).await;
    for seq in [0, 2, u64::MAX] {
        let forgotten = it.store.forget_entry(&key, Seq(seq)).await.unwrap();
        assert_eq!(forgotten, Forgotten::default(), "{seq}");
    }
    assert_eq!(it.read(&key).await, before);
    it.store.forget_entry(&key, Seq(1)).await.unwrap();
    let before = it.read(&key).await;
    assert_eq!(it.store.forget_entry(&key, Seq(1)).await.unwrap().erased, 0);
    assert_eq!(it.read(&key).await, before);
}

/// What was exported before does not bring the words back, and what is exported now has none.
pub async fn a_forgotten_entry_does_not_come_back(it: Subject) {
    let key = key("back");
    it.add(&key, ["1", "canary", "3"].map(draft).into()).await;
    let old = exported(&it, ann()).await.remove(0);
    it.store.forget_entry(&key, Seq(2)).await.unwrap();
    assert_eq!(kind(it.store.restore(&key, &old).await), MemoryErrorKind::Conflict);
    let new = exported(&it, ann()).await.remove(0);
    assert!(!serde_json::to_string(&new).unwrap().contains("canary"));
    it.store.forget(&key, Forget::Always).await.unwrap();
    it.store.restore(&key, &new).await.unwrap();
    assert_eq!(exported(&it, ann()).await, [new]);
    assert_eq!(it.texts(&key).await, ["1", "", "3"]);
}

/// Its bytes are nowhere in the store, nor those of its summaries; then those of the session.
pub async fn no_byte_of_the_forgotten_is_left(it: Subject) {
    let (gone, kept) = (key("gone"), key("kept"));
    for key in [&gone, &kept] {
        it.add(key, ["says canaryone", "says canarytwo"].map(draft).into()).await;
    }
    it.summarise(&gone, summary(2, "canarythree")).await.unwrap();
    it.store.forget_entry(&gone, Seq(2)).await.unwrap();
    it.assert_holds("canarythree", false).await;
    it.store.forget_entry(&kept, Seq(2)).await.unwrap();
    it.assert_holds("canarytwo", false).await;
    it.assert_holds("canaryone", true).await;
    let forgotten = [
        it.store.forget(&gone, Forget::Always).await,
        it.store.forget(&kept, Forget::Always).await,
    ];
    assert_eq!(forgotten.map(|it| it.unwrap().erased), [2, 2]);
    it.assert_holds("canaryone", false).await;
}
