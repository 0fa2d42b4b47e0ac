//! Cordon and uncordon: kubectl's lines and table (its `TestCordon`), a version named in every write, and no silent refusal.

use anyhow::Result;
use lab::World;
use serde_json::json;

use crate::runner::{deny, safe_drain, safe_drain_as};

async fn is_cordoned(world: &World, node: &lab::Node) -> Result<bool> {
    Ok(world.node_now(node).await?.spec.and_then(|spec| spec.unschedulable).unwrap_or_default())
}

async fn changes(world: &World) -> Result<Vec<String>> {
    let requests = world.requests().await?;
    Ok(requests.iter().filter(|request| request.changes()).map(lab::audit::Request::summary).collect())
}

#[tokio::test]
async fn kubectls_table() -> Result<()> {
    let world = lab::shared()?.world("cordon").await?;
    let [node] = world.nodes(["n"]).await?;
    let name = node.name.as_str();
    let slashed = format!("node/{name}");
    let mut patches = 0;
    for (args, line, patched, cordoned) in [
        (["uncordon", name], "already uncordoned", false, false),
        (["cordon", name], "cordoned", true, true),
        (["cordon", name], "already cordoned", false, true),
        (["uncordon", &slashed], "uncordoned", true, false),
        (["cordon", &slashed], "cordoned", true, true),
    ] {
        let output = safe_drain(&world, &args).await?;
        assert_eq!(output.stdout, format!("node/{name} {line}\n"), "{args:?}");
        assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{args:?}");
        patches += usize::from(patched);
        assert_eq!(changes(&world).await?.len(), patches, "{args:?}");
        assert_eq!(is_cordoned(&world, &node).await?, cordoned, "{args:?}");
    }
    for (args, line) in [
        (["cordon", name, "--dry-run=client"], "already cordoned (dry run)"),
        (["uncordon", name, "--dry-run=client"], "uncordoned (dry run)"),
        (["uncordon", name, "--dry-run=server"], "uncordoned (server dry run)"),
    ] {
        let output = safe_drain(&world, &args).await?;
        assert_eq!(output.stdout, format!("node/{name} {line}\n"), "{args:?}");
    }
    assert!(is_cordoned(&world, &node).await?, "dry runs change nothing");

    // Every patch names the version it was decided on, and the node is read back after it.
    let requests = world.requests().await?;
    for (index, request) in requests.iter().enumerate().filter(|(_, request)| request.changes()) {
        let body = request.request_object.as_ref().unwrap();
        assert!(body["metadata"]["resourceVersion"].is_string(), "{body:#}");
        assert_eq!(requests[index + 1].summary(), format!("get nodes {name}"));
    }
    Ok(())
}

#[tokio::test]
async fn several_nodes_by_name_and_by_selector() -> Result<()> {
    let world = lab::shared()?.world("pool").await?;
    let [a, b, c] = world.nodes(["a", "b", "c"]).await?;
    world.label_node(&a, "pool", Some("old")).await?;
    world.label_node(&b, "pool", Some("old")).await?;
    let output = safe_drain(&world, &["cordon", &a.name, &c.name]).await?;
    assert_eq!(output.stdout, format!("node/{} cordoned\nnode/{} cordoned\n", a.name, c.name));
    let selector = format!("pool=old,test={}", world.namespace);
    let output = safe_drain(&world, &["cordon", "-l", &selector]).await?;
    assert_eq!(output.stdout, format!("node/{} already cordoned\nnode/{} cordoned\n", a.name, b.name));
    let output = safe_drain(&world, &["cordon", "-l", "pool=none-of-these"]).await?;
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), ""));
    assert_eq!(output.stderr, "no node matches the selector pool=none-of-these\n");
    let output = safe_drain(&world, &["uncordon", &b.name, "-o", "json"]).await?;
    let line: serde_json::Value = serde_json::from_str(&output.stdout)?;
    assert_eq!(
        (&line["type"], &line["node"], &line["already"]),
        (&json!("NodeUncordoned"), &json!(b.name), &json!(false))
    );
    Ok(())
}

#[tokio::test]
async fn a_missing_node_is_fatal_before_any_change() -> Result<()> {
    let world = lab::shared()?.world("missing").await?;
    let [node] = world.nodes(["n"]).await?;
    for verb in ["cordon", "uncordon"] {
        let output = safe_drain(&world, &[verb, &node.name, "no-such-node"]).await?;
        assert_eq!(output.code, Some(1), "{output}");
        assert_eq!(
            output.stderr,
            "Error from server (NotFound): nodes \"no-such-node\" not found\nhint: kubectl get nodes lists what is there\n"
        );
    }
    assert_eq!(changes(&world).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn a_refused_cordon_is_a_failure() -> Result<()> {
    let world = lab::shared()?.world("refused").await?;
    let [node] = world.nodes(["n"]).await?;
    let rules = lab::without(&lab::drainer_rules(), "patch", "nodes");
    let viewer = world.user("no-patch", &rules).await?;
    let output = safe_drain_as(&viewer, &["cordon", &node.name]).await?;
    assert_eq!(output.code, Some(11), "kubectl exits with 0 here: {output}");
    let start = format!("error: unable to cordon node \"{}\": nodes \"{}\" is forbidden: User", node.name, node.name);
    assert!(output.stderr.starts_with(&start), "{output}");
    assert!(output.stderr.contains("cannot patch resource \"nodes\""), "{output}");

    // A policy that says no is a failure as well.
    let cordons = json!({
        "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"],
            "resources": ["nodes"], "resourceNames": [node.name]}]},
        "matchConditions": [
            {"name": "cordon", "expression": "has(object.spec.unschedulable) && object.spec.unschedulable"}],
    });
    deny(&world, cordons, json!({}), "this node stays").await?;
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    let output = loop {
        let output = safe_drain(&world, &["cordon", &node.name]).await?;
        if output.code != Some(0) || tokio::time::Instant::now() > deadline {
            break output;
        }
        // The API server takes a policy up within a second or so.
        world.cordon(&node, false).await?;
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    };
    assert_ne!(output.code, Some(0), "{output}");
    assert!(output.stderr.contains("this node stays"), "{output}");
    assert!(!is_cordoned(&world, &node).await?);
    Ok(())
}
