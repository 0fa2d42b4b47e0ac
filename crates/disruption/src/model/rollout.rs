//! Workloads that roll out, and their revisions: Deployments with their `ReplicaSet`s, `StatefulSet`s and `DaemonSet`s with
//! their `ControllerRevision`s.
//!
//! Templates stay raw JSON, so that fields which this build does not know survive a comparison, a diff and an undo.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use super::{IntOrPercent, ObjectName, OwnerRef, Selector, Uid, WorkloadKind, wire};

/// The label by which a Deployment's `ReplicaSet`s and their pods name their version.
pub const TEMPLATE_HASH_LABEL: &str = "pod-template-hash";

/// The label by which the pods of a `StatefulSet` or a `DaemonSet` name their version.
pub const REVISION_HASH_LABEL: &str = "controller-revision-hash";

/// The annotation in which people say why they changed a workload.
pub const CHANGE_CAUSE_ANNOTATION: &str = "kubernetes.io/change-cause";

/// The annotation with a Deployment's or a `ReplicaSet`'s revision number.
pub const REVISION_ANNOTATION: &str = "deployment.kubernetes.io/revision";

/// A kind of workload that rolls out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RolloutKind {
    /// apps Deployment.
    Deployment,
    /// apps `StatefulSet`.
    StatefulSet,
    /// apps `DaemonSet`.
    DaemonSet,
}

/// What tells one version of a workload from another: the value of [`TEMPLATE_HASH_LABEL`] or [`REVISION_HASH_LABEL`] on
/// its pods.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VersionKey(pub String);

/// A workload with the state of its rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    /// What it is.
    pub kind: RolloutKind,
    /// Namespace and name.
    pub name: ObjectName,
    /// UID.
    pub uid: Uid,
    /// `metadata.generation`: goes up with each change of the spec.
    pub generation: i64,
    /// `status.observedGeneration`; 0 where the controller has not seen it yet.
    pub observed_generation: i64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its controlling owner, such as an operator's custom object.
    pub controller: Option<OwnerRef>,
    /// Whether it is being deleted.
    pub is_deleting: bool,
    /// `spec.template` as it stands.
    pub template: Value,
    /// `spec.selector`.
    pub selector: Selector,
    /// Pods that it wants: `spec.replicas`, a `DaemonSet`'s `status.desiredNumberScheduled`.
    pub replicas: i32,
    /// How it replaces its pods.
    pub strategy: RolloutStrategy,
    /// `spec.paused` of a Deployment.
    pub is_paused: bool,
    /// `spec.minReadySeconds`: how long a pod must be Ready before it counts as available.
    pub min_ready_seconds: i32,
    /// `spec.progressDeadlineSeconds` of a Deployment; none where it has no deadline.
    pub progress_deadline_seconds: Option<i64>,
    /// `spec.revisionHistoryLimit`: how many old revisions are kept.
    pub history_limit: i32,
    /// The numbers of its status.
    pub counts: RolloutCounts,
    /// Its conditions.
    pub conditions: Vec<Condition>,
    /// `status.currentRevision` of a `StatefulSet`: the last revision that was rolled out completely.
    pub current_revision: Option<VersionKey>,
    /// `status.updateRevision` of a `StatefulSet`.
    pub update_revision: Option<VersionKey>,
    /// Who wrote its template, by `metadata.managedFields`, in their order.
    pub writers: Vec<Writer>,
}

/// How a workload replaces its pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RolloutStrategy {
    /// A Deployment's or a `DaemonSet`'s `RollingUpdate`.
    Rolling {
        /// `maxUnavailable`.
        max_unavailable: IntOrPercent,
        /// `maxSurge`.
        max_surge: IntOrPercent,
    },
    /// A Deployment's `Recreate`.
    Recreate,
    /// A `StatefulSet`'s `RollingUpdate`.
    Ordinal {
        /// Ordinals below it keep the current revision; none where the object names no `rollingUpdate` at all, as only
        /// objects can that no server has defaulted.
        partition: Option<i32>,
        /// Whether a pod that isn't Ready holds up all others (`podManagementPolicy: OrderedReady`).
        is_ordered: bool,
        /// `spec.ordinals.start`: the ordinal of the first pod.
        start: i32,
    },
    /// A pod gets the new version when somebody deletes it.
    OnDelete,
}

