//! What the server forbids, what does not stop, what comes meanwhile, and the events for programs.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result};
use k8s_openapi::api::{
    admissionregistration::v1::ValidatingAdmissionPolicyBinding,
    core::v1::{Namespace, Node as NodeObject, Pod},
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
};
use lab::World;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    Held, changes, check_untouched, drain, end, interrupt::until_denied, pods_on, remove_finalizers, removed, stands,
    start, until_cordoned, until_leaving, until_node,
};
use crate::runner::{deny, plan, safe_drain_as};

async fn one_pod(name: &str) -> Result<(World, lab::Node)> {
    let world = lab::shared()?.world(name).await?;
    let [node, _spare] = world.nodes(["n", "spare"]).await?;
    world.deployment("web").on(&node).create().await?;
    world.ready("deployment/web").await?;
    Ok((world, node))
}

#[tokio::test]
async fn a_refused_cordon_evicts_nothing() -> Result<()> {
    let (world, node) = one_pod("refuse").await?;
    let cordons = json!({
        "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"],
            "resources": ["nodes"], "resourceNames": [node.name]}]},
        "matchConditions": [
            {"name": "cordon", "expression": "has(object.spec.unschedulable) && object.spec.unschedulable"}],
    });
    deny(&world, cordons, json!({}), "this node stays").await?;
    until_denied(&world, &node, &json!({"spec": {"unschedulable": true}})).await?;
    let output = drain(&world, &[&node.name]).await?;
    assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""), "kubectl goes on here: {output}");
    assert!(output.stderr.contains(&format!("error: unable to drain node {:?}: ", node.name)), "{output}");
    assert!(output.stderr.contains("this node stays"), "{output}");
    assert_eq!(removed(&world).await?, Vec::<String>::new());
    check_untouched(&world, &node).await?;
    assert_eq!(world.pods_on(&node).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_refused_eviction_fails_that_pod_only() -> Result<()> {
    let (world, node) = one_pod("refused-pod").await?;
    world.deployment("kept").on(&node).create().await?;
    world.ready("deployment/kept").await?;
    let kept = world.pods_on(&node).await?.into_iter().find(|name| name.starts_with("kept-")).context("no pod")?;
    let evictions = json!({"matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"],
        "operations": ["CREATE"], "resources": ["pods/eviction"], "resourceNames": [kept]}]}});
    let here = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}}});
    deny(&world, evictions, here, "the shop is open").await?;
    let deadline = Instant::now() + Duration::from_secs(30);
    // A server dry run asks for both evictions.
    while plan(&world, &[&node.name, "--dry-run=server"]).await?.0.code == Some(0) {
        assert!(Instant::now() < deadline, "the policy never took effect");
        sleep(Duration::from_millis(200)).await;
    }
    let output = super::safe_drain(&world, &[&node.name]).await?;
    assert_eq!(output.code, Some(1), "{output}");
    assert_eq!(world.pods_on(&node).await?, [kept.as_str()], "the other one went: {output}");
    let error = format!("error: unable to drain node {:?}: pod {}/{kept}: ", node.name, world.namespace);
    assert!(output.stderr.contains(&error) && output.stderr.contains("the shop is open"), "{output}");
    assert!(stands(&world, &node).await?.0, "a pod has left");
    Ok(())
}

