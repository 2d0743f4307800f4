//! What can go wrong with an answer, as data with names.
//!
//! It says what; `play` does it.

use std::{fmt, str::FromStr};

/// Pause between the pieces of an answer that drips, in milliseconds, unless told.
const DRIP_MS: u64 = 10;

/// Where in an answer something goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum At {
    /// Before the status line.
    Head,
    /// After the head, before the first content. What a wire sends before content comes first.
    Start,
    /// After the first content.
    Content,
    /// After so many bytes of the body.
    Byte(usize),
}

/// What goes wrong with an answer.
///
/// Its text form is a name with an argument: `cut:200`, `stall:start`, `429:7`. Where the argument
/// is left out, things go wrong after the first content.
///
/// ```
/// use brain_testkit::model_server::{At, Fault};
///
/// assert_eq!("cut:200".parse(), Ok(Fault::Cut(At::Byte(200))));
/// assert_eq!("stall".parse(), Ok(Fault::Stall(At::Content)));
/// assert_eq!(Fault::Status { status: 429, retry_after: Some(7) }.to_string(), "429:7");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The connection ends, without the end of the body.
    Cut(At),
    /// The body ends as a whole one does, but the answer is not whole.
    End(At),
    /// Nothing more comes.
    Stall(At),
    /// The connection is reset.
    Reset(At),
    /// A few bytes at a time, with so many milliseconds between them.
    Drip(u64),
    /// A piece that is no JSON.
    BadJson(At),
    /// An error in the body, though the status was 200.
    Error(At),
    /// A refusal by this status.
    Status {
        /// 400 to 599.
        status: u16,
        /// `Retry-After`, in seconds.
        retry_after: Option<u32>,
    },
    /// A `Content-Type` that is not true.
    ContentType,
    /// No `index` anywhere.
    NoIndex,
    /// No `id` anywhere.
    NoId,
    /// Nothing of what the answer cost.
    NoUsage,
    /// The same id for every tool call.
    SameIds,
    /// Ten thousand pieces of one letter.
    TinyChunks,
    /// A piece of 10 MiB without a line end.
    LongLine(At),
    /// A head and nothing else.
    Empty,
    /// A web page with status 502, as a proxy sends it.
    Html,
    /// Letters of several bytes, of which each comes alone.
    SplitUtf8,
    /// Lines end in CR LF.
    Crlf,
    /// Something to skip before each piece.
    Comments,
}

/// The names of faults, what may follow them, and what they do; for people.
pub const FAULTS: &[(&str, &str)] = &[
    ("cut[:PLACE]", "the connection ends, without the end of the body"),
    ("end[:PLACE]", "the body ends well, but the answer is not whole"),
    ("stall[:PLACE]", "nothing more comes"),
    ("reset[:PLACE]", "the connection is reset"),
    ("drip[:MS]", "a few bytes each MS milliseconds (10)"),
    ("bad-json[:start|content]", "a piece that is no JSON"),
    ("error[:start|content]", "an error in the body, though the status is 200"),
    ("STATUS[:SECONDS]", "a refusal (400 to 599), with Retry-After or without"),
    ("content-type", "a Content-Type that is not true"),
    ("no-index", "no `index` anywhere"),
    ("no-id", "no `id` anywhere"),
    ("no-usage", "nothing of what the answer cost"),
    ("same-ids", "the same id for every tool call"),
    ("tiny-chunks", "10,000 pieces of one letter"),
    ("long-line[:start|content]", "a piece of 10 MiB without a line end"),
    ("empty", "a head and nothing else"),
    ("html", "a web page with status 502"),
    ("split-utf8", "letters of several bytes, each byte alone"),
    ("crlf", "lines end in CR LF"),
    ("comments", "something to skip before each piece"),
];

/// A text that names no fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFault(String);

impl fmt::Display for UnknownFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = FAULTS.iter().map(|(name, _)| *name).collect();
        write!(f, "there is no fault `{}`; take one of {}", self.0, names.join(", "))
    }
}

impl std::error::Error for UnknownFault {}

