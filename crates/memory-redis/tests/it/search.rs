//! Search over more than a page, and what it leaves out.

use std::collections::BTreeSet;

use brain_core::{
    ids::Seq,
    memory::{Embedded, Portable, QueryVector, Recall, Search},
};
use brain_testkit::redis::Server;

use crate::harness::{ann, exported, key, store};

const ENTRIES: u64 = 4_500;

/// Entries of all pages are found by what they say and by what they mean.
#[tokio::test]
async fn all_pages_are_searched() {
    let server = Server::start();
    let store = store(&server.url());
    for id in ["a", "b"] {
        store.restore(&key(id), &exported(ENTRIES)).await.unwrap();
    }
    for seq in [7, 2_000, 2_001, ENTRIES] {
        let search = Search::words(format!("entry {seq}"), 2);
        let hits = store.search(&ann(), &search).await.unwrap();
        assert!(hits.iter().all(|it| it.entry.seq == Seq(seq)), "{seq}: {hits:?}");
        let sessions: BTreeSet<&str> = hits.iter().map(|it| it.session.id.as_str()).collect();
        assert_eq!(sessions, BTreeSet::from(["a", "b"]), "{seq}");
    }
    let near: Vec<f32> = vec![1.0, 0.0];
    let far: Vec<f32> = vec![0.0, 1.0];
    let embedded = (1..=ENTRIES).map(|seq| {
        let values = if seq == 2_000 { near.as_slice() } else { far.as_slice() }.into();
        Embedded { session: key("a"), seq: Seq(seq), values }
    });
    store.keep_embeddings("model", embedded.collect()).await.unwrap();
    let vector = QueryVector { model: "model".to_owned(), values: near.as_slice().into() };
    let search = Search { text: String::new(), vector: Some(vector), limit: 1 };
    let hits = store.search(&ann(), &search).await.unwrap();
    assert_eq!((hits[0].session.id.as_str(), hits[0].entry.seq), ("a", Seq(2_000)));
}
