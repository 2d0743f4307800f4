//! Connections: TCP without delay, TLS with Mozilla's roots, both within one time limit.

use std::{
    io,
    task::{Context, Poll},
    time::Duration,
};

use brain_core::BoxError;
use futures_util::future::BoxFuture;
use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use tokio::net::TcpStream;
use tower::Service;

/// Opens connections; HTTP/1.1 only, so that many long answers never queue on one connection.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    inner: HttpsConnector<HttpConnector>,
    limit: Duration,
}

impl Connector {
    /// A connector that gives up after `limit`: name look-up, TCP and TLS together.
    pub(crate) fn new(limit: Duration) -> Result<Self, rustls::Error> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let inner = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Ok(Self { inner, limit })
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = tokio::time::timeout(self.limit, self.inner.call(uri));
        Box::pin(async move {
            connecting
                .await
                .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper_rustls::MaybeHttpsStream;
    use tokio::net::TcpListener;
    use tower::Service;

    use super::Connector;

    #[tokio::test]
    async fn small_packets_are_not_held_back() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let mut connector = Connector::new(Duration::from_secs(2)).unwrap();
        let MaybeHttpsStream::Http(stream) = connector.call(uri).await.unwrap() else {
            panic!("no TLS was asked for");
        };
        assert!(stream.inner().nodelay().unwrap());
    }
}
