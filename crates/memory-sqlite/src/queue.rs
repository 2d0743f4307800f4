//! What waits to be written: first come, first served, bounded in bytes.
//!
//! It knows nothing of databases.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Why something was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// Too much waits already.
    Full,
    /// Nobody takes from this queue any more.
    Closed,
}

/// What taking from the queue gave.
#[derive(Debug)]
pub(crate) enum Taken<T> {
    /// The oldest item, and its bytes.
    Item(T, usize),
    /// Nothing came in time.
    Idle,
    /// Nothing will come any more.
    Closed,
}

/// A queue of items that are `bytes` big.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    limit: usize,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
    closed: bool,
}

impl<T> Queue<T> {
    /// A queue that holds at most `limit` bytes, or a single item of any size.
    pub(crate) fn new(limit: usize) -> Self {
        let state = State { items: VecDeque::new(), bytes: 0, closed: false };
        Self { state: Mutex::new(state), changed: Condvar::new(), limit }
    }

    /// Adds an item of `bytes`, which count until [`Queue::release`] gives them back.
    pub(crate) fn push(&self, item: T, bytes: usize) -> Result<(), Rejected> {
        let mut state = self.lock();
        if state.closed {
            return Err(Rejected::Closed);
        }
        if 0 < state.bytes && self.limit < state.bytes.saturating_add(bytes) {
            return Err(Rejected::Full);
        }
        state.bytes = state.bytes.saturating_add(bytes);
        state.items.push_back((item, bytes));
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Takes the oldest item if there is one.
    pub(crate) fn try_take(&self) -> Option<(T, usize)> {
        self.lock().items.pop_front()
    }

    /// Takes the oldest item, and waits for one: for ever, or for `patience`.
    pub(crate) fn take(&self, patience: Option<Duration>) -> Taken<T> {
        let mut state = self.lock();
        loop {
            if let Some((item, bytes)) = state.items.pop_front() {
                return Taken::Item(item, bytes);
            }
            if state.closed {
                return Taken::Closed;
            }
            let Some(patience) = patience else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let waited = self.changed.wait_timeout(state, patience);
            let (again, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            if timeout.timed_out() && again.items.is_empty() && !again.closed {
                return Taken::Idle;
            }
            state = again;
        }
    }

    /// Gives the bytes of taken items back.
    pub(crate) fn release(&self, bytes: usize) {
        let mut state = self.lock();
        state.bytes = state.bytes.saturating_sub(bytes);
    }

    /// Refuses everything from now on; what waits can still be taken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Queue, Rejected, Taken};

    #[test]
    fn bytes_count_until_they_are_released() {
        let queue = Queue::new(10);
        queue.push("a", 6).unwrap();
        assert_eq!(queue.push("b", 6), Err(Rejected::Full));
        assert_eq!(queue.try_take(), Some(("a", 6)));
        assert_eq!(queue.push("b", 6), Err(Rejected::Full));
        queue.release(6);
        queue.push("b", 6).unwrap();
    }

    #[test]
    fn a_single_item_may_be_bigger_than_the_queue() {
        let queue = Queue::new(10);
        queue.push("huge", 1_000).unwrap();
        assert_eq!(queue.push("tiny", 1), Err(Rejected::Full));
    }

    #[test]
    fn a_closed_queue_is_drained_and_takes_nothing() {
        let queue = Queue::new(10);
        queue.push("a", 1).unwrap();
        queue.close();
        assert_eq!(queue.push("b", 1), Err(Rejected::Closed));
        assert!(matches!(queue.take(None), Taken::Item("a", 1)));
        assert!(matches!(queue.take(None), Taken::Closed));
    }

    #[test]
    fn patience_ends() {
        let queue: Queue<()> = Queue::new(10);
        assert!(matches!(queue.take(Some(Duration::ZERO)), Taken::Idle));
    }
}
