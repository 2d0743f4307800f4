//! A store that is told what to do in numbers, and whose answers are texts to be compared.

use std::{fmt::Debug, sync::Arc, time::Duration};

use brain_core::{
    chat::{Message, ToolCall},
    ids::{AppendId, HolderId, IdempotencyKey, Owner, Seq, SessionKey, Token, TurnId},
    json::RawJson,
    memory::{
        Append, Authority, Checkpoint, CloseTurn, Draft, EntryBody, Expect, ExportedSession, Fence,
        Forget, Idempotency, ListOptions, MemoryError, MemoryStore, NewSession, OpenTurn, PageKey,
        ReadFrom, ReadOptions, Search, SessionPatch, TurnRecord, TurnState,
    },
    time::Timestamp,
};

use super::steps::{By, CatalogStep, LogStep, Parent, Step, Terms, TurnStep, What, Who};
use crate::key;

const LEASE: Duration = Duration::from_secs(10);

/// What may be said and looked for.
const TEXTS: [&str; 4] = ["Grüße an ALLE", "100%_sure", "nul\0 'quoted'", "ΣΊΣΥΦΟΣ alle"];

const STATES: [TurnState; 4] =
    [TurnState::Completed, TurnState::Interrupted, TurnState::Failed, TurnState::Running];

/// Names that both stores hear.
pub(super) struct Names {
    turns: Vec<TurnId>,
    holders: [HolderId; 2],
}

impl Names {
    pub(super) fn new(steps: usize) -> Self {
        let turns = (0..steps.max(8)).map(|_| TurnId::generate(Timestamp::from_millis(0)));
        Self { turns: turns.collect(), holders: [HolderId::random(), HolderId::random()] }
    }

    fn fence(&self, turn: usize, holder: usize) -> Fence {
        Fence { turn: *self.turns.get(turn).unwrap(), holder: *self.holders.get(holder).unwrap() }
    }
}

/// One of the two stores.
pub(super) struct Side {
    store: Arc<dyn MemoryStore>,
    /// What it has shown, in the order of appearance.
    tokens: Vec<Token>,
    opened: usize,
    appended: usize,
}

impl Side {
    pub(super) fn new(store: impl MemoryStore) -> Self {
        Self { store: Arc::new(store), tokens: Vec::new(), opened: 0, appended: 9 }
    }

