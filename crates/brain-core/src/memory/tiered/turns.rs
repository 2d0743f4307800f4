//! Turns: each lives in the tier that holds the content of its session.

use std::time::Duration;

use async_trait::async_trait;

use super::{TieredMemory, copies, copies::Change};
use crate::{
    ids::{SessionKey, TurnId},
    memory::{
        Catalog, Checkpoint, CloseTurn, Expect, Fence, MemoryClass, MemoryError, MemoryErrorKind,
        NewSession, OpenTurn, Opened, Signals, TurnRecord, Turns,
    },
};

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Turns for TieredMemory {
    async fn open(&self, open: OpenTurn) -> Result<Opened, MemoryError> {
        let tiers = &self.tiers;
        tiers.adopt_for(&open.session).await?;
        let mut maker = match open.append.expect {
            Expect::Absent => tiers.making.lock(&open.session).await,
            Expect::At(_) | Expect::Attach => None,
        };
        let mut class = tiers.class(&open.session).await?;
        let new = open.create.clone().filter(|_| class.is_none());
        let new = new.filter(|it| it.class == MemoryClass::Ephemeral && maker.is_some());
        let as_class = if new.is_some() { Some(MemoryClass::Ephemeral) } else { class };
        if let Some(known) = self.known_elsewhere(&open, as_class, new.is_some()).await? {
            return Ok(known);
        }
        if let Some(new) = new {
            maker = None;
            self.make_live(&open.session, new).await?;
            class = tiers.class(&open.session).await?;
        }
        let opened = match class {
            Some(MemoryClass::Durable) | None => self.open_durable(open).await,
            Some(MemoryClass::Ephemeral) => self.open_live(open).await,
        };
        drop(maker);
        opened
    }

    async fn take(&self, fence: Fence, lease: Duration) -> Result<TurnRecord, MemoryError> {
        let tiers = &self.tiers;
        tiers.known.turn_wrote(fence.turn, None);
        let durable = || tiers.durable.take(fence, lease);
        let taken = self.of_turn(fence.turn, durable, || tiers.hot.tier.take(fence, lease)).await;
        if let Ok((class, turn)) = &taken {
            tiers.known.saw(turn, *class);
        }
        taken.map(|(_, turn)| turn)
    }

    async fn renew(&self, fence: Fence, lease: Duration) -> Result<Signals, MemoryError> {
        let tiers = &self.tiers;
        let durable = || tiers.durable.renew(fence, lease);
        let renewed = self.of_turn(fence.turn, durable, || tiers.hot.tier.renew(fence, lease));
        renewed.await.map(|(_, signals)| signals)
    }

    async fn checkpoint(&self, fence: Fence, checkpoint: Checkpoint) -> Result<(), MemoryError> {
        let tiers = &self.tiers;
        let durable = || tiers.durable.checkpoint(fence, checkpoint.clone());
        let hot = || tiers.hot.tier.checkpoint(fence, checkpoint.clone());
        self.of_turn(fence.turn, durable, hot).await.map(|_| ())
    }

    async fn close(&self, close: CloseTurn) -> Result<TurnRecord, MemoryError> {
        let tiers = &self.tiers;
        let id = close.turn;
        let previous = tiers.known.turn(id).and_then(|it| it.token);
        let (parent, drafts) = (close.append.parent, close.append.drafts.clone());
        let durable = || tiers.durable.close(close.clone());
        let hot = || tiers.hot.tier.close(close.clone());
        let (class, turn) = self.of_turn(id, durable, hot).await?;
        tiers.known.saw(&turn, class);
        tiers.known.turn_wrote(id, None);
        match class {
            MemoryClass::Durable => {
                let entries = copies::entries(parent, &drafts, turn.answer);
                tiers.advance(&turn.session, previous, None, entries);
            }
            MemoryClass::Ephemeral => tiers.later(&turn.session, Change::Touch),
        }
        Ok(turn)
    }
}

