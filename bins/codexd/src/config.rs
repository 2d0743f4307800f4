//! The validated configuration: what the settings mean together. It opens and starts nothing.

mod network;
mod providers;
mod reader;

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use client_commands::is_gguf;
use provider_settings::{LOCAL, Server};
use secrecy::SecretString;

pub(crate) use self::network::Patience;
use self::reader::Reader;
use crate::settings::Settings;

/// What to do about a local model that is not there.
pub(crate) const GET_MODEL: &str = "get one with scripts/get-model or `codexd models pull`";

/// The model in the process; its file may be missing, and may come later.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    pub(crate) chat_model: PathBuf,
    /// 0 leaves it to the engine.
    pub(crate) threads: usize,
}

/// The database.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    pub(crate) path: PathBuf,
    /// Whether an acknowledgement waits for the disk.
    pub(crate) full_sync: bool,
}

/// A Redis in front of the database, or in its place.
#[derive(Clone, Debug)]
pub(crate) struct Redis {
    /// May hold a password.
    pub(crate) url: SecretString,
    /// The same for people.
    pub(crate) address: String,
}

/// Who makes embeddings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Embeddings {
    Off,
    /// The model in this folder, which is looked for at the start only.
    Local(PathBuf),
    /// A model of a provider, as `provider/model`.
    Provider(String),
}

impl Embeddings {
    /// The model by its full name; `None` if there is none, or not yet.
    pub(crate) fn model(&self) -> Option<String> {
        match self {
            Self::Off => None,
            Self::Local(folder) => {
                let name = folder.file_name().filter(|_| folder.is_dir())?;
                Some(format!("local/{}", name.display()))
            }
            Self::Provider(name) => Some(name.clone()),
        }
    }
}

/// Everything that the settings say, checked. `None` is what the crates think best.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) production: bool,
    pub(crate) listen: SocketAddr,
    /// Absolute.
    pub(crate) data_dir: PathBuf,
    /// Whether nobody chose the folder.
    pub(crate) is_usual_dir: bool,
    /// `None` keeps nothing on the disk.
    pub(crate) database: Option<Database>,
    /// `None` holds what is recent in the process.
    pub(crate) redis: Option<Redis>,
    /// How long the tier before the database keeps a session after its last message; `None` keeps it.
    pub(crate) session_ttl: Option<Duration>,
    /// Most bytes of conversations in the process.
    pub(crate) memory_budget: usize,
    /// How long unused sessions are kept; `None` keeps them.
    pub(crate) retention: Option<Duration>,
    pub(crate) max_import_bytes: u64,
    pub(crate) embeddings: Embeddings,
    /// `None` makes no summaries; an empty name is the default model.
    pub(crate) summary_model: Option<String>,
    /// Who answers where a request names no provider.
    pub(crate) provider: String,
    pub(crate) model: Option<String>,
    /// The models to ask, in this order, where one fails.
    pub(crate) fallback: Vec<String>,
    /// Every server that is configured.
    pub(crate) servers: Vec<Server>,
    pub(crate) patience: Patience,
    #[cfg(feature = "http")]
    pub(crate) network: llm_http::Network,
    pub(crate) local: Local,
    pub(crate) system_prompt: Option<String>,
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) max_body_bytes: usize,
    /// How long running answers may go on after SIGTERM.
    pub(crate) drain: Duration,
    pub(crate) log: Option<String>,
    /// What holds, but perhaps not as intended; sentences.
    pub(crate) warnings: Vec<String>,
}

/// Every wrong setting, as sentences.
#[derive(Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nothing was started, because of the settings (problems: {})", self.0.len())?;
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
        let mut reader = Reader::new(settings);
        let environments = [("development", false), ("production", true)];
        let production = reader.choice("ENV", false, &environments);
        let (data_dir, servers) = (reader.data_dir(), reader.servers());
        let provider = reader.provider(&servers);
        let config = Self {
            production,
            listen: reader.listen(production),
            database: reader.database(&data_dir, production),
            redis: reader.redis(),
            session_ttl: reader.session_ttl(production),
            memory_budget: reader.bytes("MEMORY_BUDGET", 256 << 20) as usize,
            retention: reader.retention(),
            max_import_bytes: reader.bytes("MAX_IMPORT_BYTES", 1 << 30),
            embeddings: reader.embeddings(&data_dir, &servers),
            summary_model: reader.summary_model(&provider),
            provider,
            model: settings.get("MODEL").map(str::to_owned),
            fallback: reader.fallback(),
            servers,
            patience: reader.patience(),
            #[cfg(feature = "http")]
            network: reader.network(),
            local: reader.local(&data_dir),
            system_prompt: reader.system_prompt(),
            allowed_hosts: reader.allowed_hosts(),
            max_body_bytes: reader.number("MAX_BODY_BYTES", 8 << 20, 1024, 1 << 30),
            drain: Duration::from_secs(reader.number("DRAIN_SECONDS", 20, 0, 3600) as u64),
            log: reader.log(),
            data_dir,
            is_usual_dir: settings.get("CODEXD_DATA_DIR").is_none(),
            warnings: Vec::new(),
        };
        reader.look_at_models(&config.provider, &config.servers, &config.local);
        reader.look_at_the_rest();
        if reader.problems.is_empty() {
            return Ok(Self { warnings: reader.0.warnings, ..config });
        }
        Err(Problems(reader.0.problems))
    }
}

impl Config {
    /// Whether a provider of this name can be asked.
    pub(crate) fn has_provider(&self, name: &str) -> bool {
        name == LOCAL || self.servers.iter().any(|it| it.name == name)
    }

    /// The model of a server where a request names none: the one that is configured, if it is
    /// this server's.
    pub(crate) fn model_of<'a>(&'a self, server: &'a Server) -> &'a str {
        let model = self.model.as_deref().filter(|_| self.provider == server.name);
        let own = |it: &'a str| it.strip_prefix(&server.name)?.strip_prefix('/');
        model.map_or(&server.model, |it| own(it).unwrap_or(it))
    }
}

/// The data folder, whatever else the settings say; [`Problems`] if it, or a whole source of
/// settings, cannot be used.
pub(crate) fn data_dir(settings: &Settings) -> Result<PathBuf, Problems> {
    let mut reader = Reader::new(settings);
    let folder = reader.data_dir();
    if reader.problems.is_empty() { Ok(folder) } else { Err(Problems(reader.0.problems)) }
}

/// What is wrong with a file that should be a model, and what to do.
pub(crate) fn no_model_file(path: &Path) -> Option<String> {
    let problem = if is_gguf(path) {
        return None;
    } else if path.is_file() {
        "is no GGUF file, or none that can be read"
    } else {
        "is not there"
    };
    Some(format!("the model file {} {problem}; {GET_MODEL}", path.display()))
}
