//! The guard itself: watches rollouts to their end, and undoes what must be undone.

use cluster::{
    connect::Connection,
    drive,
    observe::{Versions, rollouts::ObservedRollouts},
};
use disruption::{
    model::RolloutKind,
    outcome::Exit,
    rollout::{
        document::RolloutResult,
        machine::{Guard, Target, Task},
        options::{GuardOptions, OnStall},
        status,
    },
};
use plugin::{error::CliError, shell::Shell, values::Format};

use crate::{
    arguments::{GuardFlags, WatchFlags},
    look::{self, Look},
    report::Reporter,
};

pub(crate) async fn run(flags: &GuardFlags, shell: &mut Shell) -> Result<Exit, CliError> {
    let wanted = flags.workloads.resolve()?;
    let wanted_revision = flags.watch.wanted_revision()?;
    let Look { connection, observed, errors } = look::look(&wanted, shell).await?;
    check_revisions(&observed, wanted_revision)?;
    let refusal = refusal(&connection, &observed, &flags.watch).await?;
    guard(&connection, observed, refusal, &errors, &flags.watch, flags.output.output, shell).await
}

/// Why the workloads may not be undone where that may be needed.
pub(crate) async fn refusal(
    connection: &Connection,
    observed: &ObservedRollouts,
    flags: &WatchFlags,
) -> Result<Option<CliError>, CliError> {
    let otherwise = "--force undoes all the same; --on-stall=report only watches";
    match flags.options().on_stall {
        OnStall::Report => Ok(None),
        OnStall::Undo | OnStall::Pause => look::refusal(connection, observed, flags.force, otherwise).await,
    }
}

/// Guards all that was looked at, unless that is refused. The errors have been told, and belong to the result.
pub(crate) async fn guard(
    connection: &Connection,
    observed: ObservedRollouts,
    refusal: Option<CliError>,
    errors: &[CliError],
    flags: &WatchFlags,
    format: Option<Format>,
    shell: &mut Shell,
) -> Result<Exit, CliError> {
    let options = flags.options();
    if let Some(refusal) = refusal {
        return refuse(observed, options, &refusal, errors, format, shell);
    }
    if options.on_stall != OnStall::Report {
        look::note_owners(connection, &observed, shell).await;
    }
    let tasks = observed.targets.iter().map(|_| Task::Guard).collect();
    drive(connection, observed, tasks, options, errors, format, shell).await
}

/// Ends before anything is begun.
pub(crate) fn refuse(
    observed: ObservedRollouts,
    options: GuardOptions,
    refusal: &CliError,
    errors: &[CliError],
    format: Option<Format>,
    shell: &mut Shell,
) -> Result<Exit, CliError> {
    let (taken_at, width) = (observed.taken_at, width(&observed));
    let tasks: Vec<Task> = observed.targets.iter().map(|_| Task::Guard).collect();
    // Without a workload nobody else has it as the last word.
    let is_nobodys = tasks.is_empty();
    let (mut guard, _) = begin(observed, tasks, options);
    guard.refuse(refusal.exit, &refusal.message);
    shell.printer.error(refusal);
    let told = errors.iter().chain(is_nobodys.then_some(refusal));
    let (result, exit) = with_errors(guard.result(), guard.exit(), told);
    if format.is_some() {
        Reporter::new(&mut shell.printer, format, taken_at, width).end(&result)?;
    }
    Ok(exit)
}

/// Drives a guard of what was looked at, each workload with its task. The errors have been told, and belong to the result.
pub(crate) async fn drive(
    connection: &Connection,
    observed: ObservedRollouts,
    tasks: Vec<Task>,
    options: GuardOptions,
    errors: &[CliError],
    format: Option<Format>,
    shell: &mut Shell,
) -> Result<Exit, CliError> {
    let taken_at = observed.taken_at;
    let width = width(&observed);
    let (mut guard, versions) = begin(observed, tasks, options);
    let mut reporter = Reporter::new(&mut shell.printer, format, taken_at, width);
    let tell = |at, event| reporter.tell(at, &event);
    let ended = drive::drive_until_interrupted(connection, &mut guard, &versions, taken_at, tell)
        .await
        .map_err(|error| CliError::new(format!("signals: {error}")))?;
    reporter.finish()?;
    if !ended {
        shell.printer.err.line("interrupted again: out at once; what was asked for goes on without us");
        return Ok(Exit::Interrupted);
    }
    let (result, exit) = with_errors(guard.result(), guard.exit(), errors.iter());
    Reporter::new(&mut shell.printer, format, taken_at, width).end(&result)?;
    Ok(exit)
}

/// How wide the names of the workloads are.
fn width(observed: &ObservedRollouts) -> usize {
    let names = observed.targets.iter().map(|(kind, name)| kind.singular().len() + 1 + name.name.len());
    names.max().unwrap_or_default()
}

fn begin(observed: ObservedRollouts, tasks: Vec<Task>, options: GuardOptions) -> (Guard, Versions) {
    let ObservedRollouts { taken_at, view, versions, targets, missing: _, watches } = observed;
    let targets: Vec<Target> =
        targets.into_iter().zip(tasks).map(|((kind, name), task)| Target { kind, name, task }).collect();
    (Guard::new(view, watches, &targets, options, taken_at), versions)
}

/// The result together with what went wrong before and beside the guard.
fn with_errors<'a>(
    mut result: RolloutResult,
    exit: Exit,
    errors: impl Iterator<Item = &'a CliError> + Clone,
) -> (RolloutResult, Exit) {
    let exit = Exit::of_all(errors.clone().map(|error| error.exit).chain([exit]));
    result.exit_code = exit.code();
    let messages = errors.map(|error| error.message.clone());
    let reasons: Vec<String> = messages.chain([result.reason]).filter(|reason| !reason.is_empty()).collect();
    result.reason = reasons.join("; ");
    (result, exit)
}

/// Whether Deployments run the revision that is wanted, in kubectl's words.
fn check_revisions(observed: &ObservedRollouts, wanted: Option<i64>) -> Result<(), CliError> {
    if wanted.is_none() {
        return Ok(());
    }
    for rollout in look::targets(observed).filter(|rollout| rollout.kind == RolloutKind::Deployment) {
        use status::StatusError::{OtherRevision, UnreadableRevision};
        if let Err(error @ (OtherRevision { .. } | UnreadableRevision { .. })) = status::viewer(rollout, wanted) {
            return Err(CliError::new(error.to_string()));
        }
    }
    Ok(())
}
