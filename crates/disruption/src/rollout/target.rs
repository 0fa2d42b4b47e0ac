//! The revision that an undo brings back: the last good one, which need not be the one before.

use std::{collections::BTreeSet, fmt};

use serde_json::Value;
use thiserror::Error;

use super::{status::available_in, template, view::Subject};
use crate::model::{PodStatus, Revision, Rollout, RolloutStrategy, VersionKey};

/// The annotation with the versions of a workload that have proven bad, a JSON array of version keys, oldest first.
///
/// The Deployment controller copies it to the newest `ReplicaSet`; only a workload's own counts.
pub const BAD_VERSIONS_ANNOTATION: &str = "kubectl-rollout-guard/bad-versions";

/// So many bad versions are remembered: twice the revisions that a workload keeps unless it says otherwise.
const MAX_BAD_VERSIONS: usize = 20;

/// The longest version key there can be: a `StatefulSet`'s is the name of an object. Longer ones are nobody's.
const MAX_VERSION_LENGTH: usize = 253;

/// A revision to go back to. Shown as one sentence: `revision 7: 3 of 3 pods available now`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target<'a> {
    /// The revision.
    pub revision: &'a Revision,
    /// Why this one.
    pub why: Why,
}

/// Why a revision is the one to go back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The user asked for it.
    Asked {
        /// Whether it was recorded as bad all the same.
        is_bad: bool,
    },
    /// `status.currentRevision` of a `StatefulSet`: the last one that was rolled out completely.
    LastComplete,
    /// The newest that pods above a `StatefulSet`'s partition are Ready with.
    ReadyFrom {
        /// The lowest ordinal above the partition.
        ordinal: i32,
    },
    /// It has most available pods now.
    Available {
        /// So many.
        available: i32,
        /// Of all that it has.
        of: i32,
    },
    /// It has most pods now, none of which is available.
    MostPods(i32),
    /// Pods of it were Ready while somebody watched.
    SeenReady,
    /// The newest before the current one. Nothing tells how it fared.
    Newest,
    /// The newest before the current one, none of whose pods is available or can be made; no better one is there.
    Doubtful,
}

/// Why there is nothing to go back to.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoTarget {
    /// A revision below 0 was asked for.
    #[error("revision must be a positive integer: {0}")]
    NotPositive(i64),
    /// A revision was asked for that is not there.
    #[error("unable to find specified revision {0} in history")]
    NotFound(i64),
    /// No other revision has ever been, as far as can be seen.
    #[error("this is the first rollout: there is no earlier revision")]
    FirstRollout,
    /// `revisionHistoryLimit` is 0, so that old revisions are deleted.
    #[error("no earlier revision is kept: spec.revisionHistoryLimit is 0")]
    NoHistory,
    /// All others ask for the same pods.
    #[error("every earlier revision has the template that is there now")]
    AllEqual,
    /// All others have proven bad.
    #[error("every earlier revision with another template has proven bad")]
    AllBad,
    /// All that are left have higher numbers than the current one: somebody is going back right now.
    #[error("the current revision has just been rolled back to, and has no new number yet")]
    Unsettled,
}

/// What revision to go back to: the one that is `wanted` (none and 0 are kubectl's "not given"), else the last good one.
///
/// `seen_good` are the versions whose pods somebody saw Ready: after an update those pods are gone. Nothing is chosen
/// unasked that asks for the same pods as now (a restart is no change), or that has proven bad. What is wanted may be
/// both: see [`is_same_as_current`].
///
/// # Errors
/// Says why there is none, and [`NoTarget::next`] what else can be done. Only if all revisions could be read.
pub fn choose<'a>(
    subject: &Subject<'a>,
    wanted: Option<i64>,
    seen_good: &BTreeSet<VersionKey>,
) -> Result<Target<'a>, NoTarget> {
    match wanted {
        Some(number) if number < 0 => Err(NoTarget::NotPositive(number)),
        Some(number) if number > 0 => {
            let revision = subject.revision(number).ok_or(NoTarget::NotFound(number))?;
            Ok(Target { revision, why: Why::Asked { is_bad: is_bad(subject, revision) } })
        }
        _ => {
            let fit = fit(subject, template::same_but_for_a_restart)?;
            let found = proven(subject, &fit, seen_good).or_else(|| seen_ready(&fit, seen_good));
            found.or_else(|| newest(subject, &fit)).ok_or(NoTarget::Unsettled)
        }
    }
}

