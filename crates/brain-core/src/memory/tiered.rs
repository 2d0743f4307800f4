//! Two tiers as one store: a durable one that decides, and a hot one in front of it.
//!
//! It is no cache that may answer for the other: the durable tier acknowledges every write and
//! every read of a durable session, and where it is down, memory is unavailable. The hot tier
//! holds copies, which cost latency when they are missing, stale, slow or dead, and nothing else.
//!
//! # Durable sessions
//!
//! A write goes to the durable tier. Once that has acknowledged it, the hot copy is brought up to
//! date off the reply's path: a queue bounded in number and bytes, one task that works it off, a
//! deadline for each call and a breaker. Every such write is conditional on the state that it goes on from.
//!
//! A copy is read only where [`ReadOptions::unverified`](super::ReadOptions) says that the caller's
//! append will check its token. Every other read is the durable tier's own: asking it for the token
//! alone would cost as much as asking it for the entries.
//!
//! A token proves the tree of entries, but not title, system prompt and the like, which change
//! without a new one. So a copy is read only while this process *trusts* it: from when it filled
//! the copy itself, until it changes the session in such a way, could not bring the copy up to date,
//! or a minute has passed. The minute is for other processes on the same storage.
//!
//! # Ephemeral sessions
//!
//! Their content, turns and keys live in the hot tier alone, as in a store. The durable tier keeps
//! id, class and times as an empty session, which is made first. A session that is there but not in
//! the hot tier has expired; where the hot tier is down it is unavailable. An export holds what of
//! them is alive, and so does a listing; while the hot tier cannot be asked, an export fails, and a
//! listing has durable sessions alone. A name that has expired can be taken by making a
//! session, as if the old one was forgotten first. Search does not find them.
//!
//! # Forgetting
//!
//! The durable tier forgets first, and notes that the session is not settled yet; then the hot
//! one buries it. What could not be buried is pending, and is buried once the tier is back, after a
//! restart too. One entry of a session leaves the hot copy before and after it leaves the durable
//! tier; what is pending then is known to this process alone, and is noted before anything is
//! erased: an entry whose note finds no room is not forgotten, and the caller told to come back.
//!
//! # Adoption
//!
//! What the hot tier holds as a store of its own, from a time without a durable tier, is moved to
//! the durable tier before the first use of its owner in this process, turns and idempotency keys
//! too. A session in which somebody still works there is unavailable here until it can be moved.

mod adopt;
mod catalog;
mod copies;
mod ephemeral;
mod healer;
mod health;
mod hot;
mod index;
mod known;
mod log;
mod make;
mod portable;
mod recall;
mod stripes;
mod turns;

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
};

use futures_channel::oneshot;

use self::{adopt::Adoption, copies::Copies, hot::Hot, known::Known, stripes::Stripes};
use super::{HotTier, MemoryClass, MemoryError, MemoryErrorKind, MemoryStore};
use crate::{ids::SessionKey, task::Spawner, time::Clock};

/// What memory of two tiers is made of.
#[derive(Clone, Debug)]
pub struct TieredPorts {
    /// Copies, and ephemeral sessions.
    pub hot: Arc<dyn HotTier>,
    /// What the hot tier is called where its health is told, even while it cannot say so itself:
    /// `redis` or `process`.
    pub hot_name: &'static str,
    /// What acknowledges.
    pub durable: Arc<dyn MemoryStore>,
    /// Deadlines of the hot tier go by it.
    pub clock: Arc<dyn Clock>,
    /// Runs what goes on after the reply.
    pub spawner: Arc<dyn Spawner>,
}

/// A durable store with a hot tier in front of it.
#[derive(Clone)]
pub struct TieredMemory {
    tiers: Arc<Tiers>,
}

/// Both tiers, and what this process knows of them.
struct Tiers {
    hot: Hot,
    durable: Arc<dyn MemoryStore>,
    clock: Arc<dyn Clock>,
    spawner: Arc<dyn Spawner>,
    known: Known,
    copies: Copies,
    adoption: Adoption,
    /// One maker or forgetter of a session at a time.
    making: Stripes,
    /// Whether a task works on what the hot tier owes.
    healing: AtomicBool,
    /// Whether it was asked to since it last began to look.
    heals_again: AtomicBool,
}

impl TieredMemory {
    /// Joins the tiers. What was forgotten before and is not settled yet is settled in the
    /// background.
    #[must_use]
    pub fn new(ports: TieredPorts) -> Self {
        let TieredPorts { hot, hot_name, durable, clock, spawner } = ports;
        let alone = !durable.capabilities().shared;
        let tiers = Arc::new(Tiers {
            hot: Hot::new(hot, hot_name, Arc::clone(&clock)),
            durable,
            clock,
            spawner,
            known: Known::new(alone),
            copies: Copies::default(),
            adoption: Adoption::default(),
            making: Stripes::default(),
            healing: AtomicBool::new(false),
            heals_again: AtomicBool::new(false),
        });
        tiers.settle_soon();
        Self { tiers }
    }
}

impl fmt::Debug for TieredMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TieredMemory").field("durable", &self.tiers.durable).finish_non_exhaustive()
    }
}

impl Tiers {
    /// The class of a session; `None` if there is no such session.
    async fn class(&self, key: &SessionKey) -> Result<Option<MemoryClass>, MemoryError> {
        if let Some(class) = self.known.class(key) {
            return Ok(Some(class));
        }
        let epoch = self.known.epoch();
        let class = self.durable.session(key).await?.map(|it| it.class);
        if let Some(class) = class {
            self.known.learn(epoch, key, class);
        }
        Ok(class)
    }

    async fn is_ephemeral(&self, key: &SessionKey) -> Result<bool, MemoryError> {
        Ok(self.class(key).await? == Some(MemoryClass::Ephemeral))
    }

    /// Does something that, once begun, goes on though its caller may not wait for it.
    async fn to_the_end<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, MemoryError>> + Send + 'static,
    ) -> Result<T, MemoryError> {
        let (tell, told) = oneshot::channel();
        self.spawner.spawn(Box::pin(async move {
            // Nobody may be waiting any more.
            drop(tell.send(work.await));
        }));
        let lost = |_| MemoryError::new(operation, MemoryErrorKind::OutcomeUnknown);
        told.await.map_err(lost)?
    }
}
