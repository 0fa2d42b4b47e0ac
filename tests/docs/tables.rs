//! Tables that the code owns: they stand between two comments that name them.

use anyhow::{Context, Result};
use disruption::{diagnose::Code, outcome::Exit};

use crate::document::{Document, is_update};

#[test]
fn exit_codes() -> Result<()> {
    let mut exits = Exit::BY_PRECEDENCE;
    let order: Vec<String> = exits.iter().map(ToString::to_string).collect();
    exits.sort_by_key(|exit| exit.code());
    let rows = exits.map(|exit| format!("| {} | {} |\n", exit.code(), exit.meaning())).concat();
    check("docs/exit-codes.md", "exit codes", &format!("| code | means |\n|---|---|\n{rows}"))?;
    check("docs/exit-codes.md", "precedence", &format!("{}\n", order.join(", ")))
}

#[test]
fn stall_codes() -> Result<()> {
    let row = |code: &Code| format!("| `{}` | {} |\n", code.as_str(), code.meaning());
    let rows: String = Code::ALL.iter().map(row).collect();
    check("docs/rollout-guard.md", "stall codes", &format!("| code | means |\n|---|---|\n{rows}"))
}

/// The lines between `<!-- NAME -->` and `<!-- end of NAME -->` are those of `expected`.
fn check(document: &str, name: &str, expected: &str) -> Result<()> {
    let mut document = Document::read(document)?;
    let at = |mark: String| {
        let found = document.lines.iter().position(|line| *line == mark);
        found.with_context(|| format!("{} has no line {mark}", document.name))
    };
    let inside = at(format!("<!-- {name} -->"))? + 1..at(format!("<!-- end of {name} -->"))?;
    if is_update() {
        document.replace(inside, expected)?;
    } else {
        let written = document.text(inside);
        assert_eq!(written, expected, "{}: run UPDATE_DOCS=1 cargo test -p docs-tests", document.name);
    }
    Ok(())
}
