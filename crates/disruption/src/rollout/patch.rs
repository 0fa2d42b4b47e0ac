//! The undo and the pause of a rollout as JSON patches (RFC 6902) that apply only to what they were decided on.
//!
//! Made from raw JSON, so that fields which this build does not know survive. The patches are texts, to be sent as they
//! are: the API server compares the `test` of a text byte by byte with its own encoding (`lazyNode.equal` of
//! `evanphx/json-patch`), and Go escapes `<`, `>` and `&`.

use serde_json::{Value, json};

use super::{
    secrets::without_tokens,
    target::{self, BAD_VERSIONS_ANNOTATION},
};
use crate::{
    diagnose::Finding,
    model::{CHANGE_CAUSE_ANNOTATION, Revision, Rollout, VersionKey},
};

/// The field manager of a guard's writes.
pub const FIELD_MANAGER: &str = "kubectl-rollout-guard";

/// The longest change-cause of our own, in characters: it is a column of `kubectl rollout history`.
const MAX_CAUSE_LENGTH: usize = 200;

/// What Go's `encoding/json` escapes in texts, and Rust doesn't. In JSON these stand in texts only.
const ESCAPED_BY_GO: [char; 5] = ['<', '>', '&', '\u{2028}', '\u{2029}'];

/// The patch that gives a workload the template of a revision, with this change-cause, and remembers the version that has
/// proven `bad`. It applies only while the workload is the same object and has the same template.
pub fn undo(rollout: &Rollout, to: &Revision, change_cause: &str, bad: Option<&VersionKey>) -> String {
    let mut operations = tests(rollout);
    operations.push(json!({"op": "replace", "path": "/spec/template", "value": to.template}));
    if rollout.annotations.is_empty() {
        // Others may have made some since: for the API server a null means that there are none.
        operations.push(json!({"op": "test", "path": "/metadata/annotations", "value": null}));
        operations.push(json!({"op": "add", "path": "/metadata/annotations", "value": {}}));
    }
    operations.push(annotate(CHANGE_CAUSE_ANNOTATION, change_cause));
    if let Some(bad) = bad {
        operations.push(annotate(BAD_VERSIONS_ANNOTATION, &target::with_bad_version(rollout, bad)));
    }
    text(operations)
}

/// The patch that pauses a Deployment, while it is the same object and has the same template.
pub fn pause(rollout: &Rollout) -> String {
    let mut operations = tests(rollout);
    operations.push(json!({"op": "add", "path": "/spec/paused", "value": true}));
    text(operations)
}

/// The change-cause of an undo: what the user gave, else `rollout-guard: undo to revision 7 (CODE: message)`.
pub fn change_cause(given: Option<&str>, to: &Revision, because: Option<&Finding>) -> String {
    if let Some(given) = given {
        return given.to_owned();
    }
    let because = because
        .map(|finding| format!(" ({:?}: {})", finding.code, without_tokens(&finding.message)))
        .unwrap_or_default();
    let cause = format!("rollout-guard: undo to {}{because}", target::shown(to));
    let cause: String = cause.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    match cause.char_indices().nth(MAX_CAUSE_LENGTH) {
        None => cause,
        Some(_) => cause.chars().take(MAX_CAUSE_LENGTH - 1).chain(['…']).collect(),
    }
}

/// What the decision was made on.
fn tests(rollout: &Rollout) -> Vec<Value> {
    vec![
        json!({"op": "test", "path": "/metadata/uid", "value": rollout.uid}),
        json!({"op": "test", "path": "/spec/template", "value": rollout.template}),
    ]
}

/// Sets one annotation and leaves the others alone.
fn annotate(key: &str, value: &str) -> Value {
    // A JSON pointer (RFC 6901) has its own words for these two.
    let key = key.replace('~', "~0").replace('/', "~1");
    json!({"op": "add", "path": format!("/metadata/annotations/{key}"), "value": value})
}

