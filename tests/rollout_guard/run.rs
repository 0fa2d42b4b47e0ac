//! `run`: a command's changes are guarded, and nothing else.

use std::{path::Path, time::Duration};

use anyhow::Result;
use lab::{Output, Run, World, audit::Request};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    rivals::until_image,
    runner::{changes, documents, image, program},
};

const GOOD: &str = "registry.test/app:1";
const BAD: &str = "registry.test/app:sim-imagepull";

/// `kubectl rollout-guard run`, with kubectl in the path.
fn prepare(world: &World, args: &[&str]) -> Result<Run> {
    let kubectl = world.lab().kubectl();
    let run = lab::run(&program()?).kubeconfig(&world.tool()?).path(kubectl.parent().unwrap_or(Path::new("/")));
    Ok(run.args(["-n", &world.namespace, "run"]).args(args))
}

async fn run(world: &World, args: &[&str]) -> Result<Output> {
    prepare(world, args)?.output().await
}

async fn run_json(world: &World, args: &[&str]) -> Result<(Output, Vec<Value>, Value)> {
    let output = run(world, &[&["-o", "json"], args].concat()).await?;
    let (events, document) = documents(&output)?;
    assert_eq!(document["exitCode"], output.code.unwrap_or_default(), "{output}");
    Ok((output, events, document))
}

async fn three(name: &str) -> Result<World> {
    let world = lab::shared()?.world(name).await?;
    world.node("a").create().await?;
    for name in ["api", "web", "worker"] {
        world.deployment(name).replicas(2).image(GOOD).create().await?;
    }
    for name in ["api", "web", "worker"] {
        world.ready(&format!("deployment/{name}")).await?;
    }
    Ok(world)
}

/// The command's own requests, which are kubectl's.
async fn commands(world: &World) -> Result<Vec<String>> {
    let requests = world.requests().await?;
    let of_kubectl = requests.iter().filter(|request| request.user_agent.starts_with("kubectl/") && request.changes());
    Ok(of_kubectl.map(Request::summary).collect())
}

#[tokio::test]
async fn a_bad_image_that_the_command_sets_is_undone() -> Result<()> {
    let world = three("run-set").await?;
    let image_of = format!("main={BAD}");
    let set = ["kubectl", "-n", &world.namespace, "set", "image", "deployment/web", &image_of];
    let args = [&["--stable-for", "1s", "--"], &set[..]].concat();
    let (output, events, result) = run_json(&world, &args).await?;
    assert_eq!(output.code, Some(7), "{output}");
    let patched = format!("patch deployments {}/web", world.namespace);
    assert_eq!(commands(&world).await?, [patched.as_str()]);
    assert_eq!(changes(&world).await?, [patched.as_str()]);
    assert_eq!(result["rollouts"].as_array().map(Vec::len), Some(1), "only what it changed: {result:#}");
    assert!(output.stderr.contains("deployment.apps/web image updated\n"), "its output is not lost: {output}");
    assert!(events.iter().all(|event| event["type"].is_string()), "{output}");
    assert_eq!(image(&world, "deployment/web").await?, GOOD);
    Ok(())
}

