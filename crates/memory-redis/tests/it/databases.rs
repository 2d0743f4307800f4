//! One Redis before several databases, and what it kept while it was before none.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use brain_core::{
    ids::{DatabaseId, HolderId, IdempotencyKey, TurnId},
    json::RawJson,
    memory::{
        Authority, Catalog, Checkpoint, CloseTurn, Expect, Fence, Forget, Idempotency,
        InMemoryStore, MemoryClass, MemoryError, MemoryErrorKind, NewSession, OpenTurn, Opened,
        ReadOptions, SessionCache, SessionLog, TakenOver, TieredMemory, TieredPorts, TurnIndex,
        TurnRecord, TurnState, Turns, Upkeep,
    },
    time::Timestamp,
};
use brain_testkit::redis::{Cluster, Server};
use brain_tokio::{TokioClock, TokioSpawner};
use memory_redis::{RedisClock, RedisStore};

use crate::harness::{ann, append, begin, config, key, listed, next, store, texts, wait_for};

/// A store before a database of its own.
fn before_another(url: &str) -> RedisStore {
    let mut config = config(url);
    config.database = Some(DatabaseId::random());
    RedisStore::new(&config, RedisClock::Server).unwrap()
}

fn names(server: &Server) -> BTreeSet<String> {
    server.ask(&["KEYS", "*"]).array().iter().map(brain_testkit::redis::Reply::text).collect()
}

/// The names of what is kept for no database.
fn alone(server: &Server) -> Vec<String> {
    names(server).into_iter().filter(|it| it.split(':').nth(1).unwrap().len() < 36).collect()
}

/// What is listed, by name: some may be made at one moment.
async fn ids(store: &RedisStore) -> Vec<String> {
    let ids: BTreeSet<String> =
        listed(store).await.iter().map(|it| it.id.as_str().to_owned()).collect();
    ids.into_iter().collect()
}

async fn ephemeral(store: &RedisStore, id: &str) {
    let new = NewSession { class: MemoryClass::Ephemeral, ..NewSession::default() };
    store.create(&key(id), new).await.unwrap();
}

/// Opens a turn after all that the session has.
async fn open(store: &RedisStore, id: &str, known: &str) -> TurnRecord {
    let session = store.session(&key(id)).await.unwrap();
    let expect = session.as_ref().map_or(Expect::Absent, |it| Expect::At(it.token));
    let parent = session.and_then(|it| it.head);
    let known = IdempotencyKey::new(known).unwrap();
    let open = OpenTurn {
        id: TurnId::generate(Timestamp::from_millis(1)),
        session: key(id),
        create: Some(NewSession::default()),
        idempotency: Some(Idempotency { key: known, request_hash: "hash".to_owned() }),
        request: RawJson::parse("{}").unwrap(),
        holder: HolderId::random(),
        lease: Duration::from_secs(600),
        append: append(parent, expect, "question"),
    };
    match store.open(open).await.unwrap() {
        Opened::Started { turn, .. } => turn,
        other @ (Opened::Known(_) | Opened::Busy { .. }) => panic!("not started: {other:?}"),
    }
}

async fn close(store: &RedisStore, turn: &TurnRecord) {
    let close = CloseTurn {
        turn: turn.id,
        authority: Authority::Holder(turn.holder),
        state: TurnState::Completed,
        append: append(turn.checkpoint.tail, Expect::Attach, "answer"),
        error: None,
        usage: None,
        context: None,
        last_event: 1,
    };
    store.close(close).await.unwrap();
}

/// The holder of a turn goes, and its lease lapses.
async fn abandon(store: &RedisStore, turn: &TurnRecord) {
    let fence = Fence { turn: turn.id, holder: turn.holder };
    let checkpoint = Checkpoint { text: "half an".to_owned(), ..turn.checkpoint.clone() };
    store.checkpoint(fence, checkpoint).await.unwrap();
    store.renew(fence, Duration::from_millis(1)).await.unwrap();
    let lapsed = async || {
        let lapsed = store.lapsed(99).await.unwrap();
        lapsed.iter().any(|it| it.id == turn.id)
    };
    wait_for("the lease lapses", lapsed).await;
}

