//! `run`: records the good state, runs a command, and guards what that changes.

use std::process::Stdio;

use cluster::observe::rollouts::ObservedRollouts;
use disruption::{
    model::{ObjectName, RolloutKind},
    outcome::Exit,
    rollout::template,
};
use plugin::{error::CliError, shell::Shell};
use serde_json::Value;

use crate::{
    arguments::RunFlags,
    guard,
    look::{Look, look, observe, targets},
};

pub(crate) async fn run(flags: RunFlags, shell: &mut Shell) -> Result<Exit, CliError> {
    let wanted = flags.resolve()?;
    // What is not there yet the command may make.
    let (_, observed) = observe(&wanted, shell).await?;
    let (before, view) = (templates(&observed), observed.view);
    let failed = execute(&flags, shell).await?;
    let Look { connection, mut observed, mut errors } = look(&wanted, shell).await?;
    let is_changed = |target: &(RolloutKind, ObjectName), observed: &ObservedRollouts| {
        let now = observed.view.rollout(target.0, &target.1);
        let then = before.iter().find(|(kind, name, _)| (kind, name) == (&target.0, &target.1));
        match (now, then) {
            (Some(now), Some((_, _, then))) => !template::same(&now.template, then),
            (now, _) => now.is_some(),
        }
    };
    observed.view.remember_ready(&view, observed.taken_at);
    let changed: Vec<_> = observed.targets.iter().filter(|target| is_changed(target, &observed)).cloned().collect();
    observed.targets = changed;
    if observed.targets.is_empty() {
        shell.printer.err.line("the command changed no pod template of the workloads that are guarded");
    }
    errors.extend(failed);
    guard::guard(&connection, observed, &errors, &flags.watch, flags.output.output, shell).await
}

fn templates(observed: &ObservedRollouts) -> Vec<(RolloutKind, ObjectName, Value)> {
    targets(observed).map(|rollout| (rollout.kind, rollout.name.clone(), rollout.template.clone())).collect()
}

/// Runs the command to its end, and says how it failed, if it did. Its output is the user's, unless ours is for programs.
async fn execute(flags: &RunFlags, shell: &mut Shell) -> Result<Option<CliError>, CliError> {
    let [program, arguments @ ..] = flags.command.as_slice() else {
        return Err(CliError::new("no command was given"));
    };
    let mut command = tokio::process::Command::new(program);
    command.args(arguments);
    // Of kubectl's flags this one decides which cluster a command changes that has none of its own.
    if let Some(kubeconfig) = &shell.flags.kubeconfig {
        command.env("KUBECONFIG", kubeconfig);
    }
    if flags.output.output.is_some() {
        command.stdout(Stdio::from(std::io::stderr()));
    }
    let shown = program.to_string_lossy().into_owned();
    let status = command.status().await.map_err(|error| CliError::new(format!("run {shown}: {error}")))?;
    if status.success() {
        return Ok(None);
    }
    let how = status.code().map_or_else(|| status.to_string(), |code| format!("exit code {code}"));
    let failed = CliError::new(format!("the command {shown} failed: {how}"));
    shell.printer.error(&failed);
    Ok(Some(failed))
}
