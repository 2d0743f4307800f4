//! Canonical JSON text: the form in which arbitrary JSON is stored, compared and exported.
//!
//! It is not a document model. Numbers keep the text they came with, because a store that turns
//! `12345678901234567890123` into `1.2345678901234568e22` has lost something.

mod strict;

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeSeed as _, Error as _},
};
use serde_json::value::RawValue;

use self::strict::Strict;

/// Deepest nesting of lists and objects.
const MAX_DEPTH: usize = 128;
const TOO_DEEP: &str = "the value nests deeper than 128 levels";

/// One JSON value as canonical text: no white space, keys sorted, the last of equal keys wins,
/// strings escaped the way serde_json does, numbers untouched.
///
/// Two values are equal if and only if their canonical texts are.
#[derive(Clone)]
pub struct RawJson(Box<RawValue>);

impl RawJson {
    /// Deepest nesting of what a client gives: other readers stop at 128 levels, and it is shown to
    /// them within lists of ours.
    pub const MAX_STRICT_DEPTH: usize = 64;

    /// Reads one JSON value and makes it canonical.
    ///
    /// # Errors
    ///
    /// When `text` is not one JSON value, nests deeper than 128 levels, or holds a lone surrogate.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let raw: &RawValue = serde_json::from_str(text)?;
        if nests_deeper(raw.get(), MAX_DEPTH) {
            return Err(serde_json::Error::custom(TOO_DEEP));
        }
        let mut canonical = String::with_capacity(text.len());
        write_canonical(raw, &mut canonical)?;
        RawValue::from_string(canonical).map(Self)
    }

    /// Reads what a client gives: one JSON value that every reader of JSON takes. What is stored
    /// already is read by [`RawJson::parse`], whatever it is.
    ///
    /// # Errors
    ///
    /// Beside those of [`RawJson::parse`], when `text` holds a number that is too large for an
    /// `f64`, nests deeper than [`RawJson::MAX_STRICT_DEPTH`] levels, or has two members of one
    /// name in an object.
    pub fn parse_strict(text: &str) -> Result<Self, serde_json::Error> {
        let mut reader = serde_json::Deserializer::from_str(text);
        Strict::new(Self::MAX_STRICT_DEPTH).deserialize(&mut reader)?;
        reader.end()?;
        Self::parse(text)
    }

    /// The canonical form of anything that serialises.
    ///
    /// # Errors
    ///
    /// When `value` does not serialise to JSON.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        Self::parse(&serde_json::to_string(value)?)
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Whether the value is a JSON object.
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.as_str().starts_with('{')
    }
}

/// Whether lists and objects of a JSON text nest deeper than `limit`. serde_json does not count
/// the levels that a [`RawValue`] skips.
fn nests_deeper(json: &str, limit: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    json.bytes().any(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        limit < depth
    })
}

fn write_canonical(raw: &RawValue, out: &mut String) -> Result<(), serde_json::Error> {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
            write_list(out, ('{', '}'), members, |out, (key, value)| {
                out.push_str(&serde_json::to_string(&key)?);
                out.push(':');
                write_canonical(value, out)
            })
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            write_list(out, ('[', ']'), items, |out, item| write_canonical(item, out))
        }
        Some(b'"') => {
            let string: String = serde_json::from_str(text)?;
            out.push_str(&serde_json::to_string(&string)?);
            Ok(())
        }
        _ => {
            out.push_str(text);
            Ok(())
        }
    }
}

fn write_list<I: IntoIterator>(
    out: &mut String,
    (open, close): (char, char),
    items: I,
    write: impl Fn(&mut String, I::Item) -> Result<(), serde_json::Error>,
) -> Result<(), serde_json::Error> {
    out.push(open);
    for (index, item) in items.into_iter().enumerate() {
        if 0 < index {
            out.push(',');
        }
        write(out, item)?;
    }
    out.push(close);
    Ok(())
}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PartialEq for RawJson {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for RawJson {}

impl Serialize for RawJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RawJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::parse(raw.get()).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::RawJson;

    fn check(input: &str, canonical: &str) {
        assert_eq!(RawJson::parse(input).unwrap().as_str(), canonical);
        assert_eq!(RawJson::parse(canonical).unwrap().as_str(), canonical);
    }

    #[test]
    fn canonical_text_is_sorted_and_tight_and_keeps_numbers() {
        check(
            " { \"b\" : 1e400 , \"a\" : [ 1.0, 12345678901234567890123 ] } ",
            r#"{"a":[1.0,12345678901234567890123],"b":1e400}"#,
        );
        check(r#"{"a":1,"a":2}"#, r#"{"a":2}"#);
        check(r#""\u0041\/\u0000""#, r#""A/\u0000""#);
        check("null", "null");
    }

    #[test]
    fn what_some_readers_refuse_is_refused_from_clients_and_read_from_stores() {
        let nested = |depth: usize| format!("{}1{}", "[{\"a\":".repeat(depth), "}]".repeat(depth));
        for (text, names) in [
            (r#"{"z":[1e400]}"#, "out of range"),
            (r#"{"z":-1e400}"#, "out of range"),
            (r#"{"z":{"a":1,"b":2,"\u0061":3}}"#, "`a` twice"),
            (&nested(33), "deeper than 64 levels"),
        ] {
            let error = RawJson::parse_strict(text).unwrap_err().to_string();
            assert!(error.contains(names), "{text}: {error}");
            let stored = RawJson::parse(text).unwrap();
            assert_eq!(serde_json::from_str::<RawJson>(stored.as_str()).unwrap(), stored);
        }
        for text in ["1 x", r#"{"a":"\ud800"}"#, "{", ""] {
            assert!(RawJson::parse_strict(text).is_err(), "{text}");
        }
        let good =
            r#"{"a":[1.0,-1e-400,1.7e308,12345678901234567890123],"b":[{"a":"\u0000"},null]}"#;
        for text in [good, "true", "\"x\"", &nested(32)] {
            assert_eq!(RawJson::parse_strict(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn lone_surrogates_and_deep_nesting_are_refused() {
        assert!(RawJson::parse(r#"{"a":"\ud800"}"#).is_err());
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        check(&nested(128), &nested(128));
        let wide = format!(r#"[{}"\\\"{}"]"#, "[[{}]],".repeat(200), "[{".repeat(200));
        check(&wide, &wide);
        for depth in [129, 100_000] {
            assert!(RawJson::parse(&nested(depth)).is_err());
            assert!(serde_json::from_str::<RawJson>(&nested(depth)).is_err());
        }
    }
}
