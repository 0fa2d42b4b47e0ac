//! One node of a drain: its cordon with the record, the heartbeat, and what is left of both at the end.

use jiff::{SignedDuration, Timestamp};

use super::why::{Problem, Stop};
use crate::{
    action::{NodeAnswer, NodeChange, RecordChange, Trouble, TroubleKind},
    drain::{
        document::NodeOutcome,
        options::{OnFailure, Run},
    },
    journal::{self, DEAD_AFTER, HEARTBEAT, Record, Standing},
    model::Node,
    outcome::Exit,
};

/// How often a lost race for a node is decided again; kubelets and controllers write it every few seconds.
const MOST_RACES: u32 = 5;

/// How long a cordon is tried while the server does not answer. Nothing has been done yet, so giving up costs nothing.
const CORDON_PATIENCE: SignedDuration = SignedDuration::from_secs(60);

/// How long the last change of a node is tried. Longer would keep a user who wants to leave; `repair` does it later.
const RELEASE_PATIENCE: SignedDuration = SignedDuration::from_secs(10);

/// Until a failed request for a node is tried again.
const RETRY: SignedDuration = SignedDuration::from_secs(1);

/// A node on its way.
#[expect(clippy::struct_excessive_bools, reason = "independent facts about a node")]
#[derive(Debug)]
pub(super) struct NodeDrain {
    /// As it was seen last.
    pub(super) seen: Node,
    pub(super) stage: Stage,
    pub(super) stop: Option<(Stop, Timestamp)>,
    pub(super) problems: Vec<Problem>,
    /// What workloads still missed when it was stopped, in words.
    pub(super) missing: Vec<String>,
    pub(super) outcome: Option<NodeOutcome>,
    /// When its first request was sent.
    pub(super) begun: Option<Timestamp>,
    /// When its pods' turn came.
    pub(super) draining_since: Option<Timestamp>,
    pub(super) ended: Option<Timestamp>,
    /// What was put back.
    pub(super) was_uncordoned: bool,
    /// Nobody knows whether it is cordoned, or its record could not be settled.
    pub(super) is_unsettled: bool,
    was_unschedulable: bool,
    /// The cordon is ours to make: the node was schedulable when it was claimed.
    makes_cordon: bool,
    /// The last change was to take the cordon back.
    takes_cordon_back: bool,
    /// The record of a drain that had ended and left the node cordoned.
    previous: Option<Record>,
    is_writing: bool,
    retry_at: Option<Timestamp>,
    races: u32,
    last_beat: Timestamp,
    releasing_since: Option<Timestamp>,
    /// The watch has shown our record, so whatever it shows next is newer.
    is_confirmed: bool,
}

/// Where a node is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// To be cordoned.
    Pending,
    /// Cordoned, and its turn has not come.
    Cordoned,
    /// Its pods go.
    Draining,
    /// Its record is being settled.
    Releasing,
    /// It has its outcome.
    Ended,
}

/// What to do for a node.
#[derive(Debug)]
pub(super) enum Step {
    Nothing,
    Write(NodeChange),
    /// It is cordoned now, or was before.
    Cordoned {
        already: bool,
        from: Option<Record>,
    },
    /// The node does not exist any more.
    Vanished,
    Refused(String),
}

impl NodeDrain {
    pub(super) fn new(node: &Node, now: Timestamp) -> Self {
        Self {
            was_unschedulable: node.unschedulable,
            seen: node.clone(),
            stage: Stage::Pending,
            stop: None,
            problems: Vec::new(),
            missing: Vec::new(),
            outcome: None,
            begun: None,
            draining_since: None,
            ended: None,
            was_uncordoned: false,
            is_unsettled: false,
            makes_cordon: false,
            takes_cordon_back: false,
            previous: None,
            is_writing: false,
            retry_at: None,
            races: 0,
            last_beat: now,
            releasing_since: None,
            is_confirmed: false,
        }
    }

    /// Refuses to begin.
    pub(super) fn refuse(&mut self, problem: Problem) {
        self.problems.push(problem);
        self.stage = Stage::Ended;
        self.outcome = Some(NodeOutcome::NotStarted);
    }

