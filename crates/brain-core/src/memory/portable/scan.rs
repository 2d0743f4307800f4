//! Finding where JSON values begin and end in a stream of bytes, without holding more of one than
//! is allowed.
//!
//! It is no parser: it follows brackets and strings only. Whoever gets a value's text reads it.

use std::io::{self, BufRead, BufReader, ErrorKind, Read};

/// Deepest nesting of lists and objects.
const MAX_DEPTH: u32 = 256;
/// Bytes read at a time.
const CHUNK: usize = 64 * 1024;
/// Bytes of text looked at together.
const BLOCK: usize = 16;

/// A place in a file, for people: lines and columns from 1, columns in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The byte within the line.
    pub column: u64,
    /// The byte within the file, from 0.
    pub byte: u64,
}

impl Place {
    /// The place behind `passed`, which begins here.
    pub(super) fn behind(self, passed: &[u8]) -> Self {
        let (lines, length) = (newlines(passed), passed.len() as u64);
        let column = if lines == 0 {
            self.column + length
        } else {
            let in_last = passed.iter().rev().take_while(|byte| **byte != b'\n').count();
            1 + in_last as u64
        };
        Self { line: self.line + lines, column, byte: self.byte + length }
    }
}

fn newlines(text: &[u8]) -> u64 {
    text.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// How many bytes of a string come before a quotation mark or a backslash, and maybe some fewer:
/// found many at once, as most of an export is text.
fn plain(text: &[u8]) -> usize {
    let is_plain = |block: &&[u8; BLOCK]| {
        !block.iter().fold(false, |found, byte| found | matches!(byte, b'"' | b'\\'))
    };
    text.as_chunks().0.iter().take_while(is_plain).count() * BLOCK
}

/// Why no value was found.
#[derive(Debug)]
pub(super) enum ScanError {
    /// The stream ends before the value does.
    Truncated,
    /// Lists and objects nest too deep.
    TooDeep,
    /// The stream cannot be read.
    Io(io::Error),
}

impl From<io::Error> for ScanError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What is known of the bytes of a value that were passed.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    depth: u32,
    in_string: bool,
    escaped: bool,
}

/// Whether a value goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    GoesOn,
    /// With this byte.
    Ends,
    /// Before this byte.
    Ended,
    TooDeep,
}

impl State {
    /// How many bytes of the chunk belong to the value, and what comes then.
    fn pass(&mut self, chunk: &[u8], is_begun: bool) -> (usize, Step) {
        let mut index = 0;
        while let Some(byte) = chunk.get(index) {
            let is_first = index == 0 && !is_begun;
            match if self.in_string { self.in_string(*byte) } else { self.outside(*byte, is_first) }
            {
                Step::GoesOn => index += 1,
                Step::Ends => return (index + 1, Step::Ends),
                step @ (Step::Ended | Step::TooDeep) => return (index, step),
            }
            if self.in_string && !self.escaped {
                index += chunk.get(index..).map_or(0, plain);
            }
        }
        (chunk.len(), Step::GoesOn)
    }

    fn in_string(&mut self, byte: u8) -> Step {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = true,
            b'"' => self.in_string = false,
            _ => {}
        }
        if self.in_string || 0 < self.depth { Step::GoesOn } else { Step::Ends }
    }

    fn outside(&mut self, byte: u8, is_first: bool) -> Step {
        match byte {
            b'"' => self.in_string = true,
            b'[' | b'{' if self.depth == MAX_DEPTH => return Step::TooDeep,
            b'[' | b'{' => self.depth += 1,
            b']' | b'}' if 0 < self.depth => {
                self.depth -= 1;
                return if self.depth == 0 { Step::Ends } else { Step::GoesOn };
            }
            // A number or a word has no end of its own; what can be none is one of one byte.
            b',' | b':' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n' if self.depth == 0 => {
                return if is_first { Step::Ends } else { Step::Ended };
            }
            _ => {}
        }
        Step::GoesOn
    }

    /// Whether the value may end with the stream: it is a number or a word.
    fn may_end(self) -> bool {
        self.depth == 0 && !self.in_string
    }
}

/// A stream of bytes, and where in it we are.
#[derive(Debug)]
pub(super) struct Scanner<R> {
    reader: BufReader<R>,
    place: Place,
}

impl<R: Read> Scanner<R> {
    pub(super) fn new(reader: R) -> Self {
        let place = Place { line: 1, column: 1, byte: 0 };
        Self { reader: BufReader::with_capacity(CHUNK, reader), place }
    }

