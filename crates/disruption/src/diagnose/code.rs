//! The words for what is wrong: stable names, what they mean, and what to do next.

use super::Finding;

/// Makes the enum, so that a code's documentation is the text that the guide shows.
macro_rules! codes {
    ($($(#[doc = $meaning:literal])+ $code:ident,)+) => {
        /// What is wrong. The words are stable: programs and the guide's table name them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $($(#[doc = $meaning])+ $code,)+
        }

        impl Code {
            /// Every code, in the order in which a pod meets them.
            pub const ALL: &[Self] = &[$(Self::$code,)+];

            /// Its name in documents.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => stringify!($code),)+
                }
            }

            /// What it means, in one sentence.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$code => concat!($($meaning),+).trim_start(),)+
                }
            }
        }
    };
}

codes! {
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
    /// A URL that must answer does not.
    ProbeFailed,
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

impl Finding {
    /// The next thing to do about it; none where waiting is all.
    pub fn remedy(&self) -> Option<String> {
        let namespace = self.pod.as_ref().map(|pod| format!(" -n {}", pod.namespace)).unwrap_or_default();
        let name = self.named().unwrap_or("NAME");
        let create = |resource: &str| {
            Some(format!("kubectl create {resource} {name}{namespace}, or correct the name in the template"))
        };
        let fixed = |text: &str| Some(text.to_owned());
        match self.code {
            Code::ConfigMissing | Code::VolumeMissing if self.message.contains("has no key") => {
                fixed("add the key, or correct its name in the template")
            }
            Code::ConfigMissing | Code::VolumeMissing => match self.message.split(' ').next() {
                Some("ConfigMap") => create("configmap"),
                Some("Secret") => create("secret generic"),
                Some("ServiceAccount") => create("serviceaccount"),
                _ => fixed("create the object, or correct its name in the template"),
            },
            Code::ServiceAccountMissing => create("serviceaccount"),
            Code::CrashLoop | Code::Exits | Code::OutOfMemory | Code::LivenessFailed | Code::StartupFailed => {
                self.logs()
            }
            Code::InitRunning | Code::NotReady | Code::Starting => self.logs_now(),
            code => code.advice().map(str::to_owned),
        }
    }

    /// The first name that the message quotes.
    fn named(&self) -> Option<&str> {
        self.message.split('"').nth(1).filter(|name| !name.is_empty())
    }

    fn logs_now(&self) -> Option<String> {
        let pod = self.pod.as_ref()?;
        let container = self.container.as_ref().map(|name| format!(" -c {name}")).unwrap_or_default();
        Some(format!("kubectl logs -n {} {}{container}", pod.namespace, pod.name))
    }

    fn logs(&self) -> Option<String> {
        let logs = self.logs_now()?;
        let also = self.code.advice().map(|advice| format!("; {advice}")).unwrap_or_default();
        Some(format!("{logs} --previous{also}"))
    }
}

impl Code {
    /// What usually helps.
    const fn advice(self) -> Option<&'static str> {
        Some(match self {
            Self::ImageNotFound => "tag pushed? built for the nodes' platform?",
            Self::ImageInvalid => "correct the image's name in the template",
            Self::ImageNeverPulled => "load the image onto the nodes, or set imagePullPolicy IfNotPresent",
            Self::ImageUnauthorized => "check imagePullSecrets of the template and of its service account",
            Self::RegistryUnavailable => "check the registry; the kubelet goes on trying",
            Self::ImageUntrusted => "sign the image, or correct the nodes' signature policy",
            Self::RunsAsRoot => "set runAsUser in the template, or USER in the image (as a number)",
            Self::ImagePullFailed | Self::ContainerConfig | Self::ContainerCreate | Self::ContainerStart => {
                "kubectl describe pod shows the runtime's whole message"
            }
            Self::CommandFailed => "correct command in the template, or the image",
            Self::PostStartFailed => "correct lifecycle.postStart in the template",
            Self::Exits => "does the command stay in the foreground?",
            Self::OutOfMemory => "raise resources.limits.memory, or make it need less",
            Self::LivenessFailed => "check the livenessProbe's path, port and delays",
            Self::StartupFailed => "check the startupProbe's path, port and failureThreshold",
            Self::ReadinessGate => "check the controller that sets the condition",
            Self::VolumeMount => "kubectl describe pod shows the volume's events",
            Self::Sandbox => "check the network plugin and the runtime of the node",
            Self::PodEvicted | Self::NodeLost => "check the node",
            Self::PodRejected => "check the node and what the pod asks of it",
            Self::QuotaExceeded => "raise the quota, or set maxSurge 0 so that old pods make room",
            Self::PodInvalid => "correct the template",
            Self::PodSecurity => "correct securityContext in the template, or the namespace's level",
            Self::AdmissionDenied => "correct the template, or ask the policy's owner",
            Self::WebhookUnavailable => "repair the webhook; the controller goes on trying, with long pauses",
            Self::ClassMissing => "create the class, or correct its name in the template",
            Self::NamespaceTerminating => "nothing can be created here until the namespace is made anew",
            Self::CreateFailed | Self::ReplicaSetFailed => "the message is the API server's: correct what it names",
            Self::NoNodeMatches => "check nodeSelector, affinity and tolerations against the nodes' labels and taints",
            Self::NoRoom => "ask for less, add nodes, or set maxSurge 0 so that old pods make room",
            Self::ClaimPending => "kubectl describe pvc shows why it is not bound",
            Self::Unschedulable => "kubectl describe pod shows the scheduler's whole message",
            Self::SchedulingGated => "whoever set the scheduling gate must remove it",
            Self::Paused => "kubectl rollout resume",
            Self::OnDelete => "delete the old pods one by one",
            Self::OrdinalStuck => "delete exactly this pod: its successor gets the new version",
            Self::TerminatingStuck => "check its node and its finalizers",
            Self::NotObserved => "check kube-controller-manager",
            _ => return None,
        })
    }
}
