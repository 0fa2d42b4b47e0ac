//! What a machine is told and what it asks for: the only words between the core's decisions and the driver that performs
//! them.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use crate::{
    event::Event,
    journal::Record,
    model::{Node, NodeName, ObjectName, Rollout, RolloutKind, Uid, WorkloadKind},
    snapshot::{Kind, Object},
};

/// A synchronous state machine. The driver feeds it what happened and performs what it asks for.
pub trait Machine {
    /// What it tells.
    type Event;

    /// Takes in what happened since the last call, possibly nothing but time, and decides what to do now.
    ///
    /// `now` is the server's time, and never goes back.
    fn handle(&mut self, now: Timestamp, inputs: Vec<Input>) -> Vec<Action<Self::Event>>;

    /// When it wants to be called again even if nothing happens.
    fn next_wake(&self) -> Option<Timestamp>;

    /// Whether it has come to its end: nothing is under way any more, and nothing will be asked for.
    fn is_finished(&self) -> bool;
}

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// A watch showed something.
    Watched(Watch, Change),
    /// The answer to [`Action::Remove`].
    Removed {
        /// The pod that was named.
        pod: Uid,
        /// What the server said.
        answer: RemovalAnswer,
    },
    /// The answer to [`Action::ReadPod`].
    PodRead {
        /// The pod that was asked for.
        pod: Uid,
        /// The UID of the pod that has its name now, if any; an error says why nobody knows.
        found: Result<Option<Uid>, Trouble>,
    },
    /// The answer to [`Action::WriteNode`].
    NodeWritten {
        /// The node.
        node: NodeName,
        /// What the server said.
        answer: NodeAnswer,
    },
    /// The answer to [`Action::PatchRollout`].
    RolloutPatched {
        /// The workload.
        uid: Uid,
        /// What the server said.
        answer: RolloutAnswer,
    },
    /// The answer to [`Action::DeletePod`].
    PodDeleted {
        /// The pod that was named.
        pod: Uid,
        /// What the server said.
        answer: RemovalAnswer,
    },
    /// The answer to [`Action::Look`].
    LookedUp {
        /// What was looked for.
        wanted: Wanted,
        /// Whether it is there; an error says why nobody knows.
        found: Result<bool, String>,
    },
    /// The answer to [`Action::ReadLog`].
    LogRead {
        /// The pod.
        pod: Uid,
        /// Its container.
        container: String,
        /// The last lines, oldest first; an error says why there are none.
        lines: Result<Vec<String>, String>,
    },
    /// The answer to [`Action::Probe`].
    Probed {
        /// The URL.
        url: String,
        /// The status code; an error says why there is none.
        answer: Result<u16, String>,
    },
    /// The user wants it to end (a first Ctrl-C, a SIGTERM).
    Interrupted,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action<E = Event> {
    /// Watch from now on, from the moment of the snapshot. Each watch is asked for once.
    Watch(Watch),
    /// Make a pod go: exactly this one.
    Remove {
        /// Its name.
        pod: ObjectName,
        /// Its UID.
        uid: Uid,
        /// How.
        removal: Removal,
        /// Seconds to stop in; none is its own.
        grace_period_seconds: Option<u32>,
    },
    /// Read which pod has this name now.
    ReadPod {
        /// The name.
        pod: ObjectName,
        /// The UID of the pod that is meant.
        uid: Uid,
    },
    /// Change a node that stands as it was seen in this version.
    WriteNode {
        /// The node.
        node: NodeName,
        /// The resourceVersion that the change was decided on.
        resource_version: String,
        /// The change.
        change: NodeChange,
    },
    /// Change a workload by a JSON patch (RFC 6902), whose tests name what it was decided on.
    PatchRollout {
        /// Its kind.
        kind: RolloutKind,
        /// Its name.
        name: ObjectName,
        /// Its UID.
        uid: Uid,
        /// The operations, to be sent as they are: the server compares tests byte by byte.
        patch: String,
    },
    /// Delete a pod that stands as it was seen in this version: exactly this one, in exactly this state.
    DeletePod {
        /// Its name.
        pod: ObjectName,
        /// Its UID.
        uid: Uid,
        /// The resourceVersion that it was decided on.
        resource_version: String,
    },
    /// Look whether an object is there.
    Look(Wanted),
    /// Read the last lines that a container wrote.
    ReadLog {
        /// The pod.
        pod: ObjectName,
        /// Its UID.
        uid: Uid,
        /// The container.
        container: String,
        /// Whether the container before its last restart is meant.
        previous: bool,
    },
    /// Request a URL once.
    Probe(String),
    /// Tell people and programs.
    Tell(E),
}

