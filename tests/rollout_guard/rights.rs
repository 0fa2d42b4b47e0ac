//! What may not be done is named before anything is watched; what may not be read is unknown, with one warning.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::rbac::v1::PolicyRule;
use lab::World;
use serde_json::json;

use crate::runner::{documents, guard, guard_as, image};

const GOOD: &str = "registry.test/app:1";
const BAD: &str = "registry.test/app:sim-imagepull";

/// A Deployment that cannot pull its new image.
async fn bad(name: &str) -> Result<World> {
    let world = lab::shared()?.world(name).await?;
    world.node("a").create().await?;
    world.deployment("web").replicas(3).image(GOOD).create().await?;
    world.ready("deployment/web").await?;
    world.set_image("deployment/web", BAD).await?;
    Ok(world)
}

/// All that a guard of Deployments reads.
fn reader() -> Vec<PolicyRule> {
    let read = ["get", "list", "watch"];
    vec![
        lab::rule("apps", &["replicasets"], &read),
        lab::rule("", &["events"], &read),
        lab::rule("", &["pods"], &read),
        lab::rule("", &["pods/log"], &["get"]),
        lab::rule("apps", &["deployments"], &read),
    ]
}

/// All that an undo of Deployments needs.
fn guardian() -> Vec<PolicyRule> {
    [reader(), vec![lab::rule("apps", &["deployments"], &["patch"])]].concat()
}

#[tokio::test]
async fn who_may_not_patch_is_told_before_any_watch() -> Result<()> {
    let world = bad("no-patch").await?;
    let user = world.user("reader", &reader()).await?;
    for args in [&["deployment/web"][..], &["undo", "deployment/web"]] {
        let output = guard_as(&world, &user, args).await?;
        assert_eq!(output.code, Some(11), "{args:?}: {output}");
        let named = format!(
            "error: forbidden: you cannot patch resource \"deployments.apps\" in the namespace \"{}\", which an undo needs\n",
            world.namespace
        );
        assert!(output.stderr.contains(&named), "{args:?}: {output}");
        let asks = format!("hint: kubectl auth can-i patch deployments.apps -n {}\n", world.namespace);
        assert!(output.stderr.contains(&asks), "{args:?}: {output}");
        // The sentence once, and not as an end of the rollout too.
        assert_eq!(format!("{}{}", output.stdout, output.stderr).matches("forbidden").count(), 1, "{args:?}: {output}");
    }
    let requests = world.requests_by("reader").await?;
    assert!(requests.iter().all(|request| !request.changes() && request.verb != "watch"), "nothing was begun");
    let output = guard_as(&world, &user, &["deployment/web", "-o", "json"]).await?;
    let (_, result) = documents(&output)?;
    assert_eq!((output.code, &result["exitCode"]), (Some(11), &json!(11)), "{result:#}");
    Ok(())
}

