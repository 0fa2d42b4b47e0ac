//! Whether the new version is to blame for what is wrong: what did this rollout change that it can come from, and does
//! the version before fare better?

use serde_json::Value;

use self::Place::{Any, At, Else, Own};
use super::{
    changes::{Change, changes},
    references::{Reference, references},
    target::shown,
    view::Subject,
};
use crate::{
    diagnose::{Class, Code, Finding},
    model::{PodStatus, Revision},
};

/// Who is to blame for a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blame {
    /// Whose fault it is.
    pub fault: Fault,
    /// What was changed of it, what tells most first.
    pub paths: Vec<Change>,
    /// Why, in a sentence without an end: `since revision 7 spec.containers[web].image changed from x:1 to x:2`.
    pub sentence: String,
}

/// Whose fault a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The version's: this rollout changed something that it can come from, and the pods of the version before are better
    /// off.
    Version,
    /// Not the version's alone: the pods of the version before fail too.
    OldPodsToo,
    /// Not the version's: this rollout changed nothing that it can come from.
    Unchanged,
    /// Nobody's: somebody holds the rollout up, whatever the version.
    Held,
    /// Unknown: there is no earlier version to compare with.
    FirstRollout,
}

/// A place in a template.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// A field of the container that the finding is about; empty for all of it.
    Own(&'static str),
    /// A field of whatever container.
    Any(&'static str),
    /// A field of the pod.
    At(&'static str),
    /// Everything else.
    Else,
}

/// What codes are alike: a pod of one version may show one, and a pod of another version another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Pull,
    Start,
    Run,
    Volume,
    Placement,
    Creation,
}

/// What makes no difference to pods that start and run.
const IMMATERIAL: [&str; 4] = [
    "metadata.labels[helm.sh/chart]",
    "metadata.labels[app.kubernetes.io/version]",
    "metadata.labels[app.kubernetes.io/managed-by]",
    "spec.terminationGracePeriodSeconds",
];

/// The longest value in a sentence, in characters; the list has all of it.
const MAX_VALUE_LENGTH: usize = 60;

/// Blames the new version or not. `last_good` is what it is compared with ([`super::target::last_good`]), none in a first
/// rollout; `findings_of` tells what is wrong with a pod of that one.
pub fn blame(
    last_good: Option<&Revision>,
    finding: &Finding,
    subject: &Subject<'_>,
    findings_of: impl Fn(&PodStatus) -> Vec<Finding>,
) -> Blame {
    let of = |fault, paths, sentence: String| Blame { fault, paths, sentence };
    if matches!(finding.code, Code::Paused | Code::OnDelete | Code::OrdinalStuck) {
        return of(Fault::Held, Vec::new(), "no version is to blame for it".to_owned());
    }
    let Some(last_good) = last_good else {
        return of(Fault::FirstRollout, Vec::new(), "there is no earlier version to compare with".to_owned());
    };
    let paths = changes_behind(finding, &last_good.template, &subject.rollout.template);
    let revision = shown(last_good);
    let Some(first) = paths.first() else {
        let sentence = format!("nothing that it can come from changed since {revision}");
        return of(Fault::Unchanged, paths, sentence);
    };
    if old_pods_suffer(subject, last_good, finding, findings_of) {
        return of(Fault::OldPodsToo, paths, format!("the pods of {revision} fail too"));
    }
    let sentence = format!("since {revision} {}", told(first, paths.len() - 1));
    of(Fault::Version, paths, sentence)
}

impl Blame {
    /// Whether a finding proves the version bad: it is the version's fault, and neither passes by itself nor lies with
    /// what surrounds the pods, such as a registry that does not answer for the new image.
    pub fn proves_bad(&self, finding: &Finding) -> bool {
        self.fault == Fault::Version && !matches!(finding.class, Class::Environment | Class::Transient)
    }
}

impl Fault {
    /// Whether this rollout changed something that the finding can come from; none where no template has to do with it, or
    /// there is none to compare with.
    pub const fn is_changed(self) -> Option<bool> {
        match self {
            Self::Version | Self::OldPodsToo => Some(true),
            Self::Unchanged => Some(false),
            Self::Held | Self::FirstRollout => None,
        }
    }
}

/// Whether the pods of the last good version fail the same way now. Of what keeps pods from starting one is enough: the
/// others have started before. Of what befalls pods that run, half of them must: some pod fails on any day.
fn old_pods_suffer(
    subject: &Subject<'_>,
    last_good: &Revision,
    finding: &Finding,
    findings_of: impl Fn(&PodStatus) -> Vec<Finding>,
) -> bool {
    let family = family(finding.code);
    if family == Some(Family::Creation) {
        return last_good.failure.is_some();
    }
    let is_alike = |other: &Finding| {
        other.class != Class::Transient
            && (other.code == finding.code || (family.is_some() && self::family(other.code) == family))
    };
    let mut pods = subject.pods_of(&last_good.version);
    pods.retain(|pod| !pod.is_finished());
    let suffering = pods.iter().filter(|pod| findings_of(pod).iter().any(is_alike)).count();
    let enough = if family == Some(Family::Run) { pods.len().div_ceil(2) } else { 1 };
    suffering > 0 && suffering >= enough
}

/// What changed between two templates that a finding can come from, what tells most first.
fn changes_behind(finding: &Finding, before: &Value, after: &Value) -> Vec<Change> {
    let places = places(finding.code);
    let own = finding.container.as_deref();
    let is_placed_by_labels = family(finding.code) == Some(Family::Placement);
    let is_label_seen = |path: &str| label(path).is_some_and(|key| is_seen_by_scheduler(key, finding, [before, after]));
    let rank = |Change { path, .. }: &Change| {
        let label = || (is_placed_by_labels && is_label_seen(path)).then_some(places.len());
        places.iter().position(|place| place.holds(path, own)).or_else(label)
    };
    let changes = changes(before, after).into_iter().filter(|change| matters(&change.path));
    let mut ranked: Vec<(usize, Change)> = changes.filter_map(|change| Some((rank(&change)?, change))).collect();
    ranked.sort_by_key(|(rank, change)| (*rank, is_own_name(&change.path)));
    let found: Vec<Change> = ranked.into_iter().map(|(_, change)| change).collect();
    if matches!(finding.code, Code::ConfigMissing | Code::VolumeMissing) {
        return changes_of_named(finding, before, after, found);
    }
    found
}

/// Of changes those that are about the object that the finding names: none if the version before needed it too, all if
/// it names none.
fn changes_of_named(finding: &Finding, before: &Value, after: &Value, found: Vec<Change>) -> Vec<Change> {
    let is_named = |word: &str| finding.message.contains(&format!("\"{word}\""));
    let mut missing: Vec<Reference> = references(after);
    missing.retain(|reference| is_named(&reference.name));
    let known = references(before);
    // Of a missing object the message names no key, and so all were needed.
    let was_needed = |reference: &Reference| {
        known.iter().any(|old| {
            let has_keys = reference.keys.iter().filter(|key| is_named(key)).all(|key| old.keys.contains(key));
            (old.kind, &old.name) == (reference.kind, &reference.name) && has_keys && !old.is_optional
        })
    };
    if !missing.is_empty() && missing.iter().all(was_needed) {
        return Vec::new();
    }
    let is_about = |change: &Change| {
        let names = missing.iter().flat_map(|reference| reference.keys.iter().chain([&reference.name]));
        names
            .filter(|name| is_named(name))
            .any(|name| change.after.as_ref() == Some(name) || change.path.contains(&format!("[{name}]")))
    };
    let (about, others): (Vec<Change>, Vec<Change>) = found.into_iter().partition(is_about);
    if about.is_empty() { others } else { about }
}

/// The key of the pod's label that a path leads to.
fn label(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("metadata.labels")?;
    rest.strip_prefix('.').or_else(|| rest.strip_prefix('[')?.strip_suffix(']'))
}

/// Whether a label has to do with where a pod may run: one that the pod's own affinities or spreads count by, in whichever
/// template; any, where the scheduler says that it is kept away by the anti-affinity of other pods (their selectors are
/// not read; the words are `ErrReasonExistingAntiAffinityRulesNotMatch`).
fn is_seen_by_scheduler(key: &str, finding: &Finding, templates: [&Value; 2]) -> bool {
    const RULES: [&str; 3] =
        ["/spec/affinity/podAffinity", "/spec/affinity/podAntiAffinity", "/spec/topologySpreadConstraints"];
    let rules = templates.into_iter().flat_map(|template| RULES.iter().filter_map(|rule| template.pointer(rule)));
    finding.message.contains("existing pods anti-affinity") || rules.into_iter().any(|rule| selects_by(rule, key))
}

/// Whether a selector of pods somewhere in a rule names the label.
fn selects_by(rule: &Value, key: &str) -> bool {
    match rule {
        Value::Object(fields) => fields.iter().any(|(name, field)| match (name.as_str(), field) {
            ("matchLabels", Value::Object(labels)) => labels.contains_key(key),
            ("matchLabelKeys" | "mismatchLabelKeys", Value::Array(keys)) => keys.iter().any(|other| other == key),
            ("matchExpressions", Value::Array(terms)) => terms.iter().any(|term| term["key"] == key),
            // Those are labels of namespaces.
            ("namespaceSelector", _) => false,
            (_, field) => selects_by(field, key),
        }),
        Value::Array(items) => items.iter().any(|item| selects_by(item, key)),
        _ => false,
    }
}

impl Place {
    /// Whether a path leads to it, or below; `own` is the container that the finding is about, none for any.
    fn holds(self, path: &str, own: Option<&str>) -> bool {
        match self {
            Any(wanted) => in_container(path).is_some_and(|(_, field)| is_below(field, wanted)),
            Own(wanted) => in_container(path)
                .is_some_and(|(name, field)| own.is_none_or(|own| own == name) && is_below(field, wanted)),
            At(wanted) => is_below(path, wanted),
            Else => true,
        }
    }
}

/// The container that a path leads into, and the way from there.
fn in_container(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix("spec.containers[").or_else(|| path.strip_prefix("spec.initContainers["))?;
    rest.split_once(']').map(|(name, field)| (name, field.trim_start_matches('.')))
}

/// Whether a path leads to the name that an item of a list goes by in the path itself, which tells nothing more.
fn is_own_name(path: &str) -> bool {
    path.ends_with("].name")
}

/// Whether what a path leads to can make a difference to pods that start and run.
fn matters(path: &str) -> bool {
    let is_pre_stop = in_container(path).is_some_and(|(_, field)| is_below(field, "lifecycle.preStop"));
    !is_pre_stop && !IMMATERIAL.contains(&path)
}

fn is_below(path: &str, wanted: &str) -> bool {
    let rest = path.strip_prefix(wanted);
    wanted.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// What a finding can come from, what tells most first.
fn places(code: Code) -> &'static [Place] {
    match code {
        Code::ImageNotFound
        | Code::ImageInvalid
        | Code::ImageNeverPulled
        | Code::ImageUnauthorized
        | Code::RegistryUnavailable
        | Code::ImageUntrusted
        | Code::ImagePullFailed
        | Code::ImagePulling => PULL,
        Code::ConfigMissing => CONFIG,
        Code::RunsAsRoot => &[Own("securityContext"), At("spec.securityContext"), Own("image")],
        Code::VolumeMissing | Code::VolumeMount => VOLUMES,
        Code::ContainerConfig | Code::ContainerCreate | Code::CommandFailed | Code::ContainerStart => START,
        Code::PostStartFailed => &[Own("lifecycle.postStart"), Own("image"), Own("command"), Own("args"), Else],
        Code::CrashLoop | Code::Exits | Code::Restarted | Code::InitRunning => RUN,
        Code::OutOfMemory => MEMORY,
        Code::NotReady | Code::ReadinessFlaps => READINESS,
        Code::StartupFailed | Code::Starting => STARTUP,
        Code::LivenessFailed => LIVENESS,
        Code::ReadinessGate => &[At("spec.readinessGates"), Own("readinessProbe"), Own("ports"), At("metadata")],
        Code::Sandbox => &[
            At("spec.runtimeClassName"),
            At("spec.hostNetwork"),
            At("spec.securityContext"),
            At("spec.hostUsers"),
            At("metadata.annotations"),
        ],
        Code::PodRejected
        | Code::NoNodeMatches
        | Code::NoRoom
        | Code::ClaimPending
        | Code::Unschedulable
        | Code::SchedulingGated
        | Code::Scheduling => PLACEMENT,
        Code::PodEvicted => &[
            Any("resources"),
            At("spec.resources"),
            At("spec.volumes"),
            At("spec.priorityClassName"),
            At("spec.tolerations"),
            Any("image"),
            Any("command"),
            Any("args"),
            Any("env"),
            Any("envFrom"),
        ],
        Code::QuotaExceeded => &[
            Any("resources"),
            At("spec.resources"),
            At("spec.overhead"),
            At("spec.runtimeClassName"),
            At("spec.priorityClassName"),
        ],
        Code::PodInvalid | Code::PodSecurity => CREATION,
        Code::ServiceAccountMissing => &[At("spec.serviceAccountName"), At("spec.serviceAccount")],
        Code::ClassMissing => &[At("spec.priorityClassName"), At("spec.runtimeClassName")],
        Code::Creating
        | Code::AdmissionDenied
        | Code::CreateFailed
        | Code::ReplicaSetFailed
        | Code::DeadlineExceeded
        | Code::ProbeFailed
        | Code::Unknown => &[Else],
        // No template makes these.
        Code::NodeLost
        | Code::WebhookUnavailable
        | Code::NamespaceTerminating
        | Code::Paused
        | Code::OnDelete
        | Code::OrdinalStuck
        | Code::TerminatingStuck
        | Code::NotObserved => &[],
    }
}

/// A service account brings pull secrets along, and a node its platform and what it has pulled before. An image that this
/// rollout changed is to blame for a refusal, too, even if only its tag is another one: credentials that have expired are
/// told by old pods that are refused as well, and an undo brings back what the nodes have pulled before.
const PULL: &[Place] = &[
    Own("image"),
    Own("imagePullPolicy"),
    At("spec.imagePullSecrets"),
    At("spec.serviceAccountName"),
    At("spec.nodeSelector"),
    At("spec.affinity"),
];

const CONFIG: &[Place] = &[Own("env"), Own("envFrom"), At("spec.volumes")];

const VOLUMES: &[Place] = &[At("spec.volumes"), Own("volumeMounts"), At("spec.securityContext")];

const START: &[Place] = &[
    Own("command"),
    Own("args"),
    Own("image"),
    Own("workingDir"),
    Own("securityContext"),
    Own("volumeMounts"),
    Own("env"),
    Own("envFrom"),
    Own(""),
    At("spec.securityContext"),
    At("spec.volumes"),
    At("spec.runtimeClassName"),
    At("spec.nodeSelector"),
    At("spec.affinity"),
];

/// A process may depend on all that its pod is given, and on the containers beside it.
const RUN: &[Place] = &[
    Own("image"),
    Own("command"),
    Own("args"),
    Own("env"),
    Own("envFrom"),
    Own(""),
    Any(""),
    At("spec.volumes"),
    At("metadata.annotations"),
    Else,
];

/// With annotations, as those with a checksum tell of a new configuration.
const MEMORY: &[Place] = &[
    Own("resources.limits.memory"),
    Own("image"),
    Own("command"),
    Own("args"),
    Own("env"),
    Own("envFrom"),
    Own("resources"),
    Own("volumeMounts"),
    At("spec.resources"),
    At("spec.volumes"),
    At("metadata.annotations"),
];

/// What a probe asks tells more than how often. The rest is as for any process that runs.
const READINESS: &[Place] = &[
    Own("readinessProbe.httpGet"),
    Own("readinessProbe.tcpSocket"),
    Own("readinessProbe.grpc"),
    Own("readinessProbe.exec"),
    Own("readinessProbe"),
    Own("ports"),
    Own("image"),
    Own("command"),
    Own("args"),
    Own("env"),
    Own("envFrom"),
    Own(""),
    At("spec.volumes"),
    At("metadata.annotations"),
    Else,
];

const STARTUP: &[Place] = &[
    Own("startupProbe.httpGet"),
    Own("startupProbe.tcpSocket"),
    Own("startupProbe.grpc"),
    Own("startupProbe.exec"),
    Own("startupProbe"),
    Own("ports"),
    Own("image"),
    Own("command"),
    Own("args"),
    Own("env"),
    Own("envFrom"),
    Own(""),
    At("spec.volumes"),
    At("metadata.annotations"),
    Else,
];

const LIVENESS: &[Place] = &[
    Own("livenessProbe.httpGet"),
    Own("livenessProbe.tcpSocket"),
    Own("livenessProbe.grpc"),
    Own("livenessProbe.exec"),
    Own("livenessProbe"),
    Own("ports"),
    Own("image"),
    Own("command"),
    Own("args"),
    Own("env"),
    Own("envFrom"),
    Own(""),
    At("spec.volumes"),
    At("metadata.annotations"),
    Else,
];

/// Limits stand for requests that are not given. Labels are looked at apart ([`is_seen_by_scheduler`]).
const PLACEMENT: &[Place] = &[
    At("spec.nodeSelector"),
    At("spec.affinity"),
    At("spec.tolerations"),
    Any("resources.requests"),
    Any("resources.limits"),
    At("spec.resources"),
    At("spec.volumes"),
    Any("ports"),
    At("spec.topologySpreadConstraints"),
    At("spec.nodeName"),
    At("spec.schedulerName"),
    At("spec.schedulingGates"),
    At("spec.resourceClaims"),
    At("spec.priorityClassName"),
    At("spec.runtimeClassName"),
    At("spec.overhead"),
    At("spec.hostNetwork"),
];

const CREATION: &[Place] = &[
    Any("resources"),
    At("spec.resources"),
    Any("securityContext"),
    At("spec.securityContext"),
    At("spec.hostNetwork"),
    At("spec.hostPID"),
    At("spec.hostIPC"),
    At("spec.volumes"),
    Any("ports"),
    At("spec.serviceAccountName"),
    At("spec.priorityClassName"),
    At("spec.runtimeClassName"),
    At("metadata.annotations"),
];

fn family(code: Code) -> Option<Family> {
    match code {
        Code::ImageNotFound
        | Code::ImageInvalid
        | Code::ImageNeverPulled
        | Code::ImageUnauthorized
        | Code::RegistryUnavailable
        | Code::ImageUntrusted
        | Code::ImagePullFailed => Some(Family::Pull),
        Code::ConfigMissing
        | Code::RunsAsRoot
        | Code::ContainerConfig
        | Code::ContainerCreate
        | Code::CommandFailed
        | Code::ContainerStart
        | Code::PostStartFailed => Some(Family::Start),
        Code::CrashLoop
        | Code::Exits
        | Code::OutOfMemory
        | Code::LivenessFailed
        | Code::StartupFailed
        | Code::NotReady
        | Code::ProbeFailed
        | Code::ReadinessFlaps => Some(Family::Run),
        Code::VolumeMissing | Code::VolumeMount => Some(Family::Volume),
        Code::NoNodeMatches | Code::NoRoom | Code::ClaimPending | Code::Unschedulable => Some(Family::Placement),
        Code::QuotaExceeded
        | Code::PodInvalid
        | Code::PodSecurity
        | Code::AdmissionDenied
        | Code::WebhookUnavailable
        | Code::ServiceAccountMissing
        | Code::ClassMissing
        | Code::NamespaceTerminating
        | Code::CreateFailed => Some(Family::Creation),
        Code::ImagePulling
        | Code::InitRunning
        | Code::Restarted
        | Code::Starting
        | Code::ReadinessGate
        | Code::Creating
        | Code::Sandbox
        | Code::PodRejected
        | Code::PodEvicted
        | Code::NodeLost
        | Code::ReplicaSetFailed
        | Code::SchedulingGated
        | Code::Scheduling
        | Code::Paused
        | Code::OnDelete
        | Code::OrdinalStuck
        | Code::TerminatingStuck
        | Code::DeadlineExceeded
        | Code::NotObserved
        | Code::Unknown => None,
    }
}

fn told(change: &Change, others: usize) -> String {
    let Change { path, before, after } = change;
    let short = |value: &String| match value.char_indices().nth(MAX_VALUE_LENGTH) {
        None => value.clone(),
        Some(_) => value.chars().take(MAX_VALUE_LENGTH - 1).chain(['…']).collect(),
    };
    let what = match (before.as_ref().map(short), after.as_ref().map(short)) {
        (Some(before), Some(after)) => format!("{path} changed from {before} to {after}"),
        (None, Some(after)) => format!("{path} is new ({after})"),
        (Some(before), None) => format!("{path} is gone (it was {before})"),
        (None, None) => format!("{path} changed"),
    };
    match others {
        0 => what,
        1 => format!("{what}, and 1 other field"),
        _ => format!("{what}, and {others} other fields"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        Fault::{FirstRollout, Held, OldPodsToo, Unchanged, Version},
        *,
    };
    use crate::{
        model::RolloutKind::{self, Deployment, StatefulSet},
        rollout::{
            fixture::{Scene, template},
            target,
        },
    };

    fn finding(code: Code, message: &str) -> Finding {
        Finding {
            code,
            class: Class::Fatal,
            pod: None,
            container: Some("web".to_owned()),
            is_init: false,
            node: None,
            count: 1,
            since: None,
            message: message.to_owned(),
        }
    }

    /// A template after some changes: `("/spec/containers/0/image", "x:2")`.
    fn with(changes: &[(&str, Value)]) -> Value {
        let mut template = template("x:1");
        for (pointer, value) in changes {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            template.pointer_mut(parent).unwrap()[key] = value.clone();
        }
        template
    }

    #[test]
    fn what_proves_a_version_bad() {
        #[track_caller]
        fn check(fault: Fault, class: Class, expected: bool) {
            let blame = Blame { fault, paths: Vec::new(), sentence: String::new() };
            let finding = Finding { class, ..finding(Code::ImagePullFailed, "") };
            assert_eq!(blame.proves_bad(&finding), expected, "{fault:?} {class:?}");
        }
        for class in [Class::Fatal, Class::Repeated, Class::Timed] {
            check(Version, class, true);
            for fault in [OldPodsToo, Unchanged, Held, FirstRollout] {
                check(fault, class, false);
            }
        }
        check(Version, Class::Environment, false);
        check(Version, Class::Transient, false);
    }

    /// What a finding can come from, by paths.
    #[track_caller]
    fn check_between(before: &Value, after: &Value, finding: &Finding, expected: &[&str]) {
        let paths: Vec<String> = changes_behind(finding, before, after).into_iter().map(|change| change.path).collect();
        assert_eq!(paths, expected, "{finding:?}");
    }

    #[track_caller]
    fn check(code: Code, changes: &[(&str, Value)], expected: &[&str]) {
        check_between(&template("x:1"), &with(changes), &finding(code, ""), expected);
    }

    const IMAGE: &str = "/spec/containers/0/image";
    const ENV: &str = "/spec/containers/0/env";
    const RESOURCES: &str = "/spec/containers/0/resources";

    #[test]
    fn what_findings_come_from() {
        let image = || (IMAGE, json!("x:2"));
        let labels = || ("/metadata/labels/tier", json!("front"));
        let env = || (ENV, json!([{"name": "A", "value": "b"}]));
        let node = || ("/spec/nodeSelector", json!({"disk": "ssd"}));
        let memory = || (RESOURCES, json!({"limits": {"memory": "1Gi"}, "requests": {"cpu": "1"}}));
        let probe = || ("/spec/containers/0/readinessProbe", json!({"periodSeconds": 1}));
        let checksum = || ("/metadata/annotations", json!({"checksum/config": "b"}));
        let all = || [labels(), image(), env(), node(), memory(), probe(), checksum()];

        let (image_path, env_path) = ("spec.containers[web].image", "spec.containers[web].env[A].value");
        let env_name = "spec.containers[web].env[A].name";
        let (limit, request) =
            ("spec.containers[web].resources.limits.memory", "spec.containers[web].resources.requests.cpu");
        let (label, disk) = ("metadata.labels.tier", "spec.nodeSelector.disk");
        let (period, sum) =
            ("spec.containers[web].readinessProbe.periodSeconds", "metadata.annotations[checksum/config]");
        check(Code::ImageNotFound, &all(), &[image_path, disk]);
        check(Code::ImageNotFound, &[env(), labels()], &[]);
        check(
            Code::ImageUnauthorized,
            &[("/spec/imagePullSecrets", json!([{"name": "p"}]))],
            &["spec.imagePullSecrets[p].name"],
        );
        check(Code::ConfigMissing, &all(), &[env_path, env_name]);
        check(Code::OutOfMemory, &all(), &[limit, image_path, env_path, env_name, request, sum]);
        check(Code::NotReady, &all(), &[period, image_path, env_path, env_name, limit, request, sum, label, disk]);
        check(
            Code::LivenessFailed,
            &all(),
            &[image_path, env_path, env_name, period, limit, request, sum, label, disk],
        );
        let get = json!({"periodSeconds": 1, "httpGet": {"path": "/"}});
        let path = "spec.containers[web].readinessProbe.httpGet.path";
        check(Code::NotReady, &[("/spec/containers/0/readinessProbe", get)], &[path, period]);
        check(Code::CrashLoop, &all(), &[image_path, env_path, env_name, period, limit, request, sum, label, disk]);
        check(Code::NoRoom, &all(), &[disk, request, limit]);
        check(Code::NoNodeMatches, &[image(), env()], &[]);
        check(Code::QuotaExceeded, &all(), &[limit, request]);
        check(Code::QuotaExceeded, &[image(), checksum()], &[]);
        check(Code::PodInvalid, &all(), &[limit, request, sum]);
        check(Code::ServiceAccountMissing, &all(), &[]);
        check(Code::ServiceAccountMissing, &[("/spec/serviceAccountName", json!("b"))], &["spec.serviceAccountName"]);
        check(
            Code::VolumeMount,
            &[image(), ("/spec/volumes", json!([{"name": "v", "hostPath": {"path": "/"}}]))],
            &["spec.volumes[v].hostPath.path", "spec.volumes[v].name"],
        );
        check(
            Code::CommandFailed,
            &[("/spec/containers/0/command", json!(["x"])), labels()],
            &["spec.containers[web].command"],
        );
        check(Code::NodeLost, &all(), &[]);
        check(Code::WebhookUnavailable, &all(), &[]);
        check(Code::Unknown, &[labels(), image()], &[label, image_path]);
    }

    #[test]
    fn labels_that_the_scheduler_looks_at() {
        /// Both templates have the rule, so that the label alone has changed.
        #[track_caller]
        fn check_with(rule: &[(&str, Value)], label: (&str, Value), expected: &[&str]) {
            let after = with(&[rule, &[label]].concat());
            for code in [Code::NoRoom, Code::NoNodeMatches, Code::Unschedulable] {
                check_between(&with(rule), &after, &finding(code, ""), expected);
            }
            check_between(&with(rule), &after, &finding(Code::SchedulingGated, ""), &[]);
        }
        let tier = || ("/metadata/labels/tier", json!("front"));
        let path = "metadata.labels.tier";
        let affinity = |kind: &str, term: &Value| {
            let rules = json!({kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
            [("/spec/affinity", rules)]
        };
        check_with(&[], tier(), &[]);
        let by = |selector: Value| json!({"topologyKey": "zone", "labelSelector": selector});
        let of_tier = || by(json!({"matchLabels": {"tier": "front"}}));
        check_with(&affinity("podAntiAffinity", &of_tier()), tier(), &[path]);
        check_with(&affinity("podAffinity", &json!({"podAffinityTerm": of_tier(), "weight": 1})), tier(), &[path]);
        check_with(&affinity("podAffinity", &by(json!({"matchLabels": {"app": "web"}}))), tier(), &[]);
        let elsewhere = json!({"topologyKey": "zone", "namespaceSelector": {"matchLabels": {"tier": "front"}}});
        check_with(&affinity("podAffinity", &elsewhere), tier(), &[]);
        let spread = |constraint: Value| [("/spec/topologySpreadConstraints", json!([constraint]))];
        check_with(&spread(by(json!({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}))), tier(), &[path]);
        check_with(&spread(json!({"topologyKey": "zone", "matchLabelKeys": ["tier"]})), tier(), &[path]);
        check_with(&spread(by(json!({}))), tier(), &[]);
        let mut after = with(&spread(json!({"topologyKey": "zone", "matchLabelKeys": ["example.com/tier"]})));
        let before = after.clone();
        after["metadata"]["labels"]["example.com/tier"] = "front".into();
        check_between(&before, &after, &finding(Code::NoRoom, ""), &["metadata.labels[example.com/tier]"]);
        // Rules of other pods may count by whatever label.
        let theirs = "0 of 3 nodes fit: 3 didn't satisfy existing pods anti-affinity rules";
        check_between(&template("x:1"), &with(&[tier()]), &finding(Code::NoNodeMatches, theirs), &[path]);
    }

    #[test]
    fn what_never_matters() {
        let chart = || ("/metadata/labels/helm.sh~1chart", json!("web-2"));
        let seconds = || ("/spec/terminationGracePeriodSeconds", json!(5));
        let pre_stop = || ("/spec/containers/0/lifecycle", json!({"preStop": {"exec": {"command": ["x"]}}}));
        let mut after = with(&[seconds(), pre_stop()]);
        after["metadata"]["labels"]["helm.sh/chart"] = chart().1;
        for code in [Code::CrashLoop, Code::NotReady, Code::Unknown, Code::NoRoom, Code::PodInvalid] {
            check_between(&template("x:1"), &after, &finding(code, ""), &[]);
        }
    }

    #[test]
    fn another_containers_change() {
        let two = |web: &str, log: &str, init: &str| {
            let containers = json!([{"name": "web", "image": web}, {"name": "log", "image": log}]);
            json!({"spec": {"containers": containers, "initContainers": [{"name": "init", "image": init}]}})
        };
        let of =
            |code, container: Option<&str>| Finding { container: container.map(str::to_owned), ..finding(code, "") };
        let before = two("w:1", "l:1", "i:1");
        let image = |name: &str| format!("spec.containers[{name}].image");
        let check =
            |after: &Value, finding: &Finding, expected: &[&str]| check_between(&before, after, finding, expected);
        check(&two("w:1", "l:2", "i:1"), &of(Code::ImageNotFound, Some("web")), &[]);
        check(&two("w:1", "l:2", "i:1"), &of(Code::ImageNotFound, Some("log")), &[&image("log")]);
        check(&two("w:1", "l:2", "i:1"), &of(Code::ImageNotFound, None), &[&image("log")]);
        check(&two("w:1", "l:1", "i:2"), &of(Code::ImageNotFound, Some("init")), &["spec.initContainers[init].image"]);
        // A process may depend on its neighbours; its own change tells more.
        check(&two("w:1", "l:2", "i:1"), &of(Code::CrashLoop, Some("web")), &[&image("log")]);
        check(&two("w:2", "l:2", "i:1"), &of(Code::CrashLoop, Some("web")), &[&image("web"), &image("log")]);
        let requests = json!({"spec": {"containers": [
            {"name": "web", "image": "w:1"}, {"name": "log", "image": "l:1", "resources": {"requests": {"cpu": 9}}},
        ], "initContainers": [{"name": "init", "image": "i:1"}]}});
        check(&requests, &of(Code::NoRoom, None), &["spec.containers[log].resources.requests.cpu"]);
    }

    #[test]
    fn objects_that_are_missing() {
        let map =
            |name: &str, key: &str| json!({"name": "A", "valueFrom": {"configMapKeyRef": {"name": name, "key": key}}});
        let level = |level: &str| json!({"name": "LEVEL", "value": level});
        let env = |variables: &[Value]| with(&[(ENV, json!(variables))]);
        let not_found = finding(Code::ConfigMissing, r#"ConfigMap "b" not found"#);
        let no_key = finding(Code::ConfigMissing, r#"ConfigMap "b" has no key "k""#);
        let name = "spec.containers[web].env[A].valueFrom.configMapKeyRef.name";
        let key = "spec.containers[web].env[A].valueFrom.configMapKeyRef.key";

        let (before, after) = (env(&[map("a", "k"), level("1")]), env(&[map("b", "k"), level("2")]));
        check_between(&before, &after, &not_found, &[name]);
        // It was needed before: somebody has deleted it.
        let (before, after) = (env(&[map("b", "k"), level("1")]), env(&[map("b", "k"), level("2")]));
        check_between(&before, &after, &not_found, &[]);
        check_between(&before, &after, &no_key, &[]);
        check_between(&env(&[map("b", "j")]), &env(&[map("b", "k")]), &no_key, &[key]);
        check_between(&env(&[map("b", "j")]), &env(&[map("b", "k")]), &not_found, &[]);
        // What was optional is needed now.
        let mut optional = map("b", "k");
        optional["valueFrom"]["configMapKeyRef"]["optional"] = true.into();
        let path = "spec.containers[web].env[A].valueFrom.configMapKeyRef.optional";
        check_between(&env(&[optional]), &env(&[map("b", "k")]), &not_found, &[path]);
        // A message that names nothing.
        let vague = finding(Code::ConfigMissing, "not found");
        check_between(&env(&[level("1")]), &env(&[level("2")]), &vague, &["spec.containers[web].env[LEVEL].value"]);

        let volume = |name: &str| with(&[("/spec/volumes", json!([{"name": "v", "configMap": {"name": name}}]))]);
        let in_volume = finding(Code::VolumeMissing, r#"ConfigMap "b" not found (volume "v")"#);
        check_between(&volume("a"), &volume("b"), &in_volume, &["spec.volumes[v].configMap.name"]);
        check_between(&volume("b"), &volume("b"), &in_volume, &[]);
    }

    /// 1 was good, 2 is current; pods of 1 whose names are listed fail with `old`.
    fn scene(kind: RolloutKind, after: &Value, pods: i32) -> Scene {
        let mut scene = Scene::new(kind, after).revision(1, &template("x:1"), pods, pods).revision(2, after, 1, 0);
        if kind == Deployment {
            for n in 0..pods {
                scene = scene.pod(&format!("old-{n}"), 1, true, &json!([]));
            }
        }
        scene
    }

    #[track_caller]
    fn check_verdict(scene: &Scene, new: Code, old: &[(&str, Code)], fault: Fault, sentence: &str) {
        let findings_of = |pod: &PodStatus| {
            let of_it = old.iter().filter(|(name, _)| pod.name.name == *name);
            of_it.map(|(_, code)| finding(*code, "")).collect::<Vec<_>>()
        };
        let subject = scene.subject();
        let last_good = target::last_good(&subject, &std::collections::BTreeSet::new());
        let blame = blame(last_good.map(|target| target.revision), &finding(new, ""), &subject, findings_of);
        assert_eq!((blame.fault, blame.sentence.as_str()), (fault, sentence));
        assert_eq!(blame.fault.is_changed().unwrap_or_default(), !blame.paths.is_empty());
    }

    const SUFFER: &str = "the pods of revision 1 fail too";
    const CHANGED: &str = "since revision 1 spec.containers[web].image changed from x:1 to x:2";

    #[test]
    fn who_is_to_blame() {
        let image = with(&[(IMAGE, json!("x:2"))]);
        let deployment = |pods| scene(Deployment, &image, pods);
        check_verdict(&deployment(3), Code::CrashLoop, &[], Version, CHANGED);
        check_verdict(&scene(StatefulSet, &image, 3), Code::CrashLoop, &[], Version, CHANGED);
        check_verdict(&deployment(0), Code::CrashLoop, &[], Version, CHANGED);
        check_verdict(
            &deployment(3),
            Code::NoRoom,
            &[],
            Unchanged,
            "nothing that it can come from changed since revision 1",
        );
        // Half of those that run, but one of those that start.
        let failing = |code| [("old-0", code), ("old-1", code)];
        check_verdict(&deployment(3), Code::CrashLoop, &failing(Code::NotReady)[..1], Version, CHANGED);
        check_verdict(&deployment(3), Code::CrashLoop, &failing(Code::NotReady), OldPodsToo, SUFFER);
        check_verdict(&deployment(3), Code::ImageNotFound, &failing(Code::ImageUnauthorized)[..1], OldPodsToo, SUFFER);
        // Something else is no comparison.
        check_verdict(&deployment(3), Code::ImageNotFound, &failing(Code::NotReady), Version, CHANGED);
        check_verdict(&deployment(3), Code::CrashLoop, &failing(Code::Restarted), Version, CHANGED);
        let first = Scene::new(Deployment, &image).revision(1, &image, 1, 0);
        let nothing = "there is no earlier version to compare with";
        check_verdict(&first, Code::CrashLoop, &[], FirstRollout, nothing);
        // Who holds a rollout up holds up any version.
        for held in [Code::Paused, Code::OnDelete, Code::OrdinalStuck] {
            check_verdict(&deployment(3), held, &[], Held, "no version is to blame for it");
        }
    }

    /// Registries say it of tags that do not exist, of private repositories, and once credentials have expired.
    #[test]
    fn pulls_that_are_refused() {
        let refused = Code::ImageUnauthorized;
        let with_secret = |name: &str| ("/spec/imagePullSecrets", json!([{"name": name}]));
        // Another tag of the repository that the version before used, or another repository.
        check_verdict(&scene(Deployment, &with(&[(IMAGE, json!("x:2"))]), 3), refused, &[], Version, CHANGED);
        let changed = "since revision 1 spec.containers[web].image changed from x:1 to y:1";
        check_verdict(&scene(Deployment, &with(&[(IMAGE, json!("y:1"))]), 3), refused, &[], Version, changed);
        let changed = "since revision 1 spec.imagePullSecrets[p].name is new (p)";
        check_verdict(&scene(Deployment, &with(&[with_secret("p")]), 3), refused, &[], Version, changed);
        // The same image as before, or old pods that are refused as well.
        let unchanged = "nothing that it can come from changed since revision 1";
        let env = with(&[(ENV, json!([{"name": "A", "value": "b"}]))]);
        check_verdict(&scene(Deployment, &env, 3), refused, &[], Unchanged, unchanged);
        let both = scene(Deployment, &with(&[(IMAGE, json!("x:2"))]), 3);
        check_verdict(&both, refused, &[("old-0", refused)], OldPodsToo, SUFFER);
    }

    #[test]
    fn pods_that_cannot_be_created() {
        let more = with(&[(RESOURCES, json!({"requests": {"cpu": "9"}}))]);
        let scene = |failing: Value| {
            let scene = Scene::new(Deployment, &more).revision(1, &template("x:1"), 3, 2);
            scene.with("/status/conditions", failing).revision(2, &more, 0, 0)
        };
        let changed = "since revision 1 spec.containers[web].resources.requests.cpu is new (9)";
        check_verdict(&scene(json!([])), Code::QuotaExceeded, &[], Version, changed);
        let failing = json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate"}]);
        check_verdict(&scene(failing), Code::QuotaExceeded, &[], OldPodsToo, SUFFER);
    }

    #[test]
    fn a_restart_blames_nobody() {
        let restart = with(&[("/metadata/annotations", json!({super::super::template::RESTARTED_AT: "now"}))]);
        let scene = Scene::new(Deployment, &restart).revision(1, &template("x:0"), 0, 0);
        let scene = scene.revision(2, &template("x:1"), 3, 3).revision(3, &restart, 1, 0);
        check_verdict(
            &scene,
            Code::CrashLoop,
            &[],
            Unchanged,
            "nothing that it can come from changed since revision 2",
        );
    }

    #[test]
    fn changes_in_words() {
        #[track_caller]
        fn check(before: Option<&str>, after: Option<&str>, others: usize, expected: &str) {
            let (before, after) = (before.map(str::to_owned), after.map(str::to_owned));
            assert_eq!(told(&Change { path: "p".to_owned(), before, after }, others), expected);
        }
        check(Some("a"), Some("b"), 0, "p changed from a to b");
        check(None, Some("b"), 1, "p is new (b), and 1 other field");
        check(Some("a"), None, 2, "p is gone (it was a), and 2 other fields");
        let long = "é".repeat(MAX_VALUE_LENGTH + 1);
        check(None, Some(&long), 0, &format!("p is new ({}…)", "é".repeat(MAX_VALUE_LENGTH - 1)));
    }
}
