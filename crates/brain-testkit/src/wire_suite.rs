//! What the bytes of any provider's wire must come to, through its whole adapter.
//!
//! A [`Scenario`] says what happens, and what the port must make of it; how a wire spells it is for
//! tests beside the adapter. [`llm_wire_suite!`](crate::llm_wire_suite) declares one test a
//! scenario. Each is sent whole, a byte at a time, and in pieces of seven bytes.

mod expected;
mod server;

use std::{collections::HashSet, sync::Arc, time::Duration};

use brain_core::{
    chat::Message,
    llm::{ChatEvent, ChatRequest, LlmError, LlmErrorKind, LlmGateway, PartialReply},
    tool::ToolSpec,
};
use futures_util::StreamExt;
use serde_json::{Value, json};

pub use self::expected::{End, Expected};
use self::server::Server;

/// Longest that an answer may take; the gateway of a wire loses patience much sooner.
const PATIENCE: Duration = Duration::from_secs(20);

/// Largest body that is sent a byte at a time.
const MAX_CUT: usize = 64 * 1024;

/// Bytes in a piece.
const PIECES: [usize; 3] = [usize::MAX, 1, 7];

/// The model that requests ask for.
pub const MODEL: &str = "some-model";

/// A provider's wire under test.
pub trait Wire: Send + Sync + 'static {
    /// A gateway to a server at `address`, such as `http://127.0.0.1:1234`, that waits for no byte
    /// longer than half a second.
    fn gateway(&self, address: &str) -> Arc<dyn LlmGateway>;

    /// How the wire spells a scenario; `None` only for what [`Wire::skips`] names.
    fn spell(&self, scenario: Scenario) -> Option<Spelling>;

    /// What the wire cannot spell, and why.
    fn skips(&self) -> &'static [(Scenario, &'static str)] {
        &[]
    }

    /// The JSON for what an adapter asks besides, by method and path such as `GET /api/version`.
    fn aside(&self, _request: &str) -> Option<Value> {
        None
    }

    /// A text that must show nowhere: the key of its gateway.
    fn secret(&self) -> Option<&str> {
        None
    }
}

/// An answer in HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spelling {
    /// The status.
    pub status: u16,
    /// Headers besides those that frame the body.
    pub headers: Vec<(String, String)>,
    /// The body, up to where it ends or breaks off.
    pub body: Vec<u8>,
    /// What follows the body.
    pub then: Then,
}

/// What follows a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Its end.
    End,
    /// The connection's end, but not the body's.
    Cut,
    /// Nothing.
    Stall,
}

impl Spelling {
    /// A body with status 200 that ends well.
    pub fn ok(content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::refused(200, content_type, body)
    }

    /// A body with this status that ends well.
    pub fn refused(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Self { status, headers, body: body.into(), then: Then::End }
    }

    /// The same with one header more.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same body with something else behind it.
    #[must_use]
    pub fn then(self, then: Then) -> Self {
        Self { then, ..self }
    }
}

/// What happens on a wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scenario {
    /// The text `Žluť 🦊` in several pieces, and a natural end.
    Text,
    /// The text `Hi`, and a cost of 5 tokens in and 2 out.
    Usage,
    /// The reasoning `Hm` before the text `Hi`.
    Reasoning,
    /// A call of `read_file` with `{"path":"a"}`, in as many pieces as the wire has.
    Call,
    /// That call, and one of `now` with `{}`.
    TwoCalls,
    /// A call of `now`, whose arguments are as empty as the wire can say it.
    NoArguments,
    /// The two calls, without ids.
    NoCallIds,
    /// The two calls, with the same id.
    SameCallIds,
    /// The two calls, without what tells their places.
    NoIndex,
    /// The text `Hi`, cut by the limit of tokens.
    Length,
    /// The text `Hi`, of which a filter withheld the rest.
    Filter,
    /// The text `Hi` among fields, kinds of pieces and `null`s that nobody knows.
    Unknown,
    /// The text `Hi` with something to skip before each piece.
    KeepAlive,
    /// The text `Hi` in lines that end in CR LF.
    CrLf,
    /// The text `Hi` with a content type that is not true.
    ContentType,
    /// The text `Hi` with 5 tokens in and 2 out, as a server answers that does not stream.
    Whole,
    /// The text `a`, half of a surrogate pair, `b`.
    HalfCharacter,
    /// Ten thousand times `x`, each in a piece of its own.
    TinyPieces,
    /// The head and what may come before content; then the connection ends.
    CutBefore,
    /// The text `Hel`; then the connection ends.
    CutAfter,
    /// The text `Hel`; then the body ends well, though the answer is not whole.
    EndsEarly,
    /// The head; then nothing.
    StallBefore,
    /// The text `Hel`; then nothing.
    StallAfter,
    /// The text `Hel`; then a piece that is no JSON; then more, with a natural end.
    BadJson,
    /// The text `Hel`; then 11 MiB without the end of a line.
    LongLine,
    /// An error of the server in the place of the first piece.
    ErrorBefore,
    /// The text `Hel`; then an error of the server.
    ErrorAfter,
    /// A whole JSON document that is an error, with status 200.
    ErrorWithStatusOk,
    /// A web page with status 200.
    WebPage,
    /// A web page with status 502.
    ProxyPage,
    /// Nothing, with status 200.
    Empty,
    /// The key is wrong; the gateway's own key stands in the error if it has one.
    WrongKey,
    /// There is no such model.
    WrongModel,
    /// There is nothing at the path, as the wire's servers or a router before them say it.
    WrongPath,
    /// The conversation is too long for the model.
    TooLong,
    /// Too many requests; ask again in 7 seconds.
    RateLimited,
    /// No credit is left.
    Quota,
    /// The server has too much to do.
    Overloaded,
    /// The server failed.
    Broken,
}

