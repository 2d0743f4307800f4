//! The settings: which there are, as `settings.env` documents them, and where their values come from.
//!
//! What the values mean, and which do not go together, is [`crate::config`]'s business.

use std::{env, path::Path};

use provider_settings::is_of_a_table;

pub use env_settings::{Setting, Settings};

/// Every setting of this version with its meaning; `.env.example` is the same text.
pub const EXAMPLE: &str = include_str!("settings.env");

/// Settings that later versions know. Set today, they change nothing, and `codexd check` says so.
pub const LATER: &str = "DATABASE_URL";

/// A setting that nobody should believe to protect anything before it does.
pub const KEYS: &str = "CODEXD_API_KEYS";

/// What else is read of the environment; no settings of ours.
const SURROUNDINGS: [&str; 7] =
    ["HOME", "XDG_DATA_HOME", "NO_COLOR", "http_proxy", "https_proxy", "all_proxy", "no_proxy"];

/// The TOML file where none is named.
const TOML_FILE: &str = "codexd.toml";

/// Where nothing is a value: no database, no Redis, whatever `.env` says.
const EMPTIABLE: [&str; 2] = ["SQLITE_DB_PATH", "REDIS_URL"];

/// Whether the value of a setting must never be shown.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    // A URL may hold a password.
    let is_url = name == "REDIS_URL" || (name.ends_with("_PROXY") && name != "NO_PROXY");
    is_url || name.ends_with("_TOKEN") || (name.ends_with("_KEY") && name != "ALLOW_NO_KEY")
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

/// Reads the environment, for what is not there the file `.env` in the working directory, and for
/// what is in neither the TOML file. The only place where the process looks at any of them.
#[must_use]
pub fn read() -> Settings {
    let env = Path::new(".env");
    let mut outer = Settings::default();
    outer.add_file(env);
    outer.add_environment(env::vars_os(), &known(), &EMPTIABLE);
    let chosen = outer.get("CODEXD_CONFIG");
    let toml = chosen.or_else(|| Path::new(TOML_FILE).exists().then_some(TOML_FILE));
    let Some(toml) = toml else { return outer };
    let mut settings = Settings::default();
    settings.add_toml(Path::new(toml));
    // Keys may stand in variables of any name.
    let is_key = |name: &&str| is_provider(name) && name.ends_with("_env");
    let keys: Vec<_> = settings.names().filter(is_key).filter_map(|it| settings.get(it)).collect();
    let keys: Vec<_> = keys.into_iter().map(str::to_owned).collect();
    let known: Vec<_> = known().into_iter().chain(keys.iter().map(String::as_str)).collect();
    settings.add_file(env);
    settings.add_environment(env::vars_os(), &known, &EMPTIABLE);
    settings
}

/// Whether this is the dotted name of a value in a provider's table.
fn is_provider(name: &str) -> bool {
    name.starts_with("providers.")
}

/// What is set and no version knows; only of files, as an environment holds much else.
pub(crate) fn unknown(settings: &Settings) -> impl Iterator<Item = &str> {
    let known = known();
    settings.names().filter(move |name| !(known.contains(name) || is_of_a_table(name)))
}

fn known() -> Vec<&'static str> {
    let others = LATER.split_whitespace().chain(SURROUNDINGS).chain([KEYS]);
    all().map(|setting| setting.name).chain(others).collect()
}
