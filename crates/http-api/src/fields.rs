//! What a client may give a session beside its entries: a title, a system prompt, a model and
//! metadata.

use brain_core::{
    json::RawJson,
    memory::{ExportedEntry, ExportedSession},
};
use serde_json::value::RawValue;

use crate::{body::without_place, error::ApiError};

/// Most bytes of a session's title.
const MAX_TITLE_BYTES: usize = 1_024;
/// Most bytes of a system prompt.
pub const MAX_SYSTEM_BYTES: usize = 64 * 1024;
/// Most bytes of the name of a model.
const MAX_MODEL_BYTES: usize = 512;
/// Most texts that end an answer.
const MAX_STOPS: usize = 16;
/// Most bytes of a session's metadata.
const MAX_METADATA_BYTES: usize = 64 * 1024;

/// Refuses a title that would make lists of sessions huge.
pub(crate) fn check_title(title: Option<&str>) -> Result<(), ApiError> {
    if title.is_some_and(|it| MAX_TITLE_BYTES < it.len()) {
        let detail = format!("`title` must have at most {MAX_TITLE_BYTES} bytes");
        return Err(ApiError::invalid(detail));
    }
    Ok(())
}

/// Refuses a system prompt that leaves no model room for a message.
pub(crate) fn check_system(system: Option<&str>) -> Result<(), ApiError> {
    check_prompt("system", system)
}

/// The same of a field of another name.
pub(crate) fn check_prompt(name: &str, prompt: Option<&str>) -> Result<(), ApiError> {
    if prompt.is_some_and(|it| MAX_SYSTEM_BYTES < it.len()) {
        let detail = format!(
            "`{name}` must have at most {MAX_SYSTEM_BYTES} bytes; shorten it, and put long texts \
             into messages"
        );
        return Err(ApiError::invalid(detail));
    }
    Ok(())
}

/// Refuses a name that no model has.
pub(crate) fn check_model(name: Option<&str>) -> Result<(), ApiError> {
    if name.is_some_and(|it| MAX_MODEL_BYTES < it.len()) {
        let detail = format!("`model` must have at most {MAX_MODEL_BYTES} bytes");
        return Err(ApiError::invalid(detail));
    }
    if name.is_some_and(|it| !it.is_empty() && it.trim().is_empty()) {
        return Err(ApiError::invalid("`model` is blank; name one, or leave it out"));
    }
    Ok(())
}

/// Refuses texts that would end every answer, and too many of them.
pub(crate) fn check_stops(name: &str, stops: &[String]) -> Result<(), ApiError> {
    if MAX_STOPS < stops.len() || stops.iter().any(String::is_empty) {
        let detail = format!("`{name}` must be at most {MAX_STOPS} texts, none of them empty");
        return Err(ApiError::invalid(detail));
    }
    Ok(())
}

/// Reads metadata as a client sends it. What would keep others from reading a list of sessions is
/// refused.
pub(crate) fn read_metadata(metadata: &RawValue) -> Result<RawJson, ApiError> {
    parse_metadata(metadata.get())
}

fn parse_metadata(text: &str) -> Result<RawJson, ApiError> {
    if !text.starts_with('{') || MAX_METADATA_BYTES < text.len() {
        let detail =
            format!("`metadata` must be a JSON object of at most {MAX_METADATA_BYTES} bytes");
        return Err(ApiError::invalid(detail));
    }
    RawJson::parse_strict(text)
        .map_err(|error| ApiError::invalid(format!("`metadata`: {}", without_place(&error))))
}

/// Refuses a session of an import that no client could make, or not everybody could read.
pub(crate) fn check_session(session: &ExportedSession) -> Result<(), ApiError> {
    check_title(session.title.as_deref())?;
    check_system(session.system.as_deref())?;
    check_model(session.model.as_deref())?;
    if let Some(metadata) = &session.metadata {
        parse_metadata(metadata.as_str())?;
    }
    session.entries.iter().try_for_each(check_extra)
}

fn check_extra(entry: &ExportedEntry) -> Result<(), ApiError> {
    let Some(extra) = &entry.entry.message.extra else { return Ok(()) };
    RawJson::parse_strict(extra.as_str()).map(drop).map_err(|error| {
        let (seq, why) = (entry.seq, without_place(&error));
        ApiError::invalid(format!("`extra` of entry {seq}: {why}"))
    })
}
