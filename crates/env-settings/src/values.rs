//! The values that are set; it judges none of them.

mod toml_file;

use std::{collections::BTreeMap, ffi::OsString, fmt, fs, io, path::Path};

/// The values that are set, unchecked.
#[derive(Clone, Default)]
pub struct Settings {
    /// By name, with where they came from.
    values: BTreeMap<String, (String, &'static str)>,
    /// What could not be read at all, as sentences that repeat no value.
    pub problems: Vec<String>,
}

/// Values may be secrets.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl Settings {
    /// Adds the variables of an environment that are `known`; they win over what is there. One
    /// that is empty counts only if nothing is one of its values, as `emptiable` says.
    pub fn add_environment(
        &mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        known: &[&str],
        emptiable: &[&str],
    ) {
        for (name, value) in variables {
            let Some(name) = name.to_str().filter(|name| known.contains(name)) else { continue };
            match value.into_string() {
                Ok(value) if value.trim().is_empty() && !emptiable.contains(&name) => {}
                Ok(value) => self.set(name, value, "environment"),
                Err(_) => self.problems.push(format!("{name}: the value is not UTF-8")),
            }
        }
    }

    /// Adds the variables of a `.env` file, if there is one; they win over what is there. What is
    /// no regular file, and a link to nowhere, is a problem.
    pub fn add_file(&mut self, path: &Path) {
        let text = match read(path) {
            Ok(Some(text)) => text,
            Ok(None) => return,
            Err(error) => {
                let problem = format!("{}: cannot be read ({error}); ", path.display());
                return self.problems.push(problem + "make it a text file, or move it away");
            }
        };
        let text = text.trim_start_matches('\u{feff}');
        for (name, value) in dotenvy::from_read_iter(text.as_bytes()).flatten() {
            self.set(&name, value, ".env");
        }
        for line in unreadable(text) {
            // The line itself may hold a secret.
            self.problems.push(format!(
                "{}: line {line} cannot be read; write NAME=value, with quotes around values that \
                 have spaces or # in them",
                path.display()
            ));
        }
    }

    /// Adds the values of a TOML file; they win over what is there. A list is its values with
    /// commas between them, `true` is 1 and `false` is 0, and the values of a table `[a.b]` are
    /// named `a.b.NAME`. A file that is not there, and whatever cannot be read, is a problem.
    pub fn add_toml(&mut self, path: &Path) {
        match toml_file::values(path) {
            Ok(values) => {
                values.into_iter().for_each(|(name, value)| self.set(&name, value, "TOML file"));
            }
            Err(problem) => self.problems.push(problem),
        }
    }

    /// Sets one value, in place of what is there; `origin` is for people.
    pub fn set(&mut self, name: &str, value: impl Into<String>, origin: &'static str) {
        self.values.insert(name.to_owned(), (value.into(), origin));
    }

    /// The value of a setting without spaces around it; `None` if it is not set, or set to nothing.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|(value, _)| value.trim()).filter(|value| !value.is_empty())
    }

    /// Whether a setting is set to nothing, which is not the same as not being set.
    #[must_use]
    pub fn is_emptied(&self, name: &str) -> bool {
        self.values.contains_key(name) && self.get(name).is_none()
    }

    /// Where the value of a setting came from.
    #[must_use]
    pub fn origin(&self, name: &str) -> Option<&'static str> {
        self.values.get(name).map(|(_, origin)| *origin)
    }

    /// The names that are set.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }
}

/// The text of a file; `None` if nothing has that name.
fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    // Whoever opens a pipe waits for its writer.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    fs::read_to_string(path).map(Some)
}

/// The numbers of the lines, from 1, where something begins that cannot be read.
fn unreadable(text: &str) -> Vec<usize> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let (mut bad, mut first) = (Vec::new(), 0);
    while first < lines.len() {
        // A value in quotes may go on for lines; where they never close, the next line begins anew.
        let read = |end| statement(&lines.get(first..end).unwrap_or_default().concat());
        let whole = (first + 1..=lines.len()).map(|end| (end, read(end)));
        let (end, is_good) = match whole.into_iter().find(|(_, it)| it.is_some()) {
            Some((end, Some(is_good))) => (end, is_good),
            Some((_, None)) | None => (first + 1, false),
        };
        if !is_good {
            bad.push(first + 1);
        }
        first = end;
    }
    bad
}

/// Whether a statement can be read; `None` if it is not whole.
fn statement(text: &str) -> Option<bool> {
    match dotenvy::from_read_iter(text.as_bytes()).next() {
        // The reader leaves the end of the line away, unless it looked for more.
        Some(Err(dotenvy::Error::LineParse(bad, _))) if bad.ends_with('\n') => None,
        Some(Err(_)) => Some(false),
        Some(Ok(_)) | None => Some(true),
    }
}

#[cfg(test)]
mod tests;
