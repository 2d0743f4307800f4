//! What decoding costs beside merely reading, and that a steady stream allocates nothing: one
//! answer of 64 chunks, in pieces of one event, one packet, everything at once, and the worst case.
#![expect(clippy::expect_used, reason = "a bench may stop at what cannot happen")]

use divan::{AllocProfiler, Bencher, black_box, counter::ItemsCount};
use llm_http::{NdjsonDecoder, SseDecoder};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

/// Chunks of the answer.
const CHUNKS: usize = 64;

/// Bytes of the pieces that it comes in.
const SIZES: [usize; 4] = [7, 190, 1_460, 65_536];

fn main() {
    divan::main();
}

/// Text chunks as OpenAI sends them, and the end mark.
fn events() -> Vec<u8> {
    let chunk = |number| {
        format!(
            "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,\
             \"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\" word{number}\"}},\
             \"logprobs\":null,\"finish_reason\":null}}]}}\n\n"
        )
    };
    let mut stream: String = (0..CHUNKS).map(chunk).collect();
    stream.push_str("data: [DONE]\n\n");
    stream.into_bytes()
}

/// Text chunks as Ollama sends them.
fn lines() -> Vec<u8> {
    let chunk = |number| {
        format!(
            "{{\"model\":\"m\",\"created_at\":\"2026-11-22T06:00:00.000000000Z\",\"message\":\
             {{\"role\":\"assistant\",\"content\":\" word{number}\"}},\"done\":false}}\n"
        )
    };
    (0..CHUNKS).map(chunk).collect::<String>().into_bytes()
}

/// Only takes the bytes: what every reader of a body does.
#[divan::bench(args = SIZES)]
fn read(bencher: Bencher<'_, '_>, size: usize) {
    let bytes = events();
    bencher.counter(ItemsCount::new(CHUNKS)).bench_local(|| {
        let mut taken = Vec::with_capacity(bytes.len());
        for chunk in bytes.chunks(size) {
            taken.extend_from_slice(black_box(chunk));
        }
        taken.len()
    });
}

#[divan::bench(args = SIZES)]
fn sse(bencher: Bencher<'_, '_>, size: usize) {
    let bytes = events();
    bencher.counter(ItemsCount::new(CHUNKS)).bench_local(|| {
        let mut decoder = SseDecoder::default();
        let mut total = 0;
        for chunk in bytes.chunks(size) {
            decoder.push(chunk, |event| total += event.data.len()).expect("no event is too large");
        }
        total
    });
}

#[divan::bench(args = SIZES)]
fn ndjson(bencher: Bencher<'_, '_>, size: usize) {
    let bytes = lines();
    bencher.counter(ItemsCount::new(CHUNKS)).bench_local(|| {
        let mut decoder = NdjsonDecoder::default();
        let mut total = 0;
        for chunk in bytes.chunks(size) {
            decoder.push(chunk, |line| total += line.len()).expect("no line is too large");
        }
        total
    });
}
