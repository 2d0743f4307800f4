//! What a model can do and how long its context is, from what `/api/show` says; pure.

use brain_core::llm::Capabilities;
use serde_json::Value;

use crate::wire::ShowResponse;

/// Longest context that a model is loaded with unless somebody chose: the memory for it grows with
/// its length, to some 2.4 GB for a model of 8 billion parameters.
const MAX_UNCHOSEN: u32 = 16_384;

/// The context of a model that does not say how long its own is; Ollama's default.
const UNKNOWN: u32 = 4_096;

/// What is known about one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) capabilities: Capabilities,
    /// Whether it thinks before it answers.
    pub(crate) thinking: bool,
    /// The `num_ctx` of every request; `None` for a model that runs elsewhere and has its own.
    pub(crate) num_ctx: Option<u32>,
}

impl Profile {
    /// The profile of the model that `show` describes, with a context of `chosen` tokens if somebody
    /// chose.
    pub(crate) fn read(show: &ShowResponse, chosen: Option<u32>) -> Self {
        let own = own_context(show);
        let is_remote = show.remote_model.as_ref().is_some_and(|it| !it.is_empty());
        let num_ctx = (!is_remote).then(|| num_ctx(show, chosen, own));
        let can = |capability| can(show, capability);
        let capabilities = Capabilities {
            chat: can("completion"),
            completion: can("insert"),
            embeddings: can("embedding"),
            tools: can("tools"),
            vision: can("vision"),
            in_process: false,
            context_tokens: num_ctx.or(own),
        };
        Self { capabilities, thinking: can("thinking"), num_ctx }
    }

    /// What a model is taken for until the server was asked: too much rather than too little, since
    /// the request leaves out what the model turns out to lack.
    pub(crate) fn assumed(model: &str, chosen: Option<u32>) -> Capabilities {
        let embeddings = looks_like_embedding(model);
        Capabilities {
            chat: !embeddings,
            completion: false,
            embeddings,
            tools: !embeddings,
            vision: !embeddings,
            in_process: false,
            context_tokens: chosen,
        }
    }
}

/// The name under which a model is remembered: with its tag.
pub(crate) fn full_name(model: &str) -> String {
    let last = model.rsplit('/').next().unwrap_or(model);
    let tag = if last.contains(':') { "" } else { ":latest" };
    format!("{model}{tag}")
}

/// Who chose, then the model's file, then the model itself within bounds; never more than it has.
fn num_ctx(show: &ShowResponse, chosen: Option<u32>, own: Option<u32>) -> u32 {
    let unchosen = || own.unwrap_or(UNKNOWN).min(MAX_UNCHOSEN);
    let wanted = chosen.or_else(|| files_context(show)).unwrap_or_else(unchosen);
    wanted.min(own.unwrap_or(u32::MAX)).max(1)
}

/// The `num_ctx` of the model's file.
fn files_context(show: &ShowResponse) -> Option<u32> {
    let lines = show.parameters.as_deref()?.lines();
    lines
        .filter_map(|line| line.trim().strip_prefix("num_ctx"))
        .find_map(|it| it.trim().parse().ok())
}

/// The context that the model was made for.
fn own_context(show: &ShowResponse) -> Option<u32> {
    let info = show.model_info.as_ref()?;
    let family = info.get("general.architecture").and_then(Value::as_str).unwrap_or_default();
    let named = info.get(&format!("{family}.context_length"));
    let any = || info.iter().find(|(key, _)| key.ends_with(".context_length")).map(|(_, it)| it);
    let tokens = named.or_else(any)?.as_u64()?;
    u32::try_from(tokens).ok().filter(|it| 0 < *it)
}

