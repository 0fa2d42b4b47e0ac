//! Workload `web` with its revisions and pods for tests, in the API's own shape:
//! `Scene::of(RolloutKind::Deployment, &json!({"replicas": 2})).pods(&["2 ready", "1 stopping"])`. The pods of revision 2
//! carry `v2`.

use std::cell::OnceCell;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::view::{Subject, View};
use crate::{
    fixture::{NAMESPACE, node, now},
    model::{Node, PodStatus, Revision, Rollout, RolloutKind},
    snapshot::{Kind, Object, Unreadable},
};

/// A workload with what belongs to it.
pub(super) struct Scene {
    kind: RolloutKind,
    workload: Value,
    revisions: Vec<Value>,
    pods: Vec<Value>,
    nodes: Vec<Node>,
    unknown: Vec<Kind>,
    view: OnceCell<View>,
}

/// A template with one container `web` of this image.
pub(super) fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": image}]}})
}

/// Workload `web` of generation 1, observed, with three replicas of `x:2` unless it is said otherwise.
pub(super) fn workload(kind: RolloutKind, spec: &Value, status: &Value) -> Rollout {
    Rollout::read(kind, &object(spec, status).to_string()).unwrap()
}

fn object(spec: &Value, status: &Value) -> Value {
    let mut object = json!({
        "metadata": {"namespace": NAMESPACE, "name": "web", "uid": "web", "generation": 1},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "serviceName": "web", "template": template("x:2")},
        "status": {"observedGeneration": 1, "replicas": 0, "currentNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0},
    });
    object["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    // A DaemonSet wants what its status says.
    object["status"]["desiredNumberScheduled"] = object["spec"]["replicas"].clone();
    object["status"].as_object_mut().unwrap().extend(status.as_object().unwrap().clone());
    object
}

impl Scene {
    /// A workload of version 2 (image `x:2`), which had version 1 before.
    pub(super) fn of(kind: RolloutKind, spec: &Value) -> Self {
        Self::alone(kind, spec, &json!({})).revision(1, &template("x:1"), 0, 0).revision(2, &template("x:2"), 0, 0)
    }

    /// A workload alone that asks for this template.
    pub(super) fn new(kind: RolloutKind, template: &Value) -> Self {
        Self::alone(kind, &json!({"template": template}), &json!({}))
    }

    /// A [`workload`] alone.
    pub(super) fn alone(kind: RolloutKind, spec: &Value, status: &Value) -> Self {
        Self {
            kind,
            workload: object(spec, status),
            revisions: Vec::new(),
            pods: Vec::new(),
            nodes: Vec::new(),
            unknown: Vec::new(),
            view: OnceCell::new(),
        }
    }

    /// The workload as it stands.
    pub(super) fn workload(&self) -> &Value {
        &self.workload
    }

    /// With a JSON value in the workload: `set("/spec/paused", true)`. The parent must be there.
    pub(super) fn set(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        put(&mut self.workload, pointer, value.into());
        self.view.take();
        self
    }

    pub(super) fn unobserved(self) -> Self {
        self.set("/metadata/generation", 2)
    }

    /// With a revision of this number that has so many pods, so many of them available. A `ReplicaSet` only counts them.
    pub(super) fn revision(mut self, number: i64, template: &Value, pods: i32, available: i32) -> Self {
        let version = format!("v{number}");
        let owner = json!([{
            "apiVersion": "apps/v1", "kind": self.kind.as_str(), "name": "web", "uid": "web", "controller": true,
        }]);
        let mut object = json!({"metadata": {
            "namespace": NAMESPACE, "name": format!("web-{version}"), "uid": format!("web-{version}"),
            "labels": {self.kind.version_label(): version}, "ownerReferences": owner,
            "creationTimestamp": now() - SignedDuration::from_hours(100 - number),
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
        self.revisions.push(object);
        self.view.take();
        if self.kind == RolloutKind::Deployment {
            return self;
        }
        (0..pods).fold(self, |scene, n| scene.pod(&format!("web-{version}-{n}"), number, n < available, &json!([])))
    }

    /// With a JSON value in the revision that was added last.
    pub(super) fn with(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        put(self.revisions.last_mut().unwrap(), pointer, value.into());
        self.view.take();
        self
    }

    /// With a pod of a revision, Ready or not for ten seconds, whose containers are as `statuses` says.
    pub(super) fn pod(self, name: &str, number: i64, is_ready: bool, statuses: &Value) -> Self {
        self.with_pod(name, number, is_ready, 10, |pod| {
            pod["spec"]["containers"] = json!([{"name": "web"}]);
            pod["status"]["containerStatuses"] = statuses.clone();
        })
    }

    /// With pods, each told as `REVISION STATE [NODE]`. States: `ready` (for long), `ready=SECONDS`, `unready`, `stopping`,
    /// `stuck` (should have stopped long ago), `failed`. A `ReplicaSet` counts them.
    pub(super) fn pods(self, pods: &[&str]) -> Self {
        pods.iter().fold(self, |scene, told| {
            let mut words = told.split(' ');
            let (number, state) = (words.next().unwrap().parse().unwrap(), words.next().unwrap());
            let ready_for = state.split_once('=').map_or(3600, |(_, seconds)| seconds.parse().unwrap());
            let start = scene.workload.pointer("/spec/ordinals/start").and_then(Value::as_u64).unwrap_or_default();
            let name = format!("web-{}", usize::try_from(start).unwrap() + scene.pods.len());
            let scene = if state.starts_with("ready") || state == "unready" {
                scene.counted(number, state != "unready")
            } else {
                scene
            };
            scene.with_pod(&name, number, state != "unready", ready_for, |pod| {
                pod["spec"]["nodeName"] = words.next().into();
                match state {
                    "failed" => pod["status"]["phase"] = "Failed".into(),
                    "stopping" => pod["metadata"]["deletionTimestamp"] = json!(now() + SignedDuration::from_secs(10)),
                    "stuck" => pod["metadata"]["deletionTimestamp"] = json!(now() - SignedDuration::from_mins(10)),
                    _ => {}
                }
            })
        })
    }

    pub(super) fn node_not_ready(mut self, name: &str) -> Self {
        self.nodes.push(node(name).not_ready("NodeStatusUnknown"));
        self.view.take();
        self
    }

    pub(super) fn without(mut self, kind: Kind) -> Self {
        self.unknown.push(kind);
        self.view.take();
        self
    }

    /// It at the moment of all scenes.
    pub(super) fn subject(&self) -> Subject<'_> {
        let view = self.view.get_or_init(|| self.seen());
        view.subject(view.rollouts().next().unwrap(), now())
    }

    /// A `ReplicaSet` counts one more pod.
    fn counted(mut self, number: i64, is_ready: bool) -> Self {
        let name = format!("web-v{number}");
        if let Some(set) =
            self.revisions.iter_mut().find(|set| set["status"].is_object() && set["metadata"]["name"] == name)
        {
            let fields = ["replicas", "readyReplicas", "availableReplicas"];
            for field in &fields[..if is_ready { 3 } else { 1 }] {
                set["status"][field] = json!(set["status"][field].as_i64().unwrap() + 1);
            }
        }
        self
    }

    fn with_pod(
        mut self,
        name: &str,
        number: i64,
        is_ready: bool,
        for_seconds: i64,
        change: impl FnOnce(&mut Value),
    ) -> Self {
        let owner = match self.kind {
            RolloutKind::Deployment => format!("web-v{number}"),
            RolloutKind::StatefulSet | RolloutKind::DaemonSet => "web".to_owned(),
        };
        // A StatefulSet's pods carry the whole name of their revision.
        let version = match self.kind {
            RolloutKind::StatefulSet => format!("web-v{number}"),
            RolloutKind::Deployment | RolloutKind::DaemonSet => format!("v{number}"),
        };
        let mut pod = json!({
            "metadata": {
                "namespace": NAMESPACE, "name": name, "uid": name, "labels": {self.kind.version_label(): version},
                "creationTimestamp": now() - SignedDuration::from_hours(1),
                "ownerReferences": [
                    {"apiVersion": "apps/v1", "kind": "Owner", "name": owner, "uid": owner, "controller": true},
                ],
            },
            "spec": {"containers": []},
            "status": {"phase": "Running", "conditions": [{
                "type": "Ready", "status": if is_ready { "True" } else { "False" },
                "lastTransitionTime": now() - SignedDuration::from_secs(for_seconds),
            }]},
        });
        change(&mut pod);
        self.pods.push(pod);
        self.view.take();
        self
    }

    fn seen(&self) -> View {
        let mut view = View::default();
        view.insert(Object::Rollout(Box::new(Rollout::read(self.kind, &self.workload.to_string()).unwrap())));
        for object in &self.revisions {
            let revision = match self.kind {
                RolloutKind::Deployment => Revision::read_replica_set(&object.to_string()),
                RolloutKind::StatefulSet | RolloutKind::DaemonSet => {
                    Revision::read_controller_revision(&object.to_string())
                }
            };
            view.insert(Object::Revision(Box::new(revision.unwrap().unwrap())));
        }
        for object in &self.pods {
            view.insert(Object::PodStatus(Box::new(PodStatus::read(&object.to_string()).unwrap())));
        }
        self.nodes.iter().for_each(|node| view.insert(Object::Node(node.clone())));
        view.unknown.extend(self.unknown.iter().map(|kind| (*kind, Unreadable::NotInFile)));
        view
    }
}

fn put(object: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap()[key] = value;
}
