//! `codexd models pull`: a GGUF file from a path or an address into the data folder. What is there
//! under its final name is whole and verified.

use std::{
    fs::{self, File},
    io::{self, Read, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest as _, Sha256};
use ureq::{Agent, http::StatusCode};
use url::Url;

use crate::{config::Config, exit, terminal};

/// The first bytes of every GGUF file.
const MAGIC: &[u8] = b"GGUF";

/// Fetches, verifies, installs.
pub(crate) fn run(config: &Config, source: &str, sha256: Option<&str>) -> anyhow::Result<u8> {
    let address = Url::parse(source).ok();
    let address = address.filter(|url| matches!(url.scheme(), "http" | "https"));
    let name = match &address {
        Some(url) => url.path().rsplit('/').next().unwrap_or_default().to_owned(),
        None => Path::new(source).file_name().unwrap_or_default().display().to_string(),
    };
    ensure!(
        Path::new(&name).extension().is_some_and(|it| it == "gguf"),
        "{} names no .gguf file; a wheel is fetched by scripts/get-model",
        source
    );
    let folder = config.models_dir();
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let target = folder.join(&name);
    let part = folder.join(format!("{name}.part"));
    match &address {
        Some(url) => download(url, &part)?,
        None => copy(Path::new(source), &part)?,
    }
    let sum = verify(&part, sha256).inspect_err(|_| drop(fs::remove_file(&part)))?;
    fs::rename(&part, &target).with_context(|| format!("cannot write {}", target.display()))?;
    terminal::print(format_args!("{}\nsha256 {sum}\n", target.display()))?;
    if config.local.chat_model != target {
        terminal::warn(format_args!(
            "the local model is {}; set LOCAL_MODEL_PATH={} to use the new one\n",
            config.local.chat_model.display(),
            target.display()
        ));
    }
    Ok(exit::OK)
}

fn copy(source: &Path, part: &Path) -> anyhow::Result<()> {
    let file = File::open(source).with_context(|| format!("cannot read {}", source.display()))?;
    let bar = progress(file.metadata()?.len());
    write(bar.wrap_read(file), File::create(part)?, part)
}

/// Fetches what is missing of `part`, if the server can leave out the rest.
fn download(url: &Url, part: &Path) -> anyhow::Result<()> {
    let have = part.metadata().map_or(0, |it| it.len());
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .build()
        .into();
    let mut request = agent.get(url.as_str());
    if 0 < have {
        request = request.header("range", format!("bytes={have}-"));
    }
    let response = request.call().map_err(|error| anyhow!("cannot fetch {url}: {error}"))?;
    let resumes = match response.status() {
        StatusCode::PARTIAL_CONTENT => true,
        StatusCode::OK => false,
        // All of it is there already.
        StatusCode::RANGE_NOT_SATISFIABLE if 0 < have => return Ok(()),
        status => bail!("{url} answered {status}"),
    };
    let mut file = File::options().create(true).write(true).append(resumes).open(part)?;
    if !resumes {
        file.set_len(0)?;
    }
    file.flush()?;
    let done = if resumes { have } else { 0 };
    let bar = progress(done + response.body().content_length().unwrap_or(0));
    bar.set_position(done);
    write(bar.wrap_read(response.into_body().into_reader()), file, part)
        .context("run the command again to fetch the rest")
}

fn write(mut from: impl Read, mut file: File, part: &Path) -> anyhow::Result<()> {
    let failed = || format!("cannot fetch {}", part.display());
    io::copy(&mut from, &mut file).with_context(failed)?;
    file.sync_all().with_context(failed)
}

/// The SHA-256 of a file that is a model and has the expected one.
fn verify(path: &PathBuf, expected: Option<&str>) -> anyhow::Result<String> {
    let mut file = File::open(path)?;
    let mut magic = Vec::new();
    (&mut file).take(4).read_to_end(&mut magic)?;
    ensure!(magic == MAGIC, "what was fetched is no GGUF file; it was removed");
    let mut hash = Sha256::new();
    hash.update(&magic);
    io::copy(&mut file, &mut HashWriter(&mut hash))?;
    let sum: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    ensure!(
        expected.is_none_or(|expected| expected == sum),
        "the file has sha256 {sum}, not the expected one; it was removed"
    );
    Ok(sum)
}

struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A bar on a terminal's standard error; nothing elsewhere.
fn progress(bytes: u64) -> ProgressBar {
    let template = "{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta}";
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(bytes).with_style(style)
}
