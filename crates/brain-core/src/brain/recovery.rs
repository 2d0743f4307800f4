//! Ending turns that nobody drives any more, with what their checkpoints kept.

use std::sync::Arc;

use super::{
    Inner,
    background::{self, Job, TitleJob},
};
pub(super) use crate::memory::CLOSING_STEP;
use crate::memory::{Authority, CloseTurn, MemoryError, MemoryErrorKind, TurnRecord, TurnState};

/// Ends every running turn of the storage; the caller has it for itself.
///
/// A turn that cannot be ended is logged and left: it must not keep the others, and the process,
/// from starting.
pub(super) async fn recover(inner: &Arc<Inner>) -> Result<usize, MemoryError> {
    let mut ended = 0;
    for record in inner.ports.store.unfinished().await? {
        if record.state != TurnState::Running || record.holder == inner.holder {
            continue;
        }
        match end(inner, &record, Authority::Exclusive).await {
            Ok(()) => ended += 1,
            Err(error) => tracing::error!(turn.id = %record.id, %error, "could not end a turn"),
        }
    }
    Ok(ended)
}

/// Ends a turn whose lease has lapsed, or that waits for an approval; somebody else may have been
/// faster.
pub(super) async fn end_lapsed(inner: &Arc<Inner>, record: &TurnRecord) -> Result<(), MemoryError> {
    match end(inner, record, record.authority_of_finder()).await {
        Err(error) if error.kind() != MemoryErrorKind::Superseded => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

async fn end(
    inner: &Arc<Inner>,
    record: &TurnRecord,
    authority: Authority,
) -> Result<(), MemoryError> {
    let close = CloseTurn::abandoned(record, authority, inner.ports.clock.now())?;
    inner.ports.store.close(close).await?;
    if let Some(branch) = record.input.filter(|_| inner.config.titles) {
        let title = Some(TitleJob { branch, model: None });
        background::enqueue(inner, Job { session: record.session.clone(), title, summary: None });
    }
    Ok(())
}
