//! A chat request, checked before it waits for the model.
//!
//! What the local model cannot do is refused here, in words, instead of being ignored.

use brain_core::{
    chat::{Message, Part},
    llm::{ChatRequest, GenerationOptions, LlmError, LlmErrorKind},
};
use candle_transformers::generation::Sampling;
use serde::Deserialize;

use crate::{error::rejected, template::Line};

/// SmolLM2's model card samples with 0.2: a model this small wanders off when it is left warmer.
const TEMPERATURE: f64 = 0.2;
/// As the model card does.
const TOP_P: f64 = 0.9;
/// The default of the library that the model card uses; also spares sorting the whole vocabulary.
const TOP_K: usize = 50;
/// Colder than this is the same as taking the likeliest token.
const COLD: f64 = 1e-4;
/// Stop texts that a request may have.
const MAX_STOPS: usize = 16;

/// What to answer, and how.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// The conversation, oldest first; not empty.
    pub(crate) lines: Vec<Line>,
    /// How to choose among likely tokens.
    pub(crate) sampling: Sampling,
    /// Makes the choice repeatable.
    pub(crate) seed: Option<u64>,
    /// Most tokens of the answer.
    pub(crate) max_tokens: Option<u32>,
    /// Texts that end the answer; none is empty.
    pub(crate) stop: Vec<String>,
}

impl TryFrom<ChatRequest> for Ask {
    type Error = LlmError;

    fn try_from(request: ChatRequest) -> Result<Self, LlmError> {
        if !request.tools.is_empty() {
            let message = "the local model cannot call tools; send none or choose another model";
            return Err(LlmError::new(LlmErrorKind::Unsupported, message));
        }
        let lines: Vec<Line> =
            request.messages.iter().map(|it| line(it)).collect::<Result<_, _>>()?;
        if lines.is_empty() {
            return Err(rejected("there is no message to answer; send at least one"));
        }
        let options = request.options;
        text_only(&options)?;
        let sampling = sampling(&options)?;
        if options.max_tokens == Some(0) {
            return Err(rejected("`max_tokens` is 0; give at least 1"));
        }
        if options.stop.len() > MAX_STOPS || options.stop.iter().any(String::is_empty) {
            return Err(rejected(format!(
                "`stop` takes at most {MAX_STOPS} texts, none of them empty"
            )));
        }
        let GenerationOptions { seed, max_tokens, stop, .. } = options;
        Ok(Self { lines, sampling, seed, max_tokens, stop })
    }
}

fn line(message: &Message) -> Result<Line, LlmError> {
    for part in &message.content {
        match part {
            Part::Text { .. } => {}
            Part::Image { .. } => {
                return Err(rejected(
                    "the local model cannot see pictures; send text or choose another model",
                ));
            }
            Part::File { .. } => {
                return Err(rejected(
                    "the local model cannot open files; send their text or choose another model",
                ));
            }
        }
    }
    Ok(Line { role: message.role.as_str(), content: message.joined_text() })
}

fn sampling(options: &GenerationOptions) -> Result<Sampling, LlmError> {
    let temperature = options.temperature.unwrap_or(TEMPERATURE);
    if !(0. ..=2.).contains(&temperature) {
        return Err(rejected(format!("`temperature` is {temperature}; give a number from 0 to 2")));
    }
    let p = options.top_p.unwrap_or(TOP_P);
    if !(p > 0. && p <= 1.) {
        return Err(rejected(format!("`top_p` is {p}; give a number above 0 and at most 1")));
    }
    if temperature < COLD {
        return Ok(Sampling::ArgMax);
    }
    Ok(Sampling::TopKThenTopP { k: TOP_K, p, temperature })
}

/// The part of OpenAI's `response_format` that matters here.
#[derive(Deserialize)]
struct ResponseFormat {
    #[serde(rename = "type")]
    kind: String,
}

fn text_only(options: &GenerationOptions) -> Result<(), LlmError> {
    let Some(format) = &options.response_format else {
        return Ok(());
    };
    match serde_json::from_str::<ResponseFormat>(format.as_str()) {
        Ok(ResponseFormat { kind }) if kind == "text" => Ok(()),
        Ok(_) | Err(_) => {
            let message = "the local model cannot promise a format; leave `response_format` out or choose another model";
            Err(LlmError::new(LlmErrorKind::Unsupported, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use brain_core::{
        chat::{Message, Part},
        llm::{ChatRequest, GenerationOptions, LlmErrorKind},
        tool::ToolSpec,
    };
    use candle_transformers::generation::Sampling;

    use super::Ask;

    fn ask(change: impl FnOnce(&mut ChatRequest)) -> Result<Ask, LlmErrorKind> {
        let mut request =
            ChatRequest { messages: vec![Message::user("Hi").into()], ..ChatRequest::default() };
        change(&mut request);
        Ask::try_from(request).map_err(|error| error.kind())
    }

    fn ask_with(options: GenerationOptions) -> Result<Ask, LlmErrorKind> {
        ask(|request| request.options = options)
    }

    fn refusal(change: impl FnOnce(&mut ChatRequest)) -> LlmErrorKind {
        ask(change).unwrap_err()
    }

    #[test]
    fn the_default_is_the_model_cards() {
        let expected = Sampling::TopKThenTopP { k: 50, p: 0.9, temperature: 0.2 };
        assert_eq!(ask(|_| ()).unwrap().sampling, expected);
    }

    #[test]
    fn zero_takes_the_likeliest_token() {
        let options = GenerationOptions { temperature: Some(0.), ..GenerationOptions::default() };
        assert_eq!(ask_with(options).unwrap().sampling, Sampling::ArgMax);
    }

    #[test]
    fn what_the_model_cannot_do_is_refused() {
        let tool = ToolSpec {
            name: "t".to_owned(),
            description: String::new(),
            parameters: serde_json::json!({}),
        };
        assert_eq!(refusal(|it| it.tools = vec![tool]), LlmErrorKind::Unsupported);
        let picture = Part::Image { url: "https://example.org/a.png".to_owned() };
        let file = Part::File { file_id: "f".to_owned(), name: None };
        for part in [picture, file] {
            let message = Message { content: vec![part], ..Message::user("") };
            assert_eq!(refusal(|it| it.messages = vec![message.into()]), LlmErrorKind::Rejected);
        }
        assert_eq!(refusal(|it| it.messages.clear()), LlmErrorKind::Rejected);
        let json = brain_core::json::RawJson::parse(r#"{"type":"json_object"}"#).unwrap();
        assert_eq!(
            refusal(|it| it.options.response_format = Some(json)),
            LlmErrorKind::Unsupported
        );
    }

    #[test]
    fn options_out_of_range_are_refused() {
        let default = GenerationOptions::default;
        let wrong = [
            GenerationOptions { temperature: Some(2.1), ..default() },
            GenerationOptions { temperature: Some(f64::NAN), ..default() },
            GenerationOptions { top_p: Some(0.), ..default() },
            GenerationOptions { top_p: Some(1.5), ..default() },
            GenerationOptions { max_tokens: Some(0), ..default() },
            GenerationOptions { stop: vec![String::new()], ..default() },
        ];
        for options in wrong {
            assert_eq!(ask_with(options).unwrap_err(), LlmErrorKind::Rejected);
        }
    }
}
