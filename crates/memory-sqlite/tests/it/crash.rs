//! Processes: one that is killed in the middle of a burst, and several on one file.
//!
//! A child is this test binary once more; the environment tells it what to do.

use std::{
    cell::Cell,
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use brain_core::{
    ids::{AppendId, HolderId, Owner, Seq, SessionId, SessionKey, TurnId},
    json::RawJson,
    memory::{
        Append, Authority, Catalog, Checkpoint, CloseTurn, Expect, Fence, Forget, ListOptions,
        MemoryErrorKind, MemoryStore, NewSession, OpenTurn, Opened, ReadOptions, SessionLog,
        TurnIndex, TurnState, Turns,
    },
    time::Timestamp,
};
use memory_sqlite::SqliteStore;
use rusqlite::Connection;
use tokio::task::JoinSet;

use crate::{
    draft,
    erase::{CANARY, files_with, prove_forgotten},
    key, open, say,
};

const FOLDER: &str = "MEMORY_SQLITE_TEST_FOLDER";
const ROLE: &str = "MEMORY_SQLITE_TEST_ROLE";
/// The last number of each kind and task.
type Acknowledged = BTreeMap<(String, String), u64>;

const WRITERS: usize = 8;
const PROCESSES: usize = 4;
const APPENDS: usize = 500;

#[expect(clippy::disallowed_methods, reason = "how a test speaks to the process it started")]
fn told(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

pub(crate) fn child(folder: &Path, role: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::a_child_does_as_it_is_told", "--nocapture"])
        .env(FOLDER, folder)
        .env(ROLE, role)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// Not a test of its own: what the other processes run.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_does_as_it_is_told() {
    let (Some(folder), Some(role)) = (told(FOLDER), told(ROLE)) else { return };
    let folder = Path::new(&folder);
    match role.as_str() {
        "burst" => burst(folder).await,
        "make" => make(folder),
        "open" => drop(open(folder)),
        "forget" => forget_all(folder, |erased| tell("forget", 0, erased)).await,
        name => share(folder, name).await,
    }
}

fn tell(what: &str, who: usize, number: u64) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "acknowledged {what} {who} {number}").unwrap();
}

/// Appends, answers turns and forgets sessions from many tasks until it is killed, and says what
/// was acknowledged.
async fn burst(folder: &Path) {
    let store = Arc::new(open(folder));
    let mut tasks = JoinSet::new();
    for writer in 0..WRITERS {
        tasks.spawn(append_for_ever(Arc::clone(&store), writer));
    }
    tasks.spawn(answer_for_ever(Arc::clone(&store)));
    tasks.spawn(forget_for_ever(Arc::clone(&store)));
    tasks.join_next().await.unwrap().unwrap();
}

async fn append_for_ever(store: Arc<SqliteStore>, writer: usize) {
    let session = format!("session {writer}");
    let mut parent = None;
    loop {
        let expect = if parent.is_none() { Expect::Absent } else { Expect::Attach };
        let next = parent.map_or(1, |Seq(it)| it + 1);
        let append = say(&format!("{session}: {next}"), parent, expect);
        parent = store.append(&key(&session), append).await.unwrap().last;
        tell("append", writer, next);
    }
}

/// Turns of two entries each, in one session.
async fn answer_for_ever(store: Arc<SqliteStore>) {
    let (mut parent, mut expect) = (None, Expect::Absent);
    loop {
        let next = parent.map_or(1, |Seq(it)| it + 1);
        let open = OpenTurn {
            id: TurnId::generate(Timestamp::from_millis(0)),
            session: key("turns"),
            create: Some(NewSession::default()),
            idempotency: None,
            request: RawJson::parse("{}").unwrap(),
            holder: HolderId::random(),
            lease: Duration::from_secs(10),
            append: say(&format!("turns: {next}"), parent, expect),
        };
        let Opened::Started { turn, .. } = store.open(open).await.unwrap() else { return };
        tell("open", 0, next);
        let fence = Fence { turn: turn.id, holder: turn.holder };
        let partial = Checkpoint { text: format!("partial {next}"), ..turn.checkpoint };
        store.checkpoint(fence, partial).await.unwrap();
        tell("checkpoint", 0, next);
        let close = CloseTurn {
            turn: turn.id,
            authority: Authority::Holder(turn.holder),
            state: TurnState::Completed,
            append: say(&format!("turns: {}", next + 1), turn.input, Expect::Attach),
            error: None,
            usage: None,
            context: None,
            last_event: next,
        };
        parent = store.close(close).await.unwrap().answer;
        expect = Expect::Attach;
        tell("close", 0, next + 1);
    }
}

