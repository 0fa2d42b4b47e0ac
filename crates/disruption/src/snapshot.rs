//! What was seen at one moment: plain data, with what could not be read marked unknown, never silently empty.

mod file;

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;

use crate::{
    model::{
        DisruptionBudget, Incident, Node, ObjectName, Pod, PodStatus, Revision, Rollout, RolloutKind, Workload,
        WorkloadKind,
    },
    workload::Workloads,
};

pub use crate::file::ReadError;
pub use file::read;

/// The cluster at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// When it was taken, by the server's clock: the only `now` that decisions know.
    pub taken_at: Timestamp,
    /// All nodes that were asked for.
    pub nodes: Vec<Node>,
    /// All pods of the cluster.
    pub pods: Vec<Pod>,
    /// All disruption budgets.
    pub budgets: Vec<DisruptionBudget>,
    /// Everything that owns pods.
    pub workloads: Workloads,
    /// Kinds that could not be read: their lists are empty and mean nothing.
    pub unknown: BTreeMap<Kind, Unreadable>,
}

/// A kind of objects that decisions read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Nodes.
    Node,
    /// Pods.
    Pod,
    /// Disruption budgets.
    PodDisruptionBudget,
    /// A kind of workload.
    Workload(WorkloadKind),
    /// Revisions of `StatefulSet`s and `DaemonSet`s.
    ControllerRevision,
    /// The API's events.
    Incident,
}

/// Why a kind is unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// The file holds no object of this kind, which does not mean that the cluster has none.
    NotInFile,
    /// The server refused, in its words.
    Forbidden(String),
    /// Reading failed otherwise.
    Failed(String),
}

/// One object, read for what decides about it: a drain and a rollout read different parts of a pod and of a workload.
#[derive(Debug, Clone)]
pub enum Object {
    /// A node.
    Node(Node),
    /// A pod, as drains read it.
    Pod(Box<Pod>),
    /// A disruption budget.
    Budget(Box<DisruptionBudget>),
    /// A workload, as drains read it.
    Workload(Box<Workload>),
    /// A workload, as rollouts read it.
    Rollout(Box<Rollout>),
    /// A revision of a workload.
    Revision(Box<Revision>),
    /// A pod, as rollouts read it.
    PodStatus(Box<PodStatus>),
    /// An event of the API.
    Incident(Box<Incident>),
}

impl Snapshot {
    /// An empty snapshot of which every kind is known.
    pub fn new(taken_at: Timestamp) -> Self {
        Self {
            taken_at,
            nodes: Vec::new(),
            pods: Vec::new(),
            budgets: Vec::new(),
            workloads: Workloads::default(),
            unknown: BTreeMap::new(),
        }
    }

    /// Puts an object in. What only rollouts read is no part of it.
    pub fn insert(&mut self, object: Object) {
        match object {
            Object::Node(node) => self.nodes.push(node),
            Object::Pod(pod) => self.pods.push(*pod),
            Object::Budget(budget) => self.budgets.push(*budget),
            Object::Workload(workload) => self.workloads.insert(*workload),
            Object::Rollout(_) | Object::Revision(_) | Object::PodStatus(_) | Object::Incident(_) => {}
        }
    }

    /// Marks a kind as one that could not be read.
    pub fn mark_unknown(&mut self, kind: Kind, why: Unreadable) {
        if let Kind::Workload(kind) = kind {
            self.workloads.mark_unknown(kind);
        }
        self.unknown.insert(kind, why);
    }

    /// Whether a kind was read.
    pub fn knows(&self, kind: Kind) -> bool {
        !self.unknown.contains_key(&kind)
    }
}

impl Object {
    /// Reads what drains read of an object from its JSON; nothing of kinds that they don't read.
    ///
    /// # Errors
    /// Names what does not have the kind's shape.
    pub fn read_for_drain(kind: Kind, object: &str) -> Result<Option<Self>, serde_json::Error> {
        Ok(Some(match kind {
            Kind::Node => Self::Node(Node::read(object)?),
            Kind::Pod => Self::Pod(Box::new(Pod::read(object)?)),
            Kind::PodDisruptionBudget => Self::Budget(Box::new(DisruptionBudget::read(object)?)),
            Kind::Workload(kind) => Self::Workload(Box::new(Workload::read(kind, object)?)),
            Kind::ControllerRevision | Kind::Incident => return Ok(None),
        }))
    }

