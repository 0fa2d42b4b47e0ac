//! `StatefulSet`s: one that is undone waits for ever for its bad pod, unless exactly that one is deleted.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt, api::DeleteParams};
use lab::{
    World,
    audit::Request,
    proxy::{Fault, Rule},
};
use serde_json::{Value, json};

use crate::runner::{changes, documents, guard, guard_as, guard_json};

const GOOD: &str = "registry.test/app:1";
const BAD: &str = "registry.test/app:sim-imagepull";

fn image(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.containers[0].image.as_deref()).unwrap_or_default()
}

/// Waits until a pod has this image and, if it is one that fails, shows it.
async fn until_image(world: &World, name: &str, wanted: &str) -> Result<Pod> {
    let has_it = |pod: &&Pod| {
        let stays = pod.metadata.deletion_timestamp.is_none();
        let phase = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
        pod.name_any() == name && stays && image(pod) == wanted && phase.is_some_and(|statuses| !statuses.is_empty())
    };
    let pods = world.until_pods(&format!("{name} with {wanted}"), |pods| pods.iter().any(|pod| has_it(&pod))).await?;
    pods.into_iter().find(|pod| has_it(&pod)).context("the pod is gone")
}

/// The pods' images and UIDs, by their names.
async fn images_and_uids(world: &World, count: usize) -> Result<(Vec<String>, Vec<String>)> {
    let mut pods = world.pods_ready(count).await?;
    pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    pods.sort_by_key(ResourceExt::name_any);
    let images = pods.iter().map(|pod| image(pod).to_owned()).collect();
    Ok((images, pods.iter().filter_map(ResourceExt::uid).collect()))
}

/// The pods that the guard deleted, in the order of its requests.
async fn deletions(world: &World) -> Result<Vec<Request>> {
    let mut requests = world.requests().await?;
    requests.retain(|request| request.resource == "pods" && request.verb.starts_with("delete") && request.code < 300);
    Ok(requests)
}

/// Each deletion named the pod's UID and the version that it was seen in.
#[track_caller]
fn check_deletions(requests: &[Request], expected: &[&Pod]) {
    let names: Vec<&str> = requests.iter().map(|request| request.name.as_str()).collect();
    assert_eq!(names, expected.iter().map(|pod| pod.name_any()).collect::<Vec<_>>());
    for (request, pod) in requests.iter().zip(expected) {
        assert_eq!(request.verb, "delete");
        let given = &request.request_object.as_ref().expect("a body")["preconditions"];
        assert_eq!(given["uid"].as_str().map(str::to_owned), pod.uid(), "{given}");
        assert!(given["resourceVersion"].as_str().is_some_and(|version| !version.is_empty()), "{given}");
    }
}

#[tokio::test]
async fn the_pod_that_holds_up_all_others_is_deleted() -> Result<()> {
    let world = lab::shared()?.world("trap").await?;
    world.node("a").create().await?;
    world.stateful_set("db").replicas(3).create().await?;
    world.ready("statefulset/db").await?;
    let (_, before) = images_and_uids(&world, 3).await?;
    world.set_image("statefulset/db", BAD).await?;
    let bad = until_image(&world, "db-2", BAD).await?;
    let (output, events, result) = guard_json(&world, &["statefulset/db", "--stable-for", "3s"]).await?;
    assert_eq!(output.code, Some(7), "{output}");
    let end = &result["rollouts"][0];
    assert_eq!((&end["outcome"], &end["cause"]["code"]), (&json!("Undone"), &json!("ImageNotFound")), "{result:#}");
    assert_eq!((&end["undo"]["to"], &end["undo"]["verified"]), (&json!(1), &json!(true)));
    let unblocked: Vec<&Value> = events.iter().filter(|event| event["type"] == "PodUnblocked").collect();
    assert_eq!(unblocked.iter().map(|event| &event["pod"]).collect::<Vec<_>>(), ["db-2"]);
    check_deletions(&deletions(&world).await?, &[&bad]);
    let (images, after) = images_and_uids(&world, 3).await?;
    assert_eq!(images, [GOOD; 3]);
    assert_eq!(after[..2], before[..2], "the good pods are the same");
    let written = [("patch statefulsets", "db"), ("delete pods", "db-2")];
    assert_eq!(changes(&world).await?, written.map(|(verb, name)| format!("{verb} {}/{name}", world.namespace)));
    Ok(())
}

