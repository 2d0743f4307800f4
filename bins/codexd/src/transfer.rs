//! `codexd export` and `codexd import`: memory into a file, and out of one.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::Path,
    time::Duration,
};

use anyhow::Context as _;
use http_client::{Body, Client, array_of, spool, text_of};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use url::Url;

use crate::{
    cli::{Format, OnConflict},
    config::Config,
    connection, exit,
    terminal::{print, warn},
};

/// Writes everything that is remembered to `output`, or to standard output.
pub(crate) fn export(
    config: &Config,
    url: Option<Url>,
    output: Option<&Path>,
    format: Format,
) -> anyhow::Result<u8> {
    let media_type = match format {
        Format::Json => "application/json",
        Format::Ndjson => "application/x-ndjson",
    };
    connection::with(url, config, |client| {
        let body = client.read("memory/export", &[], media_type)?;
        match output {
            Some(path) => to_file(body, path),
            None => copy(body, io::stdout().lock(), "standard output").map(drop),
        }
    })?;
    Ok(exit::OK)
}

/// What is under the name is a whole export, the new one or the old one.
fn to_file(body: impl Read, path: &Path) -> anyhow::Result<()> {
    // Neither a link nor a device is replaced.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let name = path.display().to_string();
    let cannot = || format!("cannot write {name}");
    if path.exists() && !path.is_file() {
        let device = File::options().write(true).open(path).with_context(cannot)?;
        return copy(body, device, &name).map(drop);
    }
    let mut part = path.to_owned();
    part.as_mut_os_string().push(".part");
    let bar = ProgressBar::new_spinner().with_style(ProgressStyle::with_template("{bytes}")?);
    let file = File::create(&part).with_context(cannot)?;
    let written = copy(bar.wrap_read(body), &file, &name).and_then(|written| {
        file.sync_all().and_then(|()| fs::rename(&part, path)).with_context(cannot)?;
        Ok(written)
    });
    bar.finish_and_clear();
    let written = written.inspect_err(|_| drop(fs::remove_file(&part)))?;
    warn(format_args!("{name}: {written} bytes\n"));
    Ok(())
}

/// Copies an export to what is called `name`, and tells which of the two failed.
fn copy(mut from: impl Read, mut to: impl Write, name: &str) -> anyhow::Result<u64> {
    let cannot = || format!("cannot write {name}");
    let (mut buffer, mut copied) = (vec![0; 64 * 1024], 0);
    loop {
        let count = from.read(&mut buffer).context("the export broke off; try again")?;
        let piece = buffer.get(..count).unwrap_or_default();
        if piece.is_empty() {
            return to.flush().with_context(cannot).map(|()| copied);
        }
        to.write_all(piece).with_context(cannot)?;
        copied += piece.len() as u64;
    }
}

/// Puts an export back, and tells what became of it.
pub(crate) fn import(
    config: &Config,
    url: Option<Url>,
    path: &Path,
    on_conflict: OnConflict,
) -> anyhow::Result<u8> {
    let opened = open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let report = connection::with(url, config, |client| send(client, opened, on_conflict))?;
    tell(&report)?;
    Ok(if array_of(&report, "refused").is_empty() { exit::OK } else { exit::FAILED })
}

/// What is to be imported, and its length. What is no file is read to its end before anybody waits
/// for it.
fn open(path: &Path) -> io::Result<(File, u64)> {
    if path == Path::new("-") {
        return spool(io::stdin().lock());
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok((file, metadata.len())) } else { spool(file) }
}

fn send(
    client: &Client,
    (file, length): (File, u64),
    on_conflict: OnConflict,
) -> anyhow::Result<Value> {
    let bar = ProgressBar::new(length);
    bar.set_style(ProgressStyle::with_template("{bar} {bytes} of {total_bytes}")?);
    bar.enable_steady_tick(Duration::from_millis(200));
    let on_conflict = match on_conflict {
        OnConflict::Refuse => "refuse",
        OnConflict::Rename => "rename",
    };
    // The daemon looks for itself which export it is.
    let body = Body { media_type: "application/json", length, reader: bar.wrap_read(file) };
    let report = client.send("memory/import", &[("on_conflict", on_conflict)], body);
    bar.finish_and_clear();
    Ok(report?)
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
        print(format_args!("renamed   {} -> {}\n", text_of(it, "from"), text_of(it, "to")))?;
    }
    for it in array_of(report, "refused") {
        print(format_args!("refused   {}: {}\n", text_of(it, "id"), text_of(it, "why")))?;
    }
    for it in array_of(report, "skipped") {
        let count = it.get("count").and_then(Value::as_u64).unwrap_or(0);
        print(format_args!("{count:>8}  {}\n", text_of(it, "why")))?;
    }
    Ok(())
}
