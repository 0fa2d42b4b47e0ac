//! `RepairResult`, the document that says what was taken back of drains that were killed.

use serde::Serialize;

use crate::{document::API_VERSION, outcome::Exit};

/// How a repair ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RepairResult {
    /// `disruption/v1alpha1`.
    pub api_version: String,
    /// `RepairResult`.
    pub kind: String,
    /// The exit code of the command.
    pub exit_code: u8,
    /// `--dry-run`: `none`, `client` or `server`. Unless it is `none`, nothing was changed.
    pub dry_run: String,
    /// The nodes on which a drain had left a record; empty where none had.
    pub nodes: Vec<NodeRepair>,
}

/// How the repair of a node ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NodeRepair {
    /// Its name.
    pub name: String,
    /// In a word.
    pub outcome: RepairOutcome,
    /// Why; empty where the word says it all.
    pub message: String,
}

/// How the repair of a node ended, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum RepairOutcome {
    /// The cordon of a dead drain was taken back, and its record removed.
    Uncordoned,
    /// Only the record was removed: the node is schedulable, or the cordon is somebody else's.
    RecordRemoved,
    /// Nothing was changed: the drain may still live, has ended by itself, or its record cannot be read.
    LeftAlone,
    /// The node was deleted meanwhile, and its record with it.
    Gone,
    /// It could not be repaired.
    Failed,
}

impl RepairResult {
    /// Writes down how a repair ended.
    pub fn new(nodes: Vec<NodeRepair>, exit: Exit, dry_run: &str) -> Self {
        Self {
            api_version: API_VERSION.to_owned(),
            kind: "RepairResult".to_owned(),
            exit_code: exit.code(),
            dry_run: dry_run.to_owned(),
            nodes,
        }
    }
}