/// An object of a namespace whose existence matters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Wanted {
    /// What it is.
    pub kind: WantedKind,
    /// Its namespace; empty for kinds without one.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Keys that it must have.
    pub keys: Vec<String>,
}

/// A kind of object that a pod template may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WantedKind {
    /// A `ConfigMap`.
    ConfigMap,
    /// A Secret.
    Secret,
    /// A service account.
    ServiceAccount,
    /// A persistent volume claim.
    Claim,
    /// A priority class.
    PriorityClass,
    /// A runtime class.
    RuntimeClass,
}

/// How a pod is made to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// By the eviction API, which asks the disruption budgets.
    Evict,
    /// By a plain deletion, which does not (`--disable-eviction`).
    Delete,
}

/// A change of a node; what is none stays as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeChange {
    /// `spec.unschedulable`.
    pub unschedulable: Option<bool>,
    /// The record of the drain: set, or removed.
    pub record: Option<RecordChange>,
}

/// A change of a node's record.
#[derive(Debug, Clone, PartialEq)]
pub enum RecordChange {
    /// Write this one.
    Set(Record),
    /// Remove it.
    Remove,
}

/// A set of objects to be watched.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Watch {
    /// One node.
    Node(NodeName),
    /// The pods that are bound to a node, in all namespaces.
    PodsOn(NodeName),
    /// The pods of a namespace.
    PodsIn(String),
    /// The disruption budgets of a namespace.
    BudgetsIn(String),
    /// The workloads of one kind in a namespace.
    WorkloadsIn(WorkloadKind, String),
    /// Workloads of one kind, as rollouts read them.
    Rollouts(RolloutKind, Part),
    /// Revisions of Deployments.
    ReplicaSets(Part),
    /// Revisions of `StatefulSet`s and `DaemonSet`s.
    ControllerRevisions(Part),
    /// Pods, as rollouts read them.
    PodStatuses(Part),
    /// The API's events of a namespace.
    IncidentsIn(String),
    /// All nodes.
    Nodes,
}

impl Watch {
    /// The kind of objects that it shows.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Node(_) | Self::Nodes => Kind::Node,
            Self::PodsOn(_) | Self::PodsIn(_) | Self::PodStatuses(_) => Kind::Pod,
            Self::BudgetsIn(_) => Kind::PodDisruptionBudget,
            Self::WorkloadsIn(kind, _) => Kind::Workload(*kind),
            Self::Rollouts(kind, _) => Kind::Workload(kind.workload()),
            Self::ReplicaSets(_) => Kind::Workload(WorkloadKind::ReplicaSet),
            Self::ControllerRevisions(_) => Kind::ControllerRevision,
            Self::IncidentsIn(_) => Kind::Incident,
        }
    }

    /// Reads an object that it shows from its JSON; nothing of one that is of no interest.
    ///
    /// # Errors
    /// Names what does not have the kind's shape.
    pub fn read(&self, object: &str) -> Result<Option<Object>, serde_json::Error> {
        match self {
            Self::Node(_) | Self::PodsOn(_) | Self::PodsIn(_) | Self::BudgetsIn(_) | Self::WorkloadsIn(..) => {
                Object::read_for_drain(self.kind(), object)
            }
            Self::Rollouts(..)
            | Self::ReplicaSets(_)
            | Self::ControllerRevisions(_)
            | Self::PodStatuses(_)
            | Self::IncidentsIn(_)
            | Self::Nodes => Object::read_for_rollout(self.kind(), object),
        }
    }
}

