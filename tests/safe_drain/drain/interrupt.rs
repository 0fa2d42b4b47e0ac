//! Ctrl-C: nothing new, what can be taken back is, and the report says the rest.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::Node as NodeObject;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use lab::{Node, Running, World};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{Held, changes, end, ready_of, removed, stands, start, until_cordoned, until_leaving};
use crate::runner::{deny, safe_drain, safe_drain_as};

/// How long a drain may take to leave.
const AT_ONCE: Duration = Duration::from_secs(3);

#[tokio::test]
async fn before_any_pod_has_left_it_is_undone() -> Result<()> {
    let held = Held::create("before").await?;
    let world = &held.world;
    for signal in [Running::interrupt, Running::terminate] {
        let running = start(world, &[&held.a.name])?;
        until_cordoned(world, &held.a).await?;
        let interrupted = Instant::now();
        signal(&running)?;
        let output = end(world, running).await?;
        assert_eq!(output.code, Some(130), "{output}");
        assert!(interrupted.elapsed() < AT_ONCE, "{output}");
        assert_eq!(stands(world, &held.a).await?, (false, None), "{output}");
        let lines = format!("node/{0} cordoned\nnode/{0} uncordoned\n", held.a.name);
        assert_eq!(output.stdout, lines, "{output}");
        assert!(output.stderr.contains("interrupted: nothing new is begun; once more to leave at once\n"), "{output}");
        assert_eq!(removed(world).await?, Vec::<String>::new());
    }
    Ok(())
}

#[tokio::test]
async fn what_becomes_of_the_cordon_can_be_said() -> Result<()> {
    let held = Held::create("keep").await?;
    let world = &held.world;
    let running = start(world, &[&held.a.name, "--on-failure=keep"])?;
    until_cordoned(world, &held.a).await?;
    running.interrupt()?;
    let output = end(world, running).await?;
    assert_eq!(output.code, Some(130), "{output}");
    assert!(stands(world, &held.a).await?.0, "although no pod has left: {output}");
    assert!(output.stderr.contains(&format!("hint: kubectl safe-drain uncordon {}\n", held.a.name)), "{output}");

    world.cordon(&held.a, false).await?;
    world.deployment("free").pinned_to(&held.a).create().await?;
    let pods = world.until_pods("a pod of free", |pods| ready_of(pods, "free").count() == 1).await?;
    let free = ready_of(&pods, "free").next().cloned().expect("a pod of free");
    let running = start(world, &[&held.a.name, "--on-failure=uncordon"])?;
    until_leaving(world, &free).await?;
    running.interrupt()?;
    let output = end(world, running).await?;
    assert_eq!(output.code, Some(130), "{output}");
    assert_eq!(stands(world, &held.a).await?, (false, None), "although a pod has left: {output}");
    assert!(output.stdout.ends_with(&format!("node/{} uncordoned\n", held.a.name)), "{output}");
    Ok(())
}

#[tokio::test]
async fn after_some_have_left_it_stays_cordoned_and_the_report_names_the_rest() -> Result<()> {
    let held = Held::create("after").await?;
    let world = &held.world;
    world.deployment("free").pinned_to(&held.a).create().await?;
    let pods = world.until_pods("a pod of free", |pods| ready_of(pods, "free").count() == 1).await?;
    let free = ready_of(&pods, "free").next().cloned().expect("a pod of free");
    let running = start(world, &[&held.a.name])?;
    until_leaving(world, &free).await?;
    running.interrupt()?;
    let output = end(world, running).await?;
    assert_eq!(output.code, Some(130), "{output}");
    assert_eq!(removed(world).await?, [free.name_any()]);
    let (cordoned, record) = stands(world, &held.a).await?;
    assert!(cordoned && record.is_some_and(|record| record["finished"].is_string()), "{output}");
    let error = format!("error: unable to drain node {:?}: interrupted\n", held.a.name);
    assert!(output.stderr.contains(&error), "{output}");
    let left = format!("{}/{}", world.namespace, held.pod.name_any());
    let names = |line: &str| line.contains("left on node") && line.contains("(interrupted") && line.ends_with(&left);
    assert!(output.stderr.lines().any(names), "{left}\n{output}");
    assert!(output.stderr.contains(&format!("hint: kubectl safe-drain uncordon {}\n", held.a.name)), "{output}");

    // The second one finishes it. The cordon is not its own, of which only the tool is known then; the drain is.
    held.release().await?;
    let user = world.user("second", &lab::drainer_rules()).await?;
    let output = safe_drain_as(&user, &[&held.a.name]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    let status = safe_drain(world, &["status", &held.a.name]).await?;
    let row = status.stdout.lines().nth(1).unwrap_or_default();
    let drain = format!("by second-{}: ended ", world.namespace);
    assert!(row.contains("  kubectl-safe-drain  ") && row.contains(&drain), "{status}");
    Ok(())
}

#[tokio::test]
async fn a_node_that_was_cordoned_before_stays_so() -> Result<()> {
    let held = Held::create("cordoned").await?;
    let world = &held.world;
    world.cordon(&held.a, true).await?;
    let running = start(world, &[&held.a.name])?;
    until_cordoned(world, &held.a).await?;
    running.interrupt()?;
    let output = end(world, running).await?;
    assert_eq!(output.code, Some(130), "{output}");
    assert_eq!(output.stdout, format!("node/{} already cordoned\n", held.a.name), "{output}");
    assert_eq!(stands(world, &held.a).await?, (true, None), "as it was before");
    let changes = changes(world).await?;
    assert!(changes.iter().all(|change| change.starts_with("patch nodes")), "{changes:?}");
    Ok(())
}

/// The first one hangs here: a policy refuses to take the cordon back.
#[tokio::test]
async fn twice_is_out_at_once() -> Result<()> {
    let held = Held::create("twice").await?;
    let world = &held.world;
    let uncordons = json!({
        "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"],
            "resources": ["nodes"], "resourceNames": [held.a.name]}]},
        "matchConditions": [{"name": "uncordon", "expression":
            "has(oldObject.spec.unschedulable) && oldObject.spec.unschedulable && !(has(object.spec.unschedulable) && object.spec.unschedulable)"}],
    });
    deny(world, uncordons, json!({}), "it stays cordoned").await?;
    let running = start(world, &[&held.a.name])?;
    until_cordoned(world, &held.a).await?;
    until_denied(world, &held.a, &json!({"spec": {"unschedulable": null}})).await?;
    running.interrupt()?;
    sleep(Duration::from_millis(1500)).await;
    let again = Instant::now();
    running.interrupt()?;
    let output = end(world, running).await?;
    assert!(again.elapsed() < AT_ONCE, "{output}");
    assert_eq!(output.code, Some(130), "{output}");
    assert!(
        output.stderr.ends_with("interrupted again: out at once; what was asked for goes on without us\n"),
        "{output}"
    );
    assert_eq!(removed(world).await?, Vec::<String>::new());
    Ok(())
}

/// Waits until the API server refuses such a change of a node; it takes a policy up within a second or so.
pub(super) async fn until_denied(world: &World, node: &Node, patch: &Value) -> Result<()> {
    let api: Api<NodeObject> = Api::all(world.client().clone());
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    let deadline = Instant::now() + Duration::from_secs(30);
    while api.patch(&node.name, &dry, &Patch::Merge(patch)).await.is_ok() {
        assert!(Instant::now() < deadline, "the policy never took effect");
        sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}
