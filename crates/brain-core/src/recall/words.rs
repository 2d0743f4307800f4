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
    let mut reader = Reader::new();
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
    reader.words
}

struct Reader {
    stemmer: Stemmer,
    words: Vec<String>,
    word: String,
    /// What was not read yet: the next character may be a part of it.
    held: Option<char>,
    /// Where the last apostrophe of the word was.
    apostrophe: Option<usize>,
    /// The last character, if it is of a script without spaces, and whether it is in a pair.
    unspaced: Option<(char, bool)>,
}

impl Reader {
    fn new() -> Self {
        Self {
            stemmer: Stemmer::create(Algorithm::English),
            words: Vec::with_capacity(16),
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
                self.keep(String::from_iter([before, character]));
                self.unspaced = Some((character, true));
            }
            return;
        }
        self.end_run();
        if is_apostrophe(character) {
            self.apostrophe = Some(self.word.len());
        } else if is_picture(character) {
            self.end_word();
            self.keep(character.to_string());
        } else if !character.is_alphanumeric() && !is_combining_mark(character) {
            self.end_word();
        } else if self.word.len() < MAX_BYTES {
            self.word.push(character);
        }
    }

    fn keep(&mut self, word: String) {
        if self.words.len() < MAX_WORDS {
            self.words.push(word);
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
            self.keep(character.to_string());
        }
    }

    fn end_word(&mut self) {
        if let Some(end) = self.apostrophe.take()
            && self.word.get(end..) == Some("s")
        {
            self.word.truncate(end);
        }
        if !self.word.is_empty() && EMPTY.binary_search(&self.word.as_str()).is_err() {
            let word = self.known_as();
            self.keep(word);
        }
        self.word.clear();
    }

    /// The word as the index knows it.
    fn known_as(&self) -> String {
        let end = match self.word.len() {
            0..=MAX_CHARS => self.word.len(),
            len => self.word.char_indices().nth(MAX_CHARS).map_or(len, |(at, _)| at),
        };
        let word = self.word.get(..end).unwrap_or(&self.word);
        let is_english = word.bytes().all(|it| it.is_ascii_lowercase());
        if is_english { self.stemmer.stem(word).into_owned() } else { word.to_owned() }
    }
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
