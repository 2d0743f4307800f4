//! Sessions and models of a daemon, as text. Only what is printed is read: what else a session holds
//! may be more than a number of ours can be.

use std::{
    thread,
    time::{Duration, Instant},
};

use http_client::{Client, ClientError, ClientErrorKind, array_of, text_of};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    code::{Code, OK},
    failure::Failure,
    terminal::{self, Look, Style, harmless, in_line, name},
};

/// How much of a message a hit shows, in characters.
const WIDTH: usize = 120;
/// How long the proof that every copy is erased may take.
const PROOF: Duration = Duration::from_secs(300);
/// What a model may be able to do, as the daemon calls it.
const ABILITIES: [&str; 5] = ["chat", "completion", "embeddings", "tools", "vision"];
/// What is said where there is no model.
const NO_MODEL: &str =
    "codexd: there is no model; get one with scripts/get-model or `codexd models pull`\n";

/// What to do with sessions.
#[derive(Clone, Debug)]
pub enum Sessions {
    /// List them, the newest first.
    List,
    /// Print one.
    Show {
        /// Its id.
        id: String,
    },
    /// Find what was said.
    Search {
        /// The words; any of them may match.
        words: String,
        /// Most messages to show.
        limit: u32,
    },
    /// Erase one for good.
    Delete {
        /// Its id.
        id: String,
        /// Whether to wait until every copy is erased.
        wait: bool,
    },
}

