//! From a connection to an answer: reads requests, asks the wire, sends what it says.

use std::{io, sync::Arc, time::Duration};

use brain_core::llm::{ChatRequest, ChatStream, LlmError, LlmGateway};
use bytes::Bytes;
use futures_util::future::pending;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};

use super::{
    At, Fault, Reply, Wire, azure,
    call::{Call, Generation, Outcome},
    frame::{self, Framing},
    link::{Breaker, Link},
    ollama, openai,
    play::{self, Body, Stage},
    prompt::Prompt,
    record::{Asked, Shared, Ticket},
    refusal::{Refusal, RefusalBody},
    tabby,
};
use crate::ScriptedLlm;

/// What a proxy sends when the server behind it is gone.
const WEB_PAGE: &str = "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\n";

/// Streams on one connection of HTTP/2, as most servers allow.
const MAX_STREAMS: u32 = 100;

/// Accepts connections until it is dropped.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely.
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        let mut number = 0;
        shared.change(|it| {
            number = it.connections;
            it.connections += 1;
        });
        connections.spawn(serve(stream, number, Arc::clone(&shared)));
    }
}

async fn serve(stream: TcpStream, number: usize, shared: Arc<Shared>) {
    // Without it each piece may wait for an acknowledgement; a socket that is gone needs neither.
    stream.set_nodelay(true).ok();
    let breaker = Arc::new(Breaker::default());
    let link = Link::new(stream, Arc::clone(&breaker));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http2().max_concurrent_streams(MAX_STREAMS);
    let service =
        service_fn(|request| handle(request, number, Arc::clone(&breaker), Arc::clone(&shared)));
    // Clients that hang up and faults end connections by errors; both are recorded already.
    builder.serve_connection(TokioIo::new(link), service).await.ok();
}

async fn handle(
    request: Request<Incoming>,
    connection: usize,
    breaker: Arc<Breaker>,
    shared: Arc<Shared>,
) -> Result<Response<Body>, io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let asked = Asked::new(connection, parts, body);
    let ticket = Ticket::new(&shared, asked.clone());
    let Some(call) = Call::read(&asked, ticket.number(), &shared) else {
        let refusal = Refusal::text(404, "404 page not found");
        return respond(refused(refusal), Stage::plain(ticket, breaker));
    };
    let outcome = dispatch(&call);
    let generates = matches!(&outcome, Ok(Outcome::Generate(it)) if it.takes_script);
    let reply = shared.next_reply(&asked.path, generates);
    let of_script = reply.as_ref().and_then(|it| it.fault);
    let (fault, outcome) = match call.fault() {
        Ok(fault) => (fault.or(of_script), outcome),
        Err(refusal) => (None, Err(refusal)),
    };
    let mut stage = Stage { fault, pace: shared.config.pace(), ticket, breaker };
    head_fault(&mut stage).await?;
    if let Some(answer) = instead(call.wire, fault) {
        return respond(answer, stage);
    }
    let answer = match outcome {
        Ok(Outcome::Json(value)) => Answer::json(value),
        Ok(Outcome::Text(text)) => Answer::text(200, text),
        Ok(Outcome::Generate(generation)) => generate(&call, generation, reply, fault).await,
        Err(refusal) => refused(refusal),
    };
    respond(Answer { error: error_body(call.wire), ..answer }, stage)
}

fn dispatch(call: &Call) -> Result<Outcome, Refusal> {
    match call.wire {
        Wire::OpenAi => openai::answer(call),
        Wire::Azure => azure::answer(call),
        Wire::TabbyMl => tabby::answer(call),
        Wire::Ollama => ollama::answer(call),
    }
}

/// What is sent back.
struct Answer {
    status: u16,
    retry_after: Option<u32>,
    content: Content,
    /// In place of the JSON, if it fails.
    error: Value,
}

enum Content {
    Json(Value),
    Text(&'static str, String),
    Stream(ChatStream, Box<dyn super::speaker::Speaker>),
}

impl Answer {
    fn json(value: Value) -> Self {
        Self { status: 200, retry_after: None, content: Content::Json(value), error: Value::Null }
    }

