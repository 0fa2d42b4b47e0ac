//! The findings of a container, by its state.

use jiff::{SignedDuration, Timestamp};

use super::{Class, Code, Finding, crash, pod, pod::Case, probe, probe::Asked, pull, text};
use crate::model::{ContainerRole, ContainerState, ContainerStatus, Incident};

/// How long a container must run before its crashes are past: the kubelet forgets its back-off after as long (twice
/// `MaxContainerBackOff`).
const RECOVERED: SignedDuration = SignedDuration::from_mins(10);

/// The findings of a container; none when it does what it should.
pub(super) fn findings(case: &Case<'_>, container: &ContainerStatus) -> Vec<Finding> {
    let findings = match &container.state {
        ContainerState::Unknown => silent(case, container).into_iter().collect(),
        ContainerState::Waiting { reason, message } => {
            waiting(case, container, reason, &text::scrubbed(message)).into_iter().collect::<Vec<_>>()
        }
        ContainerState::Running { since } => running(case, container, *since),
        ContainerState::Terminated(end) => {
            let is_done = container.role == ContainerRole::Init && end.exit_code == 0;
            if is_done { Vec::new() } else { vec![crash::ended(case, container, end, true)] }
        }
    };
    findings.into_iter().map(|finding| finding.of_container(container)).collect()
}

/// `container "web"`, `init container "migrate"`, `sidecar "proxy"`.
pub(super) fn named(container: &ContainerStatus) -> String {
    let role = match container.role {
        ContainerRole::Main => "container",
        ContainerRole::Init => "init container",
        ContainerRole::Sidecar => "sidecar",
    };
    format!("{role} \"{}\"", container.name)
}

fn waiting(case: &Case<'_>, container: &ContainerStatus, reason: &str, message: &str) -> Option<Finding> {
    let is_about_image = pull::REASONS.contains(&reason);
    match reason {
        _ if is_about_image => Some(pull::fails(case, container, reason, message)),
        "CrashLoopBackOff" | "RunContainerError" | "PostStartHookError" => {
            Some(crash::waits(case, container, reason, message))
        }
        "" | "ContainerCreating" | "PodInitializing" => match &container.last {
            Some(end) => Some(crash::ended(case, container, end, true)),
            None => creating(case, container),
        },
        "CreateContainerConfigError" => Some(config(case, container, message)),
        "VerifyNonRootError" => Some(config(case, container, "container has runAsNonRoot")),
        "CreateContainerError" | "PreCreateHookError" | "PreStartHookError" => Some(create(case, container, message)),
        "CreatePodSandboxError" | "ConfigPodSandboxError" | "KillPodSandboxError" => {
            let message = format!("the pod's sandbox cannot be made: {message}");
            Some(case.finding(Code::Sandbox, Class::Environment, &message).since(case.pod.created_at))
        }
        _ => {
            let said = if message.is_empty() { String::new() } else { format!(": {message}") };
            let message = format!("{} waits, {reason}{said}", named(container));
            Some(case.finding(Code::Unknown, Class::Timed, &message).since(case.pod.created_at))
        }
    }
}

/// The kubelet has said nothing about the container: nothing that the version could do about it.
fn silent(case: &Case<'_>, container: &ContainerStatus) -> Option<Finding> {
    let finding = creating(case, container).filter(|finding| finding.code == Code::Creating)?;
    Some(Finding {
        class: Class::Transient,
        message: "the kubelet has not begun with the pod yet".to_owned(),
        ..finding
    })
}

/// A container that is not there yet, unless one before it must finish first.
fn creating(case: &Case<'_>, container: &ContainerStatus) -> Option<Finding> {
    let before = case.pod.containers.iter().take_while(|other| other.name != container.name);
    let waits_for_another = before.filter(|other| other.role != ContainerRole::Main).any(|other| !lets_go_on(other));
    if waits_for_another {
        return None;
    }
    if let Some(pulling) = pull::runs(case, container) {
        return Some(pulling);
    }
    let since = case.pod.condition("PodScheduled").and_then(|condition| condition.changed_at);
    let message = format!("{} is being created", named(container));
    Some(case.finding(Code::Creating, Class::Timed, &message).since(since.or(case.pod.created_at)))
}

/// Whether a container that initialises lets the next one start.
fn lets_go_on(container: &ContainerStatus) -> bool {
    match &container.state {
        ContainerState::Terminated(end) => container.role == ContainerRole::Init && end.exit_code == 0,
        ContainerState::Running { .. } => container.role == ContainerRole::Sidecar && container.started != Some(false),
        ContainerState::Unknown | ContainerState::Waiting { .. } => false,
    }
}

fn running(case: &Case<'_>, container: &ContainerStatus, since: Option<Timestamp>) -> Vec<Finding> {
    let last = container.last.as_ref().filter(|_| container.restarts > 0);
    let is_well = container.ready && container.role != ContainerRole::Init;
    if is_well {
        return last.map(|end| crash::restarted(case, container, end).since(since)).into_iter().collect();
    }
    let is_recovered = since.is_some_and(|since| case.subject.now.duration_since(since) >= RECOVERED);
    let last = last.filter(|_| !is_recovered);
    let mut findings: Vec<Finding> = last.map(|end| crash::ended(case, container, end, false)).into_iter().collect();
    findings.push(not_yet(case, container, since));
    findings
}

