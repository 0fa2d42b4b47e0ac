//! A cluster of any size that never was: always the same for the same size, as the objects that kubectl prints.

use std::io::Write;

use anyhow::{Context, Result};
use disruption::{
    model::WorkloadKind,
    snapshot::{self, Object, Snapshot},
};
use serde::{Serialize, Serializer};
use serde_json::{Value, json, ser::PrettyFormatter};

/// Nodes, whatever the number of pods.
pub(crate) const NODES: usize = 5_000;

/// Disruption budgets, whatever the number of pods; the smallest cluster must have as many workloads for them.
pub(crate) const BUDGETS: usize = 2_000;

/// Namespaces of teams: few enough that a drain of some nodes has to do with nearly all of them whatever the number of
/// pods, or a larger cluster would differ in more than its size. One workload of [`IN_COMMON`] is in one common
/// namespace, as in clusters that have grown.
const NAMESPACES: usize = 100;
const IN_COMMON: u64 = 10;

/// Of this many pods, one for each node is a `DaemonSet`'s.
const PODS_FOR_DAEMON_SET: usize = 25_000;

/// Pods of `StatefulSet`s and Jobs, in percent; the rest are of Deployments.
const STATEFUL_PERCENT: usize = 15;
const JOB_PERCENT: usize = 5;

/// How many pods workloads have, each number as often as the others.
const DEPLOYMENT_SIZES: [usize; 10] = [1, 1, 2, 2, 3, 4, 6, 10, 21, 50];
const STATEFUL_SIZES: [usize; 3] = [1, 3, 5];
const JOB_SIZES: [usize; 2] = [1, 4];

/// `ReplicaSet`s of earlier revisions that each Deployment keeps, without pods.
const OLD_REVISIONS: usize = 2;

/// One pod of so many is not as it should be.
const UNREADY_ONE_OF: u64 = 100;
const PENDING_ONE_OF: u64 = 250;
const TERMINATING_ONE_OF: u64 = 1_000;

/// The moment of the snapshot, and when things began before it.
const NOW: &str = "2026-03-01T12:00:00Z";
const CREATED: &str = "2026-02-20T08:15:30Z";
const STARTED: &str = "2026-02-20T08:15:31Z";
const READY: &str = "2026-02-20T08:15:42Z";

/// A cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    workloads: Vec<Workload>,
}

#[derive(Debug)]
struct Workload {
    kind: Kind,
    namespace: String,
    name: String,
    pods: usize,
    budget: Option<Value>,
    /// What everything random about it and its pods follows from.
    seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Deployment,
    StatefulSet,
    DaemonSet,
    Job,
}

/// How a pod fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Ready,
    Crashing,
    Unscheduled,
    Terminating,
    Succeeded,
}

/// The name of a node by its number.
pub(crate) fn node_name(number: usize) -> String {
    format!("ip-10-{}-{}-{}.example.internal", number / 10_000, number / 100 % 100, number % 100)
}

impl Cluster {
    /// A cluster with so many pods.
    pub(crate) fn new(pods: usize) -> Self {
        let mut random = Random(1);
        let mut workloads = Vec::new();
        let daemon_sets = pods / PODS_FOR_DAEMON_SET;
        let (stateful, jobs) = (pods * STATEFUL_PERCENT / 100, pods * JOB_PERCENT / 100);
        let deployed = pods - daemon_sets * NODES - stateful - jobs;
        add(&mut workloads, &mut random, Kind::Deployment, deployed, &DEPLOYMENT_SIZES);
        add(&mut workloads, &mut random, Kind::StatefulSet, stateful, &STATEFUL_SIZES);
        give_budgets(&mut workloads, &mut random);
        add(&mut workloads, &mut random, Kind::DaemonSet, daemon_sets * NODES, &[NODES]);
        add(&mut workloads, &mut random, Kind::Job, jobs, &JOB_SIZES);
        Self { workloads }
    }

    /// The number of pods.
    pub(crate) fn pods(&self) -> usize {
        self.workloads.iter().map(|workload| workload.pods).sum()
    }

    /// The cluster as plans read it.
    pub(crate) fn snapshot(&self) -> Result<Snapshot> {
        let mut snapshot = Snapshot::new(NOW.parse()?);
        for object in self.objects() {
            snapshot.insert(prune(&object)?);
        }
        Ok(snapshot)
    }

