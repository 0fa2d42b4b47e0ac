//! The roles of docs/rbac: what they claim to allow works, and no right is in them that nothing needs.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use lab::{Node, Output, World};
use serde_json::json;

use crate::document::root;

const GOOD: &str = "registry.test/app:1";
/// It crashes again and again.
const BAD: &str = "registry.test/app:sim-crashloop";

/// Users that are tried at once.
const CONCURRENCY: usize = 4;

/// One verb on one resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    group: String,
    resource: String,
    verb: String,
}

fn role(name: &str) -> Result<Vec<Right>> {
    let text = fs::read_to_string(root().join(format!("docs/rbac/{name}.yaml"))).context(name.to_owned())?;
    let role: ClusterRole = serde_saphyr::from_str(&text)?;
    let mut rights = Vec::new();
    for rule in role.rules.context("a role without rules")? {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                for verb in &rule.verbs {
                    rights.push(Right { group: group.clone(), resource: resource.clone(), verb: verb.clone() });
                }
            }
        }
    }
    Ok(rights)
}

fn rules(rights: &[Right]) -> Vec<PolicyRule> {
    rights.iter().map(|right| lab::rule(&right.group, &[&right.resource], &[&right.verb])).collect()
}

async fn run(plugin: &str, kubeconfig: &Path, args: &[&str]) -> Result<Output> {
    lab::run(&lab::plugin(plugin)?).kubeconfig(kubeconfig).args(args).output().await
}

/// Runs `command` as users with all rights but one of them, for each that `is_asked` picks: every output.
async fn without_each<F: Future<Output = Result<Output>>>(
    world: &World,
    rights: &[Right],
    is_asked: impl Fn(&Right) -> bool,
    command: impl Fn(PathBuf) -> F,
    at_once: usize,
) -> Result<Vec<(String, Output)>> {
    let command = &command;
    let asked = rights.iter().enumerate().filter(|(_, right)| is_asked(right));
    stream::iter(asked)
        .map(|(number, right)| async move {
            let fewer: Vec<Right> = rights.iter().filter(|other| *other != right).cloned().collect();
            let user = world.user(&format!("without-{number}"), &rules(&fewer)).await?;
            Ok((format!("{} {}", right.verb, right.resource), command(user).await?))
        })
        .buffered(at_once)
        .try_collect()
        .await
}

/// Without one of `needed` a command ends with 11; without another right it goes on with `code` and says what it lacks.
fn check(outputs: &[(String, Output)], needed: &[&str], code: i32) {
    for (right, output) in outputs {
        let (verb, resource) = right.split_once(' ').unwrap_or_default();
        let is_needed = needed.contains(&right.as_str());
        assert_eq!(output.code, Some(if is_needed { 11 } else { code }), "without {right}: {output}");
        let names_it = |line: &str| line.contains(&format!("cannot {verb} resource \"{resource}"));
        assert!(output.stdout.lines().chain(output.stderr.lines()).any(names_it), "without {right}: {output}");
        let is_told = output.stderr.contains("Warning: ") || output.stderr.contains("note: ");
        assert!(is_needed || is_told, "without {right}: {output}");
    }
    let seen: Vec<&str> = outputs.iter().map(|(right, _)| right.as_str()).collect();
    assert!(needed.iter().all(|right| seen.contains(right)), "{needed:?} of {seen:?}");
}

fn says_nothing(output: &Output) {
    assert!(!output.stderr.contains("Warning: ") && !output.stderr.contains("note: "), "{output}");
}

/// Two nodes, and on the first a pod of each kind of owner.
async fn occupied(name: &str) -> Result<(World, [Node; 2])> {
    let world = lab::shared()?.world(name).await?;
    let nodes = world.nodes(["n", "o"]).await?;
    world.deployment("web").on(&nodes[0]).create().await?;
    world.stateful_set("db").on(&nodes[0]).create().await?;
    world.replication_controller("old").on(&nodes[0]).create().await?;
    world.pod_disruption_budget("web").max_unavailable(1).create().await?;
    for object in ["deployment/web", "statefulset/db", "replicationcontroller/old"] {
        world.ready(object).await?;
    }
    world.budget_settled("web").await?;
    Ok((world, nodes))
}

