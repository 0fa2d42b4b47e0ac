//! What gets in between: the API server is restarted, the connection fails, the user wants it to end.

use std::time::Duration;

use anyhow::Result;
use lab::{
    Lab, Running, World,
    proxy::{Fault, Rule},
};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    rivals::until_image,
    runner::{changes, documents, end_json, guard_as, image, program, start, start_json, until_asked, until_watching},
};

const GOOD: &str = "registry.test/app:1";
const BAD: &str = "registry.test/app:sim-imagepull";

/// Three good pods of `deployment/web`.
async fn web(lab: &Lab, name: &str) -> Result<World> {
    let world = lab.world(name).await?;
    world.node("a").create().await?;
    world.deployment("web").replicas(3).image(GOOD).create().await?;
    world.ready("deployment/web").await?;
    Ok(world)
}

#[tokio::test]
async fn the_api_server_is_restarted_in_the_watch() -> Result<()> {
    let lab = Lab::private()?;
    let world = web(&lab, "restart").await?;
    // Never ready, and no proof before the progress deadline.
    world.set_image("deployment/web", "registry.test/app:sim-unready").await?;
    let running = patient(&world, &["deployment/web", "--stable-for", "1s"])?;
    until_watching(&world).await?;
    lab.stop_component("kube-apiserver")?;
    sleep(Duration::from_secs(1)).await;
    lab.start_component("kube-apiserver")?;
    // It sees what happens afterwards: its pods get well.
    heal(&world).await?;
    let output = running.end().await?;
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(output.stderr.matches("Warning: connection lost, tried again: ").count(), 1, "{output}");
    assert_eq!(output.stderr.matches("connected again\n").count(), 1, "{output}");
    assert!(output.stdout.contains("COMPLETE"), "{output}");
    assert_eq!(changes(&world).await?, Vec::<String>::new());
    Ok(())
}

/// Starts a guard that may take as long as a watch can be silent (100 s) before it is taken for dead.
fn patient(world: &World, args: &[&str]) -> Result<Running> {
    let run = lab::run(&program()?).kubeconfig(&world.tool()?).args(["-n", &world.namespace]);
    run.args(args).limit(Duration::from_secs(300)).start()
}

/// Lets every pod of the bad version get well, the ones that come after it too.
async fn heal(world: &World) -> Result<()> {
    let mut healed: Vec<String> = Vec::new();
    while healed.len() < 3 {
        let unready = |pod: &k8s_openapi::api::core::v1::Pod| {
            let pod = json!(pod);
            pod["spec"]["containers"][0]["image"] != GOOD && pod["metadata"]["deletionTimestamp"].is_null()
        };
        let known = healed.clone();
        let fresh = |pod: &&k8s_openapi::api::core::v1::Pod| {
            unready(pod) && pod.metadata.name.as_ref().is_some_and(|name| !known.contains(name))
        };
        let pods = world.until_pods("another pod to heal", |pods| pods.iter().any(|pod| fresh(&pod))).await?;
        for name in pods.iter().filter(fresh).filter_map(|pod| pod.metadata.name.clone()) {
            world.annotate(&format!("pod/{name}"), "sim.test/scenario", Some("none")).await?;
            healed.push(name);
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_api_server_is_restarted_after_the_undo() -> Result<()> {
    let lab = Lab::private()?;
    let world = web(&lab, "restart-undo").await?;
    world.set_image("deployment/web", BAD).await?;
    let running = patient(&world, &["deployment/web", "--stable-for", "5s", "-o", "json"])?;
    until_image(&world, GOOD).await?;
    // A request that a server has not noted when it is killed is never noted.
    assert_eq!(changes(&world).await?.len(), 1);
    lab.stop_component("kube-apiserver")?;
    sleep(Duration::from_secs(1)).await;
    lab.start_component("kube-apiserver")?;
    let (output, _, result) = end_json(running).await?;
    assert_eq!(output.code, Some(7), "{output}");
    assert_eq!(result["rollouts"][0]["undo"]["verified"], true, "{result:#}");
    assert_eq!(changes(&world).await?, [format!("patch deployments {}/web", world.namespace)]);
    Ok(())
}

/// The answer to the undo is lost: it is looked at again, and not undone twice.
#[tokio::test]
async fn an_undo_without_an_answer() -> Result<()> {
    for fault in [Fault::CutAfter, Fault::CutBefore, Fault::Answer(503, unavailable())] {
        let world = web(&lab::shared()?, "cut").await?;
        world.set_image("deployment/web", BAD).await?;
        let proxy = world.proxy([Rule::new("PATCH", "/deployments/", 1, fault.clone())]).await?;
        let output =
            guard_as(&world, &proxy.kubeconfig(), &["deployment/web", "--stable-for", "1s", "-o", "json"]).await?;
        assert_eq!(output.code, Some(7), "{fault:?}: {output}");
        let (_, result) = documents(&output)?;
        assert_eq!(result["rollouts"][0]["undo"]["verified"], true, "{fault:?}: {result:#}");
        let numbers: Vec<i64> =
            world.revisions("deployment/web").await?.iter().map(|revision| revision.number).collect();
        assert_eq!(numbers, [2, 3], "{fault:?}");
    }
    Ok(())
}

fn unavailable() -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 503, "message": "the server is shutting down"})
}

