//! Opening a turn: finding its place in the session, and storing what the user said.

use std::{sync::Arc, time::Duration};

use super::{ChatError, Defaults, Inner, OnBusy, TurnInput, TurnRequest, recovery};
use crate::{
    chat::{Message, Role},
    ids::{AppendId, Owner, Seq, SessionId, SessionKey, TurnId},
    json::RawJson,
    memory::{
        Append, Branch, Draft, Entry, EntryBody, EntryStatus, Expect, MemoryClass, MemoryError,
        MemoryErrorKind, NewSession, OpenTurn, Opened, ReadFrom, ReadOptions, Session,
        SessionPatch, Summary, TurnRecord,
    },
};

/// How often the opening is tried again at once when somebody else appends at the same moment;
/// after that it waits in between.
const CONFLICT_TRIES: u32 = 8;
/// How often a turn is asked for again when the store did not say whether it is open.
const UNKNOWN_TRIES: u32 = 2;
/// How often a session that is busy elsewhere, or changes all the time, is looked at.
const BUSY_POLL: Duration = Duration::from_millis(200);

/// What became of a request.
#[derive(Debug)]
pub(super) enum OpenedTurn {
    /// A new turn, which this process holds.
    Started(Box<NewTurn>),
    /// An earlier request with the same key opened this one.
    Known(Box<TurnRecord>),
}

/// A turn that was just opened.
#[derive(Debug)]
pub(super) struct NewTurn {
    pub(super) record: TurnRecord,
    /// The model to ask; empty for the gateway's default.
    pub(super) model: String,
    /// The system prompt of the session, or else the usual one.
    pub(super) system: Option<String>,
    /// The branch to answer, the user's entry last.
    pub(super) branch: Vec<Entry>,
    /// Whether the branch goes on before that.
    pub(super) has_older: bool,
    /// A summary of the branch.
    pub(super) summary: Option<Summary>,
    /// Whether memory is searched for what may help to answer.
    pub(super) recall: bool,
    /// Whether the session has no name for people.
    pub(super) is_untitled: bool,
}

/// Where in its session a turn goes.
struct Place {
    session: Option<Session>,
    /// The entry that it follows, which may be none of those that can be read.
    parent: Option<Seq>,
    entries: Vec<Entry>,
    has_older: bool,
    summary: Option<Summary>,
}

impl Place {
    /// Before the first entry of a session that is not there yet.
    fn new_session() -> Self {
        Self { session: None, parent: None, entries: Vec::new(), has_older: false, summary: None }
    }
}