    /// Where the next byte is.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// The first bytes that are not read yet, at least one unless the stream is over.
    pub(super) fn chunk(&mut self) -> io::Result<&[u8]> {
        loop {
            match self.reader.fill_buf() {
                Ok(_) => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.reader.fill_buf()
    }

    /// Passes bytes of the chunk.
    pub(super) fn pass(&mut self, count: usize) {
        let buffer = self.reader.buffer();
        let passed = buffer.get(..count).unwrap_or(buffer);
        self.place = self.place.behind(passed);
        self.reader.consume(count);
    }

    /// The next byte that is no white space; it is not passed.
    pub(super) fn peek(&mut self) -> io::Result<Option<u8>> {
        loop {
            let chunk = self.chunk()?;
            if chunk.is_empty() {
                return Ok(None);
            }
            let blank = chunk.iter().take_while(|byte| b" \t\r\n".contains(byte)).count();
            let found = chunk.get(blank).copied();
            self.pass(blank);
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    /// Passes the next value and appends its text to `text`, up to `limit` bytes of it in all.
    /// Returns whether that was the whole.
    pub(super) fn value(&mut self, text: &mut Vec<u8>, limit: usize) -> Result<bool, ScanError> {
        self.scan(State::default(), text, limit)
    }

    /// The same for an object of which `text` has the beginning, up to a place outside of strings
    /// and further lists and objects.
    pub(super) fn rest_of_object(
        &mut self,
        text: &mut Vec<u8>,
        limit: usize,
    ) -> Result<bool, ScanError> {
        self.scan(State { depth: 1, ..State::default() }, text, limit)
    }

    fn scan(
        &mut self,
        mut state: State,
        text: &mut Vec<u8>,
        limit: usize,
    ) -> Result<bool, ScanError> {
        let mut length = text.len();
        loop {
            let chunk = self.chunk()?;
            let (taken, step) = state.pass(chunk, 0 < length);
            if chunk.is_empty() {
                let is_over = 0 < length && state.may_end();
                return if is_over { Ok(length <= limit) } else { Err(ScanError::Truncated) };
            }
            let kept = taken.min(limit.saturating_sub(text.len()));
            text.extend_from_slice(chunk.get(..kept).unwrap_or(chunk));
            self.pass(taken);
            length += taken;
            match step {
                Step::GoesOn => {}
                Step::Ends | Step::Ended => return Ok(length <= limit),
                Step::TooDeep => return Err(ScanError::TooDeep),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};

    use super::{Place, ScanError, Scanner};

    /// A reader of one byte at a time, for which every split is one.
    struct Slowly<'a>(&'a [u8]);

    impl Read for Slowly<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = 1.min(self.0.len()).min(buffer.len());
            self.0.read(&mut buffer[..count])
        }
    }

    fn scan(json: &[u8], limit: usize) -> (Result<bool, ScanError>, String, Place) {
        let (mut scanner, mut text) = (Scanner::new(Slowly(json)), Vec::new());
        let whole = scanner.value(&mut text, limit);
        let at_once = {
            let (mut scanner, mut text) = (Scanner::new(json), Vec::new());
            drop(scanner.value(&mut text, limit));
            (text, scanner.place())
        };
        assert_eq!((text.clone(), scanner.place()), at_once);
        (whole, String::from_utf8(text).unwrap(), scanner.place())
    }

    #[test]
    fn a_value_ends_where_it_ends() {
        for (json, value) in [
            (r#"{"a":[1,"}]\"\\"]},"#, r#"{"a":[1,"}]\"\\"]}"#),
            ("-1.5e3,", "-1.5e3"),
            ("true]", "true"),
            ("null", "null"),
            (r#""a\"b","#, r#""a\"b""#),
            ("[[]]]", "[[]]"),
            ("]", "]"),
            (",1", ","),
        ] {
            let (whole, text, place) = scan(json.as_bytes(), 100);
            assert_eq!((whole.unwrap(), text.as_str()), (true, value));
            assert_eq!(place.byte, value.len() as u64);
        }
    }

    #[test]
    fn a_value_without_an_end_is_truncated() {
        for json in ["", "[", "{\"a\":\"", "\"abc\\\"", "[[]"] {
            assert!(matches!(scan(json.as_bytes(), 100).0, Err(ScanError::Truncated)), "{json}");
        }
    }

    #[test]
    fn no_more_is_kept_than_allowed() {
        let (whole, text, place) = scan(b"[\n1,2,\n3]x", 4);
        assert_eq!((whole.unwrap(), text.as_str()), (false, "[\n1,"));
        assert_eq!(place, Place { line: 3, column: 3, byte: 9 });
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
        assert!(scan(&nested(256), 10_000).0.unwrap());
        let (error, _, place) = scan(&nested(257), 10_000);
        assert!(matches!(error, Err(ScanError::TooDeep)));
        assert_eq!(place.byte, 256);
    }

    #[test]
    fn white_space_is_passed() {
        let mut scanner = Scanner::new(Slowly(b" \r\n\t x"));
        assert_eq!(scanner.peek().unwrap(), Some(b'x'));
        assert_eq!(scanner.place(), Place { line: 2, column: 3, byte: 5 });
        assert_eq!(Scanner::new(&b"  "[..]).peek().unwrap(), None);
    }
}
