//! What a running command has from its surroundings: flags, printer, and the connection once it asks for one.

use cluster::connect::{self, Connection};
use disruption::outcome::Exit;

use crate::error::CliError;
use crate::flags::GlobalFlags;
use crate::printer::Printer;

/// The surroundings of a command.
pub struct Shell {
    /// kubectl's global flags.
    pub flags: GlobalFlags,
    /// stdout and stderr.
    pub printer: Printer,
    user_agent: String,
    connection: Option<Connection>,
    warnings: usize,
}

impl Shell {
    /// Surroundings without a connection.
    pub fn new(flags: GlobalFlags, printer: Printer, user_agent: String) -> Self {
        Self { flags, printer, user_agent, connection: None, warnings: 0 }
    }

    /// The connection that the flags describe; the same one each time.
    pub fn connect(&mut self) -> Result<Connection, CliError> {
        if let Some(connection) = &self.connection {
            return Ok(connection.clone());
        }
        let connection = connect::connect(&self.flags.connect_options(self.user_agent.clone()))?;
        Ok(self.connection.insert(connection).clone())
    }

    /// Prints the server's warnings since the last time. Done at the end anyway; a long run does it in between.
    pub fn print_warnings(&mut self) {
        let warnings = self.connection.as_ref().map(Connection::take_warnings).unwrap_or_default();
        self.warnings += warnings.len();
        for warning in warnings {
            self.printer.warning(&warning);
        }
    }

    /// Prints what is left to print and settles the exit code.
    pub(crate) fn finish(&mut self, result: Result<Exit, CliError>) -> Exit {
        self.print_warnings();
        let mut exits = Vec::new();
        match result {
            Ok(exit) => exits.push(exit),
            Err(error) => {
                self.printer.error(&error);
                exits.push(error.exit);
            }
        }
        if self.flags.warnings_as_errors && self.warnings > 0 {
            let plural = if self.warnings == 1 { "" } else { "s" };
            self.printer.error(&CliError::new(format!("{} warning{plural} received", self.warnings)));
            exits.push(Exit::Error);
        }
        if let Some(failure) = self.printer.out.failure() {
            let failure = CliError::new(format!("write to stdout: {failure}"));
            self.printer.error(&failure);
            exits.push(Exit::Error);
        }
        Exit::of_all(exits)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use clap::{Command, CommandFactory as _, FromArgMatches as _, Parser};
    use http::{Request, Response};
    use kube::client::Body;

    use super::*;
    use crate::printer::{Captured, ColorChoice};

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        flags: GlobalFlags,
    }

    /// A shell whose server adds the same warning to each answer.
    fn shell(arguments: &[&str]) -> (Shell, Captured) {
        let matches = Command::get_matches_from(Flags::command(), [&["x"], arguments].concat());
        let flags = Flags::from_arg_matches(&matches).unwrap().flags;
        let (printer, captured) = Printer::captured(ColorChoice::Never);
        let service = tower::service_fn(async |_: Request<Body>| {
            Ok::<_, Infallible>(Response::builder().header("warning", "299 - \"old\"").body(Body::empty()).unwrap())
        });
        let connection = Some(Connection::over(service, "default"));
        (Shell { connection, ..Shell::new(flags, printer, String::new()) }, captured)
    }

    async fn finish(arguments: &[&str], result: Result<Exit, CliError>) -> (Exit, String) {
        let (mut shell, captured) = shell(arguments);
        let connection = shell.connect().unwrap();
        for _ in 0..2 {
            let request = Request::get("/version").body(Vec::new()).unwrap();
            connection.call("get version", connection.client().request_text(request)).await.unwrap();
        }
        (shell.finish(result), captured.err())
    }

    #[tokio::test]
    async fn warnings_are_printed_once_and_may_be_errors() {
        let warning = "Warning: old\n".to_owned();
        assert_eq!(finish(&[], Ok(Exit::Done)).await, (Exit::Done, warning.clone()));
        let strict = format!("{warning}error: 1 warning received\n");
        assert_eq!(finish(&["--warnings-as-errors"], Ok(Exit::Done)).await, (Exit::Error, strict.clone()));
        assert_eq!(finish(&["--warnings-as-errors"], Ok(Exit::Blocked)).await, (Exit::Error, strict));
        let forbidden = CliError::new("no").exit(Exit::Forbidden);
        let (exit, text) = finish(&[], Err(forbidden)).await;
        assert_eq!((exit, text.as_str()), (Exit::Forbidden, "Warning: old\nerror: no\n"));
    }
}
