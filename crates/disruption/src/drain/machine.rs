//! Carries a plan out: decides, from what the watches show, which pod may go now, what everybody waits for, and when it
//! is over. It makes no requests itself; see [`crate::action`].
//!
//! What may go is decided anew each time from what the cluster shows, so nothing that happens meanwhile (a budget that
//! changes, pods that appear, an owner that is scaled) needs a rule of its own. Waves are no barriers.

mod choice;
mod gate;
mod node;
mod pod;
#[cfg(test)]
mod tests;
mod view;
mod why;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    mem,
};

use jiff::{SignedDuration, Timestamp};

use self::{
    choice::{Choice, Creditor, Subject, Wait},
    gate::{Debt, Gate},
    node::{NodeDrain, Stage as NodeStage, Step},
    pod::{Delay, End, Stage, Tracked},
    view::View,
    why::{Problem, Stop},
};
use super::{
    document::{DrainResult, NodeOutcome, NodeResult, PodOutcome, PodResult},
    filter::{self, Fate},
    options::{Execution, OnBlocked, Options, Run},
    plan::{BudgetVerdict, Plan},
    text,
};
use crate::{
    action::{Action, Change, Input, Machine, NodeAnswer, Removal, RemovalAnswer, Trouble, TroubleKind, Watch},
    event::Event,
    model::{NodeName, ObjectName, Pod, Uid, WorkloadKind},
    outcome::Exit,
    snapshot::Object,
    workload::Owner,
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
    /// By workload: how many of its pods came onto a node of the drain although it is cordoned.
    returns: HashMap<Uid, u32>,
    /// The server asked to be left alone until then.
    held: Option<(Timestamp, Trouble)>,
    /// What was told last about everything that is waited for.
    told: BTreeMap<Subject, String>,
    watched: BTreeSet<Watch>,
    connection_is_lost: bool,
    has_begun: bool,
    actions: Vec<Action>,
}

/// How often pods of one workload may come straight back before the drain gives up on them: once or twice may be a race
/// with the scheduler, which had bound them before it saw the cordon.
const MOST_RETURNS: u32 = 3;

/// How long a budget must have been impossible before a drain that has begun gives up: while owners are changed, the
/// controller sees states that nobody meant.
const IMPOSSIBLE_FOR: SignedDuration = SignedDuration::from_secs(10);

/// How long the server may fail for one pod (a broken webhook, a 500 each time). A restart takes far less.
const FAILING_FOR: SignedDuration = SignedDuration::from_secs(300);

/// How long answers are still waited for when everything stops.
const LAST_ANSWERS: SignedDuration = SignedDuration::from_secs(5);

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
            returns: HashMap::new(),
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

    /// How it ended; before its end, how it stands.
    pub fn result(&self) -> DrainResult {
        let worst = self.worst_node();
        let reason = worst.and_then(|node| Some((node, node.worst()?)));
        let mut result = DrainResult {
            finished_at: self.now,
            exit_code: worst.map_or(Exit::Done, NodeDrain::exit).code(),
            reason: reason.map(|(node, why)| format!("node {}: {}", node.seen.name, why.message())).unwrap_or_default(),
            nodes: self.nodes.iter().map(NodeDrain::result).collect(),
            pods: self.pods.iter().map(Tracked::result).collect(),
            ..DrainResult::begun(self.started)
        };
        let uncordoned = self.nodes.iter().filter(|node| node.was_uncordoned);
        result.restored = uncordoned.map(|node| format!("node/{} uncordoned", node.seen.name)).collect();
        result.next = self.nodes.iter().flat_map(NodeDrain::next).collect();
        result
    }

    /// The exit code of the command.
    pub fn exit(&self) -> Exit {
        Exit::of_all(self.nodes.iter().map(NodeDrain::exit))
    }

    fn worst_node(&self) -> Option<&NodeDrain> {
        let exit = self.exit();
        self.nodes.iter().find(|node| node.exit() == exit)
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
        let now = self.now;
        let nodes = self.nodes.iter().flat_map(|node| {
            let timeout = self.options.timeout.and_then(|limit| Some(after(node.draining_since?, limit)));
            let last_answers = node.stop.as_ref().map(|(_, at)| *at + LAST_ANSWERS);
            let open = node.stage != NodeStage::Ended;
            [node.next_step_at(), timeout, last_answers].into_iter().flatten().filter(move |_| open)
        });
        let pods = self.pods.iter().filter(|tracked| !tracked.is_ended()).flat_map(|tracked| self.wakes_of(tracked));
        let limit = self.execution.replacement_timeout;
        let gates = self.gates.values().filter(|gate| !gate.debts.is_empty() && gate.late.is_none());
        let gates = gates.filter_map(|gate| Some(after(gate.since, limit?)));
        let deadline = self.execution.deadline.map(|limit| after(self.started, limit));
        let held = self.held.as_ref().map(|(at, _)| *at);
        nodes.chain(held).chain(pods).chain(gates).chain(deadline).filter(|at| *at > now).min()
    }

    fn is_finished(&self) -> bool {
        self.has_begun && self.nodes.iter().all(|node| node.ended.is_some())
    }
}

