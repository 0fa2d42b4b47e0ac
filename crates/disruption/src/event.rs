//! What happened, as past facts: the stream that every reporter reads.

use jiff::SignedDuration;

use crate::{
    action::Removal,
    drain::document::{NodeOutcome, PodOutcome},
    model::{NodeName, ObjectName, Uid},
};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A node was cordoned, or would have been in a dry run.
    NodeCordoned {
        /// The node.
        node: NodeName,
        /// Whether it had been cordoned before.
        already: bool,
    },
    /// A node could not be cordoned or uncordoned.
    NodeRefused {
        /// The node.
        node: NodeName,
        /// Why, in the server's words.
        message: String,
    },
    /// A node was uncordoned, or would have been in a dry run.
    NodeUncordoned {
        /// The node.
        node: NodeName,
        /// Whether it had been schedulable before, so that nothing was sent.
        already: bool,
    },
    /// The drain has taken a node over from another one.
    NodeTakenOver {
        /// The node.
        node: NodeName,
        /// Who had it, in words.
        from: String,
    },
    /// A pod is asked to go, for the first time.
    PodEvicting {
        /// The pod.
        pod: ObjectName,
        /// Its UID.
        uid: Uid,
        /// Its node.
        node: NodeName,
        /// How.
        removal: Removal,
    },
    /// A pod has its final word.
    PodEnded {
        /// The pod.
        pod: ObjectName,
        /// Its UID.
        uid: Uid,
        /// Its node.
        node: NodeName,
        /// The word.
        outcome: PodOutcome,
        /// Why; empty where the word says it all.
        reason: String,
    },
    /// A pod came onto a node of the drain after the list.
    PodAppeared {
        /// The pod.
        pod: ObjectName,
        /// Its UID.
        uid: Uid,
        /// Its node.
        node: NodeName,
    },
    /// Something is waited for, since now or for another reason than before.
    WaitBegan {
        /// What waits, in words: a budget, a workload or a pod.
        subject: String,
        /// A stable word.
        code: WaitCode,
        /// How many pods wait.
        pods: usize,
        /// For what, in words.
        message: String,
        /// What helps; none where nothing need be done.
        remedy: Option<String>,
    },
    /// The workload of an evicted pod has its Ready pods back.
    ReplacementReady {
        /// The evicted pod.
        pod: ObjectName,
        /// Its UID.
        uid: Uid,
        /// From the eviction until then.
        after: SignedDuration,
    },
    /// The connection to the server is lost, and is tried again.
    ConnectionLost {
        /// Why.
        message: String,
    },
    /// The connection stands again, and nothing was missed.
    ConnectionRestored,
    /// The server does not let us watch something that the drain can do without.
    WatchRefused {
        /// What could not be watched.
        what: String,
        /// Why, in the server's words.
        message: String,
    },
    /// The user wants it to end: nothing new is begun.
    Interrupted,
    /// A node has its final word.
    NodeEnded {
        /// The node.
        node: NodeName,
        /// The word.
        outcome: NodeOutcome,
        /// Why; empty for a node that was drained.
        reason: String,
        /// From its first request until now.
        after: SignedDuration,
    },
}

/// What a drain waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WaitCode {
    /// A disruption budget.
    Budget,
    /// The replacement of a pod that has left.
    Replacement,
    /// A pod to stop.
    Termination,
    /// The server, a webhook, or the connection to them.
    Server,
    /// A namespace that is being deleted.
    Namespace,
}

impl WaitCode {
    /// The word for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Budget => "Budget",
            Self::Replacement => "Replacement",
            Self::Termination => "Termination",
            Self::Server => "Server",
            Self::Namespace => "Namespace",
        }
    }
}
