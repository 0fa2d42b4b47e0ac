//! Tells events as they happen: lines with the time that has passed for people, JSON lines or YAML documents for programs.

use disruption::{
    document::ProbeResult,
    rollout::{
        document::{
            ChangedPath, RolloutCause, RolloutEnd, RolloutFinding, RolloutOutcome, RolloutPods, RolloutResult,
            RolloutWorkload,
        },
        event::{Event, Evidence, PodRow, Warning},
    },
};
use jiff::{SignedDuration, Timestamp};
use plugin::{
    error::CliError,
    printer::Printer,
    table::{Cell, Table},
    text,
    values::Format,
};
use serde::Serialize;

/// Tells the events of a command and how it ended.
pub(crate) struct Reporter<'a> {
    printer: &'a mut Printer,
    format: Option<Format>,
    began: Timestamp,
    failure: Option<CliError>,
}

/// An event as a document.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct EventDocument<'a> {
    at: Option<String>,
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    workload: Option<&'a RolloutWorkload>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    counts: Option<RolloutPods>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finding: Option<&'a RolloutFinding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a RolloutCause>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<RolloutOutcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
}

impl<'a> Reporter<'a> {
    /// Tells what happens from `began` on.
    pub(crate) fn new(printer: &'a mut Printer, format: Option<Format>, began: Timestamp) -> Self {
        Self { printer, format, began, failure: None }
    }

    /// Tells one event. `at` is the server's time.
    pub(crate) fn tell(&mut self, at: Option<Timestamp>, event: &Event) {
        let Some(format) = self.format else { return self.tell_people(at, event) };
        let mut document = EventDocument::new(event);
        document.at = at.map(|at| format!("{at:.3}"));
        if let Err(error) = self.printer.out.streamed(format, &document) {
            self.failure.get_or_insert(error);
        }
    }

    /// What was said to nobody, because it could not be written.
    pub(crate) fn finish(self) -> Result<(), CliError> {
        self.failure.map_or(Ok(()), Err)
    }

    /// Tells how it ended.
    pub(crate) fn end(self, result: &RolloutResult) -> Result<(), CliError> {
        if let Some(format) = self.format {
            return self.printer.out.streamed(format, result);
        }
        for ProbeResult { url, requests, failures, longest_gap_seconds } in probes(result) {
            let gap =
                if *failures == 0 { String::new() } else { format!(", {longest_gap_seconds:.1}s at the longest") };
            self.printer
                .out
                .line(format_args!("probe {}: {failures} of {requests} requests failed{gap}", text::one_line(url)));
        }
        for next in &result.next {
            let word = self.printer.err.styles().hint.style("hint:").to_string();
            self.printer.err.line(format_args!("{word} {}", text::one_line(next)));
        }
        Ok(())
    }

    fn tell_people(&mut self, at: Option<Timestamp>, event: &Event) {
        let elapsed = at.map_or(SignedDuration::ZERO, |at| at.duration_since(self.began)).max(SignedDuration::ZERO);
        let time = format!("{:>6.1}s", elapsed.as_secs_f64());
        let mut say = |line: String| self.printer.out.line(format_args!("{time}  {}", text::one_line(&line)));
        match event {
            Event::WatchBegan { workload, revision, images } => {
                let revision =
                    revision.map_or_else(|| "a new revision".to_owned(), |number| format!("revision {number}"));
                let images: Vec<String> = images.iter().map(|(name, image)| format!("{name}={image}")).collect();
                say(format!("{}: {revision}, {}", shown(workload), images.join(" ")));
            }
            Event::Progressed { workload, counts: _, message } => say(format!("{}: {message}", shown(workload))),
            Event::FindingSeen { workload, finding } => {
                say(format!("{}: {}{}", shown(workload), finding.message, place(finding)));
            }
            Event::StallProven { workload, cause, others, evidence } => {
                self.tell_stall(&time, workload, cause, *others, evidence);
            }
            Event::LogRead { workload: _, pod, container, lines } => {
                say(format!("last lines of container {container} of pod {pod}:"));
                for line in lines {
                    self.printer.out.line(format_args!("    {}", text::one_line(&without_secrets(line))));
                }
            }
            Event::UndoBegan { workload, from, to, why, diff } => {
                let from = from.map(|from| format!("from revision {from} ")).unwrap_or_default();
                let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
                say(format!("{}: undo {from}to revision {to}{why}", shown(workload)));
                self.tell_diff(diff);
            }
            Event::PodUnblocked { workload, pod } => {
                say(format!("{}: pod {pod} of the bad version held up all others, and is deleted", shown(workload)));
            }
            Event::RolloutPaused { workload } => say(format!("{}: paused", shown(workload))),
            Event::ProbeFailed { url, message } => say(format!("probe {url} fails: {message}")),
            Event::ProbeRecovered { url, after } => {
                say(format!("probe {url} succeeds again after {:.1}s", after.as_secs_f64()));
            }
            Event::Noted { workload, message } => {
                let of = workload.as_ref().map(|workload| format!("{}: ", shown(workload))).unwrap_or_default();
                self.printer.err.line(format_args!("note: {of}{}", text::one_line(message)));
            }
            Event::ConnectionLost { message } => {
                self.printer.warning(&format!("connection lost, tried again: {message}"));
            }
            Event::ConnectionRestored => self.printer.err.line("connected again"),
            Event::Interrupted => self.printer.err.line("interrupted: nothing new is begun"),
            Event::RolloutEnded { workload, outcome, message, after: _ } => {
                let styles = self.printer.out.styles();
                let style = match outcome {
                    RolloutOutcome::Complete | RolloutOutcome::Undone => &styles.good,
                    _ => &styles.error,
                };
                let word = style.style(word(*outcome)).to_string();
                let line = format!("{}: ", shown(workload));
                self.printer.out.line(format_args!(
                    "{time}  {}{word}: {}",
                    text::one_line(&line),
                    text::one_line(message)
                ));
            }
        }
    }

