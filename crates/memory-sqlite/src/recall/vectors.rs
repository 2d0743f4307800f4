//! Embeddings: a byte a number beside one factor, compared one by one. Making them is not our
//! business.

use std::collections::BTreeMap;

use brain_core::{
    ids::Owner,
    memory::{Embedded, QueryVector, Unembedded},
    recall::{Vector, closeness, text_of},
};
use rusqlite::{Connection, OptionalExtension, Row};

use super::Spot;
use crate::{error::Outcome, rows};

/// A search compares no more vectors than those of the newest sessions that have so many.
const VECTORS: usize = 20_000;

/// How close entries are to a query.
#[derive(Default)]
pub(super) struct Closeness(BTreeMap<Spot, f32>);

impl Closeness {
    pub(super) fn of(&self, spot: Spot) -> Option<f32> {
        self.0.get(&spot).copied()
    }

    pub(super) fn average(&self) -> Option<f32> {
        let sum: f32 = self.0.values().sum();
        (!self.0.is_empty()).then(|| sum / self.0.len() as f32)
    }

    /// Where the closest so many stand.
    pub(super) fn closest(&self, count: usize) -> impl Iterator<Item = Spot> {
        let mut all: Vec<_> = self.0.iter().map(|(spot, closeness)| (*closeness, *spot)).collect();
        all.sort_unstable_by(|(a, _), (b, _)| b.total_cmp(a));
        all.into_iter().take(count).map(|(_, spot)| spot)
    }
}

/// Compares the owner's entries with a query.
pub(super) fn compare(
    connection: &Connection,
    owner: &Owner,
    query: &QueryVector,
) -> Outcome<Closeness> {
    let sql = "SELECT id FROM sessions WHERE owner = ?1 ORDER BY created_at DESC, name DESC";
    let mut statement = connection.prepare_cached(sql)?;
    let mut sessions = statement.query([owner.as_str().as_bytes()])?;
    let mut close = Closeness::default();
    while let Some(row) = sessions.next()? {
        let session = row.get(0)?;
        let vectors = vectors_of(connection, session, query)?;
        let values = closeness(&query.values, &vectors);
        let spots = vectors.iter().map(|it| (session, it.position as i64));
        close.0.extend(spots.zip(values));
        if VECTORS <= close.0.len() {
            break;
        }
    }
    Ok(close)
}

fn vectors_of(connection: &Connection, session: i64, query: &QueryVector) -> Outcome<Vec<Vector>> {
    let sql = "SELECT place, scale, numbers FROM recall_vectors \
               WHERE session = ?1 AND model = ?2 AND length(numbers) = ?3 \
               ORDER BY place DESC LIMIT ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let size = rows::limit(query.values.len());
    let found = (session, &query.model, size, rows::limit(VECTORS));
    let mut vectors: Vec<_> = statement.query_map(found, vector)?.collect::<Result<_, _>>()?;
    vectors.reverse();
    Ok(vectors)
}

fn vector(row: &Row<'_>) -> rusqlite::Result<Vector> {
    let scale: f32 = row.get(1)?;
    let numbers = row.get_ref(2)?.as_blob()?;
    let values = numbers.iter().map(|it| f32::from(it.cast_signed()) * scale).collect();
    Ok(Vector { position: rows::unsigned(row, 0)?, values })
}

/// Keeps embeddings; those of entries that are gone are dropped.
pub(crate) fn keep(connection: &Connection, model: &str, embeddings: &[Embedded]) -> Outcome<()> {
    for it in embeddings {
        let sql = "SELECT e.session, e.place FROM sessions s \
                   JOIN messages m ON m.session = s.id JOIN recall_entries e ON e.message = m.id \
                   WHERE s.owner = ?1 AND s.name = ?2 AND m.seq = ?3";
        let names = (it.session.owner.as_str().as_bytes(), it.session.id.as_str().as_bytes());
        let spot: Option<Spot> = connection
            .prepare_cached(sql)?
            .query_row((names.0, names.1, rows::position(it.seq)), |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        let Some((session, place)) = spot else { continue };
        let (scale, numbers) = quantised(&it.values);
        let sql = "INSERT OR REPLACE INTO recall_vectors (session, place, model, scale, numbers) \
                   VALUES (?1, ?2, ?3, ?4, ?5)";
        connection.prepare_cached(sql)?.execute((session, place, model, scale, numbers))?;
        let sql = "UPDATE recall_entries SET model = ?3 WHERE session = ?1 AND place = ?2";
        connection.prepare_cached(sql)?.execute((session, place, model))?;
    }
    Ok(())
}

/// Each number as a byte, and what a byte is worth.
fn quantised(values: &[f32]) -> (f32, Vec<u8>) {
    let largest = values.iter().fold(0.0, |largest: f32, it| largest.max(it.abs()));
    let scale = largest / 127.0;
    let byte = |it: &f32| if 0.0 < scale { (it / scale).round() as i8 } else { 0 };
    (scale, values.iter().map(|it| byte(it).cast_unsigned()).collect())
}

/// Entries that `model` has not embedded, oldest first; those that do not decode are left out and
/// reported in the log.
pub(crate) fn unembedded(
    connection: &Connection,
    model: &str,
    limit: usize,
) -> Outcome<Vec<Unembedded>> {
    let mut found = Vec::new();
    for which in ["e.model IS NULL AND ?1 <> ''", "e.model < ?1", "?1 < e.model"] {
        let sql = format!(
            "SELECT s.owner, s.name, m.seq, m.parent, m.json, e.message \
             FROM recall_entries e CROSS JOIN messages m ON m.id = e.message \
             CROSS JOIN sessions s ON s.id = m.session \
             WHERE {which} AND s.owner <> X'' ORDER BY e.model, e.message"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query([model])?;
        let enough = found.len() + limit;
        while found.len() < enough
            && let Some(row) = rows.next()?
        {
            found.extend(to_embed(row)?);
        }
    }
    found.sort_unstable_by_key(|(message, _)| *message);
    Ok(found.into_iter().take(limit).map(|(_, it)| it).collect())
}

fn to_embed(row: &Row<'_>) -> Outcome<Option<(i64, Unembedded)>> {
    let (session, message) = (rows::session_key(row)?, row.get(5)?);
    Ok(rows::readable_entry(row, 2).and_then(|entry| {
        let text = text_of(&entry.body)?;
        Some((message, Unembedded { session, seq: entry.seq, text }))
    }))
}

#[cfg(test)]
mod tests {
    use super::quantised;

    #[test]
    fn a_byte_a_number_keeps_the_direction() {
        let values: Vec<f32> = (0..384).map(|n| (n as f32).sin() / 14.0).collect();
        let (scale, bytes) = quantised(&values);
        let back: Vec<f32> = bytes.iter().map(|it| f32::from(it.cast_signed()) * scale).collect();
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let cosine = dot(&values, &back) / (dot(&values, &values) * dot(&back, &back)).sqrt();
        assert!(0.999 < cosine, "{cosine}");
        assert_eq!(quantised(&[0.0, 0.0]), (0.0, vec![0, 0]));
    }
}