/// The numbers in a workload's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RolloutCounts {
    /// All pods: `replicas`, a `DaemonSet`'s `currentNumberScheduled`.
    pub current: i32,
    /// Pods of the newest version.
    pub updated: i32,
    /// Pods that are Ready, of all versions.
    pub ready: i32,
    /// Pods that are available, of all versions.
    pub available: i32,
    /// Pods that stop; none where the server does not count them.
    pub terminating: Option<i32>,
    /// Nodes with a pod of a `DaemonSet` that should have none, and which it does not count among its desired ones.
    pub misscheduled: i32,
}

/// A condition of a workload or of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Its type, such as `Progressing`.
    pub name: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Its reason, such as `ProgressDeadlineExceeded`; empty for none.
    pub reason: String,
    /// In words; empty for none.
    pub message: String,
    /// When its status changed last.
    pub changed_at: Option<Timestamp>,
    /// When it was written last (`lastUpdateTime`, which Deployments alone have).
    pub updated_at: Option<Timestamp>,
}

/// A field manager that wrote something of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    /// Its name, such as `kubectl-client-side-apply` or `argocd-controller`.
    pub manager: String,
    /// When it wrote last.
    pub at: Option<Timestamp>,
    /// Whether it owns a field of the pod template.
    pub owns_template: bool,
}

/// A revision of a workload: a `ReplicaSet` or a `ControllerRevision`.
#[derive(Debug, Clone, PartialEq)]
pub struct Revision {
    /// Namespace and name.
    pub name: ObjectName,
    /// UID.
    pub uid: Uid,
    /// The workload that it belongs to.
    pub owner: OwnerRef,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its number; none for a `ReplicaSet` whose annotation is no number. One without the annotation has 0, as for
    /// kubectl.
    pub number: Option<i64>,
    /// What its pods are labelled with.
    pub version: VersionKey,
    /// The pod template, without the hash label that a Deployment adds and without the patch directive of a
    /// `ControllerRevision`.
    pub template: Value,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// [`CHANGE_CAUSE_ANNOTATION`].
    pub change_cause: Option<String>,
    /// The pods of a `ReplicaSet`; a `ControllerRevision` has none to tell.
    pub counts: Option<RevisionCounts>,
    /// Condition `ReplicaFailure` of a `ReplicaSet`, if it is True.
    pub failure: Option<Condition>,
}

/// The pods of a `ReplicaSet`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RevisionCounts {
    /// `spec.replicas`.
    pub desired: i32,
    /// `status.replicas`.
    pub current: i32,
    /// `status.readyReplicas`.
    pub ready: i32,
    /// `status.availableReplicas`.
    pub available: i32,
}

/// `progressDeadlineSeconds` where a Deployment has no deadline (`math.MaxInt32`, `deployment_util.go`).
const NO_DEADLINE: i32 = i32::MAX;

/// What the API server gives to a Deployment that names no deadline, in seconds.
const DEFAULT_DEADLINE: i32 = 600;

/// How many old revisions are kept where a workload does not say.
const DEFAULT_HISTORY_LIMIT: i32 = 10;

/// A Deployment's `maxUnavailable` and `maxSurge` where it names none.
const DEFAULT_ROLLING: IntOrPercent = IntOrPercent::Percent(25);

impl RolloutKind {
    /// Every kind, in kubectl's order.
    pub const ALL: [Self; 3] = [Self::Deployment, Self::StatefulSet, Self::DaemonSet];

