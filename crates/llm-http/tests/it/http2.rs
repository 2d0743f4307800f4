//! Connections of HTTP/2: as many as the server's limit of streams makes needful, and no more.

use std::{sync::atomic::Ordering, time::Duration};

use brain_core::llm::LlmErrorKind;
use futures_util::{
    FutureExt,
    future::{join, join_all},
    poll,
};
use llm_http::{Endpoint, HttpClient, Network, Protocol, Timeouts};

use crate::{
    PATIENCE, client, get,
    server::{Answers, Server},
};

fn http2() -> Network {
    Network { protocol: Protocol::Http2, ..Network::default() }
}

/// Asks so often at once and returns how many connections that took, once all are under way.
async fn connections_for(requests: usize, streams: u32) -> usize {
    let server = Server::start(Answers::Gated, streams).await;
    let client = client(&server.url(), &http2());
    let asking = join_all((0..requests).map(|_| get(&client)));
    let opening = async {
        server.seen.under_way(requests, PATIENCE).await.unwrap();
        let connections = server.seen.connections();
        server.seen.open_gate(requests);
        connections
    };
    let (answers, connections) = tokio::join!(asking, opening);
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(server.seen.http2.load(Ordering::SeqCst), requests);
    connections
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_requests_at_once_do_not_queue_behind_one_connection() {
    let connections = connections_for(1_000, 100).await;
    assert!((10..=12).contains(&connections), "{connections}");
}

#[tokio::test]
async fn a_server_that_allows_few_streams_gets_more_connections() {
    let connections = connections_for(60, 4).await;
    assert!((15..=18).contains(&connections), "{connections}");
}

#[tokio::test]
async fn a_server_that_allows_many_streams_gets_a_second_connection_at_a_hundred() {
    assert_eq!(connections_for(100, 1_000).await, 1);
    assert_eq!(connections_for(101, 1_000).await, 2);
}

#[tokio::test]
async fn connections_are_bounded_and_what_is_freed_serves_who_waits() {
    let server = Server::start(Answers::Gated, 1).await;
    let client = client(&server.url(), &http2());
    let mut asking = join_all((0..80).map(|_| get(&client))).boxed_local();
    let full = server.seen.under_way(64, PATIENCE);
    tokio::select! {
        full = full => full.unwrap(),
        _ = &mut asking => panic!("nothing has been answered"),
    }
    server.seen.open_gate(80);
    assert!(asking.await.iter().all(Result::is_ok));
    assert_eq!(server.seen.connections(), 64);
}

#[tokio::test]
async fn who_gives_up_waiting_for_a_connection_makes_room_in_it() {
    let server = Server::start(Answers::Gated, 2).await;
    let client = client(&server.url(), &http2());
    let [mut first, mut second, mut third, mut given_up, mut last] =
        std::array::from_fn(|_| get(&client).boxed_local());
    let mut full = join_all([&mut first, &mut second]);
    tokio::select! {
        full = server.seen.under_way(2, PATIENCE) => full.unwrap(),
        _ = &mut full => panic!("nothing has been answered"),
    }
    assert!(poll!(&mut third).is_pending());
    assert!(poll!(&mut given_up).is_pending());
    drop(given_up);
    assert!(poll!(&mut last).is_pending());
    server.seen.open_gate(4);
    let rest = join_all([third, last]);
    assert!(join(full, rest).await.1.iter().all(Result::is_ok));
    assert_eq!(server.seen.connections(), 2);
}

#[tokio::test]
async fn a_connection_that_is_given_up_makes_room_for_who_waits() {
    let server = Server::start(Answers::Gated, 1).await;
    let client = client(&server.url(), &http2());
    let mut full = join_all((0..63).map(|_| get(&client))).boxed_local();
    tokio::select! {
        full = server.seen.under_way(63, PATIENCE) => full.unwrap(),
        _ = &mut full => panic!("nothing has been answered"),
    }
    let mut given_up = get(&client).boxed_local();
    let mut waiting = get(&client).boxed_local();
    assert!(poll!(&mut given_up).is_pending());
    assert!(poll!(&mut waiting).is_pending());
    drop(given_up);
    tokio::select! {
        full = server.seen.under_way(64, PATIENCE) => full.unwrap(),
        _ = join(full, waiting) => panic!("nothing has been answered"),
    }
}

#[tokio::test]
async fn one_connection_serves_one_request_after_another() {
    let server = Server::start(Answers::Json, 100).await;
    let client = client(&server.url(), &http2());
    for _ in 0..10 {
        assert_eq!(get(&client).await.unwrap()["ok"], true);
    }
    assert_eq!(server.seen.connections(), 1);
}

#[tokio::test]
async fn a_lost_connection_is_replaced() {
    let server = Server::start(Answers::Json, 100).await;
    let client = client(&server.url(), &http2());
    get(&client).await.unwrap();
    server.seen.hang_up();
    assert!(server.seen.closed(PATIENCE).await);
    assert_eq!(get(&client).await.unwrap()["ok"], true);
    assert_eq!(server.seen.connections(), 2);
}

#[tokio::test]
async fn a_server_without_http2_is_told() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answering = async {
        use tokio::io::AsyncWriteExt;
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    };
    let client = client(&url, &http2());
    let (error, ()) = tokio::join!(get(&client), answering);
    assert_eq!(error.unwrap_err().kind(), LlmErrorKind::Unavailable);
}

#[tokio::test]
async fn a_server_that_never_speaks_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let timeouts = Timeouts { connect: Duration::from_millis(100), ..Timeouts::default() };
    let client = HttpClient::new(Endpoint::new(&url).unwrap(), timeouts, &http2()).unwrap();
    let errors = join_all((0..20).map(|_| get(&client))).await;
    for error in errors {
        let error = error.unwrap_err();
        assert!(error.to_string().contains("does not answer"), "{error}");
    }
}
