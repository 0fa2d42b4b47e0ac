//! `run`: records the good state, runs a command, and guards what that changes.

use std::process::{ExitStatus, Stdio};

use cluster::{observe::rollouts::ObservedRollouts, signals};
use disruption::{
    model::{ObjectName, RolloutKind},
    outcome::Exit,
    rollout::{template, view::View},
};
use futures::{Stream, StreamExt as _};
use plugin::{error::CliError, shell::Shell};
use tokio::process::Command;

use crate::{
    arguments::RunFlags,
    guard,
    look::{Look, look, observe},
};

/// How the command ended.
enum Ended {
    Well,
    /// It failed, which has been told.
    Badly(CliError),
    /// The user wants all of it to end: what became of the command.
    Interrupted(String),
}

pub(crate) async fn run(flags: RunFlags, shell: &mut Shell) -> Result<Exit, CliError> {
    let (wanted, format) = (flags.resolve()?, flags.output.output);
    // What is not there yet the command may make.
    let (connection, before) = observe(&wanted, shell).await?;
    if let Some(refusal) = guard::refusal(&connection, &before, &flags.watch).await? {
        let refusal =
            refusal.hint("the command was not run; name the workloads that it changes, if it is not this one");
        return guard::refuse(before, flags.watch.options(), &refusal, &[], format, shell);
    }
    let mut interrupts = signals::interrupts().map_err(|error| CliError::new(format!("signals: {error}")))?;
    let failed = match execute(&flags, &mut interrupts, shell).await? {
        Ended::Well => None,
        Ended::Badly(error) => Some(error),
        Ended::Interrupted(how) => return interrupted(&how, before, &flags, shell),
    };
    let changes = async {
        let Look { connection, mut observed, errors } = look(&wanted, shell).await?;
        observed.view.remember_ready(&before.view, observed.taken_at);
        let changed = |target: &(RolloutKind, ObjectName)| has_changed(target, &before.view, &observed.view);
        observed.targets = observed.targets.iter().filter(|target| changed(target)).cloned().collect();
        let refusal = guard::refusal(&connection, &observed, &flags.watch).await?;
        Ok::<_, CliError>((observed, refusal, errors))
    };
    let changes = tokio::select! {
        changes = Box::pin(changes) => Some(changes?),
        Some(()) = interrupts.next() => None,
    };
    let Some((observed, refusal, mut errors)) = changes else {
        return interrupted("the command has ended", before, &flags, shell);
    };
    if observed.targets.is_empty() {
        shell.printer.err.line("the command changed no pod template of the workloads that are guarded");
    }
    errors.extend(failed);
    guard::guard(&connection, observed, refusal, &errors, &flags.watch, format, shell).await
}

/// Whether the command rolled something out: another template, or a workload that was not there.
fn has_changed((kind, name): &(RolloutKind, ObjectName), before: &View, after: &View) -> bool {
    match (before.rollout(*kind, name), after.rollout(*kind, name)) {
        (Some(then), Some(now)) => then.uid != now.uid || !template::same(&then.template, &now.template),
        (None, Some(_)) => true,
        (_, None) => false,
    }
}

/// Runs the command to its end. A Ctrl-C reaches it by its process group, as without us; a second one leaves it alone.
async fn execute(
    flags: &RunFlags,
    interrupts: &mut (impl Stream<Item = ()> + Unpin),
    shell: &mut Shell,
) -> Result<Ended, CliError> {
    let [program, arguments @ ..] = flags.command.as_slice() else {
        return Err(CliError::new("no command was given"));
    };
    let mut command = Command::new(program);
    command.args(arguments);
    // Of kubectl's flags this one decides which cluster a command changes that has none of its own.
    if let Some(kubeconfig) = &shell.flags.kubeconfig {
        command.env("KUBECONFIG", kubeconfig);
    }
    // Its output is the user's, unless ours is for programs.
    if flags.output.output.is_some() {
        command.stdout(Stdio::from(std::io::stderr()));
    }
    let shown = program.to_string_lossy();
    let failed = |error| CliError::new(format!("run {shown}: {error}"));
    let mut child = command.spawn().map_err(failed)?;
    // The signal that ends the command is ours, too, and comes first.
    let status = tokio::select! {
        biased;
        Some(()) = interrupts.next() => None,
        status = child.wait() => Some(status.map_err(failed)?),
    };
    let Some(status) = status else {
        shell
            .printer
            .err
            .line(format_args!("interrupted: waiting for the command {shown} to end, which is not guarded"));
        return Ok(Ended::Interrupted(tokio::select! {
            biased;
            Some(()) = interrupts.next() => format!("the command {shown} goes on without us"),
            status = child.wait() => format!("the command {shown} has ended: {}", how(status.map_err(failed)?)),
        }));
    };
    if status.success() {
        return Ok(Ended::Well);
    }
    let failed = CliError::new(format!("the command {shown} failed: {}", how(status)));
    shell.printer.error(&failed);
    Ok(Ended::Badly(failed))
}

fn how(status: ExitStatus) -> String {
    status.code().map_or_else(|| status.to_string(), |code| format!("exit code {code}"))
}

/// Ends without a guard: whatever the command has changed stays as it is.
fn interrupted(how: &str, before: ObservedRollouts, flags: &RunFlags, shell: &mut Shell) -> Result<Exit, CliError> {
    let namespace = shell.connect()?.namespace().to_owned();
    let message = format!("interrupted: {how}; what it has changed is not guarded, and nothing was undone");
    let status = format!("kubectl rollout-guard -n {namespace} status {}", flags.selection());
    let error = CliError::new(message).hint(status).exit(Exit::Interrupted);
    let nothing = ObservedRollouts { targets: Vec::new(), ..before };
    guard::refuse(nothing, flags.watch.options(), &error, &[], flags.output.output, shell)
}
