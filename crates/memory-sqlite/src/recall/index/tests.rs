//! Which words wait for the end of a transaction, and which reach the index.

use brain_core::{
    chat::Message,
    ids::{AppendId, Owner, Seq, SessionId, SessionKey},
    memory::{Append, Draft, EntryBody, Expect},
    time::Timestamp,
};
use rusqlite::Connection;

use super::{complete, documents};
use crate::{
    SqliteConfig,
    log::{self, Ready},
    open,
};

fn key(session: &str) -> SessionKey {
    SessionKey::new(Owner::local(), SessionId::new(session).unwrap())
}

fn say(connection: &Connection, session: &str) {
    let body = EntryBody::complete(Message::user("a heron"), Timestamp::from_millis(0));
    let drafts = vec![Draft::new(body).unwrap()];
    let ready = Ready {
        documents: documents(&drafts),
        what: Append {
            parent: None,
            expect: Expect::Absent,
            append_id: AppendId::new("first").unwrap(),
            fence: None,
            drafts,
        },
    };
    log::append(connection, &key(session), &ready, Timestamp::from_millis(0)).unwrap();
}

/// How many entries the index holds after the transaction of this work.
fn indexed(work: impl FnOnce(&Connection)) -> u32 {
    let folder = tempfile::tempdir().unwrap();
    let config = SqliteConfig::new(folder.path().join("memory.db"));
    let connection = open::open(&config, Timestamp::from_millis(0)).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    work(&connection);
    complete(&connection).unwrap();
    connection.execute_batch("COMMIT").unwrap();
    let sql = "CREATE VIRTUAL TABLE temp.terms USING fts5vocab (main, recall_words, instance)";
    connection.execute_batch(sql).unwrap();
    let sql = "SELECT count(DISTINCT doc) FROM temp.terms";
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn words_of_one_transaction_reach_the_index_together() {
    let said = indexed(|connection| ["a", "b", "c"].iter().for_each(|it| say(connection, it)));
    assert_eq!(said, 3);
}

#[test]
fn words_of_a_refused_job_do_not_reach_the_index() {
    let said = indexed(|connection| {
        say(connection, "a");
        connection.execute_batch("SAVEPOINT job").unwrap();
        say(connection, "b");
        connection.execute_batch("ROLLBACK TO job; RELEASE job").unwrap();
    });
    assert_eq!(said, 1);
}

#[test]
fn words_that_are_forgotten_at_once_do_not_reach_the_index() {
    let said = indexed(|connection| {
        say(connection, "a");
        say(connection, "b");
        let now = Timestamp::from_millis(0);
        assert_eq!(log::forget_entry(connection, &key("b"), Seq(1), now).unwrap(), 1);
    });
    assert_eq!(said, 1);
}
