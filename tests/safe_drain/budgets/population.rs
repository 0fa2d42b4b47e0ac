//! What budgets are about, described and then created for real: owners, their pods in every state, and budgets.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use anyhow::{Context, Result};
use cluster::{
    act::{self, Effect},
    connect::Connection,
};
use disruption::{
    action::Removal,
    model::{ObjectName, Uid},
};
use futures::future::{try_join, try_join_all};
use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    core::v1::Pod,
    policy::v1::PodDisruptionBudget,
};
use kube::{
    ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    runtime::watcher,
};
use lab::{Lab, Node, World, wait, world::Workload};
use serde_json::{Value, json};

use super::comparison;

/// A world with everything that its cases describe.
pub(super) struct Population {
    pub(super) world: World,
    pub(super) node: Node,
    pub(super) connection: Connection,
    /// By the names of their budgets: the case's title, and what it says of the budget.
    pub(super) budgets: BTreeMap<String, (String, Budget)>,
    /// What the names of cases begin with that want evictions granted, and how many.
    granted: Vec<(String, usize)>,
}

/// Owners, their pods and the budgets over them.
#[derive(Debug, Clone)]
pub(super) struct Case {
    title: String,
    owners: Vec<Owner>,
    budgets: Vec<Budget>,
    /// Evictions that the server grants and that then do not happen.
    granted: usize,
    is_alone: bool,
}

/// A budget of a case.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    /// Its spec without the selector.
    pub(super) spec: Value,
    pub(super) selector: Selector,
    /// What must come out, where that is known beforehand. `{case}` is what its names begin with.
    pub(super) expected: Option<String>,
}

/// What a budget selects.
#[derive(Debug, Clone)]
pub(super) enum Selector {
    /// All pods of its case.
    Case,
    /// The pods of one owner of its case.
    Owner(usize),
    /// Whatever this label selector selects.
    Written(Value),
    /// It has no selector.
    Missing,
}

/// Something that has pods.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    kind: Kind,
    replicas: usize,
    /// The states of the first pods; the others are Ready.
    states: Vec<State>,
    tier: &'static str,
}

/// What has pods.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Deployment,
    /// A Deployment of which one pod fits on a node.
    Crowded,
    /// A Deployment in the middle of a rollout.
    Rollout {
        surge_is_ready: bool,
    },
    /// A ReplicaSet whose Deployment is gone, held by a finalizer.
    Held,
    ReplicaSet,
    ReplicationController,
    StatefulSet,
    Job,
    DaemonSet,
    /// Pods created one by one.
    Pods(Reference),
}

/// What pods that were created one by one say about their owner.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reference {
    None,
    /// An owner that is not their controller.
    NotController,
    /// The node: mirrors of static pods.
    Node,
    /// A kind of its own whose scale says so many.
    Widget(i32),
    /// A kind of its own without a scale.
    Gadget,
    ConfigMap,
    /// Directly a Deployment of so many other pods.
    Deployment(i32),
    /// An object that does not exist: the garbage collector deletes the pods, which then hang.
    Absent(&'static str, &'static str),
    /// An object of that name that has another UID: the same.
    Impostor,
    /// A kind that the server does not have: the garbage collector can do nothing.
    Unserved(&'static str, &'static str),
}

/// The state of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    Ready,
    Unready,
    /// Not placed. For all pods of a workload or none.
    Pending,
    /// Placed, containers not started.
    Creating,
    Succeeded,
    Failed,
    /// Failed, with a condition Ready that nobody has taken back.
    FailedButReady,
    /// Ready, in a phase Unknown.
    Unknown,
    /// Being deleted, and hanging.
    Terminating,
}

/// How long pods may take on a busy machine, all of them together.
const LIMIT: Duration = Duration::from_secs(180);

/// How many pods a rollout has too many at most.
const SURGE: usize = 2;

pub(super) fn case(title: &str) -> Case {
    Case { title: title.to_owned(), owners: Vec::new(), budgets: Vec::new(), granted: 0, is_alone: false }
}

pub(super) fn owner(kind: Kind, replicas: usize) -> Owner {
    Owner { kind, replicas, states: Vec::new(), tier: "a" }
}