impl TieredMemory {
    /// A turn of the other tier that has the idempotency key of `open`; of either tier if the
    /// session would be new to the hot one.
    async fn known_elsewhere(
        &self,
        open: &OpenTurn,
        class: Option<MemoryClass>,
        is_new: bool,
    ) -> Result<Option<Opened>, MemoryError> {
        let Some(asked) = &open.idempotency else { return Ok(None) };
        let (tiers, owner) = (&self.tiers, &open.session.owner);
        let mut known = match class {
            Some(MemoryClass::Durable) | None => None,
            Some(MemoryClass::Ephemeral) => tiers.durable.turn_by_key(owner, &asked.key).await?,
        };
        if known.is_none() && (class != Some(MemoryClass::Ephemeral) || is_new) {
            known = self.hot_turn_by_key(owner, &asked.key).await;
        }
        match known {
            Some(turn) if turn.idempotency.as_ref() == Some(asked) => Ok(Some(Opened::Known(turn))),
            Some(_) => Err(MemoryError::new("open the turn", MemoryErrorKind::KeyReused)),
            None => Ok(None),
        }
    }

    async fn open_durable(&self, open: OpenTurn) -> Result<Opened, MemoryError> {
        let tiers = &self.tiers;
        let key = open.session.clone();
        let previous = match open.append.expect {
            Expect::At(token) => Some(token),
            Expect::Absent | Expect::Attach => None,
        };
        let (parent, drafts) = (open.append.parent, open.append.drafts.clone());
        let done = tiers.durable.open(open).await;
        match &done {
            Ok(Opened::Started { turn, appended }) => {
                let last = appended.last.filter(|_| !drafts.is_empty());
                let entries = copies::entries(parent, &drafts, last);
                tiers.known.opened(turn, MemoryClass::Durable, appended.token);
                tiers.advance(&key, previous, Some(appended.token), entries);
            }
            Ok(Opened::Known(turn) | Opened::Busy { turn, .. }) => {
                tiers.known.saw(turn, MemoryClass::Durable);
            }
            Err(error) => tiers.check(&key, error.kind()),
        }
        done
    }

    /// Makes an ephemeral session, unless somebody has made one of the name meanwhile.
    async fn make_live(&self, key: &SessionKey, new: NewSession) -> Result<(), MemoryError> {
        match self.create(key, new).await {
            Err(error) if error.kind() != MemoryErrorKind::Conflict => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Opens a turn of a session whose durable part exists.
    async fn open_live(&self, open: OpenTurn) -> Result<Opened, MemoryError> {
        let tiers = &self.tiers;
        let key = open.session.clone();
        let open = OpenTurn { create: None, ..open };
        let opened = tiers.change_live(&key, tiers.hot.tier.open(open)).await?;
        match &opened {
            Opened::Started { turn, .. } | Opened::Known(turn) | Opened::Busy { turn, .. } => {
                tiers.known.saw(turn, MemoryClass::Ephemeral);
            }
        }
        Ok(opened)
    }

    /// Does something with a turn, where it is. One that this process has not seen is looked for in
    /// the durable tier, then in the hot one if that is up.
    async fn of_turn<T, Durable, Hot>(
        &self,
        turn: TurnId,
        durable: impl FnOnce() -> Durable + Send,
        hot: impl FnOnce() -> Hot + Send,
    ) -> Result<(MemoryClass, T), MemoryError>
    where
        T: Send,
        Durable: Future<Output = Result<T, MemoryError>> + Send,
        Hot: Future<Output = Result<T, MemoryError>> + Send,
    {
        let live = |it| (MemoryClass::Ephemeral, it);
        let class = self.tiers.known.turn(turn).map(|it| it.class);
        if class == Some(MemoryClass::Ephemeral) {
            return self.tiers.hot_store(hot()).await.map(live);
        }
        let done = durable().await.map(|it| (MemoryClass::Durable, it));
        let is_elsewhere = |it: &MemoryError| it.kind() == MemoryErrorKind::Superseded;
        if class.is_some() || !done.as_ref().is_err_and(is_elsewhere) {
            return done;
        }
        match self.tiers.hot_moment(hot()).await {
            Err(error) if error.is_transient() => done,
            answer @ (Ok(_) | Err(_)) => answer.map(live),
        }
    }
}