/// The revision that the current one must be compared with to see what this rollout changed: the one that ran before,
/// even if its pods fail now, and even if all that changed is a restart. None in a first rollout.
pub fn last_good<'a>(subject: &Subject<'a>, seen_good: &BTreeSet<VersionKey>) -> Option<Target<'a>> {
    let fit = fit(subject, template::same).ok()?;
    proven(subject, &fit, seen_good)
        .or_else(|| most_pods(subject, &fit))
        .or_else(|| seen_ready(&fit, seen_good))
        .or_else(|| newest(subject, &fit))
}

/// Whether going back to a revision would change nothing: `skipped rollback (current template already matches revision
/// N)`.
pub fn is_same_as_current(rollout: &Rollout, revision: &Revision) -> bool {
    template::same(&revision.template, &rollout.template)
}

/// The versions that were recorded as bad. An annotation that is no array of texts names what texts there are.
pub fn bad_versions(rollout: &Rollout) -> BTreeSet<VersionKey> {
    bad_list(rollout).into_iter().map(VersionKey).collect()
}

/// The new text of [`BAD_VERSIONS_ANNOTATION`] once this version has proven bad too. The oldest are forgotten.
pub fn with_bad_version(rollout: &Rollout, version: &VersionKey) -> String {
    let mut list = bad_list(rollout);
    list.retain(|bad| *bad != version.0);
    list.push(version.0.clone());
    let surplus = list.len().saturating_sub(MAX_BAD_VERSIONS);
    Value::from(list.split_off(surplus)).to_string()
}

fn bad_list(rollout: &Rollout) -> Vec<String> {
    let text = rollout.annotations.get(BAD_VERSIONS_ANNOTATION).map_or("", String::as_str);
    let texts = match serde_json::from_str(text) {
        Ok(Value::Array(items)) => items,
        Ok(text) => vec![text],
        Err(_) => Vec::new(),
    };
    let texts = texts.into_iter().filter_map(|item| item.as_str().map(str::to_owned));
    texts.filter(|text| !text.is_empty() && text.len() <= MAX_VERSION_LENGTH).collect()
}

/// Whether a revision was recorded as bad, or asks for the same pods as one that was.
fn is_bad(subject: &Subject<'_>, revision: &Revision) -> bool {
    let bad = bad_versions(subject.rollout);
    bad.contains(&revision.version)
        || subject.revisions.iter().any(|other| {
            bad.contains(&other.version) && template::same_but_for_a_restart(&other.template, &revision.template)
        })
}

/// The revisions that may be gone back to, oldest first; at least one.
fn fit<'a>(subject: &Subject<'a>, is_equal: fn(&Value, &Value) -> bool) -> Result<Vec<&'a Revision>, NoTarget> {
    let current = subject.current().map(|current| &current.uid);
    let others = subject.revisions.iter().copied().filter(|revision| Some(&revision.uid) != current);
    let mut fit: Vec<_> = others.collect();
    if fit.is_empty() {
        return Err(if subject.rollout.history_limit == 0 { NoTarget::NoHistory } else { NoTarget::FirstRollout });
    }
    fit.retain(|revision| !is_equal(&revision.template, &subject.rollout.template));
    if fit.is_empty() {
        return Err(NoTarget::AllEqual);
    }
    fit.retain(|revision| !is_bad(subject, revision));
    if fit.is_empty() { Err(NoTarget::AllBad) } else { Ok(fit) }
}

