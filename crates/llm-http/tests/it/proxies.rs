//! A small proxy on this machine: what it is asked, and what people are told when it fails.

use std::{
    error::Error,
    net::SocketAddr,
    sync::{Arc, Mutex, atomic::Ordering},
};

use brain_core::llm::{LlmError, LlmErrorKind};
use llm_http::{Network, Proxies};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    client, get,
    roots::Authority,
    server::{Answers, Server},
};

/// `me:hunter2`, in lower case as heads are kept.
const AUTH: &str = "proxy-authorization: basic bwu6ahvudgvymg==";

/// A proxy that sends everything to one server; it ends when it is dropped.
struct Proxy {
    address: SocketAddr,
    /// The heads it was asked with, in lower case.
    asked: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// A proxy to `server` that lets in only those who bring `auth`.
    async fn start(server: SocketAddr, auth: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let mut tasks = JoinSet::new();
        let heads = Arc::clone(&asked);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(stream, server, auth, Arc::clone(&heads)));
            }
        });
        Self { address, asked, _tasks: tasks }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// The way through it with a password.
    fn network(&self, rest: Network) -> Network {
        let address = format!("http://me:hunter2@{}", self.address);
        let proxies = Proxies::from_pairs([("http_proxy", &address), ("HTTPS_PROXY", &address)]);
        Network { proxies: proxies.unwrap(), ..rest }
    }
}

async fn serve(
    mut client: TcpStream,
    server: SocketAddr,
    auth: &str,
    heads: Arc<Mutex<Vec<String>>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = client.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    heads.lock().unwrap().push(head.clone());
    if !head.contains(auth) {
        let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
        return client.write_all(refusal).await.unwrap();
    }
    if head.starts_with("connect ") {
        let mut server = TcpStream::connect(server).await.unwrap();
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        drop(copy_bidirectional(&mut client, &mut server).await);
    } else {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{\"ok\":true}";
        client.write_all(answer).await.unwrap();
    }
}

fn assert_keeps_the_password(error: &LlmError) {
    let mut shown = format!("{error} {error:?}");
    let mut next = error.source();
    while let Some(source) = next {
        shown.push_str(&format!(" {source} {source:?}"));
        next = source.source();
    }
    for secret in ["hunter2", "bWU6aHVudGVyMg"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[tokio::test]
async fn plain_requests_name_the_whole_address() {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let proxy = Proxy::start(nowhere, AUTH).await;
    let network = proxy.network(Network::default());
    let client = client("http://model.example:8080/v1", &network);
    assert_eq!(get(&client).await.unwrap()["ok"], true);
    let asked = proxy.asked();
    assert!(
        asked[0].starts_with("get http://model.example:8080/v1/models http/1.1\r\n"),
        "{asked:?}"
    );
    assert!(asked[0].contains("host: model.example:8080\r\n"), "{asked:?}");
    assert!(!format!("{client:?} {network:?} {:?}", client.endpoint()).contains("hunter2"));
}

#[tokio::test]
async fn secure_requests_go_through_a_tunnel() {
    let authority = Authority::new();
    for (protocols, http2) in [(&["h2", "http/1.1"][..], 2), (&["http/1.1"], 0)] {
        let tls = authority.tls("model.example", protocols);
        let server = Server::secure(Answers::Json, tls).await;
        let proxy = Proxy::start(server.address, AUTH).await;
        let network = proxy.network(authority.believed());
        let client = client("https://model.example/v1", &network);
        for _ in 0..2 {
            assert_eq!(get(&client).await.unwrap()["ok"], true);
        }
        assert_eq!(server.seen.http2.load(Ordering::SeqCst), http2);
        for head in proxy.asked() {
            assert!(head.starts_with("connect model.example:443 http/1.1\r\n"), "{head}");
        }
    }
}

#[tokio::test]
async fn a_proxy_that_refuses_is_told_without_the_password() {
    let proxy = Proxy::start(SocketAddr::from(([127, 0, 0, 1], 9)), "another password").await;
    let network = proxy.network(Network::default());
    let tunnel = get(&client("https://model.example/v1", &network)).await.unwrap_err();
    assert_eq!(tunnel.kind(), LlmErrorKind::Unavailable);
    assert!(tunnel.to_string().contains(&format!("the proxy {}", proxy.address)), "{tunnel}");
    assert_keeps_the_password(&tunnel);
    let forward = get(&client("http://model.example/v1", &network)).await.unwrap_err();
    assert_eq!(forward.kind(), LlmErrorKind::Rejected);
    assert!(forward.to_string().contains("proxy"), "{forward}");
    assert_keeps_the_password(&forward);
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_told_without_the_password() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("http://me:hunter2@{address}");
    let proxies = Proxies::from_pairs([("all_proxy", url)]).unwrap();
    let network = Network { proxies, ..Network::default() };
    for scheme in ["http", "https"] {
        let error = get(&client(&format!("{scheme}://model.example"), &network)).await.unwrap_err();
        assert_eq!(error.kind(), LlmErrorKind::Unavailable);
        assert!(error.to_string().contains(&format!("the proxy {address}")), "{error}");
        assert_keeps_the_password(&error);
    }
}

#[tokio::test]
async fn this_machine_is_asked_directly() {
    let server = Server::start(Answers::Json, 100).await;
    let proxy = Proxy::start(server.address, "").await;
    let client = client(&server.url(), &proxy.network(Network::default()));
    assert_eq!(get(&client).await.unwrap()["ok"], true);
    assert!(proxy.asked().is_empty());
}
