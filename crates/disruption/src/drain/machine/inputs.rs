//! What happened: takes in what watches and answers say. What follows from it is decided afterwards, from all of it.

use std::mem;

use super::{
    Drain,
    node::Stage as NodeStage,
    pod::{Delay, End, Stage},
    why::{Problem, Stop},
};
use crate::{
    action::{Action, Change, Input, NodeAnswer, RemovalAnswer, Trouble, TroubleKind, Watch},
    drain::{
        document::{NodeOutcome, PodOutcome},
        filter::{self, Fate},
        text,
    },
    event::Event,
    model::{Node, NodeName, Pod, Uid},
    snapshot::Object,
};

/// How often a workload may come straight back before the drain gives up on it: once or twice may be a race with the
/// scheduler, which had bound its pods before it saw the cordon.
const MOST_RETURNS: u32 = 3;

impl Drain {
    pub(super) fn take_in(&mut self, input: Input) {
        match input {
            Input::Watched(watch, change) => self.take_in_change(&watch, change),
            Input::Removed { pod, answer } => self.take_in_removal(&pod, answer),
            Input::PodRead { pod, found } => self.take_in_reading(&pod, found),
            Input::NodeWritten { node, answer } => self.take_in_write(&node, answer),
            // Answers to what no drain asks for.
            Input::RolloutPatched { .. }
            | Input::PodDeleted { .. }
            | Input::LookedUp { .. }
            | Input::LogRead { .. }
            | Input::Probed { .. } => {}
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
            Watch::BudgetsIn(namespace) => {
                let what = format!("the disruption budgets of namespace {namespace}");
                self.tell(Event::WatchRefused { what, message: message.to_owned() });
            }
            Watch::WorkloadsIn(kind, namespace) => {
                let what = format!("the {}s of namespace {namespace}", kind.as_str());
                self.tell(Event::WatchRefused { what, message: message.to_owned() });
            }
            // Of the node, the heartbeat sees it, too, only not as often. A drain has no other watches.
            _ => {}
        }
    }

    pub(super) fn see_node(&mut self, seen: &Node) {
        let (now, run) = (self.now, &self.run);
        if let Some(node) = self.nodes.iter_mut().find(|node| node.seen.name == seen.name) {
            node.observe(seen.clone(), run, now);
        }
    }

    /// The node does not exist any more: nothing is left to be drained.
    pub(super) fn lose_node(&mut self, name: &NodeName) {
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
        let tolerates = pod.tolerates_cordon;
        // What came before is counted that had to go for this one to come: not each of those that come at once.
        let before = self.pods.iter().filter(|tracked| owner.is_some() && tracked.owner() == owner.as_ref());
        let returns = before.filter(|tracked| tracked.accepted.is_some()).map(|tracked| tracked.returns + 1).max();
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
                self.pods[number].returns = returns.unwrap_or_default();
                if self.pods[number].returns > MOST_RETURNS {
                    self.end_pod(number, PodOutcome::Left, "it comes straight back".into());
                    self.note_problem(&name, Problem::ComesBack { pod: shown, tolerates });
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
}
