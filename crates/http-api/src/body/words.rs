//! What readers of JSON say, in the words of JSON instead of Rust's.

/// How a value that came is called.
const FOUND: &[(&str, &str)] = &[
    ("invalid type: map", "invalid type: object"),
    ("invalid type: sequence", "invalid type: array"),
    ("invalid type: string", "invalid type: text"),
    ("invalid type: floating point", "invalid type: number"),
];
/// How a value that was expected is called.
const EXPECTED: &[(&str, &str)] = &[
    ("u8", WHOLE),
    ("u32", WHOLE),
    ("u64", WHOLE),
    ("usize", WHOLE),
    ("f64", "a number"),
    ("a string", "text"),
    ("a boolean", "`true` or `false`"),
    ("a sequence", "an array"),
    ("a map", "an object"),
];
const WHOLE: &str = "a whole number, 0 or more";
/// What is said of text that is no number.
const NO_NUMBER: &[&str] = &[
    "invalid digit found in string",
    "cannot parse integer from empty string",
    "number too large to fit in target type",
];
const PLACE: &str = " at line ";

/// The sentence of an error in the words of JSON.
pub(crate) fn plain(text: &str) -> String {
    let Some((found, expected)) = text.rsplit_once(", expected ") else {
        let field = NO_NUMBER.iter().find_map(|end| text.strip_suffix(end));
        return field.map_or_else(|| text.to_owned(), |field| format!("{field}expected {WHOLE}"));
    };
    let (word, place) = match expected.rsplit_once(PLACE) {
        Some((word, place)) => (word, format!("{PLACE}{place}")),
        None => (expected, String::new()),
    };
    let plain = FOUND.iter().find_map(|(rust, json)| Some((*json, found.strip_prefix(rust)?)));
    let (start, rest) = plain.unwrap_or((found, ""));
    let word = EXPECTED.iter().find(|(rust, _)| *rust == word).map_or(word, |(_, json)| json);
    format!("{start}{rest}, expected {word}{place}")
}

/// The sentence of an error whose place counts within a part of the body.
pub(crate) fn without_place(error: &serde_json::Error) -> String {
    let text = plain(&error.to_string());
    text.rsplit_once(PLACE).map_or(text.as_str(), |(sentence, _)| sentence).to_owned()
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn no_word_of_rust_is_left() {
        for (text, json) in [
            (
                "invalid type: map, expected u64 at line 1 column 5",
                "invalid type: object, expected a whole number, 0 or more at line 1 column 5",
            ),
            ("invalid type: sequence, expected a string", "invalid type: array, expected text"),
            (
                "invalid type: string \"map, expected u64\", expected f64",
                "invalid type: text \"map, expected u64\", expected a number",
            ),
            ("unknown field `a map`, expected `b`", "unknown field `a map`, expected `b`"),
            ("number out of range at line 1 column 2", "number out of range at line 1 column 2"),
            ("limit: invalid digit found in string", "limit: expected a whole number, 0 or more"),
        ] {
            assert_eq!(plain(text), json);
        }
    }
}
