//! Lines of JSON from bytes, without I/O.
//!
//! It knows framing only: whether a line is JSON and what it means is the caller's business.

#[cfg(test)]
mod tests;

use crate::{
    FrameTooLarge, MAX_FRAME_BYTES,
    frame::{check_size, without_mark},
};

/// Decodes newline-delimited JSON from bytes that may be cut anywhere.
///
/// Lines end in LF or CRLF; a byte order mark and blank lines are skipped; invalid UTF-8 becomes
/// U+FFFD. Its buffer is reused, so that a steady stream allocates nothing.
///
/// ```
/// let mut decoder = llm_http::NdjsonDecoder::default();
/// let mut seen = Vec::new();
/// for bytes in [&b"{\"on"[..], b"e\":1}\r", b"\n\n{}\n"] {
///     decoder.push(bytes, |line| seen.push(line.to_owned()))?;
/// }
/// assert_eq!(seen, [r#"{"one":1}"#, "{}"]);
/// # Ok::<(), llm_http::FrameTooLarge>(())
/// ```
#[derive(Debug)]
pub struct NdjsonDecoder {
    limit: usize,
    /// The line that has no end yet.
    line: Vec<u8>,
    /// Only the first line may begin with a byte order mark.
    first_line: bool,
}

impl Default for NdjsonDecoder {
    fn default() -> Self {
        Self::with_limit(MAX_FRAME_BYTES)
    }
}

impl NdjsonDecoder {
    /// A decoder that refuses lines of more than `limit` bytes before their line feed.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self { limit, line: Vec::new(), first_line: true }
    }

    /// Takes the next bytes and hands on each line they complete, without its end.
    ///
    /// # Errors
    ///
    /// [`FrameTooLarge`]; the decoder must not be used after it.
    pub fn push(
        &mut self,
        bytes: &[u8],
        mut on_line: impl FnMut(&str),
    ) -> Result<(), FrameTooLarge> {
        let mut rest = bytes;
        while let Some((line, after)) = split_line(rest) {
            self.end_line(line, &mut on_line)?;
            rest = after;
        }
        check_size(self.line.len() + rest.len(), self.limit)?;
        self.line.extend_from_slice(rest);
        Ok(())
    }

    /// Ends the stream and hands on a last line that lacks its end.
    ///
    /// # Errors
    ///
    /// [`FrameTooLarge`].
    pub fn finish(mut self, mut on_line: impl FnMut(&str)) -> Result<(), FrameTooLarge> {
        self.end_line(b"", &mut on_line)
    }

    /// Takes the end of a line, whose beginning may be buffered.
    fn end_line(
        &mut self,
        tail: &[u8],
        on_line: &mut impl FnMut(&str),
    ) -> Result<(), FrameTooLarge> {
        if self.line.is_empty() {
            return self.take_line(tail, on_line);
        }
        check_size(self.line.len() + tail.len(), self.limit)?;
        let mut line = std::mem::take(&mut self.line);
        line.extend_from_slice(tail);
        let taken = self.take_line(&line, on_line);
        line.clear();
        self.line = line;
        taken
    }

    fn take_line(
        &mut self,
        line: &[u8],
        on_line: &mut impl FnMut(&str),
    ) -> Result<(), FrameTooLarge> {
        check_size(line.len(), self.limit)?;
        let mut line = line.strip_suffix(b"\r").unwrap_or(line);
        if std::mem::take(&mut self.first_line) {
            line = without_mark(line);
        }
        if !line.trim_ascii().is_empty() {
            on_line(&String::from_utf8_lossy(line));
        }
        Ok(())
    }
}

/// The bytes before the first line feed and those after it.
fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (line, rest) = bytes.split_at_checked(memchr::memchr(b'\n', bytes)?)?;
    Some((line, rest.strip_prefix(b"\n").unwrap_or(rest)))
}
