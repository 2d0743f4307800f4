//! Server-sent events from bytes, without I/O.
//!
//! It knows framing only: what an event's data means is the caller's business, `[DONE]` included.

#[cfg(test)]
mod tests;

use crate::{
    FrameTooLarge, MAX_FRAME_BYTES,
    frame::{check_size, without_mark},
};

/// One event, borrowed from the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SseEvent<'a> {
    /// The `event` field; empty when there was none.
    pub name: &'a str,
    /// The `data` lines, joined by line feeds; never empty.
    pub data: &'a str,
}

/// Decodes server-sent events from bytes that may be cut anywhere.
///
/// Lines end in LF, CRLF or CR; a byte order mark, comments, and the fields `id`, `retry` and
/// unknown ones are skipped; invalid UTF-8 becomes U+FFFD. Its buffers are reused, so that a
/// steady stream allocates nothing.
///
/// ```
/// let mut decoder = llm_http::SseDecoder::default();
/// let mut seen = Vec::new();
/// for bytes in [&b"data: on"[..], b"e\r\n", b"\r\ndata: two\n\n"] {
///     decoder.push(bytes, |event| seen.push(event.data.to_owned()))?;
/// }
/// assert_eq!(seen, ["one", "two"]);
/// # Ok::<(), llm_http::FrameTooLarge>(())
/// ```
#[derive(Debug)]
pub struct SseDecoder {
    limit: usize,
    /// The line that has no end yet.
    line: Vec<u8>,
    /// The last byte was CR, so that an LF right after it belongs to the same line end.
    after_cr: bool,
    /// Only the first line may begin with a byte order mark.
    first_line: bool,
    name: String,
    data: String,
    has_data: bool,
}

impl Default for SseDecoder {
    fn default() -> Self {
        Self::with_limit(MAX_FRAME_BYTES)
    }
}

impl SseDecoder {
    /// A decoder that refuses events of more than `limit` bytes.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            after_cr: false,
            first_line: true,
            name: String::new(),
            data: String::new(),
            has_data: false,
        }
    }

    /// Takes the next bytes and hands on each event they complete.
    ///
    /// # Errors
    ///
    /// [`FrameTooLarge`]; the decoder must not be used after it.
    pub fn push(
        &mut self,
        bytes: &[u8],
        mut on_event: impl FnMut(SseEvent<'_>),
    ) -> Result<(), FrameTooLarge> {
        let mut rest = bytes;
        if self.after_cr && !rest.is_empty() {
            self.after_cr = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some((line, end, after)) = split_line(rest) {
            self.end_line(line, &mut on_event)?;
            rest = after;
            if end == b'\r' {
                self.after_cr = rest.is_empty();
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
        }
        self.check_size(rest.len())?;
        self.line.extend_from_slice(rest);
        Ok(())
    }

    /// Ends the stream and hands on an event that lacks its empty line.
    ///
    /// The standard drops such an event; servers that forget the last empty line are common.
    ///
    /// # Errors
    ///
    /// [`FrameTooLarge`].
    pub fn finish(mut self, mut on_event: impl FnMut(SseEvent<'_>)) -> Result<(), FrameTooLarge> {
        self.end_line(b"", &mut on_event)?;
        self.dispatch(&mut on_event);
        Ok(())
    }

    /// Takes the end of a line, whose beginning may be buffered.
    fn end_line(
        &mut self,
        tail: &[u8],
        on_event: &mut impl FnMut(SseEvent<'_>),
    ) -> Result<(), FrameTooLarge> {
        if self.line.is_empty() {
            return self.take_line(tail, on_event);
        }
        self.check_size(tail.len())?;
        let mut line = std::mem::take(&mut self.line);
        line.extend_from_slice(tail);
        let taken = self.take_line(&line, on_event);
        line.clear();
        self.line = line;
        taken
    }

    fn take_line(
        &mut self,
        mut line: &[u8],
        on_event: &mut impl FnMut(SseEvent<'_>),
    ) -> Result<(), FrameTooLarge> {
        self.check_size(line.len())?;
        if std::mem::take(&mut self.first_line) {
            line = without_mark(line);
        }
        if line.is_empty() {
            self.dispatch(on_event);
            return Ok(());
        }
        let (field, value) = split_field(line);
        match field {
            b"data" => self.add_data(value),
            b"event" => {
                self.name.clear();
                self.name.push_str(&String::from_utf8_lossy(value));
            }
            _ => {}
        }
        Ok(())
    }

    fn add_data(&mut self, value: &[u8]) {
        if self.has_data {
            self.data.push('\n');
        }
        self.has_data = true;
        self.data.push_str(&String::from_utf8_lossy(value));
    }

    fn dispatch(&mut self, on_event: &mut impl FnMut(SseEvent<'_>)) {
        if !self.data.is_empty() {
            on_event(SseEvent { name: &self.name, data: &self.data });
        }
        self.data.clear();
        self.name.clear();
        self.has_data = false;
    }

    /// Whether the event and the line being read stay within the limit with so many bytes more.
    fn check_size(&self, more: usize) -> Result<(), FrameTooLarge> {
        check_size(self.data.len() + self.line.len() + more, self.limit)
    }
}

/// The bytes before the first line end, that end, and the bytes after it.
fn split_line(bytes: &[u8]) -> Option<(&[u8], u8, &[u8])> {
    let at = memchr::memchr2(b'\n', b'\r', bytes)?;
    let (line, rest) = bytes.split_at_checked(at)?;
    let (end, after) = rest.split_first()?;
    Some((line, *end, after))
}

/// A line's field name and its value; a comment has an empty name.
fn split_field(line: &[u8]) -> (&[u8], &[u8]) {
    let Some((field, value)) = memchr::memchr(b':', line).and_then(|at| line.split_at_checked(at))
    else {
        return (line, b"");
    };
    let value = value.strip_prefix(b":").unwrap_or(value);
    (field, value.strip_prefix(b" ").unwrap_or(value))
}
