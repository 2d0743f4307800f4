//! A master, its replica, and a sentinel that watches them.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use super::{PATIENCE, Server, Settings};

/// The name of the master.
const NAME: &str = "main";

/// Two servers of which one is the master, and the sentinel that knows which.
#[derive(Debug)]
pub struct Sentinel {
    sentinel: Server,
    servers: [Server; 2],
}

impl Sentinel {
    /// Starts them, and waits until the sentinel knows both servers.
    pub fn start() -> Self {
        let master = Server::start();
        let port = master.port().to_string();
        let replica = Server::start();
        replica.ask(&["REPLICAOF", "127.0.0.1", &port]);
        let configuration = format!(
            "sentinel monitor {NAME} 127.0.0.1 {port} 1\n\
             sentinel down-after-milliseconds {NAME} 500\n\
             sentinel failover-timeout {NAME} 3000\n"
        );
        let mut settings = Settings { configuration, ..Settings::new() };
        settings.arguments.push("--sentinel".to_owned());
        let sentinel = settings.start();
        let all = Self { sentinel, servers: [master, replica] };
        all.wait("num-other-sentinels", |it| it.knows_replica());
        all
    }

    fn knows_replica(&self) -> bool {
        let replicas = self.sentinel.ask(&["SENTINEL", "REPLICAS", NAME]).array();
        replicas.len() == 1
            && self.servers[1]
                .ask(&["INFO", "replication"])
                .text()
                .contains("master_link_status:up")
            && replicas.iter().all(|it| {
                let fields: Vec<String> =
                    it.clone().array().iter().map(super::Reply::text).collect();
                fields.windows(2).any(|it| it[0] == "master-link-status" && it[1] == "ok")
            })
    }

    fn wait(&self, what: &str, until: impl Fn(&Self) -> bool) {
        let begin = Instant::now();
        while !until(self) {
            assert!(begin.elapsed() < PATIENCE, "{what}: {}", self.sentinel.log());
            sleep(Duration::from_millis(20));
        }
    }

    /// Where clients find the master.
    pub fn url(&self) -> String {
        format!("redis-sentinel://127.0.0.1:{}/{NAME}", self.sentinel.port())
    }

    /// Both servers.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The server that is the master, as the sentinel has it.
    pub fn master(&self) -> &Server {
        let address = self.sentinel.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME]).array();
        let port = address[1].text();
        let master = self.servers.iter().find(|it| it.port().to_string() == port);
        master.unwrap_or_else(|| panic!("the sentinel names a server that is none of ours"))
    }

    /// Waits until another server than this one is the master, and takes changes.
    pub fn wait_for_other_master(&self, than: &Server) {
        self.wait("failover", |it| {
            let master = it.master();
            let role = || master.ask(&["ROLE"]).array()[0].text();
            master.port() != than.port() && role() == "master"
        });
    }

    /// Waits until the replica has all that the master has: replication is no part of a reply.
    pub fn wait_for_replica(&self) {
        self.wait("the replica has it all", |it| it.offset(0) == it.offset(1));
    }

    /// How far a server is in the stream of changes.
    fn offset(&self, server: usize) -> Option<String> {
        let info = self.servers[server].ask(&["INFO", "replication"]).text();
        let line = info.lines().find(|it| it.starts_with("master_repl_offset:"))?;
        Some(line.to_owned())
    }

    /// Makes the other server the master while both run, and waits until the old one is its replica.
    pub fn fail_over(&self) {
        let before = self.master();
        self.wait_for_replica();
        self.wait("failover begins", |it| {
            it.sentinel.ask(&["SENTINEL", "FAILOVER", NAME]).text() == "OK"
        });
        self.wait_for_other_master(before);
        self.wait("the old master follows", |_| {
            let info = before.ask(&["INFO", "replication"]).text();
            info.contains("role:slave") && info.contains("master_link_status:up")
        });
    }
}
