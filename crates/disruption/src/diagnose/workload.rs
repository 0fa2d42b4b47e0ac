//! The findings of the workload itself.

use jiff::SignedDuration;

use super::{Class, Code, Finding, create, pod, primary, text};
use crate::{
    model::{PodStatus, RolloutStrategy},
    rollout::view::Subject,
};

/// How long after its grace period a pod may still be there: the kubelet's own time to kill and report.
const STOPS_WITHIN: SignedDuration = SignedDuration::from_secs(30);

/// What is wrong apart from single pods of the current version.
pub(super) fn all(subject: &Subject<'_>) -> Vec<Finding> {
    let one = [not_observed, paused, on_delete, replica_set, create::fails, ordinal];
    let mut findings: Vec<Finding> = one.iter().filter_map(|rule| rule(subject)).collect();
    findings.extend(terminating(subject));
    findings
}

/// `ProgressDeadlineExceeded`, unless it is about another `ReplicaSet` or older than this one: the controller leaves it
/// until it sees progress.
pub(super) fn deadline(subject: &Subject<'_>) -> Option<Finding> {
    let condition = subject.rollout.condition("Progressing")?;
    let is_exceeded = condition.status == "False" && condition.reason == "ProgressDeadlineExceeded";
    if !is_exceeded || !subject.rollout.is_observed() {
        return None;
    }
    let current = subject.current()?;
    let at = condition.updated_at.or(condition.changed_at);
    let is_named = condition.message.contains(&format!("\"{}\"", current.name.name));
    if !is_named || at < current.created_at {
        return None;
    }
    let of = subject.rollout.progress_deadline_seconds.map(|seconds| format!(" of {seconds}s")).unwrap_or_default();
    let message = format!("the progress deadline{of} has passed");
    Some(Finding::new(Code::DeadlineExceeded, Class::Timed, &message).since(at))
}

fn not_observed(subject: &Subject<'_>) -> Option<Finding> {
    let rollout = subject.rollout;
    if rollout.is_observed() {
        return None;
    }
    let message = format!("the {} controller has not seen the change yet", rollout.kind.as_str());
    let since = rollout.writers.iter().filter(|writer| writer.owns_template).filter_map(|writer| writer.at).max();
    Some(Finding::new(Code::NotObserved, Class::Environment, &message).since(since))
}

fn paused(subject: &Subject<'_>) -> Option<Finding> {
    let rollout = subject.rollout;
    let counts = rollout.counts;
    let is_held = subject.current().is_none() || counts.updated < rollout.replicas || counts.current > counts.updated;
    if !rollout.is_paused || !is_held {
        return None;
    }
    let resumed = rollout.condition("Progressing").filter(|condition| condition.reason == "DeploymentPaused");
    let since = resumed.and_then(|condition| condition.updated_at);
    Some(Finding::new(Code::Paused, Class::Blocked, "the rollout is paused").since(since))
}

fn on_delete(subject: &Subject<'_>) -> Option<Finding> {
    if subject.rollout.strategy != RolloutStrategy::OnDelete {
        return None;
    }
    subject.version()?;
    let old = subject.old_pods().iter().filter(|pod| !pod.is_terminating()).count();
    let message = match old {
        0 => return None,
        1 => "1 pod gets the new version only when somebody deletes it (OnDelete)".to_owned(),
        old => format!("{old} pods get the new version only when somebody deletes them (OnDelete)"),
    };
    Some(Finding::new(Code::OnDelete, Class::Blocked, &message))
}

/// The Deployment's new `ReplicaSet` was refused. Once there is one, that is past.
fn replica_set(subject: &Subject<'_>) -> Option<Finding> {
    let condition = subject.rollout.condition("Progressing")?;
    let is_refused = condition.status == "False" && condition.reason == "ReplicaSetCreateError";
    if !is_refused || !subject.rollout.is_observed() || subject.current().is_some() {
        return None;
    }
    let said = text::scrubbed(&condition.message);
    let said = said.split_once("\": ").map_or(said.as_str(), |(_, said)| said);
    let (code, class, message) = create::refusal(subject, said);
    let (class, message) = match (code, class) {
        (Code::CreateFailed, Class::Transient) => (Class::Transient, said.to_owned()),
        (Code::CreateFailed, _) => (Class::Fatal, said.to_owned()),
        (_, Class::Repeated) => (Class::Fatal, message),
        (_, class) => (class, message),
    };
    let message = format!("the ReplicaSet cannot be created: {message}");
    Some(Finding::new(Code::ReplicaSetFailed, class, &message).since(condition.updated_at))
}

/// [`Subject::stuck_pod`]: below the partition it would come back as it is, so that nobody can do anything about it here.
fn ordinal(subject: &Subject<'_>) -> Option<Finding> {
    let stuck = subject.stuck_pod()?;
    let is_kept = stuck.ordinal() < subject.rollout.strategy.lowest_updated();
    let class = if is_kept { Class::Environment } else { Class::Blocked };
    let own = pod::of(subject, stuck);
    let why = primary(&own).map(|finding| format!(": {}", finding.message)).unwrap_or_default();
    let message = format!("pod {} of an older version is not Ready, and all others wait for it{why}", stuck.name.name);
    let since = stuck.condition("Ready").and_then(|ready| ready.changed_at).or(stuck.created_at);
    let finding = Finding::new(Code::OrdinalStuck, class, &message).since(since);
    Some(Finding { pod: Some(stuck.name.clone()), node: stuck.node.clone(), ..finding })
}

/// Pods that should have stopped long ago: of a `StatefulSet` or `Recreate` nothing follows before they are gone.
fn terminating(subject: &Subject<'_>) -> Vec<Finding> {
    let is_late = |pod: &&&PodStatus| pod.deletion_at.is_some_and(|end| subject.now.duration_since(end) > STOPS_WITHIN);
    let late = subject.pods.iter().filter(is_late);
    late.map(|pod| {
        let is_lost = pod.node.as_ref().and_then(|name| subject.node(name)).is_some_and(|node| !node.ready);
        let why = if is_lost { ": its node does not answer" } else { "" };
        let message = format!("an old pod has not stopped although its grace period is over{why}");
        Finding::new(Code::TerminatingStuck, Class::Environment, &message).of_pod(pod).since(pod.deletion_at)
    })
    .collect()
}
