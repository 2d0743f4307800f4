//! What turns take where neither the request nor its session says.

use super::Inner;

/// What a turn takes where neither the request nor its session says.
#[derive(Clone, Debug)]
pub(super) struct Defaults {
    /// The model; empty for the gateway's own default.
    pub(super) model: String,
    /// The system prompt.
    pub(super) system: Option<String>,
}

impl Inner {
    /// What holds now.
    pub(super) async fn defaults(&self) -> Defaults {
        Defaults { model: self.config.model.clone(), system: self.config.system.clone() }
    }
}
