//! The store: what it is made of, and the two ways in which it changes a session.
//!
//! An append is one script. Everything else looks, decides here by the rules of `brain-core`, and
//! commits what it decided if nothing has changed meanwhile, else it looks again.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicUsize},
    time::{Duration, Instant},
};

use brain_core::{
    ids::{DatabaseId, Seq, SessionKey, TurnId},
    memory::{MemoryError, MemoryErrorKind},
    time::{Clock, Timestamp},
};
use redis::Value;

use crate::{
    RedisConfig,
    connect::{Pool, UrlError},
    keys::{self, Keys},
    known::{Embedded, KnownTurns, Touched, Unforgotten},
    reply::Reply,
    scripts,
    state::Stored,
};

/// How long something is tried again that others keep changing.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest TTL: Redis refuses times that do not fit its calendar.
const MAX_TTL: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// By which clock leases and times go.
#[derive(Clone, Debug)]
pub enum RedisClock {
    /// That of the Redis server, which all daemons share.
    Server,
    /// This one.
    Given(Arc<dyn Clock>),
}

/// Memory in Redis: all of it, or the hot tier of a durable store.
///
/// A clone is a handle. Its futures need a tokio runtime around them.
#[derive(Clone)]
pub struct RedisStore {
    pub(crate) pool: Pool,
    pub(crate) keys: Keys,
    pub(crate) ttl: Option<Duration>,
    pub(crate) clock: RedisClock,
    pub(crate) known: Arc<KnownTurns>,
    pub(crate) embedded: Arc<Embedded>,
    pub(crate) touched: Arc<Touched>,
    pub(crate) unforgotten: Arc<Unforgotten>,
    /// Where the next look for lapsed turns begins in the index of open ones.
    pub(crate) looked: Arc<AtomicUsize>,
    /// What this Redis has kept while it was in front of no database, if it is in front of one.
    pub(crate) alone: Option<Arc<Self>>,
    made: Instant,
}

impl RedisStore {
    /// A store on the Redis that `config` names. It connects when it is first used, so that a Redis
    /// that is down now is found when it is back.
    ///
    /// # Errors
    ///
    /// Those of [`UrlError`].
    pub fn new(config: &RedisConfig, clock: RedisClock) -> Result<Self, UrlError> {
        let alone = Self {
            pool: Pool::new(config)?,
            keys: Keys::new(&config.prefix),
            ttl: config.ttl.map(|it| it.clamp(Duration::from_millis(1), MAX_TTL)),
            clock,
            known: Arc::default(),
            embedded: Arc::default(),
            touched: Arc::default(),
            unforgotten: Arc::default(),
            looked: Arc::default(),
            alone: None,
            made: Instant::now(),
        };
        Ok(match config.database {
            Some(database) => alone.before(database),
            None => alone,
        })
    }

    /// The store in front of a database, on the same connections.
    fn before(self, database: DatabaseId) -> Self {
        Self {
            keys: self.keys.before(database),
            known: Arc::default(),
            embedded: Arc::default(),
            touched: Arc::default(),
            unforgotten: Arc::default(),
            looked: Arc::default(),
            alone: Some(Arc::new(self.clone())),
            ..self
        }
    }

    /// The TTL as scripts take it: milliseconds, `0` for none.
    pub(crate) fn ttl(&self) -> Vec<u8> {
        millis(self.ttl.unwrap_or_default())
    }

    /// The time as scripts take it: nothing where they look at the server's clock.
    pub(crate) fn given_now(&self) -> Vec<u8> {
        match &self.clock {
            RedisClock::Server => Vec::new(),
            RedisClock::Given(clock) => clock.now().as_millis().to_string().into_bytes(),
        }
    }

    /// A time without asking anybody: where the server's clock counts, since the store was made.
    pub(crate) fn moment(&self) -> Timestamp {
        match &self.clock {
            RedisClock::Server => Timestamp::from_millis(0).plus(self.made.elapsed()),
            RedisClock::Given(clock) => clock.now(),
        }
    }

    /// The time, by the clock that counts.
    pub(crate) async fn now(&self, operation: &'static str) -> Result<Timestamp, MemoryError> {
        let clock = match &self.clock {
            RedisClock::Given(clock) => return Ok(clock.now()),
            RedisClock::Server => self.pool.command(operation, redis::cmd("TIME"), false),
        };
        let reply = Reply(operation);
        let [seconds, micros] = reply.array(clock.await?)?;
        let (seconds, micros) = (reply.int(seconds)?, reply.int(micros)?);
        Ok(Timestamp::from_millis(seconds.saturating_mul(1000).saturating_add(micros / 1000)))
    }

    /// What the session is now.
    pub(crate) async fn look(
        &self,
        operation: &'static str,
        key: &SessionKey,
        look: Look,
    ) -> Result<Seen, MemoryError> {
        let Look { parent, round, fields } = look;
        let header = [keys::STATE, keys::DESCRIPTION, keys::UPDATED].map(<[u8]>::to_vec);
        let mut args = vec![crate::state::word(parent).into_bytes(), round.into_bytes()];
        args.extend(header.into_iter().chain(fields));
        let keys = [self.keys.session(key)];
        let found = self.pool.script(operation, &scripts::LOOK, &keys, args, false).await?;
        let reply = Reply(operation);
        let [time, exists, inside, fields] = reply.array(found)?;
        let mut fields = reply.fields(fields)?.into_iter();
        let mut next = || fields.next().flatten();
        let stored = Stored::parse(reply, key, [next(), next(), next()])?;
        let server = Timestamp::from_millis(reply.int(time)?);
        let now = match &self.clock {
            RedisClock::Server => server,
            RedisClock::Given(clock) => clock.now(),
        };
        Ok(Seen {
            now,
            stored,
            parent_exists: reply.int(exists)? == 1,
            inside_round: reply.int(inside)? == 1,
            fields: fields.collect(),
        })
    }