/// The revision that the cluster itself shows to be good.
fn proven<'a>(subject: &Subject<'a>, fit: &[&'a Revision], seen_good: &BTreeSet<VersionKey>) -> Option<Target<'a>> {
    let is_complete = |revision: &Revision| subject.rollout.current_revision.as_ref() == Some(&revision.version);
    if let Some(ordinal) = held_back_below(subject) {
        let is_ready = |revision: &Revision| {
            let pods = subject.pods_of(&revision.version);
            pods.iter().any(|pod| pod.is_ready() && pod.ordinal().is_some_and(|own| own >= ordinal))
        };
        let why = |revision: &Revision| {
            if is_complete(revision) {
                Some(Why::LastComplete)
            } else if is_ready(revision) {
                Some(Why::ReadyFrom { ordinal })
            } else {
                seen_good.contains(&revision.version).then_some(Why::SeenReady)
            }
        };
        let found = fit.iter().rev().find_map(|revision| Some(Target { revision, why: why(revision)? }));
        if found.is_some() {
            return found;
        }
    }
    if let Some(revision) = fit.iter().find(|revision| is_complete(revision)) {
        return Some(Target { revision, why: Why::LastComplete });
    }
    let revision = fit.iter().max_by_key(|revision| pods_now(subject, revision).0)?;
    let (available, of) = pods_now(subject, revision);
    (available > 0).then_some(Target { revision, why: Why::Available { available, of } })
}

/// The lowest ordinal that gets the newest version, if a `StatefulSet`'s partition holds others back.
fn held_back_below(subject: &Subject<'_>) -> Option<i32> {
    let strategy = &subject.rollout.strategy;
    let is_held = matches!(strategy, RolloutStrategy::Ordinal { partition: Some(partition), .. } if *partition > 0);
    strategy.lowest_updated().filter(|_| is_held)
}

fn most_pods<'a>(subject: &Subject<'a>, fit: &[&'a Revision]) -> Option<Target<'a>> {
    let revision = fit.iter().max_by_key(|revision| pods_now(subject, revision).1)?;
    let (_, pods) = pods_now(subject, revision);
    (pods > 0).then_some(Target { revision, why: Why::MostPods(pods) })
}

fn seen_ready<'a>(fit: &[&'a Revision], seen_good: &BTreeSet<VersionKey>) -> Option<Target<'a>> {
    let revision = fit.iter().rev().find(|revision| seen_good.contains(&revision.version))?;
    Some(Target { revision, why: Why::SeenReady })
}

/// The highest number below the current one, of those first that nothing speaks against.
fn newest<'a>(subject: &Subject<'a>, fit: &[&'a Revision]) -> Option<Target<'a>> {
    let current = subject.current();
    let is_below = |revision: &&&Revision| current.is_none_or(|current| revision.number < current.number);
    let is_doubtful = |revision: &&&Revision| revision.failure.is_some() || pods_now(subject, revision).1 > 0;
    let below = || fit.iter().rev().filter(is_below);
    match below().find(|revision| !is_doubtful(revision)) {
        Some(revision) => Some(Target { revision, why: Why::Newest }),
        None => below().next().map(|revision| Target { revision, why: Why::Doubtful }),
    }
}

/// How many of a revision's pods are available, and how many there are.
fn pods_now(subject: &Subject<'_>, revision: &Revision) -> (i32, i32) {
    if let Some(counts) = revision.counts {
        return (counts.available, counts.current);
    }
    let mut pods = subject.pods_of(&revision.version);
    pods.retain(|pod| !pod.is_finished());
    let is_available = |pod: &&&PodStatus| available_in(subject, pod).is_some_and(|wait| !wait.is_positive());
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    (count(pods.iter().filter(is_available).count()), count(pods.len()))
}

impl NoTarget {
    /// What else can be done.
    pub const fn next(&self) -> &'static str {
        match self {
            Self::NotPositive(_) | Self::NotFound(_) => "`kubectl rollout-guard history` lists the revisions",
            Self::FirstRollout => "correct the template and apply it",
            Self::NoHistory => {
                "apply the last good manifest again, and raise spec.revisionHistoryLimit to have a way back next time"
            }
            Self::AllEqual => {
                "look for what changed outside the template: what it names, images under the same tag, nodes"
            }
            Self::AllBad => "apply a manifest that is known to be good, or name a revision with --to-revision",
            Self::Unsettled => "try again in a moment",
        }
    }
}

impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", shown(self.revision))?;
        match self.why {
            Why::Asked { is_bad: false } => f.write_str("asked for"),
            Why::Asked { is_bad: true } => f.write_str("asked for, although it has proven bad"),
            Why::LastComplete => f.write_str("the last one that was rolled out completely"),
            Why::ReadyFrom { ordinal } => write!(f, "the newest whose pods from ordinal {ordinal} on are Ready"),
            Why::Available { available, of } => write!(f, "{available} of {of} pods available now"),
            Why::MostPods(pods) => write!(f, "0 of {pods} pods available now, yet no other has more"),
            Why::SeenReady => f.write_str("its pods were Ready before"),
            Why::Newest => f.write_str("the newest before the current one; how it fared is not known"),
            Why::Doubtful => f.write_str("the newest before the current one, although its own pods fail too"),
        }
    }
}

