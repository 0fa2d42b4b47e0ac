//! The numbers of a disruption budget, computed from pods and owners as the disruption controller does
//! (`pkg/controller/disruption/disruption.go`), never copied from its status.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use thiserror::Error;

use crate::{
    model::{DisruptionBudget, IntOrPercent, InvalidIntOrPercent, OwnerRef, Pod, Uid, WorkloadKind},
    workload::{Owner, Scale, Workloads},
};

/// How long the controller believes that a granted eviction is about to be seen as a deletion (`DeletionTimeout`).
const DELETION_TIMEOUT: SignedDuration = SignedDuration::from_mins(2);

/// The four numbers of a budget's status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pods that the budget is about: `expectedPods`.
    pub expected: i32,
    /// Pods that must stay healthy: `desiredHealthy`.
    pub desired: i32,
    /// Pods that are Ready and stay: `currentHealthy`.
    pub healthy: i32,
}

/// A budget at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sync {
    /// The numbers.
    pub counts: Counts,
    /// The most pods that can ever be healthy while owners want what they want now: their replicas plus the Ready pods
    /// that nobody owns.
    pub best_case: i32,
}

/// Why the controller cannot compute a budget; it then allows nothing. The texts are the controller's own.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SyncError {
    /// A pod's owner has no scale to count by.
    #[error("{resource} does not implement the scale subresource")]
    NoScale {
        /// The resource with its group, such as `jobs.batch`.
        resource: String,
    },
    /// A pod's owner does not exist any more.
    #[error("found no controllers for pod {pod:?}")]
    NoController {
        /// The pod's name.
        pod: String,
    },
    /// The selector is not valid.
    #[error("{0}")]
    Selector(String),
    /// A number is neither a count nor a percentage.
    #[error("invalid value for IntOrString: {0}")]
    Value(#[from] InvalidIntOrPercent),
    /// The server could not tell an owner's scale, in its words.
    #[error("{0}")]
    Scale(String),
    /// The snapshot lacks what the controller would look at, so nothing can be said.
    #[error("{resource} could not be read")]
    Unknown {
        /// The resource with its group.
        resource: String,
    },
}

impl Counts {
    /// `disruptionsAllowed`.
    pub fn allowed(self) -> i32 {
        if self.expected > 0 { (self.healthy - self.desired).max(0) } else { 0 }
    }
}

impl Sync {
    /// Whether no eviction can ever be allowed while the budget and its owners' replicas stay as they are.
    pub fn is_impossible(&self) -> bool {
        self.counts.expected <= 0 || self.best_case <= self.counts.desired
    }
}

/// Computes a budget from the pods that it covers (of any phase, terminating ones included).
pub fn sync(
    budget: &DisruptionBudget,
    covered: &[&Pod],
    workloads: &Workloads,
    now: Timestamp,
) -> Result<Sync, SyncError> {
    if let Some(Err(invalid)) = &budget.selector {
        return Err(SyncError::Selector(invalid.to_string()));
    }
    let (expected, desired) = expected_and_desired(budget, covered, workloads)?;
    let healthy = count(covered.iter().filter(|pod| pod.is_healthy() && !is_disrupted(budget, pod, now)));
    let counts = Counts { expected, desired, healthy };
    Ok(Sync { counts, best_case: best_case(covered, workloads).max(healthy) })
}

fn expected_and_desired(
    budget: &DisruptionBudget,
    covered: &[&Pod],
    workloads: &Workloads,
) -> Result<(i32, i32), SyncError> {
    if let Some(max_unavailable) = &budget.max_unavailable {
        let max_unavailable = max_unavailable.clone()?;
        let expected = scale_of_owners(covered, workloads)?;
        return Ok((expected, (expected - max_unavailable.of_rounded_up(expected)).max(0)));
    }
    match &budget.min_available {
        Some(min_available) => match min_available.clone()? {
            // A plain number needs no owner: every pod counts, terminating ones too.
            IntOrPercent::Int(desired) => Ok((count(covered.iter()), desired)),
            percent @ IntOrPercent::Percent(_) => {
                let expected = scale_of_owners(covered, workloads)?;
                Ok((expected, percent.of_rounded_up(expected)))
            }
        },
        // A valid object that never allows anything.
        None => Ok((0, 0)),
    }
}

