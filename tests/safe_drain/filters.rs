//! Which pods may go: kubectl itself is asked the same, flag by flag.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use lab::{Node, World};
use serde_json::{Value, json};

use crate::runner::{codes, plan, pod, pods};

const FLAGS: [&str; 3] = ["--ignore-daemonsets", "--delete-emptydir-data", "--force"];

/// A node with a pod of every sort that kubectl's filters tell apart.
async fn zoo() -> Result<(World, Node)> {
    let world = lab::shared()?.world("zoo").await?;
    let [node] = world.nodes(["n"]).await?;
    world.deployment("web").replicas(2).create().await?;
    world.deployment("cache").empty_dir().create().await?;
    world.daemon_set("agent").create().await?;
    world.daemon_set("agent-data").empty_dir().create().await?;
    world.job("report").create().await?;
    world.job("done").sim("run-duration", "100ms").empty_dir().create().await?;
    world.stateful_set("db").create().await?;
    world.pod("bare").on(&node).create().await?;
    world.pod("bare-data").empty_dir().on(&node).create().await?;
    let once = json!({"spec": {"restartPolicy": "Never"}});
    let done = world.pod("bare-done").scenario("complete").sim("run-duration", "100ms").patch(once.clone());
    done.empty_dir().on(&node).create().await?;
    world.pod("bare-failed").scenario("fail").patch(once).empty_dir().on(&node).create().await?;
    world.pod("mirror").mirror_on(&node).create().await?;
    let gadget = world.gadget("g").await?;
    world.pod("custom").owned_by(&gadget).on(&node).create().await?;
    world
        .until_pods("14 pods at rest", |pods| {
            let at_rest = |pod: &&Pod| {
                let status = pod.status.as_ref();
                let ready = status.and_then(|status| status.conditions.as_ref()).is_some_and(|conditions| {
                    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
                });
                let phase = status.and_then(|status| status.phase.as_deref()).unwrap_or_default();
                match pod.name_any().as_str() {
                    "bare-failed" => phase == "Failed",
                    name if name == "bare-done" || name.starts_with("done-") => phase == "Succeeded",
                    _ => ready,
                }
            };
            pods.iter().filter(at_rest).count() == 14
        })
        .await?;
    Ok((world, node))
}

/// What kubectl says: which pods it would evict, or which pods it cannot delete, by message.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Evicts(BTreeSet<String>),
    CannotDelete(BTreeMap<String, BTreeSet<String>>),
}

async fn kubectl_says(world: &World, node: &Node, flags: &[&str]) -> Result<Answer> {
    let output = lab::run(&lab::kubectl()?)
        .kubeconfig(&world.tool()?)
        .args(["drain", "--dry-run=client", &node.name])
        .args(flags)
        .output()
        .await?;
    if output.code == Some(0) {
        let evicted =
            output.stdout.lines().filter_map(|line| line.strip_prefix("evicting pod ")?.strip_suffix(" (dry run)"));
        return Ok(Answer::Evicts(evicted.map(str::to_owned).collect()));
    }
    let mut refusals = BTreeMap::new();
    // After the first error line kubectl repeats each refusal in a line of its own.
    for line in output.stderr.lines().filter_map(|line| line.strip_prefix("cannot delete ")) {
        let (message, pods) = line.rsplit_once(": ").unwrap_or((line, ""));
        refusals.insert(message.to_owned(), pods.split(", ").map(str::to_owned).collect());
    }
    Ok(Answer::CannotDelete(refusals))
}

fn we_say(plan: &Value) -> Answer {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = |pod: &Value| format!("{}/{}", text(&pod["namespace"]), text(&pod["name"]));
    if plan["verdict"] != "Refused" {
        let evicted = pods(plan).iter().filter(|pod| pod["action"] == "Evict");
        return Answer::Evicts(evicted.map(name).collect());
    }
    let mut refusals: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for pod in pods(plan) {
        // kubectl stops at the first reason; we know all.
        let first = pod["reasons"].as_array().into_iter().flatten().find(|reason| reason["severity"] == "Error");
        if let Some(reason) = first {
            refusals.entry(text(&reason["message"])).or_default().insert(name(pod));
        }
    }
    Answer::CannotDelete(refusals)
}

