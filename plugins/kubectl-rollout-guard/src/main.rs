//! `kubectl rollout-guard`: what it was asked for goes to one command, and its outcome becomes the exit code.

mod arguments;
mod guard;
mod history;
mod look;
mod names;
mod report;
mod run;
mod status;
mod undo;

#[cfg(test)]
#[path = "../../../tests/reference.rs"]
mod reference;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use disruption::outcome::Exit;
use plugin::{cli, complete, completion, error::CliError, shell::Shell, version};

fn main() -> ExitCode {
    complete::run::<Arguments>(names::offer).unwrap_or_else(|| cli::run(run))
}

async fn run(arguments: Arguments, shell: &mut Shell) -> Result<Exit, CliError> {
    arguments.check()?;
    match arguments.command {
        Some(Command::Run(flags)) => run::run(flags, shell).await,
        Some(Command::Status(flags)) => status::run(&flags, shell).await,
        Some(Command::History(flags)) => history::run(&flags, shell).await,
        Some(Command::Undo(flags)) => undo::run(&flags, shell).await,
        Some(Command::Completion(flags)) => completion::run(&flags, "rollout-guard", shell),
        Some(Command::Version(flags)) => version::run(&flags, "rollout-guard", env!("CARGO_PKG_VERSION"), shell),
        None => guard::run(&arguments.guard, shell).await,
    }
}
