//! What the user asked for: kubectl drain's options and ours, resolved.

use std::{num::NonZeroUsize, time::Duration};

use crate::model::{IntOrPercent, Selector};

/// The options of a drain. The defaults are kubectl's.
#[expect(clippy::struct_excessive_bools, reason = "one field a flag of the command line")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// `--force`: also pods that nobody brings back.
    pub force: bool,
    /// `--ignore-daemonsets`: leave `DaemonSet` pods where they are instead of refusing.
    pub ignore_daemonsets: bool,
    /// `--delete-emptydir-data`: also pods whose emptyDir volumes are lost with them.
    pub delete_emptydir_data: bool,
    /// `--grace-period`: seconds for every pod; none is each pod's own.
    pub grace_period_seconds: Option<u32>,
    /// `--timeout`, per node; none is infinite.
    pub timeout: Option<Duration>,
    /// `--pod-selector`: only these pods.
    pub pod_selector: Option<Selector>,
    /// `--disable-eviction`: delete instead, which asks no budget.
    pub disable_eviction: bool,
    /// `--skip-wait-for-delete-timeout`: pods that have been terminating for longer are left alone; none never skips.
    pub skip_wait_for_delete_timeout: Option<Duration>,
    /// `--max-unavailable`: the implied budget of workloads that have none.
    pub max_unavailable: MaxUnavailable,
}

/// The implied budget of workloads that have none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MaxUnavailable {
    /// What the workload's own rolling update would take at once.
    #[default]
    Auto,
    /// A count or a share of the replicas, at least one.
    Value(IntOrPercent),
    /// No limit: kubectl's way.
    Unlimited,
}

/// How a drain is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// `--concurrency`: eviction requests under way at once.
    pub concurrency: NonZeroUsize,
    /// `--parallel`: nodes that are emptied at once; none is all of them.
    pub parallel: Option<NonZeroUsize>,
    /// `--deadline`, for the whole command; none is infinite.
    pub deadline: Option<Duration>,
    /// `--replacement-timeout`: how long a workload may take to get its Ready pods back; none is infinite.
    pub replacement_timeout: Option<Duration>,
    /// `--on-blocked`.
    pub on_blocked: OnBlocked,
    /// `--on-failure`.
    pub on_failure: OnFailure,
    /// `--take-over`: also nodes that another drain works on.
    pub take_over: bool,
}

/// What becomes of a node with pods that their budgets can never let go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnBlocked {
    /// It is left alone.
    #[default]
    Refuse,
    /// The rest goes, and those pods wait for somebody to change their budgets.
    Wait,
}

/// What becomes of the cordon of a node that could not be emptied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// It is taken back if none of the node's pods has left.
    #[default]
    Auto,
    /// It is taken back.
    Uncordon,
    /// It stays.
    Keep,
}

/// Which run this is, for its record on the nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    /// A random word.
    pub id: String,
    /// The user, as the API server knows them.
    pub owner: String,
    /// `--reason`; empty for none.
    pub reason: String,
}

/// Enough to keep an API server's round trips busy; the disruption controller takes ten at once in one budget without a
/// conflict that reaches the client (`eviction.go` retries twenty times).
const DEFAULT_CONCURRENCY: NonZeroUsize = NonZeroUsize::new(10).expect("ten is not zero");

/// Longer than images take to be pulled, shorter than anybody waits for a pod that cannot start.
const DEFAULT_REPLACEMENT_TIMEOUT: Duration = Duration::from_secs(300);

impl Default for Execution {
    fn default() -> Self {
        Self {
            concurrency: DEFAULT_CONCURRENCY,
            parallel: None,
            deadline: None,
            replacement_timeout: Some(DEFAULT_REPLACEMENT_TIMEOUT),
            on_blocked: OnBlocked::default(),
            on_failure: OnFailure::default(),
            take_over: false,
        }
    }
}
