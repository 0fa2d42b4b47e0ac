//! The record that a drain leaves on its node before it changes anything, so that others see it, and what it changed can
//! be restored after a kill.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::model::Node;

/// How often a drain says that it lives.
pub const HEARTBEAT: SignedDuration = SignedDuration::from_secs(30);

/// Without a sign for this long a drain is dead: it missed three, more than any lost request explains.
pub const DEAD_AFTER: SignedDuration = SignedDuration::from_secs(90);

/// How much later than the record the node controller may have seen our cordon. It takes milliseconds; a controller
/// that is being replaced takes longer.
const CORDON_LAG: SignedDuration = SignedDuration::from_secs(60);

/// Who writes `spec.unschedulable` in our name, as `managedFields` tell.
pub const FIELD_MANAGER: &str = "kubectl-safe-drain";

/// Which drain works on a node, and how to take back what it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The run, a random word.
    pub run: String,
    /// The user, as the API server knows them.
    pub owner: String,
    /// `--reason`; empty for none.
    #[serde(default)]
    pub reason: String,
    /// When it began.
    pub started: Timestamp,
    /// Its last sign of life.
    pub heartbeat: Timestamp,
    /// Whether the node was cordoned before.
    pub was_unschedulable: bool,
    /// The workloads whose replicas it raised.
    #[serde(default)]
    pub surges: Vec<serde_json::Value>,
    /// When it ended and left the node cordoned; none while it works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Timestamp>,
}

/// What a node says about drains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// No record.
    Free,
    /// A record that this program cannot read, in the words of the error.
    Unreadable(String),
    /// A drain works on it.
    InProgress(Record),
    /// A drain worked on it and was killed: no sign of life for [`DEAD_AFTER`].
    Dead(Record),
    /// A drain ended and left the node cordoned.
    Finished(Record),
    /// The record is from a drain whose cordon is gone: somebody made the node schedulable since, or cordoned it anew.
    Stale(Record),
}

/// What a node says about drains at a moment.
pub fn standing(node: &Node, now: Timestamp) -> Standing {
    let Some(text) = &node.record else { return Standing::Free };
    let record: Record = match serde_json::from_str(text) {
        Ok(record) => record,
        Err(error) => return Standing::Unreadable(error.to_string()),
    };
    if !is_its_cordon(&record, node) {
        Standing::Stale(record)
    } else if record.finished.is_some() {
        Standing::Finished(record)
    } else if now.duration_since(record.heartbeat) > DEAD_AFTER {
        Standing::Dead(record)
    } else {
        Standing::InProgress(record)
    }
}

/// Whether the node is still cordoned as the drain of this record left it. One that was cordoned before is nobody's.
fn is_its_cordon(record: &Record, node: &Node) -> bool {
    let by_us = node.cordoned_by.as_deref().is_none_or(|manager| manager == FIELD_MANAGER);
    let in_time = node.cordoned_at.is_none_or(|at| at.duration_since(record.started) <= CORDON_LAG);
    node.unschedulable && (record.was_unschedulable || (by_us && in_time))
}
