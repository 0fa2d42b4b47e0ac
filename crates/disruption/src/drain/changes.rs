//! Everything that a drain changes, as unified diffs: nodes, and where the pods of each budget stand.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Write as _,
};

use crate::{
    diff,
    drain::{
        document::PodOwner,
        filter::{Comeback, Fate},
        plan::{NodePlan, Plan, PodPlan},
    },
    model::{NodeName, Pod, WorkloadKind},
    workload::Workloads,
};

/// The diff of the whole plan.
pub(super) fn diff(plan: &Plan<'_>) -> String {
    // By address: a pod of the plan is the very pod of the snapshot. What terminates already leaves with the others.
    let comes_back: HashMap<*const Pod, bool> = plan
        .pods
        .iter()
        .filter(|planned| planned.wave().is_some() || planned.judgement.fate == Fate::Wait)
        .map(|planned| (std::ptr::from_ref(planned.pod), is_still_to_come(planned)))
        .collect();
    let comeback = |pod: &Pod| comes_back.get(&std::ptr::from_ref(pod)).copied();
    let mut text = String::new();
    for node in &plan.nodes {
        let unschedulable = node.node.map_or("unknown".to_owned(), |node| node.unschedulable.to_string());
        let before = describe_node(plan, node, &unschedulable, &|_| true);
        let after = describe_node(plan, node, "true", &|pod| comeback(pod).is_none());
        text.push_str(&diff::unified(&format!("node/{}", node.name), &before, &after));
    }
    let (mut before, mut after) = (String::new(), String::new());
    let targets: HashSet<&NodeName> = plan.nodes.iter().map(|node| node.name).collect();
    for account in plan.ledger.accounts() {
        let is_here = |pod: &Pod| pod.node.as_ref().is_some_and(|node| targets.contains(node));
        let here = account.covered.iter().filter(|pod| is_here(pod)).count();
        let elsewhere = account.covered.len() - here;
        let leaving = account.covered.iter().filter(|pod| comeback(pod).is_some()).count();
        let returning = account.covered.iter().filter(|pod| comeback(pod) == Some(true)).count();
        let name = &account.budget.name;
        // Writing to a String cannot fail.
        let _ = writeln!(before, "{name}: {here} on drained nodes, {elsewhere} elsewhere");
        let _ = writeln!(after, "{name}: {} on drained nodes, {} elsewhere", here - leaving, elsewhere + returning);
    }
    text.push_str(&diff::unified("poddisruptionbudgets", &before, &after));
    text
}

/// Whether a replacement is still to come. Of a pod that terminates already it stands among the others, unless it must
/// have the same name.
fn is_still_to_come(planned: &PodPlan<'_>) -> bool {
    match planned.judgement.comeback {
        Comeback::By(workload) if workload.kind == WorkloadKind::StatefulSet => true,
        comeback => comeback.is_expected() && !planned.pod.is_terminating(),
    }
}

/// The node with how many pods of each owner stand on it.
fn describe_node(plan: &Plan<'_>, node: &NodePlan<'_>, unschedulable: &str, stays: &dyn Fn(&Pod) -> bool) -> String {
    let mut counts: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for planned in plan.pods.iter().filter(|planned| planned.node == node.name && stays(planned.pod)) {
        let namespace = planned.pod.name.namespace.as_str();
        *counts.entry((namespace, describe_owner(planned.pod, &plan.snapshot.workloads))).or_default() += 1;
    }
    let mut text = format!("spec:\n  unschedulable: {unschedulable}\npods:\n");
    for ((namespace, owner), count) in counts {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {namespace} {owner}: {count}");
    }
    text
}

fn describe_owner(pod: &Pod, workloads: &Workloads) -> String {
    match PodOwner::of(pod, workloads) {
        Some(PodOwner { kind, name }) => format!("{}/{name}", kind.to_lowercase()),
        None => format!("pod/{}", pod.name.name),
    }
}
