//! What tells ordinary English words from other runs of letters. It is no dictionary: a tokenizer
//! that was taught English has few tokens for a word whose letters follow each other as they do
//! there, and up to one a letter for any other.

/// Common words, each of them one token in the vocabularies of `o200k`, `cl100k` and SmolLM, alone
/// and after a space, with a capital and without.
const COMMON: &[&str] = &[
    "a", "about", "after", "again", "all", "also", "always", "am", "an", "and", "any", "are", "as",
    "ask", "at", "back", "be", "because", "before", "being", "best", "better", "big", "book",
    "both", "but", "by", "call", "can", "change", "come", "could", "day", "days", "did", "do",
    "does", "done", "down", "each", "end", "even", "every", "fact", "far", "few", "find", "first",
    "for", "found", "from", "get", "give", "go", "going", "good", "got", "great", "had", "hand",
    "has", "have", "he", "head", "help", "her", "here", "high", "his", "home", "how", "if", "in",
    "is", "it", "its", "just", "keep", "kind", "know", "large", "last", "later", "left", "less",
    "let", "life", "like", "line", "little", "long", "look", "made", "make", "man", "many", "may",
    "me", "means", "men", "more", "most", "much", "must", "my", "name", "need", "never", "new",
    "next", "no", "not", "nothing", "now", "number", "of", "off", "often", "old", "on", "once",
    "one", "only", "open", "or", "order", "other", "our", "out", "over", "own", "part", "people",
    "place", "point", "put", "question", "read", "real", "right", "say", "see", "set", "she",
    "should", "show", "side", "since", "small", "so", "some", "sort", "still", "such", "take",
    "tell", "that", "the", "their", "then", "there", "these", "they", "things", "think", "this",
    "those", "though", "three", "through", "time", "to", "today", "too", "try", "turn", "two",
    "under", "until", "up", "upon", "us", "use", "used", "very", "want", "was", "way", "we",
    "well", "what", "when", "where", "which", "while", "who", "why", "will", "with", "within",
    "without", "word", "words", "work", "world", "would", "year", "years", "yes", "yet", "you",
    "your",
];

/// By letter, what often follows it within English words; each pair is one token in those
/// vocabularies.
const FOLLOWERS: [&str; 26] = [
    "bcdghiklmnprstvwyz", // a
    "aeloruy",            // b
    "aehikort",           // c
    "aeios",              // d
    "acdefilmnoprstvwxy", // e
    "aefioru",            // f
    "aehiors",            // g
    "aeinot",             // h
    "acdefgklmnorstv",    // i
    "o",                  // j
    "eis",                // k
    "adeilopsty",         // l
    "aeimopuy",           // m
    "acdeginosty",        // n
    "dfghiklmnoprstuvw",  // o
    "aeilopr",            // p
    "",                   // q
    "adeinostuy",         // r
    "aehiopstu",          // s
    "aehiorstuy",         // t
    "cglnprst",           // u
    "aei",                // v
    "aehio",              // w
    "",                   // x
    "eos",                // y
    "i",                  // z
];

/// Most letters of a common word.
const MOST: usize = 8;

/// Tokens of a word, rather too many than too few: of English letters only, of which the first may
/// be a capital.
pub(super) fn tokens(word: &str) -> u64 {
    let (length, letters) = (word.len(), word.as_bytes());
    if length == 1 || is_common(letters) {
        return 1;
    }
    let is_stretched = letters.windows(3).any(|it| matches!(it, [a, b, c] if a == b && b == c));
    if is_stretched {
        return length as u64;
    }
    let pairs = letters.iter().zip(letters.iter().skip(1));
    let rare = pairs.filter(|(first, second)| !follows(**first, **second)).count();
    ((2 * length).div_ceil(5).max(2) + rare).min(length) as u64
}

fn is_common(letters: &[u8]) -> bool {
    let mut word = [0; MOST];
    let Some(word) = word.get_mut(..letters.len()) else { return false };
    word.copy_from_slice(letters);
    word.make_ascii_lowercase();
    COMMON.binary_search_by(|it| it.as_bytes().cmp(word)).is_ok()
}

fn follows(first: u8, second: u8) -> bool {
    let at = first.to_ascii_lowercase().wrapping_sub(b'a');
    let followers = FOLLOWERS.get(usize::from(at));
    followers.is_some_and(|it| it.as_bytes().contains(&second))
}

#[cfg(test)]
mod tests {
    use super::{COMMON, MOST, tokens};

    #[test]
    fn the_list_is_sorted() {
        assert!(COMMON.is_sorted());
        assert_eq!(COMMON.iter().map(|it| it.len()).max(), Some(MOST));
    }

    #[test]
    fn a_word_has_few_tokens_if_it_looks_like_one() {
        for (word, count) in [
            ("a", 1),
            ("there", 1),
            ("There", 1),
            ("um", 2),
            ("conversation", 6),
            ("Capital", 3),
            ("xqzv", 4),
            ("qqqqqqqq", 8),
            ("nnnnnnnn", 8),
        ] {
            assert_eq!(tokens(word), count, "{word}");
        }
    }
}
