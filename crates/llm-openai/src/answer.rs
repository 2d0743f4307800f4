//! One answer: bytes in, events out.
//!
//! It finds out how the answer is framed, whether it ended or broke off, and keeps the connection
//! for the next request where it can. What a chunk means is `decode`'s business.

use std::collections::VecDeque;

use brain_core::llm::{ChatEvent, ChatStream, LlmError, LlmErrorKind};
use futures_util::{StreamExt, stream};
use llm_http::{
    ByteStream, Endpoint, FrameTooLarge, MAX_FRAME_BYTES, SseDecoder, SseEvent, let_go,
};

use crate::decode::ChunkDecoder;

/// The mark at the end of a stream.
const DONE: &str = "[DONE]";

/// An answer being read.
pub(crate) struct Answer {
    /// `None` once there is nothing more to read.
    bytes: Option<ByteStream>,
    framing: Framing,
    decoder: ChunkDecoder,
    events: VecDeque<ChatEvent>,
    /// What follows the events; the end of the answer.
    failure: Option<LlmError>,
    ended: bool,
}

/// How the answer is framed; its first byte tells, since content types lie.
enum Framing {
    Unknown,
    Sse(SseDecoder),
    /// A whole JSON document from a server that does not stream, or an error.
    Json(Vec<u8>),
}

impl Answer {
    pub(crate) fn new(bytes: ByteStream, decoder: ChunkDecoder) -> Self {
        Self {
            bytes: Some(bytes),
            framing: Framing::Unknown,
            decoder,
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
        if matches!(self.framing, Framing::Unknown) {
            match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
                None => return,
                Some(b'{') => self.framing = Framing::Json(Vec::new()),
                Some(b'<') => {
                    return self.fail(self.endpoint().misspoke("answered with a web page"));
                }
                Some(_) => self.framing = Framing::Sse(SseDecoder::default()),
            }
        }
        match &mut self.framing {
            Framing::Unknown => {}
            Framing::Json(whole) if MAX_FRAME_BYTES < whole.len() + bytes.len() => {
                self.fail(self.endpoint().misspoke("sent an answer that is too large"));
            }
            Framing::Json(whole) => whole.extend_from_slice(bytes),
            Framing::Sse(_) => self.take_events(bytes),
        }
    }

    fn take_events(&mut self, bytes: &[u8]) {
        let Framing::Sse(sse) = &mut self.framing else { return };
        let mut frames = Frames::new(&mut self.decoder, &mut self.events);
        let pushed = sse.push(bytes, |event| frames.take(event));
        let (outcome, done) = frames.outcome();
        if let Err(error) = self.too_large(pushed).and(outcome) {
            self.fail(error);
        } else if done {
            self.end(true);
        }
    }

    /// The server sends no more, or the connection failed with `error`.
    fn close(&mut self, error: Option<LlmError>) {
        self.bytes = None;
        match std::mem::replace(&mut self.framing, Framing::Unknown) {
            Framing::Json(whole) if error.is_none() => self.close_json(&whole),
            Framing::Sse(sse) => self.close_sse(sse),
            Framing::Json(_) | Framing::Unknown => self.end(false),
        }
        let is_cut = |failure: &LlmError| failure.kind() == LlmErrorKind::Interrupted;
        if let Some(error) = error
            && self.failure.as_ref().is_some_and(is_cut)
        {
            // The connection's own error says more than that the answer broke off.
            self.failure = Some(error);
        }
    }

    fn close_sse(&mut self, sse: SseDecoder) {
        let mut frames = Frames::new(&mut self.decoder, &mut self.events);
        let finished = sse.finish(|event| frames.take(event));
        let (outcome, done) = frames.outcome();
        match self.too_large(finished).and(outcome) {
            // An event without its empty line counts if it is whole; what is no JSON was cut off.
            Err(error) if error.kind() != LlmErrorKind::Protocol => self.fail(error),
            Ok(()) | Err(_) => self.end(done),
        }
    }

    fn close_json(&mut self, whole: &[u8]) {
        let text = String::from_utf8_lossy(whole);
        match self.decoder.chunk(&text, &mut self.events) {
            Err(error) => self.fail(error),
            Ok(()) if self.decoder.has_begun() => self.end(true),
            Ok(()) => self.fail(self.endpoint().misspoke("sent JSON that is no answer")),
        }
    }

    fn end(&mut self, marked: bool) {
        match self.decoder.end(marked, &mut self.events) {
            Ok(()) => self.ended = true,
            Err(error) => self.fail(error),
        }
    }

    fn fail(&mut self, error: LlmError) {
        self.failure = Some(error);
        self.ended = true;
    }

    fn too_large(&self, pushed: Result<(), FrameTooLarge>) -> Result<(), LlmError> {
        pushed.map_err(|error| {
            self.endpoint()
                .misspoke("sent a piece of an answer that is too large")
                .with_source(error)
        })
    }

    fn endpoint(&self) -> &Endpoint {
        self.decoder.endpoint()
    }
}

/// Hands the data of events to the decoder until the end mark or the first failure.
struct Frames<'a> {
    decoder: &'a mut ChunkDecoder,
    events: &'a mut VecDeque<ChatEvent>,
    outcome: Result<(), LlmError>,
    done: bool,
}

impl<'a> Frames<'a> {
    fn new(decoder: &'a mut ChunkDecoder, events: &'a mut VecDeque<ChatEvent>) -> Self {
        Self { decoder, events, outcome: Ok(()), done: false }
    }

    fn take(&mut self, event: SseEvent<'_>) {
        if self.done || self.outcome.is_err() {
            return;
        }
        if event.data.starts_with(DONE) {
            self.done = true;
        } else if event.name == "error" {
            self.outcome = Err(self.decoder.refused(event.data));
        } else {
            self.outcome = self.decoder.chunk(event.data, self.events);
        }
    }

    fn outcome(self) -> (Result<(), LlmError>, bool) {
        (self.outcome, self.done)
    }
}