    /// The kind's name in the API.
    pub const fn as_str(self) -> &'static str {
        self.workload().as_str()
    }

    /// The singular resource, as kubectl addresses it: `deployment`.
    pub const fn singular(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::StatefulSet => "statefulset",
            Self::DaemonSet => "daemonset",
        }
    }

    /// The plural resource, as URLs have it: `deployments`.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Deployment => "deployments",
            Self::StatefulSet => "statefulsets",
            Self::DaemonSet => "daemonsets",
        }
    }

    /// The same among all kinds of workloads.
    pub const fn workload(self) -> WorkloadKind {
        match self {
            Self::Deployment => WorkloadKind::Deployment,
            Self::StatefulSet => WorkloadKind::StatefulSet,
            Self::DaemonSet => WorkloadKind::DaemonSet,
        }
    }

    /// The label on the pods that names their version.
    pub const fn version_label(self) -> &'static str {
        match self {
            Self::Deployment => TEMPLATE_HASH_LABEL,
            Self::StatefulSet | Self::DaemonSet => REVISION_HASH_LABEL,
        }
    }
}

impl fmt::Display for VersionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl RolloutStrategy {
    /// The lowest ordinal that gets the newest version, for pods with ordinals: the controller counts the partition from the
    /// first one (`newVersionedStatefulSetPod`).
    pub fn lowest_updated(&self) -> Option<i32> {
        match self {
            Self::Ordinal { partition, start, .. } => Some(start.saturating_add(partition.unwrap_or_default())),
            Self::Rolling { .. } | Self::Recreate | Self::OnDelete => None,
        }
    }
}

impl Rollout {
    /// Reads a workload from its JSON.
    ///
    /// # Errors
    /// Names what does not have the kind's shape.
    pub fn read(kind: RolloutKind, object: &str) -> Result<Self, serde_json::Error> {
        let wire::Workload { metadata: mut meta, spec, status } = serde_json::from_str(object)?;
        let (mut spec, mut status) = (spec.unwrap_or_default(), status.unwrap_or_default());
        let deadline = spec.progress_deadline_seconds.unwrap_or(DEFAULT_DEADLINE);
        let replicas = match kind {
            RolloutKind::DaemonSet => status.desired_number_scheduled.unwrap_or_default(),
            RolloutKind::Deployment | RolloutKind::StatefulSet => spec.replicas.unwrap_or(1),
        };
        let version = |name: Option<String>| name.filter(|name| !name.is_empty()).map(VersionKey);
        Ok(Self {
            kind,
            generation: meta.generation.unwrap_or_default(),
            observed_generation: status.observed_generation.unwrap_or_default(),
            controller: OwnerRef::controller_of(&meta),
            is_deleting: meta.deletion_timestamp.is_some(),
            writers: meta.managed_fields.take().unwrap_or_default().into_iter().map(Writer::from).collect(),
            labels: meta.labels.take().unwrap_or_default(),
            annotations: meta.annotations.take().unwrap_or_default(),
            uid: Uid::take(&mut meta),
            name: ObjectName::take(&mut meta),
            template: template(spec.template)?,
            selector: selector(spec.selector)?,
            replicas,
            strategy: RolloutStrategy::read(kind, &mut spec),
            is_paused: spec.paused.unwrap_or_default(),
            min_ready_seconds: spec.min_ready_seconds.unwrap_or_default(),
            progress_deadline_seconds: (kind == RolloutKind::Deployment && deadline != NO_DEADLINE)
                .then_some(deadline.into()),
            history_limit: spec.revision_history_limit.unwrap_or(DEFAULT_HISTORY_LIMIT),
            counts: RolloutCounts::read(kind, &status),
            conditions: status.conditions.take().unwrap_or_default().into_iter().map(Condition::from).collect(),
            current_revision: version(status.current_revision),
            update_revision: version(status.update_revision),
        })
    }

