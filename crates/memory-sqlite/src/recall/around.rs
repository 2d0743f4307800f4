//! What stands beside an entry: its neighbours among those that can be found, read by walking its
//! session up and down.

use std::collections::BTreeMap;

use brain_core::recall::{Place, REACH};
use rusqlite::{Connection, Row};

use crate::{error::Outcome, rows};

/// So far on either side an entry counts.
const SPAN: i64 = 2 * REACH as i64;
/// So many entries that cannot be found are looked past for a neighbour.
const SILENT: i64 = 256;

/// Entries of a session by position, and the place of each.
pub(super) type Seeds = BTreeMap<i64, i64>;

/// Entries that are near to each other, and what is to be read with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    /// The positions of the first entry and of the last one,
    seeds: (i64, i64),
    /// and the places from which and to which others count.
    places: (i64, i64),
}

/// These entries of a session and those near to them, each once, with their positions.
pub(super) fn around(
    connection: &Connection,
    session: i64,
    seeds: &Seeds,
) -> Outcome<Vec<(i64, Place)>> {
    let mut found: Vec<(i64, Place)> = Vec::new();
    for stretch in stretches(seeds) {
        let read = found.last().map_or(0, |(seq, _)| *seq);
        let mut before = before(connection, session, (read, stretch))?;
        before.reverse();
        found.append(&mut before);
        after(connection, session, stretch, &mut found)?;
    }
    Ok(found)
}

/// What is to be read for these, in stretches that do not overlap.
fn stretches(seeds: &Seeds) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for (seq, place) in seeds {
        let (first, last) = (place.saturating_sub(SPAN), place.saturating_add(SPAN));
        match stretches.last_mut() {
            Some(stretch) if first <= stretch.places.1 && seq - stretch.seeds.1 <= SILENT => {
                stretch.seeds.1 = *seq;
                stretch.places.1 = last;
            }
            _ => stretches.push(Stretch { seeds: (*seq, *seq), places: (first, last) }),
        }
    }
    stretches
}

/// What stands before a stretch and after what was `read`, the nearest first.
fn before(
    connection: &Connection,
    session: i64,
    (read, stretch): (i64, Stretch),
) -> Outcome<Vec<(i64, Place)>> {
    let sql = "SELECT seq, place, id, words, asks FROM messages \
               WHERE session = ?1 AND seq < ?2 AND ?3 < seq ORDER BY seq DESC LIMIT ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((session, stretch.seeds.0, read, SILENT))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()?
        && stretch.places.0 <= row.get(1)?
    {
        found.extend(place(row)?);
    }
    Ok(found)
}

/// Adds a stretch, and what stands after it.
fn after(
    connection: &Connection,
    session: i64,
    stretch: Stretch,
    found: &mut Vec<(i64, Place)>,
) -> Outcome<()> {
    let sql = "SELECT seq, place, id, words, asks FROM messages \
               WHERE session = ?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq";
    let mut statement = connection.prepare_cached(sql)?;
    let last = stretch.seeds.1.saturating_add(SILENT);
    let mut rows = statement.query((session, stretch.seeds.0, last))?;
    while let Some(row) = rows.next()?
        && row.get::<_, i64>(1)? <= stretch.places.1
    {
        found.extend(place(row)?);
    }
    Ok(())
}

/// An entry that can be found, and its position.
fn place(row: &Row<'_>) -> Outcome<Option<(i64, Place)>> {
    let Some(words) = row.get(3)? else { return Ok(None) };
    let asks: Option<bool> = row.get(4)?;
    let place = Place {
        id: row.get(2)?,
        position: rows::unsigned(row, 1)?,
        words,
        asks: asks.unwrap_or(false),
        ..Place::default()
    };
    Ok(Some((row.get(0)?, place)))
}

#[cfg(test)]
mod tests {
    use super::{SILENT, Stretch, stretches};

    #[test]
    fn neighbourhoods_are_read_once() {
        let check = |seeds: &[(i64, i64)], expected: &[[i64; 4]]| {
            let found = stretches(&seeds.iter().copied().collect());
            let stretch = |it: &[i64; 4]| Stretch { seeds: (it[0], it[1]), places: (it[2], it[3]) };
            assert_eq!(found, expected.iter().map(stretch).collect::<Vec<_>>(), "{seeds:?}");
        };
        check(&[], &[]);
        check(&[(50, 5)], &[[50, 50, 1, 9]]);
        check(&[(5, 5), (9, 6), (30, 13)], &[[5, 30, 1, 17]]);
        check(&[(5, 5), (14, 14)], &[[5, 5, 1, 9], [14, 14, 10, 18]]);
        // Few can be found between them, but much stands there.
        let far = 6 + SILENT;
        check(&[(5, 5), (far, 6)], &[[5, 5, 1, 9], [far, far, 2, 10]]);
    }
}
