//! Forgetting takes the bytes out of the files, or says that it could not yet.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use brain_core::{
    chat::{Message, ToolCall},
    ids::{HolderId, Seq, SessionKey, TurnId},
    json::RawJson,
    memory::{
        Append, CallRecord, CallState, Catalog, Checkpoint, Draft, EntryBody, Expect, Fence,
        Forget, Forgotten, MemoryErrorKind, MemoryStore, NewSession, OpenTurn, Opened, ReadOptions,
        SessionLog, Summary, Turns, Upkeep,
    },
    time::Timestamp,
};
use brain_testkit::ManualClock;
use memory_sqlite::{SqliteConfig, SqliteStore};
use rusqlite::Connection;

use crate::{config, draft, key, open, say};

pub(crate) const CANARY: &str = "the canary sings at midnight";

/// How many files of the folder hold this text in their bytes.
pub(crate) fn files_with(folder: &Path, text: &str) -> usize {
    let finder = memchr::memmem::Finder::new(text);
    let holds = |path: &Path| finder.find(&fs::read(path).unwrap()).is_some();
    fs::read_dir(folder).unwrap().filter(|it| holds(&it.as_ref().unwrap().path())).count()
}

fn files_with_canary(folder: &Path) -> usize {
    files_with(folder, CANARY)
}

/// Asks until nothing is pending.
pub(crate) async fn prove_forgotten(store: &SqliteStore, key: &SessionKey) {
    let start = Instant::now();
    while 0 < store.pending(key).await.unwrap() {
        assert!(start.elapsed() < Duration::from_secs(60), "still pending");
    }
}

async fn fill(store: &SqliteStore) {
    let drafts: Vec<_> =
        (0..50).map(|n| draft(&format!("{CANARY} {n} {}", "x".repeat(9_000)))).collect();
    let append = Append { drafts, ..say("canary", None, Expect::Absent) };
    store.append(&key("secret"), append).await.unwrap();
    store.append(&key("other"), say("kept", None, Expect::Absent)).await.unwrap();
}

fn tool_round() -> Vec<Draft> {
    let call = ToolCall {
        id: "c".to_owned(),
        name: "lookup".to_owned(),
        arguments: format!("{{\"q\":\"{CANARY}\"}}"),
        provider_id: None,
    };
    let asks = Message { tool_calls: vec![call], ..Message::assistant("") };
    let messages = [asks, Message::tool("c", CANARY), Message::assistant(CANARY)];
    let body = |it| EntryBody::complete(it, Timestamp::from_millis(0));
    messages.into_iter().map(|it| Draft::new(body(it)).unwrap()).collect()
}

