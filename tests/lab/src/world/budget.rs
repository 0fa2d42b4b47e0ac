//! Disruption budgets of a world.

use anyhow::Result;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde_json::{Value, json};

use super::World;
use crate::identity;

/// A budget to be created.
#[must_use = "nothing exists before `create`"]
pub struct Budget<'w> {
    world: &'w World,
    name: String,
    spec: Value,
}

impl<'w> Budget<'w> {
    pub(super) fn new(world: &'w World, name: &str) -> Self {
        Self { world, name: name.to_owned(), spec: json!({"selector": {"matchLabels": {"app": name}}}) }
    }

    /// How many pods must stay: a number or a percentage like `"50%"`.
    pub fn min_available(mut self, pods: impl Into<Value>) -> Self {
        self.spec["minAvailable"] = pods.into();
        self
    }

    /// How many pods may be away: a number or a percentage like `"50%"`.
    pub fn max_unavailable(mut self, pods: impl Into<Value>) -> Self {
        self.spec["maxUnavailable"] = pods.into();
        self
    }

    /// A label selector instead of `{"matchLabels": {"app": <name>}}`.
    pub fn selector(mut self, selector: Value) -> Self {
        self.spec["selector"] = selector;
        self
    }

    /// `AlwaysAllow` or `IfHealthyBudget`.
    pub fn unhealthy_pods(mut self, policy: &str) -> Self {
        self.spec["unhealthyPodEvictionPolicy"] = policy.into();
        self
    }

    /// Creates the budget. [`World::budget_settled`] waits for its status.
    ///
    /// # Errors
    /// The apiserver refuses.
    pub async fn create(self) -> Result<PodDisruptionBudget> {
        let metadata = json!({"name": self.name});
        let object = json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": self.spec,
        });
        identity::apply(&self.world.api(), &self.name, &object).await
    }
}
