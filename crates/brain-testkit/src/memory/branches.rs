//! The tree: edits, regenerated answers, and where the head may stand.

use std::time::Duration;

use brain_core::{
    chat::Message,
    ids::{Seq, Token},
    memory::{Append, Expect, MemoryErrorKind},
    time::Clock,
};

use super::subject::{Subject, append, calls, draft, draft_of, key, kind, unique};

/// An append without drafts, which only moves the head.
fn moving(parent: Option<Seq>, expect: Expect) -> Append {
    Append { drafts: Vec::new(), ..append(parent, expect, "") }
}

/// Editing message 3 of 9 makes a branch that shares 1 and 2; the old one stays whole.
pub async fn an_edit_makes_a_branch(it: Subject) {
    let key = key("edit");
    let said: Vec<String> = (1..=9).map(|n| n.to_string()).collect();
    let done = it.add(&key, said.iter().map(|text| draft(text)).collect()).await;
    let edit = append(Some(Seq(2)), Expect::At(done.token), "3 again");
    let done = it.store.append(&key, edit).await.unwrap();
    assert_eq!((done.last, done.head), (Some(Seq(10)), Some(Seq(10))));
    assert_eq!(it.texts(&key).await, ["1", "2", "3 again"]);
    assert_eq!(it.texts_from(&key, Seq(9)).await, said);
    it.say(&key, "4 again").await;
    assert_eq!(it.texts(&key).await, ["1", "2", "3 again", "4 again"]);
    assert_eq!(it.session(&key).await.entries, 11);
}

/// Without drafts an append moves the head to its parent; the next answer is a sibling.
pub async fn regenerating_keeps_siblings(it: Subject) {
    let key = key("regenerate");
    let done = it.add(&key, ["q", "a1"].map(draft).into()).await;
    let back = moving(Some(Seq(1)), Expect::At(done.token));
    let done = it.store.append(&key, back).await.unwrap();
    assert_eq!((done.last, done.head), (Some(Seq(1)), Some(Seq(1))));
    assert_eq!(it.session(&key).await.token, done.token);
    it.say(&key, "a2").await;
    assert_eq!(it.texts(&key).await, ["q", "a2"]);
    assert_eq!(it.texts_from(&key, Seq(2)).await, ["q", "a1"]);
}

/// A branch may begin at the root.
pub async fn a_branch_may_begin_at_the_root(it: Subject) {
    let key = key("root");
    let done = it.say(&key, "first").await;
    let other = append(None, Expect::At(done.token), "other first");
    it.store.append(&key, other).await.unwrap();
    let branch = it.read(&key).await;
    assert_eq!(branch.entries.len(), 1);
    assert_eq!((branch.entries[0].seq, branch.entries[0].parent), (Seq(2), None));
}

/// An attached append after the head moves it; after any other entry it becomes a sibling.
pub async fn attaching_moves_the_head_only_from_its_parent(it: Subject) {
    let key = key("attach");
    it.add(&key, ["a", "b"].map(draft).into()).await;
    let after = it.store.append(&key, append(Some(Seq(2)), Expect::Attach, "c")).await.unwrap();
    assert_eq!((after.last, after.head), (Some(Seq(3)), Some(Seq(3))));
    let aside = it.store.append(&key, append(Some(Seq(2)), Expect::Attach, "aside")).await.unwrap();
    assert_eq!((aside.last, aside.head), (Some(Seq(4)), Some(Seq(3))));
    assert_ne!(aside.token, after.token);
    assert_eq!(it.texts(&key).await, ["a", "b", "c"]);
    assert_eq!(it.texts_from(&key, Seq(4)).await, ["a", "b", "aside"]);
}

/// The head goes to any entry and before the first; what is appended next follows it.
pub async fn the_head_moves_anywhere(it: Subject) {
    let key = key("head");
    it.add(&key, ["a", "b"].map(draft).into()).await;
    for (head, next, branch) in [
        (Some(Seq(1)), "c", &["a", "c"][..]),
        (None, "d", &["d"]),
        (Some(Seq(3)), "e", &["a", "c", "e"]),
    ] {
        let before = it.session(&key).await;
        it.clock.advance(Duration::from_secs(1));
        let moved = it.store.move_head(&key, before.token, head).await.unwrap();
        assert_eq!((moved.head, moved.updated_at), (head, it.clock.now()));
        assert_ne!(moved.token, before.token);
        assert_eq!(it.session(&key).await, moved);
        it.say(&key, next).await;
        assert_eq!(it.texts(&key).await, branch);
    }
}

