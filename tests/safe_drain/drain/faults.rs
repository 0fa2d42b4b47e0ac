//! Requests that fail between the drain and the API server: never a wrong verdict, never more disruptions than a budget
//! allows, and on it goes.

use std::time::Duration;

use anyhow::Result;
use lab::{
    Lab, Node, Output, World,
    proxy::{Fault, Proxy, Rule},
};
use serde_json::{Value, json};

use super::{accepted, check_removals, recorder::Recorder, removals};
use crate::runner::{program, safe_drain_as};

/// Three of six pods on the node, under a budget of one.
async fn budgeted(name: &str) -> Result<(World, Node)> {
    let world = lab::shared()?.world(name).await?;
    let [a, b] = world.nodes(["a", "b"]).await?;
    world.deployment("web").on_each(&[(&a, 3), (&b, 3)]).create().await?;
    world.ready("deployment/web").await?;
    world.pod_disruption_budget("web").max_unavailable(1).create().await?;
    world.budget_settled("web").await?;
    Ok((world, a))
}

/// Drains through a proxy, and checks that the node is empty and that nothing fell below what the budget wants.
async fn drain_through(name: &str, rules: Vec<Rule>) -> Result<(Output, Vec<String>)> {
    let (world, node) = budgeted(name).await?;
    let proxy = world.proxy(rules).await?;
    let recorder = Recorder::start(&world).await?;
    let output = safe_drain_as(&proxy.kubeconfig(), &[&node.name]).await?;
    check(&world, &node, &output, &recorder).await?;
    Ok((output, proxy.seen()))
}

async fn check(world: &World, node: &Node, output: &Output, recorder: &Recorder) -> Result<()> {
    assert_eq!(output.code, Some(0), "{output}");
    assert!(output.stdout.ends_with(&format!("node/{} drained\n", node.name)), "{output}");
    check_removals(&world.requests().await?);
    assert_eq!(accepted(world).await?.len(), 3, "{output}");
    assert!(recorder.lowest(6) >= 5, "never fewer than the budget wants: {}: {output}", recorder.lowest(6));
    assert_eq!(world.pods_on(node).await?, Vec::<String>::new());
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "shorter for every caller")]
fn status(code: u16, message: &str, details: Value) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message, "details": details})
}

#[tokio::test]
async fn late_and_lost_requests() -> Result<()> {
    let rules = vec![
        Rule::new("GET", "watch=true", 3, Fault::Delay(Duration::from_millis(400))),
        Rule::new("POST", "/eviction", 1, Fault::Delay(Duration::from_millis(700))),
        Rule::new("POST", "/eviction", 1, Fault::CutBefore),
        // The server does it, and we do not hear of it.
        Rule::new("POST", "/eviction", 1, Fault::CutAfter),
        Rule::new("PATCH", "/nodes/", 1, Fault::CutAfter),
    ];
    let (output, seen) = drain_through("lost", rules).await?;
    let sent = seen.iter().filter(|target| target.contains("/eviction")).count();
    assert!((4..=5).contains(&sent), "{sent} evictions were sent: {output}");
    assert!(output.stdout.starts_with("node/"), "{output}");
    Ok(())
}

#[tokio::test]
async fn answers_of_a_server_in_trouble() -> Result<()> {
    let throttled = status(429, "too many requests", json!({"retryAfterSeconds": 2}));
    let unavailable = status(503, "the server is shutting down", json!({"retryAfterSeconds": 1}));
    let failed = status(500, "Internal error occurred: failed calling webhook", Value::Null);
    let cause = json!({"causes": [{"reason": "DisruptionBudget", "message": "The disruption budget web needs 5 healthy pods and has 5 currently"}]});
    let refused = status(429, "Cannot evict pod as it would violate the pod's disruption budget.", cause);
    let rules = vec![
        Rule::new("POST", "/eviction", 1, Fault::Answer(429, throttled)),
        Rule::new("POST", "/eviction", 1, Fault::Answer(503, unavailable)),
        Rule::new("POST", "/eviction", 2, Fault::Answer(500, failed)),
        Rule::new("POST", "/eviction", 1, Fault::Answer(429, refused)),
    ];
    let (output, _) = drain_through("trouble", rules).await?;
    for said in [
        "3 pods wait: the server has too much to do, tried again: too many requests\n",
        "the server failed, tried again: the server is shutting down\n",
        "the server failed, tried again: Internal error occurred: failed calling webhook\n",
        "1 pod waits: The disruption budget web needs 5 healthy pods and has 5 currently\n",
    ] {
        assert_eq!(output.stderr.matches(said).count(), 1, "said once: {said}: {output}");
    }
    // Retry-After holds for all pods, not only for the one that was answered so.
    assert!(output.elapsed >= Duration::from_secs(3), "{output}");
    Ok(())
}

