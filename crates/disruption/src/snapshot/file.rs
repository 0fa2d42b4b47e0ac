//! Reads a snapshot from a file.

use std::io::Read;

use jiff::Timestamp;

use super::{Kind, Object, Snapshot, Unreadable};
use crate::file::{self, Gathered, ReadError, Wanted};

/// Reads what `kubectl get … -o json|yaml` prints: a List, several documents, or single objects.
///
/// `taken_at` is the file's `takenAt`, else its newest timestamp. Kinds that the file has no object of are marked
/// unknown; kinds that plans don't read are ignored.
pub fn read(mut input: impl Read) -> Result<Snapshot, ReadError> {
    read_from(&mut input)
}

/// Without a type parameter, so that all this is compiled here: this crate is optimized for speed, its callers for size.
fn read_from(input: &mut dyn Read) -> Result<Snapshot, ReadError> {
    let Gathered { objects, missing, taken_at } = file::gather::<Planned>(input)?;
    if missing.contains(&Kind::Node) && missing.contains(&Kind::Pod) {
        let kinds = "nodes,pods,pdb,deploy,rs,rc,sts,ds,jobs -A";
        return Err(ReadError::Lacks { lacks: "no node and no pod", kinds });
    }
    let mut snapshot = Snapshot::new(taken_at.unwrap_or(Timestamp::UNIX_EPOCH));
    for object in objects {
        snapshot.insert(object);
    }
    for kind in missing {
        snapshot.mark_unknown(kind, Unreadable::NotInFile);
    }
    Ok(snapshot)
}

/// What plans read.
struct Planned;

impl Wanted for Planned {
    fn kinds() -> impl Iterator<Item = Kind> {
        Kind::all()
    }

