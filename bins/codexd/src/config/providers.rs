//! The providers that the settings configure, and who of them answers. It connects to nothing.

use std::time::Duration;

use client_commands::is_gguf;
use secrecy::SecretString;
use url::Url;

use super::{
    Local,
    reader::{Reader, is_plain_http},
};
use crate::gateways;

/// The name of the model in the process.
pub(crate) const LOCAL: &str = "local";

/// The servers that have settings of their own, in the order in which the default is looked for.
const KNOWN: [(&str, Kind); 4] = [
    ("openai", Kind::OpenAi),
    ("azure", Kind::Azure),
    ("ollama", Kind::Ollama),
    ("tabbyml", Kind::TabbyMl),
];

/// Their settings, by provider and field; those of any other are `providers.NAME.FIELD`.
const SETTINGS: [(&str, &str, &str); 12] = [
    ("openai", "base_url", "OPENAI_BASE_URL"),
    ("openai", "api_key", "OPENAI_API_KEY"),
    ("azure", "base_url", "AZURE_OPENAI_ENDPOINT"),
    ("azure", "api_key", "AZURE_OPENAI_API_KEY"),
    ("azure", "token", "AZURE_OPENAI_AD_TOKEN"),
    ("azure", "model", "AZURE_OPENAI_DEPLOYMENT"),
    ("azure", "api_version", "AZURE_OPENAI_API_VERSION"),
    ("ollama", "base_url", "OLLAMA_BASE_URL"),
    ("ollama", "num_ctx", "OLLAMA_NUM_CTX"),
    ("ollama", "keep_alive", "OLLAMA_KEEP_ALIVE"),
    ("tabbyml", "base_url", "TABBYML_BASE_URL"),
    ("tabbyml", "api_key", "TABBYML_API_KEY"),
];

/// What a table `[providers.NAME]` of the TOML file may say.
const FIELDS: &str = "kind base_url api_key api_key_env token model api_version num_ctx keep_alive";

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    OpenAi,
    Azure,
    Ollama,
    TabbyMl,
    /// OpenAI's API by somebody else.
    Compatible,
}

impl Kind {
    /// Whether this codexd was built with it.
    fn is_built_in(self) -> bool {
        match self {
            Self::OpenAi | Self::Azure | Self::TabbyMl | Self::Compatible => {
                cfg!(feature = "openai")
            }
            Self::Ollama => cfg!(feature = "ollama"),
        }
    }

    fn usual_url(self) -> Option<&'static str> {
        match self {
            Self::OpenAi => Some("https://api.openai.com/v1"),
            Self::Ollama => Some("http://127.0.0.1:11434"),
            Self::Azure | Self::TabbyMl | Self::Compatible => None,
        }
    }

    /// The model where nobody names one.
    fn usual_model(self) -> &'static str {
        match self {
            Self::OpenAi => "gpt-4.1-mini",
            Self::Ollama => "llama3.2",
            // It answers with the one that it was started with.
            Self::TabbyMl => "tabby",
            Self::Azure | Self::Compatible => "",
        }
    }
}

/// A server of models.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// What stands before its models.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) base_url: Url,
    pub(crate) api_key: Option<SecretString>,
    /// A token in place of the key, which goes as a bearer's.
    pub(crate) token: Option<SecretString>,
    /// The model where a request names none; empty if the server has to know.
    pub(crate) model: String,
    pub(crate) api_version: Option<String>,
    /// Tokens of context; `None` leaves it to the model.
    pub(crate) num_ctx: Option<u32>,
    /// How long a model stays loaded; the longest time there is means for ever.
    pub(crate) keep_alive: Option<Duration>,
}

/// The setting that a field of a provider has.
pub(crate) fn setting(provider: &str, field: &str) -> String {
    let own = SETTINGS.iter().find(|it| it.0 == provider && it.1 == field);
    own.map_or_else(|| format!("providers.{provider}.{field}"), |it| it.2.to_owned())
}

/// Whether a dotted name is one of a provider's table.
pub(crate) fn is_of_a_table(name: &str) -> bool {
    let parts: Vec<_> = name.split('.').collect();
    matches!(parts.as_slice(), ["providers", _, field] if FIELDS.split(' ').any(|it| it == *field))
}

