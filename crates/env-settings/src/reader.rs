//! Reading one setting after the other, so that everything that is wrong is told at once.

use std::{path::Path, time::Duration};

use crate::{Settings, bytes, duration};

/// Values of more bytes are not repeated.
const MAX_SHOWN: usize = 200;

/// Reads one setting after the other, and remembers what is wrong.
#[derive(Debug)]
pub struct Reader<'a> {
    /// What is read.
    pub settings: &'a Settings,
    /// What is wrong, as sentences that begin with a setting's name.
    pub problems: Vec<String>,
    /// What holds, but perhaps not as intended; sentences.
    pub warnings: Vec<String>,
}

impl<'a> Reader<'a> {
    /// A reader that has read nothing yet; what could not be read at all is a problem already.
    #[must_use]
    pub fn new(settings: &'a Settings) -> Self {
        Self { settings, problems: settings.problems.clone(), warnings: Vec::new() }
    }

    /// Remembers a problem.
    pub fn wrong(&mut self, sentence: impl Into<String>) {
        self.problems.push(sentence.into());
    }

    /// The value of `name` as a path.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<&'a Path> {
        self.settings.get(name).map(Path::new)
    }

    /// The value of `name` as `read` understands it, or `default` if it is not set or wrong.
    pub fn value<T>(
        &mut self,
        name: &str,
        default: T,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> T {
        let Some(text) = self.settings.get(name) else { return default };
        read(text).unwrap_or_else(|| {
            let shown = if text.len() <= MAX_SHOWN { format!("`{text}`") } else { "it".to_owned() };
            self.wrong(format!("{name}: {shown} will not do; use {expected}"));
            default
        })
    }

    /// One of these choices by its name.
    pub fn choice<T: Copy>(&mut self, name: &str, default: T, choices: &[(&str, T)]) -> T {
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        self.value(name, default, &names.join(" or "), |text| {
            choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value)
        })
    }

    /// A number within these bounds.
    pub fn number(&mut self, name: &str, default: usize, min: usize, max: usize) -> usize {
        self.value(name, default, &format!("a number from {min} to {max}"), |text| {
            text.parse().ok().filter(|number| (min..=max).contains(number))
        })
    }

    /// A size from 1 MiB to 1024 GiB, in bytes.
    pub fn bytes(&mut self, name: &str, default: u64) -> u64 {
        let expected = "a number of bytes, or a size such as 64MiB or 1GiB, from 1MiB to 1024GiB";
        self.value(name, default, expected, |text| {
            bytes(text).filter(|it| (1 << 20..=1 << 40).contains(it))
        })
    }

    /// A time from a second to a day.
    pub fn timeout(&mut self, name: &str, default: Duration) -> Duration {
        let expected = "seconds, or a time such as 30s or 5m, from 1s to 1d";
        self.value(name, default, expected, |text| {
            duration(text).filter(|it| !it.is_zero() && *it <= Duration::from_secs(24 * 3600))
        })
    }
}
