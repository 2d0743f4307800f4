//! Connections: TCP without delay, proxies, TLS, all within one time limit.
//!
//! It speaks no HTTP but a proxy's `CONNECT`.

mod link;
mod route;
#[cfg(test)]
mod tests;

use std::{
    io,
    task::{Context, Poll},
    time::Duration,
};

use brain_core::BoxError;
use futures_util::future::BoxFuture;
use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use tower::Service;

pub(crate) use self::{
    link::Link,
    route::{ProxyFailed, Route},
};
use crate::Roots;

/// What a connector may settle with a server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Versions {
    Http1,
    Http2,
    Both,
}

/// Opens connections.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    inner: HttpsConnector<Route>,
    /// A proxy reads the requests.
    forwarded: bool,
    limit: Duration,
}

impl Connector {
    /// A connector that gives up after `limit`: name look-up, TCP, proxy and TLS together.
    pub(crate) fn new(
        route: Route,
        roots: &Roots,
        versions: Versions,
        limit: Duration,
    ) -> Result<Self, rustls::Error> {
        let builder = HttpsConnectorBuilder::new().with_tls_config(roots.tls()?).https_or_http();
        let forwarded = route.is_forward();
        let inner = match versions {
            Versions::Http1 => builder.enable_http1().wrap_connector(route),
            Versions::Http2 => builder.enable_http2().wrap_connector(route),
            Versions::Both => builder.enable_all_versions().wrap_connector(route),
        };
        Ok(Self { inner, forwarded, limit })
    }
}

impl Service<Uri> for Connector {
    type Response = Link;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Link, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let forwarded = self.forwarded;
        let connecting = tokio::time::timeout(self.limit, self.inner.call(uri));
        Box::pin(async move {
            match connecting.await {
                Ok(connected) => Ok(Link::new(connected?, forwarded)),
                Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            }
        })
    }
}
