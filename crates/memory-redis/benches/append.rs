//! What an append costs: the 99th percentile of 500-byte messages to a session of 5,000, against a bare `EVALSHA` that
//! carries as many bytes and does nothing; and the same at 50 entries.
//!
//! The calls take turns on one server, on loopback, by one caller, so that both sides meet the same weather. The ratios
//! are printed, and one that is too large fails. Throughput is the business of no bench here: Redis has one thread.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark that prints its figures"
)]

use std::time::{Duration, Instant};

use brain_core::{
    chat::Message,
    ids::{AppendId, Owner, SessionId, SessionKey},
    memory::{Append, Appended, Catalog, Draft, EntryBody, Expect, SessionLog},
    time::Timestamp,
};
use brain_testkit::redis::Server;
use memory_redis::{RedisClock, RedisConfig, RedisStore};
use redis::{Script, aio::MultiplexedConnection};
use tokio::runtime::Builder;

/// Calls of each kind in a round.
const CALLS: usize = 2_000;
/// Entries of a short session; it gets as many more, then comes another.
const SHORT: usize = 50;
/// Rounds; the best of each side counts, since others use the machine too.
const ROUNDS: usize = 5;
/// What is not to be exceeded: an append against a bare round trip, and a long session against a short one.
const LIMITS: (f64, f64) = (2.0, 1.2);

fn main() {
    // `cargo test --benches` asks for nothing to be measured.
    if !std::env::args().any(|it| it == "--bench") {
        return;
    }
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let server = Server::start();
        let mut bench = Bench::new(&server).await;
        bench.fill("long", 5_000).await;
        bench.compare().await;
    });
}

struct Bench {
    store: RedisStore,
    bare: MultiplexedConnection,
    script: Script,
    draft: Draft,
    calls: usize,
}

impl Bench {
    async fn new(server: &Server) -> Self {
        let mut config = RedisConfig::parse(&server.url()).unwrap();
        config.ttl = Some(Duration::from_secs(3_600));
        let client = redis::Client::open(server.url()).unwrap();
        let message = Message::user("five hundred bytes of text ".repeat(18));
        Self {
            store: RedisStore::new(&config, RedisClock::Server).unwrap(),
            bare: client.get_multiplexed_async_connection().await.unwrap(),
            script: Script::new("return 1"),
            draft: Draft::new(EntryBody::complete(message, Timestamp::from_millis(0))).unwrap(),
            calls: 0,
        }
    }

    async fn fill(&self, session: &str, entries: usize) {
        let drafts = vec![self.draft.clone(); entries];
        let append_id = AppendId::new("fill").unwrap();
        let expect = Expect::Absent;
        let append = Append { parent: None, expect, append_id, fence: None, drafts };
        self.store.append(&key(session), append).await.unwrap();
    }

    /// Appends to a session as it is now, and takes the time of that alone.
    async fn append(&mut self, session: &str, last: Appended) -> (Duration, Appended) {
        self.calls += 1;
        let append = Append {
            parent: last.head,
            expect: Expect::At(last.token),
            append_id: AppendId::new(self.calls.to_string()).unwrap(),
            fence: None,
            drafts: vec![self.draft.clone()],
        };
        let key = key(session);
        let start = Instant::now();
        let done = self.store.append(&key, append).await.unwrap();
        (start.elapsed(), done)
    }

    async fn bare(&mut self) -> Duration {
        let json = self.draft.json().as_bytes();
        let start = Instant::now();
        let mut call = self.script.key("bare");
        let done: i64 = call.arg(json).invoke_async(&mut self.bare).await.unwrap();
        assert_eq!(done, 1);
        start.elapsed()
    }

    async fn state(&self, session: &str) -> Appended {
        let now = self.store.session(&key(session)).await.unwrap().unwrap();
        Appended { last: now.head, head: now.head, token: now.token }
    }

    /// The times of bare calls, of appends to short sessions and of those to the long one.
    async fn round(&mut self) -> [Vec<Duration>; 3] {
        let mut times = [const { Vec::new() }; 3];
        let mut long = self.state("long").await;
        for _ in 0..CALLS / SHORT {
            let name = format!("short {}", self.calls);
            self.fill(&name, SHORT).await;
            let mut short = self.state(&name).await;
            for _ in 0..SHORT {
                let bare = self.bare().await;
                let (at_short, at_long);
                (at_short, short) = self.append(&name, short).await;
                (at_long, long) = self.append("long", long).await;
                times.iter_mut().zip([bare, at_short, at_long]).for_each(|(all, it)| all.push(it));
            }
        }
        times
    }

    async fn compare(&mut self) {
        let mut best = [[Duration::MAX; 2]; 3];
        for _ in 0..ROUNDS {
            for (best, times) in best.iter_mut().zip(self.round().await) {
                let now = percentiles(times);
                *best = [best[0].min(now[0]), best[1].min(now[1])];
            }
        }
        report(best);
    }
}

/// The median and the 99th percentile.
fn percentiles(mut times: Vec<Duration>) -> [Duration; 2] {
    times.sort_unstable();
    [times[times.len() / 2], times[times.len() * 99 / 100]]
}

fn report([bare, short, long]: [[Duration; 2]; 3]) {
    println!("microseconds a call              p50     p99");
    let rows =
        [("a bare EVALSHA", bare), ("append to 50 to 100", short), ("append to 5,000", long)];
    for (name, [median, slow]) in rows {
        println!("{name:<26} {:>9.0} {:>7.0}", micros(median), micros(slow));
    }
    let ratio = |a: [Duration; 2], b: [Duration; 2]| micros(a[1]) / micros(b[1]);
    let (trip, growth) = (ratio(long, bare), ratio(long, short));
    println!("p99 of an append to 5,000 is {trip:.2}x a bare EVALSHA, {growth:.2}x one to 50");
    assert!(trip <= LIMITS.0, "an append takes {trip:.2}x a bare EVALSHA");
    assert!(growth <= LIMITS.1, "an append to a long session takes {growth:.2}x");
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn key(session: &str) -> SessionKey {
    SessionKey::new(Owner::local(), SessionId::new(session).unwrap())
}
