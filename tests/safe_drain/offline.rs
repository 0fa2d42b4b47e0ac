//! A plan from a file equals the plan of the cluster that the file was taken from.

use anyhow::{Context, Result};
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
