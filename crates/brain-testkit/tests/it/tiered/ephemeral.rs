//! Ephemeral sessions live in the hot tier, and leave their name in the durable one.

use std::{sync::Arc, time::Duration};

use brain_core::{
    ids::{IdempotencyKey, Seq, TurnId},
    memory::{
        Catalog, Expect, ExportPart, Fence, Forget, Idempotency, ListOptions, MemoryClass,
        MemoryErrorKind, NewSession, OpenTurn, Opened, PageKey, Portable, ReadOptions, Recall,
        Search, SessionLog, SessionPatch, TurnIndex, TurnState, Turns, Upkeep,
    },
    time::{Clock, Timestamp},
};
use brain_testkit::Operation;
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

/// The ids of a page.
async fn listed(it: &Fixture, before: Option<PageKey>, limit: usize) -> Vec<String> {
    let page = it.store.list(&ann(), ListOptions { before, limit }).await.unwrap();
    page.iter().map(|it| it.id.to_string()).collect()
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
    let lease = Duration::from_secs(10);
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
    it.store.forget(&key("e"), Forget::Always).await.unwrap();
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
    assert_eq!(listed(&it, None, 99).await, ["d"]);
    let named = it.store.named(&ann(), all()).await.unwrap();
    assert_eq!(named.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["e", "d"]);
    let parts = exported(&it).await.unwrap();
    assert_eq!(parts.len(), 2, "the lasting one with its entry");

    it.store.forget(&e, Forget::Always).await.unwrap();
    assert_eq!(it.store.session(&e).await.unwrap(), None);
    it.say(&e, "a new one").await;
    assert_eq!(texts(&it.unverified(&e).await), ["a new one"]);
    assert_eq!(it.durable.session(&e).await.unwrap().unwrap().class, MemoryClass::Durable);
}

#[tokio::test]
async fn a_listing_passes_over_what_has_expired_and_stays_full() {
    let it = Fixture::new();
    // Ten of each, in turn; the even half of the ephemeral ones is used once more.
    for n in 10..20 {
        it.clock.advance(Duration::from_secs(1));
        it.say(&key(&format!("d{n}")), "lasting").await;
        it.ephemeral(&key(&format!("e{n}"))).await;
    }
    it.clock.advance(HOUR / 2);
    for n in (10..20).step_by(2) {
        it.say(&key(&format!("e{n}")), "again").await;
    }
    assert_eq!(listed(&it, None, 99).await.len(), 20);
    it.clock.advance(HOUR / 2);
    let newest_first = (10..20).rev().flat_map(|n| {
        let live = (n % 2 == 0).then(|| format!("e{n}"));
        live.into_iter().chain([format!("d{n}")])
    });
    let expected: Vec<String> = newest_first.collect();
    assert_eq!(listed(&it, None, 99).await, expected);
    for limit in [1, 2, 3, 7, 14, 15] {
        let (mut all, mut before) = (Vec::new(), None);
        loop {
            let page = ListOptions { before: before.clone(), limit };
            let page = it.store.list(&ann(), page).await.unwrap();
            let Some(last) = page.last() else { break };
            before = Some(PageKey::from(last));
            assert_eq!(page.len(), limit.min(expected.len() - all.len()), "a page of {limit}");
            all.extend(page.iter().map(|it| it.id.to_string()));
        }
        assert_eq!(all, expected, "pages of {limit}");
    }
    assert_eq!(listed(&it, None, 0).await, [""; 0]);
    it.clock.advance(HOUR);
    assert_eq!(listed(&it, None, 3).await, ["d19", "d18", "d17"]);
}

#[tokio::test]
async fn many_that_have_expired_hide_none_that_lives() {
    let it = Fixture::new();
    it.say(&key("oldest"), "lasting").await;
    for n in 0..1_200 {
        it.clock.advance(Duration::from_millis(1));
        it.ephemeral(&key(&format!("e{n}"))).await;
    }
    it.clock.advance(HOUR);
    let lists = it.durable.calls(Operation::List);
    assert_eq!(listed(&it, None, 2).await, ["oldest"]);
    assert_eq!(it.durable.calls(Operation::List) - lists, 4, "2, then 500 at a time");
}

