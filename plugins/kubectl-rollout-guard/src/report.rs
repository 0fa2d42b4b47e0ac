//! Tells events as they happen: lines with the time that has passed for people, JSON lines or YAML documents for programs.

use std::collections::BTreeMap;

use disruption::{
    diagnose::Code,
    document::{ProbeResult, in_seconds},
    rollout::{
        document::{
            ChangedPath, RolloutCause, RolloutEnd, RolloutFinding, RolloutOutcome, RolloutPods, RolloutResult,
            RolloutWorkload,
        },
        event::{Event, Evidence, PodRow, Warning},
        secrets::without_tokens,
    },
};
use jiff::{SignedDuration, Timestamp};
use plugin::{
    age::age,
    error::CliError,
    printer::Printer,
    table::{Cell, Table, wrap},
    text,
    values::Format,
};
use serde::Serialize;

#[cfg(test)]
mod tests;

/// Tells the events of a command and how it ended.
pub(crate) struct Reporter<'a> {
    printer: &'a mut Printer,
    format: Option<Format>,
    began: Timestamp,
    /// The time of the last event.
    now: Timestamp,
    /// The longest name of a workload: what is said of each begins below each other.
    width: usize,
    failure: Option<CliError>,
}

/// An event as a document.
#[derive(Debug, Serialize)]
struct EventDocument<'a> {
    at: String,
    #[serde(flatten)]
    keys: EventKeys<'a>,
}

/// The type of an event and the keys that it has: the contract with programs.
#[derive(Debug, Serialize)]
#[serde(tag = "type")]
enum EventKeys<'a> {
    WatchBegan {
        workload: &'a RolloutWorkload,
        #[serde(skip_serializing_if = "Option::is_none")]
        revision: Option<i64>,
        images: BTreeMap<&'a str, &'a str>,
    },
    Progressed {
        workload: &'a RolloutWorkload,
        counts: RolloutPods,
        message: &'a str,
    },
    FindingSeen {
        workload: &'a RolloutWorkload,
        finding: &'a RolloutFinding,
    },
    StallProven {
        workload: &'a RolloutWorkload,
        cause: &'a RolloutCause,
        others: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        probe: Option<&'a str>,
        pods: Vec<PodDocument<'a>>,
        warnings: Vec<WarningDocument<'a>>,
    },
    LogRead {
        workload: &'a RolloutWorkload,
        pod: &'a str,
        container: &'a str,
        lines: &'a [String],
    },
    UndoBegan {
        workload: &'a RolloutWorkload,
        #[serde(skip_serializing_if = "Option::is_none")]
        from: Option<i64>,
        to: i64,
        diff: &'a str,
        message: &'a str,
    },
    PodUnblocked {
        workload: &'a RolloutWorkload,
        pod: &'a str,
    },
    RolloutPaused {
        workload: &'a RolloutWorkload,
    },
    ProbeFailed {
        url: &'a str,
        message: &'a str,
    },
    ProbeRecovered {
        url: &'a str,
        seconds: f64,
    },
    Noted {
        #[serde(skip_serializing_if = "Option::is_none")]
        workload: Option<&'a RolloutWorkload>,
        message: &'a str,
    },
    ConnectionLost {
        message: &'a str,
    },
    ConnectionRestored,
    Interrupted,
    RolloutEnded {
        workload: &'a RolloutWorkload,
        outcome: RolloutOutcome,
        message: &'a str,
        seconds: f64,
    },
}

/// A pod of a stalled rollout as a document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PodDocument<'a> {
    name: &'a str,
    is_new: bool,
    node: Option<&'a str>,
    ready: usize,
    containers: usize,
    restarts: i32,
    state: &'a str,
    created_at: Option<String>,
}

/// A warning of the cluster as a document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WarningDocument<'a> {
    about: &'a str,
    reason: &'a str,
    message: &'a str,
    count: i32,
}

/// What stands below a line of an event is indented so far.
pub(crate) const INDENT: &str = "  ";

/// So many pods of a stalled rollout are shown to people.
const MOST_PODS: usize = 10;

impl<'a> Reporter<'a> {
    /// Tells what happens from `began` on to workloads whose longest name has this width.
    pub(crate) fn new(printer: &'a mut Printer, format: Option<Format>, began: Timestamp, width: usize) -> Self {
        Self { printer, format, began, now: began, width, failure: None }
    }

