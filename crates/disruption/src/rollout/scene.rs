//! Workloads for tests: `web`, its revisions and its pods, in the API's own shape. The pods of revision 2 carry `v2`.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::view::{Subject, View};
use crate::{
    model::{PodStatus, Revision, Rollout, RolloutKind},
    snapshot::Object,
};

/// What happens to be there.
pub(super) struct Scene {
    kind: RolloutKind,
    /// The workload; tests change it as they like.
    pub(super) workload: Value,
    revisions: Vec<Value>,
    pods: Vec<Value>,
}

/// A template with one container `web` of this image.
pub(super) fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": image}]}})
}

/// The moment of all scenes.
pub(super) fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

impl Scene {
    /// A workload that asks for this template.
    pub(super) fn new(kind: RolloutKind, template: &Value) -> Self {
        let workload = json!({
            "metadata": {"namespace": "default", "name": "web", "uid": "web", "generation": 1},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template},
            "status": {
                "observedGeneration": 1, "replicas": 0,
                "currentNumberScheduled": 0, "desiredNumberScheduled": 3, "numberReady": 0, "numberMisscheduled": 0,
            },
        });
        Self { kind, workload, revisions: Vec::new(), pods: Vec::new() }
    }

    /// With a JSON value in the workload: `set("/spec/paused", true)`. The parent must be there.
    pub(super) fn set(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        self.workload.pointer_mut(parent).unwrap()[key] = value.into();
        self
    }

    /// With a revision of this number that has so many pods, so many of them available.
    pub(super) fn revision(mut self, number: i64, template: &Value, pods: i32, available: i32) -> Self {
        let version = format!("v{number}");
        let owner = json!([{
            "apiVersion": "apps/v1", "kind": self.kind.as_str(), "name": "web", "uid": "web", "controller": true,
        }]);
        let mut object = json!({"metadata": {
            "namespace": "default", "name": format!("web-{version}"), "uid": format!("web-{version}"),
            "labels": {self.kind.version_label(): version}, "ownerReferences": owner,
        }});
        match self.kind {
            RolloutKind::Deployment => {
                object["metadata"]["annotations"] = json!({"deployment.kubernetes.io/revision": number.to_string()});
                object["spec"] = json!({"replicas": pods, "selector": {}, "template": template});
                object["status"] =
                    json!({"replicas": pods, "readyReplicas": available, "availableReplicas": available});
            }
            RolloutKind::StatefulSet | RolloutKind::DaemonSet => {
                object["revision"] = number.into();
                object["data"] = json!({"spec": {"template": template}});
                object["data"]["spec"]["template"]["$patch"] = "replace".into();
            }
        }
        if self.kind != RolloutKind::Deployment {
            for n in 0..pods {
                self = self.pod(&format!("web-{version}-{n}"), number, n < available, &json!([]));
            }
        }
        self.revisions.push(object);
        self
    }

    /// With a JSON value in the revision that was added last.
    pub(super) fn with(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        self.revisions.last_mut().unwrap().pointer_mut(parent).unwrap()[key] = value.into();
        self
    }

    /// With a pod of a revision, whose containers are as `statuses` says.
    pub(super) fn pod(mut self, name: &str, number: i64, is_ready: bool, statuses: &Value) -> Self {
        let owner = match self.kind {
            RolloutKind::Deployment => format!("web-v{number}"),
            RolloutKind::StatefulSet | RolloutKind::DaemonSet => "web".to_owned(),
        };
        // A StatefulSet's pods carry the whole name of their revision.
        let version = match self.kind {
            RolloutKind::StatefulSet => format!("web-v{number}"),
            RolloutKind::Deployment | RolloutKind::DaemonSet => format!("v{number}"),
        };
        let status = if is_ready { "True" } else { "False" };
        self.pods.push(json!({
            "metadata": {
                "namespace": "default", "name": name, "uid": name, "labels": {self.kind.version_label(): version},
                "ownerReferences": [
                    {"apiVersion": "apps/v1", "kind": "Owner", "name": owner, "uid": owner, "controller": true},
                ],
            },
            "spec": {"containers": [{"name": "web"}]},
            "status": {
                "phase": "Running", "containerStatuses": statuses,
                "conditions": [{"type": "Ready", "status": status, "lastTransitionTime": "2026-01-01T11:59:50Z"}],
            },
        }));
        self
    }

    /// Looks at it.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Subject<'_>) -> T) -> T {
        let mut view = View::default();
        view.insert(Object::Rollout(Box::new(Rollout::read(self.kind, self.workload.clone()).unwrap())));
        for object in &self.revisions {
            let revision = match self.kind {
                RolloutKind::Deployment => Revision::read_replica_set(object.clone()),
                RolloutKind::StatefulSet | RolloutKind::DaemonSet => Revision::read_controller_revision(object.clone()),
            };
            view.insert(Object::Revision(Box::new(revision.unwrap().unwrap())));
        }
        for object in &self.pods {
            let pod: k8s_openapi::api::core::v1::Pod = serde_json::from_value(object.clone()).unwrap();
            view.insert(Object::PodStatus(Box::new(PodStatus::from(pod))));
        }
        let rollout = view.rollouts().next().unwrap();
        look(&view.subject(rollout, now()))
    }
}
