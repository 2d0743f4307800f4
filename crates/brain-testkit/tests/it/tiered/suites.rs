//! The memory suite on `TieredMemory`, in every mood of its hot tier.

use std::sync::Arc;

use brain_core::memory::{InMemoryStore, MemoryStore, TieredMemory};
use brain_testkit::{ManualClock, memory::Fresh};
use brain_tokio::TokioClock;

use super::{
    chaos::{Chaos, Mood},
    checked::Checked,
    fixture::join,
};

/// A fresh store whose hot tier is in this mood. Its deadlines go by the real clock: what never
/// answers is given up.
fn tiered(clock: Arc<ManualClock>, mood: Mood) -> Fresh {
    let has_ephemeral = !matches!(mood, Mood::Dead | Mood::Silent | Mood::Fails(_));
    let hot = Arc::new(InMemoryStore::new(clock.clone()));
    let hot = Arc::new(Chaos::new(hot, mood, 0xc0de));
    let durable: Arc<dyn MemoryStore> = Arc::new(InMemoryStore::new(clock));
    let store: TieredMemory = join(hot, durable, Arc::new(TokioClock::new()));
    Checked::new(store, has_ephemeral).into()
}

mod well {
    brain_testkit::memory_store_suite!(async |clock| super::tiered(clock, super::Mood::Well));
}

mod dead {
    brain_testkit::memory_store_suite!(async |clock| super::tiered(clock, super::Mood::Dead));
}

mod silent {
    brain_testkit::memory_store_suite!(async |clock| super::tiered(clock, super::Mood::Silent));
}

mod failing {
    brain_testkit::memory_store_suite!(async |clock| super::tiered(clock, super::Mood::Fails(30)));
}

mod losing {
    brain_testkit::memory_store_suite!(async |clock| super::tiered(clock, super::Mood::Loses(30)));
}

mod forgetting {
    brain_testkit::memory_store_suite!(async |clock| {
        super::tiered(clock, super::Mood::Forgets(30))
    });
}

mod lagging {
    brain_testkit::memory_store_suite!(async |clock| super::tiered(clock, super::Mood::Lags(20)));
}
