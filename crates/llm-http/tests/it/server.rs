//! A hyper server that counts: connections, requests, and answers that nobody waited for.

use std::{
    convert::Infallible,
    future::pending,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Version};
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::{Notify, Semaphore, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

/// What every request is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answers {
    /// `{"ok":true}`.
    Json,
    /// Not even a head.
    Nothing,
    /// A head, and one piece of a body that never ends.
    Endless,
    /// Once the gate is open, a head and `{"ok":true}`.
    Gated,
}

/// What has been seen.
#[derive(Debug)]
pub(crate) struct Seen {
    answers: Answers,
    pub(crate) connections: AtomicUsize,
    pub(crate) http2: AtomicUsize,
    /// Requests under way, and the most there have been.
    under_way: watch::Sender<usize>,
    /// A permit for each answer that was given up.
    given_up: Semaphore,
    /// A permit for each connection that has ended.
    closed: Semaphore,
    gate: Semaphore,
    hang_up: Notify,
}

/// The server; it ends when it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Seen>,
    _tasks: JoinSet<()>,
}

impl Server {
    /// A server without TLS that allows this many streams on a connection of HTTP/2.
    pub(crate) async fn start(answers: Answers, streams: u32) -> Self {
        Self::with(answers, streams, None).await
    }

    /// The same with TLS.
    pub(crate) async fn secure(answers: Answers, tls: TlsAcceptor) -> Self {
        Self::with(answers, 100, Some(tls)).await
    }

    async fn with(answers: Answers, streams: u32, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen {
            answers,
            connections: AtomicUsize::new(0),
            http2: AtomicUsize::new(0),
            under_way: watch::channel(0).0,
            given_up: Semaphore::new(0),
            closed: Semaphore::new(0),
            gate: Semaphore::new(0),
            hang_up: Notify::new(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, streams, tls, Arc::clone(&seen)));
        Self { address, seen, _tasks: tasks }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Seen {
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Returns when so many requests are under way at once; the number if that takes too long.
    pub(crate) async fn under_way(&self, wanted: usize, limit: Duration) -> Result<(), usize> {
        let mut under_way = self.under_way.subscribe();
        let found = timeout(limit, under_way.wait_for(|count| *count == wanted)).await;
        found.map(drop).map_err(|_| *self.under_way.borrow())
    }

    /// Whether the server sees within `limit` that an answer is not wanted any more.
    pub(crate) async fn given_up(&self, limit: Duration) -> bool {
        timeout(limit, self.given_up.acquire())
            .await
            .is_ok_and(|it| it.map(|it| it.forget()).is_ok())
    }

    /// Whether a connection ends within `limit`.
    pub(crate) async fn closed(&self, limit: Duration) -> bool {
        timeout(limit, self.closed.acquire()).await.is_ok_and(|it| it.map(|it| it.forget()).is_ok())
    }

    /// Ends every connection there is.
    pub(crate) fn hang_up(&self) {
        self.hang_up.notify_waiters();
    }

    /// Lets so many gated answers go.
    pub(crate) fn open_gate(&self, answers: usize) {
        self.gate.add_permits(answers);
    }
}

async fn accept(listener: TcpListener, streams: u32, tls: Option<TlsAcceptor>, seen: Arc<Seen>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let seen = Arc::clone(&seen);
        let tls = tls.clone();
        connections.spawn(async move {
            match tls {
                None => serve(stream, streams, seen).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, streams, seen).await;
                    }
                }
            }
        });
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    streams: u32,
    seen: Arc<Seen>,
) {
    seen.connections.fetch_add(1, Ordering::SeqCst);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http2().max_concurrent_streams(streams);
    let service = service_fn(|request| answer(request, Arc::clone(&seen)));
    // A client that hangs up is what some tests are about.
    let hang_up = seen.hang_up.notified();
    tokio::select! {
        served = builder.serve_connection(TokioIo::new(stream), service) => drop(served),
        () = hang_up => {}
    }
    seen.closed.add_permits(1);
}

async fn answer(
    request: Request<Incoming>,
    seen: Arc<Seen>,
) -> Result<Response<Answer>, Infallible> {
    if request.version() == Version::HTTP_2 {
        seen.http2.fetch_add(1, Ordering::SeqCst);
    }
    let under_way = UnderWay::new(Arc::clone(&seen));
    let endless = match seen.answers {
        Answers::Nothing => pending().await,
        Answers::Gated => {
            seen.gate.acquire().await.unwrap().forget();
            false
        }
        Answers::Json => false,
        Answers::Endless => true,
    };
    let piece = if endless { "data: {}\n\n" } else { r#"{"ok":true}"# };
    let body = Answer { piece: Some(Bytes::from_static(piece.as_bytes())), endless, under_way };
    Ok(Response::new(body))
}

/// A request under way, until its answer has been sent or given up.
struct UnderWay {
    seen: Arc<Seen>,
    sent: bool,
}

impl UnderWay {
    fn new(seen: Arc<Seen>) -> Self {
        seen.under_way.send_modify(|count| *count += 1);
        Self { seen, sent: false }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.seen.under_way.send_modify(|count| *count -= 1);
        if !self.sent {
            self.seen.given_up.add_permits(1);
        }
    }
}

struct Answer {
    piece: Option<Bytes>,
    endless: bool,
    under_way: UnderWay,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.piece.take() {
            Some(piece) => {
                self.under_way.sent = !self.endless;
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            None if self.endless => Poll::Pending,
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.piece.is_none() && !self.endless
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
