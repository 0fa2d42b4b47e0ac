//! How long a guard takes to its verdict and back, how much it asks and needs, beside kubectl on the same cluster.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};
use futures::TryStreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::{WatchStreamExt, watcher};
use lab::{Lab, World, audit::Request};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::{
    measure::{self, Program},
    table::{Bytes, Ratio, Table, Time},
};

/// From the first `ErrImagePull` of a pod to the verdict. kubectl waits for the progress deadline, 600 s by default.
const VERDICT: Time = Time(Duration::from_secs(2));

/// From the verdict until every pod is Ready again.
const BACK: Time = Time(Duration::from_secs(3));

/// A look takes no longer than kubectl's, although it reads pods, revisions and events too.
const LOOK: Ratio = Ratio(1.2);
const LOOK_REQUESTS: usize = 6;

/// Many workloads at once: watches of a kind, and memory.
const WORKLOADS: usize = 50;
const WATCHES_OF_A_KIND: usize = 3;
const MEMORY: Bytes = Bytes(40_000_000);

/// Odd, so that there is one in the middle.
const RUNS: usize = 15;

/// Rollouts that are undone.
const UNDONE: usize = 5;

const PLUGIN: &str = "bench-plugin";
const KUBECTL: &str = "bench-kubectl";

/// Measures guards of workloads that nobody else uses.
pub(crate) fn run() -> Result<Table> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(measure_guards())
}

async fn measure_guards() -> Result<Table> {
    let lab = Lab::private()?;
    let binary = lab::plugin("rollout-guard")?;
    let mut table =
        Table::new(format!("guard: of rollouts on the lab; {UNDONE} bad images, looks alternating {RUNS} times"));
    undo(&lab, &binary, &mut table).await?;
    look(&lab, &binary, &mut table).await?;
    crowd(&lab, &binary, &mut table).await?;
    Ok(table)
}

async fn deployment(lab: &Lab) -> Result<World> {
    let world = lab.world("guard").await?;
    world.node("a").create().await?;
    world.deployment("web").replicas(3).image("nginx:1.16.1").create().await?;
    world.ready("deployment/web").await?;
    Ok(world)
}

/// Bad images: the median times to the verdict and back.
async fn undo(lab: &Lab, binary: &Path, table: &mut Table) -> Result<()> {
    let (mut verdicts, mut backs) = (Vec::new(), Vec::new());
    for _ in 0..UNDONE {
        let world = deployment(lab).await?;
        let failed = first_failure(&world);
        world.set_image("deployment/web", "nginx:1.17.23").await?;
        let args = ["-n", &world.namespace, "deployment/web", "--stable-for", "3s", "-o", "json"];
        let output = lab::run(binary).kubeconfig(&lab.powerful_user(PLUGIN)?).args(args).output().await?;
        anyhow::ensure!(output.code == Some(7), "not undone: {output}");
        let failed = failed.await?.context("no pull failed")?;
        let events: Vec<Value> = output.stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let at = |holds: &dyn Fn(&Value) -> bool| -> Result<Timestamp> {
            let event = events.iter().find(|event| holds(event)).context("an event is missing")?;
            Ok(event["at"].as_str().context("an event without a time")?.parse()?)
        };
        let verdict = at(&|event| event["type"] == "StallProven")?;
        // The window begins when everything is Ready, and nothing of the bad version is left.
        let back = at(&|event| event["type"] == "RolloutEnded")? - jiff::SignedDuration::from_secs(3);
        verdicts.push(Duration::try_from(verdict.duration_since(failed)).unwrap_or_default());
        backs.push(Duration::try_from(back.duration_since(verdict)).unwrap_or_default());
    }
    table.judge("from the first ErrImagePull to the verdict", Time(measure::median(verdicts)), VERDICT);
    table.judge("from the verdict to full readiness", Time(measure::median(backs)), BACK);
    Ok(())
}

/// When a watch shows the first pod whose image cannot be pulled.
fn first_failure(world: &World) -> JoinHandle<Option<Timestamp>> {
    let pods = watcher(world.api::<Pod>(), watcher::Config::default()).default_backoff().applied_objects();
    tokio::spawn(async move {
        let mut pods = std::pin::pin!(pods);
        while let Ok(Some(pod)) = pods.try_next().await {
            let statuses = pod.status.and_then(|status| status.container_statuses).unwrap_or_default();
            let waiting =
                statuses.iter().filter_map(|status| status.state.as_ref()?.waiting.as_ref()?.reason.as_deref());
            if waiting.into_iter().any(|reason| reason == "ErrImagePull") {
                return Some(Timestamp::now());
            }
        }
        None
    })
}

async fn look(lab: &Lab, binary: &Path, table: &mut Table) -> Result<()> {
    let world = deployment(lab).await?;
    let namespace = world.namespace.as_str();
    let ours =
        Program::new(binary, ["-n", namespace, "status", "deployment/web"])?.kubeconfig(&lab.powerful_user(PLUGIN)?);
    let theirs =
        Program::new(&lab.kubectl(), ["-n", namespace, "rollout", "status", "deployment/web", "--watch=false"])?
            .kubeconfig(&lab.powerful_user(KUBECTL)?);
    let (looks, kubectls) = measure::alternate(&ours, &theirs, RUNS)?;
    let mark = lab.audit().mark()?;
    ours.sample(1)?;
    let requests = lab.audit().since(mark).by(PLUGIN).await?.len();
    table.know("kubectl rollout status --watch=false, time", kubectls.time());
    table.know("rollout-guard status, time", looks.time());
    table.judge("rollout-guard status, time over kubectl's", looks.ratio(&kubectls), LOOK);
    table.judge("rollout-guard status, requests", requests, LOOK_REQUESTS);
    Ok(())
}

/// Many Deployments that never get ready, watched for a while and for longer.
async fn crowd(lab: &Lab, binary: &Path, table: &mut Table) -> Result<()> {
    let world = lab.world("crowd").await?;
    world.nodes(["a", "b"]).await?;
    for number in 0..WORKLOADS {
        world.deployment(&format!("web-{number}")).image("registry.test/app:sim-unready").create().await?;
    }
    let (short, _) = watch(lab, binary, &world, "8s").await?;
    let (long, peak) = watch(lab, binary, &world, "24s").await?;
    let of_kind = |resource: &str| long.iter().filter(|it| it.verb == "watch" && it.resource == resource).count();
    let most = ["deployments", "replicasets", "pods", "events"].into_iter().map(of_kind).max().unwrap_or_default();
    table.know(format!("{WORKLOADS} Deployments watched for 8 s, requests"), short.len());
    table.judge("the same for 24 s, requests", long.len(), short.len());
    table.judge("watches of one kind", most, WATCHES_OF_A_KIND);
    table.judge("peak memory", peak, MEMORY);
    Ok(())
}

async fn watch(lab: &Lab, binary: &Path, world: &World, time: &str) -> Result<(Vec<Request>, Bytes)> {
    let args = ["-n", &world.namespace, "--all", "--timeout", time];
    let program = Program::new(binary, args)?.kubeconfig(&lab.powerful_user(PLUGIN)?).codes(&[6]);
    let mark = lab.audit().mark()?;
    let sample = tokio::task::block_in_place(|| program.sample(1))?;
    Ok((lab.audit().since(mark).by(PLUGIN).await?, sample.peak()))
}