#[tokio::test]
async fn watches_that_end_badly() -> Result<()> {
    let rules = vec![
        Rule::new("GET", "/policy/v1/namespaces/", 1, Fault::GoneWatch),
        Rule::new("GET", "fieldSelector=spec.nodeName", 1, Fault::GoneWatch),
        Rule::new("GET", "watch=true", 2, Fault::CutBefore),
        Rule::new("GET", "watch=true", 1, Fault::Answer(410, status(410, "too old resource version", Value::Null))),
    ];
    let (output, seen) = drain_through("gone", rules).await?;
    assert!(!output.stderr.contains("error"), "{output}");
    assert!(seen.iter().filter(|target| target.contains("watch=true")).count() >= 8, "{seen:#?}");
    Ok(())
}

#[tokio::test]
async fn a_watch_that_never_speaks_is_no_verdict() -> Result<()> {
    let (world, node) = budgeted("silent").await?;
    // The pods of the node: nobody hears that one is gone.
    let rules = [Rule::new("GET", "fieldSelector=spec.nodeName", 1, Fault::SilentWatch)];
    let proxy = world.proxy(rules).await?;
    let running = lab::run(&program()?).kubeconfig(&proxy.kubeconfig()).args([&node.name]).start()?;
    while removals(&world.requests().await?).count() == 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    running.interrupt()?;
    let output = running.end().await?;
    assert_eq!(output.code, Some(130), "{output}");
    assert!(!output.stdout.contains("evicted"), "nobody has seen it go: {output}");
    assert!(accepted(&world).await?.len() <= 3);
    Ok(())
}

#[tokio::test]
async fn the_server_is_away_for_a_while() -> Result<()> {
    let (world, node) = budgeted("away").await?;
    let proxy: Proxy = world.proxy([]).await?;
    let recorder = Recorder::start(&world).await?;
    let running = lab::run(&program()?).kubeconfig(&proxy.kubeconfig()).args([&node.name]).start()?;
    while removals(&world.requests().await?).count() == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    proxy.down(true);
    tokio::time::sleep(Duration::from_secs(6)).await;
    proxy.down(false);
    let output = running.end().await?;
    check(&world, &node, &output, &recorder).await?;
    assert_eq!(output.stderr.matches("Warning: connection lost, tried again: ").count(), 1, "{output}");
    assert_eq!(output.stderr.matches("connected again\n").count(), 1, "{output}");
    Ok(())
}

/// As a user with a role: until the server has read its roles again it refuses everything.
#[tokio::test]
async fn the_api_server_itself_is_restarted() -> Result<()> {
    let lab = Lab::private()?;
    let world = lab.world("restart").await?;
    let [a, b] = world.nodes(["a", "b"]).await?;
    world.deployment("web").ready_delay("1s").on_each(&[(&a, 3), (&b, 3)]).create().await?;
    world.ready("deployment/web").await?;
    world.pod_disruption_budget("web").max_unavailable(1).create().await?;
    world.budget_settled("web").await?;
    let drainer = world.user("drainer", &lab::drainer_rules()).await?;
    let running = lab::run(&program()?).kubeconfig(&drainer).args([&a.name]).start()?;
    while removals(&world.requests_by("drainer").await?).count() == 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    lab.stop_component("kube-apiserver")?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    lab.start_component("kube-apiserver")?;
    let output = running.end().await?;
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(world.pods_on(&a).await?, Vec::<String>::new());
    let requests = world.requests_by("drainer").await?;
    let accepted = removals(&requests).filter(|request| request.code < 300).count();
    assert_eq!(accepted, 3, "{output}");
    assert!(!output.stderr.contains("are not seen"), "{output}");
    Ok(())
}