/// The sum of the replicas of all owners, each counted once. A Deployment's several `ReplicaSet`s are one owner.
fn scale_of_owners(covered: &[&Pod], workloads: &Workloads) -> Result<i32, SyncError> {
    let mut seen: BTreeSet<&Uid> = BTreeSet::new();
    let mut scales: BTreeMap<&Uid, i32> = BTreeMap::new();
    for pod in covered {
        // Pods without a controller are not expected, whatever their state.
        let Some(reference) = &pod.controller else { continue };
        if !seen.insert(&reference.uid) {
            continue;
        }
        let (uid, replicas) = scale_of_owner(pod, reference, workloads)?;
        scales.insert(uid, replicas);
    }
    Ok(scales.values().fold(0, |sum: i32, replicas| sum.saturating_add(*replicas)))
}

fn scale_of_owner<'a>(
    pod: &'a Pod,
    reference: &'a OwnerRef,
    workloads: &'a Workloads,
) -> Result<(&'a Uid, i32), SyncError> {
    let no_scale = |resource: &str| Err(SyncError::NoScale { resource: resource.to_owned() });
    match workloads.root(pod) {
        Owner::Workload(workload) if workload.kind.has_scale() => Ok((&workload.uid, workload.replicas)),
        Owner::Workload(workload) => no_scale(workload.kind.resource()),
        Owner::Node => no_scale("nodes"),
        Owner::Gone(_) | Owner::Unknown(_) if is_without_scale(reference) => {
            no_scale(WorkloadKind::named_by(reference).map_or("", WorkloadKind::resource))
        }
        Owner::Gone(_) | Owner::None => Err(SyncError::NoController { pod: pod.name.name.clone() }),
        Owner::Custom(_) => match workloads.scale(&reference.uid) {
            Some(Scale::Replicas(replicas)) => Ok((&reference.uid, *replicas)),
            Some(Scale::NotImplemented(resource)) => no_scale(resource),
            Some(Scale::NotFound) => Err(SyncError::NoController { pod: pod.name.name.clone() }),
            Some(Scale::Failed(message)) => Err(SyncError::Scale(message.clone())),
            None => Err(SyncError::Unknown { resource: format!("the scale of {} {}", reference.kind, reference.name) }),
        },
        Owner::Unknown(_) => Err(SyncError::Unknown {
            resource: WorkloadKind::named_by(reference)
                .map_or(reference.kind.clone(), |kind| kind.resource().to_owned()),
        }),
    }
}

fn is_without_scale(reference: &OwnerRef) -> bool {
    WorkloadKind::named_by(reference).is_some_and(|kind| !kind.has_scale())
}

/// Granted by the eviction handler less than two minutes ago and not yet seen as deleted.
fn is_disrupted(budget: &DisruptionBudget, pod: &Pod, now: Timestamp) -> bool {
    let granted = budget.status.disrupted_pods.get(&pod.name.name);
    granted.is_some_and(|granted| *granted + DELETION_TIMEOUT > now)
}

fn best_case(covered: &[&Pod], workloads: &Workloads) -> i32 {
    let mut scales: BTreeMap<&Uid, i32> = BTreeMap::new();
    let mut others = 0;
    for pod in covered {
        let Some(reference) = &pod.controller else {
            others += i32::from(pod.is_healthy());
            continue;
        };
        match scale_of_owner(pod, reference, workloads) {
            Ok((uid, replicas)) => {
                scales.insert(uid, replicas);
            }
            // An owner without a scale keeps as many pods as it has.
            Err(_) => others += i32::from(!pod.is_finished() && !pod.is_terminating()),
        }
    }
    scales.values().fold(others, |sum: i32, replicas| sum.saturating_add(*replicas))
}

fn count<T>(items: impl Iterator<Item = T>) -> i32 {
    i32::try_from(items.count()).unwrap_or(i32::MAX)
}
