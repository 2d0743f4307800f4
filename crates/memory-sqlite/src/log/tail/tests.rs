//! How many pages an append writes.
#![expect(clippy::print_stdout, reason = "a test that prints its figures")]

use std::{fs, time::Duration};

use brain_core::{
    chat::Message,
    ids::{AppendId, Owner, Seq, SessionId, SessionKey},
    memory::{Append, Draft, EntryBody, Expect},
    time::Timestamp,
};
use rusqlite::Connection;

use crate::{
    SqliteConfig,
    log::{self, Ready},
    open, recall,
};

const SESSIONS: u64 = 64;
/// A page in the log, and what is written with it.
const FRAME: u64 = 4_096 + 24;
/// Most pages of a transaction that appends to each session: a leaf of the index for each of them,
/// and 32 for the rows, the words, and all else.
const CEILING: u64 = SESSIONS + 32;

/// Appends 500 bytes to each session.
fn append_to_all(connection: &Connection, number: u64) {
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    for session in 0..SESSIONS {
        let name = SessionId::new(format!("session {session}")).unwrap();
        let message = Message::user("five hundred bytes of text ".repeat(18));
        let body = EntryBody::complete(message, Timestamp::from_millis(0));
        let drafts = vec![Draft::new(body).unwrap()];
        let append = Append {
            parent: (1 < number).then_some(Seq(number - 1)),
            expect: if number == 1 { Expect::Absent } else { Expect::Attach },
            append_id: AppendId::new(format!("{number:05}")).unwrap(),
            fence: None,
            drafts,
        };
        let ready = Ready { documents: recall::documents(&append.drafts), what: append };
        let key = SessionKey::new(Owner::local(), name);
        log::append(connection, &key, &ready, Timestamp::from_millis(0)).unwrap();
    }
    recall::complete(connection).unwrap();
    connection.execute_batch("COMMIT").unwrap();
}

#[test]
fn many_who_append_at_once_share_most_pages() {
    let folder = tempfile::tempdir().unwrap();
    let config = SqliteConfig::new(folder.path().join("memory.db"));
    let connection = open::open(&config, Timestamp::from_millis(0)).unwrap();
    let mut pages = Vec::new();
    for number in 1..=400 {
        append_to_all(&connection, number);
        let log = fs::metadata(folder.path().join("memory.db-wal")).unwrap().len();
        pages.push(log / FRAME);
        assert!(open::truncate_log(&connection, Duration::ZERO).unwrap());
    }
    let average = pages.iter().skip(200).sum::<u64>() / 200;
    println!("pages of {SESSIONS} appends: {average}");
    assert!(average <= CEILING, "{average} pages for {SESSIONS} appends, ceiling {CEILING}");
}
