//! An answer that is not wanted any more is not made any more.

use futures_util::StreamExt;
use llm_http::{Network, Protocol};
use tokio::time::Instant;

use crate::{
    PATIENCE, SOON, client, get, post,
    server::{Answers, Server},
};

fn over(protocol: Protocol) -> Network {
    Network { protocol, ..Network::default() }
}

/// Drops the future of a request before any byte of its answer is there.
async fn drop_before_the_first_byte(protocol: Protocol) -> Server {
    let server = Server::start(Answers::Nothing, 100).await;
    let client = client(&server.url(), &over(protocol));
    let asking = post(&client);
    tokio::select! {
        _ = asking => panic!("there is no answer"),
        seen = server.seen.under_way(1, PATIENCE) => seen.unwrap(),
    }
    let dropped = Instant::now();
    assert!(server.seen.given_up(PATIENCE).await);
    assert!(dropped.elapsed() < SOON, "{:?}", dropped.elapsed());
    server
}

/// Drops the stream of an answer that has begun.
async fn drop_in_the_answer(protocol: Protocol) -> Server {
    let server = Server::start(Answers::Endless, 100).await;
    let client = client(&server.url(), &over(protocol));
    let mut stream = post(&client).await.unwrap();
    stream.next().await.unwrap().unwrap();
    let dropped = Instant::now();
    drop(stream);
    assert!(server.seen.given_up(PATIENCE).await);
    assert!(dropped.elapsed() < SOON, "{:?}", dropped.elapsed());
    server
}

#[tokio::test]
async fn http1_closes_the_connection() {
    let server = drop_before_the_first_byte(Protocol::Negotiated).await;
    assert!(server.seen.closed(SOON).await);
    let server = drop_in_the_answer(Protocol::Negotiated).await;
    assert!(server.seen.closed(SOON).await);
}

#[tokio::test]
async fn http2_resets_the_stream() {
    drop_before_the_first_byte(Protocol::Http2).await;
    drop_in_the_answer(Protocol::Http2).await;
}

#[tokio::test]
async fn a_reset_stream_leaves_the_connection_and_its_place() {
    let server = Server::start(Answers::Endless, 1).await;
    let client = client(&server.url(), &over(Protocol::Http2));
    for _ in 0..5 {
        let mut stream = post(&client).await.unwrap();
        stream.next().await.unwrap().unwrap();
        drop(stream);
        assert!(server.seen.given_up(SOON).await);
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
