//! Nodes of a world.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1 as core;
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use super::World;
use crate::wait;

/// A node that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Node {
    /// Its full name, which is also its hostname.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// A node to be created.
#[must_use = "nothing exists before `create`"]
pub struct NodeBuilder<'w> {
    world: &'w World,
    name: String,
    object: Value,
}

impl<'w> NodeBuilder<'w> {
    pub(super) fn new(world: &'w World, name: &str) -> Self {
        let name = format!("{}{name}", world.node_prefix);
        let labels = json!({
            "sim.test/managed": "true",
            "test": world.group,
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "topology.kubernetes.io/zone": "a",
        });
        let metadata = json!({"name": name, "labels": labels});
        let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {}});
        Self { world, name, object }
    }

    /// Adds a label.
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.object["metadata"]["labels"][key] = value.into();
        self
    }

    /// Puts it into a zone; `a` if nothing is said.
    pub fn zone(self, zone: &str) -> Self {
        self.label("topology.kubernetes.io/zone", zone)
    }

    /// Adds a taint with an effect like `NoSchedule`.
    pub fn taint(mut self, key: &str, value: &str, effect: &str) -> Self {
        let taint = json!({"key": key, "value": value, "effect": effect});
        match self.object["spec"]["taints"].as_array_mut() {
            Some(taints) => taints.push(taint),
            None => self.object["spec"]["taints"] = json!([taint]),
        }
        self
    }

    /// Cordons it from the start.
    pub fn unschedulable(mut self) -> Self {
        self.object["spec"]["unschedulable"] = true.into();
        self
    }

    /// Limits what fits on it, e.g. `("4", "8Gi", 20)`; 16 CPUs, 64 GiB and 110 pods if nothing is said.
    pub fn capacity(mut self, cpu: &str, memory: &str, pods: u32) -> Self {
        let size = json!({"cpu": cpu, "memory": memory, "pods": pods.to_string(), "ephemeral-storage": "200Gi"});
        self.object["status"] = json!({"capacity": size, "allocatable": size});
        self
    }

    /// Creates the node, or takes the one that is there, and waits until pods can be placed on it.
    ///
    /// # Errors
    /// The apiserver refuses, or the node does not get ready.
    pub async fn create(self) -> Result<Node> {
        let api: Api<core::Node> = Api::all(self.world.client.clone());
        if api.get_opt(&self.name).await?.is_none() {
            let node = serde_json::from_value(self.object)?;
            api.create(&kube::api::PostParams::default(), &node).await?;
        }
        let usable = |node: Option<&core::Node>| {
            node.is_some_and(|node| wait::is_ready("Node", &json!(node)) && !tainted(node, "not-ready"))
        };
        let node = wait::until(api, &self.name, "a ready node", wait::LIMIT, usable).await?;
        let uid = node.and_then(|node| node.uid()).context("a node without a uid")?;
        Ok(Node { name: self.name, uid })
    }
}

impl World {
    /// Sets or removes a label of a node, e.g. `("sim.test/managed", None)` to power it off.
    ///
    /// # Errors
    /// The apiserver refuses.
    pub async fn label_node(&self, node: &Node, key: &str, value: Option<&str>) -> Result<()> {
        let api: Api<core::Node> = Api::all(self.client.clone());
        let patch = json!({"metadata": {"labels": {key: value}}});
        api.patch(&node.name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// Cuts a node's power, or gives it back. Without it nobody renews its lease, and nothing of its pods changes: after
    /// six seconds it is Unknown, and its pods are not Ready.
    ///
    /// # Errors
    /// The apiserver refuses.
    pub async fn power(&self, node: &Node, is_on: bool) -> Result<()> {
        self.label_node(node, "sim.test/managed", is_on.then_some("true")).await
    }

    /// Sets or removes a label of a pod, e.g. `("sim.test/ready", Some("false"))` to fail its probe.
    ///
    /// # Errors
    /// The apiserver refuses.
    pub async fn label_pod(&self, pod: &str, key: &str, value: Option<&str>) -> Result<()> {
        let patch = json!({"metadata": {"labels": {key: value}}});
        self.api::<core::Pod>().patch(pod, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// Cordons or uncordons a node, and waits until the scheduler's taint says the same.
    ///
    /// # Errors
    /// The apiserver refuses.
    pub async fn cordon(&self, node: &Node, cordoned: bool) -> Result<()> {
        self.set_unschedulable(&node.name, cordoned).await
    }

    /// A node as it is now.
    ///
    /// # Errors
    /// There is no such node.
    pub async fn node_now(&self, node: &Node) -> Result<core::Node> {
        Ok(Api::all(self.client.clone()).get(&node.name).await?)
    }

    /// All nodes of the world and whether they are cordoned.
    pub(super) async fn nodes_now(&self) -> Result<Vec<(String, bool)>> {
        let api: Api<core::Node> = Api::all(self.client.clone());
        let nodes = api.list(&ListParams::default().labels(&format!("test={}", self.group))).await?;
        let cordoned = |node: &core::Node| node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false);
        Ok(nodes.iter().map(|node| (node.name_any(), cordoned(node))).collect())
    }

    pub(super) async fn set_unschedulable(&self, node: &str, unschedulable: bool) -> Result<()> {
        let api: Api<core::Node> = Api::all(self.client.clone());
        let patch = json!({"spec": {"unschedulable": unschedulable.then_some(true)}});
        api.patch(node, &PatchParams::default(), &Patch::Merge(patch)).await?;
        let known =
            |node: Option<&core::Node>| node.is_some_and(|node| tainted(node, "unschedulable") == unschedulable);
        wait::until(api, node, "the taint of a cordon", wait::LIMIT, known).await?;
        Ok(())
    }
}

/// An object's `ownerReferences` entry for a node, as mirror pods have it.
pub(super) fn owner(node: &Node) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "name": node.name, "uid": node.uid, "controller": true})
}

fn tainted(node: &core::Node, condition: &str) -> bool {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    taints.into_iter().flatten().any(|taint| taint.key == format!("node.kubernetes.io/{condition}"))
}
