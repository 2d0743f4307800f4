//! A daemon with a real Redis behind a proxy, and clients that talk to it meanwhile.

use std::{
    collections::HashMap,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use brain_testkit::redis::{Proxy, Reply, Server, Settings};
use serde_json::{Value, json};
use ureq::{Agent, http::Request};

use crate::daemon::{Daemon, Home};

/// What a chat may take at most, whatever Redis does.
pub(super) const SHORT: Duration = Duration::from_secs(3);
/// Messages of a session under load.
const MESSAGES: usize = 40;
/// How long something may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// All that a test of tiers needs.
pub(super) struct Rig {
    pub(super) redis: Server,
    pub(super) proxy: Proxy,
    home: Home,
    daemon: Daemon,
    /// How many messages each session has.
    said: Mutex<HashMap<String, usize>>,
}

impl Rig {
    pub(super) fn start(settings: Settings) -> Self {
        let redis = settings.start();
        let proxy = Proxy::before(&redis);
        let home = Home::new();
        let daemon = Daemon::start(serve(&home, proxy.url()));
        Self { redis, proxy, home, daemon, said: Mutex::default() }
    }

    /// Says so many messages in a session; each is answered, and the model has seen all before it.
    pub(super) fn say(&self, session: &str, count: usize) {
        for _ in 0..count {
            let mut said = self.said.lock().unwrap();
            let number = said.entry(session.to_owned()).or_default();
            let took = chat(&self.daemon.url, session, *number);
            assert!(took < SHORT, "a chat took {took:?}");
            *number += 1;
        }
        self.check(session, self.said.lock().unwrap()[session]);
    }

    /// Checks that a session has so many messages, all answered, and that the model saw them.
    fn check(&self, session: &str, count: usize) {
        let expected: Vec<(String, String, String)> = history(session, count)
            .into_iter()
            .map(|(role, text)| (role, "complete".to_owned(), text))
            .collect();
        assert_eq!(messages(&self.daemon, session), expected);
        for number in 0..count {
            let shown = self.home.model.messages_before(&text(session, number));
            assert_eq!(shown, history(session, number), "an old history was shown in {session}");
        }
    }

    /// Talks in sessions of its own until it is ended; each gets so many messages that the model
    /// is shown all of them.
    pub(super) fn load(&self) -> Load<'_> {
        let is_over = Arc::new(AtomicBool::new(false));
        let count = Arc::new(AtomicUsize::new(0));
        let writers = (0..3).map(|writer| {
            let (url, is_over, count) = (self.daemon.url.clone(), is_over.clone(), count.clone());
            thread::spawn(move || talk(&url, writer, &is_over, &count))
        });
        Load { writers: writers.collect(), rig: self, is_over, count }
    }

    pub(super) fn status(&self) -> String {
        self.ready()["status"].as_str().unwrap().to_owned()
    }

    fn ready(&self) -> Value {
        self.daemon.get("/health/ready")
    }

    /// The tiers by name, with their states.
    pub(super) fn tiers(&self) -> Vec<(String, String)> {
        let ready = self.ready();
        let text = |it: &Value| it.as_str().unwrap().to_owned();
        let all = ready["checks"].as_array().unwrap().iter();
        let all = all.map(|it| (text(&it["name"]), text(&it["status"])));
        all.filter(|(name, _)| name.starts_with("memory:")).collect()
    }

    /// Waits for a status, asking nothing but that; returns how long it took.
    #[track_caller]
    pub(super) fn wait_for_status(&self, status: &str, limit: Duration) -> Duration {
        let begin = Instant::now();
        loop {
            let ready = self.ready();
            if ready["status"] == status {
                return begin.elapsed();
            }
            assert!(begin.elapsed() < limit, "not {status} within {limit:?}: {ready}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until an empty Redis holds something again, asking the daemon nothing; returns how long
    /// that took.
    #[track_caller]
    pub(super) fn wait_for_use(&self, limit: Duration) -> Duration {
        let begin = Instant::now();
        while self.redis.ask(&["DBSIZE"]).integer() == 0 {
            assert!(begin.elapsed() < limit, "not used again within {limit:?}");
            thread::sleep(Duration::from_millis(5));
        }
        begin.elapsed()
    }

    #[track_caller]
    pub(super) fn wait_until(&self, what: &str, done: impl Fn() -> bool) {
        let begin = Instant::now();
        while !done() {
            assert!(begin.elapsed() < PATIENCE, "not true in time: {what}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Talks in a session until Redis holds something; returns how many entries that made. A slow
    /// moment may cost a copy, and the next chat brings it.
    pub(super) fn say_until_kept(&self, session: &str) -> u64 {
        let said = AtomicUsize::new(0);
        self.wait_until("Redis has keys", || {
            self.say(session, 1);
            said.fetch_add(1, Ordering::SeqCst);
            self.redis.ask(&["DBSIZE"]).integer() != 0
        });
        2 * said.into_inner() as u64
    }

    /// Forgets a session; returns how many entries were erased and how many copies are pending.
    pub(super) fn forget(&self, session: &str) -> (u64, u64) {
        let url = format!("{}/memory/sessions?id={session}", self.daemon.url);
        let mut response = ureq::delete(url).call().unwrap();
        let forgotten: Value = response.body_mut().read_json().unwrap();
        let number = |name: &str| forgotten[name].as_u64().unwrap();
        (number("erased"), number("pending"))
    }

    /// Asks the daemon for something; returns the status and the body of the answer.
    pub(super) fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.daemon.url));
        let agent = Agent::config_builder().http_status_as_error(false).build().new_agent();
        let mut response = match body {
            Value::Null => agent.run(request.body(()).unwrap()),
            body => {
                let request = request.header("content-type", "application/json");
                agent.run(request.body(body.to_string()).unwrap())
            }
        }
        .unwrap();
        (response.status().as_u16(), response.body_mut().read_json().unwrap())
    }

    /// The status of a reading of a session.
    pub(super) fn read(&self, session: &str) -> u16 {
        self.ask("GET", &format!("/memory/sessions?id={session}"), &Value::Null).0
    }

    /// Ends all that Redis holds as a store: by `FLUSHALL`, or as a TTL does.
    pub(super) fn end_sessions_of_redis(&self, end: &str) {
        if end == "FLUSHALL" {
            self.redis.ask(&["FLUSHALL"]);
            return;
        }
        for key in self.redis.ask(&["KEYS", "codexd:*:s:*"]).array() {
            self.redis.ask(&[end, &key.text(), "1"]);
        }
    }

    /// The ids of the sessions that are listed, newest first.
    pub(super) fn listed(&self) -> Vec<String> {
        let (status, page) = self.ask("GET", "/memory/sessions", &Value::Null);
        assert_eq!(status, 200, "{page}");
        let sessions = page["sessions"].as_array().unwrap().iter();
        sessions.map(|it| it["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Whether a text is anywhere in Redis.
    pub(super) fn redis_holds(&self, text: &str) -> bool {
        let mut client = self.redis.client();
        let keys = client.ask(&["KEYS", "*"]).array();
        keys.iter().any(|key| {
            let key = key.text();
            let kind = client.ask(&["TYPE", &key]).text();
            let read: &[&str] = match kind.as_str() {
                "hash" => &["HGETALL", &key],
                "string" => &["GET", &key],
                "set" => &["SMEMBERS", &key],
                "zset" => &["ZRANGE", &key, "0", "-1"],
                _ => return false,
            };
            holds(&client.ask(read), text) || key.contains(text)
        })
    }
}

fn holds(reply: &Reply, text: &str) -> bool {
    format!("{reply:?}").contains(text) || reply_bytes(reply).contains(text)
}

fn reply_bytes(reply: &Reply) -> String {
    match reply {
        Reply::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Reply::Array(all) => all.iter().map(reply_bytes).collect(),
        other => format!("{other:?}"),
    }
}

/// What one client has said: how many messages in each session.
#[derive(Default)]
struct Talk {
    sessions: Vec<(String, usize)>,
    slowest: Duration,
}

/// Talks until it is over.
fn talk(url: &str, writer: usize, is_over: &AtomicBool, count: &AtomicUsize) -> Talk {
    let mut talk = Talk::default();
    while !is_over.load(Ordering::SeqCst) {
        let number = talk.sessions.len();
        if talk.sessions.last().is_none_or(|it| it.1 == MESSAGES) {
            talk.sessions.push((format!("load-{writer}-{number}"), 0));
        }
        let (session, said) = talk.sessions.last_mut().unwrap();
        talk.slowest = talk.slowest.max(chat(url, session, *said));
        *said += 1;
        count.fetch_add(1, Ordering::SeqCst);
    }
    talk
}

/// Clients that talk.
pub(super) struct Load<'a> {
    rig: &'a Rig,
    writers: Vec<JoinHandle<Talk>>,
    is_over: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
}

/// What they said.
pub(super) struct Said<'a> {
    rig: &'a Rig,
    sessions: Vec<(String, usize)>,
    pub(super) slowest: Duration,
}

impl<'a> Load<'a> {
    /// Returns once so many more chats are over.
    pub(super) fn go_on(&self, count: usize) {
        let goal = self.count.load(Ordering::SeqCst) + count;
        self.rig.wait_until("chats go on", || goal <= self.count.load(Ordering::SeqCst));
    }

    /// Ends the talk.
    pub(super) fn end(self) -> Said<'a> {
        self.is_over.store(true, Ordering::SeqCst);
        let (mut sessions, mut slowest) = (Vec::new(), Duration::ZERO);
        for writer in self.writers {
            let talk = writer.join().unwrap();
            sessions.extend(talk.sessions);
            slowest = slowest.max(talk.slowest);
        }
        Said { rig: self.rig, sessions, slowest }
    }
}

impl Said<'_> {
    /// Checks that all of it is there, and that the model was never shown less.
    pub(super) fn check(self) -> Self {
        for (session, count) in &self.sessions {
            self.rig.check(session, *count);
        }
        self
    }
}

/// How a daemon is begun here, with a Redis.
pub(super) fn serve(home: &Home, redis: &str) -> Command {
    let mut command = home.codexd(&["serve", "--port", "0"]);
    // Nobody reads its log: it would fill the pipe, and then wait.
    command.env("REDIS_URL", redis).env("EMBEDDING_MODEL", "off").env("LOG", "error");
    command
}

/// The messages of a session as (role, status, text), however many there are.
pub(super) fn messages(daemon: &Daemon, session: &str) -> Vec<(String, String, String)> {
    let session = daemon.get(&format!("/memory/sessions?limit=1000&id={session}"));
    let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
    let entries = session["entries"].as_array().unwrap().iter();
    let all = entries.map(|it| [&it["role"], &it["status"], &it["content"][0]["text"]]);
    all.map(|it| it.map(text).into()).collect()
}

fn text(session: &str, number: usize) -> String {
    format!("{session} {number}")
}

/// The messages of a session so far, as (role, text).
fn history(session: &str, count: usize) -> Vec<(String, String)> {
    let round = |number| {
        let said = text(session, number);
        let answer = format!("So you say: {said}");
        [("user".to_owned(), said), ("assistant".to_owned(), answer)]
    };
    (0..count).flat_map(round).collect()
}

/// Says the message of this number, which must be answered; returns how long that took.
fn chat(url: &str, session: &str, number: usize) -> Duration {
    let begin = Instant::now();
    say(url, session, &text(session, number));
    begin.elapsed()
}

/// Says something, which must be answered.
pub(super) fn say(url: &str, session: &str, text: &str) {
    let body = json!({"session_id": session, "message": text});
    let request = ureq::post(format!("{url}/chat")).config().timeout_global(Some(PATIENCE)).build();
    let mut response = request.send_json(body).unwrap();
    let answer: Value = response.body_mut().read_json().unwrap();
    assert_eq!(answer["status"], "completed", "{answer}");
}
