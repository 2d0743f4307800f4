//! Text to words: lower case, without endings, without words that say nothing.
//!
//! English words lose their endings (Porter's second algorithm); those of other languages stay as
//! they are. Scripts that put no space between words give pairs of neighbouring characters. It is
//! no grammar and no dictionary.

use rust_stemmers::{Algorithm, Stemmer};

/// Characters of a word that count.
const MAX_CHARS: usize = 64;

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
        if character.is_ascii() {
            reader.read(character.to_ascii_lowercase());
        } else {
            character.to_lowercase().for_each(|it| reader.read(it));
        }
    }
    reader.end();
    reader.words
}

struct Reader {
    stemmer: Stemmer,
    words: Vec<String>,
    word: String,
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
            apostrophe: None,
            unspaced: None,
        }
    }

    fn read(&mut self, character: char) {
        if is_unspaced(character) {
            self.end_word();
            let before = self.unspaced.replace((character, false));
            if let Some((before, _)) = before {
                self.words.push(String::from_iter([before, character]));
                self.unspaced = Some((character, true));
            }
            return;
        }
        self.end_run();
        if character.is_alphanumeric() {
            self.word.push(character);
        } else if matches!(character, '\'' | '’') {
            self.apostrophe = Some(self.word.len());
        } else {
            self.end_word();
        }
    }

    fn end(&mut self) {
        self.end_run();
        self.end_word();
    }

    /// A character that stands alone is a word.
    fn end_run(&mut self) {
        if let Some((character, false)) = self.unspaced.take() {
            self.words.push(character.to_string());
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
            self.words.push(word);
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

/// Whether a character belongs to a script that puts no space between words.
fn is_unspaced(character: char) -> bool {
    matches!(u32::from(character),
        0x0E00..=0x0E4E | 0x0E80..=0x0ECE // Thai, Lao
        | 0x1000..=0x103F | 0x1780..=0x17D3 // Burmese, Khmer
        | 0x3041..=0x3096 | 0x30A1..=0x30FA | 0x30FC // Kana
        | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x20000..=0x323AF) // Han
}

#[cfg(test)]
mod tests {
    use super::{EMPTY, words};

    #[test]
    fn the_list_is_sorted() {
        assert!(EMPTY.is_sorted());
    }

    #[test]
    fn words_are_what_is_looked_for() {
        let check = |text: &str, expected: &[&str]| assert_eq!(words(text), expected, "{text}");
        check("I've been HIKING: hikes, hiked!", &["ive", "hike", "hike", "hike"]);
        check("Caroline's dogs’ 'bones'", &["carolin", "dog", "bone"]);
        check("what was that?", &[]);
        check("Viele ÄPFEL und Яблоки", &["viel", "äpfel", "und", "яблоки"]);
        check("東京タワーへ 行", &["東京", "京タ", "タワ", "ワー", "ーへ", "行"]);
        check(
            "\"NEAR\"* -x:y h_llo 2023-05-08",
            &["near", "x", "y", "h", "llo", "2023", "05", "08"],
        );
        check("a\0b d \u{1f600} \u{feff}", &["b", "d"]);
        assert_eq!(words(&"é".repeat(1_000)), ["é".repeat(64)]);
    }
}
