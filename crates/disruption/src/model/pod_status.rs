//! Pods as their containers fare: what a diagnosis reads.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Condition, NodeName, ObjectName, OwnerRef, Phase, Uid, wire};

/// A pod with its containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodStatus {
    /// Namespace and name.
    pub name: ObjectName,
    /// UID.
    pub uid: Uid,
    /// `metadata.resourceVersion`, which a deletion of exactly this state must name.
    pub resource_version: String,
    /// Its labels, one of which names its version.
    pub labels: BTreeMap<String, String>,
    /// Its controlling owner.
    pub controller: Option<OwnerRef>,
    /// The node it is bound to.
    pub node: Option<NodeName>,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// `deletionTimestamp`: when its grace period ends, once it is being deleted.
    pub deletion_at: Option<Timestamp>,
    /// `status.phase`.
    pub phase: Phase,
    /// `status.reason`, such as `Evicted`; empty for none.
    pub reason: String,
    /// `status.message`; empty for none.
    pub message: String,
    /// Its conditions.
    pub conditions: Vec<Condition>,
    /// `spec.readinessGates`: conditions that must be True as well.
    pub readiness_gates: Vec<String>,
    /// Its containers: those that initialise first, then the others, in the order of the spec.
    pub containers: Vec<ContainerStatus>,
}

/// A container of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerStatus {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub role: ContainerRole,
    /// The image as the spec names it.
    pub image: String,
    /// How it is now.
    pub state: ContainerState,
    /// How it ended before.
    pub last: Option<Termination>,
    /// How often it was restarted.
    pub restarts: i32,
    /// Whether it counts as ready.
    pub ready: bool,
    /// Whether its startup probe, if it has one, has succeeded; none where the kubelet has said nothing yet.
    pub started: Option<bool>,
    /// Its readiness probe.
    pub readiness: Option<Probe>,
    /// Its startup probe.
    pub startup: Option<Probe>,
    /// Its liveness probe.
    pub liveness: Option<Probe>,
    /// `resources.limits.memory` as written.
    pub memory_limit: Option<String>,
}

/// What a container is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerRole {
    /// It runs for as long as the pod.
    Main,
    /// It must end well before the others start.
    Init,
    /// An init container with `restartPolicy: Always`, which goes on beside the others.
    Sidecar,
}

/// How a container is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerState {
    /// The kubelet has said nothing yet.
    Unknown,
    /// It does not run yet, or not again.
    Waiting {
        /// Such as `ContainerCreating` or `ImagePullBackOff`; empty for none.
        reason: String,
        /// In words; empty for none.
        message: String,
    },
    /// It runs.
    Running {
        /// Since then.
        since: Option<Timestamp>,
    },
    /// It has ended.
    Terminated(Termination),
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Termination {
    /// Its exit code.
    pub exit_code: i32,
    /// Such as `Error`, `Completed`, `OOMKilled` or `StartError`; empty for none.
    pub reason: String,
    /// In words: what could not be started, or what it wrote to its termination log; empty for none.
    pub message: String,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// A probe of a container. Times are seconds, as in the spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// `initialDelaySeconds`.
    pub initial_delay: i64,
    /// `periodSeconds`.
    pub period: i64,
    /// `timeoutSeconds`.
    pub timeout: i64,
    /// `failureThreshold`.
    pub failures: i64,
    /// `successThreshold`.
    pub successes: i64,
    /// What it asks, in words: `GET :8080/healthz`, `TCP :5432`, `exec cat /ready`, `gRPC :9000`.
    pub question: String,
}

impl PodStatus {
    /// Reads a pod from its JSON.
    ///
    /// # Errors
    /// Names what does not have the shape of a pod.
    pub fn read(object: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<wire::Pod>(object).map(Self::from)
    }

    /// The condition of this type.
    pub fn condition(&self, name: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.name == name)
    }

    /// Whether condition Ready is True.
    pub fn is_ready(&self) -> bool {
        self.condition("Ready").is_some_and(|condition| condition.status == "True")
    }

    /// Since when it is Ready, if it is.
    pub fn ready_since(&self) -> Option<Timestamp> {
        self.condition("Ready").filter(|condition| condition.status == "True")?.changed_at
    }

    /// Whether it is being deleted.
    pub fn is_terminating(&self) -> bool {
        self.deletion_at.is_some()
    }

    /// Succeeded or Failed: nothing runs any more, and its controller makes another one.
    pub fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Succeeded | Phase::Failed)
    }

    /// Restarts of all its containers.
    pub fn restarts(&self) -> i32 {
        self.containers.iter().map(|container| container.restarts).sum()
    }

    /// The ordinal of a `StatefulSet`'s pod.
    pub fn ordinal(&self) -> Option<i32> {
        self.name.name.rsplit_once('-')?.1.parse().ok()
    }
}

