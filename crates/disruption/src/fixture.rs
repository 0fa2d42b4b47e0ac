//! Small worlds for tests, in the field's words:
//! `world().with(node("n1")).runs(&deployment("web"), ["n1", "n2"]).with(budget("web").max_unavailable("1"))`.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use crate::{
    model::{
        BudgetCondition, BudgetStatus, Deletion, DisruptionBudget, EmptyDir, JobRules, Node, NodeName, ObjectName,
        OnEviction, OwnerRef, Phase, Pod, Selector, Uid, UnhealthyPods, UpdateStrategy, Workload, WorkloadKind,
    },
    snapshot::{Object, Snapshot},
};

/// The namespace of everything that names none.
pub(crate) const NAMESPACE: &str = "shop";

/// The moment of every test.
pub(crate) fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn seconds_ago(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

/// A cluster without anything in it.
pub(crate) fn world() -> Snapshot {
    Snapshot::new(now())
}

impl Snapshot {
    pub(crate) fn with(mut self, object: impl Into<Object>) -> Self {
        self.insert(object.into());
        self
    }

    pub(crate) fn with_all(self, objects: impl IntoIterator<Item = impl Into<Object>>) -> Self {
        objects.into_iter().fold(self, Self::with)
    }

    pub(crate) fn nodes<const N: usize>(self, names: [&str; N]) -> Self {
        self.with_all(names.map(node))
    }

    /// A workload that wants as many pods as there are nodes named, and these pods, Ready: `web-1`, `web-2` and so on,
    /// labelled `app=web`. A Deployment gets a `ReplicaSet` in between.
    pub(crate) fn runs<'n>(self, workload: &Workload, nodes: impl IntoIterator<Item = &'n str>) -> Self {
        let nodes: Vec<&str> = nodes.into_iter().collect();
        let workload = workload.clone().replicas(i32::try_from(nodes.len()).unwrap());
        let name = workload.name.name.clone();
        let (world, owner) = if workload.kind == WorkloadKind::Deployment {
            let set = replica_set(&format!("{name}-rs")).of(&workload).replicas(workload.replicas);
            (self.with(workload).with(set.clone()), set)
        } else {
            (self.with(workload.clone()), workload)
        };
        let pods =
            (1..).zip(nodes).map(|(n, node)| pod(&format!("{name}-{n}")).labelled("app", &name).on(node).of(&owner));
        world.with_all(pods)
    }

    /// Changes a pod that is in already.
    pub(crate) fn pod(mut self, name: &str, change: impl FnOnce(Pod) -> Pod) -> Self {
        let at = self.pods.iter().position(|pod| pod.name.name == name).unwrap();
        self.pods[at] = change(self.pods[at].clone());
        self
    }
}

impl From<Node> for Object {
    fn from(node: Node) -> Self {
        Self::Node(node)
    }
}

impl From<Pod> for Object {
    fn from(pod: Pod) -> Self {
        Self::Pod(Box::new(pod))
    }
}

impl From<DisruptionBudget> for Object {
    fn from(budget: DisruptionBudget) -> Self {
        Self::Budget(Box::new(budget))
    }
}

impl From<Workload> for Object {
    fn from(workload: Workload) -> Self {
        Self::Workload(Box::new(workload))
    }
}

/// A schedulable node that is Ready.
pub(crate) fn node(name: &str) -> Node {
    Node {
        name: NodeName(name.into()),
        uid: Uid(format!("node-{name}")),
        labels: [("kubernetes.io/hostname".to_owned(), name.to_owned())].into(),
        unschedulable: false,
        ready: true,
        not_ready_reason: None,
        resource_version: "1".into(),
        record: None,
        cordoned_at: None,
        cordoned_by: None,
    }
}

impl Node {
    pub(crate) fn cordoned(self) -> Self {
        Self { unschedulable: true, ..self }
    }

    pub(crate) fn not_ready(self, reason: &str) -> Self {
        Self { ready: false, not_ready_reason: Some(reason.into()), ..self }
    }
}

/// A Ready pod on node `n1` that nobody owns.
pub(crate) fn pod(name: &str) -> Pod {
    Pod {
        name: ObjectName::new(NAMESPACE, name),
        uid: Uid(format!("pod-{name}")),
        node: Some(NodeName("n1".into())),
        labels: [].into(),
        controller: None,
        phase: Phase::Running,
        ready: true,
        trouble: None,
        trouble_message: None,
        deletion: None,
        is_mirror: false,
        empty_dirs: Vec::new(),
        host_paths: Vec::new(),
        claims: Vec::new(),
        tolerates_cordon: false,
        finalizers: Vec::new(),
        holds: Vec::new(),
        serves_without_pre_stop: false,
        priority: 0,
        grace_seconds: 30,
        start_seconds: None,
    }
}

impl Pod {
    pub(crate) fn on(self, node: &str) -> Self {
        Self { node: Some(NodeName(node.into())), ..self }
    }

