//! `codexd models pull`: a GGUF file from a path or an address into the data folder. What is there
//! under its final name is whole and verified.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail, ensure};
use indicatif::ProgressBar;
use sha2::{Digest as _, Sha256};
use ureq::{
    Agent, Body,
    http::{Response, StatusCode},
};
use url::Url;

use crate::{cli::Pull, config::Config, exit, lock, terminal};

/// Fetches, verifies, installs.
pub(crate) fn run(config: &Config, pull: &Pull) -> anyhow::Result<u8> {
    let (source, sha256) = (pull.source.as_str(), pull.sha256.as_deref());
    let is_address = source.starts_with("http://") || source.starts_with("https://");
    let path = if is_address { Url::parse(source)?.path().to_owned() } else { source.to_owned() };
    let path = Path::new(&path);
    let name = path.file_name().filter(|_| path.extension().is_some_and(|it| it == "gguf"));
    let name = name.with_context(|| format!("{source} is no .gguf file"))?;
    let folder = config.data_dir.join("models");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let target = folder.join(name);
    ensure!(
        sha256.is_some() || pull.force || !target.exists(),
        "{} is there already; --sha256 or --force replaces it",
        target.display()
    );
    let (lock, what) = (folder.with_extension("lock"), format!("folder {}", folder.display()));
    let _lock = lock::take(&lock, &lock, what, "CODEXD_DATA_DIR")?;
    // Named by its source, so that a part of one file is never taken for a part of another.
    let part = folder.join(format!("{}.part", hex(&Sha256::digest(source))));
    let is_checked = sha256.is_some();
    let fetched = if is_address { download(source, &part, is_checked) } else { copy(path, &part) };
    fetched?;
    let sum = verify(&part, sha256).inspect_err(|_| drop(fs::remove_file(&part)))?;
    drop(fs::remove_file(part.with_extension("version")));
    fs::rename(&part, &target).with_context(|| format!("cannot write {}", target.display()))?;
    terminal::print(format_args!("{}\nsha256 {sum}\n", target.display()))?;
    let (used, target) = (config.local.chat_model.display(), target.display());
    if used.to_string() != target.to_string() {
        let advice = format!("set LOCAL_MODEL_PATH={target} to use it in place of {used}");
        terminal::warn(format_args!("{advice}, and start a running daemon again\n"));
    }
    Ok(exit::OK)
}

fn copy(source: &Path, part: &Path) -> anyhow::Result<()> {
    let file = File::open(source).with_context(|| format!("cannot read {}", source.display()))?;
    let bar = ProgressBar::new(file.metadata()?.len());
    write(bar.wrap_read(file), File::create(part)?)
}

/// Fetches what is missing of `part`, or all of it if the server has another version of the file
/// or knows no parts.
fn download(url: &str, part: &Path, is_checked: bool) -> anyhow::Result<()> {
    let version = part.with_extension("version");
    let have = part.metadata().map_or(0, |it| it.len());
    let known = fs::read_to_string(&version).ok().filter(|_| 0 < have);
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .build()
        .into();
    let mut request = agent.get(url).header("accept-encoding", "identity");
    if let Some(known) = &known {
        request = request.header("range", format!("bytes={have}-")).header("if-range", known);
    }
    let response = request.call().map_err(|error| anyhow!("cannot fetch {url}: {error}"))?;
    let range = header(&response, "content-range").unwrap_or_default();
    let done = match response.status() {
        StatusCode::PARTIAL_CONTENT if range.starts_with(&format!("bytes {have}-")) => have,
        StatusCode::OK => 0,
        // All of it is there already.
        StatusCode::RANGE_NOT_SATISFIABLE if range == format!("bytes */{have}") => return Ok(()),
        status => {
            drop(fs::remove_file(&version));
            bail!("{url} answered {status}; if the command is run again, it starts anew")
        }
    };
    let length = response.body().content_length().map(|it| done + it);
    ensure!(is_checked || length.is_some(), "{url} does not say its length; use --sha256");
    if done == 0 {
        let strong = header(&response, "etag").filter(|it| !it.starts_with("W/"));
        drop(fs::remove_file(&version));
        if let Some(it) = strong.or_else(|| header(&response, "last-modified")) {
            File::create(part)?;
            fs::write(&version, it)?;
        }
    }
    let file = File::options().create(true).append(true).open(part)?;
    file.set_len(done)?;
    let bar = ProgressBar::new(length.unwrap_or(0)).with_position(done);
    let written = write(bar.wrap_read(response.into_body().into_reader()), file);
    let is_whole = length.is_none_or(|it| part.metadata().is_ok_and(|part| part.len() == it));
    written
        .and_then(|()| is_whole.then_some(()).context("the file is not whole"))
        .context("run the command again to fetch the rest")
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

fn write(mut from: impl Read, mut file: File) -> anyhow::Result<()> {
    io::copy(&mut from, &mut file).and_then(|_| file.sync_all()).context("the file is not whole")
}

/// The SHA-256 of a file that is a model and has the expected one.
fn verify(path: &Path, expected: Option<&str>) -> anyhow::Result<String> {
    ensure!(is_gguf(path), "what was fetched is no GGUF file; it was removed");
    let (mut file, mut hash) =
        (BufReader::with_capacity(1 << 20, File::open(path)?), Sha256::new());
    while let chunk = file.fill_buf()?
        && !chunk.is_empty()
    {
        hash.update(chunk);
        let length = chunk.len();
        file.consume(length);
    }
    let sum = hex(&hash.finalize());
    ensure!(expected.is_none_or(|it| it == sum), "the file has sha256 {sum}; it was removed");
    Ok(sum)
}

/// Whether a file begins as every GGUF file does.
pub(crate) fn is_gguf(path: &Path) -> bool {
    let mut begin = [0; 4];
    File::open(path).is_ok_and(|mut it| it.read_exact(&mut begin).is_ok()) && begin == *b"GGUF"
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
