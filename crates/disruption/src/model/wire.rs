//! The API's objects as the server writes them, no more of them than decisions read: everything else is skipped, not built.
//!
//! Only their metadata must be there: what has none is no object, but perhaps the answer of something between us and the
//! server. Of the rest, hand-written files leave out what they like, and Go writes empty lists as null.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::Toleration,
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, OwnerReference},
        util::intstr::IntOrString,
    },
};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, value::RawValue};

use super::IntOrPercent;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Meta {
    pub(super) name: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) uid: Option<String>,
    pub(super) resource_version: Option<String>,
    pub(super) generation: Option<i64>,
    pub(super) labels: Option<BTreeMap<String, String>>,
    pub(super) annotations: Option<BTreeMap<String, String>>,
    pub(super) creation_timestamp: Option<Timestamp>,
    pub(super) deletion_timestamp: Option<Timestamp>,
    pub(super) owner_references: Option<Vec<OwnerReference>>,
    pub(super) finalizers: Option<Vec<String>>,
    pub(super) managed_fields: Option<Vec<ManagedFields>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ManagedFields {
    pub(super) manager: Option<String>,
    pub(super) time: Option<Timestamp>,
    pub(super) subresource: Option<String>,
    pub(super) fields_v1: Option<OwnedFields>,
}

/// Of the fields that a manager owns, those of a spec that decisions ask for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct OwnedFields {
    #[serde(rename = "f:spec")]
    pub(super) spec: Option<OwnedSpecFields>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct OwnedSpecFields {
    #[serde(rename = "f:template")]
    pub(super) template: Option<IgnoredAny>,
    #[serde(rename = "f:unschedulable")]
    pub(super) unschedulable: Option<IgnoredAny>,
}

