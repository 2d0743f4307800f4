//! The body of one answer, as it is sent: pieces, pauses, and what goes wrong.

use std::{collections::VecDeque, future::pending, io, sync::Arc, time::Duration};

use brain_core::llm::{ChatEvent, ChatStream, LlmError};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame as HttpFrame;
use tokio::{task::yield_now, time::sleep};

use super::{
    At, Fault,
    frame::{self, Data, Frame, Framing, Step},
    link::Breaker,
    record::Ticket,
    speaker::{Speaker, Whole},
};

/// The bodies of this server.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Pieces of an answer in tiny ones.
const TINY_CHUNKS: usize = 10_000;

/// Letters of two, three and four bytes.
const LONG_LETTERS: &str = "Grüße, 世界 🧠. ";

/// How long a broken end waits, so that what was sent before it arrives.
const BEFORE_END: Duration = Duration::from_millis(30);

/// What goes wrong, how fast it is, and whom to tell of the end.
pub(super) struct Stage {
    pub(super) fault: Option<Fault>,
    /// Between two pieces with content.
    pub(super) pace: Option<Duration>,
    pub(super) ticket: Ticket,
    pub(super) breaker: Arc<Breaker>,
}

/// An answer being sent. Dropped before its end, it tells that the client has gone.
struct Player {
    /// Events to come, and who spells them; `None` once all is in `steps`.
    source: Option<(ChatStream, Box<dyn Speaker>)>,
    framing: Framing,
    steps: VecDeque<Step>,
    sent: usize,
    begun: bool,
    shown: bool,
    stage: Stage,
}

/// The body of a streamed answer.
pub(super) fn streamed(events: ChatStream, speaker: Box<dyn Speaker>, stage: Stage) -> Body {
    let empty = stage.fault == Some(Fault::Empty);
    let source = (!empty).then(|| (elaborated(events, stage.fault), speaker));
    Player::new(source, VecDeque::new(), stage).into_body()
}

/// The body of an answer in one piece.
pub(super) fn whole(data: Vec<u8>, stage: Stage) -> Body {
    let fault = stage.fault;
    let half = data.len() / 2;
    let place = fault.and_then(Fault::place);
    let cut = match place {
        Some(At::Start) => Some(0),
        Some(At::Content) => Some(half),
        Some(At::Head | At::Byte(_)) | None => None,
    };
    let mut data = data;
    let stop = fault.and_then(frame::stop);
    if let (Some(cut), true) = (cut, stop.is_some() || matches!(fault, Some(Fault::End(_)))) {
        data.truncate(cut);
    }
    let mut steps: VecDeque<Step> = frame::send(data, fault).into();
    if cut.is_some() {
        steps.extend(stop);
    }
    Player::new(None, steps, stage).into_body()
}

/// A whole answer, collected.
pub(super) async fn collect(events: ChatStream, fault: Option<Fault>) -> Result<Whole, LlmError> {
    let mut events = elaborated(events, fault);
    let mut whole = Whole::default();
    while let Some(event) = events.next().await {
        whole.add(event?);
    }
    Ok(whole)
}

/// The text of a whole answer, after what a fault does to it.
pub(super) fn whole_text(
    value: serde_json::Value,
    error: serde_json::Value,
    fault: Option<Fault>,
) -> Vec<u8> {
    let mut value = if matches!(fault, Some(Fault::Error(_))) { error } else { value };
    if matches!(fault, Some(Fault::LongLine(_))) {
        value["padding"] = frame::long_text().into();
    }
    let mut text = frame::text(Data::Json(value), fault).unwrap_or_default();
    if matches!(fault, Some(Fault::BadJson(_))) {
        text = frame::broken(&text);
    }
    if fault == Some(Fault::Empty) { Vec::new() } else { Framing::Whole.bytes(&text, fault) }
}

/// The same events, with what a fault adds to the first text.
fn elaborated(events: ChatStream, fault: Option<Fault>) -> ChatStream {
    let mut is_first = true;
    let more = move |event| {
        let here = is_first && matches!(event, Ok(ChatEvent::Text(_)));
        is_first &= !here;
        let before = (here && fault == Some(Fault::SplitUtf8)).then(|| LONG_LETTERS.to_owned());
        let count = if here && fault == Some(Fault::TinyChunks) { TINY_CHUNKS } else { 0 };
        let after = (b'a'..=b'z').cycle().take(count).map(|it| char::from(it).to_string());
        let text = |it| Ok(ChatEvent::Text(it));
        let pieces = before.into_iter().map(text).chain([event]).chain(after.map(text));
        stream::iter(pieces)
    };
    events.flat_map(more).boxed()
}

impl Player {
    fn new(
        source: Option<(ChatStream, Box<dyn Speaker>)>,
        steps: VecDeque<Step>,
        stage: Stage,
    ) -> Self {
        let framing = source.as_ref().map_or(Framing::Whole, |(_, it)| it.framing());
        Self { source, framing, steps, sent: 0, begun: false, shown: false, stage }
    }

