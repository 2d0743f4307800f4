//! Every fault of a model server, on every wire, through the whole adapter.
//!
//! An answer ends well only if it is whole; else it ends in exactly one error, which names the host
//! and shows no key. What each fault comes to is kept in `docs/PROVIDERS.md`: `UPDATE_DOCS=1` writes
//! it there, else it must stand there.

mod table;

use std::{fmt, sync::Arc, time::Duration};

use brain_core::{
    chat::Message,
    llm::{
        ChatEvent, ChatRequest, ChatStream, CompletionRequest, EmbedRequest, LlmError,
        LlmErrorKind, LlmGateway,
    },
};
use brain_testkit::{
    Answer,
    model_server::{Fault, ModelServer, Reply, ServerConfig, Wire},
};
use futures_util::{StreamExt, stream};
use llm_ollama::{OllamaConfig, OllamaGateway};
use llm_openai::{OpenAiConfig, OpenAiGateway, Timeouts};

/// The key of every gateway; must never come back.
const KEY: &str = "sk-test-hunter2-hunter2";

/// What the model says, longer than any fault's number of bytes.
const SAYS: [&str; 3] = [
    "The river carries what the rain has left on the hills, and asks nobody for more than that. ",
    "Whoever stands at its side for a while forgets the hour and hears the stones turn over. ",
    "Then the lamp is lit in the house under the trees, and the night may come as it likes.",
];

/// Cases under way at once.
const AT_ONCE: usize = 24;

/// Longest that a case may take; gateways lose patience much sooner.
const LIMIT: Duration = Duration::from_secs(60);

/// How an answer is asked for, and given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// A chat, answered by a stream.
    Stream,
    /// A chat, answered in one piece by a server that knows no streams.
    Whole,
    /// A gap in a text, which TabbyML answers in one piece.
    Gap,
    /// Texts, answered by vectors.
    Vectors,
}

/// What is asked for, and of whom.
const COLUMNS: &[(Shape, Wire)] = &[
    (Shape::Stream, Wire::OpenAi),
    (Shape::Stream, Wire::Azure),
    (Shape::Stream, Wire::TabbyMl),
    (Shape::Stream, Wire::Ollama),
    (Shape::Whole, Wire::OpenAi),
    (Shape::Whole, Wire::Azure),
    (Shape::Gap, Wire::TabbyMl),
    (Shape::Whole, Wire::Ollama),
    (Shape::Vectors, Wire::OpenAi),
    (Shape::Vectors, Wire::Azure),
    (Shape::Vectors, Wire::Ollama),
];

/// What became of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// It is all there.
    Whole,
    /// It ended in an error.
    Failed { kind: LlmErrorKind, text_kept: bool, retry_after: Option<Duration> },
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Failed { kind, text_kept, retry_after } = self else {
            return f.write_str("the answer");
        };
        f.write_str(kind.code())?;
        if *text_kept {
            f.write_str(", text kept")?;
        }
        retry_after.map_or(Ok(()), |it| write!(f, ", wait {} s", it.as_secs()))
    }
}

