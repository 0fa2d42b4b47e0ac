//! A test's own part of the cluster: a namespace, nodes, and what runs on them.

mod budget;
mod custom;
mod node;
mod rollout;
mod service;
mod workload;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::{
    core::v1::{Namespace, PersistentVolume, Pod, ServiceAccount},
    policy::v1::PodDisruptionBudget,
    rbac::v1::PolicyRule,
    storage::v1::StorageClass,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DynamicObject, ListParams},
    core::{ApiResource, GroupVersionKind, NamespaceResourceScope, Selector},
    runtime::watcher,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

pub(crate) use self::custom::define_kinds;
pub use self::{
    budget::Budget,
    node::{Node, NodeBuilder},
    rollout::Revision,
    workload::Workload,
};
use crate::{
    audit::{Mark, Request},
    identity,
    lab::Lab,
    proxy::{Proxy, Rule},
    wait,
};

/// A namespace with nodes of its own. Its objects are deleted, some time, after it is dropped.
pub struct World {
    lab: Lab,
    client: Client,
    /// The namespace.
    pub namespace: String,
    /// The value of the label `test` of its nodes, which all its pods select.
    group: String,
    node_prefix: String,
    tool: String,
    mark: Mark,
    /// Placing pods cordons nodes for a moment: one workload at a time.
    placing: tokio::sync::Mutex<()>,
    kept: bool,
}

impl World {
    pub(crate) async fn create(lab: &Lab, name: &str) -> Result<Self> {
        let namespace = format!("{name}-{}", crate::state::suffix());
        let mut world = Self::named(lab, &namespace, &namespace).await?;
        world.node_prefix = format!("{namespace}-");
        world.kept = false;
        Ok(world)
    }

    /// A world with a name as given, that outlives this process; `group` names its nodes.
    pub(crate) async fn named(lab: &Lab, namespace: &str, group: &str) -> Result<Self> {
        let client = lab.admin().await?;
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        identity::apply(&Api::<Namespace>::all(client.clone()), namespace, &object).await?;
        // Without its service account a namespace refuses pods.
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
        wait::until(accounts, "default", "service account", wait::LIMIT, |account| account.is_some()).await?;
        Ok(Self {
            mark: lab.audit().mark()?,
            lab: lab.clone(),
            client,
            namespace: namespace.to_owned(),
            group: group.to_owned(),
            node_prefix: String::new(),
            tool: format!("tool-{namespace}"),
            placing: tokio::sync::Mutex::new(()),
            kept: true,
        })
    }

    /// The lab it is in.
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// The client that sets the world up.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The objects of a kind in the namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The kubeconfig of the world's own tool: a user with all rights, whom [`World::requests`] follows.
    ///
    /// # Errors
    /// The certificate cannot be made.
    pub fn tool(&self) -> Result<PathBuf> {
        let path = self.lab.kubeconfig_of(&self.tool);
        if path.exists() { Ok(path) } else { self.lab.powerful_user(&self.tool) }
    }

    /// A proxy that forwards as the world's tool, and lets requests fail as the rules say.
    ///
    /// # Errors
    /// There is no port, or no such user.
    pub async fn proxy(&self, rules: impl IntoIterator<Item = Rule>) -> Result<Proxy> {
        self.tool()?;
        Proxy::start(self.lab.client(&self.tool).await?, rules.into_iter().collect()).await
    }

    /// The kubeconfig of a user with the rights that `rules` give. [`World::requests_by`] follows it by `name`.
    ///
    /// # Errors
    /// The apiserver refuses.
    pub async fn user(&self, name: &str, rules: &[PolicyRule]) -> Result<PathBuf> {
        let user = self.user_name(name);
        identity::limited_user(self.lab.state(), &self.client, &user, rules, &self.group).await
    }

    /// What the world's tool has asked of the apiserver.
    ///
    /// # Errors
    /// The lab is gone.
    pub async fn requests(&self) -> Result<Vec<Request>> {
        self.lab.audit().since(self.mark).by(&self.tool).await
    }

    /// What a user made by [`World::user`] has asked of the apiserver.
    ///
    /// # Errors
    /// The lab is gone.
    pub async fn requests_by(&self, name: &str) -> Result<Vec<Request>> {
        self.lab.audit().since(self.mark).by(&self.user_name(name)).await
    }

