//! What a terminal is not told.

use super::{Look, Style, harmless};

#[test]
fn what_others_wrote_moves_no_terminal() {
    let escapes = "a\u{1b}]0;title\u{7}\u{1b}[2J\u{9b}31m\u{7f}\r\nb\tc";
    let shown = "a\u{fffd}]0;title\u{fffd}\u{fffd}[2J\u{fffd}31m\u{fffd}\nb\tc";
    assert_eq!(harmless(escapes), shown);
    assert_eq!(harmless("Grüße, 世界\n"), "Grüße, 世界\n");
    assert_eq!(Style(true).paint(Look::Bold, "\u{1b}[2J"), "\u{1b}[1m\u{fffd}[2J\u{1b}[0m");
}
