//! What passes by itself, and what does not: nothing is undone that recovers, and nothing is written meanwhile.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt, api::ListParams};
use lab::{Running, World};
use serde_json::{Value, json};

use crate::runner::{changes, documents, guard, guard_json, start_json, until_watching};

/// Begins a guard, and waits until it watches.
async fn begin(world: &World, args: &[&str]) -> Result<Running> {
    let running = start_json(world, args)?;
    until_watching(world).await?;
    Ok(running)
}

/// The one finding with this code that was told.
#[track_caller]
fn told<'a>(events: &'a [Value], code: &str) -> &'a Value {
    let mut findings = events.iter().filter(|event| event["type"] == "FindingSeen").map(|event| &event["finding"]);
    let found = findings.find(|finding| finding["code"] == code);
    found.unwrap_or_else(|| panic!("no {code} in {}", Value::from(events.to_vec())))
}

/// How often the first container of each pod restarted.
async fn restarts(world: &World) -> Result<Vec<i32>> {
    let pods = world.api::<Pod>().list(&ListParams::default()).await?.items;
    let status = |pod: Pod| pod.status?.container_statuses?.first().map(|container| container.restart_count);
    let mut restarts: Vec<i32> = pods.into_iter().filter_map(status).collect();
    restarts.sort_unstable();
    Ok(restarts)
}

/// The numbers of pods that were told last.
fn last_counts(events: &[Value]) -> Option<&Value> {
    events.iter().rev().find(|event| event["type"] == "Progressed").map(|event| &event["counts"])
}

