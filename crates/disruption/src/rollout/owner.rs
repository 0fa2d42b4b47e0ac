//! Who else writes a workload: tools that would revert an undo, or that will not know of it, and autoscalers.

use serde_json::Value;

use crate::model::Rollout;

/// The annotation in which `kubectl apply` remembers what it applied.
pub(super) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A tool that manages a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManagedBy {
    /// Argo CD, which reverts changes within seconds where it heals by itself.
    ArgoCd,
    /// Flux, which reverts changes at its next reconciliation.
    Flux,
    /// The controller of another object, in words: `Widget shop`.
    Controller(String),
    /// Helm, whose next upgrade starts from what it believes to be there.
    Helm,
}

/// The tool that manages a workload, by the marks that it leaves.
pub fn managed_by(rollout: &Rollout) -> Option<ManagedBy> {
    let marked = |key: &str| rollout.labels.contains_key(key) || rollout.annotations.contains_key(key);
    if marked("argocd.argoproj.io/instance") || marked("argocd.argoproj.io/tracking-id") {
        return Some(ManagedBy::ArgoCd);
    }
    if marked("kustomize.toolkit.fluxcd.io/name") || marked("helm.toolkit.fluxcd.io/name") {
        return Some(ManagedBy::Flux);
    }
    if let Some(owner) = &rollout.controller {
        return Some(ManagedBy::Controller(format!("{} {}", owner.kind, owner.name)));
    }
    let is_helms = rollout.labels.get("app.kubernetes.io/managed-by").is_some_and(|tool| tool == "Helm");
    (is_helms || marked("meta.helm.sh/release-name")).then_some(ManagedBy::Helm)
}

/// What whoever undoes a workload should know, if it was made with `kubectl apply`: as the end of a sentence about it.
pub fn unknown_to_apply(rollout: &Rollout) -> Option<&'static str> {
    let warning = "made with 'kubectl apply', which will not know of the undo: change the file that you apply, too";
    rollout.annotations.contains_key(LAST_APPLIED).then_some(warning)
}

/// The autoscaler that changes a workload's number of pods while it is watched, in words, among the
/// `HorizontalPodAutoscaler`s of its namespace.
pub fn scaled_by(rollout: &Rollout, autoscalers: &[Value]) -> Option<String> {
    let targets_it = |autoscaler: &&Value| {
        let target = &autoscaler["spec"]["scaleTargetRef"];
        target["apiVersion"].as_str().is_some_and(|version| version.starts_with("apps/"))
            && target["kind"] == rollout.kind.as_str()
            && target["name"] == rollout.name.name.as_str()
    };
    let autoscaler = autoscalers.iter().find(targets_it)?;
    let name = autoscaler["metadata"]["name"].as_str()?;
    let spec = &autoscaler["spec"];
    let least = spec["minReplicas"].as_i64().unwrap_or(1);
    let most = spec["maxReplicas"].as_i64()?;
    Some(format!("HorizontalPodAutoscaler {name} ({least} to {most} pods)"))
}

impl ManagedBy {
    /// Whether it would take an undo back.
    pub fn reverts(&self) -> bool {
        match self {
            Self::ArgoCd | Self::Flux | Self::Controller(_) => true,
            Self::Helm => false,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::ArgoCd => "Argo CD",
            Self::Flux => "Flux",
            Self::Controller(owner) => owner,
            Self::Helm => "Helm",
        }
    }

    /// How the version is changed for good.
    pub fn way(&self) -> &'static str {
        match self {
            Self::ArgoCd | Self::Flux => "change it where it takes it from (git revert), or suspend it first",
            Self::Controller(_) => "change that object instead",
            Self::Helm => "its history does not know of an undo: helm rollback brings the whole release back",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::RolloutKind;

    #[test]
    fn autoscalers_of_workloads() {
        #[track_caller]
        fn check(spec: &Value, expected: Option<&str>) {
            let object = json!({"metadata": {"name": "web"}, "spec": {"selector": {}, "template": {}}});
            let rollout = Rollout::read(RolloutKind::Deployment, &object.to_string()).unwrap();
            let other = json!({"metadata": {"name": "other"}, "spec": {"maxReplicas": 3}});
            let autoscalers = [other, json!({"metadata": {"name": "hpa"}, "spec": spec})];
            assert_eq!(scaled_by(&rollout, &autoscalers).as_deref(), expected, "{spec}");
        }
        let target = |version: &str, kind: &str, name: &str| json!({"scaleTargetRef": {"apiVersion": version, "kind": kind, "name": name}, "maxReplicas": 9});
        let mut spec = target("apps/v1", "Deployment", "web");
        check(&spec, Some("HorizontalPodAutoscaler hpa (1 to 9 pods)"));
        spec["minReplicas"] = json!(2);
        check(&spec, Some("HorizontalPodAutoscaler hpa (2 to 9 pods)"));
        check(&target("apps/v1", "StatefulSet", "web"), None);
        check(&target("apps/v1", "Deployment", "shop"), None);
        check(&target("example.com/v1", "Deployment", "web"), None);
    }

    #[test]
    fn marks_of_tools() {
        #[track_caller]
        fn check(metadata: &Value, expected: Option<&str>, reverts: bool) {
            let object = json!({"metadata": metadata, "spec": {"selector": {}, "template": {}}});
            let managed = managed_by(&Rollout::read(RolloutKind::Deployment, &object.to_string()).unwrap());
            assert_eq!(managed.as_ref().map(ManagedBy::name), expected, "{metadata}");
            assert_eq!(managed.is_some_and(|managed| managed.reverts()), reverts, "{metadata}");
        }
        check(&json!({}), None, false);
        check(&json!({"labels": {"app.kubernetes.io/instance": "shop"}}), None, false);
        check(&json!({"labels": {"argocd.argoproj.io/instance": "shop"}}), Some("Argo CD"), true);
        check(&json!({"annotations": {"argocd.argoproj.io/tracking-id": "shop"}}), Some("Argo CD"), true);
        check(&json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "shop"}}), Some("Flux"), true);
        check(&json!({"labels": {"app.kubernetes.io/managed-by": "Helm"}}), Some("Helm"), false);
        check(&json!({"annotations": {"meta.helm.sh/release-name": "shop"}}), Some("Helm"), false);
        let owner = json!({"apiVersion": "x/v1", "kind": "Widget", "name": "w", "uid": "u", "controller": true});
        check(&json!({"ownerReferences": [owner]}), Some("Widget w"), true);
    }
}
