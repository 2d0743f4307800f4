//! What the makes of servers do differently, as data.
//!
//! A make is known from the configuration, from the host, or from who is said to own the models of
//! its list. A field that a server refuses is learnt besides (`dialect`).

use crate::{config::Server, dialect::Field};

/// How a server fills a gap in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fills {
    /// Not at all, as far as is known.
    No,
    /// At this path, with `prompt` and `suffix`.
    Suffix(Place),
    /// llama.cpp's `/infill`.
    Infill,
    /// TabbyML's `segments`.
    Segments,
}

/// Where a path begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Beside `/chat/completions`.
    Api(&'static str),
    /// At the server's root.
    Root(&'static str),
}

/// What one make of server does differently from OpenAI's own words.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug)]
pub(crate) struct Make {
    /// Its name, for people and for answers that name no model.
    pub(crate) name: &'static str,
    /// Ends of the hosts that are known to be one.
    hosts: &'static [&'static str],
    /// Who owns the models in its list.
    owners: &'static [&'static str],
    /// Whether the limit of output tokens is `max_completion_tokens`.
    pub(crate) completion_tokens: bool,
    /// Fields that it does not take.
    pub(crate) never: &'static [Field],
    /// Whether `seed` is called `random_seed`.
    pub(crate) random_seed: bool,
    /// Whether the ids of tool calls have nine letters and digits.
    pub(crate) short_ids: bool,
    /// Whether its models call tools.
    pub(crate) tools: bool,
    /// How it fills gaps.
    pub(crate) fills: Fills,
    /// Beginnings of the models that do, unless its list says it of each.
    fillers: &'static [&'static str],
    /// Whether it tells more of itself at `/props`.
    pub(crate) props: bool,
}

/// A server that keeps to OpenAI's API as far as is known.
const PLAIN: Make = Make {
    name: "the server",
    hosts: &[],
    owners: &[],
    completion_tokens: false,
    never: &[],
    random_seed: false,
    short_ids: false,
    tools: true,
    fills: Fills::No,
    fillers: &[""],
    props: false,
};

/// What OpenAI's own models take, wherever they run.
const OFFICIAL: Make = Make {
    name: "OpenAI",
    hosts: &["api.openai.com"],
    completion_tokens: true,
    fills: Fills::Suffix(Place::Api("/completions")),
    fillers: &["gpt-3.5-turbo-instruct"],
    ..PLAIN
};

/// OpenAI's own server.
pub(crate) static OPENAI: Make = OFFICIAL;

/// Azure OpenAI; a deployment's name says what it is only if its owner chose it so.
pub(crate) static AZURE: Make = Make { name: "Azure OpenAI", hosts: &[], ..OFFICIAL };

/// TabbyML reads requests strictly and calls no tools.
pub(crate) static TABBYML: Make = Make {
    name: "TabbyML",
    never: &[Field::StreamOptions, Field::MaxCompletionTokens, Field::ReasoningEffort],
    tools: false,
    fills: Fills::Segments,
    ..PLAIN
};

/// A server of which nothing is known.
pub(crate) static UNKNOWN: Make = PLAIN;

/// The makes that are told apart behind an OpenAI-compatible address.
static COMPATIBLE: &[Make] = &[
    Make {
        name: "Mistral",
        hosts: &["api.mistral.ai", "codestral.mistral.ai"],
        // Usage comes unasked.
        never: &[Field::StreamOptions, Field::Seed, Field::MaxCompletionTokens],
        random_seed: true,
        short_ids: true,
        fills: Fills::Suffix(Place::Api("/fim/completions")),
        fillers: &["codestral"],
        ..PLAIN
    },
    Make { name: "Groq", hosts: &["api.groq.com"], completion_tokens: true, ..PLAIN },
    Make { name: "OpenRouter", hosts: &["openrouter.ai"], ..PLAIN },
    Make {
        name: "DeepSeek",
        hosts: &["api.deepseek.com"],
        fills: Fills::Suffix(Place::Root("/beta/completions")),
        fillers: &["deepseek-chat"],
        ..PLAIN
    },
    Make { name: "llama.cpp", owners: &["llamacpp"], fills: Fills::Infill, props: true, ..PLAIN },
    Make { name: "vLLM", owners: &["vllm"], ..PLAIN },
    Make { name: "LM Studio", owners: &["organization_owner"], ..PLAIN },
    Make {
        name: "Ollama",
        owners: &["library"],
        fills: Fills::Suffix(Place::Api("/completions")),
        ..PLAIN
    },
];

impl Make {
    /// The make that the configuration or the host tells; `None` where it must be found out.
    pub(crate) fn of(server: &Server, host: &str) -> Option<&'static Self> {
        let host = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let is_at = |end: &&str| {
            host.strip_suffix(*end).is_some_and(|it| it.is_empty() || it.ends_with('.'))
        };
        let is_there = |make: &&'static Self| make.hosts.iter().any(is_at);
        match server {
            Server::OpenAi => Some(&OPENAI),
            Server::Azure { .. } => Some(&AZURE),
            Server::TabbyMl => Some(&TABBYML),
            Server::Compatible => std::iter::once(&OPENAI).chain(COMPATIBLE).find(is_there),
        }
    }

    /// The make whose lists say that their models belong to `owner`.
    pub(crate) fn by_owner(owner: &str) -> Option<&'static Self> {
        COMPATIBLE.iter().find(|make| make.owners.contains(&owner))
    }

    /// Whether it fills gaps with a model, by its name.
    pub(crate) fn fills_with(&self, model: &str) -> bool {
        let model = model.rsplit('/').next().unwrap_or(model);
        let fits = self.fillers.iter().any(|beginning| model.starts_with(beginning));
        fits && self.fills != Fills::No
    }

    /// Whether it is OpenAI's own server, where a model's name means OpenAI's model.
    pub(crate) fn is_openai(&self) -> bool {
        self.name == OPENAI.name
    }
}

#[cfg(test)]
mod tests {
    use super::{Fills, Make, Place};
    use crate::config::Server;

    fn check(host: &str, expected: Option<&str>) {
        let found = Make::of(&Server::Compatible, host).map(|make| make.name);
        assert_eq!(found, expected, "{host}");
    }

    #[test]
    fn hosts_and_owners_tell_the_make() {
        check("api.openai.com", Some("OpenAI"));
        check("eu.api.openai.com:443", Some("OpenAI"));
        check("api.mistral.ai", Some("Mistral"));
        check("evilapi.mistral.ai", None);
        check("openrouter.ai", Some("OpenRouter"));
        check("localhost:8080", None);
        assert_eq!(Make::by_owner("llamacpp").unwrap().name, "llama.cpp");
        assert!(Make::by_owner("system").is_none());
    }

    #[test]
    fn gaps_are_filled_where_a_server_and_a_model_do() {
        let mistral = Make::of(&Server::Compatible, "api.mistral.ai").unwrap();
        assert_eq!(mistral.fills, Fills::Suffix(Place::Api("/fim/completions")));
        assert!(mistral.fills_with("codestral-latest"));
        assert!(!mistral.fills_with("mistral-large-latest"));
        assert!(!super::UNKNOWN.fills_with("codestral"));
        assert!(Make::by_owner("llamacpp").unwrap().fills_with("any"));
        assert!(!Make::by_owner("vllm").unwrap().fills_with("any"));
        assert!(super::TABBYML.fills_with(""));
        assert!(super::OPENAI.fills_with("gpt-3.5-turbo-instruct"));
        assert!(!super::OPENAI.fills_with("gpt-4o"));
    }
}
