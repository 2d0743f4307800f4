//! What the decoder makes of every line ending, cut and oddity.

use proptest::prelude::*;

use super::{SseDecoder, SseEvent};
use crate::{
    FrameTooLarge,
    frame::tests::{cut, cuts, halves},
};

type Seen = (Vec<(String, String)>, Option<FrameTooLarge>);

/// Decodes `chunks` with a limit of 64 bytes, finishing at the end.
fn decode<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Seen {
    let mut decoder = SseDecoder::with_limit(64);
    let mut events = Vec::new();
    let mut note =
        |event: SseEvent<'_>| events.push((event.name.to_owned(), event.data.to_owned()));
    for chunk in chunks {
        if let Err(error) = decoder.push(chunk, &mut note) {
            return (events, Some(error));
        }
    }
    let error = decoder.finish(&mut note).err();
    (events, error)
}

fn check(input: &[u8], expected: &[(&str, &str)]) {
    let expected: Vec<_> =
        expected.iter().map(|(name, data)| ((*name).to_owned(), (*data).to_owned())).collect();
    let whole = decode([input]);
    assert_eq!(whole, (expected, None), "{:?}", String::from_utf8_lossy(input));
    assert_eq!(
        decode(input.chunks(1)),
        whole,
        "byte by byte: {:?}",
        String::from_utf8_lossy(input)
    );
}

#[test]
fn line_ends_may_be_lf_crlf_and_cr() {
    check(b"data: a\n\ndata: b\n\n", &[("", "a"), ("", "b")]);
    check(b"data: a\r\n\r\ndata: b\r\n\r\n", &[("", "a"), ("", "b")]);
    check(b"data: a\r\rdata: b\r\r", &[("", "a"), ("", "b")]);
    check(b"data: a\r\n\ndata: b\n\r\n", &[("", "a"), ("", "b")]);
}

#[test]
fn fields_follow_the_standard() {
    check(b"data:a\n\ndata: b\n\ndata:  c\n\n", &[("", "a"), ("", "b"), ("", " c")]);
    check(b"data: a\ndata:\ndata: b\n\n", &[("", "a\n\nb")]);
    check(b"event: x\ndata: a\n\ndata: b\n\n", &[("x", "a"), ("", "b")]);
    check(b": ping\n\nid: 1\nretry: 5\ndata: a:b\nnonsense\n\n", &[("", "a:b")]);
    check(b"data\n\ndata:\n\nevent: x\n\n", &[]);
    check(b"\xEF\xBB\xBFdata: a\n\n\xEF\xBB\xBFdata: b\n\n", &[("", "a")]);
}

#[test]
fn text_survives_cuts_and_broken_utf8_is_replaced() {
    check("data: žluť 🦊\n\n".as_bytes(), &[("", "žluť 🦊")]);
    check(b"data: a\xFFb\n\n", &[("", "a\u{FFFD}b")]);
}

#[test]
fn a_last_event_without_its_empty_line_counts() {
    check(b"data: a\n", &[("", "a")]);
    check(b"data: a", &[("", "a")]);
    check(b"data: a\n\n: bye", &[("", "a")]);
}

#[test]
fn an_event_over_the_limit_is_an_error_and_the_ones_before_it_arrive() {
    let error = Some(FrameTooLarge { limit: 64 });
    for filler in ["x".repeat(80), format!("{}\ndata: {}", "x".repeat(40), "y".repeat(40))] {
        let input = format!("data: a\n\ndata: {filler}\n\n");
        let events = vec![(String::new(), "a".to_owned())];
        assert_eq!(decode([input.as_bytes()]), (events.clone(), error));
        assert_eq!(decode(input.as_bytes().chunks(1)), (events, error));
    }
    assert_eq!(decode([&[b':'; 100][..]]).1, error, "a comment may not grow for ever either");
}

#[test]
fn a_piece_over_the_limit_costs_no_memory() {
    let limit = crate::MAX_FRAME_BYTES;
    let mut decoder = SseDecoder::default();
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
        Just(&b"data:"[..]),
        Just(&b"data: {\"a\":1}"[..]),
        Just(&b"event: e"[..]),
        Just(&b": ping"[..]),
        Just(&b"\n"[..]),
        Just(&b"\n\n"[..]),
        Just(&b"\r\n"[..]),
        Just(&b"\r"[..]),
        Just("ž🦊".as_bytes()),
        Just(&b"\xEF\xBB\xBF"[..]),
        Just(&b"\xFF"[..]),
        Just(&b" "[..]),
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
