//! One OS thread that does one thing after another, and the bounded queue before it.
//!
//! The thread starts with the first request and ends with the lane. It is no runtime's thread:
//! computing an answer blocks for seconds. A request whose receiver is gone is never begun, and
//! a panic ends the request that caused it, not the thread.

use std::{
    collections::VecDeque,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use brain_core::llm::{LlmError, LlmErrorKind};
use tokio::sync::mpsc;

use crate::error;

/// Results that wait for a slow reader before the worker waits too.
const BUFFER: usize = 64;

/// Does the work of a lane, on the lane's thread.
pub(crate) trait Worker: 'static {
    /// What is asked.
    type Request: Send;
    /// A piece of the answer.
    type Item: Send;

    /// Answers one request; what it sends to `outlet` arrives at once.
    fn work(&mut self, request: &Self::Request, outlet: &Outlet<Self::Item>) -> Result<(), Ended>;
}

/// Why a request ended before its answer did.
#[derive(Debug)]
pub(crate) enum Ended {
    /// Nobody listens any more.
    Abandoned,
    /// It failed; boxed, because it is rare and large.
    Failed(Box<LlmError>),
}

impl From<LlmError> for Ended {
    fn from(error: LlmError) -> Self {
        Self::Failed(Box::new(error))
    }
}

/// The worker's end of an answer.
pub(crate) struct Outlet<T>(mpsc::Sender<Result<T, LlmError>>);

impl<T> Outlet<T> {
    /// Hands over a piece; waits while the reader is behind.
    pub(crate) fn send(&self, item: T) -> Result<(), Ended> {
        self.0.blocking_send(Ok(item)).map_err(|_closed| Ended::Abandoned)
    }

    /// Whether the reader has gone.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.0.is_closed()
    }
}

/// The reader's end of an answer; dropping it cancels the request.
pub(crate) type Inlet<T> = mpsc::Receiver<Result<T, LlmError>>;

struct Job<W: Worker> {
    request: W::Request,
    outlet: Outlet<W::Item>,
}

struct Queue<W: Worker> {
    jobs: VecDeque<Job<W>>,
    started: bool,
    closed: bool,
}

struct Shared<W: Worker> {
    queue: Mutex<Queue<W>>,
    changed: Condvar,
}

