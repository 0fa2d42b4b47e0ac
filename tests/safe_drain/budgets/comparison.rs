//! What we say of a population and what the server says: every budget's numbers, the answer to every pod's eviction.

use std::{collections::BTreeSet, fmt::Write, time::Duration};

use anyhow::{Context, Result, bail};
use cluster::{
    act::{self, Effect},
    connect::{self, ConnectOptions, Connection},
    error::Error,
    observe::{self, Chunks, WantedNodes},
};
use disruption::{
    action::Removal,
    budget::{
        arithmetic::{self, Sync, SyncError},
        ledger::{Account, Answer, Block, BudgetState, Ledger},
    },
    drain::options::{MaxUnavailable, Options},
    model::{BudgetStatus, DisruptionBudget, NodeName, Pod},
    snapshot::Snapshot,
    workload::Owner,
};
use futures::{StreamExt, future::try_join_all, stream};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::{
    ResourceExt,
    api::{ListParams, Patch, PatchParams},
    runtime::watcher,
};
use lab::{World, wait};
use serde_json::json;
use tokio::time::Instant;

use super::population::Population;

/// How long the controller may take until it has seen a world that is at rest as it is.
const LIMIT: Duration = Duration::from_secs(30);

/// Evictions asked for at once.
const CONCURRENCY: usize = 8;

/// Compares until everything is equal, which then is final.
pub(super) async fn compare(populations: &[Population]) -> Result<()> {
    let connection = &populations[0].connection;
    try_join_all(populations.iter().map(Population::grant)).await?;
    let deadline = Instant::now() + LIMIT;
    let mut different: Vec<&Population> = populations.iter().collect();
    while !different.is_empty() {
        try_join_all(different.iter().map(|population| resync(&population.world, ""))).await?;
        let snapshot = Box::pin(observe(connection, populations)).await?;
        let mut report = String::new();
        let mut left = Vec::new();
        for population in different {
            let found = differences(&snapshot, population).await?;
            if !found.is_empty() {
                left.push(population);
                report.push_str(&found);
            }
        }
        different = left;
        if Instant::now() > deadline && !report.is_empty() {
            bail!("after {} s, of {} worlds:\n{report}", LIMIT.as_secs(), populations.len());
        }
    }
    Ok(())
}

/// A connection with the rights of the world's tool.
pub(super) fn connect(world: &World) -> Result<Connection> {
    let options = ConnectOptions { kubeconfig: Some(world.tool()?), ..ConnectOptions::default() };
    Ok(connect::connect_from(&options, &connect::Environment::default())?)
}

/// Waits until the controller has computed the budgets with these labels anew.
///
/// It does so after every change of a budget and writes the status if it differs. So the condition is taken out of the
/// status: when it is back, so are numbers from after this call. Left to itself the controller would not do so: at an
/// event of a pod it looks at the first of the pod's budgets only.
pub(super) async fn resync(world: &World, labels: &str) -> Result<()> {
    let budgets = world.api::<PodDisruptionBudget>();
    let names = budgets.list_metadata(&ListParams::default().labels(labels)).await?;
    let no_condition = Patch::Merge(json!({"status": {"conditions": null}}));
    let params = PatchParams::default();
    let patched = names.iter().map(|budget| {
        let (budgets, name) = (&budgets, budget.name_any());
        let (params, no_condition) = (&params, &no_condition);
        async move { budgets.patch_status(&name, params, no_condition).await }
    });
    try_join_all(patched).await?;
    let synced = |budgets: &[PodDisruptionBudget]| {
        budgets.iter().all(|budget| {
            let status = budget.status.as_ref();
            status.and_then(|status| status.conditions.as_ref()).is_some_and(|conditions| !conditions.is_empty())
        })
    };
    let which = watcher::Config::default().labels(labels);
    wait::until_all(world.api(), which, "computed budgets", wait::LIMIT, synced).await?;
    Ok(())
}

async fn observe(connection: &Connection, populations: &[Population]) -> Result<Snapshot> {
    let nodes: Vec<NodeName> = populations.iter().map(|population| NodeName(population.node.name.clone())).collect();
    let wanted = WantedNodes::Named(nodes.clone());
    let mut snapshot = Box::pin(observe::observe(connection, &wanted, Chunks::default())).await?.snapshot;
    observe::observe_scales(connection, &mut snapshot, &nodes, &options()).await;
    Ok(snapshot)
}

fn options() -> Options {
    Options { max_unavailable: MaxUnavailable::Unlimited, ..Options::default() }
}

/// One line for each difference.
async fn differences(snapshot: &Snapshot, population: &Population) -> Result<String> {
    let mut lines = String::new();
    let namespace = &population.world.namespace;
    let budgets: Vec<_> = snapshot.budgets.iter().filter(|budget| &budget.name.namespace == namespace).collect();
    let names: BTreeSet<_> = budgets.iter().map(|budget| &budget.name.name).collect();
    assert!(names.into_iter().eq(population.budgets.keys()), "all budgets of {namespace} are in the snapshot");
    for budget in budgets {
        let (title, described) = &population.budgets[&budget.name.name];
        let written = Numbers::written(&budget.status);
        let ours = Numbers::computed(budget, snapshot);
        let expected = described.expected.as_ref().unwrap_or(&written.text);
        if written != ours || &written.text != expected {
            writeln!(lines, "{title}: {} {} {:?}", budget.name, described.spec, described.selector)?;
            writeln!(lines, "  the controller: {written:?}\n  computed:       {ours:?}\n  expected:       {expected}")?;
            for pod in covered(snapshot, budget) {
                writeln!(lines, "    {}", shown(snapshot, pod))?;
            }
        }
    }
    let pods: Vec<_> = snapshot.pods.iter().filter(|pod| &pod.name.namespace == namespace).collect();
    let ledger = &Ledger::open(snapshot, &pods, &options());
    let answers = stream::iter(pods)
        .map(|pod| async move { (pod, asked(&population.connection, pod).await, predicted(ledger, pod)) })
        .buffered(CONCURRENCY);
    let answers: Vec<_> = answers.collect().await;
    for (pod, asked, predicted) in answers {
        let asked = asked?;
        if asked != predicted {
            writeln!(lines, "eviction of {}", shown(snapshot, pod))?;
            writeln!(lines, "  the server: {asked}\n  the ledger: {predicted}")?;
        }
    }
    Ok(lines)
}

