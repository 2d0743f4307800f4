//! The outcomes as tables of `docs/PROVIDERS.md`.

use std::{fmt::Write as _, fs, path::Path};

use brain_testkit::model_server::{Fault, Wire};

use super::{COLUMNS, Outcome, Shape};

const BEGIN: &str = "<!-- faults: begin -->\n";
const END: &str = "<!-- faults: end -->";

/// The tables, and what stands over each.
const TABLES: &[(&[Shape], &str)] = &[
    (&[Shape::Stream], "A chat that is streamed:"),
    (
        &[Shape::Whole, Shape::Gap],
        "A chat, answered in one piece by a server that knows no streams (of TabbyML: a gap that is filled):",
    ),
    (&[Shape::Vectors], "Embeddings:"),
];

/// One table a shape, one row a fault, one column a wire. Faults that come to the same stand in one
/// row.
pub(super) fn render(rows: &[(Fault, &[Outcome])]) -> String {
    let mut text = String::new();
    for (shapes, title) in TABLES {
        let columns: Vec<usize> =
            (0..COLUMNS.len()).filter(|it| shapes.contains(&COLUMNS[*it].0)).collect();
        let names: Vec<&str> = columns.iter().map(|it| name(COLUMNS[*it].1)).collect();
        write!(text, "\n{title}\n\n| fault | {} |\n", names.join(" | ")).unwrap();
        writeln!(text, "|{}", "---|".repeat(columns.len() + 1)).unwrap();
        for (faults, cells) in merged(rows, &columns) {
            writeln!(text, "| {} | {} |", faults.join(", "), cells.join(" | ")).unwrap();
        }
    }
    text + "\n"
}

/// The faults with the same cells, in the order of the first of them.
fn merged(rows: &[(Fault, &[Outcome])], columns: &[usize]) -> Vec<(Vec<String>, Vec<String>)> {
    let mut merged: Vec<(Vec<String>, Vec<String>)> = Vec::new();
    for (fault, outcomes) in rows {
        let cells: Vec<String> = columns.iter().map(|it| outcomes[*it].to_string()).collect();
        let name = format!("`{fault}`");
        match merged.iter_mut().find(|(_, known)| *known == cells) {
            Some((names, _)) => names.push(name),
            None => merged.push((vec![name], cells)),
        }
    }
    merged
}

fn name(wire: Wire) -> &'static str {
    match wire {
        Wire::OpenAi => "OpenAI",
        Wire::Azure => "Azure",
        Wire::TabbyMl => "TabbyML",
        Wire::Ollama => "Ollama",
    }
}

/// Compares with what stands between the marks, or puts it there with `UPDATE_DOCS=1`.
pub(super) fn compare(tables: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/PROVIDERS.md");
    let document = fs::read_to_string(&path).unwrap();
    let (before, rest) = document.split_once(BEGIN).unwrap();
    let (stands, after) = rest.split_once(END).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return fs::write(&path, format!("{before}{BEGIN}{tables}{END}{after}")).unwrap();
    }
    assert_eq!(stands, tables, "docs/PROVIDERS.md is out of date; run this with UPDATE_DOCS=1");
}
