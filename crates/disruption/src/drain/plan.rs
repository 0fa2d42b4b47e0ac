//! The plan of a drain: everything that will be done and why, as a value. All choices are made here.

use std::collections::{BTreeMap, HashMap, HashSet};

use thiserror::Error;

use crate::{
    budget::ledger::{Answer, Block, Ledger},
    drain::{
        filter::{self, Fate, Judgement},
        options::Options,
        waves::{self, Leaver, Turn},
    },
    model::{Node, NodeName, Pod, Selector},
    outcome::Exit,
    snapshot::{Kind, Snapshot},
};

/// Everything that a drain of some nodes will do.
#[derive(Debug)]
pub struct Plan<'a> {
    /// What it was made from.
    pub snapshot: &'a Snapshot,
    /// What the user asked for.
    pub options: &'a Options,
    /// The nodes in the order in which they were named.
    pub nodes: Vec<NodePlan<'a>>,
    /// Every pod on them, node by node, by namespace and name.
    pub pods: Vec<PodPlan<'a>>,
    /// The waves, the first one first.
    pub waves: Vec<Wave<'a>>,
    /// The budgets as they stood before.
    pub ledger: Ledger<'a>,
    /// Until the last pod is gone and replaced, in seconds.
    pub estimated_seconds: i64,
}

/// One node of a plan.
#[derive(Debug, Clone, Copy)]
pub struct NodePlan<'a> {
    /// Its name.
    pub name: &'a NodeName,
    /// The node itself, unless nodes could not be read.
    pub node: Option<&'a Node>,
}

/// One pod of a plan.
#[derive(Debug)]
pub struct PodPlan<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// Its node.
    pub node: &'a NodeName,
    /// What the filters say.
    pub judgement: Judgement<'a>,
    /// What happens to it.
    pub action: Action,
    /// What its disruption budgets say.
    pub budget: BudgetVerdict,
}

/// What happens to a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is evicted in this wave, counted from 1.
    Evict(u32),
    /// It stays where it is.
    Skip,
    /// It cannot go without a flag or a change.
    Refuse,
    /// It waits for something that this drain does not cause.
    Wait,
}

/// What the disruption budgets say of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BudgetVerdict {
    /// No budget covers it, or it does not leave.
    None,
    /// One covers it and need not be asked.
    Free,
    /// Allowed at once.
    Allowed,
    /// Allowed once replacements of this drain are Ready.
    Later,
    /// Waits for something that this drain does not cause.
    BlockedNow,
    /// Can never be allowed as things are.
    AlwaysBlocked,
    /// Several budgets cover it.
    MultipleBudgets,
    /// The controller cannot compute the budget.
    SyncFailed,
    /// The controller has not seen the budget's newest spec.
    StillProcessing,
    /// Budgets could not be read.
    Unknown,
}

/// Pods that go together.
#[derive(Debug)]
pub struct Wave<'a> {
    /// The pods.
    pub pods: Vec<&'a Pod>,
    /// The pods whose replacements must be Ready first.
    pub waits_for: Vec<&'a Pod>,
}

/// The plan in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing stands in the way.
    Clear,
    /// Pods need a flag.
    Refused,
    /// A budget blocks.
    Blocked,
}

/// Why no plan can be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    /// No such node.
    #[error("nodes {0:?} not found")]
    NodeNotFound(String),
    /// A node was named twice.
    #[error("node {0:?} is named twice")]
    NodeTwice(String),
    /// The snapshot holds no pods.
    #[error("pods could not be read, so there is nothing to plan: {0}")]
    NoPods(String),
}

