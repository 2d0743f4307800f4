//! Ephemeral sessions live in the hot tier, and leave their name in the durable one.

use brain_core::{
    ids::{IdempotencyKey, Seq},
    memory::{
        Catalog, Expect, ExportPart, Fence, Idempotency, ListOptions, MemoryClass, MemoryErrorKind,
        NewSession, OpenTurn, Opened, Portable, ReadOptions, Recall, Search, SessionLog,
        SessionPatch, TurnIndex, TurnState, Turns,
    },
};
use futures_util::TryStreamExt;

use super::{
    chaos::Mood,
    fixture::{Fixture, HOUR, ann, append, brief, closing, key, opening, started, texts, until},
};

fn all() -> ListOptions {
    ListOptions { before: None, limit: 99 }
}

fn keyed(key: &str, hash: &str) -> Option<Idempotency> {
    let key = IdempotencyKey::new(key).unwrap();
    Some(Idempotency { key, request_hash: hash.to_owned() })
}

async fn exported(it: &Fixture) -> Result<Vec<ExportPart>, MemoryErrorKind> {
    let parts = it.store.export(&ann()).await.map_err(|it| it.kind())?;
    parts.try_collect().await.map_err(|it| it.kind())
}

#[tokio::test]
async fn the_durable_tier_keeps_the_name_alone() {
    let it = Fixture::new();
    it.ephemeral(&key("e")).await;
    it.say(&key("e"), "secret").await;
    assert_eq!(texts(&it.unverified(&key("e")).await), ["secret"]);
    let row = it.durable.session(&key("e")).await.unwrap().unwrap();
    assert_eq!((row.class, row.entries, row.title), (MemoryClass::Ephemeral, 0, None));
    assert_eq!(it.durable.scan(&key("e"), Seq(0), 9).await.unwrap(), []);
    assert_eq!(it.store.search(&ann(), &Search::words("secret", 9)).await.unwrap(), []);
    let session = it.store.session(&key("e")).await.unwrap().unwrap();
    assert_eq!((session.entries, session.created_at), (1, row.created_at));
    assert_eq!(it.store.list(&ann(), all()).await.unwrap(), [session]);
}

#[tokio::test]
async fn a_turn_opens_lives_and_ends_there() {
    let it = Fixture::new();
    let open = opening(&key("e"), Expect::Absent, None, "q");
    let open = OpenTurn { create: Some(brief()), idempotency: keyed("k", "h"), ..open };
    let (turn, appended) = started(&it.store, open.clone()).await;
    assert_eq!(it.durable.session(&key("e")).await.unwrap().unwrap().entries, 0);
    assert_eq!(it.durable.turn(&ann(), turn.id).await.unwrap(), None);
    for other in [&it.store, &it.restarted().store] {
        assert_eq!(other.turn(&ann(), turn.id).await.unwrap().as_ref(), Some(&turn));
        let k = IdempotencyKey::new("k").unwrap();
        assert_eq!(other.turn_by_key(&ann(), &k).await.unwrap().as_ref(), Some(&turn));
        assert_eq!(other.unfinished().await.unwrap().iter().collect::<Vec<_>>(), [&turn]);
    }
    assert!(matches!(it.store.open(open.clone()).await.unwrap(), Opened::Started { .. }));
    let again = opening(&key("e"), Expect::Absent, None, "q");
    let again = OpenTurn { create: Some(brief()), idempotency: keyed("k", "h"), ..again };
    assert!(matches!(it.store.open(again).await.unwrap(), Opened::Known(_)));

    let fence = Fence { turn: turn.id, holder: turn.holder };
    let lease = std::time::Duration::from_secs(10);
    it.store.renew(fence, lease).await.unwrap();
    it.store.checkpoint(fence, turn.checkpoint.clone()).await.unwrap();
    // A process that has never seen the turn finds it too.
    let other = it.restarted();
    other.store.take(fence, lease).await.unwrap();
    assert!(it.store.request_cancel(&ann(), turn.id).await.unwrap().unwrap().cancel_requested);
    let mut close = closing(&turn, "a");
    close.append.parent = appended.last;
    assert_eq!(other.store.close(close).await.unwrap().state, TurnState::Completed);
    assert_eq!(texts(&it.unverified(&key("e")).await), ["q", "a"]);
    assert_eq!(it.durable.scan(&key("e"), Seq(0), 9).await.unwrap(), []);
}

