//! Tells events as they happen: kubectl's lines for people, JSON lines or YAML documents for programs.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use disruption::{
    action::Removal,
    document::in_seconds,
    drain::document::{DrainResult, NodeOutcome, PodOutcome, PodResult},
    event::{Event, WaitCode},
    model::{NodeName, ObjectName, Uid},
    outcome::Exit,
};
use jiff::Timestamp;
use plugin::{
    error::CliError,
    printer::Printer,
    values::{DryRun, Format},
};
use serde::Serialize;

/// Tells the events of a command and how it ended.
pub(crate) struct Reporter<'a> {
    printer: &'a mut Printer,
    format: Option<Format>,
    dry_run: DryRun,
    failure: Option<CliError>,
}

/// An event as a document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EventDocument<'a> {
    at: Option<String>,
    #[serde(flatten)]
    event: EventKeys<'a>,
    dry_run: &'static str,
}

/// The type of an event and the keys that it has: the contract with programs.
#[derive(Debug, Serialize)]
#[serde(tag = "type")]
enum EventKeys<'a> {
    NodeCordoned {
        node: &'a str,
        already: bool,
    },
    NodeUncordoned {
        node: &'a str,
        already: bool,
    },
    NodeRefused {
        node: &'a str,
        message: &'a str,
    },
    NodeTakenOver {
        node: &'a str,
        message: &'a str,
    },
    PodEvicting(PodKeys<'a>),
    PodDeleting(PodKeys<'a>),
    PodEnded {
        #[serde(flatten)]
        pod: PodKeys<'a>,
        outcome: PodOutcome,
        message: &'a str,
    },
    PodAppeared(PodKeys<'a>),
    WaitBegan {
        code: &'static str,
        subject: &'a str,
        pods: usize,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        remedy: Option<&'a str>,
    },
    ReplacementReady {
        namespace: &'a str,
        name: &'a str,
        uid: &'a str,
        seconds: f64,
    },
    ConnectionLost {
        message: &'a str,
    },
    ConnectionRestored,
    WatchRefused {
        subject: &'a str,
        message: &'a str,
    },
    Interrupted,
    NodeEnded {
        node: &'a str,
        outcome: NodeOutcome,
        message: &'a str,
        seconds: f64,
    },
}

/// A pod on its node.
#[derive(Debug, Serialize)]
struct PodKeys<'a> {
    node: &'a str,
    namespace: &'a str,
    name: &'a str,
    uid: &'a str,
}

impl<'a> Reporter<'a> {
    /// Tells what really happens.
    pub(crate) fn new(printer: &'a mut Printer, format: Option<Format>) -> Self {
        Self::of_dry_run(printer, format, DryRun::None)
    }

    /// Tells what would happen, if it is a dry run.
    pub(crate) fn of_dry_run(printer: &'a mut Printer, format: Option<Format>, dry_run: DryRun) -> Self {
        Self { printer, format, dry_run, failure: None }
    }

    /// Tells one event. `at` is the server's time.
    pub(crate) fn tell(&mut self, at: Option<Timestamp>, event: &Event) {
        let Some(format) = self.format else { return self.tell_people(event) };
        let document = EventDocument {
            at: at.map(|at| format!("{at:.3}")),
            event: EventKeys::from(event),
            dry_run: strategy(self.dry_run),
        };
        if let Err(error) = self.printer.out.streamed(format, &document) {
            self.failure.get_or_insert(error);
        }
    }

    /// Tells how a drain ended.
    pub(crate) fn end(self, result: &DrainResult) -> Result<(), CliError> {
        match (self.failure, self.format) {
            (Some(failure), _) => Err(failure),
            (None, Some(format)) => self.printer.out.streamed(format, result),
            (None, None) => {
                tell_what_is_left(self.printer, result);
                Ok(())
            }
        }
    }

    /// What was said to nobody, because it could not be written.
    pub(crate) fn finish(self) -> Result<(), CliError> {
        self.failure.map_or(Ok(()), Err)
    }

    fn tell_people(&mut self, event: &Event) {
        let suffix = suffix(self.dry_run);
        let Printer { out, err, .. } = &mut *self.printer;
        match event {
            Event::NodeCordoned { node, already } => {
                out.plain(format_args!("node/{node} {}cordoned{suffix}", already_word(*already)));
            }
            Event::NodeUncordoned { node, already } => {
                out.plain(format_args!("node/{node} {}uncordoned{suffix}", already_word(*already)));
            }
            // Told as an error, with its hint.
            Event::NodeRefused { .. } | Event::ReplacementReady { .. } => {}
            Event::NodeTakenOver { node, from } => err.plain(format_args!("node/{node} taken over from {from}")),
            Event::PodEvicting { pod, uid: _, node: _, removal } => {
                let verb = match removal {
                    Removal::Evict => "evicting",
                    Removal::Delete => "deleting",
                };
                out.plain(format_args!("{verb} pod {pod}"));
            }
            Event::PodEnded { pod, uid: _, node: _, outcome, reason } => {
                let (name, namespace) = (&pod.name, &pod.namespace);
                match outcome {
                    PodOutcome::Evicted => out.plain(format_args!("pod/{name} evicted (namespace {namespace})")),
                    PodOutcome::Deleted => out.plain(format_args!("pod/{name} deleted (namespace {namespace})")),
                    PodOutcome::Gone => out.plain(format_args!("pod/{name} gone (namespace {namespace}): {reason}")),
                    PodOutcome::Skipped => err.plain(format_args!("pod {pod} is left alone: {reason}")),
                    // What is left is told at the end, all together.
                    PodOutcome::Refused | PodOutcome::Left => {}
                }
            }
            Event::PodAppeared { pod, uid: _, node } => {
                err.plain(format_args!("pod {pod} came onto node {node} meanwhile"));
            }
            Event::WaitBegan { subject, code, pods, message, remedy } => {
                err.plain(wait_line(subject, *code, *pods, message));
                if let Some(remedy) = remedy {
                    err.plain(format_args!("hint: {remedy}"));
                }
            }
            Event::ConnectionLost { message } => {
                self.printer.warning(&format!("connection lost, tried again: {message}"));
            }
            Event::ConnectionRestored => err.plain("connected again"),
            Event::WatchRefused { what, message } => {
                self.printer.warning(&format!("changes of {what} are not seen: {message}"));
            }
            Event::Interrupted => {
                err.plain("interrupted: nothing new is begun; once more to leave at once");
            }
            Event::NodeEnded { node, outcome, reason, after: _ } => match (outcome, reason.as_str()) {
                (NodeOutcome::Drained, "") => out.plain(format_args!("node/{node} drained")),
                (NodeOutcome::Drained, reason) => out.plain(format_args!("node/{node} drained: {reason}")),
                (_, reason) => {
                    let message = format!("unable to drain node {:?}: {reason}", node.0);
                    self.printer.error(&CliError::new(message));
                }
            },
        }
    }
}

fn already_word(already: bool) -> &'static str {
    if already { "already " } else { "" }
}