#[tokio::test]
async fn of_three_that_are_applied_only_the_bad_one_is_undone() -> Result<()> {
    let world = three("run-apply").await?;
    let set = |name: &str, image: &str| {
        format!("kubectl -n {} set image --local -f - -o yaml main={image} < {name}.yaml", world.namespace)
    };
    let export = |name: &str| {
        format!("kubectl -n {} get deployment {name} -o yaml | grep -v resourceVersion: > {name}.yaml", world.namespace)
    };
    let names = [("api", "registry.test/app:2"), ("web", BAD), ("worker", "registry.test/app:2")];
    let steps: Vec<String> = names
        .iter()
        .map(|(name, image)| format!("{} && {} > {name}.new.yaml", export(name), set(name, image)))
        .collect();
    let script = format!(
        "{} && kubectl -n {} apply -f api.new.yaml -f web.new.yaml -f worker.new.yaml",
        steps.join(" && "),
        world.namespace
    );
    let (output, _, result) = run_json(&world, &["--stable-for", "1s", "--", "sh", "-c", &script]).await?;
    assert_eq!(output.code, Some(7), "{output}");
    let mut outcomes: Vec<(&str, &str)> = result["rollouts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|end| (end["workload"]["name"].as_str().unwrap(), end["outcome"].as_str().unwrap()))
        .collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, [("api", "Complete"), ("web", "Undone"), ("worker", "Complete")], "{result:#}");
    assert_eq!(changes(&world).await?, [format!("patch deployments {}/web", world.namespace)]);
    for (name, expected) in [("api", "registry.test/app:2"), ("web", GOOD), ("worker", "registry.test/app:2")] {
        assert_eq!(image(&world, &format!("deployment/{name}")).await?, expected, "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn a_command_that_changes_nothing() -> Result<()> {
    let world = three("run-nothing").await?;
    // Labels and replicas make no other version.
    let script = format!(
        "echo hello; kubectl -n {0} label deployment/web a=b; kubectl -n {0} scale deployment/api --replicas=3",
        world.namespace
    );
    let output = run(&world, &["--", "sh", "-c", &script]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    assert!(output.stdout.starts_with("hello\n"), "{output}");
    let said = "the command changed no pod template of the workloads that are guarded\n";
    assert_eq!(output.stderr, said, "{output}");
    assert_eq!(changes(&world).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn a_result_for_programs_when_nothing_changed() -> Result<()> {
    let world = three("run-nothing-json").await?;
    let (output, events, result) = run_json(&world, &["--", "true"]).await?;
    assert_eq!((output.code, events.len()), (Some(0), 0), "{output}");
    assert_eq!((&result["kind"], &result["rollouts"]), (&json!("RolloutResult"), &json!([])), "{result:#}");
    Ok(())
}

#[tokio::test]
async fn a_command_that_fails() -> Result<()> {
    let world = three("run-fails").await?;
    let output = run(&world, &["deployment/web", "--", "sh", "-c", "echo oops >&2; exit 23"]).await?;
    assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""), "{output}");
    assert!(output.stderr.starts_with("oops\nerror: the command sh failed: exit code 23\n"), "{output}");
    let output = run(&world, &["--", "no-such-command"]).await?;
    assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""), "{output}");
    assert!(output.stderr.starts_with("error: run no-such-command: No such file or directory"), "{output}");

    // What it changed before it failed is guarded all the same.
    let script = format!("kubectl -n {} set image deployment/web main={BAD}; exit 3", world.namespace);
    let output = run(&world, &["--stable-for", "1s", "--", "sh", "-c", &script]).await?;
    assert_eq!(output.code, Some(1), "{output}");
    assert!(output.stderr.contains("error: the command sh failed: exit code 3\n"), "{output}");
    assert_eq!(image(&world, "deployment/web").await?, GOOD, "{output}");
    Ok(())
}

#[tokio::test]
async fn only_what_is_named_is_guarded() -> Result<()> {
    let world = three("run-named").await?;
    let script = format!(
        "kubectl -n {0} set image deployment/web main={BAD} && kubectl -n {0} set image deployment/api main=registry.test/app:2",
        world.namespace
    );
    let (output, _, result) =
        run_json(&world, &["deployment/api", "--stable-for", "1s", "--", "sh", "-c", &script]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(result["rollouts"].as_array().map(Vec::len), Some(1), "{result:#}");
    assert_eq!(image(&world, "deployment/web").await?, BAD);
    Ok(())
}

#[tokio::test]
async fn what_the_command_creates_is_guarded() -> Result<()> {
    let world = three("run-creates").await?;
    let create = format!("kubectl -n {} create deployment new --image={BAD}", world.namespace);
    // It is not there before: no error.
    let output = run(&world, &["deployment/new", "--", "sh", "-c", &create]).await?;
    assert_eq!(output.code, Some(9), "{output}");
    assert!(!output.stderr.contains("NotFound"), "{output}");
    assert_eq!(changes(&world).await?, Vec::<String>::new());
    Ok(())
}

/// What must not be undone, or what may not be, is told before the command runs.
#[tokio::test]
async fn nothing_runs_that_could_not_be_undone() -> Result<()> {
    let world = three("run-refused").await?;
    let read = ["get", "list", "watch"];
    let rules = [
        lab::rule("apps", &["deployments", "statefulsets", "daemonsets", "replicasets", "controllerrevisions"], &read),
        lab::rule("", &["pods", "events"], &read),
    ];
    let user = world.user("reader", &rules).await?;
    let command = ["--", "echo", "it ran"];
    let args = [&["-n", &world.namespace, "run", "deployment/web"], &command[..]].concat();
    let output = lab::run(&program()?).kubeconfig(&user).args(args).output().await?;
    assert_eq!((output.code, output.stdout.as_str()), (Some(11), ""), "{output}");
    assert!(output.stderr.starts_with("error: forbidden: you cannot patch resource \"deployments.apps\""), "{output}");
    assert!(output.stderr.contains("hint: the command was not run; "), "{output}");

    world.annotate("deployment/web", "argocd.argoproj.io/tracking-id", Some("shop:apps/Deployment:shop/web")).await?;
    for selection in [&[][..], &["deployment/web"], &["--all"]] {
        let output = run(&world, &[selection, &command].concat()).await?;
        assert_eq!((output.code, output.stdout.as_str()), (Some(3), ""), "{output}");
        let message = "error: deployment/web is managed by Argo CD, which would revert an undo\n";
        assert!(output.stderr.starts_with(message), "{output}");
    }
    let (output, _, result) = run_json(&world, &[&["deployment/web"], &command[..]].concat()).await?;
    assert_eq!((output.code, &result["rollouts"][0]["outcome"]), (Some(3), &json!("Blocked")), "{result:#}");
    // Nobody asked for another one.
    let output = run(&world, &[&["deployment/api"], &command[..]].concat()).await?;
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), "it ran\n"), "{output}");
    let output = run(&world, &[&["--on-stall=report"], &command[..]].concat()).await?;
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), "it ran\n"), "{output}");
    // What appears is looked at afterwards.
    let script = format!(
        "kubectl -n {0} create deployment new --image={BAD} && \
         kubectl -n {0} annotate deployment new argocd.argoproj.io/tracking-id=shop:apps/Deployment:shop/new",
        world.namespace
    );
    let output = run(&world, &["deployment/new", "--", "sh", "-c", &script]).await?;
    assert_eq!(output.code, Some(3), "{output}");
    assert!(output.stderr.contains("error: deployment/new is managed by Argo CD"), "{output}");
    assert_eq!(changes(&world).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn ctrl_c_while_the_command_runs_says_what_stands() -> Result<()> {
    let world = three("run-ctrl-c").await?;
    let script = format!("kubectl -n {} set image deployment/web main={BAD} && sleep 2; exit 4", world.namespace);
    let running = prepare(&world, &["deployment/web", "-o", "json", "--", "sh", "-c", &script])?.start()?;
    until_image(&world, BAD).await?;
    running.interrupt()?;
    let output = running.end().await?;
    let (events, result) = documents(&output)?;
    assert_eq!((output.code, &result["exitCode"], events.len()), (Some(130), &json!(130), 0), "{output}");
    let reason = "interrupted: the command sh has ended: exit code 4; what it has changed is not guarded, and nothing \
                  was undone";
    assert_eq!((&result["reason"], &result["rollouts"]), (&json!(reason), &json!([])), "{output}");
    // The command's own words may come before or behind.
    assert!(
        output.stderr.contains("interrupted: waiting for the command sh to end, which is not guarded\n"),
        "{output}"
    );
    let said = format!("error: {reason}\nhint: kubectl rollout-guard -n {} status deployment/web\n", world.namespace);
    assert!(output.stderr.ends_with(&said), "{output}");
    assert_eq!(changes(&world).await?, Vec::<String>::new());
    assert_eq!(image(&world, "deployment/web").await?, BAD);
    Ok(())
}

#[tokio::test]
async fn ctrl_c_twice_leaves_the_command_alone() -> Result<()> {
    let world = three("run-ctrl-c-twice").await?;
    let files = tempfile::tempdir()?;
    let begun = files.path().join("begun");
    let script = format!("exec >/dev/null 2>&1; touch {}; exec sleep 20", begun.display());
    let running = prepare(&world, &["--", "sh", "-c", &script])?.start()?;
    while !begun.exists() {
        sleep(Duration::from_millis(20)).await;
    }
    running.interrupt()?;
    // Two at one moment are one.
    sleep(Duration::from_millis(300)).await;
    running.interrupt()?;
    let output = running.end().await?;
    assert_eq!(output.code, Some(130), "{output}");
    assert!(output.elapsed < Duration::from_secs(15), "{output}");
    assert!(output.stderr.contains("error: interrupted: the command sh goes on without us; "), "{output}");
    Ok(())
}
