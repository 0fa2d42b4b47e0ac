//! What a drain may take now: every budget as an account that evictions draw from and Ready replacements refill, shared
//! by all pods and nodes of the drain.
//!
//! The rules are those of the eviction handler (`pkg/registry/core/pod/storage/eviction.go`); workloads without a budget
//! get an implied one, so that a drain never takes more from them at once than their own rolling update would.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;

use super::arithmetic::{self, Counts, SyncError};
use crate::{
    drain::options::{MaxUnavailable, Options},
    model::{
        DisruptionBudget, IntOrPercent, ObjectName, OwnerRef, Phase, Pod, Uid, UnhealthyPods, UpdateStrategy, Workload,
        WorkloadKind,
    },
    snapshot::{Kind, Snapshot},
    workload::{Owner, Scale, Workloads},
};

/// All budgets that a set of pods draws from.
#[derive(Debug)]
pub struct Ledger<'a> {
    accounts: Vec<Account<'a>>,
    implied: Vec<ImpliedAccount<'a>>,
    /// By the pod's name and UID: the accounts it draws from.
    holdings: HashMap<(&'a ObjectName, &'a Uid), Holding>,
    budgets_are_known: bool,
    budgets_are_asked: bool,
}

/// An account that a pod draws from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Draw {
    /// A written budget, by number.
    Written(usize),
    /// An implied one, by number.
    Implied(usize),
}

/// A written budget.
#[derive(Debug)]
pub struct Account<'a> {
    /// The budget.
    pub budget: &'a DisruptionBudget,
    /// Every pod that it covers, in the whole cluster.
    pub covered: Vec<&'a Pod>,
    /// How it stood before the drain.
    pub state: BudgetState,
    /// The numbers before the drain.
    pub counts: Counts,
    /// How many more replicas would open it, if it is always blocked and their number decides.
    pub replicas_to_open: Option<i32>,
    taken_at: Timestamp,
    /// The numbers now, after what was taken and refilled.
    running: Counts,
}

/// How a budget stands before anything is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BudgetState {
    /// Allows at least one eviction.
    Open,
    /// Allows none at this moment.
    BlockedNow,
    /// Can never allow one while budget and replicas stay as they are.
    AlwaysBlocked,
    /// The controller cannot compute it and so allows nothing.
    SyncFailed(String),
    /// The controller has not seen the newest spec yet.
    StillProcessing,
    /// What it depends on could not be read; the text says so.
    Unknown(String),
}

/// The budget that a workload without one is treated with.
#[derive(Debug)]
pub struct ImpliedAccount<'a> {
    /// The workload: kind, and namespace with name.
    pub owner: (&'a str, ObjectName),
    /// Ready pods that it must get back to: what it had at the start, at most what it wants.
    pub target: i32,
    /// Ready pods before the drain.
    pub ready: i32,
    /// How many of them may be missing at once; none is no limit.
    pub allowance: Option<i32>,
    running: i32,
}

/// What the ledger says of one pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Nothing limits it.
    NoBudget,
    /// A budget covers it, but it may go without asking.
    Free(Exemption),
    /// Its budget could not be read: it may go as far as anybody knows.
    Unknown,
    /// It may go and takes one disruption of its budget.
    Allowed,
    /// It may go and takes one of the implied budget of its workload.
    AllowedByImplied,
    /// It may not go now.
    Blocked(Block),
}

/// Why a pod needs no budget although one covers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exemption {
    /// Pending: a budget never protects it.
    Pending,
    /// Finished.
    Finished,
    /// Being deleted already.
    Terminating,
    /// Not Ready, and the budget lets such pods go.
    NotReady,
}

/// Why a pod may not go now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// Its budget allows nothing at this moment.
    Now,
    /// Its budget can never allow it.
    Always,
    /// Several budgets cover it, which the server refuses with a 500.
    MultipleBudgets,
    /// Its budget cannot be computed by the controller.
    SyncFailed,
    /// Its budget's newest spec has not been seen by the controller.
    StillProcessing,
    /// The implied budget of its workload is used up.
    Implied,
}

