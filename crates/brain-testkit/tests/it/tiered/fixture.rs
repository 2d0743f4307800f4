//! Both tiers in the process, and everything about them that a test looks at.

use std::{sync::Arc, time::Duration};

use brain_core::{
    chat::Message,
    ids::{AppendId, HolderId, Owner, Seq, SessionId, SessionKey, Token, TurnId},
    json::RawJson,
    memory::{
        Append, Appended, Authority, Branch, Catalog, CloseTurn, Draft, EntryBody, Expect, HotTier,
        InMemoryStore, MemoryClass, MemoryStore, NewSession, OpenTurn, Opened, ReadOptions,
        SessionLog, TieredMemory, TieredPorts, TurnRecord, TurnState, Turns,
    },
    time::{Clock, Timestamp},
};
use brain_testkit::{FaultyStore, ManualClock};
use brain_tokio::TokioSpawner;

use super::chaos::{Chaos, Mood};

/// How long a test waits for what happens in the background.
const PATIENCE: Duration = Duration::from_secs(20);

/// A tiered store over its parts.
#[derive(Debug)]
pub(super) struct Fixture {
    pub(super) clock: Arc<ManualClock>,
    pub(super) hot: Arc<Chaos>,
    pub(super) inner: Arc<InMemoryStore>,
    pub(super) durable: Arc<FaultyStore>,
    pub(super) store: TieredMemory,
}

impl Fixture {
    pub(super) fn new() -> Self {
        Self::of_seed(1)
    }

    /// The same with another throw of the dice.
    pub(super) fn of_seed(seed: u64) -> Self {
        let clock = Arc::new(ManualClock::new());
        let inner = Arc::new(InMemoryStore::new(clock.clone()).with_ttl(Some(HOUR)));
        let durable = Arc::new(FaultyStore::new(Arc::new(InMemoryStore::new(clock.clone()))));
        Self::over(clock, inner, durable, seed)
    }

    fn over(
        clock: Arc<ManualClock>,
        inner: Arc<InMemoryStore>,
        durable: Arc<FaultyStore>,
        seed: u64,
    ) -> Self {
        let hot = Arc::new(Chaos::new(inner.clone(), Mood::Well, seed));
        let store = join(hot.clone(), durable.clone(), clock.clone());
        Self { clock, hot, inner, durable, store }
    }

    /// Another process on the same tiers, which this one does not know of.
    pub(super) fn restarted(&self) -> Self {
        Self::over(self.clock.clone(), self.inner.clone(), self.durable.clone(), 2)
    }

    /// Appends by the session's state; makes the session if need be.
    pub(super) async fn say(&self, key: &SessionKey, text: &str) -> Appended {
        let session = self.store.session(key).await.unwrap();
        let expect = session.as_ref().map_or(Expect::Absent, |it| Expect::At(it.token));
        let parent = session.and_then(|it| it.head);
        self.store.append(key, append(parent, expect, text)).await.unwrap()
    }

    pub(super) async fn unverified(&self, key: &SessionKey) -> Branch {
        self.store.read(key, ReadOptions::newest(99).unverified()).await.unwrap().unwrap()
    }

    /// Reads until the copy answers what the durable tier would.
    pub(super) async fn warm(&self, key: &SessionKey) {
        drop(self.unverified(key).await);
        until(async || self.has_copy(key).await).await;
    }

    pub(super) async fn has_copy(&self, key: &SessionKey) -> bool {
        use brain_core::memory::SessionCache;
        let truth = self.durable.read(key, ReadOptions::newest(99)).await.unwrap();
        truth.is_some() && self.inner.cached(key, ReadOptions::newest(99)).await.unwrap() == truth
    }

    pub(super) async fn ephemeral(&self, key: &SessionKey) {
        self.store.create(key, brief()).await.unwrap();
    }
}

pub(super) const HOUR: Duration = Duration::from_secs(60 * 60);

/// The tiers as one store.
pub(super) fn join(
    hot: Arc<dyn HotTier>,
    durable: Arc<dyn MemoryStore>,
    clock: Arc<dyn Clock>,
) -> TieredMemory {
    let spawner = Arc::new(TokioSpawner::current());
    TieredMemory::new(TieredPorts { hot, hot_name: "hot", durable, clock, spawner })
}

pub(super) fn ann() -> Owner {
    Owner::new("ann").unwrap()
}

pub(super) fn key(id: &str) -> SessionKey {
    SessionKey::new(ann(), SessionId::new(id).unwrap())
}

pub(super) fn brief() -> NewSession {
    let title = Some("brief".to_owned());
    NewSession { class: MemoryClass::Ephemeral, title, ..NewSession::default() }
}

pub(super) fn append(parent: Option<Seq>, expect: Expect, text: &str) -> Append {
    let body = EntryBody::complete(Message::user(text), Timestamp::from_millis(0));
    let append_id = AppendId::new(Token::random().to_string()).unwrap();
    Append { parent, expect, append_id, fence: None, drafts: vec![Draft::new(body).unwrap()] }
}

pub(super) fn opening(
    key: &SessionKey,
    expect: Expect,
    parent: Option<Seq>,
    text: &str,
) -> OpenTurn {
    OpenTurn {
        id: TurnId::generate(Timestamp::from_millis(1)),
        session: key.clone(),
        create: Some(NewSession::default()),
        idempotency: None,
        request: RawJson::parse("{}").unwrap(),
        holder: HolderId::random(),
        lease: Duration::from_secs(10),
        append: append(parent, expect, text),
    }
}

pub(super) async fn started(store: &TieredMemory, open: OpenTurn) -> (TurnRecord, Appended) {
    match store.open(open).await.unwrap() {
        Opened::Started { turn, appended } => (turn, appended),
        other @ (Opened::Known(_) | Opened::Busy { .. }) => panic!("not started: {other:?}"),
    }
}

pub(super) fn closing(turn: &TurnRecord, answer: &str) -> CloseTurn {
    CloseTurn {
        turn: turn.id,
        authority: Authority::Holder(turn.holder),
        state: TurnState::Completed,
        append: append(turn.checkpoint.tail, Expect::Attach, answer),
        error: None,
        usage: None,
        context: None,
        last_event: 1,
    }
}

pub(super) fn texts(branch: &Branch) -> Vec<String> {
    branch.entries.iter().map(|it| it.body.message.joined_text()).collect()
}

/// Waits for what happens in the background, which takes no time of the test's clock.
pub(super) async fn until(done: impl AsyncFn() -> bool) {
    let looking = async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, looking).await.is_ok(), "it did not come about");
}
