//! The sentences of a plan. Texts that kubectl has are kubectl's.

use std::fmt::Write as _;

use crate::{
    budget::ledger::{Account, BudgetState},
    drain::{
        filter::{Comeback, Fate, Judgement, Loss, Reason, Severity},
        plan::{BudgetVerdict, Plan, PodPlan, Verdict},
        rights::Right,
    },
    model::{DisruptionBudget, IntOrPercent, ObjectName, Phase, Pod, UnhealthyPods, Workload},
    workload::{Owner, Workloads},
};

/// How many names a sentence lists before it counts the rest.
const MOST_NAMES: usize = 3;

impl Reason<'_> {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotSelected => "NotSelected",
            Self::TerminatingTooLong => "TerminatingTooLong",
            Self::DaemonSetManaged { .. } => "DaemonSetManaged",
            Self::DaemonSetGone { .. } => "DaemonSetGone",
            Self::StaticPod => "StaticPod",
            Self::LocalStorage { .. } => "LocalStorage",
            Self::Unreplicated { .. } => "Unreplicated",
            Self::Terminating => "Terminating",
            Self::Finished => "Finished",
            Self::OwnerGone(_) => "OwnerGone",
            Self::CustomController(_) => "CustomController",
            Self::JobCountsEviction { .. } => "JobCountsEviction",
            Self::OwnerUnknown(_) => "OwnerUnknown",
            Self::HostPath(_) => "HostPath",
            Self::VolumeClaims(_) => "VolumeClaims",
            Self::ToleratesCordon => "ToleratesCordon",
            Self::Finalizers(_) => "Finalizers",
            Self::NodeNotReady { .. } => "NodeNotReady",
            Self::HeldForOtherTool(_) => "HeldForOtherTool",
            Self::NoPreStop => "NoPreStop",
        }
    }

    /// What it is, about all pods for which it holds.
    pub fn message(&self) -> String {
        match self {
            Self::NotSelected => "not selected by --pod-selector".into(),
            Self::TerminatingTooLong => "terminating for longer than --skip-wait-for-delete-timeout".into(),
            Self::DaemonSetManaged { ignored: false } => {
                "DaemonSet-managed Pods (use --ignore-daemonsets to ignore)".into()
            }
            Self::DaemonSetManaged { ignored: true } => "ignoring DaemonSet-managed Pods".into(),
            Self::DaemonSetGone { name, forced: _ } => format!("daemonsets.apps {name:?} not found"),
            Self::StaticPod => "static Pods, which only their node's kubelet controls".into(),
            Self::LocalStorage { volumes: _, deleted: false } => {
                "Pods with local storage (use --delete-emptydir-data to override)".into()
            }
            Self::LocalStorage { volumes: _, deleted: true } => "deleting Pods with local storage".into(),
            Self::Unreplicated { forced: false } => "Pods that declare no controller (use --force to override)".into(),
            Self::Unreplicated { forced: true } => "deleting Pods that declare no controller".into(),
            Self::Terminating => "terminating already: waited for, not evicted again".into(),
            Self::Finished => "finished Pods: removed at once, nothing runs in them".into(),
            Self::OwnerGone(owner) => {
                format!("{} {} no longer exists: nothing brings its Pods back", owner.kind, owner.name)
            }
            Self::CustomController(owner) => {
                format!("{} {} decides whether its Pods come back", owner.kind, owner.name)
            }
            Self::OwnerUnknown(owner) => {
                format!("{} {} could not be read: whether its Pods come back is unknown", owner.kind, owner.name)
            }
            Self::JobCountsEviction { job, backoff_limit, fails: true } => {
                format!("Job {job} fails when this Pod is evicted (backoffLimit {backoff_limit})")
            }
            Self::JobCountsEviction { job, backoff_limit, fails: false } => {
                format!("Job {job} counts the eviction as a failure (backoffLimit {backoff_limit})")
            }
            Self::HostPath(paths) => format!("hostPath {}: what it holds stays on this node", list(paths.iter())),
            Self::VolumeClaims(claims) => {
                format!("claim {}: the replacement runs only where that volume can be mounted", list(claims.iter()))
            }
            Self::ToleratesCordon => {
                "tolerates node.kubernetes.io/unschedulable: the scheduler may put it straight back".into()
            }
            Self::Finalizers(finalizers) => {
                format!("finalizer {} keeps the Pod until it is removed", list(finalizers.iter()))
            }
            Self::NodeNotReady { node, reason } => {
                let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
                format!("node {node} is not Ready{reason}: its kubelet may never confirm that Pods stopped")
            }
            Self::HeldForOtherTool(hold) => format!("marked {}; a drain moves it all the same", hold.key_and_value()),
            Self::NoPreStop => "serves without a preStop delay: requests may be lost while it stops".into(),
        }
    }

    /// What helps, if anything does.
    pub fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::DaemonSetManaged { ignored: false } => "--ignore-daemonsets".into(),
            Self::LocalStorage { volumes, deleted: false } => {
                let on_disk = volumes.iter().any(|volume| !volume.in_memory);
                let what = if on_disk { "the data on it is lost" } else { "it is in memory only" };
                format!("--delete-emptydir-data ({what})")
            }
            Self::Unreplicated { forced: false } => "--force (nothing brings them back)".into(),
            Self::DaemonSetGone { forced: false, .. } => "--force".into(),
            Self::OwnerGone(owner) => format!("create {} {} again first, or accept the loss", owner.kind, owner.name),
            Self::JobCountsEviction { job, .. } => {
                format!("let Job {job} finish first, or have its podFailurePolicy ignore DisruptionTarget")
            }
            Self::VolumeClaims(_) => "a local volume exists on one node only: see kubectl describe pv".into(),
            Self::ToleratesCordon => "drop the toleration, or taint the node with a key of your own".into(),
            Self::NodeNotReady { node, .. } => format!(
                "if the machine is off for good: kubectl taint node {node} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"
            ),
            Self::NoPreStop => "add a preStop sleep of a few seconds".into(),
            Self::DaemonSetManaged { ignored: true }
            | Self::DaemonSetGone { forced: true, .. }
            | Self::LocalStorage { deleted: true, .. }
            | Self::Unreplicated { forced: true }
            | Self::NotSelected
            | Self::TerminatingTooLong
            | Self::StaticPod
            | Self::Terminating
            | Self::Finished
            | Self::CustomController(_)
            | Self::OwnerUnknown(_)
            | Self::HostPath(_)
            | Self::Finalizers(_)
            | Self::HeldForOtherTool(_) => return None,
        })
    }
}