impl From<wire::Pod> for PodStatus {
    fn from(mut pod: wire::Pod) -> Self {
        let spec = pod.spec.take().unwrap_or_default();
        let status = pod.status.take().unwrap_or_default();
        let meta = &mut pod.metadata;
        let init = statuses(&spec.init_containers.unwrap_or_default(), status.init_container_statuses, true);
        let main = statuses(&spec.containers.unwrap_or_default(), status.container_statuses, false);
        Self {
            controller: OwnerRef::controller_of(meta),
            resource_version: meta.resource_version.take().unwrap_or_default(),
            labels: meta.labels.take().unwrap_or_default(),
            node: spec.node_name.filter(|name| !name.is_empty()).map(NodeName),
            created_at: meta.creation_timestamp,
            deletion_at: meta.deletion_timestamp,
            phase: Phase::read(status.phase.as_deref()),
            reason: status.reason.unwrap_or_default(),
            message: status.message.unwrap_or_default(),
            conditions: status.conditions.into_iter().flatten().map(Condition::from).collect(),
            readiness_gates: spec.readiness_gates.into_iter().flatten().map(|gate| gate.condition_type).collect(),
            containers: init.into_iter().chain(main).collect(),
            uid: Uid::take(meta),
            name: ObjectName::take(meta),
        }
    }
}

fn statuses(
    specs: &[wire::Container],
    statuses: Option<Vec<wire::ContainerStatus>>,
    initialises: bool,
) -> Vec<ContainerStatus> {
    let statuses = statuses.unwrap_or_default();
    let with_status = |spec: &wire::Container| {
        let status = statuses.iter().find(|status| status.name == spec.name).cloned().unwrap_or_default();
        let limits = spec.resources.as_ref().and_then(|resources| resources.limits.as_ref());
        ContainerStatus {
            name: spec.name.clone(),
            role: match (initialises, spec.restart_policy.as_deref()) {
                (true, Some("Always")) => ContainerRole::Sidecar,
                (true, _) => ContainerRole::Init,
                (false, _) => ContainerRole::Main,
            },
            image: spec.image.clone().unwrap_or_default(),
            state: status.state.map_or(ContainerState::Unknown, ContainerState::from),
            last: status.last_state.and_then(|state| state.terminated).map(Termination::from),
            restarts: status.restart_count,
            ready: status.ready,
            started: status.started,
            readiness: spec.readiness_probe.as_ref().map(Probe::from),
            startup: spec.startup_probe.as_ref().map(Probe::from),
            liveness: spec.liveness_probe.as_ref().map(Probe::from),
            memory_limit: limits.and_then(|limits| limits.memory.clone()),
        }
    };
    specs.iter().map(with_status).collect()
}

impl From<wire::ContainerState> for ContainerState {
    fn from(state: wire::ContainerState) -> Self {
        if let Some(waiting) = state.waiting {
            return Self::Waiting {
                reason: waiting.reason.unwrap_or_default(),
                message: waiting.message.unwrap_or_default(),
            };
        }
        if let Some(terminated) = state.terminated {
            return Self::Terminated(terminated.into());
        }
        match state.running {
            Some(running) => Self::Running { since: running.started_at },
            None => Self::Unknown,
        }
    }
}

impl From<wire::Terminated> for Termination {
    fn from(terminated: wire::Terminated) -> Self {
        Self {
            exit_code: terminated.exit_code,
            reason: terminated.reason.unwrap_or_default(),
            message: terminated.message.unwrap_or_default(),
            started_at: terminated.started_at,
            finished_at: terminated.finished_at,
        }
    }
}

impl From<&wire::Probe> for Probe {
    /// With the API's defaults (`SetDefaults_Probe`) where a snapshot of no server lacks them.
    fn from(probe: &wire::Probe) -> Self {
        Self {
            initial_delay: probe.initial_delay_seconds.unwrap_or_default().into(),
            period: probe.period_seconds.unwrap_or(10).into(),
            timeout: probe.timeout_seconds.unwrap_or(1).into(),
            failures: probe.failure_threshold.unwrap_or(3).into(),
            successes: probe.success_threshold.unwrap_or(1).into(),
            question: question(probe),
        }
    }
}

fn question(probe: &wire::Probe) -> String {
    let port = |port: &IntOrString| match port {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(name) => name.clone(),
    };
    if let Some(http) = &probe.http_get {
        return format!("GET :{}{}", port(&http.port), http.path.as_deref().unwrap_or("/"));
    }
    if let Some(tcp) = &probe.tcp_socket {
        return format!("TCP :{}", port(&tcp.port));
    }
    if let Some(grpc) = &probe.grpc {
        return format!("gRPC :{}", grpc.port);
    }
    let command = probe.exec.as_ref().and_then(|exec| exec.command.as_deref()).unwrap_or_default();
    format!("exec {}", command.join(" "))
}
