//! Reading an import from a stream of bytes, session by session, whoever wrote it: an export of
//! ours as one document or as lines, ChatGPT's or Open WebUI's.
//!
//! It holds one session at a time and writes nothing; [`Importer`](super::Importer) does. What the
//! foreign formats are is said in `chatgpt` and `open_webui`.

use std::{cmp::Ordering, fmt, io::Read};

use serde::{
    Deserializer as _,
    de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    Document, ExportedSession, LastLine, Refused,
    bounds::too_long,
    chatgpt,
    error::{ImportError, ImportErrorKind},
    loose::{MAX_MEMBERS, Members, items},
    note::Notes,
    open_webui,
    scan::{Place, ScanError, Scanner},
};
use crate::{ids::SessionId, memory::FormatVersion};

/// Most bytes of a member of a document that is no session.
const MAX_MEMBER_BYTES: usize = 1024;
/// What a document of ours has; any of it may come first.
const OUR_MEMBERS: [&str; 3] = ["format", "v", "sessions"];

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

/// Where in the import the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first byte.
    Start,
    /// In the list of another program's conversations, before one, or before the end.
    Foreign { is_first: bool },
    /// In another program's only conversation, which begins here, behind its first name.
    Lone(Place),
    /// In our document, before a member, or before the end.
    Members { is_first: bool },
    /// In the sessions of our document.
    Sessions { is_first: bool },
    /// After our header: a session a line, then the last line.
    Lines,
    /// All is read, or cannot be.
    End,
}

