//! What holds up a pod that is on its node: volumes and the sandbox. Its status says `ContainerCreating` and nothing
//! else; only incidents tell.

use serde_json::Value;

use super::{Class, Code, Finding, container, pod, pod::Case, text};
use crate::model::{Condition, Incident};

/// The causes that were reported last, if any. None once volumes and sandbox are there.
pub(super) fn causes(case: &Case<'_>) -> Vec<Finding> {
    let is_there = |condition: &Condition| condition.status == "True";
    if case.pod.condition("PodReadyToStartContainers").is_some_and(is_there) {
        return Vec::new();
    }
    volume(case).into_iter().chain(sandbox(case)).collect()
}

const VOLUME: &[&str] = &["FailedMount", "FailedAttachVolume", "FailedMapVolume"];

/// Happens in healthy pods: the kubelet has not read an object yet.
const HARMLESS: &[&str] = &["failed to sync", "not registered"];

/// The kubelet's summary after minutes, which names no cause.
const SUMMARY: &str = "Unable to attach or mount volumes";

/// How often a sandbox must fail before that is more than a hiccup.
const SANDBOXES: u32 = 2;

fn volume(case: &Case<'_>) -> Option<Finding> {
    let is_summary = |incident: &&Incident| text::of_event(&incident.message).starts_with(SUMMARY);
    let last = case.reported(VOLUME).rfind(|incident| !is_summary(incident));
    let last = last.or_else(|| case.reported(VOLUME).last())?;
    let said = text::scrubbed(text::of_event(&last.message));
    if text::has_any(&said, HARMLESS) {
        let message = "the kubelet has not read what the pod mounts yet";
        let finding = case.finding(Code::VolumeMount, Class::Transient, message);
        return (last.count > 1).then(|| finding.seen(last.count.unsigned_abs()).since(last.first_at));
    }
    let (code, class, message) = of_volume(case, &said);
    let count = pod::count(case.reported(VOLUME).filter(|incident| incident.message == last.message));
    Some(case.finding(code, class, &message).seen(count).since(last.first_at))
}

fn of_volume(case: &Case<'_>, said: &str) -> (Code, Class, String) {
    let volume = text::between(said, "for volume \"", "\"").filter(|name| !name.starts_with("pvc-"));
    let of = volume.map(|name| format!(" (volume \"{name}\")")).unwrap_or_default();
    let why = said.split_once(" : ").or_else(|| said.split_once(": ")).map_or(said, |(_, why)| why);
    if let Some(missing) = container::missing_object(why) {
        return (Code::VolumeMissing, Class::Repeated, format!("{}{of}", missing.shown));
    }
    if let Some((_, key)) = why.split_once("non-existent ").and_then(|(_, rest)| rest.split_once(": ")) {
        let kind = if why.contains("secret") { "Secret" } else { "ConfigMap" };
        let name = volume.and_then(|volume| object_of(case, volume));
        let object = name.map_or_else(|| format!("a {kind}"), |name| format!("{kind} \"{name}\""));
        return (Code::VolumeMissing, Class::Repeated, format!("{object} has no key \"{key}\"{of}"));
    }
    if said.contains("Multi-Attach") {
        let message = format!("a volume is still in use on another node{of}");
        return (Code::VolumeMount, Class::Timed, message);
    }
    if why.contains("hostPath type check failed") {
        return (Code::VolumeMount, Class::Repeated, format!("{why}{of}"));
    }
    let is_environment =
        text::has_any(said, &["timed out", "DeadlineExceeded", "deadline exceeded", "connection refused"])
            || said.starts_with(SUMMARY);
    let class = if is_environment { Class::Environment } else { Class::Timed };
    (Code::VolumeMount, class, format!("a volume cannot be mounted{of}: {why}"))
}

/// The `ConfigMap` or Secret that a volume of the template shows.
fn object_of<'a>(case: &Case<'a>, volume: &str) -> Option<&'a str> {
    let volumes = case.subject.rollout.template.pointer("/spec/volumes")?.as_array()?;
    let volume = volumes.iter().find(|one| one.get("name").and_then(Value::as_str) == Some(volume))?;
    ["/configMap/name", "/secret/secretName"].iter().find_map(|path| volume.pointer(path)?.as_str())
}

fn sandbox(case: &Case<'_>) -> Option<Finding> {
    const REASONS: &[&str] = &["FailedCreatePodSandBox", "FailedCreatePodSandbox"];
    let last = case.reported(REASONS).last()?;
    let said = text::scrubbed(text::of_event(&last.message));
    let count = pod::count(case.reported(REASONS));
    let since = pod::first(case.reported(REASONS));
    if let Some(handler) = text::between(&said, "no runtime for \"", "\"") {
        let message = format!("runtime \"{handler}\" is not configured on the node");
        return Some(case.finding(Code::Sandbox, Class::Repeated, &message).seen(count).since(since));
    }
    let class = if count < SANDBOXES { Class::Transient } else { Class::Environment };
    let why = said.rsplit_once("desc = ").map_or(said.as_str(), |(_, why)| why);
    let why = why.strip_prefix("Failed to create pod sandbox: ").unwrap_or(why);
    let message = format!("the pod's sandbox cannot be made: {why}");
    Some(case.finding(Code::Sandbox, class, &message).seen(count).since(since))
}
