//! `status`: one look at rollouts, from a live cluster or a file.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use cluster::{look::is_there, observe::rollouts::WantedRollouts};
use disruption::{
    action::Wanted,
    model::{ObjectName, Rollout},
    outcome::Exit,
    rollout::{
        document::{RolloutCause, RolloutFinding, RolloutPhase, RolloutPods, RolloutStatus, UndoTarget},
        look,
        view::View,
    },
};
use jiff::Timestamp;
use plugin::{error::CliError, printer::Printer, shell::Shell, styles::Styles, table::wrap};

use crate::{
    arguments::StatusFlags,
    look::{Look, look as look_at, targets},
    report::{INDENT, harmless, shown, tell_changes, tell_diff, tell_next, tell_sentence},
};

pub(crate) async fn run(flags: &StatusFlags, shell: &mut Shell) -> Result<Exit, CliError> {
    let mut exits = Vec::new();
    let statuses = if let Some(file) = &flags.from_file {
        let (view, taken_at) = read(file)?;
        let now = flags.now.unwrap_or(taken_at);
        let wanted = flags.workloads.resolve_or_everything()?;
        let chosen = choose(&view, &wanted, shell.flags.namespace.as_deref())?;
        let status = |rollout: &&Rollout| look::look(&view.subject(rollout, now), &flags.limits(), &[]);
        chosen.iter().map(status).collect()
    } else {
        let Look { connection, observed, errors } = look_at(&flags.workloads.resolve()?, shell).await?;
        exits.extend(errors.iter().map(|error| error.exit));
        let mut statuses: Vec<RolloutStatus> = Vec::new();
        for rollout in targets(&observed) {
            let subject = observed.view.subject(rollout, observed.taken_at);
            let mut absent: Vec<Wanted> = Vec::new();
            for wanted in look::needed_by_undo(&subject, &flags.limits()) {
                // What may not be looked at is not known to be missing.
                if is_there(&connection, &wanted).await == Ok(false) {
                    absent.push(wanted);
                }
            }
            statuses.push(look::look(&subject, &flags.limits(), &absent));
        }
        statuses
    };
    exits.extend(statuses.iter().filter_map(|status| Exit::of_code(status.exit_code)));
    let several = statuses.len() > 1;
    for (position, status) in statuses.iter().enumerate() {
        let is_long = |status: &RolloutStatus| !matches!(status.phase, RolloutPhase::Complete);
        let is_apart = position > 0 && (is_long(status) || is_long(&statuses[position - 1]));
        if is_apart && flags.output.output.is_none() {
            shell.printer.out.line("");
        }
        match flags.output.output {
            Some(format) if several => shell.printer.out.streamed(format, status)?,
            Some(format) => shell.printer.out.document(format, status)?,
            None => render(&mut shell.printer, status),
        }
    }
    Ok(Exit::of_all(exits))
}

/// Reads a file, or standard input for `-`.
pub(crate) fn read(path: &Path) -> Result<(View, Timestamp), CliError> {
    let name = if path.as_os_str() == "-" { "standard input".to_owned() } else { path.display().to_string() };
    let input: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).map_err(|error| CliError::new(format!("open {name}: {error}")))?)
    };
    disruption::rollout::view::read(input).map_err(|error| CliError::new(format!("{name}: {error}")))
}

/// The workloads of a file that are meant. Without a namespace, those of all namespaces are.
pub(crate) fn choose<'a>(
    view: &'a View,
    wanted: &WantedRollouts,
    namespace: Option<&str>,
) -> Result<Vec<&'a Rollout>, CliError> {
    let is_in = |name: &ObjectName| namespace.is_none_or(|namespace| name.namespace == namespace);
    let all = view.rollouts().filter(|rollout| is_in(&rollout.name));
    match wanted {
        WantedRollouts::Selected { kinds, labels } => {
            let chosen: Vec<&Rollout> =
                all.filter(|rollout| kinds.contains(&rollout.kind) && labels.matches(&rollout.labels)).collect();
            if chosen.is_empty() {
                return Err(CliError::new("the file holds no Deployment, StatefulSet or DaemonSet that is meant"));
            }
            Ok(chosen)
        }
        WantedRollouts::Named(named) => {
            let all: Vec<&Rollout> = all.collect();
            let mut chosen = Vec::new();
            for (kind, name) in named {
                let found = all.iter().filter(|rollout| rollout.kind == *kind && rollout.name.name == *name);
                let before = chosen.len();
                chosen.extend(found);
                if chosen.len() == before {
                    return Err(CliError::new(format!("the file holds no {}/{name}", kind.singular())));
                }
            }
            Ok(chosen)
        }
    }
}