    /// Tells one event. `at` is the server's time; without it, it is the last one's.
    pub(crate) fn tell(&mut self, at: Option<Timestamp>, event: &Event) {
        self.now = at.unwrap_or(self.now);
        let Some(format) = self.format else { return self.tell_people(event) };
        let document = EventDocument { at: format!("{:.3}", self.now), keys: event.into() };
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
            let url = harmless(url);
            self.printer.out.line(format_args!("probe {url}: {failures} of {requests} requests failed{gap}"));
        }
        for next in &result.next {
            tell_next(self.printer, next);
        }
        Ok(())
    }

    fn tell_people(&mut self, event: &Event) {
        match event {
            Event::WatchBegan { workload, revision, images } => {
                let revision =
                    revision.map_or_else(|| "a new revision".to_owned(), |number| format!("revision {number}"));
                let images: Vec<String> = images.iter().map(|(name, image)| format!("{name}={image}")).collect();
                self.say(workload, &format!("{revision}: {}", images.join(" ")));
            }
            Event::Progressed { workload, counts: _, message } => self.say(workload, message),
            // The probe's own line says it, once for all workloads.
            Event::FindingSeen { finding, .. } if finding.code == Code::ProbeFailed.as_str() => {}
            Event::FindingSeen { workload, finding } => {
                self.say(workload, &format!("{}{}", finding.message, place(finding)));
            }
            Event::StallProven { workload, cause, others, evidence } => {
                self.tell_stall(workload, cause, *others, evidence);
            }
            Event::LogRead { workload, pod, container, lines } => {
                self.say(workload, &format!("last lines of container {container} of pod {pod}:"));
                for line in lines {
                    self.printer.out.line(format_args!("{INDENT}| {}", harmless(line)));
                }
            }
            Event::UndoBegan { workload, from, to, why, diff } => {
                let from = from.map(|from| format!(" from revision {from}")).unwrap_or_default();
                let to = if why.is_empty() { format!("revision {to}") } else { why.clone() };
                self.say(workload, &format!("undo{from} to {to}"));
                tell_diff(self.printer, diff);
            }
            Event::PodUnblocked { workload, pod } => {
                self.say(workload, &format!("pod {pod} of the bad version held up all others, and is deleted"));
            }
            Event::RolloutPaused { workload } => self.say(workload, "paused"),
            Event::ProbeFailed { url, message } => self.line(&format!("probe {url} fails: {message}")),
            Event::ProbeRecovered { url, after } => {
                self.line(&format!("probe {url} succeeds again after {:.1}s", after.as_secs_f64()));
            }
            Event::Noted { workload, message } => {
                let of = workload.as_ref().map(|workload| format!("{}: ", shown(workload))).unwrap_or_default();
                self.printer.err.line(format_args!("note: {}", harmless(&format!("{of}{message}"))));
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
                let word = format!("{}:", style.style(word(*outcome)));
                self.say_under(workload, &word, message);
            }
        }
    }

    fn tell_stall(&mut self, workload: &RolloutWorkload, cause: &RolloutCause, others: usize, evidence: &Evidence) {
        let RolloutCause { code, class: _, message, changed, paths } = cause;
        let Evidence { probe, pods, warnings } = evidence;
        let word = self.printer.out.styles().error.style("STALLED").to_string();
        let others = match others {
            0 => String::new(),
            1 => " (and 1 more finding)".to_owned(),
            others => format!(" (and {others} more findings)"),
        };
        self.say_under(workload, &word, &format!("{code}: {message}{others}"));
        tell_changes(self.printer, *changed, paths);
        if let Some(probe) = probe {
            tell_sentence(self.printer, probe);
        }
        self.tell_pods(pods);
        for warning in warnings {
            self.tell_warning(warning);
        }
    }

    fn tell_pods(&mut self, pods: &[PodRow]) {
        if pods.is_empty() {
            return;
        }
        let out = &mut self.printer.out;
        let table = pod_table(&pods[..pods.len().min(MOST_PODS)], self.now);
        let lines = table.render(out.styles(), out.width().saturating_sub(INDENT.len()));
        lines.lines().for_each(|line| out.line(format_args!("{INDENT}{line}")));
        if let more @ 1.. = pods.len().saturating_sub(MOST_PODS) {
            out.line(format_args!("{INDENT}and {more} more"));
        }
    }

    /// A warning's message may be long, and is read as a text.
    fn tell_warning(&mut self, warning: &Warning) {
        let Warning { about, reason, message, count } = warning;
        let times = if *count > 1 { format!(" ({count} times)") } else { String::new() };
        let out = &mut self.printer.out;
        let reason = out.styles().warning.style(harmless(reason)).to_string();
        out.line(format_args!("{INDENT}{reason} {}{times}:", harmless(about)));
        let room = out.width().saturating_sub(2 * INDENT.len());
        for line in wrap(&harmless(message), room) {
            out.line(format_args!("{INDENT}{INDENT}{line}"));
        }
    }

    /// One line about a workload.
    fn say(&mut self, workload: &RolloutWorkload, what: &str) {
        let name = harmless(&shown(workload));
        self.line(&format!("{name:width$}  {what}", width = self.width));
    }

    /// The same with a word before it that has its style already.
    fn say_under(&mut self, workload: &RolloutWorkload, word: &str, what: &str) {
        let (time, name) = (self.time(), harmless(&shown(workload)));
        let width = self.width;
        self.printer.out.line(format_args!("{time}  {name:width$}  {word} {}", harmless(what)));
    }

    fn line(&mut self, what: &str) {
        let time = self.time();
        self.printer.out.line(format_args!("{time}  {}", harmless(what)));
    }

    /// The time since the beginning.
    fn time(&self) -> String {
        let elapsed = self.now.duration_since(self.began).max(SignedDuration::ZERO);
        format!("{:>6.1}s", elapsed.as_secs_f64())
    }
}

