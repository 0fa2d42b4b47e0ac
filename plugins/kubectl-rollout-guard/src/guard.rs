//! The guard itself: watches rollouts to their end, and undoes what must be undone.

use cluster::{connect::Connection, drive, observe::rollouts::ObservedRollouts};
use disruption::{
    model::RolloutKind,
    outcome::Exit,
    rollout::{
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
    let Look { connection, observed, exit } = look::look(&wanted, shell).await?;
    check_revisions(&observed, wanted_revision)?;
    let ended = guard(&connection, observed, &flags.watch, flags.output.output, shell).await?;
    Ok(Exit::of_all([exit, ended]))
}

/// Guards all that was looked at.
pub(crate) async fn guard(
    connection: &Connection,
    observed: ObservedRollouts,
    flags: &WatchFlags,
    format: Option<Format>,
    shell: &mut Shell,
) -> Result<Exit, CliError> {
    let options = flags.options();
    let refusal = match options.on_stall {
        OnStall::Report => None,
        OnStall::Undo | OnStall::Pause => look::refusal(connection, &observed, flags.force, shell).await?,
    };
    let tasks = observed.targets.iter().map(|_| Task::Guard).collect();
    drive(connection, observed, tasks, options, refusal, format, shell).await
}

/// Drives a guard of what was looked at, each workload with its task. With a refusal nothing is begun.
pub(crate) async fn drive(
    connection: &Connection,
    observed: ObservedRollouts,
    tasks: Vec<Task>,
    options: GuardOptions,
    refusal: Option<CliError>,
    format: Option<Format>,
    shell: &mut Shell,
) -> Result<Exit, CliError> {
    let ObservedRollouts { taken_at, view, versions, targets, missing: _, watches } = observed;
    let targets: Vec<Target> =
        targets.into_iter().zip(tasks).map(|((kind, name), task)| Target { kind, name, task }).collect();
    let mut guard = Guard::new(view, watches, &targets, options, taken_at);
    if let Some(refusal) = refusal {
        guard.refuse(refusal.exit, &refusal.message);
        shell.printer.error(&refusal);
        if format.is_some() {
            Reporter::new(&mut shell.printer, format, taken_at).end(&guard.result())?;
        }
        return Ok(guard.exit());
    }
    let mut reporter = Reporter::new(&mut shell.printer, format, taken_at);
    let tell = |at, event| reporter.tell(at, &event);
    let ended = drive::drive_until_interrupted(connection, &mut guard, &versions, taken_at, tell)
        .await
        .map_err(|error| CliError::new(format!("signals: {error}")))?;
    reporter.finish()?;
    if !ended {
        shell.printer.err.line("interrupted again: out at once; what was asked for goes on without us");
        return Ok(Exit::Interrupted);
    }
    Reporter::new(&mut shell.printer, format, taken_at).end(&guard.result())?;
    Ok(guard.exit())
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
