//! What is kept for searches: counted to the byte, and copied in pages.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::FutureExt;
use proptest::prelude::*;

use super::{super::InMemoryStore, Looked, PAGE, VECTORS};
use crate::{
    chat::Message,
    ids::{AppendId, HolderId, Owner, Seq, SessionId, SessionKey, TurnId},
    json::RawJson,
    memory::{
        Append, Authority, Catalog, Checkpoint, CloseTurn, Draft, Embedded, EntryBody, Expect,
        ExportedEntry, ExportedSession, Fence, Forget, MemoryClass, NewSession, OpenTurn, Opened,
        Portable, QueryVector, Recall, Search, SessionLog, SessionPatch, Summary, TurnState, Turns,
    },
    recall::{Conversation, Place, Vector, closeness},
    time::{Clock, Timestamp},
};

/// It stands still, but for what a test sets.
#[derive(Debug, Default)]
struct Still(std::sync::Mutex<Duration>);

#[async_trait]
impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1).plus(self.elapsed())
    }

    fn elapsed(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    async fn sleep(&self, _: Duration) {}
}

fn owner() -> Owner {
    Owner::new("o").unwrap()
}

fn key(session: u8) -> SessionKey {
    SessionKey::new(owner(), SessionId::new(format!("s{session}")).unwrap())
}

fn draft(text: &str) -> Draft {
    let body = EntryBody::complete(Message::user(text), Timestamp::from_millis(1));
    Draft::new(body).unwrap()
}

fn append(id: &str, parent: Option<Seq>, expect: Expect, texts: &[String]) -> Append {
    let drafts = texts.iter().map(|it| draft(it)).collect();
    Append { parent, expect, append_id: AppendId::new(id).unwrap(), fence: None, drafts }
}

fn embedded(session: u8, seq: u64, values: &[f32]) -> Embedded {
    Embedded { session: key(session), seq: Seq(seq), values: values.into() }
}

