//! Every command and option that is sent, against the command table of Redis 6.2.
//!
//! A real server tells what it is sent, by the driver, by the store and by its scripts, while
//! everything that the store can do is done. What is not in the table fails; so does a command that
//! stands in the sources and was not seen.

mod exercise;
pub(crate) mod table;

use std::{collections::BTreeSet, fs, path::Path};

use brain_testkit::redis::{Cluster, Monitor, Sentinel, Server, Settings};

use self::{exercise::exercise, table::check};
use crate::harness::{begin, config, store, wait_until};

/// What the server was sent so far: all that it recorded before a mark.
fn all(server: &Server, monitor: &Monitor) -> Vec<Vec<String>> {
    let mark = ["ECHO", "all of it"];
    server.ask(&mark);
    let end = |seen: &[Vec<String>]| seen.iter().position(|it| *it == mark);
    wait_until("the mark is recorded", || end(&monitor.so_far()).is_some());
    let mut seen = monitor.so_far();
    seen.truncate(end(&seen).unwrap());
    seen
}

/// The names of the commands, each of which is in the table with its options.
fn names(seen: &[Vec<String>]) -> BTreeSet<String> {
    let problems: BTreeSet<String> = seen.iter().filter_map(|it| check(it).err()).collect();
    assert!(problems.is_empty(), "{problems:#?}");
    seen.iter().map(|it| it[0].to_uppercase()).collect()
}

/// The words in quotes that follow `before` in the sources of the crate.
fn in_sources(folder: &Path, before: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // Tests send what they like, and connections speak for all of the driver's kinds.
        if path.ends_with("connect") || path.ends_with("tests.rs") {
            continue;
        }
        if path.is_dir() {
            in_sources(&path, before, found);
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for after in text.split(before).skip(1) {
            let name = after.split(['"', '\'']).next().unwrap();
            if !name.is_empty() && name.bytes().all(|it| it.is_ascii_uppercase()) {
                found.insert(name.to_owned());
            }
        }
    }
}

#[tokio::test]
async fn one_server_is_sent_what_redis_6_2_knows() {
    let server = Settings::new().password("secret").start();
    let monitor = server.monitor();
    let mut settings = config(&server.url());
    exercise(&settings, &server).await;
    settings.prefix = "other".to_owned();
    settings.ttl = None;
    exercise(&settings, &server).await;
    begin(&store(&format!("{}/1", server.url())), "a").await;
    let seen = names(&all(&server, &monitor));
    let mut named = BTreeSet::new();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for before in ["redis.call('", "redis.pcall('", "redis::cmd(\"", " command(\""] {
        in_sources(&sources, before, &mut named);
    }
    assert!(named.len() > 20, "{named:?}");
    let unseen: Vec<_> = named.difference(&seen).collect();
    assert!(unseen.is_empty(), "these are in the sources, and nothing sent them: {unseen:?}");
}

#[tokio::test]
async fn nodes_of_a_cluster_are_sent_what_redis_6_2_knows() {
    let cluster = Cluster::start();
    let settings = config(&cluster.url());
    let (owner, _) = cluster.owner_and_other(&exercise::claim(&settings));
    let nodes = cluster.nodes().iter();
    let monitors: Vec<(&Server, Monitor)> = nodes.map(|it| (it, it.monitor())).collect();
    exercise(&settings, owner).await;
    for (node, monitor) in monitors {
        assert!(names(&all(node, &monitor)).contains("EVALSHA"));
    }
}

#[tokio::test]
async fn the_master_of_a_sentinel_is_sent_what_redis_6_2_knows() {
    let sentinel = Sentinel::start();
    let monitor = sentinel.master().monitor();
    begin(&store(&sentinel.url()), "a").await;
    assert!(names(&all(sentinel.master(), &monitor)).contains("EVALSHA"));
}

#[test]
fn breaches_are_seen() {
    for command in [
        "KEYS *",
        "HGETALL k",
        "FLUSHALL",
        "FLUSHDB",
        "SCAN 0",
        "SMEMBERS k",
        "EVAL_RO x 0",
        "PEXPIRE k 1 NX",
        "EXPIRETIME k",
        "HSCAN k 0 NOVALUES",
        "SET k v IFEQ v",
        "ZADD k NX 1 m",
        "ZRANGE k 0",
        "ZRANGEBYSCORE k 0 1 WITHSCORE",
        "INFO server memory",
        "CLIENT NO-TOUCH ON",
        "GETEX k",
        "HSET k f",
        "XADD k * a b",
    ] {
        let words: Vec<String> = command.split(' ').map(str::to_owned).collect();
        assert!(check(&words).is_err(), "{command}");
    }
}
