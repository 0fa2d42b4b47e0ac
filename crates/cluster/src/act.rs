//! Changes a cluster: cordons with their records, and evictions. Every write names what it was decided on.

pub mod rollout;

use disruption::{
    action::{NodeAnswer, NodeChange, RecordChange, Removal, RemovalAnswer, Trouble, TroubleKind},
    journal::FIELD_MANAGER,
    model::{Node, NodeName, ObjectName, Page, RECORD_ANNOTATION, Uid},
    snapshot::Kind,
};
use http::header;
use jiff::SignedDuration;
use kube::{
    api::{GetParams, ListParams, Patch, PatchParams},
    core::Request,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    connect::{self, Connection},
    error::Error,
    objects::Collection,
};

/// Whether a write is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It is.
    Real,
    /// The server checks it and throws it away (`dryRun=All`).
    DryRun,
}

/// How a node stands after a request to cordon or uncordon it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cordon {
    /// It stood so before; nothing was sent.
    Already,
    /// It was changed and read back.
    Changed,
}

/// How often a lost race for a node is decided again. Kubelets and controllers write a node every few seconds, so even
/// two losses in a row are rare.
const CORDON_TRIES: usize = 5;

/// Makes a node unschedulable, or schedulable again; then the record of a drain goes, too.
///
/// The patch names the resourceVersion it was decided on; a lost race is read and decided again. Afterwards the node is
/// read back: [`Error::Answer`] if it does not stand as asked, [`Error::Unverified`] if nobody knows.
pub async fn cordon(
    connection: &Connection,
    node: &NodeName,
    unschedulable: bool,
    effect: Effect,
) -> Result<Cordon, Error> {
    let mut tries = 0;
    loop {
        let seen = get_node(connection, node).await?;
        if seen.unschedulable == unschedulable {
            return Ok(Cordon::Already);
        }
        let change = NodeChange {
            unschedulable: Some(unschedulable),
            record: (seen.record.is_some() && !unschedulable).then_some(RecordChange::Remove),
        };
        tries += 1;
        match patch_node(connection, node, &seen.resource_version, &change, effect).await {
            Err(error) if error.is_conflict() && tries < CORDON_TRIES => {}
            answer => return answer.map(|_| Cordon::Changed),
        }
    }
}

/// Changes a node that stands as it was seen in this version. A change of its cordon is read back.
pub async fn write_node(
    connection: &Connection,
    node: &NodeName,
    resource_version: &str,
    change: &NodeChange,
    effect: Effect,
) -> NodeAnswer {
    match patch_node(connection, node, resource_version, change, effect).await {
        Ok(node) => NodeAnswer::Stands(node),
        Err(error) if error.is_conflict() => match get_node(connection, node).await {
            Ok(fresh) => NodeAnswer::Changed(fresh),
            Err(error) => refused_write(error),
        },
        Err(Error::Answer { reason, .. }) => NodeAnswer::Denied(reason),
        Err(error) => refused_write(error),
    }
}

/// Patches a node that stands in this version, and reads it back where its cordon changes.
async fn patch_node(
    connection: &Connection,
    node: &NodeName,
    resource_version: &str,
    change: &NodeChange,
    effect: Effect,
) -> Result<Node, Error> {
    let what = format!("patch node {node}");
    let body = Patch::Merge(node_patch(resource_version, change));
    let request = Request::new(Collection::of(Kind::Node).path).patch(&node.0, &patch_params(effect), &body);
    let answer = match connection.ask(&what, request, Node::read).await {
        // Without an answer that can be read nobody knows whether the server has done it.
        Err(error @ (Error::Timeout { .. } | Error::Transport(_) | Error::Answer { .. })) => {
            return Err(unverified(&what, error));
        }
        answer => answer?,
    };
    let Some(unschedulable) = change.unschedulable else { return Ok(answer) };
    let stands = match effect {
        Effect::DryRun => answer,
        Effect::Real => get_node(connection, node).await.map_err(|error| unverified(&what, error))?,
    };
    if stands.unschedulable != unschedulable {
        let reason = format!("the server accepted the change, but spec.unschedulable is not {unschedulable}");
        return Err(Error::Answer { what, reason });
    }
    Ok(stands)
}