/// What came of an answer.
#[derive(Debug)]
struct Outcome {
    events: Vec<ChatEvent>,
    failure: Option<LlmError>,
}

/// Runs one scenario on a wire.
#[expect(clippy::print_stdout, reason = "a skip must not look like a pass")]
pub fn run(wire: impl Wire, scenario: Scenario) {
    let skip = wire.skips().iter().find(|(skipped, _)| *skipped == scenario);
    let spelling = match (wire.spell(scenario), skip) {
        (Some(spelling), None) => spelling,
        (None, Some((_, why))) => return println!("skipped: {scenario:?}: {why}"),
        (Some(_), Some(_)) => panic!("{scenario:?} is named as a skip, but spelled"),
        (None, None) => panic!("{scenario:?} is neither spelled nor named as a skip"),
    };
    let wire: Arc<dyn Wire> = Arc::new(wire);
    let sizes =
        PIECES.into_iter().filter(|size| spelling.body.len() <= MAX_CUT || *size == usize::MAX);
    for size in sizes {
        let server = Server::start(Arc::clone(&wire), spelling.clone(), size);
        let outcome = ask(wire.gateway(&server.address()).as_ref());
        check(wire.as_ref(), scenario, &server.host(), &outcome);
    }
}

/// Asks the only question of this suite.
fn ask(gateway: &dyn LlmGateway) -> Outcome {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let asking = async {
        let mut outcome = Outcome { events: Vec::new(), failure: None };
        let mut stream = match gateway.stream(request()).await {
            Ok(stream) => stream,
            Err(error) => return Outcome { failure: Some(error), ..outcome },
        };
        while let Some(item) = stream.next().await {
            assert!(outcome.failure.is_none(), "an error is the last item");
            match item {
                Ok(event) => outcome.events.push(event),
                Err(error) => outcome.failure = Some(error),
            }
        }
        outcome
    };
    let bounded = async { tokio::time::timeout(PATIENCE, asking).await };
    let Ok(outcome) = runtime.block_on(bounded) else { panic!("the answer did not end") };
    outcome
}

fn request() -> ChatRequest {
    let tool = |name: &str, parameters| ToolSpec {
        name: name.to_owned(),
        description: "A tool.".to_owned(),
        parameters,
    };
    let path = json!({"type": "object", "properties": {"path": {"type": "string"}}});
    ChatRequest {
        model: MODEL.to_owned(),
        messages: vec![Message::user("Say hello to the world.").into()],
        tools: vec![tool("read_file", path), tool("now", json!({"type": "object"}))],
        ..ChatRequest::default()
    }
}

