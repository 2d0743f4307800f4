//! Sessions and models of a daemon, as text.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::ensure;
use http_client::{Client, ClientError, ClientErrorKind, array_of, text_of};
use serde_json::Value;
use url::Url;

use crate::{
    cli::Sessions,
    config::{Config, GET_MODEL},
    connection, exit,
    terminal::{self, Look, Style, harmless},
};

/// How much of a message a hit shows, in characters.
const WIDTH: usize = 120;
/// How long the proof that every copy is erased may take.
const PROOF: Duration = Duration::from_secs(300);

/// `codexd sessions`.
pub(crate) fn sessions(
    config: &Config,
    command: Option<Sessions>,
    url: Option<Url>,
    style: Style,
) -> anyhow::Result<u8> {
    connection::with(url, config, |client| match command {
        None | Some(Sessions::List) => list_sessions(client, style),
        Some(Sessions::Show { id }) => show_session(client, &id, style),
        Some(Sessions::Search { words, limit }) => search(client, &words.join(" "), limit, style),
        Some(Sessions::Delete { id, wait }) => delete(client, &id, wait),
    })?;
    Ok(exit::OK)
}

/// Prints one line a session, by when they were made, the newest first.
pub(crate) fn list_sessions(client: &Client, style: Style) -> anyhow::Result<()> {
    let mut cursor = None;
    loop {
        let query = cursor.as_deref().map(|cursor| ("cursor", cursor));
        let page = client.get("memory/sessions", query.as_slice())?;
        for session in array_of(&page, "sessions") {
            let id = style.paint(Look::Bold, text_of(session, "id"));
            let time = style.paint(Look::Dim, text_of(session, "created_at"));
            let title = harmless(text_of(session, "title"));
            terminal::print(format_args!("{id}  {time}  {title}\n"))?;
        }
        let Some(next) = page.get("next_cursor").and_then(Value::as_str) else { return Ok(()) };
        cursor = Some(next.to_owned());
    }
}

/// Prints what was said about something: one line a message, the best first.
fn search(client: &Client, words: &str, limit: u32, style: Style) -> anyhow::Result<()> {
    let found = client.get("memory/search", &[("q", words), ("limit", &limit.to_string())])?;
    for hit in array_of(&found, "hits") {
        let entry = hit.get("entry").unwrap_or(&Value::Null);
        let id = style.paint(Look::Bold, text_of(hit, "session_id"));
        let time = style.paint(Look::Dim, text_of(entry, "created_at"));
        let said: String = said(entry).split_whitespace().collect::<Vec<_>>().join(" ");
        let short: String = harmless(&said).chars().take(WIDTH).collect();
        let more = if WIDTH < said.chars().count() { "..." } else { "" };
        terminal::print(format_args!("{id}  {time}  {}: {short}{more}\n", text_of(entry, "role")))?;
    }
    Ok(())
}

/// Erases a session, tells what of it, and may wait until that is proved.
fn delete(client: &Client, id: &str, wait: bool) -> anyhow::Result<()> {
    let name = &[("id", id)];
    let number = |answer: &Value, name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or(0);
    let answer = client.delete("memory/sessions", name)?;
    let (erased, shown) = (number(&answer, "erased"), harmless(id));
    terminal::print(format_args!("erased {erased} messages of {shown}\n"))?;
    let (mut pending, deadline) = (number(&answer, "pending"), Instant::now() + PROOF);
    while wait && 0 < pending {
        ensure!(Instant::now() < deadline, "copies that are not erased yet: {pending}");
        thread::sleep(Duration::from_millis(200));
        pending = number(&client.get("memory/forgotten", name)?, "pending");
    }
    if 0 < pending {
        let advice = "the daemon goes on, --wait waits for it";
        terminal::print(format_args!("copies that are not erased yet: {pending}; {advice}\n"))?;
    } else if wait {
        terminal::print(format_args!("no copy is left\n"))?;
    }
    Ok(())
}

fn said(entry: &Value) -> String {
    let parts = array_of(entry, "content").iter().map(|part| text_of(part, "text"));
    parts.collect::<Vec<_>>().join("\n")
}

/// A session with the newest entries of its branch.
pub(crate) fn session(client: &Client, id: &str) -> anyhow::Result<Value> {
    let found = client.get("memory/sessions", &[("id", id)]);
    let absent = |it: &ClientError| it.kind() == ClientErrorKind::Refused(404);
    ensure!(!found.as_ref().is_err_and(absent), "there is no such session; see `codexd sessions`");
    Ok(found?)
}

/// Prints the end of the conversation of a session.
pub(crate) fn show_session(client: &Client, id: &str, style: Style) -> anyhow::Result<()> {
    let session = session(client, id)?;
    if session.get("has_older").is_some_and(|it| it == true) {
        terminal::print(format_args!("{}\n", style.paint(Look::Dim, "(the newest 100 messages)")))?;
    }
    for entry in array_of(&session, "entries") {
        let status = match text_of(entry, "status") {
            "complete" => String::new(),
            other => style.paint(Look::Yellow, &format!(" ({other})")),
        };
        let role = style.paint(Look::Bold, text_of(entry, "role"));
        terminal::print(format_args!("{role}{status}: {}\n", harmless(&said(entry))))?;
    }
    Ok(())
}

/// Prints one line a model, and which is the default.
pub(crate) fn list_models(client: &Client) -> anyhow::Result<()> {
    let found = client.get("models", &[])?;
    if array_of(&found, "models").is_empty() {
        terminal::warn(format_args!("codexd: there is no model; {GET_MODEL}\n"));
    }
    for model in array_of(&found, "models") {
        let default = model.get("default").is_some_and(|it| it == true);
        let mark = if default { "  (default)" } else { "" };
        terminal::print(format_args!("{}{mark}\n", harmless(text_of(model, "id"))))?;
    }
    Ok(())
}
