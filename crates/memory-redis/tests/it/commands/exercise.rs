//! Everything that a store can do, once at least.

use std::time::Duration;

use brain_core::{
    ids::{DatabaseId, HolderId, IdempotencyKey, Seq, TurnId},
    memory::{
        Authority, Catalog, CloseTurn, Embedded, Expect, ExportPart, Fence, Forget, Idempotency,
        MemoryStore, Portable, ReadOptions, Recall, Search, SessionCache, SessionLog, TurnIndex,
        TurnState, Turns, Upkeep,
    },
    time::Timestamp,
};
use brain_testkit::redis::Server;
use futures_util::TryStreamExt;
use memory_redis::{RedisClock, RedisConfig, RedisStore};

use crate::{
    faults::cuts::{Plan, STEPS, Step},
    harness::{append, begin, exported, key, listed, next, wait_for},
};

/// The key in Redis by which a client's key is claimed.
pub(crate) fn claim(config: &RedisConfig) -> String {
    // `ann` and `dead`, as keys have them.
    format!("{}:i:YW5u.ZGVhZA", config.prefix)
}

/// Does everything on an empty store at `config`; `server` has the key of [`claim`].
pub(crate) async fn exercise(config: &RedisConfig, server: &Server) {
    let store = RedisStore::new(config, RedisClock::Server).unwrap();
    let plan = Plan::new();
    for step in STEPS {
        step.run(&store, &plan).await.unwrap();
        if *step != Step::Forget {
            read_all(&store, &plan).await;
        }
    }
    restores(&store).await;
    turns(&store).await;
    moves(&store).await;
    copies(&store).await;
    expired(&store, config).await;
    claimed_by_the_dead(&store, config, server).await;
    upkeep(&store).await;
    taken_over(config).await;
    store.health().await.unwrap();
}

async fn read_all(store: &RedisStore, plan: &Plan) {
    let a = key("a");
    store.read(&a, ReadOptions::newest(9)).await.unwrap();
    store.scan(&a, Seq(0), 9).await.unwrap();
    store.session(&a).await.unwrap();
    store.summaries(&a).await.unwrap();
    listed(store).await;
    store.turn(&a.owner, plan.turn).await.unwrap();
    store.turn_by_key(&a.owner, &IdempotencyKey::new("once").unwrap()).await.unwrap();
    store.unfinished().await.unwrap();
    store.lapsed(9).await.unwrap();
    store.search(&a.owner, &Search::words("first", 9)).await.unwrap();
    store.unembedded("model", 9).await.unwrap();
    let embedded = Embedded { session: a.clone(), seq: Seq(1), values: [1.0].into() };
    store.keep_embeddings("model", vec![embedded]).await.unwrap();
    let parts: Vec<ExportPart> = store.export(&a.owner).await.unwrap().try_collect().await.unwrap();
    drop(parts);
}

/// A session of several pieces, that is made and extended.
async fn restores(store: &RedisStore) {
    for entries in [2_001, 4_002] {
        store.restore(&key("r"), &exported(entries)).await.unwrap();
    }
}

/// A turn that is taken by another holder and ended.
async fn turns(store: &RedisStore) {
    let plan = Plan::new();
    let mut open = plan.open();
    open.session = key("t");
    open.idempotency = None;
    begin(store, "t").await;
    open.append = append(Some(Seq(1)), Expect::Attach, "question");
    open.lease = Duration::from_millis(1);
    store.open(open).await.unwrap();
    let holder = HolderId::random();
    let take = async || {
        store.take(Fence { turn: plan.turn, holder }, Duration::from_secs(60)).await.is_ok()
    };
    wait_for("the lease of a millisecond ends", take).await;
    let close = CloseTurn {
        turn: plan.turn,
        authority: Authority::Holder(holder),
        state: TurnState::Interrupted,
        append: append(Some(Seq(2)), Expect::Attach, "answer"),
        error: None,
        usage: None,
        context: None,
        last_event: 1,
    };
    store.close(close).await.unwrap();
}

/// A session that comes with its turns, in one piece and in several, and turns alone.
async fn moves(store: &RedisStore) {
    let turns = store.turns_of(&key("t")).await.unwrap();
    store.forget(&key("t"), Forget::Always).await.unwrap();
    store.restore(&key("t"), &exported(3)).await.unwrap();
    for entries in [3, 2_001] {
        store.move_in(&key("t"), &exported(entries), &turns).await.unwrap();
    }
    store.forget(&key("t"), Forget::Always).await.unwrap();
    store.move_in(&key("t"), &exported(3), &turns).await.unwrap();
}

/// What a tier does with copies.
async fn copies(store: &RedisStore) {
    let c = key("c");
    let first = begin(store, "c").await;
    let before = store.read(&c, ReadOptions::newest(9)).await.unwrap().unwrap();
    store.fill(&c, &before).await.unwrap();
    store.append(&c, next(first, "more")).await.unwrap();
    let after = store.read(&c, ReadOptions::newest(9)).await.unwrap().unwrap();
    let newest = &after.entries[before.entries.len()..];
    store.advance(&c, before.session.token, &after.session, newest).await.unwrap();
    store.cached(&c, ReadOptions::newest(2)).await.unwrap().unwrap();
    store.evict(&c).await.unwrap();
    store.bury(&c).await.unwrap();
}

/// A session that ends by itself leaves the indexes when they are read.
async fn expired(store: &RedisStore, config: &RedisConfig) {
    let mut brief = config.clone();
    brief.ttl = Some(Duration::from_millis(1));
    begin(&RedisStore::new(&brief, RedisClock::Server).unwrap(), "brief").await;
    let is_gone = async || store.session(&key("brief")).await.unwrap().is_none();
    wait_for("the session of a millisecond ends", is_gone).await;
    assert!(listed(store).await.iter().all(|it| it.id.as_str() != "brief"));
    let late = append(None, Expect::Attach, "late");
    store.append(&key("brief"), late).await.unwrap_err();
}

/// A client's key that was claimed by a daemon that died before it opened its turn.
async fn claimed_by_the_dead(store: &RedisStore, config: &RedisConfig, server: &Server) {
    begin(store, "claimed").await;
    let dead = TurnId::generate(Timestamp::from_millis(1));
    let session = "YW5u.Y2xhaW1lZA";
    let claimed = server.ask(&["SET", &claim(config), &format!("{dead} {session}")]);
    assert_eq!(claimed.text(), "OK");
    let key_of_client = IdempotencyKey::new("dead").unwrap();
    let mut open = Plan::new().open();
    open.session = key("claimed");
    open.append = append(Some(Seq(1)), Expect::Attach, "question");
    open.idempotency = Some(Idempotency { key: key_of_client, request_hash: "hash".to_owned() });
    store.open(open).await.unwrap();
}

/// A store before a database takes over what there is.
async fn taken_over(config: &RedisConfig) {
    let mut config = config.clone();
    config.database = Some(DatabaseId::random());
    let store = RedisStore::new(&config, RedisClock::Server).unwrap();
    assert_ne!(store.take_over(&key("any").owner).await.unwrap().sessions, 0);
}

async fn upkeep(store: &RedisStore) {
    let later = Timestamp::from_millis(i64::MAX / 2);
    store.idle_since(later, 99).await.unwrap();
    for key in store.unsettled(99).await.unwrap() {
        store.settle(&key).await.unwrap();
    }
    store.prune_turns(later).await.unwrap();
}