/// Reads a node as it stands now.
pub(crate) async fn get_node(connection: &Connection, node: &NodeName) -> Result<Node, Error> {
    let request = Request::new(Collection::of(Kind::Node).path).get(&node.0, &GetParams::default());
    connection.ask(&format!("get node {node}"), request, Node::read).await
}

fn refused_write(error: Error) -> NodeAnswer {
    match trouble(error) {
        Ok(trouble) => NodeAnswer::Trouble(trouble),
        Err(error) if error.is_not_found() => NodeAnswer::Deleted,
        Err(error) if lacks_right(&error.to_string()) => NodeAnswer::Forbidden(error.to_string()),
        Err(error) => NodeAnswer::Denied(error.to_string()),
    }
}

fn patch_params(effect: Effect) -> PatchParams {
    PatchParams {
        dry_run: effect == Effect::DryRun,
        field_manager: Some(FIELD_MANAGER.into()),
        ..PatchParams::default()
    }
}

/// A merge patch that names the version it was decided on. Null removes a field, as kubectl's own uncordon does.
fn node_patch(resource_version: &str, change: &NodeChange) -> Value {
    let NodeChange { unschedulable, record } = change;
    let mut patch = json!({"metadata": {"resourceVersion": resource_version}});
    if let Some(unschedulable) = unschedulable {
        patch["spec"]["unschedulable"] = if *unschedulable { Value::Bool(true) } else { Value::Null };
    }
    if let Some(record) = record {
        patch["metadata"]["annotations"][RECORD_ANNOTATION] = match record {
            RecordChange::Set(record) => json!(record).to_string().into(),
            RecordChange::Remove => Value::Null,
        };
    }
    patch
}

fn unverified(what: &str, source: Error) -> Error {
    Error::Unverified { what: what.to_owned(), source: Box::new(source) }
}

/// Makes a pod go: exactly this one, by its UID.
///
/// kube's own `Api::evict` drops the delete options, so the request is made here.
pub async fn remove(
    connection: &Connection,
    pod: &ObjectName,
    uid: &Uid,
    removal: Removal,
    grace_period_seconds: Option<u32>,
    effect: Effect,
) -> Result<(), Error> {
    let what = match removal {
        Removal::Evict => format!("evict pod {pod}"),
        Removal::Delete => format!("delete pod {pod}"),
    };
    let request = removal_request(pod, uid, removal, grace_period_seconds, effect);
    // An eviction answers with a status, a deletion with the pod or with a status.
    connection.ask(&what, request, connect::json).await.map(drop)
}

fn removal_request(
    pod: &ObjectName,
    uid: &Uid,
    removal: Removal,
    grace_period_seconds: Option<u32>,
    effect: Effect,
) -> Result<http::Request<Vec<u8>>, http::Error> {
    let ObjectName { namespace, name } = pod;
    let mut options = json!({"preconditions": {"uid": uid}});
    if let Some(seconds) = grace_period_seconds {
        options["gracePeriodSeconds"] = seconds.into();
    }
    let mut query = format!("fieldManager={FIELD_MANAGER}&fieldValidation=Strict");
    if effect == Effect::DryRun {
        // Either place would do; both together leave no doubt.
        options["dryRun"] = json!(["All"]);
        query.push_str("&dryRun=All");
    }
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
    let (request, body) = match removal {
        Removal::Evict => (
            http::Request::post(format!("{path}/eviction?{query}")),
            json!({
                "apiVersion": "policy/v1",
                "kind": "Eviction",
                "metadata": {"namespace": namespace, "name": name},
                "deleteOptions": options,
            }),
        ),
        Removal::Delete => {
            options["apiVersion"] = "v1".into();
            options["kind"] = "DeleteOptions".into();
            let query = if effect == Effect::DryRun { "?dryRun=All" } else { "" };
            (http::Request::delete(format!("{path}{query}")), options)
        }
    };
    request.header(header::CONTENT_TYPE, "application/json").body(body.to_string().into_bytes())
}

