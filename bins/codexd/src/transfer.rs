//! `codexd export` and `codexd import`: memory into a file, and out of one.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::Path,
    time::Duration,
};

use anyhow::Context as _;
use http_client::{Body, Client, array, text};
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
            None => Ok(copy(body, io::stdout().lock()).map(drop)?),
        }
    })?;
    Ok(exit::OK)
}

/// What is under the name is a whole export, the new one or the old one.
fn to_file(body: impl Read, path: &Path) -> anyhow::Result<()> {
    let mut part = path.to_owned();
    part.as_mut_os_string().push(".part");
    let bar = ProgressBar::new_spinner().with_style(ProgressStyle::with_template("{bytes}")?);
    let written = File::create(&part).and_then(|file| {
        let written = copy(bar.wrap_read(body), &file)?;
        file.sync_all()?;
        fs::rename(&part, path)?;
        Ok(written)
    });
    bar.finish_and_clear();
    let written = written.inspect_err(|_| drop(fs::remove_file(&part)));
    let written = written.with_context(|| format!("cannot write {}", path.display()))?;
    warn(format_args!("{}: {written} bytes\n", path.display()));
    Ok(())
}

fn copy(mut from: impl Read, mut to: impl Write) -> io::Result<u64> {
    let copied = io::copy(&mut from, &mut to)?;
    to.flush().map(|()| copied)
}

/// Puts an export back, and tells what became of it.
pub(crate) fn import(
    config: &Config,
    url: Option<Url>,
    path: &Path,
    on_conflict: OnConflict,
) -> anyhow::Result<u8> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let length = file.metadata()?.len();
    let report = connection::with(url, config, |client| send(client, file, length, on_conflict))?;
    tell(&report)?;
    Ok(if array(&report, "refused").is_empty() { exit::OK } else { exit::FAILED })
}

fn send(
    client: &Client,
    file: File,
    length: u64,
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
        (array(report, "refused").len() as u64, "refused"),
        (number("unnamed"), "more refused or renamed"),
    ] {
        if 0 < count || what == "new" {
            print(format_args!("{count:>8}  {what}\n"))?;
        }
    }
    for it in array(report, "renamed") {
        print(format_args!("renamed   {} -> {}\n", text(it, "from"), text(it, "to")))?;
    }
    for it in array(report, "refused") {
        print(format_args!("refused   {}: {}\n", text(it, "id"), text(it, "why")))?;
    }
    for it in array(report, "skipped") {
        let count = it.get("count").and_then(Value::as_u64).unwrap_or(0);
        print(format_args!("{count:>8}  {}\n", text(it, "why")))?;
    }
    Ok(())
}
