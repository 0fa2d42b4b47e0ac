//! Runs the plugin as a user of a world.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use lab::{Output, Running, World, audit::Request};
use serde_json::Value;
use tokio::time::{Instant, sleep};

/// Runs `kubectl-rollout_guard` with the rights of the world's tool, in its namespace, to the end.
pub(crate) async fn guard(world: &World, args: &[&str]) -> Result<Output> {
    start(world, args)?.end().await
}

/// Runs it with `-o json`: how it ended, its events, and the document at the end.
pub(crate) async fn guard_json(world: &World, args: &[&str]) -> Result<(Output, Vec<Value>, Value)> {
    end_json(start_json(world, args)?).await
}

/// Runs it with another kubeconfig.
pub(crate) async fn guard_as(world: &World, kubeconfig: &Path, args: &[&str]) -> Result<Output> {
    lab::run(&program()?).kubeconfig(kubeconfig).args(in_namespace(world, args)).output().await
}

/// Runs it without any cluster.
pub(crate) async fn offline(args: &[&str], stdin: &str) -> Result<Output> {
    lab::run(&program()?).stdin(stdin).args(args).output().await
}

/// Starts it.
pub(crate) fn start(world: &World, args: &[&str]) -> Result<Running> {
    lab::run(&program()?).kubeconfig(&world.tool()?).args(in_namespace(world, args)).start()
}

/// Starts it with `-o json`.
pub(crate) fn start_json(world: &World, args: &[&str]) -> Result<Running> {
    start(world, &[args, &["-o", "json"]].concat())
}

/// [`guard_json`] of what was started.
pub(crate) async fn end_json(running: Running) -> Result<(Output, Vec<Value>, Value)> {
    let output = running.end().await?;
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

/// Waits until the world's tool watches the pods.
pub(crate) async fn until_watching(world: &World) -> Result<()> {
    until_asked(world, "a watch of pods", |request| request.verb == "watch" && request.resource == "pods").await
}

/// Waits until the world's tool has asked the API server for something.
pub(crate) async fn until_asked(world: &World, what: &str, holds: impl Fn(&Request) -> bool) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !world.requests().await?.iter().any(&holds) {
        assert!(Instant::now() < deadline, "still waiting for {what}");
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// What the world's tool has changed with this program, in order: `patch deployments shop/web`.
pub(crate) async fn changes(world: &World) -> Result<Vec<String>> {
    let requests = world.requests().await?;
    let ours = requests.iter().filter(|request| request.user_agent.starts_with("kubectl-rollout-guard/"));
    Ok(ours.filter(|request| request.changes()).map(Request::summary).collect())
}

/// The image of the first container that a workload asks for.
pub(crate) async fn image(world: &World, object: &str) -> Result<String> {
    let workload = world.workload(object).await?;
    let image = workload.pointer("/spec/template/spec/containers/0/image").and_then(Value::as_str);
    Ok(image.context("no image")?.to_owned())
}

/// Runs the lab's kubectl with all rights, but not as the world's tool, in its namespace.
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
