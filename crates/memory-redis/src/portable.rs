//! Moving sessions out and in: an export walks over lists and scans, and what is put back is
//! compared with what is there, then committed as a whole.

use std::fmt::Write;

use async_trait::async_trait;
use brain_core::{
    ids::{Owner, Seq, SessionKey, Token},
    memory::{
        Draft, ExportPart, ExportedSession, MemoryError, MemoryErrorKind, NewSession, Portable,
        Restored, Session, export_by_scan,
    },
};
use futures_util::stream::BoxStream;

use crate::{
    branch, keys,
    reply::Reply,
    state::{Description, Stored},
    store::{Attempts, Change, Committed, Look, RedisStore, Seen},
    summaries, value,
};

const RESTORE: &str = "restore the session";

#[async_trait]
impl Portable for RedisStore {
    async fn export(
        &self,
        owner: &Owner,
    ) -> Result<BoxStream<'static, Result<ExportPart, MemoryError>>, MemoryError> {
        Ok(export_by_scan(self.clone(), owner.clone()))
    }

    async fn restore(
        &self,
        key: &SessionKey,
        import: &ExportedSession,
    ) -> Result<Restored, MemoryError> {
        import.check_tree()?;
        let drafts = import.entries.iter().map(|it| Draft::new(it.entry.clone()));
        let drafts: Vec<Draft> = drafts.collect::<Result<_, _>>()?;
        let attempts = Attempts::new(RESTORE);
        loop {
            let seen = self.look(RESTORE, key, Look::at([keys::SUMMARIES.to_vec()])).await?;
            let (restored, skip) = compare(self, key, import, &seen).await?;
            if restored == Restored::Unchanged {
                return Ok(restored);
            }
            let change = taken_over(key, import, (&drafts, skip), &seen)?;
            if seen.stored.is_none() {
                self.note_session(RESTORE, (key, import.created_at), seen.now).await?;
            } else {
                self.note_changed(RESTORE, key, seen.now).await?;
            }
            if self.commit(RESTORE, key, change).await? == Committed::Yes {
                return Ok(restored);
            }
            attempts.again()?;
        }
    }
}

/// What restoring amounts to, and how many entries are there already.
async fn compare(
    store: &RedisStore,
    key: &SessionKey,
    import: &ExportedSession,
    seen: &Seen,
) -> Result<(Restored, usize), MemoryError> {
    let Some(stored) = &seen.stored else { return Ok((Restored::Created, 0)) };
    if stored.state.held.is_some() {
        return Err(MemoryError::new(RESTORE, MemoryErrorKind::Conflict));
    }
    let entries = branch::scan(store, key, Seq(0), usize::MAX).await?;
    let restored = import.compare(&ExportedSession::of(&stored.session, &entries, Vec::new()))?;
    Ok((restored, entries.len()))
}

/// The session as the import has it, with the entries after the first `skip`.
fn taken_over(
    key: &SessionKey,
    import: &ExportedSession,
    (drafts, skip): (&[Draft], usize),
    seen: &Seen,
) -> Result<Change, MemoryError> {
    let mut stored = match &seen.stored {
        Some(stored) => stored.clone(),
        None => {
            let new = NewSession { class: import.class, ..NewSession::default() };
            Stored::made(RESTORE, Session::new(key.id.clone(), new, import.created_at))?
        }
    };
    stored.state.last = import.entries.last().map_or(Seq(0), |it| it.seq);
    stored.state.entries = import.entries.len() as u64;
    stored.state.head = import.head;
    describe(&mut stored.session, import);
    stored.changed(Token::random(), import.updated_at);
    stored.description = Description::of(RESTORE, stored.state.born, &stored.session)?;
    let mut change = Change { guards: vec![seen.guard()], ..Change::default() };
    if let Some(before) = &seen.stored {
        change.guards.push((keys::DESCRIPTION.to_vec(), before.description.clone()));
    }
    let entries = import.entries.iter().zip(drafts).skip(skip);
    let entries = entries.map(|(it, draft)| (keys::entry(it.seq), value::value(it.parent, draft)));
    change.sets.extend(entries);
    change.sets.extend(stored.sets());
    change.sets.push(stored.description_field());
    put_gaps(&mut change, import);
    put_summaries(&mut change, import, seen)?;
    Ok(change)
}

fn describe(session: &mut Session, import: &ExportedSession) {
    session.title.clone_from(&import.title);
    session.metadata.clone_from(&import.metadata);
    session.system.clone_from(&import.system);
    session.recall = import.recall;
}

/// Which positions the import leaves out, as `lua/scan.lua` reads it.
fn put_gaps(change: &mut Change, import: &ExportedSession) {
    let mut gaps = String::new();
    let mut next = 1;
    for it in &import.entries {
        if next < it.seq.0 {
            // Writing to a string does not fail.
            let _ = write!(gaps, "{next}-{} ", it.seq);
        }
        next = it.seq.0 + 1;
    }
    if !gaps.is_empty() {
        change.sets.push((keys::GAPS.to_vec(), gaps.into_bytes()));
    }
}

/// The import's summaries in place of those that are there.
fn put_summaries(
    change: &mut Change,
    import: &ExportedSession,
    seen: &Seen,
) -> Result<(), MemoryError> {
    let before = seen.field(0);
    change.guards.push((keys::SUMMARIES.to_vec(), before.unwrap_or_default().to_vec()));
    let places: Vec<Seq> = import.summaries.iter().map(|it| it.at).collect();
    for it in summaries::parse_places(Reply(RESTORE), before)? {
        if !places.contains(&it) {
            change.drops.push(keys::summary(it));
        }
    }
    for it in &import.summaries {
        change.sets.push(summaries::field(RESTORE, it)?);
    }
    summaries::put_places(change, &places);
    Ok(())
}
