//! Pods that cannot be created: the API server's refusals, as the controllers repeat them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::{Class, Code, Finding, pod, text};
use crate::{
    model::{Incident, RolloutKind},
    rollout::view::Subject,
};

/// Why the current version's pods cannot be created, if they cannot.
pub(super) fn fails(subject: &Subject<'_>) -> Option<Finding> {
    let (said, since) = match subject.rollout.kind {
        RolloutKind::Deployment => of_replica_set(subject)?,
        RolloutKind::StatefulSet | RolloutKind::DaemonSet => of_set(subject)?,
    };
    let (code, class, message) = refusal(subject, &said);
    let owner = subject.current().filter(|revision| revision.counts.is_some()).map(|revision| &revision.name.name);
    let message = text::without_random_ends(&message, owner.unwrap_or(&subject.rollout.name.name));
    let count = pod::count(refusals(subject));
    Some(Finding::new(code, class, &message).seen(count).since(since))
}

/// What a refusal means: code, class and message.
pub(super) fn refusal(subject: &Subject<'_>, said: &str) -> (Code, Class, String) {
    let said = text::scrubbed(said);
    let said = without_names(&said);
    let rule = RULES.iter().find(|rule| text::has_any(said, rule.said));
    let (code, class, show): (_, _, fn(&str) -> String) = match rule {
        Some(rule) => (rule.code, rule.class, rule.show),
        None => (Code::CreateFailed, Class::Repeated, |said| format!("the pod cannot be created: {said}")),
    };
    let class = if code == Code::QuotaExceeded && asks_for_more(subject) { Class::Timed } else { class };
    (code, class, show(said))
}

/// A kind of refusal.
struct Rule {
    /// Any of these phrases tells it.
    said: &'static [&'static str],
    code: Code,
    class: Class,
    show: fn(&str) -> String,
}

const RULES: [Rule; 14] = [
    Rule {
        said: &["because it is being terminated"],
        code: Code::NamespaceTerminating,
        class: Class::Environment,
        show: |_| "the namespace is being deleted".to_owned(),
    },
    Rule {
        said: &["failed calling webhook"],
        code: Code::WebhookUnavailable,
        class: Class::Environment,
        show: |said| {
            let name = text::between(said, "failed calling webhook \"", "\"").unwrap_or_default();
            let why = said.rsplit_once(": ").map_or("", |(_, why)| why);
            format!("admission webhook \"{name}\" does not answer: {why}")
        },
    },
    Rule {
        said: &["admission webhook "],
        code: Code::AdmissionDenied,
        class: Class::Repeated,
        show: |said| {
            let name = text::between(said, "admission webhook \"", "\"").unwrap_or_default();
            let why = said.split_once(" denied the request").map_or("", |(_, why)| why).trim_start_matches(": ");
            let why = why.strip_prefix(" without explanation").map_or_else(|| format!(": {why}"), |_| String::new());
            format!("admission webhook \"{name}\" refuses the pod{why}")
        },
    },
    Rule {
        said: &["ValidatingAdmissionPolicy '"],
        code: Code::AdmissionDenied,
        class: Class::Repeated,
        show: |said| {
            let name = text::between(said, "ValidatingAdmissionPolicy '", "'").unwrap_or_default();
            let why = said.split_once("denied request: ").map_or(said, |(_, why)| why);
            format!("admission policy \"{name}\" refuses the pod: {why}")
        },
    },
    Rule {
        said: &["violates PodSecurity"],
        code: Code::PodSecurity,
        class: Class::Fatal,
        show: |said| {
            let level = text::between(said, "violates PodSecurity \"", "\"").unwrap_or_default();
            let why = said.split_once("\": ").map_or(said, |(_, why)| why);
            format!("pod security \"{level}\" refuses the pod: {why}")
        },
    },
    Rule {
        said: &["security context constraint", "PodSecurityPolicy"],
        code: Code::PodSecurity,
        class: Class::Fatal,
        show: |said| format!("pod security refuses the pod: {said}"),
    },
    Rule {
        said: &["exceeded quota: "],
        code: Code::QuotaExceeded,
        class: Class::Blocked,
        show: |said| {
            let said = said.split_once("exceeded quota: ").map_or(said, |(_, rest)| rest);
            let (name, numbers) = said.split_once(", ").unwrap_or((said, ""));
            format!("quota \"{name}\" has no room: {}", numbers.replace(": ", " "))
        },
    },
    Rule {
        said: &["failed quota: "],
        code: Code::PodInvalid,
        class: Class::Fatal,
        show: |said| {
            let said = said.split_once("failed quota: ").map_or(said, |(_, rest)| rest);
            let (name, why) = said.split_once(": ").unwrap_or((said, ""));
            format!("quota \"{name}\" refuses the pod: {why}")
        },
    },
    Rule {
        said: &[" usage per ", "limit to request ratio"],
        code: Code::PodInvalid,
        class: Class::Fatal,
        show: |said| format!("limit range refuses the pod: {said}"),
    },
    Rule {
        said: &["error looking up service account", "serviceaccount \""],
        code: Code::ServiceAccountMissing,
        class: Class::Repeated,
        show: |said| {
            let name = text::between(said, "serviceaccount \"", "\"").unwrap_or_default();
            format!("ServiceAccount \"{name}\" not found")
        },
    },
    Rule {
        said: &["no PriorityClass with name "],
        code: Code::ClassMissing,
        class: Class::Repeated,
        show: |said| {
            let name = text::between(said, "no PriorityClass with name ", " ").unwrap_or_default();
            format!("PriorityClass \"{name}\" not found")
        },
    },
    Rule {
        said: &["RuntimeClass \"", "runtimeclass"],
        code: Code::ClassMissing,
        class: Class::Repeated,
        show: |said| {
            let name = text::between(said, "RuntimeClass \"", "\"").or_else(|| text::between(said, " \"", "\""));
            format!("RuntimeClass \"{}\" not found", name.unwrap_or_default())
        },
    },
    Rule {
        said: &["is invalid: "],
        code: Code::PodInvalid,
        class: Class::Fatal,
        show: |said| format!("the pod is invalid: {}", said.split_once("is invalid: ").map_or(said, |(_, why)| why)),
    },
    Rule {
        said: &[
            "already exists",
            "object is being deleted",
            "timed out",
            "timeout",
            "connection refused",
            "etcdserver",
            "unable to handle the request",
            "too many requests",
            "Internal error occurred",
        ],
        code: Code::CreateFailed,
        class: Class::Transient,
        show: |said| format!("the pod cannot be created now: {said}"),
    },
];

