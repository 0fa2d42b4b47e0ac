//! A version that is to blame: found, undone, verified. What the cluster says afterwards is the oracle.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::{apps::v1::ReplicaSet, core::v1::Pod};
use kube::{ResourceExt, api::ListParams};
use lab::World;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    after::{self, changes, pods_of, versions_of},
    recorder::Recorder,
    runner::{guard, guard_json, kubectl, program},
};

/// From the change of the image to the proof that the old one serves again, the window of 5 s included.
const BACK_WITHIN: Duration = Duration::from_secs(15);

/// The versions that have proven bad, on the Deployment.
const BAD_VERSIONS: &str = "kubectl-rollout-guard/bad-versions";

#[tokio::test]
async fn an_image_that_does_not_exist() -> Result<()> {
    let world = lab::shared()?.world("not-found").await?;
    world.node("a").create().await?;
    program()?;
    let begun = Instant::now();
    let web = world.deployment("web").replicas(4).max_surge(1).max_unavailable(1).readiness_probe();
    web.image("nginx:1.16.1").change_cause("the first").create().await?;
    world.ready("deployment/web").await?;
    // A first rollout takes two seconds or so: what is more, the machine takes from us, in the next one too.
    let limit = BACK_WITHIN + 2 * begun.elapsed().saturating_sub(Duration::from_secs(2));
    let recorder = Recorder::start(&world).await?;

    let changed = Instant::now();
    world.set_image("deployment/web", "nginx:1.17.23").await?;
    world.annotate("deployment/web", "kubernetes.io/change-cause", Some("a newer nginx")).await?;
    let (output, events, result) = guard_json(&world, &["deployment/web", "--stable-for", "5s"]).await?;
    let took = changed.elapsed();
    assert_eq!(output.code, Some(7), "{output}");
    assert!(took <= limit, "{took:?}, more than {limit:?}: {output}");
    assert!(recorder.lowest() >= 3, "only {} pods were Ready: {output}", recorder.lowest());

    let end = &result["rollouts"][0];
    assert_eq!(end["outcome"], "Undone", "{result:#}");
    let (path, before, after) = ("spec.containers[main].image", "nginx:1.16.1", "nginx:1.17.23");
    let cause = json!({
        "code": "ImageNotFound", "class": "Fatal", "message": "image \"nginx:1.17.23\" not found", "changed": true,
        "paths": [{"path": path, "before": before, "after": after}],
    });
    assert_eq!(end["cause"], cause);
    let undo = &end["undo"];
    assert_eq!((&undo["from"], &undo["to"], &undo["verified"]), (&json!(2), &json!(1), &json!(true)));
    let reason =
        "deployment/web: image \"nginx:1.17.23\" not found; undone: back on revision 1, now revision 3, verified";
    assert_eq!(result["reason"], reason);
    let undo_began = events.iter().find(|event| event["type"] == "UndoBegan").context("no UndoBegan")?;
    assert_eq!(undo_began["message"], "revision 1: 3 of 3 pods available now", "{output}");

    let old = (before.to_owned(), true);
    assert_eq!(pods_of(&world, "web").await?, [old.clone(), old.clone(), old.clone(), old], "none of the bad is left");
    let because = "rollout-guard: undo to revision 1 (ImageNotFound: image \"nginx:1.17.23\" not found)";
    assert_eq!(history(&world).await?, [(2, after, "a newer nginx"), (3, before, because)].map(owned));
    assert_eq!(bad_versions(&world).await?, json!([version_of(&world, 2).await?]));
    assert_eq!(changes(&world).await?, [format!("patch deployments {}/web", world.namespace)]);
    nothing_is_left_to_go_back_to(&world).await
}

/// The only other version has proven bad, and the number of the good one is its old one.
async fn nothing_is_left_to_go_back_to(world: &World) -> Result<()> {
    let before = (history(world).await?, changes(world).await?);
    let shown = kubectl(world, &["rollout", "undo", "deployment/web", "--dry-run=client"]).await?;
    assert!(shown.stdout.contains("nginx:1.17.23"), "kubectl goes back to the bad one: {shown}");
    let output = guard(world, &["undo", "deployment/web"]).await?;
    assert_eq!((output.code, output.stdout.as_str()), (Some(3), ""), "{output}");
    let refusal = "error: deployment/web: every earlier revision with another template has proven bad\n";
    assert!(output.stderr.starts_with(refusal), "{output}");
    let output = guard(world, &["undo", "deployment/web", "--to-revision=1"]).await?;
    assert_eq!((output.code, output.stdout.as_str()), (Some(3), ""), "{output}");
    let refusal = "error: deployment/web: unable to find specified revision 1 in history\n";
    assert!(output.stderr.starts_with(refusal), "{output}");
    assert_eq!((history(world).await?, changes(world).await?), before, "nothing was written");
    Ok(())
}