#[tokio::test]
async fn a_version_that_crashes_twice_before_it_is_well() -> Result<()> {
    let world = lab::shared()?.world("selfheal").await?;
    world.node("a").create().await?;
    world.deployment("web").replicas(2).readiness_probe().sim("crash-times", "2").create().await?;
    world.ready("deployment/web").await?;
    world.set_image("deployment/web", "registry.test/app:sim-selfheal").await?;
    let (output, events, result) = guard_json(&world, &["deployment/web", "--stable-for", "3s"]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(result["rollouts"][0]["outcome"], "Complete", "{result:#}");
    let crash = told(&events, "CrashLoop");
    assert_eq!((&crash["class"], &crash["container"]), (&json!("Repeated"), &json!("main")), "{output}");
    assert_eq!(crash["message"], "container \"main\" exits with 1 (error)");
    assert_eq!(restarts(&world).await?, [2, 2], "the scene is the one that is meant");
    assert_eq!(changes(&world).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn a_container_that_somebody_kills_comes_back() -> Result<()> {
    let world = lab::shared()?.world("killed").await?;
    world.node("a").create().await?;
    world.deployment("web").replicas(2).readiness_probe().create().await?;
    world.ready("deployment/web").await?;
    world.set_image("deployment/web", "registry.test/app:2").await?;
    world.ready("deployment/web").await?;
    let mut pods = world.pods_ready(2).await?;
    pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    // The window begins anew with the restart.
    let running = begin(&world, &["deployment/web", "--stable-for", "15s"]).await?;
    world.label_pod(&pods[0].name_any(), "sim.test/kill", Some("1")).await?;
    let output = running.end().await?;
    assert_eq!(output.code, Some(0), "{output}");
    let (events, result) = documents(&output)?;
    assert_eq!(result["rollouts"][0]["outcome"], "Complete", "{result:#}");
    assert_eq!(result["rollouts"][0]["cause"], Value::Null);
    let again = told(&events, "Restarted");
    assert_eq!((&again["class"], &again["count"]), (&json!("Transient"), &json!(1)));
    assert_eq!(again["pod"], pods[0].name_any());
    assert_eq!(again["message"], "container \"main\" runs again, restarted once, last: exit 137 (killed)");
    assert_eq!(restarts(&world).await?, [0, 1]);
    assert_eq!(changes(&world).await?, Vec::<String>::new());
    Ok(())
}

/// The controller gives it up after four seconds; its probe gives it half a minute.
#[tokio::test]
async fn a_slow_starter_has_the_time_of_its_probes() -> Result<()> {
    let world = lab::shared()?.world("slow").await?;
    world.node("a").create().await?;
    let probe = json!({"httpGet": {"path": "/", "port": 80}, "periodSeconds": 5, "failureThreshold": 6});
    let web = world.deployment("web").progress_deadline(4).container("readinessProbe", probe);
    web.ready_delay("12s").create().await?;
    world.pods_ready(1).await?;
    world.set_image("deployment/web", "registry.test/app:sim-slow").await?;
    let running = begin(&world, &["deployment/web", "--stable-for", "2s"]).await?;
    let given_up = |deployment: Option<&k8s_openapi::api::apps::v1::Deployment>| {
        let conditions = deployment.and_then(|deployment| deployment.status.as_ref()?.conditions.clone());
        let mut reasons = conditions.into_iter().flatten().filter_map(|condition| condition.reason);
        reasons.any(|reason| reason == "ProgressDeadlineExceeded")
    };
    world.until("web", "a deadline that has passed", lab::wait::LIMIT, given_up).await?;
    let output = running.end().await?;
    assert_eq!(output.code, Some(0), "{output}");
    let (_, result) = documents(&output)?;
    assert_eq!(result["rollouts"][0]["outcome"], "Complete", "{result:#}");
    assert_eq!(restarts(&world).await?, [0]);
    assert_eq!(changes(&world).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn readiness_that_comes_and_goes_for_long_is_a_stall() -> Result<()> {
    let world = lab::shared()?.world("flap").await?;
    world.node("a").create().await?;
    world.deployment("web").readiness_probe().ready_delay("2s").create().await?;
    world.ready("deployment/web").await?;
    world.set_image("deployment/web", "registry.test/app:sim-flap").await?;
    let args = ["deployment/web", "--stall-timeout", "15s", "--stable-for", "5s"];
    let (output, events, result) = guard_json(&world, &args).await?;
    assert_eq!(output.code, Some(7), "{output}");
    let end = &result["rollouts"][0];
    assert_eq!((&end["outcome"], &end["cause"]["code"]), (&json!("Undone"), &json!("ReadinessFlaps")), "{result:#}");
    assert_eq!(end["cause"]["paths"][0]["after"], "registry.test/app:sim-flap");
    assert_eq!(told(&events, "ReadinessFlaps")["count"], 3);
    let pods = world.pods_ready(1).await?;
    let image = pods[0].spec.as_ref().and_then(|spec| spec.containers[0].image.clone());
    assert_eq!(image.as_deref(), Some("registry.test/app:1"));
    Ok(())
}

#[tokio::test]
async fn more_and_fewer_replicas_while_it_is_watched() -> Result<()> {
    let world = lab::shared()?.world("scaled").await?;
    world.node("a").create().await?;
    world.deployment("web").replicas(2).readiness_probe().ready_delay("1s").create().await?;
    world.ready("deployment/web").await?;
    world.set_image("deployment/web", "registry.test/app:2").await?;
    let running = begin(&world, &["deployment/web", "--stable-for", "10s"]).await?;
    world.patch("deployment/web", &json!({"spec": {"replicas": 5}})).await?;
    world.pods_ready(5).await?;
    world.patch("deployment/web", &json!({"spec": {"replicas": 3}})).await?;
    let output = running.end().await?;
    assert_eq!(output.code, Some(0), "{output}");
    let (events, result) = documents(&output)?;
    assert_eq!(result["rollouts"][0]["outcome"], "Complete", "{result:#}");
    let desired: Vec<&Value> = events.iter().map(|event| &event["counts"]["desired"]).collect();
    assert!([2, 5, 3].iter().all(|wanted| desired.contains(&&json!(wanted))), "{output}");
    let counts = last_counts(&events).context("no counts")?;
    let numbers = ["desired", "updated", "ready", "available", "old"].map(|name| counts[name].as_i64());
    assert_eq!(numbers, [3, 3, 3, 3, 0].map(Some), "{output}");
    assert_eq!(changes(&world).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn an_autoscaler_that_takes_replicas_away() -> Result<()> {
    let world = lab::shared()?.world("autoscaler").await?;
    world.node("a").create().await?;
    world.deployment("web").replicas(4).readiness_probe().ready_delay("1s").create().await?;
    world.ready("deployment/web").await?;
    world.set_image("deployment/web", "registry.test/app:2").await?;
    let running = begin(&world, &["deployment/web", "--stable-for", "10s"]).await?;
    // Above its maximum it needs no metrics to know what to do.
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
    let spec = json!({"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 2});
    let kind = "HorizontalPodAutoscaler";
    world
        .apply(json!({"apiVersion": "autoscaling/v2", "kind": kind, "metadata": {"name": "web"}, "spec": spec}))
        .await?;
    let output = running.end().await?;
    assert_eq!(output.code, Some(0), "{output}");
    let (events, result) = documents(&output)?;
    assert_eq!(result["rollouts"][0]["outcome"], "Complete", "{result:#}");
    let counts = last_counts(&events).context("no counts")?;
    let numbers = ["desired", "updated", "available", "old"].map(|name| counts[name].as_i64());
    assert_eq!(numbers, [2, 2, 2, 0].map(Some), "{output}");
    assert_eq!(world.workload("deployment/web").await?["spec"]["replicas"], 2);
    assert_eq!(changes(&world).await?, Vec::<String>::new());

    let output = guard(&world, &["deployment/web", "--stable-for", "1s"]).await?;
    let note = "note: deployment/web is scaled by HorizontalPodAutoscaler web (1 to 2 pods)\n";
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), note), "{output}");
    Ok(())
}
