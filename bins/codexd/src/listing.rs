//! Sessions and models of a daemon, as text.

use serde_json::Value;
use url::Url;

use crate::{
    cli::Sessions,
    client::{Client, array, text},
    config::Config,
    connection, exit,
    terminal::{self, Look, Style},
};

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
        Some(Sessions::Delete { id }) => client.delete("memory/sessions", &[("id", &id)]),
    })?;
    Ok(exit::OK)
}

/// Prints one line a session, the newest first.
pub(crate) fn list_sessions(client: &Client, style: Style) -> anyhow::Result<()> {
    let mut cursor = None;
    loop {
        let query = cursor.as_deref().map(|cursor| ("cursor", cursor));
        let page = client.get("memory/sessions", query.as_slice())?;
        for session in array(&page, "sessions") {
            let id = style.paint(Look::Bold, text(session, "id"));
            let time = style.paint(Look::Dim, text(session, "updated_at"));
            terminal::print(format_args!("{id}  {time}  {}\n", text(session, "title")))?;
        }
        let Some(next) = page.get("next_cursor").and_then(Value::as_str) else { return Ok(()) };
        cursor = Some(next.to_owned());
    }
}

/// A session with the newest entries of its branch.
pub(crate) fn session(client: &Client, id: &str) -> anyhow::Result<Value> {
    client.get("memory/sessions", &[("id", id)])
}

/// Prints the end of the conversation of a session.
pub(crate) fn show_session(client: &Client, id: &str, style: Style) -> anyhow::Result<()> {
    let session = session(client, id)?;
    if session.get("has_older").is_some_and(|it| it == true) {
        terminal::print(format_args!("{}\n", style.paint(Look::Dim, "(the newest 100 messages)")))?;
    }
    for entry in array(&session, "entries") {
        let parts = array(entry, "content").iter().map(|part| text(part, "text"));
        let said = parts.collect::<Vec<_>>().join("\n");
        let status = match text(entry, "status") {
            "complete" => String::new(),
            other => style.paint(Look::Yellow, &format!(" ({other})")),
        };
        let role = style.paint(Look::Bold, text(entry, "role"));
        terminal::print(format_args!("{role}{status}: {said}\n"))?;
    }
    Ok(())
}

/// Prints one line a model, and which is the default.
pub(crate) fn list_models(client: &Client) -> anyhow::Result<()> {
    for model in array(&client.get("models", &[])?, "models") {
        let default = model.get("default").is_some_and(|it| it == true);
        let mark = if default { "  (default)" } else { "" };
        terminal::print(format_args!("{}{mark}\n", text(model, "id")))?;
    }
    Ok(())
}