    /// Reads what rollouts read of an object from its JSON; nothing of what is of no interest to them.
    ///
    /// # Errors
    /// Names what does not have the kind's shape.
    pub fn read_for_rollout(kind: Kind, object: &str) -> Result<Option<Self>, serde_json::Error> {
        let rollout = |kind| Ok(Some(Self::Rollout(Box::new(Rollout::read(kind, object)?))));
        let revision = |revision: Option<Revision>| revision.map(Box::new).map(Self::Revision);
        match kind {
            Kind::Workload(WorkloadKind::Deployment) => rollout(RolloutKind::Deployment),
            Kind::Workload(WorkloadKind::StatefulSet) => rollout(RolloutKind::StatefulSet),
            Kind::Workload(WorkloadKind::DaemonSet) => rollout(RolloutKind::DaemonSet),
            Kind::Workload(WorkloadKind::ReplicaSet) => Revision::read_replica_set(object).map(revision),
            Kind::ControllerRevision => Revision::read_controller_revision(object).map(revision),
            Kind::Pod => Ok(Some(Self::PodStatus(Box::new(PodStatus::read(object)?)))),
            Kind::Incident => Ok(Some(Self::Incident(Box::new(Incident::read(object)?)))),
            Kind::Node => Ok(Some(Self::Node(Node::read(object)?))),
            Kind::Workload(WorkloadKind::ReplicationController | WorkloadKind::Job) | Kind::PodDisruptionBudget => {
                Ok(None)
            }
        }
    }

    /// The object's kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Node(_) => Kind::Node,
            Self::Pod(_) | Self::PodStatus(_) => Kind::Pod,
            Self::Budget(_) => Kind::PodDisruptionBudget,
            Self::Workload(workload) => Kind::Workload(workload.kind),
            Self::Rollout(rollout) => Kind::Workload(rollout.kind.workload()),
            Self::Revision(revision) if revision.owner.is("apps", "Deployment") => {
                Kind::Workload(WorkloadKind::ReplicaSet)
            }
            Self::Revision(_) => Kind::ControllerRevision,
            Self::Incident(_) => Kind::Incident,
        }
    }

    /// Namespace and name; a node's namespace is empty.
    pub fn name(&self) -> ObjectName {
        match self {
            Self::Node(node) => ObjectName::new("", &*node.name.0),
            Self::Pod(pod) => pod.name.clone(),
            Self::Budget(budget) => budget.name.clone(),
            Self::Workload(workload) => workload.name.clone(),
            Self::Rollout(rollout) => rollout.name.clone(),
            Self::Revision(revision) => revision.name.clone(),
            Self::PodStatus(pod) => pod.name.clone(),
            Self::Incident(incident) => ObjectName::new(&incident.namespace, &incident.name),
        }
    }
}

impl Kind {
    /// Every kind that a [`Snapshot`] holds.
    pub fn all() -> impl Iterator<Item = Self> {
        [Self::Node, Self::Pod, Self::PodDisruptionBudget]
            .into_iter()
            .chain(WorkloadKind::ALL.into_iter().map(Self::Workload))
    }

    /// The resource with its group, as the server names it.
    pub const fn resource(self) -> &'static str {
        match self {
            Self::Node => "nodes",
            Self::Pod => "pods",
            Self::PodDisruptionBudget => "poddisruptionbudgets.policy",
            Self::Workload(kind) => kind.resource(),
            Self::ControllerRevision => "controllerrevisions.apps",
            Self::Incident => "events",
        }
    }

    /// The same in two parts; the group is empty for core.
    pub fn plural_and_group(self) -> (&'static str, &'static str) {
        self.resource().split_once('.').unwrap_or((self.resource(), ""))
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInFile => f.write_str("the file holds none"),
            Self::Forbidden(message) | Self::Failed(message) => f.write_str(message),
        }
    }
}