impl Reader<'_> {
    /// Every server that is configured: those with settings of their own, then those of the TOML
    /// file by name.
    pub(super) fn servers(&mut self) -> Vec<Server> {
        let chosen = self.settings.get("MODEL_PROVIDER");
        let known = KNOWN.into_iter().filter(|(name, _)| {
            let is_set = |it: &str| self.settings.get(&setting(name, it)).is_some();
            is_set("base_url")
                || is_set("api_key")
                || (chosen == Some("ollama") && *name == "ollama")
        });
        let known: Vec<_> = known.map(|(name, kind)| (name.to_owned(), kind)).collect();
        let all = known.into_iter().chain(self.tables());
        all.collect::<Vec<_>>().into_iter().filter_map(|it| self.server(it.0, it.1)).collect()
    }

    /// The tables of the TOML file: a provider's name, and what it speaks.
    fn tables(&mut self) -> Vec<(String, Kind)> {
        let names = self.settings.names().filter_map(|it| it.strip_prefix("providers."));
        let mut names: Vec<_> = names.filter_map(|it| Some(it.split_once('.')?.0)).collect();
        names.dedup();
        let is_free = |it: &str| it != LOCAL && !KNOWN.iter().any(|(name, _)| *name == it);
        let is_plain = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-';
        let kinds = KNOWN.into_iter().chain([("compatible", Kind::Compatible)]).collect::<Vec<_>>();
        let mut tables = Vec::new();
        for name in names {
            if is_free(name) && name.chars().all(is_plain) {
                let kind = self.choice(&setting(name, "kind"), Kind::Compatible, &kinds);
                tables.push((name.to_owned(), kind));
            } else {
                let advice = "use another name, of a-z, 0-9 and -";
                self.wrong(format!("providers.{name}: such a table cannot be; {advice}"));
            }
        }
        tables
    }

    /// One server; what is wrong is not shown here: it may be a secret.
    fn server(&mut self, name: String, kind: Kind) -> Option<Server> {
        if !kind.is_built_in() {
            self.warnings.push(format!("{name}: this codexd was built without it; ignored"));
            return None;
        }
        let field = |field: &str| setting(&name, field);
        let text = |it: &str| self.settings.get(&field(it)).map(str::to_owned);
        let (url, model, version) = (text("base_url"), text("model"), text("api_version"));
        let url = url.as_deref().or(kind.usual_url()).unwrap_or_default();
        let base_url = Url::parse(url).ok().filter(is_plain_http);
        if base_url.is_none() {
            let example = "use a URL such as http://127.0.0.1:8000/v1 (no @, ?, #)";
            self.wrong(format!("{}: {example}", field("base_url")));
        }
        let (api_key, token) = (self.secret(&name, "api_key"), self.secret(&name, "token"));
        if kind == Kind::Azure && api_key.is_none() && token.is_none() {
            self.wrong(format!("{}: set it, or {}", field("api_key"), field("token")));
        }
        let model = model.unwrap_or_else(|| kind.usual_model().to_owned());
        if kind == Kind::Azure && model.is_empty() {
            self.wrong(format!("{}: name the deployment that answers", field("model")));
        }
        let num_ctx = self.number(&field("num_ctx"), 0, 512, 1 << 24);
        let num_ctx = u32::try_from(num_ctx).ok().filter(|it| *it != 0);
        let expected = "seconds, or a time such as 10m; 0 for not at all, -1 for ever";
        let keep_alive = self.value(&field("keep_alive"), None, expected, |text| match text {
            "-1" => Some(Some(Duration::MAX)),
            time => env_settings::duration(time).map(Some),
        });
        let (base_url, api_version) = (base_url?, version);
        Some(Server {
            name,
            kind,
            base_url,
            api_key,
            token,
            model,
            api_version,
            num_ctx,
            keep_alive,
        })
    }

    /// A key, by itself or by the name of the variable that holds it.
    fn secret(&mut self, provider: &str, field: &str) -> Option<SecretString> {
        let name = setting(provider, field);
        let other = self.settings.get(&format!("{name}_env"));
        let value = self.settings.get(&name).or_else(|| self.settings.get(other?));
        if let (Some(other), None) = (other, value) {
            self.wrong(format!("{name}_env: there is no variable {other}"));
        }
        if value.is_some_and(|key| !key.bytes().all(|byte| byte.is_ascii_graphic())) {
            self.wrong(format!("{name}: has a character that no key has; copy it again"));
        }
        value.map(SecretString::from)
    }

    /// Who answers where a request names no provider.
    pub(super) fn provider(&mut self, servers: &[Server]) -> String {
        let local = cfg!(feature = "local").then_some(LOCAL);
        let names: Vec<_> = servers.iter().map(|it| it.name.as_str()).chain(local).collect();
        let chosen = self.settings.get("MODEL_PROVIDER");
        let Some(usual) = names.first().copied() else {
            self.wrong("MODEL_PROVIDER: no provider is built in; build with `--features local`");
            return LOCAL.to_owned();
        };
        let Some(name) = chosen.filter(|it| !names.contains(it)) else {
            return chosen.unwrap_or(usual).to_owned();
        };
        let sentence = match KNOWN.iter().find(|it| it.0 == name) {
            Some(_) => format!("MODEL_PROVIDER: {}", needs(name)),
            None => format!("MODEL_PROVIDER: `{name}` will not do; use {}", names.join(" or ")),
        };
        self.wrong(sentence);
        name.to_owned()
    }

    pub(super) fn fallback(&self) -> Vec<String> {
        let names = self.settings.get("MODEL_FALLBACK").unwrap_or_default().split(',');
        names.map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned).collect()
    }

    /// Models of providers that nobody can ask, and names that the local model does not have.
    pub(super) fn look_at_models(&mut self, provider: &str, servers: &[Server], local: &Local) {
        let named = ["MODEL", "SUMMARY_MODEL"].map(|it| (it, self.settings.get(it)));
        let named = named.into_iter().filter_map(|(name, it)| Some((name, it?.to_owned())));
        let fallback = self.fallback().into_iter().map(|it| ("MODEL_FALLBACK", it));
        for (name, model) in named.chain(fallback).filter(|it| it.1 != "off") {
            if let Some(problem) = problem(&model, provider, servers, local) {
                self.wrong(format!("{name}: {problem}"));
            }
        }
    }
}

