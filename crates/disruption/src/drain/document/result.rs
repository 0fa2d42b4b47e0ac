//! `DrainResult`, the document that says how a drain ended.

use jiff::Timestamp;
use serde::Serialize;

use crate::document::{API_VERSION, ProbeResult, with_milliseconds};

/// How a drain ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct DrainResult {
    /// `disruption/v1alpha1`.
    pub api_version: String,
    /// `DrainResult`.
    pub kind: String,
    /// When it began, by the server's clock, in UTC with milliseconds.
    #[serde(serialize_with = "with_milliseconds")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(serialize_with = "with_milliseconds")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub finished_at: Timestamp,
    /// The kubeconfig context.
    pub context: Option<String>,
    /// The cluster of that context.
    pub cluster: Option<String>,
    /// The exit code of the command.
    pub exit_code: u8,
    /// Why it did not do all it was to; empty if it did.
    pub reason: String,
    /// The nodes in the order in which they were named.
    pub nodes: Vec<NodeResult>,
    /// Every pod that was seen on them, each with one final word.
    pub pods: Vec<PodResult>,
    /// What was requested during the drain.
    pub probes: Vec<ProbeResult>,
    /// What was put back to how it stood before.
    pub restored: Vec<String>,
    /// Commands that help to go on.
    pub next: Vec<String>,
}

/// How the drain of a node ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NodeResult {
    /// Its name.
    pub name: String,
    /// In a word.
    pub outcome: NodeOutcome,
    /// Why it was not drained; empty if it was.
    pub reason: String,
    /// From its first request until its end; null if nothing was begun.
    pub seconds: Option<f64>,
}

/// How the drain of a node ended, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum NodeOutcome {
    /// Its pods are gone and what they belong to runs elsewhere, or the node itself is gone.
    Drained,
    /// It is schedulable: we took our cordon back, or somebody else did.
    Uncordoned,
    /// It is cordoned, and not empty.
    LeftCordoned,
    /// Nothing was changed.
    NotStarted,
}

/// How it ended with a pod.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PodResult {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its node.
    pub node: String,
    /// In a word.
    pub outcome: PodOutcome,
    /// Why; empty where the word says it all.
    pub reason: String,
    /// From the eviction until it was gone; null if it was not evicted, or is not gone.
    pub seconds: Option<f64>,
    /// From the eviction until its workload had its Ready pods back; null if nothing was waited for.
    pub replacement_seconds: Option<f64>,
}

/// How it ended with a pod, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum PodOutcome {
    /// The server accepted its eviction, and it is gone.
    Evicted,
    /// The server accepted its deletion, and it is gone.
    Deleted,
    /// It stays, as filters say.
    Skipped,
    /// It needs a flag.
    Refused,
    /// It went without us.
    Gone,
    /// It is still there.
    Left,
}

impl DrainResult {
    /// A result in which nothing was done yet.
    pub(in crate::drain) fn begun(at: Timestamp) -> Self {
        Self {
            api_version: API_VERSION.to_owned(),
            kind: "DrainResult".to_owned(),
            started_at: at,
            finished_at: at,
            context: None,
            cluster: None,
            exit_code: 0,
            reason: String::new(),
            nodes: Vec::new(),
            pods: Vec::new(),
            probes: Vec::new(),
            restored: Vec::new(),
            next: Vec::new(),
        }
    }
}
