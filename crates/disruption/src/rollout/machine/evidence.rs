//! What there is to see of a stall: the failing probe, the pods, the warnings.

use crate::{
    diagnose::{Code, Finding},
    model::{ContainerRole, ContainerState, ContainerStatus, Incident, Phase, PodStatus},
    rollout::{
        event::{Evidence, PodRow, Warning},
        secrets::without_tokens,
        view::Subject,
    },
};

/// How many warnings are shown: the last ones.
const MOST_WARNINGS: usize = 10;

/// Gathers what shows why a version fails.
pub(super) fn gather(subject: &Subject<'_>, cause: &Finding) -> Evidence {
    let current = subject.version();
    let mut pods: Vec<PodRow> = subject
        .pods
        .iter()
        .map(|pod| row(pod, current.is_some() && subject.version_of(pod).as_ref() == current))
        .collect();
    pods.sort_by_key(|pod| (!pod.is_new, pod.ready.0 == pod.ready.1));
    Evidence { probe: probe(subject, cause), pods, warnings: warnings(subject) }
}

/// The container of a finding whose log helps, and whether the one before its last restart is meant.
pub(super) fn log_wanted<'a>(subject: &Subject<'a>, cause: &Finding) -> Option<(&'a PodStatus, &'a str, bool)> {
    let pods = subject.new_pods();
    let pod = pods.into_iter().find(|pod| Some(&pod.name) == cause.pod.as_ref())?;
    let name = cause.container.as_ref()?;
    let container = pod.containers.iter().find(|container| container.name == *name)?;
    let has_run =
        container.restarts > 0 || !matches!(container.state, ContainerState::Waiting { .. } | ContainerState::Unknown);
    let previous = container.restarts > 0 && !matches!(container.state, ContainerState::Terminated(_));
    has_run.then_some((pod, container.name.as_str(), previous))
}

fn probe(subject: &Subject<'_>, cause: &Finding) -> Option<String> {
    let pods = subject.new_pods();
    let pod = pods.iter().find(|pod| Some(&pod.name) == cause.pod.as_ref())?;
    let container = pod.containers.iter().find(|container| Some(&container.name) == cause.container.as_ref())?;
    let (name, probe) = match cause.code {
        Code::NotReady | Code::ReadinessFlaps => ("readiness", container.readiness.as_ref()?),
        Code::LivenessFailed => ("liveness", container.liveness.as_ref()?),
        Code::StartupFailed | Code::Starting => ("startup", container.startup.as_ref()?),
        _ => return None,
    };
    let every = if probe.period == 1 { "every second".to_owned() } else { format!("every {} seconds", probe.period) };
    Some(format!("{name} probe of container {:?}: {}, {every}", container.name, probe.question))
}

fn row(pod: &PodStatus, is_new: bool) -> PodRow {
    let counted = |container: &&ContainerStatus| container.role != ContainerRole::Init;
    PodRow {
        name: pod.name.name.clone(),
        is_new,
        node: pod.node.as_ref().map(|node| node.0.clone()).unwrap_or_default(),
        ready: (
            pod.containers.iter().filter(counted).filter(|container| container.ready).count(),
            pod.containers.iter().filter(counted).count(),
        ),
        restarts: pod.restarts(),
        state: state(pod),
        created_at: pod.created_at,
    }
}

/// A pod's state as `kubectl get pods` shows it.
fn state(pod: &PodStatus) -> String {
    let phase = || match pod.phase {
        Phase::Pending => "Pending",
        Phase::Running => "Running",
        Phase::Succeeded => "Succeeded",
        Phase::Failed => "Failed",
        Phase::Unknown => "Unknown",
    };
    if pod.is_terminating() {
        return "Terminating".to_owned();
    }
    if !pod.reason.is_empty() {
        return pod.reason.clone();
    }
    let of_container = |container: &ContainerStatus| match &container.state {
        ContainerState::Waiting { reason, .. } if !reason.is_empty() && reason != "PodInitializing" => {
            Some(reason.clone())
        }
        ContainerState::Terminated(termination)
            if termination.exit_code != 0 || container.role != ContainerRole::Init =>
        {
            Some(if termination.reason.is_empty() {
                format!("ExitCode:{}", termination.exit_code)
            } else {
                termination.reason.clone()
            })
        }
        _ => None,
    };
    let init = pod.containers.iter().filter(|container| container.role == ContainerRole::Init);
    if let Some(reason) = init.clone().find_map(of_container) {
        return format!("Init:{reason}");
    }
    let (done, all) = (init.clone().filter(|container| is_done(container)).count(), init.count());
    if done < all {
        return format!("Init:{done}/{all}");
    }
    let others = pod.containers.iter().filter(|container| container.role != ContainerRole::Init);
    others.rev().find_map(of_container).unwrap_or_else(|| phase().to_owned())
}

fn is_done(container: &ContainerStatus) -> bool {
    matches!(&container.state, ContainerState::Terminated(termination) if termination.exit_code == 0)
}

/// Warnings since the current version came, equal ones told once, the last one last.
fn warnings(subject: &Subject<'_>) -> Vec<Warning> {
    let since = subject.current().and_then(|revision| revision.created_at);
    // The kubelet follows each of its errors with the bare word for it.
    let is_bare = |message: &str| message.strip_prefix("Error: ").is_some_and(|word| !word.contains(' '));
    // Pods that fail alike differ in what they are called.
    let likeness = |incident: &Incident| {
        let message = incident.message.replace(&incident.about.name, "").replace(&incident.about.uid.0, "");
        (incident.reason.clone(), message)
    };
    let mut told: Vec<((String, String), Warning)> = Vec::new();
    let warnings = subject.incidents.iter().filter(|incident| incident.is_warning && incident.last_at >= since);
    for incident in warnings.filter(|incident| !is_bare(&incident.message)) {
        let about = format!("{}/{}", incident.about.kind.to_lowercase(), incident.about.name);
        let alike = likeness(incident);
        let before = told.iter().position(|(other, _)| *other == alike).map(|at| told.remove(at).1.count);
        let warning = Warning {
            about,
            reason: incident.reason.clone(),
            message: without_tokens(&incident.message),
            count: before.unwrap_or_default() + incident.count,
        };
        told.push((alike, warning));
    }
    let last = told.split_off(told.len().saturating_sub(MOST_WARNINGS));
    last.into_iter().map(|(_, warning)| warning).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::view;

    #[test]
    fn pods_that_fail_alike_are_told_once() {
        let file =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/stalls/f3-late-crash-rollout-succeeded.json");
        let (view, taken_at) = view::read(std::fs::File::open(file).unwrap()).unwrap();
        let subject = view.subject(view.rollouts().next().unwrap(), taken_at);
        let of = |incident: &&&Incident| incident.is_warning && incident.reason == "BackOff";
        let recorded: Vec<_> = subject.incidents.iter().filter(of).collect();
        let pods: std::collections::BTreeSet<&str> = recorded.iter().map(|it| it.about.name.as_str()).collect();
        assert!(pods.len() > 1, "{pods:?}");
        let warnings = warnings(&subject);
        let told: Vec<&Warning> = warnings.iter().filter(|warning| warning.reason == "BackOff").collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].count, recorded.iter().map(|incident| incident.count).sum::<i32>());
    }
}
