//! Accepting connections and serving each, with time-outs and an end.
//!
//! It knows nothing of routes.

mod socket;

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tower::ServiceExt;

use self::socket::Socket;
use crate::{
    api::App,
    config::ApiConfig,
    edge::{Breaker, LocalAddress},
};

/// How long accepting rests after an error such as too many open files.
const REST: Duration = Duration::from_millis(100);
/// Most requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 128;

/// Serves `router` until `shutdown`, and then until every connection has ended, or the time for
/// that is over.
pub(crate) async fn serve(
    app: &App,
    router: Router,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    tracing::info!(%address, "listening");
    let (graceful, mut connections) = (GracefulShutdown::new(), JoinSet::new());
    let places = Arc::new(Semaphore::new(app.config.max_connections));
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                let (app, router) = (app.clone(), router.clone());
                let watcher = graceful.watcher();
                connections.spawn(connection(app, router, (stream, place), watcher));
            }
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                sleep(REST).await;
            }
        }
    }
    drop(listener);
    end(app, graceful, connections).await;
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

/// Lets what is open end, and cuts what does not.
async fn end(app: &App, graceful: GracefulShutdown, mut connections: JoinSet<()>) {
    app.draining.cancel();
    app.sockets.close();
    let all = async {
        graceful.shutdown().await;
        while connections.join_next().await.is_some() {}
        app.sockets.wait().await;
    };
    if timeout(app.config.drain, all).await.is_err() {
        tracing::warn!(connections = connections.len(), "cutting the connections that are left");
    }
    connections.shutdown().await;
}

async fn connection(
    app: App,
    router: Router,
    (stream, place): (TcpStream, OwnedSemaphorePermit),
    watcher: Watcher,
) {
    let breaker = Breaker::default();
    let prepared = stream
        .local_addr()
        .and_then(|it| Ok((it, Socket::new(stream, place, &app.config, breaker.clone())?)));
    let (address, socket) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return tracing::debug!(%error, "a connection ended before it began"),
    };
    let service = TowerToHyperService::new(prepare(router, address, breaker));
    let builder = builder(&app.config);
    let serving = builder.serve_connection_with_upgrades(TokioIo::new(socket), service);
    if let Err(error) = watcher.watch(serving.into_owned()).await {
        tracing::debug!(%error, "a connection broke");
    }
}

fn prepare(
    router: Router,
    address: SocketAddr,
    breaker: Breaker,
) -> impl tower::Service<
    http::Request<Incoming>,
    Response = axum::response::Response,
    Error = Infallible,
    Future: Send,
> + Clone {
    router.map_request(move |request: http::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(LocalAddress(address));
        request.extensions_mut().insert(breaker.clone());
        request
    })
}

fn builder(config: &ApiConfig) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(config.head_timeout);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(config.heartbeat)
        .keep_alive_timeout(config.heartbeat.saturating_mul(2));
    builder
}
