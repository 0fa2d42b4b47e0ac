//! `RolloutStatus`, `RolloutResult` and `RolloutHistory`, the documents that pipelines read: their names and keys are a
//! contract and change only on purpose.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::changes::Change;
use crate::{
    diagnose::{self, Finding},
    document::{ProbeResult, maybe_with_milliseconds, with_milliseconds},
    model::Rollout,
};

/// How a rollout stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// `disruption/v1alpha1`.
    pub api_version: String,
    /// `RolloutStatus`.
    pub kind: String,
    /// What rolls out.
    pub workload: RolloutWorkload,
    /// The number of the revision that it rolls out to; null until the controller has made it.
    pub revision: Option<i64>,
    /// The version that its pods are labelled with; null until the controller has made it.
    pub version: Option<String>,
    /// In one word.
    pub phase: RolloutPhase,
    /// Its pods by numbers.
    pub counts: RolloutPods,
    /// In one sentence.
    pub message: String,
    /// What is wrong or must be waited for, what matters most first.
    pub findings: Vec<RolloutFinding>,
    /// The primary cause; null where nothing is wrong.
    pub cause: Option<RolloutCause>,
    /// Where an undo would lead, whether there is a reason for one or not; null where there is nowhere to go back to.
    pub undo_target: Option<UndoTarget>,
    /// Commands that help to go on.
    pub next: Vec<String>,
    /// The exit code of the command.
    pub exit_code: u8,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RolloutResult {
    /// `disruption/v1alpha1`.
    pub api_version: String,
    /// `RolloutResult`.
    pub kind: String,
    /// When it began, by the server's clock, in UTC with milliseconds.
    #[serde(serialize_with = "with_milliseconds")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(serialize_with = "with_milliseconds")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub finished_at: Timestamp,
    /// The exit code of the command.
    pub exit_code: u8,
    /// Why it did not end well; empty if it did.
    pub reason: String,
    /// The workloads in the order in which they were named.
    pub rollouts: Vec<RolloutEnd>,
    /// Commands that help to go on.
    pub next: Vec<String>,
}

/// The revisions of a workload.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RolloutHistory {
    /// `disruption/v1alpha1`.
    pub api_version: String,
    /// `RolloutHistory`.
    pub kind: String,
    /// Whose they are.
    pub workload: RolloutWorkload,
    /// Oldest first.
    pub revisions: Vec<HistoryRevision>,
}

/// A workload that rolls out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RolloutWorkload {
    /// `Deployment`, `StatefulSet` or `DaemonSet`.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

/// How a rollout stands, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum RolloutPhase {
    /// It proceeds, or has the time to.
    Progressing,
    /// It waits for something that passes by itself.
    Waiting,
    /// It does not proceed, and will not.
    Stalled,
    /// Somebody must do something: resume it, delete a pod, lift a quota.
    Blocked,
    /// Every pod is of its version and available, and no other is left.
    Complete,
    /// Somebody has rolled out another version since.
    Superseded,
    /// The workload was deleted.
    Gone,
}

/// The pods of a workload by numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RolloutPods {
    /// Pods that it wants.
    pub desired: i32,
    /// Pods of the newest version.
    pub updated: i32,
    /// Pods that are Ready, of the newest version or kept at theirs by a partition.
    pub ready: i32,
    /// The same that have been Ready for long enough.
    pub available: i32,
    /// Pods that have yet to go, without those that stop.
    pub old: i32,
    /// Pods that stop.
    pub terminating: i32,
}

/// Something that is wrong, or that must be waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RolloutFinding {
    /// A stable word.
    pub code: String,
    /// How much it proves.
    pub class: FindingClass,
    /// The pod, in the workload's namespace; null where there is none to show it.
    pub pod: Option<String>,
    /// The container; null where it is about none.
    pub container: Option<String>,
    /// Whether that container initialises.
    pub init: bool,
    /// How often it was seen, at least once.
    pub count: u32,
    /// In words.
    pub message: String,
}

/// How much a finding proves about a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum FindingClass {
    /// One sighting is proof.
    Fatal,
    /// Proof once it happened several times.
    Repeated,
    /// Proof once it lasted.
    Timed,
    /// It passes by itself.
    Transient,
    /// Not the version's fault.
    Environment,
    /// Somebody must do something else than undo it.
    Blocked,
}

/// Why a rollout does not proceed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RolloutCause {
    /// A stable word.
    pub code: String,
    /// How much it proves.
    pub class: FindingClass,
    /// In words.
    pub message: String,
    /// Whether this rollout changed what it is about; null where there is no earlier version to compare with, or where no
    /// version has to do with it: somebody holds the rollout up.
    pub changed: Option<bool>,
    /// What this rollout changed of it.
    pub paths: Vec<ChangedPath>,
}

