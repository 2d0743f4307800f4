//! Who may depend on whom: the architecture, as data.

use std::collections::BTreeMap;

use crate::{
    assert_none,
    workspace::{Dependency, Package, cargo, packages},
};

/// The edges between members. Development dependencies may use [`FOR_TESTS`] besides.
const EDGES: &[(&str, &[&str])] = &[
    ("brain-core", &[]),
    ("brain-tokio", &["brain-core"]),
    ("brain-testkit", &["brain-core"]),
    ("memory-redis", &["brain-core"]),
    ("memory-sqlite", &["brain-core"]),
    ("llm-http", &["brain-core"]),
    ("llm-openai", &["brain-core", "llm-http"]),
    ("llm-ollama", &["brain-core", "llm-http"]),
    ("llm-local", &["brain-core"]),
    ("http-api", &["brain-core"]),
    ("env-settings", &[]),
    ("provider-settings", &["env-settings"]),
    ("http-client", &[]),
    ("client-commands", &["brain-tokio", "http-client"]),
    (
        "codexd",
        &[
            "brain-core",
            "brain-tokio",
            "memory-redis",
            "memory-sqlite",
            "llm-http",
            "llm-ollama",
            "llm-openai",
            "llm-local",
            "http-api",
            "http-client",
            "client-commands",
            "env-settings",
            "provider-settings",
        ],
    ),
    // `cargo xtask recall` measures what users get.
    ("xtask", &["brain-core", "brain-tokio", "memory-sqlite", "llm-local"]),
];

/// Members that any member may use in its tests.
const FOR_TESTS: &[&str] = &["brain-testkit", "brain-tokio"];

/// Crates that the core must not reach, directly or through others.
const NOT_IN_CORE: &[&str] = &[
    "anyhow",
    "axum",
    "clap",
    "hyper",
    "redis",
    "reqwest",
    "rusqlite",
    "sqlx",
    "tokio",
    "tracing-subscriber",
    "ureq",
];

/// Crates that one member wraps, so that replacing them touches one folder.
const OWNERS: &[(&str, &[&str])] = &[
    ("anyhow", &["codexd"]),
    ("axum", &["http-api"]),
    ("candle-core", &["llm-local"]),
    ("candle-nn", &["llm-local"]),
    ("candle-transformers", &["llm-local"]),
    ("clap", &["brain-testkit", "codexd", "xtask"]),
    ("clap_complete", &["codexd"]),
    ("deadpool", &["memory-redis"]),
    ("deadpool-redis", &["memory-redis"]),
    ("hyper-rustls", &["llm-http"]),
    ("indicatif", &["client-commands"]),
    ("minijinja", &["llm-local"]),
    ("minijinja-contrib", &["llm-local"]),
    ("r2d2", &["memory-sqlite"]),
    ("r2d2_sqlite", &["memory-sqlite"]),
    ("redis", &["memory-redis"]),
    ("rusqlite", &["memory-sqlite"]),
    ("rusqlite_migration", &["memory-sqlite"]),
    ("rustyline", &["client-commands"]),
    ("tiktoken-rs", &["llm-openai"]),
    ("tokenizers", &["llm-local"]),
    ("tokio-io-timeout", &["http-api"]),
    ("tower-http", &["http-api"]),
    ("tracing-subscriber", &["codexd"]),
    ("ureq", &["http-client", "xtask"]),
];

/// The ports' own crates and the wires'; every other member that `codexd` uses is a backend.
const NOT_A_BACKEND: &[&str] = &[
    "brain-core",
    "brain-tokio",
    "client-commands",
    "env-settings",
    "http-api",
    "http-client",
    "llm-http",
    "provider-settings",
];

type Packages = BTreeMap<String, Package>;

fn edges_outside_the_table(packages: &Packages) -> Vec<String> {
    let mut violations = Vec::new();
    for (name, package) in packages {
        let Some((_, allowed)) = EDGES.iter().find(|(it, _)| it == name) else {
            violations.push(format!("{name}: add the crate to EDGES, with what it may depend on"));
            continue;
        };
        let outside = package.dependencies.iter().filter(|it| {
            packages.contains_key(&it.name)
                && !allowed.contains(&it.name.as_str())
                && !(it.dev && FOR_TESTS.contains(&it.name.as_str()))
        });
        violations.extend(outside.map(|it| {
            format!("{name} -> {}: dependencies point to brain-core; see EDGES", it.name)
        }));
    }
    violations
}

