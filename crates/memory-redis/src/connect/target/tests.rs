use std::{error::Error, path::Path};

use super::{Target, Topology};
use crate::RedisConfig;

fn check(url: &str, address: &str) {
    assert_eq!(Target::parse(url).unwrap().address(), address, "{url}");
}

#[test]
fn urls_lead_where_their_users_expect() {
    for (url, address) in [
        ("redis://h", "redis://h:6379"),
        (" redis://h:1 ", "redis://h:1"),
        ("REDIS://h/", "redis://h:6379"),
        ("redis://h/3", "redis://h:6379/3"),
        ("redis://h?db=3", "redis://h:6379/3"),
        ("redis://:p@h", "redis://h:6379"),
        ("redis://u:p@[::1]:7", "redis://[::1]:7"),
        ("valkey://h", "redis://h:6379"),
        ("rediss://h", "rediss://h:6379"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("redis+unix:///run/re%20dis?db=2&pass=p", "unix:///run/re dis"),
        ("redis-cluster://a,b:7,[::1]", "redis-cluster://a:6379,b:7,[::1]:6379"),
        ("redis://a,b?cluster=true", "redis-cluster://a:6379,b:6379"),
        ("rediss-cluster://a/0", "rediss-cluster://a:6379"),
        ("redis-sentinel://a,b:7/m", "redis-sentinel://a:26379,b:7/m"),
        ("redis-sentinel://a/m/2", "redis-sentinel://a:26379/m/2"),
        ("redis-sentinel://a/2#m", "redis-sentinel://a:26379/m/2"),
        ("redis+sentinel://a?sentinelServiceName=m", "redis-sentinel://a:26379/m"),
        ("rediss-sentinel://a/2?master=m", "rediss-sentinel://a:26379/m/2"),
    ] {
        check(url, address);
    }
}

#[test]
fn names_and_passwords_are_decoded() {
    let target = Target::parse("redis://an%40n:p%2F%23w:d@h").unwrap();
    assert_eq!(target.login.user.as_deref(), Some("an@n"));
    assert_eq!(target.login.password.unwrap().0, "p/#w:d");
    let target = Target::parse("redis://:p@w@h").unwrap();
    assert_eq!((target.login.user, target.login.password.unwrap().0), (None, "p@w".to_owned()));
    let url = "redis-sentinel://u:p@a/m?sentinelUsername=su&sentinelPassword=s%26p";
    let Topology::Sentinel { login, .. } = Target::parse(url).unwrap().topology else {
        panic!("{url}");
    };
    assert_eq!(login.user.as_deref(), Some("su"));
    assert_eq!(login.password.unwrap().0, "s&p");
    let target = Target::parse("unix:///s?user=u&pass=p%3F").unwrap();
    assert_eq!(target.topology, Topology::Socket(Path::new("/s").to_owned()));
    assert_eq!(target.login.password.unwrap().0, "p?");
}

#[test]
fn wrong_urls_say_what_to_write_and_repeat_nothing() {
    for (url, says) in [
        ("", "redis://HOST:6379"),
        ("hunter2", "redis://HOST:6379"),
        ("localhost:6379", "redis://HOST:6379"),
        ("http://:hunter2@h", "redis://HOST:6379"),
        ("redis:/h", "redis://HOST:6379"),
        ("redis://", "names no host"),
        ("redis://:hunter2@", "names no host"),
        ("redis://h,,i?cluster=1", "names no host"),
        ("redis://[::1", "names no host"),
        ("redis://[::1]6379", "names no host"),
        ("redis://a b", "names no host"),
        ("redis://user:hunter2", "a password stands before the host"),
        ("redis://h:0", "1 to 65535"),
        ("redis://h:65536", "1 to 65535"),
        ("redis://hunter2@h", "without a password"),
        ("redis://:hun/ter2@h", "%2F"),
        ("redis://:hun?ter2@h", "%3F"),
        ("redis://:hun#ter2@h", "%23"),
        ("redis://:hunter2%ff@h", "percent"),
        ("redis://h/x", "no number"),
        ("redis://h/-1", "no number"),
        ("redis://h/1/2", "no number"),
        ("redis://a,b", "redis-cluster://"),
        ("redis-cluster://a/1", "database 0 only"),
        ("redis://h?cluster=maybe", "true or false"),
        ("redis-sentinel://h/m?cluster=true", "true or false"),
        ("redis-sentinel://h", "names no master"),
        ("unix://run/redis.sock", "unix:///"),
        ("unix:///", "unix:///"),
        ("rediss://h/#insecure", "ssl_ca_certs"),
        ("redis://h?hunter2=1", "is not known"),
        ("redis://h?ssl_ca_certs=f", "rediss://"),
        ("rediss://h?ssl_certfile=f", "name both"),
        ("rediss://h?ssl_ca_certs=missing", "cannot be read"),
    ] {
        let error = RedisConfig::parse(url).expect_err(url);
        let mut said = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            said.push_str(&cause.to_string());
            source = cause.source();
        }
        assert!(said.contains(says), "{url}: {said}");
        assert!(!format!("{said}{error:?}").contains("hunter2"), "{url}: {said}");
    }
}

#[test]
fn settings_show_no_password() {
    for url in [
        "redis://hunter2:hunter2@h",
        "unix:///s?user=hunter2&pass=hunter2",
        "redis-cluster://:hunter2@a,b",
        "redis-sentinel://:hunter2@a/m?sentinelPassword=hunter2",
    ] {
        let config = RedisConfig::parse(url).unwrap();
        assert!(!format!("{config:?} {}", config.address()).contains("hunter2"), "{url}");
        let target = format!("{:?}", config.target).replace("Some(\"hunter2\")", "the name");
        assert!(!target.contains("hunter2"), "{target}");
    }
}