/// What the server said to the removal of a pod (`eviction.go`).
pub fn removal_answer(result: Result<(), Error>) -> RemovalAnswer {
    let error = match result {
        Ok(()) => return RemovalAnswer::Accepted,
        Err(error) => error,
    };
    if error.is_not_found() {
        return RemovalAnswer::NotFound;
    }
    if let Some(status) = error.status() {
        let causes = || status.details.iter().flat_map(|details| &details.causes);
        let budget = causes().find(|cause| cause.reason == "DisruptionBudget").map(|cause| cause.message.clone());
        let is_about_budget = status.details.as_ref().is_some_and(|details| details.kind == "poddisruptionbudget");
        if status.message.starts_with("This pod has more than one PodDisruptionBudget") {
            return RemovalAnswer::SeveralBudgets(status.message.clone());
        }
        if budget.is_some() || is_about_budget {
            return RemovalAnswer::BudgetForbids(budget.unwrap_or_else(|| status.message.clone()));
        }
        if causes().any(|cause| cause.reason == "NamespaceTerminating") {
            return RemovalAnswer::NamespaceTerminating(status.message.clone());
        }
        if status.is_conflict() {
            return RemovalAnswer::Conflict(status.message.clone());
        }
    }
    match trouble(error) {
        Ok(trouble) => RemovalAnswer::Trouble(trouble),
        Err(error) if lacks_right(&error.to_string()) => RemovalAnswer::Forbidden(error.to_string()),
        Err(error) => RemovalAnswer::Denied(error.to_string()),
    }
}

/// An error that may be another one the next time; any other comes back.
fn trouble(error: Error) -> Result<Trouble, Error> {
    let kind = match &error {
        Error::Api(status) => match status.code {
            429 if status.message.starts_with("admission webhook \"") => TroubleKind::HeldByWebhook,
            429 => TroubleKind::Throttled,
            500.. => TroubleKind::ServerError,
            _ => return Err(error),
        },
        Error::Request { .. } => return Err(error),
        _ => TroubleKind::NoAnswer,
    };
    let seconds = error.status().and_then(|status| status.details.as_ref()).map(|details| details.retry_after_seconds);
    let retry_after = seconds.filter(|seconds| *seconds > 0).map(|seconds| SignedDuration::from_secs(seconds.into()));
    Ok(Trouble { kind, message: error.to_string(), retry_after })
}

/// Whether a refusal is the authorizer's: admission says forbidden, too.
fn lacks_right(message: &str) -> bool {
    [" cannot create resource ", " cannot delete resource ", " cannot patch resource ", " cannot get resource "]
        .iter()
        .any(|phrase| message.contains(phrase))
}

/// The UID of the pod that has this name now, if there is one. As a list of one, since a drain may list pods but need not
/// have the right to get them.
pub async fn read_pod_uid(connection: &Connection, pod: &ObjectName) -> Result<Option<Uid>, Trouble> {
    #[derive(Deserialize)]
    struct Identified {
        metadata: Identity,
    }

    #[derive(Deserialize)]
    struct Identity {
        uid: Option<Uid>,
    }

    let params = ListParams::default().fields(&format!("metadata.name={}", pod.name));
    let Collection { path, params, .. } = Collection::under(Kind::Pod, Some(&pod.namespace), params);
    let first = |answer: &str| {
        let first = Page::read(answer)?.items.into_iter().next();
        first.map(|pod| serde_json::from_str::<Identified>(pod.get())).transpose()
    };
    match connection.ask(&format!("list pod {pod}"), Request::new(path).list_metadata(&params), first).await {
        Ok(found) => Ok(found.and_then(|pod| pod.metadata.uid)),
        Err(error) => Err(trouble(error).unwrap_or_else(|error| Trouble {
            kind: TroubleKind::ServerError,
            message: error.to_string(),
            retry_after: None,
        })),
    }
}

