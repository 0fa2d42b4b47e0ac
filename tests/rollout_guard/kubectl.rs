//! The plugin as kubectl's users have it: found by its name, and completed with what the namespace holds.

use std::time::Duration;

use anyhow::Result;
use lab::{World, installed};
use tokio::time::timeout;

use crate::runner::kubectl;

#[tokio::test]
async fn through_kubectl() -> Result<()> {
    let world = lab::shared()?.world("kubectl-guard").await?;
    world.node("a").create().await?;
    world.deployment("web").image("nginx:1.17.23").create().await?;
    let (plugin, tool) = (installed("rollout-guard").await?, world.tool()?);
    let run = async |args: &[&str]| plugin.kubectl(&tool, &[args, &["-n", &world.namespace]].concat()).await;

    // Exit codes come through kubectl: undone would be 7, and here is nothing to go back to.
    let guarded = run(&["deployment/web", "--stall-timeout=1s"]).await?;
    assert_eq!(guarded.code, Some(9), "{guarded}");
    let missing = run(&["status", "deploy", "api"]).await?;
    let error = "Error from server (NotFound): deployments.apps \"api\" not found\n";
    assert!(missing.code == Some(1) && missing.stderr.starts_with(error), "{missing}");
    let version = run(&["version", "-o", "yaml"]).await?;
    let expected = format!("version: v{}\ndocuments: disruption/v1alpha1\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((version.code, version.stdout), (Some(0), expected));

    let theirs = lab::run(&lab::kubectl()?).args(["rollout", "undo", "--help"]).output().await?.stdout;
    let ours = run(&["undo", "--help"]).await?;
    assert_eq!((ours.code, ours.stderr.as_str()), (Some(0), ""));
    for shared in ["\nExamples:\n  # ", "\nOptions:\n    --", "\n\nUsage:\n  kubectl rollout"] {
        assert!(ours.stdout.contains(shared) && theirs.contains(shared), "{shared:?}: {ours}");
    }
    assert_eq!(ours.stdout.lines().last(), theirs.lines().last());
    Ok(())
}

/// A namespace with workloads of each kind; a Deployment has two revisions.
async fn shop(world: &World) -> Result<()> {
    world.node("a").create().await?;
    world.deployment("web").replicas(2).image("nginx:1.16.1").change_cause("first").create().await?;
    world.deployment("api").replicas(1).create().await?;
    world.stateful_set("db").replicas(1).create().await?;
    world.daemon_set("agent").create().await?;
    for object in ["deployment/web", "deployment/api", "statefulset/db", "daemonset/agent"] {
        world.ready(object).await?;
    }
    world.set_image("deployment/web", "nginx:1.17.0").await?;
    let status = kubectl(world, &["rollout", "status", "deployment/web"]).await?;
    assert_eq!(status.code, Some(0), "{status}");
    world.annotate("deployment/web", "kubernetes.io/change-cause", Some("second\u{1b}[31m")).await?;
    // The controller copies it to the revision.
    let is_copied = async || {
        while !kubectl(world, &["rollout", "history", "deployment/web"]).await?.stdout.contains("second") {}
        anyhow::Ok(())
    };
    timeout(Duration::from_secs(60), is_copied()).await??;
    Ok(())
}

#[tokio::test]
async fn workloads_and_revisions_are_completed() -> Result<()> {
    let world = lab::shared()?.world("complete-guard").await?;
    shop(&world).await?;
    let (plugin, tool, namespace) = (installed("rollout-guard").await?, world.tool()?, world.namespace.as_str());
    let check = async |words: &[&str], expected: &str| {
        let words = [&["-n", namespace], words].concat();
        assert_eq!(plugin.offered(&tool, &words).await?, expected, "{words:?}");
        anyhow::Ok(())
    };
    let types = "deployment statefulset daemonset";
    let all = "deployment/api deployment/web statefulset/db daemonset/agent";
    check(&[""], &format!("run status history undo completion version {all} {types} :4")).await?;
    check(&["status", ""], &format!("{all} {types} :4")).await?;
    check(&["help", ""], "run status history undo completion version :4").await?;
    check(&["status", "deployment"], "deployment/api deployment/web deployment :4").await?;
    check(&["undo", "deploy/"], "deploy/api deploy/web :4").await?;
    check(&["history", "sts/"], "sts/db :4").await?;
    check(&["daemonsets.apps/"], "daemonsets.apps/agent :4").await?;
    check(&["deploy/web", ""], "deployment/api statefulset/db daemonset/agent :4").await?;
    check(&["status", "deploy", ""], "api web :4").await?;
    check(&["status", "deployments", "web", ""], "api :4").await?;
    check(&["status", "deploy,sts", ""], "api web db :4").await?;
    check(&["status", "pod/"], ":4").await?;
    check(&["run", "ds/"], "ds/agent :4").await?;
    check(&["run", "--", "kubectl", ""], ":0").await?;
    check(&["--on-stall", ""], "undo pause report :4").await?;
    check(&["undo", "deploy/web", "--to-revision", ""], "2 1 :36").await?;
    check(&["undo", "--to-revision=", ""], &format!("{all} {types} :4")).await?;
    check(&["undo", "--to-revision", ""], ":4").await?;
    check(&["history", "deploy", "web", "--revision="], "2 1 :36").await?;

    let lines = plugin.completed(&tool, &["-n", namespace, "deploy/web", "--revision", ""]).await?;
    assert_eq!(lines, ["2\tcurrent, last-good, nginx:1.17.0, second^[[31m", "1\tnginx:1.16.1, first", ":36"]);
    let lines = plugin.completed(&tool, &["-n", namespace, "status", "deploy/"]).await?;
    assert_eq!(lines, ["deploy/api\t1/1 ready", "deploy/web\t2/2 ready", ":4"]);
    let lines = plugin.completed(&tool, &["-n", namespace, "status", "ds/"]).await?;
    assert_eq!(lines, ["ds/agent\t1/1 ready", ":4"]);

    // As long as nothing is wanted of the cluster, nothing is asked of it.
    let before = world.requests().await?.len();
    let flags = plugin.offered(&tool, &["status", "--"]).await?;
    assert!(flags.contains("--from-file") && flags.contains("--namespace"), "{flags}");
    assert_eq!(world.requests().await?.len(), before);
    Ok(())
}
