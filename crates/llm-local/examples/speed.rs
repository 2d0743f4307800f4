//! How fast the local model is on this machine: `cargo run --release -p llm-local --example speed`.
//!
//! Figures in tokens a second are followed by the same per second of processor time, which other
//! work on the machine disturbs less.
#![expect(clippy::print_stdout, reason = "the figures are what this program is for")]

use std::{
    error::Error,
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use brain_core::{
    chat::{Message, Usage},
    llm::{ChatEvent, ChatRequest, EmbedRequest, GenerationOptions, LlmGateway},
};
use futures_util::StreamExt;
use llm_local::{LocalConfig, LocalGateway, default_threads, limit_threads};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let threads: usize = match std::env::args().nth(1) {
        Some(threads) => threads.parse()?,
        None => default_threads(),
    };
    limit_threads(threads)?;
    println!("threads: {threads}");
    tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(measure())
}

async fn measure() -> Outcome<()> {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/models");
    let gateway = LocalGateway::new(LocalConfig {
        chat_model: Some(models.join("SmolLM2-135M-Instruct.Q4_1.gguf")),
        embedding_model: Some(models.join("all-MiniLM-L6-v2")),
        ..LocalConfig::new(models.join("../cache"))
    });
    println!("resident before loading: {}", resident()?);
    let load = answer(&gateway, conversation("Warm up.", "Hello"), 1).await?;
    println!("load and first answer: {} ms; resident {}", load.first.wall.as_millis(), resident()?);

    let question = "Explain in a few sentences why the sky is blue at noon and red in the evening, and whether the same would be true on the Moon.";
    let short =
        answer(&gateway, conversation("You are a patient teacher of physics.", question), 128)
            .await?;
    println!(
        "first token: {} ms, of a prompt of {}",
        short.first.wall.as_millis(),
        short.evaluated()
    );
    println!("decode: {}", short.rest.rate(short.usage.output_tokens - 1));
    for items in [30, 100, 300] {
        let text: String = (0..items).map(|it| format!("{} item {it}, ", items + it)).collect();
        let long = answer(&gateway, conversation("List.", &text), 32).await?;
        let tokens = long.evaluated();
        println!(
            "prompt of {tokens}: {}; decode behind it: {}",
            long.first.rate(tokens),
            long.rest.rate(31)
        );
    }
    println!("cancel while writing: {} ms", cancel(&gateway, "Write a long story.").await?);
    println!(
        "cancel while reading: {} ms",
        cancel(&gateway, &"many words to read ".repeat(1000)).await?
    );
    println!("resident: {}", resident()?);
    embeddings(&gateway).await
}

fn conversation(system: &str, user: &str) -> Vec<Arc<Message>> {
    vec![Arc::new(Message::system(system)), Arc::new(Message::user(user))]
}

/// Time on the clock and of the processor.
#[derive(Clone, Copy, Default)]
struct Span {
    wall: Duration,
    processor: Duration,
}

impl Span {
    fn since(begun: Instant, processor: Duration) -> Outcome<Self> {
        Ok(Self { wall: begun.elapsed(), processor: processor_time()?.saturating_sub(processor) })
    }

    fn rate(self, count: u64) -> String {
        let per = |time: Duration| count as f64 / time.as_secs_f64();
        format!("{:.0}/s ({:.0})", per(self.wall), per(self.processor))
    }
}

struct Answer {
    /// Until the first text.
    first: Span,
    /// From there to the end.
    rest: Span,
    usage: Usage,
}

impl Answer {
    fn evaluated(&self) -> u64 {
        self.usage.input_tokens - self.usage.cached_tokens
    }
}

fn request(messages: Vec<Arc<Message>>, max_tokens: u32) -> ChatRequest {
    let options = GenerationOptions {
        max_tokens: Some(max_tokens),
        seed: Some(1),
        ..GenerationOptions::default()
    };
    ChatRequest { messages, options, ..ChatRequest::default() }
}

async fn answer(
    gateway: &LocalGateway,
    messages: Vec<Arc<Message>>,
    max_tokens: u32,
) -> Outcome<Answer> {
    let (begun, processor) = (Instant::now(), processor_time()?);
    let mut stream = gateway.stream(request(messages, max_tokens)).await?;
    let mut first = None;
    let mut usage = Usage::default();
    while let Some(event) = stream.next().await {
        match event? {
            ChatEvent::Text(_) if first.is_none() => first = Some(Span::since(begun, processor)?),
            ChatEvent::Usage(it) => usage = it,
            ChatEvent::Text(_)
            | ChatEvent::Progress(_)
            | ChatEvent::Reasoning(_)
            | ChatEvent::ToolCallDelta(_)
            | ChatEvent::ToolCall(_)
            | ChatEvent::Finished(_) => {}
        }
    }
    let whole = Span::since(begun, processor)?;
    let first = first.unwrap_or(whole);
    let rest = Span { wall: whole.wall - first.wall, processor: whole.processor - first.processor };
    Ok(Answer { first, rest, usage })
}

/// Milliseconds that a request waits for the model after another one is cancelled: what it takes
/// then, less what it takes when nothing was cancelled.
async fn cancel(gateway: &LocalGateway, text: &str) -> Outcome<i128> {
    let probe = || conversation("Be brief.", "Hi");
    answer(gateway, conversation("Other.", "Other."), 1).await?;
    let alone = answer(gateway, probe(), 1).await?;
    let mut stream = gateway.stream(request(conversation("Other.", text), 4000)).await?;
    tokio::select! {
        () = async { while stream.next().await.is_some() {} } => {}
        () = tokio::time::sleep(Duration::from_millis(700)) => {}
    }
    drop(stream);
    let after = answer(gateway, probe(), 1).await?;
    Ok(i128::try_from(after.first.wall.as_millis())?
        - i128::try_from(alone.first.wall.as_millis())?)
}

async fn embeddings(gateway: &LocalGateway) -> Outcome<()> {
    let text = "A sentence of about one hundred and twenty-eight characters, which is what a line of a note or a short message often has in it.";
    let embed = |count| EmbedRequest { model: String::new(), inputs: vec![text.to_owned(); count] };
    let (begun, processor) = (Instant::now(), processor_time()?);
    gateway.embed(embed(1)).await?;
    let load = Span::since(begun, processor)?;
    println!(
        "embeddings: load and first {} ms ({})",
        load.wall.as_millis(),
        load.processor.as_millis()
    );
    let (begun, processor) = (Instant::now(), processor_time()?);
    gateway.embed(embed(128)).await?;
    println!(
        "embeddings: {} sentences; resident {}",
        Span::since(begun, processor)?.rate(128),
        resident()?
    );
    Ok(())
}

/// What the process has computed so far.
fn processor_time() -> Outcome<Duration> {
    let tasks = fs::read_dir("/proc/self/task")?;
    let mut nanoseconds = 0;
    for task in tasks {
        let statistics = fs::read_to_string(task?.path().join("schedstat"))?;
        nanoseconds += statistics.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

fn resident() -> Outcome<String> {
    let status = fs::read_to_string("/proc/self/status")?;
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|it| it.parse::<u64>().ok()).unwrap_or(0) / 1024
    };
    Ok(format!("{} MiB (peak {} MiB)", field("VmRSS:"), field("VmHWM:")))
}
