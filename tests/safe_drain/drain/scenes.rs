//! What is left on a node and what comes back: everyday drains.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{ResourceExt, api::DeleteParams};
use serde_json::json;

use super::{
    changes, check_untouched, drain, end, is_ready, node_of, pods_on, ready_of, removed, stands, start, until_cordoned,
};
use crate::runner::{program, safe_drain};

#[tokio::test]
async fn daemon_sets_refuse_then_stay() -> Result<()> {
    let world = lab::shared()?.world("daemons").await?;
    let [node, _spare] = world.nodes(["n", "spare"]).await?;
    world.deployment("web").on(&node).create().await?;
    world.daemon_set("agent").create().await?;
    world.ready("deployment/web").await?;
    world.pods_ready(3).await?;
    let agent = |pods: Vec<Pod>| pods.into_iter().find(|pod| pod.name_any().starts_with("agent-"));
    let before = agent(pods_on(&world, &node).await?).context("no agent")?;

    let output = drain(&world, &[&node.name]).await?;
    assert_eq!((output.code, output.stdout.as_str()), (Some(3), ""), "{output}");
    let name = format!("{}/{}", world.namespace, before.name_any());
    let reason = format!("cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore): {name}");
    assert!(output.stderr.contains(&reason), "{output}");
    assert_eq!(changes(&world).await?, Vec::<String>::new());
    check_untouched(&world, &node).await?;

    let output = drain(&world, &[&node.name, "--ignore-daemonsets"]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    assert!(output.stdout.ends_with(&format!("node/{} drained\n", node.name)), "{output}");
    assert!(output.stderr.contains(&format!("Warning: ignoring DaemonSet-managed Pods: {name}\n")), "{output}");
    let left = pods_on(&world, &node).await?;
    assert_eq!(left.len(), 1, "only the agent stays: {left:#?}");
    assert_eq!((left[0].uid(), is_ready(&left[0])), (before.uid(), true));
    let shown = lab::run(&lab::kubectl()?)
        .kubeconfig(&world.tool()?)
        .args(["get", "node", &node.name, "--no-headers"])
        .output()
        .await?;
    assert!(shown.stdout.contains("Ready,SchedulingDisabled"), "{shown}");

    let output = safe_drain(&world, &["uncordon", &node.name]).await?;
    assert_eq!((output.code, output.stdout), (Some(0), format!("node/{} uncordoned\n", node.name)));
    assert!(!stands(&world, &node).await?.0);
    Ok(())
}

#[tokio::test]
async fn a_bare_pod_is_lost_and_a_deployments_pod_comes_back_elsewhere() -> Result<()> {
    let world = lab::shared()?.world("bare").await?;
    let [node, spare] = world.nodes(["n", "spare"]).await?;
    world.deployment("web").on(&node).create().await?;
    world.pod("bare").empty_dir().on(&node).create().await?;
    world.pods_ready(2).await?;
    let output = drain(&world, &[&node.name, "--force", "--delete-emptydir-data"]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    for warning in ["deleting Pods with local storage", "deleting Pods that declare no controller"] {
        let line = format!("Warning: {warning}: {}/bare\n", world.namespace);
        assert!(output.stderr.contains(&line), "{output}");
    }
    // Drained means replaced, too: nothing has to be waited for.
    let pods = world.api::<Pod>().list(&kube::api::ListParams::default()).await?.items;
    assert_eq!(pods.len(), 1, "the bare pod is gone for good: {output}");
    assert!(pods[0].name_any().starts_with("web-") && is_ready(&pods[0]), "{pods:#?}");
    assert_eq!(node_of(&pods[0]), spare.name);
    assert_eq!(removed(&world).await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_job_goes_on_elsewhere() -> Result<()> {
    let world = lab::shared()?.world("job").await?;
    let [node, spare] = world.nodes(["n", "spare"]).await?;
    world.job("report").on(&node).create().await?;
    let before = world.pods_ready(1).await?;
    let output = drain(&world, &[&node.name]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    let warning = "Warning: Job report counts the eviction as a failure (backoffLimit 6)";
    assert!(output.stderr.contains(warning), "{output}");
    let new = |pod: &Pod| pod.uid() != before[0].uid() && is_ready(pod) && node_of(pod) == spare.name;
    world.until_pods("the Job's next pod elsewhere", |pods| pods.iter().any(new)).await?;
    let job = world.api::<Job>().get("report").await?;
    let conditions = job.status.and_then(|status| status.conditions).unwrap_or_default();
    assert!(conditions.iter().all(|condition| condition.type_ != "Failed"), "{conditions:?}");
    assert_eq!(pods_on(&world, &node).await?.iter().filter(|pod| is_ready(pod)).count(), 0);
    Ok(())
}

#[tokio::test]
async fn a_stateful_set_gets_the_same_name_elsewhere() -> Result<()> {
    let world = lab::shared()?.world("sts").await?;
    let [node, spare] = world.nodes(["n", "spare"]).await?;
    world.stateful_set("db").replicas(2).on(&node).create().await?;
    let mut before: Vec<_> = world.pods_ready(2).await?.iter().map(ResourceExt::uid).collect();
    let output = drain(&world, &[&node.name]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    let pods = world.api::<Pod>().list(&kube::api::ListParams::default()).await?.items;
    assert_eq!(ready_of(&pods, "db").map(ResourceExt::name_any).collect::<Vec<_>>(), ["db-0", "db-1"], "{output}");
    assert!(pods.iter().all(|pod| node_of(pod) == spare.name && !before.contains(&pod.uid())), "{pods:#?}");
    before.dedup();
    let mut names = removed(&world).await?;
    names.sort();
    assert_eq!(names, ["db-0", "db-1"], "each once, the new ones never: {output}");
    Ok(())
}

#[tokio::test]
async fn finished_pods_are_removed() -> Result<()> {
    let world = lab::shared()?.world("finished").await?;
    let [node] = world.nodes(["n"]).await?;
    let once = json!({"spec": {"restartPolicy": "Never"}});
    let done = world.pod("done").scenario("complete").sim("run-duration", "100ms").empty_dir();
    done.patch(once.clone()).on(&node).create().await?;
    world.pod("failed").scenario("fail").patch(once).on(&node).create().await?;
    // It covers them, and forbids everything; nobody asks it about finished pods.
    world.pod_disruption_budget("done").max_unavailable(0).create().await?;
    let phase = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
    let finished = |pod: &Pod| ["Succeeded", "Failed"].contains(&phase(pod).as_str());
    world.until_pods("2 finished pods", |pods| pods.iter().filter(|pod| finished(pod)).count() == 2).await?;
    let output = drain(&world, &[&node.name]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(pods_on(&world, &node).await?, Vec::<Pod>::new());
    Ok(())
}

#[tokio::test]
async fn a_pod_that_stops_already_is_waited_for() -> Result<()> {
    let world = lab::shared()?.world("stopping").await?;
    let [node] = world.nodes(["n"]).await?;
    world.pod("slow").stop_seconds(4.0).on(&node).create().await?;
    world.pods_ready(1).await?;
    // Building the plugin takes longer than the pod does to stop.
    program()?;
    world.api::<Pod>().delete("slow", &DeleteParams::default()).await?;
    let output = drain(&world, &[&node.name, "--force"]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    let line = format!("pod/slow gone (namespace {}): it was terminating already\n", world.namespace);
    assert!(output.stdout.contains(&line), "{output}");
    assert!(output.stdout.ends_with(&format!("node/{} drained\n", node.name)), "{output}");
    assert!(output.elapsed > Duration::from_secs(2), "it was waited for: {output}");
    assert_eq!(pods_on(&world, &node).await?, Vec::<Pod>::new());
    let changes = changes(&world).await?;
    assert!(changes.iter().all(|change| change.starts_with("patch nodes")), "{changes:?}");
    Ok(())
}

#[tokio::test]
async fn a_pod_that_comes_back_elsewhere_under_its_name_is_let_alone() -> Result<()> {
    let world = lab::shared()?.world("samename").await?;
    let [a, b] = world.nodes(["a", "b"]).await?;
    world.stateful_set("db").on(&a).create().await?;
    let before = world.pods_ready(1).await?;
    world.pod_disruption_budget("db").max_unavailable(0).create().await?;
    world.budget_settled("db").await?;
    let running = start(&world, &[&a.name, "--on-blocked=wait"])?;
    until_cordoned(&world, &a).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    // Somebody deletes it, which asks no budget.
    world.api::<Pod>().delete("db-0", &DeleteParams::default()).await?;
    let output = end(&world, running).await?;
    assert_eq!(output.code, Some(0), "{output}");
    let pods = world.pods_ready(1).await?;
    assert_eq!((pods[0].name_any().as_str(), node_of(&pods[0])), ("db-0", b.name.as_str()));
    assert_ne!(pods[0].uid(), before[0].uid());
    let requests = world.requests().await?;
    let asked: Vec<&str> = super::removals(&requests).map(super::uid_of).collect();
    assert_eq!(asked, Vec::<&str>::new(), "neither the old one nor the new one: {output}");
    let line = format!("pod/db-0 gone (namespace {}): ", world.namespace);
    assert!(output.stdout.contains(&line), "{output}");
    Ok(())
}

/// A kubelet that lost its mirror's annotation, or a program that makes such pods itself.
#[tokio::test]
async fn a_static_pod_without_the_mark_of_a_mirror_stays() -> Result<()> {
    let world = lab::shared()?.world("static").await?;
    let [node, _spare] = world.nodes(["n", "spare"]).await?;
    world.deployment("web").on(&node).create().await?;
    let owner = json!({"apiVersion": "v1", "kind": "Node", "name": node.name, "uid": node.uid, "controller": true});
    let metadata = json!({"metadata": {"ownerReferences": [owner]}});
    world.pod("etcd").empty_dir().patch(metadata).on(&node).create().await?;
    let before = world.pods_ready(2).await?;
    let etcd = before.iter().find(|pod| pod.name_any() == "etcd").context("no static pod")?;
    let output = drain(&world, &[&node.name]).await?;
    assert_eq!(output.code, Some(0), "it needs no flag: {output}");
    let left = pods_on(&world, &node).await?;
    assert_eq!(left.iter().map(ResourceExt::uid).collect::<Vec<_>>(), [etcd.uid()], "{output}");
    let removed = removed(&world).await?;
    assert!(removed.len() == 1 && removed[0].starts_with("web-"), "{removed:?}");
    Ok(())
}