    fn text(status: u16, text: &str) -> Self {
        let content = Content::Text("text/plain; charset=utf-8", text.to_owned());
        Self { status, retry_after: None, content, error: Value::Null }
    }
}

fn refused(refusal: Refusal) -> Answer {
    let content = match refusal.body {
        RefusalBody::Empty => Content::Text("", String::new()),
        RefusalBody::Text(text) => Content::Text("text/plain; charset=utf-8", text),
        RefusalBody::Json(value) => Content::Json(value),
    };
    let Refusal { status, retry_after, .. } = refusal;
    Answer { status, retry_after, content, error: Value::Null }
}

fn error_body(wire: Wire) -> Value {
    let failed =
        Refusal::by_status(if wire == Wire::Ollama { wire } else { Wire::OpenAi }, 500, None);
    match failed.body {
        RefusalBody::Json(value) => value,
        RefusalBody::Empty | RefusalBody::Text(_) => Value::Null,
    }
}

/// What is sent instead of any answer.
fn instead(wire: Wire, fault: Option<Fault>) -> Option<Answer> {
    if let Some(Fault::Status { status, retry_after }) = fault {
        return Some(refused(Refusal::by_status(wire, status, retry_after)));
    }
    (fault == Some(Fault::Html)).then(|| {
        let content = Content::Text("text/html; charset=utf-8", WEB_PAGE.to_owned());
        Answer { content, ..Answer::text(502, "") }
    })
}

/// Lets happen what happens before the head.
async fn head_fault(stage: &mut Stage) -> io::Result<()> {
    let Some(fault) = frame::happens(stage.fault, At::Head) else { return Ok(()) };
    if matches!(fault, Fault::Stall(_)) {
        pending::<()>().await;
    }
    if matches!(fault, Fault::Reset(_)) {
        stage.breaker.reset();
    }
    stage.ticket.finish();
    Err(io::ErrorKind::ConnectionAborted.into())
}

/// What a model says: the script's answer, the wire's own, or the seed's.
async fn generate(
    call: &Call,
    generation: Generation,
    reply: Option<Reply>,
    fault: Option<Fault>,
) -> Answer {
    let Generation { prompt, mut speaker, streams, answer, .. } = generation;
    let scripted = reply.and_then(|it| it.answer).or(answer);
    let answer = scripted.unwrap_or_else(|| seeded(call, &prompt));
    let events = match ScriptedLlm::new([answer]).stream(ChatRequest::default()).await {
        Ok(events) => events,
        Err(error) => return failed(call.wire, &error),
    };
    if streams && call.shared.config.streams {
        let content = Content::Stream(events, speaker);
        return Answer { status: 200, retry_after: None, content, error: Value::Null };
    }
    match play::collect(events, fault).await {
        Ok(whole) => Answer::json(speaker.whole(whole)),
        Err(error) => failed(call.wire, &error),
    }
}

fn seeded(call: &Call, prompt: &Prompt) -> crate::Answer {
    prompt.answer(call.shared.config.seed)
}

fn failed(wire: Wire, error: &LlmError) -> Answer {
    refused(Refusal::of(wire, error.kind(), &error.to_string()))
}

/// Sends the answer as the fault has it.
fn respond(answer: Answer, stage: Stage) -> Result<Response<Body>, io::Error> {
    let fault = stage.fault;
    stage.ticket.begin(answer.status);
    let number = stage.ticket.number();
    let (content_type, length, body) = match answer.content {
        Content::Stream(events, speaker) => {
            let content_type = speaker.framing().content_type();
            (content_type, None, play::streamed(events, speaker, stage))
        }
        Content::Json(value) => {
            let data = play::whole_text(value, answer.error, fault);
            let ends_early = matches!(fault, Some(Fault::End(_)));
            let length = (!ends_early).then_some(data.len());
            (Framing::Whole.content_type(), length, play::whole(data, stage))
        }
        Content::Text(content_type, text) => {
            let length = text.len();
            (content_type, Some(length), play::whole(text.into_bytes(), stage))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(answer.status).map_err(io::Error::other)?;
    let headers = response.headers_mut();
    let lie = fault == Some(Fault::ContentType);
    let content_type = if lie { "text/html; charset=utf-8" } else { content_type };
    if !content_type.is_empty() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    if let Some(after) = answer.retry_after {
        headers.insert(header::RETRY_AFTER, after.into());
    }
    let id = HeaderValue::from_str(&format!("req-{number:08}")).map_err(io::Error::other)?;
    headers.insert("x-request-id", id);
    Ok(response)
}

impl Stage {
    fn plain(ticket: Ticket, breaker: Arc<Breaker>) -> Self {
        Self { fault: None, pace: None, ticket, breaker }
    }
}

impl Asked {
    fn new(connection: usize, parts: http::request::Parts, body: Bytes) -> Self {
        Self {
            at: std::time::Instant::now(),
            connection,
            version: parts.version,
            method: parts.method,
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers,
            body,
            status: None,
            answered: None,
            dropped: None,
        }
    }
}
