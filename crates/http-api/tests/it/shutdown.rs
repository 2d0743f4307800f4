//! How the surface ends.

use std::time::Duration;

use brain_testkit::{Answer, Gate};
use http_api::ApiConfig;
use serde_json::json;
use tokio::{io::AsyncReadExt, net::TcpStream};

use crate::server::{Server, within};

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn open_answers_are_finished_and_no_new_ones_begun() {
    let gate = Gate::new();
    let mut server = Server::start([Answer::new().wait(&gate).say("done").finish()]).await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    let mut stream = server.stream(json!({"message": "hi", "stream": true})).await;
    gate.reached_by(1).await;
    server.stop();
    within(SOON, async {
        while TcpStream::connect(server.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(within(SOON, idle.read(&mut [0; 1])).await.unwrap(), 0);
    gate.open();
    assert_eq!(stream.events().await.last().unwrap().name, "turn.completed");
    within(SOON, server.ended()).await;
}

#[tokio::test]
async fn what_does_not_end_is_cut() {
    let gate = Gate::new();
    let config = ApiConfig { drain: Duration::from_millis(50), ..ApiConfig::default() };
    let mut server = Server::configured([Answer::new().wait(&gate).finish()], config).await;
    let _stream = server.stream(json!({"message": "hi", "stream": true})).await;
    gate.reached_by(1).await;
    server.stop();
    within(SOON, server.ended()).await;
}

#[tokio::test]
async fn draining_the_brain_ends_what_is_open() {
    let gate = Gate::new();
    let mut server = Server::start([Answer::new().say("so far").wait(&gate).finish()]).await;
    let mut stream = server.stream(json!({"message": "hi", "stream": true})).await;
    gate.reached_by(1).await;
    server.stop();
    assert_eq!(server.brain.drain(Duration::from_millis(20)).await, 1);
    assert_eq!(stream.events().await.last().unwrap().name, "turn.interrupted");
    within(SOON, server.ended()).await;
}
