//! Reading an import from a stream of bytes, session by session, whoever wrote it: an export of
//! ours as one document or as lines, ChatGPT's or Open WebUI's.
//!
//! It holds one session at a time and writes nothing; [`Importer`](super::Importer) does. What the
//! foreign formats are is said in `chatgpt` and `open_webui`.

use std::{fmt, io, io::Read};

use serde::{
    Deserializer as _,
    de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    Document, ExportedSession, Refused, chatgpt,
    loose::Members,
    note::Notes,
    open_webui,
    scan::{Place, ScanError, Scanner},
};
use crate::{BoxError, ids::SessionId, memory::FormatVersion};

/// Most bytes of a member of a document that is no session.
const MAX_MEMBER_BYTES: usize = 1024;

/// What one session of an import is.
#[derive(Debug)]
pub enum ImportItem {
    /// A session, and what is not as it was.
    Session(Box<ExportedSession>, Notes),
    /// A session without messages.
    Nothing(Notes),
    /// One that cannot come in.
    Refused(Refused),
}

/// Why an import cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportErrorKind {
    /// It is not JSON.
    Syntax,
    /// It is JSON, but no export that we know, or one that does not hold together.
    Format,
    /// It is an export of ours of another version.
    Version,
    /// Its bytes cannot be read.
    Io,
}

/// An import cannot be read on from here.
#[derive(Debug)]
pub struct ImportError {
    kind: ImportErrorKind,
    what: String,
    place: Place,
    source: Option<BoxError>,
}

impl ImportError {
    fn new(kind: ImportErrorKind, what: impl Into<String>, place: Place) -> Self {
        Self { kind, what: what.into(), place, source: None }
    }

    /// What a caller can branch on.
    #[must_use]
    pub fn kind(&self) -> ImportErrorKind {
        self.kind
    }

    /// Where in the import.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// What is wrong there, for people.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { line, column, .. } = self.place;
        write!(f, "the import cannot be read at line {line}, column {column}: {}", self.what)
    }
}

impl std::error::Error for ImportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|it| &**it as _)
    }
}

/// Where in the import the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first byte.
    Start,
    /// In the list of another program's conversations, before one, or before the end.
    Foreign { is_first: bool },
    /// In our document, before a member, or before the end.
    Members { is_first: bool },
    /// In the sessions of our document.
    Sessions { is_first: bool },
    /// After our header: a session a line.
    Lines,
    /// All is read, or cannot be.
    End,
}

/// The sessions of an import; it ends with its first error.
///
/// Reads as far as it must for the next session, and holds no more of a session than it was made
/// to allow: longer ones are [`ImportItem::Refused`].
#[derive(Debug)]
pub struct ImportReader<R> {
    scanner: Scanner<R>,
    max_session_bytes: usize,
    state: State,
    has_format: bool,
    has_version: bool,
    has_sessions: bool,
    /// Sessions so far.
    count: u64,
    text: Vec<u8>,
}

impl<R: Read> ImportReader<R> {
    /// Reads from `reader`; no session may have more than `max_session_bytes` of JSON.
    pub fn new(reader: R, max_session_bytes: usize) -> Self {
        Self {
            scanner: Scanner::new(reader),
            max_session_bytes,
            state: State::Start,
            has_format: false,
            has_version: false,
            has_sessions: false,
            count: 0,
            text: Vec::new(),
        }
    }

    fn next_item(&mut self) -> Result<Option<ImportItem>, ImportError> {
        loop {
            match self.state {
                State::Start => self.start()?,
                State::Foreign { is_first } => {
                    if self.goes_on(b']', is_first)? {
                        self.state = State::Foreign { is_first: false };
                        return self.foreign().map(Some);
                    }
                    self.finish()?;
                }
                State::Members { is_first } => {
                    if self.goes_on(b'}', is_first)? {
                        self.state = State::Members { is_first: false };
                        self.member()?;
                    } else {
                        self.end_of_header()?;
                    }
                }
                State::Sessions { is_first } => {
                    if self.goes_on(b']', is_first)? {
                        self.state = State::Sessions { is_first: false };
                        return self.session().map(Some);
                    }
                    self.state = State::Members { is_first: false };
                }
                State::Lines => match self.peek()? {
                    Some(_) => return self.session().map(Some),
                    None => self.state = State::End,
                },
                State::End => return Ok(None),
            }
        }
    }

