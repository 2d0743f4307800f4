//! Export and import while the store is used, and documents that are none of ours.

use std::sync::Arc;

use brain_core::{
    chat::Message,
    ids::{AppendId, Owner, SessionId, SessionKey},
    memory::{
        Append, Catalog, Document, Draft, EntryBody, Expect, ExportPart, ExportedSession, Forget,
        InMemoryStore, MemoryError, MemoryErrorKind, OnConflict, SessionLog, export,
        export_by_scan, import,
    },
    time::Timestamp,
};
use brain_testkit::{FaultyStore, ManualClock, Operation};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};

fn store() -> Arc<FaultyStore> {
    Arc::new(FaultyStore::new(Arc::new(InMemoryStore::new(Arc::new(ManualClock::new())))))
}

fn key(id: &str) -> SessionKey {
    SessionKey::new(Owner::local(), SessionId::new(id).unwrap())
}

async fn say(store: &FaultyStore, id: &str, text: &str) {
    let session = store.session(&key(id)).await.unwrap();
    let body = EntryBody::complete(Message::user(text), Timestamp::from_millis(0));
    let append = Append {
        parent: session.as_ref().and_then(|it| it.head),
        expect: session.map_or(Expect::Absent, |it| Expect::At(it.token)),
        append_id: AppendId::new(format!("{id} {text}")).unwrap(),
        fence: None,
        drafts: vec![Draft::new(body).unwrap()],
    };
    store.append(&key(id), append).await.unwrap();
}

/// Exports, and does something while the first session's entries are read.
async fn exported(store: &Arc<FaultyStore>, meanwhile: impl AsyncFnOnce()) -> Vec<ExportedSession> {
    let gate = store.hold(Operation::Scan, 1);
    let parts = export_by_scan((**store).clone(), Owner::local());
    let mut parts = parts.try_collect::<Vec<_>>();
    assert!((&mut parts).now_or_never().is_none());
    meanwhile().await;
    gate.open();
    let mut sessions = Vec::new();
    for part in parts.await.unwrap() {
        match part {
            ExportPart::Session(head) => sessions.push(head.with(Vec::new())),
            ExportPart::Entry(entry) => sessions.last_mut().unwrap().entries.push(entry),
        }
    }
    sessions
}

fn texts(session: &ExportedSession) -> Vec<String> {
    session.entries.iter().map(|it| it.entry.message.joined_text()).collect()
}

#[tokio::test]
async fn a_session_forgotten_meanwhile_is_left_out() {
    let store = store();
    say(&store, "a", "one").await;
    say(&store, "b", "two").await;
    let sessions = exported(&store, async || {
        store.forget(&key("a"), Forget::Always).await.unwrap();
    })
    .await;
    assert_eq!(sessions.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["b"]);
}

#[tokio::test]
async fn a_session_that_goes_on_meanwhile_is_exported_as_it_was() {
    let store = store();
    say(&store, "a", "one").await;
    let before = exported(&store, async || ()).await;
    let sessions = exported(&store, async || say(&store, "a", "two").await).await;
    assert_eq!(sessions, before);
    assert_eq!(texts(&sessions[0]), ["one"]);
}

#[tokio::test]
async fn a_name_used_again_meanwhile_is_never_half_of_each() {
    let store = store();
    say(&store, "a", "old one").await;
    say(&store, "a", "old two").await;
    let sessions = exported(&store, async || {
        store.forget(&key("a"), Forget::Always).await.unwrap();
        say(&store, "a", "new").await;
    })
    .await;
    assert_eq!(texts(&sessions[0]), ["new"]);
}

#[tokio::test]
async fn an_export_ends_with_its_first_error() {
    for operation in [Operation::List, Operation::Session, Operation::Scan] {
        let store = store();
        say(&store, "a", "one").await;
        say(&store, "b", "two").await;
        store.break_down(operation, MemoryErrorKind::Unavailable);
        let items: Vec<_> = export_by_scan((*store).clone(), Owner::local()).collect().await;
        assert_eq!(items.len(), 1, "{operation:?}");
        assert_eq!(items[0].as_ref().unwrap_err().kind(), MemoryErrorKind::Unavailable);
    }
}

#[tokio::test]
async fn an_import_ends_with_the_first_error_and_can_be_repeated() {
    let (from, to) = (store(), store());
    for id in ["a", "b", "c"] {
        say(&from, id, "hi").await;
    }
    let sessions = || export(from.clone(), Owner::local());
    to.fail(Operation::Restore, 2, MemoryErrorKind::Unavailable);
    let error = import(&*to, &Owner::local(), sessions(), OnConflict::Refuse).await.unwrap_err();
    assert_eq!(error.kind(), MemoryErrorKind::Unavailable);
    let report = import(&*to, &Owner::local(), sessions(), OnConflict::Refuse).await.unwrap();
    assert_eq!((report.created, report.unchanged), (2, 1));
    let cut = stream::iter([Err(MemoryError::new("read the file", MemoryErrorKind::Corrupt))]);
    let error = import(&*to, &Owner::local(), cut, OnConflict::Refuse).await.unwrap_err();
    assert_eq!(error.kind(), MemoryErrorKind::Corrupt);
}

#[test]
fn a_document_of_another_kind_is_refused() {
    let good = serde_json::to_string(&Document::new(Vec::new())).unwrap();
    assert_eq!(good, r#"{"format":"codexd-memory","v":1,"sessions":[]}"#);
    serde_json::from_str::<Document>(&good).unwrap();
    let bad = [
        good.replace("codexd-memory", "other"),
        good.replace("\"v\":1", "\"v\":2"),
        good.replace("\"sessions\"", "\"seasons\""),
        good.replace("\"v\":1,", ""),
        good.replace("[]", r#"[{"id":""}]"#),
        format!("\u{feff}{good}"),
        good[..good.len() - 1].to_owned(),
    ];
    for text in bad {
        assert!(serde_json::from_str::<Document>(&text).is_err(), "{text}");
    }
}