/// How people call a revision.
pub(super) fn shown(revision: &Revision) -> String {
    match revision.number {
        Some(number) if number > 0 => format!("revision {number}"),
        _ => revision.name.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        model::RolloutKind::{DaemonSet, Deployment, StatefulSet},
        rollout::fixture::{Scene, template},
    };

    /// `seen` are version keys; `expected` is the sentence, whatever it says.
    #[track_caller]
    fn check(scene: &Scene, wanted: Option<i64>, seen: &[&str], expected: &str) {
        let seen = seen.iter().map(|&version| VersionKey(version.to_owned())).collect();
        let found = match choose(&scene.subject(), wanted, &seen) {
            Ok(target) => target.to_string(),
            Err(none) => none.to_string(),
        };
        assert_eq!(found, expected);
    }

    #[track_caller]
    fn check_last_good(scene: &Scene, expected: &str) {
        let found = last_good(&scene.subject(), &BTreeSet::new()).map(|target| target.to_string());
        assert_eq!(found.unwrap_or_default(), expected);
    }

    /// v1 and v2, of which v2 is current; v1 has so many pods available of 3.
    fn two(kind: crate::model::RolloutKind, available: i32) -> Scene {
        let (one, two) = (template("x:1"), template("x:2"));
        Scene::new(kind, &two).revision(1, &one, 3, available).revision(2, &two, 1, 0)
    }

    fn bad(scene: Scene, text: &str) -> Scene {
        scene.set("/metadata/annotations", json!({BAD_VERSIONS_ANNOTATION: text}))
    }

    fn restarted(image: &str) -> Value {
        let mut template = template(image);
        template["metadata"]["annotations"] = json!({template::RESTARTED_AT: "2026-01-01T00:00:00Z"});
        template
    }

    #[test]
    fn what_is_wanted() {
        let scene = two(Deployment, 3);
        check(&scene, Some(1), &[], "revision 1: asked for");
        check(&scene, Some(2), &[], "revision 2: asked for");
        check(&scene, Some(0), &[], "revision 1: 3 of 3 pods available now");
        check(&scene, Some(9), &[], "unable to find specified revision 9 in history");
        check(&scene, Some(-1), &[], "revision must be a positive integer: -1");
        check(&bad(scene, r#"["v1"]"#), Some(1), &[], "revision 1: asked for, although it has proven bad");
    }

    #[test]
    fn a_deployments_last_good() {
        check(&two(Deployment, 3), None, &[], "revision 1: 3 of 3 pods available now");
        check(&two(Deployment, 2), None, &[], "revision 1: 2 of 3 pods available now");
        let three = template("x:3");
        // 1 good, 2 bad, 3 bad: not 2, as kubectl would have it.
        let twice_bad = || {
            let scene = Scene::new(Deployment, &three).revision(1, &template("x:1"), 3, 3);
            scene.revision(2, &template("x:2"), 1, 0).revision(3, &three, 1, 0)
        };
        check(&twice_bad(), None, &[], "revision 1: 3 of 3 pods available now");
        // Of two that have as many the newer one.
        let both = Scene::new(Deployment, &three).revision(1, &template("x:1"), 1, 1);
        let both = both.revision(2, &template("x:2"), 1, 1).revision(3, &three, 1, 0);
        check(&both, None, &[], "revision 2: 1 of 1 pods available now");
        // The controller called 3 complete: no pod tells anything any more.
        let complete = || {
            let scene = Scene::new(Deployment, &three).revision(1, &template("x:1"), 0, 0);
            scene.revision(2, &template("x:2"), 0, 0).revision(3, &three, 3, 0)
        };
        let unknown = "the newest before the current one; how it fared is not known";
        check(&complete(), None, &[], &format!("revision 2: {unknown}"));
        check(&complete(), None, &["v1"], "revision 1: its pods were Ready before");
        check(&complete(), None, &["v3"], &format!("revision 2: {unknown}"));
        check(&bad(complete(), r#"["v2"]"#), None, &["v2"], &format!("revision 1: {unknown}"));
        check(&bad(complete(), r#"["v2", "v1"]"#), None, &[], &NoTarget::AllBad.to_string());
        // The controller has not made the new ReplicaSet yet: two are old.
        let unseen = Scene::new(Deployment, &three).revision(1, &template("x:1"), 0, 0);
        let unseen = unseen.revision(2, &template("x:2"), 3, 3);
        check(&unseen, None, &[], "revision 2: 3 of 3 pods available now");
    }

    #[test]
    fn what_nobody_knows_anything_good_about() {
        let three = template("x:3");
        let scene = |pods| {
            let scene = Scene::new(Deployment, &three).revision(1, &template("x:1"), 0, 0);
            scene.revision(2, &template("x:2"), pods, 0)
        };
        let unknown = "revision 1: the newest before the current one; how it fared is not known";
        check(&scene(1).revision(3, &three, 1, 0), None, &[], unknown);
        let failing = json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate"}]);
        check(&scene(0).with("/status/conditions", failing).revision(3, &three, 1, 0), None, &[], unknown);
        let doubtful = "the newest before the current one, although its own pods fail too";
        check(&two(Deployment, 0), None, &[], &format!("revision 1: {doubtful}"));
        // Somebody has just gone back to 1.
        let scene = Scene::new(Deployment, &template("x:1")).revision(1, &template("x:1"), 0, 0);
        check(&scene.revision(2, &template("x:2"), 1, 0), None, &[], &NoTarget::Unsettled.to_string());
        // A number that is none.
        let scene = Scene::new(Deployment, &three).revision(1, &template("x:1"), 3, 3);
        let annotations = json!({"deployment.kubernetes.io/revision": "one"});
        let scene = scene.with("/metadata/annotations", annotations).revision(3, &three, 1, 0);
        check(&scene, None, &[], "web-v1: 3 of 3 pods available now");
    }

    #[test]
    fn a_restart_is_no_change() {
        let restart = restarted("x:2");
        let scene = || {
            let scene = Scene::new(Deployment, &restart).revision(1, &template("x:1"), 0, 0);
            scene.revision(2, &template("x:2"), 3, 3).revision(3, &restart, 1, 0)
        };
        let unknown = "revision 1: the newest before the current one; how it fared is not known";
        check(&scene(), None, &[], unknown);
        // But it is what must be compared with.
        check_last_good(&scene(), "revision 2: 3 of 3 pods available now");
        // A restart of a bad one is bad.
        let four = template("x:4");
        let scene = Scene::new(Deployment, &four).revision(1, &template("x:1"), 0, 0);
        let scene = scene.revision(2, &template("x:2"), 0, 0).revision(3, &restart, 1, 1).revision(4, &four, 1, 0);
        check(&bad(scene, r#"["v2"]"#), None, &[], unknown);
    }

    #[test]
    fn what_is_compared_with_runs_or_ran() {
        let three = template("x:3");
        let scene = |pods| {
            let scene = Scene::new(Deployment, &three).revision(1, &template("x:1"), 0, 0);
            scene.revision(2, &template("x:2"), pods, 0).revision(3, &three, 1, 0)
        };
        check_last_good(&scene(3), "revision 2: 0 of 3 pods available now, yet no other has more");
        check_last_good(&scene(0), "revision 2: the newest before the current one; how it fared is not known");
        check_last_good(&Scene::new(Deployment, &three).revision(1, &three, 1, 0), "");
    }

    #[test]
    fn a_stateful_sets_last_good() {
        let (one, two, three) = (template("x:1"), template("x:2"), template("x:3"));
        let scene = |current: &str, partition: i32| {
            let scene = Scene::new(StatefulSet, &three).set("/status/currentRevision", current);
            let update = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": partition}});
            let scene = scene.set("/status/updateRevision", "web-v3").set("/spec/updateStrategy", update);
            scene.revision(1, &one, 0, 0).revision(2, &two, 0, 0).revision(3, &three, 0, 0)
        };
        let complete = "revision 1: the last one that was rolled out completely";
        check(&scene("web-v1", 0), None, &[], complete);
        check(&scene("web-v1", 0).pod("web-2", 2, true, &json!([])), None, &["web-v2"], complete);
        check(
            &bad(scene("web-v2", 0), r#"["web-v2"]"#).pod("web-0", 1, true, &json!([])),
            None,
            &[],
            "revision 1: 1 of 1 pods available now",
        );
        let unknown = "revision 2: the newest before the current one; how it fared is not known";
        check(&scene("web-v3", 0), None, &[], unknown);
        // 2 was a good canary above the partition.
        check(&scene("web-v1", 2), None, &["web-v1", "web-v2"], "revision 2: its pods were Ready before");
        let canary = |ordinal: &str| scene("web-v1", 2).pod(ordinal, 2, true, &json!([]));
        check(&canary("web-2"), None, &[], "revision 2: the newest whose pods from ordinal 2 on are Ready");
        check(&canary("web-1"), None, &[], complete);
        check(&canary("web-2").set("/spec/ordinals", json!({"start": 1})), None, &[], complete);
        check(&scene("web-v1", 2), None, &["web-v1"], complete);
        check(&scene("web-v1", 2), None, &[], complete);
        check(&bad(canary("web-2"), r#"["web-v2"]"#), None, &["web-v2"], complete);
    }

    #[test]
    fn a_daemon_sets_last_good() {
        check(&two(DaemonSet, 2), None, &[], "revision 1: 2 of 3 pods available now");
        // Ready for ten seconds only.
        let scene = |seconds: i32| two(DaemonSet, 2).set("/spec/minReadySeconds", seconds);
        check(&scene(10), None, &[], "revision 1: 2 of 3 pods available now");
        let doubtful = "revision 1: the newest before the current one, although its own pods fail too";
        check(&scene(11), None, &[], doubtful);
    }

    #[test]
    fn nothing_to_go_back_to() {
        let (one, two) = (template("x:1"), restarted("x:1"));
        let first = || Scene::new(Deployment, &two).revision(2, &two, 1, 0);
        check(&first(), None, &[], "this is the first rollout: there is no earlier revision");
        let none_kept = first().set("/spec/revisionHistoryLimit", 0);
        check(&none_kept, None, &[], "no earlier revision is kept: spec.revisionHistoryLimit is 0");
        let equal = first().revision(1, &one, 3, 3);
        check(&equal, None, &[], "every earlier revision has the template that is there now");
    }

    #[test]
    fn what_would_change_nothing() {
        let scene = two(Deployment, 3);
        let subject = scene.subject();
        let is_same = |number| is_same_as_current(subject.rollout, subject.revision(number).unwrap());
        assert!(!is_same(1));
        assert!(is_same(2));
    }

    #[test]
    fn versions_that_have_proven_bad() {
        #[track_caller]
        fn check(before: &str, expected: &[&str], after: &str) {
            let scene = bad(two(Deployment, 3), before);
            let rollout = scene.subject().rollout;
            let expected = expected.iter().map(|&version| VersionKey(version.to_owned())).collect();
            assert_eq!(bad_versions(rollout), expected);
            assert_eq!(with_bad_version(rollout, &VersionKey("v2".to_owned())), after);
        }
        check("", &[], r#"["v2"]"#);
        check("[]", &[], r#"["v2"]"#);
        check(r#"["v1"]"#, &["v1"], r#"["v1","v2"]"#);
        check(r#"["v2","v1"]"#, &["v1", "v2"], r#"["v1","v2"]"#);
        check(r#"["v1", 7, null, ""]"#, &["v1"], r#"["v1","v2"]"#);
        check(r#""v1""#, &["v1"], r#"["v1","v2"]"#);
        check("v1, v2", &[], r#"["v2"]"#);
        check(&json!(["x".repeat(MAX_VERSION_LENGTH + 1)]).to_string(), &[], r#"["v2"]"#);
        let many: Vec<String> = (0..MAX_BAD_VERSIONS + 5).map(|n| format!("bad{n}")).collect();
        let scene = bad(two(Deployment, 3), &json!(many).to_string());
        let text = with_bad_version(scene.subject().rollout, &VersionKey("v2".to_owned()));
        let list: Vec<String> = serde_json::from_str(&text).unwrap();
        assert_eq!(list.len(), MAX_BAD_VERSIONS);
        assert_eq!((list[0].as_str(), list[MAX_BAD_VERSIONS - 1].as_str()), ("bad6", "v2"));
    }
}
