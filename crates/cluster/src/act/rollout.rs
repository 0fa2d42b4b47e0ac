//! Changes workloads that roll out: patches of templates, and deletions of pods that hold up a `StatefulSet`.

use disruption::{
    action::{RemovalAnswer, RolloutAnswer},
    model::{ObjectName, Rollout, RolloutKind, Uid},
    rollout::patch::FIELD_MANAGER,
};
use http::Request;
use serde_json::{Value, json};

use super::{Effect, lacks_right, removal_answer, trouble};
use crate::{
    connect::{self, Connection},
    error::Error,
};

/// Reads a workload as it stands now.
pub async fn read(connection: &Connection, kind: RolloutKind, name: &ObjectName) -> Result<Rollout, Error> {
    let what = format!("get {} {name}", kind.singular());
    let request = Request::get(path(kind, name)).body(Vec::new());
    send(connection, &what, kind, request).await
}

/// Changes a workload by a JSON patch whose tests name what it was decided on. With [`Effect::DryRun`] the answer is what
/// the server would make of it.
pub async fn patch(
    connection: &Connection,
    kind: RolloutKind,
    name: &ObjectName,
    patch: &str,
    effect: Effect,
) -> RolloutAnswer {
    let what = format!("patch {} {name}", kind.singular());
    match send(connection, &what, kind, patch_request(kind, name, patch, effect)).await {
        Ok(rollout) => RolloutAnswer::Stands(Box::new(rollout)),
        // A failed test comes back as 422 like any other invalid change: what stands now tells them apart.
        Err(error) if error.is_conflict() || error.status().is_some_and(|status| status.code == 422) => {
            match read(connection, kind, name).await {
                Ok(fresh) if is_as_tested(&fresh, patch) => RolloutAnswer::Denied(error.to_string()),
                Ok(fresh) => RolloutAnswer::Changed(Box::new(fresh)),
                Err(error) => refused(error),
            }
        }
        Err(error) => refused(error),
    }
}

/// Deletes a pod that stands as it was seen in this version.
pub async fn delete_pod(
    connection: &Connection,
    pod: &ObjectName,
    uid: &Uid,
    resource_version: &str,
    effect: Effect,
) -> RemovalAnswer {
    let what = format!("delete pod {pod}");
    let request = deletion_request(pod, uid, resource_version, effect);
    removal_answer(connection.ask(&what, request, connect::json).await.map(drop))
}

fn refused(error: Error) -> RolloutAnswer {
    match trouble(error) {
        Ok(trouble) => RolloutAnswer::Trouble(trouble),
        Err(error) if error.is_not_found() => RolloutAnswer::Deleted,
        Err(error) if lacks_right(&error.to_string()) => RolloutAnswer::Forbidden(error.to_string()),
        Err(error) => RolloutAnswer::Denied(error.to_string()),
    }
}

/// Whether everything that the patch tests is still so.
fn is_as_tested(rollout: &Rollout, patch: &str) -> bool {
    let operations: Value = serde_json::from_str(patch).unwrap_or_default();
    let tests = operations.as_array().into_iter().flatten().filter(|operation| operation["op"] == "test");
    tests.into_iter().all(|test| match test["path"].as_str() {
        Some("/metadata/uid") => test["value"] == rollout.uid.0,
        Some("/spec/template") => test["value"] == rollout.template,
        Some("/metadata/annotations") => test["value"].is_null() == rollout.annotations.is_empty(),
        _ => true,
    })
}

async fn send(
    connection: &Connection,
    what: &str,
    kind: RolloutKind,
    request: Result<Request<Vec<u8>>, http::Error>,
) -> Result<Rollout, Error> {
    connection.ask(what, request, |object| Rollout::read(kind, object)).await
}

fn path(kind: RolloutKind, name: &ObjectName) -> String {
    let ObjectName { namespace, name } = name;
    format!("/apis/apps/v1/namespaces/{namespace}/{}/{name}", kind.plural())
}

fn patch_request(
    kind: RolloutKind,
    name: &ObjectName,
    patch: &str,
    effect: Effect,
) -> Result<Request<Vec<u8>>, http::Error> {
    let dry_run = if effect == Effect::DryRun { "&dryRun=All" } else { "" };
    Request::patch(format!("{}?fieldManager={FIELD_MANAGER}&fieldValidation=Ignore{dry_run}", path(kind, name)))
        .header(http::header::CONTENT_TYPE, "application/json-patch+json")
        .body(patch.as_bytes().to_vec())
}

fn deletion_request(
    pod: &ObjectName,
    uid: &Uid,
    resource_version: &str,
    effect: Effect,
) -> Result<Request<Vec<u8>>, http::Error> {
    let ObjectName { namespace, name } = pod;
    let mut options = json!({
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": uid, "resourceVersion": resource_version},
    });
    let mut path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
    if effect == Effect::DryRun {
        options["dryRun"] = json!(["All"]);
        path.push_str("?dryRun=All");
    }
    Request::delete(path).header(http::header::CONTENT_TYPE, "application/json").body(options.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_over_the_wire() {
        #[track_caller]
        fn check(request: Result<Request<Vec<u8>>, http::Error>, line: &str, body: &Value) {
            let request = request.unwrap();
            assert_eq!(format!("{} {}", request.method(), request.uri()), line);
            assert_eq!(&serde_json::from_slice::<Value>(request.body()).unwrap(), body);
        }
        let (web, operations) = (ObjectName::new("shop", "web"), json!([{"op": "test"}]));
        check(
            patch_request(RolloutKind::Deployment, &web, &operations.to_string(), Effect::Real),
            "PATCH /apis/apps/v1/namespaces/shop/deployments/web?fieldManager=kubectl-rollout-guard&fieldValidation=Ignore",
            &operations,
        );
        check(
            patch_request(RolloutKind::StatefulSet, &web, &operations.to_string(), Effect::DryRun),
            "PATCH /apis/apps/v1/namespaces/shop/statefulsets/web?fieldManager=kubectl-rollout-guard&fieldValidation=Ignore&dryRun=All",
            &operations,
        );
        let preconditions = json!({"uid": "u", "resourceVersion": "7"});
        check(
            deletion_request(&web, &Uid("u".into()), "7", Effect::DryRun),
            "DELETE /api/v1/namespaces/shop/pods/web?dryRun=All",
            &json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions, "dryRun": ["All"]}),
        );
    }

    #[test]
    fn a_failed_test_is_told_from_a_refusal() {
        #[track_caller]
        fn check(uid: &str, template: &Value, expected: bool) {
            let object = json!({"metadata": {"name": "web", "uid": "u"}, "spec": {"selector": {}, "template": {"spec": {"containers": []}}}});
            let rollout = Rollout::read(RolloutKind::Deployment, &object.to_string()).unwrap();
            let patch = json!([
                {"op": "test", "path": "/metadata/uid", "value": uid},
                {"op": "test", "path": "/spec/template", "value": template},
                {"op": "replace", "path": "/spec/template", "value": {}},
            ]);
            assert_eq!(is_as_tested(&rollout, &patch.to_string()), expected);
        }
        check("u", &json!({"spec": {"containers": []}}), true);
        check("v", &json!({"spec": {"containers": []}}), false);
        check("u", &json!({"spec": {"containers": [], "hostNetwork": true}}), false);
    }
}