impl Population {
    /// Creates a world with all cases in it and waits until nothing moves any more.
    pub(super) async fn create(lab: &Lab, cases: Vec<Case>) -> Result<Self> {
        let world = lab.world("budgets").await?;
        let node = world.node("a").capacity("64", "256Gi", 500).create().await?;
        let connection = comparison::connect(&world)?;
        let slugs: Vec<String> = (0..cases.len()).map(|number| format!("c{number}")).collect();
        try_join_all(cases.iter().zip(&slugs).map(|(case, slug)| async {
            let created = case.create(&world, &node, slug).await;
            created.with_context(|| format!("{}: {:?}", case.title, case.owners))
        }))
        .await?;
        let mut budgets = BTreeMap::new();
        let mut granted = Vec::new();
        for (case, slug) in cases.into_iter().zip(slugs) {
            for (number, mut budget) in case.budgets.into_iter().enumerate() {
                budget.expected = budget.expected.map(|expected| expected.replace("{case}", &slug));
                budgets.insert(budget_name(&slug, number), (case.title.clone(), budget));
            }
            if case.granted > 0 {
                granted.push((slug, case.granted));
            }
        }
        Ok(Self { world, node, connection, budgets, granted })
    }

    /// Has the server grant the evictions that then do not happen. It believes in them for two minutes.
    pub(super) async fn grant(&self) -> Result<()> {
        for (slug, count) in &self.granted {
            let labels = format!("case={slug}");
            comparison::resync(&self.world, &labels).await?;
            let pods = self.world.api::<Pod>().list(&ListParams::default().labels(&labels)).await?;
            for pod in pods.iter().take(*count) {
                grant_in_vain(&self.connection, pod).await?;
            }
        }
        Ok(())
    }
}

impl Case {
    pub(super) fn of(mut self, owner: Owner) -> Self {
        self.owners.push(owner);
        self
    }

    /// A budget for all pods of the case.
    pub(super) fn budget(self, spec: Value, expected: &str) -> Self {
        self.selecting(Selector::Case, spec, Some(expected))
    }

    pub(super) fn selecting(mut self, selector: Selector, spec: Value, expected: Option<&str>) -> Self {
        self.budgets.push(Budget { spec, selector, expected: expected.map(str::to_owned) });
        self
    }

    /// Has the server grant evictions that then do not happen.
    pub(super) fn granting(mut self, evictions: usize) -> Self {
        self.granted = evictions;
        self
    }

    /// Gives the case a namespace of its own, for selectors that reach far.
    pub(super) fn alone(mut self) -> Self {
        self.is_alone = true;
        self
    }

    pub(super) fn is_alone(&self) -> bool {
        self.is_alone
    }

    async fn create(&self, world: &World, node: &Node, slug: &str) -> Result<()> {
        let budgets = self.budgets.iter().enumerate().map(|(number, budget)| budget.create(world, slug, number));
        let owners = self.owners.iter().enumerate();
        let owners = owners.map(|(number, owner)| owner.create(world, node, slug, owner_name(slug, number)));
        try_join(try_join_all(budgets), try_join_all(owners)).await?;
        let mut at_rest = Census::new();
        for (state, count) in self.owners.iter().flat_map(Owner::at_rest) {
            *at_rest.entry(state).or_default() += count;
        }
        await_states(world, &format!("case={slug}"), &at_rest).await?;
        Ok(())
    }
}

impl Budget {
    async fn create(&self, world: &World, slug: &str, number: usize) -> Result<()> {
        let name = budget_name(slug, number);
        let mut spec = self.spec.clone();
        match &self.selector {
            Selector::Case => spec["selector"] = json!({"matchLabels": {"case": slug}}),
            Selector::Owner(number) => spec["selector"] = json!({"matchLabels": {"app": owner_name(slug, *number)}}),
            Selector::Written(selector) => spec["selector"] = selector.clone(),
            Selector::Missing => {}
        }
        let metadata = json!({"name": name, "labels": {"case": slug}});
        let budget: PodDisruptionBudget = serde_json::from_value(json!({"metadata": metadata, "spec": spec}))?;
        world.api().create(&PostParams::default(), &budget).await.with_context(|| format!("{spec}"))?;
        Ok(())
    }
}

impl Owner {
    /// Gives the first pods these states.
    pub(super) fn with(mut self, states: &[State]) -> Self {
        self.states = states.to_vec();
        self
    }

    /// Gives all pods this state.
    pub(super) fn all(self, state: State) -> Self {
        let states = vec![state; self.replicas];
        self.with(&states)
    }

    /// Gives the pods this label `tier`.
    pub(super) fn tier(mut self, tier: &'static str) -> Self {
        self.tier = tier;
        self
    }