#[derive(Debug, Default, Clone)]
struct Holding {
    accounts: Vec<usize>,
    implied: Option<usize>,
}

impl<'a> Ledger<'a> {
    /// Opens an account for every budget that covers one of the pods, and an implied one for every workload of theirs
    /// that has none. A deletion (`--disable-eviction`) asks no written budget, so all workloads get an implied one.
    pub fn open(snapshot: &'a Snapshot, pods: &[&'a Pod], options: &Options) -> Self {
        let mut holdings: HashMap<_, Holding> = HashMap::with_capacity(pods.len());
        let mut budgets_by_namespace: HashMap<&str, Vec<&DisruptionBudget>> = HashMap::new();
        for budget in &snapshot.budgets {
            budgets_by_namespace.entry(&budget.name.namespace).or_default().push(budget);
        }

        let mut touched: Vec<&DisruptionBudget> = Vec::new();
        let mut numbers: HashMap<&ObjectName, usize> = HashMap::new();
        for pod in pods {
            let holding = holdings.entry((&pod.name, &pod.uid)).or_default();
            for budget in budgets_by_namespace.get(pod.name.namespace.as_str()).into_iter().flatten() {
                if budget.covers(&pod.name.namespace, &pod.labels) {
                    let number = *numbers.entry(&budget.name).or_insert_with(|| {
                        touched.push(budget);
                        touched.len() - 1
                    });
                    holding.accounts.push(number);
                }
            }
        }
        let covered = covered_pods(&touched, &snapshot.pods);
        let accounts = touched
            .into_iter()
            .zip(covered)
            .map(|(budget, covered)| Account::open(budget, covered, snapshot))
            .collect();

        let mut ledger = Self {
            accounts,
            implied: Vec::new(),
            holdings,
            budgets_are_known: snapshot.knows(Kind::PodDisruptionBudget),
            budgets_are_asked: !options.disable_eviction,
        };
        ledger.imply(snapshot, pods, options.max_unavailable);
        ledger
    }

    /// The written budgets that touch the pods.
    pub fn accounts(&self) -> &[Account<'a>] {
        &self.accounts
    }

    /// The implied budgets.
    pub fn implied(&self) -> &[ImpliedAccount<'a>] {
        &self.implied
    }

    /// Owners, with their namespaces, whose scale only the server can tell and nobody has asked for yet.
    pub fn unasked_scales(&self, workloads: &Workloads) -> Vec<(String, OwnerRef)> {
        let mut unasked: BTreeMap<&Uid, (String, OwnerRef)> = BTreeMap::new();
        for pod in self.accounts.iter().flat_map(|account| &account.covered) {
            if let Owner::Custom(owner) = workloads.root(pod)
                && workloads.scale(&owner.uid).is_none()
            {
                unasked.entry(&owner.uid).or_insert_with(|| (pod.name.namespace.clone(), owner.clone()));
            }
        }
        unasked.into_values().collect()
    }

    /// Whether budgets could be read at all.
    pub fn budgets_are_known(&self) -> bool {
        self.budgets_are_known
    }

    /// The written budgets that cover a pod.
    pub fn budgets_of<'s>(&'s self, pod: &'s Pod) -> impl Iterator<Item = &'s Account<'a>> {
        self.holding(pod).accounts.iter().map(|&number| &self.accounts[number])
    }

    /// The implied budget that a pod draws from.
    pub fn implied_of<'s>(&'s self, pod: &'s Pod) -> Option<&'s ImpliedAccount<'a>> {
        self.holding(pod).implied.map(|number| &self.implied[number])
    }

    /// The account that an allowed pod draws from: its written budget, else the implied one.
    pub fn draw(&self, pod: &Pod) -> Option<Draw> {
        let Holding { accounts, implied } = self.holding(pod);
        implied.map(Draw::Implied).or_else(|| accounts.first().copied().map(Draw::Written))
    }

    /// Forgets what was taken and refilled.
    pub fn reset(&mut self) {
        for account in &mut self.accounts {
            account.running = account.counts;
        }
        for account in &mut self.implied {
            account.running = account.ready;
        }
    }

    /// Whether a pod may go now.
    pub fn ask(&self, pod: &Pod) -> Answer {
        let holding = self.holding(pod);
        match holding.accounts[..] {
            _ if !self.budgets_are_asked => self.ask_implied(pod, holding),
            [] => self.ask_implied(pod, holding),
            [number] => self.accounts[number].ask(pod),
            // The server looks for several budgets before any rule about unhealthy pods, but after these.
            [..] => exemption_without_budget(pod).map_or(Answer::Blocked(Block::MultipleBudgets), Answer::Free),
        }
    }

    /// Draws for a pod that goes. Call it only for a pod that may.
    pub fn take(&mut self, pod: &Pod) {
        self.change(pod, -1);
    }

    /// Pays back what a pod took: its replacement is Ready.
    pub fn refill(&mut self, pod: &Pod) {
        self.change(pod, 1);
    }

    /// A pod that isn't counted takes nothing that its replacement could give back.
    fn change(&mut self, pod: &Pod, by: i32) {
        let holding = self.holding(pod).clone();
        for number in holding.accounts {
            let account = &mut self.accounts[number];
            if arithmetic::is_counted_healthy(account.budget, pod, account.taken_at) {
                account.running.healthy += by;
            }
        }
        if let Some(number) = holding.implied
            && pod.is_healthy()
        {
            self.implied[number].running += by;
        }
    }

    fn ask_implied(&self, pod: &Pod, holding: &Holding) -> Answer {
        let Some(account) = holding.implied.map(|number| &self.implied[number]) else {
            return Answer::NoBudget;
        };
        let Some(allowance) = account.allowance else { return Answer::NoBudget };
        if !pod.is_healthy() {
            Answer::NoBudget
        } else if account.running > account.target - allowance {
            Answer::AllowedByImplied
        } else {
            Answer::Blocked(Block::Implied)
        }
    }

    fn holding<'s>(&'s self, pod: &'s Pod) -> &'s Holding {
        static NONE: Holding = Holding { accounts: Vec::new(), implied: None };
        self.holdings.get(&(&pod.name, &pod.uid)).unwrap_or(&NONE)
    }

    fn imply(&mut self, snapshot: &'a Snapshot, pods: &[&'a Pod], max_unavailable: MaxUnavailable) {
        let mut numbers: HashMap<&Uid, usize> = HashMap::new();
        let mut namespaces: HashSet<&str> = HashSet::new();
        for pod in pods {
            let Some((kind, name, uid)) = limited_owner(&snapshot.workloads, pod) else { continue };
            let holding = self.holdings.entry((&pod.name, &pod.uid)).or_default();
            if !holding.accounts.is_empty() && self.budgets_are_asked {
                continue;
            }
            namespaces.insert(&pod.name.namespace);
            holding.implied = Some(*numbers.entry(uid).or_insert_with(|| {
                let owner = (kind, ObjectName::new(&pod.name.namespace, name));
                self.implied.push(ImpliedAccount { owner, target: 0, ready: 0, allowance: None, running: 0 });
                self.implied.len() - 1
            }));
        }
        let mut owned: BTreeMap<usize, (i32, Option<&Workload>, Option<&Scale>)> = BTreeMap::new();
        for pod in snapshot.pods.iter().filter(|pod| namespaces.contains(pod.name.namespace.as_str())) {
            let Some((.., uid)) = limited_owner(&snapshot.workloads, pod) else { continue };
            let Some(&number) = numbers.get(uid) else { continue };
            self.implied[number].ready += i32::from(pod.is_healthy());
            let workload = match snapshot.workloads.root(pod) {
                Owner::Workload(workload) => Some(workload),
                _ => None,
            };
            let (pods, ..) = owned.entry(number).or_insert((0, workload, snapshot.workloads.scale(uid)));
            *pods += i32::from(!pod.is_finished());
        }
        for (number, (pods, workload, scale)) in owned {
            let replicas = match (workload, scale) {
                (Some(workload), _) => workload.replicas,
                (None, Some(Scale::Replicas(replicas))) => *replicas,
                // Nobody says how many it wants: as many as it has.
                (None, _) => pods,
            };
            let account = &mut self.implied[number];
            account.target = account.ready.min(replicas);
            account.running = account.ready;
            account.allowance = allowance(max_unavailable, workload, replicas);
        }
    }
}