    pub(super) fn stop(&mut self, stop: Stop, now: Timestamp) {
        if self.stop.is_none() && self.stage != Stage::Ended && self.stage != Stage::Releasing {
            self.problems.push(Problem::Stopped(stop.clone()));
            self.stop = Some((stop, now));
        }
    }

    pub(super) fn exit(&self) -> Exit {
        Exit::of_all(self.problems.iter().map(Problem::exit))
    }

    /// The problem that its exit code stands for.
    pub(super) fn worst(&self) -> Option<&Problem> {
        let exit = self.exit();
        self.problems.iter().find(|problem| problem.exit() == exit)
    }

    /// Why it was not drained, in words; empty where it was.
    pub(super) fn reason(&self) -> String {
        let Some(worst) = self.worst() else { return String::new() };
        // Where time is up: what it was needed for.
        let is_late = matches!(worst, Problem::Stopped(Stop::TimedOut(_) | Stop::DeadlinePassed(_)));
        let missing = self.missing.iter().filter(|_| is_late).map(|missing| format!("; {missing}"));
        worst.message() + &missing.collect::<String>()
    }

    /// Whether its cordon is still believed to be ours: without a sign of life others may have taken it over.
    pub(super) fn holds_lease(&self, now: Timestamp) -> bool {
        now.duration_since(self.last_beat) < DEAD_AFTER
    }

    /// The next request for the node, if one is due. `has_lost_pods` says whether one of its pods has left.
    pub(super) fn step(
        &mut self,
        now: Timestamp,
        run: &Run,
        take_over: bool,
        on_failure: OnFailure,
        has_lost_pods: bool,
    ) -> Step {
        if self.is_writing || self.retry_at.is_some_and(|at| at > now) {
            return Step::Nothing;
        }
        self.retry_at = None;
        let step = match self.stage {
            Stage::Pending => self.claim(now, run, take_over),
            // Whoever stopped it may have the node by now.
            Stage::Draining | Stage::Cordoned if self.stop.is_some() => Step::Nothing,
            Stage::Draining | Stage::Cordoned if now.duration_since(self.last_beat) >= HEARTBEAT => {
                Step::Write(self.beat(now, run))
            }
            Stage::Releasing => self.release(now, run, on_failure, has_lost_pods),
            Stage::Draining | Stage::Cordoned | Stage::Ended => Step::Nothing,
        };
        if let Step::Write(_) = step {
            self.is_writing = true;
            self.begun.get_or_insert(now);
        }
        step
    }

    /// When [`NodeDrain::step`] may have something to do.
    pub(super) fn next_step_at(&self) -> Option<Timestamp> {
        match self.stage {
            _ if self.is_writing => None,
            Stage::Ended => None,
            Stage::Draining | Stage::Cordoned => Some(self.retry_at.unwrap_or(self.last_beat + HEARTBEAT)),
            Stage::Pending | Stage::Releasing => self.retry_at,
        }
    }

    /// Takes the node if nobody else has it.
    fn claim(&mut self, now: Timestamp, run: &Run, take_over: bool) -> Step {
        let standing = journal::standing(&self.seen, now);
        let mut was_unschedulable = self.seen.unschedulable;
        match standing {
            Standing::InProgress(record) if record.run == run.id => was_unschedulable = record.was_unschedulable,
            Standing::InProgress(record) if !take_over => {
                self.refuse(Problem::Occupied(Box::new(record)));
                return Step::Nothing;
            }
            Standing::Unreadable(error) if !take_over => {
                self.refuse(Problem::UnreadableRecord(error));
                return Step::Nothing;
            }
            Standing::InProgress(record) | Standing::Dead(record) => {
                was_unschedulable = record.was_unschedulable;
                self.previous = Some(record);
            }
            Standing::Finished(record) => self.previous = Some(record),
            Standing::Free | Standing::Stale(_) | Standing::Unreadable(_) => self.previous = None,
        }
        self.was_unschedulable = was_unschedulable;
        self.makes_cordon |= !self.seen.unschedulable;
        let unschedulable = (!self.seen.unschedulable).then_some(true);
        Step::Write(NodeChange { unschedulable, record: Some(RecordChange::Set(self.record(now, run))) })
    }