/// Everything of a session that can hold text, with a turn that is not over.
async fn fill_everywhere(store: &SqliteStore, key: &SessionKey) {
    let new = NewSession {
        title: Some(CANARY.to_owned()),
        metadata: RawJson::parse(&format!("{{\"m\":\"{CANARY}\"}}")).ok(),
        system: Some(CANARY.to_owned()),
        ..NewSession::default()
    };
    store.create(key, new).await.unwrap();
    let round = Append { drafts: tool_round(), ..say("round", None, Expect::Absent) };
    let appended = store.append(key, round).await.unwrap();
    let summary = Summary {
        at: Seq(3),
        text: CANARY.to_owned(),
        model: None,
        created_at: Timestamp::from_millis(0),
    };
    let edition = store.session(key).await.unwrap().unwrap().edition;
    store.keep_summary(key, edition, summary).await.unwrap();
    let open = OpenTurn {
        id: TurnId::generate(Timestamp::from_millis(0)),
        session: key.clone(),
        create: None,
        idempotency: None,
        request: RawJson::parse(&format!("{{\"message\":\"{CANARY}\"}}")).unwrap(),
        holder: HolderId::random(),
        lease: Duration::from_secs(10),
        append: say(CANARY, appended.last, Expect::At(appended.token)),
    };
    let (id, holder) = (open.id, open.holder);
    assert!(matches!(store.open(open).await.unwrap(), Opened::Started { .. }));
    let started = tool_round().first().unwrap().body().message.tool_calls.first().unwrap().clone();
    let checkpoint = Checkpoint {
        text: CANARY.to_owned(),
        reasoning: CANARY.to_owned(),
        calls: vec![CallRecord { call: started, state: CallState::Started, result: None }],
        ..Checkpoint::default()
    };
    store.checkpoint(Fence { turn: id, holder }, checkpoint).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_forgotten_session_stays_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    fill(&store).await;
    fill_everywhere(&store, &key("everywhere")).await;
    assert_ne!(files_with_canary(folder.path()), 0);
    let forgotten = store.forget(&key("secret"), Forget::Always).await.unwrap();
    assert_eq!(forgotten, Forgotten { erased: 50, pending: 0 });
    let forgotten = store.forget(&key("everywhere"), Forget::Always).await.unwrap();
    assert_eq!(forgotten, Forgotten { erased: 4, pending: 0 });
    assert_eq!(files_with_canary(folder.path()), 0);
    assert_eq!(store.forget(&key("secret"), Forget::Always).await.unwrap(), Forgotten::default());
    let connection = Connection::open(folder.path().join("memory.db")).unwrap();
    let free: u32 =
        connection.pragma_query_value(None, "freelist_count", |row| row.get(0)).unwrap();
    assert_ne!(free, 0, "the pages that were searched include none that is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_entry_leaves_its_place_and_no_word() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let (key, plain) = (key("s"), Message::user("plain"));
    let plain = EntryBody::complete(plain, Timestamp::from_millis(0));
    let drafts = [vec![Draft::new(plain).unwrap()], tool_round()].concat();
    store.append(&key, Append { drafts, ..say("all", None, Expect::Absent) }).await.unwrap();
    for seq in 2..=4 {
        let erased = store.forget_entry(&key, Seq(seq)).await.unwrap();
        assert_eq!(erased, Forgotten { erased: 1, pending: 0 });
    }
    assert_eq!(store.forget_entry(&key, Seq(4)).await.unwrap(), Forgotten::default());
    assert_eq!(files_with_canary(folder.path()), 0);
    let branch = store.read(&key, ReadOptions::newest(9)).await.unwrap().unwrap();
    let texts: Vec<_> = branch.entries.iter().map(|it| it.body.message.joined_text()).collect();
    assert_eq!(texts, ["plain", "", "", ""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_the_past_makes_erasing_wait() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    fill(&store).await;
    let reader = Connection::open(folder.path().join("memory.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM messages").unwrap();
    let forgotten = store.forget(&key("secret"), Forget::Always).await.unwrap();
    assert_eq!(forgotten, Forgotten { erased: 50, pending: 50 });
    let again = store.forget(&key("secret"), Forget::Always).await.unwrap();
    assert_eq!(again, Forgotten { erased: 0, pending: 50 });
    // Others write and read meanwhile, and what they forget is pending too.
    store.append(&key("new"), say("new", None, Expect::Absent)).await.unwrap();
    let forgotten = store.forget(&key("other"), Forget::Always).await.unwrap();
    assert_eq!(forgotten, Forgotten { erased: 1, pending: 1 });
    reader.execute_batch("COMMIT").unwrap();
    drop(reader);
    for name in ["secret", "other"] {
        prove_forgotten(&store, &key(name)).await;
    }
    assert_eq!(files_with_canary(folder.path()), 0);
    store.health().await.unwrap();
}

/// Nobody asks again; it happens all the same.
#[tokio::test(flavor = "multi_thread")]
async fn erasing_goes_on_by_itself_when_the_reader_has_gone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    fill(&store).await;
    let reader = Connection::open(folder.path().join("memory.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM messages").unwrap();
    assert_ne!(store.forget(&key("secret"), Forget::Always).await.unwrap().pending, 0);
    drop(reader);
    let start = Instant::now();
    while 0 < files_with_canary(folder.path()) {
        assert!(start.elapsed() < Duration::from_secs(30), "nothing was erased");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A copy of a database in use is what a crash leaves.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_in_the_log_is_gone_after_opening() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    fill(&store).await;
    let reader = Connection::open(folder.path().join("memory.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM messages").unwrap();
    store.forget(&key("secret"), Forget::Always).await.unwrap();
    let crashed = tempfile::tempdir().unwrap();
    for name in ["memory.db", "memory.db-wal"] {
        fs::copy(folder.path().join(name), crashed.path().join(name)).unwrap();
    }
    assert_ne!(files_with_canary(crashed.path()), 0);
    let config: SqliteConfig = config(crashed.path());
    let again = SqliteStore::open(&config, Arc::new(ManualClock::new())).unwrap();
    prove_forgotten(&again, &key("secret")).await;
    assert_eq!(files_with_canary(crashed.path()), 0);
    again.health().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_session_is_gone_at_once_and_erased_while_others_write() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let long = key("long");
    let drafts = (0..12_000).map(|n| draft(&format!("{CANARY} {n}"))).collect();
    store.append(&long, Append { drafts, ..say("all", None, Expect::Absent) }).await.unwrap();
    let forgotten = store.forget(&long, Forget::Always).await.unwrap();
    assert_eq!(forgotten, Forgotten { erased: 12_000, pending: 12_000 });
    assert_eq!(store.session(&long).await.unwrap(), None);
    assert!(store.idle_since(Timestamp::from_millis(i64::MAX), 9).await.unwrap().is_empty());
    // The name is free, and who takes it keeps what it says.
    let new = store.append(&long, say("new", None, Expect::Absent)).await.unwrap();
    let again = store.append(&long, say("a", Some(Seq(9_000)), Expect::At(new.token))).await;
    assert_eq!(again.unwrap_err().kind(), MemoryErrorKind::UnknownParent);
    drop(store);

    // What was not done yet is done after the next start.
    let store = open(folder.path());
    let start = Instant::now();
    while 0 < files_with_canary(folder.path()) {
        assert!(start.elapsed() < Duration::from_secs(60), "nothing was erased");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let branch = store.read(&long, ReadOptions::newest(9)).await.unwrap().unwrap();
    assert_eq!(branch.entries[0].body.message.joined_text(), "new");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_stay_until_they_are_settled() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for name in [CANARY, "b", "b"] {
        store.create(&key(name), NewSession::default()).await.unwrap();
        store.forget(&key(name), Forget::Always).await.unwrap();
    }
    assert_eq!(store.unsettled(9).await.unwrap(), [key(CANARY), key("b")]);
    assert_eq!(store.unsettled(1).await.unwrap(), [key(CANARY)]);
    store.settle(&key(CANARY)).await.unwrap();
    assert_eq!(store.unsettled(9).await.unwrap(), [key("b")]);
    let start = Instant::now();
    while 0 < files_with_canary(folder.path()) {
        assert!(start.elapsed() < Duration::from_secs(30), "the name is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
