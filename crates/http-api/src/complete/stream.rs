//! A gap that is filled as Server-Sent Events.

use axum::response::{Response, sse::Event};
use brain_core::llm::{ChatEvent, ChatStream};
use futures_util::{
    StreamExt,
    stream::{self, TryStreamExt},
};
use serde::Serialize;
use tokio::time::{Instant, timeout, timeout_at};

use super::{Asked, Filling, time_up};
use crate::{api::App, error::ApiError, sse};

/// More of the text.
#[derive(Serialize)]
struct Delta<'a> {
    text: &'a str,
}

/// What ended a stream before its end.
#[derive(Serialize)]
struct Failed<'a> {
    error: Fault<'a>,
}

#[derive(Serialize)]
struct Fault<'a> {
    code: &'a str,
    message: &'a str,
}

/// A stream under way.
struct State {
    app: App,
    /// `None` once the last event was told.
    filling: Option<Filling>,
    events: ChatStream,
    deadline: Instant,
}

/// Fills a gap event by event. What fails before anything came, and within the time of a heartbeat,
/// fails with a status. Dropping the answer's body stops the model.
pub(super) async fn open(app: &App, asked: Asked) -> Result<Response, ApiError> {
    let deadline = Instant::now() + app.brain.config().limits.turn_time;
    let (llm, request) = (app.brain.ports().llm.clone(), asked.request.clone());
    let opening = async move { llm.complete_text(request).await };
    let mut events: ChatStream = stream::once(opening).try_flatten().boxed();
    let first = timeout(app.config.heartbeat, events.next()).await;
    let first = first.ok().flatten().transpose()?;
    let events = stream::iter(first.map(Ok)).chain(events).boxed();
    let filling = Some(Filling::new(app, asked));
    let state = State { app: app.clone(), filling, events, deadline };
    Ok(sse::respond(app.config.heartbeat, stream::unfold(state, next).map(Ok)))
}

/// The next event to tell; `None` after the last.
async fn next(mut state: State) -> Option<(Event, State)> {
    let mut filling = state.filling.take()?;
    loop {
        let Ok(event) = timeout_at(state.deadline, state.events.next()).await else {
            return Some((failed(&time_up()), state));
        };
        let event = match event.transpose() {
            Ok(Some(event)) => event,
            Ok(None) => return Some((last(&state.app, filling), state)),
            Err(error) => return Some((failed(&error.into()), state)),
        };
        let told = frame(&event);
        if let Err(error) = filling.push(event) {
            return Some((failed(&error), state));
        }
        if let Some(told) = told {
            state.filling = Some(filling);
            return Some((told, state));
        }
    }
}

/// What is told of what came; a gap is filled with text only.
fn frame(event: &ChatEvent) -> Option<Event> {
    match event {
        ChatEvent::Text(text) => Some(sse::event(None, "text.delta", &Delta { text })),
        ChatEvent::Progress(progress) => Some(sse::event(None, "model.progress", progress)),
        ChatEvent::Reasoning(_)
        | ChatEvent::ToolCallDelta(_)
        | ChatEvent::ToolCall(_)
        | ChatEvent::Usage(_)
        | ChatEvent::Finished(_) => None,
    }
}

fn last(app: &App, filling: Filling) -> Event {
    let counter = app.brain.ports().llm.tokens(&filling.asked.request.model);
    match filling.finish(&*counter) {
        Ok(filled) => sse::event(None, "completed", &filled),
        Err(error) => failed(&error.into()),
    }
}

fn failed(error: &ApiError) -> Event {
    error.log();
    let (code, message) = (error.code(), error.detail());
    sse::event(None, "failed", &Failed { error: Fault { code, message } })
}
