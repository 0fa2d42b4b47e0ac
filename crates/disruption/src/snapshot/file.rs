//! Reads a snapshot from what `kubectl get … -o json|yaml` prints, object by object, so that a large cluster never
//! stands in memory whole.

use std::{
    collections::{BTreeSet, HashMap},
    io::{self, BufRead, BufReader, Read},
};

use jiff::Timestamp;
use k8s_openapi::api::{apps::v1 as apps, batch::v1 as batch, core::v1 as core, policy::v1 as policy};
use serde::de::{DeserializeOwned, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use thiserror::Error;

use super::{Kind, Object, Snapshot, Unreadable};
use crate::model::{ObjectName, Workload};

/// Why a file is no snapshot. The texts name the line or the object.
#[derive(Debug, Error)]
pub enum ReadError {
    /// Nothing but white space.
    #[error("it is empty")]
    Empty,
    /// Bytes that are no text.
    #[error("it is neither JSON nor YAML: {0}")]
    NotText(&'static str),
    /// Malformed JSON, or an object of a wrong shape.
    #[error("{0}")]
    Json(#[source] serde_json::Error),
    /// Malformed YAML, or an object of a wrong shape.
    #[error("{0}")]
    Yaml(String),
    /// A well-formed file without any pod or node.
    #[error("it holds no node and no pod; give it what `kubectl get {} -A -o yaml` prints", KINDS_TO_GET)]
    NothingToPlan,
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The kinds that a complete snapshot has, as kubectl takes them.
const KINDS_TO_GET: &str = "nodes,pods,pdb,deploy,rs,rc,sts,ds,jobs";

/// How much is looked at to tell JSON from YAML from binary, in bytes.
const PEEK: usize = 4096;

/// Reads a List, several documents, or single objects, in JSON or YAML.
///
/// `taken_at` is the file's `takenAt`, else its newest timestamp. Kinds that the file has no object of are marked
/// unknown; kinds that plans don't read are ignored.
pub fn read(input: impl Read) -> Result<Snapshot, ReadError> {
    let mut input = BufReader::with_capacity(PEEK.max(1 << 16), input);
    let mut gathering = Gathering::default();
    match first_character(&mut input)? {
        b'{' => {
            for document in serde_json::Deserializer::from_reader(input).into_iter::<Document>() {
                gathering.take(document.map_err(ReadError::Json)?);
            }
        }
        b'[' => return Err(ReadError::NotText("it is a bare array, not a List")),
        _ => {
            for document in serde_saphyr::read_with_options::<_, Option<Document>>(&mut input, yaml_options()) {
                if let Some(document) = document.map_err(|error| ReadError::Yaml(yaml_message(&error)))? {
                    gathering.take(document);
                }
            }
        }
    }
    gathering.finish()
}

fn first_character(input: &mut impl BufRead) -> Result<u8, ReadError> {
    loop {
        let seen = input.fill_buf()?;
        if seen.is_empty() {
            return Err(ReadError::Empty);
        }
        if seen.contains(&0) {
            return Err(ReadError::NotText("it has NUL bytes"));
        }
        let blank = seen.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        match seen.get(blank) {
            // JSON may follow a byte order mark; YAML readers skip one themselves.
            Some(0xEF) if seen[blank..].starts_with(b"\xEF\xBB\xBF{") => input.consume(blank + 3),
            Some(&first) => {
                if first == b'{' {
                    input.consume(blank);
                }
                return Ok(first);
            }
            None => {
                let all = seen.len();
                input.consume(all);
            }
        }
    }
}

/// How much aliases may add, in parser events: nothing that kubectl prints has any, and they could multiply the input.
const MAX_ALIASED: usize = 10_000;

/// The limits of the YAML reader guard configuration files; a cluster is larger.
fn yaml_options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_reader_input_bytes: None,
            max_events: usize::MAX,
            max_nodes: usize::MAX,
            max_documents: usize::MAX,
            max_total_scalar_bytes: usize::MAX,
            max_total_comment_bytes: usize::MAX,
            max_recorded_anchor_events: MAX_ALIASED,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_ALIASED },
        with_snippet: false,
    }
}

fn yaml_message(error: &serde_saphyr::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// What one document gave.
#[derive(Default)]
struct Gathering {
    objects: Vec<Object>,
    taken_at: Option<Timestamp>,
    newest: Option<Timestamp>,
}

impl Gathering {
    fn take(&mut self, document: Document) {
        let Document { items: _, objects, taken_at, newest } = document;
        self.objects.extend(objects);
        self.taken_at = self.taken_at.max(taken_at);
        self.newest = self.newest.max(newest);
    }

    fn finish(self) -> Result<Snapshot, ReadError> {
        let taken_at = self.taken_at.or(self.newest).unwrap_or(Timestamp::UNIX_EPOCH);
        let mut snapshot = Snapshot::new(taken_at);
        let mut missing: BTreeSet<Kind> = Kind::all().collect();
        // An object that is there twice counts once, as it was told last.
        let mut seen: HashMap<(Kind, ObjectName), usize> = HashMap::with_capacity(self.objects.len());
        let mut objects: Vec<Option<Object>> = Vec::with_capacity(self.objects.len());
        for object in self.objects {
            missing.remove(&object.kind());
            if let Some(earlier) = seen.insert((object.kind(), object.name()), objects.len()) {
                objects[earlier] = None;
            }
            objects.push(Some(object));
        }
        objects.into_iter().flatten().for_each(|object| snapshot.insert(object));
        if missing.contains(&Kind::Node) && missing.contains(&Kind::Pod) {
            return Err(ReadError::NothingToPlan);
        }
        for kind in missing {
            snapshot.mark_unknown(kind, Unreadable::NotInFile);
        }
        Ok(snapshot)
    }
}

/// A document of a file: a List, read item by item, or a single object.
#[derive(Default)]
struct Document {
    /// Items of the List, also of kinds that are ignored.
    items: usize,
    objects: Vec<Object>,
    taken_at: Option<Timestamp>,
    newest: Option<Timestamp>,
}

impl<'de> serde::Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(DocumentVisitor)
    }
}

struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Document;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a Kubernetes object or a List of them")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let mut document = Document::default();
        let mut fields = Map::new();
        let mut is_list = false;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "items" => {
                    is_list = true;
                    // The server's own lists name the kind of their items only in the kind of the list.
                    let list_kind =
                        fields.get("kind").and_then(Value::as_str).and_then(|kind| kind.strip_suffix("List"));
                    let item_kind = list_kind.filter(|kind| !kind.is_empty()).map(str::to_owned);
                    map.next_value_seed(Items { document: &mut document, item_kind })?;
                }
                "takenAt" => {
                    let text: String = map.next_value()?;
                    let taken_at =
                        text.parse().map_err(|_| A::Error::custom(format!("takenAt is no time: {text:?}")))?;
                    document.taken_at = Some(taken_at);
                }
                _ => {
                    fields.insert(key, map.next_value()?);
                }
            }
        }
        if !is_list {
            if !fields.contains_key("kind") {
                return Err(A::Error::custom("an object without a kind: not a Kubernetes object"));
            }
            document.take_object(Value::Object(fields), None).map_err(A::Error::custom)?;
        } else if !fields.contains_key("kind") {
            // kubectl writes the kind of a List behind its items: without it the rest is missing.
            let items = document.items;
            return Err(A::Error::custom(format!("a List without its kind: the file is cut off after item {items}")));
        }
        Ok(document)
    }
}

struct Items<'a> {
    document: &'a mut Document,
    item_kind: Option<String>,
}

