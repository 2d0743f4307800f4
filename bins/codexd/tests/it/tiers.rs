//! Memory in tiers, as the daemon has it: Redis before SQLite, whatever happens to Redis.
#![expect(clippy::print_stdout, reason = "how long healing takes is printed")]

mod combinations;
mod daemons;
mod rig;

use std::time::{Duration, Instant};

use brain_testkit::redis::Settings;
use serde_json::{Value, json};

use self::rig::{Rig, SHORT};

/// How long a tier that is back may be called degraded.
const HEALING: Duration = Duration::from_secs(2);

#[test]
fn redis_is_used_and_its_state_is_told() {
    let rig = Rig::start(Settings::new());
    rig.say_until_kept("s");
    assert_eq!(rig.status(), "ok");
    let tiers = rig.tiers();
    let names: Vec<&str> = tiers.iter().map(|it| it.0.as_str()).collect();
    assert_eq!(names, ["memory:sqlite", "memory:redis"]);
}

#[test]
fn chats_go_on_while_redis_is_stopped_and_it_heals_by_itself() {
    let rig = Rig::start(Settings::new());
    rig.say("s", 3);
    let load = rig.load();
    rig.redis.stop();
    rig.say("s", 3);
    rig.wait_for_status("degraded", Duration::from_secs(10));
    load.go_on(30);
    rig.redis.restart();
    let used = rig.wait_for_use(HEALING);
    println!("used again {used:?} after Redis was back");
    rig.wait_for_status("ok", HEALING);
    rig.say("s", 3);
    load.end().check();
}

#[test]
fn chats_go_on_when_redis_comes_back_with_an_old_state() {
    let rig = Rig::start(Settings::new());
    rig.say("s", 3);
    rig.redis.ask(&["SAVE"]);
    let load = rig.load();
    rig.say("s", 3);
    load.go_on(30);
    rig.redis.kill();
    rig.say("s", 2);
    rig.redis.restart();
    rig.wait_for_status("ok", HEALING);
    rig.say("s", 3);
    load.go_on(60);
    load.end().check();
}

#[test]
fn chats_go_on_when_redis_is_flushed() {
    let rig = Rig::start(Settings::new());
    let load = rig.load();
    for _ in 0..5 {
        rig.say("s", 3);
        rig.redis.ask(&["FLUSHALL"]);
        load.go_on(20);
    }
    assert_eq!(rig.status(), "ok");
    load.end().check();
}

#[test]
fn chats_go_on_while_redis_takes_five_seconds_a_command() {
    let rig = Rig::start(Settings::new());
    rig.say("s", 3);
    let load = rig.load();
    rig.proxy.delay(Duration::from_secs(5));
    let begin = Instant::now();
    rig.say("s", 5);
    load.go_on(30);
    rig.wait_for_status("degraded", Duration::from_secs(10));
    println!("5 chats and 30 under load took {:?} of a slow Redis", begin.elapsed());
    rig.proxy.delay(Duration::ZERO);
    // What was sent before is held back to its end.
    let healed = rig.wait_for_status("ok", HEALING + Duration::from_secs(5));
    println!("healed {healed:?} after the last slow command was sent");
    rig.say("s", 3);
    let said = load.end().check();
    assert!(said.slowest < SHORT, "a chat took {:?}", said.slowest);
}

#[test]
fn chats_go_on_while_redis_answers_nothing() {
    let rig = Rig::start(Settings::new());
    rig.say("s", 3);
    let load = rig.load();
    rig.redis.pause();
    rig.say("s", 5);
    load.go_on(30);
    rig.wait_for_status("degraded", Duration::from_secs(10));
    rig.redis.resume();
    let healed = rig.wait_for_status("ok", HEALING);
    println!("healed {healed:?} after Redis went on");
    rig.say("s", 3);
    let said = load.end().check();
    assert!(said.slowest < SHORT, "a chat took {:?}", said.slowest);
}

#[test]
fn chats_go_on_while_redis_is_full() {
    let rig = Rig::start(Settings::new().set("maxmemory-policy", "noeviction"));
    rig.say("s", 3);
    let load = rig.load();
    rig.redis.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    rig.say("s", 5);
    load.go_on(30);
    rig.wait_for_status("degraded", Duration::from_secs(10));
    rig.redis.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    let healed = rig.wait_for_status("ok", HEALING);
    println!("healed {healed:?} after Redis had room");
    rig.say("s", 3);
    load.end().check();
}

#[test]
fn what_is_forgotten_while_redis_is_away_is_buried_when_it_is_back() {
    let rig = Rig::start(Settings::new().durable());
    let entries = rig.say_until_kept("gone");
    rig.redis.stop();
    let forgotten = rig.forget("gone");
    assert_eq!((forgotten.0, 0 < forgotten.1), (entries, true), "{forgotten:?}");
    rig.redis.restart();
    rig.wait_until("nothing is pending", || rig.forget("gone") == (0, 0));
    rig.wait_until("no key holds it", || !rig.redis_holds("gone 0"));
}

#[test]
fn what_has_expired_is_not_listed_and_its_name_can_be_taken() {
    let rig = Rig::start(Settings::new());
    rig.say("d", 1);
    let made = json!({"id": "e", "memory": "ephemeral", "title": "brief"});
    let make = || rig.ask("POST", "/memory/sessions", &made).0;
    assert_eq!(make(), 201);
    rig.say("e", 1);
    assert_eq!(rig.listed(), ["e", "d"]);
    assert_eq!(make(), 409);
    for end in ["PEXPIRE", "FLUSHALL"] {
        rig.end_sessions_of_redis(end);
        rig.wait_until("it has expired", || rig.read("e") == 410);
        assert_eq!(rig.listed(), ["d"]);
        assert_eq!((rig.read("e"), make()), (410, 201));
        assert_eq!((rig.listed(), rig.read("e")), (vec!["e".to_owned(), "d".to_owned()], 200));
    }
    rig.end_sessions_of_redis("FLUSHALL");
    // Its name goes too.
    let (status, forgotten) = rig.ask("DELETE", "/memory", &Value::Null);
    assert_eq!((status, &forgotten["sessions"]), (200, &json!(2)), "{forgotten}");
    assert_eq!([rig.read("e"), rig.read("d")], [404; 2]);
    assert_eq!(make(), 201);
}

#[test]
fn a_listing_goes_on_while_redis_is_stopped() {
    let rig = Rig::start(Settings::new().durable());
    rig.say("d", 1);
    assert_eq!(
        rig.ask("POST", "/memory/sessions", &json!({"id": "e", "memory": "ephemeral"})).0,
        201
    );
    rig.redis.stop();
    for _ in 0..3 {
        assert_eq!(
            rig.listed(),
            ["d"],
            "the other can neither be read nor told from an expired one"
        );
        assert_eq!(rig.read("e"), 503);
    }
    rig.redis.restart();
    rig.wait_until("it is listed again", || rig.listed() == ["e", "d"]);
    assert_eq!(rig.read("e"), 200);
}