    fn record(&self, now: Timestamp, run: &Run) -> Record {
        Record {
            run: run.id.clone(),
            owner: run.owner.clone(),
            reason: run.reason.clone(),
            started: self.begun.unwrap_or(now),
            heartbeat: now,
            was_unschedulable: self.was_unschedulable,
            surges: Vec::new(),
            finished: None,
        }
    }

    fn beat(&self, now: Timestamp, run: &Run) -> NodeChange {
        NodeChange { unschedulable: None, record: Some(RecordChange::Set(self.record(now, run))) }
    }

    /// Settles cordon and record at the end.
    fn release(&mut self, now: Timestamp, run: &Run, on_failure: OnFailure, has_lost_pods: bool) -> Step {
        let since = *self.releasing_since.get_or_insert(now);
        if now.duration_since(since) > RELEASE_PATIENCE {
            self.is_unsettled = true;
            let is_drained = self.problems.is_empty();
            self.end(if is_drained { NodeOutcome::Drained } else { NodeOutcome::LeftCordoned });
            return Step::Nothing;
        }
        let finished = || RecordChange::Set(Record { finished: Some(now), ..self.record(now, run) });
        let before = || match &self.previous {
            Some(record) if record.finished.is_some() => RecordChange::Set(record.clone()),
            _ => RecordChange::Remove,
        };
        let wants_it_back = match on_failure {
            OnFailure::Auto => !has_lost_pods,
            OnFailure::Uncordon => true,
            OnFailure::Keep => false,
        };
        let (unschedulable, record) = match &self.stop {
            Some((Stop::TakenOver(_), _)) => {
                self.end(NodeOutcome::LeftCordoned);
                return Step::Nothing;
            }
            _ if !self.seen.unschedulable => (None, RecordChange::Remove),
            _ if self.problems.is_empty() => (None, finished()),
            _ if wants_it_back && !self.was_unschedulable => (Some(false), RecordChange::Remove),
            _ if !has_lost_pods && self.was_unschedulable => (None, before()),
            _ => (None, finished()),
        };
        self.takes_cordon_back = unschedulable == Some(false);
        Step::Write(NodeChange { unschedulable, record: Some(record) })
    }

    /// Takes in the answer to the last write.
    pub(super) fn written(&mut self, now: Timestamp, run: &Run, answer: NodeAnswer) -> Step {
        self.is_writing = false;
        match (self.stage, answer) {
            (Stage::Ended, _) => Step::Nothing,
            (_, NodeAnswer::Deleted) => Step::Vanished,
            (Stage::Pending, NodeAnswer::Stands(node)) => self.cordoned(now, node),
            (Stage::Pending, NodeAnswer::Changed(node)) => {
                let is_ours = runs_it(&node, run);
                // A write whose answer was lost may have been ours.
                if is_ours && node.unschedulable {
                    return self.cordoned(now, node);
                }
                self.seen = node;
                // What was written without an answer does not stand, and cannot come later.
                (self.is_unsettled, self.makes_cordon) = (false, false);
                self.races += 1;
                if self.races >= MOST_RACES {
                    return self.give_up("somebody else changes the node again and again".into());
                }
                Step::Nothing
            }
            (Stage::Pending, NodeAnswer::Forbidden(message)) => {
                self.refuse(Problem::Forbidden(message.clone()));
                Step::Refused(message)
            }
            (Stage::Pending, NodeAnswer::Denied(message)) => self.give_up(message),
            (Stage::Pending, NodeAnswer::Trouble(trouble)) => {
                self.is_unsettled |= trouble.kind == TroubleKind::NoAnswer;
                if self.begun.is_some_and(|begun| now.duration_since(begun) > CORDON_PATIENCE) {
                    return self.give_up(trouble.message);
                }
                self.retry_later(now, &trouble);
                Step::Nothing
            }
            (Stage::Cordoned | Stage::Draining, NodeAnswer::Stands(node)) => {
                self.last_beat = now;
                self.seen = node;
                Step::Nothing
            }
            (Stage::Cordoned | Stage::Draining, NodeAnswer::Changed(node)) => {
                self.is_confirmed = true;
                self.observe(node, run, now);
                Step::Nothing
            }
            (Stage::Cordoned | Stage::Draining, NodeAnswer::Forbidden(_) | NodeAnswer::Denied(_)) => {
                self.retry_at = Some(now + RETRY * 5);
                Step::Nothing
            }
            (Stage::Releasing, NodeAnswer::Stands(node)) => {
                self.settle(node);
                Step::Nothing
            }
            (Stage::Releasing, NodeAnswer::Changed(node)) => {
                if runs_it(&node, run) {
                    self.seen = node;
                } else {
                    self.settle(node);
                }
                Step::Nothing
            }
            (Stage::Releasing, NodeAnswer::Forbidden(_) | NodeAnswer::Denied(_)) => {
                self.retry_at = Some(now + RETRY);
                Step::Nothing
            }
            (_, NodeAnswer::Trouble(trouble)) => {
                self.retry_later(now, &trouble);
                Step::Nothing
            }
        }
    }

