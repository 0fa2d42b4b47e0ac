//! From the process's arguments to its exit code: a plugin's `main` is one call.

use std::ffi::OsString;
use std::num::{IntErrorKind, ParseIntError};
use std::process::ExitCode;

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, Args as _, Command, FromArgMatches as _, Parser};
use cluster::connect::user_agent;
use disruption::outcome::Exit;

use crate::complete::line;
use crate::error::CliError;
use crate::flags::GlobalFlags;
use crate::help::Page;
use crate::log;
use crate::printer::{ColorChoice, Printer};
use crate::shell::Shell;
use crate::values::{self, Complaint};

/// Parses the arguments, runs `body`, prints what it left to print, and maps the outcome to the exit code.
///
/// `C` declares the plugin's own flags; its name, as in `safe-drain`, is what follows `kubectl`. The global flags are
/// added here and are found in the shell. Every boolean flag accepts `--flag`, `--flag=true` and `--flag=false`.
///
/// ```no_run
/// use disruption::outcome::Exit;
/// use plugin::{cli, error::CliError, shell::Shell};
///
/// /// Say which server this is
/// #[derive(clap::Parser)]
/// #[command(name = "server-name", version)]
/// struct Cli {
///     /// Say it twice
///     #[arg(long)]
///     twice: bool,
/// }
///
/// fn main() -> std::process::ExitCode {
///     cli::run(async |cli: Cli, shell: &mut Shell| {
///         let connection = shell.connect()?;
///         for _ in 0..=usize::from(cli.twice) {
///             shell.printer.out.line(connection.server());
///         }
///         Ok(Exit::Done)
///     })
/// }
/// ```
pub fn run<C: Parser>(body: impl AsyncFnOnce(C, &mut Shell) -> Result<Exit, CliError>) -> ExitCode {
    ExitCode::from(run_from(std::env::args_os(), Printer::from_process, body).code())
}

/// [`run`] with arguments (the first is the program's name) and a printer of the caller's.
pub fn run_from<C: Parser>(
    arguments: impl IntoIterator<Item = OsString>,
    printer: impl FnOnce(ColorChoice) -> Printer,
    body: impl AsyncFnOnce(C, &mut Shell) -> Result<Exit, CliError>,
) -> Exit {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let command = command::<C>();
    let invocation = command.get_bin_name().unwrap_or_default().to_owned();
    let (cli, flags) = match parse::<C>(command.clone(), &arguments) {
        Ok(parsed) => parsed,
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            let mut out = printer(ColorChoice::Auto).out;
            let page = Page::of(&command, asked_for(&command, &arguments).as_deref());
            out.text(&page.render(out.width()));
            return Exit::Done;
        }
        Err(error) if error.kind() == ErrorKind::DisplayVersion => {
            let version = command.get_version().unwrap_or("dev");
            printer(ColorChoice::Auto).out.line(format_args!("{invocation} v{version}"));
            return Exit::Done;
        }
        Err(error) => {
            let error = usage_error(&command, &arguments, &error);
            printer(ColorChoice::Auto).error(&error);
            return error.exit;
        }
    };

    log::start(flags.verbosity, &invocation.replace([' ', '-'], "_"));
    let agent = user_agent(&invocation.replace(' ', "-"), command.get_version().unwrap_or("dev"));
    let mut shell = Shell::new(flags.clone(), printer(flags.color), agent);
    let result = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let result = runtime.block_on(body(cli, &mut shell));
            // A blocked credential plugin must not keep the process.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(CliError::new(format!("start of the async runtime: {error}"))),
    };
    shell.finish(result.map_err(|error| error.of_command(&called(&command, &arguments).0)))
}

/// The plugin's command with the global flags, as `--help` shows it.
pub fn command<C: Parser>() -> Command {
    let command = C::command();
    let invocation = format!("kubectl {}", command.get_name());
    let (about, long_about) = (command.get_about().cloned(), command.get_long_about().cloned());
    GlobalFlags::augment_args(command)
        // Flattened flags bring their own description along.
        .about(Resettable::from(about))
        .long_about(Resettable::from(long_about))
        .bin_name(&invocation)
        .display_name(&invocation)
        .args_override_self(true)
}

fn parse<C: Parser>(command: Command, arguments: &[OsString]) -> Result<(C, GlobalFlags), clap::Error> {
    let matches = read_like_pflag(command).try_get_matches_from(arguments)?;
    Ok((C::from_arg_matches(&matches)?, GlobalFlags::from_arg_matches(&matches)?))
}