/// What comes before the first request.
fn preflight(plan: &Plan<'_>, node: &NodeName, on_blocked: OnBlocked) -> Option<Problem> {
    let pods = || plan.pods.iter().filter(|planned| planned.node == node);
    let refused: Vec<_> = pods().filter(|planned| planned.judgement.fate == Fate::Refuse).collect();
    if !refused.is_empty() {
        return Some(Problem::NeedsFlags(text::refusal(
            refused.iter().map(|planned| (planned.pod, &planned.judgement)),
        )));
    }
    let is_impossible = |verdict| {
        matches!(verdict, BudgetVerdict::AlwaysBlocked | BudgetVerdict::MultipleBudgets | BudgetVerdict::SyncFailed)
    };
    let blocked = pods().find(|planned| is_impossible(planned.budget))?;
    (on_blocked == OnBlocked::Refuse).then(|| Problem::Impossible(text::impossible(blocked, plan)))
}

/// A moment that is this much later; the last one there is, if need be.
fn after(at: Timestamp, limit: std::time::Duration) -> Timestamp {
    at.checked_add(limit).unwrap_or(Timestamp::MAX)
}

// What happens.
impl Drain {
    fn begin(&mut self) {
        let open: Vec<NodeName> = self.open_nodes().map(|node| node.seen.name.clone()).collect();
        for name in open {
            self.watch(Watch::Node(name.clone()));
            self.watch(Watch::PodsOn(name));
        }
        let open: Vec<usize> = (0..self.pods.len()).filter(|&number| self.is_open(number)).collect();
        for number in open {
            self.watch_surroundings(number);
        }
    }

    fn open_nodes(&self) -> impl Iterator<Item = &NodeDrain> {
        self.nodes.iter().filter(|node| node.stage != NodeStage::Ended)
    }

    /// Whether a pod has still to go, from a node that is being drained.
    fn is_open(&self, number: usize) -> bool {
        let tracked = &self.pods[number];
        !tracked.is_ended() && self.open_nodes().any(|node| node.seen.name == tracked.node)
    }

    fn watch(&mut self, watch: Watch) {
        if self.watched.insert(watch.clone()) {
            self.actions.push(Action::Watch(watch));
        }
    }

    /// Watches what decides about a pod: the budgets of its namespace, and its workload with the other pods.
    fn watch_surroundings(&mut self, number: usize) {
        let pod = &self.pods[number].pod;
        let namespace = pod.name.namespace.clone();
        if !self.options.disable_eviction && !pod.is_finished() {
            self.watch(Watch::BudgetsIn(namespace.clone()));
        }
        let pod = &self.pods[number].pod;
        let kinds: &[WorkloadKind] = match self.view.snapshot.workloads.root(pod) {
            Owner::Workload(workload) => match workload.kind {
                WorkloadKind::Deployment => &[WorkloadKind::Deployment, WorkloadKind::ReplicaSet],
                WorkloadKind::ReplicaSet => &[WorkloadKind::ReplicaSet],
                WorkloadKind::ReplicationController => &[WorkloadKind::ReplicationController],
                WorkloadKind::StatefulSet => &[WorkloadKind::StatefulSet],
                WorkloadKind::DaemonSet | WorkloadKind::Job => return,
            },
            Owner::Custom(_) | Owner::Unknown(_) => &[],
            Owner::None | Owner::Node | Owner::Gone(_) => return,
        };
        self.watch(Watch::PodsIn(namespace.clone()));
        for &kind in kinds {
            self.watch(Watch::WorkloadsIn(kind, namespace.clone()));
        }
    }

    fn take_in(&mut self, input: Input) {
        match input {
            Input::Watched(watch, change) => self.take_in_change(&watch, change),
            Input::Removed { pod, answer } => self.take_in_removal(&pod, answer),
            Input::PodRead { pod, found } => self.take_in_reading(&pod, found),
            Input::NodeWritten { node, answer } => self.take_in_write(&node, answer),
            Input::Interrupted => {
                self.tell(Event::Interrupted);
                let now = self.now;
                self.nodes.iter_mut().for_each(|node| node.stop(Stop::Interrupted, now));
            }
        }
    }

