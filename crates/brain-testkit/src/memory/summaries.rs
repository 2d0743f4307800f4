//! Summaries: where they count, what replaces them, and that they replace nothing.

use std::time::Duration;

use brain_core::{
    ids::{Seq, SessionKey},
    memory::{
        Expect, Forget, ListOptions, MemoryErrorKind, ReadFrom, ReadOptions, SessionPatch, Summary,
    },
    time::{Clock, Timestamp},
};

use super::{
    portable::exported,
    subject::{Subject, ann, append, closing, draft, key, kind, texts},
};

/// A summary made at this entry.
pub(super) fn summary(at: u64, text: &str) -> Summary {
    let (model, created_at) = (Some("maker/model".to_owned()), Timestamp::from_millis(5));
    Summary { at: Seq(at), text: text.to_owned(), model, created_at }
}

async fn keep(it: &Subject, key: &SessionKey, at: u64, text: &str) {
    it.summarise(key, summary(at, text)).await.unwrap();
}

/// What the summary says that comes with a branch.
async fn told(it: &Subject, key: &SessionKey, from: ReadFrom, limit: usize) -> Option<String> {
    let options = ReadOptions { from, ..ReadOptions::newest(limit) };
    let branch = it.store.read(key, options).await.unwrap().unwrap();
    branch.summary.map(|it| it.text)
}

/// A kept summary is read with its branch, and changes neither token, time nor entries.
pub async fn a_summary_is_read_with_its_branch(it: Subject) {
    let key = key("summary");
    it.add(&key, ["a", "b", "c"].map(draft).into()).await;
    assert_eq!(it.read(&key).await.summary, None);
    let before = it.session(&key).await;
    it.clock.advance(Duration::from_secs(1));
    let kept = Summary { model: None, created_at: it.clock.now(), ..summary(2, "a \u{0}, b") };
    it.summarise(&key, kept.clone()).await.unwrap();
    let branch = it.read(&key).await;
    assert_eq!(branch.summary, Some(kept));
    assert_eq!(branch.session, before);
    assert_eq!(texts(&branch.entries), ["a", "b", "c"]);
}

/// The newest summary made at one of the entries that are read counts, or at the one before them.
pub async fn the_newest_summary_of_a_branch_counts(it: Subject) {
    let key = key("newest");
    it.add(&key, ["1", "2", "3", "4", "5", "6"].map(draft).into()).await;
    keep(&it, &key, 4, "to 4").await;
    keep(&it, &key, 2, "to 2").await;
    let (head, third) = (ReadFrom::Head, ReadFrom::Entry(Seq(3)));
    for (from, limit, expected) in [
        (head, 6, Some("to 4")),
        (head, 3, Some("to 4")),
        (head, 2, Some("to 4")),
        (head, 1, None),
        (third, 3, Some("to 2")),
        (third, 2, Some("to 2")),
        (third, 1, Some("to 2")),
        (ReadFrom::Entry(Seq(1)), 9, None),
    ] {
        let found = told(&it, &key, from, limit).await;
        assert_eq!(found.as_deref(), expected, "{limit} entries from {from:?}");
    }
}

/// A summary counts only where its entry is the head or its ancestor.
pub async fn a_summary_counts_on_its_branch_only(it: Subject) {
    let key = key("branches");
    let done = it.add(&key, ["1", "2", "3"].map(draft).into()).await;
    keep(&it, &key, 3, "to 3").await;
    it.store.append(&key, append(Some(Seq(1)), Expect::At(done.token), "2 again")).await.unwrap();
    assert_eq!(told(&it, &key, ReadFrom::Head, 9).await, None);
    assert_eq!(told(&it, &key, ReadFrom::Entry(Seq(3)), 9).await.as_deref(), Some("to 3"));
    keep(&it, &key, 1, "to 1").await;
    assert_eq!(told(&it, &key, ReadFrom::Head, 9).await.as_deref(), Some("to 1"));
    let token = it.session(&key).await.token;
    it.store.move_head(&key, token, Some(Seq(3))).await.unwrap();
    assert_eq!(told(&it, &key, ReadFrom::Head, 9).await.as_deref(), Some("to 3"));
}