    /// Creates or changes any object; the namespace is ours if the kind has namespaces and none is given.
    ///
    /// # Errors
    /// The apiserver refuses, or `object` has no kind or name.
    pub async fn apply(&self, object: Value) -> Result<DynamicObject> {
        let named: DynamicObject = serde_json::from_value(object.clone()).context("an object needs metadata")?;
        let types = named.types.as_ref().context("an object needs apiVersion and kind")?;
        let gvk = GroupVersionKind::try_from(types)?;
        let (resource, capabilities) = kube::discovery::pinned_kind(&self.client, &gvk).await?;
        let api = match (capabilities.scope, &named.metadata.namespace) {
            (kube::discovery::Scope::Cluster, _) => Api::all_with(self.client.clone(), &resource),
            (_, Some(namespace)) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            (_, None) => Api::namespaced_with(self.client.clone(), &self.namespace, &resource),
        };
        identity::apply(&api, &named.name_any(), &object).await
    }

    /// A node, to be described further and created. It is called after the namespace and `name`.
    pub fn node(&self, name: &str) -> NodeBuilder<'_> {
        NodeBuilder::new(self, name)
    }

    /// Creates plain nodes.
    ///
    /// # Errors
    /// As [`NodeBuilder::create`].
    pub async fn nodes<const N: usize>(&self, names: [&str; N]) -> Result<[Node; N]> {
        let nodes = futures::future::try_join_all(names.map(|name| self.node(name).create())).await?;
        nodes.try_into().map_err(|_| anyhow::anyhow!("as many nodes as names"))
    }

    /// A Deployment, to be described further and created.
    pub fn deployment(&self, name: &str) -> Workload<'_> {
        Workload::new(self, "apps/v1", "Deployment", name)
    }

    /// A bare ReplicaSet.
    pub fn replica_set(&self, name: &str) -> Workload<'_> {
        Workload::new(self, "apps/v1", "ReplicaSet", name)
    }

    /// A ReplicationController.
    pub fn replication_controller(&self, name: &str) -> Workload<'_> {
        Workload::new(self, "v1", "ReplicationController", name)
    }

    /// A StatefulSet.
    pub fn stateful_set(&self, name: &str) -> Workload<'_> {
        Workload::new(self, "apps/v1", "StatefulSet", name)
    }

    /// A DaemonSet, on all nodes of the world.
    pub fn daemon_set(&self, name: &str) -> Workload<'_> {
        Workload::new(self, "apps/v1", "DaemonSet", name)
    }

    /// A Job; its pods run for an hour unless told otherwise with `sim("run-duration", "1s")`.
    pub fn job(&self, name: &str) -> Workload<'_> {
        Workload::new(self, "batch/v1", "Job", name).sim("run-duration", "1h")
    }

    /// A pod that nothing replaces.
    pub fn pod(&self, name: &str) -> Workload<'_> {
        Workload::new(self, "v1", "Pod", name)
    }

    /// A PodDisruptionBudget, by default for the pods of the workload with the same name.
    pub fn pod_disruption_budget(&self, name: &str) -> Budget<'_> {
        Budget::new(self, name)
    }

    /// A volume that exists on one node only, for the claim `claim`, e.g. `data-db-0`.
    ///
    /// # Errors
    /// The apiserver refuses.
    pub async fn local_volume(&self, claim: &str, node: &Node) -> Result<()> {
        let class = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "local"},
            "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer",
        });
        identity::apply(&Api::<StorageClass>::all(self.client.clone()), "local", &class).await?;
        let name = format!("{}-{claim}", self.namespace);
        let volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume",
            "metadata": {"name": name, "labels": {"test": self.group}},
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": "local",
                "local": {"path": format!("/mnt/{claim}")},
                // No uid: the first claim of that name gets it.
                "claimRef": {"kind": "PersistentVolumeClaim", "namespace": self.namespace, "name": claim},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                    {"key": "kubernetes.io/hostname", "operator": "In", "values": [node.name]},
                ]}]}},
            },
        });
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        if volumes.get_opt(&name).await?.is_none() {
            identity::apply(&volumes, &name, &volume).await?;
        }
        Ok(())
    }

    /// An owner of a kind of its own, with a scale subresource: `widgets.lab.test`. It controls nothing by itself;
    /// give its pods to it with [`Workload::owned_by`] and the label `app: <name>`.
    ///
    /// # Errors
    /// The apiserver refuses.
    pub async fn widget(&self, name: &str, replicas: i32) -> Result<DynamicObject> {
        custom::widget(self, name, replicas).await
    }

    /// As [`World::widget`], without a scale subresource: `gadgets.lab.test`.
    ///
    /// # Errors
    /// The apiserver refuses.
    pub async fn gadget(&self, name: &str) -> Result<DynamicObject> {
        custom::gadget(self, name).await
    }

    /// Waits until an object does what it is meant to do, e.g. `deployment/web`, `pod/debug` or `node/<full name>`.
    ///
    /// # Errors
    /// It does not within [`wait::LIMIT`]; the text shows it.
    pub async fn ready(&self, object: &str) -> Result<()> {
        let (kind, name, api) = self.object(object)?;
        let holds = |object: Option<&DynamicObject>| object.is_some_and(|object| wait::is_ready(kind, &json!(object)));
        wait::until(api, name, &format!("a ready {kind}"), wait::LIMIT, holds).await?;
        Ok(())
    }

    /// Waits until exactly `count` pods exist that are not being deleted, all of them ready, and returns them.
    ///
    /// # Errors
    /// They do not within [`wait::LIMIT`].
    pub async fn pods_ready(&self, count: usize) -> Result<Vec<Pod>> {
        self.until_pods(&format!("{count} ready pods"), |pods| {
            let staying: Vec<&Pod> = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect();
            staying.len() == count && staying.iter().all(|pod| wait::is_ready("Pod", &json!(pod)))
        })
        .await
    }

    /// Waits until `holds` is true of all pods of the namespace, and returns them.
    ///
    /// # Errors
    /// It is not within [`wait::LIMIT`].
    pub async fn until_pods(&self, what: &str, holds: impl Fn(&[Pod]) -> bool) -> Result<Vec<Pod>> {
        wait::until_all(self.api(), watcher::Config::default(), what, wait::LIMIT, holds).await
    }

    /// Waits until `holds` is true of one object of the namespace, which may be absent.
    ///
    /// # Errors
    /// It is not within `limit`.
    pub async fn until<K>(
        &self,
        name: &str,
        what: &str,
        limit: Duration,
        holds: impl Fn(Option<&K>) -> bool,
    ) -> Result<Option<K>>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
        K: Clone + std::fmt::Debug + Serialize + DeserializeOwned + Send + 'static,
    {
        wait::until(self.api(), name, what, limit, holds).await
    }

    /// Waits until the status of a budget is about its present spec and pods, and returns the budget.
    ///
    /// The pods must be at rest: the ready ones are counted once.
    ///
    /// # Errors
    /// The status does not get there within [`wait::LIMIT`].
    pub async fn budget_settled(&self, name: &str) -> Result<PodDisruptionBudget> {
        let budget = self.api::<PodDisruptionBudget>().get(name).await?;
        let selector = budget.spec.and_then(|spec| spec.selector).unwrap_or_default();
        let selected = ListParams::default().labels_from(&Selector::try_from(selector)?);
        let pods = self.api::<Pod>().list(&selected).await?.items;
        let healthy = pods.iter().filter(|pod| wait::is_ready("Pod", &json!(pod))).count();
        let settled = |budget: Option<&PodDisruptionBudget>| {
            budget.is_some_and(|budget| {
                budget.status.as_ref().is_some_and(|status| {
                    status.observed_generation >= budget.metadata.generation
                        && status.current_healthy.and_then(|count| usize::try_from(count).ok()) == Some(healthy)
                        && status.disrupted_pods.iter().flatten().next().is_none()
                })
            })
        };
        let what = format!("a budget that knows of {healthy} healthy pods");
        self.until(name, &what, wait::LIMIT, settled).await?.context("the budget is gone")
    }

    /// The names of the pods on a node that are not being deleted, sorted.
    ///
    /// # Errors
    /// The apiserver refuses.
    pub async fn pods_on(&self, node: &Node) -> Result<Vec<String>> {
        let on_node = ListParams::default().fields(&format!("spec.nodeName={}", node.name));
        let mut pods = self.api::<Pod>().list(&on_node).await?.items;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        Ok(pods.iter().map(ResourceExt::name_any).collect())
    }

    /// What `kind/name` means: the kind as objects write it, the name, and where such objects are.
    fn object<'o>(&self, object: &'o str) -> Result<(&'static str, &'o str, Api<DynamicObject>)> {
        let (kind, name) = object.split_once('/').context("kind/name, please")?;
        let (kind, resource) = resource(kind)?;
        let api = if kind == "Node" {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
        };
        Ok((kind, name, api))
    }

    fn user_name(&self, name: &str) -> String {
        format!("{name}-{}", self.namespace)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !self.kept {
            self.lab.forget(&self.namespace);
        }
    }
}

fn resource(kind: &str) -> Result<(&'static str, ApiResource)> {
    let (group, version, kind, plural) = match kind {
        "deployment" => ("apps", "v1", "Deployment", "deployments"),
        "replicaset" => ("apps", "v1", "ReplicaSet", "replicasets"),
        "statefulset" => ("apps", "v1", "StatefulSet", "statefulsets"),
        "daemonset" => ("apps", "v1", "DaemonSet", "daemonsets"),
        "replicationcontroller" => ("", "v1", "ReplicationController", "replicationcontrollers"),
        "job" => ("batch", "v1", "Job", "jobs"),
        "pod" => ("", "v1", "Pod", "pods"),
        "node" => ("", "v1", "Node", "nodes"),
        _ => bail!("nobody knows what a {kind} is"),
    };
    Ok((kind, ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)))
}
