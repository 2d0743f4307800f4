//! A file from an address or a path, under its final name only when it is whole and right.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader},
    path::Path,
};

use sha2::{Digest as _, Sha256};

use crate::{
    address::{is_address, shown},
    error::{ClientError, ClientErrorKind},
    fetch::{Progress, fetch, unwritable},
};

/// What a file must be to get its final name.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Its SHA-256, in lower-case hexadecimal, if anybody knows it.
    pub sha256: Option<&'a str>,
    /// What a file of its kind begins with.
    pub begins: &'a [u8],
    /// What that kind is called.
    pub kind: &'a str,
}

/// Gets a file from `source`, an address or a path, and calls it `target`, in place of what there
/// is; returns its SHA-256. A download that broke off goes on where it was.
///
/// # Errors
///
/// When it cannot be read or written, or is not what is expected, and then it is removed.
pub fn obtain(
    source: &str,
    target: &Path,
    expected: Expected<'_>,
    show: &mut dyn FnMut(Progress),
) -> Result<String, ClientError> {
    // Named by its source, so that a part of one file is never taken for a part of another.
    let part = target.with_file_name(format!("{}.part", hex(&Sha256::digest(source))));
    if is_address(source) {
        fetch(source, &part, expected.sha256.is_some(), show)?;
    } else {
        copy(Path::new(source), &part, show)?;
    }
    let sum = verify(source, &part, expected).inspect_err(|_| drop(fs::remove_file(&part)))?;
    drop(fs::remove_file(part.with_extension("version")));
    fs::rename(&part, target).map_err(|error| unwritable(target, error))?;
    Ok(sum)
}

fn copy(source: &Path, part: &Path, show: &mut dyn FnMut(Progress)) -> Result<(), ClientError> {
    let file = File::open(source).map_err(|error| unreadable(source, error))?;
    let metadata = file.metadata().map_err(|error| unreadable(source, error))?;
    if metadata.is_dir() {
        return Err(unreadable(source, io::ErrorKind::IsADirectory.into()));
    }
    let total = Some(metadata.len());
    show(Progress { done: 0, total });
    let copied = File::create(part).and_then(|mut to| {
        let done = io::copy(&mut &file, &mut to)?;
        to.sync_all().map(|()| done)
    });
    let done = copied.map_err(|error| unwritable(part, error))?;
    show(Progress { done, total });
    Ok(())
}

fn verify(source: &str, path: &Path, expected: Expected<'_>) -> Result<String, ClientError> {
    let sum = File::open(path).and_then(|file| hash(file, expected.begins));
    let wrong = |sentence| Err(ClientError::new(ClientErrorKind::Unexpected, sentence));
    match sum.map_err(|error| unreadable(path, error))? {
        None => wrong(format!("{} is no {}; {}", shown(source), expected.kind, left(source))),
        Some(sum) if expected.sha256.is_some_and(|it| it != sum) => {
            wrong(format!("{} has sha256 {sum}; {}", shown(source), left(source)))
        }
        Some(sum) => Ok(sum),
    }
}

/// What is left of a file that is not what it should be.
fn left(source: &str) -> &'static str {
    if is_address(source) {
        "what was fetched of it was removed"
    } else {
        "it was left as it is, and its copy removed"
    }
}

/// The SHA-256 of a file; `None` if it begins otherwise.
fn hash(file: File, begins: &[u8]) -> io::Result<Option<String>> {
    let (mut file, mut hash) = (BufReader::with_capacity(1 << 20, file), Sha256::new());
    if !file.fill_buf()?.starts_with(begins) {
        return Ok(None);
    }
    while let chunk = file.fill_buf()?
        && !chunk.is_empty()
    {
        hash.update(chunk);
        let length = chunk.len();
        file.consume(length);
    }
    Ok(Some(hex(&hash.finalize())))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unreadable(path: &Path, error: io::Error) -> ClientError {
    let sentence = format!("cannot read {}", path.display());
    ClientError::new(ClientErrorKind::Unreadable, sentence).with_source(error)
}