/// Sessions that are made and forgotten.
async fn forget_for_ever(store: Arc<SqliteStore>) {
    for number in 0.. {
        let doomed = key(&format!("doomed {number}"));
        let text = format!("{CANARY} {number}.");
        let drafts = vec![draft(&text); 40];
        let append = Append { drafts, ..say("all", None, Expect::Absent) };
        store.append(&doomed, append).await.unwrap();
        store.forget(&doomed, Forget::Always).await.unwrap();
        tell("forget", 0, number);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    for lines in [1, 500, 2_000] {
        let folder = folder.path().join(lines.to_string());
        std::fs::create_dir(&folder).unwrap();
        let acknowledged = kill_after(&folder, lines);
        check_after_crash(&folder, &acknowledged).await;
    }
}

/// Kills a burst after this many acknowledgements; returns the last one of each kind and task.
fn kill_after(folder: &Path, lines: usize) -> Acknowledged {
    let mut child = child(folder, "burst");
    let mut acknowledged = BTreeMap::new();
    let mut seen = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let Some((_, rest)) = line.split_once("acknowledged ") else { continue };
        let mut words = rest.split(' ');
        let (Some(what), Some(who), Some(number)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let Ok(number) = number.parse() else { continue };
        acknowledged.insert((what.to_owned(), who.to_owned()), number);
        seen += 1;
        if seen == lines {
            // What is still in the pipe was acknowledged too, and is read after the death.
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(lines <= seen);
    acknowledged
}

async fn check_after_crash(folder: &Path, acknowledged: &Acknowledged) {
    let store = open(folder);
    let last =
        |what: &str, who: usize| acknowledged.get(&(what.to_owned(), who.to_string())).copied();
    for writer in 0..WRITERS {
        let Some(last) = last("append", writer) else { continue };
        check_history(&store, &format!("session {writer}"), last).await;
    }
    if let Some(last) = last("open", 0).max(last("close", 0)) {
        check_history(&store, "turns", last).await;
    }
    check_open_turn(&store, last("open", 0), last("checkpoint", 0), last("close", 0)).await;
    let forgotten = last("forget", 0).map_or(0, |it| it + 1);
    for number in 0..forgotten {
        let doomed = key(&format!("doomed {number}"));
        assert_eq!(store.session(&doomed).await.unwrap(), None);
        prove_forgotten(&store, &doomed).await;
    }
    for number in forgotten.saturating_sub(50)..forgotten {
        assert_eq!(files_with(folder, &format!("{CANARY} {number}.")), 0);
    }
    drop(store);
    let connection = Connection::open(folder.join("memory.db")).unwrap();
    let verdict: String =
        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
}

/// At least so many entries, each where it belongs.
async fn check_history(store: &SqliteStore, session: &str, last: u64) {
    let branch = store.read(&key(session), ReadOptions::newest(usize::MAX)).await.unwrap();
    let entries = branch.unwrap().entries;
    assert!(last <= entries.len() as u64, "{session} lost something");
    for (entry, number) in entries.iter().zip(1..) {
        assert_eq!(entry.seq, Seq(number));
        assert_eq!(entry.body.message.joined_text(), format!("{session}: {number}"));
    }
}

/// A turn that was opened and not closed is there with its checkpoint, unless its end was stored
/// and could not be told any more.
async fn check_open_turn(
    store: &SqliteStore,
    opened: Option<u64>,
    kept: Option<u64>,
    closed: Option<u64>,
) {
    let unfinished = store.unfinished().await.unwrap();
    assert!(unfinished.len() <= 1);
    let Some(opened) = opened.filter(|it| closed < Some(*it)) else { return };
    let Some(turn) = unfinished.first() else {
        return check_history(store, "turns", opened + 1).await;
    };
    assert_eq!(turn.input, Some(Seq(opened)));
    if kept == Some(opened) {
        assert_eq!(turn.checkpoint.text, format!("partial {opened}"));
    }
}

/// Makes one database after the other until it is killed.
fn make(folder: &Path) {
    for number in 0.. {
        let folder = folder.join(number.to_string());
        std::fs::create_dir(&folder).unwrap();
        drop(open(&folder));
        let mut out = std::io::stdout();
        writeln!(out, "made").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_whose_making_was_killed_is_made_at_the_next_start() {
    for made in 1..=5 {
        let folder = tempfile::tempdir().unwrap();
        let mut child = child(folder.path(), "make");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let made = lines.filter(|it| it.as_ref().unwrap().contains("made")).take(made);
        assert_ne!(made.count(), 0);
        child.kill().unwrap();
        child.wait().unwrap();
        for folder in std::fs::read_dir(folder.path()).unwrap() {
            open(&folder.unwrap().path()).health().await.unwrap();
        }
    }
}

/// Reads, then appends what follows, again and again.
async fn share(folder: &Path, name: &str) {
    let store = open(folder);
    for number in 0..APPENDS {
        let text = format!("{name}/{number}");
        loop {
            let branch = store.read(&key("shared"), ReadOptions::newest(1)).await.unwrap();
            let (parent, expect) = match branch {
                None => (None, Expect::Absent),
                Some(branch) => (branch.session.head, Expect::At(branch.session.token)),
            };
            let append = Append {
                parent,
                expect,
                append_id: AppendId::new(text.as_str()).unwrap(),
                fence: None,
                drafts: vec![draft(&text)],
            };
            match store.append(&key("shared"), append).await {
                Ok(_) => break,
                Err(error) => assert_eq!(error.kind(), MemoryErrorKind::Conflict, "{error:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_read_and_append_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut children: Vec<Child> =
        (0..PROCESSES).map(|name| child(folder.path(), &name.to_string())).collect();
    for child in &mut children {
        let mut out = child.stdout.take().unwrap();
        std::io::copy(&mut out, &mut std::io::sink()).unwrap();
        assert!(child.wait().unwrap().success());
    }
    let branch = open(folder.path()).read(&key("shared"), ReadOptions::newest(usize::MAX)).await;
    let branch = branch.unwrap().unwrap();
    assert_eq!(branch.entries.len(), PROCESSES * APPENDS);
    for name in 0..PROCESSES {
        let texts = branch.entries.iter().map(|it| it.body.message.joined_text());
        let own: Vec<_> = texts.filter(|it| it.starts_with(&format!("{name}/"))).collect();
        let expected: Vec<_> = (0..APPENDS).map(|number| format!("{name}/{number}")).collect();
        assert_eq!(own, expected);
    }
}

const SESSIONS: u64 = 50;
const ENTRIES: usize = 500;

fn of(owner: &str, session: u64) -> SessionKey {
    let id = SessionId::new(format!("session {session}")).unwrap();
    SessionKey::new(Owner::new(owner).unwrap(), id)
}

/// Forgets everything that Ann has, session by session, as they are listed; tells of each how many
/// entries were erased.
async fn forget_all(folder: &Path, told: impl Fn(u64)) {
    let store = open(folder);
    let ann = of("ann", 0).owner;
    loop {
        let page = ListOptions { before: None, limit: 7 };
        let page = store.list(&ann, page).await.unwrap();
        if page.is_empty() {
            return;
        }
        for session in page {
            let key = SessionKey::new(ann.clone(), session.id);
            let forgotten = store.forget(&key, Forget::Always).await.unwrap();
            told(forgotten.erased);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forgetting_an_owner_goes_on_after_it_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for session in 0..SESSIONS {
        let drafts: Vec<_> = (0..ENTRIES).map(|n| draft(&format!("{CANARY} {n}"))).collect();
        let append = Append { drafts, ..say("all", None, Expect::Absent) };
        store.append(&of("ann", session), append).await.unwrap();
    }
    // Her name begins with the other's.
    let append = Append { drafts: vec![draft("kept"); 100], ..say("all", None, Expect::Absent) };
    store.append(&of("anna", 1), append).await.unwrap();
    drop(store);

    let mut killed = child(folder.path(), "forget");
    let lines = BufReader::new(killed.stdout.take().unwrap()).lines();
    let forgotten = lines.map_while(Result::ok).filter(|it| it.contains("acknowledged")).take(20);
    assert_eq!(forgotten.count(), 20);
    killed.kill().unwrap();
    killed.wait().unwrap();

    let store = open(folder.path());
    let rest = ListOptions { before: None, limit: usize::MAX };
    let rest = store.list(&of("ann", 0).owner, rest).await.unwrap();
    let left = rest.len() as u64;
    assert!((1..=30).contains(&left), "{left}");
    drop(store);
    let erased = Cell::new(0);
    forget_all(folder.path(), |it| erased.set(erased.get() + it)).await;
    assert_eq!(erased.get(), left * ENTRIES as u64);
    let store = open(folder.path());
    for session in 0..SESSIONS {
        prove_forgotten(&store, &of("ann", session)).await;
    }
    assert_eq!(files_with(folder.path(), CANARY), 0);
    let kept = store.read(&of("anna", 1), ReadOptions::newest(usize::MAX)).await.unwrap().unwrap();
    assert_eq!(kept.entries.len(), 100);
}
