//! The gate of a workload ends: replaced, scaled down, deleted, or given up with the right word.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::Pod,
};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use lab::{Node, World};
use serde_json::json;

use super::{drain, end, pods_on, removed, stands, start, until_leaving};

/// A Deployment with a pod on `a` and one on `b`, where no other fits.
async fn full(name: &str) -> Result<(World, [Node; 2])> {
    let world = lab::shared()?.world(name).await?;
    let [a] = world.nodes(["a"]).await?;
    let b = world.node("b").capacity("4", "8Gi", 1).create().await?;
    world.deployment("web").on_each(&[(&a, 1), (&b, 1)]).create().await?;
    world.ready("deployment/web").await?;
    Ok((world, [a, b]))
}

/// Drains until the only pod on the node leaves.
async fn begin(world: &World, node: &Node) -> Result<lab::Running> {
    let pod = pods_on(world, node).await?.pop().context("no pod")?;
    let running = start(world, &[&node.name])?;
    until_leaving(world, &pod).await?;
    let gone = |pods: &[Pod]| pods.iter().all(|other| other.metadata.uid != pod.metadata.uid);
    world.until_pods("the pod gone and its replacement Pending", |pods| pods.len() == 2 && gone(pods)).await?;
    // It waits for the replacement now.
    tokio::time::sleep(Duration::from_millis(500)).await;
    Ok(running)
}

#[tokio::test]
async fn an_autoscaler_that_scales_down_meanwhile_asks_for_no_replacement() -> Result<()> {
    let (world, [a, b]) = full("scaled").await?;
    let autoscalers = world.api::<HorizontalPodAutoscaler>();
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
    let autoscaler = json!({"metadata": {"name": "web"}, "spec": {"scaleTargetRef": target, "maxReplicas": 2}});
    autoscalers.create(&PostParams::default(), &serde_json::from_value(autoscaler)?).await?;
    let running = begin(&world, &a).await?;
    // Needs no metrics: what is above the maximum is taken down before any is asked for.
    let fewer = Patch::Merge(json!({"spec": {"maxReplicas": 1}}));
    autoscalers.patch("web", &PatchParams::default(), &fewer).await?;
    let output = end(&world, running).await?;
    let replicas = world.api::<Deployment>().get("web").await?.spec.replicas;
    assert_eq!(replicas, Some(1), "the autoscaler did it");
    assert_eq!(output.code, Some(0), "{output}");
    assert!(output.stdout.ends_with(&format!("node/{} drained\n", a.name)), "{output}");
    // What it waited for was said.
    let said = format!("waiting until Deployment {}/web gets its Ready pods back; pod ", world.namespace);
    assert!(output.stderr.contains(&said) && output.stderr.contains("Unschedulable: 0/"), "{output}");
    assert_eq!(world.pods_on(&b).await?.len(), 1, "the other one still runs");
    Ok(())
}

#[tokio::test]
async fn an_owner_deleted_meanwhile_asks_for_no_replacement() -> Result<()> {
    let (world, [a, _]) = full("disowned").await?;
    let running = begin(&world, &a).await?;
    world.api::<Deployment>().delete("web", &DeleteParams::background()).await?;
    let output = end(&world, running).await?;
    assert_eq!(output.code, Some(0), "{output}");
    assert!(output.stdout.ends_with(&format!("node/{} drained\n", a.name)), "{output}");
    assert_eq!(removed(&world).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_replacement_that_crashes_ends_with_its_reason() -> Result<()> {
    let world = lab::shared()?.world("crash").await?;
    let [a, _b] = world.nodes(["a", "b"]).await?;
    world.replica_set("web").replicas(2).on(&a).create().await?;
    world.pods_ready(2).await?;
    // A ReplicaSet leaves the pods that it has: only those to come crash.
    let template = json!({"spec": {"template": {"metadata": {"annotations": {"sim.test/scenario": "crashloop"}}}}});
    world.api::<ReplicaSet>().patch("web", &PatchParams::default(), &Patch::Merge(template)).await?;
    let output = drain(&world, &[&a.name, "--replacement-timeout", "5s"]).await?;
    assert_eq!(output.code, Some(5), "{output}");
    let start = format!(
        "error: unable to drain node {:?}: ReplicaSet {}/web did not get its Ready pods back within 5s: pod {}/web-",
        a.name, world.namespace, world.namespace
    );
    assert!(output.stderr.contains(&start), "{start}\n{output}");
    let crash = ["is not Ready, CrashLoopBackOff", "is not Ready, Error"];
    assert!(crash.iter().any(|words| output.stderr.contains(words)), "{output}");
    // The second one stays: one crashing is enough.
    assert_eq!(removed(&world).await?.len(), 1, "{output}");
    assert_eq!(world.pods_on(&a).await?.len(), 1);
    assert!(stands(&world, &a).await?.0, "a pod has left");
    Ok(())
}

#[tokio::test]
async fn a_local_volume_ends_with_the_schedulers_words() -> Result<()> {
    let world = lab::shared()?.world("pinned").await?;
    let [a, _b] = world.nodes(["a", "b"]).await?;
    world.local_volume("data-db-0", &a).await?;
    world.stateful_set("db").volume_claim("data").create().await?;
    world.ready("statefulset/db").await?;
    assert_eq!(world.pods_on(&a).await?, ["db-0"]);
    let output = drain(&world, &[&a.name, "--replacement-timeout", "5s"]).await?;
    assert_eq!(output.code, Some(5), "{output}");
    let start = format!(
        "error: unable to drain node {:?}: StatefulSet {}/db did not get its Ready pods back within 5s: pod {}/db-0 is not Ready, Unschedulable: 0/",
        a.name, world.namespace, world.namespace
    );
    assert!(output.stderr.contains(&start), "{start}\n{output}");
    assert!(output.stderr.contains("nodes are available: "), "{output}");
    let warned = "claim data-db-0: the replacement runs only where that volume can be mounted";
    assert!(output.stderr.contains(warned), "{output}");
    assert_eq!(removed(&world).await?, ["db-0"], "the new one is not evicted: {output}");
    assert!(stands(&world, &a).await?.0, "a pod has left");
    Ok(())
}
