//! What single makes of servers send, each in the shape of the recording or document that is named
//! beside it; the words in them are ours.

use brain_core::{
    chat::Usage,
    llm::{ChatEvent, FinishReason, LlmErrorKind},
};

use super::{Shape, decode, decode_as, reply};

fn usage(input: u64, output: u64, cached: u64) -> Usage {
    Usage { input_tokens: input, output_tokens: output, cached_tokens: cached, estimated: false }
}

/// dto-btn/ssc-assistant, its recorded `simple_chat`: the first frame has no choices, chunks carry
/// filter results.
#[test]
fn azure_begins_without_choices() {
    let reply = reply(&[
        r#"{"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"},"jailbreak":{"filtered":false,"detected":false}}}]}"#,
        r#"{"choices":[{"content_filter_results":{},"delta":{"content":"","refusal":null,"role":"assistant"},"finish_reason":null,"index":0,"logprobs":null}],"created":1772304649,"id":"chatcmpl-D","model":"gpt-4.1-mini-2025-04-14","obfuscation":"70N","object":"chat.completion.chunk","system_fingerprint":null}"#,
        r#"{"choices":[{"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}},"delta":{"content":"Hello"},"finish_reason":null,"index":0,"logprobs":null}],"created":1772304649,"id":"chatcmpl-D","model":"gpt-4.1-mini-2025-04-14","object":"chat.completion.chunk","usage":null}"#,
        r#"{"choices":[{"content_filter_results":{},"delta":{},"finish_reason":"stop","index":0,"logprobs":null}],"created":1772304649,"id":"chatcmpl-D","model":"gpt-4.1-mini-2025-04-14","object":"chat.completion.chunk"}"#,
        r#"{"choices":[],"created":1772304649,"id":"chatcmpl-D","model":"gpt-4.1-mini-2025-04-14","object":"chat.completion.chunk","usage":{"completion_tokens":2,"prompt_tokens":9,"prompt_tokens_details":{"audio_tokens":0,"cached_tokens":4},"total_tokens":11}}"#,
    ]);
    assert_eq!(reply.message.joined_text(), "Hello");
    assert_eq!(reply.finish.model, "gpt-4.1-mini-2025-04-14", "an empty name is none");
    assert_eq!(reply.usage, Some(usage(9, 2, 4)));
}

/// MicrosoftDocs/azure-ai-docs, `content-filter-streaming`: the asynchronous filter adds frames
/// without a delta, also behind the end, and may take the end back.
#[test]
fn azures_late_filter_is_heard() {
    let text =
        r#"{"choices":[{"delta":{"content":"Bad"},"finish_reason":null,"index":0}],"model":"m"}"#;
    let stop = r#"{"choices":[{"delta":{},"finish_reason":"stop","index":0}],"model":"m"}"#;
    let offsets = r#"{"id":"","object":"","created":0,"model":"","choices":[{"index":0,"finish_reason":null,"content_filter_offsets":{"check_offset":44,"start_offset":44,"end_offset":198},"content_filter_results":{"violence":{"filtered":false,"severity":"safe"}}}]}"#;
    let filtered = r#"{"id":"","object":"","created":0,"model":"","choices":[{"index":0,"finish_reason":"content_filter","content_filter_results":{"violence":{"filtered":true,"severity":"medium"}}}]}"#;
    assert_eq!(reply(&[text, offsets, stop, offsets]).finish.reason, FinishReason::Stop);
    let late = reply(&[text, stop, offsets, filtered]);
    assert_eq!(late.finish.reason, FinishReason::ContentFilter);
    assert_eq!(late.message.joined_text(), "Bad");
}

