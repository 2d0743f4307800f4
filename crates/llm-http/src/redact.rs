//! Keys never leave this crate, not even when a server sends them back.
//!
//! It finds keys by what we sent, by their usual prefixes and by the words around them.

const REDACTED: &str = "[redacted]";

/// Keys shorter than this are too likely to be part of an ordinary word.
const MIN_SECRET_BYTES: usize = 6;

const PREFIXES: &[&str] =
    &["sk-", "sk_", "pk-", "rk-", "gsk_", "xai-", "hf_", "nvapi-", "aiza", "ghp_", "eyj"];

/// `text` without `secrets`, without what looks like a key, and without masked keys.
pub(crate) fn redact<'a>(text: &str, secrets: impl IntoIterator<Item = &'a str>) -> String {
    let mut text = text.to_owned();
    for secret in secrets {
        if MIN_SECRET_BYTES <= secret.len() {
            text = text.replace(secret, REDACTED);
        }
    }
    redact_words(&text)
}

fn redact_words(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = String::new();
    for run in text.split_inclusive(|it: char| !is_key_char(it)) {
        let word = run.trim_end_matches(|it: char| !is_key_char(it));
        let separator = run.get(word.len()..).unwrap_or_default();
        let exposed = looks_like_key(word) || introduces_key(&before);
        out.push_str(if exposed && !word.is_empty() { REDACTED } else { word });
        out.push_str(separator);
        if !word.is_empty() {
            before = format!(
                "{} {}",
                before.rsplit(' ').next().unwrap_or_default(),
                word.to_lowercase()
            );
        }
    }
    out
}

fn is_key_char(it: char) -> bool {
    it.is_ascii_alphanumeric() || "-_*.+/=~".contains(it)
}

fn looks_like_key(word: &str) -> bool {
    let lower = word.to_lowercase();
    word.contains("***") || (12 <= word.len() && PREFIXES.iter().any(|it| lower.starts_with(it)))
}

/// Whether the two words before say that a key follows.
fn introduces_key(before: &str) -> bool {
    before == "key provided" || before.ends_with(" bearer")
}

#[cfg(test)]
mod tests {
    use super::redact;

    fn check(text: &str, expected: &str) {
        assert_eq!(redact(text, ["my-own-secret", "key"]), expected);
    }

    #[test]
    fn keys_are_found_and_words_stay() {
        check(
            "Incorrect API key provided: sk-abc***wxyz. You can find your API key at https://x.y/z.",
            "Incorrect API key provided: [redacted] You can find your API key at https://x.y/z.",
        );
        check("Incorrect API key provided: hunter2", "Incorrect API key provided: [redacted]");
        check("token my-own-secret!", "token [redacted]!");
        check("Authorization: Bearer abc.def", "Authorization: Bearer [redacted]");
        check(r#"{"key":"sk-proj-0123456789"}"#, r#"{"key":"[redacted]"}"#);
        check("max_tokens sk-1 is *too* large", "max_tokens sk-1 is *too* large");
        check("", "");
    }
}
