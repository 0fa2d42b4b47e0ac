//! Which pods a drain may take: kubectl's filters in kubectl's order (`pkg/drain/filters.go`), but every reason of every
//! pod is kept, and what kubectl does not look at is said too.

use jiff::Timestamp;

use crate::{
    drain::options::Options,
    model::{EmptyDir, Node, OwnerRef, Pod, ToolHold, Workload, WorkloadKind},
    workload::{Owner, Workloads},
};

/// What the filters say of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement<'a> {
    /// What happens to it as far as filters decide.
    pub fate: Fate,
    /// Every reason, kubectl's first.
    pub reasons: Vec<Reason<'a>>,
    /// Whether it comes back.
    pub comeback: Comeback<'a>,
}

/// What happens to a pod as far as filters decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It goes, when the budgets allow.
    Evict,
    /// It stays, and the drain is complete without it.
    Skip,
    /// It needs a flag.
    Refuse,
    /// It is going already and is waited for.
    Wait,
}

/// Whether a pod comes back after it went, and who brings it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comeback<'a> {
    /// It does not leave.
    Stays,
    /// This workload replaces it.
    By(&'a Workload),
    /// An owner that this program cannot see into decides.
    Uncertain(&'a OwnerRef),
    /// Nothing brings it back.
    Lost(Loss<'a>),
}

/// Why nothing brings a pod back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss<'a> {
    /// It has no controller.
    NoController,
    /// Its controller does not exist any more.
    OwnerGone(&'a OwnerRef),
    /// Its controller is being deleted.
    OwnerDeleting(&'a Workload),
    /// Its controller wants no pods.
    ScaledToZero(&'a Workload),
    /// Its Job has ended or is suspended.
    JobEnded(&'a Workload),
    /// It has finished, so there is nothing to bring back.
    Finished,
}

/// How much a reason matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The drain cannot take the pod.
    Error,
    /// It can, at a price.
    Warning,
    /// Good to know.
    Info,
}

/// One thing to know about a pod that is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason<'a> {
    /// `--pod-selector` leaves it out.
    NotSelected,
    /// It has been terminating for longer than `--skip-wait-for-delete-timeout`.
    TerminatingTooLong,
    /// A `DaemonSet` manages it; `ignored` by `--ignore-daemonsets`.
    DaemonSetManaged {
        /// Whether the flag is given.
        ignored: bool,
    },
    /// Its `DaemonSet` does not exist any more; `forced` by `--force`.
    DaemonSetGone {
        /// The `DaemonSet`'s name.
        name: &'a str,
        /// Whether the flag is given.
        forced: bool,
    },
    /// A static pod.
    StaticPod,
    /// It has emptyDir volumes; their data goes with it.
    LocalStorage {
        /// The volumes.
        volumes: &'a [EmptyDir],
        /// Whether `--delete-emptydir-data` is given.
        deleted: bool,
    },
    /// It declares no controller; `forced` by `--force`.
    Unreplicated {
        /// Whether the flag is given.
        forced: bool,
    },
    /// It is being deleted already.
    Terminating,
    /// It has finished.
    Finished,
    /// Its controller does not exist any more.
    OwnerGone(&'a OwnerRef),
    /// Its controller is of a kind that this program knows nothing about.
    CustomController(&'a OwnerRef),
    /// Its Job counts the eviction as a failure.
    JobCountsEviction {
        /// The Job's name.
        job: &'a str,
        /// Its `backoffLimit`.
        backoff_limit: i32,
    },
    /// It mounts directories of this node.
    HostPath(&'a [String]),
    /// It mounts persistent volume claims.
    VolumeClaims(&'a [String]),
    /// It tolerates the taint of a cordoned node.
    ToleratesCordon,
    /// Finalizers keep its object.
    Finalizers(Vec<&'a str>),
    /// Its node's kubelet does not answer.
    NodeNotReady {
        /// The node's name.
        node: &'a str,
        /// Why, in the node controller's words.
        reason: Option<&'a str>,
    },
    /// Another tool was told not to move it.
    HeldForOtherTool(ToolHold),
    /// It takes requests until the moment it stops.
    NoPreStop,
}

/// The finalizer that the Job controller itself removes at once.
const JOB_TRACKING_FINALIZER: &str = "batch.kubernetes.io/job-tracking";

/// Judges a pod of a node that is to be drained.
pub fn judge<'a>(
    pod: &'a Pod,
    node: Option<&'a Node>,
    workloads: &'a Workloads,
    options: &Options,
    now: Timestamp,
) -> Judgement<'a> {
    let mut reasons = Vec::new();
    let fate = kubectls_verdict(pod, workloads, options, now, &mut reasons);
    // The flag that a DaemonSet pod wants makes the drain leave it alone.
    let stays = fate == Fate::Skip || reasons.contains(&Reason::DaemonSetManaged { ignored: false });
    if stays {
        return Judgement { fate, reasons, comeback: Comeback::Stays };
    }
    reasons.extend(further_reasons(pod, workloads));
    if let Some(node) = node.filter(|node| !node.ready && !pod.is_finished()) {
        reasons.push(Reason::NodeNotReady { node: &node.name.0, reason: node.not_ready_reason.as_deref() });
    }
    Judgement { fate, reasons, comeback: comeback(pod, workloads) }
}

/// kubectl's filters in order. Those that keep the pod where it is end the chain, as later ones do not apply then.
fn kubectls_verdict<'a>(
    pod: &'a Pod,
    workloads: &'a Workloads,
    options: &Options,
    now: Timestamp,
    reasons: &mut Vec<Reason<'a>>,
) -> Fate {
    if options.pod_selector.as_ref().is_some_and(|selector| !selector.matches(&pod.labels)) {
        reasons.push(Reason::NotSelected);
        return Fate::Skip;
    }
    if let Some(deletion) = pod.deletion {
        // In whole seconds, and 0 never skips, as in kubectl.
        let limit = options.skip_wait_for_delete_timeout.map_or(0, |limit| limit.as_secs());
        let over = u64::try_from(now.duration_since(deletion.at).as_secs()).unwrap_or_default();
        if limit > 0 && over > limit {
            reasons.push(Reason::TerminatingTooLong);
            return Fate::Skip;
        }
    }
    let mut fate = Fate::Evict;
    let mut refuse_unless = |granted: bool| {
        if !granted {
            fate = Fate::Refuse;
        }
    };

    let finished = pod.is_finished();
    let daemon_set = pod.controller.as_ref().filter(|owner| owner.is("apps", "DaemonSet") && owner.version == "v1");
    if let Some(owner) = daemon_set.filter(|_| !finished) {
        if let Owner::Gone(_) = workloads.owner(pod) {
            reasons.push(Reason::DaemonSetGone { name: &owner.name, forced: options.force });
            refuse_unless(options.force);
        } else {
            reasons.push(Reason::DaemonSetManaged { ignored: options.ignore_daemonsets });
            return if options.ignore_daemonsets { Fate::Skip } else { Fate::Refuse };
        }
    }
    if pod.is_mirror || workloads.owner(pod) == Owner::Node {
        reasons.push(Reason::StaticPod);
        return Fate::Skip;
    }
    if !pod.empty_dirs.is_empty() && !finished {
        reasons.push(Reason::LocalStorage { volumes: &pod.empty_dirs, deleted: options.delete_emptydir_data });
        refuse_unless(options.delete_emptydir_data);
    }
    if pod.controller.is_none() && !finished {
        reasons.push(Reason::Unreplicated { forced: options.force });
        refuse_unless(options.force);
    }
    if fate == Fate::Evict && pod.is_terminating() { Fate::Wait } else { fate }
}

/// What kubectl does not look at.
fn further_reasons<'a>(pod: &'a Pod, workloads: &'a Workloads) -> Vec<Reason<'a>> {
    let mut reasons = Vec::new();
    if pod.is_terminating() {
        reasons.push(Reason::Terminating);
    }
    let finalizers: Vec<&str> =
        pod.finalizers.iter().map(String::as_str).filter(|finalizer| *finalizer != JOB_TRACKING_FINALIZER).collect();
    if !finalizers.is_empty() {
        reasons.push(Reason::Finalizers(finalizers));
    }
    if pod.is_finished() {
        reasons.push(Reason::Finished);
        return reasons;
    }
    match workloads.owner(pod) {
        Owner::Gone(owner) if !owner.is("apps", "DaemonSet") => reasons.push(Reason::OwnerGone(owner)),
        Owner::Custom(owner) => reasons.push(Reason::CustomController(owner)),
        Owner::Workload(Workload { name, job: Some(rules), .. }) if rules.counts_evictions => {
            reasons.push(Reason::JobCountsEviction { job: &name.name, backoff_limit: rules.backoff_limit });
        }
        _ => {}
    }
    if !pod.host_paths.is_empty() {
        reasons.push(Reason::HostPath(&pod.host_paths));
    }
    if !pod.claims.is_empty() {
        reasons.push(Reason::VolumeClaims(&pod.claims));
    }
    if pod.tolerates_cordon {
        reasons.push(Reason::ToleratesCordon);
    }
    reasons.extend(pod.holds.iter().copied().map(Reason::HeldForOtherTool));
    if pod.serves_without_pre_stop && pod.ready {
        reasons.push(Reason::NoPreStop);
    }
    reasons
}

fn comeback<'a>(pod: &'a Pod, workloads: &'a Workloads) -> Comeback<'a> {
    if pod.is_finished() {
        return Comeback::Lost(Loss::Finished);
    }
    match workloads.root(pod) {
        Owner::None => Comeback::Lost(Loss::NoController),
        Owner::Node => Comeback::Stays,
        Owner::Gone(owner) => Comeback::Lost(Loss::OwnerGone(owner)),
        Owner::Custom(owner) | Owner::Unknown(owner) => Comeback::Uncertain(owner),
        Owner::Workload(workload) if workload.is_deleting => Comeback::Lost(Loss::OwnerDeleting(workload)),
        Owner::Workload(workload) if workload.job.is_some_and(|job| job.is_finished || job.is_suspended) => {
            Comeback::Lost(Loss::JobEnded(workload))
        }
        Owner::Workload(workload) if workload.replicas == 0 && workload.kind != WorkloadKind::DaemonSet => {
            Comeback::Lost(Loss::ScaledToZero(workload))
        }
        Owner::Workload(workload) => Comeback::By(workload),
    }
}

impl Judgement<'_> {
    /// Whether the drain makes the pod leave, now or once a flag is given. What is terminating leaves by itself.
    pub fn leaves(&self) -> bool {
        matches!(self.fate, Fate::Evict | Fate::Refuse) && self.comeback != Comeback::Stays
    }
}

impl Comeback<'_> {
    /// Whether a replacement is expected; an owner that nobody can see into is believed to bring one.
    pub fn is_expected(self) -> bool {
        matches!(self, Self::By(_) | Self::Uncertain(_))
    }
}

impl Reason<'_> {
    /// How much it matters.
    pub fn severity(&self) -> Severity {
        match self {
            Self::DaemonSetManaged { ignored: granted }
            | Self::DaemonSetGone { forced: granted, .. }
            | Self::LocalStorage { deleted: granted, .. }
            | Self::Unreplicated { forced: granted } => {
                if *granted {
                    Severity::Warning
                } else {
                    Severity::Error
                }
            }
            Self::OwnerGone(_)
            | Self::CustomController(_)
            | Self::JobCountsEviction { .. }
            | Self::HostPath(_)
            | Self::ToleratesCordon
            | Self::Finalizers(_)
            | Self::NodeNotReady { .. }
            | Self::HeldForOtherTool(_) => Severity::Warning,
            Self::NotSelected
            | Self::TerminatingTooLong
            | Self::StaticPod
            | Self::Terminating
            | Self::Finished
            | Self::VolumeClaims(_)
            | Self::NoPreStop => Severity::Info,
        }
    }
}