/// Plans the drain of these nodes.
pub fn plan<'a>(snapshot: &'a Snapshot, targets: &'a [NodeName], options: &'a Options) -> Result<Plan<'a>, PlanError> {
    if let Some(why) = snapshot.unknown.get(&Kind::Pod) {
        return Err(PlanError::NoPods(why.to_string()));
    }
    let mut pods_by_node: HashMap<&NodeName, Vec<&Pod>> = targets.iter().map(|name| (name, Vec::new())).collect();
    for pod in &snapshot.pods {
        if let Some(pods) = pod.node.as_ref().and_then(|node| pods_by_node.get_mut(node)) {
            pods.push(pod);
        }
    }
    let nodes = find_nodes(snapshot, targets, |name| pods_by_node.get(name).is_some_and(|pods| !pods.is_empty()))?;

    let mut judged: Vec<(NodePlan<'_>, &Pod, Judgement<'_>)> = Vec::new();
    for &node in &nodes {
        let mut pods = pods_by_node.remove(node.name).unwrap_or_default();
        pods.sort_by_key(|pod| &pod.name);
        judged
            .extend(pods.into_iter().map(|pod| {
                (node, pod, filter::judge(pod, node.node, &snapshot.workloads, options, snapshot.taken_at))
            }));
    }

    let (mut leavers, mut evictable) = (Vec::new(), Vec::new());
    for (_, pod, judgement) in judged.iter().filter(|(.., judgement)| judgement.leaves()) {
        let leaver = Leaver { pod, comeback: judgement.comeback };
        leavers.push(leaver);
        evictable.extend((judgement.fate == Fate::Evict).then_some(leaver));
    }
    let leaving_pods: Vec<&Pod> = leavers.iter().map(|leaver| leaver.pod).collect();
    let mut ledger = Ledger::open(snapshot, &leaving_pods, options);
    let mut play = |leavers: &[Leaver<'a>]| {
        ledger.reset();
        waves::schedule(leavers, &mut ledger, options.grace_period_seconds, &snapshot.pods)
    };
    // Pods that need a flag take no turn, but what the budgets would say if they had it is known already.
    let turns_with_flags = play(&leavers).turns;
    let schedule = play(&evictable);

    let mut turns = schedule.turns.into_iter();
    let mut turns_with_flags = turns_with_flags.into_iter();
    let pods: Vec<PodPlan<'_>> = judged
        .into_iter()
        .map(|(node, pod, judgement)| {
            let leaves = judgement.leaves();
            let turn_with_flags = if leaves { turns_with_flags.next() } else { None };
            let turn = if leaves && judgement.fate == Fate::Evict { turns.next() } else { None };
            let budget =
                turn.or(turn_with_flags).map_or(BudgetVerdict::None, |turn| budget_verdict(pod, turn, &ledger));
            PodPlan { pod, node: node.name, action: action(judgement.fate, turn), judgement, budget }
        })
        .collect();
    ledger.reset();
    let waves = gather_waves(&pods, &schedule.waits_for);
    Ok(Plan { snapshot, options, nodes, pods, waves, ledger, estimated_seconds: schedule.estimated_seconds })
}

/// The nodes that a selector selects, by name.
pub fn select(snapshot: &Snapshot, selector: &Selector) -> Vec<NodeName> {
    let mut names: Vec<NodeName> =
        snapshot.nodes.iter().filter(|node| selector.matches(&node.labels)).map(|node| node.name.clone()).collect();
    names.sort();
    names
}

fn find_nodes<'a>(
    snapshot: &'a Snapshot,
    targets: &'a [NodeName],
    has_pods: impl Fn(&NodeName) -> bool,
) -> Result<Vec<NodePlan<'a>>, PlanError> {
    let known: HashMap<&NodeName, &Node> = snapshot.nodes.iter().map(|node| (&node.name, node)).collect();
    let mut seen = HashSet::new();
    targets
        .iter()
        .map(|name| {
            if !seen.insert(name) {
                return Err(PlanError::NodeTwice(name.0.clone()));
            }
            let node = known.get(name).copied();
            let is_there = match node {
                Some(_) => true,
                // Without nodes, a pod that is bound to it shows that there is one.
                None => !snapshot.knows(Kind::Node) && has_pods(name),
            };
            if is_there { Ok(NodePlan { name, node }) } else { Err(PlanError::NodeNotFound(name.0.clone())) }
        })
        .collect()
}

