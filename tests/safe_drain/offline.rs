//! A plan from a file equals the plan of the cluster that the file was taken from.

use anyhow::{Context, Result};
use disruption::outcome::Exit;
use serde_json::{Value, json};

use crate::runner::{document, offline, plan};

const KINDS: &str = "nodes,pods,pdb,deploy,rs,rc,sts,ds,jobs";

/// The fields that name the source of a plan rather than what it says.
fn without_source(mut plan: Value) -> Value {
    for field in ["takenAt", "context", "cluster", "unknowns"] {
        plan[field].take();
    }
    plan
}

#[tokio::test]
async fn live_and_from_a_file_are_equal() -> Result<()> {
    let world = lab::shared()?.world("file").await?;
    let [a, b] = world.nodes(["a", "b"]).await?;
    world.deployment("web").on_each(&[(&a, 3), (&b, 3)]).port(80).create().await?;
    world.pod_disruption_budget("web").max_unavailable(1).create().await?;
    world.deployment("cart").replicas(2).on(&a).create().await?;
    world.stateful_set("db").replicas(2).on(&a).create().await?;
    world.daemon_set("agent").create().await?;
    world.job("report").on(&a).create().await?;
    world.pod("bare").empty_dir().on(&a).create().await?;
    let widget = world.widget("w", 2).await?;
    for name in ["w-0", "w-1"] {
        world.pod(name).label("app", "w").owned_by(&widget).on(&a).create().await?;
    }
    world.pod_disruption_budget("w").max_unavailable("50%").create().await?;
    world.pods_ready(16).await?;
    world.budget_settled("web").await?;
    world.budget_settled("w").await?;

    let kubectl = lab::kubectl()?;
    for flags in [vec![], vec!["--ignore-daemonsets", "--force", "--delete-emptydir-data"]] {
        let args = [&[a.name.as_str(), b.name.as_str()], flags.as_slice()].concat();
        let (_, live) = plan(&world, &args).await?;
        for format in ["json", "yaml"] {
            let taken =
                lab::run(&kubectl).kubeconfig(&world.tool()?).args(["get", KINDS, "-A", "-o", format]).output().await?;
            assert_eq!(taken.code, Some(0), "{taken}");
            let args = [&["plan", "--from-file", "-", "-o", "json"], args.as_slice()].concat();
            let output = offline(&args, &taken.stdout).await?;
            let from_file = document(&output).context(output.stderr.clone())?;
            assert_eq!(without_source(from_file), without_source(live.clone()), "{format} with {flags:?}");
        }
    }
    // The budget of the custom owner was computed by its scale live, and believed from its status in the file.
    let (_, live) = plan(&world, &[&a.name]).await?;
    let widgets = live["budgets"].as_array().unwrap().iter().find(|budget| budget["name"] == "w").unwrap();
    assert_eq!((&widgets["expectedPods"], &widgets["disruptionsAllowed"]), (&json!(2), &json!(1)));
    Ok(())
}

#[test]
fn the_readmes_exit_codes_are_ours() -> Result<()> {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md"))?;
    let table: Vec<&str> = readme.lines().skip_while(|line| *line != "| code | means |").skip(2).collect();
    let rows = table.into_iter().take_while(|line| line.starts_with('|')).collect::<Vec<_>>().join("\n");
    let mut ours = Exit::BY_PRECEDENCE;
    ours.sort_by_key(|exit| exit.code());
    assert_eq!(rows, ours.map(|exit| format!("| {} | {} |", exit.code(), exit.meaning())).join("\n"));
    assert!(!readme.contains("@BENCH@"), "a table is still to be filled");
    Ok(())
}

#[tokio::test]
async fn the_readme_shows_what_the_example_prints() -> Result<()> {
    let root = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let readme = std::fs::read_to_string(root.join("README.md"))?;
    let block = readme.split("```\n$ kubectl safe-drain ").nth(1).and_then(|rest| rest.split("```").next());
    let (command, shown) = block.and_then(|block| block.split_once('\n')).context("no plan in the README")?;
    let example = root.join("examples/shop.yaml").display().to_string();
    let args: Vec<&str> =
        command.split(' ').map(|arg| if arg == "examples/shop.yaml" { example.as_str() } else { arg }).collect();
    let output = offline(&args, "").await?;
    assert_eq!((output.code, output.stdout.as_str()), (Some(4), shown), "{output}");
    Ok(())
}
