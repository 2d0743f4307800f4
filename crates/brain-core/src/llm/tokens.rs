//! Counting tokens: a small port, and the estimate for models whose tokenizer nobody here has.
//!
//! It loads no table itself. A counter is for budgets, never for bills: those are the provider's.

use std::{
    fmt,
    iter::{Peekable, Sum},
    ops::Add,
    str::Chars,
    sync::Arc,
};

/// Tokens that a model's chat format is taken to add to each message.
const MESSAGE: u64 = 6;
/// Tokens that a model's chat format is taken to add to a conversation.
const FRAME: u64 = 6;

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

/// A safe estimate for any model: counts what is in a text by kind of character.
///
/// It is meant to be above what any usual tokenizer gives: about 1.5 times for prose and code, at
/// least 1.3 times for JSON, since small vocabularies have a token for each sign and digit. Words of
/// random letters, and scripts that a model was not taught, may still have more.
///
/// ```
/// use brain_core::llm::{Estimate, TokenCounter};
///
/// assert_eq!(Estimate.text("How are you?").count, 4);
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
        let mut characters = text.chars().peekable();
        let (mut halves, mut joined) = (0_u64, false);
        while let Some(first) = characters.next() {
            halves += piece(first, joined, &mut characters);
            joined = first.is_ascii_alphanumeric();
        }
        Tokens::estimated(halves.div_ceil(2))
    }

    fn message(&self) -> u64 {
        MESSAGE
    }

    fn frame(&self, _has_system: bool) -> u64 {
        FRAME
    }
}

/// Half tokens of what begins with `first`; takes the rest of it. `joined` says whether a letter or a
/// digit stands before it.
fn piece(first: char, joined: bool, rest: &mut Peekable<Chars<'_>>) -> u64 {
    match first {
        'a'..='z' => word(rest),
        'A'..='Z' => capitals(joined, rest),
        '0'..='9' => 2,
        ' ' => spaces(rest),
        '\t' | '\r' | '\n' => 2 * take(rest, |it| it == first).div_ceil(2),
        '\0'..='\x7f' => 2 * take(rest, |it| it == first).div_ceil(4),
        _ => foreign(first),
    }
}

/// How many characters there are in a row, the one before `rest` included.
fn take(rest: &mut Peekable<Chars<'_>>, belongs: impl Fn(char) -> bool) -> u64 {
    let mut count = 1;
    while rest.next_if(|it| belongs(*it)).is_some() {
        count += 1;
    }
    count
}

/// Four letters are one token.
fn word(rest: &mut Peekable<Chars<'_>>) -> u64 {
    2 * take(rest, |it| it.is_ascii_lowercase()).div_ceil(4)
}

/// One capital goes with the word that it begins, unless it stands inside one; several in a row are
/// rarely a word.
fn capitals(joined: bool, rest: &mut Peekable<Chars<'_>>) -> u64 {
    match take(rest, |it| it.is_ascii_uppercase()) {
        1 if joined => 2,
        1 => word(rest),
        several => (4 * several).div_ceil(3),
    }
}

/// One space goes with the word after it, but not with a number or the end of a line.
fn spaces(rest: &mut Peekable<Chars<'_>>) -> u64 {
    let spaces = take(rest, |it| it == ' ');
    let stands_alone = rest.peek().is_none_or(|it| it.is_ascii_digit() || it.is_whitespace());
    match spaces {
        1 if !stands_alone => 0,
        _ => 2 * spaces.div_ceil(4),
    }
}

/// Half tokens of one character beyond ASCII.
fn foreign(character: char) -> u64 {
    match u32::from(character) {
        // Latin, Greek, Cyrillic, Hebrew, Arabic.
        0x80..=0x7ff => 2,
        // Scripts of India, Thai, Lao; punctuation and symbols; Korean.
        0x900..=0xeff | 0x2000..=0x2bff | 0xac00..=0xd7ff => 4,
        // Chinese, Japanese.
        0x2e80..=0x9fff | 0xff00..=0xffef => 3,
        _ => 6,
    }
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
        check("word", 1);
        check("two words", 3);
        check("Capital", 2);
        check("camelCase", 4);
        check("HTTP", 3);
        check("2026", 4);
        check("in 2026", 6);
        check("----------------", 4);
        check("{\"a\":1}", 7);
        check("天气", 3);
        check("é", 1);
        check("👍", 3);
        check("a\n\n    b", 4);
    }

    #[test]
    fn a_sum_is_exact_if_all_of_it_is() {
        let sum = [Tokens::exact(2), Tokens::exact(3)].into_iter().sum::<Tokens>();
        assert_eq!(sum, Tokens::exact(5));
        assert_eq!(sum + Tokens::estimated(u64::MAX), Tokens::estimated(u64::MAX));
    }
}
