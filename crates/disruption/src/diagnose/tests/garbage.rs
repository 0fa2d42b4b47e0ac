//! Whatever a server says, a diagnosis is made of it, in one line.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{super::*, stalls::read};
use crate::{
    model::{ContainerState, Incident, PodStatus, Revision, Rollout, Termination},
    rollout::view::View,
    snapshot::Object,
};

/// Anything, and pieces of what the parsers look for.
fn words() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<String>(),
        Just("\"".to_owned()),
        Just(": ".to_owned()),
        Just("://u:p@h?q".to_owned()),
        prop::sample::select(vec![
            "ErrImagePull: ",
            "Back-off pulling image \"",
            "not found",
            "0/ nodes are available: ",
            "configmap \"",
            "couldn't find key ",
            " in ",
            "non-existent ",
            "exec: \"",
            "pods \"",
            "exceeded quota: ",
            "failed calling webhook",
            "admission webhook ",
            "denied request: ",
            "pull rate limit as ",
            "Readiness probe failed: ",
            "statuscode: ",
            "for volume \"",
            "web-",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn reasons() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "ErrImagePull",
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "ContainerCreating",
        "OOMKilled",
        "Error",
        "FailedMount",
        "FailedCreatePodSandBox",
        "FailedCreate",
        "FailedScheduling",
        "Unhealthy",
        "Killing",
        "Failed",
        "Unschedulable",
        "ProgressDeadlineExceeded",
        "ReplicaSetCreateError",
        "Evicted",
    ]);
    prop_oneof![3 => known.prop_map(str::to_owned), 1 => words()]
}

#[derive(Debug, Clone)]
struct Garbage {
    state: u8,
    reason: String,
    message: String,
    said: String,
    numbers: (i32, i32),
    is_placed: bool,
    at: i64,
}

fn garbage() -> impl Strategy<Value = Garbage> {
    let numbers = (any::<i32>(), any::<i32>());
    let at = prop_oneof![Just(i64::MIN), Just(i64::MAX), 0..2_000_000_000_i64];
    (0..4_u8, reasons(), words(), words(), numbers, any::<bool>(), at).prop_map(
        |(state, reason, message, said, numbers, is_placed, at)| Garbage {
            state,
            reason,
            message,
            said,
            numbers,
            is_placed,
            at,
        },
    )
}

impl Garbage {
    fn at(&self) -> Option<Timestamp> {
        Some(match self.at {
            i64::MIN => Timestamp::MIN,
            i64::MAX => Timestamp::MAX,
            seconds => Timestamp::from_second(seconds).ok()?,
        })
    }

    fn state(&self) -> ContainerState {
        let Self { reason, message, .. } = self.clone();
        match self.state {
            0 => ContainerState::Unknown,
            1 => ContainerState::Waiting { reason, message },
            2 => ContainerState::Running { since: self.at() },
            _ => ContainerState::Terminated(self.end()),
        }
    }

    fn end(&self) -> Termination {
        let Self { reason, message, numbers: (exit_code, _), .. } = self.clone();
        Termination { exit_code, reason, message, started_at: self.at(), finished_at: self.at() }
    }

    /// A recorded state with this in every field that somebody writes freely.
    fn view(&self, of: &View) -> View {
        let mut view = View::default();
        let rollout = of.rollouts().next().unwrap();
        let subject = of.subject(rollout, Timestamp::MAX);
        view.insert(Object::Rollout(Box::new(self.rollout(rollout))));
        for revision in &subject.revisions {
            view.insert(Object::Revision(Box::new(self.revision(revision))));
        }
        for pod in &subject.pods {
            view.insert(Object::PodStatus(Box::new(self.pod(pod))));
        }
        for incident in &subject.incidents {
            view.insert(Object::Incident(Box::new(self.incident(incident))));
        }
        view
    }

    fn rollout(&self, rollout: &Rollout) -> Rollout {
        let mut rollout = rollout.clone();
        for condition in &mut rollout.conditions {
            (condition.reason, condition.message) = (self.reason.clone(), self.said.clone());
        }
        rollout
    }

    fn revision(&self, revision: &Revision) -> Revision {
        let mut revision = revision.clone();
        if let Some(failure) = &mut revision.failure {
            failure.message.clone_from(&self.said);
        }
        revision
    }

    fn pod(&self, pod: &PodStatus) -> PodStatus {
        let mut pod = pod.clone();
        pod.node = pod.node.filter(|_| self.is_placed);
        (pod.reason, pod.message) = (self.reason.clone(), self.said.clone());
        pod.deletion_at = pod.deletion_at.and(self.at());
        for condition in &mut pod.conditions {
            condition.reason.clone_from(&self.reason);
            condition.message.clone_from(&self.said);
        }
        for container in &mut pod.containers {
            container.state = self.state();
            container.last = Some(self.end());
            container.restarts = self.numbers.1;
        }
        pod
    }

    fn incident(&self, incident: &Incident) -> Incident {
        let mut incident = incident.clone();
        incident.reason.clone_from(&self.reason);
        incident.message = format!("{}{}", incident.message, self.said);
        incident.count = self.numbers.0;
        incident
    }
}

/// States that show many rules their field: pods, refusals, volumes, schedulers, lost nodes.
const STATES: [&str; 7] = [
    "f3-late-crash-rollout-succeeded.json",
    "g-live-404.json",
    "g-cm-volume-missing.json",
    "g-quota.json",
    "g-sched-cpu.json",
    "g-init-hang.json",
    "h-node-off.json",
];

#[test]
fn any_text_becomes_a_line() {
    let states = STATES.map(|file| read(file).0);
    proptest!(|(garbage in garbage())| {
        for state in &states {
            let view = garbage.view(state);
            let subject = view.subject(view.rollouts().next().unwrap(), "2026-11-21T21:00:00Z".parse().unwrap());
            let findings = diagnose(&subject);
            for finding in &findings {
                prop_assert!(finding.count >= 1);
                prop_assert!(!finding.message.is_empty());
                prop_assert!(finding.message.chars().all(|c| !c.is_control()), "{:?}", finding.message);
                prop_assert!(!finding.message.contains("u:p@"), "{:?}", finding.message);
                finding.remedy();
            }
            prop_assert_eq!(primary(&findings).is_none(), findings.is_empty());
        }
    });
}

/// Templates of any shape: what they name is looked up, never assumed.
#[test]
fn any_template_will_do() {
    let (of, _) = read("g-pvc-pending.json");
    for template in [
        Value::Null,
        json!([]),
        json!({"spec": {"volumes": 1, "containers": {"name": 1}}}),
        json!({"spec": {"volumes": [1, null, {"persistentVolumeClaim": 3}]}}),
    ] {
        let mut view = View::default();
        let mut rollout = of.rollouts().next().unwrap().clone();
        let subject = of.subject(&rollout, Timestamp::MAX);
        let mut revision = (*subject.current().unwrap()).clone();
        revision.template = template.clone();
        view.insert(Object::Revision(Box::new(revision)));
        for pod in subject.new_pods() {
            view.insert(Object::PodStatus(Box::new(pod.clone())));
        }
        rollout.template = template;
        let messages: Vec<String> =
            diagnose(&view.subject(&rollout, Timestamp::MAX)).into_iter().map(|finding| finding.message).collect();
        assert_eq!(messages, ["a claim of the pod is not bound"]);
    }
}
