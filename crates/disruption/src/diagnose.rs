//! Diagnosis: what is wrong with a workload's pods, from statuses, conditions and incidents.
//!
//! One look at one moment: how often and how long it must be so before it counts is decided by
//! [`crate::rollout::verdict`].

use jiff::Timestamp;

use crate::{
    model::{NodeName, ObjectName},
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

/// What is wrong. The words are stable: programs and the guide's table name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// No such image, tag or platform.
    ImageNotFound,
    /// The image's name cannot be one.
    ImageInvalid,
    /// `imagePullPolicy: Never`, and the node has no such image.
    ImageNeverPulled,
    /// The registry refuses us.
    ImageUnauthorized,
    /// The registry limits the rate, fails or does not answer.
    RegistryUnavailable,
    /// The image's signature is refused.
    ImageUntrusted,
    /// Pulling fails otherwise.
    ImagePullFailed,
    /// The pull takes long.
    ImagePulling,
    /// An object that the container's environment names does not exist, or lacks the key.
    ConfigMissing,
    /// `runAsNonRoot`, and the image runs as root.
    RunsAsRoot,
    /// The container's configuration cannot be made otherwise.
    ContainerConfig,
    /// The container cannot be created.
    ContainerCreate,
    /// The command is not in the image, or cannot be run.
    CommandFailed,
    /// The container does not start otherwise.
    ContainerStart,
    /// The postStart hook fails.
    PostStartFailed,
    /// It ends with an error again and again.
    CrashLoop,
    /// It ends well again and again, although it should go on.
    Exits,
    /// It needs more memory than its limit.
    OutOfMemory,
    /// Its liveness probe has it killed.
    LivenessFailed,
    /// Its startup probe has it killed.
    StartupFailed,
    /// It has not finished initialising.
    InitRunning,
    /// It restarted and runs again.
    Restarted,
    /// It runs, and its readiness probe fails.
    NotReady,
    /// It becomes Ready and unready by turns.
    ReadinessFlaps,
    /// It runs, and its startup probe has not succeeded yet.
    Starting,
    /// A readiness gate is not True.
    ReadinessGate,
    /// The container is being created.
    Creating,
    /// A volume's object does not exist, or lacks the key.
    VolumeMissing,
    /// A volume cannot be mounted or attached otherwise.
    VolumeMount,
    /// The pod's sandbox cannot be created.
    Sandbox,
    /// The kubelet rejected the pod.
    PodRejected,
    /// The kubelet evicted the pod, or another pod took its place.
    PodEvicted,
    /// The pod's node does not answer.
    NodeLost,
    /// A quota has no room.
    QuotaExceeded,
    /// A limit range or validation refuses the pod.
    PodInvalid,
    /// Pod security refuses the pod.
    PodSecurity,
    /// An admission webhook or policy refuses the pod.
    AdmissionDenied,
    /// An admission webhook does not answer.
    WebhookUnavailable,
    /// The service account does not exist.
    ServiceAccountMissing,
    /// The priority class or the runtime class does not exist.
    ClassMissing,
    /// The namespace is being deleted.
    NamespaceTerminating,
    /// The pod cannot be created otherwise.
    CreateFailed,
    /// The Deployment's `ReplicaSet` cannot be created.
    ReplicaSetFailed,
    /// No node matches the pod's selector, affinity or tolerations.
    NoNodeMatches,
    /// No node has enough left of a resource.
    NoRoom,
    /// The pod waits for a claim.
    ClaimPending,
    /// The pod cannot be placed otherwise.
    Unschedulable,
    /// A scheduling gate holds the pod.
    SchedulingGated,
    /// The pod has not been placed yet.
    Scheduling,
    /// The rollout is paused.
    Paused,
    /// Pods get the new version when somebody deletes them.
    OnDelete,
    /// A `StatefulSet` waits for a pod of an older version that never becomes Ready.
    OrdinalStuck,
    /// An old pod does not stop.
    TerminatingStuck,
    /// The controller says that the progress deadline has passed.
    DeadlineExceeded,
    /// The controller has not seen the spec.
    NotObserved,
    /// A reason that this program does not know.
    Unknown,
}

/// Everything that is wrong with the pods of the current version, and with the workload itself. Pods that are being
/// deleted or have been replaced show nothing.
pub fn diagnose(subject: &Subject<'_>) -> Vec<Finding> {
    let _ = subject;
    Vec::new()
}
