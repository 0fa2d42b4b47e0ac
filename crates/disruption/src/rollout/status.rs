//! How far a rollout is: in kubectl's words, and by what kubectl does not look at.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use thiserror::Error;

use super::{document::RolloutPods, view::Subject};
use crate::model::{NodeName, PodStatus, REVISION_ANNOTATION, Rollout, RolloutKind, RolloutStrategy};

/// What `kubectl rollout status` prints of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewed {
    /// The line, without its end.
    pub message: String,
    /// Whether kubectl stops watching there.
    pub is_done: bool,
}

/// Why `kubectl rollout status` fails, in its words.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StatusError {
    /// The controller gave the rollout up.
    #[error("deployment {0:?} exceeded its progress deadline")]
    DeadlineExceeded(String),
    /// Pods are replaced when somebody deletes them.
    #[error("rollout status is only available for RollingUpdate strategy type")]
    OnDelete,
    /// Another revision than the wanted one runs.
    #[error("desired revision ({wanted}) is different from the running revision ({running})")]
    OtherRevision {
        /// What was asked for.
        wanted: i64,
        /// What the Deployment says.
        running: i64,
    },
    /// The Deployment's revision is no number.
    #[error("cannot get the revision of deployment {name:?}: strconv.ParseInt: parsing {text:?}: {problem}")]
    UnreadableRevision {
        /// The Deployment.
        name: String,
        /// What it says.
        text: String,
        /// What Go finds wrong with it.
        problem: &'static str,
    },
}

/// How far a rollout is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Its pods by numbers. Those of a `DaemonSet` include what is on [`Progress::excepted`] nodes.
    pub counts: RolloutPods,
    /// Whether the controller has seen the newest spec, every pod is of the version that it should be, Ready and available,
    /// and no other pod is left that could still stop.
    pub is_complete: bool,
    /// How long until every pod that is Ready now counts as available (`minReadySeconds`); none where none has to wait.
    pub available_in: Option<SignedDuration>,
    /// Nodes that are not Ready: a `DaemonSet`'s pods there can neither start nor stop, so that they do not count.
    pub excepted: Vec<NodeName>,
    /// All this in one sentence.
    pub message: String,
}

/// How long after the end of its grace period a pod counts as one that does not stop at all. A kubelet that answers kills
/// within seconds.
const OVERDUE: SignedDuration = SignedDuration::from_mins(1);

/// What `kubectl rollout status --watch=false` says (`polymorphichelpers/rollout_status.go`). It looks at a revision of
/// Deployments only.
///
/// # Errors
/// What makes kubectl fail.
pub fn viewer(rollout: &Rollout, wanted_revision: Option<i64>) -> Result<Viewed, StatusError> {
    match rollout.kind {
        RolloutKind::Deployment => {
            if let Some(wanted) = wanted_revision.filter(|wanted| *wanted > 0) {
                check_revision(rollout, wanted)?;
            }
            view_deployment(rollout)
        }
        RolloutKind::DaemonSet => view_daemon_set(rollout),
        RolloutKind::StatefulSet => view_stateful_set(rollout),
    }
}

/// How far a rollout is, by its pods; by the workload's own status where pods or versions could not be read.
pub fn progress(subject: &Subject<'_>) -> Progress {
    let rollout = subject.rollout;
    let pods: Vec<&PodStatus> = subject.pods.iter().copied().filter(|pod| !pod.is_finished()).collect();
    let excepted = excepted_nodes(subject, &pods);
    let is_eligible = |pod: &&PodStatus| pod.node.as_ref().is_none_or(|node| !excepted.contains(node));
    let eligible: Vec<&PodStatus> = pods.iter().copied().filter(is_eligible).collect();
    let eligible_desired = desired_elsewhere(subject, &excepted, &eligible);
    let (all, decisive) = if subject.knows_versions() {
        (Tally::of_pods(subject, &pods, rollout.replicas), Tally::of_pods(subject, &eligible, eligible_desired))
    } else {
        (Tally::of_status(rollout), Tally::of_status(rollout))
    };
    // A version that runs on no node that is Ready has proven nothing.
    let is_proven = rollout.replicas == 0 || decisive.counts.desired > 0;
    let is_complete = rollout.is_observed() && is_proven && decisive.is_complete();
    Progress {
        message: describe(subject, if is_complete { &decisive } else { &all }, is_complete, &excepted),
        counts: all.counts,
        is_complete,
        available_in: decisive.available_in,
        excepted: excepted.into_iter().cloned().collect(),
    }
}

