//! The pieces of an answer, how they become bytes, and what faults make of them.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use super::{At, Fault};

/// Bytes of an overlong piece.
const LONG_LINE_BYTES: usize = 10 * 1024 * 1024;

/// Bytes in one go of an answer that drips.
const DRIP_BYTES: usize = 16;

/// One piece of an answer.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) data: Data,
    /// Whether it holds something of the answer that can be shown.
    pub(super) is_content: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Data {
    Json(Value),
    /// `[DONE]`.
    Mark(&'static str),
}

impl Frame {
    pub(super) fn json(value: Value) -> Self {
        Self { data: Data::Json(value), is_content: false }
    }

    pub(super) fn content(value: Value) -> Self {
        Self { data: Data::Json(value), is_content: true }
    }

    pub(super) fn mark(text: &'static str) -> Self {
        Self { data: Data::Mark(text), is_content: false }
    }
}

/// How pieces are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Sse,
    Ndjson,
    /// There is only one.
    Whole,
}

impl Framing {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Sse => "text/event-stream; charset=utf-8",
            Self::Ndjson => "application/x-ndjson",
            Self::Whole => "application/json",
        }
    }

    /// The bytes of one piece.
    pub(super) fn bytes(self, text: &str, fault: Option<Fault>) -> Vec<u8> {
        let end = if fault == Some(Fault::Crlf) { "\r\n" } else { "\n" };
        let skipped = match self {
            Self::Sse => format!(": a comment{end}{end}"),
            Self::Ndjson => end.to_owned(),
            Self::Whole => format!("  {end}"),
        };
        let skipped = if fault == Some(Fault::Comments) { skipped } else { String::new() };
        let framed = match self {
            Self::Sse => format!("{skipped}data: {text}{end}{end}"),
            Self::Ndjson => format!("{skipped}{text}{end}"),
            Self::Whole if fault == Some(Fault::Crlf) => format!("{text}{end}"),
            Self::Whole => format!("{skipped}{text}"),
        };
        framed.into_bytes()
    }
}

/// What the body does next.
#[derive(Debug)]
pub(super) enum Step {
    Send(Bytes),
    Pause(Duration),
    Stall,
    Cut,
    Reset,
}

/// The text of a piece, after what a fault does to all pieces; `None` if nothing is left of it.
pub(super) fn text(data: Data, fault: Option<Fault>) -> Option<String> {
    let mut value = match data {
        Data::Mark(text) => return Some(text.to_owned()),
        Data::Json(value) => value,
    };
    match fault {
        Some(Fault::NoIndex) => remove(&mut value, &["index"]),
        Some(Fault::NoId) => remove(&mut value, &["id"]),
        Some(Fault::NoUsage) => {
            remove(&mut value, &["usage", "prompt_eval_count", "eval_count"]);
            let only_usage = value["choices"].as_array().is_some_and(Vec::is_empty);
            if only_usage && value.get("prompt_filter_results").is_none() {
                return None;
            }
        }
        Some(Fault::SameIds) => same_ids(&mut value),
        Some(_) | None => {}
    }
    Some(value.to_string())
}

/// Removes fields of these names, but none of tools' arguments.
fn remove(value: &mut Value, names: &[&str]) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !names.contains(&name.as_str()));
            let nested = fields.iter_mut().filter(|(name, _)| *name != "arguments");
            nested.for_each(|(_, it)| remove(it, names));
        }
        Value::Array(items) => items.iter_mut().for_each(|it| remove(it, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn same_ids(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for call in
                fields.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten()
            {
                if let Some(id) = call.get_mut("id") {
                    *id = Value::from("call_1");
                }
            }
            fields.values_mut().for_each(same_ids);
        }
        Value::Array(items) => items.iter_mut().for_each(same_ids),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A piece that breaks off in the middle of its JSON.
pub(super) fn broken(text: &str) -> String {
    let half = (text.len() / 2..).find(|it| text.is_char_boundary(*it)).unwrap_or_default();
    format!("{} %", &text[..half])
}

/// A text of 10 MiB without a line end.
pub(super) fn long_text() -> String {
    "long ".repeat(LONG_LINE_BYTES / 5)
}

/// The steps that send these bytes, cut as the fault has it.
pub(super) fn send(bytes: Vec<u8>, fault: Option<Fault>) -> Vec<Step> {
    if let Some(Fault::Drip(pause)) = fault {
        let pause = Duration::from_millis(pause);
        let pieces = bytes.chunks(DRIP_BYTES).map(Bytes::copy_from_slice);
        return pieces.flat_map(|it| [Step::Send(it), Step::Pause(pause)]).collect();
    }
    if fault == Some(Fault::SplitUtf8) {
        let pieces = bytes.chunk_by(|before, after| before.is_ascii() && after.is_ascii());
        return pieces.map(|it| Step::Send(Bytes::copy_from_slice(it))).collect();
    }
    vec![Step::Send(bytes.into())]
}

/// The step of a fault that ends the connection or the flow.
pub(super) fn stop(fault: Fault) -> Option<Step> {
    if matches!(fault, Fault::Cut(_)) {
        return Some(Step::Cut);
    }
    if matches!(fault, Fault::Reset(_)) {
        return Some(Step::Reset);
    }
    matches!(fault, Fault::Stall(_)).then_some(Step::Stall)
}

/// Whether the fault is to happen at this place.
pub(super) fn happens(fault: Option<Fault>, at: At) -> Option<Fault> {
    fault.filter(|it| it.place() == Some(at))
}
