//! What a terminal is not told.

use super::{Look, Style, harmless, in_line, name};

#[test]
fn what_others_wrote_moves_no_terminal() {
    let escapes = "a\u{1b}]0;title\u{7}\u{1b}[2J\u{9b}31m\u{7f}\r\nb\tc";
    let shown = "a\u{fffd}]0;title\u{fffd}\u{fffd}[2J\u{fffd}31m\u{fffd}\nb\tc";
    assert_eq!(harmless(escapes), shown);
    assert_eq!(harmless("Grüße, 世界\n"), "Grüße, 世界\n");
    assert_eq!(Style(true).paint(Look::Bold, "\u{1b}[2J"), "\u{1b}[1m\u{fffd}[2J\u{1b}[0m");
}

#[test]
fn a_line_stays_one_line_in_one_direction() {
    assert_eq!(
        in_line("a\nb\tc\u{2028}d\u{202e}e\u{2066}\u{1b}"),
        "a b c d\u{fffd}e\u{fffd}\u{fffd}"
    );
    assert_eq!(in_line("שלום, 世界"), "שלום, 世界");
}

#[test]
fn names_are_quoted_where_they_could_be_taken_for_something_else() {
    for plain in ["a", "holidays 2026", "a (imported 2)", "grüße/世界", "it's"] {
        assert_eq!(name(plain), plain);
    }
    for (odd, shown) in [
        ("", r#""""#),
        (" a", r#"" a""#),
        ("a  b", r#""a  b""#),
        ("a\nb\t", r#""a\nb\t""#),
        ("\u{202e}cba", r#""\u{202e}cba""#),
        ("\u{1b}[2J", r#""\u{1b}[2J""#),
        ("say \"x\\", r#""say \"x\\""#),
        ("a\u{a0}\u{2028}", r#""a\u{a0}\u{2028}""#),
    ] {
        assert_eq!(name(odd), shown);
    }
}