fn check_revision(deployment: &Rollout, wanted: i64) -> Result<(), StatusError> {
    use std::num::IntErrorKind;
    let text = deployment.annotations.get(REVISION_ANNOTATION);
    let running = text.map_or(Ok(0), |text| text.parse::<i64>()).map_err(|error| StatusError::UnreadableRevision {
        name: deployment.name.name.clone(),
        text: text.cloned().unwrap_or_default(),
        problem: match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        },
    })?;
    if running == wanted { Ok(()) } else { Err(StatusError::OtherRevision { wanted, running }) }
}

fn view_deployment(deployment: &Rollout) -> Result<Viewed, StatusError> {
    let name = &deployment.name.name;
    let (desired, counts) = (deployment.replicas, deployment.counts);
    let waiting =
        |what: String| Viewed::waiting(format!("Waiting for deployment {name:?} rollout to finish: {what}..."));
    if !deployment.is_observed() {
        return Ok(Viewed::waiting("Waiting for deployment spec update to be observed..."));
    }
    if deployment.condition("Progressing").is_some_and(|condition| condition.reason == "ProgressDeadlineExceeded") {
        return Err(StatusError::DeadlineExceeded(name.clone()));
    }
    Ok(if counts.updated < desired {
        waiting(format!("{} out of {desired} new replicas have been updated", counts.updated))
    } else if counts.current > counts.updated {
        waiting(format!("{} old replicas are pending termination", counts.current - counts.updated))
    } else if counts.available < counts.updated {
        waiting(format!("{} of {} updated replicas are available", counts.available, counts.updated))
    } else {
        Viewed::done(format!("deployment {name:?} successfully rolled out"))
    })
}

fn view_daemon_set(set: &Rollout) -> Result<Viewed, StatusError> {
    let name = &set.name.name;
    let (desired, counts) = (set.replicas, set.counts);
    let waiting =
        |what: String| Viewed::waiting(format!("Waiting for daemon set {name:?} rollout to finish: {what}..."));
    if set.strategy == RolloutStrategy::OnDelete {
        return Err(StatusError::OnDelete);
    }
    Ok(if !set.is_observed() {
        Viewed::waiting("Waiting for daemon set spec update to be observed...")
    } else if counts.updated < desired {
        waiting(format!("{} out of {desired} new pods have been updated", counts.updated))
    } else if counts.available < desired {
        waiting(format!("{} of {desired} updated pods are available", counts.available))
    } else {
        Viewed::done(format!("daemon set {name:?} successfully rolled out"))
    })
}

fn view_stateful_set(set: &Rollout) -> Result<Viewed, StatusError> {
    let (desired, counts) = (set.replicas, set.counts);
    let partition = match set.strategy {
        RolloutStrategy::OnDelete => return Err(StatusError::OnDelete),
        RolloutStrategy::Ordinal { partition, .. } => partition,
        RolloutStrategy::Rolling { .. } | RolloutStrategy::Recreate => None,
    };
    if set.observed_generation == 0 || !set.is_observed() {
        return Ok(Viewed::waiting("Waiting for statefulset spec update to be observed..."));
    }
    if counts.ready < desired {
        return Ok(Viewed::waiting(format!("Waiting for {} pods to be ready...", desired - counts.ready)));
    }
    let updated = counts.updated;
    if let Some(partition) = partition {
        let wanted = desired - partition;
        return Ok(if updated < wanted {
            Viewed::waiting(format!(
                "Waiting for partitioned roll out to finish: {updated} out of {wanted} new pods have been updated..."
            ))
        } else {
            Viewed::done(format!("partitioned roll out complete: {updated} new pods have been updated..."))
        });
    }
    let revision = set.update_revision.as_ref().map(|revision| revision.0.as_str()).unwrap_or_default();
    Ok(if set.update_revision == set.current_revision {
        // kubectl counts the pods of the current revision, which is the same one.
        Viewed::done(format!("statefulset rolling update complete {updated} pods at revision {revision}..."))
    } else {
        Viewed::waiting(format!(
            "waiting for statefulset rolling update to complete {updated} pods at revision {revision}..."
        ))
    })
}

