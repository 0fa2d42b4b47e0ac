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

/// The numbers of a budget's status; the fourth, `disruptionsAllowed`, follows from them.
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
    /// A pod's owner, which nothing else finds, is of a kind or version that the server does not have.
    #[error("no matches for kind {kind:?} in version {version:?}")]
    NoKind {
        /// The kind.
        kind: String,
        /// The version with its group, such as `extensions/v1beta1`.
        version: String,
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
        if self.expected > 0 { self.healthy.saturating_sub(self.desired).max(0) } else { 0 }
    }
}

impl Sync {
    /// Whether no eviction can ever be allowed while the budget and its owners' replicas stay as they are.
    pub fn is_impossible(&self) -> bool {
        self.counts.expected <= 0 || self.best_case <= self.counts.desired
    }

    /// The fewest replicas to add so that an impossible budget allows one eviction; none where no number helps.
    pub fn replicas_to_open(&self, budget: &DisruptionBudget) -> Option<i32> {
        let Counts { expected, desired, healthy: _ } = self.counts;
        let enough = match (&budget.max_unavailable, &budget.min_available) {
            (None, Some(Ok(IntOrPercent::Percent(percent)))) if expected > 0 && *percent < 100 => {
                // ceil(percent * n / 100) < n holds from here on.
                let rest = 100 - percent.max(&0);
                let others = self.best_case.saturating_sub(expected);
                ((100 + rest - 1) / rest).saturating_add(others)
            }
            (None, Some(Ok(IntOrPercent::Int(_)))) => desired.saturating_add(1),
            _ => return None,
        };
        Some(enough.saturating_sub(self.best_case).max(1))
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
    let healthy = count(covered.iter().filter(|pod| is_counted_healthy(budget, pod, now)));
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
        return Ok((expected, expected.saturating_sub(max_unavailable.of_rounded_up(expected)).max(0)));
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
        Owner::Workload(_) | Owner::Gone(_) if is_outdated(reference) => {
            let version = format!("{}/{}", reference.group, reference.version);
            Err(SyncError::NoKind { kind: reference.kind.clone(), version })
        }
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
        // The Deployment above the pod's ReplicaSet may be the one that could not be read.
        Owner::Unknown(unread) => Err(SyncError::Unknown {
            resource: WorkloadKind::named_by(unread).map_or(unread.kind.clone(), |kind| kind.resource().to_owned()),
        }),
    }
}

/// A version of a built-in kind that no server has any more. Owners are found whatever version a pod names, but asking
/// for a scale goes by the version.
fn is_outdated(reference: &OwnerRef) -> bool {
    reference.group == "extensions" || ["apps", "batch"].contains(&&*reference.group) && reference.version != "v1"
}

fn is_without_scale(reference: &OwnerRef) -> bool {
    WorkloadKind::named_by(reference).is_some_and(|kind| !kind.has_scale())
}

