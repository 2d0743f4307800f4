//! The store under test, and short ways to say what cases say often.

use std::{
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use brain_core::{
    chat::{Message, ToolCall},
    ids::{AppendId, HolderId, IdempotencyKey, Owner, Seq, SessionId, SessionKey, TurnId},
    json::RawJson,
    memory::{
        Append, Appended, Authority, Branch, CloseTurn, Draft, Entry, EntryBody, Expect, Fence,
        Idempotency, MemoryError, MemoryErrorKind, MemoryStore, NewSession, OpenTurn, Opened,
        ReadOptions, Session, Summary, TurnRecord, TurnState,
    },
    time::{Clock, Timestamp},
};
use futures_util::{future::BoxFuture, poll};

use super::Hooks;
use crate::ManualClock;

/// How long the turns of the suite are held.
pub(super) const LEASE: Duration = Duration::from_secs(10);

/// A store under test and the clock that it goes by.
#[derive(Clone, Debug)]
pub struct Subject {
    pub(super) store: Arc<dyn MemoryStore>,
    pub(super) clock: Arc<ManualClock>,
    hooks: Arc<Hooks>,
}

/// The owner of most sessions of the suite.
pub(super) fn ann() -> Owner {
    Owner::new("ann").unwrap()
}

/// Another owner.
pub(super) fn bob() -> Owner {
    Owner::new("bob").unwrap()
}

/// A session of [`ann`].
pub(super) fn key(id: &str) -> SessionKey {
    SessionKey::new(ann(), SessionId::new(id).unwrap())
}

/// An append id that no other append has.
pub(super) fn unique() -> AppendId {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    AppendId::new(format!("append {}", NEXT.fetch_add(1, Ordering::Relaxed))).unwrap()
}

/// A message of the person, ready to append.
pub(super) fn draft(text: &str) -> Draft {
    crate::say::draft(text)
}

/// Any message, ready to append.
pub(super) fn draft_of(message: Message) -> Draft {
    Draft::new(EntryBody::complete(message, Timestamp::from_millis(0))).unwrap()
}

/// An assistant's message that calls tools by these ids.
pub(super) fn calls(ids: &[&str]) -> Message {
    let call = |id: &&str| ToolCall {
        id: (*id).to_owned(),
        name: "lookup".to_owned(),
        arguments: "{}".to_owned(),
        provider_id: None,
    };
    Message { tool_calls: ids.iter().map(call).collect(), ..Message::assistant("") }
}

/// An append of one message.
pub(super) fn append(parent: Option<Seq>, expect: Expect, text: &str) -> Append {
    Append { parent, expect, append_id: unique(), fence: None, drafts: vec![draft(text)] }
}

/// What a call failed with.
pub(super) fn kind<T: Debug>(result: Result<T, MemoryError>) -> MemoryErrorKind {
    result.unwrap_err().kind()
}

/// What the entries say.
pub(super) fn texts(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|it| it.body.message.joined_text()).collect()
}

/// Where the entries stand.
pub(super) fn positions(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|it| it.seq.0).collect()
}

/// A client's key for a request.
pub(super) fn idempotency(key: &str, request_hash: &str) -> Idempotency {
    let key = IdempotencyKey::new(key).unwrap();
    Idempotency { key, request_hash: request_hash.to_owned() }
}

/// Proof of holding a turn.
pub(super) fn fence(turn: &TurnRecord) -> Fence {
    Fence { turn: turn.id, holder: turn.holder }
}

/// The end of a turn by its holder, with this answer after what it has appended.
pub(super) fn closing(turn: &TurnRecord, answer: &str) -> CloseTurn {
    let drafts = vec![draft_of(Message::assistant(answer))];
    let parent = turn.checkpoint.tail;
    CloseTurn {
        turn: turn.id,
        authority: Authority::Holder(turn.holder),
        state: TurnState::Completed,
        append: Append { parent, expect: Expect::Attach, append_id: unique(), fence: None, drafts },
        error: None,
        usage: None,
        context: None,
        last_event: 7,
    }
}

/// Drops a call after so many polls, wherever it is then.
pub(super) async fn drop_after<T>(polls: usize, mut call: BoxFuture<'_, Result<T, MemoryError>>) {
    for _ in 0..polls {
        if let Poll::Ready(done) = poll!(&mut call) {
            drop(done.unwrap());
            break;
        }
        tokio::task::yield_now().await;
    }
}

impl Subject {
    pub(super) fn new(store: Arc<dyn MemoryStore>, clock: Arc<ManualClock>, hooks: Hooks) -> Self {
        Self { store, clock, hooks: Arc::new(hooks) }
    }

    /// Whether what is stored is more than values of this process.
    fn has_bytes(&self) -> bool {
        let capabilities = self.store.capabilities();
        capabilities.durable || capabilities.shared
    }

    /// The same data for the writer of this number: through the second store for each other one.
    pub(super) fn at(&self, writer: usize) -> Self {
        assert!(
            self.hooks.second.is_some() || !self.store.capabilities().shared,
            "a store that can be shared is tested through two: Fresh::with_second"
        );
        let second = self.hooks.second.as_ref().filter(|_| writer % 2 == 1);
        Self { store: Arc::clone(second.unwrap_or(&self.store)), ..self.clone() }
    }

