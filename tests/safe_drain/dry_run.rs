//! A dry run changes nothing: the audit log says so.

use std::time::Duration;

use anyhow::Result;
use lab::audit::Request;
use serde_json::json;

use crate::runner::{codes, deny, document, plan, pod, safe_drain};

/// Requests that would be writes, dry or not.
fn writes(requests: &[Request]) -> Vec<&Request> {
    let reads = ["get", "list", "watch"];
    requests
        .iter()
        .filter(|request| !reads.contains(&request.verb.as_str()) && !request.resource.ends_with("reviews"))
        .collect()
}

#[tokio::test]
async fn a_client_dry_run_sends_no_write_and_few_requests() -> Result<()> {
    let world = lab::shared()?.world("client").await?;
    let [node] = world.nodes(["n"]).await?;
    world.deployment("web").replicas(20).on(&node).create().await?;
    world.ready("deployment/web").await?;
    for args in [
        vec![node.name.as_str(), "--dry-run"],
        vec!["plan", &node.name],
        vec!["plan", &node.name, "--disable-eviction", "-o", "yaml"],
        vec!["cordon", &node.name, "--dry-run=client"],
    ] {
        let _ = safe_drain(&world, &args).await?;
    }
    let requests = world.requests().await?;
    assert_eq!(writes(&requests), Vec::<&Request>::new());
    let agent = &requests[0].user_agent;
    assert!(agent.starts_with("kubectl-safe-drain/"), "{agent}");
    Ok(())
}

#[tokio::test]
async fn a_plan_takes_at_most_fifteen_requests() -> Result<()> {
    let world = lab::shared()?.world("frugal").await?;
    let [node] = world.nodes(["n"]).await?;
    world.deployment("web").replicas(60).on(&node).create().await?;
    world.ready("deployment/web").await?;
    let (output, _) = plan(&world, &[&node.name]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    let requests = world.requests().await?;
    assert!(requests.len() <= 15, "{} requests: {requests:#?}", requests.len());
    Ok(())
}

#[tokio::test]
async fn a_server_dry_run_sends_only_dry_writes_with_uids() -> Result<()> {
    let world = lab::shared()?.world("server").await?;
    let [node] = world.nodes(["n"]).await?;
    world.deployment("web").replicas(3).on(&node).create().await?;
    world.ready("deployment/web").await?;
    world.pod_disruption_budget("web").max_unavailable(1).create().await?;
    world.budget_settled("web").await?;

    let output = safe_drain(&world, &[&node.name, "--dry-run=server", "-o", "json", "--grace-period", "7"]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    let seen = document(&output)?;
    let objects: Vec<&str> =
        seen["serverDryRun"].as_array().unwrap().iter().filter_map(|answer| answer["object"].as_str()).collect();
    assert_eq!(objects.len(), 2, "the cordon and one eviction: {objects:?}");

    let requests = world.requests().await?;
    let writes = writes(&requests);
    let summary: Vec<String> = writes.iter().map(|request| format!("{} {}", request.verb, request.resource)).collect();
    assert_eq!(summary, ["patch nodes", "create pods"]);
    for write in &writes {
        assert!(write.uri.contains("dryRun=All"), "{}", write.uri);
    }
    let eviction = writes[1].request_object.as_ref().unwrap();
    let uid = &pod(&seen, &writes[1].name)["uid"];
    let expected = json!({"dryRun": ["All"], "preconditions": {"uid": uid}, "gracePeriodSeconds": 7});
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&eviction["deleteOptions"][key], value, "{eviction:#}");
    }
    assert!(writes[1].uri.contains("fieldValidation=Strict"), "{}", writes[1].uri);
    let patch = writes[0].request_object.as_ref().unwrap();
    assert!(patch["metadata"]["resourceVersion"].is_string(), "{patch:#}");

    let cordoned = world.node_now(&node).await?.spec.and_then(|spec| spec.unschedulable);
    assert_eq!(cordoned, None, "nothing has changed");
    assert_eq!(world.pods_on(&node).await?.len(), 3);
    Ok(())
}

#[tokio::test]
async fn a_blocked_server_dry_run_ends() -> Result<()> {
    let world = lab::shared()?.world("ends").await?;
    let [node] = world.nodes(["n"]).await?;
    world.deployment("web").replicas(2).on(&node).create().await?;
    world.ready("deployment/web").await?;
    world.pod_disruption_budget("web").min_available(2).create().await?;
    world.budget_settled("web").await?;
    let output = safe_drain(&world, &[&node.name, "--dry-run=server"]).await?;
    assert_eq!(output.code, Some(4), "{output}");
    assert!(output.elapsed < Duration::from_secs(10), "kubectl would never end: {:?}", output.elapsed);
    Ok(())
}

/// A policy of the API server refuses what our own rules allow.
#[tokio::test]
async fn the_servers_refusal_stands_beside_our_verdict() -> Result<()> {
    let world = lab::shared()?.world("policy").await?;
    let [node] = world.nodes(["n"]).await?;
    world.deployment("web").on(&node).create().await?;
    world.ready("deployment/web").await?;
    let evictions = json!({"matchConstraints": {"resourceRules": [
        {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods/eviction"]}]}});
    let here = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}}});
    deny(&world, evictions, here, "the shop is open").await?;

    // The API server takes a policy up within a second or so.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    let (output, seen) = loop {
        let (output, seen) = plan(&world, &[&node.name, "--dry-run=server"]).await?;
        if output.code != Some(0) || tokio::time::Instant::now() > deadline {
            break (output, seen);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert_eq!((output.code, seen["verdict"].as_str()), (Some(3), Some("Refused")), "{output}");
    let web = pod(&seen, "web-");
    assert!(codes(web).contains(&"ServerRefused"), "{web:#}");
    let answers = seen["serverDryRun"].as_array().unwrap();
    let refused: Vec<_> = answers.iter().filter(|answer| answer["accepted"] == false).collect();
    assert_eq!(refused.len(), 1);
    let message = refused[0]["message"].as_str().unwrap();
    assert!(message.contains("the shop is open"), "{message}");
    let client = plan(&world, &[&node.name]).await?.1;
    assert_eq!(client["verdict"], "Clear", "our own rules allow it");
    Ok(())
}
