//! Processes: one that is killed in the middle of a burst, and several on one file.
//!
//! A child is this test binary once more; the environment tells it what to do.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use brain_core::{
    ids::{AppendId, Seq},
    memory::{Append, Expect, MemoryErrorKind, MemoryStore, ReadOptions, SessionLog},
};
use rusqlite::Connection;
use tokio::task::JoinSet;

use crate::{draft, key, open, say};

const FOLDER: &str = "MEMORY_SQLITE_TEST_FOLDER";
const ROLE: &str = "MEMORY_SQLITE_TEST_ROLE";
const WRITERS: usize = 8;
const PROCESSES: usize = 4;
const APPENDS: usize = 100;

#[expect(clippy::disallowed_methods, reason = "how a test speaks to the process it started")]
fn told(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn child(folder: &Path, role: &str) -> Child {
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
        name => share(folder, name).await,
    }
}

/// Appends from many tasks until it is killed, and says which were acknowledged.
async fn burst(folder: &Path) {
    let store = Arc::new(open(folder));
    let mut tasks = JoinSet::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let session = format!("session {writer}");
            let mut parent = None;
            loop {
                let expect = if parent.is_none() { Expect::Absent } else { Expect::Attach };
                let next = parent.map_or(1, |Seq(it)| it + 1);
                let append = say(&format!("{session}: {next}"), parent, expect);
                parent = store.append(&key(&session), append).await.unwrap().last;
                let mut out = std::io::stdout().lock();
                writeln!(out, "acknowledged {writer} {next}").unwrap();
            }
        });
    }
    tasks.join_next().await.unwrap().unwrap();
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

/// Kills a burst after this many acknowledgements; returns the last one of each writer.
fn kill_after(folder: &Path, lines: usize) -> BTreeMap<String, u64> {
    let mut child = child(folder, "burst");
    let mut acknowledged = BTreeMap::new();
    let mut seen = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let Some((_, rest)) = line.split_once("acknowledged ") else { continue };
        let Some((writer, seq)) = rest.split_once(' ') else { continue };
        let Ok(seq) = seq.parse() else { continue };
        acknowledged.insert(format!("session {writer}"), seq);
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

async fn check_after_crash(folder: &Path, acknowledged: &BTreeMap<String, u64>) {
    let store = open(folder);
    for (session, last) in acknowledged {
        let branch = store.read(&key(session), ReadOptions::newest(usize::MAX)).await.unwrap();
        let entries = branch.unwrap().entries;
        assert!(*last <= entries.len() as u64, "{session} lost something");
        for (entry, number) in entries.iter().zip(1..) {
            assert_eq!(entry.seq, Seq(number));
            assert_eq!(entry.body.message.joined_text(), format!("{session}: {number}"));
        }
    }
    drop(store);
    let connection = Connection::open(folder.join("memory.db")).unwrap();
    let verdict: String =
        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
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
