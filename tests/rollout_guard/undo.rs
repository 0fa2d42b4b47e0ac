//! `undo`: shows the diff, changes what is meant and nothing else, verifies; kubectl's refusals.

use anyhow::{Context, Result};
use lab::{World, audit::Request};
use serde_json::{Value, json};

use crate::runner::{changes, guard, guard_json, image};

const ONE: &str = "registry.test/app:1";
const TWO: &str = "registry.test/app:2";

/// A workload with two good versions, the second of which runs.
async fn two(name: &str) -> Result<World> {
    let world = lab::shared()?.world(name).await?;
    world.node("a").create().await?;
    world.deployment("web").replicas(2).image(ONE).change_cause("one").create().await?;
    world.ready("deployment/web").await?;
    world.annotate("deployment/web", "kubernetes.io/change-cause", Some("two")).await?;
    world.set_image("deployment/web", TWO).await?;
    world.ready("deployment/web").await?;
    Ok(world)
}

/// The undos that this program sent, dry or not.
async fn patches(world: &World) -> Result<Vec<Request>> {
    let requests = world.requests().await?;
    let is_ours =
        |request: &Request| request.user_agent.starts_with("kubectl-rollout-guard/") && request.verb == "patch";
    Ok(requests.into_iter().filter(is_ours).collect())
}

/// What was sent for a path.
fn given<'a>(sent: &'a Request, path: &str) -> Option<&'a Value> {
    let operations = sent.request_object.as_ref()?.as_array()?;
    Some(&operations.iter().find(|operation| operation["path"] == path && operation["op"] != "test")?["value"])
}

