//! Pods without a node, by what the scheduler says.

use jiff::SignedDuration;
use serde_json::Value;

use super::{Class, Code, Finding, container, pod, pod::Case, text};

/// How long a node that an autoscaler adds may take (its `max-node-provision-time`).
const NODE_COMES: SignedDuration = SignedDuration::from_mins(15);

/// Phrases of the scheduler's plugins: no node has enough left.
const NO_ROOM: &[&str] = &["Insufficient ", "Too many pods", "free ports", "exceed max volume count"];

/// The same: no node is of the right kind.
const NO_MATCH: &[&str] = &[
    "node affinity",
    "node selector",
    "untolerated taint",
    "taints that the pod didn't tolerate",
    "were unschedulable",
    "anti-affinity",
    "affinity rules",
    "topology spread",
    "volume node affinity",
    "available persistent volumes",
];

/// Why a pod has no node yet.
pub(super) fn waits(case: &Case<'_>) -> Finding {
    let pod = case.pod;
    let condition = pod.condition("PodScheduled").filter(|condition| condition.status != "True");
    let since = condition.and_then(|condition| condition.changed_at).or(pod.created_at);
    let Some(condition) = condition else {
        let message = "the scheduler has not placed the pod yet";
        return case.finding(Code::Scheduling, Class::Timed, message).since(since);
    };
    if condition.reason == "SchedulingGated" {
        return case.finding(Code::SchedulingGated, Class::Blocked, "a scheduling gate holds the pod").since(since);
    }
    let reported = case.reported(&["FailedScheduling"]).last().map(|incident| text::of_event(&incident.message));
    let said = Some(condition.message.as_str()).filter(|said| !said.is_empty()).or(reported).unwrap_or_default();
    let (code, class, message) = of_refusal(case, &text::scrubbed(said));
    let count = pod::count(case.reported(&["FailedScheduling"]));
    case.finding(code, class, &message).seen(count).since(since)
}

fn of_refusal(case: &Case<'_>, said: &str) -> (Code, Class, String) {
    if let Some(missing) = container::missing_object(said) {
        return (Code::VolumeMissing, Class::Timed, missing.shown);
    }
    if text::has_any(said, &["unbound immediate PersistentVolumeClaims", "unbound PersistentVolumeClaims"]) {
        return (Code::ClaimPending, Class::Timed, format!("{} not bound", claims(case)));
    }
    if text::has_any(said, &["cannot allocate all claims", "resourceclaim", "ResourceClaim"]) {
        return (Code::ClaimPending, Class::Timed, nodes(said));
    }
    if text::has_any(said, NO_ROOM) {
        let (class, comes) =
            if node_comes(case) { (Class::Transient, ", a node is being added") } else { (Class::Timed, "") };
        return (Code::NoRoom, class, format!("{}{comes}", nodes(said)));
    }
    if text::has_any(said, NO_MATCH) {
        return (Code::NoNodeMatches, Class::Timed, nodes(said));
    }
    if said.contains("no nodes available") {
        return (Code::Unschedulable, Class::Environment, "the cluster has no nodes to schedule pods on".to_owned());
    }
    if said.is_empty() {
        return (Code::Unschedulable, Class::Timed, "the pod cannot be placed".to_owned());
    }
    (Code::Unschedulable, Class::Timed, nodes(said))
}

/// `0/3 nodes are available: 3 Insufficient cpu. no new claims…` as `0 of 3 nodes fit: 3 insufficient cpu`.
fn nodes(said: &str) -> String {
    let Some((fit, reasons)) = said.split_once(" nodes are available: ") else { return said.to_owned() };
    let reasons = reasons.split(". ").next().unwrap_or_default().trim_end_matches('.');
    let reasons = reasons.replace("node(s) ", "").replace("Insufficient", "insufficient");
    let (fit, all) = fit.split_once('/').unwrap_or(("0", fit));
    format!("{fit} of {all} nodes fit: {reasons}")
}

/// `claim "data" is`, where the template names just one.
fn claims(case: &Case<'_>) -> String {
    let volumes = case.subject.rollout.template.pointer("/spec/volumes").and_then(Value::as_array);
    let name = |volume: &Value| volume.pointer("/persistentVolumeClaim/claimName")?.as_str().map(str::to_owned);
    let names: Vec<String> = volumes.into_iter().flatten().filter_map(name).collect();
    match names.as_slice() {
        [name] => format!("claim \"{name}\" is"),
        _ => "a claim of the pod is".to_owned(),
    }
}

/// Whether an autoscaler has said that it adds a node, and not that it cannot since.
fn node_comes(case: &Case<'_>) -> bool {
    const SAID: &[&str] = &["TriggeredScaleUp", "Nominated", "NotTriggerScaleUp"];
    let Some(last) = case.reported(SAID).last() else { return false };
    let is_recent = last.last_at.is_some_and(|at| case.subject.now.duration_since(at) < NODE_COMES);
    last.reason != "NotTriggerScaleUp" && is_recent
}