    fn into_body(self) -> Body {
        let frames = stream::unfold(self, |mut player| async move {
            let item = player.next().await?;
            Some((item, player))
        });
        StreamBody::new(frames).boxed_unsync()
    }

    async fn next(&mut self) -> Option<Result<HttpFrame<Bytes>, io::Error>> {
        loop {
            match self.steps.pop_front() {
                Some(Step::Send(bytes)) => {
                    // So that hyper writes what it has before it asks for more.
                    yield_now().await;
                    if let Some(bytes) = self.send(bytes) {
                        return Some(Ok(HttpFrame::data(bytes)));
                    }
                }
                Some(Step::Pause(length)) => sleep(length).await,
                Some(Step::Stall) => pending().await,
                Some(Step::Cut) => return self.fail(false).await,
                Some(Step::Reset) => return self.fail(true).await,
                None if self.source.is_none() => {
                    self.stage.ticket.finish();
                    return None;
                }
                None => self.refill().await,
            }
        }
    }

    /// Ends the connection, as a lost one ends or by a reset.
    async fn fail(&mut self, reset: bool) -> Option<Result<HttpFrame<Bytes>, io::Error>> {
        sleep(BEFORE_END).await;
        if reset {
            self.stage.breaker.reset();
        }
        self.stage.ticket.finish();
        Some(Err(io::ErrorKind::ConnectionAborted.into()))
    }

    /// The bytes to send now: fewer where the fault is to happen in them.
    fn send(&mut self, mut bytes: Bytes) -> Option<Bytes> {
        let fault = self.stage.fault;
        if let Some(At::Byte(limit)) = fault.and_then(Fault::place)
            && limit <= self.sent + bytes.len()
        {
            bytes.truncate(limit - self.sent);
            self.source = None;
            self.steps.clear();
            self.steps.extend(fault.and_then(frame::stop));
        }
        self.sent += bytes.len();
        if self.steps.is_empty() && self.source.is_none() {
            // A body of known length is not asked for its end.
            self.stage.ticket.finish();
        }
        (!bytes.is_empty()).then_some(bytes)
    }

    /// Puts what comes next into `steps`, or finds that there is nothing more.
    async fn refill(&mut self) {
        let Some((mut events, mut speaker)) = self.source.take() else { return };
        if !std::mem::replace(&mut self.begun, true) {
            let frames = speaker.begin();
            self.source = Some((events, speaker));
            return frames.into_iter().for_each(|it| self.push(it));
        }
        let Some(event) = events.next().await else { return };
        let frames = match event {
            Ok(event) => {
                let ends = matches!(event, ChatEvent::Finished(_));
                let frames = speaker.event(&event);
                self.source = Some((events, speaker));
                if ends && !self.shown {
                    self.happen(At::Start);
                    self.happen(At::Content);
                }
                frames
            }
            Err(error) => speaker.fail(&error),
        };
        let stays = self.source.is_some();
        for frame in frames {
            if stays && self.source.is_none() {
                break;
            }
            self.push(frame);
        }
    }

    /// Takes a piece, and what goes wrong before or after it.
    fn push(&mut self, frame: Frame) {
        let is_first = frame.is_content && !self.shown;
        self.shown |= frame.is_content;
        if is_first && self.happen(At::Start) {
            return;
        }
        if frame.is_content {
            self.steps.extend(self.stage.pace.map(Step::Pause));
        }
        self.write(frame.data);
        if is_first {
            self.happen(At::Content);
        }
    }

    fn write(&mut self, data: Data) {
        if let Some(text) = frame::text(data, self.stage.fault) {
            self.write_text(&text);
        }
    }

    fn write_text(&mut self, text: &str) {
        let bytes = self.framing.bytes(text, self.stage.fault);
        self.steps.extend(frame::send(bytes, self.stage.fault));
    }

    /// Lets the fault happen if this is its place; whether the answer ends with it.
    fn happen(&mut self, at: At) -> bool {
        let Some(fault) = frame::happens(self.stage.fault, at) else { return false };
        if matches!(fault, Fault::BadJson(_)) {
            self.write_text(&frame::broken(r#"{"object":"a piece","choices":[{"index":0}]}"#));
        } else if matches!(fault, Fault::LongLine(_)) {
            self.write_long_line();
        } else {
            if matches!(fault, Fault::Error(_)) {
                self.write_error();
            }
            self.steps.extend(frame::stop(fault));
            self.source = None;
        }
        self.source.is_none()
    }

    fn write_long_line(&mut self) {
        let Some((_, speaker)) = &mut self.source else { return };
        let frames = speaker.event(&ChatEvent::Text(frame::long_text()));
        frames.into_iter().for_each(|it| self.write(it.data));
    }

    fn write_error(&mut self) {
        let Some((_, speaker)) = &self.source else { return };
        let error = speaker.error("the model has broken down");
        self.write(Data::Json(error));
    }
}