/// Has words read as pflag reads them. Switches take a value after `=`, and never the next word. Every other flag takes the
/// next word whatever it begins with: `--grace-period -1`.
pub(crate) fn read_like_pflag(command: Command) -> Command {
    command
        .mut_args(|arg| match arg.get_action() {
            ArgAction::SetTrue => arg
                .action(ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .default_value("false")
                .default_missing_value("true")
                .value_parser(values::boolean),
            action if action.takes_values() && !arg.is_positional() && !arg.is_require_equals_set() => {
                arg.allow_hyphen_values(true)
            }
            _ => arg,
        })
        .mut_subcommands(read_like_pflag)
}

/// The command whose help was asked for, as `plan --help` or `help plan`; none for the plugin's own.
fn asked_for(command: &Command, arguments: &[OsString]) -> Option<String> {
    let words = arguments.iter().skip(1).map(|word| word.to_string_lossy().into_owned());
    line::command(command, &words.collect::<Vec<_>>())
}

/// The command that was called, and how: `kubectl safe-drain plan`.
fn called<'c>(root: &'c Command, arguments: &[OsString]) -> (String, &'c Command) {
    let invocation = root.get_bin_name().unwrap_or_default();
    match asked_for(root, arguments).and_then(|name| root.find_subcommand(name)) {
        Some(subcommand) => (format!("{invocation} {}", subcommand.get_name()), subcommand),
        None => (invocation.to_owned(), root),
    }
}

/// clap's complaint in pflag's and cobra's words.
fn usage_error(root: &Command, arguments: &[OsString], error: &clap::Error) -> CliError {
    let (invocation, command) = called(root, arguments);
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let flag = text(ContextKind::InvalidArg).unwrap_or_default();
    let value = text(ContextKind::InvalidValue).unwrap_or_default();
    let source = std::error::Error::source(error);
    if let Some(complaint) = source.and_then(|source| source.downcast_ref::<Complaint>()) {
        return CliError::new(complaint.to_string());
    }
    let message = match error.kind() {
        ErrorKind::UnknownArgument if flag.starts_with("--") => format!("unknown flag: {flag}"),
        ErrorKind::UnknownArgument if flag.starts_with('-') => {
            format!("unknown shorthand flag: '{}' in {flag}", flag.trim_start_matches('-'))
        }
        ErrorKind::UnknownArgument => format!("unexpected argument {flag:?}"),
        ErrorKind::InvalidSubcommand => {
            let name = text(ContextKind::InvalidSubcommand).unwrap_or_default();
            format!("unknown command {name:?} for {invocation:?}")
        }
        ErrorKind::InvalidValue if value.is_empty() => format!("flag needs an argument: {}", long_name(&flag)),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let reason = source.map(|source| parse_error(&value, source)).or_else(|| possible_values(error));
            let reason = reason.unwrap_or_else(|| "invalid value".to_owned());
            match both_names(root, command, &flag) {
                Some(names) => format!("invalid argument {value:?} for {names:?} flag: {reason}"),
                None => format!("invalid argument {value:?}: {reason}"),
            }
        }
        _ => first_line(error),
    };
    let mut usage = CliError::usage(message).of_command(&invocation);
    if command.get_arguments().any(clap::Arg::is_last_set) && !arguments.iter().any(|argument| argument == "--") {
        usage = usage.hint("the command to run goes behind --");
    }
    match text(ContextKind::SuggestedArg).or_else(|| text(ContextKind::SuggestedSubcommand)) {
        Some(suggestion) => usage.hint(format!("did you mean {suggestion}?")),
        None => usage,
    }
}

/// `--timeout <DURATION>` without its value.
fn long_name(flag: &str) -> &str {
    flag.split([' ', '[', '=']).next().unwrap_or_default()
}

/// `-n, --namespace`: pflag names a flag's short form too. None if it is no flag's value.
fn both_names(root: &Command, command: &Command, flag: &str) -> Option<String> {
    let long = long_name(flag);
    let name = long.strip_prefix("--")?;
    let arg = command.get_arguments().chain(root.get_arguments()).find(|arg| arg.get_long() == Some(name));
    Some(match arg.and_then(clap::Arg::get_short) {
        Some(short) => format!("-{short}, {long}"),
        None => long.to_owned(),
    })
}

