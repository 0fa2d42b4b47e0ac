//! What may not be done is named before anything is done; what may not be read is unknown, with one warning.

use anyhow::Result;
use futures::future::try_join_all;
use serde_json::json;

use crate::runner::{document, safe_drain_as};

#[tokio::test]
async fn each_required_verb_is_named_when_it_is_missing() -> Result<()> {
    let world = lab::shared()?.world("forbidden").await?;
    let [node] = world.nodes(["n"]).await?;
    world.deployment("web").on(&node).create().await?;
    world.ready("deployment/web").await?;
    let by_name = vec!["plan", node.name.as_str()];
    let by_selector = vec!["plan", "-l", "test"];
    let deleting = vec!["plan", node.name.as_str(), "--disable-eviction"];
    for (user, verb, resource, args) in [
        ("a", "get", "nodes", &by_name),
        ("b", "list", "nodes", &by_selector),
        ("c", "patch", "nodes", &by_name),
        ("d", "list", "pods", &by_name),
        ("e", "watch", "pods", &by_name),
        ("f", "create", "pods/eviction", &by_name),
        // The drainer may evict but not delete.
        ("g", "delete", "pods", &deleting),
    ] {
        let kubeconfig = world.user(user, &lab::without(&lab::drainer_rules(), verb, resource)).await?;
        let output = safe_drain_as(&kubeconfig, args).await?;
        assert_eq!(output.code, Some(11), "without {verb} {resource}: {output}");
        let named = format!("cannot {verb} resource \"{resource}\"");
        assert!(output.stderr.contains(&named), "without {verb} {resource}: {output}");
        let requests = world.requests_by(user).await?;
        assert!(requests.iter().all(|request| !request.changes()), "nothing was tried");
    }
    // Where only the drain itself would fail, the plan is shown.
    let viewer = world.user("h", &lab::viewer_rules()).await?;
    let output = safe_drain_as(&viewer, &["plan", &node.name, "-o", "json"]).await?;
    assert_eq!(output.code, Some(11), "{output}");
    let plan = document(&output)?;
    assert_eq!((plan["exitCode"].as_u64(), plan["verdict"].as_str()), (Some(11), Some("Clear")));
    let message = plan["message"].as_str().unwrap();
    let start = "this drain is forbidden to you, who may not patch nodes, nor create pods/eviction; else: ";
    assert!(message.starts_with(start), "{message}");
    // And a server dry run isn't tried.
    let output = safe_drain_as(&viewer, &[&node.name, "--dry-run=server"]).await?;
    assert_eq!(output.code, Some(11), "{output}");
    Ok(())
}

/// Roles that name the node, or that hold in the namespaces of its pods only, are enough.
#[tokio::test]
async fn rights_count_where_the_drain_needs_them() -> Result<()> {
    let world = lab::shared()?.world("narrow").await?;
    let [node, other] = world.nodes(["n", "o"]).await?;
    world.deployment("web").on(&node).create().await?;
    world.ready("deployment/web").await?;
    let rules = lab::without(&lab::without(&lab::drainer_rules(), "patch", "nodes"), "create", "pods/eviction");
    let kubeconfig = world.user("narrow", &rules).await?;
    let user = format!("narrow-{}", world.namespace);
    let group = "rbac.authorization.k8s.io";
    let mut patch = lab::rule("", &["nodes"], &["patch"]);
    patch.resource_names = Some(vec![node.name.clone()]);
    let evict = lab::rule("", &["pods/eviction"], &["create"]);
    let name = format!("patch-{}", node.name);
    for (kind, name, rule) in [("ClusterRole", name.as_str(), patch), ("Role", "evict", evict)] {
        let (version, metadata) = (format!("{group}/v1"), json!({"name": name}));
        world.apply(json!({"apiVersion": version, "kind": kind, "metadata": metadata, "rules": [rule]})).await?;
        world
            .apply(json!({
                "apiVersion": version, "kind": format!("{kind}Binding"), "metadata": metadata,
                "roleRef": {"apiGroup": group, "kind": kind, "name": name},
                "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
            }))
            .await?;
    }
    // The API server takes roles up within a second or so.
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while safe_drain_as(&kubeconfig, &["plan", &node.name]).await?.code != Some(0) {
        assert!(tokio::time::Instant::now() < deadline, "the roles never took effect");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    let output = safe_drain_as(&kubeconfig, &["plan", &node.name]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    let output = safe_drain_as(&kubeconfig, &["plan", &other.name]).await?;
    assert_eq!(output.code, Some(11), "the other node may not be patched: {output}");
    Ok(())
}

#[tokio::test]
async fn each_optional_kind_is_unknown_with_one_warning() -> Result<()> {
    let world = lab::shared()?.world("degraded").await?;
    let [node] = world.nodes(["n"]).await?;
    world.deployment("web").on(&node).create().await?;
    world.ready("deployment/web").await?;
    let kinds = [
        ("poddisruptionbudgets", "poddisruptionbudgets.policy"),
        ("deployments", "deployments.apps"),
        ("replicasets", "replicasets.apps"),
        ("replicationcontrollers", "replicationcontrollers"),
        ("statefulsets", "statefulsets.apps"),
        ("daemonsets", "daemonsets.apps"),
        ("jobs", "jobs.batch"),
    ];
    let (world, node) = (&world, &node);
    try_join_all(kinds.map(|(resource, full)| async move {
        let kubeconfig = world.user(resource, &lab::without(&lab::drainer_rules(), "list", resource)).await?;
        let output = safe_drain_as(&kubeconfig, &["plan", &node.name, "-o", "json"]).await?;
        assert_eq!(output.code, Some(0), "without {resource}: {output}");
        let plan = document(&output)?;
        let unknowns: Vec<&str> =
            plan["unknowns"].as_array().unwrap().iter().filter_map(|unknown| unknown["resource"].as_str()).collect();
        assert_eq!(unknowns, [full]);
        let warnings: Vec<&str> = output.stderr.lines().filter(|line| line.starts_with("Warning: ")).collect();
        assert_eq!(warnings.len(), 1, "{output}");
        assert!(warnings[0].starts_with(&format!("Warning: {full} unknown: ")), "{output}");
        assert!(warnings[0].contains("cannot list resource"), "{output}");
        let verdict = &plan["pods"][0]["budget"]["verdict"];
        assert_eq!(verdict, if resource == "poddisruptionbudgets" { "Unknown" } else { "None" });
        anyhow::Ok(())
    }))
    .await?;
    Ok(())
}