#[tokio::test]
async fn keys_are_one_name_space() {
    let it = Fixture::new();
    let of = |id: &str, create: NewSession, hash: &str| OpenTurn {
        create: Some(create),
        idempotency: keyed("k", hash),
        ..opening(&key(id), Expect::Absent, None, "q")
    };
    let (first, _) = started(&it.store, of("e", brief(), "h")).await;
    let other = it.store.open(of("d", NewSession::default(), "h")).await.unwrap();
    assert_eq!(other, Opened::Known(first.clone()));
    let reused = it.store.open(of("d", NewSession::default(), "other")).await;
    assert_eq!(reused.unwrap_err().kind(), MemoryErrorKind::KeyReused);
    let third = it.store.open(of("f", brief(), "h")).await.unwrap();
    assert_eq!(third, Opened::Known(first));
    for id in ["d", "f"] {
        assert_eq!(it.store.session(&key(id)).await.unwrap(), None, "{id} was made for nothing");
    }
    it.store.forget(&key("e")).await.unwrap();
    let (second, _) = started(&it.store, of("d", NewSession::default(), "other")).await;
    let reused = it.store.open(of("f", brief(), "h")).await;
    assert_eq!(reused.unwrap_err().kind(), MemoryErrorKind::KeyReused);
    let known = it.store.open(of("f", brief(), "other")).await.unwrap();
    assert_eq!(known, Opened::Known(second));
}

#[tokio::test]
async fn what_has_expired_is_said_to_have() {
    let it = Fixture::new();
    it.ephemeral(&key("e")).await;
    let last = it.say(&key("e"), "secret").await;
    it.say(&key("d"), "lasting").await;
    it.clock.advance(HOUR);
    let expired = MemoryErrorKind::Expired;
    let e = key("e");
    let read = it.store.read(&e, ReadOptions::newest(9)).await;
    assert_eq!(read.unwrap_err().kind(), expired);
    let read = it.store.read(&e, ReadOptions::of_branch(Seq(1), 9).unverified()).await;
    assert_eq!(read.unwrap_err().kind(), expired);
    assert_eq!(it.store.session(&e).await.unwrap_err().kind(), expired);
    assert_eq!(it.store.scan(&e, Seq(0), 9).await.unwrap_err().kind(), expired);
    assert_eq!(it.store.summaries(&e).await.unwrap_err().kind(), expired);
    let patch = it.store.patch(&e, SessionPatch::default()).await;
    assert_eq!(patch.unwrap_err().kind(), expired);
    let moved = it.store.move_head(&e, last.token, None).await;
    assert_eq!(moved.unwrap_err().kind(), expired);
    for expect in [Expect::Absent, Expect::At(last.token), Expect::Attach] {
        let late = it.store.append(&e, append(None, expect, "late")).await;
        assert_eq!(late.unwrap_err().kind(), expired, "{expect:?}");
        let open = OpenTurn { create: Some(brief()), ..opening(&e, expect, None, "late") };
        assert_eq!(it.store.open(open).await.unwrap_err().kind(), expired, "{expect:?}");
    }
    let made = it.store.create(&e, brief()).await;
    assert_eq!(made.unwrap_err().kind(), MemoryErrorKind::Conflict);

    let listed = it.store.list(&ann(), all()).await.unwrap();
    let classes: Vec<_> = listed.iter().map(|it| (it.id.as_str(), it.class)).collect();
    assert_eq!(classes, [("e", MemoryClass::Ephemeral), ("d", MemoryClass::Durable)]);
    let parts = exported(&it).await.unwrap();
    assert_eq!(parts.len(), 2, "the lasting one with its entry");

    it.store.forget(&e).await.unwrap();
    assert_eq!(it.store.session(&e).await.unwrap(), None);
    it.say(&e, "a new one").await;
    assert_eq!(texts(&it.unverified(&e).await), ["a new one"]);
    assert_eq!(it.durable.session(&e).await.unwrap().unwrap().class, MemoryClass::Durable);
}

