use std::error::Error;

use brain_core::memory::MemoryErrorKind::{
    self, Backend, Corrupt, Full, OutcomeUnknown, Unavailable,
};
use redis::RedisError;

use super::{Answer, Fault, Sent, is_locked_out};

/// The error that the driver makes of this reply.
fn reply(text: &str) -> RedisError {
    let value = redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).unwrap();
    value.extract_error().unwrap_err()
}

fn kind(error: RedisError, sent: Sent) -> MemoryErrorKind {
    Fault::of(error, sent, false).during("try").kind()
}

#[test]
fn replies_become_kinds() {
    for (text, expected) in [
        ("LOADING Redis is loading the dataset in memory", Unavailable),
        ("READONLY You can't write against a read only replica.", Unavailable),
        (
            "READONLY You can't write against a read only replica. script: 1, on @user_script:1.",
            Unavailable,
        ),
        ("CLUSTERDOWN The cluster is down", Unavailable),
        (
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            Unavailable,
        ),
        ("BUSY Redis is busy running a script.", Unavailable),
        ("TRYAGAIN Multiple keys request during rehashing of slot", Unavailable),
        ("NOREPLICAS Not enough good replicas to write.", Unavailable),
        ("MISCONF Redis is configured to save RDB snapshots", Unavailable),
        ("ERR max number of clients reached", Unavailable),
        ("OOM command not allowed when used memory > 'maxmemory'.", Full),
        (
            "ERR Error running script (call to f_0): @user_script:1: @user_script: 1: -OOM command not allowed",
            Full,
        ),
        (
            "ERR Error running script (call to f_0): @user_script:1: WRONGTYPE Operation against",
            Corrupt,
        ),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", Corrupt),
        ("NOAUTH Authentication required.", Unavailable),
        ("WRONGPASS invalid username-password pair or user is disabled.", Unavailable),
        ("NOPERM this user has no permissions to run the 'evalsha' command", Unavailable),
        (
            "ERR ACL failure in script: User u has no permissions to run the 'hset' command \
             script: f, on @user_script:1.",
            Unavailable,
        ),
        (
            "ERR Error running script (call to f_0): @user_script:1: The user executing the script \
             can't run this command or subcommand",
            Unavailable,
        ),
        ("DENIED Redis is running in protected mode", Unavailable),
        ("MOVED 3999 127.0.0.1:6381", Unavailable),
        ("CROSSSLOT Keys in request don't hash to the same slot", Backend),
        ("ERR unknown command 'EVALSHA'", Backend),
        ("ERR the text says OOM and is no script's", Backend),
        ("SOMETHING new", Backend),
    ] {
        assert_eq!(kind(reply(text), Sent::Write), expected, "{text}");
    }
}

#[test]
fn a_lost_reply_is_unknown_only_for_a_change() {
    let lost = || RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
    assert_eq!(kind(lost(), Sent::Write), OutcomeUnknown);
    assert_eq!(kind(lost(), Sent::Read), Unavailable);
    assert_eq!(kind(lost(), Sent::No), Unavailable);
    assert_eq!(Fault::timed_out(Sent::Write).during("try").kind(), OutcomeUnknown);
    assert_eq!(Fault::timed_out(Sent::Read).during("try").kind(), Unavailable);
    assert_eq!(Fault::timed_out(Sent::No).during("try").kind(), Unavailable);
}

#[test]
fn what_was_refused_was_not_done() {
    let refused = RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
    assert_eq!(kind(refused, Sent::Write), Unavailable);
}

#[test]
fn a_node_of_a_cluster_says_how_to_write_its_url() {
    let error = Fault::of(reply("MOVED 1 h:7"), Sent::Read, false).at("redis://h").during("try");
    assert!(error.source().unwrap().to_string().contains("redis-cluster://"));
    let kind = Fault::of(reply("MOVED 1 h:7"), Sent::Read, true).during("try").kind();
    assert_eq!(kind, Unavailable);
}

#[test]
fn a_slot_on_its_way_says_where_to_ask() {
    assert_eq!(Answer::of(&reply("ASK 1 h:7")), Answer::Ask(("h".to_owned(), 7)));
    assert_eq!(Answer::of(&reply("ASK 1 ::1:7")), Answer::Ask(("::1".to_owned(), 7)));
    assert_eq!(Answer::of(&reply("MOVED 1 h:7")), Answer::Moved);
    assert_eq!(Answer::of(&reply("NOSCRIPT No matching script.")), Answer::NoScript);
}

#[test]
fn texts_leave_their_source_to_the_chain() {
    let error = Fault::of(reply("OOM the server's words"), Sent::Write, false);
    let error = error.at("redis://h:6379").during("append");
    assert!(!error.to_string().contains("words"));
    let fault = error.source().unwrap();
    assert!(fault.to_string().starts_with("Redis at redis://h:6379: it is full"));
    assert!(!fault.to_string().contains("words"));
    assert!(fault.source().unwrap().to_string().contains("words"));
}

/// All of it is a Redis that cannot be used now: somebody mends a password, a certificate or a URL.
#[test]
fn a_connection_that_does_not_come_about_is_no_answer() {
    let error = |text: &str| RedisError::from(std::io::Error::other(text.to_owned()));
    for text in [
        "invalid peer certificate: UnknownIssuer",
        "received corrupt message of type InvalidContentType",
        "Failed to create initial connections - Io: Password authentication failed",
    ] {
        assert_eq!(kind(error(text), Sent::No), Unavailable, "{text}");
    }
    let web = || redis::parse_redis_value(b"HTTP/1.1 400 Bad Request\r\n").unwrap_err();
    assert_eq!(kind(web(), Sent::No), Unavailable);
    for (error, expected) in [
        (reply("WRONGPASS invalid username-password pair"), true),
        (error("invalid peer certificate: UnknownIssuer"), true),
        (web(), true),
        (reply("LOADING Redis is loading the dataset in memory"), false),
        (RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionRefused)), false),
    ] {
        let error = Fault::of(error, Sent::No, false).during("try");
        assert_eq!(is_locked_out(&error), expected, "{error:?}");
    }
    assert_eq!(kind(web(), Sent::Write), OutcomeUnknown);
}

#[test]
fn a_command_that_is_refused_is_named() {
    for (text, says) in [
        ("NOPERM this user has no permissions to run the 'hdel' command", "; it refused HDEL"),
        (
            "ERR ACL failure in script: User u has no permissions to run the 'hset' command \
             script: f, on @user_script:1.",
            "; it refused HSET",
        ),
        (
            "NOPERM User u has no permissions to run the 'cluster|slots' command",
            "; it refused CLUSTER SLOTS",
        ),
        ("NOPERM this user has no permissions to run the 'a\u{7} b' command", "ACL SETUSER"),
        ("NOPERM this user has no permissions to access one of the keys", "ACL SETUSER"),
        ("ERR no permissions to run the 'x' command", "it answered with an error"),
    ] {
        let said = Fault::of(reply(text), Sent::Write, false).to_string();
        assert!(said.ends_with(says), "{said}");
    }
}