#[tokio::test]
async fn an_undo_shows_the_diff_and_verifies() -> Result<()> {
    let world = two("undo").await?;
    world.annotate("deployment/web", "example.com/owner", Some("shop <a@b>")).await?;
    let sets = world.api::<k8s_openapi::api::apps::v1::ReplicaSet>().list(&kube::api::ListParams::default()).await?;
    let first = sets
        .items
        .iter()
        .map(|set| json!(set))
        .find(|set| set["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1");
    let mut template = first.context("no revision 1")?["spec"]["template"].clone();
    template["metadata"]["labels"].as_object_mut().unwrap().remove("pod-template-hash");

    let output = guard(&world, &["undo", "deployment/web", "--stable-for", "1s"]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    let minus = format!("-    image: {TWO}\n");
    let plus = format!("+    image: {ONE}\n");
    let (minus, plus) = (minus.trim_start_matches('-').trim(), plus.trim_start_matches('+').trim());
    let line = |sign: char, text: &str| {
        output
            .stdout
            .lines()
            .position(|line| line.starts_with(sign) && line.trim_start_matches(sign).trim().ends_with(text))
    };
    let (removed, added) = (line('-', minus), line('+', plus));
    let ended = output.stdout.lines().position(|line| line.contains("UNDONE"));
    assert!(removed.is_some() && removed < added && added < ended, "{output}");
    assert!(output.stdout.contains("rolled back to revision 1, now revision 3, verified"), "{output}");

    let patches = patches(&world).await?;
    assert_eq!(patches.len(), 1);
    let sent_template = given(&patches[0], "/spec/template").context("no template")?;
    assert_eq!(sent_template, &template, "exactly the revision's");
    let now = world.workload("deployment/web").await?;
    let annotations = &now["metadata"]["annotations"];
    assert_eq!(annotations["example.com/owner"], "shop <a@b>");
    assert_eq!(annotations["kubernetes.io/change-cause"], "rollout-guard: undo to revision 1");
    assert_eq!(annotations["kubectl-rollout-guard/bad-versions"], Value::Null, "nothing has proven bad");
    let revisions = world.revisions("deployment/web").await?;
    let numbers: Vec<_> = revisions.iter().map(|revision| (revision.number, revision.image.as_str())).collect();
    assert_eq!(numbers, [(2, TWO), (3, ONE)]);
    Ok(())
}

#[tokio::test]
async fn an_undo_to_a_revision_that_is_named() -> Result<()> {
    let world = two("undo-to").await?;
    world.set_image("deployment/web", "registry.test/app:3").await?;
    world.ready("deployment/web").await?;
    let args = ["undo", "deployment", "web", "--to-revision=1", "--change-cause", "CHG-1: back", "--no-wait"];
    let output = guard(&world, &args).await?;
    assert_eq!(output.code, Some(0), "{output}");
    assert!(output.stdout.ends_with("deployment.apps/web rolled back\n"), "{output}");
    assert!(output.stdout.contains("image: registry.test/app:1\n"), "{output}");
    assert_eq!(image(&world, "deployment/web").await?, ONE);
    world.ready("deployment/web").await?;
    let revisions = world.revisions("deployment/web").await?;
    let last = revisions.last().context("no revision")?;
    assert_eq!((last.number, last.image.as_str(), last.change_cause.as_deref()), (4, ONE, Some("CHG-1: back")));

    // 1 has become 4.
    let output = guard(&world, &["undo", "deployment/web", "--to-revision=1"]).await?;
    assert_eq!((output.code, output.stdout.as_str()), (Some(3), ""), "{output}");
    assert!(
        output.stderr.starts_with("error: deployment/web: unable to find specified revision 1 in history\n"),
        "{output}"
    );
    let output = guard(&world, &["undo", "deployment/web", "--to-revision=4"]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    let skipped = "deployment.apps/web skipped rollback (current template already matches revision 4)\n";
    assert_eq!(output.stdout, skipped, "{output}");
    // A document is nothing but a document.
    let (output, events, result) = guard_json(&world, &["undo", "deployment/web", "--to-revision=4"]).await?;
    assert_eq!((events.len(), &result["rollouts"]), (0, &json!([])), "{output}");
    assert_eq!(output.stderr, skipped, "{output}");
    let output = guard(&world, &["undo", "deployment/web", "--to-revision=-1"]).await?;
    assert_eq!(output.code, Some(1), "{output}");
    assert!(output.stderr.starts_with("error: revision must be a positive integer: -1\n"), "{output}");
    assert_eq!(changes(&world).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn dry_runs_change_nothing() -> Result<()> {
    let world = two("undo-dry").await?;
    for flag in ["--dry-run=client", "--dry-run"] {
        let output = guard(&world, &["undo", "deployment/web", flag]).await?;
        assert_eq!(output.code, Some(0), "{output}");
        assert!(output.stdout.starts_with("deployment/web: undo to revision 1: "), "{output}");
        assert!(output.stdout.ends_with("deployment.apps/web rolled back (dry run)\n"), "{output}");
        assert!(output.stdout.contains(&format!("image: {ONE}\n")), "{output}");
    }
    let requests = world.requests().await?;
    let ours = || requests.iter().filter(|request| request.user_agent.starts_with("kubectl-rollout-guard/"));
    assert!(ours().count() > 0);
    let reads = ["get", "list", "watch"];
    assert!(ours().all(|request| reads.contains(&request.verb.as_str())), "no write at all, dry or not");

    let output = guard(&world, &["undo", "deployment/web", "--dry-run=server"]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    assert!(output.stdout.ends_with("deployment.apps/web rolled back (server dry run)\n"), "{output}");
    let args = ["undo", "deployment/web", "--dry-run=client", "--to-revision=1", "-o", "json"];
    let output = guard(&world, &args).await?;
    let status: Value = serde_json::from_str(&output.stdout).context(output.to_string())?;
    let target = &status["undoTarget"];
    assert_eq!((&target["revision"], &target["why"]), (&json!(1), &json!("revision 1: asked for")), "{status:#}");
    let patches = patches(&world).await?;
    assert_eq!(patches.len(), 1);
    assert!(patches[0].uri.contains("dryRun=All"), "{}", patches[0].uri);
    assert_eq!(patches[0].code, 200);
    assert_eq!(changes(&world).await?, Vec::<String>::new());
    assert_eq!(image(&world, "deployment/web").await?, TWO);
    assert_eq!(world.revisions("deployment/web").await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_paused_deployment_is_not_undone() -> Result<()> {
    let world = two("undo-paused").await?;
    world.deployment("other").image(ONE).create().await?;
    world.ready("deployment/other").await?;
    world.set_image("deployment/other", TWO).await?;
    world.ready("deployment/other").await?;
    world.patch("deployment/web", &json!({"spec": {"paused": true}})).await?;
    let output = guard(&world, &["undo", "deployment/web"]).await?;
    assert_eq!((output.code, output.stdout.as_str()), (Some(3), ""), "{output}");
    let resume = format!("hint: kubectl -n {} rollout resume deployment/web\n", world.namespace);
    let refused =
        "error: you cannot rollback a paused deployment; resume it first with 'kubectl rollout resume' and try again\n";
    assert_eq!(output.stderr, format!("{refused}{resume}"), "{output}");
    assert_eq!(changes(&world).await?, Vec::<String>::new());
    // The others are undone all the same.
    let output = guard(&world, &["undo", "deployment/web", "deployment/other", "--no-wait"]).await?;
    assert_eq!(output.code, Some(3), "{output}");
    assert_eq!(image(&world, "deployment/other").await?, ONE);
    assert_eq!(image(&world, "deployment/web").await?, TWO);
    Ok(())
}

#[tokio::test]
async fn an_undo_to_a_bad_version_is_not_verified() -> Result<()> {
    let world = lab::shared()?.world("undo-bad").await?;
    world.node("a").create().await?;
    world.deployment("web").replicas(2).image(ONE).create().await?;
    world.ready("deployment/web").await?;
    world.set_image("deployment/web", "registry.test/app:sim-imagepull").await?;
    world.until_pods("a pod of the bad version", |pods| pods.len() == 3).await?;
    world.set_image("deployment/web", TWO).await?;
    world.ready("deployment/web").await?;
    let (output, _, result) = guard_json(&world, &["undo", "deployment/web", "--to-revision=2"]).await?;
    assert_eq!(output.code, Some(8), "{output}");
    assert_eq!(result["rollouts"][0]["outcome"], "UndoFailed", "{result:#}");
    let reason = result["reason"].as_str().unwrap();
    assert!(reason.contains("undone to revision 2, which does not become good either: image"), "{reason}");
    assert_eq!(changes(&world).await?.len(), 1, "one attempt");
    Ok(())
}

#[tokio::test]
async fn stateful_sets_and_daemon_sets() -> Result<()> {
    let world = lab::shared()?.world("undo-sets").await?;
    world.node("a").create().await?;
    world.stateful_set("db").replicas(2).image(ONE).create().await?;
    world.daemon_set("agent").image(ONE).create().await?;
    for object in ["statefulset/db", "daemonset/agent"] {
        world.ready(object).await?;
        world.annotate(object, "example.com/owner", Some("shop")).await?;
        world.set_image(object, TWO).await?;
    }
    for object in ["statefulset/db", "daemonset/agent"] {
        world.ready(object).await?;
    }
    let output = guard(&world, &["undo", "sts/db", "ds/agent", "--stable-for", "1s"]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    for object in ["statefulset/db", "daemonset/agent"] {
        assert_eq!(image(&world, object).await?, ONE, "{object}");
        let now = world.workload(object).await?;
        assert_eq!(now["metadata"]["annotations"]["example.com/owner"], "shop", "{object}");
        let revisions = world.revisions(object).await?;
        let numbers: Vec<_> = revisions.iter().map(|revision| (revision.number, revision.image.as_str())).collect();
        assert_eq!(numbers, [(2, TWO), (3, ONE)], "{object}");
    }
    Ok(())
}

#[tokio::test]
async fn an_undo_that_is_not_verified_in_time() -> Result<()> {
    let world = lab::shared()?.world("undo-late").await?;
    world.node("a").create().await?;
    world.deployment("web").replicas(2).image(ONE).create().await?;
    world.ready("deployment/web").await?;
    world.set_image("deployment/web", "registry.test/app:sim-unready").await?;
    world.until_pods("a pod of the bad version", |pods| pods.len() == 3).await?;
    world.set_image("deployment/web", TWO).await?;
    world.ready("deployment/web").await?;
    let (output, _, result) =
        guard_json(&world, &["undo", "deployment/web", "--to-revision=2", "--timeout", "5s"]).await?;
    assert_eq!(output.code, Some(8), "{output}");
    let end = &result["rollouts"][0];
    assert_eq!((&end["outcome"], &end["undo"]["verified"]), (&json!("UndoFailed"), &json!(false)), "{result:#}");
    let reason = result["reason"].as_str().unwrap_or_default();
    let expected =
        "deployment/web: the time is over: revision 2 was brought back, and is not verified: 1 of 2 pods updated";
    assert!(reason.starts_with(expected), "{reason}");
    assert_eq!(changes(&world).await?.len(), 1, "it stays as it is");
    Ok(())
}
