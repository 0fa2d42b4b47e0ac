//! What the user asked for: kubectl drain's options and ours, resolved.

use std::time::Duration;

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