#[tokio::test]
async fn ctrl_c_in_the_watch_undoes_nothing() -> Result<()> {
    let world = web(&lab::shared()?, "ctrl-c").await?;
    world.set_image("deployment/web", "registry.test/app:sim-unready").await?;
    for signal in [Running::interrupt, Running::terminate] {
        let before = world.requests().await?.len();
        let running = start(&world, &["deployment/web"])?;
        let is_new = async || {
            let requests = world.requests().await?;
            anyhow::Ok(
                requests.iter().skip(before).any(|request| request.verb == "watch" && request.resource == "pods"),
            )
        };
        while !is_new().await? {
            sleep(Duration::from_millis(50)).await;
        }
        signal(&running)?;
        let output = running.end().await?;
        assert_eq!(output.code, Some(130), "{output}");
        assert!(output.stderr.contains("interrupted: nothing new is begun\n"), "{output}");
        assert!(output.stdout.ends_with("deployment/web  UNFINISHED: interrupted: nothing was undone\n"), "{output}");
        let status = format!("hint: kubectl rollout-guard -n {} status deployment/web\n", world.namespace);
        assert!(output.stderr.ends_with(&status), "{output}");
    }
    assert_eq!(changes(&world).await?, Vec::<String>::new());
    assert_eq!(image(&world, "deployment/web").await?, "registry.test/app:sim-unready");
    Ok(())
}

#[tokio::test]
async fn ctrl_c_while_the_undo_is_verified_says_what_stands() -> Result<()> {
    let world = web(&lab::shared()?, "ctrl-c-undo").await?;
    world.set_image("deployment/web", BAD).await?;
    let running = start_json(&world, &["deployment/web", "--stable-for", "2m"])?;
    until_image(&world, GOOD).await?;
    // The image is back before the answer is.
    world.ready("deployment/web").await?;
    running.interrupt()?;
    let (output, events, result) = end_json(running).await?;
    assert_eq!(output.code, Some(130), "{output}");
    let end = &result["rollouts"][0];
    assert_eq!(
        (&end["outcome"], &end["undo"]["to"], &end["undo"]["verified"]),
        (&json!("UndoFailed"), &json!(1), &json!(false)),
        "{result:#}"
    );
    let reason = "deployment/web: interrupted: revision 1 was brought back, and is not verified";
    assert_eq!(result["reason"], reason, "{result:#}");
    assert!(events.iter().any(|event| event["type"] == "Interrupted"), "{output}");
    assert_eq!(image(&world, "deployment/web").await?, GOOD, "it stays undone");
    Ok(())
}

/// The server has not answered yet.
#[tokio::test]
async fn ctrl_c_while_the_undo_is_asked_for_says_what_stands() -> Result<()> {
    let world = web(&lab::shared()?, "ctrl-c-asked").await?;
    world.set_image("deployment/web", BAD).await?;
    let late = Rule::new("PATCH", "/deployments/", 1, Fault::Delay(Duration::from_secs(2)));
    let proxy = world.proxy([late]).await?;
    let args = ["-n", &world.namespace, "deployment/web", "--stable-for", "2m", "-o", "json"];
    let running = lab::run(&program()?).kubeconfig(&proxy.kubeconfig()).args(args).start()?;
    let is_undo = |target: &String| target.contains("/deployments/web?fieldManager=");
    while !proxy.seen().iter().any(is_undo) {
        sleep(Duration::from_millis(20)).await;
    }
    running.interrupt()?;
    let (output, _, result) = end_json(running).await?;
    assert_eq!(output.code, Some(130), "{output}");
    // It was waited for.
    let reason = "deployment/web: interrupted: revision 1 was brought back, and is not verified";
    assert_eq!(result["reason"], reason, "{result:#}");
    assert_eq!(image(&world, "deployment/web").await?, GOOD);
    Ok(())
}

/// The server never answers: it is said that nobody knows.
#[tokio::test]
async fn ctrl_c_while_the_undo_is_asked_for_in_vain_says_so() -> Result<()> {
    let world = web(&lab::shared()?, "ctrl-c-vain").await?;
    world.set_image("deployment/web", BAD).await?;
    let failing = Rule::new("PATCH", "/deployments/", 9, Fault::Answer(503, unavailable()));
    let proxy = world.proxy([failing]).await?;
    let args = ["-n", &world.namespace, "deployment/web", "-o", "json"];
    let running = lab::run(&program()?).kubeconfig(&proxy.kubeconfig()).args(args).start()?;
    while !proxy.seen().iter().any(|target| target.contains("/deployments/web?fieldManager=")) {
        sleep(Duration::from_millis(20)).await;
    }
    running.interrupt()?;
    let (output, _, result) = end_json(running).await?;
    assert_eq!(output.code, Some(130), "{output}");
    let reason = "deployment/web: interrupted while revision 1 was asked for: whether it is back is not known";
    assert_eq!(result["reason"], reason, "{result:#}");
    Ok(())
}

#[tokio::test]
async fn ctrl_c_twice_is_out_at_once() -> Result<()> {
    let world = web(&lab::shared()?, "ctrl-c-twice").await?;
    world.set_image("deployment/web", BAD).await?;
    let running = start(&world, &["deployment/web", "--stable-for", "2m"])?;
    until_asked(&world, "the undo", |request| request.verb == "patch" && request.changes() && request.code == 200)
        .await?;
    running.interrupt()?;
    // It may have ended by then.
    let _ = running.interrupt();
    let output = running.end().await?;
    assert_eq!(output.code, Some(130), "{output}");
    Ok(())
}