    /// Looks at the first bytes for what this is.
    fn start(&mut self) -> Result<(), ImportError> {
        let place = self.scanner.place();
        let begin = self.scanner.chunk().map_err(|error| io_error(error, place))?;
        match begin {
            [0xEF, 0xBB, 0xBF, ..] => self.scanner.pass(3),
            [0xFE, 0xFF, ..] | [0xFF, 0xFE, ..] => {
                return Err(self.syntax("this is UTF-16; save it as UTF-8"));
            }
            [b'P', b'K', 3, 4, ..] => {
                return Err(self.syntax("this is a ZIP file; send the conversations.json in it"));
            }
            [0x1F, 0x8B, ..] => return Err(self.syntax("this is compressed; unpack it first")),
            _ => {}
        }
        match self.peek()? {
            Some(b'[') => self.state = State::Foreign { is_first: true },
            Some(b'{') => self.state = State::Members { is_first: true },
            Some(_) => {
                self.value(MAX_MEMBER_BYTES)?;
                return Err(self.not_json().unwrap_or_else(|| self.format(NO_EXPORT)));
            }
            None => return Err(self.syntax("there is nothing in it")),
        }
        self.scanner.pass(1);
        Ok(())
    }

    /// Whether a list or an object goes on; passes the comma, or the end.
    fn goes_on(&mut self, end: u8, is_first: bool) -> Result<bool, ImportError> {
        match self.peek()? {
            Some(byte) if byte == end => {
                self.scanner.pass(1);
                Ok(false)
            }
            Some(b',') if !is_first => {
                self.scanner.pass(1);
                match self.peek()? {
                    Some(byte) if byte == end => Err(self.syntax("there is a comma too many")),
                    Some(_) => Ok(true),
                    None => Err(self.truncated()),
                }
            }
            Some(_) if is_first => Ok(true),
            Some(_) => Err(self.syntax("a comma or the end is missing")),
            None => Err(self.truncated()),
        }
    }

    /// A member of an object that is our document, or a single conversation of another program.
    fn member(&mut self) -> Result<(), ImportError> {
        let place = self.scanner.place();
        let name: String = self.read(MAX_MEMBER_BYTES)?;
        if self.peek()? != Some(b':') {
            return Err(self.syntax("a colon is missing"));
        }
        self.scanner.pass(1);
        let Some(first) = self.peek()? else { return Err(self.truncated()) };
        match name.as_str() {
            "format" => {
                let format: String = self.read(MAX_MEMBER_BYTES)?;
                self.has_format = format == Document::FORMAT;
                if self.has_format { Ok(()) } else { Err(self.format(NO_EXPORT)) }
            }
            "v" => {
                let _: FormatVersion = self.read(MAX_MEMBER_BYTES)?;
                self.has_version = true;
                Ok(())
            }
            "sessions" if first == b'[' && !self.has_sessions => {
                self.scanner.pass(1);
                self.has_sessions = true;
                self.state = State::Sessions { is_first: true };
                Ok(())
            }
            _ if self.has_format => {
                let what = format!("the document has a member `{name}` that it may not have");
                Err(ImportError::new(ImportErrorKind::Format, what, place))
            }
            _ => Err(ImportError::new(ImportErrorKind::Format, NO_EXPORT, place)),
        }
    }

    /// After the object that our exports begin with.
    fn end_of_header(&mut self) -> Result<(), ImportError> {
        if !self.has_format || !self.has_version {
            return Err(self.format(NO_EXPORT));
        }
        if self.has_sessions {
            return self.finish();
        }
        self.state = State::Lines;
        Ok(())
    }

    /// Nothing may follow.
    fn finish(&mut self) -> Result<(), ImportError> {
        self.state = State::End;
        if self.peek()?.is_some() {
            return Err(self.syntax("something follows where the export has ended"));
        }
        Ok(())
    }

    /// A session of ours.
    fn session(&mut self) -> Result<ImportItem, ImportError> {
        let place = self.next_place()?;
        if !self.value(self.max_session_bytes)? {
            return self.too_large();
        }
        let session: ExportedSession =
            serde_json::from_slice(&self.text).map_err(|it| self.unfit(place, &it))?;
        session.check_tree().map_err(|error| {
            let what = format!("session `{}`: {}", session.id, error.kind());
            ImportError::new(ImportErrorKind::Format, what, place)
        })?;
        Ok(ImportItem::Session(Box::new(session), Notes::default()))
    }

    /// A conversation of another program.
    fn foreign(&mut self) -> Result<ImportItem, ImportError> {
        let place = self.next_place()?;
        if !self.value(self.max_session_bytes)? {
            return self.too_large();
        }
        let raw: &RawValue =
            serde_json::from_slice(&self.text).map_err(|it| self.unfit(place, &it))?;
        let (fields, mut notes) = (Members::of(Some(raw)), Notes::default());
        let conversation = if fields.get("mapping").is_some() {
            chatgpt::conversation(&fields, &mut notes)
        } else if ["chat", "history", "messages"].iter().any(|it| fields.get(it).is_some()) {
            open_webui::conversation(&fields, &mut notes)
        } else if self.count == 1 {
            return Err(ImportError::new(ImportErrorKind::Format, NO_EXPORT, place));
        } else {
            return self.refused("unknown_format", "it is no conversation that is known here");
        };
        Ok(match conversation.into_session(&self.text, &mut notes) {
            Some(session) => ImportItem::Session(Box::new(session), notes),
            None => ImportItem::Nothing(notes),
        })
    }

