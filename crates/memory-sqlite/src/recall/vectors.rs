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

/// A search compares no more vectors than so many of the newest sessions,
const VECTORS: usize = 20_000;
/// reads no more than so many others, of other models, and as many more as it compares fewer,
const OTHERS: usize = 20_000;
/// and looks at no more sessions.
const SESSIONS: usize = 50_000;

/// How close entries are to a query, and their places.
#[derive(Default)]
pub(super) struct Closeness(BTreeMap<Spot, (f32, i64)>);

impl Closeness {
    pub(super) fn of(&self, spot: Spot) -> Option<f32> {
        self.0.get(&spot).map(|(closeness, _)| *closeness)
    }

    pub(super) fn average(&self) -> Option<f32> {
        let sum: f32 = self.0.values().map(|(closeness, _)| closeness).sum();
        (!self.0.is_empty()).then(|| sum / self.0.len() as f32)
    }

    /// Where the closest so many stand, and their places.
    pub(super) fn closest(&self, count: usize) -> impl Iterator<Item = (Spot, i64)> {
        let mut all: Vec<_> =
            self.0.iter().map(|(spot, (closeness, place))| (*closeness, *spot, *place)).collect();
        all.sort_unstable_by(|(a, ..), (b, ..)| b.total_cmp(a));
        all.into_iter().take(count).map(|(_, spot, place)| (spot, place))
    }

    /// Compares the vectors of a session, which come last one first, with a query; takes them.
    fn add(&mut self, session: i64, query: &[f32], taken: &mut Taken) {
        taken.vectors.reverse();
        taken.positions.reverse();
        let values = closeness(query, &taken.vectors);
        let places = taken.vectors.iter().map(|it| it.position as i64);
        for ((seq, place), value) in taken.positions.iter().zip(places).zip(values) {
            self.0.insert((session, *seq), (value, place));
        }
        taken.vectors.clear();
        taken.positions.clear();
    }
}

/// Vectors of one session, and the positions of their entries.
#[derive(Default)]
struct Taken {
    positions: Vec<i64>,
    vectors: Vec<Vector>,
}

/// Compares the owner's entries with a query.
pub(super) fn compare(
    connection: &Connection,
    owner: &Owner,
    query: &QueryVector,
) -> Outcome<Closeness> {
    let sql = "SELECT s.id, v.seq, v.place, v.scale, v.numbers, v.model \
               FROM sessions s CROSS JOIN recall_vectors v ON v.session = s.id \
               WHERE s.owner = ?1 AND (?2, ?3) <= (s.created_at, s.name) \
               ORDER BY s.created_at DESC, s.name DESC, s.id DESC, v.seq DESC LIMIT ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let (created_at, name) = oldest(connection, owner)?;
    let limit = rows::limit(VECTORS + OTHERS);
    let mut found = statement.query((owner.as_str().as_bytes(), created_at, name, limit))?;
    let (mut close, mut taken, mut of) = (Closeness::default(), Taken::default(), None);
    let mut left = VECTORS;
    while 0 < left
        && let Some(row) = found.next()?
    {
        let session = row.get(0)?;
        if let Some(last) = of.replace(session)
            && last != session
        {
            close.add(last, &query.values, &mut taken);
        }
        if is_comparable(row, query)? {
            taken.positions.push(row.get(1)?);
            taken.vectors.push(vector(row)?);
            left -= 1;
        }
    }
    if let Some(last) = of {
        close.add(last, &query.values, &mut taken);
    }
    Ok(close)
}

/// When the oldest session that a search looks at was made, and its name.
fn oldest(connection: &Connection, owner: &Owner) -> Outcome<(i64, Vec<u8>)> {
    let sql = "SELECT created_at, name FROM sessions WHERE owner = ?1 \
               ORDER BY created_at DESC, name DESC LIMIT 1 OFFSET ?2";
    let found = connection
        .prepare_cached(sql)?
        .query_row((owner.as_str().as_bytes(), rows::limit(SESSIONS - 1)), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    Ok(found.unwrap_or((i64::MIN, Vec::new())))
}

fn is_comparable(row: &Row<'_>, query: &QueryVector) -> rusqlite::Result<bool> {
    let size = row.get_ref(4)?.as_blob()?.len();
    Ok(size == query.values.len() && row.get_ref(5)?.as_str()? == query.model)
}

fn vector(row: &Row<'_>) -> rusqlite::Result<Vector> {
    let scale: f32 = row.get(3)?;
    let numbers = row.get_ref(4)?.as_blob()?;
    let values = numbers.iter().map(|it| f32::from(it.cast_signed()) * scale).collect();
    Ok(Vector { position: rows::unsigned(row, 2)?, values })
}

/// Keeps embeddings; those of entries that are gone are dropped.
pub(crate) fn keep(connection: &Connection, model: &str, embeddings: &[Embedded]) -> Outcome<()> {
    for it in embeddings {
        let sql = "SELECT m.id, m.session, m.place FROM sessions s \
                   JOIN messages m ON m.session = s.id \
                   WHERE s.owner = ?1 AND s.name = ?2 AND m.seq = ?3 AND m.words IS NOT NULL";
        let (owner, name) =
            (it.session.owner.as_str().as_bytes(), it.session.id.as_str().as_bytes());
        let seq = rows::position(it.seq);
        let entry: Option<(i64, i64, i64)> = connection
            .prepare_cached(sql)?
            .query_row((owner, name, seq), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let Some((message, session, place)) = entry else { continue };
        let (scale, numbers) = quantised(&it.values);
        let sql = "INSERT OR REPLACE INTO recall_vectors \
                       (session, seq, place, model, scale, numbers) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let vector = (session, seq, place, model, scale, numbers);
        connection.prepare_cached(sql)?.execute(vector)?;
        let sql = "UPDATE messages SET model = ?2 WHERE id = ?1";
        connection.prepare_cached(sql)?.execute((message, model))?;
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
    for which in ["m.model IS NULL AND ?1 <> ''", "m.model < ?1", "?1 < m.model"] {
        let sql = format!(
            "SELECT s.owner, s.name, m.seq, m.parent, m.json, m.id \
             FROM messages m CROSS JOIN sessions s ON s.id = m.session \
             WHERE m.words IS NOT NULL AND {which} AND s.owner <> X'' ORDER BY m.model, m.id"
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
