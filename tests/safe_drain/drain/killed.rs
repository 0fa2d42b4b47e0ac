//! What killed drains leave behind: the same command finishes it, or `repair` takes it back.

use std::time::Duration;

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node as NodeObject;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use lab::{Node, Running, World};
use serde_json::{Value, json};

use super::{RECORD, accepted, drain, stands, start, until_cordoned};
use crate::runner::{document, safe_drain, safe_drain_as};

/// A node whose drain does not end: two pods leave one by one, and no replacement finds room.
async fn endless(name: &str) -> Result<(World, [Node; 2])> {
    let world = lab::shared()?.world(name).await?;
    let nodes = world.nodes(["a", "b"]).await?;
    world.deployment("web").on_each(&[(&nodes[0], 2), (&nodes[1], 1)]).create().await?;
    world.ready("deployment/web").await?;
    world.cordon(&nodes[1], true).await?;
    Ok((world, nodes))
}

async fn until_evicted(world: &World, pods: usize) -> Result<()> {
    while accepted(world).await?.len() < pods {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn kill(running: Running) -> Result<()> {
    running.kill()?;
    let output = running.end().await?;
    assert_eq!(output.code, None, "killed: {output}");
    Ok(())
}

/// Makes the record look as if its drain had given no sign of life for two minutes.
async fn age(world: &World, node: &Node) -> Result<()> {
    let mut record = stands(world, node).await?.1.context("no record")?;
    let beat: Timestamp = record["heartbeat"].as_str().context("no heartbeat")?.parse()?;
    record["heartbeat"] = (beat - SignedDuration::from_secs(120)).to_string().into();
    let patch = json!({"metadata": {"annotations": {RECORD: record.to_string()}}});
    let api: Api<NodeObject> = Api::all(world.client().clone());
    api.patch(&node.name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

#[tokio::test]
async fn after_each_step_the_same_command_finishes() -> Result<()> {
    // Killed after the cordon, after the first eviction, and while a replacement is waited for.
    for (number, wait) in [(0, 0), (1, 0), (1, 1500)] {
        let (world, [a, b]) = endless("killed").await?;
        let first = start(&world, &[&a.name])?;
        until_cordoned(&world, &a).await?;
        until_evicted(&world, number).await?;
        tokio::time::sleep(Duration::from_millis(wait)).await;
        kill(first).await?;
        let second = safe_drain(&world, &[&a.name]).await?;
        assert_eq!(second.code, Some(10), "it may still live: {second}");
        age(&world, &a).await?;
        let status = safe_drain(&world, &["status", &a.name]).await?;
        assert!(status.stderr.contains(&format!("hint: kubectl safe-drain repair {}\n", a.name)), "{status}");
        world.cordon(&b, false).await?;
        let again = drain(&world, &[&a.name]).await?;
        assert_eq!((again.code, accepted(&world).await?.len()), (Some(0), 2), "nothing twice: {again}");
        assert!(again.stderr.contains(&format!("node/{} taken over from a drain by", a.name)), "{again}");
        assert_eq!(world.pods_on(&a).await?, Vec::<String>::new());
    }
    Ok(())
}

#[tokio::test]
async fn a_leaked_cordon_is_repaired() -> Result<()> {
    let (world, [a, _]) = endless("leaked").await?;
    let running = start(&world, &[&a.name])?;
    until_cordoned(&world, &a).await?;
    let repair = safe_drain(&world, &["repair", &a.name]).await?;
    assert!(repair.stderr.contains("works on it (run ") && stands(&world, &a).await?.0, "{repair}");
    assert!(repair.stderr.ends_with("s ago; after 90s without a sign it is dead)\n"), "{repair}");
    kill(running).await?;
    age(&world, &a).await?;
    let dry = safe_drain(&world, &["repair", &a.name, "--dry-run=client"]).await?;
    assert_eq!(dry.stdout, format!("node/{} uncordoned (dry run)\n", a.name), "{dry}");
    let dry = safe_drain(&world, &["repair", &a.name, "--dry-run=server", "-o", "json"]).await?;
    let documents: Vec<Value> = dry.stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!((&documents[0]["type"], &documents[0]["node"]), (&json!("NodeUncordoned"), &json!(a.name)), "{dry}");
    let repaired = json!([{"name": a.name, "outcome": "Uncordoned", "message": ""}]);
    assert_eq!((&documents[1]["kind"], &documents[1]["nodes"]), (&json!("RepairResult"), &repaired), "{dry}");
    assert!(stands(&world, &a).await?.0, "a dry run changes nothing");
    let repair = safe_drain(&world, &["repair", &a.name]).await?;
    assert_eq!((repair.code, repair.stdout), (Some(0), format!("node/{} uncordoned\n", a.name)));
    assert_eq!(stands(&world, &a).await?, (false, None));
    let again = document(&safe_drain(&world, &["repair", &a.name, "-o", "json"]).await?)?;
    assert_eq!((&again["kind"], &again["nodes"]), (&json!("RepairResult"), &json!([])), "{again}");
    let again = safe_drain(&world, &["repair", &a.name]).await?;
    assert_eq!(again.stderr, "nothing to repair: no drain has left a record\n");
    Ok(())
}

#[tokio::test]
async fn a_cordon_of_somebody_else_stays() -> Result<()> {
    let (world, [a, _]) = endless("elses").await?;
    let running = start(&world, &[&a.name])?;
    until_cordoned(&world, &a).await?;
    kill(running).await?;
    age(&world, &a).await?;
    for verb in ["uncordon", "cordon"] {
        let kubectl = lab::run(&lab::kubectl()?).kubeconfig(&world.tool()?);
        let output = kubectl.args([verb, &a.name]).output().await?;
        assert_eq!(output.code, Some(0), "{output}");
    }
    let repair = safe_drain(&world, &["repair", &a.name]).await?;
    assert!(repair.stderr.contains("the cordon is somebody else's, and stays"), "{repair}");
    assert_eq!(stands(&world, &a).await?, (true, None));
    Ok(())
}

#[tokio::test]
async fn what_suffices_for_kubectl_suffices() -> Result<()> {
    let world = lab::shared()?.world("suffices").await?;
    let [a, _] = world.nodes(["a", "b"]).await?;
    world.deployment("web").replicas(2).on(&a).create().await?;
    world.ready("deployment/web").await?;
    let drainer = world.user("drainer", &lab::drainer_rules()).await?;
    let output = safe_drain_as(&drainer, &[&a.name]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(world.pods_on(&a).await?, Vec::<String>::new());
    Ok(())
}