    /// Writes what was decided, if what it was decided by is still so.
    pub(crate) async fn commit(
        &self,
        operation: &'static str,
        key: &SessionKey,
        change: Change,
    ) -> Result<Committed, MemoryError> {
        let (opens, unnoticed) = (change.opens, change.unnoticed);
        let mut keys = vec![self.keys.session(key)];
        let turn = opens.map(|it| it.to_string().into_bytes());
        if turn.is_some() {
            keys.push(self.keys.void_turns(key));
        }
        let ttl = if unnoticed { Vec::new() } else { self.ttl() };
        let mut args = vec![ttl, turn.unwrap_or_default()];
        args.extend(change.into_args());
        let done = self.pool.script(operation, &scripts::COMMIT, &keys, args, true).await?;
        Ok(match done {
            Value::Int(1) => Committed::Yes,
            Value::Int(0) => Committed::Changed,
            _ => Committed::Void,
        })
    }

    /// Why there is no session where one was expected.
    pub(crate) async fn absence(
        &self,
        operation: &'static str,
        key: &SessionKey,
    ) -> Result<MemoryErrorKind, MemoryError> {
        let mut burial = redis::cmd("EXISTS");
        burial.arg(self.keys.burial(key));
        if Reply(operation).int(self.pool.command(operation, burial, false).await?)? == 1 {
            return Ok(MemoryErrorKind::Conflict);
        }
        let mut index = redis::cmd("ZSCORE");
        index.arg(self.keys.index(&key.owner)).arg(key.id.as_str());
        Ok(match self.pool.command(operation, index, false).await? {
            Value::Nil => MemoryErrorKind::Conflict,
            _ => MemoryErrorKind::Expired,
        })
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("pool", &self.pool).finish_non_exhaustive()
    }
}

/// A time span as Redis takes it.
pub(crate) fn millis(duration: Duration) -> Vec<u8> {
    duration.as_millis().to_string().into_bytes()
}

/// What to look at, beside the header.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// An entry that must exist.
    pub(crate) parent: Option<Seq>,
    /// What [`crate::value::round`] says of the entries that come after it.
    pub(crate) round: String,
    /// More fields.
    pub(crate) fields: Vec<Vec<u8>>,
}

impl Look {
    pub(crate) fn at(fields: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self { fields: fields.into_iter().collect(), parent: None, round: "clear".to_owned() }
    }
}

/// What a session was at one moment.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) now: Timestamp,
    pub(crate) stored: Option<Stored>,
    pub(crate) parent_exists: bool,
    pub(crate) inside_round: bool,
    pub(crate) fields: Vec<Option<Vec<u8>>>,
}

impl Seen {
    /// One of the other fields that were asked for.
    pub(crate) fn field(&self, index: usize) -> Option<&[u8]> {
        self.fields.get(index)?.as_deref()
    }

    /// The guard of everything that depends on the session's state.
    pub(crate) fn guard(&self) -> (Vec<u8>, Vec<u8>) {
        let line = self.stored.as_ref().map(|it| it.line.clone());
        (keys::STATE.to_vec(), line.unwrap_or_default())
    }
}

/// A change to commit.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// Fields, and what they must still hold; nothing where they must be absent.
    pub(crate) guards: Vec<(Vec<u8>, Vec<u8>)>,
    /// Fields to set. They go first: a Redis without room refuses them, and so the rest.
    pub(crate) sets: Vec<(Vec<u8>, Vec<u8>)>,
    /// Fields to delete.
    pub(crate) drops: Vec<Vec<u8>>,
    /// The turn that this opens for a client's key.
    pub(crate) opens: Option<TurnId>,
    /// Whether the session lives on no longer for it.
    pub(crate) unnoticed: bool,
}

impl Change {
    /// Guards, sets and drops as scripts take them.
    pub(crate) fn into_args(self) -> Vec<Vec<u8>> {
        let count = |it: usize| it.to_string().into_bytes();
        let Self { guards, sets, drops, .. } = self;
        let mut args = vec![count(guards.len())];
        args.extend(guards.into_iter().flat_map(|(field, value)| [field, value]));
        args.push(count(sets.len()));
        args.extend(sets.into_iter().flat_map(|(field, value)| [field, value]));
        args.extend(drops);
        args
    }
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Committed {
    Yes,
    /// Somebody was quicker: look again.
    Changed,
    /// The turn may not open any more.
    Void,
}

/// Bounds how long something is tried again.
#[derive(Debug)]
pub(crate) struct Attempts {
    operation: &'static str,
    since: Instant,
}

impl Attempts {
    pub(crate) fn new(operation: &'static str) -> Self {
        Self { operation, since: Instant::now() }
    }

    /// Before another attempt.
    ///
    /// # Errors
    ///
    /// [`MemoryErrorKind::Unavailable`] when there were enough.
    pub(crate) fn again(&self) -> Result<(), MemoryError> {
        if self.since.elapsed() < PATIENCE {
            return Ok(());
        }
        let error = MemoryError::new(self.operation, MemoryErrorKind::Unavailable);
        Err(error.with_source("others change the session without a pause"))
    }
}
