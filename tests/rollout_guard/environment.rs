//! Failures that the old version has too: nobody is helped by an undo, and nothing is written.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use lab::World;
use serde_json::{Value, json};

use crate::{
    after::{change_template, changes, image, is_ready},
    runner::guard_json,
};

#[tokio::test]
async fn an_unchanged_image_that_cannot_be_pulled_on_a_new_node() -> Result<()> {
    let image = "registry.test/app:sim-imagepull";
    let world = with_the_image_on_its_node("unchanged", image).await?;
    change_template(&world, "deployment/web", |template| {
        template["spec"]["containers"][0]["env"] = json!([{"name": "COLOR", "value": "blue"}]);
    })
    .await?;
    let why = "nothing that it can come from changed since revision 1";
    check_kept(&world, image, image, "ImageNotFound", why).await
}

#[tokio::test]
async fn a_pull_that_fails_in_the_old_version_too() -> Result<()> {
    let (old, new) = ("registry.test/app:sim-imagepull.1", "registry.test/app:sim-imagepull.2");
    let world = with_the_image_on_its_node("both", old).await?;
    // A third pod of the old version comes to a node without the image.
    world.patch("deployment/web", &json!({"spec": {"replicas": 3}})).await?;
    let fails = |pod: &Pod| {
        json!(pod).pointer("/status/containerStatuses/0/state/waiting/reason") == Some(&json!("ErrImagePull"))
    };
    world.until_pods("a pod that cannot pull", |pods| pods.iter().any(fails)).await?;
    world.set_image("deployment/web", new).await?;
    check_kept(&world, old, new, "ImageNotFound", "the pods of revision 1 fail too").await
}

/// Two pods that serve, because their node has had the image for long; no other has, and nobody gets it any more.
async fn with_the_image_on_its_node(name: &str, image: &str) -> Result<World> {
    let world = lab::shared()?.world(name).await?;
    world.node("a").create().await?;
    let web = world.deployment("web").replicas(2).max_surge(1).max_unavailable(0);
    web.image(image).readiness_probe().create().await?;
    let pods = world.until_pods("2 pods", |pods| pods.len() == 2).await?;
    for pod in pods {
        world.annotate(&format!("pod/{}", pod.name_any()), "sim.test/scenario", Some("none")).await?;
    }
    world.ready("deployment/web").await?;
    Ok(world)
}

/// The guard says that it is the environment. The old pods serve on, and nothing was asked of the API server.
async fn check_kept(world: &World, old: &str, new: &str, code: &str, why: &str) -> Result<()> {
    let before = world.workload("deployment/web").await?;
    let (output, _, result) = guard_json(world, &["deployment/web", "--stall-timeout", "10s"]).await?;
    assert_eq!(output.code, Some(9), "{output}");
    let end = &result["rollouts"][0];
    let seen = (&end["outcome"], &end["undo"], &end["cause"]["code"]);
    assert_eq!(seen, (&json!("NotUndone"), &Value::Null, &json!(code)), "{output}");
    let message = end["cause"]["message"].as_str().context("no message")?;
    assert!(message.contains(new), "{message}");
    assert_eq!(result["reason"], format!("deployment/web: {message}; {why}: not undone"));
    assert_eq!(changes(world).await?, Vec::<String>::new(), "{output}");
    assert_eq!(world.workload("deployment/web").await?["spec"], before["spec"]);
    let serves = |pod: &&Pod| is_ready(pod) && image(pod) == old && pod.metadata.deletion_timestamp.is_none();
    world.until_pods("2 old pods that serve", |pods| pods.iter().filter(serves).count() == 2).await?;
    Ok(())
}