fn strangers_in_the_core(tree: &str) -> Vec<String> {
    let crates = tree.lines().filter_map(|it| it.split_whitespace().next());
    crates
        .filter(|it| NOT_IN_CORE.contains(it))
        .map(|it| format!("brain-core reaches {it}: put a port into the core and {it} behind it"))
        .collect()
}

fn drivers_without_their_owner(packages: &Packages) -> Vec<String> {
    let mut violations = Vec::new();
    for (name, package) in packages {
        for Dependency { name: driver, dev, .. } in &package.dependencies {
            let owners = OWNERS.iter().find(|(it, _)| it == driver).map(|(_, owners)| *owners);
            if let Some(owners) = owners.filter(|it| !dev && !it.contains(&name.as_str())) {
                violations.push(format!("{name} -> {driver}: only {owners:?} may; use its types"));
            }
        }
    }
    violations
}

fn backends_that_cannot_be_left_out(packages: &Packages) -> Vec<String> {
    let Some(codexd) = packages.get("codexd") else { return Vec::new() };
    let fixed = codexd.dependencies.iter().filter(|it| {
        let name = it.name.as_str();
        packages.contains_key(name) && !it.dev && !it.optional && !NOT_A_BACKEND.contains(&name)
    });
    fixed.map(|it| format!("codexd -> {}: make it optional, behind a feature", it.name)).collect()
}

fn members_without_the_lints(packages: &Packages) -> Vec<String> {
    let inherits = |it: &Package| it.manifest.contains("[lints]\nworkspace = true");
    let without = packages.values().filter(|it| !inherits(it));
    without.map(|it| format!("{}: add `[lints] workspace = true`", it.name)).collect()
}

#[test]
fn edges_are_in_the_table() {
    assert_none(&edges_outside_the_table(&packages()));
}

#[test]
fn the_core_knows_no_runtime_and_no_driver() {
    let tree = cargo(&["tree", "--package=brain-core", "--edges=normal", "--prefix=none"]);
    assert!(tree.starts_with("brain-core "));
    assert_none(&strangers_in_the_core(&tree));
}

#[test]
fn each_driver_has_its_owner() {
    assert_none(&drivers_without_their_owner(&packages()));
}

#[test]
fn each_backend_can_be_left_out() {
    assert_none(&backends_that_cannot_be_left_out(&packages()));
}

#[test]
fn every_member_has_the_lints() {
    assert_none(&members_without_the_lints(&packages()));
}

#[test]
fn breaches_are_seen() {
    let stranger = example("stranger", &[]);
    let core = example("brain-core", &[("llm-http", true), ("brain-testkit", true)]);
    let http = example("llm-http", &[("brain-testkit", false), ("rusqlite", false)]);
    let codexd = example("codexd", &[("brain-testkit", false), ("rusqlite", true)]);
    let testkit = example("brain-testkit", &[("brain-core", false)]);
    let packages = [stranger, core, http, codexd, testkit].map(|it| (it.name.clone(), it)).into();

    let edges = edges_outside_the_table(&packages);
    let starts: Vec<&str> = edges.iter().map(|it| it.split_once(": ").unwrap().0).collect();
    let dependencies = ["brain-core -> llm-http", "codexd -> brain-testkit"];
    assert_eq!(starts, [&dependencies[..], &["llm-http -> brain-testkit", "stranger"]].concat());
    assert_eq!(drivers_without_their_owner(&packages).len(), 1);
    assert_eq!(backends_that_cannot_be_left_out(&packages).len(), 1);
    assert_eq!(members_without_the_lints(&packages).len(), 5);
    assert_eq!(strangers_in_the_core("brain-core v0.1.0\ntokio v1.0.0\nserde v1.0.0\n").len(), 1);
}

fn example(name: &str, dependencies: &[(&str, bool)]) -> Package {
    let dependency =
        |&(name, dev): &(&str, bool)| Dependency { name: name.to_owned(), dev, optional: false };
    let dependencies = dependencies.iter().map(dependency).collect();
    Package { name: name.to_owned(), dependencies, ..Package::default() }
}
