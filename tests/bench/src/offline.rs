//! How long the plan of a large cluster takes without its server: in memory, and from a file that kubectl printed.

use std::{
    hint::black_box,
    io::{BufWriter, Write},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result};
use disruption::{
    drain::{
        document::{DrainPlan, Place},
        options::Options,
        plan,
    },
    model::NodeName,
    outcome::Exit,
    snapshot::Snapshot,
};
use tokio::time::Instant;

use crate::{
    measure::{self, Program},
    synthetic::{self, Cluster},
    table::{Bytes, Ratio, Table, Time},
};

/// Numbers of pods. The last is the size that the targets are about.
const SIZES: [usize; 3] = [25_000, 50_000, LARGEST];
const LARGEST: usize = 100_000;

/// Nodes that are drained as one.
const DRAINED_NODES: usize = 50;

/// Odd, so that there is one in the middle.
const PLANS: usize = 11;
const READS: usize = 3;

/// Short enough to plan again after each change of the cluster.
const TARGET_PLAN: Time = Time(Duration::from_secs(1));

/// So many times the pods may take so many times as long, and a quarter more: times of milliseconds are not exact.
const TARGET_GROWTH: f64 = 1.25;

/// About what kubectl needs to print the same cluster.
const TARGET_READ: Time = Time(Duration::from_secs(15));

/// The file itself does not fit in this.
const TARGET_PEAK: Bytes = Bytes(600_000_000);

/// Measures plans without a cluster.
pub(crate) fn run() -> Result<Table> {
    let mut table = Table::new(format!(
        "offline: {DRAINED_NODES} of {} nodes, {} budgets; medians of {PLANS} plans and of {READS} reads",
        synthetic::NODES,
        synthetic::BUDGETS
    ));
    let mut first: Option<(usize, Time)> = None;
    for pods in SIZES {
        let Planned { drained, time, processor_time } = plan_in_memory(&Cluster::new(pods))?;
        table.judge(format!("plan of {drained} pods among {pods}, in memory"), time, TARGET_PLAN);
        table.know("its processor time", processor_time);
        if let Some((fewest, least)) = first {
            let growth = Ratio(exact(pods) / exact(fewest) * TARGET_GROWTH);
            table.judge(format!("that over the one among {fewest}"), processor_time.ratio(least), growth);
        } else {
            first = Some((pods, processor_time));
        }
    }
    read_from_file(&Cluster::new(LARGEST), &mut table)?;
    Ok(table)
}

/// What plans took.
struct Planned {
    /// The number of pods in them.
    drained: usize,
    time: Time,
    processor_time: Time,
}

fn plan_in_memory(cluster: &Cluster) -> Result<Planned> {
    let snapshot = cluster.snapshot()?;
    let targets = drained_nodes();
    let options = Options { force: true, ignore_daemonsets: true, delete_emptydir_data: true, ..Options::default() };
    let drained = write_plan(&snapshot, &targets, &options)?.pods.len();
    let (mut times, mut processor_times) = (Vec::new(), Vec::new());
    for _ in 0..PLANS {
        let (started, processor_time) = (Instant::now(), measure::own_processor_time()?);
        let document = black_box(write_plan(black_box(&snapshot), &targets, &options)?);
        times.push(started.elapsed());
        processor_times.push(measure::own_processor_time()?.saturating_sub(processor_time));
        drop(document);
    }
    let median = |times| Time(measure::median(times));
    Ok(Planned { drained, time: median(times), processor_time: median(processor_times) })
}

#[expect(clippy::cast_precision_loss, reason = "numbers of pods are small")]
fn exact(count: usize) -> f64 {
    count as f64
}

fn write_plan(snapshot: &Snapshot, targets: &[NodeName], options: &Options) -> Result<DrainPlan> {
    Ok(DrainPlan::new(&plan::plan(snapshot, targets, options)?, Place::default()))
}

fn read_from_file(cluster: &Cluster, table: &mut Table) -> Result<()> {
    let file = tempfile::Builder::new().prefix("cluster-").suffix(".json").tempfile()?;
    let mut writer = BufWriter::new(&file);
    cluster.write(&mut writer).and_then(|()| Ok(writer.flush()?)).context("writing the cluster to a file")?;
    drop(writer);
    let size = file.as_file().metadata()?.len();
    let reads = reader(file.path())?.sample(READS)?;

    table.know(format!("size of the file with {} pods", cluster.pods()), Bytes(size));
    table.judge("plan --from-file of it, time", reads.time(), TARGET_READ);
    table.know("plan --from-file of it, processor time", reads.processor_time());
    table.judge("plan --from-file of it, peak memory", reads.peak(), TARGET_PEAK);
    Ok(())
}

fn reader(file: &Path) -> Result<Program> {
    let nodes = drained_nodes().into_iter().map(|node| node.0.into());
    let flags = ["--force", "--ignore-daemonsets", "--delete-emptydir-data", "--from-file"].map(Into::into);
    let args = [std::ffi::OsString::from("plan")].into_iter().chain(nodes).chain(flags).chain([file.into()]);
    let exits = [Exit::Done, Exit::Blocked].map(|exit| i32::from(exit.code()));
    Ok(Program::new(&lab::plugin("safe-drain")?, args)?.codes(&exits))
}

/// Spread over the cluster.
fn drained_nodes() -> Vec<NodeName> {
    let step = synthetic::NODES / DRAINED_NODES;
    (0..DRAINED_NODES).map(|number| NodeName(synthetic::node_name(number * step))).collect()
}
