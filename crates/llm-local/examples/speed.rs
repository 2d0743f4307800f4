//! How fast the local model is on this machine: `cargo run --release -p llm-local --example speed`.
#![expect(clippy::print_stdout, reason = "the figures are what this program is for")]

use std::{error::Error, fs, path::Path, sync::Arc, time::Instant};

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
    println!("{threads} thread(s)");
    tokio::runtime::Builder::new_current_thread().build()?.block_on(measure())
}

async fn measure() -> Outcome<()> {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/models");
    let gateway = LocalGateway::new(LocalConfig {
        chat_model: Some(models.join("SmolLM2-135M-Instruct.Q4_1.gguf")),
        embedding_model: Some(models.join("all-MiniLM-L6-v2")),
        ..LocalConfig::new(models.join("../cache"))
    });
    println!("resident before loading: {}", resident()?);
    let begun = Instant::now();
    answer(&gateway, "Hello", 1).await?;
    println!("load and first answer: {} ms; resident {}", begun.elapsed().as_millis(), resident()?);

    let short =
        answer(&gateway, "Explain in a few sentences why the sky is blue and the sunset red.", 128)
            .await?;
    println!("{}-token prompt: first token after {} ms", short.usage.input_tokens, short.first_ms);
    println!("decode: {:.1} tokens/s", short.decode_rate());
    for words in [30, 100, 300] {
        let text: String = (0..words).map(|it| format!("{} item {it}, ", words + it)).collect();
        let long = answer(&gateway, &text, 32).await?;
        let fresh = long.usage.input_tokens - long.usage.cached_tokens;
        let rate = fresh as f64 * 1000. / long.first_ms as f64;
        println!(
            "prompt of {fresh}: {rate:.0} tokens/s; decode behind it {:.1} tokens/s",
            long.decode_rate()
        );
    }
    println!("cancel while writing: {} ms", cancel(&gateway, "Write a long story.", 10).await?);
    println!(
        "cancel while reading: {} ms",
        cancel(&gateway, &"many words to read ".repeat(1000), 0).await?
    );
    println!("resident: {}", resident()?);
    embeddings(&gateway).await
}

struct Answer {
    first_ms: u128,
    decode_ms: u128,
    usage: Usage,
}

impl Answer {
    fn decode_rate(&self) -> f64 {
        (self.usage.output_tokens.saturating_sub(1)) as f64 * 1000. / self.decode_ms as f64
    }
}

fn request(text: &str, max_tokens: u32) -> ChatRequest {
    let options = GenerationOptions {
        max_tokens: Some(max_tokens),
        seed: Some(1),
        ..GenerationOptions::default()
    };
    ChatRequest { messages: vec![Arc::new(Message::user(text))], options, ..ChatRequest::default() }
}

async fn answer(gateway: &LocalGateway, text: &str, max_tokens: u32) -> Outcome<Answer> {
    let begun = Instant::now();
    let mut stream = gateway.stream(request(text, max_tokens)).await?;
    let mut first = None;
    let mut usage = Usage::default();
    while let Some(event) = stream.next().await {
        match event? {
            ChatEvent::Text(_) => first = first.or(Some(begun.elapsed())),
            ChatEvent::Usage(it) => usage = it,
            ChatEvent::Progress(_)
            | ChatEvent::Reasoning(_)
            | ChatEvent::ToolCallDelta(_)
            | ChatEvent::ToolCall(_)
            | ChatEvent::Finished(_) => {}
        }
    }
    let whole = begun.elapsed();
    let first = first.unwrap_or(whole);
    Ok(Answer { first_ms: first.as_millis(), decode_ms: (whole - first).as_millis(), usage })
}

/// Milliseconds from dropping a stream after `pieces` of text until the model is free again,
/// less what the next answer itself takes.
async fn cancel(gateway: &LocalGateway, text: &str, pieces: usize) -> Outcome<i128> {
    let probe = "Hi";
    answer(gateway, probe, 1).await?;
    let alone = answer(gateway, probe, 1).await?;
    let mut stream = gateway.stream(request(text, 4000)).await?;
    for _ in 0..pieces {
        stream.next().await;
    }
    tokio::task::yield_now().await;
    std::thread::sleep(std::time::Duration::from_millis(300));
    drop(stream);
    let after = answer(gateway, probe, 1).await?;
    Ok(i128::try_from(after.first_ms)? - i128::try_from(alone.first_ms)?)
}

async fn embeddings(gateway: &LocalGateway) -> Outcome<()> {
    let text = "A sentence of about one hundred and twenty-eight characters, which is what a line of a note or a short message often has in it.";
    let embed = |count| EmbedRequest { model: String::new(), inputs: vec![text.to_owned(); count] };
    let begun = Instant::now();
    gateway.embed(embed(1)).await?;
    println!("embeddings: load and first {} ms", begun.elapsed().as_millis());
    let begun = Instant::now();
    gateway.embed(embed(128)).await?;
    println!(
        "embeddings: {:.0} sentences/s; resident {}",
        128. / begun.elapsed().as_secs_f64(),
        resident()?
    );
    Ok(())
}

fn resident() -> Outcome<String> {
    let status = fs::read_to_string("/proc/self/status")?;
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|it| it.parse::<u64>().ok()).unwrap_or(0) / 1024
    };
    Ok(format!("{} MiB (peak {} MiB)", field("VmRSS:"), field("VmHWM:")))
}