    /// How many pods are in which state in the end.
    fn at_rest(&self) -> Census {
        match self.kind {
            Kind::Crowded => self.census(|number, _| if number == 0 { State::Ready } else { State::Pending }),
            Kind::Rollout { surge_is_ready } => {
                let mut census = self.census(|_, state| state);
                let surge = if surge_is_ready { State::Ready } else { State::Unready };
                *census.entry(surge).or_default() += self.surge();
                census
            }
            Kind::Pods(Reference::Absent(..) | Reference::Impostor) => self.census(|_, _| State::Terminating),
            Kind::Deployment | Kind::ReplicaSet | Kind::ReplicationController => {
                let mut census = self.census(|_, state| state.seen());
                let replaced = [State::Failed, State::Terminating].map(|state| census.get(&state).copied());
                let replaced: usize = replaced.into_iter().flatten().sum();
                if replaced > 0 {
                    *census.entry(State::Ready).or_default() += replaced;
                }
                census
            }
            _ => self.census(|_, state| state.seen()),
        }
    }

    async fn create(&self, world: &World, node: &Node, slug: &str, name: String) -> Result<()> {
        let app = format!("app={name}");
        if let Kind::Pods(reference) = self.kind {
            let references = reference.create(world, node, &name).await?;
            try_join_all((0..self.replicas).map(|number| {
                let pod = self.pod(world, node, reference, &references, &format!("{name}-{number}"), number);
                self.labelled(pod, slug).label("app", &name).create()
            }))
            .await?;
            if matches!(reference, Reference::Absent(..) | Reference::Impostor) {
                return Ok(());
            }
            let pods = await_states(world, &app, &self.census(|_, state| state.at_creation())).await?;
            return self.enter_states(world, &pods).await;
        }
        self.labelled(self.workload(world, &name)?, slug).create().await?;
        let started = match self.kind {
            Kind::Crowded => return Ok(()),
            _ if self.state(0) == State::Pending || self.state(0) == State::Succeeded => return Ok(()),
            _ => self.census(|_, _| State::Ready),
        };
        let pods = await_states(world, &app, &started).await?;
        match self.kind {
            Kind::Rollout { surge_is_ready } => self.roll_out(world, &name, surge_is_ready).await,
            Kind::Held => hold(world, &name).await,
            _ => self.enter_states(world, &pods).await,
        }
    }

    fn labelled<'w>(&self, workload: Workload<'w>, slug: &str) -> Workload<'w> {
        workload.label("case", slug).label("tier", self.tier)
    }

    fn pod<'w>(
        &self,
        world: &'w World,
        node: &Node,
        reference: Reference,
        references: &Value,
        name: &str,
        number: usize,
    ) -> Workload<'w> {
        let pod = match reference {
            Reference::Node => world.pod(name).mirror_on(node),
            _ if self.state(number) == State::Pending => {
                let nowhere = json!({"spec": {"nodeSelector": {"lab.test/nowhere": ""}}});
                world.pod(name).patch(nowhere)
            }
            _ => world.pod(name).on(node),
        };
        let pod = match self.state(number) {
            State::Unready => pod.label("sim.test/ready", "false"),
            State::Creating => pod.scenario("stuck-creating"),
            State::Succeeded => pod.scenario("complete").patch(json!({"spec": {"restartPolicy": "Never"}})),
            State::Failed => pod.scenario("fail").patch(json!({"spec": {"restartPolicy": "Never"}})),
            _ => pod,
        };
        match reference {
            Reference::None | Reference::Node => pod,
            // Whenever the garbage collector comes, the pod stays.
            Reference::Absent(..) | Reference::Impostor => {
                pod.label("sim.test/stuck", "true").patch(json!({"metadata": {"ownerReferences": references}}))
            }
            _ => pod.patch(json!({"metadata": {"ownerReferences": references}})),
        }
    }

    fn workload<'w>(&self, world: &'w World, name: &str) -> Result<Workload<'w>> {
        let workload = match self.kind {
            Kind::Deployment | Kind::Held => world.deployment(name),
            Kind::Crowded => {
                // Owners of one namespace share a node, but no port.
                let number: u16 = name.rsplit('-').next().context("a number")?.parse()?;
                let ports = json!([{"containerPort": 80, "hostPort": 8080 + number}]);
                let container = json!({"name": "main", "image": "registry.test/app:1", "ports": ports});
                world.deployment(name).patch(json!({"spec": {"template": {"spec": {"containers": [container]}}}}))
            }
            Kind::Rollout { .. } => world.deployment(name).max_surge(self.surge()).max_unavailable(0),
            Kind::ReplicaSet => world.replica_set(name),
            Kind::ReplicationController => world.replication_controller(name),
            Kind::StatefulSet => world.stateful_set(name).patch(json!({"spec": {"podManagementPolicy": "Parallel"}})),
            Kind::Job if self.state(0) == State::Succeeded => world.job(name).sim("run-duration", "200ms"),
            Kind::Job => world.job(name),
            Kind::DaemonSet => world.daemon_set(name),
            Kind::Pods(_) => world.pod(name),
        };
        let workload = match self.state(0) {
            State::Pending => {
                let nowhere = json!({"nodeSelector": {"lab.test/nowhere": ""}});
                workload.patch(json!({"spec": {"template": {"spec": nowhere}}}))
            }
            _ => workload,
        };
        Ok(workload.replicas(i32::try_from(self.replicas)?))
    }

    async fn roll_out(&self, world: &World, name: &str, surge_is_ready: bool) -> Result<()> {
        let labels = json!({"sim.test/ready": "false"});
        let deployments = world.api::<Deployment>();
        let patch = Patch::Merge(json!({"spec": {"template": {"metadata": {"labels": labels}}}}));
        deployments.patch(name, &PatchParams::default(), &patch).await?;
        let mut census = self.census(|_, _| State::Ready);
        census.insert(State::Unready, self.surge());
        let pods = await_states(world, &format!("app={name}"), &census).await?;
        if !surge_is_ready {
            return Ok(());
        }
        // So that it goes no further when they get ready.
        let patch = Patch::Merge(json!({"spec": {"paused": true}}));
        let paused = deployments.patch(name, &PatchParams::default(), &patch).await?;
        let seen = |deployment: Option<&Deployment>| {
            let status = deployment.and_then(|deployment| deployment.status.as_ref());
            status.is_some_and(|status| status.observed_generation >= paused.metadata.generation)
        };
        world.until(name, "a paused rollout", wait::LIMIT, seen).await?;
        for pod in pods.iter().filter(|pod| state_of(pod) == State::Unready) {
            world.label_pod(&pod.name_any(), "sim.test/ready", None).await?;
        }
        Ok(())
    }

    async fn enter_states(&self, world: &World, pods: &[Pod]) -> Result<()> {
        let entered = pods.iter().zip(&self.states).map(|(pod, state)| enter(world, pod, *state));
        try_join_all(entered).await?;
        Ok(())
    }

    /// How many pods are in which state, by what `seen` says of each pod's number and state.
    fn census(&self, seen: impl Fn(usize, State) -> State) -> Census {
        let mut census = Census::new();
        for number in 0..self.replicas {
            *census.entry(seen(number, self.state(number))).or_default() += 1;
        }
        census
    }

    /// How many pods a rollout has too many. A whole new version that is Ready would end it.
    fn surge(&self) -> usize {
        SURGE.min(self.replicas.saturating_sub(1))
    }

    fn state(&self, number: usize) -> State {
        self.states.get(number).copied().unwrap_or(State::Ready)
    }
}