#[tokio::test]
async fn who_plans() -> Result<()> {
    let (world, [node, _]) = occupied("role-plan").await?;
    let rights = role("plan")?;
    let user = world.user("planner", &rules(&rights)).await?;
    // All of the plan, and that whoever asks may not do it.
    let output = run("safe-drain", &user, &["plan", &node.name]).await?;
    assert_eq!(output.code, Some(11), "{output}");
    assert!(output.stdout.contains("Evict ") && output.stderr.contains("cannot patch resource \"nodes\""), "{output}");
    says_nothing(&output);
    let output = run("safe-drain", &user, &["status"]).await?;
    assert_eq!(output.code, Some(0), "{output}");

    let plan = async |user: PathBuf| run("safe-drain", &user, &["plan", &node.name]).await;
    let outputs = without_each(&world, &rights, |right| right.resource != "nodes", plan, CONCURRENCY).await?;
    check(&outputs, &["list pods"], 11);
    let by_name = without_each(&world, &rights, |right| right.verb == "get", plan, CONCURRENCY).await?;
    check(&by_name, &["get nodes"], 11);
    let status = async |user: PathBuf| run("safe-drain", &user, &["status"]).await;
    let all =
        without_each(&world, &rights, |right| (&*right.verb, &*right.resource) == ("list", "nodes"), status, 1).await?;
    check(&all, &["list nodes"], 11);
    Ok(())
}

#[tokio::test]
async fn who_drains() -> Result<()> {
    let (world, nodes) = occupied("role-drain").await?;
    let rights = role("drain")?;
    let user = world.user("drainer", &rules(&rights)).await?;
    let [node, other] = &nodes;
    let all = format!("test={}", world.namespace);
    for args in [
        &["plan", &node.name][..],
        &[&node.name],
        &["uncordon", &node.name],
        &["cordon", &node.name],
        &["status"],
        &["repair"],
        &["uncordon", "-l", &all],
    ] {
        let output = run("safe-drain", &user, args).await?;
        assert_eq!(output.code, Some(0), "{args:?}: {output}");
        says_nothing(&output);
    }
    // The pods are on the other node now.
    let plan = async |user: PathBuf| run("safe-drain", &user, &["plan", &other.name]).await;
    let is_planned = |right: &Right| match (right.verb.as_str(), right.resource.as_str()) {
        // Of a pod that an answer was about; for selectors.
        ("get", "pods") | ("list", "nodes") => false,
        (verb, _) => verb != "watch",
    };
    let outputs = without_each(&world, &rights, is_planned, plan, CONCURRENCY).await?;
    check(&outputs, &["get nodes", "patch nodes", "list pods", "create pods/eviction"], 0);

    // To and fro: a watch shows only while pods move.
    let turn = AtomicUsize::new(1);
    let drain = async |user: PathBuf| {
        let node = &nodes[turn.fetch_add(1, Ordering::Relaxed) % 2].name;
        let output = run("safe-drain", &user, &[node]).await?;
        if output.code == Some(11) {
            turn.fetch_sub(1, Ordering::Relaxed);
        } else {
            let uncordoned = run("safe-drain", &world.tool()?, &["uncordon", node]).await?;
            assert_eq!(uncordoned.code, Some(0), "{uncordoned}");
        }
        Ok(output)
    };
    // Of a node the drain reads the record every half minute anyway.
    let is_shown = |right: &Right| right.verb == "watch" && right.resource != "nodes";
    let outputs = without_each(&world, &rights, is_shown, drain, 1).await?;
    check(&outputs, &["watch pods"], 0);
    Ok(())
}

#[tokio::test]
async fn who_watches() -> Result<()> {
    let world = lab::shared()?.world("role-watch").await?;
    world.node("a").create().await?;
    world.deployment("web").image(GOOD).create().await?;
    world.stateful_set("db").image(GOOD).create().await?;
    world.daemon_set("agent").image(GOOD).create().await?;
    for object in ["deployment/web", "statefulset/db", "daemonset/agent"] {
        world.ready(object).await?;
    }
    // A new version each, so that there is something to watch.
    for object in ["deployment/web", "statefulset/db", "daemonset/agent"] {
        world.set_image(object, "registry.test/app:2").await?;
    }
    let rights = role("watch")?;
    let user = world.user("watcher", &rules(&rights)).await?;
    // Long enough for each watch to be refused.
    let args = ["-n", &world.namespace, "--on-stall=report", "--stable-for=1h", "--timeout=3s", "--all"];
    let watch = async |user: PathBuf| run("rollout-guard", &user, &args).await;
    let output = watch(user).await?;
    assert_eq!(output.code, Some(6), "{output}");
    says_nothing(&output);
    let outputs = without_each(&world, &rights, |right| right.verb != "get", watch, CONCURRENCY).await?;
    let needed =
        ["deployments", "statefulsets", "daemonsets"].map(|kind| [format!("list {kind}"), format!("watch {kind}")]);
    let needed: Vec<&str> = needed.iter().flatten().map(String::as_str).collect();
    check(&outputs, &needed, 6);
    Ok(())
}

