//! Bytes of tokens to text: pure, and independent of where the tokens cut.
//!
//! It holds back what may still change: the beginning of a UTF-8 character and the beginning of
//! a stop text. It knows no tokens.

/// Turns the bytes of an answer into text and watches for the texts that end it.
#[derive(Debug, Default)]
pub(crate) struct TextDecoder {
    stops: Vec<String>,
    /// The beginning of a character, at most three bytes.
    bytes: Vec<u8>,
    /// Text that may be the beginning of a stop text.
    held: String,
    stopped: bool,
}

impl TextDecoder {
    /// A decoder that ends before the first of `stops`; none of them may be empty.
    pub(crate) fn new(stops: Vec<String>) -> Self {
        Self { stops, ..Self::default() }
    }

    /// Takes more bytes and returns the text that is certain now, which may be empty.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> String {
        if self.stopped {
            return String::new();
        }
        self.bytes.extend_from_slice(bytes);
        self.take_characters();
        self.release()
    }

    /// Whether a stop text came; what follows it is ignored.
    pub(crate) fn stopped(&self) -> bool {
        self.stopped
    }

    /// The end of the answer: whatever was held back.
    pub(crate) fn finish(mut self) -> String {
        if !self.bytes.is_empty() {
            self.bytes.clear();
            self.held.push(char::REPLACEMENT_CHARACTER);
        }
        self.held
    }

    /// Moves whole characters from `bytes` to `held`; bytes that are no UTF-8 become U+FFFD.
    fn take_characters(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut chunks = bytes.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            self.held.push_str(chunk.valid());
            let invalid = chunk.invalid();
            if chunks.peek().is_none() && may_continue(invalid) {
                self.bytes = invalid.to_vec();
            } else if !invalid.is_empty() {
                self.held.push(char::REPLACEMENT_CHARACTER);
            }
        }
    }

    /// Where the stop text begins that is complete first.
    fn first_stop(&self) -> Option<usize> {
        let found = self.stops.iter().filter_map(|stop| {
            let at = self.held.find(stop.as_str())?;
            Some((at.saturating_add(stop.len()), at))
        });
        found.min().map(|(_, at)| at)
    }

    /// Takes what is certain out of `held`.
    fn release(&mut self) -> String {
        if let Some(at) = self.first_stop() {
            self.stopped = true;
            self.bytes.clear();
            let mut text = std::mem::take(&mut self.held);
            text.truncate(at);
            return text;
        }
        let keep = self.stops.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len().saturating_sub(keep));
        std::mem::replace(&mut self.held, rest)
    }
}

/// Whether `bytes` are the beginning of a character, rather than wrong.
fn may_continue(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

/// Length of the longest end of `text` that begins `stop`, but is not the whole of it.
fn overlap(text: &str, stop: &str) -> usize {
    let longest = stop.len().saturating_sub(1).min(text.len());
    (1..=longest)
        .rev()
        .find(|&length| {
            stop.as_bytes().get(..length).is_some_and(|it| text.as_bytes().ends_with(it))
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::TextDecoder;

    fn decode(stops: &[&str], pieces: &[&[u8]]) -> (String, bool) {
        let mut decoder = TextDecoder::new(stops.iter().map(|&it| it.to_owned()).collect());
        let mut text: String = pieces.iter().map(|piece| decoder.push(piece)).collect();
        let stopped = decoder.stopped();
        text.push_str(&decoder.finish());
        (text, stopped)
    }

    #[test]
    fn characters_are_never_cut() {
        let mut decoder = TextDecoder::new(Vec::new());
        assert_eq!(decoder.push(b"caf\xc3"), "caf");
        assert_eq!(decoder.push(b"\xa9!"), "é!");
        assert_eq!(decoder.finish(), "");
    }

    #[test]
    fn wrong_bytes_become_replacement_characters() {
        assert_eq!(decode(&[], &[b"a\xffb"]).0, "a\u{fffd}b");
        assert_eq!(decode(&[], &[b"a\xf0\x9f"]).0, "a\u{fffd}");
    }

    #[test]
    fn a_stop_text_ends_the_answer_and_is_not_part_of_it() {
        assert_eq!(decode(&["END"], &[b"one E", b"N", b"D two"]), ("one ".to_owned(), true));
        assert_eq!(decode(&["END"], &[b"one E", b"N"]), ("one EN".to_owned(), false));
        assert_eq!(decode(&["b", "ab"], &[b"xab"]), ("x".to_owned(), true));
        assert_eq!(decode(&["b", "abc"], &[b"xabc"]), ("xa".to_owned(), true));
        assert_eq!(decode(&["aab"], &[b"aa", b"ab"]), ("a".to_owned(), true));
    }

    #[test]
    fn text_that_cannot_be_a_stop_text_is_not_held_back() {
        let mut decoder = TextDecoder::new(vec!["é!".to_owned()]);
        assert_eq!(decoder.push("aé".as_bytes()), "a");
        assert_eq!(decoder.push(b"?"), "é?");
    }

    proptest! {
        #[test]
        fn where_the_bytes_are_cut_does_not_matter(
            bytes in prop::collection::vec(prop_oneof![prop::sample::select(b"abc\n".to_vec()), any::<u8>()], 0..60),
            cuts in prop::collection::vec(0usize..60, 0..8),
            stops in prop::collection::vec("[abc]{1,3}|é|\u{fffd}", 0..3),
        ) {
            let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
            let whole = decode(&stops, &[&bytes]);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(decode(&stops, &pieces), whole);
        }
    }
}
