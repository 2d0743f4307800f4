//! What the index keeps, and what it does not: traces of the forgotten, and work without bound.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use brain_core::{
    ids::{AppendId, Owner, Seq},
    memory::{Append, Embedded, Expect, Forget, Recall, Search, SessionLog, Unembedded},
};
use rusqlite::Connection;

use crate::{draft, erase::prove_forgotten, key, open, say};

/// How much there is of what search keeps, whatever it is.
fn traces(folder: &Path) -> [i64; 4] {
    let connection = Connection::open(folder.join("memory.db")).unwrap();
    let sql = "CREATE VIRTUAL TABLE temp.terms USING fts5vocab (main, recall_words, instance)";
    connection.execute_batch(sql).unwrap();
    let count = |table: &str| {
        let sql = format!("SELECT count(*) FROM {table}");
        connection.query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    [
        count("messages WHERE words IS NOT NULL"),
        count("recall_vectors"),
        count("recall_owners"),
        count("temp.terms"),
    ]
}

fn index_bytes(folder: &Path) -> i64 {
    let connection = Connection::open(folder.join("memory.db")).unwrap();
    let sql = "SELECT sum(length(block)) FROM recall_words_data";
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

async fn said(store: &impl Recall, query: &str) -> Vec<String> {
    let hits = store.search(&Owner::local(), &Search::words(query, 10)).await.unwrap();
    hits.iter().map(|it| it.entry.body.message.joined_text()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_forgotten_stays_in_the_index() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.append(&key("kept"), say("kept", None, Expect::Absent)).await.unwrap();
    let before = (traces(folder.path()), index_bytes(folder.path()));
    let drafts = (0..500).map(|n| draft(&format!("secret number{n} of many"))).collect();
    let append = Append { drafts, ..say("all", None, Expect::Absent) };
    store.append(&key("gone"), append).await.unwrap();
    let unembedded = store.unembedded("m", 1_000).await.unwrap();
    let vector = |it: Unembedded| Embedded {
        session: it.session,
        seq: it.seq,
        values: Arc::from([0.6, 0.8].as_slice()),
    };
    let vectors = unembedded.into_iter().filter(|it| it.session == key("gone")).map(vector);
    store.keep_embeddings("m", vectors.collect()).await.unwrap();
    assert_eq!(traces(folder.path())[..2], [501, 500]);
    store.forget_entry(&key("gone"), Seq(7)).await.unwrap();
    assert_eq!(traces(folder.path())[..2], [500, 499]);
    store.forget(&key("gone"), Forget::Always).await.unwrap();
    assert_eq!(said(&store, "secret").await, [""; 0]);
    prove_forgotten(&store, &key("gone")).await;
    let after = (traces(folder.path()), index_bytes(folder.path()));
    assert_eq!(before.0, after.0);
    assert!(after.1 <= 2 * before.1, "{before:?} {after:?}");
    assert_eq!(said(&store, "kept").await, ["kept"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn corrupt_entries_do_not_keep_others_from_being_embedded() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let drafts = (1..=42).map(|n| draft(&format!("number {n}"))).collect();
    let append = Append { drafts, ..say("all", None, Expect::Absent) };
    store.append(&key("s"), append).await.unwrap();
    let connection = Connection::open(folder.path().join("memory.db")).unwrap();
    connection.execute("UPDATE messages SET json = '{' WHERE seq <= 40", []).unwrap();
    let texts: Vec<_> =
        store.unembedded("m", 16).await.unwrap().into_iter().map(|it| it.text).collect();
    assert_eq!(texts, ["number 41", "number 42"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_of_other_words_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let drafts = ["lost", "a heron", "an egret"].map(draft).into();
    store.append(&key("s"), Append { drafts, ..say("s", None, Expect::Absent) }).await.unwrap();
    store.append(&key("t"), say("a heron", None, Expect::Absent)).await.unwrap();
    let vector = |it: Unembedded| Embedded {
        session: it.session,
        seq: it.seq,
        values: Arc::from([0.6, 0.8].as_slice()),
    };
    let due = store.unembedded("m", 9).await.unwrap();
    store.keep_embeddings("m", due.into_iter().map(vector).collect()).await.unwrap();
    drop(store);
    let connection = Connection::open(folder.path().join("memory.db")).unwrap();
    let sql = "UPDATE metadata SET value = 'older' WHERE key = 'recall_version'; \
               DELETE FROM recall_words WHERE rowid = 2; \
               UPDATE messages SET words = 1 WHERE id = 4; \
               UPDATE messages SET json = '{' WHERE id = 1";
    connection.execute_batch(sql).unwrap();
    let store = open(folder.path());
    assert_eq!(said(&store, "herons").await, ["a heron", "a heron", "an egret"]);
    assert_eq!(said(&store, "lost").await, [""; 0]);
    // Vectors stay, and stand where their entries do.
    assert_eq!(store.unembedded("m", 9).await.unwrap(), []);
    let numbers = |sql: &str| -> Vec<i64> {
        let mut statement = connection.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    assert_eq!(numbers("SELECT place FROM recall_vectors ORDER BY session, seq"), [1, 2, 1]);
    assert_eq!(numbers("SELECT place FROM messages ORDER BY id"), [0, 1, 2, 1]);
    assert_eq!(numbers("SELECT findable FROM sessions ORDER BY id"), [2, 1]);
    let words = numbers("SELECT words FROM messages WHERE words IS NOT NULL");
    assert_eq!(words, [4, 4, 4]);
    assert_eq!(numbers("SELECT sessions + entries + words FROM recall_owners"), [2 + 3 + 12]);
}

#[tokio::test(flavor = "multi_thread")]
async fn common_words_cost_no_more_than_so_much() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for (number, first) in (0..10_000).step_by(1_000).enumerate() {
        let rare = |n| if n == 77 { "needle" } else { "hay" };
        let drafts = (first..first + 1_000).map(|n| draft(&format!("common word, {}", rare(n))));
        let append_id = AppendId::new(format!("{number}")).unwrap();
        let append =
            Append { drafts: drafts.collect(), append_id, ..say("all", None, Expect::Absent) };
        store.append(&key(&format!("s{number}")), append).await.unwrap();
    }
    let start = Instant::now();
    assert_eq!(said(&store, "common words with a needle").await[0], "common word, needle");
    assert_eq!(said(&store, "common words").await.len(), 10);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}
