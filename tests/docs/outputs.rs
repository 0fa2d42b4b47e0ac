//! The `console` blocks of the documents print what is written there.

use std::{fmt::Write as _, path::Path};

use anyhow::{Context, Result};
use lab::{Lab, lesson};

use crate::{
    document::{Document, EXECUTED, NOT_RUN, is_update},
    session,
    shape::shape,
};

const WALKTHROUGH: &str = "docs/walkthrough.md";

#[tokio::test(flavor = "multi_thread")]
async fn the_walkthrough_tells_what_happens() -> Result<()> {
    let mut document = Document::read(WALKTHROUGH)?;
    for block in document.blocks()? {
        let is_marked = block.info == EXECUTED || block.info.split(' ').any(|word| word == NOT_RUN);
        assert!(is_marked, "{WALKTHROUGH}:{}: neither {EXECUTED} nor {NOT_RUN}", block.inside.start);
    }
    let lab = Lab::private()?;
    let site = lesson::build(&lab).await?;
    let (kubeconfig, url, kubectl) = (lab.kubeconfig().display().to_string(), site.url(), lab.kubectl());
    check(&mut document, &[("KUBECONFIG", &kubeconfig), ("URL", &url)], &[dir(&kubectl)?]).await
}

#[tokio::test]
async fn the_other_documents_show_what_the_examples_print() -> Result<()> {
    for mut document in Document::all()? {
        if document.name != WALKTHROUGH {
            // Whoever would ask a cluster is told that there is none.
            check(&mut document, &[("KUBECONFIG", "/nonexistent")], &[]).await?;
        }
    }
    Ok(())
}

/// Runs the commands of a document and compares; or writes what differs.
async fn check(document: &mut Document, environment: &[(&str, &str)], path: &[&Path]) -> Result<()> {
    let plugins = [lab::plugin("safe-drain")?, lab::plugin("rollout-guard")?];
    let path: Vec<&Path> = [dir(&plugins[0])?, dir(&plugins[1])?].into_iter().chain(path.iter().copied()).collect();
    let steps = document.steps()?;
    let outputs = session::run(&steps, environment, &path).await?;
    let mut differences = String::new();
    // From the end, so that the lines of the steps before stay where they are.
    for (step, output) in steps.into_iter().zip(outputs).rev() {
        let written = document.text(step.output.clone());
        if shape(&written) == shape(&output) {
            continue;
        }
        let (name, line) = (&document.name, step.output.start);
        let (old, new) = (shape(&written).join("\n"), shape(&output).join("\n"));
        writeln!(differences, "\n{name}:{line}: $ {}\n--- written\n{old}\n--- printed\n{new}", step.command)?;
        if is_update() {
            document.replace(step.output, &output)?;
        }
    }
    assert!(
        is_update() || differences.is_empty(),
        "run UPDATE_DOCS=1 cargo test -p docs-tests, and read what changes:\n{differences}"
    );
    Ok(())
}

fn dir(program: &Path) -> Result<&Path> {
    program.parent().context("a program without a directory")
}
