//! Holding a turn: renewing its lease, and hearing what was asked of it through its record.

use std::time::Duration;

use futures_util::future::{self, Either};

use super::{super::Inner, ending::Stop};
use crate::memory::{Fence, MemoryErrorKind};

/// How long before its lease ends a holder that cannot renew it gives up.
const MARGIN: Duration = Duration::from_secs(2);
/// How often a record that other processes can write is looked at.
const SIGNALS_EVERY: Duration = Duration::from_secs(1);

/// Renews the lease for as long as it is polled; returns when the turn must stop.
pub(super) async fn keep(inner: &Inner, fence: Fence) -> Stop {
    let (clock, store, limits) = (&inner.ports.clock, &inner.ports.store, &inner.config.limits);
    let shared = store.capabilities().shared;
    let every = if shared { SIGNALS_EVERY.min(limits.renew_every) } else { limits.renew_every };
    let mut held_since = clock.elapsed();
    loop {
        let left = || {
            let held_for = clock.elapsed().saturating_sub(held_since);
            limits.lease.saturating_sub(MARGIN).saturating_sub(held_for)
        };
        clock.sleep(every.min(left())).await;
        let (asked, left) = (clock.elapsed(), left());
        if left.is_zero() {
            return Stop::Superseded;
        }
        match future::select(store.renew(fence, limits.lease), clock.sleep(left)).await {
            Either::Left((Ok(signals), _)) if signals.cancel => return Stop::Cancelled,
            Either::Left((Ok(_), _)) => held_since = asked,
            Either::Left((Err(error), _)) if error.kind() == MemoryErrorKind::Superseded => {
                return Stop::Superseded;
            }
            Either::Left((Err(error), _)) => {
                tracing::warn!(%error, "could not renew the lease of a turn");
            }
            Either::Right(_) => return Stop::Superseded,
        }
    }
}
