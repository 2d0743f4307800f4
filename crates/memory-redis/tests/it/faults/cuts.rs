//! The connection is cut at every request of every change, before Redis gets it and after.
//!
//! The change is then seen as a whole or not at all, and asking again brings it about once.

use std::time::Duration;

use brain_core::{
    chat::Message,
    ids::{HolderId, IdempotencyKey, Seq, TurnId},
    json::RawJson,
    memory::{
        Append, Authority, Catalog, Checkpoint, CloseTurn, Expect, Fence, Forget, Idempotency,
        MemoryError, MemoryErrorKind, NewSession, OpenTurn, ReadOptions, SessionLog, SessionPatch,
        Summary, TurnIndex, TurnState, Turns,
    },
    time::Timestamp,
};
use brain_testkit::redis::{Loss, Proxy, Server};
use memory_redis::RedisStore;

use crate::harness::{append, draft_of, key, listed, said, store, unique};

const LEASE: Duration = Duration::from_secs(600);

/// What a change needs to know, equal for each attempt at it.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) turn: TurnId,
    holder: HolderId,
    first: Append,
    second: Append,
    question: Append,
    answer: Append,
}

impl Plan {
    pub(crate) fn new() -> Self {
        let anywhere = |parent: u64, text: &str| Append {
            drafts: vec![draft_of(Message::assistant(text))],
            ..append(Some(Seq(parent)), Expect::Attach, "")
        };
        Self {
            turn: TurnId::generate(Timestamp::from_millis(1)),
            holder: HolderId::random(),
            first: append(None, Expect::Absent, "first"),
            second: anywhere(1, "second"),
            question: append(Some(Seq(2)), Expect::Attach, "question"),
            answer: Append { append_id: unique(), ..anywhere(3, "answer") },
        }
    }

    pub(crate) fn fence(&self) -> Fence {
        Fence { turn: self.turn, holder: self.holder }
    }

    pub(crate) fn open(&self) -> OpenTurn {
        let key_of_client = IdempotencyKey::new("once").unwrap();
        OpenTurn {
            id: self.turn,
            session: key("a"),
            create: None,
            idempotency: Some(Idempotency { key: key_of_client, request_hash: "hash".to_owned() }),
            request: RawJson::parse("{}").unwrap(),
            holder: self.holder,
            lease: LEASE,
            append: self.question.clone(),
        }
    }

    pub(crate) fn close(&self) -> CloseTurn {
        CloseTurn {
            turn: self.turn,
            authority: Authority::Holder(self.holder),
            state: TurnState::Completed,
            append: self.answer.clone(),
            error: None,
            usage: None,
            context: None,
            last_event: 7,
        }
    }
}

/// The changes, in an order in which each may follow the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    AppendFirst,
    AppendSecond,
    Patch,
    Summary,
    Open,
    Renew,
    Checkpoint,
    Cancel,
    Close,
    MoveHead,
    ForgetEntry,
    Forget,
    Create,
}

pub(crate) const STEPS: &[Step] = &[
    Step::AppendFirst,
    Step::AppendSecond,
    Step::Patch,
    Step::Summary,
    Step::Open,
    Step::Renew,
    Step::Checkpoint,
    Step::Cancel,
    Step::Close,
    Step::MoveHead,
    Step::ForgetEntry,
    Step::Forget,
    Step::Create,
];

async fn move_head(store: &RedisStore) -> Result<(), MemoryError> {
    let a = key("a");
    let Some(session) = store.session(&a).await? else { return Ok(()) };
    store.move_head(&a, session.token, Some(Seq(2))).await.map(drop)
}

async fn keep_summary(store: &RedisStore) -> Result<(), MemoryError> {
    let (a, text) = (key("a"), "summary".to_owned());
    let edition = store.session(&a).await?.map(|it| it.edition).unwrap_or_default();
    let created_at = Timestamp::from_millis(1);
    let summary = Summary { at: Seq(1), text, model: None, created_at };
    store.keep_summary(&a, edition, summary).await
}

impl Step {
    pub(crate) async fn run(self, store: &RedisStore, plan: &Plan) -> Result<(), MemoryError> {
        let a = key("a");
        match self {
            Self::AppendFirst => store.append(&a, plan.first.clone()).await.map(drop),
            Self::AppendSecond => store.append(&a, plan.second.clone()).await.map(drop),
            Self::Patch => {
                let title = Some(Some("title".to_owned()));
                store.patch(&a, SessionPatch { title, ..SessionPatch::default() }).await.map(drop)
            }
            Self::Summary => keep_summary(store).await,
            Self::Open => store.open(plan.open()).await.map(drop),
            Self::Renew => store.renew(plan.fence(), LEASE).await.map(drop),
            Self::Checkpoint => {
                let text = "so far".to_owned();
                let checkpoint =
                    Checkpoint { text, last_event: 3, tail: Some(Seq(3)), ..Checkpoint::default() };
                store.checkpoint(plan.fence(), checkpoint).await
            }
            Self::Cancel => store.request_cancel(&a.owner, plan.turn).await.map(drop),
            Self::Close => store.close(plan.close()).await.map(drop),
            Self::MoveHead => move_head(store).await,
            Self::ForgetEntry => store.forget_entry(&a, Seq(1)).await.map(drop),
            Self::Forget => store.forget(&a, Forget::Always).await.map(drop),
            Self::Create => store.create(&a, NewSession::default()).await.map(drop),
        }
    }