impl Viewed {
    fn waiting(message: impl Into<String>) -> Self {
        Self { message: message.into(), is_done: false }
    }

    fn done(message: impl Into<String>) -> Self {
        Self { message: message.into(), is_done: true }
    }
}

/// What was counted.
struct Tally {
    counts: RolloutPods,
    /// Pods that a partition keeps at another version.
    kept: i32,
    /// Pods of other versions that stop in time.
    stopping: i32,
    /// Pods of other versions that should have stopped long ago.
    overdue: i32,
    available_in: Option<SignedDuration>,
}

impl Tally {
    fn of_pods(subject: &Subject<'_>, pods: &[&PodStatus], desired: i32) -> Self {
        let rollout = subject.rollout;
        let version = subject.version();
        let is_new = |pod: &PodStatus| version.is_some() && subject.version_of(pod).as_ref() == version;
        let is_kept = |pod: &PodStatus| !is_new(pod) && place(rollout, pod) == Place::BelowPartition;
        let (terminating, alive): (Vec<&PodStatus>, Vec<&PodStatus>) =
            pods.iter().partition(|pod| pod.is_terminating());
        let (staying, old): (Vec<&PodStatus>, Vec<&PodStatus>) =
            alive.into_iter().partition(|pod| place(rollout, pod) != Place::Surplus && (is_new(pod) || is_kept(pod)));
        let (kept, updated): (Vec<&PodStatus>, Vec<&PodStatus>) = staying.iter().partition(|pod| is_kept(pod));
        // What remains until each Ready pod counts as available.
        let waits: Vec<SignedDuration> = staying.iter().filter_map(|pod| available_in(subject, pod)).collect();
        let is_overdue =
            |pod: &&&PodStatus| pod.deletion_at.is_some_and(|end| subject.now.duration_since(end) > OVERDUE);
        let going: Vec<&&PodStatus> = terminating.iter().filter(|pod| !is_new(pod)).collect();
        let overdue = count(going.iter().copied().filter(is_overdue).count());
        Self {
            counts: RolloutPods {
                desired,
                updated: count(updated.len()),
                ready: count(waits.len()),
                available: count(waits.iter().filter(|wait| !wait.is_positive()).count()),
                old: count(old.len()),
                terminating: count(terminating.len()),
            },
            kept: count(kept.len()),
            stopping: count(going.len()) - overdue,
            overdue,
            available_in: waits.into_iter().filter(SignedDuration::is_positive).max(),
        }
    }

    /// The controller counts Ready and available pods of all versions together.
    fn of_status(rollout: &Rollout) -> Self {
        let counts = rollout.counts;
        let kept = partition(rollout).min(rollout.replicas - counts.updated).max(0);
        let stopping = counts.terminating.unwrap_or_default();
        Self {
            counts: RolloutPods {
                desired: rollout.replicas,
                updated: counts.updated,
                ready: counts.ready,
                available: counts.available,
                old: (counts.current - counts.updated - kept).max(0),
                terminating: stopping,
            },
            kept,
            stopping,
            overdue: 0,
            available_in: None,
        }
    }

    fn is_complete(&self) -> bool {
        let RolloutPods { desired, updated, ready, available, old, terminating: _ } = self.counts;
        updated + self.kept == desired && ready == desired && available == desired && old == 0 && self.stopping == 0
    }
}

/// Where a pod stands among a `StatefulSet`'s ordinals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It keeps its version until somebody lowers the partition.
    BelowPartition,
    /// It gets the newest version; so does every pod of another kind.
    Updated,
    /// It goes, since the set has become smaller.
    Surplus,
}

fn place(rollout: &Rollout, pod: &PodStatus) -> Place {
    let RolloutStrategy::Ordinal { start, .. } = rollout.strategy else { return Place::Updated };
    match pod.ordinal().map(|ordinal| ordinal - start) {
        Some(index) if index >= rollout.replicas => Place::Surplus,
        // The controller counts the partition from the first ordinal.
        Some(index) if index < partition(rollout) => Place::BelowPartition,
        _ => Place::Updated,
    }
}

