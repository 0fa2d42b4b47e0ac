//! Why a drain did not do all it was to: the reasons of nodes and pods, their exit codes and their sentences.

use std::time::Duration;

use crate::{
    drain::text,
    journal::Record,
    model::{NodeName, ObjectName},
    outcome::Exit,
};

/// Why a node's drain ends before the node is empty, from one moment to the next.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Stop {
    /// Ctrl-C or SIGTERM.
    Interrupted,
    /// `--timeout` passed.
    TimedOut(Duration),
    /// `--deadline` passed.
    DeadlinePassed(Duration),
    /// Somebody made the node schedulable.
    Uncordoned,
    /// Another drain put its record on the node.
    TakenOver(Box<Record>),
    /// The server does not let us watch its pods.
    Blind(String),
}

/// Why a node was not drained.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Problem {
    /// Pods need a flag.
    NeedsFlags(String),
    /// Budgets can never let these pods go.
    Impossible(String),
    /// Another drain works on it.
    Occupied(Box<Record>),
    /// It has a record that this program cannot read.
    UnreadableRecord(String),
    /// A right is missing.
    Forbidden(String),
    /// It could not be cordoned.
    NotCordoned(String),
    /// A workload did not get its Ready pods back in time.
    ReplacementLate(String),
    /// A pod comes straight back.
    ComesBack { pod: ObjectName, tolerates: bool },
    /// A pod could not be evicted.
    PodFailed(ObjectName, String),
    /// It was stopped.
    Stopped(Stop),
}

impl Stop {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Interrupted => Exit::Interrupted,
            Self::TimedOut(_) | Self::DeadlinePassed(_) => Exit::Unfinished,
            Self::Uncordoned | Self::TakenOver(_) => Exit::Superseded,
            Self::Blind(_) => Exit::Forbidden,
        }
    }

    pub(super) fn message(&self) -> String {
        match self {
            Self::Interrupted => "interrupted".into(),
            Self::TimedOut(limit) => format!("the timeout of {} passed", text::seconds(*limit)),
            Self::DeadlinePassed(limit) => format!("the deadline of {} passed", text::seconds(*limit)),
            Self::Uncordoned => "somebody made the node schedulable meanwhile".into(),
            Self::TakenOver(record) => format!("taken over by {}", whose(record)),
            Self::Blind(message) => message.clone(),
        }
    }
}

impl Problem {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::NeedsFlags(_) => Exit::Refused,
            Self::Impossible(_) => Exit::Blocked,
            Self::Occupied(_) | Self::UnreadableRecord(_) => Exit::Superseded,
            Self::Forbidden(_) => Exit::Forbidden,
            Self::NotCordoned(_) | Self::PodFailed(..) => Exit::Error,
            Self::ReplacementLate(_) | Self::ComesBack { .. } => Exit::NoRoom,
            Self::Stopped(stop) => stop.exit(),
        }
    }

    pub(super) fn message(&self) -> String {
        match self {
            Self::NeedsFlags(message)
            | Self::Impossible(message)
            | Self::Forbidden(message)
            | Self::NotCordoned(message)
            | Self::ReplacementLate(message) => message.clone(),
            Self::Occupied(record) => format!("{} works on it", whose(record)),
            Self::UnreadableRecord(error) => format!("it has the record of a drain that cannot be read: {error}"),
            Self::ComesBack { pod, tolerates } => {
                let why = if *tolerates { "they tolerate the cordon" } else { "their owner names the node" };
                format!("pods like {pod} come straight back, because {why}")
            }
            Self::PodFailed(pod, message) => format!("pod {pod}: {message}"),
            Self::Stopped(stop) => stop.message(),
        }
    }

    /// A command that helps.
    pub(super) fn next(&self, node: &NodeName) -> Option<String> {
        match self {
            Self::Occupied(_) | Self::UnreadableRecord(_) | Self::Stopped(Stop::TakenOver(_)) => {
                Some(format!("kubectl safe-drain status {node}"))
            }
            Self::NeedsFlags(_) | Self::Impossible(_) => Some(format!("kubectl safe-drain plan {node}")),
            Self::ReplacementLate(_) | Self::ComesBack { .. } | Self::PodFailed(..) | Self::Stopped(_) => {
                Some(format!("kubectl get pods --all-namespaces --field-selector spec.nodeName={node}"))
            }
            Self::Forbidden(_) | Self::NotCordoned(_) => None,
        }
    }
}

/// A drain in words.
pub(super) fn whose(record: &Record) -> String {
    let Record { run, owner, reason, started, .. } = record;
    let owner = if owner.is_empty() { "somebody" } else { owner };
    let reason = if reason.is_empty() { String::new() } else { format!(", {reason:?}") };
    format!("a drain by {owner} (run {run}, since {started:.0}{reason})")
}
