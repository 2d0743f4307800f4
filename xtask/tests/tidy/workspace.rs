//! The workspace as the rules see it: its text files and its packages.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use ignore::WalkBuilder;
use serde_json::Value;

/// A text file, by its path from the root with `/` between the parts.
pub(crate) struct TextFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl TextFile {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.has_extension("rs")
    }

    pub(crate) fn is_markdown(&self) -> bool {
        self.has_extension("md")
    }

    fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|it| it == extension)
    }

    /// Rust that goes into a library or a binary.
    pub(crate) fn is_production(&self) -> bool {
        let test_module = self.path.ends_with("/tests.rs") || self.path.contains("/tests/");
        self.is_rust() && self.path.contains("/src/") && !test_module
    }

    /// The folder of the package: `crates/brain-core`; empty for files that belong to none.
    pub(crate) fn package_dir(&self) -> &str {
        ["/src/", "/tests/", "/benches/", "/examples/"]
            .iter()
            .find_map(|it| self.path.split_once(it))
            .map_or("", |(dir, _)| dir)
    }

    /// Numbered lines, from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    pub(crate) fn syntax(&self) -> syn::File {
        syn::parse_file(&self.text).unwrap_or_else(|error| panic!("{}: {error}", self.path))
    }
}

/// Every text file that is or could be committed.
pub(crate) fn files() -> Vec<TextFile> {
    let mut walk = WalkBuilder::new(root());
    walk.hidden(false).require_git(false).git_global(false).parents(false);
    walk.filter_entry(|entry| entry.file_name() != ".git").sort_by_file_path(Path::cmp);
    walk.build().filter_map(|entry| read(entry.unwrap().path())).collect()
}

fn read(path: &Path) -> Option<TextFile> {
    let relative = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
    let generated = matches!(relative.as_str(), "Cargo.lock" | "LICENSE");
    let text = fs::read_to_string(path).ok().filter(|_| !generated)?;
    Some(TextFile { path: relative, text })
}

/// A member of the workspace.
#[derive(Default)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest: String,
    pub(crate) dependencies: Vec<Dependency>,
}

/// A direct dependency of a package.
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) dev: bool,
    pub(crate) optional: bool,
}

/// The members of the workspace, by name.
pub(crate) fn packages() -> BTreeMap<String, Package> {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--no-deps", "--format-version=1"])).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter().map(package);
    packages.map(|it| (it.name.clone(), it)).collect()
}

fn package(json: &Value) -> Package {
    let dependency = |it: &Value| Dependency {
        name: it["name"].as_str().unwrap().to_owned(),
        dev: it["kind"] == "dev",
        optional: it["optional"] == true,
    };
    Package {
        name: json["name"].as_str().unwrap().to_owned(),
        manifest: fs::read_to_string(json["manifest_path"].as_str().unwrap()).unwrap(),
        dependencies: json["dependencies"].as_array().unwrap().iter().map(dependency).collect(),
    }
}

/// What a cargo command prints.
pub(crate) fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "cargo {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