fn partition(rollout: &Rollout) -> i32 {
    match rollout.strategy {
        RolloutStrategy::Ordinal { partition, .. } => partition.unwrap_or_default(),
        RolloutStrategy::Rolling { .. } | RolloutStrategy::Recreate | RolloutStrategy::OnDelete => 0,
    }
}

/// How many pods there should be on nodes that are not excepted.
///
/// The controller counts a node that does not answer until it has its taint (`unreachable:NoSchedule`), which a
/// `DaemonSet` does not tolerate: from then on the pod there is misscheduled. A healthy node may get such a taint, too: its
/// pod stays, and gets the new version like any other.
fn desired_elsewhere(subject: &Subject<'_>, excepted: &BTreeSet<&NodeName>, eligible: &[&PodStatus]) -> i32 {
    let Rollout { kind, replicas, counts, .. } = subject.rollout;
    if *kind != RolloutKind::DaemonSet {
        return *replicas;
    }
    let counted = (count(excepted.len()) - counts.misscheduled).max(0);
    let version = subject.version();
    let is_new = |pod: &&&PodStatus| version.is_some() && subject.version_of(pod).as_ref() == version;
    let there = eligible.iter().filter(is_new).filter(|pod| !pod.is_terminating()).count();
    let desired = (replicas - counted).max(0);
    if desired == 0 { 0 } else { desired.max(count(there)) }
}

