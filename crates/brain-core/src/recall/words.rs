//! Text to words: what people take for the same letters, without endings, without words that say
//! nothing.
//!
//! English words lose their endings (Porter's second algorithm); those of other languages stay as
//! they are. Scripts that put no space between words, and Hangul, whose particles stand without
//! one, give pairs of neighbouring characters; an emoji is a word. It is no grammar and no
//! dictionary.

mod letters;
#[cfg(test)]
mod tests;

use rust_stemmers::{Algorithm, Stemmer};
use unicode_normalization::char::{compose, is_combining_mark};

/// Characters of a word that count,
const MAX_CHARS: usize = 64;
/// and bytes in which so many always are.
const MAX_BYTES: usize = 4 * MAX_CHARS;
/// Words of a text that count: more than prose of 2 MiB has.
const MAX_WORDS: usize = 1 << 19;

/// English words that occur everywhere.
const EMPTY: &[&str] = &[
    "a", "about", "also", "am", "an", "and", "are", "as", "at", "be", "been", "being", "but", "by",
    "can", "could", "did", "do", "does", "doing", "for", "from", "had", "has", "have", "having",
    "he", "her", "hers", "him", "his", "how", "i", "if", "in", "into", "is", "it", "its", "just",
    "me", "my", "no", "not", "of", "on", "or", "our", "ours", "she", "so", "than", "that", "the",
    "their", "theirs", "them", "then", "there", "these", "they", "this", "those", "to", "was",
    "we", "were", "what", "when", "where", "which", "who", "whom", "whose", "why", "will", "with",
    "would", "you", "your", "yours",
];

/// The words of a text as the index knows them, in order.
#[must_use]
pub fn words(text: &str) -> Vec<String> {
    let mut words = Vec::with_capacity(16);
    each_word(text, &mut |it| words.push(it.to_owned()));
    words
}

/// Hands over the words of a text as the index knows them, in order.
pub(crate) fn each_word(text: &str, take: &mut dyn FnMut(&str)) {
    let mut reader = Reader::new(take);
    for character in text.chars() {
        // Most text is ASCII, which this is much faster for.
        if character.is_ascii_graphic() || character.is_ascii_whitespace() {
            reader.read_held();
            reader.read(character.to_ascii_lowercase());
        } else {
            letters::fold(character, &mut |it| reader.hold(it));
        }
    }
    reader.end();
}

struct Reader<'a> {
    stemmer: Stemmer,
    take: &'a mut dyn FnMut(&str),
    /// How many words may still come.
    left: usize,
    word: String,
    /// What was not read yet: the next character may be a part of it.
    held: Option<char>,
    /// Where the last apostrophe of the word was.
    apostrophe: Option<usize>,
    /// The last character, if it is of a script without spaces, and whether it is in a pair.
    unspaced: Option<(char, bool)>,
}

impl<'a> Reader<'a> {
    fn new(take: &'a mut dyn FnMut(&str)) -> Self {
        Self {
            stemmer: Stemmer::create(Algorithm::English),
            take,
            left: MAX_WORDS,
            word: String::with_capacity(32),
            held: None,
            apostrophe: None,
            unspaced: None,
        }
    }

    /// Reads a character that may be a part of the one before, as those of a Hangul syllable.
    fn hold(&mut self, character: char) {
        let whole = self.held.and_then(|it| compose(it, character));
        if whole.is_none() {
            self.read_held();
        }
        self.held = whole.or(Some(character));
    }

    fn read_held(&mut self) {
        if let Some(character) = self.held.take() {
            self.read(character);
        }
    }

    fn read(&mut self, character: char) {
        if is_unspaced(character) {
            self.end_word();
            let before = self.unspaced.replace((character, false));
            if let Some((before, _)) = before {
                self.keep(&[before, character]);
                self.unspaced = Some((character, true));
            }
            return;
        }
        self.end_run();
        if is_apostrophe(character) {
            self.apostrophe = Some(self.word.len());
        } else if is_picture(character) {
            self.end_word();
            self.keep(&[character]);
        } else if !character.is_alphanumeric() && !is_combining_mark(character) {
            self.end_word();
        } else if self.word.len() < MAX_BYTES {
            self.word.push(character);
        }
    }

    /// Characters that are a word.
    fn keep(&mut self, characters: &[char]) {
        let word: String = characters.iter().collect();
        self.hand_over(&word);
    }

    fn hand_over(&mut self, word: &str) {
        if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            (self.take)(word);
        }
    }

    fn end(&mut self) {
        self.read_held();
        self.end_run();
        self.end_word();
    }

    /// A character that stands alone is a word.
    fn end_run(&mut self) {
        if let Some((character, false)) = self.unspaced.take() {
            self.keep(&[character]);
        }
    }

    fn end_word(&mut self) {
        if let Some(end) = self.apostrophe.take()
            && self.word.get(end..) == Some("s")
        {
            self.word.truncate(end);
        }
        let word = std::mem::take(&mut self.word);
        if !word.is_empty() && EMPTY.binary_search(&word.as_str()).is_err() {
            let word = beginning(&word);
            if word.bytes().all(|it| it.is_ascii_lowercase()) {
                let stem = self.stemmer.stem(word);
                self.hand_over(&stem);
            } else {
                self.hand_over(word);
            }
        }
        self.word = word;
        self.word.clear();
    }
}

/// The characters of a word that count.
fn beginning(word: &str) -> &str {
    let end = match word.len() {
        0..=MAX_CHARS => word.len(),
        len => word.char_indices().nth(MAX_CHARS).map_or(len, |(at, _)| at),
    };
    word.get(..end).unwrap_or(word)
}

fn is_apostrophe(character: char) -> bool {
    matches!(character, '\'' | '‘' | '’' | 'ʻ' | 'ʼ')
}

/// Whether a character is shown as a picture, and says something by itself.
fn is_picture(character: char) -> bool {
    matches!(u32::from(character),
        0x2194..=0x2199 | 0x21A9..=0x21AA | 0x2934..=0x2935 | 0x2B05..=0x2B07 // arrows
        | 0x2300..=0x23FF | 0x25B6 | 0x25C0 | 0x2600..=0x27BF | 0x2B1B..=0x2B1C
        | 0x2B50 | 0x2B55 | 0x303D | 0x1F000..=0x1FAFF)
}

/// Whether a character belongs to a script that puts no space between words, or to a flag.
fn is_unspaced(character: char) -> bool {
    matches!(u32::from(character),
        0x0E00..=0x0E4E | 0x0E80..=0x0ECE // Thai, Lao
        | 0x1000..=0x103F | 0x1780..=0x17D3 // Burmese, Khmer
        | 0x1950..=0x19DF | 0x1A20..=0x1A7F // Tai Le, New Tai Lue, Tai Tham
        | 0xA9E0..=0xA9EF | 0xAA60..=0xAADF // more of Burmese, Tai Viet
        | 0x3041..=0x309A | 0x30A1..=0x30FA | 0x30FC // Kana
        | 0x3105..=0x312F | 0x31A0..=0x31BF | 0xAC00..=0xD7A3 // Bopomofo, Hangul
        | 0x3005..=0x3007 | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF
        | 0x20000..=0x323AF // Han
        | 0x1F1E6..=0x1F1FF) // two letters are a flag
}
