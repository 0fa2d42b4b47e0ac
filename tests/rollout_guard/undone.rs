//! Versions that are to blame: found, undone, verified. What the cluster says afterwards is the oracle.

use anyhow::Result;
use serde_json::json;

use crate::runner::guard_json;

#[tokio::test]
async fn an_image_that_does_not_exist() -> Result<()> {
    let world = lab::shared()?.world("not-found").await?;
    world.node("a").create().await?;
    world.deployment("web").replicas(3).image("nginx:1.16.1").create().await?;
    world.ready("deployment/web").await?;
    world.set_image("deployment/web", "nginx:1.17.23").await?;
    let (output, events, result) = guard_json(&world, &["deployment/web", "--stable-for", "3s"]).await?;
    assert_eq!(output.code, Some(7), "{output}");
    let end = &result["rollouts"][0];
    assert_eq!(end["outcome"], "Undone", "{result:#}");
    assert_eq!(end["cause"]["code"], "ImageNotFound");
    assert_eq!(end["cause"]["message"], "image \"nginx:1.17.23\" not found");
    let (before, after) = ("nginx:1.16.1", "nginx:1.17.23");
    let path = "spec.containers[main].image";
    assert_eq!(end["cause"]["paths"], json!([{"path": path, "before": before, "after": after}]));
    assert_eq!(
        (&end["undo"]["from"], &end["undo"]["to"], &end["undo"]["verified"]),
        (&json!(2), &json!(1), &json!(true))
    );
    assert!(events.iter().any(|event| event["type"] == "UndoBegan"));
    // kubectl's own renumbering: 1, 2 become 2, 3.
    let revisions = world.revisions("deployment/web").await?;
    let numbers: Vec<_> = revisions.iter().map(|revision| (revision.number, revision.image.as_str())).collect();
    assert_eq!(numbers, [(2, "nginx:1.17.23"), (3, "nginx:1.16.1")]);
    Ok(())
}