/// pydantic/pydantic-ai, cassette `test_tool_use_failed_error_streaming`, and groq/groq-python's
/// types: reasoning with a channel; usage, and an error, in `x_groq`.
#[test]
fn groq_has_a_place_of_its_own_for_usage_and_errors() {
    let thought = r#"{"id":"chatcmpl-5","object":"chat.completion.chunk","created":1769796725,"model":"openai/gpt-oss-120b","system_fingerprint":"fp_0","choices":[{"index":0,"delta":{"reasoning":"Hm","channel":"analysis"},"logprobs":null,"finish_reason":null}]}"#;
    let end = r#"{"id":"chatcmpl-5","object":"chat.completion.chunk","created":1769796725,"model":"openai/gpt-oss-120b","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"x_groq":{"id":"req_01","usage":{"queue_time":0.1,"prompt_tokens":140,"prompt_time":0.005,"completion_tokens":20,"total_tokens":160}}}"#;
    let whole = reply(&[thought, end]);
    assert_eq!(whole.message.reasoning.as_deref(), Some("Hm"));
    assert_eq!(whole.usage, Some(usage(140, 20, 0)));
    let early = r#"{"choices":[{"index":0,"delta":{},"finish_reason":null}],"x_groq":{"id":"req_01","error":"over capacity"}}"#;
    let (events, failure) = decode(&[thought, early], true);
    assert_eq!(failure, Some(LlmErrorKind::Interrupted), "{events:?}");
}

/// pydantic/pydantic-ai, cassette `test_mistral_model_thinking_part_iter`, and Mistral's API
/// reference: what it thinks is a part of the content.
#[test]
fn mistral_thinks_in_parts_of_the_content() {
    let reply = reply(&[
        r#"{"id":"9","object":"chat.completion.chunk","created":1,"model":"magistral-medium-latest","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
        r#"{"id":"9","object":"chat.completion.chunk","created":1,"model":"magistral-medium-latest","choices":[{"index":0,"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"Hm, "},{"type":"text","text":"so"}]}]},"finish_reason":null}]}"#,
        r#"{"id":"9","object":"chat.completion.chunk","created":1,"model":"magistral-medium-latest","choices":[{"index":0,"delta":{"content":[{"type":"thinking","thinking":[],"closed":true},{"type":"text","text":"Yes"}]},"finish_reason":null}]}"#,
        r#"{"id":"9","object":"chat.completion.chunk","created":1,"model":"magistral-medium-latest","choices":[{"index":0,"delta":{"content":"."},"finish_reason":"model_length"}],"usage":{"prompt_tokens":10,"total_tokens":30,"completion_tokens":20}}"#,
    ]);
    assert_eq!(reply.message.reasoning.as_deref(), Some("Hm, so"));
    assert_eq!(reply.message.joined_text(), "Yes.");
    assert_eq!(reply.finish.reason, FinishReason::Length);
    assert_eq!(reply.usage, Some(usage(10, 20, 0)));
}

/// pydantic/pydantic-ai, cassette `test_openrouter_stream_error`: after a `finish_reason` an error
/// comes, whose chunk alone says what it cost.
#[test]
fn openrouter_fails_behind_the_end_and_says_what_it_cost() {
    let cut = r#"{"id":"gen-1","provider":"Minimax","model":"minimax/minimax-m2:free","object":"chat.completion.chunk","created":1,"choices":[{"index":0,"delta":{"role":"assistant","content":"","reasoning":"We need","reasoning_details":[{"type":"reasoning.text","text":"We need","index":0,"format":null}]},"finish_reason":"length","native_finish_reason":"length","logprobs":null}]}"#;
    let error = r#"{"id":"gen-1","provider":"Minimax","error":{"code":400,"message":"Token limit reached"},"model":"minimax/minimax-m2:free","object":"chat.completion.chunk","created":1,"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null,"native_finish_reason":null,"logprobs":null}],"usage":{"prompt_tokens":43,"completion_tokens":10,"total_tokens":53,"cost":0,"prompt_tokens_details":{"cached_tokens":0}}}"#;
    let (events, failure) = decode(&[cut, error], true);
    assert_eq!(failure, Some(LlmErrorKind::Rejected));
    let reasoning = ChatEvent::Reasoning("We need".to_owned());
    assert_eq!(events, [reasoning, ChatEvent::Usage(usage(43, 10, 0))]);
}

