//! Connections: where Redis is, how a script runs there, and how long it may take.
//!
//! Every call ends within its limit, in a reply or in an error that says whether it may have
//! happened. It knows no key and no script of the store.

mod attempt;
mod config;
mod dial;
mod script;
mod target;
mod url_error;

use std::fmt;

use brain_core::memory::MemoryError;
use redis::{Cmd, Value};
use tokio::time::{Instant, timeout_at};

pub(crate) use self::script::Script;
use self::{
    attempt::{Attempt, Request},
    dial::Dial,
};
pub use self::{config::RedisConfig, url_error::UrlError};
use crate::error::Fault;

/// Which part of the time of a call keys on their way to another node are waited for, so that what
/// is in the way can still be told.
const PATIENCE: f32 = 0.75;

/// Connections to one Redis, shared by all clones.
#[derive(Clone)]
pub(crate) struct Pool {
    links: deadpool::managed::Pool<Dial>,
    address: std::sync::Arc<str>,
    command_timeout: std::time::Duration,
}

impl Pool {
    /// Connections as `config` has them. None is made yet: a server that is absent now may come.
    ///
    /// # Errors
    ///
    /// [`UrlError::Certificates`], [`UrlError::EmptyPool`].
    pub(crate) fn new(config: &RedisConfig) -> Result<Self, UrlError> {
        if config.pool_size == 0 {
            return Err(UrlError::EmptyPool);
        }
        let pool = deadpool::managed::Pool::builder(Dial::new(config)?).max_size(config.pool_size);
        Ok(Self {
            links: pool.build().map_err(|_| UrlError::EmptyPool)?,
            address: config.address().into(),
            command_timeout: config.command_timeout,
        })
    }

    /// Runs a script by its digest, or by its text where Redis does not know it. `write` says
    /// whether it may change anything.
    ///
    /// # Errors
    ///
    /// What [`Fault`] says, within the configured time.
    #[expect(clippy::too_many_arguments, reason = "what a call is: none has a default")]
    pub(crate) async fn script(
        &self,
        operation: &'static str,
        script: &'static Script,
        keys: &[Vec<u8>],
        args: Vec<Vec<u8>>,
        write: bool,
    ) -> Result<Value, MemoryError> {
        self.run(operation, Request::Script { script, keys, args: &args }, write).await
    }

    /// Sends one command. `write` says whether it may change anything.
    ///
    /// # Errors
    ///
    /// What [`Fault`] says, within the configured time.
    pub(crate) async fn command(
        &self,
        operation: &'static str,
        command: Cmd,
        write: bool,
    ) -> Result<Value, MemoryError> {
        self.run(operation, Request::Command(&command), write).await
    }

    async fn run(
        &self,
        operation: &'static str,
        request: Request<'_>,
        write: bool,
    ) -> Result<Value, MemoryError> {
        let now = Instant::now();
        let deadline = now + self.command_timeout;
        let patience = now + self.command_timeout.mul_f32(PATIENCE);
        let attempt = Attempt::new(&self.links, request, write, patience);
        let fault = match timeout_at(deadline, Box::pin(attempt.run())).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(fault)) => fault,
            Err(_elapsed) => Fault::timed_out(attempt.sent()),
        };
        Err(fault.at(&self.address).during(operation))
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("address", &self.address).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
