//! A name for a session that nobody named: the first sentence of what the user said, until a model
//! has found a better one. It never replaces a name that somebody chose, and goes when an entry is
//! forgotten.

use std::time::Duration;

use futures_util::TryStreamExt;

use super::{super::Inner, error::Failure, within};
use crate::{
    chat::{Message, Role},
    ids::{Seq, SessionKey},
    llm::{ChatRequest, GenerationOptions, PartialReply},
    memory::{DefaultTitle, Edition, EntryBody, EntryStatus, ReadOptions, SessionPatch},
};

/// Most characters of a title.
const MOST_CHARACTERS: usize = 60;
/// Most bytes of what the user said that a title is made of.
const MOST_SHOWN: usize = 2_000;
/// How many entries are read at once to find what was said first.
const PAGE: usize = 256;
/// Most bytes of an answer before its end; a title is much shorter.
const MOST_ANSWERED: usize = 4_000;
/// How long the model may take.
const DEADLINE: Duration = Duration::from_secs(30);

const PROMPT: &str = "You name conversations. Answer with a title of at most six words for the \
                      conversation that begins with this message, in its language, without quotes \
                      and without anything else.";

/// What a title is made of.
#[derive(Debug)]
pub(in crate::brain) struct TitleJob {
    /// The last entry of the branch whose first message of the user names the session.
    pub(in crate::brain) branch: Seq,
    /// Who names the session; `None` for its own words.
    pub(in crate::brain) model: Option<String>,
}

/// Names a session that has no name after what the user said, and then as the model does, unless
/// somebody chooses a name.
pub(super) async fn give(inner: &Inner, key: &SessionKey, job: &TitleJob) -> Result<(), Failure> {
    let Some(entry) = said_first(inner, key, job.branch).await? else { return Ok(()) };
    let Some((edition, said)) = said(inner, key, entry).await? else { return Ok(()) };
    if let Some(text) = first_sentence(&said) {
        keep(inner, key, DefaultTitle { text, edition }).await?;
    }
    let Some(model) = &job.model else { return Ok(()) };
    match from_model(inner, model, &said).await? {
        Some(text) => keep(inner, key, DefaultTitle { text, edition }).await,
        None => Ok(()),
    }
}

/// The first message of the user in the branch that ends with `last`; `None` if there is none, or
/// the session has a title.
async fn said_first(inner: &Inner, key: &SessionKey, last: Seq) -> Result<Option<Seq>, Failure> {
    let (mut first, mut next) = (None, Some(last));
    while let Some(last) = next {
        let options = ReadOptions::of_branch(last, PAGE);
        let Some(branch) = inner.ports.store.read(key, options).await? else { return Ok(None) };
        if branch.session.title.is_some() {
            return Ok(None);
        }
        first = branch.entries.iter().find(|it| is_said(&it.body)).map(|it| it.seq).or(first);
        next = branch.entries.first().and_then(|it| it.parent);
    }
    Ok(first)
}

fn is_said(body: &EntryBody) -> bool {
    body.message.role == Role::User && body.status == EntryStatus::Complete
}

/// Keeps the title, unless an entry was forgotten since what it is made of was read.
async fn keep(inner: &Inner, key: &SessionKey, title: DefaultTitle) -> Result<(), Failure> {
    let patch = SessionPatch { default_title: Some(title), ..SessionPatch::default() };
    inner.ports.store.patch(key, patch).await?;
    Ok(())
}

/// The session's edition, and the beginning of what the entry says; `None` once it is forgotten.
async fn said(
    inner: &Inner,
    key: &SessionKey,
    entry: Seq,
) -> Result<Option<(Edition, String)>, Failure> {
    let Some(branch) = inner.ports.store.read(key, ReadOptions::of_branch(entry, 1)).await? else {
        return Ok(None);
    };
    let found = branch.entries.iter().find(|it| it.seq == entry);
    let found = found.filter(|it| it.body.status != EntryStatus::Forgotten);
    Ok(found.map(|it| {
        let mut text = it.body.message.joined_text();
        text.truncate(text.floor_char_boundary(MOST_SHOWN));
        (branch.session.edition, text)
    }))
}

