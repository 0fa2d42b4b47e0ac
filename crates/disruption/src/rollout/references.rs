//! The objects that a pod template names: without them its pods cannot start.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::action::{Wanted, WantedKind};

/// An object that a template names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// What it is.
    pub kind: WantedKind,
    /// Its name, in the pods' namespace if its kind has namespaces.
    pub name: String,
    /// The keys that it must have.
    pub keys: BTreeSet<String>,
    /// Whether pods start without it too.
    pub is_optional: bool,
}

/// The objects without which the pods of a template cannot start.
pub fn needed(template: &Value, namespace: &str) -> BTreeSet<Wanted> {
    let needed = references(template).into_iter().filter(|reference| !reference.is_optional);
    let wanted = |Reference { kind, name, keys, is_optional: _ }| Wanted {
        kind,
        namespace: if kind.has_namespace() { namespace.to_owned() } else { String::new() },
        name,
        keys: keys.into_iter().collect(),
    };
    needed.map(wanted).collect()
}

/// What the containers and volumes of a template need, each object once.
#[derive(Default)]
struct Found(BTreeMap<(WantedKind, String), (BTreeSet<String>, bool)>);

/// Volume sources with a Secret that the mount needs, as pointers to its name.
const SECRETS_OF_VOLUMES: [&str; 10] = [
    "/azureFile/secretName",
    "/cephfs/secretRef/name",
    "/cinder/secretRef/name",
    "/csi/nodePublishSecretRef/name",
    "/flexVolume/secretRef/name",
    "/iscsi/secretRef/name",
    "/rbd/secretRef/name",
    "/scaleIO/secretRef/name",
    "/storageos/secretRef/name",
    "/secret/secretName",
];

/// The objects that a pod template names, by kind and name.
pub fn references(template: &Value) -> Vec<Reference> {
    let mut found = Found::default();
    let spec = template.get("spec").unwrap_or(&Value::Null);
    for container in items(spec, "/initContainers").chain(items(spec, "/containers")) {
        in_environment(container, &mut found);
    }
    for volume in items(spec, "/volumes") {
        in_volume(volume, &mut found);
    }
    for secret in items(spec, "/imagePullSecrets") {
        // The kubelet pulls without one that is missing.
        found.add(WantedKind::Secret, text(secret, "/name"), [], true);
    }
    // The server keeps the old field equal to the new one.
    let account = text(spec, "/serviceAccountName").or_else(|| text(spec, "/serviceAccount"));
    found.add(WantedKind::ServiceAccount, account, [], false);
    found.add(WantedKind::PriorityClass, text(spec, "/priorityClassName"), [], false);
    found.add(WantedKind::RuntimeClass, text(spec, "/runtimeClassName"), [], false);
    let reference = |((kind, name), (keys, is_optional))| Reference { kind, name, keys, is_optional };
    found.0.into_iter().map(reference).collect()
}

fn in_environment(container: &Value, found: &mut Found) {
    for source in items(container, "/envFrom") {
        for (kind, of) in [(WantedKind::ConfigMap, "/configMapRef"), (WantedKind::Secret, "/secretRef")] {
            let of = source.pointer(of).unwrap_or(&Value::Null);
            found.add(kind, text(of, "/name"), [], is_optional(of));
        }
    }
    for variable in items(container, "/env") {
        let sources =
            [(WantedKind::ConfigMap, "/valueFrom/configMapKeyRef"), (WantedKind::Secret, "/valueFrom/secretKeyRef")];
        for (kind, of) in sources {
            let of = variable.pointer(of).unwrap_or(&Value::Null);
            found.add(kind, text(of, "/name"), text(of, "/key"), is_optional(of));
        }
    }
}

fn in_volume(volume: &Value, found: &mut Found) {
    let sources = || items(volume, "/projected/sources");
    for map in volume.get("configMap").into_iter().chain(sources().filter_map(|source| source.get("configMap"))) {
        found.add(WantedKind::ConfigMap, text(map, "/name"), keys(map), is_optional(map));
    }
    for secret in sources().filter_map(|source| source.get("secret")) {
        found.add(WantedKind::Secret, text(secret, "/name"), keys(secret), is_optional(secret));
    }
    for path in SECRETS_OF_VOLUMES {
        let secret = volume.get("secret").unwrap_or(&Value::Null);
        found.add(WantedKind::Secret, text(volume, path), keys(secret), is_optional(secret));
    }
    found.add(WantedKind::Claim, text(volume, "/persistentVolumeClaim/claimName"), [], false);
}

impl Found {
    /// What is optional at one place and needed at another is needed. An optional place needs no key.
    fn add<'a>(
        &mut self,
        kind: WantedKind,
        name: Option<&str>,
        keys: impl IntoIterator<Item = &'a str>,
        is_optional: bool,
    ) {
        let Some(name) = name.filter(|name| !name.is_empty()) else { return };
        let (needed, optional) = self.0.entry((kind, name.to_owned())).or_insert((BTreeSet::new(), true));
        if !is_optional {
            *optional = false;
            needed.extend(keys.into_iter().map(str::to_owned));
        }
    }
}

