//! What an answer costs on its way through the gateway and all wrappers, beside a bare HTTP client
//! that only reads its bytes.
//!
//! Both ask the same server, in turns, in one run. The server paces its answers as a model does, so
//! that the pieces come one by one; it runs in a thread of its own, and only the clients' thread is
//! measured. A ratio that is too large fails, and so does an event that is missing or merged.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark that prints its figures"
)]

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use brain_core::{
    chat::Message,
    llm::{ChatEvent, ChatRequest, ChatStream, LlmGateway},
};
use brain_testkit::{
    Answer,
    model_server::{ModelServer, ServerConfig, Wire},
};
use brain_tokio::llm::{Counters, StackSettings, stack};
use bytes::Bytes;
use futures_util::{StreamExt, future::join_all};
use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Incoming, header::CONTENT_TYPE};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use llm_openai::{OpenAiConfig, OpenAiGateway};
use nix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Runtime};

/// Answers at once.
const STREAMS: usize = 500;
/// Pieces of each answer.
const PIECES: usize = 40;
/// Pieces of each answer in a second.
const PACE: u32 = 20;
/// Rounds of many answers; the cheapest of each side counts, since others use the machine too.
const ROUNDS: usize = 5;
/// Answers one after the other, for the time to the first event.
const ALONE: usize = 1_000;
/// Pieces of each of those: more would only measure who gets the processor while they come.
const ALONE_PIECES: usize = 1;

const LONGEST_FIRST_EVENT: f64 = 1.3;
const DEAREST_PIECE: f64 = 2.0;

fn main() {
    // `cargo test --benches` asks for nothing to be measured.
    if !std::env::args().any(|it| it == "--bench") {
        return;
    }
    let first = first_event();
    let piece = cost_of_a_piece();
    assert!(first <= LONGEST_FIRST_EVENT, "the first event takes {first:.2} times as long");
    assert!(piece <= DEAREST_PIECE, "a piece costs {piece:.2} times as much");
    println!("pass");
}

/// Prints how long the first piece takes with one client; returns how many times as long it takes
/// through the gateway, at the median.
fn first_event() -> f64 {
    // No pace: the server's own pauses would hide what is measured.
    let bench = Bench::new(ALONE_PIECES, 0);
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    bench.runtime.block_on(async {
        for round in 0..ALONE + 100 {
            // Who comes second meets a server that has just been busy: each does every other time.
            let times = if round % 2 == 0 {
                (bench.bare_first().await, bench.our_first().await)
            } else {
                let ours = bench.our_first().await;
                (bench.bare_first().await, ours)
            };
            // The first ones open connections and warm caches.
            if 100 <= round {
                bare.push(times.0);
                ours.push(times.1);
            }
        }
    });
    let (bare, ours) = (Quantiles::of(bare), Quantiles::of(ours));
    let ratio = ours.median.as_secs_f64() / bare.median.as_secs_f64();
    println!("first event, one client, {ALONE} answers:");
    println!("  bare client   {bare}");
    println!("  through all   {ours}   {ratio:.2}x (at most {LONGEST_FIRST_EVENT}x)");
    ratio
}

/// Prints what a piece costs of the processor at many streams; returns how many times as much it
/// costs through the gateway. Asserts that as many pieces come out as go in.
fn cost_of_a_piece() -> f64 {
    let bench = Bench::new(PIECES, PACE);
    let all = u32::try_from(STREAMS * PIECES).unwrap_or(u32::MAX);
    let (mut bare, mut ours) = (Duration::MAX, Duration::MAX);
    let mut reads = 0.0;
    for _ in 0..ROUNDS {
        let begun = thread_time();
        reads = bench.runtime.block_on(bench.bare_reads());
        bare = bare.min((thread_time() - begun) / all);
        let begun = thread_time();
        let events = bench.runtime.block_on(bench.our_events());
        ours = ours.min((thread_time() - begun) / all);
        assert_eq!(events, [PIECES; STREAMS], "every piece is an event of its own");
    }
    let ratio = ours.as_secs_f64() / bare.as_secs_f64();
    println!("processor time of a piece, {STREAMS} streams of {PIECES} pieces, {PACE} a second:");
    println!("  bare client   {bare:>9.2?}   {:.2} pieces a read", f64::from(all) / reads);
    println!("  through all   {ours:>9.2?}   {ratio:.2}x (at most {DEAREST_PIECE}x)");
    println!("  pieces in {all}, events out {all}");
    ratio
}

