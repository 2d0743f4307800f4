//! The table holds together, and knows what the API may answer.

use std::{collections::BTreeSet, fs, path::Path};

use super::{Code, EXITS, OF_THE_API, exit_of, known_exit, reference, summary};

fn is_code(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|it| it.is_ascii_lowercase() || it == b'_')
}

#[test]
fn words_are_codes_and_exit_codes_are_explained() {
    let exits: BTreeSet<u8> = EXITS.iter().map(|(exit, _)| *exit).collect();
    let words: BTreeSet<_> = Code::ALL.iter().map(|it| it.word()).collect();
    assert_eq!(words.len(), Code::ALL.len());
    for code in Code::ALL {
        assert!(is_code(code.word()) && exits.contains(&code.exit()), "{code:?}");
        let (row, word) = (reference(), code.word());
        assert!(row.contains(&format!("| `{word}` | {} | {} |", code.exit(), code.when())));
        // Where the API has the same word, it means the same.
        assert!(known_exit(word).is_none_or(|exit| exit == code.exit()), "{word}");
    }
    let mut seen = BTreeSet::new();
    for (exit, words) in OF_THE_API {
        assert!(exits.contains(exit) && summary().contains(&format!("{exit:>3}  ")));
        assert!(words.split_whitespace().all(|it| is_code(it) && seen.insert(it)), "{words}");
    }
    assert_eq!(exit_of("something_of_a_later_version"), 1);
}

#[test]
fn every_code_of_the_api_is_in_the_table() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/API.md");
    let page = fs::read_to_string(page).unwrap();
    let tables = page.split("| code | status |").skip(1).map(|it| it.split("\n\n").next().unwrap());
    let rows = tables.flat_map(str::lines).filter(|it| it.contains('`'));
    let mut found = 0;
    for row in rows {
        let first = row.trim_start_matches('|').split('|').next().unwrap();
        for word in first.split('`').skip(1).step_by(2) {
            assert!(known_exit(word).is_some(), "{word}: say in code.rs which exit code it means");
            found += 1;
        }
    }
    assert!(40 < found, "{found}");
    let (_, ends) = page.split_once("| `turn.interrupted` |").unwrap();
    for word in ends.lines().next().unwrap().split('`').skip(3).step_by(2) {
        assert!(known_exit(word).is_some(), "{word}: say in code.rs which exit code it means");
    }
}
