//! What disruption budgets forbid and why: impossible ones, those that only wait, and waves.

use anyhow::Result;
use lab::World;
use serde_json::{Value, json};

use crate::runner::{codes, plan, pod, pods, safe_drain};

/// A world with two nodes and a Deployment with so many pods on each.
async fn world_with(name: &str, on_a: i32, on_b: i32) -> Result<(World, [lab::Node; 2])> {
    let world = lab::shared()?.world(name).await?;
    let nodes = world.nodes(["a", "b"]).await?;
    world.deployment("web").on_each(&[(&nodes[0], on_a), (&nodes[1], on_b)]).create().await?;
    world.ready("deployment/web").await?;
    Ok((world, nodes))
}

#[tokio::test]
async fn impossible_budgets_are_named_with_what_would_help() -> Result<()> {
    let (world, [node, _]) = world_with("impossible", 3, 0).await?;
    let scale = format!("run 1 more replica: kubectl -n {} scale deployment/web --replicas=4", world.namespace);
    let lower = format!("lower its minAvailable: kubectl -n {} edit pdb web", world.namespace);
    let edit = format!("set its maxUnavailable to 1: kubectl -n {} edit pdb web", world.namespace);
    for (field, value, why, remedy) in [
        ("minAvailable", json!(3), "its minAvailable of 3 leaves none of 3 pods to spare", &scale),
        ("minAvailable", json!("100%"), "its minAvailable of 100% leaves none of 3 pods to spare", &lower),
        ("minAvailable", json!("67%"), "its minAvailable of 67% leaves none of 3 pods to spare", &scale),
        ("maxUnavailable", json!(0), "its maxUnavailable of 0 never allows an eviction", &edit),
        ("maxUnavailable", json!("0%"), "its maxUnavailable of 0 never allows an eviction", &edit),
    ] {
        let mut spec =
            json!({"selector": {"matchLabels": {"app": "web"}}, "minAvailable": null, "maxUnavailable": null});
        spec[field] = value.clone();
        let metadata = json!({"name": "web", "namespace": world.namespace});
        world
            .apply(
                json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": spec}),
            )
            .await?;
        world.budget_settled("web").await?;

        let (output, seen) = plan(&world, &[&node.name]).await?;
        assert_eq!((output.code, seen["verdict"].as_str()), (Some(4), Some("Blocked")), "{field} {value}: {output}");
        let budget = &seen["budgets"][0];
        assert_eq!(budget["verdict"], "AlwaysBlocked", "{field} {value}");
        assert_eq!((&budget["desiredHealthy"], &budget["currentHealthy"]), (&json!(3), &json!(3)), "{field} {value}");
        let blocked = pod(&seen, "web-");
        assert_eq!((blocked["action"].as_str(), blocked["wave"].as_u64()), (Some("Refuse"), None));
        let reason = &blocked["reasons"].as_array().unwrap().last().unwrap();
        assert_eq!(reason["code"], "BudgetAlwaysBlocked");
        let needs = format!("disruption budget {}/web needs 3 healthy pods and has 3 currently", world.namespace);
        assert_eq!(reason["message"], format!("{needs}: {why}"));
        assert_eq!(reason["remedy"], **remedy, "{field} {value}");
    }
    Ok(())
}

#[tokio::test]
async fn two_budgets_on_one_pod_and_an_owner_without_scale() -> Result<()> {
    let (world, [node, _]) = world_with("several", 2, 0).await?;
    for name in ["one", "two"] {
        world
            .pod_disruption_budget(name)
            .max_unavailable(1)
            .selector(json!({"matchLabels": {"app": "web"}}))
            .create()
            .await?;
        world.budget_settled(name).await?;
    }
    let gadget = world.gadget("g").await?;
    world.pod("custom").label("app", "custom").owned_by(&gadget).on(&node).create().await?;
    world.pods_ready(3).await?;
    world.pod_disruption_budget("custom").max_unavailable(1).create().await?;
    world
        .until::<k8s_openapi::api::policy::v1::PodDisruptionBudget>(
            "custom",
            "a failed sync",
            lab::wait::LIMIT,
            |budget| {
                let conditions = budget.and_then(|budget| budget.status.as_ref()?.conditions.as_ref());
                conditions.is_some_and(|conditions| conditions.iter().any(|condition| condition.reason == "SyncFailed"))
            },
        )
        .await?;

    let (output, seen) = plan(&world, &[&node.name]).await?;
    assert_eq!(output.code, Some(4), "{output}");
    let web = pod(&seen, "web-");
    assert_eq!(web["budget"]["verdict"], "MultipleBudgets");
    assert_eq!(web["budget"]["names"], json!(["one", "two"]));
    let custom = pod(&seen, "custom");
    assert_eq!(custom["budget"]["verdict"], "SyncFailed");
    let message = custom["budget"]["message"].as_str().unwrap();
    assert!(message.ends_with("gadgets.lab.test does not implement the scale subresource"), "{message}");

    // The server says the same.
    let (_, asked) = plan(&world, &[&node.name, "--dry-run=server"]).await?;
    assert_eq!(asked["verdict"], "Blocked");
    Ok(())
}

