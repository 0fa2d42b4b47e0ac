//! Others who write the same workload: somebody else's rollout, a controller that reverts an undo, tools that own it.

use anyhow::Result;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use lab::World;
use serde_json::{Value, json};

use crate::runner::{changes, end_json, guard, guard_json, image, start_json, until_watching};

const BAD: &str = "registry.test/app:sim-imagepull";

/// Three good pods of `deployment/web`.
async fn web(name: &str) -> Result<World> {
    let world = lab::shared()?.world(name).await?;
    world.node("a").create().await?;
    world.deployment("web").replicas(3).image("registry.test/app:1").create().await?;
    world.ready("deployment/web").await?;
    Ok(world)
}

#[tokio::test]
async fn somebody_elses_rollout_meanwhile_ends_the_watch() -> Result<()> {
    let world = web("rival").await?;
    // Never ready, and no proof before the progress deadline.
    world.set_image("deployment/web", "registry.test/app:sim-unready").await?;
    let running = start_json(&world, &["deployment/web"])?;
    until_watching(&world).await?;
    set_image_as(&world, "registry.test/app:2", "colleague").await?;
    let (output, _, result) = end_json(running).await?;
    assert_eq!(output.code, Some(10), "{output}");
    assert_eq!(result["rollouts"][0]["outcome"], "Superseded", "{result:#}");
    assert_eq!(result["rollouts"][0]["undo"], Value::Null);
    let reason = "deployment/web: somebody else has rolled out another version by colleague";
    assert_eq!(result["reason"], reason, "{result:#}");
    assert_eq!(changes(&world).await?, Vec::<String>::new());
    world.ready("deployment/web").await?;
    assert_eq!(image(&world, "deployment/web").await?, "registry.test/app:2");
    Ok(())
}

#[tokio::test]
async fn a_server_side_apply_that_reverts_the_undo_is_named() -> Result<()> {
    let apply = async |world: &World| {
        let containers = json!([{"name": "main", "image": BAD}]);
        let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {"template": {"spec": {"containers": containers}}}});
        let manager = PatchParams::apply("argocd-controller").force();
        world.api::<Deployment>().patch("web", &manager, &Patch::Apply(object)).await?;
        anyhow::Ok(())
    };
    check_revert("apply", "argocd-controller", apply).await
}

#[tokio::test]
async fn a_patch_that_reverts_the_undo_is_named() -> Result<()> {
    check_revert("patch", "kustomize-controller", async |world: &World| {
        set_image_as(world, BAD, "kustomize-controller").await
    })
    .await
}

async fn check_revert(name: &str, manager: &str, revert: impl AsyncFn(&World) -> Result<()>) -> Result<()> {
    let world = web(name).await?;
    world.set_image("deployment/web", BAD).await?;
    let running = start_json(&world, &["deployment/web", "--stable-for", "2m"])?;
    until_image(&world, "registry.test/app:1").await?;
    revert(&world).await?;
    let (output, _, result) = end_json(running).await?;
    assert_eq!(output.code, Some(8), "{output}");
    let end = &result["rollouts"][0];
    assert_eq!(
        (&end["outcome"], &end["undo"]["to"], &end["undo"]["verified"]),
        (&json!("UndoFailed"), &json!(1), &json!(false)),
        "{result:#}"
    );
    let reason = format!("deployment/web: the undo to revision 1 was reverted by {manager}");
    assert_eq!(result["reason"], reason, "{result:#}");
    let patched = format!("patch deployments {}/web", world.namespace);
    assert_eq!(changes(&world).await?, [patched], "one attempt, no flip-flop");
    assert_eq!(image(&world, "deployment/web").await?, BAD, "the other one has the last word");
    Ok(())
}

#[tokio::test]
async fn another_version_after_the_undo_is_somebody_elses() -> Result<()> {
    let world = web("third").await?;
    world.set_image("deployment/web", BAD).await?;
    let running = start_json(&world, &["deployment/web", "--stable-for", "2m"])?;
    until_image(&world, "registry.test/app:1").await?;
    set_image_as(&world, "registry.test/app:3", "colleague").await?;
    let (output, _, result) = end_json(running).await?;
    assert_eq!(output.code, Some(10), "{output}");
    let reason = "deployment/web: after the undo, somebody else has rolled out another version by colleague";
    assert_eq!(result["reason"], reason, "{result:#}");
    world.ready("deployment/web").await?;
    assert_eq!(image(&world, "deployment/web").await?, "registry.test/app:3");
    Ok(())
}

