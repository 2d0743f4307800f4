//! Connections of HTTP/1.1: kept, and as many as there are requests.

use futures_util::future::join_all;
use llm_http::Network;

use crate::{
    PATIENCE, client, get,
    server::{Answers, Server},
};

#[tokio::test]
async fn one_connection_serves_one_request_after_another() {
    let server = Server::start(Answers::Json, 100).await;
    let client = client(&server.url(), &Network::default());
    for _ in 0..10 {
        assert_eq!(get(&client).await.unwrap()["ok"], true);
    }
    assert_eq!(server.seen.connections(), 1);
}

#[tokio::test]
async fn requests_at_once_wait_for_no_other() {
    let server = Server::start(Answers::Gated, 100).await;
    let client = client(&server.url(), &Network::default());
    let asking = join_all((0..50).map(|_| get(&client)));
    let opening = async {
        server.seen.under_way(50, PATIENCE).await.unwrap();
        server.seen.open_gate(50);
    };
    let (answers, ()) = tokio::join!(asking, opening);
    assert!(answers.iter().all(Result::is_ok));
}
