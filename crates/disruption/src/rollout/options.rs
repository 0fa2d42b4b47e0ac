//! What the user asked a guard for.

use jiff::SignedDuration;

use super::verdict::Limits;

/// How a guard watches, and what it may do.
#[derive(Debug, Clone)]
pub struct GuardOptions {
    /// How much is proof.
    pub limits: Limits,
    /// How long it watches, all workloads together; none for as long as it takes (`--timeout`).
    pub timeout: Option<SignedDuration>,
    /// What to do with a version that is to blame (`--on-stall`).
    pub on_stall: OnStall,
    /// What may be undone (`--undo-on`).
    pub undo_on: UndoOn,
    /// The revision to go back to; none for the last good one (`--to-revision`).
    pub to_revision: Option<i64>,
    /// URLs that are requested meanwhile (`--probe`).
    pub probes: Vec<String>,
    /// The change-cause of an undo; none for one that says why (`--change-cause`).
    pub change_cause: Option<String>,
}

/// What to do with a version that is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStall {
    /// Bring the last good version back.
    Undo,
    /// Pause the Deployment, so that somebody can look.
    Pause,
    /// Say so.
    Report,
}

/// What may be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UndoOn {
    /// A version that is to blame.
    Version,
    /// Any that stalls, whosever fault it is.
    Any,
}
