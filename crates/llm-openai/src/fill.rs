//! From a text with a gap to what servers take for it, and from TabbyML's answer; pure.

use brain_core::llm::{ChatEvent, CompletionRequest, Finish, FinishReason, LlmError, LlmErrorKind};

use crate::wire::{
    InfillRequest, Segments, SegmentsRequest, SegmentsResponse, StreamOptions, SuffixRequest,
};

/// The body for servers that know a suffix, asking for usage where they know that.
pub(crate) fn suffix<'a>(
    request: &'a CompletionRequest,
    model: &'a str,
    usage: bool,
) -> SuffixRequest<'a> {
    SuffixRequest {
        model,
        prompt: &request.prefix,
        suffix: &request.suffix,
        max_tokens: request.max_tokens,
        stop: &request.stop,
        stream: true,
        stream_options: usage.then_some(StreamOptions { include_usage: true }),
    }
}

/// The body for llama.cpp.
pub(crate) fn infill(request: &CompletionRequest) -> InfillRequest<'_> {
    InfillRequest {
        input_prefix: &request.prefix,
        input_suffix: &request.suffix,
        n_predict: request.max_tokens,
        stop: &request.stop,
        stream: true,
    }
}

/// The body for TabbyML, which bounds the answer itself.
pub(crate) fn segments(request: &CompletionRequest) -> SegmentsRequest<'_> {
    SegmentsRequest {
        language: request.language.as_deref(),
        segments: Segments { prefix: &request.prefix, suffix: &request.suffix },
    }
}

/// TabbyML's answer, which comes whole; it knows no stops, so they are looked for here.
pub(crate) fn segments_answer(
    response: SegmentsResponse,
    stops: &[String],
    model: &str,
) -> Vec<ChatEvent> {
    let text = response.choices.into_iter().next().map(|it| it.text).unwrap_or_default();
    let stops = stops.iter().filter(|stop| !stop.is_empty());
    let end = stops.filter_map(|stop| text.find(stop.as_str())).min();
    let text = text.get(..end.unwrap_or(text.len())).unwrap_or_default().to_owned();
    let text = Some(text).filter(|it| !it.is_empty()).map(ChatEvent::Text);
    let finish = Finish { reason: FinishReason::Stop, model: model.to_owned() };
    text.into_iter().chain([ChatEvent::Finished(finish)]).collect()
}

/// The failure where a server or a model fills no gaps.
pub(crate) fn unsupported(host: &str, model: &str) -> LlmError {
    let named = if model.is_empty() { "its own model" } else { model };
    let message = format!(
        "{host} fills no gaps with {named}, as far as is known; choose a model whose `completion` is true"
    );
    LlmError::new(LlmErrorKind::Unsupported, message)
}

#[cfg(test)]
mod tests {
    use brain_core::llm::{ChatEvent, CompletionRequest};
    use insta::assert_json_snapshot;

    use super::{infill, segments, segments_answer, suffix};
    use crate::wire::{SegmentsChoice, SegmentsResponse};

    fn request() -> CompletionRequest {
        CompletionRequest {
            model: String::new(),
            prefix: "fn add(a: i32, b: i32) -> i32 {\n    ".to_owned(),
            suffix: "\n}\n".to_owned(),
            language: Some("rust".to_owned()),
            max_tokens: Some(32),
            stop: vec!["\n\n".to_owned()],
        }
    }

    #[test]
    fn a_gap_with_everything() {
        let request = request();
        assert_json_snapshot!("suffix", suffix(&request, "codestral-latest", false));
        assert_json_snapshot!("suffix_with_usage", suffix(&request, "m", true));
        assert_json_snapshot!("infill", infill(&request));
        assert_json_snapshot!("segments", segments(&request));
    }

    #[test]
    fn a_gap_with_nothing() {
        let request = CompletionRequest::default();
        assert_json_snapshot!("suffix_bare", suffix(&request, "m", false));
        assert_json_snapshot!("infill_bare", infill(&request));
        assert_json_snapshot!("segments_bare", segments(&request));
    }

    #[test]
    fn stops_are_found_where_the_server_knows_none() {
        let check = |text: &str, expected: Option<&str>| {
            let choices = vec![SegmentsChoice { text: text.to_owned() }];
            let events = segments_answer(SegmentsResponse { choices }, &request().stop, "m");
            let texts = events.iter().find_map(|event| match event {
                ChatEvent::Text(text) => Some(text.as_str()),
                _ => None,
            });
            assert_eq!(texts, expected);
            assert!(matches!(events.last(), Some(ChatEvent::Finished(_))));
        };
        check("a + b", Some("a + b"));
        check("a + b\n\nmore\n\n", Some("a + b"));
        check("\n\nmore", None);
        check("", None);
    }
}
