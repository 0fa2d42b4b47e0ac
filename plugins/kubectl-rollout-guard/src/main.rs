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

#[cfg(test)]
mod tests {
    use plugin::{
        cli,
        printer::{ColorChoice, Printer},
    };

    use super::*;

    /// What a command's `--help` prints.
    fn help(words: &[&str]) -> String {
        let (printer, captured) = Printer::captured(ColorChoice::Never);
        let words = ["rollout-guard"].iter().chain(words).chain(&["--help"]).map(Into::into);
        let exit = cli::run_from(words, |_| printer, run);
        assert_eq!((exit, captured.err().as_str()), (Exit::Done, ""));
        captured.out()
    }

    #[test]
    fn helps() {
        for words in [&[][..], &["run"], &["status"], &["history"], &["undo"]] {
            insta::assert_snapshot!(format!("help {}", words.join(" ")).trim_end().replace(' ', "_"), help(words));
        }
    }
}
