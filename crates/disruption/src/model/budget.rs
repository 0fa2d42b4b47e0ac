//! `PodDisruptionBudget`s, as they are written and as the disruption controller last saw them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::policy::v1 as policy;

use super::{IntOrPercent, InvalidIntOrPercent, InvalidSelector, ObjectName, Selector, Uid};

/// A `PodDisruptionBudget`, pruned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisruptionBudget {
    /// Namespace and name.
    pub name: ObjectName,
    /// UID.
    pub uid: Uid,
    /// `metadata.generation`, counted up by changes of the spec.
    pub generation: i64,
    /// `spec.minAvailable`.
    pub min_available: Option<Result<IntOrPercent, InvalidIntOrPercent>>,
    /// `spec.maxUnavailable`.
    pub max_unavailable: Option<Result<IntOrPercent, InvalidIntOrPercent>>,
    /// `spec.selector`: none selects no pod, an empty one every pod of the namespace.
    pub selector: Option<Result<Selector, InvalidSelector>>,
    /// `spec.unhealthyPodEvictionPolicy`.
    pub unhealthy_pods: UnhealthyPods,
    /// What the disruption controller wrote last.
    pub status: BudgetStatus,
}

/// When a pod that isn't Ready may go without asking the budget (KEP-3017).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnhealthyPods {
    /// The default: while the application itself is not disrupted.
    IfHealthyBudget,
    /// Always.
    AlwaysAllow,
    /// A policy newer than this program: refuse, as the API contract asks.
    Unrecognized(String),
}

/// `status` of a budget.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BudgetStatus {
    /// The generation that the numbers belong to.
    pub observed_generation: i64,
    /// Pods that the budget covers.
    pub expected_pods: i32,
    /// Pods that must stay healthy.
    pub desired_healthy: i32,
    /// Pods that are healthy.
    pub current_healthy: i32,
    /// Evictions that the server grants now.
    pub disruptions_allowed: i32,
    /// Pods (by name) whose eviction the server granted and whose deletion the controller has not seen yet.
    pub disrupted_pods: BTreeMap<String, Timestamp>,
    /// Condition `DisruptionAllowed`.
    pub condition: Option<BudgetCondition>,
}

/// Condition `DisruptionAllowed` of a budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetCondition {
    /// `SufficientPods`, `InsufficientPods` or `SyncFailed`.
    pub reason: String,
    /// The error of a failed sync.
    pub message: String,
}

impl DisruptionBudget {
    /// Whether it covers a pod of its namespace with these labels. An invalid selector covers none.
    pub fn covers(&self, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        self.name.namespace == namespace && matches!(&self.selector, Some(Ok(selector)) if selector.matches(labels))
    }
}

impl From<policy::PodDisruptionBudget> for DisruptionBudget {
    fn from(mut budget: policy::PodDisruptionBudget) -> Self {
        let spec = budget.spec.take().unwrap_or_default();
        Self {
            generation: budget.metadata.generation.unwrap_or_default(),
            min_available: spec.min_available.as_ref().map(IntOrPercent::try_from),
            max_unavailable: spec.max_unavailable.as_ref().map(IntOrPercent::try_from),
            selector: spec.selector.as_ref().map(Selector::try_from),
            unhealthy_pods: match spec.unhealthy_pod_eviction_policy.as_deref() {
                None | Some("IfHealthyBudget") => UnhealthyPods::IfHealthyBudget,
                Some("AlwaysAllow") => UnhealthyPods::AlwaysAllow,
                Some(other) => UnhealthyPods::Unrecognized(other.to_owned()),
            },
            status: budget.status.take().map(BudgetStatus::from).unwrap_or_default(),
            uid: Uid::take(&mut budget.metadata),
            name: ObjectName::take(&mut budget.metadata),
        }
    }
}

impl From<policy::PodDisruptionBudgetStatus> for BudgetStatus {
    fn from(status: policy::PodDisruptionBudgetStatus) -> Self {
        let condition =
            status.conditions.into_iter().flatten().find(|condition| condition.type_ == "DisruptionAllowed");
        Self {
            observed_generation: status.observed_generation.unwrap_or_default(),
            expected_pods: status.expected_pods.unwrap_or_default(),
            desired_healthy: status.desired_healthy.unwrap_or_default(),
            current_healthy: status.current_healthy.unwrap_or_default(),
            disruptions_allowed: status.disruptions_allowed.unwrap_or_default(),
            disrupted_pods: status.disrupted_pods.into_iter().flatten().map(|(name, time)| (name, time.0)).collect(),
            condition: condition
                .map(|condition| BudgetCondition { reason: condition.reason, message: condition.message }),
        }
    }
}
