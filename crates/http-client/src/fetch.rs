//! A file by its address: what is missing of it, or all of it if the server has another version.
//!
//! It judges no content; whoever asked for the file does.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
    time::Duration,
};

use ureq::{
    Agent, Body,
    http::{Response, StatusCode},
};

use crate::{
    address::shown,
    error::{ClientError, ClientErrorKind, source_of},
};

/// How far a file is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that are there.
    pub done: u64,
    /// Of how many; `None` where the server does not say.
    pub total: Option<u64>,
}

/// Fetches what is missing of `part`, or all of it if the server has another version of the file
/// or knows no parts. Beside a part lies the version that it is of, in a file `….version`.
///
/// A file whose server does not say its length is only fetched if `is_checked`, since nobody could
/// tell whether it is whole.
///
/// # Errors
///
/// When the server cannot be reached or refuses, the file is not whole, or cannot be written; what
/// there is stays for the next attempt.
pub(crate) fn fetch(
    url: &str,
    part: &Path,
    is_checked: bool,
    show: &mut dyn FnMut(Progress),
) -> Result<(), ClientError> {
    let version = part.with_extension("version");
    let have = part.metadata().map_or(0, |it| it.len());
    let response = ask(url, have, fs::read_to_string(&version).ok().filter(|_| 0 < have))?;
    let range = header(&response, "content-range").unwrap_or_default();
    let done = match response.status() {
        StatusCode::PARTIAL_CONTENT if range.starts_with(&format!("bytes {have}-")) => have,
        StatusCode::OK => 0,
        // All of it is there already.
        StatusCode::RANGE_NOT_SATISFIABLE if range == format!("bytes */{have}") => return Ok(()),
        status => {
            drop(fs::remove_file(&version));
            let url = shown(url);
            let sentence =
                format!("{url} answered {status}; if the command is run again, it starts anew");
            return Err(ClientError::new(ClientErrorKind::Refused(status.as_u16()), sentence));
        }
    };
    let length = response.body().content_length().map(|it| done + it);
    if !is_checked && length.is_none() {
        let sentence = format!("{} does not say its length; use --sha256", shown(url));
        return Err(ClientError::new(ClientErrorKind::Unexpected, sentence));
    }
    if done == 0 {
        note_version(&response, part, &version).map_err(|error| unwritable(part, error))?;
    }
    write(response, part, Progress { done, total: length }, show)
}

fn ask(url: &str, have: u64, known: Option<String>) -> Result<Response<Body>, ClientError> {
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .build()
        .into();
    let mut request = agent.get(url).header("accept-encoding", "identity");
    if let Some(known) = known {
        request = request.header("range", format!("bytes={have}-")).header("if-range", known);
    }
    request.call().map_err(|error| {
        let sentence = format!("cannot fetch {}", shown(url));
        ClientError::new(ClientErrorKind::Unreachable, sentence).with_source(source_of(error))
    })
}

/// Begins anew, and remembers of which version, if the server names it for good.
fn note_version(response: &Response<Body>, part: &Path, version: &Path) -> io::Result<()> {
    let strong = header(response, "etag").filter(|it| !it.starts_with("W/"));
    drop(fs::remove_file(version));
    if let Some(it) = strong.or_else(|| header(response, "last-modified")) {
        File::create(part)?;
        fs::write(version, it)?;
    }
    Ok(())
}

fn write(
    response: Response<Body>,
    part: &Path,
    mut progress: Progress,
    show: &mut dyn FnMut(Progress),
) -> Result<(), ClientError> {
    let file = File::options().create(true).append(true).open(part);
    let file = file.and_then(|file| file.set_len(progress.done).map(|()| file));
    let file = file.map_err(|error| unwritable(part, error))?;
    let mut body = response.into_body().into_reader();
    let mut buffer = vec![0; 64 * 1024];
    show(progress);
    loop {
        let count = body.read(&mut buffer).map_err(not_whole)?;
        let piece = buffer.get(..count).unwrap_or_default();
        if piece.is_empty() {
            break;
        }
        io::Write::write_all(&mut &file, piece).map_err(|error| unwritable(part, error))?;
        progress.done += count as u64;
        show(progress);
    }
    file.sync_all().map_err(|error| unwritable(part, error))?;
    if progress.total.is_some_and(|total| total != progress.done) {
        return Err(not_whole(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(())
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

fn not_whole(error: io::Error) -> ClientError {
    let sentence = "the file is not whole; run the command again to fetch the rest";
    ClientError::new(ClientErrorKind::Broken, sentence).with_source(error)
}

pub(crate) fn unwritable(path: &Path, error: io::Error) -> ClientError {
    let sentence = format!("cannot write {}", path.display());
    ClientError::new(ClientErrorKind::Unwritable, sentence).with_source(error)
}