impl<'a> Account<'a> {
    fn open(budget: &'a DisruptionBudget, covered: Vec<&'a Pod>, snapshot: &Snapshot) -> Self {
        let written = budget.status.condition.as_ref();
        let failed_sync = written.filter(|condition| condition.reason == "SyncFailed");
        let lags_behind = budget.status.observed_generation < budget.generation;
        let from_status = Counts {
            expected: budget.status.expected_pods,
            desired: budget.status.desired_healthy,
            healthy: budget.status.current_healthy,
        };
        let taken_at = snapshot.taken_at;
        let mut replicas_to_open = None;
        let (counts, state) = match (arithmetic::sync(budget, &covered, &snapshot.workloads, taken_at), failed_sync) {
            // A failing controller leaves the other numbers as they were, and the server goes by those.
            (Ok(_) | Err(SyncError::Unknown { .. }), Some(failed)) => {
                (from_status, BudgetState::SyncFailed(failed.message.clone()))
            }
            (Ok(sync), None) => {
                let state = if sync.counts.allowed() == 0 && sync.is_impossible() {
                    replicas_to_open = sync.replicas_to_open(budget);
                    BudgetState::AlwaysBlocked
                } else if lags_behind {
                    BudgetState::StillProcessing
                } else if sync.counts.allowed() > 0 {
                    BudgetState::Open
                } else {
                    BudgetState::BlockedNow
                };
                (sync.counts, state)
            }
            // Only the server knows what this depends on: believe what the controller wrote.
            (Err(unknown @ SyncError::Unknown { .. }), None) if lags_behind || written.is_none() => {
                (from_status, BudgetState::Unknown(unknown.to_string()))
            }
            (Err(SyncError::Unknown { .. }), None) => {
                let state = if from_status.allowed() > 0 {
                    BudgetState::Open
                } else if from_status.expected <= from_status.desired {
                    BudgetState::AlwaysBlocked
                } else {
                    BudgetState::BlockedNow
                };
                (from_status, state)
            }
            (Err(error), _) => (from_status, BudgetState::SyncFailed(error.to_string())),
        };
        Self { budget, covered, state, counts, replicas_to_open, taken_at, running: counts }
    }

