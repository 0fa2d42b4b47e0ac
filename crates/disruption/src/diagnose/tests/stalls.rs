//! Recorded states of real rollouts: what the diagnosis makes of each.

use std::{fs, path::PathBuf};

use serde_json::Value;

use super::super::*;
use crate::{
    model::{Incident, Node, PodStatus, Revision, Rollout, RolloutKind},
    rollout::view::{self, View},
    snapshot::Object,
};

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/stalls")
}

pub(super) fn read(file: &str) -> (View, Timestamp) {
    view::read(fs::File::open(directory().join(file)).unwrap()).unwrap()
}

pub(super) fn object(item: &Value) -> Option<Object> {
    let text = &item.to_string();
    Some(match item["kind"].as_str().unwrap() {
        "ReplicaSet" => Object::Revision(Box::new(Revision::read_replica_set(text).unwrap()?)),
        "ControllerRevision" => Object::Revision(Box::new(Revision::read_controller_revision(text).unwrap()?)),
        "Pod" => Object::PodStatus(Box::new(PodStatus::read(text).unwrap())),
        "Event" => Object::Incident(Box::new(Incident::read(text).unwrap())),
        "Node" => Object::Node(Node::read(text).unwrap()),
        kind => {
            let kind = RolloutKind::ALL.into_iter().find(|known| known.as_str() == kind)?;
            Object::Rollout(Box::new(Rollout::read(kind, text).unwrap()))
        }
    })
}