impl Reference {
    /// Creates the owner and returns the pods' `ownerReferences`.
    async fn create(self, world: &World, node: &Node, name: &str) -> Result<Value> {
        // No object has it. Each owner has a UID of its own, even one that does not exist.
        let nobody = &format!("00000000-0000-4000-8000-{:012x}", hash(&(&world.namespace, name)) >> 16);
        let controlled_by = |version: &str, kind: &str, uid: &str| reference(version, kind, name, uid);
        let config_map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
        let uid = async |created: Result<DynamicObject>| created?.uid().context("no uid");
        let reference = match self {
            Self::None => return Ok(json!([])),
            Self::Node => controlled_by("v1", "Node", &node.uid),
            Self::ConfigMap => controlled_by("v1", "ConfigMap", &uid(world.apply(config_map).await).await?),
            Self::NotController => {
                let mut reference = controlled_by("v1", "ConfigMap", &uid(world.apply(config_map).await).await?);
                reference["controller"] = false.into();
                reference
            }
            Self::Widget(scale) => controlled_by("lab.test/v1", "Widget", &uid(world.widget(name, scale).await).await?),
            Self::Gadget => controlled_by("lab.test/v1", "Gadget", &uid(world.gadget(name).await).await?),
            Self::Deployment(replicas) => {
                // Its own pods have other labels.
                let of_others = format!("{name}-others");
                let deployment = world.deployment(&of_others).replicas(replicas).create().await;
                let mut reference = controlled_by("apps/v1", "Deployment", &uid(deployment).await?);
                reference["name"] = of_others.into();
                reference
            }
            Self::Impostor => {
                world.replica_set(name).replicas(0).create().await?;
                controlled_by("apps/v1", "ReplicaSet", nobody)
            }
            Self::Absent(version, kind) | Self::Unserved(version, kind) => controlled_by(version, kind, nobody),
        };
        Ok(json!([reference]))
    }
}

