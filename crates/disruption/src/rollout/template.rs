//! Pod templates as raw JSON: whether two are the same, what images they name, and how they differ.
//!
//! What is shown of a template hides the values of environment variables that look like secrets.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::diff;

/// One difference between two templates.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The field, items of lists by their names: `spec.containers[web].image`, `metadata.annotations[example.com/x]`.
    pub path: String,
    /// Its value before, a scalar or a list of scalars; none where there was none.
    pub before: Option<Value>,
    /// Its value after; none where there is none.
    pub after: Option<Value>,
}

/// The annotation by which `kubectl rollout restart` makes a template new without changing anything else.
pub const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// Whether two templates ask for the same pods. Nulls and empty maps and lists mean nothing: the API server, the
/// controllers and clients write them or leave them out as they like.
pub fn same(one: &Value, other: &Value) -> bool {
    pruned(one) == pruned(other)
}

/// [`same`], whatever [`RESTARTED_AT`] says.
pub fn same_but_for_a_restart(one: &Value, other: &Value) -> bool {
    let without = |template: &Value| {
        let mut template = template.clone();
        if let Some(annotations) = template.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
            annotations.remove(RESTARTED_AT);
        }
        pruned(&template)
    };
    without(one) == without(other)
}

/// The image of each container, those that initialise too.
pub fn images(template: &Value) -> BTreeMap<String, String> {
    let list = |path: &str| template.pointer(path).and_then(Value::as_array).into_iter().flatten();
    let text = |container: &Value, key: &str| container.get(key).and_then(Value::as_str).map(str::to_owned);
    list("/spec/initContainers")
        .chain(list("/spec/containers"))
        .filter_map(|container| Some((text(container, "name")?, text(container, "image")?)))
        .collect()
}

/// A template as YAML for people, without what means nothing.
pub fn yaml(template: &Value) -> String {
    write_yaml(&masked(&pruned(template), None))
}

/// The unified diff of two templates of the workload `name`; empty where they are the same.
pub fn diff(before: &Value, after: &Value, name: &str) -> String {
    let (before, after) = (pruned(before), pruned(after));
    diff::unified(name, &write_yaml(&masked(&before, None)), &write_yaml(&masked(&after, Some(&before))))
}

/// Every field in which two templates differ, ordered by path. None where they are the same.
pub fn changes(before: &Value, after: &Value) -> Vec<Change> {
    let (before, after) = (pruned(before), pruned(after));
    let mut changes = Vec::new();
    compare(String::new(), Some(&masked(&before, None)), Some(&masked(&after, Some(&before))), &mut changes);
    changes
}

fn write_yaml(template: &Value) -> String {
    let mut text = String::new();
    // Long lines would be folded otherwise, so that one changed word changes many lines.
    let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
    match serde_saphyr::to_fmt_writer_with_options(&mut text, template, options) {
        Ok(()) => text,
        // JSON is YAML too.
        Err(_) => format!("{template:#}\n"),
    }
}

/// What stands for a value that is not shown.
const MASKED: &str = "<masked>";

/// The same for one that is not what it was before.
const MASKED_AND_CHANGED: &str = "<masked, changed>";

/// What names of environment variables with secrets contain, in capitals.
const SECRET_WORDS: [&str; 8] = ["PASS", "SECRET", "TOKEN", "KEY", "CREDENTIAL", "PWD", "PRIVATE", "AUTH"];

fn is_secret(name: &str, value: &str) -> bool {
    let name = name.to_uppercase();
    let has_user_info = || {
        let authority = value.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or_default());
        authority.is_some_and(|authority| authority.contains('@'))
    };
    !value.is_empty() && (SECRET_WORDS.iter().any(|word| name.contains(word)) || has_user_info())
}