#[tokio::test]
async fn what_another_tool_owns_needs_force() -> Result<()> {
    let world = lab::shared()?.world("owned").await?;
    world.node("a").create().await?;
    let widget = world.widget("shop", 1).await?;
    let marks = [
        ("argo", json!({"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:x/argo"}}), "Argo CD"),
        ("flux", json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "shop"}}), "Flux"),
        ("operated", json!({}), "Widget shop"),
    ];
    for (name, metadata, _) in &marks {
        let deployment = world.deployment(name).image("registry.test/app:1").patch(json!({"metadata": metadata}));
        let deployment = if *name == "operated" { deployment.owned_by(&widget) } else { deployment };
        deployment.create().await?;
    }
    for (name, ..) in &marks {
        world.ready(&format!("deployment/{name}")).await?;
        world.set_image(&format!("deployment/{name}"), BAD).await?;
    }
    for (name, _, tool) in &marks {
        let object = format!("deployment/{name}");
        for args in [&[object.as_str()][..], &["undo", &object]] {
            let output = guard(&world, args).await?;
            assert_eq!((output.code, output.stdout.as_str()), (Some(3), ""), "{output}");
            let refused = format!("error: {object} is managed by {tool}, which would revert an undo\n");
            assert!(output.stderr.starts_with(&refused), "{output}");
            assert!(output.stderr.contains("hint: --force undoes all the same"), "{output}");
        }
    }
    assert_eq!(changes(&world).await?, Vec::<String>::new());
    // Watching alone needs no force.
    let (output, _, result) = guard_json(&world, &["deployment/argo", "--on-stall=report"]).await?;
    assert_eq!(output.code, Some(9), "{output}");
    assert_eq!(result["rollouts"][0]["cause"]["code"], "ImageNotFound", "{result:#}");
    assert_eq!(changes(&world).await?, Vec::<String>::new());

    let objects: Vec<String> = marks.iter().map(|(name, ..)| format!("deployment/{name}")).collect();
    let mut args: Vec<&str> = objects.iter().map(String::as_str).collect();
    args.extend(["--force", "--stable-for", "1s"]);
    let output = guard(&world, &args).await?;
    assert_eq!(output.code, Some(7), "{output}");
    for (name, _, tool) in &marks {
        assert!(output.stderr.contains(&format!("note: deployment/{name} is managed by {tool}: ")), "{output}");
        assert_eq!(image(&world, &format!("deployment/{name}")).await?, "registry.test/app:1");
    }
    assert_eq!(changes(&world).await?.len(), 3);
    Ok(())
}

#[tokio::test]
async fn helm_is_a_note_only() -> Result<()> {
    let world = lab::shared()?.world("helm").await?;
    world.node("a").create().await?;
    let marks = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "Helm"},
        "annotations": {"meta.helm.sh/release-name": "shop"}}});
    world.deployment("web").image("registry.test/app:1").patch(marks).create().await?;
    world.ready("deployment/web").await?;
    world.set_image("deployment/web", BAD).await?;
    let output = guard(&world, &["deployment/web", "--stable-for", "1s"]).await?;
    assert_eq!(output.code, Some(7), "{output}");
    let note = "note: deployment/web is managed by Helm: its history does not know of an undo: \
                helm rollback brings the whole release back\n";
    assert_eq!(output.stderr.matches(note).count(), 1, "{output}");
    assert_eq!(image(&world, "deployment/web").await?, "registry.test/app:1");
    Ok(())
}

/// Gives `deployment/web` another image, as a writer of this name.
async fn set_image_as(world: &World, image: &str, manager: &str) -> Result<()> {
    let containers = json!([{"name": "main", "image": image}]);
    let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
    let writer = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
    world.api::<Deployment>().patch("web", &writer, &Patch::Strategic(patch)).await?;
    Ok(())
}

/// Waits until `deployment/web` asks for an image.
pub(crate) async fn until_image(world: &World, image: &str) -> Result<()> {
    let asks = |deployment: Option<&Deployment>| {
        let deployment = json!(deployment);
        deployment.pointer("/spec/template/spec/containers/0/image").and_then(Value::as_str) == Some(image)
    };
    world.until("web", &format!("the image {image}"), lab::wait::LIMIT, asks).await?;
    Ok(())
}
