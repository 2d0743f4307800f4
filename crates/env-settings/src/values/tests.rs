//! Files that people write, and who wins.

use std::{
    ffi::OsString,
    fs,
    os::unix::{ffi::OsStringExt as _, fs::symlink, net::UnixListener},
};

use super::Settings;

/// The settings of a file, and what is said about it.
fn file(bytes: &[u8]) -> (Settings, String) {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join(".env");
    fs::write(&path, bytes).unwrap();
    let mut settings = Settings::default();
    settings.add_file(&path);
    let problems = settings.problems.join("\n");
    (settings, problems)
}

#[test]
fn editors_leave_marks_that_are_no_matter() {
    let (settings, problems) = file(b"\xef\xbb\xbfPORT=1\r\nexport HOST='a $b' # why\r\n");
    assert_eq!((settings.get("PORT"), settings.get("HOST")), (Some("1"), Some("a $b")));
    assert_eq!(problems, "");
}

#[test]
fn what_cannot_be_read_is_named_and_not_repeated() {
    let (settings, problems) = file(b"A=1\nB hunter2\nC=2\nD=hun ter2\n");
    assert_eq!((settings.get("A"), settings.get("C")), (Some("1"), Some("2")));
    assert!(problems.contains("line 2 cannot") && problems.contains("line 4 cannot"), "{problems}");
    assert!(!problems.contains("hunter2") && !problems.contains("ter2"), "{problems}");
    assert!(file(b"A=\xff\n").1.contains("cannot be read"));
}

#[test]
fn every_line_that_cannot_be_read_is_named_by_its_own_number() {
    let text = "# it's\nB C\nA=1\nB C\nD='two\nlines'\nE=\"never closed\nF G\nC\nH=$A # why\n";
    let (settings, problems) = file(text.as_bytes());
    let lines = problems.lines().filter_map(|it| it.split("line ").nth(1)?.split(' ').next());
    assert_eq!(lines.collect::<Vec<_>>(), ["2", "4", "7", "8", "9"], "{problems}");
    assert_eq!(settings.get("D"), Some("two\nlines"));
}

#[test]
fn a_folder_is_no_file_and_none_is_none() {
    let folder = tempfile::TempDir::new().unwrap();
    let mut settings = Settings::default();
    settings.add_file(&folder.path().join(".env"));
    assert!(settings.problems.is_empty());
    settings.add_file(folder.path());
    assert!(settings.problems[0].contains("make it a text file"), "{:?}", settings.problems);
}

#[test]
fn a_link_to_nowhere_and_what_is_no_file_are_named() {
    let folder = tempfile::TempDir::new().unwrap();
    let (link, socket) = (folder.path().join("link"), folder.path().join("socket"));
    symlink(folder.path().join("nowhere"), &link).unwrap();
    let _listener = UnixListener::bind(&socket).unwrap();
    let mut settings = Settings::default();
    settings.add_file(&link);
    settings.add_file(&socket);
    let [dangling, socket] = settings.problems.as_slice() else { panic!("{settings:?}") };
    assert!(dangling.contains("link: cannot be read (No such file"), "{dangling}");
    assert!(socket.contains("it is no regular file"), "{socket}");
    fs::write(folder.path().join("nowhere"), "PORT=1\n").unwrap();
    settings.add_file(&link);
    assert_eq!(settings.get("PORT"), Some("1"));
}

#[test]
fn nothing_in_the_environment_hides_only_what_may_be_nothing() {
    let (mut settings, _) = file(b"PORT=1\nREDIS_URL=redis://h\n");
    let pairs = [("PORT", " "), ("REDIS_URL", "")].map(|(name, it)| (name.into(), it.into()));
    settings.add_environment(pairs, &["PORT", "REDIS_URL"], &["REDIS_URL"]);
    assert_eq!((settings.get("PORT"), settings.origin("PORT")), (Some("1"), Some(".env")));
    assert!(settings.is_emptied("REDIS_URL"));
}

#[test]
fn an_environment_wins_with_what_is_known() {
    let (mut settings, _) = file(b"PORT=1\nTYPO=1\nHOST=\n");
    let variables = [("PORT", "2"), ("PATH", "/bin")];
    let pairs = variables.map(|(name, value)| (name.into(), value.into()));
    settings.add_environment(pairs, &["PORT", "HOST", "LOG"], &[]);
    assert_eq!((settings.get("PORT"), settings.origin("PORT")), (Some("2"), Some("environment")));
    assert_eq!(settings.names().collect::<Vec<_>>(), ["HOST", "PORT", "TYPO"]);
    assert!(settings.is_emptied("HOST") && !settings.is_emptied("LOG"));
    let broken = OsString::from_vec(vec![0xff]);
    settings.add_environment([("LOG".into(), broken)], &["LOG"], &[]);
    assert_eq!(settings.problems, ["LOG: the value is not UTF-8"]);
    assert!(!format!("{settings:?}").contains('2'));
}

fn toml(text: &str) -> Settings {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("c.toml");
    fs::write(&path, text).unwrap();
    let mut settings = Settings::default();
    settings.add_toml(&path);
    settings
}

#[test]
fn a_toml_file_has_values_lists_and_tables() {
    let settings = toml(
        "PORT = 8_000\nALLOW_NO_KEY = true\nHOSTS = ['a', 'b']\nREDIS_URL = ''\n[p.groq]\nurl = 'u'\nrate = 0.5\n",
    );
    let check = |name: &str, value: &str| assert_eq!(settings.get(name), Some(value), "{name}");
    check("PORT", "8000");
    check("ALLOW_NO_KEY", "1");
    check("HOSTS", "a,b");
    check("p.groq.url", "u");
    check("p.groq.rate", "0.5");
    assert!(settings.is_emptied("REDIS_URL"));
    assert_eq!((settings.origin("PORT"), settings.problems.len()), (Some("TOML file"), 0));
}

#[test]
fn what_is_wrong_with_a_toml_file_is_told_without_its_words() {
    let only = |settings: &Settings| {
        let [problem] = settings.problems.as_slice() else { panic!("{settings:?}") };
        assert!(!problem.contains("sesame"), "{problem}");
        problem.clone()
    };
    assert!(only(&toml("A = 1\nKEY = \"sesame\n")).contains("c.toml: line 2 is not TOML"));
    assert!(only(&toml("A = 1\nA = 'sesame'\n")).contains("line 2"));
    assert!(only(&toml("[p]\nx = 2020-01-01\n")).contains("p.x will not do"));
    assert!(only(&toml("x = [['sesame']]\n")).contains("x will not do"));
    let mut settings = Settings::default();
    settings.add_toml(std::path::Path::new("/nowhere/sesam.toml"));
    assert!(only(&settings).contains("there is no such file"));
}