async fn by_key(store: &RedisStore, known: &str) -> Option<TurnId> {
    let known = IdempotencyKey::new(known).unwrap();
    store.turn_by_key(&ann(), &known).await.unwrap().map(|it| it.id)
}

async fn unfinished(store: &RedisStore) -> Vec<TurnId> {
    store.unfinished().await.unwrap().iter().map(|it| it.id).collect()
}

/// How many sessions are taken over, none of which is busy.
async fn taken_over(store: &RedisStore) -> u64 {
    let TakenOver { sessions, busy } = store.take_over(&ann()).await.unwrap();
    assert_eq!(busy, []);
    sessions
}

/// The same names, keys and all else in each: none knows of another's.
#[tokio::test]
async fn databases_on_one_redis_never_meet() {
    let server = Server::start();
    let stores =
        [store(&server.url()), before_another(&server.url()), before_another(&server.url())];
    let mut turns = Vec::new();
    for (at, store) in stores.iter().enumerate() {
        let after = begin(store, "s").await;
        store.append(&key("s"), next(after, &at.to_string())).await.unwrap();
        ephemeral(store, &format!("e{at}")).await;
        turns.push(open(store, "t", "once").await.id);
        let copy = store.read(&key("s"), ReadOptions::newest(9)).await.unwrap().unwrap();
        store.fill(&key("s"), &copy).await.unwrap();
    }
    for (at, store) in stores.iter().enumerate() {
        assert_eq!(texts(store, "s").await, ["the first", &at.to_string()]);
        let copy = store.cached(&key("s"), ReadOptions::newest(9)).await.unwrap().unwrap();
        assert_eq!(copy.entries[1].body.message.joined_text(), at.to_string());
        assert_eq!(ids(store).await, [format!("e{at}"), "s".to_owned(), "t".to_owned()]);
        assert_eq!(
            (unfinished(store).await, by_key(store, "once").await),
            (vec![turns[at]], Some(turns[at]))
        );
        for other in turns.iter().filter(|it| **it != turns[at]) {
            assert_eq!(store.turn(&ann(), *other).await.unwrap(), None);
        }
        let later = Timestamp::from_millis(i64::MAX / 2);
        assert_eq!(store.idle_since(later, 99).await.unwrap().len(), 2, "one has an open turn");
    }
    for id in ["s", "t"] {
        stores[1].forget(&key(id), Forget::Always).await.unwrap();
        stores[1].bury(&key(&format!("other {id}"))).await.unwrap();
    }
    assert_eq!(
        (ids(&stores[1]).await, unfinished(&stores[1]).await),
        (vec!["e1".to_owned()], vec![])
    );
    for at in [0, 2] {
        assert_eq!(texts(&stores[at], "s").await, ["the first", &at.to_string()]);
        assert!(stores[at].cached(&key("s"), ReadOptions::newest(9)).await.unwrap().is_some());
        assert_eq!(unfinished(&stores[at]).await, [turns[at]]);
    }
}

#[tokio::test]
async fn each_session_of_a_redis_alone_goes_to_one_database() {
    const SESSIONS: usize = 230;
    let server = Server::start();
    let kept_alone = store(&server.url());
    for id in 0..SESSIONS {
        let after = begin(&kept_alone, &id.to_string()).await;
        kept_alone.append(&key(&id.to_string()), next(after, "more")).await.unwrap();
    }
    let before = kept_alone.read(&key("7"), ReadOptions::newest(9)).await.unwrap();
    let stores = [(); 3].map(|()| before_another(&server.url()));
    let owner = ann();
    let [one, two, three] = &stores;
    let moved = tokio::join!(one.take_over(&owner), two.take_over(&owner), three.take_over(&owner));
    let moved =
        [moved.0, moved.1, moved.2].map(|it| usize::try_from(it.unwrap().sessions).unwrap());
    assert_eq!(moved.iter().sum::<usize>(), SESSIONS, "{moved:?}");
    let mut all = Vec::new();
    for (store, moved) in stores.iter().zip(moved) {
        let own = ids(store).await;
        assert_eq!(own.len(), moved);
        for id in &own {
            assert_eq!(texts(store, id).await, ["the first", "more"]);
        }
        if own.contains(&"7".to_owned()) {
            assert_eq!(store.read(&key("7"), ReadOptions::newest(9)).await.unwrap(), before);
        }
        all.extend(own);
        assert_eq!(taken_over(store).await, 0);
    }
    let all: BTreeSet<String> = all.into_iter().collect();
    assert_eq!((all.len(), listed(&kept_alone).await.len()), (SESSIONS, 0));
    // Their names leave its index once they were missed twice.
    assert_eq!(alone(&server), ["codexd:d:{YW5u}", "codexd:o:{YW5u}"]);
    let owner_of = |it: &String| it.contains(":s:{");
    let sessions: Vec<String> = names(&server).into_iter().filter(owner_of).collect();
    assert_eq!(sessions.len(), SESSIONS);
    for name in sessions {
        assert!(0 < server.ask(&["PTTL", &name]).integer(), "it ends when it would have ended");
    }
}

