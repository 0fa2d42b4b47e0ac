//! Completion as kubectl asks a plugin for it: the words so far go in, what may come next goes out.
//!
//! kubectl runs `kubectl_complete-NAME WORD… LAST` and reads lines of `VALUE<TAB>DESCRIPTION`, then one with cobra's
//! directive, as in `:4` (`pkg/cmd/plugin.go`). The scripts of `completion` run `kubectl-NAME __complete WORD… LAST`.

pub(crate) mod line;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use clap::builder::ValueHint;
use clap::{Arg, ArgAction, Command, Parser};
use cluster::connect::{self, user_agent};
use cluster::names::{Named, names};

pub use self::line::Line;
use self::line::Place;
use crate::cli;
use crate::error::CliError;
use crate::printer::{ColorChoice, Printer};
use crate::text;

/// How a program's name begins when kubectl asks it to complete.
pub(crate) const PREFIX: &str = "kubectl_complete-";

/// The first argument when a shell's script asks.
pub(crate) const COMMAND: &str = "__complete";

/// How long a shell waits for the cluster. A reader who gets nothing by then goes on typing.
const LIMIT: Duration = Duration::from_secs(2);

/// Something that may stand at the cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// What is typed.
    pub value: String,
    /// What it is; empty if there is nothing to say.
    pub description: String,
}

/// What the shell may offer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The candidates. Those that don't begin with what was typed are left out by [`run`].
    pub candidates: Vec<Candidate>,
    /// The shell shows them in this order; else in its own.
    pub keeps_order: bool,
    /// The shell offers files, as it does without us.
    pub files: bool,
}

/// Answers if this process was asked to complete; `None` if it was asked for anything else.
///
/// `offer` knows what the cluster has to offer for an argument of the plugin. It has [two seconds](LIMIT), and its errors
/// are not shown: the line that is being typed must stay as it is.
pub fn run<C: Parser>(offer: impl AsyncFnOnce(Line) -> Result<Answer, CliError> + Send + 'static) -> Option<ExitCode> {
    let words = asked(std::env::args_os())?;
    let answer = answer(&cli::command::<C>(), &words, offer);
    Printer::from_process(ColorChoice::Never).out.text(&answer);
    Some(ExitCode::SUCCESS)
}

/// The words to complete, if the arguments ask for it.
fn asked(arguments: impl IntoIterator<Item = OsString>) -> Option<Vec<String>> {
    let mut arguments = arguments.into_iter();
    let program = arguments.next()?;
    let name = Path::new(&program).file_name()?.to_string_lossy();
    if !name.starts_with(PREFIX) && arguments.next()? != COMMAND {
        return None;
    }
    Some(arguments.map(|word| word.to_string_lossy().into_owned()).collect())
}

/// The whole answer to a shell.
fn answer(
    command: &Command,
    words: &[String],
    offer: impl AsyncFnOnce(Line) -> Result<Answer, CliError> + Send + 'static,
) -> String {
    let program = command.get_bin_name().unwrap_or_default().replace(' ', "-");
    let agent = user_agent(&program, command.get_version().unwrap_or("dev"));
    let (line, place) = line::read(command, words, agent);
    let typed = line.typed.clone();
    let mut answer = known(command, &line, &place);
    if !line.argument.is_empty() && !answer.files {
        let Answer { candidates, keeps_order, files: _ } = within_limit(line, offer);
        answer.candidates.extend(candidates);
        answer.keeps_order = keeps_order;
    }
    render(&answer, &typed)
}

/// What the command line itself tells.
fn known(command: &Command, line: &Line, place: &Place<'_>) -> Answer {
    let (argument, mut candidates) = match place {
        Place::Foreign => return Answer { files: true, ..Answer::default() },
        Place::Flag { given } => return flags(command, line, given).into(),
        Place::Value(argument) => (Some(*argument), Vec::new()),
        Place::Word { argument, commands } => {
            let commands = commands.then(|| command.get_subcommands()).into_iter().flatten();
            let shown = commands.filter(|command| !command.is_hide_set());
            (*argument, shown.map(|it| Candidate::new(it.get_name(), first_line(it.get_about()))).collect())
        }
    };
    let files = argument.is_some_and(|it| matches!(it.get_value_hint(), ValueHint::AnyPath | ValueHint::FilePath));
    candidates.extend(argument.into_iter().flat_map(values).map(|it| Candidate::new(it, "")));
    Answer { files, ..candidates.into() }
}