    fn take_in_change(&mut self, watch: &Watch, change: Change) {
        match &change {
            Change::Refused(message) => self.take_in_refusal(watch, message),
            Change::Lost(message) if !mem::replace(&mut self.connection_is_lost, true) => {
                self.tell(Event::ConnectionLost { message: message.clone() });
            }
            _ => {}
        }
        if let Watch::Node(name) = watch {
            match &change {
                Change::Seen(Object::Node(node)) => self.see_node(node),
                Change::Listed(objects) => match objects.first() {
                    Some(Object::Node(node)) => self.see_node(node),
                    _ => self.lose_node(name),
                },
                Change::Deleted(_) => self.lose_node(name),
                _ => {}
            }
        }
        let news = self.view.apply(watch, change);
        for pod in news.seen {
            self.see_pod(pod);
        }
        for uid in news.gone {
            self.lose_pod(&uid);
        }
    }

    fn take_in_refusal(&mut self, watch: &Watch, message: &str) {
        match watch {
            Watch::PodsOn(_) | Watch::PodsIn(_) => {
                let now = self.now;
                let stop = Stop::Blind(message.to_owned());
                self.nodes.iter_mut().for_each(|node| node.stop(stop.clone(), now));
            }
            // The heartbeat looks at the node, too, only not as often.
            Watch::Node(_) => {}
            Watch::BudgetsIn(namespace) => {
                let what = format!("the disruption budgets of namespace {namespace}");
                self.tell(Event::WatchRefused { what, message: message.to_owned() });
            }
            Watch::WorkloadsIn(kind, namespace) => {
                let what = format!("the {}s of namespace {namespace}", kind.as_str());
                self.tell(Event::WatchRefused { what, message: message.to_owned() });
            }
        }
    }

    fn see_node(&mut self, seen: &crate::model::Node) {
        let (now, run) = (self.now, &self.run);
        if let Some(node) = self.nodes.iter_mut().find(|node| node.seen.name == seen.name) {
            node.observe(seen.clone(), run, now);
        }
    }

    /// The node does not exist any more: nothing is left to be drained.
    fn lose_node(&mut self, name: &NodeName) {
        let Some(node) = self.nodes.iter_mut().find(|node| &node.seen.name == name) else { return };
        if node.stage == NodeStage::Ended {
            return;
        }
        node.is_unsettled = false;
        node.end(NodeOutcome::Drained);
        for number in 0..self.pods.len() {
            let tracked = &self.pods[number];
            if &tracked.node != name || tracked.is_ended() {
                continue;
            }
            let outcome = if tracked.accepted.is_some() { self.outcome_of_removal() } else { PodOutcome::Gone };
            self.end_pod(number, outcome, "the node was deleted".into());
        }
        for gate in self.gates.values_mut() {
            let pods = &self.pods;
            let by_uid = &self.by_uid;
            gate.debts.retain(|debt| by_uid.get(&debt.pod).is_none_or(|&number| &pods[number].node != name));
        }
    }

    fn see_pod(&mut self, pod: Pod) {
        let Some(&number) = self.by_uid.get(&pod.uid) else { return self.meet_pod(pod) };
        let tracked = &mut self.pods[number];
        let is_terminating = pod.is_terminating();
        tracked.pod = pod;
        if !is_terminating {
            return;
        }
        match tracked.stage {
            Stage::Waiting(_) | Stage::ToRead(_) => self.note_leaving(number),
            Stage::Asking | Stage::Reading | Stage::Leaving | Stage::Ended(_) => {}
        }
    }

    /// A pod that was not there when the plan was made.
    fn meet_pod(&mut self, pod: Pod) {
        let Some(name) = pod.node.clone() else { return };
        let Some(node) = self.nodes.iter().find(|node| node.seen.name == name) else { return };
        if matches!(node.stage, NodeStage::Ended | NodeStage::Releasing) {
            return;
        }
        let workloads = &self.view.snapshot.workloads;
        let judgement = filter::judge(&pod, Some(&node.seen), workloads, &self.options, self.now);
        let reasons = text::reasons(&judgement);
        let (fate, comes_back) = (judgement.fate, judgement.comeback.is_expected());
        let owner = pod.controller.as_ref().map(|owner| owner.uid.clone());
        let (shown, uid) = (pod.name.clone(), pod.uid.clone());
        let comes_straight_back = pod.tolerates_cordon;
        let number = self.track(pod, name.clone(), Stage::Waiting(Delay::None), comes_back);
        match fate {
            Fate::Skip => self.pods[number].stage = Stage::Ended(End { outcome: PodOutcome::Skipped, reason: reasons }),
            Fate::Refuse => {
                self.tell(Event::PodAppeared { pod: shown.clone(), uid, node: name.clone() });
                self.end_pod(number, PodOutcome::Refused, reasons.clone());
                self.note_problem(&name, Problem::NeedsFlags(format!("pod {shown}: {reasons}")));
            }
            Fate::Evict | Fate::Wait => {
                self.tell(Event::PodAppeared { pod: shown.clone(), uid, node: name.clone() });
                self.pods[number].stage = if fate == Fate::Wait { Stage::Leaving } else { Stage::Waiting(Delay::None) };
                self.watch_surroundings(number);
                let returns = owner.map_or(0, |owner| {
                    let returns = self.returns.entry(owner).or_default();
                    *returns += 1;
                    *returns
                });
                if comes_straight_back && returns > MOST_RETURNS {
                    self.end_pod(number, PodOutcome::Left, "it tolerates the cordon and comes straight back".into());
                    self.note_problem(&name, Problem::ComesBack(shown));
                }
            }
        }
    }

