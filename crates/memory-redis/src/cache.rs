//! Copies of sessions that live elsewhere: the newest entries of the head's branch.
//!
//! A copy is a hash like a session's, under a key of its own kind. It holds one state, or is not
//! there; what it has not, the session may have.

use async_trait::async_trait;
use brain_core::{
    ids::{Owner, SessionKey, Token},
    memory::{
        Branch, Draft, Entry, Forget, Forgotten, MemoryError, ReadOptions, Session, SessionCache,
        TakenOver,
    },
};

use crate::{
    erase::BURIAL,
    keys,
    reply::Reply,
    scripts,
    state::Stored,
    store::{RedisStore, millis},
    summaries, value,
};

const FILL: &str = "keep a copy of the session";
const ADVANCE: &str = "renew the copy of the session";
const DROP: &str = "drop the copy of the session";
/// A copy with more bytes of entries is dropped; the next one begins with what is read then.
const MOST_BYTES: usize = 8 << 20;
/// Most entries that a copy begins with: more than a context window reads.
const MOST: usize = 1_000;

/// Fields and values of entries, and how many bytes they have.
fn entry_fields(entries: &[Entry]) -> Result<(Vec<Vec<u8>>, usize), MemoryError> {
    let (mut fields, mut bytes) = (Vec::with_capacity(2 * entries.len()), 0);
    for it in entries {
        let draft = Draft::new((*it.body).clone())?;
        let value = value::value(it.parent, &draft);
        bytes += value.len();
        fields.extend([keys::entry(it.seq), value]);
    }
    Ok((fields, bytes))
}

/// Whether this is the end of the head's branch, without a gap.
fn is_copy(branch: &Branch) -> bool {
    let Branch { session, entries, .. } = branch;
    let mut linked = entries.iter().zip(entries.iter().skip(1));
    let is_heads = entries.last().map(|it| it.seq) == session.head;
    is_heads && linked.all(|(one, next)| next.parent == Some(one.seq))
}

/// Fields and values of the session itself.
fn header_fields(
    operation: &'static str,
    session: &Session,
) -> Result<impl Iterator<Item = Vec<u8>>, MemoryError> {
    let stored = Stored::made(operation, session.clone())?;
    let mut fields = stored.sets();
    fields.push(stored.description_field());
    Ok(fields.into_iter().flat_map(|(field, value)| [field, value]))
}

#[async_trait]
impl SessionCache for RedisStore {
    async fn cached(
        &self,
        key: &SessionKey,
        options: ReadOptions,
    ) -> Result<Option<Branch>, MemoryError> {
        self.read_copy(key, options).await
    }

    async fn fill(&self, key: &SessionKey, copy: &Branch) -> Result<(), MemoryError> {
        let Branch { session, entries, summary } = copy;
        let newest = entries.get(entries.len().saturating_sub(MOST)..).unwrap_or_default();
        let (entries, bytes) = entry_fields(newest)?;
        if !is_copy(copy) || MOST_BYTES < bytes {
            return Ok(());
        }
        let words = [
            session.token.to_string(),
            session.created_at.as_millis().to_string(),
            bytes.to_string(),
            u8::from(summary.is_some()).to_string(),
        ];
        let mut args = vec![self.ttl()];
        args.extend(words.into_iter().map(String::into_bytes));
        args.extend(header_fields(FILL, session)?);
        args.extend(entries);
        if let Some(summary) = summary {
            let (field, json) = summaries::field(FILL, summary)?;
            let place = summary.at.to_string().into_bytes();
            args.extend([keys::SUMMARIES.to_vec(), place, field, json]);
        }
        let keys = [self.keys.copy(key), self.keys.burial(key)];
        self.pool.script(FILL, &scripts::FILL, &keys, args, true).await?;
        Ok(())
    }

    async fn advance(
        &self,
        key: &SessionKey,
        previous: Token,
        session: &Session,
        entries: &[Entry],
    ) -> Result<(), MemoryError> {
        let (entries, bytes) = entry_fields(entries)?;
        let words = [previous.to_string(), bytes.to_string(), MOST_BYTES.to_string()];
        let mut args = vec![self.ttl()];
        args.extend(words.into_iter().map(String::into_bytes));
        args.extend(header_fields(ADVANCE, session)?);
        args.extend(entries);
        let keys = [self.keys.copy(key)];
        self.pool.script(ADVANCE, &scripts::ADVANCE, &keys, args, true).await?;
        Ok(())
    }

    async fn evict(&self, key: &SessionKey) -> Result<(), MemoryError> {
        let mut unlink = redis::cmd("UNLINK");
        unlink.arg(self.keys.copy(key));
        self.pool.command(DROP, unlink, true).await?;
        Ok(())
    }

    async fn bury(&self, key: &SessionKey) -> Result<Forgotten, MemoryError> {
        if let Some(alone) = &self.alone
            && alone.stored(DROP, key).await?.is_some()
        {
            alone.erase(key, Forget::Always).await?;
        }
        let keys = [self.keys.copy(key), self.keys.burial(key)];
        let args = vec![self.given_now(), millis(BURIAL)];
        let erased = self.pool.script(DROP, &scripts::BURY, &keys, args, true).await?;
        let erased = Reply(DROP).int(erased)?.unsigned_abs();
        Ok(Forgotten { erased, pending: 0 })
    }

    async fn take_over(&self, owner: &Owner) -> Result<TakenOver, MemoryError> {
        self.take_over_all(owner).await
    }
}
