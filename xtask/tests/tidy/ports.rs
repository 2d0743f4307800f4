//! Ports stay small, and everything behind one passes its conformance suite.

use std::collections::BTreeSet;

use syn::{
    Item, ItemImpl, ItemTrait, TraitItem, Type, TypeParamBound,
    visit::{self, Visit},
};

use crate::{
    assert_none,
    functions::is_for_tests,
    workspace::{TextFile, files},
};

/// Methods of a port.
const MAX_METHODS: usize = 6;

/// The suite of each port whose implementations are checked.
const SUITES: &[(&str, &str)] = &[
    ("MemoryStore", "memory_store_suite"),
    ("LlmGateway", "llm_gateway_suite"),
    ("Settings", "settings_suite"),
];

/// The ports among the traits: those with `fmt::Debug + Send + Sync`, and sums of ports.
fn ports(traits: &[ItemTrait]) -> Vec<&ItemTrait> {
    let is_base = |it: &&ItemTrait| {
        let bounds = supertraits(it);
        ["Debug", "Send", "Sync"].iter().all(|bound| bounds.contains(*bound))
    };
    let base: Vec<&ItemTrait> = traits.iter().filter(is_base).collect();
    let names: BTreeSet<String> = base.iter().map(|it| it.ident.to_string()).collect();
    let is_sum = |it: &&ItemTrait| {
        let bounds = supertraits(it);
        bounds.len() > 1 && bounds.is_subset(&names)
    };
    let sums = traits.iter().filter(is_sum);
    base.iter().copied().chain(sums).collect()
}

fn supertraits(it: &ItemTrait) -> BTreeSet<String> {
    let name = |bound: &TypeParamBound| match bound {
        TypeParamBound::Trait(bound) => bound.path.segments.last().map(|it| it.ident.to_string()),
        _ => None,
    };
    it.supertraits.iter().filter_map(name).collect()
}

fn large_ports(files: &[TextFile]) -> Vec<String> {
    let core = files
        .iter()
        .filter(|it| it.path.starts_with("crates/brain-core/src/") && it.path.ends_with(".rs"));
    let items = core.flat_map(|it| it.syntax().items);
    let traits: Vec<ItemTrait> =
        items.filter_map(|it| if let Item::Trait(it) = it { Some(it) } else { None }).collect();
    ports(&traits).into_iter().flat_map(port_violations).collect()
}

fn port_violations(port: &ItemTrait) -> Vec<String> {
    let methods = port.items.iter().filter_map(|it| match it {
        TraitItem::Fn(method) => Some(method),
        _ => None,
    });
    let mut violations: Vec<String> = methods
        .clone()
        .filter(|it| it.default.is_some())
        .map(|it| {
            format!("{}::{}: no default body; put it into an Ext trait", port.ident, it.sig.ident)
        })
        .collect();
    let count = methods.count();
    if count > MAX_METHODS {
        let name = &port.ident;
        violations.push(format!("{name}: {count} methods, at most {MAX_METHODS}; split the port"));
    }
    violations
}

/// Production types that implement a trait.
struct Implementors<'a> {
    port: &'a str,
    found: Vec<String>,
}

impl<'ast> Visit<'ast> for Implementors<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_for_tests(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_impl(&mut self, block: &'ast ItemImpl) {
        let port = block.trait_.as_ref().and_then(|(_, path, _)| path.segments.last());
        if let Type::Path(of) = &*block.self_ty
            && port.is_some_and(|it| it.ident == self.port)
        {
            self.found.extend(of.path.segments.last().map(|it| it.ident.to_string()));
        }
    }
}

/// Implementations of `port` that no invocation of `suite` names. Fakes of the testkit break contracts
/// on purpose, and pointers only forward.
fn untested(port: &str, suite: &str, files: &[TextFile]) -> Vec<String> {
    let definition = format!("macro_rules! {suite}");
    if !files.iter().any(|it| it.text.contains(&definition)) {
        return Vec::new();
    }
    let invocation = format!("{suite}!");
    let invocations: Vec<&str> = files
        .iter()
        .filter(|it| it.is_rust() && it.text.contains(&invocation))
        .filter(|it| !it.text.contains(&definition) && !it.path.starts_with("xtask/"))
        .map(|it| it.text.as_str())
        .collect();
    let mut implementors = Implementors { port, found: Vec::new() };
    let testkit = "crates/brain-testkit/";
    for file in files.iter().filter(|it| it.is_production() && !it.path.starts_with(testkit)) {
        implementors.visit_file(&file.syntax());
    }
    let covered = |name: &str| {
        matches!(name, "Arc" | "Box") || invocations.iter().any(|text| has_word(text, name))
    };
    let found = implementors.found.iter().filter(|it| !covered(it));
    found.map(|it| format!("{it}: run `{suite}!` on it, in tests/it of its crate")).collect()
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|it: char| !it.is_alphanumeric() && it != '_').any(|it| it == word)
}

#[test]
fn ports_are_small() {
    let files = files();
    assert_none(&large_ports(&files));
}

#[test]
fn implementations_run_their_suite() {
    let files = files();
    let all = SUITES.iter().flat_map(|(port, suite)| untested(port, suite, &files));
    assert_none(&all.collect::<Vec<String>>());
}

#[test]
fn breaches_are_seen() {
    let methods: String = (0..7).map(|it| format!("fn m{it}(&self);")).collect();
    let text = format!(
        "pub trait Large: fmt::Debug + Send + Sync {{ {methods} }}
         pub trait Eager: fmt::Debug + Send + Sync {{ fn m(&self) {{}} }}
         pub trait Sum: Large + Eager {{ {methods} }}
         pub trait SumExt: Sum {{ {methods} fn m(&self) {{}} }}"
    );
    let core = TextFile::new("crates/brain-core/src/a.rs", &text);
    assert_eq!(large_ports(&[core]).len(), 3);

    let suite = TextFile::new("crates/brain-testkit/src/a.rs", "macro_rules! p_suite { () => {} }");
    let store =
        TextFile::new("crates/a/src/lib.rs", "impl P for Store {} impl P for Wrapper<A> {}");
    let tests = TextFile::new("crates/a/tests/it/main.rs", "p_suite!(Store);");
    assert_eq!(untested("P", "p_suite", &[suite, store, tests]).len(), 1);
}
