//! Which connections there are and how full they are.
//!
//! It opens none; it says when one is to be opened.

use std::sync::Arc;

use futures_util::future::{BoxFuture, WeakShared};
use hyper::client::conn::http2::SendRequest;
use tokio::time::Instant;

use super::{
    Driver, MAX_CONNECTIONS, MAX_STREAMS, OpenError, Opened, Opening, POOL_IDLE, Sent, allowed,
};

/// The connections of a pool.
#[derive(Default)]
pub(super) struct State {
    open: Vec<Open>,
    attempts: Vec<UnderWay>,
    /// How many streams the last connection allowed; a guess for those that are being opened.
    room: Option<usize>,
    last_id: u64,
}

/// What a request has to do next.
pub(super) enum Next {
    /// Send on this connection.
    Stream(SendRequest<Sent>, u64),
    /// Wait for this connection, and say so if that is given up.
    Opening(Opening, u64),
    /// Wait until something is freed.
    Full,
}

struct Open {
    id: u64,
    sender: SendRequest<Sent>,
    driver: Arc<Driver>,
    streams: usize,
    /// No stream may be added.
    retired: bool,
    /// When a stream last began or ended.
    used: Instant,
}

/// A connection that is being opened.
struct UnderWay {
    id: u64,
    /// Gone when nobody waits for it any more.
    attempt: WeakShared<BoxFuture<'static, Result<Opened, OpenError>>>,
    waiting: usize,
}

impl State {
    /// Finds a place for one more request; `open` begins to open a connection.
    ///
    /// The first connections are filled first, so that those that are not needed fall idle.
    pub(super) fn next(&mut self, open: impl FnOnce(u64) -> Opening) -> Next {
        self.prune();
        if let Some(free) = self.open.iter_mut().find(|it| it.has_room()) {
            free.streams += 1;
            free.used = Instant::now();
            return Next::Stream(free.sender.clone(), free.id);
        }
        let room = self.room.unwrap_or(usize::MAX);
        for under_way in self.attempts.iter_mut().filter(|it| it.waiting < room) {
            if let Some(opening) = under_way.attempt.upgrade() {
                under_way.waiting += 1;
                return Next::Opening(opening, under_way.id);
            }
        }
        if MAX_CONNECTIONS <= self.open.len() + self.attempts.len() {
            return Next::Full;
        }
        self.last_id += 1;
        let id = self.last_id;
        let opening = open(id);
        let attempt = opening.downgrade();
        self.attempts.extend(attempt.map(|attempt| UnderWay { id, attempt, waiting: 1 }));
        Next::Opening(opening, id)
    }

    /// Takes in a connection that has come about.
    pub(super) fn add(&mut self, id: u64, sender: SendRequest<Sent>, driver: Arc<Driver>) {
        let used = Instant::now();
        let open = Open { id, sender, driver, streams: 0, retired: false, used };
        self.room = Some(open.room().max(1));
        self.open.push(open);
    }

    /// The attempt to open connection `id` has ended.
    pub(super) fn opened(&mut self, id: u64) {
        self.attempts.retain(|it| it.id != id);
    }

    /// One who waited for connection `id` does so no more; whether it was still being opened.
    pub(super) fn give_up(&mut self, id: u64) -> bool {
        let Some(attempt) = self.attempts.iter_mut().find(|it| it.id == id) else { return false };
        attempt.waiting = attempt.waiting.saturating_sub(1);
        self.attempts.retain(|it| 0 < it.waiting);
        true
    }

    /// A stream of connection `id` has ended.
    pub(super) fn release(&mut self, id: u64) {
        if let Some(open) = self.open.iter_mut().find(|it| it.id == id) {
            open.streams = open.streams.saturating_sub(1);
            open.used = Instant::now();
        }
    }

    /// Connection `id` takes no request any more.
    pub(super) fn retire(&mut self, id: u64) {
        if let Some(open) = self.open.iter_mut().find(|it| it.id == id) {
            open.retired = true;
        }
    }

    /// Lets go of connections that are closed, retired and empty, or have been idle for long.
    pub(super) fn prune(&mut self) {
        self.open.retain(|it| {
            let wanted = !it.retired && it.used.elapsed() < POOL_IDLE;
            !it.sender.is_closed() && (wanted || 0 < it.streams)
        });
    }
}

impl Open {
    fn has_room(&self) -> bool {
        !self.retired && self.streams < self.room()
    }

    /// How many streams the server allows now, as far as we go along.
    fn room(&self) -> usize {
        allowed(&self.driver).map_or(0, |allowed| allowed.min(MAX_STREAMS))
    }
}
