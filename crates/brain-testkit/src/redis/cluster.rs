//! A Redis Cluster of three masters.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use super::{PATIENCE, Reply, Server, Settings};

const SLOTS: u16 = 16_384;

/// Three nodes that share the keys.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Server>,
}

impl Cluster {
    /// Starts three nodes, and waits until each knows the others and has its slots.
    pub fn start() -> Self {
        Self::start_with(&Settings::new())
    }

    /// The same with nodes as `settings` have them.
    pub fn start_with(settings: &Settings) -> Self {
        let node = || {
            let settings = settings.clone().set("cluster-enabled", "yes");
            settings.set("cluster-node-timeout", "1000").start()
        };
        let cluster = Self { nodes: (0..3).map(|_| node()).collect() };
        cluster.join();
        cluster.wait_until_ready();
        cluster
    }

    fn join(&self) {
        let share = usize::from(SLOTS) / self.nodes.len() + 1;
        let slots: Vec<String> = (0..SLOTS).map(|it| it.to_string()).collect();
        for (index, (node, slots)) in self.nodes.iter().zip(slots.chunks(share)).enumerate() {
            let epoch = (index + 1).to_string();
            ok(&node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]));
            let slots = slots.iter().map(String::as_str);
            let command: Vec<&str> = ["CLUSTER", "ADDSLOTS"].into_iter().chain(slots).collect();
            ok(&node.ask(&command));
        }
        for node in &self.nodes[1..] {
            let port = self.nodes[0].port().to_string();
            ok(&node.ask(&["CLUSTER", "MEET", "127.0.0.1", &port]));
        }
    }

    /// Waits until every node that runs says that the cluster is well.
    pub fn wait_until_ready(&self) {
        let begin = Instant::now();
        let ready = |node: &Server| {
            let info = node.ask(&["CLUSTER", "INFO"]).text();
            info.contains("cluster_state:ok")
                && info.contains("cluster_known_nodes:3")
                && info.contains("cluster_slots_ok:16384")
        };
        while !self.nodes.iter().all(ready) {
            assert!(begin.elapsed() < PATIENCE, "{}", self.nodes[0].log());
            sleep(Duration::from_millis(10));
        }
    }

    /// Where clients find it: by two of the nodes.
    pub fn url(&self) -> String {
        let (scheme, rest) = self.nodes[0].url().split_once("://").map_or_else(
            || panic!("a URL has a scheme"),
            |(scheme, rest)| (scheme.to_owned(), rest.to_owned()),
        );
        let second = format!("127.0.0.1:{},127.0.0.1:", self.nodes[1].port());
        format!("{scheme}-cluster://{}", rest.replacen("127.0.0.1:", &second, 1))
    }

    /// The nodes.
    pub fn nodes(&self) -> &[Server] {
        &self.nodes
    }

    /// The node that has the slot of this key, and another one.
    pub fn owner_and_other(&self, key: &str) -> (&Server, &Server) {
        let slot = self.nodes[0].ask(&["CLUSTER", "KEYSLOT", key]).integer();
        let share = i64::from(SLOTS) / 3 + 1;
        let owner = usize::try_from(slot / share).unwrap();
        (&self.nodes[owner], &self.nodes[(owner + 1) % 3])
    }
}

fn ok(reply: &Reply) {
    assert_eq!(*reply, Reply::Status("OK".to_owned()));
}
