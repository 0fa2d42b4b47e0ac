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
        document::{RolloutFinding, RolloutPhase, RolloutPods, RolloutStatus, UndoTarget},
        look,
        view::View,
    },
};
use jiff::Timestamp;
use plugin::{error::CliError, printer::Printer, shell::Shell, text};

use crate::{
    arguments::StatusFlags,
    look::{Look, look as look_at, targets},
    report::{shown, tell_cause, tell_diff},
};

pub(crate) async fn run(flags: &StatusFlags, shell: &mut Shell) -> Result<Exit, CliError> {
    let mut exits = Vec::new();
    let statuses = if let Some(file) = &flags.from_file {
        let (view, taken_at) = read(file)?;
        let now = flags.now.or(taken_at).or(view.newest()).unwrap_or_default();
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
    for status in &statuses {
        match flags.output.output {
            Some(format) if several => shell.printer.out.streamed(format, status)?,
            Some(format) => shell.printer.out.document(format, status)?,
            None => render(&mut shell.printer, status),
        }
    }
    Ok(Exit::of_all(exits))
}

/// Reads a file, or standard input for `-`.
pub(crate) fn read(path: &Path) -> Result<(View, Option<Timestamp>), CliError> {
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
    let styles = printer.out.styles().clone();
    let style = match phase {
        RolloutPhase::Complete => styles.good,
        RolloutPhase::Progressing | RolloutPhase::Waiting => styles.warning,
        _ => styles.error,
    };
    let word = style.style(format!("{phase:?}")).to_string();
    let revision = revision.map(|number| format!(" revision {number}")).unwrap_or_default();
    printer.out.line(format_args!("{}{revision}: {word}: {}", shown(workload), text::one_line(message)));
    let RolloutPods { desired, updated, ready, available, old, terminating } = counts;
    let terminating = if *terminating > 0 { format!(", {terminating} stopping") } else { String::new() };
    printer.out.line(format_args!(
        "  {desired} wanted, {updated} updated, {ready} ready, {available} available, {old} old{terminating}"
    ));
    if let Some(cause) = cause {
        tell_cause(printer, "  ", cause);
    }
    let others = findings.iter().filter(|finding| Some(&finding.message) != cause.as_ref().map(|cause| &cause.message));
    for RolloutFinding { code, class: _, pod, container: _, init: _, count: _, message } in others {
        let pod = pod.as_ref().map(|pod| format!(" (pod {pod})")).unwrap_or_default();
        printer.out.line(text::one_line(&format!("  {code}: {message}{pod}")));
    }
    let is_wrong = matches!(phase, RolloutPhase::Stalled | RolloutPhase::Blocked);
    if let (Some(UndoTarget { revision: _, why, diff }), true) = (undo_target, is_wrong) {
        printer.out.line(format_args!("  an undo would go back to {}", text::one_line(why)));
        tell_diff(printer, diff);
    }
    for next in next {
        let word = printer.err.styles().hint.style("hint:").to_string();
        printer.err.line(format_args!("{word} {}", text::one_line(next)));
    }
}