/// A session whose head stands before the first entry reads as an empty branch, not as none.
pub async fn before_the_first_entry_the_branch_is_empty(it: Subject) {
    let key = key("before");
    let done = it.say(&key, "a").await;
    it.store.move_head(&key, done.token, None).await.unwrap();
    let branch = it.read(&key).await;
    assert_eq!((branch.entries.len(), branch.session.entries), (0, 1));
}

/// The head moves by the current token only, and only to an entry that there is.
pub async fn a_head_move_needs_token_and_entry(it: Subject) {
    let (key, missing) = (key("checks"), key("missing"));
    let first = it.say(&key, "a").await;
    it.say(&key, "b").await;
    let before = it.session(&key).await;
    let stale = it.store.move_head(&key, first.token, Some(Seq(1))).await;
    assert_eq!(kind(stale), MemoryErrorKind::Conflict);
    let unknown = it.store.move_head(&key, before.token, Some(Seq(3))).await;
    assert_eq!(kind(unknown), MemoryErrorKind::UnknownParent);
    assert_eq!(it.session(&key).await, before);
    let nobody = it.store.move_head(&missing, Token::random(), None).await;
    assert_eq!(kind(nobody), MemoryErrorKind::Conflict);
}

/// A token that was current before a head move is not current after it.
pub async fn a_head_move_outdates_appends(it: Subject) {
    let key = key("outdated");
    let done = it.add(&key, ["a", "b"].map(draft).into()).await;
    it.store.move_head(&key, done.token, Some(Seq(1))).await.unwrap();
    let late = it.store.append(&key, append(Some(Seq(2)), Expect::At(done.token), "c")).await;
    assert_eq!(kind(late), MemoryErrorKind::Conflict);
}

/// Positions go up whatever the head does.
pub async fn positions_are_never_reused(it: Subject) {
    let key = key("positions");
    it.add(&key, ["a", "b", "c"].map(draft).into()).await;
    let token = it.session(&key).await.token;
    it.store.move_head(&key, token, None).await.unwrap();
    assert_eq!(it.say(&key, "d").await.last, Some(Seq(4)));
    let token = it.session(&key).await.token;
    it.store.move_head(&key, token, Some(Seq(1))).await.unwrap();
    assert_eq!(it.say(&key, "e").await.last, Some(Seq(5)));
}

/// The head never stands between a tool call and its result.
pub async fn the_head_stays_out_of_tool_rounds(it: Subject) {
    let key = key("rounds");
    let round = [
        Message::user("q"),
        calls(&["a", "b"]),
        Message::tool("a", ""),
        Message::tool("b", ""),
        Message::assistant("done"),
    ];
    it.add(&key, round.map(draft_of).into()).await;
    for inside in [2, 3] {
        let token = it.session(&key).await.token;
        let moved = it.store.move_head(&key, token, Some(Seq(inside))).await;
        assert_eq!(kind(moved), MemoryErrorKind::InsideToolRound, "at {inside}");
        let back = moving(Some(Seq(inside)), Expect::At(token));
        let moved = it.store.append(&key, back).await;
        assert_eq!(kind(moved), MemoryErrorKind::InsideToolRound, "at {inside}");
        assert_eq!(it.session(&key).await.token, token);
    }
    for outside in [1, 4, 5] {
        let token = it.session(&key).await.token;
        it.store.move_head(&key, token, Some(Seq(outside))).await.unwrap();
    }
}

/// A batch that ends inside a tool round is refused as a whole, unless it leaves the head alone.
pub async fn half_a_tool_round_is_refused(it: Subject) {
    let key = key("half");
    let done = it.say(&key, "q").await;
    let halves = [vec![calls(&["a"])], vec![calls(&["a", "b"]), Message::tool("a", "")]];
    for half in halves {
        let drafts = half.into_iter().map(draft_of).collect();
        let (expect, append_id) = (Expect::At(done.token), unique());
        let append = Append { parent: done.head, expect, append_id, fence: None, drafts };
        let refused = it.store.append(&key, append).await;
        assert_eq!(kind(refused), MemoryErrorKind::InsideToolRound);
    }
    assert_eq!(it.texts(&key).await, ["q"]);
}