/// What a value's parser says; for numbers, what Go's would.
fn parse_error(value: &str, error: &(dyn std::error::Error + 'static)) -> String {
    match error.downcast_ref::<ParseIntError>().map(ParseIntError::kind) {
        None => error.to_string(),
        Some(IntErrorKind::PosOverflow | IntErrorKind::NegOverflow) => {
            format!("strconv.ParseInt: parsing {value:?}: value out of range")
        }
        Some(_) => format!("strconv.ParseInt: parsing {value:?}: invalid syntax"),
    }
}

fn possible_values(error: &clap::Error) -> Option<String> {
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) => Some(format!("must be one of {}", values.join(", "))),
        _ => None,
    }
}

/// What clap says, without its prefix and its usage lines.
fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    // A list of missing arguments stands in the following lines.
    let lines: Vec<_> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
    lines.join(" ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::printer::Captured;
    use crate::values::{DryRunFlag, OutputFlag};

    /// Do the thing
    #[derive(Debug, Parser)]
    #[command(
        name = "do-it",
        version = "1.2.3",
        before_help = "  # Do it\n  kubectl do-it a",
        after_help = "Exit codes:\n    0  done"
    )]
    struct Cli {
        /// What to do it to
        things: Vec<String>,
        /// Do it anyway
        #[arg(long)]
        force: bool,
        /// How long to try
        #[arg(long, value_parser = values::duration, default_value = "0")]
        timeout: Duration,
        #[command(flatten)]
        dry_run: DryRunFlag,
        #[command(flatten)]
        output: OutputFlag,
        #[command(subcommand)]
        command: Option<Subcommand>,
    }

    #[derive(Debug, clap::Subcommand)]
    enum Subcommand {
        /// Only say what would be done
        Plan {
            /// Say all of it
            #[arg(long)]
            all: bool,
            /// How much of it
            #[arg(short, long, default_value = "1")]
            depth: i64,
        },
        /// Paint it
        #[command(hide = true)]
        Paint {
            #[arg(value_enum)]
            colour: ColorChoice,
        },
        /// Run something
        #[command(hide = true)]
        Run {
            things: Vec<String>,
            #[arg(last = true, required = true)]
            program: Vec<String>,
        },
    }

    /// Runs a command that prints what it was given.
    fn run(arguments: &str) -> (Exit, Captured) {
        let mut captured = Captured::default();
        let exit = run_from(
            ["/usr/bin/kubectl-do_it"].into_iter().chain(arguments.split_whitespace()).map(OsString::from),
            |color| {
                let (printer, capture) = Printer::captured(color);
                captured = capture;
                printer
            },
            async |cli: Cli, shell: &mut Shell| {
                let strategy = cli.dry_run.strategy(&mut shell.printer);
                let Cli { things, force, timeout, output: OutputFlag { output }, command, .. } = cli;
                shell.printer.out.line(format_args!(
                    "{things:?} force={force} {timeout:?} {strategy:?} {output:?} {command:?} {:?} v={} warn={}",
                    shell.flags.namespace, shell.flags.verbosity, shell.flags.warnings_as_errors
                ));
                Ok(Exit::Done)
            },
        );
        (exit, captured)
    }

    #[test]
    fn flags_are_read_as_kubectl_reads_them() {
        #[track_caller]
        fn check(arguments: &str, expected: &str) {
            let (exit, captured) = run(arguments);
            assert_eq!((captured.out().trim_end(), captured.err().as_str(), exit), (expected, "", Exit::Done));
        }
        check("", "[] force=false 0ns None None None None v=0 warn=false");
        check("a --force b", r#"["a", "b"] force=true 0ns None None None None v=0 warn=false"#);
        check("--force=T --force=0 a", r#"["a"] force=false 0ns None None None None v=0 warn=false"#);
        check("--dry-run a", r#"["a"] force=false 0ns Client None None None v=0 warn=false"#);
        check("--dry-run=server -o json", "[] force=false 0ns Server Some(Json) None None v=0 warn=false");
        check("-n a --namespace=b -nc", r#"[] force=false 0ns None None None Some("c") v=0 warn=false"#);
        check("--v=6 --warnings-as-errors -v 4", "[] force=false 0ns None None None None v=4 warn=true");
        check("--timeout 1m30s", "[] force=false 90s None None None None v=0 warn=false");
        check("-n -a -v -1 b", r#"["b"] force=false 0ns None None None Some("-a") v=-1 warn=false"#);
        check("-n --force --timeout -0", r#"[] force=false 0ns None None None Some("--force") v=0 warn=false"#);
        check(
            "plan --all=true -n x",
            r#"[] force=false 0ns None None Some(Plan { all: true, depth: 1 }) Some("x") v=0 warn=false"#,
        );
        check(
            "-n x plan --all=false",
            r#"[] force=false 0ns None None Some(Plan { all: false, depth: 1 }) Some("x") v=0 warn=false"#,
        );
        check(
            "--cache-dir=/c --kuberc k --profile none --vmodule a=1 --log-flush-frequency=5s --match-server-version",
            "[] force=false 0ns None None None None v=0 warn=false",
        );
    }

    #[test]
    fn a_boolean_dry_run_is_deprecated() {
        let (exit, captured) = run("--dry-run=false");
        assert_eq!(exit, Exit::Done);
        let expected =
            "Warning: --dry-run=false is deprecated (boolean value) and can be replaced with --dry-run=none.\n";
        assert_eq!(captured.err(), expected);
    }

    #[test]
    fn wrong_usage_is_told_in_kubectls_words() {
        let errors: Vec<_> = [
            "--forc",
            "-q",
            "--force=maybe",
            "--timeout",
            "--timeout=3",
            "--timeout=3x",
            "--timeout -1s",
            "-v=x",
            "-v 99999999999999999999",
            "--color=red",
            "--dry-run=all",
            "-o name",
            "--request-timeout=x",
            "--as-user-extra=x",
            "plan x",
            "plan --al",
            "plan --depth=x",
            "plan --v=x",
            "paint red",
            "run ls",
            "run ls -l",
            "run --x -- ls",
        ]
        .into_iter()
        .map(|arguments| {
            let (exit, captured) = run(arguments);
            assert_eq!((exit, captured.out().as_str()), (Exit::Error, ""), "{arguments}");
            captured.err()
        })
        .collect();
        insta::assert_snapshot!(errors.concat(), @r#"
        error: unknown flag: --forc
        See 'kubectl do-it --help' for usage.
        hint: did you mean --force?
        error: unknown shorthand flag: 'q' in -q
        See 'kubectl do-it --help' for usage.
        error: invalid argument "maybe" for "--force" flag: strconv.ParseBool: parsing "maybe": invalid syntax
        See 'kubectl do-it --help' for usage.
        error: flag needs an argument: --timeout
        See 'kubectl do-it --help' for usage.
        error: invalid argument "3" for "--timeout" flag: time: missing unit in duration "3"
        See 'kubectl do-it --help' for usage.
        error: invalid argument "3x" for "--timeout" flag: time: unknown unit "x" in duration "3x"
        See 'kubectl do-it --help' for usage.
        error: invalid argument "-1s" for "--timeout" flag: time: invalid duration "-1s": must not be negative
        See 'kubectl do-it --help' for usage.
        error: invalid argument "x" for "-v, --v" flag: strconv.ParseInt: parsing "x": invalid syntax
        See 'kubectl do-it --help' for usage.
        error: invalid argument "99999999999999999999" for "-v, --v" flag: strconv.ParseInt: parsing "99999999999999999999": value out of range
        See 'kubectl do-it --help' for usage.
        error: invalid argument "red" for "--color" flag: must be one of auto, always, never
        See 'kubectl do-it --help' for usage.
        error: Invalid dry-run value (all). Must be "none", "server", or "client".
        error: unable to match a printer suitable for the output format "name", allowed formats are: json,yaml
        error: Invalid timeout value. Timeout must be a single integer in seconds, or an integer followed by a corresponding time unit (e.g. 1s | 2m | 3h)
        error: invalid argument "x" for "--as-user-extra" flag: "x" is not of the form key=value
        See 'kubectl do-it --help' for usage.
        error: unexpected argument "x"
        See 'kubectl do-it plan --help' for usage.
        error: unknown flag: --al
        See 'kubectl do-it plan --help' for usage.
        hint: did you mean --all?
        error: invalid argument "x" for "-d, --depth" flag: strconv.ParseInt: parsing "x": invalid syntax
        See 'kubectl do-it plan --help' for usage.
        error: invalid argument "x" for "-v, --v" flag: strconv.ParseInt: parsing "x": invalid syntax
        See 'kubectl do-it plan --help' for usage.
        error: invalid argument "red": must be one of auto, always, never
        See 'kubectl do-it paint --help' for usage.
        error: the following required arguments were not provided: <PROGRAM>...
        See 'kubectl do-it run --help' for usage.
        hint: the command to run goes behind --
        error: unknown shorthand flag: 'l' in -l
        See 'kubectl do-it run --help' for usage.
        hint: the command to run goes behind --
        error: unknown flag: --x
        See 'kubectl do-it run --help' for usage.
        "#);
    }

    #[test]
    fn help_is_data_in_kubectls_form() {
        let (exit, captured) = run("-h");
        assert_eq!((exit, captured.err().as_str()), (Exit::Done, ""));
        insta::assert_snapshot!(captured.out(), @r#"
        Do the thing.

        Examples:
          # Do it
          kubectl do-it a

        Available Commands:
          plan  Only say what would be done

        Options:
            --color='auto':
                Colour the output: auto, always or never.

            --dry-run='none':
                Must be "none", "server", or "client". If client strategy, only print
                what would be done, without sending it. If server strategy, submit
                server-side requests without persisting them.

            --force=false:
                Do it anyway.

            -o, --output='':
                Output format. One of: (json, yaml).

            --request-timeout=0s:
                The length of time to wait before giving up on a single server request.
                Non-zero values should contain a corresponding time unit (e.g. 1s, 2m,
                3h). A value of zero means the default of 30s.

            --timeout=0:
                How long to try.

        Exit codes:
            0  done

        Usage:
          kubectl do-it [THINGS...] [options]
          kubectl do-it COMMAND [options]

        Use "kubectl do-it <command> --help" for more information about a given command.
        Use "kubectl options" for a list of global command-line options (applies to all commands).
        "#);
        assert_eq!(run("--help").1.out(), captured.out());
        assert_eq!(run("help").1.out(), captured.out());
        assert_eq!(run("-n plan --help").1.out(), captured.out());

        let (_, captured) = run("plan -h");
        insta::assert_snapshot!(captured.out(), @r#"
        Only say what would be done.

        Options:
            --all=false:
                Say all of it.

            --color='auto':
                Colour the output: auto, always or never.

            -d, --depth=1:
                How much of it.

            --request-timeout=0s:
                The length of time to wait before giving up on a single server request.
                Non-zero values should contain a corresponding time unit (e.g. 1s, 2m,
                3h). A value of zero means the default of 30s.

        Usage:
          kubectl do-it plan [options]

        Use "kubectl options" for a list of global command-line options (applies to all commands).
        "#);
        assert_eq!(run("help plan").1.out(), captured.out());
        assert_eq!(run("-n plan plan --help").1.out(), captured.out());
        assert_eq!(run("-n help plan --help").1.out(), captured.out());

        let (_, captured) = run("--version");
        assert_eq!(captured.out(), "kubectl do-it v1.2.3\n");
    }

    #[test]
    fn kubectls_global_flags_are_known_too() {
        let globals = Page::of(&command::<Cli>(), Some("plan")).globals;
        let lines: Vec<_> = globals.iter().map(|entry| format!("{}: {}", entry.flag, entry.description)).collect();
        insta::assert_snapshot!("global_options", lines.join("\n"));
    }

    #[test]
    fn the_last_word_decides_the_exit() {
        #[track_caller]
        fn check(result: Result<Exit, CliError>, expected: Exit, stderr: &str) {
            let mut captured = Captured::default();
            let printer = |color| {
                let (printer, capture) = Printer::captured(color);
                captured = capture;
                printer
            };
            let arguments = ["x", "-n", "shop", "plan", "--all"].map(OsString::from);
            let exit = run_from(arguments, printer, async |_: Cli, _: &mut Shell| result);
            assert_eq!((exit, captured.err().as_str()), (expected, stderr));
        }
        check(Ok(Exit::Done), Exit::Done, "");
        check(Ok(Exit::Blocked), Exit::Blocked, "");
        check(Err(CliError::new("no").exit(Exit::Refused)), Exit::Refused, "error: no\n");
        let usage = "error: which?\nSee 'kubectl do-it plan --help' for usage.\n";
        check(Err(CliError::usage("which?")), Exit::Error, usage);
    }

    #[test]
    fn the_command_is_well_formed() {
        command::<Cli>().debug_assert();
        read_like_pflag(command::<Cli>()).debug_assert();
    }
}
