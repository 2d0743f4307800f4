//! What a server says in the body of an error, in whichever shape it says it.
//!
//! It only reads. Which kind of failure that is decides [`crate::Refusal`].

use serde_json::{Map, Value};

/// What a server said in the body of an error; every field may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorBody {
    /// The sentence for people; empty when there is none.
    pub message: String,
    /// The `type`.
    pub kind: Option<String>,
    /// The `code`; a number as its digits.
    pub code: Option<String>,
    /// The request field that is to blame.
    pub param: Option<String>,
}

impl ErrorBody {
    /// Reads any body: nested or flat JSON, a string, FastAPI's `detail`, plain text, HTML, nothing.
    #[must_use]
    pub fn read(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let json = serde_json::from_str(&crate::repair_surrogates(&text)).unwrap_or(Value::Null);
        // Gemini puts its error into a list.
        if let Some(object) = json.as_object().or_else(|| json.get(0)?.as_object()) {
            return Self::of_object(object);
        }
        let text = text.trim();
        let readable = !text.starts_with(['<', '{', '[']);
        let message = if readable { text } else { "" }.to_owned();
        Self { message, ..Self::default() }
    }

    fn of_object(object: &Map<String, Value>) -> Self {
        match object.get("error") {
            Some(Value::Object(nested)) => Self::of_fields(nested),
            Some(Value::String(message)) => {
                Self { message: message.clone(), ..Self::of_fields(object) }
            }
            _ => match object.get("detail") {
                Some(detail) if !object.contains_key("message") => Self::of_detail(detail),
                _ => Self::of_fields(object),
            },
        }
    }

    fn of_fields(fields: &Map<String, Value>) -> Self {
        // Mistral puts FastAPI's body in the place of the sentence.
        if let Some(detail) = fields.get("message").and_then(|it| it.get("detail")) {
            return Self::of_detail(detail);
        }
        let field = |name| fields.get(name).and_then(scalar);
        Self {
            message: field("message").unwrap_or_default(),
            kind: field("type"),
            code: field("code"),
            param: field("param"),
        }
    }

    /// FastAPI's: a sentence, or a list of `{loc, msg}` of which the first is taken.
    fn of_detail(detail: &Value) -> Self {
        let Value::Array(problems) = detail else {
            return Self { message: scalar(detail).unwrap_or_default(), ..Self::default() };
        };
        let first = problems.first();
        let message = first.and_then(|it| it.get("msg")).and_then(scalar).unwrap_or_default();
        let place = first.and_then(|it| it.get("loc")).and_then(Value::as_array);
        let param = place.and_then(|it| it.iter().rev().find_map(Value::as_str)).map(str::to_owned);
        Self { message, param, ..Self::default() }
    }
}

/// A string or a number as text; empty text and everything else is nothing.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ErrorBody;

    fn check(body: &str, expected: [&str; 4]) {
        let read = ErrorBody::read(body.as_bytes());
        let text = |field: Option<String>| field.unwrap_or_default();
        let fields = [read.message, text(read.kind), text(read.code), text(read.param)];
        assert_eq!(fields, expected, "{body}");
    }

    #[test]
    fn every_known_shape_is_read() {
        check(
            r#"{"error":{"message":"m","type":"t","param":"p","code":"c"}}"#,
            ["m", "t", "c", "p"],
        );
        check(
            r#"{"error":{"message":"m","type":null,"param":null,"code":503}}"#,
            ["m", "", "503", ""],
        );
        check(
            r#"{"error":{"code":"DeploymentNotFound","message":"m"}}"#,
            ["m", "", "DeploymentNotFound", ""],
        );
        check(r#"{"error":"m"}"#, ["m", "", "", ""]);
        check(
            r#"{"object":"error","message":"m","type":"BadRequestError","code":400}"#,
            ["m", "BadRequestError", "400", ""],
        );
        check(r#"{"message":"m","type":"t","code":"c"}"#, ["m", "t", "c", ""]);
        check(r#"{"detail":"m"}"#, ["m", "", "", ""]);
        check(r#"{"detail":[{"loc":["body","seed",0],"msg":"m"}]}"#, ["m", "", "", "seed"]);
        check(
            r#"{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","seed"],"msg":"m"}]}}"#,
            ["m", "", "", "seed"],
        );
        check(r#"{"detail":[]}"#, ["", "", "", ""]);
        check(r#"[{"error":{"code":400,"message":"m"}}]"#, ["m", "", "400", ""]);
        check("", ["", "", "", ""]);
        check("upstream connect error\n", ["upstream connect error", "", "", ""]);
        check("<html><body>502 Bad Gateway</body></html>", ["", "", "", ""]);
        check(r#"{"error":{"message":"cut"#, ["", "", "", ""]);
        check(r#"{"error":{"message":"\ud800"}}"#, ["\u{FFFD}", "", "", ""]);
    }
}
