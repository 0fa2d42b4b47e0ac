//! The drain itself: looks, begins nothing that cannot end, and tells what happens until it is over.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, RandomState},
};

use cluster::{act, drive, observe::WantedNodes};
use disruption::{
    drain::{
        document::{DrainPlan, DrainResult, PlannedPod, PodAction, PodReason, ReasonSeverity},
        machine::Drain,
        options::{OnBlocked, Run},
    },
    outcome::Exit,
};
use plugin::{error::CliError, shell::Shell};

use crate::{
    arguments::DrainFlags,
    cordon,
    look::{Look, forbidden, look},
    plan::{plan_of, warn_of_unknowns},
    report::Reporter,
};

pub(crate) async fn run(flags: &DrainFlags, shell: &mut Shell) -> Result<Exit, CliError> {
    if flags.from_file.is_some() {
        return Err(CliError::new("a file can be planned from, not drained").hint("put plan before the nodes"));
    }
    let request = flags.resolve()?;
    let Look { connection, snapshot, versions, targets, place, rights } = look(&request, shell).await?;
    if let (true, WantedNodes::Selected(selector)) = (targets.is_empty(), &request.nodes) {
        cordon::nothing_selected(shell, selector);
    }
    let plan = plan_of(&snapshot, &targets, &request.options)?;
    let mut document = DrainPlan::new(&plan, place.clone());
    let missing = rights.missing(&connection, &mut document).await?;
    warn_of_unknowns(&document, shell);
    warn(&document, request.execution.on_blocked, shell);

    let owner = if targets.is_empty() { None } else { act::whoami(&connection).await };
    let owner = owner.or_else(|| connection.user().map(str::to_owned)).unwrap_or_default();
    let run = Run { id: random_word(), owner, reason: flags.reason.clone() };
    let start = snapshot.taken_at;
    let mut drain = Drain::new(&plan, request.execution.clone(), run);
    drop(plan);
    // From here on its own part of it is enough.
    drop((snapshot, document));
    if let Some(right) = missing.first() {
        drain.forbid(&forbidden(*right).message);
    }

    let format = flags.output.output;
    let mut reporter = Reporter::new(&mut shell.printer, format);
    let tell = |at, event| reporter.tell(at, &event);
    let ended = drive::drive_until_interrupted(&connection, &mut drain, &versions, start, tell)
        .await
        .map_err(|error| CliError::new(format!("signals: {error}")))?;
    if !ended {
        shell.printer.err.line("interrupted again: out at once; what was asked for goes on without us");
        return Ok(Exit::Interrupted);
    }
    reporter.finish()?;
    let mut result = DrainResult { context: place.context, cluster: place.cluster, ..drain.result() };
    for (number, right) in missing.iter().enumerate() {
        let CliError { message, hints, .. } = forbidden(*right);
        // The nodes have been refused for the first one already.
        if number > 0 {
            shell.printer.error(&CliError::new(message));
        }
        result.next.extend(hints);
    }
    Reporter::new(&mut shell.printer, format).end(&result)?;
    Ok(drain.exit())
}

/// What is worth knowing before it begins, as kubectl says it: each warning with its pods. Of nodes that are refused
/// nothing is said but why.
fn warn(document: &DrainPlan, on_blocked: OnBlocked, shell: &mut Shell) {
    let stays_put = |pod: &&PlannedPod| {
        let is_error = |reason: &&PodReason| reason.severity == ReasonSeverity::Error;
        let needs_flag = pod.reasons.iter().filter(is_error).any(|reason| !reason.code.starts_with("Budget"));
        pod.action == PodAction::Refuse && (needs_flag || on_blocked == OnBlocked::Refuse)
    };
    let refused: BTreeSet<&str> = document.pods.iter().filter(stays_put).map(|pod| pod.node.as_str()).collect();
    let mut by_message: Vec<(&str, Vec<String>)> = Vec::new();
    for pod in document.pods.iter().filter(|pod| !refused.contains(pod.node.as_str())) {
        for reason in pod.reasons.iter().filter(|reason| {
            reason.severity == ReasonSeverity::Warning || reason.message.starts_with("ignoring DaemonSet")
        }) {
            let at = by_message.iter().position(|(message, _)| *message == reason.message).unwrap_or_else(|| {
                by_message.push((&reason.message, Vec::new()));
                by_message.len() - 1
            });
            by_message[at].1.push(format!("{}/{}", pod.namespace, pod.name));
        }
    }
    for (message, pods) in by_message {
        shell.printer.warning(&format!("{message}: {}", pods.join(", ")));
    }
}

/// A word that no other run has.
fn random_word() -> String {
    // Each RandomState has keys of its own from the operating system.
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))
}
