//! Small states made by hand, one or more for every code.

use serde_json::{Value, json};

use super::{super::*, stalls::object};
use crate::rollout::view::View;

const NOW: &str = "2026-01-01T12:00:00Z";
/// When the pod was made: two minutes ago.
const BEGAN: &str = "2026-01-01T11:58:00Z";
const POD: &str = "web-6b84dcf9cd-x2x4z";

/// A Deployment `web` with an old and a new `ReplicaSet`, as a list of objects to add to.
struct World(Vec<Value>);

fn world() -> World {
    let template = |image: &str| {
        json!({"metadata": {"labels": {"app": "web"}}, "spec": {
            "containers": [{"name": "web", "image": image}],
            "volumes": [{"name": "cfg", "configMap": {"name": "settings"}}, {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        }})
    };
    let set = |name: &str, uid: &str, number: &str, image: &str, at: &str| {
        json!({"kind": "ReplicaSet", "metadata": {"name": name, "namespace": "shop", "uid": uid, "creationTimestamp": at,
            "labels": {"pod-template-hash": name.trim_start_matches("web-")},
            "annotations": {"deployment.kubernetes.io/revision": number},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d", "controller": true}]},
            "spec": {"replicas": 1, "selector": {}, "template": template(image)}, "status": {"replicas": 1}})
    };
    let deployment = json!({"kind": "Deployment", "metadata": {"name": "web", "namespace": "shop", "uid": "d", "generation": 2},
        "spec": {"replicas": 1, "selector": {}, "template": template("shop/web:2"), "progressDeadlineSeconds": 60},
        "status": {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1}});
    World(vec![
        deployment,
        set("web-66557844dc", "old", "1", "shop/web:1", "2026-01-01T09:00:00Z"),
        set("web-6b84dcf9cd", "new", "2", "shop/web:2", BEGAN),
    ])
}

/// A `StatefulSet` or a `DaemonSet` `db` at its second revision.
fn set_world(kind: &str) -> World {
    let template = |image: &str| json!({"spec": {"containers": [{"name": "db", "image": image}]}});
    let revision = |number: i64, image: &str, at: &str| {
        let name = format!("db-{number}{number}{number}");
        let mut template = template(image);
        template["$patch"] = "replace".into();
        json!({"kind": "ControllerRevision", "revision": number, "data": {"spec": {"template": template}},
            "metadata": {"name": name, "namespace": "shop", "uid": format!("r{number}"), "creationTimestamp": at,
            "labels": {"controller-revision-hash": name},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": kind, "name": "db", "uid": "s", "controller": true}]}})
    };
    let set = json!({"kind": kind, "metadata": {"name": "db", "namespace": "shop", "uid": "s", "generation": 2},
        "spec": {"replicas": 2, "selector": {}, "serviceName": "db", "template": template("db:2"), "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {}}},
        "status": {"observedGeneration": 2, "replicas": 2, "currentRevision": "db-111", "updateRevision": "db-222",
            "currentNumberScheduled": 2, "desiredNumberScheduled": 2, "numberMisscheduled": 0, "numberReady": 1}});
    World(vec![set, revision(1, "db:1", "2026-01-01T09:00:00Z"), revision(2, "db:2", BEGAN)])
}

impl World {
    /// Merges into the workload itself.
    fn workload(mut self, change: Value) -> Self {
        merge(&mut self.0[0], change);
        self
    }

    /// Merges into the newer revision.
    fn current(mut self, change: Value) -> Self {
        merge(&mut self.0[2], change);
        self
    }

    fn with(mut self, object: Value) -> Self {
        self.0.push(object);
        self
    }

    /// A pod of the current version, changed.
    fn pod(self, change: Value) -> Self {
        let mut pod = pod();
        merge(&mut pod, change);
        self.with(pod)
    }

    /// The pod with its one container so.
    fn container(self, status: Value) -> Self {
        let mut full = json!({"name": "web", "image": "", "imageID": "", "ready": false, "restartCount": 0});
        merge(&mut full, status);
        self.pod(json!({"status": {"containerStatuses": [full]}}))
    }

    fn waits(self, reason: &str, message: &str) -> Self {
        self.container(json!({"state": {"waiting": {"reason": reason, "message": message}}}))
    }

    /// Seen three times, last 10 s ago; of the pod's container.
    fn event(self, reason: &str, message: &str) -> Self {
        self.event_at(reason, message, 3, "2026-01-01T11:59:50Z")
    }

    fn event_at(mut self, reason: &str, message: &str, count: i32, at: &str) -> Self {
        let about = json!({"kind": "Pod", "name": POD, "uid": "p", "fieldPath": "spec.containers{web}"});
        let event = event(&about, &format!("e{}", self.0.len()), reason, message, count, at);
        self.0.push(event);
        self
    }

    fn event_of(mut self, uid: &str, reason: &str, message: &str, at: &str) -> Self {
        let event = event(&json!({"uid": uid}), &format!("e{}", self.0.len()), reason, message, 3, at);
        self.0.push(event);
        self
    }

    fn findings(self) -> Vec<Finding> {
        let mut view = View::default();
        self.0.iter().filter_map(object).for_each(|object| view.insert(object));
        let rollout = view.rollouts().next().unwrap();
        diagnose(&view.subject(rollout, NOW.parse().unwrap()))
    }
}

fn pod() -> Value {
    json!({"kind": "Pod", "metadata": {"name": POD, "namespace": "shop", "uid": "p", "creationTimestamp": BEGAN,
        "labels": {"pod-template-hash": "6b84dcf9cd", "controller-revision-hash": "db-222"},
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-6b84dcf9cd", "uid": "new", "controller": true}]},
        "spec": {"nodeName": "n1", "containers": [{"name": "web", "image": "shop/web:2"}]},
        "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": BEGAN}]}})
}

/// A pod of a set, by its ordinal or random end, at a revision.
fn set_pod(end: &str, revision: &str, is_ready: bool) -> Value {
    let (ready, phase) = if is_ready { ("True", "Running") } else { ("False", "Pending") };
    let state = if is_ready {
        json!({"running": {"startedAt": BEGAN}})
    } else {
        json!({"waiting": {"reason": "ErrImagePull", "message": "not found"}})
    };
    json!({"kind": "Pod", "metadata": {"name": format!("db-{end}"), "namespace": "shop", "uid": format!("p{end}"), "creationTimestamp": BEGAN,
        "labels": {"controller-revision-hash": revision},
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "s", "controller": true}]},
        "spec": {"nodeName": "n1", "containers": [{"name": "db", "image": "db:9"}]},
        "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready, "reason": "x", "lastTransitionTime": BEGAN}],
            "containerStatuses": [{"name": "db", "image": "", "imageID": "", "ready": is_ready, "restartCount": 0, "state": state}]}})
}

fn event(about: &Value, name: &str, reason: &str, message: &str, count: i32, at: &str) -> Value {
    json!({"kind": "Event", "metadata": {"name": name, "namespace": "shop"}, "involvedObject": about, "type": "Warning",
        "reason": reason, "message": message, "count": count, "firstTimestamp": "2026-01-01T11:58:30Z", "lastTimestamp": at})
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// Every finding as `Class Code xN: message`, in order.
#[track_caller]
fn check(world: World, expected: &[&str]) {
    let shown = |finding: &Finding| {
        let Finding { code, class, count, message, .. } = finding;
        format!("{} {} x{count}: {message}", class.as_str(), code.as_str())
    };
    let findings: Vec<String> = world.findings().iter().map(shown).collect();
    assert_eq!(findings, expected);
}

fn ended(reason: &str, exit_code: i32, message: &str) -> Value {
    json!({"terminated": {"reason": reason, "exitCode": exit_code, "message": message, "startedAt": "2026-01-01T11:59:40Z",
        "finishedAt": "2026-01-01T11:59:50Z"}})
}

fn running() -> Value {
    json!({"running": {"startedAt": "2026-01-01T11:59:00Z"}})
}

#[test]
fn images() {
    let pull = |message: &str| world().waits("ErrImagePull", message);
    let found = "Fatal ImageNotFound x1: image \"shop/web:2\" not found";
    for message in [
        "rpc error: code = NotFound desc = failed to pull and unpack image \"docker.io/shop/web:2\": failed to resolve image: docker.io/shop/web:2: not found",
        "Error response from daemon: manifest for shop/web:2 not found: manifest unknown: manifest unknown",
        "Back-off pulling image \"shop/web:2\": ErrImagePull: docker.io/shop/web:2: not found",
    ] {
        check(pull(message), &[found]);
        check(world().waits("ImagePullBackOff", message), &[found]);
    }
    check(
        pull("no match for platform in manifest: not found"),
        &["Fatal ImageNotFound x1: image \"shop/web:2\" is not built for the node's platform"],
    );
    // Transient before everything, whatever is wrapped in what.
    let now = |class: &str, why: &str| {
        format!("{class} RegistryUnavailable x1: image \"shop/web:2\" cannot be pulled now: {why}")
    };
    for (message, why) in [
        (
            "429 Too Many Requests - Server message: toomanyrequests: You have reached your pull rate limit as \"jane\": access denied",
            "the registry limits the rate",
        ),
        ("failed to authorize: failed to fetch oauth token: 503 Service Unavailable", "the registry fails"),
        (
            "failed to authorize: failed to fetch anonymous token: dial tcp: lookup auth.example.com: no such host",
            "its registry's name is unknown",
        ),
        ("dial tcp 10.0.0.1:443: i/o timeout: not found", "its registry does not answer"),
        (
            "tls: failed to verify certificate: x509: certificate signed by unknown authority",
            "its registry's certificate is not trusted",
        ),
        ("http: server gave HTTP response to HTTPS client", "its registry does not speak TLS"),
    ] {
        check(pull(message), &[&now("Transient", why)]);
    }
    check(world().waits("RegistryUnavailable", ""), &[&now("Transient", "the registry fails")]);
    // Older kubelets say no cause while they wait: the try before does.
    let back_off = || world().waits("ImagePullBackOff", "Back-off pulling image \"shop/web:2\"");
    check(
        back_off()
            .event("Failed", "Failed to pull image \"shop/web:2\": rpc error: code = NotFound desc = not found")
            .event("Failed", "Error: ErrImagePull"),
        &["Fatal ImageNotFound x3: image \"shop/web:2\" not found"],
    );
    check(back_off(), &["Repeated ImagePullFailed x1: image \"shop/web:2\" cannot be pulled"]);
    check(
        pull(
            "failed to pull and unpack image \"docker.io/shop/web:2\": failed to extract layer sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef: odd",
        ),
        &[
            "Repeated ImagePullFailed x1: image \"shop/web:2\" cannot be pulled: failed to extract layer sha256:0123456789ab: odd",
        ],
    );
    check(
        pull("write /var/lib/x: no space left on device"),
        &["Environment ImagePullFailed x1: image \"shop/web:2\" cannot be pulled: no space left on the node"],
    );
    check(
        world().waits("ErrImageNeverPull", "x"),
        &["Fatal ImageNeverPulled x1: image \"shop/web:2\" is not on the node, and imagePullPolicy is Never"],
    );
    check(world().waits("InvalidImageName", "x"), &["Fatal ImageInvalid x1: image name \"shop/web:2\" is not valid"]);
    check(
        world().waits("SignatureValidationFailed", "x"),
        &["Fatal ImageUntrusted x1: image \"shop/web:2\" has no signature that is trusted"],
    );
    check(
        world().waits("ImageInspectError", "rpc error"),
        &["Repeated ImagePullFailed x1: image \"shop/web:2\" cannot be read on the node: rpc error"],
    );
    let creating = || world().waits("ContainerCreating", "");
    check(
        creating().event("Pulling", "Pulling image"),
        &["Transient ImagePulling x1: container \"web\" waits for its image \"shop/web:2\" to be pulled"],
    );
    check(
        creating().event("Pulling", "Pulling image").event_at("Pulled", "x", 1, "2026-01-01T11:59:55Z"),
        &["Timed Creating x1: container \"web\" is being created"],
    );
}

/// The pod waits for an image of this name.
fn named(image: &str, message: &str) -> World {
    let status = json!({"name": "web", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "ErrImagePull", "message": message}}});
    world().pod(
        json!({"spec": {"containers": [{"name": "web", "image": image}]}, "status": {"containerStatuses": [status]}}),
    )
}

#[test]
fn names_of_images() {
    // Their words mean nothing.
    for image in ["eof/unauthorized:429", "x509/denied:timeout", "a/b:3f786850e387550fdab836ed7e6dc881de23001b"] {
        let message = format!("failed to resolve image: docker.io/{image}: not found");
        check(named(image, &message), &[&format!("Fatal ImageNotFound x1: image \"{image}\" not found")]);
    }
    // A registry that was never used may be a wrong name: of one that was, it passes.
    check(
        named("registry.exmaple.com/web:2", "dial tcp: lookup registry.exmaple.com: no such host"),
        &[
            "Timed RegistryUnavailable x1: image \"registry.exmaple.com/web:2\" cannot be pulled now: its registry's name is unknown",
        ],
    );
    check(
        named("registry.example.com/web:2", "toomanyrequests"),
        &[
            "Transient RegistryUnavailable x1: image \"registry.example.com/web:2\" cannot be pulled now: the registry limits the rate",
        ],
    );
    // Whether the repository served another version before or not: registries say it of missing tags, too.
    let denied = "pull access denied, repository does not exist or may require authorization";
    for image in ["shop/web:2", "shop/wbe:2"] {
        let expected = format!(
            "Repeated ImageUnauthorized x1: image \"{image}\" is refused: credentials are missing or wrong, or no such repository"
        );
        check(named(image, denied), &[&expected]);
    }
}

#[test]
fn configuration_and_start() {
    let config = |message: &str| world().waits("CreateContainerConfigError", message);
    check(config("configmap \"cfg\" not found"), &["Repeated ConfigMissing x1: ConfigMap \"cfg\" not found"]);
    check(
        config("secret \"cred\" not found").event("Failed", "Error: secret \"cred\" not found"),
        &["Repeated ConfigMissing x3: Secret \"cred\" not found"],
    );
    check(
        config("couldn't find key x in ConfigMap shop/cfg"),
        &["Fatal ConfigMissing x1: ConfigMap \"cfg\" has no key \"x\""],
    );
    check(
        config("container has runAsNonRoot and image has non-numeric user (app), cannot verify user is non-root"),
        &[
            "Fatal RunsAsRoot x1: container \"web\" must not run as root (runAsNonRoot), but its image names a user that cannot be told from root",
        ],
    );
    check(
        config("failed to sync configmap cache: timed out waiting for the condition"),
        &["Transient ContainerConfig x1: container \"web\" waits for the kubelet to read its configuration"],
    );
    check(config("odd"), &["Repeated ContainerConfig x1: container \"web\" cannot be configured: odd"]);
    let create = |message: &str| world().waits("CreateContainerError", message);
    check(
        create("no command specified"),
        &["Fatal CommandFailed x1: container \"web\" has no command, neither of its own nor of its image"],
    );
    check(
        create("context deadline exceeded"),
        &["Transient ContainerCreate x1: container \"web\" cannot be created yet: the node's runtime is slow"],
    );
    check(
        create("failed to generate spec: path \"/x\" is not shared"),
        &[
            "Repeated ContainerCreate x1: container \"web\" cannot be created: failed to generate spec: path \"/x\" is not shared",
        ],
    );
    let run = |message: &str| {
        world().container(
            json!({"restartCount": 2, "state": {"waiting": {"reason": "RunContainerError", "message": message}}}),
        )
    };
    let oci = "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: ";
    check(
        run(&format!("{oci}exec: \"nginz\": executable file not found in $PATH: unknown")),
        &["Fatal CommandFailed x3: container \"web\" cannot run \"nginz\": no such command in the image"],
    );
    check(
        run(&format!("{oci}exec: \"/app\": stat /app: no such file or directory")),
        &["Fatal CommandFailed x3: container \"web\" cannot run \"/app\": no such command in the image"],
    );
    check(
        run(&format!("{oci}exec: \"/app\": permission denied")),
        &["Fatal CommandFailed x3: container \"web\" cannot run \"/app\": permission denied"],
    );
    check(
        run("exec /app: exec format error"),
        &[
            "Repeated CommandFailed x3: container \"web\" cannot be run: its image is built for another kind of processor",
        ],
    );
    // A file that is missing elsewhere is not the command.
    check(
        run(&format!("{oci}error during container init: error mounting \"/x\": no such file or directory")),
        &[
            "Repeated ContainerStart x3: container \"web\" does not start: error during container init: error mounting \"/x\": no such file or directory",
        ],
    );
    check(run(""), &["Repeated ContainerStart x3: container \"web\" does not start"]);
    // The status after it, while it waits for the next try.
    let start_error = world().container(json!({"restartCount": 2, "lastState": ended("StartError", 128, &format!("{oci}exec: \"nginz\": executable file not found in $PATH")),
        "state": {"waiting": {"reason": "CrashLoopBackOff"}}}));
    check(
        start_error,
        &["Fatal CommandFailed x3: container \"web\" cannot run \"nginz\": no such command in the image"],
    );
    check(
        world().waits("PostStartHookError", "x"),
        &["Repeated PostStartFailed x1: postStart hook of container \"web\" fails"],
    );
}

#[test]
fn crashes() {
    let down = |restarts: i32, reason: &str, code: i32| {
        world().container(json!({"restartCount": restarts, "state": ended(reason, code, "")}))
    };
    check(down(0, "Error", 1), &["Repeated CrashLoop x1: container \"web\" exits with 1 (error)"]);
    check(down(1, "Error", 3), &["Repeated CrashLoop x2: container \"web\" exits with 3, restarted once"]);
    check(
        down(3, "Error", 139),
        &["Repeated CrashLoop x4: container \"web\" exits with 139 (segmentation fault), restarted 3 times"],
    );
    check(down(0, "Completed", 0), &["Repeated Exits x1: container \"web\" ends by itself (exit 0)"]);
    check(down(2, "OOMKilled", 137), &["Repeated OutOfMemory x3: out of memory: its node has no more"]);
    // Killed from outside: once or twice is somebody's hand.
    check(
        down(1, "Error", 137),
        &["Transient CrashLoop x2: container \"web\" is killed from outside (signal 9), restarted once"],
    );
    check(
        down(2, "Error", 137),
        &["Repeated CrashLoop x3: container \"web\" is killed from outside (signal 9), restarted 2 times"],
    );
    check(
        down(5, "Error", 143),
        &["Repeated CrashLoop x6: container \"web\" is killed from outside (signal 15), restarted 5 times"],
    );
    check(
        down(1, "ContainerStatusUnknown", 137),
        &["Transient Restarted x2: container \"web\" was lost by its node, restarted once"],
    );
    check(down(4, "Exploded", 9), &["Timed Unknown x5: container \"web\" ended, Exploded (exit 9), restarted 4 times"]);
    check(down(-4, "Error", 1), &["Repeated CrashLoop x1: container \"web\" exits with 1 (error)"]);
    // By incidents: who killed it.
    let killed = |probe: &str, at: &str| {
        let status = json!({"name": "web", "image": "", "imageID": "", "ready": false, "restartCount": 9, "state": ended("Error", 137, "")});
        let probed = json!({"httpGet": {"port": 80, "path": "/up"}, "timeoutSeconds": 2});
        world()
            .pod(json!({"spec": {"containers": [{"name": "web", "image": "x", "livenessProbe": probed, "startupProbe": probed}]}, "status": {"containerStatuses": [status]}}))
            .event_at("Killing", &format!("Container web failed {probe} probe, will be restarted"), 2, at)
            .event("Unhealthy", "Liveness probe failed: Get \"http://10.1.2.3:80/up\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)")
    };
    check(
        killed("liveness", "2026-01-01T11:59:49Z"),
        &[
            "Repeated LivenessFailed x10: container \"web\" is killed by its liveness probe: GET :80/up does not answer within 2s, restarted 9 times",
        ],
    );
    check(
        killed("startup", "2026-01-01T11:59:49Z"),
        &[
            "Repeated StartupFailed x10: container \"web\" is killed by its startup probe: GET :80/up has not succeeded yet, restarted 9 times",
        ],
    );
    // Another run's end, long ago.
    check(
        killed("liveness", "2026-01-01T11:50:00Z"),
        &["Repeated CrashLoop x10: container \"web\" is killed from outside (signal 9), restarted 9 times"],
    );
    check(
        down(1, "Completed", 0).event("FailedPostStartHook", "PostStartHook failed"),
        &["Repeated PostStartFailed x2: postStart hook of container \"web\" fails"],
    );
    // The word alone.
    check(
        world().container(
            json!({"restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}}}),
        ),
        &["Repeated CrashLoop x4: container \"web\" ends again and again"],
    );
    check(
        world().waits("Levitating", "odd\n\u{1b}[31mthing"),
        &["Timed Unknown x1: container \"web\" waits, Levitating: odd [31mthing"],
    );
    // Between two tries.
    check(
        world().container(json!({"restartCount": 1, "lastState": ended("Error", 1, ""), "state": {"waiting": {"reason": "ContainerCreating"}}})),
        &["Repeated CrashLoop x2: container \"web\" exits with 1 (error), restarted once"],
    );
    // It runs again: well, not well, and not well after long.
    let up = |ready: bool, since: &str| {
        world().container(json!({"ready": ready, "restartCount": 2, "lastState": ended("Error", 1, ""), "state": {"running": {"startedAt": since}}}))
    };
    check(
        up(true, "2026-01-01T11:59:55Z"),
        &["Transient Restarted x2: container \"web\" runs again, restarted 2 times, last: exit 1 (error)"],
    );
    let unready = "Timed NotReady x1: container \"web\" is not ready";
    check(
        up(false, "2026-01-01T11:59:55Z"),
        &["Repeated CrashLoop x2: container \"web\" exits with 1 (error), restarted 2 times", unready],
    );
    check(up(false, "2026-01-01T11:50:00Z"), &[unready]);
    // Restarted by a new sandbox only: no crash.
    check(world().container(json!({"ready": true, "restartCount": 1, "state": running()})), &[]);
}

#[test]
fn initialising() {
    let pod = |init: Value, state: Value| {
        let mut status =
            json!({"name": "migrate", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
        merge(&mut status, init.get("status").cloned().unwrap_or(json!({})));
        let mut spec = json!({"name": "migrate", "image": "shop/migrate:2"});
        merge(&mut spec, init.get("spec").cloned().unwrap_or(json!({})));
        let main = json!({"name": "web", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": {"waiting": {"reason": "PodInitializing"}}});
        world().pod(json!({"spec": {"initContainers": [spec]}, "status": {"initContainerStatuses": [status], "containerStatuses": [main]}}))
    };
    check(pod(json!({}), running()), &["Timed InitRunning x1: init container \"migrate\" has not finished"]);
    check(
        pod(json!({}), ended("Error", 1, "")),
        &["Repeated CrashLoop x1: init container \"migrate\" exits with 1 (error)"],
    );
    check(pod(json!({}), ended("Completed", 0, "")), &["Timed Creating x1: container \"web\" is being created"]);
    check(
        pod(json!({}), json!({"waiting": {"reason": "ErrImagePull", "message": "not found"}})),
        &["Fatal ImageNotFound x1: image \"shop/migrate:2\" not found"],
    );
    let again = json!({"status": {"restartCount": 1, "lastState": ended("Error", 1, "")}});
    check(
        pod(again, running()),
        &[
            "Repeated CrashLoop x1: init container \"migrate\" exits with 1 (error), restarted once",
            "Timed InitRunning x1: init container \"migrate\" has not finished",
        ],
    );
    let sidecar = |status: Value| json!({"spec": {"restartPolicy": "Always", "startupProbe": {"tcpSocket": {"port": 5432}}}, "status": status});
    check(
        pod(sidecar(json!({"started": false})), running()),
        &["Timed Starting x1: sidecar \"migrate\" is starting: TCP :5432 has not succeeded yet"],
    );
    check(
        pod(sidecar(json!({"started": true, "ready": true})), running()),
        &["Timed Creating x1: container \"web\" is being created"],
    );
    check(
        pod(sidecar(json!({})), ended("Completed", 0, "")),
        &["Repeated Exits x1: sidecar \"migrate\" ends by itself (exit 0)"],
    );
    let finding = &pod(json!({}), running()).findings()[0];
    assert_eq!((finding.is_init, finding.container.as_deref()), (true, Some("migrate")));
    assert_eq!(finding.since, Some("2026-01-01T11:59:00Z".parse().unwrap()));
}

#[test]
fn not_ready() {
    let probed = |probe: Value, message: &str| {
        let status = json!({"name": "web", "image": "", "imageID": "", "ready": false, "started": true, "restartCount": 0, "state": running()});
        world()
            .pod(json!({"spec": {"containers": [{"name": "web", "image": "x", "readinessProbe": probe}]}, "status": {"phase": "Running", "containerStatuses": [status]}}))
            .event_at("Unhealthy", "Readiness probe failed: of an earlier run", 1, "2026-01-01T11:58:59Z")
            .event("Unhealthy", message)
    };
    let http = || json!({"httpGet": {"port": "web", "path": "/up"}});
    for (probe, message, answer) in [
        (
            http(),
            "Readiness probe failed: HTTP probe failed with statuscode: 503",
            "x3: container \"web\" is not ready: GET :web/up answers 503",
        ),
        (
            http(),
            "Readiness probe failed: Get \"http://10.130.1.65:8081/up\": dial tcp 10.130.1.65:8081: connect: connection refused",
            "x3: container \"web\" is not ready: GET :web/up refuses the connection",
        ),
        (
            http(),
            "Readiness probe failed: Get \"http://10.1.1.1/up\": read tcp 10.1.1.2:1->10.1.1.1:2: read: connection reset by peer",
            "x3: container \"web\" is not ready: GET :web/up drops the connection",
        ),
        (
            http(),
            "(combined from similar events): Readiness probe failed: Get \"http://10.1.1.1/up\": malformed HTTP response",
            "x3: container \"web\" is not ready: GET :web/up fails: malformed HTTP response",
        ),
        (http(), "Liveness probe failed: x", "x1: container \"web\" is not ready: GET :web/up has not succeeded yet"),
        (
            json!({"tcpSocket": {"port": 5432}}),
            "Readiness probe failed: dial tcp 10.1.1.1:5432: i/o timeout",
            "x3: container \"web\" is not ready: TCP :5432 does not answer within 1s",
        ),
        (
            json!({"grpc": {"port": 9000}}),
            "Readiness probe failed: service unhealthy (responded with \"NOT_SERVING\")",
            "x3: container \"web\" is not ready: gRPC :9000 answers NOT_SERVING",
        ),
        (
            json!({"exec": {"command": ["cat", "/ready"]}}),
            "Readiness probe failed: cat: can't open '/ready'",
            "x3: container \"web\" is not ready: exec cat /ready fails: cat: can't open '/ready'",
        ),
        (
            json!({"exec": {"command": ["cat"]}}),
            "Readiness probe failed: ",
            "x3: container \"web\" is not ready: exec cat fails",
        ),
        (
            json!({"exec": {"command": ["sleep", "5"]}, "timeoutSeconds": 2}),
            "Readiness probe failed: command timed out: \"sleep 5\" timed out after 2s",
            "x3: container \"web\" is not ready: exec sleep 5 does not answer within 2s",
        ),
        (
            json!({"exec": {"command": ["nope"]}}),
            "Readiness probe errored and resulted in unknown state: rpc error: code = Unknown desc = failed to exec in container: exec: \"nope\": executable file not found in $PATH",
            "x3: container \"web\" is not ready: exec nope cannot be run: no such command in the image",
        ),
    ] {
        check(probed(probe, message), &[&format!("Timed NotReady {answer}")]);
    }
    let gated = |conditions: Value| {
        let status =
            json!({"name": "web", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": running()});
        world().pod(json!({"spec": {"readinessGates": [{"conditionType": "lb/ready"}]}, "status": {"phase": "Running", "conditions": conditions, "containerStatuses": [status]}}))
    };
    let unready = json!({"type": "Ready", "status": "False", "reason": "ReadinessGatesNotReady"});
    check(gated(json!([unready])), &["Timed ReadinessGate x1: readiness gate \"lb/ready\" is not True"]);
    check(
        gated(json!([unready, {"type": "lb/ready", "status": "False", "message": "not registered"}])),
        &["Timed ReadinessGate x1: readiness gate \"lb/ready\" is not True: not registered"],
    );
    check(gated(json!([{"type": "Ready", "status": "True"}])), &[]);
}

#[test]
fn volumes_and_sandboxes() {
    let creating = || world().waits("ContainerCreating", "");
    let is_creating = "Timed Creating x1: container \"web\" is being created";
    let mount = |message: &str| creating().event("FailedMount", message);
    check(creating(), &[is_creating]);
    check(world().pod(json!({})), &["Transient Creating x1: the kubelet has not begun with the pod yet"]);
    check(
        mount("MountVolume.SetUp failed for volume \"cfg\" : configmap \"settings\" not found"),
        &["Repeated VolumeMissing x3: ConfigMap \"settings\" not found (volume \"cfg\")"],
    );
    check(
        mount("MountVolume.SetUp failed for volume \"cfg\" : configmap references non-existent config key: a.conf"),
        &["Repeated VolumeMissing x3: ConfigMap \"settings\" has no key \"a.conf\" (volume \"cfg\")"],
    );
    check(
        mount("MountVolume.SetUp failed for volume \"x\" : references non-existent secret key: k"),
        &["Repeated VolumeMissing x3: a Secret has no key \"k\" (volume \"x\")"],
    );
    check(
        mount("Multi-Attach error for volume \"pvc-0a1b\" Volume is already used by pod(s) web-66557844dc-b2b2b"),
        &["Timed VolumeMount x3: a volume is still in use on another node"],
    );
    check(
        mount("MountVolume.SetUp failed for volume \"h\" : hostPath type check failed: /x is not a directory"),
        &["Repeated VolumeMount x3: hostPath type check failed: /x is not a directory (volume \"h\")"],
    );
    check(
        mount("MountVolume.MountDevice failed for volume \"pvc-0a1b\" : rpc error: code = DeadlineExceeded"),
        &["Environment VolumeMount x3: a volume cannot be mounted: rpc error: code = DeadlineExceeded"],
    );
    check(
        mount("MountVolume.SetUp failed for volume \"v\" : mount failed: permission denied"),
        &["Timed VolumeMount x3: a volume cannot be mounted (volume \"v\"): mount failed: permission denied"],
    );
    // The kubelet's summary comes last and says less.
    let summary = "Unable to attach or mount volumes: unmounted volumes=[cfg], unattached volumes=[]: timed out waiting for the condition";
    check(
        mount("MountVolume.SetUp failed for volume \"cfg\" : secret \"s\" not found").event_at(
            "FailedMount",
            summary,
            1,
            NOW,
        ),
        &["Repeated VolumeMissing x3: Secret \"s\" not found (volume \"cfg\")"],
    );
    // Seen in healthy pods.
    let sync = "MountVolume.SetUp failed for volume \"kube-api-access-zv6lk\" : failed to sync configmap cache: timed out waiting for the condition";
    check(creating().event_at("FailedMount", sync, 1, NOW), &[is_creating]);
    check(mount(sync), &["Transient VolumeMount x3: the kubelet has not read what the pod mounts yet"]);
    check(
        world()
            .container(json!({"ready": true, "state": running()}))
            .event("FailedMount", "x : configmap \"settings\" not found"),
        &[],
    );
    let sandbox = |message: &str, count: i32| creating().event_at("FailedCreatePodSandBox", message, count, NOW);
    let network = format!(
        "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox \"{}\": plugin type=\"x\" failed for {POD}",
        "0a".repeat(32)
    );
    check(
        sandbox(&network, 1),
        &[
            "Transient Sandbox x1: the pod's sandbox cannot be made: failed to setup network for sandbox \"…\": plugin type=\"x\" failed for …",
        ],
    );
    check(
        sandbox(&network, 2),
        &[
            "Environment Sandbox x2: the pod's sandbox cannot be made: failed to setup network for sandbox \"…\": plugin type=\"x\" failed for …",
        ],
    );
    check(
        sandbox(
            "rpc error: code = Unknown desc = failed to get sandbox runtime: no runtime for \"gvisor\" is configured",
            1,
        ),
        &["Repeated Sandbox x1: runtime \"gvisor\" is not configured on the node"],
    );
}

#[test]
fn pods_that_end_or_are_lost() {
    let failed = |reason: &str, message: &str| {
        world().pod(json!({"status": {"phase": "Failed", "reason": reason, "message": message}}))
    };
    let evicted = failed("Evicted", "The node was low on resource: memory.");
    check(evicted, &["Environment PodEvicted x1: the pod was evicted: The node was low on resource: memory"]);
    check(
        failed("Evicted", "Usage of EmptyDir volume \"tmp\" exceeds the limit \"10Mi\". "),
        &["Repeated PodEvicted x1: the pod was evicted: Usage of EmptyDir volume \"tmp\" exceeds the limit \"10Mi\""],
    );
    check(
        failed("OutOfcpu", "Pod was rejected: Node didn't have enough resource: cpu"),
        &["Environment PodRejected x1: the kubelet rejects the pod (OutOfcpu): Node didn't have enough resource: cpu"],
    );
    check(
        failed("UnexpectedAdmissionError", ""),
        &["Environment PodRejected x1: the kubelet rejects the pod (UnexpectedAdmissionError)"],
    );
    check(failed("NodeLost", ""), &["Environment NodeLost x1: the pod's node does not answer"]);
    check(failed("Whatever", ""), &["Timed Unknown x1: the pod failed (Whatever)"]);
    let another = |world: World, phase: &str| {
        world.pod(json!({"metadata": {"name": "web-6b84dcf9cd-c4c4c", "uid": "q"}, "status": {"phase": phase, "reason": "Evicted"}}))
    };
    check(another(failed("Evicted", ""), "Failed"), &["Environment PodEvicted x2: the pod was evicted"]);
    // Its successor runs, or comes.
    let replaced = world().pod(json!({"metadata": {"name": "web-6b84dcf9cd-c4c4c", "uid": "q"}, "status": {"phase": "Failed", "reason": "Evicted"}}));
    check(
        replaced
            .container(json!({"ready": true, "state": running()}))
            .pod(json!({"metadata": {"name": "z", "uid": "z"}, "status": {"phase": "Succeeded"}})),
        &["Environment PodEvicted x1: the pod was evicted"],
    );
    check(
        failed("Evicted", "").pod(json!({"metadata": {"name": "web-6b84dcf9cd-c4c4c", "uid": "q"}, "status": {"phase": "Running",
            "containerStatuses": [{"name": "web", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": running()}]}})),
        &[],
    );
    let node = |ready: &str| json!({"kind": "Node", "metadata": {"name": "n1", "uid": "n1"}, "status": {"conditions": [{"type": "Ready", "status": ready}]}});
    let lost = "Environment NodeLost x1: the pod's node does not answer";
    check(world().waits("ErrImagePull", "not found").with(node("Unknown")), &[lost]);
    check(
        world().waits("ErrImagePull", "not found").with(node("True")),
        &["Fatal ImageNotFound x1: image \"shop/web:2\" not found"],
    );
    let marked = |reason: &str, ready: bool| {
        let status =
            json!({"name": "web", "image": "", "imageID": "", "ready": ready, "restartCount": 0, "state": running()});
        world().pod(json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "False", "reason": reason}], "containerStatuses": [status]}}))
    };
    check(marked("", true), &[lost]);
    check(marked("", true).with(node("True")), &[]);
    check(marked("ContainersNotReady", true), &[]);
    check(marked("", false), &["Timed NotReady x1: container \"web\" is not ready"]);
}

#[test]
fn scheduling() {
    let pending = |reason: &str, message: &str| {
        let condition = json!({"type": "PodScheduled", "status": "False", "reason": reason, "message": message, "lastTransitionTime": BEGAN});
        world().pod(json!({"spec": {"nodeName": ""}, "status": {"conditions": [condition]}}))
    };
    let refused = |message: &str| pending("Unschedulable", message);
    check(
        world().pod(json!({"spec": {"nodeName": ""}, "status": {"conditions": []}})),
        &["Timed Scheduling x1: the scheduler has not placed the pod yet"],
    );
    check(pending("SchedulingGated", "x"), &["Blocked SchedulingGated x1: a scheduling gate holds the pod"]);
    let cpu = "0/3 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 2 Insufficient cpu. preemption: 0/3 nodes are available.";
    let no_cpu =
        "0 of 3 nodes fit: 1 had untolerated taint {node-role.kubernetes.io/control-plane: }, 2 insufficient cpu";
    check(refused(cpu), &[&format!("Timed NoRoom x1: {no_cpu}")]);
    check(
        refused(cpu).event("TriggeredScaleUp", "x"),
        &[&format!("Transient NoRoom x1: {no_cpu}, a node is being added")],
    );
    check(refused(cpu).event_at("Nominated", "x", 1, "2026-01-01T11:30:00Z"), &[&format!("Timed NoRoom x1: {no_cpu}")]);
    check(
        refused(cpu).event("TriggeredScaleUp", "x").event_at("NotTriggerScaleUp", "x", 1, NOW),
        &[&format!("Timed NoRoom x1: {no_cpu}")],
    );
    check(
        refused("0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports."),
        &["Timed NoRoom x1: 0 of 1 nodes fit: 1 didn't have free ports for the requested pod ports"],
    );
    check(
        refused("0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules."),
        &["Timed NoNodeMatches x1: 0 of 2 nodes fit: 2 didn't match pod anti-affinity rules"],
    );
    check(
        refused("0/3 nodes are available: persistentvolumeclaim \"nope\" not found. not found"),
        &["Timed VolumeMissing x1: claim \"nope\" not found"],
    );
    check(
        refused("0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"),
        &["Timed ClaimPending x1: claim \"data\" is not bound"],
    );
    check(
        refused("0/3 nodes are available: 3 cannot allocate all claims."),
        &["Timed ClaimPending x1: 0 of 3 nodes fit: 3 cannot allocate all claims"],
    );
    check(
        refused("no nodes available to schedule pods"),
        &["Environment Unschedulable x1: the cluster has no nodes to schedule pods on"],
    );
    check(
        refused("").event("FailedScheduling", "0/1 nodes are available: 1 odd."),
        &["Timed Unschedulable x3: 0 of 1 nodes fit: 1 odd"],
    );
    check(pending("SchedulerError", "odd"), &["Timed Unschedulable x1: odd"]);
    check(refused(""), &["Timed Unschedulable x1: the pod cannot be placed"]);
}

#[test]
fn pods_that_cannot_be_created() {
    let refused = |message: &str| {
        world().current(json!({"status": {"replicas": 0, "conditions": [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}]}}))
    };
    for (message, expected) in [
        (
            "pods \"web-6b84dcf9cd-x2x4z\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1",
            "Blocked QuotaExceeded x1: quota \"q\" has no room: requested pods=1, used pods=1, limited pods=1",
        ),
        (
            "pods \"web-6b84dcf9cd-x2x4z\" is forbidden: failed quota: q: must specify limits.cpu for: web",
            "Fatal PodInvalid x1: quota \"q\" refuses the pod: must specify limits.cpu for: web",
        ),
        (
            "pods \"web-6b84dcf9cd-x2x4z\" is forbidden: minimum cpu usage per Container is 1, but request is 10m",
            "Fatal PodInvalid x1: limit range refuses the pod: minimum cpu usage per Container is 1, but request is 10m",
        ),
        (
            "Pod \"web-6b84dcf9cd-x2x4z\" is invalid: spec.containers[0].image: Required value",
            "Fatal PodInvalid x1: the pod is invalid: spec.containers[0].image: Required value",
        ),
        (
            "pods \"web-6b84dcf9cd-x2x4z\" is forbidden: violates PodSecurity \"restricted:latest\": runAsNonRoot != true",
            "Fatal PodSecurity x1: pod security \"restricted:latest\" refuses the pod: runAsNonRoot != true",
        ),
        (
            "pods \"web-6b84dcf9cd-\" is forbidden: unable to validate against any security context constraint: []",
            "Fatal PodSecurity x1: pod security refuses the pod: unable to validate against any security context constraint: []",
        ),
        (
            "admission webhook \"v.example.com\" denied the request: pods \"web-6b84dcf9cd-x2x4z\" is forbidden: no latest",
            "Repeated AdmissionDenied x1: admission webhook \"v.example.com\" refuses the pod: pods \"web-6b84dcf9cd\" is forbidden: no latest",
        ),
        (
            "admission webhook \"v.example.com\" denied the request without explanation",
            "Repeated AdmissionDenied x1: admission webhook \"v.example.com\" refuses the pod",
        ),
        (
            "pods \"web-6b84dcf9cd-x2x4z\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no root",
            "Repeated AdmissionDenied x1: admission policy \"p\" refuses the pod: no root",
        ),
        (
            "Internal error occurred: failed calling webhook \"v.example.com\": failed to call webhook: Post \"https://v.shop.svc:443/x?timeout=10s\": dial tcp 10.0.0.1:443: connect: connection refused",
            "Environment WebhookUnavailable x1: admission webhook \"v.example.com\" does not answer: connection refused",
        ),
        (
            "pods \"web-6b84dcf9cd-\" is forbidden: error looking up service account shop/nope: serviceaccount \"nope\" not found",
            "Repeated ServiceAccountMissing x1: ServiceAccount \"nope\" not found",
        ),
        (
            "pods \"web-6b84dcf9cd-\" is forbidden: no PriorityClass with name nope was found",
            "Repeated ClassMissing x1: PriorityClass \"nope\" not found",
        ),
        (
            "pods \"web-6b84dcf9cd-x2x4z\" is forbidden: pod rejected: RuntimeClass \"nope\" not found",
            "Repeated ClassMissing x1: RuntimeClass \"nope\" not found",
        ),
        (
            "pods \"web-6b84dcf9cd-x2x4z\" is forbidden: unable to create new content in namespace shop because it is being terminated",
            "Environment NamespaceTerminating x1: the namespace is being deleted",
        ),
        (
            "etcdserver: request timed out",
            "Transient CreateFailed x1: the pod cannot be created now: etcdserver: request timed out",
        ),
        ("odd: web-6b84dcf9cd-x2x4z", "Repeated CreateFailed x1: the pod cannot be created: odd: web-6b84dcf9cd"),
    ] {
        check(refused(message), &[expected]);
    }
    // It asks for more than the version before: that is what has no room.
    let quota = "exceeded quota: q, requested: cpu=9, used: cpu=1, limited: cpu=2";
    let more = json!([{"name": "web", "image": "shop/web:2", "resources": {"requests": {"cpu": "9"}}}]);
    check(
        refused(quota)
            .current(json!({"spec": {"template": {"spec": {"containers": more}}}}))
            .workload(json!({"spec": {"template": {"spec": {"containers": more}}}})),
        &["Timed QuotaExceeded x1: quota \"q\" has no room: requested cpu=9, used cpu=1, limited cpu=2"],
    );
    // Reports count.
    check(
        refused(quota).event_of("new", "FailedCreate", "Error creating: x", NOW).event_of(
            "old",
            "FailedCreate",
            "x",
            NOW,
        ),
        &["Blocked QuotaExceeded x3: quota \"q\" has no room: requested cpu=9, used cpu=1, limited cpu=2"],
    );
    // Others than ReplicaSets only report.
    let said = "create Pod db-0 in StatefulSet db failed error: pods \"db-0\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1";
    let set = |kind: &str, said: &str| set_world(kind).event_of("s", "FailedCreate", said, "2026-01-01T11:59:00Z");
    let no_room = "Blocked QuotaExceeded x3: quota \"q\" has no room: requested pods=1, used pods=1, limited pods=1";
    check(set("StatefulSet", said), &[no_room]);
    check(set("StatefulSet", said).event_of("s", "SuccessfulCreate", "x", "2026-01-01T11:59:30Z"), &[]);
    check(
        set("DaemonSet", "Error creating: pods \"db-x2x4z\" is forbidden: serviceaccount \"nope\" not found"),
        &["Repeated ServiceAccountMissing x3: ServiceAccount \"nope\" not found"],
    );
    check(set_world("DaemonSet").event_of("s", "FailedCreate", said, "2026-01-01T11:00:00Z"), &[]);
}

#[test]
fn workloads() {
    let progressing = |reason: &str, status: &str, message: &str, at: &str| json!({"status": {"conditions": [{"type": "Progressing", "status": status, "reason": reason, "message": message, "lastUpdateTime": at}]}});
    let deadline = |set: &str, at: &str| {
        world().workload(progressing(
            "ProgressDeadlineExceeded",
            "False",
            &format!("ReplicaSet \"{set}\" has timed out progressing."),
            at,
        ))
    };
    let passed = "Timed DeadlineExceeded x1: the progress deadline of 60s has passed";
    check(deadline("web-6b84dcf9cd", NOW), &[passed]);
    check(
        deadline("web-6b84dcf9cd", NOW).container(
            json!({"ready": true, "restartCount": 1, "lastState": ended("Error", 1, ""), "state": running()}),
        ),
        &["Transient Restarted x1: container \"web\" runs again, restarted once, last: exit 1 (error)", passed],
    );
    // Another cause is known; another ReplicaSet; older than this one.
    check(
        deadline("web-6b84dcf9cd", NOW).waits("ContainerCreating", ""),
        &["Timed Creating x1: container \"web\" is being created"],
    );
    check(deadline("web-66557844dc", NOW), &[]);
    check(deadline("web-6b84dcf9cd", "2026-01-01T11:57:59Z"), &[]);
    check(
        deadline("web-6b84dcf9cd", NOW).workload(json!({"metadata": {"generation": 3}})),
        &["Environment NotObserved x1: the Deployment controller has not seen the change yet"],
    );
    check(world().workload(json!({"spec": {"paused": true}})), &["Blocked Paused x1: the rollout is paused"]);
    check(world().workload(json!({"spec": {"paused": true}, "status": {"replicas": 1}})), &[]);
    let refused = |message: &str| {
        world()
            .workload(progressing("ReplicaSetCreateError", "False", message, NOW))
            .workload(json!({"spec": {"template": {"spec": {"nodeName": "x"}}}}))
    };
    check(
        refused("Failed to create new replica set \"web-abc\": odd"),
        &["Fatal ReplicaSetFailed x1: the ReplicaSet cannot be created: odd"],
    );
    check(
        refused(
            "Failed to create new replica set \"web-abc\": replicasets.apps \"web-abc\" is forbidden: exceeded quota: q, requested: count/replicasets.apps=1",
        ),
        &[
            "Blocked ReplicaSetFailed x1: the ReplicaSet cannot be created: quota \"q\" has no room: requested count/replicasets.apps=1",
        ],
    );
    check(
        refused("Failed to create new replica set \"web-abc\": etcdserver: timed out"),
        &["Transient ReplicaSetFailed x1: the ReplicaSet cannot be created: etcdserver: timed out"],
    );
    check(world().workload(progressing("ReplicaSetCreateError", "False", "x", NOW)), &[]);
    let on_delete = || set_world("StatefulSet").workload(json!({"spec": {"updateStrategy": {"type": "OnDelete"}}}));
    check(
        on_delete().with(set_pod("0", "db-111", true)).with(set_pod("1", "db-222", true)),
        &["Blocked OnDelete x1: 1 pod gets the new version only when somebody deletes it (OnDelete)"],
    );
    check(on_delete().with(set_pod("0", "db-222", true)), &[]);
}

#[test]
fn ordinals_and_stopping_pods() {
    let set = || set_world("StatefulSet");
    let stuck = "OrdinalStuck x1: pod db-1 of an older version is not Ready, and all others wait for it: image \"db:9\" not found";
    let trap = || {
        set()
            .with(set_pod("0", "db-111", true))
            .with(set_pod("1", "db-bad", false))
            .with(set_pod("10", "db-bad", false))
    };
    check(trap(), &[&format!("Blocked {stuck}")]);
    check(trap().workload(json!({"spec": {"podManagementPolicy": "Parallel"}})), &[]);
    check(
        trap().workload(json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 2}}}})),
        &[&format!("Environment {stuck}")],
    );
    // One of the current version is a finding of its own; one that stops is on its way.
    check(
        set().with(set_pod("0", "db-222", false)).with(set_pod("1", "db-bad", false)),
        &["Fatal ImageNotFound x1: image \"db:9\" not found"],
    );
    // A lower pod that is still Ready while it stops comes first.
    let mut leaving = set_pod("0", "db-111", true);
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:20Z".into();
    check(set().with(leaving).with(set_pod("1", "db-bad", false)), &[]);
    let stopping = |at: &str| {
        let mut pod = set_pod("0", "db-bad", false);
        pod["metadata"]["deletionTimestamp"] = at.into();
        set().with(pod)
    };
    check(stopping("2026-01-01T11:59:40Z"), &[]);
    check(
        stopping("2026-01-01T11:59:20Z"),
        &["Environment TerminatingStuck x1: an old pod has not stopped although its grace period is over"],
    );
    let dead = json!({"kind": "Node", "metadata": {"name": "n1", "uid": "n1"}});
    check(
        stopping("2026-01-01T11:59:20Z").with(dead),
        &[
            "Environment TerminatingStuck x1: an old pod has not stopped although its grace period is over: its node does not answer",
        ],
    );
    // What stops or is old says nothing about the version.
    let gone = world().pod(json!({"metadata": {"deletionTimestamp": NOW}, "status": {"containerStatuses": [{"name": "web", "image": "", "imageID": "", "ready": false, "restartCount": 9, "state": ended("Error", 1, "")}]}}));
    check(gone, &[]);
    let old = world().pod(json!({"metadata": {"labels": {"pod-template-hash": "66557844dc"}}, "status": {"containerStatuses": [{"name": "web", "image": "", "imageID": "", "ready": false, "restartCount": 9, "state": ended("Error", 1, "")}]}}));
    check(old, &[]);
}

#[test]
fn what_comes_first() {
    let finding = |class: Class, code: Code, pod: &str, at: &str| {
        let finding = Finding::new(code, class, pod).since(Some(at.parse().unwrap()));
        Finding { pod: Some(ObjectName::new("shop", pod)), ..finding }
    };
    let early = "2026-01-01T11:00:00Z";
    let all = [
        finding(Class::Transient, Code::Restarted, "a", NOW),
        finding(Class::Timed, Code::Starting, "b", NOW),
        finding(Class::Timed, Code::NotReady, "c", early),
        finding(Class::Timed, Code::NotReady, "d", BEGAN),
        finding(Class::Blocked, Code::Paused, "e", NOW),
        finding(Class::Environment, Code::NodeLost, "f", NOW),
    ];
    assert_eq!(primary(&all).unwrap().message, "d");
    assert_eq!(primary(&all[..3]).unwrap().message, "b");
    assert_eq!(primary(&all[4..]).unwrap().message, "e");
    assert_eq!(primary(&[]), None);
    let order =
        Class::ALL.map(|class| primary(&[finding(class, Code::Unknown, "x", NOW), all[0].clone()]).unwrap().class);
    assert_eq!(order, Class::ALL);
}

#[test]
fn texts_keep_no_secrets_and_no_identities() {
    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(text::clean(text), expected);
    }
    check("a\n\tb\u{7}  c", "a b c");
    check("Get https://jane:s3cr3t@r.example.com/v2/: 401", "Get https://r.example.com/v2/: 401");
    check("Get \"https://u:p@r/x?token=abc&sig=d\": EOF", "Get \"https://r/x\": EOF");
    check("https://r/a@b?x=1", "https://r/a@b");
    check("https://r/a,https://u:p@r/b", "https://r/a,https://r/b");
    check(
        "You have reached your pull rate limit as jane: see https://r.example.com/limits",
        "You have reached your pull rate limit see https://r.example.com/limits",
    );
    check(&format!("sandbox \"{}\" gone", "0a".repeat(32)), "sandbox \"…\" gone");
    check(&format!("web@sha256:{}", "0a".repeat(32)), "web@sha256:0a0a0a0a0a0a");
    check("uid 6d6298ea-a979-404c-b148-eb55a5f6fae2.", "uid ….");
    check("web:3f786850e387550fdab836ed7e6dc881de23001b", "web:3f786850e387550fdab836ed7e6dc881de23001b");
    assert_eq!(text::clean(&"é".repeat(999)).chars().count(), 241);
    assert_eq!(
        text::without_random_ends("web-1-x2x4z web-1-proxy web-1- web-1", "web-1"),
        "web-1 web-1-proxy web-1 web-1"
    );
}

#[test]
fn words_are_stable_and_complete() {
    assert_eq!(Code::ALL.len(), 57);
    for code in Code::ALL {
        assert_eq!(code.as_str(), format!("{code:?}"));
        let meaning = code.meaning();
        assert!(meaning.ends_with('.') && meaning.trim() == meaning, "{meaning}");
    }
    assert_eq!(Code::ImageNotFound.meaning(), "No such image, tag or platform.");
}

#[test]
fn remedies() {
    #[track_caller]
    fn check(world: World, expected: &str) {
        let findings = world.findings();
        assert_eq!(primary(&findings).and_then(Finding::remedy).unwrap_or_default(), expected);
    }
    check(
        world().waits("CreateContainerConfigError", "configmap \"cfg\" not found"),
        "kubectl create configmap cfg -n shop, or correct the name in the template",
    );
    check(
        world().waits("CreateContainerConfigError", "couldn't find key x in ConfigMap shop/cfg"),
        "add the key, or correct its name in the template",
    );
    check(world().waits("ErrImagePull", "not found"), "tag pushed? built for the nodes' platform?");
    check(
        world().container(json!({"restartCount": 1, "state": ended("OOMKilled", 137, "")})),
        &format!("kubectl logs -n shop {POD} -c web --previous; raise resources.limits.memory, or make it need less"),
    );
    check(world().container(json!({"state": running()})), &format!("kubectl logs -n shop {POD} -c web"));
    check(world().waits("ContainerCreating", ""), "");
}