/// The nodes with pods of a `DaemonSet` that are not Ready.
fn excepted_nodes<'p>(subject: &Subject<'_>, pods: &[&'p PodStatus]) -> BTreeSet<&'p NodeName> {
    let is_unready = |node: &&NodeName| subject.node(node).is_some_and(|node| !node.ready);
    match subject.rollout.kind {
        RolloutKind::DaemonSet => pods.iter().filter_map(|pod| pod.node.as_ref()).filter(is_unready).collect(),
        RolloutKind::Deployment | RolloutKind::StatefulSet => BTreeSet::new(),
    }
}

/// How long until a pod counts as available, not positive if it does; none while it is not Ready.
pub(super) fn available_in(subject: &Subject<'_>, pod: &PodStatus) -> Option<SignedDuration> {
    if !pod.is_ready() {
        return None;
    }
    let needed = SignedDuration::from_secs(subject.rollout.min_ready_seconds.into());
    // The time comes from the node, whose clock may be ahead.
    if needed.is_zero() {
        return Some(SignedDuration::ZERO);
    }
    Some(needed - pod.ready_since().map_or(SignedDuration::ZERO, |since| subject.now.duration_since(since)))
}

fn describe(subject: &Subject<'_>, tally: &Tally, is_complete: bool, excepted: &BTreeSet<&NodeName>) -> String {
    if !subject.rollout.is_observed() {
        return "the controller has not seen the newest spec yet".to_owned();
    }
    let numbers = describe_numbers(subject.rollout.replicas, tally, is_complete);
    let notes = describe_rest(subject.rollout, tally, excepted);
    notes.into_iter().fold(numbers, |text, note| format!("{text}; {note}"))
}

fn describe_numbers(desired: i32, tally: &Tally, is_complete: bool) -> String {
    let Tally { counts, kept, stopping: _, overdue: _, available_in: _ } = tally;
    let RolloutPods { desired: _, updated, ready, available, old, terminating } = *counts;
    match (is_complete, kept) {
        (true, _) if desired == 0 => "no pods wanted".to_owned(),
        (true, 0) => format!("{updated} of {desired} pods updated and available"),
        (true, kept) => format!("{updated} of {desired} pods updated, {kept} kept by the partition, all available"),
        (false, kept) => {
            let parts = [
                Some(format!("{updated} of {desired} pods updated")),
                (*kept > 0).then(|| format!("{kept} kept by the partition")),
                Some(format!("{ready} ready")),
                Some(format!("{available} available")),
                (old > 0).then(|| format!("{old} old")),
                (terminating > 0).then(|| format!("{terminating} stopping")),
            ];
            parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
        }
    }
}

/// What else is to be known about the numbers.
fn describe_rest(rollout: &Rollout, tally: &Tally, excepted: &BTreeSet<&NodeName>) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(wait) = tally.available_in {
        notes.push(format!("the rest in {}s", (wait.as_millis() + 999) / 1000));
    }
    if rollout.is_paused {
        notes.push("paused".to_owned());
    }
    if rollout.strategy == RolloutStrategy::OnDelete && tally.counts.old > 0 {
        notes.push("old pods stay until somebody deletes them (OnDelete)".to_owned());
    }
    let names: Vec<&str> = excepted.iter().map(|node| node.0.as_str()).collect();
    match names[..] {
        [] => {}
        [name] => notes.push(format!("except node {name}, which is not Ready")),
        _ => notes.push(format!("except nodes {}, which are not Ready", names.join(", "))),
    }
    match tally.overdue {
        0 => {}
        1 => notes.push("1 old pod does not stop".to_owned()),
        several => notes.push(format!("{several} old pods do not stop")),
    }
    notes
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{
        super::fixture::{Scene, workload},
        *,
    };
    use crate::snapshot::Kind;

    #[test]
    fn what_kubectl_says_of_a_deployment() {
        /// Columns: generation, observed generation, wanted replicas, replicas, updated, available (kubectl's D1 to D5).
        #[track_caller]
        fn check([generation, observed, wanted, all, updated, available]: [i32; 6], message: &str, is_done: bool) {
            let mut deployment = workload(
                RolloutKind::Deployment,
                &json!({"replicas": wanted}),
                &json!({"observedGeneration": observed, "replicas": all, "updatedReplicas": updated, "availableReplicas": available}),
            );
            deployment.generation = generation.into();
            let viewed = viewer(&deployment, None).unwrap();
            assert_eq!((viewed.message.as_str(), viewed.is_done), (message, is_done));
        }
        let waiting = |what: &str| format!("Waiting for deployment \"web\" rollout to finish: {what}...");
        check([0, 1, 1, 1, 0, 1], &waiting("0 out of 1 new replicas have been updated"), false);
        check([1, 1, 1, 2, 1, 2], &waiting("1 old replicas are pending termination"), false);
        check([1, 1, 2, 2, 2, 1], &waiting("1 of 2 updated replicas are available"), false);
        check([1, 1, 2, 2, 2, 2], "deployment \"web\" successfully rolled out", true);
        check([2, 1, 2, 2, 2, 2], "Waiting for deployment spec update to be observed...", false);
        check([1, 1, 0, 0, 0, 0], "deployment \"web\" successfully rolled out", true);
    }

    #[test]
    fn what_kubectl_says_of_a_daemon_set() {
        /// Columns: generation, observed generation, updated, desired, available (kubectl's S1 to S4).
        #[track_caller]
        fn check([generation, observed, updated, desired, available]: [i32; 5], message: &str, is_done: bool) {
            let mut set = workload(
                RolloutKind::DaemonSet,
                &json!({}),
                &json!({"observedGeneration": observed, "updatedNumberScheduled": updated, "desiredNumberScheduled": desired,
                    "numberAvailable": available, "currentNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0}),
            );
            set.generation = generation.into();
            let viewed = viewer(&set, Some(7)).unwrap();
            assert_eq!((viewed.message.as_str(), viewed.is_done), (message, is_done));
        }
        let waiting = |what: &str| format!("Waiting for daemon set \"web\" rollout to finish: {what}...");
        check([0, 1, 0, 1, 0], &waiting("0 out of 1 new pods have been updated"), false);
        check([1, 1, 2, 2, 1], &waiting("1 of 2 updated pods are available"), false);
        check([1, 1, 2, 2, 2], "daemon set \"web\" successfully rolled out", true);
        check([2, 1, 2, 2, 2], "Waiting for daemon set spec update to be observed...", false);
    }

    #[test]
    fn what_kubectl_says_of_a_stateful_set() {
        /// Columns: generation, observed generation, ready, updated; three replicas (kubectl's T2 to T6).
        #[track_caller]
        fn check([generation, observed, ready, updated]: [i32; 4], rolling: &Value, message: &str, is_done: bool) {
            let mut set = workload(
                RolloutKind::StatefulSet,
                &json!({"replicas": 3, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}),
                &json!({"observedGeneration": observed, "replicas": 3, "readyReplicas": ready, "updatedReplicas": updated,
                    "currentRevision": "foo", "updateRevision": if updated == 2 { "bar" } else { "foo" }}),
            );
            set.generation = generation.into();
            let viewed = viewer(&set, None).unwrap();
            assert_eq!((viewed.message.as_str(), viewed.is_done), (message, is_done));
        }
        let at = |partition: i32| json!({"partition": partition});
        let none = Value::Null;
        check([2, 1, 3, 0], &at(0), "Waiting for statefulset spec update to be observed...", false);
        check([0, 0, 3, 3], &at(0), "Waiting for statefulset spec update to be observed...", false);
        check([1, 2, 2, 0], &at(0), "Waiting for 1 pods to be ready...", false);
        check([1, 1, 3, 1], &at(2), "partitioned roll out complete: 1 new pods have been updated...", true);
        let waiting = "Waiting for partitioned roll out to finish: 0 out of 1 new pods have been updated...";
        check([1, 1, 3, 0], &at(2), waiting, false);
        check([1, 1, 3, 3], &none, "statefulset rolling update complete 3 pods at revision foo...", true);
        let waiting = "waiting for statefulset rolling update to complete 2 pods at revision bar...";
        check([1, 1, 3, 2], &none, waiting, false);
    }

    #[test]
    fn where_kubectl_fails() {
        #[track_caller]
        fn check(rollout: &Rollout, wanted: i64, expected: &str) {
            let said = viewer(rollout, Some(wanted)).map_or_else(|error| error.to_string(), |viewed| viewed.message);
            assert_eq!(said, expected);
        }
        let on_delete = "rollout status is only available for RollingUpdate strategy type";
        let strategy = json!({"replicas": 0, "updateStrategy": {"type": "OnDelete"}});
        // kubectl's S5 and T1.
        check(
            &workload(
                RolloutKind::DaemonSet,
                &strategy,
                &json!({"observedGeneration": 1, "currentNumberScheduled": 0,
            "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0}),
            ),
            0,
            on_delete,
        );
        check(
            &workload(RolloutKind::StatefulSet, &strategy, &json!({"observedGeneration": 1, "replicas": 0})),
            0,
            on_delete,
        );
        let late = json!({"observedGeneration": 1, "conditions": [
            {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]});
        let mut deployment = workload(RolloutKind::Deployment, &json!({"replicas": 1}), &late);
        check(&deployment, 0, "deployment \"web\" exceeded its progress deadline");
        check(&deployment, 3, "desired revision (3) is different from the running revision (0)");
        deployment.annotations.insert(REVISION_ANNOTATION.into(), "2".into());
        check(&deployment, 3, "desired revision (3) is different from the running revision (2)");
        check(&deployment, 2, "deployment \"web\" exceeded its progress deadline");
        deployment.annotations.insert(REVISION_ANNOTATION.into(), "two".into());
        check(
            &deployment,
            2,
            "cannot get the revision of deployment \"web\": strconv.ParseInt: parsing \"two\": invalid syntax",
        );
        deployment.annotations.insert(REVISION_ANNOTATION.into(), "9".repeat(20));
        let too_large = "cannot get the revision of deployment \"web\": strconv.ParseInt: parsing \"99999999999999999999\": value out of range";
        check(&deployment, 2, too_large);
        deployment.generation = 2;
        check(&deployment, 0, "Waiting for deployment spec update to be observed...");
    }

    #[track_caller]
    fn check(scene: &Scene, is_complete: bool, message: &str) {
        let progress = progress(&scene.subject());
        assert_eq!((progress.message.as_str(), progress.is_complete), (message, is_complete));
    }

    #[test]
    fn deployments() {
        let three = |pods: &[&str]| Scene::of(RolloutKind::Deployment, &json!({"replicas": 3})).pods(pods);
        check(&three(&["2 ready", "2 ready", "2 ready"]), true, "3 of 3 pods updated and available");
        check(&three(&["1 ready", "1 ready", "1 ready"]), false, "0 of 3 pods updated, 0 ready, 0 available, 3 old");
        check(&three(&["2 ready", "2 unready", "1 ready"]), false, "2 of 3 pods updated, 1 ready, 1 available, 1 old");
        // kubectl calls these two done.
        let old = three(&["2 ready", "2 ready", "2 ready", "1 ready"]);
        check(&old, false, "3 of 3 pods updated, 3 ready, 3 available, 1 old");
        let stopping = three(&["2 ready", "2 ready", "2 ready", "1 stopping"]);
        check(&stopping, false, "3 of 3 pods updated, 3 ready, 3 available, 1 stopping");
        let stuck = three(&["2 ready", "2 ready", "2 ready", "1 stuck"]);
        check(&stuck, true, "3 of 3 pods updated and available; 1 old pod does not stop");
        // A pod of the new version that goes, such as by a drain, is of no matter once another one serves.
        check(&three(&["2 ready", "2 ready", "2 ready", "2 stopping"]), true, "3 of 3 pods updated and available");
        check(
            &three(&["2 ready", "2 ready", "2 failed", "1 failed"]),
            false,
            "2 of 3 pods updated, 2 ready, 2 available",
        );
        let surplus = three(&["2 ready", "2 ready", "2 ready", "2 ready"]);
        check(&surplus, false, "4 of 3 pods updated, 4 ready, 4 available");
        let paused = Scene::of(RolloutKind::Deployment, &json!({"replicas": 1, "paused": true})).pods(&["1 ready"]);
        check(&paused, false, "0 of 1 pods updated, 0 ready, 0 available, 1 old; paused");
        check(&three(&["2 ready"]).unobserved(), false, "the controller has not seen the newest spec yet");
        let none = |pods: &[&str]| Scene::of(RolloutKind::Deployment, &json!({"replicas": 0})).pods(pods);
        check(&none(&[]), true, "no pods wanted");
        check(&none(&["1 stopping"]), false, "0 of 0 pods updated, 0 ready, 0 available, 1 stopping");
    }

    #[test]
    fn a_countdown() {
        let two = |pods: &[&str]| {
            Scene::of(RolloutKind::Deployment, &json!({"replicas": 2, "minReadySeconds": 10})).pods(pods)
        };
        let scene = two(&["2 ready=12", "2 ready=3"]);
        check(&scene, false, "2 of 2 pods updated, 2 ready, 1 available; the rest in 7s");
        assert_eq!(progress(&scene.subject()).available_in, Some(SignedDuration::from_secs(7)));
        check(&two(&["2 ready=10", "2 ready=11"]), true, "2 of 2 pods updated and available");
        // Without `minReadySeconds` it counts at once, whatever the node's clock says.
        let at_once = Scene::of(RolloutKind::Deployment, &json!({"replicas": 1})).pods(&["2 ready=-3"]);
        check(&at_once, true, "1 of 1 pods updated and available");
        // Those that go do not count down.
        check(&two(&["2 unready", "1 ready=3"]), false, "1 of 2 pods updated, 0 ready, 0 available, 1 old");
    }

    #[test]
    fn stateful_sets() {
        let three = |spec: Value, pods: &[&str]| {
            let mut spec = spec;
            spec["replicas"] = 3.into();
            Scene::of(RolloutKind::StatefulSet, &spec).pods(pods)
        };
        let all = |pods: &[&str]| three(json!({}), pods);
        let partition =
            |at: i32, pods: &[&str]| three(json!({"updateStrategy": {"rollingUpdate": {"partition": at}}}), pods);
        check(&all(&["2 ready", "2 ready", "2 ready"]), true, "3 of 3 pods updated and available");
        check(&all(&["1 ready", "1 ready", "2 unready"]), false, "1 of 3 pods updated, 0 ready, 0 available, 2 old");
        let kept = partition(2, &["1 ready", "1 ready", "2 ready"]);
        check(&kept, true, "1 of 3 pods updated, 2 kept by the partition, all available");
        let late = partition(2, &["1 ready", "1 unready", "2 ready"]);
        check(&late, false, "1 of 3 pods updated, 2 kept by the partition, 2 ready, 2 available");
        let old = partition(1, &["1 ready", "1 ready", "2 ready"]);
        check(&old, false, "1 of 3 pods updated, 1 kept by the partition, 2 ready, 2 available, 1 old");
        check(&partition(2, &["2 ready", "2 ready", "2 ready"]), true, "3 of 3 pods updated and available");
        let surplus = all(&["2 ready", "2 ready", "2 ready", "2 ready"]);
        check(&surplus, false, "3 of 3 pods updated, 3 ready, 3 available, 1 old");
        // With ordinals 5, 6 and 7 the partition keeps 5.
        let start = |pods: &[&str]| {
            let strategy = json!({"rollingUpdate": {"partition": 1}});
            three(json!({"ordinals": {"start": 5}, "updateStrategy": strategy}), pods)
        };
        check(
            &start(&["1 ready", "2 ready", "2 ready"]),
            true,
            "2 of 3 pods updated, 1 kept by the partition, all available",
        );
        let on_delete = three(json!({"updateStrategy": {"type": "OnDelete"}}), &["1 ready", "1 ready", "2 ready"]);
        check(
            &on_delete,
            false,
            "1 of 3 pods updated, 1 ready, 1 available, 2 old; old pods stay until somebody deletes them (OnDelete)",
        );
    }

    #[test]
    fn daemon_sets() {
        let three = |pods: &[&str]| Scene::of(RolloutKind::DaemonSet, &json!({"replicas": 3})).pods(pods);
        check(&three(&["2 ready n1", "2 ready n2", "2 ready n3"]), true, "3 of 3 pods updated and available");
        let down = three(&["2 ready n1", "2 ready n2", "1 unready n3"]);
        check(&down, false, "2 of 3 pods updated, 2 ready, 2 available, 1 old");
        check(
            &down.node_not_ready("n3"),
            true,
            "2 of 3 pods updated and available; except node n3, which is not Ready",
        );
        let going = three(&["2 ready n1", "2 unready n2", "1 stopping n3"]).node_not_ready("n3").node_not_ready("n2");
        check(&going, true, "1 of 3 pods updated and available; except nodes n2, n3, which are not Ready");
        assert_eq!(progress(&going.subject()).excepted, ["n2", "n3"].map(|name| NodeName(name.into())));
        let unproven =
            Scene::of(RolloutKind::DaemonSet, &json!({"replicas": 1})).pods(&["2 unready n1"]).node_not_ready("n1");
        check(&unproven, false, "1 of 1 pods updated, 0 ready, 0 available; except node n1, which is not Ready");
        check(&Scene::of(RolloutKind::DaemonSet, &json!({"replicas": 0})), true, "no pods wanted");
    }

    /// Once a node that does not answer has its taint, the controller does not count it any more.
    #[test]
    fn daemon_sets_beyond_what_is_desired() {
        let two = |pods: &[&str]| {
            Scene::of(RolloutKind::DaemonSet, &json!({"replicas": 2})).pods(pods).set("/status/numberMisscheduled", 1)
        };
        let lost = |pods: &[&str]| two(pods).node_not_ready("n3");
        let except = "2 of 2 pods updated and available; except node n3, which is not Ready";
        check(&lost(&["2 ready n1", "2 ready n2", "1 stopping n3"]), true, except);
        check(&lost(&["2 ready n1", "2 ready n2", "2 unready n3"]), true, except);
        let halfway = lost(&["2 ready n1", "1 ready n2", "1 stopping n3"]);
        assert!(!progress(&halfway.subject()).is_complete);
        // n3 answers, and has a taint of its own.
        check(&two(&["2 ready n1", "2 ready n2", "2 ready n3"]), true, "3 of 2 pods updated and available");
        assert!(!progress(&two(&["2 ready n1", "2 unready n2", "2 ready n3"]).subject()).is_complete);
    }

    #[test]
    fn pods_that_could_not_be_read() {
        /// Columns: all, updated, Ready, available.
        #[track_caller]
        fn check([all, updated, ready, available]: [i32; 4], partition: i32, is_complete: bool, message: &str) {
            let spec = json!({"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": partition}}});
            let status = json!({"observedGeneration": 1, "replicas": all, "updatedReplicas": updated, "readyReplicas": ready,
                "availableReplicas": available});
            let scene = || Scene::alone(RolloutKind::StatefulSet, &spec, &status);
            super::tests::check(&scene().without(Kind::Pod), is_complete, message);
            super::tests::check(&scene().without(Kind::ControllerRevision), is_complete, message);
        }
        check([3, 3, 3, 3], 0, true, "3 of 3 pods updated and available");
        check([3, 1, 3, 3], 0, false, "1 of 3 pods updated, 3 ready, 3 available, 2 old");
        check([3, 1, 3, 3], 2, true, "1 of 3 pods updated, 2 kept by the partition, all available");
        check([3, 3, 3, 2], 2, false, "3 of 3 pods updated, 3 ready, 2 available");
    }
}
