//! Runs the plugin as a user of a world.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use lab::{Output, World};
use serde_json::{Value, json};

/// Runs `kubectl-safe_drain` with the rights of the world's tool.
pub(crate) async fn safe_drain(world: &World, args: &[&str]) -> Result<Output> {
    safe_drain_as(&world.tool()?, args).await
}

/// Runs `kubectl-safe_drain` with a kubeconfig.
pub(crate) async fn safe_drain_as(kubeconfig: &Path, args: &[&str]) -> Result<Output> {
    lab::run(&program()?).kubeconfig(kubeconfig).args(args).output().await
}

/// Runs `kubectl-safe_drain` without any cluster.
pub(crate) async fn offline(args: &[&str], stdin: &str) -> Result<Output> {
    lab::run(&program()?).stdin(stdin).args(args).output().await
}

/// The `DrainPlan` that a command prints, and how it ended.
pub(crate) async fn plan(world: &World, args: &[&str]) -> Result<(Output, Value)> {
    let output = safe_drain(world, &[&["plan", "-o", "json"], args].concat()).await?;
    let plan = document(&output)?;
    assert_eq!(plan["exitCode"], output.code.unwrap_or_default(), "the document names the exit code");
    Ok((output, plan))
}

/// The document on a command's stdout.
pub(crate) fn document(output: &Output) -> Result<Value> {
    serde_json::from_str(&output.stdout).with_context(|| format!("no JSON document: {output}"))
}

/// The pod of a plan whose name begins so.
pub(crate) fn pod<'a>(plan: &'a Value, prefix: &str) -> &'a Value {
    let pods = pods(plan);
    pods.iter()
        .find(|pod| pod["name"].as_str().is_some_and(|name| name.starts_with(prefix)))
        .unwrap_or_else(|| panic!("no pod {prefix}* in {plan:#}"))
}

/// All pods of a plan.
pub(crate) fn pods(plan: &Value) -> &[Value] {
    plan["pods"].as_array().map_or(&[], Vec::as_slice)
}

/// The codes of a pod's reasons.
pub(crate) fn codes(pod: &Value) -> Vec<&str> {
    pod["reasons"].as_array().into_iter().flatten().filter_map(|reason| reason["code"].as_str()).collect()
}

/// `kubectl-safe_drain` itself.
pub(crate) fn program() -> Result<PathBuf> {
    lab::plugin("safe-drain")
}

/// Lets the API server refuse what `policy` (the spec of a `ValidatingAdmissionPolicy` without its validations) matches.
/// It takes a second or so until it does.
pub(crate) async fn deny(world: &World, mut policy: Value, binding: Value, message: &str) -> Result<()> {
    let name = format!("deny-{}", world.namespace);
    policy["failurePolicy"] = "Fail".into();
    policy["validations"] = json!([{"expression": "false", "message": message}]);
    let group = "admissionregistration.k8s.io/v1";
    let metadata = json!({"name": name});
    world
        .apply(json!({"apiVersion": group, "kind": "ValidatingAdmissionPolicy", "metadata": metadata, "spec": policy}))
        .await?;
    let mut spec = json!({"policyName": name, "validationActions": ["Deny"]});
    spec["matchResources"] = binding;
    let kind = "ValidatingAdmissionPolicyBinding";
    world.apply(json!({"apiVersion": group, "kind": kind, "metadata": metadata, "spec": spec})).await?;
    Ok(())
}
