//! Every case of a suite is declared by its macro.

/// The functions of a suite's source that are cases.
fn cases(source: &str) -> impl Iterator<Item = &str> {
    source.lines().filter_map(|line| line.strip_prefix("pub async fn ")?.split('(').next())
}

fn check(declaration: &str, sources: &[&str]) {
    let declared: Vec<&str> =
        declaration.lines().map(|it| it.trim().trim_end_matches(',')).collect();
    let cases: Vec<&str> = sources.iter().flat_map(|it| cases(it)).collect();
    assert!(10 < cases.len());
    for case in cases {
        assert!(declared.contains(&case), "{case} is not declared");
    }
}

#[test]
fn no_case_is_missing_from_its_macro() {
    let declaration = include_str!("../../src/memory.rs");
    check(
        declaration,
        &[
            include_str!("../../src/memory/branches.rs"),
            include_str!("../../src/memory/catalog.rs"),
            include_str!("../../src/memory/close.rs"),
            include_str!("../../src/memory/forget.rs"),
            include_str!("../../src/memory/upkeep.rs"),
            include_str!("../../src/memory/summaries.rs"),
            include_str!("../../src/memory/one_entry.rs"),
            include_str!("../../src/memory/export.rs"),
            include_str!("../../src/memory/lease.rs"),
            include_str!("../../src/memory/log.rs"),
            include_str!("../../src/memory/open.rs"),
            include_str!("../../src/memory/portable.rs"),
            include_str!("../../src/memory/recall.rs"),
            include_str!("../../src/memory/writers.rs"),
        ],
    );
    let gateway = include_str!("../../src/gateway.rs");
    check(gateway, &[gateway]);
}
