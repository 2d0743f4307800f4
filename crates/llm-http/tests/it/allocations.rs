//! Decoding allocates buffers, not events: a ceiling that only goes down.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "figures are printed, faults are loud"
)]

use std::fmt::Write as _;

use llm_http::SseDecoder;

/// Most allocations while a stream of any length is decoded in pieces of 190 bytes.
const CEILING: u64 = 4;

/// Allocations while `chunks` text chunks are decoded in pieces of 190 bytes.
fn allocations(chunks: usize) -> u64 {
    let mut stream = String::new();
    for number in 0..chunks {
        write!(
            stream,
            "data: {{\"choices\":[{{\"delta\":{{\"content\":\" word {number}\"}}}}]}}\n\n"
        )
        .unwrap();
    }
    let counted = allocation_counter::measure(|| {
        let mut decoder = SseDecoder::default();
        let mut events = 0;
        for piece in stream.as_bytes().chunks(190) {
            decoder.push(piece, |_| events += 1).unwrap();
        }
        assert_eq!(events, chunks);
    });
    counted.count_total
}

#[test]
fn decoding_allocates_the_same_whatever_the_length() {
    let (short, long) = (allocations(64), allocations(6_400));
    println!("allocations of the decoder: {short} for 64 chunks, {long} for 6,400");
    assert!(long <= CEILING, "{long} allocations; the ceiling is {CEILING}");
}
