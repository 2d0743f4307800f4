//! The way to a server: directly, through a proxy that forwards requests, or through a tunnel.
//!
//! It ends where the server's own TLS begins.

use std::{
    fmt,
    task::{Context, Poll},
};

use brain_core::BoxError;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::{
        legacy::connect::{HttpConnector, proxy::Tunnel},
        proxy::matcher::Intercept,
    },
    rt::TokioIo,
};
use tokio::net::TcpStream;
use tower::Service;

use crate::Roots;

/// A connection to the next machine on the way; TLS where that is a proxy that wants it.
pub(super) type Hop = MaybeHttpsStream<TokioIo<TcpStream>>;

/// The way to one server.
#[derive(Clone)]
pub(crate) enum Route {
    Direct(HttpConnector),
    /// A proxy reads the requests.
    Forward {
        proxy: Uri,
        connector: HttpsConnector<HttpConnector>,
        auth: Option<HeaderValue>,
    },
    /// A proxy hands bytes on.
    Tunnel {
        proxy: Uri,
        tunnel: Tunnel<HttpsConnector<HttpConnector>>,
    },
}

/// The proxy on the way cannot be reached, or refuses.
#[derive(Debug, thiserror::Error)]
#[error("the proxy {proxy} failed")]
pub(crate) struct ProxyFailed {
    /// Its host and port.
    pub(crate) proxy: String,
    source: BoxError,
}

impl Route {
    /// The way to `server`, through `proxy` if there is one.
    pub(crate) fn new(
        server: &Uri,
        proxy: Option<&Intercept>,
        roots: &Roots,
    ) -> Result<Self, rustls::Error> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let Some(intercept) = proxy else { return Ok(Self::Direct(tcp)) };
        let builder = HttpsConnectorBuilder::new().with_tls_config(roots.tls()?).https_or_http();
        let connector = builder.enable_http1().wrap_connector(tcp);
        let proxy = intercept.uri().clone();
        let auth = intercept.basic_auth().cloned();
        if server.scheme_str() == Some("http") {
            return Ok(Self::Forward { proxy, connector, auth });
        }
        let tunnel = Tunnel::new(proxy.clone(), connector);
        let tunnel = match auth {
            Some(auth) => tunnel.with_auth(auth),
            None => tunnel,
        };
        Ok(Self::Tunnel { proxy, tunnel })
    }

    /// Whether a proxy reads the requests, so that they must name the whole address.
    pub(crate) fn is_forward(&self) -> bool {
        matches!(self, Self::Forward { .. })
    }

    /// What each request must carry for the proxy that reads it.
    pub(crate) fn auth(&self) -> Option<&HeaderValue> {
        match self {
            Self::Forward { auth, .. } => auth.as_ref(),
            Self::Direct(_) | Self::Tunnel { .. } => None,
        }
    }
}

impl Service<Uri> for Route {
    type Response = Hop;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Hop, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self {
            Self::Direct(tcp) => tcp.poll_ready(context).map_err(Into::into),
            Self::Forward { connector, .. } => connector.poll_ready(context),
            Self::Tunnel { tunnel, .. } => tunnel.poll_ready(context).map_err(Into::into),
        }
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        match self {
            Self::Direct(tcp) => {
                let connecting = tcp.call(server);
                Box::pin(async move { Ok(Hop::Http(connecting.await?)) })
            }
            Self::Forward { proxy, connector, .. } => {
                let connecting = connector.call(proxy.clone());
                let failed = failing(proxy);
                Box::pin(async move { connecting.await.map_err(failed) })
            }
            Self::Tunnel { proxy, tunnel } => {
                let connecting = tunnel.call(server);
                let failed = failing(proxy);
                Box::pin(async move { connecting.await.map_err(|error| failed(error.into())) })
            }
        }
    }
}

fn failing(proxy: &Uri) -> impl FnOnce(BoxError) -> BoxError + use<> {
    let proxy = proxy.authority().map(ToString::to_string).unwrap_or_default();
    |source| ProxyFailed { proxy, source }.into()
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct(_) => f.write_str("Direct"),
            Self::Forward { proxy, .. } => f.debug_tuple("Forward").field(proxy).finish(),
            Self::Tunnel { proxy, .. } => f.debug_tuple("Tunnel").field(proxy).finish(),
        }
    }
}
