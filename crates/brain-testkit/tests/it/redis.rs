//! Real servers start, fail on demand, and end.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use brain_testkit::redis::{Cluster, Reply, Sentinel, Server, Settings};

#[test]
fn a_server_starts_stops_and_comes_back() {
    let server = Settings::new().durable().start();
    assert_eq!(server.ask(&["SET", "a", "1"]).text(), "OK");
    server.stop();
    assert!(std::net::TcpStream::connect(("127.0.0.1", server.port())).is_err());
    server.restart();
    assert_eq!(server.ask(&["GET", "a"]).text(), "1");
    server.kill();
    server.restart();
    assert_eq!(server.ask(&["GET", "a"]).text(), "1");
}

#[test]
fn a_frozen_server_keeps_its_connections() {
    let server = Server::start();
    server.pause();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    std::io::Write::write_all(&mut stream, b"PING\r\n").unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut reply = [0; 7];
    assert!(std::io::Read::read(&mut stream, &mut reply).is_err());
    server.resume();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    std::io::Read::read_exact(&mut stream, &mut reply).unwrap();
    assert_eq!(&reply, b"+PONG\r\n");
}

#[test]
fn a_server_ends_with_a_test_that_panics() {
    let mut port = 0;
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let server = Server::start();
        port = server.port();
        panic!("as a test does");
    }));
    assert!(panicked.is_err());
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn a_server_has_a_password_and_tls() {
    let server = Settings::new().password("secret").tls().start();
    assert!(server.url().starts_with("rediss://:secret@127.0.0.1:"));
    assert_eq!(server.ask(&["PING"]).text(), "PONG");
}

#[test]
fn a_monitor_sees_what_scripts_do() {
    let server = Server::start();
    let monitor = server.monitor();
    server.ask(&["EVAL", "return redis.call('SET', KEYS[1], ARGV[1])", "1", "a", "b"]);
    // The line of a command is there before its reply, but on another connection.
    server.ask(&["PING"]);
    let mut seen = Vec::new();
    for _ in 0..100 {
        std::thread::sleep(Duration::from_millis(10));
        seen = monitor.so_far();
        if seen.iter().any(|it| it[0] == "PING") {
            break;
        }
    }
    assert!(seen.contains(&["SET", "a", "b"].map(str::to_owned).to_vec()), "{seen:?}");
}

#[test]
fn a_cluster_shares_its_keys() {
    let cluster = Cluster::start();
    let (owner, other) = cluster.owner_and_other("key");
    assert_eq!(owner.ask(&["SET", "key", "1"]).text(), "OK");
    let Reply::Error(error) = other.ask(&["GET", "key"]) else { panic!("the slot is elsewhere") };
    assert!(error.starts_with("MOVED "));
}

#[test]
fn a_sentinel_makes_the_replica_the_master() {
    let sentinel = Sentinel::start();
    let before = sentinel.master().port();
    sentinel.master().kill();
    let dead = sentinel.servers().iter().find(|it| it.port() == before).unwrap();
    sentinel.wait_for_other_master(dead);
    assert_ne!(sentinel.master().port(), before);
}
