//! `codexd models pull`: a GGUF file from a path or an address into the data folder.

use std::{
    fs::{self, File},
    io::Read as _,
    path::Path,
};

use anyhow::{Context as _, ensure};
use http_client::{Expected, is_address, obtain, shown};
use indicatif::ProgressBar;
use url::Url;

use crate::{cli::Pull, config::Config, exit, lock, terminal};

/// What every GGUF file begins with.
const GGUF: &[u8; 4] = b"GGUF";

/// Fetches, verifies, installs.
pub(crate) fn run(config: &Config, pull: &Pull) -> anyhow::Result<u8> {
    let (source, sha256) = (pull.source.as_str(), pull.sha256.as_deref());
    let is_address = is_address(source);
    let path = if is_address { Url::parse(source)?.path().to_owned() } else { source.to_owned() };
    let path = Path::new(&path);
    let name = path.file_name().filter(|_| path.extension().is_some_and(|it| it == "gguf"));
    let name = name.with_context(|| format!("{} is no .gguf file", shown(source)))?;
    let folder = config.data_dir.join("models");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let target = folder.join(name);
    ensure!(
        sha256.is_some() || pull.force || !target.exists(),
        "{} is there already; --sha256 or --force replaces it",
        target.display()
    );
    let (lock, what) = (folder.with_extension("lock"), format!("folder {}", folder.display()));
    let _lock = lock::take(&lock, &lock, &what, "CODEXD_DATA_DIR")?;
    let (expected, bar) =
        (Expected { sha256, begins: GGUF, kind: "GGUF file" }, ProgressBar::new(0));
    let sum = obtain(source, &target, expected, &mut |progress| {
        bar.set_length(progress.total.unwrap_or(progress.done));
        bar.set_position(progress.done);
    })?;
    terminal::print(format_args!("{}\nsha256 {sum}\n", target.display()))?;
    let (used, target) = (config.local.chat_model.display(), target.display());
    if used.to_string() != target.to_string() {
        let advice = format!("set LOCAL_MODEL_PATH={target} to use it in place of {used}");
        terminal::warn(format_args!("{advice}, and start a running daemon again\n"));
    }
    Ok(exit::OK)
}

/// Whether a file begins as every GGUF file does.
pub(crate) fn is_gguf(path: &Path) -> bool {
    let mut begin = [0; 4];
    File::open(path).is_ok_and(|mut it| it.read_exact(&mut begin).is_ok()) && begin == *GGUF
}