    /// Writes the cluster as `kubectl get … -o json` prints it, object by object.
    pub(crate) fn write(&self, to: impl Write) -> Result<()> {
        let mut serializer = serde_json::Serializer::with_formatter(to, PrettyFormatter::with_indent(b"    "));
        let metadata = json!({"resourceVersion": ""});
        List { api_version: "v1", items: Items(self), kind: "List", metadata }.serialize(&mut serializer)?;
        Ok(())
    }

    /// Everything in it, one object after the other.
    fn objects(&self) -> impl Iterator<Item = Value> {
        let pods = self.workloads.iter().flat_map(Workload::pods);
        let budgets = self.workloads.iter().filter_map(|workload| workload.budget.clone());
        let owners = self.workloads.iter().flat_map(Workload::objects);
        (0..NODES).map(node).chain(pods).chain(budgets).chain(owners)
    }
}

/// A List whose items are made while it is written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    api_version: &'a str,
    items: Items<'a>,
    kind: &'a str,
    metadata: Value,
}

struct Items<'a>(&'a Cluster);

impl Serialize for Items<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.objects())
    }
}

fn prune(object: &Value) -> Result<Object> {
    let kind = match object["kind"].as_str().unwrap_or_default() {
        "Node" => snapshot::Kind::Node,
        "Pod" => snapshot::Kind::Pod,
        "PodDisruptionBudget" => snapshot::Kind::PodDisruptionBudget,
        other => {
            let workload = WorkloadKind::ALL.into_iter().find(|kind| kind.as_str() == other);
            snapshot::Kind::Workload(workload.with_context(|| format!("the synthetic cluster has a {other:?}"))?)
        }
    };
    let read = Object::read_for_drain(kind, &object.to_string()).context("an object of the synthetic cluster")?;
    read.context("a kind that plans don't read")
}

/// Adds workloads of one kind until they have so many pods.
fn add(workloads: &mut Vec<Workload>, random: &mut Random, kind: Kind, pods: usize, sizes: &[usize]) {
    let mut left = pods;
    while left > 0 {
        let pods = sizes[random.below(sizes.len())].min(left);
        let is_common = kind == Kind::DaemonSet || random.one_of(IN_COMMON);
        let namespace = if is_common { "common".to_owned() } else { format!("team-{:03}", random.below(NAMESPACES)) };
        let name = format!("{}-{:05}", kind.app(), workloads.len());
        workloads.push(Workload { kind, namespace, name, pods, budget: None, seed: random.next() });
        left -= pods;
    }
}

/// Gives every n-th of the workloads a budget, so that there are [`BUDGETS`] of them.
fn give_budgets(workloads: &mut [Workload], random: &mut Random) {
    let total = workloads.len();
    for number in 0..BUDGETS.min(total) {
        let workload = &mut workloads[number * total / BUDGETS.min(total)];
        let limit = match random.below(20) {
            0 => json!({"minAvailable": workload.pods}),
            1..=8 => json!({"minAvailable": "50%"}),
            9..=12 => json!({"maxUnavailable": "25%"}),
            _ => json!({"maxUnavailable": 1}),
        };
        workload.budget = Some(workload.disruption_budget(limit));
    }
}

impl Workload {
    fn pods(&self) -> impl Iterator<Item = Value> {
        let mut random = Random(self.seed);
        (0..self.pods).map(move |number| self.pod(number, &mut random))
    }

    /// Itself, and what stands between it and its pods.
    fn objects(&self) -> Vec<Value> {
        let mut objects = vec![self.object()];
        if self.kind == Kind::Deployment {
            objects.extend((0..=OLD_REVISIONS).map(|age| self.replica_set(age)));
        }
        objects
    }

