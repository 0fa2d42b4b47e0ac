//! What owns pods and brings them back: Deployments, `ReplicaSet`s, `ReplicationController`s, `StatefulSet`s,
//! `DaemonSet`s and Jobs.

use super::{IntOrPercent, ObjectName, OwnerRef, Uid, wire};

/// A workload, pruned to its scale, its owner and its rules for replacing pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// What it is.
    pub kind: WorkloadKind,
    /// Namespace and name.
    pub name: ObjectName,
    /// UID.
    pub uid: Uid,
    /// Its own controlling owner: a `ReplicaSet`'s Deployment, a Job's `CronJob`.
    pub controller: Option<OwnerRef>,
    /// Pods that it wants: `spec.replicas`, a Job's parallelism, a `DaemonSet`'s desired number.
    pub replicas: i32,
    /// Whether it is being deleted.
    pub is_deleting: bool,
    /// How it replaces pods in its own rolling update.
    pub strategy: UpdateStrategy,
    /// Rules of a Job.
    pub job: Option<JobRules>,
}

/// The built-in kinds of workloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WorkloadKind {
    /// apps Deployment.
    Deployment,
    /// apps `ReplicaSet`.
    ReplicaSet,
    /// core `ReplicationController`.
    ReplicationController,
    /// apps `StatefulSet`.
    StatefulSet,
    /// apps `DaemonSet`.
    DaemonSet,
    /// batch Job.
    Job,
}

/// How a workload's own update replaces pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpdateStrategy {
    /// A Deployment's `RollingUpdate`.
    Rolling {
        /// `maxUnavailable`, a fraction rounded down.
        max_unavailable: IntOrPercent,
        /// `maxSurge`, a fraction rounded up.
        max_surge: IntOrPercent,
    },
    /// A Deployment's `Recreate`.
    Recreate,
    /// No rolling update, or one of a kind that drains do not look at.
    None,
}

/// What a Job says about pods that go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobRules {
    /// What the eviction of one more pod does to the Job.
    pub on_eviction: OnEviction,
    /// `spec.backoffLimit`.
    pub backoff_limit: i32,
    /// `spec.suspend`: nothing is brought back while set.
    pub is_suspended: bool,
    /// Whether it has completed or failed: nothing is brought back any more.
    pub is_finished: bool,
}

/// What the eviction of one more pod does to its Job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnEviction {
    /// Nothing: the pod failure policy ignores disruptions.
    Ignored,
    /// It counts as a failure towards `backoffLimit`.
    CountsAsFailure,
    /// The Job fails, and brings the pod not back.
    FailsJob,
}

impl WorkloadKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Deployment,
        Self::ReplicaSet,
        Self::ReplicationController,
        Self::StatefulSet,
        Self::DaemonSet,
        Self::Job,
    ];

    /// The kind's name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::ReplicaSet => "ReplicaSet",
            Self::ReplicationController => "ReplicationController",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::Job => "Job",
        }
    }

    /// The resource with its group, as the server names it in messages: `daemonsets.apps`.
    pub const fn resource(self) -> &'static str {
        match self {
            Self::Deployment => "deployments.apps",
            Self::ReplicaSet => "replicasets.apps",
            Self::ReplicationController => "replicationcontrollers",
            Self::StatefulSet => "statefulsets.apps",
            Self::DaemonSet => "daemonsets.apps",
            Self::Job => "jobs.batch",
        }
    }

    /// The kind that a reference names, whatever its version. `extensions` is where apps kinds once lived.
    pub fn named_by(owner: &OwnerRef) -> Option<Self> {
        match (owner.group.as_str(), owner.kind.as_str()) {
            ("apps" | "extensions", "Deployment") => Some(Self::Deployment),
            ("apps" | "extensions", "ReplicaSet") => Some(Self::ReplicaSet),
            ("", "ReplicationController") => Some(Self::ReplicationController),
            ("apps", "StatefulSet") => Some(Self::StatefulSet),
            ("apps", "DaemonSet") => Some(Self::DaemonSet),
            ("batch", "Job") => Some(Self::Job),
            _ => None,
        }
    }

    /// Whether the API serves a `scale` subresource for it, which disruption budgets with percentages need.
    pub const fn has_scale(self) -> bool {
        !matches!(self, Self::DaemonSet | Self::Job)
    }
}