    fn lose_pod(&mut self, uid: &Uid) {
        let Some(&number) = self.by_uid.get(uid) else { return };
        let tracked = &mut self.pods[number];
        tracked.is_there = false;
        tracked.gone.get_or_insert(self.now);
        match tracked.stage {
            // The answer tells whether it was our doing.
            Stage::Asking | Stage::Ended(_) => {}
            Stage::Waiting(_) | Stage::Reading | Stage::ToRead(_) | Stage::Leaving => self.end_gone_pod(number),
        }
    }

    fn take_in_removal(&mut self, uid: &Uid, answer: RemovalAnswer) {
        let Some(&number) = self.by_uid.get(uid) else { return };
        if self.pods[number].stage != Stage::Asking {
            return;
        }
        let now = self.now;
        let tracked = &mut self.pods[number];
        match &answer {
            // It may have been done all the same.
            RemovalAnswer::Trouble(trouble) => tracked.is_in_doubt |= trouble.kind == TroubleKind::NoAnswer,
            // Asked again ever more slowly, too.
            RemovalAnswer::Conflict(_) | RemovalAnswer::NamespaceTerminating(_) => tracked.failing_since = None,
            RemovalAnswer::BudgetForbids(_) | RemovalAnswer::SeveralBudgets(_) => {
                tracked.recover();
                // No budget is asked for a pod that stops: what was sent before did nothing.
                tracked.is_in_doubt &= tracked.pod.is_terminating() || !tracked.is_there;
            }
            _ => tracked.recover(),
        }
        let changes = self.view.budget_changes(&tracked.pod.name.namespace);
        match answer {
            RemovalAnswer::Accepted => {
                tracked.stage = Stage::Leaving;
                self.accept(number);
                if !self.pods[number].is_there {
                    self.end_gone_pod(number);
                }
            }
            RemovalAnswer::NotFound => {
                tracked.is_there = false;
                tracked.gone.get_or_insert(now);
                self.end_gone_pod(number);
            }
            _ if !tracked.is_there => self.end_gone_pod(number),
            RemovalAnswer::Conflict(_) => {
                tracked.stage = Stage::Reading;
                let (pod, uid) = (tracked.pod.name.clone(), tracked.pod.uid.clone());
                self.actions.push(Action::ReadPod { pod, uid });
            }
            _ if tracked.pod.is_terminating() => self.note_leaving(number),
            RemovalAnswer::BudgetForbids(message) => {
                tracked.stage = Stage::Waiting(Delay::Budget { at: now, changes, message, several: false });
            }
            RemovalAnswer::SeveralBudgets(message) => {
                tracked.stage = Stage::Waiting(Delay::Budget { at: now, changes, message, several: true });
            }
            RemovalAnswer::NamespaceTerminating(message) => {
                let at = now + tracked.wait_after_failure();
                tracked.stage = Stage::Waiting(Delay::Namespace(at, message));
            }
            RemovalAnswer::Forbidden(message) => {
                let node = tracked.node.clone();
                self.end_pod(number, PodOutcome::Left, message.clone());
                self.note_problem(&node, Problem::Forbidden(message));
            }
            RemovalAnswer::Denied(message) => self.fail_pod(number, message),
            RemovalAnswer::Trouble(trouble) => {
                let at = tracked.back_off(now, &trouble);
                // What a webhook says is about this pod; what the server says is about us.
                if trouble.retry_after.is_some() && trouble.kind != TroubleKind::HeldByWebhook {
                    self.held = Some((at, trouble.clone()));
                }
                tracked.stage = Stage::Waiting(Delay::Until(at, trouble));
            }
        }
    }

    fn take_in_reading(&mut self, uid: &Uid, found: Result<Option<Uid>, Trouble>) {
        let Some(&number) = self.by_uid.get(uid) else { return };
        let now = self.now;
        let tracked = &mut self.pods[number];
        if tracked.stage != Stage::Reading {
            return;
        }
        match found {
            Ok(Some(found)) if &found == uid && tracked.pod.is_terminating() => self.note_leaving(number),
            Ok(Some(found)) if &found == uid => {
                let at = now + tracked.wait_after_failure();
                let message = "it changed while it was being evicted".to_owned();
                let kind = TroubleKind::ServerError;
                tracked.stage = Stage::Waiting(Delay::Until(at, Trouble { kind, message, retry_after: None }));
            }
            Ok(_) => {
                tracked.is_there = false;
                tracked.gone.get_or_insert(now);
                self.end_gone_pod(number);
            }
            Err(trouble) => tracked.stage = Stage::ToRead(tracked.back_off(now, &trouble)),
        }
    }

