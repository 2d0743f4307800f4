//! What a fresh connection is like.

use http::Uri;
use tokio::net::TcpListener;
use tower::Service;

use super::{Route, route::Hop};
use crate::{Proxies, Roots};

/// Whether a connection to `server` by the way for it sends small packets at once; a listener
/// stands in for the server or its proxy.
async fn nodelay(server: Option<&str>) -> bool {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server: Uri = server.unwrap_or(&address).parse().unwrap();
    let proxies = Proxies::from_pairs([("ALL_PROXY", &address)]).unwrap();
    let proxy = proxies.for_address(&server);
    let mut route = Route::new(&server, proxy.as_ref(), &Roots::default()).unwrap();
    let Hop::Http(stream) = route.call(server).await.unwrap() else {
        panic!("no TLS was asked for")
    };
    stream.inner().nodelay().unwrap()
}

#[tokio::test]
async fn small_packets_are_not_held_back() {
    assert!(nodelay(None).await);
    assert!(nodelay(Some("http://model.example")).await);
}
