//! What is known about models by their names.
//!
//! A small table of OpenAI's families, and safe assumptions for every other name. It asks nobody.

use brain_core::llm::Capabilities;

use crate::{
    dialect::{Dialect, Field},
    make::Make,
};

/// Prefix, whether it reads pictures, tokens of context; longer prefixes first.
const CHAT_FAMILIES: &[(&str, bool, u32)] = &[
    ("gpt-5-chat", true, 128_000),
    ("gpt-5", true, 400_000),
    ("gpt-4.1", true, 1_047_576),
    ("gpt-4o", true, 128_000),
    ("gpt-4.5", true, 128_000),
    ("gpt-4-turbo", true, 128_000),
    ("gpt-4-32k", false, 32_768),
    ("gpt-4", false, 8_192),
    ("gpt-3.5-turbo", false, 16_385),
    ("chatgpt-4o", true, 128_000),
    ("gpt-oss", false, 131_072),
    ("o1-mini", false, 128_000),
    ("o1-preview", false, 128_000),
    ("o1", true, 200_000),
    ("o3-mini", false, 200_000),
    ("o3", true, 200_000),
    ("o4-mini", true, 200_000),
];

/// Tokens that OpenAI's embedding models read.
const EMBEDDING_CONTEXT: u32 = 8_192;

/// Prefixes and infixes of models that answer no chat.
const NO_CHAT_PREFIXES: &[&str] = &[
    "whisper",
    "tts-",
    "dall-e",
    "gpt-image",
    "sora",
    "gpt-3.5-turbo-instruct",
    "davinci",
    "babbage",
    "omni-moderation",
    "text-moderation",
];
const NO_CHAT_INFIXES: &[&str] = &["-realtime", "-transcribe", "-tts", "rerank"];

/// What a model can do: OpenAI's by the table; any other chats and calls tools, and its context is
/// not known.
pub(crate) fn capabilities(model: &str) -> Capabilities {
    let name = family_name(model);
    if name.contains("embed") {
        let context_tokens = name.starts_with("text-embedding-").then_some(EMBEDDING_CONTEXT);
        return Capabilities { embeddings: true, context_tokens, ..Capabilities::default() };
    }
    let no_chat = NO_CHAT_PREFIXES.iter().any(|it| name.starts_with(it))
        || NO_CHAT_INFIXES.iter().any(|it| name.contains(it));
    if no_chat {
        return Capabilities::default();
    }
    let known = CHAT_FAMILIES.iter().find(|(prefix, ..)| name.starts_with(prefix));
    Capabilities {
        chat: true,
        completion: false,
        embeddings: false,
        in_process: false,
        tools: true,
        vision: known.is_some_and(|(_, vision, _)| *vision),
        context_tokens: known.map(|(.., context)| *context),
    }
}

/// What a make of server is assumed to take for a model.
pub(crate) fn dialect(model: &str, make: &Make) -> Dialect {
    let mut dialect = Dialect::of(make);
    if is_reasoning(model) {
        dialect.completion_tokens = true;
        dialect = dialect.without(&[Field::Temperature, Field::TopP, Field::MaxTokens]);
    }
    dialect
}

/// OpenAI's reasoning families, which refuse sampling options.
pub(crate) fn is_reasoning(model: &str) -> bool {
    let name = family_name(model);
    let o_series = ["o1", "o3", "o4"].iter().any(|family| {
        name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    });
    o_series || (name.starts_with("gpt-5") && !name.starts_with("gpt-5-chat"))
}

/// The name without its vendor's prefix and without what a fine-tune adds: `gpt-4o` for
/// `openai/gpt-4o` and `ft:gpt-4o:me::id`.
pub(crate) fn family_name(model: &str) -> String {
    let name = model.rsplit('/').next().unwrap_or(model);
    name.strip_prefix("ft:").unwrap_or(name).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::{capabilities, dialect};
    use crate::{
        dialect::Field,
        make::{OPENAI, UNKNOWN},
    };

    fn check(model: &str, chat: bool, vision: bool, context: Option<u32>) {
        let found = capabilities(model);
        assert_eq!(
            (found.chat, found.vision, found.context_tokens),
            (chat, vision, context),
            "{model}"
        );
        assert_eq!(found.tools, chat, "{model}");
    }

    #[test]
    fn families_are_known_by_prefix() {
        check("gpt-4.1-mini", true, true, Some(1_047_576));
        check("gpt-4-0613", true, false, Some(8_192));
        check("openai/gpt-4o-mini", true, true, Some(128_000));
        check("ft:gpt-3.5-turbo:me::1", true, false, Some(16_385));
        check("o3-mini", true, false, Some(200_000));
        check("Llama-3.2-1B-Instruct", true, false, None);
        check("whisper-1", false, false, None);
        check("text-embedding-3-small", false, false, Some(8_192));
        assert!(capabilities("nomic-embed-text").embeddings);
    }

    #[test]
    fn reasoning_models_are_told_from_names_like_theirs() {
        for model in ["o1", "o3-mini", "openai/o4-mini", "gpt-5", "gpt-5-mini"] {
            let dialect = dialect(model, &UNKNOWN);
            assert!(!dialect.takes(Field::Temperature), "{model}");
            assert_eq!(dialect.token_limit(), Field::MaxCompletionTokens, "{model}");
        }
        for model in ["gpt-4o", "o11y", "olmo", "gpt-5-chat-latest", "gpt-oss-20b"] {
            let dialect = dialect(model, &UNKNOWN);
            assert!(dialect.takes(Field::Temperature), "{model}");
            assert_eq!(dialect.token_limit(), Field::MaxTokens, "{model}");
        }
        assert_eq!(dialect("gpt-4o", &OPENAI).token_limit(), Field::MaxCompletionTokens);
    }
}