    pub(crate) fn in_namespace(mut self, namespace: &str) -> Self {
        self.name.namespace = namespace.into();
        self
    }

    pub(crate) fn labelled(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// Owned by a workload.
    pub(crate) fn of(self, owner: &Workload) -> Self {
        Self { controller: Some(owner.reference()), ..self }
    }

    /// Owned by something that may not be in the world: `of_kind("apps/v1", "ReplicaSet", "web")`.
    pub(crate) fn of_kind(self, api_version: &str, kind: &str, name: &str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let uid = Uid(format!("{kind}-{name}"));
        let reference =
            OwnerRef { group: group.into(), version: version.into(), kind: kind.into(), name: name.into(), uid };
        Self { controller: Some(reference), ..self }
    }

    pub(crate) fn unready(self, trouble: &str) -> Self {
        let trouble = Some(trouble.to_owned()).filter(|trouble| !trouble.is_empty());
        Self { ready: false, trouble, ..self }
    }

    pub(crate) fn in_phase(self, phase: Phase) -> Self {
        Self { phase, ready: false, ..self }
    }

    /// Being deleted, its grace period over since that many seconds.
    pub(crate) fn terminating_since(self, seconds: i64) -> Self {
        Self { deletion: Some(Deletion { at: seconds_ago(seconds) }), ..self }
    }

    pub(crate) fn empty_dir(mut self, volume: &str) -> Self {
        self.empty_dirs.push(EmptyDir { volume: volume.into(), in_memory: false });
        self
    }
}

fn workload(kind: WorkloadKind, name: &str) -> Workload {
    Workload {
        kind,
        name: ObjectName::new(NAMESPACE, name),
        uid: Uid(format!("{}-{name}", kind.as_str())),
        controller: None,
        replicas: 1,
        is_deleting: false,
        strategy: UpdateStrategy::None,
        job: None,
    }
}

/// A Deployment with the API's default strategy.
pub(crate) fn deployment(name: &str) -> Workload {
    workload(WorkloadKind::Deployment, name).rolling("25%")
}

pub(crate) fn replica_set(name: &str) -> Workload {
    workload(WorkloadKind::ReplicaSet, name)
}

pub(crate) fn replication_controller(name: &str) -> Workload {
    workload(WorkloadKind::ReplicationController, name)
}

pub(crate) fn stateful_set(name: &str) -> Workload {
    workload(WorkloadKind::StatefulSet, name)
}

pub(crate) fn daemon_set(name: &str) -> Workload {
    workload(WorkloadKind::DaemonSet, name)
}

/// A running Job that counts an eviction as a failure.
pub(crate) fn job(name: &str) -> Workload {
    let rules = JobRules {
        on_eviction: OnEviction::CountsAsFailure,
        backoff_limit: 6,
        is_suspended: false,
        is_finished: false,
    };
    Workload { job: Some(rules), ..workload(WorkloadKind::Job, name) }
}

impl Workload {
    pub(crate) fn replicas(self, replicas: i32) -> Self {
        Self { replicas, ..self }
    }

    /// Owned by another workload.
    pub(crate) fn of(self, owner: &Self) -> Self {
        Self { controller: Some(owner.reference()), ..self }
    }

    pub(crate) fn deleting(self) -> Self {
        Self { is_deleting: true, ..self }
    }

    pub(crate) fn rolling(self, max_unavailable: &str) -> Self {
        let max_unavailable = max_unavailable.parse().unwrap();
        Self { strategy: UpdateStrategy::Rolling { max_unavailable, max_surge: "25%".parse().unwrap() }, ..self }
    }

    pub(crate) fn rules(mut self, change: impl FnOnce(&mut JobRules)) -> Self {
        change(self.job.as_mut().unwrap());
        self
    }

    fn reference(&self) -> OwnerRef {
        let group = match self.kind {
            WorkloadKind::ReplicationController => "",
            WorkloadKind::Job => "batch",
            _ => "apps",
        };
        OwnerRef {
            group: group.into(),
            version: "v1".into(),
            kind: self.kind.as_str().into(),
            name: self.name.name.clone(),
            uid: self.uid.clone(),
        }
    }
}

/// A budget that covers the pods labelled `app=NAME` and sets no number.
pub(crate) fn budget(name: &str) -> DisruptionBudget {
    DisruptionBudget {
        name: ObjectName::new(NAMESPACE, name),
        uid: Uid(format!("budget-{name}")),
        generation: 0,
        min_available: None,
        max_unavailable: None,
        selector: None,
        unhealthy_pods: UnhealthyPods::IfHealthyBudget,
        status: BudgetStatus::default(),
    }
    .selecting(&format!("app={name}"))
}

impl DisruptionBudget {
    pub(crate) fn min_available(self, value: &str) -> Self {
        Self { min_available: Some(value.parse()), ..self }
    }

    pub(crate) fn max_unavailable(self, value: &str) -> Self {
        Self { max_unavailable: Some(value.parse()), ..self }
    }