/// Whether the model has a capability: what the server says, else what its parts tell.
fn can(show: &ShowResponse, capability: &str) -> bool {
    if let Some(said) = &show.capabilities {
        return said.iter().any(|it| it == capability);
    }
    let template = show.template.as_deref().unwrap_or_default();
    let info = show.model_info.as_ref();
    let embeds = info.is_some_and(|it| it.keys().any(|key| key.ends_with(".pooling_type")));
    match capability {
        "completion" => !embeds,
        "embedding" => embeds,
        "tools" => template.contains(".Tools"),
        "insert" => template.contains(".Suffix"),
        "vision" => show.projector_info.is_some(),
        _ => false,
    }
}

fn looks_like_embedding(model: &str) -> bool {
    let name = model.to_lowercase();
    ["embed", "minilm", "bge-"].iter().any(|it| name.contains(it))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Profile, full_name};

    fn profile(show: &Value, chosen: Option<u32>) -> Profile {
        Profile::read(&serde_json::from_str(&show.to_string()).unwrap(), chosen)
    }

    fn of_length(length: u64) -> Value {
        json!({"general.architecture": "qwen3", "qwen3.context_length": length})
    }

    fn check_context(show: &Value, chosen: Option<u32>, expected: u32) {
        let found = profile(show, chosen);
        assert_eq!(found.num_ctx, Some(expected), "{show} {chosen:?}");
        assert_eq!(found.capabilities.context_tokens, Some(expected));
    }

    #[test]
    fn the_context_is_chosen_or_the_models_own_within_bounds() {
        check_context(&json!({"model_info": of_length(2_048)}), None, 2_048);
        check_context(&json!({"model_info": of_length(131_072)}), None, 16_384);
        check_context(&json!({"model_info": of_length(131_072)}), Some(65_536), 65_536);
        check_context(&json!({"model_info": of_length(2_048)}), Some(65_536), 2_048);
        check_context(&json!({}), None, 4_096);
        check_context(&json!({}), Some(8_192), 8_192);
        check_context(&json!({"model_info": {"odd.context_length": 512}}), None, 512);
        check_context(&json!({"model_info": of_length(0)}), None, 4_096);
        check_context(&json!({"model_info": {"a.context_length": "many"}}), None, 4_096);
        let parameters = "stop    \"<|im_end|>\"\nnum_ctx                        32768";
        let show = json!({"parameters": parameters, "model_info": of_length(131_072)});
        check_context(&show, None, 32_768);
        check_context(&show, Some(4_096), 4_096);
    }

    #[test]
    fn a_model_that_runs_elsewhere_has_its_own_context() {
        let show = json!({"remote_model": "gpt-oss:120b", "model_info": of_length(131_072)});
        let found = profile(&show, Some(4_096));
        assert_eq!((found.num_ctx, found.capabilities.context_tokens), (None, Some(131_072)));
    }

    #[test]
    fn capabilities_are_said_or_told_from_the_parts() {
        let found = profile(&json!({"capabilities": ["completion", "tools", "thinking"]}), None);
        assert!(found.capabilities.chat && found.capabilities.tools && found.thinking);
        assert!(!found.capabilities.vision && !found.capabilities.completion);
        let coder = json!({"template": "{{ .Suffix }} {{ .Tools }}", "projector_info": {"a": 1}});
        let found = profile(&coder, None).capabilities;
        assert!(found.chat && found.completion && found.tools && found.vision);
        let found = profile(&json!({"model_info": {"bert.pooling_type": 1}}), None).capabilities;
        assert!(found.embeddings && !found.chat);
        let assumed = Profile::assumed("nomic-embed-text", Some(512));
        assert!(assumed.embeddings && !assumed.chat);
        assert_eq!(assumed.context_tokens, Some(512));
    }

    #[test]
    fn a_name_without_a_tag_is_the_latest() {
        assert_eq!(full_name("qwen3"), "qwen3:latest");
        assert_eq!(full_name("qwen3:8b"), "qwen3:8b");
        assert_eq!(full_name("host:5000/me/qwen3"), "host:5000/me/qwen3:latest");
    }
}