#[tokio::test]
async fn who_only_looks_needs_no_right_to_patch() -> Result<()> {
    let world = bad("viewer").await?;
    let user = world.user("reader", &reader()).await?;
    let output = guard_as(&world, &user, &["deployment/web", "--on-stall=report"]).await?;
    assert_eq!(output.code, Some(9), "{output}");
    assert!(output.stdout.contains("STALLED ImageNotFound: image"), "{output}");
    assert!(!output.stderr.contains("Warning") && !output.stderr.contains("note:"), "{output}");
    let output = guard_as(&world, &user, &["status", "deployment/web"]).await?;
    assert_eq!(output.code, Some(9), "{output}");
    assert!(output.stdout.starts_with("deployment/web revision 2: STALLED ImageNotFound: "), "{output}");
    let output = guard_as(&world, &user, &["undo", "deployment/web", "--dry-run=client"]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(image(&world, "deployment/web").await?, BAD);
    Ok(())
}

#[tokio::test]
async fn these_rights_and_no_more_are_enough() -> Result<()> {
    let world = bad("guardian").await?;
    let user = world.user("guardian", &guardian()).await?;
    let output = guard_as(&world, &user, &["deployment/web", "--stable-for", "1s"]).await?;
    assert_eq!(output.code, Some(7), "{output}");
    assert!(!output.stderr.contains("Warning"), "{output}");
    assert_eq!(image(&world, "deployment/web").await?, GOOD);
    Ok(())
}

#[tokio::test]
async fn what_may_not_be_read_is_one_warning() -> Result<()> {
    for (resource, without) in [
        ("events", "causes that only events tell are not found"),
        ("pods", "causes that pods tell are not found"),
        ("replicasets", "versions are not told apart"),
    ] {
        let world = lab::shared()?.world(&format!("no-{resource}")).await?;
        world.node("a").create().await?;
        world.deployment("web").replicas(2).image(GOOD).create().await?;
        world.ready("deployment/web").await?;
        world.set_image("deployment/web", "registry.test/app:2").await?;
        let user = world.user("partly", &lab::without(&guardian(), "list", resource)).await?;
        let output = guard_as(&world, &user, &["deployment/web", "--stable-for", "1s"]).await?;
        assert_eq!(output.code, Some(0), "without {resource}: {output}");
        let warnings: Vec<&str> = output.stderr.lines().filter(|line| line.starts_with("Warning: ")).collect();
        assert_eq!(warnings.len(), 1, "without {resource}: {output}");
        assert!(warnings[0].contains(&format!("could not be read, so that {without}: ")), "{output}");
        assert!(warnings[0].contains("cannot list resource"), "{output}");
    }
    Ok(())
}

/// Without events there are the statuses of the pods.
#[tokio::test]
async fn without_events_a_bad_image_is_still_found() -> Result<()> {
    let world = bad("no-events").await?;
    let user = world.user("partly", &lab::without(&guardian(), "list", "events")).await?;
    let output = guard_as(&world, &user, &["deployment/web", "--stable-for", "1s"]).await?;
    assert_eq!(output.code, Some(7), "{output}");
    assert_eq!(output.stderr.matches("Warning: ").count(), 1, "{output}");
    assert_eq!(image(&world, "deployment/web").await?, GOOD);
    Ok(())
}

/// A list and no watch: it is said that changes are not seen.
#[tokio::test]
async fn without_a_watch_of_events_it_goes_on() -> Result<()> {
    let world = bad("no-watch").await?;
    let user = world.user("partly", &lab::without(&guardian(), "watch", "events")).await?;
    let output = guard_as(&world, &user, &["deployment/web", "--stable-for", "1s"]).await?;
    assert_eq!(output.code, Some(7), "{output}");
    assert_eq!(output.stderr.matches("note: changes of events are not seen: ").count(), 1, "{output}");
    Ok(())
}

/// Rights are per resource: what is seen is guarded to its end.
#[tokio::test]
async fn without_a_watch_of_one_kind_the_other_is_guarded() -> Result<()> {
    let world = bad("one-kind").await?;
    world.stateful_set("db").replicas(1).image(GOOD).create().await?;
    world.ready("statefulset/db").await?;
    let more = lab::rule("apps", &["statefulsets"], &["get", "list", "patch"]);
    let revisions = lab::rule("apps", &["controllerrevisions"], &["get", "list", "watch"]);
    let pods = lab::rule("", &["pods"], &["delete"]);
    let user = world.user("partly", &[guardian(), vec![more, revisions, pods]].concat()).await?;
    world.set_image("statefulset/db", "registry.test/app:sim-unready").await?;
    let args = ["deployment/web", "statefulset/db", "--stable-for", "5s", "-o", "json"];
    let output = guard_as(&world, &user, &args).await?;
    let (_, result) = documents(&output)?;
    let outcomes = [&result["rollouts"][0]["outcome"], &result["rollouts"][1]["outcome"]];
    assert_eq!((&result["exitCode"], outcomes), (&json!(11), [&json!("Undone"), &json!("Unfinished")]), "{result:#}");
    assert_eq!(image(&world, "deployment/web").await?, GOOD);
    let asks = format!("kubectl auth can-i watch statefulsets.apps -n {}", world.namespace);
    assert!(result["next"].as_array().is_some_and(|next| next.contains(&json!(asks))), "{result:#}");
    Ok(())
}

#[tokio::test]
async fn the_workload_itself_must_be_readable() -> Result<()> {
    let world = lab::shared()?.world("no-read").await?;
    world.node("a").create().await?;
    world.deployment("web").image(GOOD).create().await?;
    world.ready("deployment/web").await?;
    let pods_only = [lab::rule("", &["pods"], &["get", "list", "watch"])];
    let user = world.user("pods", &pods_only).await?;
    for args in [&["deployment/web"][..], &["status", "deployment/web"], &["undo", "deployment/web"]] {
        let output = guard_as(&world, &user, args).await?;
        assert_eq!((output.code, output.stdout.as_str()), (Some(11), ""), "{args:?}: {output}");
        assert!(output.stderr.starts_with("Error from server (Forbidden): "), "{args:?}: {output}");
        assert!(output.stderr.contains("cannot list resource \"deployments\""), "{args:?}: {output}");
    }
    Ok(())
}

#[tokio::test]
async fn a_status_takes_at_most_six_requests() -> Result<()> {
    let world = bad("frugal").await?;
    let is_pulling = |pods: &[k8s_openapi::api::core::v1::Pod]| {
        pods.iter()
            .any(|pod| json!(pod)["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "ErrImagePull")
    };
    world.until_pods("a pod that cannot pull", is_pulling).await?;
    let output = guard(&world, &["status", "deployment/web"]).await?;
    assert!(matches!(output.code, Some(6 | 9)), "{output}");
    let requests = world.requests().await?;
    let summaries: Vec<String> = requests.iter().map(lab::audit::Request::summary).collect();
    assert!(requests.len() <= 6, "{summaries:#?}");
    assert!(requests.iter().all(|request| request.verb == "list" || request.verb == "get"), "{summaries:#?}");
    assert!(output.elapsed < Duration::from_secs(20), "{output}");
    Ok(())
}
