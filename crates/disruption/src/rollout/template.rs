//! Pod templates as raw JSON: whether two are the same, what images they name, and how they and their differences are
//! shown, without secrets.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::secrets::masked;
use crate::diff;

/// The annotation by which `kubectl rollout restart` makes a template new without changing anything else.
pub const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// Whether two templates ask for the same pods. Nulls and empty maps and lists mean nothing: the API server, the
/// controllers and clients write them or leave them out as they like.
pub fn same(one: &Value, other: &Value) -> bool {
    one == other || pruned(one) == pruned(other)
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
    write_yaml(&masked("", &pruned(template), None))
}

/// The unified diff of two templates of the workload `name`; empty where they are the same.
pub fn diff(before: &Value, after: &Value, name: &str) -> String {
    diff_between((&format!("before/{name}"), before), (&format!("after/{name}"), after))
}

/// The unified diff of two templates, each under its title; empty where they are the same.
pub(super) fn diff_between((old, before): (&str, &Value), (new, after): (&str, &Value)) -> String {
    let (before, after) = (pruned(before), pruned(after));
    let (old_text, new_text) = (masked("", &before, None), masked("", &after, Some(&before)));
    diff::between((old, &write_yaml(&old_text)), (new, &write_yaml(&new_text)))
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
    use proptest::prelude::*;
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

    fn any_template() -> impl Strategy<Value = Value> {
        let variable = ("TOKEN|MODE", "[ab]?").prop_map(|(name, value)| json!({"name": name, "value": value}));
        let parts = (prop::collection::vec(variable, 0..3), prop::collection::vec("--token=[ab]|--token|[ab]", 0..3));
        parts.prop_map(|(env, args)| json!({"spec": {"containers": [{"name": "web", "env": env, "args": args}]}}))
    }

    proptest! {
        #[test]
        fn a_diff_hides_values_and_no_change(before in any_template(), after in any_template()) {
            prop_assert_eq!(diff(&before, &after, "x").is_empty(), same(&before, &after));
        }
    }
}