/// A Deployment's `maxUnavailable` and `maxSurge` where it names none.
const DEFAULT_ROLLING: IntOrPercent = IntOrPercent::Percent(25);

/// A Job's `backoffLimit` where it names none.
const DEFAULT_BACKOFF_LIMIT: i32 = 6;

impl Workload {
    /// Reads a workload from its JSON.
    ///
    /// # Errors
    /// Names what does not have the kind's shape.
    pub fn read(kind: WorkloadKind, object: &str) -> Result<Self, serde_json::Error> {
        let wire::Workload { mut metadata, spec, status } = serde_json::from_str(object)?;
        let (spec, status) = (spec.unwrap_or_default(), status.unwrap_or_default());
        let replicas = match kind {
            WorkloadKind::DaemonSet => status.desired_number_scheduled,
            WorkloadKind::Job => spec.parallelism,
            _ => spec.replicas,
        };
        Ok(Self {
            kind,
            controller: OwnerRef::controller_of(&metadata),
            replicas: replicas.unwrap_or(1),
            is_deleting: metadata.deletion_timestamp.is_some(),
            job: (kind == WorkloadKind::Job).then(|| JobRules::read(&spec, &status)),
            strategy: match kind {
                WorkloadKind::Deployment => UpdateStrategy::read(&spec.strategy.unwrap_or_default()),
                _ => UpdateStrategy::None,
            },
            uid: Uid::take(&mut metadata),
            name: ObjectName::take(&mut metadata),
        })
    }
}

impl UpdateStrategy {
    fn read(strategy: &wire::Strategy) -> Self {
        match strategy.r#type.as_deref() {
            Some("Recreate") => Self::Recreate,
            _ => Self::Rolling {
                max_unavailable: strategy.max_unavailable(DEFAULT_ROLLING),
                max_surge: strategy.max_surge(DEFAULT_ROLLING),
            },
        }
    }
}