    fn take_in_write(&mut self, name: &NodeName, answer: NodeAnswer) {
        let (now, run) = (self.now, &self.run);
        let Some(node) = self.nodes.iter_mut().find(|node| &node.seen.name == name) else { return };
        let step = node.written(now, run, answer);
        self.perform(name, step);
    }

    fn perform(&mut self, name: &NodeName, step: Step) {
        match step {
            Step::Nothing => {}
            Step::Write(change) => {
                let Some(node) = self.nodes.iter().find(|node| &node.seen.name == name) else { return };
                let resource_version = node.seen.resource_version.clone();
                self.actions.push(Action::WriteNode { node: name.clone(), resource_version, change });
            }
            Step::Cordoned { already, from } => {
                if let Some(record) = from {
                    self.tell(Event::NodeTakenOver { node: name.clone(), from: why::whose(&record) });
                }
                self.tell(Event::NodeCordoned { node: name.clone(), already });
            }
            Step::Vanished => self.lose_node(name),
            Step::Refused(message) => self.tell(Event::NodeRefused { node: name.clone(), message }),
        }
    }
}

// What follows from it.
impl Drain {
    fn check_clocks(&mut self) {
        let now = self.now;
        for node in &mut self.nodes {
            if let (Some(limit), Some(since)) = (self.options.timeout, node.draining_since)
                && after(since, limit) <= now
            {
                node.stop(Stop::TimedOut(limit), now);
            }
            if let Some(limit) = self.execution.deadline
                && after(self.started, limit) <= now
            {
                node.stop(Stop::DeadlinePassed(limit), now);
            }
        }
        let Some(limit) = self.execution.replacement_timeout else { return };
        // The pod of a StatefulSet can only come again when the old one is gone.
        let stopping: BTreeSet<Uid> = self
            .pods
            .iter()
            .filter(|tracked| tracked.is_there && tracked.stage == Stage::Leaving)
            .filter(|tracked| tracked.pod.controller.as_ref().is_some_and(|owner| owner.kind == "StatefulSet"))
            .filter_map(|tracked| tracked.gate.clone())
            .collect();
        let mut late = Vec::new();
        for (uid, gate) in &mut self.gates {
            if gate.debts.is_empty() || gate.late.is_some() {
                continue;
            }
            if stopping.contains(uid) {
                gate.since = now;
            } else if after(gate.since, limit) <= now {
                late.push(uid.clone());
            }
        }
        for uid in late {
            self.give_gate_up(&uid, limit);
        }
    }

    /// A workload did not get its Ready pods back in time.
    fn give_gate_up(&mut self, uid: &Uid, limit: std::time::Duration) {
        let Some(gate) = self.gates.get(uid) else { return };
        let owed: Vec<Uid> = gate.debts.iter().map(|debt| debt.pod.clone()).collect();
        let trouble = self.trouble_of(uid).map(|trouble| format!(": {trouble}")).unwrap_or_default();
        let message =
            format!("{} did not get its Ready pods back within {}{trouble}", gate.owner, text::seconds(limit));
        if let Some(gate) = self.gates.get_mut(uid) {
            gate.late = Some(message.clone());
        }
        let nodes: BTreeSet<NodeName> =
            owed.iter().filter_map(|pod| Some(self.pods[*self.by_uid.get(pod)?].node.clone())).collect();
        for node in nodes {
            self.note_problem(&node, Problem::ReplacementLate(message.clone()));
        }
    }

    /// When a node stops, what waits stays, and what stops already is left to itself.
    fn end_stopped_pods(&mut self) {
        for number in 0..self.pods.len() {
            let tracked = &self.pods[number];
            let Some(node) = self.nodes.iter().find(|node| node.seen.name == tracked.node) else { continue };
            let Some((stop, since)) = &node.stop else { continue };
            if node.stage == NodeStage::Ended {
                continue;
            }
            let why = stop.message();
            let reason = match &tracked.stage {
                Stage::Ended(_) => continue,
                Stage::Asking if self.now.duration_since(*since) < LAST_ANSWERS => continue,
                Stage::Asking => format!("{why}; its eviction was sent, and the answer did not come"),
                Stage::Leaving if tracked.accepted.is_some() => format!("{why}; it was evicted and is still stopping"),
                Stage::Leaving => format!("{why}; it is still stopping"),
                Stage::Waiting(_) | Stage::Reading | Stage::ToRead(_) => why,
            };
            let waits_for = tracked.waits_for.as_ref().map(|waits_for| format!(": {waits_for}")).unwrap_or_default();
            let reason = reason + &waits_for;
            // It may have been done all the same.
            self.pods[number].is_in_doubt |= self.pods[number].stage == Stage::Asking;
            self.end_pod(number, PodOutcome::Left, reason);
        }
    }

