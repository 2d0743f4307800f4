//! The validated configuration: what the settings mean together. It opens and starts nothing.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf, absolute},
    time::Duration,
};

use secrecy::SecretString;
use tracing_subscriber::EnvFilter;
use url::Url;

use crate::settings::{KEYS, LATER, Settings};

/// Where OpenAI itself is.
const OPENAI_BASE_URL: &str = "https://api.openai.com/v1";
/// The model of the provider `openai` where nobody names one.
pub(crate) const OPENAI_MODEL: &str = "gpt-4.1-mini";
/// The file that `scripts/get-model` puts into `models/` of the data folder.
const CHAT_MODEL: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
/// The folder that it puts beside it.
const EMBEDDING_MODEL: &str = "all-MiniLM-L6-v2";

/// A provider of models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// OpenAI, and every server that speaks its API.
    OpenAi,
    /// A small model in the process.
    Local,
}

impl Provider {
    /// Those that this binary was built with.
    fn built_in() -> Vec<Self> {
        let all =
            [(Self::OpenAi, cfg!(feature = "openai")), (Self::Local, cfg!(feature = "local"))];
        all.into_iter()
            .filter_map(|(provider, is_built_in)| is_built_in.then_some(provider))
            .collect()
    }

    /// The name in `MODEL_PROVIDER` and in front of its models.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Local => "local",
        }
    }
}

/// An OpenAI-compatible server.
#[derive(Clone, Debug)]
pub struct OpenAi {
    /// The key, where it needs one.
    pub api_key: Option<SecretString>,
    /// Where it is.
    pub base_url: Url,
}

/// The models in the process.
#[derive(Clone, Debug)]
pub struct Local {
    /// The chat model, a file; it may be missing, and may come later.
    pub chat_model: PathBuf,
    /// The embedding model, a folder that may be missing; `None` if none is wanted.
    pub embedding_model: Option<PathBuf>,
    /// How many threads compute; 0 leaves it to the engine.
    pub threads: usize,
}

/// The database.
#[derive(Clone, Debug)]
pub struct Database {
    /// The file.
    pub path: PathBuf,
    /// Whether an acknowledgement waits for the disk.
    pub full_sync: bool,
}

/// Everything that the settings say, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whether others than its developer use the daemon.
    pub production: bool,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where its files are; absolute.
    pub data_dir: PathBuf,
    /// Long-term memory; `None` keeps everything in the process.
    pub database: Option<Database>,
    /// Who answers where a request names no provider.
    pub provider: Provider,
    /// The model where a request names none; `None` is the provider's default.
    pub model: Option<String>,
    /// The provider `openai`, if it is configured.
    pub openai: Option<OpenAi>,
    /// The provider `local`.
    pub local: Local,
    /// The system prompt of sessions without one.
    pub system_prompt: Option<String>,
    /// Names by which browsers may reach the daemon, besides its address.
    pub allowed_hosts: Vec<String>,
    /// Bytes of the largest request body.
    pub max_body_bytes: usize,
    /// How long running answers may go on after SIGTERM.
    pub drain: Duration,
    /// What is logged, if that was said.
    pub log: Option<String>,
    /// What holds, but perhaps not as intended; sentences.
    pub warnings: Vec<String>,
}

/// Every wrong setting, as sentences.
#[derive(Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nothing was started, because of the settings ({} problems)", self.0.len())?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  - {problem}"))
    }
}

impl Config {
    /// Checks all settings and what they mean together; looks for the files that they name.
    ///
    /// # Errors
    ///
    /// Names every problem at once.
    pub fn new(settings: &Settings) -> Result<Self, Problems> {
        let mut reader = Reader { settings, problems: settings.problems.clone(), warnings: vec![] };
        let production = reader.value("ENV", false, "`development` or `production`", |text| {
            [("development", false), ("production", true)]
                .iter()
                .find(|it| it.0 == text)
                .map(|it| it.1)
        });
        let (data_dir, openai) = (reader.data_dir(), reader.openai());
        let config = Self {
            production,
            listen: reader.listen(production),
            database: reader.database(&data_dir, production),
            provider: reader.provider(openai.is_some()),
            model: settings.get("MODEL").map(str::to_owned),
            openai,
            local: reader.local(&data_dir),
            system_prompt: settings.get("SYSTEM_PROMPT").map(str::to_owned),
            allowed_hosts: reader.allowed_hosts(),
            max_body_bytes: reader.number("MAX_BODY_BYTES", 8 << 20, 1024, 1 << 30),
            drain: Duration::from_secs(reader.number("DRAIN_SECONDS", 20, 0, 3600) as u64),
            log: reader.log(),
            data_dir,
            warnings: Vec::new(),
        };
        reader.look_at_the_rest();
        if reader.problems.is_empty() {
            return Ok(Self { warnings: reader.warnings, ..config });
        }
        Err(Problems(reader.problems))
    }

