//! URLs that are requested while rollouts are watched: what visitors see.

use anyhow::Result;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::DeleteParams;
use lab::{Output, World, web::Site};
use serde_json::Value;

use crate::runner::{documents, guard, guard_json};

/// Sets the image of `deployment/web` under the eyes of a guard, which requests the site.
async fn changed_under_guard(world: &World, image: &str, site: &Site) -> Result<(Output, Vec<Value>, Value)> {
    let kubectl = lab::kubectl()?;
    let set = format!("main={image}");
    let url = site.url();
    let command = ["set", "image", "deployment/web", &set, "-n", &world.namespace];
    let ours = ["run", "--stable-for", "3s", "-o", "json", "--probe", &url, "deployment/web", "--"];
    let output = guard(world, &[&ours[..], &[&*kubectl.to_string_lossy()], &command].concat()).await?;
    let (events, result) = documents(&output)?;
    Ok((output, events, result))
}

#[tokio::test]
async fn nobody_asks_in_vain_during_a_good_rollout() -> Result<()> {
    let world = lab::shared()?.world("probe-good").await?;
    world.node("a").create().await?;
    let web = world.deployment("web").replicas(3).image("nginx:1.16.1");
    web.max_unavailable(0).stop_seconds(1.0).create().await?;
    world.ready("deployment/web").await?;
    world.service("web").await?;
    let site = world.serve("web").await?;
    let (output, _, result) = changed_under_guard(&world, "nginx:1.17.0", &site).await?;
    assert_eq!(output.code, Some(0), "{output}");
    let probe = &result["rollouts"][0]["probes"][0];
    assert_eq!((&probe["url"], &probe["failures"]), (&Value::from(site.url()), &Value::from(0)), "{result:#}");
    assert!(probe["requests"].as_u64() >= Some(5), "{result:#}");
    Ok(())
}

#[tokio::test]
async fn an_outage_is_measured_and_over_when_the_undo_is_verified() -> Result<()> {
    let world = lab::shared()?.world("probe-outage").await?;
    world.node("a").create().await?;
    world.deployment("web").replicas(2).image("nginx:1.16.1").strategy_recreate().create().await?;
    world.ready("deployment/web").await?;
    world.service("web").await?;
    let site = world.serve("web").await?;
    let (output, events, result) = changed_under_guard(&world, "nginx:1.17.23", &site).await?;
    assert_eq!(output.code, Some(7), "{output}");
    let probe = &result["rollouts"][0]["probes"][0];
    assert!(probe["failures"].as_u64() >= Some(1), "{result:#}");
    assert!(probe["longestGapSeconds"].as_f64() > Some(0.0), "{result:#}");
    let last = |kind: &str| events.iter().rposition(|event| event["type"] == kind);
    assert!(last("ProbeRecovered") > last("ProbeFailed"), "{output}");
    Ok(())
}

#[tokio::test]
async fn what_the_last_good_version_needs_is_looked_up_first() -> Result<()> {
    let world = lab::shared()?.world("reference").await?;
    world.node("a").create().await?;
    world.config_map("cfg", &serde_json::json!({"mode": "fast"})).await?;
    let env = serde_json::json!([{"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": "cfg", "key": "mode"}}}]);
    world.deployment("web").replicas(2).image("nginx:1.16.1").container("env", env).create().await?;
    world.ready("deployment/web").await?;
    let maps = world.api::<ConfigMap>();
    maps.delete("cfg", &DeleteParams::default()).await?;
    world.config_map("cfg", &serde_json::json!({"other": "x"})).await?;
    world.set_image("deployment/web", "nginx:1.17.23").await?;
    let (output, _, result) = guard_json(&world, &["deployment/web", "--stable-for", "3s"]).await?;
    assert_eq!(output.code, Some(9), "{output}");
    let reason = result["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("revision 1 needs ConfigMap \"cfg\" with key mode, which is not there"), "{reason}");
    assert!(!world.requests().await?.iter().any(lab::audit::Request::changes), "something was written");
    Ok(())
}

/// Nobody listens there: no proof against the version, and none that it is good.
#[tokio::test]
async fn a_probe_that_nobody_ever_answers() -> Result<()> {
    let world = lab::shared()?.world("probe-never").await?;
    world.node("a").create().await?;
    world.deployment("web").replicas(2).image("nginx:1.16.1").create().await?;
    world.ready("deployment/web").await?;
    world.set_image("deployment/web", "nginx:1.17.0").await?;
    let output =
        guard(&world, &["deployment/web", "--stable-for", "1s", "--probe", "http://127.0.0.1:1/", "--undo-on=any"]);
    let output = output.await?;
    assert_eq!(output.code, Some(9), "{output}");
    let why = "all pods are Ready, but no request to http://127.0.0.1:1/ succeeded: ";
    assert!(output.stdout.contains(&format!("NOT UNDONE: {why}")), "{output}");
    assert!(output.stderr.contains(&format!("note: deployment/web: {why}")), "{output}");
    assert!(output.stderr.contains("hint: see whether the probe's URL is right"), "{output}");
    assert!(!world.requests().await?.iter().any(lab::audit::Request::changes), "something was written");
    Ok(())
}