fn action(fate: Fate, turn: Option<Turn>) -> Action {
    match (fate, turn) {
        (Fate::Skip, _) => Action::Skip,
        (_, Some(Turn::Wave(wave, _))) => Action::Evict(wave),
        (Fate::Wait, _) | (_, Some(Turn::Never(Block::Now | Block::StillProcessing | Block::Implied))) => Action::Wait,
        (Fate::Refuse | Fate::Evict, None)
        | (_, Some(Turn::Never(Block::Always | Block::MultipleBudgets | Block::SyncFailed))) => Action::Refuse,
    }
}

/// What the budgets say of a pod with this turn.
fn budget_verdict(pod: &Pod, turn: Turn, ledger: &Ledger<'_>) -> BudgetVerdict {
    let (wave, answer) = match turn {
        Turn::Wave(wave, answer) => (wave, answer),
        Turn::Never(block) => (0, Answer::Blocked(block)),
    };
    match answer {
        _ if !ledger.budgets_are_known() => BudgetVerdict::Unknown,
        Answer::NoBudget | Answer::AllowedByImplied | Answer::Blocked(Block::Implied) => {
            if ledger.budgets_of(pod).next().is_some() { BudgetVerdict::Free } else { BudgetVerdict::None }
        }
        Answer::Free(_) => BudgetVerdict::Free,
        Answer::Unknown => BudgetVerdict::Unknown,
        Answer::Allowed if wave == 1 => BudgetVerdict::Allowed,
        Answer::Allowed => BudgetVerdict::Later,
        Answer::Blocked(Block::Now) => BudgetVerdict::BlockedNow,
        Answer::Blocked(Block::Always) => BudgetVerdict::AlwaysBlocked,
        Answer::Blocked(Block::MultipleBudgets) => BudgetVerdict::MultipleBudgets,
        Answer::Blocked(Block::SyncFailed) => BudgetVerdict::SyncFailed,
        Answer::Blocked(Block::StillProcessing) => BudgetVerdict::StillProcessing,
    }
}

fn gather_waves<'a>(pods: &[PodPlan<'a>], waits_for: &[Vec<&'a Pod>]) -> Vec<Wave<'a>> {
    let mut by_wave: BTreeMap<u32, Vec<&Pod>> = BTreeMap::new();
    for planned in pods {
        if let Action::Evict(wave) = planned.action {
            by_wave.entry(wave).or_default().push(planned.pod);
        }
    }
    by_wave
        .into_iter()
        .map(|(wave, pods)| {
            let waits_for = waits_for.get(wave as usize - 1).cloned().unwrap_or_default();
            Wave { pods, waits_for }
        })
        .collect()
}

impl Plan<'_> {
    /// The plan in one word. What needs a flag comes before what a budget blocks.
    pub fn verdict(&self) -> Verdict {
        if self.pods.iter().any(|planned| planned.judgement.fate == Fate::Refuse) {
            Verdict::Refused
        } else if self.pods.iter().any(PodPlan::is_blocked) {
            Verdict::Blocked
        } else {
            Verdict::Clear
        }
    }
}

impl PodPlan<'_> {
    /// Whether a budget keeps it from going.
    pub fn is_blocked(&self) -> bool {
        matches!(
            self.budget,
            BudgetVerdict::BlockedNow
                | BudgetVerdict::AlwaysBlocked
                | BudgetVerdict::MultipleBudgets
                | BudgetVerdict::SyncFailed
                | BudgetVerdict::StillProcessing
        )
    }

    /// Its wave, if it goes.
    pub fn wave(&self) -> Option<u32> {
        match self.action {
            Action::Evict(wave) => Some(wave),
            Action::Skip | Action::Refuse | Action::Wait => None,
        }
    }
}

impl Verdict {
    /// The exit code of a plan with this verdict.
    pub const fn exit(self) -> Exit {
        match self {
            Self::Clear => Exit::Done,
            Self::Refused => Exit::Refused,
            Self::Blocked => Exit::Blocked,
        }
    }
}