/// Ready, staying, and not about to be deleted: no eviction of it was granted in the last two minutes.
pub fn is_counted_healthy(budget: &DisruptionBudget, pod: &Pod, now: Timestamp) -> bool {
    let granted = budget.status.disrupted_pods.get(&pod.name.name);
    pod.is_healthy() && granted.is_none_or(|granted| now.duration_since(*granted) >= DELETION_TIMEOUT)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixture::{
            budget, daemon_set, deployment, job, now, pod, replica_set, replication_controller, stateful_set, world,
        },
        model::{InvalidSelector, Phase, Workload},
        snapshot::{Kind, Snapshot, Unreadable},
    };

    fn synced(world: &Snapshot, budget: &DisruptionBudget) -> Result<Sync, SyncError> {
        let covered: Vec<&Pod> =
            world.pods.iter().filter(|pod| budget.covers(&pod.name.namespace, &pod.labels)).collect();
        sync(budget, &covered, &world.workloads, now())
    }

    /// `EXPECTED desired DESIRED healthy HEALTHY: VERDICT`, or the controller's error.
    fn describe(world: &Snapshot, budget: &DisruptionBudget) -> String {
        match synced(world, budget) {
            Err(error) => format!("error: {error}"),
            Ok(sync) => {
                let Counts { expected, desired, healthy } = sync.counts;
                let verdict = match sync.counts.allowed() {
                    0 if sync.is_impossible() => "never".to_owned(),
                    0 => "not now".to_owned(),
                    allowed => format!("allows {allowed}"),
                };
                format!("expects {expected}, needs {desired}, has {healthy}: {verdict}")
            }
        }
    }

    /// Checks budget `web` over a world of Deployment `web`, all of it Ready.
    #[track_caller]
    fn check_of(replicas: usize, budget: &DisruptionBudget, expected: &str) {
        let world = world().runs(&deployment("web"), vec!["n1"; replicas]);
        check(&world, budget, expected);
    }

    #[track_caller]
    fn check(world: &Snapshot, budget: &DisruptionBudget, expected: &str) {
        assert_eq!(describe(world, budget), expected);
    }

    #[test]
    fn numbers_and_percentages() {
        let web = || budget("web");
        check_of(3, &web().max_unavailable("1"), "expects 3, needs 2, has 3: allows 1");
        check_of(3, &web().max_unavailable("3"), "expects 3, needs 0, has 3: allows 3");
        check_of(3, &web().max_unavailable("7"), "expects 3, needs 0, has 3: allows 3");
        check_of(3, &web().max_unavailable("0"), "expects 3, needs 3, has 3: never");
        check_of(3, &web().max_unavailable("0%"), "expects 3, needs 3, has 3: never");
        check_of(3, &web().max_unavailable("100%"), "expects 3, needs 0, has 3: allows 3");
        // Both percentages round up, so maxUnavailable is at least one pod and minAvailable may take the last one.
        check_of(10, &web().max_unavailable("1%"), "expects 10, needs 9, has 10: allows 1");
        check_of(7, &web().max_unavailable("30%"), "expects 7, needs 4, has 7: allows 3");
        check_of(3, &web().min_available("66%"), "expects 3, needs 2, has 3: allows 1");
        check_of(3, &web().min_available("67%"), "expects 3, needs 3, has 3: never");
        check_of(10, &web().min_available("90%"), "expects 10, needs 9, has 10: allows 1");
        check_of(10, &web().min_available("91%"), "expects 10, needs 10, has 10: never");
        check_of(7, &web().min_available("50%"), "expects 7, needs 4, has 7: allows 3");
        check_of(1, &web().min_available("1%"), "expects 1, needs 1, has 1: never");
        check_of(1, &web().min_available("0%"), "expects 1, needs 0, has 1: allows 1");
        check_of(4, &web().min_available("100%"), "expects 4, needs 4, has 4: never");
        check_of(4, &web().min_available("0"), "expects 4, needs 0, has 4: allows 4");
        check_of(4, &web().min_available("3"), "expects 4, needs 3, has 4: allows 1");
        check_of(4, &web().min_available("4"), "expects 4, needs 4, has 4: never");
        check_of(4, &web().min_available("9"), "expects 4, needs 9, has 4: never");
        // Validation forbids both; the controller looks at maxUnavailable first.
        check_of(4, &web().min_available("4").max_unavailable("1"), "expects 4, needs 3, has 4: allows 1");
        check_of(4, &web(), "expects 0, needs 0, has 4: never");
    }

    #[test]
    fn selectors() {
        let world = world()
            .runs(&deployment("web"), ["n1"; 2])
            .runs(&deployment("api"), ["n1"; 3])
            .with(pod("elsewhere").in_namespace("other").labelled("app", "web"));
        let one = |budget: DisruptionBudget| budget.max_unavailable("1");
        check(&world, &one(budget("web")), "expects 2, needs 1, has 2: allows 1");
        check(&world, &one(budget("all").selecting("")), "expects 5, needs 4, has 5: allows 1");
        check(&world, &one(budget("both").selecting("app in (web,api)")), "expects 5, needs 4, has 5: allows 1");
        check(&world, &one(budget("none").without_selector()), "expects 0, needs 0, has 0: never");
        check(&world, &one(budget("nothing")), "expects 0, needs 0, has 0: never");
        // How a v1beta1 `{}`, which selected nothing, looks through v1.
        let old = one(budget("old").selecting("pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match"));
        check(&world, &old, "expects 0, needs 0, has 0: never");
        let bad = InvalidSelector("\"Near\" is not a valid label selector operator".into());
        let invalid = DisruptionBudget { selector: Some(Err(bad)), ..one(budget("web")) };
        check(&world, &invalid, "error: \"Near\" is not a valid label selector operator");
    }

    #[test]
    fn pods_in_every_state() {
        #[track_caller]
        fn check_pod(change: impl FnOnce(Pod) -> Pod, min_available: &str, max_unavailable: &str) {
            let world = world().runs(&deployment("web"), ["n1"; 3]).pod("web-1", change);
            check(&world, &budget("web").min_available("2"), min_available);
            check(&world, &budget("web").max_unavailable("1"), max_unavailable);
        }
        let two_of_three = "expects 3, needs 2, has 2: not now";
        let all = "expects 3, needs 2, has 3: allows 1";
        check_pod(|pod| pod, all, all);
        check_pod(|pod| pod.unready("CrashLoopBackOff"), two_of_three, two_of_three);
        check_pod(|pod| pod.in_phase(Phase::Pending), two_of_three, two_of_three);
        check_pod(|pod| pod.terminating_since(1), two_of_three, two_of_three);
        check_pod(|pod| pod.in_phase(Phase::Succeeded), two_of_three, two_of_three);
        check_pod(|pod| pod.in_phase(Phase::Failed), two_of_three, two_of_three);
        // Only the condition counts, not the phase.
        check_pod(|pod| Pod { ready: true, ..pod.in_phase(Phase::Unknown) }, all, all);
        // A pod that lost its label: the count of pods shrinks, the owner's scale does not.
        check_pod(
            |pod| pod.labelled("app", "other"),
            "expects 2, needs 2, has 2: not now",
            "expects 3, needs 2, has 2: not now",
        );
    }

    #[test]
    fn granted_evictions_count_for_two_minutes() {
        #[track_caller]
        fn check_after(seconds: i64, healthy: i32) {
            let world = world().runs(&deployment("web"), ["n1"; 3]);
            let budget = budget("web").max_unavailable("1").granted("web-1", seconds).granted("unheard-of", 1);
            let counted = synced(&world, &budget).unwrap().counts.healthy;
            assert_eq!(counted, healthy, "{seconds} s after");
        }
        check_after(0, 2);
        check_after(119, 2);
        check_after(120, 3);
        check_after(500, 3);
        // A clock ahead of ours.
        check_after(-30, 2);
        // It counts once even if it is terminating too.
        let world = world().runs(&deployment("web"), ["n1"; 3]).pod("web-1", |pod| pod.terminating_since(1));
        check(&world, &budget("web").max_unavailable("1").granted("web-1", 5), "expects 3, needs 2, has 2: not now");
    }

    #[test]
    fn a_time_at_the_end_of_days_is_no_overflow() {
        let world = world().runs(&deployment("web"), ["n1"; 3]);
        let mut budget = budget("web").max_unavailable("1");
        budget.status.disrupted_pods.insert("web-1".into(), Timestamp::MAX);
        check(&world, &budget, "expects 3, needs 2, has 2: not now");
    }

    #[test]
    fn absurd_numbers_do_not_overflow() {
        let web = deployment("web");
        for replicas in [i32::MIN, -1, 0, i32::MAX] {
            let set = replica_set("web-rs").of(&web);
            let world = world()
                .with(web.clone().replicas(replicas))
                .with(set.clone())
                .with(pod("a").labelled("app", "web").of(&set))
                .with(stateful_set("db").replicas(replicas))
                .with(pod("b").labelled("app", "web").of(&stateful_set("db")));
            for value in
                [i32::MIN, 0, i32::MAX].map(IntOrPercent::Int).into_iter().chain([IntOrPercent::Percent(i32::MAX)])
            {
                let min = DisruptionBudget { min_available: Some(Ok(value)), ..budget("web") };
                let max = DisruptionBudget { max_unavailable: Some(Ok(value)), ..budget("web") };
                for budget in [min, max] {
                    let sync = synced(&world, &budget).unwrap();
                    assert!(sync.counts.allowed() >= 0);
                    let _ = (sync.is_impossible(), sync.replicas_to_open(&budget));
                }
            }
        }
    }

    #[test]
    fn owners_are_counted_by_their_scale_once() {
        let one = || budget("web").max_unavailable("1");
        let labelled = |name: &str| pod(name).labelled("app", "web");
        // Fewer pods than wanted.
        let web = deployment("web").replicas(5);
        let set = replica_set("web-rs").of(&web).replicas(5);
        let started = world().with(web.clone()).with(set.clone()).with(labelled("a").of(&set));
        check(&started, &one(), "expects 5, needs 4, has 1: not now");
        // In mid-rollout: two ReplicaSets of one Deployment count once, and surging pods are a gain.
        let old = replica_set("web-old").of(&web).replicas(4);
        let new = replica_set("web-new").of(&web).replicas(2);
        let rollout = world()
            .with(web.clone())
            .with_all([old.clone(), new.clone()])
            .with_all(["a", "b", "c", "d"].map(|name| labelled(name).of(&old)))
            .with_all(["e", "f"].map(|name| labelled(name).of(&new)));
        check(&rollout, &one(), "expects 5, needs 4, has 6: allows 2");
        check(&rollout, &budget("web").min_available("5"), "expects 6, needs 5, has 6: allows 1");
        // Without a Deployment, or when it no longer exists, a ReplicaSet counts by its own scale.
        let alone = replica_set("web").replicas(2);
        let world_of_set = world().with(alone.clone()).with(labelled("a").of(&alone));
        check(&world_of_set, &one(), "expects 2, needs 1, has 1: not now");
        let orphaned = replica_set("web").of(&deployment("gone")).replicas(2);
        let world_of_orphan = world().with(orphaned.clone()).with(labelled("a").of(&orphaned));
        check(&world_of_orphan, &one(), "expects 2, needs 1, has 1: not now");
        for owner in [replication_controller("web"), stateful_set("web")] {
            let world = world().runs(&owner, ["n1"; 3]);
            check(&world, &one(), "expects 3, needs 2, has 3: allows 1");
        }
        // Several owners add up.
        let two = world().runs(&stateful_set("db"), ["n1"; 2]).runs(&deployment("web"), ["n1"; 3]);
        check(&two, &one().selecting(""), "expects 5, needs 4, has 5: allows 1");
        // The same name with another UID is another owner.
        let renewed = Workload { uid: Uid("other".into()), ..replica_set("web") };
        let stale = world().with(renewed).with(labelled("a").of(&replica_set("web")));
        check(&stale, &one(), "error: found no controllers for pod \"a\"");
    }

    #[test]
    fn owners_without_a_scale_fail_the_sync() {
        #[track_caller]
        fn check_owner(world: Snapshot, pod: Pod, expected: &str) {
            let world = world.runs(&deployment("web"), ["n1"; 2]).with(pod.labelled("app", "web"));
            check(&world, &budget("web").max_unavailable("1"), expected);
            check(&world, &budget("web").min_available("50%"), expected);
            // A count needs no owner.
            check(&world, &budget("web").min_available("1"), "expects 3, needs 1, has 3: allows 2");
        }
        let no_scale = |resource: &str| format!("error: {resource} does not implement the scale subresource");
        check_owner(world().with(job("sum")), pod("j").of(&job("sum")), &no_scale("jobs.batch"));
        check_owner(world(), pod("j").of(&job("gone")), &no_scale("jobs.batch"));
        check_owner(world().with(daemon_set("log")), pod("d").of(&daemon_set("log")), &no_scale("daemonsets.apps"));
        check_owner(world(), pod("d").of(&daemon_set("gone")), &no_scale("daemonsets.apps"));
        check_owner(world(), pod("s").of_kind("v1", "Node", "n1"), &no_scale("nodes"));
        let gone = "error: found no controllers for pod \"g\"";
        check_owner(world(), pod("g").of(&replica_set("gone")), gone);
        check_owner(world(), pod("g").of(&stateful_set("gone")), gone);
        check_owner(world(), pod("g").of(&replication_controller("gone")), gone);
        // Finders look at the group, asking for a scale goes by the version.
        let outdated =
            |kind: &str, version: &str| format!("error: no matches for kind {kind:?} in version {version:?}");
        for (version, kind) in
            [("apps/v1beta1", "StatefulSet"), ("extensions/v1beta1", "ReplicaSet"), ("batch/v1beta1", "Job")]
        {
            check_owner(world(), pod("o").of_kind(version, kind, "gone"), &outdated(kind, version));
        }
        // A pod that is going keeps the sync failing until it is gone (kubernetes#130723).
        let going = world().with(pod("g").labelled("app", "web").of(&replica_set("gone")).terminating_since(1));
        check(&going, &budget("web").max_unavailable("1"), gone);
    }

    #[test]
    fn custom_owners_are_counted_by_what_the_server_says() {
        #[track_caller]
        fn check_scale(scale: Option<Scale>, expected: &str) {
            let mut world = world().with(pod("c").labelled("app", "web").of_kind("example.com/v1", "Flock", "web"));
            if let Some(scale) = scale {
                world.workloads.insert_scale(Uid("Flock-web".into()), scale);
            }
            check(&world, &budget("web").max_unavailable("1"), expected);
        }
        check_scale(Some(Scale::Replicas(3)), "expects 3, needs 2, has 1: not now");
        check_scale(Some(Scale::Replicas(1)), "expects 1, needs 0, has 1: allows 1");
        check_scale(
            Some(Scale::NotImplemented("flocks.example.com".into())),
            "error: flocks.example.com does not implement the scale subresource",
        );
        check_scale(Some(Scale::NotFound), "error: found no controllers for pod \"c\"");
        check_scale(Some(Scale::Failed("the server is busy".into())), "error: the server is busy");
        check_scale(None, "error: the scale of Flock web could not be read");
    }

    #[test]
    fn kinds_that_could_not_be_read_are_named() {
        #[track_caller]
        fn check_unread(kind: WorkloadKind, expected: &str) {
            let mut world = world().runs(&deployment("web"), ["n1"; 2]);
            if kind == WorkloadKind::Deployment {
                let set = replica_set("web-rs").of(&deployment("unread")).replicas(2);
                world = world.with(set);
            } else {
                world = world.with(pod("p").labelled("app", "web").of(&Workload { kind, ..replica_set("unread") }));
            }
            world.mark_unknown(Kind::Workload(kind), Unreadable::Forbidden("no".into()));
            check(&world, &budget("web").max_unavailable("1"), expected);
        }
        check_unread(WorkloadKind::ReplicaSet, "error: replicasets.apps could not be read");
        check_unread(WorkloadKind::Deployment, "error: deployments.apps could not be read");
        check_unread(WorkloadKind::StatefulSet, "error: statefulsets.apps could not be read");
        check_unread(WorkloadKind::ReplicationController, "error: replicationcontrollers could not be read");
        // What has no scale fails whether it is known or not.
        check_unread(WorkloadKind::Job, "error: jobs.batch does not implement the scale subresource");
        check_unread(WorkloadKind::DaemonSet, "error: daemonsets.apps does not implement the scale subresource");
    }

    #[test]
    fn bare_pods() {
        let labelled = |name: &str| pod(name).labelled("app", "web");
        // A Ready one is healthy although nobody expects it.
        let with_bare = world().runs(&deployment("web"), ["n1"; 2]).with(labelled("bare"));
        check(&with_bare, &budget("web").max_unavailable("0"), "expects 2, needs 2, has 3: allows 1");
        check(&with_bare, &budget("web").min_available("100%"), "expects 2, needs 2, has 3: allows 1");
        check(&with_bare, &budget("web").min_available("2"), "expects 3, needs 2, has 3: allows 1");
        check(&with_bare, &budget("web").min_available("3"), "expects 3, needs 3, has 3: never");
        let and_unready = with_bare.pod("web-1", |pod| pod.unready(""));
        check(&and_unready, &budget("web").max_unavailable("0"), "expects 2, needs 2, has 2: not now");
        // One that isn't Ready is not counted on.
        let with_unready = world().runs(&deployment("web"), ["n1"; 2]).with(labelled("bare").unready(""));
        check(&with_unready, &budget("web").max_unavailable("0"), "expects 2, needs 2, has 2: never");
        // Only bare ones: nothing is expected.
        let only_bare = world().with_all(["a", "b"].map(labelled));
        check(&only_bare, &budget("web").max_unavailable("1"), "expects 0, needs 0, has 2: never");
        check(&only_bare, &budget("web").min_available("50%"), "expects 0, needs 0, has 2: never");
        check(&only_bare, &budget("web").min_available("1"), "expects 2, needs 1, has 2: allows 1");
    }

    #[test]
    fn always_blocked_is_told_from_blocked_now() {
        // Nothing is needed, yet nothing is healthy: blocked while no pod is Ready.
        let crashing = world().runs(&deployment("web"), ["n1"; 1]).pod("web-1", |pod| pod.unready("CrashLoopBackOff"));
        check(&crashing, &budget("web").max_unavailable("1"), "expects 1, needs 0, has 0: not now");
        check(&crashing, &budget("web").min_available("0"), "expects 1, needs 0, has 0: not now");
        check(&crashing, &budget("web").min_available("1"), "expects 1, needs 1, has 0: never");
        // Scaled to nothing: no pod is ever expected.
        let set = stateful_set("web").replicas(0);
        let none = world().with(set.clone()).with(pod("web-0").labelled("app", "web").of(&set));
        check(&none, &budget("web").max_unavailable("1"), "expects 0, needs 0, has 1: never");
        // A surge opens an impossible budget for a moment.
        let web = deployment("web").replicas(2);
        let set = replica_set("web-rs").of(&web);
        let surging = world()
            .with_all([web, set.clone()])
            .with_all(["a", "b", "c"].map(|name| pod(name).labelled("app", "web").of(&set)));
        check(&surging, &budget("web").max_unavailable("0"), "expects 2, needs 2, has 3: allows 1");
    }

    #[test]
    fn how_many_more_replicas_would_help() {
        #[track_caller]
        fn check_more(budget: &DisruptionBudget, expected: Option<i32>) {
            let world = |replicas| {
                let web = stateful_set("web").replicas(replicas);
                let names = (0..replicas).map(|n| format!("web-{n}"));
                let pods: Vec<Pod> = names.map(|name| pod(&name).labelled("app", "web").of(&web)).collect();
                world().with(web).with_all(pods)
            };
            let sync = synced(&world(3), budget).unwrap();
            assert!(sync.is_impossible());
            let more = sync.replicas_to_open(budget);
            assert_eq!(more, expected);
            // The numbers of a world with so many replicas agree.
            for extra in 1..40 {
                let opens = synced(&world(3 + extra), budget).unwrap().counts.allowed() > 0;
                assert_eq!(opens, more.is_some_and(|more| extra >= more), "{extra} more");
            }
        }
        check_more(&budget("web").min_available("3"), Some(1));
        check_more(&budget("web").min_available("5"), Some(3));
        check_more(&budget("web").min_available("67%"), Some(1));
        check_more(&budget("web").min_available("75%"), Some(1));
        check_more(&budget("web").min_available("76%"), Some(2));
        check_more(&budget("web").min_available("95%"), Some(17));
        check_more(&budget("web").min_available("100%"), None);
        check_more(&budget("web").max_unavailable("0"), None);
        check_more(&budget("web").max_unavailable("0%"), None);
        check_more(&budget("web"), None);
    }

    #[test]
    fn numbers_that_are_none() {
        let world = world().runs(&deployment("web"), ["n1"; 2]);
        check(
            &world,
            &budget("web").max_unavailable("many"),
            "error: invalid value for IntOrString: \"many\" is neither a whole number nor a percentage",
        );
    }
}