/// What a budget's status says.
#[derive(Debug, PartialEq, Eq)]
struct Numbers {
    /// The reason of condition `DisruptionAllowed`.
    reason: String,
    /// The four numbers, or the message of a failed sync.
    text: String,
}

impl Numbers {
    fn written(status: &BudgetStatus) -> Self {
        let condition = status.condition.clone();
        let (reason, message) = condition.map(|condition| (condition.reason, condition.message)).unwrap_or_default();
        if reason == "SyncFailed" {
            return Self { reason, text: message };
        }
        let BudgetStatus { expected_pods, desired_healthy, current_healthy, disruptions_allowed, .. } = status;
        Self { reason, text: sentence(*expected_pods, *desired_healthy, *current_healthy, *disruptions_allowed) }
    }

    fn computed(budget: &DisruptionBudget, snapshot: &Snapshot) -> Self {
        match arithmetic::sync(budget, &covered(snapshot, budget), &snapshot.workloads, snapshot.taken_at) {
            Ok(Sync { counts, .. }) => {
                let allowed = counts.allowed();
                let reason = if allowed > 0 { "SufficientPods" } else { "InsufficientPods" };
                let text = sentence(counts.expected, counts.desired, counts.healthy, allowed);
                Self { reason: reason.to_owned(), text }
            }
            Err(SyncError::Unknown { resource }) => Self { reason: "Unknown".to_owned(), text: resource },
            Err(error) => Self { reason: "SyncFailed".to_owned(), text: error.to_string() },
        }
    }
}

fn sentence(expected: i32, desired: i32, healthy: i32, allowed: i32) -> String {
    format!("expects {expected}, needs {desired}, has {healthy}, allows {allowed}")
}

/// The server's answer to a dry run of the eviction.
async fn asked(connection: &Connection, pod: &Pod) -> Result<String> {
    match act::remove(connection, &pod.name, &pod.uid, Removal::Evict, None, Effect::DryRun).await {
        Ok(()) => Ok(GRANTED.to_owned()),
        Err(Error::Api(status)) => {
            let causes = status.details.iter().flat_map(|details| &details.causes);
            let cause = causes.into_iter().find(|cause| cause.reason == "DisruptionBudget");
            let text = cause.map_or(&status.message, |cause| &cause.message);
            Ok(format!("{}: {text}", status.code))
        }
        Err(error) => Err(error).with_context(|| format!("asking about {}", pod.name)),
    }
}

/// The ledger's answer, in the server's words.
fn predicted(ledger: &Ledger<'_>, pod: &Pod) -> String {
    let refused = || ledger.budgets_of(pod).next().map_or_else(String::new, refusal);
    match ledger.ask(pod) {
        Answer::NoBudget | Answer::Free(_) | Answer::Allowed => GRANTED.to_owned(),
        Answer::Blocked(Block::Now | Block::Always | Block::SyncFailed) => refused(),
        Answer::Blocked(Block::MultipleBudgets) => SEVERAL.to_owned(),
        other => format!("{other:?}"),
    }
}

const GRANTED: &str = "granted";
const SEVERAL: &str =
    "500: This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";

/// How the server refuses an eviction for a budget.
fn refusal(account: &Account<'_>) -> String {
    let DisruptionBudget { name, generation, status, .. } = account.budget;
    let budget = format!("429: The disruption budget {}", name.name);
    match &account.state {
        // A budget whose first sync fails is never told as failed.
        _ if status.observed_generation < *generation => format!("{budget} is still being processed by the server."),
        BudgetState::SyncFailed(message) => {
            format!("{budget} does not allow evicting pods currently because it failed sync: {message}")
        }
        _ if account.counts.healthy <= account.counts.desired => {
            let (needed, healthy) = (account.counts.desired, account.counts.healthy);
            format!("{budget} needs {needed} healthy pods and has {healthy} currently")
        }
        _ => format!("{budget} does not allow evicting pods currently"),
    }
}

fn covered<'a>(snapshot: &'a Snapshot, budget: &DisruptionBudget) -> Vec<&'a Pod> {
    snapshot.pods.iter().filter(|pod| budget.covers(&pod.name.namespace, &pod.labels)).collect()
}

/// A pod in reports.
fn shown(snapshot: &Snapshot, pod: &Pod) -> String {
    let owner = match snapshot.workloads.root(pod) {
        Owner::Workload(workload) => format!("{} with {} replicas", workload.kind.as_str(), workload.replicas),
        Owner::Custom(owner) => format!("{} with scale {:?}", owner.kind, snapshot.workloads.scale(&owner.uid)),
        other => format!("{other:?}"),
    };
    let terminating = if pod.is_terminating() { " terminating" } else { "" };
    format!("{} {:?} ready={}{terminating} of {owner}", pod.name, pod.phase, pod.ready)
}