    fn object(&self) -> Value {
        let pods = self.pods;
        let metadata = self.metadata(&self.name, &self.uid());
        let (api_version, own_spec, status) = match self.kind {
            Kind::Deployment => (
                "apps/v1",
                json!({"replicas": pods, "strategy": {"type": "RollingUpdate",
                    "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}}),
                json!({"replicas": pods, "readyReplicas": pods, "availableReplicas": pods, "updatedReplicas": pods,
                    "observedGeneration": 1}),
            ),
            Kind::StatefulSet => (
                "apps/v1",
                json!({"replicas": pods, "serviceName": self.name, "podManagementPolicy": "OrderedReady"}),
                json!({"replicas": pods, "readyReplicas": pods, "currentReplicas": pods, "observedGeneration": 1}),
            ),
            Kind::DaemonSet => (
                "apps/v1",
                json!({}),
                json!({"currentNumberScheduled": pods, "desiredNumberScheduled": pods, "numberReady": pods,
                    "numberMisscheduled": 0, "observedGeneration": 1}),
            ),
            Kind::Job => (
                "batch/v1",
                json!({"parallelism": pods, "completions": pods, "backoffLimit": 6}),
                json!({"active": pods, "ready": pods, "startTime": STARTED}),
            ),
        };
        let mut spec = self.spec_with_template();
        if let (Value::Object(spec), Value::Object(own)) = (&mut spec, own_spec) {
            spec.extend(own);
        }
        json!({"apiVersion": api_version, "kind": self.kind.name(), "metadata": metadata, "spec": spec,
            "status": status})
    }

    fn replica_set(&self, age: usize) -> Value {
        let pods = if age == 0 { self.pods } else { 0 };
        let name = format!("{}-{}", self.name, self.template_hash(age));
        let mut metadata = self.metadata(&name, &self.replica_set_uid(age));
        metadata["ownerReferences"] = json!([owner("apps/v1", "Deployment", &self.name, &self.uid())]);
        metadata["labels"]["pod-template-hash"] = self.template_hash(age).into();
        let mut spec = self.spec_with_template();
        spec["replicas"] = pods.into();
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata, "spec": spec,
            "status": {"replicas": pods, "readyReplicas": pods, "availableReplicas": pods, "observedGeneration": 1}})
    }

    fn disruption_budget(&self, limit: Value) -> Value {
        let mut spec = limit;
        spec["selector"] = json!({"matchLabels": {"app.kubernetes.io/name": self.name}});
        json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": self.metadata(&self.name, &uid(self.seed ^ 0xb)),
            "spec": spec,
            "status": {
                "conditions": [{"type": "DisruptionAllowed", "status": "True", "reason": "SufficientPods",
                    "message": "", "lastTransitionTime": READY, "observedGeneration": 1}],
                "currentHealthy": self.pods, "desiredHealthy": self.pods - 1, "disruptionsAllowed": 1,
                "expectedPods": self.pods, "observedGeneration": 1,
            },
        })
    }

    fn metadata(&self, name: &str, uid: &str) -> Value {
        json!({
            "annotations": {
                "deployment.kubernetes.io/revision": "3",
                "meta.helm.sh/release-name": self.name,
                "meta.helm.sh/release-namespace": self.namespace,
            },
            "creationTimestamp": CREATED, "generation": 1, "labels": self.labels(), "name": name,
            "namespace": self.namespace, "resourceVersion": "184467440", "uid": uid,
        })
    }

    fn labels(&self) -> Value {
        json!({
            "app.kubernetes.io/component": self.kind.app(),
            "app.kubernetes.io/instance": format!("{}-production", self.name),
            "app.kubernetes.io/managed-by": "Helm",
            "app.kubernetes.io/name": self.name,
            "app.kubernetes.io/version": "4.12.3",
            "helm.sh/chart": format!("{}-4.12.3", self.kind.app()),
        })
    }

    fn spec_with_template(&self) -> Value {
        json!({
            "selector": {"matchLabels": {"app.kubernetes.io/name": self.name}},
            "template": {"metadata": {"creationTimestamp": null, "labels": self.labels()}, "spec": self.pod_spec()},
        })
    }

    fn pod(&self, number: usize, random: &mut Random) -> Value {
        let name = match self.kind {
            Kind::Deployment => format!("{}-{}-{}", self.name, self.template_hash(0), random.word(5)),
            Kind::StatefulSet => format!("{}-{number}", self.name),
            Kind::DaemonSet | Kind::Job => format!("{}-{}", self.name, random.word(5)),
        };
        let place = random.below(NODES);
        // A word of five letters may come twice among many pods of one owner; a number may not.
        let name = if self.kind == Kind::DaemonSet { format!("{name}{number}") } else { name };
        let node = node_name(if self.kind == Kind::DaemonSet { number } else { place });
        let health = self.health(random);
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": self.pod_metadata(&name, random),
            "spec": self.pod_spec(),
            "status": self.pod_status(health, random),
        });
        if health == Health::Terminating {
            pod["metadata"]["deletionTimestamp"] = "2026-03-01T12:00:20Z".into();
            pod["metadata"]["deletionGracePeriodSeconds"] = 30.into();
        }
        if health != Health::Unscheduled {
            pod["spec"]["nodeName"] = node.into();
        }
        if self.kind == Kind::StatefulSet {
            let claim = json!({"name": "data", "persistentVolumeClaim": {"claimName": format!("data-{name}")}});
            if let Some(volumes) = pod["spec"]["volumes"].as_array_mut() {
                volumes.push(claim);
            }
        }
        pod
    }

    fn health(&self, random: &mut Random) -> Health {
        match self.kind {
            Kind::Job if random.one_of(2) => Health::Succeeded,
            Kind::DaemonSet => Health::Ready,
            _ if random.one_of(UNREADY_ONE_OF) => Health::Crashing,
            _ if random.one_of(PENDING_ONE_OF) => Health::Unscheduled,
            _ if random.one_of(TERMINATING_ONE_OF) => Health::Terminating,
            _ => Health::Ready,
        }
    }

    fn pod_metadata(&self, name: &str, random: &mut Random) -> Value {
        let mut labels = self.labels();
        labels["pod-template-hash"] = self.template_hash(0).into();
        let owner = match self.kind {
            Kind::Deployment => {
                let set = format!("{}-{}", self.name, self.template_hash(0));
                owner("apps/v1", "ReplicaSet", &set, &self.replica_set_uid(0))
            }
            Kind::Job => owner("batch/v1", "Job", &self.name, &self.uid()),
            Kind::StatefulSet | Kind::DaemonSet => owner("apps/v1", self.kind.name(), &self.name, &self.uid()),
        };
        json!({
            "annotations": {
                "checksum/config": format!("{:016x}{:016x}", random.next(), random.next()),
                "prometheus.io/path": "/metrics",
                "prometheus.io/port": "9102",
                "prometheus.io/scrape": "true",
            },
            "creationTimestamp": CREATED, "generateName": format!("{}-", self.name), "generation": 1,
            "labels": labels, "name": name, "namespace": self.namespace, "ownerReferences": [owner],
            "resourceVersion": (random.next() % 1_000_000_000).to_string(), "uid": uid(random.next()),
        })
    }

    fn pod_spec(&self) -> Value {
        let volumes = if self.kind == Kind::DaemonSet {
            json!([{"name": "log", "hostPath": {"path": "/var/log", "type": ""}}, service_account_volume()])
        } else if Random(self.seed).one_of(4) {
            json!([{"name": "scratch", "emptyDir": {}}, service_account_volume()])
        } else {
            json!([{"name": "config", "configMap": {"name": self.name, "defaultMode": 420}}, service_account_volume()])
        };
        let tolerations = if self.kind == Kind::DaemonSet {
            json!([{"operator": "Exists"}])
        } else {
            json!([
                {"effect": "NoExecute", "key": "node.kubernetes.io/not-ready", "operator": "Exists",
                    "tolerationSeconds": 300},
                {"effect": "NoExecute", "key": "node.kubernetes.io/unreachable", "operator": "Exists",
                    "tolerationSeconds": 300},
            ])
        };
        json!({
            "containers": [self.container()],
            "dnsPolicy": "ClusterFirst", "enableServiceLinks": true, "preemptionPolicy": "PreemptLowerPriority",
            "priority": 0, "restartPolicy": if self.kind == Kind::Job { "Never" } else { "Always" },
            "schedulerName": "default-scheduler",
            "securityContext": {"fsGroup": 1000, "runAsNonRoot": true, "runAsUser": 1000},
            "serviceAccount": self.name, "serviceAccountName": self.name, "terminationGracePeriodSeconds": 30,
            "tolerations": tolerations, "volumes": volumes,
        })
    }

    fn container(&self) -> Value {
        let probe = |path: &str| {
            json!({"failureThreshold": 3, "httpGet": {"path": path, "port": "http", "scheme": "HTTP"},
                "periodSeconds": 10, "successThreshold": 1, "timeoutSeconds": 1})
        };
        json!({
            "args": ["--config=/etc/app/config.yaml", "--log-format=json"],
            "env": [
                {"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
                {"name": "POD_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}},
                {"name": "LOG_LEVEL", "value": "info"},
                {"name": "DATABASE_HOST", "value": format!("database.{}.svc.cluster.local", self.namespace)},
                {"name": "DATABASE_PASSWORD", "valueFrom": {"secretKeyRef": {"key": "password", "name": self.name}}},
            ],
            "image": self.image(), "imagePullPolicy": "IfNotPresent", "livenessProbe": probe("/healthz"),
            "name": "main", "ports": [{"containerPort": 8080, "name": "http", "protocol": "TCP"}],
            "readinessProbe": probe("/readyz"),
            "resources": {"limits": {"memory": "512Mi"}, "requests": {"cpu": "100m", "memory": "256Mi"}},
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": true},
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
            "volumeMounts": [
                {"mountPath": "/etc/app", "name": "config", "readOnly": true},
                {"mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "name": "kube-api-access-x7k2p",
                    "readOnly": true},
            ],
        })
    }

    fn pod_status(&self, health: Health, random: &mut Random) -> Value {
        let condition = |kind: &str, holds: bool| {
            json!({"lastProbeTime": null, "lastTransitionTime": READY, "status": if holds { "True" } else { "False" },
                "type": kind})
        };
        if health == Health::Unscheduled {
            let mut unscheduled = condition("PodScheduled", false);
            unscheduled["reason"] = "Unschedulable".into();
            unscheduled["message"] = "0/5000 nodes are available: 5000 Insufficient memory.".into();
            return json!({"conditions": [unscheduled], "phase": "Pending", "qosClass": "Burstable"});
        }
        let is_ready = matches!(health, Health::Ready | Health::Terminating);
        let state = match health {
            Health::Crashing => json!({"waiting": {"reason": "CrashLoopBackOff",
                "message": "back-off 5m0s restarting failed container=main"}}),
            Health::Succeeded => json!({"terminated": {"exitCode": 0, "finishedAt": READY, "reason": "Completed",
                "startedAt": STARTED}}),
            Health::Ready | Health::Terminating | Health::Unscheduled => json!({"running": {"startedAt": STARTED}}),
        };
        let digest = format!("{:016x}{:016x}", random.next(), random.next());
        let ip = format!("10.{}.{}.{}", random.below(256), random.below(256), random.below(256));
        json!({
            "conditions": [
                condition("PodReadyToStartContainers", true),
                condition("Initialized", true),
                condition("Ready", is_ready),
                condition("ContainersReady", is_ready),
                condition("PodScheduled", true),
            ],
            "containerStatuses": [{
                "containerID": format!("containerd://{digest}{digest}"), "image": self.image(),
                "imageID": format!("registry.example.com/{}@sha256:{digest}{digest}", self.kind.app()),
                "lastState": {}, "name": "main", "ready": is_ready,
                "restartCount": if health == Health::Crashing { 212 } else { 0 },
                "started": is_ready, "state": state,
            }],
            "hostIP": ip, "hostIPs": [{"ip": ip}],
            "phase": if health == Health::Succeeded { "Succeeded" } else { "Running" },
            "podIP": ip, "podIPs": [{"ip": ip}], "qosClass": "Burstable", "startTime": STARTED,
        })
    }

    fn image(&self) -> String {
        format!("registry.example.com/{}:4.12.3", self.kind.app())
    }

    fn uid(&self) -> String {
        uid(self.seed)
    }

    fn replica_set_uid(&self, age: usize) -> String {
        uid(Random(self.seed).nth(age + 1))
    }

    fn template_hash(&self, age: usize) -> String {
        let mut random = Random(Random(self.seed).nth(age + 1));
        random.word(9)
    }
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::Job => "Job",
        }
    }

    const fn app(self) -> &'static str {
        match self {
            Self::Deployment => "service",
            Self::StatefulSet => "database",
            Self::DaemonSet => "agent",
            Self::Job => "task",
        }
    }
}