    fn proceed_with_nodes(&mut self) {
        let all_are_cordoned = self.nodes.iter().all(|node| node.stage != NodeStage::Pending);
        let most = self.execution.parallel.map_or(usize::MAX, usize::from);
        for number in 0..self.nodes.len() {
            let has_lost_pods = self.has_lost_pods(&self.nodes[number].seen.name);
            let at_work = self.nodes.iter().filter(|node| node.stage == NodeStage::Draining).count();
            let (now, run) = (self.now, &self.run);
            let node = &mut self.nodes[number];
            match node.stage {
                NodeStage::Pending if node.stop.is_some() && !node.is_busy() => node.end_before_cordon(),
                NodeStage::Cordoned if node.stop.is_some() && !node.is_busy() => node.stage = NodeStage::Releasing,
                NodeStage::Cordoned if node.stop.is_none() && all_are_cordoned && at_work < most => {
                    node.stage = NodeStage::Draining;
                    node.draining_since = Some(now);
                }
                _ => {}
            }
            let step = node.step(now, run, self.execution.take_over, self.execution.on_failure, has_lost_pods);
            let name = node.seen.name.clone();
            self.perform(&name, step);
            self.note_end(number);
        }
    }

    /// Whether a pod of the node has left by our doing.
    fn has_lost_pods(&self, name: &NodeName) -> bool {
        self.pods.iter().any(|tracked| &tracked.node == name && (tracked.accepted.is_some() || tracked.is_in_doubt))
    }

    fn note_end(&mut self, number: usize) {
        let now = self.now;
        let node = &mut self.nodes[number];
        let (NodeStage::Ended, None, Some(outcome)) = (node.stage, node.ended, node.outcome) else { return };
        node.ended = Some(now);
        let name = node.seen.name.clone();
        let reason = node.worst().map(Problem::message).unwrap_or_default();
        let after = node.begun.map(|begun| now.duration_since(begun)).unwrap_or_default();
        if node.was_uncordoned {
            self.tell(Event::NodeUncordoned { node: name.clone(), already: false });
        }
        // Whatever was not begun stays.
        for number in 0..self.pods.len() {
            if self.pods[number].node == name && !self.pods[number].is_ended() {
                self.pods[number].stage =
                    Stage::Ended(End { outcome: PodOutcome::Left, reason: "nothing was begun".into() });
            }
        }
        self.tell(Event::NodeEnded { node: name, outcome, reason, after });
    }

    fn proceed_with_pods(&mut self) {
        self.read_again();
        let Choice { standings, going, waits, mut reasons, held, skipped, contradicted, impossible } = self.choose();
        self.look_at_gates(&standings);
        for number in 0..self.pods.len() {
            let now = self.now;
            let tracked = &mut self.pods[number];
            let is_asked = tracked.is_being_asked() || going.iter().any(|(asked, _)| *asked == number);
            if !is_asked {
                (tracked.waits_on, tracked.waits_for) = reasons.remove(&number).unzip();
            }
            set_since(&mut tracked.contradicted_since, contradicted.contains(&number), now);
            set_since(&mut tracked.impossible_since, impossible.contains_key(&number), now);
        }
        for (number, reason) in held {
            let node = self.pods[number].node.clone();
            self.end_pod(number, PodOutcome::Left, reason.clone());
            self.note_problem(&node, Problem::ReplacementLate(reason));
        }
        for number in skipped {
            self.end_pod(number, PodOutcome::Skipped, filter::Reason::TerminatingTooLong.message());
        }
        self.give_up_the_impossible(&impossible);
        let asked: BTreeSet<usize> = going.iter().map(|(number, _)| *number).collect();
        self.tell_waits(waits, &asked);
        for (number, creditor) in going {
            self.ask(number, creditor);
        }
    }

    fn ask(&mut self, number: usize, creditor: Option<Creditor>) {
        let tracked = &mut self.pods[number];
        tracked.stage = Stage::Asking;
        if let Some(Creditor { uid, shown, ready }) = creditor {
            let now = self.now;
            // One that was not here when the plan was made begins with what it has now.
            self.ready_at_start.entry(uid.clone()).or_insert(ready);
            self.gates.entry(uid.clone()).or_insert_with(|| Gate::new(shown, now));
            tracked.gate = Some(uid);
        }
        let (pod, uid, node) = (tracked.pod.name.clone(), tracked.pod.uid.clone(), tracked.node.clone());
        let is_first = tracked.asked.is_none();
        tracked.asked.get_or_insert(self.now);
        let removal = self.removal();
        if is_first {
            self.tell(Event::PodEvicting { pod: pod.clone(), uid: uid.clone(), node, removal });
        }
        let grace_period_seconds = self.options.grace_period_seconds;
        self.actions.push(Action::Remove { pod, uid, removal, grace_period_seconds });
    }

