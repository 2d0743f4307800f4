//! A store on a server of its own, and short ways to say what these tests say often.

use std::{
    error::Error,
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use brain_core::{
    chat::Message,
    ids::{AppendId, Owner, Seq, SessionId, SessionKey},
    memory::{
        Append, Appended, Catalog, Draft, EntryBody, Expect, ExportedEntry, ExportedSession,
        ListOptions, MemoryClass, MemoryError, MemoryErrorKind, ReadOptions, Session, SessionLog,
    },
    time::Timestamp,
};
use brain_testkit::redis::Server;
use memory_redis::{RedisClock, RedisConfig, RedisStore};

/// The limit of a call in these tests, and what the machine may add to it.
pub(crate) const LIMIT: Duration = Duration::from_secs(1);
pub(crate) const SLACK: Duration = Duration::from_millis(100);
/// Until when a server that is back must be found.
pub(crate) const HEALED: Duration = Duration::from_secs(2);
/// The TTL of sessions in these tests.
pub(crate) const TTL: Duration = Duration::from_secs(3600);

pub(crate) fn config(url: &str) -> RedisConfig {
    let mut config = RedisConfig::parse(url).unwrap();
    config.ttl = Some(TTL);
    config.command_timeout = LIMIT;
    config.connect_timeout = LIMIT / 2;
    config
}

/// A store that goes by the server's clock.
pub(crate) fn store(url: &str) -> RedisStore {
    RedisStore::new(&config(url), RedisClock::Server).unwrap()
}

pub(crate) fn ann() -> Owner {
    Owner::new("ann").unwrap()
}

pub(crate) fn key(id: &str) -> SessionKey {
    SessionKey::new(ann(), SessionId::new(id).unwrap())
}

pub(crate) fn unique() -> AppendId {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    AppendId::new(format!("append {}", NEXT.fetch_add(1, Ordering::Relaxed))).unwrap()
}

pub(crate) fn draft(text: &str) -> Draft {
    draft_of(Message::user(text))
}

pub(crate) fn draft_of(message: Message) -> Draft {
    Draft::new(EntryBody::complete(message, Timestamp::from_millis(0))).unwrap()
}

pub(crate) fn append(parent: Option<Seq>, expect: Expect, text: &str) -> Append {
    Append { parent, expect, append_id: unique(), fence: None, drafts: vec![draft(text)] }
}

/// Waits until a server is as it should be, ten seconds at most.
#[track_caller]
pub(crate) fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(10), "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until something is as it should be, ten seconds at most.
pub(crate) async fn wait_for(what: &str, is_so: impl AsyncFn() -> bool) {
    let begin = Instant::now();
    while !is_so().await {
        assert!(begin.elapsed() < Duration::from_secs(10), "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A session as an export has it: so many messages, one after the other.
pub(crate) fn exported(entries: u64) -> ExportedSession {
    let entry = |seq: u64| ExportedEntry {
        seq: Seq(seq),
        parent: (1 < seq).then(|| Seq(seq - 1)),
        entry: EntryBody::complete(
            Message::user(format!("entry {seq}")),
            Timestamp::from_millis(seq.cast_signed()),
        ),
    };
    ExportedSession {
        id: SessionId::new("exported").unwrap(),
        title: Some("restored".to_owned()),
        has_default_title: false,
        metadata: None,
        system: None,
        model: None,
        recall: false,
        class: MemoryClass::Durable,
        created_at: Timestamp::from_millis(1),
        updated_at: Timestamp::from_millis(entries.cast_signed()),
        head: Some(Seq(entries)),
        summaries: Vec::new(),
        entries: (1..=entries).map(entry).collect(),
    }
}

/// A session of one message.
pub(crate) async fn begin(store: &RedisStore, id: &str) -> Appended {
    let first = append(None, Expect::Absent, "the first");
    // Servers that have just begun may be slow to answer; the same append happens once.
    for _ in 0..10 {
        match store.append(&key(id), first.clone()).await {
            Err(error) if error.is_transient() => {}
            done => return done.unwrap(),
        }
    }
    panic!("no server answered");
}

/// What an append after this one says.
pub(crate) fn next(after: Appended, text: &str) -> Append {
    append(after.head, Expect::At(after.token), text)
}

/// What the newest entries of the session say.
pub(crate) async fn texts(store: &RedisStore, id: &str) -> Vec<String> {
    let branch = store.read(&key(id), ReadOptions::newest(100_000)).await.unwrap();
    let entries = branch.map(|it| it.entries).unwrap_or_default();
    entries.iter().map(|it| it.body.message.joined_text()).collect()
}

pub(crate) async fn listed(store: &RedisStore) -> Vec<Session> {
    store.list(&ann(), ListOptions { before: None, limit: 100_000 }).await.unwrap()
}

/// The error with its causes.
pub(crate) fn said(error: &MemoryError) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        said.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    said
}

/// What it failed with, and that it took no longer than it may.
pub(crate) async fn fails<T: Debug>(
    call: impl Future<Output = Result<T, MemoryError>>,
) -> MemoryErrorKind {
    fails_saying(call, "").await
}

/// The same, and that the chain of causes says this.
pub(crate) async fn fails_saying<T: Debug>(
    call: impl Future<Output = Result<T, MemoryError>>,
    says: &str,
) -> MemoryErrorKind {
    let ended = tokio::time::timeout(LIMIT + SLACK, call).await.expect("the call ends in time");
    let error = ended.expect_err("Redis does not do this");
    assert!(said(&error).contains(says), "{}", said(&error));
    error.kind()
}

/// Waits until a call succeeds again.
pub(crate) async fn heals(store: &RedisStore) {
    let begin = Instant::now();
    while let Err(error) = store.session(&key("any")).await {
        assert!(begin.elapsed() < HEALED, "{}", said(&error));
    }
}

/// All that a server holds.
pub(crate) fn contents(server: &Server) -> Vec<(Vec<u8>, Vec<Vec<u8>>)> {
    server.client().values()
}

/// The key of a session in Redis.
pub(crate) fn session_key(server: &Server) -> String {
    let keys = server.ask(&["KEYS", "*:s:*"]).array();
    assert_eq!(keys.len(), 1, "{keys:?}");
    keys[0].text()
}

/// A store in an `Arc`, for tasks.
pub(crate) fn shared(url: &str) -> Arc<RedisStore> {
    Arc::new(store(url))
}