#[tokio::test]
async fn an_append_keeps_it_alive_and_shows_in_its_row() {
    let it = Fixture::new();
    it.ephemeral(&key("e")).await;
    for _ in 0..3 {
        it.clock.advance(HOUR / 2);
        it.say(&key("e"), "again").await;
    }
    let session = it.store.session(&key("e")).await.unwrap().unwrap();
    assert_eq!(session.entries, 3);
    until(async || {
        it.durable.session(&key("e")).await.unwrap().unwrap().updated_at == session.updated_at
    })
    .await;
}

#[tokio::test]
async fn while_the_tier_is_down_they_are_unavailable_and_others_are_not() {
    let it = Fixture::new();
    it.ephemeral(&key("e")).await;
    let last = it.say(&key("e"), "secret").await;
    it.say(&key("d"), "lasting").await;
    it.hot.turns(Mood::Dead);
    let down = MemoryErrorKind::Unavailable;
    // Before it is known to be down, and after.
    for _ in 0..5 {
        let read = it.store.read(&key("e"), ReadOptions::newest(9)).await;
        assert_eq!(read.unwrap_err().kind(), down);
        let say = append(last.head, Expect::At(last.token), "more");
        assert_eq!(it.store.append(&key("e"), say).await.unwrap_err().kind(), down);
        assert_eq!(it.store.create(&key("new"), brief()).await.unwrap_err().kind(), down);
        let open = opening(&key("newer"), Expect::Absent, None, "q");
        let open = OpenTurn { create: Some(brief()), ..open };
        assert_eq!(it.store.open(open).await.unwrap_err().kind(), down);
        assert_eq!(exported(&it).await.unwrap_err(), down, "it has what cannot be told now");
        it.say(&key("d"), "goes on").await;
        assert_eq!(it.store.list(&ann(), all()).await.unwrap().len(), 2);
    }
    it.hot.turns(Mood::Well);
    for id in ["new", "newer"] {
        assert_eq!(it.durable.session(&key(id)).await.unwrap(), None, "{id} left its name");
    }
}

#[tokio::test]
async fn an_export_holds_what_is_alive() {
    let it = Fixture::new();
    it.say(&key("d"), "lasting").await;
    it.ephemeral(&key("e")).await;
    it.say(&key("e"), "one").await;
    it.say(&key("e"), "two").await;
    let parts = exported(&it).await.unwrap();
    assert_eq!(parts.len(), 5);
    let ExportPart::Session(head) = &parts[2] else { panic!("{parts:?}") };
    let session = head.session();
    assert_eq!((session.class, session.head), (MemoryClass::Ephemeral, Some(Seq(2))));
    assert_eq!(session.title.as_deref(), Some("brief"));

    let to = Fixture::new();
    for (at, count) in [(0, 1), (2, 2)] {
        let ExportPart::Session(head) = parts[at].clone() else { panic!("{parts:?}") };
        let entries = parts[at + 1..=at + count].iter().map(|it| match it {
            ExportPart::Entry(entry) => entry.clone(),
            ExportPart::Session(_) => panic!("{parts:?}"),
        });
        let session = head.with(entries.collect());
        let key = key(session.id.as_str());
        to.store.restore(&key, &session).await.unwrap();
    }
    assert_eq!(exported(&to).await.unwrap(), parts);
    assert_eq!(to.durable.session(&key("e")).await.unwrap().unwrap().entries, 0);
}

#[tokio::test]
async fn forgetting_erases_it_in_the_hot_tier() {
    let it = Fixture::new();
    it.ephemeral(&key("e")).await;
    it.say(&key("e"), "secret").await;
    let forgotten = it.store.forget(&key("e")).await.unwrap();
    assert_eq!((forgotten.erased, forgotten.pending), (1, 0));
    assert_eq!(it.inner.session(&key("e")).await.unwrap(), None);
    assert_eq!(it.store.session(&key("e")).await.unwrap(), None);
    it.ephemeral(&key("e")).await;
    it.say(&key("e"), "new").await;
    assert_eq!(texts(&it.unverified(&key("e")).await), ["new"]);
    let entry = it.store.forget_entry(&key("e"), Seq(1)).await.unwrap();
    assert_eq!(entry.erased, 1);
    assert_eq!(texts(&it.unverified(&key("e")).await), [""]);
}