impl JobRules {
    fn read(spec: &wire::WorkloadSpec<'_>, status: &wire::WorkloadStatus) -> Self {
        let backoff_limit = spec.backoff_limit.unwrap_or(DEFAULT_BACKOFF_LIMIT);
        Self {
            on_eviction: match action_on_disruption(spec) {
                Some("Ignore") => OnEviction::Ignored,
                Some("FailJob") => OnEviction::FailsJob,
                _ if status.failed.unwrap_or_default() >= backoff_limit => OnEviction::FailsJob,
                _ => OnEviction::CountsAsFailure,
            },
            backoff_limit,
            is_suspended: spec.suspend.unwrap_or_default(),
            is_finished: status.conditions.iter().flatten().any(|condition| {
                matches!(condition.r#type.as_str(), "Complete" | "Failed")
                    && condition.status.as_deref() == Some("True")
            }),
        }
    }
}

/// What the first rule of the pod failure policy that is about condition `DisruptionTarget` does with an evicted pod
/// (KEP-3329). Without one, and unless it is ignored, the pod counts as failed.
fn action_on_disruption<'a>(spec: &'a wire::WorkloadSpec<'_>) -> Option<&'a str> {
    let is_about_disruption = |rule: &&wire::PodFailurePolicyRule| {
        rule.on_pod_conditions.iter().flatten().any(|condition| {
            condition.r#type == "DisruptionTarget" && condition.status.as_deref().is_none_or(|status| status == "True")
        })
    };
    let mut rules = spec.pod_failure_policy.iter().flat_map(|policy| &policy.rules).flatten();
    rules.find(is_about_disruption).map(|rule| rule.action.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn job(object: &Value) -> JobRules {
        Workload::read(WorkloadKind::Job, &object.to_string()).unwrap().job.unwrap()
    }

    #[test]
    fn what_is_kept_of_a_deployment() {
        #[track_caller]
        fn check(spec: &Value, replicas: i32, max_unavailable: Option<&str>) {
            let object = json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": spec}).to_string();
            let workload = Workload::read(WorkloadKind::Deployment, &object).unwrap();
            let read = match workload.strategy {
                UpdateStrategy::Rolling { max_unavailable, max_surge: _ } => Some(max_unavailable.to_string()),
                UpdateStrategy::Recreate | UpdateStrategy::None => None,
            };
            assert_eq!((workload.replicas, read.as_deref()), (replicas, max_unavailable));
        }
        check(&json!({"selector": {}, "template": {}}), 1, Some("25%"));
        check(&json!({"selector": {}, "template": {}, "replicas": 0}), 0, Some("25%"));
        let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2, "maxSurge": "50%"}});
        check(&json!({"selector": {}, "template": {}, "strategy": strategy}), 1, Some("2"));
        check(&json!({"selector": {}, "template": {}, "strategy": {"type": "Recreate"}}), 1, None);
    }

    #[test]
    fn a_replication_controller_selects_by_a_map() {
        let object = json!({"metadata": {"name": "web", "namespace": "shop"},
            "spec": {"replicas": 2, "selector": {"app": "web", "matchLabels": "x"}, "template": {}}});
        let workload = Workload::read(WorkloadKind::ReplicationController, &object.to_string()).unwrap();
        assert_eq!(workload.replicas, 2);
    }

    #[test]
    fn jobs_that_count_evictions() {
        #[track_caller]
        fn check(rules: &Value, expected: bool) {
            let job = job(&json!({
                "metadata": {"name": "sum", "namespace": "shop"},
                "spec": {"template": {}, "podFailurePolicy": {"rules": rules}},
            }));
            let counts = job.on_eviction != OnEviction::Ignored;
            assert_eq!(counts, expected, "{rules}");
        }
        let on = |action: &str, condition: Value| json!({"action": action, "onPodConditions": [condition]});
        let target = || json!({"type": "DisruptionTarget", "status": "True"});
        check(&json!([]), true);
        check(&json!([on("Ignore", target())]), false);
        check(&json!([on("Ignore", json!({"type": "DisruptionTarget"}))]), false);
        check(&json!([on("Ignore", json!({"type": "DisruptionTarget", "status": "False"}))]), true);
        check(&json!([on("Ignore", json!({"type": "Other", "status": "True"}))]), true);
        check(&json!([on("Count", target())]), true);
        // The first rule about it decides.
        check(&json!([on("FailJob", target()), on("Ignore", target())]), true);
        check(
            &json!([{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [3]}}, on("Ignore", target())]),
            false,
        );
    }

    #[test]
    fn jobs_that_end_by_an_eviction() {
        #[track_caller]
        fn check(spec: &Value, failed: i32, expected: bool) {
            let job = job(&json!({
                "metadata": {"name": "sum", "namespace": "shop"}, "spec": spec, "status": {"failed": failed},
            }));
            let fails = job.on_eviction == OnEviction::FailsJob;
            assert_eq!(fails, expected, "{failed} failed before");
        }
        let policy = |action: &str| json!({"rules": [{"action": action, "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]});
        check(&json!({"template": {}}), 5, false);
        check(&json!({"template": {}}), 6, true);
        check(&json!({"template": {}, "backoffLimit": 0}), 0, true);
        check(&json!({"template": {}, "backoffLimit": 0, "podFailurePolicy": policy("Ignore")}), 0, false);
        check(&json!({"template": {}, "backoffLimit": 9, "podFailurePolicy": policy("FailJob")}), 0, true);
        check(&json!({"template": {}, "backoffLimit": 9, "podFailurePolicy": policy("Count")}), 0, false);
    }

    #[test]
    fn jobs_that_have_ended() {
        #[track_caller]
        fn check(condition: &str, status: &str, expected: bool) {
            let rules = job(&json!({
                "metadata": {"name": "sum", "namespace": "shop"},
                "status": {"conditions": [{"type": condition, "status": status}]},
            }));
            assert_eq!((rules.is_finished, rules.backoff_limit), (expected, 6), "{condition} {status}");
        }
        check("Complete", "True", true);
        check("Failed", "True", true);
        check("Complete", "False", false);
        check("Suspended", "True", false);
    }
}