/// The user that we are for the server; none where it does not say.
pub async fn whoami(connection: &Connection) -> Option<String> {
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let request = connect::post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &review);
    let answer = connection.ask("ask who we are", request, connect::json).await.ok()?;
    answer["status"]["userInfo"]["username"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_over_the_wire() {
        #[track_caller]
        fn check(removal: Removal, grace: Option<u32>, effect: Effect, line: &str, body: &Value) {
            let pod = ObjectName::new("shop", "web-1");
            let request = removal_request(&pod, &Uid("u1".into()), removal, grace, effect).unwrap();
            assert_eq!(format!("{} {}", request.method(), request.uri()), line);
            assert_eq!(&serde_json::from_slice::<Value>(request.body()).unwrap(), body);
        }
        let eviction = |options: Value| {
            json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"namespace": "shop", "name": "web-1"},
                "deleteOptions": options})
        };
        check(
            Removal::Evict,
            None,
            Effect::Real,
            "POST /api/v1/namespaces/shop/pods/web-1/eviction?fieldManager=kubectl-safe-drain&fieldValidation=Strict",
            &eviction(json!({"preconditions": {"uid": "u1"}})),
        );
        check(
            Removal::Evict,
            Some(0),
            Effect::DryRun,
            "POST /api/v1/namespaces/shop/pods/web-1/eviction?fieldManager=kubectl-safe-drain&fieldValidation=Strict&dryRun=All",
            &eviction(json!({"preconditions": {"uid": "u1"}, "gracePeriodSeconds": 0, "dryRun": ["All"]})),
        );
        check(
            Removal::Delete,
            Some(5),
            Effect::DryRun,
            "DELETE /api/v1/namespaces/shop/pods/web-1?dryRun=All",
            &json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": "u1"}, "gracePeriodSeconds": 5,
                "dryRun": ["All"]}),
        );
    }
}

#[cfg(test)]
mod answer_tests {
    use disruption::journal::Record;
    use kube::core::Status;

    use super::*;

    fn refusal(status: Value) -> RemovalAnswer {
        let status: Status = serde_json::from_value(status).unwrap();
        removal_answer(Err(Error::Api(Box::new(status))))
    }