    fn read_again(&mut self) {
        let now = self.now;
        for tracked in &mut self.pods {
            if matches!(tracked.stage, Stage::ToRead(at) if at <= now) {
                tracked.stage = Stage::Reading;
                let (pod, uid) = (tracked.pod.name.clone(), tracked.pod.uid.clone());
                self.actions.push(Action::ReadPod { pod, uid });
            }
        }
    }

    fn look_at_gates(&mut self, standings: &BTreeMap<Uid, (i32, i32)>) {
        let now = self.now;
        let mut settled = Vec::new();
        for (uid, gate) in &mut self.gates {
            // A workload that does not exist any more misses nothing.
            let (ready, missing) = standings.get(uid).copied().unwrap_or_default();
            settled.extend(gate.look(now, ready, missing));
        }
        for (debt, after) in settled {
            let Debt { pod: uid, name: pod, since: _ } = debt;
            if let Some(after) = after {
                if let Some(&number) = self.by_uid.get(&uid) {
                    self.pods[number].replaced_after = Some(after);
                }
                self.tell(Event::ReplacementReady { pod, uid, after });
            }
        }
    }

    fn give_up_the_impossible(&mut self, impossible: &BTreeMap<usize, String>) {
        let now = self.now;
        for (&number, message) in impossible {
            let tracked = &self.pods[number];
            let long_enough = tracked.impossible_since.is_some_and(|at| now.duration_since(at) >= IMPOSSIBLE_FOR);
            if self.execution.on_blocked == OnBlocked::Refuse && long_enough {
                let (node, pod) = (tracked.node.clone(), tracked.pod.name.clone());
                self.end_pod(number, PodOutcome::Left, message.clone());
                self.note_problem(&node, Problem::Impossible(format!("pod {pod}: {message}")));
            }
        }
        for number in 0..self.pods.len() {
            let tracked = &self.pods[number];
            if let (Stage::Waiting(Delay::Until(_, trouble)), Some(since)) = (&tracked.stage, tracked.failing_since)
                && trouble.kind == TroubleKind::ServerError
                && now.duration_since(since) >= FAILING_FOR
            {
                let message = trouble.message.clone();
                self.fail_pod(number, message);
            }
        }
    }

    /// Tells what is waited for, where it is something new: to ask again and to be told the same is nothing new.
    fn tell_waits(&mut self, waits: BTreeMap<Subject, Wait>, asked: &BTreeSet<usize>) {
        let pods = self.pods.iter().enumerate();
        let asked = pods.filter(|(number, tracked)| tracked.is_being_asked() || asked.contains(number));
        let asked_again: BTreeSet<&Subject> = asked.filter_map(|(_, tracked)| tracked.waits_on.as_ref()).collect();
        self.told.retain(|subject, _| waits.contains_key(subject) || asked_again.contains(subject));
        for (subject, wait) in waits {
            let Wait { shown, code, pods, message, remedy } = wait;
            let gist = choice::gist(&message);
            // That a trouble is not shown for a moment is no news.
            if self.told.get(&subject).is_some_and(|known| known.starts_with(&gist)) {
                continue;
            }
            self.told.insert(subject, gist);
            self.tell(Event::WaitBegan { subject: shown, code, pods, message, remedy });
        }
    }

    /// Closes nodes on which nothing is left to do.
    fn close_nodes(&mut self) {
        for number in 0..self.nodes.len() {
            let node = &self.nodes[number];
            if node.stage != NodeStage::Draining || node.is_busy() {
                continue;
            }
            let name = &node.seen.name;
            let on_it = |tracked: &&Tracked| &tracked.node == name;
            let is_empty = self.pods.iter().filter(on_it).all(Tracked::is_ended);
            let owes = self
                .gates
                .values()
                .filter(|gate| gate.late.is_none())
                .flat_map(|gate| &gate.debts)
                .any(|debt| self.by_uid.get(&debt.pod).is_some_and(|&number| &self.pods[number].node == name));
            if is_empty && (!owes || node.stop.is_some()) {
                self.nodes[number].stage = NodeStage::Releasing;
            }
        }
    }

    fn tell_connection(&mut self) {
        if self.connection_is_lost && !self.view.is_lost() {
            self.connection_is_lost = false;
            self.tell(Event::ConnectionRestored);
        }
    }

