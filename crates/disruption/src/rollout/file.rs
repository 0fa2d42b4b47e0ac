//! Reads a view of rollouts from a file.

use std::io::Read;

use jiff::Timestamp;

use super::view::View;
use crate::{
    file::{self, Gathered, ReadError, Wanted},
    model::{RolloutKind, WorkloadKind},
    snapshot::{Kind, Object, Unreadable},
};

/// Reads what `kubectl get … -o json|yaml` prints: a List, several documents, or single objects. The time is the file's
/// `takenAt`, else the newest that its objects tell, else the epoch.
///
/// Kinds that the file has no object of are marked unknown; kinds that rollouts don't read are ignored.
///
/// # Errors
/// The file is truncated or malformed, or holds nothing that rolls out.
pub fn read(mut input: impl Read) -> Result<(View, Timestamp), ReadError> {
    read_from(&mut input)
}

/// Without a type parameter, so that all this is compiled here: this crate is optimized for speed, its callers for size.
fn read_from(input: &mut dyn Read) -> Result<(View, Timestamp), ReadError> {
    let Gathered { objects, missing, taken_at } = file::gather::<Seen>(input)?;
    if RolloutKind::ALL.iter().all(|kind| missing.contains(&Kind::Workload(kind.workload()))) {
        let kinds = "deploy,sts,ds,rs,controllerrevisions,pods,events,nodes";
        return Err(ReadError::Lacks { lacks: "no Deployment, no StatefulSet and no DaemonSet", kinds });
    }
    let mut view = View::default();
    for object in objects {
        view.insert(object);
    }
    view.unknown.extend(missing.into_iter().map(|kind| (kind, Unreadable::NotInFile)));
    Ok((view, taken_at.unwrap_or(Timestamp::UNIX_EPOCH)))
}

/// What rollouts read.
struct Seen;

impl Wanted for Seen {
    fn kinds() -> impl Iterator<Item = Kind> {
        let workloads = RolloutKind::ALL.map(|kind| Kind::Workload(kind.workload()));
        let others =
            [Kind::Workload(WorkloadKind::ReplicaSet), Kind::ControllerRevision, Kind::Pod, Kind::Incident, Kind::Node];
        workloads.into_iter().chain(others)
    }

    fn read(kind: Kind, object: &str) -> Result<Option<Object>, serde_json::Error> {
        Object::read_for_rollout(kind, object)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;
    use crate::{
        model::ObjectName,
        rollout::{history::history, status::progress},
    };

    /// A Deployment in mid-rollout with all that belongs to it.
    fn recorded(name: &str) -> String {
        fs::read_to_string(stalls().join(name)).unwrap()
    }

    fn stalls() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/stalls")
    }

    #[test]
    fn every_recorded_stall() {
        let mut count = 0;
        for entry in fs::read_dir(stalls()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            count += 1;
            let (view, taken_at) = read(fs::File::open(&path).unwrap()).unwrap();
            let unknown: Vec<&str> = view.unknown.keys().map(|kind| kind.resource()).collect();
            assert_eq!(
                unknown,
                ["nodes", "statefulsets.apps", "daemonsets.apps", "controllerrevisions.apps"],
                "{path:?}"
            );
            let rollout = view.rollouts().next().unwrap();
            assert_eq!((view.rollouts().count(), rollout.shown().as_str()), (1, "deployment/web"));
            let subject = view.subject(rollout, taken_at);
            assert!(
                subject.current().is_some() && !subject.pods.is_empty() && !subject.incidents.is_empty(),
                "{path:?}"
            );
            assert!(!history(&subject, None).entries.is_empty(), "{path:?}");
            assert!(!progress(&subject).message.is_empty(), "{path:?}");
        }
        assert_eq!(count, 33);
    }

    #[test]
    fn what_a_recorded_stall_tells() {
        let (view, taken_at) = read(recorded("e-nonexistent-tag-90s.json").as_bytes()).unwrap();
        let subject = view.subject(view.rollouts().next().unwrap(), taken_at);
        insta::assert_snapshot!(format!(
            "{}\n{}",
            progress(&subject).message,
            history(&subject, None).plain(None).unwrap()
        ));
    }