    /// The covered pods that are missing from the healthy ones, although they haven't finished.
    pub fn unhealthy(&self) -> impl Iterator<Item = &'a Pod> {
        let is_counted = |pod: &Pod| arithmetic::is_counted_healthy(self.budget, pod, self.taken_at);
        self.covered.iter().copied().filter(move |pod| !pod.is_finished() && !is_counted(pod))
    }

    fn ask(&self, pod: &Pod) -> Answer {
        if let Some(exemption) = exemption_without_budget(pod) {
            return Answer::Free(exemption);
        }
        if !pod.ready && self.lets_unhealthy_go() {
            return Answer::Free(Exemption::NotReady);
        }
        match self.state {
            BudgetState::SyncFailed(_) => Answer::Blocked(Block::SyncFailed),
            BudgetState::StillProcessing => Answer::Blocked(Block::StillProcessing),
            BudgetState::AlwaysBlocked => Answer::Blocked(Block::Always),
            BudgetState::Unknown(_) => Answer::Unknown,
            BudgetState::Open | BudgetState::BlockedNow => {
                if !pod.ready && matches!(self.budget.unhealthy_pods, UnhealthyPods::Unrecognized(_)) {
                    Answer::Blocked(Block::Now)
                } else if self.running.allowed() > 0 {
                    Answer::Allowed
                } else {
                    Answer::Blocked(Block::Now)
                }
            }
        }
    }

    /// The handler's test for pods that are not Ready. It looks neither at a failed sync nor at a lagging generation.
    fn lets_unhealthy_go(&self) -> bool {
        match self.budget.unhealthy_pods {
            UnhealthyPods::AlwaysAllow => true,
            UnhealthyPods::IfHealthyBudget => self.running.healthy >= self.running.desired && self.running.desired > 0,
            UnhealthyPods::Unrecognized(_) => false,
        }
    }
}