    /// What asking again may say of a change that happened the first time.
    fn may_say(self, kind: MemoryErrorKind) -> bool {
        self == Self::Create && kind == MemoryErrorKind::Conflict
    }
}

/// All that can be seen of the session, without what is random or a time.
async fn visible(store: &RedisStore, plan: &Plan) -> String {
    let branch = store.read(&key("a"), ReadOptions::newest(99)).await.unwrap();
    let session = branch.as_ref().map(|it| {
        (it.session.title.clone(), it.session.head, it.session.entries, it.summary.is_some())
    });
    let all = store.scan(&key("a"), Seq(0), 99).await.unwrap();
    let all: Vec<_> =
        all.into_iter().map(|it| (it.seq, it.parent, it.body.message.joined_text())).collect();
    let turn = store.turn(&key("a").owner, plan.turn).await.unwrap();
    let turn = turn.map(|it| {
        let at = (it.checkpoint.text, it.checkpoint.last_event, it.checkpoint.tail);
        (it.state, it.cancel_requested, it.input, it.answer, at, it.usage)
    });
    let once = IdempotencyKey::new("once").unwrap();
    let by_key =
        store.turn_by_key(&key("a").owner, &once).await.unwrap().map(|it| it.id == plan.turn);
    let open = store.unfinished().await.unwrap().len();
    let listed = listed(store).await.len();
    format!("{session:?} {all:?} {turn:?} {by_key:?} open {open} listed {listed}")
}

/// A server on which all steps before this one were done.
async fn prepared(server: &Server, plan: &Plan, until: usize) -> RedisStore {
    server.ask(&["FLUSHALL"]);
    let store = store(&server.socket_url());
    for step in &STEPS[..until] {
        step.run(&store, plan).await.unwrap();
    }
    store
}

/// A change and what is seen before it and after it.
struct Case {
    index: usize,
    step: Step,
    before: String,
    after: String,
}

impl Case {
    async fn new(server: &Server, index: usize) -> Self {
        let (plan, step) = (Plan::new(), STEPS[index]);
        let store = prepared(server, &plan, index).await;
        let before = visible(&store, &plan).await;
        step.run(&store, &plan).await.unwrap();
        Self { index, step, before, after: visible(&store, &plan).await }
    }

    /// Cuts the connection at the request after `count` others; `false` if there is none.
    async fn cut(&self, (server, proxy): (&Server, &Proxy), count: usize, loss: Loss) -> bool {
        let plan = Plan::new();
        let direct = prepared(server, &plan, self.index).await;
        let cut = store(proxy.url());
        proxy.lose_after(count, loss);
        let result = self.step.run(&cut, &plan).await;
        if !proxy.lose_nothing() {
            result.unwrap();
            return false;
        }
        let place = format!("{:?}, {loss:?} {count}", self.step);
        let seen = visible(&direct, &plan).await;
        let whole = seen == self.before || seen == self.after;
        assert!(whole, "{place}: {seen}\n{}\n{}", self.before, self.after);
        if let Err(error) = &result {
            assert!(error.is_transient(), "{place}: {}", said(error));
        }
        // By the same daemon, and by another one.
        for again in [&cut, &direct] {
            let again = self.step.run(again, &plan).await;
            let fine = again.as_ref().map_or_else(|it| self.step.may_say(it.kind()), |()| true);
            assert!(fine, "{place}: {}", said(&again.unwrap_err()));
        }
        assert_eq!(visible(&direct, &plan).await, self.after, "{place}");
        true
    }
}

#[tokio::test]
async fn a_change_is_seen_as_a_whole_or_not_at_all() {
    let server = Server::start();
    let proxy = Proxy::before(&server);
    let mut cuts = 0;
    for index in 0..STEPS.len() {
        let case = Case::new(&server, index).await;
        for loss in [Loss::Request, Loss::Reply] {
            let mut count = 0;
            while case.cut((&server, &proxy), count, loss).await {
                count += 1;
            }
            cuts += count;
        }
    }
    assert!(cuts > 2 * STEPS.len(), "{cuts} cuts");
}