/// The template without the values of secrets. A value that `before` has otherwise is marked.
fn masked(template: &Value, before: Option<&Value>) -> Value {
    let mut template = template.clone();
    for list in ["/spec/initContainers", "/spec/containers"] {
        for container in template.pointer_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let old = before.and_then(|before| named(before.pointer(list)?, &container["name"]));
            for variable in container.get_mut("env").and_then(Value::as_array_mut).into_iter().flatten() {
                let name = variable["name"].as_str().unwrap_or_default();
                let Some(value) = variable["value"].as_str().filter(|value| is_secret(name, value)) else { continue };
                let old = old.and_then(|old| named(old.get("env")?, &variable["name"])?.get("value"));
                let is_changed = old.is_some_and(|old| *old != *value);
                variable["value"] = if is_changed { MASKED_AND_CHANGED } else { MASKED }.into();
            }
        }
    }
    template
}

/// The item of a list that has this name.
fn named<'v>(list: &'v Value, name: &Value) -> Option<&'v Value> {
    list.as_array()?.iter().find(|item| item["name"] == *name)
}

fn compare(path: String, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<Change>) {
    if before == after {
        return;
    }
    let both = || [before, after].into_iter().flatten();
    let is_list_of_objects = |value: &Value| value.as_array().is_some_and(|items| items.iter().all(Value::is_object));
    if both().all(Value::is_object) {
        let keys: BTreeSet<&String> = both().filter_map(Value::as_object).flat_map(Map::keys).collect();
        for key in keys {
            let (before, after) = (before.and_then(|it| it.get(key)), after.and_then(|it| it.get(key)));
            compare(field(&path, key), before, after, changes);
        }
    } else if both().all(is_list_of_objects) {
        let key = item_key(both());
        let (before, after) = (items(before, key), items(after, key));
        let names: BTreeSet<&String> = before.iter().chain(&after).map(|(name, _)| name).collect();
        for name in names {
            compare(format!("{path}[{name}]"), find(&before, name), find(&after, name), changes);
        }
        let order = |these: &[(String, &Value)], those: &[(String, &Value)]| -> Vec<Value> {
            let common = these.iter().filter(|(name, _)| find(those, name).is_some());
            common.map(|(name, _)| name.as_str().into()).collect()
        };
        let (old, new) = (order(&before, &after), order(&after, &before));
        if old != new {
            changes.push(Change { path, before: Some(old.into()), after: Some(new.into()) });
        }
    } else {
        changes.push(Change { path, before: before.cloned(), after: after.cloned() });
    }
}

/// Fields by which the API tells items of its lists apart, as far as pod templates have them.
const ITEM_KEYS: [&str; 8] =
    ["name", "key", "mountPath", "devicePath", "containerPort", "topologyKey", "ip", "conditionType"];

/// The field that tells the items of these lists apart; none where only their positions do.
fn item_key<'v>(lists: impl Iterator<Item = &'v Value>) -> Option<&'static str> {
    let lists: Vec<&Vec<Value>> = lists.filter_map(Value::as_array).collect();
    let tells_apart = |key: &&str| {
        lists.iter().all(|items| {
            let names: BTreeSet<String> = items.iter().filter_map(|item| item_name(item, key)).collect();
            names.len() == items.len()
        })
    };
    ITEM_KEYS.into_iter().find(tells_apart)
}

fn item_name(item: &Value, key: &str) -> Option<String> {
    match &item[key] {
        Value::String(name) => Some(name.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The items of a list by name or, without one, by position.
fn items<'v>(list: Option<&'v Value>, key: Option<&str>) -> Vec<(String, &'v Value)> {
    let items = list.and_then(Value::as_array).into_iter().flatten().enumerate();
    items.map(|(at, item)| (key.and_then(|key| item_name(item, key)).unwrap_or_else(|| at.to_string()), item)).collect()
}

fn find<'v>(items: &[(String, &'v Value)], name: &str) -> Option<&'v Value> {
    items.iter().find(|(its_name, _)| its_name == name).map(|(_, item)| *item)
}