    /// Spoils an entry; false where a store keeps no bytes that could be spoiled.
    pub(super) async fn damage(&self, key: &SessionKey, seq: Seq) -> bool {
        let Some(damage) = &self.hooks.damage else {
            assert!(!self.has_bytes(), "a store that keeps bytes: Fresh::with_damage");
            return false;
        };
        damage(key.clone(), seq).await;
        true
    }

    /// Fails unless the text is somewhere in the stored bytes, or nowhere, as expected; a store
    /// without bytes has none.
    pub(super) async fn assert_holds(&self, text: &str, expected: bool) {
        let Some(look) = &self.hooks.look else {
            assert!(!self.has_bytes(), "a store that keeps bytes: Fresh::with_look");
            return;
        };
        assert_eq!(look(text.to_owned()).await, expected, "{text}");
    }

    /// The session, which exists.
    pub(super) async fn session(&self, key: &SessionKey) -> Session {
        self.store.session(key).await.unwrap().unwrap()
    }

    /// The head's whole branch; the session exists.
    pub(super) async fn read(&self, key: &SessionKey) -> Branch {
        self.newest(key, usize::MAX).await
    }

    /// The head's branch, at most `limit` entries of it; the session exists.
    pub(super) async fn newest(&self, key: &SessionKey, limit: usize) -> Branch {
        self.store.read(key, ReadOptions::newest(limit)).await.unwrap().unwrap()
    }

    /// What the branch that ends with `last` says.
    pub(super) async fn texts_from(&self, key: &SessionKey, last: Seq) -> Vec<String> {
        let options = ReadOptions::of_branch(last, usize::MAX);
        texts(&self.store.read(key, options).await.unwrap().unwrap().entries)
    }

    /// What the head's branch says.
    pub(super) async fn texts(&self, key: &SessionKey) -> Vec<String> {
        texts(&self.read(key).await.entries)
    }

    /// Everything on all branches.
    pub(super) async fn all(&self, key: &SessionKey) -> Vec<Entry> {
        self.store.scan(key, Seq(0), usize::MAX).await.unwrap()
    }

    /// What an appender that has just read the session expects.
    pub(super) async fn state(&self, key: &SessionKey) -> (Option<Seq>, Expect) {
        match self.store.session(key).await.unwrap() {
            Some(session) => (session.head, Expect::At(session.token)),
            None => (None, Expect::Absent),
        }
    }

    /// Appends one message after the head; makes the session if need be.
    pub(super) async fn say(&self, key: &SessionKey, text: &str) -> Appended {
        self.add(key, vec![draft(text)]).await
    }

    /// Appends after the head; makes the session if need be.
    pub(super) async fn add(&self, key: &SessionKey, drafts: Vec<Draft>) -> Appended {
        let (parent, expect) = self.state(key).await;
        let append = Append { parent, expect, append_id: unique(), fence: None, drafts };
        self.store.append(key, append).await.unwrap()
    }

    /// A turn that says `text` after the head, and makes the session if need be.
    pub(super) async fn turn(&self, key: &SessionKey, text: &str) -> OpenTurn {
        let (parent, expect) = self.state(key).await;
        OpenTurn {
            id: TurnId::generate(self.clock.now()),
            session: key.clone(),
            create: Some(NewSession::default()),
            idempotency: None,
            request: RawJson::parse(r#"{"model":"m"}"#).unwrap(),
            holder: HolderId::random(),
            lease: LEASE,
            append: append(parent, expect, text),
        }
    }

    /// Opens such a turn.
    pub(super) async fn start(&self, key: &SessionKey, text: &str) -> TurnRecord {
        self.started(self.turn(key, text).await).await
    }

    /// Opens this turn.
    pub(super) async fn started(&self, open: OpenTurn) -> TurnRecord {
        match self.store.open(open).await.unwrap() {
            Opened::Started { turn, .. } => turn,
            other @ (Opened::Known(_) | Opened::Busy { .. }) => panic!("not started: {other:?}"),
        }
    }

    /// The turn as it is stored.
    pub(super) async fn record(&self, turn: &TurnRecord) -> TurnRecord {
        self.store.turn(&turn.session.owner, turn.id).await.unwrap().unwrap()
    }

    /// Keeps a summary of the session as it is now.
    pub(super) async fn summarise(
        &self,
        key: &SessionKey,
        summary: Summary,
    ) -> Result<(), MemoryError> {
        let edition = self.store.session(key).await?.map(|it| it.edition).unwrap_or_default();
        self.store.keep_summary(key, edition, summary).await
    }

    /// Appends one message for the turn, after what it has appended.
    pub(super) async fn say_in(
        &self,
        turn: &TurnRecord,
        text: &str,
    ) -> Result<Appended, MemoryError> {
        let tail = self.store.turn(&turn.session.owner, turn.id).await?;
        let parent = tail.and_then(|it| it.checkpoint.tail);
        let append = Append { fence: Some(fence(turn)), ..append(parent, Expect::Attach, text) };
        self.store.append(&turn.session, append).await
    }
}
