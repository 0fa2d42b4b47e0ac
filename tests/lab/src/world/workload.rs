//! What runs in a world: pods, and what makes pods.

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
    runtime::watcher,
};
use serde_json::{Map, Value, json};

use super::{Node, World, node};
use crate::wait;

/// A pod, or an object that makes pods, to be created. Its pods carry the label `app: <name>`.
#[must_use = "nothing exists before `create`"]
pub struct Workload<'w> {
    world: &'w World,
    version: &'static str,
    kind: &'static str,
    name: String,
    replicas: i32,
    placement: Vec<(String, i32)>,
    /// The pod's `metadata` and `spec`.
    pod: Value,
    /// The object's own metadata and spec, without the pod's.
    object: Value,
    patch: Value,
}

impl<'w> Workload<'w> {
    pub(super) fn new(world: &'w World, version: &'static str, kind: &'static str, name: &str) -> Self {
        let pod = json!({
            "metadata": {"labels": {"app": name}},
            "spec": {
                "nodeSelector": {"test": world.group},
                "containers": [{"name": "main", "image": "registry.test/app:1"}],
            },
        });
        Self {
            world,
            version,
            kind,
            name: name.to_owned(),
            replicas: 1,
            placement: Vec::new(),
            pod,
            object: json!({"metadata": {"name": name}, "spec": {}}),
            patch: json!({}),
        }
    }

    /// How many pods; of a Job, how many at a time.
    pub fn replicas(mut self, count: i32) -> Self {
        self.replicas = count;
        self
    }

    /// Starts all pods on `node`. Pods that replace them go wherever they fit.
    pub fn on(mut self, node: &Node) -> Self {
        self.placement = vec![(node.name.clone(), i32::MAX)];
        self
    }

    /// Starts so many pods on each node. Pods that replace them go wherever they fit.
    pub fn on_each(mut self, placement: &[(&Node, i32)]) -> Self {
        self.placement = placement.iter().map(|(node, count)| (node.name.clone(), *count)).collect();
        self.replicas = placement.iter().map(|(_, count)| count).sum();
        self
    }

    /// Lets pods run on `node` only, those that replace others too.
    pub fn pinned_to(mut self, node: &Node) -> Self {
        self.pod["spec"]["nodeSelector"]["kubernetes.io/hostname"] = node.name.clone().into();
        self
    }

    /// A rolling update may have so many pods too many: a number or a percentage.
    pub fn max_surge(mut self, pods: impl Into<Value>) -> Self {
        let strategy = self.strategy();
        self.object["spec"][strategy]["rollingUpdate"]["maxSurge"] = pods.into();
        self
    }

    /// A rolling update may have so many pods too few: a number or a percentage.
    pub fn max_unavailable(mut self, pods: impl Into<Value>) -> Self {
        let strategy = self.strategy();
        self.object["spec"][strategy]["rollingUpdate"]["maxUnavailable"] = pods.into();
        self
    }

    /// A Deployment ends all old pods before it makes new ones.
    pub fn strategy_recreate(mut self) -> Self {
        self.object["spec"]["strategy"] = json!({"type": "Recreate"});
        self
    }

    /// A StatefulSet or DaemonSet changes a pod only when somebody deletes it.
    pub fn on_delete(mut self) -> Self {
        self.object["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
        self
    }

    /// A StatefulSet leaves pods with a lower number as they are.
    pub fn partition(mut self, number: i32) -> Self {
        self.object["spec"]["updateStrategy"]["rollingUpdate"]["partition"] = number.into();
        self
    }

    /// A StatefulSet makes its pods all at once.
    pub fn parallel(mut self) -> Self {
        self.object["spec"]["podManagementPolicy"] = "Parallel".into();
        self
    }

    /// So many old versions are kept.
    pub fn revision_history_limit(mut self, count: i32) -> Self {
        self.object["spec"]["revisionHistoryLimit"] = count.into();
        self
    }

    /// Why the object is as it is, for the history of its rollouts.
    pub fn change_cause(mut self, text: &str) -> Self {
        self.object["metadata"]["annotations"]["kubernetes.io/change-cause"] = text.into();
        self
    }

    /// A rollout counts as failed after so many seconds without progress.
    pub fn progress_deadline(mut self, seconds: i32) -> Self {
        self.object["spec"]["progressDeadlineSeconds"] = seconds.into();
        self
    }

    /// A pod counts as available when it was ready for so long.
    pub fn min_ready_seconds(mut self, seconds: i32) -> Self {
        self.object["spec"]["minReadySeconds"] = seconds.into();
        self
    }

    /// Adds a label to the pods.
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.pod["metadata"]["labels"][key] = value.into();
        self
    }