/// Text from elsewhere for one line: it steers no terminal, and its URLs tell no secrets.
pub(crate) fn harmless(text: &str) -> String {
    text::one_line(&without_tokens(text)).into_owned()
}

/// Prints a sentence below a line, in as many lines as it takes.
pub(crate) fn tell_sentence(printer: &mut Printer, sentence: &str) {
    let room = printer.out.width().saturating_sub(2 * INDENT.len());
    for (number, line) in wrap(&harmless(sentence), room).iter().enumerate() {
        let further = if number > 0 { INDENT } else { "" };
        printer.out.line(format_args!("{INDENT}{further}{line}"));
    }
}

/// Prints what helps on.
pub(crate) fn tell_next(printer: &mut Printer, next: &str) {
    let word = printer.err.styles().hint.style("hint:").to_string();
    printer.err.line(format_args!("{word} {}", harmless(next)));
}

/// Prints what the rollout changed of a cause.
pub(crate) fn tell_changes(printer: &mut Printer, changed: Option<bool>, paths: &[ChangedPath]) {
    let value = |value: &Option<serde_json::Value>| match value {
        None => "nothing".to_owned(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    for ChangedPath { path, before, after } in paths {
        tell_sentence(printer, &format!("changed by this rollout: {path} {} -> {}", value(before), value(after)));
    }
    if changed == Some(false) {
        tell_sentence(printer, "not changed by this rollout");
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

fn pod_table(pods: &[PodRow], now: Timestamp) -> Table<7> {
    let mut table = Table::new(["POD", "VERSION", "READY", "RESTARTS", "AGE", "NODE", "STATE"]);
    for PodRow { name, is_new, node, ready: (ready, all), restarts, state, created_at } in pods {
        table.row([
            Cell::from(name.as_str()),
            Cell::from(if *is_new { "new" } else { "old" }),
            Cell::from(format!("{ready}/{all}")),
            Cell::from(restarts.to_string()),
            Cell::from(created_at.map_or_else(|| "-".to_owned(), |at| age(now, at))),
            Cell::from(if node.is_empty() { "-" } else { node }),
            Cell::from(state.as_str()),
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

impl<'a> From<&'a PodRow> for PodDocument<'a> {
    fn from(row: &'a PodRow) -> Self {
        let PodRow { name, is_new, node, ready: (ready, containers), restarts, state, created_at } = row;
        Self {
            name,
            is_new: *is_new,
            node: Some(node.as_str()).filter(|node| !node.is_empty()),
            ready: *ready,
            containers: *containers,
            restarts: *restarts,
            state,
            created_at: created_at.map(|at| format!("{at:.3}")),
        }
    }
}

impl<'a> From<&'a Warning> for WarningDocument<'a> {
    fn from(warning: &'a Warning) -> Self {
        let Warning { about, reason, message, count } = warning;
        Self { about, reason, message, count: *count }
    }
}

impl<'a> From<&'a Event> for EventKeys<'a> {
    fn from(event: &'a Event) -> Self {
        match event {
            Event::WatchBegan { workload, revision, images } => Self::WatchBegan {
                workload,
                revision: *revision,
                images: images.iter().map(|(name, image)| (name.as_str(), image.as_str())).collect(),
            },
            Event::Progressed { workload, counts, message } => Self::Progressed { workload, counts: *counts, message },
            Event::FindingSeen { workload, finding } => Self::FindingSeen { workload, finding },
            Event::StallProven { workload, cause, others, evidence } => {
                let Evidence { probe, pods, warnings } = evidence;
                Self::StallProven {
                    workload,
                    cause,
                    others: *others,
                    probe: probe.as_deref(),
                    pods: pods.iter().map(PodDocument::from).collect(),
                    warnings: warnings.iter().map(WarningDocument::from).collect(),
                }
            }
            Event::LogRead { workload, pod, container, lines } => Self::LogRead { workload, pod, container, lines },
            Event::UndoBegan { workload, from, to, why, diff } => {
                Self::UndoBegan { workload, from: *from, to: *to, diff, message: why }
            }
            Event::PodUnblocked { workload, pod } => Self::PodUnblocked { workload, pod },
            Event::RolloutPaused { workload } => Self::RolloutPaused { workload },
            Event::ProbeFailed { url, message } => Self::ProbeFailed { url, message },
            Event::ProbeRecovered { url, after } => Self::ProbeRecovered { url, seconds: in_seconds(*after) },
            Event::Noted { workload, message } => Self::Noted { workload: workload.as_ref(), message },
            Event::ConnectionLost { message } => Self::ConnectionLost { message },
            Event::ConnectionRestored => Self::ConnectionRestored,
            Event::Interrupted => Self::Interrupted,
            Event::RolloutEnded { workload, outcome, message, after } => {
                Self::RolloutEnded { workload, outcome: *outcome, message, seconds: in_seconds(*after) }
            }
        }
    }
}