    /// The condition of this type.
    pub fn condition(&self, name: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.name == name)
    }

    /// Whether the controller has seen its newest spec.
    pub fn is_observed(&self) -> bool {
        self.observed_generation >= self.generation
    }

    /// `kubernetes.io/change-cause`.
    pub fn change_cause(&self) -> Option<&str> {
        self.annotations.get(CHANGE_CAUSE_ANNOTATION).map(String::as_str)
    }

    /// kubectl's name for it: `deployment/web`.
    pub fn shown(&self) -> String {
        format!("{}/{}", self.kind.singular(), self.name.name)
    }
}

/// What selects a workload's pods; everything for none, and for one that the API's rules don't allow.
fn selector(text: Option<&RawValue>) -> Result<Selector, serde_json::Error> {
    let selector: Option<LabelSelector> = text.map(|text| serde_json::from_str(text.get())).transpose()?.flatten();
    Ok(selector.and_then(|selector| Selector::try_from(&selector).ok()).unwrap_or_default())
}

/// A pod template as it stands; null for none.
fn template(text: Option<&RawValue>) -> Result<Value, serde_json::Error> {
    text.map_or(Ok(Value::Null), |text| serde_json::from_str(text.get()))
}

impl RolloutStrategy {
    fn read(kind: RolloutKind, spec: &mut wire::WorkloadSpec<'_>) -> Self {
        let strategy = match kind {
            RolloutKind::Deployment => spec.strategy.take(),
            RolloutKind::StatefulSet | RolloutKind::DaemonSet => spec.update_strategy.take(),
        };
        let strategy = strategy.unwrap_or_default();
        let rolling = |max_unavailable, max_surge| Self::Rolling {
            max_unavailable: strategy.max_unavailable(max_unavailable),
            max_surge: strategy.max_surge(max_surge),
        };
        match (kind, strategy.r#type.as_deref()) {
            (RolloutKind::Deployment, Some("Recreate")) => Self::Recreate,
            (RolloutKind::Deployment, _) => rolling(DEFAULT_ROLLING, DEFAULT_ROLLING),
            (RolloutKind::StatefulSet | RolloutKind::DaemonSet, Some("OnDelete")) => Self::OnDelete,
            (RolloutKind::DaemonSet, _) => rolling(IntOrPercent::Int(1), IntOrPercent::Int(0)),
            (RolloutKind::StatefulSet, _) => Self::Ordinal {
                partition: strategy.rolling_update.as_ref().map(|rolling| rolling.partition.unwrap_or_default()),
                is_ordered: spec.pod_management_policy.as_deref() != Some("Parallel"),
                start: spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or_default(),
            },
        }
    }
}

impl RolloutCounts {
    fn read(kind: RolloutKind, status: &wire::WorkloadStatus) -> Self {
        let count = |number: Option<i32>| number.unwrap_or_default();
        match kind {
            RolloutKind::Deployment | RolloutKind::StatefulSet => Self {
                current: count(status.replicas),
                updated: count(status.updated_replicas),
                ready: count(status.ready_replicas),
                available: count(status.available_replicas),
                terminating: status.terminating_replicas,
                misscheduled: 0,
            },
            RolloutKind::DaemonSet => Self {
                current: count(status.current_number_scheduled),
                updated: count(status.updated_number_scheduled),
                ready: count(status.number_ready),
                available: count(status.number_available),
                terminating: None,
                misscheduled: count(status.number_misscheduled),
            },
        }
    }
}