/// A server, and both ways to ask it.
struct Bench {
    runtime: Runtime,
    server: ModelServer,
    /// Pieces of each answer.
    pieces: usize,
    bare: Client<HttpConnector, Full<Bytes>>,
    ours: Arc<dyn LlmGateway>,
}

impl Bench {
    fn new(pieces: usize, words_a_second: u32) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let server =
            ModelServer::with(ServerConfig { words_a_second, ..ServerConfig::default() }).unwrap();
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let bare = Client::builder(TokioExecutor::new()).build(connector);
        let config = OpenAiConfig::new(server.base_url(Wire::OpenAi), "mock");
        let gateway = Arc::new(OpenAiGateway::new(config).unwrap());
        let settings = StackSettings::remote("mock").observed_by(Arc::new(Counters::default()));
        Self { runtime, server, pieces, bare, ours: stack(gateway, &settings) }
    }

    /// What the server answers next.
    fn script(&self) {
        let words = (0..self.pieces).fold(Answer::new(), |answer, _| answer.say("word "));
        self.server.push(words.usage(5, 40).finish());
    }

    async fn ask_bare(&self) -> Incoming {
        self.script();
        let body = r#"{"model":"mock","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Hi"}]}"#;
        let request = Request::post(format!("{}/chat/completions", self.base_url()))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body))
            .unwrap();
        self.bare.request(request).await.unwrap().into_body()
    }

    async fn ask_ours(&self) -> ChatStream {
        self.script();
        let messages = vec![Message::user("Hi").into()];
        self.ours.stream(ChatRequest { messages, ..ChatRequest::default() }).await.unwrap()
    }

    fn base_url(&self) -> String {
        self.server.base_url(Wire::OpenAi)
    }

    /// Until the bytes of the first word are there.
    async fn bare_first(&self) -> Duration {
        let begun = Instant::now();
        let mut body = self.ask_bare().await;
        let (mut took, mut read) = (None, Vec::new());
        while let Some(frame) = body.frame().await {
            read.extend_from_slice(&frame.unwrap().into_data().unwrap_or_default());
            if took.is_none() && read.windows(5).any(|it| it == b"word ") {
                took = Some(begun.elapsed());
            }
        }
        took.unwrap()
    }

    /// Until the first event is there.
    async fn our_first(&self) -> Duration {
        let begun = Instant::now();
        let mut stream = self.ask_ours().await;
        let mut took = None;
        while let Some(event) = stream.next().await {
            if took.is_none() && matches!(event.unwrap(), ChatEvent::Text(_)) {
                took = Some(begun.elapsed());
            }
        }
        took.unwrap()
    }

    /// How many reads the bodies of all streams took.
    async fn bare_reads(&self) -> f64 {
        let reads = join_all((0..STREAMS).map(async |_| {
            let (mut body, mut reads) = (self.ask_bare().await, 0_u32);
            while let Some(frame) = body.frame().await {
                frame.unwrap();
                reads += 1;
            }
            reads
        }));
        reads.await.into_iter().map(f64::from).sum()
    }

    /// How many texts came of each stream.
    async fn our_events(&self) -> Vec<usize> {
        join_all((0..STREAMS).map(async |_| {
            let texts = self.ask_ours().await.filter(|event| {
                let is_text = matches!(event.as_ref().unwrap(), ChatEvent::Text(_));
                std::future::ready(is_text)
            });
            texts.count().await
        }))
        .await
    }
}

/// The time that this thread has computed.
fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

struct Quantiles {
    median: Duration,
    ninety: Duration,
}

impl Quantiles {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap();
        Self { median: at(50), ninety: at(90) }
    }
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:>9.2?}, p90 {:>9.2?}", self.median, self.ninety)
    }
}
