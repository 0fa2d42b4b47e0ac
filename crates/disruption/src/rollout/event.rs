//! What happened in a guarded rollout, as past facts: the stream that every reporter reads.

use jiff::{SignedDuration, Timestamp};

use super::document::{RolloutCause, RolloutFinding, RolloutOutcome, RolloutPods, RolloutWorkload};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A workload is watched from now on.
    WatchBegan {
        /// The workload.
        workload: RolloutWorkload,
        /// The number of its revision; none until the controller has made it.
        revision: Option<i64>,
        /// The images of its template by container.
        images: Vec<(String, String)>,
    },
    /// A rollout came farther, or waits for something else than before.
    Progressed {
        /// The workload.
        workload: RolloutWorkload,
        /// Its pods by numbers.
        counts: RolloutPods,
        /// In one sentence.
        message: String,
    },
    /// Something is wrong, or must be waited for, that was not before.
    FindingSeen {
        /// The workload.
        workload: RolloutWorkload,
        /// What.
        finding: RolloutFinding,
    },
    /// A version is proven not to proceed.
    StallProven {
        /// The workload.
        workload: RolloutWorkload,
        /// Why.
        cause: RolloutCause,
        /// How many findings say so beside the first.
        others: usize,
        /// What there is to see.
        evidence: Evidence,
    },
    /// What a container of the failing version wrote last.
    LogRead {
        /// The workload.
        workload: RolloutWorkload,
        /// The pod.
        pod: String,
        /// The container.
        container: String,
        /// Its last lines, oldest first.
        lines: Vec<String>,
    },
    /// The workload was given another version's template.
    UndoBegan {
        /// The workload.
        workload: RolloutWorkload,
        /// The number of the revision that is left; none where it has none yet.
        from: Option<i64>,
        /// The number of the revision that comes back.
        to: i64,
        /// Why that one.
        why: String,
        /// A unified diff of the pod template.
        diff: String,
    },
    /// A pod was deleted that held up a `StatefulSet`.
    PodUnblocked {
        /// The workload.
        workload: RolloutWorkload,
        /// The pod.
        pod: String,
    },
    /// The Deployment was paused.
    RolloutPaused {
        /// The workload.
        workload: RolloutWorkload,
    },
    /// A probe fails, after it succeeded or at the first try.
    ProbeFailed {
        /// Its URL.
        url: String,
        /// Why, in words.
        message: String,
    },
    /// A probe succeeds again.
    ProbeRecovered {
        /// Its URL.
        url: String,
        /// How long it failed.
        after: SignedDuration,
    },
    /// Something worth knowing that changes nothing.
    Noted {
        /// The workload; none for all.
        workload: Option<RolloutWorkload>,
        /// In words.
        message: String,
    },
    /// The connection to the server is lost, and is tried again.
    ConnectionLost {
        /// Why.
        message: String,
    },
    /// The connection stands again, and nothing was missed.
    ConnectionRestored,
    /// The user wants it to end.
    Interrupted,
    /// A workload has its final word.
    RolloutEnded {
        /// The workload.
        workload: RolloutWorkload,
        /// The word.
        outcome: RolloutOutcome,
        /// Why, or what it came to, in one sentence.
        message: String,
        /// From the beginning of the watch.
        after: SignedDuration,
    },
}

/// What there is to see of a stall.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evidence {
    /// What the failing probe asks, in words; none where no probe is to blame.
    pub probe: Option<String>,
    /// The pods, those of the failing version first, and of each version those that aren't ready.
    pub pods: Vec<PodRow>,
    /// Warnings since the version came, the last one last.
    pub warnings: Vec<Warning>,
}

/// A pod in a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodRow {
    /// Its name.
    pub name: String,
    /// Whether it is of the version that is watched.
    pub is_new: bool,
    /// Its node; empty for none.
    pub node: String,
    /// How many of its containers are ready, and how many it has.
    pub ready: (usize, usize),
    /// How often its containers were restarted.
    pub restarts: i32,
    /// Its state as kubectl shows it.
    pub state: String,
    /// When it was created.
    pub created_at: Option<Timestamp>,
}

/// A warning of the cluster, told once however often it came and of however many pods that fail alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// What it is about, such as `pod/web-1`.
    pub about: String,
    /// Its reason.
    pub reason: String,
    /// In words.
    pub message: String,
    /// How often.
    pub count: i32,
}
