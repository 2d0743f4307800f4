//! Export and import: what comes back is what went out, and twice is once.

use std::{error::Error as _, sync::Arc, time::Duration};

use brain_core::{
    chat::Message,
    ids::{Owner, Seq, SessionId, SessionKey},
    json::RawJson,
    memory::{
        Document, EntryBody, Expect, ExportedEntry, ExportedSession, ImportReport, ListOptions,
        MemoryClass, MemoryErrorKind, NewSession, OnConflict, Renamed, Restored, Search, Summary,
        TreeError, export, import,
    },
    time::Timestamp,
};
use futures_util::TryStreamExt;

use super::subject::{Subject, ann, append, bob, calls, closing, draft, draft_of, key, kind};

pub(super) async fn exported(it: &Subject, owner: Owner) -> Vec<ExportedSession> {
    export(Arc::clone(&it.store), owner).try_collect().await.unwrap()
}

async fn imported(it: &Subject, sessions: &[ExportedSession], how: OnConflict) -> ImportReport {
    let sessions = Document::new(sessions.to_vec()).into_stream();
    import(&*it.store, &bob(), sessions, how).await.unwrap()
}

fn json(sessions: Vec<ExportedSession>) -> String {
    serde_json::to_string(&Document::new(sessions)).unwrap()
}

fn entry(seq: u64, parent: Option<u64>, message: Message) -> ExportedEntry {
    let entry = EntryBody::complete(message, Timestamp::from_millis(1000));
    ExportedEntry { seq: Seq(seq), parent: parent.map(Seq), entry }
}

