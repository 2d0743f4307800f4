//! Why a request failed, as a sentence for people.

use std::{fmt, io};

use ureq::Timeout;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a request failed, as far as a caller can act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientErrorKind {
    /// Nobody answers at the address, or it is none.
    Unreachable,
    /// The request was refused, with this status.
    Refused(u16),
    /// What came broke off.
    Broken,
    /// What came is not what was asked for.
    Unexpected,
    /// Something of ours cannot be read.
    Unreadable,
    /// Something of ours cannot be written, or whoever watches broke off.
    Unwritable,
}

/// A request failed.
#[derive(Debug)]
pub struct ClientError {
    kind: ClientErrorKind,
    sentence: String,
    code: Option<String>,
    source: Option<BoxError>,
}

impl ClientError {
    pub(crate) fn new(kind: ClientErrorKind, sentence: impl Into<String>) -> Self {
        Self { kind, sentence: sentence.into(), code: None, source: None }
    }

    /// Attaches the code of the problem that the API described.
    pub(crate) fn with_code(mut self, code: Option<&str>) -> Self {
        self.code = code.map(str::to_owned);
        self
    }

    pub(crate) fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What a caller can branch on.
    #[must_use]
    pub fn kind(&self) -> ClientErrorKind {
        self.kind
    }

    /// The stable code of the API, if it gave one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|it| &**it as _)
    }
}

/// Whether somebody answered the call: whatever went wrong did so later.
pub(crate) fn has_connected(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::BadUri(_)
        | ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => false,
        ureq::Error::Io(error) => !matches!(
            error.kind(),
            io::ErrorKind::ConnectionRefused
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::NetworkDown
                | io::ErrorKind::AddrNotAvailable
        ),
        _ => true,
    }
}

/// Whether it is certain that nobody listens.
pub(crate) fn is_nobody(error: &ureq::Error) -> bool {
    matches!(error, ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused)
}

/// The error as a source. One of an address would tell what may be secret in it.
pub(crate) fn source_of(error: ureq::Error) -> BoxError {
    match error {
        ureq::Error::BadUri(_) => "the address cannot be used".into(),
        error => error.into(),
    }
}