/// What the budgets say of a pod, and what would help; empty where there is nothing to say.
pub(super) fn budget_message(planned: &PodPlan<'_>, plan: &Plan<'_>) -> (String, Option<String>) {
    let workloads = &plan.snapshot.workloads;
    let accounts: Vec<&Account<'_>> = plan.ledger.budgets_of(planned.pod).collect();
    match (planned.budget, accounts.as_slice()) {
        (BudgetVerdict::None, _) => (String::new(), None),
        (BudgetVerdict::Free, _) if plan.options.disable_eviction => (bypass_message(&accounts), None),
        (BudgetVerdict::Free, [account]) => (format!("{} need not be asked", shown(account.budget)), None),
        (BudgetVerdict::Free, _) => ("no budget need be asked".into(), None),
        (BudgetVerdict::Unknown, [account]) => (block_message(account, None), None),
        (BudgetVerdict::Unknown, _) => ("the disruption budgets could not be read".into(), None),
        (BudgetVerdict::MultipleBudgets, accounts) => {
            (several_budgets(accounts), Some("narrow their selectors so that one of them covers it".into()))
        }
        (BudgetVerdict::Allowed, [account]) => (format!("{} allows it now", shown(account.budget)), None),
        (BudgetVerdict::Later, [account]) => {
            (format!("{} allows it once replacements are Ready", shown(account.budget)), None)
        }
        (_, [account]) => (block_message(account, Some(planned.pod)), block_remedy(account, planned.pod, workloads)),
        (_, _) => (String::new(), None),
    }
}

/// That the server refuses pods that several budgets cover.
pub(super) fn several_budgets(accounts: &[&Account<'_>]) -> String {
    let names: Vec<&str> = accounts.iter().map(|account| account.budget.name.name.as_str()).collect();
    format!("{} disruption budgets cover it ({}), which the eviction API refuses", names.len(), names.join(", "))
}

/// What the filters say of a pod, in one line.
pub(super) fn reasons(judgement: &Judgement<'_>) -> String {
    let worst = judgement.reasons.iter().map(Reason::severity).min();
    let reasons = judgement.reasons.iter().filter(|reason| Some(reason.severity()) == worst);
    reasons.map(Reason::message).collect::<Vec<_>>().join("; ")
}

/// Why pods are refused, in kubectl's words: each reason with its pods.
pub(super) fn refusal<'a>(pods: impl Iterator<Item = (&'a Pod, &'a Judgement<'a>)>) -> String {
    let reasons = pods.flat_map(|(pod, judgement)| {
        let errors = judgement.reasons.iter().filter(|reason| reason.severity() == Severity::Error);
        errors.map(move |reason| (reason.message(), pod))
    });
    let cannot = by_message(reasons).map(|(message, pods)| format!("cannot delete {message}: {}", pods.join(", ")));
    cannot.collect::<Vec<_>>().join(", ")
}

/// Why budgets can never let pods go: each reason with its pods.
pub(super) fn impossible(pods: &[&PodPlan<'_>], plan: &Plan<'_>) -> String {
    let messages = pods.iter().map(|planned| (budget_message(planned, plan).0, planned.pod));
    let cannot = by_message(messages).map(|(message, pods)| {
        let word = if pods.len() == 1 { "pod" } else { "pods" };
        format!("{word} {}: {message}", pods.join(", "))
    });
    cannot.collect::<Vec<_>>().join("; ")
}

/// The names of the pods that share a message, in the order of the first of each.
fn by_message<'a>(pods: impl Iterator<Item = (String, &'a Pod)>) -> impl Iterator<Item = (String, Vec<String>)> {
    let mut all: Vec<(String, Vec<String>)> = Vec::new();
    for (message, pod) in pods {
        let name = pod.name.to_string();
        match all.iter_mut().find(|(known, _)| *known == message) {
            Some((_, names)) => names.push(name),
            None => all.push((message, vec![name])),
        }
    }
    all.into_iter()
}