    fn cordoned(&mut self, now: Timestamp, node: Node) -> Step {
        let already = !self.makes_cordon;
        self.is_unsettled = false;
        self.seen = node;
        self.stage = Stage::Cordoned;
        self.last_beat = now;
        let from = self.previous.clone().filter(|record| record.finished.is_none());
        Step::Cordoned { already, from }
    }

    fn give_up(&mut self, message: String) -> Step {
        self.refuse(Problem::NotCordoned(message.clone()));
        if self.is_unsettled {
            self.outcome = Some(NodeOutcome::LeftCordoned);
        }
        Step::Refused(message)
    }

    fn retry_later(&mut self, now: Timestamp, trouble: &Trouble) {
        let wait = trouble.retry_after.filter(|_| self.stage != Stage::Releasing).unwrap_or(RETRY);
        self.retry_at = Some(now + wait.max(RETRY));
    }

    fn settle(&mut self, node: Node) {
        self.was_uncordoned = self.takes_cordon_back && !node.unschedulable;
        self.seen = node;
        let outcome = match (self.seen.unschedulable, self.problems.is_empty()) {
            (_, true) => NodeOutcome::Drained,
            // The cordon of which nobody knew was never made.
            (false, false) if self.is_unsettled && !self.was_uncordoned => NodeOutcome::NotStarted,
            (false, false) => NodeOutcome::Uncordoned,
            (true, false) => NodeOutcome::LeftCordoned,
        };
        self.is_unsettled = false;
        self.end(outcome);
    }

    /// Whether the cordon that is left is one that we made, and nobody else's now.
    pub(super) fn cordon_is_ours(&self) -> bool {
        !self.was_unschedulable && !matches!(self.stop, Some((Stop::TakenOver(_), _)))
    }

    /// Whether a request about it is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.is_writing
    }

    /// Ends before its pods' turn came. A cordon that may stand is taken back like one that does.
    pub(super) fn end_early(&mut self) {
        if self.stage == Stage::Cordoned || self.is_unsettled {
            self.stage = Stage::Releasing;
        } else {
            self.end(NodeOutcome::NotStarted);
        }
    }

    /// It has its outcome.
    pub(super) fn end(&mut self, outcome: NodeOutcome) {
        self.outcome = Some(outcome);
        self.stage = Stage::Ended;
    }

    /// Takes in how the node looks; stops when it is no longer ours.
    pub(super) fn observe(&mut self, node: Node, run: &Run, now: Timestamp) {
        let record = node.record.as_deref().map(serde_json::from_str::<Record>);
        self.is_confirmed |= runs_it(&node, run);
        let is_at_work = matches!(self.stage, Stage::Cordoned | Stage::Draining);
        if !self.is_confirmed && is_at_work {
            // Older than our own write: only what does not depend on it is news.
            (self.seen.ready, self.seen.not_ready_reason) = (node.ready, node.not_ready_reason);
            return;
        }
        if is_at_work {
            match record {
                _ if !node.unschedulable => self.stop(Stop::Uncordoned, now),
                Some(Ok(other)) if other.run != run.id => self.stop(Stop::TakenOver(Box::new(other)), now),
                _ => {}
            }
        }
        self.seen = node;
    }
}

/// Whether the node carries the record of this run.
fn runs_it(node: &Node, run: &Run) -> bool {
    let record = node.record.as_deref().and_then(|text| serde_json::from_str::<Record>(text).ok());
    record.is_some_and(|record| record.run == run.id)
}
