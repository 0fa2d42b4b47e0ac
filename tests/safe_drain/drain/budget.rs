//! Budgets and implied budgets while pods go: never fewer Ready pods than they want, and no time lost.

use std::time::{Duration, SystemTime};

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt};
use lab::{Node, World};
use tokio::time::{Instant, sleep};

use super::{
    Held, accepted, changes, check_untouched, drain, end, node_of, pods_on, recorder::Recorder, removed, stands, start,
    uid_of, until_cordoned, until_leaving,
};

/// How long after a replacement is Ready the next pod is asked to go, in milliseconds: the median.
const USUALLY: f64 = 300.0;

/// How long it may take at worst, in milliseconds, on a machine that others use too.
const LATEST: f64 = 1000.0;

/// Twelve pods of `web`, six of them on each node, whose replacements take half a second.
async fn twelve(name: &str) -> Result<(World, [Node; 2])> {
    let world = lab::shared()?.world(name).await?;
    let nodes = world.nodes(["a", "b"]).await?;
    let web = world.deployment("web").max_unavailable(1).ready_delay("500ms");
    web.on_each(&[(&nodes[0], 6), (&nodes[1], 6)]).create().await?;
    world.ready("deployment/web").await?;
    Ok((world, nodes))
}

/// Drains a node of [`twelve`], and checks that its pods went one by one, without needless waits. Returns the median of the
/// waits, in milliseconds.
async fn check_one_by_one(world: &World, [a, b]: &[Node; 2]) -> Result<f64> {
    let leaving: Vec<_> = pods_on(world, a).await?.iter().filter_map(ResourceExt::uid).collect();
    let recorder = Recorder::start(world).await?;
    let output = drain(world, &[&a.name]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    assert!(output.stdout.ends_with(&format!("node/{} drained\n", a.name)), "{output}");

    assert_eq!(recorder.lowest(12), 11, "Ready pods: {:#?}", recorder.sightings());
    let departures = recorder.departures();
    let gone: Vec<&str> = departures.iter().map(|sighting| sighting.uid.as_str()).collect();
    assert!(gone.len() == 6 && gone.iter().all(|uid| leaving.iter().any(|it| it == uid)), "{gone:?} of {leaving:?}");
    let evictions = accepted(world).await?;
    assert_eq!(evictions.iter().map(uid_of).collect::<Vec<_>>(), gone);
    // The first twelve served from the start.
    let replacements = &recorder.arrivals()[12..];
    assert_eq!(replacements.len(), 6, "the node is drained once the last one is replaced: {output}");
    let mut gaps = Vec::new();
    for ((ready, next), eviction) in replacements.iter().zip(&departures[1..]).zip(&evictions[1..]) {
        assert!(ready.version < next.version, "{} went before {} was Ready: {output}", next.name, ready.name);
        gaps.push(millis(ready.at, eviction.received.into()));
    }
    gaps.sort_by(f64::total_cmp);
    let (median, latest) = (gaps[gaps.len() / 2], gaps[gaps.len() - 1]);
    assert!(median <= USUALLY && latest <= LATEST, "{gaps:.0?} ms: {output}");
    let pods = world.pods_ready(12).await?;
    assert!(pods.iter().all(|pod| node_of(pod) == b.name), "all are on b");
    Ok(median)
}

/// From one moment to another, which may be the earlier one.
fn millis(from: SystemTime, to: SystemTime) -> f64 {
    match to.duration_since(from) {
        Ok(after) => after.as_secs_f64() * 1000.0,
        Err(before) => before.duration().as_secs_f64() * -1000.0,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_by_one_with_a_budget() -> Result<()> {
    let (world, nodes) = twelve("onebyone").await?;
    world.pod_disruption_budget("web").max_unavailable(1).create().await?;
    world.budget_settled("web").await?;
    let median = check_one_by_one(&world, &nodes).await?;
    println!("from Ready to the next eviction, with a budget: {median:.0} ms, the median");
    // The budget was asked when it would say yes, not again and again.
    let requests = world.requests().await?;
    let refused = requests.iter().filter(|request| request.subresource == "eviction" && request.code == 429).count();
    assert!(refused <= 1, "{refused} refused evictions");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_by_one_without_a_budget() -> Result<()> {
    let (world, nodes) = twelve("implied").await?;
    let median = check_one_by_one(&world, &nodes).await?;
    println!("from Ready to the next eviction, without a budget: {median:.0} ms, the median");
    Ok(())
}

/// Two pods of `web` on a node that may never go, and one of `free` that may.
async fn impossible(name: &str) -> Result<(World, Node)> {
    let world = lab::shared()?.world(name).await?;
    let [node, _spare] = world.nodes(["n", "spare"]).await?;
    world.deployment("web").replicas(2).on(&node).create().await?;
    world.deployment("free").on(&node).create().await?;
    world.pods_ready(3).await?;
    world.pod_disruption_budget("web").min_available(2).create().await?;
    world.budget_settled("web").await?;
    Ok((world, node))
}

#[tokio::test]
async fn an_impossible_budget_is_found_before_the_cordon() -> Result<()> {
    let (world, node) = impossible("impossible").await?;
    let output = drain(&world, &[&node.name]).await?;
    assert_eq!((output.code, output.stdout.as_str()), (Some(4), ""), "{output}");
    let needs = format!(
        "disruption budget {}/web needs 2 healthy pods and has 2 currently: its minAvailable of 2 leaves none of 2 pods to spare",
        world.namespace
    );
    assert!(output.stderr.contains(&needs), "{output}");
    assert!(output.stderr.contains(&format!("hint: kubectl safe-drain plan {}", node.name)), "{output}");
    assert_eq!(changes(&world).await?, Vec::<String>::new());
    check_untouched(&world, &node).await
}

#[tokio::test]
async fn the_rest_goes_if_it_is_to_wait() -> Result<()> {
    let (world, node) = impossible("rest").await?;
    let output = drain(&world, &[&node.name, "--on-blocked=wait", "--deadline", "4s"]).await?;
    assert_eq!(output.code, Some(6), "{output}");
    assert!(output.elapsed >= Duration::from_secs(4) && output.elapsed < Duration::from_secs(8), "{output}");
    let removed = removed(&world).await?;
    assert!(removed.len() == 1 && removed[0].starts_with("free-"), "{removed:?}: {output}");
    let left = world.pods_on(&node).await?;
    assert!(left.len() == 2 && left.iter().all(|name| name.starts_with("web-")), "{left:?}");
    let error = format!("error: unable to drain node {:?}: the deadline of 4s passed", node.name);
    assert!(output.stderr.contains(&error), "{output}");
    let said = format!("2 pods left on node {} (the deadline of 4s passed", node.name);
    assert!(output.stderr.contains(&said), "{output}");
    assert!(left.iter().all(|name| output.stderr.contains(&format!("{}/{name}", world.namespace))), "{output}");
    // A pod has left, so it is not undone, and the report says how to.
    assert!(stands(&world, &node).await?.0);
    assert!(output.stderr.contains(&format!("hint: kubectl safe-drain uncordon {}", node.name)), "{output}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn blocked_now_waits_and_goes_on() -> Result<()> {
    let held = Held::create("now").await?;
    let world = &held.world;
    let recorder = Recorder::start(world).await?;
    let running = start(world, &[&held.a.name])?;
    until_cordoned(world, &held.a).await?;
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(removed(world).await?, Vec::<String>::new(), "it waits");
    held.release().await?;
    let output = end(world, running).await?;
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(removed(world).await?, [held.pod.name_any()]);
    let said = format!(
        "1 pod waits: disruption budget {0}/web needs 1 healthy pods and has 1 currently: waits for pod {0}/{1} on {2} (not Ready",
        world.namespace, held.sibling, held.b.name
    );
    assert_eq!(output.stderr.matches(&said).count(), 1, "{said}\n{output}");

    let eviction = accepted(world).await?.remove(0);
    let arrivals = recorder.arrivals();
    let ready = arrivals.iter().find(|sighting| sighting.name == held.sibling).expect("the sibling became Ready");
    assert!(ready.version < recorder.departures()[0].version, "{output}");
    let gap = millis(ready.at, eviction.received.into());
    println!("from the sibling's Ready to the eviction: {gap:.0} ms");
    assert!(gap <= LATEST, "{gap} ms: {output}");
    Ok(())
}

#[tokio::test]
async fn a_budget_that_is_relaxed_meanwhile_is_seen() -> Result<()> {
    let held = Held::create("relaxed").await?;
    let world = &held.world;
    let running = start(world, &[&held.a.name])?;
    until_cordoned(world, &held.a).await?;
    let budgets: Api<k8s_openapi::api::policy::v1::PodDisruptionBudget> = world.api();
    sleep(Duration::from_millis(500)).await;
    assert_eq!(removed(world).await?, Vec::<String>::new(), "it waits");
    let deleted = Instant::now();
    budgets.delete("web", &kube::api::DeleteParams::default()).await?;
    until_leaving(world, &held.pod).await?;
    assert!(deleted.elapsed() < Duration::from_secs(3), "after {:?}", deleted.elapsed());
    // One of its two pods was Ready at the start, and one may be missing: nothing more is waited for.
    let output = end(world, running).await?;
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(removed(world).await?, [held.pod.name_any()]);
    Ok(())
}

#[tokio::test]
async fn pods_that_may_all_go_go_at_once() -> Result<()> {
    let world = lab::shared()?.world("unlimited").await?;
    let [a, _b] = world.nodes(["a", "b"]).await?;
    world.deployment("web").replicas(6).ready_delay("1s").on(&a).create().await?;
    world.ready("deployment/web").await?;
    let before: Vec<Pod> = world.pods_ready(6).await?;
    let output = drain(&world, &[&a.name, "--max-unavailable=unlimited"]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    let evictions = accepted(&world).await?;
    assert_eq!(evictions.len(), before.len());
    let spread = evictions[5].received.duration_since(evictions[0].received).as_secs_f64();
    assert!(spread < 1.0, "all six within {spread} s: {output}");
    assert_eq!(world.pods_ready(6).await?.len(), 6);
    Ok(())
}