#[tokio::test]
async fn a_budget_that_is_blocked_only_now_says_by_which_pod() -> Result<()> {
    let (world, [a, b]) = world_with("now", 2, 1).await?;
    let other = world.pods_on(&b).await?.remove(0);
    world.pod_disruption_budget("web").max_unavailable(1).create().await?;
    world.label_pod(&other, "sim.test/ready", Some("false")).await?;
    world
        .until::<k8s_openapi::api::policy::v1::PodDisruptionBudget>("web", "2 healthy", lab::wait::LIMIT, |budget| {
            budget.and_then(|budget| budget.status.as_ref()).is_some_and(|status| status.current_healthy == Some(2))
        })
        .await?;

    let (output, seen) = plan(&world, &[&a.name]).await?;
    assert_eq!((output.code, seen["verdict"].as_str()), (Some(4), Some("Blocked")), "{output}");
    let blocked = pod(&seen, "web-");
    assert_eq!(blocked["budget"]["verdict"], "BlockedNow");
    assert_eq!((blocked["action"].as_str(), blocked["wave"].as_u64()), (Some("Wait"), None));
    let message = blocked["budget"]["message"].as_str().unwrap();
    let expected = format!(
        "disruption budget {0}/web needs 2 healthy pods and has 2 currently: waits for pod {0}/{other} on {1} (not Ready",
        world.namespace, b.name
    );
    assert!(message.starts_with(&expected), "{message}");

    // The unready pod itself goes free: it costs nothing.
    let (output, seen) = plan(&world, &[&b.name]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(pod(&seen, &other)["budget"]["verdict"], "Free");
    Ok(())
}

#[tokio::test]
async fn pods_under_a_budget_of_one_are_as_many_waves_over_all_nodes() -> Result<()> {
    let (world, [a, b]) = world_with("waves", 3, 2).await?;
    world.pod_disruption_budget("web").max_unavailable(1).create().await?;
    world.budget_settled("web").await?;

    let (output, seen) = plan(&world, &[&a.name, &b.name]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    let waves: Vec<u64> = pods(&seen).iter().filter_map(|pod| pod["wave"].as_u64()).collect();
    let mut sorted = waves.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [1, 2, 3, 4, 5], "two nodes, one ledger");
    let verdicts = |verdict: &str| pods(&seen).iter().filter(|pod| pod["budget"]["verdict"] == verdict).count();
    assert_eq!((verdicts("Allowed"), verdicts("Later")), (1, 4));
    let second: &Value = &seen["waves"][1];
    assert_eq!(second["waitsFor"], seen["waves"][0]["pods"], "each wave waits for the one before");

    // The drain of one node alone has three.
    let (_, seen) = plan(&world, &[&a.name]).await?;
    assert_eq!(seen["waves"].as_array().map(Vec::len), Some(3));
    Ok(())
}

#[tokio::test]
async fn workloads_without_a_budget_are_spared_unless_told_otherwise() -> Result<()> {
    let (world, [a, _]) = world_with("implied", 8, 0).await?;
    world.stateful_set("db").replicas(2).on(&a).create().await?;
    world.ready("statefulset/db").await?;
    for (limit, waves, at_once) in
        [("auto", 4, json!(2)), ("1", 8, json!(1)), ("50%", 2, json!(4)), ("unlimited", 1, Value::Null)]
    {
        let (output, seen) = plan(&world, &[&a.name, "--max-unavailable", limit]).await?;
        assert_eq!(output.code, Some(0), "{limit}: {output}");
        let web = seen["impliedBudgets"].as_array().unwrap().iter().find(|budget| budget["name"] == "web").unwrap();
        assert_eq!((&web["maxUnavailable"], &web["kind"]), (&at_once, &json!("Deployment")), "{limit}");
        let last =
            pods(&seen).iter().filter(|pod| pod["owner"]["name"] == "web").filter_map(|pod| pod["wave"].as_u64()).max();
        assert_eq!(last, Some(waves), "{limit}");
    }
    Ok(())
}

#[tokio::test]
async fn what_kubectl_does_not_look_at_is_said() -> Result<()> {
    let world = lab::shared()?.world("notes").await?;
    let [node] = world.nodes(["n"]).await?;
    let toleration = json!({"key": "node.kubernetes.io/unschedulable", "operator": "Exists"});
    world.deployment("sticky").tolerate(toleration).host_path("/var/lib/sticky").port(80).create().await?;
    world.deployment("polite").port(80).pre_stop(&json!({"sleep": {"seconds": 5}})).create().await?;
    let hold = json!({"spec": {"template": {"metadata": {"annotations": {"karpenter.sh/do-not-disrupt": "true"}}}}});
    world.deployment("held").patch(hold).create().await?;
    world.pod("kept").finalizer("lab.test/stay").on(&node).create().await?;
    world.pods_ready(4).await?;
    let (_, seen) = plan(&world, &[&node.name, "--force"]).await?;
    assert_eq!(codes(pod(&seen, "sticky")), ["HostPath", "ToleratesCordon", "NoPreStop"]);
    assert_eq!(codes(pod(&seen, "polite")), Vec::<&str>::new());
    assert_eq!(codes(pod(&seen, "held")), ["HeldForOtherTool"]);
    assert_eq!(codes(pod(&seen, "kept")), ["Unreplicated", "Finalizers"]);
    let text = safe_drain(&world, &["plan", &node.name, "--force"]).await?;
    assert!(text.stdout.contains("marked karpenter.sh/do-not-disrupt"), "{text}");
    // The finalizer would keep the namespace.
    let pods = world.api::<k8s_openapi::api::core::v1::Pod>();
    let patch = kube::api::Patch::Merge(json!({"metadata": {"finalizers": null}}));
    pods.patch("kept", &kube::api::PatchParams::default(), &patch).await?;
    Ok(())
}
