//! Filling a gap in a text, as JSON and as events. Nothing of it is remembered.

mod request;
mod stream;

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use brain_core::{
    chat::Usage,
    llm::{ChatEvent, FinishReason, LlmError, PartialReply, TokenCounter},
};
use futures_util::TryStreamExt;
use http::StatusCode;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use self::request::{Asked, CompleteBody};
use crate::{api::App, body, error::ApiError, extract::accepts};

/// A filled gap.
#[derive(Debug, Serialize)]
struct Filled {
    text: String,
    /// Who filled it, as the provider says.
    model: String,
    usage: Usage,
    finish_reason: FinishReason,
}

/// What fills a gap, as far as it has come.
#[derive(Debug)]
struct Filling {
    asked: Asked,
    reply: PartialReply,
    max_bytes: usize,
}

impl Filling {
    fn new(app: &App, asked: Asked) -> Self {
        let max_bytes = app.brain.config().limits.answer_bytes;
        Self { asked, reply: PartialReply::default(), max_bytes }
    }

    /// Takes the next event.
    fn push(&mut self, event: ChatEvent) -> Result<(), ApiError> {
        self.reply.push(event);
        if self.max_bytes < self.reply.text().len() + self.reply.reasoning().len() {
            let max = self.max_bytes;
            let detail = format!("the model said more than {max} bytes; set `max_tokens`");
            return Err(ApiError::new(StatusCode::BAD_GATEWAY, "answer_too_long", detail));
        }
        Ok(())
    }

    /// All of it, once it has ended; the cost is estimated where the provider did not say.
    fn finish(self, counter: &dyn TokenCounter) -> Result<Filled, LlmError> {
        let Self { asked, reply, .. } = self;
        let reply = reply.finish()?;
        let text = reply.message.joined_text();
        let count = |text: &str| counter.text(text).count;
        let usage = reply.usage.unwrap_or_else(|| Usage {
            input_tokens: count(&asked.request.prefix) + count(&asked.request.suffix),
            output_tokens: count(&text),
            estimated: true,
            ..Usage::default()
        });
        Ok(Filled { text, model: reply.finish.model, usage, finish_reason: reply.finish.reason })
    }
}

/// Fills a gap. Whoever leaves meanwhile drops this, and with it the model's work.
pub(crate) async fn post(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let wants_events = accepts(request.headers(), "text/event-stream");
    let body: CompleteBody = body::json(&app, request).await?;
    let streams = body.stream.unwrap_or(wants_events);
    let asked = body.read(&app).await?;
    if streams {
        return stream::open(&app, asked).await;
    }
    let deadline = Instant::now() + app.brain.config().limits.turn_time;
    let filled = timeout_at(deadline, fill(&app, asked)).await;
    Ok(Json(filled.map_err(|_| time_up())??).into_response())
}

async fn fill(app: &App, asked: Asked) -> Result<Filled, ApiError> {
    let llm = &app.brain.ports().llm;
    let mut events = llm.complete_text(asked.request.clone()).await?;
    let mut filling = Filling::new(app, asked);
    while let Some(event) = events.try_next().await? {
        filling.push(event)?;
    }
    let counter = llm.tokens(&filling.asked.request.model);
    Ok(filling.finish(&*counter)?)
}

fn time_up() -> ApiError {
    let detail = "the model did not end in time; ask for less at once";
    ApiError::new(StatusCode::GATEWAY_TIMEOUT, "turn_timeout", detail)
}
