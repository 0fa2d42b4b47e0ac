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

/// The budget that a workload without one is treated with. Workloads that have one keep it too, for the gate alone:
/// until they have their Ready pods back.
#[derive(Debug)]
pub struct ImpliedAccount<'a> {
    /// The workload: kind, and namespace with name.
    pub owner: (&'a str, ObjectName),
    /// The workload's UID.
    pub uid: &'a Uid,
    /// Whether a pod without a written budget asks it.
    pub is_asked: bool,
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
        Self::open_since(snapshot, pods, options, &HashMap::new())
    }

    /// [`Ledger::open`] in the middle of a drain: `ready_at_start` has, by workload, the Ready pods that it began with,
    /// to which it must get back. The pods may be gone already.
    pub fn open_since(
        snapshot: &'a Snapshot,
        pods: &[&'a Pod],
        options: &Options,
        ready_at_start: &HashMap<Uid, i32>,
    ) -> Self {
        let mut holdings: HashMap<_, Holding> = HashMap::with_capacity(pods.len());
        let mut budgets_by_namespace: HashMap<&str, Vec<&DisruptionBudget>> = HashMap::new();
        for budget in &snapshot.budgets {
            budgets_by_namespace.entry(&budget.name.namespace).or_default().push(budget);
        }
        for budgets in budgets_by_namespace.values_mut() {
            budgets.sort_by_key(|budget| &budget.name);
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
        ledger.imply(snapshot, pods, options.max_unavailable, ready_at_start);
        ledger
    }

    /// The written budgets that touch the pods.
    pub fn accounts(&self) -> &[Account<'a>] {
        &self.accounts
    }

    /// The implied budgets that pods ask.
    pub fn implied(&self) -> impl Iterator<Item = &ImpliedAccount<'a>> {
        self.implied.iter().filter(|account| account.is_asked)
    }

    /// How the workload of a pod stands, if it is one that must get its Ready pods back.
    pub fn gate(&self, pod: &Pod) -> Option<&ImpliedAccount<'a>> {
        self.holding(pod).implied.map(|number| &self.implied[number])
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

    /// The account that an allowed pod draws from: its written budget, else the implied one.
    pub fn draw(&self, pod: &Pod) -> Option<Draw> {
        let Holding { accounts, implied } = self.holding(pod);
        let written = accounts.first().copied().filter(|_| self.budgets_are_asked).map(Draw::Written);
        written.or(implied.map(Draw::Implied))
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

    fn imply(
        &mut self,
        snapshot: &'a Snapshot,
        pods: &[&'a Pod],
        max_unavailable: MaxUnavailable,
        ready_at_start: &HashMap<Uid, i32>,
    ) {
        let mut numbers: HashMap<&Uid, usize> = HashMap::new();
        let mut namespaces: HashSet<&str> = HashSet::new();
        for pod in pods {
            let Some((kind, name, uid)) = limited_owner(&snapshot.workloads, pod) else { continue };
            namespaces.insert(&pod.name.namespace);
            let number = *numbers.entry(uid).or_insert_with(|| {
                self.implied.push(ImpliedAccount {
                    owner: (kind, ObjectName::new(&pod.name.namespace, name)),
                    uid,
                    is_asked: false,
                    target: 0,
                    ready: 0,
                    allowance: None,
                    running: 0,
                });
                self.implied.len() - 1
            });
            let holding = self.holdings.entry((&pod.name, &pod.uid)).or_default();
            holding.implied = Some(number);
            self.implied[number].is_asked |= holding.accounts.is_empty() || !self.budgets_are_asked;
        }
        let account_of = |pod: &'a Pod| {
            let (.., uid) = limited_owner(&snapshot.workloads, pod)?;
            numbers.get(uid).copied()
        };
        // Lists are in the order of names, in which the pods of one controller stand together: its owner is found once.
        let mut last: Option<(&Pod, Option<usize>)> = None;
        let mut existing = vec![0; self.implied.len()];
        for pod in snapshot.pods.iter().filter(|pod| namespaces.contains(pod.name.namespace.as_str())) {
            let account = match last {
                Some((other, account)) if have_one_controller(other, pod) => account,
                _ => account_of(pod),
            };
            last = Some((pod, account));
            if let Some(number) = account {
                self.implied[number].ready += i32::from(pod.is_healthy());
                existing[number] += i32::from(!pod.is_finished());
            }
        }
        let mut workloads: HashMap<&Uid, &Workload> = HashMap::new();
        for pod in pods {
            if let Owner::Workload(workload) = snapshot.workloads.root(pod) {
                workloads.insert(&workload.uid, workload);
            }
        }
        for (account, existing) in self.implied.iter_mut().zip(existing) {
            let workload = workloads.get(account.uid).copied();
            let at_start = ready_at_start.get(account.uid).copied();
            let replicas = match (workload, snapshot.workloads.scale(account.uid)) {
                (Some(workload), _) => workload.replicas,
                (None, Some(Scale::Replicas(replicas))) => *replicas,
                // Nobody says how many it wants: as many as it has, or had.
                (None, _) => existing.max(at_start.unwrap_or_default()),
            };
            account.target = at_start.unwrap_or(account.ready).min(replicas);
            account.running = account.ready;
            account.allowance = allowance(max_unavailable, workload, replicas);
        }
    }
}

impl ImpliedAccount<'_> {
    /// Ready pods now, after what was taken and refilled.
    pub fn running(&self) -> i32 {
        self.running
    }

    /// Ready pods that it still has to get back.
    pub fn missing(&self) -> i32 {
        (self.target - self.running).max(0)
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

/// For each budget, the pods that it covers, by name. One pass over all pods: budgets that ask for one value of a label
/// find their pods by it.
fn covered_pods<'a>(budgets: &[&'a DisruptionBudget], pods: &'a [Pod]) -> Vec<Vec<&'a Pod>> {
    let mut covered: Vec<Vec<&Pod>> = budgets.iter().map(|_| Vec::new()).collect();
    let mut by_namespace: HashMap<&str, Candidates<'_>> = HashMap::new();
    for (number, budget) in budgets.iter().enumerate() {
        let Some(Ok(selector)) = &budget.selector else { continue };
        let candidates = by_namespace.entry(&budget.name.namespace).or_default();
        match selector.wanted_label() {
            Some((key, value)) => candidates.by_label.entry(key).or_default().entry(value).or_default().push(number),
            None => candidates.others.push(number),
        }
    }
    for pod in pods {
        let namespace = pod.name.namespace.as_str();
        let Some(Candidates { by_label, others }) = by_namespace.get(namespace) else { continue };
        let labelled = by_label.iter().filter_map(|(key, by_value)| by_value.get(pod.labels.get(*key)?.as_str()));
        for &number in labelled.flatten().chain(others) {
            if budgets[number].covers(namespace, &pod.labels) {
                covered[number].push(pod);
            }
        }
    }
    for pods in &mut covered {
        pods.sort_by_key(|pod| &pod.name);
    }
    covered
}

/// The budgets of a namespace, by number. Nearly all ask for the same one or two labels.
#[derive(Default)]
struct Candidates<'a> {
    /// By the key and the value of a label that they ask for.
    by_label: BTreeMap<&'a str, HashMap<&'a str, Vec<usize>>>,
    others: Vec<usize>,
}

