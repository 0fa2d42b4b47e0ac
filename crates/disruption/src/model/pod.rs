//! Pods.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Toleration;

use super::{NodeName, ObjectName, OwnerRef, UNSCHEDULABLE_TAINT, Uid, wire};

/// A pod, pruned to what drain decisions read.
#[expect(clippy::struct_excessive_bools, reason = "independent facts about a pod")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Namespace and name.
    pub name: ObjectName,
    /// UID: a pod of the same name with another UID is another pod.
    pub uid: Uid,
    /// The node it is bound to.
    pub node: Option<NodeName>,
    /// Labels, which budgets select by.
    pub labels: BTreeMap<String, String>,
    /// The controlling owner, if any.
    pub controller: Option<OwnerRef>,
    /// Where it is in its life.
    pub phase: Phase,
    /// Whether condition Ready is True.
    pub ready: bool,
    /// Why it isn't Ready: a container's waiting or terminated reason, or the scheduler's.
    pub trouble: Option<String>,
    /// The same in the kubelet's or the scheduler's words.
    pub trouble_message: Option<String>,
    /// Set once it is being deleted.
    pub deletion: Option<Deletion>,
    /// Annotation `kubernetes.io/config.mirror`: a static pod's mirror.
    pub is_mirror: bool,
    /// Its emptyDir volumes.
    pub empty_dirs: Vec<EmptyDir>,
    /// Paths of its hostPath volumes.
    pub host_paths: Vec<String>,
    /// Names of the claims that it mounts.
    pub claims: Vec<String>,
    /// Whether it tolerates the taint of a cordoned node, so that the scheduler may put it straight back.
    pub tolerates_cordon: bool,
    /// Finalizers, which keep the object after the containers have stopped.
    pub finalizers: Vec<String>,
    /// What other tools were told about moving it.
    pub holds: Vec<ToolHold>,
    /// Whether it declares ports and none of its containers delays the stop by a preStop hook.
    pub serves_without_pre_stop: bool,
    /// `spec.priority`.
    pub priority: i32,
    /// `spec.terminationGracePeriodSeconds`, in seconds.
    pub grace_seconds: i64,
    /// Seconds from creation to Ready, for pods that are Ready and never restarted.
    pub start_seconds: Option<i64>,
}

/// `status.phase`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not all containers have started yet; a budget never protects it.
    Pending,
    /// Bound and started.
    Running,
    /// Every container ended well.
    Succeeded,
    /// A container ended badly, for good.
    Failed,
    /// The node was lost, or the phase isn't one of these: treated like Running.
    Unknown,
}

/// A deletion under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deletion {
    /// `deletionTimestamp`: when the grace period ends.
    pub at: Timestamp,
}

/// An emptyDir volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmptyDir {
    /// The volume's name.
    pub volume: String,
    /// Whether its medium is memory.
    pub in_memory: bool,
}

/// A wish that a pod not be moved, addressed to another tool. kubectl drain ignores them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolHold {
    /// Annotation `cluster-autoscaler.kubernetes.io/safe-to-evict: "false"`.
    NotSafeToEvict,
    /// Annotation `karpenter.sh/do-not-disrupt`.
    DoNotDisrupt,
    /// Label `cluster.x-k8s.io/drain: skip`.
    ClusterApiSkip,
    /// Label `cluster.x-k8s.io/drain: wait-completed`.
    ClusterApiWaitCompleted,
}

impl ToolHold {
    /// The annotation or label as it stands on the pod.
    pub const fn key_and_value(self) -> &'static str {
        match self {
            Self::NotSafeToEvict => "cluster-autoscaler.kubernetes.io/safe-to-evict: \"false\"",
            Self::DoNotDisrupt => "karpenter.sh/do-not-disrupt",
            Self::ClusterApiSkip => "cluster.x-k8s.io/drain: skip",
            Self::ClusterApiWaitCompleted => "cluster.x-k8s.io/drain: wait-completed",
        }
    }
}

/// The grace period that the API gives to a pod that names none.
const DEFAULT_GRACE_SECONDS: i64 = 30;

impl Pod {
    /// Reads a pod from its JSON.
    ///
    /// # Errors
    /// Names what does not have the shape of a pod.
    pub fn read(object: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<wire::Pod>(object).map(Self::from)
    }

    /// Succeeded or Failed: nothing runs any more.
    pub fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Succeeded | Phase::Failed)
    }

    /// Being deleted.
    pub fn is_terminating(&self) -> bool {
        self.deletion.is_some()
    }

    /// Ready and not being deleted: what a disruption budget counts as healthy, and what a drain must put back.
    pub fn is_healthy(&self) -> bool {
        self.ready && !self.is_terminating()
    }
}