/// What is wrong with the name of a model, and what to do.
fn problem(model: &str, default: &str, servers: &[Server], local: &Local) -> Option<String> {
    if model.starts_with('/') || model.ends_with('/') {
        return Some(format!("`{model}` will not do; use provider/model, or the name of a model"));
    }
    let (provider, name) = match model.split_once('/') {
        None => (default, model),
        Some((first, rest)) if first == LOCAL || is_provider(first, servers) => (first, rest),
        // A server may have such names; the local model has not.
        Some(_) if default != LOCAL => return None,
        Some((first, _)) => (first, model),
    };
    let file = &local.chat_model;
    if provider == LOCAL && cfg!(feature = "local") {
        let is_other = is_gguf(file) && !gateways::is_local_model(name, file);
        let file = file.display();
        return is_other.then(|| format!("`{model}` is not the local model, which is {file}"));
    }
    let is_there = servers.iter().any(|it| it.name == provider);
    // A default that is not there is a problem of its own.
    let is_told = is_there || (provider == default && !model.contains('/'));
    (!is_told).then(|| not_configured(model, provider))
}

/// Whether this is the name of a provider, configured or not.
pub(super) fn is_provider(name: &str, servers: &[Server]) -> bool {
    KNOWN.iter().any(|it| it.0 == name) || servers.iter().any(|it| it.name == name)
}

/// That the provider of a model cannot be asked, and what to do.
pub(super) fn not_configured(model: &str, provider: &str) -> String {
    let needs = match KNOWN.iter().find(|it| it.0 == provider) {
        Some((name, _)) => needs(name),
        None => format!("name one in a table [providers.{provider}] of the TOML file"),
    };
    format!("the provider of `{model}` is not configured; {needs}")
}

/// What a provider with settings of its own needs to be there.
fn needs(name: &str) -> String {
    match name {
        "openai" => "openai needs OPENAI_API_KEY, or OPENAI_BASE_URL".to_owned(),
        other => format!("{other} needs {}", setting(other, "base_url")),
    }
}