/// A pod that is made anew gets the bad version too.
#[tokio::test]
async fn two_pods_that_hold_up_the_others() -> Result<()> {
    let world = lab::shared()?.world("traps").await?;
    world.node("a").create().await?;
    world.stateful_set("db").replicas(3).create().await?;
    world.ready("statefulset/db").await?;
    let (_, before) = images_and_uids(&world, 3).await?;
    world.set_image("statefulset/db", BAD).await?;
    let upper = until_image(&world, "db-2", BAD).await?;
    world.api::<Pod>().delete("db-1", &DeleteParams::default()).await?;
    let lower = until_image(&world, "db-1", BAD).await?;
    let (output, _, result) = guard_json(&world, &["statefulset/db", "--stable-for", "3s"]).await?;
    assert_eq!(output.code, Some(7), "{output}");
    assert_eq!(result["rollouts"][0]["undo"]["verified"], true, "{result:#}");
    let deleted = deletions(&world).await?;
    check_deletions(&deleted, &[&lower, &upper]);
    let (images, after) = images_and_uids(&world, 3).await?;
    assert_eq!(images, [GOOD; 3]);
    assert_eq!(after[0], before[0]);
    Ok(())
}

/// The pods below the partition have the oldest version, which is not the one to go back to.
#[tokio::test]
async fn a_good_canary_is_what_an_undo_brings_back() -> Result<()> {
    let world = lab::shared()?.world("canary").await?;
    world.node("a").create().await?;
    world.stateful_set("db").replicas(3).partition(2).create().await?;
    world.ready("statefulset/db").await?;
    world.set_image("statefulset/db", "registry.test/app:2").await?;
    until_image(&world, "db-2", "registry.test/app:2").await?;
    world.pods_ready(3).await?;
    let (_, before) = images_and_uids(&world, 3).await?;
    // By the time the guard looks again, the canary is gone.
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": BAD}]}}}});
    let kubectl = lab::kubectl()?.to_string_lossy().into_owned();
    // The pod is gone for a moment, which `kubectl wait` does not bear.
    let script = format!(
        "{kubectl} -n {0} patch statefulset db -p '{patch}' && \
         until {kubectl} -n {0} get pod db-2 -o jsonpath='{{.spec.containers[0].image}}' | grep -qx '{BAD}'; \
         do sleep 0.1; done",
        world.namespace
    );
    let args = ["run", "statefulset/db", "--stable-for", "3s", "-o", "json", "--", "sh", "-c", &script];
    let output = guard(&world, &args).await?;
    assert_eq!(output.code, Some(7), "{output}");
    let (_, result) = documents(&output)?;
    let end = &result["rollouts"][0];
    assert_eq!((&end["undo"]["from"], &end["undo"]["to"]), (&json!(3), &json!(2)), "{result:#}");
    let (images, after) = images_and_uids(&world, 3).await?;
    assert_eq!(images, [GOOD, GOOD, "registry.test/app:2"]);
    assert_eq!(after[..2], before[..2]);
    assert_eq!(deletions(&world).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn pods_in_parallel_need_no_help() -> Result<()> {
    let world = lab::shared()?.world("parallel").await?;
    world.node("a").create().await?;
    world.stateful_set("db").replicas(3).parallel().create().await?;
    world.ready("statefulset/db").await?;
    world.set_image("statefulset/db", BAD).await?;
    let (output, _, result) = guard_json(&world, &["statefulset/db", "--stable-for", "3s"]).await?;
    assert_eq!(output.code, Some(7), "{output}");
    assert_eq!(result["rollouts"][0]["undo"]["verified"], true, "{result:#}");
    assert_eq!(images_and_uids(&world, 3).await?.0, [GOOD; 3]);
    assert_eq!(changes(&world).await?, [format!("patch statefulsets {}/db", world.namespace)]);
    Ok(())
}

#[tokio::test]
async fn what_somebody_must_delete_is_named() -> Result<()> {
    let world = lab::shared()?.world("on-delete").await?;
    world.node("a").create().await?;
    world.stateful_set("db").replicas(2).on_delete().create().await?;
    world.ready("statefulset/db").await?;
    world.set_image("statefulset/db", "registry.test/app:2").await?;
    let (output, _, result) = guard_json(&world, &["statefulset/db", "--stable-for", "2s"]).await?;
    assert_eq!(output.code, Some(3), "{output}");
    let end = &result["rollouts"][0];
    assert_eq!((&end["outcome"], &end["cause"]["code"]), (&json!("Blocked"), &json!("OnDelete")), "{result:#}");
    let command = |pods: &str| json!([format!("kubectl -n {} delete pod {pods}", world.namespace)]);
    assert_eq!(result["next"], command("db-0 db-1"));
    world.api::<Pod>().delete("db-0", &DeleteParams::default()).await?;
    until_image(&world, "db-0", "registry.test/app:2").await?;
    let (output, _, result) = guard_json(&world, &["statefulset/db", "--stable-for", "2s"]).await?;
    assert_eq!((output.code, &result["next"]), (Some(3), &command("db-1")), "{output}");
    world.api::<Pod>().delete("db-1", &DeleteParams::default()).await?;
    until_image(&world, "db-1", "registry.test/app:2").await?;
    let (output, _, _) = guard_json(&world, &["statefulset/db", "--stable-for", "2s"]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(changes(&world).await?, Vec::<String>::new());
    Ok(())
}

/// A StatefulSet whose highest pod holds up all others.
async fn trapped(name: &str) -> Result<World> {
    let world = lab::shared()?.world(name).await?;
    world.node("a").create().await?;
    world.stateful_set("db").replicas(2).create().await?;
    world.ready("statefulset/db").await?;
    world.set_image("statefulset/db", BAD).await?;
    until_image(&world, "db-1", BAD).await?;
    Ok(world)
}

#[tokio::test]
async fn who_may_not_delete_the_pod_is_told_before_anything_is_done() -> Result<()> {
    let world = trapped("trap-rights").await?;
    let read = ["get", "list", "watch"];
    let rules = [
        lab::rule("", &["pods", "events"], &read),
        lab::rule("apps", &["controllerrevisions"], &read),
        lab::rule("apps", &["statefulsets"], &["get", "list", "watch", "patch"]),
    ];
    let user = world.user("patcher", &rules).await?;
    let output = guard_as(&world, &user, &["statefulset/db"]).await?;
    assert_eq!(output.code, Some(11), "{output}");
    assert!(output.stderr.starts_with("error: forbidden: you cannot delete resource \"pods\" in "), "{output}");
    assert!(world.requests_by("patcher").await?.iter().all(|request| !request.changes()), "something was written");
    Ok(())
}

/// A policy, or a right that is taken away meanwhile.
#[tokio::test]
async fn a_deletion_that_is_refused() -> Result<()> {
    let world = trapped("trap-refused").await?;
    let message = "pods \"db-1\" is forbidden: nobody deletes pods here";
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403,
        "message": message});
    let proxy = world.proxy([Rule::new("DELETE", "/pods/", 9, Fault::Answer(403, status))]).await?;
    let output = guard_as(&world, &proxy.kubeconfig(), &["statefulset/db", "-o", "json"]).await?;
    let (_, result) = documents(&output)?;
    assert_eq!((output.code, &result["rollouts"][0]["outcome"]), (Some(8), &json!("UndoFailed")), "{output}");
    let reason = result["reason"].as_str().unwrap_or_default();
    let expected = format!("undone to revision 1, but pod db-1 must be deleted by hand: {message}");
    assert!(reason.ends_with(&expected), "{reason}");
    assert_eq!(result["next"], json!([format!("kubectl -n {} delete pod db-1", world.namespace)]));
    assert_eq!(changes(&world).await?, [format!("patch statefulsets {}/db", world.namespace)]);
    Ok(())
}
