//! Rollouts that wait for somebody, and stalls that the user wants to be left as they are.

use anyhow::Result;
use lab::World;
use serde_json::{Value, json};

use crate::{audit::changes, runner::guard_json};

const BAD: &str = "registry.test/app:sim-imagepull";

async fn web(name: &str) -> Result<World> {
    let world = lab::shared()?.world(name).await?;
    world.node("a").create().await?;
    world.deployment("web").replicas(2).create().await?;
    world.ready("deployment/web").await?;
    Ok(world)
}

#[tokio::test]
async fn a_paused_rollout_names_the_way_on() -> Result<()> {
    let world = web("paused").await?;
    world.patch("deployment/web", &json!({"spec": {"paused": true}})).await?;
    world.set_image("deployment/web", "registry.test/app:2").await?;
    let (output, _, result) = guard_json(&world, &["deployment/web"]).await?;
    assert_eq!(output.code, Some(3), "{output}");
    let end = &result["rollouts"][0];
    assert_eq!((&end["outcome"], &end["cause"]["code"]), (&json!("Blocked"), &json!("Paused")), "{result:#}");
    assert_eq!(result["reason"], "deployment/web: the rollout is paused");
    assert_eq!(result["next"], json!([format!("kubectl -n {} rollout resume deployment/web", world.namespace)]));
    assert_eq!(changes(&world).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn a_stalled_rollout_is_paused_on_request() -> Result<()> {
    let world = web("pause").await?;
    world.set_image("deployment/web", BAD).await?;
    let (output, events, result) = guard_json(&world, &["deployment/web", "--on-stall", "pause"]).await?;
    assert_eq!(output.code, Some(9), "{output}");
    let end = &result["rollouts"][0];
    assert_eq!((&end["outcome"], &end["undo"]), (&json!("NotUndone"), &Value::Null), "{result:#}");
    assert_eq!(result["reason"], format!("deployment/web: image {BAD:?} not found; paused"));
    assert_eq!(result["next"], json!([format!("kubectl -n {} rollout resume deployment/web", world.namespace)]));
    assert_eq!(events.iter().filter(|event| event["type"] == "RolloutPaused").count(), 1, "{output}");
    let now = world.workload("deployment/web").await?;
    assert_eq!(now["spec"]["paused"], true);
    assert_eq!(now["spec"]["template"]["spec"]["containers"][0]["image"], BAD);
    assert_eq!(changes(&world).await?, [format!("patch deployments {}/web", world.namespace)]);
    Ok(())
}

#[tokio::test]
async fn a_stalled_rollout_is_only_reported_on_request() -> Result<()> {
    let world = web("report").await?;
    world.set_image("deployment/web", BAD).await?;
    let (output, events, result) = guard_json(&world, &["deployment/web", "--on-stall", "report"]).await?;
    assert_eq!(output.code, Some(9), "{output}");
    let end = &result["rollouts"][0];
    assert_eq!((&end["outcome"], &end["undo"]), (&json!("NotUndone"), &Value::Null), "{result:#}");
    assert_eq!(end["cause"]["code"], "ImageNotFound");
    assert_eq!(end["cause"]["changed"], true);
    assert!(events.iter().any(|event| event["type"] == "StallProven"), "{output}");
    let namespace = &world.namespace;
    let commands = [
        format!("kubectl rollout-guard -n {namespace} status deployment/web"),
        format!("kubectl rollout-guard -n {namespace} undo deployment/web"),
    ];
    assert_eq!(result["next"], json!(commands));
    assert_eq!(changes(&world).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn only_a_deployment_can_be_paused() -> Result<()> {
    let world = lab::shared()?.world("unpausable").await?;
    world.node("a").create().await?;
    world.stateful_set("db").create().await?;
    world.ready("statefulset/db").await?;
    world.set_image("statefulset/db", BAD).await?;
    let (output, _, result) = guard_json(&world, &["statefulset/db", "--on-stall", "pause"]).await?;
    assert_eq!(output.code, Some(9), "{output}");
    let reason = format!("statefulset/db: image {BAD:?} not found; a StatefulSet cannot be paused");
    assert_eq!(result["reason"], reason);
    assert_eq!(changes(&world).await?, Vec::<String>::new());
    Ok(())
}