async fn from_model(inner: &Inner, model: &str, text: &str) -> Result<Option<String>, Failure> {
    let messages = vec![Message::system(PROMPT).into(), Message::user(text).into()];
    let options = GenerationOptions::default();
    let request = ChatRequest { model: model.to_owned(), messages, tools: Vec::new(), options };
    let asked = async {
        let mut stream = inner.ports.llm.stream(request).await?;
        let mut reply = PartialReply::default();
        while let Some(event) = stream.try_next().await? {
            reply.push(event);
            if MOST_ANSWERED < reply.text().len() + reply.reasoning().len() {
                break;
            }
        }
        Ok(first_line(reply.text()))
    };
    within(inner, DEADLINE, asked).await.unwrap_or(Err(Failure::Late))
}

/// The first line that says something, without the signs that models like to put around titles.
fn first_line(answer: &str) -> Option<String> {
    let bare = |line: &str| {
        let line = line.trim().trim_start_matches(['#', '*', ' ']);
        let line = line.strip_prefix("Title:").unwrap_or(line);
        cut(line.trim_matches(|it: char| it.is_whitespace() || "\"'`*“”„«».".contains(it)))
    };
    answer.lines().map(bare).find(|line| !line.is_empty())
}

/// The first sentence, cut at the end of a word; `None` where there is no word.
fn first_sentence(text: &str) -> Option<String> {
    let line = text.lines().map(str::trim).find(|line| line.chars().any(char::is_alphanumeric))?;
    let ends = |(at, sign): (usize, char)| {
        let rest = line.get(at + sign.len_utf8()..).unwrap_or_default();
        let is_end = matches!(sign, '.' | '!' | '?') && rest.starts_with(char::is_whitespace);
        (is_end || matches!(sign, '。' | '！' | '？')).then(|| at + sign.len_utf8())
    };
    let end = line.char_indices().find_map(ends).unwrap_or(line.len());
    let sentence = line.get(..end).unwrap_or(line).trim_end_matches(['.', '。', ' ']);
    Some(cut(sentence)).filter(|it| !it.is_empty())
}

/// At most [`MOST_CHARACTERS`], cut at the end of a word if it has one.
fn cut(text: &str) -> String {
    let Some((end, _)) = text.char_indices().nth(MOST_CHARACTERS) else { return text.to_owned() };
    // One character is kept free for the sign that there was more.
    let most = text.get(..end).and_then(|it| it.char_indices().next_back()).map_or(0, |(at, _)| at);
    let room = text.get(..most).unwrap_or_default();
    let is_whole = text.get(most..).is_some_and(|it| it.starts_with(char::is_whitespace));
    let word = if is_whole { None } else { room.rfind(char::is_whitespace) };
    let kept = room.get(..word.unwrap_or(room.len())).unwrap_or(room);
    format!("{}…", kept.trim_end_matches(|it: char| it.is_whitespace() || it == ','))
}

#[cfg(test)]
mod tests {
    use super::{MOST_CHARACTERS, first_line, first_sentence};

    #[test]
    fn the_first_sentence_is_cut_at_a_word() {
        let check = |text: &str, title: Option<&str>| {
            assert_eq!(first_sentence(text).as_deref(), title, "{text}");
        };
        check("How far is the moon? I want to go.", Some("How far is the moon?"));
        check("\n\n  Version 1.2 is out.  ", Some("Version 1.2 is out"));
        check("```\nlet x = 1;\n```", Some("let x = 1;"));
        check("今天天气很好。我们去公园。", Some("今天天气很好"));
        check("…", None);
        check("", None);
        let long =
            "please tell me everything that you know about the history of the town where I live";
        check(long, Some("please tell me everything that you know about the history…"));
        for endless in ["x".repeat(500), "é".repeat(61), "天".repeat(100)] {
            let title = first_sentence(&endless).unwrap();
            assert_eq!(title.chars().count(), MOST_CHARACTERS, "{title}");
        }
    }

    #[test]
    fn a_models_title_is_bare() {
        for answer in
            ["\"The moon\"", "**The moon**\n\nI chose this", "\n# Title: The moon.", "The moon"]
        {
            assert_eq!(first_line(answer).as_deref(), Some("The moon"), "{answer}");
        }
        assert_eq!(first_line(" \n\"\"\n"), None);
        assert!(first_line(&"so ".repeat(400)).unwrap().chars().count() <= MOST_CHARACTERS);
    }
}