    #[test]
    fn what_the_server_means() {
        use RemovalAnswer::{
            BudgetForbids, Conflict, Denied, Forbidden, NamespaceTerminating, NotFound, SeveralBudgets,
        };
        #[track_caller]
        #[expect(clippy::needless_pass_by_value, reason = "shorter for every case")]
        fn check(status: Value, expected: RemovalAnswer) {
            assert_eq!(refusal(status), expected);
        }
        #[track_caller]
        fn check_trouble(status: Value, kind: TroubleKind, retry_after: Option<i64>) {
            let RemovalAnswer::Trouble(trouble) = refusal(status) else { panic!("not a trouble") };
            assert_eq!((trouble.kind, trouble.retry_after), (kind, retry_after.map(SignedDuration::from_secs)));
        }
        let caused = |reason: &str, message: &str| json!({"causes": [{"reason": reason, "message": message}]});
        assert_eq!(removal_answer(Ok(())), RemovalAnswer::Accepted);
        check(json!({"code": 404, "reason": "NotFound", "message": "m"}), NotFound);
        check(json!({"code": 409, "reason": "Conflict", "message": "m"}), Conflict("m".into()));
        let budget = caused("DisruptionBudget", "needs 2");
        check(
            json!({"code": 429, "reason": "TooManyRequests", "message": "m", "details": budget}),
            BudgetForbids("needs 2".into()),
        );
        let kind = json!({"kind": "poddisruptionbudget", "group": "policy"});
        check(json!({"code": 403, "reason": "Forbidden", "message": "m", "details": kind}), BudgetForbids("m".into()));
        let several =
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
        check(json!({"code": 500, "message": several}), SeveralBudgets(several.into()));
        let ending = caused("NamespaceTerminating", "x");
        check(
            json!({"code": 403, "reason": "Forbidden", "message": "m", "details": ending}),
            NamespaceTerminating("m".into()),
        );
        let lacking = "pods \"p\" is forbidden: User \"u\" cannot create resource \"pods/eviction\" in API group \"\"";
        check(json!({"code": 403, "reason": "Forbidden", "message": lacking}), Forbidden(lacking.into()));
        let policy = "pods \"p\" is forbidden: ValidatingAdmissionPolicy 'x' denied request: no";
        check(json!({"code": 403, "reason": "Forbidden", "message": policy}), Denied(policy.into()));
        check(json!({"code": 422, "reason": "Invalid", "message": "m"}), Denied("m".into()));
        check_trouble(json!({"code": 429, "message": "m"}), TroubleKind::Throttled, None);
        let later = json!({"retryAfterSeconds": 3});
        check_trouble(json!({"code": 429, "message": "m", "details": later}), TroubleKind::Throttled, Some(3));
        let webhook = "admission webhook \"x\" denied the request: not now";
        check_trouble(json!({"code": 429, "message": webhook}), TroubleKind::HeldByWebhook, None);
        check_trouble(json!({"code": 500, "message": "m"}), TroubleKind::ServerError, None);
        check_trouble(json!({"code": 503, "message": "m", "details": later}), TroubleKind::ServerError, Some(3));
        let lost = removal_answer(Err(Error::Transport("reset".into())));
        assert!(matches!(lost, RemovalAnswer::Trouble(trouble) if trouble.kind == TroubleKind::NoAnswer));
    }

    #[test]
    fn changes_of_a_node_name_its_version() {
        #[track_caller]
        fn check(change: &NodeChange, expected: &Value) {
            assert_eq!(&node_patch("7", change), expected);
        }
        let at = "2026-01-01T00:00:00Z".parse().unwrap();
        let record = Record {
            run: "r".into(),
            owner: "ann".into(),
            reason: String::new(),
            started: at,
            heartbeat: at,
            was_unschedulable: false,
            surges: Vec::new(),
            finished: None,
        };
        let text = json!(record).to_string();
        check(
            &NodeChange { unschedulable: Some(true), record: Some(RecordChange::Set(record)) },
            &json!({"metadata": {"resourceVersion": "7", "annotations": {"kubectl-safe-drain/run": text}},
                "spec": {"unschedulable": true}}),
        );
        check(
            &NodeChange { unschedulable: Some(false), record: Some(RecordChange::Remove) },
            &json!({"metadata": {"resourceVersion": "7", "annotations": {"kubectl-safe-drain/run": null}},
                "spec": {"unschedulable": null}}),
        );
        check(&NodeChange::default(), &json!({"metadata": {"resourceVersion": "7"}}));
    }
}

