//! What is sent: bytes of a known length, read as they go. It knows no connection.

use std::{
    fs::File,
    io::{self, Read, Seek as _},
};

/// A body to send.
#[derive(Debug)]
pub struct Body<R> {
    /// Its media type.
    pub media_type: &'static str,
    /// How many bytes it has.
    pub length: u64,
    /// The bytes.
    pub reader: R,
}

/// Keeps what comes from `from` in a file without a name, ready to be read, and returns its length
/// too: a pipe does not tell it, and may pause.
///
/// # Errors
///
/// When `from` cannot be read, or the disk has no room.
pub fn spool(mut from: impl Read) -> io::Result<(File, u64)> {
    let mut file = tempfile::tempfile()?;
    let length = io::copy(&mut from, &mut file)?;
    file.rewind()?;
    Ok((file, length))
}

/// Gives as many bytes as were promised, and remembers why it could not.
pub(crate) struct Source<R> {
    reader: R,
    left: u64,
    failed: Option<io::Error>,
}

impl<R: Read> Source<R> {
    pub(crate) fn new(reader: R, length: u64) -> Self {
        Self { reader, left: length, failed: None }
    }

    /// Why nothing more came of it, if that was its fault.
    pub(crate) fn into_error(self) -> Option<io::Error> {
        self.failed
    }
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = buffer.get_mut(..most).unwrap_or_default();
        let error = loop {
            match self.reader.read(buffer) {
                Ok(0) if 0 < most => break io::Error::other("it has become shorter"),
                Ok(count) => {
                    self.left = self.left.saturating_sub(count as u64);
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break error,
            }
        };
        let kind = error.kind();
        self.failed = Some(error);
        Err(kind.into())
    }
}
