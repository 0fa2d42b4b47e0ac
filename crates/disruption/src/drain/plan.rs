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
    let flagged_turns = play(&leavers).turns;
    let schedule = play(&evictable);

    let mut turns = schedule.turns.into_iter();
    let mut flagged_turns = flagged_turns.into_iter();
    let pods: Vec<PodPlan<'_>> = judged
        .into_iter()
        .map(|(node, pod, judgement)| {
            let goes = judgement.leaves();
            let flagged = if goes { flagged_turns.next() } else { None };
            let turn = if goes && judgement.fate == Fate::Evict { turns.next() } else { None };
            let budget = turn.or(flagged).map_or(BudgetVerdict::None, |turn| budget_verdict(pod, turn, &ledger));
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        budget::arithmetic,
        drain::{
            document::{DrainPlan, Place},
            filter::Comeback,
        },
        fixture::{any_world, budget, deployment, job, node, pod, replica_set, stateful_set, world},
        model::{Deletion, DisruptionBudget, Phase, Uid, UnhealthyPods},
        snapshot::Unreadable,
    };

    fn names(nodes: &str) -> Vec<NodeName> {
        nodes.split_whitespace().map(|name| NodeName(name.to_owned())).collect()
    }

    fn forced() -> Options {
        Options { force: true, delete_emptydir_data: true, ..Options::default() }
    }

    /// Checks the exit code and, pod by pod, action, wave and what the budgets say.
    #[track_caller]
    fn check(world: &Snapshot, nodes: &str, options: &Options, exit: u8, expected: &[&str]) {
        let targets = names(nodes);
        let plan = plan(world, &targets, options).unwrap();
        let told: Vec<String> = plan
            .pods
            .iter()
            .map(|planned| format!("{} {:?} {:?}", planned.pod.name.name, planned.action, planned.budget))
            .collect();
        assert_eq!(
            (told.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), plan.verdict().exit().code()),
            (expected, exit)
        );
    }

    #[track_caller]
    fn check_waves(world: &Snapshot, nodes: &str, options: &Options, expected: &[&str]) {
        let targets = names(nodes);
        let plan = plan(world, &targets, options).unwrap();
        let list = |pods: &[&Pod]| pods.iter().map(|pod| pod.name.name.as_str()).collect::<Vec<_>>().join(" ");
        let waves: Vec<String> =
            plan.waves.iter().map(|wave| format!("{} after {}", list(&wave.pods), list(&wave.waits_for))).collect();
        assert_eq!(waves, expected);
    }

    fn shop() -> Snapshot {
        world().nodes(["n1", "n2", "n3"])
    }

    #[test]
    fn a_budget_of_one_lets_them_go_one_by_one() {
        let world = shop().runs(&deployment("web"), ["n1", "n1", "n1", "n2"]).with(budget("web").max_unavailable("1"));
        let options = Options::default();
        check(&world, "n1", &options, 0, &["web-1 Evict(1) Allowed", "web-2 Evict(2) Later", "web-3 Evict(3) Later"]);
        check_waves(&world, "n1", &options, &["web-1 after ", "web-2 after web-1", "web-3 after web-2"]);
        let two = Options { max_unavailable: crate::drain::options::MaxUnavailable::Unlimited, ..Options::default() };
        check_waves(&world, "n1", &two, &["web-1 after ", "web-2 after web-1", "web-3 after web-2"]);
    }

    #[test]
    fn a_budget_of_two_lets_them_go_in_pairs() {
        let world =
            shop().runs(&deployment("web"), ["n1", "n1", "n1", "n1", "n1"]).with(budget("web").min_available("3"));
        check_waves(
            &world,
            "n1",
            &Options::default(),
            &["web-1 web-2 after ", "web-3 web-4 after web-1 web-2", "web-5 after web-3 web-4"],
        );
    }

    #[test]
    fn nodes_share_one_ledger() {
        let world = shop().runs(&deployment("web"), ["n1", "n2", "n3"]).with(budget("web").max_unavailable("1"));
        let expected = ["web-2 Evict(2) Later", "web-1 Evict(1) Allowed", "web-3 Evict(3) Later"];
        check(&world, "n2 n1 n3", &Options::default(), 0, &expected);
        // Without a written budget the implied one does the same.
        let unbudgeted = shop().runs(&stateful_set("web"), ["n1", "n2", "n3"]);
        let expected = ["web-2 Evict(2) None", "web-1 Evict(1) None", "web-3 Evict(3) None"];
        check(&unbudgeted, "n2 n1 n3", &Options::default(), 0, &expected);
    }

    #[test]
    fn owners_do_not_wait_for_each_other() {
        let world = shop()
            .runs(&stateful_set("api"), ["n1", "n1"])
            .runs(&stateful_set("web"), ["n1", "n1"])
            .runs(&job("sum"), ["n1", "n1"]);
        check_waves(
            &world,
            "n1",
            &Options::default(),
            &["api-1 sum-1 sum-2 web-1 after ", "api-2 web-2 after api-1 web-1"],
        );
    }

    #[test]
    fn what_costs_nothing_goes_first() {
        let world = shop()
            .runs(&deployment("web"), ["n1", "n1", "n1", "n2", "n2"])
            .pod("web-2", |pod| pod.unready("CrashLoopBackOff"))
            .pod("web-3", |pod| pod.in_phase(Phase::Pending))
            .with(budget("web").min_available("2"));
        check(
            &world,
            "n1",
            &Options::default(),
            0,
            &["web-1 Evict(1) Allowed", "web-2 Evict(1) Free", "web-3 Evict(1) Free"],
        );
        // Their replacements are not counted on: what is down may stay down.
        let tight = shop()
            .runs(&deployment("web"), ["n1", "n1", "n2"])
            .pod("web-2", |pod| pod.in_phase(Phase::Pending))
            .with(budget("web").max_unavailable("1"));
        check(&tight, "n1", &Options::default(), 4, &["web-1 Wait BlockedNow", "web-2 Evict(1) Free"]);
    }

    #[test]
    fn the_less_important_go_first() {
        let world = shop()
            .runs(&stateful_set("web"), ["n1", "n1", "n1"])
            .pod("web-1", |pod| Pod { priority: 9, ..pod })
            .pod("web-2", |pod| Pod { priority: -1, ..pod });
        check_waves(&world, "n1", &Options::default(), &["web-2 after ", "web-3 after web-2", "web-1 after web-3"]);
    }

    #[test]
    fn nobody_brings_back_bare_pods() {
        let bare = |name: &str| pod(name).labelled("app", "web");
        let world = shop().with_all(["a", "b", "c"].map(bare)).with(budget("web").min_available("2"));
        check(&world, "n1", &forced(), 4, &["a Evict(1) Allowed", "b Wait BlockedNow", "c Wait BlockedNow"]);
        // They do not use up what pods that come back need, too.
        let mixed =
            shop().runs(&stateful_set("web"), ["n1", "n1"]).with(bare("a")).with(budget("web").min_available("2"));
        check(&mixed, "n1", &forced(), 0, &["a Evict(3) Later", "web-1 Evict(1) Allowed", "web-2 Evict(2) Later"]);
        check_waves(&mixed, "n1", &forced(), &["web-1 after ", "web-2 after web-1", "a after web-2"]);
    }

    #[test]
    fn what_budgets_block() {
        let blocked = |budget: DisruptionBudget| shop().runs(&deployment("web"), ["n1", "n2"]).with(budget);
        let web = || budget("web");
        let options = Options::default();
        check(&blocked(web().max_unavailable("0")), "n1", &options, 4, &["web-1 Refuse AlwaysBlocked"]);
        check(&blocked(web().min_available("2")), "n1", &options, 4, &["web-1 Refuse AlwaysBlocked"]);
        check(
            &blocked(web().max_unavailable("1").generation(2, 1)),
            "n1",
            &options,
            4,
            &["web-1 Wait StillProcessing"],
        );
        let failed = web().max_unavailable("1").condition("SyncFailed", "no scale");
        check(&blocked(failed), "n1", &options, 4, &["web-1 Refuse SyncFailed"]);
        let two = blocked(web().max_unavailable("1")).with(budget("all").selecting("").max_unavailable("1"));
        check(&two, "n1", &options, 4, &["web-1 Refuse MultipleBudgets"]);
        let down = blocked(web().max_unavailable("1")).pod("web-2", |pod| pod.unready(""));
        check(&down, "n1", &options, 4, &["web-1 Wait BlockedNow"]);
        // A sibling on the way out of another drained node is nothing that this drain causes.
        let leaving = blocked(web().max_unavailable("1")).pod("web-2", |pod| pod.terminating_since(1));
        check(&leaving, "n1 n2", &options, 4, &["web-1 Wait BlockedNow", "web-2 Wait None"]);
        let deleting = Options { disable_eviction: true, ..Options::default() };
        check(&two, "n1", &deleting, 0, &["web-1 Evict(1) Free"]);
    }

    #[test]
    fn a_missing_flag_comes_before_a_budget() {
        let world =
            shop().runs(&deployment("web"), ["n1", "n2"]).with(budget("web").max_unavailable("0")).with(pod("bare"));
        let options = Options::default();
        check(&world, "n1", &options, 3, &["bare Refuse None", "web-1 Refuse AlwaysBlocked"]);
        // What budgets will say is told before the flag is given, one by one.
        let scratch =
            |n: usize| pod(&format!("web-{n}")).labelled("app", "web").of(&stateful_set("web")).empty_dir("x");
        let refused = shop()
            .with(stateful_set("web").replicas(3))
            .with_all((1..4).map(scratch))
            .with(budget("web").max_unavailable("1"));
        check(&refused, "n1", &options, 3, &["web-1 Refuse Allowed", "web-2 Refuse Later", "web-3 Refuse Later"]);
        check(
            &refused,
            "n1",
            &forced(),
            0,
            &["web-1 Evict(1) Allowed", "web-2 Evict(2) Later", "web-3 Evict(3) Later"],
        );
    }

    #[test]
    fn nodes_are_looked_up() {
        #[track_caller]
        fn check_error(world: &Snapshot, nodes: &str, expected: &str) {
            let error = plan(world, &names(nodes), &Options::default()).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        check_error(&shop(), "n9", "nodes \"n9\" not found");
        check_error(&shop(), "n1 n9 n8", "nodes \"n9\" not found");
        check_error(&shop(), "n1 n2 n1", "node \"n1\" is named twice");
        let mut without_pods = shop();
        without_pods.mark_unknown(Kind::Pod, Unreadable::NotInFile);
        check_error(&without_pods, "n1", "pods could not be read, so there is nothing to plan: the file holds none");
        // Where nodes could not be read, a pod on it shows that there is such a node.
        let mut without_nodes = world().with(stateful_set("web")).with(pod("web-0").of(&stateful_set("web")));
        without_nodes.mark_unknown(Kind::Node, Unreadable::Forbidden("no".into()));
        check(&without_nodes, "n1", &Options::default(), 0, &["web-0 Evict(1) None"]);
        check_error(&without_nodes, "n2", "nodes \"n2\" not found");
        // A node that is not there is no node because of an old pod on it.
        check_error(&world().with(pod("p")), "n1", "nodes \"n1\" not found");
        check(&shop(), "n1 n2", &Options::default(), 0, &[]);
    }

    #[test]
    fn selectors_select_nodes_by_name() {
        let world = world().nodes(["n2", "n1"]).with(node("n0").cordoned());
        let select = |text: &str| {
            let names = select(&world, &text.parse().unwrap());
            names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(select(""), "n0 n1 n2");
        assert_eq!(select("kubernetes.io/hostname in (n1, n2)"), "n1 n2");
        assert_eq!(select("zone"), "");
    }

    #[test]
    fn the_estimate() {
        #[track_caller]
        fn check_estimate(world: &Snapshot, grace: Option<u32>, expected: i64) {
            let options = Options { grace_period_seconds: grace, ..forced() };
            assert_eq!(plan(world, &names("n1"), &options).unwrap().estimated_seconds, expected);
        }
        let after = |seconds: i64| move |pod: Pod| Pod { start_seconds: Some(seconds), ..pod };
        check_estimate(&shop(), None, 0);
        // A bare pod is gone after its grace period.
        check_estimate(&shop().with(pod("bare")), None, 30);
        check_estimate(&shop().with(pod("bare")), Some(5), 5);
        // A replacement starts while the old pod stops; one second more than it needs is not waited.
        let one = shop().runs(&deployment("web"), ["n1"]);
        check_estimate(&one, None, 30);
        check_estimate(&one.clone().pod("web-1", after(50)), None, 50);
        // Each wave begins when the replacements of the one before are Ready.
        let three = shop().runs(&deployment("web"), ["n1", "n1", "n1"]).with(budget("web").max_unavailable("1"));
        check_estimate(&three, Some(2), 30);
        check_estimate(&three, None, 50);
        let measured = three.pod("web-1", after(20)).pod("web-2", after(40)).pod("web-3", after(90));
        check_estimate(&measured, Some(2), 120);
        // A StatefulSet's pod can only come again when the old one is gone.
        let set = shop().runs(&stateful_set("db"), ["n1", "n1"]).pod("db-1", after(7)).pod("db-2", after(7));
        check_estimate(&set, None, 74);
        let forever =
            shop().runs(&stateful_set("db"), ["n1", "n1"]).pod("db-1", |pod| Pod { grace_seconds: i64::MAX, ..pod });
        check_estimate(&forever, None, i64::MAX);
    }

    fn cover<'a>(world: &'a Snapshot, budget: &DisruptionBudget) -> Vec<&'a Pod> {
        world.pods.iter().filter(|pod| budget.covers(&pod.name.namespace, &pod.labels)).collect()
    }

    fn sync(world: &Snapshot, budget: &DisruptionBudget) -> Option<arithmetic::Sync> {
        arithmetic::sync(budget, &cover(world, budget), &world.workloads, world.taken_at).ok()
    }

    fn is_counted(world: &Snapshot, pod: &Pod) -> bool {
        let mut budgets = world.budgets.iter().filter(|budget| budget.covers(&pod.name.namespace, &pod.labels));
        budgets.all(|budget| arithmetic::is_counted_healthy(budget, pod, world.taken_at)) && pod.is_healthy()
    }

    /// What the eviction handler would answer in this world.
    fn server_allows(world: &Snapshot, pod: &Pod) -> bool {
        let budgets: Vec<&DisruptionBudget> =
            world.budgets.iter().filter(|budget| budget.covers(&pod.name.namespace, &pod.labels)).collect();
        if pod.is_terminating() || matches!(pod.phase, Phase::Pending | Phase::Succeeded | Phase::Failed) {
            return true;
        }
        match budgets.as_slice() {
            [] => true,
            [budget] if !pod.ready && budget.unhealthy_pods == UnhealthyPods::AlwaysAllow => true,
            [budget] => sync(world, budget).is_some_and(|sync| {
                let arithmetic::Counts { healthy, desired, .. } = sync.counts;
                match budget.unhealthy_pods {
                    UnhealthyPods::IfHealthyBudget if !pod.ready && healthy >= desired && desired > 0 => true,
                    UnhealthyPods::Unrecognized(_) if !pod.ready => false,
                    _ => sync.counts.allowed() > 0,
                }
            }),
            _ => false,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

        /// Plays the plan in a world where the controller counts anew after every eviction.
        #[test]
        fn a_plan_never_takes_more_than_the_server_allows(world in any_world(), both in any::<bool>()) {
            let targets = names(if both { "n1 n2" } else { "n1" });
            let options = forced();
            let plan = plan(&world, &targets, &options).unwrap();
            let mut cluster = world.clone();
            for wave in &plan.waves {
                let mut going = wave.pods.clone();
                // In the plan's order within a wave: first what no budget counts as healthy.
                going.sort_by_key(|pod| is_counted(&world, pod));
                for pod in &going {
                    prop_assert!(server_allows(&cluster, pod), "{} under {:?}", pod.name, cluster.budgets);
                    let at = cluster.pods.iter().position(|other| other.uid == pod.uid).unwrap();
                    cluster.pods[at].deletion = Some(Deletion { at: cluster.taken_at });
                }
                for account in plan.ledger.implied() {
                    let ready = cluster.pods.iter().filter(|pod| {
                        pod.is_healthy() && pod.name.name.starts_with(&format!("{}-", account.owner.1.name))
                    });
                    let least = account.target - account.allowance.unwrap_or_default();
                    prop_assert!(i32::try_from(ready.count()).unwrap() >= least.min(account.ready));
                }
                // What comes back is Ready elsewhere; what was not Ready does not become so.
                for pod in going {
                    let at = cluster.pods.iter().position(|other| other.uid == pod.uid).unwrap();
                    let planned = plan.pods.iter().find(|planned| planned.pod.uid == pod.uid).unwrap();
                    if planned.judgement.comeback.is_expected() {
                        let replacement = Pod { deletion: None, uid: Uid(format!("{}-again", pod.uid)), ..pod.clone().on("n3") };
                        cluster.pods[at] = replacement;
                    } else if let Comeback::Lost(_) = planned.judgement.comeback {
                        cluster.pods[at].labels.clear();
                    }
                }
            }
            for planned in plan.pods.iter().filter(|planned| planned.judgement.fate == Fate::Evict) {
                let waves = plan.waves.iter().filter(|wave| wave.pods.iter().any(|pod| pod.uid == planned.pod.uid)).count();
                prop_assert_eq!(waves, usize::from(planned.wave().is_some()), "{} has one turn", planned.pod.name);
                prop_assert_eq!(planned.wave().is_none(), planned.is_blocked(), "{}", planned.pod.name);
                // Nothing is left behind that could still go.
                prop_assert!(planned.wave().is_some() || !server_allows(&cluster, planned.pod), "{} stays", planned.pod.name);
            }
            let goes = |wave: &&Pod| plan.pods.iter().find(|planned| planned.pod.uid == wave.uid).and_then(PodPlan::wave);
            for (number, wave) in (1..).zip(&plan.waves) {
                prop_assert!(!wave.pods.is_empty());
                prop_assert!(wave.waits_for.iter().all(|pod| goes(pod) == Some(number - 1)));
            }
        }

        #[test]
        fn the_order_of_a_snapshot_does_not_matter(
            (world, shuffled) in any_world().prop_flat_map(|world| {
                let pods = Just(world.pods.clone()).prop_shuffle();
                let budgets = Just(world.budgets.clone()).prop_shuffle();
                (Just(world), pods, budgets).prop_map(|(world, pods, budgets)| (world.clone(), Snapshot { pods, budgets, ..world }))
            }),
        ) {
            let (targets, options) = (names("n2 n1"), Options::default());
            let document = |world| DrainPlan::new(&plan(world, &targets, &options).unwrap(), Place::default());
            prop_assert_eq!(document(&world), document(&shuffled));
        }
    }

    #[test]
    fn a_replica_set_of_a_deployment_in_mid_rollout() {
        let web = deployment("web").replicas(4);
        let (old, new) = (replica_set("web-old").of(&web), replica_set("web-new").of(&web));
        let of = |names: [&str; 2], set| names.map(|name| pod(name).labelled("app", "web").of(set));
        let world = shop()
            .with_all([web, old.clone(), new.clone()])
            .with_all(of(["a", "b"], &old))
            .with_all(of(["c", "d"], &new));
        // One workload, so one implied budget over both.
        let targets = names("n1");
        let options = Options::default();
        let plan = plan(&world, &targets, &options).unwrap();
        assert_eq!((plan.ledger.implied().count(), plan.waves.len()), (1, 4));
    }
}
