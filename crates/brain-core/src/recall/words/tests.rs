//! What words are, which texts meet, and which do not.

use std::time::{Duration, Instant};

use super::{EMPTY, MAX_BYTES, MAX_WORDS, words};

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
    check("Viele ÄPFEL und Яблоки", &["viel", "apfel", "und", "яблоки"]);
    check("東京タワーへ 行", &["東京", "京タ", "タワ", "ワー", "ーへ", "行"]);
    check("서울에 갔다 집", &["서울", "울에", "갔다", "집"]);
    check("\"NEAR\"* -x:y h_llo 2023-05-08", &["near", "x", "y", "h", "llo", "2023", "05", "08"]);
    check("a\0b d \u{feff}\x1f", &["ab", "d"]);
    check("so🦀good 👍🏽 ❤\u{fe0f} 🇩🇪 1\u{fe0f}\u{20e3}", &["🦀", "good", "👍", "❤", "🇩🇪", "1"]);
    check("Acme™ 5㎏ a → b", &["acm", "5kg", "b"]);
    check(&"é".repeat(1_000), &[&"e".repeat(64)]);
    check(&"я".repeat(1_000), &[&"я".repeat(64)]);
}

/// Each line: texts that are the same to people.
const ALIKE: &[&[&str]] = &[
    &["café", "cafe\u{301}", "CAFÉ", "cafe", "ｃａｆé"],
    &["Straße", "STRASSE", "strasse", "STRAẞE"],
    &["Köln", "Ko\u{308}ln", "koln"],
    &["İstanbul", "istanbul", "ISTANBUL", "ıstanbul"],
    &["łódź", "ŁÓDŹ", "lodz"],
    &["Øresund", "oresund"],
    &["Đà Nẵng", "da nang"],
    &["Tiếng Việt", "tieng viet", "Tiê\u{301}ng Viê\u{323}t"],
    &["Ælfþryð", "aelfthryd"],
    &["Ħal Għargħur", "hal ghargħur"],
    &["ﬁnance oﬃce", "finance office"],
    &["ＡＢＣ１２３", "abc123"],
    &["𝓗𝓮𝓵𝓵𝓸", "hello"],
    &["soft\u{ad}hyphen", "softhyphen"],
    &["zero\u{200b}wid\u{feff}th", "zerowidth"],
    &["be\0fore", "before"],
    &["Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A͆L̷G̡O", "zalgo"],
    &["don’t", "don't", "donʼt", "DON＇T"],
    &["Hawaiʻi", "Hawai‘i", "hawaii"],
    &["Ёлка", "елка", "Е\u{308}лка"],
    &["ὁδός", "οδος", "ΟΔΟΣ"],
    &["كِتَابٌ", "كتاب", "كـتـاب"],
    &["أحمد", "احمد"],
    &["می‌خواهم", "ميخواهم"],
    &["ﷺ", "صلى الله عليه وسلم"],
    &["שָׁלוֹם", "שלום"],
    &["ｶﾀｶﾅ", "カタカナ"],
    &["ガラス", "ｶﾞﾗｽ", "カ\u{3099}ラス"],
    &["한글", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}", "하\u{11ab}그\u{11af}"],
    &["क़लम", "क\u{93c}लम"],
    &["㍿", "株式会社"],
    &["Ångström", "\u{212b}ngstro\u{308}m", "angstrom"],
    &["❤️", "❤"],
    &["👍🏽", "👍"],
    &["👩\u{200d}👩\u{200d}👧", "👩👩👧"],
];

/// Each line: texts that mean different things.
const UNLIKE: &[[&str; 2]] = &[
    ["カキ", "ガキ"],
    ["ハン", "パン"],
    ["ข้าว", "ขาว"],
    ["दिन", "दान"],
    ["नमस्ते", "नमसते"],
    ["कम", "क़म"],
    ["서울", "세울"],
    ["köln", "koeln"],
    ["北京", "東京"],
    ["🦀", "🦞"],
    ["🇩🇪", "🇪🇸"],
    ["👩", "👨"],
    ["дом", "дам"],
    ["كتاب", "كاتب"],
    ["zero width", "zerowidth"],
    ["x²", "x"],
];

#[test]
fn texts_that_are_the_same_to_people_meet() {
    for group in ALIKE {
        let first = words(group[0]);
        assert!(!first.is_empty(), "{group:?}");
        for text in *group {
            assert_eq!(words(text), first, "{group:?}");
            let within = words(&format!("before {text}, behind"));
            assert_eq!(within[1..within.len() - 1], first, "{group:?}");
        }
    }
}

#[test]
fn texts_that_mean_different_things_do_not() {
    for [one, other] in UNLIKE {
        assert_ne!(words(one), words(other));
    }
}

#[test]
fn what_is_asked_for_is_in_what_was_said() {
    for (text, query) in [
        ("I love 🦀 and 👩\u{200d}👩\u{200d}👧", "🦀"),
        ("I love 🦀 and 👩\u{200d}👩\u{200d}👧", "👩\u{200d}👩\u{200d}👧"),
        ("🤷🏻\u{200d}♀\u{fe0f}", "🤷"),
        ("서울에 갔다", "서울"),
        ("नमस्ते दुनिया", "दुनिया"),
        ("ฉันชอบกินข้าวผัด", "ข้าวผัด"),
        ("ﷺ كتاب", "كتاب"),
        ("Die Straße nach Köln", "STRASSE KOLN"),
    ] {
        let said = words(text);
        assert!(words(query).iter().all(|it| said.contains(it)), "{text}: {query}");
    }
}

/// Texts of 1 MiB, made to take long or to become large.
#[test]
fn hostile_texts_cost_no_more_than_so_much() {
    for part in
        ["\u{301}", "\u{94d}", "\u{3099}", "ﷺ", "㍿", "x ", "🦀", "ẞ", "\u{1161}", "각", "a'"]
    {
        let text = part.repeat((1 << 20) / part.len());
        let start = Instant::now();
        let words = words(&format!("e{text}"));
        assert!(start.elapsed() < Duration::from_secs(60), "{part:?}: {:?}", start.elapsed());
        assert!(words.len() <= MAX_WORDS, "{part:?}");
        assert!(words.iter().all(|it| it.len() <= MAX_BYTES), "{part:?}");
    }
}
