//! `undo`: goes back to an earlier revision, and verifies that it serves.

use std::collections::BTreeSet;

use cluster::{
    act::{self, Effect},
    observe::rollouts::ObservedRollouts,
};
use disruption::{
    action::RolloutAnswer,
    model::{Revision, Rollout},
    outcome::Exit,
    rollout::{
        document::{RolloutStatus, UndoTarget},
        look::look,
        machine::Task,
        options::GuardOptions,
        owner, patch,
        target::{self, NoTarget},
        template,
    },
};
use plugin::{
    error::CliError,
    shell::Shell,
    text,
    values::{DryRun, Format},
};

use crate::{
    arguments::UndoFlags,
    guard,
    look::{self, Look, targets},
    report::tell_diff,
};

pub(crate) async fn run(flags: &UndoFlags, shell: &mut Shell) -> Result<Exit, CliError> {
    let options = flags.options();
    let dry_run = flags.dry_run.strategy(&mut shell.printer);
    let Look { connection, observed, mut errors } = look::look(&flags.workloads.resolve()?, shell).await?;
    let refusal = match dry_run {
        DryRun::None => look::refusal(&connection, &observed, flags.force, "--force undoes all the same").await?,
        DryRun::Client | DryRun::Server => None,
    };
    if let Some(refusal) = refusal {
        return guard::refuse(observed, options, &refusal, &errors, flags.output.output, shell);
    }
    if dry_run == DryRun::None {
        look::note_owners(&connection, &observed, shell).await;
    }
    let mut chosen: Vec<(&Rollout, &Revision)> = Vec::new();
    for rollout in targets(&observed) {
        match choose(&observed, rollout, &options) {
            Ok(Some(revision)) => chosen.push((rollout, revision)),
            Ok(None) => {
                let number = options.to_revision.unwrap_or_default();
                let line = format!(
                    "{} skipped rollback (current template already matches revision {number})",
                    resource(rollout)
                );
                say(&line, flags.output.output, shell);
            }
            Err(error) => {
                shell.printer.error(&error);
                errors.push(error);
            }
        }
    }
    for (rollout, _) in &chosen {
        if let Some(warning) = owner::unknown_to_apply(rollout) {
            shell.printer.warning(&format!("{} was {warning}", rollout.shown()));
        }
    }
    let is_manual_wait = dry_run == DryRun::None && !flags.no_wait;
    if !is_manual_wait {
        let effect = if dry_run == DryRun::Server { Effect::DryRun } else { Effect::Real };
        for (rollout, revision) in chosen {
            let diff = template::diff(&rollout.template, &revision.template, &rollout.shown());
            let subject = observed.view.subject(rollout, observed.taken_at);
            let why = target::choose(&subject, options.to_revision, &BTreeSet::new());
            let why = why.map(|target| target.to_string()).unwrap_or_default();
            if let Some(format) = flags.output.output {
                let undo_target = revision.number.map(|revision| UndoTarget { revision, why, diff });
                let status = RolloutStatus { undo_target, ..look(&subject, &options.limits, &[]) };
                shell.printer.out.streamed(format, &status)?;
            } else {
                say(&format!("{}: undo to {why}", rollout.shown()), None, shell);
                tell_diff(&mut shell.printer, &diff);
            }
            if dry_run != DryRun::Client {
                let cause = patch::change_cause(options.change_cause.as_deref(), revision, None);
                let operations = patch::undo(rollout, revision, &cause, None);
                let answer = act::rollout::patch(&connection, rollout.kind, &rollout.name, &operations, effect).await;
                if let Err(error) = accepted(rollout, answer) {
                    shell.printer.error(&error);
                    errors.push(error);
                    continue;
                }
            }
            told(rollout, dry_run, flags.output.output, shell);
        }
        return Ok(Exit::of_all(errors.iter().map(|error| error.exit)));
    }
    let tasks: Vec<Task> =
        chosen.iter().filter_map(|(_, revision)| revision.number.map(|to| Task::Undo { to })).collect();
    let meant: Vec<_> = chosen.iter().map(|(rollout, _)| (rollout.kind, rollout.name.clone())).collect();
    let observed = ObservedRollouts { targets: meant, ..observed };
    guard::drive(&connection, observed, tasks, options, &errors, flags.output.output, shell).await
}

/// The revision to go back to; none where the workload has its template already.
fn choose<'a>(
    observed: &'a ObservedRollouts,
    rollout: &'a Rollout,
    options: &GuardOptions,
) -> Result<Option<&'a Revision>, CliError> {
    if rollout.is_paused {
        let message =
            "you cannot rollback a paused deployment; resume it first with 'kubectl rollout resume' and try again";
        let resume = format!("kubectl -n {} rollout resume {}", rollout.name.namespace, rollout.shown());
        return Err(CliError::new(message).hint(resume).exit(Exit::Refused));
    }
    let subject = observed.view.subject(rollout, observed.taken_at);
    match target::choose(&subject, options.to_revision, &BTreeSet::new()) {
        Ok(target) if target::is_same_as_current(rollout, target.revision) => Ok(None),
        Ok(target) if target.revision.number.is_some() => Ok(Some(target.revision)),
        Ok(_) => Err(CliError::new(format!("{}: the revision to go back to has no number", rollout.shown()))),
        Err(none @ NoTarget::NotPositive(_)) => Err(CliError::new(none.to_string())),
        Err(none) => {
            let error = CliError::new(format!("{}: {none}", rollout.shown())).exit(Exit::Refused);
            Err(error.hint(none.next()))
        }
    }
}

fn accepted(rollout: &Rollout, answer: RolloutAnswer) -> Result<(), CliError> {
    let failed = |why: &str| CliError::new(format!("{}: not undone: {why}", rollout.shown()));
    match answer {
        RolloutAnswer::Stands(_) => Ok(()),
        RolloutAnswer::Changed(_) => Err(failed("somebody else has changed it meanwhile").exit(Exit::Superseded)),
        RolloutAnswer::Deleted => Err(failed("it was deleted meanwhile").exit(Exit::Superseded)),
        RolloutAnswer::Forbidden(message) => Err(failed(&message).exit(Exit::Forbidden)),
        RolloutAnswer::Denied(message) => Err(failed(&message)),
        RolloutAnswer::Trouble(trouble) => Err(failed(&trouble.message)),
    }
}

fn told(rollout: &Rollout, dry_run: DryRun, format: Option<Format>, shell: &mut Shell) {
    let suffix = match dry_run {
        DryRun::None => "",
        DryRun::Client => " (dry run)",
        DryRun::Server => " (server dry run)",
    };
    say(&format!("{} rolled back{suffix}", resource(rollout)), format, shell);
}

/// A line for people: beside the document, if there is one.
fn say(line: &str, format: Option<Format>, shell: &mut Shell) {
    let printer = &mut shell.printer;
    let output = if format.is_some() { &mut printer.err } else { &mut printer.out };
    output.line(text::one_line(line));
}

/// kubectl's name with the group: `deployment.apps/web`.
fn resource(rollout: &Rollout) -> String {
    format!("{}.apps/{}", rollout.kind.singular(), rollout.name.name)
}
