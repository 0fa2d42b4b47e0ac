//! The findings of pods: each that serves the current version, or should.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Class, Code, Finding, container, schedule, setup, text};
use crate::{
    model::{ContainerRole, ContainerState, ContainerStatus, Incident, Phase, PodStatus, RolloutKind},
    rollout::view::Subject,
};

/// A pod and what was reported about it.
pub(super) struct Case<'a> {
    pub(super) subject: &'a Subject<'a>,
    pub(super) pod: &'a PodStatus,
    /// Oldest first.
    pub(super) incidents: Vec<&'a Incident>,
}

/// The findings of all pods of the current version.
pub(super) fn all(subject: &Subject<'_>) -> Vec<Finding> {
    let pods = subject.new_pods();
    let alive = pods.iter().filter(|pod| !pod.is_finished());
    let mut findings: Vec<Finding> = alive.flat_map(|pod| of(subject, pod)).collect();
    findings.extend(failed(subject, &pods));
    findings
}

/// The findings of one pod, whatever its version.
pub(super) fn of(subject: &Subject<'_>, pod: &PodStatus) -> Vec<Finding> {
    let case = Case { subject, pod, incidents: subject.incidents_of(&pod.uid).collect() };
    if pod.node.is_none() {
        return vec![schedule::waits(&case)];
    }
    if let Some(lost) = node_lost(&case) {
        return vec![lost];
    }
    let mut findings: Vec<Finding> =
        pod.containers.iter().flat_map(|container| container::findings(&case, container)).collect();
    keep_one_creating(&case, &mut findings);
    if findings.is_empty() {
        findings.extend(readiness_gate(&case));
    }
    findings
}

impl<'a> Case<'a> {
    pub(super) fn finding(&self, code: Code, class: Class, message: &str) -> Finding {
        Finding::new(code, class, message).of_pod(self.pod)
    }

    /// Incidents of this reason, oldest first.
    pub(super) fn reported<'s>(&'s self, reasons: &'s [&str]) -> impl DoubleEndedIterator<Item = &'a Incident> + 's {
        self.incidents.iter().copied().filter(move |incident| reasons.contains(&incident.reason.as_str()))
    }

    /// The same of one container. Those that name no container are about each.
    pub(super) fn reported_of<'s>(
        &'s self,
        container: &'s ContainerStatus,
        reasons: &'s [&str],
    ) -> impl DoubleEndedIterator<Item = &'a Incident> + 's {
        self.reported(reasons)
            .filter(move |incident| incident.about.container.as_ref().is_none_or(|name| *name == container.name))
    }
}

/// How often incidents were seen.
pub(super) fn count<'a>(incidents: impl Iterator<Item = &'a Incident>) -> u32 {
    incidents.fold(0, |sum: u32, incident| sum.saturating_add(incident.count.unsigned_abs()))
}

/// When the first of them was seen.
pub(super) fn first<'a>(incidents: impl Iterator<Item = &'a Incident>) -> Option<Timestamp> {
    incidents.filter_map(|incident| incident.first_at).min()
}

/// A dead kubelet reports nothing: what the containers' statuses say is old.
fn node_lost(case: &Case<'_>) -> Option<Finding> {
    let pod = case.pod;
    let is_lost = match pod.node.as_ref().and_then(|name| case.subject.node(name)) {
        Some(node) => !node.ready,
        None => is_marked(pod) || pod.reason == "NodeLost",
    };
    let ready = pod.condition("Ready").filter(|ready| ready.status != "True");
    let finding = case.finding(Code::NodeLost, Class::Environment, "the pod's node does not answer");
    is_lost.then(|| finding.since(ready.and_then(|ready| ready.changed_at)))
}

/// The node controller marks pods of a lost node: not Ready, for no reason, while all containers are. A kubelet always
/// names one.
fn is_marked(pod: &PodStatus) -> bool {
    let is_unready = pod.condition("Ready").is_some_and(|ready| ready.status != "True" && ready.reason.is_empty());
    let goes_on = |container: &ContainerStatus| matches!(container.state, ContainerState::Running { .. });
    let mut lasting = pod.containers.iter().filter(|container| container.role != ContainerRole::Init).peekable();
    is_unready && lasting.peek().is_some() && lasting.all(|container| container.ready && goes_on(container))
}

/// Containers of a pod are created together: what holds up their pod is said once, and rather by its cause.
fn keep_one_creating(case: &Case<'_>, findings: &mut Vec<Finding>) {
    let Some(at) = findings.iter().position(|finding| finding.code == Code::Creating) else { return };
    let creating = findings[at].clone();
    findings.retain(|finding| finding.code != Code::Creating);
    let causes = setup::causes(case);
    // Another container's trouble explains why this one isn't there yet.
    if !causes.is_empty() {
        findings.extend(causes);
    } else if findings.is_empty() {
        findings.push(creating);
    }
}

