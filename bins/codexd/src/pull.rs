//! `codexd models pull`: a GGUF file from a path or an address into the data folder. What is there
//! under its final name is whole and verified.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read},
    path::Path,
};

use anyhow::{Context as _, ensure};
use indicatif::ProgressBar;
use sha2::{Digest as _, Sha256};
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

fn download(url: &str, part: &Path, is_checked: bool) -> anyhow::Result<()> {
    let bar = ProgressBar::new(0);
    Ok(http_client::fetch(url, part, is_checked, &mut |progress| {
        bar.set_length(progress.total.unwrap_or(progress.done));
        bar.set_position(progress.done);
    })?)
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
