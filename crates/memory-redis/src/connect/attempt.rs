//! One call: which replies are its end, and which are a reason to try again.
//!
//! What was sent is sent again only where it cannot have happened, or changes nothing.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use deadpool::managed::{Object, Pool, PoolError};
use redis::{Cmd, RedisError, Value};
use tokio::time::Instant;

use super::{
    dial::{Dial, Link},
    script::Script,
};
use crate::error::{Answer, Fault, Sent};

/// How often a command is sent in all, beside the text of a script, and while a slot's keys are on
/// their way.
const ATTEMPTS: u32 = 5;
/// How long a cluster gets to learn where a slot has gone, times the number of the attempt.
const PAUSE: Duration = Duration::from_millis(20);

/// What is asked of Redis.
pub(super) enum Request<'a> {
    Script { script: &'a Script, keys: &'a [Vec<u8>], args: &'a [Vec<u8>] },
    Command(&'a Cmd),
}

/// A call on its way.
pub(super) struct Attempt<'a> {
    links: &'a Pool<Dial>,
    request: Request<'a>,
    write: bool,
    /// Until when keys that are on their way to another node are waited for.
    patience: Instant,
    /// Whether Redis may have got it, and no reply came.
    on_its_way: AtomicBool,
}

/// How a command is sent the next time.
enum Next {
    /// By the digest of its script.
    Again,
    /// The same, once the slot's keys have come together.
    Later,
    /// By the text of its script.
    ByText,
    /// To the node that is about to get the slot.
    Ask((String, u16)),
}

impl<'a> Attempt<'a> {
    pub(super) fn new(
        links: &'a Pool<Dial>,
        request: Request<'a>,
        write: bool,
        patience: Instant,
    ) -> Self {
        Self { links, request, write, patience, on_its_way: AtomicBool::new(false) }
    }

    /// What may have happened if the call ended now.
    pub(super) fn sent(&self) -> Sent {
        match (self.on_its_way.load(Ordering::Relaxed), self.write) {
            (false, _) => Sent::No,
            (true, false) => Sent::Read,
            (true, true) => Sent::Write,
        }
    }

    /// Sends it until it has its reply.
    pub(super) async fn run(&self) -> Result<Value, Fault> {
        let mut next = Next::Again;
        let mut attempt = 1;
        while attempt <= ATTEMPTS {
            let mut link = self.link().await?;
            let error = match self.send(&mut link, next).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            next = self.after(&link, error, attempt)?;
            drop(link);
            if !matches!(next, Next::ByText) && self.links.manager().is_cluster() {
                tokio::time::sleep(PAUSE * attempt).await;
            }
            attempt += u32::from(matches!(next, Next::Again | Next::Ask(_)));
        }
        Err(Fault::restless())
    }

    async fn link(&self) -> Result<Object<Dial>, Fault> {
        self.links.get().await.map_err(|error| match error {
            PoolError::Backend(error) => {
                Fault::of(error, Sent::No, self.links.manager().is_cluster())
            }
            PoolError::Timeout(_)
            | PoolError::Closed
            | PoolError::NoRuntimeSpecified
            | PoolError::PostCreateHook(_) => Fault::timed_out(Sent::No),
        })
    }

    async fn send(&self, link: &mut Link, next: Next) -> Result<Value, RedisError> {
        let command = match (&self.request, &next) {
            (Request::Command(command), _) => (*command).clone(),
            (Request::Script { script, keys, args }, Next::Again | Next::Later) => {
                script.by_digest(keys, args)
            }
            (Request::Script { script, keys, args }, Next::ByText | Next::Ask(_)) => {
                script.by_text(keys, args)
            }
        };
        self.on_its_way.store(true, Ordering::Relaxed);
        let reply = match next {
            Next::Again | Next::Later | Next::ByText => link.send(&command).await,
            Next::Ask(node) => link.ask(command, node).await,
        };
        // An error without a reply is sorted out by whoever gets it.
        self.on_its_way.store(false, Ordering::Relaxed);
        reply
    }

    /// What to do after this error, if anything.
    fn after(&self, link: &Link, error: RedisError, attempt: u32) -> Result<Next, Fault> {
        let dial = self.links.manager();
        let answer = Answer::of(&error);
        if matches!(answer, Answer::Broken | Answer::NoNode) && !dial.is_cluster()
            || matches!(answer, Answer::ReadOnly) && dial.is_sentinel()
        {
            dial.retire(link);
        }
        let again = match answer {
            Answer::NoScript => return Ok(Next::ByText),
            Answer::Ask(node) if dial.is_cluster() => return Ok(Next::Ask(node)),
            Answer::TryAgain if dial.is_cluster() && Instant::now() < self.patience => {
                return Ok(Next::Later);
            }
            Answer::Moved | Answer::NoNode => dial.is_cluster(),
            Answer::ReadOnly => attempt == 1 && (dial.is_cluster() || dial.is_sentinel()),
            Answer::Broken => attempt == 1 && !self.write,
            Answer::Ask(_) | Answer::TryAgain | Answer::Other => false,
        };
        let sent = if self.write { Sent::Write } else { Sent::Read };
        if again { Ok(Next::Again) } else { Err(Fault::of(error, sent, dial.is_cluster())) }
    }
}
