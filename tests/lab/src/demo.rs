//! A small shop on four nodes, to try the plugins by hand.

use anyhow::Result;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::{ResourceExt, api::PostParams};
use serde_json::json;

use crate::{Lab, Node, World, identity};

/// What [`build`] builds.
pub const DESCRIPTION: &str = "\
Four nodes, worker-1 to worker-4, in the zones a and b. In the namespace shop:
  deployment/web         6 pods, 2 of them on worker-3; budget: 1 may be away
  deployment/cart        3 pods, 1 of them on worker-3; no budget
  deployment/payments    1 pod on worker-3; budget: 1 must stay, so it can never be evicted
  deployment/cache       1 pod on worker-3; keeps its data in an emptyDir
  statefulset/db         2 pods on worker-1 and worker-3, where their volumes are
  cronjob/report         job/report-manual of it runs for two hours on worker-3
  pod/debug              on worker-3; nothing would replace it
In the namespace monitoring:
  daemonset/node-agent   on every node";

/// All nodes of the demo are in one group, and its pods run on them only.
const GROUP: &str = "demo";

/// Builds the demo in `lab`, and waits until all of it is ready. What is there already is left as it is, but
/// cordoned nodes are uncordoned: after a drain this puts back what the drain took away.
///
/// # Errors
/// The apiserver refuses, or something does not get ready.
pub async fn build(lab: &Lab) -> Result<()> {
    let monitoring = World::named(lab, "monitoring", GROUP).await?;
    let shop = World::named(lab, "shop", GROUP).await?;
    let workers = [
        shop.node("worker-1").zone("a").create().await?,
        shop.node("worker-2").zone("a").create().await?,
        shop.node("worker-3").zone("b").create().await?,
        shop.node("worker-4").zone("b").create().await?,
    ];
    for worker in &workers {
        shop.cordon(worker, false).await?;
    }
    build_monitoring(&monitoring).await?;
    build_shop(&shop, &workers).await?;

    monitoring.ready("daemonset/node-agent").await?;
    for object in [
        "deployment/web",
        "deployment/cart",
        "deployment/payments",
        "deployment/cache",
        "statefulset/db",
        "job/report-manual",
        "pod/debug",
    ] {
        shop.ready(object).await?;
    }
    shop.budget_settled("web").await?;
    shop.budget_settled("payments").await?;
    Ok(())
}

async fn build_monitoring(monitoring: &World) -> Result<()> {
    let everywhere = json!({"operator": "Exists"});
    let agent = monitoring.daemon_set("node-agent").image("registry.test/node-agent:2.4.0").tolerate(everywhere);
    agent.requests("100m", "64Mi").host_path("/var/log").create().await?;
    Ok(())
}

async fn build_shop(shop: &World, [one, two, three, four]: &[Node; 4]) -> Result<()> {
    let web = shop.deployment("web").image("registry.test/web:1.8.2").port(8080).requests("250m", "128Mi");
    // Slow enough that a drain has to wait for replacements.
    let web = web.ready_delay("2s").stop_seconds(1.0);
    web.on_each(&[(one, 2), (two, 1), (three, 2), (four, 1)]).create().await?;
    shop.pod_disruption_budget("web").max_unavailable(1).create().await?;

    let cart = shop.deployment("cart").image("registry.test/cart:0.9.0").port(8080).requests("200m", "96Mi");
    cart.on_each(&[(two, 1), (three, 1), (four, 1)]).create().await?;

    let payments = shop.deployment("payments").image("registry.test/payments:3.1.0").requests("500m", "256Mi");
    payments.on(three).create().await?;
    shop.pod_disruption_budget("payments").min_available(1).create().await?;

    let cache = shop.deployment("cache").image("registry.test/cache:7.2").requests("500m", "1Gi").empty_dir();
    cache.on(three).create().await?;

    shop.local_volume("data-db-0", one).await?;
    shop.local_volume("data-db-1", three).await?;
    let db = shop.stateful_set("db").replicas(2).image("registry.test/postgres:17").volume_claim("data");
    db.requests("1", "2Gi").stop_seconds(2.0).grace_seconds(10).create().await?;

    shop.pod("debug").image("registry.test/toolbox:1").on(three).create().await?;
    build_report(shop, three).await
}

/// A CronJob that is never due, and a Job made of it as `kubectl create job --from` does.
async fn build_report(shop: &World, node: &Node) -> Result<()> {
    let template = json!({
        "metadata": {"labels": {"app": "report"}, "annotations": {"sim.test/run-duration": "2h"}},
        "spec": {
            "restartPolicy": "Never",
            "nodeSelector": {"test": GROUP},
            "containers": [{"name": "main", "image": "registry.test/report:5"}],
        },
    });
    let spec = json!({"schedule": "0 3 29 2 *", "jobTemplate": {"spec": {"template": template}}});
    let metadata = json!({"name": "report"});
    let object = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": spec});
    let cron: CronJob = identity::apply(&shop.api(), "report", &object).await?;

    let jobs = shop.api::<Job>();
    if jobs.get_opt("report-manual").await?.is_none() {
        let mut template = template;
        template["spec"]["nodeName"] = node.name.clone().into();
        let owner = json!({
            "apiVersion": "batch/v1", "kind": "CronJob", "name": "report", "uid": cron.uid(), "controller": true,
        });
        let job = json!({
            "metadata": {
                "name": "report-manual",
                "annotations": {"cronjob.kubernetes.io/instantiate": "manual"},
                "ownerReferences": [owner],
            },
            "spec": {"template": template},
        });
        jobs.create(&PostParams::default(), &serde_json::from_value(job)?).await?;
    }
    Ok(())
}
