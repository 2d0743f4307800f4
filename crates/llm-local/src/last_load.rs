//! How the last attempt to load the chat model failed, for those who ask how the model is.
//!
//! It holds nobody back: the next request tries again, and another file at the path is not blamed.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use brain_core::llm::{LlmError, LlmErrorKind};

/// What the last attempt came to; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastLoad(Arc<Mutex<Option<Failure>>>);

#[derive(Clone, Debug)]
struct Failure {
    kind: LlmErrorKind,
    message: String,
    file: Option<Stamp>,
}

/// Length and time of change: what differs once somebody has put another file in place.
type Stamp = (u64, Option<SystemTime>);

impl LastLoad {
    /// Remembers how loading the file at `path` ended.
    pub(crate) fn ended<T>(&self, path: &Path, loaded: &Result<T, LlmError>) {
        let failure = loaded.as_ref().err().map(|error| Failure {
            kind: error.kind(),
            message: error.to_string(),
            file: stamp(path),
        });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }

    /// The failure, if it is that of the file that is at `path` now.
    pub(crate) fn failure(&self, path: &Path) -> Option<LlmError> {
        let failure = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        (failure.file == stamp(path)).then(|| LlmError::new(failure.kind, failure.message))
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.len(), metadata.modified().ok()))
}
