//! What runs out: timeouts, deadlines, patience; and when to look again even if nothing happens.

use std::{collections::BTreeSet, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{
    Drain,
    choice::{OVERDUE, WITHOUT_NEWS},
    node::Stage as NodeStage,
    pod::{Delay, Stage, Tracked},
    why::{Problem, Stop},
};
use crate::{
    drain::text,
    model::{NodeName, Uid},
};

/// How long a budget must have been impossible before a drain that has begun gives up: while owners are changed, the
/// controller sees states that nobody meant.
pub(super) const IMPOSSIBLE_FOR: SignedDuration = SignedDuration::from_secs(10);

/// How long the server may fail for one pod (a broken webhook, a 500 each time). A restart takes far less.
pub(super) const FAILING_FOR: SignedDuration = SignedDuration::from_secs(300);

/// How long answers are still waited for when everything stops.
pub(super) const LAST_ANSWERS: SignedDuration = SignedDuration::from_secs(5);

impl Drain {
    pub(super) fn check_clocks(&mut self) {
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
    fn give_gate_up(&mut self, uid: &Uid, limit: Duration) {
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

    /// When the next clock runs out.
    pub(super) fn next_clock(&self) -> Option<Timestamp> {
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

    /// When a pod's own clocks run out.
    fn wakes_of<'t>(&'t self, tracked: &'t Tracked) -> impl Iterator<Item = Timestamp> + 't {
        let (mut own, mut others) = (None, [None; 4]);
        match &tracked.stage {
            Stage::Waiting(delay) => {
                own = match delay {
                    Delay::None => None,
                    Delay::Until(at, _) | Delay::Namespace(at, _) => Some(*at),
                    Delay::Budget { at, .. } => Some(*at + WITHOUT_NEWS),
                };
                others = [
                    tracked.contradicted_since.map(|since| since + WITHOUT_NEWS),
                    tracked.impossible_since.map(|since| since + IMPOSSIBLE_FOR),
                    tracked.failing_since.map(|since| since + FAILING_FOR),
                    None,
                ];
            }
            Stage::ToRead(at) => own = Some(*at),
            Stage::Leaving => {
                let ends = tracked.pod.deletion.map(|deletion| deletion.at);
                let skips = self.options.skip_wait_for_delete_timeout;
                own = ends;
                others = [
                    ends.map(|at| at + OVERDUE),
                    // Whole seconds count, and the limit itself is not over it.
                    ends.zip(skips).map(|(at, limit)| after(at, limit + Duration::from_secs(1))),
                    None,
                    None,
                ];
            }
            Stage::Asking | Stage::Reading | Stage::Ended(_) => {}
        }
        own.into_iter().chain(others.into_iter().flatten())
    }
}

/// A moment that is this much later; the last one there is, if need be.
fn after(at: Timestamp, limit: Duration) -> Timestamp {
    at.checked_add(limit).unwrap_or(Timestamp::MAX)
}
