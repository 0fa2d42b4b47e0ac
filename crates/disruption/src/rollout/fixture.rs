//! A workload with revisions and pods for tests: `Scene::of(RolloutKind::Deployment, &json!({"replicas": 2}))
//! .pods(&["2 ready", "1 stopping"])`.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::view::{Subject, View};
use crate::{
    fixture::{NAMESPACE, node, now},
    model::{
        Condition, NodeName, ObjectName, OwnerRef, Phase, PodStatus, Revision, Rollout, RolloutKind, RolloutStrategy,
        Uid, VersionKey,
    },
    snapshot::{Kind, Object, Unreadable},
};

/// Workload `foo` of generation 1.
pub(super) fn workload(kind: RolloutKind, spec: &Value, status: &Value) -> Rollout {
    let mut object = json!({
        "metadata": {"name": "foo", "namespace": NAMESPACE, "uid": "foo-uid", "generation": 1},
        "spec": {"selector": {"matchLabels": {"app": "foo"}}, "serviceName": "foo", "template": template("foo:2")},
        "status": status,
    });
    object["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    Rollout::read(kind, object).unwrap()
}

/// A pod template with one container.
pub(super) fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "foo"}}, "spec": {"containers": [{"name": "foo", "image": image}]}})
}

/// A revision of workload `foo` whose version is its number.
pub(super) fn revision(rollout: &Rollout, number: i64, template: Value) -> Revision {
    Revision {
        name: ObjectName::new(NAMESPACE, format!("foo-{number}")),
        uid: Uid(format!("revision-{number}")),
        owner: owner(rollout.kind.as_str(), &rollout.uid.0),
        labels: [].into(),
        number: Some(number),
        version: VersionKey(number.to_string()),
        template,
        created_at: Some(now() - SignedDuration::from_hours(100 - number)),
        change_cause: None,
        counts: None,
        failure: None,
    }
}

/// A workload with what belongs to it.
pub(super) struct Scene {
    view: View,
    rollout: Rollout,
    pods: usize,
}

impl Scene {
    /// Workload `foo`, observed, of version 2 (image `foo:2`), which had version 1 before. `spec.replicas` holds for a
    /// `DaemonSet` too.
    pub(super) fn of(kind: RolloutKind, spec: &Value) -> Self {
        let status = match kind {
            RolloutKind::DaemonSet => json!({"currentNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0,
                "desiredNumberScheduled": spec["replicas"], "observedGeneration": 1}),
            RolloutKind::Deployment => json!({"observedGeneration": 1}),
            RolloutKind::StatefulSet => json!({"observedGeneration": 1, "replicas": 0}),
        };
        Self::new(workload(kind, spec, &status)).revision(1, template("foo:1")).revision(2, template("foo:2"))
    }

    /// A workload alone.
    pub(super) fn new(rollout: Rollout) -> Self {
        Self { view: View::default(), rollout, pods: 0 }
    }

    /// With a [`revision`].
    pub(super) fn revision(self, number: i64, template: Value) -> Self {
        let revision = revision(&self.rollout, number, template);
        self.with_revision(revision)
    }

    /// With any revision.
    pub(super) fn with_revision(mut self, revision: Revision) -> Self {
        self.view.insert(Object::Revision(Box::new(revision)));
        self
    }

    /// With pods, each told as `VERSION STATE [NODE]`. States: `ready` (for long), `ready=SECONDS`, `unready`, `stopping`,
    /// `stuck` (should have stopped long ago), `failed`.
    pub(super) fn pods(self, pods: &[&str]) -> Self {
        pods.iter().fold(self, |scene, pod| scene.pod(pod))
    }

    pub(super) fn node_not_ready(mut self, name: &str) -> Self {
        self.view.insert(Object::Node(node(name).not_ready("NodeStatusUnknown")));
        self
    }

    /// So many nodes have a pod of a `DaemonSet` that should have none.
    pub(super) fn misscheduled(mut self, nodes: i32) -> Self {
        self.rollout.counts.misscheduled = nodes;
        self
    }

    pub(super) fn unobserved(mut self) -> Self {
        self.rollout.generation = 2;
        self
    }

    pub(super) fn without_pods(self) -> Self {
        self.without(Kind::Pod)
    }

    pub(super) fn without(mut self, kind: Kind) -> Self {
        self.view.unknown.insert(kind, Unreadable::NotInFile);
        self
    }

    pub(super) fn subject(&self) -> Subject<'_> {
        self.view.subject(&self.rollout, now())
    }

    fn pod(mut self, told: &str) -> Self {
        let mut words = told.split(' ');
        let (version, state) = (words.next().unwrap(), words.next().unwrap());
        let ready_for = match state.split_once('=') {
            Some((_, seconds)) => seconds.parse().unwrap(),
            None => 3600,
        };
        let start = match self.rollout.strategy {
            RolloutStrategy::Ordinal { start, .. } => usize::try_from(start).unwrap(),
            _ => 0,
        };
        let name = format!("foo-{}", start + self.pods);
        self.pods += 1;
        let owner = match self.rollout.kind {
            RolloutKind::Deployment => owner("ReplicaSet", &format!("revision-{version}")),
            kind => owner(kind.as_str(), &self.rollout.uid.0),
        };
        let ready = Condition {
            name: "Ready".into(),
            status: if state == "unready" { "False" } else { "True" }.into(),
            reason: String::new(),
            message: String::new(),
            changed_at: Some(now() - SignedDuration::from_secs(ready_for)),
            updated_at: None,
        };
        let pod = PodStatus {
            uid: Uid(format!("{name}-uid")),
            name: ObjectName::new(NAMESPACE, name),
            resource_version: "1".into(),
            labels: [(self.rollout.kind.version_label().to_owned(), version.to_owned())].into(),
            controller: Some(owner),
            node: words.next().map(|name| NodeName(name.into())),
            created_at: Some(now() - SignedDuration::from_hours(1)),
            deletion_at: match state {
                "stopping" => Some(now() + SignedDuration::from_secs(10)),
                "stuck" => Some(now() - SignedDuration::from_mins(10)),
                _ => None,
            },
            phase: if state == "failed" { Phase::Failed } else { Phase::Running },
            reason: String::new(),
            message: String::new(),
            conditions: vec![ready],
            readiness_gates: Vec::new(),
            containers: Vec::new(),
        };
        self.view.insert(Object::PodStatus(Box::new(pod)));
        self
    }
}

fn owner(kind: &str, uid: &str) -> OwnerRef {
    let group = "apps".into();
    OwnerRef { group, version: "v1".into(), kind: kind.into(), name: "foo".into(), uid: Uid(uid.into()) }
}