impl From<wire::Condition> for Condition {
    fn from(condition: wire::Condition) -> Self {
        let wire::Condition { r#type, status, reason, message, last_transition_time, last_update_time } = condition;
        Self {
            name: r#type,
            status: status.unwrap_or_default(),
            reason: reason.unwrap_or_default(),
            message: message.unwrap_or_default(),
            changed_at: last_transition_time,
            updated_at: last_update_time,
        }
    }
}

impl From<wire::ManagedFields> for Writer {
    fn from(entry: wire::ManagedFields) -> Self {
        let wire::ManagedFields { manager, time, subresource, fields_v1 } = entry;
        let template = fields_v1.and_then(|fields| fields.spec).and_then(|spec| spec.template);
        Self {
            manager: manager.unwrap_or_default(),
            at: time,
            owns_template: template.is_some() && subresource.is_none_or(|subresource| subresource.is_empty()),
        }
    }
}

impl Revision {
    /// Reads a Deployment's revision; none for a `ReplicaSet` that nothing controls.
    ///
    /// # Errors
    /// Names what does not have the shape of a `ReplicaSet`.
    pub fn read_replica_set(object: &str) -> Result<Option<Self>, serde_json::Error> {
        let wire::Workload { mut metadata, spec, status } = serde_json::from_str(object)?;
        let Some(owner) = OwnerRef::controller_of(&metadata) else { return Ok(None) };
        let (spec, status) = (spec.unwrap_or_default(), status.unwrap_or_default());
        let mut template = template(spec.template)?;
        let labels = metadata.labels.take().unwrap_or_default();
        let annotations = metadata.annotations.take().unwrap_or_default();
        if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
            labels.remove(TEMPLATE_HASH_LABEL);
        }
        let mut conditions = status.conditions.into_iter().flatten().map(Condition::from);
        Ok(Some(Self {
            owner,
            number: annotations.get(REVISION_ANNOTATION).map_or(Some(0), |text| text.parse().ok()),
            version: VersionKey(labels.get(TEMPLATE_HASH_LABEL).cloned().unwrap_or_default()),
            template,
            created_at: metadata.creation_timestamp,
            change_cause: annotations.get(CHANGE_CAUSE_ANNOTATION).cloned(),
            counts: Some(RevisionCounts {
                desired: spec.replicas.unwrap_or(1),
                current: status.replicas.unwrap_or_default(),
                ready: status.ready_replicas.unwrap_or_default(),
                available: status.available_replicas.unwrap_or_default(),
            }),
            failure: conditions.find(|condition| condition.name == "ReplicaFailure" && condition.status == "True"),
            labels,
            uid: Uid::take(&mut metadata),
            name: ObjectName::take(&mut metadata),
        }))
    }

    /// Reads a revision of a `StatefulSet` or a `DaemonSet`; none for one that nothing owns, or that holds no template.
    ///
    /// # Errors
    /// Names what does not have the shape of a `ControllerRevision`.
    pub fn read_controller_revision(object: &str) -> Result<Option<Self>, serde_json::Error> {
        let wire::ControllerRevision { mut metadata, revision, data } = serde_json::from_str(object)?;
        // Other owners keep there what they like.
        let data = data.and_then(|data| serde_json::from_str::<wire::RevisionData>(data.get()).ok());
        let template = data.and_then(|data| data.spec).and_then(|spec| spec.template);
        let (Some(owner), Some(mut template)) = (OwnerRef::controller_of(&metadata), template) else {
            return Ok(None);
        };
        if let Some(template) = template.as_object_mut() {
            template.remove("$patch");
        }
        let labels = metadata.labels.take().unwrap_or_default();
        let annotations = metadata.annotations.take().unwrap_or_default();
        let name = ObjectName::take(&mut metadata);
        // A DaemonSet's pods carry the hash alone, a StatefulSet's the revision's whole name.
        let version = match labels.get(REVISION_HASH_LABEL) {
            Some(hash) if owner.is("apps", "DaemonSet") => hash.clone(),
            _ => name.name.clone(),
        };
        Ok(Some(Self {
            owner,
            number: revision,
            version: VersionKey(version),
            template,
            created_at: metadata.creation_timestamp,
            change_cause: annotations.get(CHANGE_CAUSE_ANNOTATION).cloned(),
            counts: None,
            failure: None,
            labels,
            uid: Uid::take(&mut metadata),
            name,
        }))
    }
}