/// A page of a listing.
#[derive(Deserialize)]
struct Page {
    sessions: Vec<Row>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Row {
    id: String,
    created_at: String,
    title: Option<String>,
}

/// A session with the newest entries of its branch.
#[derive(Deserialize)]
pub(crate) struct Session {
    #[serde(default)]
    entries: Vec<Entry>,
    #[serde(default)]
    has_older: bool,
}

#[derive(Deserialize)]
struct Entry {
    seq: u64,
    role: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    created_at: String,
    #[serde(default)]
    content: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: String,
}

#[derive(Deserialize)]
struct Found {
    hits: Vec<Hit>,
}

#[derive(Deserialize)]
struct Hit {
    session_id: String,
    entry: Entry,
}

impl Entry {
    fn said(&self) -> String {
        self.content.iter().map(|part| part.text.as_str()).collect::<Vec<_>>().join("\n")
    }
}

impl Session {
    /// The position of what was asked last.
    pub(crate) fn last_question(&self) -> Option<u64> {
        self.entries.iter().rfind(|entry| entry.role == "user").map(|entry| entry.seq)
    }
}

/// Does it, and prints what there is to say. Returns the exit code.
///
/// # Errors
///
/// When no daemon answers or it refuses; [`Code::NotErasedYet`] when waiting was not enough.
pub fn sessions(client: &Client, command: &Sessions, style: Style) -> Result<u8, Failure> {
    match command {
        Sessions::List => list(client, style)?,
        Sessions::Show { id } => show(client, id, style)?,
        Sessions::Search { words, limit } => search(client, words, *limit, style)?,
        Sessions::Delete { id, wait } => delete(client, id, *wait)?,
    }
    Ok(OK)
}

/// Prints one line a session, by when they were made, the newest first.
pub(crate) fn list(client: &Client, style: Style) -> Result<(), Failure> {
    let mut cursor = None;
    loop {
        let query = cursor.as_deref().map(|cursor| ("cursor", cursor));
        let page: Page = client.get("memory/sessions", query.as_slice())?;
        for session in page.sessions {
            let id = style.paint(Look::Bold, &name(&session.id));
            let time = style.paint(Look::Dim, &session.created_at);
            let title = in_line(&session.title.unwrap_or_default());
            terminal::print(format_args!("{id}  {time}  {title}\n"))?;
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(());
        }
    }
}

/// Prints what was said about something: one line a message, the best first.
fn search(client: &Client, words: &str, limit: u32, style: Style) -> Result<(), Failure> {
    let query = [("q", words), ("limit", &limit.to_string())];
    let found: Found = client.get("memory/search", &query)?;
    for Hit { session_id, entry } in found.hits {
        let id = style.paint(Look::Bold, &name(&session_id));
        let time = style.paint(Look::Dim, &entry.created_at);
        let said = entry.said().split_whitespace().collect::<Vec<_>>().join(" ");
        let short: String = in_line(&said).chars().take(WIDTH).collect();
        let more = if WIDTH < said.chars().count() { "..." } else { "" };
        terminal::print(format_args!("{id}  {time}  {}: {short}{more}\n", entry.role))?;
    }
    Ok(())
}

/// Erases a session, tells what of it, and may wait until that is proved.
fn delete(client: &Client, id: &str, wait: bool) -> Result<(), Failure> {
    let (query, shown) = (&[("id", id)], name(id));
    let number = |answer: &Value, name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or(0);
    let answer = client.delete("memory/sessions", query)?;
    let erased = number(&answer, "erased");
    terminal::print(format_args!("erased {erased} messages of {shown}\n"))?;
    let (mut pending, deadline) = (number(&answer, "pending"), Instant::now() + PROOF);
    while wait && 0 < pending {
        if deadline <= Instant::now() {
            let sentence = format!("copies that are not erased yet: {pending}; the daemon goes on");
            return Err(Failure::new(Code::NotErasedYet, sentence));
        }
        thread::sleep(Duration::from_millis(200));
        pending = number(&client.get("memory/forgotten", query)?, "pending");
    }
    if 0 < pending {
        let advice = "the daemon goes on, --wait waits for it";
        terminal::print(format_args!("copies that are not erased yet: {pending}; {advice}\n"))?;
    } else if wait {
        terminal::print(format_args!("no copy is left\n"))?;
    }
    Ok(())
}

/// A session with the newest entries of its branch.
pub(crate) fn session(client: &Client, id: &str) -> Result<Session, Failure> {
    let absent = |it: &ClientError| it.kind() == ClientErrorKind::Refused(404);
    client.get("memory/sessions", &[("id", id)]).map_err(|error| match error.code() {
        Some(word) if absent(&error) => {
            Failure::of_the_api(word, "there is no such session; see `codexd sessions`")
        }
        Some(_) | None => error.into(),
    })
}

/// Prints the end of the conversation of a session.
pub(crate) fn show(client: &Client, id: &str, style: Style) -> Result<(), Failure> {
    let session = session(client, id)?;
    if session.has_older {
        terminal::print(format_args!("{}\n", style.paint(Look::Dim, "(the newest 100 messages)")))?;
    }
    for entry in session.entries {
        let status = match entry.status.as_str() {
            "complete" => String::new(),
            other => style.paint(Look::Yellow, &format!(" ({other})")),
        };
        let role = style.paint(Look::Bold, &entry.role);
        terminal::print(format_args!("{role}{status}: {}\n", harmless(&entry.said())))?;
    }
    Ok(())
}

/// Prints one line a model with what it can do and which is the default, and then one a provider
/// with whether it answers. Returns the exit code.
///
/// # Errors
///
/// When no daemon answers or it refuses.
pub fn models(client: &Client, style: Style) -> Result<u8, Failure> {
    let found: Value = client.get("models", &[])?;
    let models = array_of(&found, "models");
    if models.is_empty() {
        terminal::warn(format_args!("{NO_MODEL}"));
    }
    let rows: Vec<(String, String)> = models.iter().map(model_row).collect();
    let width = width_of(rows.iter().map(|(name, _)| name.as_str()));
    for (name, abilities) in rows {
        let name = style.paint(Look::Bold, &format!("{name:<width$}"));
        terminal::print(format_args!("{name}  {}\n", style.paint(Look::Dim, &abilities)))?;
    }
    providers(&found, style)?;
    Ok(OK)
}

/// A model's name, and what it can do in words.
fn model_row(model: &Value) -> (String, String) {
    let default = model.get("default").is_some_and(|it| it == true);
    let mark = if default { "  (default)" } else { "" };
    let name = format!("{}{mark}", in_line(text_of(model, "id")));
    let of = |ability: &str| model.get("capabilities").and_then(|it| it.get(ability));
    let can = ABILITIES.into_iter().filter(|it| of(it).is_some_and(|value| value == true));
    let mut abilities: Vec<String> = can.map(str::to_owned).collect();
    let context = of("context_tokens").and_then(Value::as_u64);
    abilities.extend(context.map(|it| format!("{it} tokens")));
    (name, abilities.join(", "))
}

/// Prints whether each provider answers, below an empty line.
fn providers(found: &Value, style: Style) -> Result<(), Failure> {
    let providers = array_of(found, "providers");
    let width = width_of(providers.iter().map(|it| text_of(it, "name")));
    if !providers.is_empty() && !array_of(found, "models").is_empty() {
        terminal::print(format_args!("\n"))?;
    }
    for provider in providers {
        let name = in_line(text_of(provider, "name"));
        let is_of = |it: &&Value| text_of(it, "provider") == text_of(provider, "name");
        let count = array_of(found, "models").iter().filter(is_of).count();
        let (look, detail) = match text_of(provider, "status") {
            "ok" => (Look::Green, format!("models: {count}")),
            _ => (Look::Red, in_line(text_of(provider, "message"))),
        };
        let name = style.paint(Look::Bold, &format!("{name:<width$}"));
        let status = style.paint(look, &format!("{:<11}", in_line(text_of(provider, "status"))));
        terminal::print(format_args!("{name}  {status}  {detail}\n"))?;
    }
    Ok(())
}

/// How wide a column of these texts is.
fn width_of<'a>(texts: impl Iterator<Item = &'a str>) -> usize {
    texts.map(|it| it.chars().count()).max().unwrap_or(0)
}
