//! HTTP/2 connections to one server: as many as its limit of concurrent streams makes needful.
//!
//! hyper's own pool keeps one connection and queues behind it. This one opens the next connection
//! when all are full, and lets requests wait only once [`MAX_CONNECTIONS`] are.

mod state;

use std::{
    error::Error,
    fmt, io,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, ready},
    time::Duration,
};

use brain_core::BoxError;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, poll_fn},
};
use http::{Request, Uri};
use hyper::{
    client::conn::http2::{Builder, Connection, SendRequest},
    rt::Executor,
};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::{sync::Notify, time::timeout};
use tower::ServiceExt;

use self::state::{Next, State};
use super::{Answer, POOL_IDLE, SendError, Sent};
use crate::connect::{Connector, Link};

/// Most connections to one server.
const MAX_CONNECTIONS: usize = 64;

/// Most streams on one connection, whatever the server allows: they share one TCP window.
const MAX_STREAMS: usize = 100;

/// What hyper says of the server's limit before the server has told it; no server can.
const UNTOLD: usize = usize::MAX - 1;

/// How often a request is put on another connection because one closed before it was sent.
const ATTEMPTS: usize = 3;

/// A server that is silent for so long is asked for a sign of life...
const PING_AFTER: Duration = Duration::from_secs(30);
/// ...and given up if it gives none for so long.
const PING_PATIENCE: Duration = Duration::from_secs(20);

/// What moves a connection's requests; `None` once it has ended, so that what is queued in it fails.
type Driver = Mutex<Option<Connection<Link, Sent, Watched>>>;

/// Runs the tasks of a connection, of which one reads the server's settings, and
/// tells after each step. The tasks end with the connection.
#[derive(Clone)]
struct Watched(Arc<Notify>);

/// How an attempt to connect ended, for all who wait for it.
type Opening = Shared<BoxFuture<'static, Result<Opened, OpenError>>>;

/// What came of a request.
#[derive(Debug)]
pub(super) enum Attempt {
    Answered(Answer),
    /// The server chose HTTP/1.1; the request, not sent.
    SpeaksHttp1(Request<Sent>),
}

/// What came of a connection.
#[derive(Clone, Copy, Debug)]
enum Opened {
    Http2,
    Http1,
}

/// No connection came about; shared by all who waited for it.
#[derive(Clone, Debug)]
struct OpenError(Arc<dyn Error + Send + Sync>);

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no connection came about")
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

/// The connections. A clone shares them.
#[derive(Clone)]
pub(super) struct Pool {
    inner: Arc<Inner>,
}

struct Inner {
    connector: Connector,
    server: Uri,
    /// Speak HTTP/2 even if TLS has not settled it.
    forced: bool,
    limit: Duration,
    state: Mutex<State>,
    /// Told whenever a stream has ended, a connection has gone or a wait for one was given up.
    freed: Notify,
}

/// One stream of one connection; its place is free for another request when this is dropped.
pub(crate) struct Lease {
    pool: Weak<Inner>,
    connection: u64,
}

/// One who waits for connection `id` to be opened; when this is dropped before that, its place is
/// free for another, and the attempt ends with the last of them.
struct Waiter<'a> {
    pool: &'a Inner,
    id: u64,
}

impl Pool {
    pub(super) fn new(connector: Connector, server: &Uri, forced: bool, limit: Duration) -> Self {
        let (state, freed) = (Mutex::default(), Notify::new());
        let server = server.clone();
        Self { inner: Arc::new(Inner { connector, server, forced, limit, state, freed }) }
    }

    /// Sends the request on a connection that has room for it.
    pub(super) async fn send(&self, request: Request<Sent>) -> Result<Attempt, SendError> {
        let mut request = request;
        let mut left = ATTEMPTS;
        loop {
            let Some((mut sender, lease)) = self.stream().await? else {
                return Ok(Attempt::SpeaksHttp1(request));
            };
            left -= 1;
            match sender.try_send_request(request).await {
                Ok(response) => {
                    let lease = Some(lease);
                    return Ok(Attempt::Answered(Answer { response, lease }));
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if 0 < left => {
                        self.inner.state().retire(lease.connection);
                        request = unsent;
                    }
                    _ => return Err(SendError::Lost(error.into_error().into())),
                },
            }
        }
    }

