//! Writing to people: standard output and standard error, with colour only where somebody looks.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
};

/// Writes to standard output at once; fails when nobody reads it any more.
pub(crate) fn print(text: fmt::Arguments<'_>) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_fmt(text)?;
    output.flush()
}

/// Writes to standard error; if that is gone, nobody wants to know.
pub(crate) fn warn(text: fmt::Arguments<'_>) {
    drop(io::stderr().lock().write_fmt(text));
}

/// Text that others wrote, without what a terminal would obey: carriage returns are left out, and
/// every other control character but newline and tab is shown as the replacement character.
pub(crate) fn harmless(text: &str) -> String {
    let is_harmless = |it: char| !it.is_control() || matches!(it, '\n' | '\t');
    let kept = text.chars().filter(|it| *it != '\r');
    kept.map(|it| if is_harmless(it) { it } else { char::REPLACEMENT_CHARACTER }).collect()
}

/// A piece of an answer as standard output takes it: a terminal what is harmless, a file everything.
pub(crate) fn shown(text: &str) -> String {
    if io::stdout().is_terminal() { harmless(text) } else { text.to_owned() }
}

/// How text looks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Look {
    Bold = 1,
    Dim = 2,
    Red = 31,
    Green = 32,
    Yellow = 33,
}

/// Whether text may look like anything at all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style(bool);

impl Style {
    /// The style of standard output.
    pub(crate) fn of_output(no_color: bool) -> Self {
        Self(io::stdout().is_terminal() && !no_color)
    }

    /// The text, harmless, with escape sequences of ours where they can be seen.
    pub(crate) fn paint(self, look: Look, text: &str) -> String {
        let text = harmless(text);
        if self.0 { format!("\u{1b}[{}m{text}\u{1b}[0m", look as u8) } else { text }
    }
}

#[cfg(test)]
mod tests;