fn items<'a>(of: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    of.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(of: &'a Value, pointer: &str) -> Option<&'a str> {
    of.pointer(pointer).and_then(Value::as_str)
}

fn keys(of: &Value) -> impl Iterator<Item = &str> {
    items(of, "/items").filter_map(|item| text(item, "/key"))
}

fn is_optional(of: &Value) -> bool {
    of.get("optional").and_then(Value::as_bool).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Expects `Kind name` or `Kind name[key,key]`, with `?` behind what is optional.
    #[track_caller]
    fn check(spec: &Value, expected: &[&str]) {
        let shown = references(&json!({"spec": spec})).into_iter().map(|reference| {
            let Reference { kind, name, keys, is_optional } = reference;
            let keys: Vec<String> = keys.into_iter().collect();
            let keys = if keys.is_empty() { String::new() } else { format!("[{}]", keys.join(",")) };
            format!("{kind:?} {name}{keys}{}", if is_optional { "?" } else { "" })
        });
        assert_eq!(shown.collect::<Vec<_>>(), expected);
    }

    fn of_env(env: &Value) -> Value {
        json!({"containers": [{"env": env}]})
    }

    fn of_volume(volume: &Value) -> Value {
        json!({"volumes": [volume]})
    }

    #[test]
    fn environments() {
        let map = |name: &str, key: &str| json!({"valueFrom": {"configMapKeyRef": {"name": name, "key": key}}});
        let secret = |name: &str, key: &str| json!({"valueFrom": {"secretKeyRef": {"name": name, "key": key}}});
        let mut optional = map("a", "z");
        optional["valueFrom"]["configMapKeyRef"]["optional"] = true.into();
        check(&of_env(&json!([{"name": "A", "value": "b"}])), &[]);
        check(&of_env(&json!([map("a", "x"), secret("a", "x")])), &["ConfigMap a[x]", "Secret a[x]"]);
        check(&of_env(&json!([map("b", "y"), map("a", "x"), map("b", "x")])), &["ConfigMap a[x]", "ConfigMap b[x,y]"]);
        check(&of_env(&json!([optional])), &["ConfigMap a?"]);
        check(&of_env(&json!([optional, map("a", "x")])), &["ConfigMap a[x]"]);
        check(&of_env(&json!([{"valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}])), &[]);
        let from = json!([{"configMapRef": {"name": "a"}}, {"secretRef": {"name": "b", "optional": true}}]);
        check(&json!({"containers": [{"envFrom": from}]}), &["ConfigMap a", "Secret b?"]);
        check(&json!({"initContainers": [{"envFrom": from}]}), &["ConfigMap a", "Secret b?"]);
    }

    #[test]
    fn volumes() {
        let items = json!([{"key": "k", "path": "p"}]);
        check(&of_volume(&json!({"configMap": {"name": "a"}})), &["ConfigMap a"]);
        check(&of_volume(&json!({"configMap": {"name": "a", "items": items}})), &["ConfigMap a[k]"]);
        check(&of_volume(&json!({"configMap": {"name": "a", "items": items, "optional": true}})), &["ConfigMap a?"]);
        check(&of_volume(&json!({"secret": {"secretName": "a"}})), &["Secret a"]);
        check(&of_volume(&json!({"secret": {"secretName": "a", "items": items}})), &["Secret a[k]"]);
        check(&of_volume(&json!({"secret": {"secretName": "a", "optional": true}})), &["Secret a?"]);
        let sources = json!([
            {"configMap": {"name": "a", "items": items}}, {"secret": {"name": "b"}}, {"downwardAPI": {}},
            {"secret": {"name": "c", "optional": true}}, {"serviceAccountToken": {"path": "token"}},
        ]);
        check(&of_volume(&json!({"projected": {"sources": sources}})), &["ConfigMap a[k]", "Secret b", "Secret c?"]);
        check(&of_volume(&json!({"csi": {"driver": "d", "nodePublishSecretRef": {"name": "a"}}})), &["Secret a"]);
        check(&of_volume(&json!({"persistentVolumeClaim": {"claimName": "data"}})), &["Claim data"]);
        check(&of_volume(&json!({"emptyDir": {}})), &[]);
    }

    #[test]
    fn the_pod_itself() {
        check(&json!({}), &[]);
        check(&json!({"imagePullSecrets": [{"name": "pull"}]}), &["Secret pull?"]);
        check(&json!({"serviceAccountName": "a", "serviceAccount": "a"}), &["ServiceAccount a"]);
        check(&json!({"serviceAccount": "a"}), &["ServiceAccount a"]);
        check(&json!({"serviceAccountName": "", "priorityClassName": "p"}), &["PriorityClass p"]);
        check(&json!({"runtimeClassName": "gvisor"}), &["RuntimeClass gvisor"]);
    }
}