    /// A pod was seen to stop, perhaps by a request of which the answer was lost.
    fn note_leaving(&mut self, number: usize) {
        self.pods[number].stage = Stage::Leaving;
        if self.pods[number].is_in_doubt {
            self.accept(number);
        }
    }

    fn accept(&mut self, number: usize) {
        let now = self.now;
        let tracked = &mut self.pods[number];
        if tracked.accepted.is_some() {
            return;
        }
        tracked.accepted = Some(now);
        tracked.is_in_doubt = false;
        let debt = Debt { pod: tracked.pod.uid.clone(), name: tracked.pod.name.clone(), since: now };
        if let Some(gate) = tracked.gate.as_ref().and_then(|uid| self.gates.get_mut(uid)) {
            gate.owe(debt);
        }
    }

    /// A pod whose object does not exist any more.
    fn end_gone_pod(&mut self, number: usize) {
        let tracked = &self.pods[number];
        if tracked.accepted.is_some() {
            return self.end_pod(number, self.outcome_of_removal(), String::new());
        }
        if tracked.is_in_doubt {
            self.accept(number);
            return self.end_pod(number, self.outcome_of_removal(), String::new());
        }
        let reason = if tracked.stage == Stage::Leaving { "it was terminating already" } else { "it went without us" };
        self.end_pod(number, PodOutcome::Gone, reason.into());
    }

    fn fail_pod(&mut self, number: usize, message: String) {
        let (node, pod) = (self.pods[number].node.clone(), self.pods[number].pod.name.clone());
        self.end_pod(number, PodOutcome::Left, message.clone());
        self.note_problem(&node, Problem::PodFailed(pod, message));
    }

    fn end_pod(&mut self, number: usize, outcome: PodOutcome, reason: String) {
        let tracked = &mut self.pods[number];
        if tracked.is_ended() {
            return;
        }
        tracked.stage = Stage::Ended(End { outcome, reason: reason.clone() });
        let (pod, uid, node) = (tracked.pod.name.clone(), tracked.pod.uid.clone(), tracked.node.clone());
        self.tell(Event::PodEnded { pod, uid, node, outcome, reason });
    }

    fn note_problem(&mut self, node: &NodeName, problem: Problem) {
        let node = self.nodes.iter_mut().find(|known| &known.seen.name == node);
        let open = node.filter(|node| node.stage != NodeStage::Ended && !node.problems.contains(&problem));
        if let Some(node) = open {
            node.problems.push(problem);
        }
    }

    fn removal(&self) -> Removal {
        if self.options.disable_eviction { Removal::Delete } else { Removal::Evict }
    }

    fn outcome_of_removal(&self) -> PodOutcome {
        if self.options.disable_eviction { PodOutcome::Deleted } else { PodOutcome::Evicted }
    }
}

/// Seconds to the millisecond: more digits would pretend to know more.
fn in_millis(duration: SignedDuration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

fn set_since(since: &mut Option<Timestamp>, holds: bool, now: Timestamp) {
    if holds {
        since.get_or_insert(now);
    } else {
        *since = None;
    }
}

impl NodeDrain {
    fn result(&self) -> NodeResult {
        NodeResult {
            name: self.seen.name.0.clone(),
            outcome: self.outcome.unwrap_or(NodeOutcome::NotStarted),
            reason: self.worst().map(Problem::message).unwrap_or_default(),
            seconds: self.begun.zip(self.ended).map(|(begun, ended)| in_millis(ended.duration_since(begun))),
        }
    }

    /// Commands that help to go on.
    fn next(&self) -> Vec<String> {
        let name = &self.seen.name;
        let mut next: Vec<String> = self.worst().and_then(|problem| problem.next(name)).into_iter().collect();
        if self.is_unsettled {
            next.push(format!("kubectl safe-drain repair {name}"));
        } else if self.outcome == Some(NodeOutcome::LeftCordoned) && self.cordon_is_ours() {
            next.push(format!("kubectl safe-drain uncordon {name}"));
        }
        next
    }
}

impl Tracked {
    fn result(&self) -> PodResult {
        let ObjectName { namespace, name } = self.pod.name.clone();
        let (outcome, reason) = match &self.stage {
            Stage::Ended(End { outcome, reason }) => (*outcome, reason.clone()),
            _ => (PodOutcome::Left, self.waits_for.clone().unwrap_or_default()),
        };
        PodResult {
            namespace,
            name,
            uid: self.pod.uid.0.clone(),
            node: self.node.0.clone(),
            outcome,
            reason,
            seconds: self.accepted.zip(self.gone).map(|(at, gone)| in_millis(gone.duration_since(at)).max(0.0)),
            replacement_seconds: self.replaced_after.map(in_millis),
        }
    }
}
