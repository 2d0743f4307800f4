//! Lone surrogates in a provider's JSON become U+FFFD.
//!
//! It repairs nothing else: other broken JSON stays broken.

use std::borrow::Cow;

/// The JSON text with every escaped lone surrogate (`\ud83d` without its other half) replaced by
/// `\ufffd`; borrowed when there is none, which is nearly always.
///
/// A model that is cut in the middle of an emoji sends such escapes, and no JSON parser of Rust
/// accepts them.
#[must_use]
pub fn repair_surrogates(json: &str) -> Cow<'_, str> {
    if !json.contains("\\ud") && !json.contains("\\uD") {
        return Cow::Borrowed(json);
    }
    let mut repaired = String::with_capacity(json.len());
    let mut rest = json;
    let mut replaced = 0_usize;
    while let Some((before, escape)) = split_escape(rest) {
        repaired.push_str(before);
        let (kept, length) = match (surrogate(escape), escape.get(6..).and_then(surrogate)) {
            (Some(Half::High), Some(Half::Low)) => (true, 12),
            (Some(_), _) => (false, 6),
            // A backslash and what it escapes, so that `\\ud800` is not taken for a surrogate.
            (None, _) => (true, escape.chars().take(2).map(char::len_utf8).sum()),
        };
        let (escape, after) = escape.split_at_checked(length).unwrap_or((escape, ""));
        repaired.push_str(if kept { escape } else { "\\ufffd" });
        replaced += usize::from(!kept);
        rest = after;
    }
    if replaced == 0 {
        return Cow::Borrowed(json);
    }
    tracing::warn!(replaced, "the provider sent lone surrogates; they became U+FFFD");
    repaired.push_str(rest);
    Cow::Owned(repaired)
}

fn split_escape(text: &str) -> Option<(&str, &str)> {
    text.find('\\').and_then(|at| text.split_at_checked(at))
}

enum Half {
    High,
    Low,
}

/// Which half of a pair the escape at the beginning of `text` is, if any.
fn surrogate(text: &str) -> Option<Half> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    match u16::from_str_radix(digits, 16).ok()? {
        0xD800..=0xDBFF => Some(Half::High),
        0xDC00..=0xDFFF => Some(Half::Low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::repair_surrogates;

    fn check(input: &str, expected: &str) {
        let repaired = repair_surrogates(input);
        assert_eq!(repaired, expected);
        serde_json::from_str::<String>(&repaired).unwrap();
    }

    #[test]
    fn only_lone_halves_are_replaced() {
        check(r#""plain""#, r#""plain""#);
        check(r#""\ud83e\udd8a!""#, r#""\ud83e\udd8a!""#);
        check(r#""a\ud83e""#, r#""a\ufffd""#);
        check(r#""\udd8a\ud83e\uD83E\uDD8A""#, r#""\ufffd\ufffd\uD83E\uDD8A""#);
        check(r#""\\ud800 \"\\\ud800""#, r#""\\ud800 \"\\\ufffd""#);
        check(r#""\ud800ž\u00e9\ud800""#, r#""\ufffdž\u00e9\ufffd""#);
    }
}