#[tokio::test]
async fn turns_and_their_keys_come_with_an_ephemeral_session() {
    let server = Server::start();
    let (alone_store, other) = (store(&server.url()), before_another(&server.url()));
    ephemeral(&alone_store, "e").await;
    let over = open(&alone_store, "e", "over").await;
    close(&alone_store, &over).await;
    let running = open(&alone_store, "e", "running").await;
    abandon(&alone_store, &running).await;
    assert_eq!(taken_over(&other).await, 1);

    assert_eq!(unfinished(&other).await, [running.id]);
    for (turn, known) in [(&over, "over"), (&running, "running")] {
        assert_eq!(by_key(&other, known).await, Some(turn.id));
        assert!(other.turn(&ann(), turn.id).await.unwrap().is_some());
        assert_eq!(by_key(&alone_store, known).await, None);
        assert_eq!(alone_store.turn(&ann(), turn.id).await.unwrap(), None);
    }
    assert_eq!(unfinished(&alone_store).await, []);
    assert_eq!(alone(&server), ["codexd:d:{YW5u}", "codexd:o:{YW5u}"]);
    close(&other, &running).await;
    assert_eq!(texts(&other, "e").await, ["question", "answer", "question", "answer"]);
    let later = Timestamp::from_millis(i64::MAX / 2);
    assert_eq!(other.prune_turns(later).await.unwrap(), 2);
}

/// A daemon without a database answers in a session: it stays until that is done.
#[tokio::test]
async fn a_session_in_which_somebody_works_stays_where_it_is() {
    let server = Server::start();
    let (alone, other) = (store(&server.url()), before_another(&server.url()));
    ephemeral(&alone, "e").await;
    let turns = [open(&alone, "e", "one").await, open(&alone, "s", "two").await];
    begin(&alone, "free").await;
    let TakenOver { sessions, mut busy } = other.take_over(&ann()).await.unwrap();
    busy.sort();
    assert_eq!((sessions, busy), (1, vec![key("e").id, key("s").id]));
    for turn in &turns {
        assert_eq!(alone.turn(&ann(), turn.id).await.unwrap().as_ref(), Some(turn));
        close(&alone, turn).await;
    }
    assert_eq!(taken_over(&other).await, 2);
    assert_eq!(texts(&other, "e").await, ["question", "answer"]);
    assert_eq!(texts(&other, "s").await, ["question", "answer"]);
}

/// A turn whose daemon is gone is ended where its session was taken over.
#[tokio::test]
async fn an_abandoned_turn_is_ended_where_its_session_went() {
    let server = Server::start();
    let (kept_alone, other) = (store(&server.url()), before_another(&server.url()));
    let turn = open(&kept_alone, "s", "once").await;
    abandon(&kept_alone, &turn).await;
    assert_eq!(taken_over(&other).await, 1);
    let [found] = <[TurnRecord; 1]>::try_from(other.turns_of(&key("s")).await.unwrap()).unwrap();
    assert_eq!((found.id, found.checkpoint.text.as_str()), (turn.id, "half an"));
    let close = CloseTurn::abandoned(&found, found.authority_of_finder(), found.opened_at);
    other.close(close.unwrap()).await.unwrap();
    assert_eq!(texts(&other, "s").await, ["question", "half an"]);
    assert_eq!(alone(&server), ["codexd:d:{YW5u}", "codexd:o:{YW5u}"]);
}

