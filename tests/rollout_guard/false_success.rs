//! Versions that look good for a moment: kubectl says that they are rolled out, and then they fail.

use anyhow::Result;
use lab::{World, world::Workload};
use serde_json::json;

use crate::{
    after::{changes, pods_of},
    runner::{guard_json, kubectl, program},
};

const GOOD: &str = "registry.test/app:1";

#[tokio::test]
async fn a_version_that_exits_at_once() -> Result<()> {
    let world = serving("exits", |web| web.sim("crash-after", "2s")).await?;
    world.set_image("deployment/web", "registry.test/app:sim-crash").await?;
    let message = "container \"main\" exits with 1 (error), restarted ";
    check(&world, &["--stable-for", "10s"], "CrashLoop", message, "spec.containers[main].image").await
}

#[tokio::test]
async fn a_version_that_exits_after_twelve_seconds() -> Result<()> {
    let world = serving("exits-late", |web| web.sim("crash-after", "12s").sim("exit-code", "0")).await?;
    world.set_image("deployment/web", "registry.test/app:sim-crash").await?;
    let message = "container \"main\" ends by itself (exit 0), restarted ";
    // Without a readiness probe the window is half a minute.
    check(&world, &["--max-restarts", "2"], "Exits", message, "spec.containers[main].image").await
}

#[tokio::test]
async fn a_version_that_runs_out_of_memory() -> Result<()> {
    let world = serving("late-oom", |web| {
        let limits = json!({"requests": {"memory": "32Mi"}, "limits": {"memory": "64Mi"}});
        web.sim("crash-after", "2s").container("resources", limits)
    })
    .await?;
    world.set_image("deployment/web", "registry.test/app:sim-oom").await?;
    let message = "out of memory: needs more than its limit of 64Mi";
    check(&world, &["--stable-for", "10s"], "OutOfMemory", message, "spec.containers[main].image").await
}

#[tokio::test]
async fn a_version_whose_second_container_crashes() -> Result<()> {
    let world =
        serving("second", |web| web.second_container("proxy", "registry.test/proxy:1").sim("crash-after", "2s"))
            .await?;
    world.set_image_of("deployment/web", "proxy", "registry.test/proxy:sim-crash").await?;
    let message = "container \"proxy\" exits with 1 (error), restarted ";
    check(&world, &["--stable-for", "10s"], "CrashLoop", message, "spec.containers[proxy].image").await
}

/// A Deployment whose new pods come all at once, so that all are available at one moment.
async fn serving(name: &str, describe: impl FnOnce(Workload<'_>) -> Workload<'_>) -> Result<World> {
    let world = lab::shared()?.world(name).await?;
    world.node("a").create().await?;
    describe(world.deployment("web").replicas(2).max_surge(2).max_unavailable(0).image(GOOD)).create().await?;
    world.ready("deployment/web").await?;
    program()?;
    Ok(world)
}

/// kubectl is content, and the guard, which watches beside it, is not: it brings the first version back.
async fn check(world: &World, flags: &[&str], code: &str, message: &str, path: &str) -> Result<()> {
    let args = [&["deployment/web"], flags].concat();
    let status = kubectl(world, &["rollout", "status", "deployment/web", "--timeout=60s"]);
    let (status, guarded) = tokio::join!(status, guard_json(world, &args));
    let (status, (output, events, result)) = (status?, guarded?);
    assert_eq!(status.code, Some(0), "{status}{output}");
    assert!(status.stdout.ends_with("deployment \"web\" successfully rolled out\n"), "{status}");

    assert_eq!(output.code, Some(7), "{output}");
    let was_complete = events.iter().any(|event| {
        event["message"].as_str().is_some_and(|said| said.contains("pods updated and available; must stay good for "))
    });
    assert!(was_complete, "it was found in the stability window: {output}");
    // No kubelet of the lab hands logs out, which takes one clause to say.
    let note = events.iter().find_map(|event| event["message"].as_str().filter(|_| event["type"] == "Noted"));
    assert!(note.is_some_and(|said| said.starts_with("the log of container ") && said.len() < 100), "{note:?}");
    let end = &result["rollouts"][0];
    assert_eq!(end["outcome"], "Undone", "{output}");
    let cause = (&end["cause"]["code"], &end["cause"]["paths"][0]["path"]);
    assert_eq!(cause, (&json!(code), &json!(path)), "{output}");
    assert!(end["cause"]["message"].as_str().is_some_and(|said| said.starts_with(message)), "{output}");
    assert_eq!((&end["undo"]["to"], &end["undo"]["verified"]), (&json!(1), &json!(true)), "{output}");
    let good = (GOOD.to_owned(), true);
    assert_eq!(pods_of(world, "web").await?, [good.clone(), good], "{output}");
    let numbers: Vec<i64> = world.revisions("deployment/web").await?.iter().map(|revision| revision.number).collect();
    assert_eq!(numbers, [2, 3]);
    assert_eq!(changes(world).await?, [format!("patch deployments {}/web", world.namespace)]);
    Ok(())
}