pub(super) async fn open(
    inner: &Arc<Inner>,
    owner: &Owner,
    request: &TurnRequest,
) -> Result<OpenedTurn, ChatError> {
    let json = request.to_json()?;
    let key = SessionKey::new(owner.clone(), session_id(inner, owner, request));
    let defaults = inner.defaults().await;
    let started = inner.ports.clock.elapsed();
    let mut conflicts = 0;
    loop {
        let place = find_place(inner, &key, request).await?;
        let turn = open_turn(inner, &key, request, (&json, &place))?;
        let draft = turn.append.drafts.first().cloned();
        match ask(inner, turn).await {
            Ok(Opened::Started { turn: record, appended }) => {
                if let Some(session) = &place.session {
                    keep_with_session(inner, &key, request, session).await;
                }
                let new = new_turn(record, place, (request, defaults), (appended.last, draft));
                return Ok(OpenedTurn::Started(Box::new(new)));
            }
            Ok(Opened::Known(record)) => return Ok(OpenedTurn::Known(Box::new(record))),
            Ok(Opened::Busy { turn, lease_left: None }) => {
                recovery::end_lapsed(inner, &turn).await?;
            }
            Ok(Opened::Busy { turn, lease_left }) => {
                let left = patience(inner, request, started);
                if left.is_zero() {
                    return Err(ChatError::TurnInProgress { turn: turn.id, lease_left });
                }
                if inner.is_draining() {
                    return Err(ChatError::ShuttingDown);
                }
                wait_for(inner, &turn, left).await;
            }
            Err(error) if error.kind() == MemoryErrorKind::Conflict => {
                conflicts += 1;
                if CONFLICT_TRIES < conflicts {
                    let left = patience(inner, request, started);
                    if left.is_zero() {
                        return Err(error.into());
                    }
                    if inner.is_draining() {
                        return Err(ChatError::ShuttingDown);
                    }
                    inner.ports.clock.sleep(BUSY_POLL.min(left)).await;
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// How much longer a request that began at `started` waits for its session.
fn patience(inner: &Inner, request: &TurnRequest, started: Duration) -> Duration {
    match request.on_busy {
        OnBusy::Reject => Duration::ZERO,
        OnBusy::Wait => {
            let waited = inner.ports.clock.elapsed().saturating_sub(started);
            inner.config.limits.busy_wait.saturating_sub(waited)
        }
    }
}

/// The turn, with the user's entry at the end of its branch.
fn new_turn(
    record: TurnRecord,
    place: Place,
    (request, defaults): (&TurnRequest, Defaults),
    (seq, draft): (Option<Seq>, Option<Draft>),
) -> NewTurn {
    let Place { session, parent, entries: mut branch, has_older, summary } = place;
    let entry = |it: Draft| {
        let (seq, body) = (seq.unwrap_or_default(), Arc::clone(it.body()));
        Entry { seq, parent, body }
    };
    branch.extend(draft.map(entry));
    let kept = session.as_ref();
    let recall = request.recall.or(kept.map(|it| it.recall)).unwrap_or_default();
    let is_untitled = request.title.is_none() && kept.is_none_or(|it| it.title.is_none());
    let (model, system) = session.map(|it| (it.model, it.system)).unwrap_or_default();
    let model = request.model.clone().or(model).unwrap_or(defaults.model);
    let system = request.system.clone().or(system).or(defaults.system);
    NewTurn { record, model, system, branch, has_older, summary, recall, is_untitled }
}

fn session_id(inner: &Inner, owner: &Owner, request: &TurnRequest) -> SessionId {
    match (&request.session, &request.idempotency_key) {
        (Some(id), _) => id.clone(),
        (None, Some(key)) => SessionId::derived(owner, key),
        (None, None) => SessionId::generate(inner.ports.clock.now()),
    }
}

/// Reads the branch to answer.
async fn find_place(
    inner: &Inner,
    key: &SessionKey,
    request: &TurnRequest,
) -> Result<Place, ChatError> {
    let from = match &request.input {
        TurnInput::Regenerate(seq) => ReadFrom::Entry(*seq),
        TurnInput::Message(_) => request.parent.map_or(ReadFrom::Head, ReadFrom::Entry),
    };
    let options = ReadOptions { from, limit: inner.config.limits.window_entries, unverified: true };
    let is_new = request.session.is_none() && request.idempotency_key.is_none();
    let found = if is_new { None } else { inner.ports.store.read(key, options).await? };
    let Some(branch) = found else {
        if from != ReadFrom::Head {
            return Err(ChatError::UnknownSession);
        }
        return Ok(Place::new_session());
    };
    if request.class == MemoryClass::Ephemeral && branch.session.class == MemoryClass::Durable {
        let message = "the session is `durable`, which stays; leave `memory` out, or name another";
        return Err(ChatError::Invalid(message.to_owned()));
    }
    let has_older = branch.has_older();
    let Branch { session, mut entries, summary } = branch;
    let mut parent = request.parent.or(session.head);
    if let TurnInput::Regenerate(seq) = &request.input {
        let user = entries.iter().rposition(is_question);
        let message = || format!("there is no user message at or before entry {seq}");
        entries.truncate(user.ok_or_else(|| ChatError::Invalid(message()))? + 1);
        parent = entries.last().map(|it| it.seq);
    }
    Ok(Place { session: Some(session), parent, entries, has_older, summary })
}

fn is_question(entry: &Entry) -> bool {
    entry.body.message.role == Role::User && entry.body.status != EntryStatus::Forgotten
}

/// Brings up to date what the request keeps with a session that was there before.
///
/// Only once the turn is open: a request that is refused or was made before changes nothing. The
/// turn goes on without it, since what the user said is stored.
async fn keep_with_session(
    inner: &Inner,
    key: &SessionKey,
    request: &TurnRequest,
    session: &Session,
) {
    let changed = |new: &Option<String>, old: &Option<String>| {
        new.clone().filter(|it| Some(it) != old.as_ref()).map(Some)
    };
    let metadata = request.metadata.clone().filter(|it| Some(it) != session.metadata.as_ref());
    let patch = SessionPatch {
        title: changed(&request.title, &session.title),
        metadata: metadata.map(Some),
        system: changed(&request.system, &session.system),
        recall: request.recall.filter(|it| *it != session.recall),
        ..SessionPatch::default()
    };
    if patch != SessionPatch::default()
        && let Err(error) = inner.ports.store.patch(key, patch).await
    {
        tracing::error!(%error, "could not keep a request's title, metadata or prompt");
    }
}

fn open_turn(
    inner: &Inner,
    key: &SessionKey,
    request: &TurnRequest,
    (json, place): (&RawJson, &Place),
) -> Result<OpenTurn, ChatError> {
    let now = inner.ports.clock.now();
    let id = TurnId::generate(now);
    let drafts = match &request.input {
        TurnInput::Message(parts) => {
            let message = Message { content: parts.clone(), ..Message::user("") };
            vec![Draft::new(EntryBody::complete(message, now))?]
        }
        TurnInput::Regenerate(_) => Vec::new(),
    };
    let append = Append {
        parent: place.parent,
        expect: place.session.as_ref().map_or(Expect::Absent, |it| Expect::At(it.token)),
        append_id: AppendId::of_turn(id, 0),
        fence: None,
        drafts,
    };
    Ok(OpenTurn {
        id,
        session: key.clone(),
        create: place.session.is_none().then(|| NewSession {
            title: request.title.clone(),
            metadata: request.metadata.clone(),
            system: request.system.clone(),
            model: request.model.clone(),
            recall: request.recall.unwrap_or_default(),
            class: request.class,
        }),
        idempotency: request.idempotency(json),
        request: json.clone(),
        holder: inner.holder,
        lease: inner.config.limits.lease,
        append,
    })
}

/// Opens the turn; where the store does not say whether it did, asks again for the same turn.
async fn ask(inner: &Inner, turn: OpenTurn) -> Result<Opened, MemoryError> {
    let mut unknown = None;
    for _ in 0..=UNKNOWN_TRIES {
        match inner.ports.store.open(turn.clone()).await {
            Err(error) if error.kind() == MemoryErrorKind::OutcomeUnknown => {
                tracing::warn!(turn.id = %turn.id, %error, "asking again");
                unknown = Some(error);
            }
            // A store that cannot be asked any more does not undo what it may have done.
            Err(error) if error.is_transient() => return Err(unknown.unwrap_or(error)),
            answer @ (Ok(_) | Err(_)) => return answer,
        }
    }
    Err(unknown
        .unwrap_or_else(|| MemoryError::new("open the turn", MemoryErrorKind::OutcomeUnknown)))
}

/// Returns when the session may be free, or after `left`.
async fn wait_for(inner: &Inner, turn: &TurnRecord, left: Duration) {
    match inner.live(&turn.session.owner, turn.id) {
        Some(live) if !live.log.is_ended() => {
            inner.wait_at_most(left, live.log.ended()).await;
        }
        Some(_) | None => inner.ports.clock.sleep(BUSY_POLL.min(left)).await,
    }
}