fn check(wire: &dyn Wire, scenario: Scenario, host: &str, outcome: &Outcome) {
    let expected = scenario.expected();
    let shown = format!("{scenario:?}: {outcome:?}");
    let mut reply = PartialReply::default();
    outcome.events.iter().for_each(|event| reply.push(event.clone()));
    assert_eq!(reply.text(), expected.text, "{shown}");
    assert_eq!(reply.reasoning(), expected.reasoning, "{shown}");
    let usage = reply.usage().map(|it| (it.input_tokens, it.output_tokens));
    assert!(expected.usage.is_none_or(|cost| usage == Some(cost)), "{shown}");
    check_events(&outcome.events, &shown);
    match (&outcome.failure, expected.end) {
        (None, End::Finished(reason)) => {
            let finished = reply.finish().unwrap_or_else(|_| panic!("a clean end: {shown}"));
            assert_eq!(finished.finish.reason, reason, "{shown}");
            assert_ne!(finished.finish.model, "", "the answer names its model: {shown}");
            check_calls(&finished.message, expected.calls, &shown);
        }
        (Some(error), End::Failed(kinds)) => {
            assert!(!reply.is_finished(), "an answer that failed has no end: {shown}");
            assert!(kinds.contains(&error.kind()), "{shown}");
            check_error(wire, error, host, &shown);
        }
        (None, End::Failed(_)) => panic!("it never ends well: {shown}"),
        (Some(_), End::Finished(_)) => panic!("it ends well: {shown}"),
    }
}

fn check_events(events: &[ChatEvent], shown: &str) {
    let empty = |event: &&ChatEvent| match event {
        ChatEvent::Text(text) | ChatEvent::Reasoning(text) => text.is_empty(),
        ChatEvent::Progress(_)
        | ChatEvent::ToolCallDelta(_)
        | ChatEvent::ToolCall(_)
        | ChatEvent::Usage(_)
        | ChatEvent::Finished(_) => false,
    };
    assert!(!events.iter().any(|event| empty(&event)), "no text is empty: {shown}");
    let ends = events.iter().filter(|it| matches!(it, ChatEvent::Finished(_))).count();
    let last = matches!(events.last(), Some(ChatEvent::Finished(_)));
    assert!(ends == 0 || (ends == 1 && last), "one end, last: {shown}");
}

fn check_calls(message: &Message, expected: &[(&str, &str)], shown: &str) {
    let read = |json: &str| serde_json::from_str::<Value>(json).unwrap();
    let calls = message.tool_calls.iter().map(|it| (it.name.as_str(), read(&it.arguments)));
    let expected = expected.iter().map(|(name, arguments)| (*name, read(arguments)));
    assert!(calls.eq(expected), "{shown}");
    let ids: HashSet<&str> = message.tool_calls.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids.len(), message.tool_calls.len(), "ids are distinct: {shown}");
    assert!(!ids.contains(""), "{shown}");
}

fn check_error(wire: &dyn Wire, error: &LlmError, host: &str, shown: &str) {
    assert!(error.to_string().contains(host), "the error names the host: {shown}");
    let hidden = wire.secret().is_none_or(|secret| !shown.contains(secret));
    assert!(hidden, "a secret shows");
    if error.kind() == LlmErrorKind::RateLimited {
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)), "{shown}");
        assert!(error.is_transient(), "{shown}");
    }
}

#[doc(hidden)]
#[macro_export]
macro_rules! __wire_cases {
    ($wire:expr; $($name:ident: $scenario:ident),+ $(,)?) => {
        $(
            #[test]
            fn $name() {
                $crate::wire_suite::run($wire, $crate::wire_suite::Scenario::$scenario);
            }
        )+
    };
}

/// Runs every scenario on the [`Wire`](crate::wire_suite::Wire) that `$wire` makes.
#[macro_export]
macro_rules! llm_wire_suite {
    ($wire:expr) => {
        $crate::__wire_cases! {
            $wire;
            text: Text, usage: Usage, reasoning: Reasoning, call: Call, two_calls: TwoCalls,
            no_arguments: NoArguments, no_call_ids: NoCallIds, same_call_ids: SameCallIds,
            no_index: NoIndex, length: Length, filter: Filter, unknown: Unknown,
            keep_alive: KeepAlive, cr_lf: CrLf, content_type: ContentType, whole: Whole,
            half_character: HalfCharacter, tiny_pieces: TinyPieces, cut_before: CutBefore,
            cut_after: CutAfter, ends_early: EndsEarly, stall_before: StallBefore,
            stall_after: StallAfter, bad_json: BadJson, long_line: LongLine,
            error_before: ErrorBefore, error_after: ErrorAfter,
            error_with_status_ok: ErrorWithStatusOk, web_page: WebPage, proxy_page: ProxyPage,
            empty: Empty, wrong_key: WrongKey, wrong_model: WrongModel, wrong_path: WrongPath,
            too_long: TooLong, rate_limited: RateLimited, quota: Quota, overloaded: Overloaded,
            broken: Broken,
        }
    };
}