/// What happens to a store.
#[derive(Clone, Debug)]
enum Act {
    Append(u8, Vec<String>),
    Turn(u8, String),
    Restore(u8, u64),
    Embed(u8, u64, usize),
    Summarise(u8, u64, String),
    Title(u8, Option<String>),
    ForgetEntry(u8, u64),
    Forget(u8),
    Wait(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let (session, seq) = (0..3_u8, 1..6_u64);
    let text = "[a-z]{1,5}( [a-z]{1,5}){0,9}";
    prop_oneof![
        (session.clone(), prop::collection::vec(text, 1..4)).prop_map(|(s, t)| Act::Append(s, t)),
        (session.clone(), text).prop_map(|(s, t)| Act::Turn(s, t)),
        (session.clone(), 0..5_u64).prop_map(|(s, n)| Act::Restore(s, n)),
        (session.clone(), seq.clone(), 0..9_usize).prop_map(|(s, n, l)| Act::Embed(s, n, l)),
        (session.clone(), seq.clone(), text).prop_map(|(s, n, t)| Act::Summarise(s, n, t)),
        (session.clone(), prop::option::of(text)).prop_map(|(s, t)| Act::Title(s, t)),
        (session.clone(), seq).prop_map(|(s, n)| Act::ForgetEntry(s, n)),
        session.prop_map(Act::Forget),
        (1..9_u64).prop_map(Act::Wait),
    ]
}

fn exported(session: u8, entries: u64) -> ExportedSession {
    let time = Timestamp::from_millis(1);
    let entry = |n: u64| ExportedEntry {
        seq: Seq(n),
        parent: (1 < n).then(|| Seq(n - 1)),
        entry: EntryBody::complete(Message::user(format!("imported {n}")), time),
    };
    let summary =
        |n: u64| Summary { at: Seq(n), text: "x".repeat(9), model: None, created_at: time };
    ExportedSession {
        id: key(session).id,
        title: Some("imported".to_owned()),
        has_default_title: true,
        metadata: None,
        system: None,
        model: None,
        recall: false,
        class: MemoryClass::Durable,
        created_at: time,
        updated_at: time,
        head: (0 < entries).then_some(Seq(entries)),
        summaries: (1..=entries).map(summary).collect(),
        entries: (1..=entries).map(entry).collect(),
    }
}

/// Does it; what is refused is no matter.
async fn act_on(store: &InMemoryStore, clock: &Still, number: usize, act: Act) {
    let name = format!("append {number}");
    match act {
        Act::Append(session, texts) => {
            let append = append(&name, None, Expect::Attach, &texts);
            if store.append(&key(session), append).await.is_err() {
                let first = self::append(&name, None, Expect::Absent, &texts);
                store.append(&key(session), first).await.ok();
            }
        }
        Act::Turn(session, text) => turn(store, session, &name, text).await,
        Act::Restore(session, entries) => {
            store.restore(&key(session), &exported(session, entries)).await.ok();
        }
        Act::Embed(session, seq, length) => {
            let model = if length < 4 { "model" } else { "another model" };
            let embedded = embedded(session, seq, &vec![0.5; length]);
            store.keep_embeddings(model, vec![embedded]).await.ok();
        }
        Act::Summarise(session, seq, text) => {
            let Some(found) = store.session(&key(session)).await.unwrap() else { return };
            let created_at = Timestamp::from_millis(1);
            let summary = Summary { at: Seq(seq), text, model: Some("m".into()), created_at };
            store.keep_summary(&key(session), found.edition, summary).await.ok();
        }
        Act::Title(session, title) => {
            let patch = SessionPatch { title: Some(title), ..SessionPatch::default() };
            store.patch(&key(session), patch).await.ok();
        }
        Act::ForgetEntry(session, seq) => {
            store.forget_entry(&key(session), Seq(seq)).await.ok();
        }
        Act::Forget(session) => {
            store.forget(&key(session), Forget::Always).await.unwrap();
        }
        Act::Wait(seconds) => *clock.0.lock().unwrap() += Duration::from_secs(seconds),
    }
}

/// Opens a turn, and ends it if it was opened.
async fn turn(store: &InMemoryStore, session: u8, name: &str, text: String) {
    let (id, holder) = (TurnId::generate(Timestamp::from_millis(1)), HolderId::random());
    let open = OpenTurn {
        id,
        session: key(session),
        create: Some(NewSession::default()),
        idempotency: None,
        request: RawJson::parse("{}").unwrap(),
        holder,
        lease: Duration::from_secs(5),
        append: append(name, None, Expect::Absent, std::slice::from_ref(&text)),
    };
    if let Ok(Opened::Started { .. }) = store.open(open).await {
        let checkpoint = Checkpoint { text: text.clone(), ..Checkpoint::default() };
        store.checkpoint(Fence { turn: id, holder }, checkpoint).await.unwrap();
        let append = append(&format!("{name} end"), Some(Seq(1)), Expect::Attach, &[text]);
        let close = CloseTurn {
            turn: id,
            authority: Authority::Holder(holder),
            state: TurnState::Completed,
            append,
            error: None,
            usage: None,
            context: None,
            last_event: 1,
        };
        store.close(close).await.ok();
    }
}

proptest! {
    #[test]
    fn what_things_take_is_counted_whatever_happens(
        acts in prop::collection::vec(act(), 1..60),
        budget in prop::option::of(4_000..40_000_usize),
    ) {
        let clock = Arc::new(Still::default());
        let store = InMemoryStore::new(clock.clone()).with_ttl(Some(Duration::from_secs(20)));
        let store = match budget {
            Some(bytes) => store.with_budget(bytes),
            None => store,
        };
        for (number, act) in acts.into_iter().enumerate() {
            act_on(&store, &clock, number, act).now_or_never().unwrap();
            let state = store.state();
            prop_assert_eq!(state.room.used(), state.weighed());
        }
    }
}

/// A store with one session of so many entries, each with a vector.
async fn embedded_store(sessions: u8, entries: usize) -> InMemoryStore {
    let store = InMemoryStore::new(Arc::new(Still::default()));
    for session in 0..sessions {
        let texts: Vec<_> = (0..entries).map(|it| format!("word{it} said here")).collect();
        store.append(&key(session), append("a", None, Expect::Absent, &texts)).await.unwrap();
        let angle = |it: u64| if it == 1 { [1.0, 0.0] } else { [0.0, 1.0] };
        let vectors = (1..=entries as u64).map(|it| embedded(session, it, &angle(it)));
        store.keep_embeddings("m", vectors.collect()).await.unwrap();
    }
    store
}

fn asking(text: &str) -> Search {
    let vector = QueryVector { model: "m".to_owned(), values: [1.0, 0.0].into() };
    Search { vector: Some(vector), ..Search::words(text, 5) }
}

#[test]
fn a_search_lets_others_write_between_two_pages() {
    let store = embedded_store(1, 2 * PAGE).now_or_never().unwrap();
    let owner = owner();
    let search = asking("word1");
    let mut found = Box::pin(store.search(&owner, &search));
    assert!(found.as_mut().now_or_never().is_none(), "it gives way");
    let forgotten = store.forget_entry(&key(0), Seq(2)).now_or_never();
    assert_eq!(forgotten.unwrap().unwrap().erased, 1);
    let hits = std::iter::repeat_with(|| found.as_mut().now_or_never()).take(100).flatten().next();
    let hits: Vec<Seq> = hits.unwrap().unwrap().iter().map(|it| it.entry.seq).collect();
    assert!(hits.contains(&Seq(1)) && !hits.contains(&Seq(2)), "{hits:?}");
}

#[test]
fn a_search_gives_way_between_many_short_sessions() {
    let store = InMemoryStore::new(Arc::new(Still::default()));
    for session in 0..PAGE {
        let id = SessionId::new(format!("short {session}")).unwrap();
        let append = append("a", None, Expect::Absent, &["word1".to_owned()]);
        let key = SessionKey::new(owner(), id);
        store.append(&key, append).now_or_never().unwrap().unwrap();
    }
    let (owner, search) = (owner(), Search::words("word1", 5));
    let mut found = Box::pin(store.search(&owner, &search));
    assert!(found.as_mut().now_or_never().is_none(), "it gives way");
}

#[test]
fn pages_make_no_difference_to_what_is_close() {
    let entries = 2 * PAGE + 7;
    let vectors: Vec<(u64, Arc<[f32]>)> =
        (0..entries as u64).map(|it| (it, [(it as f32).sin(), (it as f32).cos()].into())).collect();
    let places = (0..entries as u64).map(|position| Place { position, ..Place::default() });
    let conversation = Conversation { words: 0, places: places.collect() };
    let mut looked = Looked { conversation, vectors: vectors.clone() };
    let compared = async { looked.compare(&[0.6, 0.8], usize::MAX).await };
    let mut compared = Box::pin(compared);
    let count = std::iter::repeat_with(|| compared.as_mut().now_or_never()).flatten().next();
    drop(compared);
    assert_eq!(count, Some(entries));
    let values =
        |(position, it): &(u64, Arc<[f32]>)| Vector { position: *position, values: it.to_vec() };
    let whole: Vec<Vector> = vectors.iter().map(values).collect();
    let found: Vec<f32> = looked.conversation.places.iter().filter_map(|it| it.closeness).collect();
    assert_eq!(found, closeness(&[0.6, 0.8], &whole));
}

#[test]
fn the_newest_vectors_are_compared_and_no_more() {
    let mut looked = Looked::default();
    for position in 0..VECTORS as u64 + 9 {
        looked.conversation.places.push(Place { position, ..Place::default() });
        looked.vectors.push((position, [1.0].into()));
    }
    let mut compared = Box::pin(async { looked.compare(&[1.0], VECTORS).await });
    let count = std::iter::repeat_with(|| compared.as_mut().now_or_never()).flatten().next();
    drop(compared);
    assert_eq!(count, Some(VECTORS));
    let places = &looked.conversation.places;
    let first = places.iter().position(|it| it.closeness.is_some());
    assert_eq!(first, Some(9));
}