impl From<wire::Pod> for Pod {
    fn from(mut pod: wire::Pod) -> Self {
        let spec = pod.spec.take().unwrap_or_default();
        let status = pod.status.take().unwrap_or_default();
        let meta = &mut pod.metadata;
        let annotations = meta.annotations.take().unwrap_or_default();
        let labels = meta.labels.take().unwrap_or_default();
        let ready_condition = status.conditions.iter().flatten().find(|condition| condition.r#type == "Ready");
        let ready = ready_condition.is_some_and(|condition| condition.status.as_deref() == Some("True"));
        let created = meta.creation_timestamp;
        let ready_since = ready_condition.and_then(|condition| condition.last_transition_time);
        let restarts: i32 = status.container_statuses.iter().flatten().map(|container| container.restart_count).sum();
        let (trouble, trouble_message) = if ready { (None, None) } else { trouble(&status).unwrap_or_default() };
        let volumes = spec.volumes.as_deref().unwrap_or_default();

        Self {
            controller: OwnerRef::controller_of(meta),
            phase: Phase::read(status.phase.as_deref()),
            ready,
            trouble,
            trouble_message,
            deletion: meta.deletion_timestamp.map(|at| Deletion { at }),
            is_mirror: annotations.contains_key("kubernetes.io/config.mirror"),
            empty_dirs: volumes
                .iter()
                .filter_map(|volume| {
                    let source = volume.empty_dir.as_ref()?;
                    Some(EmptyDir {
                        volume: volume.name.clone(),
                        in_memory: source.medium.as_deref() == Some("Memory"),
                    })
                })
                .collect(),
            host_paths: volumes
                .iter()
                .filter_map(|volume| volume.host_path.as_ref().map(|source| source.path.clone()))
                .collect(),
            claims: volumes
                .iter()
                .filter_map(|volume| volume.persistent_volume_claim.as_ref().map(|source| source.claim_name.clone()))
                .collect(),
            tolerates_cordon: spec.tolerations.iter().flatten().any(tolerates_cordon),
            finalizers: meta.finalizers.take().unwrap_or_default(),
            holds: holds(&annotations, &labels),
            serves_without_pre_stop: declares_ports(&spec) && !has_pre_stop(&spec),
            priority: spec.priority.unwrap_or_default(),
            grace_seconds: spec.termination_grace_period_seconds.unwrap_or(DEFAULT_GRACE_SECONDS),
            start_seconds: match (created, ready_since) {
                (Some(created), Some(since)) if ready && restarts == 0 => Some((since - created).get_seconds().max(0)),
                _ => None,
            },
            node: spec.node_name.filter(|name| !name.is_empty()).map(NodeName),
            labels,
            uid: Uid::take(meta),
            name: ObjectName::take(meta),
        }
    }
}

impl Phase {
    pub(super) fn read(phase: Option<&str>) -> Self {
        match phase {
            Some("Pending") => Self::Pending,
            Some("Running") => Self::Running,
            Some("Succeeded") => Self::Succeeded,
            Some("Failed") => Self::Failed,
            _ => Self::Unknown,
        }
    }
}

/// Why a pod is not Ready, as a reason and in words.
fn trouble(status: &wire::PodStatus) -> Option<(Option<String>, Option<String>)> {
    let of_pod = || Some((status.reason.clone()?, status.message.clone()));
    let containers = status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten());
    let mut unready = containers.filter(|container| !container.ready).filter_map(|container| container.state.as_ref());
    let of_container = || {
        unready.find_map(|state| {
            let waiting = state.waiting.as_ref().filter(|it| it.reason.as_deref() != Some("PodInitializing"));
            let ended = state.terminated.as_ref().filter(|ended| ended.exit_code != 0);
            let waiting = waiting.and_then(|it| Some((it.reason.clone()?, it.message.clone())));
            waiting.or_else(|| ended.and_then(|it| Some((it.reason.clone()?, it.message.clone()))))
        })
    };
    let of_scheduler = || {
        let scheduled = status.conditions.iter().flatten().find(|condition| condition.r#type == "PodScheduled")?;
        if scheduled.status.as_deref() == Some("False") {
            Some((scheduled.reason.clone()?, scheduled.message.clone()))
        } else {
            None
        }
    };
    let (reason, message) =
        of_pod().or_else(of_container).or_else(of_scheduler).filter(|(reason, _)| !reason.is_empty())?;
    Some((Some(reason), message.filter(|message| !message.is_empty())))
}

/// The scheduler's rule for `node.kubernetes.io/unschedulable:NoSchedule`, whose value is empty.
fn tolerates_cordon(toleration: &Toleration) -> bool {
    let is = |field: &Option<String>, value: &str| field.as_deref().is_none_or(|it| it.is_empty() || it == value);
    let value_matches = match toleration.operator.as_deref() {
        None | Some("" | "Equal") => {
            toleration.key.as_deref() == Some(UNSCHEDULABLE_TAINT)
                && toleration.value.as_deref().unwrap_or_default().is_empty()
        }
        Some("Exists") => true,
        Some(_) => false,
    };
    is(&toleration.effect, "NoSchedule") && is(&toleration.key, UNSCHEDULABLE_TAINT) && value_matches
}

fn holds(annotations: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> Vec<ToolHold> {
    let annotation = |key: &str| annotations.get(key).map(String::as_str);
    let mut holds = Vec::new();
    if annotation("cluster-autoscaler.kubernetes.io/safe-to-evict") == Some("false") {
        holds.push(ToolHold::NotSafeToEvict);
    }
    if annotation("karpenter.sh/do-not-disrupt").is_some_and(|value| value != "false") {
        holds.push(ToolHold::DoNotDisrupt);
    }
    match labels.get("cluster.x-k8s.io/drain").map(String::as_str) {
        Some("skip") => holds.push(ToolHold::ClusterApiSkip),
        Some("wait-completed") => holds.push(ToolHold::ClusterApiWaitCompleted),
        _ => {}
    }
    holds
}

fn declares_ports(spec: &wire::PodSpec) -> bool {
    spec.containers.iter().flatten().any(|container| container.ports.as_ref().is_some_and(|ports| !ports.is_empty()))
}

fn has_pre_stop(spec: &wire::PodSpec) -> bool {
    spec.containers
        .iter()
        .flatten()
        .any(|container| container.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.pre_stop.is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_toleration_that_brings_a_pod_straight_back() {
        #[track_caller]
        fn check(toleration: serde_json::Value, expected: bool) {
            let toleration: Toleration = serde_json::from_value(toleration).unwrap();
            assert_eq!(tolerates_cordon(&toleration), expected, "{toleration:?}");
        }
        check(json!({"operator": "Exists"}), true);
        check(json!({"operator": "Exists", "effect": "NoSchedule"}), true);
        check(json!({"operator": "Exists", "effect": "NoExecute"}), false);
        check(json!({"key": UNSCHEDULABLE_TAINT, "operator": "Exists"}), true);
        check(json!({"key": UNSCHEDULABLE_TAINT, "effect": "NoSchedule"}), true);
        check(json!({"key": UNSCHEDULABLE_TAINT, "value": "x"}), false);
        check(json!({"key": "node.kubernetes.io/not-ready", "operator": "Exists"}), false);
        check(json!({"key": "dedicated", "value": "db", "effect": "NoSchedule"}), false);
    }

    #[test]
    fn what_is_no_object_is_no_pod() {
        let message = Pod::read(r#"{"error": "no upstream"}"#).unwrap_err().to_string();
        assert!(message.starts_with("missing field `metadata`"), "{message}");
        assert_eq!(Pod::read(r#"{"metadata": {}, "spec": {"containers": null}}"#).unwrap().uid, Uid::default());
    }

    #[test]
    fn what_is_kept_of_a_pod() {
        let pod = json!({
            "metadata": {"name": "web-1", "namespace": "shop", "uid": "u1", "creationTimestamp": "2026-01-01T00:00:00Z",
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "x"},
                    {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "rs", "controller": true}]},
            "spec": {"nodeName": "n1", "containers": [{"name": "c", "ports": [{"containerPort": 80}]}],
                "volumes": [{"name": "tmp", "emptyDir": {"medium": "Memory"}}, {"name": "h", "hostPath": {"path": "/var"}},
                    {"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]},
            "status": {"phase": "Running", "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:07Z"}]},
        });
        let pod = Pod::read(&pod.to_string()).unwrap();
        assert_eq!(pod.name.to_string(), "shop/web-1");
        assert_eq!(
            pod.controller.as_ref().map(|owner| (owner.group.as_str(), owner.version.as_str())),
            Some(("apps", "v1"))
        );
        assert_eq!(pod.empty_dirs, [EmptyDir { volume: "tmp".into(), in_memory: true }]);
        assert_eq!(pod.host_paths, ["/var"]);
        assert_eq!(pod.claims, ["data"]);
        assert_eq!(pod.start_seconds, Some(7));
        assert_eq!(pod.grace_seconds, 30);
        assert!(pod.serves_without_pre_stop && pod.is_healthy());
    }
}
