//! Which servers of models the settings configure.
//!
//! It connects to nothing, and knows no gateway: whoever builds one takes a [`Server`].
//!
//! Servers with settings of their own are OpenAI, Azure, Ollama and TabbyML; any number of others
//! have a table `[providers.NAME]` in the TOML file, whose values are settings with dotted names.

use std::time::Duration;

use env_settings::Reader;
use secrecy::SecretString;
use url::Url;

/// The name of the model in the process.
pub const LOCAL: &str = "local";

/// The servers that have settings of their own, in the order in which the default is looked for.
pub const KNOWN: [(&str, Kind); 4] = [
    ("openai", Kind::OpenAi),
    ("azure", Kind::Azure),
    ("ollama", Kind::Ollama),
    ("tabbyml", Kind::TabbyMl),
];

/// Their settings, by provider and field; those of any other are `providers.NAME.FIELD`.
const SETTINGS: [(&str, &str, &str); 13] = [
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
    ("ollama", "pull", "OLLAMA_PULL"),
    ("tabbyml", "base_url", "TABBYML_BASE_URL"),
    ("tabbyml", "api_key", "TABBYML_API_KEY"),
];

/// What a table `[providers.NAME]` of the TOML file may say.
const FIELDS: &str =
    "kind base_url api_key api_key_env token model api_version num_ctx keep_alive pull";

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// OpenAI's API, by OpenAI.
    OpenAi,
    /// Azure OpenAI.
    Azure,
    /// Ollama's own API.
    Ollama,
    /// TabbyML.
    TabbyMl,
    /// OpenAI's API by somebody else.
    Compatible,
}

impl Kind {
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
pub struct Server {
    /// What stands before its models.
    pub name: String,
    /// What it speaks.
    pub kind: Kind,
    /// Where it is.
    pub base_url: Url,
    /// Its key; local servers often want none.
    pub api_key: Option<SecretString>,
    /// A token in place of the key, which goes as a bearer's.
    pub token: Option<SecretString>,
    /// The model where a request names none; empty if the server has to know.
    pub model: String,
    /// The version of its API, where it has dated ones.
    pub api_version: Option<String>,
    /// Tokens of context; `None` leaves it to the model.
    pub num_ctx: Option<u32>,
    /// How long a model stays loaded; the longest time there is means for ever.
    pub keep_alive: Option<Duration>,
    /// Whether a model that the server does not have is fetched when it is first asked for.
    pub may_pull: bool,
}

/// The setting that a field of a provider has.
#[must_use]
pub fn setting(provider: &str, field: &str) -> String {
    let own = SETTINGS.iter().find(|it| it.0 == provider && it.1 == field);
    own.map_or_else(|| format!("providers.{provider}.{field}"), |it| it.2.to_owned())
}

/// Whether a dotted name is one of a provider's table.
#[must_use]
pub fn is_of_a_table(name: &str) -> bool {
    let parts: Vec<_> = name.split('.').collect();
    matches!(parts.as_slice(), ["providers", _, field] if FIELDS.split(' ').any(|it| it == *field))
}

/// Every server that is configured: those with settings of their own, then those of the TOML file
/// by name.
pub fn servers(reader: &mut Reader<'_>) -> Vec<Server> {
    Servers(reader).all()
}

/// What is wrong is not shown here: it may be a secret.
struct Servers<'a, 'b>(&'a mut Reader<'b>);

impl Servers<'_, '_> {
    fn all(&mut self) -> Vec<Server> {
        let chosen = self.0.settings.get("MODEL_PROVIDER");
        let known = KNOWN.into_iter().filter(|(name, _)| {
            let is_set = |it: &str| self.0.settings.get(&setting(name, it)).is_some();
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
        let names = self.0.settings.names().filter_map(|it| it.strip_prefix("providers."));
        let mut names: Vec<_> = names.filter_map(|it| Some(it.split_once('.')?.0)).collect();
        names.dedup();
        let is_free = |it: &str| it != LOCAL && !KNOWN.iter().any(|(name, _)| *name == it);
        let is_plain = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-';
        let kinds = KNOWN.into_iter().chain([("compatible", Kind::Compatible)]).collect::<Vec<_>>();
        let mut tables = Vec::new();
        for name in names {
            if is_free(name) && name.chars().all(is_plain) {
                let kind = self.0.choice(&setting(name, "kind"), Kind::Compatible, &kinds);
                tables.push((name.to_owned(), kind));
            } else {
                let advice = "use another name, of a-z, 0-9 and -";
                self.0.wrong(format!("providers.{name}: such a table cannot be; {advice}"));
            }
        }
        tables
    }

    /// One server.
    fn server(&mut self, name: String, kind: Kind) -> Option<Server> {
        let field = |field: &str| setting(&name, field);
        let text = |it: &str| self.0.settings.get(&field(it)).map(str::to_owned);
        let (url, model, version) = (text("base_url"), text("model"), text("api_version"));
        let url = url.as_deref().or(kind.usual_url()).unwrap_or_default();
        let base_url = Url::parse(url).ok().filter(is_plain_http);
        if base_url.is_none() {
            let example = "use a URL such as http://127.0.0.1:8000/v1 (no @, ?, #)";
            self.0.wrong(format!("{}: {example}", field("base_url")));
        }
        let (api_key, token) = (self.secret(&name, "api_key"), self.secret(&name, "token"));
        if kind == Kind::Azure && api_key.is_none() && token.is_none() {
            self.0.wrong(format!("{}: set it, or {}", field("api_key"), field("token")));
        }
        let model = model.unwrap_or_else(|| kind.usual_model().to_owned());
        if kind == Kind::Azure && model.is_empty() {
            self.0.wrong(format!("{}: name the deployment that answers", field("model")));
        }
        let num_ctx = self.0.number(&field("num_ctx"), 0, 512, 1 << 24);
        let num_ctx = u32::try_from(num_ctx).ok().filter(|it| *it != 0);
        let expected = "seconds, or a time such as 10m; 0 for not at all, -1 for ever";
        let keep_alive = self.0.value(&field("keep_alive"), None, expected, |text| match text {
            "-1" => Some(Some(Duration::MAX)),
            time => env_settings::duration(time).map(Some),
        });
        let may_pull = self.0.choice(&field("pull"), true, &[("1", true), ("0", false)]);
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
            may_pull,
        })
    }