/// The whole way into a database: no request is done twice, and half an answer is there.
#[tokio::test]
async fn turns_go_on_into_the_database() {
    let server = Server::start();
    let kept_alone = store(&server.url());
    let over = open(&kept_alone, "over", "over").await;
    close(&kept_alone, &over).await;
    let half = open(&kept_alone, "half", "half").await;
    abandon(&kept_alone, &half).await;
    let held = open(&kept_alone, "held", "held").await;

    let clock = Arc::new(TokioClock::default());
    let ports = TieredPorts {
        hot: Arc::new(before_another(&server.url())),
        hot_name: "redis",
        durable: Arc::new(InMemoryStore::new(clock.clone())),
        clock,
        spawner: Arc::new(TokioSpawner::current()),
    };
    let durable = ports.durable.clone();
    let tiers = TieredMemory::new(ports);
    for (turn, id, said) in [(&over, "over", "answer"), (&half, "half", "half an")] {
        let record = tiers.turn(&ann(), turn.id).await.unwrap().unwrap();
        assert!(!record.state.is_open());
        let known = record.idempotency.clone().unwrap().key;
        assert_eq!(tiers.turn_by_key(&ann(), &known).await.unwrap().unwrap().id, turn.id);
        let branch = durable.read(&key(id), ReadOptions::newest(9)).await.unwrap().unwrap();
        assert_eq!(branch.entries[1].body.message.joined_text(), said);
    }
    let kind = |error: MemoryError| error.kind();
    let busy = tiers.session(&key("held")).await.map_err(kind);
    assert_eq!(busy, Err(MemoryErrorKind::Unavailable));
    close(&kept_alone, &held).await;
    wait_for("the session is moved", async || tiers.session(&key("held")).await.is_ok()).await;
    let branch = durable.read(&key("held"), ReadOptions::newest(9)).await.unwrap().unwrap();
    assert_eq!(branch.entries.len(), 2);
    assert_eq!(listed(&kept_alone).await, []);
}

#[tokio::test]
async fn a_session_whose_name_is_taken_stays_where_it_is() {
    let server = Server::start();
    let (alone, other) = (store(&server.url()), before_another(&server.url()));
    let after = begin(&alone, "s").await;
    alone.append(&key("s"), next(after, "alone")).await.unwrap();
    begin(&alone, "free").await;
    begin(&other, "s").await;
    assert_eq!(taken_over(&other).await, 1);
    assert_eq!(texts(&other, "s").await, ["the first"]);
    assert_eq!(texts(&alone, "s").await, ["the first", "alone"]);
    // What it holds of its own may go without the other.
    other.forget(&key("s"), Forget::Always).await.unwrap();
    assert_eq!(texts(&alone, "s").await, ["the first", "alone"]);
    assert_eq!(taken_over(&other).await, 1);
    assert_eq!(texts(&other, "s").await, ["the first", "alone"]);
}

#[tokio::test]
async fn what_is_buried_is_not_taken_over() {
    let server = Server::start();
    let (alone, other) = (store(&server.url()), before_another(&server.url()));
    for id in ["gone", "kept"] {
        begin(&alone, id).await;
    }
    other.bury(&key("gone")).await.unwrap();
    assert_eq!(ids(&alone).await, ["kept"]);
    assert_eq!(taken_over(&other).await, 1);
    assert_eq!(ids(&other).await, ["kept"]);
}

#[tokio::test]
async fn sessions_are_taken_over_on_all_nodes_of_a_cluster() {
    const SESSIONS: usize = 30;
    let cluster = Cluster::start();
    let (alone, other) = (store(&cluster.url()), before_another(&cluster.url()));
    for id in 0..SESSIONS {
        begin(&alone, &id.to_string()).await;
    }
    for node in cluster.nodes() {
        assert!(node.ask(&["DBSIZE"]).integer() > 3, "{}", node.port());
    }
    assert_eq!(taken_over(&other).await, SESSIONS as u64);
    assert_eq!((listed(&other).await.len(), listed(&alone).await.len()), (SESSIONS, 0));
    for id in 0..SESSIONS {
        assert_eq!(texts(&other, &id.to_string()).await, ["the first"]);
    }
}