/// A field of the pod template that a rollout changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ChangedPath {
    /// Such as `spec.containers[web].image`.
    pub path: String,
    /// Its value before; null where there was none.
    pub before: Option<Value>,
    /// Its value now; null where there is none.
    pub after: Option<Value>,
}

/// The revision that an undo would bring back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UndoTarget {
    /// Its number.
    pub revision: i64,
    /// Why this one.
    pub why: String,
    /// A unified diff of the pod template, from what it is to what it would be.
    pub diff: String,
}

/// How it ended with a workload.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RolloutEnd {
    /// The workload.
    pub workload: RolloutWorkload,
    /// In one word.
    pub outcome: RolloutOutcome,
    /// The primary cause; null where nothing was wrong.
    pub cause: Option<RolloutCause>,
    /// What was undone; null where nothing was.
    pub undo: Option<Undo>,
    /// What was requested meanwhile.
    pub probes: Vec<ProbeResult>,
}

/// How it ended with a workload, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum RolloutOutcome {
    /// The version is rolled out and stayed good.
    Complete,
    /// The version was to blame; another one is back and verified.
    Undone,
    /// The version was to blame; another one was brought back and could not be verified.
    UndoFailed,
    /// It stalled and nothing was changed.
    NotUndone,
    /// Somebody must do something else than undo it.
    Blocked,
    /// The time was over.
    Unfinished,
    /// Somebody has rolled out another version since.
    Superseded,
    /// The workload was deleted.
    Gone,
}

/// The undo of a rollout.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Undo {
    /// The number of the revision that was left; null where it had none.
    pub from: Option<i64>,
    /// The number that the revision which is back had before.
    pub to: i64,
    /// Whether it was seen to serve.
    pub verified: bool,
    /// From the change until it was verified, or was given up.
    pub seconds: f64,
}

/// One revision of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HistoryRevision {
    /// Its number.
    pub revision: i64,
    /// The version that its pods are labelled with.
    pub version: String,
    /// When it was created; null where that is unknown.
    #[serde(serialize_with = "maybe_with_milliseconds")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub created_at: Option<Timestamp>,
    /// Container to image.
    pub images: BTreeMap<String, String>,
    /// Its pods that are Ready; null where that is unknown.
    pub ready: Option<i32>,
    /// Why it was rolled out, in somebody's words; null where nobody said.
    pub change_cause: Option<String>,
    /// What is to be known about it.
    pub marks: Vec<RevisionMark>,
}

/// What is to be known about a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum RevisionMark {
    /// The workload asks for it.
    Current,
    /// The last that was seen to be good.
    LastGood,
    /// It was proven bad.
    Bad,
    /// It differs from the one before it by a restart only.
    RestartOnly,
}

impl RolloutWorkload {
    /// The workload of a rollout.
    pub fn of(rollout: &Rollout) -> Self {
        Self {
            kind: rollout.kind.as_str().to_owned(),
            namespace: rollout.name.namespace.clone(),
            name: rollout.name.name.clone(),
            uid: rollout.uid.0.clone(),
        }
    }
}

impl From<Change> for ChangedPath {
    fn from(change: Change) -> Self {
        let Change { path, before, after } = change;
        Self { path, before: before.map(Value::String), after: after.map(Value::String) }
    }
}

impl From<&Finding> for RolloutFinding {
    fn from(finding: &Finding) -> Self {
        let Finding { code, class, pod, container, is_init, node: _, count, since: _, message } = finding;
        Self {
            code: code.as_str().to_owned(),
            class: (*class).into(),
            pod: pod.as_ref().map(|pod| pod.name.clone()),
            container: container.clone(),
            init: *is_init,
            count: *count,
            message: message.clone(),
        }
    }
}