/// Another summary at the same entry takes the place of the first.
pub async fn a_summary_at_the_same_entry_is_replaced(it: Subject) {
    let key = key("replaced");
    it.add(&key, ["1", "2"].map(draft).into()).await;
    for text in ["first", "second", "second"] {
        keep(&it, &key, 2, text).await;
    }
    assert_eq!(told(&it, &key, ReadFrom::Head, 9).await.as_deref(), Some("second"));
    assert_eq!(it.store.summaries(&key).await.unwrap(), [summary(2, "second")]);
}

/// A summary needs its entry; nothing is made for one that has none.
pub async fn a_summary_needs_its_entry(it: Subject) {
    let key_of_none = key("nobody");
    let nobody = it.summarise(&key_of_none, summary(1, "x")).await;
    assert_eq!(kind(nobody), MemoryErrorKind::Conflict);
    assert_eq!(it.store.session(&key_of_none).await.unwrap(), None);
    let key = key("needs");
    it.say(&key, "a").await;
    for at in [0, 2, u64::MAX] {
        let refused = it.summarise(&key, summary(at, "x")).await;
        assert_eq!(kind(refused), MemoryErrorKind::UnknownParent, "at {at}");
    }
    assert_eq!(it.read(&key).await.summary, None);
    let listed = it.store.list(&ann(), ListOptions { before: None, limit: 9 }).await.unwrap();
    assert_eq!(listed.len(), 1);
}

/// A summary that took long, while ten messages came, loses none of them and is good still.
pub async fn a_late_summary_loses_nothing(it: Subject) {
    let key = key("late");
    it.add(&key, ["1", "2"].map(draft).into()).await;
    let mut said = vec!["1".to_owned(), "2".to_owned()];
    let turn = it.start(&key, "3").await;
    said.push("3".to_owned());
    for n in 4..=12 {
        it.say_in(&turn, &n.to_string()).await.unwrap();
        said.push(n.to_string());
        if n == 8 {
            keep(&it, &key, 2, "1 and 2").await;
        }
    }
    let branch = it.read(&key).await;
    assert_eq!(texts(&branch.entries), said);
    assert_eq!(branch.summary, Some(summary(2, "1 and 2")));
    assert_eq!(texts(&it.all(&key).await), said);
}

/// A summary that was begun before an entry was forgotten is refused, wherever that entry stands;
/// nothing else that happens in the session outdates it.
pub async fn a_summary_of_what_was_forgotten_is_refused(it: Subject) {
    let key = key("outdated");
    it.add(&key, ["a canary", "2", "3"].map(draft).into()).await;
    let (begun, other) = (it.session(&key).await.edition, it.at(1));
    assert_eq!(other.read(&key).await.session.edition, begun);
    it.say(&key, "4").await;
    let turn = it.start(&key, "5").await;
    it.store.close(closing(&turn, "6")).await.unwrap();
    let patch = SessionPatch { title: Some(Some("t".to_owned())), ..SessionPatch::default() };
    it.store.patch(&key, patch).await.unwrap();
    let token = it.session(&key).await.token;
    it.store.move_head(&key, token, Some(Seq(3))).await.unwrap();
    it.store.keep_summary(&key, begun, summary(1, "kept")).await.unwrap();

    other.store.forget_entry(&key, Seq(2)).await.unwrap();
    for at in 1..=3 {
        let refused = it.store.keep_summary(&key, begun, summary(at, "a canary")).await;
        assert_eq!(kind(refused), MemoryErrorKind::Conflict, "at {at}");
    }
    assert_eq!(it.store.summaries(&key).await.unwrap(), [summary(1, "kept")]);
    let again = it.session(&key).await.edition;
    it.store.forget_entry(&key, Seq(2)).await.unwrap();
    assert_eq!(it.session(&key).await.edition, again, "nothing was forgotten");
    it.store.keep_summary(&key, again, summary(3, "new")).await.unwrap();
}