/// OpenRouter's API reference (`errors`, `streaming`): the provider's failure stands in the choice,
/// or only its end says that there was one.
#[test]
fn openrouter_fails_in_a_choice() {
    let text =
        r#"{"model":"m","choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}]}"#;
    let stated = r#"{"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error","error":{"code":502,"message":"Provider disconnected"}}]}"#;
    let unsaid = r#"{"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}"#;
    for last in [stated, unsaid] {
        let (events, failure) = decode(&[text, last], true);
        assert_eq!(failure, Some(LlmErrorKind::Interrupted), "{events:?}");
        assert_eq!(events, [ChatEvent::Text("Hel".to_owned())]);
        assert_eq!(decode(&[last], true).1, Some(LlmErrorKind::Unavailable));
    }
}

/// DeepSeek's API reference and vLLM's `FinishReason`: ends that are none.
#[test]
fn an_answer_that_was_given_up_is_no_answer() {
    for reason in ["insufficient_system_resource", "abort"] {
        let last = format!(
            r#"{{"choices":[{{"index":0,"delta":{{"content":"x"}},"finish_reason":"{reason}"}}]}}"#
        );
        assert_eq!(decode(&[&last], true).1, Some(LlmErrorKind::Interrupted), "{reason}");
    }
}

/// vllm-project/vllm, `serving_chat` and its issue on tool parsers: an error of a stream in both of
/// its shapes.
#[test]
fn vllm_has_two_shapes_of_errors() {
    let text = r#"{"choices":[{"index":0,"delta":{"content":"x"},"logprobs":null,"finish_reason":null,"token_ids":null}]}"#;
    let nested = r#"{"error":{"message":"EngineCore died","type":"InternalServerError","param":null,"code":500}}"#;
    let flat = r#"{"object":"error","message":"EngineCore died","type":"InternalServerError","param":null,"code":500}"#;
    for error in [nested, flat] {
        assert_eq!(decode(&[text, error], true).1, Some(LlmErrorKind::Interrupted));
        assert_eq!(decode(&[error], true).1, Some(LlmErrorKind::Unavailable));
    }
}

/// ggml-org/llama.cpp, `tools/server`: `reasoning_content`, progress without words, timings.
#[test]
fn llama_cpp_adds_progress_and_timings() {
    let reply = reply(&[
        r#"{"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],"created":1,"id":"c","model":"qwen.gguf","system_fingerprint":"b6000","object":"chat.completion.chunk","prompt_progress":{"total":8,"cache":0,"processed":4,"time_ms":5}}"#,
        r#"{"choices":[{"finish_reason":null,"index":0,"delta":{"reasoning_content":"Hm"}}],"created":1,"id":"c","model":"qwen.gguf","object":"chat.completion.chunk"}"#,
        r#"{"choices":[{"finish_reason":null,"index":0,"delta":{"content":"Hi"}}],"created":1,"id":"c","model":"qwen.gguf","object":"chat.completion.chunk"}"#,
        r#"{"choices":[{"finish_reason":"stop","index":0,"delta":{}}],"created":1,"id":"c","model":"qwen.gguf","object":"chat.completion.chunk"}"#,
        r#"{"choices":[],"created":1,"id":"c","model":"qwen.gguf","object":"chat.completion.chunk","usage":{"completion_tokens":4,"prompt_tokens":8,"total_tokens":12,"prompt_tokens_details":{"cached_tokens":3}},"timings":{"prompt_n":5,"prompt_ms":8.5,"predicted_n":4,"predicted_ms":31.5}}"#,
    ]);
    assert_eq!(reply.message.reasoning.as_deref(), Some("Hm"));
    assert_eq!(reply.message.joined_text(), "Hi");
    assert_eq!(reply.usage, Some(usage(8, 4, 3)));
}

