//! One pod of a drain: from waiting for its turn to its final word.

use jiff::{SignedDuration, Timestamp};

use super::choice::Subject;
use crate::{
    action::Trouble,
    drain::document::PodOutcome,
    model::{NodeName, Pod, Uid},
};

/// A pod that was seen on a node of the drain.
#[derive(Debug)]
pub(super) struct Tracked {
    /// As it was seen last.
    pub(super) pod: Pod,
    pub(super) node: NodeName,
    pub(super) stage: Stage,
    /// Whether its object still exists, as far as the watch has shown.
    pub(super) is_there: bool,
    /// How often its workload had come back onto the nodes of the drain, with this pod.
    pub(super) returns: u32,
    /// Whether its owner brings it back.
    pub(super) comes_back: bool,
    /// The workload that must get its Ready pods back, if it was Ready when it was asked to go.
    pub(super) gate: Option<Uid>,
    /// When it was first asked to go.
    pub(super) asked: Option<Timestamp>,
    /// When the server accepted.
    pub(super) accepted: Option<Timestamp>,
    pub(super) gone: Option<Timestamp>,
    /// From the eviction until its workload had its Ready pods back.
    pub(super) replaced_after: Option<SignedDuration>,
    /// An answer was lost, so the server may have accepted.
    pub(super) is_in_doubt: bool,
    /// What it waits for, or waited for until it was asked again.
    pub(super) waits_on: Option<Subject>,
    /// The same in words.
    pub(super) waits_for: Option<String>,
    failures: u32,
    /// Since when the server has failed without a break.
    pub(super) failing_since: Option<Timestamp>,
    /// Since when its budget could never let it go.
    pub(super) impossible_since: Option<Timestamp>,
    /// Since when the budget's status and our own count have contradicted each other.
    pub(super) contradicted_since: Option<Timestamp>,
}

/// Where a pod is on its way.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Stage {
    /// It goes when it may.
    Waiting(Delay),
    /// The server has been asked.
    Asking,
    /// It is being read again.
    Reading,
    /// It is to be read again then.
    ToRead(Timestamp),
    /// It stops.
    Leaving,
    /// It has its final word.
    Ended(End),
}

/// Why a pod is not asked to go at once.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Delay {
    None,
    /// A request failed: not before then.
    Until(Timestamp, Trouble),
    /// Its namespace is being deleted: not before then.
    Namespace(Timestamp, String),
    /// The server refused it for its budget, when the budgets of its namespace had changed so many times.
    Budget {
        at: Timestamp,
        changes: u64,
        message: String,
        several: bool,
    },
}

/// The final word on a pod.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct End {
    pub(super) outcome: PodOutcome,
    /// Why; empty where the word says it all.
    pub(super) reason: String,
}

/// The first wait after a failed request, doubled with each further failure.
const FIRST_BACK_OFF_MILLIS: i64 = 500;

/// The longest: soon enough after a server's restart, and no load on one that is down.
const LONGEST_BACK_OFF_MILLIS: i64 = 10_000;

impl Tracked {
    pub(super) fn new(pod: Pod, node: NodeName, stage: Stage, comes_back: bool) -> Self {
        Self {
            pod,
            node,
            stage,
            is_there: true,
            returns: 0,
            comes_back,
            gate: None,
            asked: None,
            accepted: None,
            gone: None,
            replaced_after: None,
            is_in_doubt: false,
            waits_on: None,
            waits_for: None,
            failures: 0,
            failing_since: None,
            impossible_since: None,
            contradicted_since: None,
        }
    }

    pub(super) fn owner(&self) -> Option<&Uid> {
        self.pod.controller.as_ref().map(|owner| &owner.uid)
    }

    pub(super) fn is_ended(&self) -> bool {
        matches!(self.stage, Stage::Ended(_))
    }

    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.stage, Stage::Waiting(_))
    }

    /// Whether the server is being asked to let it go, or what became of it.
    pub(super) fn is_being_asked(&self) -> bool {
        matches!(self.stage, Stage::Asking | Stage::Reading | Stage::ToRead(_))
    }

    /// Whether it takes part in what budgets and gates count: every pod that goes or went by our doing.
    pub(super) fn counts(&self) -> bool {
        match &self.stage {
            Stage::Ended(end) => matches!(end.outcome, PodOutcome::Evicted | PodOutcome::Deleted | PodOutcome::Gone),
            _ => true,
        }
    }

    /// Whether it goes by our doing, and is not gone yet.
    pub(super) fn is_under_way(&self) -> bool {
        self.asked.is_some() && matches!(self.stage, Stage::Asking | Stage::Leaving)
    }

    /// Whether it must be counted as gone although the watch still shows it whole.
    pub(super) fn is_as_good_as_gone(&self) -> bool {
        let is_under_way = matches!(self.stage, Stage::Asking | Stage::Leaving) || self.is_in_doubt;
        self.is_there && is_under_way && !self.pod.is_terminating() && !self.is_ended()
    }

    /// Notes a failed request and says when to try again.
    pub(super) fn back_off(&mut self, now: Timestamp, trouble: &Trouble) -> Timestamp {
        self.failing_since.get_or_insert(now);
        let wait = self.wait_after_failure();
        now + trouble.retry_after.map_or(wait, |asked| asked.max(wait))
    }

    /// How long to wait after one more failure: doubled each time, and spread by up to a quarter so that pods that
    /// failed together do not come again together. The pod's UID is what spreads them: the core throws no dice.
    pub(super) fn wait_after_failure(&mut self) -> SignedDuration {
        let doubled = FIRST_BACK_OFF_MILLIS << self.failures.min(10);
        self.failures += 1;
        let seed =
            self.pod.uid.0.bytes().fold(i64::from(self.failures), |sum, byte| (sum * 31 + i64::from(byte)) % 1009);
        let wait = doubled.min(LONGEST_BACK_OFF_MILLIS);
        SignedDuration::from_millis(wait + wait * (seed % 250) / 1000)
    }

    /// Forgets earlier failures: the server has answered with something else.
    pub(super) fn recover(&mut self) {
        self.failures = 0;
        self.failing_since = None;
    }
}