impl Fault {
    /// Every fault, at every place where it can be.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let anywhere = [At::Head, At::Start, At::Content, At::Byte(200)];
        let in_body = [At::Start, At::Content];
        let mut all = Vec::new();
        all.extend(anywhere.map(Self::Cut));
        all.extend([At::Start, At::Content, At::Byte(200)].map(Self::End));
        all.extend(anywhere.map(Self::Stall));
        all.extend(anywhere.map(Self::Reset));
        all.push(Self::Drip(DRIP_MS));
        all.extend(in_body.map(Self::BadJson));
        all.extend(in_body.map(Self::Error));
        let statuses = [(429, None), (429, Some(7)), (500, None), (503, None)];
        all.extend(statuses.map(|(status, retry_after)| Self::Status { status, retry_after }));
        all.extend([Self::ContentType, Self::NoIndex, Self::NoId, Self::NoUsage, Self::SameIds]);
        all.push(Self::TinyChunks);
        all.extend(in_body.map(Self::LongLine));
        all.extend([Self::Empty, Self::Html, Self::SplitUtf8, Self::Crlf, Self::Comments]);
        all
    }

    /// Whether it leaves a whole answer that can be read.
    #[must_use]
    pub fn is_harmless(self) -> bool {
        match self {
            Self::Drip(_)
            | Self::ContentType
            | Self::NoIndex
            | Self::NoId
            | Self::NoUsage
            | Self::SameIds
            | Self::TinyChunks
            | Self::SplitUtf8
            | Self::Crlf
            | Self::Comments => true,
            Self::Cut(_)
            | Self::End(_)
            | Self::Stall(_)
            | Self::Reset(_)
            | Self::BadJson(_)
            | Self::Error(_)
            | Self::Status { .. }
            | Self::LongLine(_)
            | Self::Empty
            | Self::Html => false,
        }
    }

    /// The name, and where it happens if it has a place.
    fn name(self) -> (&'static str, Option<At>) {
        match self {
            Self::Cut(at) => ("cut", Some(at)),
            Self::End(at) => ("end", Some(at)),
            Self::Stall(at) => ("stall", Some(at)),
            Self::Reset(at) => ("reset", Some(at)),
            Self::BadJson(at) => ("bad-json", Some(at)),
            Self::Error(at) => ("error", Some(at)),
            Self::LongLine(at) => ("long-line", Some(at)),
            Self::Drip(_) => ("drip", None),
            Self::Status { .. } => ("status", None),
            Self::ContentType => ("content-type", None),
            Self::NoIndex => ("no-index", None),
            Self::NoId => ("no-id", None),
            Self::NoUsage => ("no-usage", None),
            Self::SameIds => ("same-ids", None),
            Self::TinyChunks => ("tiny-chunks", None),
            Self::Empty => ("empty", None),
            Self::Html => ("html", None),
            Self::SplitUtf8 => ("split-utf8", None),
            Self::Crlf => ("crlf", None),
            Self::Comments => ("comments", None),
        }
    }

    /// Where it happens, if that is a place of its own.
    pub(super) fn place(self) -> Option<At> {
        self.name().1
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => f.write_str("head"),
            Self::Start => f.write_str("start"),
            Self::Content => f.write_str("content"),
            Self::Byte(count) => write!(f, "{count}"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.name()) {
            (Self::Status { status, retry_after: None }, _) => write!(f, "{status}"),
            (Self::Status { status, retry_after: Some(after) }, _) => write!(f, "{status}:{after}"),
            (Self::Drip(pause), (name, _)) => write!(f, "{name}:{pause}"),
            (_, (name, Some(at))) => write!(f, "{name}:{at}"),
            (_, (name, None)) => f.write_str(name),
        }
    }
}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Self, UnknownFault> {
        let (name, argument) = text.split_once(':').map_or((text, None), |(a, b)| (a, Some(b)));
        read(name, argument).ok_or_else(|| UnknownFault(text.to_owned()))
    }
}

fn read(name: &str, argument: Option<&str>) -> Option<Fault> {
    if let Some(fault) = plain(name) {
        return argument.is_none().then_some(fault);
    }
    if let Some(status) = name.parse().ok().filter(|it| (400..600).contains(it)) {
        let retry_after = argument.map(str::parse).transpose().ok()?;
        return Some(Fault::Status { status, retry_after });
    }
    if name == "drip" {
        return argument.map_or(Ok(DRIP_MS), str::parse).ok().map(Fault::Drip);
    }
    let at = place(argument.unwrap_or("content"))?;
    let in_body = matches!(at, At::Start | At::Content);
    match name {
        "cut" => Some(Fault::Cut(at)),
        "stall" => Some(Fault::Stall(at)),
        "reset" => Some(Fault::Reset(at)),
        "end" => (at != At::Head).then_some(Fault::End(at)),
        "bad-json" => in_body.then_some(Fault::BadJson(at)),
        "error" => in_body.then_some(Fault::Error(at)),
        "long-line" => in_body.then_some(Fault::LongLine(at)),
        _ => None,
    }
}

fn plain(name: &str) -> Option<Fault> {
    let plain = [
        Fault::ContentType,
        Fault::NoIndex,
        Fault::NoId,
        Fault::NoUsage,
        Fault::SameIds,
        Fault::TinyChunks,
        Fault::Empty,
        Fault::Html,
        Fault::SplitUtf8,
        Fault::Crlf,
        Fault::Comments,
    ];
    plain.into_iter().find(|it| it.name().0 == name)
}

fn place(text: &str) -> Option<At> {
    match text {
        "head" => Some(At::Head),
        "start" => Some(At::Start),
        "content" => Some(At::Content),
        number => number.parse().ok().map(At::Byte),
    }
}
