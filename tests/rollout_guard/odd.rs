//! Odd surroundings: a deadline that passed long ago, scaling meanwhile, no history, first rollouts, mere restarts.

use anyhow::Result;
use k8s_openapi::api::apps::v1::Deployment;
use lab::World;
use serde_json::{Value, json};

use crate::runner::{changes, end_json, guard, guard_json, image, start_json, until_watching};

const GOOD: &str = "registry.test/app:1";
const BAD: &str = "registry.test/app:sim-imagepull";
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

async fn world(name: &str) -> Result<World> {
    let world = lab::shared()?.world(name).await?;
    world.node("a").create().await?;
    Ok(world)
}

/// Three good pods of `deployment/web`.
async fn web(name: &str) -> Result<World> {
    let world = world(name).await?;
    world.deployment("web").replicas(3).image(GOOD).create().await?;
    world.ready("deployment/web").await?;
    Ok(world)
}

/// A version that is never ready, and that the controller has given up.
async fn given_up(name: &str) -> Result<World> {
    let world = world(name).await?;
    world.deployment("web").replicas(3).image(GOOD).progress_deadline(3).create().await?;
    world.ready("deployment/web").await?;
    world.set_image("deployment/web", "registry.test/app:sim-unready").await?;
    world.until("web", "a deadline that has passed", lab::wait::LIMIT, has_given_up).await?;
    Ok(world)
}

fn has_given_up(deployment: Option<&Deployment>) -> bool {
    let conditions = deployment.and_then(|deployment| deployment.status.as_ref()?.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.reason.as_deref() == Some("ProgressDeadlineExceeded"))
}

