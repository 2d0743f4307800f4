//! A list of what was looked at, with a mark for each: well, worth a word, or broken.

use std::{fmt::Display, io};

use crate::terminal::{self, Look, Style, harmless};

/// What was found, printed line by line.
#[derive(Debug)]
pub struct Report {
    style: Style,
    is_broken: bool,
}

/// How it is with what was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// As it should be.
    Well,
    /// Worth a word.
    Note,
    /// Broken.
    Bad,
}

impl Report {
    /// A report in this style, of nothing yet.
    #[must_use]
    pub fn new(style: Style) -> Self {
        Self { style, is_broken: false }
    }

    /// Prints that `what` is `it`; `advice` stands below it, unless it is empty.
    ///
    /// # Errors
    ///
    /// When nobody reads it any more.
    pub fn row(
        &mut self,
        mark: Mark,
        what: &str,
        it: impl Display,
        advice: &str,
    ) -> io::Result<()> {
        self.is_broken |= mark == Mark::Bad;
        let (look, word) = match mark {
            Mark::Well => (Look::Green, "ok  "),
            Mark::Note => (Look::Yellow, "note"),
            Mark::Bad => (Look::Red, "BAD "),
        };
        let mark = self.style.paint(look, word);
        let what = self.style.paint(Look::Bold, &format!("{what:<8}"));
        let advice = if advice.is_empty() { String::new() } else { format!("{:16}{advice}\n", "") };
        terminal::print(format_args!("{mark}  {what}  {}\n{advice}", harmless(&it.to_string())))
    }

    /// Whether anything was [`Mark::Bad`].
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.is_broken
    }
}