#[cfg(test)]
mod race_tests {
    use std::{
        convert::Infallible,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use http::{Method, Request, Response};
    use kube::client::Body;

    use super::*;

    /// An API server with one node, on which somebody else's write comes before the first `conflicts` of ours.
    fn contested_node(conflicts: usize, keeps: bool) -> (Connection, Arc<AtomicUsize>) {
        let patches = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&patches);
        let service = tower::service_fn(move |request: Request<Body>| {
            let patches = Arc::clone(&counted);
            async move {
                let node = |version: usize, unschedulable: bool| {
                    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "resourceVersion": version.to_string()},
                        "spec": {"unschedulable": unschedulable}})
                };
                let done = patches.load(Ordering::SeqCst);
                let (code, body) = if request.method() == Method::PATCH {
                    let body = request.into_body().collect_bytes().await.unwrap_or_default();
                    let patch: Value = serde_json::from_slice(&body).unwrap_or_default();
                    let expected =
                        json!({"metadata": {"resourceVersion": done.to_string()}, "spec": {"unschedulable": true}});
                    assert_eq!(patch, expected, "decided on what was read last");
                    patches.fetch_add(1, Ordering::SeqCst);
                    if done < conflicts {
                        (
                            409,
                            json!({"kind": "Status", "status": "Failure", "code": 409, "reason": "Conflict", "message": "changed"}),
                        )
                    } else {
                        (200, node(done + 1, true))
                    }
                } else {
                    (200, node(done, keeps && done > conflicts))
                };
                let mut response = Response::new(Body::from(body.to_string().into_bytes()));
                *response.status_mut() = http::StatusCode::from_u16(code).unwrap();
                Ok::<_, Infallible>(response)
            }
        });
        (Connection::over(service, "default"), patches)
    }

    #[tokio::test]
    async fn a_lost_race_is_read_and_decided_again() {
        for conflicts in 0..CORDON_TRIES {
            let (connection, patches) = contested_node(conflicts, true);
            let outcome = cordon(&connection, &NodeName("n".into()), true, Effect::Real).await;
            assert_eq!(outcome.unwrap(), Cordon::Changed);
            assert_eq!(patches.load(Ordering::SeqCst), conflicts + 1);
        }
    }

    #[tokio::test]
    async fn a_race_lost_for_good_is_an_error() {
        let (connection, patches) = contested_node(usize::MAX, true);
        let outcome = cordon(&connection, &NodeName("n".into()), true, Effect::Real).await;
        assert!(outcome.unwrap_err().is_conflict());
        assert_eq!(patches.load(Ordering::SeqCst), CORDON_TRIES);
    }

    #[tokio::test]
    async fn a_change_that_cannot_be_read_back_may_stand() {
        let service = tower::service_fn(|request: Request<Body>| async move {
            let (code, body) = if request.method() == Method::PATCH {
                (200, json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}))
            } else {
                (500, json!({"kind": "Status", "status": "Failure", "code": 500, "message": "broken"}))
            };
            let mut response = Response::new(Body::from(body.to_string().into_bytes()));
            *response.status_mut() = http::StatusCode::from_u16(code).unwrap();
            Ok::<_, Infallible>(response)
        });
        let (connection, node) = (Connection::over(service, "default"), NodeName("n".into()));
        let change = NodeChange { unschedulable: Some(true), record: None };
        let answer = write_node(&connection, &node, "1", &change, Effect::Real).await;
        assert!(
            matches!(&answer, NodeAnswer::Trouble(trouble) if trouble.kind == TroubleKind::NoAnswer),
            "nobody knows whether it is cordoned: {answer:?}"
        );
    }

    #[tokio::test]
    async fn a_pod_is_read_with_the_right_to_list_alone() {
        async fn read(uids: &'static [&'static str]) -> Option<Uid> {
            let service = tower::service_fn(move |request: Request<Body>| async move {
                let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
                assert_eq!((path, query.contains("metadata.name%3Dweb-1")), ("/api/v1/namespaces/shop/pods", true));
                let item = |uid| json!({"metadata": {"name": "web-1", "namespace": "shop", "uid": uid}});
                let items: Vec<Value> = uids.iter().map(item).collect();
                let list = json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList",
                    "metadata": {"resourceVersion": "1"}, "items": items});
                Ok::<_, Infallible>(Response::new(Body::from(list.to_string().into_bytes())))
            });
            read_pod_uid(&Connection::over(service, "default"), &ObjectName::new("shop", "web-1")).await.unwrap()
        }
        assert_eq!(read(&["u2"]).await, Some(Uid("u2".into())));
        assert_eq!(read(&[]).await, None);
    }

    #[tokio::test]
    async fn a_cordon_that_does_not_stand_is_an_error() {
        let (connection, _) = contested_node(0, false);
        let outcome = cordon(&connection, &NodeName("n".into()), true, Effect::Real).await;
        let expected =
            "patch node n: unexpected answer: the server accepted the change, but spec.unschedulable is not true";
        assert_eq!(outcome.unwrap_err().to_string(), expected);
    }
}
