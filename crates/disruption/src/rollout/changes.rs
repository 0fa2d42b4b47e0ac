//! How two pod templates differ, field by field. Secrets that stand in them are not shown.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    paths::{below, item_names},
    secrets,
    template::{self, RESTARTED_AT},
};

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Such as `spec.containers[web].image`: items of lists go by their names where they have some.
    pub path: String,
    /// The value before; none where there was none.
    pub before: Option<String>,
    /// The value after; none where there is none.
    pub after: Option<String>,
}

/// The fields in which a template differs from the one before; none exactly if both ask for the same pods
/// ([`template::same_but_for_a_restart`]).
pub fn changes(before: &Value, after: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    compare("", Some(before), Some(after), &mut found);
    found
}

fn compare(path: &str, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Change>) {
    let (before, after) = (before.filter(|value| means_something(value)), after.filter(|value| means_something(value)));
    if let (Some(before), Some(after)) = (fields(before), fields(after)) {
        compare_fields(path, &before, &after, found);
    } else if let (Some(before), Some(after)) = (items(before), items(after)) {
        compare_items(path, before, after, found);
    } else if !before.zip(after).is_some_and(|(before, after)| template::same(before, after)) {
        found.push(changed(path, before, after));
    }
}

/// As [`template::same`] has it.
fn means_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Object(fields) => fields.values().any(means_something),
        Value::Array(items) => !items.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// The fields of an object, none of what is not there.
fn fields(value: Option<&Value>) -> Option<BTreeMap<&str, &Value>> {
    match value {
        None => Some(BTreeMap::new()),
        Some(Value::Object(fields)) => Some(fields.iter().map(|(key, value)| (key.as_str(), value)).collect()),
        Some(_) => None,
    }
}

/// The items of a list of objects, none of what is not there.
fn items(value: Option<&Value>) -> Option<&[Value]> {
    match value {
        None => Some(&[]),
        Some(Value::Array(items)) if items.iter().all(Value::is_object) => Some(items),
        Some(_) => None,
    }
}

fn compare_fields(
    path: &str,
    before: &BTreeMap<&str, &Value>,
    after: &BTreeMap<&str, &Value>,
    found: &mut Vec<Change>,
) {
    let keys: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
    for key in keys {
        if path != "metadata.annotations" || key != RESTARTED_AT {
            compare(&below(path, key), before.get(key).copied(), after.get(key).copied(), found);
        }
    }
}

fn compare_items(path: &str, before: &[Value], after: &[Value], found: &mut Vec<Change>) {
    let (names_before, names_after) = item_names(before, after);
    let item = |names: &[String], items: &[Value], name: &String| {
        names.iter().position(|other| other == name).and_then(|position| items.get(position).cloned())
    };
    let added = names_after.iter().filter(|name| !names_before.contains(name));
    for name in names_before.iter().chain(added) {
        let path = format!("{path}[{name}]");
        let (before, after) = (item(&names_before, before, name), item(&names_after, after, name));
        let until_now = found.len();
        compare(&path, before.as_ref(), after.as_ref(), found);
        // An empty item is one all the same.
        if found.len() == until_now && before.is_some() != after.is_some() {
            found.push(changed(&path, before.as_ref(), after.as_ref()));
        }
    }
    let kept = |names: &[String], others: &[String]| -> Vec<String> {
        names.iter().filter(|name| others.contains(name)).cloned().collect()
    };
    let (order_before, order_after) = (kept(&names_before, &names_after), kept(&names_after, &names_before));
    if order_before != order_after {
        found.push(changed(path, Some(&order_before.into()), Some(&order_after.into())));
    }
}