    /// Adds an annotation to the pods.
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.pod["metadata"]["annotations"][key] = value.into();
        self
    }

    /// The container's image, e.g. `registry.test/app:sim-imagepull` for one that cannot be pulled.
    pub fn image(self, image: &str) -> Self {
        self.container("image", image.into())
    }

    /// How the pods behave: the annotation `sim.test/<key>`.
    pub fn sim(self, key: &str, value: &str) -> Self {
        self.annotation(&format!("sim.test/{key}"), value)
    }

    /// How the pods fare: `unready`, `flap`, `crash`, `stuck-creating`, `stuck-terminating` and the like; all of them
    /// are in the lab's README.md, as are the keys of [`Workload::sim`].
    pub fn scenario(self, scenario: &str) -> Self {
        self.sim("scenario", scenario)
    }

    /// The time from placed to running, e.g. `2s`.
    pub fn start_delay(self, duration: &str) -> Self {
        self.sim("start-delay", duration)
    }

    /// The time from running to ready, e.g. `20s`.
    pub fn ready_delay(self, duration: &str) -> Self {
        self.sim("ready-delay", duration)
    }

    /// The time a pod takes to stop, at most its grace period.
    pub fn stop_seconds(self, seconds: f64) -> Self {
        self.sim("stop-seconds", &seconds.to_string())
    }

    /// The grace period.
    pub fn grace_seconds(self, seconds: i64) -> Self {
        self.pod_spec("terminationGracePeriodSeconds", seconds.into())
    }

    /// Adds an emptyDir volume, which dies with the pod.
    pub fn empty_dir(self) -> Self {
        self.volume(json!({"name": "scratch", "emptyDir": {}}), "/scratch")
    }

    /// Adds a hostPath volume, which stays on the node.
    pub fn host_path(self, path: &str) -> Self {
        self.volume(json!({"name": "host", "hostPath": {"path": path}}), "/host")
    }

    /// Adds a volume claim per pod of a StatefulSet; see [`World::local_volume`].
    pub fn volume_claim(mut self, name: &str) -> Self {
        self.object["spec"]["volumeClaimTemplates"] = json!([{
            "metadata": {"name": name},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "local",
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }]);
        self
    }

    /// Adds a finalizer to the pods: they stay until somebody removes it.
    pub fn finalizer(mut self, name: &str) -> Self {
        self.pod["metadata"]["finalizers"] = json!([name]);
        self
    }

    /// The priority class of the pods, e.g. `system-cluster-critical`.
    pub fn priority_class(self, name: &str) -> Self {
        self.pod_spec("priorityClassName", name.into())
    }

    /// Adds a toleration.
    pub fn tolerate(mut self, toleration: Value) -> Self {
        match self.pod["spec"]["tolerations"].as_array_mut() {
            Some(tolerations) => tolerations.push(toleration),
            None => self.pod["spec"]["tolerations"] = json!([toleration]),
        }
        self
    }

    /// The container's port.
    pub fn port(self, port: u16) -> Self {
        self.container("ports", json!([{"containerPort": port}]))
    }

    /// What the container asks for, e.g. `("500m", "64Mi")`.
    pub fn requests(self, cpu: &str, memory: &str) -> Self {
        self.container("resources", json!({"requests": {"cpu": cpu, "memory": memory}}))
    }

    /// Adds a readiness probe: a pod whose scenario is `crash` or `oom` then never gets ready. When the probe succeeds,
    /// `ready_delay` says.
    pub fn readiness_probe(self) -> Self {
        self.container("readinessProbe", json!({"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1}))
    }

    /// A field of the first container.
    pub fn container(mut self, field: &str, value: Value) -> Self {
        self.pod["spec"]["containers"][0][field] = value;
        self
    }

    /// Adds a container beside the first one.
    pub fn second_container(self, name: &str, image: &str) -> Self {
        self.add("/spec", "containers", json!({"name": name, "image": image}))
    }

    /// Adds a container that runs before the others.
    pub fn init_container(self, name: &str, image: &str) -> Self {
        self.add("/spec", "initContainers", json!({"name": name, "image": image}))
    }

    /// Adds a volume of a `ConfigMap`. Only the scenario `mount-error` makes it fail, whether the map exists or not.
    pub fn config_map_volume(self, map: &str) -> Self {
        self.volume(json!({"name": "config", "configMap": {"name": map}}), "/config")
    }

    /// A hook before the container stops, e.g. `json!({"sleep": {"seconds": 5}})`. kwok does not run it.
    pub fn pre_stop(self, handler: &Value) -> Self {
        self.container("lifecycle", json!({"preStop": handler}))
    }

    /// Gives the object a controlling owner, e.g. a widget.
    pub fn owned_by(mut self, owner: &DynamicObject) -> Self {
        let types = owner.types.clone().unwrap_or_default();
        self.object["metadata"]["ownerReferences"] = json!([{
            "apiVersion": types.api_version, "kind": types.kind, "name": owner.name_any(), "uid": owner.uid(),
            "controller": true, "blockOwnerDeletion": true,
        }]);
        self
    }

    /// Makes a pod the mirror of a static pod of `node`, where it runs.
    pub fn mirror_on(mut self, node: &Node) -> Self {
        self = self.on(node).annotation("kubernetes.io/config.mirror", "0123456789abcdef");
        self.object["metadata"]["ownerReferences"] = json!([node::owner(node)]);
        self
    }

    /// Whatever else: a JSON merge patch over the object that will be created.
    pub fn patch(mut self, patch: Value) -> Self {
        merge(&mut self.patch, patch);
        self
    }

    /// Creates the object and waits until its pods are where they are wanted. If it is there already, so be it.
    ///
    /// # Errors
    /// The apiserver refuses, or the pods do not fit on the nodes.
    pub async fn create(self) -> Result<DynamicObject> {
        let gvk = match self.version.split_once('/') {
            Some((group, version)) => GroupVersionKind::gvk(group, version, self.kind),
            None => GroupVersionKind::gvk("", self.version, self.kind),
        };
        let resource = ApiResource::from_gvk(&gvk);
        let world = self.world;
        let api: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), &world.namespace, &resource);
        if let Some(present) = api.get_opt(&self.name).await? {
            return Ok(present);
        }
        let mut object = self.rendered();
        let Some(field) = self.scale().filter(|_| !self.placement.is_empty()) else {
            return Ok(api.create(&PostParams::default(), &serde_json::from_value(object)?).await?);
        };
        object["spec"][field] = 0.into();
        api.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
        self.place(&api, field).await?;
        Ok(api.get(&self.name).await?)
    }

    fn rendered(&self) -> Value {
        let Self { version, kind, name, replicas, pod, .. } = self;
        let mut object = self.object.clone();
        object["apiVersion"] = (*version).into();
        object["kind"] = (*kind).into();
        let labels = &pod["metadata"]["labels"];
        match *kind {
            "Pod" => {
                merge(&mut object, pod.clone());
                if let Some((node, _)) = self.placement.first() {
                    object["spec"]["nodeName"] = node.clone().into();
                }
            }
            "Job" => {
                object["spec"]["template"] = pod.clone();
                object["spec"]["template"]["spec"]["restartPolicy"] = "Never".into();
            }
            "ReplicationController" => {
                object["spec"]["template"] = pod.clone();
                object["spec"]["selector"] = json!({"app": name});
            }
            _ => {
                object["spec"]["template"] = pod.clone();
                object["spec"]["selector"] = json!({"matchLabels": {"app": name}});
            }
        }
        if *kind == "StatefulSet" {
            object["spec"]["serviceName"] = name.clone().into();
        }
        if *kind != "Pod" {
            // What owns the pods is found by the same labels as they are.
            object["metadata"]["labels"] = labels.clone();
        }
        if let Some(field) = self.scale() {
            object["spec"][field] = (*replicas).into();
        }
        merge(&mut object, self.patch.clone());
        object
    }

    /// The field that says how many pods.
    fn scale(&self) -> Option<&'static str> {
        match self.kind {
            "Pod" | "DaemonSet" => None,
            "Job" => Some("parallelism"),
            _ => Some("replicas"),
        }
    }

    /// Scales up in steps, and cordons all nodes but one in each: where a pod template would say where pods belong,
    /// it would say so of their replacements too.
    async fn place(&self, api: &Api<DynamicObject>, field: &str) -> Result<()> {
        let _alone = self.world.placing.lock().await;
        let before = self.world.nodes_now().await?;
        let placed = self.place_in_steps(api, field, &before).await;
        for (name, now) in self.world.nodes_now().await? {
            let then = before.iter().any(|(node, cordoned)| *node == name && *cordoned);
            if now != then {
                self.world.set_unschedulable(&name, then).await?;
            }
        }
        placed
    }

    async fn place_in_steps(&self, api: &Api<DynamicObject>, field: &str, nodes: &[(String, bool)]) -> Result<()> {
        let mut total = 0;
        let mut now: Vec<(String, bool)> = nodes.to_vec();
        for (target, count) in &self.placement {
            for (name, cordoned) in &mut now {
                let wanted = name != target;
                if *cordoned != wanted {
                    self.world.set_unschedulable(name, wanted).await?;
                    *cordoned = wanted;
                }
            }
            total = count.saturating_add(total).min(self.replicas);
            let patch = json!({"spec": {field: total}});
            api.patch(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await?;
            self.await_placed(usize::try_from(total)?)
                .await
                .with_context(|| format!("placing {} on {target}", self.name))?;
        }
        self.check_placement().await
    }

    async fn await_placed(&self, total: usize) -> Result<Vec<Pod>> {
        let which = watcher::Config::default().labels(&format!("app={}", self.name));
        let placed = |pods: &[Pod]| pods.iter().filter(|pod| node_of(pod).is_some()).count() == total;
        wait::until_all(self.world.api(), which, &format!("{total} placed pods"), wait::LIMIT, placed).await
    }

    async fn check_placement(&self) -> Result<()> {
        let pods = self.await_placed(usize::try_from(self.replicas)?).await?;
        for (target, count) in &self.placement {
            let there = pods.iter().filter(|pod| node_of(pod) == Some(target)).count();
            if there != usize::try_from((*count).min(self.replicas))? {
                bail!("{there} pods of {} are on {target}, not {count}", self.name);
            }
        }
        Ok(())
    }

    /// The field that says how pods are replaced.
    fn strategy(&self) -> &'static str {
        if self.kind == "Deployment" { "strategy" } else { "updateStrategy" }
    }

    fn pod_spec(mut self, field: &str, value: Value) -> Self {
        self.pod["spec"][field] = value;
        self
    }

    fn volume(self, volume: Value, path: &str) -> Self {
        let mount = json!({"name": volume["name"], "mountPath": path});
        self.add("/spec", "volumes", volume).add("/spec/containers/0", "volumeMounts", mount)
    }

    fn add(mut self, holder: &str, list: &str, item: Value) -> Self {
        if let Some(holder) = self.pod.pointer_mut(holder).and_then(Value::as_object_mut)
            && let Some(items) = holder.entry(list).or_insert_with(|| json!([])).as_array_mut()
        {
            items.push(item);
        }
        self
    }
}

fn node_of(pod: &Pod) -> Option<&String> {
    pod.spec.as_ref()?.node_name.as_ref()
}

/// JSON merge patch, RFC 7386.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(target) = target {
        for (key, value) in patch {
            if value.is_null() {
                target.remove(&key);
            } else {
                merge(target.entry(key).or_insert(Value::Null), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_patch_adds_replaces_and_removes() {
        let mut object = json!({"spec": {"a": 1, "b": {"c": 2}}});
        merge(&mut object, json!({"spec": {"a": null, "b": {"d": 3}, "e": [4]}}));
        assert_eq!(object, json!({"spec": {"b": {"c": 2, "d": 3}, "e": [4]}}));
    }
}