/// A session as another installation may have exported it: two branches, a gap in the positions.
fn foreign() -> ExportedSession {
    let said = |seq, parent, text: &str| entry(seq, parent, Message::user(text));
    ExportedSession {
        id: SessionId::new("foreign").unwrap(),
        title: Some("title".to_owned()),
        has_default_title: false,
        metadata: Some(RawJson::parse(r#"{"n":1.50}"#).unwrap()),
        system: Some("system".to_owned()),
        model: Some("a/model".to_owned()),
        recall: true,
        class: MemoryClass::Durable,
        created_at: Timestamp::from_millis(1000),
        updated_at: Timestamp::from_millis(2000),
        head: Some(Seq(5)),
        summaries: vec![Summary {
            at: Seq(5),
            text: "a, then c".to_owned(),
            model: None,
            created_at: Timestamp::from_millis(2500),
        }],
        entries: vec![
            said(1, None, "a"),
            said(2, Some(1), "b"),
            said(5, Some(1), "c"),
            said(9, Some(2), "d"),
        ],
    }
}

/// A restored session has its positions, branches, head and times, and goes on from there.
pub async fn a_restored_session_is_as_it_was(it: Subject) {
    let key = key("foreign");
    assert_eq!(it.store.restore(&key, &foreign()).await.unwrap(), Restored::Created);
    assert_eq!(exported(&it, ann()).await, [foreign()]);
    assert_eq!(it.texts(&key).await, ["a", "c"]);
    assert_eq!(it.texts_from(&key, Seq(9)).await, ["a", "b", "d"]);
    let hits = it.store.search(&ann(), &Search::words("d", 9)).await.unwrap();
    assert_eq!(hits[0].entry.seq, Seq(9));
    assert_eq!(it.say(&key, "next").await.last, Some(Seq(10)));
    assert_eq!(it.texts(&key).await, ["a", "c", "next"]);
}

/// Restoring the same again changes nothing, not even the token.
pub async fn restoring_again_changes_nothing(it: Subject) {
    let key = key("foreign");
    it.store.restore(&key, &foreign()).await.unwrap();
    let before = it.session(&key).await;
    it.clock.advance(Duration::from_secs(1));
    assert_eq!(it.store.restore(&key, &foreign()).await.unwrap(), Restored::Unchanged);
    assert_eq!(it.session(&key).await, before);
}

/// A session that is there in part gets the rest, and its head, title and times.
pub async fn a_prefix_is_extended(it: Subject) {
    let key = key("foreign");
    let mut older = foreign();
    older.entries.truncate(2);
    older.summaries.clear();
    older.head = Some(Seq(2));
    older.title = None;
    older.updated_at = older.created_at;
    it.store.restore(&key, &older).await.unwrap();
    let before = it.session(&key).await;
    assert_eq!(it.store.restore(&key, &foreign()).await.unwrap(), Restored::Extended(2));
    assert_eq!(exported(&it, ann()).await, [foreign()]);
    assert_ne!(it.session(&key).await.token, before.token);
    assert_eq!(it.store.restore(&key, &older).await.unwrap_err().kind(), MemoryErrorKind::Conflict);
    assert_eq!(exported(&it, ann()).await, [foreign()]);
}

/// A session that is another one under the same name is left alone.
pub async fn another_content_conflicts(it: Subject) {
    let key = key("foreign");
    it.store.restore(&key, &foreign()).await.unwrap();
    let before = it.session(&key).await;
    let mut others = [foreign(), foreign(), foreign(), foreign(), foreign()];
    others[0].entries[1].entry = EntryBody::complete(Message::user("B"), Timestamp::from_millis(0));
    others[1].title = None;
    others[2].entries[3].parent = Some(Seq(5));
    others[3].created_at = Timestamp::from_millis(1);
    others[3].entries.push(entry(10, None, Message::user("more")));
    others[4].class = MemoryClass::Ephemeral;
    others[4].entries.push(entry(10, None, Message::user("more")));
    for other in &others {
        assert_eq!(kind(it.store.restore(&key, other).await), MemoryErrorKind::Conflict);
    }
    assert_eq!(it.session(&key).await, before);
    assert_eq!(exported(&it, ann()).await, [foreign()]);
}

/// An empty session of the same name is not taken over, unless it is the same one.
pub async fn an_empty_session_is_a_content_too(it: Subject) {
    it.store.create(&key("foreign"), NewSession::default()).await.unwrap();
    let refused = it.store.restore(&key("foreign"), &foreign()).await;
    assert_eq!(kind(refused), MemoryErrorKind::Conflict);
    let empty = exported(&it, ann()).await.remove(0);
    assert_eq!(it.store.restore(&key("foreign"), &empty).await.unwrap(), Restored::Unchanged);
    let more = ExportedSession { created_at: empty.created_at, ..foreign() };
    assert_eq!(it.store.restore(&key("foreign"), &more).await.unwrap(), Restored::Extended(4));
}

/// Nothing is restored under a running turn.
pub async fn an_open_turn_is_not_restored_over(it: Subject) {
    let key = key("foreign");
    it.store.restore(&key, &foreign()).await.unwrap();
    let turn = it.start(&key, "q").await;
    let mut more = exported(&it, ann()).await.remove(0);
    more.entries.push(entry(11, Some(10), Message::user("more")));
    assert_eq!(kind(it.store.restore(&key, &more).await), MemoryErrorKind::Conflict);
    it.store.close(closing(&turn, "a")).await.unwrap();
    assert_eq!(it.texts(&key).await, ["a", "c", "q", "a"]);
}

/// Nothing is imported over a session with an open turn, nor beside it under another name: it is
/// refused, and comes in as it would have once the turn is over.
pub async fn a_session_with_an_open_turn_is_no_conflict(it: Subject) {
    let theirs = SessionKey::new(bob(), SessionId::new("foreign").unwrap());
    it.store.restore(&theirs, &foreign()).await.unwrap();
    let turn = it.start(&theirs, "q").await;
    let now = exported(&it, bob()).await;
    for how in [OnConflict::Refuse, OnConflict::Rename] {
        let report = imported(&it, &now, how).await;
        let [refused] = &report.refused[..] else { panic!("{report:?}") };
        assert_eq!((refused.id.as_str(), refused.code), ("foreign", "turn_in_progress"));
        assert!(refused.why.contains("`foreign` has a turn that is not over"), "{}", refused.why);
        let others = ImportReport { refused: Vec::new(), ..report };
        assert_eq!(others, ImportReport::default());
    }
    it.store.close(closing(&turn, "a")).await.unwrap();
    let over = exported(&it, bob()).await;
    let again = imported(&it, &over, OnConflict::Rename).await;
    assert_eq!(again, ImportReport { unchanged: 1, ..ImportReport::default() });
    let report = imported(&it, &now, OnConflict::Rename).await;
    assert_eq!((report.created, report.renamed.len()), (1, 1));
}

/// What is no tree is refused whole, and the error names the position.
pub async fn what_is_no_tree_is_refused(it: Subject) {
    let user = || Message::user("x");
    let bad: [(&str, Vec<ExportedEntry>, Option<u64>); 9] = [
        ("position 0", vec![entry(0, None, user())], None),
        ("same position", vec![entry(1, None, user()), entry(1, None, user())], None),
        ("falling positions", vec![entry(2, None, user()), entry(1, None, user())], None),
        ("missing parent", vec![entry(1, None, user()), entry(3, Some(2), user())], None),
        ("own parent", vec![entry(1, Some(1), user())], None),
        ("child first", vec![entry(1, Some(2), user()), entry(2, None, user())], None),
        ("missing head", vec![entry(1, None, user())], Some(2)),
        ("head of nothing", Vec::new(), Some(1)),
        ("position too large", vec![entry(u64::MAX, None, user())], None),
    ];
    for (what, entries, head) in bad {
        let (head, summaries) = (head.map(Seq), Vec::new());
        let session = ExportedSession { entries, head, summaries, ..foreign() };
        let refused = it.store.restore(&key("bad"), &session).await.unwrap_err();
        assert_eq!(refused.kind(), MemoryErrorKind::UnknownParent, "{what}");
        let fault = refused.source().and_then(|it| it.downcast_ref::<TreeError>());
        assert!(fault.is_some(), "{what}: {refused:?}");
    }
    let entries = vec![entry(1, None, calls(&["a"])), entry(2, Some(1), Message::tool("b", ""))];
    let summaries = Vec::new();
    let session = ExportedSession { entries, head: Some(Seq(2)), summaries, ..foreign() };
    let refused = it.store.restore(&key("bad"), &session).await;
    assert_eq!(kind(refused), MemoryErrorKind::InsideToolRound);
    for at in [0, 3, 10] {
        let mut session = foreign();
        session.summaries[0].at = Seq(at);
        let refused = it.store.restore(&key("bad"), &session).await;
        assert_eq!(kind(refused), MemoryErrorKind::UnknownParent, "a summary at {at}");
    }
    assert_eq!(it.store.session(&key("bad")).await.unwrap(), None);
}

/// Many sessions with all there is: branches, rounds, metadata, times, classes, empty ones.
async fn fill(it: &Subject) {
    let new = NewSession {
        title: Some("t".to_owned()),
        metadata: Some(RawJson::parse(r#"{"b":1e2,"a":"\u0000"}"#).unwrap()),
        class: MemoryClass::Ephemeral,
        ..NewSession::default()
    };
    it.store.create(&key("made"), new).await.unwrap();
    it.store.restore(&key("foreign"), &foreign()).await.unwrap();
    for n in 0..20 {
        it.clock.advance(Duration::from_millis(n % 3));
        it.say(&key(&format!("session {n}")), &format!("hello {n}")).await;
    }
    let round = [calls(&["a"]), Message::tool("a", "r \u{0}"), Message::assistant("done")];
    it.add(&key("session 3"), round.map(draft_of).into()).await;
    it.store
        .append(&key("session 3"), append(Some(Seq(1)), Expect::Attach, "aside"))
        .await
        .unwrap();
    let token = it.session(&key("session 3")).await.token;
    it.store.move_head(&key("session 3"), token, Some(Seq(1))).await.unwrap();
    it.add(&key("session 4"), (0..1200).map(|n| draft(&n.to_string())).collect()).await;
    let turn = it.start(&key("session 5"), "q").await;
    it.store.close(closing(&turn, "a")).await.unwrap();
}

/// Export, import and export again give the same bytes.
pub async fn a_round_trip_keeps_every_byte(it: Subject) {
    fill(&it).await;
    let first = exported(&it, ann()).await;
    let text = json(first.clone());
    let read: Document = serde_json::from_str(&text).unwrap();
    assert_eq!(read.sessions, first);
    it.clock.advance(Duration::from_secs(3600));
    let report = imported(&it, &read.sessions, OnConflict::Refuse).await;
    assert_eq!(report, ImportReport { created: 22, ..ImportReport::default() });
    assert_eq!(json(exported(&it, bob()).await), text);
    assert_eq!(json(exported(&it, ann()).await), text);
}

/// Sessions are exported by (made, id), oldest first; an owner without any exports none.
pub async fn an_export_is_in_order(it: Subject) {
    fill(&it).await;
    let sessions = exported(&it, ann()).await;
    let keys: Vec<_> = sessions.iter().map(|it| (it.created_at, it.id.clone())).collect();
    assert!(keys.is_sorted() && keys.len() == 22, "{keys:?}");
    assert_eq!(exported(&it, Owner::new("nobody").unwrap()).await, []);
}

/// Importing twice doubles nothing, renamed sessions included.
pub async fn importing_twice_doubles_nothing(it: Subject) {
    let theirs = SessionKey::new(bob(), SessionId::new("foreign").unwrap());
    it.say(&theirs, "taken by another").await;
    let to = SessionId::new("foreign (imported 2)").unwrap();
    let renamed = vec![Renamed { from: theirs.id.clone(), to: to.clone() }];
    let first = imported(&it, &[foreign()], OnConflict::Rename).await;
    assert_eq!(first, ImportReport { created: 1, renamed, ..ImportReport::default() });
    let again = imported(&it, &[foreign()], OnConflict::Rename).await;
    assert_eq!(again, ImportReport { unchanged: 1, ..ImportReport::default() });
    let listed = it.store.list(&bob(), ListOptions { before: None, limit: 9 }).await.unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!(it.texts(&theirs).await, ["taken by another"]);
    assert_eq!(it.texts(&SessionKey::new(bob(), to)).await, ["a", "c"]);
}

/// What cannot be imported is reported, and the rest is imported.
pub async fn an_import_reports_what_it_refuses(it: Subject) {
    let theirs = SessionKey::new(bob(), SessionId::new("foreign").unwrap());
    it.say(&theirs, "taken").await;
    let broken =
        ExportedSession { id: SessionId::new("broken").unwrap(), head: Some(Seq(77)), ..foreign() };
    let good = ExportedSession { id: SessionId::new("good").unwrap(), ..foreign() };
    let report = imported(&it, &[foreign(), broken, good], OnConflict::Refuse).await;
    let refused: Vec<_> = report.refused.iter().map(|it| (it.id.as_str(), it.code)).collect();
    assert_eq!(refused, [("foreign", "session_conflict"), ("broken", "unknown_entry")]);
    assert_eq!(report.refused[1].why, "the head is entry 77, which is not there");
    assert_eq!((report.created, report.extended, report.unchanged), (1, 0, 0));
    assert_eq!(it.texts(&theirs).await, ["taken"]);
}

/// A renamed session keeps within the length of an id.
pub async fn a_long_id_is_shortened_to_rename(it: Subject) {
    let id = SessionId::new("\u{e9}".repeat(256)).unwrap();
    it.say(&SessionKey::new(bob(), id.clone()), "taken").await;
    let report = imported(&it, &[ExportedSession { id, ..foreign() }], OnConflict::Rename).await;
    let to = &report.renamed[0].to;
    assert!(to.as_str().len() <= 512 && to.as_str().ends_with("\u{e9} (imported 2)"), "{to}");
}

/// A chain of ten thousand messages goes out and in.
pub async fn a_long_chain_is_restored(it: Subject) {
    let parent = |n: u64| (1 < n).then(|| n - 1);
    let entries = (1..=10_000).map(|n| entry(n, parent(n), Message::user(n.to_string()))).collect();
    let long = ExportedSession { entries, head: Some(Seq(10_000)), ..foreign() };
    it.store.restore(&key("foreign"), &long).await.unwrap();
    assert_eq!(exported(&it, ann()).await, [long]);
}
