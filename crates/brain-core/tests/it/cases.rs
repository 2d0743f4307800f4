//! The 58 ways in which the memories of others went wrong, each with the tests that hold it here.
//!
//! The table only names tests; this module makes sure that they exist. Cases of the port's suite run on every store:
//! in the process, Redis alone and in a cluster, SQLite, and all combinations of tiers. Only cases 20 to 30 are skipped
//! off Redis, and 31 to 36 off SQLite.

mod table;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::RangeInclusive,
    path::Path,
};

use self::table::CASES;

/// A case and the tests that hold it.
struct Case {
    number: u32,
    /// What must hold.
    what: &'static str,
    /// Files from the root of the workspace, each with its tests.
    tests: &'static [(&'static str, &'static [&'static str])],
}

/// Cases that only one backend can break, and where their tests lie.
const OF_ONE_BACKEND: &[(RangeInclusive<u32>, &[&str])] =
    &[(20..=30, &["crates/memory-redis/", "bins/codexd/"]), (31..=36, &["crates/memory-sqlite/"])];
/// All backends; a case that is not theirs has a test elsewhere, which no backend is spared.
const BACKENDS: &[&str] = &["crates/memory-redis/", "crates/memory-sqlite/"];

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Names of functions that are tests, or cases of a suite, in the text of a file.
fn tests_in(text: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim_start) {
        is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        let is_case = line.starts_with("pub async fn ");
        if let Some((_, name)) = line.split_once("fn ").filter(|_| is_test || is_case) {
            found.extend(name.split(['(', '<']).next());
            is_test = false;
        }
    }
    found
}

#[test]
fn every_case_has_its_tests() {
    let numbers: Vec<u32> = CASES.iter().map(|it| it.number).collect();
    assert_eq!(numbers, (1..=58).collect::<Vec<u32>>());
    let mut files: BTreeMap<&str, String> = BTreeMap::new();
    let mut missing = Vec::new();
    for Case { number, what, tests } in CASES {
        if tests.is_empty() {
            missing.push(format!("case {number} ({what}) has no test"));
        }
        for (file, names) in *tests {
            let read = || fs::read_to_string(root().join(file)).unwrap_or_default();
            let text = files.entry(file).or_insert_with(read);
            let found = tests_in(text);
            let absent = names.iter().filter(|it| !found.contains(**it));
            missing.extend(absent.map(|it| format!("case {number}: {file} has no test {it}")));
        }
    }
    assert!(missing.is_empty(), "{} missing:\n  {}", missing.len(), missing.join("\n  "));
}

#[test]
fn a_case_is_skipped_only_where_its_backend_is_not() {
    let lies_in = |file: &str, places: &[&str]| places.iter().any(|it| file.starts_with(it));
    for Case { number, what, tests } in CASES {
        let mut files = tests.iter().map(|(file, _)| file);
        let is_held = match OF_ONE_BACKEND.iter().find(|(cases, _)| cases.contains(number)) {
            Some((_, places)) => files.any(|it| lies_in(it, places)),
            None => files.any(|it| !lies_in(it, BACKENDS)),
        };
        assert!(is_held, "case {number} ({what}) is tested in the wrong place");
    }
}

#[test]
fn tests_are_recognised() {
    let text = "#[test]\nfn a() {}\nfn helper() {}\n#[tokio::test(flavor = \"x\")]\nasync fn b() {}\n\
                pub async fn case(it: Subject) {}\nproptest! {\n    #[test]\n    fn c(\n";
    assert_eq!(tests_in(text), ["a", "b", "c", "case"].into());
}