fn field(path: &str, key: &str) -> String {
    let is_plain = key.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter));
    match (path.is_empty(), is_plain) {
        (true, _) => key.to_owned(),
        (false, true) => format!("{path}.{key}"),
        (false, false) => format!("{path}[{key}]"),
    }
}

/// The value without nulls, empty maps and empty lists.
fn pruned(value: &Value) -> Value {
    let means_something =
        |value: &Value| !matches!(value, Value::Null) && value.as_object().is_none_or(|map| !map.is_empty());
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().map(|(key, value)| (key.clone(), pruned(value)));
            let kept = kept.filter(|(_, value)| means_something(value));
            Value::Object(
                kept.filter(|(_, value)| value.as_array().is_none_or(|list| !list.is_empty())).collect::<Map<_, _>>(),
            )
        }
        Value::Array(items) => Value::Array(items.iter().map(pruned).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_the_same_template() {
        #[track_caller]
        fn check(one: &Value, other: &Value, is_same: bool, is_same_but_for_a_restart: bool) {
            assert_eq!(same(one, other), is_same, "{one} {other}");
            assert_eq!(same_but_for_a_restart(one, other), is_same_but_for_a_restart, "{one} {other}");
        }
        let of = |image: &str| json!({"spec": {"containers": [{"name": "a", "image": image}]}});
        let mut padded = of("x:1");
        padded["metadata"] = json!({"creationTimestamp": null, "labels": {}});
        padded["spec"]["containers"][0]["resources"] = json!({"limits": {}});
        let mut restarted = of("x:1");
        restarted["metadata"]["annotations"][RESTARTED_AT] = "2026-01-01T00:00:00Z".into();
        check(&of("x:1"), &of("x:1"), true, true);
        check(&of("x:1"), &of("x:2"), false, false);
        check(&of("x:1"), &padded, true, true);
        check(&of("x:1"), &restarted, false, true);
        check(&of("x:2"), &restarted, false, false);
    }

    #[test]
    fn images_by_container() {
        let template = json!({"spec": {
            "initContainers": [{"name": "migrate", "image": "m:1"}],
            "containers": [{"name": "web", "image": "w:1"}, {"name": "none"}],
        }});
        let expected = [("migrate", "m:1"), ("web", "w:1")].map(|(name, image)| (name.to_owned(), image.to_owned()));
        assert_eq!(images(&template), BTreeMap::from(expected));
    }

    fn rich() -> Value {
        json!({
            "metadata": {"labels": {"app": "web"}, "annotations": {"example.com/at": "1"}, "creationTimestamp": null},
            "spec": {
                "containers": [
                    {
                        "name": "web", "image": "web:1", "args": ["--port", "80"],
                        "env": [{"name": "DB_PASSWORD", "value": "old"}, {"name": "API_TOKEN", "value": "same"},
                            {"name": "MODE", "value": "a"}, {"name": "DB", "value": "pg://me:word@db/x"}],
                        "ports": [{"containerPort": 80, "protocol": "TCP"}],
                        "resources": {"limits": {"memory": "64Mi", "example.com/gpu": "1"}},
                        "volumeMounts": [{"name": "etc", "mountPath": "/etc/a"}, {"name": "etc", "mountPath": "/etc/b"}],
                    },
                    {"name": "log", "image": "log:1"},
                ],
                "securityContext": {},
                "tolerations": [{"key": "a", "operator": "Exists"}, {"operator": "Exists"}],
            },
        })
    }

    fn richer() -> Value {
        let mut template = rich();
        template["metadata"]["annotations"]["example.com/at"] = "2".into();
        let spec = &mut template["spec"];
        spec["tolerations"][0]["operator"] = "Equal".into();
        spec["containers"][1] = json!({"name": "probe", "image": "probe:1"});
        let web = &mut spec["containers"][0];
        web["image"] = "web:2".into();
        web["args"] = json!(["--port", "81"]);
        web["env"][0]["value"] = "new".into();
        web["env"][2]["value"] = "b".into();
        web["ports"][0]["hostPort"] = 80.into();
        web["resources"]["limits"] = json!({"memory": "32Mi"});
        web["readinessProbe"] = json!({"httpGet": {"port": 80}});
        web["volumeMounts"] = json!([{"name": "etc", "mountPath": "/etc/b"}, {"name": "etc", "mountPath": "/etc/a"}]);
        template
    }

    #[test]
    fn as_yaml() {
        insta::assert_snapshot!(yaml(&rich()));
    }

    #[test]
    fn a_diff() {
        insta::assert_snapshot!(diff(&rich(), &richer(), "deployment/web"));
        assert_eq!(diff(&rich(), &rich(), "deployment/web"), "");
    }

    #[test]
    fn changed_paths() {
        let value = |value: Option<Value>| value.map_or_else(|| "none".to_owned(), |value| value.to_string());
        let lines: Vec<String> = changes(&rich(), &richer())
            .into_iter()
            .map(|Change { path, before, after }| format!("{path}: {} -> {}", value(before), value(after)))
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
        assert_eq!(changes(&rich(), &rich()), []);
    }

    #[test]
    fn what_is_masked() {
        #[track_caller]
        fn check(name: &str, before: Option<&str>, after: Option<&str>, shown: [Option<&str>; 2]) {
            let of = |value: Option<&str>| {
                let env: Vec<Value> = value.map(|value| json!({"name": name, "value": value})).into_iter().collect();
                json!({"spec": {"initContainers": [{"name": "a", "env": env}]}})
            };
            let seen = changes(&of(before), &of(after)).pop().map(|change| [change.before, change.after]);
            assert_eq!(seen, Some(shown.map(|value| value.map(Value::from))), "{name}");
        }
        let changed = [Some("<masked>"), Some("<masked, changed>")];
        for name in ["DB_PASSWORD", "db-passwd", "ClientSecret", "GH_TOKEN", "API_KEY", "AWS_CREDENTIALS", "MYSQL_PWD"]
        {
            check(name, Some("a"), Some("b"), changed);
        }
        check("MODE", Some("a"), Some("b"), [Some("a"), Some("b")]);
        check(
            "URL",
            Some("http://db/x@1"),
            Some("http://me:x@db/"),
            [Some("http://db/x@1"), Some("<masked, changed>")],
        );
        check("TOKEN", Some("a"), None, [Some("<masked>"), None]);
        check("TOKEN", None, Some("a"), [None, Some("<masked>")]);
        // That a secret is empty may be the very cause.
        check("TOKEN", Some("a"), Some(""), [Some("<masked>"), Some("")]);
    }

    #[test]
    fn how_items_are_told_apart() {
        #[track_caller]
        fn check(before: &Value, after: &Value, expected: &str) {
            let paths: Vec<String> = changes(&json!({"spec": {"x": before}}), &json!({"spec": {"x": after}}))
                .into_iter()
                .map(|it| it.path)
                .collect();
            assert_eq!(paths.join(" "), expected);
        }
        check(
            &json!([{"name": "a", "v": 1}]),
            &json!([{"name": "b", "v": 2}, {"name": "a", "v": 1}]),
            "spec.x[b].name spec.x[b].v",
        );
        check(&json!([{"name": "a"}, {"name": "b"}]), &json!([{"name": "b"}, {"name": "a"}]), "spec.x");
        check(
            &json!([{"name": "a", "v": 1}, {"name": "a"}]),
            &json!([{"name": "a", "v": 2}, {"name": "a"}]),
            "spec.x[0].v",
        );
        check(&json!([{"containerPort": 80}]), &json!([{"containerPort": 80, "hostPort": 80}]), "spec.x[80].hostPort");
        check(&json!(["a", "b"]), &json!(["a"]), "spec.x");
        check(&json!({"a": 1}), &json!([1]), "spec.x");
        check(&json!(null), &json!({"b": {"c": 1}, "a": true}), "spec.x.a spec.x.b.c");
        check(&json!({}), &json!(null), "");
    }
}
