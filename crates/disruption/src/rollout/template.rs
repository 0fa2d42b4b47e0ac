//! Pod templates as raw JSON: whether two are the same, what images they name, and how they differ.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

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
}
