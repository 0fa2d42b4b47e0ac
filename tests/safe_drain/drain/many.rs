//! More pods on one node than a page of a list holds.

use anyhow::Result;
use futures::{StreamExt, TryStreamExt, stream};

use super::{accepted, drain, pods_on};

/// A page has 500.
const PODS: usize = 520;

/// They never start, so that the server removes them at once, and nothing but paging takes long.
#[tokio::test(flavor = "multi_thread")]
async fn all_pages_of_a_node_are_drained() -> Result<()> {
    let world = lab::shared()?.world("pages").await?;
    let node = world.node("n").capacity("64", "256Gi", 600).create().await?;
    let (held, on) = (&world, &node);
    stream::iter(0..PODS)
        .map(|number| async move {
            let bound = serde_json::json!({"spec": {"nodeName": on.name}});
            held.pod(&format!("pod-{number:03}")).scenario("stuck-creating").patch(bound).create().await
        })
        .buffer_unordered(16)
        .try_collect::<Vec<_>>()
        .await?;
    assert_eq!(pods_on(&world, &node).await?.len(), PODS);

    let output = drain(&world, &[&node.name, "--force", "--grace-period=0", "--concurrency=32"]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    assert!(output.stdout.ends_with(&format!("node/{} drained\n", node.name)), "{output}");
    assert!(!output.stderr.contains("meanwhile"), "all were seen at once: {output}");
    // That each of them was asked to go once, by its UID, `drain` has seen to.
    assert_eq!(accepted(&world).await?.len(), PODS);
    assert_eq!(output.stdout.matches(" evicted (namespace ").count(), PODS);
    assert_eq!(pods_on(&world, &node).await?.len(), 0);
    let requests = world.requests().await?;
    assert!(requests.iter().any(|request| request.resource == "pods" && request.uri.contains("continue=")), "pages");
    Ok(())
}
