//! `PodDisruptionBudget`s, as they are written and as the disruption controller last saw them.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Condition, IntOrPercent, InvalidIntOrPercent, InvalidSelector, ObjectName, Selector, Uid, wire};

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
    /// Reads a disruption budget from its JSON.
    ///
    /// # Errors
    /// Names what does not have the shape of a disruption budget.
    pub fn read(object: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<wire::PodDisruptionBudget>(object).map(Self::from)
    }

    /// Whether it covers a pod of its namespace with these labels. An invalid selector covers none.
    pub fn covers(&self, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        self.name.namespace == namespace && matches!(&self.selector, Some(Ok(selector)) if selector.matches(labels))
    }
}

impl From<wire::PodDisruptionBudget> for DisruptionBudget {
    fn from(mut budget: wire::PodDisruptionBudget) -> Self {
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

impl From<wire::PodDisruptionBudgetStatus> for BudgetStatus {
    fn from(status: wire::PodDisruptionBudgetStatus) -> Self {
        let mut conditions = status.conditions.into_iter().flatten();
        let condition = conditions.find(|condition| condition.r#type == "DisruptionAllowed");
        Self {
            observed_generation: status.observed_generation.unwrap_or_default(),
            expected_pods: status.expected_pods.unwrap_or_default(),
            desired_healthy: status.desired_healthy.unwrap_or_default(),
            current_healthy: status.current_healthy.unwrap_or_default(),
            disruptions_allowed: status.disruptions_allowed.unwrap_or_default(),
            disrupted_pods: status.disrupted_pods.unwrap_or_default(),
            condition: condition
                .map(Condition::from)
                .map(|Condition { reason, message, .. }| BudgetCondition { reason, message }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_kept_of_a_budget() {
        let budget = json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "u", "generation": 3},
            "spec": {"minAvailable": "50%", "unhealthyPodEvictionPolicy": "Sometimes",
                "selector": {"matchExpressions": [{"key": "app", "operator": "Near"}]}},
            "status": {"observedGeneration": 2, "expectedPods": 4, "desiredHealthy": 2, "currentHealthy": 3,
                "disruptionsAllowed": 1, "disruptedPods": {"web-1": "2026-01-01T00:00:00Z"},
                "conditions": [{"type": "Other", "status": "True", "reason": "X", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"},
                    {"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": "why", "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
        });
        let budget = DisruptionBudget::read(&budget.to_string()).unwrap();
        assert_eq!((budget.name.to_string().as_str(), budget.generation), ("shop/web", 3));
        assert_eq!((budget.min_available, budget.max_unavailable), (Some(Ok(IntOrPercent::Percent(50))), None));
        assert_eq!(budget.unhealthy_pods, UnhealthyPods::Unrecognized("Sometimes".into()));
        assert!(budget.selector.is_some_and(|selector| selector.is_err()));
        let expected = BudgetStatus {
            observed_generation: 2,
            expected_pods: 4,
            desired_healthy: 2,
            current_healthy: 3,
            disruptions_allowed: 1,
            disrupted_pods: [("web-1".to_owned(), "2026-01-01T00:00:00Z".parse().unwrap())].into(),
            condition: Some(BudgetCondition { reason: "SyncFailed".into(), message: "why".into() }),
        };
        assert_eq!(budget.status, expected);
    }

    #[test]
    fn a_selector_of_none_and_of_everything() {
        #[track_caller]
        fn check(spec: &serde_json::Value, namespace: &str, expected: bool) {
            let object = json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": spec});
            let budget = DisruptionBudget::read(&object.to_string()).unwrap();
            let labels = [("app".to_owned(), "web".to_owned())].into();
            assert_eq!(budget.covers(namespace, &labels), expected, "{spec}");
        }
        check(&json!({}), "shop", false);
        check(&json!({"selector": {}}), "shop", true);
        check(&json!({"selector": {}}), "other", false);
        check(&json!({"selector": {"matchLabels": {"app": "web"}}}), "shop", true);
        check(&json!({"selector": {"matchExpressions": [{"key": "app", "operator": "Near"}]}}), "shop", false);
    }
}
