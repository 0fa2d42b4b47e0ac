//! Drains for real: what the cluster and its audit log say afterwards is the oracle.

mod budget;
mod faults;
mod gate;
mod interrupt;
mod killed;
mod many;
mod recorder;
mod rivals;
mod scenes;
mod table;
mod trouble;

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Node as NodeObject, Pod};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use lab::{Node, Output, Running, World, audit::Request, wait};
use serde_json::{Value, json};

use crate::runner::{program, safe_drain};

/// The annotation with a drain's record.
const RECORD: &str = "kubectl-safe-drain/run";

/// Drains to the end, and checks what was asked of the API server.
async fn drain(world: &World, args: &[&str]) -> Result<Output> {
    let output = safe_drain(world, args).await?;
    check_removals(&world.requests().await?);
    Ok(output)
}

/// Begins a drain.
fn start(world: &World, args: &[&str]) -> Result<Running> {
    lab::run(&program()?).kubeconfig(&world.tool()?).args(args).start()
}

/// Waits for the end of a drain, and checks what was asked of the API server.
async fn end(world: &World, running: Running) -> Result<Output> {
    let output = running.end().await?;
    check_removals(&world.requests().await?);
    Ok(output)
}

/// Every eviction and deletion named the pod's UID, no field was ignored, and no UID was accepted twice.
#[track_caller]
fn check_removals(requests: &[Request]) {
    let mut accepted = BTreeSet::new();
    for request in removals(requests) {
        let body = request.request_object.clone().unwrap_or_default();
        let options = if request.subresource == "eviction" {
            assert!(request.uri.contains("fieldValidation=Strict"), "{}", request.uri);
            &body["deleteOptions"]
        } else {
            &body
        };
        let uid = options["preconditions"]["uid"].as_str();
        assert!(uid.is_some_and(|uid| uid.len() == 36), "no UID in {}: {body:#}", request.summary());
        if request.code < 300 {
            assert!(accepted.insert(uid.map(str::to_owned)), "accepted twice: {}", request.summary());
        }
    }
}

/// The requests that are to remove a pod.
fn removals(requests: &[Request]) -> impl Iterator<Item = &Request> {
    requests
        .iter()
        .filter(|request| request.resource == "pods" && (request.subresource == "eviction" || request.verb == "delete"))
}

/// The UID that a removal names.
fn uid_of(removal: &Request) -> &str {
    let body = removal.request_object.as_ref().unwrap_or(&Value::Null);
    let options = if removal.subresource == "eviction" { &body["deleteOptions"] } else { body };
    options["preconditions"]["uid"].as_str().unwrap_or_default()
}

/// The accepted removals of the world's tool, in the order of their arrival.
async fn accepted(world: &World) -> Result<Vec<Request>> {
    let requests = world.requests().await?;
    Ok(removals(&requests).filter(|request| request.code < 300).cloned().collect())
}

/// The names of the pods that were evicted or deleted, in the order of their requests.
async fn removed(world: &World) -> Result<Vec<String>> {
    Ok(accepted(world).await?.into_iter().map(|request| request.name).collect())
}

/// All that the world's tool asked to change.
async fn changes(world: &World) -> Result<Vec<String>> {
    let requests = world.requests().await?;
    Ok(requests.iter().filter(|request| request.changes()).map(Request::summary).collect())
}

/// Whether a node is cordoned, and its drain's record.
async fn stands(world: &World, node: &Node) -> Result<(bool, Option<Value>)> {
    let node = world.node_now(node).await?;
    let record = node.annotations().get(RECORD).map(|text| serde_json::from_str(text)).transpose()?;
    Ok((is_cordoned(&node), record))
}

/// The node is as if nobody had been there.
async fn check_untouched(world: &World, node: &Node) -> Result<()> {
    assert_eq!(stands(world, node).await?, (false, None), "node {} was touched", node.name);
    Ok(())
}

fn is_cordoned(node: &NodeObject) -> bool {
    node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or_default()
}

/// Waits until a node is as it should be; `None` is a deleted one.
async fn until_node(world: &World, node: &Node, what: &str, holds: impl Fn(Option<&NodeObject>) -> bool) -> Result<()> {
    wait::until(nodes(world), &node.name, what, wait::LIMIT, holds).await?;
    Ok(())
}

/// Waits until a drain has cordoned the node and left its record on it.
async fn until_cordoned(world: &World, node: &Node) -> Result<()> {
    let holds = |node: Option<&NodeObject>| {
        node.is_some_and(|node| is_cordoned(node) && node.annotations().contains_key(RECORD))
    };
    until_node(world, node, "a cordon with a record", holds).await
}

/// Waits until a pod of this UID is asked to stop, or is gone.
async fn until_leaving(world: &World, pod: &Pod) -> Result<()> {
    let uid = pod.uid();
    let stays =
        move |pods: &[Pod]| pods.iter().any(|pod| pod.uid() == uid && pod.metadata.deletion_timestamp.is_none());
    world.until_pods(&format!("pod {} leaving", pod.name_any()), |pods| !stays(pods)).await?;
    Ok(())
}

fn nodes(world: &World) -> Api<NodeObject> {
    Api::all(world.client().clone())
}

/// The pods on a node, those that stop too.
async fn pods_on(world: &World, node: &Node) -> Result<Vec<Pod>> {
    let mut pods = world.api::<Pod>().list(&kube::api::ListParams::default()).await?.items;
    pods.retain(|pod| node_of(pod) == node.name);
    Ok(pods)
}

fn node_of(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The pods of `app` that are Ready and stay.
fn ready_of<'a>(pods: &'a [Pod], app: &'a str) -> impl Iterator<Item = &'a Pod> {
    pods.iter().filter(move |pod| {
        pod.labels().get("app").is_some_and(|name| name == app)
            && is_ready(pod)
            && pod.metadata.deletion_timestamp.is_none()
    })
}

async fn remove_finalizers(world: &World, pod: &str) -> Result<()> {
    let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    world.api::<Pod>().patch(pod, &PatchParams::default(), &patch).await?;
    Ok(())
}

/// A scene in which a drain of `a` waits: the pod of `web` there is held by a budget, because its sibling on `b` is
/// not Ready.
struct Held {
    world: World,
    a: Node,
    b: Node,
    /// The pod on `a`.
    pod: Pod,
    /// The name of the pod on `b`.
    sibling: String,
}

impl Held {
    async fn create(name: &str) -> Result<Self> {
        let world = lab::shared()?.world(name).await?;
        let [a, b] = world.nodes(["a", "b"]).await?;
        world.deployment("web").on_each(&[(&a, 1), (&b, 1)]).create().await?;
        world.ready("deployment/web").await?;
        world.pod_disruption_budget("web").max_unavailable(1).create().await?;
        let pod = pods_on(&world, &a).await?.pop().context("no pod on a")?;
        let sibling = world.pods_on(&b).await?.pop().context("no pod on b")?;
        let held = Self { world, a, b, pod, sibling };
        held.world.label_pod(&held.sibling, "sim.test/ready", Some("false")).await?;
        held.world.until_pods("one ready pod", |pods| ready_of(pods, "web").count() == 1).await?;
        held.world.budget_settled("web").await?;
        Ok(held)
    }

    /// Lets the sibling become Ready, and with it the pod go.
    async fn release(&self) -> Result<()> {
        self.world.label_pod(&self.sibling, "sim.test/ready", None).await
    }
}
