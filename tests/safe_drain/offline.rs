//! A plan from a file equals the plan of the cluster that the file was taken from.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::runner::{document, offline, plan, pods};

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

/// `ReplicaSets` name the Deployments that nobody has read: one owner is meant wherever one is named.
#[tokio::test]
async fn owners_above_the_replica_sets_of_a_file() -> Result<()> {
    let object = |kind: &str, name: &str, owner: Option<(&str, &str)>, rest: Value| {
        let owners: Vec<Value> = owner
            .map(|(kind, name)| json!({"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": name, "controller": true}))
            .into_iter()
            .collect();
        let mut object = json!({"apiVersion": if kind == "ReplicaSet" { "apps/v1" } else { "v1" }, "kind": kind,
            "metadata": {"name": name, "namespace": "shop", "uid": name, "ownerReferences": owners}});
        object.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        object
    };
    let ready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    let pod = json!({"spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}, "status": ready});
    let items = [
        object("Node", "n", None, json!({"status": ready})),
        object("ReplicaSet", "web-5f7", Some(("Deployment", "web")), json!({"spec": {"replicas": 2, "selector": {}}})),
        object("Pod", "web-5f7-a", Some(("ReplicaSet", "web-5f7")), pod.clone()),
        object("Pod", "web-5f7-b", Some(("ReplicaSet", "web-5f7")), pod),
    ];
    let file = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();

    let plan = document(&offline(&["plan", "n", "--from-file", "-", "-o", "json"], &file).await?)?;
    let web = json!({"kind": "Deployment", "name": "web"});
    for pod in pods(&plan) {
        assert_eq!((&pod["owner"], &pod["replacement"]["by"]), (&web, &web), "{plan:#}");
    }
    assert_eq!(plan["impliedBudgets"][0]["kind"], "Deployment", "{plan:#}");
    let diff = plan["diff"].as_str().unwrap();
    assert!(diff.contains("-  shop deployment/web: 2\n"), "{diff}");
    let output = offline(&["plan", "n", "--from-file", "-"], &file).await?;
    let names = |line: &str| output.stdout.lines().any(|of| of.starts_with(line));
    assert!(names("deployments.apps "), "among what is unknown: {output}");
    assert!(names("WITHOUT-BUDGET ") && names("shop deployment/web "), "among those without a budget: {output}");
    Ok(())
}
