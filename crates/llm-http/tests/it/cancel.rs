//! An answer that is not wanted any more is not made any more.

use std::time::Duration;

use futures_util::StreamExt;
use llm_http::{Network, Protocol};
use tokio::time::Instant;

use crate::{
    PATIENCE, client, get, post,
    server::{Answers, Server},
};

/// How soon a server must see that nobody wants its answer any more.
const SOON: Duration = Duration::from_millis(200);

/// How often a machine that is busy with other things may make it late.
const TRIES: usize = 10;

fn over(protocol: Protocol) -> Network {
    Network { protocol, ..Network::default() }
}

/// Drops the future of a request before any byte of its answer is there; returns how long the
/// server took to see it.
async fn drop_before_the_first_byte(protocol: Protocol) -> Duration {
    let server = Server::start(Answers::Nothing, 100).await;
    let client = client(&server.url(), &over(protocol));
    let asking = post(&client);
    tokio::select! {
        _ = asking => panic!("there is no answer"),
        seen = server.seen.under_way(1, PATIENCE) => seen.unwrap(),
    }
    seen_by(&server, protocol).await
}

/// Drops the stream of an answer that has begun; returns how long the server took to see it.
async fn drop_in_the_answer(protocol: Protocol) -> Duration {
    let server = Server::start(Answers::Endless, 100).await;
    let client = client(&server.url(), &over(protocol));
    let mut stream = post(&client).await.unwrap();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    seen_by(&server, protocol).await
}

/// How long from now the server takes to see that its answer, or its connection where that is of
/// HTTP/1.1, has been given up.
async fn seen_by(server: &Server, protocol: Protocol) -> Duration {
    let dropped = Instant::now();
    assert!(server.seen.given_up(PATIENCE).await);
    if protocol == Protocol::Negotiated {
        assert!(server.seen.closed(PATIENCE).await);
    }
    dropped.elapsed()
}

/// One of several tries takes less than [`SOON`].
async fn soon(attempt: impl AsyncFn() -> Duration) {
    let mut took = Vec::new();
    while took.iter().all(|it| SOON <= *it) {
        assert!(took.len() < TRIES, "{took:?}");
        took.push(attempt().await);
    }
}

#[tokio::test]
async fn http1_closes_the_connection() {
    soon(async || drop_before_the_first_byte(Protocol::Negotiated).await).await;
    soon(async || drop_in_the_answer(Protocol::Negotiated).await).await;
}

#[tokio::test]
async fn http2_resets_the_stream() {
    soon(async || drop_before_the_first_byte(Protocol::Http2).await).await;
    soon(async || drop_in_the_answer(Protocol::Http2).await).await;
}

#[tokio::test]
async fn a_reset_stream_leaves_the_connection_and_its_place() {
    let server = Server::start(Answers::Endless, 1).await;
    let client = client(&server.url(), &over(Protocol::Http2));
    for _ in 0..5 {
        let mut stream = post(&client).await.unwrap();
        stream.next().await.unwrap().unwrap();
        drop(stream);
        assert!(server.seen.given_up(PATIENCE).await);
    }
    assert_eq!(server.seen.connections(), 1);
    drop(client);
    assert!(server.seen.closed(PATIENCE).await);
}

#[tokio::test]
async fn who_gives_up_while_connecting_leaves_the_others_to_it() {
    let server = Server::start(Answers::Json, 100).await;
    let client = client(&server.url(), &over(Protocol::Http2));
    let mut first = Box::pin(get(&client));
    let mut second = Box::pin(get(&client));
    assert!(futures_util::poll!(&mut first).is_pending());
    assert!(futures_util::poll!(&mut second).is_pending());
    drop(first);
    assert_eq!(second.await.unwrap()["ok"], true);
    assert_eq!(server.seen.connections(), 1);
}