    /// The text of a result, with tokens by their number, errors by their kind and no edition.
    fn show<T: Debug>(&mut self, result: Result<T, MemoryError>) -> String {
        let text = format!("{:?}", result.map_err(|error| error.kind()));
        let mut pieces = text.split("Token(");
        let mut shown = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let (token, rest) = piece.split_at(36);
            let number = self.number(Token::parse(token).unwrap());
            shown.push_str(&format!("Token({number}{rest}"));
        }
        let mut pieces = shown.split("Edition(");
        let first = pieces.next().unwrap_or_default().to_owned();
        let rest = pieces.map(|it| it.split_once(')').unwrap().1);
        rest.fold(first, |shown, rest| shown + rest)
    }

    fn number(&mut self, token: Token) -> usize {
        let known = self.tokens.iter().position(|it| *it == token);
        known.unwrap_or_else(|| {
            self.tokens.push(token);
            self.tokens.len() - 1
        })
    }

    pub(super) async fn step(&mut self, step: &Step, names: &Names) -> String {
        match step {
            Step::Log(step) => self.log_step(step, names).await,
            Step::Catalog(step) => self.catalog_step(step).await,
            Step::Turn(step) => self.turn_step(step, names).await,
            Step::Wait(_) => String::new(),
        }
    }

    async fn log_step(&mut self, step: &LogStep, names: &Names) -> String {
        let store = Arc::clone(&self.store);
        match step {
            LogStep::Append { session, fence, what } => {
                let mut append = self.append(&name(*session), what).await;
                if let Some(who) = fence {
                    append.fence = Some(self.fence(*who, names).await);
                }
                self.show(store.append(&name(*session), append).await)
            }
            LogStep::Read { session, from, limit } => {
                let from = from.map_or(ReadFrom::Head, |it| ReadFrom::Entry(Seq(it)));
                self.show(
                    store
                        .read(
                            &name(*session),
                            ReadOptions { from, limit: *limit, unverified: false },
                        )
                        .await,
                )
            }
            LogStep::MoveHead { session, token, head } => {
                let token = match (token, store.session(&name(*session)).await.unwrap()) {
                    (0, Some(session)) => session.token,
                    _ => self.token(*token),
                };
                self.show(store.move_head(&name(*session), token, head.map(Seq)).await)
            }
            LogStep::Forget { session } => {
                self.show(store.forget(&name(*session), Forget::Always).await)
            }
            LogStep::Search { text, limit } => {
                let query = TEXTS.get(*text).unwrap().to_uppercase();
                self.show(store.search(&Owner::local(), &Search::words(query, *limit)).await)
            }
        }
    }

    async fn catalog_step(&mut self, step: &CatalogStep) -> String {
        let store = Arc::clone(&self.store);
        match step {
            CatalogStep::Create { session } => {
                let new = NewSession { recall: true, ..NewSession::default() };
                self.show(store.create(&name(*session), new).await)
            }
            CatalogStep::Patch { session, title } => {
                let patch = SessionPatch {
                    title: Some(title.then(|| "a title".to_owned())),
                    metadata: Some(RawJson::parse(r#"{"n":1.0}"#).ok()),
                    ..SessionPatch::default()
                };
                self.show(store.patch(&name(*session), patch).await)
            }
            CatalogStep::Copy { from, to, first } => {
                let Some(session) = store.session(&name(*from)).await.unwrap() else {
                    return String::new();
                };
                let entries = store.scan(&name(*from), Seq(0), *first).await.unwrap();
                let mut export = ExportedSession::of(&session, &entries, Vec::new());
                export.head = entries.last().map(|it| it.seq);
                self.show(store.restore(&name(*to), &export).await)
            }
            CatalogStep::Page { after, limit } => {
                let all = ListOptions { before: None, limit: 9 };
                let all = store.list(&Owner::local(), all).await.unwrap();
                let before = all.first().filter(|_| *after).map(PageKey::from);
                let page = ListOptions { before, limit: *limit };
                self.show(store.list(&Owner::local(), page).await)
            }
        }
    }

    async fn turn_step(&mut self, step: &TurnStep, names: &Names) -> String {
        let store = Arc::clone(&self.store);
        match step {
            TurnStep::Open { .. } => {
                let open = self.open(step, names).await;
                self.show(store.open(open.unwrap()).await)
            }
            TurnStep::Take { who } => {
                let fence = self.fence(*who, names).await;
                self.show(store.take(fence, LEASE).await)
            }
            TurnStep::Renew { who } => {
                let fence = self.fence(*who, names).await;
                self.show(store.renew(fence, LEASE).await)
            }
            TurnStep::Checkpoint { who, waiting, text } => {
                let checkpoint = Checkpoint {
                    text: TEXTS.get(*text).copied().unwrap().to_owned(),
                    last_event: 7,
                    waiting: *waiting,
                    ..Checkpoint::default()
                };
                let fence = self.fence(*who, names).await;
                self.show(store.checkpoint(fence, checkpoint).await)
            }
            TurnStep::Close { .. } => {
                let close = self.close(step, names).await;
                self.show(store.close(close.unwrap()).await)
            }
            TurnStep::Cancel { who } => {
                let turn = self.fence(*who, names).await.turn;
                self.show(store.request_cancel(&Owner::local(), turn).await)
            }
        }
    }

    async fn open(&mut self, step: &TurnStep, names: &Names) -> Option<OpenTurn> {
        let TurnStep::Open { again, session, create, key, what } = step else { return None };
        let number = again.unwrap_or(self.opened);
        self.opened += usize::from(again.is_none());
        let Fence { turn, holder } = names.fence(number, number % 2);
        Some(OpenTurn {
            id: turn,
            session: name(*session),
            create: create.then(NewSession::default),
            idempotency: idempotency(*key),
            request: RawJson::parse("{}").unwrap(),
            holder,
            lease: LEASE,
            append: self.append(&name(*session), what).await,
        })
    }

    async fn close(&mut self, step: &TurnStep, names: &Names) -> Option<CloseTurn> {
        let TurnStep::Close { who, by, state, what } = step else { return None };
        let Fence { turn, holder } = self.fence(*who, names).await;
        let record = self.store.turn(&Owner::local(), turn).await.unwrap();
        let session = record.map_or(name(0), |it| it.session);
        Some(CloseTurn {
            turn,
            authority: match by {
                By::Holder => Authority::Holder(holder),
                By::Lapsed => Authority::Lapsed,
                By::Exclusive => Authority::Exclusive,
            },
            state: *STATES.get(*state).unwrap(),
            append: self.append(&session, what).await,
            error: None,
            usage: None,
            context: None,
            last_event: 9,
        })
    }

    async fn append(&mut self, key: &SessionKey, what: &What) -> Append {
        let session = self.store.session(key).await.unwrap();
        let number = what.name.unwrap_or(self.appended);
        self.appended += usize::from(what.name.is_none());
        let right = session.as_ref().map_or(Expect::Absent, |it| Expect::At(it.token));
        Append {
            parent: match what.parent {
                Parent::Head => session.and_then(|it| it.head),
                Parent::Entry(seq) => seq.map(Seq),
            },
            expect: match what.terms {
                Terms::Right => right,
                Terms::Attach => Expect::Attach,
                Terms::Absent => Expect::Absent,
                Terms::At(back) => Expect::At(self.token(back)),
            },
            append_id: AppendId::new(format!("append {number}")).unwrap(),
            fence: None,
            drafts: what.drafts.iter().map(|it| draft(*it)).collect(),
        }
    }

    async fn fence(&self, who: Who, names: &Names) -> Fence {
        let open = self.unfinished().await.into_iter().next();
        match (who, open) {
            (Who::Right, Some(turn)) => Fence { turn: turn.id, holder: turn.holder },
            (Who::Right, None) => names.fence(0, 0),
            (Who::Named(turn, holder), _) => names.fence(turn, holder),
        }
    }

    async fn unfinished(&self) -> Vec<TurnRecord> {
        let mut turns = self.store.unfinished().await.unwrap();
        turns.sort_by_key(|it| it.id.to_string());
        turns
    }

    /// One of the newest tokens.
    fn token(&self, back: usize) -> Token {
        let newest = self.tokens.iter().rev().nth(back);
        newest.copied().unwrap_or_else(Token::random)
    }

    /// Everything there is.
    pub(super) async fn all(&mut self, names: &Names) -> Vec<String> {
        let store = Arc::clone(&self.store);
        let mut all = Vec::new();
        for session in 0..2 {
            all.push(self.show(store.session(&name(session)).await));
            all.push(self.show(store.scan(&name(session), Seq(0), usize::MAX).await));
        }
        for turn in &names.turns {
            all.push(self.show(store.turn(&Owner::local(), *turn).await));
        }
        for asked in (0..4).filter_map(idempotency) {
            all.push(self.show(store.turn_by_key(&Owner::local(), &asked.key).await));
        }
        let unfinished = self.unfinished().await;
        all.push(self.show(Ok(unfinished)));
        all
    }
}

fn name(session: usize) -> SessionKey {
    key(&format!("session {session}"))
}

/// Two keys, each of two requests; most turns have none.
fn idempotency(number: usize) -> Option<Idempotency> {
    let key = IdempotencyKey::new(format!("key {}", number / 2)).unwrap();
    (number < 4).then(|| Idempotency { key, request_hash: (number % 2).to_string() })
}

fn draft(number: usize) -> Draft {
    let call = |id: &str| ToolCall {
        id: id.to_owned(),
        name: "lookup".to_owned(),
        arguments: "{}".to_owned(),
        provider_id: None,
    };
    let message = match number {
        4 => Message { tool_calls: vec![call("a"), call("b")], ..Message::assistant("") },
        5 => Message::tool("a", "1"),
        6 => Message::tool("b", "2"),
        text => Message::user(*TEXTS.get(text).unwrap()),
    };
    Draft::new(EntryBody::complete(message, Timestamp::from_millis(0))).unwrap()
}