    fn tell_stall(
        &mut self,
        time: &str,
        workload: &RolloutWorkload,
        cause: &RolloutCause,
        others: usize,
        evidence: &Evidence,
    ) {
        let RolloutCause { code, class: _, message, changed, paths } = cause;
        let Evidence { probe, pods, warnings } = evidence;
        let out = &mut self.printer.out;
        let word = out.styles().error.style("STALLED").to_string();
        out.line(format_args!("{time}  {}: {word} {code}: {}", shown(workload), text::one_line(message)));
        tell_changes(self.printer, "         ", *changed, paths);
        let mut say = |line: &str| self.printer.out.line(format_args!("         {}", text::one_line(line)));
        if others > 0 {
            say(&format!("and {others} more finding{}", if others == 1 { "" } else { "s" }));
        }
        if let Some(probe) = probe {
            say(probe);
        }
        if !pods.is_empty() {
            let table = pod_table(pods);
            self.printer.out.table(&table);
        }
        for Warning { about, reason, message, count } in warnings {
            let times = if *count > 1 { format!(" ({count} times)") } else { String::new() };
            let line = format!("{about}: {reason}: {}{times}", without_secrets(message));
            self.printer.out.line(format_args!("  {}", text::one_line(&line)));
        }
    }

    fn tell_diff(&mut self, diff: &str) {
        tell_diff(self.printer, diff);
    }
}

/// Prints a cause, and what the rollout changed of it.
pub(crate) fn tell_cause(printer: &mut Printer, indent: &str, cause: &RolloutCause) {
    let RolloutCause { code, class: _, message, changed, paths } = cause;
    printer.out.line(format_args!("{indent}{code}: {}", text::one_line(message)));
    tell_changes(printer, indent, *changed, paths);
}

