//! How files are named, how long they are, how they begin.

use crate::{
    assert_none,
    workspace::{TextFile, files},
};

/// Lines of a production file.
const MAX_FILE: usize = 500;
/// Lines of a `main.rs`.
const MAX_MAIN: usize = 120;
/// Lines of the daemon in all: it configures and wires, the rest is in the crates.
const MAX_DAEMON: usize = 2_500;
/// Names that say nothing.
const VAGUE: &[&str] = &["common", "helper", "helpers", "manager", "misc", "util", "utils"];

fn long_files(files: &[TextFile]) -> Vec<String> {
    let limit = |it: &TextFile| if it.path.ends_with("/main.rs") { MAX_MAIN } else { MAX_FILE };
    let production = files.iter().filter(|it| it.is_production());
    production
        .map(|it| (it, it.text.lines().count()))
        .filter(|(it, lines)| *lines > limit(it))
        .map(|(it, lines)| format!("{}: {lines} lines, at most {}; split it", it.path, limit(it)))
        .collect()
}

fn large_daemon(files: &[TextFile]) -> Vec<String> {
    let daemon = files.iter().filter(|it| it.package_dir() == "bins/codexd" && it.is_production());
    let lines: usize = daemon.map(|it| it.text.lines().count()).sum();
    let message = format!("bins/codexd: {lines} lines, at most {MAX_DAEMON}; move code to a crate");
    (lines > MAX_DAEMON).then_some(message).into_iter().collect()
}

fn files_without_introduction(files: &[TextFile]) -> Vec<String> {
    let without = files.iter().filter(|it| it.is_production() && !it.text.starts_with("//!"));
    without.map(|it| format!("{}: begin with `//!`: what it is, what it is not", it.path)).collect()
}

fn bad_names(files: &[TextFile]) -> Vec<String> {
    let mut violations = Vec::new();
    for path in files.iter().filter(|it| it.is_rust()).map(|it| it.path.as_str()) {
        if path.ends_with("/mod.rs") && !path.contains("/tests/it/") {
            violations.push(format!("{path}: name it after its folder, beside the folder"));
        }
        if path.trim_end_matches(".rs").split('/').any(|it| VAGUE.contains(&it)) {
            violations.push(format!("{path}: name the module after what is in it"));
        }
    }
    violations
}

/// A test crate more is a program more to link; only one with an allocator of its own needs to be.
fn second_test_crates(files: &[TextFile]) -> Vec<String> {
    let extra = files.iter().filter(|it| {
        let test = it.path.split_once("/tests/").map_or("", |(_, test)| test);
        let own_allocator = it.text.contains("#[global_allocator]");
        let is_crate = it.is_rust() && !test.is_empty() && !test.contains('/');
        is_crate && !it.path.contains("/src/") && !own_allocator
    });
    extra.map(|it| format!("{}: make it a module of tests/it/main.rs", it.path)).collect()
}

#[test]
fn files_are_short() {
    assert_none(&long_files(&files()));
}

#[test]
fn the_daemon_only_wires() {
    assert_none(&large_daemon(&files()));
}

#[test]
fn files_are_introduced() {
    assert_none(&files_without_introduction(&files()));
}

#[test]
fn modules_are_named_after_what_they_hold() {
    assert_none(&bad_names(&files()));
}

#[test]
fn each_package_has_one_test_crate() {
    assert_none(&second_test_crates(&files()));
}

#[test]
fn breaches_are_seen() {
    let lines = |count: usize| "//!\n".repeat(count);
    let file = |path: &str, count: usize| TextFile::new(path, &lines(count));
    let long = [
        file("crates/a/src/long.rs", 501),
        file("crates/a/src/short.rs", 500),
        file("crates/a/tests/it/long.rs", 501),
        file("bins/codexd/src/main.rs", 121),
    ];
    assert_eq!(long_files(&long).len(), 2);
    let daemon: Vec<TextFile> =
        (0..6).map(|it| file(&format!("bins/codexd/src/{it}.rs"), 420)).collect();
    assert_eq!(large_daemon(&daemon).len(), 1);
    assert_none(&large_daemon(&daemon[1..]));
    assert_eq!(files_without_introduction(&[TextFile::new("a/src/b.rs", "fn c() {}")]).len(), 1);
    let names = [file("a/src/mod.rs", 1), file("a/src/utils.rs", 1), file("a/src/misc/b.rs", 1)];
    assert_eq!(bad_names(&names).len(), 3);
    assert_eq!(second_test_crates(&[file("a/tests/b.rs", 1), file("a/tests/it/b.rs", 1)]).len(), 1);
}