/// That a deletion asks no budget, and what they would have said.
pub(super) fn bypass_message(accounts: &[&Account<'_>]) -> String {
    let names: Vec<String> = accounts.iter().map(|account| shown(account.budget)).collect();
    let blocks = accounts.len() > 1 || accounts.iter().any(|account| account.state != BudgetState::Open);
    let what = if blocks { ", which allows no eviction now" } else { "" };
    format!("deleted without asking {}{what}", names.join(" and "))
}

pub(super) fn shown(budget: &DisruptionBudget) -> String {
    format!("disruption budget {}", budget.name)
}

/// How a budget stands, for the list of budgets.
pub(super) fn account_summary(account: &Account<'_>) -> String {
    match account.state {
        BudgetState::Open => String::new(),
        _ => block_message(account, None),
    }
}

/// Why a budget blocks, of itself or for one pod that asks it.
pub(super) fn block_message(account: &Account<'_>, asking: Option<&Pod>) -> String {
    let name = shown(account.budget);
    let counts = account.counts;
    let needs = format!("{name} needs {} healthy pods and has {} currently", counts.desired, counts.healthy);
    match (&account.state, &account.budget.unhealthy_pods) {
        (BudgetState::AlwaysBlocked, _) if counts.expected <= 0 => {
            format!("{name} never allows an eviction: {}", why_impossible(account))
        }
        (BudgetState::AlwaysBlocked, _) => format!("{needs}: {}", why_impossible(account)),
        (BudgetState::SyncFailed(message), _) => {
            format!("{name} allows nothing, because the controller cannot compute it: {message}")
        }
        (BudgetState::StillProcessing, _) => {
            format!("the newest change of {name} is still being processed by the server")
        }
        (BudgetState::Unknown(what), _) => format!("{name} could not be computed: {what}"),
        (_, UnhealthyPods::Unrecognized(policy)) if asking.is_some_and(|pod| !pod.ready) => {
            format!("{name} has the unhealthyPodEvictionPolicy {policy:?}, unknown here: pods that are not Ready stay")
        }
        (BudgetState::BlockedNow, _) => {
            let awaited = awaited_pods(account);
            format!("{needs}: waits for {}", awaited.as_deref().unwrap_or("its owners to run more pods"))
        }
        // Others of this drain have used it up.
        (BudgetState::Open, _) => {
            format!("{name} allows {}, and nothing brings back what goes first", counted(counts.allowed(), "eviction"))
        }
    }
}

fn why_impossible(account: &Account<'_>) -> String {
    let budget = account.budget;
    match (&budget.min_available, &budget.max_unavailable) {
        (None, None) => "it sets neither minAvailable nor maxUnavailable".into(),
        (_, Some(Ok(IntOrPercent::Int(0) | IntOrPercent::Percent(0)))) => {
            "its maxUnavailable of 0 never allows an eviction".into()
        }
        _ if account.counts.expected <= 0 => "it counts the replicas of its pods' owners, and there are none".into(),
        (Some(Ok(min_available)), _) => format!(
            "its minAvailable of {min_available} leaves none of {} to spare",
            counted(account.counts.expected, "pod")
        ),
        _ => "it leaves no pod to spare".into(),
    }
}

/// What a budget waits for: the covered pods that are not healthy, and those that its owners still have to create.
fn awaited_pods(account: &Account<'_>) -> Option<String> {
    let unhealthy: Vec<String> = account.unhealthy().map(describe).collect();
    let owned = account.covered.iter().filter(|pod| pod.controller.is_some() && !pod.is_finished()).count();
    let missing = account.counts.expected.saturating_sub(i32::try_from(owned).unwrap_or(i32::MAX));
    let mut parts = Vec::new();
    if !unhealthy.is_empty() {
        parts.push(list(unhealthy.iter()));
    }
    if missing > 0 {
        let verb = if missing == 1 { "does" } else { "do" };
        parts.push(format!("{} that {verb} not exist yet", counted(missing, "pod")));
    }
    (!parts.is_empty()).then(|| parts.join(" and "))
}

fn describe(pod: &Pod) -> String {
    let place = pod.node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default();
    let state = match (&pod.trouble, pod.phase) {
        _ if pod.is_terminating() => "terminating".to_owned(),
        _ if pod.ready => "evicted a moment ago".to_owned(),
        (Some(trouble), _) => format!("not Ready, {trouble}"),
        (None, Phase::Pending) => "Pending".to_owned(),
        (None, _) => "not Ready".to_owned(),
    };
    format!("pod {}{place} ({state})", pod.name)
}

/// What helps a pod that a budget blocks.
pub(super) fn block_remedy(account: &Account<'_>, asking: &Pod, workloads: &Workloads) -> Option<String> {
    let budget = account.budget;
    let ObjectName { namespace, name } = &budget.name;
    let edit = format!("kubectl -n {namespace} edit pdb {name}");
    match &account.state {
        BudgetState::StillProcessing | BudgetState::Unknown(_) => None,
        _ if !asking.ready && budget.unhealthy_pods != UnhealthyPods::AlwaysAllow => {
            Some(format!("let pods that are not Ready go, set its unhealthyPodEvictionPolicy to AlwaysAllow: {edit}"))
        }
        BudgetState::SyncFailed(_) => Some(format!(
            "give it a minAvailable that is a plain number, or leave such pods out of its selector: {edit}"
        )),
        BudgetState::AlwaysBlocked => Some(match (&budget.min_available, &budget.max_unavailable) {
            (None, None) | (_, Some(Ok(IntOrPercent::Int(0) | IntOrPercent::Percent(0)))) => {
                format!("set its maxUnavailable to 1: {edit}")
            }
            _ if account.counts.expected <= 0 => format!("give it a minAvailable that is a plain number: {edit}"),
            _ => match (account.replicas_to_open, scalable_owner(account, workloads)) {
                (Some(more), Some(owner)) => format!(
                    "run {}: kubectl -n {namespace} scale {}/{} --replicas={}",
                    counted(more, "more replica"),
                    owner.kind.as_str().to_lowercase(),
                    owner.name.name,
                    owner.replicas.saturating_add(more)
                ),
                _ => format!("lower its minAvailable: {edit}"),
            },
        }),
        BudgetState::BlockedNow => {
            let unhealthy = account.unhealthy().next()?;
            Some(format!("kubectl -n {namespace} describe pod {}", unhealthy.name.name))
        }
        BudgetState::Open => Some(format!("start pods in their place first, or relax it: {edit}")),
    }
}

fn scalable_owner<'a>(account: &Account<'a>, workloads: &'a Workloads) -> Option<&'a Workload> {
    account.covered.iter().find_map(|pod| match workloads.root(pod) {
        Owner::Workload(workload) if workload.kind.has_scale() => Some(workload),
        _ => None,
    })
}

/// Who brings a pod back, or that nobody does.
pub(super) fn comeback_message(comeback: Comeback<'_>) -> Option<String> {
    let of = |workload: &Workload| format!("{} {}", workload.kind.as_str(), workload.name.name);
    Some(match comeback {
        Comeback::Stays => return None,
        Comeback::By(workload) => format!("{} brings it back", of(workload)),
        Comeback::Uncertain(owner) => format!("{} {} decides whether it comes back", owner.kind, owner.name),
        Comeback::Lost(loss) => match loss {
            Loss::NoController => "it has no controller: nothing brings it back".into(),
            Loss::OwnerGone(owner) => format!("{} {} is gone: nothing brings it back", owner.kind, owner.name),
            Loss::OwnerDeleting(workload) => format!("{} is being deleted: nothing brings it back", of(workload)),
            Loss::ScaledToZero(workload) => format!("{} wants no pods: nothing brings it back", of(workload)),
            Loss::JobEnded(workload) => format!("{} has ended or is suspended: nothing brings it back", of(workload)),
            Loss::JobFails(workload) => format!("{} fails by the eviction: nothing brings it back", of(workload)),
            Loss::Finished => "it has finished".into(),
        },
    })
}

/// The verdict of a plan in one sentence.
pub(super) fn verdict_sentence(plan: &Plan<'_>) -> String {
    let count = |test: &dyn Fn(&PodPlan<'_>) -> bool| {
        i32::try_from(plan.pods.iter().filter(|planned| test(planned)).count()).unwrap_or(i32::MAX)
    };
    let nodes = match plan.nodes.as_slice() {
        [] => return "no node is selected".to_owned(),
        [node] => format!("node {}", node.name),
        nodes => format!("{} nodes", nodes.len()),
    };
    let evicted = count(&|planned| planned.wave().is_some());
    let needs_flag =
        count(&|planned| planned.judgement.reasons.iter().any(|reason| reason.severity() == Severity::Error));
    let blocked = count(&|planned| planned.is_blocked());
    let going = count(&|planned| planned.judgement.fate == Fate::Wait);
    match plan.verdict() {
        Verdict::Clear => {
            let waves = i32::try_from(plan.waves.len()).unwrap_or(i32::MAX);
            let mut moves = match evicted {
                0 if going == 0 => "no pod has to move".to_owned(),
                0 => String::new(),
                _ => format!("{} in {}", counted(evicted, "pod"), counted(waves, "wave")),
            };
            if going > 0 {
                let and = if moves.is_empty() { "" } else { ", and " };
                let _ = write!(moves, "{and}{} terminating already", are(going));
            }
            let doubt = if plan.ledger.budgets_are_known() {
                ""
            } else {
                ", as far as is known: the disruption budgets could not be read"
            };
            format!("{nodes} can be drained: {moves}{doubt}")
        }
        Verdict::Refused if blocked > 0 => format!(
            "{nodes} cannot be drained: {} a flag, {} blocked by a disruption budget",
            needs(needs_flag),
            are(blocked)
        ),
        Verdict::Refused => format!("{nodes} cannot be drained: {} a flag", needs(needs_flag)),
        Verdict::Blocked => {
            // What others of this drain have used up does not come back by waiting.
            let passes = plan.pods.iter().filter(|planned| planned.is_blocked()).all(|planned| {
                matches!(planned.budget, BudgetVerdict::BlockedNow | BudgetVerdict::StillProcessing)
                    && plan.ledger.budgets_of(planned.pod).all(|account| account.state != BudgetState::Open)
            });
            let now = if passes { " now" } else { "" };
            format!("{nodes} cannot be drained{now}: {} blocked by a disruption budget", are(blocked))
        }
    }
}

/// What the server did not accept, for the end of a verdict.
pub(super) fn server_sentence(refused: usize, unanswered: usize) -> String {
    let requests = |count: usize| counted(i32::try_from(count).unwrap_or(i32::MAX), "request");
    match (refused, unanswered) {
        (refused, 0) => format!("the server refuses {}", requests(refused)),
        (0, unanswered) => format!("the server gave no answer to {}", requests(unanswered)),
        (refused, unanswered) => {
            format!("the server refuses {} and gave no answer to {}", requests(refused), requests(unanswered))
        }
    }
}

/// The verdict of a plan that may not be carried out.
pub(super) fn forbidden_sentence(rights: &[Right]) -> String {
    let rights: Vec<String> = rights.iter().map(ToString::to_string).collect();
    format!("this drain is forbidden to you, who may not {}", rights.join(", nor "))
}

fn needs(pods: i32) -> String {
    if pods == 1 { "1 pod needs".into() } else { format!("{pods} pods need") }
}

fn are(pods: i32) -> String {
    if pods == 1 { "1 pod is".into() } else { format!("{pods} pods are") }
}

/// A duration in the form of a flag: ninety seconds are `1m30s`.
pub(super) fn seconds(duration: std::time::Duration) -> String {
    let (hours, minutes, seconds) = (duration.as_secs() / 3600, duration.as_secs() / 60 % 60, duration.as_secs() % 60);
    match (hours, minutes, seconds, duration.subsec_millis()) {
        (0, 0, 0, millis) => format!("{millis}ms"),
        (0, 0, seconds, _) => format!("{seconds}s"),
        (0, minutes, 0, _) => format!("{minutes}m"),
        (0, minutes, seconds, _) => format!("{minutes}m{seconds}s"),
        (hours, 0, 0, _) => format!("{hours}h"),
        (hours, minutes, seconds, _) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// `1 pod`, `2 pods`.
pub(super) fn counted(count: i32, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

pub(super) fn list(names: impl ExactSizeIterator<Item = impl AsRef<str>>) -> String {
    let total = names.len();
    let mut text = String::new();
    for (index, name) in names.take(MOST_NAMES).enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        text.push_str(name.as_ref());
    }
    if total > MOST_NAMES {
        // Writing to a String cannot fail.
        let _ = write!(text, " and {} more", total - MOST_NAMES);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::{
        drain::{
            document::{DrainPlan, Place},
            filter::Severity,
            options::{MaxUnavailable, Options},
            plan,
        },
        fixture::{budget, deployment, job, node, pod, replica_set, stateful_set, world},
        model::{EmptyDir, NodeName, ToolHold, UnhealthyPods},
        snapshot::{Kind, Snapshot, Unreadable},
    };

    #[test]
    fn every_reason() {
        let disk = [EmptyDir { volume: "scratch".into(), in_memory: false }];
        let memory = [EmptyDir { volume: "shm".into(), in_memory: true }];
        let (paths, claims) = (["/a", "/b", "/c", "/d", "/e"].map(String::from), ["data".to_owned()]);
        let flock = pod("p").of_kind("example.com/v1", "Flock", "web").controller.unwrap();
        let reasons = [
            Reason::NotSelected,
            Reason::TerminatingTooLong,
            Reason::DaemonSetManaged { ignored: false },
            Reason::DaemonSetManaged { ignored: true },
            Reason::DaemonSetGone { name: "log", forced: false },
            Reason::DaemonSetGone { name: "log", forced: true },
            Reason::StaticPod,
            Reason::LocalStorage { volumes: &disk, deleted: false },
            Reason::LocalStorage { volumes: &memory, deleted: false },
            Reason::LocalStorage { volumes: &disk, deleted: true },
            Reason::Unreplicated { forced: false },
            Reason::Unreplicated { forced: true },
            Reason::Terminating,
            Reason::Finished,
            Reason::OwnerGone(&flock),
            Reason::CustomController(&flock),
            Reason::JobCountsEviction { job: "sum", backoff_limit: 6, fails: false },
            Reason::JobCountsEviction { job: "sum", backoff_limit: 0, fails: true },
            Reason::HostPath(&paths),
            Reason::VolumeClaims(&claims),
            Reason::ToleratesCordon,
            Reason::Finalizers(vec!["example.com/backup"]),
            Reason::NodeNotReady { node: "n1", reason: Some("NodeStatusUnknown") },
            Reason::NodeNotReady { node: "n1", reason: None },
            Reason::HeldForOtherTool(ToolHold::NotSafeToEvict),
            Reason::NoPreStop,
        ];
        let mut told = String::new();
        for reason in &reasons {
            writeln!(told, "{} {:?}: {}", reason.code(), reason.severity(), reason.message()).unwrap();
            if let Some(remedy) = reason.remedy() {
                writeln!(told, "  -> {remedy}").unwrap();
            }
            // What stops a drain says how to go on.
            assert!(reason.severity() != Severity::Error || reason.remedy().is_some(), "{}", reason.code());
        }
        insta::assert_snapshot!(told, @r#"
        NotSelected Info: not selected by --pod-selector
        TerminatingTooLong Info: terminating for longer than --skip-wait-for-delete-timeout
        DaemonSetManaged Error: DaemonSet-managed Pods (use --ignore-daemonsets to ignore)
          -> --ignore-daemonsets
        DaemonSetManaged Warning: ignoring DaemonSet-managed Pods
        DaemonSetGone Error: daemonsets.apps "log" not found
          -> --force
        DaemonSetGone Warning: daemonsets.apps "log" not found
        StaticPod Info: static Pods, which only their node's kubelet controls
        LocalStorage Error: Pods with local storage (use --delete-emptydir-data to override)
          -> --delete-emptydir-data (the data on it is lost)
        LocalStorage Error: Pods with local storage (use --delete-emptydir-data to override)
          -> --delete-emptydir-data (it is in memory only)
        LocalStorage Warning: deleting Pods with local storage
        Unreplicated Error: Pods that declare no controller (use --force to override)
          -> --force (nothing brings them back)
        Unreplicated Warning: deleting Pods that declare no controller
        Terminating Info: terminating already: waited for, not evicted again
        Finished Info: finished Pods: removed at once, nothing runs in them
        OwnerGone Warning: Flock web no longer exists: nothing brings its Pods back
          -> create Flock web again first, or accept the loss
        CustomController Warning: Flock web decides whether its Pods come back
        JobCountsEviction Warning: Job sum counts the eviction as a failure (backoffLimit 6)
          -> let Job sum finish first, or have its podFailurePolicy ignore DisruptionTarget
        JobCountsEviction Warning: Job sum fails when this Pod is evicted (backoffLimit 0)
          -> let Job sum finish first, or have its podFailurePolicy ignore DisruptionTarget
        HostPath Warning: hostPath /a, /b, /c and 2 more: what it holds stays on this node
        VolumeClaims Warning: claim data: the replacement runs only where that volume can be mounted
          -> a local volume exists on one node only: see kubectl describe pv
        ToleratesCordon Warning: tolerates node.kubernetes.io/unschedulable: the scheduler may put it straight back
          -> drop the toleration, or taint the node with a key of your own
        Finalizers Warning: finalizer example.com/backup keeps the Pod until it is removed
        NodeNotReady Warning: node n1 is not Ready (NodeStatusUnknown): its kubelet may never confirm that Pods stopped
          -> if the machine is off for good: kubectl taint node n1 node.kubernetes.io/out-of-service=nodeshutdown:NoExecute
        NodeNotReady Warning: node n1 is not Ready: its kubelet may never confirm that Pods stopped
          -> if the machine is off for good: kubectl taint node n1 node.kubernetes.io/out-of-service=nodeshutdown:NoExecute
        HeldForOtherTool Warning: marked cluster-autoscaler.kubernetes.io/safe-to-evict: "false"; a drain moves it all the same
        NoPreStop Info: serves without a preStop delay: requests may be lost while it stops
          -> add a preStop sleep of a few seconds
        "#);
    }

    fn drain(world: &Snapshot, options: &Options) -> DrainPlan {
        let targets = [NodeName("n1".into())];
        DrainPlan::new(&plan::plan(&world.clone().with(node("n1")), &targets, options).unwrap(), Place::default())
    }

    /// What is told of the last pod `web-…` on the node and of its budgets, and the verdict.
    fn told(world: &Snapshot) -> String {
        let plan = drain(world, &Options { force: true, ..Options::default() });
        let pod = plan.pods.iter().rfind(|pod| pod.name.starts_with("web")).unwrap();
        let mut lines = vec![format!("{:?}: {}", pod.budget.verdict, pod.budget.message).trim_end().to_owned()];
        let blocks = pod.reasons.iter().filter(|reason| reason.code.starts_with("Budget"));
        lines.extend(blocks.filter_map(|reason| reason.remedy.as_ref()).map(|remedy| format!("  -> {remedy}")));
        let others = plan.budgets.iter().filter(|budget| ![&pod.budget.message, ""].contains(&&*budget.message));
        lines.extend(others.map(|budget| format!("  budget {}: {}", budget.name, budget.message)));
        lines.push(format!("  {}\n", plan.message));
        lines.join("\n")
    }

    fn told_of(worlds: &[Snapshot]) -> String {
        worlds.iter().map(told).collect()
    }

    fn web() -> DisruptionBudget {
        budget("web")
    }

    fn one() -> DisruptionBudget {
        web().max_unavailable("1")
    }

    /// One pod on the node and two elsewhere.
    fn three(budget: DisruptionBudget) -> Snapshot {
        world().runs(&deployment("web"), ["n1", "n2", "n2"]).with(budget)
    }

    fn crashing(pod: Pod) -> Pod {
        pod.unready("CrashLoopBackOff")
    }

    fn bare(name: &str) -> Pod {
        pod(name).labelled("app", "web")
    }

    #[test]
    fn budgets_that_let_a_pod_go() {
        let two = |budget: DisruptionBudget| three(budget).with(budget_of_all());
        let mut unread = three(one());
        unread.budgets.clear();
        unread.mark_unknown(Kind::PodDisruptionBudget, Unreadable::Forbidden("no".into()));
        let told = told_of(&[
            world().runs(&deployment("web"), ["n1"]),
            three(one()),
            world().runs(&deployment("web"), ["n1", "n1"]).with(one()),
            three(one()).pod("web-1", crashing),
            two(one()).pod("web-1", |pod| pod.in_phase(Phase::Pending)),
            world().with(bare("web-1").of_kind("a.b/v1", "Flock", "web")).with(one()),
            unread,
        ]);
        insta::assert_snapshot!(told, @"
        None:
          node n1 can be drained: 1 pod in 1 wave
        Allowed: disruption budget shop/web allows it now
          node n1 can be drained: 1 pod in 1 wave
        Later: disruption budget shop/web allows it once replacements are Ready
          node n1 can be drained: 2 pods in 2 waves
        Free: disruption budget shop/web need not be asked
          budget web: disruption budget shop/web needs 2 healthy pods and has 2 currently: waits for pod shop/web-1 on n1 (not Ready, CrashLoopBackOff)
          node n1 can be drained: 1 pod in 1 wave
        Free: no budget need be asked
          budget all: disruption budget shop/all needs 2 healthy pods and has 2 currently: waits for pod shop/web-1 on n1 (Pending)
          budget web: disruption budget shop/web needs 2 healthy pods and has 2 currently: waits for pod shop/web-1 on n1 (Pending)
          node n1 can be drained: 1 pod in 1 wave
        Unknown: disruption budget shop/web could not be computed: the scale of Flock web could not be read
          node n1 can be drained: 1 pod in 1 wave
        Unknown: the disruption budgets could not be read
          node n1 can be drained: 1 pod in 1 wave, as far as is known: the disruption budgets could not be read
        ");
    }

    fn budget_of_all() -> DisruptionBudget {
        budget("all").selecting("").max_unavailable("1")
    }

    #[test]
    fn budgets_that_never_do() {
        let failed = || one().condition("SyncFailed", "jobs.batch does not implement the scale subresource");
        let told = told_of(&[
            three(one()).with(budget_of_all()),
            three(web()),
            three(web().max_unavailable("0")),
            three(web().max_unavailable("0%")),
            three(web().min_available("3")),
            three(web().min_available("100%")),
            three(web().min_available("5")),
            three(web().min_available("67%")),
            world().runs(&stateful_set("web"), ["n1"]).with(web().min_available("1")),
            world().with(bare("web-1")).with(one()),
            three(one()).with(job("sum")).with(bare("sum-1").of(&job("sum")).on("n2")),
            three(failed().status(3, 2, 1)).pod("web-1", crashing),
        ]);
        insta::assert_snapshot!(told, @"
        MultipleBudgets: 2 disruption budgets cover it (all, web), which the eviction API refuses
          -> narrow their selectors so that one of them covers it
          node n1 cannot be drained: 1 pod is blocked by a disruption budget
        AlwaysBlocked: disruption budget shop/web never allows an eviction: it sets neither minAvailable nor maxUnavailable
          -> set its maxUnavailable to 1: kubectl -n shop edit pdb web
          node n1 cannot be drained: 1 pod is blocked by a disruption budget
        AlwaysBlocked: disruption budget shop/web needs 3 healthy pods and has 3 currently: its maxUnavailable of 0 never allows an eviction
          -> set its maxUnavailable to 1: kubectl -n shop edit pdb web
          node n1 cannot be drained: 1 pod is blocked by a disruption budget
        AlwaysBlocked: disruption budget shop/web needs 3 healthy pods and has 3 currently: its maxUnavailable of 0 never allows an eviction
          -> set its maxUnavailable to 1: kubectl -n shop edit pdb web
          node n1 cannot be drained: 1 pod is blocked by a disruption budget
        AlwaysBlocked: disruption budget shop/web needs 3 healthy pods and has 3 currently: its minAvailable of 3 leaves none of 3 pods to spare
          -> run 1 more replica: kubectl -n shop scale deployment/web --replicas=4
          node n1 cannot be drained: 1 pod is blocked by a disruption budget
        AlwaysBlocked: disruption budget shop/web needs 3 healthy pods and has 3 currently: its minAvailable of 100% leaves none of 3 pods to spare
          -> lower its minAvailable: kubectl -n shop edit pdb web
          node n1 cannot be drained: 1 pod is blocked by a disruption budget
        AlwaysBlocked: disruption budget shop/web needs 5 healthy pods and has 3 currently: its minAvailable of 5 leaves none of 3 pods to spare
          -> run 3 more replicas: kubectl -n shop scale deployment/web --replicas=6
          node n1 cannot be drained: 1 pod is blocked by a disruption budget
        AlwaysBlocked: disruption budget shop/web needs 3 healthy pods and has 3 currently: its minAvailable of 67% leaves none of 3 pods to spare
          -> run 1 more replica: kubectl -n shop scale deployment/web --replicas=4
          node n1 cannot be drained: 1 pod is blocked by a disruption budget
        AlwaysBlocked: disruption budget shop/web needs 1 healthy pods and has 1 currently: its minAvailable of 1 leaves none of 1 pod to spare
          -> run 1 more replica: kubectl -n shop scale statefulset/web --replicas=2
          node n1 cannot be drained: 1 pod is blocked by a disruption budget
        AlwaysBlocked: disruption budget shop/web never allows an eviction: it counts the replicas of its pods' owners, and there are none
          -> give it a minAvailable that is a plain number: kubectl -n shop edit pdb web
          node n1 cannot be drained: 1 pod is blocked by a disruption budget
        SyncFailed: disruption budget shop/web allows nothing, because the controller cannot compute it: jobs.batch does not implement the scale subresource
          -> give it a minAvailable that is a plain number, or leave such pods out of its selector: kubectl -n shop edit pdb web
          node n1 cannot be drained: 1 pod is blocked by a disruption budget
        SyncFailed: disruption budget shop/web allows nothing, because the controller cannot compute it: jobs.batch does not implement the scale subresource
          -> let pods that are not Ready go, set its unhealthyPodEvictionPolicy to AlwaysAllow: kubectl -n shop edit pdb web
          node n1 cannot be drained: 1 pod is blocked by a disruption budget
        ");
    }

    #[test]
    fn budgets_that_do_not_now() {
        let few = replica_set("web").replicas(5);
        let unknown_policy = UnhealthyPods::Unrecognized("Sometimes".into());
        let told = told_of(&[
            world().with_all(["web-1", "web-2", "web-3"].map(bare)).with(web().min_available("2")),
            three(one()).pod("web-2", crashing),
            three(one()).pod("web-2", |pod| pod.terminating_since(1)),
            three(one().granted("web-2", 5)),
            three(one()).pod("web-2", |pod| Pod { node: None, ..pod.in_phase(Phase::Pending) }),
            three(one()).pod("web-3", |pod| pod.labelled("app", "x")),
            world().with(few.clone()).with_all(["web-1", "web-2"].map(|name| bare(name).of(&few))).with(one()),
            three(one()).pod("web-1", crashing).pod("web-2", crashing),
            three(web().max_unavailable("2").unhealthy(unknown_policy)).pod("web-1", crashing),
            three(one().generation(2, 1)),
        ]);
        insta::assert_snapshot!(told, @r#"
        BlockedNow: disruption budget shop/web allows 1 eviction, and nothing brings back what goes first
          -> start pods in their place first, or relax it: kubectl -n shop edit pdb web
          node n1 cannot be drained: 2 pods are blocked by a disruption budget
        BlockedNow: disruption budget shop/web needs 2 healthy pods and has 2 currently: waits for pod shop/web-2 on n2 (not Ready, CrashLoopBackOff)
          -> kubectl -n shop describe pod web-2
          node n1 cannot be drained now: 1 pod is blocked by a disruption budget
        BlockedNow: disruption budget shop/web needs 2 healthy pods and has 2 currently: waits for pod shop/web-2 on n2 (terminating)
          -> kubectl -n shop describe pod web-2
          node n1 cannot be drained now: 1 pod is blocked by a disruption budget
        BlockedNow: disruption budget shop/web needs 2 healthy pods and has 2 currently: waits for pod shop/web-2 on n2 (evicted a moment ago)
          -> kubectl -n shop describe pod web-2
          node n1 cannot be drained now: 1 pod is blocked by a disruption budget
        BlockedNow: disruption budget shop/web needs 2 healthy pods and has 2 currently: waits for pod shop/web-2 (Pending)
          -> kubectl -n shop describe pod web-2
          node n1 cannot be drained now: 1 pod is blocked by a disruption budget
        BlockedNow: disruption budget shop/web needs 2 healthy pods and has 2 currently: waits for 1 pod that does not exist yet
          node n1 cannot be drained now: 1 pod is blocked by a disruption budget
        BlockedNow: disruption budget shop/web needs 4 healthy pods and has 2 currently: waits for 3 pods that do not exist yet
          node n1 cannot be drained now: 2 pods are blocked by a disruption budget
        BlockedNow: disruption budget shop/web needs 2 healthy pods and has 1 currently: waits for pod shop/web-1 on n1 (not Ready, CrashLoopBackOff), pod shop/web-2 on n2 (not Ready, CrashLoopBackOff)
          -> let pods that are not Ready go, set its unhealthyPodEvictionPolicy to AlwaysAllow: kubectl -n shop edit pdb web
          node n1 cannot be drained now: 1 pod is blocked by a disruption budget
        BlockedNow: disruption budget shop/web has the unhealthyPodEvictionPolicy "Sometimes", unknown here: pods that are not Ready stay
          -> let pods that are not Ready go, set its unhealthyPodEvictionPolicy to AlwaysAllow: kubectl -n shop edit pdb web
          node n1 cannot be drained: 1 pod is blocked by a disruption budget
        StillProcessing: the newest change of disruption budget shop/web is still being processed by the server
          node n1 cannot be drained now: 1 pod is blocked by a disruption budget
        "#);
    }

    #[test]
    fn verdicts() {
        #[track_caller]
        fn check(world: &Snapshot, expected: &str) {
            let options = Options { max_unavailable: MaxUnavailable::Auto, ..Options::default() };
            assert_eq!(drain(world, &options).message, expected);
        }
        let shop = |pods: usize| world().runs(&stateful_set("web"), vec!["n1"; pods]);
        check(&world(), "node n1 can be drained: no pod has to move");
        check(&shop(1), "node n1 can be drained: 1 pod in 1 wave");
        check(&shop(2), "node n1 can be drained: 2 pods in 2 waves");
        check(&shop(1).with(pod("a")), "node n1 cannot be drained: 1 pod needs a flag");
        check(&shop(1).with(pod("a")).with(pod("b")), "node n1 cannot be drained: 2 pods need a flag");
        let never = budget("web").max_unavailable("0");
        check(&shop(1).with(never.clone()), "node n1 cannot be drained: 1 pod is blocked by a disruption budget");
        check(
            &shop(2).with(never).with(pod("a")),
            "node n1 cannot be drained: 1 pod needs a flag, 2 pods are blocked by a disruption budget",
        );
        let down = shop(2).pod("web-2", |pod| pod.unready("").on("n2")).with(budget("web").max_unavailable("1"));
        check(&down, "node n1 cannot be drained now: 1 pod is blocked by a disruption budget");
        let targets = ["n1", "n2"].map(|name| NodeName(name.into()));
        let (world, options) = (shop(1).nodes(["n1", "n2"]), Options::default());
        assert_eq!(
            verdict_sentence(&plan::plan(&world, &targets, &options).unwrap()),
            "2 nodes can be drained: 1 pod in 1 wave"
        );
    }

    #[test]
    fn long_lists_are_counted() {
        #[track_caller]
        fn check(names: &[&str], expected: &str) {
            assert_eq!(list(names.iter()), expected);
        }
        check(&[], "");
        check(&["a"], "a");
        check(&["a", "b", "c"], "a, b, c");
        check(&["a", "b", "c", "d", "e"], "a, b, c and 2 more");
    }
}
