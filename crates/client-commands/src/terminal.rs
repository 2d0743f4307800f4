//! Writing to people: standard output and standard error, with colour only where somebody looks.
//!
//! What others wrote is made harmless here; what it says is nobody's business.

use std::{
    fmt::{self, Display},
    io::{self, IsTerminal, Write},
};

use indicatif::HumanBytes;

/// Writes to standard output at once.
///
/// # Errors
///
/// When nobody reads it any more, or it cannot be written.
pub fn print(text: fmt::Arguments<'_>) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_fmt(text)?;
    output.flush()
}

/// Writes to standard error; if that is gone, nobody wants to know.
pub fn warn(text: fmt::Arguments<'_>) {
    drop(io::stderr().lock().write_fmt(text));
}

/// Text that others wrote, without what a terminal would obey: carriage returns are left out, and
/// every other control character but newline and tab is shown as the replacement character.
#[must_use]
pub fn harmless(text: &str) -> String {
    let is_harmless = |it: char| !it.is_control() || matches!(it, '\n' | '\t');
    let kept = text.chars().filter(|it| *it != '\r');
    kept.map(|it| if is_harmless(it) { it } else { char::REPLACEMENT_CHARACTER }).collect()
}

/// The same as a part of one line: what breaks lines is a space, and what would turn the rest of the
/// line around is shown as the replacement character.
#[must_use]
pub fn in_line(text: &str) -> String {
    let one = |it: char| match it {
        '\n' | '\t' | '\u{2028}' | '\u{2029}' => ' ',
        it if turns(it) => char::REPLACEMENT_CHARACTER,
        it => it,
    };
    harmless(text).chars().map(one).collect()
}

/// A name that others gave, as part of a line: as it is where it can be told from the rest of the
/// line, else in quotes and with escapes.
#[must_use]
pub fn name(text: &str) -> String {
    let quoted = format!("{text:?}");
    let is_plain = quoted.get(1..quoted.len() - 1) == Some(text) && text.trim() == text;
    if is_plain && !text.is_empty() && !text.contains("  ") { text.to_owned() } else { quoted }
}

/// Whether a character decides in which direction others are written.
fn turns(it: char) -> bool {
    matches!(it, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A piece of an answer as standard output takes it: a terminal what is harmless, a file everything.
pub(crate) fn shown(text: &str) -> String {
    if io::stdout().is_terminal() { harmless(text) } else { text.to_owned() }
}

/// A number of bytes for people.
#[must_use]
pub fn bytes(count: u64) -> impl Display {
    HumanBytes(count)
}

/// How text looks.
#[derive(Clone, Copy, Debug)]
pub enum Look {
    /// What a line is about.
    Bold = 1,
    /// What matters less.
    Dim = 2,
    /// What does not work.
    Red = 31,
    /// What works.
    Green = 32,
    /// What somebody may want to know.
    Yellow = 33,
}

/// Whether text may look like anything at all.
#[derive(Clone, Copy, Debug)]
pub struct Style(bool);

impl Style {
    /// The style of standard output.
    #[must_use]
    pub fn of_output(no_color: bool) -> Self {
        Self(io::stdout().is_terminal() && !no_color)
    }

    /// The text, harmless, with escape sequences of ours where they can be seen.
    #[must_use]
    pub fn paint(self, look: Look, text: &str) -> String {
        let text = harmless(text);
        if self.0 { format!("\u{1b}[{}m{text}\u{1b}[0m", look as u8) } else { text }
    }
}

#[cfg(test)]
mod tests;
