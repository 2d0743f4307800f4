//! The real chat model, for unit tests; it is in no build.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use crate::weights::{ModelFile, Weights};

/// Where `scripts/get-model` puts the chat model.
pub(crate) fn path() -> PathBuf {
    let usual = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/models");
    let folder = Path::new(option_env!("CODEXD_TEST_MODEL_DIR").unwrap_or(usual));
    let path = folder.join("SmolLM2-135M-Instruct.Q4_1.gguf");
    assert!(path.exists(), "there is no model at {}; run scripts/get-model", path.display());
    path
}

/// The chat model, with its converted copy in `cache`.
pub(crate) fn weights(cache: &Path) -> Weights {
    let path = path();
    ModelFile::new(&path, File::open(&path).unwrap())
        .unwrap()
        .load(cache, &mut |_, _, _| ())
        .unwrap()
}
