//! Members of JSON objects, as far as they are there.

use serde_json::Value;

/// The array that is the member `name` of an object; empty if there is none.
#[must_use]
pub fn array_of<'a>(object: &'a Value, name: &str) -> &'a [Value] {
    object.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The text that is the member `name` of an object; empty if there is none.
#[must_use]
pub fn text_of<'a>(object: &'a Value, name: &str) -> &'a str {
    object.get(name).and_then(Value::as_str).unwrap_or_default()
}
