//! Carries a plan out: decides, from what the watches show, which pod may go now, what everybody waits for, and when it
//! is over. It makes no requests itself; see [`crate::action`].
//!
//! What may go is decided anew each time from what the cluster shows, so nothing that happens meanwhile (a budget that
//! changes, pods that appear, an owner that is scaled) needs a rule of its own. Waves are no barriers.

mod choice;
mod clocks;
mod ending;
mod gate;
mod inputs;
mod node;
mod pod;
mod proceed;
mod result;
#[cfg(test)]
mod tests;
mod view;
mod watching;
mod why;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    mem,
};

use jiff::Timestamp;

use self::{
    choice::Subject,
    gate::Gate,
    node::{NodeDrain, Stage as NodeStage},
    pod::{Delay, End, Stage, Tracked},
    view::View,
    why::Problem,
};
use super::{
    document::PodOutcome,
    filter::Fate,
    options::{Execution, OnBlocked, Options, Run},
    plan::{BudgetVerdict, Plan},
    text,
};
use crate::{
    action::{Action, Input, Machine, Trouble, Watch},
    event::Event,
    model::{NodeName, Pod, Uid},
};

/// A drain under way.
#[derive(Debug)]
pub struct Drain {
    options: Options,
    execution: Execution,
    run: Run,
    started: Timestamp,
    now: Timestamp,
    view: View,
    nodes: Vec<NodeDrain>,
    pods: Vec<Tracked>,
    by_uid: HashMap<Uid, usize>,
    gates: BTreeMap<Uid, Gate>,
    /// By workload: the Ready pods that it had when its first pod was seen here.
    ready_at_start: HashMap<Uid, i32>,
    /// The server asked to be left alone until then.
    held: Option<(Timestamp, Trouble)>,
    /// What was told last about everything that is waited for.
    told: BTreeMap<Subject, String>,
    watched: BTreeSet<Watch>,
    connection_is_lost: bool,
    has_begun: bool,
    actions: Vec<Action>,
}

impl Drain {
    /// A drain that carries out a plan. Nodes of which pods need a flag are left alone, as are those with pods that a
    /// budget can never let go, unless the options say to wait.
    pub fn new(plan: &Plan<'_>, execution: Execution, run: Run) -> Self {
        let nodes: Vec<NodeDrain> = plan
            .nodes
            .iter()
            .filter_map(|planned| {
                let mut node = NodeDrain::new(planned.node?, plan.snapshot.taken_at);
                if let Some(problem) = preflight(plan, planned.name, execution.on_blocked) {
                    node.refuse(problem);
                }
                Some(node)
            })
            .collect();
        // What refused nodes have on them is for the others like the rest of the cluster.
        let begun = nodes.iter().filter(|node| node.stage != NodeStage::Ended);
        let targets: Vec<NodeName> = begun.map(|node| node.seen.name.clone()).collect();
        let now = plan.snapshot.taken_at;
        let mut drain = Self {
            options: plan.options.clone(),
            execution,
            run,
            started: now,
            now,
            view: View::new(plan.snapshot, &targets),
            nodes,
            pods: Vec::new(),
            by_uid: HashMap::new(),
            gates: BTreeMap::new(),
            ready_at_start: HashMap::new(),
            held: None,
            told: BTreeMap::new(),
            watched: BTreeSet::new(),
            connection_is_lost: false,
            has_begun: false,
            actions: Vec::new(),
        };
        for planned in &plan.pods {
            if let Some(account) = plan.ledger.gate(planned.pod) {
                drain.ready_at_start.insert(account.uid.clone(), account.ready);
            }
            let stage = match planned.judgement.fate {
                Fate::Evict => Stage::Waiting(Delay::None),
                Fate::Wait => Stage::Leaving,
                Fate::Skip => {
                    Stage::Ended(End { outcome: PodOutcome::Skipped, reason: text::reasons(&planned.judgement) })
                }
                Fate::Refuse => {
                    Stage::Ended(End { outcome: PodOutcome::Refused, reason: text::reasons(&planned.judgement) })
                }
            };
            drain.track(planned.pod.clone(), planned.node.clone(), stage, planned.judgement.comeback.is_expected());
        }
        drain
    }

    /// Leaves everything alone, because a right is missing.
    pub fn forbid(&mut self, message: &str) {
        for node in &mut self.nodes {
            node.refuse(Problem::Forbidden(message.to_owned()));
        }
    }

    fn track(&mut self, pod: Pod, node: NodeName, stage: Stage, comes_back: bool) -> usize {
        let number = self.pods.len();
        self.by_uid.insert(pod.uid.clone(), number);
        self.pods.push(Tracked::new(pod, node, stage, comes_back));
        number
    }

    fn tell(&mut self, event: Event) {
        self.actions.push(Action::Tell(event));
    }
}

impl Machine for Drain {
    type Event = Event;

    fn handle(&mut self, now: Timestamp, inputs: Vec<Input>) -> Vec<Action> {
        self.now = self.now.max(now);
        self.view.set_now(self.now);
        if !mem::replace(&mut self.has_begun, true) {
            self.begin();
        }
        for input in inputs {
            self.take_in(input);
        }
        self.check_clocks();
        self.end_stopped_pods();
        self.proceed_with_nodes();
        self.proceed_with_pods();
        self.close_nodes();
        // What became of the last pods decides about nodes, and a node that closes has one more request.
        self.proceed_with_nodes();
        self.tell_connection();
        mem::take(&mut self.actions)
    }

    fn next_wake(&self) -> Option<Timestamp> {
        self.next_clock()
    }

    fn is_finished(&self) -> bool {
        self.has_begun && self.nodes.iter().all(|node| node.ended.is_some())
    }
}

/// What comes before the first request.
fn preflight(plan: &Plan<'_>, node: &NodeName, on_blocked: OnBlocked) -> Option<Problem> {
    let pods = || plan.pods.iter().filter(|planned| planned.node == node);
    let refused: Vec<_> = pods().filter(|planned| planned.judgement.fate == Fate::Refuse).collect();
    let needs_flags =
        (!refused.is_empty()).then(|| text::refusal(refused.iter().map(|planned| (planned.pod, &planned.judgement))));
    let is_impossible = |verdict| {
        matches!(verdict, BudgetVerdict::AlwaysBlocked | BudgetVerdict::MultipleBudgets | BudgetVerdict::SyncFailed)
    };
    let blocked: Vec<_> =
        pods().filter(|planned| on_blocked == OnBlocked::Refuse && is_impossible(planned.budget)).collect();
    let impossible = (!blocked.is_empty()).then(|| text::impossible(&blocked, plan));
    // Both at once: who adds the flags is not to be refused again.
    match (needs_flags, impossible) {
        (Some(flags), Some(budget)) => Some(Problem::NeedsFlags(format!("{flags}; {budget}"))),
        (Some(flags), None) => Some(Problem::NeedsFlags(flags)),
        (None, Some(budget)) => Some(Problem::Impossible(budget)),
        (None, None) => None,
    }
}
