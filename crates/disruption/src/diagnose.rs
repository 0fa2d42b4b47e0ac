//! Diagnosis: what is wrong with a workload's pods, from statuses, conditions and incidents.
//!
//! One look at one moment: how often and how long it must be so before it counts is decided by
//! [`crate::rollout::verdict`].

mod code;
mod container;
mod crash;
mod create;
mod pod;
mod probe;
mod pull;
mod schedule;
mod setup;
#[cfg(test)]
mod tests;
mod text;
mod workload;

use std::collections::BTreeSet;

use jiff::Timestamp;

pub use self::code::Code;
use crate::{
    model::{ContainerRole, ContainerStatus, NodeName, ObjectName, PodStatus},
    rollout::view::Subject,
};

/// Something that is wrong, or that must be waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub code: Code,
    /// How much it proves.
    pub class: Class,
    /// The pod; none where the workload has no pod to show it.
    pub pod: Option<ObjectName>,
    /// The container.
    pub container: Option<String>,
    /// Whether that is one that initialises.
    pub is_init: bool,
    /// The pod's node.
    pub node: Option<NodeName>,
    /// How often it was seen: restarts of a container, tries of a pull, refusals of a pod. At least 1.
    pub count: u32,
    /// Since when, as far as objects tell.
    pub since: Option<Timestamp>,
    /// In one line, without names that change with each try: `image "nginx:1.17.23" not found`.
    pub message: String,
}

/// How much a finding proves about a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
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

/// Everything that is wrong with the pods of the current version, and with the workload itself. Pods that are being
/// deleted or have been replaced show nothing.
///
/// [`Code::ReadinessFlaps`] alone is never among it: one moment does not show it.
pub fn diagnose(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = pod::all(subject);
    findings.extend(workload::all(subject));
    let explains = |finding: &Finding| !matches!(finding.code, Code::Restarted | Code::TerminatingStuck);
    if !findings.iter().any(explains) {
        findings.extend(workload::deadline(subject));
    }
    findings
}

/// What is wrong with one pod, of whatever version.
pub fn of_pod(subject: &Subject<'_>, pod: &PodStatus) -> Vec<Finding> {
    pod::of(subject, pod)
}

/// That the controller has given the current version up, whatever else explains it.
pub fn deadline(subject: &Subject<'_>) -> Option<Finding> {
    workload::deadline(subject)
}

/// The finding that a report names first: of the class that proves most, then the one that most pods share, then the
/// newest.
pub fn primary(findings: &[Finding]) -> Option<&Finding> {
    let pods = |code: Code| {
        let same = findings.iter().filter(|finding| finding.code == code);
        same.filter_map(|finding| finding.pod.as_ref()).collect::<BTreeSet<_>>().len()
    };
    let weight = |finding: &&Finding| (finding.class.weight(), pods(finding.code), finding.since);
    // Of equals the first.
    findings.iter().rev().max_by_key(weight)
}

impl Class {
    /// Every class, the one that proves most first.
    pub const ALL: [Self; 6] =
        [Self::Fatal, Self::Repeated, Self::Timed, Self::Blocked, Self::Environment, Self::Transient];

    /// Its name in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fatal => "Fatal",
            Self::Repeated => "Repeated",
            Self::Timed => "Timed",
            Self::Transient => "Transient",
            Self::Environment => "Environment",
            Self::Blocked => "Blocked",
        }
    }

    fn weight(self) -> usize {
        Self::ALL.iter().rev().position(|class| *class == self).unwrap_or_default()
    }
}

impl Finding {
    /// About the workload as a whole.
    fn new(code: Code, class: Class, message: &str) -> Self {
        Self {
            code,
            class,
            pod: None,
            container: None,
            is_init: false,
            node: None,
            count: 1,
            since: None,
            message: text::clean(message),
        }
    }

    fn of_pod(self, pod: &PodStatus) -> Self {
        let message = text::without_pod(&self.message, pod);
        Self { pod: Some(pod.name.clone()), node: pod.node.clone(), message, ..self }
    }

    fn of_container(self, container: &ContainerStatus) -> Self {
        let is_init = container.role != ContainerRole::Main;
        Self { container: Some(container.name.clone()), is_init, ..self }
    }

    /// At least once.
    fn seen(self, count: u32) -> Self {
        Self { count: count.max(1), ..self }
    }

    fn since(self, since: Option<Timestamp>) -> Self {
        Self { since, ..self }
    }
}