impl<'de> serde::de::DeserializeSeed<'de> for Items<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the items of a List")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element::<Value>()? {
            self.document.items += 1;
            let number = self.document.items;
            self.document
                .take_object(item, self.item_kind.as_deref())
                .map_err(|error| A::Error::custom(format!("item {number}, {error}")))?;
        }
        Ok(())
    }

    // `items: null` is how Go prints a list that was never made.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Err(A::Error::custom("the items of a List must be an array"))
    }
}

impl Document {
    fn take_object(&mut self, object: Value, list_kind: Option<&str>) -> Result<(), String> {
        let Some(kind) = object.get("kind").and_then(Value::as_str).or(list_kind).map(str::to_owned) else {
            return Err("an object without a kind: not a Kubernetes object".to_owned());
        };
        if kind == "List" {
            return Err("a List: Lists inside of Lists are not read".to_owned());
        }
        let name = describe(&object);
        let newest = newest_time(&object);
        if let Some(object) = prune(&kind, object).map_err(|error| format!("{kind} {name}: {error}"))? {
            if object.name().name.is_empty() {
                return Err(format!("a {kind} without a name"));
            }
            self.newest = self.newest.max(newest);
            self.objects.push(object);
        }
        Ok(())
    }
}

fn describe(object: &Value) -> String {
    let field = |name: &str| object.pointer(&format!("/metadata/{name}")).and_then(Value::as_str);
    match (field("namespace"), field("name")) {
        (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
        (None, Some(name)) => name.to_owned(),
        (_, None) => "without a name".to_owned(),
    }
}

/// Keeps of an object what plans read; `None` for kinds that they don't.
fn prune(kind: &str, object: Value) -> Result<Option<Object>, serde_json::Error> {
    fn workload<K: DeserializeOwned + Into<Workload>>(object: Value) -> Result<Object, serde_json::Error> {
        Ok(Object::Workload(Box::new(serde_json::from_value::<K>(object)?.into())))
    }
    let api_version = object.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    let group = api_version.split_once('/').map(|(group, _)| group.to_owned());
    let is_in = |expected: &str| group.as_deref().unwrap_or(expected) == expected;
    Ok(Some(match kind {
        "Node" if is_in("") => Object::Node(serde_json::from_value::<core::Node>(object)?.into()),
        "Pod" if is_in("") => Object::Pod(Box::new(serde_json::from_value::<core::Pod>(object)?.into())),
        "PodDisruptionBudget" if is_in("policy") => {
            Object::Budget(Box::new(serde_json::from_value::<policy::PodDisruptionBudget>(object)?.into()))
        }
        "Deployment" if is_in("apps") => workload::<apps::Deployment>(object)?,
        "ReplicaSet" if is_in("apps") => workload::<apps::ReplicaSet>(object)?,
        "StatefulSet" if is_in("apps") => workload::<apps::StatefulSet>(object)?,
        "DaemonSet" if is_in("apps") => workload::<apps::DaemonSet>(object)?,
        "ReplicationController" if is_in("") => workload::<core::ReplicationController>(object)?,
        "Job" if is_in("batch") => workload::<batch::Job>(object)?,
        _ => return Ok(None),
    }))
}

/// The newest time that an object tells. A deletion's time lies ahead, so it says nothing about when this was seen.
fn newest_time(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter_map(|(key, value)| match value {
                Value::String(text) if is_time(key) => text.parse().ok(),
                Value::String(_) => None,
                // Keys that users choose.
                _ if key == "annotations" || key == "labels" => None,
                _ => newest_time(value),
            })
            .max(),
        Value::Array(items) => items.iter().filter_map(newest_time).max(),
        _ => None,
    }
}

fn is_time(key: &str) -> bool {
    key != "deletionTimestamp"
        && (key.ends_with("Time")
            || key.ends_with("Timestamp")
            || key == "startedAt"
            || key == "finishedAt"
            || key == "time")
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
        let list: Value = serde_json::from_str(LIST).unwrap();
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
        check(br#"{"kind": "List", "items": [7]}"#, "item 1, an object without a kind");
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
        let list: Value = serde_json::from_str(LIST).unwrap();
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