fn changed(path: &str, before: Option<&Value>, after: Option<&Value>) -> Change {
    let shown = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    Change {
        path: path.to_owned(),
        before: before.map(|before| shown(secrets::masked(path, before, None))),
        after: after.map(|after| shown(secrets::masked(path, after, before))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::rollout::fixture;

    /// Expects `path: before -> after`, with `-` for none.
    #[track_caller]
    fn check(before: &Value, after: &Value, expected: &[&str]) {
        let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let found = changes(before, after).into_iter().map(|change| {
            let Change { path, before, after } = change;
            format!("{path}: {} -> {}", text(before), text(after))
        });
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }

    /// Two templates that differ in the container `web`.
    #[track_caller]
    fn check_container(before: &Value, after: &Value, expected: &[&str]) {
        let with = |fields: &Value| {
            let mut template = fixture::template("x:1");
            let container = template["spec"]["containers"][0].as_object_mut().unwrap();
            container.extend(fields.as_object().unwrap().clone());
            template
        };
        let expected: Vec<String> = expected.iter().map(|change| format!("spec.containers[web].{change}")).collect();
        check(&with(before), &with(after), &expected.iter().map(String::as_str).collect::<Vec<_>>());
    }

    #[test]
    fn fields_and_items() {
        let template = fixture::template;
        check(&template("x:1"), &template("x:1"), &[]);
        check(&template("x:1"), &template("x:2"), &["spec.containers[web].image: x:1 -> x:2"]);
        let two = json!({"spec": {"containers": [{"name": "log", "image": "l:1"}, {"name": "web", "image": "x:1"}]}});
        let labels = "metadata.labels.app: web -> -";
        let added = ["spec.containers[log].image: - -> l:1", "spec.containers[log].name: - -> log"];
        check(&template("x:1"), &two, &[&[labels], added.as_slice()].concat());
        let other_order =
            json!({"spec": {"containers": [{"name": "web", "image": "x:1"}, {"name": "log", "image": "l:1"}]}});
        check(&two, &other_order, &[r#"spec.containers: ["log","web"] -> ["web","log"]"#]);
        let limits = |memory: &str| json!({"resources": {"limits": {"memory": memory, "nvidia.com/gpu": 1}}});
        check_container(&limits("1Gi"), &limits("2Gi"), &["resources.limits.memory: 1Gi -> 2Gi"]);
        check_container(
            &limits("1Gi"),
            &json!({"resources": {"limits": {}}}),
            &["resources.limits.memory: 1Gi -> -", "resources.limits[nvidia.com/gpu]: 1 -> -"],
        );
        let args = |args: &[&str]| json!({"args": args});
        check_container(&args(&["a"]), &args(&["b", "a"]), &[r#"args: ["a"] -> ["b","a"]"#]);
        check_container(&json!({}), &args(&["a"]), &[r#"args: - -> ["a"]"#]);
        check_container(&json!({"stdin": false}), &json!({"stdin": true}), &["stdin: false -> true"]);
    }

    #[test]
    fn what_items_go_by() {
        let mounts =
            |path: &str| json!({"volumeMounts": [{"name": "a", "mountPath": "/a"}, {"name": "a", "mountPath": path}]});
        let moved = [
            "volumeMounts[/b].mountPath: /b -> -",
            "volumeMounts[/b].name: a -> -",
            "volumeMounts[/c].mountPath: - -> /c",
            "volumeMounts[/c].name: - -> a",
        ];
        check_container(&mounts("/b"), &mounts("/c"), &moved);
        let from = |name: &str| json!({"envFrom": [{"configMapRef": {"name": name}}, {"secretRef": {"name": "s"}}]});
        check_container(
            &from("a"),
            &from("b"),
            &["envFrom[a].configMapRef.name: a -> -", "envFrom[b].configMapRef.name: - -> b"],
        );
        let ports = |port: i32| json!({"ports": [{"containerPort": port}, {"name": "admin", "containerPort": 9}]});
        check_container(
            &ports(80),
            &ports(81),
            &["ports[80].containerPort: 80 -> -", "ports[81].containerPort: - -> 81"],
        );
        let tolerations =
            |effect: &str| json!({"tolerations": [{"key": "a", "effect": "x"}, {"key": "a", "effect": effect}]});
        check(&tolerations("y"), &tolerations("z"), &["tolerations[1].effect: y -> z"]);
        check(&json!({"volumes": [{"name": "v"}]}), &json!({"volumes": [{"name": "v", "emptyDir": {}}]}), &[]);
        check(&json!({"envFrom": []}), &json!({"envFrom": [{}]}), &["envFrom[0]: - -> {}"]);
    }

    #[test]
    fn secrets_are_masked() {
        let env = |value: &str| json!({"env": [{"name": "TOKEN", "value": value}]});
        check_container(&env("a"), &env("b"), &["env[TOKEN].value: <masked> -> <masked, changed>"]);
        let gone = ["env[TOKEN].name: TOKEN -> -", "env[TOKEN].value: <masked> -> -"];
        check_container(&env("a"), &json!({}), &gone);
    }

    #[test]
    fn a_restart_is_no_change() {
        let at = |time: &str| json!({"metadata": {"annotations": {RESTARTED_AT: time}}});
        check(&at("a"), &at("b"), &[]);
        check(&json!({}), &at("b"), &[]);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), "[ab]".prop_map(Value::from)];
        leaf.prop_recursive(4, 16, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("name|key|[ab]", inner, 0..3)
                    .prop_map(|fields| fields.into_iter().collect::<Value>()),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_differs_is_found_and_nothing_else(one in any_json(), other in any_json(), time in "[ab]") {
            let with = |spec: &Value| json!({"metadata": {"annotations": {RESTARTED_AT: time}}, "spec": spec});
            for (one, other) in [(&one, &other), (&one, &one)] {
                let (before, after) = (json!({"spec": one}), with(other));
                let is_same = template::same_but_for_a_restart(&before, &after);
                prop_assert_eq!(changes(&before, &after).is_empty(), is_same);
                prop_assert_eq!(changes(&after, &before).is_empty(), is_same);
            }
        }
    }
}