fn text(operations: Vec<Value>) -> String {
    let text = Value::Array(operations).to_string();
    ESCAPED_BY_GO.into_iter().fold(text, |text, char| text.replace(char, &format!("\\u{:04x}", u32::from(char))))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        diagnose::{Class, Code},
        model::RolloutKind::{Deployment, StatefulSet},
        rollout::fixture::{Scene, template},
    };

    /// 1 is good, 2 is bad.
    fn scene(one: &Value, two: &Value, annotations: &Value) -> Scene {
        let scene = Scene::new(Deployment, two).revision(1, one, 3, 3).revision(2, two, 1, 0);
        scene.set("/metadata/annotations", annotations.clone())
    }

    fn undo_of(scene: &Scene, bad: Option<&str>) -> String {
        let bad = bad.map(|bad| VersionKey(bad.to_owned()));
        let subject = scene.subject();
        undo(subject.rollout, subject.revision(1).unwrap(), "because", bad.as_ref())
    }

    const ONE: &str = r#"{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"image":"x:1","name":"web"}]}}"#;
    const TWO: &str = r#"{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"image":"x:2","name":"web"}]}}"#;

    #[test]
    fn what_is_sent() {
        #[track_caller]
        fn check(sent: &str, operations: &[&str]) {
            assert_eq!(sent, format!("[{}]", operations.join(",")));
        }
        let uid = r#"{"op":"test","path":"/metadata/uid","value":"web"}"#;
        let same = format!(r#"{{"op":"test","path":"/spec/template","value":{TWO}}}"#);
        let replace = format!(r#"{{"op":"replace","path":"/spec/template","value":{ONE}}}"#);
        let cause = r#"{"op":"add","path":"/metadata/annotations/kubernetes.io~1change-cause","value":"because"}"#;
        let bad =
            r#"{"op":"add","path":"/metadata/annotations/kubectl-rollout-guard~1bad-versions","value":"[\"v2\"]"}"#;
        let (none, make) = (
            r#"{"op":"test","path":"/metadata/annotations","value":null}"#,
            r#"{"op":"add","path":"/metadata/annotations","value":{}}"#,
        );
        let with = |annotations| scene(&template("x:1"), &template("x:2"), &annotations);
        let annotated = || with(json!({"a": "b"}));
        check(&undo_of(&annotated(), None), &[uid, &same, &replace, cause]);
        check(&undo_of(&annotated(), Some("v2")), &[uid, &same, &replace, cause, bad]);
        check(&undo_of(&with(json!({})), Some("v2")), &[uid, &same, &replace, none, make, cause, bad]);
        let paused = r#"{"op":"add","path":"/spec/paused","value":true}"#;
        check(&pause(annotated().subject().rollout), &[uid, &same, paused]);
    }

    #[test]
    fn keys_are_escaped_in_paths() {
        assert_eq!(annotate("a~b/c~1", "d")["path"], "/metadata/annotations/a~0b~1c~01");
    }

    #[test]
    fn the_template_of_a_revision_comes_without_what_controllers_add() {
        let one = || template("x:1");
        let mut hashed = one();
        hashed["metadata"]["labels"]["pod-template-hash"] = "v1".into();
        let replace = format!(r#"{{"op":"replace","path":"/spec/template","value":{ONE}}}"#);
        let sent = undo_of(&scene(&hashed, &template("x:2"), &json!({"a": "b"})), None);
        assert!(sent.contains(&replace), "{sent}");
        let scene = Scene::new(StatefulSet, &template("x:2")).revision(1, &one(), 3, 3);
        let sent = undo_of(&scene, None);
        assert!(sent.contains(&replace), "{sent}");
    }

    #[test]
    fn texts_are_as_go_writes_them() {
        let mut two = template("x:2");
        two["spec"]["containers"][0]["command"] = json!(["sh", "-c", "a <b >&2 && \"c\" é\u{2028}\u{2029}"]);
        let sent = undo_of(&scene(&template("x:1"), &two, &json!({})), None);
        let expected = r#""command":["sh","-c","a \u003cb \u003e\u00262 \u0026\u0026 \"c\" é\u2028\u2029"]"#;
        assert!(sent.contains(expected), "{sent}");
    }

    #[test]
    fn the_change_cause() {
        #[track_caller]
        fn check(given: Option<&str>, message: Option<&str>, expected: &str) {
            let finding = message.map(|message| Finding {
                code: Code::ImageNotFound,
                class: Class::Fatal,
                pod: None,
                container: None,
                is_init: false,
                node: None,
                count: 1,
                since: None,
                message: message.to_owned(),
            });
            let scene = scene(&template("x:1"), &template("x:2"), &json!({}));
            let cause = change_cause(given, scene.subject().revisions[0], finding.as_ref());
            assert_eq!(cause, expected);
        }
        check(Some("CHG-1"), Some("no such image"), "CHG-1");
        check(None, None, "rollout-guard: undo to revision 1");
        check(None, Some("no\nimage"), "rollout-guard: undo to revision 1 (ImageNotFound: no image)");
        let start = "rollout-guard: undo to revision 1 (ImageNotFound: ";
        let kept = "é".repeat(MAX_CAUSE_LENGTH - 1 - start.len());
        check(None, Some(&"é".repeat(500)), &format!("{start}{kept}…"));
    }

    /// RFC 6902, as far as our patches need it, and with the API server's reading of a missing member as null.
    fn apply(mut object: Value, patch: &str) -> Option<Value> {
        let operations: Vec<Value> = serde_json::from_str(patch).unwrap();
        for operation in operations {
            let (parent, key) = operation["path"].as_str().unwrap().rsplit_once('/').unwrap();
            let key = key.replace("~1", "/").replace("~0", "~");
            let parent = object.pointer_mut(parent)?.as_object_mut()?;
            match operation["op"].as_str().unwrap() {
                "test" if parent.get(&key).unwrap_or(&Value::Null) != &operation["value"] => return None,
                "test" => {}
                "replace" if !parent.contains_key(&key) => return None,
                "replace" | "add" => {
                    parent.insert(key, operation["value"].clone());
                }
                other => panic!("{other}"),
            }
        }
        Some(object)
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-z~/<]{1,4}", inner, 0..3)
                    .prop_map(|fields| fields.into_iter().collect::<Value>()),
            ]
        })
    }

    fn any_template(image: &'static str) -> impl Strategy<Value = Value> {
        any_json().prop_map(move |unknown| {
            let mut template = template(image);
            template["spec"]["unknown"] = unknown.clone();
            template["spec"]["containers"][0]["unknown"] = unknown;
            template
        })
    }

    proptest! {
        #[test]
        fn an_undo_changes_the_template_and_our_annotations_only(
            one in any_template("x:1"),
            two in any_template("x:2"),
            foreign in prop::collection::btree_map("[a-z~/.]{1,9}", ".{0,9}", 0..4),
            unknown in any_json(),
            is_bad in any::<bool>(),
        ) {
            let foreign: BTreeMap<String, String> = foreign;
            let mut scene = scene(&one, &two, &json!(foreign)).set("/spec/unknown", unknown);
            if foreign.is_empty() {
                scene = scene.set("/metadata/annotations", Value::Null);
            }
            let patch = undo_of(&scene, is_bad.then_some("v2"));
            let mut expected = scene.workload().clone();
            expected["spec"]["template"] = one.clone();
            expected["metadata"]["annotations"] = json!(foreign);
            expected["metadata"]["annotations"][CHANGE_CAUSE_ANNOTATION] = "because".into();
            if is_bad {
                expected["metadata"]["annotations"][BAD_VERSIONS_ANNOTATION] = r#"["v2"]"#.into();
            }
            prop_assert_eq!(apply(scene.workload().clone(), &patch), Some(expected));
            // And nothing at all once it is something else.
            let mut other = scene.workload().clone();
            other["metadata"]["uid"] = "other".into();
            prop_assert_eq!(apply(other, &patch), None);
            let mut newer = scene.workload().clone();
            newer["spec"]["template"] = template("x:3");
            prop_assert_eq!(apply(newer, &patch), None);
            if foreign.is_empty() {
                let mut annotated = scene.workload().clone();
                annotated["metadata"]["annotations"] = json!({"new": "one"});
                prop_assert_eq!(apply(annotated, &patch), None);
            }
        }
    }
}
