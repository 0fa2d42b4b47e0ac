//! kubectl's own table (its `TestDrain`), executed: with evictions and with deletions.

use anyhow::{Context, Result};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, DynamicObject, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
};
use lab::{Node, World};
use serde_json::json;

use super::{changes, check_untouched, drain, is_ready, node_of, removed, stands};

/// The pod on the node, as kubectl's table names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    ReplicationController,
    DaemonSet,
    DaemonSetFinished,
    DaemonSetOrphan,
    DaemonSetWithEmptyDir,
    JobWithEmptyDir,
    JobFinished,
    ReplicaSet,
    Naked,
    NakedWithEmptyDir,
    NakedFailed,
    Nothing,
}

/// What becomes of the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Goes,
    /// The node is drained, and the pod stays there.
    Stays,
    /// Nothing is begun, for this reason.
    Refused(&'static str),
}

use self::{End::*, Sort::*};

const DAEMON: &str = "DaemonSet-managed Pods (use --ignore-daemonsets to ignore)";
const LOCAL: &str = "Pods with local storage (use --delete-emptydir-data to override)";
const NO_CONTROLLER: &str = "Pods that declare no controller (use --force to override)";
const BOTH: &[&str] = &["--force", "--delete-emptydir-data=true"];

/// The pod, the flags, what becomes of it, and the warnings.
type Case = (Sort, &'static [&'static str], End, &'static [&'static str]);

/// kubectl drops the warning about local storage where another one follows; we do not.
const CASES: [Case; 16] = [
    (ReplicationController, &[], Goes, &[]),
    (DaemonSet, &[], Refused(DAEMON), &[]),
    (DaemonSetFinished, &[], Goes, &[]),
    (DaemonSetOrphan, &[], Refused(NO_CONTROLLER), &[]),
    (DaemonSetOrphan, &["--force"], Goes, &["deleting Pods that declare no controller"]),
    (DaemonSet, &["--ignore-daemonsets"], Stays, &["ignoring DaemonSet-managed Pods"]),
    (DaemonSetWithEmptyDir, &["--ignore-daemonsets"], Stays, &["ignoring DaemonSet-managed Pods"]),
    (JobWithEmptyDir, BOTH, Goes, &["deleting Pods with local storage"]),
    (JobFinished, &[], Goes, &[]),
    (ReplicaSet, &[], Goes, &[]),
    (Naked, &[], Refused(NO_CONTROLLER), &[]),
    (Naked, &["--force"], Goes, &["deleting Pods that declare no controller"]),
    (NakedWithEmptyDir, &["--force"], Refused(LOCAL), &["deleting Pods that declare no controller"]),
    (NakedFailed, &[], Goes, &[]),
    (NakedWithEmptyDir, BOTH, Goes, &["deleting Pods with local storage", "deleting Pods that declare no controller"]),
    (Nothing, &[], Stays, &[]),
];