/// What a report names first of each: class, code, how often, message. Nothing for those that are well.
const PRIMARY: [(&str, &str); 33] = [
    (
        "a-crashloop-after-sigkill",
        r#"Transient CrashLoop x2: container "nginx" is killed from outside (signal 9), restarted once"#,
    ),
    ("e-nonexistent-tag-90s", r#"Fatal ImageNotFound x4: image "nginx:1.99-nope" not found"#),
    ("f-crash-crashloopbackoff", r#"Repeated CrashLoop x5: container "nginx" exits with 1 (error), restarted 4 times"#),
    (
        "f3-late-crash-rollout-succeeded",
        r#"Repeated CrashLoop x3: container "nginx" exits with 1 (error), restarted 2 times"#,
    ),
    ("g-cm-missing", r#"Repeated ConfigMissing x8: ConfigMap "nope" not found"#),
    ("g-cm-volume-missing", r#"Repeated VolumeMissing x8: ConfigMap "nope" not found (volume "v")"#),
    ("g-cmd-notfound", r#"Fatal CommandFailed x4: container "nginx" cannot run "nginz": no such command in the image"#),
    ("g-cmd-permission", r#"Fatal CommandFailed x4: container "nginx" cannot run "/etc/passwd": permission denied"#),
    ("g-exit-0", r#"Repeated Exits x4: container "nginx" ends by itself (exit 0), restarted 3 times"#),
    ("g-exit-1", r#"Repeated CrashLoop x4: container "nginx" exits with 1 (error), restarted 3 times"#),
    ("g-image-invalid", r#"Fatal ImageInvalid x7: image name "nginx:1.26:oops" is not valid"#),
    ("g-init-exit-1", r#"Repeated CrashLoop x4: init container "migrate" exits with 1 (error), restarted 3 times"#),
    ("g-init-hang", r#"Timed InitRunning x1: init container "wait-db" has not finished"#),
    (
        "g-limitrange",
        "Fatal PodInvalid x14: limit range refuses the pod: maximum memory usage per Container is 64Mi, but limit is 1Gi",
    ),
    (
        "g-live-404",
        r#"Repeated LivenessFailed x5: container "nginx" is killed by its liveness probe: GET :80/nope answers 404, restarted 4 times"#,
    ),
    ("g-oom", "Repeated OutOfMemory x4: out of memory: needs more than its limit of 32Mi"),
    ("g-poststart-fail", r#"Repeated PostStartFailed x4: postStart hook of container "nginx" fails"#),
    ("g-pvc-pending", r#"Timed ClaimPending x1: claim "data" is not bound"#),
    ("g-quota", r#"Blocked QuotaExceeded x14: quota "q" has no room: requested pods=1, used pods=1, limited pods=1"#),
    ("g-ready-404", r#"Timed NotReady x25: container "nginx" is not ready: GET :80/nope answers 404"#),
    ("g-ready-refused", r#"Timed NotReady x25: container "nginx" is not ready: GET :8081/ refuses the connection"#),
    (
        "g-registry-401",
        r#"Repeated ImageUnauthorized x3: image "failing.lab/private/app:1" is refused: credentials are missing or wrong, or no such repository"#,
    ),
    (
        "g-registry-429",
        r#"Transient RegistryUnavailable x3: image "failing.lab/ratelimit/app:1" cannot be pulled now: the registry limits the rate"#,
    ),
    ("g-repo-notfound", r#"Fatal ImageNotFound x3: image "nginxx:1.25" not found"#),
    (
        "g-run-as-nonroot",
        r#"Fatal RunsAsRoot x7: container "nginx" must not run as root (runAsNonRoot), but its image runs as root"#,
    ),
    ("g-sa-missing", r#"Repeated ServiceAccountMissing x14: ServiceAccount "nope" not found"#),
    ("g-sched-cpu", "Timed NoRoom x3: 0 of 3 nodes fit: 3 insufficient cpu"),
    ("g-sched-selector", "Timed NoNodeMatches x1: 0 of 3 nodes fit: 3 didn't match Pod's node affinity/selector"),
    ("g-secret-key", r#"Fatal ConfigMissing x8: Secret "cred" has no key "missing-key""#),
    ("g-sidecar-crash", r#"Repeated CrashLoop x4: sidecar "proxy" exits with 1 (error), restarted 3 times"#),
    ("g-slow-start", ""),
    (
        "g-startup-fail",
        r#"Repeated StartupFailed x5: container "nginx" is killed by its startup probe: GET :80/nope answers 404, restarted 4 times"#,
    ),
    ("h-node-off", ""),
];

#[test]
fn the_primary_finding_of_each_recorded_state() {
    for (file, expected) in PRIMARY {
        let (view, taken_at) = read(&format!("{file}.json"));
        let rollout = view.rollouts().next().unwrap();
        let findings = diagnose(&view.subject(rollout, taken_at));
        let shown = |finding: &Finding| {
            let Finding { code, class, count, message, .. } = finding;
            format!("{} {} x{count}: {message}", class.as_str(), code.as_str())
        };
        assert_eq!(primary(&findings).map(shown).unwrap_or_default(), expected, "{file}");
    }
}

#[test]
fn each_recorded_state_is_in_the_table() {
    let files = fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut recorded: Vec<String> = files.filter_map(|file| file.strip_suffix(".json").map(str::to_owned)).collect();
    recorded.sort();
    assert_eq!(recorded, PRIMARY.map(|(file, _)| file.to_owned()));
}

/// The index says for each state which class a verdict may build on.
#[test]
fn the_classes_are_those_of_the_index() {
    let index = fs::read_to_string(directory().join("INDEX.md")).unwrap();
    let rows = index.lines().filter_map(|line| line.strip_prefix("| ")).filter(|row| row.contains(".json"));
    let mut checked = 0;
    for row in rows {
        let cells: Vec<&str> = row.split(" | ").collect();
        let file = cells[0].strip_suffix(".json").unwrap();
        let (_, expected) = PRIMARY.into_iter().find(|(name, _)| *name == file).unwrap();
        let class = expected.split(' ').next().filter(|class| !class.is_empty()).unwrap_or("none");
        assert!(cells[2].contains(class), "{file}: {class} is not {}", cells[2]);
        checked += 1;
    }
    assert_eq!(checked, PRIMARY.len());
}
