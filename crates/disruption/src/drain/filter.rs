//! Which pods a drain may take: kubectl's filters in kubectl's order (`pkg/drain/filters.go`), but every reason of every
//! pod is kept, and what kubectl does not look at is said too.

use jiff::Timestamp;

use crate::{
    drain::options::Options,
    model::{EmptyDir, JobRules, Node, OnEviction, OwnerRef, Pod, ToolHold, Workload, WorkloadKind},
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
    /// Its Job fails when it is evicted.
    JobFails(&'a Workload),
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
        /// Whether the Job fails by it.
        fails: bool,
    },
    /// Its controller could not be read.
    OwnerUnknown(&'a OwnerRef),
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

/// The finalizers that keep a pod's object until somebody else has done something.
pub(super) fn holding_finalizers(pod: &Pod) -> Vec<&str> {
    pod.finalizers.iter().map(String::as_str).filter(|finalizer| *finalizer != JOB_TRACKING_FINALIZER).collect()
}

/// What kubectl does not look at.
fn further_reasons<'a>(pod: &'a Pod, workloads: &'a Workloads) -> Vec<Reason<'a>> {
    let mut reasons = Vec::new();
    if pod.is_terminating() {
        reasons.push(Reason::Terminating);
    }
    let finalizers = holding_finalizers(pod);
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
        Owner::Workload(Workload { name, job: Some(rules), .. }) if rules.on_eviction != OnEviction::Ignored => {
            let JobRules { on_eviction, backoff_limit, .. } = *rules;
            let fails = on_eviction == OnEviction::FailsJob;
            reasons.push(Reason::JobCountsEviction { job: &name.name, backoff_limit, fails });
        }
        Owner::Unknown(owner) => reasons.push(Reason::OwnerUnknown(owner)),
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
        Owner::Workload(workload) if workload.job.is_some_and(|job| job.on_eviction == OnEviction::FailsJob) => {
            Comeback::Lost(Loss::JobFails(workload))
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
            | Self::OwnerUnknown(_)
            | Self::JobCountsEviction { .. }
            | Self::HostPath(_)
            | Self::VolumeClaims(_)
            | Self::ToleratesCordon
            | Self::Finalizers(_)
            | Self::NodeNotReady { .. }
            | Self::HeldForOtherTool(_) => Severity::Warning,
            Self::NotSelected
            | Self::TerminatingTooLong
            | Self::StaticPod
            | Self::Terminating
            | Self::Finished
            | Self::NoPreStop => Severity::Info,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{iter, time::Duration};

    use super::*;
    use crate::{
        drain::{
            document::{DrainPlan, Place, ReasonSeverity},
            plan,
        },
        fixture::{daemon_set, deployment, job, node, pod, replica_set, replication_controller, stateful_set, world},
        model::{NodeName, Phase},
        snapshot::{Kind, Snapshot, Unreadable},
    };

    /// The flags of a command line.
    fn flags(text: &str) -> Options {
        let mut options = Options::default();
        for flag in text.split_whitespace() {
            match flag.split_once('=').unwrap_or((flag, "")) {
                ("--force", _) => options.force = true,
                ("--ignore-daemonsets", _) => options.ignore_daemonsets = true,
                ("--delete-emptydir-data", _) => options.delete_emptydir_data = true,
                ("--pod-selector", selector) => options.pod_selector = Some(selector.parse().unwrap()),
                ("--skip-wait-for-delete-timeout", seconds) => {
                    options.skip_wait_for_delete_timeout = Some(Duration::from_secs(seconds.parse().unwrap()));
                }
                (other, _) => panic!("no flag {other}"),
            }
        }
        options
    }

    fn drain(world: &Snapshot, args: &str) -> DrainPlan {
        let (targets, options) = ([NodeName("n1".into())], flags(args));
        DrainPlan::new(&plan::plan(world, &targets, &options).unwrap(), Place::default())
    }

    /// Checks what becomes of the only pod on node `n1`: the exit code, then the action with every reason but Info.
    #[track_caller]
    fn check(world: Snapshot, args: &str, exit: u8, expected: &str) {
        let plan = drain(&world.with(node("n1")), args);
        let [pod] = plan.pods.as_slice() else { panic!("{} pods", plan.pods.len()) };
        let reasons = pod.reasons.iter().filter(|reason| reason.severity != ReasonSeverity::Info);
        let told: Vec<String> =
            iter::once(format!("{:?}", pod.action)).chain(reasons.map(|reason| reason.message.clone())).collect();
        assert_eq!((plan.exit_code, told.join("; ").as_str()), (exit, expected), "with {args:?}");
    }

    const NEEDS_FORCE: &str = "Pods that declare no controller (use --force to override)";
    const FORCED: &str = "deleting Pods that declare no controller";
    const NEEDS_DELETE: &str = "Pods with local storage (use --delete-emptydir-data to override)";
    const DELETED: &str = "deleting Pods with local storage";

    /// `TestDrain` of kubectl's `pkg/cmd/drain`, in its order: fatal is exit 3, deleted is Evict.
    #[test]
    fn kubectls_table() {
        let with = |owner: &Workload, pod: Pod| world().with(owner.clone()).with(pod.of(owner));
        let log = daemon_set("log");
        let (sum, web) = (job("sum").rules(|rules| rules.on_eviction = OnEviction::Ignored), replica_set("web"));
        check(with(&replication_controller("rc"), pod("bar")), "", 0, "Evict");
        check(with(&log, pod("bar")), "", 3, "Refuse; DaemonSet-managed Pods (use --ignore-daemonsets to ignore)");
        check(with(&log, pod("bar").in_phase(Phase::Succeeded)), "", 0, "Evict");
        let orphaned = || world().with(log.clone()).with(pod("bar").labelled("app", "log"));
        check(orphaned(), "", 3, &format!("Refuse; {NEEDS_FORCE}"));
        check(orphaned(), "--force", 0, &format!("Evict; {FORCED}"));
        let ignoring = "Skip; ignoring DaemonSet-managed Pods";
        check(with(&log, pod("bar")), "--ignore-daemonsets", 0, ignoring);
        check(with(&log, pod("bar").empty_dir("scratch")), "--ignore-daemonsets", 0, ignoring);
        let scratch = || pod("bar").empty_dir("scratch");
        check(with(&sum, scratch()), "--force --delete-emptydir-data", 0, &format!("Evict; {DELETED}"));
        check(with(&sum, scratch().in_phase(Phase::Succeeded)), "", 0, "Evict");
        check(with(&web, pod("bar")), "", 0, "Evict");
        check(world().with(pod("bar")), "", 3, &format!("Refuse; {NEEDS_FORCE}"));
        check(world().with(pod("bar")), "--force", 0, &format!("Evict; {FORCED}"));
        check(world().with(scratch()), "--force", 3, &format!("Refuse; {NEEDS_DELETE}; {FORCED}"));
        check(world().with(scratch().in_phase(Phase::Failed)), "", 0, "Evict");
        let both = format!("Evict; {DELETED}; {FORCED}");
        check(world().with(scratch()), "--force --delete-emptydir-data", 0, &both);
        assert!(drain(&world().with(node("n1")), "").pods.is_empty());
    }

    #[test]
    fn every_reason_at_once() {
        let world = || world().with(pod("bar").empty_dir("scratch"));
        check(world(), "", 3, &format!("Refuse; {NEEDS_DELETE}; {NEEDS_FORCE}"));
        check(world(), "--delete-emptydir-data", 3, &format!("Refuse; {DELETED}; {NEEDS_FORCE}"));
        check(world(), "--force", 3, &format!("Refuse; {NEEDS_DELETE}; {FORCED}"));
    }

    /// `TestSkipDeletedFilter`, and what kubectl does with 0.
    #[test]
    fn pods_that_terminate() {
        #[track_caller]
        fn check_after(seconds: i64, args: &str, expected: &str) {
            let world = world()
                .with(stateful_set("web"))
                .with(pod("web-0").of(&stateful_set("web")).terminating_since(seconds));
            check(world, args, 0, expected);
        }
        let skipping = "--skip-wait-for-delete-timeout=20";
        check_after(0, skipping, "Wait");
        check_after(1, skipping, "Wait");
        check_after(20, skipping, "Wait");
        check_after(21, skipping, "Skip");
        check_after(100, skipping, "Skip");
        // The grace period isn't over yet.
        check_after(-100, skipping, "Wait");
        check_after(100, "--skip-wait-for-delete-timeout=0", "Wait");
        check_after(100, "", "Wait");
        // It needs the flags all the same, as with kubectl.
        check(world().with(pod("bare").terminating_since(1)), "", 3, &format!("Refuse; {NEEDS_FORCE}"));
        check(world().with(pod("bare").terminating_since(1)), "--force", 0, &format!("Wait; {FORCED}"));
    }

    #[test]
    fn daemon_sets_that_are_gone_or_unknown() {
        let of_log = || world().with(pod("log-1").of(&daemon_set("log")));
        let gone = "daemonsets.apps \"log\" not found";
        check(of_log(), "", 3, &format!("Refuse; {gone}"));
        check(of_log(), "--ignore-daemonsets", 3, &format!("Refuse; {gone}"));
        check(of_log(), "--force", 0, &format!("Evict; {gone}"));
        let of_another = world().with(Workload { uid: crate::model::Uid("new".into()), ..daemon_set("log") });
        check(of_another.with(pod("log-1").of(&daemon_set("log"))), "", 3, &format!("Refuse; {gone}"));
        let mut unread = of_log();
        unread.mark_unknown(Kind::Workload(WorkloadKind::DaemonSet), Unreadable::Forbidden("no".into()));
        check(unread, "--ignore-daemonsets", 0, "Skip; ignoring DaemonSet-managed Pods");
        // kubectl knows apps/v1 only.
        let other = world().with(pod("log-1").of_kind("apps.kruise.io/v1", "DaemonSet", "log"));
        check(other, "", 0, "Evict; DaemonSet log decides whether its Pods come back");
    }

    #[test]
    fn pods_that_stay() {
        let by_hand = |pod: Pod| world().with(pod.of_kind("v1", "Node", "n1"));
        check(by_hand(pod("etcd")), "", 0, "Skip");
        check(by_hand(Pod { is_mirror: true, ..pod("etcd").empty_dir("x") }), "", 0, "Skip");
        check(world().with(Pod { is_mirror: true, ..pod("etcd") }), "", 0, "Skip");
        check(world().with(pod("bare")), "--pod-selector=app=web", 0, "Skip");
        check(
            world().with(pod("bare").labelled("app", "web")),
            "--pod-selector=app=web --force",
            0,
            &format!("Evict; {FORCED}"),
        );
    }

    /// Checks all that is said of a pod on a node, and who brings it back.
    #[track_caller]
    fn check_said(world: &Snapshot, expected: &str) {
        let plan = drain(world, "--force --delete-emptydir-data");
        let [pod] = plan.pods.as_slice() else { panic!("{} pods", plan.pods.len()) };
        let said: Vec<String> =
            pod.reasons.iter().map(|reason| format!("{:?}: {}", reason.severity, reason.message)).collect();
        let back = pod.replacement.reasons.join("; ");
        assert_eq!(format!("{}\n{back}", said.join("\n")).trim(), expected);
    }

    #[test]
    fn what_kubectl_does_not_look_at() {
        let web = stateful_set("web");
        let said = |pod: Pod, expected: &str| {
            let expected = format!("{expected}\nStatefulSet web brings it back");
            check_said(&world().with(node("n1")).with(web.clone()).with(pod.of(&web)), expected.trim());
        };
        said(pod("a"), "");
        let paths = ["/var/lib", "/etc"].map(str::to_owned).to_vec();
        said(
            Pod { host_paths: paths, ..pod("a") },
            "Warning: hostPath /var/lib, /etc: what it holds stays on this node",
        );
        said(
            Pod { claims: vec!["data".into()], ..pod("a") },
            "Warning: claim data: the replacement runs only where that volume can be mounted",
        );
        said(
            Pod { tolerates_cordon: true, ..pod("a") },
            "Warning: tolerates node.kubernetes.io/unschedulable: the scheduler may put it straight back",
        );
        let finalizers = vec!["batch.kubernetes.io/job-tracking".into(), "example.com/backup".into()];
        said(Pod { finalizers, ..pod("a") }, "Warning: finalizer example.com/backup keeps the Pod until it is removed");
        said(Pod { finalizers: vec!["batch.kubernetes.io/job-tracking".into()], ..pod("a") }, "");
        for hold in [
            ToolHold::NotSafeToEvict,
            ToolHold::DoNotDisrupt,
            ToolHold::ClusterApiSkip,
            ToolHold::ClusterApiWaitCompleted,
        ] {
            let expected = format!("Warning: marked {}; a drain moves it all the same", hold.key_and_value());
            said(Pod { holds: vec![hold], ..pod("a") }, &expected);
        }
        let serving = |pod: Pod| Pod { serves_without_pre_stop: true, ..pod };
        said(serving(pod("a")), "Info: serves without a preStop delay: requests may be lost while it stops");
        said(serving(pod("a").unready("")), "");
        said(pod("a").terminating_since(1), "Info: terminating already: waited for, not evicted again");
    }

    #[test]
    fn nodes_that_are_not_ready() {
        let web = stateful_set("web");
        let on = |node: Node, pod: Pod| world().with(node).with(web.clone()).with(pod.of(&web));
        let back = "StatefulSet web brings it back";
        check_said(
            &on(node("n1").not_ready("NodeStatusUnknown"), pod("a")),
            &format!(
                "Warning: node n1 is not Ready (NodeStatusUnknown): its kubelet may never confirm that Pods stopped\n{back}"
            ),
        );
        check_said(&on(node("n1"), pod("a")), back);
        // Finished pods are removed without a kubelet.
        check_said(
            &on(node("n1").not_ready("NodeStatusUnknown"), pod("a").in_phase(Phase::Failed)),
            "Info: finished Pods: removed at once, nothing runs in them\nit has finished",
        );
        // Unless something keeps the object.
        let kept = Pod { finalizers: vec!["example.com/backup".into()], ..pod("a").in_phase(Phase::Failed) };
        check_said(
            &on(node("n1"), kept),
            "Warning: finalizer example.com/backup keeps the Pod until it is removed\nInfo: finished Pods: removed at once, nothing runs in them\nit has finished",
        );
    }

    #[test]
    fn who_brings_a_pod_back() {
        let of = |owner: Workload, expected: &str| {
            check_said(&world().with(node("n1")).with(owner.clone()).with(pod("a").of(&owner)), expected);
        };
        for owner in [stateful_set("web"), replica_set("web"), replication_controller("web")] {
            of(owner.clone(), &format!("{} web brings it back", owner.kind.as_str()));
            of(
                owner.clone().deleting(),
                &format!("{} web is being deleted: nothing brings it back", owner.kind.as_str()),
            );
            of(
                owner.clone().replicas(0),
                &format!("{} web wants no pods: nothing brings it back", owner.kind.as_str()),
            );
        }
        check_said(&world().with(node("n1")).runs(&deployment("web"), ["n1"]), "Deployment web brings it back");
        of(job("sum"), "Warning: Job sum counts the eviction as a failure (backoffLimit 6)\nJob sum brings it back");
        of(job("sum").rules(|rules| rules.on_eviction = OnEviction::Ignored), "Job sum brings it back");
        for is_finished in [true, false] {
            let ended = job("sum").rules(|rules| {
                (rules.on_eviction, rules.is_finished, rules.is_suspended) =
                    (OnEviction::Ignored, is_finished, !is_finished);
            });
            of(ended, "Job sum has ended or is suspended: nothing brings it back");
        }
        let alone = |pod: Pod, expected: &str| check_said(&world().with(node("n1")).with(pod), expected);
        alone(
            pod("a").of(&replica_set("gone")),
            "Warning: ReplicaSet gone no longer exists: nothing brings its Pods back\nReplicaSet gone is gone: nothing brings it back",
        );
        alone(
            pod("a").of_kind("example.com/v1", "Flock", "f"),
            "Warning: Flock f decides whether its Pods come back\nFlock f decides whether it comes back",
        );
        alone(
            pod("a"),
            "Warning: deleting Pods that declare no controller\nit has no controller: nothing brings it back",
        );
    }
}