    /// A stream of its own; `None` when the server speaks HTTP/1.1.
    async fn stream(&self) -> Result<Option<(SendRequest<Sent>, Lease)>, SendError> {
        loop {
            // Listens before it looks, so that nothing is freed unheard in between.
            let mut freed = pin!(self.inner.freed.notified());
            freed.as_mut().enable();
            let next = self.inner.state().next(|id| Inner::opening(&self.inner, id));
            match next {
                Next::Stream(sender, connection) => {
                    let pool = Arc::downgrade(&self.inner);
                    return Ok(Some((sender, Lease { pool, connection })));
                }
                Next::Opening(opening, id) => {
                    let _waiter = Waiter { pool: &self.inner, id };
                    match opening.await {
                        Ok(Opened::Http2) => {}
                        Ok(Opened::Http1) => return Ok(None),
                        Err(error) => return Err(SendError::Connect(error.into())),
                    }
                }
                Next::Full => freed.await,
            }
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens connection `id`; whoever waits for it drives it.
    fn opening(self: &Arc<Self>, id: u64) -> Opening {
        let pool = Arc::clone(self);
        let opening = async move {
            let opened = timeout(pool.limit, pool.open(id)).await;
            pool.state().opened(id);
            pool.freed.notify_waiters();
            let opened = opened.unwrap_or_else(|_| Err(timed_out()));
            opened.map_err(|error| OpenError(Arc::from(error)))
        };
        opening.boxed().shared()
    }

    async fn open(self: &Arc<Self>, id: u64) -> Result<Opened, BoxError> {
        let link = self.connector.clone().oneshot(self.server.clone()).await?;
        if !self.forced && !link.chose_http2() {
            return Ok(Opened::Http1);
        }
        let stepped = Arc::new(Notify::new());
        let (sender, driver) = Builder::new(Watched(Arc::clone(&stepped)))
            .timer(TokioTimer::new())
            .initial_max_send_streams(UNTOLD)
            .keep_alive_interval(PING_AFTER)
            .keep_alive_timeout(PING_PATIENCE)
            .handshake::<Link, Sent>(link)
            .await?;
        let driver: Arc<Driver> = Arc::new(Mutex::new(Some(driver)));
        // Nobody awaits it: it ends once every sender and stream of the connection is gone.
        let driving = drive(Arc::clone(&driver), Arc::downgrade(self));
        Watched(Arc::clone(&stepped)).execute(driving);
        told(&driver, &stepped).await?;
        self.state().add(id, sender, driver);
        Ok(Opened::Http2)
    }
}

/// Waits until the server has told its limit, which it does before anything else.
async fn told(driver: &Driver, stepped: &Notify) -> Result<(), BoxError> {
    loop {
        match allowed(driver) {
            Some(UNTOLD) => stepped.notified().await,
            Some(_) => return Ok(()),
            None => return Err("the server speaks no HTTP/2".into()),
        }
    }
}

/// How many streams the server allows at once; `None` when the connection has ended.
fn allowed(driver: &Driver) -> Option<usize> {
    let driver = driver.lock().unwrap_or_else(PoisonError::into_inner);
    driver.as_ref().map(Connection::current_max_send_streams)
}

/// Lets the connection work until it ends, and has the pool look for idle ones now and then.
async fn drive(driver: Arc<Driver>, pool: Weak<Inner>) {
    let mut ending = pin!(poll_fn(|context| work(&driver, context)));
    while timeout(POOL_IDLE, &mut ending).await.is_err() {
        if let Some(pool) = pool.upgrade() {
            pool.state().prune();
        }
    }
    if let Some(pool) = pool.upgrade() {
        pool.state().prune();
        pool.freed.notify_waiters();
    }
}

fn work(driver: &Driver, context: &mut Context<'_>) -> Poll<()> {
    let mut driver = driver.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(connection) = &mut *driver {
        if let Err(error) = ready!(connection.poll_unpin(context)) {
            tracing::debug!(error = &error as &dyn Error, "a connection failed");
        }
        *driver = None;
    }
    Poll::Ready(())
}

fn timed_out() -> BoxError {
    io::Error::from(io::ErrorKind::TimedOut).into()
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Watched {
    fn execute(&self, future: F) {
        let stepped = Arc::clone(&self.0);
        TokioExecutor::new().execute(async move {
            let mut future = pin!(future);
            poll_fn(|context| {
                let step = future.as_mut().poll(context);
                stepped.notify_one();
                step
            })
            .await;
        });
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.state().release(self.connection);
            pool.freed.notify_one();
        }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        if self.pool.state().give_up(self.id) {
            self.pool.freed.notify_one();
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("connection", &self.connection).finish_non_exhaustive()
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("server", &self.inner.server).finish_non_exhaustive()
    }
}
