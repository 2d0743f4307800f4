//! Which sessions there are: making, listing and describing them.

use async_trait::async_trait;
use brain_core::{
    ids::{Owner, SessionId, SessionKey},
    memory::{
        Catalog, Edition, ListOptions, MemoryError, MemoryErrorKind, NewSession, PageKey, Session,
        SessionPatch, Summary,
    },
    time::Timestamp,
};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::{
    index::{AT_ONCE, scored},
    keys,
    reply::Reply,
    scripts,
    state::{Description, Stored},
    store::{Attempts, Change, Committed, Look, RedisStore},
};

const CREATE: &str = "create the session";
const SESSION: &str = "read the session";
const LIST: &str = "list the sessions";
const PATCH: &str = "change the session";

/// On which side of a session a page lies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side<'a> {
    /// The newest ones, newest first.
    Newest,
    /// Older ones, newest first.
    Before(&'a PageKey),
}

/// What an index says of a session.
type Indexed = (SessionId, Timestamp);

impl RedisStore {
    /// A page of an index, as it is: some of it may be gone, or made at another time.
    async fn index_page(
        &self,
        owner: &Owner,
        side: Side<'_>,
        limit: usize,
    ) -> Result<Vec<Indexed>, MemoryError> {
        let (side, page_key) = match side {
            Side::Newest => ("all", None),
            Side::Before(key) => ("before", Some(key)),
        };
        let (made, id) = match page_key {
            Some(it) => (it.created_at.as_millis().to_string(), it.id.as_str()),
            None => ("0".to_owned(), ""),
        };
        let words = [side, &made, id, &limit.to_string()];
        let args = words.map(|it| it.as_bytes().to_vec()).into();
        let keys = [self.keys.index(owner)];
        let found = self.pool.script(LIST, &scripts::PAGE, &keys, args, false).await?;
        let reply = Reply(LIST);
        let found = scored(reply, found)?.into_iter().map(|(id, made)| {
            let id = SessionId::new(id).map_err(|_| reply.corrupt())?;
            Ok((id, Timestamp::from_millis(made)))
        });
        found.collect()
    }

    pub(crate) async fn stored(
        &self,
        operation: &'static str,
        key: &SessionKey,
    ) -> Result<Option<Stored>, MemoryError> {
        let mut header = redis::cmd("HMGET");
        header.arg(self.keys.session(key)).arg(keys::STATE).arg(keys::DESCRIPTION);
        let found =
            self.pool.command(operation, header.arg(keys::UPDATED).to_owned(), false).await?;
        let reply = Reply(operation);
        let fields = reply.fields(found)?.try_into().map_err(|_| reply.corrupt())?;
        Stored::parse(reply, key, fields)
    }

    /// The sessions of a page, without those that are gone. One that stands in the wrong place is
    /// put right and left out: it is met where it belongs.
    async fn verified(
        &self,
        owner: &Owner,
        page: Vec<Indexed>,
    ) -> Result<Vec<Session>, MemoryError> {
        let found = stream::iter(page).map(|(id, made)| async move {
            let key = SessionKey::new(owner.clone(), id);
            let stored = self.stored(LIST, &key).await?;
            Ok::<_, MemoryError>((key, made, stored.map(|it| it.session)))
        });
        let found: Vec<_> = found.buffered(AT_ONCE).try_collect().await?;
        let (mut sessions, mut gone) = (Vec::new(), Vec::new());
        for (key, made, session) in found {
            match session {
                Some(session) if session.created_at == made => sessions.push(session),
                Some(session) => self.put_right(&key, session.created_at).await,
                None => gone.push(key.id),
            }
        }
        self.prune_sessions(owner, &gone).await;
        Ok(sessions)
    }

    /// Puts a session where it belongs in its owner's index.
    async fn put_right(&self, key: &SessionKey, made: Timestamp) {
        if let Err(error) = self.note_made(LIST, key, made).await {
            tracing::debug!(%error, "left a session in the wrong place of an index");
        }
    }

    /// At most `limit` sessions on one side of another one.
    pub(crate) async fn page(
        &self,
        owner: &Owner,
        side: Side<'_>,
        limit: usize,
    ) -> Result<Vec<Session>, MemoryError> {
        /// More than that are asked for in several pages.
        const PAGE: usize = 500;
        let mut sessions = Vec::new();
        let mut last: Option<PageKey> = None;
        while sessions.len() < limit {
            let count = PAGE.min(limit - sessions.len());
            let side = match (&last, side) {
                (None, side) => side,
                (Some(last), Side::Newest | Side::Before(_)) => Side::Before(last),
            };
            let page = self.index_page(owner, side, count).await?;
            let Some((id, created_at)) = page.last().cloned() else { break };
            let whole = page.len() == count;
            sessions.extend(self.verified(owner, page).await?);
            last = Some(PageKey { created_at, id });
            if !whole {
                break;
            }
        }
        Ok(sessions)
    }
}

#[async_trait]
impl Catalog for RedisStore {
    async fn create(&self, key: &SessionKey, new: NewSession) -> Result<Session, MemoryError> {
        let seen = self.look(CREATE, key, Look::default()).await?;
        let conflict = || MemoryError::new(CREATE, MemoryErrorKind::Conflict);
        if seen.stored.is_some() {
            return Err(conflict());
        }
        let stored = Stored::made(CREATE, Session::new(key.id.clone(), new, seen.now))?;
        self.note_session(CREATE, (key, seen.now), seen.now).await?;
        let mut sets = stored.sets();
        sets.push(stored.description_field());
        let change = Change { guards: vec![seen.guard()], sets, ..Change::default() };
        match self.commit(CREATE, key, change).await? {
            Committed::Yes => Ok(stored.session),
            Committed::Changed | Committed::Void => Err(conflict()),
        }
    }

    async fn session(&self, key: &SessionKey) -> Result<Option<Session>, MemoryError> {
        Ok(self.stored(SESSION, key).await?.map(|it| it.session))
    }

    async fn list(&self, owner: &Owner, options: ListOptions) -> Result<Vec<Session>, MemoryError> {
        let side = options.before.as_ref().map_or(Side::Newest, Side::Before);
        self.page(owner, side, options.limit).await
    }

    async fn patch(
        &self,
        key: &SessionKey,
        patch: SessionPatch,
    ) -> Result<Option<Session>, MemoryError> {
        let attempts = Attempts::new(PATCH);
        loop {
            let seen = self.look(PATCH, key, Look::default()).await?;
            let Some(mut stored) = seen.stored else { return Ok(None) };
            let guards = vec![(keys::DESCRIPTION.to_vec(), stored.description.clone())];
            stored.session.apply(patch.clone(), seen.now);
            stored.description = Description::of(PATCH, stored.state.born, &stored.session)?;
            let mut sets = stored.sets();
            sets.remove(0);
            sets.push(stored.description_field());
            let change = Change { guards, sets, ..Change::default() };
            if self.commit(PATCH, key, change).await? == Committed::Yes {
                return Ok(Some(stored.session));
            }
            attempts.again()?;
        }
    }

    async fn keep_summary(
        &self,
        key: &SessionKey,
        edition: Edition,
        summary: Summary,
    ) -> Result<(), MemoryError> {
        self.put_summary(key, edition, &summary).await
    }

    async fn summaries(&self, key: &SessionKey) -> Result<Vec<Summary>, MemoryError> {
        self.summaries_of(key).await
    }
}
