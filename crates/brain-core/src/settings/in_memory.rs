//! Settings in the process: the reference implementation, and all there is without a database.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use super::{Assumed, Setting, Settings};
use crate::{
    ids::Token,
    json::RawJson,
    memory::{MemoryError, MemoryErrorKind},
    time::Clock,
};

/// Settings that end with the process.
#[derive(Debug)]
pub struct InMemorySettings {
    settings: Mutex<BTreeMap<String, Setting>>,
    clock: Arc<dyn Clock>,
}

impl InMemorySettings {
    /// None is set yet; `clock` says when one is.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { settings: Mutex::default(), clock }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Setting>> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check(
    operation: &'static str,
    assumed: Assumed,
    known: Option<&Setting>,
) -> Result<(), MemoryError> {
    if assumed.holds(known.map(|it| it.token)) {
        return Ok(());
    }
    Err(MemoryError::new(operation, MemoryErrorKind::Conflict))
}

#[async_trait]
impl Settings for InMemorySettings {
    async fn get(&self, name: &str) -> Result<Option<Setting>, MemoryError> {
        Ok(self.lock().get(name).cloned())
    }

    async fn list(&self) -> Result<Vec<Setting>, MemoryError> {
        Ok(self.lock().values().cloned().collect())
    }

    async fn set(
        &self,
        name: &str,
        value: RawJson,
        assumed: Assumed,
    ) -> Result<Setting, MemoryError> {
        let mut settings = self.lock();
        check("set a setting", assumed, settings.get(name))?;
        let (name, token, updated_at) = (name.to_owned(), Token::random(), self.clock.now());
        let setting = Setting { name, value, token, updated_at };
        settings.insert(setting.name.clone(), setting.clone());
        Ok(setting)
    }

    async fn unset(&self, name: &str, assumed: Assumed) -> Result<bool, MemoryError> {
        let mut settings = self.lock();
        check("unset a setting", assumed, settings.get(name))?;
        Ok(settings.remove(name).is_some())
    }

    fn is_lasting(&self) -> bool {
        false
    }
}