#[tokio::test]
async fn a_missing_right_is_found_before_any_write() -> Result<()> {
    let (world, node) = one_pod("rights").await?;
    let rules = lab::without(&lab::drainer_rules(), "create", "pods/eviction");
    let user = world.user("no-evict", &rules).await?;
    let output = safe_drain_as(&user, &[&node.name]).await?;
    assert_eq!((output.code, output.stdout.as_str()), (Some(11), ""), "{output}");
    assert!(output.stderr.contains("cannot create resource \"pods/eviction\""), "{output}");
    let requests = world.requests_by("no-evict").await?;
    assert!(requests.iter().all(|request| !request.changes()), "nothing was tried");
    check_untouched(&world, &node).await?;
    // With all rights of a drainer, and no more, it works.
    let user = world.user("drainer", &lab::drainer_rules()).await?;
    let output = safe_drain_as(&user, &[&node.name]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    assert!(!output.stderr.contains("Warning"), "{output}");
    super::check_removals(&world.requests_by("drainer").await?);
    Ok(())
}

/// Its pods are not deleted yet, because a policy keeps them for a while: the server then refuses every eviction, too.
#[tokio::test]
async fn a_namespace_that_ends_is_waited_for() -> Result<()> {
    let world = lab::shared()?.world("ends").await?;
    let [node] = world.nodes(["n"]).await?;
    world.pod("bare").on(&node).create().await?;
    world.pods_ready(1).await?;
    let namespace = &world.namespace;
    let deletions = json!({"matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"],
        "operations": ["DELETE"], "resources": ["pods"]}]}});
    let here = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}});
    deny(&world, deletions, here, "it stays").await?;
    let (pods, dry) = (world.api::<Pod>(), DeleteParams { dry_run: true, ..DeleteParams::default() });
    let deadline = Instant::now() + Duration::from_secs(30);
    while pods.delete("bare", &dry).await.is_ok() {
        assert!(Instant::now() < deadline, "the policy never took effect");
        sleep(Duration::from_millis(200)).await;
    }
    let namespaces: Api<Namespace> = Api::all(world.client().clone());
    namespaces.delete(namespace, &DeleteParams::default()).await?;

    let running = start(&world, &[&node.name, "--force"])?;
    // Building the plugin may have taken long.
    let deadline = Instant::now() + Duration::from_secs(30);
    while super::removals(&world.requests().await?).count() < 2 {
        assert!(Instant::now() < deadline, "it asks again after a while");
        sleep(Duration::from_millis(200)).await;
    }
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(world.client().clone());
    bindings.delete(&format!("deny-{namespace}"), &DeleteParams::default()).await?;
    let output = end(&world, running).await?;
    assert_eq!(output.code, Some(0), "{output}");
    let said = "unable to create new content in namespace";
    assert_eq!(output.stderr.matches(said).count(), 1, "said once: {output}");
    assert!(output.stdout.contains(&format!("pod/bare gone (namespace {namespace}): ")), "{output}");
    assert!(output.stdout.ends_with(&format!("node/{} drained\n", node.name)), "{output}");
    let requests = world.requests().await?;
    let codes: Vec<u16> = super::removals(&requests).map(|request| request.code).collect();
    assert!((2..=20).contains(&codes.len()) && codes.iter().all(|code| matches!(code, 403 | 404)), "{codes:?}");
    Ok(())
}

#[tokio::test]
async fn a_forbidden_drain_begins_nothing() -> Result<()> {
    let (world, node) = one_pod("viewer").await?;
    let rules = lab::without(&lab::drainer_rules(), "patch", "nodes");
    let rules = lab::without(&rules, "create", "pods/eviction");
    let viewer = world.user("viewer", &rules).await?;
    let output = safe_drain_as(&viewer, &[&node.name]).await?;
    assert_eq!((output.code, output.stdout.as_str()), (Some(11), ""), "{output}");
    let expected = format!(
        "error: unable to drain node {:?}: forbidden: you cannot patch resource \"nodes\" at the cluster scope, which a drain needs
error: forbidden: you cannot create resource \"pods/eviction\" at the cluster scope, which a drain needs
hint: kubectl auth can-i patch nodes
hint: kubectl auth can-i create pods/eviction --all-namespaces\n",
        node.name
    );
    assert_eq!(output.stderr, expected, "each once: {output}");
    assert!(world.requests_by("viewer").await?.iter().all(|request| !request.changes()), "it writes nothing");
    check_untouched(&world, &node).await
}

