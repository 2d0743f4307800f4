//! Which optional fields a server and model take, learnt from what they refuse.
//!
//! Only fields whose absence changes no meaning are left out: `tools`, `stop` or
//! `response_format` are not, since an answer without them is not the one that was asked for.

use http::StatusCode;
use llm_http::Refusal;

use crate::{make::Make, wire::ChatCompletionRequest};

/// A field that can be left out or replaced when a server does not know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    StreamOptions,
    MaxTokens,
    MaxCompletionTokens,
    Temperature,
    TopP,
    Seed,
    ReasoningEffort,
}

impl Field {
    const ALL: [Self; 7] = [
        Self::StreamOptions,
        Self::MaxTokens,
        Self::MaxCompletionTokens,
        Self::Temperature,
        Self::TopP,
        Self::Seed,
        Self::ReasoningEffort,
    ];

    /// Its name on the wire.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::StreamOptions => "stream_options",
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
            Self::Temperature => "temperature",
            Self::TopP => "top_p",
            Self::Seed => "seed",
            Self::ReasoningEffort => "reasoning_effort",
        }
    }

    fn is_in(self, request: &ChatCompletionRequest<'_>) -> bool {
        match self {
            Self::StreamOptions => request.stream_options.is_some(),
            Self::MaxTokens => request.max_tokens.is_some(),
            Self::MaxCompletionTokens => request.max_completion_tokens.is_some(),
            Self::Temperature => request.temperature.is_some(),
            Self::TopP => request.top_p.is_some(),
            Self::Seed => request.seed.is_some(),
            Self::ReasoningEffort => request.reasoning_effort.is_some(),
        }
    }
}

/// What one server takes for one model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// Whether the limit of output tokens is `max_completion_tokens` unless that was refused.
    pub(crate) completion_tokens: bool,
    /// Whether `seed` is called `random_seed`.
    pub(crate) random_seed: bool,
    /// Whether ids of tool calls have nine letters and digits.
    pub(crate) short_ids: bool,
    refused: Vec<Field>,
}

impl Dialect {
    /// What is assumed before anything was refused.
    pub(crate) fn assumed(completion_tokens: bool, never: &[Field]) -> Self {
        Self { completion_tokens, refused: never.to_vec(), ..Self::default() }
    }

    /// What a make of server is known to take.
    pub(crate) fn of(make: &Make) -> Self {
        let Make { random_seed, short_ids, .. } = *make;
        Self { random_seed, short_ids, ..Self::assumed(make.completion_tokens, make.never) }
    }

    /// The same without these fields.
    pub(crate) fn without(mut self, fields: &[Field]) -> Self {
        self.refused.extend_from_slice(fields);
        self
    }

    pub(crate) fn takes(&self, field: Field) -> bool {
        !self.refused.contains(&field)
    }

    /// The name of the limit of output tokens.
    pub(crate) fn token_limit(&self) -> Field {
        match (self.completion_tokens, self.takes(Field::MaxTokens)) {
            (true, _) if self.takes(Field::MaxCompletionTokens) => Field::MaxCompletionTokens,
            (_, true) => Field::MaxTokens,
            (_, false) => Field::MaxCompletionTokens,
        }
    }

    /// This dialect without the field that `refusal` complains about, and that field; `None` when
    /// it complains about something else or nothing is left to try.
    pub(crate) fn without_refused(
        &self,
        refusal: &Refusal,
        request: &ChatCompletionRequest<'_>,
    ) -> Option<(Self, Field)> {
        let sent = Field::ALL.into_iter().filter(|field| field.is_in(request));
        let field = refused_field(refusal, sent)?;
        let other_limit = match field {
            Field::MaxTokens => Some(Field::MaxCompletionTokens),
            Field::MaxCompletionTokens => Some(Field::MaxTokens),
            Field::StreamOptions
            | Field::Temperature
            | Field::TopP
            | Field::Seed
            | Field::ReasoningEffort => None,
        };
        if !self.takes(field) || other_limit.is_some_and(|other| !self.takes(other)) {
            return None;
        }
        let mut next = self.clone();
        next.refused.push(field);
        Some((next, field))
    }
}

/// Which of the fields `sent` the server does not support, by its own words.
fn refused_field(refusal: &Refusal, sent: impl Iterator<Item = Field>) -> Option<Field> {
    let names = sent.map(|field| (field, field.name()));
    complaint(refusal, names)
}