fn wait_line(subject: &str, code: WaitCode, pods: usize, message: &str) -> String {
    let waiting = if pods == 1 { "1 pod waits".to_owned() } else { format!("{pods} pods wait") };
    match (code, pods) {
        (WaitCode::Replacement, 0) => format!("waiting until {message}"),
        (WaitCode::Termination, _) if subject.starts_with("pod ") => format!("{subject} stops: {message}"),
        _ => format!("{waiting}: {message}"),
    }
}

/// How many pods are named for each reason.
const MOST_PODS: usize = 10;

/// The pods that a drain has left on its nodes, together where one reason holds for all, and what to do next.
fn tell_what_is_left(printer: &mut Printer, result: &DrainResult) {
    let mut left: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    let begun =
        |name: &str| result.nodes.iter().any(|node| node.name == name && node.outcome != NodeOutcome::NotStarted);
    let is_left = |pod: &&PodResult| matches!(pod.outcome, PodOutcome::Left | PodOutcome::Refused) && begun(&pod.node);
    for pod in result.pods.iter().filter(is_left) {
        let pods = left.entry((&pod.node, &pod.reason)).or_default();
        pods.push(format!("{}/{}", pod.namespace, pod.name));
    }
    for ((node, reason), mut pods) in left {
        let count = pods.len();
        let noun = if count == 1 { "pod" } else { "pods" };
        let more = if count > MOST_PODS { format!(" and {} more", count - MOST_PODS) } else { String::new() };
        pods.truncate(MOST_PODS);
        printer.err.plain(format_args!("{count} {noun} left on node {node} ({reason}): {}{more}", pods.join(", ")));
    }
    for next in &result.next {
        printer.err.plain(format_args!("hint: {next}"));
    }
    let drained = result.nodes.iter().filter(|node| node.outcome == NodeOutcome::Drained).count();
    if drained < result.nodes.len() && result.nodes.len() > 1 {
        printer.err.plain(format_args!("{drained} of {} nodes drained", result.nodes.len()));
    }
    debug_assert!(result.exit_code == Exit::Done.code() || !result.reason.is_empty(), "a failure has a reason");
}

