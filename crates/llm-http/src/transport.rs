//! The way of one request to the server and of its answer's head back.
//!
//! It sends a request again only when not a byte of it has been sent.

mod http2;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use brain_core::BoxError;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};

pub(crate) use self::http2::Lease;
use self::http2::{Attempt, Pool};
use crate::{
    Network, Protocol,
    connect::{Connector, Route, Versions},
};

/// How long an unused connection is kept.
const POOL_IDLE: Duration = Duration::from_secs(60);

/// The body of a request.
type Sent = Full<Bytes>;

/// The connections to one server.
#[derive(Clone)]
pub(crate) struct Transport {
    http1: Client<Connector, Sent>,
    /// `None` where HTTP/2 is out of the question.
    http2: Option<Pool>,
    /// The server has chosen HTTP/1.1.
    chose_http1: Arc<AtomicBool>,
    proxy_auth: Option<HeaderValue>,
}

/// The head of an answer, and the hold on the connection that its body needs.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) response: Response<Incoming>,
    pub(crate) lease: Option<Lease>,
}

/// There is no answer.
#[derive(Debug)]
pub(crate) enum SendError {
    /// No connection came about.
    Connect(BoxError),
    /// The connection failed.
    Lost(BoxError),
}

impl Transport {
    /// Connections to `server`, each opened within `limit`; opens none yet.
    pub(crate) fn new(
        server: &Uri,
        network: &Network,
        limit: Duration,
    ) -> Result<Self, rustls::Error> {
        let roots = &network.roots;
        let proxy = network.proxies.for_address(server);
        let route = Route::new(server, proxy.as_ref(), roots)?;
        let connector = |versions| Connector::new(route.clone(), roots, versions, limit);
        let secure = server.scheme_str() == Some("https");
        let http2 = match network.protocol {
            // A proxy that reads requests speaks HTTP/1.1.
            Protocol::Negotiated | Protocol::Http2 if route.is_forward() => None,
            Protocol::Negotiated if secure => Some((connector(Versions::Both)?, false)),
            Protocol::Negotiated => None,
            Protocol::Http2 => Some((connector(Versions::Http2)?, true)),
        };
        let http1 = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .build(connector(Versions::Http1)?);
        Ok(Self {
            http1,
            http2: http2.map(|(connector, forced)| Pool::new(connector, server, forced, limit)),
            chose_http1: Arc::default(),
            proxy_auth: route.auth().cloned(),
        })
    }

    /// What each request must carry for a proxy that reads it.
    pub(crate) fn proxy_auth(&self) -> Option<&HeaderValue> {
        self.proxy_auth.as_ref()
    }

    /// Sends the request and returns when the head of its answer is there. Dropping the future
    /// takes the request back: it closes the connection, or resets the stream.
    pub(crate) async fn send(&self, request: Request<Sent>) -> Result<Answer, SendError> {
        let mut request = request;
        if let Some(pool) = &self.http2
            && !self.chose_http1.load(Ordering::Relaxed)
        {
            match pool.send(request).await? {
                Attempt::Answered(answer) => return Ok(answer),
                Attempt::SpeaksHttp1(unsent) => {
                    self.chose_http1.store(true, Ordering::Relaxed);
                    request = unsent;
                }
            }
        }
        match self.http1.request(request).await {
            Ok(response) => Ok(Answer { response, lease: None }),
            Err(error) if error.is_connect() => Err(SendError::Connect(error.into())),
            Err(error) => Err(SendError::Lost(error.into())),
        }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("http2", &self.http2).finish_non_exhaustive()
    }
}