#[tokio::test]
async fn a_name_that_has_expired_can_be_taken() {
    for (class, before) in [
        (MemoryClass::Ephemeral, "a restart"),
        (MemoryClass::Durable, ""),
        (MemoryClass::Ephemeral, ""),
    ] {
        let it = Fixture::new();
        it.ephemeral(&key("e")).await;
        let old = it.say(&key("e"), "secret").await;
        let taken = it.store.create(&key("e"), NewSession { class, ..brief() }).await;
        assert_eq!(taken.unwrap_err().kind(), MemoryErrorKind::Conflict, "it lives");
        it.clock.advance(HOUR);
        let it = if before.is_empty() { it } else { it.restarted() };
        let read = it.store.read(&key("e"), ReadOptions::newest(9)).await;
        assert_eq!(read.unwrap_err().kind(), MemoryErrorKind::Expired);
        let made = it.store.create(&key("e"), NewSession { class, ..brief() }).await.unwrap();
        assert_eq!((made.class, made.entries, made.created_at), (class, 0, it.clock.now()));
        assert_eq!(it.store.session(&key("e")).await.unwrap().as_ref(), Some(&made));
        assert_eq!(listed(&it, None, 9).await, ["e"]);
        let late = append(old.head, Expect::At(old.token), "late");
        let late = it.store.append(&key("e"), late).await;
        assert_eq!(late.unwrap_err().kind(), MemoryErrorKind::Conflict);
        it.say(&key("e"), "new").await;
        assert_eq!(texts(&it.unverified(&key("e")).await), ["new"]);
        let again = it.store.create(&key("e"), brief()).await;
        assert_eq!(again.unwrap_err().kind(), MemoryErrorKind::Conflict);
        assert_eq!(it.durable.unsettled(9).await.unwrap(), []);
    }
}

#[tokio::test]
async fn of_many_who_take_a_name_that_has_expired_one_wins() {
    let it = Arc::new(Fixture::new());
    it.ephemeral(&key("e")).await;
    it.clock.advance(HOUR);
    let mut makers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let it = Arc::clone(&it);
        makers.spawn(async move { it.store.create(&key("e"), brief()).await });
    }
    let mut made = 0;
    while let Some(done) = makers.join_next().await {
        match done.unwrap() {
            Ok(_) => made += 1,
            Err(error) => assert_eq!(error.kind(), MemoryErrorKind::Conflict),
        }
    }
    assert_eq!(made, 1);
    assert_eq!(listed(&it, None, 9).await, ["e"]);
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
        // Whether it has expired cannot be told.
        for new in [brief(), NewSession::default()] {
            assert_eq!(it.store.create(&key("e"), new).await.unwrap_err().kind(), down);
        }
        let open = opening(&key("newer"), Expect::Absent, None, "q");
        let open = OpenTurn { create: Some(brief()), ..open };
        assert_eq!(it.store.open(open).await.unwrap_err().kind(), down);
        assert_eq!(exported(&it).await.unwrap_err(), down, "it has what cannot be told now");
        it.say(&key("d"), "goes on").await;
        // It can be neither read nor told from an expired one.
        assert_eq!(listed(&it, None, 9).await, ["d"]);
        assert_eq!(it.store.named(&ann(), all()).await.unwrap().len(), 2);
    }
    it.hot.turns(Mood::Well);
    for id in ["new", "newer"] {
        assert_eq!(it.durable.session(&key(id)).await.unwrap(), None, "{id} left its name");
    }
}

/// Whether it is one of an ephemeral session is found out in one look, whatever the owner has.
#[tokio::test]
async fn a_turn_that_nobody_knows_is_none_while_the_tier_is_down_unless_it_may_have_it() {
    let it = Fixture::new();
    let turn = TurnId::generate(Timestamp::from_millis(1));
    it.say(&key("d"), "lasting").await;
    it.hot.turns(Mood::Dead);
    assert_eq!(it.store.turn(&ann(), turn).await.unwrap(), None);
    for number in 0..499 {
        it.durable.create(&key(&number.to_string()), NewSession::default()).await.unwrap();
    }
    let found = it.store.turn(&ann(), turn).await;
    assert_eq!(found.unwrap_err().kind(), MemoryErrorKind::Unavailable, "there may be older ones");
    it.hot.turns(Mood::Well);
    let answered = async || it.store.turn(&ann(), turn).await.is_ok_and(|it| it.is_none());
    until(answered).await;
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
    let forgotten = it.store.forget(&key("e"), Forget::Always).await.unwrap();
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