fn render(printer: &mut Printer, status: &RolloutStatus) {
    let RolloutStatus {
        api_version: _,
        kind: _,
        workload,
        revision,
        version: _,
        phase,
        counts,
        message,
        findings,
        cause,
        undo_target,
        next,
        exit_code: _,
    } = status;
    let is_wrong = matches!(phase, RolloutPhase::Stalled | RolloutPhase::Blocked);
    let revision = revision.map(|number| format!(" revision {number}")).unwrap_or_default();
    let title = format!("{}{revision}", shown(workload));
    match cause.as_ref().filter(|_| is_wrong) {
        None => tell_phase(printer, &title, *phase, &format!(": {message}")),
        Some(RolloutCause { code, class: _, message, changed, paths }) => {
            tell_phase(printer, &title, *phase, &format!(" {code}: {message}"));
            tell_changes(printer, *changed, paths);
            tell_sentence(printer, &counted(counts));
        }
    }
    let is_told = |finding: &&RolloutFinding| {
        is_wrong && cause.as_ref().is_some_and(|it| (&it.code, &it.message) == (&finding.code, &finding.message))
    };
    for line in folded(findings.iter().filter(|finding| !is_told(finding))) {
        tell_sentence(printer, &line);
    }
    if let (Some(UndoTarget { revision: _, why, diff }), true) = (undo_target, is_wrong) {
        tell_sentence(printer, &format!("an undo would go back to {why}"));
        tell_diff(printer, diff);
    }
    for next in next {
        tell_next(printer, next);
    }
}

/// The first line: of which workload, the phase, and what there is to say of it.
fn tell_phase(printer: &mut Printer, title: &str, phase: RolloutPhase, what: &str) {
    let (word, styled) = phase_word(printer.out.styles(), phase);
    let room = printer.out.width().saturating_sub(INDENT.len());
    let text = wrap(&harmless(&format!("{title}: {word}{what}")), room).join(&format!("\n{INDENT}"));
    // The names before it have no capitals.
    printer.out.line(text.replacen(word, &styled, 1));
}

/// The word for a phase, without and with its style.
fn phase_word(styles: &Styles, phase: RolloutPhase) -> (&'static str, String) {
    let (style, word) = match phase {
        RolloutPhase::Complete => (styles.good, "COMPLETE"),
        RolloutPhase::Progressing => (styles.warning, "PROGRESSING"),
        RolloutPhase::Waiting => (styles.warning, "WAITING"),
        RolloutPhase::Stalled => (styles.error, "STALLED"),
        RolloutPhase::Blocked => (styles.error, "BLOCKED"),
        RolloutPhase::Superseded => (styles.error, "SUPERSEDED"),
        RolloutPhase::Gone => (styles.error, "GONE"),
    };
    (word, style.style(word).to_string())
}

fn counted(counts: &RolloutPods) -> String {
    let RolloutPods { desired, updated, ready, available, old, terminating } = counts;
    let some = |number: &i32, what: &str| if *number > 0 { format!(", {number} {what}") } else { String::new() };
    let (old, terminating) = (some(old, "old"), some(terminating, "stopping"));
    format!("{updated} of {desired} pods updated, {ready} ready, {available} available{old}{terminating}")
}

/// Findings in words, those that several pods have told once.
fn folded<'a>(findings: impl Iterator<Item = &'a RolloutFinding>) -> Vec<String> {
    let mut folded: Vec<(&str, &str, Vec<&str>)> = Vec::new();
    for RolloutFinding { code, class: _, pod, container: _, init: _, count: _, message } in findings {
        let is_same = |(of, told, _): &(&str, &str, _)| (*of, *told) == (code.as_str(), message.as_str());
        match folded.iter_mut().find(|told| is_same(told)) {
            Some((_, _, pods)) => pods.extend(pod.as_deref()),
            None => folded.push((code, message, pod.as_deref().into_iter().collect())),
        }
    }
    let line = |(code, message, pods): (&str, &str, Vec<&str>)| {
        let pods = match pods.as_slice() {
            [] => String::new(),
            [pod] => format!(" (pod {pod})"),
            [pod, others @ ..] => format!(" (pod {pod} and {} more)", others.len()),
        };
        format!("{code}: {message}{pods}")
    };
    folded.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests;
