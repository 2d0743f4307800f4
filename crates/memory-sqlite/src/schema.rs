//! The numbered migrations; what the tables mean is said in the SQL files.

use rusqlite_migration::{M, Migrations};

/// Marks our databases in their header.
pub(crate) const APPLICATION_ID: u32 = u32::from_be_bytes(*b"CODe");

const STEPS: &[M<'static>] = &[
    M::up(include_str!("../migrations/0001_memory.sql")),
    M::up(include_str!("../migrations/0002_upkeep.sql")),
    M::up(include_str!("../migrations/0003_recall.sql")),
    M::up(include_str!("../migrations/0004_titles.sql")),
    M::up(include_str!("../migrations/0005_reports.sql")),
    M::up(include_str!("../migrations/0006_one_row.sql")),
    M::up(include_str!("../migrations/0007_choices.sql")),
];

/// Steps up to this one copy all that was said.
pub(crate) const COPIED_BEFORE: u32 = 6;

/// All migrations; those that are due run in one transaction.
pub(crate) const MIGRATIONS: Migrations<'static> = Migrations::from_slice(STEPS);

/// The newest schema version that we know.
#[expect(clippy::cast_possible_truncation, reason = "we have few")]
pub(crate) const VERSION: u32 = STEPS.len() as u32;

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::{APPLICATION_ID, MIGRATIONS, VERSION};

    #[test]
    fn migrations_make_the_version_and_the_mark() {
        let mut connection = Connection::open_in_memory().unwrap();
        MIGRATIONS.to_latest(&mut connection).unwrap();
        let read = |name| connection.pragma_query_value(None, name, |row| row.get(0)).unwrap();
        let (version, mark): (u32, u32) = (read("user_version"), read("application_id"));
        assert_eq!((version, mark), (VERSION, APPLICATION_ID));
    }
}