/// A `ReplicaSet` keeps its refusal as a condition.
fn of_replica_set(subject: &Subject<'_>) -> Option<(String, Option<Timestamp>)> {
    let failure = subject.current()?.failure.as_ref().filter(|failure| failure.reason == "FailedCreate")?;
    Some((failure.message.clone(), failure.changed_at))
}

/// Other controllers only report it: as long as nothing was created since.
fn of_set(subject: &Subject<'_>) -> Option<(String, Option<Timestamp>)> {
    let last = refusals(subject).last()?;
    let created = subject.incidents_of(&subject.rollout.uid).filter(|incident| incident.reason == "SuccessfulCreate");
    let is_over = created.filter_map(|incident| incident.last_at).max() > last.last_at;
    let is_of_another = subject.current().is_none_or(|revision| revision.created_at > last.last_at);
    (!is_over && !is_of_another).then(|| (text::of_event(&last.message).to_owned(), last.first_at))
}

/// Reports of pods that could not be created, oldest first.
fn refusals<'s>(subject: &'s Subject<'_>) -> impl Iterator<Item = &'s Incident> {
    let owner = match subject.rollout.kind {
        RolloutKind::Deployment => subject.current().map(|revision| &revision.uid),
        RolloutKind::StatefulSet | RolloutKind::DaemonSet => Some(&subject.rollout.uid),
    };
    let is_of = move |incident: &&Incident| Some(&incident.about.uid) == owner && incident.reason == "FailedCreate";
    subject.incidents.iter().copied().filter(is_of)
}

/// How the API server begins a refusal that names its object.
const NAMED: [&str; 4] = ["pods \"", "Pod \"", "persistentvolumeclaims \"", "replicasets.apps \""];

/// Without the controller's words and the pod's name: `pods "web-8644b6bb69-x2x4z" is forbidden: …`.
fn without_names(said: &str) -> &str {
    let said = text::of_event(said);
    let said = said.split_once("failed error: ").map_or(said, |(_, rest)| rest);
    let said = said.strip_prefix("Error creating: ").unwrap_or(said);
    if !NAMED.iter().any(|named| said.starts_with(named)) {
        return said;
    }
    let said = said.split_once("\" ").map_or(said, |(_, rest)| rest);
    said.strip_prefix("is forbidden: ").unwrap_or(said)
}

/// Whether the current version asks for other resources than every version before.
fn asks_for_more(subject: &Subject<'_>) -> bool {
    let Some(current) = subject.current() else { return false };
    let mut others = subject.revisions.iter().filter(|revision| revision.uid != current.uid).peekable();
    let asked = resources(&current.template);
    others.peek().is_some() && others.all(|revision| resources(&revision.template) != asked)
}

fn resources(template: &Value) -> BTreeMap<&str, &Value> {
    let list = |path: &str| template.pointer(path).and_then(Value::as_array).into_iter().flatten();
    list("/spec/initContainers")
        .chain(list("/spec/containers"))
        .filter_map(|container| Some((container.get("name")?.as_str()?, container.get("resources")?)))
        .collect()
}
