//! What follows: nodes and pods go on as far as they may.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    Drain,
    choice::{self, Choice, Creditor, Subject, Wait},
    clocks::{FAILING_FOR, IMPOSSIBLE_FOR, LAST_ANSWERS},
    gate::{Debt, Gate},
    node::{Stage as NodeStage, Step},
    pod::{Delay, End, Stage, Tracked},
    why::{self, Problem},
};
use crate::{
    action::{Action, Removal, TroubleKind},
    drain::{document::PodOutcome, filter, options::OnBlocked},
    event::Event,
    model::{NodeName, Uid},
};

impl Drain {
    /// When a node stops, what waits stays, and what stops already is left to itself.
    pub(super) fn end_stopped_pods(&mut self) {
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

    pub(super) fn proceed_with_nodes(&mut self) {
        let all_are_cordoned = self.nodes.iter().all(|node| node.stage != NodeStage::Pending);
        let most = self.execution.parallel.map_or(usize::MAX, usize::from);
        for number in 0..self.nodes.len() {
            let has_lost_pods = self.has_lost_pods(&self.nodes[number].seen.name);
            let at_work = self.nodes.iter().filter(|node| node.stage == NodeStage::Draining).count();
            let (now, run) = (self.now, &self.run);
            let node = &mut self.nodes[number];
            match node.stage {
                NodeStage::Pending | NodeStage::Cordoned if node.stop.is_some() && !node.is_busy() => node.end_early(),
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

    pub(super) fn perform(&mut self, name: &NodeName, step: Step) {
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

    fn note_end(&mut self, number: usize) {
        let now = self.now;
        let node = &mut self.nodes[number];
        let (NodeStage::Ended, None, Some(outcome)) = (node.stage, node.ended, node.outcome) else { return };
        node.ended = Some(now);
        let name = node.seen.name.clone();
        let reason = node.reason();
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

    pub(super) fn proceed_with_pods(&mut self) {
        self.read_again();
        let Choice { standings, going, waits, mut reasons, given_up, skipped, contradicted, impossible } =
            self.choose();
        self.look_at_gates(&standings);
        let now = self.now;
        let asked: BTreeSet<usize> = going.iter().map(|(number, _)| *number).collect();
        for (number, tracked) in self.pods.iter_mut().enumerate() {
            if !tracked.is_being_asked() && !asked.contains(&number) {
                (tracked.waits_on, tracked.waits_for) = reasons.remove(&number).unzip();
            }
            set_since(&mut tracked.contradicted_since, contradicted.contains(&number), now);
            set_since(&mut tracked.impossible_since, impossible.contains_key(&number), now);
        }
        for (number, reason) in given_up {
            let node = self.pods[number].node.clone();
            self.end_pod(number, PodOutcome::Left, reason.clone());
            self.note_problem(&node, Problem::ReplacementLate(reason));
        }
        for number in skipped {
            self.end_pod(number, PodOutcome::Skipped, filter::Reason::TerminatingTooLong.message());
        }
        self.give_up_the_impossible(&impossible);
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
            self.gates.entry(uid.clone()).or_insert_with(|| Gate::new(shown, ready, now));
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
    pub(super) fn close_nodes(&mut self) {
        for number in 0..self.nodes.len() {
            let node = &self.nodes[number];
            if node.stage != NodeStage::Draining || node.is_busy() {
                continue;
            }
            let name = &node.seen.name;
            let on_it = |tracked: &&Tracked| &tracked.node == name;
            let is_empty = self.pods.iter().filter(on_it).all(Tracked::is_ended);
            let left_it = |debt: &Debt| self.by_uid.get(&debt.pod).is_some_and(|&pod| &self.pods[pod].node == name);
            let owing = self.gates.iter().filter(|(_, gate)| gate.late.is_none() && gate.debts.iter().any(left_it));
            let missing: Vec<String> = owing.map(|(uid, gate)| self.missing(uid, gate)).collect();
            if is_empty && (missing.is_empty() || node.stop.is_some()) {
                let node = &mut self.nodes[number];
                (node.stage, node.missing) = (NodeStage::Releasing, missing);
            }
        }
    }

    /// What a workload misses, in words.
    fn missing(&self, uid: &Uid, gate: &Gate) -> String {
        let trouble = self.trouble_of(uid).map(|trouble| format!(": {trouble}")).unwrap_or_default();
        format!("{} has not got its Ready pods back{trouble}", gate.owner)
    }

    pub(super) fn tell_connection(&mut self) {
        if self.connection_is_lost && !self.view.is_lost() {
            self.connection_is_lost = false;
            self.tell(Event::ConnectionRestored);
        }
    }

    fn removal(&self) -> Removal {
        if self.options.disable_eviction { Removal::Delete } else { Removal::Evict }
    }
}

fn set_since(since: &mut Option<Timestamp>, holds: bool, now: Timestamp) {
    if holds {
        since.get_or_insert(now);
    } else {
        *since = None;
    }
}