/// A Deployment whose good version names an object of each kind, and whose new one crashes.
async fn crashing(name: &str) -> Result<World> {
    let world = lab::shared()?.world(name).await?;
    let node = world.node("a").create().await?;
    world.local_volume("data", &node).await?;
    world.apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}})).await?;
    world
        .apply(json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
            "spec": {
                "accessModes": ["ReadWriteOnce"], "storageClassName": "local",
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }))
        .await?;
    let spec = json!({
        "serviceAccountName": "default",
        "nodeSelector": {"kubernetes.io/hostname": node.name},
        "containers": [{"name": "main", "image": GOOD, "envFrom": [{"configMapRef": {"name": "settings"}}]}],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
    });
    let labels = json!({"app": "web"});
    let template = json!({"metadata": {"labels": labels}, "spec": spec});
    let spec = json!({"selector": {"matchLabels": labels}, "template": template});
    world
        .apply(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}))
        .await?;
    world.ready("deployment/web").await?;
    world.set_image("deployment/web", BAD).await?;
    Ok(world)
}

#[tokio::test]
async fn who_looks_for_causes() -> Result<()> {
    let world = crashing("role-causes").await?;
    let rights = role("watch")?;
    let user = world.user("watcher", &rules(&rights)).await?;
    let namespace = world.namespace.as_str();
    let watch = async |user: PathBuf| {
        run("rollout-guard", &user, &["-n", namespace, "deployment/web", "--on-stall=report", "--max-restarts=1"]).await
    };
    let output = watch(user.clone()).await?;
    assert_eq!(output.code, Some(9), "{output}");
    assert!(!output.stderr.contains("Warning: "), "{output}");
    let log = without_each(&world, &rights, |right| right.resource == "pods/log", watch, CONCURRENCY).await?;
    check(&log, &[], 9);

    for (args, code) in [(&["status", "--max-restarts=1"][..], 9), (&["history"], 0), (&["undo", "--dry-run"], 0)] {
        let args = [args, &["-n", namespace, "deployment/web"]].concat();
        let output = run("rollout-guard", &user, &args).await?;
        assert_eq!(output.code, Some(code), "{output}");
        says_nothing(&output);
    }
    Ok(())
}

#[tokio::test]
async fn who_undoes() -> Result<()> {
    let rights = role("undo")?;
    let objects = |right: &Right| right.verb == "get" && right.resource != "pods/log";
    let changes = |right: &Right| right.verb == "patch" || right.verb == "delete";
    let watch: BTreeSet<Right> = rights.iter().filter(|right| !objects(right) && !changes(right)).cloned().collect();
    assert_eq!(watch, role("watch")?.into_iter().collect());

    let world = crashing("role-undo").await?;
    world.stateful_set("db").image(GOOD).create().await?;
    world.daemon_set("agent").image(GOOD).create().await?;
    world.ready("statefulset/db").await?;
    world.ready("daemonset/agent").await?;
    let args = ["-n", &world.namespace, "--all", "--max-restarts=1", "--stable-for=1s"];
    let guard = async |user: PathBuf| run("rollout-guard", &user, &args).await;
    let outputs = without_each(&world, &rights, changes, guard, CONCURRENCY).await?;
    check(&outputs, &["patch deployments", "patch statefulsets", "patch daemonsets", "delete pods"], 7);

    let user = world.user("guardian", &rules(&rights)).await?;
    let output = guard(user.clone()).await?;
    assert_eq!(output.code, Some(7), "{output}");
    assert!(!output.stderr.contains("not known"), "{output}");
    let outputs = without_each(
        &world,
        &rights,
        objects,
        async |user| {
            world.set_image("deployment/web", BAD).await?;
            guard(user).await
        },
        1,
    )
    .await?;
    check(&outputs, &[], 7);
    Ok(())
}
