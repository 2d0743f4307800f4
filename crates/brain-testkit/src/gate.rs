//! A gate that a test opens; what waits at it waits for an event, not for time.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use event_listener::Event;

/// Waits until a test lets it go on. Clones are the same gate.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<State>);

#[derive(Debug, Default)]
struct State {
    open: AtomicBool,
    arrived: AtomicUsize,
    changed: Event,
}

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens it for good.
    pub fn open(&self) {
        self.0.open.store(true, Ordering::SeqCst);
        self.0.changed.notify(usize::MAX);
    }

    /// Returns once it is open.
    pub async fn pass(&self) {
        self.0.arrived.fetch_add(1, Ordering::SeqCst);
        self.0.changed.notify(usize::MAX);
        self.until(|it| it.open.load(Ordering::SeqCst)).await;
    }

    /// Returns once `count` visitors have come to it, whether they still wait or not.
    pub async fn reached_by(&self, count: usize) {
        self.until(|it| count <= it.arrived.load(Ordering::SeqCst)).await;
    }

    async fn until(&self, done: impl Fn(&State) -> bool) {
        loop {
            let listener = self.0.changed.listen();
            if done(&self.0) {
                return;
            }
            listener.await;
        }
    }
}