/// A part of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Part {
    /// The namespace.
    pub namespace: String,
    /// The only object of it; none for all.
    pub name: Option<String>,
    /// The label selector; none for all.
    pub labels: Option<String>,
}

/// What a watch showed.
#[derive(Debug, Clone)]
pub enum Change {
    /// An object was added or changed.
    Seen(Object),
    /// An object is gone; this is how it looked last.
    Deleted(Object),
    /// The watch had to begin anew: these are all objects that there are.
    Listed(Vec<Object>),
    /// The server refuses to let us watch. Nothing more comes.
    Refused(String),
    /// The connection is lost; it is tried again until [`Change::Restored`]. Said once.
    Lost(String),
    /// The connection stands again, and nothing was missed.
    Restored,
}

/// What the server said to the removal of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemovalAnswer {
    /// It stops.
    Accepted,
    /// There is no pod of this name.
    NotFound,
    /// The pod is not the one that was meant, or it or its budget changed meanwhile: read it again.
    Conflict(String),
    /// A disruption budget forbids it now: a 429 with the budget's cause, in its words, or a 403 about the budget.
    BudgetForbids(String),
    /// Several budgets cover it.
    SeveralBudgets(String),
    /// Its namespace is being deleted.
    NamespaceTerminating(String),
    /// We lack the right.
    Forbidden(String),
    /// A webhook, a policy or validation refuses it, and not just for now.
    Denied(String),
    /// Nobody decided.
    Trouble(Trouble),
}

/// A request that may be tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What kind of trouble.
    pub kind: TroubleKind,
    /// In the server's words, or the connection's.
    pub message: String,
    /// How long the server asks to wait.
    pub retry_after: Option<SignedDuration>,
}

/// Why a request may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TroubleKind {
    /// The server has too much to do (429 without a budget's cause).
    Throttled,
    /// A webhook says not now (its 429).
    HeldByWebhook,
    /// The server failed (5xx).
    ServerError,
    /// There was no answer in time, or the connection broke: it may have been done all the same.
    NoAnswer,
}

/// What came of a change of a node.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeAnswer {
    /// It stands, and was read back like this.
    Stands(Node),
    /// Somebody else was faster: this is how it stands.
    Changed(Node),
    /// There is no such node any more.
    Deleted,
    /// We lack the right.
    Forbidden(String),
    /// A webhook, a policy or validation refuses it, or it was accepted and does not stand.
    Denied(String),
    /// Nobody decided.
    Trouble(Trouble),
}

/// What came of a change of a workload.
#[derive(Debug, Clone, PartialEq)]
pub enum RolloutAnswer {
    /// It stands like this.
    Stands(Box<Rollout>),
    /// It is not as it was when this was decided: this is how it stands.
    Changed(Box<Rollout>),
    /// There is no such workload any more.
    Deleted,
    /// We lack the right.
    Forbidden(String),
    /// A webhook, a policy or validation refuses it.
    Denied(String),
    /// Nobody decided.
    Trouble(Trouble),
}

impl WantedKind {
    /// The kind's name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
            Self::ServiceAccount => "ServiceAccount",
            Self::Claim => "PersistentVolumeClaim",
            Self::PriorityClass => "PriorityClass",
            Self::RuntimeClass => "RuntimeClass",
        }
    }

    /// Whether its objects belong to namespaces.
    pub const fn has_namespace(self) -> bool {
        !matches!(self, Self::PriorityClass | Self::RuntimeClass)
    }
}

/// Shown as `ConfigMap "cfg" with key mode`.
impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, namespace: _, name, keys } = self;
        write!(f, "{} {name:?}", kind.as_str())?;
        match keys.as_slice() {
            [] => Ok(()),
            [key] => write!(f, " with key {key}"),
            keys => write!(f, " with keys {}", keys.join(", ")),
        }
    }
}
