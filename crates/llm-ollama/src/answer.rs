//! One answer: bytes in, events out.
//!
//! It finds out whether the answer ended or broke off, and keeps the connection for the next request
//! where it can. What a line means is `decode`'s business.

use std::{collections::VecDeque, error::Error, mem};

use brain_core::llm::{ChatEvent, ChatStream, LlmError, LlmErrorKind};
use futures_util::{StreamExt, stream};
use llm_http::{ByteStream, Endpoint, FrameTooLarge, NdjsonDecoder, let_go};

use crate::decode::LineDecoder;

/// An answer being read.
pub(crate) struct Answer {
    /// `None` once there is nothing more to read.
    bytes: Option<ByteStream>,
    lines: NdjsonDecoder,
    decoder: LineDecoder,
    /// Nothing but blanks has come.
    is_empty: bool,
    events: VecDeque<ChatEvent>,
    /// What follows the events; the end of the answer.
    failure: Option<LlmError>,
    ended: bool,
}

impl Answer {
    pub(crate) fn new(bytes: ByteStream, decoder: LineDecoder) -> Self {
        Self {
            bytes: Some(bytes),
            lines: NdjsonDecoder::default(),
            decoder,
            is_empty: true,
            events: VecDeque::new(),
            failure: None,
            ended: false,
        }
    }

    /// The answer as the port's stream.
    pub(crate) fn into_stream(self) -> ChatStream {
        let items = stream::unfold(self, |mut answer| async move {
            let item = answer.next().await?;
            Some((item, answer))
        });
        items.boxed()
    }

    async fn next(&mut self) -> Option<Result<ChatEvent, LlmError>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(Ok(event));
            }
            if let Some(error) = self.failure.take() {
                self.bytes = None;
                return Some(Err(error));
            }
            if self.ended {
                if let Some(bytes) = self.bytes.take() {
                    let_go(bytes).await;
                }
                return None;
            }
            match self.bytes.as_mut()?.next().await {
                Some(Ok(bytes)) => self.take(&bytes),
                Some(Err(error)) => self.close(Some(error)),
                None => self.close(None),
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        if self.is_empty {
            match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
                None => return,
                Some(b'<') => {
                    return self.fail(self.endpoint().misspoke("answered with a web page"));
                }
                Some(_) => self.is_empty = false,
            }
        }
        let mut outcome = Ok(());
        let pushed = self.lines.push(bytes, |line| {
            if outcome.is_ok() {
                outcome = self.decoder.line(line, &mut self.events);
            }
        });
        match outcome.and(self.too_large(pushed)) {
            Err(error) => self.fail(error),
            Ok(()) => self.ended = self.decoder.is_done(),
        }
    }

    /// The server sends no more, or the connection failed with `error`.
    fn close(&mut self, error: Option<LlmError>) {
        self.bytes = None;
        let mut outcome = Ok(());
        let finished = mem::take(&mut self.lines)
            .finish(|line| outcome = self.decoder.line(line, &mut self.events));
        let ended = match outcome.and(self.too_large(finished)) {
            // A line without its end counts if it is whole; what is no JSON was cut off.
            Err(error) if error.kind() != LlmErrorKind::Protocol => return self.fail(error),
            Err(error) if is_beginning(&error) => Err(self.endpoint().interrupted()),
            Ok(()) | Err(_) => self.decoder.end(self.is_empty),
        };
        match ended {
            Ok(()) => self.ended = true,
            // The connection's own error says more than that the answer broke off.
            Err(ended) => self.fail(error.unwrap_or(ended)),
        }
    }

    fn fail(&mut self, error: LlmError) {
        self.failure = Some(error);
        self.ended = true;
    }

    fn too_large(&self, pushed: Result<(), FrameTooLarge>) -> Result<(), LlmError> {
        pushed.map_err(|error| {
            self.endpoint().misspoke("sent a line that is too large").with_source(error)
        })
    }

    fn endpoint(&self) -> &Endpoint {
        self.decoder.endpoint()
    }
}

/// Whether the line that is no JSON would have been some with more after it.
fn is_beginning(error: &LlmError) -> bool {
    let source = error.source().and_then(|it| it.downcast_ref::<serde_json::Error>());
    source.is_some_and(serde_json::Error::is_eof)
}