#[tokio::test]
async fn a_deletion_asks_no_budget_but_names_the_pod() -> Result<()> {
    let (world, node) = one_pod("delete").await?;
    world.pod_disruption_budget("web").max_unavailable(0).create().await?;
    world.budget_settled("web").await?;
    let before = pods_on(&world, &node).await?.pop().context("no pod")?;
    let output = drain(&world, &[&node.name, "--disable-eviction", "--grace-period", "1"]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    let line = format!("pod/{} deleted (namespace {})\n", before.name_any(), world.namespace);
    assert!(output.stdout.contains(&line), "{output}");
    let requests = world.requests().await?;
    let removals: Vec<_> = super::removals(&requests).collect();
    assert_eq!(removals.len(), 1, "{removals:#?}");
    assert_eq!((removals[0].verb.as_str(), removals[0].subresource.as_str()), ("delete", ""));
    let body = removals[0].request_object.clone().unwrap_or_default();
    assert_eq!(body["preconditions"]["uid"], json!(before.uid()), "{body:#}");
    assert_eq!(body["gracePeriodSeconds"], 1, "{body:#}");
    Ok(())
}

#[tokio::test]
async fn a_pod_that_a_finalizer_keeps_is_named() -> Result<()> {
    let world = lab::shared()?.world("finalizer").await?;
    let [node] = world.nodes(["n"]).await?;
    world.pod("kept").finalizer("lab.test/stay").grace_seconds(1).on(&node).create().await?;
    world.pods_ready(1).await?;
    let before = pods_on(&world, &node).await?.pop().context("no pod")?;
    let running = start(&world, &[&node.name, "--force"])?;
    until_leaving(&world, &before).await?;
    sleep(Duration::from_secs(3)).await;
    remove_finalizers(&world, "kept").await?;
    let output = end(&world, running).await?;
    assert_eq!(output.code, Some(0), "{output}");
    let said = format!("pod {}/kept stops: finalizer lab.test/stay keeps it\n", world.namespace);
    assert_eq!(output.stderr.matches(&said).count(), 1, "{said}\n{output}");
    assert_eq!(removed(&world).await?, ["kept"]);
    Ok(())
}

#[tokio::test]
async fn a_pod_on_a_node_that_does_not_answer_is_named_with_it() -> Result<()> {
    let (world, node) = one_pod("dead").await?;
    let before = pods_on(&world, &node).await?.pop().context("no pod")?;
    world.label_node(&node, "sim.test/managed", None).await?;
    let output = drain(&world, &[&node.name, "--timeout", "15s"]).await?;
    assert_eq!(output.code, Some(6), "{output}");
    assert!(output.elapsed >= Duration::from_secs(15) && output.elapsed < Duration::from_secs(20), "{output}");
    let said = format!("node {} is not Ready", node.name);
    assert!(output.stderr.contains(&said), "{said}\n{output}");
    let may = "its kubelet may never confirm that Pods stopped";
    assert!(output.stderr.contains(may), "{output}");
    let hint = format!(
        "hint: if the machine is off for good: kubectl taint node {} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute",
        node.name
    );
    assert!(output.stderr.contains(&hint), "{output}");
    let left = format!("{}/{}", world.namespace, before.name_any());
    assert!(
        output.stderr.lines().any(|line| line.contains("left on node") && line.contains(&left)),
        "{left}\n{output}"
    );
    assert!(output.stderr.contains("the timeout of 15s passed"), "{output}");
    assert_eq!(removed(&world).await?, [before.name_any()]);
    Ok(())
}

#[tokio::test]
async fn every_line_of_json_parses_and_the_result_is_last() -> Result<()> {
    let held = Held::create("json").await?;
    let world = &held.world;
    world.daemon_set("agent").create().await?;
    world.pod("bare").on(&held.a).create().await?;
    world.until_pods("the agents", |pods| super::ready_of(pods, "agent").count() == 2).await?;
    world.until_pods("the bare pod", |pods| super::ready_of(pods, "bare").count() == 1).await?;
    let on_it: BTreeSet<String> = pods_on(world, &held.a).await?.iter().filter_map(ResourceExt::uid).collect();
    assert_eq!(on_it.len(), 3);
    let args = [held.a.name.as_str(), "--ignore-daemonsets", "--force", "-o", "json", "--deadline", "4s"];
    let output = drain(world, &args).await?;
    assert_eq!(output.code, Some(6), "{output}");
    check_stream(&output, &on_it)?;
    let lines: Vec<Value> = output.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let result = lines.last().unwrap();
    let outcomes: BTreeSet<(&str, &str)> = result["pods"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|pod| Some((pod["name"].as_str()?.split('-').next()?, pod["outcome"].as_str()?)))
        .collect();
    assert_eq!(outcomes, [("agent", "Skipped"), ("bare", "Evicted"), ("web", "Left")].into(), "{result:#}");
    assert_eq!(result["nodes"][0]["outcome"], "LeftCordoned", "{result:#}");
    let wait = lines.iter().find(|line| line["type"] == "WaitBegan").expect("a wait");
    assert_eq!((&wait["code"], &wait["pods"]), (&json!("Budget"), &json!(1)), "{wait:#}");

    // Going on from there.
    held.release().await?;
    world.until_pods("the sibling", |pods| super::ready_of(pods, "web").count() == 2).await?;
    world.budget_settled("web").await?;
    let on_it: BTreeSet<String> = pods_on(world, &held.a).await?.iter().filter_map(ResourceExt::uid).collect();
    let output = drain(world, &[&held.a.name, "--ignore-daemonsets", "-o", "json"]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    check_stream(&output, &on_it)
}

/// Every line is a document, the last one the result, which has each pod once.
fn check_stream(output: &lab::Output, uids: &BTreeSet<String>) -> Result<()> {
    let lines: Vec<Value> = output.stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let (result, events) = lines.split_last().context("no line")?;
    assert_eq!((&result["kind"], &result["apiVersion"]), (&json!("DrainResult"), &json!("disruption/v1alpha1")));
    assert_eq!(result["exitCode"].as_i64(), output.code.map(i64::from), "{result:#}");
    assert!(events.iter().all(|event| event["type"].is_string() && event["at"].is_string()), "{output}");
    let pods = result["pods"].as_array().context("no pods")?;
    let seen: BTreeSet<String> = pods.iter().filter_map(|pod| pod["uid"].as_str().map(str::to_owned)).collect();
    assert_eq!((pods.len(), &seen), (uids.len(), uids), "{result:#}");
    for kind in ["PodEvicting", "PodEnded"] {
        let of_kind: Vec<&Value> =
            events.iter().filter(|event| event["type"] == kind).map(|event| &event["uid"]).collect();
        let distinct: BTreeSet<&str> = of_kind.iter().filter_map(|uid| uid.as_str()).collect();
        assert_eq!(of_kind.len(), distinct.len(), "{kind} once a pod: {output}");
    }
    Ok(())
}

#[tokio::test]
async fn a_pod_that_lands_meanwhile_is_drained_too() -> Result<()> {
    let held = Held::create("lands").await?;
    let world = &held.world;
    let running = start(world, &[&held.a.name, "--force"])?;
    until_cordoned(world, &held.a).await?;
    until_node(world, &held.a, "the cordon's taint", |node| node.is_some_and(is_tainted)).await?;
    let toleration = json!({"key": "node.kubernetes.io/unschedulable", "operator": "Exists"});
    world.pod("late").tolerate(toleration).pinned_to(&held.a).create().await?;
    let late = |pods: &[Pod]| {
        pods.iter().find(|pod| pod.name_any() == "late").is_none_or(|pod| pod.metadata.deletion_timestamp.is_some())
    };
    world.until_pods("the late pod leaving", late).await?;
    held.release().await?;
    let output = end(world, running).await?;
    assert_eq!(output.code, Some(0), "{output}");
    let came = format!("pod {}/late came onto node {} meanwhile\n", world.namespace, held.a.name);
    assert_eq!(output.stderr.matches(&came).count(), 1, "{output}");
    let mut removed = removed(world).await?;
    removed.sort();
    assert_eq!(removed, ["late".to_owned(), held.pod.name_any()], "{output}");
    let on_it = ListParams::default().fields(&format!("spec.nodeName={}", held.a.name));
    assert_eq!(world.api::<Pod>().list(&on_it).await?.items.len(), 0);
    let changes = changes(world).await?;
    assert!(changes.len() >= 4, "{changes:?}");
    Ok(())
}

fn is_tainted(node: &NodeObject) -> bool {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    taints.into_iter().flatten().any(|taint| taint.key == "node.kubernetes.io/unschedulable")
}
