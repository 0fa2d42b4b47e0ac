//! `DaemonSet`s: a node that does not answer is nobody's fault.

use anyhow::Result;
use k8s_openapi::api::core::v1::{Node as NodeObject, Pod};
use kube::Api;
use lab::{Node, World, wait};
use serde_json::json;

use crate::{audit::changes, runner::guard_json};

const GOOD: &str = "registry.test/app:1";
const NEW: &str = "registry.test/app:2";

fn image(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.containers[0].image.as_deref()).unwrap_or_default()
}

/// The images of the pods on nodes that answer.
async fn images_on(world: &World, nodes: &[&Node]) -> Result<Vec<String>> {
    let mut images = Vec::new();
    for node in nodes {
        for name in world.pods_on(node).await? {
            images.push(image(&world.api::<Pod>().get(&name).await?).to_owned());
        }
    }
    Ok(images)
}

/// Cuts a node's power, and waits until the cluster knows.
async fn lose(world: &World, node: &Node) -> Result<()> {
    world.power(node, false).await?;
    let nodes: Api<NodeObject> = Api::all(world.client().clone());
    let is_lost = |node: Option<&NodeObject>| {
        let conditions = node.and_then(|node| node.status.as_ref()?.conditions.clone());
        let mut ready = conditions.into_iter().flatten().filter(|condition| condition.type_ == "Ready");
        ready.any(|condition| condition.status == "Unknown")
    };
    wait::until(nodes, &node.name, "a node that does not answer", wait::LIMIT, is_lost).await?;
    Ok(())
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_left_out() -> Result<()> {
    let world = lab::shared()?.world("agent-lost").await?;
    let [a, b, c] = world.nodes(["a", "b", "c"]).await?;
    world.daemon_set("agent").max_unavailable(2).create().await?;
    world.ready("daemonset/agent").await?;
    lose(&world, &c).await?;
    world.set_image("daemonset/agent", NEW).await?;
    let (output, events, result) = guard_json(&world, &["daemonset/agent", "--stable-for", "3s"]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(result["rollouts"][0]["outcome"], "Complete", "{result:#}");
    let end = events.iter().find(|event| event["type"] == "RolloutEnded");
    let message = format!("successfully rolled out revision 2, except node {}", c.name);
    assert_eq!(end.map(|end| &end["message"]), Some(&json!(message)));
    assert_eq!(images_on(&world, &[&a, &b]).await?, [NEW, NEW]);
    assert_eq!(changes(&world).await?, Vec::<String>::new());
    Ok(())
}

/// A pod on a lost node counts as one that is unavailable: no other is replaced.
#[tokio::test]
async fn a_node_that_holds_up_all_others_is_no_fault_of_the_version() -> Result<()> {
    let world = lab::shared()?.world("agent-held").await?;
    let [a, b, c] = world.nodes(["a", "b", "c"]).await?;
    world.daemon_set("agent").max_unavailable(1).grace_seconds(1).create().await?;
    world.ready("daemonset/agent").await?;
    lose(&world, &c).await?;
    world.set_image("daemonset/agent", NEW).await?;
    let args = ["daemonset/agent", "--stable-for", "3s", "--stall-timeout", "5s"];
    let (output, _, result) = guard_json(&world, &args).await?;
    assert_eq!(output.code, Some(9), "{output}");
    let end = &result["rollouts"][0];
    assert_eq!((&end["outcome"], &end["cause"]["class"]), (&json!("NotUndone"), &json!("Environment")), "{result:#}");
    assert_eq!(images_on(&world, &[&a, &b]).await?, [GOOD, GOOD]);
    assert_eq!(changes(&world).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn a_daemon_set_is_undone() -> Result<()> {
    let world = lab::shared()?.world("agent-bad").await?;
    let [a, b, c] = world.nodes(["a", "b", "c"]).await?;
    world.daemon_set("agent").create().await?;
    world.ready("daemonset/agent").await?;
    world.set_image("daemonset/agent", "registry.test/app:sim-imagepull").await?;
    let (output, _, result) = guard_json(&world, &["daemonset/agent", "--stable-for", "3s"]).await?;
    assert_eq!(output.code, Some(7), "{output}");
    let end = &result["rollouts"][0];
    assert_eq!((&end["outcome"], &end["cause"]["code"]), (&json!("Undone"), &json!("ImageNotFound")), "{result:#}");
    assert_eq!((&end["undo"]["to"], &end["undo"]["verified"]), (&json!(1), &json!(true)));
    assert_eq!(images_on(&world, &[&a, &b, &c]).await?, [GOOD; 3]);
    let revisions = world.revisions("daemonset/agent").await?;
    let numbers: Vec<_> = revisions.iter().map(|revision| (revision.number, revision.image.as_str())).collect();
    assert_eq!(numbers, [(2, "registry.test/app:sim-imagepull"), (3, GOOD)]);
    assert_eq!(changes(&world).await?, [format!("patch daemonsets {}/agent", world.namespace)]);
    Ok(())
}
