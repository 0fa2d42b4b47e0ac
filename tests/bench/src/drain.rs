//! How long real drains take, how many requests and how much memory, beside kubectl on the same cluster.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result};
use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::{WatchStreamExt, watcher};
use lab::{Lab, World};
use tokio::time::Instant;

use crate::{
    measure::{Program, Sample},
    table::{Bytes, Ratio, Table, Time},
};

/// Of what the cluster itself takes: from each eviction to the Ready of its replacement, one after the other.
const ONE_BY_ONE: Ratio = Ratio(1.15);
const ONE_BY_ONE_REQUESTS: usize = 30;

/// Of kubectl's whole time: until the last eviction is accepted, and until the node is drained.
const CROWD_LAST: Ratio = Ratio(0.2);
const CROWD: Ratio = Ratio(0.25);
const CROWD_REQUESTS: usize = 125;

const MEMORY: Bytes = Bytes(30_000_000);

/// Measures drains of nodes that nobody else uses.
pub(crate) fn run() -> Result<Table> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(measure_drains())
}

async fn measure_drains() -> Result<Table> {
    let lab = Lab::private()?;
    let mut table = Table::new("drain: of nodes of the lab, one run each");
    let kubectl = Drainer { lab: &lab, user: "bench-kubectl", program: lab.kubectl(), command: &["drain"] };
    let plugin = Drainer { lab: &lab, user: "bench-plugin", program: lab::plugin("safe-drain")?, command: &[] };
    // A first run of each fills caches.
    for drainer in [&kubectl, &plugin] {
        drainer.drain(&one_by_one(&lab, 1).await?, &[]).await?;
    }

    let theirs = kubectl.drain(&one_by_one(&lab, ON_NODE).await?, &[]).await?;
    let ours = plugin.drain(&one_by_one(&lab, ON_NODE).await?, &[]).await?;
    table.know("6 of 12 pods, budget of one: kubectl, time", theirs.sample.time());
    table.know("kubectl, requests", theirs.requests);
    table.know("safe-drain, time", ours.sample.time());
    table.know("what the cluster took of that", Time(ours.cluster));
    table.judge(
        "safe-drain, time over what the cluster took",
        ours.sample.time().ratio(Time(ours.cluster)),
        ONE_BY_ONE,
    );
    table.judge("safe-drain, requests", ours.requests, ONE_BY_ONE_REQUESTS);
    table.judge("safe-drain, peak memory", ours.sample.peak(), MEMORY);

    let theirs = kubectl.drain(&crowd(&lab).await?, &[]).await?;
    let flags = ["--max-unavailable=unlimited", "--concurrency=50"];
    let ours = plugin.drain(&crowd(&lab).await?, &flags).await?;
    table.know("100 pods, no budget: kubectl, time", theirs.sample.time());
    table.know("kubectl, requests", theirs.requests);
    table.know("safe-drain, time", ours.sample.time());
    table.know("safe-drain, last eviction accepted after", Time(ours.last_eviction));
    let last = Time(ours.last_eviction).ratio(theirs.sample.time());
    table.judge("that over kubectl's time", last, CROWD_LAST);
    table.judge("safe-drain, time over kubectl's", ours.sample.ratio(&theirs.sample), CROWD);
    table.judge("safe-drain, requests", ours.requests, CROWD_REQUESTS);
    table.judge("safe-drain, peak memory", ours.sample.peak(), MEMORY);
    Ok(table)
}

/// Pods on the node, and as many elsewhere.
const ON_NODE: i32 = 6;

/// A Deployment of which half runs on the node, with a budget that lets one be away.
async fn one_by_one(lab: &Lab, on_node: i32) -> Result<Scene> {
    let world = lab.world("one-by-one").await?;
    let [node, other] = world.nodes(["a", "b"]).await?;
    world.deployment("web").ready_delay("1s").on_each(&[(&node, on_node), (&other, on_node)]).create().await?;
    world.ready("deployment/web").await?;
    world.pod_disruption_budget("web").max_unavailable(1).create().await?;
    world.budget_settled("web").await?;
    Ok(Scene { world, node: node.name })
}