    /// An empty text selects every pod of the namespace.
    pub(crate) fn selecting(self, selector: &str) -> Self {
        Self { selector: Some(selector.parse::<Selector>()), ..self }
    }

    pub(crate) fn without_selector(self) -> Self {
        Self { selector: None, ..self }
    }

    pub(crate) fn unhealthy(self, policy: UnhealthyPods) -> Self {
        Self { unhealthy_pods: policy, ..self }
    }

    /// Of the generation, of which the controller has seen `observed`.
    pub(crate) fn generation(mut self, generation: i64, observed: i64) -> Self {
        self.generation = generation;
        self.status.observed_generation = observed;
        self
    }

    /// What the controller wrote: expected, desired and healthy pods.
    pub(crate) fn status(mut self, expected: i32, desired: i32, healthy: i32) -> Self {
        self.status.expected_pods = expected;
        self.status.desired_healthy = desired;
        self.status.current_healthy = healthy;
        self.status.disruptions_allowed = (healthy - desired).max(0);
        self
    }

    /// Condition `DisruptionAllowed` with this reason.
    pub(crate) fn condition(mut self, reason: &str, message: &str) -> Self {
        self.status.condition = Some(BudgetCondition { reason: reason.into(), message: message.into() });
        self
    }

    /// The server granted the eviction of this pod that many seconds ago.
    pub(crate) fn granted(mut self, pod: &str, seconds: i64) -> Self {
        self.status.disrupted_pods.insert(pod.into(), seconds_ago(seconds));
        self
    }
}

/// Some apps of every kind on nodes `n1` to `n3`, their pods in every state, under some budgets.
pub(crate) fn any_world() -> impl Strategy<Value = Snapshot> {
    let pods = proptest::collection::vec((0..3_usize, 0..12_usize, 0..3_i32), 1..6);
    let apps = proptest::collection::vec((0..8_usize, -1..=1_i32, pods), 1..5);
    let budgets = proptest::collection::vec((0..5_usize, any::<bool>(), 0..16_usize, 0..4_usize), 0..5);
    (apps, budgets).prop_map(|(apps, budgets)| {
        let mut world = world().nodes(["n1", "n2", "n3"]);
        for (number, (kind, extra, pods)) in apps.into_iter().enumerate() {
            world = with_app(world, number, kind, extra, &pods);
        }
        for (number, (app, is_minimum, value, policy)) in budgets.into_iter().enumerate() {
            world = world.with(any_budget(number, app, is_minimum, value, policy));
        }
        world
    })
}

fn with_app(world: Snapshot, number: usize, kind: usize, extra: i32, pods: &[(usize, usize, i32)]) -> Snapshot {
    let name = format!("app-{number}");
    let replicas = i32::try_from(pods.len()).unwrap() + extra;
    let (world, owner) = match kind {
        0 => (world, None),
        1 => {
            let owner = stateful_set(&name).replicas(replicas);
            (world.with(owner.clone()), Some(owner))
        }
        2 => {
            let owner = replication_controller(&name).replicas(replicas);
            (world.with(owner.clone()), Some(owner))
        }
        3 => {
            let owner = job(&name);
            (world.with(owner.clone()), Some(owner))
        }
        _ => {
            let owner = deployment(&name).replicas(replicas);
            let set = replica_set(&name).of(&owner).replicas(replicas);
            (world.with(owner).with(set.clone()), Some(set))
        }
    };
    world.with_all(pods.iter().enumerate().map(|(n, &(node, state, priority))| {
        let pod = pod(&format!("{name}-{n}")).labelled("app", &name).on(["n1", "n2", "n3"][node]);
        let pod = owner.as_ref().map_or(pod.clone(), |owner| pod.clone().of(owner));
        let pod = Pod { priority, ..pod };
        match state {
            0 => pod.unready("CrashLoopBackOff"),
            1 => pod.in_phase(Phase::Pending),
            2 => pod.in_phase(Phase::Succeeded),
            3 => pod.terminating_since(1),
            4 => pod.unready("").terminating_since(1),
            _ => pod,
        }
    }))
}

fn any_budget(number: usize, app: usize, is_minimum: bool, value: usize, policy: usize) -> DisruptionBudget {
    let values = ["0", "1", "2", "3", "4", "6", "0%", "1%", "25%", "34%", "50%", "66%", "67%", "75%", "99%", "100%"];
    let budget = budget(&format!("budget-{number}"));
    let budget = if app == 4 { budget.selecting("") } else { budget.selecting(&format!("app=app-{app}")) };
    let budget = if is_minimum { budget.min_available(values[value]) } else { budget.max_unavailable(values[value]) };
    match policy {
        0 => budget.unhealthy(UnhealthyPods::AlwaysAllow),
        1 => budget.unhealthy(UnhealthyPods::Unrecognized("Sometimes".into())),
        2 => budget.granted("app-0-0", 30),
        _ => budget,
    }
}
