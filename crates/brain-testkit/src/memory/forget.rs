//! Forgetting: final, whole, and of nothing else.

use brain_core::{
    ids::{IdempotencyKey, Seq, SessionKey},
    memory::{
        Append, Expect, Forget, Forgotten, ListOptions, MemoryErrorKind, NewSession, OpenTurn,
        ReadOptions, Search,
    },
};
use tokio::task::JoinSet;

use super::subject::{LEASE, Subject, ann, append, closing, draft, fence, idempotency, key, kind};

/// A forgotten session is nowhere any more: entries, listing, search, turns and keys.
pub async fn forgetting_erases_everything(it: Subject) {
    let key = key("canary");
    it.add(&key, ["canary one", "canary two"].map(draft).into()).await;
    let open = it.turn(&key, "canary three").await;
    let turn = it.started(OpenTurn { idempotency: Some(idempotency("k", "h")), ..open }).await;
    it.store.close(closing(&turn, "canary four")).await.unwrap();
    assert_eq!(it.store.forget(&key, Forget::Always).await.unwrap().erased, 4);

    assert_eq!(it.store.session(&key).await.unwrap(), None);
    assert_eq!(it.store.read(&key, ReadOptions::newest(9)).await.unwrap(), None);
    assert_eq!(it.all(&key).await, []);
    assert_eq!(it.store.list(&ann(), ListOptions { before: None, limit: 9 }).await.unwrap(), []);
    assert_eq!(it.store.search(&ann(), &Search::words("canary", 9)).await.unwrap(), []);
    assert_eq!(it.store.turn(&ann(), turn.id).await.unwrap(), None);
    let k = IdempotencyKey::new("k").unwrap();
    assert_eq!(it.store.turn_by_key(&ann(), &k).await.unwrap(), None);
    assert_eq!(it.store.unfinished().await.unwrap(), []);
}

/// Forgetting what there is not succeeds, as often as one likes.
pub async fn forgetting_nothing_succeeds(it: Subject) {
    it.say(&key("twice"), "a").await;
    assert_eq!(it.store.forget(&key("twice"), Forget::Always).await.unwrap().erased, 1);
    for id in ["twice", "never"] {
        let forgotten = it.store.forget(&key(id), Forget::Always).await.unwrap();
        assert_eq!(forgotten.erased, Forgotten::default().erased);
    }
}

/// Other sessions stay as they are.
pub async fn forgetting_spares_other_sessions(it: Subject) {
    for id in ["a", "ab", "b"] {
        it.say(&key(id), id).await;
    }
    let turn = it.start(&key("b"), "q").await;
    let kept = (it.read(&key("ab")).await, it.read(&key("b")).await);
    it.store.forget(&key("a"), Forget::Always).await.unwrap();
    assert_eq!((it.read(&key("ab")).await, it.read(&key("b")).await), kept);
    assert_eq!(it.record(&turn).await, turn);
}

/// An append by a token from before the end writes nothing, whatever became of the name.
pub async fn old_tokens_write_nothing(it: Subject) {
    let key = key("old");
    let old = it.say(&key, "a").await;
    it.store.forget(&key, Forget::Always).await.unwrap();
    let late = |expect| it.store.append(&key, append(old.head, expect, "late"));
    for expect in [Expect::At(old.token), Expect::Attach] {
        assert_eq!(kind(late(expect).await), MemoryErrorKind::Conflict);
    }
    assert_eq!(it.store.session(&key).await.unwrap(), None);
    let new = it.say(&key, "new").await;
    assert_ne!(new.token, old.token);
    assert_eq!(kind(late(Expect::At(old.token)).await), MemoryErrorKind::Conflict);
    assert_eq!(it.texts(&key).await, ["new"]);
}

/// A name is free after the end: a new session counts from one and knows no old append.
pub async fn a_forgotten_name_is_free(it: Subject) {
    let key = key("free");
    let first = append(None, Expect::Absent, "a");
    it.store.append(&key, first.clone()).await.unwrap();
    it.say(&key, "b").await;
    it.store.forget(&key, Forget::Always).await.unwrap();
    let again = it.store.append(&key, first).await.unwrap();
    assert_eq!(again.last, Some(Seq(1)));
    assert_eq!(it.texts(&key).await, ["a"]);
    it.store.forget(&key, Forget::Always).await.unwrap();
    it.store.create(&key, NewSession::default()).await.unwrap();
    assert_eq!(it.session(&key).await.entries, 0);
}

/// Forgetting ends an open turn: its holder can do nothing, and nothing comes back.
pub async fn forgetting_ends_an_open_turn(it: Subject) {
    let key = key("running");
    let open = it.turn(&key, "q").await;
    let turn = it.started(OpenTurn { idempotency: Some(idempotency("k", "h")), ..open }).await;
    assert_eq!(it.store.forget(&key, Forget::Always).await.unwrap().erased, 1);
    for expect in [Expect::Attach, Expect::Absent] {
        let late = Append { fence: Some(fence(&turn)), ..append(None, expect, "late") };
        assert_eq!(kind(it.store.append(&key, late).await), MemoryErrorKind::Superseded);
    }
    assert_eq!(kind(it.store.renew(fence(&turn), LEASE).await), MemoryErrorKind::Superseded);
    assert_eq!(kind(it.store.take(fence(&turn), LEASE).await), MemoryErrorKind::Superseded);
    let kept = it.store.checkpoint(fence(&turn), turn.checkpoint.clone()).await;
    assert_eq!(kind(kept), MemoryErrorKind::Superseded);
    assert_eq!(kind(it.store.close(closing(&turn, "a")).await), MemoryErrorKind::Superseded);
    assert_eq!(it.store.session(&key).await.unwrap(), None);
    let open = it.turn(&key, "new").await;
    it.started(OpenTurn { idempotency: Some(idempotency("k", "other")), ..open }).await;
}

/// Forgetting while appends are under way leaves the session whole or gone, never half.
pub async fn forgetting_meets_appends(it: Subject) {
    for round in 0..20 {
        let key = key(&format!("round {round}"));
        it.say(&key, "first").await;
        let mut writers = JoinSet::new();
        for n in 0..4 {
            let (it, key) = (it.at(n), key.clone());
            writers.spawn(async move { append_pairs_until_refused(&it, &key).await });
        }
        let erased = it.store.forget(&key, Forget::Always).await.unwrap().erased;
        assert_eq!(erased % 2, 1, "whole batches and the first entry");
        while let Some(writer) = writers.join_next().await {
            writer.unwrap();
        }
        assert_eq!(it.store.session(&key).await.unwrap(), None);
        assert_eq!(it.all(&key).await, []);
    }
}

async fn append_pairs_until_refused(it: &Subject, key: &SessionKey) {
    loop {
        let drafts = vec![draft("a"), draft("b")];
        let append = Append { drafts, ..append(None, Expect::Attach, "") };
        if let Err(error) = it.store.append(key, append).await {
            assert_eq!(error.kind(), MemoryErrorKind::Conflict);
            return;
        }
    }
}
