//! Documents point at files and headings that exist.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use pulldown_cmark::{Event, Parser, Tag, TagEnd};

use crate::{
    assert_none,
    workspace::{TextFile, files, root},
};

/// Where to look a path up, so that the rule can be tried without files.
type Exists<'a> = &'a dyn Fn(&Path) -> bool;

fn broken_links(file: &TextFile, files: &[TextFile], exists: Exists<'_>) -> Vec<String> {
    let folder = Path::new(&file.path).parent().unwrap();
    let broken = |link: &String| {
        let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
        let Some(target) = (match path {
            "" => Some(PathBuf::from(&file.path)),
            path => inside(&folder.join(path)),
        }) else {
            return true;
        };
        let document = files.iter().find(|it| Path::new(&it.path) == target);
        let has_anchor = || document.is_none_or(|it| headings(it).contains(&anchor.to_owned()));
        !exists(&target) || !(anchor.is_empty() || has_anchor())
    };
    let links = links(file).into_iter().filter(|it| !it.contains(':'));
    links.filter(broken).map(|it| format!("{}: nothing at {it}", file.path)).collect()
}

fn links(file: &TextFile) -> Vec<String> {
    let link = |event| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
            Some(dest_url.into_string())
        }
        _ => None,
    };
    Parser::new(&file.text).filter_map(link).collect()
}

/// The anchors of a document's headings, as GitHub makes them.
fn headings(file: &TextFile) -> Vec<String> {
    let mut anchors = Vec::new();
    let mut open: Option<String> = None;
    for event in Parser::new(&file.text) {
        match (event, &mut open) {
            (Event::Start(Tag::Heading { .. }), _) => open = Some(String::new()),
            (Event::Text(text) | Event::Code(text), Some(title)) => title.push_str(&text),
            (Event::End(TagEnd::Heading(_)), _) => anchors.extend(open.take().map(|it| slug(&it))),
            _ => {}
        }
    }
    anchors
}

fn slug(title: &str) -> String {
    let kept = |it: &char| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_');
    title.to_lowercase().chars().filter(kept).map(|it| if it == ' ' { '-' } else { it }).collect()
}

/// Paths that a text mentions and that are not there: documents in comments, and everything that begins
/// with a folder of ours.
fn missing_paths(file: &TextFile, exists: Exists<'_>) -> Vec<String> {
    let folder = Path::new(&file.path).parent().unwrap();
    let absent = |it: &&str| {
        let at = |base: &Path| inside(&base.join(it)).is_some_and(|path| exists(&path));
        !at(Path::new("")) && !at(folder)
    };
    let mut violations = Vec::new();
    for (number, line) in file.lines() {
        let comment = line.trim_start().starts_with("//") || line.trim_start().starts_with('#');
        let prose = file.is_markdown() || comment;
        let mentioned = words(line).filter(|it| prose && names_a_path(it, file.is_markdown()));
        violations.extend(
            mentioned
                .filter(absent)
                .map(|it| format!("{}:{number}: there is no {it}; name what is there", file.path)),
        );
    }
    violations
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    let part_of_path = |it: char| it.is_alphanumeric() || "_-./*<>{}$~:".contains(it);
    line.split(move |it| !part_of_path(it)).map(|it| it.trim_end_matches(['.', '/', ':']))
}

fn names_a_path(word: &str, markdown: bool) -> bool {
    const FOLDERS: &[&str] = &["bins/", "crates/", "docs/", "scripts/", "xtask/"];
    let pattern = word.contains(['*', '<', '{', '$', '~', ':']) || word.starts_with("//");
    let document = word.ends_with(".md") && word.len() > 3 && (!markdown || word.contains('/'));
    !pattern && (document || FOLDERS.iter().any(|it| word.starts_with(it)))
}

/// The path without `..`; `None` if it leaves the repository.
fn inside(path: &Path) -> Option<PathBuf> {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => parts.push(part),
            Component::ParentDir => drop(parts.pop()?),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.iter().collect())
}

#[test]
fn links_lead_somewhere() {
    let files = files();
    let exists = |path: &Path| fs::exists(root().join(path)).unwrap();
    let documents = files.iter().filter(|it| it.is_markdown());
    let broken = documents.flat_map(|it| broken_links(it, &files, &exists));
    assert_none(&broken.collect::<Vec<String>>());
}

#[test]
fn mentioned_files_exist() {
    let exists = |path: &Path| fs::exists(root().join(path)).unwrap();
    let files = files().into_iter().filter(|it| !it.path.starts_with("xtask/tests/tidy/"));
    assert_none(&files.flat_map(|it| missing_paths(&it, &exists)).collect::<Vec<String>>());
}

#[test]
fn breaches_are_seen() {
    let exists = |path: &Path| ["README.md", "docs/A.md"].contains(&path.to_str().unwrap());
    let is_fine = |text: &str| {
        let file = TextFile::new("docs/A.md", &format!("# The `turn`, in short\n\n{text}"));
        let links = broken_links(&file, &[TextFile::new(&file.path, &file.text)], &exists);
        links.is_empty() && missing_paths(&file, &exists).is_empty()
    };
    for fine in [
        "[a](../README.md) [b](A.md#the-turn-in-short) [c](#the-turn-in-short)",
        "[a](https://example.com/x.md) `crates/<name>/src` `docs/*.md`",
    ] {
        assert!(is_fine(fine), "{fine}");
    }
    for broken in [
        "[a](B.md)",
        "[a](#the-end)",
        "[a](../../README.md)",
        "`crates/none/src/lib.rs`",
        "see other/place.md.",
    ] {
        assert!(!is_fine(broken), "{broken}");
    }
    let comment = TextFile::new("crates/a/src/b.rs", "// see plan.md\nlet name = \"other.md\";");
    assert_eq!(missing_paths(&comment, &exists).len(), 1);
}