/// Pods for which the handler never looks at a budget.
fn exemption_without_budget(pod: &Pod) -> Option<Exemption> {
    match pod.phase {
        _ if pod.is_terminating() => Some(Exemption::Terminating),
        Phase::Succeeded | Phase::Failed => Some(Exemption::Finished),
        Phase::Pending => Some(Exemption::Pending),
        Phase::Running | Phase::Unknown => None,
    }
}

/// For each budget, the pods that it covers. One pass over all pods: budgets that ask for one value of a label find
/// their pods by it.
fn covered_pods<'a>(budgets: &[&'a DisruptionBudget], pods: &'a [Pod]) -> Vec<Vec<&'a Pod>> {
    let mut covered: Vec<Vec<&Pod>> = budgets.iter().map(|_| Vec::new()).collect();
    let mut by_label: HashMap<&str, HashMap<(&str, &str), Vec<usize>>> = HashMap::new();
    let mut by_namespace: HashMap<&str, Vec<usize>> = HashMap::new();
    for (number, budget) in budgets.iter().enumerate() {
        let namespace = budget.name.namespace.as_str();
        let Some(Ok(selector)) = &budget.selector else { continue };
        match selector.wanted_label() {
            Some(label) => by_label.entry(namespace).or_default().entry(label).or_default().push(number),
            None => by_namespace.entry(namespace).or_default().push(number),
        }
    }
    for pod in pods {
        let namespace = pod.name.namespace.as_str();
        let by_label = by_label.get(namespace);
        let labelled = by_label.into_iter().flat_map(|wanted| {
            pod.labels.iter().filter_map(|(key, value)| wanted.get(&(key.as_str(), value.as_str()))).flatten()
        });
        for &number in labelled.chain(by_namespace.get(namespace).into_iter().flatten()) {
            if budgets[number].covers(namespace, &pod.labels) {
                covered[number].push(pod);
            }
        }
    }
    covered
}

/// The owner that an implied budget is for: not of bare, Job and `DaemonSet` pods, nor of those that nobody brings back.
fn limited_owner<'a>(workloads: &'a Workloads, pod: &'a Pod) -> Option<(&'a str, &'a str, &'a Uid)> {
    match workloads.root(pod) {
        Owner::Workload(workload) => match workload.kind {
            _ if workload.is_deleting => None,
            WorkloadKind::DaemonSet | WorkloadKind::Job => None,
            kind => Some((kind.as_str(), &workload.name.name, &workload.uid)),
        },
        Owner::Unknown(owner) if owner.kind == "Job" || owner.kind == "DaemonSet" => None,
        Owner::Custom(owner) | Owner::Unknown(owner) => Some((&owner.kind, &owner.name, &owner.uid)),
        Owner::None | Owner::Node | Owner::Gone(_) => None,
    }
}

/// What `auto` takes at most from workloads that say nothing themselves, in percent of their replicas.
const AUTO_PERCENT: i32 = 25;

/// How many Ready pods of a workload may be missing at once; none is no limit, else at least one.
fn allowance(max_unavailable: MaxUnavailable, workload: Option<&Workload>, replicas: i32) -> Option<i32> {
    let quarter = IntOrPercent::Percent(AUTO_PERCENT).of_rounded_down(replicas);
    let allowance = match max_unavailable {
        MaxUnavailable::Unlimited => return None,
        MaxUnavailable::Value(value) => value.of_rounded_down(replicas),
        MaxUnavailable::Auto => match workload {
            Some(workload) if workload.kind == WorkloadKind::StatefulSet => 1,
            Some(workload) => match workload.strategy {
                UpdateStrategy::Rolling { max_unavailable, max_surge: _ } => max_unavailable.of_rounded_down(replicas),
                UpdateStrategy::Recreate | UpdateStrategy::None => quarter,
            },
            None => quarter,
        },
    };
    Some(allowance.max(1))
}