/// ggml-org/llama.cpp, README of its server, `/completion` and `/infill`.
#[test]
fn llama_cpps_gap_has_no_choices() {
    let first = r#"{"index":0,"content":"a +","tokens":[64,488],"stop":false,"id_slot":0,"tokens_predicted":2,"tokens_evaluated":14}"#;
    let last = r#"{"index":0,"content":" b","tokens":[],"id_slot":0,"stop":true,"model":"qwen.gguf","tokens_predicted":3,"tokens_evaluated":14,"generation_settings":{"stream":true},"prompt":"","has_new_line":false,"truncated":false,"stop_type":"limit","stopping_word":"","tokens_cached":16,"timings":{"prompt_n":14,"predicted_n":3}}"#;
    let (events, failure) = decode_as(Shape::Infill, &[first, last], false);
    assert_eq!(failure, None);
    let [
        ChatEvent::Text(one),
        ChatEvent::Text(two),
        ChatEvent::Usage(cost),
        ChatEvent::Finished(end),
    ] = events.as_slice()
    else {
        panic!("{events:?}")
    };
    assert_eq!((one.as_str(), two.as_str(), *cost), ("a +", " b", usage(14, 3, 0)));
    assert_eq!((end.reason, end.model.as_str()), (FinishReason::Length, "qwen.gguf"));
    let broken = decode_as(Shape::Infill, &[first], false);
    assert_eq!(broken.1, Some(LlmErrorKind::Interrupted));
    let error = r#"{"error":{"code":500,"message":"context size exceeded","type":"server_error"}}"#;
    assert_eq!(decode_as(Shape::Infill, &[error], false).1, Some(LlmErrorKind::ContextOverflow));
}

/// openai/openai-python, `types/completion.py`, and Mistral's FIM answers, which have deltas.
#[test]
fn a_filled_gap_has_texts_or_deltas() {
    let text = |text: &str, reason: &str| {
        format!(
            r#"{{"id":"cmpl-1","object":"text_completion","created":1,"model":"served","choices":[{{"text":"{text}","index":0,"logprobs":null,"finish_reason":{reason}}}]}}"#
        )
    };
    let (first, last) = (text("a +", "null"), text(" b", r#""stop""#));
    let cost = r#"{"id":"cmpl-1","object":"text_completion","model":"served","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}"#;
    let whole = reply(&[&first, &last, cost]);
    assert_eq!(
        (whole.message.joined_text().as_str(), whole.usage),
        ("a + b", Some(usage(7, 3, 0)))
    );
    let delta = r#"{"id":"1","object":"chat.completion.chunk","created":1,"model":"codestral-latest","choices":[{"index":0,"delta":{"role":"assistant","content":"a + b"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"total_tokens":10,"completion_tokens":3}}"#;
    assert_eq!(reply(&[delta]).message.joined_text(), "a + b");
}

/// TabbyML/tabby, whose chats go through async-openai's types: every key of a delta, mostly
/// null, and no mark at the end.
#[test]
fn tabby_ends_without_a_mark() {
    let text = r#"{"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":"Hi","function_call":null,"tool_calls":null,"role":"assistant","refusal":null},"finish_reason":null,"logprobs":null}],"created":1,"model":"Qwen2-1.5B-Instruct","service_tier":null,"system_fingerprint":null,"object":"chat.completion.chunk","usage":null}"#;
    let stop = r#"{"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":null,"function_call":null,"tool_calls":null,"role":null,"refusal":null},"finish_reason":"stop","logprobs":null}],"created":1,"model":"Qwen2-1.5B-Instruct","object":"chat.completion.chunk","usage":null}"#;
    let (events, failure) = decode(&[text, stop], false);
    assert_eq!((events.len(), failure), (2, None), "{events:?}");
    assert_eq!(decode(&[text], false).1, Some(LlmErrorKind::Interrupted));
}