fn readiness_gate(case: &Case<'_>) -> Option<Finding> {
    let pod = case.pod;
    if pod.is_ready() {
        return None;
    }
    let is_true = |gate: &&String| pod.condition(gate).is_some_and(|condition| condition.status == "True");
    let gate = pod.readiness_gates.iter().find(|gate| !is_true(gate))?;
    let condition = pod.condition(gate);
    let why = condition.map(|condition| condition.message.as_str()).filter(|message| !message.is_empty());
    let message = match why {
        Some(why) => format!("readiness gate {gate:?} is not True: {why}"),
        None => format!("readiness gate {gate:?} is not True"),
    };
    let since = pod.condition("ContainersReady").and_then(|condition| condition.changed_at);
    Some(case.finding(Code::ReadinessGate, Class::Timed, &message).since(since))
}

/// Pods that ended and for which none runs yet, one finding a reason.
fn failed(subject: &Subject<'_>, pods: &[&PodStatus]) -> Vec<Finding> {
    let mut by_reason: BTreeMap<(Code, &str), Vec<&PodStatus>> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| pod.phase == Phase::Failed && !is_replaced(subject, pod, pods)) {
        by_reason.entry((code_of_end(pod), &pod.reason)).or_default().push(pod);
    }
    let newest = |pods: Vec<&PodStatus>| {
        let pod = pods.iter().max_by_key(|pod| pod.created_at).copied()?;
        let finding = of_end(pod).seen(u32::try_from(pods.len()).unwrap_or(u32::MAX));
        Some(finding.since(pods.iter().filter_map(|pod| pod.created_at).min()))
    };
    by_reason.into_values().filter_map(newest).collect()
}

fn is_replaced(subject: &Subject<'_>, failed: &PodStatus, pods: &[&PodStatus]) -> bool {
    let is_same_place = |pod: &PodStatus| subject.rollout.kind != RolloutKind::DaemonSet || pod.node == failed.node;
    pods.iter().any(|pod| pod.phase == Phase::Running && pod.created_at >= failed.created_at && is_same_place(pod))
}

/// Reasons of pods that ran and had to go (`eviction_manager.go`, `preemption.go`, `nodeshutdown`).
const EVICTED: &[&str] = &["Evicted", "Preempting", "NodeShutdown", "Shutdown", "Terminated"];

/// Reasons of the kubelet's admission (`lifecycle/predicate.go`), besides those that begin with `OutOf`.
const REJECTED: &[&str] = &[
    "UnexpectedAdmissionError",
    "InvalidNodeInfo",
    "NodeAffinity",
    "NodeName",
    "NodePorts",
    "NodeUnschedulable",
    "TaintToleration",
    "PodOSSelectorNodeLabelDoesNotMatch",
    "PodOSNotSupported",
    "PodFeatureUnsupported",
    "TopologyAffinityError",
    "SMTAlignmentError",
    "AppArmor",
    "SysctlForbidden",
];

/// The kubelet's words when a pod outgrew a limit of its own, not its node (`eviction/helpers.go`).
const OWN_LIMIT: &[&str] =
    &["exceeds the limit", "exceeded its local ephemeral storage limit", "exceeds the total limit of containers"];

fn code_of_end(pod: &PodStatus) -> Code {
    let reason = pod.reason.as_str();
    match reason {
        "NodeLost" => Code::NodeLost,
        _ if EVICTED.contains(&reason) => Code::PodEvicted,
        _ if REJECTED.contains(&reason) || reason.starts_with("OutOf") => Code::PodRejected,
        _ => Code::Unknown,
    }
}

fn of_end(pod: &PodStatus) -> Finding {
    let code = code_of_end(pod);
    let is_own_fault = code == Code::PodEvicted && text::has_any(&pod.message, OWN_LIMIT);
    let class = match code {
        Code::Unknown => Class::Timed,
        _ if is_own_fault => Class::Repeated,
        _ => Class::Environment,
    };
    let what = match code {
        Code::NodeLost => "the pod's node does not answer".to_owned(),
        Code::PodEvicted => "the pod was evicted".to_owned(),
        Code::PodRejected => format!("the kubelet rejects the pod ({})", pod.reason),
        _ if pod.reason.is_empty() => "the pod failed".to_owned(),
        _ => format!("the pod failed ({})", pod.reason),
    };
    let said = pod.message.trim().trim_start_matches("Pod was rejected: ").trim_end_matches('.');
    let message = if said.is_empty() { what } else { format!("{what}: {said}") };
    Finding::new(code, class, &message).of_pod(pod)
}
