//! A GGUF file from a path or an address into a folder of models.

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};

use brain_tokio::{LockError, take_lock};
use http_client::{ClientError, ClientErrorKind, Expected, is_address, obtain, shown};
use indicatif::ProgressBar;
use url::Url;

use crate::{code::Code, failure::Failure, terminal};

/// What every GGUF file begins with.
const GGUF: &[u8; 4] = b"GGUF";

/// What to fetch.
#[derive(Clone, Debug)]
pub struct Pull {
    /// A .gguf file, or its address.
    pub source: String,
    /// What its SHA-256 must be, in lower-case hexadecimal.
    pub sha256: Option<String>,
    /// Whether a file of the same name is replaced.
    pub force: bool,
}

/// Fetches, verifies and installs into `folder`, and returns the path of what came.
///
/// # Errors
///
/// When the file cannot be fetched, is not what it should be, or cannot be written.
pub fn pull(pull: &Pull, folder: &Path) -> Result<PathBuf, Failure> {
    let (source, sha256) = (pull.source.as_str(), pull.sha256.as_deref());
    let target = folder.join(name(source)?);
    fs::create_dir_all(folder).map_err(|error| Failure::writing(folder.display(), error))?;
    if target.exists() && sha256.is_none() && !pull.force {
        let advice = "is there already; --sha256 or --force replaces it";
        return Err(Failure::new(Code::FileExists, format!("{} {advice}", target.display())));
    }
    let _lock = lock(folder)?;
    let (expected, bar) =
        (Expected { sha256, begins: GGUF, kind: "GGUF file" }, ProgressBar::new(0));
    let sum = obtain(source, &target, expected, &mut |progress| {
        bar.set_length(progress.total.unwrap_or(progress.done));
        bar.set_position(progress.done);
    });
    let sum = sum.map_err(failed)?;
    terminal::print(format_args!("{}\nsha256 {sum}\n", target.display()))?;
    Ok(target)
}

/// The name of the file at a path or an address.
fn name(source: &str) -> Result<PathBuf, Failure> {
    let wrong = || Failure::new(Code::WrongUsage, format!("{} is no .gguf file", shown(source)));
    let path = if is_address(source) {
        Url::parse(source).map_err(|_| wrong())?.path().to_owned()
    } else {
        source.to_owned()
    };
    let path = Path::new(&path);
    let name = path.file_name().filter(|_| path.extension().is_some_and(|it| it == "gguf"));
    name.map(PathBuf::from).ok_or_else(wrong)
}

/// The folder for this process alone.
fn lock(folder: &Path) -> Result<File, Failure> {
    let (lock, what) = (folder.with_extension("lock"), format!("folder {}", folder.display()));
    take_lock(&lock, &lock, &what, "CODEXD_DATA_DIR").map_err(|error| match error {
        LockError::Held(held) => Failure::caused_by(Code::DataFolderInUse, held),
        LockError::Io { .. } => Failure::caused_by(Code::of_disk(&error, Code::CannotWrite), error),
    })
}

fn failed(error: ClientError) -> Failure {
    let code = match error.kind() {
        ClientErrorKind::Unreachable => Code::SourceUnreachable,
        ClientErrorKind::Refused(_) => Code::SourceRefused,
        ClientErrorKind::Unexpected => Code::WrongFile,
        ClientErrorKind::Broken | ClientErrorKind::Unreadable | ClientErrorKind::Unwritable => {
            return error.into();
        }
    };
    Failure::caused_by(code, error)
}

/// Whether a file begins as every GGUF file does.
#[must_use]
pub fn is_gguf(path: &Path) -> bool {
    let mut begin = [0; 4];
    File::open(path).is_ok_and(|mut it| it.read_exact(&mut begin).is_ok()) && begin == *GGUF
}