    fn next_place(&mut self) -> Result<Place, ImportError> {
        self.count += 1;
        self.peek()?;
        Ok(self.scanner.place())
    }

    fn too_large(&self) -> Result<ImportItem, ImportError> {
        let why = format!("the session has more than {} bytes", self.max_session_bytes);
        self.refused("session_too_large", why)
    }

    /// A refusal of the session whose text was read, as far as it was.
    fn refused(
        &self,
        code: &'static str,
        why: impl Into<String>,
    ) -> Result<ImportItem, ImportError> {
        let numbered = || SessionId::new(format!("session {}", self.count));
        let id = named(&self.text).map_or_else(numbered, Ok);
        let id = id.map_err(|error| self.format(error.to_string()))?;
        Ok(ImportItem::Refused(Refused { id, code, why: why.into() }))
    }

    fn peek(&mut self) -> Result<Option<u8>, ImportError> {
        self.scanner.peek().map_err(|error| io_error(error, self.scanner.place()))
    }

    /// Takes the text of the next value, and says whether it is whole.
    fn value(&mut self, limit: usize) -> Result<bool, ImportError> {
        self.text.clear();
        // What a large session took is not kept for small ones.
        self.text.shrink_to(1 << 20);
        self.scanner.value(&mut self.text, limit).map_err(|error| match error {
            ScanError::Truncated => self.truncated(),
            ScanError::TooDeep => self.format("lists and objects nest too deep"),
            ScanError::Io(error) => io_error(error, self.scanner.place()),
        })
    }

    fn read<T: DeserializeOwned>(&mut self, limit: usize) -> Result<T, ImportError> {
        self.peek()?;
        let place = self.scanner.place();
        if !self.value(limit)? {
            return Err(ImportError::new(ImportErrorKind::Format, NO_EXPORT, place));
        }
        serde_json::from_slice(&self.text).map_err(|error| self.unfit(place, &error))
    }

    fn not_json(&self) -> Option<ImportError> {
        let error = serde_json::from_slice::<&RawValue>(&self.text).err()?;
        Some(self.syntax(without_place(&error)))
    }

    /// Why the text that was read from `start` on is not what it should be.
    fn unfit(&self, start: Place, error: &serde_json::Error) -> ImportError {
        let syntax = serde_json::from_slice::<&RawValue>(&self.text).err();
        let kind = match &syntax {
            Some(_) => ImportErrorKind::Syntax,
            None if error.to_string().starts_with("format version") => ImportErrorKind::Version,
            None => ImportErrorKind::Format,
        };
        let error = syntax.as_ref().unwrap_or(error);
        let (line, column) = (error.line().max(1) as u64, error.column().max(1) as u64);
        let before = if line == 1 { start.column.saturating_sub(1) } else { 0 };
        let place = Place { line: start.line + line - 1, column: before + column, ..start };
        ImportError::new(kind, without_place(error), place)
    }

    fn truncated(&self) -> ImportError {
        self.syntax("it ends in the middle")
    }

    fn syntax(&self, what: impl Into<String>) -> ImportError {
        ImportError::new(ImportErrorKind::Syntax, what, self.scanner.place())
    }

    fn format(&self, what: impl Into<String>) -> ImportError {
        ImportError::new(ImportErrorKind::Format, what, self.scanner.place())
    }
}

/// What it is not.
const NO_EXPORT: &str =
    "this is no export of codexd (`format` and `v` come first), ChatGPT or Open WebUI";

impl<R: Read> Iterator for ImportReader<R> {
    type Item = Result<ImportItem, ImportError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.next_item();
        if item.is_err() {
            self.state = State::End;
        }
        item.transpose()
    }
}

/// What a session calls itself, in as much of its text as there is.
fn named(text: &[u8]) -> Option<SessionId> {
    let (mut id, mut title) = (None, None);
    let names = Names { id: &mut id, title: &mut title };
    // The text ends somewhere; what was read before is what counts.
    drop(serde_json::Deserializer::from_slice(text).deserialize_map(names));
    id.or(title).and_then(|name| SessionId::new(name).ok())
}

struct Names<'n> {
    id: &'n mut Option<String>,
    title: &'n mut Option<String>,
}

impl<'de> Visitor<'de> for Names<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a session")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "id" | "conversation_id" => *self.id = map.next_value()?,
                "title" => *self.title = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(what, _)| what.to_owned())
}

fn io_error(error: io::Error, place: Place) -> ImportError {
    let what = "the bytes cannot be read";
    ImportError { source: Some(error.into()), ..ImportError::new(ImportErrorKind::Io, what, place) }
}

#[cfg(test)]
mod tests;