fn have_one_controller(one: &Pod, other: &Pod) -> bool {
    one.controller == other.controller && one.name.namespace == other.name.namespace
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        fixture::{
            any_world, budget, daemon_set, deployment, job, pod, replica_set, replication_controller, stateful_set,
            world,
        },
        model::Deletion,
        snapshot::Unreadable,
    };

    /// What the ledger says of pod `web-1` before anything is taken.
    fn ask(world: &Snapshot, options: &Options) -> Answer {
        let pods: Vec<&Pod> = world.pods.iter().collect();
        let asking = pods.iter().find(|pod| pod.name.name == "web-1").unwrap();
        Ledger::open(world, &pods, options).ask(asking)
    }

    #[track_caller]
    fn check(world: &Snapshot, expected: Answer) {
        assert_eq!(ask(world, &Options::default()), expected);
    }

    /// Deployment `web` with three pods, of which `web-1` is changed, under a budget.
    fn three(budget: DisruptionBudget, change: impl FnOnce(Pod) -> Pod) -> Snapshot {
        world().runs(&deployment("web"), ["n1", "n2", "n3"]).with(budget).pod("web-1", change)
    }

    fn web() -> DisruptionBudget {
        budget("web")
    }

    #[test]
    fn a_budget_of_one() {
        check(&three(web().max_unavailable("1"), |pod| pod), Answer::Allowed);
        check(&three(web().max_unavailable("0"), |pod| pod), Answer::Blocked(Block::Always));
        check(&three(web().min_available("3"), |pod| pod), Answer::Blocked(Block::Always));
        check(&three(web(), |pod| pod), Answer::Blocked(Block::Always));
        check(&three(web().selecting("app=other"), |pod| pod), Answer::AllowedByImplied);
        check(&three(web().without_selector(), |pod| pod), Answer::AllowedByImplied);
        let sibling_down = three(web().max_unavailable("1"), |pod| pod).pod("web-2", |pod| pod.unready(""));
        check(&sibling_down, Answer::Blocked(Block::Now));
    }

    /// The handler looks at these before it looks for budgets.
    #[test]
    fn pods_that_no_budget_protects() {
        type Change = fn(Pod) -> Pod;
        let cases: [(Change, Exemption); 6] = [
            (|pod| pod.in_phase(Phase::Pending), Exemption::Pending),
            (|pod| pod.in_phase(Phase::Succeeded), Exemption::Finished),
            (|pod| pod.in_phase(Phase::Failed), Exemption::Finished),
            (|pod| Pod { ready: true, ..pod.in_phase(Phase::Succeeded) }, Exemption::Finished),
            (|pod| pod.terminating_since(1), Exemption::Terminating),
            (|pod| pod.in_phase(Phase::Pending).terminating_since(1), Exemption::Terminating),
        ];
        for (change, exemption) in cases {
            check(&three(web().max_unavailable("0"), change), Answer::Free(exemption));
            let two = three(web().max_unavailable("0"), change).with(budget("all").selecting(""));
            check(&two, Answer::Free(exemption));
        }
        check(
            &three(web().max_unavailable("0"), |pod| Pod { phase: Phase::Unknown, ..pod }),
            Answer::Blocked(Block::Always),
        );
    }

    #[test]
    fn pods_that_are_not_ready() {
        #[track_caller]
        fn check_unready(budget: DisruptionBudget, expected: Answer) {
            check(&three(budget, |pod| pod.unready("CrashLoopBackOff")), expected);
        }
        let free = Answer::Free(Exemption::NotReady);
        // Two of three are healthy.
        check_unready(web().max_unavailable("1"), free);
        check_unready(web().min_available("2"), free);
        check_unready(web().min_available("3"), Answer::Blocked(Block::Always));
        check_unready(web().max_unavailable("0"), Answer::Blocked(Block::Always));
        let sibling_down = |budget| three(budget, |pod| pod.unready("")).pod("web-2", |pod| pod.unready(""));
        check(&sibling_down(web().max_unavailable("1")), Answer::Blocked(Block::Now));
        check(&sibling_down(web().max_unavailable("1").unhealthy(UnhealthyPods::AlwaysAllow)), free);
        check_unready(web().max_unavailable("0").unhealthy(UnhealthyPods::AlwaysAllow), free);
        let unrecognized = || UnhealthyPods::Unrecognized("Sometimes".into());
        check_unready(web().max_unavailable("2").unhealthy(unrecognized()), Answer::Blocked(Block::Now));
        check(&three(web().max_unavailable("2").unhealthy(unrecognized()), |pod| pod), Answer::Allowed);
        // Nothing is needed, so the rule for healthy budgets does not help, but the numbers may.
        check_unready(web().max_unavailable("100%"), Answer::Allowed);
        let none_healthy = world().runs(&deployment("web"), ["n1"]).pod("web-1", |pod| pod.unready(""));
        check(&none_healthy.clone().with(web().max_unavailable("1")), Answer::Blocked(Block::Now));
        check(&none_healthy.with(web().max_unavailable("1").unhealthy(UnhealthyPods::AlwaysAllow)), free);
    }

    #[test]
    fn several_budgets_are_refused_by_the_server() {
        let two = |policy: UnhealthyPods| {
            three(web().max_unavailable("1").unhealthy(policy.clone()), |pod| pod)
                .with(budget("all").selecting("").max_unavailable("1").unhealthy(policy))
        };
        let refused = Answer::Blocked(Block::MultipleBudgets);
        check(&two(UnhealthyPods::IfHealthyBudget), refused);
        check(&two(UnhealthyPods::AlwaysAllow).pod("web-1", |pod| pod.unready("")), refused);
        // One of another namespace is no second one.
        let mut other = budget("all").selecting("").max_unavailable("1");
        other.name.namespace = "other".into();
        check(&three(web().max_unavailable("1"), |pod| pod).with(other), Answer::Allowed);
    }

    #[test]
    fn failing_and_lagging_controllers() {
        let failed = |budget: DisruptionBudget| budget.condition("SyncFailed", "no scale").status(3, 2, 2);
        let sync_failed = Answer::Blocked(Block::SyncFailed);
        // By our own arithmetic.
        let with_job = |budget: DisruptionBudget, change: fn(Pod) -> Pod| {
            three(budget, change).with(job("sum")).with(pod("sum-1").labelled("app", "web").of(&job("sum")))
        };
        check(&with_job(web().max_unavailable("1"), |pod| pod), sync_failed);
        check(&with_job(web().min_available("1"), |pod| pod), Answer::Allowed);
        // By what the controller wrote.
        check(&three(failed(web().max_unavailable("1")), |pod| pod), sync_failed);
        check(&three(failed(web().max_unavailable("1")).generation(2, 1), |pod| pod), sync_failed);
        // The server goes by stale numbers, which may let pods through that are not Ready.
        let unready = |pod: Pod| pod.unready("");
        check(&three(failed(web().max_unavailable("1")), unready), Answer::Free(Exemption::NotReady));
        let stale = web().max_unavailable("1").condition("SyncFailed", "no scale").status(3, 2, 1);
        check(&three(stale, unready), sync_failed);
        check(&with_job(web().max_unavailable("1").status(3, 2, 2), unready), Answer::Free(Exemption::NotReady));
        check(&with_job(web().max_unavailable("1"), unready), sync_failed);
        // A generation that the controller has not seen.
        let still = Answer::Blocked(Block::StillProcessing);
        check(&three(web().max_unavailable("1").generation(2, 1), |pod| pod), still);
        check(&three(web().max_unavailable("1").generation(2, 2), |pod| pod), Answer::Allowed);
        check(&three(web().max_unavailable("1").generation(1, 2), |pod| pod), Answer::Allowed);
        check(&three(web().max_unavailable("0").generation(2, 1), |pod| pod), Answer::Blocked(Block::Always));
        check(&three(web().max_unavailable("1").generation(2, 1), unready), Answer::Free(Exemption::NotReady));
    }

    #[test]
    fn what_only_the_server_knows_is_taken_from_the_status() {
        let custom = |budget: DisruptionBudget| {
            world()
                .with_all(
                    ["web-1", "web-2", "web-3"]
                        .map(|name| pod(name).labelled("app", "web").of_kind("a.b/v1", "Flock", "web")),
                )
                .with(budget)
        };
        let written = |expected, desired, healthy| {
            web().max_unavailable("1").status(expected, desired, healthy).condition("SufficientPods", "")
        };
        check(&custom(written(3, 2, 3)), Answer::Allowed);
        check(&custom(written(3, 2, 2)), Answer::Blocked(Block::Now));
        check(&custom(written(3, 3, 3)), Answer::Blocked(Block::Always));
        check(&custom(web().max_unavailable("1")), Answer::Unknown);
        check(&custom(written(3, 2, 3).generation(2, 1)), Answer::Unknown);
        check(&custom(web().min_available("2")), Answer::Allowed);
        let failed = web().max_unavailable("1").condition("SyncFailed", "no scale");
        check(&custom(failed), Answer::Blocked(Block::SyncFailed));
        let mut asked = custom(web().max_unavailable("1"));
        asked.workloads.insert_scale(Uid("Flock-web".into()), Scale::Replicas(3));
        check(&asked, Answer::Allowed);
    }

    #[test]
    fn budgets_that_could_not_be_read() {
        let mut world = three(web().max_unavailable("0"), |pod| pod);
        world.budgets.clear();
        world.mark_unknown(Kind::PodDisruptionBudget, Unreadable::Forbidden("no".into()));
        let pods: Vec<&Pod> = world.pods.iter().collect();
        let ledger = Ledger::open(&world, &pods, &Options::default());
        assert!(!ledger.budgets_are_known());
        assert_eq!(ledger.ask(pods[0]), Answer::AllowedByImplied);
    }

    #[test]
    fn deletions_ask_no_written_budget() {
        let options = Options { disable_eviction: true, ..Options::default() };
        let blocked = three(web().max_unavailable("0"), |pod| pod);
        assert_eq!(ask(&blocked, &options), Answer::AllowedByImplied);
        let two = blocked.with(budget("all").selecting(""));
        assert_eq!(ask(&two, &options), Answer::AllowedByImplied);
        let unlimited = Options { max_unavailable: MaxUnavailable::Unlimited, ..options };
        assert_eq!(ask(&two, &unlimited), Answer::NoBudget);
    }

    /// Target and allowance of the only implied budget, or that there is none.
    fn implied(world: &Snapshot, max_unavailable: MaxUnavailable) -> Option<(i32, Option<i32>)> {
        let pods: Vec<&Pod> = world.pods.iter().collect();
        let ledger = Ledger::open(world, &pods, &Options { max_unavailable, ..Options::default() });
        assert!(ledger.implied().count() <= 1);
        ledger.implied().next().map(|account| (account.target, account.allowance))
    }

    #[test]
    fn implied_budgets() {
        #[track_caller]
        fn check_implied(owner: &Workload, replicas: usize, max_unavailable: &str, expected: Option<i32>) {
            let max_unavailable = match max_unavailable {
                "auto" => MaxUnavailable::Auto,
                "unlimited" => MaxUnavailable::Unlimited,
                value => MaxUnavailable::Value(value.parse().unwrap()),
            };
            let world = world().runs(owner, vec!["n1"; replicas]);
            let allowance = implied(&world, max_unavailable).unwrap().1;
            assert_eq!(allowance, expected, "{:?} of {replicas}, {max_unavailable:?}", owner.kind);
        }
        let web = deployment("web");
        // As its own rolling update: a fraction rounded down, at least one.
        check_implied(&web, 10, "auto", Some(2));
        check_implied(&web, 3, "auto", Some(1));
        check_implied(&web.clone().rolling("0"), 10, "auto", Some(1));
        check_implied(&web.clone().rolling("0%"), 10, "auto", Some(1));
        check_implied(&web.clone().rolling("3"), 10, "auto", Some(3));
        check_implied(&web.clone().rolling("50%"), 5, "auto", Some(2));
        let recreate = Workload { strategy: UpdateStrategy::Recreate, ..web.clone() };
        check_implied(&recreate, 10, "auto", Some(2));
        check_implied(&stateful_set("web"), 10, "auto", Some(1));
        for owner in [replica_set("web"), replication_controller("web")] {
            check_implied(&owner, 8, "auto", Some(2));
            check_implied(&owner, 7, "auto", Some(1));
            check_implied(&owner, 1, "auto", Some(1));
        }
        check_implied(&web, 10, "4", Some(4));
        check_implied(&web, 10, "0", Some(1));
        check_implied(&web, 10, "35%", Some(3));
        check_implied(&web, 2, "1%", Some(1));
        check_implied(&stateful_set("web"), 10, "3", Some(3));
        check_implied(&web, 10, "unlimited", None);
    }

    #[test]
    fn owners_without_an_implied_budget() {
        let of =
            |owner: Workload| implied(&world().with(owner.clone()).with(pod("p").of(&owner)), MaxUnavailable::Auto);
        assert_eq!(of(stateful_set("s")), Some((1, Some(1))));
        assert_eq!(of(stateful_set("s").deleting()), None);
        assert_eq!(of(job("j")), None);
        assert_eq!(of(daemon_set("d")), None);
        let alone = |pod: Pod| implied(&world().with(pod), MaxUnavailable::Auto);
        assert_eq!(alone(pod("bare")), None);
        assert_eq!(alone(pod("p").of(&replica_set("gone"))), None);
        assert_eq!(alone(pod("p").of_kind("v1", "Node", "n1")), None);
        assert_eq!(alone(pod("p").of_kind("a.b/v1", "Flock", "f")), Some((1, Some(1))));
        // A custom owner of eight, of which one pod is here: what the server says counts.
        let mut flock = world().with(pod("p").of_kind("a.b/v1", "Flock", "f"));
        flock.workloads.insert_scale(Uid("Flock-f".into()), Scale::Replicas(8));
        assert_eq!(implied(&flock, MaxUnavailable::Auto), Some((1, Some(2))));
        // A written budget over one of its pods leaves the implied one to the others.
        let partly = world()
            .runs(&stateful_set("web"), ["n1", "n1", "n1"])
            .pod("web-1", |pod| pod.labelled("canary", "yes"))
            .with(web().max_unavailable("1").selecting("canary=yes"));
        let pods: Vec<&Pod> = partly.pods.iter().collect();
        let ledger = Ledger::open(&partly, &pods, &Options::default());
        let draws: Vec<Option<Draw>> = pods.iter().map(|pod| ledger.draw(pod)).collect();
        assert_eq!(draws, [Some(Draw::Written(0)), Some(Draw::Implied(0)), Some(Draw::Implied(0))]);
    }

    #[test]
    fn the_target_is_what_was_ready_at_most_what_is_wanted() {
        #[track_caller]
        fn check_target(replicas: i32, ready: usize, expected: i32) {
            let mut world = world().runs(&stateful_set("web"), vec!["n1"; 4]);
            world.workloads.insert(stateful_set("web").replicas(replicas));
            for pod in &mut world.pods[ready..] {
                *pod = pod.clone().unready("");
            }
            assert_eq!(implied(&world, MaxUnavailable::Auto).unwrap().0, expected);
        }
        check_target(4, 4, 4);
        check_target(4, 2, 2);
        check_target(2, 4, 2);
        check_target(0, 4, 0);
        check_target(4, 0, 0);
        // It never holds a pod that isn't Ready, and takes nothing for it.
        let world = world().runs(&stateful_set("web"), vec!["n1"; 3]).pod("web-1", |pod| pod.unready(""));
        check(&world, Answer::NoBudget);
        let pods: Vec<&Pod> = world.pods.iter().collect();
        let mut ledger = Ledger::open(&world, &pods, &Options::default());
        ledger.take(pods[0]);
        assert_eq!(ledger.ask(pods[1]), Answer::AllowedByImplied);
        ledger.take(pods[1]);
        assert_eq!(ledger.ask(pods[2]), Answer::Blocked(Block::Implied));
        ledger.refill(pods[1]);
        assert_eq!(ledger.ask(pods[2]), Answer::AllowedByImplied);
    }

    /// The numbers of every account, as they stand.
    fn running(ledger: &Ledger<'_>) -> (Vec<Counts>, Vec<i32>) {
        let written = ledger.accounts.iter().map(|account| account.running).collect();
        (written, ledger.implied.iter().map(|account| account.running).collect())
    }

    proptest! {
        /// What the ledger counts is what the controller would count if the pods really went and came back.
        #[test]
        fn the_running_numbers_are_the_controllers(world in any_world(), order in any::<[prop::sample::Index; 12]>()) {
            let pods: Vec<&Pod> = world.pods.iter().collect();
            let mut ledger = Ledger::open(&world, &pods, &Options::default());
            let mut mutated = world.clone();
            let mut away = HashSet::new();
            for index in order {
                let at = index.index(pods.len());
                if pods[at].is_terminating() {
                    continue;
                }
                if away.insert(at) {
                    ledger.take(pods[at]);
                    mutated.pods[at].deletion = Some(Deletion { at: world.taken_at });
                } else {
                    away.remove(&at);
                    ledger.refill(pods[at]);
                    mutated.pods[at].deletion = None;
                }
                let mutated_pods: Vec<&Pod> = mutated.pods.iter().collect();
                let fresh = Ledger::open(&mutated, &mutated_pods, &Options::default());
                for (account, fresh) in ledger.accounts.iter().zip(&fresh.accounts) {
                    prop_assert_eq!(&account.budget.name, &fresh.budget.name);
                    if !matches!(account.state, BudgetState::SyncFailed(_)) {
                        prop_assert_eq!(account.running, fresh.counts);
                    }
                }
                for (account, fresh) in ledger.implied.iter().zip(&fresh.implied) {
                    prop_assert_eq!(account.running, fresh.ready);
                }
            }
        }

        #[test]
        fn taking_and_refilling_is_nothing(world in any_world()) {
            let pods: Vec<&Pod> = world.pods.iter().collect();
            let mut ledger = Ledger::open(&world, &pods, &Options::default());
            let before = running(&ledger);
            for pod in &pods {
                ledger.take(pod);
            }
            for pod in &pods {
                ledger.refill(pod);
            }
            prop_assert_eq!(running(&ledger), before.clone());
            for pod in &pods {
                ledger.take(pod);
            }
            ledger.reset();
            prop_assert_eq!(running(&ledger), before);
        }

        /// Whoever takes only what is allowed never goes below what a budget needs.
        #[test]
        fn taking_what_is_allowed_never_goes_below(world in any_world()) {
            let pods: Vec<&Pod> = world.pods.iter().collect();
            let mut ledger = Ledger::open(&world, &pods, &Options::default());
            for pod in &pods {
                if matches!(ledger.ask(pod), Answer::Allowed | Answer::AllowedByImplied) {
                    ledger.take(pod);
                }
            }
            for account in &ledger.accounts {
                prop_assert!(account.running.healthy >= account.counts.desired.min(account.counts.healthy));
                prop_assert!(account.running.allowed() >= 0);
            }
            // One whose pods have budgets, too, goes as those allow.
            let asked_alone = |account: &&ImpliedAccount<'_>| {
                pods.iter().all(|pod| ledger.gate(pod).is_none_or(|gate| gate.uid != account.uid) || ledger.budgets_of(pod).next().is_none())
            };
            for account in ledger.implied().filter(asked_alone) {
                let least = account.target - account.allowance.unwrap_or(account.target);
                prop_assert!(account.running >= least.min(account.ready));
            }
        }
    }
}
