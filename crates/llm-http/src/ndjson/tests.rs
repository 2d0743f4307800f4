//! What the decoder makes of every line ending, cut and oddity.

use proptest::prelude::*;

use super::NdjsonDecoder;
use crate::{
    FrameTooLarge,
    frame::tests::{cut, cuts, halves},
};

type Seen = (Vec<String>, Option<FrameTooLarge>);

/// Decodes `chunks` with a limit of 64 bytes, finishing at the end.
fn decode<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Seen {
    let mut decoder = NdjsonDecoder::with_limit(64);
    let mut lines = Vec::new();
    let mut note = |line: &str| lines.push(line.to_owned());
    for chunk in chunks {
        if let Err(error) = decoder.push(chunk, &mut note) {
            return (lines, Some(error));
        }
    }
    let error = decoder.finish(&mut note).err();
    (lines, error)
}

fn check(input: &[u8], expected: &[&str]) {
    let whole = decode([input]);
    let expected = expected.iter().map(|it| (*it).to_owned()).collect();
    assert_eq!(whole, (expected, None), "{:?}", String::from_utf8_lossy(input));
    for halves in halves(input) {
        assert_eq!(decode(halves), whole, "{halves:?}");
    }
    assert_eq!(decode(input.chunks(1)), whole, "byte by byte");
}

#[test]
fn lines_end_in_lf_or_crlf_and_blank_ones_are_skipped() {
    check(b"{\"a\":1}\n{}\n", &["{\"a\":1}", "{}"]);
    check(b"{\"a\":1}\r\n{}\r\n", &["{\"a\":1}", "{}"]);
    check(b"\n\r\n \t\n{}\n\n", &["{}"]);
    check(b"{\"a\":\r1}\n", &["{\"a\":\r1}"]);
    check(b"", &[]);
}

#[test]
fn a_byte_order_mark_is_skipped_at_the_beginning_only() {
    check(b"\xEF\xBB\xBF{}\n\xEF\xBB\xBF{}\n", &["{}", "\u{FEFF}{}"]);
    check(b"\xEF\xBB\xBF\n{}\n", &["{}"]);
}

#[test]
fn text_survives_cuts_and_broken_utf8_is_replaced() {
    check("{\"a\":\"žluť 🦊\"}\n".as_bytes(), &["{\"a\":\"žluť 🦊\"}"]);
    check(b"a\xFFb\n", &["a\u{FFFD}b"]);
}

#[test]
fn a_last_line_without_its_end_counts() {
    check(b"{}\n{\"done\":true}", &["{}", "{\"done\":true}"]);
    check(b"{}\r", &["{}"]);
}

#[test]
fn a_line_over_the_limit_is_an_error_and_the_ones_before_it_arrive() {
    let fits = "x".repeat(64);
    check(format!("{fits}\n{fits}").as_bytes(), &[&fits, &fits]);
    let error = Some(FrameTooLarge { limit: 64 });
    let input = format!("{{}}\n{fits}x\n{{}}\n");
    let seen = (vec!["{}".to_owned()], error);
    for halves in halves(input.as_bytes()) {
        assert_eq!(decode(halves), seen);
    }
    assert_eq!(decode(input.as_bytes().chunks(1)), seen);
}

#[test]
fn a_line_over_the_limit_costs_no_memory() {
    let limit = crate::MAX_FRAME_BYTES;
    let mut decoder = NdjsonDecoder::default();
    let half = vec![b'x'; limit / 2];
    decoder.push(&half, |_| {}).unwrap();
    decoder.push(&half, |_| {}).unwrap();
    let grown = allocation_counter::measure(|| {
        assert_eq!(decoder.push(&half, |_| {}), Err(FrameTooLarge { limit }));
    });
    assert_eq!(grown.bytes_total, 0);
}

/// Bytes in which everything that matters to the decoder is frequent.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(&b"{\"a\":1}"[..]),
        Just(&b"\n"[..]),
        Just(&b"\r\n"[..]),
        Just(&b"\r"[..]),
        Just("ž🦊".as_bytes()),
        Just(&b"\xEF\xBB\xBF"[..]),
        Just(&b"\xFF"[..]),
        Just(&b" "[..]),
        Just(&[b'x'; 60][..]),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn cutting_the_bytes_anywhere_changes_nothing(bytes in stream(), places in cuts()) {
        prop_assert_eq!(decode(cut(&bytes, &places)), decode([&bytes[..]]));
    }

    #[test]
    fn cutting_the_bytes_at_every_offset_changes_nothing(bytes in stream()) {
        let whole = decode([&bytes[..]]);
        for halves in halves(&bytes) {
            prop_assert_eq!(decode(halves), whole.clone());
        }
    }
}
