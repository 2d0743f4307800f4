//! What holds where nobody says otherwise: showing it, choosing it, and going back.

use http_client::{Client, text_of};
use serde_json::{Map, Value};

use crate::{
    code::OK,
    failure::Failure,
    terminal::{self, Look, Style, harmless, name},
};

/// What can be chosen: its name, and what holds where nobody said anything.
const NAMES: [(&str, &str); 2] = [("model", "the provider's own"), ("system_prompt", "none")];
/// What is said where a choice is not kept.
const BRIEF: &str =
    "codexd: this holds until the daemon ends: there is no database that would keep it\n";

/// What to do with what holds.
#[derive(Clone, Debug)]
pub enum Config {
    /// Show it.
    Show,
    /// Choose a value.
    Set {
        /// One of [`Config::names`].
        name: String,
        /// The value.
        value: String,
    },
    /// Go back to what the daemon was started with.
    Unset {
        /// One of [`Config::names`].
        name: String,
    },
}

impl Config {
    /// What can be chosen.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.into_iter().map(|(name, _)| name)
    }
}

/// Does it, and prints what holds then. Returns the exit code.
///
/// # Errors
///
/// When no daemon answers or it refuses.
pub fn config(client: &Client, command: &Config, style: Style) -> Result<u8, Failure> {
    let holds = match command {
        Config::Show => client.get("config", &[])?,
        Config::Set { name, value } => choose(client, name, Value::from(value.as_str()))?,
        Config::Unset { name } => choose(client, name, Value::Null)?,
    };
    for (name, without) in NAMES {
        print(&holds, (name, without), style)?;
    }
    let is_brief = holds.get("lasting").is_some_and(|it| it == false);
    if is_brief && matches!(command, Config::Set { .. }) {
        terminal::warn(format_args!("{BRIEF}"));
    }
    Ok(OK)
}

fn choose(client: &Client, name: &str, value: Value) -> Result<Value, Failure> {
    let patch = Map::from_iter([(name.to_owned(), value)]);
    Ok(client.patch("config", &Value::Object(patch))?)
}

/// Prints one value and where it comes from; a prompt may have several lines.
fn print(holds: &Value, (what, without): (&str, &str), style: Style) -> Result<(), Failure> {
    let Some(holds) = holds.get(what) else { return Ok(()) };
    let value = match holds.get("value").and_then(Value::as_str) {
        None => without.to_owned(),
        Some(text) if text.contains('\n') => harmless(text),
        Some(text) => name(text),
    };
    let what = style.paint(Look::Bold, &format!("{what:<13}"));
    let origin = style.paint(Look::Dim, &format!("({})", text_of(holds, "origin")));
    terminal::print(format_args!("{what}  {value}  {origin}\n"))?;
    Ok(())
}