impl<W: Worker> Shared<W> {
    fn lock(&self) -> MutexGuard<'_, Queue<W>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next request that somebody waits for; `None` when the lane is closed.
    fn next(&self) -> Option<Job<W>> {
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            if queue.closed {
                return None;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A worker's queue; the worker is made on its own thread, when the first request comes.
pub(crate) struct Lane<W: Worker> {
    name: &'static str,
    limit: usize,
    make: Arc<dyn Fn() -> W + Send + Sync>,
    shared: Arc<Shared<W>>,
}

impl<W: Worker> Lane<W> {
    /// A lane without a thread; at most `limit` requests wait in it.
    pub(crate) fn new(
        name: &'static str,
        limit: usize,
        make: impl Fn() -> W + Send + Sync + 'static,
    ) -> Self {
        let queue = Mutex::new(Queue { jobs: VecDeque::new(), started: false, closed: false });
        let shared = Arc::new(Shared { queue, changed: Condvar::new() });
        Self { name, limit, make: Arc::new(make), shared }
    }

    /// Queues a request.
    pub(crate) fn submit(&self, request: W::Request) -> Result<Inlet<W::Item>, LlmError> {
        let (sender, inlet) = mpsc::channel(BUFFER);
        let mut queue = self.shared.lock();
        queue.jobs.retain(|job| !job.outlet.is_abandoned());
        if queue.jobs.len() >= self.limit {
            return Err(error::overloaded(queue.jobs.len()));
        }
        if !queue.started {
            self.start()?;
            queue.started = true;
        }
        queue.jobs.push_back(Job { request, outlet: Outlet(sender) });
        drop(queue);
        self.shared.changed.notify_one();
        Ok(inlet)
    }

    fn start(&self) -> Result<(), LlmError> {
        let shared = Arc::clone(&self.shared);
        let make = Arc::clone(&self.make);
        let thread = thread::Builder::new().name(self.name.to_owned());
        match thread.spawn(move || run(&shared, &*make)) {
            Ok(_detached) => Ok(()),
            Err(source) => {
                let message = "no thread could be started for the local model; free some memory and try again";
                Err(LlmError::new(LlmErrorKind::Unavailable, message).with_source(source))
            }
        }
    }
}

impl<W: Worker> Drop for Lane<W> {
    /// Lets the thread end after what it is doing; what still waits is told that it was stopped.
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.closed = true;
        queue.jobs.clear();
        drop(queue);
        self.shared.changed.notify_one();
    }
}

impl<W: Worker> fmt::Debug for Lane<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane")
            .field("name", &self.name)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

fn run<W: Worker>(shared: &Shared<W>, make: &dyn Fn() -> W) {
    let mut worker = make();
    while let Some(job) = shared.next() {
        if job.outlet.is_abandoned() {
            continue;
        }
        let result = catch_unwind(AssertUnwindSafe(|| worker.work(&job.request, &job.outlet)));
        let failure = match result {
            Ok(Ok(()) | Err(Ended::Abandoned)) => continue,
            Ok(Err(Ended::Failed(error))) => *error,
            Err(_panic) => {
                tracing::error!("the local model's engine panicked; it is loaded anew");
                worker = make();
                error::engine("the engine panicked")
            }
        };
        if job.outlet.0.blocking_send(Err(failure)).is_err() {
            tracing::debug!("nobody waits for that failure any more");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc as events;

    use brain_core::llm::LlmErrorKind;

    use super::{Ended, Lane, Outlet, Worker};

    /// Sends each request back; 0 panics, 1 waits until it is told to go on.
    struct Echo {
        gate: events::Receiver<()>,
        begun: events::Sender<u32>,
    }

    impl Worker for Echo {
        type Request = u32;
        type Item = u32;

        fn work(&mut self, request: &u32, outlet: &Outlet<u32>) -> Result<(), Ended> {
            self.begun.send(*request).unwrap();
            match *request {
                0 => std::panic::panic_any("as asked"),
                1 => self.gate.recv().unwrap(),
                _ => {}
            }
            outlet.send(*request)
        }
    }

    struct Fixture {
        lane: Lane<Echo>,
        open: events::Sender<()>,
        begun: events::Receiver<u32>,
    }

    fn fixture(limit: usize) -> Fixture {
        let (open, gate) = events::channel();
        let (begin, begun) = events::channel();
        let gates = std::sync::Mutex::new(vec![gate]);
        let lane = Lane::new("echo", limit, move || {
            let gate = gates.lock().unwrap().pop().unwrap_or_else(|| events::channel().1);
            Echo { gate, begun: begin.clone() }
        });
        Fixture { lane, open, begun }
    }

    #[test]
    fn a_full_queue_refuses_and_abandoned_requests_do_not_fill_it() {
        let Fixture { lane, open, begun } = fixture(2);
        let mut running = lane.submit(1).unwrap();
        assert_eq!(begun.recv().unwrap(), 1);
        let abandoned = lane.submit(2).unwrap();
        let mut third = lane.submit(3).unwrap();
        assert_eq!(lane.submit(4).unwrap_err().kind(), LlmErrorKind::Overloaded);
        drop(abandoned);
        let mut fifth = lane.submit(5).unwrap();
        open.send(()).unwrap();
        assert_eq!(running.blocking_recv().unwrap().unwrap(), 1);
        assert_eq!(third.blocking_recv().unwrap().unwrap(), 3);
        assert_eq!(fifth.blocking_recv().unwrap().unwrap(), 5);
        assert_eq!(begun.try_iter().collect::<Vec<_>>(), [3, 5], "the abandoned one never began");
    }

    #[test]
    fn a_panic_fails_its_request_and_the_lane_goes_on() {
        let Fixture { lane, .. } = &fixture(2);
        let mut failing = lane.submit(0).unwrap();
        assert_eq!(failing.blocking_recv().unwrap().unwrap_err().kind(), LlmErrorKind::Unavailable);
        assert_eq!(lane.submit(7).unwrap().blocking_recv().unwrap().unwrap(), 7);
    }

    #[test]
    fn dropping_the_lane_ends_what_waits() {
        let Fixture { lane, open, begun } = fixture(2);
        let mut running = lane.submit(1).unwrap();
        assert_eq!(begun.recv().unwrap(), 1);
        let mut waiting = lane.submit(2).unwrap();
        drop(lane);
        assert!(waiting.blocking_recv().is_none());
        open.send(()).unwrap();
        assert_eq!(running.blocking_recv().unwrap().unwrap(), 1);
    }
}
