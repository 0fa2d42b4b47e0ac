//! Runs the plugin as a user of a world.

use std::path::PathBuf;

use anyhow::{Context, Result};
use lab::{Output, World};
use serde_json::Value;

/// Runs `kubectl-rollout_guard` with the rights of the world's tool, in its namespace, to the end.
pub(crate) async fn guard(world: &World, args: &[&str]) -> Result<Output> {
    lab::run(&program()?).kubeconfig(&world.tool()?).args(in_namespace(world, args)).output().await
}

/// Runs it with `-o json`: how it ended, its events, and the document at the end.
pub(crate) async fn guard_json(world: &World, args: &[&str]) -> Result<(Output, Vec<Value>, Value)> {
    let output = guard(world, &[args, &["-o", "json"]].concat()).await?;
    let (events, document) = documents(&output)?;
    assert_eq!(document["exitCode"], output.code.unwrap_or_default(), "the document names the exit code: {output}");
    Ok((output, events, document))
}

/// The documents on a command's stdout, one a line: the events, and the last one.
pub(crate) fn documents(output: &Output) -> Result<(Vec<Value>, Value)> {
    let lines = output.stdout.lines().map(serde_json::from_str);
    let mut documents: Vec<Value> =
        lines.collect::<Result<_, _>>().with_context(|| format!("no JSON lines: {output}"))?;
    let last = documents.pop().with_context(|| format!("no document: {output}"))?;
    Ok((documents, last))
}

/// Runs kubectl as the world's own user, not as its tool, in its namespace.
pub(crate) async fn kubectl(world: &World, args: &[&str]) -> Result<Output> {
    lab::run(&lab::kubectl()?).kubeconfig(&world.lab().kubeconfig()).args(in_namespace(world, args)).output().await
}

/// `kubectl-rollout_guard` itself.
pub(crate) fn program() -> Result<PathBuf> {
    lab::plugin("rollout-guard")
}

fn in_namespace<'a>(world: &'a World, args: &[&'a str]) -> Vec<&'a str> {
    [&["-n", world.namespace.as_str()], args].concat()
}

/// Runs the plugin without a cluster: what it reads of one stands in a file or on stdin.
pub(crate) async fn offline(args: &[&str], stdin: &str) -> Result<Output> {
    lab::run(&program()?).args(args).stdin(stdin).output().await
}
