//! What the cluster and its audit log say afterwards, and changes of a pod template before.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt, api::ListParams};
use lab::{World, audit::Request};
use serde_json::{Value, json};

/// Changes the pod template of a workload as `kubectl edit` would, and returns the workload.
pub(crate) async fn change_template(world: &World, object: &str, change: impl FnOnce(&mut Value)) -> Result<Value> {
    let mut template = world.workload(object).await?.pointer("/spec/template").context("no template")?.clone();
    change(&mut template);
    world.patch(object, &json!({"spec": {"template": template}})).await
}

/// All that the world's tool asked to change.
pub(crate) async fn changes(world: &World) -> Result<Vec<String>> {
    let requests = world.requests().await?;
    Ok(requests.iter().filter(|request| request.changes()).map(Request::summary).collect())
}

/// The pods of a workload, those that stop too: the image of the first container and whether it is Ready, sorted.
pub(crate) async fn pods_of(world: &World, name: &str) -> Result<Vec<(String, bool)>> {
    let selected = ListParams::default().labels(&format!("app={name}"));
    let pods = world.api::<Pod>().list(&selected).await?.items;
    let mut pods: Vec<_> = pods.iter().map(|pod| (image(pod), is_ready(pod))).collect();
    pods.sort();
    Ok(pods)
}

/// The versions of the pods of a workload, those that stop too: the hashes of a Deployment's templates, sorted.
pub(crate) async fn versions_of(world: &World, name: &str) -> Result<Vec<String>> {
    let selected = ListParams::default().labels(&format!("app={name}"));
    let pods = world.api::<Pod>().list(&selected).await?.items;
    let mut versions: Vec<_> = pods.iter().filter_map(|pod| pod.labels().get("pod-template-hash").cloned()).collect();
    versions.sort();
    Ok(versions)
}

/// The image of a pod's first container.
pub(crate) fn image(pod: &Pod) -> String {
    let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
    containers.first().and_then(|container| container.image.clone()).unwrap_or_default()
}

/// Whether a pod is Ready.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