impl<'a> From<&'a Event> for EventKeys<'a> {
    fn from(event: &'a Event) -> Self {
        match event {
            Event::NodeCordoned { node: NodeName(node), already } => Self::NodeCordoned { node, already: *already },
            Event::NodeUncordoned { node: NodeName(node), already } => Self::NodeUncordoned { node, already: *already },
            Event::NodeRefused { node: NodeName(node), message } => Self::NodeRefused { node, message },
            Event::NodeTakenOver { node: NodeName(node), from } => Self::NodeTakenOver { node, message: from },
            Event::PodEvicting { pod, uid, node, removal } => {
                let pod = PodKeys::new(pod, uid, node);
                match removal {
                    Removal::Evict => Self::PodEvicting(pod),
                    Removal::Delete => Self::PodDeleting(pod),
                }
            }
            Event::PodEnded { pod, uid, node, outcome, reason } => {
                Self::PodEnded { pod: PodKeys::new(pod, uid, node), outcome: *outcome, message: reason }
            }
            Event::PodAppeared { pod, uid, node } => Self::PodAppeared(PodKeys::new(pod, uid, node)),
            Event::WaitBegan { subject, code, pods, message, remedy } => {
                Self::WaitBegan { code: code.as_str(), subject, pods: *pods, message, remedy: remedy.as_deref() }
            }
            Event::ReplacementReady { pod: ObjectName { namespace, name }, uid: Uid(uid), after } => {
                Self::ReplacementReady { namespace, name, uid, seconds: in_seconds(*after) }
            }
            Event::ConnectionLost { message } => Self::ConnectionLost { message },
            Event::ConnectionRestored => Self::ConnectionRestored,
            Event::WatchRefused { what, message } => Self::WatchRefused { subject: what, message },
            Event::Interrupted => Self::Interrupted,
            Event::NodeEnded { node: NodeName(node), outcome, reason, after } => {
                Self::NodeEnded { node, outcome: *outcome, message: reason, seconds: in_seconds(*after) }
            }
        }
    }
}

impl<'a> PodKeys<'a> {
    fn new(pod: &'a ObjectName, uid: &'a Uid, node: &'a NodeName) -> Self {
        let ObjectName { namespace, name } = pod;
        Self { node: &node.0, namespace, name, uid: &uid.0 }
    }
}

/// A dry run in a document, as its flag takes it.
pub(crate) fn strategy(dry_run: DryRun) -> &'static str {
    match dry_run {
        DryRun::None => "none",
        DryRun::Client => "client",
        DryRun::Server => "server",
    }
}

/// What kubectl puts behind a line of a dry run.
pub(crate) fn suffix(dry_run: DryRun) -> &'static str {
    match dry_run {
        DryRun::None => "",
        DryRun::Client => " (dry run)",
        DryRun::Server => " (server dry run)",
    }
}