/// A server with one answer and its fault, for requests of this shape.
fn server(shape: Shape, wire: Wire, fault: Fault) -> ModelServer {
    let answer = SAYS.iter().fold(Answer::new(), |answer, text| answer.say(*text));
    let answer = answer
        .call("call_a", "read", r#"{"path":"a"}"#)
        .call("call_b", "read", r#"{"path":"b"}"#)
        .usage(10, 90)
        .finish();
    let reply = Reply::from(answer).with(fault);
    let reply = match (shape, wire) {
        (Shape::Stream | Shape::Whole | Shape::Gap, _) => reply,
        (Shape::Vectors, Wire::Ollama) => reply.at("/api/embed"),
        (Shape::Vectors, Wire::OpenAi | Wire::Azure | Wire::TabbyMl) => reply.at("/embeddings"),
    };
    let streams = shape == Shape::Stream;
    let config = ServerConfig { script: vec![reply], streams, ..ServerConfig::default() };
    ModelServer::with(config).unwrap()
}

/// The adapter of the wire, which waits for a byte no longer than three seconds.
fn gateway(server: &ModelServer, wire: Wire) -> Arc<dyn LlmGateway> {
    let url = server.base_url(wire);
    let patience = Duration::from_secs(3);
    let timeouts =
        Timeouts { connect: Duration::from_secs(10), first_byte: patience, idle: patience };
    let (api_key, embedding_model) = (Some(KEY.to_owned().into()), Some("mock-embed".to_owned()));
    let config = match wire {
        Wire::Ollama => {
            let config = OllamaConfig::new(url, "mock");
            let config = OllamaConfig { api_key, embedding_model, timeouts, ..config };
            return Arc::new(OllamaGateway::new(config).unwrap());
        }
        Wire::OpenAi => OpenAiConfig::new(url, "mock"),
        Wire::Azure => OpenAiConfig::azure(url, "mock", Some("2024-10-21".to_owned())),
        Wire::TabbyMl => OpenAiConfig::tabbyml(url, "mock"),
    };
    let config = OpenAiConfig { api_key, embedding_model, timeouts, ..config };
    Arc::new(OpenAiGateway::new(config).unwrap())
}

/// What became of an answer of this shape with this fault; an error says what must not be.
async fn outcome(shape: Shape, wire: Wire, fault: Fault) -> Result<Outcome, String> {
    let server = server(shape, wire, fault);
    let gateway = gateway(&server, wire);
    let end = match shape {
        Shape::Stream | Shape::Whole => {
            let messages = vec![Arc::new(Message::user("What do you see?"))];
            let request = ChatRequest { messages, ..ChatRequest::default() };
            chat(gateway.stream(request).await, 2).await?
        }
        Shape::Gap => {
            let request = CompletionRequest { prefix: "fn ".to_owned(), ..Default::default() };
            chat(gateway.complete_text(request).await, 0).await?
        }
        Shape::Vectors => {
            let inputs = vec!["one text".to_owned(), "another".to_owned()];
            let made = gateway.embed(EmbedRequest { model: String::new(), inputs }).await;
            match made {
                Ok(made) if made.vectors.len() == 2 => None,
                Ok(made) => return Err(format!("{} vectors of two texts", made.vectors.len())),
                Err(error) => Some((error, false)),
            }
        }
    };
    let Some((error, text_kept)) = end else { return Ok(Outcome::Whole) };
    let said = format!("{error} {error:?}");
    if !error.to_string().contains(&server.address().to_string()) || said.contains("hunter2") {
        return Err(format!("the error names no host, or shows the key: {said}"));
    }
    let (kind, retry_after) = (error.kind(), error.retry_after());
    Ok(Outcome::Failed { kind, text_kept, retry_after })
}

/// How an answer failed, and whether some text had come before; `None` if it is whole.
type End = Option<(LlmError, bool)>;

/// Reads an answer to its end. One that ends well must be whole, with so many `calls`.
async fn chat(stream: Result<ChatStream, LlmError>, calls: usize) -> Result<End, String> {
    let mut stream = match stream {
        Ok(stream) => stream,
        Err(error) => return Ok(Some((error, false))),
    };
    let (mut text, mut called, mut finished) = (String::new(), Vec::new(), 0);
    while let Some(item) = stream.next().await {
        match item {
            Ok(ChatEvent::Text(more)) => text += &more,
            Ok(ChatEvent::ToolCall(call)) => called.push(call.arguments),
            Ok(ChatEvent::Finished(_)) => finished += 1,
            Ok(_) => {}
            Err(error) if stream.next().await.is_some() => {
                return Err(format!("something follows {error:?}"));
            }
            Err(error) if finished != 0 => return Err(format!("a clean end before {error:?}")),
            Err(error) => return Ok(Some((error, !text.is_empty()))),
        }
    }
    let all_said = SAYS.iter().all(|it| text.contains(it));
    let all_called = called.len() == calls && called.iter().all(|it| it.contains("path"));
    if finished == 1 && all_said && all_called {
        return Ok(None);
    }
    Err(format!("{finished} clean ends of {called:?} and {text:.300?}"))
}

/// The outcome, if it is what such a fault may come to.
fn check(shape: Shape, fault: Fault, outcome: Outcome) -> Result<Outcome, String> {
    // One long line is all that a document is.
    let may_be_read = matches!(fault, Fault::LongLine(_)) && shape != Shape::Stream;
    let asked = match fault {
        Fault::Status { retry_after, .. } => retry_after.map(|it| Duration::from_secs(it.into())),
        _ => None,
    };
    let is_right = match &outcome {
        Outcome::Whole => fault.is_harmless() || may_be_read,
        Outcome::Failed { retry_after, .. } => !fault.is_harmless() && *retry_after == asked,
    };
    if is_right { Ok(outcome) } else { Err(format!("it comes to: {outcome}")) }
}

/// The outcome of a case, or what must not be.
async fn settled(fault: Fault, shape: Shape, wire: Wire) -> Result<Outcome, String> {
    let outcome = tokio::time::timeout(LIMIT, outcome(shape, wire, fault)).await;
    let outcome = outcome.unwrap_or_else(|_| Err("it never ends".to_owned()));
    let checked = outcome.and_then(|it| check(shape, fault, it));
    checked.map_err(|what| format!("{fault} on {wire:?}, {shape:?}: {what}"))
}

#[test]
fn every_fault_on_every_wire() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let faults = Fault::all();
    let cases = faults.iter().flat_map(|fault| COLUMNS.iter().map(|column| (*fault, *column)));
    let cases = cases.map(|(fault, (shape, wire))| runtime.spawn(settled(fault, shape, wire)));
    let outcomes = runtime.block_on(stream::iter(cases).buffered(AT_ONCE).collect::<Vec<_>>());
    let outcomes: Vec<Result<Outcome, String>> = outcomes.into_iter().map(Result::unwrap).collect();
    let broken: Vec<&String> = outcomes.iter().filter_map(|it| it.as_ref().err()).collect();
    assert!(broken.is_empty(), "{broken:#?}");
    let outcomes: Vec<Outcome> = outcomes.into_iter().flatten().collect();
    let rows: Vec<(Fault, &[Outcome])> =
        faults.iter().copied().zip(outcomes.chunks(COLUMNS.len())).collect();
    table::compare(&table::render(&rows));
}
