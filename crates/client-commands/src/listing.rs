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

/// Prints one line a model, and which is the default. Returns the exit code.
///
/// # Errors
///
/// When no daemon answers or it refuses.
pub fn models(client: &Client) -> Result<u8, Failure> {
    let found: Value = client.get("models", &[])?;
    if array_of(&found, "models").is_empty() {
        terminal::warn(format_args!("{NO_MODEL}"));
    }
    for model in array_of(&found, "models") {
        let default = model.get("default").is_some_and(|it| it == true);
        let mark = if default { "  (default)" } else { "" };
        terminal::print(format_args!("{}{mark}\n", in_line(text_of(model, "id"))))?;
    }
    Ok(OK)
}
