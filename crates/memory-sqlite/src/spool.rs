//! An export, laid aside in a file that has no name: written from one state of the database at the
//! disk's speed, then read at the client's.
//!
//! It knows nothing of databases.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write},
    path::Path,
};

use brain_core::ids::Seq;

const BUFFER_BYTES: usize = 64 << 10;
const HEAD: u8 = 1;
const ENTRY: u8 = 2;

/// One piece of an export.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A session, as the JSON of its head.
    Head(String),
    /// An entry of the session before it: position, parent and JSON.
    Entry(Seq, Option<Seq>, String),
}

impl Frame {
    pub(crate) fn json(&self) -> &str {
        match self {
            Self::Head(json) | Self::Entry(_, _, json) => json,
        }
    }
}

/// The file while it is written; dropping it gives the room back.
#[derive(Debug)]
pub(crate) struct Spool(BufWriter<File>);

impl Spool {
    /// A file in `folder`, which nobody can open and no crash leaves behind.
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        let file = tempfile::tempfile_in(folder)?;
        Ok(Self(BufWriter::with_capacity(BUFFER_BYTES, file)))
    }

    pub(crate) fn head(&mut self, json: &str) -> io::Result<()> {
        self.0.write_all(&[HEAD])?;
        self.text(json)
    }

    pub(crate) fn entry(&mut self, seq: Seq, parent: Option<Seq>, json: &str) -> io::Result<()> {
        self.0.write_all(&[ENTRY])?;
        self.0.write_all(&seq.0.to_le_bytes())?;
        // No entry has position 0.
        self.0.write_all(&parent.unwrap_or_default().0.to_le_bytes())?;
        self.text(json)
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        self.0.write_all(&(text.len() as u64).to_le_bytes())?;
        self.0.write_all(text.as_bytes())
    }

    /// The same file, to be read from its beginning.
    pub(crate) fn finish(self) -> io::Result<Spooled> {
        let mut file = self.0.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        Ok(Spooled(BufReader::with_capacity(BUFFER_BYTES, file)))
    }
}

/// The file while it is read; dropping it gives the room back.
#[derive(Debug)]
pub(crate) struct Spooled(BufReader<File>);

impl Spooled {
    /// The next piece; `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Frame>> {
        if self.0.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let mut kind = [0];
        self.0.read_exact(&mut kind)?;
        if kind == [HEAD] {
            return Ok(Some(Frame::Head(self.text()?)));
        }
        let (seq, parent) = (Seq(self.number()?), Seq(self.number()?));
        let parent = (parent != Seq(0)).then_some(parent);
        Ok(Some(Frame::Entry(seq, parent, self.text()?)))
    }

    fn number(&mut self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.0.read_exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn text(&mut self) -> io::Result<String> {
        let length = self.number()?;
        let mut text = String::new();
        let read = Read::by_ref(&mut self.0).take(length).read_to_string(&mut text)?;
        if read as u64 == length { Ok(text) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io};

    use brain_core::ids::Seq;

    use super::{Frame, Spool};

    #[test]
    fn what_was_laid_aside_comes_back_and_has_no_name() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::create(folder.path()).unwrap();
        let long = "ä\0".repeat(100_000);
        spool.head("{}").unwrap();
        spool.entry(Seq(1), None, &long).unwrap();
        spool.entry(Seq(7), Some(Seq(1)), "").unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let mut spooled = spool.finish().unwrap();
        let mut frames = Vec::new();
        while let Some(frame) = spooled.next().unwrap() {
            frames.push(frame);
        }
        let (one, seven) = (Seq(1), Seq(7));
        assert_eq!(frames.first().unwrap(), &Frame::Head("{}".to_owned()));
        assert_eq!(frames.get(1).unwrap(), &Frame::Entry(one, None, long));
        assert_eq!(frames.get(2).unwrap(), &Frame::Entry(seven, Some(one), String::new()));
        assert_eq!(frames.len(), 3);
    }

    /// Every write to this device finds it full.
    #[test]
    fn a_full_disk_is_said() {
        let file = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut spool = Spool(io::BufWriter::new(file));
        let long = "x".repeat(100_000);
        let error = spool.entry(Seq(1), None, &long).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
