//! The settings port: named JSON values that change while the process runs.
//!
//! It knows no setting: what the values mean is said by whoever reads them.

mod in_memory;

use std::fmt;

use async_trait::async_trait;

pub use self::in_memory::InMemorySettings;
use crate::{ids::Token, json::RawJson, memory::MemoryError, time::Timestamp};

/// A setting with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// What it is called.
    pub name: String,
    /// Its value.
    pub value: RawJson,
    /// This value of it: another one whenever it is set. Compared for equality only.
    pub token: Token,
    /// When it was set.
    pub updated_at: Timestamp,
}

/// What a writer takes a setting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assumed {
    /// Whatever it is.
    Anything,
    /// It is not set.
    Unset,
    /// It has the value of this token.
    At(Token),
}

impl Assumed {
    /// Whether it is so, for a setting with this token.
    #[must_use]
    pub fn holds(self, token: Option<Token>) -> bool {
        match self {
            Self::Anything => true,
            Self::Unset => token.is_none(),
            Self::At(assumed) => token == Some(assumed),
        }
    }
}

/// Keeps settings that change while the process runs.
///
/// # Contract
///
/// Every implementation passes `brain_testkit::settings_suite!`. In short: names are compared byte
/// by byte; a value that was acknowledged is what everybody reads next, as the very JSON that was
/// set; a change that assumes what is not so changes nothing. Dropping a future that changes
/// something leaves it changed or not.
///
/// ```
/// # use brain_core::{json::RawJson, memory::MemoryError, settings::{Assumed, Settings}};
/// async fn greet_in(language: RawJson, settings: &dyn Settings) -> Result<(), MemoryError> {
///     settings.set("language", language, Assumed::Anything).await.map(drop)
/// }
/// ```
#[async_trait]
pub trait Settings: fmt::Debug + Send + Sync + 'static {
    /// A setting; `None` if it is not set.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    async fn get(&self, name: &str) -> Result<Option<Setting>, MemoryError>;

    /// All that are set, by name.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    async fn list(&self) -> Result<Vec<Setting>, MemoryError>;

    /// Sets it, and returns it as it is now.
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::memory::MemoryErrorKind::Conflict) if it is not as assumed, or when it
    /// cannot be kept.
    async fn set(
        &self,
        name: &str,
        value: RawJson,
        assumed: Assumed,
    ) -> Result<Setting, MemoryError>;

    /// Takes its value away; whether it had one.
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::memory::MemoryErrorKind::Conflict) if it is not as assumed, or when it
    /// cannot be kept.
    async fn unset(&self, name: &str, assumed: Assumed) -> Result<bool, MemoryError>;

    /// Whether what is set outlives the process.
    fn is_lasting(&self) -> bool;
}
