//! Server-Sent Events from a blocking reader: lines to events. It knows no turn.

use std::io::{self, BufRead};

use serde_json::Value;

/// One event.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Event {
    /// Its number; 0 if it has none.
    pub(crate) id: u64,
    /// Its name.
    pub(crate) name: String,
    /// What it carries.
    pub(crate) data: Value,
}

/// The next event; `None` when the body has ended. Comments are passed over.
pub(crate) fn next_event(body: &mut impl BufRead) -> io::Result<Option<Event>> {
    let (mut event, mut data, mut line) = (Event::default(), String::new(), String::new());
    loop {
        line.clear();
        if body.read_line(&mut line)? == 0 {
            // What is not followed by an empty line is no event.
            return Ok(None);
        }
        let text = line.trim_end_matches(['\n', '\r']);
        let (field, value) = text.split_once(':').unwrap_or((text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" if text.is_empty() && !data.is_empty() => {
                event.data = serde_json::from_str(&data)?;
                return Ok(Some(event));
            }
            "id" => event.id = value.parse().unwrap_or(0),
            "event" => value.clone_into(&mut event.name),
            "data" => {
                data.push_str(if data.is_empty() { "" } else { "\n" });
                data.push_str(value);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