fn tell_changes(printer: &mut Printer, indent: &str, changed: Option<bool>, paths: &[ChangedPath]) {
    let value = |value: &Option<serde_json::Value>| match value {
        None => "nothing".to_owned(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    for ChangedPath { path, before, after } in paths {
        let line = format!("changed by this rollout: {path} {} -> {}", value(before), value(after));
        printer.out.line(format_args!("{indent}{}", text::one_line(&line)));
    }
    if changed == Some(false) {
        printer.out.line(format_args!("{indent}not changed by this rollout"));
    }
}

/// Prints a unified diff in its colours.
pub(crate) fn tell_diff(printer: &mut Printer, diff: &str) {
    for line in diff.lines() {
        let styles = printer.out.styles();
        let style = match line.as_bytes().first() {
            Some(b'+') => styles.added,
            Some(b'-') => styles.removed,
            _ => styles.dim,
        };
        let line = style.style(text::one_line(line)).to_string();
        printer.out.line(line);
    }
}

fn pod_table(pods: &[PodRow]) -> Table<6> {
    let mut table = Table::new(["POD", "VERSION", "READY", "RESTARTS", "STATE", "NODE"]);
    for PodRow { name, is_new, node, ready: (ready, all), restarts, state, created_at: _ } in pods {
        table.row([
            Cell::from(name.as_str()),
            Cell::from(if *is_new { "new" } else { "old" }),
            Cell::from(format!("{ready}/{all}")),
            Cell::from(restarts.to_string()),
            Cell::from(state.as_str()),
            Cell::from(if node.is_empty() { "-" } else { node }),
        ]);
    }
    table
}

/// Where a finding was made.
fn place(finding: &RolloutFinding) -> String {
    let pod = finding.pod.as_ref().map(|pod| format!(" (pod {pod})")).unwrap_or_default();
    let times = if finding.count > 1 { format!(", {} times", finding.count) } else { String::new() };
    format!("{pod}{times}")
}

/// kubectl's name for a workload.
pub(crate) fn shown(workload: &RolloutWorkload) -> String {
    format!("{}/{}", workload.kind.to_lowercase(), workload.name)
}

fn word(outcome: RolloutOutcome) -> &'static str {
    match outcome {
        RolloutOutcome::Complete => "COMPLETE",
        RolloutOutcome::Undone => "UNDONE",
        RolloutOutcome::UndoFailed => "UNDO FAILED",
        RolloutOutcome::NotUndone => "NOT UNDONE",
        RolloutOutcome::Blocked => "BLOCKED",
        RolloutOutcome::Unfinished => "UNFINISHED",
        RolloutOutcome::Superseded => "SUPERSEDED",
        RolloutOutcome::Gone => "GONE",
    }
}

/// The probes of a run: every workload has the same.
fn probes(result: &RolloutResult) -> &[ProbeResult] {
    result.rollouts.first().map(|RolloutEnd { probes, .. }| probes.as_slice()).unwrap_or_default()
}

/// A line without the passwords in its URLs, and without their queries' tokens.
fn without_secrets(line: &str) -> String {
    let mut words = Vec::new();
    for word in line.split(' ') {
        let Some((scheme, rest)) = word.split_once("://") else {
            words.push(word.to_owned());
            continue;
        };
        let end = rest.find(['/', '?', '"']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let path = match path.split_once('?') {
            Some((path, query)) if query.contains('=') => format!("{path}?…"),
            _ => path.to_owned(),
        };
        words.push(format!("{scheme}://{host}{path}"));
    }
    words.join(" ")
}

impl<'a> EventDocument<'a> {
    fn new(event: &'a Event) -> Self {
        let nothing = Self::default();
        match event {
            Event::WatchBegan { workload, revision, images: _ } => {
                Self { r#type: "WatchBegan", workload: Some(workload), revision: *revision, ..nothing }
            }
            Event::Progressed { workload, counts, message } => Self {
                r#type: "Progressed",
                workload: Some(workload),
                counts: Some(*counts),
                message: Some(message),
                ..nothing
            },
            Event::FindingSeen { workload, finding } => {
                Self { r#type: "FindingSeen", workload: Some(workload), finding: Some(finding), ..nothing }
            }
            Event::StallProven { workload, cause, others: _, evidence: _ } => {
                Self { r#type: "StallProven", workload: Some(workload), cause: Some(cause), ..nothing }
            }
            Event::LogRead { workload, pod, container, lines } => Self {
                r#type: "LogRead",
                workload: Some(workload),
                pod: Some(pod),
                container: Some(container),
                lines: Some(lines),
                ..nothing
            },
            Event::UndoBegan { workload, from, to, why, diff } => Self {
                r#type: "UndoBegan",
                workload: Some(workload),
                from: *from,
                to: Some(*to),
                message: Some(why),
                diff: Some(diff),
                ..nothing
            },
            Event::PodUnblocked { workload, pod } => {
                Self { r#type: "PodUnblocked", workload: Some(workload), pod: Some(pod), ..nothing }
            }
            Event::RolloutPaused { workload } => Self { r#type: "RolloutPaused", workload: Some(workload), ..nothing },
            Event::ProbeFailed { url, message } => {
                Self { r#type: "ProbeFailed", url: Some(url), message: Some(message), ..nothing }
            }
            Event::ProbeRecovered { url, after } => {
                Self { r#type: "ProbeRecovered", url: Some(url), seconds: Some(in_millis(*after)), ..nothing }
            }
            Event::Noted { workload, message } => {
                Self { r#type: "Noted", workload: workload.as_ref(), message: Some(message), ..nothing }
            }
            Event::ConnectionLost { message } => Self { r#type: "ConnectionLost", message: Some(message), ..nothing },
            Event::ConnectionRestored => Self { r#type: "ConnectionRestored", ..nothing },
            Event::Interrupted => Self { r#type: "Interrupted", ..nothing },
            Event::RolloutEnded { workload, outcome, message, after } => Self {
                r#type: "RolloutEnded",
                workload: Some(workload),
                outcome: Some(*outcome),
                message: Some(message),
                seconds: Some(in_millis(*after)),
                ..nothing
            },
        }
    }
}

/// Seconds to the millisecond, as the result has them.
fn in_millis(duration: SignedDuration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}