fn node(number: usize) -> Value {
    let mut random = Random(number as u64);
    let name = node_name(number);
    let condition = |kind: &str, holds: bool, reason: &str| {
        json!({"lastHeartbeatTime": NOW, "lastTransitionTime": CREATED, "message": "", "reason": reason,
            "status": if holds { "True" } else { "False" }, "type": kind})
    };
    let image = |number: usize| {
        json!({"names": [format!("registry.example.com/service-{number}@sha256:{:016x}", random.next()),
            format!("registry.example.com/service-{number}:4.12.3")], "sizeBytes": 123_456_789})
    };
    let images: Vec<Value> = (0..20).map(image).collect();
    let size = json!({"cpu": "16", "ephemeral-storage": "203056560Ki", "memory": "65039060Ki", "pods": "110"});
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "annotations": {"node.alpha.kubernetes.io/ttl": "0"}, "creationTimestamp": CREATED,
            "labels": {
                "kubernetes.io/arch": "amd64", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux",
                "node.kubernetes.io/instance-type": "m7.4xlarge",
                "topology.kubernetes.io/zone": format!("zone-{}", number % 3),
            },
            "name": name, "resourceVersion": "184467440", "uid": uid(number as u64 ^ 0xe),
        },
        "spec": {"podCIDR": "10.0.0.0/24", "providerID": format!("cloud:///zone/{number}")},
        "status": {
            "addresses": [{"address": name, "type": "Hostname"}],
            "allocatable": size, "capacity": size,
            "conditions": [
                condition("MemoryPressure", false, "KubeletHasSufficientMemory"),
                condition("DiskPressure", false, "KubeletHasNoDiskPressure"),
                condition("PIDPressure", false, "KubeletHasSufficientPID"),
                condition("Ready", true, "KubeletReady"),
            ],
            "images": images,
            "nodeInfo": {
                "architecture": "amd64", "bootID": uid(number as u64), "containerRuntimeVersion": "containerd://2.1.4",
                "kernelVersion": "6.12.40", "kubeProxyVersion": "", "kubeletVersion": "v1.36.3",
                "machineID": uid(number as u64), "operatingSystem": "linux", "osImage": "Linux",
                "systemUUID": uid(number as u64),
            },
        },
    })
}