    #[test]
    fn the_same_in_any_form() {
        #[track_caller]
        fn check(text: &str) {
            let (view, taken_at) = read(text.as_bytes()).unwrap();
            let subject = view.subject(view.rollouts().next().unwrap(), taken_at);
            assert_eq!((subject.revisions.len(), subject.pods.len(), subject.incidents.len()), (2, 2, 14));
        }
        let json = recorded("g-ready-404.json");
        check(&json);
        let list: serde_json::Value = serde_json::from_str(&json).unwrap();
        check(&serde_saphyr::to_string(&list).unwrap());
        let items = list["items"].as_array().unwrap();
        check(&items.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
        check(&items.iter().map(|item| serde_saphyr::to_string(item).unwrap()).collect::<Vec<_>>().join("\n---\n"));
    }

    const SETS: &str = r#"{"kind": "List", "takenAt": "2026-01-01T00:00:09Z", "items": [
        {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "namespace": "a", "uid": "s"},
            "spec": {"selector": {}, "serviceName": "db", "template": {}}},
        {"apiVersion": "apps/v1", "kind": "ControllerRevision", "revision": 3, "data": {"spec": {"template": {"$patch": "replace"}}},
            "metadata": {"name": "db-1", "namespace": "a", "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "s", "controller": true}]}},
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "bare", "namespace": "a"}, "spec": {"selector": {}}},
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}},
        {"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e", "namespace": "a"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x", "namespace": "a"}, "data": 5}
    ]}"#;

    #[test]
    fn kinds_that_are_there_are_known() {
        let (view, taken_at) = read(SETS.as_bytes()).unwrap();
        assert_eq!(taken_at.to_string(), "2026-01-01T00:00:09Z");
        // A ReplicaSet that no Deployment owns says that there are ReplicaSets.
        let unknown: Vec<&str> = view.unknown.keys().map(|kind| kind.resource()).collect();
        assert_eq!(unknown, ["pods", "deployments.apps", "daemonsets.apps", "events"]);
        let rollout = view.rollout(RolloutKind::StatefulSet, &ObjectName::new("a", "db")).unwrap();
        assert_eq!(view.subject(rollout, taken_at).revision(3).unwrap().name.name, "db-1");
    }

    #[test]
    fn bad_files_are_told_apart() {
        #[track_caller]
        fn check(text: &str, expected: &str) {
            let message = read(text.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(expected), "{message:?} should contain {expected:?}");
        }
        check("", "it is empty");
        check(" \n", "it is empty");
        check("[1]", "bare array");
        check("just a text", "line 1");
        check("{}", "an object without a kind");
        check(&SETS[..SETS.len() / 2], "line 6 column");
        check("kind: List\nitems:\n- kind: Deployment\n  metadata: [\n", "line");
        check("items:\n- kind: Deployment\n  metadata: {name: web}\n", "the file is cut off after item 1");
        let nothing = "it holds no Deployment, no StatefulSet and no DaemonSet; give it what `kubectl get \
            deploy,sts,ds,rs,controllerrevisions,pods,events,nodes -o yaml` prints";
        check("kind: List\nitems: []\n", nothing);
        check("kind: Pod\nmetadata: {name: p}\n", nothing);
        check("kind: Deployment\nmetadata: {name: web, namespace: a}\nspec: 5\n", "Deployment a/web: invalid type");
        check(
            "kind: List\nitems:\n- kind: Event\n  metadata: {name: e}\n  count: x\n",
            "item 1, Event e: invalid type",
        );
        check("kind: Deployment\nspec: {}\n", "a Deployment without a name");
        check("apiVersion: apps/v1beta1\nkind: Deployment\nmetadata: {name: web}\n", "expected apps/v1");
    }

    #[test]
    fn a_file_cut_anywhere_is_an_error() {
        for end in 0..SETS.len() {
            assert!(read(&SETS.as_bytes()[..end]).is_err(), "cut at {end}");
        }
        let recorded = recorded("a-crashloop-after-sigkill.json");
        for end in (0..recorded.trim_end().len()).step_by(97) {
            assert!(read(&recorded.as_bytes()[..end]).is_err(), "cut at {end}");
        }
    }
}
