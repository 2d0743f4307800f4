//! Settings that change while the daemon runs: the port on the table `configuration`.

use async_trait::async_trait;
use brain_core::{
    ids::Token,
    json::RawJson,
    memory::{MemoryError, MemoryErrorKind},
    settings::{Assumed, Setting, Settings},
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension, Row};

use super::SqliteStore;
use crate::{error::Outcome, rows};

const COLUMNS: &str = "key, value, token, updated_at";

fn setting(row: &Row<'_>) -> rusqlite::Result<Setting> {
    Ok(Setting {
        name: row.get(0)?,
        value: rows::value(row, 1)?,
        token: rows::token(row, 2)?,
        updated_at: rows::timestamp(row, 3)?,
    })
}

fn find(connection: &Connection, name: &str) -> Outcome<Option<Setting>> {
    let sql = format!("SELECT {COLUMNS} FROM configuration WHERE key = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([name], setting).optional()?)
}

fn all(connection: &Connection) -> Outcome<Vec<Setting>> {
    let sql = format!("SELECT {COLUMNS} FROM configuration ORDER BY key");
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement.query_map([], setting)?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn check(connection: &Connection, name: &str, assumed: Assumed) -> Outcome<()> {
    let known = find(connection, name)?;
    let holds = assumed.holds(known.map(|it| it.token));
    if holds { Ok(()) } else { Err(MemoryErrorKind::Conflict.into()) }
}

fn set(
    connection: &Connection,
    (name, value): (&str, &RawJson),
    assumed: Assumed,
    now: Timestamp,
) -> Outcome<Setting> {
    check(connection, name, assumed)?;
    let token = Token::random();
    let sql = format!("INSERT OR REPLACE INTO configuration ({COLUMNS}) VALUES (?1, ?2, ?3, ?4)");
    let row = (name, value.as_str(), token.to_string(), now.as_millis());
    connection.prepare_cached(&sql)?.execute(row)?;
    Ok(Setting { name: name.to_owned(), value: value.clone(), token, updated_at: now })
}

fn unset(connection: &Connection, name: &str, assumed: Assumed) -> Outcome<bool> {
    check(connection, name, assumed)?;
    let sql = "DELETE FROM configuration WHERE key = ?1";
    Ok(0 < connection.prepare_cached(sql)?.execute([name])?)
}

#[async_trait]
impl Settings for SqliteStore {
    async fn get(&self, name: &str) -> Result<Option<Setting>, MemoryError> {
        let name = name.to_owned();
        self.reader.run("read a setting", move |connection| find(connection, &name)).await
    }

    async fn list(&self) -> Result<Vec<Setting>, MemoryError> {
        self.reader.run("read the settings", all).await
    }

    async fn set(
        &self,
        name: &str,
        value: RawJson,
        assumed: Assumed,
    ) -> Result<Setting, MemoryError> {
        let (name, bytes) = (name.to_owned(), value.as_str().len());
        self.write("set a setting", bytes, move |connection, now| {
            set(connection, (&name, &value), assumed, now)
        })
        .await
    }

    async fn unset(&self, name: &str, assumed: Assumed) -> Result<bool, MemoryError> {
        let name = name.to_owned();
        self.write("unset a setting", 0, move |connection, _| unset(connection, &name, assumed))
            .await
    }

    fn is_lasting(&self) -> bool {
        true
    }
}