/// The sessions of an import; it ends with its first error, and an export that was cut anywhere
/// is one.
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
    /// Sessions that were read whole.
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
                State::Lone(place) => {
                    let item = self.lone(place)?;
                    self.finish()?;
                    return Ok(Some(item));
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
                State::Lines => return self.line(),
                State::End => return Ok(None),
            }
        }
    }

    /// Looks at the first bytes for what this is.
    fn start(&mut self) -> Result<(), ImportError> {
        let place = self.scanner.place();
        let begin = self.scanner.chunk().map_err(|error| ImportError::io(error, place))?;
        if let Some(what) = packed(begin) {
            return Err(self.syntax(what));
        }
        if begin.starts_with(&[0xEF, 0xBB, 0xBF]) {
            self.scanner.pass(3);
        }
        match self.peek()? {
            Some(b'[') => self.state = State::Foreign { is_first: true },
            Some(b'{') => self.state = State::Members { is_first: true },
            Some(_) => {
                self.value(MAX_MEMBER_BYTES)?;
                return Err(self.not_json().unwrap_or_else(|| self.format(NO_EXPORT)));
            }
            None => return Err(self.truncated("there is nothing in it")),
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
                    None => Err(self.truncated(CUT)),
                }
            }
            Some(_) if is_first => Ok(true),
            Some(_) => Err(self.syntax("a comma or the end is missing")),
            None => Err(self.truncated(CUT)),
        }
    }

    /// A member of an object that is our document, or a single conversation of another program.
    fn member(&mut self) -> Result<(), ImportError> {
        let place = self.scanner.place();
        let name: String = self.read(MAX_MEMBER_BYTES)?;
        let is_first = !(self.has_format || self.has_version || self.has_sessions);
        if is_first && !OUR_MEMBERS.contains(&name.as_str()) {
            self.text.insert(0, b'{');
            self.state = State::Lone(Place { column: place.column.saturating_sub(1), ..place });
            return Ok(());
        }
        match self.peek()? {
            Some(b':') => self.scanner.pass(1),
            Some(_) => return Err(self.syntax("a colon is missing")),
            None => return Err(self.truncated(CUT)),
        }
        let Some(first) = self.peek()? else { return Err(self.truncated(CUT)) };
        match name.as_str() {
            "format" if !self.has_format => {
                let format: String = self.read(MAX_MEMBER_BYTES)?;
                self.has_format = format == Document::FORMAT;
                if self.has_format { Ok(()) } else { Err(self.format(NO_EXPORT)) }
            }
            "v" if !self.has_version => {
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

    /// A line below our header: a session, or the last one, behind which nothing may follow.
    fn line(&mut self) -> Result<Option<ImportItem>, ImportError> {
        let Some(_) = self.peek()? else { return Err(self.truncated(NO_LAST_LINE)) };
        let place = self.scanner.place();
        let is_whole = self.value(self.max_session_bytes)?;
        if !is_last_line(&self.text) {
            return self.read_session(place, is_whole).map(Some);
        }
        let LastLine::End { sessions } =
            serde_json::from_slice(&self.text).map_err(|it| self.unfit(place, &it))?;
        let what = format!("its last line tells of {sessions} sessions");
        match sessions.cmp(&self.count) {
            Ordering::Equal => self.finish().map(|()| None),
            Ordering::Greater => {
                let what = format!("the export is truncated: {what}");
                Err(ImportError::new(ImportErrorKind::Truncated, what, place))
            }
            Ordering::Less => {
                let what = format!("{what}, and {} stand before it", self.count);
                Err(ImportError::new(ImportErrorKind::Format, what, place))
            }
        }
    }

    /// A session of our document.
    fn session(&mut self) -> Result<ImportItem, ImportError> {
        let place = self.scanner.place();
        let is_whole = self.value(self.max_session_bytes)?;
        self.read_session(place, is_whole)
    }

    /// The session whose text was taken at `place`.
    fn read_session(&self, place: Place, is_whole: bool) -> Result<ImportItem, ImportError> {
        if !is_whole {
            return self.too_large();
        }
        if let Some(fault) = too_long(&self.text) {
            return self.refused(fault.code(), fault.why(&self.text));
        }
        let session: ExportedSession =
            serde_json::from_slice(&self.text).map_err(|it| self.unfit(place, &it))?;
        if let Some((fault, index)) = session.find_fault() {
            let place = index.and_then(|it| self.place_of_entry(place, it)).unwrap_or(place);
            return Err(ImportError::tree(session.id, fault, place));
        }
        Ok(ImportItem::Session(Box::new(session), Notes::default()))
    }

    /// Where an entry of the session stands whose text was taken at `start`.
    fn place_of_entry(&self, start: Place, index: usize) -> Option<Place> {
        let session: &RawValue = serde_json::from_slice(&self.text).ok()?;
        let entry = *items(Members::of(Some(session)).get("entries")).get(index)?;
        let before = entry.get().as_ptr().addr().checked_sub(self.text.as_ptr().addr())?;
        self.text.get(..before).map(|it| start.behind(it))
    }

    /// A conversation in the list of another program.
    fn foreign(&mut self) -> Result<ImportItem, ImportError> {
        let place = self.scanner.place();
        let is_whole = self.value(self.max_session_bytes)?;
        self.conversation(place, is_whole)
    }

    /// The only conversation of another program's export, of which the text has the first name.
    fn lone(&mut self, place: Place) -> Result<ImportItem, ImportError> {
        let rest = self.scanner.rest_of_object(&mut self.text, self.max_session_bytes);
        let is_whole = rest.map_err(|error| self.unscannable(error))?;
        self.conversation(place, is_whole)
    }

    /// The conversation whose text was taken at `place`.
    fn conversation(&self, place: Place, is_whole: bool) -> Result<ImportItem, ImportError> {
        if !is_whole {
            return self.too_large();
        }
        let raw: &RawValue =
            serde_json::from_slice(&self.text).map_err(|it| self.unfit(place, &it))?;
        let (fields, mut notes) = (Members::of(Some(raw)), Notes::default());
        let conversation = if fields.get("mapping").is_some() {
            chatgpt::conversation(&fields, &mut notes)
        } else if ["chat", "history", "messages"].iter().any(|it| fields.get(it).is_some()) {
            open_webui::conversation(&fields, &mut notes)
        } else if self.count == 0 {
            return Err(ImportError::new(ImportErrorKind::Format, NO_EXPORT, place));
        } else {
            return self.refused("unknown_format", "it is no conversation that is known here");
        };
        let Ok(conversation) = conversation else {
            let why = format!("the session has more than {MAX_MEMBERS} messages");
            return self.refused("too_many_messages", why);
        };
        Ok(match conversation.into_session(&self.text, &mut notes) {
            Some(session) => ImportItem::Session(Box::new(session), notes),
            None => ImportItem::Nothing(notes),
        })
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
        let numbered = || SessionId::new(format!("session {}", self.count + 1));
        let id = named(&self.text).map_or_else(numbered, Ok);
        let id = id.map_err(|error| self.format(error.to_string()))?;
        Ok(ImportItem::Refused(Refused { id, code, why: why.into() }))
    }

    fn peek(&mut self) -> Result<Option<u8>, ImportError> {
        self.scanner.peek().map_err(|error| ImportError::io(error, self.scanner.place()))
    }

    /// Takes the text of the next value, and says whether it is whole.
    fn value(&mut self, limit: usize) -> Result<bool, ImportError> {
        self.text.clear();
        // What a large session took is not kept for small ones.
        self.text.shrink_to(1 << 20);
        let whole = self.scanner.value(&mut self.text, limit);
        whole.map_err(|error| self.unscannable(error))
    }

    fn unscannable(&self, error: ScanError) -> ImportError {
        match error {
            ScanError::Truncated => self.truncated(CUT),
            ScanError::TooDeep => self.format("lists and objects nest too deep"),
            ScanError::Io(error) => ImportError::io(error, self.scanner.place()),
        }
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

    fn truncated(&self, what: &'static str) -> ImportError {
        ImportError::new(ImportErrorKind::Truncated, what, self.scanner.place())
    }

    fn syntax(&self, what: impl Into<String>) -> ImportError {
        ImportError::new(ImportErrorKind::Syntax, what, self.scanner.place())
    }

    fn format(&self, what: impl Into<String>) -> ImportError {
        ImportError::new(ImportErrorKind::Format, what, self.scanner.place())
    }
}

/// How it ends where it should not.
const CUT: &str = "it ends in the middle";
const NO_LAST_LINE: &str = "the export is truncated: its last line is missing";
/// What it is not.
const NO_EXPORT: &str =
    "this is no export of codexd (`format` and `v` come first), ChatGPT or Open WebUI";

impl<R: Read> Iterator for ImportReader<R> {
    type Item = Result<ImportItem, ImportError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.next_item().map_err(|error| error.after(self.count)).transpose()?;
        match item {
            Ok(_) => self.count += 1,
            Err(_) => self.state = State::End,
        }
        Some(item)
    }
}

/// What a file is that begins like this, if it is none of JSON in UTF-8 as it stands.
fn packed(begin: &[u8]) -> Option<&'static str> {
    match begin {
        [0xFE, 0xFF, ..] | [0xFF, 0xFE, ..] | [b'[' | b'{', 0, ..] | [0, b'[' | b'{', ..] => {
            Some("this is UTF-16 or UTF-32; save it as UTF-8")
        }
        [b'P', b'K', 3, 4, ..] => Some("this is a ZIP file; send the conversations.json in it"),
        [0x1F, 0x8B, ..] | [0x28, 0xB5, 0x2F, 0xFD, ..] | [b'B', b'Z', b'h', ..] => {
            Some("this is compressed; unpack it first")
        }
        _ => None,
    }
}

/// Whether a line is the last one, or tries to be: no session has this member.
fn is_last_line(text: &[u8]) -> bool {
    let inner = text.strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    inner.is_some_and(|it| it.starts_with(b"\"end\""))
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

#[cfg(test)]
mod tests;
