//! How long the plan of one node of a live cluster takes and how many requests, beside kubectl's dry run.

use std::path::Path;

use anyhow::Result;
use disruption::outcome::Exit;
use lab::{Lab, demo};

use crate::{
    measure::{self, Program},
    table::{Ratio, Table},
};

/// The node of the demo that has something of everything.
const NODE: &str = "worker-3";

/// Odd, so that there is one in the middle; each takes some tenths of a second.
const RUNS: usize = 15;

/// The plan reads eight kinds more than kubectl's dry run does; at once, so it may not take nine times as long.
const TARGET: Ratio = Ratio(2.0);

/// One request for each kind, one more for a kind of more than one page, and the questions about rights.
const TARGET_REQUESTS: usize = 15;

/// Pods that come on top of the demo's, to see that requests do not grow with pods.
const FURTHER_PODS: i32 = 200;

/// Their nodes: a node of the lab takes 110 pods.
const FURTHER_NODES: [&str; 2] = ["a", "b"];

/// How the plan of the node may end: something on it needs a flag, something is blocked.
const EXITS: [Exit; 3] = [Exit::Done, Exit::Refused, Exit::Blocked];

/// Measures plans of a cluster that nobody else uses.
pub(crate) fn run() -> Result<Table> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(measure_plans())
}

async fn measure_plans() -> Result<Table> {
    let binary = lab::plugin("safe-drain")?;
    let lab = Lab::private()?;
    demo::build(&lab).await?;
    let plugin = Program::new(&binary, ["plan", NODE])?
        .kubeconfig(&lab.powerful_user(PLUGIN)?)
        .codes(&EXITS.map(|exit| i32::from(exit.code())));
    let kubectl = kubectl(&lab, &lab.powerful_user(KUBECTL)?)?;
    let (plugins, kubectls) = measure::alternate(&plugin, &kubectl, RUNS)?;

    let mut table = Table::new(format!("plan: {NODE} of the lab's demo, median of {RUNS} alternating runs"));
    table.know("kubectl drain --dry-run=client, time", kubectls.time());
    table.know("kubectl drain --dry-run=client, requests", requests(&lab, KUBECTL, &kubectl).await?);
    table.know("safe-drain plan, time", plugins.time());
    table.judge("safe-drain plan, time over kubectl's", plugins.ratio(&kubectls), TARGET);
    table.judge("safe-drain plan, requests", requests(&lab, PLUGIN, &plugin).await?, TARGET_REQUESTS);

    let crowd = lab.world("crowd").await?;
    crowd.nodes(FURTHER_NODES).await?;
    crowd.deployment("crowd").replicas(FURTHER_PODS).create().await?;
    crowd.pods_ready(usize::try_from(FURTHER_PODS)?).await?;
    let name = format!("safe-drain plan, requests with {FURTHER_PODS} pods more");
    table.judge(name, requests(&lab, PLUGIN, &plugin).await?, TARGET_REQUESTS);
    Ok(table)
}

/// The users by whom the audit log tells the programs apart.
const PLUGIN: &str = "bench-plugin";
const KUBECTL: &str = "bench-kubectl";

/// kubectl's nearest to a plan, with the flags that make it go through all pods.
fn kubectl(lab: &Lab, kubeconfig: &Path) -> Result<Program> {
    let flags = ["--dry-run=client", "--ignore-daemonsets", "--force", "--delete-emptydir-data"];
    Ok(Program::new(&lab.kubectl(), ["drain", NODE].into_iter().chain(flags))?.kubeconfig(kubeconfig))
}

/// What one run of a program asks of the apiserver.
async fn requests(lab: &Lab, user: &str, program: &Program) -> Result<usize> {
    let audit = lab.audit();
    let mark = audit.mark()?;
    program.sample(1)?;
    Ok(audit.since(mark).by(user).await?.len())
}
