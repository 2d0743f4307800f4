//! Texts of every kind, by which the core's estimate of tokens is held against a real tokenizer. It
//! says nothing of how far above the estimate may be.

use std::{
    hint::black_box,
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use brain_core::llm::{Estimate, TokenCounter};

/// Longest that a text may take, on whatever machine: some thirty times what it takes unoptimised.
const LONGEST: Duration = Duration::from_secs(3);

/// How many characters texts have, and how many texts there are of each kind and length.
const LENGTHS: [(usize, usize); 9] =
    [(1, 60), (2, 60), (3, 60), (5, 40), (8, 40), (13, 20), (40, 10), (150, 4), (600, 2)];

/// Kinds of texts by what they are made of.
const KINDS: &[(&str, &[RangeInclusive<char>])] = &[
    ("digits", &['0'..='9']),
    ("hexadecimal", &['0'..='9', 'a'..='f']),
    ("capital hexadecimal", &['0'..='9', 'A'..='F']),
    ("base64", &['a'..='z', 'A'..='Z', '0'..='9', '+'..='+', '/'..='/']),
    ("letters", &['a'..='z']),
    ("capitals", &['A'..='Z']),
    ("words", &['a'..='z', 'a'..='z', ' '..=' ', ' '..=' ', ' '..=' ', ' '..=' ', '\n'..='\n']),
    ("names", &['a'..='z', 'A'..='E', '0'..='3', '_'..='_', ' '..=' ']),
    ("signs", &['!'..='/', ':'..='@', '['..='`', '{'..='~']),
    ("ASCII", &[' '..='~']),
    ("blanks", &[' '..=' ', '\t'..='\n', '\r'..='\r']),
    ("controls", &['\0'..='\x1f', '\x7f'..='\u{9f}']),
    ("Latin", &['a'..='z', 'À'..='ɏ']),
    ("Greek, Cyrillic", &['Α'..='ώ', 'А'..='я', ' '..=' ']),
    ("Hebrew, Arabic", &['א'..='ת', 'ء'..='ي', ' '..=' ']),
    ("Hindi", &['अ'..='ह', 'ा'..='्', ' '..=' ']),
    ("other Indian", &['\u{980}'..='\u{dff}']),
    ("Thai", &['ก'..='ฺ', 'เ'..='๎']),
    ("Tibetan to Khmer", &['\u{f00}'..='\u{17ff}']),
    ("punctuation, symbols", &['\u{2000}'..='\u{2bff}', ' '..=' ']),
    ("Japanese", &['ぁ'..='ヿ', '一'..='龥']),
    ("Chinese", &['一'..='鿿', '。'..='。', '，'..='，']),
    ("rare Chinese", &['㐀'..='䶿', '\u{20000}'..='\u{2a6df}']),
    ("Korean", &['가'..='힣', ' '..=' ']),
    ("compatibility", &['\u{e000}'..='\u{ffef}']),
    ("emoji", &['\u{1f300}'..='\u{1faff}', '\u{200d}'..='\u{200d}', '\u{fe0f}'..='\u{fe0f}']),
    ("beyond", &['\u{10000}'..='\u{1ffff}', '\u{e0000}'..='\u{e0fff}']),
    ("anything", &['\0'..='\u{d7ff}', '\u{e000}'..='\u{10ffff}']),
];

/// Text as people and programs write it.
const WRITTEN: &[&str] = &[
    "It keeps every conversation, and where both disagree, the issue stands; what people expect. ",
    "let Some(first) = rest.chars().next() else { return Vec::new() };\n        count += 1;\n",
    "{\"id\": 17, \"name\": \"user 17\", \"ok\": true, \"at\": \"2026-01-01T00:00:00Z\"},\n",
    "| a | table |\n|---|------:|\n# Title\n\n* **bold**, `code`; see https://example.com/a?b=c#d\n",
    "5f4dcc3b5aa765d61d8327deb882cf99  ./README.md\n550e8400-e29b-41d4-a716-446655440000\n",
    "aGVsbG8gd29ybGQsIHRoaXMgaXMgYmFzZTY0IQ9XkQz7Jm/Rt+==",
    "<|im_start|>user <filename>a.rs<|im_end|><|endoftext|>",
    "Über die Straße führt ein schöner Weg zum größten Gebäude. ",
    "Сегодня хорошая погода, и мы пойдём гулять в парк. ",
    "今天天气很好，我们去公园散步吧。",
    "今日は天気がいいから、公園へ散歩に行きましょう。",
    "오늘은 날씨가 좋으니 공원에 산책하러 갑시다. ",
    "आज मौसम अच्छा है, चलो पार्क में टहलते हैं। ",
    "วันนี้อากาศดีมากเราไปเดินเล่นในสวนกันเถอะ",
    "الطقس جميل اليوم، فلنذهب إلى الحديقة. ",
    "👍🏽👩\u{200d}👩\u{200d}👧🎉😀🇩🇪",
];

/// Asserts that no text has more tokens by `counter`, which is exact, than by the [`Estimate`].
pub fn estimate_is_never_low(counter: &dyn TokenCounter) {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for (kind, ranges) in KINDS {
        for (length, count) in LENGTHS {
            for _ in 0..count {
                let text: String = (0..length).map(|_| random.of(ranges)).collect();
                check(counter, kind, &text);
                check(counter, kind, &format!(" {text}"));
            }
        }
    }
    for text in WRITTEN {
        for times in [1, 2, 30] {
            check(counter, "written", &text.repeat(times));
        }
    }
    for character in (' '..='~').chain(['\t', '\n', '\r']) {
        for length in (1..20).chain([64, 300]) {
            let run = character.to_string().repeat(length);
            check(counter, "a run", &run);
            check(counter, "a run", &format!("a {run} b"));
        }
    }
}

fn check(counter: &dyn TokenCounter, kind: &str, text: &str) {
    let (exact, estimate) = (counter.text(text), Estimate.text(text).count);
    assert!(exact.exact, "{kind}: not counted: {text:?}");
    assert!(exact.count <= estimate, "{kind}: {} tokens, not {estimate}: {text:?}", exact.count);
}

/// Numbers that look random and are the same every time.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end.max(1)
    }

    /// A character of one of the ranges.
    fn of(&mut self, ranges: &[RangeInclusive<char>]) -> char {
        let range = &ranges[self.below(ranges.len() as u64) as usize];
        let (first, last) = (u32::from(*range.start()), u32::from(*range.end()));
        let code = u64::from(first) + self.below(u64::from(last - first) + 1);
        u32::try_from(code).ok().and_then(char::from_u32).unwrap_or('\u{fffd}')
    }
}

/// Texts of one `character` are counted in a time that grows with their length, up to `bytes`.
///
/// A text is held against its eighths, one after the other: both take about as long, so that a busy
/// machine slows both. The best of a few tries of each counts.
pub fn long_texts_are_counted_in_time(counter: &dyn TokenCounter, character: &str, bytes: usize) {
    let times = bytes / character.len() / 8;
    let (whole, eighth) = (character.repeat(8 * times), character.repeat(times));
    let took = |text: &str, rounds: usize| {
        let begun = Instant::now();
        for _ in 0..rounds {
            black_box(counter.text(text));
        }
        begun.elapsed()
    };
    let tries = (0..3).map(|_| (took(&whole, 1), took(&eighth, 8)));
    let (whole, eighths) = tries.reduce(|a, b| (a.0.min(b.0), a.1.min(b.1))).unwrap();
    let growth = whole.as_secs_f64() / eighths.as_secs_f64();
    assert!(growth < 4.0, "{character:?}: {bytes} bytes take {growth:.1} times too long");
    assert!(whole < LONGEST, "{character:?}: {bytes} bytes take {whole:?}");
}