fn owner(api_version: &str, kind: &str, name: &str, uid: &str) -> Value {
    json!({"apiVersion": api_version, "blockOwnerDeletion": true, "controller": true, "kind": kind, "name": name,
        "uid": uid})
}

/// The volume that the apiserver gives to each pod.
fn service_account_volume() -> Value {
    json!({"name": "kube-api-access-x7k2p", "projected": {"defaultMode": 420, "sources": [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"items": [{"key": "ca.crt", "path": "ca.crt"}], "name": "kube-root-ca.crt"}},
        {"downwardAPI": {"items": [{"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
            "path": "namespace"}]}},
    ]}})
}

fn uid(seed: u64) -> String {
    let mut random = Random(seed);
    let (high, low) = (random.next(), random.next());
    let word = |bits: u64| bits & 0xffff;
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        word(high >> 16),
        word(high),
        word(low >> 48),
        low & 0xffff_ffff_ffff
    )
}

/// A sequence that looks random and is always the same: a linear congruential generator, whose high bits are good.
#[derive(Debug, Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Mixed, so that the high bits reach all others.
        (self.0 ^ (self.0 >> 29)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_right(32)
    }

    /// The n-th number from here.
    fn nth(mut self, n: usize) -> u64 {
        (0..n).map(|_| self.next()).last().unwrap_or(self.0)
    }

    fn below(&mut self, limit: usize) -> usize {
        // Below `limit`, which is a usize.
        usize::try_from(self.next() % limit as u64).unwrap_or_default()
    }

    fn one_of(&mut self, number: u64) -> bool {
        self.next().is_multiple_of(number)
    }

    /// A word as in the names of pods.
    fn word(&mut self, letters: usize) -> String {
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        (0..letters).map(|_| char::from(LETTERS[self.below(LETTERS.len())])).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const PODS: usize = 25_000;

    #[test]
    fn the_numbers_are_right_and_no_name_or_uid_comes_twice() {
        let snapshot = Cluster::new(PODS).snapshot().unwrap();
        assert_eq!((snapshot.nodes.len(), snapshot.budgets.len(), snapshot.pods.len()), (NODES, BUDGETS, PODS));
        let names: HashSet<_> = snapshot.pods.iter().map(|pod| &pod.name).collect();
        let uids: HashSet<_> = snapshot.pods.iter().map(|pod| &pod.uid).collect();
        assert_eq!((names.len(), uids.len()), (PODS, PODS));
    }

    #[test]
    fn the_file_holds_the_same_cluster() {
        let cluster = Cluster::new(500);
        let mut file = Vec::new();
        cluster.write(&mut file).unwrap();
        let (read, made) = (disruption::snapshot::read(&*file).unwrap(), cluster.snapshot().unwrap());
        assert_eq!(read.pods, made.pods);
        assert_eq!(read.budgets, made.budgets);
    }
}
