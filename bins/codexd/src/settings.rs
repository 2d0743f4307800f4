//! The settings: which there are, as `settings.env` documents them, and where their values come from.
//!
//! What the values mean, and which do not go together, is [`crate::config`]'s business.

use std::{env, path::Path};

pub use env_settings::{Setting, Settings};

/// Every setting of this version with its meaning; `.env.example` is the same text.
pub const EXAMPLE: &str = include_str!("settings.env");

/// Settings that later versions know. Set today, they change nothing, and `codexd check` says so.
pub const LATER: &str = "AZURE_OPENAI_API_KEY AZURE_OPENAI_API_VERSION AZURE_OPENAI_DEPLOYMENT \
                         AZURE_OPENAI_ENDPOINT DATABASE_URL MODEL_FALLBACK OLLAMA_BASE_URL \
                         TABBYML_API_KEY TABBYML_BASE_URL";

/// A setting that nobody should believe to protect anything before it does.
pub const KEYS: &str = "CODEXD_API_KEYS";

/// What else is read of the environment; no settings of ours.
const SURROUNDINGS: [&str; 3] = ["HOME", "XDG_DATA_HOME", "NO_COLOR"];

/// Where nothing is a value: no database, no Redis, whatever `.env` says.
const EMPTIABLE: [&str; 2] = ["SQLITE_DB_PATH", "REDIS_URL"];

/// Whether the value of a setting must never be shown.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    // A URL may hold a password.
    name == "REDIS_URL" || (name.ends_with("_KEY") && name != "ALLOW_NO_KEY")
}

/// Every setting in the order of [`EXAMPLE`], by section.
#[must_use]
pub fn sections() -> Vec<(&'static str, Vec<Setting>)> {
    env_settings::sections(EXAMPLE)
}

/// Every setting in the order of [`EXAMPLE`].
pub fn all() -> impl Iterator<Item = Setting> {
    sections().into_iter().flat_map(|(_, settings)| settings)
}

/// Reads the environment, and the file `.env` in the working directory for what is not there. The
/// only place where the process looks at either.
#[must_use]
pub fn read() -> Settings {
    let mut settings = Settings::default();
    settings.add_file(Path::new(".env"));
    settings.add_environment(env::vars_os(), &known(), &EMPTIABLE);
    settings
}

/// What is set and no version knows; only of `.env`, as an environment holds much else.
pub(crate) fn unknown(settings: &Settings) -> impl Iterator<Item = &str> {
    let known = known();
    settings.names().filter(move |name| !known.contains(name))
}

fn known() -> Vec<&'static str> {
    let others = LATER.split_whitespace().chain(SURROUNDINGS).chain([KEYS]);
    all().map(|setting| setting.name).chain(others).collect()
}
