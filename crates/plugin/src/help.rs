//! `--help` in kubectl's form: what it is, examples, commands, options, usage (`kubectl/pkg/util/templates`).

use std::fmt::Write as _;

use clap::builder::StyledStr;
use clap::{Arg, ArgAction, Command};

use crate::flags::GLOBAL;
use crate::table::wrap;

/// What is to be known about a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// How it is called, as in `kubectl safe-drain plan`.
    pub invocation: String,
    /// Paragraphs, the first in one sentence.
    pub description: Vec<String>,
    /// Comments and commands, indented; empty if there are none.
    pub examples: String,
    /// Its commands with their descriptions.
    pub commands: Vec<(String, String)>,
    /// Its options by name.
    pub options: Vec<Entry>,
    /// kubectl's own options, which it takes too.
    pub globals: Vec<Entry>,
    /// What else there is to say, as the table of exit codes; empty if there is nothing.
    pub footer: String,
    /// The ways to call it.
    pub usage: Vec<String>,
}

/// An option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its names and its default, as in `-l, --selector=''`.
    pub flag: String,
    /// What it does.
    pub description: String,
}

impl Page {
    /// The page of the plugin, or of one of its commands.
    ///
    /// Examples are clap's `before_help`, the footer is its `after_help`.
    pub fn of(root: &Command, name: Option<&str>) -> Self {
        let plugin = root.get_bin_name().unwrap_or_else(|| root.get_name());
        let command = name.and_then(|name| root.find_subcommand(name));
        let invocation =
            command.map_or_else(|| plugin.to_owned(), |command| format!("{plugin} {}", command.get_name()));
        let inherited = command.map(|_| root.get_arguments().filter(|arg| arg.is_global_set()));
        let command = command.unwrap_or(root);
        let arguments = command.get_arguments().chain(inherited.into_iter().flatten());
        let shown = arguments.filter(|arg| arg.get_long().is_some() && !arg.is_hide_set());
        let (globals, options): (Vec<&Arg>, Vec<&Arg>) = shown.partition(|arg| arg.get_help_heading() == Some(GLOBAL));
        let commands = command.get_subcommands().filter(|command| !command.is_hide_set());
        Self {
            description: paragraphs(command.get_long_about().or(command.get_about())),
            examples: text(command.get_before_help()),
            commands: commands.map(|it| (it.get_name().to_owned(), text(it.get_about()))).collect(),
            options: entries(options),
            globals: entries(globals),
            footer: text(command.get_after_help()),
            usage: usage(&invocation, command),
            invocation,
        }
    }

    /// The page as `--help` prints it, in lines of at most `width` columns where words allow it.
    pub fn render(&self, width: usize) -> String {
        let Self { invocation, description, examples, commands, options, globals: _, footer, usage } = self;
        let mut sections: Vec<String> = description.iter().map(|paragraph| wrap(paragraph, width).join("\n")).collect();
        if !examples.is_empty() {
            sections.push(format!("Examples:\n{examples}"));
        }
        if !commands.is_empty() {
            sections.push(format!("Available Commands:\n{}", columns(commands, width)));
        }
        if !options.is_empty() {
            let options: Vec<_> = options.iter().map(|option| option.render(width)).collect();
            sections.push(format!("Options:\n{}", options.join("\n\n")));
        }
        if !footer.is_empty() {
            sections.push(footer.clone());
        }
        sections.push(format!("Usage:\n  {}", usage.join("\n  ")));
        let mut last = String::new();
        if !commands.is_empty() {
            let _ = writeln!(last, "Use \"{invocation} <command> --help\" for more information about a given command.");
        }
        last += "Use \"kubectl options\" for a list of global command-line options (applies to all commands).\n";
        sections.push(last);
        sections.join("\n\n")
    }
}

impl Entry {
    fn render(&self, width: usize) -> String {
        let Self { flag, description } = self;
        let lines = wrap(description, width.saturating_sub(8));
        format!("    {flag}:\n        {}", lines.join("\n        "))
    }
}

/// Commands in two columns.
fn columns(commands: &[(String, String)], width: usize) -> String {
    let names = commands.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let row = |(name, about): &(String, String)| {
        let indent = format!("\n{:1$}", "", names + 4);
        format!("  {name:<names$}  {}", wrap(about, width.saturating_sub(names + 4)).join(&indent))
    };
    commands.iter().map(row).collect::<Vec<_>>().join("\n")
}

fn entries(mut arguments: Vec<&Arg>) -> Vec<Entry> {
    arguments.sort_by_key(|argument| argument.get_long());
    arguments.into_iter().map(entry).collect()
}

fn entry(argument: &Arg) -> Entry {
    let short = argument.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
    let flag = format!("{short}--{}{}", argument.get_long().unwrap_or_default(), default(argument));
    let mut description = paragraphs(argument.get_long_help().or(argument.get_help())).join(" ");
    let values = argument.get_possible_values();
    if !values.is_empty() && !argument.is_hide_possible_values_set() && argument.get_action().takes_values() {
        let names: Vec<_> = values.iter().map(clap::builder::PossibleValue::get_name).collect();
        let _ = write!(description, " One of: ({}).", names.join(", "));
    }
    Entry { flag, description }
}

/// The default as pflag writes it: text in quotes, lists in brackets.
fn default(argument: &Arg) -> String {
    match argument.get_action() {
        ArgAction::SetTrue => return "=false".to_owned(),
        ArgAction::Append => return "=[]".to_owned(),
        _ => {}
    }
    let value = argument.get_default_values().first().map(|value| value.to_string_lossy());
    let of = argument.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
    match (value.as_deref(), of) {
        (Some("0"), "DURATION") => "=0s".to_owned(),
        (Some(value), _) if value.trim_start_matches('-').starts_with(|first: char| first.is_ascii_digit()) => {
            format!("={value}")
        }
        // A number that is chosen on the way.
        (None, "COUNT") => String::new(),
        (value, _) => format!("='{}'", value.unwrap_or_default()),
    }
}

fn usage(invocation: &str, command: &Command) -> Vec<String> {
    let mut own = invocation.to_owned();
    let (last, words): (Vec<&Arg>, Vec<&Arg>) =
        command.get_arguments().filter(|arg| arg.is_positional()).partition(|arg| arg.is_last_set());
    for argument in words {
        let name = value_name(argument);
        let more = if matches!(argument.get_action(), ArgAction::Append) { "..." } else { "" };
        let _ = write!(own, " [{name}{more}]");
    }
    own += " [options]";
    for argument in last {
        let _ = write!(own, " -- {}...", value_name(argument));
    }
    let commands = command.has_subcommands().then(|| format!("{invocation} COMMAND [options]"));
    std::iter::once(own).chain(commands).collect()
}

fn value_name(argument: &Arg) -> String {
    argument
        .get_value_names()
        .and_then(|names| names.first())
        .map_or_else(|| argument.get_id().as_str().to_uppercase(), ToString::to_string)
}

fn text(text: Option<&StyledStr>) -> String {
    text.map(|text| text.to_string().trim_end().to_owned()).unwrap_or_default()
}

/// Paragraphs, each in one line, the first with its full stop.
fn paragraphs(help: Option<&StyledStr>) -> Vec<String> {
    let help = text(help);
    let mut paragraphs: Vec<String> =
        help.split("\n\n").map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    if let Some(first) = paragraphs.first_mut().filter(|first| !first.is_empty() && !first.ends_with('.')) {
        first.push('.');
    }
    paragraphs
}