#[tokio::test]
async fn every_combination_of_flags_as_kubectl() -> Result<()> {
    let (world, node) = zoo().await?;
    for combination in 0..8 {
        let flags: Vec<&str> =
            FLAGS.iter().enumerate().filter(|(bit, _)| combination & (1 << bit) != 0).map(|(_, flag)| *flag).collect();
        let theirs = kubectl_says(&world, &node, &flags).await?;
        let (output, plan) = plan(&world, &[&[node.name.as_str()], flags.as_slice()].concat()).await?;
        assert_eq!(we_say(&plan), theirs, "with {flags:?}");
        let expected = if matches!(theirs, Answer::Evicts(_)) { 0 } else { 3 };
        assert_eq!(output.code, Some(expected), "with {flags:?}: {output}");
    }
    Ok(())
}

#[tokio::test]
async fn all_reasons_at_once_and_who_brings_pods_back() -> Result<()> {
    let (world, node) = zoo().await?;
    let (output, seen) = plan(&world, &[&node.name]).await?;
    assert_eq!((output.code, seen["verdict"].as_str()), (Some(3), Some("Refused")), "{output}");

    let both = pod(&seen, "bare-data");
    assert_eq!(codes(both)[..2], ["LocalStorage", "Unreplicated"], "{both:#}");
    assert_eq!(both["reasons"][0]["remedy"], "--delete-emptydir-data (the data on it is lost)");
    assert_eq!(both["reasons"][1]["remedy"], "--force (nothing brings them back)");
    assert_eq!(pod(&seen, "agent-")["action"], "Refuse");
    for finished in ["done-", "bare-done", "bare-failed"] {
        assert_eq!(pod(&seen, finished)["action"], "Evict", "it needs no flag any more");
    }

    // One flag is not enough for it, both are.
    for (flags, action) in [
        (vec!["--force"], "Refuse"),
        (vec!["--delete-emptydir-data"], "Refuse"),
        (vec!["--force", "--delete-emptydir-data"], "Evict"),
    ] {
        let (_, seen) =
            plan(&world, &[&[node.name.as_str(), "--ignore-daemonsets"], flags.as_slice()].concat()).await?;
        assert_eq!(pod(&seen, "bare-data")["action"], action, "with {flags:?}");
        assert_eq!(pod(&seen, "agent-")["action"], "Skip", "with {flags:?}");
    }

    let by = |name: &str| pod(&seen, name)["replacement"]["by"].clone();
    assert_eq!(by("web-"), json!({"kind": "Deployment", "name": "web"}));
    assert_eq!(by("db-0"), json!({"kind": "StatefulSet", "name": "db"}));
    assert_eq!(by("report-"), json!({"kind": "Job", "name": "report"}));
    assert_eq!(by("custom"), json!({"kind": "Gadget", "name": "g"}));
    assert_eq!(by("bare"), Value::Null);
    assert_eq!(pod(&seen, "bare")["replacement"]["reasons"][0], "it has no controller: nothing brings it back");
    assert_eq!(codes(pod(&seen, "custom")), ["CustomController"]);
    assert_eq!(codes(pod(&seen, "report-")), ["JobCountsEviction"]);
    assert_eq!(codes(pod(&seen, "mirror")), ["StaticPod"]);
    Ok(())
}

#[tokio::test]
async fn a_deleted_pod_of_a_deployment_comes_back_and_a_bare_one_does_not() -> Result<()> {
    let world = lab::shared()?.world("comeback").await?;
    let [node] = world.nodes(["n"]).await?;
    world.deployment("web").create().await?;
    world.pod("bare").on(&node).create().await?;
    world.pods_ready(2).await?;
    let (_, before) = plan(&world, &[&node.name, "--force"]).await?;
    for planned in pods(&before) {
        let name = planned["name"].as_str().unwrap();
        let api = world.api::<Pod>();
        api.delete(name, &kube::api::DeleteParams::default().grace_period(0)).await?;
    }
    world
        .until_pods("the Deployment's new pod alone", |pods| {
            pods.len() == 1 && pods[0].metadata.name.as_deref() != pod(&before, "web-")["name"].as_str()
        })
        .await?;
    // It did as the plan said.
    assert_eq!(pod(&before, "web-")["replacement"]["by"]["kind"], "Deployment");
    assert_eq!(pod(&before, "bare")["replacement"]["verdict"], "None");
    Ok(())
}