impl State {
    /// What can be seen of it.
    fn seen(self) -> Self {
        match self {
            Self::Creating => Self::Pending,
            Self::FailedButReady => Self::Failed,
            other => other,
        }
    }

    /// What pods that were created one by one begin with.
    fn at_creation(self) -> Self {
        match self {
            Self::FailedButReady | Self::Unknown | Self::Terminating => Self::Ready,
            other => other.seen(),
        }
    }
}

type Census = BTreeMap<State, usize>;

fn reference(version: &str, kind: &str, name: &str, uid: &str) -> Value {
    json!({"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": true})
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn owner_name(slug: &str, number: usize) -> String {
    format!("{slug}-{number}")
}

fn budget_name(slug: &str, number: usize) -> String {
    format!("{slug}-{number}")
}

/// Waits until exactly so many pods are in each state, and returns them by name.
async fn await_states(world: &World, labels: &str, census: &Census) -> Result<Vec<Pod>> {
    let which = watcher::Config::default().labels(labels);
    let counted = |pods: &[Pod]| {
        let mut counts = Census::new();
        for pod in pods {
            *counts.entry(state_of(pod)).or_default() += 1;
        }
        counts == *census
    };
    wait::until_all(world.api(), which, &format!("{census:?} of {labels}"), LIMIT, counted).await
}

fn state_of(pod: &Pod) -> State {
    let status = pod.status.as_ref();
    let is_ready =
        |condition: &k8s_openapi::api::core::v1::PodCondition| condition.type_ == "Ready" && condition.status == "True";
    match status.and_then(|status| status.phase.as_deref()) {
        _ if pod.metadata.deletion_timestamp.is_some() => State::Terminating,
        Some("Running") => {
            let ready = status.and_then(|status| status.conditions.as_ref()).into_iter().flatten().any(is_ready);
            if ready { State::Ready } else { State::Unready }
        }
        Some("Succeeded") => State::Succeeded,
        Some("Failed") => State::Failed,
        Some("Unknown") => State::Unknown,
        _ => State::Pending,
    }
}

/// Brings a Ready pod into another state.
async fn enter(world: &World, pod: &Pod, state: State) -> Result<()> {
    let pods = world.api::<Pod>();
    let name = pod.name_any();
    let status = match state {
        State::Unready => return world.label_pod(&name, "sim.test/ready", Some("false")).await,
        State::Terminating => {
            world.label_pod(&name, "sim.test/stuck", Some("true")).await?;
            pods.delete(&name, &DeleteParams::default()).await?;
            return Ok(());
        }
        State::Failed => json!({"phase": "Failed", "conditions": [{"type": "Ready", "status": "False"}]}),
        State::FailedButReady => json!({"phase": "Failed"}),
        State::Unknown => json!({"phase": "Unknown"}),
        State::Ready | State::Pending | State::Creating | State::Succeeded => return Ok(()),
    };
    pods.patch_status(&name, &PatchParams::default(), &Patch::Strategic(json!({"status": status}))).await?;
    Ok(())
}

/// Deletes a Deployment whose ReplicaSet then hangs on a finalizer, with its pods.
async fn hold(world: &World, name: &str) -> Result<()> {
    let sets = world.api::<ReplicaSet>();
    let of_deployment = watcher::Config::default().labels(&format!("app={name}"));
    let made = wait::until_all(sets.clone(), of_deployment, "a ReplicaSet", LIMIT, |sets| !sets.is_empty()).await?;
    let set = made[0].name_any();
    let patch = Patch::Merge(json!({"metadata": {"finalizers": ["lab.test/stay"]}}));
    sets.patch(&set, &PatchParams::default(), &patch).await?;
    world.api::<Deployment>().delete(name, &DeleteParams::background()).await?;
    world.until::<Deployment>(name, "no Deployment", wait::LIMIT, |deployment| deployment.is_none()).await?;
    let hangs = |set: Option<&ReplicaSet>| set.is_some_and(|set| set.metadata.deletion_timestamp.is_some());
    world.until(&set, "a ReplicaSet that hangs", wait::LIMIT, hangs).await?;
    Ok(())
}

/// Has the server grant an eviction that then fails, since it is meant for another pod of that name.
async fn grant_in_vain(connection: &Connection, pod: &Pod) -> Result<()> {
    let name = ObjectName::new(pod.namespace().unwrap_or_default(), pod.name_any());
    let nobody = Uid("00000000-0000-4000-8000-000000000000".to_owned());
    match act::remove(connection, &name, &nobody, Removal::Evict, None, Effect::Real).await {
        Err(error) if error.is_conflict() => Ok(()),
        other => anyhow::bail!("an eviction of somebody else: {other:?}"),
    }
}