/// Flags that may follow. Short ones only where nothing but a dash was typed; they are hard to read in a list.
fn flags(command: &Command, line: &Line, given: &[&Arg]) -> Vec<Candidate> {
    let is_single = |arg: &Arg| !matches!(arg.get_action(), ArgAction::Append | ArgAction::Count);
    let is_given = |arg: &Arg| is_single(arg) && given.iter().any(|other| other.get_id() == arg.get_id());
    let mut flags = Vec::new();
    for arg in line::arguments(command, line).filter(|arg| !arg.is_hide_set() && !is_given(arg)) {
        let description = first_line(arg.get_help());
        if line.typed == "-"
            && let Some(short) = arg.get_short()
        {
            flags.push(Candidate::new(format!("-{short}"), description.clone()));
        }
        let Some(long) = arg.get_long() else { continue };
        if arg.is_require_equals_set() {
            let values = values(arg);
            flags.extend(values.into_iter().map(|it| Candidate::new(format!("--{long}={it}"), description.clone())));
        } else {
            flags.push(Candidate::new(format!("--{long}"), description));
        }
    }
    flags
}

/// The values of an argument that are always the same.
fn values(argument: &Arg) -> Vec<String> {
    match argument.get_id().as_str() {
        "output" => return ["json", "yaml"].map(str::to_owned).to_vec(),
        "dry_run" => return ["none", "client", "server"].map(str::to_owned).to_vec(),
        _ => {}
    }
    if matches!(argument.get_action(), ArgAction::SetTrue) {
        return ["true", "false"].map(str::to_owned).to_vec();
    }
    argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect()
}

/// Asks kubeconfig and cluster. The thread is left alone after the limit: a credential plugin may hang.
fn within_limit(line: Line, offer: impl AsyncFnOnce(Line) -> Result<Answer, CliError> + Send + 'static) -> Answer {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        // The other end may have given up.
        let _ = sender.send(runtime.block_on(ask(line, offer)));
        runtime.shutdown_background();
    });
    receiver.recv_timeout(LIMIT).ok().and_then(Result::ok).unwrap_or_default()
}

async fn ask(line: Line, offer: impl AsyncFnOnce(Line) -> Result<Answer, CliError>) -> Result<Answer, CliError> {
    let entries = || connect::entries(&line.connect_options()?).map_err(CliError::from);
    let pairs = |pairs: Vec<(String, String)>| pairs.into_iter().map(|(name, of)| Candidate::new(name, of)).collect();
    let candidates: Vec<Candidate> = match line.argument.as_str() {
        "context" => pairs(entries()?.contexts),
        "cluster" => pairs(entries()?.clusters),
        "user" => entries()?.users.into_iter().map(|name| Candidate::new(name, "")).collect(),
        "namespace" => {
            let rows = names(&line.connect()?, Named::Namespaces).await?;
            rows.iter().map(|row| Candidate::new(&row.name, row.cell("Status"))).collect()
        }
        _ => return offer(line).await,
    };
    Ok(candidates.into())
}

/// cobra's lines: the candidates that begin with what was typed, then the directive.
fn render(answer: &Answer, typed: &str) -> String {
    let Answer { candidates, keeps_order, files } = answer;
    let mut lines = String::new();
    for Candidate { value, description } in candidates {
        if !value.starts_with(typed) || !value.chars().all(is_plain) {
            continue;
        }
        let description = text::one_line(description);
        let tab = if description.is_empty() { "" } else { "\t" };
        let _ = writeln!(lines, "{value}{tab}{description}");
    }
    let directive = if *files { 0 } else { NO_FILES } + if *keeps_order { KEEP_ORDER } else { 0 };
    let _ = writeln!(lines, ":{directive}");
    lines
}

/// cobra's `ShellCompDirectiveNoFileComp`.
const NO_FILES: u8 = 4;

/// cobra's `ShellCompDirectiveKeepOrder`. A kubectl that doesn't know it falls back to files, so it is not given for nothing.
const KEEP_ORDER: u8 = 32;

/// Not all shells quote what they insert: a context called `$(reboot)` must not get into a line.
fn is_plain(character: char) -> bool {
    character.is_alphanumeric() || "-_./:@=+,%".contains(character)
}

fn first_line(help: Option<&clap::builder::StyledStr>) -> String {
    help.map(|help| help.to_string().lines().next().unwrap_or_default().to_owned()).unwrap_or_default()
}

impl Candidate {
    /// A candidate.
    pub fn new(value: impl Into<String>, description: impl Into<String>) -> Self {
        Self { value: value.into(), description: description.into() }
    }
}

impl From<Vec<Candidate>> for Answer {
    fn from(candidates: Vec<Candidate>) -> Self {
        Self { candidates, ..Self::default() }
    }
}

#[cfg(test)]
mod tests;
