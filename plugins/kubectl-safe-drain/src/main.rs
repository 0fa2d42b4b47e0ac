//! `kubectl safe-drain`: what it was asked for goes to one command, and its outcome becomes the exit code.

mod arguments;
mod cordon;
mod drain;
mod look;
mod names;
mod plan;
mod render;
mod repair;
mod report;
mod status;

#[cfg(test)]
#[path = "../../../tests/reference.rs"]
mod reference;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use disruption::outcome::Exit;
use plugin::{cli, complete, completion, error::CliError, shell::Shell, values::DryRun, version};

fn main() -> ExitCode {
    complete::run::<Arguments>(names::offer).unwrap_or_else(|| cli::run(run))
}

async fn run(arguments: Arguments, shell: &mut Shell) -> Result<Exit, CliError> {
    arguments.check()?;
    match arguments.command {
        Some(Command::Plan(flags)) => {
            let dry_run = flags.dry_run.strategy(&mut shell.printer);
            plan::run(flags, dry_run, shell).await
        }
        Some(Command::Cordon(flags)) => cordon::run(&flags, cordon::Wish::Unschedulable, shell).await,
        Some(Command::Uncordon(flags)) => cordon::run(&flags, cordon::Wish::Schedulable, shell).await,
        Some(Command::Status(flags)) => status::run(&flags, shell).await,
        Some(Command::Repair(flags)) => repair::run(&flags, shell).await,
        Some(Command::Completion(flags)) => completion::run(&flags, "safe-drain", shell),
        Some(Command::Version(flags)) => version::run(&flags, "safe-drain", env!("CARGO_PKG_VERSION"), shell),
        None => drain(arguments.drain, shell).await,
    }
}

async fn drain(flags: arguments::DrainFlags, shell: &mut Shell) -> Result<Exit, CliError> {
    match flags.dry_run.strategy(&mut shell.printer) {
        DryRun::None => drain::run(&flags, shell).await,
        dry_run => plan::run(flags, dry_run, shell).await,
    }
}
