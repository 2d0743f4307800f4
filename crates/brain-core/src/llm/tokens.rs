//! Counting tokens: a small port, and the estimate for models whose tokenizer nobody here has.
//!
//! It loads no table itself. A counter is for budgets, never for bills: those are the provider's.

mod english;

use std::{fmt, iter::Sum, ops::Add, sync::Arc};

/// Tokens that a model's chat format is taken to add to each message.
const MESSAGE: u64 = 6;
/// Tokens that a model's chat format is taken to add to a conversation.
const FRAME: u64 = 6;

/// Signs of which people make lines; a long one has few tokens.
const LINES: &str = "!#%*+,-./:=^_|~";

/// A number of tokens, and whether the model's own tokenizer gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// How many.
    pub count: u64,
    /// Whether they were counted as the model counts; otherwise there are rather fewer.
    pub exact: bool,
}

impl Tokens {
    /// None at all.
    pub const NONE: Self = Self { count: 0, exact: true };

    /// As many as the model says.
    #[must_use]
    pub fn exact(count: u64) -> Self {
        Self { count, exact: true }
    }

    /// Rather too many than too few.
    #[must_use]
    pub fn estimated(count: u64) -> Self {
        Self { count, exact: false }
    }
}

impl Add for Tokens {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let count = self.count.saturating_add(other.count);
        Self { count, exact: self.exact && other.exact }
    }
}

impl Sum for Tokens {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::NONE, Self::add)
    }
}

/// Counts tokens as one model does, or rather too many.
///
/// # Contract
///
/// Every call returns within some ten milliseconds whatever the text is, blocks on nothing, and
/// never fails: a counter whose table is not there, or a text that is too long for it, is answered
/// with an [`Estimate`]. One counter answers the same for the same text.
pub trait TokenCounter: fmt::Debug + Send + Sync + 'static {
    /// Whether it counts as the model does, of texts that are not too long.
    fn is_exact(&self) -> bool;

    /// Tokens of a text by itself.
    fn text(&self, text: &str) -> Tokens;

    /// Tokens of each message beyond its texts.
    fn message(&self) -> u64;

    /// Tokens of a conversation beyond its messages: what begins the answer, and what the model's
    /// chat format adds where there is no system prompt.
    fn frame(&self, has_system: bool) -> u64;
}

/// A safe estimate for any model: the bytes of a text, but for English words and for runs of blanks
/// or of one sign.
///
/// No tokenizer that reads bytes has more tokens than bytes, and a small vocabulary has nearly as
/// many for digits, hexadecimal and scripts that it was not taught. It is held against SmolLM's
/// tokenizer and tiktoken's `o200k` and `cl100k` where those are: it is never below them, about twice
/// what they give for English prose, code and JSON, and up to 8 times for other languages.
///
/// ```
/// use brain_core::llm::{Estimate, TokenCounter};
///
/// assert_eq!(Estimate.text("How are you?").count, 5);
/// assert!(!Estimate.text("x").exact);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Estimate;

impl Estimate {
    /// The estimate as a counter of any model.
    #[must_use]
    pub fn counter() -> Arc<dyn TokenCounter> {
        Arc::new(Self)
    }
}

impl TokenCounter for Estimate {
    fn is_exact(&self) -> bool {
        false
    }

    fn text(&self, text: &str) -> Tokens {
        let (mut rest, mut before) = (text, None);
        // One more than its pieces: a short text may be an odd one.
        let mut tokens = u64::from(!text.is_empty());
        while let Some(first) = rest.chars().next() {
            let (piece, after) = rest.split_at(length(first, rest));
            tokens += price(piece, before, after);
            before = piece.chars().next_back();
            rest = after;
        }
        Tokens::estimated(tokens)
    }

    fn message(&self) -> u64 {
        MESSAGE
    }

    fn frame(&self, _has_system: bool) -> u64 {
        FRAME
    }
}

/// Bytes of what begins `text` and has a price together: a word, equal characters, or one.
fn length(first: char, text: &str) -> usize {
    let rest = text.bytes().skip(1);
    match first {
        'a'..='z' | 'A'..='Z' => 1 + rest.take_while(u8::is_ascii_lowercase).count(),
        ' ' | '\t' | '\n' => 1 + rest.take_while(|it| char::from(*it) == first).count(),
        _ if LINES.contains(first) => 1 + rest.take_while(|it| char::from(*it) == first).count(),
        _ => first.len_utf8(),
    }
}

/// Tokens of a piece between these characters.
fn price(piece: &str, before: Option<char>, after: &str) -> u64 {
    let (size, next) = (piece.len() as u64, after.chars().next());
    match piece.chars().next() {
        Some('a'..='z' | 'A'..='Z') => word(piece, before, next),
        // One space goes with the word after it.
        Some(' ') if size == 1 && next.is_some_and(|it| it.is_ascii_alphabetic()) => 0,
        Some(' ') => size.div_ceil(4),
        Some('\t' | '\n') => size.div_ceil(2),
        Some(_) | None if size > 1 && piece.is_ascii() => size.min(size.div_ceil(4) + 1),
        Some(_) | None => size,
    }
}

/// Letters beside a digit are rarely a word; a capital inside of one begins another.
fn word(piece: &str, before: Option<char>, next: Option<char>) -> u64 {
    let is_digit = |it: Option<char>| it.is_some_and(|it| it.is_ascii_digit());
    let is_joined = before.is_some_and(|it| it.is_ascii_alphabetic());
    if is_digit(before) || is_digit(next) {
        return piece.len() as u64;
    }
    match piece.split_at_checked(1) {
        Some((first, rest)) if is_joined && is_capital(first) && !rest.is_empty() => {
            1 + english::tokens(rest)
        }
        Some(_) | None => english::tokens(piece),
    }
}

fn is_capital(letter: &str) -> bool {
    letter.bytes().all(|it| it.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::{Estimate, TokenCounter, Tokens};

    fn check(text: &str, tokens: u64) {
        assert_eq!(Estimate.text(text), Tokens::estimated(tokens), "{text:?}");
    }

    #[test]
    fn kinds_of_characters_have_their_price() {
        check("", 0);
        check("word", 2);
        check("two words", 3);
        check("Capital", 4);
        check("camelCase", 6);
        check("HTTP", 5);
        check("2026", 5);
        check("in 2026", 7);
        check("deadbeef01", 11);
        check("----------------", 6);
        check("{{{{", 5);
        check("{\"a\":1}", 8);
        check("天气", 7);
        check("é", 3);
        check("👍", 5);
        check("a\n\n    b", 5);
        check("a = b", 5);
    }

    #[test]
    fn a_sum_is_exact_if_all_of_it_is() {
        let sum = [Tokens::exact(2), Tokens::exact(3)].into_iter().sum::<Tokens>();
        assert_eq!(sum, Tokens::exact(5));
        assert_eq!(sum + Tokens::estimated(u64::MAX), Tokens::estimated(u64::MAX));
    }
}