/// A hundred pods of one Deployment on the node.
async fn crowd(lab: &Lab) -> Result<Scene> {
    let world = lab.world("crowd").await?;
    let [node, _, _] = world.nodes(["a", "b", "c"]).await?;
    world.deployment("web").replicas(100).on(&node).create().await?;
    world.ready("deployment/web").await?;
    Ok(Scene { world, node: node.name })
}

struct Scene {
    world: World,
    node: String,
}

/// A program that drains, as a user of its own.
struct Drainer<'a> {
    lab: &'a Lab,
    user: &'a str,
    program: std::path::PathBuf,
    command: &'a [&'a str],
}

/// What a drain took.
struct Drained {
    sample: Sample,
    requests: usize,
    /// From the first request until the last eviction was accepted.
    last_eviction: Duration,
    /// The sum of the times from an eviction to the Ready of its replacement.
    cluster: Duration,
}

impl Drainer<'_> {
    async fn drain(&self, scene: &Scene, flags: &[&str]) -> Result<Drained> {
        let args = self.command.iter().copied().chain([scene.node.as_str()]).chain(flags.iter().copied());
        let kubeconfig = self.lab.powerful_user(self.user)?;
        let program = Program::new(Path::new(&self.program), args)?.kubeconfig(&kubeconfig);
        let follower = Follower::start(&scene.world);
        let audit = self.lab.audit();
        let mark = audit.mark()?;
        let sample = tokio::task::block_in_place(|| program.sample(1))?;
        // kubectl does not wait for replacements, and the watch may be a moment behind.
        scene.world.ready("deployment/web").await?;
        let cluster = follower.cluster_time();
        let requests = audit.since(mark).by(self.user).await?;
        let first = requests.iter().map(|request| request.received).min().context("it asked nothing")?;
        let evictions = requests.iter().filter(|request| request.subresource == "eviction" && request.code == 201);
        let last = evictions.map(|request| request.received).max().context("it evicted nothing")?;
        let last_eviction = Duration::try_from(last.duration_since(first))?;
        Ok(Drained { sample, requests: requests.len(), last_eviction, cluster })
    }
}

/// Follows the pods of a world: when each was deleted, when each became Ready.
struct Follower {
    seen: Arc<Mutex<Seen>>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    deleted: HashMap<String, Instant>,
    ready: HashMap<String, Instant>,
    /// Ready before anything was deleted.
    before: Vec<String>,
}

impl Follower {
    fn start(world: &World) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        let pods = watcher(world.api::<Pod>(), watcher::Config::default()).default_backoff().applied_objects();
        let task = tokio::spawn(async move {
            let mut pods = std::pin::pin!(pods);
            while let Ok(Some(pod)) = pods.try_next().await {
                if let Ok(mut seen) = shared.lock() {
                    seen.take(&pod);
                }
            }
        });
        Self { seen, task }
    }

    /// The sum of the times from a deletion to the next Ready, in their order.
    fn cluster_time(self) -> Duration {
        self.task.abort();
        let Ok(seen) = self.seen.lock() else { return Duration::ZERO };
        let sorted = |times: Vec<Instant>| {
            let mut times = times;
            times.sort();
            times
        };
        let deleted = sorted(seen.deleted.values().copied().collect());
        let ready =
            sorted(seen.ready.iter().filter(|(uid, _)| !seen.before.contains(uid)).map(|(_, at)| *at).collect());
        deleted.iter().zip(ready).map(|(deleted, ready)| ready.saturating_duration_since(*deleted)).sum()
    }
}

impl Seen {
    fn take(&mut self, pod: &Pod) {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let now = Instant::now();
        if pod.metadata.deletion_timestamp.is_some() {
            self.deleted.entry(uid).or_insert(now);
            return;
        }
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
        let is_ready =
            conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True");
        if is_ready {
            if self.deleted.is_empty() {
                self.before.push(uid.clone());
            }
            self.ready.entry(uid).or_insert(now);
        }
    }
}
