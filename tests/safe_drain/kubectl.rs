//! The plugin as kubectl's users have it: found by its name, helpful, and completed.

use std::path::Path;

use anyhow::Result;
use lab::{Installed, World, installed};
use serde_json::{Value, json};

const COMMANDS: &str = "plan cordon uncordon status repair completion version";

#[tokio::test]
async fn through_kubectl() -> Result<()> {
    let world = lab::shared()?.world("kubectl").await?;
    let [node] = world.nodes(["n"]).await?;
    world.deployment("web").on_each(&[(&node, 1)]).create().await?;
    world.ready("deployment/web").await?;
    world.pod_disruption_budget("web").min_available(1).create().await?;
    let (plugin, tool) = (installed("safe-drain").await?, world.tool()?);
    let run = async |args: &[&str]| plugin.kubectl(&tool, args).await;

    // kubectl's global flags come behind the name, and exit codes through it.
    let plan = run(&["plan", &node.name, "-o", "json", "--request-timeout", "20s", "-v=0"]).await?;
    assert_eq!(plan.code, Some(4), "{plan}");
    let document: Value = serde_json::from_str(&plan.stdout)?;
    assert_eq!((&document["kind"], &document["exitCode"]), (&json!("DrainPlan"), &json!(4)));
    let unknown = run(&["no-such-node", "--dry-run"]).await?;
    let error = "Error from server (NotFound): nodes \"no-such-node\" not found\n";
    assert!(unknown.code == Some(1) && unknown.stderr.starts_with(error), "{unknown}");
    let context = run(&["status", "--context", "nowhere"]).await?;
    assert!(context.code == Some(1) && context.stderr.starts_with("error: context \"nowhere\" does not exist\n"));

    let version = run(&["version"]).await?;
    let expected = format!("kubectl safe-drain v{}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((version.code, &version.stdout, version.stderr.as_str()), (Some(0), &expected, ""));
    let short = run(&["--version"]).await?;
    assert_eq!(short.stdout, expected);
    let json = run(&["version", "-o", "json"]).await?;
    let document = json!({"version": format!("v{}", env!("CARGO_PKG_VERSION")), "documents": "disruption/v1alpha1"});
    assert_eq!(serde_json::from_str::<Value>(&json.stdout)?, document);
    Ok(())
}

/// The titles of a help's sections, and whether each line of an option is indented as kubectl's.
fn sections(help: &str) -> Vec<&str> {
    help.lines().filter(|line| line.ends_with(':') && !line.starts_with(' ')).collect()
}

#[tokio::test]
async fn help_has_the_form_of_kubectls() -> Result<()> {
    let world = lab::shared()?.world("kubectl-help").await?;
    let (plugin, tool) = (installed("safe-drain").await?, world.tool()?);
    let theirs = lab::run(&lab::kubectl()?).args(["drain", "--help"]).output().await?.stdout;
    let ours = plugin.kubectl(&tool, &["--help"]).await?;
    assert_eq!((ours.code, ours.stderr.as_str()), (Some(0), ""));
    let ours = ours.stdout;
    let known: Vec<_> = sections(&ours).into_iter().filter(|title| sections(&theirs).contains(title)).collect();
    assert_eq!(known, sections(&theirs), "{ours}");
    assert_eq!(sections(&ours), ["Examples:", "Available Commands:", "Options:", "Exit codes:", "Usage:"]);
    assert_eq!(ours.lines().last(), theirs.trim_end().lines().last());

    // Every option of kubectl drain stands there, with the same default.
    let options = |help: &str| -> Vec<String> {
        let flags = help.lines().filter_map(|line| line.strip_prefix("    ").filter(|line| line.starts_with('-')));
        flags.map(str::to_owned).collect()
    };
    let (ours, theirs) = (options(&ours), options(&theirs));
    let missing: Vec<_> = theirs.iter().filter(|option| !ours.contains(option)).collect();
    assert_eq!(missing, ["--chunk-size=500:"], "ours grows");
    assert!(
        theirs.len() > 10 && ours.is_sorted_by_key(|option| option.split_once("--").map(|(_, name)| name.to_owned()))
    );

    let plan = plugin.kubectl(&tool, &["plan", "-h"]).await?.stdout;
    assert_eq!(sections(&plan), ["Examples:", "Options:", "Usage:"]);
    assert_eq!(plugin.kubectl(&tool, &["help", "plan"]).await?.stdout, plan);
    Ok(())
}

#[tokio::test]
async fn commands_flags_and_values_are_completed() -> Result<()> {
    let world = lab::shared()?.world("complete-flags").await?;
    let (plugin, tool) = (installed("safe-drain").await?, world.tool()?);
    let check = async |words: &[&str], expected: &str| {
        assert_eq!(plugin.offered(&tool, words).await?, expected, "{words:?}");
        anyhow::Ok(())
    };
    let commands = plugin.completed(&tool, &[""]).await?;
    let commands: Vec<_> = commands.iter().take_while(|line| !line.contains(&world.namespace)).cloned().collect();
    assert_eq!(commands[0], "plan\tShow what a drain would do, from a live cluster or a file");
    let names: Vec<_> = commands.iter().filter_map(|line| line.split('\t').next()).take(7).collect();
    assert_eq!(names.join(" "), COMMANDS);
    check(&["unc"], "uncordon :4").await?;
    check(&["help", ""], &format!("{COMMANDS} :4")).await?;
    check(&["--ig"], "--ignore-daemonsets :4").await?;
    check(&["plan", "--on-"], "--on-blocked --on-failure :4").await?;
    check(&["--on-failure", ""], "auto uncordon keep :4").await?;
    check(&["--on-failure=u"], "uncordon :4").await?;
    check(&["--dry-run="], "none client server :4").await?;
    check(&["plan", "-o", ""], "json yaml :4").await?;
    check(&["--reason", ""], ":4").await?;
    check(&["plan", "--from-file", ""], ":0").await?;
    check(&["completion", ""], "bash zsh fish :4").await?;
    Ok(())
}

/// The nodes of a world among what is offered, each without the world's prefix.
async fn nodes(world: &World, plugin: &Installed, words: &[&str]) -> Result<String> {
    let (prefix, tool) = (format!("{}-", world.namespace), world.tool()?);
    let lines = plugin.completed(&tool, words).await?;
    assert_eq!(lines.last().map(String::as_str), Some(":4"), "{words:?}: {lines:?}");
    let ours = lines.iter().filter(|line| line.contains(&prefix));
    Ok(ours.map(|line| line.replace(&prefix, "").replace('\t', "=")).collect::<Vec<_>>().join(" "))
}

#[tokio::test]
async fn nodes_are_completed() -> Result<()> {
    let world = lab::shared()?.world("complete-nodes").await?;
    let [a, b] = world.nodes(["a", "b"]).await?;
    world.node("c").unschedulable().create().await?;
    let plugin = installed("safe-drain").await?;
    let offered = async |words: &[&str]| nodes(&world, &plugin, words).await;
    let (name, slashed) = (a.name.as_str(), format!("node/{}", b.name));
    assert_eq!(offered(&[""]).await?, "a=Ready b=Ready c=Ready,SchedulingDisabled");
    assert_eq!(offered(&[name, &slashed, ""]).await?, "c=Ready,SchedulingDisabled");
    assert_eq!(
        offered(&["plan", "--force", &slashed[..slashed.len() - 1]]).await?,
        "node/a=Ready node/b=Ready node/c=Ready,SchedulingDisabled"
    );
    assert_eq!(offered(&["cordon", ""]).await?, "a=Ready b=Ready");
    assert_eq!(offered(&["uncordon", ""]).await?, "c=Ready,SchedulingDisabled");
    assert_eq!(offered(&["status", &b.name]).await?, "b=Ready");
    assert_eq!(offered(&["repair", "-o", "json", name, ""]).await?, "b=Ready c=Ready,SchedulingDisabled");
    Ok(())
}

#[tokio::test]
async fn contexts_and_namespaces_are_completed() -> Result<()> {
    let lab = lab::shared()?;
    let world = lab.world("complete-contexts").await?;
    let (plugin, kubeconfig) = (installed("safe-drain").await?, lab.kubeconfig());
    let offered = async |words: &[&str]| plugin.offered(&kubeconfig, words).await;
    assert_eq!(offered(&["--context", ""]).await?, "lab lab-admin lab-drainer lab-viewer :4");
    assert_eq!(offered(&["plan", "--context=lab-d"]).await?, "lab-drainer :4");
    assert_eq!(offered(&["--cluster", ""]).await?, "lab :4");
    assert_eq!(offered(&["--context", "lab-admin", "-n", &world.namespace]).await?, format!("{} :4", world.namespace));

    // The line's own flags lead to the cluster; where they lead nowhere, nothing is said.
    let nowhere = Path::new("/nowhere");
    let named = format!("--kubeconfig={}", kubeconfig.display());
    let namespaces = plugin.offered(nowhere, &[&named, "-n", &world.namespace]).await?;
    assert_eq!(namespaces, format!("{} :4", world.namespace));
    assert_eq!(plugin.offered(nowhere, &["-n", ""]).await?, ":4");
    assert_eq!(plugin.offered(&kubeconfig, &["-s", "127.0.0.1:1", "cordon", ""]).await?, ":4");
    assert_eq!(plugin.offered(&kubeconfig, &["--context", "other", "cordon", ""]).await?, ":4");
    assert_eq!(plugin.offered(&kubeconfig, &["--as", "nobody", "cordon", ""]).await?, ":4");
    Ok(())
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up() -> Result<()> {
    let world = lab::shared()?.world("complete-hang").await?;
    let (plugin, tool) = (installed("safe-drain").await?, world.tool()?);
    // It takes connections and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let server = format!("http://{}", silent.local_addr()?);
    let output = lab::run(&lab::plugin("safe-drain")?)
        .kubeconfig(&tool)
        .args(["__complete", "-s", &server, "cordon", ""])
        .output()
        .await?;
    assert_eq!((output.code, output.stdout.as_str(), output.stderr.as_str()), (Some(0), ":4\n", ""));
    assert!(output.elapsed.as_secs_f64() < 10.0, "{output}");
    assert_eq!(plugin.offered(&tool, &["-s", &server, "--on-blocked", ""]).await?, "refuse wait :4");
    Ok(())
}

#[tokio::test]
async fn the_link_is_placed_once() -> Result<()> {
    let world = lab::shared()?.world("complete-install").await?;
    let (plugin, tool) = (installed("safe-drain").await?, world.tool()?);
    let link = plugin.bin().join("kubectl_complete-safe_drain");
    assert_eq!(std::fs::read_link(&link)?, Path::new("kubectl-safe_drain"));
    let again = plugin.kubectl(&tool, &["completion", "--install"]).await?;
    assert_eq!((again.code, again.stdout), (Some(0), format!("{} is in place already\n", link.display())));
    std::fs::remove_file(&link)?;
    std::fs::write(&link, "#!/bin/sh\n")?;
    let foreign = plugin.kubectl(&tool, &["completion", "--install"]).await?;
    let error = format!("error: {} exists and does not belong to this plugin\n", link.display());
    assert!(foreign.code == Some(1) && foreign.stderr.starts_with(&error), "{foreign}");
    assert_eq!(std::fs::read_to_string(&link)?, "#!/bin/sh\n");
    let neither = plugin.kubectl(&tool, &["completion"]).await?;
    assert_eq!((neither.code, neither.stdout.as_str()), (Some(1), ""), "{neither}");
    Ok(())
}

#[tokio::test]
async fn bash_completes_the_program_itself() -> Result<()> {
    let lab = lab::shared()?;
    let plugin = installed("safe-drain").await?;
    let script = r#"
        source <(kubectl-safe_drain completion bash) || exit 1
        complete -p kubectl-safe_drain
        for COMP_LINE in "$@"; do
            COMP_POINT=${#COMP_LINE}
            _kubectl_safe_drain
            echo "$COMP_LINE: ${COMPREPLY[*]}"
        done
    "#;
    let bash = lab::run(Path::new("/bin/bash")).path(plugin.bin()).kubeconfig(&lab.kubeconfig());
    let lines = ["unc", "plan --on-failure=u", "--context lab-", "plan -o ", "--context=lab-v"];
    let lines = lines.map(|line| format!("kubectl-safe_drain {line}"));
    let output = bash.args(["-c", script, "bash"]).args(&lines).output().await?;
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{output}");
    let expected = "complete -F _kubectl_safe_drain kubectl-safe_drain
kubectl-safe_drain unc: uncordon
kubectl-safe_drain plan --on-failure=u: uncordon
kubectl-safe_drain --context lab-: lab-admin lab-drainer lab-viewer
kubectl-safe_drain plan -o : json yaml
kubectl-safe_drain --context=lab-v: lab-viewer
";
    assert_eq!(output.stdout, expected);
    Ok(())
}
