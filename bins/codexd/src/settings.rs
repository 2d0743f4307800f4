//! The settings: which there are, as `settings.env` documents them, and where their values come from.
//!
//! What the values mean, and which do not go together, is [`crate::config`]'s business.

use std::{collections::BTreeMap, env, ffi::OsString, fmt, fs, io, path::Path};

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

/// One setting, as [`EXAMPLE`] documents it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// What holds when it is not set.
    pub default: &'static str,
    /// What it does.
    pub meaning: Vec<&'static str>,
    /// A value that somebody would set.
    pub example: &'static str,
}

impl Setting {
    /// Whether its value must never be shown.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        // A URL may hold a password.
        self.name == "REDIS_URL" || (self.name.ends_with("_KEY") && self.name != "ALLOW_NO_KEY")
    }

    fn read(block: &'static str) -> Option<Self> {
        let (text, assignment) = block.trim().rsplit_once("\n#")?;
        let (text, default) = text.rsplit_once("\n# Default: ")?;
        let (name, example) = assignment.split_once('=')?;
        let meaning = text.lines().map(|line| line.trim_start_matches("# ")).collect();
        Some(Self { name, default, meaning, example })
    }
}

/// Every setting in the order of [`EXAMPLE`], by section.
#[must_use]
pub fn sections() -> Vec<(&'static str, Vec<Setting>)> {
    let sections = EXAMPLE.split("\n# ---- ").skip(1);
    sections
        .filter_map(|section| section.split_once(" ----\n"))
        .map(|(title, blocks)| (title, blocks.split("\n\n").filter_map(Setting::read).collect()))
        .collect()
}

/// Every setting in the order of [`EXAMPLE`].
pub fn all() -> impl Iterator<Item = Setting> {
    sections().into_iter().flat_map(|(_, settings)| settings)
}

/// The values that are set, unchecked.
#[derive(Clone, Default)]
pub struct Settings {
    /// By name, with where they came from.
    values: BTreeMap<String, (String, &'static str)>,
    /// What could not be read at all, as sentences.
    pub(crate) problems: Vec<String>,
}

/// Values may be secrets.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl Settings {
    /// Reads the environment, and the file `.env` in the working directory for what is not there.
    /// The only place where the process looks at either.
    #[must_use]
    pub fn read() -> Self {
        let mut settings = Self::default();
        settings.add_file(Path::new(".env"));
        settings.add_environment(env::vars_os());
        settings
    }

    /// Adds the variables of an environment that are settings; they win over what is there.
    pub fn add_environment(&mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) {
        let known = known();
        for (name, value) in variables {
            let Some(name) = name.to_str().filter(|name| known.contains(name)) else { continue };
            match value.into_string() {
                Ok(value) => self.set(name, value, "environment"),
                Err(_) => self.problems.push(format!("{name}: the value is not UTF-8")),
            }
        }
    }

    /// Adds the variables of a `.env` file, if there is one; they win over what is there.
    pub fn add_file(&mut self, path: &Path) {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => {
                return self.problems.push(format!("{}: cannot be read ({error})", path.display()));
            }
        };
        for pair in dotenvy::from_read_iter(text.as_bytes()) {
            if let Ok((name, value)) = &pair {
                self.set(name, value.as_str(), ".env");
            }
            // Text in memory cannot fail in another way.
            let Err(dotenvy::Error::LineParse(bad, _)) = pair else { continue };
            let bad = bad.lines().next().unwrap_or_default().trim();
            let line = 1 + text.lines().take_while(|it| !it.contains(bad)).count();
            // The line itself may hold a secret.
            self.problems.push(format!(
                "{}: line {line} cannot be read; write NAME=value, with quotes around values that \
                 have spaces or # in them",
                path.display()
            ));
        }
    }

    /// Sets one value, in place of what is there; `origin` is for people.
    pub fn set(&mut self, name: &str, value: impl Into<String>, origin: &'static str) {
        self.values.insert(name.to_owned(), (value.into(), origin));
    }

    /// The value of a setting; `None` if it is not set, or set to nothing.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|(value, _)| value.trim()).filter(|value| !value.is_empty())
    }

    /// Whether a setting is set to nothing, which is not the same as not being set.
    pub(crate) fn is_emptied(&self, name: &str) -> bool {
        self.values.contains_key(name) && self.get(name).is_none()
    }

    /// Where the value of a setting came from.
    pub(crate) fn origin(&self, name: &str) -> Option<&'static str> {
        self.values.get(name).map(|(_, origin)| *origin)
    }

    /// Names in `.env` that no version knows.
    pub(crate) fn unknown(&self) -> impl Iterator<Item = &str> {
        let known = known();
        self.values.keys().map(String::as_str).filter(move |name| !known.contains(name))
    }
}

fn known() -> Vec<&'static str> {
    let others = LATER.split_whitespace().chain(SURROUNDINGS).chain([KEYS]);
    all().map(|setting| setting.name).chain(others).collect()
}