#[tokio::test]
async fn an_undo_after_an_undo_passes_the_bad_version_over() -> Result<()> {
    let world = three_versions("undo-again").await?;
    let (output, _, result) = guard_json(&world, &["deployment/web", "--stable-for", "1s"]).await?;
    assert_eq!(output.code, Some(7), "{output}");
    let undo = &result["rollouts"][0]["undo"];
    assert_eq!((&undo["from"], &undo["to"]), (&json!(3), &json!(2)), "back to the last good one: {output}");
    let bad = (3, "nginx:1.17.23");
    assert_eq!(images(&world).await?, [(1, "nginx:1.16.1"), bad, (4, "nginx:1.16.2")].map(image));

    let shown = kubectl(&world, &["rollout", "undo", "deployment/web", "--dry-run=client"]).await?;
    assert!(shown.stdout.contains("nginx:1.17.23"), "kubectl goes back to the bad one: {shown}");
    let output = guard(&world, &["undo", "deployment/web", "--stable-for", "1s"]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    let last = "UNDONE: rolled back to revision 1, now revision 5, verified\n";
    assert!(output.stdout.ends_with(last), "{output}");
    assert_eq!(images(&world).await?, [bad, (4, "nginx:1.16.2"), (5, "nginx:1.16.1")].map(image));
    let now = ("nginx:1.16.1".to_owned(), true);
    assert_eq!(pods_of(&world, "web").await?, [now.clone(), now]);
    assert_eq!(bad_versions(&world).await?, json!([version_of(&world, 3).await?]), "a good version was undone");
    Ok(())
}

#[tokio::test]
async fn an_undo_that_somebody_asks_for_remembers_what_was_bad() -> Result<()> {
    let world = three_versions("undo-asked").await?;
    while guard(&world, &["status", "deployment/web"]).await?.code != Some(9) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for (to, number) in [(2, 4), (1, 5)] {
        let output = guard(&world, &["undo", "deployment/web", "--stable-for", "1s"]).await?;
        assert_eq!(output.code, Some(0), "{output}");
        let last = format!("UNDONE: rolled back to revision {to}, now revision {number}, verified\n");
        assert!(output.stdout.ends_with(&last), "never to the bad one: {output}");
        let why = r#"rollout-guard: undo to revision 2 (ImageNotFound: image "nginx:1.17.23" not found)"#;
        let four = history(&world).await?.into_iter().find(|(number, ..)| *number == 4).context("no revision 4")?;
        assert_eq!(four.2, why);
    }
    assert_eq!(bad_versions(&world).await?, json!([version_of(&world, 3).await?]), "a good version was undone");
    Ok(())
}

#[tokio::test]
async fn a_revision_that_is_asked_for_while_it_is_there_and_after() -> Result<()> {
    let world = three_versions("to-revision").await?;
    let output = guard(&world, &["undo", "deployment/web", "--to-revision=1", "--stable-for", "1s"]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    let diff = ["-  - image: nginx:1.17.23", "+  - image: nginx:1.16.1"];
    let has = |line: &&str| output.stdout.lines().any(|told| told.split_whitespace().eq(line.split_whitespace()));
    assert!(diff.iter().all(has), "the diff comes first: {output}");
    assert_eq!(images(&world).await?, [(2, "nginx:1.16.2"), (3, "nginx:1.17.23"), (4, "nginx:1.16.1")].map(image));
    assert_eq!(versions_of(&world, "web").await?, vec![version_of(&world, 4).await?; 2], "no pod of another version");
    let history = history(&world).await?;
    assert!(history[2].2.starts_with("rollout-guard: undo to revision 1"), "{history:?}");

    let changed = changes(&world).await?;
    let output = guard(&world, &["undo", "deployment/web", "--to-revision=4"]).await?;
    let skipped = "deployment.apps/web skipped rollback (current template already matches revision 4)\n";
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), skipped), "{output}");
    let output = guard(&world, &["undo", "deployment/web", "--to-revision=1"]).await?;
    assert_eq!(output.code, Some(3), "{output}");
    assert!(output.stderr.contains("unable to find specified revision 1 in history"), "{output}");
    assert_eq!(changes(&world).await?, changed);
    Ok(())
}

/// Two good versions, both rolled out, and a bad one that was just asked for.
async fn three_versions(name: &str) -> Result<World> {
    program()?;
    let world = lab::shared()?.world(name).await?;
    world.node("a").create().await?;
    world.deployment("web").replicas(2).readiness_probe().image("nginx:1.16.1").create().await?;
    world.ready("deployment/web").await?;
    world.set_image("deployment/web", "nginx:1.16.2").await?;
    world.ready("deployment/web").await?;
    world.set_image("deployment/web", "nginx:1.17.23").await?;
    let is_bad = |pod: &Pod| after::image(pod) == "nginx:1.17.23";
    world.until_pods("a pod of the bad version", |pods| pods.iter().any(is_bad)).await?;
    Ok(world)
}

/// Number, image and change-cause of what `web` keeps.
async fn history(world: &World) -> Result<Vec<(i64, String, String)>> {
    let revisions = world.revisions("deployment/web").await?;
    let shown = revisions.into_iter().map(|revision| {
        let cause = revision.change_cause.unwrap_or_default();
        (revision.number, revision.image, cause)
    });
    Ok(shown.collect())
}

async fn images(world: &World) -> Result<Vec<(i64, String)>> {
    Ok(history(world).await?.into_iter().map(|(number, image, _)| (number, image)).collect())
}

fn owned((number, image, cause): (i64, &str, &str)) -> (i64, String, String) {
    (number, image.to_owned(), cause.to_owned())
}

fn image((number, image): (i64, &str)) -> (i64, String) {
    (number, image.to_owned())
}

async fn bad_versions(world: &World) -> Result<Value> {
    let web = world.workload("deployment/web").await?;
    let text = web["metadata"]["annotations"][BAD_VERSIONS].as_str().context("no bad versions")?;
    Ok(serde_json::from_str(text)?)
}

/// The version key of a revision: the hash of its template.
async fn version_of(world: &World, number: i64) -> Result<String> {
    let sets = world.api::<ReplicaSet>().list(&ListParams::default()).await?.items;
    let is_it = |set: &&ReplicaSet| {
        set.annotations().get("deployment.kubernetes.io/revision").is_some_and(|text| *text == number.to_string())
    };
    let set = sets.iter().find(is_it).with_context(|| format!("no revision {number}"))?;
    set.labels().get("pod-template-hash").cloned().context("no hash")
}
