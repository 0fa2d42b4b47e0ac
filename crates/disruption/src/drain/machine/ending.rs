//! How a pod ends: each gets one final word.

use super::{
    Drain,
    gate::Debt,
    node::Stage as NodeStage,
    pod::{End, Stage},
    why::Problem,
};
use crate::{drain::document::PodOutcome, event::Event, model::NodeName};

impl Drain {
    /// A pod was seen to stop, perhaps by a request of which the answer was lost.
    pub(super) fn note_leaving(&mut self, number: usize) {
        self.pods[number].stage = Stage::Leaving;
        if self.pods[number].is_in_doubt {
            self.accept(number);
        }
    }

    pub(super) fn accept(&mut self, number: usize) {
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
    pub(super) fn end_gone_pod(&mut self, number: usize) {
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

    pub(super) fn fail_pod(&mut self, number: usize, message: String) {
        let (node, pod) = (self.pods[number].node.clone(), self.pods[number].pod.name.clone());
        self.end_pod(number, PodOutcome::Left, message.clone());
        self.note_problem(&node, Problem::PodFailed(pod, message));
    }

    pub(super) fn end_pod(&mut self, number: usize, outcome: PodOutcome, reason: String) {
        let tracked = &mut self.pods[number];
        if tracked.is_ended() {
            return;
        }
        tracked.stage = Stage::Ended(End { outcome, reason: reason.clone() });
        let (pod, uid, node) = (tracked.pod.name.clone(), tracked.pod.uid.clone(), tracked.node.clone());
        self.tell(Event::PodEnded { pod, uid, node, outcome, reason });
    }

    pub(super) fn note_problem(&mut self, node: &NodeName, problem: Problem) {
        let node = self.nodes.iter_mut().find(|known| &known.seen.name == node);
        let open = node.filter(|node| node.stage != NodeStage::Ended && !node.problems.contains(&problem));
        if let Some(node) = open {
            node.problems.push(problem);
        }
    }

    pub(super) fn outcome_of_removal(&self) -> PodOutcome {
        if self.options.disable_eviction { PodOutcome::Deleted } else { PodOutcome::Evicted }
    }
}