impl From<diagnose::Class> for FindingClass {
    fn from(class: diagnose::Class) -> Self {
        match class {
            diagnose::Class::Fatal => Self::Fatal,
            diagnose::Class::Repeated => Self::Repeated,
            diagnose::Class::Timed => Self::Timed,
            diagnose::Class::Transient => Self::Transient,
            diagnose::Class::Environment => Self::Environment,
            diagnose::Class::Blocked => Self::Blocked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        diagnose::{Class, Code},
        document::{API_VERSION, schema},
        fixture::now,
        model::{NodeName, ObjectName},
    };

    #[test]
    fn the_schemas_are_written_down() {
        schema::check_written::<RolloutStatus>("RolloutStatus");
        schema::check_written::<RolloutResult>("RolloutResult");
        schema::check_written::<RolloutHistory>("RolloutHistory");
    }

    /// The words that the design promises to programs.
    #[test]
    fn the_contract() {
        #[track_caller]
        fn check<D: schemars::JsonSchema>(keys: &[(&str, &str)], values: &[(&str, &str)]) {
            let schema = schema::of::<D>();
            for (of, expected) in keys {
                assert_eq!(schema.keys(of), *expected, "keys of {of}");
            }
            for (of, expected) in values {
                assert_eq!(schema.values(of), *expected, "values of {of}");
            }
        }
        let workload = ("RolloutWorkload", "kind name namespace uid");
        let cause = ("RolloutCause", "changed class code message paths");
        let path = ("ChangedPath", "after before path");
        let class = ("FindingClass", "Blocked Environment Fatal Repeated Timed Transient");
        check::<RolloutStatus>(
            &[
                (
                    "",
                    "apiVersion cause counts exitCode findings kind message next phase revision undoTarget version workload",
                ),
                workload,
                ("RolloutPods", "available desired old ready terminating updated"),
                ("RolloutFinding", "class code container count init message pod"),
                cause,
                path,
                ("UndoTarget", "diff revision why"),
            ],
            &[class, ("RolloutPhase", "Blocked Complete Gone Progressing Stalled Superseded Waiting")],
        );
        check::<RolloutResult>(
            &[
                ("", "apiVersion exitCode finishedAt kind next reason rollouts startedAt"),
                workload,
                ("RolloutEnd", "cause outcome probes undo workload"),
                cause,
                path,
                ("Undo", "from seconds to verified"),
                ("ProbeResult", "failures longestGapSeconds requests url"),
            ],
            &[class, ("RolloutOutcome", "Blocked Complete Gone NotUndone Superseded UndoFailed Undone Unfinished")],
        );
        check::<RolloutHistory>(
            &[
                ("", "apiVersion kind revisions workload"),
                workload,
                ("HistoryRevision", "changeCause createdAt images marks ready revision version"),
            ],
            &[("RevisionMark", "Bad Current LastGood RestartOnly")],
        );
    }

    fn workload() -> RolloutWorkload {
        let word = str::to_owned;
        RolloutWorkload { kind: word("Deployment"), namespace: word("shop"), name: word("web"), uid: word("u") }
    }

    #[test]
    fn a_stalled_rollout() {
        let finding = Finding {
            code: Code::ImageNotFound,
            class: Class::Fatal,
            pod: Some(ObjectName::new("shop", "web-6d4-x")),
            container: Some("web".into()),
            is_init: false,
            node: Some(NodeName("n1".into())),
            count: 3,
            since: Some(now()),
            message: "image \"web:2\" not found".into(),
        };
        let finding = RolloutFinding::from(&finding);
        let (before, after) = (Some("web:1".into()), Some("web:2".into()));
        let cause = RolloutCause {
            code: finding.code.clone(),
            class: finding.class,
            message: finding.message.clone(),
            changed: Some(true),
            paths: vec![Change { path: "spec.containers[web].image".into(), before, after }.into()],
        };
        insta::assert_json_snapshot!(RolloutStatus {
            api_version: API_VERSION.into(),
            kind: "RolloutStatus".into(),
            workload: workload(),
            revision: Some(2),
            version: Some("6d4".into()),
            phase: RolloutPhase::Stalled,
            counts: RolloutPods { desired: 2, updated: 1, ready: 0, available: 0, old: 2, terminating: 0 },
            message: "1 of 2 pods updated".into(),
            findings: vec![finding],
            cause: Some(cause),
            undo_target: Some(UndoTarget { revision: 1, why: "2 of 2 pods ready".into(), diff: String::new() }),
            next: vec!["kubectl rollout-guard undo deployment/web".into()],
            exit_code: 9,
        });
    }

    #[test]
    fn a_run_that_undid() {
        let undo = Undo { from: Some(2), to: 1, verified: true, seconds: 12.5 };
        let end = RolloutEnd {
            workload: workload(),
            outcome: RolloutOutcome::Undone,
            cause: None,
            undo: Some(undo),
            probes: vec![ProbeResult { url: "http://web".into(), requests: 9, failures: 0, longest_gap_seconds: 0.2 }],
        };
        insta::assert_json_snapshot!(RolloutResult {
            api_version: API_VERSION.into(),
            kind: "RolloutResult".into(),
            started_at: now(),
            finished_at: now() + jiff::SignedDuration::from_millis(31_250),
            exit_code: 7,
            reason: "stalled and undone".into(),
            rollouts: vec![end],
            next: Vec::new(),
        });
    }
}