/// Which of `names` a server refuses with 400 or 422 because it does not know or support it.
pub(crate) fn complaint<T>(
    refusal: &Refusal,
    names: impl Iterator<Item = (T, &'static str)>,
) -> Option<T> {
    if !matches!(refusal.status, Some(StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY)) {
        return None;
    }
    let message = refusal.body.message.to_lowercase();
    let code = refusal.body.code.as_deref().unwrap_or_default().to_lowercase();
    let unknown = UNKNOWN_CODES.iter().any(|it| code.contains(it))
        || UNKNOWN_WORDS.iter().any(|it| message.contains(it));
    // A field of which other values are named is known: the client's value is wrong.
    if !unknown || message.contains("supported values are") {
        return None;
    }
    let param = refusal.body.param.as_deref();
    let place = |name: &str| {
        if param.is_some_and(|param| param == name || param.starts_with(&format!("{name}."))) {
            return Some(0);
        }
        word_at(&message, name).map(|at| at + 1)
    };
    let named = names.filter_map(|(field, name)| place(name).map(|at| (at, field)));
    named.min_by_key(|(at, _)| *at).map(|(_, field)| field)
}

const UNKNOWN_CODES: &[&str] = &["unsupported", "unknown_parameter", "unrecognized"];

const UNKNOWN_WORDS: &[&str] = &[
    "unsupported",
    "not support",
    "unknown",
    "unrecognized",
    "unrecognised",
    "unexpected",
    "not permitted",
    "not allowed",
    "only allowed",
];

/// Where `name` stands in `text` as a whole word.
fn word_at(text: &str, name: &str) -> Option<usize> {
    let is_inside = |it: char| it.is_ascii_alphanumeric() || it == '_';
    text.match_indices(name).map(|(at, _)| at).find(|at| {
        let before = text.get(..*at).and_then(|it| it.chars().next_back());
        let after = text.get(at + name.len()..).and_then(|it| it.chars().next());
        !before.is_some_and(is_inside) && !after.is_some_and(is_inside)
    })
}

#[cfg(test)]
mod tests {
    use brain_core::llm::{ChatRequest, GenerationOptions};
    use http::{HeaderMap, StatusCode};
    use llm_http::{Endpoint, Refusal};

    use super::{Dialect, Field};
    use crate::request;

    fn refusal(status: u16, body: &str) -> Refusal {
        let endpoint = Endpoint::new("http://x").unwrap();
        let status = StatusCode::from_u16(status).unwrap();
        Refusal::new(&endpoint, Some(status), &HeaderMap::new(), body.as_bytes())
    }

    fn check(dialect: &Dialect, status: u16, body: &str, expected: Option<Field>) -> Dialect {
        let options = GenerationOptions {
            temperature: Some(0.2),
            max_tokens: Some(9),
            seed: Some(1),
            ..GenerationOptions::default()
        };
        let chat = ChatRequest { options, ..ChatRequest::default() };
        let body_sent = request::chat(&chat, "m", dialect);
        let next = dialect.without_refused(&refusal(status, body), &body_sent);
        assert_eq!(next.as_ref().map(|(_, field)| *field), expected, "{body}");
        next.map_or_else(|| dialect.clone(), |(dialect, _)| dialect)
    }

    #[test]
    fn a_field_that_is_not_supported_is_left_out_once() {
        let plain = Dialect::default();
        let unsupported = r#"{"error":{"message":"Unsupported value: 'temperature' does not support 0.2 with this model.","param":"temperature","code":"unsupported_value"}}"#;
        let next = check(&plain, 400, unsupported, Some(Field::Temperature));
        check(&next, 400, unsupported, None);
        check(
            &plain,
            422,
            r#"{"detail":[{"loc":["body","stream_options"],"msg":"Extra inputs are not permitted"}]}"#,
            Some(Field::StreamOptions),
        );
        check(
            &plain,
            400,
            r#"{"error":"Unrecognized request argument supplied: seed"}"#,
            Some(Field::Seed),
        );
        check(
            &plain,
            400,
            r#"{"error":{"message":"unknown","param":"stream_options.include_usage"}}"#,
            Some(Field::StreamOptions),
        );
    }

    #[test]
    fn the_token_limit_changes_its_name_and_never_goes() {
        let body = r#"{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."}}"#;
        let next = check(&Dialect::default(), 400, body, Some(Field::MaxTokens));
        assert_eq!(next.token_limit(), Field::MaxCompletionTokens);
        check(&next, 400, r#"{"error":"unknown field max_completion_tokens"}"#, None);
        let official = Dialect::assumed(true, &[]);
        assert_eq!(official.token_limit(), Field::MaxCompletionTokens);
        let next = check(
            &official,
            400,
            r#"{"error":"unknown field max_completion_tokens"}"#,
            Some(Field::MaxCompletionTokens),
        );
        assert_eq!(next.token_limit(), Field::MaxTokens);
    }

    #[test]
    fn other_complaints_change_nothing() {
        let plain = Dialect::default();
        check(
            &plain,
            400,
            r#"{"error":{"message":"temperature must be at most 2","param":"temperature","code":"invalid_value"}}"#,
            None,
        );
        let effort = GenerationOptions {
            reasoning_effort: Some("vast".to_owned()),
            ..GenerationOptions::default()
        };
        let chat = ChatRequest { options: effort, ..ChatRequest::default() };
        let wrong_value = r#"{"error":{"message":"Unsupported value: 'reasoning_effort' does not support 'vast' with this model. Supported values are: 'low' and 'high'.","param":"reasoning_effort","code":"unsupported_value"}}"#;
        let sent = request::chat(&chat, "m", &plain);
        assert_eq!(plain.without_refused(&refusal(400, wrong_value), &sent), None);
        check(&plain, 400, r#"{"error":"unsupported field tools"}"#, None);
        check(&plain, 400, r#"{"error":"unsupported field top_p"}"#, None);
        check(&plain, 400, r#"{"error":"unsupported: temperature_scale"}"#, None);
        check(&plain, 500, r#"{"error":"unsupported field seed"}"#, None);
    }
}
