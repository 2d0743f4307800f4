//! How long functions are: a ratchet over the whole workspace, below clippy's limit for a single one.

use syn::{
    Attribute, Block, Signature,
    spanned::Spanned,
    visit::{self, Visit},
};

use crate::workspace::{TextFile, files};

/// Nine in ten functions have at most so many lines.
const P90: usize = 25;
/// A function of more lines is long...
const LONG: usize = 50;
/// ...and at most so many in a hundred are.
const MAX_LONG_PERCENT: usize = 2;

/// The lines of a function, signature and braces included, and where it is.
#[derive(Default)]
struct Lengths<'a> {
    path: &'a str,
    found: Vec<(usize, String)>,
}

impl Lengths<'_> {
    fn add(&mut self, signature: &Signature, body: &Block) {
        let first = signature.fn_token.span.start().line;
        let lines = body.span().end().line - first + 1;
        self.found.push((lines, format!("{}:{first} {}", self.path, signature.ident)));
    }
}

impl<'ast> Visit<'ast> for Lengths<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_for_tests(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        if !is_for_tests(&function.attrs) {
            self.add(&function.sig, &function.block);
            visit::visit_item_fn(self, function);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(body) = &function.default {
            self.add(&function.sig, body);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

/// `#[cfg(test)]` and the like.
pub(crate) fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|it| {
        it.path().is_ident("cfg")
            && it.parse_args::<syn::Path>().is_ok_and(|argument| argument.is_ident("test"))
    })
}

/// All production functions, the longest first.
fn lengths(files: &[TextFile]) -> Vec<(usize, String)> {
    let mut all = Vec::new();
    for file in files.iter().filter(|it| it.is_production()) {
        let mut lengths = Lengths { path: &file.path, ..Lengths::default() };
        lengths.visit_file(&file.syntax());
        all.append(&mut lengths.found);
    }
    all.sort_by(|a, b| b.cmp(a));
    all
}

/// What is wrong with functions of these lengths, the longest first.
fn verdict(lengths: &[(usize, String)]) -> Result<(), String> {
    let p90 = lengths.get(lengths.len() / 10).map_or(0, |(lines, _)| *lines);
    let long: Vec<String> = lengths
        .iter()
        .filter(|(lines, _)| *lines > LONG)
        .map(|(lines, place)| format!("{lines} lines: {place}"))
        .collect();
    if p90 <= P90 && long.len() * 100 <= lengths.len() * MAX_LONG_PERCENT {
        return Ok(());
    }
    Err(format!(
        "split functions: of {}, nine in ten have at most {p90} lines (allowed: {P90}), and {} have \
         more than {LONG} (allowed: {MAX_LONG_PERCENT} %):\n  {}",
        lengths.len(),
        long.len(),
        long.join("\n  ")
    ))
}

#[test]
fn functions_are_short() {
    verdict(&lengths(&files())).unwrap();
}

#[test]
fn functions_are_measured() {
    let text = "//! A file.\nfn one() {}\nimpl A {\n    fn three(\n    ) {\n    }\n}\n\
                #[cfg(test)]\nmod tests {\n    fn hidden() {}\n}\n";
    let found = lengths(&[TextFile::new("a/src/b.rs", text)]);
    assert_eq!(found, [(3, "a/src/b.rs:4 three".into()), (1, "a/src/b.rs:2 one".into())]);
}

#[test]
fn breaches_are_seen() {
    let of = |lengths: &[usize]| -> Vec<(usize, String)> {
        lengths.iter().map(|it| (*it, String::new())).collect()
    };
    assert!(verdict(&of(&[])).is_ok());
    assert!(verdict(&of(&[25; 100])).is_ok());
    assert!(verdict(&of(&[26; 100])).is_err());
    let with_long = |long: usize| [vec![51; long], vec![1; 100 - long]].concat();
    assert!(verdict(&of(&with_long(2))).is_ok());
    assert!(verdict(&of(&with_long(3))).is_err());
}
