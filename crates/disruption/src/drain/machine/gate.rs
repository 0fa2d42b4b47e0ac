//! The gate of a workload: what has left it must be made good before its drain is done.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use crate::model::{ObjectName, Uid};

/// A workload of which pods have left by our doing.
#[derive(Debug)]
pub(super) struct Gate {
    /// Kind and name, as in `Deployment shop/web`.
    pub(super) owner: String,
    /// The pods that have left and are not made good yet, the first one first.
    pub(super) debts: VecDeque<Debt>,
    /// Since when nothing got better.
    pub(super) since: Timestamp,
    /// Set once `--replacement-timeout` has passed: what is missing, in words.
    pub(super) late: Option<String>,
    /// Ready pods when it was looked at last.
    ready: i32,
}

/// A pod that has left and is not made good yet.
#[derive(Debug, Clone)]
pub(super) struct Debt {
    pub(super) pod: Uid,
    pub(super) name: ObjectName,
    pub(super) since: Timestamp,
}

impl Gate {
    pub(super) fn new(owner: String, ready: i32, now: Timestamp) -> Self {
        Self { owner, debts: VecDeque::new(), since: now, late: None, ready }
    }

    pub(super) fn owe(&mut self, debt: Debt) {
        if self.debts.is_empty() {
            self.since = debt.since;
        }
        self.debts.push_back(debt);
    }

    /// Looks at how the workload stands. Debts beyond what is missing are paid; those that a Ready pod has paid come
    /// back with how long it took, the others (the workload wants fewer pods now) without.
    pub(super) fn look(&mut self, now: Timestamp, ready: i32, missing: i32) -> Vec<(Debt, Option<SignedDuration>)> {
        let missing = usize::try_from(missing).unwrap_or_default();
        let paid = self.debts.len().saturating_sub(missing);
        let mut by_ready = usize::try_from(ready - self.ready).unwrap_or_default();
        if ready > self.ready || paid > 0 {
            self.since = now;
        }
        self.ready = ready;
        let mut settled = Vec::new();
        for debt in self.debts.drain(..paid) {
            let after = (by_ready > 0).then(|| now.duration_since(debt.since));
            by_ready = by_ready.saturating_sub(1);
            settled.push((debt, after));
        }
        settled
    }
}
