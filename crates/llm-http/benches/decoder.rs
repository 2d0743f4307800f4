//! Throughput and allocations of the SSE decoder on a stream of 64 chunks.
#![expect(clippy::expect_used, reason = "a bench may stop at what cannot happen")]

use divan::{AllocProfiler, Bencher, counter::BytesCount};
use llm_http::SseDecoder;

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// 64 text chunks as OpenAI sends them, and the end mark.
fn stream() -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 0..64 {
        let chunk = format!(
            "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,\
             \"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\" word{number}\"}},\
             \"logprobs\":null,\"finish_reason\":null}}]}}\n\n"
        );
        bytes.extend_from_slice(chunk.as_bytes());
    }
    bytes.extend_from_slice(b"data: [DONE]\n\n");
    bytes
}

/// Decodes the stream in pieces of `size` bytes: one event, one packet, everything at once, and
/// the worst case.
#[divan::bench(args = [7, 190, 1_460, 65_536])]
fn decode(bencher: Bencher<'_, '_>, size: usize) {
    let bytes = stream();
    bencher.counter(BytesCount::of_slice(&bytes)).bench_local(|| {
        let mut decoder = SseDecoder::default();
        let mut total = 0;
        for chunk in bytes.chunks(size) {
            decoder.push(chunk, |event| total += event.data.len()).expect("no event is too large");
        }
        total
    });
}
