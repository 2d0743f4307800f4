//! Search: entries that hold every word, newest first.
//!
//! It looks at one entry after the other; an index is not its business.

use brain_core::{
    ids::{Owner, SessionKey},
    memory::Hit,
};
use rusqlite::Connection;

use crate::{
    error::{Failure, Outcome},
    rows,
};

/// The join order is said, so that entries come newest first without being sorted.
const NEWEST_FIRST: &str = "SELECT m.seq, m.parent, m.json, m.folded, s.name \
                            FROM messages m CROSS JOIN sessions s ON s.id = m.session \
                            WHERE s.owner = ?1 ORDER BY m.id DESC";

/// At most `limit` of the owner's entries that hold every word of `query`.
pub(crate) fn search(
    connection: &Connection,
    owner: &Owner,
    query: &str,
    limit: usize,
) -> Outcome<Vec<Hit>> {
    let words: Vec<String> = query.split_whitespace().map(str::to_lowercase).collect();
    let mut hits = Vec::new();
    if words.is_empty() || limit == 0 {
        return Ok(hits);
    }
    let mut statement = connection.prepare_cached(NEWEST_FIRST)?;
    let mut found = statement.query([owner.as_str().as_bytes()])?;
    while let Some(row) = found.next()? {
        let text = row.get_ref(3)?.as_bytes().map_err(Failure::corrupt)?;
        let text = std::str::from_utf8(text).map_err(Failure::corrupt)?;
        if !words.iter().all(|word| text.contains(word)) {
            continue;
        }
        let session = SessionKey::new(owner.clone(), rows::session_id(row, 4)?);
        hits.push(Hit { session, entry: rows::entry(row, 0)?, score: 1.0 });
        if hits.len() == limit {
            break;
        }
    }
    Ok(hits)
}