    /// Where the models are kept.
    #[must_use]
    pub fn models_dir(&self) -> PathBuf {
        self.data_dir.join("models")
    }
}

/// Reads one setting after the other, and remembers what is wrong.
struct Reader<'a> {
    settings: &'a Settings,
    problems: Vec<String>,
    warnings: Vec<String>,
}

impl<'a> Reader<'a> {
    fn wrong(&mut self, sentence: impl Into<String>) {
        self.problems.push(sentence.into());
    }

    fn path(&self, name: &str) -> Option<&'a Path> {
        self.settings.get(name).map(Path::new)
    }

    /// The value of `name` as `read` understands it, or `default` if it is not set or wrong.
    fn value<T>(
        &mut self,
        name: &str,
        default: T,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> T {
        let Some(text) = self.settings.get(name) else { return default };
        read(text).unwrap_or_else(|| {
            self.wrong(format!("{name}: `{text}` will not do; use {expected}"));
            default
        })
    }

    fn number(&mut self, name: &str, default: usize, min: usize, max: usize) -> usize {
        self.value(name, default, &format!("a number from {min} to {max}"), |text| {
            text.parse().ok().filter(|number| (min..=max).contains(number))
        })
    }

    fn listen(&mut self, production: bool) -> SocketAddr {
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let expected = "an IP address, such as 127.0.0.1 or 0.0.0.0, or localhost";
        let host = self.value("HOST", local, expected, |text| {
            if text == "localhost" { Some(local) } else { text.parse().ok() }
        });
        let port = self.value("PORT", 8080, "a number from 0 to 65535", |it| it.parse().ok());
        let allowed = self.value("ALLOW_NO_KEY", false, "1 or 0", |text| {
            [("1", true), ("true", true), ("0", false), ("false", false)]
                .iter()
                .find(|it| it.0.eq_ignore_ascii_case(text))
                .map(|it| it.1)
        });
        if !(allowed || host.is_loopback()) {
            let kind = if production { &mut self.problems } else { &mut self.warnings };
            kind.push(format!(
                "HOST: everybody who reaches {host} may read and write everything; listen on \
                 127.0.0.1, or set ALLOW_NO_KEY=1 if that is meant"
            ));
        }
        SocketAddr::new(host, port)
    }

    fn data_dir(&mut self) -> PathBuf {
        let home = self.path("HOME").map(|home| home.join(".local/share"));
        let shared = self.path("XDG_DATA_HOME").filter(|it| it.is_absolute()).map(Path::to_owned);
        let chosen = self.path("CODEXD_DATA_DIR").map(Path::to_owned);
        let Some(path) = chosen.or_else(|| Some(shared.or(home)?.join("codexd"))) else {
            self.wrong("CODEXD_DATA_DIR: not set, and neither is HOME; set it to a folder");
            return PathBuf::new();
        };
        if path.exists() && !path.is_dir() {
            self.wrong(format!("CODEXD_DATA_DIR: {} is not a folder", path.display()));
        }
        absolute(&path).unwrap_or(path)
    }

    fn database(&mut self, data_dir: &Path, production: bool) -> Option<Database> {
        let full_sync = self.value("SQLITE_SYNCHRONOUS", production, "full or normal", |text| {
            [("full", true), ("normal", false)].iter().find(|it| it.0 == text).map(|it| it.1)
        });
        let chosen = self.path("SQLITE_DB_PATH");
        if !cfg!(feature = "sqlite") {
            if chosen.is_some() {
                self.wrong("SQLITE_DB_PATH: this codexd was built without SQLite; unset it");
            }
            return None;
        }
        if self.settings.is_emptied("SQLITE_DB_PATH") {
            return None;
        }
        let path = chosen.map_or_else(|| data_dir.join("memory.db"), Path::to_owned);
        let path = absolute(&path).unwrap_or(path);
        if let Some(folder) = path.parent().filter(|it| *it != data_dir && !it.is_dir()) {
            self.wrong(format!("SQLITE_DB_PATH: there is no folder {}; make it", folder.display()));
        }
        Some(Database { path, full_sync })
    }

    fn provider(&mut self, openai: bool) -> Provider {
        let all = Provider::built_in();
        let usual = if openai { Provider::OpenAi } else { Provider::Local };
        let Some(first) = all.iter().find(|it| **it == usual).or(all.first()).copied() else {
            self.wrong(
                "MODEL_PROVIDER: no provider is built into this codexd; build it with `--features \
                 local` or `--features openai`",
            );
            return usual;
        };
        let names: Vec<_> = all.iter().map(|it| it.name()).collect();
        let expected = format!("{}; this version and build has no other", names.join(" or "));
        let provider = self.value("MODEL_PROVIDER", first, &expected, |text| {
            all.iter().find(|it| it.name() == text).copied()
        });
        if provider == Provider::OpenAi && !openai {
            self.wrong(
                "MODEL_PROVIDER: openai needs OPENAI_API_KEY, or OPENAI_BASE_URL for a server of \
                 your own",
            );
        }
        provider
    }

    /// What is wrong is not shown here: it may be a secret.
    fn openai(&mut self) -> Option<OpenAi> {
        let (key, url) =
            (self.settings.get("OPENAI_API_KEY"), self.settings.get("OPENAI_BASE_URL"));
        if key.is_none() && url.is_none() {
            return None;
        }
        if !Provider::built_in().contains(&Provider::OpenAi) {
            self.warnings
                .push("OPENAI_*: this codexd was built without openai; ignored".to_owned());
            return None;
        }
        if key.is_some_and(|key| !key.bytes().all(|byte| byte.is_ascii_graphic())) {
            self.wrong("OPENAI_API_KEY: has a character that no key has; copy it again");
        }
        let base_url = Url::parse(url.unwrap_or(OPENAI_BASE_URL)).ok().filter(is_plain_http);
        if base_url.is_none() {
            self.wrong(
                "OPENAI_BASE_URL: is no URL such as http://127.0.0.1:8000/v1, without user, ? and #",
            );
        }
        Some(OpenAi { api_key: key.map(SecretString::from), base_url: base_url? })
    }

    fn local(&mut self, data_dir: &Path) -> Local {
        let chosen = self.path("LOCAL_MODEL_PATH");
        if let Some(path) = chosen.filter(|path| !path.is_file()) {
            self.wrong(format!(
                "LOCAL_MODEL_PATH: there is no file {}; scripts/get-model or `codexd models pull` \
                 fetches a model",
                path.display()
            ));
        }
        let models = data_dir.join("models");
        let chosen = chosen.map(Path::to_owned).or_else(|| first_gguf(&models));
        let folder = models.join(EMBEDDING_MODEL);
        let expected = "local, off, or the folder of a sentence transformer";
        Local {
            chat_model: chosen.unwrap_or_else(|| models.join(CHAT_MODEL)),
            embedding_model: self.value(
                "EMBEDDING_MODEL",
                Some(folder.clone()),
                expected,
                |text| match text {
                    "local" => Some(Some(folder)),
                    "off" => Some(None),
                    path => Path::new(path).is_dir().then(|| Some(PathBuf::from(path))),
                },
            ),
            threads: self.number("LOCAL_THREADS", 0, 1, 256),
        }
    }

    fn allowed_hosts(&mut self) -> Vec<String> {
        let hosts =
            self.settings.get("ALLOWED_HOSTS").unwrap_or_default().split(',').map(str::trim);
        let hosts: Vec<String> = hosts.filter(|it| !it.is_empty()).map(str::to_owned).collect();
        for host in hosts.iter().filter(|it| it.contains(['/', ' ', '@'])) {
            self.wrong(format!(
                "ALLOWED_HOSTS: `{host}` is not a host; leave out http:// and paths"
            ));
        }
        hosts
    }

    fn log(&mut self) -> Option<String> {
        let expected = "levels and targets, such as info or info,http_api=debug";
        self.value("LOG", None, expected, |text| {
            EnvFilter::try_new(text).ok().map(|_| Some(text.to_owned()))
        })
    }

    /// Settings that do nothing, or not what their name promises.
    fn look_at_the_rest(&mut self) {
        let settings = self.settings;
        if settings.get(KEYS).is_some() {
            self.wrong(format!(
                "{KEYS}: this version does not check keys yet, and would protect nothing; unset it"
            ));
        }
        let later = LATER.iter().filter(|name| settings.get(name).is_some());
        self.warnings
            .extend(later.map(|it| format!("{it}: not supported by this version yet; ignored")));
        let unknown = settings.unknown();
        self.warnings.extend(unknown.map(|it| format!("{it}: there is no such setting; ignored")));
    }
}

fn is_plain_http(url: &Url) -> bool {
    let bare = url.username().is_empty() && url.password().is_none();
    let plain = url.query().is_none() && url.fragment().is_none();
    matches!(url.scheme(), "http" | "https") && url.has_host() && bare && plain
}

/// The first model file of a folder, by name.
fn first_gguf(folder: &Path) -> Option<PathBuf> {
    let files = folder.read_dir().ok()?.filter_map(Result::ok).map(|entry| entry.path());
    files.filter(|path| path.extension().is_some_and(|it| it == "gguf") && path.is_file()).min()
}