/// A condition of any object.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Condition {
    pub(super) r#type: String,
    pub(super) status: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) message: Option<String>,
    pub(super) last_transition_time: Option<Timestamp>,
    pub(super) last_update_time: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Node {
    pub(super) metadata: Meta,
    pub(super) spec: Option<NodeSpec>,
    pub(super) status: Option<NodeStatus>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeSpec {
    pub(super) unschedulable: Option<bool>,
    pub(super) taints: Option<Vec<Taint>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Taint {
    pub(super) key: String,
    pub(super) time_added: Option<Timestamp>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeStatus {
    pub(super) conditions: Option<Vec<Condition>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Pod {
    pub(super) metadata: Meta,
    pub(super) spec: Option<PodSpec>,
    pub(super) status: Option<PodStatus>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodSpec {
    pub(super) node_name: Option<String>,
    pub(super) priority: Option<i32>,
    pub(super) termination_grace_period_seconds: Option<i64>,
    pub(super) containers: Option<Vec<Container>>,
    pub(super) init_containers: Option<Vec<Container>>,
    pub(super) volumes: Option<Vec<Volume>>,
    pub(super) tolerations: Option<Vec<Toleration>>,
    pub(super) readiness_gates: Option<Vec<ReadinessGate>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ReadinessGate {
    pub(super) condition_type: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) image: Option<String>,
    pub(super) restart_policy: Option<String>,
    pub(super) ports: Option<Vec<IgnoredAny>>,
    pub(super) lifecycle: Option<Lifecycle>,
    pub(super) resources: Option<Resources>,
    pub(super) readiness_probe: Option<Probe>,
    pub(super) startup_probe: Option<Probe>,
    pub(super) liveness_probe: Option<Probe>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Lifecycle {
    pub(super) pre_stop: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Resources {
    pub(super) limits: Option<Limits>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Limits {
    pub(super) memory: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Probe {
    pub(super) initial_delay_seconds: Option<i32>,
    pub(super) period_seconds: Option<i32>,
    pub(super) timeout_seconds: Option<i32>,
    pub(super) failure_threshold: Option<i32>,
    pub(super) success_threshold: Option<i32>,
    pub(super) http_get: Option<HttpGet>,
    pub(super) tcp_socket: Option<TcpSocket>,
    pub(super) grpc: Option<Grpc>,
    pub(super) exec: Option<Exec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct HttpGet {
    pub(super) path: Option<String>,
    pub(super) port: IntOrString,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TcpSocket {
    pub(super) port: IntOrString,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Grpc {
    pub(super) port: i32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Exec {
    pub(super) command: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Volume {
    pub(super) name: String,
    pub(super) empty_dir: Option<EmptyDir>,
    pub(super) host_path: Option<HostPath>,
    pub(super) persistent_volume_claim: Option<Claim>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct EmptyDir {
    pub(super) medium: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct HostPath {
    pub(super) path: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Claim {
    pub(super) claim_name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodStatus {
    pub(super) phase: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) message: Option<String>,
    pub(super) conditions: Option<Vec<Condition>>,
    pub(super) init_container_statuses: Option<Vec<ContainerStatus>>,
    pub(super) container_statuses: Option<Vec<ContainerStatus>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerStatus {
    pub(super) name: String,
    pub(super) ready: bool,
    pub(super) started: Option<bool>,
    pub(super) restart_count: i32,
    pub(super) state: Option<ContainerState>,
    pub(super) last_state: Option<ContainerState>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ContainerState {
    pub(super) waiting: Option<Waiting>,
    pub(super) running: Option<Running>,
    pub(super) terminated: Option<Terminated>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Waiting {
    pub(super) reason: Option<String>,
    pub(super) message: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Running {
    pub(super) started_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Terminated {
    pub(super) exit_code: i32,
    pub(super) reason: Option<String>,
    pub(super) message: Option<String>,
    pub(super) started_at: Option<Timestamp>,
    pub(super) finished_at: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
pub(super) struct PodDisruptionBudget {
    pub(super) metadata: Meta,
    pub(super) spec: Option<PodDisruptionBudgetSpec>,
    pub(super) status: Option<PodDisruptionBudgetStatus>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodDisruptionBudgetSpec {
    pub(super) min_available: Option<IntOrString>,
    pub(super) max_unavailable: Option<IntOrString>,
    pub(super) selector: Option<LabelSelector>,
    pub(super) unhealthy_pod_eviction_policy: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodDisruptionBudgetStatus {
    pub(super) observed_generation: Option<i64>,
    pub(super) expected_pods: Option<i32>,
    pub(super) desired_healthy: Option<i32>,
    pub(super) current_healthy: Option<i32>,
    pub(super) disruptions_allowed: Option<i32>,
    pub(super) disrupted_pods: Option<BTreeMap<String, Timestamp>>,
    pub(super) conditions: Option<Vec<Condition>>,
}

/// A Deployment, a `StatefulSet`, a `DaemonSet`, a `ReplicaSet`, a `ReplicationController` or a Job: their specs and
/// statuses share most of their words.
#[derive(Debug, Deserialize)]
pub(super) struct Workload<'a> {
    pub(super) metadata: Meta,
    #[serde(borrow)]
    pub(super) spec: Option<WorkloadSpec<'a>>,
    pub(super) status: Option<WorkloadStatus>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct WorkloadSpec<'a> {
    /// A label selector, but for a `ReplicationController`, whose selector is a map of labels.
    #[serde(borrow)]
    pub(super) selector: Option<&'a RawValue>,
    /// As it stands, for who compares it or puts it back.
    #[serde(borrow)]
    pub(super) template: Option<&'a RawValue>,
    pub(super) replicas: Option<i32>,
    pub(super) paused: Option<bool>,
    pub(super) min_ready_seconds: Option<i32>,
    pub(super) progress_deadline_seconds: Option<i32>,
    pub(super) revision_history_limit: Option<i32>,
    /// A Deployment's.
    pub(super) strategy: Option<Strategy>,
    /// A `StatefulSet`'s or a `DaemonSet`'s.
    pub(super) update_strategy: Option<Strategy>,
    pub(super) pod_management_policy: Option<String>,
    pub(super) ordinals: Option<Ordinals>,
    /// A Job's.
    pub(super) parallelism: Option<i32>,
    pub(super) backoff_limit: Option<i32>,
    pub(super) suspend: Option<bool>,
    pub(super) pod_failure_policy: Option<PodFailurePolicy>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Strategy {
    pub(super) r#type: Option<String>,
    pub(super) rolling_update: Option<RollingUpdate>,
}

impl Strategy {
    /// `maxUnavailable`; the default where it names none, or nonsense.
    pub(super) fn max_unavailable(&self, default: IntOrPercent) -> IntOrPercent {
        share(self.rolling_update.as_ref().and_then(|rolling| rolling.max_unavailable.as_ref()), default)
    }

    /// `maxSurge`, likewise.
    pub(super) fn max_surge(&self, default: IntOrPercent) -> IntOrPercent {
        share(self.rolling_update.as_ref().and_then(|rolling| rolling.max_surge.as_ref()), default)
    }
}

fn share(value: Option<&IntOrString>, default: IntOrPercent) -> IntOrPercent {
    value.and_then(|value| IntOrPercent::try_from(value).ok()).unwrap_or(default)
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct RollingUpdate {
    pub(super) max_unavailable: Option<IntOrString>,
    pub(super) max_surge: Option<IntOrString>,
    pub(super) partition: Option<i32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Ordinals {
    pub(super) start: Option<i32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PodFailurePolicy {
    pub(super) rules: Option<Vec<PodFailurePolicyRule>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodFailurePolicyRule {
    pub(super) action: String,
    pub(super) on_pod_conditions: Option<Vec<Condition>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct WorkloadStatus {
    pub(super) observed_generation: Option<i64>,
    pub(super) replicas: Option<i32>,
    pub(super) updated_replicas: Option<i32>,
    pub(super) ready_replicas: Option<i32>,
    pub(super) available_replicas: Option<i32>,
    pub(super) terminating_replicas: Option<i32>,
    pub(super) conditions: Option<Vec<Condition>>,
    /// A `StatefulSet`'s.
    pub(super) current_revision: Option<String>,
    pub(super) update_revision: Option<String>,
    /// A `DaemonSet`'s.
    pub(super) desired_number_scheduled: Option<i32>,
    pub(super) current_number_scheduled: Option<i32>,
    pub(super) updated_number_scheduled: Option<i32>,
    pub(super) number_ready: Option<i32>,
    pub(super) number_available: Option<i32>,
    pub(super) number_misscheduled: Option<i32>,
    /// A Job's.
    pub(super) failed: Option<i32>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ControllerRevision<'a> {
    pub(super) metadata: Meta,
    pub(super) revision: Option<i64>,
    /// Whatever its owner keeps there.
    #[serde(borrow)]
    pub(super) data: Option<&'a RawValue>,
}

/// What a `StatefulSet` and a `DaemonSet` keep in a revision.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RevisionData {
    pub(super) spec: Option<RevisionSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RevisionSpec {
    pub(super) template: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event {
    pub(super) metadata: Meta,
    #[serde(default)]
    pub(super) involved_object: Reference,
    pub(super) r#type: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) message: Option<String>,
    pub(super) count: Option<i32>,
    pub(super) series: Option<Series>,
    #[serde(rename = "eventTime")]
    pub(super) at: Option<Timestamp>,
    pub(super) first_timestamp: Option<Timestamp>,
    pub(super) last_timestamp: Option<Timestamp>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Reference {
    pub(super) kind: Option<String>,
    pub(super) name: Option<String>,
    pub(super) uid: Option<String>,
    pub(super) field_path: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Series {
    pub(super) count: Option<i32>,
    pub(super) last_observed_time: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        model::WorkloadKind,
        snapshot::{Kind, Object},
    };

    /// Go leaves out some empty values, and writes others as null or as an empty object.
    #[test]
    fn nothing_in_all_its_forms() {
        #[track_caller]
        fn check(kind: Kind, object: &serde_json::Value) {
            let mut object = object.clone();
            object["metadata"] = json!({
                "name": "x", "creationTimestamp": null, "labels": null, "annotations": null, "ownerReferences": null,
                "finalizers": null, "deletionTimestamp": null, "generation": null, "managedFields": [
                    {"manager": null, "time": null, "subresource": null, "fieldsV1": null},
                    {"fieldsV1": {"f:spec": null}}, {"fieldsV1": {"f:status": {"f:spec": 1}}}, {}],
            });
            let text = object.to_string();
            for read in [Object::read_for_drain(kind, &text), Object::read_for_rollout(kind, &text)] {
                if let Some(object) = read.unwrap() {
                    assert_eq!((object.kind(), object.name().name.as_str()), (kind, "x"));
                }
            }
        }
        let condition = json!({"type": "Ready", "status": "True", "lastTransitionTime": null, "lastProbeTime": null,
            "lastUpdateTime": null, "reason": null, "message": null});
        let container = json!({"name": "c", "ports": null, "lifecycle": {}, "resources": {"limits": {}},
            "readinessProbe": {"exec": {"command": null}}, "livenessProbe": null, "startupProbe": {"httpGet": {"port": "web"}}});
        let state = json!({"name": "c", "state": {}, "lastState": {"terminated": {"exitCode": 1, "startedAt": null, "finishedAt": null}}});
        check(Kind::Node, &json!({"spec": {"taints": null}, "status": {"conditions": null}}));
        check(
            Kind::Node,
            &json!({"spec": {"taints": [{"key": "k", "timeAdded": null}]}, "status": {"conditions": [condition]}}),
        );
        check(Kind::Pod, &json!({"spec": {"containers": null}}));
        check(
            Kind::Pod,
            &json!({
                "spec": {"containers": [container], "initContainers": null, "volumes": [{"name": "v", "emptyDir": {}}],
                    "tolerations": null, "readinessGates": null, "nodeName": "", "priority": null},
                "status": {"phase": "", "conditions": [condition], "containerStatuses": [state, {"name": "d", "state": {"running": {"startedAt": null}}}]},
            }),
        );
        check(
            Kind::PodDisruptionBudget,
            &json!({"spec": {"selector": null}, "status": {"disruptedPods": null, "conditions": null}}),
        );
        check(
            Kind::PodDisruptionBudget,
            &json!({"spec": {"selector": {"matchLabels": null, "matchExpressions": null}}}),
        );
        for kind in WorkloadKind::ALL {
            check(Kind::Workload(kind), &json!({}));
            check(Kind::Workload(kind), &json!({"spec": null, "status": null}));
            check(
                Kind::Workload(kind),
                &json!({
                    "spec": {"selector": null, "template": {"metadata": {"creationTimestamp": null}, "spec": null},
                        "strategy": {"rollingUpdate": null}, "updateStrategy": {}, "ordinals": null,
                        "podFailurePolicy": {"rules": null}},
                    "status": {"conditions": [condition], "currentRevision": ""},
                }),
            );
        }
        check(Kind::ControllerRevision, &json!({"revision": 1, "data": null}));
        check(Kind::ControllerRevision, &json!({"revision": 1, "data": "anything"}));
        check(
            Kind::Incident,
            &json!({"involvedObject": {}, "reason": null, "eventTime": null, "firstTimestamp": null, "lastTimestamp": null, "series": null}),
        );
        check(
            Kind::Incident,
            &json!({"involvedObject": {"kind": "Pod"}, "series": {"count": 2, "lastObservedTime": null}}),
        );
    }
}