/// A summary of a session that was forgotten is none of another one of its name and content.
pub async fn a_summary_of_an_earlier_session_is_refused(it: Subject) {
    let key = key("again");
    it.add(&key, ["1", "2"].map(draft).into()).await;
    let begun = it.session(&key).await.edition;
    let content = exported(&it, ann()).await.remove(0);
    it.store.forget(&key, Forget::Always).await.unwrap();
    it.store.restore(&key, &content).await.unwrap();
    let refused = it.store.keep_summary(&key, begun, summary(2, "of the first")).await;
    assert_eq!(kind(refused), MemoryErrorKind::Conflict);
    it.store.forget(&key, Forget::Always).await.unwrap();
    it.add(&key, ["1", "2"].map(draft).into()).await;
    let refused = it.store.keep_summary(&key, begun, summary(2, "of the first")).await;
    assert_eq!(kind(refused), MemoryErrorKind::Conflict);
    assert_eq!(it.store.summaries(&key).await.unwrap(), []);
}

/// Summaries that come while others write change nothing for them.
pub async fn summaries_meet_appends(it: Subject) {
    let key = key("meets");
    it.say(&key, "0").await;
    let (writer, summarist) = (it.at(0), it.at(1));
    let write = async {
        for n in 1..100 {
            writer.say(&key, &n.to_string()).await;
        }
    };
    let summarise = async {
        for n in 0..100 {
            keep(&summarist, &key, 1, &n.to_string()).await;
            tokio::task::yield_now().await;
        }
    };
    futures_util::join!(write, summarise);
    let branch = it.read(&key).await;
    let said: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    assert_eq!(texts(&branch.entries), said);
    assert_eq!(branch.summary, Some(summary(1, "99")));
}

/// Summaries are told by position, of all branches; none of a session that there is not.
pub async fn summaries_are_told_by_position(it: Subject) {
    let key = key("told");
    it.add(&key, ["1", "2", "3"].map(draft).into()).await;
    it.store.append(&key, append(Some(Seq(1)), Expect::Attach, "aside")).await.unwrap();
    for at in [4, 1, 3] {
        keep(&it, &key, at, &at.to_string()).await;
    }
    let told = it.store.summaries(&key).await.unwrap();
    assert_eq!(told, [summary(1, "1"), summary(3, "3"), summary(4, "4")]);
    assert_eq!(it.store.summaries(&super::subject::key("nobody")).await.unwrap(), []);
}

/// Summaries go out with their session and come back with it.
pub async fn summaries_are_exported_and_restored(it: Subject) {
    let key = key("exported");
    it.add(&key, ["1", "2", "3"].map(draft).into()).await;
    for at in [3, 1] {
        keep(&it, &key, at, &at.to_string()).await;
    }
    let session = exported(&it, ann()).await.remove(0);
    assert_eq!(session.summaries, [summary(1, "1"), summary(3, "3")]);
    it.store.forget(&key, Forget::Always).await.unwrap();
    it.store.restore(&key, &session).await.unwrap();
    assert_eq!(exported(&it, ann()).await, [session]);
    assert_eq!(it.read(&key).await.summary, Some(summary(3, "3")));
    keep(&it, &key, 3, "3 again").await;
    assert_eq!(it.read(&key).await.summary, Some(summary(3, "3 again")));
}

/// Nothing of a forgotten session's summaries is left for another of its name.
pub async fn summaries_are_forgotten_with_their_session(it: Subject) {
    let key = key("forgotten");
    it.say(&key, "a").await;
    keep(&it, &key, 1, "canary").await;
    it.store.forget(&key, Forget::Always).await.unwrap();
    it.say(&key, "b").await;
    assert_eq!(it.read(&key).await.summary, None);
    assert_eq!(it.store.summaries(&key).await.unwrap(), []);
}