    /// A key, by itself or by the name of the variable that holds it.
    fn secret(&mut self, provider: &str, field: &str) -> Option<SecretString> {
        let name = setting(provider, field);
        let other = self.0.settings.get(&format!("{name}_env"));
        let value = self.0.settings.get(&name).or_else(|| self.0.settings.get(other?));
        if let (Some(other), None) = (other, value) {
            self.0.wrong(format!("{name}_env: there is no variable {other}"));
        }
        if value.is_some_and(|key| !key.bytes().all(|byte| byte.is_ascii_graphic())) {
            self.0.wrong(format!("{name}: has a character that no key has; copy it again"));
        }
        value.map(SecretString::from)
    }
}

/// Whether this is the name of a provider, configured or not.
#[must_use]
pub fn is_provider(name: &str, servers: &[Server]) -> bool {
    KNOWN.iter().any(|it| it.0 == name) || servers.iter().any(|it| it.name == name)
}

/// That the provider of a model cannot be asked, and what to do.
#[must_use]
pub fn not_configured(model: &str, provider: &str) -> String {
    let needs = match KNOWN.iter().find(|it| it.0 == provider) {
        Some((name, _)) => needs(name),
        None => format!("name one in a table [providers.{provider}] of the TOML file"),
    };
    format!("the provider of `{model}` is not configured; {needs}")
}

/// What a provider with settings of its own needs to be there.
#[must_use]
pub fn needs(name: &str) -> String {
    match name {
        "openai" => "openai needs OPENAI_API_KEY, or OPENAI_BASE_URL".to_owned(),
        other => format!("{other} needs {}", setting(other, "base_url")),
    }
}

/// Whether a URL is of a web server, and nothing but its address.
#[must_use]
pub fn is_plain_http(url: &Url) -> bool {
    let has_more = url.as_str().contains(['@', '?', '#']);
    matches!(url.scheme(), "http" | "https") && url.has_host() && !has_more
}
