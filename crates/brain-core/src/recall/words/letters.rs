//! Which characters are one to people: whatever their case, marks, width, shape or encoding.
//!
//! What tells words apart in scripts that write vowels or tones as marks (Devanagari, Thai, kana's
//! voicing) stays. It knows no languages, no spellings (`ö` is no `oe`) and no transliteration.

use unicode_normalization::char::{canonical_combining_class, decompose_compatible};

/// Hands on what a character counts as: nothing, itself, or some others.
pub(super) fn fold(character: char, hand_on: &mut impl FnMut(char)) {
    match character {
        // Signs behind a word, not letters of it.
        '™' | '℠' => hand_on(' '),
        // Syllables of Hangul stay whole.
        '\u{AC00}'..='\u{D7A3}' => hand_on(character),
        _ => decompose_compatible(character, |part| {
            if !is_left_out(part) {
                fold_case(part, hand_on);
            }
        }),
    }
}

fn fold_case(part: char, hand_on: &mut impl FnMut(char)) {
    // There and back again: `ß` is `ss`, `ς` is `σ`, `ı` is `i`.
    let folded = part.to_lowercase().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    for letter in folded {
        match plain(letter) {
            Some(letters) => letters.chars().for_each(&mut *hand_on),
            None => hand_on(letter),
        }
    }
}

/// What stands for a letter that has no mark to be taken away, in a keyboard without it.
fn plain(letter: char) -> Option<&'static str> {
    Some(match letter {
        'æ' => "ae",
        'ɓ' => "b",
        'ð' | 'đ' | 'ɖ' | 'ɗ' => "d",
        'ə' | 'ǝ' => "e",
        'ħ' => "h",
        'ƙ' => "k",
        'ł' => "l",
        'ŋ' => "n",
        'ø' => "o",
        'œ' => "oe",
        'ŧ' => "t",
        'þ' => "th",
        'ƴ' => "y",
        'ґ' => "г",
        'ى' | 'ی' => "ي",
        'ک' => "ك",
        'ة' => "ه",
        _ => return None,
    })
}

fn is_left_out(part: char) -> bool {
    is_unseen(part) || is_mark(part)
}

/// Whether it is an accent, a point or a frame, and no letter.
fn is_mark(part: char) -> bool {
    let is_frame = matches!(u32::from(part), 0x0488..=0x0489 | 0x20DD..=0x20E0 | 0x20E2..=0x20E4);
    // The classes of strokes, of Hebrew and Arabic points, and of what stands above or below.
    is_frame || matches!(canonical_combining_class(part), 1 | 6 | 10..=36 | 200..=240)
}

/// Whether it only says how others are shown: controls, joiners, fillers, variants, tags, skin.
fn is_unseen(part: char) -> bool {
    matches!(u32::from(part),
        0x00..=0x08 | 0x0E..=0x1B | 0x7F..=0x84 | 0x86..=0x9F // controls that do not separate
        | 0x00AD | 0x034F | 0x061C | 0x0640 | 0x115F..=0x1160 | 0x17B4..=0x17B5 | 0x180B..=0x180F
        | 0x200B..=0x200F | 0x202A..=0x202E | 0x2060..=0x206F | 0xFE00..=0xFE0F | 0xFEFF
        | 0xFFF0..=0xFFF8 | 0x1F3FB..=0x1F3FF | 0xE0000..=0xE0FFF)
}