fn not_yet(case: &Case<'_>, container: &ContainerStatus, since: Option<Timestamp>) -> Finding {
    let who = named(container);
    if container.role == ContainerRole::Init {
        let message = format!("{who} has not finished");
        return case.finding(Code::InitRunning, Class::Timed, &message).since(since);
    }
    if container.startup.is_some() && container.started != Some(true) {
        let answer = probe::answer(case, container, Asked::Startup, since);
        let message = format!("{who} is starting: {answer}");
        let count = pod::count(probe::failures(case, container, Asked::Startup, since));
        return case.finding(Code::Starting, Class::Timed, &message).seen(count).since(since);
    }
    let answer = probe::answer(case, container, Asked::Readiness, since);
    let message =
        if answer.is_empty() { format!("{who} is not ready") } else { format!("{who} is not ready: {answer}") };
    let count = pod::count(probe::failures(case, container, Asked::Readiness, since));
    let lost_at = case.pod.condition("ContainersReady").filter(|ready| ready.status == "False");
    let since = since.max(lost_at.and_then(|ready| ready.changed_at));
    case.finding(Code::NotReady, Class::Timed, &message).seen(count).since(since)
}

/// `CreateContainerConfigError`: what the container's environment and rights name.
fn config(case: &Case<'_>, container: &ContainerStatus, message: &str) -> Finding {
    let who = named(container);
    let (code, class, shown) = if let Some(missing) = missing_object(message) {
        (Code::ConfigMissing, if missing.is_key { Class::Fatal } else { Class::Repeated }, missing.shown)
    } else if text::has_any(message, &["runAsNonRoot", "non-numeric user"]) {
        let why = if message.contains("non-numeric") {
            "its image names a user that cannot be told from root"
        } else {
            "its image runs as root"
        };
        (Code::RunsAsRoot, Class::Fatal, format!("{who} must not run as root (runAsNonRoot), but {why}"))
    } else if message.contains("failed to sync") && message.contains("cache") {
        (Code::ContainerConfig, Class::Transient, format!("{who} waits for the kubelet to read its configuration"))
    } else {
        (Code::ContainerConfig, Class::Repeated, format!("{who} cannot be configured: {message}"))
    };
    case.finding(code, class, &shown).seen(failures(case, container)).since(first_failure(case, container))
}

/// `CreateContainerError`: the runtime refuses.
fn create(case: &Case<'_>, container: &ContainerStatus, message: &str) -> Finding {
    let who = named(container);
    let (code, class, shown) = if message.contains("no command specified") {
        (Code::CommandFailed, Class::Fatal, format!("{who} has no command, neither of its own nor of its image"))
    } else if text::has_any(message, &["context deadline exceeded", "is reserved for", "failed to reserve"]) {
        (Code::ContainerCreate, Class::Transient, format!("{who} cannot be created yet: the node's runtime is slow"))
    } else {
        (Code::ContainerCreate, Class::Repeated, format!("{who} cannot be created: {}", crash::without_layers(message)))
    };
    case.finding(code, class, &shown).seen(failures(case, container)).since(first_failure(case, container))
}

/// An object that is named and does not exist, or lacks a key.
pub(super) struct Missing {
    pub(super) is_key: bool,
    /// `ConfigMap "cfg" has no key "x"`.
    pub(super) shown: String,
}

/// Reads the kubelet's sentences: `configmap "nope" not found`, `couldn't find key x in ConfigMap ns/cfg`.
pub(super) fn missing_object(message: &str) -> Option<Missing> {
    const KINDS: [(&str, &str); 4] = [
        ("configmap", "ConfigMap"),
        ("secret", "Secret"),
        ("persistentvolumeclaim", "claim"),
        ("serviceaccount", "ServiceAccount"),
    ];
    if let Some((key, object)) = message.split_once("couldn't find key ").and_then(|(_, rest)| rest.split_once(" in "))
    {
        let (kind, name) = object.split_once(' ')?;
        let name = name.rsplit('/').next().unwrap_or(name);
        return Some(Missing { is_key: true, shown: format!("{kind} \"{name}\" has no key \"{key}\"") });
    }
    KINDS.iter().find_map(|(written, kind)| {
        let name = text::between(message, &format!("{written} \""), "\" not found")?;
        Some(Missing { is_key: false, shown: format!("{kind} \"{name}\" not found") })
    })
}

fn errors<'a, 's>(case: &'s Case<'a>, container: &'s ContainerStatus) -> impl Iterator<Item = &'a Incident> + 's {
    case.reported_of(container, &["Failed"]).filter(|incident| text::of_event(&incident.message).starts_with("Error: "))
}

fn failures(case: &Case<'_>, container: &ContainerStatus) -> u32 {
    pod::count(errors(case, container))
}

fn first_failure(case: &Case<'_>, container: &ContainerStatus) -> Option<Timestamp> {
    pod::first(errors(case, container)).or(case.pod.created_at)
}
