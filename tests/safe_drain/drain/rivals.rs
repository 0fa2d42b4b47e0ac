//! Others at the same node: a second drain, somebody with kubectl, a node that is deleted, and a second node.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt, api::DeleteParams};
use serde_json::{Value, json};

use super::{
    Held, changes, check_removals, check_untouched, drain, end, nodes, pods_on, removed, stands, start, until_cordoned,
    until_leaving, until_node,
};
use crate::runner::{document, safe_drain, safe_drain_as};

#[tokio::test]
async fn the_second_drain_of_a_node_says_who_is_at_it() -> Result<()> {
    let held = Held::create("second").await?;
    let world = &held.world;
    let first = start(world, &[&held.a.name, "--reason", "kernel update"])?;
    until_cordoned(world, &held.a).await?;
    let (_, record) = stands(world, &held.a).await?;
    let record = record.expect("a record");
    let tool = format!("tool-{}", world.namespace);
    assert_eq!((&record["owner"], &record["reason"]), (&json!(tool), &json!("kernel update")));
    assert_eq!((&record["wasUnschedulable"], &record["finished"]), (&json!(false), &Value::Null));

    let user = world.user("second", &lab::drainer_rules()).await?;
    let output = safe_drain_as(&user, &[&held.a.name]).await?;
    assert_eq!((output.code, output.stdout.as_str()), (Some(10), ""), "{output}");
    let run = record["run"].as_str().unwrap();
    let who = format!("unable to drain node {:?}: a drain by {tool} (run {run}, since 20", held.a.name);
    assert!(output.stderr.contains(&who), "{who}\n{output}");
    assert!(output.stderr.contains(", \"kernel update\") works on it\n"), "{output}");
    assert!(output.stderr.contains(&format!("hint: kubectl safe-drain status {}", held.a.name)), "{output}");
    let requests = world.requests_by("second").await?;
    assert!(requests.iter().all(|request| !request.changes()), "it writes nothing");

    let output = safe_drain_as(&user, &["status", &held.a.name]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    let row = output.stdout.lines().nth(1).unwrap_or_default();
    for word in [held.a.name.as_str(), &tool, "in progress, alive ", "kernel update"] {
        assert!(row.contains(word), "{word}: {output}");
    }
    let status = document(&safe_drain_as(&user, &["status", &held.a.name, "-o", "json"]).await?)?;
    let node = &status["nodes"][0];
    assert_eq!((&node["cordonedBy"], &node["reason"]), (&json!(tool), &json!("kernel update")), "{status:#}");
    assert_eq!((&node["drain"], &node["run"]), (&json!("InProgress"), &json!(run)), "{status:#}");

    // With --take-over it is the first one that stops, and the second that goes on.
    let second = lab::run(&crate::runner::program()?).kubeconfig(&user);
    let second = second.args([held.a.name.as_str(), "--take-over", "--reason", "mine now"]).start()?;
    let output = end(world, first).await?;
    assert_eq!(output.code, Some(10), "{output}");
    let who =
        format!("unable to drain node {:?}: taken over by a drain by second-{} (run ", held.a.name, world.namespace);
    assert!(output.stderr.contains(&who), "{who}\n{output}");
    assert_eq!(removed(world).await?, Vec::<String>::new());
    held.release().await?;
    let output = second.end().await?;
    assert_eq!(output.code, Some(0), "{output}");
    assert!(output.stderr.contains(&format!("node/{} taken over from a drain by {tool} (run {run}", held.a.name)));
    let requests = world.requests_by("second").await?;
    check_removals(&requests);
    let evicted: Vec<_> = super::removals(&requests).filter(|request| request.code < 300).collect();
    assert_eq!(evicted.iter().map(|request| &request.name).collect::<Vec<_>>(), [&held.pod.name_any()]);
    let (cordoned, record) = stands(world, &held.a).await?;
    let record = record.expect("a record");
    assert!(cordoned && record["finished"].is_string() && record["reason"] == "mine now", "{record:#}");
    assert_eq!(record["wasUnschedulable"], false, "what the first one found");
    Ok(())
}

#[tokio::test]
async fn an_uncordon_meanwhile_ends_it() -> Result<()> {
    let held = Held::create("uncordon").await?;
    let world = &held.world;
    let running = start(world, &[&held.a.name])?;
    until_cordoned(world, &held.a).await?;
    let admin = world.user("admin", &lab::drainer_rules()).await?;
    let kubectl = lab::run(&lab::kubectl()?).kubeconfig(&admin).args(["uncordon", &held.a.name]).output().await?;
    assert_eq!(kubectl.code, Some(0), "{kubectl}");
    let output = end(world, running).await?;
    assert_eq!(output.code, Some(10), "{output}");
    assert!(output.elapsed < Duration::from_secs(30), "{output}");
    let error = format!("error: unable to drain node {:?}: somebody made the node schedulable meanwhile", held.a.name);
    assert!(output.stderr.contains(&error), "{output}");
    held.release().await?;
    world.pods_ready(2).await?;
    assert_eq!(removed(world).await?, Vec::<String>::new(), "no eviction: {output}");
    assert_eq!(stands(world, &held.a).await?, (false, None), "it is theirs now");
    Ok(())
}

#[tokio::test]
async fn a_deleted_node_is_drained() -> Result<()> {
    let held = Held::create("deleted").await?;
    let world = &held.world;
    world.deployment("free").stop_seconds(8.0).pinned_to(&held.a).create().await?;
    let free = world.until_pods("a pod of free", |pods| super::ready_of(pods, "free").count() == 1).await?;
    let free = super::ready_of(&free, "free").next().cloned().expect("a pod of free");
    let running = start(world, &[&held.a.name])?;
    until_leaving(world, &free).await?;
    nodes(world).delete(&held.a.name, &DeleteParams::default()).await?;
    until_node(world, &held.a, "no node", |node| node.is_none()).await?;
    let output = end(world, running).await?;
    assert_eq!(output.code, Some(0), "{output}");
    assert!(output.stdout.contains(&format!("node/{} drained", held.a.name)), "{output}");
    assert!(output.elapsed < Duration::from_secs(20), "{output}");
    assert_eq!(removed(world).await?, [free.name_any()], "the other pod went with the node");
    Ok(())
}

#[tokio::test]
async fn one_node_is_refused_and_the_other_one_drained() -> Result<()> {
    let world = lab::shared()?.world("two").await?;
    let [a, b, _c] = world.nodes(["a", "b", "c"]).await?;
    world.deployment("web").on(&b).create().await?;
    world.pod("bare").on(&a).create().await?;
    world.pods_ready(2).await?;
    let output = drain(&world, &[&a.name, &b.name]).await?;
    assert_eq!(output.code, Some(3), "{output}");
    check_untouched(&world, &a).await?;
    assert_eq!(world.pods_on(&a).await?, ["bare"]);
    assert!(stands(&world, &b).await?.0);
    assert_eq!(pods_on(&world, &b).await?, Vec::<Pod>::new());
    assert!(output.stdout.ends_with(&format!("node/{} drained\n", b.name)), "{output}");
    let error = format!(
        "error: unable to drain node {:?}: cannot delete Pods that declare no controller (use --force to override): {}/bare",
        a.name, world.namespace
    );
    assert!(output.stderr.contains(&error), "{output}");
    assert!(output.stderr.contains("1 of 2 nodes drained\n"), "{output}");
    let changes = changes(&world).await?;
    assert!(changes.iter().all(|change| !change.contains(&a.name)), "{changes:?}");
    Ok(())
}

/// Both are cordoned before anything leaves, so that no pod moves twice.
#[tokio::test]
async fn two_nodes_and_every_pod_moves_once() -> Result<()> {
    let world = lab::shared()?.world("once").await?;
    let [a, b, c] = world.nodes(["a", "b", "c"]).await?;
    world.deployment("web").on_each(&[(&a, 2), (&b, 2)]).create().await?;
    world.ready("deployment/web").await?;
    let output = drain(&world, &[&a.name, &b.name]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(removed(&world).await?.len(), 4, "{output}");
    assert_eq!(world.pods_on(&c).await?.len(), 4);
    let changes = changes(&world).await?;
    let first_eviction = changes.iter().position(|change| change.contains("eviction")).unwrap();
    let cordons = changes[..first_eviction].iter().filter(|change| change.starts_with("patch nodes")).count();
    assert_eq!(cordons, 2, "{changes:?}");
    let output = safe_drain(&world, &["status", &a.name, &b.name]).await?;
    assert_eq!(output.stdout.matches("ended ").count(), 2, "{output}");
    Ok(())
}