    fn read(kind: Kind, object: &str) -> Result<Option<Object>, serde_json::Error> {
        Object::read_for_drain(kind, object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::WorkloadKind;

    const LIST: &str = r#"{"apiVersion": "v1", "items": [
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "uid": "u"}, "status": {"conditions": [
            {"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:09Z"}]}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "creationTimestamp": "2026-01-01T00:00:05Z"}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "a", "deletionTimestamp": "2026-02-01T00:00:00Z"},
            "spec": {"containers": [], "nodeName": "n1"}}
        ], "kind": "List"}"#;

    #[test]
    fn a_list_in_any_form() {
        #[track_caller]
        fn check(text: &str) {
            let snapshot = read(text.as_bytes()).unwrap();
            assert_eq!((snapshot.nodes.len(), snapshot.pods.len()), (1, 1));
            assert!(snapshot.nodes[0].ready);
            assert_eq!(snapshot.taken_at.to_string(), "2026-01-01T00:00:09Z");
            assert!(snapshot.knows(Kind::Pod) && !snapshot.knows(Kind::PodDisruptionBudget));
        }
        check(LIST);
        let list: serde_json::Value = serde_json::from_str(LIST).unwrap();
        check(&serde_saphyr::to_string(&list).unwrap());
        let items = list["items"].as_array().unwrap();
        let documents: Vec<String> = items.iter().map(|item| serde_saphyr::to_string(item).unwrap()).collect();
        check(&format!("---\n{}", documents.join("\n---\n")));
        let objects: Vec<String> = items.iter().map(ToString::to_string).collect();
        check(&objects.join("\n"));
        check(&format!("\u{feff}{LIST}"));
    }

    #[test]
    fn the_servers_own_lists() {
        let text =
            r#"{"kind": "PodList", "apiVersion": "v1", "items": [{"metadata": {"name": "p", "namespace": "a"}}]}"#;
        assert_eq!(read(text.as_bytes()).unwrap().pods.len(), 1);
    }

    #[test]
    fn taken_at_wins() {
        let text = LIST.replacen('{', r#"{"takenAt": "2026-05-01T00:00:00.5Z","#, 1);
        assert_eq!(read(text.as_bytes()).unwrap().taken_at.to_string(), "2026-05-01T00:00:00.5Z");
    }

    #[test]
    fn times_that_users_write_do_not_move_the_clock() {
        #[track_caller]
        fn check(object: &str, expected: &str) {
            let text = format!("{object}\n{{\"kind\": \"Node\", \"metadata\": {{\"name\": \"n1\"}}}}");
            assert_eq!(read(text.as_bytes()).unwrap().taken_at.to_string(), expected);
        }
        let never = "1970-01-01T00:00:00Z";
        check(
            r#"{"kind": "Pod", "metadata": {"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z"}}"#,
            "2026-01-01T00:00:00Z",
        );
        check(
            r#"{"kind": "Pod", "metadata": {"name": "p", "annotations": {"expirationTime": "2096-01-01T00:00:00Z"}}}"#,
            never,
        );
        check(r#"{"kind": "Pod", "metadata": {"name": "p", "deletionTimestamp": "2096-01-01T00:00:00Z"}}"#, never);
        check(
            r#"{"kind": "Certificate", "metadata": {"name": "c"}, "status": {"renewalTime": "2096-01-01T00:00:00Z"}}"#,
            never,
        );
    }

    #[test]
    fn an_object_told_twice_counts_once() {
        let pod =
            |uid: &str| format!(r#"{{"kind": "Pod", "metadata": {{"name": "p", "namespace": "a", "uid": "{uid}"}}}}"#);
        let budget = r#"{"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "p", "namespace": "a"}}"#;
        let other = pod("u3").replace("\"a\"", "\"b\"");
        let text = [pod("u1"), budget.to_owned(), pod("u2"), other, budget.to_owned()].join("\n");
        let snapshot = read(text.as_bytes()).unwrap();
        let uids: Vec<&str> = snapshot.pods.iter().map(|pod| pod.uid.0.as_str()).collect();
        assert_eq!((uids, snapshot.budgets.len()), (vec!["u2", "u3"], 1));
    }

    #[test]
    fn kinds_are_told_by_their_group() {
        #[track_caller]
        fn check(api_version: &str, kind: &str, expected: Option<Kind>) {
            let text = format!(
                "kind: Node\nmetadata: {{name: n1}}\n---\napiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: x}}\nspec: {{selector: {{}}, template: {{}}, serviceName: x}}\n"
            );
            let snapshot = read(text.as_bytes()).unwrap();
            let known: Vec<Kind> = Kind::all().filter(|kind| *kind != Kind::Node && snapshot.knows(*kind)).collect();
            assert_eq!(known, expected.into_iter().collect::<Vec<_>>(), "{api_version} {kind}");
        }
        let workload = |kind| Some(Kind::Workload(kind));
        check("v1", "Pod", Some(Kind::Pod));
        check("example.com/v1", "Pod", None);
        check("policy/v1", "PodDisruptionBudget", Some(Kind::PodDisruptionBudget));
        check("apps/v1", "Deployment", workload(WorkloadKind::Deployment));
        check("apps/v1", "ReplicaSet", workload(WorkloadKind::ReplicaSet));
        check("apps/v1", "StatefulSet", workload(WorkloadKind::StatefulSet));
        check("apps/v1", "DaemonSet", workload(WorkloadKind::DaemonSet));
        check("apps.kruise.io/v1", "DaemonSet", None);
        check("v1", "ReplicationController", workload(WorkloadKind::ReplicationController));
        check("batch/v1", "Job", workload(WorkloadKind::Job));
        check("batch.volcano.sh/v1", "Job", None);
    }

    #[test]
    fn bad_files_are_told_apart() {
        #[track_caller]
        fn check(bytes: &[u8], expected: &str) {
            let message = read(bytes).unwrap_err().to_string();
            assert!(message.contains(expected), "{message:?} should contain {expected:?}");
        }
        check(b"", "empty");
        check(b" \n\t\n", "empty");
        check(b"\x7fELF\x02\x01\x01\0\0", "neither JSON nor YAML");
        check(b"[1, 2]", "bare array");
        check(&LIST.as_bytes()[..LIST.len() / 2], "line 4");
        check(b"{\"kind\": \"Secret\", \"apiVersion\": \"v1\"}", "holds no node and no pod");
        check(b"just a text", "line 1");
        check(b"{}", "without a kind");
        check(b"{\"items\": 5}", "line 1");
        check(b"items:\n- kind: Pod\n  metadata: {name: p}\n", "cut off");
        check(
            br#"{"kind": "List", "items": [{"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p", "namespace": "a"}, "spec": 5}]}"#,
            "item 1, Pod a/p",
        );
        check(br#"{"kind": "Pod", "metadata": {"name": "p", "namespace": "a"}, "spec": 5}"#, "Pod a/p: invalid type");
        check(
            br#"{"kind": "List", "items": [{"kind": "Node", "metadata": {"name": "n"}}, {"kind": "Pod"}]}"#,
            "item 2, a Pod without a name",
        );
        check(br#"{"kind": "List", "items": [{"kind": "Pod", "metadata": {}}]}"#, "item 1, a Pod without a name");
        check(br#"{"kind": "List", "items": [{"metadata": {"name": "x"}}]}"#, "item 1, an object without a kind");
        check(br#"{"kind": "List", "items": [7]}"#, "item 1, invalid type: integer `7`, expected a Kubernetes object");
        check(
            br#"{"kind": "List", "items": [{"kind": "List", "items": []}]}"#,
            "item 1, a List: Lists inside of Lists",
        );
        check(br#"{"kind": "List", "items": null}"#, "holds no node and no pod");
        check(
            br#"{"kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [], "priority": 99999999999999999999}}"#,
            "Pod p: invalid",
        );
        check(br#"{"takenAt": "yesterday", "kind": "List"}"#, "takenAt is no time");
        check(b"{\"kind\": \"Node\", \"metadata\": {\"name\": \"n1\"}}\n\n{\"kind\": \"Pod\", ", "line 3");
        check(b"{\"kind\": \"Node\"} trailing", "line 1");
    }

    #[test]
    fn bad_yaml_names_line_or_object() {
        #[track_caller]
        fn check(text: &str, expected: &str) {
            let message = read(text.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(expected), "{message:?} should contain {expected:?}");
            assert!(!message.contains('\n'), "{message:?} should be one line");
        }
        check("kind: List\nitems:\n- kind: Pod\n  metadata: [\n", "line");
        check("apiVersion: v1\nitems:\n- kind: Node\n  metadata:\n    name: n1\n", "the file is cut off");
        check("kind: List\nitems:\n- kind: Pod\n  metadata:\n    name: p\n  spec: 5\n", "item 1, Pod p");
        check("kind: List\nitems:\n- kind: Pod\n  metadata:\n    name: \"p", "line");
        check(
            "kind: List\nitems:\n- kind: Node\n  metadata: {name: n1}\n- kind: Pod\n",
            "item 2, a Pod without a name",
        );
        check("kind: List\nitems: null\n", "holds no node and no pod");
        check("kind: List\nitems:\n", "holds no node and no pod");
        check("kind: List\nitems: {}\n", "must be an array");
        check("kind: Node\nmetadata: {name: n1}\n---\nkind: Pod\n  metadata: x\n", "line 5");
        check("kind: Node\nmetadata: {name: n1}\n---\nkind: Pod\nspec: {}\n", "a Pod without a name");
        check("kind: Pod\nmetadata: {name: p}\nspec: {containers: [], priority: 99999999999999999999}\n", "Pod p");
        check("# only a comment\n", "holds no node");
        check("---\n---\n", "holds no node");
        check("\t- x", "line 1");
        // An older version means other things by the same words.
        check("apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: b}\n", "expected policy/v1");
    }

    #[test]
    fn keys_in_any_order() {
        #[track_caller]
        fn check(pod: &str) {
            let list = format!(r#"{{"items": [{pod}], "kind": "List"}}"#);
            for text in [pod, &list] {
                let pods = read(text.as_bytes()).unwrap().pods;
                let seen: Vec<_> = pods.iter().map(|pod| (pod.name.to_string(), pod.priority)).collect();
                assert_eq!(seen, [("a/p".to_owned(), 7)], "{text}");
            }
        }
        check(
            r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "a"}, "spec": {"priority": 7}}"#,
        );
        check(
            r#"{"spec": {"priority": 7}, "metadata": {"namespace": "a", "name": "p"}, "kind": "Pod", "apiVersion": "v1"}"#,
        );
        check(r#"{"metadata": {"name": "p", "namespace": "a"}, "kind": "Pod", "spec": {"priority": 7}}"#);
    }

    #[test]
    fn carriage_returns_are_white_space() {
        let yaml = "kind: List\r\nitems:\r\n- kind: Node\r\n  metadata:\r\n    name: n1\r\n";
        assert_eq!(read(yaml.as_bytes()).unwrap().nodes[0].name.0, "n1");
        let json = "\r\n{\"kind\": \"Node\",\r\n\"metadata\": {\"name\": \"n1\"}}\r\n";
        assert_eq!(read(json.as_bytes()).unwrap().nodes[0].name.0, "n1");
    }

    #[test]
    fn nesting_without_end_is_an_error() {
        let deep = 200_000;
        let json = format!("{{\"kind\": \"Pod\", \"x\": {}", "[".repeat(deep));
        assert!(read(json.as_bytes()).unwrap_err().to_string().contains("recursion limit"));
        let ignored = format!("{{\"kind\": \"List\", \"items\": {}", "{\"a\":".repeat(deep));
        assert!(read(ignored.as_bytes()).is_err());
        for yaml in [format!("kind: Pod\nx: {}", "[".repeat(deep)), format!("kind: Pod\nx: {}", "{a: ".repeat(deep))] {
            assert!(read(yaml.as_bytes()).is_err());
        }
        let lines: Vec<String> = (0..3000).map(|depth| " ".repeat(depth) + "a:").collect();
        let block = lines.join("\n");
        assert!(read(block.as_bytes()).is_err());
    }

    #[test]
    fn aliases_that_multiply_are_an_error() {
        let mut yaml = "kind: Pod\nmetadata: {name: p}\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..10 {
            let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
            yaml = format!("{yaml}a{level}: &a{level} [{aliases}]\n");
        }
        let message = read(yaml.as_bytes()).unwrap_err().to_string();
        assert!(message.contains("anchor"), "{message}");
    }

    #[test]
    fn a_file_cut_anywhere_is_an_error_or_less() {
        let list: serde_json::Value = serde_json::from_str(LIST).unwrap();
        let yaml = serde_saphyr::to_string(&list).unwrap();
        for text in [LIST, &yaml] {
            for end in 0..text.len() {
                // No panic, and never more than the whole.
                if let Ok(snapshot) = read(&text.as_bytes()[..end]) {
                    // Cut within the last line, `kind: List`, or the white space after it.
                    assert!(
                        text == yaml && end + 6 > text.trim_end().len() && snapshot.pods.len() == 1,
                        "cut at {end}"
                    );
                }
            }
        }
    }
}