#[tokio::test(flavor = "multi_thread")]
async fn kubectls_table_with_evictions() -> Result<()> {
    try_join_all(CASES.map(|case| Box::pin(check(case, "evicted", &[])))).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectls_table_with_deletions() -> Result<()> {
    try_join_all(CASES.map(|case| Box::pin(check(case, "deleted", &["--disable-eviction"])))).await?;
    Ok(())
}

async fn check(row: Case, participle: &str, more: &[&str]) -> Result<()> {
    let (sort, flags, end, warnings) = row;
    let world = lab::shared()?.world("table").await?;
    let [node] = world.nodes(["n"]).await?;
    let daemon = populate(&world, &node, sort).await?;
    let before = pod_on(&world, &node, sort).await?;
    if matches!(sort, ReplicationController | ReplicaSet) {
        // Somewhere to go, from now on.
        world.nodes(["spare"]).await?;
    }
    let args = [&[node.name.as_str()], flags, more].concat();
    let output = drain(&world, &args).await?;
    let case = format!("{sort:?} with {flags:?} {more:?}: {output}");

    let pod = before.as_ref().map(ResourceExt::name_any).unwrap_or_default();
    let full_name = format!("{}/{pod}", world.namespace);
    let after = match &before {
        Some(before) => world.api::<Pod>().get_opt(&pod).await?.filter(|after| after.uid() == before.uid()),
        None => None,
    };
    let drained = format!("node/{} drained", node.name);
    match end {
        Goes => {
            assert_eq!(output.code, Some(0), "{case}");
            assert!(after.is_none(), "it is still there: {case}");
            assert_eq!(removed(&world).await?, [pod.as_str()], "removed exactly once: {case}");
            let verb = if participle == "evicted" { "evicting" } else { "deleting" };
            let expected = [
                format!("node/{} cordoned", node.name),
                format!("{verb} pod {full_name}"),
                format!("pod/{pod} {participle} (namespace {})", world.namespace),
                drained,
            ];
            assert_eq!(output.stdout.lines().collect::<Vec<_>>(), expected, "{case}");
        }
        Stays => {
            assert_eq!(output.code, Some(0), "{case}");
            assert_eq!(after.is_some(), before.is_some(), "{case}");
            let expected = [format!("node/{} cordoned", node.name), drained];
            assert_eq!(output.stdout.lines().collect::<Vec<_>>(), expected, "{case}");
            assert_eq!(removed(&world).await?, Vec::<String>::new(), "{case}");
        }
        Refused(reason) => {
            assert_eq!((output.code, output.stdout.as_str()), (Some(3), ""), "{case}");
            assert!(after.is_some(), "{case}");
            let error = format!("unable to drain node {:?}: cannot delete {reason}: {full_name}", node.name);
            assert!(output.stderr.contains(&error), "{error}\n{case}");
            assert_eq!(changes(&world).await?, Vec::<String>::new(), "{case}");
            check_untouched(&world, &node).await?;
        }
    }
    if !matches!(end, Refused(_)) {
        let (cordoned, record) = stands(&world, &node).await?;
        assert!(cordoned && record.is_some_and(|record| record["finished"].is_string()), "{case}");
    }
    // A refused drain need not warn of what it would have done.
    for warning in warnings.iter().filter(|_| !matches!(end, Refused(_))) {
        let line = format!("Warning: {warning}: {full_name}");
        assert!(output.stderr.lines().any(|given| given == line), "{line}\n{case}");
    }
    if let Some(daemon) = daemon {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", "DaemonSet"));
        let api: Api<DynamicObject> = Api::namespaced_with(world.client().clone(), &world.namespace, &resource);
        let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        api.patch(&daemon.name_any(), &PatchParams::default(), &patch).await?;
    }
    Ok(())
}

/// Puts the pod on the node; a DaemonSet comes back that its finalizer keeps.
async fn populate(world: &World, node: &Node, sort: Sort) -> Result<Option<DynamicObject>> {
    let once = json!({"spec": {"restartPolicy": "Never"}});
    match sort {
        ReplicationController => drop(world.replication_controller("bar").create().await?),
        ReplicaSet => drop(world.replica_set("bar").create().await?),
        DaemonSet => drop(world.daemon_set("bar").create().await?),
        DaemonSetWithEmptyDir => drop(world.daemon_set("bar").empty_dir().create().await?),
        // Its controller would remove a finished pod at once, but leaves everything alone once it is to be deleted.
        DaemonSetFinished => {
            let nowhere = json!({
                "metadata": {"finalizers": ["lab.test/stay"]},
                "spec": {"template": {"spec": {"nodeSelector": {"nowhere": "true"}}}},
            });
            let daemon = world.daemon_set("ds").patch(nowhere).create().await?;
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", "DaemonSet"));
            let api: Api<DynamicObject> = Api::namespaced_with(world.client().clone(), &world.namespace, &resource);
            api.delete("ds", &DeleteParams::background()).await?;
            let daemon = DynamicObject { types: api.get("ds").await?.types.or(daemon.types), ..api.get("ds").await? };
            let pod = world.pod("bar").scenario("complete").sim("run-duration", "100ms").owned_by(&daemon);
            pod.patch(once).on(node).create().await?;
            return Ok(Some(daemon));
        }
        DaemonSetOrphan => drop(world.pod("bar").label("app", "ds").on(node).create().await?),
        JobWithEmptyDir => drop(world.job("bar").empty_dir().create().await?),
        JobFinished => drop(world.job("bar").sim("run-duration", "100ms").empty_dir().create().await?),
        Naked => drop(world.pod("bar").on(node).create().await?),
        NakedWithEmptyDir => drop(world.pod("bar").empty_dir().on(node).create().await?),
        NakedFailed => drop(world.pod("bar").scenario("fail").empty_dir().patch(once).on(node).create().await?),
        Nothing => {}
    }
    Ok(None)
}

/// The pod, once it is as it is meant to be.
async fn pod_on(world: &World, node: &Node, sort: Sort) -> Result<Option<Pod>> {
    if sort == Nothing {
        return Ok(None);
    }
    let is_finished = matches!(sort, DaemonSetFinished | JobFinished | NakedFailed);
    let at_rest = |pod: &Pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
        node_of(pod) == node.name && if is_finished { matches!(phase, "Succeeded" | "Failed") } else { is_ready(pod) }
    };
    let pods = world.until_pods("one pod at rest", |pods| pods.len() == 1 && pods.iter().all(at_rest)).await?;
    Ok(Some(pods.into_iter().next().context("one pod")?))
}
