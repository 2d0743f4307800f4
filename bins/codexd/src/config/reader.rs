//! The settings one by one: what each may be, and what is said where it is something else.
//! What they mean together is told by [`super::Config`].

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::{Deref, DerefMut},
    path::{Path, PathBuf, absolute},
    time::Duration,
};

use brain_core::brain::Limits;
use http_api::MAX_SYSTEM_BYTES;
use nix::unistd::{AccessFlags, access};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};
use url::Url;

use super::{Database, Embeddings, Local, Redis, no_model_file};
use crate::{
    app,
    settings::{self, KEYS, LATER, Settings},
};
use provider_settings::{LOCAL, Server, is_plain_http, is_provider, not_configured};

/// The file that `scripts/get-model` puts into `models/` of the data folder.
const CHAT_MODEL: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
/// The folder that it puts beside it.
const EMBEDDING_MODEL: &str = "all-MiniLM-L6-v2";
/// What such a folder holds, besides others.
const EMBEDDING_FILES: [&str; 3] = ["config.json", "model.safetensors", "tokenizer.json"];

/// Reads the settings of a daemon.
pub(super) struct Reader<'a>(pub(super) env_settings::Reader<'a>);

impl<'a> Deref for Reader<'a> {
    type Target = env_settings::Reader<'a>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Reader<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(settings: &'a Settings) -> Self {
        Self(env_settings::Reader::new(settings))
    }

    pub(super) fn listen(&mut self, production: bool) -> SocketAddr {
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let expected = "an IP address, such as 127.0.0.1 or 0.0.0.0, or localhost";
        let host = self.value("HOST", local, expected, |text| {
            if text == "localhost" { Some(local) } else { text.parse().ok() }
        });
        let port = self.value("PORT", 8080, "a number from 0 to 65535", |it| it.parse().ok());
        let allowed = self.choice("ALLOW_NO_KEY", false, &[("1", true), ("0", false)]);
        if !(allowed || host.is_loopback()) {
            let kind = if production { &mut self.problems } else { &mut self.warnings };
            kind.push(format!(
                "HOST: everybody who reaches {host} may read and write everything; listen on \
                 127.0.0.1, or set ALLOW_NO_KEY=1 if that is meant"
            ));
        }
        SocketAddr::new(host, port)
    }

    pub(super) fn data_dir(&mut self) -> PathBuf {
        let home = self.path("HOME").map(|home| home.join(".local/share"));
        let shared = self.path("XDG_DATA_HOME").filter(|it| it.is_absolute()).map(Path::to_owned);
        let chosen = self.path("CODEXD_DATA_DIR").map(Path::to_owned);
        let Some(path) = chosen.or_else(|| Some(shared.or(home)?.join("codexd"))) else {
            self.wrong("CODEXD_DATA_DIR: not set, and neither is HOME; set it to a folder");
            return PathBuf::new();
        };
        let path = absolute(&path).unwrap_or(path);
        if path.to_str().is_some_and(|it| it.contains(char::is_control)) {
            self.wrong("CODEXD_DATA_DIR: has a line break or another control character");
            return path;
        }
        let existing = path.ancestors().find(|it| it.exists()).unwrap_or(Path::new("/"));
        if !existing.is_dir() || access(existing, AccessFlags::W_OK | AccessFlags::X_OK).is_err() {
            let existing = existing.display();
            self.wrong(format!("CODEXD_DATA_DIR: {existing} is no folder that you may write to"));
        }
        path
    }

    pub(super) fn database(&mut self, data_dir: &Path, production: bool) -> Option<Database> {
        let modes = [("full", true), ("normal", false)];
        let full_sync = self.choice("SQLITE_SYNCHRONOUS", production, &modes);
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
        let text = path.to_string_lossy();
        if (path.exists() && !path.is_file()) || text.ends_with('/') || text.ends_with(":memory:") {
            let path = path.display();
            self.wrong(format!("SQLITE_DB_PATH: {path} is no file; name one, or nothing for none"));
        }
        Some(Database { path, full_sync })
    }

    pub(super) fn session_ttl(&mut self, production: bool) -> Option<Duration> {
        let usual = Duration::from_secs(if production { 7 * 24 * 3600 } else { 3600 });
        let expected = "seconds, or a time such as 1h or 7d, from 10s to 3650d; 0 for none";
        let ttl = self.value("SESSION_TTL", usual, expected, |text| {
            // A session must not end before the lease of its turn does.
            let least = Limits::default().lease;
            env_settings::duration(text).filter(|it| it.is_zero() || least <= *it)
        });
        Some(ttl).filter(|it| !it.is_zero())
    }

    pub(super) fn redis(&mut self) -> Option<Redis> {
        let url = self.settings.get("REDIS_URL")?;
        // What is wrong is not shown here: it may be a secret.
        let address = app::redis_address(url);
        let address =
            address.map_err(|problem| self.wrong(format!("REDIS_URL: {problem}"))).ok()?;
        Some(Redis { url: url.into(), address })
    }

    pub(super) fn retention(&mut self) -> Option<Duration> {
        let days = self.number("RETENTION_DAYS", 0, 1, 36_500) as u64;
        (0 < days).then(|| Duration::from_secs(days * 24 * 3600))
    }

    pub(super) fn embeddings(&mut self, data_dir: &Path, servers: &[Server]) -> Embeddings {
        let usual = Embeddings::Local(data_dir.join("models").join(EMBEDDING_MODEL));
        let expected = "local, off, a model as provider/model, or the folder of a sentence \
                        transformer (config.json, model.safetensors, tokenizer.json)";
        let model = self.settings.get("EMBEDDING_MODEL").unwrap_or_default();
        let provider = model.split_once('/').filter(|it| !it.1.is_empty()).map(|it| it.0);
        let provider = provider.filter(|it| is_provider(it, servers));
        if let Some(provider) = provider.filter(|_| !Path::new(model).is_dir()) {
            if servers.iter().all(|it| it.name != provider) {
                let problem = not_configured(model, provider);
                self.wrong(format!("EMBEDDING_MODEL: {problem}"));
            }
            return Embeddings::Provider(model.to_owned());
        }
        self.value("EMBEDDING_MODEL", usual.clone(), expected, |text| match text {
            "local" => Some(usual),
            "off" => Some(Embeddings::Off),
            path if Path::new(path).is_dir() => {
                let mut files = EMBEDDING_FILES.iter().map(|it| Path::new(path).join(it));
                files.all(|it| it.is_file()).then(|| Embeddings::Local(path.into()))
            }
            _ => None,
        })
    }

    pub(super) fn summary_model(&mut self, provider: &str) -> Option<String> {
        match self.settings.get("SUMMARY_MODEL") {
            Some("off") => None,
            Some(name) => Some(name.to_owned()),
            // It would take the time of the answers.
            None if provider == LOCAL => None,
            None => Some(String::new()),
        }
    }

    pub(super) fn local(&mut self, data_dir: &Path) -> Local {
        let chosen = self.path("LOCAL_MODEL_PATH");
        if let Some(problem) = chosen.and_then(no_model_file) {
            self.wrong(format!("LOCAL_MODEL_PATH: {problem}"));
        }
        let models = data_dir.join("models");
        let chosen = chosen.map(Path::to_owned).or_else(|| first_gguf(&models));
        Local {
            chat_model: chosen.unwrap_or_else(|| models.join(CHAT_MODEL)),
            threads: self.number("LOCAL_THREADS", 0, 1, 256),
        }
    }

    pub(super) fn allowed_hosts(&mut self) -> Vec<String> {
        let hosts = self.settings.get("ALLOWED_HOSTS").unwrap_or_default();
        let hosts = hosts.split(',').map(str::trim).filter(|it| !it.is_empty());
        let (good, bad): (Vec<_>, Vec<_>) = hosts.map(str::to_owned).partition(|it| {
            let url = Url::parse(&format!("http://{it}"));
            !it.contains('/') && url.is_ok_and(|url| is_plain_http(&url))
        });
        if !bad.is_empty() {
            self.wrong("ALLOWED_HOSTS: list hosts only, such as brain.example.org,10.0.0.7");
        }
        good
    }

    pub(super) fn log(&mut self) -> Option<String> {
        let expected = "levels and targets, such as info or info,http_api=debug";
        self.value("LOG", None, expected, |text| {
            // A word that is no level would silence everything but a target of that name.
            let is_level = |it: &str| {
                (it.contains('=') && !it.ends_with('=')) || it.parse::<LevelFilter>().is_ok()
            };
            let will_do = text.split(',').all(|it| is_level(it.trim()));
            EnvFilter::try_new(text).ok().filter(|_| will_do).map(|_| Some(text.to_owned()))
        })
    }

    pub(super) fn system_prompt(&mut self) -> Option<String> {
        self.value("SYSTEM_PROMPT", None, "at most 65536 bytes", |text| {
            (text.len() <= MAX_SYSTEM_BYTES).then(|| Some(text.to_owned()))
        })
    }

    /// Settings that do nothing, or not what their name promises.
    pub(super) fn look_at_the_rest(&mut self) {
        let settings = self.settings;
        for name in settings::all()
            .map(|it| it.name)
            .filter(|it| !["SYSTEM_PROMPT", "CODEXD_DATA_DIR"].contains(it))
        {
            if settings.get(name).is_some_and(|it| it.contains(char::is_control)) {
                self.wrong(format!("{name}: has a line break or another control character"));
            }
        }
        if settings.get(KEYS).is_some() {
            self.wrong(format!("{KEYS}: this version cannot check keys yet; unset it"));
        }
        let later = LATER.split_whitespace().filter(|name| settings.get(name).is_some());
        let sentence = "not supported by this version yet; ignored";
        self.warnings.extend(later.map(|it| format!("{it}: {sentence}")));
        let unknown = settings::unknown(settings);
        self.warnings.extend(unknown.map(|it| format!("{it}: there is no such setting; ignored")));
    }
}

/// The first model file of a folder, by name.
fn first_gguf(folder: &Path) -> Option<PathBuf> {
    let files = folder.read_dir().ok()?.filter_map(Result::ok).map(|entry| entry.path());
    files.filter(|path| path.extension().is_some_and(|it| it == "gguf") && path.is_file()).min()
}
