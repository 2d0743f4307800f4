//! Summaries: where they were made, and each in a field of its own.

use brain_core::{
    ids::{Seq, SessionKey},
    memory::{Edition, MemoryError, MemoryErrorKind, Summary},
};

use crate::{
    keys,
    reply::Reply,
    store::{Attempts, Change, Committed, Look, RedisStore},
};

const KEEP: &str = "keep a summary";
const READ: &str = "read the summaries";

/// Where summaries were made, by position.
pub(crate) fn parse_places(reply: Reply, field: Option<&[u8]>) -> Result<Vec<Seq>, MemoryError> {
    let parse = |text: &str| text.split(' ').map(|it| it.parse().ok().map(Seq)).collect();
    field.map_or(Ok(Vec::new()), |it| reply.parsed(it, parse))
}

/// Sets where summaries were made, or drops that where none is left.
pub(crate) fn put_places(change: &mut Change, places: &[Seq]) {
    let words: Vec<String> = places.iter().map(Seq::to_string).collect();
    let field = keys::SUMMARIES.to_vec();
    if words.is_empty() {
        change.drops.push(field);
    } else {
        change.sets.push((field, words.join(" ").into_bytes()));
    }
}

/// A summary's field.
pub(crate) fn field(
    operation: &'static str,
    summary: &Summary,
) -> Result<(Vec<u8>, Vec<u8>), MemoryError> {
    let json = serde_json::to_vec(summary);
    let json = json.map_err(|error| Reply(operation).corrupt().with_source(error))?;
    Ok((keys::summary(summary.at), json))
}

impl RedisStore {
    /// [`brain_core::memory::Catalog::keep_summary`].
    pub(crate) async fn put_summary(
        &self,
        key: &SessionKey,
        edition: Edition,
        summary: &Summary,
    ) -> Result<(), MemoryError> {
        let attempts = Attempts::new(KEEP);
        loop {
            let look = Look { parent: Some(summary.at), ..Look::at([keys::SUMMARIES.to_vec()]) };
            let seen = self.look(KEEP, key, look).await?;
            let Some(stored) = &seen.stored else {
                return Err(MemoryError::new(KEEP, self.absence(KEEP, key).await?));
            };
            if stored.session.edition != edition {
                return Err(MemoryError::new(KEEP, MemoryErrorKind::Conflict));
            }
            if !seen.parent_exists {
                return Err(MemoryError::new(KEEP, MemoryErrorKind::UnknownParent));
            }
            let before = seen.field(0);
            let mut places = parse_places(Reply(KEEP), before)?;
            if let Err(index) = places.binary_search(&summary.at) {
                places.insert(index, summary.at);
            }
            let mut change = Change {
                guards: vec![
                    (keys::DESCRIPTION.to_vec(), stored.description.clone()),
                    (keys::SUMMARIES.to_vec(), before.unwrap_or_default().to_vec()),
                ],
                sets: vec![field(KEEP, summary)?],
                unnoticed: true,
                ..Change::default()
            };
            put_places(&mut change, &places);
            if self.commit(KEEP, key, change).await? == Committed::Yes {
                return Ok(());
            }
            attempts.again()?;
        }
    }

    /// [`brain_core::memory::Catalog::summaries`].
    pub(crate) async fn summaries_of(&self, key: &SessionKey) -> Result<Vec<Summary>, MemoryError> {
        let reply = Reply(READ);
        let seen = self.look(READ, key, Look::at([keys::SUMMARIES.to_vec()])).await?;
        let places = parse_places(reply, seen.field(0))?;
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let look = Look::at(places.into_iter().map(keys::summary));
        let found = self.look(READ, key, look).await?.fields.into_iter().flatten();
        found.map(|it| reply.json(&it)).collect()
    }
}
