//! Memory into a file, and out of one.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::Path,
    time::Duration,
};

use http_client::{Body, Client, array_of, spool, text_of};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::{
    code::{Code, OK},
    failure::Failure,
    terminal::{in_line, name, print, warn},
};

/// How an export is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One document.
    Json,
    /// A session a line.
    Ndjson,
}

/// What becomes of a session of an import whose name another one has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConflict {
    /// It is left out, and told.
    Refuse,
    /// It gets another name.
    Rename,
}

/// Writes everything that is remembered to `output`, or to standard output. Returns the exit code.
///
/// # Errors
///
/// When no daemon answers, the export breaks off, or cannot be written; a file is whole or not there.
pub fn export(client: &Client, output: Option<&Path>, format: Format) -> Result<u8, Failure> {
    let media_type = match format {
        Format::Json => "application/json",
        Format::Ndjson => "application/x-ndjson",
    };
    let body = client.read("memory/export", &[], media_type)?;
    match output {
        Some(path) => to_file(body, path)?,
        None => _ = copy(body, io::stdout().lock(), "standard output")?,
    }
    Ok(OK)
}

/// What is under the name is a whole export, the new one or the old one.
fn to_file(body: impl Read, path: &Path) -> Result<(), Failure> {
    // Neither a link nor a device is replaced.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let name = path.display().to_string();
    let cannot = |error| Failure::writing(&name, error);
    if path.exists() && !path.is_file() {
        let device = File::options().write(true).open(path).map_err(cannot)?;
        return copy(body, device, &name).map(drop);
    }
    let mut part = path.to_owned();
    part.as_mut_os_string().push(".part");
    let bar = ProgressBar::new_spinner().with_style(style("{bytes}"));
    let file = File::create(&part).map_err(cannot)?;
    let written = copy(bar.wrap_read(body), &file, &name).and_then(|written| {
        file.sync_all().and_then(|()| fs::rename(&part, path)).map_err(cannot)?;
        Ok(written)
    });
    bar.finish_and_clear();
    let written = written.inspect_err(|_| drop(fs::remove_file(&part)))?;
    warn(format_args!("{name}: {written} bytes\n"));
    Ok(())
}

/// Copies an export to what is called `name`, and tells which of the two failed.
fn copy(mut from: impl Read, mut to: impl Write, name: &str) -> Result<u64, Failure> {
    let cannot = |error| Failure::writing(name, error);
    let (mut buffer, mut copied) = (vec![0; 64 * 1024], 0);
    loop {
        let count = from.read(&mut buffer).map_err(|error| {
            Failure::new(Code::ConnectionBroken, "the export broke off; try again")
                .with_source(error)
        })?;
        let piece = buffer.get(..count).unwrap_or_default();
        if piece.is_empty() {
            return to.flush().map_err(cannot).map(|()| copied);
        }
        to.write_all(piece).map_err(cannot)?;
        copied += piece.len() as u64;
    }
}

/// What is to be imported.
#[derive(Debug)]
pub struct Import {
    file: File,
    length: u64,
}

impl Import {
    /// Opens a file; `-` is standard input, which is read to its end before anybody waits for it.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let (file, length) = open(path).map_err(|error| Failure::reading(path.display(), error))?;
        Ok(Self { file, length })
    }
}

/// Puts an export back, and tells what became of it. Returns the exit code.
///
/// # Errors
///
/// When no daemon answers or it refuses; [`Code::SessionsRefused`] when some of it did not come in.
pub fn import(client: &Client, import: Import, on_conflict: OnConflict) -> Result<u8, Failure> {
    let report = send(client, import, on_conflict)?;
    tell(&report)?;
    if array_of(&report, "refused").is_empty() {
        return Ok(OK);
    }
    let sentence = "some sessions did not come in; the report says why";
    Err(Failure::new(Code::SessionsRefused, sentence))
}

/// A file and its length. What is no file is read to its end before anybody waits
/// for it.
fn open(path: &Path) -> io::Result<(File, u64)> {
    if path == Path::new("-") {
        return spool(io::stdin().lock());
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok((file, metadata.len())) } else { spool(file) }
}

fn send(client: &Client, import: Import, on_conflict: OnConflict) -> Result<Value, Failure> {
    let length = import.length;
    let bar = ProgressBar::new(length).with_style(style("{bar} {bytes} of {total_bytes}"));
    bar.enable_steady_tick(Duration::from_millis(200));
    let on_conflict = match on_conflict {
        OnConflict::Refuse => "refuse",
        OnConflict::Rename => "rename",
    };
    // The daemon looks for itself which export it is.
    let body = Body { media_type: "application/json", length, reader: bar.wrap_read(import.file) };
    let report = client.send("memory/import", &[("on_conflict", on_conflict)], body);
    bar.finish_and_clear();
    Ok(report?)
}

/// How progress looks; a template that is none looks as usual.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn tell(report: &Value) -> io::Result<()> {
    let number = |name: &str| report.get(name).and_then(Value::as_u64).unwrap_or(0);
    for (count, what) in [
        (number("created"), "new"),
        (number("extended"), "extended"),
        (number("unchanged"), "there already"),
        (array_of(report, "refused").len() as u64, "refused"),
        (number("unnamed"), "more refused or renamed"),
    ] {
        if 0 < count || what == "new" {
            print(format_args!("{count:>8}  {what}\n"))?;
        }
    }
    for it in array_of(report, "renamed") {
        print(format_args!(
            "renamed   {} -> {}\n",
            name(text_of(it, "from")),
            name(text_of(it, "to"))
        ))?;
    }
    for it in array_of(report, "refused") {
        let (id, why) = (name(text_of(it, "id")), in_line(text_of(it, "why")));
        print(format_args!("refused   {id}: {why}\n"))?;
    }
    for it in array_of(report, "skipped") {
        let count = it.get("count").and_then(Value::as_u64).unwrap_or(0);
        print(format_args!("{count:>8}  {}\n", in_line(text_of(it, "why"))))?;
    }
    Ok(())
}