#[tokio::test]
async fn a_deadline_of_the_version_before_is_not_believed() -> Result<()> {
    let world = given_up("stale").await?;
    world.set_image("deployment/web", "registry.test/app:2").await?;
    let (output, events, result) = guard_json(&world, &["deployment/web", "--stable-for", "2s"]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(result["rollouts"][0]["outcome"], "Complete", "{result:#}");
    assert!(!events.iter().any(|event| event["finding"]["code"] == "DeadlineExceeded"), "{output}");
    assert_eq!(changes(&world).await?, Vec::<String>::new());
    Ok(())
}

/// It stands at the start and for a moment after the undo, when it means the version that is gone.
#[tokio::test]
async fn a_deadline_that_has_passed_is_proof_but_not_against_the_version_that_comes_back() -> Result<()> {
    let world = given_up("passed").await?;
    let (output, _, result) = guard_json(&world, &["deployment/web", "--stable-for", "2s"]).await?;
    assert_eq!(output.code, Some(7), "{output}");
    let end = &result["rollouts"][0];
    assert_eq!(
        (&end["outcome"], &end["undo"]["to"], &end["undo"]["verified"]),
        (&json!("Undone"), &json!(1), &json!(true)),
        "{result:#}"
    );
    assert_eq!(image(&world, "deployment/web").await?, GOOD);
    Ok(())
}

#[tokio::test]
async fn scaling_meanwhile_is_no_other_version() -> Result<()> {
    let world = world("scaled").await?;
    world.deployment("web").replicas(3).image(GOOD).ready_delay("2s").create().await?;
    world.ready("deployment/web").await?;
    world.set_image("deployment/web", "registry.test/app:2").await?;
    let running = start_json(&world, &["deployment/web", "--stable-for", "3s"])?;
    until_watching(&world).await?;
    world.patch("deployment/web", &json!({"spec": {"replicas": 5}})).await?;
    let (output, _, result) = end_json(running).await?;
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(result["rollouts"][0]["outcome"], "Complete", "{result:#}");
    let pods = world.pods_ready(5).await?;
    assert_eq!(pods.len(), 5);
    assert_eq!(changes(&world).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn what_was_scaled_meanwhile_keeps_its_size_when_it_is_undone() -> Result<()> {
    let world = web("scaled-bad").await?;
    // The proof takes three failures.
    world.set_image("deployment/web", "registry.test/app:sim-crashloop").await?;
    let running = start_json(&world, &["deployment/web", "--stable-for", "2s"])?;
    until_watching(&world).await?;
    world.patch("deployment/web", &json!({"spec": {"replicas": 5}})).await?;
    let (output, _, result) = end_json(running).await?;
    assert_eq!(output.code, Some(7), "{output}");
    assert_eq!(result["rollouts"][0]["undo"]["verified"], true, "{result:#}");
    let pods = world.pods_ready(5).await?;
    assert!(pods.iter().all(|pod| json!(pod)["spec"]["containers"][0]["image"] == GOOD));
    Ok(())
}

/// The old ReplicaSet goes when the rollout is complete, and not before.
#[tokio::test]
async fn without_a_history_a_rollout_can_be_undone_until_it_is_complete() -> Result<()> {
    let world = world("limit").await?;
    for name in ["early", "late"] {
        world.deployment(name).replicas(2).image(GOOD).revision_history_limit(0).create().await?;
        world.ready(&format!("deployment/{name}")).await?;
    }
    world.set_image("deployment/early", BAD).await?;
    let output = guard(&world, &["deployment/early", "--stable-for", "1s"]).await?;
    assert_eq!(output.code, Some(7), "{output}");
    assert_eq!(image(&world, "deployment/early").await?, GOOD);

    // Without a probe it is complete for a moment, and crashes then.
    world.set_image("deployment/late", "registry.test/app:sim-crash").await?;
    world.until("late", "one revision", lab::wait::LIMIT, is_complete).await?;
    let (output, _, result) = guard_json(&world, &["deployment/late", "--stable-for", "1m"]).await?;
    assert_eq!(output.code, Some(9), "{output}");
    assert_eq!(result["rollouts"][0]["outcome"], "NotUndone", "{result:#}");
    let reason = result["reason"].as_str().unwrap();
    let why = "; not undone: no earlier revision is kept: spec.revisionHistoryLimit is 0";
    assert!(reason.ends_with(why), "{result:#}");
    assert_eq!(choices(&result, "late", &world), vec![true, true, true], "{result:#}");
    assert_eq!(world.revisions("deployment/late").await?.len(), 1);
    Ok(())
}

fn is_complete(deployment: Option<&Deployment>) -> bool {
    let deployment = json!(deployment);
    let count = |field: &str| deployment["status"][field].as_i64().unwrap_or_default();
    let observed = deployment["metadata"]["generation"] == deployment["status"]["observedGeneration"];
    let conditions = deployment["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let reason = conditions.iter().find(|condition| condition["type"] == "Progressing").map(|found| &found["reason"]);
    observed
        && count("updatedReplicas") == 2
        && count("replicas") == 2
        && reason == Some(&json!("NewReplicaSetAvailable"))
}

/// Whether the result offers a closer look, another version, and a pause.
fn choices(result: &Value, name: &str, world: &World) -> Vec<bool> {
    let next = result["next"].as_array().cloned().unwrap_or_default();
    let namespace = &world.namespace;
    [
        format!("kubectl rollout-guard -n {namespace} status deployment/{name}"),
        "roll out a version that works".to_owned(),
        format!("kubectl -n {namespace} rollout pause deployment/{name}"),
    ]
    .iter()
    .map(|choice| next.contains(&json!(choice)))
    .collect()
}

#[tokio::test]
async fn a_first_rollout_cannot_be_undone() -> Result<()> {
    let world = world("first").await?;
    world.deployment("web").replicas(2).image(BAD).create().await?;
    let (output, _, result) = guard_json(&world, &["deployment/web"]).await?;
    assert_eq!(output.code, Some(9), "{output}");
    let end = &result["rollouts"][0];
    assert_eq!((&end["outcome"], &end["cause"]["code"]), (&json!("NotUndone"), &json!("ImageNotFound")), "{result:#}");
    let reason = result["reason"].as_str().unwrap();
    assert!(reason.ends_with("; not undone: this is the first rollout: there is no earlier revision"), "{reason}");
    assert_eq!(choices(&result, "web", &world), vec![true, true, true], "{result:#}");
    assert_eq!(changes(&world).await?, Vec::<String>::new());

    let output = guard(&world, &["undo", "deployment/web"]).await?;
    assert_eq!((output.code, output.stdout.as_str()), (Some(3), ""), "{output}");
    let refused = "error: deployment/web: this is the first rollout: there is no earlier revision\n";
    assert!(output.stderr.starts_with(refused), "{output}");
    assert_eq!(changes(&world).await?, Vec::<String>::new());
    Ok(())
}

/// As `kubectl rollout restart` does it.
async fn restart(world: &World, at: &str) -> Result<()> {
    let annotations = json!({RESTARTED_AT: at});
    let patch = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
    world.patch("deployment/web", &patch).await?;
    Ok(())
}

#[tokio::test]
async fn a_restart_of_a_bad_version_is_not_what_is_gone_back_to() -> Result<()> {
    let world = web("bad-restart").await?;
    world.set_image("deployment/web", BAD).await?;
    world.until_pods("a pod of the bad version", |pods| pods.len() == 4).await?;
    restart(&world, "2026-01-01T00:00:00Z").await?;
    let (output, _, result) = guard_json(&world, &["deployment/web", "--stable-for", "1s"]).await?;
    assert_eq!(output.code, Some(7), "{output}");
    assert_eq!(result["rollouts"][0]["undo"]["to"], 1, "not revision 2, which kubectl would take: {result:#}");
    assert_eq!(image(&world, "deployment/web").await?, GOOD);
    Ok(())
}

#[tokio::test]
async fn a_restarted_good_version_comes_back() -> Result<()> {
    let world = web("good-restart").await?;
    restart(&world, "2026-01-01T00:00:00Z").await?;
    world.ready("deployment/web").await?;
    world.set_image("deployment/web", BAD).await?;
    let (output, _, result) = guard_json(&world, &["deployment/web", "--stable-for", "1s"]).await?;
    assert_eq!(output.code, Some(7), "{output}");
    assert_eq!(result["rollouts"][0]["undo"]["to"], 2, "the one that ran: {result:#}");
    let annotations = world.workload("deployment/web").await?["spec"]["template"]["metadata"]["annotations"].clone();
    assert_eq!(annotations[RESTARTED_AT], "2026-01-01T00:00:00Z");
    Ok(())
}

#[tokio::test]
async fn an_undo_of_a_mere_restart_is_none() -> Result<()> {
    let world = web("restart").await?;
    restart(&world, "2026-01-01T00:00:00Z").await?;
    world.ready("deployment/web").await?;
    assert_eq!(world.revisions("deployment/web").await?.len(), 2);
    let output = guard(&world, &["undo", "deployment/web"]).await?;
    assert_eq!((output.code, output.stdout.as_str()), (Some(3), ""), "{output}");
    let refused = "error: deployment/web: every earlier revision has the template that is there now\n";
    assert!(output.stderr.starts_with(refused), "{output}");
    assert_eq!(changes(&world).await?, Vec::<String>::new());
    Ok(())
}

/// A restart shows that what runs cannot be started any more: that is not the version's fault.
#[tokio::test]
async fn a_restart_that_fails_is_nobodys_version() -> Result<()> {
    let world = web("restart-fails").await?;
    // From now on no pod can be made.
    world.quota(&json!({"pods": "3"})).await?;
    restart(&world, "2026-01-01T00:00:00Z").await?;
    for undo_on in ["version", "any"] {
        let args = ["deployment/web", "--stall-timeout", "3s", "--undo-on", undo_on];
        let (output, _, result) = guard_json(&world, &args).await?;
        assert_eq!(output.code, Some(9), "{output}");
        let cause = &result["rollouts"][0]["cause"];
        assert_eq!((&cause["code"], &cause["changed"]), (&json!("QuotaExceeded"), &json!(false)), "{result:#}");
        assert_eq!(result["next"].as_array().map(Vec::len), Some(1), "what to do: {result:#}");
    }
    assert_eq!(changes(&world).await?, Vec::<String>::new());
    Ok(())
}
